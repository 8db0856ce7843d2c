//! The core that threads share: a magazine for each thread, in front of a depot for all.
//!
//! Usually a thread takes slots from its magazine and puts them back there, also those that another thread
//! took, without an atomic read-modify-write. Magazines and depot exchange many slots at once. If the
//! depot is empty, the magazines of the other threads are put out of use for a moment and flushed, so
//! that a slot that anybody released is one that anybody can get.
//!
//! Three counts keep that exact. `direct` says that magazines are out of use, see [`Magazine::enter`].
//! `begun` and `ended` count *transfers*, in which slots are on their way between a magazine and the
//! depot: who finds nothing in either asks whether there was one meanwhile.

mod counts;
mod exchange;
mod line;
#[cfg(all(feature = "lock-free", not(fastalloc_passthrough)))]
mod lock_free;
mod locked;
mod magazine;
#[cfg(all(test, fastalloc_loom))]
mod models;
mod patience;
mod thread;
mod vacancy;
mod waiting;

use alloc::alloc::{alloc, dealloc};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::alloc::Layout;
#[cfg(feature = "metrics")]
use core::any::type_name;
use core::cell::Cell;
use core::mem::{self, MaybeUninit};
use core::ops::Deref;
use core::ptr::NonNull;
use core::task::Waker;

pub(crate) use self::counts::{Counts, MANY};
use self::exchange::Exchange;
use self::line::{Line, Taken};
#[cfg(all(feature = "lock-free", not(fastalloc_passthrough)))]
pub(crate) use self::lock_free::LockFree;
pub(crate) use self::locked::Locked;
// It takes a lock to get other memory for a slot.
#[cfg(all(feature = "lock-free", fastalloc_passthrough))]
pub(crate) use self::locked::Locked as LockFree;
use self::magazine::{BATCH, Batch, Magazine, Magazines};
use self::patience::Patience;
use self::thread::Thread;
pub(crate) use self::vacancy::SharedVacancy;
pub(crate) use self::waiting::Waiting;
use super::local::Maker;
use super::{Defer, Place, Scrub, SharedCounters, is_fat};
use crate::chunk::{Geometry, Header, PASSTHROUGH};
use crate::config::PoolConfig;
use crate::error::{Error, Result};
use crate::events;
use crate::leaks::{Outstanding, Tracker};
use crate::poolable::{Internal, Poolable, Tenant};
#[cfg(feature = "stats")]
use crate::stats::PoolStatistics;
#[cfg(feature = "metrics")]
use crate::stats::publish;
#[cfg(feature = "metrics")]
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};
use crate::sync::interleave;

/// Where the slots are that no magazine has. No function calls user code, unless it says so.
///
/// # Safety
///
/// If `T` is `Send`, threads can share it.
pub(crate) unsafe trait Depot<T>: Sized {
    /// A thread may wait for another one that is in a short section.
    const WAITS: bool;

    /// Makes a depot whose slots are all vacant and without objects. Its chunks belong to `head`.
    fn create(config: PoolConfig<T>, head: NonNull<Head>) -> Result<Self>;

    /// What makes objects, if the pool keeps them.
    fn maker(&self) -> Option<&Maker<T>>;

    /// Vacant slots here; somewhat old if other threads use the depot.
    fn vacant(&self) -> usize;

    /// Slots, here or elsewhere.
    fn capacity(&self) -> usize;

    fn bytes(&self) -> usize;

    /// Takes slots, until the batch has as many as wanted: with objects, if the pool keeps them.
    fn take(&self, batch: &mut Batch, wanted: usize);

    /// Takes a slot: preferably with an object, or without.
    fn take_one(&self, with_object: bool) -> Option<Taken>;

    /// Takes so many slots, preferably without objects: all or none. There is room for them.
    fn take_all(&self, wanted: usize, taken: &mut Vec<Taken>) -> bool;

    /// Takes a slot without an object.
    fn take_empty(&self) -> Option<NonNull<u8>>;

    fn give(&self, slots: &[NonNull<u8>], with_object: bool);

    /// Gets other memory for a slot that was taken and holds no object: see [`PASSTHROUGH`].
    fn renew(&self, slot: NonNull<u8>);

    /// How many slots the growth strategy adds. May call user code.
    fn step(&self) -> usize;

    /// Sees to it that so many slots are vacant here, if the growth strategy says `step`.
    fn grow(&self, needed: usize, step: usize) -> Result<()>;

    /// How often slots were added.
    #[cfg(feature = "stats")]
    fn growths(&self) -> u64;

    /// Makes the table of counts of a chunk.
    fn make_counts(&self, header: &Header) -> Result<()>;
}

/// The part of a core that does not depend on its types: what a handle finds from its address.
#[derive(Debug)]
pub(crate) struct Head {
    /// Released values are destroyed, and no value was ever pinned.
    plain: AtomicBool,
    /// The pool keeps objects: magazines hold slots with them, else slots without.
    keeps: bool,
    scrub: Scrub,
    /// Reasons why magazines are out of use.
    direct: AtomicUsize,
    magazines: Magazines,
    /// Slots that a thread takes at once, at most; twice as many are the limit of a magazine, besides the hot one.
    share_max: usize,
    operations: &'static Operations,
    geometry: Geometry,
    /// Pools and weak handles.
    pools: AtomicUsize,
    closed: AtomicBool,
    /// There is no pool any more: slots that are released are not needed.
    orphaned: AtomicBool,
    /// What keeps an orphaned core: handles, and all weak handles together. `UNKNOWN` more as long as nobody
    /// has counted the handles; those that are dropped meanwhile are subtracted already.
    remaining: AtomicI64,
    line: Line,
    counters: SharedCounters,
    exchange: Exchange,
}

/// What a core does for handles that do not know its types.
#[derive(Debug)]
struct Operations {
    /// Ends the use of an occupied slot: hook, then reset or destructor, then the slot is vacant.
    release: unsafe fn(NonNull<Head>, NonNull<u8>),
    /// Makes an occupied slot vacant whose object is gone.
    vacate: unsafe fn(NonNull<Head>, NonNull<u8>),
    /// Takes a vacant slot without an object.
    take: unsafe fn(NonNull<Head>, Place) -> Result<NonNull<u8>>,
    make_counts: unsafe fn(NonNull<Head>, &Header) -> Result<()>,
    /// Frees the core.
    free: unsafe fn(NonNull<Head>),
    /// Prepares a core whose pool is gone for its end. Returns how many slots are occupied.
    orphan: unsafe fn(NonNull<Head>) -> usize,
    /// Tells whom it may concern what is out of a pool that has ended. Calls user code.
    tell: unsafe fn(NonNull<Head>),
}

