//! Atomics and locks: of `core` and `std`, or of a library that the user or a test chose.

#[cfg(not(fastalloc_loom))]
pub(crate) use core::sync::atomic;

#[cfg(fastalloc_loom)]
pub(crate) use loom::sync::atomic;

#[cfg(not(fastalloc_loom))]
pub(crate) use core::hint::spin_loop;

#[cfg(fastalloc_loom)]
pub(crate) use loom::hint::spin_loop;

/// Atomics that may be made of zeros.
#[cfg(not(fastalloc_loom))]
pub(crate) use core::sync::atomic as zeroed;

/// Atomics that may be made of zeros. Those of loom may not: they are made when they are first used.
#[cfg(fastalloc_loom)]
pub(crate) mod zeroed {
    use alloc::boxed::Box;
    use core::ops::{Deref, DerefMut};
    use core::ptr;
    use core::sync::atomic::AtomicPtr;
    use core::sync::atomic::Ordering::Relaxed;

    pub(crate) type AtomicU32 = Zeroed<super::atomic::AtomicU32>;
    pub(crate) type AtomicU64 = Zeroed<super::atomic::AtomicU64>;

    /// Never freed.
    #[derive(Debug)]
    pub(crate) struct Zeroed<A>(AtomicPtr<A>);

    impl<A: Default> Deref for Zeroed<A> {
        type Target = A;

        fn deref(&self) -> &A {
            // No other thread comes between: all threads of a model are one of the machine.
            if self.0.load(Relaxed).is_null() {
                self.0.store(ptr::from_mut(Box::leak(Box::default())), Relaxed);
            }
            // SAFETY: it was made, and is never freed.
            unsafe { &*self.0.load(Relaxed) }
        }
    }

    impl<A: Default> DerefMut for Zeroed<A> {
        fn deref_mut(&mut self) -> &mut A {
            let _made: &A = self;
            // SAFETY: it was made, and is never freed, and nobody else has it.
            unsafe { &mut **self.0.get_mut() }
        }
    }
}

#[cfg(fastalloc_loom)]
type Lock<T> = loom::sync::Mutex<T>;
#[cfg(all(feature = "parking_lot", not(fastalloc_loom)))]
type Lock<T> = parking_lot::Mutex<T>;
#[cfg(not(any(feature = "parking_lot", fastalloc_loom)))]
type Lock<T> = std::sync::Mutex<T>;

/// A lock that stays usable if its holder panics: no user code runs under it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Lock<T>);

impl<T> Mutex<T> {
    #[cfg(not(fastalloc_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self(Lock::new(value))
    }

    #[cfg(fastalloc_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(Lock::new(value))
    }

    /// Calls `f` with what the lock guards, when no other thread uses it.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(all(feature = "parking_lot", not(fastalloc_loom)))]
        return f(&mut self.0.lock());
        #[cfg(not(all(feature = "parking_lot", not(fastalloc_loom))))]
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Calls `f` with what the lock guards, unless another thread uses it.
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(all(feature = "parking_lot", not(fastalloc_loom)))]
        return self.0.try_lock().map(|mut value| f(&mut value));
        #[cfg(not(all(feature = "parking_lot", not(fastalloc_loom))))]
        match self.0.try_lock() {
            Ok(mut value) => Some(f(&mut value)),
            Err(std::sync::TryLockError::Poisoned(error)) => Some(f(&mut error.into_inner())),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// Lets other threads run here, if a model wants that: loom takes some orders of loads for equivalent that are not, and
/// does not try all of them by itself.
#[inline]
pub(crate) fn interleave() {
    #[cfg(fastalloc_loom)]
    if INTERLEAVES.get() {
        loom::thread::yield_now();
    }
}

#[cfg(fastalloc_loom)]
std::thread_local! {
    /// What the model that runs says. All threads of a model are one of the machine.
    pub(crate) static INTERLEAVES: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Lets other threads run, while waiting for one that is in a short section.
pub(crate) fn yield_now() {
    #[cfg(not(fastalloc_loom))]
    std::thread::yield_now();
    #[cfg(fastalloc_loom)]
    loom::thread::yield_now();
}
