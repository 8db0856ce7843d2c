//! Objects that a pool keeps go from thread to thread, one owner at a time, and are made as seldom as possible.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use fastalloc::{Error, GrowthStrategy, PoolConfig, SharedPool, Sharing, ThreadSafeHandle, ThreadSafePool};

use crate::support::{Gate, Random, Tally, Tracked, build, config, on_every_shared_pool, rounds, together};

on_every_shared_pool! {
    object_has_one_owner_at_a_time
    objects_of_other_threads_are_used_before_new_ones_are_made
    ready_objects_need_no_initializer
    threads_in_turn_have_an_object_each
    refused_objects_are_replaced
    values_and_objects_share_the_slots
    pinned_objects_are_not_kept
}

/// A pool whose objects are marked 0 while they are vacant. Each is destroyed by the reset now and then, if so wanted.
fn recycling<K: Sharing>(capacity: usize, tally: &'static Tally, refuses: bool) -> SharedPool<Tracked, K> {
    let uses = AtomicUsize::new(1);
    let reset = move |object: &mut Tracked| {
        object.mark = 0;
        !refuses || uses.fetch_add(1, Relaxed) % 7 != 0
    };
    build(config(capacity).reset_fn(move || tally.value(0), reset))
}

/// Each thread takes and releases objects, at most `each` at a time, and marks them meanwhile.
fn use_objects<K: Sharing>(pool: &SharedPool<Tracked, K>, threads: usize, each: usize)
where
    SharedPool<Tracked, K>: Sync,
{
    let gate = Gate::default();
    together(threads, |number| {
        let mut random = Random::new(number);
        let mut held: Vec<(u64, ThreadSafeHandle<Tracked>)> = Vec::new();
        for operation in 0..rounds(12_000, 100) / threads {
            if held.len() < each && random.below(5) < 3 {
                let mut handle = pool.acquire().expect("each thread has its share");
                gate.enter(threads * each);
                handle.check(0);
                handle.mark = (operation * threads + number + 1) as u64;
                held.push((handle.mark, handle));
            } else if !held.is_empty() {
                let (mark, handle) = held.swap_remove(random.below(held.len()));
                handle.check(mark);
                gate.leave();
            }
        }
        held.iter().for_each(|(mark, handle)| handle.check(*mark));
        held.iter().for_each(|_| gate.leave());
    });
    assert!(pool.is_empty());
}

fn object_has_one_owner_at_a_time<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, each) in [(2, 1), (4, 3), (3, 100), (16, 1)] {
        let tally = Tally::next();
        let pool = recycling::<K>(threads * each, tally, false);
        use_objects(&pool, threads, each);
        assert!((1..=threads * each).contains(&tally.born()) && tally.dead() == 0);
        drop(pool);
        tally.assert_none_left();
    }
}

fn objects_of_other_threads_are_used_before_new_ones_are_made<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for capacity in [10, 1_000] {
        let tally = Tally::next();
        let pool = recycling::<K>(capacity, tally, false);
        for _ in 0..3 {
            together(1, |_| drop((0..8).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>()));
            drop((0..8).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
        }
        assert_eq!(tally.born(), 8);
        drop(pool);
        tally.assert_all_dead(8);
    }
}

/// Rather than to take the only object from each other for ever. In a small pool threads keep nothing for themselves,
/// and under passthrough in none.
fn threads_in_turn_have_an_object_each<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (capacity, objects) in [(4, 1), (1_000, if cfg!(fastalloc_passthrough) { 1 } else { 2 })] {
        let tally = Tally::next();
        let pool = recycling::<K>(capacity, tally, false);
        let turn = AtomicUsize::new(0);
        together(2, |thread| {
            for round in 0..50 {
                while turn.load(Acquire) != 2 * round + thread {
                    std::thread::yield_now();
                }
                drop(pool.acquire().unwrap());
                turn.fetch_add(1, Release);
            }
        });
        assert_eq!(tally.born(), objects);
    }
}

fn ready_objects_need_no_initializer<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for eager in [false, true] {
        let tally = Tally::next();
        let config = config(120);
        let config = if eager {
            config.initializer(move || tally.value(0))
        } else {
            config.reset_fn(move || tally.value(0), |object| object.mark = 0).pre_initialize(true)
        };
        let pool = build::<_, K>(config);
        assert_eq!((tally.born(), pool.available()), (120, 120));
        for _ in 0..rounds(20, 2) {
            together(4, |_| {
                let held: Vec<_> = (0..30).map(|_| pool.acquire().unwrap()).collect();
                held.iter().for_each(|handle| handle.check(0));
            });
        }
        assert_eq!((tally.born(), tally.dead()), (120, 0));
        drop(pool);
        tally.assert_all_dead(120);
    }
}

