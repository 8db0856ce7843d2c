//! Who holds what: for pools that track leaks, where, when and by which thread each object was allocated.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;
use core::slice;
use core::time::Duration;
use std::io::{Write, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::events;
use crate::raw::{Defer, Place};

/// The objects that are out of a pool, the one that has been so for the longest time first.
///
/// From [`Pool::outstanding`](crate::Pool::outstanding) or [`SharedPool::outstanding`](crate::SharedPool::outstanding).
/// Shown by `{}`, it is a report: a line for each place in the program.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, PoolConfig};
///
/// let config = PoolConfig::builder().capacity(10).name("numbers").track_leaks(true);
/// let pool = FixedPool::with_config(config.build()?)?;
/// let numbers = pool.allocate_batch([1, 2, 3])?;
/// let word = pool.allocate(4)?;
///
/// let outstanding = pool.outstanding().expect("the pool tracks leaks");
/// assert_eq!((outstanding.objects().len(), outstanding.by_place().len()), (4, 2));
/// let places = outstanding.by_place();
/// assert!(places[0].objects == 3 && places[0].place.line() < places[1].place.line());
/// println!("{outstanding}");
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Outstanding {
    name: Option<Cow<'static, str>>,
    type_name: &'static str,
    objects: Vec<HeldObject>,
}

/// An object that is out of its pool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldObject {
    /// Index of its slot.
    pub index: usize,
    /// Where it was allocated.
    pub place: &'static Location<'static>,
    /// By which thread.
    pub thread: Thread,
    /// How long ago.
    pub age: Duration,
}

/// A place in the program that allocated objects which are out of their pool.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldPlace {
    /// Where they were allocated.
    pub place: &'static Location<'static>,
    /// How many there are.
    pub objects: usize,
    /// For how long the first of them has been out.
    pub age: Duration,
    /// Which thread allocated that.
    pub thread: Thread,
}

impl Outstanding {
    /// What the pool is called in its configuration.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The type of the objects, as [`core::any::type_name`] has it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The objects, the oldest first.
    #[must_use]
    pub fn objects(&self) -> &[HeldObject] {
        &self.objects
    }

    /// Whether nothing is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The places in the program that allocated them, that of the oldest object first.
    #[must_use]
    pub fn by_place(&self) -> Vec<HeldPlace> {
        let mut places = Vec::<HeldPlace>::new();
        for HeldObject { place, age, thread, .. } in &self.objects {
            // There may be many objects, but hardly many places.
            match places.iter_mut().find(|known| known.place == *place) {
                Some(known) => known.objects += 1,
                None => places.push(HeldPlace { place, objects: 1, age: *age, thread: thread.clone() }),
            }
        }
        places
    }

    /// Only the objects that had been out for longer than this.
    #[must_use]
    pub fn held_longer_than(mut self, age: Duration) -> Self {
        self.objects.retain(|object| object.age > age);
        self
    }
}

impl<'a> IntoIterator for &'a Outstanding {
    type Item = &'a HeldObject;
    type IntoIter = slice::Iter<'a, HeldObject>;

    fn into_iter(self) -> Self::IntoIter {
        self.objects.iter()
    }
}

impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, type_name, objects } = self;
        write!(f, "{} {} of type {type_name}", objects.len(), if objects.len() == 1 { "object" } else { "objects" })?;
        if let Some(name) = name {
            write!(f, " of the pool `{name}`")?;
        }
        for HeldPlace { place, objects, age, thread } in self.by_place() {
            let thread = thread.name().unwrap_or("?");
            let first = if objects == 1 { "" } else { "the first one " };
            write!(f, "\n  {objects} from {place}, {first}{age:.1?} ago by the thread `{thread}`")?;
        }
        Ok(())
    }
}

/// What happens if a pool that tracks leaks ends while objects are out.
///
/// For pools that threads share this is when the last of the pool's clones and of its weak handles is dropped. All
/// others keep their handles from outliving them, so there it tells of handles that were forgotten or leaked. In a struct
/// that has both, a shared pool should be declared after its handles, because fields are dropped in this order. A pool in
/// a `static` never ends.
///
/// With the feature `serde`, `"ignore"`, `"warn"` and `"panic"`; a function cannot be serialized.
#[derive(Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum LeakPolicy {
    /// Nothing; the objects can still be asked for as long as there is the pool.
    Ignore,
    /// The report is written to standard error, if that is possible.
    #[default]
    Warn,
    /// A panic, for tests; or a warning if the thread panics already. Not for pools in a `thread_local!`, where a panic
    /// ends the program.
    Panic,
    /// A function gets the report.
    #[cfg_attr(feature = "serde", serde(skip))]
    Tell {
        /// Called once, in the destructor of the pool.
        listener: Box<dyn Fn(&Outstanding) + Send + Sync>,
    },
}

