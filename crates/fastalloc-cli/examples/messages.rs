//! Messages of any length: `heap`, or `pools` against the advice.
//!
//! One of three programs for `ci/advice_followed.py`. Here a pool does not pay, and is not advised: sizes vary, so that
//! each slot would be as large as the largest message.

mod advised;

use fastalloc::{FixedPool, Poolable};

const LENGTH_MAX: usize = 2048;
const ALIVE: usize = 4000;

struct Buffer {
    bytes: [u8; LENGTH_MAX],
    length: usize,
}

impl Poolable for Buffer {}

fn main() {
    let run = advised::Run::from_arguments();
    match run.with_pools {
        false => run.time(on_heap),
        true => run.time(in_pool),
    }
}

macro_rules! pass_on {
    ($steps:expr, $new:expr) => {{
        let mut random = advised::Random::new();
        let mut messages: Vec<_> = (0..ALIVE).map(|_| $new(1 + random.below(64), 0)).collect();
        let mut sum = 0_u64;
        for number in 0..$steps {
            // Most are short.
            let length = 1 + (random.below(LENGTH_MAX) >> random.below(7));
            let at = random.below(ALIVE);
            let old = std::mem::replace(&mut messages[at], $new(length, number as u8));
            sum = sum.wrapping_add(last(&old));
        }
        sum
    }};
}

fn on_heap(steps: u64) -> u64 {
    fn last(message: &[u8]) -> u64 {
        u64::from(message[message.len() - 1])
    }
    pass_on!(steps, compose)
}

#[inline(never)]
fn compose(length: usize, byte: u8) -> Vec<u8> {
    vec![byte; length]
}

fn in_pool(steps: u64) -> u64 {
    fn last(message: &Buffer) -> u64 {
        u64::from(message.bytes[message.length - 1])
    }
    let pool = FixedPool::new(ALIVE + 1).expect("there is memory for a few megabytes");
    pass_on!(steps, |length: usize, byte: u8| {
        let mut bytes = [0; LENGTH_MAX];
        bytes[..length].fill(byte);
        pool.allocate(Buffer { bytes, length }).expect("no more are alive than there are slots")
    })
}
