//! What every pool promises.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fastalloc::{
    Allocator, BitmapAllocator, Error, FixedPool, InitializationStrategy, Kind, OwnedHandle, Pool, PoolConfig,
    Poolable, RcHandle, SharedHandle, WeakHandle,
};

use crate::support::{
    BEYOND_MEMORY, Counted, Ledger, Reporter, build, config, event, events, inject, on_every_growing_pool,
    on_every_pool, panic_at, panic_message, pool, survive,
};

on_every_pool! {
    capacity_is_exact
    counts_follow_every_operation
    every_way_to_allocate_returns_the_value
    failed_operation_changes_nothing
    rejected_value_comes_back
    closure_is_not_called_if_no_slot_is_vacant
    value_is_built_in_its_slot
    reference_to_something_else_is_refused
    released_slot_is_reused_at_once
    value_stays_where_it_is
    into_inner_makes_the_slot_vacant
    leaked_value_can_be_used_as_long_as_the_pool
    pinned_handle_keeps_its_value_in_place
    pinning_loses_no_slot
    clone_goes_into_the_same_pool
    batch_is_in_order
    batch_is_all_or_none
    batch_takes_no_more_and_no_less_than_announced
    batch_of_an_absurd_length_is_an_error

    hooks_run_once_and_in_order
    panic_leaves_the_slot_vacant
    panic_in_a_batch_leaves_all_slots_vacant
    user_code_may_use_the_pool

    acquire_needs_an_initializer
    acquire_reuses_the_object
    objects_are_made_when_they_are_needed
    pre_initialized_objects_are_ready
    eager_objects_are_ready
    reset_comes_after_the_hook
    reset_that_refuses_destroys_the_object
    panicking_reset_destroys_the_object
    panicking_initializer_leaves_the_slot_vacant
    value_takes_the_place_of_an_object
    object_taken_out_is_replaced_by_a_new_one

    shared_value_lives_as_long_as_its_last_handle
    shared_handles_of_different_objects_are_not_equal
    weak_handle_never_reaches_a_later_tenant
    weak_handle_is_dead_when_the_value_is_unshared
    mutable_reference_needs_the_only_handle
    cycle_is_broken_by_weak_handles

    rc_handle_outlives_the_last_reference_to_its_pool
    rc_handles_link_a_tree
    rc_handle_gives_its_value_back
    last_rc_handle_frees_the_pool
    acquired_rc_handle_returns_its_object
    panicking_destructor_does_not_keep_the_pool
}

on_every_growing_pool! {
    eager_pool_makes_objects_as_it_grows
    pre_initialized_pool_makes_objects_only_at_first
}

#[test]
fn pool_is_made_with_an_allocator() {
    let config = PoolConfig::builder().capacity(2).build().unwrap();
    let pool = FixedPool::with_allocator(config, BitmapAllocator::default()).unwrap();
    let handles = [pool.allocate('a').unwrap(), pool.allocate('b').unwrap()];
    assert_eq!(handles.map(|handle| (*handle, handle.index())), [('a', 0), ('b', 1)]);
}

fn capacity_is_exact<A: Allocator + Default, K: Kind>() {
    for capacity in [1, 2, 63, 64, 65, 1_000, 5_000] {
        let pool = pool::<u64, A, K>(capacity);
        for round in 0..2 {
            let handles: Vec<_> = (0..capacity).map(|at| pool.allocate((at + round) as u64).unwrap()).collect();
            assert!(pool.is_full() && pool.try_allocate(0).is_none());
            let mut seen = vec![false; capacity];
            for (at, handle) in handles.iter().enumerate() {
                assert_eq!(**handle, (at + round) as u64);
                assert!(!std::mem::replace(&mut seen[handle.index()], true));
            }
        }
        assert!(pool.is_empty());
    }
}

fn counts_follow_every_operation<A: Allocator + Default, K: Kind>() {
    let pool = pool::<String, A, K>(4);
    let counts = || (pool.capacity(), pool.allocated(), pool.available(), pool.is_empty(), pool.is_full());
    assert_eq!(counts(), (4, 0, 4, true, false));
    let one = pool.allocate("one".into()).unwrap();
    assert_eq!(counts(), (4, 1, 3, false, false));
    let three = pool.allocate_batch(["two", "three", "four"].map(String::from)).unwrap();
    assert_eq!(counts(), (4, 4, 0, false, true));
    drop(three);
    assert_eq!(counts(), (4, 1, 3, false, false));
    drop(one.into_inner());
    assert_eq!(counts(), (4, 0, 4, true, false));
    assert!(format!("{pool:?}").contains("capacity: 4, allocated: 0"));
}

