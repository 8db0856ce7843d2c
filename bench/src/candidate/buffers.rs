//! Who is compared where objects own memory, which is kept if they are recycled.

use core::mem::MaybeUninit;
use std::sync::Mutex;

use crossbeam_queue::ArrayQueue;
use fastalloc::{FixedPool, GrowingPool, LockFreePool, PoolConfig, ThreadSafePool};
use heapless::{object_pool, pool::object::ObjectBlock};
use lockfree_object_pool::LinearObjectPool;
use opool::PoolAllocator;

use super::{
    Kind,
    heaps::{self, Boxed, Heap, HeapBox},
};
use crate::object::opaque_memory;

/// How many bytes a buffer has room for.
pub const BUFFER: usize = 4096;

/// What is written to a buffer at a time: a short request or answer.
pub type Message = [u8; 256];

/// Has buffers, recycled or fresh.
pub trait Buffers: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How the buffers are owned.
    const KIND: Kind;

    /// Makes a pool of at least `capacity` buffers.
    fn with_capacity(capacity: usize) -> Self;

    /// Gets an empty buffer, appends the message, reads its first byte from the buffer, and gives that back.
    fn pass(&self, message: &Message) -> u8;
}

fn buffer() -> Vec<u8> {
    Vec::with_capacity(BUFFER)
}

/// Appends the message to an empty buffer, and reads its first byte.
#[inline(always)]
fn append(buffer: &mut Vec<u8>, message: &Message) -> u8 {
    debug_assert!(buffer.is_empty() && buffer.capacity() >= BUFFER, "a buffer as when it was fresh");
    buffer.extend_from_slice(message);
    opaque_memory(buffer.as_slice());
    buffer[0]
}

