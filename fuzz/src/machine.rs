//! The model and the pool, side by side. The model is a list of the tenants, and a list of who waits.
//!
//! A step in which no trap was sprung has to end exactly as the model says. After a sprung trap, what the model knows
//! still has to hold: nothing is lost, moved or destroyed twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use fastalloc::{Error, Result};

use crate::elsewhere::Elsewhere;
use crate::program::{Form, Growth, LIMIT, Lie, Life, Operation, Setup, Step};
use crate::subject::{Later, Owned, Shared, SharedOf, Subject, Weak, WeakOf};
use crate::world::{Named, Perform, Reentrant, Site, Value, World, inject, quiet, survive, user_code};

/// Runs a program on a pool made for it.
pub(crate) fn run<T: Value, P: Subject<T>>(mut setup: Setup, grows: bool, steps: &[Step]) {
    if !grows {
        setup.growth = Growth::Never;
    }
    World::reset();
    let pool = Rc::new(P::make(setup.config(P::IS_SHARED)).unwrap());
    let machine = Machine::<T, P> {
        // SAFETY: the pool is there as long as its handles, but for those that keep its memory, which are told apart
        // at the end of this function.
        pool: unsafe { &*Rc::as_ptr(&pool) },
        setup,
        grows,
        tenants: RefCell::default(),
        weak_handles: RefCell::default(),
        futures: RefCell::default(),
        last_number: Cell::new(0),
        trimmed: Cell::new(false),
        statistics_were_reset: Cell::new(false),
        is_closed: Cell::new(false),
    };
    let perform: *const (dyn Perform + '_) = &raw const machine;
    // SAFETY: it is forgotten before the machine ends.
    let perform = unsafe { mem::transmute::<*const (dyn Perform + '_), *const (dyn Perform + 'static)>(perform) };
    World::get().machine = Some(Reentrant(perform));
    machine.check();
    let mut elsewhere = Elsewhere::default();
    for step in steps.iter().take(150) {
        if matches!(step.operation, Operation::EndThread) {
            elsewhere = Elsewhere::default();
        } else if step.elsewhere && P::IS_SHARED {
            // SAFETY: this thread waits, handles and pools may be sent, and the rest is data.
            unsafe { elsewhere.run(|| machine.step(step)) };
        } else {
            machine.step(step);
        }
    }
    World::get().machine = None;
    machine.end(pool);
    drop(elsewhere);
    let world = World::get();
    assert!(world.alive.is_empty(), "never destroyed: {:?}", world.alive);
}

struct Machine<T: Value, P: Subject<T>> {
    pool: &'static P,
    setup: Setup,
    grows: bool,
    tenants: RefCell<Vec<Tenant<T, P>>>,
    weak_handles: RefCell<Vec<(WeakOf<T, P>, u64)>>,
    /// Those who wait in line, in order.
    futures: RefCell<Vec<Waiting<P::Owned>>>,
    /// Gives values that were shared, and futures, a number of their own.
    last_number: Cell<u64>,
    /// Whether slots may be missing before the last one.
    trimmed: Cell<bool>,
    statistics_were_reset: Cell<bool>,
    is_closed: Cell<bool>,
}

struct Tenant<T: Value, P: Subject<T>> {
    id: u64,
    address: usize,
    index: Option<usize>,
    owner: Owner<T, P>,
}

enum Owner<T: Value, P: Subject<T>> {
    Handle(P::Owned),
    Rc(P::Rc),
    Pinned(Pin<P::Owned>),
    Unsized(<P::Owned as Owned<T>>::Unsized),
    /// The handles, and the number of the sharing.
    Shared(Vec<SharedOf<T, P>>, u64),
    Leaked(&'static T),
    Forgotten,
}

struct Waiting<H> {
    future: Later<H>,
    number: u64,
    has_value: bool,
}

/// What a failed operation must not change.
#[derive(Debug, PartialEq)]
struct Snapshot {
    capacity: usize,
    available: usize,
    bytes: usize,
    kept: usize,
}

impl<T: Value, P: Subject<T>> Perform for Machine<T, P> {
    fn perform(&self, operation: &Operation) {
        self.perform(operation);
    }
}

impl<T: Value, P: Subject<T>> Machine<T, P> {
    fn step(&self, step: &Step) {
        let mut world = World::get();
        world.trap = step.trap.clone();
        world.sprung = false;
        drop(world);
        survive(|| self.perform(&step.operation));
        World::get().trap = None;
        self.check();
    }

    /// Ends the pool and all handles, in one order or the other.
    fn end(self, pool: Rc<P>) {
        let Self { setup, tenants, weak_handles, futures, .. } = self;
        drop((futures, weak_handles));
        let (ends_later, ends_now): (Vec<_>, Vec<_>) = tenants.into_inner().into_iter().partition(|tenant| {
            let keeps_pool = P::IS_SHARED || matches!(tenant.owner, Owner::Rc(_));
            keeps_pool && setup.pool_ends_first
        });
        let remain = |tenants: &[Tenant<T, P>]| {
            tenants.iter().filter(|tenant| matches!(tenant.owner, Owner::Leaked(_) | Owner::Forgotten)).count()
        };
        let lost = remain(&ends_now) + if P::IS_SHARED { ends_later.len() } else { 0 };
        drop(ends_now);
        drop(pool);
        ends_later.iter().for_each(Tenant::check);
        drop(ends_later);
        assert_eq!(World::get().told, (setup.tracks_leaks && lost > 0).then_some(lost));
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

    /// Objects that wait in slots for whoever acquires them.
    fn kept(&self) -> usize {
        let alive: usize = World::get().alive.values().sum();
        let waiting = self.futures.borrow().iter().filter(|waiting| waiting.has_value).count();
        alive.saturating_sub(self.tenants.borrow().len() + waiting)
    }

    /// How many of those who wait have a slot already.
    fn handed(&self) -> usize {
        self.futures.borrow().len().min(self.pool.capacity() - self.tenants.borrow().len())
    }

    fn somebody_waits(&self) -> bool {
        self.futures.borrow().len() > self.handed()
    }

    fn check(&self) {
        let pool = self.pool;
        let tenants = self.tenants.borrow();
        let handed = if self.is_closed.get() { 0 } else { self.handed() };
        let capacity = pool.capacity();
        assert_eq!(pool.allocated(), tenants.len() + handed);
        assert_eq!(pool.available(), capacity - tenants.len() - handed);
        assert_eq!((pool.is_full(), pool.is_empty()), (pool.available() == 0, pool.allocated() == 0));
        assert!(capacity <= if self.setup.growth == Growth::Never { self.setup.capacity } else { LIMIT });

        if handed == 0 {
            let statistics = pool.statistics();
            assert_eq!((statistics.current_usage, statistics.capacity), (tenants.len(), capacity));
            let difference = statistics.total_allocations.wrapping_sub(statistics.total_deallocations);
            assert!(self.statistics_were_reset.get() || difference == tenants.len() as u64, "{statistics:?}");
            assert!(statistics.peak_usage >= tenants.len() && statistics.bytes_reserved == pool.bytes_reserved());
            let outstanding = pool.outstanding();
            assert_eq!(outstanding.is_some(), self.setup.tracks_leaks);
            if let Some(outstanding) = outstanding {
                assert_eq!(outstanding.objects().len(), tenants.len());
                let tracked: BTreeSet<_> = outstanding.objects().iter().map(|held| held.index).collect();
                assert!(tenants.iter().filter_map(|tenant| tenant.index).all(|index| tracked.contains(&index)));
            }
        }

        for tenant in &*tenants {
            tenant.check();
            assert_eq!(tenant.address % self.setup.alignment::<T>(), 0, "{:#x}", tenant.address);
            assert!(self.trimmed.get() || tenant.index.is_none_or(|index| index < capacity), "{:?}", tenant.index);
        }
        let addresses: BTreeSet<_> = tenants.iter().map(|tenant| tenant.address).collect();
        let indices: BTreeSet<_> = tenants.iter().filter_map(|tenant| tenant.index).collect();
        assert_eq!(addresses.len(), tenants.len());
        assert_eq!(indices.len(), tenants.iter().filter(|tenant| tenant.index.is_some()).count());

        let weak_handles = self.weak_handles.borrow();
        for (weak, number) in &*weak_handles {
            let owners = owners(&tenants, *number);
            let all = weak_handles.iter().filter(|(_, other)| other == number).count();
            assert_eq!(weak.counts(), owners.map_or((0, 0), |handles| (handles.len(), all)));
            assert!(owners.is_none_or(|handles| handles[0].counts() == weak.counts()));
        }

        let waiting = self.futures.borrow().iter().filter(|waiting| waiting.has_value).count();
        let world = World::get();
        let mut left = world.alive.clone();
        for tenant in &*tenants {
            let alive = left.get_mut(&tenant.id).filter(|alive| **alive > 0);
            *alive.unwrap_or_else(|| panic!("tenant {} is not alive", tenant.id)) -= 1;
        }
        let kept = left.values().sum::<usize>().checked_sub(waiting).expect("the values of those who wait are alive");
        assert!(kept <= if self.setup.life == Life::Values { 0 } else { pool.available() + handed }, "{kept} are kept");
    }

    /// The capacity after a slot has been taken, or the error.
    fn capacity_with_another(&self) -> Result<usize> {
        let capacity = self.pool.capacity();
        if self.is_closed.get() {
            return Err(Error::Closed);
        }
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
    fn taking_one<R>(&self, operation: impl FnOnce() -> Result<R, Option<Error>>) -> Option<R> {
        let (expected, before, waits) = (self.capacity_with_another(), self.snapshot(), self.somebody_waits());
        let result = operation();
        if quiet() && !waits {
            match (&result, expected) {
                (Ok(_), Ok(capacity)) => assert_eq!(self.pool.capacity(), capacity),
                (Err(error), Err(expected)) => {
                    let is_timeout = *error == Some(Error::Timeout) && expected != Error::Closed;
                    assert!(is_timeout || error.as_ref().is_none_or(|error| *error == expected), "{error:?}");
                }
                (result, expected) => panic!("{:?}, expected {expected:?}", result.as_ref().err()),
            }
        }
        if quiet() && result.is_err() {
            assert_eq!(self.snapshot(), before, "a failed operation changed the pool");
        }
        result.ok()
    }

    /// The same for an operation that makes room for many. The pool may make more room than is needed.
    fn taking_many<R>(&self, slots: usize, operation: impl FnOnce() -> Result<R>) -> Option<R> {
        let (before, waits) = (self.snapshot(), self.somebody_waits());
        let needed = before.capacity - before.available + slots;
        let limit = if self.setup.growth == Growth::Never { before.capacity } else { LIMIT };
        let result = operation();
        if quiet() && !waits {
            assert!(result.is_ok() == (needed <= limit) || self.is_closed.get(), "{:?}", result.err());
            match &result {
                Ok(_) if slots <= before.available => assert_eq!(self.pool.capacity(), before.capacity),
                Ok(_) => assert!((needed..=limit).contains(&self.pool.capacity())),
                Err(_) => assert_eq!(self.snapshot(), before, "a failed operation changed the pool"),
            }
        }
        result.ok()
    }

    fn perform(&self, operation: &Operation) {
        let pool = self.pool;
        match *operation {
            Operation::Allocate(form) => self.allocate(form),
            Operation::AllocateShared => {
                if let Some(handle) = self.taking_one(|| Ok(pool.allocate_shared()?)) {
                    self.admit(handle.id(), &raw const *handle, Some(handle.index()), |number| {
                        Owner::Shared(vec![handle], number)
                    });
                }
            }
            Operation::AllocateRc(acquire) => {
                // SAFETY: the pool is in an `Rc`.
                unsafe { Rc::increment_strong_count(pool) };
                // SAFETY: this reference was just counted.
                let rc = unsafe { Rc::from_raw(pool) };
                if acquire && self.setup.life == Life::Values {
                    assert!(rc.allocate_rc(acquire).is_err());
                } else if let Some(handle) = self.taking_one(|| Ok(rc.allocate_rc(acquire)?)) {
                    self.admit(handle.id(), &raw const *handle, None, |_| Owner::Rc(handle));
                }
            }
            Operation::Batch(len, lie) => self.batch(len, lie),
            Operation::Wait(acquire) => {
                if let Some(future) = pool.wait(acquire) {
                    self.poll(Waiting { future, number: self.next_number(), has_value: !acquire });
                }
            }
            Operation::Poll(at) => {
                let waiting = pick(&mut self.futures.borrow_mut(), at, |_| true);
                if let Some(waiting) = waiting {
                    self.poll(waiting);
                }
            }
            Operation::DropFuture(at) => {
                let waiting = pick(&mut self.futures.borrow_mut(), at, |_| true);
                drop(waiting);
            }
            Operation::TryClone(at) => self.on_owned(at, |tenant, handle| {
                let result = survive(|| self.taking_one(|| Ok(handle.try_clone()?)));
                self.put_back(tenant, Owner::Handle(handle));
                match result {
                    Some(clone) => clone.into_iter().for_each(|clone| self.admit_owned(clone)),
                    None => inject(),
                }
            }),
            Operation::Drop(at) => {
                let tenant = pick(&mut self.tenants.borrow_mut(), at, Tenant::ends);
                let Some(tenant) = tenant else { return };
                let kept = self.kept(); // The tenant as well, which is not in the list any more.
                let keeps = self.setup.keeps(tenant.id) && !matches!(tenant.owner, Owner::Pinned(_));
                drop(tenant);
                assert!(!quiet() || self.kept() == kept - usize::from(!keeps));
            }
            Operation::Clear => {
                let is_owned = |tenant: &Tenant<T, P>| matches!(tenant.owner, Owner::Handle(_));
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
            // A pool that threads share would be lost with the handle.
            Operation::Forget(_) | Operation::Leak(_) if P::IS_SHARED => {}
            Operation::Forget(at) => self.on_owned(at, |tenant, handle| {
                mem::forget(handle);
                self.put_back(tenant, Owner::Forgotten);
            }),
            Operation::Leak(at) => {
                self.on_owned(at, |tenant, handle| self.put_back(tenant, Owner::Leaked(handle.leak())));
            }
            Operation::Pin(at) => {
                self.on_owned(at, |tenant, handle| self.put_back(tenant, Owner::Pinned(handle.into_pin())));
            }
            Operation::Unsize(at) => {
                self.on_owned(at, |tenant, handle| self.put_back(tenant, Owner::Unsized(handle.unsize())));
            }
            Operation::Share(at) => self.on_owned(at, |tenant, handle| {
                let owner = Owner::Shared(vec![handle.into_shared()], self.next_number());
                self.put_back(tenant, owner);
            }),
            Operation::Unshare(at) => self.on_shared(at, |tenant, mut handles, number| {
                let single = handles.len() == 1;
                assert_eq!(handles[0].has_mut(), single && self.weak_handles_of(number) == 0);
                let owner = match handles.pop().map(Shared::try_into_owned) {
                    Some(Ok(handle)) if single => Owner::Handle(handle),
                    Some(Err(handle)) if !single => {
                        handles.push(handle);
                        Owner::Shared(handles, number)
                    }
                    _ => panic!("a shared handle that is the only one becomes the owner"),
                };
                self.put_back(tenant, owner);
            }),
            Operation::CloneShared(at) => self.on_shared(at, |tenant, mut handles, number| {
                handles.push(handles[0].clone());
                self.put_back(tenant, Owner::Shared(handles, number));
            }),
            Operation::DropShared(at) => self.on_shared(at, |tenant, mut handles, number| {
                let handle = handles.pop();
                if !handles.is_empty() {
                    self.put_back(tenant, Owner::Shared(handles, number));
                }
                drop(handle);
            }),
            Operation::TakeShared(at) => self.on_shared(at, |tenant, mut handles, number| {
                let (id, handle) = (tenant.id, handles.pop());
                let single = handles.is_empty();
                if !single {
                    self.put_back(tenant, Owner::Shared(handles, number));
                }
                let value = handle.and_then(Shared::into_inner);
                assert_eq!(value.map(|value| value.id()), single.then_some(id));
            }),
            Operation::Downgrade(at) => self.on_shared(at, |tenant, handles, number| {
                self.weak_handles.borrow_mut().push((handles[0].downgrade(), number));
                self.put_back(tenant, Owner::Shared(handles, number));
            }),
            Operation::CloneWeak(at) => self.on_weak(at, |weak, number| {
                self.weak_handles.borrow_mut().push((weak.clone(), number));
            }),
            Operation::Upgrade(at) => self.on_weak(at, |weak, number| self.upgrade(weak, number)),
            Operation::DropWeak(at) => drop(pick(&mut self.weak_handles.borrow_mut(), at, |_| true)),
            Operation::Reserve(additional) => {
                if self.grows {
                    let mut can_grow = None;
                    self.taking_many(additional, || {
                        let (result, can) = pool.reserve(additional).expect("it grows");
                        can_grow = Some(can);
                        result
                    });
                    let allowed = self.setup.growth != Growth::Never && pool.capacity() < LIMIT;
                    assert!(!quiet() || can_grow == Some(allowed));
                }
            }
            Operation::Trim => self.trim(None),
            Operation::TrimTo(slots) => self.trim(Some(slots)),
            Operation::ResetStatistics => {
                pool.reset_statistics();
                self.statistics_were_reset.set(true);
            }
            Operation::Print => drop(format!("{pool:?} {} {:?}", pool.statistics(), pool.outstanding())),
            Operation::FlushThread => pool.flush_thread(),
            Operation::EndThread => {}
            Operation::Close => {
                // A closed pool serves nobody: who waits is told, if it is still there.
                self.is_closed.set(pool.close());
                if self.is_closed.get() {
                    for mut waiting in self.futures.take() {
                        let polled = waiting.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        let Poll::Ready(result) = polled else { panic!("the pool is closed") };
                        match result {
                            Ok(handle) => self.admit_owned(handle),
                            Err(error) => assert_eq!(error, Error::Closed),
                        }
                    }
                }
            }
        }
    }

    fn allocate(&self, form: Form) {
        if form.acquires() && self.setup.life == Life::Values {
            let error = self.pool.allocate_by(form).err().flatten();
            let is_expected =
                matches!(error, Some(Error::InvalidConfiguration { field: "initialization_strategy", .. }));
            assert!(is_expected || self.is_closed.get(), "{error:?}");
            return;
        }
        let (kept, capacity) = (self.kept(), self.pool.capacity());
        let Some(handle) = self.taking_one(|| self.pool.allocate_by(form)) else { return };
        self.admit_owned(handle);
        if quiet() && form.acquires() && !P::IS_SHARED {
            let made = if self.setup.life == Life::Eager { self.pool.capacity() - capacity } else { 0 };
            assert_eq!(self.kept(), (kept + made).saturating_sub(1), "objects that are kept come first");
        }
    }

    fn batch(&self, len: usize, lie: Lie) {
        let announced = lie.about(len);
        let values = Values { left: len, announced, values: PhantomData };
        if let Some(handles) = self.taking_many(announced, || self.pool.allocate_batch(values)) {
            assert!(!quiet() || handles.len() == len.min(announced));
            handles.into_iter().for_each(|handle| self.admit_owned(handle));
        }
    }

    /// Polls a future that is not in the list, and puts it there if it has to wait.
    fn poll(&self, mut waiting: Waiting<P::Owned>) {
        match waiting.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(handle)) => self.admit_owned(handle),
            Poll::Ready(Err(error)) => {
                let has_no_initializer = !waiting.has_value && self.setup.life == Life::Values;
                assert!(has_no_initializer || self.is_closed.get(), "{error:?}");
            }
            Poll::Pending => {
                let mut futures = self.futures.borrow_mut();
                futures.push(waiting);
                futures.sort_by_key(|waiting| waiting.number);
            }
        }
    }

    fn upgrade(&self, weak: &WeakOf<T, P>, number: u64) {
        let mut tenants = self.tenants.borrow_mut();
        let owners = tenants.iter_mut().find_map(|tenant| match &mut tenant.owner {
            Owner::Shared(handles, shared) if *shared == number => Some(handles),
            _ => None,
        });
        match (weak.upgrade(), owners) {
            (Some(handle), Some(handles)) => {
                assert!(handle.is_same(&handles[0]));
                handles.push(handle);
            }
            (None, None) => {}
            (found, _) => panic!("a weak handle finds its value as long as it is shared: {}", found.is_some()),
        }
    }

    fn trim(&self, slots: Option<usize>) {
        self.trimmed.set(true);
        let before = self.snapshot();
        let gone = self.grows.then(|| self.pool.trim(slots)).flatten();
        if let (Some(gone), true) = (gone, quiet()) {
            assert_eq!(self.pool.capacity(), before.capacity - gone);
            let floor = slots.unwrap_or(self.setup.capacity).min(before.capacity);
            assert!(self.pool.capacity() >= floor && self.kept() <= before.kept);
        }
    }

    fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    fn weak_handles_of(&self, number: u64) -> usize {
        self.weak_handles.borrow().iter().filter(|(_, other)| *other == number).count()
    }

    /// Enters a new tenant into the list.
    fn admit(&self, id: u64, address: *const T, index: Option<usize>, owner: impl FnOnce(u64) -> Owner<T, P>) {
        let owner = owner(self.next_number());
        self.tenants.borrow_mut().push(Tenant { id, address: address.addr(), index, owner });
    }

    fn admit_owned(&self, handle: P::Owned) {
        self.admit(handle.id(), &raw const *handle, Some(handle.index()), |_| Owner::Handle(handle));
    }

    fn put_back(&self, tenant: Tenant<T, P>, owner: Owner<T, P>) {
        self.tenants.borrow_mut().push(Tenant { owner, ..tenant });
    }

    /// Removes a tenant with an owned handle from the list, for `f`.
    fn on_owned(&self, at: u8, f: impl FnOnce(Tenant<T, P>, P::Owned)) {
        let tenant = pick(&mut self.tenants.borrow_mut(), at, |tenant| matches!(tenant.owner, Owner::Handle(_)));
        let Some(mut tenant) = tenant else { return };
        if let Owner::Handle(handle) = mem::replace(&mut tenant.owner, Owner::Forgotten) {
            f(tenant, handle);
        }
    }

    /// Removes a tenant with shared handles from the list, for `f`.
    fn on_shared(&self, at: u8, f: impl FnOnce(Tenant<T, P>, Vec<SharedOf<T, P>>, u64)) {
        let tenant = pick(&mut self.tenants.borrow_mut(), at, |tenant| matches!(tenant.owner, Owner::Shared(..)));
        let Some(mut tenant) = tenant else { return };
        if let Owner::Shared(handles, number) = mem::replace(&mut tenant.owner, Owner::Forgotten) {
            f(tenant, handles, number);
        }
    }

    fn on_weak(&self, at: u8, f: impl FnOnce(&WeakOf<T, P>, u64)) {
        let weak = pick(&mut self.weak_handles.borrow_mut(), at, |_| true);
        if let Some((weak, number)) = weak {
            f(&weak, number);
            self.weak_handles.borrow_mut().push((weak, number));
        }
    }
}

impl<T: Value, P: Subject<T>> Tenant<T, P> {
    /// Whether dropping it makes its slot vacant.
    fn ends(&self) -> bool {
        matches!(self.owner, Owner::Handle(_) | Owner::Rc(_) | Owner::Pinned(_) | Owner::Unsized(_))
    }

    fn check(&self) {
        let check = |value: &dyn Named| assert_eq!(value.id_and_address(), (self.id, self.address));
        match &self.owner {
            Owner::Handle(handle) => {
                check(&**handle);
                assert_eq!(Some(handle.index()), self.index);
            }
            Owner::Rc(handle) => check(&**handle),
            Owner::Pinned(handle) => check(&**handle),
            Owner::Unsized(handle) => check(&**handle),
            Owner::Shared(handles, _) => {
                for handle in handles {
                    check(&**handle);
                    assert_eq!((Some(handle.index()), handle.counts().0), (self.index, handles.len()));
                }
            }
            Owner::Leaked(value) => check(*value),
            Owner::Forgotten => {}
        }
    }
}

fn owners<T: Value, P: Subject<T>>(tenants: &[Tenant<T, P>], number: u64) -> Option<&Vec<SharedOf<T, P>>> {
    tenants.iter().find_map(|tenant| match &tenant.owner {
        Owner::Shared(handles, shared) if *shared == number => Some(handles),
        _ => None,
    })
}

/// Takes one of those that satisfy a condition out of a list.
fn pick<E>(list: &mut Vec<E>, at: u8, is_wanted: impl Fn(&E) -> bool) -> Option<E> {
    let count = list.iter().filter(|element| is_wanted(element)).count();
    let at = usize::from(at).checked_rem(count)?;
    let position = (0..list.len()).filter(|&position| is_wanted(&list[position])).nth(at)?;
    Some(list.remove(position))
}

/// New values, with a wrong length perhaps.
struct Values<T> {
    left: usize,
    announced: usize,
    values: PhantomData<T>,
}

impl<T: Value> Iterator for Values<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        user_code(Site::Iterator);
        self.left = self.left.checked_sub(1)?;
        Some(T::fresh())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.announced, Some(self.announced))
    }
}

impl<T: Value> ExactSizeIterator for Values<T> {}
