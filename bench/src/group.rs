//! The questions, and how the candidates take turns at them.

use fastalloc_bench::{
    candidate::{
        Candidate, InPlace, InPlaceVisitor, Kind, Visitor, ours,
        shared::{self, Shared},
        visit, visit_in_place,
    },
    workload::{
        AcrossThreads, BuildInPlace, ColdRefill, FillAndDrain, RandomReplacement, SharedWarmLoop, SharedWorkload,
        Times, TwoBatches, TwoWarmLoops, WarmLoop, Workload,
    },
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
    pub(crate) const TWO_WARM_LOOPS: &str = "two_threads/warm_loop";
    pub(crate) const TWO_BATCHES: &str = "two_threads/batch_64";
    pub(crate) const ACROSS_THREADS: &str = "across_threads";
    pub(crate) const SHARED_ALONE: &str = "shared_alone";
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
        Group::two_threads::<8>(
            name::TWO_WARM_LOOPS,
            "two threads on one pool: each allocates one object of 64 bytes, reads it, releases it",
            300,
            TwoWarmLoops { iterations: 5_000 },
        ),
        Group::two_threads::<8>(
            name::TWO_BATCHES,
            "two threads on one pool: each allocates 64 objects of 64 bytes, reads and releases them, the newest first",
            300,
            TwoBatches { batch: 64, cycles: 80 },
        ),
        Group::across_threads::<8>(
            name::ACROSS_THREADS,
            "one thread allocates objects of 64 bytes, another one reads and releases them",
            300,
            AcrossThreads { objects: 10_000 },
        ),
        Group::shared_alone::<8>(
            name::SHARED_ALONE,
            "one thread on a pool that others could use: allocate one object of 64 bytes, read it, release it",
            500,
            20_000,
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

    fn two_threads<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        workload: impl SharedWorkload + Copy + 'static,
    ) -> Self {
        let mut entries = Entries { workload, list: Vec::new() };
        shared::visit::<WORDS>(&mut entries);
        Self { name, question, left_out: not_shared(), rounds, entries: entries.list }
    }

    fn across_threads<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        workload: AcrossThreads,
    ) -> Self {
        let mut entries = Entries { workload, list: Vec::new() };
        shared::visit::<WORDS>(&mut entries);
        entries.sender::<WORDS, shared::Plurality<WORDS>>();
        Self { name, question, left_out: not_built(), rounds, entries: entries.list }
    }

    fn shared_alone<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        iterations: usize,
    ) -> Self {
        let mut alone = Entries { workload: WarmLoop { iterations }, list: Vec::new() };
        Visitor::<WORDS>::candidate::<ours::Fixed<WORDS>>(&mut alone);
        let mut entries = Entries { workload: SharedWarmLoop { iterations }, list: alone.list };
        shared::visit::<WORDS>(&mut entries);
        Self { name, question, left_out: not_shared(), rounds, entries: entries.list }
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
                // Two threads of which one has to wait do not get into each other's way.
                let calm = times.iter().filter(|times| times.calm).count();
                let counted = times.iter().filter(|times| times.calm || calm == 0);
                let time = Summary::of(counted.map(time).collect::<Option<Vec<f64>>>()?);
                Some(Row { candidate: entry.candidate, kind: entry.kind, time, calm, rounds: times.len() })
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

/// Returns the candidates that only one thread can allocate from, after those of [`not_built`].
fn not_shared() -> Vec<(&'static str, &'static str)> {
    let mut list = not_built();
    list.push(("plurality", "only one thread can allocate from its pool"));
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

impl<const WORDS: usize, W: SharedWorkload + Copy + 'static> shared::Visitor<WORDS> for Entries<W> {
    fn candidate<C: Shared<WORDS> + Sync>(&mut self) {
        let workload = self.workload;
        let section = Box::new(move || workload.section::<WORDS, C>());
        self.list.push(Entry { candidate: C::NAME, kind: C::KIND, section });
    }
}

impl Entries<AcrossThreads> {
    /// Adds a candidate that only one thread can allocate from.
    fn sender<const WORDS: usize, C: Shared<WORDS>>(&mut self) {
        let workload = self.workload;
        let section = Box::new(move || workload.section_of_any::<WORDS, C>());
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
    /// How many rounds count: those in which two threads both had their cores. If there are none, all count.
    pub(crate) calm: usize,
    pub(crate) rounds: usize,
}

/// What is said of the times of all rounds that count, in nanoseconds for each operation.
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
