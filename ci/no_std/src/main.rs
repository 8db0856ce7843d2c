//! Uses the pools in a program without `std`: its own entry point, panic handler and heap.
//!
//! Its status at the end is 0, or the number of the first check that failed, 100 if memory was not given
//! back, or 101 after a panic. How it begins and ends depends on the [`system`].

#![no_std]
#![no_main]

extern crate alloc;

mod heap;
#[cfg_attr(target_family = "wasm", path = "system/wasm.rs")]
#[cfg_attr(target_arch = "arm", path = "system/arm.rs")]
#[cfg_attr(unix, path = "system/unix.rs")]
mod system;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::panic::PanicInfo;

use fastalloc::{BitmapAllocator, Error, FixedPool, GrowingPool, GrowthStrategy, PoolConfig, Poolable, Result};

use self::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The first one's number is 1.
const CHECKS: [fn() -> Result<bool>; 9] = [
    values_in_a_fixed_pool,
    growing_pool,
    lowest_index_first,
    shared_and_weak_handles,
    handles_that_own_the_pool,
    recycled_objects,
    hooks,
    impossible_size,
    exhausted_heap,
];
const LEAK: i32 = 100;
const PANIC: i32 = 101;

/// Returns the status.
fn check_all() -> i32 {
    for (check, status) in CHECKS.into_iter().zip(1..) {
        if check() != Ok(true) {
            return status;
        }
    }
    if HEAP.live() == 0 { 0 } else { LEAK }
}

fn values_in_a_fixed_pool() -> Result<bool> {
    let pool = FixedPool::new(2)?;
    let mut first = pool.allocate(String::from("no"))?;
    first.push_str("_std");
    let second = pool.allocate(String::new())?;
    let full = pool.allocate(String::new()).err() == Some(Error::PoolExhausted { capacity: 2, allocated: 2 });
    let kept = *first == "no_std" && second.is_empty() && size_of_val(&first) == size_of::<usize>();
    drop((first, second));
    Ok(full && kept && pool.is_empty())
}

fn growing_pool() -> Result<bool> {
    let pool = GrowingPool::new(1)?;
    let handles = (0..1000).map(|number: u64| pool.allocate(number)).collect::<Result<Vec<_>>>()?;
    let kept = handles.iter().map(|handle| **handle).eq(0..1000);
    drop(handles);
    let batch = pool.allocate_batch([7; 100])?;
    Ok(kept && pool.capacity() >= 1000 && batch.iter().map(|handle| **handle).sum::<u64>() == 700)
}

fn lowest_index_first() -> Result<bool> {
    let config = PoolConfig::builder().capacity(100).alignment(64).build()?;
    let pool = FixedPool::with_allocator(config, BitmapAllocator::default())?;
    let mut handles = pool.allocate_batch(0..100_u8)?;
    let aligned = handles.iter().all(|handle| (&raw const **handle).addr().is_multiple_of(64));
    handles.remove(90);
    handles.remove(10);
    let lowest = pool.allocate(0)?;
    Ok(aligned && lowest.index() == 10 && pool.available() == 1)
}

fn shared_and_weak_handles() -> Result<bool> {
    let pool = FixedPool::new(1)?;
    let shared = pool.allocate(Cell::new(1))?.into_shared();
    let clone = shared.clone();
    let weak = shared.downgrade();
    clone.set(2);
    let alive = weak.upgrade().is_some_and(|value| value.get() == 2) && shared.strong_count() == 2;
    drop((shared, clone));
    let _next_tenant = pool.allocate_shared(Cell::new(3))?;
    Ok(alive && weak.upgrade().is_none())
}

fn handles_that_own_the_pool() -> Result<bool> {
    let pool = Rc::new(FixedPool::new(1)?);
    let handle = pool.allocate_rc(5_u16)?;
    drop(pool);
    Ok(*handle == 5)
}

fn recycled_objects() -> Result<bool> {
    let config = PoolConfig::builder().capacity(2).reset_fn(|| Vec::with_capacity(32), Vec::clear).build()?;
    let pool = GrowingPool::with_config(config)?;
    let mut buffer = pool.acquire()?;
    buffer.extend_from_slice(b"contents");
    let contents = buffer.as_ptr();
    drop(buffer);
    let live = HEAP.live();
    let again = pool.acquire()?;
    Ok(again.as_ptr() == contents && again.is_empty() && HEAP.live() == live)
}

fn hooks() -> Result<bool> {
    struct Light<'a>(&'a Cell<bool>);

    impl Poolable for Light<'_> {
        fn on_acquire(&mut self) {
            self.0.set(true);
        }

        fn on_release(&mut self) {
            self.0.set(false);
        }
    }

    let on = Cell::new(false);
    let pool = FixedPool::new(1)?;
    let light = pool.allocate(Light(&on))?;
    let was_on = on.get();
    drop(light);
    Ok(was_on && !on.get())
}

fn impossible_size() -> Result<bool> {
    let is_too_large = |capacity| matches!(FixedPool::<u64>::new(capacity), Err(Error::OutOfMemory { .. }));
    Ok([heap::SIZE, usize::MAX / 8, usize::MAX].into_iter().all(is_too_large))
}

/// Growth that fails is an error, and leaves the pool as it was. The last check: it uses up the heap.
fn exhausted_heap() -> Result<bool> {
    type Object = [usize; 128];

    let growth = GrowthStrategy::Linear { amount: 1000 };
    let pool = GrowingPool::with_config(PoolConfig::builder().capacity(1).growth_strategy(growth).build()?)?;
    let mut handles = Vec::with_capacity(heap::SIZE / size_of::<Object>());
    let error = loop {
        match pool.allocate([handles.len(); 128]) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    // For the objects, or for what the pool keeps about them: it depends on where the heap begins.
    let reported = matches!(error, Error::OutOfMemory { bytes } if bytes > 0);
    let unchanged = pool.is_full() && pool.allocated() == handles.len() && handles.len() > 1000;
    let kept = handles.iter().enumerate().all(|(index, object)| **object == [index; 128]);
    drop(handles.pop());
    Ok(reported && unchanged && kept && pool.allocate([0; 128]).is_ok())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    system::exit(PANIC)
}
