//! The life of an object in a pool: who makes it, what it is told, and who destroys it.
//!
//! ```text
//! cargo run --release --example custom_initialization
//! ```
//!
//! The output is a trace. A line at the margin is something that the program asks the pool for; the lines below
//! it are what happens then, each printed by the code that it names: `Session::open`, which is the initializer of
//! all pools but the first, the hooks `on_acquire` and `on_release`, the reset, the destructor.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

use fastalloc::{FixedPool, InitializationStrategy, PoolConfig, Poolable};

fn main() -> Result<(), Box<dyn Error>> {
    lazy()?;
    eager()?;
    custom()?;
    pre_initialized()?;
    if let Err(error) = PoolConfig::<Session>::builder().capacity(2).pre_initialize(true).build() {
        println!("\n=== pre_initialize without an initializer ===\nerror: {error}");
    }
    Ok(())
}

/// Without an initializer a pool holds values.
fn lazy() -> fastalloc::Result<()> {
    println!("=== Lazy: values come from the caller, and end with their handles ===");
    let pool = FixedPool::new(2)?;
    println!("allocate");
    let session = pool.allocate(Session::open())?;
    println!("drop the handle of {}", session.name);
    drop(session);
    println!("acquire");
    if let Err(error) = pool.acquire() {
        println!("    error: {error}");
    }
    Ok(())
}

fn eager() -> fastalloc::Result<()> {
    println!("\n=== Eager: objects are made with their slots, and kept as they were released ===");
    println!("with_config");
    let pool = FixedPool::with_config(PoolConfig::builder().capacity(2).initializer(Session::open).build()?)?;
    acquire_twice(&pool)?;
    println!("drop the pool");
    Ok(())
}

fn custom() -> fastalloc::Result<()> {
    println!("\n=== Custom: objects are made when they are first needed, and reset when they are released ===");
    println!("with_config");
    let strategy = InitializationStrategy::custom(Session::open, |session| {
        let keep = session.log.len() <= 20;
        println!(
            "    reset       {}, {}",
            session.name,
            if keep { "keeps it" } else { "refuses: the log is too long" }
        );
        session.log.clear();
        keep
    });
    let pool = FixedPool::with_config(PoolConfig::builder().capacity(2).initialization_strategy(strategy).build()?)?;
    acquire_twice(&pool)?;
    println!("acquire, and write a long log");
    let mut session = pool.acquire()?;
    session.log.push_str("far more than 20 characters");
    println!("drop the handle of {}", session.name);
    drop(session);
    println!("acquire");
    let session = pool.acquire()?;
    println!("take {} out with into_inner, then drop it", session.name);
    drop(session.into_inner());
    println!("allocate a value, in place of an object");
    let session = pool.allocate(Session::open())?;
    println!("drop the handle of {}", session.name);
    drop(session);
    println!("drop the pool");
    Ok(())
}

fn pre_initialized() -> fastalloc::Result<()> {
    println!("\n=== Custom with pre_initialize: made at construction, none is made later ===");
    println!("with_config");
    let config = PoolConfig::builder()
        .capacity(2)
        .reset_fn(Session::open, |session| {
            println!("    reset       {}", session.name);
            session.log.clear();
        })
        .pre_initialize(true)
        .build()?;
    let pool = FixedPool::with_config(config)?;
    acquire_twice(&pool)?;
    println!("drop the pool");
    Ok(())
}

fn acquire_twice(pool: &FixedPool<Session>) -> fastalloc::Result<()> {
    for _ in 0..2 {
        println!("acquire");
        let mut session = pool.acquire()?;
        session.log.push_str("used;");
        println!("drop the handle of {}, whose log is {:?}", session.name, session.log);
    }
    Ok(())
}

struct Session {
    name: String,
    log: String,
}

impl Session {
    fn open() -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);

        let name = format!("session {}", OPENED.fetch_add(1, Ordering::Relaxed) + 1);
        println!("    open        {name}");
        Self { name, log: String::new() }
    }
}

impl Poolable for Session {
    fn on_acquire(&mut self) {
        println!("    on_acquire  {}", self.name);
    }

    fn on_release(&mut self) {
        println!("    on_release  {}", self.name);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        println!("    destructor  {}", self.name);
    }
}
