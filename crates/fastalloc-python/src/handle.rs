//! Handles: `with pool.allocate() as object`, and `async with`.
//!
//! A slot keeps the handle that was made for it, for the next time. An idle handle knows no pool; an active one owns a
//! reference to its pool, and its slot points to it without owning it: if it is dropped, its destructor gives the slot back.
//!
//! Until 3.13, `with` makes an object of each of the methods `__enter__` and `__exit__`. Here both are descriptors that return
//! the handle itself, which is called without arguments in order to enter and with three in order to leave. Since 3.14
//! there are no such objects to be saved, and both are methods.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::awaitable;
use crate::pool::{ASYNC_ONLY, Pool};
use crate::py::{self, PyResult, Ref, guard};
use crate::statics;
use crate::trash;

#[repr(C)]
pub struct Handle {
    head: PyObject,
    pub vectorcall: Option<ffi::vectorcallfunc>,
    pub weak_references: *mut PyObject,
    /// A reference that the handle owns, or null.
    pool: Cell<*mut PyObject>,
    /// The slot, or `PENDING`.
    index: Cell<usize>,
}

/// Of a handle of an `AsyncPool` that has no object yet.
const PENDING: usize = usize::MAX;

impl Handle {
    /// # Safety
    ///
    /// `object` is a handle that is alive for `'a`.
    #[inline(always)]
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: handles begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    fn as_ptr(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The pool of an active handle.
    ///
    /// # Safety
    ///
    /// The pool is alive as long as the handle does not give its reference back; who needs it longer makes a reference.
    #[inline(always)]
    unsafe fn pool<'a>(&self) -> Option<&'a Pool> {
        let pool = self.pool.get();
        // SAFETY: null, or a pool that the handle refers to.
        if pool.is_null() { None } else { Some(unsafe { Pool::from_ptr(pool) }) }
    }

    /// Makes the handle idle, and returns its reference to the pool.
    #[inline(always)]
    fn deactivate(&self) -> *mut PyObject {
        self.pool.replace(ptr::null_mut())
    }
}

/// Whether it is one of the handles made here.
pub fn is_handle(object: *mut PyObject) -> bool {
    // SAFETY: the object is alive.
    let class = unsafe { ffi::Py_TYPE(object) };
    ptr::eq(class, statics::HANDLE.as_type()) || ptr::eq(class, statics::ASYNC_HANDLE.as_type())
}

/// Whether nobody but the pool can reach a handle of it: neither by a reference nor by a weak one.
///
/// # Safety
///
/// The handle is alive.
#[inline(always)]
unsafe fn is_nobodys(handle: *mut PyObject) -> bool {
    // SAFETY: the caller says so.
    let references = unsafe { ffi::Py_REFCNT(handle) };
    // SAFETY: as above.
    references == 1 && unsafe { (*handle.cast::<Handle>()).weak_references }.is_null()
}

/// Takes an object out of a pool, and returns the handle that has it.
///
/// # Safety
///
/// `class` is the class of handles of this pool.
#[inline(always)]
pub unsafe fn allocate(pool: &Pool, class: *mut PyTypeObject) -> *mut PyObject {
    if pool.flags.get() == 0 {
        // SAFETY: handles in slots are alive.
        let lent = pool.inner(|inner| inner.slots.lend_fast(|handle| unsafe { is_nobodys(handle.cast()) }));
        if let Some((index, handle)) = lent {
            if !handle.is_null() {
                let handle: *mut PyObject = handle.cast();
                // SAFETY: handles in slots are handles, and this one is alive: it was the pool's.
                let active = unsafe { Handle::from_ptr(handle) };
                active.index.set(index);
                // SAFETY: the pool is alive. An idle handle has none.
                active.pool.set(unsafe { ffi::Py_NewRef(pool.as_ptr()) });
                return handle;
            }
            return guard(|| lend(pool, index, class).map(Ref::into_ptr));
        }
    }
    guard(|| {
        let start = pool.start_allocation();
        pool.check_not_async()?;
        let index = pool.prepare()?;
        let handle = lend(pool, index, class)?;
        pool.count_allocation(start);
        Ok(handle.into_ptr())
    })
}

/// Takes an object out if there is one; otherwise the handle waits for it in `__aenter__`.
///
/// # Safety
///
/// The pool is of the class `AsyncPool`.
#[inline(always)]
pub unsafe fn allocate_async(pool: &Pool) -> *mut PyObject {
    if pool.flags.get() == 0 && pool.inner(|inner| inner.slots.available()) > 0 {
        // SAFETY: as demanded.
        return unsafe { allocate(pool, statics::ASYNC_HANDLE.as_type()) };
    }
    guard(|| {
        pool.check_open()?;
        if pool.has(ASYNC_ONLY) {
            return Ok(pending(pool)?.into_ptr());
        }
        let start = pool.start_allocation();
        let Some(index) = pool.try_prepare()? else { return Ok(pending(pool)?.into_ptr()) };
        let handle = lend(pool, index, statics::ASYNC_HANDLE.as_type())?;
        pool.count_allocation(start);
        Ok(handle.into_ptr())
    })
}

/// Lends a slot that is held to a new handle.
#[inline(never)]
pub fn lend(pool: &Pool, index: usize, class: *mut PyTypeObject) -> PyResult<Ref> {
    let handle = match new(class) {
        Ok(handle) => handle,
        Err(raised) => {
            pool.vacate_raised(index);
            return Err(raised);
        }
    };
    attach(pool, index, &handle)?;
    Ok(handle)
}

/// Lends a slot that is held to a handle that is idle, or gives the slot up.
pub fn attach(pool: &Pool, index: usize, handle: &Ref) -> PyResult<()> {
    if let Err(raised) = pool.note_taken(index).and_then(|()| pool.check_open()) {
        pool.vacate_raised(index);
        return Err(raised);
    }
    // SAFETY: callers have seen that it is a handle.
    let active = unsafe { Handle::from_ptr(handle.as_ptr()) };
    let Some(before) = pool.inner(|inner| inner.slots.lend(index, handle.as_ptr().cast())) else {
        let raised = py::raise(&statics::POOL_CLOSED, c"pool is closed");
        pool.vacate_raised(index);
        return Err(raised);
    };
    active.index.set(index);
    // SAFETY: the pool is alive.
    let idle = active.pool.replace(unsafe { ffi::Py_NewRef(pool.as_ptr()) });
    // SAFETY: null, or references that the pool or the handle owned.
    unsafe {
        ffi::Py_XDECREF(idle);
        ffi::Py_XDECREF(before.cast());
    }
    Ok(())
}

fn new(class: *mut PyTypeObject) -> PyResult<Ref> {
    // SAFETY: a class of ours; null if there is no memory. Memory is zero: no pool, no weak references.
    let handle = unsafe { Ref::owned(ffi::PyType_GenericAlloc(class, 0))? };
    // SAFETY: it is a handle that nobody else knows.
    unsafe {
        let raw: *mut Handle = handle.as_ptr().cast();
        (*raw).vectorcall = Some(if ptr::eq(class, statics::HANDLE.as_type()) { vectorcall } else { vectorcall_async });
    }
    Ok(handle)
}

/// A handle of an `AsyncPool` without an object: `__aenter__` waits for one.
fn pending(pool: &Pool) -> PyResult<Ref> {
    let handle = new(statics::ASYNC_HANDLE.as_type())?;
    // SAFETY: it is a handle, and the pool is alive.
    unsafe {
        let active = Handle::from_ptr(handle.as_ptr());
        active.index.set(PENDING);
        active.pool.set(ffi::Py_NewRef(pool.as_ptr()));
    }
    Ok(handle)
}

/// # Safety
///
/// A handle that is alive.
#[inline(always)]
unsafe fn object_of(handle: *mut PyObject) -> *mut PyObject {
    // SAFETY: as demanded.
    let active = unsafe { Handle::from_ptr(handle) };
    // SAFETY: it is used before anything can happen.
    if let Some(pool) = unsafe { active.pool() } {
        let index = active.index.get();
        let object = pool.inner(|inner| {
            if inner.slots.is_lent_to(index, handle.cast()) { inner.slots.object(index) } else { ptr::null_mut() }
        });
        if !object.is_null() {
            // SAFETY: objects in slots are alive.
            return unsafe { ffi::Py_NewRef(object.cast()) };
        }
    }
    released()
}

#[cold]
fn released() -> *mut PyObject {
    py::raise(&statics::ALREADY_RELEASED, c"object has already been released");
    ptr::null_mut()
}

/// Gives the object back; false with an exception.
///
/// # Safety
///
/// A handle that is alive, and that the caller refers to.
#[inline(always)]
unsafe fn give_back(handle: *mut PyObject) -> bool {
    // SAFETY: as demanded.
    let active = unsafe { Handle::from_ptr(handle) };
    // SAFETY: used before the reference is given back.
    if let Some(pool) = unsafe { active.pool() } {
        if pool.flags.get() == 0 && pool.inner(|inner| inner.slots.reclaim_fast(active.index.get(), handle.cast())) {
            // SAFETY: the slot keeps the handle, and has a reference to it now. What the handle had of the pool goes at last.
            unsafe {
                ffi::Py_INCREF(handle);
                ffi::Py_DECREF(active.deactivate());
            }
            return true;
        }
    }
    give_back_slowly(active)
}

#[inline(never)]
fn give_back_slowly(active: &Handle) -> bool {
    let done: c_int = guard(|| {
        let handle = active.as_ptr();
        // SAFETY: null, or a pool. From here on the reference is ours, and nobody else gives the object back.
        let Ok(reference) = (unsafe { Ref::owned(active.deactivate()) }) else {
            released();
            return Err(py::Raised);
        };
        // SAFETY: `reference` outlives it.
        let pool = unsafe { Pool::from_ptr(reference.as_ptr()) };
        let start = pool.start_release();
        if !pool.inner(|inner| inner.slots.reclaim(active.index.get(), handle.cast())) {
            released();
            return Err(py::Raised);
        }
        let result = pool.finish_release(active.index.get(), start);
        if pool.inner(|inner| inner.slots.keep_handle(active.index.get(), handle.cast())) {
            // SAFETY: the handle is alive.
            unsafe { ffi::Py_INCREF(handle) };
        }
        result.map(|()| 0)
    });
    done == 0
}

/// The caller refers to the handle. Leaves quietly if the object has been given back through the handle.
#[inline(always)]
unsafe fn exit(handle: *mut PyObject) -> *mut PyObject {
    // SAFETY: as demanded of the caller.
    unsafe {
        if !Handle::from_ptr(handle).pool.get().is_null() && !give_back(handle) {
            return ptr::null_mut();
        }
        ffi::Py_NewRef(ffi::Py_None())
    }
}

unsafe extern "C" fn vectorcall(
    handle: *mut PyObject,
    _arguments: *const *mut PyObject,
    count: usize,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: Python calls this with a handle that its caller refers to.
    unsafe {
        match ffi::PyVectorcall_NARGS(count) {
            0 if names.is_null() => object_of(handle),
            3 if names.is_null() => exit(handle),
            _ => not_callable(),
        }
    }
}

unsafe extern "C" fn vectorcall_async(
    handle: *mut PyObject,
    _arguments: *const *mut PyObject,
    count: usize,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        match ffi::PyVectorcall_NARGS(count) {
            0 if names.is_null() => async_enter(handle, ptr::null_mut()),
            3 if names.is_null() => async_exit_now(handle),
            _ => not_callable(),
        }
    }
}

