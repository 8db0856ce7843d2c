//! Who holds what of a pool that threads share.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use fastalloc::{LeakPolicy, Poolable, SharedPool, Sharing};

use crate::support::{Random, Tally, build, config, inject, on_every_shared_pool, rounds, together};

on_every_shared_pool! {
    each_way_to_allocate_is_found_where_it_is_called
    each_way_to_release_is_noticed
    what_threads_hold_is_known_exactly
    capacity_is_exact
    handles_that_outlive_the_pool_are_told_once
    pool_ends_well_also_if_the_listener_panics
    listener_may_release_what_is_out
}

fn tracked<T: Poolable, K: Sharing>(capacity: usize) -> SharedPool<T, K> {
    build(config(capacity).track_leaks(true).leak_policy(LeakPolicy::Ignore))
}

fn lines<T: Poolable, K: Sharing>(pool: &SharedPool<T, K>) -> Vec<u32> {
    let outstanding = pool.outstanding().expect("the pool tracks leaks");
    outstanding.objects().iter().map(|held| held.place.line()).collect()
}

const NOTHING: [u32; 0] = [];

/// The result of an expression; notes its line.
macro_rules! here {
    ($lines:ident, $expression:expr) => {{
        $lines.push(line!());
        $expression
    }};
}

fn each_way_to_allocate_is_found_where_it_is_called<K: Sharing>() {
    let pool: SharedPool<u64, K> = build(config(16).reset_fn(|| 0, |_| ()).track_leaks(true));
    let (mut expected, second) = (Vec::new(), Duration::from_secs(1));
    let original = here!(expected, pool.allocate(1).unwrap());
    let mut held = vec![
        here!(expected, pool.try_allocate(1).unwrap()),
        here!(expected, pool.allocate_or_return(1).unwrap()),
        here!(expected, pool.allocate_with(|| 1).unwrap()),
        here!(expected, pool.try_allocate_with(|| 1).unwrap()),
        here!(expected, pool.allocate_in_place(|slot| slot.write(1)).unwrap()),
        here!(expected, pool.try_allocate_in_place(|slot| slot.write(1)).unwrap()),
        here!(expected, pool.allocate_batch([1]).unwrap().remove(0)),
        here!(expected, pool.acquire().unwrap()),
        here!(expected, pool.allocate_wait(1).unwrap()),
        here!(expected, pool.allocate_timeout(1, second).unwrap()),
        here!(expected, pool.acquire_wait().unwrap()),
        here!(expected, pool.acquire_timeout(second).unwrap()),
        here!(expected, original.try_clone().unwrap()),
    ];
    let shared = here!(expected, pool.allocate_shared(1).unwrap());
    // A future is told by where it was made.
    let mut future = pin!(here!(expected, pool.allocate_async(1)));
    let Poll::Ready(handle) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("no slot") };
    held.push(handle.unwrap());
    assert_eq!(lines(&pool), expected);
    assert!(pool.is_full());

    // Also one that has waited.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| (line!(), pool.allocate_wait(1).unwrap()));
        drop(original);
        let (line, _handle) = waiting.join().unwrap();
        expected.remove(0);
        expected.push(line);
        assert_eq!(lines(&pool), expected);
    });
    drop((held, shared));
    assert_eq!(lines(&pool), NOTHING);
}

fn each_way_to_release_is_noticed<K: Sharing>() {
    let values = tracked::<u64, K>(3);
    let keep = |value: &mut u64| *value % 2 == 0;
    let objects: SharedPool<u64, K> = build(config(3).reset_fn(|| 0, keep).track_leaks(true));
    let eager: SharedPool<u64, K> = build(config(3).initializer(|| 1).track_leaks(true));
    for pool in [&values, &objects, &eager] {
        assert_eq!(lines(pool), NOTHING);
        drop(pool.allocate(1).unwrap());
        assert_eq!(pool.allocate(2).unwrap().into_inner(), 2);
        drop(pool.allocate(3).unwrap().into_pin());
        drop(pool.allocate(4).unwrap().unsize::<dyn std::fmt::Debug + Send + Sync>(|value| value));
        assert_eq!(lines(pool), NOTHING);
        let shared = pool.allocate_shared(5).unwrap();
        let (weak, other) = (shared.downgrade(), shared.clone());
        drop(shared);
        assert_eq!(lines(pool).len(), 1);
        drop(other);
        assert_eq!(lines(pool), NOTHING);
        assert!(weak.upgrade().is_none());
        drop(pool.allocate_batch([6, 7, 8]).unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| pool.allocate_with(|| inject()).is_ok())).is_err());
        assert_eq!(lines(pool), NOTHING);
    }
    drop(objects.acquire().unwrap());
    assert_eq!(lines(&objects), NOTHING);
}

