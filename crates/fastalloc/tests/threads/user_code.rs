//! Hooks, initializers, resets, destructors and iterators may panic, and may use the pool, on any thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;

use fastalloc::{
    GrowthStrategy, InitializationStrategy, PoolConfig, Poolable, SharedPool, Sharing, ThreadSafeHandle, ThreadSafePool,
};

use crate::support::{
    BLOCK, Counted, Gate, Ledger, Random, Reporter, Tally, Tracked, assert_all_are_there, build, config, event, events,
    inject, on_every_shared_pool, panic_at, pool, rounds, survive, together,
};

#[test]
fn pool_may_end_while_it_grows_for_a_clone() {
    type Pool = Arc<Mutex<Option<ThreadSafePool<String>>>>;
    let (pool, others) = (Pool::default(), Arc::new(Mutex::new(Vec::<ThreadSafeHandle<String>>::new())));
    let compute = {
        let others = Arc::clone(&others);
        move |_| {
            let others = std::mem::take(&mut *others.lock().unwrap());
            others.into_iter().for_each(|handle| drop(handle.into_inner()));
            1
        }
    };
    let initializer = {
        let pool = Arc::clone(&pool);
        move || {
            let ends = pool.lock().unwrap().take();
            drop(ends);
            String::from("object")
        }
    };
    let config = PoolConfig::builder().capacity(4).initializer(initializer);
    let strategy = GrowthStrategy::Custom { compute: Box::new(compute) };
    let new: ThreadSafePool<String> = build(config.growth_strategy(strategy));
    let first = new.acquire().unwrap();
    others.lock().unwrap().extend((0..3).map(|_| new.acquire().unwrap()));
    *pool.lock().unwrap() = Some(new);
    let _ = first.try_clone();
    assert!(pool.lock().unwrap().is_none());
    assert_eq!(*first, "object");
}

on_every_shared_pool! {
    hooks_run_once_and_in_order
    hooks_run_in_the_thread_that_calls
    panic_leaves_the_slot_vacant
    panic_in_a_batch_leaves_all_slots_vacant
    panicking_reset_destroys_the_object
    panicking_initializer_leaves_the_slot_vacant
    panicking_release_of_an_orphan_frees_the_pool
    destructor_that_panics_spares_no_other_object
    user_code_may_use_the_pool
    user_code_that_panics_on_many_threads_loses_no_slot
}

fn hooks_run_once_and_in_order<K: Sharing>() {
    let pool = pool::<Reporter, K>(3);
    let handle = pool.allocate(Reporter(1)).unwrap();
    assert_eq!(events(), ["acquire"]);
    drop(handle);
    assert_eq!(events(), ["release", "drop"]);

    let shared = pool.allocate_in_place(|slot| slot.write(Reporter(2))).unwrap().into_shared();
    drop(shared.clone());
    assert_eq!(events(), ["acquire"]);
    drop(shared);
    assert_eq!(events(), ["release", "drop"]);

    drop(pool.allocate_batch([Reporter(3), Reporter(4)]).unwrap());
    assert_eq!(events(), ["acquire", "acquire", "release", "drop", "release", "drop"]);

    let value = pool.allocate(Reporter(5)).unwrap().into_inner();
    assert_eq!((value.0, events()), (5, vec!["acquire"]));
    let handle = pool.allocate(value).unwrap();
    let clone = handle.try_clone().unwrap();
    assert_eq!((clone.0, events()), (5, vec!["acquire", "clone", "acquire"]));
    drop(pool);
    drop((handle, clone));
    assert_eq!(events(), ["release", "drop", "release", "drop"], "also if the pool is gone");
}

