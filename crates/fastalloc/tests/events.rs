//! What pools tell those who listen.
//!
//! A program of its own, in which one test runs at a time: `tracing` notes once and for all that nobody listens to an
//! event if that is so on the thread that comes to it first.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use fastalloc::{FixedPool, GrowingPool, GrowthStrategy, LeakPolicy, PoolConfig, PoolConfigBuilder, ThreadSafePool};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Lines = Arc<Mutex<Vec<String>>>;

/// Writes events down, and calls a function at each.
struct Listener {
    lines: Lines,
    at_each: Box<dyn Fn() + Send + Sync>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}:{}", self.0);
        } else {
            self.0 += &format!(" {}={value:?}", field.name());
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(format!("{} {}", event.metadata().level(), line.0));
        (self.at_each)();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is told while `f` runs.
fn told(at_each: impl Fn() + Send + Sync + 'static, f: impl FnOnce()) -> Vec<String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _others_wait = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = Lines::default();
    let listener = Listener { lines: Arc::clone(&lines), at_each: Box::new(at_each) };
    tracing::subscriber::with_default(listener, f);
    lines.lock().unwrap().drain(..).collect()
}

fn growing() -> PoolConfigBuilder<u64> {
    let config = PoolConfig::builder().capacity(1).alignment(4 << 20).max_capacity(Some(2));
    config.growth_strategy(GrowthStrategy::Linear { amount: 1 })
}

const LIFE: [&str; 4] = [
    r#"DEBUG pool created: value="u64" capacity=1"#,
    r#"INFO pool grown: value="u64" capacity=2"#,
    r#"WARN pool exhausted: value="u64" error="#,
    r#"DEBUG pool trimmed: value="u64" slots=1 capacity=1"#,
];

fn assert_told(lines: &[String], expected: &[&str]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    lines.iter().zip(expected).for_each(|(line, expected)| assert!(line.starts_with(expected), "{line}"));
}

#[test]
fn life_of_a_pool_is_told_but_no_allocation() {
    let lines = told(
        || (),
        || {
            let pool = GrowingPool::with_config(growing().build().unwrap()).unwrap();
            let handles = [pool.allocate(1).unwrap(), pool.allocate(2).unwrap()];
            assert!(pool.allocate(3).is_err());
            drop(handles);
            pool.reserve(2).unwrap();
            drop(pool.allocate(4));
            assert_eq!(pool.trim(), 1);
            assert_eq!(pool.trim(), 0);
        },
    );
    assert_told(&lines, &LIFE);
}

#[test]
fn life_of_a_shared_pool_is_told_with_no_lock_held() {
    // The listener uses the pool.
    let pool: Arc<Mutex<Option<ThreadSafePool<u64>>>> = Arc::default();
    let listener = Arc::clone(&pool);
    let at_each = move || {
        let pool = listener.lock().unwrap().clone();
        if let Some(pool) = pool {
            assert!(pool.bytes_reserved() > 0 && pool.available() <= 2);
        }
    };
    let lines = told(at_each, || {
        let new = ThreadSafePool::with_config(growing().build().unwrap()).unwrap();
        *pool.lock().unwrap() = Some(new.clone());
        let handles = [new.allocate(1).unwrap(), new.allocate(2).unwrap()];
        assert!(new.allocate(3).is_err());
        drop(handles);
        new.reserve(2).unwrap();
        assert_eq!(new.trim(), 1);
        new.close();
        new.close();
    });
    *pool.lock().unwrap() = None;
    assert_told(&lines, &[&LIFE[..], &[r#"INFO pool closed: value="u64""#]].concat());
}

#[test]
fn leaks_of_a_named_pool_are_told_by_place() {
    let lines = told(
        || (),
        || {
            let config = PoolConfig::builder().capacity(4).name("jobs").track_leaks(true);
            let pool = FixedPool::with_config(config.leak_policy(LeakPolicy::Warn).build().unwrap()).unwrap();
            let _: &mut u64 = pool.allocate(1).unwrap().leak();
            (0..2).for_each(|job| std::mem::forget(pool.allocate(job).unwrap()));
            assert_eq!(pool.name(), Some("jobs"));
        },
    );
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[0], r#"DEBUG pool created: pool="jobs" value="u64" capacity=4"#);
    for (line, objects) in lines[1..].iter().zip([1, 2]) {
        let start = format!("WARN pool leaked: pool=\"jobs\" value=\"u64\" objects={objects} place={}:", file!());
        assert!(line.starts_with(&start) && line.contains(" age="), "{line}");
    }
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let strategy = GrowthStrategy::Custom { compute: Box::new(|_| usize::MAX / 1_024) };
    let lines = told(
        || (),
        || {
            let config = PoolConfig::builder().capacity(1).growth_strategy(strategy).build().unwrap();
            let pool = GrowingPool::<u64>::with_config(config).unwrap();
            let _held = pool.allocate(1).unwrap();
            assert!(pool.allocate(2).is_err());
            let fixed = FixedPool::<u8>::new(1).unwrap();
            drop(fixed.allocate(1));
        },
    );
    let created = r#"DEBUG pool created: value="u8" capacity=1"#;
    assert_told(&lines, &[LIFE[0], r#"ERROR pool cannot have memory: value="u64" error="#, created]);
    assert!(lines[1].starts_with(Level::ERROR.as_str()));
}
