//! Random programs against a model too simple to be wrong: a list of the tenants, and a count of what is alive.
//!
//! Each step is an operation, and perhaps a trap: user code of some kind (a hook, a destructor, a closure, …) that will
//! panic, or use the pool, the next time it runs. A step in which no trap was sprung has to end exactly as the model
//! says. After a sprung trap, what the model knows still has to hold: nothing is lost, moved or destroyed twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::mem;
use std::rc::Rc;

use fastalloc::{
    Allocator, Error, GrowthStrategy, InitializationStrategy, Kind, OwnedHandle, Pool, PoolConfig, Poolable, Rejected,
    Result, SharedHandle, WeakHandle,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::support::{BLOCK, inject, on_every_pool, survive};

on_every_pool! {
    zero_sized
    byte
    cache_line
    text
    page
}

fn zero_sized<A: Allocator + Default, K: Kind + 'static>() {
    run_programs::<Nothing, A, K>();
}

fn byte<A: Allocator + Default, K: Kind + 'static>() {
    run_programs::<Byte, A, K>();
}

fn cache_line<A: Allocator + Default, K: Kind + 'static>() {
    run_programs::<Line, A, K>();
}

fn text<A: Allocator + Default, K: Kind + 'static>() {
    run_programs::<Text, A, K>();
}

fn page<A: Allocator + Default, K: Kind + 'static>() {
    run_programs::<Page, A, K>();
}

const PROGRAMS: u32 = if cfg!(miri) { 1 } else { 16 };
const STEPS: usize = if cfg!(miri) { 20 } else { 80 };

fn run_programs<T: Subject, A: Allocator + Default, K: Kind + 'static>() {
    explore(grows::<K>(), &run_program::<T, A, K>);
}

/// Runs random programs, the same in every run of the tests, and makes one that fails smaller.
fn explore(grows: bool, run_program: &dyn Fn(&Setup, &[Step])) {
    let config = ProptestConfig {
        cases: PROGRAMS,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let program = (setup(grows), vec(step(), STEPS / 2..=STEPS));
    let result = TestRunner::new_with_rng(config, random).run(&program, |(setup, steps)| {
        run_program(&setup, &steps);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

fn run_program<T: Subject, A: Allocator + Default, K: Kind + 'static>(setup: &Setup, steps: &[Step]) {
    WORLD.set(World::default());
    let leak = LeakIfPanicking;
    let pool = Box::into_raw(Box::new(Pool::<T, A, K>::with_allocator(setup.config(), A::default()).unwrap()));
    // SAFETY: the box is dropped at the end of this function.
    let machine = Rc::new(Machine::new(unsafe { &*pool }, setup.clone()));
    let reentrant = Rc::clone(&machine);
    WORLD.with_borrow_mut(|world| world.reenter = Some(Rc::new(move |deed| reentrant.perform(deed))));
    machine.check();
    for step in steps {
        machine.step(step);
    }
    drop(leak);
    WORLD.with_borrow_mut(|world| world.reenter = None);
    drop(Rc::into_inner(machine).expect("the last reference"));
    // SAFETY: the handles, which alone borrowed the pool, went with the machine.
    drop(unsafe { Box::from_raw(pool) });
    WORLD.with_borrow(|world| assert!(world.alive.is_empty() && world.complaints.is_empty(), "{world:?}"));
}

/// After a failure the handles are not dropped, as that may fail too, and abort.
struct LeakIfPanicking;

impl Drop for LeakIfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            mem::forget(WORLD.take().reenter);
        }
    }
}

fn grows<K: 'static>() -> bool {
    std::any::TypeId::of::<K>() == std::any::TypeId::of::<fastalloc::Growing>()
}

// Programs.

#[derive(Clone, Debug)]
struct Setup {
    capacity: usize,
    growth: Growth,
    life: Life,
    alignment: usize,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "leaks cannot be tracked without std"))]
    tracks_leaks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Growth {
    Never,
    Linear(usize),
    Exponential(f64),
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Values,
    Recycled,
    Eager,
}

/// Growing pools have no more slots than this.
const LIMIT: usize = 30;

