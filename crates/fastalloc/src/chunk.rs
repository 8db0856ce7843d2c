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
//!
//! With [`PASSTHROUGH`], each region has one chunk, and each chunk one slot.

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::Cell;
use core::mem;
use core::ops::Range;
use core::ptr::{self, NonNull};
#[cfg(target_has_atomic = "ptr")]
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Release},
};

use crate::error::{Error, Result};
use crate::raw::Head;

/// With `--cfg fastalloc_passthrough`, each slot is a block of its own from the global allocator. It is freed when the
/// slot is vacated, and another one takes its place at once. So who watches the blocks, as sanitizers do, sees who uses
/// an object that is gone, or reaches beyond one.
pub(crate) const PASSTHROUGH: bool = cfg!(fastalloc_passthrough);

/// The most slots that a pool can have: 2^31 - 1, so that an index can be divided by a multiplication.
pub(crate) const CAPACITY_MAX: usize = i32::MAX as usize;

/// Alignments of chunks, and slots that a chunk should at least have room for. Microcontrollers have
/// little memory, and their allocators pay for alignment with it.
#[cfg(target_pointer_width = "64")]
const LIMITS: Limits = Limits { align_min: 64 << 10, align_max: 2 << 20, slots: 8192, single: 128 << 10 };
#[cfg(not(target_pointer_width = "64"))]
const LIMITS: Limits = Limits { align_min: 256, align_max: 32 << 10, slots: 64, single: 4 << 10 };

struct Limits {
    align_min: usize,
    align_max: usize,
    slots: usize,
    /// Slots of this size have chunks of their own.
    single: usize,
}

/// What a processor moves between memory and its caches, in bytes.
const CACHE_LINE: usize = 64;

