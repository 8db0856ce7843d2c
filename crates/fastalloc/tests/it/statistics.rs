//! Statistics count exactly what happened.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastalloc::{
    Allocator, Error, FixedPool, Growing, GrowingPool, GrowthStrategy, Kind, OwnedHandle, Pool, PoolConfig,
    PoolStatistics, StatisticsCollector, StatisticsReporter,
};
use proptest::prelude::*;

use crate::support::{BEYOND_MEMORY, build, config, inject, on_every_pool, survive};

on_every_pool! {
    random_programs_are_counted
    what_panics_is_counted_as_given_back
    reset_forgets_what_has_happened
}

/// What a random program does, and what the statistics are to say.
struct Machine<'pool, A: Allocator, K: Kind> {
    pool: &'pool Pool<u64, A, K>,
    handles: Vec<OwnedHandle<'pool, u64>>,
    /// Objects that the pool has made.
    made: Arc<AtomicU64>,
    expected: Expected,
}

#[derive(Debug, Default, PartialEq)]
struct Expected {
    current_usage: usize,
    peak_usage: usize,
    total_allocations: u64,
    total_deallocations: u64,
    failed_allocations: u64,
    recycled: u64,
    growth_events: u64,
}

impl From<PoolStatistics> for Expected {
    fn from(pool: PoolStatistics) -> Self {
        Self {
            current_usage: pool.current_usage,
            peak_usage: pool.peak_usage,
            total_allocations: pool.total_allocations,
            total_deallocations: pool.total_deallocations,
            failed_allocations: pool.failed_allocations,
            recycled: pool.recycled,
            growth_events: pool.growth_events,
        }
    }
}

impl<'pool, A: Allocator, K: Kind> Machine<'pool, A, K> {
    fn perform(&mut self, (operation, at): (u8, usize)) {
        let (pool, capacity) = (self.pool, self.pool.capacity());
        match operation {
            0..=3 => {
                let got = pool.allocate(1).ok();
                self.count(got.into_iter().collect(), 1, capacity);
            }
            4..=5 => {
                let made = self.made.load(Relaxed);
                let got = pool.acquire().ok();
                self.expected.recycled += u64::from(got.is_some() && self.made.load(Relaxed) == made);
                self.count(got.into_iter().collect(), 1, capacity);
            }
            6 => {
                let len = 1 + at % 5;
                let got = pool.allocate_batch((0..len).map(|_| 2)).unwrap_or_default();
                self.count(got, len, capacity);
            }
            7 if !self.handles.is_empty() => {
                let handle = self.handles.swap_remove(at % self.handles.len());
                let _value = handle.into_inner();
                self.released(1);
            }
            _ => {
                let count = self.handles.len().min(1 + at % 4);
                self.handles.drain(..count).for_each(drop);
                self.released(count);
            }
        }
        assert_eq!(Expected::from(pool.statistics()), self.expected);
        let statistics = pool.statistics();
        assert_eq!((statistics.capacity, statistics.bytes_reserved), (pool.capacity(), pool.bytes_reserved()));
    }

    fn count(&mut self, got: Vec<OwnedHandle<'pool, u64>>, wanted: usize, capacity: usize) {
        self.expected.failed_allocations += u64::from(got.len() < wanted);
        self.expected.growth_events += u64::from(self.pool.capacity() > capacity);
        self.expected.total_allocations += got.len() as u64;
        self.expected.current_usage += got.len();
        self.expected.peak_usage = self.expected.peak_usage.max(self.expected.current_usage);
        self.handles.extend(got);
    }

    fn released(&mut self, count: usize) {
        self.expected.total_deallocations += count as u64;
        self.expected.current_usage -= count;
    }
}

fn random_programs_are_counted<A: Allocator + Default, K: Kind + 'static>() {
    let grows = TypeId::of::<K>() == TypeId::of::<Growing>();
    let mut config = ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 24 });
    config.failure_persistence = None;
    proptest!(config, |(program in prop::collection::vec((0u8..11, 0usize..100), 1..120))| {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let mut config = PoolConfig::builder().capacity(4).reset_fn(move || count.fetch_add(1, Relaxed), |_| ());
        if grows {
            config = config.growth_strategy(GrowthStrategy::Linear { amount: 3 }).max_capacity(Some(20));
        }
        let pool: Pool<u64, A, K> = build(config);
        let mut machine = Machine { pool: &pool, handles: Vec::new(), made, expected: Expected::default() };
        program.into_iter().for_each(|step| machine.perform(step));
    });
}

fn what_panics_is_counted_as_given_back<A: Allocator + Default, K: Kind>() {
    let pool: Pool<u64, A, K> = build(config(2));
    survive(|| drop(pool.allocate_with(|| inject())));
    let statistics = pool.statistics();
    assert_eq!((statistics.total_allocations, statistics.total_deallocations, statistics.current_usage), (1, 1, 0));
}

