//! Every candidate answers every question rightly; how fast, is for `compare` to say.
//!
//! Sections fail if a value that is read is not the one that was written, and with debug
//! assertions they look at every word.

use fastalloc_bench::{
    candidate::{Candidate, InPlace, InPlaceVisitor, Visitor, visit, visit_in_place},
    workload::{BuildInPlace, ColdRefill, FillAndDrain, RandomReplacement, WarmLoop, Workload},
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
