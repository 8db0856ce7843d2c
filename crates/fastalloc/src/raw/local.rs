//! The core for one thread at a time: no locks, no atomics.

use alloc::alloc::{alloc, dealloc};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::any::TypeId;
#[cfg(feature = "metrics")]
use core::any::type_name;
use core::cell::{Cell, UnsafeCell};
use core::mem::{self, MaybeUninit, needs_drop};
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::{Counters, Defer, Front, Head, NOT_PLAIN, Operations, Place, Scrub};
use crate::allocator::{Allocator, StackAllocator};
use crate::bits::Bits;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
use crate::chunk::Header;
use crate::chunk::{CAPACITY_MAX, Chunks, Geometry, PASSTHROUGH, Region, Share};
use crate::config::{GrowthStrategy, InitializationStrategy, Initializer, PoolConfig, Reset};
use crate::error::{Error, Result};
use crate::events;
#[cfg(feature = "std")]
use crate::leaks::{Outstanding, Tracker};
use crate::poolable::Poolable;
#[cfg(feature = "stats")]
use crate::stats::PoolStatistics;
#[cfg(feature = "metrics")]
use crate::stats::publish;

/// A pool without its shell. It stays at one place, because chunks point to it.
///
/// References to what is in the cells end before user code runs: hooks, initializers, resets,
/// destructors and growth functions may call the pool.
#[repr(C)]
pub(crate) struct Local<T, A> {
    /// First, so that a pointer to the core is one to its head.
    front: Front<A>,
    /// Slots in use, vacant or occupied.
    capacity: Cell<usize>,
    limits: Limits,
    /// The slots are another core's, which ends when no handle is left: an occupied slot holds no object then.
    is_depot: bool,
    scrub: Scrub,
    name: Option<Cow<'static, str>>,
    #[cfg(feature = "std")]
    tracker: Option<Tracker>,
    /// The statistics that were published last, with all counts since the pool was made.
    #[cfg(feature = "metrics")]
    published: Cell<PoolStatistics>,
    /// Occupied slots whose object was pinned: it must neither be moved nor handed out again.
    pinned: UnsafeCell<Bits>,
    /// For pools that keep objects.
    recycler: Option<Recycler<T>>,
}

/// How far a pool grows, and how far it shrinks.
#[derive(Debug)]
pub(crate) struct Limits {
    /// `None` if the pool never grows.
    pub(crate) growth: Option<GrowthStrategy>,
    pub(crate) max_capacity: Option<usize>,
    /// What `trim` leaves.
    pub(crate) floor: usize,
}

impl Limits {
    /// Slots to add to a pool, as its growth strategy says.
    pub(crate) fn step(&self, capacity: usize) -> usize {
        self.growth.as_ref().map_or(0, |growth| growth.compute_growth(capacity))
    }
}

/// How a pool makes and resets the objects that it keeps.
pub(crate) struct Maker<T> {
    pub(crate) initializer: Initializer<T>,
    pub(crate) reset: Option<Reset<T>>,
    /// New slots get objects at once.
    pub(crate) eager: bool,
}

impl<T> Maker<T> {
    /// `None` if the pool keeps no objects.
    pub(crate) fn new(strategy: InitializationStrategy<T>) -> Option<Self> {
        match strategy {
            InitializationStrategy::Lazy => None,
            InitializationStrategy::Eager { initializer } => Some(Self { initializer, reset: None, eager: true }),
            InitializationStrategy::Custom { initializer, reset } => Some(Self { initializer, reset, eager: false }),
        }
    }
}

struct Recycler<T> {
    maker: Maker<T>,
    /// The pool may have a warm slot: its allocator lets it, and no leaks are tracked.
    has_warm: bool,
    /// The vacant slot whose object was released last, the next to be handed out. The allocator takes it for occupied,
    /// and it is not among `kept`.
    warm: Cell<Option<NonNull<T>>>,
    /// The other vacant slots that hold an object.
    kept: UnsafeCell<Bits>,
    /// Vacant slots that were used and hold none; has room for all slots. The allocator takes them for
    /// occupied, so that it offers slots with objects first.
    emptied: UnsafeCell<Vec<u32>>,
}

impl<T: Poolable, A: Allocator> Local<T, A> {
    /// Makes a core for a configuration, growing `allocator` to its capacity.
    pub(crate) fn create(config: PoolConfig<T>, allocator: A, limits: Limits) -> Result<Owner<T, A>> {
        let (capacity, pre_initialize) = (config.capacity, config.pre_initialize);
        let core = Self::create_unfilled(config, allocator, limits, None)?;
        match &core.recycler {
            Some(recycler) if pre_initialize || recycler.maker.eager => {
                core.fill(recycler, core.room_to_fill(capacity)?);
            }
            _ => {}
        }
        Ok(core)
    }

