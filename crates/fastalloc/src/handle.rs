//! Handles: they own what is in a slot, and are the slot's address.

use alloc::rc::Rc;
use core::borrow::{Borrow, BorrowMut};
use core::cell::Cell;
use core::cmp::Ordering;
use core::error::Error as StdError;
use core::fmt;
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::panic::{Location, RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};

use crate::chunk::{Header, Share};
use crate::error::{Error, Result};
use crate::poolable::{Poolable, Tenant};
use crate::raw;

/// Owns a value in a slot of a pool that it borrows.
///
/// As wide as a pointer, and dereferenced like a `Box`. Dropped, it releases the slot: hook, then reset
/// or destructor, then the slot is vacant.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, OwnedHandle};
///
/// let pool = FixedPool::new(10)?;
/// let number: OwnedHandle<'_, i32> = pool.allocate(41)?;
/// assert_eq!(number.into_inner() + 1, 42);
/// assert_eq!(size_of::<OwnedHandle<'_, i32>>(), size_of::<Box<i32>>());
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct OwnedHandle<'pool, T: ?Sized + Tenant> {
    /// In an occupied slot, which is this handle's from `from_raw` until it is dropped.
    value: NonNull<T>,
    /// Invariant in `T`: the value may stay in the pool when the handle is gone.
    marker: PhantomData<(&'pool (), *mut T)>,
}

impl<'pool, T: ?Sized + Tenant> OwnedHandle<'pool, T> {
    /// # Safety
    ///
    /// `value` is in an occupied slot that no other handle owns, of a pool that lives for `'pool`.
    #[inline]
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value, marker: PhantomData }
    }

    #[inline]
    fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).value
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
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let shared = pool.allocate([1, 2, 3])?.into_shared();
    /// let other = shared.clone();
    /// assert_eq!(other.strong_count(), 2);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn into_shared(self) -> SharedHandle<'pool, T> {
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
    pub fn try_into_shared(self) -> Result<SharedHandle<'pool, T>, (Error, Self)> {
        // SAFETY: the slot is occupied.
        match unsafe { raw::share(self.value) } {
            Ok(share) => {
                share.strong.set(1);
                Ok(SharedHandle { value: self.into_raw(), marker: PhantomData })
            }
            Err(error) => Err((error, self)),
        }
    }

    /// Gives up the handle and returns a reference to the value, which stays in its slot until the pool
    /// is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let table: &mut [u8; 256] = pool.allocate([0; 256])?.leak();
    /// table[0] = 1;
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use = "the slot stays occupied; drop the handle to release it"]
    pub fn leak(self) -> &'pool mut T {
        // SAFETY:
        // - Valid: the pool lives for `'pool` and destroys forgotten values only when it is dropped.
        // - Not aliased: the handle that owned the value is gone.
        unsafe { self.into_raw().as_mut() }
    }

    /// Pins the value: it never moves, and its memory is not used for anything else before it is
    /// destroyed, whatever happens to the handle.
    ///
    /// When the handle is dropped, the value is destroyed at once: neither
    /// [`on_release`](Poolable::on_release) nor a reset are called, which get a reference that they could
    /// move it by, and a pool that recycles objects does not keep it. A pool of values with which this is
    /// used once goes without its hot slot from then on, so it is somewhat slower.
    ///
    /// # Panics
    ///
    /// If there is no memory for a bit per slot, which is reserved when it is called for the first time.
    #[must_use]
    pub fn into_pin(self) -> Pin<Self> {
        // SAFETY: the slot is occupied.
        unsafe { raw::pin(self.value) };
        // SAFETY: the value does not move while it is in its slot; it leaves it only through
        // `into_inner`, which a pinned handle does not offer; the pool gives no reference to it to
        // anybody but its destructor; and pools destroy forgotten values.
        unsafe { Pin::new_unchecked(self) }
    }
}

impl<'pool, T: Tenant> OwnedHandle<'pool, T> {
    /// # Safety
    ///
    /// The handle of the slot was forgotten, and its value moved out.
    #[inline]
    unsafe fn vacate(slot: NonNull<T>) {
        // SAFETY: the caller says so.
        unsafe { raw::forget_value(slot) };
    }

