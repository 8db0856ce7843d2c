//! How fast are objects with several owners?

use core::hint::black_box;
use std::time::Instant;

use super::{Sample, warm_loop::CAPACITY};
use crate::{
    candidate::counted::{Counted, Line},
    object::opaque,
};

/// Allocate one object, clone its handle, drop the first one, read the object through the clone and
/// drop that too, again and again.
#[derive(Clone, Copy, Debug)]
pub struct CloneAndDrop {
    /// How many objects.
    pub objects: usize,
}

impl CloneAndDrop {
    /// Runs one section.
    pub fn section<C: Counted>(&self) -> Sample {
        let pool = C::with_capacity(CAPACITY);
        black_box(&pool);
        clone_and_drop(&pool, self.objects / 10);
        let start = Instant::now();
        clone_and_drop(&pool, self.objects);
        Sample::of_one_thread(start.elapsed(), self.objects)
    }
}

#[inline(never)]
fn clone_and_drop<C: Counted>(pool: &C, objects: usize) {
    let mut sum = 0_u64;
    for tag in 0..objects as u64 {
        let first = pool.allocate(Line::new(opaque(tag)));
        // The compiler must not see that the count comes back to one.
        let second = black_box(&first).clone();
        drop(first);
        sum = sum.wrapping_add(second.read());
        drop(second);
    }
    let objects = objects as u64;
    assert!(sum == objects * objects.saturating_sub(1) / 2, "what was read was written");
}
