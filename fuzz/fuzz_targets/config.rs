//! Arbitrary configurations by the builder, and arbitrary text as JSON and TOML.
#![no_main]

use std::fmt::{Debug, Display};

use arbitrary::Arbitrary;
use fastalloc::{
    Error, FixedPool, GrowingPool, GrowthStrategy, InitializationStrategy, LeakPolicy, LockFreePool, PoolConfig,
    PoolConfigBuilder, PoolStatistics, Poolable, Result, ThreadLocalPool, ThreadSafePool,
};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(Arbitrary, Debug)]
enum Input<'input> {
    Calls(Vec<Call>),
    Text(&'input str),
}

/// A call of the builder.
#[derive(Arbitrary, Clone, Debug)]
enum Call {
    Name(String),
    SmallCapacity(u8),
    Capacity(usize),
    SmallMaxCapacity(u8),
    MaxCapacity(Option<usize>),
    NoGrowth,
    Linear(usize),
    Exponential(f64),
    Custom(usize),
    SmallAlignment(u8),
    AlignmentBit(u8),
    Alignment(usize),
    PreInitialize(bool),
    ThreadCache(usize),
    Zeroize(bool),
    TrackLeaks(bool),
    IgnoreLeaks,
    WarnOfLeaks,
    TellLeaks,
    Initializer,
    Reset(bool),
    Lazy,
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Calls(calls) => {
        build::<()>(&calls);
        build::<Line>(&calls);
    }
    Input::Text(text) => {
        read_as::<PoolConfig<u64>>(text);
        read_as::<GrowthStrategy>(text);
        read_as::<PoolStatistics>(text);
        // To one that is read, functions can be added; so it need not be complete.
        for builder in [serde_json::from_str(text).ok(), toml::from_str(text).ok()].into_iter().flatten() {
            let builder: PoolConfigBuilder<u64> = builder;
            let _ = builder.initializer(|| 0).build().map_err(|error| show(Some(error)));
        }
    }
});

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; 20],
}

impl Poolable for Line {}

/// What the builder was told, as far as it can be wrong.
#[derive(Default)]
struct Told {
    name: Option<String>,
    capacity: Option<usize>,
    max_capacity: Option<usize>,
    factor: Option<f64>,
    grows: bool,
    step_is_small: bool,
    alignment: Option<usize>,
    pre_initialize: bool,
    thread_cache: bool,
    has_initializer: bool,
    tracks_leaks: bool,
    has_leak_policy: bool,
}

impl Told {
    fn faults<T>(&self) -> Vec<&'static str> {
        let faults = [
            ("name", self.name.as_deref() == Some("")),
            ("capacity", self.capacity.is_none_or(|capacity| capacity == 0)),
            ("max_capacity", self.max_capacity.is_some_and(|max| self.capacity.is_some_and(|capacity| max < capacity))),
            ("growth_strategy", self.factor.is_some_and(|factor| !(factor > 1.0 && factor < f64::INFINITY))),
            (
                "alignment",
                self.alignment.is_some_and(|alignment| !alignment.is_power_of_two() || alignment < align_of::<T>()),
            ),
            ("pre_initialize", self.pre_initialize && !self.has_initializer),
            ("leak_policy", self.has_leak_policy && !self.tracks_leaks),
        ];
        faults.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(field, _)| field).collect()
    }
}

