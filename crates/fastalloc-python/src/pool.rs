//! The pools: objects of Python around `Slots`.
//!
//! The short paths of `get` and `release` run no code of the program. All else may: a factory, a reset, `isinstance`, the
//! destructor of an object, and whatever the garbage collector does when memory is allocated. So:
//!
//! - what a pool has is borrowed only inside `Pool::inner`, whose argument calls nothing of Python but `Py_INCREF`;
//! - a slot is held while code runs on its behalf, and looked at anew after that: it may be gone;
//! - references that go are moved out of the pool first.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_int;
use core::ptr;
use std::collections::VecDeque;
use std::time::Instant;

use pyo3_ffi::{self as ffi, PyObject};

use crate::claim;
use crate::py::{self, PyResult, Raised, Ref};
use crate::slots::{Found, Object, Slots};
use crate::statics;

/// Nothing is handed out any more.
pub const CLOSED: u32 = 1 << 0;
/// Objects are reset before they are handed out.
pub const RESET: u32 = 1 << 1;
/// What happens is counted.
pub const STATISTICS: u32 = 1 << 2;
/// Somebody waits for an object.
pub const WAITED_FOR: u32 = 1 << 3;
/// `__init__` has not run.
pub const UNINITIALIZED: u32 = 1 << 4;
/// A manager is told about each object.
pub const MANAGED: u32 = 1 << 5;
/// Factory or reset are coroutine functions: only `get_async` can run them.
pub const ASYNC_ONLY: u32 = 1 << 6;
/// A name of a reset method that the objects need not have.
pub const LENIENT_RESET: u32 = 1 << 7;

/// The manager notes where objects are taken, and warns of those that nobody has released.
pub const WARN_LEAKS: u32 = 1 << 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fixed,
    Growing,
    ThreadSafe,
    Async,
}

pub const KINDS: [Kind; 4] = [Kind::Fixed, Kind::Growing, Kind::ThreadSafe, Kind::Async];

#[derive(Default)]
pub struct Settings {
    pub class: Option<Ref>,
    pub factory: Option<Ref>,
    pub reset: Option<Ref>,
    /// A `GrowthConfig`.
    pub growth: Option<Ref>,
    /// An `int`, of a `GrowingPool`.
    pub max_capacity: Option<Ref>,
    pub manager: Option<Ref>,
}

impl Settings {
    fn references(&self) -> impl Iterator<Item = *mut PyObject> + '_ {
        [&self.class, &self.factory, &self.reset, &self.growth, &self.max_capacity, &self.manager]
            .into_iter()
            .flatten()
            .map(Ref::as_ptr)
    }
}

#[derive(Clone, Copy, Default)]
pub struct Counters {
    pub allocations: u64,
    pub releases: u64,
    pub resets: u64,
    pub growths: u64,
    pub reclaimed: u64,
    pub discarded: u64,
    pub peak_in_use: usize,
    pub peak_capacity: usize,
    pub allocation_time: Sample,
    pub release_time: Sample,
}

/// The time that calls took, of which one in `EVERY` is measured: two looks at the clock cost more than the call.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub calls: u64,
    pub nanoseconds: u64,
}

const EVERY: u64 = 16;

impl Sample {
    fn add(&mut self, start: Instant) {
        self.calls += 1;
        self.nanoseconds += u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }

