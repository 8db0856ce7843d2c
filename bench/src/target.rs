//! What our pools are meant to reach, and whether they did.

use core::fmt;

use comfy_table::Table;
use fastalloc_bench::candidate::Kind;

use crate::{
    group::{Measured, Row, name},
    table::{self, figure},
};

/// A bound on our time, as a multiple of somebody else's.
struct Target {
    group: &'static str,
    against: Against,
    wanted: Wanted,
}

enum Against {
    Candidate(&'static str),
    FastestHeap,
    FastestPool,
    FastestRival,
}

enum Wanted {
    /// Our time is at most this many times theirs.
    AtMost(f64),
    /// Their time is at least this many times ours.
    Faster(f64),
}

const fn target(group: &'static str, against: Against, wanted: Wanted) -> Target {
    Target { group, against, wanted }
}

/// Of the pools for one thread.
const TARGETS: &[Target] = {
    use Against::{Candidate, FastestHeap, FastestRival};
    use Wanted::{AtMost, Faster};

    &[
        target(name::WARM_LOOP, Candidate("nexus-slab"), AtMost(1.1)),
        target(name::WARM_LOOP, FastestHeap, Faster(2.0)),
        target(name::WARM_LOOP, Candidate("plurality Box"), Faster(8.0)),
        target(name::FILL_AND_DRAIN, Candidate("nexus-slab"), AtMost(1.15)),
        target(name::FILL_AND_DRAIN, FastestHeap, Faster(1.3)),
        target(name::FILL_AND_DRAIN, Candidate("plurality Box"), Faster(5.0)),
        target(name::FILL_AND_DRAIN_SHUFFLED, FastestRival, AtMost(1.0)),
        target(name::FILL_AND_DRAIN_SHUFFLED, Candidate("plurality Box"), Faster(5.0)),
        target(name::RANDOM_REPLACEMENT_SMALL, FastestRival, AtMost(1.0)),
        target(name::RANDOM_REPLACEMENT_SMALL, Candidate("plurality Box"), Faster(3.0)),
        target(name::RANDOM_REPLACEMENT_LARGE, FastestRival, AtMost(1.0)),
        target(name::RANDOM_REPLACEMENT_LARGE, Candidate("plurality Box"), Faster(3.0)),
        target(name::COLD_REFILL, FastestRival, AtMost(1.0)),
        target(name::COLD_REFILL, FastestHeap, Faster(3.0)),
        target(name::COLD_REFILL_PAIR, FastestRival, AtMost(1.0)),
        target(name::COLD_REFILL_PAIR, FastestHeap, Faster(3.0)),
        // 40 ns where `Box` takes 44.
        target(name::IN_PLACE, Candidate("Box glibc"), AtMost(40.0 / 44.0)),
    ]
};

/// Of the pools that threads share.
const SHARED_TARGETS: &[Target] = {
    use Against::{Candidate, FastestHeap, FastestPool};
    use Wanted::{AtMost, Faster};

    &[
        target(name::TWO_WARM_LOOPS, FastestHeap, AtMost(1.0)),
        target(name::TWO_WARM_LOOPS, FastestPool, Faster(6.0)),
        target(name::TWO_BATCHES, FastestHeap, AtMost(1.0)),
        target(name::TWO_BATCHES, FastestPool, Faster(6.0)),
        target(name::ACROSS_THREADS, FastestHeap, Faster(1.5)),
        target(name::ACROSS_THREADS, Candidate("fastalloc 1.5 ThreadSafe"), Faster(10.0)),
        target(name::SHARED_ALONE, Candidate("FixedPool"), AtMost(1.8)),
    ]
};

/// Shows each target with what was measured, by the minima and, in brackets, by the medians.
pub(crate) fn report(results: &[Measured]) -> String {
    let of_one_thread = rows(TARGETS, ["FixedPool", "GrowingPool"], results);
    let shared = rows(SHARED_TARGETS, ["ThreadSafePool", "LockFreePool"], results);
    format!(
        "targets: how many times their time ours is (at most), or theirs ours (faster)\n\
         {of_one_thread}\n\n\
         targets of the pools that threads share\n{shared}"
    )
}

fn rows(targets: &[Target], pools: [&str; 2], results: &[Measured]) -> Table {
    let mut header = ["group", "wanted", "against"].map(String::from).to_vec();
    header.extend(pools.map(|pool| pool.to_owned()));
    let mut rows = table::with_header(header, 5);
    for target in targets {
        let measured = results.iter().find(|measured| measured.name == target.group);
        let theirs = measured.and_then(|measured| target.rival(measured));
        let against = match (&target.against, theirs) {
            (Against::FastestHeap | Against::FastestPool | Against::FastestRival, Some(row)) => {
                format!("{}, {}", target.against, row.candidate)
            }
            _ => target.against.to_string(),
        };
        let mut cells = vec![target.group.to_owned(), target.wanted.to_string(), against];
        cells.extend(pools.map(|pool| {
            let ours = measured.and_then(|measured| measured.rows.iter().find(|row| row.candidate == pool));
            ours.zip(theirs).map_or_else(|| String::from("not measured"), |(ours, theirs)| target.verdict(ours, theirs))
        }));
        rows.add_row(cells);
    }
    rows
}

impl Target {
    fn rival<'m>(&self, measured: &'m Measured) -> Option<&'m Row> {
        measured.fastest(|row| match self.against {
            Against::Candidate(name) => row.candidate == name,
            Against::FastestHeap => row.kind == Kind::Heap,
            Against::FastestPool => matches!(row.kind, Kind::Keys | Kind::Handles),
            Against::FastestRival => row.kind != Kind::Ours,
        })
    }

    fn verdict(&self, ours: &Row, theirs: &Row) -> String {
        let by_min = ours.time.min / theirs.time.min;
        let by_median = ours.time.median / theirs.time.median;
        let (met, by_min, by_median) = match self.wanted {
            Wanted::AtMost(bound) => (by_min <= bound, by_min, by_median),
            Wanted::Faster(bound) => (by_min.recip() >= bound, by_min.recip(), by_median.recip()),
        };
        let word = if met { "met" } else { "missed" };
        format!("{word} {} ({})", figure(by_min), figure(by_median))
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Candidate(name) => name,
            Self::FastestHeap => "fastest heap",
            Self::FastestPool => "fastest pool",
            Self::FastestRival => "fastest rival",
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {}", figure(*bound)),
            Self::Faster(bound) => write!(f, "{} faster", figure(*bound)),
        }
    }
}
