//! Runs one hot path again and again, for `instructions.py` to count its instructions.
//!
//! `paths` prints a line for each: its name, how many operations a cycle has, and how many cycles are enough.
//! `paths NAME CYCLES` runs one. A name says what is done, and by whom: `batch_64/FixedPool`.

use core::hint::black_box;
use std::{env, process::ExitCode};

use fastalloc::{
    BitmapAllocator, FixedPool, FreeListAllocator, GrowingPool, GrowthStrategy, LockFreePool, PoolConfig,
    PoolConfigBuilder, ThreadLocalPool, ThreadSafePool,
};
use fastalloc_bench::{
    candidate::{
        Candidate, Visitor,
        shared::{self, Shared},
        visit,
    },
    object::{Object, opaque},
    workload::{shared_warm_loop, warm_loop},
};

/// Objects of the warm loop.
type Word = Object<1>;
/// Objects of all other paths.
type Line = Object<8>;

struct Path {
    name: String,
    /// Of each cycle.
    operations: usize,
    /// A run of twice as many shows what one takes.
    cycles: usize,
    run: fn(usize),
}

struct Paths(Vec<Path>);

impl Paths {
    fn add(&mut self, path: &str, candidate: &str, [operations, cycles]: [usize; 2], run: fn(usize)) {
        self.0.push(Path { name: format!("{path}/{candidate}"), operations, cycles, run });
    }
}

/// The warm loop of every candidate for one thread.
impl Visitor<1> for Paths {
    fn candidate<C: Candidate<1>>(&mut self) {
        self.add("warm_loop", C::NAME, [1, 10_000], |cycles| {
            let pool = C::with_capacity(1_024);
            black_box(&pool);
            warm_loop(&pool, cycles);
        });
    }
}

/// The warm loop of our pools that threads share.
impl shared::Visitor<1> for Paths {
    fn candidate<C: Shared<1> + Sync>(&mut self) {
        self.add("warm_loop", C::NAME, [1, 10_000], |cycles| {
            let pool = C::with_capacity(1_024);
            black_box(&pool);
            shared_warm_loop(&pool, cycles);
        });
    }
}

/// Adds the paths that all pools of ours have; `$make` makes one from a configuration.
macro_rules! add {
    ($paths:ident, $name:literal, $make:expr) => {{
        $paths.add("fill_and_drain_1000", $name, [1_000, 10], |cycles| {
            let pool = $make(of_values(1_000));
            let mut handles = Vec::with_capacity(1_000);
            for _ in 0..cycles {
                for tag in 0..1_000 {
                    handles.push(pool.allocate(Line::new(opaque(tag))).expect("a vacant slot"));
                }
                while let Some(handle) = handles.pop() {
                    black_box(handle.read());
                }
            }
        });
        $paths.add("batch_64", $name, [64, 200], |cycles| {
            let pool = $make(of_values(1_000));
            for _ in 0..cycles {
                black_box(
                    pool.allocate_batch((0..64_u32).map(|tag| Line::new(opaque(tag.into())))).expect("vacant slots"),
                );
            }
        });
        $paths.add("recycle", $name, [1, 10_000], |cycles| {
            let pool = $make(of_values(1_000).reset_fn(|| Line::new(1), |object| object.rebuild(0)));
            for _ in 0..cycles {
                black_box(pool.acquire().expect("a vacant slot").read());
            }
        });
        $paths.add("clone_and_drop", $name, [1, 10_000], |cycles| {
            let pool = $make(of_values(1_000));
            let shared = pool.allocate_shared(Line::new(1)).expect("a vacant slot");
            for _ in 0..cycles {
                black_box(shared.clone().read());
            }
        });
        $paths.add("share", $name, [1, 10_000], |cycles| {
            let pool = $make(of_values(1_000));
            for tag in 0..cycles as u64 {
                let first = pool.allocate_shared(Line::new(opaque(tag))).expect("a vacant slot");
                let second = first.clone();
                drop(first);
                black_box(second.read());
            }
        });
        $paths.add("refuse", $name, [1, 10_000], |cycles| {
            let pool = $make(of_values(1).max_capacity(Some(1)));
            let _only = pool.allocate(Line::new(1)).expect("a vacant slot");
            for tag in 0..cycles as u64 {
                assert!(pool.try_allocate(Line::new(opaque(tag))).is_none(), "the pool is full");
            }
        });
        $paths.add("creation", $name, [1, 100], |cycles| {
            for _ in 0..cycles {
                black_box($make(of_values(1_000)));
            }
        });
    }};
}

