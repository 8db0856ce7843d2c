//! How fast is a pool whose objects come and go in no order?

use core::{hint::black_box, mem};
use std::time::Instant;

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
    random::Random,
};

/// Put a fresh object into the place of a random one, as `objects[i] = pool.allocate(...)` does:
/// the fresh one is allocated first, then the old one is read and released.
#[derive(Clone, Copy, Debug)]
pub struct RandomReplacement {
    /// How many objects.
    pub alive: usize,
    /// How many replacements are timed. As many as there are objects, untimed, come before.
    pub replacements: usize,
}

impl Workload for RandomReplacement {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.alive + 1);
        black_box(&pool);
        let mut random = Random::new(2);
        let mut next_tag = 0;
        let mut handles = Vec::with_capacity(self.alive);
        for _ in 0..self.alive {
            handles.push(pool.allocate(Object::new(opaque(next_tag))));
            next_tag += 1;
        }

        // The sum of the tags that were read, of all objects at last.
        let mut sum = replace(&pool, &mut handles, &mut random, &mut next_tag, self.alive);
        let start = Instant::now();
        sum = sum.wrapping_add(replace(&pool, &mut handles, &mut random, &mut next_tag, self.replacements));
        let duration = start.elapsed();

        for handle in handles {
            sum = sum.wrapping_add(pool.read(&handle));
            pool.release(handle);
        }
        assert!(sum == next_tag * (next_tag - 1) / 2, "what was read was written");
        Sample::of_one_thread(duration, self.replacements)
    }
}

/// Replaces `count` random objects, and returns the sum of the tags of the old ones.
///
/// A function of its own with its state in local variables: otherwise it would depend on the size of a
/// candidate's code whether the compiler keeps them in registers or in memory.
#[inline(never)]
fn replace<'p, const WORDS: usize, C: Candidate<WORDS>>(
    pool: &'p C,
    handles: &mut [C::Handle<'p>],
    random: &mut Random,
    next_tag: &mut u64,
    count: usize,
) -> u64 {
    let alive = handles.len();
    let mut state = random.clone();
    let (mut tag, mut sum) = (*next_tag, 0_u64);
    for _ in 0..count {
        let fresh = pool.allocate(Object::new(opaque(tag)));
        tag += 1;
        let old = mem::replace(&mut handles[state.below(alive)], fresh);
        sum = sum.wrapping_add(pool.read(&old));
        pool.release(old);
    }
    (*random, *next_tag) = (state, tag);
    sum
}
