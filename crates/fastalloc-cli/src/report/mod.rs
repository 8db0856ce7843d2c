//! The page that a person looks at: plots first, figures beside them. It needs no network.

mod chart;
mod tree;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use fastalloc_trace::{Ending, Verdict, render};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::advise::{Row, clocked, lifetime, verdict};
use crate::analysed::Analysed;
use crate::args::Page;
use crate::failure::Failure;
use crate::gain::Gains;
use crate::recording::Input;
use crate::replay::{Curve, Measurement, Pooled, notes, ratio};
use crate::text;

/// What pages begin with: other files are not overwritten unless they are named.
const MARK: &str = "<!-- written by fastalloc -->";
/// So many call sites have plots of their own.
const SITES_MAX: usize = 30;

const STYLE: &str = include_str!("style.css");

/// Where a page goes.
pub(crate) struct Destination {
    path: Option<PathBuf>,
    /// Whether somebody has asked for it.
    is_named: bool,
}

impl Destination {
    /// Where the arguments say, or else in the current folder, unless what is printed is for other programs.
    pub(crate) fn new(args: &Page, usual: &str, is_for_programs: bool) -> Self {
        let usual = (!args.no_html && !is_for_programs).then(|| usual.into());
        Self { path: args.html.clone().or(usual), is_named: args.html.is_some() }
    }

    /// Writes the page, and returns where; if nobody has asked for it, a page that cannot be written is no failure.
    pub(crate) fn write(self, is_quiet: bool, page: impl FnOnce() -> String) -> Result<Option<PathBuf>, Failure> {
        let Some(path) = self.path else { return Ok(None) };
        let written = if !self.is_named && path.exists() && !is_page(&path) {
            Err(String::from("there is another file of that name"))
        } else {
            std::fs::write(&path, format!("{MARK}\n{}", page())).map_err(|error| error.to_string())
        };
        match written {
            Ok(()) => Ok(Some(path)),
            Err(why) if self.is_named => {
                let what = format!("cannot write {}: {why}", path.display());
                Err(Failure::new(what, "give another path to --html"))
            }
            Err(why) => {
                if !is_quiet {
                    text::warning(&format!(
                        "no plots, because {} cannot be written: {why}; see --html",
                        path.display()
                    ));
                }
                Ok(None)
            }
        }
    }
}

fn is_page(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MARK.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == MARK.as_bytes()
}

/// The page of `fastalloc advise`.
pub(crate) fn of_advice(input: Input<'_>, analysed: &Analysed, rows: &[Row<'_>], gains: &Gains) -> String {
    let pooled = rows.iter().filter(|row| matches!(row.advice.verdict, Verdict::Pool(_))).count();
    page(
        "fastalloc advise",
        html! {
            h1 { "What to pool: " (input) }
            (summary(analysed))
            section {
                h2 { (text::count(pooled, "pool")) " advised for " (text::count(rows.len(), "call site")) }
                div.scroll { (verdicts(analysed, rows, gains)) }
                @if gains.are_known() {
                    p.note {
                        "Gains are from a replay of the call site's objects alone, on the heap of the C library and in the "
                        "advised pool: allocate, write, read, free. In brackets what a tenth of the rounds were below and "
                        "above. What is saved counts all objects of the recording. A program may gain more, if it reads "
                        "objects that are next to each other, or less, if something else takes its time."
                    }
                }
            }
            (tree_of(analysed))
            @for (number, row) in rows.iter().enumerate().take(SITES_MAX) { (site(analysed, number, row, gains)) }
        },
    )
}

/// The page of `fastalloc replay`.
pub(crate) fn of_replay(
    input: Input<'_>,
    analysed: &Analysed,
    pools: &[Pooled],
    measurement: Option<&Measurement>,
    curves: &[Curve],
) -> String {
    page(
        "fastalloc replay",
        html! {
            h1 { "Replayed: " (input) }
            (summary(analysed))
            @if let Some(measurement) = measurement { (measured(pools, measurement)) }
            @for curve in curves { (what_if(curve)) }
        },
    )
}

