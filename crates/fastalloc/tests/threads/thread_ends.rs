//! Threads that use pools while they end, or that end in a panic.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use fastalloc::{SharedPool, Sharing, ThreadSafeHandle};

use crate::support::{
    Injected, Random, Tally, Tracked, assert_all_are_there, build, config, inject, on_every_shared_pool, pool, rounds,
    together,
};

on_every_shared_pool! {
    destructors_of_thread_locals_may_use_the_pool
    destructors_of_thread_locals_may_use_a_pool_that_is_new_to_the_thread
    destructors_of_thread_locals_may_end_the_pool
    threads_end_while_others_look_for_their_slots
    panicking_thread_releases_what_it_holds
}

/// Calls functions when it is destroyed.
#[derive(Default)]
struct AtEnd(RefCell<Vec<Box<dyn FnOnce()>>>);

impl AtEnd {
    fn push(&self, call: impl FnOnce() + 'static) {
        self.0.borrow_mut().push(Box::new(call));
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|call| call());
    }
}

thread_local! {
    static EARLY: AtEnd = AtEnd::default();
    static LATE: AtEnd = AtEnd::default();
}

/// Takes and releases slots in many ways, seven at a time. Each thread has its share of the pool.
fn use_in_many_ways<K: Sharing>(pool: &SharedPool<Tracked, K>, tally: &'static Tally) {
    let one = pool.allocate(tally.value(1)).unwrap();
    let two = pool.allocate_wait(tally.value(2)).unwrap();
    let batch = pool.allocate_batch([3, 4].map(|mark| tally.value(mark))).unwrap();
    let shared = pool.allocate_shared(tally.value(5)).unwrap();
    let (other, weak) = (shared.clone(), shared.downgrade());
    pool.flush_thread();
    let timed = pool.allocate_timeout(tally.value(6), Duration::ZERO).unwrap();
    let clone = timed.try_clone().unwrap();
    let marks = [(&one, 1), (&two, 2), (&batch[0], 3), (&batch[1], 4), (&timed, 6), (&clone, 6)];
    marks.into_iter().for_each(|(handle, mark)| handle.check(mark));
    drop((one, shared));
    weak.upgrade().unwrap().check(5);
    drop((two, batch, other, timed));
    assert!(weak.upgrade().is_none());
    clone.into_inner().check(6);
    pool.flush_thread();
}

fn destructors_of_thread_locals_may_use_the_pool<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    for (capacity, recycles) in [(21, false), (21, true), (400, false), (400, true)] {
        let config = config(capacity);
        let pool = build::<_, K>(if recycles { config.reset_fn(move || tally.value(7), |_| ()) } else { config });
        for _ in 0..rounds(20, 2) {
            together(3, |_| {
                let (early, late) = (pool.clone(), pool.clone());
                EARLY.with(|calls| calls.push(move || use_in_many_ways(&early, tally)));
                use_in_many_ways(&pool, tally);
                // It is destroyed before what pools know about the thread, the other one after that.
                LATE.with(|calls| calls.push(move || use_in_many_ways(&late, tally)));
            });
        }
        assert!(pool.is_empty());
        assert_all_are_there(&pool, || tally.value(1));
    }
    tally.assert_none_left();
}

fn destructors_of_thread_locals_may_use_a_pool_that_is_new_to_the_thread<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let another = pool::<_, K>(21);
    for round in 0..rounds(20, 4) {
        let new = pool::<_, K>(200);
        together(3, |_| {
            let (early, late) = (new.clone(), new.clone());
            EARLY.with(|calls| calls.push(move || use_in_many_ways(&early, tally)));
            if round % 2 == 0 {
                use_in_many_ways(&another, tally);
            }
            if round % 4 < 2 {
                LATE.with(|calls| calls.push(move || use_in_many_ways(&late, tally)));
            }
        });
        assert!(new.is_empty());
        assert_all_are_there(&new, || tally.value(1));
    }
    tally.assert_none_left();
}

fn destructors_of_thread_locals_may_end_the_pool<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    for round in 0..rounds(60, 6) {
        together(1, |_| {
            let new = build::<_, K>(config(200).reset_fn(move || tally.value(7), |_| ()));
            let (last, clone) = (new.clone(), new.clone());
            let end = move || {
                use_in_many_ways(&clone, tally);
                let handle = clone.acquire().unwrap();
                drop(clone);
                handle.check(handle.mark);
            };
            match round % 3 {
                0 => EARLY.with(|calls| calls.push(end)),
                1 => LATE.with(|calls| calls.push(end)),
                _ => {
                    EARLY.with(|calls| calls.push(move || drop(last)));
                    use_in_many_ways(&new, tally);
                    LATE.with(|calls| calls.push(end));
                }
            }
            use_in_many_ways(&new, tally);
        });
        tally.assert_none_left();
    }
}

fn threads_end_while_others_look_for_their_slots<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = &pool::<_, K>(300);
    let ended = AtomicBool::new(false);
    together(2, |number| {
        if number == 0 {
            // Each thread leaves many slots in its magazine.
            for _ in 0..rounds(300, 5) {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let handles: Vec<_> = (0..100).map_while(|_| pool.try_allocate(tally.value(1))).collect();
                        handles.iter().for_each(|handle| handle.check(1));
                    });
                });
            }
            ended.store(true, Relaxed);
        } else {
            // The other thread has 100 at most.
            while !ended.load(Relaxed) {
                let held: Vec<_> = (0..200).map(|_| pool.allocate(tally.value(2)).expect("a slot is vacant")).collect();
                held.iter().for_each(|handle| handle.check(2));
            }
        }
    });
    assert_all_are_there(pool, || tally.value(1));
    tally.assert_none_left();
}

fn panicking_thread_releases_what_it_holds<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(100);
    for round in 0..rounds(50, 3) {
        let others: Mutex<Vec<ThreadSafeHandle<Tracked>>> = Mutex::default();
        thread::scope(|scope| {
            let spawn = |number| {
                let (pool, others) = (&pool, &others);
                scope.spawn(move || {
                    let mut random = Random::new(round * 4 + number);
                    let mut held: Vec<_> = (0..25).map(|_| pool.allocate(tally.value(1)).expect("its share")).collect();
                    others.lock().unwrap().extend(held.drain(random.below(25)..));
                    let _shared = held.pop().map(ThreadSafeHandle::into_shared);
                    inject()
                })
            };
            let threads = [0, 1, 2, 3].map(spawn);
            threads
                .into_iter()
                .for_each(|thread| assert!(thread.join().is_err_and(|payload| payload.is::<Injected>())));
        });
        assert_eq!(pool.allocated(), others.lock().unwrap().len());
        drop(others);
        assert_all_are_there(&pool, || tally.value(2));
    }
    tally.assert_none_left();
}
