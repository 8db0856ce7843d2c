//! Where the memory comes from: a static array, handed out from its beginning to its end.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Chunks are aligned to as much as 2 MiB where pointers have 64 bits, and boards have little memory.
pub(crate) const SIZE: usize = if cfg!(target_pointer_width = "64") { 16 << 20 } else { 8 << 20 };

/// What is given back is counted, but not used again.
pub(crate) struct Heap {
    memory: UnsafeCell<[MaybeUninit<u8>; SIZE]>,
    /// Bytes handed out, with the gaps between blocks.
    used: AtomicUsize,
    /// Bytes of the blocks that were not given back.
    live: AtomicUsize,
}

// SAFETY: each byte of the memory is handed out once, to whoever asks first.
unsafe impl Sync for Heap {}

impl Heap {
    pub(crate) const fn new() -> Self {
        let memory = UnsafeCell::new([MaybeUninit::uninit(); SIZE]);
        Self { memory, used: AtomicUsize::new(0), live: AtomicUsize::new(0) }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Relaxed)
    }
}

// SAFETY: blocks are aligned, inside the memory, and do not overlap. Nothing here panics.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start: *mut u8 = self.memory.get().cast();
        let block = |used| {
            let address = start.addr().checked_add(used)?.checked_next_multiple_of(layout.align())?;
            let offset = address - start.addr();
            let end = offset.checked_add(layout.size())?;
            (end <= SIZE).then_some((offset, end))
        };
        let used = self.used.fetch_update(Relaxed, Relaxed, |used| block(used).map(|(_, end)| end));
        let Some((offset, _)) = used.ok().and_then(block) else { return ptr::null_mut() };
        self.live.fetch_add(layout.size(), Relaxed);
        // SAFETY: the block ends inside the memory.
        unsafe { start.add(offset) }
    }

    unsafe fn dealloc(&self, _: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Relaxed);
    }
}
