//! The pools: one safe shell over the cores.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::panic::{Location, RefUnwindSafe, UnwindSafe};
use core::ptr;

use crate::allocator::{Allocator, StackAllocator};
use crate::config::{GrowthStrategy, PoolConfig};
use crate::error::{Error, Rejected, Result, without_handle};
use crate::events;
use crate::handle::{OwnedHandle, RcHandle, SharedHandle};
#[cfg(feature = "std")]
use crate::leaks::Outstanding;
use crate::poolable::Poolable;
use crate::raw::{Limits, Local, Owner, Vacancy, trim};
#[cfg(feature = "stats")]
use crate::stats::PoolStatistics;

/// A pool that never grows: the fastest, and the one that allocates no memory after construction.
///
/// One thread uses it at a time: it can be sent to another, but not shared. All methods are those of
/// [`Pool`].
///
/// # Examples
///
/// ```
/// use fastalloc::FixedPool;
///
/// let pool = FixedPool::new(2)?;
/// let mut greeting = pool.allocate(String::from("hello"))?;
/// greeting.push_str(", pool");
/// assert_eq!((greeting.as_str(), pool.available()), ("hello, pool", 1));
/// drop(greeting);
/// assert!(pool.is_empty());
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub type FixedPool<T, A = StackAllocator> = Pool<T, A, Fixed>;

/// A pool that adds memory when it is full, as its [`GrowthStrategy`] says, up to `max_capacity`.
///
/// [`GrowingPool::new`](Pool::new) doubles without a limit. Objects never move. One thread uses it at a
/// time: it can be sent to another, but not shared. All methods are those of [`Pool`].
///
/// # Examples
///
/// ```
/// use fastalloc::GrowingPool;
///
/// let pool = GrowingPool::new(1)?;
/// let numbers: Vec<_> = (0..100).map(|number| pool.allocate(number)).collect::<Result<_, _>>()?;
/// assert_eq!(*numbers[99], 99);
/// assert_eq!(pool.capacity(), 128);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub type GrowingPool<T, A = StackAllocator> = Pool<T, A, Growing>;

/// A pool that stays on its thread and never grows, for `thread_local!`.
///
/// All methods are those of [`Pool`]. In an [`Rc`], it hands out handles that outlive the access to
/// the thread-local variable.
///
/// # Examples
///
/// ```
/// use fastalloc::{RcHandle, ThreadLocalPool};
/// use std::rc::Rc;
///
/// thread_local! {
///     static MESSAGES: Rc<ThreadLocalPool<String>> =
///         Rc::new(ThreadLocalPool::new(100).expect("memory for 100 messages"));
/// }
///
/// fn message(text: &str) -> fastalloc::Result<RcHandle<String>> {
///     MESSAGES.with(|pool| pool.allocate_rc(text.into()))
/// }
///
/// let hello = message("hello")?;
/// assert_eq!(*hello, "hello");
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub type ThreadLocalPool<T, A = StackAllocator> = Pool<T, A, ThreadLocal>;

/// Memory for objects of type `T`, reserved once, handed out through handles, and reused.
///
/// Not named directly, but by its kinds: [`FixedPool`], [`GrowingPool`] and [`ThreadLocalPool`]. The
/// parameter `A` decides which vacant slot is next, see [`Allocator`].
///
/// A pool that is dropped destroys the objects whose handles were forgotten or leaked, each exactly
/// once, and gives its memory back.
pub struct Pool<T: Poolable, A: Allocator, K> {
    core: Owner<T, A>,
    kind: PhantomData<K>,
}

// SAFETY: handles borrow the pool or own a share of an `Rc` of it, so whoever sends the pool has the
// only access to it and to its objects. Functions in its configuration are `Send`.
unsafe impl<T: Poolable + Send, A: Allocator + Send, K: Send> Send for Pool<T, A, K> {}

// What user code finds after a panic in a pool is what it would find after an early return.
impl<T: Poolable, A: Allocator, K> UnwindSafe for Pool<T, A, K> {}
impl<T: Poolable, A: Allocator, K> RefUnwindSafe for Pool<T, A, K> {}

