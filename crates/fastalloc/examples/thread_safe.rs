//! A picture in tiles: several threads draw them, one writes them, and all share a few buffers.
//!
//! ```text
//! cargo run --release --example thread_safe
//! ```
//!
//! Workers draw tiles of the Mandelbrot set, and a writer compresses them in the order in which they are in the file.
//! A worker acquires a buffer from the pool and sends its handle, with the tile drawn, through a channel; the writer
//! drops it, and the buffer is cleared and vacant again. Tiles take unequal times, so those drawn early wait for
//! their turn in their buffers.
//!
//! The channel takes any number of tiles: what limits memory is the capacity of the pool. The same picture is drawn
//! with pools of different capacity. A worker that finds no buffer waits for one; each time that takes longer than
//! its patience, it counts a timeout, and then waits again.

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use fastalloc::{PoolConfig, Poolable, ThreadSafeHandle, ThreadSafePool};

const WORKERS: usize = 4;
const CAPACITIES: [usize; 3] = [2, 6, COLUMNS * ROWS];
const PATIENCE: Duration = Duration::from_millis(2);

/// The picture, in tiles.
const COLUMNS: usize = 12;
const ROWS: usize = 8;

/// A tile, in pixels, and the characters that it has in the preview.
const SIDE: usize = 128;
const PREVIEW_COLUMNS: usize = 8;
const PREVIEW_ROWS: usize = 4;

const ITERATIONS_MAX: u16 = if cfg!(debug_assertions) { 50 } else { 400 };

fn main() -> Result<(), Box<dyn Error>> {
    let buffer = SIDE * SIDE * size_of::<u16>();
    println!("{} tiles of {} KiB, {WORKERS} workers, patience {PATIENCE:?}", COLUMNS * ROWS, buffer >> 10);
    let mut pictures = Vec::new();
    for capacity in CAPACITIES {
        let start = Instant::now();
        let (reports, picture) = draw(capacity)?;
        let time = start.elapsed();
        let (made, peak) = (MADE.swap(0, Ordering::Relaxed), USED_MAX.swap(0, Ordering::Relaxed));
        println!(
            "\n{capacity} slots: {peak} in use at most, {made} buffers made, {} KiB, {time:.0?}",
            (made * buffer) >> 10
        );
        println!("  worker  tiles  drawing  waiting  timeouts");
        for (worker, Report { tiles, drawing, waiting, timeouts }) in reports.iter().enumerate() {
            let [drawing, waiting] = [drawing, waiting].map(|time| time.as_secs_f64() * 1e3);
            println!("  {worker:>6}  {tiles:>5}  {drawing:>4.0} ms  {waiting:>4.0} ms  {timeouts:>8}");
        }
        pictures.push(picture);
    }
    if pictures.iter().any(|picture| *picture != pictures[0]) {
        return Err("the pictures differ".into());
    }
    let Picture { preview, compressed, checksum } = &pictures[0];
    println!("\nall pictures are equal: {compressed} KiB compressed, checksum {checksum:016x}");
    for line in preview {
        println!("{}", line.iter().collect::<String>());
    }
    Ok(())
}

/// What the pool's initializer has made, and what its objects say about themselves in their hooks.
static MADE: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);
static USED_MAX: AtomicUsize = AtomicUsize::new(0);

struct Tile {
    number: usize,
    pixels: Vec<u16>,
}

impl Poolable for Tile {
    fn on_acquire(&mut self) {
        let used = USED.fetch_add(1, Ordering::Relaxed) + 1;
        USED_MAX.fetch_max(used, Ordering::Relaxed);
    }

