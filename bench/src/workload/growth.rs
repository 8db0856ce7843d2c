//! What does it cost not to know how many objects there will be?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
};

/// Allocate many objects from a pool that was made for few.
#[derive(Clone, Copy, Debug)]
pub struct Grow {
    /// How many objects the pool is made for.
    pub from: usize,
    /// How many objects there are at last.
    pub to: usize,
}

impl Workload for Grow {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.from);
        black_box(&pool);
        let mut handles = Vec::with_capacity(self.to);
        let start = Instant::now();
        for tag in 0..self.to as u64 {
            handles.push(pool.allocate(Object::new(opaque(tag))));
        }
        let duration = start.elapsed();
        check(&pool, handles);
        Sample::of_one_thread(duration, self.to)
    }
}

/// Reads and releases objects with the tags from 0 on.
pub(super) fn check<'p, const WORDS: usize, C: Candidate<WORDS>>(pool: &'p C, handles: Vec<C::Handle<'p>>) {
    let written = handles.len() as u64;
    let mut sum = 0_u64;
    for handle in handles {
        sum = sum.wrapping_add(pool.read(&handle));
        pool.release(handle);
    }
    assert!(sum == written * (written - 1) / 2, "what was read was written");
}
