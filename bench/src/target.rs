//! What our pools are meant to reach, and whether they did.

use core::fmt;

use fastalloc_bench::{
    candidate::Kind,
    record::{Answer, Found, Row, Verdict},
};

use crate::{group::name, table::figure};

/// A bound on a figure of ours.
struct Target {
    group: &'static str,
    column: &'static str,
    pools: Pools,
    wanted: Wanted,
    against: Against,
}

#[derive(Clone, Copy)]
enum Pools {
    /// Each of these.
    Each(&'static [&'static str]),
    /// The best of all of ours.
    Best,
}

#[derive(Clone, Copy)]
enum Against {
    Candidate(&'static str),
    FastestHeap,
    FastestPool,
    FastestRival,
    /// Of those whose handles release the object, as ours do, and of the heaps.
    FastestOwner,
    /// A number of bytes.
    Size(f64),
}

#[derive(Clone, Copy)]
enum Wanted {
    /// Our figure is at most this many times theirs.
    AtMost(f64),
    /// Their figure is at least this many times ours.
    Faster(f64),
    /// Our figure is at most this much more than theirs.
    Beyond(f64),
}

const fn target(group: &'static str, pools: Pools, wanted: Wanted, against: Against) -> Target {
    Target { group, column: "ns", pools, wanted, against }
}

/// One of ours is to be the first among rivals with handles and heaps.
const fn first(group: &'static str) -> Target {
    target(group, Pools::Best, Wanted::AtMost(1.0), Against::FastestOwner)
}

const fn first_in(group: &'static str, column: &'static str) -> Target {
    Target { column, ..first(group) }
}

const fn bytes(column: &'static str, beyond: f64) -> Target {
    let (wanted, against) = (Wanted::Beyond(beyond), Against::Size(64.0));
    Target { group: name::BYTES, column, pools: ONE_THREAD, wanted, against }
}

const ONE_THREAD: Pools = Pools::Each(&["FixedPool", "GrowingPool"]);
const BITMAP: Pools = Pools::Each(&["FixedPool bitmap, sorted", "GrowingPool bitmap, sorted"]);
const THREADS: Pools = Pools::Each(&["ThreadSafePool", "LockFreePool"]);

const TARGETS: &[Target] = {
    use Against::{Candidate, FastestHeap, FastestPool, FastestRival};
    use Wanted::{AtMost, Faster};

    &[
        target(name::WARM_LOOP, ONE_THREAD, AtMost(1.1), Candidate("nexus-slab")),
        target(name::WARM_LOOP, ONE_THREAD, Faster(2.0), FastestHeap),
        target(name::WARM_LOOP, ONE_THREAD, Faster(8.0), Candidate("plurality Box")),
        target(name::FILL_AND_DRAIN, ONE_THREAD, AtMost(1.15), Candidate("nexus-slab")),
        target(name::FILL_AND_DRAIN, ONE_THREAD, Faster(1.3), FastestHeap),
        target(name::FILL_AND_DRAIN, ONE_THREAD, Faster(5.0), Candidate("plurality Box")),
        target(name::FILL_AND_DRAIN_SHUFFLED, ONE_THREAD, AtMost(1.0), FastestRival),
        target(name::FILL_AND_DRAIN_SHUFFLED, ONE_THREAD, Faster(5.0), Candidate("plurality Box")),
        target(name::RANDOM_REPLACEMENT_SMALL, ONE_THREAD, AtMost(1.0), FastestRival),
        target(name::RANDOM_REPLACEMENT_SMALL, ONE_THREAD, Faster(3.0), Candidate("plurality Box")),
        target(name::RANDOM_REPLACEMENT_LARGE, ONE_THREAD, AtMost(1.0), FastestRival),
        target(name::RANDOM_REPLACEMENT_LARGE, ONE_THREAD, Faster(3.0), Candidate("plurality Box")),
        target(name::COLD_REFILL, ONE_THREAD, AtMost(1.0), FastestRival),
        target(name::COLD_REFILL, ONE_THREAD, Faster(3.0), FastestHeap),
        target(name::COLD_REFILL_PAIR, ONE_THREAD, AtMost(1.0), FastestRival),
        target(name::COLD_REFILL_PAIR, ONE_THREAD, Faster(3.0), FastestHeap),
        // 40 ns where `Box` takes 44.
        target(name::IN_PLACE, ONE_THREAD, AtMost(40.0 / 44.0), Candidate("Box glibc")),
        target(name::TRAVERSAL, BITMAP, AtMost(1.0), FastestRival),
        target(name::TWO_WARM_LOOPS, THREADS, AtMost(1.0), FastestHeap),
        target(name::TWO_WARM_LOOPS, THREADS, Faster(6.0), FastestPool),
        target(name::TWO_BATCHES, THREADS, AtMost(1.0), FastestHeap),
        target(name::TWO_BATCHES, THREADS, Faster(6.0), FastestPool),
        target(name::ACROSS_THREADS, THREADS, Faster(1.5), FastestHeap),
        target(name::ACROSS_THREADS, THREADS, Faster(10.0), Candidate("fastalloc 1.5 ThreadSafe")),
        target(name::SHARED_ALONE, THREADS, AtMost(1.8), Candidate("FixedPool")),
        first(name::WARM_LOOP_SMALL),
        first(name::WARM_LOOP),
        first(name::FILL_AND_DRAIN),
        first(name::FILL_AND_DRAIN_FIFO),
        first(name::FILL_AND_DRAIN_SMALL_SHUFFLED),
        first(name::FILL_AND_DRAIN_LARGE),
        first(name::FILL_AND_DRAIN_LARGE_FIFO),
        first(name::FILL_AND_DRAIN_SHUFFLED),
        first(name::RANDOM_REPLACEMENT_SMALL),
        first(name::RANDOM_REPLACEMENT_LARGE),
        first(name::COLD_REFILL),
        first(name::COLD_REFILL_PAIR),
        first(name::IN_PLACE),
        first(name::BATCH),
        first(name::TRAVERSAL),
        first(name::TREE),
        first(name::BUFFERS),
        first(name::COUNTED),
        first(name::COUNTED_THREADS),
        first(name::GROWTH),
        first(name::CREATION),
        first(name::CREATION_FILLED),
        first(name::TWO_WARM_LOOPS),
        first(name::TWO_BATCHES),
        first(name::ACROSS_THREADS),
        first(name::SHARED_ALONE),
        first_in(name::LATENCY, "p99.9"),
        first_in(name::LATENCY, "max"),
        first_in(name::LATENCY_LOADED, "p99.9"),
        first_in(name::LATENCY_LOADED, "max"),
        first_in(name::LATENCY_GROWTH, "p99.9"),
        first_in(name::LATENCY_GROWTH, "max"),
        bytes("resident", 0.5),
        bytes("resident after release", 4.5),
    ]
};

/// Compares what was found with what is wanted; of groups that were not run, it says nothing.
pub(crate) fn verdicts(answers: &[Answer]) -> Vec<Verdict> {
    let find = |target: &Target| answers.iter().find(|answer| answer.name == target.group);
    TARGETS.iter().filter_map(|target| Some(target.verdicts(find(target)?))).flatten().collect()
}

impl Target {
    fn verdicts(&self, answer: &Answer) -> Vec<Verdict> {
        let Some(column) = answer.columns.iter().position(|column| column == self.column) else { return Vec::new() };
        let group = match answer.columns.len() {
            1 => answer.name.clone(),
            _ => format!("{}, {}", answer.name, self.column),
        };
        let ours: Vec<(String, Option<&Row>)> = match self.pools {
            Pools::Each(pools) => {
                let find = |pool| answer.rows.iter().find(|row| row.candidate == pool);
                pools.iter().map(|pool| ((*pool).to_owned(), find(*pool))).collect()
            }
            Pools::Best => {
                let best = answer.best(column, |row| row.kind == Kind::Ours);
                vec![(best.map_or_else(|| String::from("ours"), |row| row.candidate.clone()), best)]
            }
        };
        let theirs = self.theirs(answer, column);
        let verdict = |(pool, row): (String, Option<&Row>)| Verdict {
            group: group.clone(),
            wanted: self.wanted.to_string(),
            against: match (&self.against, &theirs) {
                (Against::Candidate(_) | Against::Size(_), _) | (_, None) => self.against.to_string(),
                (_, Some(theirs)) => format!("{}, {}", self.against, theirs.name),
            },
            pool,
            found: row.zip(theirs.as_ref()).map(|(ours, theirs)| {
                let ours = ours.figures[column];
                self.wanted.compare([ours.min, ours.median], [theirs.min, theirs.median])
            }),
        };
        ours.into_iter().map(verdict).collect()
    }