    /// Makes a core without objects. Its chunks belong to another core, with other counts, if
    /// `owner` says so.
    pub(crate) fn create_unfilled(
        config: PoolConfig<T>,
        allocator: A,
        limits: Limits,
        owner: Option<(NonNull<Head>, Layout)>,
    ) -> Result<Owner<T, A>> {
        #[cfg(feature = "std")]
        let tracker = config.leak_policy.map(Tracker::new::<T>);
        #[cfg(not(feature = "std"))]
        let tracker = None::<()>;
        let recycler = Maker::new(config.initialization_strategy).map(|maker| Recycler {
            maker,
            has_warm: A::HOT_SLOT && tracker.is_none(),
            warm: Cell::new(None),
            kept: UnsafeCell::default(),
            emptied: UnsafeCell::default(),
        });
        let geometry = Geometry::new::<T>(config.alignment)?;
        let plain = recycler.is_none() && A::HOT_SLOT && !config.scrub.is_on() && tracker.is_none();
        let own_head = Head {
            hot: Cell::new(if plain { ptr::null_mut() } else { NOT_PLAIN }),
            usual: Cell::new(plain && geometry.natural && TypeId::of::<A>() == TypeId::of::<StackAllocator>()),
            operations: const { &Self::OPERATIONS },
            chunks: UnsafeCell::new(Chunks::new(geometry)),
            rc_handles: Cell::new(0),
            keeper: Cell::new(None),
            counters: Counters::default(),
            #[cfg(debug_assertions)]
            occupied: UnsafeCell::default(),
        };
        let front = Front { head: own_head, allocator: UnsafeCell::new(allocator) };
        let core = Owner::new(Self {
            front,
            capacity: Cell::new(0),
            limits,
            is_depot: owner.is_some(),
            scrub: config.scrub,
            name: config.name,
            #[cfg(feature = "std")]
            tracker,
            #[cfg(feature = "metrics")]
            published: Cell::default(),
            pinned: UnsafeCell::default(),
            recycler,
        })?;
        let (head, counts) = owner.unwrap_or((core.0.cast(), Layout::new::<Share>()));
        // SAFETY: no other reference to the chunks is alive.
        unsafe { &mut *core.front.head.chunks.get() }.set_head(head, counts);
        core.extend(config.capacity)?;
        Ok(core)
    }

    const OPERATIONS: Operations = Operations {
        take: take::<T, A>,
        release: release::<T, A>,
        vacate: vacate::<T, A>,
        free: free::<T, A>,
        pin: pin::<T, A>,
    };

