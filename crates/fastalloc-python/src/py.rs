//! Python, as the rest of this crate sees it: references that are counted, and errors that are set.
//!
//! All code of this crate runs with the GIL held: Python calls it, it starts no threads, and it never lets go of the GIL
//! but by calling Python. That is what makes these functions safe to call, and why nothing here is `Send`. The module does
//! not claim to work without the GIL, so a free-threaded Python switches it on.
//!
//! Whatever drops a `Ref` or calls Python may run any code of the program, which may use the pool at hand in any way.

use core::ffi::{CStr, c_char};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

/// An exception has been set.
#[derive(Debug)]
pub struct Raised;

pub type PyResult<T> = Result<T, Raised>;

/// A reference to an object that is owned.
#[derive(Debug)]
pub struct Ref(NonNull<PyObject>);

impl Ref {
    /// Takes over a reference from a function that returns null when it has set an exception.
    ///
    /// # Safety
    ///
    /// `pointer` is null and an exception set, or it is a reference that nobody else gives back.
    pub unsafe fn owned(pointer: *mut PyObject) -> PyResult<Self> {
        NonNull::new(pointer).map(Self).ok_or(Raised)
    }

    /// Makes one more reference to an object.
    ///
    /// # Safety
    ///
    /// `pointer` is null, or points to an object that is alive.
    pub unsafe fn borrowed(pointer: *mut PyObject) -> Option<Self> {
        // SAFETY: null does nothing, and what is alive may be referred to once more.
        unsafe { ffi::Py_XINCREF(pointer) };
        NonNull::new(pointer).map(Self)
    }

    pub fn none() -> Self {
        // SAFETY: `None` is always alive.
        Self(unsafe { NonNull::new_unchecked(ffi::Py_NewRef(ffi::Py_None())) })
    }

    pub fn as_ptr(&self) -> *mut PyObject {
        self.0.as_ptr()
    }

    /// The reference, to be given back by somebody else.
    pub fn into_ptr(self) -> *mut PyObject {
        let pointer = self.0.as_ptr();
        core::mem::forget(self);
        pointer
    }

    pub fn is_none(&self) -> bool {
        // SAFETY: only compares addresses.
        ptr::eq(self.as_ptr(), unsafe { ffi::Py_None() })
    }
}

impl Clone for Ref {
    fn clone(&self) -> Self {
        // SAFETY: a reference is owned, so the object is alive.
        unsafe { ffi::Py_INCREF(self.0.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        // SAFETY: the reference is owned, and given back once.
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) };
    }
}

/// Calls an object without arguments.
pub fn call0(callable: &Ref) -> PyResult<Ref> {
    // SAFETY: the object is alive, and what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyObject_CallNoArgs(callable.as_ptr())) }
}

/// Calls an object.
pub fn call<const N: usize>(callable: &Ref, arguments: [&Ref; N]) -> PyResult<Ref> {
    let pointers = arguments.map(Ref::as_ptr);
    // SAFETY: all objects are alive, `pointers` has N of them, and what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyObject_Vectorcall(callable.as_ptr(), pointers.as_ptr(), N, ptr::null_mut())) }
}

/// Calls a method without arguments.
pub fn call_method(object: &Ref, name: &Ref) -> PyResult<Ref> {
    // SAFETY: both are alive, the name is a string, and what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyObject_CallMethodNoArgs(object.as_ptr(), name.as_ptr())) }
}

/// Calls a method with one argument.
pub fn call_method1(object: &Ref, name: &Ref, argument: &Ref) -> PyResult<Ref> {
    let pointers = [object.as_ptr(), argument.as_ptr()];
    // SAFETY: as for `call_method`; the array has the object and one argument.
    unsafe { Ref::owned(ffi::PyObject_VectorcallMethod(name.as_ptr(), pointers.as_ptr(), 2, ptr::null_mut())) }
}

pub fn attribute(object: &Ref, name: &CStr) -> PyResult<Ref> {
    // SAFETY: the object is alive, the name a C string, and what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyObject_GetAttrString(object.as_ptr(), name.as_ptr())) }
}

pub fn import(name: &CStr) -> PyResult<Ref> {
    // SAFETY: the name is a C string, and what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyImport_ImportModule(name.as_ptr())) }
}

pub fn string(text: &CStr) -> PyResult<Ref> {
    // SAFETY: a C string; what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyUnicode_InternFromString(text.as_ptr())) }
}

pub fn integer(value: usize) -> PyResult<Ref> {
    // SAFETY: what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyLong_FromSize_t(value)) }
}

pub fn float(value: f64) -> PyResult<Ref> {
    // SAFETY: what is returned is null or a new reference.
    unsafe { Ref::owned(ffi::PyFloat_FromDouble(value)) }
}

pub fn to_f64(object: &Ref) -> PyResult<f64> {
    // SAFETY: the object is alive. What is no number sets an exception.
    let value = unsafe { ffi::PyFloat_AsDouble(object.as_ptr()) };
    if value == -1.0 && is_raised() {
        return Err(Raised);
    }
    Ok(value)
}

