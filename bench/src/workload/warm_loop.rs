//! How fast is a pool that works from its cache?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
};

/// Allocate one object, read it, release it, again and again.
#[derive(Clone, Copy, Debug)]
pub struct WarmLoop {
    /// How many objects.
    pub iterations: usize,
}

/// A pool is not made for one object.
pub(super) const CAPACITY: usize = 1_024;

impl Workload for WarmLoop {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        warm_loop(&pool, self.iterations / 10);
        let start = Instant::now();
        warm_loop(&pool, self.iterations);
        Sample::of_one_thread(start.elapsed(), self.iterations)
    }
}

/// Allocates, reads and releases one object after the other.
#[inline(never)]
pub fn warm_loop<const WORDS: usize, C: Candidate<WORDS>>(pool: &C, iterations: usize) {
    let iterations = iterations as u64;
    let mut sum = 0_u64;
    let mut tag = 0;
    while tag < iterations {
        tag = opaque(tag);
        let handle = pool.allocate(Object::new(tag));
        sum = sum.wrapping_add(pool.read(&handle));
        pool.release(handle);
        tag += 1;
    }
    assert!(sum == iterations * iterations.saturating_sub(1) / 2, "what was read was written");
}