    /// Slots, vacant or occupied.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.get()
    }

    /// Vacant slots.
    pub(crate) fn available(&self) -> usize {
        // SAFETY: no mutable reference to the allocator is alive.
        let vacant = unsafe { &*self.front.allocator.get() }.available();
        let apart = self.recycler.as_ref().map_or(0, |recycler| {
            // SAFETY: no mutable reference to the list is alive.
            let emptied = unsafe { &*recycler.emptied.get() }.len();
            emptied + usize::from(recycler.warm.get().is_some())
        });
        vacant + usize::from(self.front.head.hot.get() > NOT_PLAIN) + apart
    }

    #[cfg(feature = "stats")]
    pub(crate) fn statistics(&self) -> PoolStatistics {
        self.counters().statistics(self.capacity(), self.bytes())
    }

    /// Calls user code: what records metrics.
    #[cfg(feature = "metrics")]
    pub(crate) fn publish_metrics(&self) {
        let now = self.counters().since_creation(self.statistics());
        publish(self.name().unwrap_or(type_name::<T>()), &self.published.replace(now), &now);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.front.head.counters
    }

    /// What the pool is called.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Notes where in the program a slot was taken, if the pool tracks leaks.
    fn track(&self, slot: NonNull<T>, place: Place) -> Result<()> {
        #[cfg(feature = "std")]
        if let Some(tracker) = &self.tracker {
            return self.wanted(tracker.track(self.index(slot), self.capacity(), place));
        }
        let _ = (slot, place);
        Ok(())
    }

    /// Notes that nobody has a slot any more.
    fn untrack(&self, slot: NonNull<T>) {
        #[cfg(feature = "std")]
        if let Some(tracker) = &self.tracker {
            tracker.untrack(self.index(slot));
        }
        let _ = slot;
    }

    /// What is out of the pool, if it tracks leaks.
    #[cfg(feature = "std")]
    pub(crate) fn outstanding(&self) -> Option<Outstanding> {
        self.tracker.as_ref().map(|tracker| tracker.outstanding(self.name.as_ref()))
    }

    /// Counts and tells if somebody wanted slots that were not there.
    fn wanted<R>(&self, result: Result<R>) -> Result<R> {
        result.inspect_err(|error| {
            self.counters().failed();
            events::refused::<T>(self.name(), error);
        })
    }

    /// Memory held for slots, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        // SAFETY: no mutable reference to the chunks is alive.
        unsafe { &*self.front.head.chunks.get() }.bytes()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a vacant slot that holds no object; grows if there is none.
    #[inline]
    pub(crate) fn vacancy(&self, place: Place) -> Result<Vacancy<'_, T, A>> {
        match self.plain_vacancy() {
            Some(vacancy) => Ok(vacancy),
            None => self.vacancy_slowly(place),
        }
    }

    /// Takes a vacant slot, if there is one and nothing has to be done but that.
    #[inline]
    pub(crate) fn plain_vacancy(&self) -> Option<Vacancy<'_, T, A>> {
        let slot = match self.take_hot() {
            Some(slot) => slot,
            None => self.slot(self.next_if_plain()?),
        };
        self.front.head.occupy(slot.cast(), Layout::new::<T>());
        Some(Vacancy { core: self, slot })
    }

    #[inline]
    fn take_hot(&self) -> Option<NonNull<T>> {
        let hot = self.front.head.hot.get();
        if hot <= NOT_PLAIN {
            return None;
        }
        self.front.head.hot.set(ptr::null_mut());
        NonNull::new(hot.cast())
    }

    #[inline]
    fn next_if_plain(&self) -> Option<usize> {
        if self.front.head.is_plain() { self.next_index() } else { None }
    }

    /// The path for pools that are full, keep objects, or have no hot slot.
    #[cold]
    #[inline(never)]
    fn vacancy_slowly(&self, place: Place) -> Result<Vacancy<'_, T, A>> {
        let mut vacancy = self.any_slot(place)?;
        vacancy.clear();
        Ok(vacancy)
    }

    /// Takes a vacant slot, which may hold an object that was kept; grows if there is none.
    pub(crate) fn any_slot(&self, place: Place) -> Result<Vacancy<'_, T, A>> {
        loop {
            if let Some(slot) = self.take_hot().or_else(|| self.take(false)) {
                self.front.head.occupy(slot.cast(), Layout::new::<T>());
                let vacancy = Vacancy { core: self, slot };
                self.track(slot, place)?;
                return Ok(vacancy);
            }
            self.grow(1)?;
        }
    }

    /// Takes a slot with an object that is ready for use: one that was kept, else a new one.
    #[inline]
    pub(crate) fn acquire(&self, place: Place) -> Result<NonNull<T>> {
        let Some(slot) = self.recycler.as_ref().and_then(|recycler| recycler.warm.take()) else {
            return self.acquire_slowly(place);
        };
        // Where leaks are tracked, no slot is warm.
        self.front.head.occupy(slot.cast(), Layout::new::<T>());
        self.counters().recycled();
        // SAFETY: the slot holds an object.
        Ok(unsafe { Vacancy { core: self, slot }.occupied() })
    }

    /// The path for pools without a warm slot.
    #[inline(never)]
    fn acquire_slowly(&self, place: Place) -> Result<NonNull<T>> {
        let Some(recycler) = &self.recycler else {
            return Err(Error::NO_INITIALIZER);
        };
        loop {
            let Some(slot) = self.take(true) else {
                self.grow(1)?;
                continue;
            };
            self.front.head.occupy(slot.cast(), Layout::new::<T>());
            let vacancy = Vacancy { core: self, slot };
            self.track(slot, place)?;
            if self.take_kept(slot) {
                self.counters().recycled();
            } else {
                let object = (recycler.maker.initializer)();
                // SAFETY: the slot holds no object, and nobody but `vacancy` knows of it.
                unsafe { slot.write(object) };
            }
            // SAFETY: the slot holds an object.
            return Ok(unsafe { vacancy.occupied() });
        }
    }

    /// Takes the index that the allocator offers.
    #[inline]
    fn next_index(&self) -> Option<usize> {
        // SAFETY: no other reference to the allocator is alive.
        unsafe { &mut *self.front.allocator.get() }.allocate()
    }

    fn next(&self) -> Option<NonNull<T>> {
        self.next_index().map(|index| self.slot(index))
    }

    /// Takes a vacant slot other than the hot one: preferably one with an object that was kept, or one
    /// without.
    fn take(&self, with_object: bool) -> Option<NonNull<T>> {
        if with_object {
            self.take_warm().or_else(|| self.next()).or_else(|| self.next_emptied())
        } else {
            self.next_emptied().or_else(|| self.next()).or_else(|| self.take_warm())
        }
    }

    /// Takes the warm slot, which is one of those that hold an object from now on.
    fn take_warm(&self) -> Option<NonNull<T>> {
        let recycler = self.recycler.as_ref()?;
        let slot = recycler.warm.take()?;
        // SAFETY: no other reference to the set is alive.
        unsafe { &mut *recycler.kept.get() }.insert(self.index(slot));
        Some(slot)
    }

    fn next_emptied(&self) -> Option<NonNull<T>> {
        // SAFETY: no other reference to the list is alive.
        let index = unsafe { &mut *self.recycler.as_ref()?.emptied.get() }.pop()?;
        Some(self.slot(index as usize))
    }

    /// Whether a slot that was vacant holds an object, which is the caller's from now on.
    fn take_kept(&self, slot: NonNull<T>) -> bool {
        let Some(recycler) = &self.recycler else { return false };
        // SAFETY: no other reference to the set is alive.
        unsafe { &mut *recycler.kept.get() }.remove(self.index(slot))
    }

    /// Address of a slot in use.
    #[inline]
    fn slot(&self, index: usize) -> NonNull<T> {
        // SAFETY: no other reference to the chunks is alive.
        let chunks = unsafe { &*self.front.head.chunks.get() };
        if chunks.is_near(index) { chunks.near_slot(index) } else { self.far_slot(index) }
    }

    /// Out of line, because what is here would have every allocation save registers.
    #[inline(never)]
    fn far_slot(&self, index: usize) -> NonNull<T> {
        // SAFETY: no other reference to the chunks is alive.
        let chunks = unsafe { &mut *self.front.head.chunks.get() };
        if !chunks.geometry().natural {
            // SAFETY: allocators offer only indices of regions in use, and those have memory.
            return unsafe { chunks.slot(index) }.cast();
        }
        // SAFETY: no mutable reference to the allocator is alive.
        if let Some(index) = unsafe { &*self.front.allocator.get() }.upcoming() {
            chunks.prefetch::<T>(index);
        }
        // SAFETY: as above.
        unsafe { chunks.natural_slot(index) }
    }

    #[inline]
    fn index(&self, slot: NonNull<T>) -> usize {
        self.front.head.index(slot.cast(), Layout::new::<T>())
    }

    /// Makes a slot vacant for the allocator.
    #[inline]
    fn free(&self, slot: NonNull<T>) {
        let index = self.index(slot);
        // SAFETY: no other reference to the allocator is alive.
        unsafe { &mut *self.front.allocator.get() }.free(index);
    }

    /// Makes a slot vacant whose object is gone; or one that was taken with an object that was kept.
    #[inline]
    fn vacate(&self, slot: NonNull<T>) {
        if self.front.head.is_plain() {
            return super::vacate(&self.front.head, NonNull::from(self).cast(), slot.cast(), Layout::new::<T>());
        }
        self.front.head.unoccupy(slot.cast(), Layout::new::<T>());
        self.untrack(slot);
        // A pinned object that can be moved all the same may have been moved out.
        // SAFETY: no other reference to the set is alive.
        unsafe { &mut *self.pinned.get() }.remove(self.index(slot));
        let holds_object = self.recycler.as_ref().is_some_and(|recycler| self.is_kept(self.index(slot), recycler));
        if !holds_object {
            // SAFETY: no handle owns the slot, and nobody else knows of it yet.
            unsafe { self.scrub.wipe(slot) };
        }
        self.put(slot, holds_object);
    }

    /// Makes a slot vacant that no handle owns, with an object that the pool keeps, or without.
    pub(crate) fn put(&self, slot: NonNull<T>, holds_object: bool) {
        let slot = if PASSTHROUGH && !holds_object { self.renew(slot) } else { slot };
        let Some(recycler) = &self.recycler else { return self.free(slot) };
        let index = self.index(slot);
        if holds_object {
            // SAFETY: no other reference to the set is alive.
            unsafe { &mut *recycler.kept.get() }.insert(index);
            self.free(slot);
        } else {
            // Indices fit, because they are below `CAPACITY_MAX`.
            // SAFETY: no other reference to the list is alive.
            unsafe { &mut *recycler.emptied.get() }.push(index as u32);
        }
    }

    /// Gets other memory for a slot that no handle owns, and that holds no object. Returns its address.
    pub(crate) fn renew(&self, slot: NonNull<T>) -> NonNull<T> {
        // SAFETY: who has no handle has no use for the slot.
        unsafe { self.front.head.renew(slot.cast(), Layout::new::<T>()) }.cast()
    }

    /// Whether a slot without a handle holds an object.
    fn is_kept(&self, index: usize, recycler: &Recycler<T>) -> bool {
        // SAFETY: no mutable reference to the set is alive.
        unsafe { &*recycler.kept.get() }.contains(index)
    }

    /// Makes a slot vacant that holds an object for the next `acquire`.
    fn keep(&self, slot: NonNull<T>, recycler: &Recycler<T>) {
        self.front.head.unoccupy(slot.cast(), Layout::new::<T>());
        if !recycler.has_warm {
            self.untrack(slot);
            return self.put(slot, true);
        }
        if let Some(colder) = recycler.warm.replace(Some(slot)) {
            self.put(colder, true);
        }
    }

    /// Sees to it that `needed` slots are vacant: adds as many as the growth strategy says, or more.
    pub(crate) fn grow(&self, needed: usize) -> Result<()> {
        if self.available() >= needed {
            return Ok(());
        }
        self.wanted(self.grow_by(needed, self.limits.step(self.capacity())))
    }

    /// The same, if the growth strategy says `step`.
    pub(crate) fn grow_by(&self, needed: usize, step: usize) -> Result<()> {
        // The growth function may have used the pool.
        let (current, available) = (self.capacity(), self.available());
        let missing = needed.saturating_sub(available);
        if missing == 0 {
            return Ok(());
        }
        if step == 0 {
            return Err(Error::PoolExhausted { capacity: current, allocated: current - available });
        }
        let step = step.max(missing);
        match self.limits.max_capacity {
            Some(max) if max - current < missing => {
                Err(Error::MaxCapacityExceeded { current, requested: current.saturating_add(step), max })
            }
            Some(max) => self.extend_and_fill(step.min(max - current)),
            None => self.extend_and_fill(step),
        }
    }

    /// Sees to it that `needed` slots are vacant: adds those that are missing.
    pub(crate) fn reserve(&self, needed: usize) -> Result<()> {
        let (current, available) = (self.capacity(), self.available());
        let missing = needed.saturating_sub(available);
        match self.limits.max_capacity {
            _ if missing == 0 => Ok(()),
            _ if !self.limits.growth.as_ref().is_some_and(GrowthStrategy::allows_growth) => {
                Err(Error::PoolExhausted { capacity: current, allocated: current - available })
            }
            Some(max) if max - current < missing => {
                Err(Error::MaxCapacityExceeded { current, requested: current.saturating_add(missing), max })
            }
            _ => self.extend_and_fill(missing),
        }
    }

    fn extend_and_fill(&self, additional: usize) -> Result<()> {
        // A depot's slots are filled when its lock is free.
        let filled = self.recycler.as_ref().filter(|recycler| recycler.maker.eager && !self.is_depot);
        let room = match filled {
            Some(_) => Some(self.room_to_fill(self.available().saturating_add(additional))?),
            None => None,
        };
        self.extend(additional)?;
        self.counters().grown();
        if let (Some(recycler), Some(room)) = (filled, room) {
            self.fill(recycler, room);
        }
        if !self.is_depot {
            events::grown::<T>(self.name(), self.capacity());
        }
        Ok(())
    }

    /// Adds vacant slots. On failure nothing has changed.
    fn extend(&self, additional: usize) -> Result<()> {
        // SAFETY: no other reference to the chunks is alive, and no user code runs.
        let chunks = unsafe { &mut *self.front.head.chunks.get() };
        // SAFETY: the same for the allocator, which must not call the pool.
        let allocator = unsafe { &mut *self.front.allocator.get() };
        let known = allocator.capacity();
        let prepared = self.prepare(chunks, additional, known).and_then(|end| {
            // The allocator knows all indices up to the last one that was ever in use.
            allocator.grow(end - known)
        });
        if prepared.is_err() {
            chunks.release_unused();
            return prepared;
        }

        let mut missing = additional;
        for region in chunks.regions_mut() {
            let opened = region.spare().min(missing);
            let start = region.first_index + region.open;
            // Those that a trim has left occupied for the allocator.
            for index in (start..known.clamp(start, start + opened)).rev() {
                match &self.recycler {
                    // SAFETY: no other reference to the list is alive.
                    Some(recycler) => unsafe { &mut *recycler.emptied.get() }.push(index as u32),
                    None => allocator.free(index),
                }
            }
            region.open += opened;
            missing -= opened;
        }
        self.capacity.set(self.capacity() + additional);
        Ok(())
    }

    /// Gets the memory for so many more slots and for what is kept about them. Returns the end of their indices.
    fn prepare(&self, chunks: &mut Chunks, additional: usize, known: usize) -> Result<usize> {
        // First regions with slots that are not in use, because of a trim or because the last step
        // needed less than a chunk; then new regions.
        let mut missing = additional;
        for region in 0..chunks.regions().len() {
            let spare = chunks.regions()[region].spare();
            if missing > 0 && spare > 0 {
                chunks.restore(region)?;
                missing = missing.saturating_sub(spare);
            }
        }
        if missing > 0 {
            let limit = self.limits.max_capacity.unwrap_or(CAPACITY_MAX).min(CAPACITY_MAX);
            chunks.add(missing, self.limits.growth.is_none(), limit)?;
        }
        let mut missing = additional;
        let mut end = known;
        for region in chunks.regions() {
            let opened = region.spare().min(missing);
            missing -= opened;
            if opened > 0 {
                end = end.max(region.first_index + region.open + opened);
            }
        }
        if let Some(recycler) = &self.recycler {
            // SAFETY: no other reference to the sets and the list is alive, here and below.
            unsafe { &mut *recycler.kept.get() }.reserve(end)?;
            // SAFETY: as above.
            let emptied = unsafe { &mut *recycler.emptied.get() };
            let out_of_memory = |_| Error::OutOfMemory { bytes: end.saturating_mul(size_of::<u32>()) };
            emptied.try_reserve_exact(end - emptied.len()).map_err(out_of_memory)?;
        }
        #[cfg(debug_assertions)]
        // SAFETY: as above.
        unsafe { &mut *self.front.head.occupied.get() }.reserve(end)?;
        Ok(end)
    }

    /// Offers slots again that the allocator takes for occupied, in this order: first those that hold an
    /// object, if the pool keeps any.
    fn put_back(&self, indices: &[u32], allocator: &mut A) {
        let Some(recycler) = &self.recycler else {
            return allocator.put_back(indices.iter().map(|&index| index as usize));
        };
        let is_kept = |index: &&u32| self.is_kept(**index as usize, recycler);
        allocator.put_back(indices.iter().filter(is_kept).map(|&index| index as usize));
        // SAFETY: no other reference to the list is alive.
        let emptied = unsafe { &mut *recycler.emptied.get() };
        emptied.extend(indices.iter().rev().filter(|index| !is_kept(index)));
    }

    /// What [`fill`](Self::fill) needs for so many slots.
    fn room_to_fill(&self, slots: usize) -> Result<Taken<'_, T, A>> {
        let mut taken = Taken { core: self, indices: Vec::new() };
        let out_of_memory = |_| Error::OutOfMemory { bytes: slots.saturating_mul(size_of::<u32>()) };
        taken.indices.try_reserve_exact(slots).map_err(out_of_memory)?;
        Ok(taken)
    }

    /// Makes objects in all vacant slots that hold none.
    fn fill(&self, recycler: &Recycler<T>, mut taken: Taken<'_, T, A>) {
        // All at once, because a stack would offer the same slot again and again.
        let vacant = core::iter::from_fn(|| self.take(true));
        taken.indices.extend(vacant.map(|slot| self.index(slot) as u32));
        for &index in &taken.indices {
            let index = index as usize;
            if !self.is_kept(index, recycler) {
                let object = (recycler.maker.initializer)();
                // SAFETY: the slot holds no object, and is neither vacant nor a handle's.
                unsafe { self.slot(index).write(object) };
                // SAFETY: no other reference to the set is alive.
                unsafe { &mut *recycler.kept.get() }.insert(index);
            }
        }
    }

    /// Takes an object that was kept in a region that is being closed, from this index on.
    fn take_object_in(&self, region: usize, from: &mut usize) -> Option<NonNull<T>> {
        let recycler = self.recycler.as_ref()?;
        // SAFETY: no mutable reference to the chunks is alive.
        let indices = unsafe { &*self.front.head.chunks.get() }.regions()[region].open_indices();
        // SAFETY: no other reference to the set is alive while it runs.
        let was_kept = |index: &usize| unsafe { &mut *recycler.kept.get() }.remove(*index);
        let index = (indices.start.max(*from)..indices.end).find(was_kept)?;
        *from = index + 1;
        Some(self.slot(index))
    }

    /// Gives the memory of a region back that is being closed.
    ///
    /// # Safety
    ///
    /// [`withhold_vacant_regions`](Self::withhold_vacant_regions) returned the region, and the objects in
    /// it are gone.
    unsafe fn release_region(&self, region: usize) {
        // SAFETY: no other reference to the chunks is alive.
        let chunks = unsafe { &mut *self.front.head.chunks.get() };
        // SAFETY: the allocator offers none of its slots, all are vacant, and their objects are gone.
        unsafe { chunks.release(region) };
        let region = &mut chunks.regions_mut()[region];
        self.capacity.set(self.capacity() - region.open);
        region.open = 0;
        region.closing = false;
    }

    /// Takes the indices of wholly vacant regions out of circulation. Returns these regions.
    fn withhold_vacant_regions(&self, floor: usize) -> Vec<usize> {
        // SAFETY: no mutable reference to the chunks is alive.
        let regions = unsafe { &*self.front.head.chunks.get() }.regions().len();
        let (mut vacant, mut vacant_by_region, mut closing) = (Vec::<u32>::new(), Vec::<usize>::new(), Vec::new());
        let reserved = vacant
            .try_reserve_exact(self.available())
            .and_then(|()| vacant_by_region.try_reserve_exact(regions))
            .and_then(|()| closing.try_reserve_exact(regions));
        if reserved.is_err() {
            return closing;
        }
        let hot = self.take_hot().or_else(|| self.take_warm()).map(|hot| self.index(hot));

        // SAFETY: no other reference to the chunks is alive, and no user code runs.
        let chunks = unsafe { &mut *self.front.head.chunks.get() };
        // SAFETY: the same for the allocator, which does not use the pool.
        let allocator = unsafe { &mut *self.front.allocator.get() };
        if let Some(hot) = hot {
            allocator.free(hot);
        }
        // Indices fit, because they are below `CAPACITY_MAX`.
        vacant.extend(core::iter::from_fn(|| allocator.allocate()).map(|index| index as u32));
        if let Some(recycler) = &self.recycler {
            // SAFETY: no other reference to the list is alive.
            vacant.append(unsafe { &mut *recycler.emptied.get() });
        }
        vacant_by_region.resize(regions, 0);
        for &index in &vacant {
            vacant_by_region[chunks.region_of(index as usize)] += 1;
        }

        let being_closed = chunks.regions().iter().filter(|region| region.closing).map(|region| region.open);
        let mut left = self.capacity() - being_closed.sum::<usize>();
        for number in (0..regions).rev() {
            let region = &chunks.regions()[number];
            let vacated = region.open > 0 && vacant_by_region[number] == region.open;
            if vacated
                && !region.closing
                && left - region.open >= floor
                && !chunks.has_weak_handles(number)
                && withhold_unknown(allocator, region)
            {
                left -= region.open;
                chunks.regions_mut()[number].closing = true;
                closing.push(number);
            }
        }

        vacant.retain(|&index| !chunks.regions()[chunks.region_of(index as usize)].closing);
        self.put_back(&vacant, allocator);
        closing
    }

    /// Destroys all objects: those that were kept, and those whose handles were forgotten. Returns
    /// `false` if there was no memory to find out which these are.
    fn destroy_all(&self) -> bool {
        if !needs_drop::<T>() || (self.recycler.is_none() && (self.is_depot || self.available() == self.capacity())) {
            return true;
        }
        // SAFETY: no other reference to the allocator is alive.
        let allocator = unsafe { &mut *self.front.allocator.get() };
        let mut vacant = Bits::default();
        if vacant.reserve(allocator.capacity()).is_err() {
            return false;
        }
        if let Some(hot) = self.take_hot() {
            vacant.insert(self.index(hot));
        }
        core::iter::from_fn(|| allocator.allocate()).for_each(|index| vacant.insert(index));
        if let Some(recycler) = &self.recycler {
            self.take_warm();
            // SAFETY: no other reference to the list is alive.
            unsafe { &*recycler.emptied.get() }.iter().for_each(|&index| vacant.insert(index as usize));
            // SAFETY: no other reference to the set is alive.
            let kept = unsafe { &*recycler.kept.get() };
            (0..allocator.capacity()).filter(|&index| kept.contains(index)).for_each(|index| {
                vacant.remove(index);
            });
        }
        let is_kept = |index| self.recycler.as_ref().is_some_and(|recycler| self.is_kept(index, recycler));
        let in_use = |region: usize| {
            // SAFETY: no mutable reference to the chunks is alive.
            unsafe { &*self.front.head.chunks.get() }.regions().get(region).map(Region::open_indices)
        };
        let indices = (0..).map_while(in_use).flatten();
        let occupied = indices.filter(|&index| if self.is_depot { is_kept(index) } else { !vacant.contains(index) });
        // SAFETY: these slots hold objects that were kept, or whose handles were forgotten.
        unsafe { destroy(&mut occupied.map(|index| self.slot(index)), self.scrub) };
        true
    }
}

