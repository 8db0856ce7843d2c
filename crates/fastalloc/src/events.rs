//! Events for those who watch a program: nothing without the feature `tracing`.
//!
//! Whoever listens is user code, so these are called with no lock held and nothing borrowed.
#![cfg_attr(not(feature = "tracing"), expect(clippy::extra_unused_type_parameters, reason = "events name the type"))]

use crate::error::Error;
#[cfg(feature = "std")]
use crate::leaks::Outstanding;

/// A pool was made.
pub(crate) fn created<T>(pool: Option<&str>, capacity: usize) {
    #[cfg(feature = "tracing")]
    tracing::debug!(pool, value = core::any::type_name::<T>(), capacity, "pool created");
    let _ = (pool, capacity);
}

/// A pool added slots.
pub(crate) fn grown<T>(pool: Option<&str>, capacity: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(pool, value = core::any::type_name::<T>(), capacity, "pool grown");
    let _ = (pool, capacity);
}

/// A pool had no slot for somebody.
pub(crate) fn refused<T>(pool: Option<&str>, error: &Error) {
    #[cfg(feature = "tracing")]
    match error {
        Error::Closed => {}
        Error::OutOfMemory { .. } => {
            tracing::error!(pool, value = core::any::type_name::<T>(), %error, "pool cannot have memory")
        }
        _ => tracing::warn!(pool, value = core::any::type_name::<T>(), %error, "pool exhausted"),
    }
    let _ = (pool, error);
}

/// A pool gave slots back.
pub(crate) fn trimmed<T>(pool: Option<&str>, slots: usize, capacity: usize) {
    #[cfg(feature = "tracing")]
    if slots > 0 {
        tracing::debug!(pool, value = core::any::type_name::<T>(), slots, capacity, "pool trimmed");
    }
    let _ = (pool, slots, capacity);
}

/// A pool was closed.
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub(crate) fn closed<T>(pool: Option<&str>) {
    #[cfg(feature = "tracing")]
    tracing::info!(pool, value = core::any::type_name::<T>(), "pool closed");
    let _ = pool;
}

/// A pool ended while objects were out of it: an event for each place that allocated some.
#[cfg(feature = "std")]
pub(crate) fn leaked(outstanding: &Outstanding) {
    #[cfg(feature = "tracing")]
    for held in outstanding.by_place() {
        let (pool, value, objects) = (outstanding.name(), outstanding.type_name(), held.objects);
        tracing::warn!(pool, value, objects, place = %held.place, age = ?held.age, "pool leaked");
    }
    let _ = outstanding;
}
