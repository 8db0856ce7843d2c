//! The environment for a program that a process becomes: what was removed from it is put back.

use core::cell::UnsafeCell;
use core::ffi::c_char;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::buffer::End;
use crate::hooks::Texts;
use crate::process::{PRELOAD, VARIABLE};
use crate::sys;

/// Variables at most; with more of them, what comes is not recorded.
const VARIABLES: usize = 4096;
const TEXT: usize = 16 << 10;

struct Environment {
    variables: [*const c_char; VARIABLES],
    /// The variable of the recorder.
    options: [u8; TEXT],
    /// The libraries to load before others, first the recorder, and how long that part is.
    preload: [u8; TEXT],
    own_len: usize,
}

struct Shared(UnsafeCell<Environment>);

// SAFETY: it is written while the program starts, and then used by one thread at a time: see `IS_USED`.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(Environment {
    variables: [ptr::null(); VARIABLES],
    options: [0; TEXT],
    preload: [0; TEXT],
    own_len: 0,
}));
static IS_USED: AtomicBool = AtomicBool::new(false);

/// Remembers the recorder's options and where it is. The program has one thread.
pub(crate) fn prepare(options: &[u8], library: &[u8]) {
    // SAFETY: nobody else uses it.
    let shared = unsafe { &mut *SHARED.0.get() };
    // The last byte stays zero.
    let mut end = End(&mut shared.options[..TEXT - 1], 0);
    end.extend(VARIABLE.iter().chain(options).copied());
    let mut end = End(&mut shared.preload[..TEXT - 1], 0);
    end.extend(PRELOAD.iter().chain(library).copied());
    shared.own_len = end.1;
}

/// Calls `exec` with the environment, in which the recorder is.
pub(crate) fn with<T>(environment: Texts, exec: impl FnOnce(Texts) -> T) -> T {
    if IS_USED.swap(true, Ordering::Acquire) {
        return exec(environment);
    }
    // SAFETY: nobody else uses it: see `IS_USED`.
    let shared = unsafe { &mut *SHARED.0.get() };
    let is_complete = shared.own_len > 0 && fill(shared, environment);
    let with_recorder = shared.variables.as_ptr();
    let result = exec(if is_complete { with_recorder } else { environment });
    IS_USED.store(false, Ordering::Release);
    result
}

/// Whether all variables have room.
fn fill(shared: &mut Environment, environment: Texts) -> bool {
    let mut count = 2;
    let mut end = End(&mut shared.preload[..TEXT - 1], shared.own_len);
    let mut next = environment;
    loop {
        // SAFETY: a null pointer ends it, which was not met yet.
        let variable = if next.is_null() { ptr::null() } else { unsafe { *next } };
        // SAFETY: variables are texts, which stay as they are until the program is replaced.
        let Some(text) = (unsafe { sys::text(variable) }) else { break };
        match text.strip_prefix(PRELOAD) {
            Some(others) => end.extend([b':'].iter().chain(others).copied()),
            None if count + 1 < VARIABLES => {
                shared.variables[count] = variable;
                count += 1;
            }
            None => return false,
        }
        // SAFETY: it was not the last one.
        next = unsafe { next.add(1) };
    }
    let length = end.1;
    shared.preload[length] = 0;
    shared.variables[0] = shared.options.as_ptr().cast();
    shared.variables[1] = shared.preload.as_ptr().cast();
    shared.variables[count] = ptr::null();
    length < TEXT - 1
}
