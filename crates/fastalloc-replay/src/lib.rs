//! Runs what a program has allocated on heaps and on the pools of the crate `fastalloc`, and compares them.
//!
//! A [`Script`](fastalloc_trace::Script) becomes a [`Plan`]: for each thread, the steps that it takes. What a step needs
//! is worked out beforehand, so that a round spends its time in the heap or pool and in the memory that it gives out.
//!
//! # What is measured
//!
//! - Every recorded thread is a thread here, up to [`Plan::LANES_MAX`]; those that never lived at the same time may share
//!   one. Pauses between the events are left out.
//! - Every place has a turn. A step waits until those that were recorded before it at the same place have been taken, by
//!   whichever thread: so an object is not freed before it is there, and no more objects are alive than were recorded.
//!   Otherwise threads run at their own speed. In a plan of one thread nobody waits.
//! - An object is written when it is allocated, a word in each of its lines of 64 bytes, up to 4 KiB; its first word is
//!   read and compared before it is freed. Larger ones are buffers, which need not be full.
//! - Pools have slots of the type's size, rounded up: to 8 bytes up to 512, then to 640, 768, 896, 1024, 1280, 1536,
//!   2048, 3072 and 4096. Larger objects are on the heap. An alignment of 16 or less is that of heaps, and the pool is
//!   not told. The pool is called through a table of functions, which a program that uses it does not need.
//! - An allocation that a pool refuses is made on the heap, as is all that has no pool.
//! - Pools and heaps live as long as all rounds, and the first rounds do not count. Candidates take turns.

#![warn(missing_docs)]

mod cells;
mod cold;
mod compare;
mod counters;
mod heaps;
mod lane;
mod latency;
mod plan;
mod pools;
mod team;

use serde::{Deserialize, Serialize};

pub use self::cold::{Cold, cold_run};
pub use self::compare::{Comparison, Effort, Measured, compare};
pub use self::latency::{Latencies, Percentiles};
pub use self::plan::{Plan, PlanError, PoolSpec};

/// What the objects are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Candidate {
    /// The heap of the C library.
    System,
    /// The heap mimalloc.
    Mimalloc,
    /// The heap jemalloc.
    Jemalloc,
    /// The pools of the plan, and for the rest the heap of the C library.
    Pools,
}

impl Candidate {
    /// All of them, the heap of the C library first.
    pub const ALL: [Self; 4] = [Self::System, Self::Mimalloc, Self::Jemalloc, Self::Pools];

    /// As it is called in tables, and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Mimalloc => "mimalloc",
            Self::Jemalloc => "jemalloc",
            Self::Pools => "pools",
        }
    }
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
