//! The library that `fastalloc record` puts between a program and its allocator, by `LD_PRELOAD`.
//!
//! It runs inside of programs it knows nothing of, in their `malloc`. So it does not allocate, does not panic, asks the
//! kernel directly (which leaves `errno` alone, and is no place where a thread can be cancelled), and never holds a lock
//! while it calls anything outside of this folder:
//!
//! ```text
//! hooks      malloc and the like, exit, exec: what the program calls instead
//!   process    begin, fork, the end             real     what it would have called
//!   successor  what a process becomes
//!   got        for programs that bring an allocator of their own
//!     trace      the file, and the lock on it     sample   which addresses are in the sample
//!       buffer     events of a thread that wait to be written
//!         stack      unwinding; the table of stacks     modules   what code is where
//!           sync       locks, and what belongs to a thread
//!             sys        the kernel
//! ```
//!
//! Two locks: that of the trace, then that of a buffer, in this order. Signals are blocked while a thread has the
//! first. A signal handler that interrupts a thread while it has only the second finds the thread
//! [inside](sync::Inside), and is not recorded.
//!
//! `build.rs` compiles it. [`encode`] and [`event`] are links to files of `fastalloc-trace`.

#![no_std]

use core::arch::global_asm;

mod buffer;
mod crc;
#[expect(dead_code, reason = "it is for readers too")]
mod encode;
mod event;
mod got;
mod hooks;
mod modules;
mod process;
mod real;
mod sample;
mod stack;
mod successor;
mod sync;
mod sys;
mod trace;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit_by_abort()
}

// What tables of unwinding of `core` refer to; with `panic=abort`, nobody calls it. Hidden, because the program may have a
// real one of that name, which is looked up here first.
global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    ".globl rust_eh_personality",
    ".hidden rust_eh_personality",
    ".type rust_eh_personality,@function",
    "rust_eh_personality:",
    ".8byte 0",
    ".popsection",
);
