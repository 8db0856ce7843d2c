//! What the tests share: every kind of pool, values that are counted, panics that are expected.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use fastalloc::{Allocator, GrowthStrategy, Kind, Pool, PoolConfig, PoolConfigBuilder, Poolable};

/// So many objects, even small ones, that no machine has memory for them.
pub(crate) const BEYOND_MEMORY: usize = 1 << if usize::BITS > 32 { 40 } else { 30 };

/// Turns generic functions `fn test<A: Allocator + Default, K: Kind>()` into one test for each pool and allocator.
macro_rules! on_every_pool {
    ($($test:ident)*) => {
        $crate::support::on_every_pool! { @ fixed_stack: StackAllocator, Fixed; $($test)* }
        $crate::support::on_every_pool! { @ fixed_free_list: FreeListAllocator, Fixed; $($test)* }
        $crate::support::on_every_pool! { @ fixed_bitmap: BitmapAllocator, Fixed; $($test)* }
        $crate::support::on_every_pool! { @ growing_stack: StackAllocator, Growing; $($test)* }
        $crate::support::on_every_pool! { @ growing_free_list: FreeListAllocator, Growing; $($test)* }
        $crate::support::on_every_pool! { @ growing_bitmap: BitmapAllocator, Growing; $($test)* }
        $crate::support::on_every_pool! { @ thread_local_stack: StackAllocator, ThreadLocal; $($test)* }
        $crate::support::on_every_pool! { @ thread_local_free_list: FreeListAllocator, ThreadLocal; $($test)* }
        $crate::support::on_every_pool! { @ thread_local_bitmap: BitmapAllocator, ThreadLocal; $($test)* }
    };
    (@ $pool:ident: $Allocator:ident, $Kind:ident; $($test:ident)*) => {
        mod $pool {
            $(
                #[test]
                fn $test() {
                    super::$test::<fastalloc::$Allocator, fastalloc::$Kind>();
                }
            )*
        }
    };
}

/// The same for what only growing pools do: `fn test<A: Allocator + Default>()`.
macro_rules! on_every_growing_pool {
    ($($test:ident)*) => {
        $crate::support::on_every_growing_pool! { @ stack: StackAllocator; $($test)* }
        $crate::support::on_every_growing_pool! { @ free_list: FreeListAllocator; $($test)* }
        $crate::support::on_every_growing_pool! { @ bitmap: BitmapAllocator; $($test)* }
    };
    (@ $pool:ident: $Allocator:ident; $($test:ident)*) => {
        mod $pool {
            $(
                #[test]
                fn $test() {
                    super::$test::<fastalloc::$Allocator>();
                }
            )*
        }
    };
}

/// Asserts for each type that it has some traits and lacks others.
macro_rules! traits {
    ($($Type:ty: [$($has:ident)*], not [$($lacks:ident)*];)*) => {$(
        $(
            const _: () = {
                const fn has<T: ?Sized + $has>() {}
                has::<$Type>();
            };
        )*
        $(
            const _: () = {
                // If the type had the trait, it would not be clear which `LACKS` is meant.
                trait IfAny<Marker> {
                    const LACKS: () = ();
                }
                struct IfItHas;
                impl<T: ?Sized> IfAny<()> for T {}
                impl<T: ?Sized + $lacks> IfAny<IfItHas> for T {}
                <$Type as IfAny<_>>::LACKS
            };
        )*
    )*};
}

pub(crate) use {on_every_growing_pool, on_every_pool, traits};

/// An alignment that makes slots so large that a block of memory, the unit of a trim, has few of them. Under
/// passthrough it has one in any case.
pub(crate) const BLOCK: usize = if cfg!(fastalloc_passthrough) { 4 << 10 } else { 4 << 20 };

/// A configuration that every pool accepts: it does not grow.
pub(crate) fn config<T>(capacity: usize) -> PoolConfigBuilder<T> {
    PoolConfig::builder().capacity(capacity).growth_strategy(GrowthStrategy::None)
}

/// A pool that does not grow.
pub(crate) fn pool<T: Poolable, A: Allocator + Default, K: Kind>(capacity: usize) -> Pool<T, A, K> {
    build(config(capacity))
}

pub(crate) fn build<T: Poolable, A: Allocator + Default, K: Kind>(config: PoolConfigBuilder<T>) -> Pool<T, A, K> {
    Pool::with_allocator(config.build().unwrap(), A::default()).unwrap()
}

/// What was born and has died, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<u64, i32>>>);

impl Ledger {
    pub(crate) fn value(&self, id: u64) -> Counted {
        assert!(self.0.lock().unwrap().insert(id, 0).is_none(), "value {id} exists already");
        Counted { id, ledger: self.clone() }
    }

    /// A value with a number of its own.
    pub(crate) fn next(&self) -> Counted {
        self.value(self.born() as u64)
    }

    pub(crate) fn born(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn dead(&self) -> usize {
        self.0.lock().unwrap().values().filter(|&&deaths| deaths > 0).count()
    }

    /// Asserts that so many values were born, and each of them was destroyed exactly once.
    #[track_caller]
    pub(crate) fn assert_all_dead(&self, born: usize) {
        let deaths: Vec<i32> = self.0.lock().unwrap().values().copied().collect();
        assert_eq!(deaths, vec![1; born], "deaths by number");
    }
}

/// A value whose destructor is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) id: u64,
    ledger: Ledger,
}

impl Poolable for Counted {}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.ledger.next()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.ledger.0.lock().unwrap().get_mut(&self.id).expect("it was born") += 1;
    }
}

/// A panic that a test wants.
#[derive(Debug)]
pub(crate) struct Injected;

/// Panics without a message on the terminal.
pub(crate) fn inject() -> ! {
    resume_unwind(Box::new(Injected))
}

/// The result of `f`, or `None` if it ended in an [`inject`]ed panic. Other panics go on.
pub(crate) fn survive<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Injected>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// The message of the panic that `f` ends in.
pub(crate) fn panic_message<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("no panic"),
        Err(payload) => match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(payload) => payload.downcast::<&'static str>().map(|message| message.to_string()).unwrap_or_default(),
        },
    }
}

thread_local! {
    static EVENTS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    static PANIC_AT: Cell<&'static str> = const { Cell::new("") };
}

/// Notes that user code of this name runs, which panics if it was told to.
pub(crate) fn event(name: &'static str) {
    EVENTS.with_borrow_mut(|events| events.push(name));
    if PANIC_AT.get() == name && !std::thread::panicking() {
        PANIC_AT.set("");
        inject();
    }
}

/// Makes the next [`event`] of this name panic.
pub(crate) fn panic_at(name: &'static str) {
    PANIC_AT.set(name);
}

/// The events since the last call.
pub(crate) fn events() -> Vec<&'static str> {
    EVENTS.take()
}

/// A value that reports what happens to it.
#[derive(Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reporter(pub(crate) u32);

impl Poolable for Reporter {
    fn on_acquire(&mut self) {
        event("acquire");
    }

    fn on_release(&mut self) {
        event("release");
    }
}

impl Clone for Reporter {
    fn clone(&self) -> Self {
        event("clone");
        Self(self.0)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        event("drop");
    }
}
