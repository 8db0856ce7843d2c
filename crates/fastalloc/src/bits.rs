//! A growable set of indices, one bit each.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// The set; indices beyond its length are not in it.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Makes room for the indices below `len`.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<()> {
        let words = len.div_ceil(64);
        if words > self.words.len() {
            let out_of_memory = |_| Error::OutOfMemory { bytes: words.saturating_mul(8) };
            self.words.try_reserve(words - self.words.len()).map_err(out_of_memory)?;
            self.words.resize(words, 0);
        }
        Ok(())
    }

    /// Whether there is no room for any index.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Adds an index that [`reserve`](Self::reserve) has made room for.
    pub(crate) fn insert(&mut self, index: usize) {
        self.words[index / 64] |= 1 << (index % 64);
    }

    /// Whether the index was in the set.
    pub(crate) fn remove(&mut self, index: usize) -> bool {
        let contained = self.contains(index);
        if contained {
            self.words[index / 64] &= !(1 << (index % 64));
        }
        contained
    }
}
