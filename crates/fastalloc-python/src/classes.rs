//! The classes as Python sees them: tables of methods and slots.
//!
//! Each public pool has a class with methods of its own, though they are the same functions: the interpreter's caches work
//! only for methods of the very class.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::awaitable::{self, Acquire};
use crate::claim::{self, Claim};
use crate::handle::{self, Handle, SelfReturning};
use crate::local::{self, ThreadLocal};
use crate::pool::{self, KINDS, Kind, Pool};
use crate::py::{self, Global, PyResult, Raised, Ref, guard};
use crate::statics;
use crate::trash;

fn class_of(kind: Kind) -> &'static Global {
    match kind {
        Kind::Fixed => &statics::FIXED,
        Kind::Growing => &statics::GROWING,
        Kind::ThreadSafe => &statics::THREAD_SAFE,
        Kind::Async => &statics::ASYNC,
    }
}

/// The pool in an argument.
///
/// # Safety
///
/// `object` is alive for `'a`.
pub unsafe fn pool_of<'a>(object: *mut PyObject) -> PyResult<&'a Pool> {
    // SAFETY: as demanded.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if KINDS.into_iter().any(|kind| ffi::PyType_IsSubtype(class, class_of(kind).as_type()) != 0) {
            return Ok(Pool::from_ptr(object));
        }
        Err(py::raise_builtin(ffi::PyExc_TypeError, c"not a pool"))
    }
}

// The methods of pools.

unsafe extern "C" fn get(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    if pool.flags.get() == 0 {
        if let Some(object) = pool.inner(|inner| inner.slots.take_fast()) {
            // SAFETY: objects in slots are alive.
            return unsafe { ffi::Py_NewRef(object.cast()) };
        }
    }
    guard(|| pool.get().map(Ref::into_ptr))
}

unsafe extern "C" fn get_waiting(
    pool: *mut PyObject,
    arguments: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    if count == 0 && names.is_null() {
        // SAFETY: a method of pools.
        return unsafe { get(pool, ptr::null_mut()) };
    }
    guard(|| {
        // SAFETY: Python's arguments.
        let timeout = unsafe { py::one_optional(arguments, count, names, c"timeout", false)? };
        // SAFETY: a method of pools.
        let pool = unsafe { Pool::from_ptr(pool) };
        let start = pool.start_allocation();
        let index = wait(pool, timeout)?;
        Ok(pool.hand_out(index, start)?.into_ptr())
    })
}

/// Holds a slot with an object, and waits for that, if there is a `timeout`.
fn wait(pool: &Pool, timeout: Option<Ref>) -> PyResult<usize> {
    let Some(timeout) = timeout else { return pool.prepare() };
    let seconds = claim::seconds(timeout)?;
    if let Some(index) = pool.try_prepare()? {
        return Ok(index);
    }
    if let Some(seconds) = &seconds {
        if py::to_f64(seconds)? == 0.0 {
            return pool.prepare();
        }
    }
    let index = claim::wait_in_thread(pool, seconds.as_ref())?.index;
    pool.ready(index, pool.object(index).is_none())?;
    Ok(index)
}

unsafe extern "C" fn release(pool: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    if pool.flags.get() == 0 && pool.inner(|inner| inner.slots.release_fast(object.cast())) {
        // SAFETY: `None` is always alive.
        return unsafe { ffi::Py_NewRef(ffi::Py_None()) };
    }
    guard(|| {
        // SAFETY: an argument is alive.
        let object = unsafe { Ref::borrowed(object) }.ok_or(Raised)?;
        pool.release(&object)?;
        Ok(Ref::none().into_ptr())
    })
}

