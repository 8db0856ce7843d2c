//! What is published of pools that threads share.

use fastalloc::Sharing;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::support::{config, on_every_shared_pool, rounds, together};

on_every_shared_pool! {
    counters_add_up_whoever_publishes
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
    let mut allocations = 0;
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        if let ("fastalloc_allocations_total", DebugValue::Counter(count)) = (key.key().name(), value) {
            allocations += count;
        }
    }
    assert_eq!(allocations, 3 * times as u64);
}