fn what_threads_hold_is_known_exactly<K: Sharing>() {
    let pool = tracked::<usize, K>(50);
    let held = Mutex::new(Vec::new());
    together(4, |number| {
        let (mut random, mut handles) = (Random::new(number), Vec::new());
        for _ in 0..rounds(2_000, 30) {
            if random.once_in(2) || handles.is_empty() {
                handles.extend(pool.try_allocate(number));
            } else {
                drop(handles.swap_remove(random.below(handles.len())));
            }
        }
        held.lock().unwrap().extend(handles.into_iter().map(|handle| (handle, thread::current().id())));
    });
    let held = held.into_inner().unwrap();
    let mut expected: Vec<_> = held.iter().map(|(handle, thread)| (handle.index(), format!("{thread:?}"))).collect();
    let outstanding = pool.outstanding().unwrap();
    let told = outstanding.objects().iter().map(|held| (held.index, format!("{:?}", held.thread.id())));
    let mut told: Vec<_> = told.collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    assert_eq!(told.len(), pool.allocated());
}

fn capacity_is_exact<K: Sharing>() {
    let pool = tracked::<u64, K>(100);
    together(3, |_| drop((0..20).map(|_| pool.allocate(1)).collect::<Vec<_>>()));
    crate::support::assert_all_are_there(&pool, || 1);
}

fn handles_that_outlive_the_pool_are_told_once<K: Sharing>() {
    let told = Arc::<Mutex<Vec<String>>>::default();
    let listener = Arc::clone(&told);
    let policy = LeakPolicy::tell(move |outstanding| listener.lock().unwrap().push(outstanding.to_string()));
    let pool: SharedPool<u64, K> = build(config(3).name("jobs").track_leaks(true).leak_policy(policy));
    let (one, two) = (pool.allocate(1).unwrap(), pool.clone().allocate_shared(2).unwrap());
    assert_eq!(pool.held_longer_than(Duration::ZERO).map(|outstanding| outstanding.objects().len()), Some(2));
    assert!(format!("{pool:?}").contains("jobs"), "{pool:?}");
    assert!(told.lock().unwrap().is_empty(), "the first clone is still there");
    let weak = two.downgrade();
    drop(pool);
    assert!(told.lock().unwrap().is_empty(), "a weak handle keeps the pool");
    drop(weak);
    let report = told.lock().unwrap().join("");
    assert!(report.starts_with("2 objects of type u64 of the pool `jobs`\n  1 from "), "{report}");
    // The pool ends once.
    drop(two.downgrade());
    drop((one, two));
    assert_eq!(Arc::into_inner(told).expect("the core is gone").into_inner().unwrap().len(), 1);
}

fn pool_ends_well_also_if_the_listener_panics<K: Sharing>() {
    let tally = Tally::next();
    for policy in [LeakPolicy::tell(|_| inject()), LeakPolicy::Panic] {
        let pool: SharedPool<_, K> = build(config(2).track_leaks(true).leak_policy(policy));
        let held = pool.allocate(tally.value(1)).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(pool))).is_err());
        held.check(1);
    }
    tally.assert_all_dead(2);
}

fn listener_may_release_what_is_out<K: Sharing>() {
    let tally = Tally::next();
    let held = Arc::new(Mutex::new(Vec::new()));
    let mine = Arc::clone(&held);
    let policy = LeakPolicy::tell(move |_| mine.lock().unwrap().clear());
    let pool: SharedPool<_, K> = build(config(2).track_leaks(true).leak_policy(policy));
    held.lock().unwrap().extend((0..2).map(|mark| pool.allocate(tally.value(mark)).unwrap()));
    drop(pool);
    tally.assert_all_dead(2);
    assert_eq!(Arc::strong_count(&held), 1, "the core is gone, and its listener");
}
