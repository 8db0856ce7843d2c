//! How long single steps take.

use std::time::Instant;

use fastalloc_trace::StepKind;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::lane::Watch;

/// How long steps took, each timed by itself, in nanoseconds. The two readings of the clock are in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Latencies {
    /// To allocate an object and to write it.
    pub allocate: Percentiles,
    /// To read an object and to free it.
    pub free: Percentiles,
    /// Two readings of the clock with nothing in between: half of the times.
    pub clock: u64,
}

/// So many of all are not greater; within 0.1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// Half of all.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// The greatest.
    pub max: u64,
}

/// Collects how long steps take.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch {
    allocate: Histogram<u64>,
    free: Histogram<u64>,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        Self { allocate: histogram(), free: histogram() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        self.allocate += &other.allocate;
        self.free += &other.free;
    }

    pub(crate) fn finish(&self) -> Latencies {
        let mut clock = histogram();
        for _ in 0..1000 {
            clock.saturating_record(nanoseconds(Instant::now()));
        }
        Latencies {
            allocate: percentiles(&self.allocate),
            free: percentiles(&self.free),
            clock: clock.value_at_quantile(0.5),
        }
    }
}

impl Watch for Stopwatch {
    #[inline(always)]
    fn step(&mut self, kind: StepKind, take: impl FnOnce()) {
        let start = Instant::now();
        take();
        let time = nanoseconds(start);
        match kind {
            StepKind::Allocate => self.allocate.saturating_record(time),
            StepKind::Free => self.free.saturating_record(time),
            // Copying is most of it.
            StepKind::Reallocate => {}
        }
    }
}

fn nanoseconds(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// From a nanosecond to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are right")
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max() }
}
