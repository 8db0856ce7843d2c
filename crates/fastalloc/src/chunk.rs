//! Where a slot is: chunks of slots that never move.
//!
//! A *chunk* starts with a [`Header`] at an address that is a multiple of [`alignment`], which is
//! known from the type of the objects alone, so the header is found from an object's address by a mask.
//! A *region* is one block of memory from the global allocator, with one or more chunks side by side:
//! the unit in which a pool gets memory and gives it back. This is the only module that does either.
//!
//! ```text
//! region ┬ chunk 0: header, slot 0, slot 1, … slot n-1
//!        ├ chunk 1: header, slot n, …
//!        └ …
//! ```

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::Cell;
use core::mem;
use core::ops::Range;
use core::ptr::{self, NonNull};

use crate::error::{Error, Result};
use crate::raw::Head;

/// Indices fit in 32 bits, and so do a few values that stand for no index.
pub(crate) const CAPACITY_MAX: usize = if usize::BITS > 32 { u32::MAX as usize - 1 } else { isize::MAX as usize };

/// Alignments of chunks, and slots that a chunk should at least have room for. Microcontrollers have
/// little memory, and their allocators pay for alignment with it.
#[cfg(target_pointer_width = "64")]
const LIMITS: Limits = Limits { align_min: 16 << 10, align_max: 2 << 20, slots: 2048, single: 128 << 10 };
#[cfg(not(target_pointer_width = "64"))]
const LIMITS: Limits = Limits { align_min: 256, align_max: 32 << 10, slots: 64, single: 4 << 10 };

struct Limits {
    align_min: usize,
    align_max: usize,
    slots: usize,
    /// Slots of this size have chunks of their own.
    single: usize,
}

/// The alignment of chunks for objects of this size and alignment, in bytes.
#[inline]
pub(crate) const fn alignment(size: usize, align: usize) -> usize {
    let slot = slot_size(size, align);
    if slot >= LIMITS.single {
        return LIMITS.align_min;
    }
    let wanted = (slot * LIMITS.slots).next_power_of_two();
    if wanted < LIMITS.align_min {
        LIMITS.align_min
    } else if wanted > LIMITS.align_max {
        LIMITS.align_max
    } else {
        wanted
    }
}

/// Distance from slot to slot, in bytes. Zero-sized objects get addresses of their own.
const fn slot_size(size: usize, align: usize) -> usize {
    let size = if size == 0 { 1 } else { size };
    match size.checked_next_multiple_of(align) {
        Some(size) => size,
        None => usize::MAX,
    }
}

/// What stands at the start of each chunk.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// The core of the pool that the chunk belongs to.
    pub(crate) head: NonNull<Head>,
    /// Index of the chunk's first slot.
    first_index: usize,
    /// One entry for each slot, or null as long as no object of the chunk was shared.
    shares: Cell<*mut Share>,
    /// Weak handles to objects of this chunk, dead ones too: they keep the chunk in place.
    pub(crate) weak_handles: Cell<usize>,
}

/// The counts of a slot whose object is shared.
#[derive(Debug)]
pub(crate) struct Share {
    /// Shared handles; 0 if the slot's object is not shared.
    pub(crate) strong: Cell<u32>,
    /// Weak handles that can be upgraded.
    pub(crate) weak: Cell<u32>,
    /// Objects that have been shared in this slot and are no more. Cannot overflow in 64 bits.
    pub(crate) generation: Cell<u64>,
}

