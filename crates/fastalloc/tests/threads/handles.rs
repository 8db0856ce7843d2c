//! Handles of pools that threads share: owned, shared and weak ones, of any type, on any thread.

use std::any::Any;
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::fmt::{Debug, Write};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use fastalloc::{
    Poolable, Result, SharedPool, Sharing, Tenant, ThreadSafeHandle, ThreadSafePool, ThreadSafeSharedHandle,
    ThreadSafeWeakHandle,
};

use crate::support::{
    Counted, Ledger, Random, Reporter, Tally, Tracked, assert_all_are_there, build, config, event, events,
    on_every_shared_pool, panic_at, panic_message, pool, rounds, survive, together,
};

on_every_shared_pool! {
    value_stays_where_it_is
    leaked_value_can_be_used_for_ever
    shared_value_lives_as_long_as_its_last_handle
    weak_handle_never_reaches_a_later_tenant
    weak_handle_is_dead_when_the_value_is_unshared
    mutable_reference_needs_the_only_handle
    clone_goes_into_the_same_pool

    shared_handles_are_counted_by_all_threads
    value_is_given_to_one_thread_at_most
    mutable_reference_is_given_to_one_thread_at_a_time
    weak_handles_find_their_own_value_or_none
    values_of_awkward_sizes_go_from_thread_to_thread

    trait_object_runs_hooks_and_destructor_of_its_type
    trait_object_is_dropped_by_another_thread
    trait_object_can_be_shared_by_threads
    slice_destroys_all_its_elements
    recycled_object_stays_one_as_a_trait_object
    conversion_that_panics_releases_the_value_once
    conversion_to_a_part_is_refused
}

fn value_stays_where_it_is<K: Sharing>()
where
    SharedPool<u64, K>: Sync,
{
    let pool = pool::<u64, K>(1_000);
    let mut handles: Vec<_> = (0..1_000).map(|number| pool.allocate(number).unwrap()).collect();
    let place = |handle: &ThreadSafeHandle<u64>| ((&raw const **handle).addr(), handle.index());
    let places: Vec<_> = handles.iter().map(place).collect();
    handles.reverse();
    drop(handles.split_off(500));
    let shared: Vec<_> = handles.into_iter().rev().map(ThreadSafeHandle::into_shared).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (shared, place) in shared.iter().zip(&places[500..]) {
                assert_eq!(((&raw const **shared).addr(), shared.index()), *place);
            }
        });
    });
    assert!(shared.into_iter().zip(500..).all(|(shared, number)| shared.into_inner() == Some(number)));
}

fn leaked_value_can_be_used_for_ever<K: Sharing>() {
    // Where leak detectors find it.
    static LEAKED: Mutex<Vec<&'static mut String>> = Mutex::new(Vec::new());
    let pool = pool::<String, K>(2);
    let leaked: &'static mut String = pool.allocate("leaked".into()).unwrap().leak();
    drop(pool.allocate("other".into()).unwrap());
    leaked.push_str(" but alive");
    assert_eq!((leaked.as_str(), pool.allocated()), ("leaked but alive", 1));
    drop(pool);
    let thread = thread::spawn(move || {
        leaked.push_str(", also without its pool");
        assert_eq!(leaked, "leaked but alive, also without its pool");
        LEAKED.lock().unwrap().push(leaked);
    });
    thread.join().unwrap();
}

fn shared_value_lives_as_long_as_its_last_handle<K: Sharing>() {
    let ledger = Ledger::default();
    let pool = pool::<Counted, K>(2);
    let one = pool.allocate(ledger.next()).unwrap().into_shared();
    let two = one.clone();
    let weak = two.downgrade();
    assert_eq!((one.strong_count(), one.weak_count(), weak.strong_count(), weak.weak_count()), (2, 1, 2, 1));
    assert!(ThreadSafeSharedHandle::ptr_eq(&one, &two) && one.index() == two.index());
    drop(one);
    let three = weak.upgrade().unwrap();
    assert_eq!((three.id, three.strong_count(), ledger.dead()), (0, 2, 0));
    drop(two);
    assert!(three.into_inner().is_some_and(|value| value.id == 0));
    assert!(weak.upgrade().is_none() && pool.is_empty());
    assert_eq!((weak.strong_count(), weak.weak_count()), (0, 0));
    ledger.assert_all_dead(1);

    let shared = pool.allocate_shared(ledger.next()).unwrap();
    let other = shared.clone();
    assert!(!ThreadSafeSharedHandle::ptr_eq(&shared, &pool.allocate_shared(ledger.next()).unwrap()));
    assert!(shared.into_inner().is_none() && other.strong_count() == 1);
}