/// A core, behind its head.
#[repr(C)]
pub(crate) struct Shared<T, D> {
    head: Head,
    depot: D,
    name: Option<Cow<'static, str>>,
    /// If there is one, magazines are out of use.
    tracker: Option<Tracker>,
    /// The statistics that were published last.
    #[cfg(feature = "metrics")]
    published: Mutex<PoolStatistics>,
    /// The depot says for which types threads may share the core.
    marker: core::marker::PhantomData<fn() -> T>,
}

/// Calls `f` with the magazine that the current thread remembers, if it is one of the core: the usual path.
///
/// # Safety
///
/// The core lives until `f` has been called; when this returns, it may be gone.
#[inline]
unsafe fn with_remembered<R>(key: *mut Head, f: impl FnOnce(&Magazine) -> Option<R>) -> Option<R> {
    let thread = thread::current();
    let result = match thread.enter_remembered(key) {
        Some(magazine) => f(magazine),
        None => None,
    };
    thread.leave();
    result
}

/// Calls `f` with the magazine of a thread, the current one, unless it has none, or they are out of use.
///
/// # Safety
///
/// As for [`with_remembered`].
unsafe fn section<R>(head: NonNull<Head>, thread: &'static Thread, f: impl FnOnce(&Magazine) -> R) -> Option<R> {
    // SAFETY: the caller says so.
    let core = unsafe { head.as_ref() };
    let magazine = core.magazines.get(thread.place)?;
    thread.enter();
    // Pairs with the end of `out_of_use`: what was done with the magazine meanwhile is seen.
    let result = if core.direct.load(Acquire) == 0 {
        let result = f(magazine);
        if magazine.is_open() {
            thread.remember(core.key(), magazine);
        }
        // Either this sees that magazines are out of use now, or who put them out of use sees what is remembered.
        if !magazine.is_open() || core.direct.load(Relaxed) != 0 {
            thread.forget(core.key());
        }
        Some(result)
    } else {
        None
    };
    thread.leave();
    result
}

/// Puts a slot that no handle owns into the magazine that the thread remembers, if that is the core's.
///
/// # Safety
///
/// The slot is an occupied one of the core with that key, which may be gone when this returns `true`.
#[inline]
unsafe fn push(key: *mut Head, slot: NonNull<u8>) -> bool {
    // SAFETY: a core lives as long as a slot of it is occupied, which this one is until it is pushed.
    unsafe { with_remembered(key, |magazine| magazine.push(slot).then_some(())) }.is_some()
}

impl Head {
    /// Names the core, and what its magazines hold: slots without objects, or with (then it is no address).
    #[inline]
    fn key(&self) -> *mut Self {
        key(NonNull::from(self), self.keeps)
    }

    #[inline]
    fn pop(&self, with_object: bool) -> Option<NonNull<u8>> {
        // SAFETY: the core lives as long as the reference.
        unsafe { with_remembered(key(NonNull::from(self), with_object), Magazine::allocate) }
    }

    /// Puts the magazines out of use until the guard is dropped.
    fn out_of_use(&self) -> Defer<impl FnMut()> {
        // Not a reference to the whole head: with the count the core may go, before the guard has ended.
        let direct = &self.direct;
        direct.fetch_add(1, SeqCst);
        let back_in_use = Defer(move || {
            direct.fetch_sub(1, AcqRel);
        });
        thread::heavy_fence();
        back_in_use
    }

    /// Announces that slots are on their way between a magazine and the depot, until the guard is dropped.
    fn transfer(&self) -> Defer<impl FnMut()> {
        self.exchange.begun.fetch_add(1, SeqCst);
        // As above.
        let ended = &self.exchange.ended;
        Defer(move || {
            ended.fetch_add(1, SeqCst);
        })
    }
}

#[inline]
fn key(head: NonNull<Head>, keeps: bool) -> *mut Head {
    head.as_ptr().wrapping_byte_add(usize::from(keeps))
}

/// Ends the use of a slot: hook, then reset or destructor, then the slot is vacant.
///
/// # Safety
///
/// `value` is in an occupied slot of a shared core, and is not used afterwards.
#[inline]
pub(crate) unsafe fn release<T: ?Sized + Tenant>(mut value: NonNull<T>) {
    // SAFETY: the caller says so.
    let Location { head, core, slot, .. } = unsafe { Location::of(value) };
    if !core.plain.load(Relaxed) || is_fat::<T>() {
        // The core knows what was put into the slot, also if the handle was converted since.
        // SAFETY: the slot is occupied, and the core's operations are for its own types.
        return unsafe { (core.operations.release)(head, slot) };
    }
    // Each step happens even if the one before it unwinds.
    // SAFETY: the slot is occupied, and when this runs, its object is gone.
    let vacate = Defer(|| unsafe { vacate_plain(head, slot) });
    // SAFETY: the value is initialized and not used afterwards.
    let destroy = Defer(move || unsafe { value.drop_in_place() });
    // SAFETY: the value is initialized, and nobody else uses it.
    unsafe { value.as_mut() }.release_hook(Internal(()));
    drop(destroy);
    drop(vacate);
}

/// Makes a slot vacant whose object is gone.
///
/// # Safety
///
/// The slot is an occupied one of the core, which no handle owns any more.
#[inline]
pub(crate) unsafe fn vacate(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: a core lives as long as a slot of it is occupied.
    let core = unsafe { head.as_ref() };
    if core.keeps || core.scrub.is_on() {
        // SAFETY: the caller says so, and the core's operations are for its own types.
        unsafe { (core.operations.vacate)(head, slot) };
    } else {
        // SAFETY: the caller says so.
        unsafe { vacate_plain(head, slot) };
    }
}

/// Makes a slot vacant whose object is gone, in a core that keeps none.
///
/// # Safety
///
/// As for [`vacate`].
#[inline]
unsafe fn vacate_plain(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so.
    if !unsafe { push(key(head, false), slot) } {
        // SAFETY: the slot is still occupied, so the core lives.
        let core = unsafe { head.as_ref() };
        // SAFETY: the caller says so, and the core's operations are for its own types.
        unsafe { (core.operations.vacate)(head, slot) };
    }
}

/// Index of an occupied slot.
///
/// # Safety
///
/// `value` is in an occupied slot of a shared core.
pub(crate) unsafe fn index<T: ?Sized>(value: NonNull<T>) -> usize {
    // SAFETY: the caller says so.
    unsafe { Location::of(value) }.index()
}

