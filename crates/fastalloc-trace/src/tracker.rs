//! What is counted of objects that belong together, in bounded memory.

use serde::Serialize;
use sketches_ddsketch::{Config, DDSketch};

/// The relative error of quantiles before they are rounded: less than half of what is promised, so that rounding makes
/// those below 100 exact.
const ERROR: f64 = 0.0049;
/// Bins of a sketch: 16 KiB at most, for values from the largest down to the 500-millionth part of it. Smaller ones
/// count as that.
const BINS: u32 = 2048;
/// How many threads are told apart.
const THREADS: usize = 64;
/// The width of a point of a timeline at first, in nanoseconds.
const INTERVAL: u64 = 1024;

/// What a number of objects have in common: those of a call site, or those of one size among them.
///
/// Counts and peaks are exact. Times are in nanoseconds, sizes in bytes. An object is *alive* from its allocation to
/// its end, which is a free or a reallocation: that ends one object and begins another.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Objects that began.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The smallest size.
    pub size_min: u64,
    /// The largest size.
    pub size_max: u64,
    /// The largest alignment, in bytes.
    pub alignment_max: u32,
    /// The most objects that were alive at once.
    pub alive_peak: u64,
    /// The most bytes of objects that were alive at once.
    pub bytes_peak: u64,
    /// Objects that were alive at the end of the trace.
    pub alive_at_end: u64,
    /// Of how many objects were alive just after each allocation, the new one included: a pool of `alive.p99` slots
    /// would have had a vacant one for 99 of 100 allocations. (For more than that, if objects that found none did not
    /// count.)
    pub alive: Quantiles,
    /// The most objects that were alive at once in each of at most 64 intervals, from the first event of the trace on
    /// to its last.
    pub timeline: Vec<u64>,
    /// How long such an interval is.
    pub timeline_interval: u64,
    /// Of the times from the beginning to the end of objects that ended.
    pub lifetime: Quantiles,
    /// How many objects that ended lived for how long: at index 0 for less than 1 ns, at index `i` from 2^(i−1) to less
    /// than 2^i.
    pub lifetimes: Vec<u64>,
    /// Objects that a free ended.
    pub freed: u64,
    /// Those of them that another thread freed than had allocated them.
    pub freed_elsewhere: u64,
    /// Objects that a reallocation ended.
    pub reallocated: u64,
    /// Objects that a reallocation began.
    pub from_reallocation: u64,
    /// How many threads allocated or freed them, but no more than 64.
    pub threads: u32,
    /// When the first one began.
    pub first: u64,
    /// When the last one began.
    pub last: u64,
    /// How irregular allocations came.
    pub burst: Burst,
    /// How long all calls took that allocated, reallocated or freed them; 0 if the trace does not say.
    pub duration: u64,
}

impl Usage {
    /// The share of freed objects that another thread freed than had allocated them: 0 to 1.
    #[must_use]
    pub fn freed_elsewhere_share(&self) -> f64 {
        share(self.freed_elsewhere, self.freed)
    }

    /// The share of objects that a reallocation began or ended: 0 to 1.
    #[must_use]
    pub fn reallocation_share(&self) -> f64 {
        share(self.reallocated.max(self.from_reallocation), self.objects)
    }

    /// How many objects one after the other would have used each slot of a pool for the peak, on average.
    #[must_use]
    pub fn reuse(&self) -> f64 {
        share(self.objects, self.alive_peak)
    }
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Values so many of which are not greater: `p99` is the value at rank ⌊0.99 (n − 1)⌋ of `n` in order, counted from 0.
///
/// Within 1 % of it, and exact below 100; the maximum is exact. All are 0 if there were no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Quantiles {
    /// Half of all.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// The greatest.
    pub max: u64,
}

/// How irregularly allocations come, from the times between one and the next.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Burst {
    /// The mean µ of the times between them, in nanoseconds.
    pub gap_mean: f64,
    /// (σ − µ) / (σ + µ), where σ is their standard deviation (Goh and Barabási, *Burstiness and memory in complex
    /// systems*, 2008): −1 if all gaps are equal, 0 if allocations are independent of each other, near 1 if they come
    /// in bursts with long pauses between. 0 for less than two gaps, or if all are 0.
    pub burstiness: f64,
}

/// Counts what becomes a [`Usage`].
#[derive(Clone)]
pub(crate) struct Tracker {
    usage: Usage,
    alive: u64,
    bytes_alive: u64,
    alive_sketch: Sketch,
    lifetime_sketch: Sketch,
    timeline: Timeline,
    threads: Vec<u32>,
    gaps: Gaps,
}

/// Something that happened to an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub(crate) time: u64,
    pub(crate) thread: u32,
    pub(crate) size: u64,
    pub(crate) alignment: u32,
    pub(crate) is_reallocation: bool,
    pub(crate) duration: u64,
    /// Whether the object counts as alive: there is room to remember it.
    pub(crate) is_tracked: bool,
}

