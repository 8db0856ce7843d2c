//! Compares this repository's pools with other pools and with heaps, in time and in memory.
//!
//! ```text
//! cargo run --release                                  # everything
//! cargo run --release -- --quick                       # few rounds
//! cargo run --release -- --only random_replacement     # the groups whose names have this in them
//! cargo run --release -- --list                        # the names of the groups
//! cargo run --release -- --out FOLDER                  # where these three go: record.json, report.html, overview.svg
//! ./instructions.py                                    # instructions instead of time
//! ```
//!
//! A group is a question, and its rows are the candidates. All run in this one process, one
//! thread, one short section of each candidate in every round; the order rotates from round to
//! round. The minimum over the rounds says what a candidate can do, and the median says how
//! calm the machine was. Every section checks that the values read are the values written. The
//! process's global allocator is the system's, and the heaps are called explicitly, through a
//! handle that does what `Box` does.
//!
//! Latencies are percentiles of single operations within a section, up to the maximum; the minimum
//! and the median over the rounds are taken of each percentile. Memory is measured in a process for
//! each candidate, so that none finds pages that another one has used.
//!
//! # Where the comparison is unfair
//!
//! - **Keys**: `slab`, `slotmap`, `sharded-slab` and `nexus-slab` give out keys and pointers that
//!   release nothing when they are dropped, and `nexus-slab` has an unsafe constructor for that
//!   reason. All others, ours among them, have handles that release. Each ratio is given against
//!   either kind.
//! - **`slab` and `slotmap`** take `&mut self`. Here they are reached without a check, which safe
//!   programs that share them cannot do.
//! - **Arenas**: `bumpalo` and `typed-arena` release all objects at once. They take part where that
//!   is enough, with a kind of their own.
//! - **Thread safety**: the heaps serve every thread, and the handles of `plurality` may be
//!   dropped on another thread. In the groups of one thread, `sharded-slab`, `object-pool`,
//!   `lockfree-object-pool`, `heapless` and crossbeam's queue pay for threads that are not there. The
//!   rest is for one thread, as are our pools there.
//! - **One type**: a pool knows the size of its objects when it is compiled. A heap does not,
//!   but it can use freed memory for something else.
//! - **Recycling**: `opool`, `object-pool`, `lockfree-object-pool` and crossbeam's queue recycle
//!   objects instead of making them. Allocating means writing a new value over an old one. But for
//!   `lockfree-object-pool`, their objects are boxes of the system's heap, made before the section
//!   unless the group is about creation.
//! - **Capacity**: fixed pools and slabs are told the capacity; `plurality`, `sharded-slab` and
//!   `lockfree-object-pool` cannot be. `GrowingPool` is made with the capacity too, but for the groups
//!   about growth.
//! - **Heaps and globals keep state**: a pool is made anew for each section, where a heap goes on
//!   from the sections before it. So does `heapless`, whose pools are globals.
//! - **Linking**: the Rust crates are inlined by link-time optimization. `mimalloc`, `jemalloc`,
//!   `snmalloc` and the C library are called, as they are in programs.
//! - **Huge pages**: whoever asks the kernel for them has fewer misses in large groups. In the group
//!   about creation, whoever returns memory lazily has less to do.
//! - **Traversal**: rows called `iter` visit the objects in the pool's order, all others in the order
//!   of the program's list. `DenseSlotMap` moves objects to have no gaps, so that nothing can point to
//!   them. Our pools have no traversal of their own.
//! - **Batches**: only our pools and the published `FixedPool` have an operation for many objects,
//!   which takes all or none. The others allocate one after the other.
//! - **Counted handles**: `Rc` and `Arc` use the program's global allocator, so that there is one row
//!   of each. Ours, `Rc` and `Arc` have weak handles, too; the others do without.
//! - **Buffers**: heaps give fresh memory, which has to be written before it can be read.
//!   `object-pool`, `heapless`, crossbeam's queue and the published pool leave it to the program to
//!   clear a buffer.
//! - **Latency**: each time includes that of the timer, which is printed with the group, and the
//!   maximum is as often that of the scheduler as that of the candidate.
//! - **Memory**: reserved are addresses, of which a heap may take many at once for other uses. An
//!   object of a heap or of a recycling pool of boxes includes what the heap needs to know of it.

mod args;
mod group;
mod machine;
mod report;
mod table;
mod target;

use std::{fs, io, path::Path, process::ExitCode};

use clap::Parser;
use fastalloc_bench::{
    candidate::{Candidate, Visitor, visit},
    record::{Answer, Record},
    workload::{Bytes, BytesPerObject},
};
use indicatif::{ProgressBar, ProgressStyle};

use self::{args::Args, group::Group};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(candidate) = &args.measure_bytes_of {
        return measure_bytes_of(candidate);
    }
    let mut groups = group::all();
    if let Some(only) = &args.only {
        groups.retain(|group| group.name.contains(only.as_str()));
    }
    if args.list {
        for group in &groups {
            println!("{:32} {}", group.name, group.question);
        }
        return ExitCode::SUCCESS;
    }
    if groups.is_empty() {
        eprintln!("no group has this in its name; `--list` prints the names");
        return ExitCode::FAILURE;
    }

    let setting = machine::setting();
    println!("{}", machine::describe(&setting));
    let answers = measure(&groups, args.quick);
    let verdicts = target::verdicts(&answers);
    println!("\n{}", table::of_verdicts(&verdicts));
    let record = Record { setting, quick: args.quick, answers, verdicts };
    if let Err(error) = write(&record, &args.out) {
        eprintln!("{}: {error}", args.out.display());
        return ExitCode::FAILURE;
    }
    println!("\nrecord.json, overview.svg and report.html are in {}", args.out.display());
    ExitCode::SUCCESS
}

/// Runs the groups one after the other, and prints the answers as they come.
fn measure(groups: &[Group], quick: bool) -> Vec<Answer> {
    let sections = groups.iter().map(|group| group.sections(quick)).sum::<usize>();
    let progress = ProgressBar::new(sections as u64);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left, {msg}").expect("a valid template");
    progress.set_style(style);

    let mut answers = Vec::new();
    for group in groups {
        progress.set_message(group.name);
        let measured = group.measure(quick, &progress);
        for answer in &measured {
            progress.suspend(|| println!("\n{}", table::of_answer(answer)));
        }
        answers.extend(measured);
    }
    progress.finish_and_clear();
    answers
}

/// Writes the record, the page, and the first of its plots.
fn write(record: &Record, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("record.json"), serde_json::to_string_pretty(record)?)?;
    fs::write(folder.join("overview.svg"), report::picture(record))?;
    fs::write(folder.join("report.html"), report::page(record))
}

/// Measures one candidate's memory in this process, for [`BytesPerObject`].
fn measure_bytes_of(name: &str) -> ExitCode {
    let mut search = Search { name, found: None };
    visit::<8>(&mut search);
    let Some(bytes) = search.found else {
        eprintln!("no candidate has this name: {name}");
        return ExitCode::FAILURE;
    };
    println!("{}", serde_json::to_string(&bytes).expect("figures can be written as JSON"));
    ExitCode::SUCCESS
}

/// Measures the candidate that has the name.
struct Search<'n> {
    name: &'n str,
    found: Option<Bytes>,
}

impl<const WORDS: usize> Visitor<WORDS> for Search<'_> {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        if self.name == C::NAME {
            self.found = Some(BytesPerObject.measure_here::<WORDS, C>());
        }
    }
}