/// Whether a value is in an occupied slot. Not known, because the slots in magazines are not noted anywhere else.
pub(crate) unsafe fn is_occupied<T: ?Sized>(_: NonNull<T>) -> bool {
    true
}

/// What the address of a value in an occupied slot leads to.
pub(crate) struct Location<'core> {
    pub(crate) header: NonNull<Header>,
    pub(crate) head: NonNull<Head>,
    core: &'core Head,
    /// The slot with the provenance of its chunk: that of the value may end with the value.
    pub(crate) slot: NonNull<u8>,
    layout: Layout,
}

impl<'core> Location<'core> {
    /// # Safety
    ///
    /// `value` is in an occupied slot of a shared core, which stays occupied as long as the result is used.
    #[inline]
    pub(crate) unsafe fn of<T: ?Sized>(value: NonNull<T>) -> Self {
        // SAFETY: the caller says so.
        let header = unsafe { Header::of(value) };
        // SAFETY: the header of an occupied slot is initialized, and changed through atomics only.
        let head = unsafe { header.as_ref() }.head.cast::<Head>();
        // SAFETY: the core of an occupied slot is alive, and changed through atomics only.
        let core = unsafe { head.as_ref() };
        // SAFETY: the value is initialized, and the reference ends here.
        let layout = Layout::for_value(unsafe { value.as_ref() });
        Self { header, head, core, slot: header.cast::<u8>().with_addr(value.addr()), layout }
    }

    /// Position of the slot in its chunk.
    #[inline]
    fn position(&self) -> usize {
        // SAFETY: as in `of`.
        let header = unsafe { self.header.as_ref() };
        self.core.geometry.position_for(header, self.slot.addr().get(), self.layout)
    }

    /// Index of the slot.
    fn index(&self) -> usize {
        // SAFETY: as in `of`.
        unsafe { self.header.as_ref() }.first_index + self.position()
    }

    /// The counts of the slot, if its chunk has a table of them.
    #[inline]
    pub(crate) fn counts(&self) -> Option<&'core Counts> {
        // SAFETY: as in `of`.
        let table = NonNull::new(unsafe { self.header.as_ref() }.shares())?;
        // SAFETY: the table has an entry for each slot of the chunk.
        let counts = unsafe { table.cast::<Counts>().add(self.position()) };
        // SAFETY: the table was zeroed, which is valid for counts; they are changed through atomics only.
        Some(unsafe { counts.as_ref() })
    }

    /// The counts of the slot, in a table that is made for its chunk if there is none.
    #[inline]
    pub(crate) fn counts_or_make(&self) -> Result<&'core Counts> {
        loop {
            if let Some(counts) = self.counts() {
                return Ok(counts);
            }
            self.make_counts()?;
        }
    }

    #[cold]
    fn make_counts(&self) -> Result<()> {
        // SAFETY: as in `of`.
        let header = unsafe { self.header.as_ref() };
        // SAFETY: the core's operations are for its own types.
        unsafe { (self.core.operations.make_counts)(self.head, header) }
    }

    /// Takes another vacant slot of the same pool, without an object.
    pub(crate) fn take_another(&self, place: Place) -> Result<NonNull<u8>> {
        // SAFETY: the core's operations are for its own types.
        unsafe { (self.core.operations.take)(self.head, place) }
    }

    /// From now on, a release asks whether the value was pinned.
    pub(crate) fn not_plain(&self) {
        self.core.plain.store(false, Relaxed);
    }
}

impl Head {
    /// Counts a pool or a weak handle. The caller has a pool, a weak handle, or a handle.
    pub(crate) fn retain(&self) {
        let before = self.pools.fetch_add(1, AcqRel);
        if before > usize::MAX / 2 {
            // Only if so many were forgotten.
            std::process::abort();
        }
        if before == 0 {
            // A weak handle, made from a handle that has outlived its pool.
            self.remaining.fetch_add(1, AcqRel);
        }
    }

    /// Whether the pool is gone, so that nobody needs vacant slots.
    fn is_orphaned(&self) -> bool {
        self.orphaned.load(SeqCst)
    }
}

/// Ends the use of a core by a pool or a weak handle. With the last one, the core is freed, or waits for
/// the last handle.
///
/// # Safety
///
/// [`Head::retain`] counted it, or it is the first pool.
pub(crate) unsafe fn let_go(head: NonNull<Head>) {
    // SAFETY: the core lives as long as it is used by a pool or weak handle.
    let core = unsafe { head.as_ref() };
    if core.pools.fetch_sub(1, AcqRel) > 1 {
        return;
    }
    let change = Cell::new(-1);
    // Also if who is told of leaks unwinds.
    // SAFETY: what was counted is gone.
    let _end = Defer(|| unsafe { change_remaining(head, change.get()) });
    if !core.orphaned.swap(true, SeqCst) {
        // SAFETY: the core's operations are for its own types.
        change.set(unsafe { (core.operations.orphan)(head) as i64 - UNKNOWN });
        // SAFETY: as above.
        unsafe { (core.operations.tell)(head) };
    }
}

/// Counts what keeps an orphaned core; frees it if nothing does.
///
/// # Safety
///
/// What is counted off kept the core until now, and does not use it any more.
unsafe fn change_remaining(head: NonNull<Head>, change: i64) {
    // SAFETY: the core lives until this has changed the count.
    let core = unsafe { head.as_ref() };
    let free = core.operations.free;
    if core.remaining.fetch_add(change, AcqRel) + change == 0 {
        // SAFETY: nothing uses the core any more, and its operations are for its own types.
        unsafe { free(head) };
    }
}

/// More handles than there can be: how many remain before that is known.
const UNKNOWN: i64 = i64::MAX / 2;

impl<T: Poolable, D: Depot<T>> Shared<T, D> {
    const OPERATIONS: Operations = Operations {
        release: release_slot::<T, D>,
        vacate: vacate_slot::<T, D>,
        take: take_slot::<T, D>,
        make_counts: make_counts::<T, D>,
        free: free_core::<T, D>,
        orphan: orphan::<T, D>,
        tell: tell::<T, D>,
    };

    pub(crate) fn depot(&self) -> &D {
        &self.depot
    }

    pub(crate) fn capacity(&self) -> usize {
        self.depot.capacity()
    }

    /// Vacant slots; exact if no other thread uses the pool.
    pub(crate) fn available(&self) -> usize {
        let in_magazines: usize = self.head.magazines.iter().map(Magazine::len).sum();
        (self.depot.vacant() + self.head.exchange.len() + in_magazines).min(self.capacity())
    }

