//! `fastalloc advise`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use comfy_table::{Cell, CellAlignment};
use fastalloc_trace::{Advice, Configuration, Policy, Pool, Report, Usage, Verdict, advise, check, render};
use serde_json::json;
use tempfile::TempDir;

use crate::analysed::Analysed;
use crate::args::Advise;
use crate::dhat;
use crate::failure::Failure;
use crate::gain::Gains;
use crate::record;
use crate::recording::{Format, Input};
use crate::report;
use crate::text;

const HEADING: Style = Style::new().bold();

/// A line about a size of a call site.
pub(crate) struct Row<'a> {
    pub(crate) advice: &'a Advice,
    pub(crate) usage: &'a Usage,
}

pub(crate) fn run(args: &Advise) -> Result<ExitCode, Failure> {
    let configuration = args.check.as_deref().map(read_configuration).transpose()?;
    let recorded = if args.command.is_empty() { None } else { Some(Recorded::new(args)?) };
    let input = recorded.as_ref().map_or_else(|| Input::new(args.file.as_deref()), Recorded::input);
    let recording = input.open(args.quiet)?;
    if recording.format == Format::Dhat {
        return dhat::run(args, input, recording);
    }
    let analysed = Analysed::new(input, recording, args.quiet)?;
    match configuration {
        Some(configuration) => {
            if !args.quiet && configuration.pool.is_empty() {
                text::warning("the configuration has no pools: nothing is checked");
            }
            print_check(args, &configuration, &analysed.report)
        }
        None => print_advice(args, input, &analysed),
    }
}

/// What was recorded for this.
struct Recorded {
    program: String,
    file: PathBuf,
    /// Where the recording is, if it is not kept.
    folder: Option<TempDir>,
}

impl Recorded {
    fn new(args: &Advise) -> Result<Self, Failure> {
        let mut options = args.record.clone();
        let mut folder = None;
        if options.output.is_none() {
            let made = TempDir::with_prefix("fastalloc-").map_err(|error| {
                let what = format!("cannot make a temporary folder: {error}");
                Failure::new(what, "give a file for the recording: `--output FILE`")
            })?;
            options.output = Some(made.path().join("recording"));
            folder = Some(made);
        }
        let is_quiet = args.quiet || folder.is_some();
        let recorded =
            record::record(&options, &args.command, false, is_quiet, true).map_err(|unrecorded| unrecorded.failure)?;
        if !recorded.status.success() && !args.quiet {
            text::warning(&format!("the program has ended with status {}", record::shell_status(recorded.status)));
        }
        let program = args.command[0].to_string_lossy().into_owned();
        Ok(Self { program, file: recorded.main_file().into(), folder })
    }

    fn input(&self) -> Input<'_> {
        match &self.folder {
            Some(_) => Input::Program { name: &self.program, file: &self.file },
            None => Input::File(&self.file),
        }
    }
}

pub(crate) fn read_configuration(path: &Path) -> Result<Configuration, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {shown}: {error}"), "`fastalloc advise FILE --toml` makes a configuration")
    })?;
    Configuration::from_toml(&text).map_err(|error| {
        let what = format!("{shown} is no configuration of pools: {error}");
        Failure::new(what.trim_end(), "`fastalloc advise --help` shows what one looks like")
    })
}

