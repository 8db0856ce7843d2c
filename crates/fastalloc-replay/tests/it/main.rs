//! Replays of traces whose truth is known. That every replay ends is tested by its end.

use std::time::Duration;

use fastalloc_replay::{Candidate, Comparison, Effort, Plan, PlanError, PoolSpec, cold_run, compare};
use fastalloc_trace::generate::{Lifetime, Program, SiteProgram};
use fastalloc_trace::{Event, EventKind, Item, Owner, Script, ScriptBuilder, ScriptLimits, StackId};

/// Two sites: what is allocated at the first one is in pool 0.
fn program(threads: u32, freed_elsewhere_permille: u32) -> Program {
    let objects = if cfg!(debug_assertions) { 1000 } else { 30_000 };
    let lifetime = Lifetime::Skewed(100, 300_000);
    let pooled = SiteProgram { objects, lifetime, threads, freed_elsewhere_permille, ..SiteProgram::new(0x1000, 48) };
    let other = SiteProgram { objects, lifetime, threads, alignment: 64, ..SiteProgram::new(0x2000, 640) };
    Program { seed: 7, sites: vec![pooled, other] }
}

fn script(items: impl IntoIterator<Item = Item>) -> Script {
    let owner_of = |_: &_, stack: StackId, _, _| if stack.0 == 1 { Owner::Pool(0) } else { Owner::Heap };
    let mut builder = ScriptBuilder::new(ScriptLimits::default(), owner_of);
    items.into_iter().for_each(|item| builder.add(&item));
    builder.finish()
}

/// Few rounds, and all that there is to measure.
fn effort() -> Effort {
    let mut effort = Effort::default();
    (effort.rounds_min, effort.rounds_max, effort.time) = (2, 3, Duration::from_millis(1));
    effort
}

fn compare_all(plan: &Plan) -> Comparison {
    let mut shares = Vec::new();
    let comparison = compare(plan, &Candidate::ALL, &effort(), |share| shares.push(share)).unwrap();
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
    comparison
}

#[test]
fn all_candidates_take_all_steps() {
    for (threads, permille) in [(1, 0), (2, 500), (4, 0), (16, 300), (100, 1000)] {
        let program = program(threads, permille);
        let script = script(program.items());
        let truth = program.truth();
        assert_eq!(u64::from(script.pool_places[0]), truth[0].alive_peak);
        let plan = Plan::new(&script, &[PoolSpec::new(truth[0].alive_peak)]).unwrap();
        assert_eq!(plan.steps(), truth.iter().map(|site| site.objects * 2 - site.alive_at_end).sum::<u64>());
        assert_eq!(plan.threads(), (threads as usize).min(Plan::LANES_MAX));
        let comparison = compare_all(&plan);
        for row in &comparison.rows {
            // The order between threads is kept as far as it matters: never are more objects alive than recorded.
            assert_eq!((row.refused, row.failed), (0, 0), "{} with {threads} threads", row.candidate);
            assert!((2..=3).contains(&row.rounds.len()) && row.min() > 0 && row.median() >= row.min());
            let latencies = row.latencies.as_ref().unwrap();
            assert!(latencies.allocate.p50 > 0 && latencies.free.p50 <= latencies.free.max);
        }
        assert_eq!(comparison.ratios(Candidate::System, Candidate::Pools).len(), comparison.rows[0].rounds.len());
    }
}

#[test]
fn pool_that_is_too_small_refuses_as_the_what_if_says() {
    let script = script(program(1, 0).items());
    let what_if = script.what_if(0);
    for capacity in [1, what_if.peak() / 2, what_if.peak() - 1, what_if.peak()] {
        let plan = Plan::of_pool(&script, &[PoolSpec::new(capacity)], 0).unwrap();
        let comparison = compare_all(&plan);
        let pools = comparison.row(Candidate::Pools).unwrap();
        assert_eq!(pools.refused, what_if.failures(capacity) * pools.rounds.len() as u64, "capacity {capacity}");
    }
}

#[test]
fn growing_pools_refuse_only_above_their_limit() {
    let script = script(program(2, 100).items());
    let peak = script.what_if(0).peak();
    for (max_capacity, growth, is_enough) in
        [(Some(peak), Some(3), true), (None, Some(1), true), (Some(peak), None, true), (Some(peak / 2), None, false)]
    {
        let mut spec = PoolSpec::new(1);
        (spec.max_capacity, spec.growth, spec.alignment) = (max_capacity, growth, 128);
        let comparison = compare_all(&Plan::new(&script, &[spec]).unwrap());
        assert_eq!(comparison.row(Candidate::Pools).unwrap().refused == 0, is_enough);
    }
}

#[test]
fn plan_of_a_pool_has_its_objects_only() {
    let program = program(4, 100);
    let script = script(program.items());
    let truth = &program.truth()[0];
    let plan = Plan::of_pool(&script, &[PoolSpec::new(truth.alive_peak)], 0).unwrap();
    assert_eq!(plan.steps(), truth.objects * 2 - truth.alive_at_end);
    assert_eq!(plan.bytes_peak(), truth.alive_peak * 48);
}

