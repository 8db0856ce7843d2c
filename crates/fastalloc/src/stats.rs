//! What pools have done: as plain data, over time, and as text that people and programs read.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

/// What a pool has done since it was made, or since its statistics were reset, and how full it is.
///
/// From [`Pool::statistics`](crate::Pool::statistics) or [`SharedPool::statistics`](crate::SharedPool::statistics).
///
/// # Examples
///
/// ```
/// let pool = fastalloc::FixedPool::new(4)?;
/// let held = [pool.allocate(1)?, pool.allocate(2)?];
/// drop(pool.allocate(3)?);
/// let statistics = pool.statistics();
/// assert_eq!((statistics.current_usage, statistics.peak_usage, statistics.total_allocations), (2, 3, 3));
/// assert_eq!(statistics.utilization_rate(), 0.5);
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Slots, vacant or occupied.
    pub capacity: usize,
    /// Memory held for slots, in bytes.
    pub bytes_reserved: usize,
    /// Slots that are occupied.
    pub current_usage: usize,
    /// The most slots that were occupied at once. Where several threads share a pool, vacant slots that they keep for
    /// themselves count as occupied here, so that this may be too high, but never too low.
    pub peak_usage: usize,
    /// Slots that were taken, also by calls that could not put a value there because user code panicked, or there
    /// was no memory to note who has them.
    pub total_allocations: u64,
    /// Slots that were given back.
    pub total_deallocations: u64,
    /// Calls that got no slot because none was vacant, or no memory; also those whose timeout passed.
    pub failed_allocations: u64,
    /// Objects that were handed out once more instead of a new one.
    pub recycled: u64,
    /// How often slots were added.
    pub growth_events: u64,
    pub(crate) average_usage: f64,
}

impl PoolStatistics {
    /// The share of slots that are occupied: 0 to 1.
    #[must_use]
    pub fn utilization_rate(&self) -> f64 {
        share(self.current_usage, self.capacity)
    }

    /// The share of slots that were occupied when most of them were: 0 to 1, or more after a trim.
    #[must_use]
    pub fn peak_utilization_rate(&self) -> f64 {
        share(self.peak_usage, self.capacity)
    }

    /// Occupied slots on average over all calls of `statistics`, this one included, since the last reset.
    ///
    /// Good for pools whose statistics are read at regular intervals. A [`StatisticsCollector`] weights by time.
    #[must_use]
    pub fn average_usage(&self) -> f64 {
        self.average_usage
    }

    /// The share of calls that got a slot: 0 to 1; 1 if there were none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        let calls = self.total_allocations + self.failed_allocations;
        if calls == 0 { 1.0 } else { self.total_allocations as f64 / calls as f64 }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for PoolStatistics {
    /// The text of a [`StatisticsReporter`] for this pool alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&StatisticsReporter::new().pool("pool", *self).text())
    }
}

/// Statistics of a pool over time, in bounded memory.
///
/// When there is no room for another snapshot, every second one is dropped, and from then on half as many are kept:
/// the history always reaches back to its first snapshot.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use fastalloc::{FixedPool, StatisticsCollector};
///
/// let pool = FixedPool::new(10)?;
/// let mut history = StatisticsCollector::new(100);
/// history.record(Duration::from_secs(0), pool.statistics());
/// let _held = pool.allocate(1)?;
/// history.record(Duration::from_secs(1), pool.statistics());
/// history.record(Duration::from_secs(3), pool.statistics());
/// assert_eq!(history.snapshots().len(), 3);
/// assert!((history.average_usage() - 2.0 / 3.0).abs() < 1e-9);
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StatisticsCollector {
    snapshots: Vec<(Duration, PoolStatistics)>,
    limit: usize,
    /// One of so many snapshots is kept.
    interval: usize,
    /// Snapshots that were dropped since the last one that was kept.
    dropped: usize,
    peak_usage: usize,
    /// Slots times seconds.
    usage: f64,
    last: Option<(Duration, usize)>,
}

