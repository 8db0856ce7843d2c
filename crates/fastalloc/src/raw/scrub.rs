//! Overwrites the memory of what is gone, for pools that are to: none without the feature `zeroize`.

#[cfg(feature = "zeroize")]
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Whether vacated memory is overwritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scrub {
    #[cfg(feature = "zeroize")]
    pub(crate) is_on: bool,
}

impl Scrub {
    pub(crate) fn is_on(self) -> bool {
        #[cfg(feature = "zeroize")]
        return self.is_on;
        #[cfg(not(feature = "zeroize"))]
        false
    }

    /// Overwrites a slot with zeros, if that is wanted.
    ///
    /// # Safety
    ///
    /// Nobody else uses the slot, which holds no object.
    pub(crate) unsafe fn wipe<T>(self, slot: NonNull<T>) {
        #[cfg(feature = "zeroize")]
        if self.is_on {
            let bytes = NonNull::slice_from_raw_parts(slot.cast::<MaybeUninit<u8>>(), size_of::<T>());
            // SAFETY: a slot has as many bytes, and the caller says that nobody else uses them.
            zeroize::Zeroize::zeroize(unsafe { &mut *bytes.as_ptr() });
        }
        let _ = slot;
    }
}
