//! What the candidates are asked to do.

mod across_threads;
mod cold_refill;
mod fill_and_drain;
mod in_place;
mod random_replacement;
mod ring;
mod shared_alone;
mod together;
mod two_threads;
mod warm_loop;

use std::time::Duration;

pub use self::{
    across_threads::AcrossThreads,
    cold_refill::ColdRefill,
    fill_and_drain::FillAndDrain,
    in_place::BuildInPlace,
    random_replacement::RandomReplacement,
    shared_alone::{SharedWarmLoop, shared_warm_loop},
    two_threads::{TwoBatches, TwoWarmLoops},
    warm_loop::{WarmLoop, warm_loop},
};
use crate::candidate::{Candidate, shared::Shared};

/// A question to all candidates.
///
/// One section makes a pool, touches the memory that the question is not about, takes the times,
/// and checks that what was read is what was written.
pub trait Workload {
    /// Runs one section with objects of `WORDS` words and returns its times.
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Times;
}

/// A question to all candidates that several threads can allocate from.
///
/// As [`Workload`], but where the workload uses threads, these are started by each section, and they wait for
/// each other before the time begins and after it has ended.
pub trait SharedWorkload {
    /// Runs one section with objects of `WORDS` words and returns its times.
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Times;
}

/// The times of one section, in nanoseconds for each operation.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// What the workload is about.
    pub main: f64,
    /// The cost of the whole life of an object, where `main` is a part of it.
    pub pair: Option<f64>,
    /// Whether two threads both had their cores all the time; true of a section of one thread.
    pub calm: bool,
}

fn nanoseconds(duration: Duration, operations: usize) -> f64 {
    duration.as_secs_f64() * 1e9 / operations as f64
}
