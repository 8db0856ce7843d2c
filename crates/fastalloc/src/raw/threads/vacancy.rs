//! A slot between the depot and its user.

use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;

use super::{Defer, Depot, Shared};
use crate::poolable::Poolable;

/// A slot that was taken and has no value yet, or still an object that was kept. Dropped, it is vacant again.
#[must_use]
pub(crate) struct SharedVacancy<'core, T: Poolable, D: Depot<T>> {
    pub(super) core: &'core Shared<T, D>,
    pub(super) slot: NonNull<T>,
    pub(super) has_object: bool,
}

impl<T: Poolable, D: Depot<T>> SharedVacancy<'_, T, D> {
    /// The slot, to be written to.
    #[inline]
    pub(crate) fn slot(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: the slot is valid for a `T`, and nobody but `self` knows of it.
        unsafe { self.slot.cast::<MaybeUninit<T>>().as_mut() }
    }

    /// Destroys the object that was kept in the slot, if there is one.
    pub(crate) fn clear(&mut self) {
        if mem::take(&mut self.has_object) {
            // SAFETY: the slot holds an object, of which nobody else knows.
            unsafe { self.slot.drop_in_place() };
            // SAFETY: now it holds none.
            unsafe { self.core.head.scrub.wipe(self.slot) };
        }
    }

    /// Puts an object into the slot, which holds none, and calls its hook.
    #[inline]
    pub(crate) fn fill(mut self, value: T) -> NonNull<T> {
        self.slot().write(value);
        // SAFETY: the slot holds an object.
        unsafe { self.occupied() }
    }

    /// Calls the hook of the object in the slot, which is the caller's from now on.
    ///
    /// # Safety
    ///
    /// The slot holds an object.
    #[inline]
    pub(crate) unsafe fn occupied(mut self) -> NonNull<T> {
        self.has_object = false;
        let mut slot = self.slot;
        // SAFETY: the object is nobody else's.
        let destroy = Defer(move || unsafe { slot.drop_in_place() });
        // SAFETY: the caller says that the object is there, and it is nobody else's.
        unsafe { slot.as_mut() }.on_acquire();
        mem::forget(destroy);
        mem::forget(self);
        slot
    }
}

impl<T: Poolable, D: Depot<T>> Drop for SharedVacancy<'_, T, D> {
    fn drop(&mut self) {
        if !self.has_object {
            // SAFETY: the slot holds no object, and this is its owner.
            unsafe { self.core.head.scrub.wipe(self.slot) };
        }
        // SAFETY: the slot is occupied, and this is its owner.
        unsafe { Shared::give(NonNull::from(self.core), self.slot.cast(), self.has_object) };
    }
}
