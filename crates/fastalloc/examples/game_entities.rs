//! A game whose entities come and go all the time: in two kinds of pool, and in boxes.
//!
//! ```text
//! cargo run --release --example game_entities
//! ```
//!
//! Monsters arrive in waves, turrets shoot at them, and what is hit too often falls apart into debris that fades.
//! A frame moves all entities, despawns some and spawns others. The games start from the same seed, run one frame
//! each in turns, and must end in the same state. Several rounds follow one another in the same memory.
//!
//! The table shows how long frames took: `p99.9` is the time that 1 frame of 1,000 exceeds, and `spawning` the part
//! of the mean in which entities are made and destroyed. The rest is the same code for all, but depends on where
//! entities are: a stack hands out again what was released last, wherever it is; a bitmap takes the lowest address,
//! which keeps entities together.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::mem;
use std::ops::{DerefMut, Range};
use std::time::{Duration, Instant};

use fastalloc::{Allocator, BitmapAllocator, FixedPool, OwnedHandle, PoolConfig, Poolable};

const ROUNDS: u32 = if cfg!(debug_assertions) { 1 } else { 3 };
const FRAMES: u32 = if cfg!(debug_assertions) { 200 } else { 700 };
const SEED: u64 = 0x5eed;
const ENTITIES_MAX: usize = 20_480;
const MONSTERS_AT_START: usize = 12_000;
const MONSTERS_PER_WAVE: usize = 2_000;
const FRAMES_PER_WAVE: u32 = 90;
const SHOTS_PER_FRAME: usize = 80;
const DEBRIS_PER_MONSTER: usize = 3;

/// Side of the world, which wraps around, and of the grid that finds what is hit.
const WORLD: f32 = 1_000.0;
const CELLS: usize = 128;

fn main() -> Result<(), Box<dyn Error>> {
    let stack = FixedPool::new(ENTITIES_MAX)?;
    let config = PoolConfig::builder().capacity(ENTITIES_MAX).build()?;
    let bitmap = FixedPool::with_allocator(config, BitmapAllocator::default())?;
    let mut times: [FrameTimes; 3] = Default::default();
    let mut summary = Summary::default();
    for round in 0..ROUNDS {
        let mut games = (Game::new(&stack), Game::new(&bitmap), Game::new(Heap));
        for frame in 0..FRAMES {
            // In a different order each time: whoever comes next finds caches full of the last one's data.
            for turn in round + frame..round + frame + 3 {
                match turn % 3 {
                    0 => times[0].add(games.0.frame(frame)),
                    1 => times[1].add(games.1.frame(frame)),
                    _ => times[2].add(games.2.frame(frame)),
                }
            }
        }
        summary = games.0.summary();
        for other in [games.1.summary(), games.2.summary()] {
            if summary != other {
                return Err(format!("the games end differently:\n{summary:?}\n{other:?}").into());
            }
        }
    }

    let Summary { alive, peak, spawned, despawned, refused, checksum } = summary;
    println!(
        "{FRAMES} frames with entities of {} bytes: {alive} alive at the end, {peak} at most",
        size_of::<Entity>()
    );
    println!("{spawned} spawned, {despawned} despawned, {refused} refused because the world was full");
    println!("all games end in the same state, checksum {checksum:016x}");
    println!("\nmicroseconds per frame, {} frames each", ROUNDS * FRAMES);
    println!("{:<18} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}", "", "mean", "p50", "p99", "p99.9", "max", "spawning");
    for (name, times) in iter::zip(["FixedPool, stack", "FixedPool, bitmap", "Box"], times) {
        times.print(name);
    }
    Ok(())
}

/// Where entities are kept.
trait Store {
    type Handle: DerefMut<Target = Entity>;

    fn spawn(&self, entity: Entity) -> Option<Self::Handle>;
}

impl<'pool, A: Allocator> Store for &'pool FixedPool<Entity, A> {
    type Handle = OwnedHandle<'pool, Entity>;

    fn spawn(&self, entity: Entity) -> Option<Self::Handle> {
        self.try_allocate(entity)
    }
}

struct Heap;

impl Store for Heap {
    type Handle = Box<Entity>;

    fn spawn(&self, entity: Entity) -> Option<Self::Handle> {
        Some(Box::new(entity))
    }
}

struct Entity {
    kind: Kind,
    position: [f32; 2],
    velocity: [f32; 2],
    health: i32,
    /// Until it disappears by itself.
    frames_left: u32,
    /// Everything else that a game knows about an entity.
    inventory: [u32; 42],
}

impl Poolable for Entity {}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Monster,
    Projectile,
    Debris,
}

struct Game<S: Store> {
    store: S,
    entities: Vec<S::Handle>,
    /// Positions in `entities` of those that this frame ends, in ascending order.
    dead: Vec<usize>,
    /// What the projectiles of the last frame do to monsters, by cell.
    damage: Vec<i32>,
    random: Random,
    summary: Summary,
}

/// What has to be the same in both games.
#[derive(Clone, Debug, Default, PartialEq)]
struct Summary {
    alive: usize,
    peak: usize,
    spawned: u64,
    despawned: u64,
    refused: u64,
    checksum: u64,
}