    /// Converts to a handle of a trait object or a slice; the value stays where it is.
    ///
    /// `f` is a coercion: `|value| value`.
    ///
    /// # Panics
    ///
    /// If `f` returns a reference with another address, size or alignment than those of the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, OwnedHandle};
    ///
    /// let pool = FixedPool::new(2)?;
    /// let three: OwnedHandle<'_, [u8]> = pool.allocate([1, 2, 3])?.unsize(|array| array);
    /// assert_eq!(three.iter().sum::<u8>(), 6);
    /// let shown: OwnedHandle<'_, dyn std::fmt::Debug> = pool.allocate([4, 5, 6])?.unsize(|array| array);
    /// assert_eq!(format!("{shown:?}"), "[4, 5, 6]");
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    ///
    /// Another sized type is refused when the program is built:
    ///
    /// ```compile_fail,E0080
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let array: fastalloc::OwnedHandle<'_, [u8; 3]> = pool.allocate([1; 3])?.unsize(|array| array);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn unsize<U: ?Sized + Tenant>(self, f: fn(&mut T) -> &mut U) -> OwnedHandle<'pool, U> {
        // SAFETY: the slot is occupied and this handle's.
        let value = unsafe { raw::unsize(self.value, f) };
        mem::forget(self);
        // SAFETY: it is the value that the handle owned.
        unsafe { OwnedHandle::from_raw(value) }
    }

    /// Puts a clone of the value into another slot of the same pool.
    ///
    /// # Errors
    ///
    /// As [`Pool::allocate`](crate::Pool::allocate).
    ///
    /// # Panics
    ///
    /// If `clone` or the hook [`Poolable::on_acquire`] does; the new slot is vacant then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(2)?;
    /// let one = pool.allocate(vec![1])?;
    /// let two = one.try_clone()?;
    /// assert!(one == two && pool.is_full());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn try_clone(&self) -> Result<Self>
    where
        T: Clone + Poolable,
    {
        // SAFETY: the slot is occupied, and was made for a `T`.
        let value = unsafe { raw::allocate_beside(self.value, Location::caller(), || T::clone(self)) }?;
        // SAFETY: the slot is new, and its pool lives for `'pool`.
        Ok(unsafe { Self::from_raw(value) })
    }
}

impl<T: ?Sized + Tenant> Drop for OwnedHandle<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slot is occupied and this handle's.
        unsafe { raw::release(self.value) };
    }
}

/// Owns a value in a slot, and a share of the [`Rc`] that the pool is in: a handle without a lifetime.
///
/// As wide as a pointer, and dereferenced like a `Box`. Made by
/// [`allocate_rc`](crate::Pool::allocate_rc). A handle that is forgotten, or kept in its own pool for
/// ever, keeps the pool for ever.
pub struct RcHandle<T: ?Sized + Tenant> {
    /// In an occupied slot, which is this handle's from `from_raw` until it is dropped.
    value: NonNull<T>,
    /// Invariant in `T`: the value may stay in the pool when the handle is gone.
    marker: PhantomData<*mut T>,
}

impl<T: ?Sized + Tenant> RcHandle<T> {
    #[inline]
    fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).value
    }

    /// Gives up the handle and returns a reference to the value, which stays in its slot for ever, and
    /// so does the pool.
    #[must_use = "the slot stays occupied; drop the handle to release it"]
    pub fn leak<'a>(self) -> &'a mut T
    where
        T: 'a,
    {
        // SAFETY:
        // - Valid: the handle's share of the pool was not given back, so the pool is never dropped.
        // - Not aliased: the handle that owned the value is gone.
        unsafe { self.into_raw().as_mut() }
    }

    /// Pins the value, as [`OwnedHandle::into_pin`] does.
    ///
    /// # Panics
    ///
    /// As [`OwnedHandle::into_pin`].
    #[must_use]
    pub fn into_pin(self) -> Pin<Self> {
        // SAFETY: the slot is occupied.
        unsafe { raw::pin(self.value) };
        // SAFETY: as for `OwnedHandle::into_pin`.
        unsafe { Pin::new_unchecked(self) }
    }
}

