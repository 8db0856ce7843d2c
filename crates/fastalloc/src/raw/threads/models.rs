//! Models of the pools that threads share: all interleavings of small programs, and what the memory orderings
//! allow, are tried by loom.
//!
//! `ci/loom.sh` runs them, and `ci/loom_mutations.py` shows which mistakes they would find. In models magazines
//! are small, and a thread gets slots for its own only while four are vacant in the depot; the slots that are not
//! of interest are held by nobody in particular.
//!
//! Loom has `SeqCst` accesses read the newest of those writes that are `SeqCst` too, which the first value of
//! an atomic is not. Hence [`Model::new`], which writes each once.

use alloc::alloc::dealloc;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::mem;
use core::ops::Deref;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicUsize as Count;
use core::task::{Context, Poll, Waker};
use std::{eprintln, thread_local};

use loom::cell::UnsafeCell;
use loom::sync::Notify;
use loom::thread::{self as threads, JoinHandle};

#[cfg(feature = "lock-free")]
use super::LockFree;
use super::thread::{Thread, register};
use super::{Counts, Depot, Head, Locked, Operations, Shared, SharedOwner, SharedVacancy, Waiting};
use crate::config::PoolConfig;
use crate::error::{Error, Result};
use crate::poolable::Poolable;
use crate::shared_handle::{ThreadSafeHandle, ThreadSafeSharedHandle};
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::{INTERLEAVES, Mutex};

/// Tries all executions of a program, with as many preemptions as `LOOM_MAX_PREEMPTIONS` says.
fn check(program: impl Fn() + Send + Sync + 'static) {
    check_large(0, program);
}

/// The same for a program that has too many executions: with so many preemptions fewer.
fn check_large(fewer: usize, program: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.map(|bound| bound.saturating_sub(fewer));
    builder.max_branches = 20_000;
    let executions = Arc::new(Count::new(0));
    let counted = Arc::clone(&executions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        INTERLEAVES.set(false);
        FREED.with_borrow_mut(Vec::clear);
        WATCHED.with_borrow_mut(Vec::clear);
        OBJECTS.set((0, 0));
        program();
    });
    let executions = executions.load(Relaxed);
    eprintln!("{executions} executions of {}", std::thread::current().name().unwrap_or_default());
    assert!(executions > 1, "the threads of the model never met");
}

// All threads of a model are one of the machine.
thread_local! {
    /// Who has the slots of the pool.
    static SLOTS: RefCell<Rc<[Slot]>> = RefCell::new(Rc::new([]));
    /// Objects that were made in this execution, and those of them that exist.
    static OBJECTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// The memory of cores that were freed in this execution.
    static FREED: RefCell<Vec<Freed>> = const { RefCell::new(Vec::new()) };
    /// Counts whose memory goes with the core's.
    static WATCHED: RefCell<Vec<NonNull<Counts>>> = const { RefCell::new(Vec::new()) };
}

/// Who has a slot: written by each owner, so that loom sees whether they follow each other.
#[derive(Debug, Default)]
struct Slot(UnsafeCell<bool>);

fn own(slot: usize, owned: bool) {
    let slots = SLOTS.with_borrow(Rc::clone);
    // SAFETY: loom reports it if another thread does the same.
    let before = slots[slot].0.with_mut(|before| unsafe { before.replace(owned) });
    assert_ne!(before, owned, "a slot has two owners");
}

/// What is in the slots.
#[derive(Debug)]
struct Object {
    number: usize,
    slot: Option<usize>,
    content: UnsafeCell<()>,
}

impl Object {
    fn read(&self) -> usize {
        self.content.with(|_| self.number)
    }

    fn write(&mut self) {
        self.content.with_mut(|_| ());
    }
}

impl Default for Object {
    fn default() -> Self {
        let (made, alive) = OBJECTS.get();
        OBJECTS.set((made + 1, alive + 1));
        Self { number: made, slot: None, content: UnsafeCell::new(()) }
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        self.read();
        Self::default()
    }
}

impl Poolable for Object {
    fn on_acquire(&mut self) {
        // SAFETY: the object is in a slot.
        let slot = unsafe { super::index(NonNull::from(&mut *self)) };
        own(slot, true);
        self.slot = Some(slot);
        self.write();
    }