fn every_way_to_allocate_returns_the_value<A: Allocator + Default, K: Kind>() {
    let pool = pool::<String, A, K>(10);
    let handles = [
        pool.allocate("allocate".into()).unwrap(),
        pool.try_allocate("try_allocate".into()).unwrap(),
        pool.allocate_or_return("allocate_or_return".into()).unwrap(),
        pool.allocate_with(|| "allocate_with".into()).unwrap(),
        pool.try_allocate_with(|| "try_allocate_with".into()).unwrap(),
        pool.allocate_in_place(|slot| slot.write("allocate_in_place".into())).unwrap(),
        pool.try_allocate_in_place(|slot| slot.write("try_allocate_in_place".into())).unwrap(),
    ];
    let texts = handles.map(OwnedHandle::into_inner);
    assert_eq!(texts[..3], ["allocate", "try_allocate", "allocate_or_return"]);
    assert_eq!(texts[3..], ["allocate_with", "try_allocate_with", "allocate_in_place", "try_allocate_in_place"]);
    assert_eq!(*pool.allocate_shared("allocate_shared".into()).unwrap(), "allocate_shared");
}

fn failed_operation_changes_nothing<A: Allocator + Default, K: Kind>() {
    let pool = Rc::new(pool::<u32, A, K>(3));
    let full = pool.allocate_batch([1, 2, 3]).unwrap();
    let exhausted = Error::PoolExhausted { capacity: 3, allocated: 3 };
    assert_eq!(pool.allocate(4).unwrap_err(), exhausted);
    assert_eq!(pool.try_allocate(4), None);
    assert_eq!(pool.allocate_with(|| 4).unwrap_err(), exhausted);
    assert_eq!(pool.try_allocate_with(|| 4), None);
    assert_eq!(pool.allocate_in_place(|slot| slot.write(4)).unwrap_err(), exhausted);
    assert_eq!(pool.try_allocate_in_place(|slot| slot.write(4)), None);
    assert_eq!(pool.allocate_or_return(4).unwrap_err().error, exhausted);
    assert_eq!(pool.allocate_batch([4]).unwrap_err(), exhausted);
    assert_eq!(pool.allocate_shared(4).unwrap_err(), exhausted);
    assert_eq!(pool.allocate_rc(4).unwrap_err(), exhausted);
    assert_eq!(full[0].try_clone().unwrap_err(), exhausted);
    assert_eq!(full.iter().map(|handle| **handle).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((pool.capacity(), pool.allocated(), Rc::strong_count(&pool)), (3, 3, 1));
}

fn rejected_value_comes_back<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Vec<u8>, A, K>(1);
    let _full = pool.allocate(vec![1]).unwrap();
    let value = vec![2; 100];
    let address = value.as_ptr();
    let rejected = pool.allocate_or_return(value).unwrap_err();
    assert_eq!((rejected.value.as_ptr(), rejected.value.len()), (address, 100));
    assert_eq!(rejected.to_string(), rejected.error.to_string());
    assert_eq!(Error::from(rejected), Error::PoolExhausted { capacity: 1, allocated: 1 });
}

fn closure_is_not_called_if_no_slot_is_vacant<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(1);
    let _full = pool.allocate(1).unwrap();
    assert!(pool.allocate_with(|| unreachable!()).is_err());
    assert!(pool.try_allocate_with(|| unreachable!()).is_none());
    assert!(pool.allocate_in_place(|_| unreachable!()).is_err());
    assert!(pool.try_allocate_in_place(|_| unreachable!()).is_none());
}

fn value_is_built_in_its_slot<A: Allocator + Default, K: Kind>() {
    let pool = pool::<[u64; 1_000], A, K>(2);
    let mut address = 0;
    let handle = pool.allocate_in_place(|slot| {
        address = slot.as_ptr().addr();
        slot.write([7; 1_000])
    });
    let handle = handle.unwrap();
    assert_eq!((handle.as_ptr().addr(), *handle), (address, [7; 1_000]));
}

