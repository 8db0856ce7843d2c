//! Requests that are worked on: `heap`, or `pools` with the advice followed.
//!
//! One of three programs for `ci/advice_followed.py`. Here a pool pays little: most of the time goes into the work.

mod advised;

use std::collections::VecDeque;

use fastalloc::{FixedPool, Poolable};

struct Request {
    path: [u8; 96],
    hash: u64,
}

impl Poolable for Request {}

impl Request {
    #[inline(never)]
    fn new(number: u64) -> Self {
        Self { path: [number as u8; 96], hash: number }
    }

    /// What a server does with a request: read it several times.
    #[inline(never)]
    fn work(&self) -> u64 {
        (0..10).fold(self.hash, |hash, _| {
            self.path.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
        })
    }
}

const WAITING: usize = 64;

fn main() {
    let run = advised::Run::from_arguments();
    match run.with_pools {
        false => run.time(on_heap),
        true => run.time(in_pool),
    }
}

macro_rules! serve {
    ($steps:expr, $new:expr) => {{
        let mut random = advised::Random::new();
        let mut waiting = VecDeque::new();
        let mut sum = 0_u64;
        for _ in 0..$steps {
            waiting.push_back($new(random.below(1 << 20) as u64));
            if waiting.len() > WAITING {
                let request = waiting.pop_front().expect("it is not empty");
                sum = sum.wrapping_add(request.work());
            }
        }
        sum
    }};
}

fn on_heap(steps: u64) -> u64 {
    serve!(steps, receive)
}

#[inline(never)]
fn receive(number: u64) -> Box<Request> {
    Box::new(Request::new(number))
}

/// As advised: at most 65 are alive at once, and some room.
fn in_pool(steps: u64) -> u64 {
    let pool = FixedPool::new(82).expect("there is memory for a few kilobytes");
    serve!(steps, |number| pool.allocate(Request::new(number)).expect("no more are alive than were recorded"))
}