    fn on_release(&mut self) {
        self.write();
        if let Some(slot) = self.slot.take() {
            own(slot, false);
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.on_release();
        let (made, alive) = OBJECTS.get();
        OBJECTS.set((made, alive - 1));
    }
}

fn assert_all_destroyed() {
    assert_eq!(OBJECTS.get().1, 0, "objects were not destroyed");
}

/// Memory that is not used for anything else before the execution has ended.
struct Freed(NonNull<u8>, Layout);

impl Drop for Freed {
    fn drop(&mut self) {
        // SAFETY: `SharedOwner::create` allocated the memory with this layout.
        unsafe { dealloc(self.0.as_ptr(), self.1) };
    }
}

fn assert_freed(cores: usize) {
    assert_eq!(FREED.with_borrow(Vec::len), cores, "cores were freed");
}

type Handle = ThreadSafeHandle<Object>;

/// A pool, to be kept by the main thread until the others have ended.
struct Model<D: Kind>(Arc<SharedOwner<Object, D>>);

impl<D: Kind> Clone for Model<D> {
    /// Not counted by the core.
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Kind> Deref for Model<D> {
    type Target = Shared<Object, D>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<D: Kind> Model<D> {
    const OPERATIONS: Operations = Operations { free: free::<D>, ..Shared::<Object, D>::OPERATIONS };

    fn new(capacity: usize) -> Self {
        Self::with_config(PoolConfig::builder().capacity(capacity).build().unwrap())
    }

    /// A pool that recycles.
    fn of_objects(capacity: usize) -> Self {
        Self::with_config(PoolConfig::builder().capacity(capacity).initializer(Object::default).build().unwrap())
    }

    /// A pool in which the magazine of a thread has so many slots, and all others are held.
    fn with_magazine(thread: &'static Thread, count: usize) -> (Self, Vec<Handle>) {
        let (model, handles, held) = Self::with_empty_magazine(thread, count);
        as_thread(thread, || drop(handles));
        (model, held)
    }

    /// The same, but the slots for the magazine are in use as well.
    fn with_empty_magazine(thread: &'static Thread, count: usize) -> (Self, Vec<Handle>, Vec<Handle>) {
        let model = Self::new(4 + count);
        let handles = as_thread(thread, || model.allocate_all(count));
        let held = model.allocate_all(model.depot.vacant());
        assert_eq!(model.depot.vacant(), 0);
        (model, handles, held)
    }

    fn with_config(config: PoolConfig<Object>) -> Self {
        SLOTS.set(core::iter::repeat_with(Slot::default).take(config.capacity).collect());
        let core = SharedOwner::create(config).unwrap();
        // SAFETY: nobody else uses the core yet.
        unsafe { core.head().as_mut() }.operations = const { &Self::OPERATIONS };
        let head = &core.head;
        head.closed.swap(false, SeqCst);
        head.orphaned.swap(false, SeqCst);
        head.direct.fetch_add(0, SeqCst);
        head.exchange.begun.fetch_add(0, SeqCst);
        head.exchange.ended.fetch_add(0, SeqCst);
        head.line.leave(0);
        Self(Arc::new(core))
    }

    /// Another pool with the same core, which counts it.
    fn pool(&self) -> Self {
        Self(Arc::new(SharedOwner::clone(&self.0)))
    }

    fn allocate(&self) -> Result<Handle> {
        let value = self.vacancy(Location::caller())?.fill(Object::default());
        // SAFETY: the slot was just taken.
        Ok(unsafe { Handle::from_raw(value) })
    }

    fn allocate_all(&self, count: usize) -> Vec<Handle> {
        core::iter::repeat_with(|| self.allocate().unwrap()).take(count).collect()
    }

    /// Takes an object of a pool that recycles.
    fn acquire_object(&self) -> Result<Handle> {
        let value = self.acquire(Location::caller())?;
        // SAFETY: the slot was just taken.
        Ok(unsafe { Handle::from_raw(value) })
    }

    /// A value that threads share.
    fn share(&self) -> ThreadSafeSharedHandle<Object> {
        let handle = self.allocate().unwrap();
        let counts = handle.location().counts_or_make().unwrap();
        // Makes them, before threads use them.
        let _ = (&*counts.strong, &*counts.generation, &*counts.weak);
        WATCHED.with_borrow_mut(|watched| watched.push(NonNull::from(counts)));
        handle.into_shared()
    }

    /// Asks for a slot, or for a place in the line.
    fn join(&self) -> Place<D> {
        // SAFETY: models keep the pool longer than those who wait.
        let core = unsafe { &*ptr::from_ref::<Shared<Object, D>>(self) };
        let place = match core.take_or_wait(false, Location::caller()) {
            Ok(Ok(vacancy)) => Err(Ok(vacancy)),
            Ok(Err(waiting)) => Ok(waiting),
            Err(error) => Err(Err(error)),
        };
        Place { place, bell: Arc::default() }
    }

    /// All slots can be allocated, when no other thread uses the pool any more, and nobody has one.
    fn assert_vacant(&self) {
        let handles: Vec<_> = core::iter::from_fn(|| self.allocate().ok()).collect();
        assert_eq!(handles.len(), self.capacity(), "slots are lost");
        drop(handles);
        assert_all_destroyed();
    }
}

/// A place in the line, or what was there without waiting.
struct Place<D: Kind> {
    place: Result<Waiting<'static, Object, D>, Result<SharedVacancy<'static, Object, D>>>,
    bell: Arc<Bell>,
}

struct Bell(Notify);

impl Default for Bell {
    fn default() -> Self {
        Self(Notify::new())
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

impl<D: Kind> Place<D> {
    fn poll(&mut self) -> Poll<Result<Handle>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        let vacancy = match &mut self.place {
            Ok(waiting) => match waiting.poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(vacancy) => vacancy,
                Poll::Pending => return Poll::Pending,
            },
            Err(vacancy) => mem::replace(vacancy, Err(Error::Timeout)),
        };
        // SAFETY: the slot was just taken.
        Poll::Ready(vacancy.map(|vacancy| unsafe { Handle::from_raw(vacancy.fill(Object::default())) }))
    }

    /// Sleeps until it is told. If nobody wakes it, loom reports a deadlock.
    fn wait(mut self) -> Result<Handle> {
        loop {
            match self.poll() {
                Poll::Ready(result) => return result,
                Poll::Pending => self.bell.0.wait(),
            }
        }
    }
}

/// [`Operations::free`], which for loom is a write to all that is freed. Who uses it afterwards finds no atomics.
///
/// # Safety
///
/// Nobody uses the core any more.
unsafe fn free<D: Kind>(head: NonNull<Head>) {
    let core = head.cast::<Shared<Object, D>>();
    {
        // SAFETY: the caller says so.
        let core = unsafe { &mut *head.as_ptr() };
        core.direct.with_mut(|_| ());
        core.pools.with_mut(|_| ());
        core.remaining.with_mut(|_| ());
        core.exchange.destroy();
        core.magazines.destroy();
    }
    for mut counts in WATCHED.take() {
        // SAFETY: the table has not been freed yet, and nobody else uses it any more.
        let counts = unsafe { counts.as_mut() };
        counts.strong.with_mut(|_| ());
        counts.generation.with_mut(|_| ());
        counts.weak.with_mut(|_| ());
    }
    // SAFETY: the caller says so.
    unsafe { core.drop_in_place() };
    // SAFETY: the memory is the core's, which is gone.
    unsafe { core.write_bytes(0xff, 1) };
    FREED.with_borrow_mut(|freed| freed.push(Freed(core.cast(), Layout::new::<Shared<Object, D>>())));
}

/// A thread that can be registered.
fn thread(number: usize) -> &'static Thread {
    Thread::of_model(number)
}

/// A kind of depot.
trait Kind: Depot<Object> + 'static {}

impl<D: Depot<Object> + 'static> Kind for D {}

/// Calls `f` as if this were another thread.
fn as_thread<R>(thread: &'static Thread, f: impl FnOnce() -> R) -> R {
    register(Some(thread));
    let result = f();
    register(None);
    result
}

/// Starts a thread of a model.
fn spawn<R: 'static>(thread: Option<&'static Thread>, f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    threads::spawn(move || {
        register(thread);
        f()
    })
}

fn join_all<R, const N: usize>(threads: [JoinHandle<R>; N]) -> [R; N] {
    threads.map(|thread| thread.join().unwrap())
}

// Taking and releasing.

/// Both allocate and release: never the same slot at once.
fn a_slot_has_one_owner<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let use_slot = |number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || drop(model.allocate()))
        };
        join_all([use_slot(0), use_slot(1)]);
        model.assert_vacant();
    });
}

