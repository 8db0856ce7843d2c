//! Threads, pools and handles end in any order; every value is destroyed exactly once, and no memory is lost.

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, mpsc};
use std::thread;

use fastalloc::{SharedPool, Sharing, ThreadSafeHandle, ThreadSafeSharedHandle, ThreadSafeWeakHandle};

use crate::support::{Random, Tally, Tracked, build, config, on_every_shared_pool, pool, rounds, together};

on_every_shared_pool! {
    handle_outlives_its_pool
    handle_of_a_pool_that_is_gone_does_all_it_did_before
    clone_made_when_the_pool_is_gone_keeps_its_memory
    clones_made_while_the_pool_ends_keep_its_memory
    handles_and_pools_end_at_the_same_time
    weak_handles_and_pools_end_at_the_same_time
    weak_handle_made_when_the_pool_is_gone_keeps_its_memory
    kept_objects_end_with_the_last_handle
    pools_come_and_go
    threads_come_and_go
    thread_local_handles_are_dropped_when_their_thread_ends
    thread_local_pool_and_handles_end_in_any_order
    one_thread_uses_many_pools
    pools_at_the_same_address_are_not_mixed_up
    handles_go_through_channels
    object_may_hold_the_pool_that_it_is_in
    unused_pool_can_be_dropped_anywhere
}

fn handle_outlives_its_pool<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    for capacity in [1, 10, 1_000] {
        let tally = Tally::next();
        let pool = pool::<_, K>(capacity);
        let handles: Vec<_> = (0..capacity as u64).map(|mark| pool.allocate(tally.value(mark)).unwrap()).collect();
        let clone = pool.clone();
        drop(pool);
        thread::spawn(move || drop(clone)).join().unwrap();
        assert!(handles.iter().zip(0..).all(|(handle, mark)| handle.mark == mark && handle.index() < capacity));
        assert_eq!(tally.dead(), 0);
        let (mine, others): (Vec<_>, Vec<_>) = handles.into_iter().partition(|handle| handle.mark % 2 == 0);
        thread::spawn(move || drop(others)).join().unwrap();
        assert!(mine.iter().all(|handle| handle.mark % 2 == 0));
        drop(mine);
        tally.assert_all_dead(capacity);
    }
}

fn handle_of_a_pool_that_is_gone_does_all_it_did_before<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<_, K>(10);
    let mut handles: Vec<_> = (0..5).map(|mark| pool.allocate(tally.value(mark)).unwrap()).collect();
    let address = std::ptr::from_ref(&*handles[4]);
    drop(pool);
    let pinned = handles.pop().unwrap().into_pin();
    assert_eq!((pinned.mark, std::ptr::from_ref(&*pinned)), (4, address));
    let shared = handles.pop().unwrap().into_shared();
    let weak = shared.downgrade();
    assert_eq!((shared.strong_count(), shared.weak_count(), weak.upgrade().unwrap().mark), (1, 1, 3));
    handles.pop().unwrap().into_inner().check(2);
    let mut any: ThreadSafeHandle<dyn std::any::Any> = handles.pop().unwrap().unsize(|value| value);
    any.downcast_mut::<Tracked>().unwrap().mark = 7;
    drop((pinned, any));
    assert_eq!(tally.dead(), 3);
    drop(shared);
    assert!(weak.upgrade().is_none());
    drop(handles);
    tally.assert_all_dead(5);
    assert_eq!((weak.strong_count(), weak.clone().weak_count()), (0, 0));
}

fn clone_made_when_the_pool_is_gone_keeps_its_memory<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<_, K>(2);
    let one = pool.allocate(tally.value(1)).unwrap();
    drop(pool);
    for _ in 0..3 {
        // It may be refused.
        let two = one.try_clone();
        let three = one.try_clone();
        if let Ok(two) = &two {
            two.check(1);
        }
        drop((two, three));
        one.check(1);
    }
    let clone = one.try_clone();
    drop(one);
    if let Ok(clone) = clone {
        clone.check(1);
    }
    tally.assert_none_left();
}

fn clones_made_while_the_pool_ends_keep_its_memory<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    let tally = Tally::next();
    for _ in 0..rounds(300, 5) {
        let pool = pool::<_, K>(200);
        let handle = pool.allocate(tally.value(1)).unwrap();
        let pool = Mutex::new(Some(pool));
        let handle = Mutex::new(Some(handle));
        together(2, |number| {
            if number == 0 {
                drop(pool.lock().unwrap().take());
            } else {
                let handle = handle.lock().unwrap().take().unwrap();
                let clones: Vec<_> = (0..5).map(|_| handle.try_clone()).collect();
                drop(handle);
                clones.iter().flatten().for_each(|clone| clone.check(1));
            }
        });
        tally.assert_none_left();
    }
}

