//! How pools grow, how far, and what is left after a trim.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use fastalloc::{
    Allocator, Error, GrowingPool, GrowthStrategy, OwnedHandle, PoolConfig, PoolConfigBuilder, Poolable, RcHandle,
};

use crate::support::{BLOCK, build, on_every_growing_pool};

on_every_growing_pool! {
    linear_growth_adds_a_constant
    exponential_growth_multiplies
    custom_growth_asks_the_function
    pool_without_strategy_doubles
    pool_that_grows_by_nothing_is_exhausted
    last_step_is_cut_to_the_limit
    pool_at_its_limit_says_so
    objects_never_move
    linear_growth_goes_over_many_chunks
    reserve_makes_room
    reserve_respects_limit_and_strategy
    batch_grows_the_pool
    slots_come_back_after_a_trim
    trim_leaves_the_floor
    trim_leaves_occupied_slots_alone
    destructors_of_a_trim_may_use_the_pool
    growth_function_may_make_room
    growth_function_may_panic
}

fn growing<T: Poolable, A: Allocator + Default>(config: PoolConfigBuilder<T>) -> GrowingPool<T, A> {
    build(config)
}

/// The capacities that a pool has while it is filled with so many objects.
fn capacities<A: Allocator + Default>(strategy: GrowthStrategy, start: usize, objects: usize) -> Vec<usize> {
    let pool = growing::<usize, A>(PoolConfig::builder().capacity(start).growth_strategy(strategy));
    let mut capacities = vec![pool.capacity()];
    let mut handles = Vec::new();
    for number in 0..objects {
        let full = pool.is_full();
        handles.push(pool.allocate(number).unwrap());
        if full {
            capacities.push(pool.capacity());
        }
        assert_eq!(*capacities.last().unwrap(), pool.capacity(), "a pool with vacant slots does not grow");
    }
    for (number, handle) in handles.iter().enumerate() {
        assert_eq!((**handle, handle.index()), (number, number));
    }
    capacities
}

fn linear_growth_adds_a_constant<A: Allocator + Default>() {
    assert_eq!(capacities::<A>(GrowthStrategy::Linear { amount: 7 }, 3, 20), [3, 10, 17, 24]);
    assert_eq!(capacities::<A>(GrowthStrategy::Linear { amount: 1 }, 1, 5), [1, 2, 3, 4, 5]);
}

fn exponential_growth_multiplies<A: Allocator + Default>() {
    assert_eq!(capacities::<A>(GrowthStrategy::Exponential { factor: 2.0 }, 3, 20), [3, 6, 12, 24]);
    assert_eq!(capacities::<A>(GrowthStrategy::Exponential { factor: 1.5 }, 10, 30), [10, 15, 22, 33]);
    // One slot at least.
    assert_eq!(capacities::<A>(GrowthStrategy::Exponential { factor: 1.01 }, 1, 4), [1, 2, 3, 4]);
}

fn custom_growth_asks_the_function<A: Allocator + Default>() {
    let compute = |capacity| if capacity < 10 { 5 } else { 100 };
    assert_eq!(capacities::<A>(GrowthStrategy::Custom { compute: Box::new(compute) }, 1, 120), [1, 6, 11, 111, 211]);
}

fn pool_without_strategy_doubles<A: Allocator + Default>() {
    let pool = growing::<u8, A>(PoolConfig::builder().capacity(1));
    let _handles: Vec<_> = (0..9).map(|number| pool.allocate(number).unwrap()).collect();
    assert_eq!(pool.capacity(), 16);
}

fn pool_that_grows_by_nothing_is_exhausted<A: Allocator + Default>() {
    let nothing = || GrowthStrategy::Custom { compute: Box::new(|_| 0) };
    for (strategy, can_grow) in
        [(GrowthStrategy::None, false), (GrowthStrategy::Linear { amount: 0 }, false), (nothing(), true)]
    {
        let pool = growing::<u8, A>(PoolConfig::builder().capacity(2).growth_strategy(strategy));
        assert_eq!(pool.can_grow(), can_grow, "whether a function adds slots is not known before");
        let _full = [pool.allocate(1).unwrap(), pool.allocate(2).unwrap()];
        let exhausted = Error::PoolExhausted { capacity: 2, allocated: 2 };
        assert_eq!(pool.allocate(3).unwrap_err(), exhausted);
        assert_eq!(pool.allocate_batch([3]).unwrap_err(), exhausted);
        assert_eq!(pool.capacity(), 2);
    }
}