/// The same with an object that stays in the slot.
fn an_object_has_one_owner<D: Kind>() {
    check(|| {
        let model = Model::<D>::of_objects(1);
        let use_object = |number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || drop(model.acquire_object()))
        };
        join_all([use_object(0), use_object(1)]);
        drop(model.acquire_object().unwrap());
        assert_eq!(OBJECTS.get(), (1, 1), "the object was made more than once, or destroyed");
    });
}

/// Each of two threads finds a slot, if there are two.
fn two_threads_get_a_slot_each<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(2);
        let take = |number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || model.allocate().unwrap())
        };
        drop(join_all([take(0), take(1)]));
        model.assert_vacant();
    });
}

/// Two threads that use the pool for the first time, and both get magazines.
fn two_threads_make_magazines<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(9);
        let use_slot = |number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || drop(model.allocate().unwrap()))
        };
        join_all([use_slot(0), use_slot(1)]);
        model.assert_vacant();
    });
}

/// A thread uses the pool for the first time, while another one looks at all magazines.
fn a_new_magazine_is_flushed<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(5);
        let user = spawn(None, {
            let model = model.clone();
            move || {
                register(Some(thread(0)));
                drop(model.allocate().unwrap());
            }
        });
        let flusher = spawn(None, {
            let model = model.clone();
            move || model.flush_threads()
        });
        join_all([user, flusher]);
        model.assert_vacant();
    });
}

/// What was released before is found, wherever another thread released it.
fn a_slot_handed_over_is_found<D: Kind>(with_magazine: bool) {
    check(move || {
        let first = thread(0);
        let (model, handles, held) =
            if with_magazine { Model::<D>::with_empty_magazine(first, 1) } else { full(Model::new(1)) };
        let is_released = Arc::new(AtomicBool::new(false));
        let releaser = spawn(Some(first), {
            let is_released = Arc::clone(&is_released);
            move || {
                drop(handles);
                is_released.store(true, Release);
            }
        });
        let taker = spawn(Some(thread(1)), {
            let model = model.clone();
            move || {
                let must_be_there = is_released.load(Acquire);
                let handle = model.allocate();
                assert!(handle.is_ok() || !must_be_there, "a vacant slot was not found");
            }
        });
        join_all([releaser, taker]);
        drop(held);
        model.assert_vacant();
    });
}

