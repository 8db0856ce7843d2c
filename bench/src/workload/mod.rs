//! What the candidates are asked to do.

mod across_threads;
mod batch;
mod buffers;
mod cold_refill;
mod counted;
mod creation;
mod fill_and_drain;
mod growth;
mod in_place;
mod latency;
mod memory;
mod random_replacement;
mod ring;
mod shared_alone;
mod together;
mod traversal;
mod tree;
mod two_threads;
mod warm_loop;

use std::time::Duration;

pub use self::{
    across_threads::AcrossThreads,
    batch::Batches,
    buffers::PassMessages,
    cold_refill::ColdRefill,
    counted::CloneAndDrop,
    creation::{Create, CreateAndFill},
    fill_and_drain::{FillAndDrain, Order},
    growth::Grow,
    in_place::BuildInPlace,
    latency::{GrowthLatency, PERCENTILES, ReplacementLatency, timer},
    memory::{Bytes, BytesPerObject, MEASURE_OPTION},
    random_replacement::RandomReplacement,
    shared_alone::{SharedWarmLoop, shared_warm_loop},
    traversal::TraverseAfterChurn,
    tree::PlantAndFell,
    two_threads::{TwoBatches, TwoWarmLoops},
    warm_loop::{WarmLoop, warm_loop},
};
use crate::candidate::{Candidate, shared::Shared};

/// A question to all candidates.
///
/// One section makes a pool, touches the memory that the question is not about, takes the times,
/// and checks that what was read is what was written.
pub trait Workload {
    /// Runs one section with objects of `WORDS` words and returns what it found.
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample;
}

/// A question to all candidates that several threads can allocate from.
///
/// As [`Workload`], but where the workload uses threads, these are started by each section, and they wait for
/// each other before the time begins and after it has ended.
pub trait SharedWorkload {
    /// Runs one section with objects of `WORDS` words and returns what it found.
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Sample;
}

/// What one section found.
#[derive(Clone, Debug)]
pub struct Sample {
    /// One figure for each column of the table, most often one: nanoseconds for each operation.
    pub figures: Vec<f64>,
    /// Whether two threads both had their cores all the time; true of a section of one thread.
    pub calm: bool,
}

impl Sample {
    fn of_one_thread(duration: Duration, operations: usize) -> Self {
        Self { figures: vec![nanoseconds(duration, operations)], calm: true }
    }
}

fn nanoseconds(duration: Duration, operations: usize) -> f64 {
    duration.as_secs_f64() * 1e9 / operations as f64
}
