//! Particles of random lifetimes, very many of them alive: `heap`, or `pools` with the advice followed.
//!
//! One of three programs for `ci/advice_followed.py`, which compares what `fastalloc advise` expects with what comes of
//! it. Here a pool pays: nothing is done but to replace particles.

mod advised;

use fastalloc::{FixedPool, Poolable};

struct Particle {
    position: [f32; 3],
    velocity: [f32; 3],
    age: u64,
    color: [u8; 32],
}

impl Poolable for Particle {}

impl Particle {
    #[inline(never)]
    fn new(number: u64) -> Self {
        Self { position: [number as f32; 3], velocity: [1.0; 3], age: number, color: [number as u8; 32] }
    }
}

const ALIVE: usize = 100_000;

fn main() {
    let run = advised::Run::from_arguments();
    match run.with_pools {
        false => run.time(on_heap),
        true => run.time(in_pool),
    }
}

/// Replaces random particles, and returns something that depends on all of them.
macro_rules! simulate {
    ($steps:expr, $new:expr) => {{
        let mut random = advised::Random::new();
        let mut particles: Vec<_> = (0..ALIVE as u64).map($new).collect();
        let mut sum = 0_u64;
        for number in 0..$steps {
            let at = random.below(ALIVE);
            let old = std::mem::replace(&mut particles[at], $new(number));
            sum = sum.wrapping_add(old.age + u64::from(old.color[5]) + (old.position[1] + old.velocity[2]) as u64);
        }
        sum
    }};
}

fn on_heap(steps: u64) -> u64 {
    simulate!(steps, spawn_on_heap)
}

#[inline(never)]
fn spawn_on_heap(number: u64) -> Box<Particle> {
    Box::new(Particle::new(number))
}

/// As advised: at most 100,001 are alive at once, and some room.
fn in_pool(steps: u64) -> u64 {
    let pool = FixedPool::new(125_002).expect("there is memory for a few megabytes");
    simulate!(steps, |number| pool.allocate(Particle::new(number)).expect("no more are alive than were recorded"))
}
