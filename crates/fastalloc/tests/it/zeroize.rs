//! Pools that overwrite what they held.

use std::ptr;

use fastalloc::{Allocator, FixedPool, Kind, Pool, PoolConfig, PoolConfigBuilder};

use crate::support::{build, config, inject, on_every_pool, survive};

on_every_pool! {
    memory_of_what_is_gone_is_overwritten
    objects_that_are_kept_are_not
}

const SECRET: [u64; 6] = [0x5EC2E7; 6];

/// What is in a slot of a pool that is alive.
fn content(slot: *const [u64; 6]) -> [u64; 6] {
    // SAFETY: the slot was written to, and the pool is alive.
    unsafe { slot.read() }
}

fn memory_of_what_is_gone_is_overwritten<A: Allocator + Default, K: Kind>() {
    let pool: Pool<[u64; 6], A, K> = build(config(2).zeroize(true));
    let handle = pool.allocate(SECRET).unwrap();
    let slot = ptr::from_ref(&*handle);
    drop(handle);
    assert_eq!(content(slot), [0; 6]);

    let handle = pool.allocate(SECRET).unwrap();
    let slot = ptr::from_ref(&*handle);
    assert_eq!((handle.into_inner(), content(slot)), (SECRET, [0; 6]));

    let mut slot = ptr::null();
    survive(|| {
        drop(pool.allocate_in_place(|place| {
            slot = ptr::from_ref(place.write(SECRET));
            inject()
        }));
    });
    assert_eq!(content(slot), [0; 6]);

    let shared = pool.allocate_shared(SECRET).unwrap();
    let slot = ptr::from_ref(&*shared);
    drop(shared);
    assert_eq!(content(slot), [0; 6]);
}

fn objects_that_are_kept_are_not<A: Allocator + Default, K: Kind>() {
    let pool: Pool<[u64; 6], A, K> = build(config(1).reset_fn(|| SECRET, |object| object[0] = 1).zeroize(true));
    let object = pool.acquire().unwrap();
    let slot = ptr::from_ref(&*object);
    drop(object);
    assert_eq!((content(slot)[0], content(slot)[1]), (1, SECRET[1]));
    // Here it makes room for a value, whose slot was overwritten before.
    let handle = pool.allocate_in_place(|place| {
        // SAFETY: the slot was overwritten.
        assert_eq!(unsafe { place.assume_init_read() }, [0; 6]);
        place.write(SECRET)
    });
    drop(handle);
    assert_eq!(content(slot)[1], SECRET[1], "the value is kept as the next object");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let pool = FixedPool::new(1).unwrap();
    let handle = pool.allocate(SECRET).unwrap();
    let slot = ptr::from_ref(&*handle);
    drop(handle);
    assert_eq!(content(slot), SECRET);
    let config: PoolConfigBuilder<u8> = PoolConfig::builder().capacity(1);
    assert!(!config.build().unwrap().zeroize());
}

#[cfg(all(feature = "std", feature = "lock-free"))]
mod shared {
    use fastalloc::{LockFree, Locking, SharedPool, Sharing};

    use super::{SECRET, content, ptr};
    use crate::support::config;

    fn memory_of_what_is_gone_is_overwritten<K: Sharing>() {
        for capacity in [2, 1_000] {
            let config = config(capacity).zeroize(true).build().unwrap();
            let pool = SharedPool::<[u64; 6], K>::with_config(config).unwrap();
            let handle = pool.allocate(SECRET).unwrap();
            let slot = ptr::from_ref(&*handle);
            std::thread::scope(|scope| drop(scope.spawn(|| drop(handle)).join()));
            assert_eq!(content(slot), [0; 6]);

            let handle = pool.allocate_wait(SECRET).unwrap();
            let slot = ptr::from_ref(&*handle);
            assert_eq!((handle.into_inner(), content(slot)), (SECRET, [0; 6]));

            let shared = pool.allocate_shared(SECRET).unwrap();
            let slot = ptr::from_ref(&*shared);
            drop(shared);
            assert_eq!(content(slot), [0; 6]);
        }
    }

    #[test]
    fn memory_of_what_is_gone_is_overwritten_behind_a_lock() {
        memory_of_what_is_gone_is_overwritten::<Locking>();
    }

    #[test]
    fn memory_of_what_is_gone_is_overwritten_without_a_lock() {
        memory_of_what_is_gone_is_overwritten::<LockFree>();
    }
}