fn last_step_is_cut_to_the_limit<A: Allocator + Default>() {
    let strategy = GrowthStrategy::Linear { amount: 6 };
    let config = PoolConfig::builder().capacity(3).max_capacity(Some(10)).growth_strategy(strategy);
    let pool = growing::<u8, A>(config);
    let mut handles = Vec::new();
    while let Some(handle) = pool.try_allocate(1) {
        handles.push(handle);
        assert!([3, 9, 10].contains(&pool.capacity()));
    }
    assert_eq!((handles.len(), pool.can_grow()), (10, false));
}

fn pool_at_its_limit_says_so<A: Allocator + Default>() {
    let strategy = GrowthStrategy::Linear { amount: 6 };
    let config = PoolConfig::builder().capacity(4).max_capacity(Some(4)).growth_strategy(strategy);
    let pool = growing::<u8, A>(config);
    let full = pool.allocate_batch([1, 2, 3, 4]).unwrap();
    let error = Error::MaxCapacityExceeded { current: 4, requested: 10, max: 4 };
    assert_eq!(pool.allocate(5).unwrap_err(), error);
    assert_eq!(pool.allocate_or_return(5).unwrap_err().error, error);
    drop(full);
    assert!(pool.allocate(5).is_ok());
}

fn objects_never_move<A: Allocator + Default>() {
    let pool = growing::<[u64; 100], A>(PoolConfig::builder().capacity(1));
    let mut handles = Vec::new();
    let mut places: Vec<(*const u64, usize)> = Vec::new();
    for number in 0..3_000 {
        let handle = pool.allocate([number; 100]).unwrap();
        places.push((handle.as_ptr(), handle.index()));
        handles.push(handle);
    }
    for (number, (handle, place)) in handles.iter().zip(places).enumerate() {
        assert_eq!(((handle.as_ptr(), handle.index()), **handle), (place, [number as u64; 100]));
    }
}

fn linear_growth_goes_over_many_chunks<A: Allocator + Default>() {
    let strategy = GrowthStrategy::Linear { amount: 1_000 };
    let pool = growing::<u64, A>(PoolConfig::builder().capacity(1).growth_strategy(strategy));
    let count = if cfg!(miri) { 3_000 } else { 50_000 };
    let handles: Vec<_> = (0..count).map(|number| pool.allocate(number).unwrap()).collect();
    assert!(handles.iter().enumerate().all(|(at, handle)| **handle == at as u64 && handle.index() == at));
    assert_eq!(pool.capacity() % 1_000, 1);
    // Slots that are not used yet cost less than they would if each step took chunks of its own.
    assert!(cfg!(fastalloc_passthrough) || pool.bytes_reserved() < pool.capacity() * 8 * 11 / 10 + (32 << 10));
}

fn reserve_makes_room<A: Allocator + Default>() {
    let pool = growing::<u8, A>(PoolConfig::builder().capacity(10));
    let _three = pool.allocate_batch([1, 2, 3]).unwrap();
    pool.reserve(7).unwrap();
    assert_eq!(pool.capacity(), 10);
    pool.reserve(100).unwrap();
    assert_eq!((pool.capacity(), pool.available()), (103, 100));
    pool.reserve(0).unwrap();
    assert_eq!(pool.allocate_batch([0; 100]).unwrap().len(), 100);
    assert_eq!(pool.capacity(), 103);
}

