//! The page that a person looks at: plots first, figures on demand. It needs no network.

mod chart;

use fastalloc_bench::{
    candidate::Kind,
    record::{Answer, Measure, Record, Setting, Verdict},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::table::{figure, found, notes, quantity, yardsticks};

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fafafa; max-width: 62rem; margin: auto; padding: 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin: 0; }
section { background: #fff; border: 1px solid #ddd; border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .85rem; }
td, th { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #eee; }
td:first-child, th:first-child, .text td { text-align: left; }
tr.ours { font-weight: bold; }
.met { color: #0a7d33; } .missed { color: #c0392b; }
.note { color: #666; font-size: .85rem; margin: .2rem 0; }
.warning { color: #c0392b; font-weight: bold; }
nav a { margin-right: .8rem; white-space: nowrap; font-size: .85rem; }
summary { cursor: pointer; color: #06c; }
.scroll { overflow-x: auto; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; border-radius: 50%; }
";

/// Writes the page.
pub(crate) fn page(record: &Record) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "fastalloc compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "fastalloc compared with other pools and with heaps" }
                (setting(&record.setting))
                @if record.quick {
                    p.warning { "A quick run: it shows that everything works, and compares nothing." }
                }
                (legend())
                (overview(record))
                (targets(&record.verdicts))
                nav { @for answer in &record.answers { a href=(format!("#{}", answer.name)) { (answer.name) } } }
                @for answer in &record.answers { (group(answer)) }
            }
        }
    };
    page.into_string()
}

/// Returns the plot that sums up the record.
pub(crate) fn picture(record: &Record) -> String {
    chart::overview(&record.answers)
}

fn setting(setting: &Setting) -> Markup {
    html! {
        p.note {
            (setting.processor) ", " (setting.cores) " cores, " (setting.memory) ", load " (setting.load) ", "
            (setting.system) ", " (setting.compiler) ", commit " (setting.commit) ", " (setting.date)
        }
        details.note {
            summary { "Versions of the rivals" }
            @for (name, version) in &setting.versions { (name) " " (version) " · " }
        }
        @if setting.debug { p.warning { "Built with debug assertions: the times mean nothing." } }
    }
}

fn legend() -> Markup {
    html! {
        p.note {
            @for (kind, color) in chart::COLORS {
                span.key style=(format!("background: rgb({}, {}, {})", color.0, color.1, color.2)) {} (kind)
            }
        }
    }
}

fn overview(record: &Record) -> Markup {
    html! {
        section {
            h2 { "At a glance" }
            p {
                "How many times longer the best rival with handles and the best heap take than the best of our pools. "
                "Right of the line ours is faster; in bold where it is not. Of memory, bytes are compared instead."
            }
            (PreEscaped(chart::overview(&record.answers)))
        }
    }
}

fn targets(verdicts: &[Verdict]) -> Markup {
    let class = |verdict: &Verdict| match verdict.found {
        Some(found) if found.met => "met",
        Some(_) => "missed",
        None => "",
    };
    let met = verdicts.iter().filter(|verdict| class(verdict) == "met").count();
    html! {
        section {
            h2 { "Targets: " (met) " of " (verdicts.len()) " met" }
            p.note { "By the minima and, in brackets, by the medians." }
            details {
                summary { "All targets" }
                div.scroll { table.text {
                    tr { th { "group" } th { "pool" } th { "wanted" } th { "against" } th { "found" } }
                    @for verdict in verdicts {
                        tr {
                            td { (verdict.group) } td { (verdict.pool) } td { (verdict.wanted) } td { (verdict.against) }
                            td class=(class(verdict)) { (found(verdict)) }
                        }
                    }
                } }
            }
        }
    }
}

fn group(answer: &Answer) -> Markup {
    html! {
        section id=(answer.name) {
            h2 { (answer.name) }
            p { (answer.question) }
            (PreEscaped(chart::of_answer(answer)))
            p.note { (chart::explanation(answer.measure)) }
            details {
                summary { "Figures" }
                div.scroll { (figures(answer)) }
            }
            @for note in notes(answer) { p.note { (note) } }
        }
    }
}

fn figures(answer: &Answer) -> Markup {
    let text = quantity(answer.measure);
    let yardsticks = if answer.measure == Measure::Time { yardsticks(answer) } else { Vec::new() };
    html! {
        table {
            tr {
                th { "candidate" }
                th { "kind" }
                @for column in &answer.columns { th { (column) " min" } th { (column) " median" } }
                @for row in &yardsticks { th { "/ " (row.candidate) } }
            }
            @for row in &answer.rows {
                tr.ours[row.kind == Kind::Ours] {
                    td { (row.candidate) }
                    td { (row.kind) }
                    @for summary in &row.figures { td { (text(summary.min)) } td { (text(summary.median)) } }
                    @for other in &yardsticks { td { (figure(row.figures[0].min / other.figures[0].min)) } }
                }
            }
        }
    }
}
