//! Capacity is exact: no slot is lost, none is handed out twice, wherever threads keep them.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::thread;

use fastalloc::{Error, GrowthStrategy, PoolConfig, SharedPool, Sharing, ThreadSafeHandle, ThreadSafePool};

use crate::support::{
    Gate, Permits, Random, Tally, Tracked, assert_all_are_there, on_every_shared_pool, pool, rounds, together,
};

on_every_shared_pool! {
    every_thread_gets_its_share
    every_thread_gets_its_share_in_batches
    slot_released_by_any_thread_is_found_by_any_other
    no_more_than_the_capacity_is_alive
    slots_of_ended_threads_are_found
    slots_of_idle_threads_are_found
    slots_of_threads_that_use_another_pool_are_found
    batch_collects_what_threads_keep
    flushed_slots_are_found
    flush_of_a_thread_without_slots_does_nothing
    one_slot_goes_from_hand_to_hand
    counts_are_exact_when_all_is_quiet
}

/// Threads, and slots of each: small and large pools, fewer and more threads than processors.
const SHAPES: [(usize, usize); 11] =
    [(2, 1), (2, 2), (3, 64), (4, 3), (8, 33), (16, 1), (2, 1_000), (3, 500), (48, 1), (32, 5), (5, 129)];

fn every_thread_gets_its_share<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, each) in SHAPES {
        let tally = Tally::next();
        let pool = pool::<_, K>(threads * each);
        let gate = Gate::default();
        let operations = rounds(16_000, 100) / threads;
        together(threads, |number| {
            let mut random = Random::new(number);
            let mut held: Vec<(u64, ThreadSafeHandle<Tracked>)> = Vec::new();
            for operation in 0..operations {
                if held.len() < each && (held.is_empty() || random.once_in(2)) {
                    // All that are left now and then, else one.
                    let wanted = if random.once_in(20) { each - held.len() } else { 1 };
                    for at in 0..wanted {
                        let mark = (number as u64) << 40 | (operation as u64) << 20 | at as u64;
                        let handle = pool.allocate(tally.value(mark)).expect("each thread has its share");
                        gate.enter(threads * each);
                        held.push((mark, handle));
                    }
                } else {
                    let wanted = if random.once_in(20) { held.len() } else { 1 };
                    for _ in 0..wanted {
                        let (mark, handle) = held.swap_remove(random.below(held.len()));
                        handle.check(mark);
                        gate.leave();
                    }
                }
            }
            held.iter().for_each(|(mark, handle)| handle.check(*mark));
            held.iter().for_each(|_| gate.leave());
        });
        assert_eq!((pool.available(), pool.allocated()), (threads * each, 0));
        tally.assert_none_left();
    }
}

fn every_thread_gets_its_share_in_batches<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, each) in [(2, 3), (4, 40), (3, 200)] {
        let tally = Tally::next();
        let pool = pool::<_, K>(threads * each);
        together(threads, |number| {
            let mut random = Random::new(number);
            for round in 0..rounds(300, 5) as u64 {
                let count = 1 + random.below(each);
                let values: Vec<_> = (0..count).map(|_| tally.value(round)).collect();
                let batch = pool.allocate_batch(values).expect("each thread has its share");
                let rest: Vec<_> =
                    (count..each).map(|_| pool.allocate(tally.value(round)).expect("its share")).collect();
                batch.iter().chain(&rest).for_each(|handle| handle.check(round));
            }
        });
        assert!(pool.is_empty());
        tally.assert_none_left();
    }
}

