//! The pools of a plan, and for the rest the heap of the C library.

use std::alloc::System;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

use fastalloc::{
    FixedPool, GrowingPool, GrowthStrategy, OwnedHandle, PoolConfig, Poolable, Result, ThreadSafeHandle, ThreadSafePool,
};

use crate::heaps::Heap;
use crate::lane::Owner;
use crate::plan::{ObjectMemory, Plan, PlanError, PoolPlan};

/// Larger objects are on the heap.
pub(crate) const SLOT_MAX: usize = 4096;
/// What heaps give anyway.
const ALIGNMENT_USUAL: u32 = 16;

/// The pools of a plan, and the heap for all else.
pub(crate) struct Pools {
    pools: Vec<Box<dyn Slots>>,
    heap: Heap<System>,
}

impl Pools {
    pub(crate) fn new(plan: &Plan) -> std::result::Result<Self, PlanError> {
        let pools = plan.pools.iter().enumerate();
        let made = pools.map(|(pool, spec)| make(spec).map_err(|error| PlanError::Pool { pool, error }));
        Ok(Self { pools: made.collect::<std::result::Result<_, _>>()?, heap: Heap(System) })
    }
}

// SAFETY: pools and the heap promise the same of what they return.
unsafe impl Owner for Pools {
    #[inline(always)]
    fn allocate(&self, memory: &ObjectMemory) -> (*mut u8, bool) {
        let Some(pool) = memory.pool() else { return self.heap.allocate(memory) };
        let address = self.pools[pool].allocate();
        if address.is_null() { (self.heap.allocate(memory).0, true) } else { (address, false) }
    }

    #[inline(always)]
    unsafe fn free(&self, address: *mut u8, memory: &ObjectMemory, was_refused: bool) {
        match memory.pool() {
            // SAFETY: the caller has the address from this pool.
            Some(pool) if !was_refused => unsafe { self.pools[pool].free(address) },
            // SAFETY: the caller has the address from the heap, with this memory.
            _ => unsafe { self.heap.free(address, memory, false) },
        }
    }

    #[inline(always)]
    unsafe fn reallocate(&self, address: *mut u8, old: &ObjectMemory, new: &ObjectMemory) -> *mut u8 {
        // SAFETY: the caller has the address from the heap, with the old memory.
        unsafe { self.heap.reallocate(address, old, new) }
    }
}

/// A pool whose type nobody needs to know.
///
/// Those of pools for one thread at a time are used by one thread: `Plan` says which ones are shared.
trait Slots: Sync {
    /// The address of an object, which is in the pool; null if there is no room.
    fn allocate(&self) -> *mut u8;

    /// Frees an object.
    ///
    /// # Safety
    ///
    /// The address must be from `allocate`, and not been freed.
    unsafe fn free(&self, address: *mut u8);
}

/// So many words of memory, with anything in them.
struct Words<const WORDS: usize>([MaybeUninit<u64>; WORDS]);

impl<const WORDS: usize> Poolable for Words<WORDS> {}

impl<const WORDS: usize> Words<WORDS> {
    /// What a pool wants to be told of the object in its slot.
    #[inline(always)]
    fn anything(slot: &mut MaybeUninit<Self>) -> &mut Self {
        // SAFETY: each word may have anything in it.
        unsafe { slot.assume_init_mut() }
    }
}

/// A pool for one thread at a time.
struct Alone<P>(P);

// SAFETY: between two barriers only one thread uses it: see `Slots`.
unsafe impl<P: Send> Sync for Alone<P> {}

macro_rules! impl_slots {
    ($pool:ty, $handle:ty, $($field:tt)?) => {
        impl<const WORDS: usize> Slots for $pool {
            #[inline]
            fn allocate(&self) -> *mut u8 {
                match self$(.$field)?.allocate_in_place(Words::anything) {
                    Ok(handle) => into_address(handle),
                    Err(_) => ptr::null_mut(),
                }
            }

            #[inline]
            unsafe fn free(&self, address: *mut u8) {
                // SAFETY: `into_address` made it of such a handle, and nobody else makes one of it.
                drop(unsafe { from_address::<$handle>(address) });
            }
        }
    };
}

impl_slots!(Alone<FixedPool<Words<WORDS>>>, OwnedHandle<'_, Words<WORDS>>, 0);
impl_slots!(Alone<GrowingPool<Words<WORDS>>>, OwnedHandle<'_, Words<WORDS>>, 0);
impl_slots!(ThreadSafePool<Words<WORDS>>, ThreadSafeHandle<Words<WORDS>>,);

/// Makes an address of a handle, which is one: that of its object.
#[inline(always)]
fn into_address<H>(handle: H) -> *mut u8 {
    const { assert!(size_of::<H>() == size_of::<*mut u8>() && align_of::<H>() == align_of::<*mut u8>()) };
    let handle = ManuallyDrop::new(handle);
    // SAFETY: a handle is the pointer to its object, and of its size and alignment.
    unsafe { ptr::read((&raw const handle).cast::<*mut u8>()) }
}

/// Makes a handle of its address.
///
/// # Safety
///
/// The address must be from `into_address` of an `H`, and is used up.
#[inline(always)]
unsafe fn from_address<H>(address: *mut u8) -> H {
    // SAFETY: these are the bytes of an `H`, and there is no other one of them.
    unsafe { ptr::read((&raw const address).cast::<H>()) }
}

/// Makes a pool with slots of the next size that there are types for.
fn make(plan: &PoolPlan) -> Result<Box<dyn Slots>> {
    macro_rules! of_words {
        ($($words:literal)*) => {
            match plan.size.div_ceil(8) {
                $(words if words <= $words => of_size::<$words>(plan),)*
                words => unreachable!("larger objects than {SLOT_MAX} bytes are on the heap, not {words} words"),
            }
        };
    }
    of_words!(
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
        80 96 112 128 160 192 256 384 512
    )
}

fn of_size<const WORDS: usize>(plan: &PoolPlan) -> Result<Box<dyn Slots>> {
    let spec = &plan.spec;
    let slots = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut builder = PoolConfig::<Words<WORDS>>::builder().capacity(slots(spec.capacity));
    if spec.alignment > ALIGNMENT_USUAL {
        builder = builder.alignment(spec.alignment as usize);
    }
    let grows = spec.max_capacity.is_some() || spec.growth.is_some();
    if grows {
        let strategy = spec.growth.map_or(GrowthStrategy::Exponential { factor: 2.0 }, |amount| {
            GrowthStrategy::Linear { amount: slots(amount) }
        });
        builder = builder.max_capacity(spec.max_capacity.map(slots)).growth_strategy(strategy);
    }
    let config = builder.build()?;
    Ok(if plan.is_shared {
        Box::new(ThreadSafePool::with_config(config)?)
    } else if grows {
        Box::new(Alone(GrowingPool::with_config(config)?))
    } else {
        Box::new(Alone(FixedPool::with_config(config)?))
    })
}
