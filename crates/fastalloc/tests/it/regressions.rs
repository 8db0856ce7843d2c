//! One test for each bug that was found.

use std::cell::{Cell, RefCell};
use std::marker::PhantomPinned;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use fastalloc::{
    Allocator, Error, FixedPool, FreeListAllocator, GrowingPool, GrowthStrategy, OwnedHandle, PoolConfig, Poolable,
};

use crate::support::{BLOCK, Reporter, build, config, events, inject, on_every_growing_pool, survive};

on_every_growing_pool! {
    slots_without_objects_are_not_destroyed_after_a_panic_in_trim
    destructor_may_reserve_while_its_block_is_trimmed
    batch_does_not_grow_a_pool_whose_strategy_adds_nothing
    acquire_prefers_recycled_objects_after_trim_and_growth
}

/// The blocks that were still to be trimmed stayed withheld, and the pool took their vacant slots for occupied ones.
fn slots_without_objects_are_not_destroyed_after_a_panic_in_trim<A: Allocator + Default>() {
    thread_local! {
        static DESTROYED: Cell<u32> = const { Cell::new(0) };
    }
    struct Bomb(u32);

    impl Poolable for Bomb {}

    impl Drop for Bomb {
        fn drop(&mut self) {
            DESTROYED.set(DESTROYED.get() + 1);
            if std::mem::take(&mut self.0) == 1 {
                inject();
            }
        }
    }

    let pool: GrowingPool<_, A> =
        build(PoolConfig::builder().capacity(40).alignment(BLOCK).reset_fn(|| Bomb(0), |_| ()));
    let mut handles: Vec<_> = (0..40).map(|_| pool.acquire().unwrap()).collect();
    // The last block is the first one to go; the others get slots that hold nothing.
    handles.last_mut().unwrap().0 = 1;
    let kept = handles.pop().unwrap();
    handles.into_iter().for_each(|handle| drop(handle.into_inner()));
    drop(kept);
    assert_eq!(DESTROYED.get(), 39);
    assert!(survive(|| pool.trim_to(0)).is_none());
    drop(pool);
    assert_eq!(DESTROYED.get(), 40);
}

