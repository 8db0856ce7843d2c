//! Great numbers of threads, of pools, and of threads that wait.

use std::mem;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use fastalloc::{Error, SharedPool, Sharing, ThreadSafeHandle, ThreadSafeSharedHandle, ThreadSafeWeakHandle};

use crate::support::{
    Gate, Permits, Random, Tally, Tracked, assert_all_are_there, build, config, on_every_shared_pool, pool, rounds,
    together,
};

on_every_shared_pool! {
    thousands_of_threads_leave_no_slot_behind
    hundreds_of_threads_have_their_shares_at_the_same_time
    pools_are_replaced_while_threads_use_them
    thousands_of_blocked_threads_get_their_slots
    patient_threads_are_not_starved_by_impatient_ones
    busy_pool_can_be_closed
    pool_ends_while_many_threads_use_another_one
    closed_pool_hands_out_nothing_to_threads_that_were_interrupted
}

/// The end of a pool waits for each of its threads, not for a moment in which none of them uses any pool.
fn pool_ends_while_many_threads_use_another_one<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let (first, other) = (pool::<u64, K>(10_000), pool::<u64, K>(10_000));
    let first = Mutex::new(Some(first));
    let (ready, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    together(13, |number| {
        if number > 0 {
            let clone = first.lock().unwrap().clone();
            drop(clone.map(|pool| pool.allocate(1)));
            ready.fetch_add(1, Relaxed);
            while !stop.load(Relaxed) {
                (0..100).for_each(|_| drop(other.allocate(1)));
            }
        } else {
            while ready.load(Relaxed) < 12 {
                thread::yield_now();
            }
            let last = first.lock().unwrap().take();
            drop(last);
            stop.store(true, Relaxed);
        }
    });
}

fn closed_pool_hands_out_nothing_to_threads_that_were_interrupted<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    for _ in 0..rounds(10, 1) {
        let pool = pool::<u64, K>(10_000);
        let (closed, late) = (AtomicBool::new(false), AtomicUsize::new(0));
        together(8, |number| {
            if number == 0 {
                thread::sleep(Duration::from_millis(2));
                pool.close();
                closed.store(true, SeqCst);
                return;
            }
            loop {
                let is_closed = closed.load(SeqCst);
                match pool.allocate(1) {
                    Ok(_) => late.fetch_add(usize::from(is_closed), Relaxed),
                    Err(error) => return assert_eq!(error, Error::Closed),
                };
            }
        });
        // Each may have been interrupted once.
        assert!(late.into_inner() <= 7, "closed pools hand out nothing");
    }
}

/// What a thread that lives for a short time does with a pool.
fn live<K: Sharing>(
    pool: &SharedPool<Tracked, K>,
    permits: &Permits,
    stash: &Stash,
    tally: &'static Tally,
    seed: usize,
) {
    let mut random = Random::new(seed);
    for _ in 0..random.below(4) {
        let count = (0..1 + random.below(8)).take_while(|_| permits.take()).count();
        let values = (0..count).map(|_| tally.value(seed as u64));
        let mut handles: Vec<_> = if random.once_in(3) {
            pool.allocate_batch(values.collect::<Vec<_>>()).expect("so many slots are vacant")
        } else {
            values.map(|value| pool.allocate(value).expect("a slot is vacant")).collect()
        };
        handles.iter().for_each(|handle| handle.check(seed as u64));
        if random.once_in(2) {
            // Released by a thread that lives longer.
            stash.lock().unwrap().append(&mut handles);
        } else {
            let mut stash = stash.lock().unwrap();
            let left = stash.len() - random.below(8).min(stash.len());
            handles.extend(stash.drain(left..));
        }
        for handle in handles {
            drop(handle);
            permits.give();
        }
        if random.once_in(4) {
            pool.flush_thread();
        }
    }
}

type Stash = Mutex<Vec<ThreadSafeHandle<Tracked>>>;

