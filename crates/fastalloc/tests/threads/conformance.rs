//! What a pool that threads share promises to each single one of them.

use std::time::Duration;

use fastalloc::{
    Error, GrowthStrategy, InitializationStrategy, PoolConfig, PoolConfigBuilder, Poolable, SharedPool, Sharing,
    ThreadSafeHandle, ThreadSafePool,
};

use crate::support::{
    BEYOND_MEMORY, Counted, Ledger, Reporter, build, config, event, events, inject, on_every_shared_pool, panic_at,
    panic_message, pool, survive,
};

on_every_shared_pool! {
    capacity_is_exact
    counts_follow_every_operation
    every_way_to_allocate_returns_the_value
    failed_operation_changes_nothing
    rejected_value_comes_back
    closure_is_not_called_if_no_slot_is_vacant
    value_is_built_in_its_slot
    reference_to_something_else_is_refused
    clones_are_the_same_pool
    values_of_any_size_and_alignment_fit
    value_too_large_for_the_stack_fits
    zero_sized_values_have_slots_of_their_own
    slots_are_as_aligned_as_configured
    batch_is_in_order
    batch_is_all_or_none
    batch_takes_no_more_and_no_less_than_announced
    batch_of_an_absurd_length_is_an_error
    memory_that_cannot_be_had_is_an_error
    wrong_capacity_is_an_error

    acquire_needs_an_initializer
    acquire_reuses_the_object
    objects_are_made_when_they_are_needed
    pre_initialized_objects_are_ready
    eager_objects_are_ready
    reset_comes_after_the_hook
    objects_without_reset_are_kept_as_they_are
    reset_that_refuses_destroys_the_object
    value_takes_the_place_of_an_object
    batch_takes_the_place_of_objects
    object_taken_out_is_replaced_by_a_new_one
    kept_objects_are_destroyed_with_the_pool
    rejected_value_is_destroyed_once
}

