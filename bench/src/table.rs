//! How the figures are shown on a terminal.

use comfy_table::{CellAlignment, Table, presets};
use fastalloc_bench::{
    candidate::Kind,
    record::{Answer, Measure, Row, Verdict},
};

/// Shows the answers to one question.
pub(crate) fn of_answer(answer: &Answer) -> String {
    let table = match answer.measure {
        Measure::Time => of_times(answer),
        Measure::Latency | Measure::Bytes => of_columns(answer),
    };
    let mut text = format!("{}: {}\n{table}", answer.name, answer.question);
    for note in notes(answer) {
        text.push('\n');
        text.push_str(&note);
    }
    text
}

/// Says what the figures do not.
pub(crate) fn notes(answer: &Answer) -> Vec<String> {
    let mut notes = answer.notes.clone();
    notes.extend(disturbed(answer));
    notes.extend(answer.left_out.chunk_by(|a, b| a.reason == b.reason).map(|left_out| {
        let candidates: Vec<&str> = left_out.iter().map(|left_out| left_out.candidate.as_str()).collect();
        format!("Left out: {}, because {}.", candidates.join(", "), left_out[0].reason)
    }));
    notes
}

/// Returns whom times are compared with: the fastest of each kind, and the C library's heap.
pub(crate) fn yardsticks(answer: &Answer) -> Vec<&Row> {
    let kinds = [Kind::Keys, Kind::Handles, Kind::Arena, Kind::Heap];
    let mut rows: Vec<&Row> = kinds.iter().filter_map(|kind| answer.best(0, |row| row.kind == *kind)).collect();
    let glibc = answer.rows.iter().find(|row| row.kind == Kind::Heap && row.candidate.ends_with(" glibc"));
    rows.extend(glibc.filter(|glibc| rows.iter().all(|row| row.candidate != glibc.candidate)));
    rows
}

/// Shows times, and ratios of minima.
fn of_times(answer: &Answer) -> Table {
    let yardsticks = yardsticks(answer);
    let mut header = ["candidate", "kind", "ns min", "ns median"].map(String::from).to_vec();
    header.extend(yardsticks.iter().map(|row| format!("/ {}", row.candidate)));
    let mut table = with_header(header, 2);
    for row in &answer.rows {
        let time = row.figures[0];
        let mut cells = vec![row.candidate.clone(), row.kind.to_string(), figure(time.min), figure(time.median)];
        cells.extend(yardsticks.iter().map(|other| figure(time.min / other.figures[0].min)));
        table.add_row(cells);
    }
    table
}

/// Shows several figures: minima over the rounds and, in brackets, medians that are not the same.
fn of_columns(answer: &Answer) -> Table {
    let text = quantity(answer.measure);
    let mut header = ["candidate", "kind"].map(String::from).to_vec();
    header.extend(answer.columns.iter().cloned());
    let mut table = with_header(header, 2);
    for row in &answer.rows {
        let mut cells = vec![row.candidate.clone(), row.kind.to_string()];
        cells.extend(row.figures.iter().map(|summary| {
            let [min, median] = [summary.min, summary.median].map(text);
            if min == median { min } else { format!("{min} ({median})") }
        }));
        table.add_row(cells);
    }
    table
}

/// Says of whom some rounds do not count, because a thread had to wait for its core.
fn disturbed(answer: &Answer) -> Option<String> {
    let rows = answer.rows.iter().filter(|row| row.calm < row.rounds);
    let counts: Vec<String> = rows
        .map(|row| match row.calm {
            0 => format!("{} none of {}, so that all count", row.candidate, row.rounds),
            calm => format!("{} {calm} of {}", row.candidate, row.rounds),
        })
        .collect();
    (!counts.is_empty()).then(|| format!("Rounds in which both threads had their cores: {}.", counts.join(", ")))
}

/// Shows each target with what was measured, by the minima and, in brackets, by the medians.
pub(crate) fn of_verdicts(verdicts: &[Verdict]) -> String {
    let header = ["group", "pool", "wanted", "against", "found"].map(String::from);
    let mut table = with_header(header.to_vec(), 5);
    for verdict in verdicts {
        let texts = [&verdict.group, &verdict.pool, &verdict.wanted, &verdict.against];
        let mut cells = texts.map(String::clone).to_vec();
        cells.push(found(verdict));
        table.add_row(cells);
    }
    format!("targets, by the minima and, in brackets, by the medians\n{table}")
}

/// Says what was found where something was wanted.
pub(crate) fn found(verdict: &Verdict) -> String {
    verdict.found.map_or_else(
        || String::from("not measured"),
        |found| {
            let word = if found.met { "met" } else { "missed" };
            format!("{word} {} ({})", figure(found.by_min), figure(found.by_median))
        },
    )
}

/// Makes a table whose first columns are text and whose other columns are figures.
fn with_header(header: Vec<String>, text_columns: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(text_columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Returns how a figure of this measure is written with its unit, which goes without saying for bytes.
pub(crate) fn quantity(measure: Measure) -> fn(f64) -> String {
    match measure {
        Measure::Time | Measure::Latency => duration,
        Measure::Bytes => figure,
    }
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{} ns", figure(ns)),
        ns if ns < 1e6 => format!("{} µs", figure(ns / 1e3)),
        ns => format!("{} ms", figure(ns / 1e6)),
    }
}

/// Writes a figure with three digits that mean something.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
