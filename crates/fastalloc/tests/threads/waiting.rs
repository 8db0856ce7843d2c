//! Who waits for a slot gets one: first come, first served, whoever gives up meanwhile.

use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastalloc::{
    Allocation, Error, GrowthStrategy, PoolConfig, Poolable, Result, SharedPool, Sharing, ThreadSafeHandle,
    ThreadSafePool,
};

use crate::executor::{Impatient, Yield, run};
use crate::support::{
    BLOCK, Gate, Random, Tally, Tracked, build, config, inject, on_every_shared_pool, panic_message, pool, rounds,
    survive, together,
};

on_every_shared_pool! {
    vacant_slot_needs_no_waiting
    first_come_is_first_served
    who_does_not_wait_comes_after_those_who_do
    future_that_was_not_polled_is_not_in_the_line
    dropped_future_leaves_the_line
    dropped_future_hands_its_slot_on
    last_waker_is_the_one_that_is_woken
    released_slot_wakes_nobody_in_vain
    value_that_waits_in_vain_is_destroyed_once
    finished_future_must_not_be_polled
    timeout_of_zero_does_not_wait
    timeout_beyond_the_end_of_time_waits
    timeout_passes
    blocked_thread_is_woken
    closing_ends_the_waiting
    closed_pool_hands_out_nothing
    slot_handed_out_before_the_pool_was_closed_can_be_taken
    panicking_hook_passes_the_slot_on
    panicking_initializer_passes_the_slot_on
    waiting_for_an_object_gets_one_that_was_kept
    value_takes_the_place_of_an_object_that_was_kept
    pool_without_initializer_refuses_to_wait_for_objects
    waker_may_use_the_pool
    waker_may_be_dropped_with_the_last_use_of_the_pool
    panicking_waker_keeps_nobody_else_asleep
    panicking_waker_keeps_nobody_else_asleep_when_the_pool_is_closed
    batch_serves_as_many_as_it_releases
    slot_released_at_the_end_of_a_thread_is_served
    many_blocked_threads_lose_no_slot
    many_blocked_threads_end_when_the_pool_is_closed
    release_and_cancellation_at_the_same_time_lose_no_slot
    many_tasks_share_few_slots
    patient_tasks_are_not_starved_by_impatient_ones
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future with a waker of its own.
struct Waiter<'pool, T: Poolable, K: Sharing> {
    future: Allocation<'pool, T, K>,
    bell: Arc<Bell>,
}

impl<'pool, T: Poolable, K: Sharing> Waiter<'pool, T, K> {
    /// Joins the line.
    #[track_caller]
    fn join(future: Allocation<'pool, T, K>) -> Self {
        let mut waiter = Self { future, bell: Arc::default() };
        assert!(waiter.poll().is_none(), "the pool is full");
        waiter
    }

