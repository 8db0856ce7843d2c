//! Handles of the pools that threads share: without a lifetime, and dropped on any thread.

use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::error::Error as StdError;
use core::fmt;
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::panic::{self, RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::task::{Context, Poll};

use crate::chunk::Header;
use crate::error::{Error, Result};
use crate::handle::{keeps, owns};
use crate::poolable::{Poolable, Tenant};
use crate::raw::threads::{self, Counts, Head, Location, MANY};
use crate::raw::{self, Defer};

/// Owns a value in a slot of a pool that threads share.
///
/// As wide as a pointer, and dereferenced like a `Box`. It has no lifetime, can be sent to another thread if
/// the value can, and be dropped there. If it outlives its pool, the pool's memory lives until the last handle
/// is gone; a handle that is forgotten keeps it for ever.
///
/// # Examples
///
/// ```
/// use fastalloc::{ThreadSafeHandle, ThreadSafePool};
///
/// let pool = ThreadSafePool::new(10)?;
/// let number: ThreadSafeHandle<i32> = pool.allocate(41)?;
/// drop(pool);
/// let sum = std::thread::spawn(move || *number + 1).join().expect("it does not panic");
/// assert_eq!(sum, 42);
/// assert_eq!(size_of::<ThreadSafeHandle<i32>>(), size_of::<Box<i32>>());
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct ThreadSafeHandle<T: ?Sized + Tenant> {
    /// In an occupied slot, which is this handle's from `from_raw` until it is dropped.
    value: NonNull<T>,
    /// Invariant in `T`: the value may stay in the pool when the handle is gone.
    marker: PhantomData<*mut T>,
}

// SAFETY: the handle owns the value, as a `Box` does; the pool is made for use by any thread.
unsafe impl<T: ?Sized + Tenant + Send> Send for ThreadSafeHandle<T> {}
// SAFETY: a reference to the handle gives a reference to the value, and no more.
unsafe impl<T: ?Sized + Tenant + Sync> Sync for ThreadSafeHandle<T> {}

impl<T: ?Sized + Tenant> ThreadSafeHandle<T> {
    /// # Safety
    ///
    /// `value` is in an occupied slot of a shared core, and no other handle owns it.
    #[inline]
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value, marker: PhantomData }
    }

    #[inline]
    fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).value
    }

    pub(crate) fn location(&self) -> Location<'_> {
        // SAFETY: the slot is occupied as long as the handle has it.
        unsafe { Location::of(self.value) }
    }

    /// Shares the value: the handle returned can be cloned, and the last clone releases the slot.
    ///
    /// # Panics
    ///
    /// If there is no memory to count the handles, which is reserved when an object of a chunk is
    /// shared for the first time. See [`try_into_shared`](Self::try_into_shared).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let shared = pool.allocate([1, 2, 3])?.into_shared();
    /// let other = shared.clone();
    /// let sum: i32 = std::thread::spawn(move || other.iter().sum()).join().expect("it does not panic");
    /// assert_eq!((sum, shared.strong_count()), (6, 1));
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn into_shared(self) -> ThreadSafeSharedHandle<T> {
        match self.try_into_shared() {
            Ok(shared) => shared,
            Err((error, _)) => panic!("{error}"),
        }
    }

    /// Shares the value, as [`into_shared`](Self::into_shared) does.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], with the handle, if there is no memory to count the handles.
    #[inline]
    pub fn try_into_shared(self) -> Result<ThreadSafeSharedHandle<T>, (Error, Self)> {
        match self.location().counts_or_make() {
            Ok(counts) => {
                // A weak handle of an earlier tenant sees the new generation before it can see this.
                counts.strong.store(1, Release);
                Ok(ThreadSafeSharedHandle { value: self.into_raw(), marker: PhantomData })
            }
            Err(error) => Err((error, self)),
        }
    }

    /// Gives up the handle and returns a reference to the value, which stays in its slot for ever, and
    /// so does the pool's memory.
    #[must_use = "the slot stays occupied; drop the handle to release it"]
    pub fn leak<'a>(self) -> &'a mut T
    where
        T: 'a,
    {
        // SAFETY:
        // - Valid: the slot stays occupied, and a core is not freed before all slots are vacant.
        // - Not aliased: the handle that owned the value is gone.
        unsafe { self.into_raw().as_mut() }
    }

    /// Pins the value: it never moves, and its memory is not used for anything else before it is
    /// destroyed, whatever happens to the handle.
    ///
    /// When the handle is dropped, the value is destroyed at once: neither
    /// [`on_release`](Poolable::on_release) nor a reset are called, which get a reference that they could
    /// move it by, and a pool that recycles objects does not keep it. A pool of values with which this is
    /// used once is somewhat slower from then on.
    ///
    /// # Panics
    ///
    /// If there is no memory to note it, which is reserved when it is called for the first time for a value
    /// of a chunk.
    #[must_use]
    pub fn into_pin(self) -> Pin<Self> {
        match self.location().counts_or_make() {
            Ok(counts) => counts.pin(),
            Err(error) => panic!("{error}"),
        }
        self.location().not_plain();
        // SAFETY: the value does not move while it is in its slot; it leaves it only through
        // `into_inner`, which a pinned handle does not offer; the pool gives no reference to it to
        // anybody but its destructor; and the slot of a forgotten handle is not used again.
        unsafe { Pin::new_unchecked(self) }
    }
}