fn weak_handle_never_reaches_a_later_tenant<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let mut weak_handles: Vec<ThreadSafeWeakHandle<u32>> = Vec::new();
    for number in 0..20 {
        // Some tenants are shared, some are not, and some are pinned.
        let owned = pool.allocate(number).unwrap();
        assert!(weak_handles.iter().all(|weak| weak.upgrade().is_none() && weak.strong_count() == 0));
        match number % 3 {
            0 => {
                let shared = owned.into_shared();
                weak_handles.push(shared.downgrade());
                weak_handles.push(weak_handles[weak_handles.len() - 1].clone());
                let alive = weak_handles.iter().filter_map(ThreadSafeWeakHandle::upgrade).map(|shared| *shared);
                assert_eq!((alive.collect::<Vec<_>>(), shared.weak_count()), (vec![number; 2], 2));
            }
            1 => {
                let _pinned = owned.into_pin();
                assert!(weak_handles.iter().all(|weak| weak.upgrade().is_none() && weak.weak_count() == 0));
            }
            _ => drop(owned),
        }
    }
}

fn weak_handle_is_dead_when_the_value_is_unshared<K: Sharing>() {
    let pool = pool::<String, K>(1);
    let shared = pool.allocate_shared("shared".into()).unwrap();
    let (other, weak) = (shared.clone(), shared.downgrade());
    let shared = shared.try_into_owned().unwrap_err();
    drop(other);
    let mut owned = shared.try_into_owned().unwrap();
    assert!(weak.upgrade().is_none());
    owned.push_str(" and owned again");
    let shared = owned.into_shared();
    assert_eq!((weak.upgrade().is_none(), shared.weak_count(), shared.strong_count()), (true, 0, 1));
    drop(weak);
    assert_eq!((shared.weak_count(), shared.as_str()), (0, "shared and owned again"));
}

fn mutable_reference_needs_the_only_handle<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let mut shared = pool.allocate_shared(1).unwrap();
    *shared.get_mut().unwrap() = 2;
    let other = shared.clone();
    assert!(shared.get_mut().is_none());
    drop(other);
    let weak = shared.downgrade();
    assert!(shared.get_mut().is_none(), "the weak handle could be upgraded meanwhile");
    drop(weak);
    *shared.get_mut().unwrap() = 3;
    assert_eq!(*shared, 3);
}

fn clone_goes_into_the_same_pool<K: Sharing>()
where
    SharedPool<Reporter, K>: Send,
{
    let pool = pool::<Reporter, K>(2);
    let one = pool.allocate(Reporter(5)).unwrap();
    let thread = thread::spawn(move || {
        let two = one.try_clone().unwrap();
        assert_eq!((two.0, one.index() == two.index(), events()), (5, false, vec!["clone", "acquire"]));
        (one, two)
    });
    let _full = thread.join().unwrap();
    assert!(pool.is_full());
}

fn shared_handles_are_counted_by_all_threads<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    for _ in 0..rounds(60, 3) {
        let shared = pool.allocate_shared(tally.value(3)).unwrap();
        let weak = shared.downgrade();
        let first = Mutex::new(Some(shared));
        together(4, |number| {
            let mut random = Random::new(number);
            let mut strong: Vec<_> = weak.upgrade().into_iter().collect();
            let mut weaks = vec![weak.clone()];
            // With it, the value may end.
            drop(first.lock().unwrap().take());
            for _ in 0..100 {
                match random.below(5) {
                    0 => strong.extend(strong.last().cloned()),
                    1 => weaks.extend(strong.last().map(ThreadSafeSharedHandle::downgrade)),
                    2 => strong.extend(weaks.last().and_then(ThreadSafeWeakHandle::upgrade)),
                    3 => drop(strong.pop()),
                    _ => drop(if weaks.len() > 1 { weaks.pop() } else { None }),
                }
                strong.iter().for_each(|handle| handle.check(3));
                if let Some(handle) = strong.last() {
                    assert!(handle.strong_count() >= strong.len() && handle.weak_count() >= weaks.len());
                }
            }
        });
        assert!(weak.upgrade().is_none() && weak.strong_count() == 0 && pool.is_empty());
        tally.assert_none_left();
    }
}

