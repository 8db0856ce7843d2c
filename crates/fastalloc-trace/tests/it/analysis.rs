//! Analyses of traces whose truth is known.

use fastalloc_trace::generate::{Lifetime, Program, SiteProgram, Truth};
use fastalloc_trace::{
    Analysis, AnalysisLimits, Event, EventKind, Item, Process, Quantiles, Report, StackId, TraceReader, TraceWriter,
    site_of_frame,
};
use proptest::prelude::*;

use crate::{allocate, free};

/// Through the format, as a recorded trace.
fn analyse(program: &Program) -> Report {
    let mut writer = TraceWriter::new(Vec::new(), &Process::default()).unwrap();
    for item in program.items() {
        writer.item(&item).unwrap();
    }
    let trace = writer.finish().unwrap();
    analyse_items(TraceReader::new(&trace[..]).unwrap().map(Result::unwrap))
}

fn analyse_items(items: impl IntoIterator<Item = Item>) -> Report {
    analyse_within(AnalysisLimits::default(), items)
}

fn analyse_within(limits: AnalysisLimits, items: impl IntoIterator<Item = Item>) -> Report {
    let mut analysis = Analysis::new(limits, site_of_frame);
    items.into_iter().for_each(|item| analysis.add(&item));
    analysis.finish()
}

/// Peaks and counts are exact, quantiles within 1 %.
fn assert_true(report: &Report, program: &Program) {
    for (site, truth) in program.sites.iter().zip(program.truth()) {
        let name = format!("{:#x}", site.address);
        let found = report.sites.iter().find(|found| found.site == name).unwrap();
        let usages = [&found.total, &found.classes[0].usage];
        assert_eq!((found.classes[0].size, found.classes[0].alignment), (Some(site.size), Some(site.alignment)));
        for usage in usages {
            assert_eq!((usage.objects, usage.alive_peak), (truth.objects, truth.alive_peak));
            assert_eq!((usage.bytes, usage.bytes_peak), (truth.objects * site.size, truth.alive_peak * site.size));
            assert_eq!((usage.freed_elsewhere, usage.alive_at_end), (truth.freed_elsewhere, truth.alive_at_end));
            assert_eq!(usage.freed, truth.lifetimes.len() as u64);
            assert_eq!(usage.timeline.iter().max(), Some(&truth.alive_peak));
            assert_near(usage.lifetime, &truth.lifetimes);
            assert_eq!(usage.lifetimes, powers_of_two(&truth.lifetimes));
            assert_near(usage.alive, &truth.alive);
        }
    }
}

/// How many of them are less than 1, 2, 4 and so on, but not less than the one before.
fn powers_of_two(values: &[u64]) -> Vec<u64> {
    let mut counts = Vec::new();
    let mut below = 0;
    let mut limit = 1_u128;
    while below < values.len() {
        let next = values.partition_point(|value| u128::from(*value) < limit);
        counts.push((next - below) as u64);
        (below, limit) = (next, limit * 2);
    }
    counts
}

fn assert_near(found: Quantiles, values: &[u64]) {
    let Some(max) = values.last() else { return assert_eq!(found, Quantiles::default()) };
    assert_eq!(found.max, *max);
    for (found, share) in [(found.p50, 0.5), (found.p99, 0.99), (found.p999, 0.999)] {
        let truth = values[(share * (values.len() - 1) as f64) as usize];
        assert!(found.abs_diff(truth) as f64 <= truth as f64 * 0.01, "{found}, but {truth} at {share}");
    }
}

#[test]
fn designed_program_has_its_peak_lifetimes_and_threads() {
    let ring = SiteProgram {
        objects: 50_000,
        burst: 500,
        gap_mean: 1_000_000,
        lifetime: Lifetime::Constant(1),
        threads: 2,
        freed_elsewhere_permille: 1000,
        ..SiteProgram::new(0x1000, 64)
    };
    let kept = SiteProgram { objects: 700, lifetime: Lifetime::Endless, ..SiteProgram::new(0x2000, 32) };
    let program = Program { seed: 1, sites: vec![ring, kept] };
    let report = analyse(&program);
    let (ring, kept) = (&report.sites[0].total, &report.sites[1].total);
    assert_eq!((ring.alive_peak, ring.lifetime.p99, ring.threads), (500, 1, 2));
    assert_eq!((ring.freed_elsewhere_share(), ring.reuse()), (1.0, 100.0));
    assert!(ring.burst.burstiness > 0.8, "{:?}", ring.burst);
    assert_eq!((kept.alive_peak, kept.alive_at_end, kept.freed, kept.lifetime.max), (700, 700, 0, 0));
    assert_true(&report, &program);
}

