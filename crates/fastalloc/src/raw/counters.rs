//! What a core counts for its statistics: nothing, and with no memory, without the feature `stats`.

#[cfg(feature = "stats")]
use core::cell::Cell;

#[cfg(feature = "stats")]
use crate::stats::PoolStatistics;

/// What the core for one thread counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    #[cfg(feature = "stats")]
    counts: Counts,
}

#[cfg(feature = "stats")]
#[derive(Debug, Default)]
struct Counts {
    allocations: Cell<u64>,
    /// The most slots that were occupied at once.
    peak: Cell<usize>,
    /// How many fewer are occupied now. Together they cost an allocation a subtraction and a jump.
    below_peak: Cell<usize>,
    /// Slots that were occupied at the last reset.
    occupied_before: Cell<usize>,
    failures: Cell<u64>,
    recycled: Cell<u64>,
    growths: Cell<u64>,
    usage: Samples,
    /// What had happened until the last reset.
    #[cfg(feature = "metrics")]
    before_reset: Cell<PoolStatistics>,
}

/// How many slots were occupied whenever somebody asked.
#[cfg(feature = "stats")]
#[derive(Debug, Default)]
struct Samples {
    sum: Cell<u64>,
    count: Cell<u64>,
}

#[cfg(feature = "stats")]
fn increment(cell: &Cell<u64>) {
    cell.set(cell.get().wrapping_add(1));
}

impl Counters {
    /// A slot was taken.
    #[inline]
    pub(crate) fn allocated(&self) {
        #[cfg(feature = "stats")]
        {
            increment(&self.counts.allocations);
            // Stored before it is looked at, which takes fewer instructions.
            let (below, is_new_peak) = self.counts.below_peak.get().overflowing_sub(1);
            self.counts.below_peak.set(below);
            if is_new_peak {
                self.counts.raise_peak();
            }
        }
    }

    /// A slot was given back.
    #[inline]
    pub(crate) fn deallocated(&self) {
        #[cfg(feature = "stats")]
        self.counts.below_peak.set(self.counts.below_peak.get() + 1);
    }

    /// An object that was kept is used again.
    pub(crate) fn recycled(&self) {
        #[cfg(feature = "stats")]
        increment(&self.counts.recycled);
    }

    /// Somebody wanted slots that were not there.
    pub(crate) fn failed(&self) {
        #[cfg(feature = "stats")]
        increment(&self.counts.failures);
    }

    /// Slots were added.
    pub(crate) fn grown(&self) {
        #[cfg(feature = "stats")]
        increment(&self.counts.growths);
    }

    /// How often slots were added.
    #[cfg(all(feature = "std", feature = "stats", target_has_atomic = "64", target_has_atomic = "ptr"))]
    pub(crate) fn growths(&self) -> u64 {
        self.counts.growths.get()
    }

    /// Forgets what has happened, but for the slots that are occupied.
    #[cfg(feature = "stats")]
    pub(crate) fn reset(&self) {
        #[cfg(feature = "metrics")]
        self.counts.before_reset.set(self.since_creation(self.statistics(0, 0)));
        let occupied = self.counts.occupied();
        self.counts.peak.set(occupied);
        self.counts.below_peak.set(0);
        self.counts.occupied_before.set(occupied);
        let Counts { allocations, failures, recycled, growths, usage: Samples { sum, count }, .. } = &self.counts;
        [allocations, failures, recycled, growths, sum, count].into_iter().for_each(|count| count.set(0));
    }

    /// Statistics with counts of all that has happened since the pool was made, in spite of resets.
    #[cfg(feature = "metrics")]
    pub(crate) fn since_creation(&self, statistics: PoolStatistics) -> PoolStatistics {
        let before = self.counts.before_reset.get();
        PoolStatistics {
            total_allocations: before.total_allocations + statistics.total_allocations,
            total_deallocations: before.total_deallocations + statistics.total_deallocations,
            failed_allocations: before.failed_allocations + statistics.failed_allocations,
            recycled: before.recycled + statistics.recycled,
            growth_events: before.growth_events + statistics.growth_events,
            ..statistics
        }
    }

    #[cfg(feature = "stats")]
    pub(crate) fn statistics(&self, capacity: usize, bytes_reserved: usize) -> PoolStatistics {
        let current_usage = self.counts.occupied();
        let Counts { allocations, peak, failures, recycled, growths, usage: Samples { sum, count }, .. } = &self.counts;
        sum.set(sum.get().wrapping_add(current_usage as u64));
        increment(count);
        PoolStatistics {
            capacity,
            bytes_reserved,
            current_usage,
            peak_usage: peak.get(),
            total_allocations: allocations.get(),
            total_deallocations: allocations.get() + self.counts.occupied_before.get() as u64 - current_usage as u64,
            failed_allocations: failures.get(),
            recycled: recycled.get(),
            growth_events: growths.get(),
            average_usage: sum.get() as f64 / count.get() as f64,
        }
    }
}

