//! The slot released last comes next.

use alloc::vec::Vec;
use core::fmt;
use core::hint::assert_unchecked;

use super::{Allocator, debug_fmt, grown, reserve};
#[cfg(debug_assertions)]
use crate::bits::Bits;
use crate::error::Result;

/// Hands out the index that was freed last, whose slot is the likeliest to be in the cache.
///
/// Indices never used come in ascending order, and only when no freed one is left.
///
/// # Complexity
///
/// `allocate` and `free` are *O*(1): one comparison and one access to an array. That array takes 4
/// bytes per slot, which are reserved by `new` and `grow` but touched only as far as the number of
/// freed indices ever gets.
///
/// # Examples
///
/// ```
/// use fastalloc::{Allocator, StackAllocator};
///
/// let mut indices = StackAllocator::new(3)?;
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(0), Some(1)]);
/// indices.free(0);
/// indices.free(1);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(1), Some(0)]);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(2), None]);
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Default)]
pub struct StackAllocator {
    /// The freed indices, the last one on top. Has room for all indices.
    vacant: Vec<u32>,
    /// How many indices have been handed out at least once: those below.
    used: usize,
    capacity: usize,
    /// What `free` may be called with.
    #[cfg(debug_assertions)]
    allocated: Bits,
}

/// How far ahead [`StackAllocator::upcoming`] looks.
const AHEAD: usize = 8;

impl StackAllocator {
    /// Makes an allocator whose indices `0..capacity` are all vacant.
    ///
    /// Memory for its bookkeeping is reserved, not touched.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if that memory cannot be had, or `capacity` is
    /// beyond 2^32 - 2.
    pub fn new(capacity: usize) -> Result<Self> {
        let mut allocator = Self::default();
        allocator.grow(capacity)?;
        Ok(allocator)
    }
}

// SAFETY: An index leaves `used..capacity` once, when it is first returned. After that it can be
// returned only from `vacant`, where `free` alone puts it and `allocate` takes it away. `None`
// means that both are used up. Nothing panics unless `free` is misused.
#[expect(unsafe_code, reason = "`Allocator` is an unsafe trait")]
unsafe impl Allocator for StackAllocator {
    const HOT_SLOT: bool = true;

    #[inline]
    fn allocate(&mut self) -> Option<usize> {
        let index = match self.vacant.pop() {
            Some(index) => index as usize,
            None => self.allocate_unused()?,
        };
        #[cfg(debug_assertions)]
        self.allocated.insert(index);
        Some(index)
    }

    #[inline]
    fn free(&mut self, index: usize) {
        #[cfg(debug_assertions)]
        {
            super::debug_assert_used(index, self.used, self.capacity);
            assert!(self.allocated.remove(index), "double free of index {index}");
        }
        // Always true, as there is room for all indices. It is written down because the compiler
        // then leaves out the code that reallocates.
        if self.vacant.len() < self.vacant.capacity() {
            self.vacant.push(index as u32);
        }
    }

    fn grow(&mut self, additional: usize) -> Result<()> {
        let capacity = grown(self.capacity, additional)?;
        #[cfg(debug_assertions)]
        self.allocated.reserve(capacity)?;
        if self.vacant.is_empty() {
            // The usual case, since pools grow when they are full: there is nothing to copy.
            let mut vacant = Vec::new();
            reserve(&mut vacant, capacity)?;
            self.vacant = vacant;
        } else {
            reserve(&mut self.vacant, capacity)?;
        }
        self.capacity = capacity;
        Ok(())
    }

    #[inline]
    fn upcoming(&self) -> Option<usize> {
        let index = self.vacant.get(self.vacant.len().wrapping_sub(AHEAD))?;
        Some(*index as usize)
    }

    #[inline]
    fn available(&self) -> usize {
        self.vacant.len() + (self.capacity - self.used)
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl StackAllocator {
    /// The same as `free`, without looking whether there is room.
    ///
    /// # Safety
    ///
    /// `index` is allocated, and only allocated indices have been freed.
    #[inline]
    #[expect(unsafe_code, reason = "drains a pool in a tenth less time")]
    pub(crate) unsafe fn free_unchecked(&mut self, index: usize) {
        // SAFETY: there is room for all indices, and this one is not among the vacant ones.
        unsafe { assert_unchecked(self.vacant.len() < self.vacant.capacity()) };
        self.free(index);
    }

    /// Returns an index that was never allocated.
    ///
    /// Out of line, which keeps callers of `allocate` small, but not cold: this is how a pool is first filled.
    #[inline(never)]
    pub(crate) fn allocate_unused(&mut self) -> Option<usize> {
        if self.used == self.capacity {
            return None;
        }
        #[cfg(debug_assertions)]
        self.allocated.insert(self.used);
        self.used += 1;
        Some(self.used - 1)
    }
}

impl fmt::Debug for StackAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fmt("StackAllocator", self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_per_slot_are_reserved() {
        let mut full = StackAllocator::new(0).unwrap();
        let mut half_full = StackAllocator::new(1_000).unwrap();
        while half_full.allocate().is_some() {}
        (0..500).for_each(|index| half_full.free(index));
        for allocator in [&mut full, &mut half_full] {
            allocator.grow(1_500 - allocator.capacity).unwrap();
            assert_eq!(allocator.vacant.capacity(), 1_500);
        }
    }
}
