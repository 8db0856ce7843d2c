//! Functions of the module for the parts of pools that are written in Python: `fastalloc._cold`.
//!
//! Slots that are held are known to Python by the claim that owns them.

use pyo3_ffi::{self as ffi, PyObject};

use crate::claim::{self, Claim};
use crate::classes::pool_of;
use crate::handle;
use crate::pool::Pool;
use crate::py::{self, PyResult, Raised, Ref, guard};
use crate::slots::Object;
use crate::statics;

type Arguments = *mut *mut PyObject;

/// All arguments, of which there must be that many.
///
/// # Safety
///
/// The arguments are those that Python has passed.
unsafe fn take_all<const N: usize>(arguments: Arguments, count: ffi::Py_ssize_t) -> PyResult<[Ref; N]> {
    if count != N as ffi::Py_ssize_t {
        // SAFETY: `TypeError` is always alive.
        return Err(py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"wrong number of arguments"));
    }
    // SAFETY: that many arguments, all alive.
    let references: [Option<Ref>; N] =
        core::array::from_fn(|position| unsafe { Ref::borrowed(*arguments.add(position)) });
    if references.iter().any(Option::is_none) {
        return Err(Raised);
    }
    Ok(references.map(Option::unwrap))
}

/// A pool, and no more arguments.
///
/// # Safety
///
/// As for `take_all`, and the argument outlives `'a`.
unsafe fn take_pool<'a>(arguments: Arguments, count: ffi::Py_ssize_t) -> PyResult<&'a Pool> {
    // SAFETY: as demanded.
    unsafe {
        let [pool] = take_all(arguments, count)?;
        pool_of(pool.as_ptr())
    }
}

fn none() -> PyResult<*mut PyObject> {
    Ok(Ref::none().into_ptr())
}

/// `reserve(pool)`: a claim on a slot that is held, or `None`.
pub unsafe extern "C" fn reserve(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
        match pool.reserve()? {
            Some((index, _)) => Ok(claim::holding(pool, index)?.into_ptr()),
            None => none(),
        }
    })
}

/// `join(pool, waker)`: a claim at the end of the line. The waker is called when it is no longer in line; if that returns false,
/// nobody will come for what it got.
pub unsafe extern "C" fn join(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [pool, waker] = unsafe { take_all(arguments, count)? };
        // SAFETY: `pool` outlives it.
        Ok(claim::join(unsafe { pool_of(pool.as_ptr())? }, waker)?.into_ptr())
    })
}

/// `look_again(pool)`: serves the line if there is something to be had.
pub unsafe extern "C" fn look_again(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        claim::look_again(unsafe { take_pool(arguments, count)? })?;
        none()
    })
}

/// `waiting(pool)`: how many are in line.
pub unsafe extern "C" fn waiting(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
        Ok(py::integer(pool.inner(|inner| inner.line.len()))?.into_ptr())
    })
}

/// `is_settled(claim)`: whether it is no longer in line.
pub unsafe extern "C" fn is_settled(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        Ok(py::boolean(Claim::of(&claim)?.is_settled()).into_ptr())
    })
}

/// `fill(claim, object)`: puts an object in.
pub unsafe extern "C" fn fill(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim, object] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.expose()?;
        held.pool().fill(held.index, object)?;
        none()
    })
}

/// `object_in(claim)`: the object in the slot, or `None`.
pub unsafe extern "C" fn object_in(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.expose()?;
        Ok(held.pool().object(held.index).unwrap_or_else(Ref::none).into_ptr())
    })
}

/// `has_object(claim)`: whether there is one in the slot.
pub unsafe extern "C" fn has_object(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.held()?;
        Ok(py::boolean(held.pool().object(held.index).is_some()).into_ptr())
    })
}

/// `is_fit(claim)`: whether the manager lets the object be used again.
pub unsafe extern "C" fn is_fit(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.expose()?;
        Ok(py::boolean(held.pool().is_fit(held.index)?).into_ptr())
    })
}

/// `empty(claim)`: parts with the object in the slot, which stays the claim's.
pub unsafe extern "C" fn empty(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.expose()?;
        held.pool().empty(held.index);
        none()
    })
}

/// `has_out(pool, object)`: whether it is in use.
pub unsafe extern "C" fn has_out(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [pool, object] = unsafe { take_all(arguments, count)? };
        // SAFETY: `pool` outlives it.
        let pool: &Pool = unsafe { pool_of(pool.as_ptr())? };
        Ok(py::boolean(pool.inner(|inner| inner.slots.has_out(object.as_ptr().cast()))).into_ptr())
    })
}

/// `count_reset(pool)`.
pub unsafe extern "C" fn count_reset(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
        pool.inner(|inner| inner.counters.resets += 1);
        none()
    })
}

/// `hand_out(claim)`: the object, in use from now on.
pub unsafe extern "C" fn hand_out(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        let held = Claim::of(&claim)?.take()?;
        Ok(held.pool().hand_out(held.index, None)?.into_ptr())
    })
}

/// `lend(claim, handle)`: as `hand_out`, to a handle that waits for an object.
pub unsafe extern "C" fn lend(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim, handle] = unsafe { take_all(arguments, count)? };
        let claim = Claim::of(&claim)?;
        if !handle::is_handle(handle.as_ptr()) || !handle::is_pending(&handle) {
            return Err(py::raise(&statics::ALREADY_RELEASED, c"object has already been released"));
        }
        let held = claim.take()?;
        handle::attach(held.pool(), held.index, &handle)?;
        held.pool().count_allocation(None);
        Ok(held.pool().object(held.index).unwrap_or_else(Ref::none).into_ptr())
    })
}

