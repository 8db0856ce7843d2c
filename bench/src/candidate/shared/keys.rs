//! Pools whose objects must be released by hand, each in a handle made here that does it.

use std::sync::{Mutex, MutexGuard};

use onsen::PoolApi;
use slotmap::DefaultKey;

use super::{Handle, Kind, NamedShared};
use crate::object::Object;

/// `slab` behind the lock of the standard library.
pub struct MutexSlab<const WORDS: usize>(Mutex<slab::Slab<Object<WORDS>>>);

impl<const WORDS: usize> MutexSlab<WORDS> {
    #[inline(always)]
    fn lock(&self) -> MutexGuard<'_, slab::Slab<Object<WORDS>>> {
        self.0.lock().expect("no panic")
    }
}

impl<const WORDS: usize> NamedShared<WORDS> for MutexSlab<WORDS> {
    const NAME: &'static str = "Mutex<slab>";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = MutexSlabHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(Mutex::new(slab::Slab::with_capacity(capacity)))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        MutexSlabHandle { slab: self, key: self.lock().insert(object) }
    }
}

pub struct MutexSlabHandle<'p, const WORDS: usize> {
    slab: &'p MutexSlab<WORDS>,
    key: usize,
}

impl<const WORDS: usize> Handle for MutexSlabHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.slab.lock()[self.key].read()
    }
}

impl<const WORDS: usize> Drop for MutexSlabHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        self.slab.lock().remove(self.key);
    }
}

/// `slotmap` behind the lock of the standard library.
pub struct MutexSlotMap<const WORDS: usize>(Mutex<slotmap::SlotMap<DefaultKey, Object<WORDS>>>);

impl<const WORDS: usize> MutexSlotMap<WORDS> {
    #[inline(always)]
    fn lock(&self) -> MutexGuard<'_, slotmap::SlotMap<DefaultKey, Object<WORDS>>> {
        self.0.lock().expect("no panic")
    }
}

impl<const WORDS: usize> NamedShared<WORDS> for MutexSlotMap<WORDS> {
    const NAME: &'static str = "Mutex<slotmap>";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = MutexSlotMapHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(Mutex::new(slotmap::SlotMap::with_capacity(capacity)))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        MutexSlotMapHandle { map: self, key: self.lock().insert(object) }
    }
}

pub struct MutexSlotMapHandle<'p, const WORDS: usize> {
    map: &'p MutexSlotMap<WORDS>,
    key: DefaultKey,
}

impl<const WORDS: usize> Handle for MutexSlotMapHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.map.lock()[self.key].read()
    }
}

impl<const WORDS: usize> Drop for MutexSlotMapHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        self.map.lock().remove(self.key);
    }
}

/// `onsen`'s pool for threads: slots behind a lock. Its box for threads has a pool that is a global
/// of one type.
pub struct Onsen<const WORDS: usize>(onsen::TPool<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for Onsen<WORDS> {
    const NAME: &'static str = "onsen TPool";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = OnsenHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        let pool = onsen::TPool::new();
        pool.with_min_entries(capacity);
        Self(pool)
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        OnsenHandle { pool: &self.0, slot: self.0.alloc(object) }
    }
}

pub struct OnsenHandle<'p, const WORDS: usize> {
    pool: &'p onsen::TPool<Object<WORDS>>,
    /// From `pool`, and freed by `drop` only.
    slot: onsen::Slot<Object<WORDS>, onsen::Initialized>,
}

impl<const WORDS: usize> Handle for OnsenHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.slot.get().read()
    }
}

impl<const WORDS: usize> Drop for OnsenHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the slot is from this pool, and nobody uses it after this.
        unsafe { self.pool.free_by_ref(&mut self.slot) };
    }
}

/// `sharded-slab`: slots by thread, objects by key, every access guarded.
pub struct ShardedSlab<const WORDS: usize>(sharded_slab::Slab<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for ShardedSlab<WORDS> {
    const NAME: &'static str = "sharded-slab";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = ShardedSlabHandle<'p, WORDS>;

    /// Grows by pages: it has no way to reserve.
    fn with_capacity(_capacity: usize) -> Self {
        Self(sharded_slab::Slab::new())
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        ShardedSlabHandle { slab: &self.0, key: self.0.insert(object).expect("a vacant slot") }
    }
}

pub struct ShardedSlabHandle<'p, const WORDS: usize> {
    slab: &'p sharded_slab::Slab<Object<WORDS>>,
    key: usize,
}

impl<const WORDS: usize> Handle for ShardedSlabHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.slab.get(self.key).expect("an object").read()
    }
}

impl<const WORDS: usize> Drop for ShardedSlabHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        self.slab.remove(self.key);
    }
}
