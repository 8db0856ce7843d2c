//! What does a large object cost that is built where it is to stay?

use core::hint::black_box;
use std::time::Instant;

use super::Sample;
use crate::{candidate::InPlace, object::opaque};

/// Build one object in the memory where it is to stay, read it, release it, again and again.
#[derive(Clone, Copy, Debug)]
pub struct BuildInPlace {
    /// How many objects.
    pub iterations: usize,
}

/// A pool is not made for one object.
const CAPACITY: usize = 64;

impl BuildInPlace {
    /// Runs one section, as [`Workload::section`](super::Workload::section) does.
    pub fn section<const WORDS: usize, C: InPlace<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        build_loop(&pool, self.iterations / 10);
        let start = Instant::now();
        build_loop(&pool, self.iterations);
        Sample::of_one_thread(start.elapsed(), self.iterations)
    }
}

/// Builds, reads and releases one object after the other.
#[inline(never)]
fn build_loop<const WORDS: usize, C: InPlace<WORDS>>(pool: &C, iterations: usize) {
    let iterations = iterations as u64;
    let mut sum = 0_u64;
    let mut tag = 0;
    while tag < iterations {
        tag = opaque(tag);
        let handle = pool.allocate_in_place(tag);
        sum = sum.wrapping_add(pool.read(&handle));
        pool.release(handle);
        tag += 1;
    }
    assert!(sum == iterations * iterations.saturating_sub(1) / 2, "what was read was written");
}