impl<T: Tenant> ThreadSafeHandle<T> {
    /// # Safety
    ///
    /// The handle of the slot was forgotten, and its value moved out.
    #[inline]
    unsafe fn vacate(value: NonNull<T>) {
        // SAFETY: the slot is occupied.
        let location = unsafe { Location::of(value) };
        if let Some(counts) = location.counts() {
            // The value may have been pinned and can be moved all the same.
            let _ = counts.unpin();
        }
        // SAFETY: the caller says so.
        unsafe { threads::vacate(location.head, location.slot) };
    }

    /// Converts to a handle of a trait object or a slice; the value stays where it is.
    ///
    /// `f` is a coercion: `|value| value`. `T` must not borrow anything, and be `Send`: the type that the handle is
    /// converted to may say nothing about its lifetime, and be `Send` though `T` is not.
    ///
    /// # Panics
    ///
    /// If `f` returns a reference with another address, size or alignment than those of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{ThreadSafeHandle, ThreadSafePool};
    ///
    /// let pool = ThreadSafePool::new(1)?;
    /// let three: ThreadSafeHandle<[u8]> = pool.allocate([1, 2, 3])?.unsize(|array| array);
    /// assert_eq!(three.iter().sum::<u8>(), 6);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    ///
    /// A value that must stay on its thread is refused:
    ///
    /// ```compile_fail,E0277
    /// # use std::{fmt::Debug, rc::Rc};
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let handle: fastalloc::ThreadSafeHandle<dyn Debug> = pool.allocate(Rc::new(1))?.unsize(|value| value);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn unsize<U: ?Sized + Tenant>(self, f: fn(&mut T) -> &mut U) -> ThreadSafeHandle<U>
    where
        T: Send + 'static,
    {
        // SAFETY: the slot is occupied and this handle's.
        let value = unsafe { raw::unsize(self.value, f) };
        mem::forget(self);
        ThreadSafeHandle { value, marker: PhantomData }
    }

    /// Puts a clone of the value into another slot of the same pool.
    ///
    /// # Errors
    ///
    /// As [`SharedPool::allocate`](crate::SharedPool::allocate); [`Error::Closed`] if the pool and all weak handles are gone.
    ///
    /// # Panics
    ///
    /// If `clone` or the hook [`Poolable::on_acquire`] does; the new slot is vacant then.
    #[track_caller]
    pub fn try_clone(&self) -> Result<Self>
    where
        T: Clone + Poolable + Send,
    {
        let location = self.location();
        let slot = location.take_another(panic::Location::caller())?;
        // SAFETY: the slot is occupied and, if this runs, holds no object.
        let vacate = Defer(|| unsafe { threads::vacate(location.head, slot) });
        let mut value = slot.cast::<T>();
        let object = T::clone(self);
        // SAFETY: the slot is new, was made for a `T`, and holds no object.
        unsafe { value.write(object) };
        // SAFETY: the object is nobody else's.
        let destroy = Defer(move || unsafe { value.drop_in_place() });
        // SAFETY: the object was just written, and is nobody else's.
        unsafe { value.as_mut() }.on_acquire();
        mem::forget(destroy);
        mem::forget(vacate);
        // SAFETY: the slot is occupied, and nobody else's.
        Ok(unsafe { Self::from_raw(value) })
    }
}

impl<T: ?Sized + Tenant> Drop for ThreadSafeHandle<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slot is occupied and this handle's.
        unsafe { threads::release(self.value) };
    }
}

/// One of several handles that share a value among threads; the last one releases the slot.
///
/// As wide as a pointer, and dereferenced like an `Arc`. The counts are beside the slots, in a table that a
/// chunk gets when its first object is shared: no object costs a heap allocation.
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
///
/// let pool = fastalloc::ThreadSafePool::new(1)?;
/// let score = pool.allocate(Mutex::new(0))?.into_shared();
/// let same = score.clone();
/// std::thread::spawn(move || *same.lock().unwrap() = 10).join().expect("it does not panic");
/// assert_eq!(*score.lock().unwrap(), 10);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct ThreadSafeSharedHandle<T: ?Sized + Tenant> {
    /// In an occupied slot with counts, one of which is this handle's.
    value: NonNull<T>,
    /// Invariant in `T`: the value may stay in the pool when the handle is gone.
    marker: PhantomData<*mut T>,
}

