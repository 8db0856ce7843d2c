//! Who is compared where threads share a pool: every way to own an object that another thread may release.

mod handles;
mod heapless;
mod heaps;
mod keys;
mod ours;

use core::ops::Deref;

pub use self::{
    handles::{
        CrossbeamQueue, InfinityPool, Linear, ObjectPool, Opool, Plurality, PublishedLockFree, PublishedThreadSafe,
        SharedArena,
    },
    heapless::Heapless,
    keys::{MutexSlab, MutexSlotMap, Onsen, ShardedSlab},
    ours::{LockFree, ThreadSafe},
};
use super::{Kind, heaps::Boxed};
use crate::object::Object;

/// A pool or a heap whose objects may be released by any thread.
///
/// As [`Candidate`](super::Candidate), but with handles that nobody names: that of a published pool
/// cannot be named outside its crate.
pub trait Shared<const WORDS: usize>: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How its objects are owned.
    const KIND: Kind;

    /// Makes a pool of at least `capacity` objects, all vacant.
    fn with_capacity(capacity: usize) -> Self;

    /// Moves `object` into the pool. Dropping the handle gives it back.
    fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send;
}

/// A [`Shared`] whose handles can be named, so that one thread alone can use it as a
/// [`Candidate`](super::Candidate), too.
pub trait NamedShared<const WORDS: usize>: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How its objects are owned.
    const KIND: Kind;

    /// Stands for one object.
    type Handle<'p>: Handle + Send
    where
        Self: 'p;

    /// Makes a pool of at least `capacity` objects, all vacant.
    fn with_capacity(capacity: usize) -> Self;

    /// Moves `object` into the pool.
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_>;
}

impl<const WORDS: usize, S: NamedShared<WORDS>> Shared<WORDS> for S {
    const NAME: &'static str = S::NAME;
    const KIND: Kind = S::KIND;

    fn with_capacity(capacity: usize) -> Self {
        S::with_capacity(capacity)
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send {
        NamedShared::allocate(self, object)
    }
}

/// Stands for one object, and releases it when it is dropped.
pub trait Handle {
    /// Reads the object's tag with [`Object::read`].
    fn read(&self) -> u64;
}

/// A candidate's own handle, which is dereferenced like a `Box`.
pub struct Smart<H>(H);

impl<const WORDS: usize, H: Deref<Target = Object<WORDS>>> Handle for Smart<H> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.0.deref().read()
    }
}

/// Is shown every candidate by [`visit`].
pub trait Visitor<const WORDS: usize> {
    /// Looks at one candidate.
    fn candidate<C: Shared<WORDS> + Sync>(&mut self);
}

/// Shows every candidate that several threads can allocate from.
pub fn visit<const WORDS: usize>(visitor: &mut impl Visitor<WORDS>) {
    visit_ours(visitor);
    visitor.candidate::<MutexSlab<WORDS>>();
    visitor.candidate::<MutexSlotMap<WORDS>>();
    visitor.candidate::<Onsen<WORDS>>();
    visitor.candidate::<ShardedSlab<WORDS>>();
    visitor.candidate::<Linear<WORDS>>();
    visitor.candidate::<ObjectPool<WORDS>>();
    visitor.candidate::<Opool<WORDS>>();
    visitor.candidate::<SharedArena<WORDS>>();
    visitor.candidate::<CrossbeamQueue<WORDS>>();
    visitor.candidate::<Heapless<WORDS>>();
    visitor.candidate::<InfinityPool<WORDS>>();
    visitor.candidate::<PublishedThreadSafe<WORDS>>();
    visitor.candidate::<PublishedLockFree<WORDS>>();
    visitor.candidate::<Boxed<super::heaps::System>>();
    visitor.candidate::<Boxed<super::heaps::Mimalloc>>();
    visitor.candidate::<Boxed<super::heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<Boxed<super::heaps::Snmalloc>>();
}

/// Shows the pools of this repository.
pub fn visit_ours<const WORDS: usize>(visitor: &mut impl Visitor<WORDS>) {
    visitor.candidate::<ThreadSafe<WORDS>>();
    visitor.candidate::<LockFree<WORDS>>();
}
