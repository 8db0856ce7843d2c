//! A microcontroller without a system, whose memory is as in `arm.ld`. A debugger or an emulator loads the program, and
//! is told the status: semihosting.

use core::arch::{asm, global_asm};

const FAULT: i32 = 102;

// What the processor reads at first: the stack, where to begin, and where to go on after faults.
global_asm! {
    ".section .vectors, \"a\"",
    ".word stack_end",
    ".word {start}",
    ".rept 14",
    ".word {fault}",
    ".endr",
    start = sym start,
    fault = sym fault,
}

extern "C" fn start() -> ! {
    const ACCESS_CONTROL: *mut u32 = core::ptr::without_provenance_mut(0xe000_ed88);
    const FLOATING_POINT_UNIT: u32 = 0xf << 20;

    // SAFETY: the processor has a register there, and nothing but the following lines uses it.
    unsafe { ACCESS_CONTROL.write_volatile(FLOATING_POINT_UNIT) };
    // SAFETY: from here on the unit is there.
    unsafe { asm!("dsb", "isb") };
    exit(crate::check_all())
}

extern "C" fn fault() -> ! {
    exit(FAULT)
}

pub(crate) fn exit(status: i32) -> ! {
    const SYS_EXIT_EXTENDED: u32 = 0x20;
    const APPLICATION_EXIT: i32 = 0x20026;

    let reason_and_status = [APPLICATION_EXIT, status];
    // SAFETY: the debugger reads both, and stops the program.
    unsafe { asm!("bkpt 0xab", "udf 0", in("r0") SYS_EXIT_EXTENDED, in("r1") &reason_and_status, options(noreturn)) }
}