fn reference_to_something_else_is_refused<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(1);
    let other = Box::into_raw(Box::new(1));
    // SAFETY: the box is not used otherwise until it is dropped below.
    let message = panic_message(|| pool.allocate_in_place(|_| unsafe { &mut *other }).map(drop));
    assert_eq!(message, "the function returned a reference to something else than its slot");
    assert!(pool.is_empty());
    assert_eq!(*pool.allocate(2).unwrap(), 2);
    // SAFETY: it was a box.
    drop(unsafe { Box::from_raw(other) });
}

fn released_slot_is_reused_at_once<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(100);
    let mut handles: Vec<_> = (0..100).map(|number| pool.allocate(number).unwrap()).collect();
    for at in [0, 99, 50, 50, 1] {
        let index = handles[at].index();
        drop(handles.remove(at));
        let handle = pool.allocate(1_000).unwrap();
        assert_eq!(handle.index(), index);
        handles.insert(at, handle);
    }
}

fn value_stays_where_it_is<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u64, A, K>(1_000);
    let mut handles: Vec<_> = (0..1_000).map(|number| pool.allocate(number).unwrap()).collect();
    let places: Vec<_> = handles.iter().map(|handle| (std::ptr::from_ref(&**handle), handle.index())).collect();
    handles.reverse();
    drop(handles.split_off(500));
    let shared: Vec<_> = handles.into_iter().rev().map(OwnedHandle::into_shared).collect();
    for (shared, place) in shared.iter().zip(&places[500..]) {
        assert_eq!((std::ptr::from_ref(&**shared), shared.index()), *place);
    }
}

fn into_inner_makes_the_slot_vacant<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Reporter, A, K>(1);
    let handle = pool.allocate(Reporter(1)).unwrap();
    assert_eq!(events(), ["acquire"]);
    let value = handle.into_inner();
    assert_eq!((value.0, pool.available(), events().len()), (1, 1, 0));
    let again = pool.allocate(Reporter(2)).unwrap();
    assert_eq!((value.0, again.0), (1, 2));
}

fn leaked_value_can_be_used_as_long_as_the_pool<A: Allocator + Default, K: Kind>() {
    let pool = pool::<String, A, K>(2);
    let leaked: &mut String = pool.allocate("leaked".into()).unwrap().leak();
    drop(pool.allocate("other".into()).unwrap());
    leaked.push_str(" but alive");
    assert_eq!((leaked.as_str(), pool.allocated()), ("leaked but alive", 1));
}

fn pinned_handle_keeps_its_value_in_place<A: Allocator + Default, K: Kind>() {
    let pool = pool::<[u32; 4], A, K>(1);
    let handle = pool.allocate([1; 4]).unwrap();
    let address = handle.as_ptr();
    let pinned = handle.into_pin();
    assert_eq!((pinned.as_ptr(), *pinned), (address, [1; 4]));
    drop(pinned);
    assert!(pool.is_empty());
    let pinned = std::pin::Pin::from(pool.allocate([2; 4]).unwrap());
    assert_eq!(*pinned, [2; 4]);
}

fn pinning_loses_no_slot<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(3);
    let [kept, pinned] = [1, 2].map(|value| pool.allocate(value).unwrap());
    // The slot released last is kept apart.
    drop(kept);
    drop(pinned.into_pin());
    let handles: Vec<_> = (0..3).map_while(|value| pool.try_allocate(value)).collect();
    assert_eq!(handles.len(), 3);
}

fn clone_goes_into_the_same_pool<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Reporter, A, K>(2);
    let one = pool.allocate(Reporter(5)).unwrap();
    events();
    let two = one.try_clone().unwrap();
    assert_eq!((two.0, one.index() == two.index(), events()), (5, false, vec!["clone", "acquire"]));
    assert!(pool.is_full());
}

fn batch_is_in_order<A: Allocator + Default, K: Kind>() {
    let pool = pool::<String, A, K>(100);
    let handles = pool.allocate_batch((0..60).map(|number| number.to_string())).unwrap();
    let texts: Vec<String> = handles.into_iter().map(OwnedHandle::into_inner).collect();
    assert!(texts.iter().enumerate().all(|(number, text)| *text == number.to_string()));
    assert!(pool.allocate_batch([]).unwrap().is_empty() && pool.is_empty());
}

