//! How a pool that threads share grows, how far, and what is left after a trim.

use std::sync::{Arc, Mutex};

use fastalloc::{Error, GrowthStrategy, PoolConfig, PoolConfigBuilder, ThreadSafeHandle, ThreadSafePool};

use crate::support::{BEYOND_MEMORY, BLOCK, Counted, Ledger, build, inject, survive, together};

/// The capacities that a pool has while it is filled with so many objects.
fn capacities(strategy: GrowthStrategy, start: usize, objects: usize) -> Vec<usize> {
    let pool: ThreadSafePool<usize> = build(PoolConfig::builder().capacity(start).growth_strategy(strategy));
    let mut capacities = vec![pool.capacity()];
    let mut handles = Vec::new();
    for number in 0..objects {
        let full = pool.is_full();
        handles.push(pool.allocate(number).unwrap());
        if full {
            capacities.push(pool.capacity());
        }
        assert_eq!(*capacities.last().unwrap(), pool.capacity(), "a pool with vacant slots does not grow");
    }
    assert!(handles.iter().enumerate().all(|(number, handle)| **handle == number));
    capacities
}

#[test]
fn every_strategy_adds_what_it_says() {
    assert_eq!(capacities(GrowthStrategy::Linear { amount: 7 }, 3, 20), [3, 10, 17, 24]);
    assert_eq!(capacities(GrowthStrategy::Linear { amount: 1 }, 1, 5), [1, 2, 3, 4, 5]);
    assert_eq!(capacities(GrowthStrategy::Exponential { factor: 2.0 }, 3, 20), [3, 6, 12, 24]);
    assert_eq!(capacities(GrowthStrategy::Exponential { factor: 1.01 }, 1, 4), [1, 2, 3, 4]);
    let compute = |capacity| if capacity < 10 { 5 } else { 100 };
    assert_eq!(capacities(GrowthStrategy::Custom { compute: Box::new(compute) }, 1, 120), [1, 6, 11, 111, 211]);
}

#[test]
fn pool_that_grows_by_nothing_is_exhausted() {
    let nothing = GrowthStrategy::Custom { compute: Box::new(|_| 0) };
    let cases = [(GrowthStrategy::None, false), (GrowthStrategy::Linear { amount: 0 }, false), (nothing, true)];
    for (strategy, can_grow) in cases {
        let pool: ThreadSafePool<u8> = build(PoolConfig::builder().capacity(2).growth_strategy(strategy));
        assert_eq!(pool.can_grow(), can_grow, "whether a function adds slots is not known before");
        let _full = [pool.allocate(1).unwrap(), pool.allocate(2).unwrap()];
        let exhausted = Error::PoolExhausted { capacity: 2, allocated: 2 };
        assert_eq!(pool.allocate(3).unwrap_err(), exhausted);
        assert_eq!(pool.allocate_batch([3]).unwrap_err(), exhausted);
        assert_eq!(pool.capacity(), 2);
    }
}

#[test]
fn last_step_is_cut_to_the_limit() {
    let strategy = GrowthStrategy::Linear { amount: 6 };
    let config = PoolConfig::builder().capacity(3).max_capacity(Some(10)).growth_strategy(strategy);
    let pool: ThreadSafePool<u8> = build(config);
    let mut handles = Vec::new();
    let error = loop {
        match pool.allocate(1) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
        assert!([3, 9, 10].contains(&pool.capacity()));
    };
    assert_eq!(error, Error::MaxCapacityExceeded { current: 10, requested: 16, max: 10 });
    assert_eq!(pool.allocate_or_return(5).unwrap_err().error, error);
    assert_eq!((handles.len(), pool.can_grow()), (10, false));
    drop(handles);
    assert!(pool.allocate(5).is_ok());
}

#[test]
fn reserve_makes_room() {
    let strategy = GrowthStrategy::Exponential { factor: 2.0 };
    let pool: ThreadSafePool<u8> = build(PoolConfig::builder().capacity(10).growth_strategy(strategy));
    let _three = pool.allocate_batch([1, 2, 3]).unwrap();
    pool.reserve(7).unwrap();
    assert_eq!(pool.capacity(), 10);
    pool.reserve(100).unwrap();
    assert_eq!((pool.capacity(), pool.available()), (103, 100));
    pool.reserve(0).unwrap();
    assert_eq!(pool.allocate_batch([0; 100]).unwrap().len(), 100);
    assert_eq!(pool.capacity(), 103);
}

#[test]
fn reserve_counts_what_threads_keep() {
    let strategy = GrowthStrategy::Linear { amount: 1 };
    let pool: ThreadSafePool<u8> = build(PoolConfig::builder().capacity(1_000).growth_strategy(strategy));
    together(4, |_| drop((0..250).map(|_| pool.allocate(1).unwrap()).collect::<Vec<_>>()));
    pool.reserve(1_000).unwrap();
    assert_eq!(pool.capacity(), 1_000);
    assert_eq!(pool.allocate_batch([1; 1_000]).unwrap().len(), 1_000);
}