impl<T: Tenant> RcHandle<T> {
    /// # Safety
    ///
    /// The handle of the slot was forgotten, and its value moved out.
    unsafe fn vacate(slot: NonNull<T>) {
        // SAFETY: the slot is occupied.
        let head = unsafe { raw::core_of(slot) };
        // SAFETY: the caller says so.
        unsafe { raw::forget_value(slot) };
        // SAFETY: `from_raw` counted the handle.
        unsafe { raw::let_go(head) };
    }

    /// # Safety
    ///
    /// `value` is in an occupied slot of the pool in this `Rc`, and no other handle owns it.
    #[inline]
    pub(crate) unsafe fn from_raw<P>(value: NonNull<T>, pool: &Rc<P>) -> Self {
        // SAFETY: the caller says so.
        unsafe { raw::retain(value, pool) };
        Self { value, marker: PhantomData }
    }

    /// Converts to a handle of a trait object or a slice; the value stays where it is.
    ///
    /// `T` must not borrow anything: the handle keeps the pool, with all its objects, and the type that it
    /// is converted to may say nothing about their lifetime.
    ///
    /// ```compile_fail,E0597
    /// # use std::{fmt::Debug, rc::Rc};
    /// let text = String::from("borrowed");
    /// let pool = Rc::new(fastalloc::FixedPool::new(1)?);
    /// let handle: fastalloc::RcHandle<dyn Debug> = pool.allocate_rc(&text)?.unsize(|text| text);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `f` returns a reference with another address, size or alignment than those of the value.
    #[must_use]
    pub fn unsize<U: ?Sized + Tenant>(self, f: fn(&mut T) -> &mut U) -> RcHandle<U>
    where
        T: 'static,
    {
        // SAFETY: the slot is occupied and this handle's.
        let value = unsafe { raw::unsize(self.value, f) };
        mem::forget(self);
        RcHandle { value, marker: PhantomData }
    }
}

impl<T: ?Sized + Tenant> Drop for RcHandle<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slot is occupied.
        let head = unsafe { raw::core_of(self.value) };
        // Also if the destructor unwinds.
        // SAFETY: `from_raw` counted the handle.
        let _let_go = raw::Defer(|| unsafe { raw::let_go(head) });
        // SAFETY: the slot is occupied and this handle's.
        unsafe { raw::release(self.value) };
    }
}

/// One of several handles that share a value; the last one releases the slot.
///
/// As wide as a pointer, and dereferenced like an `Rc`. The counts are beside the slots, in a table that a
/// chunk gets when its first object is shared: no object costs a heap allocation.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
///
/// let pool = fastalloc::FixedPool::new(1)?;
/// let score = pool.allocate(Cell::new(0))?.into_shared();
/// let same = score.clone();
/// same.set(10);
/// assert_eq!(score.get(), 10);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct SharedHandle<'pool, T: ?Sized + Tenant> {
    /// In an occupied slot with counts, one of which is this handle's.
    value: NonNull<T>,
    /// Invariant in `T`: the value may stay in the pool when the handle is gone.
    marker: PhantomData<(&'pool (), *mut T)>,
}

