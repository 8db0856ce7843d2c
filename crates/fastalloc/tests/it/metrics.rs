//! What is published through the facade `metrics`.

use std::collections::BTreeMap;

use fastalloc::{Allocator, FixedPool, GrowingPool, GrowthStrategy, Kind, PoolConfig};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::support::{build, config, on_every_pool};

on_every_pool! {
    gauges_and_counters_follow_the_statistics
}

/// Calls `f` while what is published is recorded.
fn recorded(f: impl FnOnce(&Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || f(&snapshotter));
}

/// Name and label, value and description. Counters are those since the last call.
fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let read = |(key, _, help, value): (metrics_util::CompositeKey, _, Option<metrics::SharedString>, _)| {
        assert!(help.is_some(), "{key:?} is not described");
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("no histograms are published"),
        };
        (format!("{} {}", key.key().name(), labels.join(" ")), value)
    };
    snapshotter.snapshot().into_vec().into_iter().map(read).collect()
}

fn gauges_and_counters_follow_the_statistics<A: Allocator + Default, K: Kind>() {
    recorded(|snapshotter| {
        let pool = build::<u64, A, K>(config(2).name("requests"));
        let one = pool.allocate(1).unwrap();
        pool.publish_metrics();
        let metrics = snapshot(snapshotter);
        let names = [
            "fastalloc_allocations_total",
            "fastalloc_capacity_slots",
            "fastalloc_deallocations_total",
            "fastalloc_failed_allocations_total",
            "fastalloc_growths_total",
            "fastalloc_occupied_slots",
            "fastalloc_occupied_slots_average",
            "fastalloc_occupied_slots_peak",
            "fastalloc_recycled_objects_total",
            "fastalloc_reserved_bytes",
        ];
        assert!(metrics.keys().eq(&names.map(|name| format!("{name} pool=requests"))), "{metrics:?}");
        let value = |metrics: &BTreeMap<String, f64>, name: &str| metrics[&format!("fastalloc_{name} pool=requests")];
        assert_eq!((value(&metrics, "capacity_slots"), value(&metrics, "occupied_slots")), (2.0, 1.0));
        assert_eq!(value(&metrics, "reserved_bytes"), pool.bytes_reserved() as f64);

        drop(one);
        drop((pool.allocate(2).unwrap(), pool.allocate(3).unwrap(), pool.allocate(4).unwrap_err()));
        pool.publish_metrics();
        let metrics = snapshot(snapshotter);
        assert_eq!((value(&metrics, "occupied_slots"), value(&metrics, "occupied_slots_peak")), (0.0, 2.0));
        assert_eq!((value(&metrics, "allocations_total"), value(&metrics, "deallocations_total")), (2.0, 3.0));
        assert_eq!(value(&metrics, "failed_allocations_total"), 1.0);

        // What happened before a reset is counted, once.
        drop(pool.allocate(5).unwrap());
        pool.reset_statistics();
        drop((pool.allocate(6).unwrap(), pool.allocate(7).unwrap()));
        pool.publish_metrics();
        let metrics = snapshot(snapshotter);
        assert_eq!((value(&metrics, "allocations_total"), value(&metrics, "deallocations_total")), (3.0, 3.0));
        pool.reset_statistics();
        pool.publish_metrics();
        assert_eq!(value(&snapshot(snapshotter), "allocations_total"), 0.0);
    });
}

#[test]
fn counts_of_before_a_reset_are_published() {
    recorded(|snapshotter| {
        let config =
            PoolConfig::builder().capacity(1).growth_strategy(GrowthStrategy::Linear { amount: 1 }).name("new");
        let pool = GrowingPool::with_config(config.reset_fn(|| 0, |_| ()).build().unwrap()).unwrap();
        let acquire = |count| drop((0..count).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
        acquire(2);
        acquire(1);
        pool.reset_statistics();
        acquire(3);
        pool.publish_metrics();
        let metrics = snapshot(snapshotter);
        let value = |name: &str| metrics[&format!("fastalloc_{name}_total pool=new")];
        assert_eq!((value("growths"), value("recycled_objects")), (2.0, 3.0));
    });
}

#[test]
fn pool_without_a_name_is_called_after_its_objects() {
    recorded(|snapshotter| {
        FixedPool::<u64>::new(1).unwrap().publish_metrics();
        assert!(snapshot(snapshotter).contains_key("fastalloc_capacity_slots pool=u64"));
    });
}