fn reset_forgets_what_has_happened<A: Allocator + Default, K: Kind>() {
    let pool: Pool<u64, A, K> = build(config(3));
    let first = pool.allocate(1).unwrap();
    drop([pool.allocate(2).unwrap(), pool.allocate(3).unwrap()]);
    assert_eq!(pool.statistics().peak_usage, 3);
    pool.reset_statistics();
    let expected = Expected { current_usage: 1, peak_usage: 1, ..Expected::default() };
    assert_eq!(Expected::from(pool.statistics()), expected);
    drop((first, pool.allocate(4).unwrap()));
    let expected = Expected { peak_usage: 2, total_allocations: 1, total_deallocations: 2, ..Expected::default() };
    assert_eq!(Expected::from(pool.statistics()), expected);
}

#[test]
fn growth_that_fails_is_a_failure() {
    let strategy = GrowthStrategy::Custom { compute: Box::new(|_| BEYOND_MEMORY) };
    let pool = GrowingPool::<u64>::with_config(config(1).growth_strategy(strategy).build().unwrap()).unwrap();
    let _held = pool.allocate(1).unwrap();
    assert!(matches!(pool.allocate(2), Err(Error::OutOfMemory { .. })));
    assert_eq!((pool.statistics().growth_events, pool.statistics().failed_allocations), (0, 1));
}

#[test]
fn rates_are_shares() {
    let pool = FixedPool::new(4).unwrap();
    assert_eq!((pool.statistics().utilization_rate(), pool.statistics().success_rate()), (0.0, 1.0));
    let handles = [1, 2, 3].map(|value| pool.allocate(value).unwrap());
    let statistics = pool.statistics();
    assert_eq!((statistics.utilization_rate(), statistics.average_usage()), (0.75, 1.0));
    drop(handles);
    assert_eq!((pool.statistics().peak_utilization_rate(), pool.statistics().average_usage()), (0.75, 0.6));
    assert!(pool.allocate_batch([0; 5]).is_err());
    assert_eq!(pool.statistics().success_rate(), 0.75);
    assert_eq!(PoolStatistics::default().utilization_rate(), 0.0);
}

#[test]
fn collector_keeps_the_whole_time_in_bounded_memory() {
    let pool = FixedPool::<u8>::new(4).unwrap();
    let mut collector = StatisticsCollector::new(10);
    assert_eq!((collector.average_usage(), collector.peak_usage()), (0.0, 0));
    let mut handles = Vec::new();
    for second in 0..1_000 {
        // A second with one object, then one with none.
        match second % 2 {
            0 => handles.push(pool.allocate(0).unwrap()),
            _ => handles.clear(),
        }
        collector.record(Duration::from_secs(second), pool.statistics());
        assert!(collector.snapshots().len() <= 10);
    }
    let times: Vec<_> = collector.snapshots().iter().map(|(time, _)| time.as_secs()).collect();
    assert!(times[0] == 0 && times.len() >= 5 && *times.last().unwrap() >= 800, "{times:?}");
    assert!(times.windows(3).all(|times| times[2] - times[1] == times[1] - times[0]), "{times:?}");
    assert!((collector.average_usage() - 500.0 / 999.0).abs() < 1e-9 && collector.peak_usage() == 1);
}

#[test]
fn reports_are_aligned_and_escaped() {
    let pool = FixedPool::<u64>::new(1_000).unwrap();
    let mut held: Vec<_> = (0..250).map(|number| pool.allocate(number).unwrap()).collect();
    held.truncate(100);
    let reporter = StatisticsReporter::new()
        .pool("requests", pool.statistics())
        .pool("a \"quoted\"\\name\nof two lines", PoolStatistics::default());
    let one = StatisticsReporter::new().pool("requests", pool.statistics());
    drop(held);

    let text = one.text();
    let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    assert!(text.lines().next().unwrap().ends_with("requests"));
    assert!(text.contains("100 (10.0 %)") && text.contains("250 (25.0 %)"), "{text}");
    assert_eq!(
        PoolStatistics::default().to_string(),
        StatisticsReporter::new().pool("pool", PoolStatistics::default()).text()
    );

    let prometheus = reporter.prometheus();
    let samples = prometheus.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!((prometheus.lines().count(), samples), (40, 20), "two lines of comment and two samples for each metric");
    assert!(prometheus.ends_with('\n'));
    assert!(
        prometheus.contains(
            "# TYPE fastalloc_allocations_total counter\nfastalloc_allocations_total{pool=\"requests\"} 250\n"
        )
    );
    assert!(prometheus.contains(r#"fastalloc_capacity_slots{pool="a \"quoted\"\\name\nof two lines"} 0"#));
    for line in prometheus.lines().filter(|line| line.starts_with("# TYPE")) {
        let [_, _, name, kind] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
    }
}