/// How an object ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) time: u64,
    pub(crate) size: u64,
    pub(crate) lifetime: u64,
    pub(crate) kind: EndKind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum EndKind {
    Freed {
        thread: u32,
        is_elsewhere: bool,
        duration: u64,
    },
    Reallocated,
    /// Its address was given to another object: when it ended is not known.
    Unseen,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            usage: Usage {
                objects: 0,
                bytes: 0,
                size_min: u64::MAX,
                size_max: 0,
                alignment_max: 1,
                alive_peak: 0,
                bytes_peak: 0,
                alive_at_end: 0,
                alive: Quantiles::default(),
                timeline: Vec::new(),
                timeline_interval: INTERVAL,
                lifetime: Quantiles::default(),
                lifetimes: Vec::new(),
                freed: 0,
                freed_elsewhere: 0,
                reallocated: 0,
                from_reallocation: 0,
                threads: 0,
                first: 0,
                last: 0,
                burst: Burst::default(),
                duration: 0,
            },
            alive: 0,
            bytes_alive: 0,
            alive_sketch: Sketch::new(),
            lifetime_sketch: Sketch::new(),
            timeline: Timeline { points: Vec::new(), interval: INTERVAL },
            threads: Vec::new(),
            gaps: Gaps::default(),
        }
    }

    /// An object began. Times are counted from the first event of the trace.
    pub(crate) fn begin(&mut self, object: Beginning) {
        let usage = &mut self.usage;
        if usage.objects == 0 {
            usage.first = object.time;
        } else {
            self.gaps.add((object.time - usage.last) as f64);
        }
        usage.last = object.time;
        usage.objects += 1;
        usage.bytes = usage.bytes.saturating_add(object.size);
        usage.size_min = usage.size_min.min(object.size);
        usage.size_max = usage.size_max.max(object.size);
        usage.alignment_max = usage.alignment_max.max(object.alignment);
        usage.from_reallocation += u64::from(object.is_reallocation);
        usage.duration = usage.duration.saturating_add(object.duration);
        self.add_thread(object.thread);
        if object.is_tracked {
            self.change(object.time, self.alive + 1);
            self.bytes_alive = self.bytes_alive.saturating_add(object.size);
            self.usage.alive_peak = self.usage.alive_peak.max(self.alive);
            self.usage.bytes_peak = self.usage.bytes_peak.max(self.bytes_alive);
        }
        self.alive_sketch.add(self.alive);
    }

    /// A tracked object ended.
    pub(crate) fn end(&mut self, object: End) {
        self.change(object.time, self.alive.saturating_sub(1));
        self.bytes_alive = self.bytes_alive.saturating_sub(object.size);
        match object.kind {
            EndKind::Freed { thread, is_elsewhere, duration } => {
                self.usage.freed += 1;
                self.usage.freed_elsewhere += u64::from(is_elsewhere);
                self.usage.duration = self.usage.duration.saturating_add(duration);
                self.add_thread(thread);
                self.add_lifetime(object.lifetime);
            }
            EndKind::Reallocated => {
                self.usage.reallocated += 1;
                self.add_lifetime(object.lifetime);
            }
            EndKind::Unseen => {}
        }
    }

    pub(crate) fn finish(mut self, time: u64) -> Usage {
        self.change(time, self.alive);
        Usage {
            size_min: self.usage.size_min.min(self.usage.size_max),
            alive_at_end: self.alive,
            alive: self.alive_sketch.quantiles(),
            timeline: self.timeline.points,
            timeline_interval: self.timeline.interval,
            lifetime: self.lifetime_sketch.quantiles(),
            threads: self.threads.len() as u32,
            burst: self.gaps.burst(),
            ..self.usage
        }
    }

    fn change(&mut self, time: u64, alive: u64) {
        self.timeline.record(time, self.alive, alive);
        self.alive = alive;
    }

    fn add_lifetime(&mut self, lifetime: u64) {
        self.lifetime_sketch.add(lifetime);
        let index = (u64::BITS - lifetime.leading_zeros()) as usize;
        let lifetimes = &mut self.usage.lifetimes;
        if lifetimes.len() <= index {
            lifetimes.resize(index + 1, 0);
        }
        lifetimes[index] += 1;
    }

    fn add_thread(&mut self, thread: u32) {
        // Most are used by few, and the one that used it last comes again.
        if !self.threads.iter().rev().any(|known| *known == thread) && self.threads.len() < THREADS {
            self.threads.push(thread);
        }
    }
}

/// Quantiles of many values.
#[derive(Clone)]
struct Sketch {
    sketch: DDSketch,
    max: u64,
}

impl Sketch {
    fn new() -> Self {
        // Whole numbers only: what is below 1 is 0.
        Self { sketch: DDSketch::new(Config::new(ERROR, BINS, 0.5)), max: 0 }
    }

    fn add(&mut self, value: u64) {
        self.max = self.max.max(value);
        self.sketch.add(value as f64);
    }

    fn quantiles(&self) -> Quantiles {
        let at = |share| {
            let value = self.sketch.quantile(share).ok().flatten().unwrap_or(0.0);
            (value.round() as u64).min(self.max)
        };
        Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: self.max }
    }
}

/// The maxima of a number over time. If there is no room for more intervals, they become twice as long.
#[derive(Debug, Clone)]
struct Timeline {
    points: Vec<u64>,
    interval: u64,
}

impl Timeline {
    const POINTS: usize = 64;

    /// The number changes, at a time that is not before the last one.
    fn record(&mut self, time: u64, before: u64, after: u64) {
        while time / self.interval >= Self::POINTS as u64 {
            self.points = self.points.chunks(2).map(|pair| pair.iter().copied().max().unwrap_or(0)).collect();
            self.interval *= 2;
        }
        let index = (time / self.interval) as usize;
        if self.points.len() <= index {
            self.points.resize(index + 1, before);
        }
        self.points[index] = self.points[index].max(after);
    }
}

/// Mean and variance of gaps, by Welford's method.
#[derive(Debug, Clone, Default)]
struct Gaps {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Gaps {
    fn add(&mut self, gap: f64) {
        self.count += 1.0;
        let difference = gap - self.mean;
        self.mean += difference / self.count;
        self.squares += difference * (gap - self.mean);
    }

    fn burst(&self) -> Burst {
        let deviation = (self.squares / self.count.max(1.0)).sqrt();
        let sum = deviation + self.mean;
        let burstiness = if self.count < 2.0 || sum == 0.0 { 0.0 } else { (deviation - self.mean) / sum };
        Burst { gap_mean: self.mean, burstiness }
    }
}