// SAFETY: as for `Arc`: whoever has a handle can share the value, and may be the one to destroy it.
unsafe impl<T: ?Sized + Tenant + Send + Sync> Send for ThreadSafeSharedHandle<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Tenant + Send + Sync> Sync for ThreadSafeSharedHandle<T> {}

impl<T: ?Sized + Tenant> ThreadSafeSharedHandle<T> {
    #[inline]
    fn location(&self) -> Location<'_> {
        // SAFETY: the slot is occupied as long as there is a shared handle.
        unsafe { Location::of(self.value) }
    }

    #[inline]
    fn counts(&self) -> &Counts {
        self.location().counts().expect("the chunk has a table since the value is shared")
    }

    /// Number of shared handles to the value. Others may change it at any time.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.counts().strong.load(Acquire) as usize
    }

    /// Number of weak handles to the value. Others may change it at any time.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.counts().weak_count()
    }

    /// Makes a handle that does not keep the value.
    ///
    /// # Panics
    ///
    /// If there are 2^32 - 2 of them.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let shared = pool.allocate_shared("here")?;
    /// let weak = shared.downgrade();
    /// assert_eq!(*weak.upgrade().expect("it is alive"), "here");
    /// drop(shared);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> ThreadSafeWeakHandle<T> {
        let location = self.location();
        let counts = self.counts();
        let generation = counts.generation.load(Relaxed);
        counts.add_weak(generation);
        // SAFETY: the slot is occupied, so its chunk and its core cannot go away.
        unsafe { ThreadSafeWeakHandle::new(self.value, location.header, NonNull::from(counts), generation) }
    }

    /// Whether two handles share one value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.value.addr() == other.value.addr()
    }

    /// The value, if this is the only handle to it, weak handles included.
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if !self.counts().is_only_handle() {
            return None;
        }
        // SAFETY:
        // - Valid: the value is this handle's.
        // - Not aliased: there is no other handle, and while `self` is borrowed mutably, it is neither
        //   cloned nor downgraded.
        Some(unsafe { self.value.as_mut() })
    }

    /// Becomes the only owner, if no other handle shares the value. Weak handles cannot be upgraded then.
    ///
    /// # Errors
    ///
    /// The handle, if it is not the only one.
    pub fn try_into_owned(self) -> Result<ThreadSafeHandle<T>, Self> {
        let counts = self.counts();
        if counts.strong.compare_exchange(1, 0, Acquire, Relaxed).is_err() {
            return Err(self);
        }
        counts.end();
        // SAFETY: the slot is occupied, and no other handle has it.
        Ok(unsafe { ThreadSafeHandle::from_raw(ManuallyDrop::new(self).value) })
    }

    /// What the last handle does. Out of line, as most handles are not the last one.
    #[inline(never)]
    fn release(&self, counts: &Counts) {
        counts.end();
        // SAFETY: the slot is occupied, and the handle was the last one.
        unsafe { threads::release(self.value) };
    }
}

impl<T: Tenant> ThreadSafeSharedHandle<T> {
    /// Takes the value out, if no other handle shares it; else drops the handle.
    ///
    /// If several threads call it for their handles to a value, one at most gets it; perhaps none does.
    #[must_use = "the value is destroyed; drop the handle to do that"]
    pub fn into_inner(self) -> Option<T> {
        self.try_into_owned().ok().map(ThreadSafeHandle::into_inner)
    }
}

impl<T: ?Sized + Tenant> Clone for ThreadSafeSharedHandle<T> {
    /// # Panics
    ///
    /// If there are 2^31 handles to the value.
    #[inline]
    fn clone(&self) -> Self {
        // As for `Arc`: whoever has a handle may make another one.
        let before = self.counts().strong.fetch_add(1, Relaxed);
        let clone = Self { ..*self };
        assert!(before < MANY, "too many handles to one value");
        clone
    }
}

impl<T: ?Sized + Tenant> Drop for ThreadSafeSharedHandle<T> {
    #[inline]
    fn drop(&mut self) {
        let counts = self.counts();
        if counts.strong.fetch_sub(1, Release) == 1 {
            // What the others did with the value comes before its end. A load, because ThreadSanitizer does not
            // understand fences.
            counts.strong.load(Acquire);
            self.release(counts);
        }
    }
}

