//! Under `--cfg fastalloc_passthrough`, a slot is a block of the heap, which is freed when the slot is vacated.

use fastalloc::{Allocator, Kind, OwnedHandle, Pool};

use crate::heap::measure;
use crate::support::{build, config, on_every_pool, pool};

on_every_pool! {
    each_slot_is_a_block
    released_slot_is_freed
    slot_whose_value_was_taken_out_is_freed
    slot_of_a_kept_object_stays
    slot_that_a_weak_handle_looks_at_stays
}

type Value = [u8; 5];

/// What a block has in front of the value.
const HEADER: usize = 4 * size_of::<usize>();

fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value).addr()
}

fn each_slot_is_a_block<A: Allocator + Default, K: Kind>() {
    let allocations = |slots| measure(|| drop(pool::<Value, A, K>(slots))).1.allocations;
    assert!(allocations(1_000) - allocations(1) >= 999);
    let pool = pool::<Value, A, K>(1_000);
    assert_eq!(pool.bytes_reserved(), 1_000 * (HEADER + size_of::<Value>()), "blocks end where values do");
}

/// Asserts that `release` frees the block of a slot, and another one takes its place.
#[track_caller]
fn assert_freed<'pool, A: Allocator, K: Kind>(
    pool: &'pool Pool<Value, A, K>,
    release: impl FnOnce(OwnedHandle<'pool, Value>),
) {
    let handle = pool.allocate([1; 5]).unwrap();
    let (before, index) = (address(&*handle), handle.index());
    let ((), section) = measure(|| release(handle));
    assert_eq!((section.allocations, section.bytes), (1, 0));
    let handle = pool.allocate([2; 5]).unwrap();
    assert!(address(&*handle) != before && handle.index() == index);
}

fn released_slot_is_freed<A: Allocator + Default, K: Kind>() {
    assert_freed(&pool::<_, A, K>(1), drop);
    // Without a hot slot.
    assert_freed(&build::<_, A, K>(config(1).reset_fn(|| [0; 5], |_| false)), drop);
}

fn slot_whose_value_was_taken_out_is_freed<A: Allocator + Default, K: Kind>() {
    assert_freed(&pool::<_, A, K>(1), |handle| assert_eq!(handle.into_inner(), [1; 5]));
    assert_freed(&build::<_, A, K>(config(1).initializer(|| [0; 5])), |handle| assert_eq!(handle.into_inner(), [1; 5]));
}

fn slot_of_a_kept_object_stays<A: Allocator + Default, K: Kind>() {
    let pool: Pool<Value, A, K> = build(config(1).initializer(|| [0; 5]));
    let before = address(&*pool.acquire().unwrap());
    assert_eq!(address(&*pool.acquire().unwrap()), before);
}

fn slot_that_a_weak_handle_looks_at_stays<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Value, A, K>(1);
    let shared = pool.allocate_shared([1; 5]).unwrap();
    let (before, weak) = (address(&*shared), shared.downgrade());
    drop(shared);
    let handle = pool.allocate([2; 5]).unwrap();
    assert!(address(&*handle) == before && weak.upgrade().is_none());
    drop(weak);
    drop(handle);
    assert_ne!(address(&*pool.allocate([3; 5]).unwrap()), before);
}

#[cfg(all(feature = "std", feature = "lock-free"))]
mod shared {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use fastalloc::{LockFreePool, SharedPool, Sharing, ThreadSafePool};

    use super::{address, measure};

    fn slots_are_freed<K: Sharing>(pool: SharedPool<u64, K>) {
        let handles = pool.allocate_batch([1, 2]).unwrap();
        let before = address(&*handles[0]);
        let mut waiting = pool.allocate_async(3);
        let mut poll = || Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        drop(handles);
        let Poll::Ready(Ok(handle)) = poll() else { panic!("slots are vacant") };
        assert_ne!(address(&*handle), before, "also if somebody waits for it");

        let mut before = address(&*handle);
        drop((handle, waiting));
        for number in 0..10 {
            let handle = pool.allocate(number).unwrap();
            assert_ne!(address(&*handle), before);
            before = address(&*handle);
        }

        let handles = pool.allocate_batch([4, 5]).unwrap();
        drop(pool);
        let [first, _last] = <[_; 2]>::try_from(handles).unwrap();
        let ((), section) = measure(|| drop(first));
        assert_eq!((section.allocations, section.bytes), (1, 0), "also when the pool is gone");
    }

    #[test]
    fn slots_of_a_thread_safe_pool_are_freed() {
        slots_are_freed(ThreadSafePool::new(2).unwrap());
    }

    #[test]
    fn slots_of_a_lock_free_pool_are_freed() {
        slots_are_freed(LockFreePool::new(2).unwrap());
    }
}