fn sites() -> impl Strategy<Value = Vec<SiteProgram>> {
    let lifetime = prop_oneof![
        (0..1_000_000_u64).prop_map(Lifetime::Constant),
        (1..1000_u64, 1..1_000_000_000_u64).prop_map(|(low, span)| Lifetime::Skewed(low, low + span)),
        Just(Lifetime::Endless),
    ];
    let site = (0..3000_u64, 1..200_u64, 0..100_000_u64, lifetime, 1..5_u32, 0..1000_u32, 1..300_u64, 0..8_u32);
    let site =
        site.prop_map(|(objects, burst, gap_mean, lifetime, threads, freed_elsewhere_permille, size, alignment)| {
            let alignment = 1 << alignment;
            SiteProgram {
                address: 0,
                size,
                alignment,
                objects: objects + 1,
                burst,
                gap_mean,
                lifetime,
                threads,
                freed_elsewhere_permille,
            }
        });
    prop::collection::vec(site, 1..5).prop_map(|mut sites| {
        sites.iter_mut().zip(1..).for_each(|(site, number)| site.address = number * 0x1000);
        sites
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn peaks_are_exact_and_quantiles_within_one_percent(seed in any::<u64>(), sites in sites()) {
        let program = Program { seed, sites };
        assert_true(&analyse(&program), &program);
    }
}

#[test]
fn generated_truth_of_nothing_is_nothing() {
    let program = Program { seed: 1, sites: vec![SiteProgram { objects: 0, ..SiteProgram::new(1, 8) }] };
    assert_eq!(program.truth(), [Truth::default()]);
    assert!(analyse(&program).sites.is_empty());
}

#[test]
fn equal_gaps_are_not_bursty() {
    let report = analyse_items((0..100).map(|n| allocate(n * 1000, n, 8)));
    let burst = report.sites[0].total.burst;
    assert_eq!((burst.gap_mean, burst.burstiness), (1000.0, -1.0));
    // One long pause among 99 gaps of 0: µ = 10, σ = 10 √99.
    let report = analyse_items((0..101).map(|n| allocate(if n < 50 { 0 } else { 1000 }, n, 8)));
    let expected = (99_f64.sqrt() - 1.0) / (99_f64.sqrt() + 1.0);
    assert!((report.sites[0].total.burst.burstiness - expected).abs() < 1e-9);
}

#[test]
fn timeline_keeps_maxima_when_it_becomes_coarser() {
    let peak = (0..10).map(|n| allocate(5_000_000, n, 8)).chain((0..10).map(|n| free(5_000_001, n)));
    let items = [allocate(0, 100, 8)].into_iter().chain(peak).chain([free(1_000_000_000, 100)]);
    let usage = analyse_items(items).sites.remove(0).total;
    assert!(usage.timeline.len() <= 64 && usage.timeline.len() > 32);
    assert_eq!(usage.timeline_interval, 1 << 24);
    assert_eq!((usage.timeline[0], usage.timeline[1]), (11, 1));
}

#[test]
fn reallocation_ends_an_object_and_begins_another() {
    let kind = EventKind::Reallocate { old_address: 1, address: 1, size: 32, alignment: 8, stack: StackId::EMPTY };
    let grow = Item::Event(Event { time: 7, thread: 1, duration: 0, kind });
    let report = analyse_items([allocate(2, 1, 16), grow, free(10, 1)]);
    let total = &report.sites[0].total;
    assert_eq!((total.objects, total.alive_peak, total.bytes_peak), (2, 1, 32));
    assert_eq!((total.freed, total.reallocated, total.from_reallocation), (1, 1, 1));
    assert_eq!((total.lifetime.p50, total.lifetime.max), (3, 5));
    assert_eq!(report.sites[0].classes.iter().map(|class| class.size).collect::<Vec<_>>(), [Some(16), Some(32)]);
}

#[test]
fn what_is_missing_in_a_trace_is_counted() {
    let report = analyse_items([free(1, 5), allocate(2, 6, 8), allocate(3, 6, 8), allocate(1, 7, 8)]);
    assert_eq!((report.unknown_frees, report.unseen_frees, report.disordered), (1, 1, 1));
    assert_eq!((report.sites[0].total.objects, report.sites[0].total.alive_peak), (3, 2));
}

#[test]
fn limits_are_kept_and_told() {
    let mut limits = AnalysisLimits::default();
    limits.live = 10;
    let report = analyse_within(limits, (0..25).map(|n| allocate(n, n, 8)));
    assert_eq!((report.untracked, report.sites[0].total.objects, report.sites[0].total.alive_peak), (15, 25, 10));

    let mut limits = AnalysisLimits::default();
    (limits.sites, limits.classes_per_site) = (3, 2);
    let sites = (1..=6).map(|n| SiteProgram { objects: 10, ..SiteProgram::new(n, 8) });
    let report = analyse_within(limits.clone(), Program { seed: 1, sites: sites.collect() }.items());
    assert_eq!(report.sites.len(), 4);
    let other = report.sites.iter().find(|site| site.site == Report::OTHER_SITES).unwrap();
    assert_eq!(other.total.objects, 30);

    let report = analyse_within(limits, (0..50).map(|n| allocate(n, n, n % 5)));
    let sizes: Vec<_> = report.sites[0].classes.iter().map(|class| (class.size, class.usage.objects)).collect();
    assert_eq!(sizes, [(None, 30), (Some(0), 10), (Some(1), 10)]);
}

#[test]
fn report_can_be_serialized() {
    let report = analyse_items([allocate(1, 5, 8), free(2, 5)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["sites"][0]["classes"][0]["usage"]["lifetime"]["p99"], 1);
}