/// For a depot.
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
impl<T: Poolable> Local<T, StackAllocator> {
    /// Takes a vacant slot: preferably one with an object that was kept, or one without.
    /// Returns whether it holds an object.
    pub(crate) fn take_vacant(&self, with_object: bool) -> Option<(NonNull<T>, bool)> {
        let slot = self.take(with_object)?;
        Some((slot, self.take_kept(slot)))
    }

    /// How objects are made, if the pool keeps them.
    pub(crate) fn maker(&self) -> Option<&Maker<T>> {
        self.recycler.as_ref().map(|recycler| &recycler.maker)
    }

    /// Takes a vacant slot without an object.
    pub(crate) fn take_empty(&self) -> Option<NonNull<T>> {
        self.next_emptied().or_else(|| {
            // SAFETY: no other reference to the allocator is alive.
            let unused = unsafe { &mut *self.front.allocator.get() }.allocate_unused()?;
            Some(self.slot(unused))
        })
    }

    /// Makes the table of counts of a chunk.
    pub(crate) fn make_counts(&self, header: &Header) -> Result<()> {
        // SAFETY: no mutable reference to the chunks is alive.
        unsafe { &*self.front.head.chunks.get() }.share(header)
    }
}

/// Gives the memory of a core's wholly vacant regions back, the last ones first, as long as `floor` slots
/// remain. Returns the number of slots that are gone.
///
/// `with_core` calls a function with the core, under its lock if it has one. Destructors run outside.
pub(crate) fn trim<T: Poolable, A: Allocator>(
    with_core: &impl Fn(&mut dyn FnMut(&Local<T, A>)),
    floor: usize,
) -> usize {
    let (mut closing, mut gone) = (Vec::new(), 0);
    with_core(&mut |core| {
        closing = core.withhold_vacant_regions(floor);
        // SAFETY: no mutable reference to the chunks is alive.
        let regions = unsafe { &*core.front.head.chunks.get() }.regions();
        gone = closing.iter().map(|&region| regions[region].open).sum();
    });
    close(with_core, &mut closing.into_iter());
    gone
}