    fn theirs(&self, answer: &Answer, column: usize) -> Option<Theirs> {
        if let Against::Size(size) = self.against {
            return Some(Theirs { name: String::new(), min: size, median: size });
        }
        let row = answer.best(column, |row| match self.against {
            Against::Candidate(name) => row.candidate == name,
            Against::FastestHeap => row.kind == Kind::Heap,
            Against::FastestPool => matches!(row.kind, Kind::Keys | Kind::Handles),
            Against::FastestRival => row.kind != Kind::Ours,
            Against::FastestOwner => matches!(row.kind, Kind::Handles | Kind::Heap),
            Against::Size(_) => false,
        })?;
        Some(Theirs { name: row.candidate.clone(), min: row.figures[column].min, median: row.figures[column].median })
    }
}

/// What ours is compared with.
struct Theirs {
    name: String,
    min: f64,
    median: f64,
}

impl Wanted {
    /// Compares minima and medians.
    fn compare(self, ours: [f64; 2], theirs: [f64; 2]) -> Found {
        let [by_min, by_median] = [0, 1].map(|index| match self {
            Self::AtMost(_) => ours[index] / theirs[index],
            Self::Faster(_) => theirs[index] / ours[index],
            Self::Beyond(_) => ours[index] - theirs[index],
        });
        let met = match self {
            Self::AtMost(bound) | Self::Beyond(bound) => by_min <= bound,
            Self::Faster(bound) => by_min >= bound,
        };
        Found { met, by_min, by_median }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candidate(name) => f.write_str(name),
            Self::FastestHeap => f.write_str("fastest heap"),
            Self::FastestPool => f.write_str("fastest pool"),
            Self::FastestRival => f.write_str("fastest rival"),
            Self::FastestOwner => f.write_str("fastest with handles or heap"),
            Self::Size(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {} times", figure(*bound)),
            Self::Faster(bound) => write!(f, "{} times faster", figure(*bound)),
            Self::Beyond(bound) => write!(f, "at most {} more", figure(*bound)),
        }
    }
}
