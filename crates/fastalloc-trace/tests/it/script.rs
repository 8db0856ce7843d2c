//! Scripts of traces, and what other capacities would have come to.

use std::collections::{HashMap, HashSet};

use fastalloc_trace::generate::{Lifetime, Program, SiteProgram};
use fastalloc_trace::{
    Event, EventKind, Grown, GrowthStep, Item, Owner, Script, ScriptBuilder, ScriptLimits, StackId, StepKind,
};
use proptest::prelude::*;

use crate::{allocate, free};

fn script(items: impl IntoIterator<Item = Item>, owner: Owner) -> Script {
    script_within(ScriptLimits::default(), items, owner)
}

fn script_within(limits: ScriptLimits, items: impl IntoIterator<Item = Item>, owner: Owner) -> Script {
    let mut builder = ScriptBuilder::new(limits, |_, _, _, _| owner);
    items.into_iter().for_each(|item| builder.add(&item));
    builder.finish()
}

/// What a pool of so many slots would have refused, object by object.
fn refused(items: &[Item], capacity: usize) -> u64 {
    let (mut in_pool, mut refused) = (HashSet::new(), 0);
    for item in items {
        let Item::Event(event) = item else { continue };
        match event.kind {
            EventKind::Allocate { .. } if in_pool.len() == capacity => refused += 1,
            EventKind::Allocate { address, .. } => assert!(in_pool.insert(address)),
            EventKind::Free { address } => drop(in_pool.remove(&address)),
            EventKind::Reallocate { .. } => {}
        }
    }
    refused
}

proptest! {
    #[test]
    fn what_if_is_what_a_pool_of_that_capacity_does(
        seed: u64,
        objects in 1_u64..300,
        burst in 1_u64..20,
        lifetime in 1_u64..100_000,
    ) {
        let lifetime = Lifetime::Skewed(10, lifetime);
        let site = SiteProgram { objects, burst, lifetime, threads: 3, ..SiteProgram::new(0x1000, 64) };
        let program = Program { seed, sites: vec![site] };
        let items: Vec<Item> = program.items().collect();
        let what_if = script(items.iter().cloned(), Owner::Pool(0)).what_if(0);
        let peak = program.truth()[0].alive_peak;
        prop_assert_eq!((what_if.objects(), what_if.peak()), (objects, peak));
        for capacity in 0..peak + 2 {
            prop_assert_eq!(what_if.failures(capacity), refused(&items, capacity as usize), "capacity {}", capacity);
        }
    }
}

#[test]
fn growth_takes_the_steps_that_lead_to_the_peak() {
    let items = (0..100).map(|number| allocate(number, number, 8));
    let what_if = script(items, Owner::Pool(0)).what_if(0);
    let growth = |capacity, step, max| {
        let Grown { steps, capacity, .. } = what_if.growth(capacity, step, max);
        (steps, capacity)
    };
    assert_eq!(growth(100, GrowthStep::Double, u64::MAX), (0, 100));
    assert_eq!(growth(500, GrowthStep::Double, 500), (0, 500));
    assert_eq!(growth(99, GrowthStep::Linear(1), u64::MAX), (1, 100));
    assert_eq!(growth(10, GrowthStep::Linear(40), u64::MAX), (3, 130));
    assert_eq!(growth(10, GrowthStep::Linear(40), 110), (3, 110));
    assert_eq!(growth(10, GrowthStep::Double, u64::MAX), (4, 160));
    assert_eq!(growth(10, GrowthStep::Double, 30), (2, 30));
    assert_eq!(growth(10, GrowthStep::Linear(0), 12), (2, 12));
}

#[test]
fn each_object_has_a_place_of_its_own() {
    let lifetime = Lifetime::Skewed(10, 100_000);
    let site = SiteProgram { lifetime, threads: 4, freed_elsewhere_permille: 500, ..SiteProgram::new(0x1000, 64) };
    let program = Program { seed: 3, sites: vec![site] };
    let script = script(program.items(), Owner::Heap);
    assert_eq!((script.threads.len(), script.heap_places), (4, program.truth()[0].alive_peak as u32));
    let mut occupied = HashSet::new();
    for step in &script.steps {
        match step.kind {
            StepKind::Allocate => assert!(occupied.insert(step.place)),
            StepKind::Free => assert!(occupied.remove(&step.place)),
            StepKind::Reallocate => panic!("there is none in the trace"),
        }
    }
}

#[test]
fn objects_without_an_owner_are_left_out() {
    let program = Program { seed: 3, sites: vec![SiteProgram::new(0x1000, 64), SiteProgram::new(0x2000, 32)] };
    let mut sizes = HashMap::new();
    let mut builder = ScriptBuilder::new(ScriptLimits::default(), |_, stack: StackId, size, _| {
        *sizes.entry(size).or_insert(0) += 1;
        if stack.0 == 1 { Owner::Nobody } else { Owner::Pool(3) }
    });
    program.items().for_each(|item| builder.add(&item));
    let script = builder.finish();
    assert_eq!(sizes, HashMap::from([(64, 1), (32, 1)]), "it is asked once for each");
    assert!(script.layouts.iter().all(|layout| layout.size == 32 && layout.pool == Some(3)));
    assert_eq!((script.heap_places, script.pool_places.len()), (0, 4));
    assert_eq!(script.what_if(3).objects(), 1000);
}

#[test]
fn reallocations_stay_where_they_are_on_the_heap_only() {
    let reallocate = |old_address, address, size| {
        let kind = EventKind::Reallocate { old_address, address, size, alignment: 8, stack: StackId::EMPTY };
        Item::Event(Event { time: 9, thread: 1, duration: 0, kind })
    };
    let items = [allocate(1, 1, 8), reallocate(1, 2, 16), reallocate(2, 2, 32), reallocate(7, 3, 8), free(9, 2)];
    let kinds = |owner| script(items.clone(), owner).steps.iter().map(|step| step.kind).collect::<Vec<_>>();
    use StepKind::{Allocate, Free, Reallocate};
    assert_eq!(kinds(Owner::Heap), [Allocate, Reallocate, Reallocate, Allocate, Free]);
    assert_eq!(kinds(Owner::Pool(0)), [Allocate, Free, Allocate, Free, Allocate, Allocate, Free]);
    assert_eq!(kinds(Owner::Nobody), []);
}

#[test]
fn script_that_has_no_room_says_so() {
    let items = || (0..100).flat_map(|number| [allocate(number, 1, 8), free(number, 1)]);
    let mut limits = ScriptLimits::default();
    limits.steps = 50;
    let cut = script_within(limits.clone(), items(), Owner::Heap);
    assert_eq!((cut.steps.len(), cut.is_cut), (50, true));
    limits = ScriptLimits::default();
    limits.steps_per_pool = 50;
    let cut = script_within(limits.clone(), items(), Owner::Pool(0));
    assert_eq!((cut.steps.len(), cut.is_cut), (50, true));
    assert!(!script_within(limits, items(), Owner::Heap).is_cut, "it is not of a pool");
}
