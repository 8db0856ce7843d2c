//! Pools whose handles release the object when they are dropped.

use core::mem::ManuallyDrop;

use crossbeam_queue::ArrayQueue;
use lockfree_object_pool::{LinearObjectPool, LinearReusable};

use super::{Handle, Kind, NamedShared, Shared, Smart};
use crate::{candidate::handles::Boxes, object::Object};

/// `lockfree-object-pool`'s `LinearObjectPool`: pages of objects with a word of atomic flags each.
///
/// It hands out objects that it has, so allocating means writing the new value over the old one.
pub struct Linear<const WORDS: usize>(LinearObjectPool<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for Linear<WORDS> {
    const NAME: &'static str = "lockfree-object-pool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = LinearHandle<'p, WORDS>;

    /// Grows by pages: it has no way to reserve.
    fn with_capacity(_capacity: usize) -> Self {
        Self(LinearObjectPool::new(|| Object::new(0), |_| {}))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut handle = self.0.pull();
        *handle = object;
        LinearHandle(handle)
    }
}

pub struct LinearHandle<'p, const WORDS: usize>(LinearReusable<'p, Object<WORDS>>);

// SAFETY: the handle of the same crate that counts references to the pool instead of borrowing it
// can be sent, and does the same with the object.
unsafe impl<const WORDS: usize> Send for LinearHandle<'_, WORDS> {}

impl<const WORDS: usize> Handle for LinearHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.0.read()
    }
}

/// `object-pool`: a vector of boxes behind `parking_lot`'s lock, which are recycled.
pub struct ObjectPool<const WORDS: usize>(object_pool::Pool<Box<Object<WORDS>>>);

impl<const WORDS: usize> NamedShared<WORDS> for ObjectPool<WORDS> {
    const NAME: &'static str = "object-pool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = ObjectPoolHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(object_pool::Pool::new(capacity, || Box::new(Object::new(0))))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut handle = self.0.pull(|| Box::new(Object::new(0)));
        **handle = object;
        ObjectPoolHandle(handle)
    }
}

pub struct ObjectPoolHandle<'p, const WORDS: usize>(object_pool::Reusable<'p, Box<Object<WORDS>>>);

impl<const WORDS: usize> Handle for ObjectPoolHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.0.read()
    }
}

/// `opool`: crossbeam's `ArrayQueue` of boxes, which are recycled.
pub struct Opool<const WORDS: usize>(opool::Pool<Boxes, Box<Object<WORDS>>>);

impl<const WORDS: usize> NamedShared<WORDS> for Opool<WORDS> {
    const NAME: &'static str = "opool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = OpoolHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(opool::Pool::new_prefilled(capacity, Boxes))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut handle = self.0.get();
        **handle = object;
        OpoolHandle(handle)
    }
}

pub struct OpoolHandle<'p, const WORDS: usize>(opool::RefGuard<'p, Boxes, Box<Object<WORDS>>>);

impl<const WORDS: usize> Handle for OpoolHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.0.read()
    }
}

/// `plurality`: one thread allocates, any thread releases.
pub struct Plurality<const WORDS: usize>(plurality::Pool<Object<WORDS>>);

impl<const WORDS: usize> Shared<WORDS> for Plurality<WORDS> {
    const NAME: &'static str = "plurality Box";
    const KIND: Kind = Kind::Handles;