/// `vacate(claim)`: leaves the line, or passes the slot to the next who waits, or makes it free.
pub unsafe extern "C" fn vacate(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        Claim::of(&claim)?.give_up(false);
        none()
    })
}

/// `discard(claim)`: parts with the object, and does the same.
pub unsafe extern "C" fn discard(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [claim] = unsafe { take_all(arguments, count)? };
        Claim::of(&claim)?.give_up(true);
        none()
    })
}

/// `hold_idle(pool, ids)`: claims on the slots whose object nobody uses and has one of these ids.
pub unsafe extern "C" fn hold_idle(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [pool, ids] = unsafe { take_all(arguments, count)? };
        // SAFETY: `pool` outlives it.
        let pool: &Pool = unsafe { pool_of(pool.as_ptr())? };
        pool.check_open()?;
        let mut addresses = Vec::new();
        // SAFETY: `ids` is alive, and a list; its items are alive.
        unsafe {
            for position in 0..ffi::PyList_Size(ids.as_ptr()) {
                let id = Ref::borrowed(ffi::PyList_GetItem(ids.as_ptr(), position)).ok_or(Raised)?;
                addresses.push(ffi::PyLong_AsVoidPtr(id.as_ptr()).addr());
            }
        }
        if py::is_raised() {
            return Err(Raised);
        }
        addresses.sort_unstable();
        let is_wanted = |object: Object| addresses.binary_search(&object.addr()).is_ok();
        let held = pool.inner(|inner| inner.slots.hold_free(is_wanted));
        // Those that no claim can be made for are free again.
        let claims: Vec<_> = held.into_iter().map(|index| claim::holding(pool, index)).collect();
        // SAFETY: what is returned is null or a new reference.
        let list = unsafe { Ref::owned(ffi::PyList_New(0))? };
        for claim in claims {
            // SAFETY: both are alive.
            if unsafe { ffi::PyList_Append(list.as_ptr(), claim?.as_ptr()) } != 0 {
                return Err(Raised);
            }
        }
        Ok(list.into_ptr())
    })
}

/// `make_idle(pool, count)`: makes objects until so many are free, or there is no room for more.
pub unsafe extern "C" fn make_idle(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let [pool, wanted] = unsafe { take_all(arguments, count)? };
        // SAFETY: `pool` outlives it.
        unsafe { pool_of(pool.as_ptr())? }.make_idle(py::to_index(&wanted)?)?;
        none()
    })
}

/// `reclaim(pool)`: takes back objects that nobody refers to; how many they were.
pub unsafe extern "C" fn reclaim(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
        Ok(py::integer(pool.reclaim_abandoned())?.into_ptr())
    })
}

/// `settings(pool)`: object type, factory, reset method, statistics, manager.
pub unsafe extern "C" fn settings(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
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
        let pool = unsafe { take_pool(arguments, count)? };
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
        let pool = unsafe { take_pool(arguments, count)? };
        pool.inner(|inner| inner.counters = crate::pool::Counters::default());
        none()
    })
}

/// `bookkeeping(pool)`: the bytes that it takes.
pub unsafe extern "C" fn bookkeeping(_: *mut PyObject, arguments: Arguments, count: ffi::Py_ssize_t) -> *mut PyObject {
    guard(|| {
        // SAFETY: Python's arguments.
        let pool = unsafe { take_pool(arguments, count)? };
        Ok(py::integer(pool.inner(|inner| inner.slots.bytes()))?.into_ptr())
    })
}

type Function = unsafe extern "C" fn(*mut PyObject, Arguments, ffi::Py_ssize_t) -> *mut PyObject;

pub fn methods() -> Vec<ffi::PyMethodDef> {
    let functions: [(&'static core::ffi::CStr, Function, &'static core::ffi::CStr); 23] = [
        (c"reserve", reserve, c"reserve(pool, /)\n--\n\n"),
        (c"join", join, c"join(pool, waker, /)\n--\n\n"),
        (c"look_again", look_again, c"look_again(pool, /)\n--\n\n"),
        (c"waiting", waiting, c"waiting(pool, /)\n--\n\n"),
        (c"is_settled", is_settled, c"is_settled(claim, /)\n--\n\n"),
        (c"fill", fill, c"fill(claim, obj, /)\n--\n\n"),
        (c"object_in", object_in, c"object_in(claim, /)\n--\n\n"),
        (c"has_object", has_object, c"has_object(claim, /)\n--\n\n"),
        (c"is_fit", is_fit, c"is_fit(claim, /)\n--\n\n"),
        (c"empty", empty, c"empty(claim, /)\n--\n\n"),
        (c"has_out", has_out, c"has_out(pool, obj, /)\n--\n\n"),
        (c"count_reset", count_reset, c"count_reset(pool, /)\n--\n\n"),
        (c"hand_out", hand_out, c"hand_out(claim, /)\n--\n\n"),
        (c"lend", lend, c"lend(claim, handle, /)\n--\n\n"),
        (c"vacate", vacate, c"vacate(claim, /)\n--\n\n"),
        (c"discard", discard, c"discard(claim, /)\n--\n\n"),
        (c"hold_idle", hold_idle, c"hold_idle(pool, ids, /)\n--\n\n"),
        (c"make_idle", make_idle, c"make_idle(pool, count, /)\n--\n\n"),
        (c"reclaim", reclaim, c"reclaim(pool, /)\n--\n\n"),
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