fn print_check(args: &Advise, configuration: &Configuration, report: &Report) -> Result<ExitCode, Failure> {
    let findings = check(configuration, report);
    let mut misfits: Vec<usize> =
        findings.iter().filter(|finding| finding.is_certain()).map(|found| found.pool).collect();
    misfits.dedup();
    let fits = misfits.is_empty();
    let mut out = text::output();
    if args.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| json!({"finding": finding, "is_certain": finding.is_certain(), "text": finding.to_string()}))
            .collect();
        print_json(&mut out, &json!({"fits": fits, "pools": configuration.pool.len(), "findings": findings}))?;
    } else if !args.quiet {
        for finding in &findings {
            writeln!(out, "{}{finding}", if finding.is_certain() { "" } else { "perhaps: " })?;
        }
        let outcome = match misfits.len() {
            0 if findings.is_empty() => String::from("all fit"),
            0 => String::from("whether all fit is not certain"),
            1 => String::from("1 does not fit"),
            misfits => format!("{misfits} do not fit"),
        };
        writeln!(out, "{} checked: {outcome}.", text::count(configuration.pool.len(), "pool"))?;
    }
    out.flush()?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print_advice(args: &Advise, input: Input<'_>, analysed: &Analysed) -> Result<ExitCode, Failure> {
    let advice = advise(&analysed.report, &Policy::default());
    let rows = rows(&analysed.report, &advice);
    let shown = &rows[..rows.len().min(args.rows_max())];
    let gains = if args.no_replay || args.toml {
        Gains::default()
    } else {
        if !input.is_lasting() && !args.quiet {
            text::warning("what pools would gain is not measured: that takes a file, which can be read twice");
        }
        Gains::measure(input, analysed, shown.iter().map(|row| row.advice), args.quiet)?
    };
    let page = report::Destination::new(&args.page, "fastalloc-advice.html", args.json || args.toml);
    let page = page.write(args.quiet, || report::of_advice(input, analysed, shown, &gains))?;
    let mut out = text::output();
    if args.json {
        print_json(&mut out, &as_json(input, analysed, shown, &gains))?;
    } else if args.toml {
        let advice: Vec<Advice> = shown.iter().map(|row| row.advice.clone()).collect();
        let text = Configuration::from_advice(&advice).to_toml();
        out.write_all(text.map_err(|error| Failure::new(error.to_string(), "use --json"))?.as_bytes())?;
    } else {
        print_summary(&mut out, input, &analysed.report)?;
        print_table(&mut out, analysed, shown, &gains)?;
        if shown.len() < rows.len() {
            writeln!(out, "And {}: --top 0 shows them.", text::count(rows.len() - shown.len(), "row"))?;
        }
        print_code(&mut out, shown)?;
        if let Some(page) = page {
            writeln!(out, "\n{HEADING}Plots:{HEADING:#} {}", page.display())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What is worth a pool comes first, and of that and the rest what has most objects.
pub(crate) fn rows<'a>(report: &'a Report, advice: &'a [Advice]) -> Vec<Row<'a>> {
    let sites: HashMap<&str, _> = report.sites.iter().map(|site| (site.site.as_str(), site)).collect();
    let row = |advice: &'a Advice| {
        let site = sites.get(advice.site.as_str())?;
        let layout = (advice.size, advice.alignment);
        let class = site.classes.iter().find(|class| layout.0.is_some() && (class.size, class.alignment) == layout);
        Some(Row { advice, usage: class.map_or(&site.total, |class| &class.usage) })
    };
    let mut rows: Vec<_> = advice.iter().filter_map(row).collect();
    // Otherwise they stay in their order, which is always the same.
    rows.sort_by_key(|row| (matches!(row.advice.verdict, Verdict::DoNotPool(_)), Reverse(row.usage.objects)));
    rows
}

fn as_json(input: Input<'_>, analysed: &Analysed, rows: &[Row<'_>], gains: &Gains) -> serde_json::Value {
    let mut names = Names::default();
    let advice: Vec<_> = rows
        .iter()
        .map(|Row { advice, usage }| {
            json!({
                "advice": advice,
                "usage": usage,
                "place": analysed.symbolized.places.get(&advice.site),
                "rust": names.render(advice),
                "gain": gains.get(advice),
            })
        })
        .collect();
    json!({
        "file": input.to_string(),
        "format": analysed.format.name(),
        "ending": analysed.ending,
        "is_cut": analysed.is_cut,
        "without_symbols": analysed.symbolized.missing,
        "advice": advice,
        "report": analysed.report,
    })
}

pub(crate) fn print_json(out: &mut impl Write, value: &serde_json::Value) -> Result<(), Failure> {
    writeln!(out, "{value:#}")?;
    Ok(())
}

pub(crate) fn print_summary(out: &mut impl Write, input: Input<'_>, report: &Report) -> Result<(), Failure> {
    let (events, span) = (report.events, clocked(report.span, report));
    let sites = text::count(report.sites.len(), "call site");
    writeln!(out, "{HEADING}{input}{HEADING:#}: {events} events in {span}, {sites}")?;
    if report.process.sampling > 1 {
        writeln!(out, "One of {} allocations was recorded: what follows counts those.", report.process.sampling)?;
    }
    Ok(())
}

fn print_table(out: &mut impl Write, analysed: &Analysed, rows: &[Row<'_>], gains: &Gains) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = text::table(&[
        ("call site", CellAlignment::Left),
        ("bytes", CellAlignment::Right),
        ("objects", CellAlignment::Right),
        ("alive at most", CellAlignment::Right),
        ("half live for", CellAlignment::Right),
        ("verdict", CellAlignment::Left),
    ]);
    for Row { advice, usage } in rows {
        let site = match analysed.symbolized.places.get(&advice.site) {
            Some(place) => format!("{}\n  {place}", advice.site),
            None => advice.site.clone(),
        };
        let bytes = match (usage.size_min, usage.size_max) {
            (min, max) if min == max => max.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        let (numbers, lifetime) = ([usage.objects, usage.alive_peak], lifetime(usage, &analysed.report));
        let mut cells = vec![Cell::new(site), Cell::new(bytes)];
        cells.extend(numbers.map(Cell::new));
        cells.push(Cell::new(lifetime));
        cells.push(match gains.get(advice) {
            Some(gain) => text::good(format!("{}\n{}", verdict(&advice.verdict), gain.text())),
            None if matches!(advice.verdict, Verdict::Pool(_)) => text::good(verdict(&advice.verdict)),
            None => Cell::new(verdict(&advice.verdict)),
        });
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// How long half of the objects lived at most.
pub(crate) fn lifetime(usage: &Usage, report: &Report) -> String {
    if usage.freed + usage.reallocated == 0 {
        return String::from("ever");
    }
    clocked(usage.lifetime.p50, report)
}

/// A time, not more exact than the clock was.
pub(crate) fn clocked(time: u64, report: &Report) -> String {
    let resolution = report.process.clock_resolution;
    if time < resolution { format!("< {}", text::duration(resolution)) } else { text::duration(time) }
}

pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::DoNotPool(reason) => format!("no pool: {reason}"),
        Verdict::Pool(Pool { kind, capacity, max_capacity: Some(max), .. }) => {
            format!("{kind} of {capacity} to {max} slots")
        }
        Verdict::Pool(Pool { kind, capacity, .. }) => format!("{kind} of {capacity} slots"),
    }
}

fn print_code(out: &mut impl Write, rows: &[Row<'_>]) -> Result<(), Failure> {
    let mut names = Names::default();
    let functions: Vec<String> = rows.iter().filter_map(|row| names.render(row.advice)).collect();
    if functions.is_empty() {
        writeln!(out, "\nNone of these call sites is worth a pool.")?;
        return Ok(());
    }
    writeln!(out, "\n{HEADING}Rust code to paste, for {}:{HEADING:#}", text::count(functions.len(), "pool"))?;
    for function in functions {
        writeln!(out, "\n{}", function.trim_end())?;
    }
    Ok(())
}

/// Names of rendered functions, each of which may be used once.
#[derive(Default)]
pub(crate) struct Names {
    uses: HashMap<String, u32>,
}

impl Names {
    pub(crate) fn render(&mut self, advice: &Advice) -> Option<String> {
        let code = render(advice)?;
        let start = code.find("\npub fn ")? + "\npub fn ".len();
        let end = start + code[start..].find('<')?;
        let uses = self.uses.entry(code[start..end].into()).or_insert(0);
        *uses += 1;
        Some(if *uses == 1 { code } else { format!("{}_{uses}{}", &code[..end], &code[end..]) })
    }
}
