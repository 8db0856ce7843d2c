//! Fireworks: emitters that burst into more particles than the pool has room for.
//!
//! ```text
//! cargo run --release --example particle_system
//! ```
//!
//! An effect must not stop a game, so a particle system has a fixed budget, and a policy for when it is spent. The
//! same show, from the same seed, runs under two of them: with `skip` new particles do not appear, with `oldest`
//! they take the place of the oldest ones. The table counts what became of the particles; the pictures show the sky
//! at the same moment, right after a burst. The more particles are in a place, the heavier its mark.

use std::collections::VecDeque;
use std::error::Error;
use std::f32::consts::TAU;
use std::ops::Range;

use fastalloc::{FixedPool, OwnedHandle, Poolable};

const CAPACITY: usize = 1_200;
const FRAMES: u32 = 312;
const SECONDS_PER_FRAME: f32 = 1.0 / 60.0;
const FRAMES_PER_ROCKET: u32 = 30;
const PARTICLES_PER_BURST: usize = 320;
const PARTICLES_PER_FRAME: usize = 3;

const WIDTH: usize = 96;
const HEIGHT: usize = 26;

fn main() -> Result<(), Box<dyn Error>> {
    let pool = FixedPool::new(CAPACITY)?;
    let mut pictures = Vec::new();
    println!("{FRAMES} frames, at most {CAPACITY} particles of {} bytes\n", size_of::<Particle>());
    println!("{:<8} {:>9} {:>9} {:>9} {:>9} {:>11}", "policy", "emitted", "skipped", "replaced", "faded", "in the sky");
    for policy in [Policy::Skip, Policy::DropOldest] {
        let mut show = Show::new(&pool, policy);
        (0..FRAMES).try_for_each(|frame| show.frame(frame))?;
        let Counts { emitted, skipped, replaced, faded } = show.counts;
        println!("{:<8} {emitted:>9} {skipped:>9} {replaced:>9} {faded:>9} {:>11}", policy.name(), pool.allocated());
        pictures.push((policy, show.picture()));
    }
    for (policy, picture) in pictures {
        println!("\npolicy: {}\n{picture}", policy.name());
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Policy {
    /// A particle for which there is no room does not appear.
    Skip,
    /// It takes the place of the oldest one.
    DropOldest,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::DropOldest => "oldest",
        }
    }
}

struct Particle {
    position: [f32; 2],
    velocity: [f32; 2],
    /// Share of its speed that it keeps in a second.
    drag: f32,
    seconds_left: f32,
}

impl Poolable for Particle {}

#[derive(Default)]
struct Counts {
    emitted: usize,
    skipped: usize,
    replaced: usize,
    faded: usize,
}

/// The sky is 2 wide and 1 high.
struct Show<'pool> {
    pool: &'pool FixedPool<Particle>,
    policy: Policy,
    /// The oldest first.
    particles: VecDeque<OwnedHandle<'pool, Particle>>,
    random: Random,
    counts: Counts,
}

impl<'pool> Show<'pool> {
    fn new(pool: &'pool FixedPool<Particle>, policy: Policy) -> Self {
        Self { pool, policy, particles: VecDeque::new(), random: Random(2026), counts: Counts::default() }
    }

    fn frame(&mut self, frame: u32) -> fastalloc::Result<()> {
        for particle in &mut self.particles {
            particle.step();
        }
        let before = self.particles.len();
        self.particles.retain(|particle| particle.seconds_left > 0.0);
        self.counts.faded += before - self.particles.len();

        self.fountain(0.25)?;
        self.fountain(1.75)?;
        if frame % FRAMES_PER_ROCKET == 0 {
            self.burst()?;
        }
        Ok(())
    }

    fn fountain(&mut self, x: f32) -> fastalloc::Result<()> {
        for _ in 0..PARTICLES_PER_FRAME {
            let velocity = [self.random.between(-0.12..0.12), self.random.between(0.5..0.65)];
            let seconds_left = self.random.between(1.5..2.2);
            self.emit(Particle { position: [x, 0.0], velocity, drag: 0.9, seconds_left })?;
        }
        Ok(())
    }

    fn burst(&mut self) -> fastalloc::Result<()> {
        let position = [self.random.between(0.4..1.6), self.random.between(0.6..0.85)];
        for _ in 0..PARTICLES_PER_BURST {
            let (angle, speed) = (self.random.between(0.0..TAU), self.random.between(0.25..0.4));
            let velocity = [speed * angle.cos(), speed * angle.sin()];
            let seconds_left = self.random.between(1.5..4.0);
            self.emit(Particle { position, velocity, drag: 0.2, seconds_left })?;
        }
        Ok(())
    }

    fn emit(&mut self, particle: Particle) -> fastalloc::Result<()> {
        if self.pool.is_full() {
            match self.policy {
                Policy::Skip => {
                    self.counts.skipped += 1;
                    return Ok(());
                }
                Policy::DropOldest => {
                    self.counts.replaced += 1;
                    self.particles.pop_front();
                }
            }
        }
        self.particles.push_back(self.pool.allocate(particle)?);
        self.counts.emitted += 1;
        Ok(())
    }

    fn picture(&self) -> String {
        let mut cells = [[0_usize; WIDTH]; HEIGHT];
        for particle in &self.particles {
            let [x, y] = particle.position;
            let (column, row) = ((x / 2.0 * WIDTH as f32) as usize, ((1.0 - y) * HEIGHT as f32) as usize);
            if let Some(cell) = cells.get_mut(row).and_then(|row| row.get_mut(column)) {
                *cell += 1;
            }
        }
        let marks = [' ', '.', ':', '+', '*', '#'];
        let line = |row: &[usize; WIDTH]| row.map(|count| marks[count.min(marks.len() - 1)]).iter().collect::<String>();
        cells.iter().map(|row| format!("|{}|\n", line(row))).collect::<String>() + &"-".repeat(WIDTH + 2)
    }
}

impl Particle {
    fn step(&mut self) {
        const GRAVITY: f32 = 0.15;

        let drag = self.drag.powf(SECONDS_PER_FRAME);
        self.velocity = self.velocity.map(|speed| speed * drag);
        self.velocity[1] -= GRAVITY * SECONDS_PER_FRAME;
        self.position[0] += self.velocity[0] * SECONDS_PER_FRAME;
        self.position[1] = (self.position[1] + self.velocity[1] * SECONDS_PER_FRAME).max(0.0);
        self.seconds_left -= SECONDS_PER_FRAME;
    }
}

/// The generator `xorshift64*`.
struct Random(u64);

impl Random {
    fn between(&mut self, range: Range<f32>) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        range.start + (range.end - range.start) * (bits as f32 / (1 << 24) as f32)
    }
}
