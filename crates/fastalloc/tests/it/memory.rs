//! What pools take from the heap, when, and what happens if there is none left.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;

use fastalloc::{
    Allocator, BitmapAllocator, Error, Fixed, FixedPool, FreeListAllocator, Growing, GrowingPool, GrowthStrategy, Kind,
    OwnedHandle, Pool, PoolConfig, Poolable, Result, StackAllocator,
};

use crate::heap::{Painted, fail_at, measure};
use crate::support::{BEYOND_MEMORY, BLOCK, Ledger, build, config, on_every_growing_pool, on_every_pool, pool};

on_every_pool! {
    everything_is_freed_in_the_end
    creation_touches_no_slot
    creation_survives_every_allocation_failure
    creation_of_a_recycling_pool_survives_every_allocation_failure
    sharing_survives_every_allocation_failure
    batch_survives_every_allocation_failure
    impossible_sizes_are_out_of_memory
}

on_every_growing_pool! {
    growth_survives_every_allocation_failure
    growth_of_an_eager_pool_survives_every_allocation_failure
    reserve_survives_every_allocation_failure
    reserve_after_trim_survives_every_allocation_failure
    acquire_and_release_survive_every_allocation_failure
    trim_survives_every_allocation_failure
    trim_gives_memory_back
    trim_keeps_occupied_and_weakly_referenced_blocks
    trim_and_reuse_of_blocks_with_several_chunks
    growth_beyond_memory_is_an_error
}

#[derive(Clone, Copy, Debug)]
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Poolable for Bytes<N> {}

#[derive(Debug, PartialEq, Clone, Copy)]
struct Counts {
    capacity: usize,
    available: usize,
    bytes: usize,
}

fn counts<T: Poolable, A: Allocator, K: Kind>(pool: &Pool<T, A, K>) -> Counts {
    assert_eq!(pool.allocated() + pool.available(), pool.capacity());
    Counts { capacity: pool.capacity(), available: pool.available(), bytes: pool.bytes_reserved() }
}

/// Lets each allocation of `operation` fail in turn. The pool has to be unchanged then, and the operation has to work
/// the next time. Returns how many allocations there were.
#[track_caller]
fn fail_each<T: Poolable, A: Allocator, K: Kind>(
    make: impl Fn() -> Pool<T, A, K>,
    operation: impl Fn(&Pool<T, A, K>) -> Result<()>,
) -> usize {
    for n in 1.. {
        let pool = make();
        let before = counts(&pool);
        let (result, section) = fail_at(n, || operation(&pool));
        if !section.failed {
            assert_eq!(result, Ok(()));
            return n - 1;
        }
        if cfg!(fastalloc_passthrough) && result.is_ok() {
            // A slot that was released keeps its memory if there is no other for it.
            continue;
        }
        assert!(matches!(result, Err(Error::OutOfMemory { .. })), "{result:?} when allocation {n} failed");
        assert_eq!(counts(&pool), before, "allocation {n} failed");
        assert_eq!(operation(&pool), Ok(()), "after the failure of allocation {n}");
    }
    unreachable!()
}

/// Bytes on the heap per slot, besides the values, once all slots have been used and freed. First those of the index
/// bookkeeping, then those of the chunks.
fn overhead<const N: usize, A: Allocator + Default>(slots: usize) -> (f64, f64) {
    let (pool, creation) = measure(|| build::<_, A, Fixed>(config(slots)));
    let mut handles = Vec::with_capacity(slots);
    let ((), usage) = measure(|| {
        handles.extend((0..slots).map(|_| pool.allocate(Bytes([1; N])).unwrap()));
        handles.clear();
    });
    let bytes = usize::try_from(creation.bytes + usage.bytes).unwrap();
    let per_slot = |bytes: usize| bytes as f64 / slots as f64;
    (per_slot(bytes - pool.bytes_reserved()), per_slot(pool.bytes_reserved() - slots * N))
}

