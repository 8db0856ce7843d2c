//! Every error, as a user comes to see it.

use std::error::Error as StdError;

use fastalloc::{
    Allocator, BitmapAllocator, Error, FixedPool, GrowingPool, GrowthStrategy, PoolConfig, PoolConfigBuilder,
    ThreadLocalPool,
};

#[track_caller]
fn assert_refused(config: PoolConfigBuilder<u64>, error: Error, message: &str) {
    let refused = config.build().unwrap_err();
    assert_eq!((&refused, refused.to_string().as_str()), (&error, message));
}

fn builder() -> PoolConfigBuilder<u64> {
    PoolConfig::builder().capacity(10)
}

fn invalid(field: &'static str, message: &'static str) -> Error {
    Error::InvalidConfiguration { field, message }
}

#[test]
fn full_pool() {
    let pool = FixedPool::new(2).unwrap();
    let handle = pool.allocate(1).unwrap();
    let error = pool.allocate_batch([2, 3]).unwrap_err();
    assert_eq!(error, Error::PoolExhausted { capacity: 2, allocated: 1 });
    assert_eq!(
        error.to_string(),
        "too few vacant slots: 1 of 2 slots are occupied; \
         ask for fewer at once, raise the capacity, or let the pool grow"
    );
    let _full = (handle, pool.allocate(2).unwrap());
    let error = pool.allocate(3).unwrap_err();
    assert_eq!(error, Error::PoolExhausted { capacity: 2, allocated: 2 });
    assert_eq!(
        error.to_string(),
        "pool exhausted: 2 of 2 slots are occupied; drop a handle, raise the capacity, or let the pool grow"
    );
}

#[test]
fn pool_at_its_limit() {
    let config = PoolConfig::builder().capacity(2).max_capacity(Some(3)).build().unwrap();
    let pool = GrowingPool::with_config(config).unwrap();
    let _full = pool.allocate_batch([1, 2, 3]).unwrap();
    let error = pool.allocate(4).unwrap_err();
    assert_eq!(error, Error::MaxCapacityExceeded { current: 3, requested: 6, max: 3 });
    assert_eq!(
        error.to_string(),
        "pool at its limit: it has 3 slots, would need 6, and max_capacity is 3; drop handles or raise max_capacity"
    );
}

#[test]
fn capacity_of_zero() {
    let message = "capacity is 0; a pool needs room for at least 1 object";
    assert_refused(PoolConfig::builder().capacity(0), Error::InvalidCapacity, message);
    assert_eq!(FixedPool::<u64>::new(0).unwrap_err(), Error::InvalidCapacity);
    assert_eq!(GrowingPool::<u64>::new(0).unwrap_err(), Error::InvalidCapacity);
    assert_eq!(ThreadLocalPool::<u64>::new(0).unwrap_err(), Error::InvalidCapacity);
}

#[test]
fn capacity_that_is_missing() {
    assert_refused(
        PoolConfig::builder(),
        invalid("capacity", "it is missing; call .capacity(slots) on the builder"),
        "invalid capacity: it is missing; call .capacity(slots) on the builder",
    );
}

#[test]
fn alignment_that_cannot_be() {
    for alignment in [0, 1, align_of::<u64>() / 2, 3, 24, 100] {
        let message = format!(
            "alignment {alignment} cannot be used; \
             it must be a power of two and at least the alignment of the pool's type"
        );
        assert_refused(builder().alignment(alignment), Error::InvalidAlignment { alignment }, &message);
    }
}

#[test]
fn limit_below_the_capacity() {
    assert_refused(
        builder().max_capacity(Some(9)),
        invalid("max_capacity", "it is below capacity; raise it, or lower capacity"),
        "invalid max_capacity: it is below capacity; raise it, or lower capacity",
    );
    assert!(builder().max_capacity(Some(10)).build().is_ok());
}

#[test]
fn growth_factor_that_does_not_grow() {
    for factor in [1.0, 0.5, 0.0, -2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_refused(
            builder().growth_strategy(GrowthStrategy::Exponential { factor }),
            invalid("growth_strategy", "factor must be a finite number above 1, such as 2.0"),
            "invalid growth_strategy: factor must be a finite number above 1, such as 2.0",
        );
    }
}

#[test]
fn objects_that_nobody_makes() {
    assert_refused(
        builder().pre_initialize(true),
        invalid("pre_initialize", "nothing makes the objects; add .initializer(f) or .reset_fn(f, reset)"),
        "invalid pre_initialize: nothing makes the objects; add .initializer(f) or .reset_fn(f, reset)",
    );
    let pool = FixedPool::<u64>::new(1).unwrap();
    assert_eq!(
        pool.acquire().unwrap_err().to_string(),
        "invalid initialization_strategy: acquire needs objects that the pool makes; \
         add .initializer(f) or .reset_fn(f, reset), or call allocate(value)"
    );
}