impl<T: Poolable, K: Kind> Pool<T, StackAllocator, K> {
    /// Makes a pool of values with this many slots.
    ///
    /// Its memory is reserved, not touched: the operating system provides it as it is used.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCapacity`] if `capacity` is 0, [`Error::OutOfMemory`] if the memory cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::<[f32; 3]>::new(1_000_000)?;
    /// assert_eq!(pool.available(), 1_000_000);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn new(capacity: usize) -> Result<Self> {
        Self::with_config(PoolConfig::builder().capacity(capacity).build()?)
    }

    /// Makes a pool from a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`] if the memory cannot be had; [`Error::InvalidConfiguration`] if the pool
    /// never grows, and the configuration says how to.
    ///
    /// # Panics
    ///
    /// If the initializer does.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, PoolConfig};
    ///
    /// let pool = FixedPool::with_config(PoolConfig::builder().capacity(100).alignment(64).build()?)?;
    /// let counter = pool.allocate(0_u32)?;
    /// assert_eq!((&raw const *counter).addr() % 64, 0);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn with_config(config: PoolConfig<T>) -> Result<Self> {
        Self::with_allocator(config, StackAllocator::default())
    }
}

impl<T: Poolable, A: Allocator, K: Kind> Pool<T, A, K> {
    /// Makes a pool from a configuration and an allocator, which the pool grows to its capacity.
    ///
    /// # Errors
    ///
    /// As [`with_config`](Self::with_config); also [`Error::InvalidConfiguration`] if the allocator is
    /// not empty.
    ///
    /// # Panics
    ///
    /// If the initializer does.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{BitmapAllocator, FixedPool, PoolConfig};
    ///
    /// let config = PoolConfig::builder().capacity(3).build()?;
    /// let pool = FixedPool::with_allocator(config, BitmapAllocator::default())?;
    /// let first = pool.allocate('a')?;
    /// assert_eq!(first.index(), 0);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn with_allocator(mut config: PoolConfig<T>, allocator: A) -> Result<Self> {
        if allocator.capacity() != 0 {
            return Err(Error::InvalidConfiguration {
                field: "allocator",
                message: "it has indices already; pass one with capacity 0, the pool makes it grow",
            });
        }
        if config.thread_cache.is_some() {
            return Err(Error::InvalidConfiguration {
                field: "thread_cache",
                message: "the pool is for one thread at a time; remove it, or use a ThreadSafePool",
            });
        }
        let growth = K::growth(&mut config)?;
        let limits = Limits { growth, max_capacity: config.max_capacity, floor: config.capacity };
        let pool = Self { core: Local::create(config, allocator, limits)?, kind: PhantomData };
        events::created::<T>(pool.name(), pool.capacity());
        Ok(pool)
    }

    /// Moves `value` into a vacant slot and returns the handle that owns it.
    ///
    /// Dropping the handle destroys the value and makes the slot vacant again. In a pool that recycles
    /// objects, `value` takes the place of one.
    ///
    /// # Complexity
    ///
    /// *O*(1). Allocates memory only if the pool grows.
    ///
    /// # Errors
    ///
    /// [`Error::PoolExhausted`] if no slot is vacant; [`Error::MaxCapacityExceeded`] if a growing pool is
    /// at its limit, [`Error::OutOfMemory`] if it could not grow. The pool is unchanged then, and `value`
    /// is dropped; see [`allocate_or_return`](Self::allocate_or_return).
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does; the value is destroyed then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let mut job = pool.allocate(String::from("parse"))?;
    /// job.push_str(" header");
    /// assert_eq!(*job, "parse header");
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate(&self, value: T) -> Result<OwnedHandle<'_, T>> {
        let value = self.core.vacancy(Location::caller())?.fill(value);
        // SAFETY: the core hands the value to nobody else.
        Ok(unsafe { OwnedHandle::from_raw(value) })
    }

    /// The same as [`allocate`](Self::allocate), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let first = pool.try_allocate(1);
    /// assert!(first.is_some() && pool.try_allocate(2).is_none());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate(&self, value: T) -> Option<OwnedHandle<'_, T>> {
        self.allocate(value).ok()
    }

    /// The same as [`allocate`](Self::allocate), but gives the value back if the pool does not take it.
    ///
    /// # Errors
    ///
    /// [`Rejected`], which has the value and the error of [`allocate`](Self::allocate).
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let _only = pool.allocate(vec![1])?;
    /// let rejected = pool.allocate_or_return(vec![2]).unwrap_err();
    /// assert_eq!(rejected.value, [2]);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate_or_return(&self, value: T) -> Result<OwnedHandle<'_, T>, Rejected<T>> {
        match self.core.vacancy(Location::caller()) {
            // SAFETY: the core hands the value to nobody else.
            Ok(vacancy) => Ok(unsafe { OwnedHandle::from_raw(vacancy.fill(value)) }),
            Err(error) => Err(Rejected { value, error }),
        }
    }

    /// Calls `f` if there is a vacant slot, and moves what it returns there.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate); `f` was not called then.
    ///
    /// # Panics
    ///
    /// If `f` or the hook [`Poolable::on_acquire`] does; the slot is vacant then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let list = pool.allocate_with(|| vec![0_u8; 100])?;
    /// assert!(pool.allocate_with(|| unreachable!("the pool is full")).is_err());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate_with(&self, f: impl FnOnce() -> T) -> Result<OwnedHandle<'_, T>> {
        let vacancy = self.core.vacancy(Location::caller())?;
        // SAFETY: the core hands the value to nobody else.
        Ok(unsafe { OwnedHandle::from_raw(vacancy.fill(f())) })
    }

    /// The same as [`allocate_with`](Self::allocate_with), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// If `f` or the hook [`Poolable::on_acquire`] does; the slot is vacant then.
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate_with(&self, f: impl FnOnce() -> T) -> Option<OwnedHandle<'_, T>> {
        self.allocate_with(f).ok()
    }

    /// Lets `f` build a value in its slot, without a copy through the stack: for large values.
    ///
    /// `f` returns the slot that it was given, initialized, as [`MaybeUninit::write`] does.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate); `f` was not called then.
    ///
    /// # Panics
    ///
    /// If `f` returns something else than its slot, or if `f` or the hook [`Poolable::on_acquire`]
    /// panics; the slot is vacant then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::<[u8; 4096]>::new(10)?;
    /// let page = pool.allocate_in_place(|slot| slot.write([7; 4096]))?;
    /// assert_eq!(page[4095], 7);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate_in_place<F>(&self, f: F) -> Result<OwnedHandle<'_, T>>
    where
        F: for<'slot> FnOnce(&'slot mut MaybeUninit<T>) -> &'slot mut T,
    {
        let mut vacancy = self.core.vacancy(Location::caller())?;
        let slot = vacancy.slot();
        let address = ptr::from_mut(slot).addr();
        let written = ptr::from_mut(f(slot)).addr();
        assert!(address == written, "the function returned a reference to something else than its slot");
        // SAFETY: there is a `T` at the slot's address, and while `f` had the only reference to the slot,
        // it can only have come there by initializing the slot; also if it is zero-sized, because no
        // other object is at a slot's address.
        let value = unsafe { vacancy.occupied() };
        // SAFETY: the core hands the value to nobody else.
        Ok(unsafe { OwnedHandle::from_raw(value) })
    }

    /// The same as [`allocate_in_place`](Self::allocate_in_place), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// As [`allocate_in_place`](Self::allocate_in_place).
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate_in_place<F>(&self, f: F) -> Option<OwnedHandle<'_, T>>
    where
        F: for<'slot> FnOnce(&'slot mut MaybeUninit<T>) -> &'slot mut T,
    {
        self.allocate_in_place(f).ok()
    }

    /// Moves all values into slots that are reserved beforehand: all or none.
    ///
    /// An iterator passed as `&mut` keeps its values if there is an error. If it ends before the length
    /// that it announced, there are fewer handles; what it has beyond that length is not taken.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate), and no value was taken. Also [`Error::OutOfMemory`] if there is
    /// no memory for the `Vec`.
    ///
    /// # Panics
    ///
    /// If the iterator or the hook [`Poolable::on_acquire`] does; all slots are vacant then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(3)?;
    /// let mut names = ["a", "b", "c", "d"].into_iter();
    /// assert!(pool.allocate_batch(&mut names).is_err());
    /// let handles = pool.allocate_batch(names.take(3))?;
    /// assert_eq!(*handles[2], "c");
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn allocate_batch<I>(&self, values: I) -> Result<Vec<OwnedHandle<'_, T>>>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    {
        let mut values = values.into_iter();
        let len = values.len();
        let mut vacancies = Vec::<Vacancy<'_, T, A>>::new();
        let out_of_memory = |_| Error::OutOfMemory { bytes: len.saturating_mul(size_of::<Vacancy<'_, T, A>>()) };
        vacancies.try_reserve_exact(len).map_err(out_of_memory)?;
        self.core.grow(len)?;
        let place = Location::caller();
        for _ in 0..len {
            vacancies.push(self.core.plain_vacancy().map_or_else(|| self.core.any_slot(place), Ok)?);
        }
        // The handles take the place of the vacancies in memory.
        let handles = vacancies.into_iter().map_while(|mut vacancy| {
            let value = values.next()?;
            vacancy.clear();
            // SAFETY: the core hands the value to nobody else.
            Some(unsafe { OwnedHandle::from_raw(vacancy.fill(value)) })
        });
        Ok(handles.collect())
    }

    /// Takes a ready object of a pool that has an initializer: one that was released before if there is
    /// such a one, else a new one.
    ///
    /// Dropping the handle resets the object and leaves it in its slot for the next call.
    ///
    /// # Complexity
    ///
    /// *O*(1), and the initializer if no object is ready.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate); also [`Error::InvalidConfiguration`] if the pool has no
    /// initializer.
    ///
    /// # Panics
    ///
    /// If the initializer or the hook [`Poolable::on_acquire`] does; the slot is vacant then.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, PoolConfig};
    ///
    /// let config = PoolConfig::builder().capacity(4).reset_fn(String::new, |text| text.clear()).build()?;
    /// let pool = FixedPool::with_config(config)?;
    /// let mut text = pool.acquire()?;
    /// text.push_str("a long line that needs memory of its own");
    /// drop(text);
    /// let text = pool.acquire()?;
    /// assert!(text.is_empty() && text.capacity() > 0);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Result<OwnedHandle<'_, T>> {
        let object = self.core.acquire(Location::caller())?;
        // SAFETY: the core hands the object to nobody else.
        Ok(unsafe { OwnedHandle::from_raw(object) })
    }

    /// Moves `value` into a vacant slot and returns the first of the handles that share it.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate); also [`Error::OutOfMemory`] if there is no memory to count the
    /// handles, which is reserved when an object of a chunk is shared for the first time.
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let one = pool.allocate_shared("shared")?;
    /// let two = one.clone();
    /// drop(one);
    /// assert_eq!((*two, pool.allocated()), ("shared", 1));
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    // Always, so that the value is made in its slot instead of moved there.
    #[inline(always)]
    #[track_caller]
    pub fn allocate_shared(&self, value: T) -> Result<SharedHandle<'_, T>> {
        self.allocate(value)?.try_into_shared().map_err(without_handle)
    }

    /// Moves `value` into a vacant slot and returns a handle without a lifetime, which keeps the pool.
    ///
    /// For structures that own both the pool and its handles, or handles that are links between objects
    /// of the same pool.
    ///
    /// # Complexity
    ///
    /// *O*(1). All such handles of a pool together count as one strong reference of the [`Rc`].
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate).
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, Poolable, RcHandle};
    /// use std::rc::Rc;
    ///
    /// struct Node {
    ///     value: u32,
    ///     next: Option<RcHandle<Node>>,
    /// }
    /// impl Poolable for Node {}
    ///
    /// let pool = Rc::new(FixedPool::new(2)?);
    /// let tail = pool.allocate_rc(Node { value: 2, next: None })?;
    /// let head = pool.allocate_rc(Node { value: 1, next: Some(tail) })?;
    /// drop(pool);
    /// assert_eq!(head.next.as_ref().map(|node| node.value), Some(2));
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate_rc(self: &Rc<Self>, value: T) -> Result<RcHandle<T>> {
        let value = self.core.vacancy(Location::caller())?.fill(value);
        // SAFETY: the core hands the value to nobody else, and it belongs to the pool in this `Rc`.
        Ok(unsafe { RcHandle::from_raw(value, self) })
    }

    /// The same as [`acquire`](Self::acquire), but returns a handle without a lifetime, which keeps the pool.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_rc(self: &Rc<Self>) -> Result<RcHandle<T>> {
        let object = self.core.acquire(Location::caller())?;
        // SAFETY: the core hands the object to nobody else, and it belongs to the pool in this `Rc`.
        Ok(unsafe { RcHandle::from_raw(object, self) })
    }

    /// Number of slots, vacant or occupied.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.capacity()
    }

    /// Number of vacant slots.
    #[must_use]
    pub fn available(&self) -> usize {
        self.core.available()
    }

    /// Number of occupied slots.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.capacity() - self.available()
    }

    /// Whether all slots are occupied.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.available() == 0
    }

    /// Whether all slots are vacant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allocated() == 0
    }

    /// Memory that the pool holds for slots, in bytes: reserved, not necessarily touched.
    #[must_use]
    pub fn bytes_reserved(&self) -> usize {
        self.core.bytes()
    }

    /// What the pool is called, as its configuration says.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.core.name()
    }

    /// The objects that are out of the pool: since when, and allocated where in the program and by which thread.
    /// `None` if the pool does not [track leaks](crate::PoolConfigBuilder::track_leaks).
    ///
    /// # Complexity
    ///
    /// *O*(capacity).
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, PoolConfig};
    ///
    /// let pool = FixedPool::with_config(PoolConfig::builder().capacity(10).track_leaks(true).build()?)?;
    /// let job = pool.allocate(String::from("parse"))?;
    /// std::mem::forget(pool.allocate(String::from("print"))?);
    /// drop(job);
    /// let outstanding = pool.outstanding().expect("the pool tracks leaks");
    /// let leak = &outstanding.objects()[0];
    /// println!("slot {}, allocated at {}, {:?} ago", leak.index, leak.place, leak.age);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn outstanding(&self) -> Option<Outstanding> {
        self.core.outstanding()
    }

    /// The objects that have been out of the pool for longer than this, as [`outstanding`](Self::outstanding) has them.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn held_longer_than(&self, age: core::time::Duration) -> Option<Outstanding> {
        self.outstanding().map(|outstanding| outstanding.held_longer_than(age))
    }

    /// What the pool has done since it was made or [reset](Self::reset_statistics), and how full it is.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::FixedPool::new(1)?;
    /// let held = pool.allocate(1)?;
    /// assert!(pool.allocate(2).is_err());
    /// assert_eq!(pool.statistics().failed_allocations, 1);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[cfg(feature = "stats")]
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        self.core.statistics()
    }

    /// Tells the recorder of the crate `metrics` that the program has installed what the pool has done, and how full
    /// it is: gauges and counters with the names of [`StatisticsReporter::prometheus`], and a label `pool` with the
    /// [name](crate::PoolConfigBuilder::name) of the pool, or the type of its objects.
    ///
    /// To be called at regular intervals, or whenever somebody is about to read them. Counters go up by what has
    /// happened since the last call, also if there was a [reset](Self::reset_statistics) in between.
    /// Gauges of pools with the same label overwrite each other, and their counters add up, so give them names. If the
    /// recorder panics, what it was told then is lost.
    ///
    /// [`StatisticsReporter::prometheus`]: crate::StatisticsReporter::prometheus
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, PoolConfig};
    ///
    /// let pool = FixedPool::with_config(PoolConfig::builder().capacity(10).name("requests").build()?)?;
    /// let _request = pool.allocate("GET /")?;
    /// pool.publish_metrics(); // fastalloc_occupied_slots{pool="requests"} is 1 now
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.core.publish_metrics();
    }

    /// Sets all counts of what has happened to 0, and the peak to the slots that are occupied.
    #[cfg(feature = "stats")]
    pub fn reset_statistics(&self) {
        self.core.counters().reset();
    }
}