fn batch_is_all_or_none<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<Counted, A, K>(5);
    let _one = pool.allocate(ledger.next()).unwrap();
    let mut values = [1, 2, 3, 4, 5].map(|id| ledger.value(id)).into_iter();
    let error = pool.allocate_batch(&mut values).unwrap_err();
    assert_eq!(error, Error::PoolExhausted { capacity: 5, allocated: 1 });
    assert_eq!((values.len(), pool.allocated(), ledger.dead()), (5, 1, 0), "no value was taken");
    let handles = pool.allocate_batch(values.by_ref().take(4)).unwrap();
    assert_eq!((handles[3].id, values.len(), pool.is_full()), (4, 1, true));
}

/// Counts down, and lies about its length.
struct Liar {
    left: u32,
    announced: usize,
}

impl Iterator for Liar {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.announced, Some(self.announced))
    }
}

impl ExactSizeIterator for Liar {}

fn batch_takes_no_more_and_no_less_than_announced<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(5);
    let mut generous = Liar { left: 5, announced: 3 };
    let handles = pool.allocate_batch(&mut generous).unwrap();
    assert_eq!((handles.len(), generous.left, pool.allocated()), (3, 2, 3));
    drop(handles);
    let handles = pool.allocate_batch(Liar { left: 2, announced: 5 }).unwrap();
    assert_eq!((handles.len(), pool.allocated()), (2, 2), "what was reserved in vain is vacant");
    assert!(pool.allocate_batch(Liar { left: 1, announced: 4 }).is_err());
    assert_eq!(pool.allocate_batch(Liar { left: 0, announced: 3 }).unwrap().len(), 0);
    assert_eq!(pool.allocated(), 2);
}

fn batch_of_an_absurd_length_is_an_error<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(5);
    for announced in [usize::MAX, usize::MAX / 2, usize::MAX / 8, BEYOND_MEMORY] {
        let error = pool.allocate_batch(Liar { left: 1, announced }).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. } | Error::PoolExhausted { .. }), "{error:?}");
        assert!(pool.is_empty());
    }
}

fn hooks_run_once_and_in_order<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Reporter, A, K>(3);
    let handle = pool.allocate(Reporter(1)).unwrap();
    assert_eq!(events(), ["acquire"]);
    drop(handle);
    assert_eq!(events(), ["release", "drop"]);

    let handle = pool.allocate_in_place(|slot| slot.write(Reporter(2))).unwrap();
    let shared = handle.into_shared();
    drop(shared.clone());
    assert_eq!(events(), ["acquire"]);
    drop(shared);
    assert_eq!(events(), ["release", "drop"]);

    drop(pool.allocate_batch([Reporter(3), Reporter(4)]).unwrap());
    assert_eq!(events(), ["acquire", "acquire", "release", "drop", "release", "drop"]);

    std::mem::forget(pool.allocate(Reporter(5)).unwrap());
    events();
    drop(pool);
    assert_eq!(events(), ["drop"], "a forgotten object is destroyed, not released");
}

fn panic_leaves_the_slot_vacant<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Reporter, A, K>(1);
    let vacant_after = |name, expected: &[&str], operation: &dyn Fn()| {
        panic_at(name);
        assert!(survive(operation).is_none(), "{name} panics");
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    };
    let allocate = || pool.allocate(Reporter(1)).unwrap();
    vacant_after("acquire", &["acquire", "drop"], &|| drop(allocate()));
    vacant_after("release", &["acquire", "release", "drop"], &|| drop(allocate()));
    vacant_after("drop", &["acquire", "release", "drop"], &|| drop(allocate()));
    vacant_after("release", &["acquire", "release", "drop"], &|| drop(allocate().into_shared()));
    vacant_after("closure", &["closure"], &|| {
        pool.allocate_with(|| {
            event("closure");
            Reporter(1)
        })
        .map(drop)
        .unwrap();
    });
    vacant_after("closure", &["closure"], &|| {
        pool.allocate_in_place(|slot| {
            event("closure");
            slot.write(Reporter(1))
        })
        .map(drop)
        .unwrap();
    });

    let two = build::<Reporter, A, K>(config(2));
    let one = two.allocate(Reporter(1)).unwrap();
    for name in ["clone", "acquire"] {
        panic_at(name);
        assert!(survive(|| one.try_clone().map(drop)).is_none());
        assert_eq!(two.allocated(), 1);
    }
}