    /// Takes a vacant slot without an object.
    #[inline]
    pub(crate) fn vacancy(&self, place: Place) -> Result<SharedVacancy<'_, T, D>> {
        match self.head.pop(false) {
            Some(slot) => Ok(self.vacancy_of((slot, false))),
            None => self.vacancy_slowly(place),
        }
    }

    #[cold]
    #[inline(never)]
    fn vacancy_slowly(&self, place: Place) -> Result<SharedVacancy<'_, T, D>> {
        let mut vacancy = self.vacancy_of(self.wanted(self.take(false, place))?);
        vacancy.clear();
        Ok(vacancy)
    }

    #[inline]
    fn vacancy_of(&self, (slot, has_object): Taken) -> SharedVacancy<'_, T, D> {
        SharedVacancy { core: self, slot: slot.cast(), has_object }
    }

    /// Takes a slot with an object that is ready for use: one that was kept, else a new one.
    #[inline]
    pub(crate) fn acquire(&self, place: Place) -> Result<NonNull<T>> {
        let taken = match self.head.pop(true) {
            Some(slot) => (slot, true),
            None if self.head.keeps => self.wanted(self.take(true, place))?,
            None => return Err(Error::NO_INITIALIZER),
        };
        self.ready(self.vacancy_of(taken))
    }

    /// Makes the object in a slot that was taken for one, if there is none yet.
    pub(crate) fn ready(&self, mut vacancy: SharedVacancy<'_, T, D>) -> Result<NonNull<T>> {
        if !vacancy.has_object {
            let Some(maker) = self.depot.maker() else { return Err(Error::NO_INITIALIZER) };
            vacancy.slot().write((maker.initializer)());
        }
        // SAFETY: the slot holds an object.
        Ok(unsafe { vacancy.occupied() })
    }

    /// Takes a vacant slot, when the thread's magazine has none: preferably with an object, or without.
    #[cold]
    #[inline(never)]
    fn take(&self, with_object: bool, place: Place) -> Result<Taken> {
        let taken = self.take_anywhere(with_object)?;
        self.track(taken, place)?;
        Ok(taken)
    }

    /// Notes where in the program a slot was taken, if the pool tracks leaks. If there is no memory for that, the slot
    /// is vacant again.
    fn track(&self, taken: Taken, place: Place) -> Result<()> {
        let Some(tracker) = &self.tracker else { return Ok(()) };
        let vacancy = self.vacancy_of(taken);
        // SAFETY: the slot is occupied.
        let index = unsafe { index(vacancy.slot.cast::<MaybeUninit<T>>()) };
        tracker.track(index, self.capacity(), place)?;
        mem::forget(vacancy);
        Ok(())
    }

    /// What is out of the pool, if it tracks leaks.
    pub(crate) fn outstanding(&self) -> Option<Outstanding> {
        self.tracker.as_ref().map(|tracker| tracker.outstanding(self.name.as_ref()))
    }

    /// What the pool is called.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Counts and tells if somebody wanted slots that were not there.
    fn wanted<R>(&self, result: Result<R>) -> Result<R> {
        result.inspect_err(|error| {
            if *error != Error::Closed {
                self.head.counters.failed();
            }
            events::refused::<T>(self.name(), error);
        })
    }

    fn take_anywhere(&self, with_object: bool) -> Result<Taken> {
        // For pools that keep objects, magazines are only good for those.
        let from_magazine = with_object == self.head.keeps;
        let mut patience = self.patience();
        loop {
            self.may_take()?;
            if from_magazine {
                if let Some(slot) = self.section(Magazine::allocate).flatten() {
                    return Ok((slot, with_object));
                }
            }
            if let Some(taken) = self.take_from_depot(from_magazine, with_object)? {
                self.allocated(1, with_object && taken.1);
                return Ok(taken);
            }
            self.make_room(1, &mut patience)?;
        }
    }

    /// Sees to it that there are vacant slots in the depot, if they are not taken by others at once.
    fn make_room(&self, needed: usize, patience: &mut Patience<'_>) -> Result<()> {
        if !self.steal(needed, patience) {
            return self.grow(needed);
        }
        // Who takes slots without a lock counts them later, and may have been stopped in between.
        if patience.try_again() { Ok(()) } else { Err(self.exhausted()) }
    }

    fn patience(&self) -> Patience<'_> {
        Patience::new((!D::WAITS).then_some(&self.head.exchange.vain))
    }

    /// Adds slots to the depot, so that so many are vacant there.
    fn grow(&self, needed: usize) -> Result<()> {
        let (step, before) = (self.depot.step(), self.capacity());
        // In a transfer, because who orphans the core counts the slots.
        let transfer = self.transfer_out()?;
        self.depot.grow(needed, step)?;
        drop(transfer);
        self.new_slots(before);
        Ok(())
    }

    /// Makes objects in new slots, if the pool is configured so, and says that there are more than before.
    pub(crate) fn new_slots(&self, before: usize) {
        self.fill_if_eager();
        if self.capacity() > before {
            events::grown::<T>(self.name(), self.capacity());
        }
    }

    /// Counts slots that the caller gets, besides those from its magazine; one perhaps with an object.
    fn allocated(&self, slots: usize, recycled: bool) {
        self.head.counters.allocated(slots, recycled);
        self.note_peak();
    }

    /// To be called before slots leave a magazine for the depot, and after they have left the depot: notes how many
    /// may have been occupied at once since the last time.
    fn note_peak(&self) {
        #[cfg(feature = "stats")]
        {
            // What other threads keep now says nothing about how much it was when a thread kept least.
            let is_alone = self.head.magazines.count() == 1;
            let kept: usize = self.head.magazines.iter().take(usize::from(is_alone)).map(Magazine::low).sum();
            self.head.counters.note_peak(self.capacity().saturating_sub(self.outside_magazines() + kept));
        }
    }

    /// To be called before slots leave the depot past the thread's magazine.
    fn note_peak_so_far(&self) {
        #[cfg(feature = "stats")]
        {
            self.note_peak();
            let transfer = self.head.transfer();
            let rejected = self.section(Magazine::cool).unwrap_or_default();
            let wakers = self.give_to_depot(rejected.slots(), self.head.keeps);
            drop(transfer);
            wake(&mut wakers.into_iter());
        }
    }

    /// What has happened since the pool was made, besides what the head counts.
    #[cfg(feature = "stats")]
    fn totals(&self) -> PoolStatistics {
        // What was taken before what is in use: else what is taken in between would pass for given back.
        let counted = self.head.counters.counted();
        let allocations: u64 = self.head.magazines.iter().map(|magazine| magazine.allocations.load(Relaxed)).sum();
        PoolStatistics {
            capacity: self.capacity(),
            bytes_reserved: self.depot.bytes(),
            current_usage: self.capacity().saturating_sub(self.available()),
            total_allocations: counted.total_allocations + allocations,
            // Magazines of pools that keep objects have no slots without one.
            recycled: counted.recycled + if self.head.keeps { allocations } else { 0 },
            growth_events: self.depot.growths(),
            ..counted
        }
    }

    #[cfg(feature = "stats")]
    pub(crate) fn statistics(&self) -> PoolStatistics {
        self.note_peak();
        self.head.counters.statistics(self.totals())
    }

    #[cfg(feature = "stats")]
    pub(crate) fn reset_statistics(&self) {
        self.note_peak_so_far();
        self.head.magazines.iter().for_each(Magazine::reset_low);
        self.head.counters.reset(self.totals());
    }

    /// Calls user code: what records metrics.
    #[cfg(feature = "metrics")]
    pub(crate) fn publish_metrics(&self) {
        let (before, now) = self.published.with(|published| {
            let (now, total) = (self.statistics(), self.totals());
            let now = PoolStatistics {
                peak_usage: now.peak_usage,
                average_usage: now.average_usage,
                // Somewhat old if other threads use the pool.
                total_deallocations: total
                    .total_allocations
                    .saturating_sub(total.current_usage as u64)
                    .max(published.total_deallocations),
                ..total
            };
            (mem::replace(published, now), now)
        });
        publish(self.name().unwrap_or(type_name::<T>()), &before, &now);
    }

    /// Counts a call that waited, if it got no slot in time.
    pub(crate) fn in_time<R>(&self, result: Result<R>) -> Result<R> {
        match result {
            Err(Error::Timeout) => self.wanted(result),
            _ => result,
        }
    }

    fn may_take(&self) -> Result<()> {
        if self.is_closed() || self.head.is_orphaned() {
            return Err(Error::Closed);
        }
        if self.head.line.waiting() > 0 {
            // Those who wait come first.
            return Err(self.exhausted());
        }
        Ok(())
    }

    fn exhausted(&self) -> Error {
        let capacity = self.capacity();
        Error::PoolExhausted { capacity, allocated: capacity.saturating_sub(self.available()) }
    }

    fn take_from_depot(&self, refill: bool, with_object: bool) -> Result<Option<Taken>> {
        if self.outside_magazines() == 0 {
            return Ok(None);
        }
        if refill {
            if let Some(slot) = self.refill()? {
                return Ok(Some((slot, with_object)));
            }
            if self.head.keeps && self.is_theft_due() && self.steal(1, &mut self.patience()) {
                if let Some(slot) = self.refill()? {
                    return Ok(Some((slot, with_object)));
                }
            }
        }
        if !self.head.keeps {
            return Ok(None);
        }
        self.note_peak_so_far();
        let _transfer = self.transfer_out()?;
        Ok(self.depot.take_one(with_object))
    }

    /// Whether to take the objects that other threads keep, rather than to make a new one: if there are more
    /// than this was done before, up to a thread's share. So where threads need each other's objects often,
    /// there will be as many objects as make it rare.
    fn is_theft_due(&self) -> bool {
        let idle: usize = self.head.magazines.iter().map(Magazine::len).sum();
        let is_due = idle > self.head.exchange.thefts.load(Relaxed).min(self.share());
        if is_due {
            self.head.exchange.thefts.fetch_add(1, Relaxed);
        }
        is_due
    }

    /// A transfer that takes slots out of the depot, which is possible until the core is orphaned: a handle may
    /// have outlived the pool, and its value be cloned.
    fn transfer_out(&self) -> Result<Defer<impl FnMut()>> {
        let transfer = self.head.transfer();
        // After the transfer was announced, because who orphans the core waits for it.
        if self.head.is_orphaned() { Err(Error::Closed) } else { Ok(transfer) }
    }

    /// Takes slots out of the depot: the first is returned, the others go to the thread's magazine.
    fn refill(&self) -> Result<Option<NonNull<u8>>> {
        let mut batch = Batch::default();
        let share = self.share();
        let transfer = self.transfer_out()?;
        if share == 0 || !self.head.exchange.take(&mut batch) {
            self.depot.take(&mut batch, share.max(1));
        }
        let rest = batch.slots().get(1..).unwrap_or_default();
        let stored = self.section_if_shared(share, |magazine| magazine.refill(rest, 2 * share));
        let rejected = stored.unwrap_or(rest);
        let wakers = self.give_to_depot(rejected, self.head.keeps);
        drop(transfer);
        wake(&mut wakers.into_iter());
        Ok(batch.slots().first().copied())
    }

    /// Slots that a thread may take out of the depot at once: few if there are few for many.
    fn share(&self) -> usize {
        let threads = self.head.magazines.count().max(1);
        let share = self.outside_magazines() / (4 * threads);
        if self.head.direct.load(Relaxed) > 0 { 0 } else { share.min(self.head.share_max) }
    }

    /// Vacant slots that no magazine has; somewhat old if other threads use the pool.
    fn outside_magazines(&self) -> usize {
        self.depot.vacant() + self.head.exchange.len()
    }

    /// Calls `f` with the thread's magazine, if it has one.
    fn section<R>(&self, f: impl FnOnce(&Magazine) -> R) -> Option<R> {
        // SAFETY: the core lives as long as the reference.
        unsafe { section(NonNull::from(&self.head), thread::registered()?, f) }
    }

    /// Calls `f` with the thread's magazine, made if need be; unless there is nothing to be kept there.
    fn section_if_shared<R>(&self, share: usize, f: impl FnOnce(&Magazine) -> R) -> Option<R> {
        if share > 0 {
            self.head.magazines.get_or_make(thread::registered()?)?;
        }
        self.section(f)
    }

    /// Makes a slot vacant that no handle owns, with an object that the pool keeps, or without.
    ///
    /// # Safety
    ///
    /// The slot is an occupied one of the core, which may be gone when this returns.
    #[cold]
    #[inline(never)]
    unsafe fn give(core: NonNull<Self>, slot: NonNull<u8>, has_object: bool) {
        // SAFETY: the core lives as long as the slot is occupied, and as the transfer goes on.
        let this = unsafe { core.as_ref() };
        if let Some(tracker) = &this.tracker {
            // SAFETY: the slot is still occupied.
            tracker.untrack(unsafe { index(slot.cast::<MaybeUninit<T>>()) });
        }
        if has_object == this.head.keeps {
            let push = |magazine: &Magazine| magazine.is_open() && magazine.push(slot);
            // SAFETY: the core lives as long as the slot is occupied, which it is until it is pushed.
            let pushed = thread::registered().and_then(|thread| unsafe { section(core.cast(), thread, push) });
            if pushed == Some(true) {
                return;
            }
        }
        let transfer = this.head.transfer();
        if this.head.is_orphaned() {
            drop(transfer);
            // SAFETY: the slot is the last use of the core.
            let _let_go = Defer(move || unsafe { change_remaining(core.cast(), -1) });
            let _renew = Defer(move || {
                if PASSTHROUGH {
                    this.depot.renew(slot);
                }
            });
            if has_object {
                let (scrub, slot) = (this.head.scrub, slot.cast::<T>());
                // SAFETY: when this runs, also if the destructor unwinds, the object is gone.
                let _wipe = Defer(move || unsafe { scrub.wipe(slot) });
                // SAFETY: the slot holds an object that nobody uses any more.
                unsafe { slot.drop_in_place() };
            }
            return;
        }
        let wakers = this.give_in_transfer(slot, has_object);
        drop(transfer);
        wake(&mut wakers.into_iter());
    }

    fn give_in_transfer(&self, slot: NonNull<u8>, has_object: bool) -> Vec<Waker> {
        self.note_peak();
        if has_object != self.head.keeps {
            return self.give_to_depot(&[slot], has_object);
        }
        let share = self.share();
        let mut spilled = Batch::default();
        match self.section_if_shared(share, |magazine| magazine.push_or_spill(slot, 2 * share, &mut spilled)) {
            // Few are not worth a batch.
            Some(()) if 2 * spilled.slots().len() >= BATCH && self.head.exchange.put(spilled.slots()) => self.serve(),
            Some(()) => self.give_to_depot(spilled.slots(), has_object),
            None => self.give_to_depot(&[slot], has_object),
        }
    }

    /// Gives slots to the depot, or those who wait. Returns who is to be woken.
    fn give_to_depot(&self, slots: &[NonNull<u8>], with_objects: bool) -> Vec<Waker> {
        if slots.is_empty() {
            return Vec::new();
        }
        self.depot.give(slots, with_objects);
        self.serve()
    }

    fn serve(&self) -> Vec<Waker> {
        self.head.line.serve(|with_object| {
            self.flush_exchange();
            self.depot.take_one(with_object)
        })
    }

    /// Brings the slots that threads have left for each other to the depot.
    fn flush_exchange(&self) {
        while self.head.exchange.len() > 0 {
            let _transfer = self.head.transfer();
            let mut batch = Batch::default();
            if self.head.exchange.take(&mut batch) {
                self.depot.give(batch.slots(), self.head.keeps);
            }
        }
    }

    /// Looks for vacant slots everywhere, and brings them to the depot until there are as many as are needed. `false`
    /// if at some moment there were fewer.
    fn steal(&self, needed: usize, patience: &mut Patience<'_>) -> bool {
        let found = loop {
            let (mut quiet, mut all_flushed) = (self.head.exchange.quiet(), true);
            interleave();
            // A closed magazine is filled in transfers only, an open one unseen.
            let is_used = |magazine: &Magazine| magazine.is_open() || magazine.len() > 0;
            let _out_of_use = self.head.magazines.iter().any(is_used).then(|| {
                let out_of_use = self.head.out_of_use();
                all_flushed = self.flush_all(patience);
                quiet = self.head.exchange.quiet();
                out_of_use
            });
            self.flush_exchange();
            if self.depot.vacant() >= needed {
                break true;
            }
            if !all_flushed {
                break false;
            }
            if quiet.is_some() && self.head.exchange.quiet() == quiet {
                patience.was_rewarded();
                break false;
            }
            if !patience.wait() {
                break false;
            }
        };
        // Those who have joined the line meanwhile may have found less.
        wake(&mut self.serve().into_iter());
        found
    }

    /// Brings the slots in all magazines, which are out of use, to the depot, and sees to it that none is filled
    /// again until they are back in use. Without `WAITS`, leaves those out whose threads are stopped while they use
    /// them, and returns `false`: such a thread finishes what it was doing, if ever.
    fn flush_all(&self, patience: &mut Patience<'_>) -> bool {
        self.note_peak();
        self.flush_exchange();
        self.head.magazines.iter().for_each(|magazine| magazine.owner.forget(self.head.key()));
        // Also if none remembered it any more: who made it forget may not have come to his fence yet.
        if self.head.magazines.iter().next().is_some() {
            thread::heavy_fence();
        }
        // From now on no owner begins to use a magazine, but some may not have ended yet.
        let is_in_use =
            |magazine: &Magazine| magazine.owner.is_busy() || magazine.claimed.load(Acquire) || magazine.len() > 0;
        self.head.magazines.iter().filter(|magazine| is_in_use(magazine) && !self.flush(magazine, patience)).count()
            == 0
    }

    fn flush(&self, magazine: &Magazine, patience: &mut Patience<'_>) -> bool {
        // Pairs with the end of another thread's claim.
        let claim = || magazine.claimed.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        if !patience.wait_until(claim) {
            return false;
        }
        let is_idle = patience.wait_until(|| !magazine.owner.is_busy());
        if is_idle {
            // Until now it could be used unseen.
            self.note_peak();
            let _transfer = self.head.transfer();
            loop {
                let mut batch = Batch::default();
                magazine.drain(&mut batch);
                if batch.slots().is_empty() {
                    break;
                }
                self.depot.give(batch.slots(), self.head.keeps);
            }
        }
        magazine.claimed.store(false, Release);
        is_idle
    }

    /// Brings the slots in the current thread's magazine to the depot.
    pub(crate) fn flush_thread(&self) {
        self.note_peak();
        let wakers = {
            let _transfer = self.head.transfer();
            loop {
                let mut batch = Batch::default();
                self.section(|magazine| magazine.drain(&mut batch));
                if batch.slots().is_empty() {
                    break;
                }
                self.depot.give(batch.slots(), self.head.keeps);
            }
            self.serve()
        };
        wake(&mut wakers.into_iter());
    }

    /// Hands out slots to those who wait, after the pool may have become able to grow. Calls the growth function.
    pub(crate) fn attend(&self) {
        loop {
            wake(&mut self.serve().into_iter());
            if self.head.line.waiting() == 0 || self.depot.vacant() > 0 || self.grow(1).is_err() {
                break;
            }
        }
    }

    /// Brings the slots in all magazines to the depot.
    pub(crate) fn flush_threads(&self) {
        let wakers = {
            let _out_of_use = self.head.out_of_use();
            self.flush_all(&mut self.patience());
            self.serve()
        };
        wake(&mut wakers.into_iter());
    }

    /// Takes vacant slots: all or none. They may hold objects that were kept.
    pub(crate) fn vacancies(&self, wanted: usize, place: Place) -> Result<Vec<SharedVacancy<'_, T, D>>> {
        let (mut slots, mut vacancies) = (Vec::new(), Vec::new());
        let out_of_memory = |_| Error::OutOfMemory { bytes: wanted.saturating_mul(size_of::<Taken>()) };
        vacancies.try_reserve_exact(wanted).map_err(out_of_memory)?;
        slots.try_reserve_exact(wanted).map_err(out_of_memory)?;
        let mut patience = self.patience();
        loop {
            self.wanted(self.may_take())?;
            self.note_peak_so_far();
            let transfer = self.transfer_out()?;
            if self.depot.take_all(wanted, &mut slots) {
                vacancies.extend(slots.iter().map(|&taken| self.vacancy_of(taken)));
                self.allocated(wanted, false);
                break;
            }
            drop(transfer);
            self.wanted(self.make_room(wanted, &mut patience))?;
        }
        if let Some(tracker) = &self.tracker {
            for vacancy in &vacancies {
                // SAFETY: the slot is occupied.
                let index = unsafe { index(vacancy.slot.cast::<MaybeUninit<T>>()) };
                self.wanted(tracker.track(index, self.capacity(), place))?;
            }
        }
        Ok(vacancies)
    }

    /// Makes objects in all vacant slots without one, if the configuration asks for that when slots are new.
    fn fill_if_eager(&self) {
        if self.depot.maker().is_some_and(|maker| maker.eager) {
            self.fill();
        }
    }

    /// Makes objects in all vacant slots without one. While one is made, its slot counts as occupied.
    fn fill(&self) {
        let Some(maker) = self.depot.maker() else { return };
        loop {
            let Ok(transfer) = self.transfer_out() else { break };
            let Some(slot) = self.depot.take_empty() else { break };
            drop(transfer);
            let mut vacancy = self.vacancy_of((slot, false));
            vacancy.slot().write((maker.initializer)());
            vacancy.has_object = true;
            // To the depot, not to the thread's magazine: nobody has used it.
            let Ok(transfer) = self.transfer_out() else { break };
            mem::forget(vacancy);
            let wakers = self.give_to_depot(&[slot], true);
            drop(transfer);
            wake(&mut wakers.into_iter());
        }
    }

    /// Hands out nothing any more. All who wait are told.
    pub(crate) fn close(&self) {
        if !self.head.closed.swap(true, SeqCst) {
            mem::forget(self.head.out_of_use());
            self.flush_all(&mut self.patience());
        }
        wake(&mut self.head.line.dismiss().into_iter());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.closed.load(SeqCst)
    }

    /// Puts the magazines out of use for ever, and waits until no thread uses one. Returns how many slots
    /// are occupied.
    fn orphan(&self) -> usize {
        mem::forget(self.head.out_of_use());
        let mut patience = Patience::new(None);
        self.flush_all(&mut patience);
        loop {
            self.flush_exchange();
            let quiet = self.head.exchange.quiet();
            let occupied = self.depot.capacity() - self.depot.vacant().min(self.depot.capacity());
            if quiet.is_some() && self.head.exchange.len() == 0 && self.head.exchange.quiet() == quiet {
                return occupied;
            }
            patience.wait();
        }
    }
}

