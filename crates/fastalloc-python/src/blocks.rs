//! Which memory is for which buffer? Blocks by size class, kept for the next time up to a budget. No Python.
//!
//! There are four classes for each doubling, so that at most a fifth of a block is not asked for, but for the smallest ones.
//!
//! The memory is from the system's allocator and not from a pool of `fastalloc`: those have slots of one size, which they
//! reserve and give back in chunks, and buffers have all sizes, and should go back to the system one by one. What is new is
//! zero, because that costs nothing: the system hands out large blocks as zero pages that it makes when they are touched.

use core::alloc::Layout;
use core::hint::black_box;
use core::ptr::NonNull;
use std::alloc::{alloc_zeroed, dealloc};

/// What addresses from the system's allocator are multiples of. A larger alignment has to be found inside a larger block:
/// if it is asked to align by more, the allocator of the standard library writes all the zeros itself.
const SYSTEM_ALIGNMENT: usize = 16;
/// The least size of a class.
const SMALLEST: usize = 64;
/// From this size on the system is asked for huge pages, with which it takes less time to write to new memory and to find
/// one's way in it. NumPy does so too.
#[cfg(target_os = "linux")]
const HUGE: usize = 4 << 20;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A power of two.
    pub alignment: usize,
    /// How much there may be, in use and idle. `usize::MAX`: without end.
    pub max_bytes: usize,
    /// How much of it may be idle.
    pub max_idle_bytes: usize,
    /// Buffers are zero when they are handed out, and nothing stays in what is idle.
    pub zero: bool,
}

/// Memory that is in use. It belongs to the `Blocks` that it was taken from, and has to be given back to them.
#[derive(Debug)]
pub struct Block {
    address: NonNull<u8>,
    len: usize,
    base: NonNull<u8>,
    class: Class,
}

impl Block {
    /// A multiple of the alignment. For `len` bytes it is valid, also if that is zero.
    pub fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Bytes that were asked for.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Why there is no memory.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Closed,
    /// It would never fit: its block has so many bytes.
    TooLarge(usize),
    /// It does not fit now: its block has so many bytes.
    Exhausted(usize),
    /// The system has none.
    NoMemory,
}

#[derive(Clone, Copy, Debug)]
struct Class {
    index: usize,
    size: usize,
}

#[derive(Debug, Default)]
struct List {
    idle: Vec<NonNull<u8>>,
    /// Of this class, in use and idle. `idle` has room for all of them, so that giving back cannot fail.
    blocks: usize,
}

/// What has happened, and what is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub allocations: u64,
    pub releases: u64,
    pub zeroed: u64,
    /// Blocks got from the system.
    pub made: u64,
    pub in_use: usize,
    pub idle: usize,
    pub bytes_in_use: usize,
    pub bytes_idle: usize,
    pub peak_in_use: usize,
    pub peak_blocks: usize,
    pub peak_bytes: usize,
}

#[derive(Debug)]
pub struct Blocks {
    settings: Settings,
    /// By class.
    lists: Vec<List>,
    counters: Counters,
    is_closed: bool,
}

impl Blocks {
    pub fn new(settings: Settings) -> Self {
        debug_assert!(settings.alignment.is_power_of_two());
        Self { settings, lists: Vec::new(), counters: Counters::default(), is_closed: false }
    }

    pub fn settings(&self) -> Settings {
        self.settings
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// A block of so many bytes, from what is idle or from the system.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<Block, Refusal> {
        if self.is_closed {
            return Err(Refusal::Closed);
        }
        let class = self.class(len);
        let base = match self.lists.get_mut(class.index).and_then(|list| list.idle.pop()) {
            Some(base) => {
                self.counters.idle -= 1;
                self.counters.bytes_idle -= class.size;
                base
            }
            None => self.make(class)?,
        };
        let counters = &mut self.counters;
        counters.allocations += 1;
        counters.in_use += 1;
        counters.bytes_in_use += class.size;
        counters.peak_in_use = counters.peak_in_use.max(counters.in_use);
        let mask = self.settings.alignment - 1;
        let address = base.as_ptr().map_addr(|address| (address + mask) & !mask);
        // SAFETY: not before `base`, and in the same block.
        let address = unsafe { NonNull::new_unchecked(address) };
        Ok(Block { address, len, base, class })
    }

    /// Takes a block back that was taken from here.
    #[inline]
    pub fn give_back(&mut self, block: Block) {
        let Block { address, len, base, class } = block;
        if self.settings.zero && len > 0 {
            // SAFETY: the block has so many bytes, and nobody uses them any more.
            unsafe { address.write_bytes(0, len) };
            // Or else the compiler would see that nobody reads memory that goes back to the system.
            black_box(address);
            self.counters.zeroed += 1;
        }
        let counters = &mut self.counters;
        counters.releases += 1;
        counters.in_use -= 1;
        counters.bytes_in_use -= class.size;
        if self.is_closed || class.size > self.settings.max_idle_bytes.saturating_sub(counters.bytes_idle) {
            self.unmake(base, class);
            return;
        }
        counters.idle += 1;
        counters.bytes_idle += class.size;
        self.lists[class.index].idle.push(base);
    }