impl<T: Poolable, A: Allocator> GrowingPool<T, A> {
    /// Whether the pool may add slots: its strategy allows it, and it is below `max_capacity`.
    ///
    /// A custom strategy may still answer 0, and the memory may not be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{GrowingPool, PoolConfig};
    ///
    /// let pool = GrowingPool::with_config(PoolConfig::builder().capacity(1).max_capacity(Some(2)).build()?)?;
    /// assert!(pool.can_grow());
    /// let handles = pool.allocate_batch([1, 2])?;
    /// assert!(!pool.can_grow());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[must_use]
    pub fn can_grow(&self) -> bool {
        let Limits { growth, max_capacity, .. } = self.core.limits();
        growth.as_ref().is_some_and(GrowthStrategy::allows_growth)
            && max_capacity.is_none_or(|max| self.capacity() < max)
    }

    /// Adds slots, if necessary, so that `additional` ones are vacant.
    ///
    /// # Errors
    ///
    /// [`Error::PoolExhausted`] if the growth strategy allows none, [`Error::MaxCapacityExceeded`] if that is beyond the limit, [`Error::OutOfMemory`] if the memory
    /// cannot be had. The pool is unchanged then.
    ///
    /// # Panics
    ///
    /// If the initializer of a pool with [`InitializationStrategy::Eager`](crate::InitializationStrategy)
    /// does; the slots have been added then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::GrowingPool::<u64>::new(10)?;
    /// pool.reserve(500)?;
    /// assert_eq!(pool.available(), 500);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn reserve(&self, additional: usize) -> Result<()> {
        self.core.reserve(additional)
    }

    /// Gives wholly vacant memory back, but leaves the capacity that the pool had at construction.
    /// Returns the number of slots that are gone.
    ///
    /// The unit is a block of chunks, of at most some 16 MiB. Blocks with occupied slots stay, and those
    /// that weak handles point to, even dead ones. Objects kept for `acquire` are destroyed. With a
    /// [`BitmapAllocator`](crate::BitmapAllocator), what is in use stays together at the start of the
    /// pool, and more can be given back than with a stack.
    ///
    /// # Complexity
    ///
    /// *O*(vacant slots).
    ///
    /// # Panics
    ///
    /// If the destructor of an object that was kept does; the pool is trimmed, and usable, then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::GrowingPool::<[u8; 1024]>::new(1_000)?;
    /// pool.reserve(100_000)?;
    /// let before = pool.bytes_reserved();
    /// pool.trim();
    /// assert!(pool.capacity() >= 1_000 && pool.bytes_reserved() < before / 10);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "what is gone need not be of interest")]
    pub fn trim(&self) -> usize {
        self.trim_to(self.core.limits().floor)
    }

    /// The same as [`trim`](Self::trim), but leaves at least `slots` slots, vacant or occupied.
    ///
    /// # Panics
    ///
    /// As [`trim`](Self::trim).
    #[expect(clippy::must_use_candidate, reason = "what is gone need not be of interest")]
    pub fn trim_to(&self, slots: usize) -> usize {
        let gone = trim(&|f| f(&self.core), slots);
        events::trimmed::<T>(self.name(), gone, self.capacity());
        gone
    }
}

