//! What lives as long as the interpreter: classes, exceptions, names.

use core::ffi::CStr;

use crate::py::{self, Global, PyResult, Ref};

macro_rules! globals {
    ($($name:ident)*) => {
        $(pub static $name: Global = Global::new();)*
    };
}

globals! {
    POOL_EMPTY POOL_TIMEOUT POOL_CLOSED TYPE_MISMATCH ALREADY_RELEASED BUFFER_RELEASED
    HANDLE ASYNC_HANDLE CLAIM ACQUIRE DONE SELF_RETURNING
    FIXED GROWING THREAD_SAFE ASYNC THREAD_LOCAL
    BUFFER_POOL BUFFER MEMORY
    CAN_GROW CALCULATE_NEW_CAPACITY CREATED ACQUIRED RELEASED DESTROYED TAKEN LEAKED GET RELEASE SEND THROW CLOSE
}

/// Exceptions and names.
pub fn init() -> PyResult<()> {
    let exceptions = py::import(c"fastalloc.exceptions")?;
    for (global, name) in [
        (&POOL_EMPTY, c"PoolEmptyError"),
        (&POOL_TIMEOUT, c"PoolTimeoutError"),
        (&POOL_CLOSED, c"PoolClosedError"),
        (&TYPE_MISMATCH, c"TypeMismatchError"),
        (&ALREADY_RELEASED, c"AlreadyReleasedError"),
        (&BUFFER_RELEASED, c"BufferReleasedError"),
    ] {
        global.set(py::attribute(&exceptions, name)?);
    }
    for (global, name) in [
        (&CAN_GROW, c"can_grow"),
        (&CALCULATE_NEW_CAPACITY, c"calculate_new_capacity"),
        (&CREATED, c"created"),
        (&ACQUIRED, c"acquired"),
        (&RELEASED, c"released"),
        (&DESTROYED, c"destroyed"),
        (&TAKEN, c"taken"),
        (&LEAKED, c"leaked"),
        (&GET, c"get"),
        (&RELEASE, c"release"),
        (&SEND, c"send"),
        (&THROW, c"throw"),
        (&CLOSE, c"close"),
    ] {
        global.set(py::string(name)?);
    }
    Ok(())
}

/// A function of `fastalloc._cold`: what is written in Python because it need not be fast.
pub fn cold(name: &CStr) -> PyResult<Ref> {
    // Imported when first needed, because it imports what imports this module.
    py::attribute(&py::import(c"fastalloc._cold")?, name)
}
