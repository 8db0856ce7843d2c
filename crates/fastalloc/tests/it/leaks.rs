//! Who holds what: pools that track leaks name the place in the program, the thread and the age.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastalloc::{
    Allocator, BitmapAllocator, Error, Fixed, FixedPool, Kind, LeakPolicy, Outstanding, Pool, PoolConfigBuilder,
    Poolable, SharedHandle, StackAllocator,
};

use crate::heap::fail_at;
use crate::support::{Ledger, Reporter, build, config, inject, on_every_pool, panic_at, panic_message, survive};

on_every_pool! {
    each_way_to_allocate_is_found_where_it_is_called
    each_way_to_release_is_noticed
    nothing_is_out_after_a_panic
    pool_that_does_not_track_says_so
    allocation_without_memory_to_note_it_fails
}

fn tracked<T: Poolable, A: Allocator + Default, K: Kind>(capacity: usize) -> Pool<T, A, K> {
    build(config(capacity).track_leaks(true).leak_policy(LeakPolicy::Ignore))
}

/// The line in this file that each object was allocated in, the oldest first.
fn lines<T: Poolable, A: Allocator, K: Kind>(pool: &Pool<T, A, K>) -> Vec<u32> {
    let outstanding = pool.outstanding().expect("the pool tracks leaks");
    assert_eq!(outstanding.is_empty(), pool.is_empty());
    let line = |place: &std::panic::Location<'_>| {
        assert_eq!(place.file(), file!());
        place.line()
    };
    outstanding.objects().iter().map(|held| line(held.place)).collect()
}

const NOTHING: [u32; 0] = [];

/// The result of an expression; notes its line.
macro_rules! here {
    ($lines:ident, $expression:expr) => {{
        $lines.push(line!());
        $expression
    }};
}

fn each_way_to_allocate_is_found_where_it_is_called<A: Allocator + Default, K: Kind>() {
    let pool = Rc::new(build::<u64, A, K>(config(100).reset_fn(|| 0, |_| ()).track_leaks(true)));
    let mut expected = Vec::new();
    let original = here!(expected, pool.allocate(1).unwrap());
    let held = (
        here!(expected, pool.try_allocate(1).unwrap()),
        here!(expected, pool.allocate_or_return(1).unwrap()),
        here!(expected, pool.allocate_with(|| 1).unwrap()),
        here!(expected, pool.try_allocate_with(|| 1).unwrap()),
        here!(expected, pool.allocate_in_place(|slot| slot.write(1)).unwrap()),
        here!(expected, pool.try_allocate_in_place(|slot| slot.write(1)).unwrap()),
        here!(expected, pool.allocate_batch([1]).unwrap()),
        here!(expected, pool.acquire().unwrap()),
        here!(expected, pool.allocate_shared(1).unwrap()),
        here!(expected, pool.allocate_rc(1).unwrap()),
        here!(expected, pool.acquire_rc().unwrap()),
        here!(expected, original.try_clone().unwrap()),
    );
    assert_eq!(lines(&pool), expected);
    drop((original, held));
    assert_eq!(lines(&pool), NOTHING);
}

fn each_way_to_release_is_noticed<A: Allocator + Default, K: Kind>() {
    fn release<A: Allocator, K: Kind>(pool: &Pool<u64, A, K>) {
        drop(pool.allocate(1).unwrap());
        assert_eq!(lines(pool), NOTHING);
        assert_eq!(pool.allocate(2).unwrap().into_inner(), 2);
        assert_eq!(lines(pool), NOTHING);
        drop(pool.allocate(3).unwrap().into_pin());
        assert_eq!(lines(pool), NOTHING);
        drop(pool.allocate([4; 1][0]).unwrap().unsize::<dyn std::fmt::Debug>(|value| value));
        assert_eq!(lines(pool), NOTHING);
        let shared = pool.allocate_shared(5).unwrap();
        let (weak, other) = (shared.downgrade(), SharedHandle::clone(&shared));
        drop(shared);
        assert_eq!(lines(pool).len(), 1);
        drop(other);
        assert_eq!(lines(pool), NOTHING);
        assert!(weak.upgrade().is_none());
        drop(pool.allocate_batch([6, 7, 8]).unwrap());
        assert_eq!(lines(pool), NOTHING);
    }
    let values = tracked::<u64, A, K>(3);
    release(&values);
    let keep = |value: &mut u64| *value % 2 == 0;
    let objects = build::<u64, A, K>(config(3).reset_fn(|| 0, keep).track_leaks(true));
    release(&objects);
    drop(objects.acquire().unwrap());
    assert_eq!(lines(&objects), NOTHING);
    let eager = build::<u64, A, K>(config(3).initializer(|| 1).track_leaks(true));
    assert_eq!(lines(&eager), NOTHING);
    release(&eager);
}

