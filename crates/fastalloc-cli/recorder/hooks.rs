//! What the program calls instead of the C library, or of an allocator of its own.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::Ordering;

use crate::buffer::Buffer;
use crate::event::{EventKind, StackId};
use crate::process::{self, Options};
use crate::real::{self, Functions};
use crate::sync::Inside;
use crate::trace::{self, LOST_EVENTS, LOST_STACKS, TRACE};
use crate::{sample, sys};

pub(crate) type Text = *const c_char;
pub(crate) type Texts = *const *const c_char;

const ENOMEM: c_int = 12;

/// Who allocates: the program, or something that the recorder has called.
enum Caller {
    Program(Inside, &'static Functions, Option<&'static Options>),
    /// The allocator itself, or a signal handler that has interrupted the recorder.
    Inside(Option<&'static Functions>),
}

impl Caller {
    fn new() -> Self {
        match Inside::enter() {
            Some(inside) => {
                let functions = real::functions(&inside);
                // Recording begins before the allocator does: of handlers of forks, the recorder's is an early one.
                let options = process::options(&inside);
                Self::Program(inside, functions, options)
            }
            None => Self::Inside(real::known_functions()),
        }
    }

    fn functions(&self) -> Option<&'static Functions> {
        match self {
            Self::Program(_, functions, _) => Some(functions),
            Self::Inside(functions) => *functions,
        }
    }

    fn options(&self) -> Option<(&Inside, &'static Options)> {
        match self {
            Self::Program(inside, _, options) => Some((inside, (*options)?)),
            Self::Inside(_) => None,
        }
    }

    /// Records that there is memory now, unless it is null.
    // Each function of this library that is on the stack is unwound too: with three of them, recording takes a quarter
    // more time.
    #[inline(always)]
    fn allocated(&self, address: *mut c_void, size: usize, alignment: usize) {
        let Some((inside, options)) = self.options().filter(|_| !address.is_null()) else { return };
        if is_in_sample(inside, options, address) {
            let (address, size) = (address.addr() as u64, size as u64);
            let stack = stack(inside, options);
            record(inside, options, EventKind::Allocate { address, size, alignment: alignment as u32, stack });
        }
    }
}

/// Whether a new object is in the sample.
fn is_in_sample(inside: &Inside, options: &Options, address: *mut c_void) -> bool {
    options.sampling == 1 || inside.random() <= u64::MAX / options.sampling && sample::insert(address.addr())
}

/// The stack that has called, or none.
#[inline(always)]
fn stack(inside: &Inside, options: &Options) -> StackId {
    let Some(buffer) = buffer(inside) else { return StackId::EMPTY };
    // SAFETY: the buffer is this thread's, which is inside once.
    match unsafe { buffer.stack(options.depth) } {
        Some(stack) => StackId(stack),
        None => {
            LOST_STACKS.fetch_add(1, Ordering::Relaxed);
            StackId::EMPTY
        }
    }
}

/// Records an event of this thread that happens now.
#[inline(always)]
fn record(inside: &Inside, options: &Options, kind: EventKind) {
    let Some(buffer) = buffer(inside) else {
        LOST_EVENTS.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let (time, is_full) = buffer.push(options.start, kind);
    trace::after_event(buffer, time, is_full);
}

/// The thread's buffer, unless there is no memory.
#[inline(always)]
fn buffer(inside: &Inside) -> Option<&'static Buffer> {
    inside.buffer().or_else(|| {
        let found = TRACE.lock().buffer(sys::thread_id());
        inside.set_buffer(found);
        found
    })
}

