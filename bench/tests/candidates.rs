//! Every candidate answers every question rightly; how fast, is for `compare` to say.
//!
//! Sections fail if a value that is read is not the one that was written, and with debug
//! assertions they look at every word.

use fastalloc_bench::{
    candidate::{
        Candidate, InPlace, InPlaceVisitor, Traverse, TraverseVisitor, Visitor,
        buffers::{self, Buffers},
        counted::{self, Counted},
        ours,
        shared::{self, Shared},
        tree::{self, Forest},
        visit, visit_growing, visit_in_place, visit_traverse,
    },
    workload::{
        AcrossThreads, Batches, BuildInPlace, CloneAndDrop, ColdRefill, Create, CreateAndFill, FillAndDrain, Grow,
        GrowthLatency, Order, PassMessages, PlantAndFell, RandomReplacement, ReplacementLatency, SharedWarmLoop,
        SharedWorkload, TraverseAfterChurn, TwoBatches, TwoWarmLoops, WarmLoop, Workload,
    },
};

const TRAVERSAL: TraverseAfterChurn = TraverseAfterChurn { alive: 900, churns: 3, sweeps: 2 };

struct Sections;

impl<const WORDS: usize> Visitor<WORDS> for Sections {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        println!("{}", C::NAME);
        WarmLoop { iterations: 2_000 }.section::<WORDS, C>();
        for order in [Order::Newest, Order::Oldest, Order::Shuffled] {
            FillAndDrain { alive: 1_000, order, cycles: 2 }.section::<WORDS, C>();
        }
        RandomReplacement { alive: 1_000, replacements: 3_000 }.section::<WORDS, C>();
        ColdRefill { alive: 900, refilled: 200 }.section::<WORDS, C>();
        Batches { batch: 64, cycles: 30 }.section::<WORDS, C>();
        TRAVERSAL.section::<WORDS, C>();
        Create { capacity: 1_000 }.section::<WORDS, C>();
        CreateAndFill { objects: 1_000 }.section::<WORDS, C>();
        ReplacementLatency { alive: 1_000, replacements: 1_000, loaded: false }.section::<WORDS, C>();
    }
}

/// The sections that need no more than allocating.
struct Growing;

impl<const WORDS: usize> Visitor<WORDS> for Growing {
    fn candidate<C: Candidate<WORDS>>(&mut self) {
        println!("{}", C::NAME);
        CreateAndFill { objects: 1_000 }.section::<WORDS, C>();
        Grow { from: 16, to: 5_000 }.section::<WORDS, C>();
        GrowthLatency { from: 16, to: 5_000 }.section::<WORDS, C>();
    }
}

impl<const WORDS: usize> InPlaceVisitor<WORDS> for Sections {
    fn candidate<C: InPlace<WORDS>>(&mut self) {
        println!("{}", C::NAME);
        BuildInPlace { iterations: 500 }.section::<WORDS, C>();
    }
}

impl<const WORDS: usize> TraverseVisitor<WORDS> for Sections {
    fn candidate<C: Traverse<WORDS>>(&mut self) {
        println!("{}", C::OWN_WAY);
        TRAVERSAL.section_of_own_way::<WORDS, C>();
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

impl tree::Visitor for Sections {
    fn candidate<C: Forest>(&mut self) {
        println!("{}", C::NAME);
        PlantAndFell { depth: 8, cycles: 2 }.section::<C>();
    }
}

impl counted::Visitor for Sections {
    fn candidate<C: Counted>(&mut self) {
        println!("{}", C::NAME);
        CloneAndDrop { objects: 2_000 }.section::<C>();
    }
}

impl buffers::Visitor for Sections {
    fn candidate<C: Buffers>(&mut self) {
        println!("{}", C::NAME);
        PassMessages { messages: 2_000 }.section::<C>();
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

#[test]
fn growing_pools_keep_the_values_of_all_objects() {
    visit_growing::<8>(&mut Growing);
}

#[test]
fn traversals_meet_every_object_once() {
    visit_traverse::<8>(&mut Sections);
    Visitor::<8>::candidate::<ours::GrowingBitmap<8>>(&mut Sections);
}

#[test]
fn trees_keep_their_values() {
    tree::visit(&mut Sections);
}

#[test]
fn counted_objects_outlive_their_first_handle() {
    counted::visit_one_thread(&mut Sections);
    counted::visit_threads(&mut Sections);
}

#[test]
fn recycled_buffers_are_empty() {
    buffers::visit(&mut Sections);
}

#[test]
fn load_ends_with_the_section() {
    ReplacementLatency { alive: 100, replacements: 100, loaded: true }.section::<8, ours::Fixed<8>>();
}