/// Debug builds keep a set of the occupied slots in the pool, and one in some allocators.
const DEBUG: f64 = if cfg!(debug_assertions) { 0.25 } else { 0.0 };

#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "chunks are smaller")]
#[cfg_attr(fastalloc_passthrough, ignore = "each slot takes a block")]
fn stack_takes_four_bytes_per_slot() {
    for slots in [100_000, 1_000_000] {
        for (index, chunks) in [overhead::<64, StackAllocator>(slots), overhead::<8, StackAllocator>(slots)] {
            println!("stack, {slots} slots: {index:.4} for indices, {chunks:.4} for chunks");
            assert!(index <= 4.02 + DEBUG, "{index}");
            assert!(chunks <= 0.05, "{chunks}");
        }
    }
}

#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "chunks are smaller")]
#[cfg_attr(fastalloc_passthrough, ignore = "each slot takes a block")]
fn bitmap_takes_a_fifth_of_a_byte_per_slot() {
    for slots in [100_000, 1_000_000] {
        for (index, chunks) in [overhead::<64, BitmapAllocator>(slots), overhead::<8, BitmapAllocator>(slots)] {
            println!("bitmap, {slots} slots: {index:.4} for indices, {chunks:.4} for chunks");
            assert!(index + chunks <= 0.2 + DEBUG, "{index} + {chunks}");
        }
    }
}

#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "chunks are smaller")]
#[cfg_attr(fastalloc_passthrough, ignore = "each slot takes a block")]
fn free_list_takes_four_bytes_per_slot() {
    let (index, chunks) = overhead::<64, FreeListAllocator>(100_000);
    assert!(index <= 4.02 + DEBUG && chunks <= 0.05, "{index} + {chunks}");
}

#[test]
#[cfg_attr(fastalloc_passthrough, ignore = "a released slot takes another block")]
fn fixed_pool_allocates_nothing_after_construction() {
    let pool = FixedPool::<Bytes<64>>::new(1_000).unwrap();
    let mut handles = Vec::with_capacity(1_000);
    let ((), section) = measure(|| {
        for round in 0..3 {
            while let Some(handle) = pool.try_allocate(Bytes([round; 64])) {
                handles.push(handle);
            }
            assert!(pool.allocate_or_return(Bytes([0; 64])).is_err());
            handles.clear();
            handles.extend((0..500).map(|_| pool.allocate_with(|| Bytes([1; 64])).unwrap()));
            handles.extend((0..500).map(|_| pool.allocate_in_place(|slot| slot.write(Bytes([2; 64]))).unwrap()));
            for handle in handles.drain(..) {
                assert!(handle.index() < 1_000 && handle.into_inner().0[0] > 0);
            }
        }
    });
    assert_eq!(section.allocations, 0);
}

#[test]
#[cfg_attr(fastalloc_passthrough, ignore = "a released slot takes another block")]
fn fixed_pool_that_recycles_allocates_nothing_after_construction() {
    let keep = |object: &mut Bytes<64>| object.0[0] != 1;
    let pool: FixedPool<_> = build(config(1_000).reset_fn(|| Bytes([0; 64]), keep));
    let mut handles = Vec::with_capacity(1_000);
    let ((), section) = measure(|| {
        for round in 0..3 {
            handles.extend((0..1_000).map(|_| pool.acquire().unwrap()));
            handles.iter_mut().for_each(|handle| handle.0[0] = round);
            handles.clear();
            handles.extend((0..1_000).map(|_| pool.allocate(Bytes([round; 64])).unwrap()));
            handles.drain(..).step_by(2).for_each(|handle| assert_eq!(handle.into_inner().0[0], round));
        }
    });
    assert_eq!(section.allocations, 0);
}