impl Setup {
    fn config<T: Subject>(&self) -> PoolConfig<T> {
        let strategy = match self.growth {
            Growth::Never => GrowthStrategy::None,
            Growth::Linear(amount) => GrowthStrategy::Linear { amount },
            Growth::Exponential(factor) => GrowthStrategy::Exponential { factor },
            Growth::Custom => GrowthStrategy::Custom {
                compute: Box::new(|capacity| {
                    user_code(Site::Growth);
                    custom_growth(capacity)
                }),
            },
        };
        let initializer = || {
            user_code(Site::Initializer);
            T::new(fresh_id::<T>())
        };
        let life = match self.life {
            Life::Values => InitializationStrategy::Lazy,
            Life::Recycled => InitializationStrategy::custom(initializer, |object: &mut T| {
                user_code(Site::Reset);
                !is_refused::<T>(object.id())
            }),
            Life::Eager => InitializationStrategy::eager(initializer),
        };
        let config = PoolConfig::builder();
        #[cfg(feature = "std")]
        let config = if self.tracks_leaks {
            config.track_leaks(true).leak_policy(fastalloc::LeakPolicy::Ignore)
        } else {
            config
        };
        config
            .capacity(self.capacity)
            .max_capacity((self.growth != Growth::Never).then_some(LIMIT))
            .growth_strategy(strategy)
            .alignment(self.alignment.max(align_of::<T>()))
            .initialization_strategy(life)
            .build()
            .unwrap()
    }

    /// How many slots a full pool adds.
    fn growth_step(&self, capacity: usize) -> usize {
        match self.growth {
            Growth::Never => 0,
            Growth::Linear(amount) => amount,
            Growth::Exponential(factor) => ((capacity as f64 * factor) as usize - capacity).max(1),
            Growth::Custom => custom_growth(capacity),
        }
    }
}

fn custom_growth(capacity: usize) -> usize {
    capacity / 2 + 1
}

fn setup(grows: bool) -> impl Strategy<Value = Setup> {
    let growth = if grows {
        let growths = [Growth::Linear(1), Growth::Linear(7), Growth::Exponential(1.5), Growth::Custom, Growth::Custom];
        prop::sample::select(growths.to_vec()).boxed()
    } else {
        Just(Growth::Never).boxed()
    };
    let life = prop::sample::select(vec![Life::Values, Life::Recycled, Life::Eager]);
    let alignment = prop::sample::select(vec![1, 256, BLOCK, BLOCK]);
    (1..12_usize, growth, life, alignment, prop::bool::weighted(0.25)).prop_map(
        |(capacity, growth, life, alignment, tracks_leaks)| Setup { capacity, growth, life, alignment, tracks_leaks },
    )
}

#[derive(Clone, Debug)]
struct Step {
    operation: Operation,
    trap: Option<Trap>,
}

#[derive(Clone, Debug)]
struct Trap {
    site: Site,
    /// `None`: it panics.
    deed: Option<Operation>,
}

/// User code that a pool calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Site {
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

