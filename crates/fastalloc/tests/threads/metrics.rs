//! What is published of pools that threads share.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fastalloc::Sharing;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::support::{config, on_every_shared_pool, rounds, together};

on_every_shared_pool! {
    counters_add_up_whoever_publishes
    nothing_passes_for_given_back_that_is_held
}

fn counters_add_up_whoever_publishes<K: Sharing>() {
    let recorder = DebuggingRecorder::new();
    let pool = crate::support::build::<u64, K>(config(100).name("jobs"));
    let times = rounds(500, 10);
    together(3, |number| {
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..times {
                // What is counted while others publish or reset is not lost.
                drop(pool.allocate(1).unwrap());
                if number == 0 {
                    pool.reset_statistics();
                } else {
                    pool.publish_metrics();
                }
            }
        });
    });
    metrics::with_local_recorder(&recorder, || pool.publish_metrics());
    let counters = counters(&recorder);
    for name in ["fastalloc_allocations_total", "fastalloc_deallocations_total"] {
        assert_eq!(counters[name], 3 * times as u64, "{name}");
    }
}

/// The counters by name, and what they have counted since they were read.
fn counters(recorder: &DebuggingRecorder) -> BTreeMap<String, u64> {
    let metrics = recorder.snapshotter().snapshot().into_vec();
    let counts = metrics.into_iter().filter_map(|(key, _, _, value)| match value {
        DebugValue::Counter(count) => Some((key.key().name().to_owned(), count)),
        _ => None,
    });
    counts.collect()
}

fn nothing_passes_for_given_back_that_is_held<K: Sharing>() {
    let recorder = DebuggingRecorder::new();
    for _ in 0..rounds(1_000, 5) {
        let pool = crate::support::build::<u64, K>(config(8).name("held"));
        let held = Mutex::new(Vec::new());
        together(2, |number| {
            if number == 0 {
                let handles: Vec<_> = (0..8).map(|value| pool.allocate(value).unwrap()).collect();
                held.lock().unwrap().extend(handles);
            } else {
                metrics::with_local_recorder(&recorder, || pool.publish_metrics());
            }
        });
    }
    assert_eq!(counters(&recorder)["fastalloc_deallocations_total"], 0);
}