    fn poll(&mut self) -> Option<Result<ThreadSafeHandle<T>>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        poll_with(&mut self.future, &waker)
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn vacant_slot_needs_no_waiting<K: Sharing>() {
    let pool = pool::<u32, K>(4);
    let handles = [
        pool.allocate_wait(0).unwrap(),
        pool.allocate_timeout(1, Duration::ZERO).unwrap(),
        pool.allocate_timeout(2, Duration::MAX).unwrap(),
        poll_with(&mut pool.allocate_async(3), Waker::noop()).unwrap().unwrap(),
    ];
    assert_eq!((handles.map(|handle| *handle), pool.available()), ([0, 1, 2, 3], 4));
    let pool = build::<u32, K>(config(3).initializer(|| 7));
    let handles = [
        pool.acquire_wait().unwrap(),
        pool.acquire_timeout(Duration::ZERO).unwrap(),
        poll_with(&mut pool.acquire_async(), Waker::noop()).unwrap().unwrap(),
    ];
    assert_eq!((handles.map(|handle| *handle), pool.available()), ([7; 3], 3));
}

fn first_come_is_first_served<K: Sharing>() {
    let pool = pool::<u32, K>(3);
    let mut held: Vec<_> = (0..3).map(|number| pool.allocate(number).unwrap()).collect();
    let mut line: Vec<_> = (10..20).map(|number| Waiter::join(pool.allocate_async(number))).collect();
    for at in 0..line.len() {
        drop(held.remove(0));
        let rung: Vec<_> = line.iter().map(|waiter| waiter.bell.rung()).collect();
        assert!(rung[..=at].iter().all(|&rung| rung == 1) && rung[at + 1..].iter().all(|&rung| rung == 0));
        assert!(line[at + 1..].iter_mut().all(|waiter| waiter.poll().is_none()));
        held.push(line[at].poll().expect("it is this one's turn").unwrap());
        assert_eq!(*held[2], 10 + at as u32);
    }
    drop(line);
    assert!(pool.is_full() && pool.try_allocate(1).is_none());
    drop(held);
    assert!(pool.is_empty());
}

fn who_does_not_wait_comes_after_those_who_do<K: Sharing>() {
    let pool = pool::<u32, K>(2);
    let held = pool.allocate_batch([1, 2]).unwrap();
    let mut first = Waiter::join(pool.allocate_async(3));
    let mut others: Vec<_> = (0..2).map(|_| Waiter::join(pool.allocate_async(4))).collect();
    drop(held);
    let exhausted = Error::PoolExhausted { capacity: 2, allocated: 2 };
    assert_eq!(pool.allocate(5).unwrap_err(), exhausted);
    assert_eq!(pool.allocate_batch([5]).unwrap_err(), exhausted);
    assert_eq!(pool.allocate_or_return(5).unwrap_err().value, 5);
    let taken = [first.poll().unwrap().unwrap(), others.remove(0).poll().unwrap().unwrap()];
    drop(taken);
    // The last one has a slot to take; the other slot is vacant, and nobody waits.
    assert_eq!(*pool.allocate(6).unwrap(), 6);
    assert_eq!(*others.remove(0).poll().unwrap().unwrap(), 4);
    assert!(pool.is_empty());
}

fn future_that_was_not_polled_is_not_in_the_line<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let held = pool.allocate(1).unwrap();
    let mut not_polled = pool.allocate_async(2);
    let mut polled = Waiter::join(pool.allocate_async(3));
    drop(pool.allocate_async(4));
    drop(held);
    assert_eq!(*polled.poll().unwrap().unwrap(), 3);
    assert_eq!(*poll_with(&mut not_polled, Waker::noop()).unwrap().unwrap(), 2);
    assert!(format!("{not_polled:?}").starts_with("Allocation { pool: "));
}

fn dropped_future_leaves_the_line<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    for gone in 0..3 {
        let held = pool.allocate(1).unwrap();
        let mut line: Vec<_> = (0..3).map(|number| Waiter::join(pool.allocate_async(number))).collect();
        drop(line.remove(gone));
        drop(held);
        for mut waiter in line {
            assert_eq!(waiter.bell.rung(), 1);
            drop(waiter.poll().unwrap().unwrap());
        }
        assert!(pool.is_empty());
    }
    let held = pool.allocate(1).unwrap();
    drop(Waiter::join(pool.allocate_async(2)));
    drop(held);
    assert_eq!(*pool.allocate(3).unwrap(), 3, "nobody waits");
}

fn dropped_future_hands_its_slot_on<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    let held = pool.allocate(tally.value(0)).unwrap();
    let mut line: Vec<_> = (1..4).map(|mark| Waiter::join(pool.allocate_async(tally.value(mark)))).collect();
    drop(held);
    // Each has the slot in turn, and does not take it.
    for _ in 0..2 {
        assert_eq!((line[0].bell.rung(), line[1].bell.rung()), (1, 0));
        drop(line.remove(0));
    }
    line[0].poll().unwrap().unwrap().check(3);
    drop(line);
    assert!(pool.is_empty());
    tally.assert_all_dead(4);
}

fn last_waker_is_the_one_that_is_woken<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let held = pool.allocate(1).unwrap();
    let mut waiter = Waiter::join(pool.allocate_async(2));
    let first = mem::take(&mut waiter.bell);
    assert!(waiter.poll().is_none() && waiter.poll().is_none());
    drop(held);
    assert_eq!((first.rung(), waiter.bell.rung()), (0, 1));
    assert_eq!(Arc::strong_count(&first), 1, "the waker is dropped");
    assert!(waiter.poll().unwrap().is_ok());
    assert_eq!((waiter.bell.rung(), Arc::strong_count(&waiter.bell)), (1, 1));
}