fn value_is_given_to_one_thread_at_most<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    for round in 0..rounds(300, 10) {
        let shared = pool.allocate_shared(tally.value(3)).unwrap();
        let handles = Mutex::new(vec![shared.clone(), shared.clone(), shared]);
        let given = AtomicUsize::new(0);
        together(3, |_| {
            let shared = { handles.lock().unwrap().pop() }.unwrap();
            let owned = if round % 2 == 0 {
                shared.into_inner()
            } else {
                shared.try_into_owned().ok().map(|mut owned| {
                    // Nobody else looks at it.
                    owned.mark = 3;
                    owned.into_inner()
                })
            };
            if let Some(mut value) = owned {
                value.check(3);
                value.mark = 4;
                given.fetch_add(1, Relaxed);
            }
        });
        assert!(given.into_inner() <= 1 && pool.is_empty());
        tally.assert_none_left();
    }
}

fn mutable_reference_is_given_to_one_thread_at_a_time<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(1);
    for round in 0..rounds(300, 10) {
        let mut shared = pool.allocate_shared(tally.value(1)).unwrap();
        let other = Mutex::new(Some(shared.clone()));
        let has_ended = AtomicBool::new(false);
        let shared = Mutex::new(Some(&mut shared));
        together(2, |number| {
            if number == 0 {
                let shared = { shared.lock().unwrap().take() }.unwrap();
                loop {
                    if let Some(value) = shared.get_mut() {
                        // The end of the other thread's last handle comes before this.
                        assert!(has_ended.load(Relaxed), "another handle can reach the value");
                        value.mark = 2;
                        break;
                    }
                    thread::yield_now();
                }
                return;
            }
            let mut other = { other.lock().unwrap().take() }.unwrap();
            for _ in 0..round % 4 {
                let weak = other.downgrade();
                drop(other);
                // The other thread gets no mutable reference meanwhile.
                other = weak.upgrade().expect("the other thread keeps it");
                other.check(1);
            }
            has_ended.store(true, Relaxed);
            drop(other);
        });
        assert!(pool.is_full());
    }
    tally.assert_none_left();
}

fn weak_handles_find_their_own_value_or_none<K: Sharing>()
where
    SharedPool<Tracked, K>: Sync,
{
    let tally = Tally::next();
    let pool = pool::<_, K>(3);
    let published: Mutex<Option<(u64, ThreadSafeWeakHandle<Tracked>)>> = Mutex::default();
    let (ended, found) = (AtomicBool::new(false), AtomicUsize::new(0));
    together(3, |number| {
        if number > 0 {
            while !ended.load(Relaxed) {
                let weak = published.lock().unwrap().clone();
                let Some((mark, weak)) = weak else { continue };
                for _ in 0..5 {
                    if let Some(shared) = weak.upgrade() {
                        shared.check(mark);
                        found.fetch_add(1, Relaxed);
                    }
                }
            }
            return;
        }
        // The same few slots have many tenants.
        for mark in 0..rounds(5_000, 50) as u64 {
            let Ok(handle) = pool.allocate(tally.value(mark)) else { continue };
            if mark % 4 == 0 {
                drop(handle.into_pin());
            } else if mark % 4 == 1 {
                drop(handle);
            } else {
                let shared = handle.into_shared();
                *published.lock().unwrap() = Some((mark, shared.downgrade()));
                if mark % 100 == 2 {
                    thread::yield_now();
                }
                if let Ok(owned) = shared.try_into_owned() {
                    owned.check(mark);
                }
            }
        }
        ended.store(true, Relaxed);
    });
    drop(published);
    assert!(pool.is_empty());
    tally.assert_none_left();
    assert_all_are_there(&pool, || tally.value(1));
}

