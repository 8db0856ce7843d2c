//! Whatever request for memory fails: an error, or no difference; the pool is what it was, and nothing is lost.

use fastalloc::{
    Error, GrowthStrategy, Locking, PoolConfig, PoolConfigBuilder, Poolable, Result, SharedPool, Sharing,
    ThreadSafeHandle, ThreadSafePool,
};

use crate::heap::fail_at;
use crate::support::{BLOCK, Ledger, build, config, on_every_shared_pool, pool};

on_every_shared_pool! {
    creation_survives_every_allocation_failure
    allocation_survives_every_allocation_failure
    batch_survives_every_allocation_failure
    acquire_survives_every_allocation_failure
    sharing_survives_every_allocation_failure
    leak_report_survives_every_allocation_failure
}

#[derive(Clone, Copy, Debug)]
struct Bytes([u8; 100]);

impl Poolable for Bytes {}

const VALUE: Bytes = Bytes([1; 100]);

const CAPACITY: usize = 20;

fn counts<T: Poolable, K: Sharing>(pool: &SharedPool<T, K>) -> [usize; 3] {
    assert_eq!(pool.allocated() + pool.available(), pool.capacity());
    [pool.capacity(), pool.available(), pool.bytes_reserved()]
}

/// A pool, and handles that make it full, or none.
struct Full<T: Poolable, K: Sharing> {
    pool: SharedPool<T, K>,
    held: Vec<ThreadSafeHandle<T>>,
}

impl<T: Poolable, K: Sharing> From<SharedPool<T, K>> for Full<T, K> {
    fn from(pool: SharedPool<T, K>) -> Self {
        Self { pool, held: Vec::new() }
    }
}

/// Lets each allocation of `operation` fail in turn. If that is an error, the pool has to be unchanged then; a thread
/// that finds no memory for a magazine goes without. The operation has to work the next time. Returns how many
/// allocations there were.
#[track_caller]
fn fail_each<T: Poolable, K: Sharing>(
    make: impl Fn() -> Full<T, K>,
    operation: impl Fn(&SharedPool<T, K>) -> Result<()>,
) -> usize {
    for n in 1.. {
        let Full { pool, held } = make();
        let before = counts(&pool);
        let (result, section) = fail_at(n, || operation(&pool));
        if !section.failed {
            assert_eq!(result, Ok(()));
            return n - 1;
        }
        if result.is_err() {
            assert!(matches!(result, Err(Error::OutOfMemory { .. })), "{result:?} when allocation {n} failed");
            assert_eq!(counts(&pool), before, "allocation {n} failed");
        }
        assert_eq!(operation(&pool), Ok(()), "after the failure of allocation {n}");
        drop(held);
        assert!(pool.is_empty());
    }
    unreachable!()
}

fn creation_survives_every_allocation_failure<K: Sharing>() {
    for n in 1.. {
        let (result, section) = fail_at(n, || SharedPool::<Bytes, K>::new(CAPACITY).map(|pool| pool.capacity()));
        assert_eq!(section.bytes, 0, "allocation {n}");
        if !section.failed {
            assert_eq!(result, Ok(CAPACITY));
            assert!(n > 4, "chunk, table of chunks, table of regions, core");
            return;
        }
        assert!(matches!(result, Err(Error::OutOfMemory { bytes: 1.. })), "{result:?}, allocation {n}");
    }
}

fn allocation_survives_every_allocation_failure<K: Sharing>() {
    fail_each(|| pool::<_, K>(CAPACITY).into(), |pool| pool.allocate(VALUE).map(drop));
    // A thread that comes for the first time has a number and a magazine made.
    for n in 1.. {
        let pool = pool::<_, K>(CAPACITY);
        let section = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let (result, section) = fail_at(n, || pool.allocate(VALUE).map(drop));
                assert!(result.is_ok(), "a thread without a magazine asks the depot: {result:?}");
                section
            });
            thread.join().unwrap()
        });
        assert_eq!(pool.available(), CAPACITY);
        if !section.failed {
            assert!(n > 1, "a magazine");
            break;
        }
    }
}

