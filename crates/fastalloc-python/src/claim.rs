//! Claims: a place in the line of those who wait, and the slot that comes of it.
//!
//! Who releases an object hands its slot to the first in line, in one step: nobody else can get it in between. While a slot is
//! on its way, a claim owns it. Whatever becomes of its owner, a signal in the middle of Python code included, the claim
//! leaves the line or gives the slot back, at the latest when nobody refers to it any more.
//!
//! The line refers to claims without owning them: a claim that goes leaves it.

use core::cell::Cell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use std::process;
use std::time::{Duration, Instant};

use pyo3_ffi::{self as ffi, PyObject};

use crate::pool::{Pool, WAITED_FOR};
use crate::py::{self, PyResult, Raised, Ref};
use crate::statics;

/// How long a thread waits until it looks whether an object in use has been abandoned. For tasks: `_PATIENCE` in Python.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In line.
    Waiting,
    /// Owns a slot that is held.
    Holding(usize),
    /// The pool was closed, or the owner cannot be reached: there will be nothing.
    Refused,
    /// The slot has been passed on.
    Settled,
}

#[repr(C)]
pub struct Claim {
    head: PyObject,
    /// A reference that the claim owns, or null when it is settled.
    pool: Cell<*mut PyObject>,
    /// What wakes the owner, called when the claim leaves the line: owned, or null.
    waker: Cell<*mut PyObject>,
    state: Cell<State>,
    /// Code of the program has begun to make the object ready: until that is done, it is not fit for others.
    exposed: Cell<bool>,
    /// Which process the owner is in: in a forked child, nobody waits any more.
    process: u32,
}

/// A slot that a claim owns, while something is done with it.
pub struct Held {
    reference: Ref,
    pub index: usize,
}

impl Held {
    pub fn pool(&self) -> &Pool {
        // SAFETY: a pool, which lives as long as `reference`.
        unsafe { Pool::from_ptr(self.reference.as_ptr()) }
    }
}

impl Claim {
    /// # Safety
    ///
    /// `object` is a claim that is alive for `'a`.
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: claims begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    /// The claim in an argument.
    pub fn of(object: &Ref) -> PyResult<&Self> {
        // SAFETY: the object is alive as long as the reference.
        unsafe {
            if ptr::eq(ffi::Py_TYPE(object.as_ptr()), statics::CLAIM.as_type()) {
                return Ok(Self::from_ptr(object.as_ptr()));
            }
            Err(py::raise_builtin(ffi::PyExc_TypeError, c"not a claim"))
        }
    }

    fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Whether it is no longer in line.
    pub fn is_settled(&self) -> bool {
        self.state.get() != State::Waiting
    }

    /// The slot, for code that makes its object ready.
    pub fn expose(&self) -> PyResult<Held> {
        let held = self.held()?;
        self.exposed.set(true);
        Ok(held)
    }

    /// The slot, which stays the claim's.
    pub fn held(&self) -> PyResult<Held> {
        // SAFETY: null, or a pool that the claim refers to.
        let reference = unsafe { Ref::borrowed(self.pool.get()) };
        if let (State::Holding(index), Some(reference)) = (self.state.get(), reference) {
            let held = Held { reference, index };
            if held.pool().inner(|inner| inner.slots.is_held(index)) {
                return Ok(held);
            }
        }
        Err(py::raise(&statics::POOL_CLOSED, c"pool is closed"))
    }

    /// The slot, which is the caller's from now on.
    pub fn take(&self) -> PyResult<Held> {
        let held = self.held()?;
        self.state.set(State::Settled);
        self.forget();
        Ok(held)
    }

    /// Parts with everything; what is dropped may run any code.
    fn forget(&self) {
        for cell in [&self.waker, &self.pool] {
            let reference = cell.replace(ptr::null_mut());
            // SAFETY: null, or owned, and taken out.
            unsafe { ffi::Py_XDECREF(reference) };
        }
    }

