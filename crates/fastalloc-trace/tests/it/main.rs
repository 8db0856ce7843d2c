//! One binary with all tests that need no private access.

mod advice;
mod analysis;
mod format;
mod heaptrack;
mod hostile;
mod large;
mod ordered;
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "this is how it is pasted")]
mod rendered;
mod round_trip;
mod script;
mod tables;

use fastalloc_trace::{Event, EventKind, Item, StackId};

/// What one thread allocates.
fn allocate(time: u64, address: u64, size: u64) -> Item {
    let kind = EventKind::Allocate { address, size, alignment: 8, stack: StackId::EMPTY };
    Item::Event(Event { time, thread: 1, duration: 0, kind })
}

/// What one thread frees.
fn free(time: u64, address: u64) -> Item {
    Item::Event(Event { time, thread: 1, duration: 0, kind: EventKind::Free { address } })
}