fn released_slot_wakes_nobody_in_vain<K: Sharing>() {
    let pool = pool::<u32, K>(2);
    let held = pool.allocate_batch([1, 2]).unwrap();
    let mut waiter = Waiter::join(pool.allocate_async(3));
    drop(held);
    assert_eq!(waiter.bell.rung(), 1);
    let taken = waiter.poll().unwrap().unwrap();
    drop((taken, pool.allocate(4).unwrap()));
    assert_eq!(waiter.bell.rung(), 1);
    assert_eq!(pool.available(), 2);
}

fn value_that_waits_in_vain_is_destroyed_once<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    let held = pool.allocate(tally.value(0)).unwrap();
    drop(pool.allocate_async(tally.value(1)));
    drop(Waiter::join(pool.allocate_async(tally.value(2))));
    assert_eq!(pool.allocate_timeout(tally.value(3), Duration::ZERO).unwrap_err(), Error::Timeout);
    assert_eq!(tally.dead(), 3);
    let mut waiter = Waiter::join(pool.allocate_async(tally.value(4)));
    pool.close();
    assert_eq!(waiter.poll().unwrap().unwrap_err(), Error::Closed);
    drop(waiter);
    assert_eq!(pool.allocate_wait(tally.value(5)).unwrap_err(), Error::Closed);
    assert_eq!(tally.dead(), 5);
    drop(held);
    tally.assert_all_dead(6);
}

fn finished_future_must_not_be_polled<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let mut future = pool.allocate_async(1);
    let handle = poll_with(&mut future, Waker::noop()).unwrap().unwrap();
    let message = panic_message(|| poll_with(&mut future, Waker::noop()).map(drop));
    assert_eq!(message, "the future was polled after it had returned its result");
    assert_eq!((*handle, pool.allocated()), (1, 1));
}

fn timeout_of_zero_does_not_wait<K: Sharing>() {
    let pool = build::<u32, K>(config(1).initializer(|| 1));
    let held = pool.acquire().unwrap();
    assert_eq!(pool.allocate_timeout(2, Duration::ZERO).unwrap_err(), Error::Timeout);
    let error = pool.acquire_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "timed out: no slot became vacant in the given time; \
         wait longer, raise the capacity, or hold handles for a shorter time"
    );
    drop(held);
    assert!(pool.allocate_timeout(3, Duration::ZERO).is_ok());
}

fn timeout_beyond_the_end_of_time_waits<K: Sharing>()
where
    SharedPool<u32, K>: Send + Sync,
{
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)] {
        let pool = pool::<u32, K>(1);
        let held = pool.allocate(1).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.allocate_timeout(2, timeout).map(|handle| *handle));
            thread::yield_now();
            drop(held);
            assert_eq!(waiting.join().unwrap(), Ok(2));
        });
    }
}

fn timeout_passes<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let held = pool.allocate(1).unwrap();
    let timeout = Duration::from_millis(5);
    let start = Instant::now();
    assert_eq!(pool.allocate_timeout(2, timeout).unwrap_err(), Error::Timeout);
    assert!(start.elapsed() >= timeout);
    drop(held);
    assert!(pool.allocate_timeout(2, timeout).is_ok());
}

fn blocked_thread_is_woken<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    for _ in 0..rounds(300, 10) {
        let held = Mutex::new(Some(pool.allocate(tally.value(1)).unwrap()));
        together(2, |number| {
            if number == 0 {
                pool.allocate_wait(tally.value(2)).unwrap().check(2);
            } else {
                let held = held.lock().unwrap().take();
                drop(held);
            }
        });
    }
    tally.assert_none_left();
}

