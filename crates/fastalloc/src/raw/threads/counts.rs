//! The counts of handles that share an object.

use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::spin_loop;
use crate::sync::zeroed::{AtomicU32, AtomicU64};

/// The counts of a slot whose object is shared by threads. Zeros are valid.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Shared handles; `PINNED` if there is another kind, and the object is pinned.
    pub(crate) strong: AtomicU32,
    /// Objects that have been shared in this slot and are no more. Cannot overflow in 64 bits.
    pub(crate) generation: AtomicU64,
    /// Weak handles that can be upgraded, in the lower half; `LOCKED` while it is made sure that there are
    /// none. The upper half is the lower one of the generation: who changes the count has just found his
    /// generation alive, so the same bits could only be those of another one if 2^32 objects had come and
    /// gone in this slot between two instructions.
    pub(super) weak: AtomicU64,
}

const PINNED: u32 = u32::MAX;
const LOCKED: u32 = u32::MAX;

/// So many handles are too many.
pub(crate) const MANY: u32 = 1 << 31;

impl Counts {
    /// The value is not shared any more: no weak handle finds it from now on.
    pub(crate) fn end(&self) {
        let generation = self.generation.load(Relaxed) + 1;
        self.generation.store(generation, Release);
        self.weak.store(generation << 32, Release);
    }

    /// Weak handles that can be upgraded.
    pub(crate) fn weak_count(&self) -> usize {
        match self.weak.load(Acquire) as u32 {
            LOCKED => 0,
            count => count as usize,
        }
    }

    /// Counts a weak handle, if its generation is alive.
    ///
    /// # Panics
    ///
    /// If there are too many.
    pub(crate) fn add_weak(&self, generation: u64) {
        self.change_weak(generation, |count| {
            assert!(count < LOCKED - 1, "too many weak handles to one value");
            count + 1
        });
    }

    /// Counts a weak handle less, if its generation is alive.
    pub(crate) fn remove_weak(&self, generation: u64) {
        self.change_weak(generation, |count| count - 1);
    }

    fn change_weak(&self, generation: u64, change: impl Fn(u32) -> u32) {
        while self.generation.load(Acquire) == generation {
            let word = self.weak.load(Relaxed);
            let count = word as u32;
            if word >> 32 != generation & u64::from(u32::MAX) {
                return;
            }
            if count == LOCKED {
                spin_loop();
                continue;
            }
            let changed = word - u64::from(count) + u64::from(change(count));
            // Pairs with `is_only_handle`, which finds the count 0 again.
            if self.weak.compare_exchange(word, changed, Release, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Whether there is one shared handle, the caller's, and no weak one.
    pub(crate) fn is_only_handle(&self) -> bool {
        let none = self.generation.load(Relaxed) << 32;
        // While `weak` is locked, nobody makes a weak handle from another shared one.
        if self.weak.compare_exchange(none, none | u64::from(LOCKED), Acquire, Relaxed).is_err() {
            return false;
        }
        let is_only = self.strong.load(Acquire) == 1;
        self.weak.store(none, Release);
        is_only
    }

    /// Notes that the slot's object was pinned.
    pub(crate) fn pin(&self) {
        // Pairs with the load in an upgrade of an earlier tenant's weak handle, which then sees the new generation.
        self.strong.store(PINNED, Release);
    }

    /// Whether it was; it is not from now on.
    pub(crate) fn unpin(&self) -> bool {
        let was_pinned = self.strong.load(Relaxed) == PINNED;
        if was_pinned {
            self.strong.store(0, Relaxed);
        }
        was_pinned
    }
}
