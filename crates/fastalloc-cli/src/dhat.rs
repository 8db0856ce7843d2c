//! `fastalloc advise` of what DHAT has counted: a summary.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::ExitCode;

use comfy_table::CellAlignment;
use fastalloc_trace::{DhatPoint, DhatSummary};
use serde_json::json;

use crate::advise::print_json;
use crate::args::Advise;
use crate::failure::Failure;
use crate::recording::{Input, Recording};
use crate::sites::{is_runtime_function, is_runtime_library};
use crate::symbols::printable;
use crate::text;

/// How much is read: it takes memory in proportion.
const LENGTH_MAX: u64 = 512 << 20;
const NO_CAPACITIES: &str = "DHAT does not say in which order objects came and went, so that no capacities can be \
    advised: only how many were alive when a stack had most bytes. Nor can it be replayed, to see what pools would gain";

/// What is known of a call site.
#[derive(Default)]
struct Site {
    name: String,
    objects: u64,
    bytes: u64,
    /// Of all stacks together, though the moments of two stacks need not be the same.
    alive: Option<u64>,
    lifetimes: Option<u64>,
    alive_at_end: Option<u64>,
}

pub(crate) fn run(args: &Advise, input: Input<'_>, recording: Recording) -> Result<ExitCode, Failure> {
    let help = "record the program: `fastalloc advise -- ./program`";
    if args.check.is_some() || args.toml {
        return Err(Failure::new(format!("{input} has no capacities: it is a summary by DHAT"), help));
    }
    let summary = DhatSummary::read(recording.source.take(LENGTH_MAX));
    recording.progress.finish_and_clear();
    let summary = summary.map_err(|error| {
        let what = format!("cannot read {input}: it starts like JSON, but is none of DHAT: {error}");
        Failure::new(what, "see whether it was written as a whole")
    })?;
    if !matches!(&*summary.mode, "heap" | "rust-heap") {
        let what = format!("{input} is about other things than allocations: its mode is {}", printable(&summary.mode));
        return Err(Failure::new(what, "record with `valgrind --tool=dhat`, without --mode"));
    }
    if !args.quiet {
        text::warning(NO_CAPACITIES);
    }
    let sites = sites(&summary);
    let shown = &sites[..sites.len().min(args.rows_max())];
    let mut out = text::output();
    if args.json {
        let sites: Vec<_> = shown.iter().map(|site| site.as_json(&summary)).collect();
        let json = json!({
            "file": input.to_string(), "format": "dhat", "note": NO_CAPACITIES, "sites": sites,
        });
        print_json(&mut out, &json)?;
    } else {
        print_table(&mut out, &summary, shown)?;
        if shown.len() < sites.len() {
            writeln!(out, "And {}: --top 0 shows them.", text::count(sites.len() - shown.len(), "call site"))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Call sites, those with most objects first.
fn sites(summary: &DhatSummary) -> Vec<Site> {
    let mut sites: HashMap<String, Site> = HashMap::new();
    for point in &summary.points {
        let name = site_of(summary, point);
        let site = sites.entry(name.clone()).or_insert_with(|| Site { name, ..Site::default() });
        site.objects = site.objects.saturating_add(point.objects);
        site.bytes = site.bytes.saturating_add(point.bytes);
        add(&mut site.alive, point.alive_peak);
        add(&mut site.lifetimes, point.lifetimes);
        add(&mut site.alive_at_end, point.alive_at_end);
    }
    let mut sites: Vec<_> = sites.into_values().collect();
    sites.sort_by(|a, b| (Reverse(a.objects), &a.name).cmp(&(Reverse(b.objects), &b.name)));
    sites
}

fn add(sum: &mut Option<u64>, number: Option<u64>) {
    if let Some(number) = number {
        *sum = Some(sum.unwrap_or(0).saturating_add(number));
    }
}

/// The innermost function that does not allocate for others: its name only, as in other recordings, if it has one.
fn site_of(summary: &DhatSummary, point: &DhatPoint) -> String {
    let is_site = |frame: &&str| {
        let (name, place) = parse(frame);
        // `function (file:line)`, or `function (in library)`
        let is_runtime = place.strip_prefix("in ").is_some_and(is_runtime_library);
        !is_runtime && !is_runtime_function(name)
    };
    let innermost = summary.frames(point).next();
    match summary.frames(point).find(is_site).or(innermost) {
        Some(frame) => match parse(frame).0 {
            "???" => printable(frame),
            name => printable(name),
        },
        None => String::from("(unknown)"),
    }
}

/// Name and place in `0x5000: function (place)`.
fn parse(frame: &str) -> (&str, &str) {
    let text = match frame.split_once(": ") {
        Some((address, text)) if address.starts_with("0x") => text,
        _ => frame,
    };
    match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((name, place)) => (name, place),
        None => (text, ""),
    }
}

impl Site {
    fn mean_size(&self) -> f64 {
        if self.objects == 0 { 0.0 } else { self.bytes as f64 / self.objects as f64 }
    }

    fn mean_lifetime(&self) -> Option<f64> {
        let lifetimes = self.lifetimes.filter(|_| self.objects > 0)?;
        Some(lifetimes as f64 / self.objects as f64)
    }

    fn as_json(&self, summary: &DhatSummary) -> serde_json::Value {
        json!({
            "site": self.name,
            "objects": self.objects,
            "bytes": self.bytes,
            "mean_size": self.mean_size(),
            "alive_when_most_bytes": self.alive,
            "alive_at_end": self.alive_at_end,
            "mean_lifetime": self.mean_lifetime(),
            "time_unit": summary.time_unit,
        })
    }
}

fn print_table(out: &mut impl Write, summary: &DhatSummary, sites: &[Site]) -> Result<(), Failure> {
    let lifetime = format!("mean lifetime ({})", printable(&summary.time_unit));
    let mut table = text::table(&[
        ("call site", CellAlignment::Left),
        ("mean bytes", CellAlignment::Right),
        ("objects", CellAlignment::Right),
        ("alive when most bytes", CellAlignment::Right),
        (&lifetime, CellAlignment::Right),
        ("alive at the end", CellAlignment::Right),
    ]);
    let or_unknown = |number: Option<String>| number.unwrap_or_else(|| String::from("?"));
    for site in sites {
        table.add_row([
            site.name.clone(),
            format!("{:.1}", site.mean_size()),
            site.objects.to_string(),
            or_unknown(site.alive.map(|alive| alive.to_string())),
            or_unknown(site.mean_lifetime().map(|time| format!("{time:.0}"))),
            or_unknown(site.alive_at_end.map(|alive| alive.to_string())),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
