//! What pools know about a thread, and fences of which only one side costs anything.

#[cfg(not(fastalloc_loom))]
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::{self, NonNull};
#[cfg(not(fastalloc_loom))]
use core::sync::atomic::compiler_fence;
#[cfg(not(fastalloc_loom))]
use std::thread_local;

use super::Head;
use super::magazine::{Magazine, Place};
#[cfg(not(fastalloc_loom))]
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicPtr, AtomicUsize, fence};

/// What pools know about a thread. It is never freed, but serves another thread when its own has ended:
/// there are as many as threads have ever used shared pools at the same time.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Thread {
    /// Not 0 while the thread is using one of its magazines: see [`enter`](Self::enter). A whole word, because
    /// the warm loop takes half as long again with a byte (measured on Zen 3).
    busy: AtomicUsize,
    /// The thread has to fence by itself, because [`heavy_fence`] cannot do it for all.
    fences: bool,
    /// The pool that the thread used last, as [`Head::key`] names it, or null; and its magazine there.
    key: AtomicPtr<Head>,
    magazine: AtomicPtr<Magazine>,
    /// Where the magazines of this thread are, in each pool.
    pub(super) place: Place,
}

impl Thread {
    #[cfg(not(fastalloc_loom))]
    const fn new(place: Place, fences: bool) -> Self {
        let (key, magazine) = (AtomicPtr::new(ptr::null_mut()), AtomicPtr::new(ptr::null_mut()));
        Self { busy: AtomicUsize::new(0), fences, key, magazine, place }
    }

    #[cfg(fastalloc_loom)]
    fn new(place: Place, fences: bool) -> Self {
        let (key, magazine) = (AtomicPtr::default(), AtomicPtr::default());
        Self { busy: AtomicUsize::new(0), fences, key, magazine, place }
    }

    /// Announces that the thread is going to use a magazine, before it looks whether it may.
    ///
    /// This is one side of Dekker's mutual exclusion: the thread writes `busy`, then reads whether it remembers
    /// the magazine, or whether the pool's magazines are out of use. Who wants to use another thread's magazine
    /// puts the pool's out of use, makes the thread forget its, and then reads `busy`. On each side the write
    /// must come before the read. The rare side calls [`heavy_fence`], which makes each running thread pass a
    /// fence; so on this side it is enough that the compiler keeps the order: if the fence comes before the
    /// write of `busy`, the read sees what the rare side wrote; else the rare side sees `busy`.
    #[inline]
    pub(super) fn enter(&self) {
        self.busy.store(1, Relaxed);
        if self.fences {
            fence(SeqCst);
        }
        light_fence();
    }

    /// The same as [`enter`](Self::enter), and returns the thread's magazine in a pool if it remembers that.
    ///
    /// Usually it does. Then the processor need not wait until the pool was found from the address of a slot,
    /// and the magazine from the pool, before it knows where the slot is written to. And nothing more need be
    /// asked: a thread forgets its magazine before that is out of use, or gone.
    #[inline]
    pub(super) fn enter_remembered(&self, key: *mut Head) -> Option<&Magazine> {
        self.busy.store(1, Relaxed);
        light_fence();
        if self.key.load(Relaxed) != key {
            return None;
        }
        // SAFETY: a pointer that was set before the key is not null.
        let magazine = unsafe { NonNull::new_unchecked(self.magazine.load(Relaxed)) };
        // SAFETY: the magazine lives until the thread, which is busy now, has forgotten it.
        Some(unsafe { magazine.as_ref() })
    }

    /// Announces that the thread does not use a magazine any more, which may be gone then.
    #[inline]
    pub(super) fn leave(&self) {
        // Pairs with `is_busy`: who finds the thread outside sees what it left in the magazine.
        self.busy.store(0, Release);
    }

    /// Whether the thread uses a magazine. Only to be asked after a [`heavy_fence`].
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Acquire) != 0
    }

    /// Remembers a magazine of this thread that is in use. Only while the thread is busy.
    pub(super) fn remember(&self, key: *mut Head, magazine: &Magazine) {
        // Who fences by himself must ask each time.
        if !self.fences {
            // Never the new key with the old magazine, for `forget` of either.
            self.key.store(ptr::null_mut(), Relaxed);
            self.magazine.store(ptr::from_ref(magazine).cast_mut(), Relaxed);
            self.key.store(key, Relaxed);
            light_fence();
        }
    }

    /// Forgets the magazine in a pool. Called by any thread, while magazines are out of use.
    pub(super) fn forget(&self, key: *mut Head) {
        // Fails if the thread remembers another one.
        let _ = self.key.compare_exchange(key, ptr::null_mut(), Relaxed, Relaxed);
    }
}

