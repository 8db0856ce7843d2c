//! Arbitrary programs for pools for one thread, against a model.
#![no_main]

use fastalloc_fuzz::{Kind, Setup, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: (Kind, Setup, Vec<Step>)| {
    let (kind, setup, steps) = program;
    kind.run(setup, &steps);
});
