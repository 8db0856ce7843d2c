//! Which slot next: the policies a pool can be built with.

#![deny(unsafe_code)]

mod bitmap;
mod free_list;
mod stack;

use alloc::vec::Vec;
use core::fmt;

pub use self::{bitmap::BitmapAllocator, free_list::FreeListAllocator, stack::StackAllocator};
use crate::error::{Error, Result};

/// Decides which vacant slot of a pool is handed out next.
///
/// An allocator deals in indices alone: integers in, integers out. It never sees a slot, so a slot
/// that is vacant is not written to. [`StackAllocator`], [`FreeListAllocator`] and
/// [`BitmapAllocator`] are the ones that come with the crate.
///
/// Whoever calls [`free`](Self::free) passes only indices that are allocated. Another index makes
/// later answers of the allocator unspecified (the same index twice, a wrong count, a panic), but
/// does no harm to the allocator's own memory. The allocators of this crate catch it by a debug
/// assertion.
///
/// # Safety
///
/// Pools build references from the indices they are given. As long as only allocated indices are
/// freed, an implementation must
///
/// * return only indices below its [capacity](Self::capacity), which changes in
///   [`grow`](Self::grow) and nowhere else,
/// * never return an index again before that index has been freed,
/// * add exactly `additional` indices in `grow`, or none and return an error,
/// * make every index vacant that `free` and `put_back` are given,
/// * find every vacant index: `allocate` returns `None` only if [`available`](Self::available) is
///   0, and
/// * neither unwind nor use a pool, in any of its methods.
///
/// # Examples
///
/// ```
/// use fastalloc::{Allocator, StackAllocator};
///
/// let mut indices = StackAllocator::new(2)?;
/// assert_eq!(indices.allocate(), Some(0));
/// assert_eq!(indices.allocate(), Some(1));
/// assert_eq!(indices.allocate(), None);
///
/// indices.free(0);
/// assert_eq!(indices.allocate(), Some(0));
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[expect(unsafe_code, reason = "pools rely on what an implementation answers")]
pub unsafe trait Allocator: Sized + 'static {
    /// Whether a pool may keep the index released last to itself and hand it out next without
    /// asking the allocator.
    ///
    /// This "hot slot" is what makes releasing and allocating in turn quick. The allocator takes
    /// the index for allocated all the while, so its order is kept up to that one index. Leave
    /// it `false` if the order is the point.
    const HOT_SLOT: bool = false;

    /// Returns a vacant index, which is allocated from now on, or `None` if all are.
    #[must_use = "the index stays allocated until it is freed"]
    fn allocate(&mut self) -> Option<usize>;

    /// Makes an allocated index vacant.
    ///
    /// # Panics
    ///
    /// May panic if `index` is not allocated. The allocators of this crate do in debug builds.
    fn free(&mut self, index: usize);

    /// Adds `additional` vacant indices, which follow those there are.
    ///
    /// # Errors
    ///
    /// Returns [`Error::OutOfMemory`] if the memory cannot be had, or if the allocator cannot count
    /// so far; it is unchanged then.
    fn grow(&mut self, additional: usize) -> Result<()>;

    /// Makes indices vacant that [`allocate`](Self::allocate) returned in this order, in such a way that
    /// it will return them in this order again.
    ///
    /// Pools look through the vacant indices in this way. The default is right for a stack, and for
    /// whoever does not care: it frees the last one first.
    fn put_back(&mut self, indices: impl DoubleEndedIterator<Item = usize>) {
        indices.rev().for_each(|index| self.free(index));
    }

    /// An index that [`allocate`](Self::allocate) will probably return in a few calls, if it is easily
    /// known: large pools then have its slot brought to the cache.
    #[must_use]
    fn upcoming(&self) -> Option<usize> {
        None
    }

    /// The number of vacant indices.
    #[must_use]
    fn available(&self) -> usize;

    /// The number of indices, vacant or allocated.
    #[must_use]
    fn capacity(&self) -> usize;

    /// Whether all indices are allocated.
    #[must_use]
    fn is_full(&self) -> bool {
        self.available() == 0
    }

    /// Whether all indices are vacant.
    #[must_use]
    fn is_empty(&self) -> bool {
        self.available() == self.capacity()
    }
}

/// Indices are kept as `u32`, of which [`FreeListAllocator`] needs two values for itself.
const CAPACITY_MAX: usize = u32::MAX as usize - 1;

/// The capacity after `additional` indices have been added to `capacity`.
fn grown(capacity: usize, additional: usize) -> Result<usize> {
    let grown = capacity.saturating_add(additional);
    if grown > CAPACITY_MAX {
        return Err(out_of_memory::<u32>(grown));
    }
    Ok(grown)
}

