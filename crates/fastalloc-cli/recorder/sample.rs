//! Which objects are in the sample, if not all are.
//!
//! Each allocation is, with a probability of one in N, whatever it is and whoever asks. Where its memory is is kept in a
//! table until it is freed, so that frees and reallocations are those of objects in the sample, exactly. The table is
//! sets of addresses, each as large as a line of the cache. Threads neither lock nor wait: an address belongs to one
//! object at a time, and whoever frees it takes it out before the allocator has it back. If a set is full, an object is
//! not in the sample.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::sys;

/// Objects in the sample that are alive at once, at most.
const SETS: usize = 1 << 18;

#[repr(align(64))]
struct Set([AtomicUsize; 8]);

static TABLE: AtomicPtr<[Set; SETS]> = AtomicPtr::new(ptr::null_mut());

/// Whether there is memory for the table.
pub(crate) fn prepare() -> bool {
    match sys::map::<[Set; SETS]>() {
        Some(table) => TABLE.store(table, Ordering::Release),
        None => return false,
    }
    true
}

/// Adds an address; `false` if there is no room.
pub(crate) fn insert(address: usize) -> bool {
    let free = |entry: &AtomicUsize| entry.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    set(address).is_some_and(|set| set.0.iter().any(free))
}

/// Removes an address; `false` if it is not there.
pub(crate) fn remove(address: usize) -> bool {
    let found = |entry: &&AtomicUsize| entry.load(Ordering::Relaxed) == address;
    let entry = set(address).and_then(|set| set.0.iter().find(found));
    entry.inspect(|entry| entry.store(0, Ordering::Relaxed)).is_some()
}

fn set(address: usize) -> Option<&'static Set> {
    // SAFETY: it is mapped, never unmapped, and atomic.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
    let hash = (address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    table.get(hash as usize & (SETS - 1))
}