fn a_slot_handed_over_to_the_depot_is_found<D: Kind>() {
    a_slot_handed_over_is_found::<D>(false);
}

fn a_slot_handed_over_to_a_magazine_is_found<D: Kind>() {
    a_slot_handed_over_is_found::<D>(true);
}

/// A pool and all its slots.
fn full<D: Kind>(model: Model<D>) -> (Model<D>, Vec<Handle>, Vec<Handle>) {
    let handles = model.allocate_all(model.capacity());
    (model, handles, Vec::new())
}

// Stealing.

/// The only vacant slot is in a magazine: its thread takes it and puts it back, while another one steals it.
fn a_slot_in_a_magazine_has_one_owner<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        let use_slot = |thread| {
            let model = model.clone();
            spawn(thread, move || drop(model.allocate()))
        };
        join_all([use_slot(Some(first)), use_slot(None)]);
        drop(held);
        model.assert_vacant();
    });
}

/// A thread begins to remember its magazine while it is robbed.
fn a_thread_that_is_robbed_remembers_nothing<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        first.forget(model.head.key());
        let use_slot = |thread| {
            let model = model.clone();
            spawn(thread, move || drop(model.allocate()))
        };
        join_all([use_slot(Some(first)), use_slot(None)]);
        drop(held);
        model.assert_vacant();
    });
}

/// Once magazines are out of use and flushed, what is released goes to the depot, although its thread has just
/// begun to remember its magazine.
fn nothing_is_kept_out_of_use<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        first.forget(model.head.key());
        let owner = spawn(Some(first), {
            let model = model.clone();
            move || drop(model.allocate())
        });
        let flusher = spawn(None, {
            let model = model.clone();
            move || {
                mem::forget(model.head.out_of_use());
                model.flush_all(&mut model.patience());
            }
        });
        join_all([owner, flusher]);
        assert_eq!(model.depot.vacant(), 1);
        drop(held);
        model.assert_vacant();
    });
}

/// As many slots as threads, all in the magazine of one.
fn stealing_finds_what_is_vacant<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 2);
        let use_slot = |thread| {
            let model = model.clone();
            spawn(thread, move || drop(model.allocate().unwrap()))
        };
        join_all([use_slot(Some(first)), use_slot(None)]);
        drop(held);
        model.assert_vacant();
    });
}

/// Two threads empty the magazine of a third one.
fn two_thieves_get_a_slot_each<D: Kind>() {
    check(|| {
        let (model, held) = Model::<D>::with_magazine(thread(0), 2);
        let steal = || {
            let model = model.clone();
            spawn(None, move || model.allocate().unwrap())
        };
        let stolen = join_all([steal(), steal()]);
        drop((stolen, held));
        model.assert_vacant();
    });
}

/// Two threads flush the magazine that its owner is using.
fn two_flushes_meet_the_owner<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 2);
        let flush = |model: &Model<D>| {
            let _out_of_use = model.head.out_of_use();
            model.flush_all(&mut model.patience());
        };
        let thief = spawn(None, {
            let model = model.clone();
            move || flush(&model)
        });
        let owner = spawn(Some(first), {
            let model = model.clone();
            move || model.head.pop(false).is_some()
        });
        flush(&model);
        let popped = owner.join().unwrap();
        thief.join().unwrap();
        let in_magazines: usize = model.head.magazines.iter().map(super::Magazine::len).sum();
        assert_eq!(model.depot.vacant() + in_magazines + usize::from(popped), 2, "a slot is lost, or there twice");
        mem::forget((model, held));
    });
}

/// A slot on its way from a magazine to the depot is not overlooked.
fn a_flush_hides<D: Kind>(flush: fn(&Model<D>), interleaves: bool) {
    check(move || {
        INTERLEAVES.set(interleaves);
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        let owner = spawn(Some(first), {
            let model = model.clone();
            move || flush(&model)
        });
        let thief = spawn(None, {
            let model = model.clone();
            move || drop(model.allocate().unwrap())
        });
        join_all([owner, thief]);
        drop(held);
        model.assert_vacant();
    });
}

fn a_flush_hides_no_slot<D: Kind>() {
    a_flush_hides::<D>(|model| model.flush_thread(), false);
}

fn a_flush_while_a_thread_looks_hides_no_slot<D: Kind>() {
    a_flush_hides::<D>(|model| model.flush_thread(), true);
}

fn a_flush_of_all_hides_no_slot<D: Kind>() {
    a_flush_hides::<D>(|model| model.flush_threads(), false);
}