impl<S: Store> Game<S> {
    fn new(store: S) -> Self {
        let mut game = Self {
            store,
            entities: Vec::with_capacity(ENTITIES_MAX),
            dead: Vec::new(),
            damage: vec![0; CELLS * CELLS],
            random: Random(SEED),
            summary: Summary::default(),
        };
        (0..MONSTERS_AT_START).for_each(|_| game.spawn_monster());
        game
    }

    fn frame(&mut self, frame: u32) -> FrameTime {
        let start = Instant::now();
        self.update();
        let updated = Instant::now();
        self.despawn();
        if frame % FRAMES_PER_WAVE == FRAMES_PER_WAVE - 1 {
            (0..MONSTERS_PER_WAVE).for_each(|_| self.spawn_monster());
        }
        (0..SHOTS_PER_FRAME).for_each(|_| self.shoot());
        FrameTime { all: start.elapsed(), spawning: updated.elapsed() }
    }

    /// Moves everything, and finds out what has come to its end.
    fn update(&mut self) {
        let damage = mem::replace(&mut self.damage, vec![0; CELLS * CELLS]);
        for (index, handle) in self.entities.iter_mut().enumerate() {
            let entity = &mut **handle;
            entity.frames_left -= 1;
            for (position, velocity) in iter::zip(&mut entity.position, entity.velocity) {
                *position = (*position + velocity).rem_euclid(WORLD);
            }
            match entity.kind {
                Kind::Monster => entity.health -= damage[cell(entity.position)],
                Kind::Projectile => self.damage[cell(entity.position)] += 1,
                Kind::Debris => {}
            }
            if entity.frames_left == 0 || entity.health <= 0 {
                self.dead.push(index);
            }
        }
    }

    fn despawn(&mut self) {
        // The last one first: then `swap_remove` moves none that is still to be removed.
        while let Some(index) = self.dead.pop() {
            let entity = self.entities.swap_remove(index);
            let (kind, position) = (entity.kind, entity.position);
            drop(entity);
            self.summary.despawned += 1;
            if kind == Kind::Monster {
                (0..DEBRIS_PER_MONSTER).for_each(|_| self.spawn(Kind::Debris, position, 2.0, 30..90));
            }
        }
    }

    fn spawn_monster(&mut self) {
        let position = [self.random.between(0.0..WORLD), self.random.between(0.0..WORLD)];
        self.spawn(Kind::Monster, position, 1.0, 5_000..10_000);
    }

    /// One of the turrets, which stand on a line across the world, shoots.
    fn shoot(&mut self) {
        let position = [self.random.between(0.0..WORLD), WORLD / 2.0];
        self.spawn(Kind::Projectile, position, 15.0, 20..40);
    }

    fn spawn(&mut self, kind: Kind, position: [f32; 2], speed: f32, frames: Range<u32>) {
        let entity = Entity {
            kind,
            position,
            velocity: [self.random.between(-speed..speed), self.random.between(-speed..speed)],
            health: 60,
            frames_left: self.random.between(frames.start as f32..frames.end as f32) as u32,
            inventory: [self.summary.spawned as u32; 42],
        };
        // `Box` knows no limit: so that both games refuse the same ones, it is checked here.
        let handle = if self.entities.len() < ENTITIES_MAX { self.store.spawn(entity) } else { None };
        match handle {
            Some(handle) => {
                self.entities.push(handle);
                self.summary.spawned += 1;
                self.summary.peak = self.summary.peak.max(self.entities.len());
            }
            None => self.summary.refused += 1,
        }
    }

    fn summary(&self) -> Summary {
        let mut hasher = DefaultHasher::new();
        for entity in &self.entities {
            (entity.position.map(f32::to_bits), entity.health, entity.frames_left, entity.inventory).hash(&mut hasher);
        }
        Summary { alive: self.entities.len(), checksum: hasher.finish(), ..self.summary.clone() }
    }
}

fn cell([x, y]: [f32; 2]) -> usize {
    let cell = |position: f32| ((position / WORLD * CELLS as f32) as usize).min(CELLS - 1);
    cell(x) * CELLS + cell(y)
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

struct FrameTime {
    all: Duration,
    spawning: Duration,
}

#[derive(Default)]
struct FrameTimes {
    all: Vec<Duration>,
    spawning: Duration,
}

impl FrameTimes {
    fn add(&mut self, time: FrameTime) {
        self.all.push(time.all);
        self.spawning += time.spawning;
    }

    fn print(mut self, name: &str) {
        self.all.sort_unstable();
        let (frames, microseconds) = (self.all.len() as f64, |time: Duration| time.as_secs_f64() * 1e6);
        let percentile = |share: f64| microseconds(self.all[(frames * share).ceil() as usize - 1]);
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(percentile);
        let (mean, spawning) = (microseconds(self.all.iter().sum()) / frames, microseconds(self.spawning) / frames);
        println!("{name:<18} {mean:>8.1} {p50:>8.1} {p99:>8.1} {p999:>8.1} {max:>8.1} {spawning:>9.1}");
    }
}