/// Finds a value that threads share as long as it is alive, and does not keep it.
///
/// It never finds a later tenant of the slot: each shared object has a generation of its own. Unlike the
/// value, the memory of the pool lives as long as there are weak handles.
pub struct ThreadSafeWeakHandle<T: ?Sized + Tenant> {
    /// The slot where the value was shared. It may be vacant, or another value's: only to be
    /// dereferenced while the slot has the same generation.
    value: NonNull<T>,
    /// The chunk of the slot, which stays in place because its header counts this handle.
    header: NonNull<Header>,
    /// The counts of the slot, which stay in place as the chunk does.
    counts: NonNull<Counts>,
    generation: u64,
    marker: PhantomData<*mut T>,
}

// SAFETY: as for `sync::Weak`: an upgrade makes a shared handle.
unsafe impl<T: ?Sized + Tenant + Send + Sync> Send for ThreadSafeWeakHandle<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Tenant + Send + Sync> Sync for ThreadSafeWeakHandle<T> {}

impl<T: ?Sized + Tenant> ThreadSafeWeakHandle<T> {
    /// Makes a handle that is counted among those of its generation.
    ///
    /// # Safety
    ///
    /// The header and the counts are those of the value's slot, in a chunk that cannot go away meanwhile.
    unsafe fn new(value: NonNull<T>, header: NonNull<Header>, counts: NonNull<Counts>, generation: u64) -> Self {
        let weak = Self { value, header, counts, generation, marker: PhantomData };
        weak.header().weak_handles.fetch_add(1, Relaxed);
        weak.head().retain();
        weak
    }

    fn header(&self) -> &Header {
        // SAFETY: the header stays in place as long as it counts this handle, and changes through atomics.
        unsafe { self.header.as_ref() }
    }

    fn head(&self) -> &Head {
        // SAFETY: the core counts this handle, and changes through atomics only.
        unsafe { self.header().head.cast().as_ref() }
    }

    fn counts(&self) -> &Counts {
        // SAFETY: the counts stay in place as long as the header counts this handle, and change through atomics.
        unsafe { self.counts.as_ref() }
    }

    fn is_alive(&self) -> bool {
        self.counts().generation.load(Acquire) == self.generation
    }

    /// A handle that shares the value, if it is still shared by one at least.
    ///
    /// # Panics
    ///
    /// If there are 2^31 shared handles.
    #[must_use]
    pub fn upgrade(&self) -> Option<ThreadSafeSharedHandle<T>> {
        let strong = &self.counts().strong;
        let mut count = strong.load(Acquire);
        loop {
            if count == 0 || count >= MANY || !self.is_alive() {
                assert!(count < MANY || !self.is_alive(), "too many handles to one value");
                return None;
            }
            match strong.compare_exchange_weak(count, count + 1, AcqRel, Acquire) {
                Ok(_) => break,
                Err(changed) => count = changed,
            }
        }
        let shared = ThreadSafeSharedHandle { value: self.value, marker: PhantomData };
        if self.is_alive() {
            return Some(shared);
        }
        // The slot has got another tenant meanwhile, which this kept alive for a moment.
        drop(shared);
        None
    }

    /// Number of shared handles to the value; 0 if it is gone. Others may change it at any time.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        let strong = self.counts().strong.load(Acquire);
        if self.is_alive() { strong as usize } else { 0 }
    }

    /// Number of weak handles to the value; 0 if it is gone. Others may change it at any time.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        let weak = self.counts().weak_count();
        if self.is_alive() { weak } else { 0 }
    }
}

impl<T: ?Sized + Tenant> Clone for ThreadSafeWeakHandle<T> {
    /// # Panics
    ///
    /// If there are 2^32 - 2 weak handles to the value.
    fn clone(&self) -> Self {
        self.counts().add_weak(self.generation);
        // SAFETY: this handle keeps the chunk and the core.
        unsafe { Self::new(self.value, self.header, self.counts, self.generation) }
    }
}

impl<T: ?Sized + Tenant> Drop for ThreadSafeWeakHandle<T> {
    fn drop(&mut self) {
        self.counts().remove_weak(self.generation);
        let head = self.header().head.cast::<Head>();
        self.header().weak_handles.fetch_sub(1, Release);
        // SAFETY: `new` counted the handle.
        unsafe { threads::let_go(head) };
    }
}

impl<T: ?Sized + Tenant> fmt::Debug for ThreadSafeWeakHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(ThreadSafeWeakHandle)")
    }
}

keeps!(ThreadSafeHandle, threads);
keeps!(ThreadSafeSharedHandle, threads);
owns!(ThreadSafeHandle, threads);
