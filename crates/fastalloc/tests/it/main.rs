//! What the library promises, tested from outside.

mod alignment;
mod auto_traits;
mod conformance;
#[cfg(debug_assertions)]
mod debug_asserts;
mod drops;
mod dyn_handles;
mod errors;
mod growth;
mod heap;
#[cfg(feature = "std")]
mod leaks;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod model;
#[cfg(fastalloc_passthrough)]
mod passthrough;
mod regressions;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "stats")]
mod statistics;
mod support;
mod user_allocator;
// It reads memory of values that are gone, which Miri would call undefined, and which passthrough frees.
#[cfg(all(feature = "zeroize", not(any(miri, fastalloc_passthrough))))]
mod zeroize;
