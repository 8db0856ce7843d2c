//! The vacant slot with the lowest index comes next.

use alloc::vec::Vec;
use core::{fmt, mem};

use super::{Allocator, debug_assert_used, debug_fmt, grown, reserve};
use crate::error::Result;

/// Hands out the lowest vacant index, which keeps what is allocated close together and leaves the
/// end of a pool vacant.
///
/// A pool keeps the index released last for the next allocation
/// ([`HOT_SLOT`](Allocator::HOT_SLOT)), lowest or not.
///
/// # Complexity
///
/// `allocate` and `free` are *O*(log₆₄ *n*) for *n* indices used so far: three steps up to 262,144.
/// The bits take 0.127 bytes per slot, and memory for them is reserved by `new` and `grow`, but
/// touched only as slots are first used.
///
/// # Examples
///
/// ```
/// use fastalloc::{Allocator, BitmapAllocator};
///
/// let mut indices = BitmapAllocator::new(3)?;
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(0), Some(1)]);
/// indices.free(1);
/// indices.free(0);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(0), Some(1)]);
/// assert_eq!([indices.allocate(), indices.allocate()], [Some(2), None]);
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Default)]
pub struct BitmapAllocator {
    /// A bit per index used so far, set if the index is vacant.
    words: Vec<u64>,
    /// The word to allocate from. If it is not 0, it is the lowest such word.
    open: usize,
    /// Which words are not 0, the open one aside: all of them are above it. The first level has a
    /// bit per word, and each further level a bit per word of the level before, set if that is not 0.
    levels: [Vec<u64>; LEVELS_MAX],
    /// How many levels are in use. The last of them is a single word.
    height: usize,
    /// How many bits are set in `words`.
    vacant: usize,
    /// How many indices have been handed out at least once: those below.
    used: usize,
    capacity: usize,
}

/// Each level has a 64th of the length of the one before: five above the words reach beyond 2³²
/// indices.
const LEVELS_MAX: usize = 5;

impl BitmapAllocator {
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
// returned only if its bit is set, which `free` alone does, and `allocate` clears it. `None` means
// that `used == capacity` and no bit is set. Nothing panics unless `free` is misused: a bit of a
// level is set only if the word it stands for exists and is not 0.
#[expect(unsafe_code, reason = "`Allocator` is an unsafe trait")]
unsafe impl Allocator for BitmapAllocator {
    const HOT_SLOT: bool = true;

    /// Out of line, so that what takes the hot slot of a pool is inlined.
    #[inline(never)]
    fn allocate(&mut self) -> Option<usize> {
        if self.vacant == 0 {
            return self.allocate_unused();
        }
        if self.words[self.open] == 0 {
            self.open = self.take_lowest();
        }
        let word = &mut self.words[self.open];
        let bit = word.trailing_zeros() as usize;
        *word &= *word - 1;
        self.vacant -= 1;
        Some(self.open * 64 + bit)
    }

    #[inline]
    fn free(&mut self, index: usize) {
        debug_assert_used(index, self.used, self.capacity);
        let (position, bit) = (index / 64, 1 << (index % 64));
        let before = self.words[position];
        debug_assert!(before & bit == 0, "double free of index {index}");
        self.words[position] = before | bit;
        if before == 0 && position != self.open {
            if self.vacant == 0 {
                self.open = position;
            } else {
                self.add(position);
            }
        }
        self.vacant += 1;
    }

    fn grow(&mut self, additional: usize) -> Result<()> {
        let capacity = grown(self.capacity, additional)?;
        let mut len = capacity.div_ceil(64);
        reserve(&mut self.words, len)?;
        for level in &mut self.levels {
            if len <= 1 {
                break;
            }
            len = len.div_ceil(64);
            reserve(level, len)?;
        }
        self.capacity = capacity;
        Ok(())
    }

    #[inline]
    fn available(&self) -> usize {
        self.vacant + (self.capacity - self.used)
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl BitmapAllocator {
    /// Out of line for the same reason as in `StackAllocator`.
    #[inline(never)]
    fn allocate_unused(&mut self) -> Option<usize> {
        let index = self.used;
        if index == self.capacity {
            return None;
        }
        if index % 64 == 0 {
            self.push_word();
        }
        self.used += 1;
        Some(index)
    }

    /// Called when no index is vacant: a level that comes into being above all others has no word
    /// to tell of.
    fn push_word(&mut self) {
        let mut position = self.words.len();
        self.words.push(0);
        for level in &mut self.levels {
            if position == 0 {
                break;
            }
            position /= 64;
            if position < level.len() {
                break;
            }
            self.height += usize::from(level.is_empty());
            level.push(0);
        }
    }

    /// Notes that the word at `position`, which is not the open one, is no longer 0, while others are not 0 either.
    /// Out of line, as `take_lowest` is: inlined, they slow down the calls that need neither.
    #[inline(never)]
    fn add(&mut self, mut position: usize) {
        if position < self.open {
            // The open word was the lowest until now, or is used up.
            mem::swap(&mut self.open, &mut position);
            if self.words[position] == 0 {
                return;
            }
        }
        for level in &mut self.levels[..self.height] {
            let word = &mut level[position / 64];
            let before = *word;
            *word |= 1 << (position % 64);
            if before != 0 {
                break;
            }
            position /= 64;
        }
    }

    /// Removes the lowest word from the levels and returns its position.
    #[inline(never)]
    fn take_lowest(&mut self) -> usize {
        let levels = &mut self.levels[..self.height];
        let lowest =
            levels.iter().rev().fold(0, |position, level| position * 64 + level[position].trailing_zeros() as usize);
        let mut position = lowest;
        for level in levels {
            position /= 64;
            let word = &mut level[position];
            // The bit is the lowest one set, at every level.
            *word &= *word - 1;
            if *word != 0 {
                break;
            }
        }
        lowest
    }
}

impl fmt::Debug for BitmapAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fmt("BitmapAllocator", self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn lowest_vacant_index_comes_first() {
        let mut allocator = BitmapAllocator::new(5_000).unwrap();
        let mut vacant: BTreeSet<_> = (0..5_000).collect();
        let mut occupied = Vec::new();
        let mut random = 1_usize;
        for step in 0..50_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1);
            // Long ways up and down.
            let up = step / 7_000 % 2 == 0;
            if (random >> 20) % 8 < if up { 6 } else { 2 } {
                let index = allocator.allocate();
                assert_eq!(index, vacant.pop_first());
                occupied.extend(index);
            } else if !occupied.is_empty() {
                let index = occupied.swap_remove((random >> 8) % occupied.len());
                allocator.free(index);
                vacant.insert(index);
            }
            if step == 20_000 {
                allocator.grow(5_000).unwrap();
                vacant.extend(5_000..10_000);
            }
        }
    }

    #[test]
    fn bits_are_reserved_but_untouched() {
        let mut allocator = BitmapAllocator::new(300_000).unwrap();
        allocator.grow(700_000).unwrap();
        let levels = || allocator.levels.iter().chain([&allocator.words]);
        assert_eq!(levels().map(Vec::len).sum::<usize>(), 0);
        assert!(levels().map(Vec::capacity).sum::<usize>() * 8 <= 127_100);
    }
}