fn nothing_is_out_after_a_panic<A: Allocator + Default, K: Kind>() {
    let pool = tracked::<Reporter, A, K>(2);
    for site in ["acquire", "release", "drop"] {
        panic_at(site);
        assert!(survive(|| drop(pool.allocate(Reporter(1)))).is_none());
        assert_eq!(lines(&pool), NOTHING, "{site}");
    }
    assert!(survive(|| pool.allocate_with(|| inject()).is_ok()).is_none());
    assert!(survive(|| pool.allocate_in_place(|_| inject()).is_ok()).is_none());
    let one = pool.allocate(Reporter(1)).unwrap();
    panic_at("clone");
    assert!(survive(|| one.try_clone().is_ok()).is_none());
    assert_eq!(lines(&pool).len(), 1);
}

fn pool_that_does_not_track_says_so<A: Allocator + Default, K: Kind>() {
    let pool = build::<u64, A, K>(config(1));
    let _held = pool.allocate(1).unwrap();
    assert!(pool.outstanding().is_none() && pool.held_longer_than(Duration::ZERO).is_none());
}

fn allocation_without_memory_to_note_it_fails<A: Allocator + Default, K: Kind>() {
    // Who has never asked for his thread's name gets the memory for it now.
    let _ = thread::current();
    type Operation<A, K> = fn(&Pool<u64, A, K>) -> Result<(), Error>;
    let operations: [Operation<A, K>; 3] = [
        |pool| pool.allocate(1).map(drop),
        |pool| pool.acquire().map(drop),
        |pool| pool.allocate_batch([1, 2]).map(drop),
    ];
    for operation in operations {
        let mut failures = 0;
        for n in 1.. {
            let pool = build::<u64, A, K>(config(3).reset_fn(|| 0, |_| ()).track_leaks(true));
            let (result, section) = fail_at(n, || operation(&pool));
            assert_eq!(lines(&pool), NOTHING);
            if !section.failed {
                assert_eq!(result, Ok(()));
                break;
            }
            assert!(matches!(result, Err(Error::OutOfMemory { .. })), "{result:?}");
            assert_eq!((pool.available(), operation(&pool)), (3, Ok(())));
            failures += 1;
        }
        assert!(failures > 0);
    }
}

#[test]
fn report_groups_by_place_and_sorts_by_age() {
    let mut lines = Vec::new();
    let pool = build::<u64, StackAllocator, Fixed>(config(10).name("numbers").track_leaks(true));
    let first = here!(lines, pool.allocate(1).unwrap());
    let second = here!(lines, pool.allocate(2).unwrap());
    let many: Vec<_> = (0..3).map(|number| here!(lines, pool.allocate(number).unwrap())).collect();
    drop(second);

    let outstanding = pool.outstanding().unwrap();
    assert_eq!((outstanding.name(), outstanding.type_name()), (Some("numbers"), "u64"));
    assert_eq!((&outstanding).into_iter().count(), outstanding.objects().len());
    assert!(format!("{pool:?}").contains("numbers"), "{pool:?}");
    let indices: Vec<_> = outstanding.objects().iter().map(|held| held.index).collect();
    assert_eq!(indices, [first.index(), many[0].index(), many[1].index(), many[2].index()]);
    assert!(outstanding.objects().is_sorted_by(|older, newer| older.age >= newer.age));
    let by_place = outstanding.by_place();
    let places: Vec<_> = by_place.iter().map(|held| (held.place.line(), held.objects)).collect();
    assert_eq!(places, [(lines[0], 1), (lines[2], 3)]);
    assert_eq!(by_place[1].age, outstanding.objects()[1].age);

    let report: Vec<_> = outstanding.to_string().lines().map(String::from).collect();
    assert_eq!(report[0], "4 objects of type u64 of the pool `numbers`");
    let (file, line) = (file!(), lines[2]);
    assert!(report[2].starts_with(&format!("  3 from {file}:{line}:")), "{}", report[2]);
    assert!(report[2].contains(", the first one ") && report[2].contains(" ago by the thread `"), "{}", report[2]);
}

#[test]
fn objects_are_told_by_how_long_they_are_held() {
    let pool = tracked::<u64, StackAllocator, Fixed>(2);
    let old = pool.allocate(1).unwrap();
    while pool.held_longer_than(Duration::from_micros(1)).unwrap().is_empty() {
        thread::yield_now();
    }
    let _new = pool.allocate(2).unwrap();
    let outstanding = pool.outstanding().unwrap();
    let newer = outstanding.objects()[1].age;
    let older = outstanding.held_longer_than(newer);
    assert_eq!(older.objects().iter().map(|held| held.index).collect::<Vec<_>>(), [old.index()]);
    assert!(pool.held_longer_than(Duration::from_secs(3_600)).unwrap().is_empty());
}

