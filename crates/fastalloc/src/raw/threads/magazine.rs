//! Magazines: the slots that a thread keeps for itself, so that it need not ask the depot each time.
//!
//! After Bonwick and Adams, "Magazines and Vmem: Extending the Slab Allocator to Many CPUs and Arbitrary
//! Resources", USENIX 2001.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::{self, NonNull};

use super::thread::Thread;
use crate::chunk::prefetch_to_write;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

/// Slots that a magazine has room for, besides the hot one.
pub(super) const ROUNDS: usize = if cfg!(fastalloc_loom) { 2 } else { 128 };

/// Slots that are moved at once.
pub(super) const BATCH: usize = ROUNDS / 2;

/// How far ahead slots are brought to the cache: another thread may have released them.
const AHEAD: usize = 8;

/// Length of the first table of magazines; each further one is twice as long as the one before.
const FIRST: usize = if cfg!(fastalloc_loom) { 2 } else { 4 };

const TABLES: usize = if cfg!(fastalloc_loom) { 1 } else { 16 };

/// A stack of vacant slots.
///
/// Only one thread uses it at a time: its owner between [`Thread::enter`] and [`Thread::leave`], or one that
/// found the owner outside of that section, while the pool's magazines were out of use. The fields are
/// atomic because others look how full it is, and may reset what the statistics of it are.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Magazine {
    /// The slot released last, or null. Without it, each operation would wait for the one before to
    /// change `len`.
    hot: AtomicPtr<u8>,
    len: AtomicUsize,
    /// How large `len` may become.
    limit: AtomicUsize,
    /// A thread other than the owner uses the magazine.
    pub(super) claimed: AtomicBool,
    pub(super) owner: &'static Thread,
    /// How many slots the owner has taken.
    #[cfg(feature = "stats")]
    pub(super) allocations: crate::sync::atomic::AtomicU64,
    /// The fewest slots that were here, the hot one not counted, since some were exchanged.
    #[cfg(feature = "stats")]
    low: AtomicUsize,
    rounds: Rounds,
}

#[derive(Debug)]
struct Rounds([AtomicPtr<u8>; ROUNDS]);

impl Default for Rounds {
    fn default() -> Self {
        Self(core::array::from_fn(|_| AtomicPtr::default()))
    }
}

impl Magazine {
    fn new(owner: &'static Thread) -> Self {
        Self {
            hot: AtomicPtr::default(),
            len: AtomicUsize::default(),
            limit: AtomicUsize::default(),
            claimed: AtomicBool::default(),
            owner,
            #[cfg(feature = "stats")]
            allocations: Default::default(),
            #[cfg(feature = "stats")]
            low: AtomicUsize::default(),
            rounds: Rounds::default(),
        }
    }