#[test]
#[cfg_attr(not(target_pointer_width = "64"), ignore = "chunks are smaller")]
#[cfg_attr(fastalloc_passthrough, ignore = "each slot has a table of counts")]
fn shared_handles_take_no_memory_each() {
    let pool = FixedPool::<Bytes<64>>::new(1_000).unwrap();
    let mut handles = Vec::with_capacity(1_000);
    handles.push(pool.allocate_shared(Bytes([0; 64])).unwrap());
    let ((), section) = measure(|| {
        while let Ok(shared) = pool.allocate_shared(Bytes([0; 64])) {
            drop(shared.downgrade().upgrade());
            handles.push(shared.clone());
        }
    });
    assert_eq!((section.allocations, handles.len()), (0, 1_000));
}

fn everything_is_freed_in_the_end<A: Allocator + Default, K: Kind>() {
    let ((), section) = measure(|| {
        for alignment in [1, 64, BLOCK] {
            let pool: Pool<String, A, K> =
                build(config(50).alignment(alignment.max(8)).reset_fn(String::new, |text| text.len() % 2 == 0));
            let mut acquired: Vec<_> = (0..20).map(|_| pool.acquire().unwrap()).collect();
            acquired.iter_mut().for_each(|text| text.push_str("some text that needs memory of its own"));
            drop(acquired);
            let shared = pool.allocate_shared("shared".into()).unwrap();
            let weak = shared.downgrade();
            drop(shared);
            assert!(weak.upgrade().is_none());
            let batch = pool.allocate_batch((0..10).map(|number| number.to_string())).unwrap();
            batch.into_iter().step_by(3).for_each(std::mem::forget);
            let _ = pool.allocate("leaked".into()).unwrap().leak();
        }
    });
    assert_eq!(section.bytes, 0);
}

fn creation_touches_no_slot<A: Allocator + Default, K: Kind>() {
    if cfg!(fastalloc_passthrough) {
        // There is no large block whose pages could be left alone.
        return;
    }
    let slots = if cfg!(miri) { 10_000 } else { 1_000_000 };
    let (pool, painted) = Painted::run(|| pool::<Bytes<64>, A, K>(slots));
    assert_eq!(pool.available(), slots);
    assert!(painted.bytes() >= slots * 64);
    // SAFETY: the pool is alive, and does nothing meanwhile.
    assert_eq!(unsafe { painted.touched_pages() }, 0);
    let one = pool.allocate(Bytes([1; 64])).unwrap();
    // SAFETY: the same.
    assert!((1..=2).contains(&unsafe { painted.touched_pages() }), "the chunk's header, and the slot");
    drop(one);
}

/// As many allocations may fail, if each slot is one.
const SLOTS: usize = if cfg!(fastalloc_passthrough) { 50 } else { 5_000 };

fn creation_survives_every_allocation_failure<A: Allocator + Default, K: Kind>() {
    creation_survives::<A, K>(|| config(SLOTS).build().unwrap());
}

fn creation_of_a_recycling_pool_survives_every_allocation_failure<A: Allocator + Default, K: Kind>() {
    // The closures are zero-sized, so that their boxes take no memory.
    creation_survives::<A, K>(|| config(SLOTS).reset_fn(|| Bytes([0; 64]), |_| ()).build().unwrap());
    creation_survives::<A, K>(|| config(SLOTS).initializer(|| Bytes([0; 64])).build().unwrap());
}

fn creation_survives<A: Allocator + Default, K: Kind>(config: impl Fn() -> PoolConfig<Bytes<64>>) {
    for n in 1.. {
        let config = config();
        let (result, section) =
            fail_at(n, || Pool::<_, A, K>::with_allocator(config, A::default()).map(|pool| pool.capacity()));
        assert_eq!(section.bytes, 0, "allocation {n}");
        if !section.failed {
            assert_eq!(result, Ok(SLOTS));
            assert!(n > 4, "chunk, table of chunks, table of regions, core");
            return;
        }
        assert!(matches!(result, Err(Error::OutOfMemory { bytes }) if bytes > 0), "{result:?}, allocation {n}");
    }
}

