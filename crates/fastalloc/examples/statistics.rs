//! A server under a load that comes and goes, seen through the statistics of its pool; and a leak, found.
//!
//! ```text
//! cargo run --release --features stats --example statistics [SECONDS]
//! ```
//!
//! Workers take requests from a pool, think, and drop them. On a terminal a bar shows how full the pool is. At the end
//! come the history, the report, and what the pool says of the requests that nobody gave back: one kind of request
//! takes a way through the program on which it is forgotten.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fastalloc::{
    GrowthStrategy, LeakPolicy, PoolConfig, Poolable, StatisticsCollector, StatisticsReporter, ThreadSafeHandle,
    ThreadSafePool,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const SLOTS_MAX: usize = 400;
const WORKERS: usize = 3;

struct Request {
    path: &'static str,
    body: [u8; 512],
}

impl Poolable for Request {}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = match env::args().nth(1).map(|argument| argument.parse::<u64>()) {
        None => 6,
        Some(Ok(seconds)) if seconds > 0 => seconds,
        Some(_) => return Err("usage: statistics [SECONDS], a whole number above 0; 6 if there is none".into()),
    };
    let config = PoolConfig::builder()
        .name("requests")
        .capacity(50)
        .max_capacity(Some(SLOTS_MAX))
        .growth_strategy(GrowthStrategy::Linear { amount: 50 })
        .track_leaks(true)
        // They are shown below.
        .leak_policy(LeakPolicy::Ignore)
        .build()?;
    let server = Server {
        pool: ThreadSafePool::with_config(config)?,
        retries: Mutex::default(),
        is_over: AtomicBool::new(false),
        start: Instant::now(),
        day: Duration::from_secs(seconds),
    };
    let history = thread::scope(|scope| {
        for number in 0..WORKERS {
            let server = &server;
            let worker = thread::Builder::new().name(format!("worker {number}"));
            worker.spawn_scoped(scope, move || server.work(Random(number as u64 + 1)))?;
        }
        let history = server.watch();
        server.is_over.store(true, Relaxed);
        Ok::<_, io::Error>(history)
    })?;

    println!(
        "Requests in the pool over time, {:.0} on average, {} at most:",
        history.average_usage(),
        history.peak_usage()
    );
    for (time, statistics) in history.snapshots() {
        let width = statistics.current_usage * 60 / SLOTS_MAX;
        println!("{:5.1} s {:4} {}", time.as_secs_f64(), statistics.current_usage, "#".repeat(width));
    }
    println!("\nThe report:\n{}", StatisticsReporter::new().pool("requests", server.pool.statistics()).text());

    let outstanding = server.pool.held_longer_than(server.day / 20).ok_or("the pool tracks leaks")?;
    println!("All workers have ended, and still there are {outstanding}");
    if let Some(worst) = outstanding.by_place().first() {
        println!("Look at line {} of {}.", worst.place.line(), worst.place.file());
    }
    Ok(())
}

struct Server {
    pool: ThreadSafePool<Request>,
    /// Requests that are to be tried again. Nobody ever does: this is the leak.
    retries: Mutex<Vec<ThreadSafeHandle<Request>>>,
    is_over: AtomicBool,
    start: Instant,
    day: Duration,
}

impl Server {
    /// Takes requests and answers them, more of them at once around noon.
    fn work(&self, mut random: Random) {
        let mut open = Vec::<ThreadSafeHandle<Request>>::new();
        while !self.is_over.load(Relaxed) {
            let time_of_day = self.start.elapsed().as_secs_f64() / self.day.as_secs_f64();
            let load = (time_of_day * std::f64::consts::PI).sin().max(0.0);
            let wanted = (load * 1.1 * (SLOTS_MAX / WORKERS) as f64) as usize;
            while open.len() < wanted {
                // The pool is at its limit now and then: the client is sent away.
                let Ok(request) = self.receive(&mut random) else { break };
                open.extend(request);
            }
            if !open.is_empty() {
                let answered = open.swap_remove(random.below(open.len()));
                assert!(answered.path.starts_with('/') && answered.body[0] == 0);
            }
            while open.len() > wanted {
                open.pop();
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// The next request, if it can be answered now.
    fn receive(&self, random: &mut Random) -> fastalloc::Result<Option<ThreadSafeHandle<Request>>> {
        if random.below(1_000) == 0 {
            let upload = self.pool.allocate_with(|| Request { path: "/upload", body: [0; 512] })?;
            self.retries.lock().expect("nobody panics").push(upload);
            return Ok(None);
        }
        self.pool.allocate_with(|| Request { path: "/index", body: [0; 512] }).map(Some)
    }

    /// Draws how full the pool is, and keeps a history of it.
    fn watch(&self) -> StatisticsCollector {
        let mut history = StatisticsCollector::new(24);
        let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(SLOTS_MAX as u64), target);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is valid"));
        bar.set_prefix(self.pool.name().unwrap_or("pool").to_owned());
        while self.start.elapsed() < self.day {
            let statistics = self.pool.statistics();
            history.record(self.start.elapsed(), statistics);
            bar.set_position(statistics.current_usage as u64);
            bar.set_message(format!("capacity {}, {} refused", statistics.capacity, statistics.failed_allocations));
            thread::sleep(self.day / 160);
        }
        bar.finish_and_clear();
        history
    }
}

/// Random numbers: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}