fn panic_in_a_batch_leaves_all_slots_vacant<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Reporter, A, K>(8);
    for at in 0..5 {
        let values = (0..5_u32).map(|number| if number == at { inject() } else { Reporter(number) });
        assert!(survive(|| pool.allocate_batch(values).map(drop)).is_none());
        assert!(pool.is_empty());
        let drops = events().iter().filter(|&&name| name == "drop").count();
        assert_eq!(drops, at as usize);
    }
}

thread_local! {
    /// What an `Intruder` does with its pool.
    static INTRUSION: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// A value whose hooks and destructor use the pool.
struct Intruder;

impl Intruder {
    fn intrude() {
        if let Some(intrusion) = INTRUSION.take() {
            intrusion();
            INTRUSION.set(Some(intrusion));
        }
    }
}

impl Poolable for Intruder {
    fn on_acquire(&mut self) {
        Self::intrude();
    }

    fn on_release(&mut self) {
        Self::intrude();
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        Self::intrude();
    }
}

fn user_code_may_use_the_pool<A: Allocator + Default, K: Kind + 'static>() {
    let reset = |_: &mut Intruder| Intruder::intrude();
    let initializer = || {
        Intruder::intrude();
        Intruder
    };
    for strategy in [InitializationStrategy::Lazy, InitializationStrategy::custom(initializer, reset)] {
        let recycles = !strategy.is_lazy();
        let pool = Rc::new(build::<Intruder, A, K>(config(4).initialization_strategy(strategy)));
        let calls = Rc::new(Cell::new(0));
        let (inner, count) = (Rc::clone(&pool), Rc::clone(&calls));
        INTRUSION.set(Some(Rc::new(move || {
            count.set(count.get() + 1);
            let vacant = inner.available();
            let handles: Vec<_> = std::iter::from_fn(|| inner.try_allocate(Intruder)).collect();
            assert!(inner.is_full() && inner.acquire().is_err());
            drop(handles);
            assert_eq!(inner.available(), vacant);
        })));
        drop(pool.allocate(Intruder).unwrap());
        assert_eq!(calls.get(), 3, "both hooks, and the destructor or the reset");
        let with = pool.allocate_with(|| {
            Intruder::intrude();
            Intruder
        });
        drop(with.unwrap());
        let values = [0; 2].iter().map(|_| {
            Intruder::intrude();
            Intruder
        });
        drop(pool.allocate_batch(values).unwrap());
        if recycles {
            drop(pool.acquire().unwrap());
        }
        assert!(pool.is_empty() && calls.get() >= 7);
        INTRUSION.set(None);
    }
}

/// A pool of reporters with an initializer and a reset, which report too. Objects with number 13 are refused.
fn recycling<A: Allocator + Default, K: Kind>(capacity: usize) -> Pool<Reporter, A, K> {
    let initializer = || {
        event("init");
        Reporter(0)
    };
    let reset = |object: &mut Reporter| {
        event("reset");
        object.0 != 13
    };
    build(config(capacity).reset_fn(initializer, reset))
}

fn acquire_needs_an_initializer<A: Allocator + Default, K: Kind>() {
    let pool = Rc::new(pool::<u32, A, K>(1));
    for error in [pool.acquire().err(), pool.acquire_rc().err()] {
        assert!(matches!(error, Some(Error::InvalidConfiguration { field: "initialization_strategy", .. })));
    }
    assert_eq!((pool.available(), Rc::strong_count(&pool)), (1, 1));
}

fn acquire_reuses_the_object<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(3);
    let mut object = pool.acquire().unwrap();
    let place = (std::ptr::from_ref(&*object), object.index());
    object.0 = 7;
    drop(object);
    assert!(pool.is_empty());
    for _ in 0..3 {
        let object = pool.acquire().unwrap();
        assert_eq!((std::ptr::from_ref(&*object), object.index(), object.0), (place.0, place.1, 7));
    }
    assert_eq!(events().iter().filter(|&&name| name == "init").count(), 1);
    drop(pool);
    assert_eq!(events(), ["drop"]);
}

fn objects_are_made_when_they_are_needed<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(3);
    assert_eq!(events(), [""; 0]);
    let handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(events(), ["init", "acquire", "init", "acquire", "init", "acquire"]);
    assert_eq!(pool.acquire().unwrap_err(), Error::PoolExhausted { capacity: 3, allocated: 3 });
    drop(handles);
    events();
    let _handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(events(), ["acquire"; 3]);
}