fn sharing_survives_every_allocation_failure<A: Allocator + Default, K: Kind>() {
    let allocations = fail_each(|| pool::<_, A, K>(100), |pool| pool.allocate_shared(Bytes([1; 64])).map(drop));
    assert!(allocations > 0);

    let ledger = Ledger::default();
    let pool = pool::<_, A, K>(2);
    let owned = pool.allocate(ledger.next()).unwrap();
    let (result, section) = fail_at(1, || owned.try_into_shared());
    let (error, owned) = result.unwrap_err();
    assert!(section.failed && matches!(error, Error::OutOfMemory { bytes: 1.. }));
    assert_eq!((owned.id, ledger.dead()), (0, 0));
    assert_eq!(owned.try_into_shared().unwrap().strong_count(), 1);
    assert!(pool.is_empty());
    ledger.assert_all_dead(1);
}

fn batch_survives_every_allocation_failure<A: Allocator + Default, K: Kind>() {
    let allocations = fail_each(|| pool::<_, A, K>(100), |pool| pool.allocate_batch([Bytes([1; 64]); 20]).map(drop));
    assert!(allocations > 0);
    fail_each(
        || build::<_, A, K>(config(20).reset_fn(|| Bytes([0; 64]), |_| ())),
        |pool| pool.allocate_batch([Bytes([1; 64]); 20]).map(drop),
    );
}

fn impossible_sizes_are_out_of_memory<A: Allocator + Default, K: Kind>() {
    fn attempt<T: Poolable, A: Allocator + Default, K: Kind>(capacity: usize, alignment: usize) -> Error {
        let config = config::<T>(capacity).alignment(alignment.max(align_of::<T>())).build().unwrap();
        let (result, section) = measure(|| Pool::<T, A, K>::with_allocator(config, A::default()).map(drop));
        assert_eq!(section.bytes, 0);
        result.unwrap_err()
    }

    // Beyond the indices, beyond the address space, and beyond any machine's memory.
    for capacity in [usize::MAX, usize::MAX / 2, usize::MAX / 64, BEYOND_MEMORY] {
        assert!(matches!(attempt::<Bytes<64>, A, K>(capacity, 1), Error::OutOfMemory { .. }));
        if capacity >= BEYOND_MEMORY {
            assert!(matches!(attempt::<Bytes<0>, A, K>(capacity, 1), Error::OutOfMemory { .. }));
        }
    }
    #[cfg(target_pointer_width = "64")]
    {
        for capacity in [1 << 10, 4_000_000_000] {
            let huge = attempt::<u8, A, K>(capacity, 1 << 57);
            assert!(matches!(huge, Error::OutOfMemory { bytes } if bytes >= 1 << 32), "{huge:?}");
        }
        assert!(matches!(attempt::<u8, A, K>(1 << 30, 1 << 62), Error::OutOfMemory { .. }));
        assert!(matches!(attempt::<u8, A, K>(1, 1 << 63), Error::OutOfMemory { .. }));
    }
}

fn full_growing_pool<T: Poolable, A: Allocator + Default>(
    config: fastalloc::PoolConfigBuilder<T>,
    value: impl Fn() -> T,
) -> GrowingPool<T, A> {
    let pool: GrowingPool<T, A> = build(config.alignment(BLOCK).growth_strategy(GrowthStrategy::Linear { amount: 10 }));
    while pool.available() > 0 {
        let _ = pool.allocate(value()).unwrap().leak();
    }
    pool
}

fn growth_survives_every_allocation_failure<A: Allocator + Default>() {
    let value = || Bytes([1; 100]);
    let allocations =
        fail_each(|| full_growing_pool::<_, A>(config(3), value), |pool| pool.allocate(value()).map(drop));
    assert!(allocations >= 3, "{allocations}");
    // The value comes back.
    let pool = full_growing_pool::<_, A>(config(3), value);
    let (rejected, _) = fail_at(1, || pool.allocate_or_return(Bytes([7; 100])).err());
    assert_eq!(rejected.map(|rejected| rejected.value.0), Some([7; 100]));
}

fn growth_of_an_eager_pool_survives_every_allocation_failure<A: Allocator + Default>() {
    let value = || Bytes([1; 100]);
    fail_each(|| full_growing_pool::<_, A>(config(3).initializer(value), value), |pool| pool.acquire().map(drop));
}