fn closing_ends_the_waiting<K: Sharing>()
where
    SharedPool<u32, K>: Sync,
{
    let pool = pool::<u32, K>(1);
    let held = pool.allocate(1).unwrap();
    let mut line: Vec<_> = (0..3).map(|number| Waiter::join(pool.allocate_async(number))).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.allocate_wait(2).unwrap_err());
        let waits_long = scope.spawn(|| pool.allocate_timeout(2, Duration::MAX).unwrap_err());
        thread::yield_now();
        assert!(!pool.is_closed());
        pool.close();
        assert_eq!((waits.join().unwrap(), waits_long.join().unwrap()), (Error::Closed, Error::Closed));
    });
    for waiter in &mut line {
        assert_eq!((waiter.bell.rung(), waiter.poll().unwrap().unwrap_err()), (1, Error::Closed));
    }
    assert_eq!((*held, pool.is_closed()), (1, true));
    pool.close();
    drop(held);
    assert!(pool.is_empty());
}

fn closed_pool_hands_out_nothing<K: Sharing>() {
    let pool = build::<String, K>(config(300).reset_fn(String::new, |text| text.clear()));
    let handles: Vec<_> = (0..200).map(|_| pool.acquire().unwrap()).collect();
    let clone = pool.clone();
    clone.close();
    drop(handles);
    let errors = [
        pool.allocate("a".into()).map(drop),
        pool.allocate_with(|| unreachable!()).map(drop),
        pool.allocate_in_place(|_| unreachable!()).map(drop),
        pool.allocate_batch(["a".into()]).map(drop),
        pool.allocate_shared("a".into()).map(drop),
        pool.acquire().map(drop),
        pool.allocate_wait("a".into()).map(drop),
        pool.allocate_timeout("a".into(), Duration::MAX).map(drop),
        pool.acquire_wait().map(drop),
        pool.acquire_timeout(Duration::ZERO).map(drop),
        poll_with(&mut pool.allocate_async("a".into()), Waker::noop()).unwrap().map(drop),
        poll_with(&mut pool.acquire_async(), Waker::noop()).unwrap().map(drop),
    ];
    assert!(errors.iter().all(|error| *error == Err(Error::Closed)), "{errors:?}");
    assert!(pool.try_allocate("a".into()).is_none());
    let rejected = pool.allocate_or_return("a".into()).unwrap_err();
    assert_eq!((rejected.value.as_str(), &rejected.error), ("a", &Error::Closed));
    assert_eq!(Error::Closed.to_string(), "pool closed: it hands out nothing any more; make a new one");
    assert!(pool.is_closed() && pool.is_empty() && pool.capacity() == 300);
}

