//! What `pool.get_async()` returns: a coroutine in all but the frame.
//!
//! When it is awaited and the pool has an object, that is its result, at once. Otherwise a coroutine written in Python does
//! the rest, waiting included, and this passes on what it is sent.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PySendResult};

use crate::pool::Pool;
use crate::py::{self, PyResult, Raised, Ref, guard};
use crate::statics;
use crate::trash;

#[repr(C)]
pub struct Acquire {
    head: PyObject,
    /// Owned, or null when it is finished.
    pool: Cell<*mut PyObject>,
    /// How long to wait: owned, or null.
    timeout: Cell<*mut PyObject>,
    /// The coroutine that does the rest: owned, or null.
    rest: Cell<*mut PyObject>,
}

impl Acquire {
    /// # Safety
    ///
    /// `object` is one of these, alive for `'a`.
    #[inline(always)]
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: they begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    fn rest(&self) -> Option<Ref> {
        // SAFETY: null, or owned.
        unsafe { Ref::borrowed(self.rest.get()) }
    }

    /// Parts with everything; what is dropped may run any code.
    fn finish(&self) {
        for cell in [&self.pool, &self.timeout, &self.rest] {
            let reference = cell.replace(ptr::null_mut());
            // SAFETY: null, or owned, and taken out.
            unsafe { ffi::Py_XDECREF(reference) };
        }
    }

    /// Makes the coroutine that does the rest. False: it is finished already.
    fn begin_rest(&self) -> PyResult<Ref> {
        // SAFETY: null, or owned.
        let Some(pool) = (unsafe { Ref::borrowed(self.pool.get()) }) else {
            return Err(reused());
        };
        // SAFETY: null, or owned.
        let timeout = unsafe { Ref::borrowed(self.timeout.get()) }.unwrap_or_else(Ref::none);
        let rest = py::call(&statics::cold(c"acquire")?, [&pool, &timeout])?;
        let before = self.rest.replace(rest.clone().into_ptr());
        // SAFETY: null, or owned, if the import has used this awaitable.
        unsafe { ffi::Py_XDECREF(before) };
        Ok(rest)
    }
}

#[cold]
fn reused() -> Raised {
    // SAFETY: `RuntimeError` is always alive.
    py::raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"cannot reuse an awaitable that has been awaited")
}

/// An awaitable for an object of an `AsyncPool`.
pub fn acquire(pool: &Pool, timeout: Option<Ref>) -> PyResult<Ref> {
    // SAFETY: a class of ours. Memory is zero: no references yet.
    let awaitable = unsafe { Ref::owned(ffi::PyType_GenericAlloc(statics::ACQUIRE.as_type(), 0))? };
    // SAFETY: it is one, and the pool is alive.
    unsafe {
        let acquire = Acquire::from_ptr(awaitable.as_ptr());
        acquire.pool.set(ffi::Py_NewRef(pool.as_ptr()));
        acquire.timeout.set(timeout.map_or(ptr::null_mut(), Ref::into_ptr));
    }
    Ok(awaitable)
}

/// One step: true if the value is the result, false if it is for the event loop.
#[inline(always)]
fn step(acquire: &Acquire, argument: *mut PyObject) -> PyResult<(Ref, bool)> {
    let pool = acquire.pool.get();
    if acquire.rest.get().is_null() && !pool.is_null() {
        // SAFETY: owned.
        let pool = unsafe { Pool::from_ptr(pool) };
        if pool.flags.get() == 0 {
            if let Some(object) = pool.inner(|inner| inner.slots.take_fast()) {
                // SAFETY: objects in slots are alive.
                let object = unsafe { Ref::borrowed(object.cast()) }.ok_or(Raised)?;
                acquire.finish();
                return Ok((object, true));
            }
        }
    }
    step_rest(acquire, argument)
}