    /// An estimate for all `calls`.
    pub fn total(self, calls: u64) -> u64 {
        let total = u128::from(self.nanoseconds) * u128::from(calls) / u128::from(self.calls.max(1));
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

#[derive(Default)]
pub struct Inner {
    pub slots: Slots,
    /// The claims of those who wait, the first in front: not owned.
    pub line: VecDeque<*mut PyObject>,
    pub settings: Settings,
    pub counters: Counters,
}

#[repr(C)]
pub struct Pool {
    head: PyObject,
    pub weak_references: *mut PyObject,
    /// Zero in a pool whose `get` and `release` only move objects.
    pub flags: Cell<u32>,
    pub kind: Kind,
    inner: UnsafeCell<Inner>,
}

impl Pool {
    /// # Safety
    ///
    /// `object` is a pool that is alive for `'a`, and not of the class `ThreadLocalPool`.
    #[inline(always)]
    pub unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: pools begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    pub fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The pool's state. `code` calls nothing of Python, so nobody else can come here before it has returned.
    #[inline(always)]
    pub fn inner<R>(&self, code: impl FnOnce(&mut Inner) -> R) -> R {
        // SAFETY: no other borrow exists: the GIL is held, and no code that could make one runs during `code`.
        code(unsafe { &mut *self.inner.get() })
    }

    pub fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    pub fn set(&self, flag: u32, on: bool) {
        self.flags.set(if on { self.flags.get() | flag } else { self.flags.get() & !flag });
    }

    /// Writes an empty pool into memory that Python has allocated, whose head is written.
    ///
    /// # Safety
    ///
    /// `object` was just allocated for a class of pools.
    pub unsafe fn write(object: *mut PyObject, kind: Kind) {
        let pool: *mut Self = object.cast();
        // SAFETY: the memory is large enough, nobody else's, and nothing in it but the head has been written.
        unsafe {
            (&raw mut (*pool).weak_references).write(ptr::null_mut());
            (&raw mut (*pool).flags).write(Cell::new(UNINITIALIZED));
            (&raw mut (*pool).kind).write(kind);
            (&raw mut (*pool).inner).write(UnsafeCell::new(Inner::default()));
        }
    }

    /// Takes a settings' reference.
    fn setting(&self, which: impl FnOnce(&Settings) -> &Option<Ref>) -> Option<Ref> {
        self.inner(|inner| which(&inner.settings).clone())
    }

    pub fn check_open(&self) -> PyResult<()> {
        if self.has(UNINITIALIZED) {
            // SAFETY: `RuntimeError` is always alive.
            Err(py::raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"the pool's __init__ has not been called"))
        } else if self.has(CLOSED) {
            Err(py::raise(&statics::POOL_CLOSED, c"pool is closed"))
        } else {
            Ok(())
        }
    }

    /// The start of a call that is measured, if statistics are on and it is one in `EVERY`.
    fn start(&self, which: impl FnOnce(&Counters) -> u64) -> Option<Instant> {
        let measured = self.has(STATISTICS) && self.inner(|inner| which(&inner.counters)) % EVERY == 0;
        measured.then(Instant::now)
    }

    /// Takes an object out, all that may be needed for that included.
    #[inline(never)]
    pub fn get(&self) -> PyResult<Ref> {
        let start = self.start(|counters| counters.allocations);
        self.check_not_async()?;
        let index = self.prepare()?;
        self.hand_out(index, start)
    }

    pub fn check_not_async(&self) -> PyResult<()> {
        if !self.has(ASYNC_ONLY) {
            return Ok(());
        }
        // SAFETY: `TypeError` is always alive.
        Err(py::raise_builtin(
            unsafe { ffi::PyExc_TypeError },
            c"the pool's factory or reset method is async: use `await pool.get_async()` or `async with pool.allocate()`",
        ))
    }

    /// Hands out the object of a slot that is held, or gives the slot up.
    pub fn hand_out(&self, index: usize, start: Option<Instant>) -> PyResult<Ref> {
        if let Err(raised) = self.note_taken(index).and_then(|()| self.check_open()) {
            self.vacate_raised(index);
            return Err(raised);
        }
        let object = self.inner(|inner| inner.slots.hand_out(index));
        // SAFETY: null, or the pool's object.
        let Some(object) = (unsafe { Ref::borrowed(object.cast()) }) else {
            let raised = py::raise(&statics::POOL_CLOSED, c"pool is closed");
            self.vacate_raised(index);
            return Err(raised);
        };
        self.count_allocation(start);
        Ok(object)
    }

    /// Lets the manager note where the object of a slot that is held is taken.
    pub fn note_taken(&self, index: usize) -> PyResult<()> {
        if !self.has(WARN_LEAKS) {
            return Ok(());
        }
        let (Some(manager), Some(object)) = (self.setting(|settings| &settings.manager), self.object(index)) else {
            return Ok(());
        };
        py::call_method1(&manager, &statics::TAKEN.to_ref()?, &object).map(drop)
    }

    /// Lets the manager warn that nobody has released the object of a slot that is held.
    pub fn warn_of_leak(&self, index: usize) {
        if !self.has(WARN_LEAKS) {
            return;
        }
        let (Some(manager), Some(object)) = (self.setting(|settings| &settings.manager), self.object(index)) else {
            return;
        };
        let warned = statics::LEAKED.to_ref().and_then(|name| py::call_method1(&manager, &name, &object));
        if warned.is_err() {
            // Not of the pool, which may be in its destructor.
            py::write_unraisable(manager.as_ptr());
        }
    }

    /// Warns of all objects that nobody has released, and nobody refers to.
    ///
    /// The pool may be in its destructor: nothing here makes a reference to it.
    pub fn warn_of_leaks(&self) {
        if self.has(WARN_LEAKS) {
            for index in self.take_back_abandoned() {
                self.warn_of_leak(index);
            }
        }
    }

    pub fn count_allocation(&self, start: Option<Instant>) {
        if self.has(STATISTICS) {
            self.inner(|inner| {
                inner.counters.allocations += 1;
                inner.counters.peak_in_use = inner.counters.peak_in_use.max(inner.slots.in_use());
                if let Some(start) = start {
                    inner.counters.allocation_time.add(start);
                }
            });
        }
    }

    pub fn start_allocation(&self) -> Option<Instant> {
        self.start(|counters| counters.allocations)
    }

    /// Holds a slot with an object that is ready to be handed out.
    pub fn prepare(&self) -> PyResult<usize> {
        self.try_prepare()?.ok_or_else(|| {
            let growing = self.inner(|inner| inner.settings.growth.is_some());
            let text = if growing { c"pool is empty and cannot grow further" } else { c"pool is empty" };
            py::raise(&statics::POOL_EMPTY, text)
        })
    }

    /// The same; `None` if all slots are in use.
    pub fn try_prepare(&self) -> PyResult<Option<usize>> {
        let Some((index, is_new)) = self.reserve()? else { return Ok(None) };
        self.ready(index, is_new)?;
        Ok(Some(index))
    }

    /// Makes the object in a slot that is held ready to be handed out, or gives the slot up.
    pub fn ready(&self, index: usize, is_new: bool) -> PyResult<()> {
        let result = self.try_ready(index, is_new);
        if result.is_err() {
            py::preserving_exception(|| self.discard(index));
        }
        result
    }

    fn try_ready(&self, index: usize, is_new: bool) -> PyResult<()> {
        if is_new {
            self.create(index)?;
        } else if !self.is_fit(index)? {
            self.empty(index);
            self.create(index)?;
        }
        self.reset(index)
    }

    /// Holds a slot, and says whether it has no object yet. `None` if all are in use, and the pool cannot grow.
    pub fn reserve(&self) -> PyResult<Option<(usize, bool)>> {
        loop {
            self.check_open()?;
            match self.inner(|inner| inner.slots.take()) {
                Found::Object(index) => return Ok(Some((index, false))),
                Found::Room(index) => return Ok(Some((index, true))),
                Found::Nothing => {}
            }
            if self.reclaim_abandoned() == 0 && !self.grow()? {
                return Ok(None);
            }
        }
    }

    /// Makes the object of a slot that is held. If this fails, the slot is still held.
    pub fn create(&self, index: usize) -> PyResult<()> {
        let object = match self.setting(|settings| &settings.factory) {
            Some(factory) => py::call0(&factory)?,
            None => py::call0(&self.class()?)?,
        };
        self.fill(index, object)
    }

    fn class(&self) -> PyResult<Ref> {
        self.setting(|settings| &settings.class).ok_or_else(|| py::raise(&statics::POOL_CLOSED, c"pool is closed"))
    }

    /// Puts a new object into a slot that is held.
    pub fn fill(&self, index: usize, object: Ref) -> PyResult<()> {
        let class = self.class()?;
        if !py::is_instance(&object, &class)? {
            return Err(type_mismatch(&class, &object));
        }
        // Destroying the object if it has come in vain is for code outside of `inner`.
        match self.inner(|inner| inner.slots.fill(index, object.as_ptr().cast())) {
            Ok(true) => {
                // The pool has a reference of its own now, which `fill` was given.
                let object = core::mem::ManuallyDrop::new(object);
                match self.setting(|settings| &settings.manager) {
                    Some(manager) => {
                        py::call_method1(&manager, &statics::CREATED.to_ref()?, &object)?;
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            Ok(false) => Err(py::raise(&statics::POOL_CLOSED, c"pool is closed")),
            Err(_) => {
                // SAFETY: sets an exception.
                unsafe { ffi::PyErr_NoMemory() };
                Err(Raised)
            }
        }
    }

    fn reset(&self, index: usize) -> PyResult<()> {
        if !self.has(RESET) {
            return Ok(());
        }
        let (Some(object), Some(reset)) = (self.object(index), self.setting(|settings| &settings.reset)) else {
            return Ok(());
        };
        if self.has(LENIENT_RESET) {
            let done = py::call(&statics::cold(c"reset_if_possible")?, [&object, &reset])?;
            if !py::is_true(&done)? {
                return Ok(());
            }
        } else {
            py::call_method(&object, &reset)?;
        }
        self.inner(|inner| inner.counters.resets += 1);
        Ok(())
    }

    /// Asks the manager whether an object that has been used before is fit to be used again.
    pub fn is_fit(&self, index: usize) -> PyResult<bool> {
        Ok(!self.has(MANAGED) || self.ask_manager(&statics::ACQUIRED, index)?)
    }

    fn ask_manager(&self, question: &py::Global, index: usize) -> PyResult<bool> {
        let (Some(manager), Some(object)) = (self.setting(|settings| &settings.manager), self.object(index)) else {
            return Ok(true);
        };
        py::is_true(&py::call_method1(&manager, &question.to_ref()?, &object)?)
    }

    /// The object of a slot.
    pub fn object(&self, index: usize) -> Option<Ref> {
        let object = self.inner(|inner| inner.slots.object(index));
        // SAFETY: null, or the pool's object.
        unsafe { Ref::borrowed(object.cast()) }
    }

    /// Adds room, and objects in it. False if the pool cannot grow.
    fn grow(&self) -> PyResult<bool> {
        let Some(growth) = self.setting(|settings| &settings.growth) else { return Ok(false) };
        let before = self.inner(|inner| inner.slots.capacity());
        let capacity = py::integer(before)?;
        if !py::is_true(&py::call_method1(&growth, &statics::CAN_GROW.to_ref()?, &capacity)?)? {
            return Ok(false);
        }
        let wanted = py::call_method1(&growth, &statics::CALCULATE_NEW_CAPACITY.to_ref()?, &capacity)?;
        let mut wanted = py::to_index(&wanted)?;
        if let Some(maximum) = self.setting(|settings| &settings.max_capacity) {
            if !maximum.is_none() {
                wanted = wanted.min(py::to_index(&maximum)?);
            }
        }
        // Another thread may have been faster, or the configuration may have used the pool.
        let grown = self.inner(|inner| match wanted.checked_sub(inner.slots.capacity()) {
            None | Some(0) => Ok(false),
            Some(additional) => inner.slots.grow(additional).map(|()| true),
        });
        match grown {
            Ok(true) => {}
            Ok(false) => return Ok(self.inner(|inner| inner.slots.capacity()) > before),
            Err(error) => return Err(no_memory(&error)),
        }
        self.inner(|inner| {
            inner.counters.growths += 1;
            inner.counters.peak_capacity = inner.counters.peak_capacity.max(wanted);
        });
        self.create_many(wanted - before)?;
        Ok(true)
    }

    /// Makes objects, one by one, until so many are free or there is no room for more.
    pub fn make_idle(&self, count: usize) -> PyResult<()> {
        self.check_open()?;
        while self.inner(|inner| inner.slots.available()) < count {
            let Some(index) = self.inner(|inner| inner.slots.take_room()) else { break };
            let made = self.create(index);
            py::preserving_exception(|| self.vacate(index));
            made?;
            self.check_open()?;
        }
        Ok(())
    }

    /// Makes up to that many objects. If one cannot be made, the others stay, and it is made when it is needed.
    pub fn create_many(&self, count: usize) -> PyResult<()> {
        let mut made = Vec::new();
        let mut result = Ok(());
        for _ in 0..count {
            let Found::Room(index) = self.inner(|inner| match inner.slots.take() {
                Found::Object(index) => {
                    // Released in the meantime by somebody else.
                    inner.slots.set_free(index);
                    Found::Nothing
                }
                found => found,
            }) else {
                break;
            };
            made.push(index);
            result = self.create(index);
            if result.is_err() {
                break;
            }
        }
        py::preserving_exception(|| made.into_iter().for_each(|index| self.vacate(index)));
        result
    }

    /// Holds the slots whose objects nobody but the pool refers to any more.
    fn take_back_abandoned(&self) -> Vec<usize> {
        // SAFETY: objects in slots are alive. One reference is the pool's.
        self.inner(|inner| inner.slots.take_back_abandoned(|object| unsafe { ffi::Py_REFCNT(object.cast()) } == 1))
    }

    /// Takes back objects that nobody but the pool refers to any more, and says how many they were.
    pub fn reclaim_abandoned(&self) -> usize {
        let abandoned = self.take_back_abandoned();
        self.inner(|inner| inner.counters.reclaimed += abandoned.len() as u64);
        let count = abandoned.len();
        for index in abandoned {
            self.warn_of_leak(index);
            // The order is that of their release, which nobody knows.
            if !self.has(MANAGED) {
                self.vacate(index);
            } else if self.tell_manager_released(index).is_err() {
                py::write_unraisable(self.as_ptr());
                self.discard(index);
            }
        }
        count
    }

    fn tell_manager_released(&self, index: usize) -> PyResult<()> {
        let keep = self.ask_manager(&statics::RELEASED, index)?;
        if keep {
            self.vacate(index)
        } else {
            self.discard(index)
        };
        Ok(())
    }

    /// Takes an object back.
    #[inline(never)]
    pub fn release(&self, object: &Ref) -> PyResult<()> {
        let start = self.start(|counters| counters.releases);
        if self.has(UNINITIALIZED) {
            return self.check_open();
        }
        match self.inner(|inner| inner.slots.take_back(object.as_ptr().cast())) {
            Some(index) => self.finish_release(index, start),
            None => Err(self.refusal(object)?),
        }
    }

    /// Why an object that is not out is not taken.
    fn refusal(&self, object: &Ref) -> PyResult<Raised> {
        if let Some(class) = self.setting(|settings| &settings.class) {
            if !py::is_instance(object, &class)? {
                return Ok(type_mismatch(&class, object));
            }
        }
        Ok(py::raise(&statics::ALREADY_RELEASED, c"object was already released or not from this pool"))
    }

    /// What comes after a slot in use was taken back and is held.
    pub fn finish_release(&self, index: usize, start: Option<Instant>) -> PyResult<()> {
        let mut result = Ok(());
        if self.has(CLOSED) {
            self.discard(index);
        } else if self.has(MANAGED) {
            result = self.tell_manager_released(index);
            if result.is_err() {
                py::preserving_exception(|| self.discard(index));
            }
        } else {
            self.vacate(index);
        }
        if self.has(STATISTICS) {
            self.inner(|inner| {
                inner.counters.releases += 1;
                if let Some(start) = start {
                    inner.counters.release_time.add(start);
                }
            });
        }
        result
    }

    pub fn start_release(&self) -> Option<Instant> {
        self.start(|counters| counters.releases)
    }

    /// Passes a slot that is held to who waits longest, or else makes it free.
    pub fn vacate(&self, index: usize) {
        if self.has(WAITED_FOR) && self.inner(|inner| inner.slots.is_held(index)) && claim::serve(self, index) {
            return;
        }
        if self.has(CLOSED) {
            // It was closed while the slot was held.
            self.drop_object(index);
        }
        self.inner(|inner| inner.slots.set_free(index));
    }

    pub fn vacate_raised(&self, index: usize) {
        py::preserving_exception(|| self.vacate(index));
    }

    /// Parts with the object of a slot that is held; somebody else may make another one.
    pub fn discard(&self, index: usize) {
        self.empty(index);
        self.vacate(index);
    }

    /// Parts with the object of a slot that stays held.
    pub fn empty(&self, index: usize) {
        if self.object(index).is_some() {
            self.inner(|inner| inner.counters.discarded += 1);
            self.drop_object(index);
        }
    }

    fn drop_object(&self, index: usize) {
        let object = self.inner(|inner| inner.slots.empty(index));
        self.destroy(object);
    }

    /// Tells the manager, and gives the pool's reference back.
    fn destroy(&self, object: Object) {
        // SAFETY: null, or a reference that was the pool's.
        let Ok(object) = (unsafe { Ref::owned(object.cast()) }) else { return };
        if let Some(manager) = self.setting(|settings| &settings.manager) {
            let told = statics::DESTROYED.to_ref().and_then(|name| py::call_method1(&manager, &name, &object));
            if told.is_err() {
                py::write_unraisable(self.as_ptr());
            }
        }
    }

    /// Hands out nothing any more, and parts with all objects that nobody uses.
    pub fn close(&self) {
        if self.has(WARN_LEAKS) {
            self.reclaim_abandoned();
        }
        self.set(CLOSED, true);
        let (objects, handles) = self.inner(|inner| inner.slots.drain_free());
        for object in objects {
            self.destroy(object);
        }
        for handle in handles {
            // SAFETY: a reference that was the pool's.
            drop(unsafe { Ref::owned(handle.cast()) });
        }
        claim::refuse_all(self);
    }

    /// # Safety
    ///
    /// Called by the garbage collector.
    pub unsafe fn traverse(&self, visit: ffi::visitproc, argument: *mut core::ffi::c_void) -> c_int {
        // A visit runs no code of the program, and does not come back here.
        self.inner(|inner| {
            for object in inner.settings.references().chain(inner.slots.owned().map(<*mut _>::cast)) {
                // SAFETY: as the collector demands, with objects that the pool refers to.
                let result = unsafe { visit(object, argument) };
                if result != 0 {
                    return result;
                }
            }
            0
        })
    }

    /// Parts with everything, for good.
    pub fn clear(&self) {
        self.set(CLOSED, true);
        let (slots, settings) =
            self.inner(|inner| (core::mem::take(&mut inner.slots), core::mem::take(&mut inner.settings)));
        for object in slots.owned() {
            // SAFETY: a reference that was the pool's; the slots are nobody's now.
            unsafe { ffi::Py_DECREF(object.cast()) };
        }
        drop(settings);
    }

    /// # Safety
    ///
    /// The pool is being destroyed.
    pub unsafe fn drop_inner(object: *mut PyObject) {
        let pool: *mut Self = object.cast();
        // SAFETY: nobody refers to the pool any more.
        unsafe { ptr::drop_in_place(&raw mut (*pool).inner) };
    }
}

fn type_mismatch(class: &Ref, object: &Ref) -> Raised {
    let raise = || {
        // SAFETY: the type of an object lives at least as long.
        let found = unsafe { Ref::borrowed(ffi::Py_TYPE(object.as_ptr()).cast()) }.ok_or(Raised)?;
        let error = py::call(&statics::TYPE_MISMATCH.to_ref()?, [class, &found])?;
        // SAFETY: class and instance of an exception.
        unsafe { ffi::PyErr_SetObject(statics::TYPE_MISMATCH.get(), error.as_ptr()) };
        PyResult::Ok(())
    };
    match raise() {
        Ok(()) | Err(Raised) => Raised,
    }
}

pub fn no_memory(error: &fastalloc::Error) -> Raised {
    match std::ffi::CString::new(error.to_string()) {
        // SAFETY: `MemoryError` is always alive.
        Ok(text) => py::raise_builtin(unsafe { ffi::PyExc_MemoryError }, &text),
        Err(_) => Raised,
    }
}