/// Destroys what is left in regions, and gives their memory back: of all, also if a destructor unwinds.
fn close<T: Poolable, A: Allocator>(
    with_core: &impl Fn(&mut dyn FnMut(&Local<T, A>)),
    regions: &mut impl Iterator<Item = usize>,
) {
    while let Some(region) = regions.next() {
        let rest = Defer(|| close(with_core, &mut *regions));
        // SAFETY: the region was withheld, and when this runs, its objects are gone.
        let release = Defer(|| with_core(&mut |core| unsafe { core.release_region(region) }));
        let mut from = 0;
        let mut scrub = None;
        with_core(&mut |core| scrub = Some(core.scrub));
        let Some(scrub) = scrub else { return };
        let mut objects = core::iter::from_fn(|| {
            let mut object = None;
            with_core(&mut |core| object = core.take_object_in(region, &mut from));
            object
        });
        // SAFETY: the slots are vacant and withheld, so nobody else uses the objects kept in them.
        unsafe { destroy(&mut objects, scrub) };
        drop(release);
        mem::forget(rest);
    }
}

/// Destroys objects, also those that come after one whose destructor unwinds.
///
/// # Safety
///
/// The slots hold objects that nobody else uses, nor will.
pub(super) unsafe fn destroy<T>(slots: &mut impl Iterator<Item = NonNull<T>>, scrub: Scrub) {
    while let Some(slot) = slots.next() {
        // SAFETY: the caller says so for all of them.
        let rest = Defer(|| unsafe { destroy(&mut *slots, scrub) });
        // SAFETY: when this runs, the object is gone.
        let wipe = Defer(move || unsafe { scrub.wipe(slot) });
        // SAFETY: the caller says so.
        unsafe { slot.drop_in_place() };
        drop(wipe);
        mem::forget(rest);
    }
}

