//! A tour: every way into a pool, and out of it.
//!
//! ```text
//! cargo run --release --example basic_usage
//! ```
//!
//! Each line of the output says what was done, and how many slots of the pool are occupied after it.

use std::error::Error;

use fastalloc::{FixedPool, OwnedHandle, Poolable, Tenant};

#[derive(Debug)]
struct Job {
    name: String,
    attempts: u32,
}

impl Job {
    fn new(name: &str) -> Self {
        Self { name: name.into(), attempts: 0 }
    }
}

/// What a pool of jobs asks of them: nothing. The trait has two hooks, which do nothing unless overridden.
impl Poolable for Job {}

fn main() -> Result<(), Box<dyn Error>> {
    values()?;
    full_pool()?;
    batches()?;
    in_place()?;
    shared()?;
    trait_objects()?;
    Ok(())
}

fn values() -> fastalloc::Result<()> {
    println!("A handle owns a value in the pool, as a `Box` owns one on the heap.");
    let pool = FixedPool::new(3)?;
    report(&pool, "new pool");
    let mut job = pool.allocate(Job::new("parse"))?;
    job.attempts += 1;
    report(&pool, &format!("allocated {job:?}, slot {}", job.index()));
    drop(job);
    report(&pool, "dropped its handle");
    let job = pool.allocate(Job::new("compile"))?;
    report(&pool, &format!("allocated {:?}, slot {}", job.name, job.index()));
    let Job { name, .. } = job.into_inner();
    report(&pool, &format!("took it out of the pool with into_inner: {name:?}"));
    Ok(())
}

fn full_pool() -> fastalloc::Result<()> {
    println!("\nA full pool says so, and gives back what it did not take.");
    let pool = FixedPool::new(2)?;
    let _first = pool.allocate(Job::new("first"))?;
    let _second = pool.allocate(Job::new("second"))?;
    report(&pool, "allocated two jobs");
    if let Err(error) = pool.allocate(Job::new("third")) {
        report(&pool, &format!("error: {error}"));
    }
    match pool.allocate_or_return(Job::new("third")) {
        Ok(job) => report(&pool, &format!("{:?} is in the pool", job.name)),
        Err(rejected) => {
            let job = Box::new(rejected.value);
            report(&pool, &format!("{:?} is on the heap instead", job.name));
        }
    }
    Ok(())
}

fn batches() -> fastalloc::Result<()> {
    println!("\nA batch is taken as a whole, or not at all.");
    let pool = FixedPool::new(3)?;
    let mut jobs = ["lex", "parse", "check", "link"].map(Job::new).into_iter();
    if let Err(error) = pool.allocate_batch(&mut jobs) {
        report(&pool, &format!("error: {error}"));
    }
    let handles = pool.allocate_batch(jobs.take(3))?;
    let names: Vec<_> = handles.iter().map(|job| job.name.as_str()).collect();
    report(&pool, &format!("allocated the first three: {names:?}"));
    Ok(())
}

fn in_place() -> fastalloc::Result<()> {
    println!("\nA large value can be built where it stays.");
    let pool = FixedPool::<[u8; 65_536]>::new(2)?;
    let page = pool.allocate_in_place(|slot| slot.write([0xff; 65_536]))?;
    report(&pool, &format!("wrote {} bytes; the handle has {}", page.len(), size_of_val(&page)));
    Ok(())
}

fn shared() -> fastalloc::Result<()> {
    println!("\nA shared value stays as long as one of its handles.");
    let pool = FixedPool::new(2)?;
    let job = pool.allocate_shared(Job::new("shared"))?;
    let other = job.clone();
    let weak = job.downgrade();
    report(&pool, &format!("{} strong handles, {} weak", job.strong_count(), job.weak_count()));
    drop(job);
    report(&pool, &format!("dropped one; the other still has {:?}", other.name));
    drop(other);
    let state = if weak.upgrade().is_some() { "finds it" } else { "finds nothing" };
    report(&pool, &format!("dropped both; the weak handle {state}"));
    Ok(())
}

trait Shape {
    fn describe(&self) -> String;
}

/// Lets handles own a `dyn Shape`.
impl Tenant for dyn Shape {}

struct Circle(f64);
struct Rectangle(f64, f64);

impl Poolable for Circle {}
impl Poolable for Rectangle {}

impl Shape for Circle {
    fn describe(&self) -> String {
        format!("circle, area {:.1}", std::f64::consts::PI * self.0 * self.0)
    }
}

impl Shape for Rectangle {
    fn describe(&self) -> String {
        format!("rectangle, area {:.1}", self.0 * self.1)
    }
}

fn trait_objects() -> fastalloc::Result<()> {
    println!("\nHandles of different pools become handles of one trait; the values stay where they are.");
    let circles = FixedPool::new(2)?;
    let rectangles = FixedPool::new(2)?;
    let shapes: [OwnedHandle<'_, dyn Shape>; 2] = [
        circles.allocate(Circle(2.0))?.unsize(|circle| circle),
        rectangles.allocate(Rectangle(3.0, 4.0))?.unsize(|rectangle| rectangle),
    ];
    report(&circles, &shapes[0].describe());
    report(&rectangles, &shapes[1].describe());
    drop(shapes);
    report(&circles, "dropped the shapes");
    Ok(())
}

fn report<T: Poolable>(pool: &FixedPool<T>, event: &str) {
    println!("  [{} of {}] {event}", pool.allocated(), pool.capacity());
}
