//! How fast is a pool that two threads use at once?

use core::hint::black_box;

use super::{
    Sample, SharedWorkload, nanoseconds, shared_warm_loop,
    together::{Gate, Together, aside, together},
};
use crate::{
    candidate::shared::{Handle, Shared},
    object::{Object, opaque},
};

/// Two threads, each of which allocates one object, reads it, releases it, again and again.
#[derive(Clone, Copy, Debug)]
pub struct TwoWarmLoops {
    /// How many objects for each thread.
    pub iterations: usize,
}

/// Two threads, each of which allocates some objects, then reads and releases them, the newest first.
#[derive(Clone, Copy, Debug)]
pub struct TwoBatches {
    /// How many objects.
    pub batch: usize,
    /// How often.
    pub cycles: usize,
}

/// More than both threads need.
const CAPACITY: usize = 1_024;

impl SharedWorkload for TwoWarmLoops {
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Sample {
        two_threads::<WORDS, C>(self.iterations, shared_warm_loop)
    }
}

impl SharedWorkload for TwoBatches {
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Sample {
        assert!(2 * self.batch <= CAPACITY, "room for both threads");
        two_threads::<WORDS, C>(self.batch * self.cycles, |pool, objects| batches(pool, self.batch, objects))
    }
}

/// Lets two threads do the same work at once, after a tenth of it each.
fn two_threads<const WORDS: usize, C: Shared<WORDS> + Sync>(objects: usize, work: impl Fn(&C, usize) + Sync) -> Sample {
    let Together { duration, calm } = aside(|| {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        let (pool, work) = (&pool, &work);
        let job = |gate: &Gate| {
            work(pool, objects / 10);
            gate.time(|| work(pool, objects))
        };
        together(job, job)
    });
    Sample { figures: vec![nanoseconds(duration, objects)], calm }
}

/// Fills and drains `batch` slots as often as it takes to make `objects` objects.
#[inline(never)]
fn batches<const WORDS: usize, C: Shared<WORDS>>(pool: &C, batch: usize, objects: usize) {
    let mut handles = Vec::with_capacity(batch);
    let mut sum = 0_u64;
    let cycles = objects.div_ceil(batch) as u64;
    for _ in 0..cycles {
        for tag in 0..batch as u64 {
            handles.push(pool.allocate(Object::new(opaque(tag))));
        }
        while let Some(handle) = handles.pop() {
            sum = sum.wrapping_add(handle.read());
            drop(handle);
        }
    }
    let batch = batch as u64;
    assert!(sum == cycles * (batch * (batch - 1) / 2), "what was read was written");
}