/// Makes an allocator, all of whose indices are allocated, know all of a region's, as allocated ones: the
/// indices of the next region may come into use before the rest of this one. `false` if there is no memory.
fn withhold_unknown(allocator: &mut impl Allocator, region: &Region) -> bool {
    let unknown = (region.first_index + region.slots).saturating_sub(allocator.capacity());
    let grown = unknown == 0 || allocator.grow(unknown).is_ok();
    while allocator.allocate().is_some() {}
    grown
}

/// Vacant slots that the allocator takes for occupied, and offers again when this is dropped.
struct Taken<'core, T: Poolable, A: Allocator> {
    core: &'core Local<T, A>,
    indices: Vec<u32>,
}

impl<T: Poolable, A: Allocator> Drop for Taken<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: no other reference to the allocator is alive.
        let allocator = unsafe { &mut *self.core.front.allocator.get() };
        self.core.put_back(&self.indices, allocator);
    }
}

/// A slot that was taken and has no value yet, or still an object that was kept. Dropped, it is vacant again.
#[must_use]
pub(crate) struct Vacancy<'core, T: Poolable, A: Allocator> {
    core: &'core Local<T, A>,
    slot: NonNull<T>,
}

impl<T: Poolable, A: Allocator> Vacancy<'_, T, A> {
    /// The slot, to be written to.
    #[inline]
    pub(crate) fn slot(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: the slot is valid for a `T`, and nobody but `self` knows of it.
        unsafe { self.slot.cast::<MaybeUninit<T>>().as_mut() }
    }

    /// Destroys the object that was kept in the slot, if there is one.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.core.take_kept(self.slot) {
            // SAFETY: the slot holds an object, of which nobody else knows.
            unsafe { self.slot.drop_in_place() };
            // SAFETY: now it holds none.
            unsafe { self.core.scrub.wipe(self.slot) };
        }
    }

    /// Puts an object into the slot, which holds none, and calls its hook.
    #[inline]
    pub(crate) fn fill(mut self, value: T) -> NonNull<T> {
        self.slot().write(value);
        // SAFETY: the slot holds an object.
        unsafe { self.occupied() }
    }

    /// Calls the hook of the object in the slot, which is the caller's from now on.
    ///
    /// # Safety
    ///
    /// The slot holds an object.
    #[inline]
    pub(crate) unsafe fn occupied(self) -> NonNull<T> {
        let mut slot = self.slot;
        // SAFETY: the object is nobody else's.
        let destroy = Defer(move || unsafe { slot.drop_in_place() });
        // SAFETY: the caller says that the object is there, and it is nobody else's.
        unsafe { slot.as_mut() }.on_acquire();
        mem::forget(destroy);
        mem::forget(self);
        slot
    }
}