impl Header {
    /// The header of the chunk that a slot belongs to.
    ///
    /// # Safety
    ///
    /// `slot` is an occupied slot's value: made for a type of the size and alignment that it has now,
    /// by its vtable or length if it has been converted to an unsized type.
    #[inline]
    pub(crate) unsafe fn of<T: ?Sized>(slot: NonNull<T>) -> NonNull<Self> {
        // SAFETY: the slot is occupied, and the reference ends here.
        let value = unsafe { slot.as_ref() };
        let base = base(slot.addr().get(), alignment(size_of_val(value), align_of_val(value)));
        let header = if const { size_of::<NonNull<T>>() == size_of::<usize>() } {
            slot.as_ptr().cast::<u8>().with_addr(base).cast()
        } else {
            // A reference that was converted to an unsized type reaches no further than its object:
            // the provenance for the header is the one that `Region::allocate` exposed.
            ptr::with_exposed_provenance_mut(base)
        };
        // SAFETY: a chunk is not at address 0.
        unsafe { NonNull::new_unchecked(header) }
    }

    /// The chunk's table of counts, or null.
    #[inline]
    pub(crate) fn shares(&self) -> *mut Share {
        self.shares.get()
    }
}

/// Start of the chunk that a slot at `address` belongs to.
///
/// A slot with a large alignment may be at the very end of the first `alignment` bytes of its chunk,
/// but none is at their start: hence the 1.
#[inline]
fn base(address: usize, alignment: usize) -> usize {
    (address - 1) & !(alignment - 1)
}

/// The arithmetic between indices and addresses.
#[derive(Debug)]
pub(crate) struct Geometry {
    /// Distance from slot to slot, in bytes.
    stride: usize,
    /// Offset of a chunk's first slot.
    first: usize,
    /// Slots of a full chunk.
    per_chunk: usize,
    /// (2^64 - 1) / `per_chunk`: divides by multiplication.
    #[cfg(target_pointer_width = "64")]
    reciprocal: u64,
    /// Trailing zeros of `stride`, and the inverse of its odd part modulo 2^32: divide multiples of it.
    shift: u32,
    inverse: u32,
    /// Alignment of chunks, as [`alignment`] has it for the type.
    chunk_align: usize,
    /// Alignment of regions.
    region_align: usize,
    /// Bytes in front of a region's first chunk.
    lead: usize,
    /// Distance from chunk to chunk in a region.
    pitch: usize,
}

impl Geometry {
    /// For values of `T` at multiples of `align`, a power of two that is not below the alignment of `T`.
    pub(crate) fn new<T>(align: usize) -> Result<Self> {
        let too_large = Error::OutOfMemory { bytes: usize::MAX };
        let chunk_align = const { alignment(size_of::<T>(), align_of::<T>()) };
        let stride = slot_size(size_of::<T>(), align);
        // With a large alignment, the slots are at the ends of the chunks' aligned parts.
        let first = size_of::<Header>().next_multiple_of(align.min(chunk_align));
        let region_align = chunk_align.max(align);
        let per_chunk = (chunk_align.saturating_sub(first) / stride).max(1);
        let used = match per_chunk {
            1 => size_of::<T>().checked_add(first),
            _ => stride.checked_mul(per_chunk).and_then(|slots| slots.checked_add(first)),
        };
        let pitch = used.and_then(|used| used.checked_next_multiple_of(region_align)).ok_or(too_large)?;
        let shift = stride.trailing_zeros();
        Ok(Self {
            stride,
            first,
            per_chunk,
            #[cfg(target_pointer_width = "64")]
            reciprocal: u64::MAX / per_chunk as u64,
            shift,
            inverse: inverse((stride >> shift) as u32),
            chunk_align,
            region_align,
            lead: region_align - chunk_align,
            pitch,
        })
    }

    /// The chunk of a slot, and the slot's offset in it in bytes.
    #[inline]
    fn locate(&self, index: usize) -> (usize, usize) {
        // With n = q d + r: (n + 1) / d exceeds q by at most 1, and is reduced by less than 2^-32,
        // because n < 2^32; so what is left of it is q and a fraction.
        #[cfg(target_pointer_width = "64")]
        let chunk = (((index as u128 + 1) * self.reciprocal as u128) >> 64) as usize;
        #[cfg(not(target_pointer_width = "64"))]
        let chunk = index / self.per_chunk;
        (chunk, self.first + (index - chunk * self.per_chunk) * self.stride)
    }

