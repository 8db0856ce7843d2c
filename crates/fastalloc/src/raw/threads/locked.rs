//! A depot behind a lock: it can grow.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use super::line::Taken;
use super::magazine::Batch;
use super::{Counts, Depot, Head};
use crate::allocator::StackAllocator;
use crate::chunk::Header;
use crate::config::PoolConfig;
use crate::error::Result;
use crate::poolable::Poolable;
use crate::raw::local::{self, Limits, Local, Maker, Owner};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;

/// A core for one thread, which is used under a lock.
#[expect(missing_debug_implementations, reason = "users cannot name it")]
pub struct Locked<T: Poolable> {
    /// What never changes is used without the lock: the limits and the functions of the configuration.
    core: Owner<T, StackAllocator>,
    lock: Mutex<()>,
    /// What the core says, to be read without the lock.
    vacant: AtomicUsize,
    capacity: AtomicUsize,
}

impl<T: Poolable> Locked<T> {
    /// Calls `f`, which must not call user code, with the core.
    fn with<R>(&self, f: impl FnOnce(&Local<T, StackAllocator>) -> R) -> R {
        self.lock.with(|()| {
            let result = f(&self.core);
            self.vacant.store(self.core.available(), Relaxed);
            self.capacity.store(self.core.capacity(), Relaxed);
            result
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.core.limits()
    }

    /// Adds slots, if necessary, so that `needed` ones are vacant in the depot.
    pub(crate) fn reserve(&self, needed: usize) -> Result<()> {
        self.with(|core| core.reserve(needed))
    }

    /// Gives memory back: see [`local::trim`].
    pub(crate) fn trim(&self, floor: usize) -> usize {
        local::trim(&|f: &mut dyn FnMut(&Local<T, StackAllocator>)| self.with(|core| f(core)), floor)
    }
}

// SAFETY: the core is used under the lock, but for what never changes, which can be shared: the functions
// of a configuration are `Sync`.
unsafe impl<T: Poolable> Depot<T> for Locked<T> {
    const WAITS: bool = true;

    fn create(config: PoolConfig<T>, head: NonNull<Head>) -> Result<Self> {
        let capacity = config.capacity;
        let mut config = config;
        let growth = config.growth_strategy.take();
        let limits = Limits { growth, max_capacity: config.max_capacity, floor: capacity };
        let core = Local::create_unfilled(
            config,
            StackAllocator::default(),
            limits,
            Some((head.cast(), Layout::new::<Counts>())),
        )?;
        let lock = Mutex::new(());
        Ok(Self { core, lock, vacant: AtomicUsize::new(capacity), capacity: AtomicUsize::new(capacity) })
    }

    fn maker(&self) -> Option<&Maker<T>> {
        self.core.maker()
    }

    fn vacant(&self) -> usize {
        self.vacant.load(Relaxed)
    }

    fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    fn bytes(&self) -> usize {
        self.with(Local::bytes)
    }

    fn take(&self, batch: &mut Batch, wanted: usize) {
        let with_object = self.maker().is_some();
        self.with(|core| {
            while batch.slots().len() < wanted {
                match core.take_vacant(with_object) {
                    Some((slot, has_object)) if has_object == with_object => batch.push(slot.cast()),
                    Some((slot, has_object)) => return core.put(slot, has_object),
                    None => return,
                }
            }
        });
    }

    fn take_one(&self, with_object: bool) -> Option<Taken> {
        let (slot, has_object) = self.with(|core| core.take_vacant(with_object))?;
        Some((slot.cast(), has_object))
    }

    fn take_all(&self, wanted: usize, taken: &mut Vec<Taken>) -> bool {
        self.with(|core| {
            let enough = core.available() >= wanted;
            if enough {
                let slots = core::iter::from_fn(|| core.take_vacant(false)).take(wanted);
                taken.extend(slots.map(|(slot, has_object)| (slot.cast(), has_object)));
            }
            enough
        })
    }

    fn take_empty(&self) -> Option<NonNull<u8>> {
        self.with(Local::take_empty).map(NonNull::cast)
    }

    fn give(&self, slots: &[NonNull<u8>], with_object: bool) {
        self.with(|core| {
            for slot in slots {
                core.put(slot.cast(), with_object);
            }
        });
    }

    fn renew(&self, slot: NonNull<u8>) {
        self.with(|core| core.renew(slot.cast()));
    }

    fn step(&self) -> usize {
        self.limits().step(self.capacity())
    }

    fn grow(&self, needed: usize, step: usize) -> Result<()> {
        self.with(|core| core.grow_by(needed, step))
    }

    #[cfg(feature = "stats")]
    fn growths(&self) -> u64 {
        self.with(|core| core.counters().growths())
    }

    fn make_counts(&self, header: &Header) -> Result<()> {
        self.with(|core| core.make_counts(header))
    }
}