    /// Leaves the line, or passes the slot on; without its object, if that is asked for.
    pub fn give_up(&self, discard: bool) {
        let state = self.state.replace(State::Settled);
        // SAFETY: null, or a pool that the claim refers to.
        if let Some(reference) = unsafe { Ref::borrowed(self.pool.get()) } {
            // SAFETY: `reference` outlives it.
            let pool = unsafe { Pool::from_ptr(reference.as_ptr()) };
            match state {
                State::Waiting => leave(pool, self.as_ptr()),
                State::Holding(index) if discard => pool.discard(index),
                State::Holding(index) => pool.vacate(index),
                State::Refused | State::Settled => {}
            }
        }
        self.forget();
    }

    /// Wakes the owner. False if he will never run again.
    fn wake(&self) -> bool {
        // SAFETY: null, or owned.
        let Some(waker) = (unsafe { Ref::borrowed(self.waker.get()) }) else { return true };
        match py::call0(&waker).and_then(|reached| Ok(reached.is_none() || py::is_true(&reached)?)) {
            Ok(reached) => reached,
            Err(Raised) => {
                // Who waits looks from time to time, so nothing is lost. A signal is for whom it was meant.
                // SAFETY: an exception is set; exceptions of Python itself are always alive.
                unsafe {
                    if ffi::PyErr_ExceptionMatches(ffi::PyExc_KeyboardInterrupt) == 0 {
                        py::write_unraisable(waker.as_ptr());
                    } else {
                        ffi::PyErr_Clear();
                        ffi::PyErr_SetInterrupt();
                    }
                }
                true
            }
        }
    }
}

fn new(pool: &Pool, waker: Option<Ref>, state: State) -> PyResult<Ref> {
    // SAFETY: a class of ours; null if there is no memory. Memory is zero: no references yet.
    let object = unsafe { Ref::owned(ffi::PyType_GenericAlloc(statics::CLAIM.as_type(), 0))? };
    let claim: *mut Claim = object.as_ptr().cast();
    // SAFETY: it is a claim that nobody else knows, and the pool is alive.
    unsafe {
        (&raw mut (*claim).state).write(Cell::new(state));
        (&raw mut (*claim).exposed).write(Cell::new(false));
        (*claim).process = process::id();
        (*claim).waker.set(waker.map_or(ptr::null_mut(), Ref::into_ptr));
        (*claim).pool.set(ffi::Py_NewRef(pool.as_ptr()));
    }
    Ok(object)
}

/// A claim on a slot that is held.
pub fn holding(pool: &Pool, index: usize) -> PyResult<Ref> {
    new(pool, None, State::Holding(index)).inspect_err(|Raised| pool.vacate_raised(index))
}

/// Gets in line.
pub fn join(pool: &Pool, waker: Ref) -> PyResult<Ref> {
    // Out of line, if this function fails before the end.
    let claim = new(pool, Some(waker), State::Settled)?;
    let joined = pool.inner(|inner| {
        let has_room = inner.line.try_reserve(1).is_ok();
        if has_room {
            inner.line.push_back(claim.as_ptr());
        }
        has_room
    });
    if !joined {
        // SAFETY: sets an exception.
        unsafe { ffi::PyErr_NoMemory() };
        return Err(Raised);
    }
    Claim::of(&claim)?.state.set(State::Waiting);
    pool.set(WAITED_FOR, true);
    look_again(pool)?;
    Ok(claim)
}

/// Serves the line if there is something to be had: it was released before there was a line, or abandoned.
pub fn look_again(pool: &Pool) -> PyResult<()> {
    if let Some((index, _)) = pool.reserve()? {
        pool.vacate(index);
    }
    Ok(())
}

fn leave(pool: &Pool, claim: *mut PyObject) {
    pool.inner(|inner| {
        if let Some(position) = inner.line.iter().position(|&other| ptr::eq(other, claim)) {
            inner.line.remove(position);
        }
    });
    pool.set(WAITED_FOR, pool.inner(|inner| !inner.line.is_empty()));
}

/// Takes the first out of the line.
fn first(pool: &Pool) -> Option<Ref> {
    let claim = pool.inner(|inner| inner.line.pop_front());
    pool.set(WAITED_FOR, pool.inner(|inner| !inner.line.is_empty()));
    // SAFETY: claims in line are alive: they leave it when they go.
    unsafe { Ref::borrowed(claim?) }
}

