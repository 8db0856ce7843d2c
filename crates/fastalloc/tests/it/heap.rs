//! The global allocator of the tests: counts what a section of one thread allocates, and fails on demand.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

#[global_allocator]
static HEAP: Heap = Heap;

struct Heap;

thread_local! {
    /// `None` outside of measured sections.
    static SECTION: Cell<Option<Section>> = const { Cell::new(None) };
}

/// What happened in a measured section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Section {
    /// Requests for memory, those that failed included.
    pub(crate) allocations: usize,
    /// Bytes allocated less those freed.
    pub(crate) bytes: isize,
    /// Number of the request that fails; 0 if none does.
    fail_at: usize,
    pub(crate) failed: bool,
}

/// Runs `f` and tells what it allocated and freed.
pub(crate) fn measure<R>(f: impl FnOnce() -> R) -> (R, Section) {
    fail_at(0, f)
}

/// Runs `f` while its `n`-th request for memory, counted from 1, fails.
pub(crate) fn fail_at<R>(n: usize, f: impl FnOnce() -> R) -> (R, Section) {
    struct Stop;

    impl Drop for Stop {
        fn drop(&mut self) {
            SECTION.set(None);
        }
    }

    SECTION.set(Some(Section { fail_at: n, ..Section::default() }));
    let stop = Stop;
    let result = f();
    let section = SECTION.get().expect("sections are not nested");
    drop(stop);
    (result, section)
}

/// More than any machine has: such requests fail at once. The system might overcommit, and sanitizers abort.
const TOO_MUCH: usize = if usize::BITS > 32 { 1 << 36 } else { 1 << 30 };

/// Counts a request; `false` if it has to fail.
fn request(size: usize) -> bool {
    // Also when the thread ends, and its variables are gone.
    let request = SECTION.try_with(|section| {
        let Some(mut current) = section.get() else { return true };
        current.allocations += 1;
        let fails = current.allocations == current.fail_at;
        current.failed |= fails;
        section.set(Some(current));
        !fails
    });
    request.unwrap_or(true) && size < TOO_MUCH
}

fn account(bytes: isize) {
    let _ = SECTION.try_with(|section| {
        if let Some(mut current) = section.get() {
            // With 32 bits, a pool may get more in all before it fails.
            current.bytes = current.bytes.wrapping_add(bytes);
            section.set(Some(current));
        }
    });
}

/// Large blocks of a section of one thread, which were painted when they were allocated.
pub(crate) struct Painted {
    blocks: [(*mut u8, usize); 64],
    len: usize,
}

thread_local! {
    static PAINTED: Cell<*mut Painted> = const { Cell::new(ptr::null_mut()) };
}

/// Blocks of this size are painted.
const LARGE: usize = 256 << 10;
const PAINT: [u8; PAGE] = [0xA5; PAGE];
const PAGE: usize = 4096;

impl Painted {
    /// Runs `f`, and paints all large blocks that it allocates.
    pub(crate) fn run<R>(f: impl FnOnce() -> R) -> (R, Self) {
        struct Stop;

        impl Drop for Stop {
            fn drop(&mut self) {
                PAINTED.set(ptr::null_mut());
            }
        }

        let mut painted = Self { blocks: [(ptr::null_mut(), 0); 64], len: 0 };
        PAINTED.set(&raw mut painted);
        let stop = Stop;
        let result = f();
        drop(stop);
        (result, painted)
    }

    /// Size of the blocks, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks[..self.len].iter().map(|&(_, size)| size).sum()
    }

    /// How many pages have been written to.
    ///
    /// # Safety
    ///
    /// None of the blocks has been freed, and no mutable reference to them is alive.
    pub(crate) unsafe fn touched_pages(&self) -> usize {
        let touched = |&(block, size): &(*mut u8, usize)| {
            // SAFETY: the block was allocated with this size and is there, as the caller says; it was painted, so
            // its bytes are initialized.
            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
            bytes.chunks(PAGE).filter(|page| **page != PAINT[..page.len()]).count()
        };
        self.blocks[..self.len].iter().map(touched).sum()
    }
}

fn paint(block: *mut u8, size: usize) {
    let painted = PAINTED.try_with(Cell::get).unwrap_or(ptr::null_mut());
    if painted.is_null() || size < LARGE {
        return;
    }
    // SAFETY: the block is new and has this size.
    unsafe { block.write_bytes(PAINT[0], size) };
    // SAFETY: `Painted::run` is waiting for its function to end.
    let painted = unsafe { &mut *painted };
    painted.blocks[painted.len] = (block, size);
    painted.len += 1;
}

// SAFETY: all memory is the system's; a request that is made to fail returns null.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !request(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller says so.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            account(layout.size() as isize);
            paint(block, layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !request(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller says so.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            account(layout.size() as isize);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        account(-(layout.size() as isize));
        // SAFETY: the caller says so.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !request(size) {
            return ptr::null_mut();
        }
        // SAFETY: the caller says so.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            account(size as isize - layout.size() as isize);
        }
        moved
    }
}