impl<'pool, T: ?Sized + Tenant> SharedHandle<'pool, T> {
    #[inline]
    fn share(&self) -> &'pool Share {
        // SAFETY: the chunk has a table since the value is shared, and lives as long as the pool.
        unsafe { raw::shared(self.value) }
    }

    /// Number of shared handles to the value.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.share().strong.get() as usize
    }

    /// Number of weak handles to the value.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.share().weak.get() as usize
    }

    /// Makes a handle that does not keep the value.
    ///
    /// # Panics
    ///
    /// If there are 2^32 - 1 of them.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let shared = pool.allocate_shared("here")?;
    /// let weak = shared.downgrade();
    /// assert_eq!(*weak.upgrade().expect("it is alive"), "here");
    /// drop(shared);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakHandle<'pool, T> {
        // SAFETY: the slot is occupied.
        let header = unsafe { Header::of(self.value) };
        let share = self.share();
        // SAFETY: the slot is occupied, so its chunk cannot go away.
        unsafe { WeakHandle::new(self.value, header, NonNull::from(share), share.generation.get()) }
    }

    /// Whether two handles share one value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.value.addr() == other.value.addr()
    }

    /// The value, if this is the only handle to it, weak handles included.
    #[must_use]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if self.strong_count() > 1 || self.weak_count() > 0 {
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
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let shared = pool.allocate_shared(1)?;
    /// let owned = shared.try_into_owned().expect("it is the only one");
    /// assert_eq!(owned.into_inner(), 1);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn try_into_owned(self) -> Result<OwnedHandle<'pool, T>, Self> {
        if self.strong_count() > 1 {
            return Err(self);
        }
        self.share().end();
        // SAFETY: the slot is occupied, and no other handle has it.
        Ok(unsafe { OwnedHandle::from_raw(ManuallyDrop::new(self).value) })
    }

    /// What the last handle does. Out of line, as most handles are not the last one.
    #[inline(never)]
    fn release(&self, share: &Share) {
        share.end();
        // SAFETY: the slot is occupied, and the handle was the last one.
        unsafe { raw::release(self.value) };
    }
}

impl<T: Tenant> SharedHandle<'_, T> {
    /// Takes the value out, if no other handle shares it; else drops the handle.
    #[must_use = "the value is destroyed; drop the handle to do that"]
    pub fn into_inner(self) -> Option<T> {
        self.try_into_owned().ok().map(OwnedHandle::into_inner)
    }
}

impl<T: ?Sized + Tenant> Clone for SharedHandle<'_, T> {
    /// # Panics
    ///
    /// If there are 2^32 - 1 handles to the value.
    #[inline]
    fn clone(&self) -> Self {
        increment(&self.share().strong);
        Self { ..*self }
    }
}

impl<T: ?Sized + Tenant> Drop for SharedHandle<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let share = self.share();
        match share.strong.get() {
            1 => self.release(share),
            strong => share.strong.set(strong - 1),
        }
    }
}

/// Finds a shared value as long as it is alive, and does not keep it.
///
/// It never finds a later tenant of the slot: each shared object has a generation of its own.
pub struct WeakHandle<'pool, T: ?Sized + Tenant> {
    /// The slot where the value was shared. It may be vacant, or another value's: only to be
    /// dereferenced while the slot has the same generation.
    value: NonNull<T>,
    /// The chunk of the slot, which stays in place because its header counts this handle.
    header: NonNull<Header>,
    /// The counts of the slot, which stay in place as the chunk does.
    share: NonNull<Share>,
    generation: u64,
    marker: PhantomData<(&'pool (), *mut T)>,
}

impl<'pool, T: ?Sized + Tenant> WeakHandle<'pool, T> {
    /// Counts a handle, to a value that may be gone, and makes it.
    ///
    /// # Safety
    ///
    /// The header and the share are those of the value's slot, in a chunk that cannot go away meanwhile.
    unsafe fn new(value: NonNull<T>, header: NonNull<Header>, share: NonNull<Share>, generation: u64) -> Self {
        // SAFETY: the caller says so; the counts change through cells only.
        let weak_handles = unsafe { &header.as_ref().weak_handles };
        // SAFETY: as above.
        let share_ref = unsafe { share.as_ref() };
        let counted = weak_handles.load(Relaxed).checked_add(1).expect("too many weak handles to a chunk");
        if share_ref.generation.get() == generation {
            increment(&share_ref.weak);
        }
        weak_handles.store(counted, Relaxed);
        Self { value, header, share, generation, marker: PhantomData }
    }

    fn weak_handles(&self) -> &AtomicUsize {
        // SAFETY: the header stays in place as long as it counts this handle, and changes through cells.
        unsafe { &self.header.as_ref().weak_handles }
    }

