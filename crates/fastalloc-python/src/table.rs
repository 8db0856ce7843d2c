//! Where is the object at this address? A hash table of slot indices, with open addressing.
//!
//! The addresses themselves are in the slots: an entry takes four bytes.

use fastalloc::{Error, Result};

const NONE: u32 = u32::MAX;

/// A set of indices, found by the addresses that belong to them. No two have the same address.
#[derive(Debug, Default)]
pub struct Table {
    /// Its length is a power of two, or zero.
    entries: Vec<u32>,
    len: usize,
}

impl Table {
    /// Makes room for one more index; `address_of` says what address an index has.
    pub fn reserve(&mut self, address_of: impl Fn(u32) -> usize) -> Result<()> {
        if (self.len + 1) * 4 <= self.entries.len() * 3 {
            return Ok(());
        }
        let length = (self.entries.len() * 2).max(8);
        let mut entries = Vec::new();
        entries.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { bytes: length * size_of::<u32>() })?;
        entries.resize(length, NONE);
        let before = core::mem::replace(&mut self.entries, entries);
        self.len = 0;
        for index in before.into_iter().filter(|&index| index != NONE) {
            self.insert(index, address_of(index));
        }
        Ok(())
    }

    /// Adds an index. There is room for it, and no other has its address.
    pub fn insert(&mut self, index: u32, address: usize) {
        let mut position = self.home(address);
        while self.entries[position] != NONE {
            position = self.after(position);
        }
        self.entries[position] = index;
        self.len += 1;
    }

    /// The index with this address.
    #[inline]
    pub fn find(&self, address: usize, address_of: impl Fn(u32) -> usize) -> Option<u32> {
        self.position(address, address_of).map(|position| self.entries[position])
    }

    /// Takes the index with this address out.
    pub fn remove(&mut self, address: usize, address_of: impl Fn(u32) -> usize) -> Option<u32> {
        let mut hole = self.position(address, &address_of)?;
        let removed = self.entries[hole];
        let mut position = hole;
        // Who lies behind the hole moves into it, unless that would be before the place where searches for it begin.
        loop {
            position = self.after(position);
            let index = self.entries[position];
            if index == NONE {
                break;
            }
            let mask = self.entries.len() - 1;
            let from_home = position.wrapping_sub(self.home(address_of(index))) & mask;
            let from_hole = position.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.entries[hole] = index;
                hole = position;
            }
        }
        self.entries[hole] = NONE;
        self.len -= 1;
        Some(removed)
    }

    pub fn bytes(&self) -> usize {
        self.entries.len() * size_of::<u32>()
    }

    #[inline]
    fn position(&self, address: usize, address_of: impl Fn(u32) -> usize) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let mut position = self.home(address);
        // There is always an entry that is empty.
        loop {
            let index = self.entries[position];
            if index == NONE {
                return None;
            }
            if address_of(index) == address {
                return Some(position);
            }
            position = self.after(position);
        }
    }

    /// Fibonacci hashing: the high bits of the product depend on all bits of the address.
    #[inline]
    fn home(&self, address: usize) -> usize {
        let product = (address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (product >> 32) as usize & (self.entries.len() - 1)
    }

    #[inline]
    fn after(&self, position: usize) -> usize {
        (position + 1) & (self.entries.len() - 1)
    }
}