fn handles_and_pools_end_at_the_same_time<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    let tally = Tally::next();
    for round in 0..rounds(500, 10) {
        let capacity = [1, 8, 300][round % 3];
        let threads = 2 + round % 3;
        let pool = pool::<_, K>(capacity);
        let parts: Mutex<Vec<_>> = Mutex::default();
        let mut left = capacity;
        for number in 0..threads {
            let count = if number + 1 == threads { left } else { left / 2 };
            left -= count;
            let handles: Vec<_> = (0..count).map(|_| pool.allocate(tally.value(5)).unwrap()).collect();
            parts.lock().unwrap().push((pool.clone(), handles));
        }
        drop(pool);
        together(threads, |number| {
            let (pool, mut handles) = parts.lock().unwrap().pop().unwrap();
            let mut random = Random::new(round * 7 + number);
            handles.truncate(random.below(capacity + 1).max(1));
            if random.once_in(2) {
                // The slot may go to the magazine of this thread.
                drop(pool.try_allocate(tally.value(6)));
            }
            if random.once_in(2) {
                drop(pool);
                handles.iter().for_each(|handle| handle.check(5));
                drop(handles);
            } else {
                drop(handles);
                drop(pool);
            }
        });
        tally.assert_none_left();
    }
}

fn weak_handles_and_pools_end_at_the_same_time<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    let tally = Tally::next();
    for round in 0..rounds(500, 10) {
        let pool = pool::<_, K>(1 + round % 3);
        let shared = pool.allocate_shared(tally.value(5)).unwrap();
        let weak = shared.downgrade();
        let parts = Mutex::new((Some(pool), Some(shared), Some(weak)));
        together(3, |number| match number {
            0 => {
                let pool = parts.lock().unwrap().0.take();
                drop(pool);
            }
            1 => {
                let shared = { parts.lock().unwrap().1.take() }.unwrap();
                let weak = shared.downgrade();
                drop(shared);
                // If the other thread has upgraded its handle, it is alive.
                if let Some(shared) = weak.upgrade() {
                    shared.check(5);
                }
            }
            _ => {
                let weak = { parts.lock().unwrap().2.take() }.unwrap();
                let more = weak.clone();
                if let Some(shared) = weak.upgrade() {
                    shared.check(5);
                    let again = shared.downgrade();
                    drop(shared);
                    drop(again);
                }
                drop((weak, more));
            }
        });
        tally.assert_none_left();
    }
}

fn weak_handle_made_when_the_pool_is_gone_keeps_its_memory<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<_, K>(3);
    let shared = pool.allocate_shared(tally.value(1)).unwrap();
    let other = pool.allocate(tally.value(2)).unwrap();
    drop(pool);
    for _ in 0..3 {
        // The memory has users through weak handles, and then none, again and again.
        let weak = [shared.downgrade(), shared.downgrade()];
        let more = weak.clone();
        drop(weak);
        assert_eq!((shared.weak_count(), more[1].upgrade().unwrap().mark), (2, 1));
    }
    let weak = shared.downgrade();
    drop(shared);
    assert!(weak.upgrade().is_none());
    drop(other);
    tally.assert_all_dead(2);
    let again = weak.clone();
    drop(weak);
    assert!(again.upgrade().is_none() && again.weak_count() == 0);
}

fn kept_objects_end_with_the_last_handle<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let pool = build::<_, K>(config(300).reset_fn(move || tally.value(1), |_| ()));
    together(3, |_| drop((0..100).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>()));
    let made = tally.born();
    let last = [pool.acquire().unwrap(), pool.acquire().unwrap()];
    drop(pool);
    assert_eq!((tally.born() >= made, tally.dead()), (true, 0), "they wait for the handles");
    let [one, two] = last;
    drop(one);
    thread::spawn(move || drop(two)).join().unwrap();
    tally.assert_none_left();
}

