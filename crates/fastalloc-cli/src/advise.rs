//! `fastalloc advise`.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use comfy_table::{Cell, CellAlignment};
use fastalloc_trace::{
    Advice, Analysis, AnalysisLimits, Configuration, Ending, Error, HeaptrackReader, Policy, Pool, Report, TraceReader,
    Usage, Verdict, advise, check, render,
};
use serde_json::json;
use tempfile::TempDir;

use crate::args::Advise;
use crate::dhat;
use crate::failure::{Failure, chain};
use crate::record;
use crate::recording::{Format, Recording};
use crate::symbols::{Symbolized, Symbolizer, printable};
use crate::text;

/// How many events may wait for earlier ones.
const WAITING_MAX: usize = 1 << 20;
/// So many files without symbols are named.
const MISSING_MAX: usize = 4;
const HEADING: Style = Style::new().bold();

/// What a recording says.
struct Analysed {
    format: Format,
    report: Report,
    ending: Option<Ending>,
    /// Whether the compressed data ended too early.
    is_cut: bool,
    symbolized: Symbolized,
}

/// A line about a size of a call site.
struct Row<'a> {
    advice: &'a Advice,
    usage: &'a Usage,
}

pub(crate) fn run(args: &Advise) -> Result<ExitCode, Failure> {
    let configuration = args.check.as_deref().map(read_configuration).transpose()?;
    let source = Source::of(args)?;
    let recording = Recording::open(&source.file, args.quiet)?;
    if recording.format == Format::Dhat {
        return dhat::run(args, &source.file, recording);
    }
    let analysed = analyse(recording).map_err(|error| unreadable(&source.file, &error))?;
    if !args.quiet {
        warn(&analysed);
        if configuration.as_ref().is_some_and(|configuration| configuration.pool.is_empty()) {
            text::warning("the configuration has no pools: nothing is checked");
        }
    }
    match configuration {
        Some(configuration) => print_check(args, &configuration, &analysed.report),
        None => print_advice(args, &source.name(), &analysed),
    }
}

/// Where the recording is.
struct Source {
    file: PathBuf,
    /// The program, if it was recorded for this.
    program: Option<String>,
    /// Where a recording is that is not kept.
    _folder: Option<TempDir>,
}

impl Source {
    fn of(args: &Advise) -> Result<Self, Failure> {
        if let Some(file) = &args.file {
            return Ok(Self { file: file.clone(), program: None, _folder: None });
        }
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
        Ok(Self { file: recorded.main_file().into(), program: Some(program), _folder: folder })
    }

    fn name(&self) -> String {
        let name = self.program.clone().filter(|_| self._folder.is_some());
        printable(&name.unwrap_or_else(|| self.file.to_string_lossy().into_owned()))
    }
}

fn read_configuration(path: &Path) -> Result<Configuration, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {shown}: {error}"), "`fastalloc advise FILE --toml` makes a configuration")
    })?;
    Configuration::from_toml(&text).map_err(|error| {
        let what = format!("{shown} is no configuration of pools: {error}");
        Failure::new(what.trim_end(), "`fastalloc advise --help` shows what one looks like")
    })
}

fn analyse(recording: Recording) -> Result<Analysed, Error> {
    let Recording { format, source, is_cut, progress } = recording;
    let symbolizer = RefCell::new(Symbolizer::default());
    let site_of = |tables: &_, stack| symbolizer.borrow_mut().site(tables, stack);
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of);
    let ending = if format == Format::Trace {
        let mut items = TraceReader::new(source)?.in_order(WAITING_MAX);
        for item in items.by_ref() {
            analysis.add(&item?);
        }
        items.get_ref().ending()
    } else {
        let mut items = HeaptrackReader::new(source)?;
        for item in items.by_ref() {
            analysis.add(&item?);
        }
        items.ending()
    };
    progress.finish_and_clear();
    let report = analysis.finish();
    let symbolized = symbolizer.into_inner().finish();
    Ok(Analysed { format, report, ending, is_cut: is_cut.get(), symbolized })
}

fn unreadable(path: &Path, error: &Error) -> Failure {
    let help = match error {
        Error::UnsupportedVersion { .. } => String::from("install a newer fastalloc"),
        Error::Checksum { offset, .. } | Error::Corrupt { offset, .. } => {
            format!("record once more; or give what comes before, once it is decompressed: `head --bytes={offset}`")
        }
        Error::LimitExceeded { .. } => String::from("record a shorter run, or a part of the program"),
        _ => String::from("see whether the file was copied as a whole, and else record once more"),
    };
    Failure::new(format!("cannot read {}: {}", path.display(), chain(error)), help)
}

