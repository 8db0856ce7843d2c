//! What pools that threads share promise, tested from outside.
#![cfg(feature = "std")]

mod auto_traits;
mod conformance;
mod exactness;
mod executor;
mod growth;
mod handles;
#[path = "../it/heap.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod heap;
mod leaks;
mod lifetimes;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod recycling;
#[cfg(feature = "stats")]
mod statistics;
mod stress;
mod support;
mod thread_ends;
mod user_code;
mod waiting;