fn thousands_of_threads_leave_no_slot_behind<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for capacity in [3, 70, 1_000] {
        let tally = Tally::next();
        let pool = pool::<_, K>(capacity);
        let (permits, stash) = (Permits::new(capacity), Stash::default());
        together(4, |number| {
            let mut random = Random::new(number);
            for round in 0..rounds(100, 2) {
                // They start and end while others do.
                thread::scope(|scope| {
                    for at in 0..1 + random.below(5) {
                        let (pool, permits, stash) = (&pool, &permits, &stash);
                        scope.spawn(move || live(pool, permits, stash, tally, (number * 1_000 + round) * 10 + at));
                    }
                });
            }
        });
        stash.into_inner().unwrap().clear();
        assert!(pool.is_empty());
        tally.assert_none_left();
        together(1, |_| assert_all_are_there(&pool, || tally.value(1)));
        assert_all_are_there(&pool, || tally.value(2));
    }
}

fn hundreds_of_threads_have_their_shares_at_the_same_time<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let threads = rounds(300, 10);
    for each in [1, 3, 40] {
        let tally = Tally::next();
        let pool = pool::<_, K>(threads * each);
        let barrier = Barrier::new(threads);
        for _ in 0..2 {
            together(threads, |_| {
                // A panic here would keep the others at the barrier.
                let share: Vec<_> = (0..each).map(|_| pool.allocate(tally.value(1))).collect();
                barrier.wait();
                let full = (pool.is_full(), pool.try_allocate(tally.value(1)).is_none());
                barrier.wait();
                assert!(share.iter().all(Result::is_ok), "each thread has its share");
                assert_eq!(full, (true, true));
            });
            assert!(pool.is_empty());
        }
        assert_all_are_there(&pool, || tally.value(1));
        tally.assert_none_left();
    }
}

/// A handle of any kind.
#[expect(dead_code, reason = "they are there to be dropped")]
enum AnyHandle {
    Owned(ThreadSafeHandle<Tracked>),
    Shared(ThreadSafeSharedHandle<Tracked>),
    Weak(ThreadSafeWeakHandle<Tracked>),
}

fn pools_are_replaced_while_threads_use_them<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let new_pool = |random: &mut Random| {
        let config = config([1, 10, 300][random.below(3)]);
        build::<_, K>(if random.once_in(2) { config.reset_fn(move || tally.value(8), |_| ()) } else { config })
    };
    let pools = [1, 2, 3].map(|seed| Mutex::new(new_pool(&mut Random::new(seed))));
    let stash: Mutex<Vec<AnyHandle>> = Mutex::default();
    together(4, |number| {
        let mut random = Random::new(number);
        for _ in 0..rounds(1_000, 20) {
            let shared = &pools[random.below(pools.len())];
            if random.once_in(5) {
                let new = new_pool(&mut random);
                let old = mem::replace(&mut *shared.lock().unwrap(), new);
                drop(old);
            }
            let pool = shared.lock().unwrap().clone();
            let mut handles: Vec<_> = (0..random.below(10)).map_while(|_| pool.try_allocate(tally.value(9))).collect();
            if let Ok(mut object) = pool.acquire() {
                object.mark = 9;
                handles.push(object);
            }
            if random.once_in(2) {
                // The handles may be the last to use their pool.
                drop(pool);
            }
            handles.iter().for_each(|handle| handle.check(9));
            let mut stash = stash.lock().unwrap();
            let left = stash.len() - random.below(12).min(stash.len());
            let old: Vec<_> = stash.drain(left..).collect();
            if let Some(handle) = handles.pop() {
                let shared = handle.into_shared();
                stash.push(AnyHandle::Weak(shared.downgrade()));
                stash.push(AnyHandle::Shared(shared));
            }
            stash.extend(handles.drain(..handles.len() / 2).map(AnyHandle::Owned));
            drop(stash);
            drop((old, handles));
        }
    });
    drop((pools, stash));
    tally.assert_none_left();
}