/// Nor are those of a magazine that becomes too full.
fn a_spill_hides_no_slot<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, mut handles, held) = Model::<D>::with_empty_magazine(first, 4);
        let last = handles.pop();
        as_thread(first, || drop(handles));
        let owner = spawn(Some(first), move || drop(last));
        let thief = spawn(None, {
            let model = model.clone();
            move || drop(model.allocate_all(3))
        });
        join_all([owner, thief]);
        drop(held);
        model.assert_vacant();
    });
}

/// Several slots are found at once, or none is taken.
fn a_batch_is_found<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 2);
        let owner = spawn(Some(first), {
            let model = model.clone();
            move || model.flush_thread()
        });
        let thief = spawn(None, {
            let model = model.clone();
            move || assert_eq!(model.vacancies(2, Location::caller()).unwrap().len(), 2)
        });
        join_all([owner, thief]);
        drop(held);
        model.assert_vacant();
    });
}

/// A batch that goes from a full magazine to the exchange is found there, or on its way.
fn an_exchange_hides_no_slot<D: Kind>() {
    check_large(1, || {
        let first = thread(0);
        let model = Model::<D>::new(8);
        let mut handles = as_thread(first, || model.allocate_all(4));
        let last = handles.pop();
        as_thread(first, || drop(handles));
        let owner = spawn(Some(first), move || drop(last));
        let thief = spawn(None, {
            let model = model.clone();
            move || drop(model.allocate_all(7))
        });
        join_all([owner, thief]);
        model.assert_vacant();
    });
}

/// A pool whose only slot is in the exchange.
fn with_exchange<D: Kind>() -> Model<D> {
    let model = Model::<D>::new(1);
    let (slot, _) = model.depot.take_one(false).unwrap();
    assert!(model.head.exchange.put(&[slot]));
    model
}

/// The only vacant slot is in the exchange.
fn a_slot_in_the_exchange_is_found<D: Kind>() {
    check(|| {
        let model = with_exchange::<D>();
        let use_slot = || {
            let model = model.clone();
            spawn(None, move || drop(model.allocate()))
        };
        join_all([use_slot(), use_slot()]);
        model.assert_vacant();
    });
}

/// It is found as well while another thread brings it to the depot.
fn a_flush_of_the_exchange_hides_no_slot<D: Kind>() {
    check(|| {
        let model = with_exchange::<D>();
        let flusher = spawn(None, {
            let model = model.clone();
            move || model.flush_threads()
        });
        let user = spawn(None, {
            let model = model.clone();
            move || drop(model.allocate().unwrap())
        });
        join_all([flusher, user]);
        model.assert_vacant();
    });
}

/// Two threads leave slots there at the same time.
fn two_threads_leave_slots_in_the_exchange<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(2);
        let leave = || {
            let model = model.clone();
            let (slot, _) = model.depot.take_one(false).unwrap();
            spawn(None, move || {
                let _transfer = model.head.transfer();
                if !model.head.exchange.put(&[slot]) {
                    model.depot.give(&[slot], false);
                }
            })
        };
        join_all([leave(), leave()]);
        model.assert_vacant();
    });
}

/// A slot in the exchange has one owner, while another thread wants to leave one there too.
fn a_slot_in_the_exchange_has_one_owner<D: Kind>() {
    check(|| {
        let first = thread(0);
        let model = Model::<D>::new(9);
        let handles = as_thread(first, || model.allocate_all(5));
        let mut handles = handles.into_iter();
        as_thread(first, || drop(Vec::from_iter(handles.by_ref().take(4))));
        assert_eq!(model.head.exchange.len(), 1);
        let owner = spawn(Some(first), move || drop(handles));
        let user = || {
            let model = model.clone();
            spawn(None, move || drop(model.allocate().unwrap()))
        };
        join_all([owner, user(), user()]);
        model.assert_vacant();
    });
}

// The end of threads.

/// A thread ends, another one takes over what pools know about it, and a third one steals.
fn a_thread_takes_over<D: Kind>() {
    check_large(1, || {
        let first = thread(0);
        let (model, handles, held) = Model::<D>::with_empty_magazine(first, 1);
        let retired = Arc::new(Mutex::new(None));
        let predecessor = spawn(Some(first), {
            let retired = Arc::clone(&retired);
            move || {
                drop(handles);
                retire(&retired);
            }
        });
        let successor = spawn(None, {
            let model = model.clone();
            move || {
                register(retired.try_with(Option::take).flatten());
                drop(model.allocate());
            }
        });
        let thief = spawn(None, {
            let model = model.clone();
            move || drop(model.allocate())
        });
        join_all([predecessor, successor, thief]);
        drop(held);
        model.assert_vacant();
    });
}

/// What a thread does when it ends.
fn retire(retired: &Mutex<Option<&'static Thread>>) {
    let thread = super::thread::registered();
    register(None);
    retired.with(|retired| *retired = thread);
}

// The end of pools.