impl<T: Poolable, A: Allocator> Drop for Vacancy<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        self.core.vacate(self.slot);
    }
}

/// Takes a vacant slot without an object: [`Operations::take`].
///
/// # Safety
///
/// `head` is the head of a `Local<T, A>`; this holds for the following functions too.
unsafe fn take<T: Poolable, A: Allocator>(head: NonNull<Head>, place: Place) -> Result<NonNull<u8>> {
    // SAFETY: the caller says so; a core is changed through its cells only.
    let core = unsafe { head.cast::<Local<T, A>>().as_ref() };
    let vacancy = core.vacancy(place)?;
    let slot = vacancy.slot.cast();
    mem::forget(vacancy);
    Ok(slot)
}

/// Hook, then reset or destructor, then the slot is vacant: [`Operations::release`].
unsafe fn release<T: Poolable, A: Allocator>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so; a core is changed through its cells only.
    let core = unsafe { head.cast::<Local<T, A>>().as_ref() };
    let mut slot = slot.cast::<T>();
    // SAFETY: no other reference to the set is alive.
    let pinned = unsafe { &mut *core.pinned.get() };
    let was_pinned = !pinned.is_empty() && pinned.remove(core.index(slot));
    // What follows happens even if the hook or the reset unwinds.
    let vacate = Defer(move || core.vacate(slot));
    // SAFETY: the slot holds an object, which is not used afterwards.
    let destroy = Defer(move || unsafe { slot.drop_in_place() });
    if was_pinned {
        return;
    }
    // SAFETY: the slot holds an object that nobody else uses.
    let object = unsafe { slot.as_mut() };
    object.on_release();
    let Some(recycler) = &core.recycler else { return };
    if recycler.maker.reset.as_ref().is_none_or(|reset| reset(object)) {
        mem::forget(destroy);
        mem::forget(vacate);
        core.keep(slot, recycler);
    }
}