    /// Gives all idle memory back to the system, and returns how many bytes that were.
    pub fn trim(&mut self) -> usize {
        let before = self.counters.bytes_idle;
        self.shrink_idle(0);
        before
    }

    /// Hands out nothing any more, and keeps nothing.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.trim();
    }

    #[inline]
    fn class(&self, len: usize) -> Class {
        let smallest = self.settings.alignment.max(SMALLEST).ilog2();
        let last = len.saturating_sub(1);
        // The distance of classes is a quarter of the power of two below them, or the smallest class.
        let shift = (last | 1).ilog2().saturating_sub(2).max(smallest);
        let step = last >> shift;
        // Only for lengths that no memory can have, the size would be too large for a number.
        let size = (step + 1).saturating_mul(1 << shift);
        Class { index: (shift - smallest) as usize * 4 + step, size }
    }

    /// Before the first address that is aligned there may be some bytes more.
    fn layout(&self, class: Class) -> Option<Layout> {
        let size = class.size.checked_add(self.settings.alignment.saturating_sub(SYSTEM_ALIGNMENT))?;
        Layout::from_size_align(size, SYSTEM_ALIGNMENT).ok()
    }

    #[cold]
    fn make(&mut self, class: Class) -> Result<NonNull<u8>, Refusal> {
        let max = self.settings.max_bytes;
        if class.size > max {
            return Err(Refusal::TooLarge(class.size));
        }
        if class.size > max - self.counters.bytes_in_use {
            return Err(Refusal::Exhausted(class.size));
        }
        let layout = self.layout(class).ok_or(Refusal::NoMemory)?;
        self.reserve_list(class)?;
        self.shrink_idle(max - self.counters.bytes_in_use - class.size);
        let mut memory = Self::allocate(layout);
        if memory.is_none() && self.trim() > 0 {
            memory = Self::allocate(layout);
        }
        let memory = memory.ok_or(Refusal::NoMemory)?;
        self.lists[class.index].blocks += 1;
        let counters = &mut self.counters;
        counters.made += 1;
        counters.peak_blocks = counters.peak_blocks.max(counters.in_use + counters.idle + 1);
        counters.peak_bytes = counters.peak_bytes.max(counters.bytes_in_use + counters.bytes_idle + class.size);
        Ok(memory)
    }

    fn allocate(layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: classes have at least 64 bytes.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        #[cfg(target_os = "linux")]
        if layout.size() >= HUGE {
            advise_huge_pages(memory, layout.size());
        }
        Some(memory)
    }

    /// Room for one more block.
    fn reserve_list(&mut self, class: Class) -> Result<(), Refusal> {
        if self.lists.len() <= class.index {
            self.lists.try_reserve(class.index + 1 - self.lists.len()).map_err(|_| Refusal::NoMemory)?;
            self.lists.resize_with(class.index + 1, List::default);
        }
        let list = &mut self.lists[class.index];
        list.idle.try_reserve(list.blocks + 1 - list.idle.len()).map_err(|_| Refusal::NoMemory)
    }

    /// Gives idle blocks back to the system, the largest first, until no more than so many bytes are left.
    fn shrink_idle(&mut self, bytes: usize) {
        let smallest = self.settings.alignment.max(SMALLEST).ilog2();
        for index in (0..self.lists.len()).rev() {
            // The inverse of `class`.
            let (shift, step) = if index < 4 { (0, index) } else { (index / 4 - 1, index % 4 + 4) };
            let class = Class { index, size: (step + 1) << (shift as u32 + smallest) };
            while self.counters.bytes_idle > bytes {
                let Some(base) = self.lists[index].idle.pop() else { break };
                self.counters.idle -= 1;
                self.counters.bytes_idle -= class.size;
                self.unmake(base, class);
            }
        }
    }

    #[cold]
    fn unmake(&mut self, base: NonNull<u8>, class: Class) {
        self.lists[class.index].blocks -= 1;
        if let Some(layout) = self.layout(class) {
            // SAFETY: the block was made with this layout, and nobody uses it any more.
            unsafe { dealloc(base.as_ptr(), layout) };
        }
    }
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(memory: NonNull<u8>, size: usize) {
    const PAGE: usize = 4096;
    let before_page = memory.addr().get().next_multiple_of(PAGE) - memory.addr().get();
    let pages = (size - before_page) / PAGE * PAGE;
    // SAFETY: less than the size, so in the block.
    let start = unsafe { memory.add(before_page) };
    // SAFETY: whole pages of the block. The advice changes nothing in them, and need not be taken.
    unsafe { libc::madvise(start.as_ptr().cast(), pages, libc::MADV_HUGEPAGE) };
}

impl Drop for Blocks {
    fn drop(&mut self) {
        debug_assert_eq!(self.counters.in_use, 0, "whoever has a block has its Blocks too");
        self.trim();
    }
}