fn batch_survives_every_allocation_failure<K: Sharing>() {
    let allocations =
        fail_each(|| pool::<_, K>(CAPACITY).into(), |pool| pool.allocate_batch([VALUE; CAPACITY]).map(drop));
    assert!(allocations > 0, "a vector");
    let recycling = || build::<_, K>(config(CAPACITY).reset_fn(|| VALUE, |_| ())).into();
    fail_each(recycling, |pool| pool.allocate_batch([VALUE; CAPACITY]).map(drop));
}

fn acquire_survives_every_allocation_failure<K: Sharing>() {
    fail_each(|| build::<_, K>(config(CAPACITY).reset_fn(|| VALUE, |_| ())).into(), |pool| pool.acquire().map(drop));
    fail_each(|| build::<_, K>(config(CAPACITY).initializer(|| VALUE)).into(), |pool| pool.acquire().map(drop));
}

fn sharing_survives_every_allocation_failure<K: Sharing>() {
    let allocations = fail_each(
        || pool::<_, K>(CAPACITY).into(),
        |pool| {
            let shared = pool.allocate_shared(VALUE)?;
            let weak = shared.downgrade();
            drop(shared);
            assert!(weak.upgrade().is_none());
            Ok(())
        },
    );
    assert!(allocations > 0, "counts");

    let ledger = Ledger::default();
    let pool = pool::<_, K>(2);
    let owned = pool.allocate(ledger.next()).unwrap();
    let (result, section) = fail_at(1, || owned.try_into_shared());
    let (error, owned) = result.unwrap_err();
    assert!(section.failed && matches!(error, Error::OutOfMemory { bytes: 1.. }));
    assert_eq!((owned.id, ledger.dead()), (0, 0));
    assert_eq!(owned.try_into_shared().unwrap().strong_count(), 1);
    assert!(pool.is_empty());
    ledger.assert_all_dead(1);
}

fn leak_report_survives_every_allocation_failure<K: Sharing>() {
    let make = || build::<_, K>(config(CAPACITY).track_leaks(true)).into();
    fail_each(make, |pool| pool.allocate(VALUE).map(drop));
}

fn growing(config: PoolConfigBuilder<Bytes>) -> ThreadSafePool<Bytes> {
    build(config.capacity(3).alignment(BLOCK).growth_strategy(GrowthStrategy::Linear { amount: 10 }))
}

/// A growing pool without vacant slots, which are so far apart that a step takes several blocks.
fn full(config: PoolConfigBuilder<Bytes>) -> Full<Bytes, Locking> {
    let pool = growing(config);
    let held = (0..pool.capacity()).map(|_| pool.allocate(VALUE).unwrap()).collect();
    assert!(pool.is_full());
    Full { pool, held }
}

#[test]
fn growth_survives_every_allocation_failure() {
    let allocations = fail_each(|| full(PoolConfig::builder()), |pool| pool.allocate(VALUE).map(drop));
    assert!(allocations >= 3, "{allocations}");
    // The value comes back.
    let Full { pool, held: _held } = full(PoolConfig::builder());
    let (rejected, _) = fail_at(1, || pool.allocate_or_return(Bytes([7; 100])).err());
    assert_eq!(rejected.map(|rejected| rejected.value.0), Some([7; 100]));
}

#[test]
fn growth_of_recycling_pools_survives_every_allocation_failure() {
    fail_each(|| full(PoolConfig::builder().initializer(|| VALUE)), |pool| pool.acquire().map(drop));
    fail_each(|| full(PoolConfig::builder().reset_fn(|| VALUE, |_| ())), |pool| pool.acquire().map(drop));
}

#[test]
fn reserve_survives_every_allocation_failure() {
    let allocations = fail_each(|| full(PoolConfig::builder()), |pool| pool.reserve(20));
    assert!(allocations >= 5, "several blocks, {allocations}");
    fail_each(|| full(PoolConfig::builder().reset_fn(|| VALUE, |_| ())), |pool| pool.reserve(20));
    fail_each(|| full(PoolConfig::builder().initializer(|| VALUE)), |pool| pool.reserve(20));
    fail_each(
        || {
            let pool = growing(PoolConfig::builder());
            pool.trim_to(0);
            pool.into()
        },
        |pool| pool.reserve(20),
    );
}