/// An index from Python; out of range if it is none that a pool can have.
pub fn to_index(object: &Ref) -> PyResult<usize> {
    // SAFETY: the object is alive. An integer that does not fit sets an exception.
    let value = unsafe { ffi::PyLong_AsSsize_t(object.as_ptr()) };
    if value == -1 && is_raised() {
        return Err(Raised);
    }
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

pub fn boolean(value: bool) -> Ref {
    // SAFETY: what is returned is a new reference to an object that is always alive.
    unsafe { Ref(NonNull::new_unchecked(ffi::PyBool_FromLong(value.into()))) }
}

pub fn is_true(object: &Ref) -> PyResult<bool> {
    // SAFETY: the object is alive.
    match unsafe { ffi::PyObject_IsTrue(object.as_ptr()) } {
        -1 => Err(Raised),
        value => Ok(value == 1),
    }
}

pub fn is_instance(object: &Ref, class: &Ref) -> PyResult<bool> {
    // SAFETY: both are alive.
    match unsafe { ffi::PyObject_IsInstance(object.as_ptr(), class.as_ptr()) } {
        -1 => Err(Raised),
        value => Ok(value == 1),
    }
}

pub fn tuple<const N: usize>(items: [Ref; N]) -> PyResult<Ref> {
    // SAFETY: what is returned is null or a new reference.
    let tuple = unsafe { Ref::owned(ffi::PyTuple_New(N as ffi::Py_ssize_t))? };
    for (position, item) in items.into_iter().enumerate() {
        // SAFETY: the tuple is new, the position in it, and the reference passes to it.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), position as ffi::Py_ssize_t, item.into_ptr()) };
    }
    Ok(tuple)
}

pub fn is_raised() -> bool {
    // SAFETY: only looks.
    !unsafe { ffi::PyErr_Occurred() }.is_null()
}

/// Sets an exception of this class.
pub fn raise(class: &Global, text: &CStr) -> Raised {
    // SAFETY: the class is alive, the text a C string.
    unsafe { ffi::PyErr_SetString(class.get(), text.as_ptr()) };
    Raised
}

pub fn raise_builtin(class: *mut PyObject, text: &CStr) -> Raised {
    // SAFETY: exceptions of Python itself are always alive.
    unsafe { ffi::PyErr_SetString(class, text.as_ptr()) };
    Raised
}

/// Tells about the exception that is set where nobody can catch it.
pub fn write_unraisable(context: *mut PyObject) {
    // SAFETY: an exception is set; the context is null or alive.
    unsafe { ffi::PyErr_WriteUnraisable(context) };
}

/// Runs code that may set and clear exceptions, where one may be set that must stay: in destructors.
pub fn preserving_exception<R>(code: impl FnOnce() -> R) -> R {
    let (mut class, mut value, mut traceback) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: the three are given back below.
    #[allow(deprecated, reason = "what replaces it exists since 3.12")]
    unsafe {
        ffi::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut traceback);
    }
    let result = code();
    // SAFETY: these are the references that were fetched.
    #[allow(deprecated, reason = "what replaces it exists since 3.12")]
    unsafe {
        ffi::PyErr_Restore(class, value, traceback);
    }
    result
}

/// What a function called by Python returns when it fails.
pub trait Failed {
    const FAILED: Self;
}

impl Failed for *mut PyObject {
    const FAILED: Self = ptr::null_mut();
}

impl Failed for core::ffi::c_int {
    const FAILED: Self = -1;
}

/// Runs the body of a function that Python calls: a panic becomes a `SystemError`.
pub fn guard<R: Failed>(body: impl FnOnce() -> PyResult<R>) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(result)) => result,
        Ok(Err(Raised)) => R::FAILED,
        Err(_) => {
            // SAFETY: `SystemError` is always alive.
            raise_builtin(unsafe { ffi::PyExc_SystemError }, c"fastalloc panicked: this is a bug in fastalloc");
            R::FAILED
        }
    }
}

/// An object that lives as long as the interpreter: set once, when the module is first imported.
pub struct Global(AtomicPtr<PyObject>);

impl Global {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline(always)]
    pub fn get(&self) -> *mut PyObject {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub fn as_type(&self) -> *mut PyTypeObject {
        self.get().cast()
    }

    pub fn set(&self, value: Ref) {
        self.0.store(value.into_ptr(), Ordering::Relaxed);
    }

    pub fn to_ref(&self) -> PyResult<Ref> {
        // SAFETY: null, or an object that is never given back.
        match unsafe { Ref::borrowed(self.get()) } {
            Some(reference) => Ok(reference),
            // SAFETY: `RuntimeError` is always alive.
            None => Err(raise_builtin(unsafe { ffi::PyExc_RuntimeError }, c"fastalloc._native is not initialized")),
        }
    }
}

/// The arguments of a function with the calling convention `METH_FASTCALL | METH_KEYWORDS` that takes at most one, which
/// has this name.
///
/// # Safety
///
/// The arguments are those that Python has passed.
pub unsafe fn one_optional(
    arguments: *const *mut PyObject,
    count: ffi::Py_ssize_t,
    names: *mut PyObject,
    name: &CStr,
    positional: bool,
) -> PyResult<Option<Ref>> {
    // SAFETY: a tuple, or null.
    let named = if names.is_null() { 0 } else { unsafe { ffi::PyTuple_Size(names) } };
    let type_error = |text| {
        // SAFETY: `TypeError` is always alive.
        Err(raise_builtin(unsafe { ffi::PyExc_TypeError }, text))
    };
    if count + named == 0 {
        return Ok(None);
    }
    if count + named > 1 || (count == 1 && !positional) {
        return type_error(c"too many arguments");
    }
    if named == 1 {
        // SAFETY: the tuple has one item, a string.
        let same = unsafe { ffi::PyUnicode_CompareWithASCIIString(ffi::PyTuple_GetItem(names, 0), name.as_ptr()) };
        if same != 0 {
            return type_error(c"unexpected keyword argument");
        }
    }
    // SAFETY: there is one argument, and it is alive.
    Ok(unsafe { Ref::borrowed(*arguments) })
}

/// A name, for tables that Python reads as long as it runs.
pub const fn name(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}
