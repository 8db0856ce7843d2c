//! What a run found, as it is written to a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidate::Kind;

/// A whole run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// What it was taken on.
    pub setting: Setting,
    /// Whether there were so few rounds that nothing can be compared.
    pub quick: bool,
    /// What was found, in the order of the groups.
    pub answers: Vec<Answer>,
    /// What was wanted of our pools, and whether they did it.
    pub verdicts: Vec<Verdict>,
}

/// What the figures were taken on.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Setting {
    /// The model.
    pub processor: String,
    /// How many cores the program may use.
    pub cores: usize,
    /// How much there is.
    pub memory: String,
    /// The kernel.
    pub system: String,
    /// How many tasks wanted to run, over the last minute before the run.
    pub load: String,
    /// The compiler.
    pub compiler: String,
    /// The commit of this repository.
    pub commit: String,
    /// The day, in UTC.
    pub date: String,
    /// Whether the build has debug assertions, so that times mean nothing.
    pub debug: bool,
    /// The versions of the rivals, by the names of their packages.
    pub versions: BTreeMap<String, String>,
}

/// The answers to one question.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Answer {
    /// The name of the group.
    pub name: String,
    /// What was asked.
    pub question: String,
    /// What is counted.
    pub measure: Measure,
    /// What each of the figures in a row is.
    pub columns: Vec<String>,
    /// One for each candidate.
    pub rows: Vec<Row>,
    /// Who could not take part.
    pub left_out: Vec<LeftOut>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

impl Answer {
    /// Returns the row with the least minimum in a column, among those that are wanted.
    pub fn best(&self, column: usize, wanted: impl Fn(&Row) -> bool) -> Option<&Row> {
        let rows = self.rows.iter().filter(|row| wanted(row));
        rows.min_by(|a, b| a.figures[column].min.total_cmp(&b.figures[column].min))
    }
}

/// What is counted: less is better, in any case.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Nanoseconds for each operation, averaged over a section.
    Time,
    /// Nanoseconds of single operations, by percentile.
    Latency,
    /// Bytes for each object.
    Bytes,
}

/// The answer of one candidate.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    /// Whose.
    pub candidate: String,
    /// How its objects are owned.
    pub kind: Kind,
    /// One for each column.
    pub figures: Vec<Summary>,
    /// How many rounds count: those in which two threads both had their cores. If there are none, all count.
    pub calm: usize,
    /// How many rounds there were.
    pub rounds: usize,
}

/// What is said of the figures of all rounds that count.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// The least.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
}

impl Summary {
    /// Sums up figures, of which there is at least one.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self { min: figures[0], median: figures[figures.len() / 2] }
    }
}

/// Who could not take part.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LeftOut {
    /// Who.
    pub candidate: String,
    /// Why; completes "because".
    pub reason: String,
}

/// What was wanted of one of our pools.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Verdict {
    /// The name of the group, and of the column if there are several.
    pub group: String,
    /// What was wanted.
    pub wanted: String,
    /// Against whom.
    pub against: String,
    /// Which of our pools.
    pub pool: String,
    /// What there was, if both were measured.
    pub found: Option<Found>,
}

/// What there was where something was wanted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Found {
    /// Whether that is as wanted, by the minima.
    pub met: bool,
    /// By the minima: a ratio, or bytes.
    pub by_min: f64,
    /// By the medians.
    pub by_median: f64,
}
