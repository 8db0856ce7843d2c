//! An HTTP server whose requests and buffers are pooled, the same server without pools, and clients that load them.
//!
//! ```text
//! cargo run --release
//! cargo run --release -- --help
//! ```
//!
//! The server answers `POST /uppercase` with the body in capital letters. Each request has an object for its head, a
//! buffer that it is read into, and one for the answer, which it has while it waits for the network, whatever
//! thread it goes on with: handles of a [`fastalloc::ThreadSafePool`], or a `Box` and two `Vec`s.
//!
//! Pools are a limit as well: `roomy pools` have a slot for each connection, and with `small pools` requests wait
//! for one another, which costs time and saves memory. A connection without a request has no slot.
//!
//! Clients and servers share one runtime and one loopback interface. A connection sends a request in pieces, waits for
//! the answer, and checks it, before it sends the next one. Rounds alternate between the servers, in an order that
//! rotates; the first round of each is not counted.

mod client;
mod memory;
mod server;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Parser;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::TcpListener;

use self::client::{HEAD, Load, Round};
use self::memory::{Heap, Memory, Pools};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Loads HTTP servers with pools, and one without, and compares throughput and latency.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds that count, of each server
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// Connections at once
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    connections: usize,
    /// Requests of each connection in a round
    #[arg(long, default_value_t = 200, value_parser = at_least_one)]
    requests: usize,
    /// Size of a buffer, and of the largest request, in bytes
    #[arg(long, default_value_t = 16_384, value_parser = buffer_size)]
    buffer: usize,
    /// Requests that the small pools have room for; others wait
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    slots: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn buffer_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size > HEAD => Ok(size),
        _ => Err(format!("a whole number above {HEAD}: so much is for the head of a request")),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let load = Load { connections: args.connections, requests: args.requests, body_size: args.buffer - HEAD };
    let roomy = Arc::new(Pools::new(args.connections, args.buffer)?);
    let small = Arc::new(Pools::new(args.slots, args.buffer)?);
    let heap = Arc::new(Heap { buffer_size: args.buffer });
    let servers = [
        ("roomy pools", start(Arc::clone(&roomy)).await?),
        ("small pools", start(Arc::clone(&small)).await?),
        ("Box and Vec", start(heap).await?),
    ];
    println!(
        "{} rounds of {} requests on {} connections, bodies of {} to {} bytes",
        args.rounds,
        args.requests * args.connections,
        args.connections,
        load.body_size.div_ceil(4),
        load.body_size,
    );
    if cfg!(debug_assertions) {
        println!("Built with debug assertions: the times mean nothing.");
    }

    let progress = ProgressBar::new((servers.len() * (args.rounds + 1) * args.requests * args.connections) as u64);
    progress.set_style(ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left, {msg}")?);
    let mut results: [Vec<Round>; 3] = Default::default();
    for round in 0..=args.rounds {
        for turn in round..round + servers.len() {
            let candidate = turn % servers.len();
            let (name, address) = servers[candidate];
            progress.set_message(name);
            let result = load.run(address, &progress).await?;
            if round > 0 {
                results[candidate].push(result);
            }
        }
    }
    progress.finish_and_clear();

    println!("\n{:<12} {:^29}   {:^35}", "", "requests a second", "latency in microseconds");
    print!("{:<12} {:>9} {:>9} {:>9}", "", "median", "slowest", "fastest");
    println!("   {:>8} {:>8} {:>8} {:>8}", "p50", "p99", "p99.9", "max");
    for ((name, _), rounds) in servers.iter().zip(&results) {
        print_row(name, rounds)?;
    }
    println!("\nroomy pools: {}", roomy.describe());
    println!("small pools: {}", small.describe());
    Ok(())
}

async fn start(memory: Arc<impl Memory>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = server::serve(listener, memory).await {
            eprintln!("the server on {address} ends: {error}");
        }
    });
    Ok(address)
}

fn print_row(name: &str, rounds: &[Round]) -> Result<()> {
    let mut rates: Vec<_> =
        rounds.iter().map(|round| round.latencies.len() as f64 / round.time.as_secs_f64()).collect();
    rates.sort_unstable_by(f64::total_cmp);
    let mut all = Histogram::<u64>::new(3)?;
    for round in rounds {
        all.add(&round.latencies)?;
    }
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| all.value_at_quantile(share) as f64 / 1e3);
    print!("{name:<12} {:>9.0} {:>9.0} {:>9.0}", rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
    println!("   {p50:>8.0} {p99:>8.0} {p999:>8.0} {max:>8.0}");
    Ok(())
}
