//! `ThreadLocalPool`: a `FixedPool` for each thread, its lane.
//!
//! Which lane is whose, and what becomes of it when its thread ends, is written in Python (`fastalloc._lanes`). Here the lane
//! of the thread that came last is remembered.

use core::cell::Cell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::classes::{self, function, no_arguments, plain, slot};
use crate::handle;
use crate::pool::Pool;
use crate::py::{self, PyResult, Raised, Ref, guard};
use crate::statics;
use crate::trash;

#[repr(C)]
pub struct ThreadLocal {
    head: PyObject,
    pub weak_references: *mut PyObject,
    /// An object of `fastalloc._lanes.Lanes`: owned, or null.
    lanes: Cell<*mut PyObject>,
    /// The lane of `last_thread`: owned, or null.
    last_lane: Cell<*mut PyObject>,
    last_thread: Cell<i64>,
}

impl ThreadLocal {
    /// # Safety
    ///
    /// `object` is one of these, alive for `'a`.
    #[inline(always)]
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: they begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    fn lanes(&self) -> PyResult<Ref> {
        // SAFETY: null, or owned.
        unsafe { Ref::borrowed(self.lanes.get()) }.ok_or_else(|| {
            // SAFETY: `RuntimeError` is always alive.
            py::raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"the pool's __init__ has not been called")
        })
    }

    /// The lane of this thread, if it is known without asking. It is alive as long as nothing of Python is called.
    #[inline(always)]
    fn known_lane(&self) -> Option<&Pool> {
        // SAFETY: the thread holds the GIL, so it has a state.
        let thread = unsafe { ffi::PyThreadState_GetID(ffi::PyThreadState_Get()) };
        let lane = self.last_lane.get();
        if thread != self.last_thread.get() || lane.is_null() {
            return None;
        }
        // SAFETY: owned, and a `FixedPool`.
        Some(unsafe { Pool::from_ptr(lane) })
    }

    /// The lane of this thread.
    fn lane(&self) -> PyResult<Ref> {
        let lane = call(&self.lanes()?, c"lane")?;
        // SAFETY: the lane is alive.
        if !ptr::eq(unsafe { ffi::Py_TYPE(lane.as_ptr()) }, statics::FIXED.as_type()) {
            // SAFETY: `TypeError` is always alive.
            return Err(py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"a lane is a FixedPool"));
        }
        // SAFETY: the thread holds the GIL, so it has a state.
        self.last_thread.set(unsafe { ffi::PyThreadState_GetID(ffi::PyThreadState_Get()) });
        let before = self.last_lane.replace(lane.clone().into_ptr());
        // SAFETY: null, or a reference that was owned.
        unsafe { ffi::Py_XDECREF(before) };
        Ok(lane)
    }

    fn forget(&self) {
        let lane = self.last_lane.replace(ptr::null_mut());
        // SAFETY: null, or a reference that was owned.
        unsafe { ffi::Py_XDECREF(lane) };
    }
}

fn call(lanes: &Ref, method: &CStr) -> PyResult<Ref> {
    py::call0(&py::attribute(lanes, method)?)
}

unsafe extern "C" fn get(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of these pools.
    let pool = unsafe { ThreadLocal::from_ptr(pool) };
    if let Some(lane) = pool.known_lane() {
        if lane.flags.get() == 0 {
            if let Some(object) = lane.inner(|inner| inner.slots.take_fast()) {
                // SAFETY: objects in slots are alive.
                return unsafe { ffi::Py_NewRef(object.cast()) };
            }
        }
    }
    guard(|| {
        let lane = pool.lane()?;
        // SAFETY: `lane` outlives it.
        Ok(unsafe { Pool::from_ptr(lane.as_ptr()) }.get()?.into_ptr())
    })
}

unsafe extern "C" fn release(pool: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of these pools.
    let pool = unsafe { ThreadLocal::from_ptr(pool) };
    if let Some(lane) = pool.known_lane() {
        if lane.flags.get() == 0 && lane.inner(|inner| inner.slots.release_fast(object.cast())) {
            // SAFETY: `None` is always alive.
            return unsafe { ffi::Py_NewRef(ffi::Py_None()) };
        }
    }
    guard(|| {
        // SAFETY: an argument is alive.
        let object = unsafe { Ref::borrowed(object) }.ok_or(Raised)?;
        Ok(py::call_method1(&pool.lanes()?, &statics::RELEASE.to_ref()?, &object)?.into_ptr())
    })
}

unsafe extern "C" fn allocate(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of these pools.
    unsafe {
        match classes::is_overridden(pool) {
            Ok(false) => {}
            Ok(true) => return classes::allocate_by_methods(pool, c"allocate"),
            Err(Raised) => return ptr::null_mut(),
        }
        let pool = ThreadLocal::from_ptr(pool);
        guard(|| {
            let lane = match pool.known_lane() {
                Some(lane) => Ref::borrowed(lane.as_ptr()).ok_or(Raised)?,
                None => pool.lane()?,
            };
            let handle = handle::allocate(Pool::from_ptr(lane.as_ptr()), statics::HANDLE.as_type());
            if handle.is_null() { Err(Raised) } else { Ok(handle) }
        })
    }
}

macro_rules! by_lanes {
    ($($function:ident $name:literal)*) => {
        $(unsafe extern "C" fn $function(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
            // SAFETY: a method of these pools.
            let pool = unsafe { ThreadLocal::from_ptr(pool) };
            guard(|| Ok(call(&pool.lanes()?, $name)?.into_ptr()))
        })*
    };
}