fn configure<T: Default + 'static>(calls: &[Call]) -> (PoolConfigBuilder<T>, Told) {
    let (mut builder, mut told) = (PoolConfig::<T>::builder(), Told::default());
    for call in calls.iter().cloned() {
        let strategy = |told: &mut Told, strategy: GrowthStrategy| {
            told.grows = !matches!(strategy, GrowthStrategy::None);
            told.factor = if let GrowthStrategy::Exponential { factor } = strategy { Some(factor) } else { None };
            told.step_is_small = strategy.compute_growth(64) < 1_000;
            strategy
        };
        let initialization = |told: &mut Told, strategy: InitializationStrategy<T>| {
            told.has_initializer = !strategy.is_lazy();
            strategy
        };
        let capacity = |told: &mut Told, capacity| *told.capacity.insert(capacity);
        let alignment = |told: &mut Told, alignment| *told.alignment.insert(alignment);
        let leak_policy = |told: &mut Told, policy| {
            told.has_leak_policy = true;
            policy
        };
        builder = match call {
            Call::Name(name) => builder.name(told.name.insert(name).clone()),
            Call::SmallCapacity(slots) => builder.capacity(capacity(&mut told, slots.into())),
            Call::Capacity(slots) => builder.capacity(capacity(&mut told, slots)),
            Call::SmallMaxCapacity(slots) => builder.max_capacity(Some(*told.max_capacity.insert(slots.into()))),
            Call::MaxCapacity(slots) => {
                told.max_capacity = slots;
                builder.max_capacity(slots)
            }
            Call::NoGrowth => builder.growth_strategy(strategy(&mut told, GrowthStrategy::None)),
            Call::Linear(amount) => builder.growth_strategy(strategy(&mut told, GrowthStrategy::Linear { amount })),
            Call::Exponential(factor) => {
                builder.growth_strategy(strategy(&mut told, GrowthStrategy::Exponential { factor }))
            }
            Call::Custom(amount) => {
                let custom = GrowthStrategy::Custom { compute: Box::new(move |_| amount) };
                builder.growth_strategy(strategy(&mut told, custom))
            }
            Call::SmallAlignment(bytes) => builder.alignment(alignment(&mut told, bytes.into())),
            Call::AlignmentBit(bit) => builder.alignment(alignment(&mut told, 1 << (bit % 64))),
            Call::Alignment(bytes) => builder.alignment(alignment(&mut told, bytes)),
            Call::PreInitialize(pre_initialize) => {
                told.pre_initialize = pre_initialize;
                builder.pre_initialize(pre_initialize)
            }
            Call::ThreadCache(slots) => {
                told.thread_cache = true;
                builder.thread_cache(slots)
            }
            Call::Zeroize(zeroize) => builder.zeroize(zeroize),
            Call::TrackLeaks(track_leaks) => {
                told.tracks_leaks = track_leaks;
                builder.track_leaks(track_leaks)
            }
            Call::IgnoreLeaks => builder.leak_policy(leak_policy(&mut told, LeakPolicy::Ignore)),
            Call::WarnOfLeaks => builder.leak_policy(leak_policy(&mut told, LeakPolicy::Warn)),
            Call::TellLeaks => builder.leak_policy(leak_policy(&mut told, LeakPolicy::tell(|_| ()))),
            Call::Initializer => {
                builder.initialization_strategy(initialization(&mut told, InitializationStrategy::eager(T::default)))
            }
            Call::Reset(keep) => {
                let custom = InitializationStrategy::custom(T::default, move |_: &mut T| keep);
                builder.initialization_strategy(initialization(&mut told, custom))
            }
            Call::Lazy => builder.initialization_strategy(initialization(&mut told, InitializationStrategy::Lazy)),
        };
    }
    (builder, told)
}

