//! Whoever loads the module calls its function `run`, which returns the status. After a panic it does not return.

use core::arch::wasm32;

#[unsafe(no_mangle)]
extern "C" fn run() -> i32 {
    crate::check_all()
}

pub(crate) fn exit(_: i32) -> ! {
    wasm32::unreachable()
}