/// The pool ends while a handle does: the core is freed once, by who is last.
fn a_pool_ends_while_a_handle_does<D: Kind>(with_magazine: bool) {
    check(move || {
        let first = thread(0);
        let (model, handles, held) =
            if with_magazine { Model::<D>::with_empty_magazine(first, 1) } else { full(Model::new(1)) };
        let user = spawn(Some(first), move || drop(handles));
        let owner = spawn(Some(thread(1)), move || drop(model));
        join_all([user, owner]);
        if with_magazine {
            assert_freed(0);
            drop(held);
        }
        assert_freed(1);
        assert_all_destroyed();
    });
}

fn a_pool_ends_while_a_handle_goes_to_the_depot<D: Kind>() {
    a_pool_ends_while_a_handle_does::<D>(false);
}

fn a_pool_ends_while_a_handle_goes_to_a_magazine<D: Kind>() {
    a_pool_ends_while_a_handle_does::<D>(true);
}

/// The same with two handles, which outlive it or not.
fn a_pool_ends_while_two_handles_do<D: Kind>() {
    check(|| {
        let (model, mut handles, _) = full(Model::<D>::new(2));
        let other = handles.pop();
        let users = [spawn(Some(thread(0)), move || drop(handles)), spawn(Some(thread(1)), move || drop(other))];
        let owner = spawn(None, move || drop(model));
        join_all(users);
        owner.join().unwrap();
        assert_freed(1);
        assert_all_destroyed();
    });
}

/// Two pools with one core end, one of them after it was used.
fn two_pools_end<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        drop(held);
        let other = model.pool();
        let user = spawn(Some(first), move || drop((model.allocate().unwrap(), model)));
        let owner = spawn(None, move || drop(other));
        join_all([user, owner]);
        assert_freed(1);
        assert_all_destroyed();
    });
}

/// A thread ends with slots in its magazine, and the pool does.
fn a_pool_ends_while_a_thread_does<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, handles, held) = Model::<D>::with_empty_magazine(first, 1);
        drop(held);
        let retired = Arc::new(Mutex::new(None));
        let user = spawn(Some(first), {
            let retired = Arc::clone(&retired);
            move || {
                drop(handles);
                retire(&retired);
            }
        });
        let successor = spawn(None, move || {
            register(retired.try_with(Option::take).flatten());
            drop(model);
        });
        join_all([user, successor]);
        assert_freed(1);
        assert_all_destroyed();
    });
}

/// A handle that outlives its pool takes another slot of it, or is told that it is too late.
fn a_pool_ends_while_a_value_is_cloned<D: Kind>() {
    check(|| {
        let (model, mut handles, _) = full(Model::<D>::new(2));
        drop(handles.pop());
        let user = spawn(None, move || {
            let clone = handles[0].try_clone();
            assert!(!matches!(clone, Err(Error::PoolExhausted { .. })));
        });
        let owner = spawn(None, move || drop(model));
        join_all([user, owner]);
        assert_freed(1);
        assert_all_destroyed();
    });
}

// Waiting.

/// Who waits is served, wherever the slot is released.
fn a_waiter_is_served<D: Kind>(with_magazine: bool) {
    check(move || {
        let first = thread(0);
        let (model, handles, held) =
            if with_magazine { Model::<D>::with_empty_magazine(first, 1) } else { full(Model::new(1)) };
        let releaser = spawn(Some(first), move || drop(handles));
        let waiter = spawn(None, {
            let model = model.clone();
            move || drop(model.join().wait().unwrap())
        });
        join_all([releaser, waiter]);
        drop(held);
        model.assert_vacant();
    });
}

fn a_waiter_is_served_by_the_depot<D: Kind>() {
    a_waiter_is_served::<D>(false);
}

fn a_waiter_is_served_by_a_magazine<D: Kind>() {
    a_waiter_is_served::<D>(true);
}

/// Two wait for one slot: each gets it.
fn two_waiters_are_served<D: Kind>() {
    check_large(1, || {
        let (model, handles, _) = full(Model::<D>::new(1));
        let releaser = spawn(Some(thread(0)), move || drop(handles));
        let wait = || {
            let model = model.clone();
            spawn(None, move || drop(model.join().wait().unwrap()))
        };
        join_all([releaser, wait(), wait()]);
        model.assert_vacant();
    });
}

/// The first in the line leaves it while a slot is released: the second one gets it.
fn a_cancelled_waiter_loses_no_slot<D: Kind>() {
    check(|| {
        let (model, handles, _) = full(Model::<D>::new(1));
        let (mut first, second) = (model.join(), model.join());
        assert!(first.poll().is_pending());
        let releaser = spawn(Some(thread(0)), move || drop(handles));
        let canceller = spawn(None, move || drop(first));
        let waiter = spawn(None, move || drop(second.wait().unwrap()));
        join_all([releaser, canceller, waiter]);
        model.assert_vacant();
    });
}

/// The only one in the line leaves it while a slot is released: it is vacant then.
fn the_last_waiter_loses_no_slot<D: Kind>() {
    check(|| {
        let (model, handles, held) = Model::<D>::with_empty_magazine(thread(0), 1);
        let place = model.join();
        let releaser = spawn(Some(thread(0)), move || drop(handles));
        let canceller = spawn(None, move || drop(place));
        join_all([releaser, canceller]);
        drop(held);
        model.assert_vacant();
    });
}

