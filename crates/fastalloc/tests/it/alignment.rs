//! Every slot is where its type and the configuration want it, for types of any size and alignment.

use std::collections::HashSet;

use fastalloc::{Allocator, Growing, GrowthStrategy, Kind, OwnedHandle, Pool, PoolConfig, Poolable, StackAllocator};

use crate::support::{build, config, on_every_growing_pool, on_every_pool, pool};

on_every_pool! {
    configured_alignments_are_honoured
    zero_sized_values_have_handles_of_their_own
    very_large_values_are_built_in_place
}

on_every_growing_pool! {
    grown_slots_are_aligned_too
}

// Where a slot is depends neither on the allocator nor on the thread, and each type has a pool compiled for it.
mod fixed {
    use fastalloc::Fixed;

    #[test]
    fn over_aligned_types_are_aligned() {
        super::over_aligned_types_are_aligned::<Fixed>();
    }

    #[test]
    fn sizes_of_all_kinds_are_kept_apart() {
        super::sizes_of_all_kinds_are_kept_apart::<Fixed>();
    }
}

mod growing {
    use fastalloc::Growing;

    #[test]
    fn over_aligned_types_are_aligned() {
        super::over_aligned_types_are_aligned::<Growing>();
    }

    #[test]
    fn sizes_of_all_kinds_are_kept_apart() {
        super::sizes_of_all_kinds_are_kept_apart::<Growing>();
    }
}

/// Fills a pool with default values, and checks where they are.
fn check<T: Poolable + Copy + PartialEq, A: Allocator + Default, K: Kind>(
    pool: &Pool<T, A, K>,
    alignment: usize,
    values: &[T],
) {
    let handles: Vec<_> = values.iter().map(|value| pool.allocate(*value).unwrap()).collect();
    let mut occupied: Vec<(usize, usize)> = Vec::new();
    for (at, (handle, value)) in handles.iter().zip(values).enumerate() {
        let address = (&raw const **handle).addr();
        assert_eq!((address % alignment, handle.index()), (0, at), "alignment {alignment}");
        assert!(**handle == *value);
        occupied.push((address, address + size_of::<T>().max(1)));
    }
    occupied.sort_unstable();
    assert!(occupied.is_sorted_by(|a, b| a.1 <= b.0), "slots overlap");
}

fn configured_alignments_are_honoured<A: Allocator + Default, K: Kind>() {
    for shift in 0..=20 {
        let count = if shift < 12 { 300 } else { 10 };
        fn attempt<T: Poolable + Copy + PartialEq, A: Allocator + Default, K: Kind>(alignment: usize, values: &[T]) {
            if alignment >= align_of::<T>() {
                check(&build::<T, A, K>(config(values.len()).alignment(alignment)), alignment, values);
            }
        }
        let alignment = 1 << shift;
        attempt::<(), A, K>(alignment, &vec![(); count]);
        attempt::<u8, A, K>(alignment, &vec![7; count]);
        attempt::<[u8; 3], A, K>(alignment, &vec![[1, 2, 3]; count]);
        attempt::<u64, A, K>(alignment, &vec![u64::MAX; count]);
        attempt::<[u64; 100], A, K>(alignment, &vec![[5; 100]; count]);
        attempt::<[u8; 20_001], A, K>(alignment, &vec![[5; 20_001]; 20]);
    }
}

macro_rules! aligned_types {
    ($($Name:ident: $align:literal),* $(,)?) => {
        $(
            #[derive(Clone, Copy, PartialEq)]
            #[repr(align($align))]
            struct $Name(u8);

            impl Poolable for $Name {}
        )*

        fn over_aligned_types_are_aligned<K: Kind>() {
            $(
                let values: Vec<_> = (0..40).map($Name).collect();
                check(&pool::<$Name, StackAllocator, K>(values.len()), $align, &values);
                if $align < 4096 {
                    check(&build::<$Name, StackAllocator, K>(config(values.len()).alignment(4096)), 4096, &values);
                }
            )*
        }
    };
}

aligned_types! {
    Align2: 2, Align16: 16, Align64: 64, Align128: 128, Align1024: 1024, Align4096: 4096, Align16384: 16384,
    Align32768: 32768, Align65536: 65536,
}

fn sizes_of_all_kinds_are_kept_apart<K: Kind>() {
    // A function for each, so that the stack has room for the values of one.
    fn attempt<const SIZE: usize, K: Kind>() {
        let count = if SIZE < 100 { 5_000 } else { 1_000_000 / SIZE + 3 };
        let count = if cfg!(miri) { count / 100 + 3 } else { count };
        let values: Vec<_> = (0..count).map(|at| [at as u8; SIZE]).collect();
        check(&pool::<[u8; SIZE], StackAllocator, K>(count), 1, &values);
    }
    macro_rules! attempt {
        ($($size:literal)*) => {
            $(attempt::<$size, K>();)*
        };
    }
    attempt!(0 1 2 3 5 7 9 12 17 24 33 63 65 100 127 129 1000 1023 4095 4097 16383 16385 40000 131071 131072 131073 200000);
}

fn zero_sized_values_have_handles_of_their_own<A: Allocator + Default, K: Kind>() {
    let pool = pool::<(), A, K>(1_000);
    let handles: Vec<_> = (0..1_000).map(|_| pool.allocate(()).unwrap()).collect();
    assert!(pool.is_full() && pool.try_allocate(()).is_none());
    let addresses: HashSet<_> = handles.iter().map(|handle| std::ptr::from_ref(&**handle)).collect();
    let indices: HashSet<_> = handles.iter().map(OwnedHandle::index).collect();
    assert_eq!((addresses.len(), indices.len()), (1_000, 1_000));
}

const LARGE: usize = 3 << 20;

/// As large as most stacks' half.
struct Large {
    start: u64,
    _bytes: [u8; LARGE],
    end: u64,
}

impl Poolable for Large {}

fn very_large_values_are_built_in_place<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Large, A, K>(3);
    let make = |number: u64| {
        pool.allocate_in_place(|slot| {
            let large = slot.as_mut_ptr();
            // SAFETY: zeros are valid for numbers, and the slot may be written to.
            unsafe { large.write_bytes(0, 1) };
            // SAFETY: it was initialized just now.
            let large = unsafe { slot.assume_init_mut() };
            (large.start, large.end) = (number, !number);
            large
        })
        .unwrap()
    };
    let handles = [make(0), make(1), make(2)];
    assert!(pool.is_full());
    for (number, handle) in handles.iter().enumerate() {
        assert_eq!((handle.start, handle.end, handle.index()), (number as u64, !(number as u64), number));
    }
    let [first, second, third] = handles;
    drop(second);
    assert_eq!((make(7).index(), first.start, third.end), (1, 0, !2));
}

fn grown_slots_are_aligned_too<A: Allocator + Default>() {
    for alignment in [1, 8, 64, 4096, 65_536, 1 << 20] {
        let strategy = GrowthStrategy::Linear { amount: 7 };
        let config = PoolConfig::builder().capacity(1).growth_strategy(strategy).alignment(alignment);
        let values: Vec<_> = (0..50_u8).map(|number| [number; 3]).collect();
        check(&build::<_, A, Growing>(config), alignment, &values);
    }
}
