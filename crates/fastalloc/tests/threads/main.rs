//! Pools that threads share.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fastalloc::{Error, LockFreePool, PoolConfig, SharedPool, Sharing, ThreadSafePool};

fn smoke<K: Sharing>() {
    let pool = SharedPool::<String, K>::new(10).unwrap();
    let all: Vec<_> = (0..10).map(|i| pool.allocate(i.to_string()).unwrap()).collect();
    assert_eq!(pool.allocate(String::new()).unwrap_err(), Error::PoolExhausted { capacity: 10, allocated: 10 });
    let mut indices: Vec<_> = all.iter().map(|h| h.index()).collect();
    indices.sort();
    assert_eq!(indices, (0..10).collect::<Vec<_>>());
    assert!(all.iter().enumerate().all(|(i, h)| **h == i.to_string()));
    drop(all);
    assert!(pool.is_empty());
    let h = pool.allocate("a".into()).unwrap();
    drop(pool);
    assert_eq!(*h, "a");
}

fn exact<K: Sharing>(threads: usize, each: usize, rounds: usize)
where
    SharedPool<usize, K>: Send + Sync,
{
    let pool = SharedPool::<usize, K>::new(threads * each).unwrap();
    thread::scope(|s| {
        for t in 0..threads {
            let pool = &pool;
            s.spawn(move || {
                let mut held = Vec::new();
                for round in 0..rounds {
                    for i in 0..each {
                        held.push(pool.allocate(t * 1000 + i).expect("exact"));
                    }
                    assert!(held.iter().enumerate().all(|(i, h)| **h == t * 1000 + i));
                    if round % 2 == 0 {
                        held.clear();
                    } else {
                        while let Some(h) = held.pop() {
                            drop(h);
                        }
                    }
                }
            });
        }
    });
    assert!(pool.is_empty());
}

#[test]
fn smoke_both() {
    smoke::<fastalloc::Locking>();
    smoke::<fastalloc::LockFree>();
}

#[test]
fn exact_both() {
    for (threads, each) in [(2, 1), (4, 3), (8, 100), (3, 1000)] {
        exact::<fastalloc::Locking>(threads, each, 200);
        exact::<fastalloc::LockFree>(threads, each, 200);
    }
}

#[test]
fn waiting() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let pool = ThreadSafePool::new(3).unwrap();
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..200 {
                    let h = pool.allocate_wait(1).unwrap();
                    assert!(ALIVE.fetch_add(1, Relaxed) < 3);
                    ALIVE.fetch_sub(1, Relaxed);
                    drop(h);
                }
            });
        }
    });
    let all = pool.allocate_batch([1, 2, 3]).unwrap();
    assert_eq!(pool.allocate_timeout(4, Duration::from_millis(5)).unwrap_err(), Error::Timeout);
    drop(all);
    assert_eq!(pool.available(), 3);
}

#[test]
fn recycled() {
    let config = PoolConfig::builder().capacity(4).pre_initialize(true).reset_fn(String::new, |s| s.clear()).build();
    let pool = LockFreePool::with_config(config.unwrap()).unwrap();
    let a = pool.acquire().unwrap();
    let b = pool.allocate("x".into()).unwrap();
    assert_eq!(pool.available(), 2);
    drop((a, b));
    assert_eq!(pool.available(), 4);
}