    /// Takes a slot for the owner.
    #[inline]
    pub(super) fn allocate(&self) -> Option<NonNull<u8>> {
        let slot = self.pop()?;
        #[cfg(feature = "stats")]
        self.allocations.store(self.allocations.load(Relaxed) + 1, Relaxed);
        Some(slot)
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<u8>> {
        let hot = self.hot.load(Relaxed);
        if !hot.is_null() {
            self.hot.store(ptr::null_mut(), Relaxed);
            return NonNull::new(hot);
        }
        self.pop_round()
    }

    #[inline]
    fn pop_round(&self) -> Option<NonNull<u8>> {
        let last = self.len.load(Relaxed).checked_sub(1)?;
        self.len.store(last, Relaxed);
        #[cfg(feature = "stats")]
        if last < self.low.load(Relaxed) {
            self.low.store(last, Relaxed);
        }
        if let Some(next) = self.rounds.0.get(last.wrapping_sub(AHEAD)) {
            prefetch_to_write(next.load(Relaxed));
        }
        NonNull::new(self.rounds.0.get(last)?.load(Relaxed))
    }

    /// Adds a slot; `false` if the magazine is as full as it may be.
    #[inline]
    pub(super) fn push(&self, slot: NonNull<u8>) -> bool {
        let hot = self.hot.load(Relaxed);
        if !hot.is_null() && !self.push_round(hot) {
            return false;
        }
        self.hot.store(slot.as_ptr(), Relaxed);
        true
    }

    #[inline]
    fn push_round(&self, slot: *mut u8) -> bool {
        let len = self.len.load(Relaxed);
        if len >= self.limit.load(Relaxed) {
            return false;
        }
        let Some(round) = self.rounds.0.get(len) else { return false };
        round.store(slot, Relaxed);
        self.len.store(len + 1, Relaxed);
        true
    }

    /// Whether the owner may add slots now, without asking how many are vacant elsewhere.
    pub(super) fn is_open(&self) -> bool {
        self.limit.load(Relaxed) > 0
    }

    /// Adds slots, the first ones on top, and sets the limit. Returns those that are beyond it: the first ones.
    pub(super) fn refill<'slots>(&self, slots: &'slots [NonNull<u8>], limit: usize) -> &'slots [NonNull<u8>] {
        let (len, limit) = (self.len.load(Relaxed), limit.min(ROUNDS));
        self.limit.store(limit, Relaxed);
        let (rejected, added) = slots.split_at(slots.len().saturating_sub(limit.saturating_sub(len)));
        let vacant = self.rounds.0.get(len..).unwrap_or_default();
        vacant.iter().zip(added.iter().rev()).for_each(|(round, slot)| round.store(slot.as_ptr(), Relaxed));
        self.len.store(len + added.len(), Relaxed);
        // Who takes the hot one does not note how few are left: there is none.
        self.reset_low();
        rejected
    }

    /// Adds a slot and sets the limit. If the magazine is full then, half of what it may hold is taken out, and perhaps
    /// the slot.
    pub(super) fn push_or_spill(&self, slot: NonNull<u8>, limit: usize, spilled: &mut Batch) {
        self.limit.store(limit.min(ROUNDS), Relaxed);
        if self.len.load(Relaxed) >= limit.min(ROUNDS) {
            self.spill((limit / 2).clamp(1, BATCH), spilled);
        }
        if limit == 0 || !self.push(slot) {
            spilled.push(slot);
        }
        self.reset_low();
    }

    /// Takes out as many slots as a batch holds.
    pub(super) fn drain(&self, batch: &mut Batch) {
        if let Some(hot) = NonNull::new(self.hot.load(Relaxed)) {
            self.hot.store(ptr::null_mut(), Relaxed);
            batch.push(hot);
        }
        self.spill(BATCH - batch.len, batch);
        self.limit.store(0, Relaxed);
        self.reset_low();
    }

    /// Takes out so many slots from the top, or all. Unlike the owner, nobody has the next ones brought to the cache: it is
    /// others who will use them.
    fn spill(&self, count: usize, to: &mut Batch) {
        let len = self.len.load(Relaxed);
        let left = len.saturating_sub(count);
        self.len.store(left, Relaxed);
        let rounds = self.rounds.0.get(left..len).unwrap_or_default();
        rounds.iter().rev().filter_map(|round| NonNull::new(round.load(Relaxed))).for_each(|slot| to.push(slot));
    }

    /// Leaves the hot slot vacant, so that `low` will be exact. Takes out what there is no room for.
    #[cfg(feature = "stats")]
    pub(super) fn cool(&self) -> Batch {
        let mut rejected = Batch::default();
        if let Some(hot) = NonNull::new(self.hot.load(Relaxed)) {
            self.hot.store(ptr::null_mut(), Relaxed);
            if !self.push_round(hot.as_ptr()) {
                rejected.push(hot);
            }
        }
        self.reset_low();
        rejected
    }

    /// Forgets how few slots were here.
    pub(super) fn reset_low(&self) {
        #[cfg(feature = "stats")]
        self.low.store(self.len.load(Relaxed), Relaxed);
    }

    /// How few slots were here since that was forgotten: one less, perhaps, than there were if there was a hot one.
    #[cfg(feature = "stats")]
    pub(super) fn low(&self) -> usize {
        self.low.load(Relaxed)
    }

    /// Number of slots; somewhat old if another thread is using the magazine.
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed) + usize::from(!self.hot.load(Relaxed).is_null())
    }
}

/// Some slots on their way between a magazine and the depot.
#[derive(Debug)]
pub(crate) struct Batch {
    slots: [NonNull<u8>; BATCH + 1],
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { slots: [NonNull::dangling(); BATCH + 1], len: 0 }
    }
}

impl Batch {
    pub(super) fn push(&mut self, slot: NonNull<u8>) {
        self.slots[self.len] = slot;
        self.len += 1;
    }

    pub(super) fn slots(&self) -> &[NonNull<u8>] {
        &self.slots[..self.len]
    }
}

/// Where in each pool the magazine of a thread is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    table: usize,
    index: usize,
}

impl Place {
    #[cfg(not(fastalloc_loom))]
    pub(super) const FIRST: Self = Self { table: 0, index: 0 };