/// Makes room for `len` elements in all.
fn reserve<T>(vec: &mut Vec<T>, len: usize) -> Result<()> {
    vec.try_reserve_exact(len - vec.len()).map_err(|_| out_of_memory::<T>(len))
}

#[cold]
fn out_of_memory<T>(len: usize) -> Error {
    Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) }
}

/// Asserts that `index` has been handed out before, in debug builds. Whether it is allocated now is
/// for the caller to find out.
#[inline]
fn debug_assert_used(index: usize, used: usize, capacity: usize) {
    debug_assert!(index < capacity, "index {index} is out of range for capacity {capacity}");
    debug_assert!(index < used, "free of index {index}, which was never allocated");
}

fn debug_fmt(name: &str, allocator: &impl Allocator, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter
        .debug_struct(name)
        .field("capacity", &allocator.capacity())
        .field("available", &allocator.available())
        .finish_non_exhaustive()
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    /// A program of random operations, which is the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 32) as usize % bound
        }
    }

    fn filled<A: Allocator + Default>(capacity: usize) -> A {
        let mut allocator = A::default();
        allocator.grow(capacity).unwrap();
        for index in 0..capacity {
            assert_eq!(allocator.allocate(), Some(index));
        }
        allocator
    }

    /// Runs a random program against a list of the freed indices, oldest first. `next` says which
    /// of them is handed out next.
    fn agrees_with_a_list<A: Allocator + Default>(seed: u64, next: fn(&[usize]) -> usize) {
        let mut random = Random(seed);
        let mut capacity = 50;
        let mut allocator = A::default();
        allocator.grow(capacity).unwrap();
        let (mut used, mut freed, mut allocated) = (0, vec![], vec![]);
        // Leaning towards `allocate` and towards `free` in turn, it often gets to the ends.
        for step in 0..if cfg!(miri) { 500 } else { 100_000 } {
            let lean = if step / 1_000 % 2 == 0 { 6 } else { 4 };
            if random.below(500) == 0 {
                let additional = random.below(90);
                allocator.grow(additional).unwrap();
                capacity += additional;
            } else if random.below(10) < lean {
                let expected = if !freed.is_empty() {
                    Some(freed.remove(next(&freed)))
                } else if used < capacity {
                    used += 1;
                    Some(used - 1)
                } else {
                    None
                };
                assert_eq!(allocator.allocate(), expected);
                allocated.extend(expected);
            } else if !allocated.is_empty() {
                let index = allocated.swap_remove(random.below(allocated.len()));
                allocator.free(index);
                freed.push(index);
            }
            assert_eq!(allocator.capacity(), capacity);
            assert_eq!(allocator.available(), capacity - allocated.len());
            assert_eq!(allocator.is_full(), allocated.len() == capacity);
            assert_eq!(allocator.is_empty(), allocated.is_empty());
        }
        assert!(used > 64 || cfg!(miri));
    }

    macro_rules! every_allocator {
        ($($name:ident: $Allocator:ty, next: $next:expr;)*) => {$(
            mod $name {
                use super::*;

                type Indices = $Allocator;

                #[test]
                fn hands_out_each_index_once_and_then_none() {
                    for capacity in [0, 1, 63, 64, 65, 1_000, 4_096, 4_097] {
                        let mut indices: Indices = filled(capacity);
                        assert_eq!(indices.allocate(), None);
                        assert!(indices.is_full());
                        assert_eq!(indices.capacity(), capacity);

                        (0..capacity).for_each(|index| indices.free(index));
                        assert!(indices.is_empty());
                        let mut seen = vec![false; capacity];
                        while let Some(index) = indices.allocate() {
                            assert!(!core::mem::replace(&mut seen[index], true));
                        }
                        assert!(seen.iter().all(|&seen| seen));
                    }
                }

                #[test]
                fn freed_index_comes_back() {
                    for index in [0, 63, 64, 99] {
                        let mut indices: Indices = filled(100);
                        indices.free(index);
                        assert_eq!(indices.available(), 1);
                        assert_eq!(indices.allocate(), Some(index));
                        assert_eq!(indices.allocate(), None);
                    }
                }

                #[test]
                fn freed_indices_come_before_unused_ones() {
                    let mut indices = Indices::new(100).unwrap();
                    assert_eq!(indices.allocate(), Some(0));
                    indices.free(0);
                    assert_eq!(indices.allocate(), Some(0));
                    assert_eq!(indices.allocate(), Some(1));
                }

                #[test]
                fn agrees_with_a_list() {
                    for seed in 1..=3 {
                        super::agrees_with_a_list::<Indices>(seed, $next);
                    }
                }

                #[test]
                fn grows_from_nothing() {
                    let mut indices = Indices::new(0).unwrap();
                    assert!(indices.is_empty() && indices.is_full());
                    indices.grow(0).unwrap();
                    assert_eq!(indices.allocate(), None);
                    indices.grow(2).unwrap();
                    assert_eq!(indices.allocate(), Some(0));
                    assert_eq!(indices.allocate(), Some(1));
                    assert_eq!(indices.allocate(), None);
                }

                #[test]
                fn grows_while_indices_are_vacant() {
                    let mut indices: Indices = filled(64);
                    indices.free(7);
                    indices.grow(5_000).unwrap();
                    assert_eq!((indices.capacity(), indices.available()), (5_064, 5_001));
                    assert_eq!(indices.allocate(), Some(7));
                    for index in 64..5_064 {
                        assert_eq!(indices.allocate(), Some(index));
                    }
                    assert_eq!(indices.allocate(), None);
                }

                #[test]
                fn absurd_capacity_is_out_of_memory() {
                    let bytes = usize::MAX;
                    assert_eq!(Indices::new(bytes).unwrap_err(), Error::OutOfMemory { bytes });
                    assert!(Indices::new(CAPACITY_MAX + 1).is_err());
                }

                #[test]
                fn failed_grow_changes_nothing() {
                    let mut indices: Indices = filled(100);
                    indices.free(50);
                    for additional in [usize::MAX, usize::MAX - 100, CAPACITY_MAX - 99] {
                        assert!(matches!(indices.grow(additional), Err(Error::OutOfMemory { .. })));
                    }
                    assert_eq!((indices.capacity(), indices.available()), (100, 1));
                    assert_eq!(indices.allocate(), Some(50));
                    assert_eq!(indices.allocate(), None);
                }

                #[test]
                fn prints_its_counts_and_not_its_indices() {
                    let mut indices: Indices = filled(1_000);
                    indices.free(3);
                    let printed = format!("{indices:?}");
                    assert!(printed.contains("Allocator { capacity: 1000, available: 1, .. }"), "{printed}");
                }

                #[test]
                #[cfg(debug_assertions)]
                #[should_panic(expected = "double free of index 7")]
                fn double_free_is_caught() {
                    let mut indices: Indices = filled(10);
                    indices.free(6);
                    indices.free(7);
                    indices.free(7);
                }

                #[test]
                #[cfg(debug_assertions)]
                #[should_panic(expected = "index 12 is out of range for capacity 10")]
                fn index_out_of_range_is_caught() {
                    filled::<Indices>(10).free(12);
                }

                #[test]
                #[cfg(debug_assertions)]
                #[should_panic(expected = "free of index 3, which was never allocated")]
                fn index_never_allocated_is_caught() {
                    let mut indices = Indices::new(10).unwrap();
                    assert_eq!(indices.allocate(), Some(0));
                    indices.free(3);
                }
            }
        )*};
    }

    every_allocator! {
        stack: StackAllocator, next: |freed| freed.len() - 1;
        free_list: FreeListAllocator, next: |_| 0;
        bitmap: BitmapAllocator, next: |freed| (0..freed.len()).min_by_key(|&at| freed[at]).unwrap();
    }

    #[test]
    fn capacity_has_a_limit() {
        assert_eq!(grown(CAPACITY_MAX - 1, 1), Ok(CAPACITY_MAX));
        let bytes = (CAPACITY_MAX + 1).saturating_mul(4);
        assert_eq!(grown(CAPACITY_MAX, 1), Err(Error::OutOfMemory { bytes }));
    }

    #[test]
    fn large_bitmap_finds_the_only_vacant_index() {
        let capacity = if cfg!(miri) { 10_000 } else { 1_000_000 };
        let mut indices: BitmapAllocator = filled(capacity);
        for index in [0, capacity - 1, capacity / 2, 4_095, 4_096] {
            indices.free(index);
            assert_eq!(indices.allocate(), Some(index));
            assert_eq!(indices.allocate(), None);
        }
    }

    #[test]
    fn large_bitmap_hands_out_the_lowest_of_many() {
        let capacity = if cfg!(miri) { 10_000 } else { 1_000_000 };
        let mut indices: BitmapAllocator = filled(capacity);
        for step in [997, 64, 5_000] {
            (0..capacity).step_by(step).rev().for_each(|index| indices.free(index));
            for index in (0..capacity).step_by(step) {
                assert_eq!(indices.allocate(), Some(index));
            }
            assert!(indices.is_full());
        }
    }
}