/// The largest alignment that memory of this size can need: nothing is said of it.
fn natural_alignment(size: usize) -> usize {
    1 << size.trailing_zeros().min(4)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let caller = Caller::new();
    let Some(functions) = caller.functions() else { return real::spare(size) };
    let Some(malloc) = functions.malloc else { return no_memory() };
    // SAFETY: as the caller of this function has promised.
    let address = unsafe { malloc(size) };
    caller.allocated(address, size, natural_alignment(size));
    address
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let caller = Caller::new();
    let total = count.saturating_mul(size);
    let Some(functions) = caller.functions() else { return real::spare(total) };
    let Some(calloc) = functions.calloc else { return no_memory() };
    // SAFETY: as the caller of this function has promised.
    let address = unsafe { calloc(count, size) };
    caller.allocated(address, total, natural_alignment(size));
    address
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(address: *mut c_void) {
    if address.is_null() || real::spare_rest(address).is_some() {
        return;
    }
    let caller = Caller::new();
    if let Some((inside, options)) = caller.options() {
        // Before it is free: another thread may have it right after.
        if options.sampling == 1 || sample::remove(address.addr()) {
            record(inside, options, EventKind::Free { address: address.addr() as u64 });
        }
    }
    if let Some(free) = caller.functions().and_then(|functions| functions.free) {
        // SAFETY: as the caller of this function has promised.
        unsafe { free(address) };
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_sized(address: *mut c_void, _size: usize) {
    // SAFETY: as the caller of this function has promised.
    unsafe { free(address) };
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_aligned_sized(address: *mut c_void, _alignment: usize, _size: usize) {
    // SAFETY: as the caller of this function has promised.
    unsafe { free(address) };
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    if let Some(rest) = real::spare_rest(old) {
        // SAFETY: as the caller of this function has promised.
        let new = unsafe { malloc(size) };
        if !new.is_null() {
            // SAFETY: there are so many bytes in both, which are different memory.
            unsafe { ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast::<u8>(), size.min(rest)) };
        }
        return new;
    }
    let caller = Caller::new();
    let Some(functions) = caller.functions() else { return real::spare(size) };
    let Some(realloc) = functions.realloc else { return no_memory() };
    if old.is_null() {
        // SAFETY: as the caller of this function has promised.
        let new = unsafe { realloc(old, size) };
        caller.allocated(new, size, natural_alignment(size));
        return new;
    }
    // Before it is free: another thread may have it right after.
    let recorded = caller.options().filter(|(_, options)| options.sampling == 1 || sample::remove(old.addr()));
    let stack = recorded.map_or(StackId::EMPTY, |(inside, options)| stack(inside, options));
    // SAFETY: as the caller of this function has promised.
    let new = unsafe { realloc(old, size) };
    let Some((inside, options)) = recorded else { return new };
    let has_failed = new.is_null() && size > 0;
    let stays_in_sample = |address: *mut c_void| options.sampling == 1 || sample::insert(address.addr());
    let (old_address, address) = (old.addr() as u64, new.addr() as u64);
    if has_failed && stays_in_sample(old) {
        // Nothing has happened.
    } else if new.is_null() || !stays_in_sample(new) {
        record(inside, options, EventKind::Free { address: old_address });
    } else {
        // If the memory has moved, both ends have the same time, this one: another thread that has got the old memory
        // in the moment since seems to have got it early.
        let (size, alignment) = (size as u64, natural_alignment(size) as u32);
        record(inside, options, EventKind::Reallocate { old_address, address, size, alignment, stack });
    }
    new
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn reallocarray(old: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as the caller of this function has promised.
        Some(size) => unsafe { realloc(old, size) },
        None => no_memory(),
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(address: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    let caller = Caller::new();
    let Some(posix_memalign) = caller.functions().and_then(|functions| functions.posix_memalign) else {
        return ENOMEM;
    };
    // SAFETY: as the caller of this function has promised.
    let error = unsafe { posix_memalign(address, alignment, size) };
    if error == 0 {
        // SAFETY: it has just been written.
        caller.allocated(unsafe { *address }, size, alignment);
    }
    error
}

/// Defines a hook that allocates, with what of its arguments are the size and the alignment.
macro_rules! allocating {
    ($name:ident($($argument:ident),*) => $size:expr, $alignment:expr) => {
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($argument: usize),*) -> *mut c_void {
            let caller = Caller::new();
            let Some(function) = caller.functions().and_then(|functions| functions.$name) else { return no_memory() };
            // SAFETY: as the caller of this function has promised.
            let address = unsafe { function($($argument),*) };
            caller.allocated(address, $size, $alignment);
            address
        }
    };
}

allocating!(aligned_alloc(alignment, size) => size, power_of_two(alignment));
allocating!(memalign(alignment, size) => size, power_of_two(alignment));
allocating!(valloc(size) => size, sys::page_size());
allocating!(pvalloc(size) => size, sys::page_size());

/// glibc takes any alignment, and rounds it up.
fn power_of_two(alignment: usize) -> usize {
    alignment.checked_next_power_of_two().unwrap_or(1)
}

fn no_memory() -> *mut c_void {
    unsafe extern "C" {
        fn __errno_location() -> *mut c_int;
    }
    // SAFETY: every thread has one.
    let errno = unsafe { __errno_location() };
    // SAFETY: it is this thread's.
    unsafe { *errno = ENOMEM };
    ptr::null_mut()
}

/// The functions of the C library, from outside of the allocator.
fn functions() -> Option<&'static Functions> {
    Caller::new().functions()
}

/// Defines a hook that is called before the program is replaced by another one: with an environment, or with the
/// program's.
macro_rules! executing {
    ($name:ident($($argument:ident: $type:ty),*) as $real:ident, $environment:ident) => {
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($argument: $type,)* $environment: Texts) -> c_int {
            executing!(@call $real($($argument),*), $environment)
        }
    };
    ($name:ident($($argument:ident: $type:ty),*) as $real:ident) => {
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            executing!(@call $real($($argument),*), sys::current_environment())
        }
    };
    (@call $real:ident($($argument:ident),*), $environment:expr) => {
        match functions().and_then(|functions| functions.$real) {
            Some(function) => process::with_successor($environment, |environment| {
                // SAFETY: as the caller of this function has promised; the environment has all that theirs has.
                unsafe { function($($argument,)* environment) }
            }),
            None => {
                no_memory();
                -1
            }
        }
    };
}

executing!(execve(path: Text, arguments: Texts) as execve, environment);
executing!(execvpe(file: Text, arguments: Texts) as execvpe, environment);
executing!(fexecve(file: c_int, arguments: Texts) as fexecve, environment);
executing!(execv(path: Text, arguments: Texts) as execve);
executing!(execvp(file: Text, arguments: Texts) as execvpe);

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dlclose(library: *mut c_void) -> c_int {
    let Some(dlclose) = functions().and_then(|functions| functions.dlclose) else { return -1 };
    // Whose code it was that has allocated can be seen only as long as it is there.
    process::interrupt();
    // SAFETY: as the caller of this function has promised.
    let error = unsafe { dlclose(library) };
    trace::has_unloaded();
    error
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn _exit(status: c_int) -> ! {
    process::end();
    sys::exit_group(status)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn _Exit(status: c_int) -> ! {
    process::end();
    sys::exit_group(status)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn quick_exit(status: c_int) -> ! {
    process::end();
    match functions().and_then(|functions| functions.quick_exit) {
        // SAFETY: as the caller of this function has promised.
        Some(quick_exit) => unsafe { quick_exit(status) },
        None => sys::exit_group(status),
    }
}

/// The trace has no end then: that the program has crashed is to be seen.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn abort() -> ! {
    process::interrupt();
    match functions().and_then(|functions| functions.abort) {
        // SAFETY: as the caller of this function has promised.
        Some(abort) => unsafe { abort() },
        None => sys::exit_by_abort(),
    }
}