    /// The counts of the value, if it is alive.
    fn alive(&self) -> Option<&Share> {
        // SAFETY: the counts stay in place as long as the header counts this handle, and change through cells.
        let share = unsafe { self.share.as_ref() };
        (share.generation.get() == self.generation).then_some(share)
    }

    /// A handle that shares the value, if it is still shared by one at least.
    ///
    /// # Panics
    ///
    /// If there are 2^32 - 1 shared handles.
    #[must_use]
    pub fn upgrade(&self) -> Option<SharedHandle<'pool, T>> {
        increment(&self.alive()?.strong);
        Some(SharedHandle { value: self.value, marker: PhantomData })
    }

    /// Number of shared handles to the value; 0 if it is gone.
    #[must_use]
    pub fn strong_count(&self) -> usize {
        self.alive().map_or(0, |share| share.strong.get() as usize)
    }

    /// Number of weak handles to the value; 0 if it is gone.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.alive().map_or(0, |share| share.weak.get() as usize)
    }
}

impl<T: ?Sized + Tenant> Clone for WeakHandle<'_, T> {
    /// # Panics
    ///
    /// If there are 2^32 - 1 weak handles to the value.
    fn clone(&self) -> Self {
        // SAFETY: this handle keeps the chunk.
        unsafe { Self::new(self.value, self.header, self.share, self.generation) }
    }
}

impl<T: ?Sized + Tenant> Drop for WeakHandle<'_, T> {
    fn drop(&mut self) {
        if let Some(share) = self.alive() {
            share.weak.set(share.weak.get() - 1);
        }
        // No other thread changes the count at the same time.
        self.weak_handles().store(self.weak_handles().load(Relaxed) - 1, Relaxed);
    }
}

impl<T: ?Sized + Tenant> fmt::Debug for WeakHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakHandle)")
    }
}

impl Share {
    /// The value is not shared any more: no weak handle finds it from now on.
    fn end(&self) {
        self.strong.set(0);
        self.weak.set(0);
        self.generation.set(self.generation.get() + 1);
    }
}

#[inline]
fn increment(count: &Cell<u32>) {
    count.set(count.get().checked_add(1).expect("too many handles to one value"));
}