impl StatisticsCollector {
    /// Makes a collector that keeps at most so many snapshots, and no less than 2.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let snapshots = Vec::new();
        Self { snapshots, limit: limit.max(2), interval: 1, dropped: 0, peak_usage: 0, usage: 0.0, last: None }
    }

    /// Adds a snapshot, taken at a time that is not before that of the last one.
    ///
    /// The time is whatever the caller counts from: when the program began, for instance.
    pub fn record(&mut self, time: Duration, statistics: PoolStatistics) {
        if let Some((before, usage)) = self.last {
            // Slots that were occupied at the last snapshot are taken to be so until this one.
            self.usage += time.saturating_sub(before).as_secs_f64() * usage as f64;
        }
        self.last = Some((time, statistics.current_usage));
        self.peak_usage = self.peak_usage.max(statistics.peak_usage);
        if !self.snapshots.is_empty() && self.dropped + 1 < self.interval {
            self.dropped += 1;
            return;
        }
        if self.snapshots.len() == self.limit {
            let mut number = 0;
            self.snapshots.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.interval *= 2;
        }
        self.dropped = 0;
        self.snapshots.push((time, statistics));
    }

    /// The snapshots that were kept, and their times.
    #[must_use]
    pub fn snapshots(&self) -> &[(Duration, PoolStatistics)] {
        &self.snapshots
    }

    /// The highest peak of all snapshots, also of those that were not kept.
    #[must_use]
    pub fn peak_usage(&self) -> usize {
        self.peak_usage
    }

    /// Occupied slots on average over time, from the first snapshot to the last; 0 if they are not apart.
    #[must_use]
    pub fn average_usage(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.snapshots.first(), self.last) else { return 0.0 };
        let seconds = last.saturating_sub(*first).as_secs_f64();
        if seconds > 0.0 { self.usage / seconds } else { 0.0 }
    }
}

/// Makes text of the statistics of one or more pools.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, StatisticsReporter};
///
/// let requests = FixedPool::<u64>::new(10)?;
/// let report = StatisticsReporter::new().pool("requests", requests.statistics());
/// println!("{}", report.text());
/// assert!(report.prometheus().contains("fastalloc_capacity_slots{pool=\"requests\"} 10\n"));
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StatisticsReporter {
    pools: Vec<(String, PoolStatistics)>,
}

/// What a report says of a pool: a label for people; name, type and help for Prometheus; and the value.
struct Metric {
    label: &'static str,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&PoolStatistics) -> f64,
}

const METRICS: [Metric; 10] = [
    Metric {
        label: "capacity",
        name: "fastalloc_capacity_slots",
        kind: "gauge",
        help: "Slots, vacant or occupied.",
        value: |pool| pool.capacity as f64,
    },
    Metric {
        label: "in use",
        name: "fastalloc_occupied_slots",
        kind: "gauge",
        help: "Slots that are occupied.",
        value: |pool| pool.current_usage as f64,
    },
    Metric {
        label: "in use at most",
        name: "fastalloc_occupied_slots_peak",
        kind: "gauge",
        help: "The most slots that were occupied at once.",
        value: |pool| pool.peak_usage as f64,
    },
    Metric {
        label: "in use on average",
        name: "fastalloc_occupied_slots_average",
        kind: "gauge",
        help: "Occupied slots on average over all readings.",
        value: |pool| pool.average_usage,
    },
    Metric {
        label: "bytes reserved",
        name: "fastalloc_reserved_bytes",
        kind: "gauge",
        help: "Memory held for slots, in bytes.",
        value: |pool| pool.bytes_reserved as f64,
    },
    Metric {
        label: "allocations",
        name: "fastalloc_allocations_total",
        kind: "counter",
        help: "Slots that were taken.",
        value: |pool| pool.total_allocations as f64,
    },
    Metric {
        label: "deallocations",
        name: "fastalloc_deallocations_total",
        kind: "counter",
        help: "Slots that were given back.",
        value: |pool| pool.total_deallocations as f64,
    },
    Metric {
        label: "failed allocations",
        name: "fastalloc_failed_allocations_total",
        kind: "counter",
        help: "Calls that got no slot.",
        value: |pool| pool.failed_allocations as f64,
    },
    Metric {
        label: "recycled objects",
        name: "fastalloc_recycled_objects_total",
        kind: "counter",
        help: "Objects that were handed out once more instead of a new one.",
        value: |pool| pool.recycled as f64,
    },
    Metric {
        label: "growths",
        name: "fastalloc_growths_total",
        kind: "counter",
        help: "How often slots were added.",
        value: |pool| pool.growth_events as f64,
    },
];

