//! Audio in blocks, allocated on one thread, changed on another and dropped on a third: in a pool, and in boxes.
//!
//! ```text
//! cargo run --release --example pipeline
//! ```
//!
//! A source fills blocks with the stereo samples of a chord; an echo adds to each block what was heard before; a meter
//! reads the level and drops the block. Between them are channels that take a limited number of blocks, and nobody
//! waits for a clock: what is measured is how many blocks go through, and how long single steps take.
//!
//! `allocate` puts a new, silent block into a slot of the pool, as `Box::new` puts one on the heap. `acquire` takes one
//! of the blocks that the pool was made with, and nothing is written to it before the source does: a new block is
//! filled with silence first. The candidates run in turns, one round each, in an order that rotates, and must come to
//! the same level.
//!
//! The first table has blocks per second: the median of the rounds, the slowest and the fastest. The others have
//! nanoseconds per call on the thread that makes the call, the clock included; and microseconds from the time when a
//! block was allocated until it was dropped, most of which it spends in channels.

use std::array;
use std::error::Error;
use std::f32::consts::TAU;
use std::io::{self, IsTerminal, Write};
use std::iter;
use std::ops::DerefMut;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use fastalloc::{PoolConfig, Poolable, ThreadSafeHandle, ThreadSafePool};

const ROUNDS: usize = if cfg!(debug_assertions) { 3 } else { 7 };
const BLOCKS: u64 = if cfg!(debug_assertions) { 5_000 } else { 100_000 };

/// Blocks in each channel.
const QUEUE: usize = 64;

/// Slots of each pool: more than the channels and the three threads can have at once.
const CAPACITY: usize = 4 * QUEUE;

/// What is timed, in nanoseconds, and the unit in which it is printed.
const STEPS: [(&str, f64); 3] = [("ns to allocate", 1.0), ("ns to drop", 1.0), ("µs from end to end", 1e3)];
const ALLOCATE: usize = 0;
const DROP: usize = 1;
const JOURNEY: usize = 2;

const FRAMES: usize = 256;
const FRAMES_PER_SECOND: f32 = 48_000.0;

/// Length of the sound that the source repeats, and delay of the echo: a second and a quarter of it.
const SOUND_BLOCKS: usize = 188;
const ECHO_BLOCKS: usize = 47;

fn main() -> Result<(), Box<dyn Error>> {
    let values = Values(ThreadSafePool::new(CAPACITY)?);
    let config = PoolConfig::builder().capacity(CAPACITY).pre_initialize(true).reset_fn(Block::silent, |_| ());
    let recycled = Recycled(ThreadSafePool::with_config(config.build()?)?);
    let mut results: [Results; 3] = Default::default();
    println!("{BLOCKS} blocks of {} bytes a round, {ROUNDS} rounds of each candidate", size_of::<Block>());
    // Round 0 is not counted: it is the first to touch the memory.
    for round in 0..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}"))?;
        for turn in round..round + 3 {
            let candidate = turn % 3;
            let times = match candidate {
                0 => run(&values),
                1 => run(&recycled),
                _ => run(&Heap),
            };
            if round > 0 {
                results[candidate].add(times);
            }
        }
    }
    progress("")?;
    let peak = results[0].peak;
    if results.iter().any(|result| result.peak != peak) {
        return Err("the candidates come to different levels".into());
    }
    let seconds = BLOCKS as f32 * FRAMES as f32 / FRAMES_PER_SECOND;
    println!("{seconds:.0} seconds of sound a round; peak level {peak:.4}, the same for all");

    let results = || iter::zip(["pool, allocate", "pool, acquire", "Box"], &results);
    println!("\n{:<26} {:>10} {:>10} {:>10}", "thousand blocks a second", "median", "slowest", "fastest");
    for (name, result) in results() {
        let mut rates: Vec<_> = result.rounds.iter().map(|time| BLOCKS as f64 / time.as_secs_f64() / 1e3).collect();
        rates.sort_unstable_by(f64::total_cmp);
        println!("{name:<26} {:>10.1} {:>10.1} {:>10.1}", rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
    }
    for (step, (title, unit)) in STEPS.into_iter().enumerate() {
        println!("\n{title:<26} {:>10} {:>10} {:>10} {:>10}", "p50", "p99", "p99.9", "max");
        for (name, result) in results() {
            let mut times = result.steps[step].clone();
            times.sort_unstable();
            let percentile = |share: f64| f64::from(times[(times.len() as f64 * share).ceil() as usize - 1]) / unit;
            let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(percentile);
            println!("{name:<26} {p50:>10.0} {p99:>10.0} {p999:>10.0} {max:>10.0}");
        }
    }
    Ok(())
}

/// Where blocks are.
trait Blocks: Sync {
    type Handle: DerefMut<Target = Block> + Send;

    fn allocate(&self) -> Self::Handle;
}

struct Values(ThreadSafePool<Block>);

impl Blocks for Values {
    type Handle = ThreadSafeHandle<Block>;