fn slot_released_by_any_thread_is_found_by_any_other<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, capacity) in [(2, 1), (3, 2), (4, 7), (4, 100), (3, 2_000), (16, 20)] {
        let tally = Tally::next();
        let pool = pool::<_, K>(capacity);
        let permits = Permits::new(capacity);
        let stash: Mutex<Vec<ThreadSafeHandle<Tracked>>> = Mutex::default();
        together(threads, |number| {
            let mut random = Random::new(number);
            for _ in 0..rounds(20_000, 100) / threads {
                if random.once_in(2) && permits.take() {
                    let mut handle = pool.allocate(tally.value(1)).expect("fewer than the capacity are out");
                    handle.mark = 2;
                    stash.lock().unwrap().push(handle);
                } else {
                    // Released here, whoever allocated it.
                    let handle = stash.lock().unwrap().pop();
                    if let Some(handle) = handle {
                        handle.check(2);
                        drop(handle);
                        permits.give();
                    }
                }
            }
        });
        drop(stash);
        assert_eq!(pool.available(), capacity);
        tally.assert_none_left();
    }
}

fn no_more_than_the_capacity_is_alive<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, capacity) in [(4, 1), (4, 3), (8, 40), (3, 300)] {
        let tally = Tally::next();
        let pool = pool::<_, K>(capacity);
        let gate = Gate::default();
        let successes = AtomicUsize::new(0);
        together(threads, |number| {
            let mut random = Random::new(number);
            let mut held = Vec::new();
            for _ in 0..rounds(20_000, 100) / threads {
                if random.below(5) < 3 {
                    if let Some(handle) = pool.try_allocate(tally.value(7)) {
                        gate.enter(capacity);
                        held.push(handle);
                    }
                } else if let Some(handle) = held.pop() {
                    handle.check(7);
                    gate.leave();
                    successes.fetch_add(1, Relaxed);
                }
            }
            held.iter().for_each(|_| gate.leave());
        });
        assert!(pool.is_empty() && successes.into_inner() > 0);
        tally.assert_none_left();
    }
}

fn slots_of_ended_threads_are_found<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    for capacity in [1, 5, 100, 3_000] {
        let pool = pool::<u64, K>(capacity);
        for _ in 0..3 {
            together(1, |_| assert_all_are_there(&pool, || 1));
            assert_all_are_there(&pool, || 1);
        }
        together(4, |_| drop((0..capacity / 4).map(|_| pool.allocate(1).unwrap()).collect::<Vec<_>>()));
        assert_all_are_there(&pool, || 1);
    }
}

fn slots_of_idle_threads_are_found<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    for capacity in [8, 100, 3_000] {
        let pool = &pool::<u64, K>(capacity);
        thread::scope(|scope| {
            let idle: Vec<_> = (0..4)
                .map(|_| {
                    let ((idle, is_idle), (go, may_go)) = (mpsc::channel(), mpsc::channel::<()>());
                    scope.spawn(move || {
                        for _ in 0..2 {
                            drop((0..capacity / 4).map(|_| pool.allocate(1).unwrap()).collect::<Vec<_>>());
                            idle.send(()).unwrap();
                            may_go.recv().unwrap();
                        }
                    });
                    (is_idle, go)
                })
                .collect();
            for _ in 0..2 {
                idle.iter().for_each(|(is_idle, _)| is_idle.recv().unwrap());
                assert_all_are_there(pool, || 1);
                idle.iter().for_each(|(_, go)| go.send(()).unwrap());
            }
        });
    }
}

fn slots_of_threads_that_use_another_pool_are_found<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let (wanted, other) = (pool::<u64, K>(1_000), pool::<u64, K>(1_000));
    let ended = AtomicBool::new(false);
    let ready = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                drop((0..300).map(|_| wanted.allocate(1).unwrap()).collect::<Vec<_>>());
                ready.fetch_add(1, Release);
                while !ended.load(Relaxed) {
                    drop(other.allocate(1).unwrap());
                }
            });
        }
        while ready.load(Acquire) < 3 {
            thread::yield_now();
        }
        for _ in 0..rounds(20, 2) {
            assert_all_are_there(&wanted, || 1);
        }
        ended.store(true, Relaxed);
    });
}

