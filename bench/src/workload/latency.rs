//! How long does a single operation take at worst?

use core::{
    hint::black_box,
    mem,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{Sample, Workload, growth};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
    random::Random,
};

/// The percentiles that are looked at; the last one is the maximum.
pub const PERCENTILES: [f64; 5] = [50.0, 99.0, 99.9, 99.99, 100.0];

/// Replace a random one of many objects: a fresh one is allocated, and the old one is read and released. Each
/// replacement is timed by itself, the timer included.
#[derive(Clone, Copy, Debug)]
pub struct ReplacementLatency {
    /// How many objects.
    pub alive: usize,
    /// How many replacements are timed. As many as there are objects, untimed, come before.
    pub replacements: usize,
    /// Whether there are threads that work on all cores at the same time.
    pub loaded: bool,
}

impl Workload for ReplacementLatency {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let measure = || latencies_of_replacing::<WORDS, C>(self.alive, self.replacements);
        percentiles(&if self.loaded { under_load(measure) } else { measure() })
    }
}

fn latencies_of_replacing<const WORDS: usize, C: Candidate<WORDS>>(
    alive: usize,
    replacements: usize,
) -> Histogram<u64> {
    let pool = C::with_capacity(alive + 1);
    black_box(&pool);
    let mut random = Random::new(5);
    let mut histogram = histogram();
    let mut handles = Vec::with_capacity(alive);
    for tag in 0..alive as u64 {
        handles.push(pool.allocate(Object::new(opaque(tag))));
    }

    let written = (2 * alive + replacements) as u64;
    let mut sum = 0_u64;
    for tag in alive as u64..written {
        let index = random.below(alive);
        let start = Instant::now();
        let fresh = pool.allocate(Object::new(opaque(tag)));
        let old = mem::replace(&mut handles[index], fresh);
        sum = sum.wrapping_add(pool.read(&old));
        pool.release(old);
        let duration = start.elapsed();
        if tag >= 2 * alive as u64 {
            record(&mut histogram, duration);
        }
    }
    for handle in handles {
        sum = sum.wrapping_add(pool.read(&handle));
        pool.release(handle);
    }
    assert!(sum == written * (written - 1) / 2, "what was read was written");
    histogram
}

/// Allocate many objects from a pool that was made for few, each timed by itself, the timer included.
#[derive(Clone, Copy, Debug)]
pub struct GrowthLatency {
    /// How many objects the pool is made for.
    pub from: usize,
    /// How many objects there are at last.
    pub to: usize,
}

impl Workload for GrowthLatency {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let pool = C::with_capacity(self.from);
        black_box(&pool);
        let mut histogram = histogram();
        let mut handles = Vec::with_capacity(self.to);
        for tag in 0..self.to as u64 {
            let start = Instant::now();
            let handle = pool.allocate(Object::new(opaque(tag)));
            let duration = start.elapsed();
            handles.push(handle);
            record(&mut histogram, duration);
        }
        growth::check(&pool, handles);
        percentiles(&histogram)
    }
}

/// Returns the percentiles of the timer alone, in nanoseconds.
pub fn timer() -> Vec<f64> {
    let mut histogram = histogram();
    for _ in 0..100_000 {
        let start = Instant::now();
        record(&mut histogram, start.elapsed());
    }
    percentiles(&histogram).figures
}

/// Up to a minute, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that a histogram can have")
}

#[inline(always)]
fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    // The histogram counts from 1, and no timer is that fast.
    histogram.saturating_record((duration.as_nanos() as u64).max(1));
}

fn percentiles(histogram: &Histogram<u64>) -> Sample {
    let figures = PERCENTILES.map(|percentile| histogram.value_at_percentile(percentile) as f64);
    Sample { figures: figures.to_vec(), calm: true }
}

/// How many words each thread of the load works on: more than a core's own caches hold.
const LOAD: usize = 4 << 20;

/// Runs `measure` while as many threads as there are cores change memory.
fn under_load<R>(measure: impl FnOnce() -> R) -> R {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    let (started, done) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut words = vec![1_u64; LOAD];
                started.wait();
                while !done.load(Ordering::Relaxed) {
                    words.iter_mut().step_by(8).for_each(|word| *word += 1);
                    black_box(&mut words);
                }
            });
        }
        started.wait();
        let done = Done(&done);
        let result = measure();
        drop(done);
        result
    })
}

/// Ends the load, also if a section panics.
struct Done<'d>(&'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
