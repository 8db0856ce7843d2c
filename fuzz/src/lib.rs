//! Programs of operations on pools, against a model: what the targets `pools` and `shared_pools` share.

mod elsewhere;
mod machine;
mod program;
mod subject;
mod world;

use arbitrary::Arbitrary;
use fastalloc::{
    BitmapAllocator, FixedPool, FreeListAllocator, GrowingPool, LockFreePool, StackAllocator, ThreadLocalPool,
    ThreadSafePool,
};

use crate::machine::run;
use crate::world::{Boxed, Line, Nothing};

pub use crate::program::{Setup, Step};

/// Pools for one thread: each kind with each allocator, and one sort of values, since all would take long to build.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Kind {
    FixedStack,
    FixedFreeList,
    FixedBitmap,
    GrowingStack,
    GrowingFreeList,
    GrowingBitmap,
    ThreadLocalStack,
    ThreadLocalFreeList,
    ThreadLocalBitmap,
}

impl Kind {
    /// Runs a program on a pool of this kind.
    pub fn run(self, setup: Setup, steps: &[Step]) {
        match self {
            Self::FixedStack => run::<Boxed, FixedPool<_, StackAllocator>>(setup, false, steps),
            Self::FixedFreeList => run::<Line, FixedPool<_, FreeListAllocator>>(setup, false, steps),
            Self::FixedBitmap => run::<Nothing, FixedPool<_, BitmapAllocator>>(setup, false, steps),
            Self::GrowingStack => run::<Boxed, GrowingPool<_, StackAllocator>>(setup, true, steps),
            Self::GrowingFreeList => run::<Nothing, GrowingPool<_, FreeListAllocator>>(setup, true, steps),
            Self::GrowingBitmap => run::<Line, GrowingPool<_, BitmapAllocator>>(setup, true, steps),
            Self::ThreadLocalStack => run::<Nothing, ThreadLocalPool<_, StackAllocator>>(setup, false, steps),
            Self::ThreadLocalFreeList => run::<Line, ThreadLocalPool<_, FreeListAllocator>>(setup, false, steps),
            Self::ThreadLocalBitmap => run::<Boxed, ThreadLocalPool<_, BitmapAllocator>>(setup, false, steps),
        }
    }
}

/// Pools that threads share.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum SharedKind {
    ThreadSafeNothing,
    ThreadSafeBoxed,
    LockFreeLine,
    LockFreeBoxed,
}

impl SharedKind {
    /// Runs a program on a pool of this kind.
    pub fn run(self, setup: Setup, steps: &[Step]) {
        match self {
            Self::ThreadSafeNothing => run::<Nothing, ThreadSafePool<_>>(setup, true, steps),
            Self::ThreadSafeBoxed => run::<Boxed, ThreadSafePool<_>>(setup, true, steps),
            Self::LockFreeLine => run::<Line, LockFreePool<_>>(setup, false, steps),
            Self::LockFreeBoxed => run::<Boxed, LockFreePool<_>>(setup, false, steps),
        }
    }
}