    /// Grows by chunks: it has no way to reserve.
    fn with_capacity(_capacity: usize) -> Self {
        Self(plurality::Pool::new())
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send {
        Smart(self.0.alloc_box(object))
    }
}

/// `shared_arena`'s pool for threads.
pub struct SharedArena<const WORDS: usize>(shared_arena::SharedArena<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for SharedArena<WORDS> {
    const NAME: &'static str = "shared_arena";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = Smart<shared_arena::ArenaBox<Object<WORDS>>>;

    fn with_capacity(capacity: usize) -> Self {
        Self(shared_arena::SharedArena::with_capacity(capacity))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        Smart(self.0.alloc(object))
    }
}

/// `infinity_pool`'s pool for threads: slabs behind the lock of the standard library.
pub struct InfinityPool<const WORDS: usize>(infinity_pool::PinnedPool<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for InfinityPool<WORDS> {
    const NAME: &'static str = "infinity_pool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = Smart<infinity_pool::PooledMut<Object<WORDS>>>;

    fn with_capacity(capacity: usize) -> Self {
        let pool = infinity_pool::PinnedPool::new();
        pool.reserve(capacity);
        Self(pool)
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        Smart(self.0.insert(object))
    }
}

/// crossbeam's `ArrayQueue` used as a pool: it is filled with boxes, which are recycled.
pub struct CrossbeamQueue<const WORDS: usize>(ArrayQueue<Box<Object<WORDS>>>);

impl<const WORDS: usize> NamedShared<WORDS> for CrossbeamQueue<WORDS> {
    const NAME: &'static str = "crossbeam ArrayQueue";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = CrossbeamHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        let queue = ArrayQueue::new(capacity);
        while queue.push(Box::new(Object::new(0))).is_ok() {}
        Self(queue)
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut recycled = self.0.pop().expect("an object");
        *recycled = object;
        CrossbeamHandle { queue: &self.0, object: ManuallyDrop::new(recycled) }
    }
}

pub struct CrossbeamHandle<'p, const WORDS: usize> {
    queue: &'p ArrayQueue<Box<Object<WORDS>>>,
    /// There until `drop`.
    object: ManuallyDrop<Box<Object<WORDS>>>,
}

impl<const WORDS: usize> Handle for CrossbeamHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.object.read()
    }
}

impl<const WORDS: usize> Drop for CrossbeamHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: nobody uses the field after this.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        let rejected = self.queue.push(object);
        debug_assert!(rejected.is_ok(), "room for every object");
    }
}

/// The `ThreadSafePool` that was published before this library.
pub struct PublishedThreadSafe<const WORDS: usize>(published::ThreadSafePool<Object<WORDS>>);

impl<const WORDS: usize> Shared<WORDS> for PublishedThreadSafe<WORDS> {
    const NAME: &'static str = "fastalloc 1.5 ThreadSafe";
    const KIND: Kind = Kind::Handles;

    fn with_capacity(capacity: usize) -> Self {
        Self(published::ThreadSafePool::new(capacity).expect("a capacity above 0"))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send {
        Smart(self.0.allocate(object).expect("a vacant slot"))
    }
}

/// The `LockFreePool` that was published before this library: a queue of boxes, which the program
/// gives back by hand.
pub struct PublishedLockFree<const WORDS: usize>(published::LockFreePool<Object<WORDS>>);

impl<const WORDS: usize> NamedShared<WORDS> for PublishedLockFree<WORDS> {
    const NAME: &'static str = "fastalloc 1.5 LockFree";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = PublishedLockFreeHandle<'p, WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        let pool = published::LockFreePool::with_initializer(capacity, || Object::new(0));
        Self(pool.expect("a capacity above 0"))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_> {
        let mut recycled = self.0.try_allocate().expect("an object");
        *recycled = object;
        PublishedLockFreeHandle { pool: &self.0, object: ManuallyDrop::new(recycled) }
    }
}

pub struct PublishedLockFreeHandle<'p, const WORDS: usize> {
    pool: &'p published::LockFreePool<Object<WORDS>>,
    /// There until `drop`.
    object: ManuallyDrop<Box<Object<WORDS>>>,
}

impl<const WORDS: usize> Handle for PublishedLockFreeHandle<'_, WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.object.read()
    }
}

impl<const WORDS: usize> Drop for PublishedLockFreeHandle<'_, WORDS> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: nobody uses the field after this.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        self.pool.return_object(object);
    }
}