/// Wakes all, also if one of the wakers, which are user code, unwinds. With no lock held and no transfer going
/// on, because wakers may use the pool.
fn wake(wakers: &mut impl Iterator<Item = Waker>) {
    while let Some(waker) = wakers.next() {
        let rest = Defer(|| wake(&mut *wakers));
        waker.wake();
        mem::forget(rest);
    }
}

/// The typed core of a head.
///
/// # Safety
///
/// The head is that of a `Shared<T, D>`, which lives for `'a`; the first holds for all operations.
unsafe fn typed<'a, T, D>(head: NonNull<Head>) -> &'a Shared<T, D> {
    // SAFETY: the caller says so; a core is changed through atomics and locks only.
    unsafe { head.cast().as_ref() }
}

/// [`Operations::release`].
unsafe fn release_slot<T: Poolable, D: Depot<T>>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so.
    let core = unsafe { typed::<T, D>(head) };
    let mut value = slot.cast::<T>();
    // SAFETY: the slot is occupied.
    let was_pinned = unsafe { Location::of(value) }.counts().is_some_and(Counts::unpin);
    // What follows happens even if the hook or the reset unwinds.
    // SAFETY: the slot is occupied, and when this runs, its object is gone.
    let vacate = Defer(|| unsafe { vacate(head, slot) });
    // SAFETY: the slot holds an object, which is not used afterwards.
    let destroy = Defer(move || unsafe { value.drop_in_place() });
    if was_pinned {
        return;
    }
    // SAFETY: the slot holds an object that nobody else uses.
    let object = unsafe { value.as_mut() };
    object.on_release();
    let Some(maker) = core.depot.maker() else { return };
    if maker.reset.as_ref().is_none_or(|reset| reset(object)) {
        mem::forget(destroy);
        mem::forget(vacate);
        // SAFETY: the slot is occupied, and no handle owns it any more.
        if !unsafe { push(key(head, true), slot) } {
            // SAFETY: the same, because it was not pushed.
            unsafe { Shared::<T, D>::give(head.cast(), slot, true) };
        }
    }
}