fn capacity_is_exact<K: Sharing>() {
    for capacity in [1, 2, 63, 64, 65, 1_000, 5_000] {
        let pool = pool::<u64, K>(capacity);
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

fn counts_follow_every_operation<K: Sharing>() {
    let pool = pool::<String, K>(4);
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
    assert!(format!("{pool:?}").contains("Pool { capacity: 4, allocated: 0, .. }"));
    assert!(pool.bytes_reserved() >= 4 * size_of::<String>());
}

fn every_way_to_allocate_returns_the_value<K: Sharing>() {
    let pool = pool::<String, K>(20);
    let handles = [
        pool.allocate("0".into()).unwrap(),
        pool.try_allocate("1".into()).unwrap(),
        pool.allocate_or_return("2".into()).unwrap(),
        pool.allocate_with(|| "3".into()).unwrap(),
        pool.try_allocate_with(|| "4".into()).unwrap(),
        pool.allocate_in_place(|slot| slot.write("5".into())).unwrap(),
        pool.try_allocate_in_place(|slot| slot.write("6".into())).unwrap(),
        pool.allocate_batch(["7".into()]).unwrap().remove(0),
        pool.allocate_wait("8".into()).unwrap(),
        pool.allocate_timeout("9".into(), Duration::MAX).unwrap(),
        pool.allocate_shared("10".into()).unwrap().try_into_owned().unwrap(),
    ];
    let numbers = handles.map(|handle| handle.into_inner().parse::<u32>().unwrap());
    assert!(numbers.into_iter().eq(0..11) && pool.is_empty());
}

fn failed_operation_changes_nothing<K: Sharing>() {
    let pool = pool::<u32, K>(3);
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
    assert_eq!(full[0].try_clone().unwrap_err(), exhausted);
    assert_eq!(
        exhausted.to_string(),
        "pool exhausted: 3 of 3 slots are occupied; drop a handle, raise the capacity, or let the pool grow"
    );
    assert_eq!(full.iter().map(|handle| **handle).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((pool.capacity(), pool.allocated()), (3, 3));
}

fn rejected_value_comes_back<K: Sharing>() {
    let pool = pool::<Vec<u8>, K>(1);
    let _full = pool.allocate(vec![1]).unwrap();
    let value = vec![2; 100];
    let address = value.as_ptr();
    let rejected = pool.allocate_or_return(value).unwrap_err();
    assert_eq!((rejected.value.as_ptr(), rejected.value.len()), (address, 100));
    assert_eq!(Error::from(rejected), Error::PoolExhausted { capacity: 1, allocated: 1 });
}

fn closure_is_not_called_if_no_slot_is_vacant<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let _full = pool.allocate(1).unwrap();
    assert!(pool.allocate_with(|| unreachable!()).is_err());
    assert!(pool.try_allocate_with(|| unreachable!()).is_none());
    assert!(pool.allocate_in_place(|_| unreachable!()).is_err());
    assert!(pool.try_allocate_in_place(|_| unreachable!()).is_none());
}

fn value_is_built_in_its_slot<K: Sharing>() {
    let pool = pool::<[u64; 2_048], K>(2);
    let mut address = 0;
    let handle = pool.allocate_in_place(|slot| {
        address = slot.as_ptr().addr();
        // SAFETY: zeros are valid numbers, and the slot is large enough.
        unsafe { slot.as_mut_ptr().write_bytes(0, 1) };
        // SAFETY: it was just initialized.
        unsafe { slot.assume_init_mut() }
    });
    let handle = handle.unwrap();
    assert_eq!((handle.as_ptr().addr(), *handle), (address, [0; 2_048]));
}

fn reference_to_something_else_is_refused<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let other = Box::into_raw(Box::new(1));
    // SAFETY: the box is not used otherwise until it is dropped below.
    let message = panic_message(|| pool.allocate_in_place(|_| unsafe { &mut *other }).map(drop));
    assert_eq!(message, "the function returned a reference to something else than its slot");
    assert!(pool.is_empty());
    assert_eq!(*pool.allocate(2).unwrap(), 2);
    // SAFETY: it was a box.
    drop(unsafe { Box::from_raw(other) });
}

fn clones_are_the_same_pool<K: Sharing>() {
    let pool = pool::<u32, K>(2);
    let clone = pool.clone();
    let handles = [pool.allocate(1).unwrap(), clone.allocate(2).unwrap()];
    assert!(pool.is_full() && clone.is_full() && clone.try_allocate(3).is_none());
    drop(pool);
    drop(handles);
    assert_eq!((clone.available(), *clone.allocate(4).unwrap()), (2, 4));
}

/// Fills a pool, looks at the values, and fills it again.
fn fill<T: Poolable + PartialEq + std::fmt::Debug, K: Sharing>(value: impl Fn(usize) -> T) {
    for capacity in [1, 7, 300] {
        let pool = pool::<T, K>(capacity);
        for round in 0..2 {
            let handles: Vec<_> = (0..capacity).map(|at| pool.allocate(value(at + round)).unwrap()).collect();
            assert!(pool.try_allocate(value(0)).is_none());
            let mut places: Vec<_> = handles.iter().map(|handle| (&raw const **handle).addr()).collect();
            for (at, handle) in handles.iter().enumerate() {
                assert_eq!(**handle, value(at + round));
                assert_eq!(places[at] % align_of::<T>(), 0);
            }
            places.sort_unstable();
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= size_of::<T>().max(1)), "values overlap");
        }
        assert!(pool.is_empty());
    }
}

/// A value that needs this alignment.
macro_rules! aligned {
    ($($Name:ident: $align:literal),*) => {$(
        #[repr(align($align))]
        #[derive(Debug, PartialEq)]
        struct $Name(u8);

        impl Poolable for $Name {}
    )*};
}

aligned!(Line: 64, Page: 4096, Large: 1_048_576);

