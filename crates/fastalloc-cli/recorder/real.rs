//! The functions that the program would have called.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::hooks;
use crate::sync::Inside;
use crate::sys;

macro_rules! functions {
    ($($name:ident: unsafe extern "C" fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Those that there are: not every C library has all of them.
        pub(crate) struct Functions { $(pub(crate) $name: Option<unsafe extern "C" fn($($argument),*) $(-> $result)?>,)* }

        static FUNCTIONS: FunctionsCell = FunctionsCell(UnsafeCell::new(Functions { $($name: None,)* }));

        fn find(functions: &mut Functions) {
            $(
                let hook: unsafe extern "C" fn($($argument),*) $(-> $result)? = hooks::$name;
                let name = concat!(stringify!($name), "\0").as_bytes();
                let found = definition(name, hook as *const c_void);
                // SAFETY: a function of this name has this type, and none is `None`.
                functions.$name = unsafe { core::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn($($argument),*) $(-> $result)?>>(found) };
            )*
        }

        /// Calls `tell` with the name of each function that is here, but that nobody calls here: with one of the
        /// program's own.
        pub(crate) fn for_each_hidden(mut tell: impl FnMut(&'static [u8], usize)) {
            $(
                let hook: unsafe extern "C" fn($($argument),*) $(-> $result)? = hooks::$name;
                let name = concat!(stringify!($name), "\0").as_bytes();
                let everybodys = lookup(sys::RTLD_DEFAULT, name);
                if !everybodys.is_null() && everybodys.cast_const() != hook as *const c_void {
                    tell(stringify!($name).as_bytes(), hook as usize);
                }
            )*
        }
    };
}

functions! {
    malloc: unsafe extern "C" fn(usize) -> *mut c_void;
    free: unsafe extern "C" fn(*mut c_void);
    calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void;
    realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    reallocarray: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
    posix_memalign: unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
    aligned_alloc: unsafe extern "C" fn(usize, usize) -> *mut c_void;
    memalign: unsafe extern "C" fn(usize, usize) -> *mut c_void;
    valloc: unsafe extern "C" fn(usize) -> *mut c_void;
    pvalloc: unsafe extern "C" fn(usize) -> *mut c_void;
    execve: unsafe extern "C" fn(hooks::Text, hooks::Texts, hooks::Texts) -> c_int;
    execvpe: unsafe extern "C" fn(hooks::Text, hooks::Texts, hooks::Texts) -> c_int;
    fexecve: unsafe extern "C" fn(c_int, hooks::Texts, hooks::Texts) -> c_int;
    dlclose: unsafe extern "C" fn(*mut c_void) -> c_int;
    quick_exit: unsafe extern "C" fn(c_int) -> !;
    abort: unsafe extern "C" fn() -> !;
}

struct FunctionsCell(UnsafeCell<Functions>);

// SAFETY: it is written before `ARE_FOUND` says that it can be read, by one thread, and then only read.
unsafe impl Sync for FunctionsCell {}

static ARE_FOUND: AtomicBool = AtomicBool::new(false);

/// The functions; they are looked for if nobody has done so yet, which is when the program has one thread.
pub(crate) fn functions(_: &Inside) -> &'static Functions {
    if !ARE_FOUND.load(Ordering::Acquire) {
        // SAFETY: nobody else is inside, and so, nobody has a reference.
        find(unsafe { &mut *FUNCTIONS.0.get() });
        ARE_FOUND.store(true, Ordering::Release);
    }
    // SAFETY: it is only read now.
    unsafe { &*FUNCTIONS.0.get() }
}

/// The functions, unless they are being looked for.
pub(crate) fn known_functions() -> Option<&'static Functions> {
    // SAFETY: it is only read now.
    ARE_FOUND.load(Ordering::Acquire).then(|| unsafe { &*FUNCTIONS.0.get() })
}

/// What everybody calls if that is not the hook, or else the next one.
fn definition(name: &'static [u8], hook: *const c_void) -> *mut c_void {
    let everybodys = lookup(sys::RTLD_DEFAULT, name);
    if everybodys.cast_const() == hook { lookup(sys::RTLD_NEXT, name) } else { everybodys }
}

fn lookup(scope: *mut c_void, name: &'static [u8]) -> *mut c_void {
    let name = CStr::from_bytes_with_nul(name).unwrap_or_default();
    // SAFETY: it is a text.
    unsafe { sys::dlsym(scope, name.as_ptr()) }
}

/// Memory for those who allocate while the allocator is being looked for: `dlsym`. It is never used again.
const SPARE: usize = 64 << 10;

#[repr(align(16))]
struct Spare(UnsafeCell<[u8; SPARE]>);

// SAFETY: each part of it is given to one caller.
unsafe impl Sync for Spare {}

static SPARE_MEMORY: Spare = Spare(UnsafeCell::new([0; SPARE]));
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);

/// Zeros, aligned to 16 bytes; null if there are no more.
pub(crate) fn spare(size: usize) -> *mut c_void {
    let Some(rounded) = size.max(1).checked_next_multiple_of(16).filter(|size| *size <= SPARE) else {
        return ptr::null_mut();
    };
    let start = SPARE_USED.fetch_add(rounded, Ordering::Relaxed);
    if start > SPARE - rounded {
        return ptr::null_mut();
    }
    // SAFETY: it is within the memory.
    unsafe { SPARE_MEMORY.0.get().cast::<u8>().add(start).cast() }
}

/// How many bytes there are from this address on, if it is one of [`spare`].
pub(crate) fn spare_rest(address: *mut c_void) -> Option<usize> {
    let offset = address.addr().wrapping_sub(SPARE_MEMORY.0.get().addr());
    SPARE.checked_sub(offset).filter(|rest| *rest > 0)
}
