//! The pools that threads share: one safe shell over their core.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem::MaybeUninit;
use core::panic::{Location, RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::thread::{self, Thread};
use std::time::Instant;

use crate::config::{GrowthStrategy, PoolConfig};
use crate::error::{Error, Rejected, Result, without_handle};
use crate::events;
use crate::leaks::Outstanding;
use crate::poolable::Poolable;
use crate::raw::threads::{Depot, SharedOwner, SharedVacancy, Waiting};
use crate::raw::{Defer, Limits, Place};
use crate::shared_handle::{ThreadSafeHandle, ThreadSafeSharedHandle};
#[cfg(feature = "stats")]
use crate::stats::PoolStatistics;

/// A pool that threads share, and that may grow.
///
/// Cheap to clone: all clones are the same pool. Its handles have no lifetime and may be dropped on any
/// thread; they keep its memory when the pool is gone. It grows only if its configuration says how.
///
/// Each thread keeps some vacant slots for itself, so it usually allocates and releases without a lock or an
/// atomic read-modify-write; a lock is taken when many slots are exchanged at once. Capacity is exact
/// all the same: before an allocation fails, what other threads keep is brought back.
///
/// All methods are those of [`SharedPool`].
///
/// # Examples
///
/// ```
/// use fastalloc::ThreadSafePool;
///
/// let pool = ThreadSafePool::new(100)?;
/// let job = pool.allocate(String::from("parse"))?;
/// let worker = std::thread::spawn({
///     let pool = pool.clone();
///     move || pool.allocate(format!("{job} and print"))
/// });
/// let result = worker.join().expect("the worker does not panic")?;
/// assert_eq!((result.as_str(), pool.allocated()), ("parse and print", 1));
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub type ThreadSafePool<T> = SharedPool<T, Locking>;

/// A pool that threads share and that never grows: no thread ever waits for another one.
///
/// As [`ThreadSafePool`], but a thread that is stopped at any point, even for ever, keeps no other from
/// allocating and releasing. It can withhold vacant slots: those that it kept for itself, and those of one other
/// thread that it was just looking through, at most [`thread_cache`](crate::PoolConfigBuilder::thread_cache) each.
/// A call that finds no other slots waits for such a thread for a fraction of a second, and for less and less each
/// time that this is in vain.
///
/// Other operations may wait: the waiting forms, for a lock and for threads that are stopped while they use the pool;
/// `close`, weak handles while another thread is in `get_mut`, and the end of the pool. As long as somebody is in the
/// line, only those in the line get slots. Neither this pool nor any other may be used in a signal handler.
///
/// All methods are those of [`SharedPool`].
///
/// # Examples
///
/// ```
/// use fastalloc::LockFreePool;
///
/// let pool = LockFreePool::new(2)?;
/// let sample = pool.allocate([0.0_f32; 64])?;
/// std::thread::spawn(move || drop(sample)).join().expect("dropping does not panic");
/// assert!(pool.is_empty());
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[cfg(feature = "lock-free")]
pub type LockFreePool<T> = SharedPool<T, LockFree>;

/// Memory for objects of type `T`, reserved once, handed out to all threads through handles, and reused.
///
/// Not named directly, but by its kinds: [`ThreadSafePool`] and [`LockFreePool`](crate::LockFreePool).
///
/// The pool ends when all its clones are dropped. Objects that are ready for `acquire` are destroyed when the
/// last handle is gone too, and then the memory is given back. A handle that is forgotten keeps it for ever.
pub struct SharedPool<T: Poolable, K: Sharing> {
    core: SharedOwner<T, K::Depot<T>>,
}

impl<T: Poolable, K: Sharing> Clone for SharedPool<T, K> {
    /// Another name for the same pool.
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

// What user code finds after a panic in a pool is what it would find after an early return.
impl<T: Poolable, K: Sharing> UnwindSafe for SharedPool<T, K> {}
impl<T: Poolable, K: Sharing> RefUnwindSafe for SharedPool<T, K> {}

impl<T: Poolable, K: Sharing> SharedPool<T, K> {
    /// Makes a pool of values with this many slots, which does not grow.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCapacity`] if `capacity` is 0, [`Error::OutOfMemory`] if the memory cannot be had.
    pub fn new(capacity: usize) -> Result<Self> {
        Self::with_config(PoolConfig::builder().capacity(capacity).build()?)
    }

    /// Makes a pool from a configuration. A [`ThreadSafePool`] grows if that has a growth strategy.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`] if the memory cannot be had; [`Error::InvalidConfiguration`] if the pool
    /// never grows, and the configuration says how to.
    ///
    /// # Panics
    ///
    /// If the initializer does.
    pub fn with_config(mut config: PoolConfig<T>) -> Result<Self> {
        K::check(&mut config)?;
        let pool = Self { core: SharedOwner::create(config)? };
        events::created::<T>(pool.name(), pool.capacity());
        Ok(pool)
    }

    /// Moves `value` into a vacant slot and returns the handle that owns it.
    ///
    /// # Complexity
    ///
    /// *O*(1). A call that finds the pool full looks at the slots that each thread keeps for itself.
    ///
    /// # Errors
    ///
    /// [`Error::PoolExhausted`] if no slot is vacant, or others wait for one; [`Error::MaxCapacityExceeded`] if
    /// a growing pool is at its limit, [`Error::OutOfMemory`] if it could not grow, [`Error::Closed`] after
    /// [`close`](Self::close). The pool is unchanged then, and `value` is dropped; see
    /// [`allocate_or_return`](Self::allocate_or_return).
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does; the value is destroyed then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let job = pool.allocate(String::from("parse"))?;
    /// assert!(pool.allocate(String::new()).is_err());
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate(&self, value: T) -> Result<ThreadSafeHandle<T>> {
        let value = self.core.vacancy(Location::caller())?.fill(value);
        // SAFETY: the core hands the value to nobody else.
        Ok(unsafe { ThreadSafeHandle::from_raw(value) })
    }

    /// The same as [`allocate`](Self::allocate), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate(&self, value: T) -> Option<ThreadSafeHandle<T>> {
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
    #[inline]
    #[track_caller]
    pub fn allocate_or_return(&self, value: T) -> Result<ThreadSafeHandle<T>, Rejected<T>> {
        match self.core.vacancy(Location::caller()) {
            // SAFETY: the core hands the value to nobody else.
            Ok(vacancy) => Ok(unsafe { ThreadSafeHandle::from_raw(vacancy.fill(value)) }),
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
    #[inline]
    #[track_caller]
    pub fn allocate_with(&self, f: impl FnOnce() -> T) -> Result<ThreadSafeHandle<T>> {
        let vacancy = self.core.vacancy(Location::caller())?;
        // SAFETY: the core hands the value to nobody else.
        Ok(unsafe { ThreadSafeHandle::from_raw(vacancy.fill(f())) })
    }

    /// The same as [`allocate_with`](Self::allocate_with), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// If `f` or the hook [`Poolable::on_acquire`] does; the slot is vacant then.
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate_with(&self, f: impl FnOnce() -> T) -> Option<ThreadSafeHandle<T>> {
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
    /// let pool = fastalloc::ThreadSafePool::<[u8; 4096]>::new(10)?;
    /// let page = pool.allocate_in_place(|slot| slot.write([7; 4096]))?;
    /// assert_eq!(page[4095], 7);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn allocate_in_place<F>(&self, f: F) -> Result<ThreadSafeHandle<T>>
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
        Ok(unsafe { ThreadSafeHandle::from_raw(value) })
    }

    /// The same as [`allocate_in_place`](Self::allocate_in_place), but `None` instead of an error.
    ///
    /// # Panics
    ///
    /// As [`allocate_in_place`](Self::allocate_in_place).
    #[inline]
    #[must_use = "the value is destroyed if its handle is not kept"]
    #[track_caller]
    pub fn try_allocate_in_place<F>(&self, f: F) -> Option<ThreadSafeHandle<T>>
    where
        F: for<'slot> FnOnce(&'slot mut MaybeUninit<T>) -> &'slot mut T,
    {
        self.allocate_in_place(f).ok()
    }

    /// Moves all values into slots that are reserved beforehand: all or none.
    ///
    /// Never waits, not even if others do: then it fails.
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
    /// let pool = fastalloc::ThreadSafePool::new(3)?;
    /// assert!(pool.allocate_batch(["a", "b", "c", "d"]).is_err());
    /// let handles = pool.allocate_batch(["a", "b", "c"])?;
    /// assert_eq!(*handles[2], "c");
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn allocate_batch<I>(&self, values: I) -> Result<Vec<ThreadSafeHandle<T>>>
    where
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    {
        let mut values = values.into_iter();
        let len = values.len();
        // The handles take the place of the vacancies in memory.
        let handles = self.core.vacancies(len, Location::caller())?.into_iter().map_while(|mut vacancy| {
            let value = values.next()?;
            vacancy.clear();
            // SAFETY: the core hands the value to nobody else.
            Some(unsafe { ThreadSafeHandle::from_raw(vacancy.fill(value)) })
        });
        Ok(handles.collect())
    }

    /// Takes a ready object of a pool that has an initializer: preferably one that was released before, else a
    /// new one.
    ///
    /// Objects that other threads have released are used again too. Only where threads would take them from each
    /// other time and again, and slots are vacant, a few more are made, so that each thread has some.
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
    /// use fastalloc::{PoolConfig, ThreadSafePool};
    ///
    /// let config = PoolConfig::builder().capacity(4).reset_fn(String::new, |text| text.clear()).build()?;
    /// let pool = ThreadSafePool::with_config(config)?;
    /// let mut text = pool.acquire()?;
    /// text.push_str("a long line that needs memory of its own");
    /// drop(text);
    /// let text = pool.acquire()?;
    /// assert!(text.is_empty() && text.capacity() > 0);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Result<ThreadSafeHandle<T>> {
        let object = self.core.acquire(Location::caller())?;
        // SAFETY: the core hands the object to nobody else.
        Ok(unsafe { ThreadSafeHandle::from_raw(object) })
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
    // Always, so that the value is made in its slot instead of moved there.
    #[inline(always)]
    #[track_caller]
    pub fn allocate_shared(&self, value: T) -> Result<ThreadSafeSharedHandle<T>> {
        self.allocate(value)?.try_into_shared().map_err(without_handle)
    }

    /// Moves `value` into a vacant slot; waits for one as long as there is none.
    ///
    /// First come, first served: while somebody waits, [`allocate`](Self::allocate) fails.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the pool is closed before or meanwhile, [`Error::OutOfMemory`] if it could not grow.
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let first = pool.allocate(1)?;
    /// let waiting = std::thread::spawn({
    ///     let pool = pool.clone();
    ///     move || pool.allocate_wait(2)
    /// });
    /// drop(first);
    /// assert_eq!(*waiting.join().expect("it does not panic")?, 2);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn allocate_wait(&self, value: T) -> Result<ThreadSafeHandle<T>> {
        block_on(self.allocate_async(value), None)
    }

    /// Moves `value` into a vacant slot; waits for one until a timeout has passed.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], and those of [`allocate_wait`](Self::allocate_wait).
    ///
    /// # Panics
    ///
    /// If the hook [`Poolable::on_acquire`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// let _only = pool.allocate(1)?;
    /// let error = pool.allocate_timeout(2, Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error, fastalloc::Error::Timeout);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[track_caller]
    pub fn allocate_timeout(&self, value: T, timeout: Duration) -> Result<ThreadSafeHandle<T>> {
        self.core.in_time(block_on(self.allocate_async(value), Instant::now().checked_add(timeout)))
    }

    /// Moves `value` into a vacant slot; the future waits for one as long as there is none, on any runtime.
    ///
    /// It joins the line when it is first polled. If it is dropped, it leaves the line, and a slot that was
    /// handed to it already goes to the next. As long as it is neither polled nor dropped, it keeps what it was
    /// handed; if it is forgotten, for ever, and the pool is slower from then on.
    ///
    /// In a pool that tracks leaks, the object comes from the place where this is called.
    ///
    /// A place in the line takes some memory; the program aborts if that cannot be had.
    ///
    /// # Errors
    ///
    /// As [`allocate_wait`](Self::allocate_wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn handle(pool: &fastalloc::ThreadSafePool<Vec<u8>>) -> fastalloc::Result<()> {
    /// let mut request = pool.allocate_async(vec![0; 1024]).await?;
    /// request[0] = 1;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn allocate_async(&self, value: T) -> Allocation<'_, T, K> {
        Allocation { pool: self, value: Some(value), state: WaitState::New(Location::caller()) }
    }

    /// Takes a ready object, as [`acquire`](Self::acquire) does; waits as [`allocate_wait`](Self::allocate_wait).
    ///
    /// # Errors
    ///
    /// As [`allocate_wait`](Self::allocate_wait); also [`Error::InvalidConfiguration`] if the pool has no
    /// initializer.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_wait(&self) -> Result<ThreadSafeHandle<T>> {
        block_on(self.acquire_async(), None)
    }

    /// Takes a ready object, as [`acquire`](Self::acquire) does; waits as
    /// [`allocate_timeout`](Self::allocate_timeout).
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], and those of [`acquire_wait`](Self::acquire_wait).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<ThreadSafeHandle<T>> {
        self.core.in_time(block_on(self.acquire_async(), Instant::now().checked_add(timeout)))
    }

    /// Takes a ready object, as [`acquire`](Self::acquire) does; waits as
    /// [`allocate_async`](Self::allocate_async).
    ///
    /// # Errors
    ///
    /// As [`acquire_wait`](Self::acquire_wait).
    #[track_caller]
    pub fn acquire_async(&self) -> Allocation<'_, T, K> {
        Allocation { pool: self, value: None, state: WaitState::New(Location::caller()) }
    }

    /// Hands out nothing any more: who waits, and who asks from now on, gets [`Error::Closed`].
    ///
    /// Handles are not affected. A closed pool cannot be opened again.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = fastalloc::ThreadSafePool::new(1)?;
    /// pool.close();
    /// assert_eq!(pool.allocate(1).unwrap_err(), fastalloc::Error::Closed);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn close(&self) {
        let was_closed = self.is_closed();
        self.core.close();
        if !was_closed {
            events::closed::<T>(self.name());
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Brings the vacant slots that the current thread keeps for itself back to where all threads look first.
    ///
    /// Never necessary: they are found when they are needed. It makes that faster, if the thread does not use
    /// the pool for a while.
    pub fn flush_thread(&self) {
        self.core.flush_thread();
    }

    /// Number of slots, vacant or occupied.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.capacity()
    }

    /// Number of vacant slots. Exact if no other thread is using the pool.
    ///
    /// # Complexity
    ///
    /// *O*(threads that have used the pool).
    #[must_use]
    pub fn available(&self) -> usize {
        self.core.available()
    }

    /// Number of occupied slots, as exact as [`available`](Self::available).
    #[must_use]
    pub fn allocated(&self) -> usize {
        let available = self.available();
        self.capacity().saturating_sub(available)
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
        self.core.depot().bytes()
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
    /// *O*(capacity); nobody else can allocate or release meanwhile, not even in a pool that is lock-free otherwise.
    #[must_use]
    pub fn outstanding(&self) -> Option<Outstanding> {
        self.core.outstanding()
    }

    /// The objects that have been out of the pool for longer than this, as [`outstanding`](Self::outstanding) has them.
    #[must_use]
    pub fn held_longer_than(&self, age: Duration) -> Option<Outstanding> {
        self.outstanding().map(|outstanding| outstanding.held_longer_than(age))
    }

    /// What the pool has done since it was made or [reset](Self::reset_statistics), and how full it is.
    ///
    /// Exact if no other thread is using the pool; else it may miss what they are just doing.
    ///
    /// # Complexity
    ///
    /// *O*(threads that have used the pool).
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
    /// recorder panics, what it was told then is lost. Two threads that publish at the same time may leave the gauges of
    /// the earlier one.
    ///
    /// [`StatisticsReporter::prometheus`]: crate::StatisticsReporter::prometheus
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.core.publish_metrics();
    }

    /// Sets all counts of what has happened to 0, and the peak to the slots that are occupied.
    #[cfg(feature = "stats")]
    pub fn reset_statistics(&self) {
        self.core.reset_statistics();
    }
}