#[cold]
fn not_callable() -> *mut PyObject {
    // SAFETY: `TypeError` is always alive.
    py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"handles are context managers, not functions");
    ptr::null_mut()
}

pub unsafe extern "C" fn get(handle: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of handles.
    unsafe { object_of(handle) }
}

pub unsafe extern "C" fn release(handle: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of handles; the caller refers to this one.
    unsafe { if give_back(handle) { ffi::Py_NewRef(ffi::Py_None()) } else { ptr::null_mut() } }
}

pub unsafe extern "C" fn exit_method(
    handle: *mut PyObject,
    _arguments: *mut *mut PyObject,
    _count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: a method of handles; the caller refers to this one.
    unsafe { exit(handle) }
}

/// An awaitable for the object: the handle itself, unless it has to wait.
pub unsafe extern "C" fn async_enter(handle: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of handles.
    let active = unsafe { Handle::from_ptr(handle) };
    if active.pool.get().is_null() {
        return released();
    }
    if active.index.get() == PENDING {
        return guard(|| {
            // SAFETY: both are alive.
            let (pool, handle) = unsafe { (Ref::borrowed(active.pool.get()), Ref::borrowed(handle)) };
            let (Some(pool), Some(handle)) = (pool, handle) else { return Err(py::Raised) };
            Ok(py::call(&statics::cold(c"enter")?, [&pool, &handle])?.into_ptr())
        });
    }
    // SAFETY: the handle is alive.
    unsafe { ffi::Py_NewRef(handle) }
}

