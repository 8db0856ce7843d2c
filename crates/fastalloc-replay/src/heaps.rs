//! Heaps, each called by its own name.

use std::alloc::GlobalAlloc;

use crate::lane::Owner;
use crate::plan::ObjectMemory;

/// A heap: all objects are on it.
#[derive(Debug)]
pub(crate) struct Heap<G>(pub(crate) G);

// SAFETY: `GlobalAlloc` promises the same of what it returns.
unsafe impl<G: GlobalAlloc + Sync> Owner for Heap<G> {
    #[inline(always)]
    fn allocate(&self, memory: &ObjectMemory) -> (*mut u8, bool) {
        let Some(layout) = memory.layout() else { return (std::ptr::null_mut(), false) };
        // SAFETY: an object has at least 1 byte.
        (unsafe { self.0.alloc(layout) }, false)
    }

    #[inline(always)]
    unsafe fn free(&self, address: *mut u8, memory: &ObjectMemory, _was_refused: bool) {
        let Some(layout) = memory.layout() else { return };
        // SAFETY: the caller has the address from `allocate` or `reallocate`, with this layout.
        unsafe { self.0.dealloc(address, layout) };
    }

    #[inline(always)]
    unsafe fn reallocate(&self, address: *mut u8, old: &ObjectMemory, new: &ObjectMemory) -> *mut u8 {
        let (Some(old_layout), Some(new_layout)) = (old.layout(), new.layout()) else { return std::ptr::null_mut() };
        if old_layout.align() == new_layout.align() {
            // SAFETY: the caller has the address with the old layout; the new size is at least 1, and possible.
            return unsafe { self.0.realloc(address, old_layout, new_layout.size()) };
        }
        // SAFETY: an object has at least 1 byte.
        let fresh = unsafe { self.0.alloc(new_layout) };
        if !fresh.is_null() {
            let length = old_layout.size().min(new_layout.size());
            // SAFETY: both have so many bytes, and they are different memory.
            unsafe { std::ptr::copy_nonoverlapping(address, fresh, length) };
            // SAFETY: the caller has the address with the old layout.
            unsafe { self.0.dealloc(address, old_layout) };
        }
        fresh
    }
}
