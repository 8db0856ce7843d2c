//! What pools know about a thread, and fences of which only one side costs anything.

use core::cell::Cell;
use core::ptr::{self, NonNull};
#[cfg(not(fastalloc_loom))]
use core::sync::atomic::compiler_fence;
use std::boxed::Box;
use std::thread_local;
use std::vec::Vec;

use super::Head;
use super::magazine::{Magazine, Place};
#[cfg(not(fastalloc_loom))]
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicPtr, fence};

/// What pools know about a thread. It is never freed, but serves another thread when its own has ended:
/// there are as many as threads have ever used shared pools at the same time.
#[derive(Debug)]
pub(crate) struct Thread {
    /// The thread is using one of its magazines: see [`enter`](Self::enter).
    busy: AtomicBool,
    /// Where the magazines of this thread are, in each pool.
    pub(super) place: Place,
    /// The pool whose magazine was changed last other than by one slot, and the magazine: see
    /// [`magazine`](Self::magazine).
    head: AtomicPtr<Head>,
    magazine: AtomicPtr<Magazine>,
    /// The thread has to fence its sections, because [`heavy_fence`] cannot do it for all.
    fences: bool,
}

impl Thread {
    fn new(number: usize) -> Option<Self> {
        Some(Self {
            busy: AtomicBool::new(false),
            fences: !membarrier::works(),
            head: AtomicPtr::default(),
            magazine: AtomicPtr::default(),
            place: Place::of(number)?,
        })
    }

    /// Announces that the thread is going to use a magazine, before it looks whether it may.
    ///
    /// This is one side of Dekker's mutual exclusion: the thread writes `busy`, then reads whether the
    /// pool's magazines are out of use. Who wants to use another thread's magazine puts the pool's out of use,
    /// then reads `busy`. On each side the write must come before the read. The rare side calls
    /// [`heavy_fence`], which makes each running thread pass a fence; so on this side, it is enough
    /// that the compiler keeps the order: if the fence comes before the write of `busy`, the read sees that the
    /// magazines are out of use; else the rare side sees `busy`.
    #[inline]
    pub(super) fn enter(&self) {
        self.busy.store(true, Relaxed);
        #[cfg(not(fastalloc_loom))]
        if !self.fences {
            return compiler_fence(SeqCst);
        }
        fence(SeqCst);
    }

    /// The thread's magazine in a pool, if it is the one that it remembers.
    ///
    /// Usually it is. Then the processor need not wait until the pool was found from the address of a slot,
    /// and the magazine from the pool, before it knows where the slot is written to.
    #[inline]
    pub(super) fn magazine(&self, head: NonNull<Head>) -> Option<NonNull<Magazine>> {
        if self.head.load(Relaxed) != head.as_ptr() {
            return None;
        }
        NonNull::new(self.magazine.load(Relaxed))
    }

    /// Remembers a magazine of this thread.
    pub(super) fn remember(&self, head: NonNull<Head>, magazine: &Magazine) {
        self.magazine.store(ptr::from_ref(magazine).cast_mut(), Relaxed);
        self.head.store(head.as_ptr(), Relaxed);
    }

    /// Forgets the magazine of a pool, which is gone. Called by any thread.
    pub(super) fn forget(&self, head: NonNull<Head>) {
        // Fails if the thread remembers another one meanwhile. That no later pool at the same address is mistaken
        // for this one follows from how the thread learns of that address: after this.
        let _ = self.head.compare_exchange(head.as_ptr(), ptr::null_mut(), Relaxed, Relaxed);
    }

    /// Announces that the thread does not use a magazine any more.
    #[inline]
    pub(super) fn leave(&self) {
        // Pairs with `is_busy`: who finds the thread idle sees what it left in the magazine.
        self.busy.store(false, Release);
    }

    /// Whether the thread uses a magazine. Only to be asked after a [`heavy_fence`].
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Acquire)
    }
}

#[cfg(not(fastalloc_loom))]
thread_local! {
    /// Without a destructor, so that it is one load to read, and readable as long as the thread runs.
    static CURRENT: Cell<Option<&'static Thread>> = const { Cell::new(None) };
    static GUARD: Guard = Guard::default();
}