fn reserve_survives_every_allocation_failure<A: Allocator + Default>() {
    let value = || Bytes([1; 100]);
    let allocations = fail_each(|| full_growing_pool::<_, A>(config(3), value), |pool| pool.reserve(20));
    assert!(allocations >= 5, "several blocks, {allocations}");
    fail_each(|| full_growing_pool::<_, A>(config(3).reset_fn(value, |_| ()), value), |pool| pool.reserve(20));
    fail_each(|| full_growing_pool::<_, A>(config(3).initializer(value), value), |pool| pool.reserve(20));
}

fn reserve_after_trim_survives_every_allocation_failure<A: Allocator + Default>() {
    fn trimmed<A: Allocator + Default>() -> GrowingPool<Bytes<100>, A> {
        let pool: GrowingPool<_, A> = build(PoolConfig::builder().capacity(30).alignment(BLOCK));
        pool.trim_to(0);
        pool
    }
    let allocations = fail_each(trimmed::<A>, |pool| pool.reserve(20));
    assert!(allocations >= 5, "several blocks, {allocations}");
}

fn acquire_and_release_survive_every_allocation_failure<A: Allocator + Default>() {
    fail_each(
        || full_growing_pool::<_, A>(config(1).reset_fn(|| Bytes([1; 100]), |_| true), || Bytes([2; 100])),
        |pool| pool.acquire().map(|object| assert_eq!(object.0[0], 1)),
    );
    // Dropping a handle cannot fail; nothing is lost if memory is short.
    for n in 1..5 {
        let pool = build::<_, A, Growing>(config(10).reset_fn(|| Bytes([1; 100]), |_| false));
        let held: Vec<_> = (0..10).map(|_| pool.acquire().unwrap()).collect();
        fail_at(n, || drop(held));
        assert_eq!(pool.available(), 10);
        let again: Vec<_> = (0..10).map(|_| pool.acquire().unwrap()).collect();
        assert!(again.iter().all(|object| object.0[0] == 1) && pool.is_full());
    }
}

fn trim_survives_every_allocation_failure<A: Allocator + Default>() {
    for n in 1.. {
        let pool: GrowingPool<_, A> = build(PoolConfig::builder().capacity(3).alignment(BLOCK));
        pool.reserve(40).unwrap();
        let held = pool.allocate(Bytes([1; 10])).unwrap();
        let before = counts(&pool);
        let (gone, section) = fail_at(n, || pool.trim());
        if !section.failed {
            assert!(gone > 0 && n > 1);
            return;
        }
        // It gives back what it can.
        assert_eq!(pool.capacity(), before.capacity - gone, "allocation {n}");
        assert_eq!(pool.available(), before.available - gone, "allocation {n}");
        pool.trim();
        assert!((3..before.capacity).contains(&pool.capacity()) && held.0 == [1; 10]);
    }
}

fn trim_gives_memory_back<A: Allocator + Default>() {
    let pool: GrowingPool<Bytes<1024>, A> = build(PoolConfig::builder().capacity(1_000));
    let (result, growth) = measure(|| pool.reserve(50_000));
    result.unwrap();
    assert!(growth.bytes > 45_000 * 1024);
    let (gone, trim) = measure(|| pool.trim());
    assert_eq!(pool.capacity(), 50_000 - gone);
    assert!(pool.capacity() >= 1_000, "the floor stays");
    assert!(trim.bytes < -(45_000 * 1024), "{} bytes given back", -trim.bytes);
    assert_eq!(pool.trim(), 0, "there is nothing left to trim");

    let (rest, trim) = measure(|| pool.trim_to(0));
    assert!(trim.bytes <= -(1_000 * 1024));
    assert_eq!((pool.capacity(), pool.available(), pool.bytes_reserved()), (0, 0, 0));
    assert_eq!(gone + rest, 50_000);
}