impl<T: Poolable> ThreadSafePool<T> {
    /// Whether the pool may add slots: its strategy allows it, and it is below `max_capacity`.
    ///
    /// A custom strategy may still answer 0, and the memory may not be had.
    #[must_use]
    pub fn can_grow(&self) -> bool {
        let Limits { growth, max_capacity, .. } = self.core.depot().limits();
        growth.as_ref().is_some_and(GrowthStrategy::allows_growth)
            && max_capacity.is_none_or(|max| self.capacity() < max)
    }

    /// Adds slots, if necessary, so that `additional` ones are vacant.
    ///
    /// # Errors
    ///
    /// [`Error::PoolExhausted`] if the growth strategy allows none, [`Error::MaxCapacityExceeded`] if that is
    /// beyond the limit, [`Error::OutOfMemory`] if the memory cannot be had. The pool is unchanged then.
    ///
    /// # Panics
    ///
    /// If the initializer of a pool with [`InitializationStrategy::Eager`](crate::InitializationStrategy)
    /// does; the slots have been added then.
    pub fn reserve(&self, additional: usize) -> Result<()> {
        self.core.flush_threads();
        let before = self.capacity();
        self.core.depot().reserve(additional)?;
        self.core.new_slots(before);
        self.core.attend();
        Ok(())
    }