    /// Slots in a region of moderate size: such regions are easily given back.
    fn region_slots(&self) -> usize {
        (REGION / self.pitch).max(1) * self.per_chunk
    }

    /// Index of the slot at an address.
    #[inline]
    pub(crate) fn index(&self, header: &Header, address: usize) -> usize {
        header.first_index + self.position(header, address)
    }

    /// Position of the slot at an address in its chunk.
    #[inline]
    pub(crate) fn position(&self, header: &Header, address: usize) -> usize {
        let offset = address - ptr::from_ref(header).addr() - self.first;
        debug_assert!(offset % self.stride == 0, "{address:#x} is not the address of a slot");
        ((offset >> self.shift) as u32).wrapping_mul(self.inverse) as usize
    }

    /// The header of the chunk of a slot that may be vacant.
    ///
    /// # Safety
    ///
    /// `slot` is a slot of a pool with this geometry, with the provenance of its region.
    #[inline]
    pub(crate) unsafe fn header<'a>(&self, slot: *mut u8) -> &'a Header {
        let header: *mut Header = slot.with_addr(base(slot.addr(), self.chunk_align)).cast();
        // SAFETY: a slot's chunk has a header, which is changed through its cells only.
        unsafe { &*header }
    }

    /// Reserves memory for a region.
    fn allocate(&self, slots: usize) -> Result<*mut u8> {
        let layout = self.layout(slots)?;
        // SAFETY: the size is not 0, as headers are not zero-sized.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        }
        // For `Header::of`.
        let _ = memory.expose_provenance();
        Ok(memory)
    }

    /// Memory for `slots` slots in one region.
    fn layout(&self, slots: usize) -> Result<Layout> {
        let chunks = slots.div_ceil(self.per_chunk);
        let last = slots - (chunks - 1) * self.per_chunk;
        let size = (chunks - 1)
            .checked_mul(self.pitch)
            .and_then(|size| size.checked_add(last.checked_mul(self.stride)?))
            .and_then(|size| size.checked_add(self.lead + self.first));
        size.and_then(|size| Layout::from_size_align(size, self.region_align).ok())
            .ok_or(Error::OutOfMemory { bytes: size.unwrap_or(usize::MAX) })
    }
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles the right bits.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd; // right in 3 bits
    let mut bits = 3;
    while bits < 32 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// Growing pools get at most this many bytes at once, unless a chunk is larger: the size of a huge page
/// on common machines.
const REGION: usize = 2 << 20;

/// All memory of a pool.
#[derive(Debug)]
pub(crate) struct Chunks {
    geometry: Geometry,
    /// The chunks by number; null if the chunk has no header yet, or no memory any more.
    table: Vec<*mut Header>,
    /// In the order of their indices, without gaps.
    regions: Vec<Region>,
}

/// A block of memory from the global allocator, for a range of indices.
#[derive(Debug)]
pub(crate) struct Region {
    /// The block, or null if it was given back.
    memory: *mut u8,
    /// Index of the first slot.
    pub(crate) first_index: usize,
    /// Slots it has room for.
    pub(crate) slots: usize,
    /// Slots that the pool uses: the first ones.
    pub(crate) open: usize,
    /// The pool is destroying the objects that are left in it: not to be used again until then.
    pub(crate) closing: bool,
}

impl Region {
    /// The indices in use.
    pub(crate) fn open_indices(&self) -> Range<usize> {
        self.first_index..self.first_index + self.open
    }