    fn on_release(&mut self) {
        USED.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tile {
    fn new() -> Self {
        MADE.fetch_add(1, Ordering::Relaxed);
        Self { number: 0, pixels: Vec::with_capacity(SIDE * SIDE) }
    }

    fn draw(&mut self, number: usize) {
        self.number = number;
        let (left, top) = (number % COLUMNS * SIDE, number / COLUMNS * SIDE);
        for y in top..top + SIDE {
            let imaginary = y as f64 / (ROWS * SIDE) as f64 * 2.4 - 1.2;
            let row =
                (left..left + SIDE).map(|x| iterations(x as f64 / (COLUMNS * SIDE) as f64 * 3.2 - 2.3, imaginary));
            self.pixels.extend(row);
        }
    }
}

/// How long the sequence `z * z + c` stays near 0.
fn iterations(real: f64, imaginary: f64) -> u16 {
    let (mut x, mut y) = (0.0, 0.0);
    for iteration in 0..ITERATIONS_MAX {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return iteration;
        }
        (x, y) = (xx - yy + real, 2.0 * x * y + imaginary);
    }
    ITERATIONS_MAX
}

fn draw(capacity: usize) -> fastalloc::Result<(Vec<Report>, Picture)> {
    let config = PoolConfig::builder().capacity(capacity).reset_fn(Tile::new, |tile| tile.pixels.clear()).build()?;
    let pool = ThreadSafePool::with_config(config)?;
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let spawn = |sender| scope.spawn(|| work(&pool, &next, sender));
        let workers: Vec<_> = (0..WORKERS).map(|_| spawn(sender.clone())).collect();
        drop(sender);
        let picture = write(receiver);
        let reports = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        Ok((reports.collect::<fastalloc::Result<_>>()?, picture))
    })
}

#[derive(Default)]
struct Report {
    tiles: usize,
    drawing: Duration,
    waiting: Duration,
    timeouts: usize,
}

fn work(
    pool: &ThreadSafePool<Tile>,
    next: &AtomicUsize,
    sender: Sender<ThreadSafeHandle<Tile>>,
) -> fastalloc::Result<Report> {
    let mut report = Report::default();
    loop {
        let start = Instant::now();
        // A buffer first, then a number: the tile that the writer waits for has a buffer, whoever waits for one.
        let mut tile = loop {
            match pool.acquire_timeout(PATIENCE) {
                Err(fastalloc::Error::Timeout) => report.timeouts += 1,
                result => break result?,
            }
        };
        let acquired = Instant::now();
        report.waiting += acquired - start;
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= COLUMNS * ROWS {
            return Ok(report);
        }
        tile.draw(number);
        report.tiles += 1;
        report.drawing += acquired.elapsed();
        if sender.send(tile).is_err() {
            return Ok(report);
        }
    }
}

#[derive(PartialEq)]
struct Picture {
    preview: [[char; COLUMNS * PREVIEW_COLUMNS]; ROWS * PREVIEW_ROWS],
    /// In KiB.
    compressed: usize,
    checksum: u64,
}

fn write(receiver: Receiver<ThreadSafeHandle<Tile>>) -> Picture {
    let mut preview = [[' '; COLUMNS * PREVIEW_COLUMNS]; ROWS * PREVIEW_ROWS];
    let (mut compressed, mut hasher) = (0, DefaultHasher::new());
    let mut early = BTreeMap::new();
    let mut written = 0;
    for tile in receiver {
        early.insert(tile.number, tile);
        while let Some(tile) = early.remove(&written) {
            for run in tile.pixels.chunk_by(|a, b| a == b) {
                compressed += size_of::<(u16, u16)>();
                (run.len(), run[0]).hash(&mut hasher);
            }
            let (left, top) = (written % COLUMNS * PREVIEW_COLUMNS, written / COLUMNS * PREVIEW_ROWS);
            for y in 0..PREVIEW_ROWS {
                for x in 0..PREVIEW_COLUMNS {
                    let (row, column) = (y * SIDE / PREVIEW_ROWS, x * SIDE / PREVIEW_COLUMNS);
                    preview[top + y][left + x] = mark(tile.pixels[row * SIDE + column]);
                }
            }
            written += 1;
        }
    }
    Picture { preview, compressed: compressed >> 10, checksum: hasher.finish() }
}

fn mark(iterations: u16) -> char {
    match iterations {
        0..3 => ' ',
        3..5 => '.',
        5..8 => ':',
        8..12 => '+',
        12..25 => '*',
        25..ITERATIONS_MAX => '#',
        _ => '@',
    }
}