unsafe fn async_exit_now(handle: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of handles; the caller refers to this one.
    unsafe {
        let done = exit(handle);
        if done.is_null() {
            return done;
        }
        ffi::Py_DECREF(done);
        ffi::Py_NewRef(statics::DONE.get())
    }
}

/// Gives the object back at once, and returns an awaitable that has nothing to wait for.
pub unsafe extern "C" fn async_exit(
    handle: *mut PyObject,
    _arguments: *mut *mut PyObject,
    _count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { async_exit_now(handle) }
}

/// `await handle`, after `__aenter__`: the object, at once.
pub unsafe extern "C" fn send(
    handle: *mut PyObject,
    _argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> ffi::PySendResult {
    // SAFETY: a slot of handles.
    unsafe {
        *result = object_of(handle);
        if (*result).is_null() { ffi::PySendResult::PYGEN_ERROR } else { ffi::PySendResult::PYGEN_RETURN }
    }
}

pub unsafe extern "C" fn next(handle: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of handles.
    unsafe { awaitable::stop_iteration(object_of(handle)) }
}

/// Whether the handle waits for its first object.
pub fn is_pending(handle: &Ref) -> bool {
    // SAFETY: callers have seen that it is a handle.
    let active = unsafe { Handle::from_ptr(handle.as_ptr()) };
    active.index.get() == PENDING && !active.pool.get().is_null()
}

pub unsafe extern "C" fn repr(handle: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of handles.
    unsafe {
        let released = Handle::from_ptr(handle).pool.get().is_null();
        let name = if ptr::eq(ffi::Py_TYPE(handle), statics::HANDLE.as_type()) {
            c"ContextHandle(released=%s)"
        } else {
            c"AsyncContextHandle(released=%s)"
        };
        ffi::PyUnicode_FromFormat(name.as_ptr(), if released { c"True".as_ptr() } else { c"False".as_ptr() })
    }
}

pub unsafe extern "C" fn traverse(handle: *mut PyObject, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe {
        let pool = Handle::from_ptr(handle).pool.get();
        if !pool.is_null() {
            let result = visit(pool, argument);
            if result != 0 {
                return result;
            }
        }
        visit(ffi::Py_TYPE(handle).cast(), argument)
    }
}

pub unsafe extern "C" fn clear(handle: *mut PyObject) -> c_int {
    // SAFETY: called by the garbage collector; it refers to the handle.
    unsafe { abandon(Handle::from_ptr(handle)) };
    0
}

/// Gives the object back, if the handle has one, and tells nobody if that fails.
fn abandon(active: &Handle) {
    // SAFETY: null, or a reference that the handle owned.
    let Ok(reference) = (unsafe { Ref::owned(active.deactivate()) }) else { return };
    py::preserving_exception(|| {
        // SAFETY: `reference` outlives it.
        let pool = unsafe { Pool::from_ptr(reference.as_ptr()) };
        let index = active.index.get();
        if pool.inner(|inner| inner.slots.reclaim(index, active.as_ptr().cast())) {
            pool.inner(|inner| inner.counters.reclaimed += 1);
            pool.warn_of_leak(index);
            let result: c_int = guard(|| pool.finish_release(index, None).map(|()| 0));
            if result != 0 {
                py::write_unraisable(reference.as_ptr());
            }
        }
        drop(reference);
    });
}

pub unsafe extern "C" fn dealloc(handle: *mut PyObject) {
    // SAFETY: nobody refers to the handle any more.
    unsafe {
        ffi::PyObject_GC_UnTrack(handle.cast());
        trash::destroy(handle, destroy);
    }
}

unsafe fn destroy(handle: *mut PyObject) {
    // SAFETY: as above.
    unsafe {
        if !(*handle.cast::<Handle>()).weak_references.is_null() {
            py::preserving_exception(|| ffi::PyObject_ClearWeakRefs(handle));
        }
        abandon(Handle::from_ptr(handle));
        let class = ffi::Py_TYPE(handle);
        ffi::PyObject_GC_Del(handle.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// A descriptor that returns the object through which it is looked up.
#[repr(C)]
pub struct SelfReturning {
    head: PyObject,
    /// What is returned by the class: a function that takes the handle first.
    function: *mut PyObject,
}

pub unsafe extern "C" fn self_returning_get(
    descriptor: *mut PyObject,
    object: *mut PyObject,
    _class: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: a slot of these descriptors.
    unsafe {
        if object.is_null() || ptr::eq(object, ffi::Py_None()) {
            return ffi::Py_NewRef((*descriptor.cast::<SelfReturning>()).function);
        }
        ffi::Py_NewRef(object)
    }
}

pub unsafe extern "C" fn self_returning_dealloc(descriptor: *mut PyObject) {
    // SAFETY: nobody refers to the descriptor any more.
    unsafe {
        ffi::Py_XDECREF((*descriptor.cast::<SelfReturning>()).function);
        let class = ffi::Py_TYPE(descriptor);
        ffi::PyObject_Free(descriptor.cast());
        ffi::Py_DECREF(class.cast());
    }
}

pub fn self_returning(function: Ref) -> PyResult<Ref> {
    // SAFETY: a class of ours.
    unsafe {
        let descriptor = Ref::owned(ffi::PyType_GenericAlloc(statics::SELF_RETURNING.as_type(), 0))?;
        (*descriptor.as_ptr().cast::<SelfReturning>()).function = function.into_ptr();
        Ok(descriptor)
    }
}
