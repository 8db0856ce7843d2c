//! Statistics of shared pools count exactly what happened, once the threads have ended.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastalloc::{Error, GrowthStrategy, PoolConfig, SharedPool, Sharing, ThreadSafeHandle, ThreadSafePool};

use crate::support::{Random, build, config, on_every_shared_pool, pool, rounds, together};

on_every_shared_pool! {
    counts_of_all_threads_are_exact
    recycled_objects_are_counted
    timeouts_and_served_waiters_are_counted
    peak_is_exact_without_caches
    peak_of_a_single_thread_is_exact
    peak_is_never_too_low
    reset_forgets_what_has_happened
    statistics_survive_resets_by_others
}

fn statistics_survive_resets_by_others<K: Sharing>() {
    let pool = pool::<u64, K>(100);
    let times = rounds(3_000, 30);
    together(3, |number| {
        for _ in 0..times {
            drop(pool.allocate(1).unwrap());
            if number == 0 {
                pool.reset_statistics();
            } else {
                assert!(pool.statistics().total_allocations <= 3 * times as u64);
            }
        }
    });
    pool.reset_statistics();
    drop(pool.allocate(1).unwrap());
    let statistics = pool.statistics();
    assert_eq!((statistics.total_allocations, statistics.total_deallocations, statistics.peak_usage > 0), (1, 1, true));
}

fn counts_of_all_threads_are_exact<K: Sharing>() {
    for capacity in [3, 50, 2_000] {
        let pool = pool::<u64, K>(capacity);
        let (allocations, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        together(4, |number| {
            let mut random = Random::new(number);
            let mut handles: Vec<ThreadSafeHandle<u64>> = Vec::new();
            for _ in 0..rounds(3_000, 50) {
                if random.once_in(20) {
                    let len = 1 + random.below(4);
                    match pool.allocate_batch((0..len as u64).collect::<Vec<_>>()) {
                        Ok(batch) => {
                            allocations.fetch_add(len as u64, Relaxed);
                            handles.extend(batch);
                        }
                        Err(_) => drop(failures.fetch_add(1, Relaxed)),
                    }
                } else if random.once_in(2) || handles.is_empty() {
                    match pool.allocate(1) {
                        Ok(handle) => {
                            allocations.fetch_add(1, Relaxed);
                            handles.push(handle);
                        }
                        Err(_) => drop(failures.fetch_add(1, Relaxed)),
                    }
                } else {
                    drop(handles.swap_remove(random.below(handles.len())));
                }
            }
        });
        let held = (0..2).map(|_| pool.allocate(2).unwrap()).collect::<Vec<_>>();
        let (statistics, allocations) = (pool.statistics(), allocations.into_inner() + 2);
        assert_eq!((statistics.capacity, statistics.current_usage), (capacity, 2));
        assert_eq!((statistics.total_allocations, statistics.total_deallocations), (allocations, allocations - 2));
        assert_eq!(statistics.failed_allocations, failures.into_inner());
        assert!((2..=capacity).contains(&statistics.peak_usage));
        assert_eq!((statistics.growth_events, statistics.recycled), (0, 0));
        assert_eq!(statistics.bytes_reserved, pool.bytes_reserved());
        drop(held);
    }
}

fn recycled_objects_are_counted<K: Sharing>() {
    for capacity in [4, 1_000] {
        let made = std::sync::Arc::new(AtomicU64::new(0));
        let count = std::sync::Arc::clone(&made);
        let config = PoolConfig::builder().capacity(capacity);
        let pool: SharedPool<u64, K> = build(config.reset_fn(move || count.fetch_add(1, Relaxed), |_| ()));
        let acquisitions = AtomicU64::new(0);
        together(2, |_| {
            for _ in 0..rounds(500, 20) {
                let handles = [pool.acquire().unwrap(), pool.acquire_wait().unwrap()];
                acquisitions.fetch_add(handles.len() as u64, Relaxed);
            }
        });
        let (statistics, acquisitions) = (pool.statistics(), acquisitions.into_inner());
        assert_eq!(statistics.total_allocations, acquisitions);
        assert_eq!(statistics.recycled, acquisitions - made.load(Relaxed));
    }
}

fn timeouts_and_served_waiters_are_counted<K: Sharing>() {
    let pool = pool::<u64, K>(1);
    let held = pool.allocate(1).unwrap();
    assert_eq!(pool.allocate_timeout(2, Duration::from_millis(1)).unwrap_err(), Error::Timeout);
    assert_eq!(pool.statistics().failed_allocations, 1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.allocate_wait(3).map(drop));
        std::thread::sleep(Duration::from_millis(5));
        drop(held);
        waiting.join().unwrap().unwrap();
    });
    let statistics = pool.statistics();
    assert_eq!((statistics.total_allocations, statistics.failed_allocations, statistics.current_usage), (2, 1, 0));
    pool.close();
    assert_eq!(pool.allocate(4).unwrap_err(), Error::Closed);
    assert_eq!(pool.statistics().failed_allocations, 1, "nobody was refused for want of a slot");
}

