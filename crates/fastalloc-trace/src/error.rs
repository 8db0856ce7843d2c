//! Why a trace cannot be read.

use std::io;

/// The result of reading from a trace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a trace cannot be read any further.
///
/// Offsets are in bytes from the start of what was read. That a trace ends too early is not an error:
/// [`TraceReader::ending`](crate::TraceReader::ending) tells.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source could not be read.
    #[error("cannot read the trace at offset {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// This is not a trace.
    #[error("not a {expected}: it does not start like one")]
    NotATrace {
        /// What it was taken for.
        expected: &'static str,
    },
    /// The trace was written by another version of its recorder.
    #[error("version {version} of the format is not known here, only those up to {known}; use a newer fastalloc-trace")]
    UnsupportedVersion {
        /// The version of the trace.
        version: u64,
        /// The newest version that can be read.
        known: u64,
    },
    /// A block is not what was written.
    #[error("the block at offset {offset} is damaged: its checksum is {found:#010x}, not {expected:#010x}")]
    Checksum {
        /// Where the block starts.
        offset: u64,
        /// The checksum that was written.
        expected: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// The content makes no sense.
    #[error("{what}, at byte {position} of the block or line at offset {offset}")]
    Corrupt {
        /// Where the block, or line, starts.
        offset: u64,
        /// Where in its payload, or line.
        position: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The content would need more memory than the limits allow.
    #[error("{what} would be {found}, but the limit is {limit}, in the block or line at offset {offset}")]
    LimitExceeded {
        /// Where the block, or line, starts.
        offset: u64,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
}
