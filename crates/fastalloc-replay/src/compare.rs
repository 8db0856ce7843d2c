//! How candidates take turns, round by round.

use std::alloc::System;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use serde::Serialize;
use tikv_jemallocator::Jemalloc;

use crate::Candidate;
use crate::cells::{Cells, Object};
use crate::heaps::Heap;
use crate::lane::{self, Outcome, Owner, Unwatched};
use crate::latency::{Latencies, Stopwatch};
use crate::plan::{Plan, PlanError};
use crate::pools::Pools;
use crate::team::Team;

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effort {
    /// At least so many rounds of each candidate, besides the first ones, which do not count.
    pub rounds_min: usize,
    /// At most so many.
    pub rounds_max: usize,
    /// After so much time there are no more rounds than must be.
    pub time: Duration,
    /// Whether there is a last round in which each step is timed by itself.
    pub latencies: bool,
}

impl Default for Effort {
    /// From 5 to 100 rounds, 5 seconds, with latencies.
    fn default() -> Self {
        Self { rounds_min: 5, rounds_max: 100, time: Duration::from_secs(5), latencies: true }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Steps in a round.
    pub steps: u64,
    /// How many threads took them.
    pub threads: usize,
    /// The candidates, in the order in which they were given.
    pub rows: Vec<Measured>,
}

/// What was measured of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measured {
    /// Which one.
    pub candidate: Candidate,
    /// How long each round took, in nanoseconds: from the first thread's start to the last one's end. The rounds at the
    /// same index of all candidates followed each other.
    pub rounds: Vec<u64>,
    /// Objects in all rounds that a pool had no room for, and so were on the heap.
    pub refused: u64,
    /// Objects in all rounds that there was no memory for.
    pub failed: u64,
    /// How long single steps took.
    pub latencies: Option<Latencies>,
}

impl Comparison {
    /// The row of a candidate.
    #[must_use]
    pub fn row(&self, candidate: Candidate) -> Option<&Measured> {
        self.rows.iter().find(|row| row.candidate == candidate)
    }

    /// How many times as long each round of one candidate took as that of another one next to it, in ascending order.
    #[must_use]
    pub fn ratios(&self, of: Candidate, to: Candidate) -> Vec<f64> {
        let (Some(of), Some(to)) = (self.row(of), self.row(to)) else { return Vec::new() };
        let rounds = of.rounds.iter().zip(&to.rounds);
        let mut ratios: Vec<f64> = rounds.map(|(of, to)| *of as f64 / (*to).max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }
}

impl Measured {
    /// The shortest round, in nanoseconds.
    #[must_use]
    pub fn min(&self) -> u64 {
        self.rounds.iter().copied().min().unwrap_or(0)
    }

    /// The round that half of all were not longer than, in nanoseconds.
    #[must_use]
    pub fn median(&self) -> u64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_unstable();
        rounds.get(rounds.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }
}

/// Runs a plan on each candidate, in turn, and times it. `progress` is told the share that is done, from 0 to 1.
///
/// # Errors
///
/// If a pool cannot be made.
///
/// # Panics
///
/// If a heap or a pool gives out memory that is in use: then it is broken.
pub fn compare(
    plan: &Plan,
    candidates: &[Candidate],
    effort: &Effort,
    mut progress: impl FnMut(f64),
) -> Result<Comparison, PlanError> {
    let runners = candidates.iter().map(|candidate| runner(*candidate, plan)).collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<_> = (candidates.iter())
        .map(|candidate| Measured { candidate: *candidate, rounds: Vec::new(), refused: 0, failed: 0, latencies: None })
        .collect();
    Team::of(plan, &runners, |team| {
        let count = runners.len().max(1);
        for index in 0..runners.len() {
            team.round(index, false);
        }
        let start = Instant::now();
        for round in 0..effort.rounds_max.max(1) {
            let elapsed = start.elapsed();
            if round >= effort.rounds_min.max(1) && elapsed >= effort.time {
                break;
            }
            let by_time = elapsed.as_secs_f64() / effort.time.as_secs_f64().max(1e-9);
            let by_rounds = round as f64 / effort.rounds_max.max(1) as f64;
            progress(by_time.max(by_rounds).min(1.0) * 0.9);
            // Who comes after whom is not always the same.
            for index in (0..runners.len()).map(|index| (index + round) % count) {
                let done = team.round(index, false);
                let row = &mut rows[index];
                row.rounds.push(done.time);
                row.refused += done.outcome.refused;
                row.failed += done.outcome.failed;
                assert!(done.outcome.damaged == 0, "{}: what was read was not what had been written", row.candidate);
            }
        }
        if effort.latencies {
            for (index, row) in rows.iter_mut().enumerate() {
                row.latencies = Some(team.round(index, true).stopwatch.finish());
            }
        }
        progress(1.0);
    });
    Ok(Comparison { steps: plan.steps(), threads: plan.threads(), rows })
}

/// A candidate whose type nobody needs to know.
pub(crate) trait Runner: Sync {
    /// Takes the steps of a thread.
    fn run(&self, plan: &Plan, lane: usize, cells: &Cells) -> Outcome;

    /// The same, and times each of them.
    fn run_timed(&self, plan: &Plan, lane: usize, cells: &Cells, stopwatch: &mut Stopwatch) -> Outcome;

    /// Frees what is left of a round.
    ///
    /// # Safety
    ///
    /// The object must be one that a round of this candidate has left.
    unsafe fn free(&self, plan: &Plan, object: Object);
}

impl<O: Owner> Runner for O {
    fn run(&self, plan: &Plan, lane: usize, cells: &Cells) -> Outcome {
        lane::run(plan, lane, cells, self, &mut Unwatched)
    }

    fn run_timed(&self, plan: &Plan, lane: usize, cells: &Cells, stopwatch: &mut Stopwatch) -> Outcome {
        lane::run(plan, lane, cells, self, stopwatch)
    }

    unsafe fn free(&self, plan: &Plan, object: Object) {
        let memory = &plan.layouts[object.layout as usize];
        // SAFETY: the caller has taken it out of a cell of this candidate's round, which is over.
        unsafe { Owner::free(self, object.address, memory, object.was_refused) };
    }
}

pub(crate) fn runner(candidate: Candidate, plan: &Plan) -> Result<Box<dyn Runner>, PlanError> {
    Ok(match candidate {
        Candidate::System => Box::new(Heap(System)),
        Candidate::Mimalloc => Box::new(Heap(MiMalloc)),
        Candidate::Jemalloc => Box::new(Heap(Jemalloc)),
        Candidate::Pools => Box::new(Pools::new(plan)?),
    })
}
