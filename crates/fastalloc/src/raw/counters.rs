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
        let occupied = self.counts.occupied();
        self.counts.peak.set(occupied);
        self.counts.below_peak.set(0);
        self.counts.occupied_before.set(occupied);
        let Counts { allocations, failures, recycled, growths, usage: Samples { sum, count }, .. } = &self.counts;
        [allocations, failures, recycled, growths, sum, count].into_iter().for_each(|count| count.set(0));
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

    /// Makes statistics of what has happened since the last reset, and of `now`: what has happened since the pool
    /// was made, besides what is counted here.
    #[cfg(feature = "stats")]
    pub(crate) fn statistics(&self, now: PoolStatistics) -> PoolStatistics {
        let total = self.counts.add_to(now);
        self.counts.since.with(|since| {
            since.usage_sum += total.current_usage as u64;
            since.usage_count += 1;
            // Somebody else may have reset the counts since `now`.
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

    /// The same with counts of all that has happened since the pool was made, in spite of resets, at least those of
    /// `before`. `now` is as above.
    #[cfg(feature = "metrics")]
    pub(crate) fn since_creation(
        &self,
        statistics: PoolStatistics,
        now: PoolStatistics,
        before: &PoolStatistics,
    ) -> PoolStatistics {
        let total = self.counts.add_to(now);
        PoolStatistics {
            total_allocations: total.total_allocations,
            // Somewhat old if other threads are using the pool.
            total_deallocations: total
                .total_allocations
                .saturating_sub(total.current_usage as u64)
                .max(before.total_deallocations),
            failed_allocations: total.failed_allocations,
            recycled: total.recycled,
            growth_events: total.growth_events,
            ..statistics
        }
    }

    /// Forgets what has happened, but for the slots that are occupied.
    #[cfg(feature = "stats")]
    pub(crate) fn reset(&self, now: PoolStatistics) {
        let start = self.counts.add_to(now);
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

    impl Counts {
        pub(super) fn add_to(&self, now: PoolStatistics) -> PoolStatistics {
            PoolStatistics {
                total_allocations: now.total_allocations + self.allocations.load(Relaxed),
                recycled: now.recycled + self.recycled.load(Relaxed),
                failed_allocations: self.failures.load(Relaxed),
                peak_usage: self.peak.load(Relaxed),
                ..now
            }
        }
    }
}
