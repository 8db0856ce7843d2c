//! Models of the pools that threads share: all interleavings of small programs, and what the memory orderings
//! allow, are tried by loom.
//!
//! `ci/loom.sh` runs them, and `ci/loom_mutations.sh` shows which mistakes they would find. In models magazines
//! are small, and a thread gets slots for its own only while four are vacant in the depot; the slots that are not
//! of interest are held by nobody in particular.
//!
//! Loom has `SeqCst` accesses read the newest of those writes that are `SeqCst` too, which the first value of
//! an atomic is not. Hence [`Model::new`], which writes each once.

use alloc::alloc::dealloc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::mem::{self, ManuallyDrop};
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicUsize as Count;
use core::task::{Context, Poll, Waker};
use std::{eprintln, thread_local};

use loom::cell::UnsafeCell;
use loom::sync::Notify;
use loom::thread::{self as threads, JoinHandle};

use super::thread::{Thread, register};
use super::{Counts, Depot, Head, Location, LockFree, Locked, Operations, Shared, SharedOwner, SharedVacancy, Waiting};
use crate::config::PoolConfig;
use crate::error::{Error, Result};
use crate::poolable::Poolable;
use crate::shared_handle::{ThreadSafeHandle, ThreadSafeSharedHandle, ThreadSafeWeakHandle};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Tries all executions of a program, with as many preemptions as `LOOM_MAX_PREEMPTIONS` says.
fn check(program: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    let executions = Arc::new(Count::new(0));
    let counted = Arc::clone(&executions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        FREED.with_borrow_mut(Vec::clear);
        WATCHED.with_borrow_mut(Vec::clear);
        program();
    });
    let executions = executions.load(Relaxed);
    eprintln!("{executions} executions of {}", std::thread::current().name().unwrap_or_default());
    assert!(executions > 1, "the threads of the model never met");
}

// All threads of a model are one of the machine.
thread_local! {
    /// The memory of cores that were freed in this execution.
    static FREED: RefCell<Vec<Freed>> = const { RefCell::new(Vec::new()) };
    /// Counts whose memory goes with the core's.
    static WATCHED: RefCell<Vec<NonNull<Counts>>> = const { RefCell::new(Vec::new()) };
    /// Objects that exist in this execution.
    static OBJECTS: Cell<usize> = const { Cell::new(0) };
}

fn freed() -> usize {
    FREED.with_borrow(Vec::len)
}

/// Memory that is not used for anything else before the execution has ended.
struct Freed(NonNull<u8>, Layout);

impl Drop for Freed {
    fn drop(&mut self) {
        // SAFETY: `SharedOwner::create` allocated the memory with this layout.
        unsafe { dealloc(self.0.as_ptr(), self.1) };
    }
}

/// What is in the slots: an object that is counted as long as it exists.
#[derive(Debug)]
struct Object(());

impl Default for Object {
    fn default() -> Self {
        OBJECTS.set(OBJECTS.get() + 1);
        Self(())
    }
}

impl Poolable for Object {}

impl Drop for Object {
    fn drop(&mut self) {
        OBJECTS.set(OBJECTS.get() - 1);
    }
}

/// Who has a slot: written by each owner, so that loom sees whether they follow each other.
#[derive(Debug, Default)]
struct Owned(UnsafeCell<bool>);

impl Owned {
    fn set(&self, owned: bool) {
        // SAFETY: loom reports it if another thread does the same.
        let before = self.0.with_mut(|before| unsafe { before.replace(owned) });
        assert_ne!(before, owned, "a slot has two owners");
    }
}

/// A pool, to be kept by the main thread until the others have ended.
struct Model<D: Kind> {
    core: Arc<SharedOwner<Object, D>>,
    owned: Arc<[Owned]>,
}

impl<D: Kind> Clone for Model<D> {
    /// Not counted by the core.
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), owned: Arc::clone(&self.owned) }
    }
}

impl<D: Kind> Model<D> {
    const OPERATIONS: Operations = Operations { free: free::<D>, ..Shared::<Object, D>::OPERATIONS };

    fn new(capacity: usize) -> Self {
        Self::with_config(PoolConfig::builder().capacity(capacity).build().unwrap())
    }

    /// A pool in which a thread has a magazine with so many slots, and all others are held.
    fn with_magazine(thread: &'static Thread, count: usize) -> (Self, Vec<Handle>) {
        let model = Self::new(4 + count);
        let handles = model.allocate_as(thread, count);
        let held = model.hold_the_rest();
        as_thread(thread, || drop(handles));
        assert_eq!(model.core.depot.vacant(), 0);
        (model, held)
    }

    fn with_config(config: PoolConfig<Object>) -> Self {
        let owned = core::iter::repeat_with(Owned::default).take(config.capacity).collect();
        let core = SharedOwner::create(config).unwrap();
        // SAFETY: nobody else uses the core yet.
        unsafe { core.head().as_mut() }.operations = const { &Self::OPERATIONS };
        let head = &core.head;
        head.closed.swap(false, SeqCst);
        head.orphaned.swap(false, SeqCst);
        head.direct.fetch_add(0, SeqCst);
        head.transfers.begun.fetch_add(0, SeqCst);
        head.transfers.ended.fetch_add(0, SeqCst);
        head.line.leave(0);
        Self { core: Arc::new(core), owned }
    }

    /// Another pool with the same core, which is counted.
    fn pool(&self) -> SharedOwner<Object, D> {
        SharedOwner::clone(&self.core)
    }

    /// The pool that was counted all along.
    fn into_pool(self) -> SharedOwner<Object, D> {
        let Some(core) = Arc::into_inner(self.core) else { panic!("the model is still used") };
        core
    }