impl LeakPolicy {
    /// [`Tell`](Self::Tell) with this function.
    pub fn tell(listener: impl Fn(&Outstanding) + Send + Sync + 'static) -> Self {
        Self::Tell { listener: Box::new(listener) }
    }
}

impl fmt::Debug for LeakPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "Ignore",
            Self::Warn => "Warn",
            Self::Panic => "Panic",
            Self::Tell { .. } => "Tell { .. }",
        })
    }
}

const ENDED: &str = "a pool ended while objects were out of it";

/// Remembers for each slot of a pool who got it.
pub(crate) struct Tracker {
    policy: LeakPolicy,
    type_name: &'static str,
    holders: Mutex<Holders>,
}

#[derive(Default)]
struct Holders {
    /// By index; `None` for slots that nobody has.
    by_index: Vec<Option<Holder>>,
    /// How many there have been.
    count: u64,
}

struct Holder {
    number: u64,
    place: Place,
    thread: Thread,
    since: Instant,
}

impl Tracker {
    pub(crate) fn new<T>(policy: LeakPolicy) -> Self {
        Self { policy, type_name: core::any::type_name::<T>(), holders: Mutex::default() }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        // Nothing unwinds while it is locked.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody got a slot of a pool that has so many.
    #[cold]
    #[inline(never)]
    pub(crate) fn track(&self, index: usize, capacity: usize, place: Place) -> Result<()> {
        let thread = thread::current();
        let mut holders = self.holders();
        let Holders { by_index, count } = &mut *holders;
        if index >= by_index.len() {
            let slots = capacity.max(index + 1);
            let out_of_memory = |_| Error::OutOfMemory { bytes: slots.saturating_mul(size_of::<Option<Holder>>()) };
            by_index.try_reserve_exact(slots - by_index.len()).map_err(out_of_memory)?;
            by_index.resize_with(index + 1, || None);
        }
        *count += 1;
        by_index[index] = Some(Holder { number: *count, place, thread, since: Instant::now() });
        Ok(())
    }

    /// Nobody has a slot any more.
    #[cold]
    #[inline(never)]
    pub(crate) fn untrack(&self, index: usize) {
        if let Some(holder) = self.holders().by_index.get_mut(index) {
            *holder = None;
        }
    }

    /// What is out of the pool, which is called so.
    pub(crate) fn outstanding(&self, name: Option<&Cow<'static, str>>) -> Outstanding {
        let mut objects = Vec::new();
        let holders = self.holders();
        let now = Instant::now();
        for (index, holder) in holders.by_index.iter().enumerate() {
            if let Some(Holder { number, place, thread, since }) = holder {
                let age = now.saturating_duration_since(*since);
                objects.push((*number, HeldObject { index, place, thread: thread.clone(), age }));
            }
        }
        drop(holders);
        objects.sort_unstable_by_key(|(number, _)| *number);
        let objects = objects.into_iter().map(|(_, object)| object).collect();
        Outstanding { name: name.cloned(), type_name: self.type_name, objects }
    }

    /// Does what is to be done when the pool ends. May call user code.
    pub(crate) fn end(&self, name: Option<&Cow<'static, str>>) {
        let outstanding = self.outstanding(name);
        if outstanding.is_empty() || matches!(self.policy, LeakPolicy::Ignore) {
            return;
        }
        // Also if a listener to events unwinds.
        let _tell = Defer(|| match &self.policy {
            LeakPolicy::Tell { listener } => listener(&outstanding),
            LeakPolicy::Panic if !thread::panicking() => panic!("{ENDED}: {outstanding}"),
            // Not with `eprintln`, which panics if nobody reads it.
            _ => drop(writeln!(stderr(), "fastalloc: {ENDED}: {outstanding}")),
        });
        events::leaked(&outstanding);
    }
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// What the documents say.
    #[test]
    fn note_takes_forty_bytes() {
        assert_eq!(size_of::<Option<Holder>>(), 40);
    }
}
