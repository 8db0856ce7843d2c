//! `fastalloc replay`.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::Style;
use comfy_table::{Cell, CellAlignment};
use fastalloc_replay::{Candidate, Cold, Comparison, Effort, Plan, PoolSpec, compare};
use fastalloc_trace::{GrowthStep, Owner, Policy, PoolEntry, Report, Script, ScriptLimits, Verdict, WhatIf, advise};
use serde::Serialize;
use serde_json::json;

use crate::advise::{print_json, print_summary, read_configuration};
use crate::analysed::Analysed;
use crate::args::Replay;
use crate::cold;
use crate::failure::Failure;
use crate::gain::{progress, set, spec_of};
use crate::recording::{Format, Input};
use crate::report;
use crate::text;

const HEADING: Style = Style::new().bold();
/// Capacities in a table, and in a plot.
const CAPACITIES: usize = 12;
const POINTS: usize = 120;

/// A pool that objects are replayed in.
#[derive(Debug, Clone)]
pub(crate) struct Pooled {
    entry: PoolEntry,
    /// Only objects of this alignment; `None` if any.
    alignment: Option<u32>,
    spec: PoolSpec,
}

/// What another capacity would have come to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Outcome {
    pub(crate) capacity: u64,
    /// Allocations that fail, if the pool never grows.
    pub(crate) failures: u64,
    /// How often it grows, if it does, and how large it becomes.
    pub(crate) steps: u64,
    pub(crate) grown: u64,
    /// Of slots.
    pub(crate) bytes: u64,
    pub(crate) bytes_grown: u64,
}

/// What other capacities of a pool would have come to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Curve {
    pub(crate) pool: String,
    pub(crate) objects: u64,
    pub(crate) peak: u64,
    /// The capacity that is advised, or configured.
    pub(crate) capacity: u64,
    pub(crate) growth: String,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) comparison: Comparison,
    /// First rounds, in the order of the rows; or why there is none.
    pub(crate) cold: Vec<Result<Cold, String>>,
}

impl Pooled {
    pub(crate) fn name(&self) -> String {
        match self.entry.size {
            Some(size) => format!("{} ({size} bytes)", self.entry.site),
            None => self.entry.site.clone(),
        }
    }
}

