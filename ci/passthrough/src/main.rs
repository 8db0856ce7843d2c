//! Reads a value when its handle is gone: a mistake for others to find. Exits with 0 if nobody does.
//!
//! The argument is the kind of the pool.

use std::ops::Deref;
use std::process::ExitCode;
use std::{env, ptr};

use fastalloc::{FixedPool, LockFreePool, Result, ThreadSafePool};

fn main() -> Result<ExitCode> {
    let value = match env::args().nth(1).as_deref() {
        Some("FixedPool") => read_late(FixedPool::new(2)?.allocate(7)?),
        Some("ThreadSafePool") => read_late(ThreadSafePool::new(2)?.allocate(7)?),
        Some("LockFreePool") => read_late(LockFreePool::new(2)?.allocate(7)?),
        _ => {
            eprintln!("usage: fastalloc-passthrough FixedPool|ThreadSafePool|LockFreePool");
            return Ok(ExitCode::from(2));
        }
    };
    println!("read {value}");
    Ok(ExitCode::SUCCESS)
}

fn read_late(handle: impl Deref<Target = u64>) -> u64 {
    let value = ptr::from_ref(&*handle);
    drop(handle);
    // SAFETY: usually the memory is still that of the pool, which is alive. Under passthrough this is the mistake.
    unsafe { value.read() }
}
