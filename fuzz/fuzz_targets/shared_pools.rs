//! Arbitrary programs for pools that threads share, from two threads of which one waits for the other, against a model.
#![no_main]

use fastalloc_fuzz::{Setup, SharedKind, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: (SharedKind, Setup, Vec<Step>)| {
    let (kind, setup, steps) = program;
    kind.run(setup, &steps);
});