/// Adds the growth of a pool from 16 to 1,024 objects, which are then dropped, as is the pool.
macro_rules! add_growth {
    ($paths:ident, $name:literal, $pool:ident) => {
        $paths.add("growth_1024", $name, [1_024, 10], |cycles| {
            for _ in 0..cycles {
                let config = of_values(16).growth_strategy(GrowthStrategy::Exponential { factor: 2.0 });
                let pool = $pool::with_config(config.build().expect("it is valid")).expect("memory");
                let mut handles = Vec::with_capacity(1_024);
                for tag in 0..1_024 {
                    handles.push(pool.allocate(Line::new(opaque(tag))).expect("a vacant slot"));
                }
                black_box(&handles);
            }
        });
    };
}

fn of_values(capacity: usize) -> PoolConfigBuilder<Line> {
    PoolConfig::builder().capacity(capacity)
}

/// Adds the warm loop of a kind of pool that is no candidate.
macro_rules! add_warm_loop {
    ($paths:ident, $name:literal, $make:expr) => {
        $paths.add("warm_loop", $name, [1, 10_000], |cycles| {
            let pool = $make(PoolConfig::<Word>::builder().capacity(1_024));
            black_box(&pool);
            let mut sum = 0_u64;
            for tag in 0..cycles as u64 {
                sum = sum.wrapping_add(pool.allocate(Object::new(opaque(tag))).expect("a vacant slot").read());
            }
            black_box(sum);
        });
    };
}

macro_rules! make {
    ($pool:ident) => {
        |config: PoolConfigBuilder<_>| $pool::with_config(config.build().expect("it is valid")).expect("memory")
    };
    ($pool:ident, $allocator:ident) => {
        |config: PoolConfigBuilder<_>| {
            let config = config.build().expect("it is valid");
            $pool::<_, $allocator>::with_allocator(config, $allocator::default()).expect("memory")
        }
    };
}

fn all() -> Vec<Path> {
    let mut paths = Paths(Vec::new());
    visit(&mut paths);
    shared::visit_ours(&mut paths);
    add_warm_loop!(paths, "ThreadLocalPool", make!(ThreadLocalPool));
    add_warm_loop!(paths, "FixedPool free list", make!(FixedPool, FreeListAllocator));
    add!(paths, "FixedPool", make!(FixedPool));
    add!(paths, "FixedPool bitmap", make!(FixedPool, BitmapAllocator));
    add!(paths, "FixedPool free list", make!(FixedPool, FreeListAllocator));
    add!(paths, "GrowingPool", make!(GrowingPool));
    add!(paths, "ThreadSafePool", make!(ThreadSafePool));
    add!(paths, "LockFreePool", make!(LockFreePool));
    add_growth!(paths, "GrowingPool", GrowingPool);
    add_growth!(paths, "ThreadSafePool", ThreadSafePool);
    let Paths(paths) = paths;
    paths
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, cycles] = arguments.as_slice() else {
        for path in all() {
            println!("{}\t{}\t{}", path.name, path.operations, path.cycles);
        }
        return ExitCode::SUCCESS;
    };
    let paths = all();
    let path = paths.iter().find(|path| path.name == *name);
    let (Some(path), Ok(cycles)) = (path, cycles.parse()) else {
        eprintln!("usage: paths [NAME CYCLES]; without arguments it prints the names");
        return ExitCode::FAILURE;
    };
    (path.run)(cycles);
    ExitCode::SUCCESS
}