    fn allocate(&self) -> Self::Handle {
        self.0.allocate_in_place(|slot| slot.write(Block::silent())).expect("the channels are full before the pool is")
    }
}

struct Recycled(ThreadSafePool<Block>);

impl Blocks for Recycled {
    type Handle = ThreadSafeHandle<Block>;

    fn allocate(&self) -> Self::Handle {
        self.0.acquire().expect("the channels are full before the pool is")
    }
}

struct Heap;

impl Blocks for Heap {
    type Handle = Box<Block>;

    fn allocate(&self) -> Self::Handle {
        Box::new(Block::silent())
    }
}

struct Block {
    /// When the source asked for it.
    start: Option<Instant>,
    samples: [[f32; 2]; FRAMES],
}

impl Poolable for Block {}

impl Block {
    fn silent() -> Self {
        Self { start: None, samples: [[0.0; 2]; FRAMES] }
    }
}

fn run<B: Blocks>(blocks: &B) -> Times {
    let start = Instant::now();
    let mut times = thread::scope(|scope| {
        let (raw, to_echo) = sync_channel(QUEUE);
        let (echoed, to_meter) = sync_channel(QUEUE);
        let source = scope.spawn(|| source(blocks, raw));
        scope.spawn(|| echo(to_echo, echoed));
        let mut times = meter(to_meter);
        times.steps[ALLOCATE] = source.join().expect("the source does not panic");
        times
    });
    times.round = start.elapsed();
    times
}

/// Returns how long it took to allocate each block.
fn source<B: Blocks>(blocks: &B, output: SyncSender<B::Handle>) -> Vec<u32> {
    let mut times = Vec::with_capacity(BLOCKS as usize);
    let sound = chord();
    for samples in sound.iter().cycle().take(BLOCKS as usize) {
        let start = Instant::now();
        let mut block = blocks.allocate();
        times.push(nanoseconds(start.elapsed()));
        block.start = Some(start);
        block.samples = *samples;
        if output.send(block).is_err() {
            break;
        }
    }
    times
}

fn chord() -> Vec<[[f32; 2]; FRAMES]> {
    const NOTES: [f32; 3] = [220.0, 277.18, 329.63];

    let sample = |frame: usize| {
        let time = frame as f32 / FRAMES_PER_SECOND;
        let sum: f32 = NOTES.iter().map(|note| (time * note * TAU).sin()).sum();
        [0.3 * sum, 0.2 * sum]
    };
    (0..SOUND_BLOCKS).map(|block| array::from_fn(|frame| sample(block * FRAMES + frame))).collect()
}

fn echo<H: DerefMut<Target = Block>>(input: Receiver<H>, output: SyncSender<H>) {
    let mut past = [[[0.0; 2]; FRAMES]; ECHO_BLOCKS];
    for (number, mut block) in input.into_iter().enumerate() {
        let past = &mut past[number % ECHO_BLOCKS];
        for ([left, right], [past_left, past_right]) in iter::zip(&mut block.samples, past.iter()) {
            // The echo comes from the other side.
            *left += 0.4 * past_right;
            *right += 0.4 * past_left;
        }
        *past = block.samples;
        if output.send(block).is_err() {
            break;
        }
    }
}

fn meter<H: DerefMut<Target = Block>>(input: Receiver<H>) -> Times {
    let (mut drops, mut journeys) = (Vec::with_capacity(BLOCKS as usize), Vec::with_capacity(BLOCKS as usize));
    let mut peak = 0.0_f32;
    for block in input {
        let loudest = |peak: f32, [left, right]: &[f32; 2]| peak.max(left.abs()).max(right.abs());
        peak = block.samples.iter().fold(peak, loudest);
        let start = block.start.expect("the source has set it");
        let before = Instant::now();
        drop(block);
        let after = Instant::now();
        drops.push(nanoseconds(after - before));
        journeys.push(nanoseconds(after - start));
    }
    let mut times = Times { peak, ..Times::default() };
    times.steps[DROP] = drops;
    times.steps[JOURNEY] = journeys;
    times
}

#[derive(Default)]
struct Times {
    round: Duration,
    steps: [Vec<u32>; STEPS.len()],
    peak: f32,
}

#[derive(Default)]
struct Results {
    rounds: Vec<Duration>,
    steps: [Vec<u32>; STEPS.len()],
    peak: f32,
}

impl Results {
    fn add(&mut self, Times { round, steps, peak }: Times) {
        self.rounds.push(round);
        for (all, new) in iter::zip(&mut self.steps, steps) {
            all.extend(new);
        }
        self.peak = self.peak.max(peak);
    }
}

fn nanoseconds(time: Duration) -> u32 {
    time.as_nanos().try_into().unwrap_or(u32::MAX)
}

/// Replaces the last line, if somebody sees it.
fn progress(text: &str) -> io::Result<()> {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        write!(terminal, "\r{text:<20}\r")?;
    }
    terminal.flush()
}
