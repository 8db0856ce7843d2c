/// For objects of 64 bytes that are allocated at `my_app::serve::request`.
///
/// In the trace: 10000 objects, at most 100 alive at once;
/// for 99 % of allocations 99 slots, for 99.9 % 100.
/// Reserves 8000 bytes, and 8000 at most.
/// Note: 50.0 % are freed by another thread than allocated them.
/// Note: a LockFreePool would do, if no thread may ever wait for another.
pub fn request_64_pool<T: fastalloc::Poolable>() -> fastalloc::Result<fastalloc::ThreadSafePool<T>> {
    let config = fastalloc::PoolConfig::builder()
        .name("my_app::serve::request")
        .capacity(125)
        .build()?;
    fastalloc::ThreadSafePool::with_config(config)
}

/// For objects of 64 bytes that are allocated at `my_app::site_3000`.
///
/// In the trace: 10000 objects, at most 100 alive at once;
/// for 99 % of allocations 99 slots, for 99.9 % 100.
/// Reserves 8000 bytes, and 8000 at most.
pub fn site_3000_64_pool<T: fastalloc::Poolable>() -> fastalloc::Result<fastalloc::FixedPool<T>> {
    let config = fastalloc::PoolConfig::builder()
        .name("my_app::site_3000")
        .capacity(125)
        .build()?;
    fastalloc::FixedPool::with_config(config)
}

/// For objects of 24 bytes that are allocated at `my_app::parse::{{closure}}`.
///
/// In the trace: 100300 objects, at most 301 alive at once;
/// for 99 % of allocations 1 slots, for 99.9 % 202.
/// Reserves 32 bytes, and 12064 at most.
pub fn closure_24_pool<T: fastalloc::Poolable>() -> fastalloc::Result<fastalloc::GrowingPool<T>> {
    let config = fastalloc::PoolConfig::builder()
        .name("my_app::parse::{{closure}}")
        .capacity(1)
        .max_capacity(Some(377))
        .growth_strategy(fastalloc::GrowthStrategy::Linear { amount: 94 })
        .alignment(32.max(align_of::<T>()))
        .build()?;
    fastalloc::GrowingPool::with_config(config)
}
