//! What a trace says about each call site.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::Serialize;

use crate::event::{Event, EventKind, StackId};
use crate::item::{Item, Losses, Process};
use crate::tables::Tables;
use crate::tracker::{Beginning, End, EndKind, Tracker, Usage};

/// How much memory an [`Analysis`] takes.
///
/// With the defaults at most about 950 MiB, of which usual traces need a small part: 40 to 75 bytes for each object
/// that is alive, and a few KiB for each call site and size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnalysisLimits {
    /// Objects that are remembered because they are alive. Others are counted in [`Report::untracked`]: then peaks
    /// are too low. Default: 7 · 2²⁰.
    pub live: usize,
    /// Call sites. More than that are one, with the name [`Report::OTHER_SITES`]. Default: 4096.
    pub sites: usize,
    /// Sizes and alignments of a call site that are told apart: the first ones, since only then their peaks are
    /// exact. Default: 512.
    pub classes_per_site: usize,
    /// Sizes and alignments of all call sites together. Default: 2¹³.
    pub classes: usize,
}

impl Default for AnalysisLimits {
    fn default() -> Self {
        Self { live: 7 << 20, sites: 1 << 12, classes_per_site: 512, classes: 1 << 13 }
    }
}

/// Collects what a trace says about each call site, in bounded memory.
///
/// What a call site is, is up to a function that makes a name of a stack: stacks with the same name are one site. It is
/// called once for each stack that allocates, with the tables as they are then. [`site_of_frame`] is one that needs no
/// symbols.
///
/// Events are taken in the order they come. Where it matters, [`TraceReader::in_order`](crate::TraceReader::in_order)
/// sees to it that this is the order of their times.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::{Analysis, AnalysisLimits, Event, EventKind, Item, StackId};
///
/// let mut analysis = Analysis::new(AnalysisLimits::default(), |_tables, _stack| String::from("everywhere"));
/// let kind = EventKind::Allocate { address: 0x100, size: 64, alignment: 8, stack: StackId::EMPTY };
/// analysis.add(&Item::Event(Event { time: 5, thread: 1, duration: 0, kind }));
/// let kind = EventKind::Free { address: 0x100 };
/// analysis.add(&Item::Event(Event { time: 25, thread: 2, duration: 0, kind }));
/// let report = analysis.finish();
/// let site = &report.sites[0].total;
/// assert_eq!((site.objects, site.lifetime.max, site.freed_elsewhere), (1, 20, 1));
/// ```
pub struct Analysis<F> {
    limits: AnalysisLimits,
    site_of: F,
    tables: Tables,
    live: HashMap<u64, Live, RandomState>,
    sites: Vec<Site>,
    site_names: HashMap<Box<str>, u32, RandomState>,
    /// For each stack, its site + 1, or 0 if it is not known yet.
    stack_sites: Vec<u32>,
    classes: Vec<Class>,
    class_of: HashMap<(u32, u64, u32), u32, RandomState>,
    origin: Option<u64>,
    /// Since the origin.
    time: u64,
    events: u64,
    unknown_frees: u64,
    unseen_frees: u64,
    untracked: u64,
    disordered: u64,
    losses: Losses,
    has_threads: bool,
}

/// An object that is alive.
#[derive(Debug, Clone, Copy)]
struct Live {
    time: u64,
    size: u64,
    class: u32,
    thread: u32,
}

struct Site {
    name: Box<str>,
    stack: StackId,
    /// All objects; `None` as long as they are of one class, which most sites have.
    tracker: Option<Tracker>,
    /// How many sizes and alignments are told apart.
    told_apart: usize,
    /// The class that was first.
    first: Option<u32>,
    /// The class of all sizes that are not told apart.
    other: Option<u32>,
}

struct Class {
    site: u32,
    /// Size and alignment, unless it is the class of all others.
    layout: Option<(u64, u32)>,
    tracker: Tracker,
}

impl<F: FnMut(&Tables, StackId) -> String> Analysis<F> {
    /// Starts an analysis of one trace.
    pub fn new(limits: AnalysisLimits, site_of: F) -> Self {
        Self {
            limits,
            site_of,
            tables: Tables::default(),
            live: HashMap::default(),
            sites: Vec::new(),
            site_names: HashMap::default(),
            stack_sites: Vec::new(),
            classes: Vec::new(),
            class_of: HashMap::default(),
            origin: None,
            time: 0,
            events: 0,
            unknown_frees: 0,
            unseen_frees: 0,
            untracked: 0,
            disordered: 0,
            losses: Losses::default(),
            has_threads: false,
        }
    }