fn page(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn summary(analysed: &Analysed) -> Markup {
    let report = &analysed.report;
    html! {
        p.note {
            (report.events) " events in " (clocked(report.span, report)) ", " (text::count(report.sites.len(), "call site"))
            @if !report.process.arguments.is_empty() { br; code { (report.process.arguments.join(" ")) } }
        }
        @if report.process.sampling > 1 {
            p.note { "One of " (report.process.sampling) " allocations was recorded: what follows counts those." }
        }
        @if let Some(ending) = analysed.ending.filter(|ending| matches!(ending, Ending::Truncated { .. })) {
            p.warning { "The recording " (ending) "." }
        }
        @if analysed.is_cut { p.warning { "The compressed data is truncated." } }
    }
}

fn verdicts(analysed: &Analysed, rows: &[Row<'_>], gains: &Gains) -> Markup {
    html! {
        table {
            tr { th.text { "call site" } th { "bytes" } th { "objects" } th { "alive at most" } th { "half live for" } th.text { "verdict" } th.text { "gain" } }
            @for (number, Row { advice, usage }) in rows.iter().enumerate() {
                tr {
                    td.text {
                        @if number < SITES_MAX { a href=(format!("#site-{number}")) { (advice.site) } } @else { (advice.site) }
                        @if let Some(place) = analysed.symbolized.places.get(&advice.site) { br; span.note { (place) } }
                    }
                    td {
                        (usage.size_min)
                        @if usage.size_max != usage.size_min { " to " (usage.size_max) }
                    }
                    td { (usage.objects) }
                    td { (usage.alive_peak) }
                    td { (lifetime(usage, &analysed.report)) }
                    td.text.good[matches!(advice.verdict, Verdict::Pool(_))] { (verdict(&advice.verdict)) }
                    td.text { @if let Some(gain) = gains.get(advice) { (gain.text()) } }
                }
            }
        }
    }
}

fn tree_of(analysed: &Analysed) -> Markup {
    html! {
        @if let Some(tree) = tree::of(&analysed.stacks) {
            section {
                h2 { "Who allocates" }
                p.note {
                    "Callers above, call sites at the ends; as wide as the objects that they allocate. Click to look "
                    "closer. The stacks with most objects: others are left out."
                }
                iframe.tree src=(tree.source) height=(tree.height) title="call sites" {}
            }
        }
    }
}

fn site(analysed: &Analysed, number: usize, row: &Row<'_>, gains: &Gains) -> Markup {
    let Row { advice, usage } = row;
    html! {
        section id=(format!("site-{number}")) {
            h2 { (advice.site) @if let Some(size) = advice.size { ": " (size) " bytes" } }
            p.good[matches!(advice.verdict, Verdict::Pool(_))] {
                (verdict(&advice.verdict))
                @if let Some(gain) = gains.get(advice) { ", " (gain.text()) }
            }
            @if let Verdict::Pool(pool) = &advice.verdict {
                @for remark in &pool.remarks { p.note { (remark) "." } }
            }
            div.pair {
                figure {
                    figcaption { "Objects alive over time" @if matches!(advice.verdict, Verdict::Pool(_)) { ", against the advised capacity" } }
                    (PreEscaped(chart::of_alive(usage, &advice.verdict, analysed.report.span)))
                }
                figure {
                    figcaption { "How long objects live" }
                    (PreEscaped(chart::of_lifetimes(usage, analysed.report.process.clock_resolution)))
                }
            }
            @if let Some(code) = render(advice) {
                details open[number < 3] { summary { "Rust code to paste" } pre { code { (code.trim_end()) } } }
            }
        }
    }
}

fn measured(pools: &[Pooled], measurement: &Measurement) -> Markup {
    let comparison = &measurement.comparison;
    let each = |time: u64| format!("{:.1}", time as f64 / comparison.steps.max(1) as f64);
    html! {
        section {
            h2 { "Time for a step" }
            (PreEscaped(chart::of_times(comparison)))
            p.note { "Nanoseconds, less is better; the bar ends at the minimum, the tick is the median of all rounds." }
            div.scroll { table {
                tr {
                    th.text { "on" } th { "ns min" } th { "ns median" } th { "/ system" } th { "allocate p50" } th { "p99" }
                    th { "p99.9" } th { "max" } th { "free p50" } th { "p99" } th { "p99.9" } th { "max" }
                    th { "peak memory" } th { "first round" } th { "cache misses" }
                }
                @for (row, cold) in comparison.rows.iter().zip(&measurement.cold) {
                    tr {
                        th.text { (row.candidate) }
                        td { (each(row.min())) } td { (each(row.median())) }
                        td { @if let Some(ratio) = ratio(comparison, row.candidate) { (format!("{ratio:.2}")) } }
                        @if let Some(latencies) = &row.latencies {
                            @for times in [latencies.allocate, latencies.free] {
                                @for time in [times.p50, times.p99, times.p999, times.max] { td { (text::duration(time)) } }
                            }
                        }
                        @if let Ok(cold) = cold {
                            td { (cold.resident_peak.map_or_else(|| String::from("?"), text::bytes)) }
                            td { (text::duration(cold.time)) }
                            td { (cold.cache_misses.as_ref().map_or_else(|_| String::from("?"), u64::to_string)) }
                        }
                    }
                }
            } }
            @for note in notes(measurement) { p.note { (note) } }
            details { summary { (text::count(pools.len(), "pool")) } ul { @for pool in pools { li { (pool.name()) } } } }
        }
    }
}

fn what_if(curve: &Curve) -> Markup {
    html! {
        section {
            h2 { "Other capacities: " (curve.pool) }
            p.note {
                (curve.objects) " objects, at most " (curve.peak) " alive. The line at " (curve.capacity) " is the "
                "capacity of the pool; growing is " (curve.growth) "."
            }
            div.pair {
                figure {
                    figcaption { "Share of allocations that fail, if the pool never grows" }
                    (PreEscaped(chart::of_failures(curve)))
                }
                figure {
                    figcaption { "Times that the pool grows, if it does" }
                    (PreEscaped(chart::of_growth(curve)))
                }
            }
        }
    }
}