fn reserve_respects_limit_and_strategy<A: Allocator + Default>() {
    let pool = growing::<u8, A>(PoolConfig::builder().capacity(10).max_capacity(Some(20)));
    let _two = pool.allocate_batch([1, 2]).unwrap();
    assert_eq!(pool.reserve(19).unwrap_err(), Error::MaxCapacityExceeded { current: 10, requested: 21, max: 20 });
    assert!(matches!(pool.reserve(usize::MAX), Err(Error::MaxCapacityExceeded { current: 10, max: 20, .. })));
    assert_eq!(pool.capacity(), 10);
    pool.reserve(18).unwrap();
    assert_eq!((pool.capacity(), pool.can_grow()), (20, false));

    let pool = growing::<u8, A>(PoolConfig::builder().capacity(2).growth_strategy(GrowthStrategy::None));
    assert_eq!(pool.reserve(3).unwrap_err(), Error::PoolExhausted { capacity: 2, allocated: 0 });
    pool.reserve(2).unwrap();
}

fn batch_grows_the_pool<A: Allocator + Default>() {
    let pool = growing::<u32, A>(PoolConfig::builder().capacity(2).max_capacity(Some(100)));
    let handles = pool.allocate_batch(0..50).unwrap();
    assert!((50..=100).contains(&pool.capacity()));
    let error = pool.allocate_batch(0..51).unwrap_err();
    assert!(matches!(error, Error::MaxCapacityExceeded { max: 100, .. }), "{error:?}");
    assert_eq!((pool.allocated(), handles.len()), (50, 50));
    assert_eq!(pool.allocate_batch(0..50).unwrap().len(), 50);
    assert_eq!(pool.capacity(), 100);
}

fn slots_come_back_after_a_trim<A: Allocator + Default>() {
    let config = PoolConfig::builder().capacity(1).max_capacity(Some(40)).alignment(BLOCK);
    let pool = growing::<u64, A>(config);
    for round in 0..3 {
        let mut handles: Vec<_> = (0..40).map(|number| pool.allocate(number + round).unwrap()).collect();
        assert_eq!((pool.capacity(), pool.can_grow(), pool.try_allocate(0).is_none()), (40, false, true));
        let mut indices: Vec<_> = handles.iter().map(OwnedHandle::index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..40), "indices are used again");
        assert!(handles.iter().zip(round..).all(|(handle, number)| **handle == number));
        // Some handles survive each trim, in other blocks each time.
        let mut position = 0;
        handles.retain(|_| {
            position += 1;
            position % 13 == round as usize
        });
        pool.trim_to(0);
        assert!(pool.capacity() < 40 && pool.can_grow());
        assert_eq!(pool.allocated(), handles.len());
        let survivors: Vec<u64> = handles.iter().map(|handle| **handle).collect();
        pool.reserve(10).unwrap();
        let more = pool.allocate_batch([7; 10]).unwrap();
        assert!(more.iter().all(|handle| **handle == 7 && (&raw const **handle).addr() % BLOCK == 0));
        assert!(handles.iter().zip(survivors).all(|(handle, number)| **handle == number));
    }
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
    assert_eq!(*pool.allocate(5).unwrap(), 5);
}

fn trim_leaves_the_floor<A: Allocator + Default>() {
    let pool = growing::<u64, A>(PoolConfig::builder().capacity(10).alignment(BLOCK));
    assert_eq!((pool.trim(), pool.trim_to(10)), (0, 0));
    pool.reserve(60).unwrap();
    let gone = pool.trim_to(30);
    assert!(gone > 0 && pool.capacity() == 60 - gone && pool.capacity() >= 30);
    pool.trim();
    assert!((10..30).contains(&pool.capacity()), "{pool:?}");
    pool.trim_to(0);
    assert_eq!(pool.capacity(), 0);
    assert!(pool.is_full() && pool.is_empty() && pool.can_grow());
}

fn trim_leaves_occupied_slots_alone<A: Allocator + Default>() {
    let pool = growing::<String, A>(PoolConfig::builder().capacity(1).alignment(BLOCK));
    let mut handles: Vec<_> = (0..50).map(|number| pool.allocate(number.to_string()).unwrap()).collect();
    let last = handles.pop().unwrap();
    let leaked = handles.swap_remove(0).leak();
    drop(handles);
    let gone = pool.trim_to(0);
    assert!(gone > 30 && pool.allocated() == 2);
    assert_eq!((last.as_str(), leaked.as_str(), last.index()), ("49", "0", 49));
}

