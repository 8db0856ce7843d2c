//! Every candidate answers every question rightly; how fast, is for `compare` to say.
//!
//! Sections fail if a value that is read is not the one that was written, and with debug
//! assertions they look at every word.

use fastalloc_bench::{
    candidate::{
        Candidate, InPlace, InPlaceVisitor, Visitor,
        shared::{self, Shared},
        visit, visit_in_place,
    },
    workload::{
        AcrossThreads, BuildInPlace, ColdRefill, FillAndDrain, RandomReplacement, SharedWarmLoop, SharedWorkload,
        TwoBatches, TwoWarmLoops, WarmLoop, Workload,
    },
};

struct Sections;

impl<const WORDS: usize> Visitor<WORDS> for Sections {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        println!("{}", C::NAME);
        WarmLoop { iterations: 2_000 }.section::<WORDS, C>();
        FillAndDrain { alive: 1_000, shuffled: false, cycles: 2 }.section::<WORDS, C>();
        FillAndDrain { alive: 1_000, shuffled: true, cycles: 2 }.section::<WORDS, C>();
        RandomReplacement { alive: 1_000, replacements: 3_000 }.section::<WORDS, C>();
        ColdRefill { alive: 900, refilled: 200 }.section::<WORDS, C>();
    }
}

impl<const WORDS: usize> InPlaceVisitor<WORDS> for Sections {
    fn candidate<C: InPlace<WORDS>>(&mut self) {
        println!("{}", C::NAME);
        BuildInPlace { iterations: 500 }.section::<WORDS, C>();
    }
}

impl<const WORDS: usize> shared::Visitor<WORDS> for Sections {
    fn candidate<C: Shared<WORDS> + Sync>(&mut self) {
        println!("{}", C::NAME);
        SharedWarmLoop { iterations: 2_000 }.section::<WORDS, C>();
        TwoWarmLoops { iterations: 2_000 }.section::<WORDS, C>();
        TwoBatches { batch: 64, cycles: 30 }.section::<WORDS, C>();
        AcrossThreads { objects: 2_000 }.section::<WORDS, C>();
    }
}

#[test]
fn small_objects_keep_their_values() {
    visit::<1>(&mut Sections);
}

#[test]
fn objects_of_a_cache_line_keep_their_values() {
    visit::<8>(&mut Sections);
}

#[test]
fn pages_are_built_in_place() {
    visit_in_place::<512>(&mut Sections);
}

#[test]
fn objects_keep_their_values_on_their_way_between_threads() {
    shared::visit::<8>(&mut Sections);
    AcrossThreads { objects: 2_000 }.section_of_any::<8, shared::Plurality<8>>();
}