fn values_of_any_size_and_alignment_fit<K: Sharing>() {
    fill::<u8, K>(|number| number as u8);
    fill::<[u8; 3], K>(|number| [number as u8; 3]);
    fill::<u128, K>(|number| number as u128);
    fill::<String, K>(|number| number.to_string());
    fill::<[u64; 2_048], K>(|number| [number as u64; 2_048]);
    fill::<Line, K>(|number| Line(number as u8));
    fill::<Page, K>(|number| Page(number as u8));
}

fn value_too_large_for_the_stack_fits<K: Sharing>() {
    let pool = pool::<Large, K>(3);
    let zeros = || {
        pool.allocate_in_place(|slot| {
            // SAFETY: zeros are valid, and the slot is large enough.
            unsafe { slot.as_mut_ptr().write_bytes(0, 1) };
            // SAFETY: it was just initialized.
            unsafe { slot.assume_init_mut() }
        })
    };
    for _ in 0..2 {
        let handles = [zeros().unwrap(), zeros().unwrap(), zeros().unwrap()];
        assert!(handles.iter().all(|handle| (&raw const **handle).addr() % align_of::<Large>() == 0));
        assert!(handles.iter().all(|handle| handle.0 == 0) && zeros().is_err());
    }
    assert!(pool.is_empty());
}

fn zero_sized_values_have_slots_of_their_own<K: Sharing>() {
    fill::<(), K>(|_| ());
    fill::<[String; 0], K>(|_| []);
}

fn slots_are_as_aligned_as_configured<K: Sharing>() {
    for alignment in [8, 64, 4096, 1 << 20] {
        let pool = build::<u64, K>(config(20).alignment(alignment));
        let handles = pool.allocate_batch([7; 20]).unwrap();
        assert!(handles.iter().all(|handle| (&raw const **handle).addr() % alignment == 0 && **handle == 7));
        assert!(pool.is_full());
    }
}

fn batch_is_in_order<K: Sharing>() {
    let pool = pool::<String, K>(100);
    let handles = pool.allocate_batch((0..60).map(|number| number.to_string())).unwrap();
    let texts: Vec<String> = handles.into_iter().map(ThreadSafeHandle::into_inner).collect();
    assert!(texts.iter().enumerate().all(|(number, text)| *text == number.to_string()));
    assert!(pool.allocate_batch([]).unwrap().is_empty() && pool.is_empty());
}

fn batch_is_all_or_none<K: Sharing>() {
    let ledger = Ledger::default();
    let pool = pool::<Counted, K>(5);
    let _one = pool.allocate(ledger.next()).unwrap();
    let mut values = [1, 2, 3, 4, 5].map(|id| ledger.value(id)).into_iter();
    let error = pool.allocate_batch(&mut values).unwrap_err();
    assert_eq!(error, Error::PoolExhausted { capacity: 5, allocated: 1 });
    assert_eq!(
        error.to_string(),
        "too few vacant slots: 1 of 5 slots are occupied; \
         ask for fewer at once, raise the capacity, or let the pool grow"
    );
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

fn batch_takes_no_more_and_no_less_than_announced<K: Sharing>() {
    let pool = pool::<u32, K>(5);
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

fn batch_of_an_absurd_length_is_an_error<K: Sharing>() {
    let pool = pool::<u32, K>(5);
    for announced in [usize::MAX, usize::MAX / 2, usize::MAX / 8, BEYOND_MEMORY] {
        let error = pool.allocate_batch(Liar { left: 1, announced }).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. } | Error::PoolExhausted { .. }), "{error:?}");
        assert!(pool.is_empty());
    }
}

fn memory_that_cannot_be_had_is_an_error<K: Sharing>() {
    for capacity in [usize::MAX, usize::MAX / 8, isize::MAX as usize, BEYOND_MEMORY] {
        let error = SharedPool::<[u64; 8], K>::new(capacity).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error:?}");
    }
}

