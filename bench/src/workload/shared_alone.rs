//! What does a pool that threads could share cost a thread that is alone?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, SharedWorkload, warm_loop};
use crate::{
    candidate::shared::{Handle, Shared},
    object::{Object, opaque},
};

/// As [`WarmLoop`](super::WarmLoop), on a pool that other threads could use.
#[derive(Clone, Copy, Debug)]
pub struct SharedWarmLoop {
    /// How many objects.
    pub iterations: usize,
}

impl SharedWorkload for SharedWarmLoop {
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Sample {
        let pool = C::with_capacity(warm_loop::CAPACITY);
        black_box(&pool);
        shared_warm_loop(&pool, self.iterations / 10);
        let start = Instant::now();
        shared_warm_loop(&pool, self.iterations);
        Sample::of_one_thread(start.elapsed(), self.iterations)
    }
}

/// Allocates, reads and releases one object after the other.
#[inline(never)]
pub fn shared_warm_loop<const WORDS: usize, C: Shared<WORDS>>(pool: &C, iterations: usize) {
    let iterations = iterations as u64;
    let mut sum = 0_u64;
    let mut tag = 0;
    while tag < iterations {
        tag = opaque(tag);
        let handle = pool.allocate(Object::new(tag));
        sum = sum.wrapping_add(handle.read());
        drop(handle);
        tag += 1;
    }
    assert!(sum == iterations * iterations.saturating_sub(1) / 2, "what was read was written");
}