#[test]
fn growth_of_a_pool_that_never_grows() {
    let message = "the pool never grows; remove it, or use a GrowingPool";
    let strategy = || builder().growth_strategy(GrowthStrategy::Linear { amount: 1 }).build().unwrap();
    let limit = || builder().max_capacity(Some(11)).build().unwrap();
    let errors = [FixedPool::with_config(strategy()).err(), ThreadLocalPool::with_config(strategy()).err()];
    assert_eq!(errors, [Some(invalid("growth_strategy", message)), Some(invalid("growth_strategy", message))]);
    let errors = [FixedPool::with_config(limit()).err(), ThreadLocalPool::with_config(limit()).err()];
    assert_eq!(errors, [Some(invalid("max_capacity", message)), Some(invalid("max_capacity", message))]);
    assert_eq!(invalid("max_capacity", message).to_string(), format!("invalid max_capacity: {message}"));

    // What says the same as the pool is accepted.
    let config = builder().growth_strategy(GrowthStrategy::None).max_capacity(Some(10)).build().unwrap();
    assert!(FixedPool::with_config(config).is_ok());
}

#[test]
fn cache_of_threads_in_a_pool_for_one() {
    let config = || builder().thread_cache(10).build().unwrap();
    let message = "the pool is for one thread at a time; remove it, or use a ThreadSafePool";
    let errors = [
        FixedPool::with_config(config()).err(),
        GrowingPool::with_config(config()).err(),
        ThreadLocalPool::with_config(config()).err(),
    ];
    assert_eq!(errors, [(); 3].map(|()| Some(invalid("thread_cache", message))));
}

#[test]
fn allocator_that_is_in_use() {
    let mut allocator = BitmapAllocator::new(10).unwrap();
    assert_eq!(allocator.allocate(), Some(0));
    let error = FixedPool::with_allocator(builder().build().unwrap(), allocator).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid allocator: it has indices already; pass one with capacity 0, the pool makes it grow"
    );
}

#[test]
fn memory_that_cannot_be_had() {
    let error = FixedPool::<[u64; 8]>::new(usize::MAX / 8).unwrap_err();
    assert_eq!(
        error.to_string(),
        "out of memory: the pool's size in bytes is beyond what can be addressed; lower the capacity"
    );
    let error = Error::OutOfMemory { bytes: 4096 };
    let message = "out of memory: 4096 bytes could not be reserved; lower the capacity or the growth step";
    assert_eq!(error.to_string(), message);
}

#[test]
fn error_has_the_traits_of_an_error() {
    fn assert_error<E: core::error::Error + Clone + PartialEq + Eq + Send + Sync + 'static>() {}
    assert_error::<Error>();
    let error = FixedPool::<u8>::new(0).unwrap_err();
    assert_eq!((error.clone(), format!("{error:?}")), (Error::InvalidCapacity, "InvalidCapacity".into()));
    let boxed: Box<dyn StdError> = error.into();
    assert!(boxed.source().is_none());

    let pool = FixedPool::new(1).unwrap();
    let _full = pool.allocate(1).unwrap();
    let rejected = pool.allocate_or_return(2).unwrap_err();
    assert!(format!("{rejected:?}").contains("PoolExhausted"));
    let boxed: Box<dyn StdError> = Box::new(rejected);
    assert!(boxed.to_string().starts_with("pool exhausted"));
}

#[test]
fn configuration_can_be_read() {
    let config = builder().max_capacity(Some(20)).alignment(64).reset_fn(|| 0, |_| ()).pre_initialize(true);
    let config = config.thread_cache(30);
    let text = format!("{config:?}");
    assert!(text.contains("capacity: Some(10)") && text.contains("alignment: Some(64)"), "{text}");
    let config = config.growth_strategy(GrowthStrategy::Linear { amount: 5 }).build().unwrap();
    assert_eq!((config.capacity(), config.max_capacity(), config.alignment()), (10, Some(20), 64));
    assert_eq!(config.thread_cache(), Some(30));
    assert!(config.pre_initialize() && !config.initialization_strategy().is_lazy());
    assert_eq!(config.growth_strategy().map(|strategy| strategy.compute_growth(1)), Some(5));
    assert!(format!("{config:?}").contains("initialization_strategy: Custom { resets: true, .. }"));
    assert!(!config.initialization_strategy().is_eager());
    let config = builder().build().unwrap();
    assert!(!config.pre_initialize() && config.initialization_strategy().is_lazy());
    let config = PoolConfigBuilder::<u64>::default().name("jobs").capacity(1).initializer(|| 1).build().unwrap();
    assert!(config.initialization_strategy().is_eager() && config.name() == Some("jobs"));
    assert!(format!("{config:?}").contains("initialization_strategy: Eager { .. }"), "{config:?}");
}

#[test]
#[cfg(feature = "std")]
fn leak_policy_can_be_read() {
    use fastalloc::LeakPolicy;

    let config = builder().track_leaks(true).leak_policy(LeakPolicy::tell(|_| ())).build().unwrap();
    assert!(config.track_leaks() && matches!(config.leak_policy(), Some(LeakPolicy::Tell { .. })));
    assert!(format!("{config:?}").contains("leak_policy: Some(Tell { .. })"), "{config:?}");
    let config = builder().build().unwrap();
    assert!(!config.track_leaks() && config.leak_policy().is_none());
}