fn pre_initialized_objects_are_ready<A: Allocator + Default, K: Kind>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let pool: Pool<Counted, A, K> = build(config(5).reset_fn(move || made.next(), |_| ()).pre_initialize(true));
    assert_eq!((ledger.born(), pool.available()), (5, 5));
    let mut ids: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).map(|object| object.id).collect();
    ids.dedup();
    let all: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((ledger.born(), ledger.dead(), all.len()), (5, 0, 5));
    drop(all);
    drop(pool);
    ledger.assert_all_dead(5);
}

fn eager_objects_are_ready<A: Allocator + Default, K: Kind>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let pool: Pool<Counted, A, K> = build(config(5).initializer(move || made.next()));
    assert_eq!((ledger.born(), pool.available()), (5, 5));
    drop((0..5).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    assert_eq!((ledger.born(), ledger.dead()), (5, 0));
    drop(pool);
    ledger.assert_all_dead(5);
}

fn reset_comes_after_the_hook<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    let object = pool.acquire().unwrap();
    events();
    drop(object);
    assert_eq!(events(), ["release", "reset"]);
    let kept = build::<Reporter, A, K>(
        config(1).initialization_strategy(InitializationStrategy::custom_init_only(|| Reporter(1))),
    );
    drop(kept.acquire().unwrap());
    drop(kept.acquire().unwrap());
    assert_eq!(events(), ["acquire", "release", "acquire", "release"]);
}

fn reset_that_refuses_destroys_the_object<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    pool.acquire().unwrap().0 = 13;
    assert_eq!(events(), ["init", "acquire", "release", "reset", "drop"]);
    assert!(pool.is_empty());
    assert_eq!(pool.acquire().unwrap().0, 0);
    assert_eq!(events(), ["init", "acquire", "release", "reset"]);
}

fn panicking_reset_destroys_the_object<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    for (name, expected) in [("release", &["release", "drop"][..]), ("reset", &["release", "reset", "drop"])] {
        let object = pool.acquire().unwrap();
        events();
        panic_at(name);
        assert!(survive(|| drop(object)).is_none());
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    }
}

fn panicking_initializer_leaves_the_slot_vacant<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    for (name, expected) in [("init", &["init"][..]), ("acquire", &["init", "acquire", "drop"])] {
        panic_at(name);
        assert!(survive(|| pool.acquire().map(drop)).is_none());
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    }
    assert!(pool.acquire().is_ok());
    events();

    // At construction nothing is left of the pool.
    let made = Ledger::default();
    let ledger = made.clone();
    let initializer = move || if made.born() == 3 { inject() } else { made.next() };
    assert!(survive(|| build::<Counted, A, K>(config(5).initializer(initializer))).is_none());
    ledger.assert_all_dead(3);
}

fn value_takes_the_place_of_an_object<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    drop(pool.acquire().unwrap());
    events();
    let value = pool.allocate(Reporter(5)).unwrap();
    assert_eq!((value.0, events()), (5, vec!["drop", "acquire"]));
    drop(value);
    assert_eq!(events(), ["release", "reset"]);
    assert_eq!(pool.acquire().unwrap().0, 5, "the pool keeps it");
    events();

    // The object is gone though the allocation ends in a panic; so is the value.
    panic_at("drop");
    assert!(survive(|| pool.allocate(Reporter(6)).map(drop)).is_none());
    assert_eq!((events(), pool.available()), (vec!["drop", "drop"], 1));
    drop(pool);
    assert_eq!(events(), [""; 0]);
}

fn object_taken_out_is_replaced_by_a_new_one<A: Allocator + Default, K: Kind>() {
    let pool = recycling::<A, K>(1);
    let object = pool.acquire().unwrap().into_inner();
    assert_eq!((pool.available(), events()), (1, vec!["init", "acquire"]));
    drop(pool.acquire().unwrap());
    assert_eq!(events(), ["init", "acquire", "release", "reset"]);
    drop(object);
    drop(pool);
    assert_eq!(events(), ["drop", "drop"]);
}

