//! A single round in a fresh process: what memory it takes.

use std::fs;
use std::slice;

use serde::{Deserialize, Serialize};

use crate::Candidate;
use crate::compare::runner;
use crate::counters::Counters;
use crate::plan::{Plan, PlanError};
use crate::team::Team;

/// What a first round takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cold {
    /// How long the round took, in nanoseconds: nothing was in memory before.
    pub time: u64,
    /// By how much resident memory grew at most, in bytes; `None` where the system does not say. Pools are in it, places
    /// and the stacks of threads too, and objects as far as they were written.
    pub resident_peak: Option<u64>,
    /// How many loads and stores went to memory, of all threads; or why that is not known.
    pub cache_misses: Result<u64, String>,
}

/// Takes the steps of a plan once. For a process of its own that does nothing else: what was used before need not be
/// fetched from the system.
///
/// # Errors
///
/// If a pool cannot be made.
pub fn cold_run(plan: &Plan, candidate: Candidate) -> Result<Cold, PlanError> {
    // From now on the peak counts.
    let is_reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = status("VmRSS:");
    let counters = Counters::start();
    let runner = runner(candidate, plan)?;
    let time = Team::of(plan, slice::from_ref(&runner), |team| team.round(0, false).time);
    let cache_misses = counters.and_then(Counters::finish);
    let peak = status("VmHWM:").filter(|_| is_reset);
    let resident_peak = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Ok(Cold { time, resident_peak, cache_misses })
}

/// A number of bytes that the system keeps about this process.
fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
