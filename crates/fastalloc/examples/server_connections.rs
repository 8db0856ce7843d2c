//! A day of a server: connections whose buffers are recycled, a rush, and what is left of it.
//!
//! ```text
//! cargo run --release --example server_connections
//! ```
//!
//! The clients are simulated. They connect, send requests, and leave, some without a word: an idle timeout finds
//! those. A released connection stays in the pool with its buffers, cleared by the reset, for the next client; but
//! the reset refuses one whose buffer an upload has made huge. When the rush is over, `trim` gives memory back.
//!
//! The table has a line for every second hour: slots that are `allocated` to a client, all slots (`capacity`), and
//! their memory, `bytes_reserved`, in `MiB`. The other columns count since midnight: connections that were `made` for
//! a client and those that were `recycled`, those that the reset `refused`, those that were idle for too long, clients
//! that found the pool at its limit (`busy`), and slots that were `trimmed`.
//!
//! The day is run twice. `trim` gives back blocks of memory, some 2 MiB each, that are wholly vacant. The slots that
//! are still occupied at night are all over the memory if the pool hands out first what was released last, and close
//! together if it hands out the lowest address first.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastalloc::{
    Allocator, BitmapAllocator, GrowingPool, GrowthStrategy, OwnedHandle, PoolConfig, Poolable, StackAllocator,
};

const BUFFER_MAX: usize = 16 * 1_024;
const IDLE_MINUTES_MAX: u32 = 15;
const TRIM_HOUR: u32 = 22;

/// What requests are cut from.
static PAYLOAD: [u8; 60_000] = [b'x'; 60_000];

/// New clients per minute, hour by hour.
const CLIENTS: [u32; 24] =
    [8, 5, 4, 4, 5, 9, 20, 45, 90, 120, 130, 130, 140, 135, 130, 140, 180, 420, 600, 450, 200, 60, 25, 12];

fn main() -> Result<(), Box<dyn Error>> {
    println!("BitmapAllocator: the lowest address first");
    day(BitmapAllocator::default())?;
    println!("\nStackAllocator, the default: the last one released first");
    day(StackAllocator::default())?;
    Ok(())
}

fn day(allocator: impl Allocator) -> fastalloc::Result<()> {
    let (made, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let config = PoolConfig::builder()
        .capacity(500)
        .max_capacity(Some(8_000))
        .growth_strategy(GrowthStrategy::Exponential { factor: 1.5 })
        .reset_fn(
            {
                let made = Arc::clone(&made);
                move || {
                    made.fetch_add(1, Ordering::Relaxed);
                    Connection::new()
                }
            },
            {
                let refused = Arc::clone(&refused);
                move |connection| {
                    connection.body.clear();
                    let keep = connection.body.capacity() <= BUFFER_MAX;
                    refused.fetch_add(u64::from(!keep), Ordering::Relaxed);
                    keep
                }
            },
        )
        .build()?;
    let pool = GrowingPool::with_allocator(config, allocator)?;
    let mut server = Server { pool: &pool, connections: Vec::new(), random: Random(7), counts: Counts::default() };

    println!("  time  allocated  capacity   MiB    made  recycled  refused  timeouts    busy  trimmed");
    for hour in 0..24 {
        for minute in hour * 60..(hour + 1) * 60 {
            server.accept(CLIENTS[hour as usize], minute)?;
            server.serve(minute);
        }
        if hour == TRIM_HOUR {
            server.counts.trimmed += pool.trim();
        }
        if hour % 2 == 1 {
            let Counts { accepted, timeouts, busy, trimmed } = server.counts;
            let made = made.load(Ordering::Relaxed);
            println!(
                " {:02}:00  {:>9}  {:>8}  {:>4.1}  {made:>6}  {:>8}  {:>7}  {timeouts:>8}  {busy:>6}  {trimmed:>7}",
                hour + 1,
                pool.allocated(),
                pool.capacity(),
                pool.bytes_reserved() as f64 / f64::from(1 << 20),
                accepted - made,
                refused.load(Ordering::Relaxed),
            );
        }
    }
    Ok(())
}

struct Connection {
    last_request: u32,
    /// Gone without a word.
    is_silent: bool,
    headers: [u8; 1_024],
    body: Vec<u8>,
}

/// What the last client left is none of the next one's business.
impl Poolable for Connection {
    fn on_release(&mut self) {
        self.headers.fill(0);
        self.is_silent = false;
    }
}

impl Connection {
    fn new() -> Self {
        Self { last_request: 0, is_silent: false, headers: [0; 1_024], body: Vec::with_capacity(1_024) }
    }

    fn receive(&mut self, length: usize, minute: u32) {
        self.last_request = minute;
        self.headers[..4].copy_from_slice(b"POST");
        self.body.clear();
        self.body.extend_from_slice(&PAYLOAD[..length]);
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    accepted: u64,
    timeouts: u64,
    busy: u64,
    trimmed: usize,
}

struct Server<'pool, A: Allocator> {
    pool: &'pool GrowingPool<Connection, A>,
    connections: Vec<OwnedHandle<'pool, Connection>>,
    random: Random,
    counts: Counts,
}

impl<A: Allocator> Server<'_, A> {
    fn accept(&mut self, clients: u32, minute: u32) -> fastalloc::Result<()> {
        for _ in 0..clients {
            match self.pool.acquire() {
                Ok(mut connection) => {
                    connection.last_request = minute;
                    self.connections.push(connection);
                    self.counts.accepted += 1;
                }
                Err(fastalloc::Error::MaxCapacityExceeded { .. }) => self.counts.busy += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What the clients do in a minute; a connection that is not kept is released to the pool.
    fn serve(&mut self, minute: u32) {
        let Self { connections, random, counts, .. } = self;
        connections.retain_mut(|connection| {
            if connection.is_silent {
                let is_idle = minute - connection.last_request >= IDLE_MINUTES_MAX;
                counts.timeouts += u64::from(is_idle);
                return !is_idle;
            }
            match random.below(1_000) {
                0..50 => return false,
                50..70 => connection.is_silent = true,
                70..73 => connection.receive(20_000 + random.below(40_000), minute),
                73..600 => connection.receive(200 + random.below(4_000), minute),
                _ => {}
            }
            true
        });
    }
}

/// The generator `xorshift64*`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}