fn refused_objects_are_replaced<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, each) in [(4, 3), (3, 100)] {
        let tally = Tally::next();
        let pool = recycling::<K>(threads * each, tally, true);
        use_objects(&pool, threads, each);
        assert!(tally.dead() > 0 && tally.born() - tally.dead() <= threads * each);
        drop(pool);
        tally.assert_none_left();
    }
}

fn values_and_objects_share_the_slots<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for (threads, each) in [(4, 3), (3, 70)] {
        let tally = Tally::next();
        let pool = recycling::<K>(threads * each, tally, true);
        together(threads, |number| {
            let mut random = Random::new(number);
            let mut held = Vec::new();
            for _ in 0..rounds(8_000, 100) / threads {
                if held.len() < each && random.below(5) < 3 {
                    let handle = match random.below(3) {
                        0 => pool.allocate(tally.value(0)),
                        1 => pool.allocate_batch([tally.value(0)]).map(|mut handles| handles.remove(0)),
                        _ => pool.acquire(),
                    };
                    held.push(handle.expect("each thread has its share"));
                } else if let Some(handle) = held.pop() {
                    if random.once_in(4) {
                        handle.into_inner().check(0);
                    }
                }
            }
        });
        assert!(pool.is_empty() && tally.born() - tally.dead() <= threads * each);
        drop(pool);
        tally.assert_none_left();
    }
}

fn pinned_objects_are_not_kept<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let reset = |_: &mut Tracked| -> bool { unreachable!("it could move the object") };
    let pool = build::<_, K>(config(40).reset_fn(move || tally.value(0), reset));
    together(4, |_| {
        for _ in 0..rounds(100, 5) {
            drop((0..10).map(|_| pool.acquire().unwrap().into_pin()).collect::<Vec<_>>());
        }
    });
    assert!(pool.is_empty());
    tally.assert_none_left();
}

#[test]
fn eager_pool_grows_under_many_threads() {
    let tally = Tally::next();
    let config = PoolConfig::builder().capacity(2).max_capacity(Some(200)).initializer(move || tally.value(0));
    let config = config.growth_strategy(GrowthStrategy::Linear { amount: 7 });
    let pool: ThreadSafePool<Tracked> = build(config);
    let all = Mutex::new(Vec::new());
    together(4, |_| {
        let error = loop {
            match pool.acquire() {
                Ok(object) => all.lock().unwrap().push(object),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::MaxCapacityExceeded { max: 200, .. } | Error::PoolExhausted { .. }), "{error}");
    });
    // While a thread makes objects in new slots, they are not vacant for the others.
    let mut all = all.into_inner().unwrap();
    while let Ok(object) = pool.acquire() {
        all.push(object);
    }
    assert_eq!((all.len(), pool.capacity(), tally.born(), tally.dead()), (200, 200, 200, 0));
    drop(all);
    drop(pool);
    tally.assert_all_dead(200);
}

#[test]
fn trims_and_users_do_not_disturb_each_other() {
    let tally = Tally::next();
    let config = PoolConfig::builder().capacity(4).max_capacity(Some(120)).alignment(crate::support::BLOCK);
    let config = config.growth_strategy(GrowthStrategy::Linear { amount: 3 });
    let pool: ThreadSafePool<Tracked> = build(config.reset_fn(move || tally.value(0), |object| object.mark = 0));
    together(4, |number| {
        let mut random = Random::new(number);
        for _ in 0..rounds(150, 5) {
            if number == 0 {
                if random.once_in(3) {
                    let _ = pool.reserve(random.below(30));
                }
                pool.trim_to(random.below(20));
                assert!(pool.capacity() <= 120);
                continue;
            }
            let mark = random.below(1_000) as u64;
            let mut held = Vec::new();
            for _ in 0..random.below(40) {
                // A trim withholds slots while it destroys their objects.
                match pool.acquire_wait() {
                    Ok(mut object) => {
                        object.mark = mark;
                        held.push(object);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            held.iter().for_each(|object| object.check(mark));
        }
    });
    assert!(pool.is_empty());
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
    tally.assert_none_left();
    let all: Vec<_> = (0..120).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((all.len(), pool.capacity(), pool.can_grow()), (120, 120, false));
    drop((all, pool));
    tally.assert_none_left();
}
