//! Functions of the module for the parts of pools that are written in Python: `fastalloc._cold`.
//!
//! Slots that are held are known to Python by their index. A wrong index raises, or does nothing: it cannot do harm to memory.

use pyo3_ffi::{self as ffi, PyObject};

use crate::classes::pool_of;
use crate::handle;
use crate::pool::Pool;
use crate::py::{self, PyResult, Raised, Ref, guard};
use crate::statics;

type Arguments = *mut *mut PyObject;

/// A pool, and as many more arguments.
///
/// # Safety
///
/// The arguments are those that Python has passed.
unsafe fn take<'a, const N: usize>(arguments: Arguments, count: ffi::Py_ssize_t) -> PyResult<(&'a Pool, [Ref; N])> {
    if count != N as ffi::Py_ssize_t + 1 {
        // SAFETY: `TypeError` is always alive.
        return Err(py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"wrong number of arguments"));
    }
    // SAFETY: that many arguments, all alive.
    unsafe {
        let pool = pool_of(*arguments)?;
        let rest = core::array::from_fn(|position| Ref::borrowed(*arguments.add(position + 1)));
        if rest.iter().any(Option::is_none) {
            return Err(Raised);
        }
        Ok((pool, rest.map(Option::unwrap)))
    }
}

fn held(pool: &Pool, index: &Ref) -> PyResult<usize> {
    let index = py::to_index(index)?;
    if pool.inner(|inner| inner.slots.is_held(index)) {
        return Ok(index);
    }
    Err(py::raise(&statics::POOL_CLOSED, c"pool is closed"))
}

fn none() -> PyResult<*mut PyObject> {
    Ok(Ref::none().into_ptr())
}

/// `reserve(pool)`: holds a slot; `(index, needs an object)`, or `None`.
pub unsafe extern "C" fn reserve(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        let Some((index, is_new)) = pool.reserve()? else { return none() };
        match py::integer(index).and_then(|index| py::tuple([index, py::boolean(is_new)])) {
            Ok(tuple) => Ok(tuple.into_ptr()),
            Err(Raised) => {
                pool.vacate_raised(index);
                Err(Raised)
            }
        }
    })
}

/// `ready(pool, index, is_new)`: makes the object ready to be handed out, or raises and gives the slot up.
pub unsafe extern "C" fn ready(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        let index = held(pool, &index)?;
        pool.ready(index, pool.object(index).is_none())?;
        none()
    })
}

/// `fill(pool, index, object)`: puts an object in.
pub unsafe extern "C" fn fill(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index, object]) = unsafe { take(arguments, count)? };
        pool.fill(held(pool, &index)?, object)?;
        none()
    })
}

/// `object_in(pool, index)`: the object in a slot that is held, or `None`.
pub unsafe extern "C" fn object_in(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        Ok(pool.object(held(pool, &index)?).unwrap_or_else(Ref::none).into_ptr())
    })
}

/// `has_object(pool, index)`: whether a slot that is held has one.
pub unsafe extern "C" fn has_object(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        Ok(py::boolean(pool.object(held(pool, &index)?).is_some()).into_ptr())
    })
}

/// `is_fit(pool, index)`: whether the manager lets an object be used again.
pub unsafe extern "C" fn is_fit(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        Ok(py::boolean(pool.is_fit(held(pool, &index)?)?).into_ptr())
    })
}

/// `empty(pool, index)`: parts with the object of a slot, which stays held.
pub unsafe extern "C" fn empty(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        pool.empty(held(pool, &index)?);
        none()
    })
}

/// `has_out(pool, object)`: whether it is in use.
pub unsafe extern "C" fn has_out(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [object]) = unsafe { take(arguments, count)? };
        Ok(py::boolean(pool.inner(|inner| inner.slots.has_out(object.as_ptr().cast()))).into_ptr())
    })
}

/// `count_reset(pool)`.
pub unsafe extern "C" fn count_reset(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        pool.inner(|inner| inner.counters.resets += 1);
        none()
    })
}

/// `hand_out(pool, index)`: the object, in use from now on.
pub unsafe extern "C" fn hand_out(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        Ok(pool.hand_out(held(pool, &index)?, None)?.into_ptr())
    })
}

/// `lend(pool, index, handle)`: as `hand_out`, to a handle that waits for an object.
pub unsafe extern "C" fn lend(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index, handle]) = unsafe { take(arguments, count)? };
        let index = held(pool, &index)?;
        if !handle::is_handle(handle.as_ptr()) || !handle::is_pending(&handle) {
            return Err(py::raise(&statics::ALREADY_RELEASED, c"object has already been released"));
        }
        handle::attach(pool, index, &handle)?;
        pool.count_allocation(None);
        Ok(pool.object(index).unwrap_or_else(Ref::none).into_ptr())
    })
}

/// `vacate(pool, index)`: passes a slot that is held to the next who waits, or makes it free.
pub unsafe extern "C" fn vacate(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        pool.vacate(py::to_index(&index)?);
        none()
    })
}

/// `discard(pool, index)`: parts with the object, and does the same.
pub unsafe extern "C" fn discard(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [index]) = unsafe { take(arguments, count)? };
        pool.discard(py::to_index(&index)?);
        none()
    })
}

/// `reclaim(pool)`: takes back objects that nobody refers to; how many they were.
pub unsafe extern "C" fn reclaim(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        Ok(py::integer(pool.reclaim_abandoned())?.into_ptr())
    })
}

