//! Configurations and statistics as JSON and TOML.

use std::fmt::Debug;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
#[cfg(all(feature = "std", feature = "zeroize"))]
use fastalloc::LeakPolicy;
use fastalloc::{FixedPool, GrowingPool, GrowthStrategy, PoolConfig, PoolConfigBuilder};

/// What a value is after it was written and read again, in either format.
fn round_trips<T: Serialize + DeserializeOwned>(value: &T) -> [T; 2] {
    let (json, toml) = (serde_json::to_string(value).unwrap(), toml::to_string(value).unwrap());
    [serde_json::from_str(&json).unwrap(), toml::from_str(&toml).unwrap()]
}

fn assert_same<T: Debug>(value: &T, others: [T; 2]) {
    others.into_iter().for_each(|other| assert_eq!(format!("{value:?}"), format!("{other:?}")));
}

#[test]
fn configurations_are_read_as_they_were_written() {
    let simple: PoolConfig<u64> = PoolConfig::builder().capacity(10).build().unwrap();
    assert_same(&simple, round_trips(&simple));
    for strategy in
        [GrowthStrategy::None, GrowthStrategy::Linear { amount: 5 }, GrowthStrategy::Exponential { factor: 1.5 }]
    {
        let builder = PoolConfig::<u64>::builder().capacity(10).max_capacity(Some(100)).alignment(64).thread_cache(20);
        let config = builder.growth_strategy(strategy).build().unwrap();
        assert_same(&config, round_trips(&config));
    }
}

#[test]
fn what_is_off_is_not_written() {
    // So that a program without the features of these fields can read it.
    let config: PoolConfig<u64> = PoolConfig::builder().capacity(10).build().unwrap();
    let text = toml::to_string(&config).unwrap();
    for field in ["zeroize", "track_leaks", "leak_policy", "thread_cache", "name"] {
        assert!(!text.contains(field), "{text}");
    }
}

#[test]
#[cfg(all(feature = "std", feature = "zeroize"))]
fn each_field_that_is_data_is_written() {
    for policy in [LeakPolicy::Ignore, LeakPolicy::Warn, LeakPolicy::Panic] {
        let builder = PoolConfig::<u64>::builder().capacity(3).name("requests").zeroize(true).track_leaks(true);
        let config = builder.leak_policy(policy).build().unwrap();
        assert_same(&config, round_trips(&config));
        let pool = FixedPool::with_config(round_trips(&config).into_iter().next().unwrap()).unwrap();
        assert!(pool.name() == Some("requests") && pool.outstanding().is_some());
    }
    let error = toml::from_str::<PoolConfig<u64>>("capacity = 1\nleak_policy = \"warn\"").unwrap_err().to_string();
    assert!(error.contains("add .track_leaks(true)"), "{error}");
    let config: PoolConfig<u64> =
        PoolConfig::builder().capacity(1).track_leaks(true).leak_policy(LeakPolicy::tell(|_| ())).build().unwrap();
    let error = serde_json::to_string(&config).unwrap_err().to_string();
    assert!(error.contains("LeakPolicy::Tell cannot be serialized"), "{error}");
}

#[test]
fn configuration_is_read_from_what_a_person_wrote() {
    let text = "capacity = 4\nmax_capacity = 8\ngrowth_strategy = { linear = { amount = 4 } }\n";
    let pool = GrowingPool::<u64>::with_config(toml::from_str(text).unwrap()).unwrap();
    let handles: Vec<_> = (0..8).map(|number| pool.allocate(number).unwrap()).collect();
    assert!(pool.capacity() == 8 && pool.allocate(8).is_err());
    drop(handles);
}

#[test]
fn functions_are_added_to_what_was_read() {
    let builder: PoolConfigBuilder<String> = toml::from_str("capacity = 2\npre_initialize = true").unwrap();
    let pool = FixedPool::with_config(builder.reset_fn(|| String::from("ready"), String::clear).build().unwrap());
    assert_eq!(*pool.unwrap().acquire().unwrap(), "ready");
}

#[test]
fn wrong_configuration_is_told_where_it_is_wrong() {
    let toml_error = |text| toml::from_str::<PoolConfig<u64>>(text).unwrap_err().to_string();
    let error = toml_error("capacity = 4\ncapacitty = 5\n");
    assert!(error.contains("line 2") && error.contains("unknown field `capacitty`"), "{error}");
    let error = toml_error("capacity = \"many\"");
    assert!(error.contains("line 1, column 12") && error.contains("expected usize"), "{error}");
    let error = toml_error("growth_strategy = \"none\"");
    assert!(error.contains("missing field `capacity`"), "{error}");
    let error = toml_error("capacity = 4\nmax_capacity = 2");
    assert!(error.contains("invalid max_capacity: it is below capacity"), "{error}");
    let error = toml_error("capacity = 4\ngrowth_strategy = \"quadratic\"");
    assert!(error.contains("line 2") && error.contains("expected one of `none`, `linear`, `exponential`"), "{error}");

    let error = serde_json::from_str::<PoolConfig<u64>>("{\"capacity\": 4,\n \"alignment\": -1}").unwrap_err();
    assert_eq!((error.line(), error.column()), (2, 16), "{error}");
    let custom = GrowthStrategy::Custom { compute: Box::new(|slots| slots) };
    let config: PoolConfig<u64> = PoolConfig::builder().capacity(1).growth_strategy(custom).build().unwrap();
    let error = serde_json::to_string(&config).unwrap_err().to_string();
    assert!(error.contains("GrowthStrategy::Custom cannot be serialized"), "{error}");
}

#[cfg(feature = "stats")]
#[test]
fn statistics_are_read_as_they_were_written() {
    let pool = FixedPool::new(4).unwrap();
    let _held = pool.allocate(1).unwrap();
    drop(pool.allocate(2).unwrap());
    let statistics = pool.statistics();
    round_trips(&statistics).into_iter().for_each(|other| assert_eq!(other, statistics));

    let json = fastalloc::StatisticsReporter::new().pool("a \"name\"", statistics).json();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["a \"name\""]["peak_usage"], 2);
}