fn peak_is_exact_without_caches<K: Sharing>() {
    let pool: SharedPool<u64, K> = build(config(1_000).thread_cache(0));
    let handles: Vec<_> = (0..700).map(|number| pool.allocate(number).unwrap()).collect();
    drop(handles);
    let _held = pool.allocate(1).unwrap();
    assert_eq!((pool.statistics().peak_usage, pool.statistics().current_usage), (700, 1));
    assert_eq!(pool.statistics().average_usage(), 1.0);
}

fn peak_of_a_single_thread_is_exact<K: Sharing>() {
    for (seed, capacity) in [3, 30, 300, 3_000, 3_000].into_iter().enumerate() {
        for life in 0..4 {
            let (config, keeps_objects) = (config::<u64>(capacity), life > 0);
            let pool: SharedPool<u64, K> = build(match life {
                0 => config,
                1 => config.reset_fn(|| 0, |_| ()),
                2 => config.reset_fn(|| 0, |_| ()).pre_initialize(true),
                _ => config.initializer(|| 0),
            });
            assert_eq!(pool.statistics().peak_usage, 0, "nobody has used the pool");
            let (mut random, mut handles, mut peak) = (Random::new(seed), Vec::new(), 0);
            let mut wanted = 0;
            for _ in 0..rounds(20_000, 200) {
                // Up and down, now a little and now a lot.
                if random.once_in(50) {
                    let most = if random.once_in(3) { capacity } else { capacity / 4 + 1 };
                    wanted = random.below(most);
                }
                if handles.len() > wanted || (random.once_in(3) && !handles.is_empty()) {
                    drop(handles.swap_remove(random.below(handles.len())));
                } else if random.once_in(9) {
                    handles.extend(pool.allocate_batch([1, 2, 3]).unwrap_or_default());
                } else {
                    let handle = if keeps_objects && random.once_in(2) { pool.acquire() } else { pool.allocate(1) };
                    handles.extend(handle);
                }
                peak = peak.max(handles.len());
                if random.once_in(300) {
                    pool.flush_thread();
                }
                if random.once_in(500) {
                    pool.reset_statistics();
                    peak = handles.len();
                }
                if random.once_in(20) {
                    assert_eq!(pool.statistics().peak_usage, peak, "capacity {capacity}, {} in use", handles.len());
                }
            }
        }
    }
}

#[test]
fn objects_made_by_growth_are_not_in_use() {
    for amount in [10, 2_000] {
        let config = PoolConfig::builder().capacity(1).growth_strategy(GrowthStrategy::Linear { amount });
        let pool: ThreadSafePool<u64> = build(config.initializer(|| 0));
        let _held = pool.acquire().unwrap();
        pool.reserve(amount).unwrap();
        assert_eq!(pool.statistics().peak_usage, 1);
    }
}

/// A thread takes more than it holds usually, unseen in its magazine, while another one flushes that.
fn peak_is_never_too_low<K: Sharing>() {
    for _ in 0..rounds(300, 3) {
        let pool = pool::<u64, K>(1_000);
        let held: Vec<_> = (0..100).map(|number| pool.allocate(number).unwrap()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(pool.allocate_batch((0..900).collect::<Vec<_>>())));
            let more: Vec<_> = (0..5).filter_map(|number| pool.try_allocate(number)).collect();
            let most = held.len() + more.len();
            drop(more);
            assert!(pool.statistics().peak_usage >= most);
        });
    }
}

fn reset_forgets_what_has_happened<K: Sharing>() {
    let pool = pool::<u64, K>(1_000);
    let first = pool.allocate(1).unwrap();
    drop((0..999).map(|number| pool.allocate(number).unwrap()).collect::<Vec<_>>());
    pool.reset_statistics();
    let statistics = pool.statistics();
    assert_eq!((statistics.total_allocations, statistics.total_deallocations, statistics.peak_usage), (0, 0, 1));
    drop((first, pool.allocate(2).unwrap()));
    let statistics = pool.statistics();
    assert_eq!((statistics.total_allocations, statistics.total_deallocations, statistics.current_usage), (1, 2, 0));
}

#[test]
fn growth_is_counted() {
    let config = PoolConfig::builder().capacity(2).growth_strategy(GrowthStrategy::Linear { amount: 2 });
    let pool: ThreadSafePool<u64> = build(config);
    let _handles: Vec<_> = (0..5).map(|number| pool.allocate(number).unwrap()).collect();
    pool.reserve(10).unwrap();
    assert_eq!((pool.statistics().growth_events, pool.statistics().failed_allocations), (3, 0));
}