fn batch_collects_what_threads_keep<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let pool = pool::<u64, K>(1_000);
    together(4, |_| drop((0..250).map(|_| pool.allocate(1).unwrap()).collect::<Vec<_>>()));
    let all = pool.allocate_batch([7; 1_000]).unwrap();
    assert!(all.iter().all(|handle| **handle == 7) && pool.is_full());
    assert!(pool.allocate_batch([8]).is_err());
}

fn flushed_slots_are_found<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let pool = pool::<u64, K>(500);
    let held = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut handles: Vec<_> = (0..500).map(|_| pool.allocate(1).unwrap()).collect();
            handles.truncate(100);
            pool.flush_thread();
            assert_eq!((pool.available(), pool.allocated()), (400, 100));
            handles
        });
        thread.join().unwrap()
    });
    assert_eq!(pool.allocate_batch([2; 400]).unwrap().len(), 400);
    drop(held);
    assert_all_are_there(&pool, || 1);
}

fn flush_of_a_thread_without_slots_does_nothing<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let pool = pool::<u64, K>(3);
    pool.flush_thread();
    together(2, |_| pool.flush_thread());
    let one = pool.allocate(1).unwrap();
    pool.flush_thread();
    pool.close();
    pool.flush_thread();
    drop(one);
    pool.flush_thread();
    assert!(pool.is_empty());
}

fn one_slot_goes_from_hand_to_hand<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    // Whose turn it is.
    let turn = AtomicUsize::new(0);
    let turns = rounds(4_000, 50);
    together(3, |number| {
        loop {
            let now = turn.load(Acquire);
            if now >= turns {
                break;
            }
            if now % 3 == number {
                let handle = pool.allocate(tally.value(now as u64)).expect("the slot was released before");
                assert!(pool.try_allocate(tally.value(0)).is_none());
                handle.check(now as u64);
                drop(handle);
                turn.fetch_add(1, AcqRel);
            } else {
                thread::yield_now();
            }
        }
    });
    tally.assert_none_left();
}

fn counts_are_exact_when_all_is_quiet<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let pool = pool::<u64, K>(1_000);
    let held = Mutex::new(Vec::new());
    together(4, |number| {
        let mut random = Random::new(number);
        let mut handles: Vec<_> = (0..200).map(|_| pool.allocate(1).unwrap()).collect();
        handles.retain(|_| random.once_in(3));
        held.lock().unwrap().append(&mut handles);
    });
    let held = held.into_inner().unwrap();
    assert_eq!((pool.allocated(), pool.available()), (held.len(), 1_000 - held.len()));
    assert!(!pool.is_empty() && !pool.is_full());
    assert!(format!("{pool:?}").contains(&format!("capacity: 1000, allocated: {}", held.len())));
    drop(held);
    assert_eq!((pool.allocated(), pool.is_empty()), (0, true));
}

#[test]
fn threads_fill_a_growing_pool_to_its_limit_and_no_further() {
    let steps = [
        || GrowthStrategy::Linear { amount: 1 },
        || GrowthStrategy::Linear { amount: 37 },
        || GrowthStrategy::Exponential { factor: 2.0 },
        || GrowthStrategy::Custom { compute: Box::new(|capacity| capacity / 3 + 1) },
    ];
    for step in steps {
        for max in [5, 64, 1_000] {
            let config = PoolConfig::builder().capacity(1).max_capacity(Some(max)).growth_strategy(step());
            let pool = ThreadSafePool::<u64>::with_config(config.build().unwrap()).unwrap();
            let held = Mutex::new(Vec::new());
            together(4, |_| {
                let error = loop {
                    match pool.allocate(1) {
                        Ok(handle) => held.lock().unwrap().push(handle),
                        Err(error) => break error,
                    }
                };
                assert!(
                    matches!(error, Error::MaxCapacityExceeded { current, max: limit, .. } if current == max && limit == max)
                );
            });
            assert_eq!((held.lock().unwrap().len(), pool.capacity(), pool.can_grow()), (max, max, false));
            drop(held);
            assert!(pool.is_empty());
        }
    }
}