unsafe extern "C" fn allocate(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    unsafe {
        match is_overridden(pool) {
            Ok(false) => handle::allocate(Pool::from_ptr(pool), statics::HANDLE.as_type()),
            Ok(true) => allocate_by_methods(pool, c"allocate"),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn allocate_waiting(
    pool: *mut PyObject,
    arguments: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    if count == 0 && names.is_null() {
        // SAFETY: a method of pools.
        return unsafe { allocate(pool, ptr::null_mut()) };
    }
    guard(|| {
        // SAFETY: Python's arguments.
        let timeout = unsafe { py::one_optional(arguments, count, names, c"timeout", false)? };
        // SAFETY: a method of pools.
        if unsafe { is_overridden(pool)? } {
            // SAFETY: a method of pools.
            let pool = unsafe { Ref::borrowed(pool) }.ok_or(Raised)?;
            let timeout = timeout.ok_or(Raised)?;
            return Ok(py::call(&statics::cold(c"allocate_waiting")?, [&pool, &timeout])?.into_ptr());
        }
        // SAFETY: a method of pools.
        let pool = unsafe { Pool::from_ptr(pool) };
        let start = pool.start_allocation();
        let index = wait(pool, timeout)?;
        let handle = handle::lend(pool, index, statics::HANDLE.as_type())?;
        pool.count_allocation(start);
        Ok(handle.into_ptr())
    })
}

unsafe extern "C" fn allocate_async(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    unsafe {
        match is_overridden(pool) {
            Ok(false) => handle::allocate_async(Pool::from_ptr(pool)),
            Ok(true) => allocate_by_methods(pool, c"allocate_async"),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Whether a subclass written in Python has its own `get` or `release`, which `allocate` then has to use.
///
/// # Safety
///
/// `pool` is a pool that is alive.
#[inline(always)]
pub unsafe fn is_overridden(pool: *mut PyObject) -> PyResult<bool> {
    // SAFETY: as demanded.
    let class = unsafe { ffi::Py_TYPE(pool) };
    // SAFETY: as demanded. Our own classes cannot be changed, others can.
    unsafe {
        if ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_IMMUTABLETYPE) != 0 {
            return Ok(false);
        }
        is_overridden_in(class)
    }
}

#[inline(never)]
unsafe fn is_overridden_in(class: *mut PyTypeObject) -> PyResult<bool> {
    let own = [&statics::FIXED, &statics::GROWING, &statics::THREAD_SAFE, &statics::ASYNC, &statics::THREAD_LOCAL];
    // SAFETY: the class is alive, and with this reference stays so, whatever its metaclass does.
    let class = unsafe { Ref::borrowed(class.cast()) }.ok_or(Raised)?;
    let is_method = |name: &Global| -> PyResult<bool> {
        // SAFETY: both are alive.
        let found = unsafe { Ref::owned(ffi::PyObject_GetAttr(class.as_ptr(), name.get()))? };
        for base in own {
            // SAFETY: classes, and alive.
            if unsafe { ffi::PyType_IsSubtype(class.as_ptr().cast(), base.as_type()) } != 0 {
                // SAFETY: both are alive.
                let method = unsafe { Ref::owned(ffi::PyObject_GetAttr(base.get(), name.get()))? };
                return Ok(ptr::eq(found.as_ptr(), method.as_ptr()));
            }
        }
        Ok(false)
    };
    Ok(!(is_method(&statics::GET)? && is_method(&statics::RELEASE)?))
}

/// # Safety
///
/// `pool` is a pool that is alive.
pub unsafe fn allocate_by_methods(pool: *mut PyObject, function: &CStr) -> *mut PyObject {
    guard(|| {
        // SAFETY: as demanded.
        let pool = unsafe { Ref::borrowed(pool) }.ok_or(Raised)?;
        Ok(py::call(&statics::cold(function)?, [&pool])?.into_ptr())
    })
}

unsafe extern "C" fn get_async(
    pool: *mut PyObject,
    arguments: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    guard(|| {
        let timeout = if count == 0 && names.is_null() {
            None
        } else {
            // SAFETY: Python's arguments.
            unsafe { py::one_optional(arguments, count, names, c"timeout", false)? }
        };
        let seconds = timeout.map_or(Ok(None), claim::seconds)?;
        // SAFETY: a method of pools.
        let pool = unsafe { Pool::from_ptr(pool) };
        Ok(awaitable::acquire(pool, seconds)?.into_ptr())
    })
}

unsafe extern "C" fn release_async(pool: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools; what is returned is `None` or null.
    unsafe {
        let done = release(pool, object);
        if done.is_null() {
            return done;
        }
        ffi::Py_DECREF(done);
        ffi::Py_NewRef(statics::DONE.get())
    }
}

unsafe extern "C" fn size(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    guard(|| Ok(py::integer(pool.inner(|inner| inner.slots.in_use()))?.into_ptr()))
}

unsafe extern "C" fn capacity(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    guard(|| Ok(py::integer(pool.inner(|inner| inner.slots.capacity()))?.into_ptr()))
}

unsafe extern "C" fn available(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    guard(|| Ok(py::integer(pool.inner(|inner| inner.slots.available()))?.into_ptr()))
}

unsafe extern "C" fn max_capacity(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    pool.inner(|inner| inner.settings.max_capacity.clone()).unwrap_or_else(Ref::none).into_ptr()
}

unsafe extern "C" fn close(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    guard(|| {
        pool.close();
        Ok(Ref::none().into_ptr())
    })
}

unsafe extern "C" fn is_closed(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let pool = unsafe { Pool::from_ptr(pool) };
    py::boolean(pool.has(pool::CLOSED)).into_ptr()
}

unsafe extern "C" fn maintain(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    unsafe { allocate_by_methods(pool, c"maintain") }
}

unsafe extern "C" fn stats(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    unsafe { allocate_by_methods(pool, c"stats") }
}

unsafe extern "C" fn repr(pool: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of pools.
    unsafe { allocate_by_methods(pool, c"pool_repr") }
}

pub unsafe extern "C" fn builder(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(|| Ok(py::call0(&statics::cold(c"builder")?)?.into_ptr()))
}

pub unsafe extern "C" fn class_getitem(class: *mut PyObject, item: *mut PyObject) -> *mut PyObject {
    // SAFETY: both are alive.
    unsafe { ffi::Py_GenericAlias(class, item) }
}

pub unsafe extern "C" fn reduce(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: the pool is alive.
    unsafe {
        ffi::PyErr_Format(
            ffi::PyExc_TypeError,
            c"cannot copy or pickle '%s' object: its objects would have two owners".as_ptr(),
            (*ffi::Py_TYPE(pool)).tp_name,
        )
    }
}

unsafe extern "C" fn new<const KIND: usize>(
    class: *mut PyTypeObject,
    _arguments: *mut PyObject,
    _keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: a class of pools. Nothing looks at the memory before it is written.
    unsafe {
        let pool = ffi::PyType_GenericAlloc(class, 0);
        if !pool.is_null() {
            Pool::write(pool, KINDS[KIND]);
        }
        pool
    }
}

unsafe extern "C" fn init_pool(pool: *mut PyObject, arguments: *mut PyObject, keywords: *mut PyObject) -> c_int {
    guard(|| {
        // SAFETY: a slot of pools.
        let pool = unsafe { Pool::from_ptr(pool) };
        let configure = statics::cold(match pool.kind {
            Kind::Fixed => c"configure_fixed",
            Kind::Growing => c"configure_growing",
            Kind::ThreadSafe => c"configure_thread_safe",
            Kind::Async => c"configure_async",
        })?;
        // SAFETY: a tuple, and a dict or null.
        let settings = unsafe { Ref::owned(ffi::PyObject_Call(configure.as_ptr(), arguments, keywords))? };
        configure_pool(pool, &settings)?;
        Ok(0)
    })
}

/// Takes the settings over that `fastalloc._cold` has checked.
fn configure_pool(pool: &Pool, settings: &Ref) -> PyResult<()> {
    // SAFETY: `settings` is alive.
    let items = unsafe { ffi::PyTuple_Check(settings.as_ptr()) != 0 && ffi::PyTuple_Size(settings.as_ptr()) == 9 };
    if !items {
        // SAFETY: `TypeError` is always alive.
        return Err(py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"settings are a tuple of nine"));
    }
    // SAFETY: a tuple of nine, whose items are alive.
    let item = |position| unsafe { Ref::borrowed(ffi::PyTuple_GetItem(settings.as_ptr(), position)) };
    let optional = |position| item(position).filter(|value| !value.is_none());
    let capacity = py::to_index(&item(1).ok_or(Raised)?)?;
    let flags = u32::try_from(py::to_index(&item(4).ok_or(Raised)?)?).unwrap_or(0);
    let eager = py::to_index(&item(5).ok_or(Raised)?)?;
    if !pool.has(pool::UNINITIALIZED) || pool.inner(|inner| inner.slots.capacity()) != 0 {
        // SAFETY: `RuntimeError` is always alive.
        return Err(py::raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"the pool is initialized already"));
    }
    if pool.has(pool::CLOSED) {
        return Err(py::raise(&statics::POOL_CLOSED, c"pool was closed before it was initialized"));
    }
    pool.inner(|inner| inner.slots.grow(capacity)).map_err(|error| pool::no_memory(&error))?;
    let before = pool.inner(|inner| {
        inner.counters.peak_capacity = capacity;
        core::mem::replace(
            &mut inner.settings,
            pool::Settings {
                class: item(0),
                factory: optional(2),
                reset: optional(3),
                growth: optional(6),
                max_capacity: optional(7),
                manager: optional(8),
            },
        )
    });
    drop(before);
    let managed = if pool.inner(|inner| inner.settings.manager.is_some()) { pool::MANAGED } else { 0 };
    let reset = if pool.inner(|inner| inner.settings.reset.is_some()) { pool::RESET } else { 0 };
    let allowed = FLAGS.iter().fold(0, |all, (_, flag)| all | flag);
    pool.flags.set((flags & allowed) | managed | reset);
    pool.create_many(eager)
}

unsafe extern "C" fn traverse(pool: *mut PyObject, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe {
        let result = Pool::from_ptr(pool).traverse(visit, argument);
        if result != 0 {
            return result;
        }
        visit(ffi::Py_TYPE(pool).cast(), argument)
    }
}

unsafe extern "C" fn clear(pool: *mut PyObject) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe { Pool::from_ptr(pool) }.clear();
    0
}

unsafe extern "C" fn dealloc(pool: *mut PyObject) {
    // SAFETY: nobody refers to the pool any more, but for what its objects do in their destructors.
    unsafe {
        ffi::PyObject_GC_UnTrack(pool.cast());
        trash::destroy(pool, destroy);
    }
}

unsafe fn destroy(pool: *mut PyObject) {
    // SAFETY: as above.
    unsafe {
        let class = ffi::Py_TYPE(pool);
        py::preserving_exception(|| {
            if !(*pool.cast::<Pool>()).weak_references.is_null() {
                ffi::PyObject_ClearWeakRefs(pool);
            }
            Pool::from_ptr(pool).warn_of_leaks();
            Pool::from_ptr(pool).clear();
        });
        Pool::drop_inner(pool);
        if let Some(free) = (*class).tp_free {
            free(pool.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

// Tables.

pub type NoArguments = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
pub type Fast = unsafe extern "C" fn(*mut PyObject, *mut *mut PyObject, ffi::Py_ssize_t) -> *mut PyObject;
pub type FastWithKeywords =
    unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, ffi::Py_ssize_t, *mut PyObject) -> *mut PyObject;

pub fn no_arguments(name: &'static CStr, function: NoArguments, doc: &'static CStr) -> ffi::PyMethodDef {
    plain(name, function, ffi::METH_NOARGS, doc)
}

pub fn plain(name: &'static CStr, function: NoArguments, flags: c_int, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: py::name(name),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    }
}

pub fn fast(name: &'static CStr, function: Fast, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: py::name(name),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: function },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: doc.as_ptr(),
    }
}

pub fn fast_with_keywords(name: &'static CStr, function: FastWithKeywords, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: py::name(name),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// What all pools have besides.
pub fn common_methods() -> Vec<ffi::PyMethodDef> {
    vec![
        plain(c"builder", builder, ffi::METH_NOARGS | ffi::METH_STATIC, c"builder()\n--\n\nReturn a new PoolBuilder."),
        plain(
            c"__class_getitem__",
            class_getitem,
            ffi::METH_O | ffi::METH_CLASS,
            c"Pools are generic in their objects.",
        ),
        no_arguments(c"__reduce__", reduce, c"Pools can be neither copied nor pickled."),
    ]
}

const ALLOCATE: &CStr = c"allocate($self, /)\n--\n\nTake an object out for a with block, which gives it back.";
const ALLOCATE_WAITING: &CStr = c"allocate($self, /, *, timeout=0)\n--\n\nTake an object out for a with block, which gives it back.\n\nWaits up to timeout seconds for one, for ever if it is None.";
const GET_WAITING: &CStr = c"get($self, /, *, timeout=0)\n--\n\nTake an object out; release() gives it back.\n\nWaits up to timeout seconds for one, for ever if it is None.";

fn methods(kind: Kind) -> Vec<ffi::PyMethodDef> {
    let mut methods = vec![
        plain(c"release", release, ffi::METH_O, c"release($self, obj, /)\n--\n\nGive an object back."),
        no_arguments(c"size", size, c"size($self, /)\n--\n\nReturn how many objects are in use."),
        no_arguments(c"capacity", capacity, c"capacity($self, /)\n--\n\nReturn how many objects there can be."),
        no_arguments(
            c"available",
            available,
            c"available($self, /)\n--\n\nReturn how many objects there are that nobody uses.",
        ),
        no_arguments(c"close", close, c"close($self, /)\n--\n\nHand out nothing any more, and part with all objects."),
        no_arguments(c"is_closed", is_closed, c"is_closed($self, /)\n--\n\nReturn whether the pool is closed."),
        no_arguments(
            c"maintain",
            maintain,
            c"maintain($self, /)\n--\n\nPart with idle objects that are too old, and make what min_idle asks for.",
        ),
        no_arguments(
            c"stats",
            stats,
            c"stats($self, /)\n--\n\nReturn the statistics of the pool, which stay up to date.",
        ),
    ];
    match kind {
        Kind::ThreadSafe => methods.extend([
            fast_with_keywords(c"get", get_waiting, GET_WAITING),
            fast_with_keywords(c"allocate", allocate_waiting, ALLOCATE_WAITING),
        ]),
        _ => methods.push(no_arguments(
            c"get",
            get,
            c"get($self, /)\n--\n\nTake an object out; release() gives it back.",
        )),
    }
    match kind {
        Kind::ThreadSafe => {}
        Kind::Async => methods.extend([
            no_arguments(
                c"allocate",
                allocate_async,
                c"allocate($self, /)\n--\n\nTake an object out for an async with block, which gives it back; waits for it.",
            ),
            fast_with_keywords(
                c"get_async",
                get_async,
                c"get_async($self, /, *, timeout=None)\n--\n\nWait for an object, and take it out; release() gives it back.\n\nRaises TimeoutError after timeout seconds.",
            ),
            plain(
                c"release_async",
                release_async,
                ffi::METH_O,
                c"release_async($self, obj, /)\n--\n\nGive an object back, at once; the same as release().",
            ),
        ]),
        Kind::Fixed | Kind::Growing => methods.push(no_arguments(c"allocate", allocate, ALLOCATE)),
    }
    if kind != Kind::Fixed {
        methods.push(no_arguments(
            c"max_capacity",
            max_capacity,
            c"max_capacity($self, /)\n--\n\nReturn how far the pool may grow; None means without end.",
        ));
    }
    methods.extend(common_methods());
    methods
}

/// A slot of a class.
pub fn slot(id: c_int, value: *const c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot: id, pfunc: value.cast_mut() }
}

macro_rules! function {
    ($function:expr, $type:ty) => {
        $function as $type as *const c_void
    };
}
pub(crate) use function;

/// Makes a class that nobody can change.
pub fn class(
    name: &'static CStr,
    size: usize,
    flags: core::ffi::c_ulong,
    mut slots: Vec<ffi::PyType_Slot>,
    mut methods: Vec<ffi::PyMethodDef>,
    members: &[(&'static CStr, usize)],
) -> PyResult<Ref> {
    // Python refers to both tables as long as it runs.
    methods.push(ffi::PyMethodDef::zeroed());
    slots.push(slot(ffi::Py_tp_methods, Vec::leak(methods).as_ptr().cast()));
    let mut members: Vec<_> = members
        .iter()
        .map(|&(name, offset)| ffi::PyMemberDef {
            name: py::name(name),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        })
        .collect();
    members.push(ffi::PyMemberDef::default());
    slots.push(slot(ffi::Py_tp_members, Vec::leak(members).as_ptr().cast()));
    slots.push(slot(0, ptr::null()));
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr().cast::<c_char>(),
        basicsize: c_int::try_from(size).unwrap_or(c_int::MAX),
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_IMMUTABLETYPE | flags) as core::ffi::c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: a specification as Python demands it; what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyType_FromSpec(&raw mut spec)) }
}

/// The documentation of a class, which begins with what its `__init__` takes: `inspect.signature` reads it.
macro_rules! doc {
    ($name:literal, $growth:literal, $managed:literal, $text:literal) => {
        match CStr::from_bytes_with_nul(
            concat!(
                $name,
                "(obj_type, capacity, *, ",
                $growth,
                "factory=None, reset_method=None, enable_statistics=False, pre_initialize=False, check_reset_method=True",
                $managed,
                ")\n--\n\n",
                $text,
                "\0"
            )
            .as_bytes(),
        ) {
            Ok(text) => text,
            Err(_) => panic!("a zero in the text"),
        }
    };
    (grows $name:literal, $text:literal) => {
        doc!(managed $name, "max_capacity=None, growth_config=None, ", $text)
    };
    (managed $name:literal, $growth:literal, $text:literal) => {
        doc!($name, $growth, ", validate=None, destroy=None, max_idle=None, max_lifetime=None, min_idle=None, warn_leaks=False", $text)
    };
}

const FIXED_DOC: &CStr = doc!(managed "FixedPool", "", "A pool that never grows.");
const GROWING_DOC: &CStr = doc!(grows "GrowingPool", "A pool that grows when all its objects are in use.");
const THREAD_SAFE_DOC: &CStr = doc!(grows "ThreadSafePool", "A pool that threads share, and can wait for.");
const ASYNC_DOC: &CStr = doc!(grows "AsyncPool", "A pool for asyncio: tasks wait for objects, in order.");
pub const THREAD_LOCAL_DOC: &CStr = doc!("ThreadLocalPool", "", "", "A pool whose threads have objects of their own.");

fn pool_class(kind: Kind) -> PyResult<Ref> {
    let (name, new, doc): (_, ffi::newfunc, _) = match kind {
        Kind::Fixed => (c"fastalloc.FixedPool", new::<0> as _, FIXED_DOC),
        Kind::Growing => (c"fastalloc.GrowingPool", new::<1> as _, GROWING_DOC),
        Kind::ThreadSafe => (c"fastalloc.ThreadSafePool", new::<2> as _, THREAD_SAFE_DOC),
        Kind::Async => (c"fastalloc.AsyncPool", new::<3> as _, ASYNC_DOC),
    };
    let slots = vec![
        slot(ffi::Py_tp_new, function!(new, ffi::newfunc)),
        slot(ffi::Py_tp_init, function!(init_pool, ffi::initproc)),
        slot(ffi::Py_tp_dealloc, function!(dealloc, ffi::destructor)),
        slot(ffi::Py_tp_traverse, function!(traverse, ffi::traverseproc)),
        slot(ffi::Py_tp_clear, function!(clear, ffi::inquiry)),
        slot(ffi::Py_tp_repr, function!(repr, ffi::reprfunc)),
        slot(ffi::Py_tp_doc, doc.as_ptr().cast()),
    ];
    class(
        name,
        size_of::<Pool>(),
        ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC,
        slots,
        methods(kind),
        &[(c"__weaklistoffset__", offset_of!(Pool, weak_references))],
    )
}

fn handle_slots() -> Vec<ffi::PyType_Slot> {
    vec![
        slot(ffi::Py_tp_dealloc, function!(handle::dealloc, ffi::destructor)),
        slot(ffi::Py_tp_traverse, function!(handle::traverse, ffi::traverseproc)),
        slot(ffi::Py_tp_clear, function!(handle::clear, ffi::inquiry)),
        slot(ffi::Py_tp_repr, function!(handle::repr, ffi::reprfunc)),
        slot(ffi::Py_tp_call, function!(ffi::PyVectorcall_Call, ffi::ternaryfunc)),
    ]
}

const HANDLE_FLAGS: core::ffi::c_ulong =
    ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;

fn handle_methods() -> Vec<ffi::PyMethodDef> {
    vec![
        no_arguments(c"get", handle::get, c"get($self, /)\n--\n\nReturn the object."),
        no_arguments(c"release", handle::release, c"release($self, /)\n--\n\nGive the object back."),
        plain(
            c"__class_getitem__",
            class_getitem,
            ffi::METH_O | ffi::METH_CLASS,
            c"Handles are generic in their object.",
        ),
        no_arguments(c"__reduce__", reduce, c"Handles can be neither copied nor pickled."),
    ]
}

const HANDLE_MEMBERS: &[(&CStr, usize)] = &[
    (c"__weaklistoffset__", offset_of!(Handle, weak_references)),
    (c"__vectorcalloffset__", offset_of!(Handle, vectorcall)),
];

/// Adds `__enter__` and its like: methods, or descriptors before the class becomes immutable.
fn add_entering(class: &Ref, entering: [ffi::PyMethodDef; 2]) -> PyResult<()> {
    for definition in Vec::leak(Vec::from(entering)) {
        // SAFETY: a class of ours, and a definition that is never freed.
        let function = unsafe { Ref::owned(ffi::PyDescr_NewMethod(class.as_ptr().cast(), ptr::from_mut(definition)))? };
        let attribute = if cfg!(Py_3_14) { function } else { handle::self_returning(function)? };
        // SAFETY: all are alive; the name is a C string.
        if unsafe { ffi::PyObject_SetAttrString(class.as_ptr(), definition.ml_name, attribute.as_ptr()) } != 0 {
            return Err(Raised);
        }
    }
    // SAFETY: a class of ours that nobody has seen yet.
    unsafe { (*class.as_ptr().cast::<PyTypeObject>()).tp_flags |= ffi::Py_TPFLAGS_IMMUTABLETYPE };
    Ok(())
}

fn awaitable_class(
    name: &'static CStr,
    size: usize,
    flags: core::ffi::c_ulong,
    mut slots: Vec<ffi::PyType_Slot>,
    send: ffi::sendfunc,
    next: ffi::iternextfunc,
    mut methods: Vec<ffi::PyMethodDef>,
) -> PyResult<Ref> {
    slots.extend([
        slot(ffi::Py_am_await, function!(awaitable::itself, ffi::unaryfunc)),
        slot(ffi::Py_am_send, function!(send, ffi::sendfunc)),
        slot(ffi::Py_tp_iter, function!(awaitable::itself, ffi::getiterfunc)),
        slot(ffi::Py_tp_iternext, function!(next, ffi::iternextfunc)),
    ]);
    methods.push(plain(
        c"__class_getitem__",
        class_getitem,
        ffi::METH_O | ffi::METH_CLASS,
        c"Awaitables are generic in their result.",
    ));
    class(name, size, flags | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION, slots, methods, &[])
}

/// Makes all classes, once.
pub fn init() -> PyResult<()> {
    statics::SELF_RETURNING.set(class(
        c"fastalloc._native.SelfReturning",
        size_of::<SelfReturning>(),
        ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        vec![
            slot(ffi::Py_tp_descr_get, function!(handle::self_returning_get, ffi::descrgetfunc)),
            slot(ffi::Py_tp_dealloc, function!(handle::self_returning_dealloc, ffi::destructor)),
        ],
        Vec::new(),
        &[],
    )?);

    let handle_class = mutable_class(c"fastalloc._native.PoolHandle", handle_slots())?;
    add_entering(
        &handle_class,
        [
            no_arguments(c"__enter__", handle::get, c"__enter__($self, /)\n--\n\nReturn the object."),
            fast(c"__exit__", handle::exit_method, c"Give the object back."),
        ],
    )?;
    statics::HANDLE.set(handle_class);

    let mut slots = handle_slots();
    slots.extend([
        slot(ffi::Py_am_await, function!(awaitable::itself, ffi::unaryfunc)),
        slot(ffi::Py_am_send, function!(handle::send, ffi::sendfunc)),
        slot(ffi::Py_tp_iter, function!(awaitable::itself, ffi::getiterfunc)),
        slot(ffi::Py_tp_iternext, function!(handle::next, ffi::iternextfunc)),
    ]);
    let async_class = mutable_class(c"fastalloc._native.AsyncPoolHandle", slots)?;
    add_entering(
        &async_class,
        [
            no_arguments(c"__aenter__", handle::async_enter, c"__aenter__($self, /)\n--\n\nWait for the object."),
            fast(c"__aexit__", handle::async_exit, c"Give the object back."),
        ],
    )?;
    statics::ASYNC_HANDLE.set(async_class);

    statics::CLAIM.set(class(
        c"fastalloc._native.Claim",
        size_of::<Claim>(),
        ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        vec![
            slot(ffi::Py_tp_dealloc, function!(claim::dealloc, ffi::destructor)),
            slot(ffi::Py_tp_traverse, function!(claim::traverse, ffi::traverseproc)),
            slot(ffi::Py_tp_clear, function!(claim::clear, ffi::inquiry)),
        ],
        Vec::new(),
        &[],
    )?);

    statics::ACQUIRE.set(awaitable_class(
        c"fastalloc._native.Acquire",
        size_of::<Acquire>(),
        ffi::Py_TPFLAGS_HAVE_GC,
        vec![
            slot(ffi::Py_tp_dealloc, function!(awaitable::dealloc, ffi::destructor)),
            slot(ffi::Py_tp_traverse, function!(awaitable::traverse, ffi::traverseproc)),
            slot(ffi::Py_tp_clear, function!(awaitable::clear, ffi::inquiry)),
        ],
        awaitable::send,
        awaitable::next,
        vec![
            plain(c"send", awaitable::send_method, ffi::METH_O, c"send($self, value, /)\n--\n\nAs of a coroutine."),
            fast(c"throw", awaitable::throw, c"As of a coroutine."),
            no_arguments(c"close", awaitable::close, c"close($self, /)\n--\n\nAs of a coroutine."),
        ],
    )?);
    let done_class = awaitable_class(
        c"fastalloc._native.Done",
        size_of::<PyObject>(),
        0,
        vec![slot(ffi::Py_tp_dealloc, function!(awaitable::done_dealloc, ffi::destructor))],
        awaitable::done_send,
        awaitable::done_next,
        vec![
            plain(
                c"send",
                awaitable::done_send_method,
                ffi::METH_O,
                c"send($self, value, /)\n--\n\nAs of a coroutine.",
            ),
            fast(c"throw", awaitable::done_throw, c"As of a coroutine."),
            no_arguments(c"close", awaitable::done_close, c"close($self, /)\n--\n\nAs of a coroutine."),
        ],
    )?;
    // SAFETY: a class of ours; its only instance.
    statics::DONE.set(unsafe { Ref::owned(ffi::PyType_GenericAlloc(done_class.as_ptr().cast(), 0))? });

    for kind in KINDS {
        class_of(kind).set(pool_class(kind)?);
    }
    statics::THREAD_LOCAL.set(local::class(size_of::<ThreadLocal>(), offset_of!(ThreadLocal, weak_references))?);
    Ok(())
}

/// A class of handles, to which methods can still be added.
fn mutable_class(name: &'static CStr, slots: Vec<ffi::PyType_Slot>) -> PyResult<Ref> {
    let class = class(name, size_of::<Handle>(), HANDLE_FLAGS, slots, handle_methods(), HANDLE_MEMBERS)?;
    // SAFETY: a class of ours that nobody has seen yet.
    unsafe { (*class.as_ptr().cast::<PyTypeObject>()).tp_flags &= !ffi::Py_TPFLAGS_IMMUTABLETYPE };
    Ok(class)
}

/// The flags that `fastalloc._cold` passes to `configure_pool`.
pub const FLAGS: [(&CStr, u32); 4] = [
    (c"STATISTICS", pool::STATISTICS),
    (c"ASYNC_ONLY", pool::ASYNC_ONLY),
    (c"LENIENT_RESET", pool::LENIENT_RESET),
    (c"WARN_LEAKS", pool::WARN_LEAKS),
];

/// Under what names the module has what.
pub fn members() -> [(&'static CStr, &'static Global); 8] {
    [
        (c"FixedPool", &statics::FIXED),
        (c"GrowingPool", &statics::GROWING),
        (c"ThreadSafePool", &statics::THREAD_SAFE),
        (c"AsyncPool", &statics::ASYNC),
        (c"ThreadLocalPool", &statics::THREAD_LOCAL),
        (c"PoolHandle", &statics::HANDLE),
        (c"AsyncPoolHandle", &statics::ASYNC_HANDLE),
        (c"Claim", &statics::CLAIM),
    ]
}