/// Who waits is told that the pool was closed.
fn a_waiter_is_told_of_the_end<D: Kind>() {
    check(|| {
        let (model, handles, _) = full(Model::<D>::new(1));
        let closer = spawn(None, {
            let model = model.clone();
            move || model.close()
        });
        let waiter = spawn(None, {
            let model = model.clone();
            move || assert!(matches!(model.join().wait(), Err(Error::Closed)))
        });
        join_all([closer, waiter]);
        drop(handles);
    });
}

/// A slot that is released while the pool is closed is not lost, whether or not the waiter gets it.
fn a_closed_pool_keeps_its_slots<D: Kind>() {
    check(|| {
        let (model, handles, held) = Model::<D>::with_empty_magazine(thread(0), 1);
        let place = model.join();
        let releaser = spawn(Some(thread(0)), move || drop(handles));
        let closer = spawn(None, {
            let model = model.clone();
            move || model.close()
        });
        let waiter = spawn(None, move || drop(place.wait()));
        join_all([releaser, closer, waiter]);
        drop(held);
        assert_eq!(model.depot.vacant(), model.capacity());
    });
}

/// All magazines are flushed while one is used.
fn a_flush_of_all_loses_no_slot<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        let user = spawn(Some(first), {
            let model = model.clone();
            move || drop(model.allocate().unwrap())
        });
        let flusher = spawn(None, {
            let model = model.clone();
            move || model.flush_threads()
        });
        join_all([user, flusher]);
        drop(held);
        model.assert_vacant();
    });
}

// Counted handles.

/// The last of two handles destroys the value, after the other one has used it.
fn the_last_shared_handle_destroys<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let look = |handle: ThreadSafeSharedHandle<Object>| {
            spawn(None, move || {
                handle.read();
            })
        };
        join_all([look(handle.clone()), look(handle)]);
        model.assert_vacant();
    });
}

/// An upgrade finds the value, or nothing.
fn an_upgrade_meets_the_last_drop<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let weak = handle.downgrade();
        let dropper = spawn(None, move || {
            handle.read();
        });
        let upgrader = spawn(None, move || weak.upgrade().map(|handle| handle.read()));
        dropper.join().unwrap();
        upgrader.join().unwrap();
        model.assert_vacant();
    });
}

/// An upgrade never finds a later tenant of the slot.
fn an_upgrade_finds_no_later_tenant<D: Kind>(then: fn(Handle)) {
    check(move || {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let (weak, number) = (handle.downgrade(), handle.read());
        let dropper = spawn(None, {
            let model = model.clone();
            move || {
                drop(handle);
                // Occupied as long as the upgraded handle lives.
                if let Ok(next) = model.allocate() {
                    then(next);
                }
            }
        });
        let upgrader = spawn(None, move || {
            if let Some(handle) = weak.upgrade() {
                assert_eq!(handle.read(), number, "that is a later tenant");
            }
        });
        join_all([dropper, upgrader]);
        model.assert_vacant();
    });
}

fn an_upgrade_finds_no_later_shared_tenant<D: Kind>() {
    an_upgrade_finds_no_later_tenant::<D>(|handle| {
        handle.into_shared().read();
    });
}

fn an_upgrade_finds_no_later_pinned_tenant<D: Kind>() {
    an_upgrade_finds_no_later_tenant::<D>(|handle| drop(handle.into_pin()));
}

/// Nor does it find the same value when that has got another generation. Without the pool, whose fences would order what
/// the threads do.
fn an_upgrade_finds_no_later_generation<D: Kind>(then: fn(Handle)) {
    check(move || {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let weak = handle.downgrade();
        let owner = spawn(None, move || {
            if let Ok(mut handle) = handle.try_into_owned() {
                handle.write();
                then(handle);
            }
        });
        let upgrader = spawn(None, move || {
            if let Some(handle) = weak.upgrade() {
                handle.read();
            }
        });
        join_all([owner, upgrader]);
        model.assert_vacant();
    });
}

fn an_upgrade_finds_no_value_shared_again<D: Kind>() {
    an_upgrade_finds_no_later_generation::<D>(|handle| {
        handle.into_shared().read();
    });
}

fn an_upgrade_finds_no_value_pinned_meanwhile<D: Kind>() {
    an_upgrade_finds_no_later_generation::<D>(|handle| drop(handle.into_pin()));
}

/// A mutable reference is to be had only if there is no other handle, and none is made from a weak one.
fn the_only_handle_is_alone<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let mut handle = model.share();
        let other = handle.clone();
        let writer = spawn(None, move || {
            if let Some(object) = handle.get_mut() {
                object.write();
            }
        });
        let reader = spawn(None, move || {
            let weak = other.downgrade();
            other.read();
            drop(other);
            if let Some(handle) = weak.upgrade() {
                handle.read();
            }
        });
        join_all([writer, reader]);
        model.assert_vacant();
    });
}

