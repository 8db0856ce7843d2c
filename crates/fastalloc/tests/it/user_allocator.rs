//! An allocator that a user wrote, in a pool.

use fastalloc::{Allocator, Error, FixedPool, Growing, GrowingPool, Kind, OwnedHandle, Pool, PoolConfig, Result};

use crate::support::{Ledger, config};

/// Hands out the highest vacant index.
#[derive(Debug, Default)]
struct Highest<const HOT_SLOT: bool> {
    vacant: Vec<bool>,
    /// What `grow` never exceeds.
    limit: Option<usize>,
}

// SAFETY: an index is handed out if it is vacant, and then it is not until it is freed.
unsafe impl<const HOT: bool> Allocator for Highest<HOT> {
    const HOT_SLOT: bool = HOT;

    fn allocate(&mut self) -> Option<usize> {
        let index = self.vacant.iter().rposition(|&vacant| vacant)?;
        self.vacant[index] = false;
        Some(index)
    }

    fn free(&mut self, index: usize) {
        self.vacant[index] = true;
    }

    fn grow(&mut self, additional: usize) -> Result<()> {
        let capacity = self.vacant.len() + additional;
        if self.limit.is_some_and(|limit| capacity > limit) {
            return Err(Error::OutOfMemory { bytes: capacity });
        }
        self.vacant.resize(capacity, true);
        Ok(())
    }

    fn available(&self) -> usize {
        self.vacant.iter().filter(|&&vacant| vacant).count()
    }

    fn capacity(&self) -> usize {
        self.vacant.len()
    }
}

type Strict = Highest<false>;
type Hot = Highest<true>;

fn with<A: Allocator, K: Kind>(capacity: usize, allocator: A) -> Pool<String, A, K> {
    Pool::with_allocator(config(capacity).build().unwrap(), allocator).unwrap()
}

#[test]
fn decides_which_slot_is_next() {
    let pool: FixedPool<_, Strict> = with(4, Strict::default());
    let mut handles: Vec<_> = (0..4).map(|number| pool.allocate(number.to_string()).unwrap()).collect();
    assert!(handles.iter().map(OwnedHandle::index).eq([3, 2, 1, 0]));
    drop(handles.remove(1));
    drop(handles.remove(2));
    assert_eq!(pool.allocate("again".into()).unwrap().index(), 2);
}

#[test]
fn is_left_alone_by_the_hot_slot_unless_it_allows_one() {
    let pool: FixedPool<_, Hot> = with(4, Hot::default());
    let handles: Vec<_> = (0..4).map(|number| pool.allocate(number.to_string()).unwrap()).collect();
    handles.into_iter().for_each(drop);
    assert_eq!(pool.allocate("hot".into()).unwrap().index(), 0, "the one that was released last");
    assert_eq!((pool.available(), pool.capacity()), (4, 4));
    let all: Vec<_> = (0..4).map(|number| pool.allocate(number.to_string()).unwrap()).collect();
    assert!(pool.is_full() && all.iter().map(OwnedHandle::index).sum::<usize>() == 6);
}

#[test]
fn may_refuse_to_grow() {
    let pool: GrowingPool<_, Strict> = Pool::with_allocator(
        PoolConfig::builder().capacity(2).build().unwrap(),
        Strict { limit: Some(3), ..Strict::default() },
    )
    .unwrap();
    let two = pool.allocate_batch(["a".to_string(), "b".to_string()]).unwrap();
    let before = pool.bytes_reserved();
    assert_eq!(pool.allocate("c".into()).unwrap_err(), Error::OutOfMemory { bytes: 4 });
    assert_eq!((pool.capacity(), pool.allocated(), pool.bytes_reserved()), (2, 2, before));
    pool.reserve(1).unwrap();
    assert_eq!(*pool.allocate("c".into()).unwrap(), "c");
    assert_eq!(two[1].as_str(), "b");
}

#[test]
fn works_in_pools_that_recycle_and_trim() {
    let made = Ledger::default();
    let ledger = made.clone();
    let config = PoolConfig::builder().capacity(1).reset_fn(move || made.next(), |_| ()).build().unwrap();
    let pool: Pool<_, Hot, Growing> = Pool::with_allocator(config, Hot::default()).unwrap();
    drop((0..9).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    drop((0..9).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    assert_eq!((pool.available(), ledger.dead()), (16, 0));
    assert_eq!(pool.trim_to(0), 16);
    assert_eq!((pool.capacity(), ledger.dead()), (0, ledger.born()));
    assert!(pool.acquire().is_ok());
}