#[test]
fn reserve_respects_limit_and_strategy() {
    let strategy = GrowthStrategy::Linear { amount: 1 };
    let config = PoolConfig::builder().capacity(10).max_capacity(Some(20)).growth_strategy(strategy);
    let pool: ThreadSafePool<u8> = build(config);
    let _two = pool.allocate_batch([1, 2]).unwrap();
    assert_eq!(pool.reserve(19).unwrap_err(), Error::MaxCapacityExceeded { current: 10, requested: 21, max: 20 });
    assert!(matches!(pool.reserve(usize::MAX), Err(Error::MaxCapacityExceeded { current: 10, max: 20, .. })));
    assert_eq!(pool.capacity(), 10);
    pool.reserve(18).unwrap();
    assert_eq!((pool.capacity(), pool.can_grow()), (20, false));

    let pool = ThreadSafePool::<u8>::new(2).unwrap();
    assert_eq!(pool.reserve(3).unwrap_err(), Error::PoolExhausted { capacity: 2, allocated: 0 });
    pool.reserve(2).unwrap();
}

#[test]
fn growth_beyond_all_memory_is_an_error() {
    let strategy = GrowthStrategy::Custom { compute: Box::new(|_| usize::MAX / 2) };
    let pool: ThreadSafePool<[u64; 8]> = build(PoolConfig::builder().capacity(1).growth_strategy(strategy));
    let one = pool.allocate([1; 8]).unwrap();
    assert!(matches!(pool.allocate([2; 8]), Err(Error::OutOfMemory { .. })));
    assert!(matches!(pool.reserve(BEYOND_MEMORY), Err(Error::OutOfMemory { .. })));
    assert!(matches!(pool.allocate_wait([2; 8]), Err(Error::OutOfMemory { .. })), "it does not wait for memory");
    assert_eq!((*one, pool.capacity(), pool.allocated()), ([1; 8], 1, 1));
    drop(one);
    assert!(pool.allocate([2; 8]).is_ok());
}

fn large_slots(strategy: GrowthStrategy) -> PoolConfigBuilder<u64> {
    PoolConfig::builder().capacity(1).max_capacity(Some(40)).alignment(BLOCK).growth_strategy(strategy)
}

#[test]
fn slots_come_back_after_a_trim() {
    let pool: ThreadSafePool<u64> = build(large_slots(GrowthStrategy::Exponential { factor: 2.0 }));
    for round in 0..3 {
        let mut handles: Vec<_> = (0..40).map(|number| pool.allocate(number + round).unwrap()).collect();
        assert_eq!((pool.capacity(), pool.can_grow(), pool.try_allocate(0).is_none()), (40, false, true));
        let mut indices: Vec<_> = handles.iter().map(ThreadSafeHandle::index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..40), "indices are used again");
        // Some handles survive each trim, in other blocks each time.
        let mut position = 0;
        handles.retain(|_| {
            position += 1;
            position % 13 == round as usize
        });
        pool.trim_to(0);
        assert!(pool.capacity() < 40 && pool.can_grow());
        assert_eq!(pool.allocated(), handles.len());
        let survivors: Vec<u64> = handles.iter().map(|handle| **handle).collect();
        pool.reserve(10).unwrap();
        let more = pool.allocate_batch([7; 10]).unwrap();
        assert!(more.iter().all(|handle| **handle == 7 && (&raw const **handle).addr() % BLOCK == 0));
        assert!(handles.iter().zip(survivors).all(|(handle, number)| **handle == number));
    }
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
    assert_eq!(*pool.allocate(5).unwrap(), 5);
}

#[test]
fn trim_leaves_the_floor_and_what_is_in_use() {
    let strategy = GrowthStrategy::Linear { amount: 1 };
    let config = PoolConfig::builder().capacity(10).alignment(BLOCK).growth_strategy(strategy);
    let pool: ThreadSafePool<u64> = build(config);
    assert_eq!((pool.trim(), pool.trim_to(10)), (0, 0));
    pool.reserve(60).unwrap();
    let gone = pool.trim_to(30);
    assert!(gone > 0 && pool.capacity() == 60 - gone && pool.capacity() >= 30);
    pool.trim();
    assert!((10..30).contains(&pool.capacity()), "{pool:?}");

    let mut held: Vec<_> = (0..40).map(|number| pool.allocate(number).unwrap()).collect();
    let last = held.pop().unwrap();
    drop(held);
    assert!(pool.trim_to(0) > 30);
    assert_eq!((*last, pool.allocated()), (39, 1));
}

