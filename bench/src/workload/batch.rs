//! How fast are many objects at once?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload, warm_loop::CAPACITY};
use crate::candidate::Candidate;

/// Allocate some objects at once, in a fresh `Vec`, then read and release them.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// How many objects.
    pub batch: usize,
    /// How often.
    pub cycles: usize,
}

impl Workload for Batches {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        batches(&pool, self.batch, self.cycles / 10);
        let start = Instant::now();
        batches(&pool, self.batch, self.cycles);
        Sample::of_one_thread(start.elapsed(), self.batch * self.cycles)
    }
}

#[inline(never)]
fn batches<const WORDS: usize, C: Candidate<WORDS>>(pool: &C, batch: usize, cycles: usize) {
    let mut sum = 0_u64;
    for _ in 0..cycles {
        for handle in pool.allocate_batch(0..batch) {
            sum = sum.wrapping_add(pool.read(&handle));
            pool.release(handle);
        }
    }
    let written = cycles * (batch * (batch - 1) / 2);
    assert!(sum == written as u64, "what was read was written");
}