fn thousands_of_blocked_threads_get_their_slots<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    // With debug assertions, and in sanitizers, there are fewer.
    let waves = if cfg!(debug_assertions) { 8 } else { 25 };
    let (capacity, threads, waves) = (rounds(100, 3), rounds(400, 8), rounds(waves, 2));
    let tally = Tally::next();
    let pool = pool::<_, K>(capacity);
    let (gate, timeouts) = (Gate::default(), AtomicUsize::new(0));
    for wave in 0..waves {
        let stash = Mutex::new(pool.allocate_batch((0..capacity).map(|_| tally.value(1))).unwrap());
        stash.lock().unwrap().iter().for_each(|_| gate.enter(capacity));
        let waiting = AtomicUsize::new(threads);
        let release = || {
            let handle = stash.lock().unwrap().pop();
            handle.iter().for_each(|_| gate.leave());
            handle.is_some()
        };
        together(threads + 1, |number| {
            if number == threads {
                // One slot becomes vacant now and then.
                while waiting.load(Relaxed) > 0 {
                    release();
                    thread::yield_now();
                }
                return;
            }
            let mut random = Random::new(wave * threads + number);
            let handle = loop {
                let result = match random.below(3) {
                    0 => pool.allocate_wait(tally.value(1)),
                    _ => pool.allocate_timeout(tally.value(1), Duration::from_micros(random.below(300) as u64)),
                };
                match result {
                    Ok(handle) => break handle,
                    Err(error) => assert_eq!(error, Error::Timeout),
                }
                timeouts.fetch_add(1, Relaxed);
            };
            gate.enter(capacity);
            handle.check(1);
            stash.lock().unwrap().push(handle);
            waiting.fetch_sub(1, Relaxed);
        });
        while release() {}
        assert!(pool.is_empty());
    }
    assert!(cfg!(miri) || timeouts.into_inner() > 0, "nobody had to wait");
    tally.assert_none_left();
    assert_all_are_there(&pool, || tally.value(1));
}

fn patient_threads_are_not_starved_by_impatient_ones<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(2);
    let patient_left = AtomicUsize::new(2);
    together(6, |number| {
        if number < 2 {
            for _ in 0..rounds(200, 5) {
                pool.allocate_wait(tally.value(1)).unwrap().check(1);
            }
            patient_left.fetch_sub(1, Relaxed);
            return;
        }
        let mut random = Random::new(number);
        // As long as somebody is patient.
        while patient_left.load(Relaxed) > 0 {
            let timeout = Duration::from_micros(random.below(20) as u64);
            drop([pool.try_allocate(tally.value(2)), pool.allocate_timeout(tally.value(2), timeout).ok()]);
        }
    });
    assert!(pool.is_empty());
    tally.assert_none_left();
}

fn busy_pool_can_be_closed<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    for round in 0..rounds(60, 3) {
        let pool = pool::<_, K>([5, 400][round % 2]);
        let held = together_until_closed(&pool, tally, round);
        assert_eq!((pool.allocated(), pool.is_closed()), (held.len(), true));
        assert_eq!(pool.allocate(tally.value(1)).unwrap_err(), Error::Closed);
        if round % 3 == 0 {
            drop(pool);
            drop(held);
        } else {
            drop(held);
            assert!(pool.is_empty());
        }
        tally.assert_none_left();
    }
}

/// Threads use a pool in many ways until one of them closes it. Returns handles that they did not drop.
fn together_until_closed<K: Sharing>(
    pool: &SharedPool<Tracked, K>,
    tally: &'static Tally,
    seed: usize,
) -> Vec<ThreadSafeHandle<Tracked>>
where
    SharedPool<Tracked, K>: Sync,
{
    let held = Stash::default();
    together(4, |number| {
        let mut random = Random::new(seed * 4 + number);
        loop {
            if random.once_in(300) {
                pool.close();
            }
            let result = match random.below(4) {
                0 => pool.allocate(tally.value(1)).map(|handle| vec![handle]),
                1 => pool.allocate_batch([1, 2].map(|mark| tally.value(mark))),
                2 => pool.allocate_wait(tally.value(1)).map(|handle| vec![handle]),
                _ => pool.allocate_timeout(tally.value(1), Duration::ZERO).map(|handle| vec![handle]),
            };
            match result {
                Ok(mut handles) if random.once_in(10) => {
                    let mut held = held.lock().unwrap();
                    held.append(&mut handles);
                    // Else those who wait could wait for ever.
                    let old = if held.len() > 3 { mem::take(&mut *held) } else { Vec::new() };
                    drop(held);
                    drop(old);
                }
                Ok(handles) => handles.iter().for_each(|handle| assert!(handle.mark > 0)),
                Err(Error::Closed) => break,
                Err(error) => assert!(matches!(error, Error::PoolExhausted { .. } | Error::Timeout), "{error}"),
            }
            if random.once_in(10) {
                pool.flush_thread();
            }
        }
    });
    held.into_inner().unwrap()
}