#[inline(never)]
fn step_rest(acquire: &Acquire, argument: *mut PyObject) -> PyResult<(Ref, bool)> {
    let rest = match acquire.rest() {
        Some(rest) => rest,
        None => acquire.begin_rest()?,
    };
    let mut value = ptr::null_mut();
    // SAFETY: the coroutine is alive, as is the argument.
    let result = unsafe { ffi::PyIter_Send(rest.as_ptr(), argument, &raw mut value) };
    match result {
        PySendResult::PYGEN_NEXT => {
            // SAFETY: a new reference.
            Ok((unsafe { Ref::owned(value)? }, false))
        }
        PySendResult::PYGEN_RETURN => {
            // SAFETY: a new reference.
            let value = unsafe { Ref::owned(value)? };
            acquire.finish();
            Ok((value, true))
        }
        PySendResult::PYGEN_ERROR => {
            py::preserving_exception(|| {
                drop(rest);
                acquire.finish();
            });
            Err(Raised)
        }
    }
}

pub unsafe extern "C" fn send(
    awaitable: *mut PyObject,
    argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> PySendResult {
    // SAFETY: a slot of these awaitables.
    let acquire = unsafe { Acquire::from_ptr(awaitable) };
    let mut is_result = false;
    let value = guard(|| {
        let (value, last) = step(acquire, argument)?;
        is_result = last;
        Ok(value.into_ptr())
    });
    // SAFETY: Python has passed a place for the result.
    unsafe { *result = value };
    if value.is_null() {
        PySendResult::PYGEN_ERROR
    } else if is_result {
        PySendResult::PYGEN_RETURN
    } else {
        PySendResult::PYGEN_NEXT
    }
}

pub unsafe extern "C" fn next(awaitable: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of these awaitables; `None` is alive.
    unsafe { send_method(awaitable, ffi::Py_None()) }
}

pub unsafe extern "C" fn send_method(awaitable: *mut PyObject, argument: *mut PyObject) -> *mut PyObject {
    let mut value = ptr::null_mut();
    // SAFETY: a method of these awaitables.
    match unsafe { send(awaitable, argument, &raw mut value) } {
        PySendResult::PYGEN_NEXT => value,
        // SAFETY: a new reference.
        PySendResult::PYGEN_RETURN => unsafe { stop_iteration(value) },
        PySendResult::PYGEN_ERROR => ptr::null_mut(),
    }
}

/// Raises `StopIteration` with a value, which is taken over. Null: another exception has been set.
///
/// # Safety
///
/// `value` is null, or a reference that nobody else gives back.
pub unsafe fn stop_iteration(value: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: as demanded.
        let value = unsafe { Ref::owned(value)? };
        // SAFETY: `StopIteration` is always alive. The value is passed to its constructor, because a tuple or an exception
        // that is set as a value means something else.
        unsafe {
            let class = Ref::borrowed(ffi::PyExc_StopIteration).ok_or(Raised)?;
            let exception = py::call(&class, [&value])?;
            ffi::PyErr_SetObject(class.as_ptr(), exception.as_ptr());
        }
        Err(Raised)
    })
}

pub unsafe extern "C" fn throw(
    awaitable: *mut PyObject,
    arguments: *mut *mut PyObject,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    guard(|| {
        // SAFETY: a method of these awaitables.
        let acquire = unsafe { Acquire::from_ptr(awaitable) };
        let Some(rest) = acquire.rest() else {
            acquire.finish();
            // SAFETY: Python has passed that many arguments.
            return Err(unsafe { raise_given(arguments, count) });
        };
        let throw = py::attribute(&rest, c"throw")?;
        // SAFETY: Python has passed that many arguments.
        let result =
            unsafe { Ref::owned(ffi::PyObject_Vectorcall(throw.as_ptr(), arguments, count as usize, ptr::null_mut())) };
        match result {
            Ok(value) => Ok(value.into_ptr()),
            Err(Raised) => {
                py::preserving_exception(|| {
                    drop(throw);
                    drop(rest);
                    acquire.finish();
                });
                Err(Raised)
            }
        }
    })
}