fn pools_come_and_go<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel::<ThreadSafeHandle<Tracked>>()).unzip();
    let receivers: Vec<_> = receivers.into_iter().map(|receiver| Mutex::new(Some(receiver))).collect();
    together(4, |number| {
        let receiver = { receivers[number].lock().unwrap().take() }.unwrap();
        let mut random = Random::new(number);
        for round in 0..rounds(300, 5) as u64 {
            let capacity = [1, 10, 400][random.below(3)];
            let recycles = random.once_in(2);
            let config = config(capacity);
            let pool = build::<_, K>(if recycles { config.reset_fn(move || tally.value(8), |_| ()) } else { config });
            let mut handles: Vec<_> = (0..random.below(capacity + 1))
                .map(|_| pool.allocate(tally.value(round)).expect("the pool is this thread's"))
                .collect();
            if recycles {
                handles.extend(pool.acquire());
            }
            handles.iter_mut().for_each(|handle| handle.mark = 9);
            for handle in handles.drain(..handles.len() / 2) {
                let _ = senders[random.below(4)].send(handle);
            }
            if random.once_in(2) {
                drop(handles);
                drop(pool);
            } else {
                drop(pool);
            }
            while let Ok(handle) = receiver.try_recv() {
                handle.check(9);
            }
        }
    });
    drop((senders, receivers));
    tally.assert_none_left();
}

fn threads_come_and_go<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = &pool::<_, K>(400);
    let handed_on: &Mutex<Vec<ThreadSafeHandle<Tracked>>> = &Mutex::default();
    for _ in 0..rounds(250, 3) {
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let handles: Vec<_> =
                        (0..25).map(|_| pool.allocate(tally.value(number)).expect("200 of 400, and 8 more")).collect();
                    handles.iter().for_each(|handle| handle.check(number));
                    let mut handed_on = handed_on.lock().unwrap();
                    let before = mem::replace(&mut *handed_on, handles);
                    drop(handed_on);
                    drop(before);
                });
            }
        });
    }
    handed_on.lock().unwrap().clear();
    assert!(pool.is_empty());
    let all: Vec<_> = (0..400).map(|_| pool.allocate(tally.value(1)).expect("all slots are vacant")).collect();
    drop(all);
    tally.assert_none_left();
}

thread_local! {
    static HANDLES: RefCell<Vec<ThreadSafeHandle<Tracked>>> = const { RefCell::new(Vec::new()) };
    static SHARED: RefCell<Option<(ThreadSafeSharedHandle<Tracked>, ThreadSafeWeakHandle<Tracked>)>> =
        const { RefCell::new(None) };
    static ANYTHING: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
}

fn thread_local_handles_are_dropped_when_their_thread_ends<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(100);
    for round in 0..rounds(50, 3) {
        together(3, |_| {
            // Either the variables know of the thread's end first, or the pool does.
            if round % 2 == 0 {
                HANDLES.with_borrow(Vec::len);
                SHARED.with_borrow(Option::is_some);
            } else {
                drop(pool.allocate(tally.value(0)).unwrap());
            }
            let handles = (0..20).map(|_| pool.allocate(tally.value(1)).unwrap());
            HANDLES.with_borrow_mut(|all| all.extend(handles));
            let shared = pool.allocate_shared(tally.value(2)).unwrap();
            let weak = shared.downgrade();
            SHARED.set(Some((shared, weak)));
        });
        assert!(pool.is_empty());
        tally.assert_none_left();
        let all: Vec<_> = (0..100).map(|_| pool.allocate(tally.value(1)).expect("none is lost")).collect();
        assert_eq!(all.len(), 100);
    }
}

fn thread_local_pool_and_handles_end_in_any_order<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    let tally = Tally::next();
    for round in 0..rounds(60, 6) {
        thread::spawn(move || {
            let recycles = config(20).reset_fn(move || tally.value(1), |_| ()).pre_initialize(true);
            let pool = if round % 2 == 0 { pool::<_, K>(20) } else { build::<_, K>(recycles) };
            let handles: Vec<_> = (0..10).map(|_| pool.allocate(tally.value(1)).unwrap()).collect();
            let others: Vec<_> = (0..5).map(|_| pool.allocate(tally.value(1)).unwrap()).collect();
            if round % 3 == 0 {
                drop(pool);
                HANDLES.set(others);
                ANYTHING.with_borrow_mut(|all| all.push(Box::new(handles)));
            } else if round % 3 == 1 {
                ANYTHING.with_borrow_mut(|all| all.push(Box::new((pool, handles))));
                HANDLES.set(others);
            } else {
                HANDLES.set(others);
                ANYTHING.with_borrow_mut(|all| all.push(Box::new((handles, pool))));
            }
        })
        .join()
        .unwrap();
        tally.assert_none_left();
    }
}

