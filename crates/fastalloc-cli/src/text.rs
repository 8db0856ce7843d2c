//! How things are shown to people.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Says why the program ends. If that cannot be written, there is nobody to tell.
pub(crate) fn error(what: &str, help: &str) {
    let mut stderr = anstream::stderr();
    let _ = writeln!(stderr, "{ERROR}error:{ERROR:#} {what}");
    let _ = writeln!(stderr, "{HELP}help:{HELP:#} {help}");
}

/// Says what to know about the output.
pub(crate) fn warning(what: &str) {
    let _ = writeln!(anstream::stderr(), "{WARNING}warning:{WARNING:#} {what}");
}

/// Says what was done.
pub(crate) fn note(what: &str) {
    let _ = writeln!(anstream::stderr(), "{what}");
}

/// A table of columns, those of numbers aligned to the right; as wide as the terminal, if there is one.
pub(crate) fn table(columns: &[(&str, CellAlignment)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(name, _)| *name));
    for (column, (_, alignment)) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(*alignment);
    }
    // Otherwise what is printed is stripped of it: see `output`.
    if AutoStream::choice(&io::stdout()) != ColorChoice::Never {
        table.enforce_styling();
    }
    table
}

/// Where results go: with colours on terminals only, and as the environment says (`NO_COLOR`, `CLICOLOR_FORCE`).
pub(crate) fn output() -> impl Write {
    AutoStream::auto(io::stdout().lock())
}

/// A cell about something to do.
pub(crate) fn good(text: String) -> Cell {
    Cell::new(text).fg(Color::Green)
}

/// `1 thing`, `2 things`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A time in nanoseconds.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let units = [(60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1000, "µs")];
    match units.into_iter().find(|(length, _)| nanoseconds >= *length) {
        Some((length, unit)) => format!("{:.1} {unit}", nanoseconds as f64 / length as f64),
        None => format!("{nanoseconds} ns"),
    }
}

/// The same, of a difference.
pub(crate) fn signed_duration(nanoseconds: f64) -> String {
    let sign = if nanoseconds < 0.0 { "−" } else { "" };
    format!("{sign}{}", duration(nanoseconds.abs() as u64))
}

/// A number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, signed_duration};

    #[test]
    fn differences_have_a_sign_and_bytes_a_unit() {
        assert_eq!([1500.0, -2.0].map(signed_duration), ["1.5 µs", "−2 ns"]);
        assert_eq!([1023, 1024, 3 << 20].map(bytes), ["1023 B", "1.0 KiB", "3.0 MiB"]);
    }

    #[test]
    fn durations_have_the_largest_unit_that_fits() {
        let texts = [0, 999, 1000, 1_500_000, 90_000_000_000].map(duration);
        assert_eq!(texts, ["0 ns", "999 ns", "1.0 µs", "1.5 ms", "1.5 min"]);
    }
}