fn wrong_capacity_is_an_error<K: Sharing>() {
    assert_eq!(SharedPool::<u8, K>::new(0).unwrap_err(), Error::InvalidCapacity);
}

/// A pool of reporters with an initializer and a reset, which report too. Objects with number 13 are refused.
fn recycling<K: Sharing>(capacity: usize) -> SharedPool<Reporter, K> {
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

fn acquire_needs_an_initializer<K: Sharing>() {
    let pool = pool::<u32, K>(1);
    let error = pool.acquire().unwrap_err();
    assert!(matches!(error, Error::InvalidConfiguration { field: "initialization_strategy", .. }));
    assert_eq!(pool.available(), 1);
    let _full = pool.allocate(1).unwrap();
    assert_eq!(pool.acquire().unwrap_err(), error);
}

fn acquire_reuses_the_object<K: Sharing>() {
    let pool = recycling::<K>(3);
    let mut object = pool.acquire().unwrap();
    object.0 = 7;
    drop(object);
    assert!(pool.is_empty());
    for _ in 0..3 {
        assert_eq!(pool.acquire().unwrap().0, 7);
    }
    assert_eq!(events().iter().filter(|&&name| name == "init").count(), 1);
    drop(pool);
    assert_eq!(events(), ["drop"]);
}

fn objects_are_made_when_they_are_needed<K: Sharing>() {
    let pool = recycling::<K>(3);
    assert_eq!(events(), [""; 0]);
    let handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(events(), ["init", "acquire", "init", "acquire", "init", "acquire"]);
    assert_eq!(pool.acquire().unwrap_err(), Error::PoolExhausted { capacity: 3, allocated: 3 });
    drop(handles);
    events();
    let _handles: Vec<_> = (0..3).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!(events(), ["acquire"; 3]);
}

fn pre_initialized_objects_are_ready<K: Sharing>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let pool: SharedPool<Counted, K> = build(config(5).reset_fn(move || made.next(), |_| ()).pre_initialize(true));
    assert_eq!((ledger.born(), pool.available()), (5, 5));
    let all: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((ledger.born(), ledger.dead(), all.len()), (5, 0, 5));
    drop(all);
    drop(pool);
    ledger.assert_all_dead(5);
}