/// Tells the recorder that the program has installed what a pool has done between two readings.
#[cfg(feature = "metrics")]
pub(crate) fn publish(pool: &str, before: &PoolStatistics, now: &PoolStatistics) {
    for Metric { name, kind, help, value, .. } in &METRICS {
        let label = [("pool", String::from(pool))];
        // No pool has capacity 0: it is the first time.
        let is_new = before.capacity == 0;
        if *kind == "counter" {
            if is_new {
                metrics::describe_counter!(*name, *help);
            }
            metrics::counter!(*name, &label).increment((value(now) - value(before)) as u64);
        } else {
            if is_new {
                metrics::describe_gauge!(*name, *help);
            }
            metrics::gauge!(*name, &label).set(value(now));
        }
    }
}

impl StatisticsReporter {
    /// Makes a report of no pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pool by a name of the caller's choice.
    #[must_use]
    pub fn pool(mut self, name: impl Into<String>, statistics: PoolStatistics) -> Self {
        self.pools.push((name.into(), statistics));
        self
    }

    /// A table for people: a line for each figure, a column for each pool.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines: Vec<_> = METRICS.iter().map(|metric| String::from(metric.label)).collect();
        lines.insert(0, String::new());
        pad(&mut lines, false);
        for (name, statistics) in &self.pools {
            let percent = (statistics.utilization_rate() * 100.0, statistics.peak_utilization_rate() * 100.0);
            let mut column = Vec::from([name.clone()]);
            column.extend(METRICS.iter().map(|metric| {
                let value = (metric.value)(statistics);
                match metric.label {
                    "in use" => alloc::format!("{value} ({:.1} %)", percent.0),
                    "in use at most" => alloc::format!("{value} ({:.1} %)", percent.1),
                    "in use on average" => alloc::format!("{value:.1}"),
                    _ => alloc::format!("{value}"),
                }
            }));
            pad(&mut column, true);
            for (line, cell) in lines.iter_mut().zip(column) {
                line.push_str("  ");
                line.push_str(&cell);
            }
        }
        lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }

    /// Prometheus' text format for all pools, which a metric's label `pool` tells apart.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for Metric { name, kind, help, value, .. } in &METRICS {
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (pool, statistics) in &self.pools {
                let pool = pool.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = writeln!(text, "{name}{{pool=\"{pool}\"}} {}", value(statistics));
            }
        }
        text
    }

    /// A JSON object with a member for each pool, whose value is its [`PoolStatistics`].
    #[cfg(feature = "serde")]
    #[must_use]
    pub fn json(&self) -> String {
        let pools = self.pools.iter().filter_map(|(name, statistics)| {
            // Plain numbers can be represented.
            Some((name.clone(), serde_json::to_value(statistics).ok()?))
        });
        alloc::format!("{}", serde_json::Value::Object(pools.collect()))
    }
}

/// Makes all lines as wide as the widest one.
fn pad(lines: &mut [String], right: bool) {
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    for line in lines {
        *line = if right { alloc::format!("{line:>width$}") } else { alloc::format!("{line:<width$}") };
    }
}