/// Hands a slot that is held to the first in line; false if there is nobody.
pub fn serve(pool: &Pool, index: usize) -> bool {
    while let Some(object) = first(pool) {
        let Ok(claim) = Claim::of(&object) else { continue };
        if claim.process != process::id() {
            claim.state.set(State::Refused);
            continue;
        }
        claim.state.set(State::Holding(index));
        if claim.wake() || claim.state.get() != State::Holding(index) {
            return true;
        }
        claim.state.set(State::Refused);
    }
    false
}

/// Tells all in line that the pool is closed.
pub fn refuse_all(pool: &Pool) {
    while let Some(object) = first(pool) {
        if let Ok(claim) = Claim::of(&object) {
            claim.state.set(State::Refused);
            claim.wake();
        }
    }
}

/// Waits in line for a slot, up to so many seconds, or for ever. No Python code runs between the hand-over and the end, so no
/// signal can get between them.
pub fn wait_in_thread(pool: &Pool, seconds: Option<&Ref>) -> PyResult<Held> {
    let lock = py::call0(&py::attribute(&py::import(c"_thread")?, c"allocate_lock")?)?;
    let acquire = py::attribute(&lock, c"acquire")?;
    py::call0(&acquire)?;
    let deadline = match seconds {
        // Beyond all time is for ever.
        Some(seconds) => {
            Duration::try_from_secs_f64(py::to_f64(seconds)?).ok().and_then(|time| Instant::now().checked_add(time))
        }
        None => None,
    };
    let claim = join(pool, py::attribute(&lock, c"release")?)?;
    let waiting = Claim::of(&claim)?;
    while !waiting.is_settled() {
        let left = deadline.map_or(PATIENCE, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            drop(claim);
            return Err(too_late(seconds));
        }
        let pause = py::float(left.min(PATIENCE).as_secs_f64())?;
        // Raises what the handler of a signal raises, if the signal came to this thread.
        py::call(&acquire, [&py::boolean(true), &pause])?;
        if waiting.is_settled() {
            break;
        }
        // SAFETY: runs handlers of signals that came to other threads.
        if unsafe { ffi::PyErr_CheckSignals() } != 0 {
            return Err(Raised);
        }
        look_again(pool)?;
    }
    waiting.take()
}

fn too_late(seconds: Option<&Ref>) -> Raised {
    if let Some(seconds) = seconds {
        // SAFETY: the class and the argument are alive; the text has one place for it.
        unsafe {
            let text = c"no object was released in %R s".as_ptr();
            ffi::PyErr_Format(statics::POOL_TIMEOUT.get(), text, seconds.as_ptr());
        }
    }
    Raised
}

/// A time to wait: `None`, or a `float`. Raises `ValueError` if it is negative.
pub fn seconds(timeout: Ref) -> PyResult<Option<Ref>> {
    if timeout.is_none() {
        return Ok(None);
    }
    // SAFETY: the object is alive, and what is returned is null or a new reference.
    let seconds = unsafe { Ref::owned(ffi::PyNumber_Float(timeout.as_ptr()))? };
    // It may be a NaN.
    if py::to_f64(&seconds)? >= 0.0 {
        return Ok(Some(seconds));
    }
    let text: &CStr = c"timeout must be None or a number of seconds, not negative, got %R";
    // SAFETY: the class and the argument are alive; the text has one place for it.
    unsafe { ffi::PyErr_Format(ffi::PyExc_ValueError, text.as_ptr(), timeout.as_ptr()) };
    Err(Raised)
}

pub unsafe extern "C" fn traverse(object: *mut PyObject, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe {
        let claim = Claim::from_ptr(object);
        for cell in [&claim.pool, &claim.waker] {
            if !cell.get().is_null() {
                let result = visit(cell.get(), argument);
                if result != 0 {
                    return result;
                }
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

pub unsafe extern "C" fn clear(object: *mut PyObject) -> c_int {
    // SAFETY: called by the garbage collector; it refers to the claim.
    let claim = unsafe { Claim::from_ptr(object) };
    py::preserving_exception(|| claim.give_up(claim.exposed.get()));
    0
}

pub unsafe extern "C" fn dealloc(object: *mut PyObject) {
    // SAFETY: nobody refers to the claim any more.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}
