//! The questions, and how the candidates take turns at them.

use fastalloc_bench::{
    candidate::{Candidate, InPlace, InPlaceVisitor, Kind, Visitor, visit, visit_in_place},
    workload::{BuildInPlace, ColdRefill, FillAndDrain, RandomReplacement, Times, WarmLoop, Workload},
};
use indicatif::ProgressBar;

/// The names of the groups that have targets.
pub(crate) mod name {
    pub(crate) const WARM_LOOP: &str = "warm_loop/64B";
    pub(crate) const FILL_AND_DRAIN: &str = "fill_and_drain/1000";
    pub(crate) const FILL_AND_DRAIN_SHUFFLED: &str = "fill_and_drain/100000_shuffled";
    pub(crate) const RANDOM_REPLACEMENT_SMALL: &str = "random_replacement/10000";
    pub(crate) const RANDOM_REPLACEMENT_LARGE: &str = "random_replacement/1000000";
    pub(crate) const COLD_REFILL: &str = "cold_refill";
    pub(crate) const COLD_REFILL_PAIR: &str = "cold_refill/pair";
    pub(crate) const IN_PLACE: &str = "in_place/4KiB";
}

/// Returns all groups in the order of the output.
pub(crate) fn all() -> Vec<Group> {
    vec![
        Group::new::<1>(
            "warm_loop/8B",
            "allocate one object of 8 bytes, read it, release it",
            1_000,
            WarmLoop { iterations: 20_000 },
        ),
        Group::new::<8>(
            name::WARM_LOOP,
            "allocate one object of 64 bytes, read it, release it",
            1_000,
            WarmLoop { iterations: 20_000 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN,
            "allocate 1,000 objects, read and release them, the newest first",
            1_000,
            FillAndDrain { alive: 1_000, shuffled: false, cycles: 20 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN_SHUFFLED,
            "allocate 100,000 objects, read and release them in random order",
            40,
            FillAndDrain { alive: 100_000, shuffled: true, cycles: 2 },
        ),
        Group::new::<8>(
            name::RANDOM_REPLACEMENT_SMALL,
            "replace a random one of 10,000 objects by a fresh one",
            200,
            RandomReplacement { alive: 10_000, replacements: 50_000 },
        ),
        Group::new::<8>(
            name::RANDOM_REPLACEMENT_LARGE,
            "replace a random one of 1,000,000 objects by a fresh one",
            10,
            RandomReplacement { alive: 1_000_000, replacements: 300_000 },
        ),
        Group::new::<8>(
            name::COLD_REFILL,
            "allocate 200,000 objects after as many random ones of 900,000 were released",
            16,
            ColdRefill { alive: 900_000, refilled: 200_000 },
        ),
        Group::in_place::<512>(
            name::IN_PLACE,
            "build an object of 4 KiB where it is to stay, read it, release it",
            500,
            BuildInPlace { iterations: 2_000 },
        ),
    ]
}

/// A question and its candidates.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    /// Who cannot take part, and why.
    pub(crate) left_out: Vec<(&'static str, &'static str)>,
    rounds: usize,
    entries: Vec<Entry>,
}

struct Entry {
    candidate: &'static str,
    kind: Kind,
    section: Box<dyn Fn() -> Times>,
}

impl Group {
    fn new<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        workload: impl Workload + Copy + 'static,
    ) -> Self {
        let mut entries = Entries { workload, list: Vec::new() };
        visit::<WORDS>(&mut entries);
        Self { name, question, left_out: not_built(), rounds, entries: entries.list }
    }

    fn in_place<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        workload: BuildInPlace,
    ) -> Self {
        let mut entries = Entries { workload, list: Vec::new() };
        visit_in_place::<WORDS>(&mut entries);
        let mut left_out = not_built();
        for candidate in ["nexus-slab", "slab", "fastalloc of the registry", "heapless"] {
            left_out.push((candidate, "it takes objects only as values"));
        }
        Self { name, question, left_out, rounds, entries: entries.list }
    }

    /// Returns how many sections [`measure`](Self::measure) will run.
    pub(crate) fn sections(&self, quick: bool) -> usize {
        self.rounds(quick) * self.entries.len()
    }

    fn rounds(&self, quick: bool) -> usize {
        if quick { self.rounds.div_ceil(10) } else { self.rounds }
    }

    /// Lets the candidates take turns, and returns their times.
    pub(crate) fn measure(&self, quick: bool, progress: &ProgressBar) -> Vec<Measured> {
        let count = self.entries.len();
        let mut times = vec![Vec::new(); count];
        for round in 0..self.rounds(quick) {
            for turn in 0..count {
                let index = (turn + round) % count;
                times[index].push((self.entries[index].section)());
                progress.inc(1);
            }
        }

        let measured = |question: String, name, time: fn(&Times) -> Option<f64>| {
            let rows = self.entries.iter().zip(&times);
            let rows = rows.filter_map(|(entry, times)| {
                let times = times.iter().map(time).collect::<Option<Vec<f64>>>()?;
                Some(Row { candidate: entry.candidate, kind: entry.kind, time: Summary::of(times) })
            });
            Measured { name, question, rows: rows.collect() }
        };
        let main = measured(self.question.to_owned(), self.name, |times| Some(times.main));
        let pair = measured(
            format!("{}: both the releases and the allocations", self.question),
            name::COLD_REFILL_PAIR,
            |times| times.pair,
        );
        [main, pair].into_iter().filter(|measured| !measured.rows.is_empty()).collect()
    }
}

/// Returns the candidates that this program was built without.
fn not_built() -> Vec<(&'static str, &'static str)> {
    let mut list = Vec::new();
    if cfg!(not(feature = "snmalloc")) {
        list.push(("Box snmalloc", "this program was built without the feature `snmalloc`"));
    }
    list
}

/// Collects the candidates of a workload.
struct Entries<W> {
    workload: W,
    list: Vec<Entry>,
}

impl<const WORDS: usize, W: Workload + Copy + 'static> Visitor<WORDS> for Entries<W> {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        let workload = self.workload;
        let section = Box::new(move || workload.section::<WORDS, C>());
        self.list.push(Entry { candidate: C::NAME, kind: C::KIND, section });
    }
}

impl<const WORDS: usize> InPlaceVisitor<WORDS> for Entries<BuildInPlace> {
    fn candidate<C: InPlace<WORDS>>(&mut self) {
        let workload = self.workload;
        let section = Box::new(move || workload.section::<WORDS, C>());
        self.list.push(Entry { candidate: C::NAME, kind: C::KIND, section });
    }
}

/// The answers to one question.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) question: String,
    pub(crate) rows: Vec<Row>,
}

impl Measured {
    /// Returns the row with the least minimum among those that are wanted.
    pub(crate) fn fastest(&self, wanted: impl Fn(&Row) -> bool) -> Option<&Row> {
        let rows = self.rows.iter().filter(|row| wanted(row));
        rows.min_by(|a, b| a.time.min.total_cmp(&b.time.min))
    }
}

/// The answer of one candidate.
pub(crate) struct Row {
    pub(crate) candidate: &'static str,
    pub(crate) kind: Kind,
    pub(crate) time: Summary,
}

/// What is said of the times of all rounds, in nanoseconds for each operation.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

impl Summary {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { min: times[0], median: times[times.len() / 2] }
    }
}
