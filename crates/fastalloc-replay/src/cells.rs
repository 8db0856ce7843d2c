//! Where objects are, and whose turn it is there.

use std::cell::UnsafeCell;
use std::hint;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// So often a thread looks again before it lets others run,
const SPINS: u32 = 64;
/// and so often before it sleeps, because there are more threads than processors and they are all waiting,
const YIELDS: u32 = 32;
/// for a time that doubles from the first to the second.
const SLEEPS: [Duration; 2] = [Duration::from_micros(10), Duration::from_millis(1)];

/// All places of a plan.
#[derive(Debug)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    /// Whether a thread has panicked, so that others may wait in vain.
    is_broken: AtomicBool,
}

/// A place.
#[derive(Debug)]
pub(crate) struct Cell {
    /// How many steps have been taken here. Who takes the next one has the object to himself until he has counted it.
    turn: AtomicU32,
    object: UnsafeCell<Object>,
}

/// What is at a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    /// Null if there is none: the place is vacant, or there was no memory.
    pub(crate) address: *mut u8,
    pub(crate) layout: u32,
    /// Whether it is on the heap because a pool had no room.
    pub(crate) was_refused: bool,
}

impl Object {
    pub(crate) const NONE: Self = Self { address: ptr::null_mut(), layout: 0, was_refused: false };
}

// SAFETY: `object` is touched by whose turn it is, and turns follow each other: `wait` and `done`, or a barrier.
unsafe impl Sync for Cell {}
// SAFETY: the address is that of an object that any thread may free.
unsafe impl Send for Cell {}

impl Cells {
    pub(crate) fn new(places: u32) -> Self {
        let cell = || Cell { turn: AtomicU32::new(0), object: UnsafeCell::new(Object::NONE) };
        Self { cells: (0..places).map(|_| cell()).collect(), is_broken: AtomicBool::new(false) }
    }

    #[inline(always)]
    pub(crate) fn at(&self, place: u32) -> &Cell {
        &self.cells[place as usize]
    }

    /// Waits until so many steps have been taken at a place, which must be steps of other threads in this round.
    ///
    /// # Panics
    ///
    /// If another thread has.
    #[inline(always)]
    pub(crate) fn wait(&self, cell: &Cell, turn: u32) {
        // Pairs with the store in `done`.
        if cell.turn.load(Ordering::Acquire) != turn {
            self.wait_long(cell, turn);
        }
    }

    #[cold]
    fn wait_long(&self, cell: &Cell, turn: u32) {
        let mut looks = 0;
        let [mut sleep, sleep_max] = SLEEPS;
        while cell.turn.load(Ordering::Acquire) != turn {
            looks += 1;
            if looks < SPINS {
                hint::spin_loop();
                continue;
            }
            assert!(!self.is_broken.load(Ordering::Relaxed), "another thread of the replay has panicked");
            if looks < SPINS + YIELDS {
                thread::yield_now();
            } else {
                thread::sleep(sleep);
                sleep = (sleep * 2).min(sleep_max);
            }
        }
    }

    /// Says that a thread has panicked.
    pub(crate) fn break_up(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Ends a round, and gives out what is left at all places.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Object> {
        *self.is_broken.get_mut() = false;
        self.cells.iter_mut().filter_map(|cell| {
            *cell.turn.get_mut() = 0;
            let object = std::mem::replace(cell.object.get_mut(), Object::NONE);
            (!object.address.is_null()).then_some(object)
        })
    }
}

impl Cell {
    /// What is here.
    ///
    /// # Safety
    ///
    /// It must be the caller's turn.
    #[inline(always)]
    pub(crate) unsafe fn get(&self) -> Object {
        // SAFETY: whose turn it is touches it alone.
        unsafe { *self.object.get() }
    }

    /// Changes what is here.
    ///
    /// # Safety
    ///
    /// It must be the caller's turn.
    #[inline(always)]
    pub(crate) unsafe fn set(&self, object: Object) {
        // SAFETY: whose turn it is touches it alone.
        unsafe { *self.object.get() = object };
    }

    /// Ends the caller's turn.
    #[inline(always)]
    pub(crate) fn done(&self, turn: u32) {
        // Pairs with the loads in `wait`: what was done to the object comes first.
        self.turn.store(turn.wrapping_add(1), Ordering::Release);
    }
}