fn trim_keeps_occupied_and_weakly_referenced_blocks<A: Allocator + Default>() {
    // Four slots to a block, and one in each is needed.
    let pool: GrowingPool<_, A> = build(PoolConfig::builder().capacity(1).alignment(BLOCK));
    let mut handles: Vec<_> = (0..40_u64).map(|number| Some(pool.allocate(number).unwrap())).collect();
    let owned = handles[1].take().unwrap();
    let shared = handles[10].take().unwrap().into_shared();
    let doomed = handles[20].take().unwrap().into_shared();
    let weak = doomed.downgrade();
    drop((handles, doomed));
    let (_, section) = measure(|| pool.trim_to(0));
    assert!(section.bytes < -((6 * BLOCK) as isize));
    let left = if cfg!(fastalloc_passthrough) { 3..=3 } else { 4..=12 };
    assert!(left.contains(&pool.capacity()), "{pool:?}");
    assert_eq!((*owned, *shared, weak.upgrade().is_none()), (1, 10, true));
    assert_eq!((owned.index(), shared.index()), (1, 10));

    let before = pool.capacity();
    drop((owned, shared));
    pool.trim_to(0);
    assert!((1..before).contains(&pool.capacity()), "the block of the weak handle is left");
    drop(weak);
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
}

/// Each chunk has some slots, and each block of memory some chunks.
fn trim_and_reuse_of_blocks_with_several_chunks<A: Allocator + Default>() {
    struct Large {
        number: usize,
        _room: MaybeUninit<[u8; 100 << 10]>,
    }

    impl Poolable for Large {}

    const COUNT: usize = if cfg!(miri) { 50 } else { 390 };
    let large = |number| Large { number, _room: MaybeUninit::uninit() };
    let ((), section) = measure(|| {
        let config = PoolConfig::builder().capacity(1).growth_strategy(GrowthStrategy::Linear { amount: 65 });
        let pool: GrowingPool<Large, A> = build(config);
        for keeps_weak in [true, false] {
            let mut handles: Vec<_> = (0..COUNT).map(|number| pool.allocate(large(number)).unwrap()).collect();
            assert!(handles.iter().enumerate().all(|(at, handle)| handle.number == at));
            assert!(handles.iter().map(OwnedHandle::index).collect::<BTreeSet<_>>().into_iter().eq(0..COUNT));
            // The last chunk has less than its full number of slots.
            let shared = handles.pop().unwrap().into_shared();
            let doomed = handles.swap_remove(COUNT / 2).into_shared();
            let weak = doomed.downgrade();
            assert_eq!((shared.clone().number, weak.upgrade().unwrap().number), (COUNT - 1, COUNT / 2));
            drop((handles, doomed));
            if keeps_weak {
                let before = pool.capacity();
                pool.trim_to(0);
                assert!((2..before).contains(&pool.capacity()), "the blocks of the two handles are left: {pool:?}");
                assert!(weak.upgrade().is_none() && shared.number == COUNT - 1);
            }
            drop((shared, weak));
            pool.trim_to(0);
            assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
        }
    });
    assert_eq!(section.bytes, 0);
}

fn growth_beyond_memory_is_an_error<A: Allocator + Default>() {
    for step in [usize::MAX, usize::MAX / 100, BEYOND_MEMORY, u32::MAX as usize] {
        let strategy = GrowthStrategy::Custom { compute: Box::new(move |_| step) };
        let pool: GrowingPool<Bytes<65_536>, A> = build(PoolConfig::builder().capacity(1).growth_strategy(strategy));
        let first = pool.allocate(Bytes([1; 65_536])).unwrap();
        let before = counts(&pool);
        let error = pool.allocate_in_place(|slot| slot.write(Bytes([2; 65_536]))).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error:?}");
        assert!(matches!(pool.reserve(step), Err(Error::OutOfMemory { .. })));
        assert_eq!(counts(&pool), before);
        drop(first);
        assert!(pool.is_empty() && pool.allocate(Bytes([3; 65_536])).is_ok());
    }
}
