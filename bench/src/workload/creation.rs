//! What does a pool cost before it is used?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
};

/// Make a pool, allocate, read and release one object, drop the pool. All of it is one operation.
#[derive(Clone, Copy, Debug)]
pub struct Create {
    /// How many objects there is room for.
    pub capacity: usize,
}

impl Workload for Create {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let start = Instant::now();
        let pool = C::with_capacity(self.capacity);
        black_box(&pool);
        let handle = pool.allocate(Object::new(opaque(1)));
        let tag = pool.read(&handle);
        pool.release(handle);
        drop(pool);
        let duration = start.elapsed();
        assert!(tag == 1, "what was read was written");
        Sample::of_one_thread(duration, 1)
    }
}

/// Make a pool, fill it for the first time, read all objects, release them and drop the pool. The time is that of
/// all, for each object.
#[derive(Clone, Copy, Debug)]
pub struct CreateAndFill {
    /// How many objects.
    pub objects: usize,
}

impl Workload for CreateAndFill {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let mut sum = 0_u64;
        let start = Instant::now();
        let pool = C::with_capacity(self.objects);
        black_box(&pool);
        let mut handles = Vec::with_capacity(self.objects);
        for tag in 0..self.objects as u64 {
            handles.push(pool.allocate(Object::new(opaque(tag))));
        }
        for handle in handles {
            sum = sum.wrapping_add(pool.read(&handle));
            pool.release(handle);
        }
        drop(pool);
        let duration = start.elapsed();
        let objects = self.objects as u64;
        assert!(sum == objects * (objects - 1) / 2, "what was read was written");
        Sample::of_one_thread(duration, self.objects)
    }
}