fn hooks_run_in_the_thread_that_calls<K: Sharing>()
where
    SharedPool<Reporter, K>: Sync,
{
    let reset = |_: &mut Reporter| event("reset");
    let initializer = || {
        event("init");
        Reporter(0)
    };
    let pool = build::<_, K>(config(3).reset_fn(initializer, reset));
    let object = pool.acquire().unwrap();
    assert_eq!(events(), ["init", "acquire"]);
    let object = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            drop(object);
            let object = pool.acquire().unwrap();
            assert_eq!(events(), ["release", "reset", "acquire"]);
            object
        });
        thread.join().unwrap()
    });
    assert_eq!(events(), [""; 0]);
    drop(object);
    assert_eq!(events(), ["release", "reset"]);
}

fn panic_leaves_the_slot_vacant<K: Sharing>() {
    let pool = pool::<Reporter, K>(1);
    let vacant_after = |name, expected: &[&str], operation: &dyn Fn()| {
        panic_at(name);
        assert!(survive(operation).is_none(), "{name} panics");
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    };
    let allocate = || pool.allocate(Reporter(1)).unwrap();
    let make = || {
        event("closure");
        Reporter(1)
    };
    vacant_after("acquire", &["acquire", "drop"], &|| drop(allocate()));
    vacant_after("acquire", &["acquire", "drop"], &|| drop(pool.allocate_wait(Reporter(1))));
    vacant_after("release", &["acquire", "release", "drop"], &|| drop(allocate()));
    vacant_after("drop", &["acquire", "release", "drop"], &|| drop(allocate()));
    vacant_after("release", &["acquire", "release", "drop"], &|| drop(allocate().into_shared()));
    vacant_after("drop", &["acquire", "drop"], &|| drop(allocate().into_pin()));
    vacant_after("closure", &["closure"], &|| drop(pool.allocate_with(make)));
    vacant_after("closure", &["closure"], &|| drop(pool.allocate_in_place(|slot| slot.write(make()))));
    assert_all_are_there(&pool, || Reporter(1));

    let two = build::<Reporter, K>(config(2));
    let one = two.allocate(Reporter(1)).unwrap();
    for name in ["clone", "acquire"] {
        panic_at(name);
        assert!(survive(|| one.try_clone().map(drop)).is_none());
        assert_eq!(two.allocated(), 1);
    }
}

fn panic_in_a_batch_leaves_all_slots_vacant<K: Sharing>() {
    let pool = pool::<Reporter, K>(8);
    for at in 0..5 {
        let values = (0..5_u32).map(|number| if number == at { inject() } else { Reporter(number) });
        assert!(survive(|| pool.allocate_batch(values).map(drop)).is_none());
        assert!(pool.is_empty());
        let drops = events().iter().filter(|&&name| name == "drop").count();
        assert_eq!(drops, at as usize);
    }
    panic_at("acquire");
    assert!(survive(|| pool.allocate_batch([1, 2, 3].map(Reporter)).map(drop)).is_none());
    assert_eq!(events().iter().filter(|&&name| name == "drop").count(), 3);
    assert_all_are_there(&pool, || Reporter(1));
}

/// A pool of reporters with an initializer and a reset, which report too.
fn recycling<K: Sharing>(capacity: usize) -> SharedPool<Reporter, K> {
    let initializer = || {
        event("init");
        Reporter(0)
    };
    build(config(capacity).reset_fn(initializer, |_| event("reset")))
}

fn panicking_reset_destroys_the_object<K: Sharing>() {
    let pool = recycling::<K>(1);
    for (name, expected) in [("release", &["release", "drop"][..]), ("reset", &["release", "reset", "drop"])] {
        let object = pool.acquire().unwrap();
        events();
        panic_at(name);
        assert!(survive(|| drop(object)).is_none());
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    }
}

fn panicking_initializer_leaves_the_slot_vacant<K: Sharing>() {
    let pool = recycling::<K>(1);
    for (name, expected) in [("init", &["init"][..]), ("acquire", &["init", "acquire", "drop"])] {
        panic_at(name);
        assert!(survive(|| pool.acquire().map(drop)).is_none());
        assert_eq!(events(), expected);
        assert!(pool.is_empty());
    }
    assert!(pool.acquire().is_ok());

    // At construction nothing is left of the pool.
    let made = Ledger::default();
    let ledger = made.clone();
    let initializer = move || if made.born() == 3 { inject() } else { made.next() };
    assert!(survive(|| build::<Counted, K>(config(5).initializer(initializer))).is_none());
    ledger.assert_all_dead(3);
}

