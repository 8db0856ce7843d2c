//! How the figures are shown.

use comfy_table::{CellAlignment, Table, presets};
use fastalloc_bench::candidate::Kind;

use crate::group::Measured;

/// Shows the answers to one question: times, and ratios of minima to the fastest rival of each kind.
pub(crate) fn of_measured(measured: &Measured) -> String {
    let fastest = [Kind::Keys, Kind::Handles, Kind::Heap].map(|kind| {
        let row = measured.fastest(|row| row.kind == kind);
        (kind, row)
    });

    let mut header = ["candidate", "kind", "ns min", "ns median"].map(String::from).to_vec();
    header
        .extend(fastest.map(|(kind, row)| row.map_or_else(|| kind.to_string(), |row| format!("/ {}", row.candidate))));
    let mut table = with_header(header, 2);
    for row in &measured.rows {
        let mut cells =
            vec![row.candidate.to_owned(), row.kind.to_string(), figure(row.time.min), figure(row.time.median)];
        cells.extend(
            fastest.map(|(_, best)| best.map_or_else(String::new, |best| figure(row.time.min / best.time.min))),
        );
        table.add_row(cells);
    }
    let mut text = format!("{}: {}\n{table}", measured.name, measured.question);
    if let Some(disturbed) = disturbed(measured) {
        text.push('\n');
        text.push_str(&disturbed);
    }
    text
}

/// Says of whom some rounds do not count, because a thread had to wait for its core.
fn disturbed(measured: &Measured) -> Option<String> {
    let rows = measured.rows.iter().filter(|row| row.calm < row.rounds);
    let counts: Vec<String> = rows
        .map(|row| match row.calm {
            0 => format!("{} none of {}, so that all count", row.candidate, row.rounds),
            calm => format!("{} {calm} of {}", row.candidate, row.rounds),
        })
        .collect();
    (!counts.is_empty()).then(|| format!("Rounds in which both threads had their cores: {}.", counts.join(", ")))
}

/// Makes a table whose first columns are text and whose other columns are figures.
pub(crate) fn with_header(header: Vec<String>, text_columns: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(text_columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
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