/// Raises what was thrown: an exception, or a class and perhaps a value.
///
/// # Safety
///
/// There are `count` arguments.
unsafe fn raise_given(arguments: *const *mut PyObject, count: ffi::Py_ssize_t) -> Raised {
    // SAFETY: as demanded; arguments are alive.
    unsafe {
        let first = if count > 0 { *arguments } else { ptr::null_mut() };
        let second = if count > 1 { *arguments.add(1) } else { ptr::null_mut() };
        if first.is_null() {
            return py::raise_builtin(ffi::PyExc_TypeError, c"throw() takes an exception");
        }
        if ffi::PyExceptionInstance_Check(first) != 0 {
            ffi::PyErr_SetObject(ffi::Py_TYPE(first).cast(), first);
        } else if ffi::PyExceptionClass_Check(first) != 0 {
            if second.is_null() || ptr::eq(second, ffi::Py_None()) {
                ffi::PyErr_SetNone(first);
            } else {
                ffi::PyErr_SetObject(first, second);
            }
        } else {
            return py::raise_builtin(
                ffi::PyExc_TypeError,
                c"exceptions must be classes or instances of BaseException",
            );
        }
        Raised
    }
}

pub unsafe extern "C" fn close(awaitable: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: a method of these awaitables.
        let acquire = unsafe { Acquire::from_ptr(awaitable) };
        if let Some(rest) = acquire.rest() {
            py::call_method(&rest, &statics::CLOSE.to_ref()?)?;
        }
        acquire.finish();
        Ok(Ref::none().into_ptr())
    })
}

/// `__await__` of an awaitable that is its own iterator.
pub unsafe extern "C" fn itself(awaitable: *mut PyObject) -> *mut PyObject {
    // SAFETY: alive, as an argument.
    unsafe { ffi::Py_NewRef(awaitable) }
}

pub unsafe extern "C" fn traverse(awaitable: *mut PyObject, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe {
        let acquire = Acquire::from_ptr(awaitable);
        for cell in [&acquire.pool, &acquire.timeout, &acquire.rest] {
            if !cell.get().is_null() {
                let result = visit(cell.get(), argument);
                if result != 0 {
                    return result;
                }
            }
        }
        visit(ffi::Py_TYPE(awaitable).cast(), argument)
    }
}

pub unsafe extern "C" fn clear(awaitable: *mut PyObject) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe { Acquire::from_ptr(awaitable).finish() };
    0
}

pub unsafe extern "C" fn dealloc(awaitable: *mut PyObject) {
    // SAFETY: nobody refers to it any more.
    unsafe {
        ffi::PyObject_GC_UnTrack(awaitable.cast());
        let acquire = Acquire::from_ptr(awaitable);
        if acquire.pool.get().is_null() && acquire.rest.get().is_null() {
            // Nothing can follow from this.
            destroy(awaitable);
        } else {
            trash::destroy(awaitable, destroy);
        }
    }
}

unsafe fn destroy(awaitable: *mut PyObject) {
    // SAFETY: as above.
    unsafe {
        py::preserving_exception(|| Acquire::from_ptr(awaitable).finish());
        let class = ffi::Py_TYPE(awaitable);
        ffi::PyObject_GC_Del(awaitable.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// `await` on what has nothing to wait for: `None`, at once.
pub unsafe extern "C" fn done_send(
    _done: *mut PyObject,
    _argument: *mut PyObject,
    result: *mut *mut PyObject,
) -> PySendResult {
    // SAFETY: Python has passed a place for the result.
    unsafe { *result = ffi::Py_NewRef(ffi::Py_None()) };
    PySendResult::PYGEN_RETURN
}

/// Null without an exception means `None`.
pub unsafe extern "C" fn done_next(_done: *mut PyObject) -> *mut PyObject {
    ptr::null_mut()
}

pub unsafe extern "C" fn done_send_method(_done: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: `StopIteration` is always alive.
    unsafe { ffi::PyErr_SetNone(ffi::PyExc_StopIteration) };
    ptr::null_mut()
}

pub unsafe extern "C" fn done_throw(
    _done: *mut PyObject,
    arguments: *mut *mut PyObject,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: Python has passed that many arguments.
    unsafe { raise_given(arguments, count) };
    ptr::null_mut()
}

pub unsafe extern "C" fn done_close(_done: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: `None` is always alive.
    unsafe { ffi::Py_NewRef(ffi::Py_None()) }
}

pub unsafe extern "C" fn done_dealloc(done: *mut PyObject) {
    // SAFETY: nobody refers to it any more.
    unsafe {
        let class = ffi::Py_TYPE(done);
        ffi::PyObject_Free(done.cast());
        ffi::Py_DECREF(class.cast());
    }
}
