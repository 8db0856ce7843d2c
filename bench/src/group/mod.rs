//! The questions, and how the candidates take turns at them.

mod list;

use fastalloc_bench::{
    candidate::{
        Candidate, InPlace, InPlaceVisitor, Kind, Traverse, TraverseVisitor, Visitor,
        buffers::{self, Buffers},
        counted::{self, Counted},
        shared::{self, Shared},
        tree::{self, Forest},
    },
    record::{Answer, LeftOut, Measure, Row, Summary},
    workload::{
        AcrossThreads, BuildInPlace, CloneAndDrop, PassMessages, PlantAndFell, Sample, SharedWorkload,
        TraverseAfterChurn, Workload,
    },
};
use indicatif::ProgressBar;

pub(crate) use self::list::{all, name};

/// A question and its candidates.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    measure: Measure,
    /// Of an [`Answer`] each: several if a section has several times.
    parts: Vec<Part>,
    left_out: Vec<LeftOut>,
    notes: Vec<String>,
    rounds: usize,
    entries: Vec<Entry>,
}

/// A part of what sections find, which is shown as a table.
struct Part {
    name: &'static str,
    question: String,
    columns: Vec<String>,
}

struct Entry {
    candidate: &'static str,
    kind: Kind,
    section: Box<dyn Fn() -> Sample>,
}

impl Group {
    /// Returns how many sections [`measure`](Self::measure) will run.
    pub(crate) fn sections(&self, quick: bool) -> usize {
        self.rounds(quick) * self.entries.len()
    }

    fn rounds(&self, quick: bool) -> usize {
        if quick { self.rounds.div_ceil(20) } else { self.rounds }
    }

    /// Lets the candidates take turns, and returns what they found.
    pub(crate) fn measure(&self, quick: bool, progress: &ProgressBar) -> Vec<Answer> {
        let count = self.entries.len();
        let mut samples = vec![Vec::new(); count];
        for round in 0..self.rounds(quick) {
            for turn in 0..count {
                let index = (turn + round) % count;
                samples[index].push((self.entries[index].section)());
                progress.inc(1);
            }
        }

        let rows: Vec<Row> = self.entries.iter().zip(samples).map(|(entry, samples)| entry.row(&samples)).collect();
        let mut first = 0;
        let answers = self.parts.iter().map(|part| {
            let columns = first..first + part.columns.len();
            first = columns.end;
            let rows = rows.iter().map(|row| Row { figures: row.figures[columns.clone()].to_vec(), ..row.clone() });
            Answer {
                name: part.name.to_owned(),
                question: part.question.clone(),
                measure: self.measure,
                columns: part.columns.clone(),
                rows: rows.collect(),
                left_out: self.left_out.clone(),
                notes: self.notes.clone(),
            }
        });
        answers.collect()
    }

    /// Leaves candidates out, if they are there, with the reason why.
    fn without(mut self, reason: &str, candidates: &[&str]) -> Self {
        self.entries.retain(|entry| !candidates.contains(&entry.candidate));
        self.left_out.extend(candidates.iter().map(|candidate| left_out(candidate, reason)));
        self
    }
}

impl Entry {
    fn row(&self, samples: &[Sample]) -> Row {
        // Two threads of which one has to wait do not get into each other's way.
        let calm = samples.iter().filter(|sample| sample.calm).count();
        let counted: Vec<&Sample> = samples.iter().filter(|sample| sample.calm || calm == 0).collect();
        let columns = counted[0].figures.len();
        let figures = (0..columns).map(|column| Summary::of(counted.iter().map(|s| s.figures[column]).collect()));
        Row {
            candidate: self.candidate.to_owned(),
            kind: self.kind,
            figures: figures.collect(),
            calm,
            rounds: samples.len(),
        }
    }
}

fn left_out(candidate: &str, reason: &str) -> LeftOut {
    LeftOut { candidate: candidate.to_owned(), reason: reason.to_owned() }
}

/// Collects the candidates of a workload.
struct Entries<W> {
    workload: W,
    list: Vec<Entry>,
}

impl<W: Copy + 'static> Entries<W> {
    fn of(workload: W) -> Self {
        Self { workload, list: Vec::new() }
    }

    fn add(&mut self, candidate: &'static str, kind: Kind, section: impl Fn(W) -> Sample + 'static) {
        let workload = self.workload;
        self.list.push(Entry { candidate, kind, section: Box::new(move || section(workload)) });
    }
}

impl<const WORDS: usize, W: Workload + Copy + 'static> Visitor<WORDS> for Entries<W> {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<WORDS, C>());
    }
}

impl<const WORDS: usize> InPlaceVisitor<WORDS> for Entries<BuildInPlace> {
    fn candidate<C: InPlace<WORDS>>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<WORDS, C>());
    }
}

impl<const WORDS: usize> TraverseVisitor<WORDS> for Entries<TraverseAfterChurn> {
    fn candidate<C: Traverse<WORDS>>(&mut self) {
        self.add(C::OWN_WAY, C::KIND, |workload| workload.section_of_own_way::<WORDS, C>());
    }
}

impl<const WORDS: usize, W: SharedWorkload + Copy + 'static> shared::Visitor<WORDS> for Entries<W> {
    fn candidate<C: Shared<WORDS> + Sync>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<WORDS, C>());
    }
}

impl Entries<AcrossThreads> {
    /// Adds a candidate that only one thread can allocate from.
    fn sender<const WORDS: usize, C: Shared<WORDS>>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section_of_any::<WORDS, C>());
    }
}

impl tree::Visitor for Entries<PlantAndFell> {
    fn candidate<C: Forest>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<C>());
    }
}

impl counted::Visitor for Entries<CloneAndDrop> {
    fn candidate<C: Counted>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<C>());
    }
}

impl buffers::Visitor for Entries<PassMessages> {
    fn candidate<C: Buffers>(&mut self) {
        self.add(C::NAME, C::KIND, |workload| workload.section::<C>());
    }
}
