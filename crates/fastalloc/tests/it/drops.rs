//! Every value is destroyed exactly once, whatever happens to its handle and its pool.

use std::cell::Cell;
use std::mem;

use fastalloc::{Allocator, Growing, GrowingPool, InitializationStrategy, Kind, Pool, Poolable};

use crate::support::{
    BLOCK, Counted, Injected, Ledger, build, config, inject, on_every_growing_pool, on_every_pool, pool, survive,
};

on_every_pool! {
    dropped_handle_destroys_its_value_at_once
    forgotten_handle_leaves_its_value_to_the_pool
    leaked_value_is_destroyed_with_the_pool
    forgotten_shared_and_weak_handles_leave_the_value_to_the_pool
    pinned_and_forgotten_value_is_destroyed_with_the_pool
    value_taken_out_is_not_destroyed_by_the_pool
    kept_objects_are_destroyed_with_the_pool
    pool_dropped_while_unwinding_destroys_everything
    destructor_that_panics_at_pool_drop_spares_no_other_value
    zero_sized_values_are_destroyed_as_often_as_they_were_made
    rejected_value_is_destroyed_once
    values_of_a_panicking_batch_are_destroyed_once
}

on_every_growing_pool! {
    forgotten_values_of_a_grown_pool_are_destroyed_once
    trim_destroys_kept_objects_once
    trim_goes_on_after_a_destructor_that_panics
}

fn dropped_handle_destroys_its_value_at_once<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(3);
    let handles = [0, 1, 2].map(|_| pool.allocate(ledger.next()).unwrap());
    for (dead, handle) in handles.into_iter().enumerate() {
        assert_eq!(ledger.dead(), dead);
        drop(handle);
    }
    drop(pool);
    ledger.assert_all_dead(3);
}

fn forgotten_handle_leaves_its_value_to_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(10);
    // Vacant, occupied and forgotten slots side by side.
    let kept: Vec<_> = (0..6).map(|_| pool.allocate(ledger.next()).unwrap()).collect();
    for (at, handle) in kept.into_iter().enumerate() {
        if at % 2 == 0 { mem::forget(handle) } else { drop(handle) }
    }
    assert_eq!((pool.allocated(), ledger.dead()), (3, 3));
    drop(pool);
    ledger.assert_all_dead(6);
}

fn leaked_value_is_destroyed_with_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(2);
    let leaked = pool.allocate(ledger.next()).unwrap().leak();
    assert_eq!((leaked.id, pool.allocated(), ledger.dead()), (0, 1, 0));
    drop(pool);
    ledger.assert_all_dead(1);
}

fn forgotten_shared_and_weak_handles_leave_the_value_to_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(2);
    let shared = pool.allocate_shared(ledger.next()).unwrap();
    mem::forget(shared.downgrade());
    mem::forget(shared.clone());
    drop(shared);
    let weak_only = pool.allocate_shared(ledger.next()).unwrap();
    mem::forget(weak_only.downgrade());
    drop(weak_only);
    assert_eq!((pool.allocated(), ledger.dead()), (1, 1));
    drop(pool);
    ledger.assert_all_dead(2);
}

fn pinned_and_forgotten_value_is_destroyed_with_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(1);
    mem::forget(pool.allocate(ledger.next()).unwrap().into_pin());
    assert_eq!(ledger.dead(), 0);
    drop(pool);
    ledger.assert_all_dead(1);
}

fn value_taken_out_is_not_destroyed_by_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(2);
    let taken = pool.allocate(ledger.next()).unwrap().into_inner();
    let shared = pool.allocate_shared(ledger.next()).unwrap().into_inner().unwrap();
    assert!(pool.is_empty());
    drop(pool);
    assert_eq!(ledger.dead(), 0);
    drop((taken, shared));
    ledger.assert_all_dead(2);
}

fn kept_objects_are_destroyed_with_the_pool<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let made = ledger.clone();
    let pool = build::<_, A, K>(config(8).reset_fn(move || made.next(), |object: &mut Counted| object.id != 1));
    let handles: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
    mem::forget(pool.acquire().unwrap());
    drop(handles);
    assert_eq!((pool.allocated(), ledger.born(), ledger.dead()), (1, 6, 1));
    drop(pool);
    ledger.assert_all_dead(6);
}

fn pool_dropped_while_unwinding_destroys_everything<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let ended = survive(|| {
        let made = ledger.clone();
        let strategy = InitializationStrategy::custom_init_only(move || made.next());
        let pool = build::<_, A, K>(config(8).initialization_strategy(strategy));
        drop([pool.acquire().unwrap(), pool.acquire().unwrap()]);
        mem::forget(pool.acquire().unwrap());
        let _held = pool.allocate(ledger.next()).unwrap();
        inject();
    });
    assert!(ended.is_none());
    ledger.assert_all_dead(3);
}

fn destructor_that_panics_at_pool_drop_spares_no_other_value<A: Allocator + Default, K: Kind>() {
    for bomb in 0..5 {
        let ledger = Ledger::default();
        let pool = pool::<_, A, K>(6);
        for at in 0..5 {
            mem::forget(pool.allocate(Bomb { value: ledger.next(), armed: at == bomb }).unwrap());
        }
        assert!(survive(|| drop(pool)).is_none());
        ledger.assert_all_dead(5);
    }
}