fn shared_handles_of_different_objects_are_not_equal<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u64, A, K>(2);
    let (one, two) = (pool.allocate_shared(1).unwrap(), pool.allocate_shared(1).unwrap());
    assert!(SharedHandle::ptr_eq(&one, &one) && !SharedHandle::ptr_eq(&one, &two));
}

fn shared_value_lives_as_long_as_its_last_handle<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<Counted, A, K>(2);
    let one = pool.allocate(ledger.next()).unwrap().into_shared();
    let two = one.clone();
    let weak = two.downgrade();
    assert_eq!((one.strong_count(), one.weak_count(), weak.strong_count(), weak.weak_count()), (2, 1, 2, 1));
    assert!(SharedHandle::ptr_eq(&one, &two) && one.index() == two.index());
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
    assert!(shared.into_inner().is_none() && other.strong_count() == 1);
}

fn weak_handle_never_reaches_a_later_tenant<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(1);
    let mut weak_handles: Vec<WeakHandle<'_, u32>> = Vec::new();
    for number in 0..20 {
        // Every other tenant is not shared.
        let owned = pool.allocate(number).unwrap();
        assert!(weak_handles.iter().all(|weak| weak.upgrade().is_none()));
        if number % 2 == 0 {
            let shared = owned.into_shared();
            weak_handles.push(shared.downgrade());
            weak_handles.push(weak_handles[weak_handles.len() - 1].clone());
            let alive: Vec<_> = weak_handles.iter().filter_map(WeakHandle::upgrade).map(|shared| *shared).collect();
            assert_eq!((alive, shared.weak_count()), (vec![number; 2], 2));
        }
    }
}

fn weak_handle_is_dead_when_the_value_is_unshared<A: Allocator + Default, K: Kind>() {
    let pool = pool::<String, A, K>(1);
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

fn mutable_reference_needs_the_only_handle<A: Allocator + Default, K: Kind>() {
    let pool = pool::<u32, A, K>(1);
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

struct Member {
    _counted: Counted,
    parent: RefCell<Option<WeakHandle<'static, Member>>>,
    children: RefCell<Vec<SharedHandle<'static, Member>>>,
}

impl Poolable for Member {}

fn cycle_is_broken_by_weak_handles<A: Allocator + Default, K: Kind + 'static>() {
    let ledger = Ledger::default();
    let pool = Box::into_raw(Box::new(pool::<Member, A, K>(10)));
    {
        // SAFETY: the box is dropped below, when all handles are gone.
        let pool: &'static Pool<Member, A, K> = unsafe { &*pool };
        let member = || Member { _counted: ledger.next(), parent: RefCell::default(), children: RefCell::default() };
        let parent = pool.allocate_shared(member()).unwrap();
        for _ in 0..3 {
            let child = pool.allocate_shared(member()).unwrap();
            child.parent.replace(Some(parent.downgrade()));
            parent.children.borrow_mut().push(child);
        }
        let child = parent.children.borrow()[1].clone();
        let found = child.parent.borrow().as_ref().unwrap().upgrade().unwrap();
        assert!(SharedHandle::ptr_eq(&found, &parent) && parent.weak_count() == 3);
        drop((found, parent));
        assert_eq!((pool.allocated(), ledger.dead()), (1, 3));
        assert!(child.parent.borrow().as_ref().unwrap().upgrade().is_none());
        drop(child);
        assert!(pool.is_empty());
        ledger.assert_all_dead(4);
    }
    // SAFETY: it was a box, and no handle is left.
    drop(unsafe { Box::from_raw(pool) });
}

fn rc_handle_outlives_the_last_reference_to_its_pool<A: Allocator + Default, K: Kind + 'static>() {
    let ledger = Ledger::default();
    let pool = Rc::new(pool::<Counted, A, K>(3));
    let weak = Rc::downgrade(&pool);
    let one = pool.allocate_rc(ledger.next()).unwrap();
    let two = pool.allocate_rc(ledger.next()).unwrap();
    assert_eq!((Rc::strong_count(&pool), pool.allocated(), two.index() != one.index()), (2, 2, true));
    drop(pool);
    assert_eq!((one.id, two.id), (0, 1));
    drop(one);
    let pool = weak.upgrade().expect("the other handle keeps it");
    assert_eq!(pool.allocated(), 1);
    drop((pool, two));
    assert!(weak.upgrade().is_none());
    ledger.assert_all_dead(2);
}