/// Values of a type are made by one thread, looked at and dropped by another one.
fn hand_over<T: Poolable + Send, K: Sharing>(capacity: usize, make: impl Fn() -> T + Sync, is_whole: fn(&T) -> bool)
where
    SharedPool<T, K>: Sync,
{
    let pool = pool::<T, K>(capacity);
    let (sender, receiver) = mpsc::sync_channel::<ThreadSafeHandle<T>>(capacity);
    let ends = Mutex::new((Some(sender), Some(receiver)));
    together(2, |number| {
        if number == 0 {
            let sender = { ends.lock().unwrap().0.take() }.unwrap();
            for _ in 0..rounds(1_000, 20) {
                let handle = pool.allocate_wait(make()).unwrap();
                assert!((&raw const *handle).addr() % align_of::<T>() == 0);
                sender.send(handle).unwrap();
            }
        } else {
            let receiver = { ends.lock().unwrap().1.take() }.unwrap();
            receiver.into_iter().for_each(|handle| assert!(is_whole(&handle)));
        }
    });
    assert!(pool.is_empty());
    assert_all_are_there(&pool, make);
}

#[repr(align(4096))]
struct Page(Tracked);

impl Poolable for Page {}

#[repr(align(64))]
struct EmptyLine;

impl Poolable for EmptyLine {}

struct Large(Tracked, [u8; 100_000]);

impl Poolable for Large {}

fn values_of_awkward_sizes_go_from_thread_to_thread<K: Sharing>()
where
    SharedPool<u8, K>: Sync,
    SharedPool<Page, K>: Sync,
    SharedPool<EmptyLine, K>: Sync,
    SharedPool<Large, K>: Sync,
{
    let tally = Tally::next();
    for capacity in [1, 3, 200] {
        hand_over::<Page, K>(capacity, || Page(tally.value(1)), |page| page.0.mark == 1);
        hand_over::<u8, K>(capacity, || 7, |&number| number == 7);
        hand_over::<EmptyLine, K>(capacity, || EmptyLine, |_| true);
    }
    hand_over::<Large, K>(5, || Large(tally.value(1), [9; 100_000]), |large| large.0.mark == 1 && large.1[99_999] == 9);
    tally.assert_none_left();
}

static NOTHINGS: AtomicUsize = AtomicUsize::new(0);

/// Occupies no memory, and is counted.
struct Nothing(());

