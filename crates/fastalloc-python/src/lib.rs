//! The extension module `fastalloc._native`: the pools of the Python package `fastalloc`.
//!
//! | | |
//! |---|---|
//! | `slots`, `table` | which object is whose: no Python, no unsafe code |
//! | `pool` | the pools: when which code of the program runs, and what holds meanwhile |
//! | `claim` | the line of those who wait, and slots on their way |
//! | `handle`, `awaitable`, `local` | what `with`, `await` and threads get |
//! | `blocks` | which memory is for which buffer: no Python |
//! | `buffers` | the pool of buffers, and when memory may be used again |
//! | `classes`, `api` | tables of what Python can call |
//! | `py`, `statics`, `trash` | references, errors, what lives for ever, and what does not |
//!
//! What is not in the way of speed is written in Python: `fastalloc._cold`.

mod api;
mod awaitable;
mod blocks;
mod buffers;
mod claim;
mod classes;
mod handle;
mod local;
mod pool;
mod py;
mod slots;
mod statics;
mod table;
mod trash;

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use crate::py::{Raised, guard};

/// Whether the classes have been made: a module that is imported again has the same.
static READY: AtomicBool = AtomicBool::new(false);

unsafe extern "C" fn execute(module: *mut PyObject) -> c_int {
    guard(|| {
        // SAFETY: the thread holds the GIL, so it has an interpreter.
        let interpreter = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
        if interpreter != 0 {
            // SAFETY: `ImportError` is always alive.
            return Err(py::raise_builtin(
                unsafe { ffi::PyExc_ImportError },
                c"fastalloc._native cannot be used in sub-interpreters: use it in the main interpreter",
            ));
        }
        if !READY.load(Ordering::Acquire) {
            statics::init()?;
            classes::init()?;
            buffers::init()?;
            READY.store(true, Ordering::Release);
        }
        for (name, class) in classes::members().into_iter().chain(buffers::members()) {
            // SAFETY: module and class are alive.
            if unsafe { ffi::PyModule_AddObjectRef(module, name.as_ptr(), class.get()) } != 0 {
                return Err(Raised);
            }
        }
        for (name, flag) in classes::FLAGS {
            // SAFETY: the module is alive.
            if unsafe { ffi::PyModule_AddIntConstant(module, name.as_ptr(), flag.into()) } != 0 {
                return Err(Raised);
            }
        }
        Ok(0)
    })
}

/// Called by `import`.
///
/// # Safety
///
/// Only Python calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyInit__native() -> *mut PyObject {
    let mut slots = vec![ffi::PyModuleDef_Slot {
        slot: ffi::Py_mod_exec,
        value: (execute as unsafe extern "C" fn(*mut PyObject) -> c_int) as *mut core::ffi::c_void,
    }];
    #[cfg(Py_3_12)]
    slots.push(ffi::PyModuleDef_Slot {
        slot: ffi::Py_mod_multiple_interpreters,
        value: ffi::Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED,
    });
    slots.push(ffi::PyModuleDef_Slot { slot: 0, value: ptr::null_mut() });
    // Python refers to all this as long as it runs.
    let definition = Box::leak(Box::new(ffi::PyModuleDef {
        m_base: ffi::PyModuleDef_HEAD_INIT,
        m_name: c"_native".as_ptr(),
        m_doc: c"The pools of fastalloc.".as_ptr(),
        m_size: 0,
        m_methods: Vec::leak(api::methods()).as_mut_ptr(),
        m_slots: Vec::leak(slots).as_mut_ptr(),
        m_traverse: None,
        m_clear: None,
        m_free: None,
    }));
    // SAFETY: a definition as Python demands it.
    unsafe { ffi::PyModuleDef_Init(ptr::from_mut(definition)) }
}
