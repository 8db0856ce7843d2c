//! What a pool would gain: the objects of a call site, replayed on the heap and in the pool that is advised.

use std::collections::HashMap;
use std::time::Duration;

use fastalloc_replay::{Candidate, Comparison, Effort, Plan, PoolSpec, compare};
use fastalloc_trace::{Advice, Owner, Pool, ScriptLimits, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::analysed::Analysed;
use crate::failure::Failure;
use crate::recording::Input;
use crate::text;

/// So much is replayed: it shall not take long, nor much memory.
const STEPS_MAX: usize = 4_000_000;
const STEPS_PER_POOL: usize = 500_000;
const POOLS_MAX: usize = 40;
/// For each pool.
const TIME: Duration = Duration::from_millis(200);
const ROUNDS_MIN: usize = 7;

/// What was measured of a pool and of the C library's heap, for the same objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Gain {
    /// Objects that were replayed, in each round.
    pub(crate) objects: u64,
    /// Rounds that count.
    pub(crate) rounds: usize,
    /// Nanoseconds for an object on the heap, from its allocation to its free.
    pub(crate) heap: Times,
    /// Nanoseconds for an object in the pool.
    pub(crate) pool: Times,
    /// How many times as long the heap takes: in a tenth of all rounds less than the first, in half of them less than the
    /// second, in nine tenths less than the third.
    pub(crate) ratio: [f64; 3],
    /// Nanoseconds that the pool would have saved while the program was recorded, by the medians.
    pub(crate) saved: f64,
}

/// Of all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Times {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

/// Gains by call site, size and alignment.
#[derive(Debug, Default)]
pub(crate) struct Gains(HashMap<(String, u64, u32), Gain>);

impl Gains {
    pub(crate) fn get(&self, advice: &Advice) -> Option<&Gain> {
        self.0.get(&(advice.site.clone(), advice.size?, advice.alignment?))
    }

    /// Whether there are any.
    pub(crate) fn are_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// Replays what is advised, one pool after the other.
    pub(crate) fn measure<'a>(
        input: Input<'_>,
        analysed: &Analysed,
        advice: impl Iterator<Item = &'a Advice>,
        is_quiet: bool,
    ) -> Result<Self, Failure> {
        let pooled: Vec<_> = advice.filter_map(Pooled::new).take(POOLS_MAX).collect();
        if pooled.is_empty() || !input.is_lasting() {
            return Ok(Self::default());
        }
        let numbers: HashMap<_, u32> =
            pooled.iter().map(|pooled| (pooled.site, pooled.size, pooled.alignment)).zip(0..).collect();
        let mut limits = ScriptLimits::default();
        (limits.steps, limits.steps_per_pool) = (STEPS_MAX, STEPS_PER_POOL);
        let script = analysed.script(input, is_quiet, limits, |site, size, alignment| {
            numbers.get(&(site, size, alignment)).map_or(Owner::Nobody, |number| Owner::Pool(*number))
        })?;
        let specs: Vec<_> = pooled.iter().map(|pooled| pooled.spec.clone()).collect();
        let bar = progress(is_quiet, "replaying the call sites");
        let mut gains = HashMap::new();
        for (number, pooled) in (0..).zip(&pooled) {
            let mut effort = Effort::default();
            (effort.rounds_min, effort.time, effort.latencies) = (ROUNDS_MIN, TIME, false);
            let compared = Plan::of_pool(&script, &specs, number).and_then(|plan| {
                compare(&plan, &[Candidate::System, Candidate::Pools], &effort, |share| {
                    set(&bar, (f64::from(number) + share) / specs.len() as f64);
                })
            });
            // An advised pool that cannot be made has no gain: there is no memory for it.
            let Ok(comparison) = compared else { continue };
            let objects = if (script.pool_places.len() as u32) > number { script.what_if(number).objects() } else { 0 };
            if let Some(gain) = Gain::new(&comparison, objects, pooled.objects) {
                gains.insert((pooled.site.into(), pooled.size, pooled.alignment), gain);
            }
        }
        bar.finish_and_clear();
        if cfg!(debug_assertions) && !gains.is_empty() && !is_quiet {
            text::warning("built with debug assertions: what pools would gain means nothing");
        }
        Ok(Self(gains))
    }
}

/// A pool that is advised.
struct Pooled<'a> {
    site: &'a str,
    size: u64,
    alignment: u32,
    objects: u64,
    spec: PoolSpec,
}

impl<'a> Pooled<'a> {
    fn new(advice: &'a Advice) -> Option<Self> {
        let (Verdict::Pool(pool), Some(size), Some(alignment)) = (&advice.verdict, advice.size, advice.alignment)
        else {
            return None;
        };
        Some(Self { site: &advice.site, size, alignment, objects: advice.objects, spec: spec_of(pool) })
    }
}

/// A pool as it is advised.
pub(crate) fn spec_of(pool: &Pool) -> PoolSpec {
    let mut spec = PoolSpec::new(pool.capacity);
    (spec.max_capacity, spec.growth, spec.alignment) = (pool.max_capacity, pool.growth, pool.alignment);
    spec
}

impl Gain {
    fn new(comparison: &Comparison, replayed: u64, recorded: u64) -> Option<Self> {
        let heap = comparison.row(Candidate::System)?;
        let pool = comparison.row(Candidate::Pools)?;
        let ratios = comparison.ratios(Candidate::System, Candidate::Pools);
        // Larger objects than the replay has pools for are on the heap, in both.
        if ratios.is_empty() || replayed == 0 || pool.median() == 0 {
            return None;
        }
        let each = |time: u64| time as f64 / replayed as f64;
        let heap = Times { min: each(heap.min()), median: each(heap.median()) };
        let pool = Times { min: each(pool.min()), median: each(pool.median()) };
        let ratio = [0.1, 0.5, 0.9].map(|share| ratios[(share * (ratios.len() - 1) as f64).round() as usize]);
        let saved = (heap.median - pool.median) * recorded as f64;
        Some(Self { objects: replayed, rounds: ratios.len(), heap, pool, ratio, saved })
    }

    /// As it is told in tables.
    pub(crate) fn text(&self) -> String {
        let [low, median, high] = self.ratio;
        let saved = text::signed_duration(self.saved);
        format!("{median:.1} times as fast ({low:.1} to {high:.1}), saves {saved}")
    }
}

/// A bar on standard error, if that is a terminal.
pub(crate) fn progress(is_quiet: bool, what: &'static str) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1000).with_style(style).with_message(what)
}

/// Sets a bar to a share from 0 to 1.
pub(crate) fn set(bar: &ProgressBar, share: f64) {
    bar.set_position((share * 1000.0) as u64);
}
