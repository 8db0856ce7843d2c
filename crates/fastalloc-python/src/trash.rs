//! Deep structures are freed without deep recursion.
//!
//! A pool whose object is a handle of another pool, whose object is a handle … : freeing the first frees all others, each from
//! inside the destructor of the one before, and the stack ends before a long chain does. So from a certain depth on,
//! a destructor only notes its object, and the outermost one runs what is left. Python's own containers do the same,
//! by functions that are not part of its API.

use core::cell::Cell;

use pyo3_ffi::PyObject;

/// What is left to do for an object that nobody refers to any more, and that the garbage collector has forgotten.
pub type Destructor = unsafe fn(*mut PyObject);

/// How deep destructors nest, as in Python.
const DEPTH_MAX: u32 = 50;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static DEFERRED: Cell<Vec<(*mut PyObject, Destructor)>> = const { Cell::new(Vec::new()) };
}

/// Runs a destructor, now or before the outermost one on this thread returns.
///
/// # Safety
///
/// The destructor may be run for the object, and nobody else runs it.
pub unsafe fn destroy(object: *mut PyObject, destructor: Destructor) {
    let depth = DEPTH.get();
    if depth >= DEPTH_MAX && defer(object, destructor) {
        return;
    }
    DEPTH.set(depth + 1);
    // SAFETY: as demanded.
    unsafe { destructor(object) };
    if depth == 0 {
        while let Some((object, destructor)) = next() {
            // SAFETY: as `destroy` demanded when it was deferred.
            unsafe { destructor(object) };
        }
    }
    DEPTH.set(depth);
}

/// False if there is no memory for that, or the thread's variables are gone: then there is nothing but to go deeper.
#[cold]
fn defer(object: *mut PyObject, destructor: Destructor) -> bool {
    let deferred = DEFERRED.try_with(|deferred| {
        let mut queue = deferred.take();
        let has_room = queue.try_reserve(1).is_ok();
        if has_room {
            queue.push((object, destructor));
        }
        deferred.set(queue);
        has_room
    });
    deferred.unwrap_or(false)
}

fn next() -> Option<(*mut PyObject, Destructor)> {
    let next = DEFERRED.try_with(|deferred| {
        let mut queue = deferred.take();
        let next = queue.pop()?;
        deferred.set(queue);
        Some(next)
    });
    next.ok().flatten()
}