fn slot_handed_out_before_the_pool_was_closed_can_be_taken<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let held = pool.allocate(1).unwrap();
    let mut served = Waiter::join(pool.allocate_async(2));
    let mut waits = Waiter::join(pool.allocate_async(3));
    drop(held);
    pool.close();
    let handle = served.poll().unwrap().unwrap();
    assert_eq!((*handle, waits.poll().unwrap().unwrap_err()), (2, Error::Closed));
    drop(handle);
    assert!(pool.is_empty());
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Its hook panics so many times.
struct Shy(#[expect(dead_code, reason = "it is there for its destructor")] Tracked);

impl Poolable for Shy {
    fn on_acquire(&mut self) {
        if PANICS.get() > 0 {
            PANICS.set(PANICS.get() - 1);
            inject();
        }
    }
}

fn panicking_hook_passes_the_slot_on<K: Sharing>() {
    let tally = Tally::next();
    let pool = pool::<Shy, K>(1);
    let held = pool.allocate(Shy(tally.value(1))).unwrap();
    let mut line: Vec<_> = (0..3).map(|_| Waiter::join(pool.allocate_async(Shy(tally.value(2))))).collect();
    drop(held);
    PANICS.set(2);
    for at in 0..2 {
        assert!(survive(|| line[at].poll().map(drop)).is_none());
        assert_eq!(line[at + 1].bell.rung(), 1, "the next one is served");
    }
    assert!(line[2].poll().unwrap().is_ok());
    drop(line);
    assert!(pool.is_empty());
    tally.assert_all_dead(4);
}

fn panicking_initializer_passes_the_slot_on<K: Sharing>() {
    let tally = Tally::next();
    let initializer = move || {
        let value = tally.value(1);
        if PANICS.get() > 0 {
            PANICS.set(PANICS.get() - 1);
            inject();
        }
        value
    };
    let pool = build::<_, K>(config(1).reset_fn(initializer, |_| false));
    let held = pool.acquire().unwrap();
    let mut line: Vec<_> = (0..3).map(|_| Waiter::join(pool.acquire_async())).collect();
    drop(held);
    PANICS.set(2);
    for at in 0..2 {
        assert!(survive(|| line[at].poll().map(drop)).is_none());
        assert_eq!(line[at + 1].bell.rung(), 1, "the next one is served");
    }
    assert!(line[2].poll().unwrap().is_ok());
    drop(line);
    assert!(pool.is_empty());
    tally.assert_all_dead(4);
}

fn waiting_for_an_object_gets_one_that_was_kept<K: Sharing>() {
    let tally = Tally::next();
    let pool = build::<_, K>(config(1).reset_fn(move || tally.value(1), |object| object.mark += 1));
    let held = pool.acquire().unwrap();
    let mut waiter = Waiter::join(pool.acquire_async());
    drop(held);
    waiter.poll().unwrap().unwrap().check(2);
    let held = pool.acquire().unwrap();
    let waiter = Waiter::join(pool.acquire_async());
    drop(held);
    // It was handed a slot with an object, which it does not take.
    drop(waiter);
    pool.acquire().unwrap().check(4);
    assert_eq!((tally.born(), tally.dead()), (1, 0));
}

fn value_takes_the_place_of_an_object_that_was_kept<K: Sharing>() {
    let tally = Tally::next();
    let pool = build::<_, K>(config(1).reset_fn(move || tally.value(1), |_| ()));
    let held = pool.acquire().unwrap();
    let mut waiter = Waiter::join(pool.allocate_async(tally.value(9)));
    drop(held);
    let handle = waiter.poll().unwrap().unwrap();
    handle.check(9);
    assert_eq!((tally.born(), tally.dead()), (2, 1));
    drop((handle, waiter));
    drop(pool);
    tally.assert_all_dead(2);
}

fn pool_without_initializer_refuses_to_wait_for_objects<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    for _ in 0..2 {
        let is_refused = |error| matches!(error, Error::InvalidConfiguration { field: "initialization_strategy", .. });
        assert!(is_refused(pool.acquire_wait().unwrap_err()));
        assert!(is_refused(pool.acquire_timeout(Duration::MAX).unwrap_err()));
        assert!(is_refused(poll_with(&mut pool.acquire_async(), Waker::noop()).unwrap().unwrap_err()));
        assert!(pool.is_empty());
    }
    // As acquire does, also when the pool is full.
    let _full = pool.allocate(1).unwrap();
    assert!(poll_with(&mut pool.acquire_async(), Waker::noop()).is_some_and(|result| result.is_err()));
}

/// Calls a function when it is woken, and another one when it is dropped.
struct Actor {
    woken: Box<dyn Fn() + Send + Sync>,
    dropped: Box<dyn Fn() + Send + Sync>,
}

impl Wake for Actor {
    fn wake(self: Arc<Self>) {
        (self.woken)();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        (self.dropped)();
    }
}

fn waker_may_use_the_pool<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let pool = pool::<Tracked, K>(2);
    let calls = Arc::new(AtomicUsize::new(0));
    let act = {
        let (pool, calls) = (pool.clone(), Arc::clone(&calls));
        move || {
            calls.fetch_add(1, Relaxed);
            drop(pool.try_allocate(tally.value(1)));
            // Joins and leaves the line, or is served.
            let mut future = pool.allocate_async(tally.value(2));
            let _ = poll_with(&mut future, Waker::noop());
            pool.flush_thread();
            assert!(pool.available() <= 2);
        }
    };
    let act = Arc::new(act);
    let waker = {
        let act = Arc::clone(&act);
        move || {
            let (woken, dropped) = (Arc::clone(&act), Arc::clone(&act));
            Waker::from(Arc::new(Actor { woken: Box::new(move || woken()), dropped: Box::new(move || dropped()) }))
        }
    };
    let held = [pool.allocate(tally.value(0)).unwrap(), pool.allocate(tally.value(0)).unwrap()];
    let mut line: Vec<_> = (0..4).map(|mark| pool.allocate_async(tally.value(mark))).collect();
    for future in &mut line {
        assert!(poll_with(future, &waker()).is_none());
        // The old waker is dropped.
        assert!(poll_with(future, &waker()).is_none());
    }
    drop(line.pop());
    drop(held);
    line.iter_mut().for_each(|future| drop(poll_with(future, &waker())));
    let calls_before_the_end = calls.load(Relaxed);
    assert!(calls_before_the_end >= 8);
    let held = pool.allocate(tally.value(0));
    let mut last = pool.allocate_async(tally.value(0));
    let _ = poll_with(&mut last, &waker());
    pool.close();
    drop((held, last, line));
    assert!(calls.load(Relaxed) > calls_before_the_end && pool.is_empty());
    drop((act, waker));
    tally.assert_none_left();
}