/// The alignment of chunks for objects of this size and alignment, in bytes.
#[inline]
pub(crate) const fn alignment(size: usize, align: usize) -> usize {
    if PASSTHROUGH {
        return size_of::<Header>().next_power_of_two();
    }
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
#[inline]
const fn slot_size(size: usize, align: usize) -> usize {
    let size = if size == 0 { 1 } else { size };
    match size.checked_next_multiple_of(align) {
        Some(size) => size,
        None => usize::MAX,
    }
}

/// Offset of a chunk's first slot. With a large alignment, slots are at the ends of the aligned parts.
/// Objects that fit into cache lines do not straddle them.
#[inline]
const fn first_slot(stride: usize, align: usize, chunk_align: usize) -> usize {
    let line = 1 << stride.trailing_zeros();
    let line = if line < CACHE_LINE { line } else { CACHE_LINE };
    let align = if align < line { line } else { align };
    size_of::<Header>().next_multiple_of(if align < chunk_align { align } else { chunk_align })
}

/// Slots of a full chunk.
#[inline]
const fn slots_per_chunk(stride: usize, first: usize, chunk_align: usize) -> usize {
    let slots = chunk_align.saturating_sub(first) / stride;
    if slots == 0 || PASSTHROUGH { 1 } else { slots }
}

/// What stands at the start of each chunk.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// The core of the pool that the chunk belongs to.
    pub(crate) head: NonNull<Head>,
    /// Index of the chunk's first slot.
    pub(crate) first_index: usize,
    /// One entry for each slot, or null as long as no object of the chunk was shared.
    shares: AtomicPtr<Share>,
    /// Weak handles to objects of this chunk, dead ones too: they keep the chunk in place.
    pub(crate) weak_handles: AtomicUsize,
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
    /// The header of the chunk of a slot, occupied or vacant, that was made for values of this layout.
    ///
    /// # Safety
    ///
    /// `slot` is such a slot, with the provenance of its chunk, which outlives the reference.
    #[inline]
    pub(crate) unsafe fn beside<'a>(slot: NonNull<u8>, layout: Layout) -> &'a Self {
        let base = base(slot.addr().get(), alignment(layout.size(), layout.align()));
        // SAFETY: a slot's chunk has a header, which is changed through its cells only.
        unsafe { &*slot.as_ptr().with_addr(base).cast::<Self>() }
    }

    /// Position in the chunk of a slot at `address`, if slots are as far apart as values of this layout
    /// demand: see [`Geometry::is_natural`].
    #[inline]
    pub(crate) fn natural_position(&self, address: usize, layout: Layout) -> usize {
        let (size, align) = (layout.size(), layout.align());
        let first = first_slot(slot_size(size, align), align, alignment(size, align));
        (address - ptr::from_ref(self).addr() - first) / slot_size(size, align)
    }

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

    /// Puts the chunk's table of counts in its place, unless another thread was faster.
    fn publish(&self, table: *mut Share) -> bool {
        #[cfg(target_has_atomic = "ptr")]
        return self.shares.compare_exchange(ptr::null_mut(), table, Release, Relaxed).is_ok();
        #[cfg(not(target_has_atomic = "ptr"))]
        {
            self.shares.store(table, Release);
            true
        }
    }

    /// The chunk's table of counts, or null.
    #[inline]
    pub(crate) fn shares(&self) -> *mut Share {
        self.shares.load(Acquire)
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

/// Has a cache line brought to the cache that will be written to.
#[inline]
pub(crate) fn prefetch_to_write(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch has no effect but on time, whatever the address.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    let _ = address;
}

/// The arithmetic between indices and addresses.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    /// Distance from slot to slot, in bytes.
    stride: usize,
    /// Offset of a chunk's first slot.
    first: usize,
    /// Slots of a full chunk.
    per_chunk: usize,
    /// Alignment of regions.
    region_align: usize,
    /// Bytes in front of a region's first chunk.
    lead: usize,
    /// Distance from chunk to chunk in a region.
    pitch: usize,
    /// Slots are as far apart as `T` alone demands: the arithmetic can be with constants.
    pub(crate) natural: bool,
}

impl Geometry {
    /// For values of `T` at multiples of `align`, a power of two that is not below the alignment of `T`.
    pub(crate) fn new<T>(align: usize) -> Result<Self> {
        let too_large = Error::OutOfMemory { bytes: usize::MAX };
        let chunk_align = const { alignment(size_of::<T>(), align_of::<T>()) };
        // A slot that has none behind it ends where its value does.
        let stride = slot_size(size_of::<T>(), if PASSTHROUGH { align_of::<T>() } else { align });
        let first = first_slot(stride, align, chunk_align);
        let region_align = chunk_align.max(align);
        let per_chunk = slots_per_chunk(stride, first, chunk_align);
        let used = match per_chunk {
            1 => size_of::<T>().checked_add(first),
            _ => stride.checked_mul(per_chunk).and_then(|slots| slots.checked_add(first)),
        };
        let pitch = used.and_then(|used| used.checked_next_multiple_of(region_align)).ok_or(too_large)?;
        let natural = stride == slot_size(size_of::<T>(), align_of::<T>())
            && first == first_slot(stride, align_of::<T>(), chunk_align)
            && region_align == chunk_align;
        let lead = region_align - chunk_align;
        Ok(Self { stride, first, per_chunk, region_align, lead, pitch, natural })
    }

    /// Slots in a region of moderate size: such regions are easily given back.
    fn region_slots(&self) -> usize {
        if PASSTHROUGH {
            return 1;
        }
        (REGION / self.pitch).max(1) * self.per_chunk
    }

    /// Position of the slot at an address in its chunk, which was made for values of this layout.
    #[inline]
    pub(crate) fn position_for(&self, header: &Header, address: usize, layout: Layout) -> usize {
        if self.natural { header.natural_position(address, layout) } else { self.position(header, address) }
    }

    /// Position of the slot at an address in its chunk.
    ///
    /// Out of line, because the division is for few pools and would make the code of all others larger.
    #[cold]
    fn position(&self, header: &Header, address: usize) -> usize {
        let offset = address - ptr::from_ref(header).addr() - self.first;
        debug_assert!(offset % self.stride == 0, "{address:#x} is not the address of a slot");
        offset / self.stride
    }

    /// Reserves memory for a region.
    fn allocate(&self, slots: usize) -> Result<*mut u8> {
        let layout = self.layout(slots)?;
        // SAFETY: the size is not 0, as headers are not zero-sized.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        }
        if self.stride <= DENSE {
            // SAFETY: the region is this large.
            unsafe { advise_huge_pages(memory, layout.size()) };
        }
        // For `Header::of`.
        let _ = memory.expose_provenance();
        Ok(memory)
    }

    /// Whether there is memory for so many slots, if it is much: asked for in small blocks, of which there is always
    /// one more, it would be all that the machine has.
    fn check_memory(&self, slots: usize) -> Result<()> {
        let layout = self.layout(slots)?;
        if layout.size() < 64 * REGION {
            return Ok(());
        }
        let memory = self.allocate(slots)?;
        // SAFETY: `allocate` allocated it with this layout.
        unsafe { dealloc(memory, layout) };
        Ok(())
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

/// Growing pools get at most this many bytes at once, unless a slot is larger: little enough for a
/// region to be vacant one day, so that it can be given back, and a few huge pages.
const REGION: usize = 16 << 20;

/// Slots further apart are not close enough together for huge pages: a few of them would take megabytes.
const DENSE: usize = 4096;

/// Asks for huge pages where a region has whole ones, if it is large: to fill it for the first time is
/// several times faster then. The part before the first whole one is left alone, because the first use
/// of a huge page takes as long as the kernel needs to zero it.
///
/// # Safety
///
/// `memory` is a block of `size` bytes.
unsafe fn advise_huge_pages(memory: *mut u8, size: usize) {
    #[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64", not(miri)))]
    {
        const HUGE_PAGE: usize = 2 << 20;
        const MADV_HUGEPAGE: i32 = 14;
        unsafe extern "C" {
            fn madvise(address: *mut core::ffi::c_void, length: usize, advice: i32) -> i32;
        }
        let skipped = (memory.addr() + 1).next_multiple_of(HUGE_PAGE) - memory.addr();
        let length = size.saturating_sub(skipped) & !(HUGE_PAGE - 1);
        if length >= HUGE_PAGE {
            // Nothing is lost if the kernel does not follow the advice.
            // SAFETY: the range is in the block, and the advice does not change its content.
            unsafe { madvise(memory.wrapping_add(skipped).cast(), length, MADV_HUGEPAGE) };
        }
    }
    let _ = (memory, size);
}

/// All memory of a pool.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The core that owns these chunks, for their headers.
    head: NonNull<Head>,
    /// A slot's entry in a table of counts.
    counts: Layout,
    geometry: Geometry,
    /// For each chunk with a header, what an index times the stride must be added to: the address of
    /// its first slot, less the stride times that slot's index. Chunks get their headers in order, when
    /// a slot is used for the first time, so that memory is not touched before it is needed.
    bases: Vec<*mut u8>,
    /// The first of them.
    near_base: *mut u8,
    /// Slots that are at their index times the natural stride from `near_base`: those of the first chunk
    /// with a header, if any. Small pools have only these, and with a jump instead of a load the processor
    /// knows the address of a slot earlier, so that filling such a pool is faster.
    near: usize,
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
        Self {
            head: NonNull::dangling(),
            counts: Layout::new::<Share>(),
            geometry,
            bases: Vec::new(),
            near_base: ptr::null_mut(),
            near: 0,
            regions: Vec::new(),
        }
    }

    /// Tells the chunks which core they belong to, and what its counts of a slot are, before there are any.
    pub(crate) fn set_head(&mut self, head: NonNull<Head>, counts: Layout) {
        self.head = head;
        self.counts = counts;
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
    /// else of moderate size, with full chunks, but not beyond `limit` slots in all. With [`PASSTHROUGH`], one for
    /// each slot.
    ///
    /// On failure some of them may be there: see [`release_unused`](Self::release_unused).
    pub(crate) fn add(&mut self, additional: usize, exact: bool, limit: usize) -> Result<()> {
        if PASSTHROUGH {
            self.geometry.check_memory(additional)?;
        }
        let too_many = Error::OutOfMemory { bytes: additional.saturating_mul(self.geometry.stride) };
        let end = self.slots().checked_add(additional).filter(|&end| end <= CAPACITY_MAX).ok_or(too_many)?;
        while self.slots() < end {
            let first_index = self.slots();
            let needed = end - first_index;
            let slots = if exact && !PASSTHROUGH {
                needed
            } else {
                let room = limit.saturating_sub(first_index);
                if room < needed {
                    // While a trim destroys objects, their slots are neither in use nor gone.
                    return Err(Error::MaxCapacityExceeded { current: first_index, requested: end, max: limit });
                }
                let full = needed.next_multiple_of(self.geometry.per_chunk);
                full.min(self.geometry.region_slots()).min(room)
            };
            let chunks = (first_index + slots).div_ceil(self.geometry.per_chunk);
            let more = chunks - self.bases.len();
            self.bases.try_reserve(more).map_err(|_| Error::OutOfMemory { bytes: chunks * size_of::<*mut u8>() })?;
            self.regions.try_reserve(1).map_err(|_| Error::OutOfMemory { bytes: size_of::<Region>() })?;
            let memory = self.geometry.allocate(slots)?;
            self.regions.push(Region { memory, first_index, slots, open: 0, closing: false });
        }
        Ok(())
    }

    /// Gets memory for a region that has none.
    pub(crate) fn restore(&mut self, region: usize) -> Result<()> {
        if self.regions[region].memory.is_null() {
            self.regions[region].memory = self.geometry.allocate(self.regions[region].slots)?;
            for chunk in self.chunks_with_header(region) {
                let base = self.write_header(region, chunk);
                self.set_base(chunk, base);
            }
        }
        Ok(())
    }

    /// Gets other memory for a slot, which is the only one of its region, and gives the old memory back; unless weak
    /// handles look at that, or there is no other. Returns the slot's address.
    ///
    /// # Safety
    ///
    /// The index is in use, its slot holds no object, and nobody will use the slot by its old address.
    pub(crate) unsafe fn renew(&mut self, index: usize) -> NonNull<u8> {
        let region = self.region_of(index);
        if !self.has_weak_handles(region) {
            // The old memory is there until the region has other, so that the address is another one.
            let old = mem::replace(&mut self.regions[region].memory, ptr::null_mut());
            let restored = self.restore(region);
            let new = mem::replace(&mut self.regions[region].memory, old);
            if restored.is_ok() {
                // SAFETY: the caller says so, and the region has no other slot.
                unsafe { self.release(region) };
                self.regions[region].memory = new;
            }
        }
        // SAFETY: the caller says so.
        unsafe { self.slot(index) }
    }

    /// Gives a region's memory back; its indices stay reserved for it.
    ///
    /// # Safety
    ///
    /// No object, handle or pointer to a slot of it is in use, nor will be.
    pub(crate) unsafe fn release(&mut self, region: usize) {
        let Region { memory, slots, .. } = self.regions[region];
        let Ok(layout) = self.geometry.layout(slots) else { return };
        if memory.is_null() {
            return;
        }
        for chunk in self.chunks_with_header(region) {
            // SAFETY: the chunk has a header, which is changed through its cells only.
            let header = unsafe { &*self.header(region, chunk) };
            let Ok(layout) = self.share_layout(region, chunk) else { continue };
            if !header.shares().is_null() {
                // SAFETY: `share` allocated the table with this layout.
                unsafe { dealloc(header.shares().cast(), layout) };
            }
        }
        self.regions[region].memory = ptr::null_mut();
        // SAFETY: `Geometry::allocate` allocated the region with this layout.
        unsafe { dealloc(memory, layout) };
    }

    /// Gives the memory of regions back that have it, but are not in use.
    pub(crate) fn release_unused(&mut self) {
        for region in 0..self.regions.len() {
            if self.regions[region].open == 0 && !self.regions[region].closing {
                // SAFETY: no slot of it is in use.
                unsafe { self.release(region) };
            }
        }
    }

    /// Whether weak handles, of which some may be dead, still point to a chunk of the region.
    pub(crate) fn has_weak_handles(&self, region: usize) -> bool {
        self.chunks_with_header(region).any(|chunk| {
            // SAFETY: the chunk has a header, which is changed through its cells only.
            unsafe { &*self.header(region, chunk) }.weak_handles.load(Acquire) > 0
        })
    }

    /// Writes the headers of all chunks now.
    #[cfg(all(feature = "lock-free", not(fastalloc_passthrough)))]
    pub(crate) fn open_all(&mut self) {
        if let Some(last) = self.slots().checked_sub(1) {
            self.open(last / self.geometry.per_chunk);
        }
    }

    /// Address of a slot whose chunk has a header.
    ///
    /// # Safety
    ///
    /// The slot's region has memory, and it was made for a value of `T`.
    #[cfg(all(feature = "lock-free", not(fastalloc_passthrough)))]
    pub(crate) unsafe fn opened_slot<T>(&self, index: usize) -> NonNull<T> {
        let Geometry { stride, per_chunk, natural, .. } = self.geometry;
        let divisor = const { Divisor::of_slots(size_of::<T>(), align_of::<T>()) };
        let chunk = if natural { divisor.divide(index) } else { index / per_chunk };
        // SAFETY: a slot is not at address 0.
        unsafe { NonNull::new_unchecked(self.bases[chunk].wrapping_add(index * stride).cast()) }
    }

    /// Address of a slot.
    ///
    /// # Safety
    ///
    /// `index` is in use, and so its region has memory.
    pub(crate) unsafe fn slot(&mut self, index: usize) -> NonNull<u8> {
        let Geometry { stride, per_chunk, .. } = self.geometry;
        // SAFETY: the caller says so, and the geometry is the one of the chunks.
        unsafe { self.at(index / per_chunk, index * stride) }
    }

    /// Whether [`near_slot`](Self::near_slot) has the address of a slot.
    #[inline]
    pub(crate) fn is_near(&self, index: usize) -> bool {
        index < self.near
    }

    /// The same as [`slot`](Self::slot), if it is a near one, made for values of `T`.
    #[inline]
    pub(crate) fn near_slot<T>(&self, index: usize) -> NonNull<T> {
        debug_assert!(self.is_near(index));
        let stride = const { slot_size(size_of::<T>(), align_of::<T>()) };
        // SAFETY: a slot is not at address 0.
        unsafe { NonNull::new_unchecked(self.near_base.wrapping_add(index * stride).cast()) }
    }

    /// The same as [`slot`](Self::slot), if the geometry is natural: the arithmetic is with constants.
    ///
    /// # Safety
    ///
    /// As for [`slot`](Self::slot), and the slots were made for values of `T`.
    #[inline]
    pub(crate) unsafe fn natural_slot<T>(&mut self, index: usize) -> NonNull<T> {
        let stride = const { slot_size(size_of::<T>(), align_of::<T>()) };
        let divisor = const { Divisor::of_slots(size_of::<T>(), align_of::<T>()) };
        // SAFETY: the caller says so.
        unsafe { self.at(divisor.divide(index), index * stride) }.cast()
    }

    /// Has the slot of an index, which need not be in use, brought to the cache.
    #[inline]
    pub(crate) fn prefetch<T>(&self, index: usize) {
        let stride = const { slot_size(size_of::<T>(), align_of::<T>()) };
        let divisor = const { Divisor::of_slots(size_of::<T>(), align_of::<T>()) };
        if let Some(base) = self.bases.get(divisor.divide(index)) {
            prefetch_to_write(base.wrapping_add(index * stride));
        }
    }

    /// # Safety
    ///
    /// `chunk` is that of the slot, and `offset` its index times the stride; its region has memory.
    #[inline]
    unsafe fn at(&mut self, chunk: usize, offset: usize) -> NonNull<u8> {
        let base = match self.bases.get(chunk) {
            Some(base) => *base,
            None => self.open(chunk),
        };
        // SAFETY: a slot is not at address 0.
        unsafe { NonNull::new_unchecked(base.wrapping_add(offset)) }
    }

    /// Writes the headers of the chunks up to this one, and returns its base.
    #[cold]
    #[inline(never)]
    fn open(&mut self, chunk: usize) -> *mut u8 {
        for chunk in self.bases.len()..=chunk {
            let region = self.region_of(chunk * self.geometry.per_chunk);
            // Chunks of a region that was given back get their headers in `restore`.
            let has_memory = !self.regions[region].memory.is_null();
            let base = if has_memory { self.write_header(region, chunk) } else { ptr::null_mut() };
            self.set_base(chunk, base);
        }
        self.bases[chunk]
    }

    fn set_base(&mut self, chunk: usize, base: *mut u8) {
        match self.bases.get_mut(chunk) {
            Some(old) => *old = base,
            None => self.bases.push(base),
        }
        self.update_near();
    }

    fn update_near(&mut self) {
        self.near_base = self.bases.first().copied().unwrap_or(ptr::null_mut());
        self.near = if self.geometry.natural && !self.near_base.is_null() { self.geometry.per_chunk } else { 0 };
    }

    /// Writes the header of a chunk, and returns its base.
    fn write_header(&self, region: usize, chunk: usize) -> *mut u8 {
        let header = self.header(region, chunk);
        let first_index = chunk * self.geometry.per_chunk;
        let value =
            Header { head: self.head, first_index, shares: AtomicPtr::default(), weak_handles: AtomicUsize::new(0) };
        // SAFETY: the region has memory, where chunks are aligned for headers, and nothing else is there.
        unsafe { header.write(value) };
        header.cast::<u8>().wrapping_add(self.geometry.first).wrapping_sub(first_index * self.geometry.stride)
    }

    /// Where the header of a chunk is.
    fn header(&self, region: usize, chunk: usize) -> *mut Header {
        let Region { memory, first_index, .. } = self.regions[region];
        let chunk_in_region = chunk - first_index / self.geometry.per_chunk;
        memory.wrapping_add(self.geometry.lead + chunk_in_region * self.geometry.pitch).cast()
    }

    /// The chunks of a region that have headers, as long as it has memory.
    fn chunks_with_header(&self, region: usize) -> Range<usize> {
        let Region { first_index, slots, .. } = self.regions[region];
        let first = first_index / self.geometry.per_chunk;
        first..(first + slots.div_ceil(self.geometry.per_chunk)).min(self.bases.len()).max(first)
    }

    /// Makes the table of counts for the chunk of a slot, unless there is one.
    #[inline]
    pub(crate) fn share(&self, header: &Header) -> Result<()> {
        if header.shares().is_null() { self.make_shares(header) } else { Ok(()) }
    }

    #[cold]
    fn make_shares(&self, header: &Header) -> Result<()> {
        let region = self.region_of(header.first_index);
        let layout = self.share_layout(region, header.first_index / self.geometry.per_chunk)?;
        // SAFETY: the layout is that of one entry at least.
        let table = unsafe { alloc_zeroed(layout) };
        if table.is_null() {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        }
        if !header.publish(table.cast()) {
            // SAFETY: the table is new, and nobody else's.
            unsafe { dealloc(table, layout) };
        }
        Ok(())
    }

    fn share_layout(&self, region: usize, chunk: usize) -> Result<Layout> {
        let Region { first_index, slots, .. } = self.regions[region];
        let slots = first_index + slots - chunk * self.geometry.per_chunk;
        let size = self.counts.size().checked_mul(slots.min(self.geometry.per_chunk));
        let layout = size.and_then(|size| Layout::from_size_align(size, self.counts.align()).ok());
        layout.ok_or(Error::OutOfMemory { bytes: usize::MAX })
    }

    /// Number of the region that an index belongs to.
    pub(crate) fn region_of(&self, index: usize) -> usize {
        self.regions.partition_point(|region| region.first_index <= index) - 1
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        for region in 0..self.regions.len() {
            // SAFETY: whoever drops the chunks uses nothing of them any more.
            unsafe { self.release(region) };
        }
    }
}

/// Divides indices by the number of slots in a chunk: by multiplication where 64-bit products are cheap.
struct Divisor {
    per_chunk: usize,
    factor: u64,
    shift: u32,
}

impl Divisor {
    /// For the chunks of values of this size and alignment.
    const fn of_slots(size: usize, align: usize) -> Self {
        let chunk_align = alignment(size, align);
        let per_chunk = slots_per_chunk(
            slot_size(size, align),
            first_slot(slot_size(size, align), align, chunk_align),
            chunk_align,
        );
        // With f = ceil(2^s / d), n f / 2^s exceeds n / d by less than n d / (d 2^s) < 1 / d, because
        // n < 2^31 and 2^s >= 2^31 d: too little to reach the next integer. And n f < 2^64.
        let shift = 31 + per_chunk.next_power_of_two().ilog2();
        Self { per_chunk, factor: (1_u64 << shift).div_ceil(per_chunk as u64), shift }
    }

    #[inline]
    const fn divide(&self, index: usize) -> usize {
        if usize::BITS < 64 {
            return index / self.per_chunk;
        }
        ((index as u64 * self.factor) >> self.shift) as usize
    }
}