    /// The tables of the trace, as far as it was added.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Adds the next item of the trace. *O*(1) on average.
    pub fn add(&mut self, item: &Item) {
        match item {
            Item::Event(event) => self.event(event),
            Item::Losses(losses) => self.losses = *losses,
            other => self.tables.add(other),
        }
    }

    /// Ends the trace.
    #[must_use]
    pub fn finish(self) -> Report {
        let time = self.time;
        let mut classes: Vec<Vec<ClassReport>> = self.sites.iter().map(|_| Vec::new()).collect();
        for class in self.classes {
            let (size, alignment) = class.layout.unzip();
            let usage = class.tracker.finish(time);
            classes[class.site as usize].push(ClassReport { size, alignment, usage });
        }
        let mut sites: Vec<SiteReport> = (self.sites.into_iter().zip(classes))
            .map(|(site, classes)| SiteReport {
                site: site.name.into(),
                stack: site.stack,
                total: site.tracker.map_or_else(|| classes[0].usage.clone(), |tracker| tracker.finish(time)),
                classes,
            })
            .collect();
        for site in &mut sites {
            site.classes.sort_by_key(|class| (std::cmp::Reverse(class.usage.objects), class.size, class.alignment));
        }
        sites.sort_by(|a, b| b.total.objects.cmp(&a.total.objects).then_with(|| a.site.cmp(&b.site)));
        Report {
            process: self.tables.process().clone(),
            events: self.events,
            first: self.origin.unwrap_or(0),
            span: time,
            sites,
            unknown_frees: self.unknown_frees,
            unseen_frees: self.unseen_frees,
            untracked: self.untracked,
            disordered: self.disordered,
            losses: self.losses,
            has_threads: self.has_threads,
        }
    }

    fn event(&mut self, event: &Event) {
        self.events += 1;
        self.has_threads |= event.thread != 0;
        let origin = *self.origin.get_or_insert(event.time);
        match event.time.checked_sub(origin) {
            Some(time) if time >= self.time => self.time = time,
            // It counts as simultaneous with the last one.
            _ => self.disordered += 1,
        }
        match event.kind {
            EventKind::Allocate { address, size, alignment, stack } => {
                self.begin(event, address, size, alignment, stack, false);
            }
            EventKind::Free { address } => match self.live.remove(&address) {
                Some(live) => {
                    let (thread, duration) = (event.thread, event.duration);
                    self.end(live, EndKind::Freed { thread, is_elsewhere: live.thread != thread, duration });
                }
                None => self.unknown_frees += 1,
            },
            EventKind::Reallocate { old_address, address, size, alignment, stack } => {
                match self.live.remove(&old_address) {
                    Some(live) => self.end(live, EndKind::Reallocated),
                    // To reallocate nothing is to allocate.
                    None => self.unknown_frees += u64::from(old_address != 0),
                }
                self.begin(event, address, size, alignment, stack, old_address != 0);
            }
        }
    }

    fn begin(&mut self, event: &Event, address: u64, size: u64, alignment: u32, stack: StackId, is_reallocation: bool) {
        let site = self.site(stack);
        let class = self.class(site, size, alignment);
        let is_tracked = self.live.len() < self.limits.live;
        let before = if is_tracked {
            self.live.insert(address, Live { time: self.time, size, class, thread: event.thread })
        } else {
            self.untracked += 1;
            self.live.remove(&address)
        };
        if let Some(live) = before {
            self.unseen_frees += 1;
            self.end(live, EndKind::Unseen);
        }
        let beginning = Beginning {
            time: self.time,
            thread: event.thread,
            size,
            alignment,
            is_reallocation,
            duration: event.duration,
            is_tracked,
        };
        if let Some(tracker) = &mut self.sites[site as usize].tracker {
            tracker.begin(beginning);
        }
        self.classes[class as usize].tracker.begin(beginning);
    }

    fn end(&mut self, live: Live, kind: EndKind) {
        let end = End { time: self.time, size: live.size, lifetime: self.time - live.time, kind };
        let class = &mut self.classes[live.class as usize];
        class.tracker.end(end);
        if let Some(tracker) = &mut self.sites[class.site as usize].tracker {
            tracker.end(end);
        }
    }

