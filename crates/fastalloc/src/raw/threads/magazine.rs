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

/// Magazines in the first segment; each further one has twice as many as the one before.
const FIRST: usize = if cfg!(fastalloc_loom) { 2 } else { 4 };

const SEGMENTS: usize = if cfg!(fastalloc_loom) { 1 } else { 16 };

/// A stack of vacant slots.
///
/// Only one thread uses it at a time: its owner between [`Thread::enter`] and [`Thread::leave`], or one that
/// found the owner outside of that section, while the pool's magazines were out of use. The fields are
/// atomic because others look how full it is.
#[derive(Debug, Default)]
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
    /// Null as long as it was never used.
    owner: AtomicPtr<Thread>,
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
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
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

    /// Adds slots, the first ones on top, and sets the limit. Takes out what is beyond it.
    pub(super) fn refill(&self, slots: &[NonNull<u8>], limit: usize) -> Batch {
        self.limit.store(limit.min(ROUNDS), Relaxed);
        let mut rejected = Batch::default();
        for &slot in slots.iter().rev() {
            if !self.push(slot) {
                rejected.push(slot);
            }
        }
        rejected
    }

    /// Adds a slot and sets the limit. If the magazine is full then, half of what it may hold is taken out.
    pub(super) fn push_or_spill(&self, slot: NonNull<u8>, limit: usize) -> Batch {
        let mut spilled = Batch::default();
        self.limit.store(limit.min(ROUNDS), Relaxed);
        if self.len.load(Relaxed) >= limit.min(ROUNDS) {
            let taken = core::iter::from_fn(|| self.pop_round()).take((limit / 2).clamp(1, BATCH));
            taken.for_each(|slot| spilled.push(slot));
        }
        if limit == 0 || !self.push(slot) {
            spilled.push(slot);
        }
        spilled
    }

    /// Takes out as many slots as a batch holds.
    pub(super) fn drain(&self) -> Batch {
        let mut batch = Batch::default();
        while batch.len < BATCH {
            let Some(slot) = self.pop() else { break };
            batch.push(slot);
        }
        self.limit.store(0, Relaxed);
        batch
    }

    /// Number of slots; somewhat old if another thread is using the magazine.
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed) + usize::from(!self.hot.load(Relaxed).is_null())
    }

    /// The thread that uses the magazine, if one ever did.
    pub(super) fn owner(&self) -> Option<&'static Thread> {
        // SAFETY: threads are never freed.
        unsafe { self.owner.load(Acquire).as_ref() }
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

/// Where in each pool the magazines of a thread are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    segment: usize,
    /// In bytes.
    offset: usize,
}

impl Place {
    #[cfg(not(fastalloc_loom))]
    pub(super) const FIRST: Self = Self { segment: 0, offset: 0 };

    /// `None` for more threads than there is room for.
    pub(super) fn of(number: usize) -> Option<Self> {
        let segment = (number / FIRST + 1).ilog2() as usize;
        let index = number - FIRST * ((1 << segment) - 1);
        (segment < SEGMENTS).then_some(Self { segment, offset: index * size_of::<Magazine>() })
    }
}

/// The magazines of a pool, one for each thread. They are made as threads come, and stay in place.
#[derive(Debug, Default)]
pub(super) struct Magazines {
    segments: [AtomicPtr<Magazine>; SEGMENTS],
    /// How many have been used.
    count: AtomicUsize,
}

impl Magazines {
    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&Magazine> {
        // SAFETY: places are made so that the segment exists.
        let segment = unsafe { self.segments.get_unchecked(place.segment) };
        let first = NonNull::new(segment.load(Acquire))?;
        // SAFETY: places are made so that the segment, if it is there, has this magazine.
        let magazine = unsafe { first.byte_add(place.offset) };
        // SAFETY: magazines stay in place until the pool is gone, and change through atomics only.
        Some(unsafe { magazine.as_ref() })
    }

    /// The magazine of a thread, made if it is not there yet and there is memory.
    pub(super) fn get_or_make(&self, thread: &'static Thread) -> Option<&Magazine> {
        if self.get(thread.place).is_none() {
            let len = FIRST << thread.place.segment;
            let mut segment = Vec::new();
            segment.try_reserve_exact(len).ok()?;
            segment.extend(core::iter::repeat_with(Magazine::default).take(len));
            let new = Box::into_raw(segment.into_boxed_slice()).cast::<Magazine>();
            let shared = &self.segments[thread.place.segment];
            if shared.compare_exchange(ptr::null_mut(), new, AcqRel, Acquire).is_err() {
                // Another thread was faster.
                // SAFETY: the segment was just made, and nobody else knows of it.
                unsafe { free_segment(new, len) };
            }
        }
        let magazine = self.get(thread.place)?;
        if magazine.owner.load(Relaxed).is_null() {
            magazine.owner.store(ptr::from_ref(thread).cast_mut(), Release);
            self.count.fetch_add(1, Relaxed);
        }
        Some(magazine)
    }

    /// How many have been used.
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// All there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Magazine> {
        self.segments.iter().enumerate().flat_map(|(segment, first)| {
            let first = first.load(Acquire);
            let len = if first.is_null() { 0 } else { FIRST << segment };
            (0..len).map(move |index| {
                // SAFETY: a segment that is there has this many magazines.
                let magazine = unsafe { first.add(index) };
                // SAFETY: they stay in place until the pool is gone, and change through atomics only.
                unsafe { &*magazine }
            })
        })
    }
}

/// What models need.
#[cfg(all(test, fastalloc_loom))]
impl Magazines {
    /// For loom, writes to all that is freed next. Who uses it afterwards finds no atomics.
    pub(super) fn destroy(&mut self) {
        self.count.with_mut(|_| ());
        for (number, segment) in self.segments.iter_mut().enumerate() {
            let first = segment.with_mut(|first| *first);
            for index in 0..if first.is_null() { 0 } else { FIRST << number } {
                // SAFETY: the segment is there, and has this many magazines.
                let magazine = unsafe { first.add(index) };
                // SAFETY: the pool is gone, so nobody else uses its magazines.
                unsafe { &mut *magazine }.destroy();
                // SAFETY: the memory is the magazine's, and nothing in it needs to be dropped.
                unsafe { magazine.write_bytes(0xff, 1) };
            }
        }
    }
}

#[cfg(all(test, fastalloc_loom))]
impl Magazine {
    fn destroy(&mut self) {
        let Self { hot, len, limit, claimed, owner, rounds } = self;
        hot.with_mut(|_| ());
        len.with_mut(|_| ());
        limit.with_mut(|_| ());
        // SAFETY: the pool is gone, so nobody else uses its magazines.
        let _ = unsafe { claimed.unsync_load() };
        owner.with_mut(|_| ());
        rounds.0.iter_mut().for_each(|round| round.with_mut(|_| ()));
    }
}

impl Drop for Magazines {
    fn drop(&mut self) {
        for (number, segment) in self.segments.iter().enumerate() {
            let first = segment.load(Acquire);
            if !first.is_null() {
                // SAFETY: the pool is gone, and its segments with it.
                unsafe { free_segment(first, FIRST << number) };
            }
        }
    }
}

/// # Safety
///
/// The segment was made by [`Magazines::get_or_make`] with this length, and is not used any more.
unsafe fn free_segment(first: *mut Magazine, len: usize) {
    // SAFETY: the caller says so.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first, len)) });
}