    /// Slots that could be put to use.
    pub(crate) fn spare(&self) -> usize {
        if self.closing { 0 } else { self.slots - self.open }
    }
}

impl Chunks {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, table: Vec::new(), regions: Vec::new() }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions
    }

    pub(crate) fn regions_mut(&mut self) -> &mut [Region] {
        &mut self.regions
    }

    /// Slots of all regions.
    pub(crate) fn slots(&self) -> usize {
        self.regions.last().map_or(0, |last| last.first_index + last.slots)
    }

    /// Memory held for slots, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let held = self.regions.iter().filter(|region| !region.memory.is_null());
        held.map(|region| self.geometry.layout(region.slots).map_or(0, |layout| layout.size())).sum()
    }

    /// Adds regions with room for `additional` slots: exactly one and no more slots than that if `exact`;
    /// else of moderate size, with full chunks, but not beyond `limit` slots in all.
    ///
    /// On failure nothing has changed.
    pub(crate) fn add(&mut self, additional: usize, exact: bool, limit: usize) -> Result<()> {
        let too_many = Error::OutOfMemory { bytes: additional.saturating_mul(self.geometry.stride) };
        let end = self.slots().checked_add(additional).filter(|&end| end <= CAPACITY_MAX).ok_or(too_many)?;
        let regions_before = self.regions.len();
        let result = self.add_until(end, exact, limit);
        if result.is_err() {
            self.truncate(regions_before);
        }
        result
    }

    fn add_until(&mut self, end: usize, exact: bool, limit: usize) -> Result<()> {
        while self.slots() < end {
            let first_index = self.slots();
            let needed = end - first_index;
            let slots = if exact {
                needed
            } else {
                let full = needed.next_multiple_of(self.geometry.per_chunk);
                full.min(self.geometry.region_slots()).min(limit - first_index)
            };
            let chunks = (first_index + slots).div_ceil(self.geometry.per_chunk);
            try_reserve(&mut self.table, chunks)?;
            self.regions.try_reserve(1).map_err(|_| Error::OutOfMemory { bytes: size_of::<Region>() })?;
            let memory = self.geometry.allocate(slots)?;
            self.table.resize(chunks, ptr::null_mut());
            self.regions.push(Region { memory, first_index, slots, open: 0, closing: false });
        }
        Ok(())
    }

    /// Drops all regions but the first ones, which must not be used any more.
    pub(crate) fn truncate(&mut self, regions: usize) {
        for region in regions..self.regions.len() {
            // SAFETY: the caller added these regions and has not used them.
            unsafe { self.release(region) };
        }
        self.regions.truncate(regions);
        self.table.truncate(self.slots().div_ceil(self.geometry.per_chunk));
    }

    /// Gets memory for a region that has none.
    pub(crate) fn restore(&mut self, region: usize) -> Result<()> {
        let region = &mut self.regions[region];
        if region.memory.is_null() {
            region.memory = self.geometry.allocate(region.slots)?;
        }
        Ok(())
    }

    /// Gives a region's memory back; its indices stay reserved for it.
    ///
    /// # Safety
    ///
    /// No object, handle or pointer to a slot of it is in use, nor will be.
    pub(crate) unsafe fn release(&mut self, region: usize) {
        let Region { memory, first_index, slots, .. } = self.regions[region];
        let Ok(layout) = self.geometry.layout(slots) else { return };
        if memory.is_null() {
            return;
        }
        let first_chunk = first_index / self.geometry.per_chunk;
        let chunks = slots.div_ceil(self.geometry.per_chunk);
        for chunk in 0..chunks {
            let header = mem::replace(&mut self.table[first_chunk + chunk], ptr::null_mut());
            // SAFETY: a header in the table is initialized, and no one else refers to it now.
            if let Some(header) = unsafe { header.as_ref() }
                && !header.shares.get().is_null()
                && let Ok(layout) = self.share_layout(region, chunk)
            {
                // SAFETY: `share` allocated the table with this layout.
                unsafe { dealloc(header.shares.get().cast(), layout) };
            }
        }
        self.regions[region].memory = ptr::null_mut();
        // SAFETY: `Geometry::allocate` allocated the region with this layout.
        unsafe { dealloc(memory, layout) };
    }

    /// Whether weak handles, of which some may be dead, still point to a chunk of the region.
    pub(crate) fn has_weak_handles(&self, region: usize) -> bool {
        let first_chunk = self.regions[region].first_index / self.geometry.per_chunk;
        let chunks = self.regions[region].slots.div_ceil(self.geometry.per_chunk);
        self.table[first_chunk..first_chunk + chunks].iter().any(|&header| {
            // SAFETY: a header in the table is initialized, and changed through its cells only.
            unsafe { header.as_ref() }.is_some_and(|header| header.weak_handles.get() > 0)
        })
    }

    /// Address of a slot.
    ///
    /// # Safety
    ///
    /// `index` belongs to a region that has memory; `head` is the core that owns these chunks.
    #[inline]
    pub(crate) unsafe fn slot(&mut self, index: usize, head: NonNull<Head>) -> NonNull<u8> {
        let (chunk, offset) = self.geometry.locate(index);
        debug_assert!(chunk < self.table.len(), "index {index} is out of range");
        // SAFETY: the table has an entry for each chunk, and the caller says that there is one.
        let mut header = unsafe { *self.table.get_unchecked(chunk) };
        if header.is_null() {
            header = self.open(chunk, head);
        }
        // SAFETY: the offset is that of a slot of the chunk, inside its region.
        unsafe { NonNull::new_unchecked(header.cast::<u8>().add(offset)) }
    }

    /// Writes the header of a chunk. Chunks get theirs when a slot is used for the first time, so that
    /// a pool's memory is not touched before it is needed.
    #[cold]
    #[inline(never)]
    fn open(&mut self, chunk: usize, head: NonNull<Head>) -> *mut Header {
        let first_index = chunk * self.geometry.per_chunk;
        let region = &self.regions[self.region_of(first_index)];
        let chunk_in_region = chunk - region.first_index / self.geometry.per_chunk;
        let offset = self.geometry.lead + chunk_in_region * self.geometry.pitch;
        // SAFETY: the offset of a chunk is inside its region, which has memory.
        let header: *mut Header = unsafe { region.memory.add(offset) }.cast();
        let value = Header { head, first_index, shares: Cell::new(ptr::null_mut()), weak_handles: Cell::new(0) };
        // SAFETY: chunks are aligned for headers, and nothing else is there.
        unsafe { header.write(value) };
        self.table[chunk] = header;
        header
    }

    /// Makes the table of counts for the chunk of a slot, unless there is one.
    pub(crate) fn share(&mut self, header: &Header) -> Result<()> {
        if header.shares.get().is_null() {
            let region = self.region_of(header.first_index);
            let chunk = (header.first_index - self.regions[region].first_index) / self.geometry.per_chunk;
            let layout = self.share_layout(region, chunk)?;
            // SAFETY: the layout is that of one entry at least.
            let table = unsafe { alloc_zeroed(layout) };
            if table.is_null() {
                return Err(Error::OutOfMemory { bytes: layout.size() });
            }
            header.shares.set(table.cast());
        }
        Ok(())
    }

    fn share_layout(&self, region: usize, chunk: usize) -> Result<Layout> {
        let slots = (self.regions[region].slots - chunk * self.geometry.per_chunk).min(self.geometry.per_chunk);
        Layout::array::<Share>(slots).map_err(|_| Error::OutOfMemory { bytes: usize::MAX })
    }

    /// Number of the region that an index belongs to.
    pub(crate) fn region_of(&self, index: usize) -> usize {
        self.regions.partition_point(|region| region.first_index <= index) - 1
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

/// `Vec::try_reserve_exact` for so many elements in all, at most doubling.
fn try_reserve<T>(vec: &mut Vec<T>, len: usize) -> Result<()> {
    let additional = len.saturating_sub(vec.len());
    vec.try_reserve(additional).map_err(|_| Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) })
}