/// [`Operations::vacate`].
unsafe fn vacate_slot<T: Poolable, D: Depot<T>>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the core lives as long as the slot is occupied.
    let scrub = unsafe { head.as_ref() }.scrub;
    // SAFETY: the caller says that the object is gone, and that no handle owns the slot.
    unsafe { scrub.wipe(slot.cast::<T>()) };
    // SAFETY: the caller says so.
    unsafe { Shared::<T, D>::give(head.cast(), slot, false) };
}

/// [`Operations::take`].
unsafe fn take_slot<T: Poolable, D: Depot<T>>(head: NonNull<Head>, place: Place) -> Result<NonNull<u8>> {
    // SAFETY: the caller says so.
    let vacancy = unsafe { typed::<T, D>(head) }.vacancy(place)?;
    Ok(mem::ManuallyDrop::new(vacancy).slot.cast())
}

/// [`Operations::make_counts`].
unsafe fn make_counts<T: Poolable, D: Depot<T>>(head: NonNull<Head>, header: &Header) -> Result<()> {
    // SAFETY: the caller says so.
    unsafe { typed::<T, D>(head) }.depot.make_counts(header)
}

/// [`Operations::orphan`].
unsafe fn orphan<T: Poolable, D: Depot<T>>(head: NonNull<Head>) -> usize {
    // SAFETY: the caller says so.
    unsafe { typed::<T, D>(head) }.orphan()
}

