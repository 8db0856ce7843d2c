//! How fast are objects that one thread allocates and another one releases?

use core::hint::black_box;

use super::{
    Sample, SharedWorkload, nanoseconds,
    ring::{Receiver, Ring, Sender},
    together::{Together, aside, together},
};
use crate::{
    candidate::shared::{Handle, Shared},
    object::{Object, opaque},
};

/// One thread allocates objects and sends them, another one receives, reads and releases them.
#[derive(Clone, Copy, Debug)]
pub struct AcrossThreads {
    /// How many objects.
    pub objects: usize,
}

/// How many objects can be on their way.
const RING: usize = 1_024;

/// More than are on their way and than a thread may keep for itself.
const CAPACITY: usize = 4 * RING;

impl SharedWorkload for AcrossThreads {
    fn section<const WORDS: usize, C: Shared<WORDS> + Sync>(&self) -> Sample {
        self.section_of_any::<WORDS, C>()
    }
}

impl AcrossThreads {
    /// As [`section`](SharedWorkload::section), but also of candidates that only one thread can allocate from.
    pub fn section_of_any<const WORDS: usize, C: Shared<WORDS>>(&self) -> Sample {
        // Every slot has been used, on either side, when the time begins.
        let warm_up = 2 * CAPACITY;
        let Together { duration, calm } = aside(|| {
            let pool = C::with_capacity(CAPACITY);
            black_box(&pool);
            let mut ring = Ring::with_capacity(RING);
            let (mut sender, mut receiver) = ring.split();
            together(
                |gate| {
                    let allocate = |tag| pool.allocate(Object::new(tag));
                    send(&mut sender, warm_up, allocate);
                    gate.time(|| send(&mut sender, self.objects, allocate))
                },
                |gate| {
                    receive(&mut receiver, warm_up);
                    gate.time(|| receive(&mut receiver, self.objects))
                },
            )
        });
        Sample { figures: vec![nanoseconds(duration, self.objects)], calm }
    }
}

#[inline(never)]
fn send<H>(sender: &mut Sender<'_, H>, objects: usize, allocate: impl Fn(u64) -> H) {
    for tag in 0..objects as u64 {
        sender.send(allocate(opaque(tag)));
    }
}

#[inline(never)]
fn receive<H: Handle>(receiver: &mut Receiver<'_, H>, objects: usize) {
    let mut sum = 0_u64;
    for _ in 0..objects {
        let handle = receiver.receive();
        sum = sum.wrapping_add(handle.read());
        drop(handle);
    }
    let objects = objects as u64;
    assert!(sum == objects * objects.saturating_sub(1) / 2, "what was read was written");
}