    /// Gives wholly vacant memory back, but leaves the capacity that the pool had at construction.
    /// Returns the number of slots that are gone.
    ///
    /// As [`GrowingPool::trim`](crate::Pool::trim).
    ///
    /// # Panics
    ///
    /// If the destructor of an object that was kept does; the pool is trimmed, and usable, then.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{GrowthStrategy, PoolConfig, ThreadSafePool};
    ///
    /// let config = PoolConfig::builder().capacity(1_000).growth_strategy(GrowthStrategy::Exponential { factor: 2.0 });
    /// let pool = ThreadSafePool::<[u8; 1024]>::with_config(config.build()?)?;
    /// pool.reserve(100_000)?;
    /// let before = pool.bytes_reserved();
    /// pool.trim();
    /// assert!(pool.capacity() >= 1_000 && pool.bytes_reserved() < before / 10);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "what is gone need not be of interest")]
    pub fn trim(&self) -> usize {
        self.trim_to(self.core.depot().limits().floor)
    }

    /// The same as [`trim`](Self::trim), but leaves at least `slots` slots, vacant or occupied.
    ///
    /// # Panics
    ///
    /// As [`trim`](Self::trim).
    #[expect(clippy::must_use_candidate, reason = "what is gone need not be of interest")]
    pub fn trim_to(&self, slots: usize) -> usize {
        self.core.flush_threads();
        // Those who wait may have come while the pool could not grow, because memory was being given back.
        let _attend = Defer(|| self.core.attend());
        let gone = self.core.depot().trim(slots);
        events::trimmed::<T>(self.name(), gone, self.capacity());
        gone
    }
}

