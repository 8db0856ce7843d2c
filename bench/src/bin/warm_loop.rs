//! Runs the warm loop of an 8-byte object on one candidate, for `instructions.sh` to count.
//!
//! `warm_loop` prints the candidates; `warm_loop NAME ITERATIONS` runs one.

use core::hint::black_box;
use std::{env, process::ExitCode};

use fastalloc_bench::{
    candidate::{
        Candidate, Visitor,
        shared::{self, Shared},
        visit,
    },
    workload::{shared_warm_loop, warm_loop},
};

/// The words of an object.
const WORDS: usize = 1;

struct Entry {
    name: &'static str,
    run: fn(usize),
}

/// Every candidate of one thread, in the order of the tables, and our pools that threads share.
struct Entries(Vec<Entry>);

impl Visitor<WORDS> for Entries {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        let run = |iterations| {
            let pool = C::with_capacity(1_024);
            black_box(&pool);
            warm_loop(&pool, iterations);
        };
        self.0.push(Entry { name: C::NAME, run });
    }
}

impl shared::Visitor<WORDS> for Entries {
    fn candidate<C: Shared<WORDS> + Sync>(&mut self) {
        let run = |iterations| {
            let pool = C::with_capacity(1_024);
            black_box(&pool);
            shared_warm_loop(&pool, iterations);
        };
        self.0.push(Entry { name: C::NAME, run });
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut entries = Entries(Vec::new());
    visit(&mut entries);
    shared::visit_ours(&mut entries);
    let Entries(entries) = entries;
    let [name, iterations] = arguments.as_slice() else {
        for entry in entries {
            println!("{}", entry.name);
        }
        return ExitCode::SUCCESS;
    };
    let entry = entries.iter().find(|entry| entry.name == name);
    let (Some(entry), Ok(iterations)) = (entry, iterations.parse()) else {
        eprintln!("usage: warm_loop [NAME ITERATIONS]; without arguments it prints the names");
        return ExitCode::FAILURE;
    };
    (entry.run)(iterations);
    ExitCode::SUCCESS
}