fn one_thread_uses_many_pools<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pools: Vec<_> = (0..60).map(|at| pool::<_, K>(3 * (1 + at % 40))).collect();
    together(3, |number| {
        let mut random = Random::new(number);
        let mut held: Vec<Vec<ThreadSafeHandle<Tracked>>> = pools.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds(15_000, 100) {
            let at = random.below(pools.len());
            if held[at].len() < pools[at].capacity() / 3 && random.below(3) > 0 {
                held[at].push(pools[at].allocate(tally.value(at as u64)).expect("a third is this thread's"));
            } else if let Some(handle) = held[at].pop() {
                handle.check(at as u64);
            }
        }
    });
    assert!(pools.iter().all(SharedPool::is_empty));
    tally.assert_none_left();
}

fn pools_at_the_same_address_are_not_mixed_up<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    // Each pool probably has the memory of the one before. The threads know only of some of them.
    let tally = Tally::next();
    let (to_user, from_main) = mpsc::channel::<SharedPool<Tracked, K>>();
    let (to_main, from_user) = mpsc::channel();
    let user = thread::spawn(move || {
        for (number, pool) in from_main.into_iter().enumerate() {
            let handles: Vec<_> = (0..90).map(|_| pool.allocate(tally.value(number as u64)).unwrap()).collect();
            handles.iter().for_each(|handle| handle.check(number as u64));
            drop(handles);
            to_main.send(()).unwrap();
        }
    });
    for round in 0..rounds(300, 5) {
        let pool = pool::<_, K>(300);
        drop((0..90).map(|_| pool.allocate(tally.value(1)).unwrap()).collect::<Vec<_>>());
        if round % 3 > 0 {
            to_user.send(pool.clone()).unwrap();
            from_user.recv().unwrap();
        }
        assert_eq!((pool.available(), pool.capacity()), (300, 300));
        let all: Vec<_> = (0..300).map(|_| pool.allocate(tally.value(2)).expect("all slots are its own")).collect();
        let mut indices: Vec<_> = all.iter().map(ThreadSafeHandle::index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..300));
    }
    drop(to_user);
    user.join().unwrap();
    tally.assert_none_left();
}

fn handles_go_through_channels<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(16);
    let (sender, receiver) = mpsc::sync_channel::<(u64, ThreadSafeHandle<Tracked>)>(4);
    let receiver = Mutex::new(receiver);
    let count = rounds(4_000, 40);
    let (left, received) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let senders: Mutex<Vec<_>> = Mutex::new(vec![sender.clone(), sender]);
    together(4, |number| {
        if number < 2 {
            let sender = { senders.lock().unwrap().pop() }.unwrap();
            while left.fetch_add(1, Relaxed) < count {
                let mark = left.load(Relaxed) as u64;
                sender.send((mark, pool.allocate_wait(tally.value(mark)).unwrap())).unwrap();
            }
        } else {
            loop {
                let next = { receiver.lock().unwrap().recv() };
                let Ok((mark, handle)) = next else { break };
                handle.check(mark);
                received.fetch_add(1, Relaxed);
            }
        }
    });
    assert!(pool.is_empty());
    assert_eq!(received.into_inner(), count);
    tally.assert_all_dead(count);
}

/// Keeps the pool that it is in.
struct Keeper<K: Sharing> {
    _tracked: Tracked,
    _pool: Option<SharedPool<Self, K>>,
    _next: Option<ThreadSafeHandle<Self>>,
}

impl<K: Sharing> fastalloc::Poolable for Keeper<K> {}

fn object_may_hold_the_pool_that_it_is_in<K: Sharing>() {
    let tally = Tally::next();
    for length in 1..5 {
        let pool = pool::<Keeper<K>, K>(5);
        let mut first = None;
        for _ in 0..length {
            let keeper = Keeper { _tracked: tally.value(1), _pool: Some(pool.clone()), _next: first.take() };
            first = Some(pool.allocate(keeper).ok().unwrap());
        }
        drop(pool);
        assert_eq!(tally.born() - tally.dead(), length);
        // The destructor of the object drops the last pool, while the slot is still occupied.
        drop(first);
        tally.assert_none_left();
    }
}

fn unused_pool_can_be_dropped_anywhere<K: Sharing>()
where
    SharedPool<Tracked, K>: Send,
{
    let tally = Tally::next();
    drop(pool::<Tracked, K>(10));
    let unused = pool::<Tracked, K>(10);
    thread::spawn(move || drop(unused)).join().unwrap();
    let filled = build::<_, K>(config(10).initializer(move || tally.value(1)));
    assert_eq!((tally.born(), filled.available()), (10, 10));
    thread::spawn(move || drop(filled)).join().unwrap();
    tally.assert_all_dead(10);
}
