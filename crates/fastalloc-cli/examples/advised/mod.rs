//! What the programs have in common that follow advice: their arguments, random numbers, a clock.

use std::time::Instant;

/// How the program is run: `heap` or `pools`, and the number of steps.
pub(crate) struct Run {
    pub(crate) with_pools: bool,
    steps: u64,
}

impl Run {
    pub(crate) fn from_arguments() -> Self {
        let mut arguments = std::env::args().skip(1);
        let with_pools = match arguments.next().as_deref() {
            Some("heap") => false,
            Some("pools") => true,
            _ => panic!("arguments: heap or pools, and the number of steps"),
        };
        let steps = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(1_000_000);
        Self { with_pools, steps }
    }

    /// Prints how long the steps took, in nanoseconds, and what they have come to.
    pub(crate) fn time(&self, run: impl FnOnce(u64) -> u64) {
        let start = Instant::now();
        let result = run(self.steps);
        println!("{} {result}", start.elapsed().as_nanos());
    }
}

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(7)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 32) as usize * limit) >> 32
    }
}