impl<T: Poolable, K: Sharing> fmt::Debug for SharedPool<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(K::NAME);
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("capacity", &self.capacity()).field("allocated", &self.allocated()).finish_non_exhaustive()
    }
}

/// Waits for a vacant slot of a [`SharedPool`]: what
/// [`allocate_async`](SharedPool::allocate_async) and [`acquire_async`](SharedPool::acquire_async) return.
#[must_use = "a future does nothing until it is polled"]
pub struct Allocation<'pool, T: Poolable, K: Sharing> {
    pool: &'pool SharedPool<T, K>,
    /// What to put into the slot; `None` to acquire an object.
    value: Option<T>,
    state: WaitState<'pool, T, K>,
}

enum WaitState<'pool, T: Poolable, K: Sharing> {
    New(Place),
    Waiting(Waiting<'pool, T, K::Depot<T>>),
    Done,
}

impl<T: Poolable, K: Sharing> Unpin for Allocation<'_, T, K> {}

impl<'pool, T: Poolable, K: Sharing> Allocation<'pool, T, K> {
    fn poll_vacancy(&mut self, context: &mut Context<'_>) -> Poll<Result<SharedVacancy<'pool, T, K::Depot<T>>>> {
        let core = &self.pool.core;
        if let WaitState::New(place) = self.state {
            self.state = match core.take_or_wait(self.value.is_none(), place)? {
                Ok(vacancy) => return Poll::Ready(Ok(vacancy)),
                Err(waiting) => WaitState::Waiting(waiting),
            };
        }
        match &mut self.state {
            WaitState::Waiting(waiting) => waiting.poll(context),
            _ => panic!("the future was polled after it had returned its result"),
        }
    }
}

impl<T: Poolable, K: Sharing> Future for Allocation<'_, T, K> {
    type Output = Result<ThreadSafeHandle<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(vacancy) = self.poll_vacancy(context) else { return Poll::Pending };
        self.state = WaitState::Done;
        let mut vacancy = vacancy?;
        let value = match self.value.take() {
            Some(value) => {
                vacancy.clear();
                vacancy.fill(value)
            }
            None => self.pool.core.ready(vacancy)?,
        };
        // SAFETY: the core hands the value to nobody else.
        Poll::Ready(Ok(unsafe { ThreadSafeHandle::from_raw(value) }))
    }
}