/// Says why results may not be those of the whole run.
fn warn(analysed: &Analysed) {
    let Analysed { format, report, ending, is_cut, symbolized } = analysed;
    if *is_cut {
        text::warning("the compressed data is truncated: this is about what can be decompressed");
    }
    match ending {
        Some(ending @ Ending::Truncated { .. }) => text::warning(&format!("the recording {ending}")),
        // Those of heaptrack always end so.
        Some(ending @ Ending::Open { .. }) if *format == Format::Trace => {
            text::warning(&format!("the recording {ending}"));
        }
        _ => {}
    }
    if report.events == 0 {
        text::warning("the recording has no events: did the program run, and allocate?");
    }
    if report.untracked > 0 {
        let untracked = report.untracked;
        text::warning(&format!("more objects were alive than can be counted: {untracked} were not; record a part"));
    }
    if report.disordered > 0 {
        text::warning(&format!("{} events came too late to be put in order", report.disordered));
    }
    if report.unseen_frees > 0 {
        let unseen = text::count(report.unseen_frees as usize, "object");
        text::warning(&format!("{unseen} must have been freed unseen: lifetimes and peaks are too large there"));
    }
    if report.losses.events > 0 {
        let lost = text::count(report.losses.events as usize, "event");
        text::warning(&format!("{lost} could not be recorded: there was no memory, or no file"));
    }
    if report.losses.stacks > 0 {
        let lost = text::count(report.losses.stacks as usize, "event");
        text::warning(&format!("{lost} have no call site: there were too many stacks; record with a smaller --depth"));
    }
    for (file, why) in symbolized.missing.iter().take(MISSING_MAX) {
        text::warning(&format!("call sites in {file} are offsets: {why}"));
    }
    if let Some(more @ 1..) = symbolized.missing.len().checked_sub(MISSING_MAX) {
        text::warning(&format!("so are those in {}", text::count(more, "other file")));
    }
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

fn print_advice(args: &Advise, name: &str, analysed: &Analysed) -> Result<ExitCode, Failure> {
    let advice = advise(&analysed.report, &Policy::default());
    let rows = rows(&analysed.report, &advice);
    let shown = &rows[..rows.len().min(args.rows_max())];
    let mut out = text::output();
    if args.json {
        print_json(&mut out, &as_json(name, analysed, shown))?;
    } else if args.toml {
        let advice: Vec<Advice> = shown.iter().map(|row| row.advice.clone()).collect();
        let text = Configuration::from_advice(&advice).to_toml();
        out.write_all(text.map_err(|error| Failure::new(error.to_string(), "use --json"))?.as_bytes())?;
    } else {
        print_summary(&mut out, name, &analysed.report)?;
        print_table(&mut out, analysed, shown)?;
        if shown.len() < rows.len() {
            writeln!(out, "And {}: --top 0 shows them.", text::count(rows.len() - shown.len(), "row"))?;
        }
        print_code(&mut out, shown)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What is worth a pool comes first, and of that and the rest what has most objects.
fn rows<'a>(report: &'a Report, advice: &'a [Advice]) -> Vec<Row<'a>> {
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

fn as_json(name: &str, analysed: &Analysed, rows: &[Row<'_>]) -> serde_json::Value {
    let mut names = Names::default();
    let advice: Vec<_> = rows
        .iter()
        .map(|Row { advice, usage }| {
            json!({
                "advice": advice,
                "usage": usage,
                "place": analysed.symbolized.places.get(&advice.site),
                "rust": names.render(advice),
            })
        })
        .collect();
    json!({
        "file": name,
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

fn print_summary(out: &mut impl Write, name: &str, report: &Report) -> Result<(), Failure> {
    let (events, span) = (report.events, clocked(report.span, report));
    let sites = text::count(report.sites.len(), "call site");
    writeln!(out, "{HEADING}{name}{HEADING:#}: {events} events in {span}, {sites}")?;
    if report.process.sampling > 1 {
        writeln!(out, "One of {} allocations was recorded: what follows counts those.", report.process.sampling)?;
    }
    Ok(())
}

fn print_table(out: &mut impl Write, analysed: &Analysed, rows: &[Row<'_>]) -> Result<(), Failure> {
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
        cells.push(verdict(&advice.verdict));
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// How long half of the objects lived at most.
fn lifetime(usage: &Usage, report: &Report) -> String {
    if usage.freed + usage.reallocated == 0 {
        return String::from("ever");
    }
    clocked(usage.lifetime.p50, report)
}

/// A time, not more exact than the clock was.
fn clocked(time: u64, report: &Report) -> String {
    let resolution = report.process.clock_resolution;
    if time < resolution { format!("< {}", text::duration(resolution)) } else { text::duration(time) }
}

fn verdict(verdict: &Verdict) -> Cell {
    match verdict {
        Verdict::DoNotPool(reason) => Cell::new(format!("no pool: {reason}")),
        Verdict::Pool(Pool { kind, capacity, max_capacity: Some(max), .. }) => {
            text::good(format!("{kind} of {capacity} to {max} slots"))
        }
        Verdict::Pool(Pool { kind, capacity, .. }) => text::good(format!("{kind} of {capacity} slots")),
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
struct Names {
    uses: HashMap<String, u32>,
}

impl Names {
    fn render(&mut self, advice: &Advice) -> Option<String> {
        let code = render(advice)?;
        let start = code.find("\npub fn ")? + "\npub fn ".len();
        let end = start + code[start..].find('<')?;
        let uses = self.uses.entry(code[start..end].into()).or_insert(0);
        *uses += 1;
        Some(if *uses == 1 { code } else { format!("{}_{uses}{}", &code[..end], &code[end..]) })
    }
}
