//! Slots on their way from a thread that has many to one that has none.
//!
//! What one magazine spills often is what another one needs: then it goes from thread to thread as a whole,
//! and the depot, which would have to look at each slot, is not asked.

use core::ptr::NonNull;

use super::magazine::{BATCH, Batch};
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicPtr, AtomicUsize};

const BATCHES: usize = if cfg!(fastalloc_loom) { 1 } else { 4 };

/// Batches that any thread may take, and counts of what is under way. Away from the fields that every
/// operation reads, and close together, because who moves slots changes several.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Exchange {
    /// Transfers that have begun: see [`Head::transfer`](super::Head::transfer).
    pub(super) begun: AtomicUsize,
    /// Those that have ended.
    pub(super) ended: AtomicUsize,
    /// How often a thread took what others kept because it wanted an object.
    pub(super) thefts: AtomicUsize,
    /// How often threads that were stopped have been waited for in vain: see [`Patience`](super::patience::Patience).
    pub(super) vain: AtomicUsize,
    /// Slots in each of the batches, or [`IN_USE`].
    lens: [AtomicUsize; BATCHES],
    batches: [Slots; BATCHES],
}

/// A thread is filling or emptying the batch. If it never ends, others do without this batch.
const IN_USE: usize = usize::MAX;

#[derive(Debug)]
struct Slots([AtomicPtr<u8>; BATCH]);

impl Default for Slots {
    fn default() -> Self {
        Self(core::array::from_fn(|_| AtomicPtr::default()))
    }
}

impl Exchange {
    /// If no transfer is going on, a mark that changes with the next one.
    pub(super) fn quiet(&self) -> Option<usize> {
        let ended = self.ended.load(SeqCst);
        (self.begun.load(SeqCst) == ended).then_some(ended)
    }

    /// Number of slots; somewhat old if other threads are exchanging some.
    pub(super) fn len(&self) -> usize {
        self.lens.iter().map(|len| len.load(SeqCst)).filter(|&len| len != IN_USE).sum()
    }

    /// Leaves slots, as many as a batch holds or fewer, for whoever needs them; `false` if there is no room. Only
    /// in a transfer.
    pub(super) fn put(&self, slots: &[NonNull<u8>]) -> bool {
        self.lens.iter().zip(&self.batches).any(|(len, batch)| {
            // Pairs with the end of `take`: the slots that were in the batch have been read.
            let is_mine = len.load(Relaxed) == 0
                && slots.len() <= BATCH
                && len.compare_exchange(0, IN_USE, Acquire, Relaxed).is_ok();
            if is_mine {
                batch.0.iter().zip(slots).for_each(|(to, slot)| to.store(slot.as_ptr(), Relaxed));
                // A swap, because who joins the line does not ask later than this whether there are slots.
                len.swap(slots.len(), SeqCst);
            }
            is_mine
        })
    }

    /// Takes slots that somebody left into an empty batch; `false` if there are none. Only in a transfer.
    pub(super) fn take(&self, to: &mut Batch) -> bool {
        self.lens.iter().zip(&self.batches).any(|(len, batch)| {
            let count = len.load(SeqCst);
            // Pairs with the end of `put`: the slots have been written.
            let is_mine =
                count != 0 && count != IN_USE && len.compare_exchange(count, IN_USE, Acquire, Relaxed).is_ok();
            if is_mine {
                let slots = batch.0.iter().take(count);
                slots.filter_map(|slot| NonNull::new(slot.load(Relaxed))).for_each(|slot| to.push(slot));
                len.store(0, Release);
            }
            is_mine
        })
    }
}

/// What models need.
#[cfg(all(test, fastalloc_loom))]
impl Exchange {
    /// For loom, writes to all that is freed next.
    pub(super) fn destroy(&mut self) {
        let Self { begun, ended, thefts, vain, lens, batches } = self;
        [begun, ended, thefts, vain].into_iter().chain(lens).for_each(|count| count.with_mut(|_| ()));
        batches.iter_mut().flat_map(|batch| &mut batch.0).for_each(|slot| slot.with_mut(|_| ()));
    }
}