/// `drop_idle(pool)`: parts with one object that nobody uses; false if there is none.
pub unsafe extern "C" fn drop_idle(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        pool.check_open()?;
        let held = pool.inner(|inner| if inner.slots.available() == 0 { None } else { Some(inner.slots.take()) });
        match held {
            Some(crate::slots::Found::Object(index) | crate::slots::Found::Room(index)) => {
                let had = pool.object(index).is_some();
                pool.discard(index);
                Ok(py::boolean(had).into_ptr())
            }
            _ => Ok(py::boolean(false).into_ptr()),
        }
    })
}

/// `wait(pool, change)`: one more or one less waits.
pub unsafe extern "C" fn wait(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, [more]) = unsafe { take(arguments, count)? };
        let waiting = pool.waiting.get();
        pool.waiting.set(if py::is_true(&more)? { waiting + 1 } else { waiting.saturating_sub(1) });
        pool.set(crate::pool::WAITED_FOR, pool.waiting.get() > 0);
        none()
    })
}

/// `waiters(pool)`: the queue of those who wait.
pub unsafe extern "C" fn waiters(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        match pool.inner(|inner| inner.settings.waiters.clone()) {
            Some(waiters) => Ok(waiters.into_ptr()),
            None => Err(py::raise(&statics::POOL_CLOSED, c"pool is closed")),
        }
    })
}

/// `settings(pool)`: object type, factory, reset method, statistics, manager.
pub unsafe extern "C" fn settings(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        let [class, factory, reset, manager] = pool.inner(|inner| {
            let settings = &inner.settings;
            [&settings.class, &settings.factory, &settings.reset, &settings.manager].map(Option::clone)
        });
        let statistics = py::boolean(pool.has(crate::pool::STATISTICS));
        let [class, factory, reset, manager] =
            [class, factory, reset, manager].map(|setting| setting.unwrap_or_else(Ref::none));
        Ok(py::tuple([class, factory, reset, statistics, manager])?.into_ptr())
    })
}

/// `counters(pool)`: all that has been counted.
pub unsafe extern "C" fn counters(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        let (counters, in_use, capacity) =
            pool.inner(|inner| (inner.counters, inner.slots.in_use(), inner.slots.capacity()));
        let values = [
            counters.allocations,
            counters.releases,
            counters.resets,
            counters.growths,
            counters.peak_in_use as u64,
            counters.peak_capacity as u64,
            in_use as u64,
            capacity as u64,
            counters.allocation_time.total(counters.allocations),
            counters.release_time.total(counters.releases),
            counters.reclaimed,
            counters.discarded,
        ];
        // SAFETY: new references, or null.
        let items = values.map(|value| unsafe { Ref::owned(ffi::PyLong_FromUnsignedLongLong(value)) });
        if items.iter().any(Result::is_err) {
            return Err(Raised);
        }
        Ok(py::tuple(items.map(Result::unwrap))?.into_ptr())
    })
}

/// `reset_counters(pool)`.
pub unsafe extern "C" fn reset_counters(
    _: *mut PyObject,
    arguments: Arguments,
    count: ffi::Py_ssize_t,
) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        pool.inner(|inner| inner.counters = crate::pool::Counters::default());
        none()
    })
}

/// `bookkeeping(pool)`: the bytes that it takes.
pub unsafe extern "C" fn bookkeeping(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let (pool, []) = unsafe { take(arguments, count)? };
        Ok(py::integer(pool.inner(|inner| inner.slots.bytes()))?.into_ptr())
    })
}

type Function = unsafe extern "C" fn(*mut PyObject, Arguments, ffi::Py_ssize_t) -> *mut PyObject;

pub fn methods() -> Vec<ffi::PyMethodDef> {
    let functions: [(&'static core::ffi::CStr, Function, &'static core::ffi::CStr); 21] = [
        (c"reserve", reserve, c"reserve(pool, /)\n--\n\n"),
        (c"ready", ready, c"ready(pool, index, /)\n--\n\n"),
        (c"fill", fill, c"fill(pool, index, obj, /)\n--\n\n"),
        (c"object_in", object_in, c"object_in(pool, index, /)\n--\n\n"),
        (c"has_object", has_object, c"has_object(pool, index, /)\n--\n\n"),
        (c"is_fit", is_fit, c"is_fit(pool, index, /)\n--\n\n"),
        (c"empty", empty, c"empty(pool, index, /)\n--\n\n"),
        (c"has_out", has_out, c"has_out(pool, obj, /)\n--\n\n"),
        (c"count_reset", count_reset, c"count_reset(pool, /)\n--\n\n"),
        (c"hand_out", hand_out, c"hand_out(pool, index, /)\n--\n\n"),
        (c"lend", lend, c"lend(pool, index, handle, /)\n--\n\n"),
        (c"vacate", vacate, c"vacate(pool, index, /)\n--\n\n"),
        (c"discard", discard, c"discard(pool, index, /)\n--\n\n"),
        (c"reclaim", reclaim, c"reclaim(pool, /)\n--\n\n"),
        (c"drop_idle", drop_idle, c"drop_idle(pool, /)\n--\n\n"),
        (c"wait", wait, c"wait(pool, more, /)\n--\n\n"),
        (c"waiters", waiters, c"waiters(pool, /)\n--\n\n"),
        (c"settings", settings, c"settings(pool, /)\n--\n\n"),
        (c"counters", counters, c"counters(pool, /)\n--\n\n"),
        (c"reset_counters", reset_counters, c"reset_counters(pool, /)\n--\n\n"),
        (c"bookkeeping", bookkeeping, c"bookkeeping(pool, /)\n--\n\n"),
    ];
    let mut methods: Vec<_> = functions
        .into_iter()
        .map(|(name, function, signature)| ffi::PyMethodDef {
            ml_name: py::name(name),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: function },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: signature.as_ptr(),
        })
        .collect();
    methods.push(ffi::PyMethodDef::zeroed());
    methods
}
