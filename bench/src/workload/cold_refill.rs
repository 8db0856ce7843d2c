//! How long does allocating wait for memory that is not in the cache?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload, nanoseconds};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
    random::Random,
};

/// Release random objects of many, then allocate as many again: the slots are cold and all over
/// the pool. The times are that of allocating, and that of both.
#[derive(Clone, Copy, Debug)]
pub struct ColdRefill {
    /// How many objects.
    pub alive: usize,
    /// How many of them are released and allocated again.
    pub refilled: usize,
}

impl Workload for ColdRefill {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.alive);
        black_box(&pool);
        let mut handles = Vec::with_capacity(self.alive);
        for tag in 0..self.alive as u64 {
            handles.push(pool.allocate(Object::new(opaque(tag))));
        }
        // Not timed: moves handles, and looks at no object.
        Random::new(3).shuffle_tail(&mut handles, self.refilled);
        let kept = self.alive - self.refilled;

        let mut released = 0_u64;
        let start = Instant::now();
        for _ in 0..self.refilled {
            let handle = handles.pop().expect("an object");
            released = released.wrapping_add(pool.read(&handle));
            pool.release(handle);
        }
        let release = start.elapsed();
        assert_eq!(handles.len(), kept);

        let start = Instant::now();
        for index in 0..self.refilled as u64 {
            handles.push(pool.allocate(Object::new(opaque(self.alive as u64 + index))));
        }
        let refill = start.elapsed();

        let sum = handles.into_iter().fold(released, |sum, handle| {
            let tag = pool.read(&handle);
            pool.release(handle);
            sum.wrapping_add(tag)
        });
        let written = (self.alive + self.refilled) as u64;
        assert!(sum == written * (written - 1) / 2, "what was read was written");
        let figures = [refill, release + refill].map(|duration| nanoseconds(duration, self.refilled));
        Sample { figures: figures.to_vec(), calm: true }
    }
}