#[cfg(feature = "stats")]
impl Counts {
    #[cold]
    fn raise_peak(&self) {
        self.peak.set(self.peak.get() + 1);
        self.below_peak.set(0);
    }

    fn occupied(&self) -> usize {
        self.peak.get() - self.below_peak.get()
    }
}

/// What the core that threads share counts, besides what its magazines do.
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
#[derive(Debug, Default)]
pub(crate) struct SharedCounters {
    #[cfg(feature = "stats")]
    counts: shared::Counts,
}

#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
impl SharedCounters {
    /// Slots were taken that no magazine had, one for an object that was kept.
    pub(crate) fn allocated(&self, slots: usize, recycled: bool) {
        #[cfg(feature = "stats")]
        {
            self.counts.allocations.fetch_add(slots as u64, shared::Relaxed);
            self.counts.recycled.fetch_add(u64::from(recycled), shared::Relaxed);
        }
        let _ = (slots, recycled);
    }

    /// So many slots may have been occupied at once.
    #[cfg(feature = "stats")]
    pub(crate) fn note_peak(&self, in_use: usize) {
        // Usually it is no news, and then nothing is written.
        if in_use > self.counts.peak.load(shared::Relaxed) {
            self.counts.peak.fetch_max(in_use, shared::Relaxed);
        }
    }

    /// Somebody wanted slots that were not there.
    pub(crate) fn failed(&self) {
        #[cfg(feature = "stats")]
        self.counts.failures.fetch_add(1, shared::Relaxed);
    }

    /// What is counted here, since the pool was made.
    #[cfg(feature = "stats")]
    pub(crate) fn counted(&self) -> PoolStatistics {
        PoolStatistics {
            total_allocations: self.counts.allocations.load(shared::Relaxed),
            recycled: self.counts.recycled.load(shared::Relaxed),
            failed_allocations: self.counts.failures.load(shared::Relaxed),
            peak_usage: self.counts.peak.load(shared::Relaxed),
            ..PoolStatistics::default()
        }
    }

    /// Makes statistics of what has happened since the last reset. `total` is since the pool was made.
    #[cfg(feature = "stats")]
    pub(crate) fn statistics(&self, total: PoolStatistics) -> PoolStatistics {
        self.counts.since.with(|since| {
            since.usage_sum += total.current_usage as u64;
            since.usage_count += 1;
            // Somebody else may have reset the counts since then.
            let since_reset = |count: fn(&PoolStatistics) -> u64| count(&total).saturating_sub(count(&since.start));
            let total_allocations = since_reset(|counts| counts.total_allocations);
            PoolStatistics {
                peak_usage: total.peak_usage.max(total.current_usage),
                total_allocations,
                total_deallocations: (total_allocations + since.start.current_usage as u64)
                    .saturating_sub(total.current_usage as u64),
                failed_allocations: since_reset(|counts| counts.failed_allocations),
                recycled: since_reset(|counts| counts.recycled),
                growth_events: since_reset(|counts| counts.growth_events),
                average_usage: since.usage_sum as f64 / since.usage_count as f64,
                ..total
            }
        })
    }

    /// Forgets what has happened until `start`, but for the slots that are occupied.
    #[cfg(feature = "stats")]
    pub(crate) fn reset(&self, start: PoolStatistics) {
        self.counts.peak.store(start.current_usage, shared::Relaxed);
        self.counts.since.with(|since| *since = shared::Since { start, ..shared::Since::default() });
    }
}

#[cfg(all(feature = "std", feature = "stats", target_has_atomic = "64", target_has_atomic = "ptr"))]
mod shared {
    pub(super) use core::sync::atomic::Ordering::Relaxed;
    use core::sync::atomic::{AtomicU64, AtomicUsize};

    use crate::stats::PoolStatistics;
    use crate::sync::Mutex;

    #[derive(Debug, Default)]
    pub(super) struct Counts {
        pub(super) allocations: AtomicU64,
        pub(super) recycled: AtomicU64,
        pub(super) failures: AtomicU64,
        pub(super) peak: AtomicUsize,
        pub(super) since: Mutex<Since>,
    }

    /// The last reset: others cannot reset what a thread counts.
    #[derive(Debug, Default)]
    pub(super) struct Since {
        /// What had happened until then.
        pub(super) start: PoolStatistics,
        pub(super) usage_sum: u64,
        pub(super) usage_count: u64,
    }
}