impl Nothing {
    fn new() -> Self {
        NOTHINGS.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Poolable for Nothing {}

impl Drop for Nothing {
    fn drop(&mut self) {
        assert!(NOTHINGS.fetch_sub(1, Relaxed) > 0, "destroyed twice");
    }
}

#[test]
fn zero_sized_values_are_destroyed_once_by_any_thread() {
    hand_over::<Nothing, fastalloc::Locking>(50, Nothing::new, |_| true);
    #[cfg(feature = "lock-free")]
    hand_over::<Nothing, fastalloc::LockFree>(50, Nothing::new, |_| true);
    assert_eq!(NOTHINGS.load(Relaxed), 0);
    let pool: ThreadSafePool<Nothing> = build(config(100).initializer(Nothing::new));
    together(3, |_| {
        for _ in 0..rounds(100, 5) {
            let objects: Vec<_> = (0..30).map(|_| pool.acquire().unwrap()).collect();
            drop(objects);
        }
    });
    assert_eq!(NOTHINGS.load(Relaxed), 100);
    drop(pool);
    assert_eq!(NOTHINGS.load(Relaxed), 0);
}

trait Shape: Debug {
    fn area(&self) -> u32;
    fn scale(&mut self, factor: u32);
}

impl Tenant for dyn Shape {}
impl Tenant for dyn Shape + Send {}
impl Tenant for dyn Shape + Send + Sync {}

#[derive(Debug)]
struct Square(Reporter);

impl Poolable for Square {
    fn on_acquire(&mut self) {
        event("square acquire");
    }

    fn on_release(&mut self) {
        event("square release");
    }
}

impl Drop for Square {
    fn drop(&mut self) {
        event("square drop");
    }
}

impl Shape for Square {
    fn area(&self) -> u32 {
        self.0.0 * self.0.0
    }

    fn scale(&mut self, factor: u32) {
        self.0.0 *= factor;
    }
}

const RELEASED: [&str; 3] = ["square release", "square drop", "drop"];

fn trait_object_runs_hooks_and_destructor_of_its_type<K: Sharing>() {
    let pool = pool::<Square, K>(2);
    let square = pool.allocate(Square(Reporter(3))).unwrap();
    let index = square.index();
    let mut shape: ThreadSafeHandle<dyn Shape> = square.unsize(|square| square);
    shape.scale(2);
    assert_eq!((shape.area(), shape.index(), events()), (36, index, vec!["square acquire"]));
    assert_eq!(format!("{shape:?}"), "Square(Reporter(6))");
    drop(shape);
    assert_eq!(events(), RELEASED);

    let shape: ThreadSafeHandle<dyn Shape> = pool.allocate(Square(Reporter(4))).unwrap().unsize(|square| square);
    events();
    // The hook could move what is pinned.
    drop(shape.into_pin());
    assert_eq!((events(), pool.is_empty()), (RELEASED[1..].to_vec(), true));
}

fn trait_object_is_dropped_by_another_thread<K: Sharing>()
where
    SharedPool<Square, K>: Send,
{
    for pool_ends_first in [false, true] {
        let pool = pool::<Square, K>(2);
        let shape: ThreadSafeHandle<dyn Shape + Send> =
            pool.allocate(Square(Reporter(3))).unwrap().unsize(|square| square);
        events();
        let pool = if pool_ends_first { None } else { Some(pool) };
        let thread = thread::spawn(move || {
            assert_eq!(shape.area(), 9);
            drop(shape);
            assert_eq!(events(), RELEASED);
        });
        thread.join().unwrap();
        assert_eq!(events(), [""; 0]);
        assert!(pool.is_none_or(|pool| pool.is_empty()));
    }
}

fn trait_object_can_be_shared_by_threads<K: Sharing>()
where
    SharedPool<Square, K>: Sync,
{
    let pool = pool::<Square, K>(1);
    let shape: ThreadSafeHandle<dyn Shape + Send + Sync> =
        pool.allocate(Square(Reporter(3))).unwrap().unsize(|square| square);
    let shared = shape.into_shared();
    let weak = shared.downgrade();
    let barrier = Barrier::new(3);
    together(3, |_| {
        let shape = weak.upgrade().expect("one is alive");
        assert_eq!((shape.area(), shape.clone().area()), (9, 9));
        barrier.wait();
    });
    assert_eq!(events(), ["square acquire"]);
    drop(shared);
    assert_eq!((events(), weak.upgrade().is_none(), pool.is_empty()), (RELEASED.to_vec(), true, true));
    // The slot is used by another value when the last weak handle looks at it.
    let _next = pool.allocate(Square(Reporter(4))).unwrap();
    assert!(weak.clone().upgrade().is_none() && weak.weak_count() == 0);
}

fn slice_destroys_all_its_elements<K: Sharing>() {
    let pool = pool::<[Reporter; 3], K>(1);
    let mut slice: ThreadSafeHandle<[Reporter]> = pool.allocate([1, 2, 3].map(Reporter)).unwrap().unsize(|array| array);
    slice[1].0 = 20;
    assert_eq!(slice.iter().map(|reporter| reporter.0).collect::<Vec<_>>(), [1, 20, 3]);
    drop(slice);
    assert_eq!((events(), pool.is_empty()), (vec!["drop"; 3], true));
}

fn recycled_object_stays_one_as_a_trait_object<K: Sharing>() {
    let reset = |square: &mut Square| {
        event("reset");
        square.0.0 = 1;
    };
    let pool = build::<_, K>(config(1).reset_fn(|| Square(Reporter(1)), reset));
    let mut shape: ThreadSafeHandle<dyn Shape> = pool.acquire().unwrap().unsize(|square| square);
    shape.scale(5);
    assert_eq!(shape.area(), 25);
    drop(shape);
    assert_eq!(events(), ["square acquire", "square release", "reset"]);
    assert_eq!(pool.acquire().unwrap().area(), 1);
}

fn conversion_that_panics_releases_the_value_once<K: Sharing>() {
    fn convert(square: &mut Square) -> &mut (dyn Shape + 'static) {
        event("convert");
        square
    }
    let pool = pool::<Square, K>(1);
    let square = pool.allocate(Square(Reporter(1))).unwrap();
    events();
    panic_at("convert");
    assert!(survive(|| square.unsize(convert).area()).is_none());
    assert_eq!((events()[1..].to_vec(), pool.is_empty()), (RELEASED.to_vec(), true));
}

fn conversion_to_a_part_is_refused<K: Sharing>() {
    let refusal = "the function returned a reference to something else than the whole value";
    let pairs = pool::<(Reporter, Reporter), K>(1);
    let pair = pairs.allocate((Reporter(1), Reporter(2))).unwrap();
    assert_eq!(panic_message(|| drop::<ThreadSafeHandle<dyn Debug>>(pair.unsize(|pair| &mut pair.1))), refusal);
    assert_eq!((events(), pairs.is_empty()), (vec!["drop"; 2], true));
}

#[test]
fn handles_have_the_traits_of_their_values() -> Result<()> {
    let texts = ThreadSafePool::new(5)?;
    let (one, mut two) = (texts.allocate(String::from("one"))?, texts.allocate(String::from("two"))?);
    assert_eq!(
        (format!("{one} {one:?}"), format!("{one:p}")),
        ("one \"one\"".into(), format!("{:p}", &raw const *one))
    );
    assert!(one < two && one != two && one == texts.allocate_shared("one".into())?.try_into_owned().unwrap());
    write!(two, " and {}", 3).unwrap();
    assert_eq!(
        (two.as_str(), Borrow::<String>::borrow(&two).len(), AsRef::<String>::as_ref(&one).len()),
        ("two and 3", 9, 3)
    );
    let shared = one.into_shared();
    let weak = shared.downgrade();
    assert_eq!(format!("{shared} {shared:?} {weak:?}"), "one \"one\" (ThreadSafeWeakHandle)");
    let sorted = BTreeSet::from([shared.clone(), texts.allocate_shared("four".into())?]);
    assert!(sorted.iter().map(|text| text.as_str()).eq(["four", "one"]));
    assert!(HashSet::from([shared]).contains(&String::from("one")));

    let ranges = ThreadSafePool::new(1)?;
    let mut range = ranges.allocate(fastalloc::Foreign(0..5))?;
    assert_eq!((range.0.next(), range.0.len()), (Some(0), 4));

    let anything = ThreadSafePool::new(1)?;
    let any: ThreadSafeHandle<dyn Any + Send> = anything.allocate(5_u32)?.unsize(|number| number);
    assert_eq!(thread::spawn(move || any.downcast_ref().copied()).join().unwrap(), Some(5_u32));
    Ok(())
}

/// Is ready when it is polled for the second time.
struct Countdown(u32, std::marker::PhantomPinned);

impl Poolable for Countdown {}

impl Future for Countdown {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        context.waker().wake_by_ref();
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        match this.0.checked_sub(1) {
            None => Poll::Ready(7),
            Some(left) => {
                this.0 = left;
                Poll::Pending
            }
        }
    }
}

#[test]
fn pinned_future_goes_from_thread_to_thread() {
    let pool = ThreadSafePool::new(1).unwrap();
    let mut future = pool.allocate(Countdown(1, std::marker::PhantomPinned)).unwrap().into_pin();
    let address = (&raw const *future).addr();
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
    drop(pool);
    let thread = thread::spawn(move || {
        let result = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        ((&raw const *future).addr(), result)
    });
    assert_eq!(thread.join().unwrap(), (address, Poll::Ready(7)));
}