    /// `None` for more threads than there is room for.
    pub(super) fn of(number: usize) -> Option<Self> {
        let table = (number / FIRST + 1).ilog2() as usize;
        let index = number - FIRST * ((1 << table) - 1);
        (table < TABLES).then_some(Self { table, index })
    }
}

/// The magazines of a pool, one for each thread. They are made as threads come, and stay in place.
#[derive(Debug, Default)]
pub(super) struct Magazines {
    /// Pointers to magazines; null for threads that have not come.
    tables: [AtomicPtr<AtomicPtr<Magazine>>; TABLES],
    count: AtomicUsize,
}

impl Magazines {
    fn table(&self, number: usize) -> Option<&[AtomicPtr<Magazine>]> {
        let first = NonNull::new(self.tables[number].load(Acquire))?;
        // SAFETY: a table that is there has this length, and stays until the pool is gone.
        Some(unsafe { NonNull::slice_from_raw_parts(first, FIRST << number).as_ref() })
    }

    pub(super) fn get(&self, place: Place) -> Option<&Magazine> {
        let magazine = self.table(place.table)?.get(place.index)?.load(Acquire);
        // SAFETY: magazines stay in place until the pool is gone, and change through atomics only.
        unsafe { magazine.as_ref() }
    }

    /// The magazine of the current thread, made if it is not there yet and there is memory.
    pub(super) fn get_or_make(&self, thread: &'static Thread) -> Option<&Magazine> {
        let Place { table, index } = thread.place;
        if let Some(magazine) = self.get(thread.place) {
            return Some(magazine);
        }
        if self.table(table).is_none() {
            let new = leak(core::iter::repeat_with(AtomicPtr::default).take(FIRST << table))?;
            if self.tables[table].compare_exchange(ptr::null_mut(), new, AcqRel, Acquire).is_err() {
                // Another thread was faster.
                // SAFETY: the table was just made, and nobody else knows of it.
                unsafe { free(new, FIRST << table) };
            }
        }
        // No other thread makes this one.
        self.table(table)?[index].store(leak(core::iter::once(Magazine::new(thread)))?, Release);
        self.count.fetch_add(1, Relaxed);
        self.get(thread.place)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// All there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Magazine> {
        let entries = (0..TABLES).filter_map(|number| self.table(number)).flatten();
        // SAFETY: as in `get`.
        entries.filter_map(|magazine| unsafe { magazine.load(Acquire).as_ref() })
    }
}

/// What models need.
#[cfg(all(test, fastalloc_loom))]
impl Magazines {
    /// For loom, writes to all that is freed next.
    pub(super) fn destroy(&mut self) {
        self.count.with_mut(|_| ());
        for magazine in (0..TABLES).filter_map(|number| self.table(number)).flatten() {
            // SAFETY: the pool is gone, so nobody else uses its magazines.
            if let Some(magazine) = unsafe { magazine.load(Acquire).as_mut() } {
                magazine.destroy();
            }
        }
    }
}

#[cfg(all(test, fastalloc_loom))]
impl Magazine {
    fn destroy(&mut self) {
        let Self { hot, len, limit, claimed, rounds, .. } = self;
        hot.with_mut(|_| ());
        len.with_mut(|_| ());
        limit.with_mut(|_| ());
        // SAFETY: the pool is gone, so nobody else uses its magazines.
        let _ = unsafe { claimed.unsync_load() };
        rounds.0.iter_mut().for_each(|round| round.with_mut(|_| ()));
    }
}

impl Drop for Magazines {
    fn drop(&mut self) {
        for number in 0..TABLES {
            let Some(table) = self.table(number) else { continue };
            for magazine in table.iter().map(|magazine| magazine.load(Acquire)).filter(|magazine| !magazine.is_null()) {
                // SAFETY: the pool is gone, and its magazines with it.
                unsafe { free(magazine, 1) };
            }
            // SAFETY: the same for its tables.
            unsafe { free(self.tables[number].load(Acquire), FIRST << number) };
        }
    }
}

/// Allocates memory for so many items; `None` if there is none.
fn leak<T>(items: impl ExactSizeIterator<Item = T>) -> Option<*mut T> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(items.len()).ok()?;
    memory.extend(items);
    Some(Box::into_raw(memory.into_boxed_slice()).cast())
}

/// # Safety
///
/// [`leak`] allocated as many items, and they are not used any more.
unsafe fn free<T>(first: *mut T, len: usize) {
    // SAFETY: the caller says so.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, len)) });
}