fn waker_may_be_dropped_with_the_last_use_of_the_pool<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
{
    let tally = Tally::next();
    let pool = pool::<Tracked, K>(1);
    let clone = Mutex::new(Some(pool.clone()));
    let held = Mutex::new(Some(pool.allocate(tally.value(1)).unwrap()));
    let release = move || {
        let held = held.lock().unwrap().take();
        drop(held);
        let clone = clone.lock().unwrap().take();
        drop(clone);
    };
    let waker = Waker::from(Arc::new(Actor { woken: Box::new(|| ()), dropped: Box::new(release) }));
    let mut future = pool.allocate_async(tally.value(2));
    assert!(poll_with(&mut future, &waker).is_none());
    drop(waker);
    // The last clone of the waker goes, and with it the handle.
    drop(future);
    assert!(pool.is_empty());
    drop(pool);
    tally.assert_all_dead(2);
}

/// Notes that it was woken, and perhaps panics.
struct Bomb {
    bell: Bell,
    armed: bool,
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        self.bell.0.fetch_add(1, SeqCst);
        if self.armed {
            inject();
        }
    }
}

fn panicking_waker<K: Sharing>(wake: impl FnOnce(&SharedPool<u32, K>, Vec<ThreadSafeHandle<u32>>)) {
    let pool = pool::<u32, K>(3);
    let held = pool.allocate_batch([1, 2, 3]).unwrap();
    let bells: Vec<_> = (0..4).map(|at| Arc::new(Bomb { bell: Bell::default(), armed: at == 0 })).collect();
    let mut line: Vec<_> = (0..3).map(|number| pool.allocate_async(number)).collect();
    for (future, bell) in line.iter_mut().zip(&bells) {
        assert!(poll_with(future, &Waker::from(Arc::clone(bell))).is_none());
    }
    let _ = catch_unwind(AssertUnwindSafe(|| wake(&pool, held)));
    assert!(bells[..3].iter().all(|bomb| bomb.bell.rung() == 1), "all are told");
    assert!(line.iter_mut().all(|future| poll_with(future, Waker::noop()).is_some()));
    drop(line);
    assert!(pool.is_empty());
}

fn panicking_waker_keeps_nobody_else_asleep<K: Sharing>() {
    panicking_waker::<K>(|_, held| {
        for handle in held {
            let _ = survive(|| drop(handle));
        }
    });
}

fn panicking_waker_keeps_nobody_else_asleep_when_the_pool_is_closed<K: Sharing>() {
    panicking_waker::<K>(|pool, _held| pool.close());
}

fn batch_serves_as_many_as_it_releases<K: Sharing>() {
    let pool = pool::<u32, K>(100);
    let held = pool.allocate_batch([0; 100]).unwrap();
    let mut line: Vec<_> = (0..150).map(|number| Waiter::join(pool.allocate_async(number))).collect();
    drop(held);
    assert!(line[..100].iter().all(|waiter| waiter.bell.rung() == 1));
    assert!(line[100..].iter().all(|waiter| waiter.bell.rung() == 0));
    let held: Vec<_> = line[..100].iter_mut().map(|waiter| waiter.poll().unwrap().unwrap()).collect();
    assert!(line[100..].iter_mut().all(|waiter| waiter.poll().is_none()));
    drop(held);
    drop(line);
    assert!(pool.is_empty() && pool.allocate_batch([1; 100]).is_ok());
}

thread_local! {
    static LAST: Cell<Option<ThreadSafeHandle<u32>>> = const { Cell::new(None) };
}

