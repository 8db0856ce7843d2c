//! Events for those who watch a program: nothing without the feature `tracing`.
//!
//! Whoever listens is user code, so these are called with no lock held and nothing borrowed.
#![cfg_attr(not(feature = "tracing"), expect(clippy::extra_unused_type_parameters, reason = "events name the type"))]

use crate::error::Error;

/// A pool was made.
pub(crate) fn created<T>(capacity: usize) {
    #[cfg(feature = "tracing")]
    tracing::debug!(value = core::any::type_name::<T>(), capacity, "pool created");
    let _ = capacity;
}

/// A pool added slots.
pub(crate) fn grown<T>(capacity: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(value = core::any::type_name::<T>(), capacity, "pool grown");
    let _ = capacity;
}

/// A pool had no slot for somebody.
pub(crate) fn refused<T>(error: &Error) {
    #[cfg(feature = "tracing")]
    match error {
        Error::Closed => {}
        Error::OutOfMemory { .. } => {
            tracing::error!(value = core::any::type_name::<T>(), %error, "pool cannot have memory")
        }
        _ => tracing::warn!(value = core::any::type_name::<T>(), %error, "pool exhausted"),
    }
    let _ = error;
}

/// A pool gave slots back.
pub(crate) fn trimmed<T>(slots: usize, capacity: usize) {
    #[cfg(feature = "tracing")]
    if slots > 0 {
        tracing::debug!(value = core::any::type_name::<T>(), slots, capacity, "pool trimmed");
    }
    let _ = (slots, capacity);
}

/// A pool was closed.
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub(crate) fn closed<T>() {
    #[cfg(feature = "tracing")]
    tracing::info!(value = core::any::type_name::<T>(), "pool closed");
}
