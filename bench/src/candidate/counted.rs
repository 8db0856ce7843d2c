//! Who is compared where several handles own one object.

use core::ops::Deref;
use std::{
    rc::Rc,
    sync::{Arc, Mutex},
};

use fastalloc::{FixedPool, GrowingPool, LockFreePool, SharedHandle, ThreadSafePool, ThreadSafeSharedHandle};
use heapless::{arc_pool, pool::arc::ArcBlock};

use super::Kind;

/// The object: a cache line.
pub type Line = crate::object::Object<8>;

/// A pool or a heap whose objects are released when the last of their handles is dropped.
pub trait Counted: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How its objects are owned.
    const KIND: Kind;

    /// One of the owners of an object.
    type Handle<'p>: Clone + Deref<Target = Line>
    where
        Self: 'p;

    /// Makes a pool of at least `capacity` objects.
    fn with_capacity(capacity: usize) -> Self;

    /// Moves `object` into the pool.
    fn allocate(&self, object: Line) -> Self::Handle<'_>;
}

macro_rules! counted {
    (
        $(#[$attribute:meta])*
        $candidate:ident($pool:ty), $handle:ty = $name:literal, $kind:ident;
        $capacity:ident => $new:expr;
        $this:ident, $object:ident => $allocate:expr
    ) => {
        $(#[$attribute])*
        pub struct $candidate($pool);

        impl Counted for $candidate {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::$kind;

            type Handle<'p> = $handle;

            fn with_capacity($capacity: usize) -> Self {
                Self($new)
            }

            #[inline(always)]
            fn allocate(&self, $object: Line) -> Self::Handle<'_> {
                let $this = &self.0;
                $allocate
            }
        }
    };
}

counted! {
    /// `FixedPool`.
    Fixed(FixedPool<Line>), SharedHandle<'p, Line> = "FixedPool", Ours;
    capacity => FixedPool::new(capacity).expect("memory for the pool");
    pool, object => pool.allocate_shared(object).expect("a vacant slot")
}

counted! {
    /// `GrowingPool`.
    Growing(GrowingPool<Line>), SharedHandle<'p, Line> = "GrowingPool", Ours;
    capacity => GrowingPool::new(capacity).expect("memory for the pool");
    pool, object => pool.allocate_shared(object).expect("a vacant slot")
}

counted! {
    /// `infinity_pool`'s pool for one thread.
    InfinityLocal(infinity_pool::LocalPinnedPool<Line>), infinity_pool::LocalPooled<Line>
        = "infinity_pool Local", Handles;
    capacity => {
        let pool = infinity_pool::LocalPinnedPool::new();
        pool.reserve(capacity);
        pool
    };
    pool, object => pool.insert(object).into_shared()
}

counted! {
    /// `plurality` with the counterpart of `Rc`.
    PluralityRc(plurality::Pool<Line>), plurality::Rc<Line> = "plurality Rc", Handles;
    _capacity => plurality::Pool::new();
    pool, object => pool.alloc_rc(object)
}

counted! {
    /// `shared_arena`'s pool for one thread.
    SharedArenaRc(shared_arena::Pool<Line>), shared_arena::ArenaRc<Line> = "shared_arena Rc", Handles;
    capacity => shared_arena::Pool::with_capacity(capacity);
    pool, object => pool.alloc_rc(object)
}

counted! {
    /// `Rc` of the standard library.
    StdRc(()), Rc<Line> = "Rc glibc", Heap;
    _capacity => ();
    _pool, object => Rc::new(object)
}

counted! {
    /// `ThreadSafePool`.
    ThreadSafe(ThreadSafePool<Line>), ThreadSafeSharedHandle<Line> = "ThreadSafePool", Ours;
    capacity => ThreadSafePool::new(capacity).expect("memory for the pool");
    pool, object => pool.allocate_shared(object).expect("a vacant slot")
}

counted! {
    /// `LockFreePool`.
    LockFree(LockFreePool<Line>), ThreadSafeSharedHandle<Line> = "LockFreePool", Ours;
    capacity => LockFreePool::new(capacity).expect("memory for the pool");
    pool, object => pool.allocate_shared(object).expect("a vacant slot")
}

counted! {
    /// `infinity_pool`'s pool for threads.
    Infinity(infinity_pool::PinnedPool<Line>), infinity_pool::Pooled<Line> = "infinity_pool", Handles;
    capacity => {
        let pool = infinity_pool::PinnedPool::new();
        pool.reserve(capacity);
        pool
    };
    pool, object => pool.insert(object).into_shared()
}

counted! {
    /// `plurality` with the counterpart of `Arc`.
    PluralityArc(plurality::Pool<Line>), plurality::Arc<Line> = "plurality Arc", Handles;
    _capacity => plurality::Pool::new();
    pool, object => pool.alloc_arc(object)
}

counted! {
    /// `shared_arena`'s pool for threads.
    SharedArenaArc(shared_arena::SharedArena<Line>), shared_arena::ArenaArc<Line> = "shared_arena Arc", Handles;
    capacity => shared_arena::SharedArena::with_capacity(capacity);
    pool, object => pool.alloc_arc(object)
}

arc_pool!(ARCS: Line);

/// How many blocks `ARCS` was given: they stay its own.
static ARC_BLOCKS: Mutex<usize> = Mutex::new(0);

counted! {
    /// `heapless`'s pool of counted objects, a global.
    Heapless(()), heapless::pool::arc::Arc<ARCS> = "heapless arc_pool", Handles;
    capacity => {
        let mut blocks = ARC_BLOCKS.lock().expect("no panic");
        let missing = capacity.saturating_sub(*blocks);
        let fresh: Vec<ArcBlock<Line>> = (0..missing).map(|_| ArcBlock::new()).collect();
        fresh.leak().iter_mut().rev().for_each(|block| ARCS.manage(block));
        *blocks += missing;
    };
    _pool, object => match ARCS.alloc(object) {
        Ok(handle) => handle,
        Err(_) => panic!("no vacant block"),
    }
}

counted! {
    /// `Arc` of the standard library.
    StdArc(()), Arc<Line> = "Arc glibc", Heap;
    _capacity => ();
    _pool, object => Arc::new(object)
}

/// Is shown candidates by [`visit_one_thread`] and [`visit_threads`].
pub trait Visitor {
    /// Looks at one candidate.
    fn candidate<C: Counted>(&mut self);
}

/// Shows every candidate whose handles stay on one thread.
pub fn visit_one_thread(visitor: &mut impl Visitor) {
    visitor.candidate::<Fixed>();
    visitor.candidate::<Growing>();
    visitor.candidate::<InfinityLocal>();
    visitor.candidate::<PluralityRc>();
    visitor.candidate::<SharedArenaRc>();
    visitor.candidate::<StdRc>();
}

/// Shows every candidate whose handles any thread may clone and drop.
pub fn visit_threads(visitor: &mut impl Visitor) {
    visitor.candidate::<ThreadSafe>();
    visitor.candidate::<LockFree>();
    visitor.candidate::<Infinity>();
    visitor.candidate::<PluralityArc>();
    visitor.candidate::<SharedArenaArc>();
    visitor.candidate::<Heapless>();
    visitor.candidate::<StdArc>();
}
