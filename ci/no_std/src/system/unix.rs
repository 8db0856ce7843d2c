//! The one part of the system that the program needs is the library of C.

use core::ffi::c_int;

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    crate::check_all()
}

pub(crate) fn exit(status: i32) -> ! {
    #[link(name = "c")]
    unsafe extern "C" {
        fn _exit(status: c_int) -> !;
    }

    // SAFETY: the function takes any status.
    unsafe { _exit(status) }
}

// The `alloc` that comes with the compiler was built to unwind, and refers to these.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}
