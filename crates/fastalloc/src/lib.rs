// Its examples need `std`.
#![cfg_attr(feature = "std", doc = include_str!("lib.md"))]
#![cfg_attr(not(feature = "std"), doc = "Object pools. With the feature `std`, there is more here.")]
#![no_std]
#![warn(missing_docs, clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod allocator;
mod bits;
mod chunk;
mod config;
mod error;
mod events;
mod handle;
#[cfg(feature = "std")]
mod leaks;
mod pool;
mod poolable;
mod raw;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
mod shared_handle;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
mod shared_pool;
#[cfg(feature = "stats")]
mod stats;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
mod sync;

pub use self::allocator::{Allocator, BitmapAllocator, FreeListAllocator, StackAllocator};
pub use self::config::{
    GrowthStrategy, InitializationStrategy, Initializer, PoolConfig, PoolConfigBuilder, Reset, ResetOutcome,
};
pub use self::error::{Error, Rejected, Result};
pub use self::handle::{OwnedHandle, RcHandle, SharedHandle, WeakHandle};
#[cfg(feature = "std")]
pub use self::leaks::{HeldObject, HeldPlace, LeakPolicy, Outstanding};
pub use self::pool::{Fixed, FixedPool, Growing, GrowingPool, Kind, Pool, ThreadLocal, ThreadLocalPool};
pub use self::poolable::{Foreign, Poolable, Tenant};
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub use self::shared_handle::{ThreadSafeHandle, ThreadSafeSharedHandle, ThreadSafeWeakHandle};
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub use self::shared_pool::{Allocation, Locking, SharedPool, Sharing, ThreadSafePool};
#[cfg(all(feature = "lock-free", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub use self::shared_pool::{LockFree, LockFreePool};
#[cfg(feature = "stats")]
pub use self::stats::{PoolStatistics, StatisticsCollector, StatisticsReporter};
#[cfg(feature = "derive")]
pub use fastalloc_derive::Poolable;

/// The examples of the documents, tested with all features. The published package does not contain them.
#[cfg(all(doctest, feature = "std", feature = "stats", feature = "lock-free", feature = "derive"))]
mod documents {
    #[doc = include_str!("../../../README.md")]
    mod readme {}

    #[doc = include_str!("../../../docs/getting_started.md")]
    mod getting_started {}

    #[doc = include_str!("../../../docs/performance_guide.md")]
    mod performance_guide {}

    #[doc = include_str!("../../../docs/error_handling.md")]
    mod error_handling {}

    #[doc = include_str!("../../../docs/migration_guide.md")]
    mod migration_guide {}
}
