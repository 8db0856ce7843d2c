//! What the candidates are asked to do.

mod cold_refill;
mod fill_and_drain;
mod in_place;
mod random_replacement;
mod warm_loop;

use std::time::Duration;

pub use self::{
    cold_refill::ColdRefill,
    fill_and_drain::FillAndDrain,
    in_place::BuildInPlace,
    random_replacement::RandomReplacement,
    warm_loop::{WarmLoop, warm_loop},
};
use crate::candidate::Candidate;

/// A question to all candidates.
///
/// One section makes a pool, touches the memory that the question is not about, takes the times,
/// and checks that what was read is what was written.
pub trait Workload {
    /// Runs one section with objects of `WORDS` words and returns its times.
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Times;
}

/// The times of one section, in nanoseconds for each operation.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// What the workload is about.
    pub main: f64,
    /// The cost of the whole life of an object, where `main` is a part of it.
    pub pair: Option<f64>,
}

fn nanoseconds(duration: Duration, operations: usize) -> f64 {
    duration.as_secs_f64() * 1e9 / operations as f64
}