    fn site(&mut self, stack: StackId) -> u32 {
        let index = stack.0 as usize;
        if self.stack_sites.len() <= index {
            self.stack_sites.resize(self.tables.stack_count() as usize + 1, 0);
        }
        if let Some(known) = self.stack_sites.get(index).and_then(|known| known.checked_sub(1)) {
            return known;
        }
        let mut name = (self.site_of)(&self.tables, stack);
        if self.sites.len() >= self.limits.sites && !self.site_names.contains_key(&*name) {
            name = Report::OTHER_SITES.into();
        }
        let next = self.sites.len() as u32;
        let site = *self.site_names.entry(name.into()).or_insert_with_key(|name| {
            self.sites.push(Site { name: name.clone(), stack, tracker: None, told_apart: 0, first: None, other: None });
            next
        });
        // Readers give out valid stacks only.
        if let Some(known) = self.stack_sites.get_mut(index) {
            *known = site + 1;
        }
        site
    }

    fn class(&mut self, site_index: u32, size: u64, alignment: u32) -> u32 {
        if let Some(known) = self.class_of.get(&(site_index, size, alignment)) {
            return *known;
        }
        let site = &mut self.sites[site_index as usize];
        let is_told_apart = site.told_apart < self.limits.classes_per_site && self.class_of.len() < self.limits.classes;
        if let Some(known) = site.other.filter(|_| !is_told_apart) {
            return known;
        }
        let next = self.classes.len() as u32;
        match site.first {
            None => site.first = Some(next),
            Some(first) if site.tracker.is_none() => {
                // So far, all of the site is what is known of its only class.
                site.tracker = Some(self.classes[first as usize].tracker.clone());
            }
            Some(_) => {}
        }
        if is_told_apart {
            site.told_apart += 1;
            self.class_of.insert((site_index, size, alignment), next);
        } else {
            site.other = Some(next);
        }
        let layout = is_told_apart.then_some((size, alignment));
        self.classes.push(Class { site: site_index, layout, tracker: Tracker::new() });
        next
    }
}

impl<F> std::fmt::Debug for Analysis<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analysis")
            .field("events", &self.events)
            .field("sites", &self.sites.len())
            .field("live", &self.live.len())
            .finish_non_exhaustive()
    }
}

/// A name for the innermost frame of a stack: that of the function, if the trace has symbols (of the innermost inlined
/// one), or else file and address in it, or the address in memory.
#[must_use]
pub fn site_of_frame(tables: &Tables, stack: StackId) -> String {
    let (Some(frame), Some(located)) = (tables.frames(stack).next(), tables.located_frames(stack).next()) else {
        return String::from("(unknown)");
    };
    let symbols = tables.symbols(frame).or_else(|| tables.symbols(located));
    if let Some(name) = symbols.and_then(|symbols| tables.string(symbols[0].name)) {
        return name.into();
    }
    let path = located.module.and_then(|module| tables.module(module)).and_then(|module| tables.string(module.path));
    match path {
        Some(path) => format!("{path}+{:#x}", located.address),
        None => format!("{:#x}", located.address),
    }
}

/// What a trace says. All of it can be serialized.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Which process, and how it was recorded. Counts are those of the trace, also if only a sample is in it.
    pub process: Process,
    /// How many events there were.
    pub events: u64,
    /// The time of the first event. All other times here are counted from it.
    pub first: u64,
    /// The time of the last event.
    pub span: u64,
    /// Call sites, those with most objects first.
    pub sites: Vec<SiteReport>,
    /// Frees and reallocations of what was not known to be alive: allocated before the recording began, or not in the
    /// sample.
    pub unknown_frees: u64,
    /// Objects whose address was allocated once more without a free: that is missing in the trace. Their lifetimes do
    /// not count.
    pub unseen_frees: u64,
    /// Objects that count in no peak, because [more were alive](AnalysisLimits::live) than can be remembered. If there
    /// are any, peaks, quantiles and lifetimes are not those of the whole trace.
    pub untracked: u64,
    /// Events that came after later ones. They count as simultaneous with these.
    pub disordered: u64,
    /// What the recorder could not record.
    pub losses: Losses,
    /// Whether there is an event whose thread is known.
    pub has_threads: bool,
}

impl Report {
    /// The name of the site of all that there were too many of.
    pub const OTHER_SITES: &'static str = "(other sites)";
}

/// What a trace says about a call site.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SiteReport {
    /// The name.
    pub site: String,
    /// A stack of that name: the first that allocated.
    #[serde(skip)]
    pub stack: StackId,
    /// All objects that were allocated there.
    pub total: Usage,
    /// The same for each size and alignment, those with most objects first.
    pub classes: Vec<ClassReport>,
}

/// What a trace says about objects of one size and alignment from a call site.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassReport {
    /// The size in bytes; `None` for all that there were too many of.
    pub size: Option<u64>,
    /// The alignment in bytes; `None` for all that there were too many of.
    pub alignment: Option<u32>,
    /// The objects.
    pub usage: Usage,
}