macro_rules! buffers {
    (
        $(#[$attribute:meta])*
        $candidate:ident($pool:ty) = $name:literal, $kind:ident;
        $capacity:ident => $new:expr;
        $this:ident, $message:ident => $pass:expr
    ) => {
        $(#[$attribute])*
        pub struct $candidate($pool);

        impl Buffers for $candidate {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::$kind;

            fn with_capacity($capacity: usize) -> Self {
                Self($new)
            }

            #[inline(always)]
            fn pass(&self, $message: &Message) -> u8 {
                let $this = &self.0;
                $pass
            }
        }
    };
}

/// Of all our pools.
fn config(capacity: usize) -> PoolConfig<Vec<u8>> {
    let builder = PoolConfig::builder().capacity(capacity).reset_fn(buffer, Vec::clear);
    builder.build().expect("a capacity above 0")
}

buffers! {
    /// `FixedPool`.
    Fixed(FixedPool<Vec<u8>>) = "FixedPool", Ours;
    capacity => FixedPool::with_config(config(capacity)).expect("memory for the pool");
    pool, message => append(&mut pool.acquire().expect("a vacant slot"), message)
}

buffers! {
    /// `GrowingPool`.
    Growing(GrowingPool<Vec<u8>>) = "GrowingPool", Ours;
    capacity => GrowingPool::with_config(config(capacity)).expect("memory for the pool");
    pool, message => append(&mut pool.acquire().expect("a vacant slot"), message)
}

buffers! {
    /// `ThreadSafePool`.
    ThreadSafe(ThreadSafePool<Vec<u8>>) = "ThreadSafePool", Ours;
    capacity => ThreadSafePool::with_config(config(capacity)).expect("memory for the pool");
    pool, message => append(&mut pool.acquire().expect("a vacant slot"), message)
}

buffers! {
    /// `LockFreePool`.
    LockFree(LockFreePool<Vec<u8>>) = "LockFreePool", Ours;
    capacity => LockFreePool::with_config(config(capacity)).expect("memory for the pool");
    pool, message => append(&mut pool.acquire().expect("a vacant slot"), message)
}

buffers! {
    /// `sharded-slab`'s pool.
    ShardedSlab(sharded_slab::Pool<Vec<u8>>) = "sharded-slab Pool", Keys;
    _capacity => sharded_slab::Pool::new();
    pool, message => {
        // The pool makes its buffers with `Default`: the first use gives them their room.
        let mut buffer = pool.create().expect("a vacant slot");
        buffer.reserve(BUFFER);
        let key = buffer.key();
        let first = append(&mut buffer, message);
        drop(buffer);
        pool.clear(key);
        first
    }
}

buffers! {
    /// `opool`, local to a thread.
    OpoolLocal(opool::LocalPool<Resets, Vec<u8>>) = "opool Local", Handles;
    capacity => opool::LocalPool::new_prefilled(capacity, Resets);
    pool, message => append(&mut pool.get(), message)
}

buffers! {
    /// `opool` for threads.
    Opool(opool::Pool<Resets, Vec<u8>>) = "opool", Handles;
    capacity => opool::Pool::new_prefilled(capacity, Resets);
    pool, message => append(&mut pool.get(), message)
}

/// Makes and clears the buffers of `opool`.
pub struct Resets;

impl PoolAllocator<Vec<u8>> for Resets {
    fn allocate(&self) -> Vec<u8> {
        buffer()
    }

    fn reset(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
    }
}

buffers! {
    /// `object-pool`.
    ObjectPool(object_pool::Pool<Vec<u8>>) = "object-pool", Handles;
    capacity => object_pool::Pool::new(capacity, buffer);
    pool, message => {
        let mut buffer = pool.try_pull().expect("a buffer");
        buffer.clear();
        append(&mut buffer, message)
    }
}

buffers! {
    /// `lockfree-object-pool`.
    Linear(LinearObjectPool<Vec<u8>>) = "lockfree-object-pool", Handles;
    _capacity => LinearObjectPool::new(buffer, Vec::clear);
    pool, message => append(&mut pool.pull(), message)
}

buffers! {
    /// crossbeam's `ArrayQueue` used as a pool.
    CrossbeamQueue(ArrayQueue<Vec<u8>>) = "crossbeam ArrayQueue", Handles;
    capacity => {
        let queue = ArrayQueue::new(capacity);
        while queue.push(buffer()).is_ok() {}
        queue
    };
    queue, message => {
        let mut buffer = queue.pop().expect("a buffer");
        let first = append(&mut buffer, message);
        buffer.clear();
        queue.push(buffer).expect("room for every buffer");
        first
    }
}

object_pool!(BUFFERS: Vec<u8>);

/// How many blocks `BUFFERS` was given: they stay its own.
static BUFFER_BLOCKS: Mutex<usize> = Mutex::new(0);

buffers! {
    /// `heapless`'s pool of recycled objects, a global.
    Heapless(()) = "heapless object_pool", Handles;
    capacity => {
        let mut blocks = BUFFER_BLOCKS.lock().expect("no panic");
        let missing = capacity.saturating_sub(*blocks);
        let fresh: Vec<ObjectBlock<Vec<u8>>> = (0..missing).map(|_| ObjectBlock::new(buffer())).collect();
        fresh.leak().iter_mut().rev().for_each(|block| BUFFERS.manage(block));
        *blocks += missing;
    };
    _pool, message => {
        let mut buffer = BUFFERS.request().expect("a buffer");
        buffer.clear();
        append(&mut buffer, message)
    }
}

buffers! {
    /// The `LockFreePool` that was published before this library.
    PublishedLockFree(published::LockFreePool<Vec<u8>>) = "fastalloc 1.5 LockFree", Handles;
    capacity => published::LockFreePool::with_initializer(capacity, buffer).expect("a capacity above 0");
    pool, message => {
        let mut buffer = pool.try_allocate().expect("a buffer");
        buffer.clear();
        let first = append(&mut buffer, message);
        pool.return_object(buffer);
        first
    }
}

/// Fresh memory for each message, as from `Vec::with_capacity`.
impl<H: Heap> Buffers for Boxed<H> {
    const NAME: &'static str = H::NAME;
    const KIND: Kind = Kind::Heap;

    fn with_capacity(_capacity: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn pass(&self, message: &Message) -> u8 {
        let buffer = HeapBox::<H, [MaybeUninit<u8>; BUFFER]>::build(|slot| {
            // SAFETY: bytes that may be uninitialized are always as they should be.
            let bytes = unsafe { slot.assume_init_mut() };
            bytes[..message.len()].write_copy_of_slice(message);
            bytes
        });
        opaque_memory(&buffer[..message.len()]);
        // SAFETY: the message was written to the start of the buffer.
        unsafe { buffer[0].assume_init() }
    }
}

/// Is shown every candidate by [`visit`].
pub trait Visitor {
    /// Looks at one candidate.
    fn candidate<C: Buffers>(&mut self);
}

/// Shows every candidate.
pub fn visit(visitor: &mut impl Visitor) {
    visitor.candidate::<Fixed>();
    visitor.candidate::<Growing>();
    visitor.candidate::<ThreadSafe>();
    visitor.candidate::<LockFree>();
    visitor.candidate::<ShardedSlab>();
    visitor.candidate::<OpoolLocal>();
    visitor.candidate::<Opool>();
    visitor.candidate::<ObjectPool>();
    visitor.candidate::<Linear>();
    visitor.candidate::<CrossbeamQueue>();
    visitor.candidate::<Heapless>();
    visitor.candidate::<PublishedLockFree>();
    visitor.candidate::<Boxed<heaps::System>>();
    visitor.candidate::<Boxed<heaps::Mimalloc>>();
    visitor.candidate::<Boxed<heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<Boxed<heaps::Snmalloc>>();
}