fn zero_sized_values_are_destroyed_as_often_as_they_were_made<A: Allocator + Default, K: Kind>() {
    let before = Nothing::alive();
    let pool = build::<_, A, K>(config(100).initializer(Nothing::new));
    assert_eq!(Nothing::alive() - before, 100);
    let handles: Vec<_> = (0..10).map(|_| pool.acquire().unwrap()).collect();
    let values: Vec<_> = (0..10).map(|_| pool.allocate(Nothing::new()).unwrap()).collect();
    assert_eq!(Nothing::alive() - before, 100);
    mem::forget(pool.acquire().unwrap());
    drop(handles);
    // The values are kept as well: the pool makes and keeps objects of this type.
    values.into_iter().for_each(|value| drop(value.into_inner()));
    assert_eq!(Nothing::alive() - before, 90);
    drop(pool);
    assert_eq!(Nothing::alive(), before);
}

fn rejected_value_is_destroyed_once<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(1);
    let first = pool.allocate(ledger.next()).unwrap();
    assert!(pool.allocate(ledger.next()).is_err());
    assert!(pool.try_allocate(ledger.next()).is_none());
    let rejected = pool.allocate_or_return(ledger.next()).unwrap_err();
    assert_eq!((rejected.value.id, ledger.dead()), (3, 2));
    drop((rejected, first));
    drop(pool);
    ledger.assert_all_dead(4);
}

fn values_of_a_panicking_batch_are_destroyed_once<A: Allocator + Default, K: Kind>() {
    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(10);
    let values = (0..8).map(|at| if at == 5 { inject() } else { ledger.next() });
    assert!(survive(|| pool.allocate_batch(values)).is_none());
    assert!(pool.is_empty());
    ledger.assert_all_dead(5);
}

fn forgotten_values_of_a_grown_pool_are_destroyed_once<A: Allocator + Default>() {
    let ledger = Ledger::default();
    let pool = Pool::<_, A, Growing>::with_allocator(config_growing(), A::default()).unwrap();
    let mut held = Vec::new();
    for at in 0..40 {
        let handle = pool.allocate(ledger.next()).unwrap();
        if at % 3 == 0 { mem::forget(handle) } else { held.push(handle) }
    }
    drop(held);
    pool.trim_to(0);
    assert_eq!((pool.allocated(), ledger.dead()), (14, 26));
    drop(pool);
    ledger.assert_all_dead(40);
}

fn trim_destroys_kept_objects_once<A: Allocator + Default>() {
    let ledger = Ledger::default();
    let made = ledger.clone();
    let config = fastalloc::PoolConfig::builder()
        .capacity(1)
        .alignment(BLOCK)
        .reset_fn(move || made.next(), |_| ())
        .build()
        .unwrap();
    let pool = Pool::<_, A, Growing>::with_allocator(config, A::default()).unwrap();
    let handles: Vec<_> = (0..20).map(|_| pool.acquire().unwrap()).collect();
    drop(handles);
    assert_eq!(ledger.dead(), 0);
    pool.trim_to(0);
    assert_eq!(pool.capacity(), 0);
    ledger.assert_all_dead(20);
    drop(pool.acquire().unwrap());
    drop(pool);
    ledger.assert_all_dead(21);
}

fn trim_goes_on_after_a_destructor_that_panics<A: Allocator + Default>() {
    for bomb in [0, 7, 19] {
        let ledger = Ledger::default();
        let made = ledger.clone();
        let config = fastalloc::PoolConfig::builder()
            .capacity(1)
            .alignment(BLOCK)
            .reset_fn(
                move || {
                    let value = made.next();
                    Bomb { armed: value.id == bomb, value }
                },
                |_| (),
            )
            .build()
            .unwrap();
        let pool: GrowingPool<_, A> = Pool::with_allocator(config, A::default()).unwrap();
        drop((0..20).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
        assert!(survive(|| pool.trim_to(0)).is_none());
        assert_eq!((pool.capacity(), pool.allocated(), pool.bytes_reserved()), (0, 0, 0));
        ledger.assert_all_dead(20);
        let again: Vec<_> = (0..20).map(|_| pool.acquire().unwrap()).collect();
        assert_eq!(pool.allocated(), 20);
        drop(again);
        drop(pool);
        ledger.assert_all_dead(40);
    }
}

fn config_growing<T>() -> fastalloc::PoolConfig<T> {
    fastalloc::PoolConfig::builder().capacity(1).alignment(BLOCK).build().unwrap()
}

/// Counted, and its destructor may panic.
struct Bomb {
    armed: bool,
    #[expect(dead_code, reason = "it is there for its destructor")]
    value: Counted,
}

impl Poolable for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        if mem::take(&mut self.armed) {
            std::panic::resume_unwind(Box::new(Injected));
        }
    }
}

/// Counts itself, and has no place for a number.
struct Nothing(());

thread_local! {
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

impl Nothing {
    fn new() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(())
    }

    fn alive() -> isize {
        ALIVE.get()
    }
}

impl Poolable for Nothing {}

impl Drop for Nothing {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}
