//! Arbitrary programs for each allocator, against a set of the vacant indices.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;

use arbitrary::Arbitrary;
use fastalloc::{Allocator, BitmapAllocator, FreeListAllocator, StackAllocator};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    Allocate,
    /// So many at once.
    AllocateMany(u16),
    /// The one at this position among the allocated ones, modulo their number.
    Free(u16),
    /// All from this position on.
    FreeFrom(u16),
    Grow(u8),
    /// So that bitmaps get further levels.
    GrowMuch,
    /// Adds so many less than there are numbers, which is always too many.
    GrowTooMuch(u16),
    /// Looks through so many vacant indices, as pools do.
    LookThrough(u16),
}

fuzz_target!(|program: Vec<Operation>| {
    run::<StackAllocator>(&program, Next::LastFreed);
    run::<FreeListAllocator>(&program, Next::FirstFreed);
    run::<BitmapAllocator>(&program, Next::Lowest);
});

/// Which of the vacant indices an allocator promises to hand out next.
#[derive(Clone, Copy)]
enum Next {
    LastFreed,
    FirstFreed,
    Lowest,
}

/// No set has more indices than this: enough for bitmaps of three levels.
const LIMIT: usize = 4_200;

/// A program ends after so much of it, since many small ones find more than a few large ones.
const EFFORT: usize = 5_000;

#[derive(Default)]
struct Model {
    allocated: Vec<usize>,
    /// Those that were allocated before.
    vacant: BTreeSet<usize>,
    /// The same, in the order in which they were freed.
    freed: VecDeque<usize>,
    /// How many were ever allocated.
    used: usize,
    capacity: usize,
    /// How much was done.
    effort: usize,
}

impl Model {
    fn available(&self) -> usize {
        self.capacity - self.allocated.len()
    }

    fn expected(&self, next: Next) -> Option<usize> {
        let freed = match next {
            Next::LastFreed => self.freed.back(),
            Next::FirstFreed => self.freed.front(),
            Next::Lowest => self.vacant.first(),
        };
        // Freed indices come before those that were never used, and these in order.
        freed.copied().or((self.used < self.capacity).then_some(self.used))
    }

    fn allocate(&mut self, allocator: &mut impl Allocator, next: Next) -> Option<usize> {
        let expected = self.expected(next);
        let index = allocator.allocate();
        self.effort += 1;
        assert_eq!(index, expected);
        if let Some(index) = index {
            if !self.vacant.remove(&index) {
                self.used += 1;
            } else if matches!(next, Next::LastFreed) {
                self.freed.pop_back();
            } else if matches!(next, Next::FirstFreed) {
                self.freed.pop_front();
            }
            self.allocated.push(index);
        }
        index
    }

    fn free(&mut self, allocator: &mut impl Allocator, at: usize, next: Next) {
        let index = self.allocated.swap_remove(at);
        allocator.free(index);
        self.effort += 1;
        self.vacant.insert(index);
        if !matches!(next, Next::Lowest) {
            self.freed.push_back(index);
        }
    }

    /// What was allocated from this position on is vacant again, in the order in which it was.
    fn put_back(&mut self, allocator: &mut impl Allocator, from: usize, next: Next) {
        let indices = self.allocated.split_off(from);
        allocator.put_back(indices.iter().copied());
        self.vacant.extend(&indices);
        match next {
            Next::LastFreed => self.freed.extend(indices.iter().rev()),
            // Those that were not looked at come before them.
            Next::FirstFreed => self.freed.extend(&indices),
            Next::Lowest => {}
        }
    }

    fn grow(&mut self, allocator: &mut impl Allocator, additional: usize) {
        if self.capacity + additional <= LIMIT {
            allocator.grow(additional).unwrap();
            self.capacity += additional;
        }
    }
}

fn run<A: Allocator + Default + Debug>(program: &[Operation], next: Next) {
    let (mut allocator, mut model) = (A::default(), Model::default());
    for operation in program {
        if model.effort > EFFORT {
            break;
        }
        match *operation {
            Operation::Allocate => drop(model.allocate(&mut allocator, next)),
            Operation::AllocateMany(count) => {
                (0..count).map_while(|_| model.allocate(&mut allocator, next)).for_each(drop);
            }
            Operation::Free(at) => {
                if let Some(at) = usize::from(at).checked_rem(model.allocated.len()) {
                    model.free(&mut allocator, at, next);
                }
            }
            Operation::FreeFrom(at) => {
                while model.allocated.len() > at.into() {
                    model.free(&mut allocator, at.into(), next);
                }
            }
            Operation::Grow(additional) => model.grow(&mut allocator, additional.into()),
            Operation::GrowMuch => model.grow(&mut allocator, 4_096),
            Operation::GrowTooMuch(less) => assert!(allocator.grow(usize::MAX - usize::from(less)).is_err()),
            Operation::LookThrough(count) => {
                let (before, count) = (model.allocated.len(), usize::from(count));
                while model.allocated.len() < before + count && model.allocate(&mut allocator, next).is_some() {}
                model.put_back(&mut allocator, before, next);
            }
        }
        assert_eq!((allocator.capacity(), allocator.available()), (model.capacity, model.available()));
        assert_eq!((allocator.is_full(), allocator.is_empty()), (model.available() == 0, model.allocated.is_empty()));
        assert!(allocator.upcoming().is_none_or(|index| index < model.capacity));
    }
    let _printed = format!("{allocator:?}");
    // The freed ones, and some of the rest.
    for _ in 0..model.vacant.len() + 100 {
        model.allocate(&mut allocator, next);
    }
    model.allocated.sort_unstable();
    assert!(model.allocated.into_iter().eq(0..model.used));
}