    fn own(&self, value: NonNull<Object>) -> Handle {
        // SAFETY: the slot is occupied.
        let index = unsafe { super::index(value) };
        self.owned[index].set(true);
        // SAFETY: nobody else has it, as was just checked.
        let handle = unsafe { ThreadSafeHandle::from_raw(value) };
        Handle { handle: ManuallyDrop::new(handle), index, owned: Arc::clone(&self.owned) }
    }

    fn fill(&self, vacancy: SharedVacancy<'_, Object, D>) -> Handle {
        self.own(vacancy.fill(Object::default()))
    }

    fn allocate(&self) -> Result<Handle> {
        Ok(self.fill(self.core.vacancy()?))
    }

    /// What the thread takes out of the depot, which leaves its magazine fit for as many.
    fn allocate_as(&self, thread: &'static Thread, count: usize) -> Vec<Handle> {
        as_thread(thread, || core::iter::repeat_with(|| self.allocate().unwrap()).take(count).collect())
    }

    /// Takes all that is in the depot, out of the way.
    fn hold_the_rest(&self) -> Vec<Handle> {
        core::iter::repeat_with(|| self.allocate().unwrap()).take(self.core.depot.vacant()).collect()
    }

    /// Asks for a slot, or for a place in the line.
    fn join(&self) -> Place<D> {
        // SAFETY: models keep the pool longer than those who wait.
        let core = unsafe { &*ptr::from_ref::<Shared<Object, D>>(&**self.core) };
        let (handle, waiting) = match core.take_or_wait(false) {
            Ok(Ok(vacancy)) => (Some(Ok(self.fill(vacancy))), None),
            Ok(Err(waiting)) => (None, Some(waiting)),
            Err(error) => (Some(Err(error)), None),
        };
        Place { handle, waiting, model: self.clone(), bell: Arc::default() }
    }

    /// Slots that can be allocated, when no other thread uses the pool any more.
    fn assert_vacant(&self, count: usize) {
        let handles: Vec<_> = core::iter::from_fn(|| self.allocate().ok()).collect();
        assert_eq!(handles.len(), count, "slots are lost");
    }
}

/// Owns a slot.
struct Handle {
    handle: ManuallyDrop<ThreadSafeHandle<Object>>,
    index: usize,
    owned: Arc<[Owned]>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.owned[self.index].set(false);
        // SAFETY: the handle is not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.handle) };
    }
}

/// A place in the line.
struct Place<D: Kind> {
    handle: Option<Result<Handle>>,
    waiting: Option<Waiting<'static, Object, D>>,
    model: Model<D>,
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
        if let Some(handle) = self.handle.take() {
            return Poll::Ready(handle);
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        let Some(waiting) = &mut self.waiting else { panic!("it was told already") };
        waiting.poll(&mut Context::from_waker(&waker)).map(|vacancy| vacancy.map(|vacancy| self.model.fill(vacancy)))
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
        core.transfers.begun.with_mut(|_| ());
        core.transfers.ended.with_mut(|_| ());
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

// Slots.

/// Both allocate and release: never the same slot at once.
fn a_slot_has_one_owner<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(1);
        let threads = [0, 1].map(|number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || drop(model.allocate()))
        });
        join_all(threads);
        model.assert_vacant(1);
    });
}

/// Each of two threads finds a slot, if there are two.
fn two_threads_get_a_slot_each<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(2);
        let threads = [0, 1].map(|number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || model.allocate().unwrap())
        });
        drop(join_all(threads));
        model.assert_vacant(2);
    });
}

/// Two threads that use the pool for the first time, and both get magazines.
fn two_threads_make_magazines<D: Kind>() {
    check(|| {
        let model = Model::<D>::new(9);
        let threads = [0, 1].map(|number| {
            let model = model.clone();
            spawn(Some(thread(number)), move || drop(model.allocate().unwrap()))
        });
        join_all(threads);
        model.assert_vacant(9);
    });
}

/// The only vacant slot is in a magazine: its thread takes it and puts it back, while another one steals it.
fn a_slot_in_a_magazine_has_one_owner<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 1);
        let threads = [Some(first), None].map(|thread| {
            let model = model.clone();
            spawn(thread, move || drop(model.allocate()))
        });
        join_all(threads);
        model.assert_vacant(1);
        drop(held);
    });
}

/// As many slots as threads, all in the magazine of one.
fn stealing_finds_what_is_vacant<D: Kind>() {
    check(|| {
        let first = thread(0);
        let (model, held) = Model::<D>::with_magazine(first, 2);
        let threads = [Some(first), None].map(|thread| {
            let model = model.clone();
            spawn(thread, move || drop(model.allocate().unwrap()))
        });
        join_all(threads);
        model.assert_vacant(2);
        drop(held);
    });
}

/// Two threads empty the magazine of a third one.
fn two_thieves_get_a_slot_each<D: Kind>() {
    check(|| {
        let (model, held) = Model::<D>::with_magazine(thread(0), 2);
        let threads = [(); 2].map(|()| {
            let model = model.clone();
            spawn(None, move || model.allocate().unwrap())
        });
        drop((join_all(threads), held));
    });
}

macro_rules! models {
    ($($name:ident)*) => {
        mod locked {
            $(#[test] fn $name() { super::$name::<super::Locked<super::Object>>() })*
        }
        mod lock_free {
            $(#[test] fn $name() { super::$name::<super::LockFree<super::Object>>() })*
        }
    };
}

models! {
    a_slot_has_one_owner
    two_threads_get_a_slot_each
    two_threads_make_magazines
    a_slot_in_a_magazine_has_one_owner
    stealing_finds_what_is_vacant
    two_thieves_get_a_slot_each
}
