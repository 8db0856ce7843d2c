//! How near to each other are objects after a while?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, Workload};
use crate::{
    candidate::{Candidate, Traverse},
    object::{Object, opaque},
    random::Random,
};

/// Keep a list of objects, of which random ones go and fresh ones come at its end; then read all objects.
#[derive(Clone, Copy, Debug)]
pub struct TraverseAfterChurn {
    /// How many objects.
    pub alive: usize,
    /// How often a third of them is replaced.
    pub churns: usize,
    /// How often the objects are read.
    pub sweeps: usize,
}

impl Workload for TraverseAfterChurn {
    /// Reads the objects in the order of the list.
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.alive);
        black_box(&pool);
        let Churned { handles, expected } = self.churn(&pool);
        let sample = self.time(expected, || sweep(&pool, &handles));
        handles.into_iter().for_each(|handle| pool.release(handle));
        sample
    }
}

impl TraverseAfterChurn {
    /// Reads the objects in the order that the pool chooses.
    pub fn section_of_own_way<const WORDS: usize, C: Traverse<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.alive);
        black_box(&pool);
        let Churned { mut handles, expected } = self.churn(&pool);
        C::arrange(&mut handles);
        let sample = self.time(expected, || pool.sum(&handles));
        handles.into_iter().for_each(|handle| pool.release(handle));
        sample
    }

    fn churn<'p, const WORDS: usize, C: Candidate<WORDS>>(&self, pool: &'p C) -> Churned<C::Handle<'p>> {
        let mut random = Random::new(4);
        let (mut next, mut released) = (0, 0_u64);
        let mut handles = Vec::with_capacity(self.alive);
        for churn in 0..=self.churns {
            if churn > 0 {
                let before = core::mem::replace(&mut handles, Vec::with_capacity(self.alive));
                for handle in before {
                    if random.below(3) == 0 {
                        released += pool.read(&handle);
                        pool.release(handle);
                    } else {
                        handles.push(handle);
                    }
                }
            }
            while handles.len() < self.alive {
                handles.push(pool.allocate(Object::new(opaque(next))));
                next += 1;
            }
        }
        Churned { handles, expected: next * (next - 1) / 2 - released }
    }

    /// Times a function that reads all objects and returns the sum of their tags.
    fn time(&self, expected: u64, sweep: impl Fn() -> u64) -> Sample {
        assert!(sweep() == expected, "what was read was written");
        let mut sum = 0_u64;
        let start = Instant::now();
        for _ in 0..self.sweeps {
            sum = sum.wrapping_add(sweep());
        }
        let duration = start.elapsed();
        assert!(sum == expected * self.sweeps as u64, "what was read was written");
        Sample::of_one_thread(duration, self.alive * self.sweeps)
    }
}

/// A list of objects after the churn.
struct Churned<H> {
    handles: Vec<H>,
    /// The sum of their tags.
    expected: u64,
}

#[inline(never)]
fn sweep<'p, const WORDS: usize, C: Candidate<WORDS>>(pool: &'p C, handles: &[C::Handle<'p>]) -> u64 {
    handles.iter().fold(0, |sum, handle| sum.wrapping_add(pool.read(handle)))
}