#[test]
fn reallocations_frees_of_the_unknown_and_odd_sizes_are_replayed() {
    let mut items = Vec::new();
    let mut event =
        |thread, kind| items.push(Item::Event(Event { time: items.len() as u64, thread, duration: 0, kind }));
    let stack = StackId(2);
    let pooled = StackId(1);
    for round in 0..50_u64 {
        let size = round * 97 % 5000;
        event(1, EventKind::Free { address: 0xDEAD });
        event(1, EventKind::Allocate { address: 1, size, alignment: 1, stack });
        event(2, EventKind::Allocate { address: 2, size: 24, alignment: 8, stack: pooled });
        // Larger than any slot, though it should be in the pool.
        event(2, EventKind::Allocate { address: 3, size: 10_000, alignment: 8, stack: pooled });
        let reallocate = |old_address, address, size, alignment, stack| EventKind::Reallocate {
            old_address,
            address,
            size,
            alignment,
            stack,
        };
        event(3, reallocate(1, 4, size * 3 + 1, 1, stack));
        event(1, reallocate(4, 4, 3, 64, stack));
        event(1, reallocate(2, 5, 48, 8, pooled));
        event(2, reallocate(5, 6, 100, 8, stack));
        event(2, reallocate(0, 7, 100, 8, stack));
        event(3, reallocate(0xBEEF, 8, 100, 8, stack));
        // Its free is not in the trace.
        event(3, EventKind::Allocate { address: 8, size: 0, alignment: 16, stack });
        event(1, EventKind::Free { address: 3 });
        event(1, EventKind::Free { address: if round % 2 == 0 { 6 } else { 4 } });
    }
    let script = script(items);
    let plan = Plan::new(&script, &[PoolSpec::new(3)]).unwrap();
    for row in compare_all(&plan).rows {
        assert_eq!((row.refused, row.failed), (0, 0), "{}", row.candidate);
    }
}

#[test]
fn objects_that_no_memory_can_have_fail_and_harm_nothing() {
    let stack = StackId(2);
    let kinds = [(u64::MAX, 8), (1 << 60, 16), (64, 1 << 31), (64, 8)];
    let items = kinds.into_iter().zip(0..).flat_map(|((size, alignment), address)| {
        [
            EventKind::Allocate { address, size, alignment, stack },
            EventKind::Reallocate { old_address: address, address, size: 1 << 62, alignment, stack },
            EventKind::Free { address },
        ]
    });
    let items = items.map(|kind| Item::Event(Event { time: 0, thread: 1, duration: 0, kind }));
    let plan = Plan::new(&script(items), &[]).unwrap();
    for row in compare_all(&plan).rows {
        assert!(row.failed >= 5, "{}: {}", row.candidate, row.failed);
    }
}

#[test]
fn empty_script_takes_no_time() {
    let plan = Plan::new(&Script::default(), &[]).unwrap();
    assert_eq!((plan.steps(), plan.threads(), plan.bytes_peak()), (0, 0, 0));
    assert!(compare_all(&plan).rows.iter().all(|row| row.median() == 0));
}

#[test]
fn pools_that_cannot_be_made_are_an_error() {
    let script = script(program(1, 0).items());
    assert_eq!(Plan::new(&script, &[]), Err(PlanError::NoSuchPool { pool: 0 }));
    let mut spec = PoolSpec::new(1);
    spec.alignment = 24;
    let plan = Plan::new(&script, &[spec]).unwrap();
    let error = compare(&plan, &[Candidate::Pools], &effort(), drop).unwrap_err();
    assert!(matches!(error, PlanError::Pool { pool: 0, .. }), "{error}");
    assert!(error.to_string().contains("pool 1 cannot be made"), "{error}");
}

#[test]
fn plan_is_the_same_in_another_process() {
    let script = script(program(3, 500).items());
    let plan = Plan::new(&script, &[PoolSpec::new(1000)]).unwrap();
    let bytes = plan.to_bytes();
    assert_eq!(Plan::from_bytes(&bytes), Some(plan));
    assert_eq!(Plan::from_bytes(&bytes[..bytes.len() / 2]), None);
}

/// A plan whose steps cannot be taken one after the other at each place would race.
#[test]
fn plan_that_was_tampered_with_is_refused() {
    let script = script(program(2, 500).items());
    let bytes = Plan::new(&script, &[PoolSpec::new(1000)]).unwrap().to_bytes();
    let mut accepted = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 200) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        accepted += usize::from(Plan::from_bytes(&bytes).is_some());
    }
    // Layouts, kinds and sizes may be others.
    assert!(accepted < 150, "{accepted}");
}

#[test]
fn first_round_in_a_process_is_measured() {
    let script = script(program(2, 100).items());
    let plan = Plan::new(&script, &[PoolSpec::new(1000)]).unwrap();
    let cold = cold_run(&plan, Candidate::Pools).unwrap();
    assert!(cold.time > 0);
    if let Err(why) = cold.cache_misses {
        assert!(why.contains("perf events"), "{why}");
    }
}
