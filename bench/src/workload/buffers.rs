//! What is a recycled buffer worth?

use core::hint::black_box;
use std::time::Instant;

use super::Sample;
use crate::{
    candidate::buffers::{Buffers, Message},
    object::opaque,
};

/// Get a buffer of 4 KiB, append a message of 256 bytes, read it, give the buffer back, again and again.
#[derive(Clone, Copy, Debug)]
pub struct PassMessages {
    /// How many messages.
    pub messages: usize,
}

/// A pool is not made for one buffer.
const CAPACITY: usize = 64;

impl PassMessages {
    /// Runs one section.
    pub fn section<C: Buffers>(&self) -> Sample {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        pass(&pool, self.messages / 10);
        let start = Instant::now();
        pass(&pool, self.messages);
        Sample::of_one_thread(start.elapsed(), self.messages)
    }
}

#[inline(never)]
fn pass<C: Buffers>(pool: &C, messages: usize) {
    let (mut written, mut read) = (0_u64, 0_u64);
    for number in 0..messages as u64 {
        let byte = opaque(number) as u8;
        written += u64::from(byte);
        read += u64::from(pool.pass(&Message::from([byte; 256])));
    }
    assert!(read == written, "what was read was written");
}
