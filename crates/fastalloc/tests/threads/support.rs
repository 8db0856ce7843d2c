//! What the tests share: both kinds of pools, values that are counted without a lock, threads that start together.

use std::mem;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

use fastalloc::{Error, PoolConfigBuilder, Poolable, SharedPool, Sharing};

#[path = "../it/support.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the other tests use the rest")]
mod it;

pub(crate) use it::{
    BEYOND_MEMORY, BLOCK, Counted, Injected, Ledger, Reporter, config, event, events, inject, panic_at, panic_message,
    survive, traits,
};

/// Turns generic functions `fn test<K: Sharing>()` into one test for each kind of pool.
macro_rules! on_every_shared_pool {
    ($($test:ident)*) => {
        mod locking {
            $(
                #[test]
                fn $test() {
                    super::$test::<fastalloc::Locking>();
                }
            )*
        }
        #[cfg(feature = "lock-free")]
        mod lock_free {
            $(
                #[test]
                fn $test() {
                    super::$test::<fastalloc::LockFree>();
                }
            )*
        }
    };
}

pub(crate) use on_every_shared_pool;

/// Miri is some thousand times slower.
pub(crate) const fn rounds(natively: usize, in_miri: usize) -> usize {
    if cfg!(miri) { in_miri } else { natively }
}

/// A pool that does not grow.
pub(crate) fn pool<T: Poolable, K: Sharing>(capacity: usize) -> SharedPool<T, K> {
    build(config(capacity))
}

pub(crate) fn build<T: Poolable, K: Sharing>(config: PoolConfigBuilder<T>) -> SharedPool<T, K> {
    SharedPool::with_config(config.build().unwrap()).unwrap()
}

/// Allocates all slots of a pool that does not grow, and one more, which fails.
#[track_caller]
pub(crate) fn assert_all_are_there<T: Poolable, K: Sharing>(pool: &SharedPool<T, K>, value: impl Fn() -> T) {
    let capacity = pool.capacity();
    let all: Vec<_> = (0..capacity).map(|_| pool.try_allocate(value()).expect("all slots are vacant")).collect();
    assert_eq!(pool.allocate(value()).err(), Some(Error::PoolExhausted { capacity, allocated: capacity }));
    let mut seen = vec![false; capacity];
    assert!(all.iter().all(|handle| !mem::replace(&mut seen[handle.index()], true)), "handed out twice");
}

/// Runs `f` in so many threads, which start together. It is passed the number of its thread. Returns when the
/// threads have ended, the destructors of their thread-local variables included.
pub(crate) fn together(threads: usize, f: impl Fn(usize) + Sync) {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let spawn = |number| {
            let (f, start) = (&f, &start);
            scope.spawn(move || {
                start.wait();
                f(number);
            })
        };
        let all: Vec<_> = (0..threads).map(spawn).collect();
        // Also if one of them has panicked.
        let results: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
        results.into_iter().for_each(|result| result.unwrap_or_else(|payload| resume_unwind(payload)));
    });
}

/// Counts the values of one test. It orders nothing, so that it cannot hide what the pool fails to order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    born: AtomicUsize,
    dead: AtomicUsize,
}

impl Tally {
    /// One that nobody uses.
    pub(crate) fn next() -> &'static Self {
        const SIZE: usize = 1024;
        static TALLIES: [Tally; SIZE] =
            [const { Tally { born: AtomicUsize::new(0), dead: AtomicUsize::new(0) } }; SIZE];
        static USED: AtomicUsize = AtomicUsize::new(0);
        &TALLIES[USED.fetch_add(1, Relaxed)]
    }

    pub(crate) fn value(&'static self, mark: u64) -> Tracked {
        self.born.fetch_add(1, Relaxed);
        Tracked { state: ALIVE, mark, tally: self }
    }

    pub(crate) fn born(&self) -> usize {
        self.born.load(Relaxed)
    }

    pub(crate) fn dead(&self) -> usize {
        self.dead.load(Relaxed)
    }

    /// Asserts that so many values were born, and are dead.
    #[track_caller]
    pub(crate) fn assert_all_dead(&self, born: usize) {
        assert_eq!((self.born(), self.dead()), (born, born), "born and dead");
    }

    /// Asserts that all values that were born are dead.
    #[track_caller]
    pub(crate) fn assert_none_left(&self) {
        self.assert_all_dead(self.born());
    }
}

const ALIVE: u64 = 0xA11F_E000_A11F_E000;
const DEAD: u64 = 0xDEAD_0000_DEAD_0000;

/// A value that notices if it is destroyed twice, or used by two threads at a time.
#[derive(Debug)]
pub(crate) struct Tracked {
    state: u64,
    /// What the owner wrote last.
    pub(crate) mark: u64,
    tally: &'static Tally,
}

impl Tracked {
    /// Asserts that the value is the one that its owner wrote.
    #[track_caller]
    pub(crate) fn check(&self, mark: u64) {
        assert_eq!((self.state, self.mark), (ALIVE, mark), "another owner's value");
    }
}

impl Poolable for Tracked {}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        self.check(self.mark);
        self.tally.value(self.mark)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert_eq!(self.state, ALIVE, "destroyed twice");
        self.state = DEAD;
        self.tally.dead.fetch_add(1, Relaxed);
    }
}

/// How many are somewhere at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicUsize);

impl Gate {
    /// Asserts that fewer than `limit` are there.
    #[track_caller]
    pub(crate) fn enter(&self, limit: usize) {
        assert!(self.0.fetch_add(1, Relaxed) < limit, "more than the capacity");
    }

    /// To be called before the slot is released.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// How many slots are vacant: who takes a permit before he allocates must get one.
#[derive(Debug)]
pub(crate) struct Permits(AtomicUsize);

impl Permits {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(AtomicUsize::new(capacity))
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_update(Acquire, Relaxed, |count| count.checked_sub(1)).is_ok()
    }

    /// To be called after the slot was released.
    pub(crate) fn give(&self) {
        self.0.fetch_add(1, Release);
    }
}

/// Random numbers: Marsaglia's xorshift.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        let mut random = Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    /// Whether something happens that happens once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