/// [`Operations::tell`].
unsafe fn tell<T: Poolable, D: Depot<T>>(head: NonNull<Head>) {
    // SAFETY: the caller says so.
    let core = unsafe { typed::<T, D>(head) };
    if let Some(tracker) = &core.tracker {
        tracker.end(core.name.as_ref());
    }
}

/// [`Operations::free`].
unsafe fn free_core<T: Poolable, D: Depot<T>>(head: NonNull<Head>) {
    let core = head.cast::<Shared<T, D>>();
    // SAFETY: `SharedOwner::create` allocated the core with this layout.
    let _free = Defer(move || unsafe { dealloc(core.as_ptr().cast(), Layout::new::<Shared<T, D>>()) });
    // SAFETY: nobody uses the core any more.
    unsafe { core.drop_in_place() };
}

/// A pool's use of a core.
pub(crate) struct SharedOwner<T: Poolable, D: Depot<T>>(NonNull<Shared<T, D>>);

// SAFETY: heads are made to be shared, and depots can be.
unsafe impl<T: Poolable + Send, D: Depot<T>> Sync for Shared<T, D> {}
// SAFETY: this is a counted reference to the core, of which the last one to go may free it.
unsafe impl<T: Poolable + Send, D: Depot<T>> Send for SharedOwner<T, D> {}
// SAFETY: as above.
unsafe impl<T: Poolable + Send, D: Depot<T>> Sync for SharedOwner<T, D> {}