#[test]
fn object_is_told_with_the_thread_that_allocated_it() {
    let pool = tracked::<u64, BitmapAllocator, Fixed>(2);
    let allocate_and_forget = move || {
        std::mem::forget(pool.allocate(1));
        pool
    };
    let worker = thread::Builder::new().name(String::from("worker")).spawn(allocate_and_forget).unwrap();
    let id = worker.thread().id();
    let outstanding = worker.join().unwrap().outstanding().unwrap();
    assert_eq!(outstanding.objects()[0].thread.id(), id);
    assert!(outstanding.to_string().ends_with(" ago by the thread `worker`"), "{outstanding}");
}

/// What a listener is told when a pool ends that was used by `f`.
fn told_at_the_end(f: impl FnOnce(&FixedPool<u64>)) -> Vec<Outstanding> {
    let told = Arc::<Mutex<Vec<Outstanding>>>::default();
    let listener = Arc::clone(&told);
    let policy = LeakPolicy::tell(move |outstanding| listener.lock().unwrap().push(outstanding.clone()));
    let pool = build(config(4).track_leaks(true).leak_policy(policy));
    f(&pool);
    assert!(told.lock().unwrap().is_empty());
    drop(pool);
    Arc::into_inner(told).expect("the pool is gone").into_inner().unwrap()
}

#[test]
fn listener_is_told_once_what_was_forgotten() {
    let told = told_at_the_end(|pool| {
        drop(pool.allocate(1).unwrap());
        std::mem::forget(pool.allocate(2).unwrap());
        let _: &mut u64 = pool.allocate(3).unwrap().leak();
    });
    assert_eq!(told.iter().map(|outstanding| outstanding.objects().len()).collect::<Vec<_>>(), [2]);
    assert!(told_at_the_end(|pool| drop(pool.allocate(1))).is_empty(), "nothing leaked, nothing to be told");
}

#[test]
fn objects_are_destroyed_also_if_the_listener_panics() {
    let ledger = Ledger::default();
    for policy in [LeakPolicy::tell(|_| inject()), LeakPolicy::Panic] {
        let pool: FixedPool<_> = build(config(2).track_leaks(true).leak_policy(policy));
        std::mem::forget(pool.allocate(ledger.next()).unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(pool))).is_err());
    }
    ledger.assert_all_dead(2);
}

#[test]
fn panic_policy_names_the_place_but_does_not_abort_a_panic() {
    let leaking = |f: fn()| {
        let pool: FixedPool<u64> = build(config(2).track_leaks(true).leak_policy(LeakPolicy::Panic));
        std::mem::forget(pool.allocate(1).unwrap());
        f();
    };
    let message = panic_message(|| leaking(|| ()));
    assert!(message.contains("objects were out of it: 1 object of type u64\n  1 from "), "{message}");
    assert!(message.contains(file!()), "{message}");
    assert!(survive(|| leaking(|| inject())).is_none());
}

#[test]
fn policy_without_tracking_is_refused() {
    let error = PoolConfigBuilder::<u8>::new().capacity(1).leak_policy(LeakPolicy::Warn).build().unwrap_err();
    assert!(error.to_string().contains("leak_policy") && error.to_string().contains(".track_leaks(true)"), "{error}");
    let error = PoolConfigBuilder::<u8>::new().capacity(1).name("").build().unwrap_err();
    assert!(error.to_string().contains("invalid name: it is empty"), "{error}");
}

/// Leaks at two places, in a process of its own.
#[test]
#[ignore = "run by the test below"]
fn leaky_program() {
    let pool: FixedPool<String> = build(config(5).name("words").track_leaks(true));
    std::mem::forget(pool.allocate(String::from("one")).unwrap());
    for word in ["two", "three"] {
        let _: &mut String = pool.allocate(String::from(word)).unwrap().leak();
    }
}

#[test]
#[cfg(unix)]
#[cfg_attr(miri, ignore = "it starts a process")]
fn warning_that_nobody_can_read_does_no_harm() {
    let program = env::current_exe().unwrap();
    let leaky = ["--ignored", "--exact", "leaks::leaky_program", "--nocapture"];
    // Standard error is a pipe that nobody has open for reading.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(program).args(leaky).stderr(writer).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[cfg_attr(miri, ignore = "it starts a process")]
fn leaking_program_is_warned_of_each_leak_by_file_and_line() {
    let arguments = ["--ignored", "--exact", "leaks::leaky_program", "--nocapture"];
    let output = Command::new(env::current_exe().unwrap()).args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let source = include_str!("leaks.rs");
    for (line, text) in (1..).zip(source.lines()) {
        let objects = match text.trim() {
            "std::mem::forget(pool.allocate(String::from(\"one\")).unwrap());" => 1,
            "let _: &mut String = pool.allocate(String::from(word)).unwrap().leak();" => 2,
            _ => continue,
        };
        let place = format!("  {objects} from {}:{line}:", file!());
        assert!(errors.contains(&place), "{place} is not in {errors}");
    }
    let summary = "fastalloc: a pool ended while objects were out of it: 3 objects of type alloc::string::String of the \
                   pool `words`\n";
    assert!(errors.contains(summary), "{errors}");
}