fn destructors_of_a_trim_may_use_the_pool<A: Allocator + Default>() {
    thread_local! {
        /// What the next object runs that is dropped.
        static LAST: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    #[derive(Default)]
    struct Last;

    impl Poolable for Last {}

    impl Drop for Last {
        fn drop(&mut self) {
            LAST.take().into_iter().for_each(|last| last());
        }
    }

    // Its block has room for more slots than are in use.
    let config = PoolConfig::builder().capacity(5).growth_strategy(GrowthStrategy::Linear { amount: 5 });
    let pool = Rc::new(growing::<Last, A>(config.reset_fn(Last::default, |_| ())));
    drop((0..5).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());

    let held = Rc::new(RefCell::new(Vec::new()));
    let (user, handles) = (Rc::clone(&pool), Rc::clone(&held));
    LAST.set(Some(Box::new(move || handles.borrow_mut().extend((0..20).map(|_| user.acquire_rc().unwrap())))));
    assert_eq!(pool.trim_to(0), 5);
    assert_eq!((held.borrow().len(), pool.allocated(), pool.available()), (20, 20, 0));
    assert!(held.borrow().iter().map(RcHandle::index).collect::<BTreeSet<_>>().len() == 20);
    held.borrow_mut().clear();
    assert_eq!((pool.trim_to(0), pool.bytes_reserved()), (20, 0));
}

fn growth_function_may_make_room<A: Allocator + Default>() {
    use std::cell::RefCell;
    thread_local! {
        static HELD: RefCell<Vec<fastalloc::RcHandle<u32>>> = const { RefCell::new(Vec::new()) };
    }
    let compute = |_| {
        HELD.take();
        0
    };
    let strategy = GrowthStrategy::Custom { compute: Box::new(compute) };
    let pool = std::rc::Rc::new(growing::<u32, A>(PoolConfig::builder().capacity(2).growth_strategy(strategy)));
    HELD.set(vec![pool.allocate_rc(1).unwrap(), pool.allocate_rc(2).unwrap()]);
    assert_eq!(*pool.allocate(3).unwrap(), 3);
    assert_eq!((pool.capacity(), pool.available()), (2, 2));
    HELD.set(vec![pool.allocate_rc(1).unwrap(), pool.allocate_rc(2).unwrap()]);
    assert_eq!(pool.allocate_batch([4, 5]).unwrap().len(), 2);
}

fn growth_function_may_panic<A: Allocator + Default>() {
    let strategy = GrowthStrategy::Custom { compute: Box::new(|_| crate::support::inject()) };
    let pool = growing::<u32, A>(PoolConfig::builder().capacity(1).growth_strategy(strategy));
    let one = pool.allocate(1).unwrap();
    assert!(crate::support::survive(|| pool.allocate(2).map(drop)).is_none());
    assert_eq!((*one, pool.capacity(), pool.allocated()), (1, 1, 1));
    drop(one);
    assert!(pool.allocate(2).is_ok());
}

#[test]
fn strategies_say_what_they_are() {
    let strategies = [
        GrowthStrategy::None,
        GrowthStrategy::Linear { amount: 3 },
        GrowthStrategy::Exponential { factor: 1.5 },
        GrowthStrategy::Custom { compute: Box::new(|_| 0) },
    ];
    let texts = strategies.map(|strategy| format!("{strategy:?}"));
    assert_eq!(texts, ["None", "Linear { amount: 3 }", "Exponential { factor: 1.5 }", "Custom { .. }"]);
}

#[test]
fn growth_that_overflows_saturates() {
    assert_eq!(GrowthStrategy::Exponential { factor: 1e300 }.compute_growth(1_000), usize::MAX - 1_000);
    assert_eq!(GrowthStrategy::Exponential { factor: 2.0 }.compute_growth(0), 1);
}