impl<T: Poolable, A: Allocator, K: Kind> fmt::Debug for Pool<T, A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(K::NAME);
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("capacity", &self.capacity()).field("allocated", &self.allocated()).finish_non_exhaustive()
    }
}

/// The kinds of [`Pool`]: [`Fixed`], [`Growing`], [`ThreadLocal`].
pub trait Kind: sealed::Kind {}

/// The kind of [`FixedPool`].
#[derive(Debug)]
pub enum Fixed {}

/// The kind of [`GrowingPool`].
#[derive(Debug)]
pub enum Growing {}

/// The kind of [`ThreadLocalPool`].
#[derive(Debug)]
pub enum ThreadLocal {
    /// Not to be sent to another thread.
    #[doc(hidden)]
    _Unused(PhantomData<*const ()>, core::convert::Infallible),
}

impl Kind for Fixed {}
impl Kind for Growing {}
impl Kind for ThreadLocal {}

/// Refuses configurations for growth.
pub(crate) fn never_grows<T>(config: &PoolConfig<T>) -> Result<()> {
    let message = "the pool never grows; remove it, or use a GrowingPool";
    if config.growth_strategy.as_ref().is_some_and(|strategy| !matches!(strategy, GrowthStrategy::None)) {
        return Err(Error::InvalidConfiguration { field: "growth_strategy", message });
    }
    if config.max_capacity.is_some_and(|max| max != config.capacity) {
        return Err(Error::InvalidConfiguration { field: "max_capacity", message });
    }
    Ok(())
}

mod sealed {
    use super::{Fixed, Growing, GrowthStrategy, PoolConfig, Result, ThreadLocal, never_grows};

    pub trait Kind {
        const NAME: &'static str;

        /// How pools of this kind grow; `None` if they never do.
        fn growth<T>(config: &mut PoolConfig<T>) -> Result<Option<GrowthStrategy>> {
            never_grows(config)?;
            Ok(None)
        }
    }

    impl Kind for Fixed {
        const NAME: &'static str = "FixedPool";
    }

    impl Kind for Growing {
        const NAME: &'static str = "GrowingPool";

        fn growth<T>(config: &mut PoolConfig<T>) -> Result<Option<GrowthStrategy>> {
            Ok(Some(config.growth_strategy.take().unwrap_or(GrowthStrategy::Exponential { factor: 2.0 })))
        }
    }

    impl Kind for ThreadLocal {
        const NAME: &'static str = "ThreadLocalPool";
    }
}
