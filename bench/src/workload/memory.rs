//! How much memory does an object take?

use core::{hint::black_box, ptr};
use std::{env, fs, process::Command};

use serde::{Deserialize, Serialize};

use super::{Sample, Workload};
use crate::{
    candidate::Candidate,
    object::{Object, opaque},
    random::Random,
};

/// Fill a pool with many objects, then release all of them in random order.
///
/// Each section is a process of its own, so that no candidate finds memory that was used before: this program
/// again, which is told with [`MEASURE_OPTION`] whom to measure and prints [`Bytes`] as JSON.
#[derive(Clone, Copy, Debug)]
pub struct BytesPerObject;

/// The option that is followed by the name of a candidate.
pub const MEASURE_OPTION: &str = "--measure-bytes-of";

/// How many objects.
const OBJECTS: usize = 1_000_000;

/// Bytes for each object, the object included but not its handle.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Bytes {
    /// Physical memory while all objects are there.
    pub resident: f64,
    /// Physical memory after all objects were released.
    pub resident_after: f64,
    /// Addresses while all objects are there.
    pub reserved: f64,
    /// The size of a handle.
    pub handle: f64,
}

impl Workload for BytesPerObject {
    fn section<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Sample {
        let program = env::current_exe().expect("the path of this program");
        let output = Command::new(program).args([MEASURE_OPTION, C::NAME]).output().expect("this program again");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes: Bytes = serde_json::from_slice(&output.stdout).expect("bytes as JSON");
        let figures = vec![bytes.resident, bytes.resident_after, bytes.reserved, bytes.handle];
        Sample { figures, calm: true }
    }
}

impl BytesPerObject {
    /// Measures in this process, which has done nothing else before.
    pub fn measure_here<const WORDS: usize, C: Candidate<WORDS>>(&self) -> Bytes {
        let pool;
        let mut handles = touched(OBJECTS);
        let before = Usage::now();
        pool = C::with_capacity(OBJECTS);
        black_box(&pool);
        for tag in 0..OBJECTS as u64 {
            handles.push(pool.allocate(Object::new(opaque(tag))));
        }
        let full = Usage::now();
        Random::new(6).shuffle_tail(&mut handles, OBJECTS);
        let mut sum = 0_u64;
        for handle in handles.drain(..) {
            sum += pool.read(&handle);
            pool.release(handle);
        }
        let empty = Usage::now();
        let objects = OBJECTS as u64;
        assert!(sum == objects * (objects - 1) / 2, "what was read was written");
        let each = |later: u64, earlier: u64| later.saturating_sub(earlier) as f64 / OBJECTS as f64;
        Bytes {
            resident: each(full.resident, before.resident),
            resident_after: each(empty.resident, before.resident),
            reserved: each(full.reserved, before.reserved),
            handle: size_of::<C::Handle<'_>>() as f64,
        }
    }
}

/// Makes an empty list whose pages the kernel has given already.
fn touched<H>(capacity: usize) -> Vec<H> {
    let mut list = Vec::with_capacity(capacity);
    let unused = list.spare_capacity_mut();
    // Not zeros: the compiler would ask for zeroed memory instead, which the kernel gives later.
    // SAFETY: the memory is the list's, and may hold any bytes.
    unsafe { ptr::write_bytes(unused.as_mut_ptr(), 0xff, unused.len()) };
    list
}

/// Memory of this process in bytes.
struct Usage {
    resident: u64,
    reserved: u64,
}

impl Usage {
    fn now() -> Self {
        Self {
            resident: kibibytes("/proc/self/smaps_rollup", "Rss:") * 1024,
            reserved: kibibytes("/proc/self/status", "VmSize:") * 1024,
        }
    }
}

/// Returns what a file of the kernel's says of `name`.
fn kibibytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("{path} has no {name}"))
}