fn panicking_release_of_an_orphan_frees_the_pool<K: Sharing>() {
    for name in ["release", "reset", "drop"] {
        let pool = recycling::<K>(2);
        let objects = [pool.acquire().unwrap(), pool.allocate(Reporter(1)).unwrap()];
        drop(pool);
        events();
        for object in objects {
            panic_at(name);
            // Objects are not kept any more, but the reset does not know that.
            assert!(survive(|| drop(object)).is_none());
            assert_eq!(events().iter().filter(|&&name| name == "drop").count(), 1);
        }
    }
}

/// Its destructor may panic.
struct Bomb {
    _value: Tracked,
    armed: bool,
}

impl Poolable for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.armed && !thread::panicking() {
            inject();
        }
    }
}

fn destructor_that_panics_spares_no_other_object<K: Sharing>() {
    let tally = Tally::next();
    for bomb in 0..5 {
        let made = move || Bomb { _value: tally.value(1), armed: false };
        // Objects that the pool keeps when it ends.
        let pool = build::<Bomb, K>(config(5).reset_fn(made, |_| ()));
        let objects: Vec<_> = (0..5).map(|_| pool.acquire().unwrap()).collect();
        for (at, mut object) in objects.into_iter().enumerate() {
            object.armed = at == bomb;
        }
        assert!(survive(|| drop(pool)).is_none());
        tally.assert_none_left();

        // And a vector of handles.
        let pool = self::pool::<Bomb, K>(5);
        let bombs: Vec<_> =
            (0..5).map(|at| pool.allocate(Bomb { _value: tally.value(1), armed: at == bomb }).ok().unwrap()).collect();
        assert!(survive(|| drop(bombs)).is_none());
        assert!(pool.is_empty());
        tally.assert_none_left();
    }
}

thread_local! {
    /// What an `Intruder` does with its pool.
    static INTRUSION: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// A value whose hooks and destructor use the pool.
struct Intruder;

impl Intruder {
    fn intrude() {
        if let Some(intrusion) = INTRUSION.take() {
            intrusion();
            INTRUSION.set(Some(intrusion));
        }
    }

    fn new() -> Self {
        Self::intrude();
        Self
    }
}

impl Poolable for Intruder {
    fn on_acquire(&mut self) {
        Self::intrude();
    }

    fn on_release(&mut self) {
        Self::intrude();
    }
}

impl Clone for Intruder {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        Self::intrude();
    }
}

fn user_code_may_use_the_pool<K: Sharing>() {
    let reset = |_: &mut Intruder| Intruder::intrude();
    for strategy in [InitializationStrategy::Lazy, InitializationStrategy::custom(Intruder::new, reset)] {
        let recycles = !strategy.is_lazy();
        let pool = build::<Intruder, K>(config(4).initialization_strategy(strategy));
        let calls = Rc::new(Cell::new(0));
        let (inner, count) = (pool.clone(), Rc::clone(&calls));
        INTRUSION.set(Some(Rc::new(move || {
            count.set(count.get() + 1);
            let vacant = inner.available();
            let handles: Vec<_> = std::iter::from_fn(|| inner.try_allocate(Intruder)).collect();
            assert!(inner.is_full() && inner.acquire().is_err() && inner.allocate_batch([Intruder]).is_err());
            drop(handles);
            inner.flush_thread();
            assert_eq!(inner.available(), vacant);
        })));
        drop(pool.allocate(Intruder).unwrap());
        assert_eq!(calls.get(), 3, "both hooks, and the destructor or the reset");
        let cloned = pool.allocate_with(Intruder::new).unwrap().try_clone().unwrap();
        drop(cloned);
        drop(pool.allocate_batch([0; 2].iter().map(|_| Intruder::new())).unwrap());
        drop(pool.allocate_wait(Intruder).unwrap().into_shared());
        if recycles {
            drop(pool.acquire().unwrap());
        }
        assert!(pool.is_empty() && calls.get() >= 15);
        INTRUSION.set(None);
    }
}

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Panics now and then.
fn chance() {
    CALLS.set(CALLS.get() + 1);
    if CALLS.get() % 7 == 0 && !thread::panicking() {
        inject();
    }
}

