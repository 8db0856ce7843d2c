//! The slot vacant for longest comes next.

use alloc::vec::Vec;
use core::{fmt, mem};

use super::{Allocator, CAPACITY_MAX, debug_assert_used, debug_fmt, grown, out_of_memory};
use crate::error::Result;

/// Hands out the index that has been vacant for longest: first freed, first reused.
///
/// A slot is left alone for as long as can be, which gives a stale index or reference to it the
/// most time to be noticed. The price is that the slot has likely left the cache.
///
/// Indices never used come in ascending order, and only when no freed one is left, so that no more
/// slots are touched than are needed.
///
/// # Complexity
///
/// `allocate` and `free` are *O*(1). A link takes 4 bytes for each index that has been in use; the
/// memory for all of them is reserved by `new` and `grow`, for up to twice as many after `grow`.
///
/// # Examples
///
/// ```
/// use fastalloc::{Allocator, FreeListAllocator};
///
/// let mut indices = FreeListAllocator::new(3)?;
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(0), Some(1)]);
/// indices.free(0);
/// indices.free(1);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(0), Some(1)]);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(2), None]);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct FreeListAllocator {
    /// For each index handed out at least once: `ALLOCATED`, or the index that became vacant next
    /// after it, or `END`.
    links: Vec<u32>,
    /// The index vacant for longest, or `END`.
    head: u32,
    /// The index freed last, if `head` is not `END`.
    tail: u32,
    /// How many indices are in the list.
    listed: usize,
    capacity: usize,
}

/// The link of an index that is not in the list.
const ALLOCATED: u32 = u32::MAX;
/// Ends the list.
const END: u32 = u32::MAX - 1;

const _: () = assert!(CAPACITY_MAX <= END as usize, "no index is taken for `END` or `ALLOCATED`");

impl FreeListAllocator {
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

// SAFETY: An index leaves `links.len()..capacity` once, when it is first returned. After that it
// can be returned only from the list, where `free` alone puts it and `allocate` takes it away.
// `None` means that both are used up. Nothing panics unless `free` is misused: `head` and `tail`
// are below `links.len()` as long as only allocated indices are freed.
#[expect(unsafe_code, reason = "`Allocator` is an unsafe trait")]
unsafe impl Allocator for FreeListAllocator {
    #[inline]
    fn allocate(&mut self) -> Option<usize> {
        if self.head == END {
            return self.allocate_unused();
        }
        let index = self.head as usize;
        self.head = mem::replace(&mut self.links[index], ALLOCATED);
        self.listed -= 1;
        Some(index)
    }

    #[inline]
    fn free(&mut self, index: usize) {
        debug_assert_used(index, self.links.len(), self.capacity);
        debug_assert!(self.links[index] == ALLOCATED, "double free of index {index}");
        self.links[index] = END;
        if self.head == END {
            self.head = index as u32;
        } else {
            self.links[self.tail as usize] = index as u32;
        }
        self.tail = index as u32;
        self.listed += 1;
    }

    fn put_back(&mut self, indices: impl DoubleEndedIterator<Item = usize>) {
        indices.for_each(|index| self.free(index));
    }

    fn grow(&mut self, additional: usize) -> Result<()> {
        let capacity = grown(self.capacity, additional)?;
        // Not exactly: the links have to be copied, which a pool that grows by a few slots at a time
        // would do at every step.
        self.links.try_reserve(capacity - self.links.len()).map_err(|_| out_of_memory::<u32>(capacity))?;
        self.capacity = capacity;
        Ok(())
    }

    #[inline]
    fn available(&self) -> usize {
        self.listed + (self.capacity - self.links.len())
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl FreeListAllocator {
    /// Out of line for the same reason as in `StackAllocator`.
    #[inline(never)]
    fn allocate_unused(&mut self) -> Option<usize> {
        let index = self.links.len();
        if index == self.capacity {
            return None;
        }
        self.links.push(ALLOCATED);
        Some(index)
    }
}

impl Default for FreeListAllocator {
    fn default() -> Self {
        Self { links: Vec::new(), head: END, tail: END, listed: 0, capacity: 0 }
    }
}

impl fmt::Debug for FreeListAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fmt("FreeListAllocator", self, f)
    }
}