#[test]
fn trim_leaves_memory_that_weak_handles_look_at() {
    let pool: ThreadSafePool<u64> = build(large_slots(GrowthStrategy::Linear { amount: 1 }));
    let shared: Vec<_> = (0..20).map(|number| pool.allocate_shared(number).unwrap()).collect();
    let weak: Vec<_> = shared.iter().step_by(5).map(|shared| shared.downgrade()).collect();
    drop(shared);
    pool.trim_to(0);
    assert!(weak.iter().all(|weak| weak.upgrade().is_none() && weak.strong_count() == 0));
    drop(weak);
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
}

#[test]
fn trim_destroys_kept_objects_once() {
    let ledger = Ledger::default();
    let made = ledger.clone();
    let config = PoolConfig::builder().capacity(1).alignment(BLOCK).reset_fn(move || made.next(), |_| ());
    let pool: ThreadSafePool<Counted> = build(config.growth_strategy(GrowthStrategy::Linear { amount: 1 }));
    drop((0..20).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    assert_eq!(ledger.dead(), 0);
    pool.trim_to(0);
    assert_eq!(pool.capacity(), 0);
    ledger.assert_all_dead(20);
    drop(pool.acquire().unwrap());
    drop(pool);
    ledger.assert_all_dead(21);
}

#[test]
fn objects_of_new_slots_are_made_as_configured() {
    for eager in [true, false] {
        let ledger = Ledger::default();
        let made = ledger.clone();
        let config = PoolConfig::builder().capacity(2).growth_strategy(GrowthStrategy::Exponential { factor: 2.0 });
        let config = if eager {
            config.initializer(move || made.next())
        } else {
            config.reset_fn(move || made.next(), |_| ()).pre_initialize(true)
        };
        let pool: ThreadSafePool<Counted> = build(config);
        assert_eq!(ledger.born(), 2);
        let handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
        assert_eq!((ledger.born(), pool.capacity()), (if eager { 4 } else { 3 }, 4));
        pool.reserve(6).unwrap();
        assert_eq!((ledger.born(), pool.capacity()), (if eager { 9 } else { 3 }, 9));
        drop(handles);
        drop(pool);
        ledger.assert_all_dead(if eager { 9 } else { 3 });
    }
}

#[test]
fn initializer_of_new_slots_may_use_the_pool() {
    type Cell = Arc<Mutex<Option<ThreadSafePool<usize>>>>;
    let cell = Cell::default();
    let initializer = {
        let cell = Arc::clone(&cell);
        move || {
            let Some(pool) = cell.lock().unwrap().clone() else { return 0 };
            // Takes the pool's lock, and the slot of another object that is to be made.
            assert!(pool.bytes_reserved() > 0);
            drop(pool.try_allocate(1));
            pool.available()
        }
    };
    let config = PoolConfig::builder().capacity(1).growth_strategy(GrowthStrategy::Linear { amount: 3 });
    let pool: ThreadSafePool<usize> = build(config.initializer(initializer));
    *cell.lock().unwrap() = Some(pool.clone());
    let objects = [pool.acquire().unwrap(), pool.acquire().unwrap()];
    pool.reserve(10).unwrap();
    assert_eq!((pool.capacity(), pool.available(), *objects[0]), (12, 10, 0));
    *cell.lock().unwrap() = None;
}

#[test]
fn growth_function_may_make_room() {
    let held: Arc<Mutex<Vec<ThreadSafeHandle<u32>>>> = Arc::default();
    let compute = {
        let held = Arc::clone(&held);
        move |_| {
            let handles = std::mem::take(&mut *held.lock().unwrap());
            drop(handles);
            0
        }
    };
    let strategy = GrowthStrategy::Custom { compute: Box::new(compute) };
    let pool: ThreadSafePool<u32> = build(PoolConfig::builder().capacity(2).growth_strategy(strategy));
    held.lock().unwrap().extend([pool.allocate(1).unwrap(), pool.allocate(2).unwrap()]);
    assert_eq!(*pool.allocate(3).unwrap(), 3);
    assert_eq!((pool.capacity(), pool.available()), (2, 2));
    held.lock().unwrap().extend([pool.allocate(1).unwrap(), pool.allocate(2).unwrap()]);
    assert_eq!(pool.allocate_batch([4, 5]).unwrap().len(), 2);
}

#[test]
fn growth_function_may_panic() {
    let strategy = GrowthStrategy::Custom { compute: Box::new(|_| inject()) };
    let pool: ThreadSafePool<u32> = build(PoolConfig::builder().capacity(1).growth_strategy(strategy));
    let one = pool.allocate(1).unwrap();
    assert!(survive(|| pool.allocate(2).map(drop)).is_none());
    assert!(survive(|| pool.allocate_batch([2]).map(drop)).is_none());
    assert!(survive(|| pool.allocate_wait(2).map(drop)).is_none());
    assert_eq!((*one, pool.capacity(), pool.allocated()), (1, 1, 1));
    drop(one);
    assert!(pool.allocate(2).is_ok());
}
