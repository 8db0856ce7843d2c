//! What a recording says, as far as more than one command needs it.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;

use fastalloc_trace::{
    Analysis, AnalysisLimits, Ending, Error, EventKind, Item, Owner, Report, Script, ScriptBuilder, ScriptLimits,
    StackId, Tables,
};

use crate::failure::{Failure, chain};
use crate::recording::{Format, Input, Recording};
use crate::symbols::{Symbolized, Symbolizer};
use crate::text;

/// So many files without symbols are named.
const MISSING_MAX: usize = 4;
/// So many stacks, those with most objects, are told apart in the tree of call sites.
const STACKS_MAX: usize = 400;

/// What a recording says.
pub(crate) struct Analysed {
    pub(crate) format: Format,
    pub(crate) report: Report,
    pub(crate) ending: Option<Ending>,
    /// Whether the compressed data ended too early.
    pub(crate) is_cut: bool,
    pub(crate) symbolized: Symbolized,
    /// The stacks with most objects.
    pub(crate) stacks: Vec<StackUse>,
    sites: HashMap<StackId, u32>,
    site_names: Vec<String>,
}

/// What was allocated by a stack.
pub(crate) struct StackUse {
    /// Its functions, outermost first.
    pub(crate) functions: Vec<String>,
    pub(crate) objects: u64,
}

/// The names of the call sites of all stacks.
#[derive(Default)]
struct SiteNames {
    of_stack: HashMap<StackId, u32>,
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl SiteNames {
    fn add(&mut self, stack: StackId, name: &str) {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.names.push(name.into());
                self.numbers.insert(name.into(), number);
                number
            }
        };
        self.of_stack.insert(stack, number);
    }
}

impl Analysed {
    /// Reads a recording, with warnings on standard error about what may not be as it was.
    pub(crate) fn new(input: Input<'_>, recording: Recording, is_quiet: bool) -> Result<Self, Failure> {
        let analysed = analyse(recording).map_err(|error| unreadable(input, &error))?;
        if !is_quiet {
            warn(&analysed);
        }
        Ok(analysed)
    }

    /// Reads the recording once more, for a replay: where objects are that the function does not know, it leaves out.
    pub(crate) fn script(
        &self,
        input: Input<'_>,
        is_quiet: bool,
        limits: ScriptLimits,
        owner_of: impl Fn(&str, u64, u32) -> Owner,
    ) -> Result<Script, Failure> {
        let owner_of = |_: &Tables, stack: StackId, size, alignment| {
            let site = self.sites.get(&stack).and_then(|site| self.site_names.get(*site as usize));
            site.map_or(Owner::Nobody, |site| owner_of(site, size, alignment))
        };
        let mut builder = ScriptBuilder::new(limits, owner_of);
        let read = input.open(is_quiet)?.for_each_item(|item| {
            builder.add(item);
            !builder.is_full()
        });
        read.map_err(|error| unreadable(input, &error))?;
        Ok(builder.finish())
    }
}

fn analyse(recording: Recording) -> Result<Analysed, Error> {
    let (format, is_cut) = (recording.format, recording.is_cut.clone());
    let symbolizer = RefCell::new(Symbolizer::default());
    let names = RefCell::new(SiteNames::default());
    let site_of = |tables: &_, stack| {
        let site = symbolizer.borrow_mut().site(tables, stack);
        names.borrow_mut().add(stack, &site);
        site
    };
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of);
    let mut objects: Vec<u64> = Vec::new();
    let ending = recording.for_each_item(|item| {
        analysis.add(item);
        if let Item::Event(event) = item {
            if let EventKind::Allocate { stack, .. } | EventKind::Reallocate { stack, .. } = event.kind {
                let index = stack.0 as usize;
                if objects.len() <= index {
                    objects.resize(index + 1, 0);
                }
                objects[index] += 1;
            }
        }
        true
    })?;
    let stacks = stack_uses(analysis.tables(), &objects, &mut symbolizer.borrow_mut());
    let report = analysis.finish();
    let SiteNames { of_stack: sites, names: site_names, .. } = names.into_inner();
    let symbolized = symbolizer.into_inner().finish();
    Ok(Analysed { format, report, ending, is_cut: is_cut.get(), symbolized, stacks, sites, site_names })
}

fn stack_uses(tables: &Tables, objects: &[u64], symbolizer: &mut Symbolizer) -> Vec<StackUse> {
    let mut order: Vec<usize> = (0..objects.len()).filter(|stack| objects[*stack] > 0).collect();
    order.sort_by_key(|stack| (Reverse(objects[*stack]), *stack));
    order.truncate(STACKS_MAX);
    let stack_use = |stack: usize| StackUse {
        functions: symbolizer.functions(tables, StackId(stack as u32)),
        objects: objects[stack],
    };
    order.into_iter().map(stack_use).collect()
}

pub(crate) fn unreadable(input: Input<'_>, error: &Error) -> Failure {
    let help = match error {
        Error::UnsupportedVersion { .. } => String::from("install a newer fastalloc"),
        Error::Checksum { offset, .. } | Error::Corrupt { offset, .. } => {
            format!("record once more; or give what comes before, once it is decompressed: `head --bytes={offset}`")
        }
        Error::LimitExceeded { .. } => String::from("record a shorter run, or a part of the program"),
        _ => String::from("see whether the file was copied as a whole, and else record once more"),
    };
    Failure::new(format!("cannot read {input}: {}", chain(error)), help)
}

/// Says why results may not be those of the whole run.
fn warn(analysed: &Analysed) {
    let Analysed { format, report, ending, is_cut, symbolized, .. } = analysed;
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
