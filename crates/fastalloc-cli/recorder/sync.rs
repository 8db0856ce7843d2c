//! What belongs to a thread, and what threads share.

use core::arch::{asm, global_asm};
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use crate::buffer::Buffer;
use crate::sys;

// `thread_local!` needs std, and what it would do in a library that is loaded is to allocate. The program is not running
// yet when this one is, so there is room at a fixed distance from the thread pointer.
global_asm!(
    ".pushsection .tbss,\"awT\",@nobits",
    ".balign 16",
    ".hidden fastalloc_thread",
    ".globl fastalloc_thread",
    ".type fastalloc_thread,@object",
    ".size fastalloc_thread,32",
    "fastalloc_thread: .zero 32",
    ".popsection",
);

/// What a thread has; zeros at first. Only this thread uses it, but signal handlers may interrupt it anywhere.
#[repr(C)]
struct Thread {
    /// Whether it is in the recorder, or in an allocator that the recorder has called.
    is_inside: Cell<bool>,
    buffer: Cell<Option<&'static Buffer>>,
    random: Cell<u64>,
}

const _: () = assert!(size_of::<Thread>() <= 32 && align_of::<Thread>() <= 16);

/// What this thread has. It must not be handed to another thread.
fn thread<'a>() -> &'a Thread {
    let thread: *const Thread;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads the distance, which the loader has stored, and adds the thread pointer.
    unsafe {
        asm!("mov {0}, qword ptr [rip + fastalloc_thread@GOTTPOFF]", "add {0}, qword ptr fs:[0]", out(reg) thread,
            options(pure, readonly, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("mrs {0}, tpidr_el0", "adrp {1}, :gottprel:fastalloc_thread",
            "ldr {1}, [{1}, :gottprel_lo12:fastalloc_thread]", "add {0}, {0}, {1}", out(reg) thread, out(reg) _,
            options(pure, readonly, nostack));
    }
    // SAFETY: it is there as long as the thread is, and zeros are valid.
    unsafe { &*thread }
}

/// That this thread is inside of the recorder: what it allocates meanwhile is not recorded.
pub(crate) struct Inside(PhantomData<*mut ()>);

impl Inside {
    /// `None` if it was inside already.
    pub(crate) fn enter() -> Option<Self> {
        let was_inside = thread().is_inside.replace(true);
        // For signal handlers, what comes now comes after.
        compiler_fence(Ordering::SeqCst);
        // Not `then_some`: it would make one in any case, which is let go of then, and opens the door for who is inside.
        (!was_inside).then(|| Self(PhantomData))
    }

    pub(crate) fn buffer(&self) -> Option<&'static Buffer> {
        thread().buffer.get()
    }

    pub(crate) fn set_buffer(&self, buffer: Option<&'static Buffer>) {
        thread().buffer.set(buffer);
    }

    /// The next random number, by xorshift64* (Vigna, *An experimental exploration of Marsaglia's xorshift generators,
    /// scrambled*, 2016).
    pub(crate) fn random(&self) -> u64 {
        let mut state = thread().random.get();
        if state == 0 {
            state = (u64::from(sys::thread_id()) << 32 ^ sys::clock(sys::MONOTONIC)) | 1;
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        thread().random.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        thread().is_inside.set(false);
    }
}

/// A value that one thread at a time uses, which waits for nothing but the kernel. No signal handler runs meanwhile.
pub(crate) struct Lock<T> {
    /// 0: nobody has it; 1: somebody; 2: somebody, and others wait.
    state: AtomicU32,
    /// The signals that were blocked before.
    signals: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time has it.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(0), signals: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }

    /// Waits for it: mutex2 of Drepper, *Futexes are tricky*, 2011.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let signals = sys::set_signal_mask(!0);
        if self.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.state.swap(2, Ordering::Acquire) != 0 {
                sys::futex_wait(&self.state, 2);
            }
        }
        self.signals.store(signals, Ordering::Relaxed);
        Locked(self)
    }

    /// Takes it, whoever has it.
    ///
    /// # Safety
    ///
    /// No other thread runs, and the value is a valid one wherever its user has stopped.
    pub(crate) unsafe fn reset(&self) -> Locked<'_, T> {
        self.state.store(0, Ordering::Relaxed);
        self.lock()
    }
}

pub(crate) struct Locked<'a, T>(&'a Lock<T>);

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it is locked, and who has it borrows this.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: it is locked, and who has it borrows this mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        let signals = self.0.signals.load(Ordering::Relaxed);
        if self.0.state.swap(0, Ordering::Release) == 2 {
            sys::futex_wake(&self.0.state);
        }
        sys::set_signal_mask(signals);
    }
}