/// Numbers stand for tenants or weak handles, modulo how many there are.
#[derive(Clone, Debug)]
enum Operation {
    Allocate,
    TryAllocate,
    AllocateOrReturn,
    AllocateWith,
    AllocateInPlace,
    AllocateShared,
    /// So many values, and by how many the iterator exaggerates.
    Batch(usize, isize),
    Acquire,
    TryClone(usize),
    Drop(usize),
    /// Drops all owned handles.
    Clear,
    IntoInner(usize),
    Forget(usize),
    Leak(usize),
    Share(usize),
    Unshare(usize),
    CloneShared(usize),
    DropShared(usize),
    Downgrade(usize),
    CloneWeak(usize),
    Upgrade(usize),
    DropWeak(usize),
    Reserve(usize),
    Trim,
    TrimTo(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let at = || any::<prop::sample::Index>().prop_map(|index| index.index(1_000));
    prop_oneof![
        6 => Just(Allocate),
        2 => Just(TryAllocate),
        2 => Just(AllocateOrReturn),
        2 => Just(AllocateWith),
        2 => Just(AllocateInPlace),
        2 => Just(AllocateShared),
        4 => (0..9_usize, -2..3_isize).prop_map(|(len, lie)| Batch(len, lie)),
        8 => Just(Acquire),
        2 => at().prop_map(TryClone),
        12 => at().prop_map(Drop),
        2 => Just(Clear),
        2 => at().prop_map(IntoInner),
        1 => prop_oneof![at().prop_map(Forget), at().prop_map(Leak)],
        3 => at().prop_map(Share),
        2 => at().prop_map(Unshare),
        2 => at().prop_map(CloneShared),
        2 => at().prop_map(DropShared),
        2 => at().prop_map(Downgrade),
        1 => at().prop_map(CloneWeak),
        2 => at().prop_map(Upgrade),
        2 => at().prop_map(DropWeak),
        2 => (0..20_usize).prop_map(Reserve),
        3 => Just(Trim),
        3 => (0..20_usize).prop_map(TrimTo),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    use Site::*;
    let sites = [OnAcquire, OnRelease, Destructor, Destructor, Initializer, Reset, Closure, Iterator, Growth, Clone];
    let trap = (prop::sample::select(sites.to_vec()), prop::option::of(operation()));
    let trap = prop::option::of(trap.prop_map(|(site, deed)| Trap { site, deed }));
    (operation(), trap).prop_map(|(operation, mut trap)| {
        // A trim calls no other code.
        if let (Operation::Trim | Operation::TrimTo(_), Some(trap)) = (&operation, &mut trap) {
            trap.site = Destructor;
        }
        Step { operation, trap }
    })
}

// The world that user code lives in.

#[derive(Default)]
struct World {
    /// How many values of each number are alive: at most one, unless they are zero-sized.
    alive: BTreeMap<u64, usize>,
    last_id: u64,
    trap: Option<Trap>,
    /// Whether a trap was sprung in this step.
    sprung: bool,
    complaints: Vec<String>,
    reenter: Option<Reenter>,
}

type Reenter = Rc<dyn Fn(&Operation)>;

impl Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("alive", &self.alive)
            .field("complaints", &self.complaints)
            .finish_non_exhaustive()
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// Springs the trap, if there is one here.
fn user_code(site: Site) {
    let trap = WORLD.with_borrow_mut(|world| {
        let trap = world.trap.take_if(|trap| trap.site == site && !std::thread::panicking());
        world.sprung |= trap.is_some();
        trap
    });
    let Some(trap) = trap else { return };
    let Some(deed) = trap.deed else { inject() };
    if let Some(reenter) = WORLD.with_borrow(|world| world.reenter.clone()) {
        reenter(&deed);
    }
}

fn quiet() -> bool {
    WORLD.with_borrow(|world| !world.sprung)
}

fn fresh_id<T: Subject>() -> u64 {
    WORLD.with_borrow_mut(|world| {
        loop {
            world.last_id = (world.last_id + 1) % T::IDS;
            if T::IDS == 1 || !world.alive.contains_key(&world.last_id) {
                return world.last_id;
            }
        }
    })
}

/// Whether the reset refuses to keep this object.
fn is_refused<T: Subject>(id: u64) -> bool {
    T::IDS > 1 && id % 5 == 0
}

fn born(id: u64) {
    WORLD.with_borrow_mut(|world| *world.alive.entry(id).or_default() += 1);
}

fn died(id: u64) {
    WORLD.with_borrow_mut(|world| match world.alive.get_mut(&id) {
        Some(1) => drop(world.alive.remove(&id)),
        Some(count) => *count -= 1,
        None => world.complaints.push(format!("{id} was destroyed though it was not alive")),
    });
}

/// What the pools hold: values with a number, as far as they have room for one.
trait Subject: Poolable + Clone + 'static {
    /// How many numbers there are.
    const IDS: u64;

    fn new(id: u64) -> Self;
    fn id(&self) -> u64;
}

macro_rules! subjects {
    ($($(#[$attribute:meta])* struct $Name:ident($content:ty): $ids:expr, $from:expr, $to:expr;)*) => {$(
        $(#[$attribute])*
        struct $Name($content);

        impl Subject for $Name {
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
                Self::new(fresh_id::<Self>())
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

subjects! {
    struct Nothing(()): 1, |_| (), |()| 0;

    struct Byte(u8): 256, |id| id as u8, |&byte| byte.into();

    #[repr(align(128))]
    struct Line([u64; 8]): u64::MAX, |id| [id; 8], |line| {
        assert_eq!(*line, [line[0]; 8]);
        line[0]
    };

    struct Text(String): u64::MAX, |id| format!("the text with number {id}"), |text| {
        text.strip_prefix("the text with number ").expect("it is such a text").parse().unwrap()
    };

    struct Page([u8; 16 << 10]): 256, |id| [id as u8; 16 << 10], |page| {
        assert_eq!(page[..64], page[page.len() - 64..]);
        page[8_000].into()
    };
}

// The model and the pool, side by side.

struct Machine<T: Subject, A: Allocator, K: Kind + 'static> {
    pool: &'static Pool<T, A, K>,
    setup: Setup,
    tenants: RefCell<Vec<Tenant<T>>>,
    weak_handles: RefCell<Vec<Weak<T>>>,
    /// Values that were shared: gives each a number of its own.
    shared: Cell<u64>,
    /// Whether slots may be missing before the last one.
    trimmed: Cell<bool>,
}

struct Tenant<T: Subject> {
    id: u64,
    address: usize,
    index: usize,
    owner: Owner<T>,
}

enum Owner<T: Subject> {
    Handle(OwnedHandle<'static, T>),
    /// The handles, and the number of the sharing.
    Shared(Vec<SharedHandle<'static, T>>, u64),
    Leaked(&'static T),
    Forgotten,
}

struct Weak<T: Subject> {
    handle: WeakHandle<'static, T>,
    shared: u64,
}

/// What a failed operation must not change.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    capacity: usize,
    available: usize,
    bytes: usize,
    kept: usize,
}

impl<T: Subject, A: Allocator, K: Kind + 'static> Machine<T, A, K> {
    fn new(pool: &'static Pool<T, A, K>, setup: Setup) -> Self {
        Self {
            pool,
            setup,
            tenants: RefCell::default(),
            weak_handles: RefCell::default(),
            shared: Cell::new(0),
            trimmed: Cell::new(false),
        }
    }

    fn step(&self, step: &Step) {
        WORLD.with_borrow_mut(|world| {
            world.trap = step.trap.clone();
            world.sprung = false;
        });
        survive(|| self.perform(&step.operation));
        WORLD.with_borrow_mut(|world| world.trap = None);
        self.check();
    }

    fn snapshot(&self) -> Snapshot {
        let pool = self.pool;
        Snapshot {
            capacity: pool.capacity(),
            available: pool.available(),
            bytes: pool.bytes_reserved(),
            kept: self.kept(),
        }
    }

    /// Objects that wait in vacant slots.
    fn kept(&self) -> usize {
        let alive: usize = WORLD.with_borrow(|world| world.alive.values().sum());
        alive.saturating_sub(self.tenants.borrow().len())
    }

    /// Whether an object is kept when it is released.
    fn keeps(&self, id: u64) -> bool {
        match self.setup.life {
            Life::Values => false,
            Life::Recycled => !is_refused::<T>(id),
            Life::Eager => true,
        }
    }

    fn check(&self) {
        let pool = self.pool;
        let tenants = self.tenants.borrow();
        assert_eq!(pool.allocated(), tenants.len());
        assert_eq!(pool.available(), pool.capacity() - tenants.len());
        assert_eq!(pool.is_full(), pool.available() == 0);
        assert_eq!(pool.is_empty(), tenants.is_empty());
        assert!(pool.capacity() <= if self.setup.growth == Growth::Never { self.setup.capacity } else { LIMIT });

        #[cfg(feature = "stats")]
        {
            let statistics = pool.statistics();
            assert_eq!(statistics.current_usage, tenants.len());
            assert_eq!(statistics.total_allocations - statistics.total_deallocations, tenants.len() as u64);
            assert!(statistics.peak_usage >= tenants.len() && statistics.bytes_reserved == pool.bytes_reserved());
        }

        #[cfg(feature = "std")]
        {
            let outstanding = pool.outstanding();
            assert_eq!(outstanding.is_some(), self.setup.tracks_leaks);
            let mut tracked: Vec<_> = outstanding.iter().flat_map(|out| out.objects()).map(|held| held.index).collect();
            let mut held: Vec<_> = tenants.iter().map(|tenant| tenant.index).collect();
            tracked.sort_unstable();
            held.sort_unstable();
            assert!(!self.setup.tracks_leaks || tracked == held, "{tracked:?} are tracked, {held:?} are held");
        }

        for tenant in &*tenants {
            tenant.check();
            assert_eq!(tenant.address % self.setup.alignment.max(align_of::<T>()), 0, "{:#x}", tenant.address);
            assert!(self.trimmed.get() || tenant.index < pool.capacity(), "index {}", tenant.index);
        }
        assert_distinct(tenants.iter().map(|tenant| tenant.address));
        assert_distinct(tenants.iter().map(|tenant| tenant.index));

        let weak_handles = self.weak_handles.borrow();
        for weak in &*weak_handles {
            let owners = tenants.iter().find_map(|tenant| match &tenant.owner {
                Owner::Shared(handles, shared) if *shared == weak.shared => Some(handles),
                _ => None,
            });
            let strong_count = owners.map_or(0, |handles| handles.len());
            let all = weak_handles.iter().filter(|other| other.shared == weak.shared).count();
            assert_eq!(weak.handle.strong_count(), strong_count);
            assert_eq!(weak.handle.weak_count(), if owners.is_some() { all } else { 0 });
            assert_eq!(owners.map_or(0, |handles| handles[0].weak_count()), weak.handle.weak_count());
        }

        WORLD.with_borrow(|world| {
            assert!(world.complaints.is_empty(), "{world:?}");
            let mut kept = world.alive.clone();
            for tenant in &*tenants {
                let alive = kept.get_mut(&tenant.id).filter(|alive| **alive > 0);
                *alive.unwrap_or_else(|| panic!("tenant {} is not alive", tenant.id)) -= 1;
            }
            let kept: usize = kept.values().sum();
            assert!(kept <= if self.setup.life == Life::Values { 0 } else { pool.available() }, "{kept} are kept");
        });
    }

    /// The capacity after a slot has been taken, or the error.
    fn capacity_with_another(&self) -> Result<usize> {
        let capacity = self.pool.capacity();
        if self.pool.available() > 0 {
            return Ok(capacity);
        }
        match self.setup.growth_step(capacity) {
            0 => Err(Error::PoolExhausted { capacity, allocated: capacity }),
            step if capacity == LIMIT => {
                Err(Error::MaxCapacityExceeded { current: capacity, requested: capacity + step, max: LIMIT })
            }
            step => Ok((capacity + step).min(LIMIT)),
        }
    }

    /// Runs an operation that takes a slot, and compares the outcome with the model's.
    fn taking_one<R>(&self, operation: impl FnOnce() -> Result<R>) -> Option<R> {
        let (expected, before) = (self.capacity_with_another(), self.snapshot());
        let result = operation();
        if quiet() {
            assert_eq!(result.as_ref().err(), expected.as_ref().err());
            match expected {
                Ok(capacity) => assert_eq!(self.pool.capacity(), capacity),
                Err(_) => assert_eq!(self.snapshot(), before, "a failed operation changed the pool"),
            }
        }
        result.ok()
    }

    /// The same for an operation that makes room for many. The pool may make more room than is needed.
    fn taking_many<R>(&self, slots: usize, operation: impl FnOnce() -> Result<R>) -> Option<R> {
        let before = self.snapshot();
        let needed = before.capacity - before.available + slots;
        let limit = if self.setup.growth == Growth::Never { before.capacity } else { LIMIT };
        let result = operation();
        if quiet() {
            assert_eq!(result.is_ok(), needed <= limit, "{:?}", result.err());
            match &result {
                Ok(_) if slots <= before.available => assert_eq!(self.pool.capacity(), before.capacity),
                Ok(_) => assert!((needed..=limit).contains(&self.pool.capacity())),
                Err(_) => assert_eq!(self.snapshot(), before, "a failed operation changed the pool"),
            }
        }
        result.ok()
    }

    fn perform(&self, operation: &Operation) {
        let fresh = || T::new(fresh_id::<T>());
        let closure = || {
            user_code(Site::Closure);
            fresh()
        };
        let pool = self.pool;
        match *operation {
            Operation::Allocate => self.allocate(|| pool.allocate(fresh())),
            Operation::AllocateWith => self.allocate(|| pool.allocate_with(closure)),
            Operation::AllocateInPlace => self.allocate(|| pool.allocate_in_place(|slot| slot.write(closure()))),
            Operation::TryAllocate => {
                let error = self.capacity_with_another().err();
                self.allocate(|| pool.try_allocate(fresh()).ok_or_else(|| error.unwrap_or(Error::InvalidCapacity)));
            }
            Operation::AllocateOrReturn => self.allocate(|| {
                let id = fresh_id::<T>();
                pool.allocate_or_return(T::new(id)).map_err(|Rejected { value, error }| {
                    assert_eq!(value.id(), id);
                    error
                })
            }),
            Operation::AllocateShared => {
                if let Some(handle) = self.taking_one(|| pool.allocate_shared(fresh())) {
                    let shared = self.next_shared();
                    self.admit(handle.id(), &raw const *handle, handle.index(), Owner::Shared(vec![handle], shared));
                }
            }
            Operation::Batch(len, lie) => self.batch(len, lie),
            Operation::Acquire => self.acquire(),
            Operation::TryClone(at) => self.on_owned(at, |tenant, handle| {
                let result = survive(|| self.taking_one(|| handle.try_clone()));
                self.tenants.borrow_mut().push(Tenant { owner: Owner::Handle(handle), ..tenant });
                match result {
                    Some(clone) => clone.into_iter().for_each(|clone| self.admit_owned(clone)),
                    None => inject(),
                }
            }),
            Operation::Drop(at) => self.on_owned(at, |tenant, handle| {
                let kept = self.kept(); // The tenant as well, which is not in the list any more.
                drop(handle);
                assert!(!quiet() || self.kept() == kept - usize::from(!self.keeps(tenant.id)));
            }),
            Operation::Clear => {
                let is_owned = |tenant: &Tenant<T>| matches!(tenant.owner, Owner::Handle(_));
                let (owned, others) = self.tenants.take().into_iter().partition(is_owned);
                self.tenants.replace(others);
                drop::<Vec<_>>(owned);
            }
            Operation::IntoInner(at) => self.on_owned(at, |tenant, handle| {
                let kept = self.kept();
                let value = handle.into_inner();
                assert_eq!(value.id(), tenant.id);
                drop(value);
                assert!(!quiet() || self.kept() == kept - 1);
            }),
            Operation::Forget(at) => self.on_owned(at, |tenant, handle| {
                mem::forget(handle);
                self.tenants.borrow_mut().push(Tenant { owner: Owner::Forgotten, ..tenant });
            }),
            Operation::Leak(at) => self.on_owned(at, |tenant, handle| {
                let owner = Owner::Leaked(handle.leak());
                self.tenants.borrow_mut().push(Tenant { owner, ..tenant });
            }),
            Operation::Share(at) => self.on_owned(at, |tenant, handle| {
                let owner = Owner::Shared(vec![handle.into_shared()], self.next_shared());
                self.tenants.borrow_mut().push(Tenant { owner, ..tenant });
            }),
            Operation::Unshare(at) => self.on_shared(at, |tenant, mut handles, shared| {
                let single = handles.len() == 1;
                let owner = match handles.pop().map(SharedHandle::try_into_owned) {
                    Some(Ok(handle)) if single => Owner::Handle(handle),
                    Some(Err(handle)) if !single => {
                        handles.push(handle);
                        Owner::Shared(handles, shared)
                    }
                    _ => panic!("a shared handle that is the only one becomes the owner"),
                };
                self.tenants.borrow_mut().push(Tenant { owner, ..tenant });
            }),
            Operation::CloneShared(at) => self.on_shared(at, |tenant, mut handles, shared| {
                handles.push(handles[0].clone());
                self.tenants.borrow_mut().push(Tenant { owner: Owner::Shared(handles, shared), ..tenant });
            }),
            Operation::DropShared(at) => self.on_shared(at, |tenant, mut handles, shared| {
                let handle = handles.pop();
                if !handles.is_empty() {
                    self.tenants.borrow_mut().push(Tenant { owner: Owner::Shared(handles, shared), ..tenant });
                }
                drop(handle);
            }),
            Operation::Downgrade(at) => self.on_shared(at, |tenant, handles, shared| {
                self.weak_handles.borrow_mut().push(Weak { handle: handles[0].downgrade(), shared });
                self.tenants.borrow_mut().push(Tenant { owner: Owner::Shared(handles, shared), ..tenant });
            }),
            Operation::CloneWeak(at) => {
                let mut weak_handles = self.weak_handles.borrow_mut();
                if let Some(weak) = pick(&mut weak_handles, at, |_| true) {
                    weak_handles.push(Weak { handle: weak.handle.clone(), shared: weak.shared });
                    weak_handles.push(weak);
                }
            }
            Operation::Upgrade(at) => {
                let mut weak_handles = self.weak_handles.borrow_mut();
                if let Some(weak) = pick(&mut weak_handles, at, |_| true) {
                    self.upgrade(&weak);
                    weak_handles.push(weak);
                }
            }
            Operation::DropWeak(at) => drop(pick(&mut self.weak_handles.borrow_mut(), at, |_| true)),
            Operation::Reserve(additional) => self.reserve(additional),
            Operation::Trim => self.trim(None),
            Operation::TrimTo(slots) => self.trim(Some(slots)),
        }
    }

    fn allocate(&self, operation: impl FnOnce() -> Result<OwnedHandle<'static, T>>) {
        if let Some(handle) = self.taking_one(operation) {
            self.admit_owned(handle);
        }
    }

    fn batch(&self, len: usize, lie: isize) {
        let announced = len.saturating_add_signed(lie);
        let handles = self
            .taking_many(announced, || self.pool.allocate_batch(Values { left: len, announced, values: PhantomData }));
        for handle in handles.iter().flatten() {
            assert!(handle.index() < LIMIT);
        }
        if let Some(handles) = handles {
            assert!(!quiet() || handles.len() == len.min(announced));
            handles.into_iter().for_each(|handle| self.admit_owned(handle));
        }
    }

    fn acquire(&self) {
        if self.setup.life == Life::Values {
            let error = self.pool.acquire().err();
            assert!(matches!(error, Some(Error::InvalidConfiguration { field: "initialization_strategy", .. })));
            return;
        }
        let (kept, capacity) = (self.kept(), self.pool.capacity());
        let Some(handle) = self.taking_one(|| self.pool.acquire()) else { return };
        self.admit_owned(handle);
        if quiet() {
            let made = if self.setup.life == Life::Eager { self.pool.capacity() - capacity } else { 0 };
            assert_eq!(self.kept(), (kept + made).saturating_sub(1), "objects that are kept come first");
        }
    }

    fn upgrade(&self, weak: &Weak<T>) {
        let mut tenants = self.tenants.borrow_mut();
        let owners = tenants.iter_mut().find_map(|tenant| match &mut tenant.owner {
            Owner::Shared(handles, shared) if *shared == weak.shared => Some(handles),
            _ => None,
        });
        match (weak.handle.upgrade(), owners) {
            (Some(handle), Some(handles)) => {
                assert!(SharedHandle::ptr_eq(&handle, &handles[0]));
                handles.push(handle);
            }
            (None, None) => {}
            (found, _) => panic!("a weak handle finds its value as long as it is shared: {}", found.is_some()),
        }
    }

    fn reserve(&self, additional: usize) {
        let pool: &dyn std::any::Any = self.pool;
        if let Some(pool) = pool.downcast_ref::<fastalloc::GrowingPool<T, A>>() {
            self.taking_many(additional, || pool.reserve(additional));
            assert!(!quiet() || pool.can_grow() == (pool.capacity() < LIMIT));
        }
    }

    fn trim(&self, slots: Option<usize>) {
        let pool: &dyn std::any::Any = self.pool;
        if let Some(pool) = pool.downcast_ref::<fastalloc::GrowingPool<T, A>>() {
            self.trimmed.set(true);
            let before = self.snapshot();
            let gone = slots.map_or_else(|| pool.trim(), |slots| pool.trim_to(slots));
            if quiet() {
                assert_eq!(pool.capacity(), before.capacity - gone);
                let floor = slots.unwrap_or(self.setup.capacity).min(before.capacity);
                assert!(pool.capacity() >= floor && self.kept() <= before.kept);
            }
        }
    }

    /// Enters a new tenant into the list.
    fn admit(&self, id: u64, address: *const T, index: usize, owner: Owner<T>) {
        self.tenants.borrow_mut().push(Tenant { id, address: address.addr(), index, owner });
    }

    fn admit_owned(&self, handle: OwnedHandle<'static, T>) {
        self.admit(handle.id(), &raw const *handle, handle.index(), Owner::Handle(handle));
    }

    fn next_shared(&self) -> u64 {
        self.shared.set(self.shared.get() + 1);
        self.shared.get()
    }

    /// Removes a tenant with an owned handle from the list, for `f`.
    fn on_owned(&self, at: usize, f: impl FnOnce(Tenant<T>, OwnedHandle<'static, T>)) {
        let tenant = pick(&mut self.tenants.borrow_mut(), at, |tenant| matches!(tenant.owner, Owner::Handle(_)));
        let Some(mut tenant) = tenant else { return };
        if let Owner::Handle(handle) = mem::replace(&mut tenant.owner, Owner::Forgotten) {
            f(tenant, handle);
        }
    }

    /// Removes a tenant with shared handles from the list, for `f`.
    fn on_shared(&self, at: usize, f: impl FnOnce(Tenant<T>, Vec<SharedHandle<'static, T>>, u64)) {
        let tenant = pick(&mut self.tenants.borrow_mut(), at, |tenant| matches!(tenant.owner, Owner::Shared(..)));
        let Some(mut tenant) = tenant else { return };
        if let Owner::Shared(handles, shared) = mem::replace(&mut tenant.owner, Owner::Forgotten) {
            f(tenant, handles, shared);
        }
    }
}

impl<T: Subject> Tenant<T> {
    fn check(&self) {
        let check = |value: &T| assert_eq!((value.id(), (&raw const *value).addr()), (self.id, self.address));
        match &self.owner {
            Owner::Handle(handle) => {
                check(handle);
                assert_eq!(handle.index(), self.index);
            }
            Owner::Shared(handles, _) => {
                for handle in handles {
                    check(handle);
                    assert_eq!((handle.index(), handle.strong_count()), (self.index, handles.len()));
                }
            }
            Owner::Leaked(value) => check(value),
            Owner::Forgotten => {}
        }
    }
}

/// Takes one of those that satisfy a condition out of a list.
fn pick<E>(list: &mut Vec<E>, at: usize, is_wanted: impl Fn(&E) -> bool) -> Option<E> {
    let wanted: Vec<_> = (0..list.len()).filter(|&position| is_wanted(&list[position])).collect();
    let position = wanted.get(at.checked_rem(wanted.len())?)?;
    Some(list.swap_remove(*position))
}

fn assert_distinct(numbers: impl Iterator<Item = usize>) {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// New values, with a wrong length perhaps.
struct Values<T> {
    left: usize,
    announced: usize,
    values: PhantomData<T>,
}

impl<T: Subject> Iterator for Values<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        user_code(Site::Iterator);
        self.left = self.left.checked_sub(1)?;
        Some(T::new(fresh_id::<T>()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.announced, Some(self.announced))
    }
}

impl<T: Subject> ExactSizeIterator for Values<T> {}