/// Lets another thread have the number when this one ends.
#[cfg(not(fastalloc_loom))]
#[derive(Default)]
struct Guard(Cell<Option<&'static Thread>>);

#[cfg(not(fastalloc_loom))]
impl Drop for Guard {
    fn drop(&mut self) {
        // Handles that other destructors of this thread drop go without magazines.
        CURRENT.set(None);
        if let Some(thread) = self.0.get() {
            RETIRED.with(|retired| retired.threads.push(thread));
        }
    }
}

/// Those whose threads have ended.
#[cfg(not(fastalloc_loom))]
struct Retired {
    /// Has room for all.
    threads: Vec<&'static Thread>,
    /// How many there are in all, retired or not.
    count: usize,
}

#[cfg(not(fastalloc_loom))]
static RETIRED: Mutex<Retired> = Mutex::new(Retired { threads: Vec::new(), count: 0 });

#[cfg(not(fastalloc_loom))]
impl Retired {
    fn take(&mut self) -> Option<&'static Thread> {
        if let Some(thread) = self.threads.pop() {
            return Some(thread);
        }
        let thread = Thread::new(self.count)?;
        self.threads.try_reserve(self.count + 1).ok()?;
        self.count += 1;
        Some(Box::leak(Box::new(thread)))
    }
}

/// The current thread, if it is [`registered`].
#[cfg(not(fastalloc_loom))]
#[inline]
pub(super) fn current() -> Option<&'static Thread> {
    CURRENT.get()
}

/// The current thread, registered if it can be: not while its thread-local variables are destroyed, nor
/// while another thread is in the way, because nobody waits for that.
#[cfg(not(fastalloc_loom))]
pub(super) fn registered() -> Option<&'static Thread> {
    if CURRENT.get().is_none() {
        let _ = GUARD.try_with(|guard| {
            guard.0.set(RETIRED.try_with(Retired::take).flatten());
            CURRENT.set(guard.0.get());
        });
    }
    CURRENT.get()
}

/// Makes all threads of the process pass a memory fence. See [`Thread::enter`].
pub(super) fn heavy_fence() {
    fence(SeqCst);
    membarrier::call();
    fence(SeqCst);
}

/// The call of Linux that makes all running threads of the process pass a memory fence: somewhat below
/// a microsecond.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"),
    not(any(miri, fastalloc_loom))
))]
mod membarrier {
    use core::ffi::{c_int, c_long};
    use std::sync::OnceLock;

    const SYS_MEMBARRIER: c_long = if cfg!(target_arch = "x86_64") { 324 } else { 283 };
    const PRIVATE_EXPEDITED: c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }

    fn membarrier(command: c_int) -> bool {
        // SAFETY: the call takes a command, flags and a processor, and changes no memory.
        unsafe { syscall(SYS_MEMBARRIER, command, 0, 0) == 0 }
    }

    /// Whether the kernel offers the call. Older ones do not, nor do some sandboxes.
    pub(super) fn works() -> bool {
        static WORKS: OnceLock<bool> = OnceLock::new();
        *WORKS.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED))
    }

    pub(super) fn call() {
        // Else the threads fence themselves.
        if works() {
            assert!(membarrier(PRIVATE_EXPEDITED), "the kernel withdrew the system call membarrier");
        }
    }
}

/// Elsewhere the threads fence themselves.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"),
    not(any(miri, fastalloc_loom))
)))]
mod membarrier {
    pub(super) fn works() -> bool {
        false
    }

    pub(super) fn call() {}
}

#[cfg(fastalloc_loom)]
loom::thread_local! {
    static CURRENT: Cell<Option<&'static Thread>> = Cell::new(None);
}

#[cfg(fastalloc_loom)]
pub(super) fn current() -> Option<&'static Thread> {
    CURRENT.with(Cell::get)
}

#[cfg(fastalloc_loom)]
pub(super) fn registered() -> Option<&'static Thread> {
    current()
}

/// Makes the current thread of a model the one with this number.
#[cfg(fastalloc_loom)]
pub(crate) fn register_as(number: usize) {
    let thread = Thread::new(number).expect("a small number");
    CURRENT.with(|current| current.set(Some(Box::leak(Box::new(thread)))));
}