/// The block being trimmed was hidden, so that the pool tried to add slots beyond its limit.
fn destructor_may_reserve_while_its_block_is_trimmed<A: Allocator + Default>() {
    thread_local! {
        static POOL: RefCell<Option<Rc<dyn Reserve>>> = const { RefCell::new(None) };
    }
    trait Reserve {
        fn reserve(&self);
    }

    impl<A: Allocator> Reserve for GrowingPool<Object, A> {
        fn reserve(&self) {
            for additional in [1, 2, 3] {
                let before = self.capacity();
                let vacant = self.available();
                match GrowingPool::reserve(self, vacant + additional) {
                    Ok(()) => assert_eq!(self.capacity(), before + additional),
                    Err(_) => assert_eq!(self.capacity(), before),
                }
            }
        }
    }

    struct Object;

    impl Poolable for Object {}

    impl Drop for Object {
        fn drop(&mut self) {
            if let Some(pool) = POOL.with_borrow(Clone::clone) {
                pool.reserve();
            }
        }
    }

    let config = PoolConfig::builder().capacity(37).max_capacity(Some(40)).alignment(BLOCK).reset_fn(|| Object, |_| ());
    let pool: Rc<GrowingPool<_, A>> = Rc::new(build(config));
    drop((0..37).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    POOL.set(Some(pool.clone()));
    pool.trim_to(0);
    POOL.set(None);
    assert!(pool.capacity() <= 40 && pool.is_empty());
}

fn batch_does_not_grow_a_pool_whose_strategy_adds_nothing<A: Allocator + Default>() {
    for strategy in [
        GrowthStrategy::None,
        GrowthStrategy::Linear { amount: 0 },
        GrowthStrategy::Custom { compute: Box::new(|_| 0) },
    ] {
        let pool: GrowingPool<_, A> = build(PoolConfig::builder().capacity(2).growth_strategy(strategy));
        assert_eq!(pool.allocate_batch([1, 2, 3]).unwrap_err(), Error::PoolExhausted { capacity: 2, allocated: 0 });
        assert_eq!((pool.capacity(), pool.available()), (2, 2));
    }
}

/// Slots that had been trimmed and came back, empty, were offered before those with objects.
fn acquire_prefers_recycled_objects_after_trim_and_growth<A: Allocator + Default>() {
    thread_local! {
        static MADE: Cell<u32> = const { Cell::new(0) };
    }
    let initializer = || {
        MADE.set(MADE.get() + 1);
        0_u64
    };
    let pool: GrowingPool<_, A> =
        build(PoolConfig::builder().capacity(20).alignment(BLOCK).reset_fn(initializer, |_| ()));
    let handles: Vec<_> = (0..20).map(|_| pool.acquire().unwrap()).collect();
    // Holds the last block; the others go.
    let (mut gone, mut last): (Vec<_>, Vec<_>) = handles.into_iter().partition(|handle| handle.index() < 16);
    gone.clear();
    pool.trim_to(0);
    last.clear();
    pool.reserve(20).unwrap();
    MADE.set(0);
    let four: Vec<_> = (0..4).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((four.len(), MADE.get()), (4, 0));
    // Also if trim finds nothing to give back, but puts all vacant slots into another order.
    drop(four);
    pool.trim_to(20);
    let four: Vec<_> = (0..4).map(|_| pool.acquire().unwrap()).collect();
    assert_eq!((four.len(), MADE.get()), (4, 0));
}

#[test]
fn free_list_keeps_its_order_when_a_trim_finds_nothing() {
    let pool =
        GrowingPool::with_allocator(PoolConfig::builder().capacity(5).build().unwrap(), FreeListAllocator::default())
            .unwrap();
    let handles: Vec<_> = (0..5).map(|number| pool.allocate(number).unwrap()).collect();
    handles.into_iter().for_each(drop);
    assert_eq!(pool.trim(), 0);
    let indices: Vec<_> = (0..5).map(|number| pool.allocate(number).unwrap()).map(|handle| handle.index()).collect();
    let again: Vec<_> = (0..5).map(|number| pool.allocate(number).unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!(again.iter().map(OwnedHandle::index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// `Pin` promises that the object stays where it is until it is destroyed, so it must not be handed out again unpinned.
#[test]
fn pinned_object_is_never_moved() {
    #[derive(Default)]
    struct Object {
        pinned_at: usize,
        _pin: PhantomPinned,
    }

    impl Poolable for Object {}

    let pool: FixedPool<Object> = build(config(1).reset_fn(Object::default, |_| ()));
    let mut pinned = pool.acquire().unwrap().into_pin();
    let address = std::ptr::from_ref(&*pinned).addr();
    // SAFETY: nothing is moved.
    unsafe { pinned.as_mut().get_unchecked_mut() }.pinned_at = address;
    drop(pinned);
    let moved: Object = pool.acquire().unwrap().into_inner();
    assert_eq!(moved.pinned_at, 0, "an object that was pinned has been moved");
}

/// An array with a destructor, which gives access to all of itself.
struct Wiped([Reporter; 2]);

impl Poolable for Wiped {
    fn on_release(&mut self) {
        crate::support::event("wipe hook");
    }
}

impl Deref for Wiped {
    type Target = [Reporter; 2];

    fn deref(&self) -> &[Reporter; 2] {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut [Reporter; 2] {
        &mut self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        crate::support::event("wipe");
    }
}

/// The destructor was that of the field, which has the address and the size of the whole.
#[test]
fn handle_unsized_to_its_only_field_runs_the_destructor_of_the_whole() {
    let pool = FixedPool::new(1).unwrap();
    let handle = pool.allocate(Wiped([Reporter(1), Reporter(2)])).unwrap();
    events();
    let slice: OwnedHandle<'_, [Reporter]> = handle.unsize(|whole| &mut whole[..]);
    assert_eq!(slice.len(), 2);
    drop(slice);
    assert_eq!(events(), ["wipe hook", "wipe", "drop", "drop"]);
    assert!(pool.is_empty());
}

/// Chunks that had no header yet when their region was given back were opened without memory.
#[test]
fn slots_after_a_region_that_was_given_back_untouched_can_be_used() {
    let pool = GrowingPool::new(10).unwrap();
    pool.reserve(32_000).unwrap();
    pool.reserve(320_000).unwrap();
    let before = pool.capacity();
    assert!(pool.trim_to(before - 32_010) > 0);
    let numbers: Vec<_> = (0..1_000_u64).map(|number| pool.allocate(number).unwrap()).collect();
    assert!(numbers.iter().zip(0..).all(|(handle, number)| **handle == number));
    pool.reserve(before).unwrap();
    assert!(numbers.iter().zip(0..).all(|(handle, number)| **handle == number));
}

/// A trim counted slots that another trim was about to give back.
#[test]
fn trim_in_a_trim_leaves_the_floor() {
    thread_local! {
        static POOL: Cell<Option<&'static GrowingPool<Trimmer>>> = const { Cell::new(None) };
    }
    const FLOOR: usize = 30;

    struct Trimmer;

    impl Poolable for Trimmer {}

    impl Drop for Trimmer {
        fn drop(&mut self) {
            if let Some(pool) = POOL.take() {
                pool.trim_to(FLOOR);
            }
        }
    }

    let config = PoolConfig::builder().capacity(60).alignment(BLOCK).reset_fn(|| Trimmer, |_| ());
    let pool = Box::into_raw(Box::new(build::<_, fastalloc::StackAllocator, fastalloc::Growing>(config)));
    // SAFETY: the box is taken back when the references are gone.
    let pool_ref: &'static GrowingPool<_> = unsafe { &*pool };
    drop((0..60).map(|_| pool_ref.acquire().unwrap()).collect::<Vec<_>>());
    POOL.set(Some(pool_ref));
    pool_ref.trim_to(FLOOR);
    assert!(pool_ref.capacity() >= FLOOR, "{pool_ref:?}");
    // SAFETY: the pointer came from a box, and its references are not used any more.
    drop(unsafe { Box::from_raw(pool) });
}

/// The mark of a pinned object stayed with its slot, and the next tenant was destroyed instead of kept.
#[test]
fn slot_of_a_pinned_object_recycles_again() {
    thread_local! {
        static MADE: Cell<u32> = const { Cell::new(0) };
    }
    let initializer = || {
        MADE.set(MADE.get() + 1);
        0_u32
    };
    let pool: FixedPool<u32> = build(config(1).reset_fn(initializer, |_| ()));
    let unpinned = std::pin::Pin::into_inner(pool.acquire().unwrap().into_pin());
    assert_eq!(unpinned.into_inner(), 0);
    drop(pool.acquire().unwrap().into_pin());
    assert_eq!(MADE.get(), 2);
    for _ in 0..3 {
        drop(pool.acquire().unwrap());
        assert_eq!(MADE.get(), 3);
    }
}

/// A hook could move a pinned value, whose slot is not the place it believes to be at then.
#[test]
fn hook_gets_no_reference_to_a_pinned_value() {
    struct Object(Option<Reporter>);

    impl Poolable for Object {
        fn on_release(&mut self) {
            std::mem::forget(self.0.take());
        }
    }

    let pool = FixedPool::new(2).unwrap();
    let other = pool.allocate(Object(Some(Reporter(1)))).unwrap();
    let pinned = pool.allocate(Object(Some(Reporter(2)))).unwrap().into_pin();
    events();
    drop(pinned);
    assert_eq!(events(), ["drop"]);
    drop(other);
    assert!(events().is_empty() && pool.is_empty());
    assert!(pool.allocate_batch([Object(None), Object(None)]).is_ok());
}
