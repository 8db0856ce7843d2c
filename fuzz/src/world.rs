//! The values that pools hold in programs, and the user code that pools call: it counts, and falls into traps.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard};

use arbitrary::Arbitrary;
use fastalloc::{Poolable, Tenant};

use crate::program::{Operation, Trap};

/// User code that a pool calls.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Site {
    OnAcquire,
    OnRelease,
    Destructor,
    Initializer,
    Reset,
    Closure,
    Iterator,
    Growth,
    Clone,
}

pub(crate) struct World {
    /// How many values of each number are alive: at most one, unless they are zero-sized.
    pub(crate) alive: BTreeMap<u64, usize>,
    pub(crate) trap: Option<Trap>,
    /// Whether a trap was sprung in this step.
    pub(crate) sprung: bool,
    /// What the leak policy was told.
    pub(crate) told: Option<usize>,
    pub(crate) machine: Option<Reentrant>,
    last_id: u64,
}

/// One for all threads, of which only one runs at a time.
static WORLD: Mutex<World> = Mutex::new(World::NEW);

impl World {
    const NEW: Self = Self { alive: BTreeMap::new(), trap: None, sprung: false, told: None, machine: None, last_id: 0 };

    pub(crate) fn get() -> MutexGuard<'static, Self> {
        WORLD.lock().unwrap()
    }

    pub(crate) fn reset() {
        *Self::get() = Self::NEW;
    }
}

/// Performs an operation in the middle of another one.
pub(crate) trait Perform {
    fn perform(&self, operation: &Operation);
}

#[derive(Clone, Copy)]
pub(crate) struct Reentrant(pub(crate) *const dyn Perform);

// SAFETY: of the threads only one runs at a time.
unsafe impl Send for Reentrant {}

/// Springs the trap, if there is one here.
pub(crate) fn user_code(site: Site) {
    let mut world = World::get();
    let Some(trap) = world.trap.take_if(|trap| trap.site == site && !std::thread::panicking()) else { return };
    world.sprung = true;
    let machine = world.machine;
    drop(world);
    match (trap.deed, machine) {
        (None, _) => inject(),
        // SAFETY: the machine is there as long as the world knows of it.
        (Some(deed), Some(machine)) => unsafe { &*machine.0 }.perform(&deed),
        (Some(_), None) => {}
    }
}

/// Whether everything has to end as the model says.
pub(crate) fn quiet() -> bool {
    !World::get().sprung
}

struct Injected;

/// Panics without the hook, by which any other panic is a finding.
pub(crate) fn inject() -> ! {
    resume_unwind(Box::new(Injected))
}

/// The result of `f`, or `None` if it ended in an [`inject`]ed panic.
pub(crate) fn survive<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload: Box<dyn Any + Send>| assert!(payload.is::<Injected>())).ok()
}

/// What pools hold: values with a number, as far as they have room for one.
pub(crate) trait Value: Poolable + Clone + Send + Sync + 'static {
    /// How many numbers there are.
    const IDS: u64;

    fn new(id: u64) -> Self;
    fn id(&self) -> u64;

    fn fresh() -> Self {
        Self::new(fresh_id::<Self>())
    }
}

fn fresh_id<T: Value>() -> u64 {
    let mut world = World::get();
    world.last_id = (world.last_id + 1) % T::IDS;
    world.last_id
}

/// Whether the reset refuses to keep this object.
pub(crate) fn is_refused(id: u64) -> bool {
    id % 5 == 4
}

fn born(id: u64) {
    *World::get().alive.entry(id).or_default() += 1;
}

fn died(id: u64) {
    let mut world = World::get();
    let alive = world.alive.get_mut(&id).unwrap_or_else(|| panic!("{id} was destroyed though it was not alive"));
    *alive -= 1;
    if *alive == 0 {
        world.alive.remove(&id);
    }
}

/// What a handle of a trait object shows.
pub(crate) trait Named {
    fn id_and_address(&self) -> (u64, usize);
}

impl<T: Value> Named for T {
    fn id_and_address(&self) -> (u64, usize) {
        (self.id(), (&raw const *self).addr())
    }
}

impl Tenant for dyn Named {}

macro_rules! values {
    ($($(#[$attribute:meta])* struct $Name:ident($content:ty): $ids:expr, $from:expr, $to:expr;)*) => {$(
        $(#[$attribute])*
        pub(crate) struct $Name($content);

        impl Value for $Name {
            const IDS: u64 = $ids;

            fn new(id: u64) -> Self {
                born(id);
                let from: fn(u64) -> $content = $from;
                Self(from(id))
            }

            fn id(&self) -> u64 {
                let to: fn(&$content) -> u64 = $to;
                to(&self.0)
            }
        }

        impl Poolable for $Name {
            fn on_acquire(&mut self) {
                user_code(Site::OnAcquire);
            }

            fn on_release(&mut self) {
                user_code(Site::OnRelease);
            }
        }

        impl Clone for $Name {
            fn clone(&self) -> Self {
                user_code(Site::Clone);
                Self::fresh()
            }
        }

        impl Drop for $Name {
            fn drop(&mut self) {
                died(self.id());
                user_code(Site::Destructor);
            }
        }
    )*};
}

values! {
    struct Nothing(()): 1, |_| (), |()| 0;

    #[repr(align(128))]
    struct Line([u64; 8]): u64::MAX, |id| [id; 8], |line| {
        assert_eq!(*line, [line[0]; 8]);
        line[0]
    };

    // A box, so that the sanitizer sees what is destroyed twice, or never.
    struct Boxed(Box<u64>): u64::MAX, |id| Box::new(id), |id| **id;
}
