//! Who called: stacks, and the table in which each has a number.
//!
//! A stack is a frame and the stack of its caller. Threads add to the table without locks, and never wait: a number is
//! taken, its entry filled in, and then the entry put into a hash table, unless another thread was faster, in which case
//! the number is wasted. Who writes the table to the trace *gives up* numbers whose entries are not filled in yet, so
//! that it need not wait either: whoever was about to use such a number takes another one.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::sys;

/// Frames of a stack at most.
pub(crate) const DEPTH_MAX: usize = 128;
/// Stacks in the table at most: readers accept twice as many.
const STACKS: usize = 1 << 21;
const SLOTS: usize = STACKS * 2;
/// Slots that are looked at for one stack.
const PROBES: usize = 256;
/// In place of an address: this number is not used.
const GIVEN_UP: usize = 1;

unsafe extern "C" {
    fn _Unwind_Backtrace(step: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void)
    -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, is_before: *mut c_int) -> usize;
    // Where this library starts and where its code ends: the linker knows.
    static __ehdr_start: u8;
    static etext: u8;
}

/// Zeros are a table that is empty.
struct Table {
    entries: [Entry; STACKS],
    slots: [AtomicU32; SLOTS],
}

struct Entry {
    parent: AtomicU32,
    /// 0: not filled in yet.
    address: AtomicUsize,
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());
/// How many numbers were taken, or tried to be. 0 is the empty stack.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// How many numbers there were when addresses last began to mean something else than before.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// The frames of the stack that a thread saw last, the outermost first, and their numbers.
///
/// Zeros are no stack.
pub(crate) struct Walk {
    epoch: u32,
    depth: usize,
    addresses: [usize; DEPTH_MAX],
    stacks: [u32; DEPTH_MAX],
    /// The stack that is being walked, the innermost first.
    found: usize,
    wanted: usize,
    walked: [usize; DEPTH_MAX],
}

/// Whether there is memory for the table.
pub(crate) fn prepare() -> bool {
    match sys::map::<Table>() {
        Some(table) => TABLE.store(table, Ordering::Release),
        None => return false,
    }
    true
}

/// Stacks that are found from now on are other ones than before.
pub(crate) fn begin_epoch() {
    EPOCH.store(count(), Ordering::Relaxed);
}

impl Walk {
    /// The stack that a thread saw last is another one's, which may have stopped anywhere.
    pub(crate) fn forget(&mut self) {
        self.depth = 0;
    }

    /// The number of the stack that called the library; `None` if the table is full.
    #[inline(always)]
    pub(crate) fn stack(&mut self, depth: usize) -> Option<u32> {
        self.found = 0;
        self.wanted = depth.min(DEPTH_MAX);
        // SAFETY: `step` takes what it is given, and does not unwind.
        unsafe { _Unwind_Backtrace(step, ptr::from_mut(self).cast()) };
        self.number()
    }

    #[inline(never)]
    fn number(&mut self) -> Option<u32> {
        let table = table()?;
        let epoch = EPOCH.load(Ordering::Relaxed);
        if epoch != self.epoch {
            (self.epoch, self.depth) = (epoch, 0);
        }
        let walked = self.walked[..self.found].iter().rev();
        // Most have all frames but the innermost ones in common with the last stack.
        let mut known = walked.clone().zip(&self.addresses[..self.depth]).take_while(|(a, b)| a == b).count();
        let mut stack = known.checked_sub(1).map_or(0, |last| self.stacks[last]);
        for address in walked.skip(known) {
            self.depth = known;
            stack = table.child(epoch, stack, *address)?;
            (self.addresses[known], self.stacks[known]) = (*address, stack);
            known += 1;
        }
        self.depth = known;
        Some(stack)
    }
}

/// Notes a frame, unless it is of this library.
unsafe extern "C" fn step(context: *mut c_void, argument: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const END: c_int = 5;
    // SAFETY: `Walk::stack` gives itself, and waits.
    let walk = unsafe { &mut *argument.cast::<Walk>() };
    let mut is_before = 0;
    // SAFETY: the context is that of the frame.
    let address = unsafe { _Unwind_GetIPInfo(context, &raw mut is_before) };
    let (own_start, own_end) = ((&raw const __ehdr_start).addr(), (&raw const etext).addr());
    if (own_start..own_end).contains(&address) {
        return GO_ON;
    }
    if address <= GIVEN_UP || walk.found >= walk.wanted {
        return END;
    }
    // Readers take it for a return address, behind the call. A signal comes before an instruction.
    walk.walked[walk.found] = address + usize::from(is_before != 0);
    walk.found += 1;
    if walk.found == walk.wanted { END } else { GO_ON }
}

fn table() -> Option<&'static Table> {
    // SAFETY: it is mapped, never unmapped, and atomic.
    unsafe { TABLE.load(Ordering::Acquire).as_ref() }
}

impl Table {
    /// The number of a stack, which may be new; `None` if there is no room for it.
    fn child(&self, epoch: u32, parent: u32, address: usize) -> Option<u32> {
        let mut hash = (address as u64 ^ u64::from(parent) << 40 ^ u64::from(epoch) << 20) ^ u64::from(parent);
        // The finalizer of MurmurHash3.
        hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash = (hash ^ hash >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        let mut mine = None;
        for probe in 0..PROBES {
            let slot = &self.slots[((hash >> 20) as usize + probe) & (SLOTS - 1)];
            let mut number = slot.load(Ordering::Acquire);
            if number == 0 {
                let new = match mine {
                    Some(new) => new,
                    None => self.add(parent, address)?,
                };
                mine = Some(new);
                match slot.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Some(new),
                    Err(other) => number = other,
                }
            }
            let entry = &self.entries[number as usize - 1];
            let is_same = number > epoch
                && entry.address.load(Ordering::Relaxed) == address
                && entry.parent.load(Ordering::Relaxed) == parent;
            if is_same {
                return Some(number);
            }
        }
        None
    }

    fn add(&self, parent: u32, address: usize) -> Option<u32> {
        loop {
            // It stops soon after the table is full, so that it does not overflow.
            if COUNT.load(Ordering::Relaxed) >= STACKS as u32 {
                return None;
            }
            let index = COUNT.fetch_add(1, Ordering::Relaxed);
            let entry = self.entries.get(index as usize)?;
            entry.parent.store(parent, Ordering::Relaxed);
            // Pairs with `get`: who reads the address reads the parent too.
            if entry.address.compare_exchange(0, address, Ordering::Release, Ordering::Relaxed).is_ok() {
                return Some(index + 1);
            }
        }
    }
}

/// How many stacks there are; some may be unfinished.
pub(crate) fn count() -> u32 {
    COUNT.load(Ordering::Acquire).min(STACKS as u32)
}

/// A stack of the table: its caller's number, and its address.
///
/// One that is unfinished is given up, and has neither.
pub(crate) fn get(number: u32) -> (u32, usize) {
    let Some(entry) = table().and_then(|table| table.entries.get(number as usize - 1)) else { return (0, 0) };
    match entry.address.compare_exchange(0, GIVEN_UP, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) | Err(GIVEN_UP) => (0, 0),
        Err(address) => (entry.parent.load(Ordering::Relaxed), address),
    }
}
