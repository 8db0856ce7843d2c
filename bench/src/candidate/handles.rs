//! Pools whose handles release the object when they are dropped.

use core::{mem::MaybeUninit, ops::Range};

use opool::PoolAllocator;

use super::{Candidate, InPlace, Kind, Traverse};
use crate::object::{Object, opaque};

/// `plurality`, with the handle that is its counterpart of `Box`.
pub struct Plurality<const WORDS: usize>(plurality::Pool<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for Plurality<WORDS> {
    const NAME: &'static str = "plurality Box";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = plurality::Box<Object<WORDS>>;

    /// Grows by chunks: it has no way to reserve.
    fn with_capacity(_capacity: usize) -> Self {
        Self(plurality::Pool::new())
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> plurality::Box<Object<WORDS>> {
        self.0.alloc_box(object)
    }

    #[inline(always)]
    fn read(&self, handle: &plurality::Box<Object<WORDS>>) -> u64 {
        handle.read()
    }
}

impl<const WORDS: usize> InPlace<WORDS> for Plurality<WORDS> {
    #[inline(always)]
    fn allocate_in_place(&self, tag: u64) -> plurality::Box<Object<WORDS>> {
        let mut slot = self.0.alloc_uninit_box();
        Object::build(&mut slot, tag);
        // SAFETY: `build` has written the object.
        unsafe { slot.assume_init() }
    }
}

/// `opool`, local to a thread: a queue of boxes, which are recycled.
///
/// It hands out objects that it has, so allocating means taking a box and writing the new value
/// over the old one.
pub struct Opool<const WORDS: usize>(opool::LocalPool<Boxes, Box<Object<WORDS>>>);

/// Makes the boxes.
pub struct Boxes;

impl<const WORDS: usize> PoolAllocator<Box<Object<WORDS>>> for Boxes {
    fn allocate(&self) -> Box<Object<WORDS>> {
        Box::new(Object::new(0))
    }
}

impl<const WORDS: usize> Candidate<WORDS> for Opool<WORDS> {
    const NAME: &'static str = "opool Local";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = opool::RefLocalGuard<'p, Boxes, Box<Object<WORDS>>>;

    fn with_capacity(capacity: usize) -> Self {
        Self(opool::LocalPool::new_prefilled(capacity, Boxes))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut handle = self.0.get();
        **handle = object;
        handle
    }

    #[inline(always)]
    fn read(&self, handle: &Self::Handle<'_>) -> u64 {
        handle.read()
    }
}

impl<const WORDS: usize> InPlace<WORDS> for Opool<WORDS> {
    #[inline(always)]
    fn allocate_in_place(&self, tag: u64) -> Self::Handle<'_> {
        let mut handle = self.0.get();
        handle.rebuild(tag);
        handle
    }
}

/// `shared_arena`'s pool for one thread.
pub struct SharedArena<const WORDS: usize>(shared_arena::Pool<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for SharedArena<WORDS> {
    const NAME: &'static str = "shared_arena Pool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = shared_arena::PoolBox<Object<WORDS>>;

    fn with_capacity(capacity: usize) -> Self {
        Self(shared_arena::Pool::with_capacity(capacity))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> shared_arena::PoolBox<Object<WORDS>> {
        self.0.alloc(object)
    }

    #[inline(always)]
    fn read(&self, handle: &shared_arena::PoolBox<Object<WORDS>>) -> u64 {
        handle.read()
    }
}

impl<const WORDS: usize> InPlace<WORDS> for SharedArena<WORDS> {
    #[inline(always)]
    fn allocate_in_place(&self, tag: u64) -> shared_arena::PoolBox<Object<WORDS>> {
        self.0.alloc_with(|slot| Object::build(slot, tag))
    }
}

/// `infinity_pool`'s pool for one thread: slabs, of which the first one with a vacancy is used.
pub struct InfinityPool<const WORDS: usize>(infinity_pool::LocalPinnedPool<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for InfinityPool<WORDS> {
    const NAME: &'static str = "infinity_pool Local";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = infinity_pool::LocalPooledMut<Object<WORDS>>;

    fn with_capacity(capacity: usize) -> Self {
        let pool = infinity_pool::LocalPinnedPool::new();
        pool.reserve(capacity);
        Self(pool)
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        self.0.insert(object)
    }

    #[inline(always)]
    fn read(&self, handle: &Self::Handle<'_>) -> u64 {
        handle.read()
    }
}

impl<const WORDS: usize> InPlace<WORDS> for InfinityPool<WORDS> {
    #[inline(always)]
    fn allocate_in_place(&self, tag: u64) -> Self::Handle<'_> {
        let build = |slot: &mut MaybeUninit<Object<WORDS>>| {
            Object::build(slot, tag);
        };
        // SAFETY: `build` writes the object.
        unsafe { self.0.insert_with(build) }
    }
}

impl<const WORDS: usize> Traverse<WORDS> for InfinityPool<WORDS> {
    const OWN_WAY: &'static str = "infinity_pool iter";

    #[inline(always)]
    fn sum(&self, _handles: &[Self::Handle<'_>]) -> u64 {
        self.0.with_iter(|objects| {
            objects.fold(0_u64, |sum, object| {
                // SAFETY: the pool is borrowed, so the object stays, and nobody changes it.
                let object = unsafe { object.as_ref() };
                sum.wrapping_add(object.read())
            })
        })
    }
}

/// The `fastalloc` that was published before this library.
pub struct Published<const WORDS: usize>(published::FixedPool<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for Published<WORDS> {
    const NAME: &'static str = "fastalloc 1.5 Fixed";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = published::OwnedHandle<'p, Object<WORDS>>;

    fn with_capacity(capacity: usize) -> Self {
        Self(published::FixedPool::new(capacity).expect("a capacity above 0"))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> published::OwnedHandle<'_, Object<WORDS>> {
        self.0.allocate(object).expect("a vacant slot")
    }

    #[inline(always)]
    fn allocate_batch(&self, tags: Range<usize>) -> Vec<Self::Handle<'_>> {
        let objects = tags.map(|tag| Object::new(opaque(tag as u64))).collect();
        self.0.allocate_batch(objects).expect("vacant slots")
    }

    #[inline(always)]
    fn read(&self, handle: &published::OwnedHandle<'_, Object<WORDS>>) -> u64 {
        handle.read()
    }
}

/// The `GrowingPool` that was published before this library.
pub struct PublishedGrowing<const WORDS: usize>(published::GrowingPool<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for PublishedGrowing<WORDS> {
    const NAME: &'static str = "fastalloc 1.5 Growing";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = published::OwnedHandle<'p, Object<WORDS>>;

    fn with_capacity(capacity: usize) -> Self {
        let strategy = published::GrowthStrategy::Exponential { factor: 2.0 };
        let config = published::PoolConfig::builder().capacity(capacity).growth_strategy(strategy).build();
        let pool = published::GrowingPool::with_config(config.expect("a capacity above 0"));
        Self(pool.expect("memory for the pool"))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> published::OwnedHandle<'_, Object<WORDS>> {
        self.0.allocate(object).expect("memory for a slot")
    }

    #[inline(always)]
    fn read(&self, handle: &published::OwnedHandle<'_, Object<WORDS>>) -> u64 {
        handle.read()
    }
}