struct Node {
    _counted: Counted,
    children: Vec<RcHandle<Node>>,
}

impl Poolable for Node {}

fn rc_handles_link_a_tree<A: Allocator + Default, K: Kind + 'static>() {
    fn grow<A: Allocator, K: Kind>(pool: &Rc<Pool<Node, A, K>>, ledger: &Ledger, depth: usize) -> RcHandle<Node> {
        let children = (0..depth).map(|_| grow(pool, ledger, depth - 1)).collect();
        pool.allocate_rc(Node { _counted: ledger.next(), children }).unwrap()
    }
    fn size(node: &Node) -> usize {
        1 + node.children.iter().map(|child| size(child)).sum::<usize>()
    }

    let ledger = Ledger::default();
    let pool = Rc::new(pool::<Node, A, K>(100));
    let weak = Rc::downgrade(&pool);
    let mut tree = grow(&pool, &ledger, 4);
    drop(pool);
    assert_eq!((size(&tree), ledger.born()), (65, 65));
    let subtree = tree.children.pop().unwrap();
    drop(tree);
    assert_eq!(weak.upgrade().map(|pool| pool.allocated()), Some(size(&subtree)));
    let mut root = subtree.into_inner();
    drop(root.children.pop());
    drop(root);
    assert!(weak.upgrade().is_none());
    ledger.assert_all_dead(65);
}

fn rc_handle_gives_its_value_back<A: Allocator + Default, K: Kind + 'static>() {
    let pool = Rc::new(pool::<String, A, K>(1));
    let weak = Rc::downgrade(&pool);
    let mut handle = pool.allocate_rc("value".into()).unwrap();
    drop(pool);
    handle.push('!');
    assert_eq!(handle.into_inner(), "value!");
    assert!(weak.upgrade().is_none());
}

fn last_rc_handle_frees_the_pool<A: Allocator + Default, K: Kind + 'static>() {
    let ((), section) = crate::heap::measure(|| {
        let pool = Rc::new(pool::<String, A, K>(3));
        let handles = [pool.allocate_rc("one".into()).unwrap(), pool.allocate_rc("two".into()).unwrap()];
        let again = pool.allocate_rc("three".into()).unwrap().into_pin();
        drop(pool);
        drop(handles);
        drop(again);
    });
    assert_eq!(section.bytes, 0);
}

fn acquired_rc_handle_returns_its_object<A: Allocator + Default, K: Kind + 'static>() {
    let pool = Rc::new(recycling::<A, K>(1));
    drop(pool.acquire_rc().unwrap());
    let object = pool.acquire_rc().unwrap();
    assert_eq!(events(), ["init", "acquire", "release", "reset", "acquire"]);
    drop(pool);
    drop(object);
    assert_eq!(events(), ["release", "reset", "drop"], "kept, and destroyed with the pool");
}

fn panicking_destructor_does_not_keep_the_pool<A: Allocator + Default, K: Kind + 'static>() {
    let pool = Rc::new(pool::<Reporter, A, K>(1));
    let weak = Rc::downgrade(&pool);
    let handle = pool.allocate_rc(Reporter(1)).unwrap();
    drop(pool);
    panic_at("drop");
    assert!(survive(|| drop(handle)).is_none());
    assert!(weak.upgrade().is_none());
    assert_eq!(events(), ["acquire", "release", "drop"]);
}

fn eager_pool_makes_objects_as_it_grows<A: Allocator + Default>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let config = PoolConfig::builder().capacity(2).initializer(move || made.next()).build().unwrap();
    let pool = fastalloc::GrowingPool::with_allocator(config, A::default()).unwrap();
    let handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((ledger.born(), pool.capacity()), (4, 4));
    pool.reserve(6).unwrap();
    assert_eq!((ledger.born(), pool.capacity()), (9, 9));
    drop(handles);
    drop((0..9).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    drop(pool);
    ledger.assert_all_dead(9);
}

fn pre_initialized_pool_makes_objects_only_at_first<A: Allocator + Default>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let config = PoolConfig::builder().capacity(2).reset_fn(move || made.next(), |_| ()).pre_initialize(true);
    let pool: fastalloc::GrowingPool<_, A> = build(config);
    assert_eq!(ledger.born(), 2);
    let _handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((ledger.born(), pool.capacity()), (3, 4));
}