fn slot_released_at_the_end_of_a_thread_is_served<K: Sharing>()
where
    SharedPool<u32, K>: Sync,
{
    let pool = pool::<u32, K>(1);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            LAST.set(Some(pool.allocate(1).unwrap()));
            sender.send(()).unwrap();
        });
        receiver.recv().unwrap();
        assert_eq!(*pool.allocate_wait(2).unwrap(), 2);
    });
}

fn many_blocked_threads_lose_no_slot<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    for capacity in [1, 3, 40] {
        let tally = Tally::next();
        let pool = pool::<_, K>(capacity);
        let gate = Gate::default();
        let (successes, timeouts) = (AtomicUsize::new(0), AtomicUsize::new(0));
        together(rounds(64, 6), |number| {
            let mut random = Random::new(number);
            for _ in 0..rounds(25, 3) {
                let result = match random.below(4) {
                    0 => pool.allocate_wait(tally.value(1)),
                    1 => pool.allocate_timeout(tally.value(1), Duration::ZERO),
                    2 => pool.allocate_timeout(tally.value(1), Duration::from_micros(random.below(500) as u64)),
                    _ => pool.allocate(tally.value(1)),
                };
                match result {
                    Ok(handle) => {
                        gate.enter(capacity);
                        handle.check(1);
                        if random.once_in(3) {
                            thread::yield_now();
                        }
                        gate.leave();
                        successes.fetch_add(1, Relaxed);
                    }
                    Err(Error::Timeout | Error::PoolExhausted { .. }) => {
                        timeouts.fetch_add(1, Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert!(successes.into_inner() > 0);
        assert!(pool.is_empty());
        let all: Vec<_> = (0..capacity).map(|_| pool.allocate(tally.value(1)).expect("no slot is lost")).collect();
        drop(all);
        tally.assert_none_left();
    }
}

fn many_blocked_threads_end_when_the_pool_is_closed<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    for round in 0..rounds(10, 2) {
        let pool = pool::<_, K>(2);
        together(8, |number| {
            if number == 0 {
                for _ in 0..round * 10 {
                    drop(pool.allocate_wait(tally.value(1)));
                }
                return pool.close();
            }
            let error = loop {
                if let Err(error) = pool.allocate_wait(tally.value(1)) {
                    break error;
                }
            };
            assert_eq!(error, Error::Closed);
        });
        assert!(pool.is_empty());
        tally.assert_none_left();
    }
}

fn release_and_cancellation_at_the_same_time_lose_no_slot<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
    for<'a> Allocation<'a, Tracked, K>: Send,
{
    let tally = Tally::next();
    let pool = &pool::<_, K>(1);
    for _ in 0..rounds(500, 10) {
        let held = Mutex::new(Some(pool.allocate(tally.value(1)).unwrap()));
        let line = Mutex::new((
            Some(Waiter::join(pool.allocate_async(tally.value(2)))),
            Some(Waiter::join(pool.allocate_async(tally.value(3)))),
        ));
        together(3, |number| match number {
            0 => {
                let held = held.lock().unwrap().take();
                drop(held);
            }
            1 => {
                let first = line.lock().unwrap().0.take();
                drop(first);
            }
            _ => {
                let mut second = line.lock().unwrap().1.take().unwrap();
                while second.poll().is_none() {
                    thread::yield_now();
                }
            }
        });
        assert!(pool.is_empty());
        tally.assert_none_left();
    }
}

fn many_tasks_share_few_slots<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
    for<'a> Allocation<'a, Tracked, K>: Send,
{
    for (tasks, capacity) in [(rounds(10_000, 50), rounds(100, 5)), (rounds(500, 20), 1)] {
        let tally = Tally::next();
        let pool = &build::<_, K>(config(capacity).reset_fn(move || tally.value(0), |object| object.mark = 0));
        let gate = &Gate::default();
        let task = |number: usize| async move {
            let mut random = Random::new(number);
            let mut successes = 0;
            while successes < 2 {
                let recycled = random.once_in(2);
                let future = if recycled { pool.acquire_async() } else { pool.allocate_async(tally.value(0)) };
                let result = if random.once_in(3) {
                    Impatient { future: Some(future), polls: random.below(4) }.await
                } else {
                    Some(future.await)
                };
                if let Some(handle) = result {
                    let mut handle = handle.unwrap();
                    gate.enter(capacity);
                    handle.check(0);
                    handle.mark = number as u64;
                    Yield(random.below(3)).await;
                    handle.check(number as u64);
                    gate.leave();
                    successes += 1;
                }
            }
        };
        run(2, (0..tasks).map(task));
        assert!(pool.is_empty());
        assert!(tally.born() - tally.dead() <= capacity);
        assert_eq!((0..capacity).map(|_| pool.acquire().expect("no slot is lost")).collect::<Vec<_>>().len(), capacity);
    }
}

fn patient_tasks_are_not_starved_by_impatient_ones<K: Sharing>()
where
    SharedPool<Tracked, K>: Send + Sync,
    for<'a> Allocation<'a, Tracked, K>: Send,
{
    let tally = Tally::next();
    let pool = &pool::<_, K>(2);
    let patient_left = &AtomicUsize::new(rounds(100, 5));
    let task = |number: usize| async move {
        let mut random = Random::new(number);
        if number % 3 == 0 {
            for _ in 0..3 {
                let handle = pool.allocate_async(tally.value(1)).await.unwrap();
                Yield(1).await;
                drop(handle);
            }
            patient_left.fetch_sub(1, Relaxed);
        } else {
            // As long as somebody is patient.
            while patient_left.load(Relaxed) > 0 {
                let future = Some(pool.allocate_async(tally.value(2)));
                let handle = Impatient { future, polls: random.below(3) }.await;
                Yield(random.below(3)).await;
                drop(handle);
                drop(pool.try_allocate(tally.value(3)));
            }
        }
    };
    run(2, (0..3 * rounds(100, 5)).map(task));
    assert!(pool.is_empty());
    tally.assert_none_left();
}

#[test]
fn reserve_serves_those_who_wait() {
    let nothing = GrowthStrategy::Custom { compute: Box::new(|_| 0) };
    let pool: ThreadSafePool<u32> = build(PoolConfig::builder().capacity(1).growth_strategy(nothing));
    let _full = pool.allocate(1).unwrap();
    let mut line = [Waiter::join(pool.allocate_async(2)), Waiter::join(pool.allocate_async(3))];
    pool.reserve(2).unwrap();
    assert!(line.iter().all(|waiter| waiter.bell.rung() == 1));
    let handles = line.each_mut().map(|waiter| waiter.poll().unwrap().unwrap());
    assert_eq!((handles.map(|handle| *handle), pool.capacity()), ([2, 3], 3));
}

thread_local! {
    static IN_TRIM: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Calls a function when it is destroyed.
struct Trimmed;

impl Poolable for Trimmed {}

impl Drop for Trimmed {
    fn drop(&mut self) {
        if let Some(call) = IN_TRIM.take() {
            call();
        }
    }
}

#[test]
fn who_waits_since_a_trim_is_served_after_it() {
    let config = PoolConfig::builder().capacity(1).max_capacity(Some(20)).alignment(BLOCK);
    let step = GrowthStrategy::Linear { amount: 1 };
    let pool: ThreadSafePool<Trimmed> = build(config.growth_strategy(step).reset_fn(|| Trimmed, |_| ()));
    let pool: &'static ThreadSafePool<Trimmed> = Box::leak(Box::new(pool));
    drop((0..20).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    thread_local! {
        static WAITER: Cell<Option<Waiter<'static, Trimmed, fastalloc::Locking>>> = const { Cell::new(None) };
    }
    IN_TRIM.set(Some(Box::new(|| {
        let mut waiter = Waiter { future: pool.acquire_async(), bell: Arc::default() };
        if waiter.poll().is_none() {
            WAITER.set(Some(waiter));
        }
    })));
    pool.trim_to(0);
    if let Some(mut waiter) = WAITER.take() {
        assert_eq!(waiter.bell.rung(), 1);
        assert!(waiter.poll().unwrap().is_ok());
    }
    assert!(pool.acquire().is_ok());
    // SAFETY: it was leaked above, and nobody uses it any more.
    drop(unsafe { Box::from_raw(std::ptr::from_ref(pool).cast_mut()) });
}
