//! How fast does a pool fill up, and how fast does it take everything back?

use core::hint::black_box;
use std::time::{Duration, Instant};

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
    random::Random,
};

/// Allocate many objects, then read and release all of them. An operation is both.
#[derive(Clone, Copy, Debug)]
pub struct FillAndDrain {
    /// How many objects.
    pub alive: usize,
    /// Which is released first.
    pub order: Order,
    /// How often.
    pub cycles: usize,
}

/// The order in which objects are released.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// The newest first: last in, first out.
    Newest,
    /// The oldest first: first in, first out.
    Oldest,
    /// Any.
    Shuffled,
}

impl Workload for FillAndDrain {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.alive);
        black_box(&pool);
        let mut random = Random::new(1);
        let mut handles = Vec::with_capacity(self.alive);
        let mut duration = Duration::ZERO;
        for cycle in 0..=self.cycles {
            let start = Instant::now();
            for tag in 0..self.alive as u64 {
                handles.push(pool.allocate(Object::new(opaque(tag))));
            }
            let filled = start.elapsed();

            // Not timed, and leaves the handles in the cache for all: what is compared is how
            // the pools bear the order, not how the program made it.
            match self.order {
                Order::Newest => {}
                Order::Oldest => handles.reverse(),
                Order::Shuffled => random.shuffle_tail(&mut handles, self.alive),
            }

            let start = Instant::now();
            let mut sum = 0_u64;
            while let Some(handle) = handles.pop() {
                sum = sum.wrapping_add(pool.read(&handle));
                pool.release(handle);
            }
            let drained = start.elapsed();

            let alive = self.alive as u64;
            assert!(sum == alive * (alive - 1) / 2, "what was read was written");
            // The first cycle touches the memory.
            if cycle > 0 {
                duration += filled + drained;
            }
        }
        Sample::of_one_thread(duration, self.alive * self.cycles)
    }
}