/// Makes a slot vacant whose object is gone: [`Operations::vacate`].
unsafe fn vacate<T: Poolable, A: Allocator>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so; a core is changed through its cells only.
    unsafe { head.cast::<Local<T, A>>().as_ref() }.vacate(slot.cast());
}

/// Gives a slot back to the allocator: [`Operations::free`].
unsafe fn free<T: Poolable, A: Allocator>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so; a core is changed through its cells only.
    unsafe { head.cast::<Local<T, A>>().as_ref() }.free(slot.cast());
}

/// Sees to it that an object is destroyed when it is released: [`Operations::pin`].
unsafe fn pin<T: Poolable, A: Allocator>(head: NonNull<Head>, slot: NonNull<u8>) {
    // SAFETY: the caller says so; a core is changed through its cells only.
    let core = unsafe { head.cast::<Local<T, A>>().as_ref() };
    // SAFETY: no other reference to the set is alive.
    let pinned = unsafe { &mut *core.pinned.get() };
    let index = core.index(slot.cast());
    if let Err(error) = pinned.reserve(index + 1) {
        panic!("{error}");
    }
    pinned.insert(index);
    // The usual path does not ask who is pinned.
    if let Some(hot) = core.take_hot() {
        core.free(hot);
    }
    core.front.head.hot.set(NOT_PLAIN);
    core.front.head.usual.set(false);
}

/// Owns a core.
pub(crate) struct Owner<T: Poolable, A: Allocator>(NonNull<Local<T, A>>);

impl<T: Poolable, A: Allocator> Owner<T, A> {
    fn new(core: Local<T, A>) -> Result<Self> {
        let layout = Layout::new::<Local<T, A>>();
        // SAFETY: a core is not zero-sized.
        let memory = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(memory.cast::<Local<T, A>>()) else {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        };
        // SAFETY: the memory is new and fits a core.
        unsafe { memory.write(core) };
        Ok(Self(memory))
    }
}

impl<T: Poolable, A: Allocator> Deref for Owner<T, A> {
    type Target = Local<T, A>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the core lives as long as its owner, and is changed through cells only.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Poolable, A: Allocator> Drop for Owner<T, A> {
    fn drop(&mut self) {
        let core = self.0;
        let end = Defer(|| {
            let free = Defer(|| {
                // SAFETY: handles borrow or share the pool, so none is left.
                unsafe { core.drop_in_place() };
                // SAFETY: `new` allocated the core with this layout.
                unsafe { dealloc(core.as_ptr().cast(), Layout::new::<Local<T, A>>()) };
            });
            if self.destroy_all() {
                drop(free);
            } else {
                // Objects may be pinned: rather leak them with their memory than take it from under them.
                mem::forget(free);
            }
        });
        #[cfg(feature = "std")]
        if let Some(tracker) = &self.tracker {
            tracker.end(self.name.as_ref());
        }
        drop(end);
    }
}