/// Keeps what the thread wrote before in front of what it reads after, where [`heavy_fence`] does the rest.
#[inline]
fn light_fence() {
    #[cfg(not(fastalloc_loom))]
    compiler_fence(SeqCst);
    #[cfg(fastalloc_loom)]
    fence(SeqCst);
}

/// For threads that are not registered: remembers nothing.
#[cfg(not(fastalloc_loom))]
static NOBODY: Thread = Thread::new(Place::FIRST, false);

#[cfg(not(fastalloc_loom))]
thread_local! {
    /// Without a destructor, so that it is one load to read, and readable as long as the thread runs. A pointer,
    /// because Rust 1.85 allows no constant references to what changes.
    static CURRENT: Cell<*const Thread> = const { Cell::new(&raw const NOBODY) };
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
        CURRENT.set(&raw const NOBODY);
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
        let thread = Thread::new(Place::of(self.count)?, !membarrier::works());
        self.threads.try_reserve(self.count + 1).ok()?;
        self.count += 1;
        let mut memory = Vec::new();
        memory.try_reserve_exact(1).ok()?;
        memory.push(thread);
        memory.leak().first()
    }
}

/// The current thread; the one that remembers nothing, if it is not [`registered`].
#[cfg(not(fastalloc_loom))]
#[inline]
pub(super) fn current() -> &'static Thread {
    // SAFETY: threads are never freed, and are changed through atomics only.
    unsafe { &*CURRENT.get() }
}

/// The current thread, registered if it can be: not while its thread-local variables are destroyed, nor
/// while another thread is in the way, because nobody waits for that.
#[cfg(not(fastalloc_loom))]
pub(super) fn registered() -> Option<&'static Thread> {
    if ptr::eq(current(), &raw const NOBODY) {
        let thread = GUARD.try_with(|guard| {
            guard.0.set(RETIRED.try_with(Retired::take).flatten());
            guard.0.get()
        });
        CURRENT.set(thread.ok()??);
    }
    Some(current())
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
    use core::sync::atomic::AtomicU8;
    use core::sync::atomic::Ordering::Relaxed;

    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;

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
        // Nobody waits for a thread that is finding out: several may.
        static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
        match ANSWER.load(Relaxed) {
            UNKNOWN => {
                let works = membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED);
                ANSWER.store(if works { YES } else { NO }, Relaxed);
                works
            }
            answer => answer == YES,
        }
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
    #[cfg(not(fastalloc_loom))]
    pub(super) fn works() -> bool {
        false
    }

    pub(super) fn call() {}
}

#[cfg(fastalloc_loom)]
loom::thread_local! {
    /// The current thread of a model, and whether it is registered.
    static CURRENT: Cell<(Option<&'static Thread>, bool)> = Cell::new((None, false));
}

#[cfg(fastalloc_loom)]
pub(super) fn current() -> &'static Thread {
    CURRENT.with(|current| {
        let (thread, registered) = current.get();
        // One for each thread: as nobody looks at the one that remembers nothing, there need not be only one.
        let thread = thread.unwrap_or_else(|| Thread::of_model(0));
        current.set((Some(thread), registered));
        thread
    })
}

#[cfg(fastalloc_loom)]
pub(super) fn registered() -> Option<&'static Thread> {
    let (thread, registered) = CURRENT.with(Cell::get);
    thread.filter(|_| registered)
}

/// What models need.
#[cfg(fastalloc_loom)]
impl Thread {
    /// Makes what pools know about the thread with this number, of those that are registered.
    pub(super) fn of_model(number: usize) -> &'static Self {
        alloc::boxed::Box::leak(alloc::boxed::Box::new(Self::new(Place::of(number).expect("a small number"), false)))
    }
}

/// Makes the current thread of a model this one, or one that is not registered.
#[cfg(all(test, fastalloc_loom))]
pub(super) fn register(thread: Option<&'static Thread>) {
    CURRENT.with(|current| current.set((thread, thread.is_some())));
}