/// What all handles that keep a value have in common with `Rc`.
macro_rules! keeps {
    ($Handle:ident $(<$pool:lifetime>)?, $raw:ident) => {
        impl<$($pool,)? T: ?Sized + Tenant> $Handle<$($pool,)? T> {
            /// Position of the slot in its pool.
            #[must_use]
            pub fn index(&self) -> usize {
                // SAFETY: the slot is occupied.
                unsafe { $raw::index(self.value) }
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> Deref for $Handle<$($pool,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the pointer is one into a slot.
                debug_assert!(unsafe { $raw::is_occupied(self.value) }, "use of a vacant slot");
                // SAFETY:
                // - Valid: the slot is occupied as long as this handle has it.
                // - Not aliased: whoever has a mutable reference to the value borrows the only handle.
                unsafe { self.value.as_ref() }
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> AsRef<T> for $Handle<$($pool,)? T> {
            fn as_ref(&self) -> &T {
                self
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> Borrow<T> for $Handle<$($pool,)? T> {
            fn borrow(&self) -> &T {
                self
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> Unpin for $Handle<$($pool,)? T> {}
        impl<$($pool,)? T: ?Sized + Tenant + UnwindSafe> UnwindSafe for $Handle<$($pool,)? T> {}
        impl<$($pool,)? T: ?Sized + Tenant + RefUnwindSafe> RefUnwindSafe for $Handle<$($pool,)? T> {}

        impl<$($pool,)? T: ?Sized + Tenant + fmt::Debug> fmt::Debug for $Handle<$($pool,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                T::fmt(self, f)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + fmt::Display> fmt::Display for $Handle<$($pool,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                T::fmt(self, f)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> fmt::Pointer for $Handle<$($pool,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.value.fmt(f)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + PartialEq> PartialEq for $Handle<$($pool,)? T> {
            fn eq(&self, other: &Self) -> bool {
                T::eq(self, other)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + Eq> Eq for $Handle<$($pool,)? T> {}

        impl<$($pool,)? T: ?Sized + Tenant + PartialOrd> PartialOrd for $Handle<$($pool,)? T> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                T::partial_cmp(self, other)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + Ord> Ord for $Handle<$($pool,)? T> {
            fn cmp(&self, other: &Self) -> Ordering {
                T::cmp(self, other)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + Hash> Hash for $Handle<$($pool,)? T> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                T::hash(self, state);
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + StdError> StdError for $Handle<$($pool,)? T> {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                T::source(self)
            }
        }
    };
}

/// What the handles that own a value alone have in common with `Box`.
macro_rules! owns {
    ($Handle:ident $(<$pool:lifetime>)?, $raw:ident) => {
        impl<$($pool,)? T: Tenant> $Handle<$($pool,)? T> {
            /// Takes the value out of its slot, which is vacant then. No hook is called.
            ///
            /// # Examples
            ///
            /// ```
            /// let pool = fastalloc::FixedPool::new(1)?;
            /// let handle = pool.allocate(String::from("out"))?;
            /// let text: String = handle.into_inner();
            /// assert!(pool.is_empty() && text == "out");
            /// # Ok::<(), fastalloc::Error>(())
            /// ```
            #[must_use = "the value is destroyed; drop the handle to do that"]
            pub fn into_inner(self) -> T {
                let slot = self.into_raw();
                // SAFETY: the slot is occupied and was this handle's, and the value is not used there again.
                let value = unsafe { slot.read() };
                // SAFETY: the slot is occupied, its handle is gone, and its value was moved out.
                unsafe { Self::vacate(slot) };
                value
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> DerefMut for $Handle<$($pool,)? T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: the pointer is one into a slot.
                debug_assert!(unsafe { $raw::is_occupied(self.value) }, "use of a vacant slot");
                // SAFETY:
                // - Valid: the slot is occupied as long as this handle has it.
                // - Not aliased: no other handle has the slot, and `self` is borrowed mutably.
                unsafe { self.value.as_mut() }
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> AsMut<T> for $Handle<$($pool,)? T> {
            fn as_mut(&mut self) -> &mut T {
                self
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> BorrowMut<T> for $Handle<$($pool,)? T> {
            fn borrow_mut(&mut self) -> &mut T {
                self
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant> From<$Handle<$($pool,)? T>> for Pin<$Handle<$($pool,)? T>> {
            fn from(handle: $Handle<$($pool,)? T>) -> Self {
                handle.into_pin()
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + Future + Unpin> Future for $Handle<$($pool,)? T> {
            type Output = T::Output;

            fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
                Pin::new(&mut **self).poll(context)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + Iterator> Iterator for $Handle<$($pool,)? T> {
            type Item = T::Item;

            fn next(&mut self) -> Option<T::Item> {
                T::next(self)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                T::size_hint(self)
            }

            fn nth(&mut self, n: usize) -> Option<T::Item> {
                T::nth(self, n)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + DoubleEndedIterator> DoubleEndedIterator for $Handle<$($pool,)? T> {
            fn next_back(&mut self) -> Option<T::Item> {
                T::next_back(self)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + ExactSizeIterator> ExactSizeIterator for $Handle<$($pool,)? T> {
            fn len(&self) -> usize {
                T::len(self)
            }
        }

        impl<$($pool,)? T: ?Sized + Tenant + FusedIterator> FusedIterator for $Handle<$($pool,)? T> {}

        impl<$($pool,)? T: ?Sized + Tenant + fmt::Write> fmt::Write for $Handle<$($pool,)? T> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                T::write_str(self, text)
            }
        }
    };
}

#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub(crate) use {keeps, owns};

keeps!(OwnedHandle<'pool>, raw);
keeps!(RcHandle, raw);
keeps!(SharedHandle<'pool>, raw);
owns!(OwnedHandle<'pool>, raw);
owns!(RcHandle, raw);
