//! Which pools are advised for programs whose truth is known.

use fastalloc_trace::generate::{Lifetime, Program, SiteProgram};
use fastalloc_trace::{
    Advice, Analysis, AnalysisLimits, Configuration, ConfigurationError, Policy, Pool, PoolKind, Problem, Process,
    Reason, Remark, Report, Verdict, advise, check, render,
};

use crate::rendered;

fn report(sites: Vec<SiteProgram>) -> Report {
    let name = |address: u64| match address {
        0x1000 => String::from("my_app::serve::request"),
        0x2000 => String::from("my_app::parse::{{closure}}"),
        _ => format!("my_app::site_{address:x}"),
    };
    let mut analysis =
        Analysis::new(AnalysisLimits::default(), |tables, stack| name(tables.stack(stack).unwrap().frame.address));
    Program { seed: 3, sites }.items().for_each(|item| analysis.add(&item));
    analysis.finish()
}

fn advice(sites: Vec<SiteProgram>) -> Advice {
    advise(&report(sites), &Policy::default()).remove(0)
}

fn pool(advice: &Advice) -> &Pool {
    let Verdict::Pool(pool) = &advice.verdict else { panic!("{advice:?}") };
    pool
}

fn reason(sites: Vec<SiteProgram>) -> Reason {
    let advice = advice(sites);
    let Verdict::DoNotPool(reason) = advice.verdict else { panic!("{advice:?}") };
    reason
}

/// 100 requests at once, over and over.
fn steady() -> SiteProgram {
    let lifetime = Lifetime::Constant(1);
    SiteProgram { objects: 10_000, burst: 100, gap_mean: 1000, lifetime, ..SiteProgram::new(0x1000, 64) }
}

fn shared() -> SiteProgram {
    SiteProgram { threads: 2, freed_elsewhere_permille: 500, ..steady() }
}

/// 1 at a time, but once in a while 300: by another site of the same name.
fn uneven() -> Vec<SiteProgram> {
    let lifetime = Lifetime::Constant(1);
    let usual = SiteProgram { objects: 100_000, gap_mean: 1000, lifetime, ..SiteProgram::new(0x2000, 24) };
    let rare = SiteProgram { objects: 300, burst: 300, ..usual.clone() };
    vec![SiteProgram { alignment: 32, ..usual }, SiteProgram { alignment: 32, ..rare }]
}

#[test]
fn steady_use_by_one_thread_is_for_a_fixed_pool_of_the_peak() {
    let advice = advice(vec![steady()]);
    let pool = pool(&advice);
    assert_eq!((pool.kind, pool.capacity_peak, pool.capacity), (PoolKind::Fixed, 100, 125));
    assert_eq!((pool.max_capacity, pool.growth, pool.bytes_reserved), (None, None, 8000));
    assert_eq!(pool.remarks, []);
}

#[test]
fn rare_peak_is_for_a_growing_pool() {
    let advice = advice(uneven());
    let pool = pool(&advice);
    assert_eq!((pool.kind, pool.capacity_peak), (PoolKind::Growing, 301));
    assert_eq!((pool.capacity, pool.max_capacity, pool.alignment), (1, Some(377), 32));
    // Slots of 24 bytes are 32 bytes apart.
    assert_eq!((pool.growth, pool.bytes_max), (Some(94), 377 * 32));
}

#[test]
fn threads_that_share_are_for_a_thread_safe_pool() {
    let shared_advice = advice(vec![shared()]);
    assert_eq!(pool(&shared_advice).kind, PoolKind::ThreadSafe);
    let [Remark::FreedElsewhere { share }, Remark::LockFree] = pool(&shared_advice).remarks[..] else { panic!() };
    assert!((share - 0.5).abs() < 0.05);
    let own = advice(vec![SiteProgram { freed_elsewhere_permille: 0, ..shared() }]);
    assert_eq!(pool(&own).remarks, [Remark::ThreadLocal { threads: 2 }, Remark::LockFree]);
}

#[test]
fn pools_are_not_advised_without_a_reason() {
    assert!(matches!(reason(vec![SiteProgram { objects: 999, ..steady() }]), Reason::TooFew { objects: 999, .. }));
    let endless = SiteProgram { lifetime: Lifetime::Endless, ..steady() };
    assert!(matches!(reason(vec![endless]), Reason::LongLived { alive_at_end: 10_000, .. }));
    assert!(matches!(reason(vec![SiteProgram { size: 0, ..steady() }]), Reason::Empty));
    let sizes = (1..=50).map(|size| SiteProgram { objects: 1000, size, ..steady() }).collect();
    assert!(matches!(reason(sizes), Reason::SizesVary { size_min: 1, size_max: 50, .. }));
}

#[test]
fn each_frequent_size_has_its_advice() {
    let all = advise(&report(vec![steady(), SiteProgram { size: 48, ..steady() }]), &Policy::default());
    assert_eq!(all.iter().map(|advice| advice.size).collect::<Vec<_>>(), [Some(48), Some(64)]);
}