/// A value with hooks and a destructor that panic now and then.
struct Moody(Tracked);

impl Poolable for Moody {
    fn on_acquire(&mut self) {
        chance();
    }

    fn on_release(&mut self) {
        chance();
    }
}

impl Clone for Moody {
    fn clone(&self) -> Self {
        chance();
        Self(self.0.clone())
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        chance();
    }
}

fn user_code_that_panics_on_many_threads_loses_no_slot<K: Sharing>()
where
    SharedPool<Moody, K>: Sync,
{
    for (threads, each, recycles) in [(4, 2, false), (4, 2, true), (3, 60, false), (3, 60, true)] {
        let tally = Tally::next();
        let capacity = threads * each;
        let initializer = move || {
            chance();
            Moody(tally.value(0))
        };
        let reset = |object: &mut Moody| {
            object.0.mark = 0;
            chance();
        };
        let config = config(capacity);
        let pool = build::<_, K>(if recycles { config.reset_fn(initializer, reset) } else { config });
        let gate = Gate::default();
        together(threads, |number| {
            let mut random = Random::new(number);
            let mut held: Vec<ThreadSafeHandle<Moody>> = Vec::new();
            for _ in 0..rounds(6_000, 100) / threads {
                let value = || Moody(tally.value(0));
                let taken = survive(|| match random.below(6) {
                    _ if held.len() + 2 > each => Vec::new(),
                    0 => vec![pool.allocate_with(initializer).expect("each thread has its share")],
                    1 if recycles => vec![pool.acquire().expect("each thread has its share")],
                    2 => held
                        .last()
                        .map(|last| last.try_clone().expect("each thread has its share"))
                        .into_iter()
                        .collect(),
                    3 => pool.allocate_batch([value(), value()]).expect("each thread has its share"),
                    _ => vec![pool.allocate(value()).expect("each thread has its share")],
                });
                let taken = taken.unwrap_or_default();
                taken.iter().for_each(|_| gate.enter(capacity));
                held.extend(taken);
                if random.once_in(2) {
                    let dropped = held.split_off(held.len() - random.below(held.len().min(4) + 1));
                    dropped.iter().for_each(|handle| handle.0.check(0));
                    dropped.iter().for_each(|_| gate.leave());
                    let _ = survive(|| drop(dropped));
                }
            }
            let _ = survive(|| drop(held));
        });
        assert!(pool.is_empty());
        let mut all = Vec::new();
        while all.len() < capacity {
            all.extend(survive(|| pool.allocate(Moody(tally.value(0))).expect("no slot is lost")));
        }
        let _ = survive(|| drop(all));
        let _ = survive(|| drop(pool));
        tally.assert_none_left();
    }
}

#[test]
fn trim_goes_on_after_a_destructor_that_panics() {
    let tally = Tally::next();
    let config =
        PoolConfig::builder().capacity(1).alignment(BLOCK).growth_strategy(GrowthStrategy::Linear { amount: 1 });
    let pool: ThreadSafePool<Bomb> =
        build(config.reset_fn(move || Bomb { _value: tally.value(1), armed: false }, |_| ()));
    drop((0..20).map(|_| pool.acquire().unwrap()).collect::<Vec<_>>());
    pool.acquire().unwrap().armed = true;
    assert!(survive(|| pool.trim_to(0)).is_none());
    pool.trim_to(0);
    assert_eq!((pool.capacity(), pool.bytes_reserved()), (0, 0));
    tally.assert_all_dead(20);
    assert!(pool.acquire().is_ok());
}
