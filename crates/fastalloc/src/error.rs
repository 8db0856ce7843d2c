//! What can go wrong, and what to do about it.

use core::error;
use core::fmt;

/// The result of an operation on a pool.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// The reason why a pool did not do what it was asked for.
///
/// An operation that returns an error has changed nothing.
///
/// # Examples
///
/// ```
/// use fastalloc::{Error, FixedPool};
///
/// let pool = FixedPool::new(1)?;
/// let first = pool.allocate("only one fits")?;
/// let error = pool.allocate("a second does not").unwrap_err();
/// assert_eq!(error, Error::PoolExhausted { capacity: 1, allocated: 1 });
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// All slots are occupied, or fewer are vacant than were asked for at once, and the pool does not grow.
    PoolExhausted {
        /// Slots of the pool.
        capacity: usize,
        /// Slots that are occupied.
        allocated: usize,
    },
    /// The pool would have to grow beyond the limit in its configuration.
    MaxCapacityExceeded {
        /// Slots of the pool.
        current: usize,
        /// Slots that the pool would need.
        requested: usize,
        /// The configured limit, in slots.
        max: usize,
    },
    /// A pool cannot have a capacity of 0.
    InvalidCapacity,
    /// The alignment is not a power of two, or smaller than the type needs.
    InvalidAlignment {
        /// The rejected alignment, in bytes.
        alignment: usize,
    },
    /// A field of the configuration contradicts another, or the pool it is used for.
    InvalidConfiguration {
        /// Name of the field, as the builder calls it.
        field: &'static str,
        /// What is wrong with it, and what to write instead.
        message: &'static str,
    },
    /// The memory could not be had from the global allocator, or its size is beyond what can be addressed.
    OutOfMemory {
        /// Size of the request, in bytes; `usize::MAX` if it is larger than that.
        bytes: usize,
    },
    /// No slot became vacant in the time that the caller was ready to wait.
    Timeout,
    /// The pool was closed: it hands out nothing any more.
    Closed,
}

impl Error {
    pub(crate) const NO_INITIALIZER: Self = Self::InvalidConfiguration {
        field: "initialization_strategy",
        message: "acquire needs objects that the pool makes; \
                  add .initializer(f) or .reset_fn(f, reset), or call allocate(value)",
    };
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolExhausted { capacity, allocated } if allocated < capacity => write!(
                f,
                "too few vacant slots: {allocated} of {capacity} slots are occupied; \
                 ask for fewer at once, raise the capacity, or let the pool grow"
            ),
            Self::PoolExhausted { capacity, allocated } => write!(
                f,
                "pool exhausted: {allocated} of {capacity} slots are occupied; \
                 drop a handle, raise the capacity, or let the pool grow"
            ),
            Self::MaxCapacityExceeded { current, requested, max } => write!(
                f,
                "pool at its limit: it has {current} slots, would need {requested}, and max_capacity is {max}; \
                 drop handles or raise max_capacity"
            ),
            Self::InvalidCapacity => f.write_str("capacity is 0; a pool needs room for at least 1 object"),
            Self::InvalidAlignment { alignment } => write!(
                f,
                "alignment {alignment} cannot be used; \
                 it must be a power of two and at least the alignment of the pool's type"
            ),
            Self::InvalidConfiguration { field, message } => write!(f, "invalid {field}: {message}"),
            Self::Timeout => f.write_str(
                "timed out: no slot became vacant in the given time; \
                 wait longer, raise the capacity, or hold handles for a shorter time",
            ),
            Self::Closed => f.write_str("pool closed: it hands out nothing any more; make a new one"),
            Self::OutOfMemory { bytes: usize::MAX } => f.write_str(
                "out of memory: the pool's size in bytes is beyond what can be addressed; lower the capacity",
            ),
            Self::OutOfMemory { bytes } => {
                write!(f, "out of memory: {bytes} bytes could not be reserved; lower the capacity or the growth step")
            }
        }
    }
}

impl error::Error for Error {}

/// The error alone, without the handle that could not be converted.
///
/// Out of line, because callers would be large with what drops the handle.
#[cold]
pub(crate) fn without_handle<H>((error, _): (Error, H)) -> Error {
    error
}

/// A value that a pool did not take, with the reason.
///
/// Nothing is lost when a pool is full: [`allocate_or_return`](crate::Pool::allocate_or_return) gives
/// the value back in this form.
///
/// # Examples
///
/// ```
/// use fastalloc::FixedPool;
///
/// let pool = FixedPool::new(1)?;
/// let _only = pool.allocate(String::from("in the pool"))?;
/// let on_the_heap = match pool.allocate_or_return(String::from("too late")) {
///     Ok(_) => unreachable!("the pool is full"),
///     Err(rejected) => Box::new(rejected.value),
/// };
/// assert_eq!(*on_the_heap, "too late");
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected<T> {
    /// The value, as it was passed to the pool.
    pub value: T,
    /// Why the pool did not take it.
    pub error: Error,
}

impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> error::Error for Rejected<T> {}

impl<T> From<Rejected<T>> for Error {
    fn from(rejected: Rejected<T>) -> Self {
        rejected.error
    }
}