impl<T: Poolable, K: Sharing> fmt::Debug for Allocation<'_, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation").field("pool", self.pool).finish_non_exhaustive()
    }
}

/// Polls a future on this thread until it is ready, or the deadline has passed.
fn block_on<T>(mut future: impl Future<Output = Result<T>> + Unpin, deadline: Option<Instant>) -> Result<T> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = Pin::new(&mut future).poll(&mut context) {
            return result;
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return Err(Error::Timeout),
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// The kinds of [`SharedPool`]: [`Locking`], [`LockFree`](crate::LockFree).
pub trait Sharing: sealed::Sharing {}

/// The kind of [`ThreadSafePool`].
#[derive(Debug)]
pub enum Locking {}

/// The kind of [`LockFreePool`].
#[cfg(feature = "lock-free")]
#[derive(Debug)]
pub enum LockFree {}

impl Sharing for Locking {}
#[cfg(feature = "lock-free")]
impl Sharing for LockFree {}

mod sealed {
    #[cfg(feature = "lock-free")]
    use super::LockFree;
    use super::{Depot, Locking, PoolConfig, Poolable, Result};
    #[cfg(feature = "lock-free")]
    use crate::pool::never_grows;
    use crate::raw::threads;

    #[expect(private_bounds, reason = "depots are not for users")]
    pub trait Sharing: 'static {
        const NAME: &'static str;

        type Depot<T: Poolable>: Depot<T>;

        /// Refuses configurations for growth, if the pool never grows.
        fn check<T>(config: &mut PoolConfig<T>) -> Result<()>;
    }

    impl Sharing for Locking {
        const NAME: &'static str = "ThreadSafePool";

        type Depot<T: Poolable> = threads::Locked<T>;

        fn check<T>(_: &mut PoolConfig<T>) -> Result<()> {
            Ok(())
        }
    }

    #[cfg(feature = "lock-free")]
    impl Sharing for LockFree {
        const NAME: &'static str = "LockFreePool";

        type Depot<T: Poolable> = threads::LockFree<T>;

        fn check<T>(config: &mut PoolConfig<T>) -> Result<()> {
            never_grows(config)
        }
    }
}