#[test]
fn samples_are_multiplied() {
    let mut report = report(vec![steady()]);
    report.process = Process { sampling: 10, ..Process::default() };
    let advice = advise(&report, &Policy::default()).remove(0);
    assert_eq!(pool(&advice).capacity_peak, 1000);
    assert_eq!(pool(&advice).remarks, [Remark::Sampled { sampling: 10 }]);
}

#[test]
fn advice_can_be_serialized() {
    let json = serde_json::to_value(advise(
        &report(vec![steady(), SiteProgram { objects: 1, ..SiteProgram::new(5, 8) }]),
        &Policy::default(),
    ))
    .unwrap();
    assert_eq!(json[0]["verdict"]["pool"]["kind"], "fixed");
    assert_eq!(json[1]["verdict"]["do_not_pool"]["reason"], "too_few");
}

/// `rendered.rs` is part of this program, so that it compiles.
#[test]
fn rendered_code_is_that_which_compiles() {
    let steady = SiteProgram { address: 0x3000, ..steady() };
    let texts = [vec![shared()], vec![steady], uneven()].map(|sites| render(&advice(sites)).unwrap());
    assert!(texts.join("\n") == include_str!("rendered.rs"), "put this in rendered.rs:\n{}", texts.join("\n"));
    assert_eq!(render(&advice(vec![SiteProgram { objects: 1, ..SiteProgram::new(1, 8) }])), None);
}

#[test]
fn rendered_pools_are_those_that_were_advised() {
    let shared = rendered::request_64_pool::<[u64; 8]>().unwrap();
    assert_eq!((shared.capacity(), shared.name()), (125, Some("my_app::serve::request")));
    let fixed = rendered::site_3000_64_pool::<[u64; 8]>().unwrap();
    assert_eq!(fixed.capacity(), 125);
    let growing = rendered::closure_24_pool::<[u64; 3]>().unwrap();
    let held: Vec<_> = (0..377).map(|_| growing.allocate([0; 3]).unwrap()).collect();
    assert!(growing.allocate([0; 3]).is_err());
    assert!(held.iter().all(|object| (&raw const **object).addr() % 32 == 0));
}

fn configuration(text: &str) -> Configuration {
    Configuration::from_toml(text).unwrap()
}

fn problems(text: &str, report: &Report) -> Vec<Problem> {
    check(&configuration(text), report).into_iter().map(|finding| finding.problem).collect()
}

#[test]
fn pools_that_fit_are_not_mentioned() {
    let report = report(vec![steady()]);
    assert_eq!(problems("pool = [{ site = 'my_app::*', size = 64, capacity = 100 }]", &report), []);
    assert_eq!(problems("pool = [{ site = '*', capacity = 101, max_capacity = 500 }]", &report), []);
}

#[test]
fn pools_that_no_longer_fit_are_found() {
    let report = report(vec![steady()]);
    let found = check(&configuration("pool = [{ site = '*request', size = 64, capacity = 99 }]"), &report);
    assert_eq!(found[0].to_string(), "pool 1 (*request): 100 objects were alive at once, but it has 99 slots at most");
    assert!(found[0].is_certain());
    assert_eq!(problems("pool = [{ site = 'other', capacity = 9 }]", &report), [Problem::NoSuchSite]);
    let sizes = vec![64];
    assert_eq!(problems("pool = [{ site = '*', size = 8, capacity = 9 }]", &report), [Problem::NoSuchSize { sizes }]);
    let grows = Problem::Grows { capacity: 50, capacity_p99: 99 };
    assert_eq!(problems("pool = [{ site = '*', capacity = 50, max_capacity = 500 }]", &report), [grows]);
}

#[test]
fn advised_pools_fit_the_trace_that_led_to_them() {
    let report = report(vec![steady(), SiteProgram { address: 0x3000, objects: 5, ..steady() }]);
    let configuration = Configuration::from_advice(&advise(&report, &Policy::default()));
    let text = configuration.to_toml().unwrap();
    assert_eq!(text, "[[pool]]\nsite = \"my_app::serve::request\"\nsize = 64\ncapacity = 125\n");
    assert_eq!(Configuration::from_toml(&text), Ok(configuration.clone()));
    assert_eq!(check(&configuration, &report), []);
}

#[test]
fn peaks_of_several_sites_are_a_range() {
    let report = report(vec![steady(), SiteProgram { address: 0x3000, ..steady() }]);
    let found = check(&configuration("pool = [{ site = '*', size = 64, capacity = 150 }]"), &report);
    assert_eq!(found[0].problem, Problem::Exceeded { limit: 150, at_least: 100, at_most: 200 });
    assert!(!found[0].is_certain());
}

#[test]
fn configurations_are_checked() {
    let error = Configuration::from_toml("pool = [{ site = 'x', capacity = 0 }]").unwrap_err();
    assert_eq!(error, ConfigurationError::Capacity { number: 1, site: "x".into() });
    let error = Configuration::from_toml("[[pool]]\nsite = 'x'\ncapacity = 1\nmax = 2").unwrap_err();
    assert!(error.to_string().contains("line 4") && error.to_string().contains("`max`"), "{error}");
}