impl<T: Poolable, D: Depot<T>> SharedOwner<T, D> {
    pub(crate) fn create(mut config: PoolConfig<T>) -> Result<Self> {
        let layout = Layout::new::<Shared<T, D>>();
        // SAFETY: a core is not zero-sized.
        let memory = unsafe { alloc(layout) };
        let Some(core) = NonNull::new(memory.cast::<Shared<T, D>>()) else {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        };
        // SAFETY: the memory was allocated with this layout, and is not used if this runs.
        let free = Defer(move || unsafe { dealloc(memory, layout) });
        let (alignment, pre_initialize, scrub) = (config.alignment, config.pre_initialize, config.scrub);
        let share_max = config.thread_cache.map_or(BATCH, |slots| (slots.saturating_sub(1) / 2).min(BATCH));
        let (name, tracker) = (config.name.take(), config.leak_policy.take().map(Tracker::new::<T>));
        let depot = D::create(config, core.cast())?;
        let keeps = depot.maker().is_some();
        let head = Head {
            plain: AtomicBool::new(!keeps && !scrub.is_on() && tracker.is_none()),
            keeps,
            scrub,
            // Every slot passes through `take` and `give` if it is to be noted who has it, and through the depot if it is
            // to get other memory there.
            direct: AtomicUsize::new(usize::from(PASSTHROUGH || tracker.is_some())),
            magazines: Magazines::default(),
            share_max,
            operations: const { &Shared::<T, D>::OPERATIONS },
            geometry: Geometry::new::<T>(alignment)?,
            pools: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            remaining: AtomicI64::new(UNKNOWN),
            line: Line::default(),
            counters: SharedCounters::default(),
            exchange: Exchange::default(),
        };
        mem::forget(free);
        // SAFETY: the memory is new and fits a core.
        unsafe {
            core.write(Shared {
                head,
                depot,
                name,
                tracker,
                #[cfg(feature = "metrics")]
                published: Mutex::default(),
                marker: core::marker::PhantomData,
            })
        };
        let owner = Self(core);
        if pre_initialize || owner.depot.maker().is_some_and(|maker| maker.eager) {
            owner.fill();
        }
        Ok(owner)
    }

    /// The head, as weak handles need it.
    pub(crate) fn head(&self) -> NonNull<Head> {
        self.0.cast()
    }
}

impl<T: Poolable, D: Depot<T>> Deref for SharedOwner<T, D> {
    type Target = Shared<T, D>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the core lives as long as its owners, and is changed through atomics and locks only.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Poolable, D: Depot<T>> Clone for SharedOwner<T, D> {
    fn clone(&self) -> Self {
        self.head.retain();
        Self(self.0)
    }
}

impl<T: Poolable, D: Depot<T>> Drop for SharedOwner<T, D> {
    fn drop(&mut self) {
        // SAFETY: the owner was counted.
        unsafe { let_go(self.head()) };
    }
}

#[cfg(all(test, not(fastalloc_loom)))]
mod tests {
    use super::*;

    /// How many vacant slots a thread keeps at most, and at the end.
    fn kept<D: Depot<u64>>(thread_cache: Option<usize>) -> [usize; 2] {
        let mut config = PoolConfig::builder().capacity(10_000).build().unwrap();
        config.thread_cache = thread_cache;
        let core = SharedOwner::<u64, D>::create(config).unwrap();
        let kept = || core.head.magazines.iter().map(Magazine::len).sum::<usize>();
        let mut most = 0;
        for _ in 0..3 {
            let place = core::panic::Location::caller();
            let vacancies = Vec::from_iter((0..1_000).map(|_| core.vacancy(place).unwrap()));
            for vacancy in vacancies {
                most = most.max(kept());
                drop(vacancy);
            }
        }
        [most.max(kept()), kept()]
    }

    /// What README says of costs.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn memory_is_as_documented() {
        assert_eq!((size_of::<Magazine>(), size_of::<Counts>()), (1_152, 24));
        assert!((2_500..3_500).contains(&size_of::<Shared<u64, Locked<u64>>>()));
    }

    #[test]
    #[cfg_attr(fastalloc_passthrough, ignore = "threads keep nothing")]
    fn thread_keeps_no_more_than_its_cache() {
        let caches = [(None, 129), (Some(0), 0), (Some(2), 0), (Some(3), 3), (Some(40), 39), (Some(usize::MAX), 129)];
        for (cache, limit) in caches {
            assert_eq!(kept::<Locked<u64>>(cache)[0], limit, "{cache:?}");
            #[cfg(feature = "lock-free")]
            assert_eq!(kept::<LockFree<u64>>(cache)[0], limit, "{cache:?}");
        }
        assert!(kept::<Locked<u64>>(Some(40))[1] >= 19, "a full magazine is half emptied only");
    }
}