by_lanes! {
    size c"size"
    capacity c"capacity"
    available c"available"
    close c"close"
    is_closed c"is_closed"
    stats c"stats"
}

/// `_forget()`: a thread has ended, and its lane is to go.
unsafe extern "C" fn forget(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of these pools.
    unsafe { ThreadLocal::from_ptr(pool) }.forget();
    Ref::none().into_ptr()
}

unsafe extern "C" fn repr(pool: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of these pools.
    unsafe { classes::allocate_by_methods(pool, c"local_repr") }
}

unsafe extern "C" fn new(class: *mut PyTypeObject, _: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a class of ours. Memory is zero: no references, and no thread, since their numbers begin with 1.
    unsafe { ffi::PyType_GenericAlloc(class, 0) }
}

unsafe extern "C" fn init(pool: *mut PyObject, arguments: *mut PyObject, keywords: *mut PyObject) -> c_int {
    guard(|| {
        // SAFETY: a slot of these pools.
        let this = unsafe { ThreadLocal::from_ptr(pool) };
        let configure = statics::cold(c"configure_thread_local")?;
        // SAFETY: a tuple, and a dict or null.
        let lanes = unsafe { Ref::owned(ffi::PyObject_Call(configure.as_ptr(), arguments, keywords))? };
        if !this.lanes.get().is_null() {
            // SAFETY: `RuntimeError` is always alive.
            return Err(py::raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"the pool is initialized already"));
        }
        // SAFETY: the pool is alive.
        let pool = unsafe { Ref::borrowed(pool) }.ok_or(Raised)?;
        let attach = py::attribute(&lanes, c"attach")?;
        py::call(&attach, [&pool])?;
        let before = this.lanes.replace(lanes.into_ptr());
        // SAFETY: null, or a reference that was owned.
        unsafe { ffi::Py_XDECREF(before) };
        Ok(0)
    })
}

unsafe extern "C" fn traverse(pool: *mut PyObject, visit: ffi::visitproc, argument: *mut c_void) -> c_int {
    // SAFETY: called by the garbage collector.
    unsafe {
        let this = ThreadLocal::from_ptr(pool);
        for cell in [&this.lanes, &this.last_lane] {
            if !cell.get().is_null() {
                let result = visit(cell.get(), argument);
                if result != 0 {
                    return result;
                }
            }
        }
        visit(ffi::Py_TYPE(pool).cast(), argument)
    }
}

unsafe extern "C" fn clear(pool: *mut PyObject) -> c_int {
    // SAFETY: called by the garbage collector.
    let this = unsafe { ThreadLocal::from_ptr(pool) };
    this.forget();
    let lanes = this.lanes.replace(ptr::null_mut());
    // SAFETY: null, or a reference that was owned.
    unsafe { ffi::Py_XDECREF(lanes) };
    0
}

unsafe extern "C" fn dealloc(pool: *mut PyObject) {
    // SAFETY: nobody refers to the pool any more.
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
            if !(*pool.cast::<ThreadLocal>()).weak_references.is_null() {
                ffi::PyObject_ClearWeakRefs(pool);
            }
            clear(pool);
        });
        if let Some(free) = (*class).tp_free {
            free(pool.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

pub fn class(size_of_pool: usize, weak_references: usize) -> PyResult<Ref> {
    let slots = vec![
        slot(ffi::Py_tp_new, function!(new, ffi::newfunc)),
        slot(ffi::Py_tp_init, function!(init, ffi::initproc)),
        slot(ffi::Py_tp_dealloc, function!(dealloc, ffi::destructor)),
        slot(ffi::Py_tp_traverse, function!(traverse, ffi::traverseproc)),
        slot(ffi::Py_tp_clear, function!(clear, ffi::inquiry)),
        slot(ffi::Py_tp_repr, function!(repr, ffi::reprfunc)),
        slot(ffi::Py_tp_doc, classes::THREAD_LOCAL_DOC.as_ptr().cast()),
    ];
    let mut methods = vec![
        no_arguments(c"get", get, c"get($self, /)\n--\n\nTake an object of this thread out; release() gives it back."),
        plain(c"release", release, ffi::METH_O, c"release($self, obj, /)\n--\n\nGive an object back to its thread."),
        no_arguments(
            c"allocate",
            allocate,
            c"allocate($self, /)\n--\n\nTake an object out for a with block, which gives it back.",
        ),
        no_arguments(c"size", size, c"size($self, /)\n--\n\nReturn how many objects of this thread are in use."),
        no_arguments(c"capacity", capacity, c"capacity($self, /)\n--\n\nReturn how many objects a thread can have."),
        no_arguments(
            c"available",
            available,
            c"available($self, /)\n--\n\nReturn how many objects this thread has that nobody uses.",
        ),
        no_arguments(c"close", close, c"close($self, /)\n--\n\nHand out nothing any more, and part with all objects."),
        no_arguments(c"is_closed", is_closed, c"is_closed($self, /)\n--\n\nReturn whether the pool is closed."),
        no_arguments(
            c"stats",
            stats,
            c"stats($self, /)\n--\n\nReturn the statistics of all threads together, as they are now.",
        ),
        no_arguments(c"_forget", forget, c"Part with the lane of a thread that has ended."),
    ];
    methods.extend(classes::common_methods());
    classes::class(
        c"fastalloc.ThreadLocalPool",
        size_of_pool,
        ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC,
        slots,
        methods,
        &[(c"__weaklistoffset__", weak_references)],
    )
}
