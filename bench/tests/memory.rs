//! What an object takes, in a process of its own.
#![cfg(target_os = "linux")]

use fastalloc_bench::{candidate::ours::Fixed, workload::BytesPerObject};

#[test]
fn object_takes_at_least_its_size() {
    let bytes = BytesPerObject.measure_here::<8, Fixed<8>>();
    assert!(bytes.resident >= 64.0, "{bytes:?}");
    assert!(bytes.resident_after >= 0.0, "{bytes:?}");
    assert!(bytes.reserved >= 64.0, "{bytes:?}");
    assert!(bytes.handle == size_of::<usize>() as f64, "{bytes:?}");
}