pub(crate) fn run(args: &Replay) -> Result<ExitCode, Failure> {
    let configuration = args.config.as_deref().map(read_configuration).transpose()?;
    let input = Input::new(args.file.as_deref());
    if !input.is_lasting() && args.file.as_deref().is_some_and(|path| path.as_os_str() == "-" || path.exists()) {
        return Err(Failure::new(format!("cannot replay {input}: it is read twice"), "give a file"));
    }
    let recording = input.open(args.quiet)?;
    if recording.format == Format::Dhat {
        let what = format!("cannot replay {input}: it is a summary by DHAT, and has no events");
        return Err(Failure::new(what, "record with heaptrack: `heaptrack --raw -o recording ./program`"));
    }
    let analysed = Analysed::new(input, recording, args.quiet)?;
    let pools = match configuration {
        Some(configuration) => configured(configuration.pool),
        None => advised(&analysed.report),
    };
    let pools = narrowed(pools, args.site.as_deref())?;
    let mut limits = ScriptLimits::default();
    limits.steps = args.events;
    let script = analysed.script(input, args.quiet, limits, owners(&pools, args.capacity.is_some()))?;
    if script.is_cut && !args.quiet {
        text::warning(&format!("the recording has more events: this is about the first {}; see --events", args.events));
    }
    let curves =
        curves(&pools, &script, args.capacity, if args.json || args.capacity.is_none() { POINTS } else { CAPACITIES });
    let measurement = if args.capacity.is_some() { None } else { Some(measure(args, &pools, &script)?) };

    let page = report::Destination::new(&args.page, "fastalloc-replay.html", args.json);
    let page = page.write(args.quiet, || report::of_replay(input, &analysed, &pools, measurement.as_ref(), &curves))?;
    let mut out = text::output();
    if args.json {
        let names: Vec<_> = pools.iter().map(Pooled::name).collect();
        let json = json!({
            "file": input.to_string(),
            "events": script.steps.len(),
            "is_cut": script.is_cut,
            "pools": names,
            "measured": measurement,
            "what_if": curves,
        });
        print_json(&mut out, &json)?;
    } else {
        print_summary(&mut out, input, &analysed.report)?;
        print_pools(&mut out, &pools)?;
        match &measurement {
            Some(measurement) => print_measurement(&mut out, measurement)?,
            None => print_curves(&mut out, &curves)?,
        }
        if let Some(page) = page {
            writeln!(out, "\n{HEADING}Plots:{HEADING:#} {}", page.display())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn configured(entries: Vec<PoolEntry>) -> Vec<Pooled> {
    let pooled = |entry: PoolEntry| {
        let mut spec = PoolSpec::new(entry.capacity);
        spec.max_capacity = entry.max_capacity;
        Pooled { entry, alignment: None, spec }
    };
    entries.into_iter().map(pooled).collect()
}

fn advised(report: &Report) -> Vec<Pooled> {
    let advice = advise(report, &Policy::default());
    let entries = fastalloc_trace::Configuration::from_advice(&advice).pool;
    let pools = advice.iter().filter_map(|advice| match &advice.verdict {
        Verdict::Pool(pool) => Some((advice.alignment, spec_of(pool))),
        Verdict::DoNotPool(_) => None,
    });
    entries.into_iter().zip(pools).map(|(entry, (alignment, spec))| Pooled { entry, alignment, spec }).collect()
}

/// The pools for call sites that match.
fn narrowed(mut pools: Vec<Pooled>, site: Option<&str>) -> Result<Vec<Pooled>, Failure> {
    let Some(pattern) = site else { return Ok(pools) };
    let mut wanted = PoolEntry::new(pattern, 1);
    pools.retain(|pool| {
        wanted.size = pool.entry.size;
        wanted.is_for(&pool.entry.site, pool.entry.size.unwrap_or(0))
    });
    if pools.is_empty() {
        let what = format!("no pool is for a call site that matches {pattern:?}");
        return Err(Failure::new(what, "`fastalloc advise FILE --toml` lists the pools that are advised"));
    }
    Ok(pools)
}

/// Who owns objects: the first pool that is for them; else the heap, or nobody.
fn owners(pools: &[Pooled], pools_only: bool) -> impl Fn(&str, u64, u32) -> Owner {
    // Most sites have no `*` in their names.
    let mut exact: HashMap<(&str, Option<u64>, Option<u32>), u32> = HashMap::new();
    for (pool, number) in pools.iter().zip(0..) {
        exact.entry((&pool.entry.site, pool.entry.size, pool.alignment)).or_insert(number);
    }
    move |site, size, alignment| {
        let found = exact.get(&(site, Some(size), Some(alignment))).copied().or_else(|| {
            let is_for = |pool: &Pooled| {
                pool.alignment.is_none_or(|wanted| wanted == alignment) && pool.entry.is_for(site, size)
            };
            pools.iter().position(is_for).map(|number| number as u32)
        });
        match found {
            Some(number) => Owner::Pool(number),
            None if pools_only => Owner::Nobody,
            None => Owner::Heap,
        }
    }
}

fn curves(pools: &[Pooled], script: &Script, range: Option<(u64, u64)>, points: usize) -> Vec<Curve> {
    let numbered = pools.iter().zip(0..);
    numbered
        .map(|(pool, number)| curve(pool, &script.what_if(number), size_in(script, number), range, points))
        .collect()
}

/// The largest object in a pool.
fn size_in(script: &Script, pool: u32) -> u64 {
    let sizes = script.layouts.iter().filter(|layout| layout.pool == Some(pool)).map(|layout| layout.size);
    sizes.max().unwrap_or(0)
}

fn curve(pool: &Pooled, what_if: &WhatIf, size: u64, range: Option<(u64, u64)>, points: usize) -> Curve {
    let spec = &pool.spec;
    let peak = what_if.peak();
    let (from, to) = range.unwrap_or((1, (peak + peak / 4).max(spec.capacity).max(2)));
    let slot = size.checked_next_multiple_of(spec.alignment.into()).unwrap_or(size);
    let (step, growth) = match spec.growth {
        Some(amount) => (GrowthStep::Linear(amount), format!("by {amount} slots")),
        None => (GrowthStep::Double, String::from("by doubling")),
    };
    let outcome = |capacity: u64| {
        let grown = what_if.growth(capacity, step, u64::MAX);
        Outcome {
            capacity,
            failures: what_if.failures(capacity),
            steps: grown.steps,
            grown: grown.capacity,
            bytes: slot.saturating_mul(capacity),
            bytes_grown: slot.saturating_mul(grown.capacity),
        }
    };
    let mut capacities: Vec<u64> = (0..points).map(|point| spaced(from, to, point, points)).collect();
    // Where something happens.
    capacities.extend([spec.capacity, peak].into_iter().filter(|capacity| (from..=to).contains(capacity)));
    capacities.sort_unstable();
    capacities.dedup();
    Curve {
        pool: pool.name(),
        objects: what_if.objects(),
        peak,
        capacity: spec.capacity,
        growth,
        outcomes: capacities.into_iter().map(outcome).collect(),
    }
}

/// Evenly spaced by their logarithms.
fn spaced(from: u64, to: u64, point: usize, points: usize) -> u64 {
    let share = point as f64 / (points.max(2) - 1) as f64;
    let value = from as f64 * (to as f64 / from as f64).powf(share);
    (value.round() as u64).clamp(from, to)
}

fn measure(args: &Replay, pools: &[Pooled], script: &Script) -> Result<Measurement, Failure> {
    let help = "replay a part of it: --events, or --site";
    let specs: Vec<_> = pools.iter().map(|pool| pool.spec.clone()).collect();
    let plan = Plan::new(script, &specs).map_err(|error| Failure::new(error.to_string(), help))?;
    if let Some(available) = memory_available().filter(|available| plan.bytes_peak() > available / 2) {
        let [needed, available] = [plan.bytes_peak(), available].map(text::bytes);
        return Err(Failure::new(format!("a replay takes {needed} of memory, and {available} are available"), help));
    }
    let bar = progress(args.quiet, "replaying");
    let mut effort = Effort::default();
    effort.time = Duration::try_from_secs_f64(args.time)
        .map_err(|error| Failure::new(format!("--time {}: {error}", args.time), "give a number of seconds"))?;
    let comparison = compare(&plan, &Candidate::ALL, &effort, |share| set(&bar, share * 0.9));
    let comparison = comparison.map_err(|error| Failure::new(error.to_string(), help))?;
    let bytes = plan.to_bytes();
    let cold = Candidate::ALL.iter().map(|candidate| cold::in_process(&bytes, *candidate)).collect();
    bar.finish_and_clear();
    Ok(Measurement { comparison, cold })
}

/// What the system could give to programs, in bytes.
fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn print_pools(out: &mut impl Write, pools: &[Pooled]) -> Result<(), Failure> {
    if pools.is_empty() {
        writeln!(out, "No pool is advised: `pools` is the heap of the C library.")?;
    }
    for pool in pools {
        let PoolSpec { capacity, max_capacity, .. } = &pool.spec;
        let max = max_capacity.map_or_else(String::new, |max| format!(" to {max}"));
        writeln!(out, "pool of {capacity}{max} slots: {}", pool.name())?;
    }
    Ok(())
}

fn print_measurement(out: &mut impl Write, measurement: &Measurement) -> Result<(), Failure> {
    let Measurement { comparison, cold } = measurement;
    let mut table = text::table(&[
        ("on", CellAlignment::Left),
        ("ns per step, min", CellAlignment::Right),
        ("median", CellAlignment::Right),
        ("/ system", CellAlignment::Right),
        ("allocate p50", CellAlignment::Right),
        ("p99", CellAlignment::Right),
        ("p99.9", CellAlignment::Right),
        ("max", CellAlignment::Right),
        ("free p50", CellAlignment::Right),
        ("p99.9", CellAlignment::Right),
        ("peak memory", CellAlignment::Right),
        ("cache misses", CellAlignment::Right),
    ]);
    for (row, cold) in comparison.rows.iter().zip(cold) {
        let each = |time: u64| format!("{:.1}", time as f64 / comparison.steps.max(1) as f64);
        let mut cells = vec![row.candidate.to_string(), each(row.min()), each(row.median())];
        cells.push(ratio(comparison, row.candidate).map_or_else(String::new, |ratio| format!("{ratio:.2}")));
        let latencies = row.latencies.as_ref();
        let times = latencies.map(|latencies| {
            let (allocate, free) = (latencies.allocate, latencies.free);
            [allocate.p50, allocate.p99, allocate.p999, allocate.max, free.p50, free.p999].map(text::duration)
        });
        cells.extend(times.unwrap_or_default());
        let unknown = || String::from("?");
        cells.push(cold.as_ref().ok().and_then(|cold| cold.resident_peak).map_or_else(unknown, text::bytes));
        let misses = cold.as_ref().ok().and_then(|cold| cold.cache_misses.as_ref().ok());
        cells.push(misses.map_or_else(unknown, u64::to_string));
        table.add_row(cells.into_iter().map(|cell| match row.candidate {
            Candidate::Pools => text::good(cell),
            _ => Cell::new(cell),
        }));
    }
    writeln!(out, "{table}")?;
    for note in notes(measurement) {
        writeln!(out, "{note}")?;
    }
    Ok(())
}

/// By how much longer a candidate takes than the system's heap, by the medians.
pub(crate) fn ratio(comparison: &Comparison, candidate: Candidate) -> Option<f64> {
    let system = comparison.row(Candidate::System)?.median();
    let row = comparison.row(candidate)?.median();
    (system > 0).then(|| row as f64 / system as f64)
}

/// What the figures do not say.
pub(crate) fn notes(measurement: &Measurement) -> Vec<String> {
    let Measurement { comparison, cold } = measurement;
    let threads = text::count(comparison.threads, "thread");
    let rounds = comparison.rows.first().map_or(0, |row| row.rounds.len());
    let clock = comparison.rows.iter().filter_map(|row| Some(row.latencies.as_ref()?.clock)).max().unwrap_or(0);
    let mut notes = vec![format!(
        "{} steps of {threads}, {rounds} rounds each; latencies have the clock in them, about {}.",
        comparison.steps,
        text::duration(clock)
    )];
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    if comparison.threads > processors {
        notes
            .push(format!("There are {processors} processors: threads had to wait for them, not only for each other."));
    }
    for row in &comparison.rows {
        let rounds = row.rounds.len().max(1) as u64;
        if row.refused > 0 {
            notes.push(format!(
                "{} objects of each round found the pool full, and were on the heap.",
                row.refused / rounds
            ));
        }
        if row.failed > 0 {
            notes.push(format!(
                "{}: there was no memory for {} objects of each round.",
                row.candidate,
                row.failed / rounds
            ));
        }
    }
    let mut reasons: Vec<String> = Vec::new();
    for cold in cold {
        reasons.extend(match cold {
            Ok(cold) => cold.cache_misses.as_ref().err().map(|why| format!("No cache misses: {why}.")),
            Err(why) => Some(format!("Neither memory nor cache misses: {why}.")),
        });
    }
    reasons.dedup();
    notes.extend(reasons);
    if cfg!(debug_assertions) {
        notes.push(String::from("Built with debug assertions: the times mean nothing."));
    }
    notes
}

fn print_curves(out: &mut impl Write, curves: &[Curve]) -> Result<(), Failure> {
    for curve in curves {
        let Curve { pool, objects, peak, growth, .. } = curve;
        writeln!(out, "\n{HEADING}{pool}{HEADING:#}: {objects} objects, at most {peak} alive; grows {growth}")?;
        let mut table = text::table(&[
            ("capacity", CellAlignment::Right),
            ("bytes", CellAlignment::Right),
            ("failures if it never grows", CellAlignment::Right),
            ("share", CellAlignment::Right),
            ("times it grows if it does", CellAlignment::Right),
            ("to slots", CellAlignment::Right),
            ("to bytes", CellAlignment::Right),
        ]);
        for outcome in &curve.outcomes {
            let share = 100.0 * outcome.failures as f64 / (*objects).max(1) as f64;
            let cells = [
                outcome.capacity.to_string(),
                text::bytes(outcome.bytes),
                outcome.failures.to_string(),
                format!("{share:.2} %"),
                outcome.steps.to_string(),
                outcome.grown.to_string(),
                text::bytes(outcome.bytes_grown),
            ];
            table.add_row(
                cells.map(|cell| if outcome.capacity == curve.capacity { text::good(cell) } else { Cell::new(cell) }),
            );
        }
        writeln!(out, "{table}")?;
    }
    Ok(())
}