fn eager_objects_are_ready<K: Sharing>() {
    let made = Ledger::default();
    let ledger = made.clone();
    let pool: SharedPool<Counted, K> = build(config(200).initializer(move || made.next()));
    assert_eq!((ledger.born(), pool.available()), (200, 200));
    drop((0..200).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    assert_eq!((ledger.born(), ledger.dead()), (200, 0));
    drop(pool);
    ledger.assert_all_dead(200);
}

fn reset_comes_after_the_hook<K: Sharing>() {
    let pool = recycling::<K>(1);
    let object = pool.acquire().unwrap();
    events();
    drop(object);
    assert_eq!(events(), ["release", "reset"]);
}

fn objects_without_reset_are_kept_as_they_are<K: Sharing>() {
    let strategy = InitializationStrategy::custom_init_only(|| Reporter(1));
    let pool = build::<Reporter, K>(config(1).initialization_strategy(strategy));
    pool.acquire().unwrap().0 = 5;
    assert_eq!(pool.acquire().unwrap().0, 5);
    assert_eq!(events(), ["acquire", "release", "acquire", "release"]);
}

fn reset_that_refuses_destroys_the_object<K: Sharing>() {
    let pool = recycling::<K>(1);
    pool.acquire().unwrap().0 = 13;
    assert_eq!(events(), ["init", "acquire", "release", "reset", "drop"]);
    assert!(pool.is_empty());
    assert_eq!(pool.acquire().unwrap().0, 0);
    assert_eq!(events(), ["init", "acquire", "release", "reset"]);
}

fn value_takes_the_place_of_an_object<K: Sharing>() {
    let pool = recycling::<K>(1);
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

fn batch_takes_the_place_of_objects<K: Sharing>() {
    let pool = recycling::<K>(3);
    drop([pool.acquire().unwrap(), pool.acquire().unwrap()]);
    events();
    let batch = pool.allocate_batch([Reporter(5), Reporter(6), Reporter(7)]).unwrap();
    let dropped = events().iter().filter(|&&name| name == "drop").count();
    assert_eq!((dropped, pool.is_full(), batch[2].0), (2, true, 7));
    drop(batch);
    drop([pool.acquire().unwrap(), pool.acquire().unwrap()]);
    events();
    // Those that were not reached are kept.
    let panics = (0..3).map(|at| if at == 1 { inject() } else { Reporter(at) });
    assert!(survive(|| pool.allocate_batch(panics).map(drop)).is_none());
    assert!(pool.is_empty());
    drop(pool);
    let dropped = events().iter().filter(|&&name| name == "drop").count();
    assert_eq!(dropped, 4, "three objects and a value");
}

fn object_taken_out_is_replaced_by_a_new_one<K: Sharing>() {
    let pool = recycling::<K>(1);
    let object = pool.acquire().unwrap().into_inner();
    assert_eq!((pool.available(), events()), (1, vec!["init", "acquire"]));
    drop(pool.acquire().unwrap());
    assert_eq!(events(), ["init", "acquire", "release", "reset"]);
    drop(object);
    drop(pool);
    assert_eq!(events(), ["drop", "drop"]);
}

fn kept_objects_are_destroyed_with_the_pool<K: Sharing>() {
    let ledger = Ledger::default();
    let made = ledger.clone();
    let pool = build::<_, K>(config(8).reset_fn(move || made.next(), |object: &mut Counted| object.id != 1));
    let handles: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
    drop(handles);
    assert_eq!((pool.allocated(), ledger.born(), ledger.dead()), (0, 5, 1));
    drop(pool);
    ledger.assert_all_dead(5);
}

fn rejected_value_is_destroyed_once<K: Sharing>() {
    let ledger = Ledger::default();
    let pool = pool::<_, K>(1);
    let first = pool.allocate(ledger.next()).unwrap();
    assert!(pool.allocate(ledger.next()).is_err());
    assert!(pool.try_allocate(ledger.next()).is_none());
    let rejected = pool.allocate_or_return(ledger.next()).unwrap_err();
    assert_eq!((rejected.value.id, ledger.dead()), (3, 2));
    drop((rejected, first));
    drop(pool);
    ledger.assert_all_dead(4);
}

fn growth(capacity: usize) -> PoolConfigBuilder<u64> {
    PoolConfig::builder().capacity(capacity).growth_strategy(GrowthStrategy::Linear { amount: 1 })
}

#[cfg(feature = "lock-free")]
#[test]
fn lock_free_pool_refuses_to_grow() {
    use fastalloc::LockFreePool;
    let message = "the pool never grows; remove it, or use a GrowingPool";
    let refused = |config: PoolConfigBuilder<u64>| LockFreePool::with_config(config.build().unwrap()).err();
    let invalid = |field| Some(Error::InvalidConfiguration { field, message });
    assert_eq!(refused(growth(10)), invalid("growth_strategy"));
    assert_eq!(refused(PoolConfig::builder().capacity(10).max_capacity(Some(11))), invalid("max_capacity"));
    // What says the same as the pool is accepted.
    assert_eq!(refused(config(10).max_capacity(Some(10))), None);
}

#[test]
fn new_thread_safe_pool_does_not_grow() {
    let pool = ThreadSafePool::<u64>::new(2).unwrap();
    let _full = pool.allocate_batch([1, 2]).unwrap();
    assert!(!pool.can_grow() && pool.allocate(3).is_err());
    assert!(ThreadSafePool::with_config(growth(2).build().unwrap()).unwrap().can_grow());
}
