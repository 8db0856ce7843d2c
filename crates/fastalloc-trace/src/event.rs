//! An allocation, or the end of one. Like [`encode`](crate::encode), it is part of the recorder too.

/// The number of a stack in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u32);

impl StackId {
    /// The stack without a frame: the caller of all, or unknown.
    pub const EMPTY: Self = Self(0);
}

/// An allocation, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// When, in nanoseconds since the trace's time was 0.
    pub time: u64,
    /// Which thread, as the system numbers them; 0 if unknown.
    pub thread: u32,
    /// How long the call took, in nanoseconds; 0 if unknown.
    pub duration: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Memory was allocated.
    Allocate {
        /// Where the memory is.
        address: u64,
        /// How many bytes were asked for.
        size: u64,
        /// The alignment that was asked for, in bytes: a power of two below 2³².
        alignment: u32,
        /// Who asked.
        stack: StackId,
    },
    /// Memory was given back.
    Free {
        /// Where the memory was.
        address: u64,
    },
    /// Memory was given back, and other or the same memory allocated with what was in it.
    Reallocate {
        /// Where the memory was.
        old_address: u64,
        /// Where the memory is.
        address: u64,
        /// How many bytes were asked for.
        size: u64,
        /// The alignment that was asked for, in bytes: a power of two below 2³².
        alignment: u32,
        /// Who asked.
        stack: StackId,
    },
}