fn build<T: Poolable + Default + 'static>(calls: &[Call]) {
    let (builder, told) = configure::<T>(calls);
    let _printed = format!("{builder:?}");
    let faults = told.faults::<T>();
    let config = match builder.build() {
        Ok(config) => config,
        Err(error) => {
            let field = match &error {
                Error::InvalidCapacity => "capacity",
                Error::InvalidAlignment { alignment } if Some(*alignment) == told.alignment => "alignment",
                Error::InvalidConfiguration { field, .. } => field,
                other => panic!("{other}"),
            };
            assert!(faults.contains(&field), "{error}, wrong are {faults:?}");
            return;
        }
    };
    assert!(faults.is_empty(), "{faults:?} were accepted");
    if !told.has_initializer {
        round_trips::<PoolConfig<T>>(&config);
    }
    // What is neither small nor absurd is for the machine to say.
    let slot = config.alignment().max(size_of::<T>());
    let is_large = config.capacity() > 1 << 40 || (config.capacity() <= 200 && slot > 1 << 44);
    if !is_large && (config.capacity() > 200 || config.capacity() * slot > 1 << 22) {
        return;
    }
    let again = || configure::<T>(calls).0.build().unwrap();
    let may_be_fixed = !told.grows && told.max_capacity.is_none_or(|max| Some(max) == told.capacity);
    let for_one = !told.thread_cache;
    let attempts: [(Result<Box<dyn TryAllocate>>, bool); 5] = [
        (FixedPool::with_config(again()).map(boxed), may_be_fixed && for_one),
        (ThreadLocalPool::with_config(again()).map(boxed), may_be_fixed && for_one),
        (LockFreePool::with_config(again()).map(boxed), may_be_fixed),
        (GrowingPool::with_config(again()).map(boxed), for_one),
        (ThreadSafePool::with_config(config).map(boxed), true),
    ];
    for (result, is_allowed) in attempts {
        match result {
            Ok(pool) => {
                assert!(is_allowed && !is_large);
                pool.behave(&told);
            }
            Err(Error::OutOfMemory { .. }) => assert!(is_large),
            Err(Error::InvalidConfiguration { field, .. }) => {
                assert!(!is_allowed && ["growth_strategy", "max_capacity", "thread_cache"].contains(&field));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

trait TryAllocate {
    fn behave(&self, told: &Told);
}

fn boxed<P: TryAllocate + 'static>(pool: P) -> Box<dyn TryAllocate> {
    Box::new(pool)
}

macro_rules! try_allocate {
    ($($Pool:ident)*) => {$(
        impl<T: Poolable + Default> TryAllocate for $Pool<T> {
            fn behave(&self, told: &Told) {
                let capacity = told.capacity.expect("a pool has one");
                assert_eq!((self.capacity(), self.available(), self.name()), (capacity, capacity, told.name.as_deref()));
                assert_eq!(self.outstanding().is_some(), told.tracks_leaks);
                let handles: Vec<_> = (0..capacity).map(|_| self.allocate(T::default()).unwrap()).collect();
                let alignment = told.alignment.unwrap_or(align_of::<T>());
                assert!(handles.iter().all(|handle| (&raw const **handle).addr() % alignment == 0));
                assert!(self.is_full());
                if told.step_is_small {
                    let another = self.allocate(T::default());
                    assert!(another.is_ok() || self.capacity() == capacity);
                    assert!(told.max_capacity.is_none_or(|max| self.capacity() <= max));
                }
                drop(handles);
                assert!(self.is_empty() && self.acquire().is_ok() == told.has_initializer);
            }
        }
    )*};
}

try_allocate!(FixedPool ThreadLocalPool LockFreePool GrowingPool ThreadSafePool);

/// Writes a value in either format, if it can be written, and reads it again.
fn round_trips<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    let written = format!("{value:?}");
    // JSON has no word for numbers that are not finite: they become null.
    if let Some(json) = serde_json::to_string(value).ok().filter(|json| !json.contains("null")) {
        assert_eq!(format!("{:?}", serde_json::from_str::<T>(&json).unwrap()), written, "{json}");
    }
    if let Ok(toml) = toml::to_string(value) {
        assert_eq!(format!("{:?}", toml::from_str::<T>(&toml).unwrap()), written, "{toml}");
    }
}

fn read_as<T: Serialize + DeserializeOwned + Debug>(text: &str) {
    let (json, toml) = (serde_json::from_str::<T>(text), toml::from_str::<T>(text));
    json.iter().chain(&toml).for_each(round_trips);
    show(json.err());
    show(toml.err());
}

fn show(error: Option<impl Display>) {
    assert!(error.is_none_or(|error| !error.to_string().is_empty()));
}