/// The same without a weak handle, which would order what the threads do.
fn the_only_handle_follows_the_others<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let mut handle = model.share();
        let other = handle.clone();
        let writer = spawn(None, move || {
            if let Some(object) = handle.get_mut() {
                object.write();
            }
        });
        let reader = spawn(None, move || {
            other.read();
        });
        join_all([writer, reader]);
        model.assert_vacant();
    });
}

/// The same with a weak handle that is there from the start.
fn the_only_handle_has_no_weak_ones<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let mut handle = model.share();
        let weak = handle.downgrade();
        let writer = spawn(None, move || {
            if let Some(object) = handle.get_mut() {
                object.write();
            }
        });
        let reader = spawn(None, move || {
            if let Some(handle) = weak.upgrade() {
                handle.read();
            }
        });
        join_all([writer, reader]);
        model.assert_vacant();
    });
}

/// One of two handles becomes the owner, after the other one has used the value.
fn the_owner_is_alone<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let (other, weak) = (handle.clone(), handle.downgrade());
        let owner = spawn(None, move || {
            if let Ok(mut handle) = handle.try_into_owned() {
                handle.write();
            }
        });
        let reader = spawn(None, move || {
            other.read();
            drop(other);
            if let Some(handle) = weak.upgrade() {
                handle.read();
            }
        });
        join_all([owner, reader]);
        model.assert_vacant();
    });
}

/// The pool, a value and a weak handle to it end together.
fn a_weak_handle_outlives_the_pool<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let weak = handle.downgrade();
        let dropper = spawn(None, move || drop(handle));
        let owner = spawn(None, move || drop(model));
        let upgrader = spawn(None, move || {
            if let Some(handle) = weak.upgrade() {
                handle.read();
            }
        });
        join_all([dropper, owner, upgrader]);
        assert_freed(1);
        assert_all_destroyed();
    });
}

/// A weak handle is made from a value that has outlived its pool, perhaps.
fn a_weak_handle_is_made_after_the_pool<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let handle = model.share();
        let user = spawn(None, move || {
            let weak = handle.downgrade();
            drop(handle);
            assert!(weak.upgrade().is_none());
        });
        let owner = spawn(None, move || drop(model));
        join_all([user, owner]);
        assert_freed(1);
        assert_all_destroyed();
    });
}

macro_rules! models {
    ($($name:ident)*) => {
        mod locked {
            $(#[test] fn $name() { super::$name::<super::Locked<super::Object>>() })*
        }
        #[cfg(feature = "lock-free")]
        mod lock_free {
            $(#[test] fn $name() { super::$name::<super::LockFree<super::Object>>() })*
        }
    };
}

models! {
    a_slot_has_one_owner
    an_object_has_one_owner
    two_threads_get_a_slot_each
    two_threads_make_magazines
    a_new_magazine_is_flushed
    a_slot_handed_over_to_the_depot_is_found
    a_slot_handed_over_to_a_magazine_is_found
    a_slot_in_a_magazine_has_one_owner
    a_thread_that_is_robbed_remembers_nothing
    nothing_is_kept_out_of_use
    stealing_finds_what_is_vacant
    two_thieves_get_a_slot_each
    two_flushes_meet_the_owner
    a_flush_hides_no_slot
    a_flush_while_a_thread_looks_hides_no_slot
    a_flush_of_all_hides_no_slot
    a_spill_hides_no_slot
    a_batch_is_found
    a_flush_of_all_loses_no_slot
    an_exchange_hides_no_slot
    a_slot_in_the_exchange_is_found
    a_flush_of_the_exchange_hides_no_slot
    two_threads_leave_slots_in_the_exchange
    a_slot_in_the_exchange_has_one_owner
    a_thread_takes_over
    a_pool_ends_while_a_handle_goes_to_the_depot
    a_pool_ends_while_a_handle_goes_to_a_magazine
    a_pool_ends_while_two_handles_do
    two_pools_end
    a_pool_ends_while_a_thread_does
    a_pool_ends_while_a_value_is_cloned
    a_waiter_is_served_by_the_depot
    a_waiter_is_served_by_a_magazine
    two_waiters_are_served
    a_cancelled_waiter_loses_no_slot
    the_last_waiter_loses_no_slot
    a_waiter_is_told_of_the_end
    a_closed_pool_keeps_its_slots
    the_last_shared_handle_destroys
    an_upgrade_meets_the_last_drop
    an_upgrade_finds_no_later_shared_tenant
    an_upgrade_finds_no_later_pinned_tenant
    an_upgrade_finds_no_value_shared_again
    an_upgrade_finds_no_value_pinned_meanwhile
    the_only_handle_is_alone
    the_only_handle_follows_the_others
    the_only_handle_has_no_weak_ones
    the_owner_is_alone
    a_weak_handle_outlives_the_pool
    a_weak_handle_is_made_after_the_pool
}
