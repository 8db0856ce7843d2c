//! How fast is a structure whose parts own each other?

use core::hint::black_box;
use std::time::{Duration, Instant};

use super::Sample;
use crate::{
    candidate::tree::{Forest, Node},
    object::opaque,
};

/// Build a full binary tree, read all of it, drop it. The time is that of all, for each node.
#[derive(Clone, Copy, Debug)]
pub struct PlantAndFell {
    /// How many links there are from the root to a leaf.
    pub depth: u32,
    /// How often.
    pub cycles: usize,
}

impl PlantAndFell {
    /// Runs one section.
    pub fn section<F: Forest>(&self) -> Sample {
        let nodes = (2 << self.depth) - 1;
        let mut forest = F::with_capacity(nodes);
        black_box(&forest);
        let mut duration = Duration::ZERO;
        for cycle in 0..=self.cycles {
            let start = Instant::now();
            let sum = plant_and_fell(&forest, self.depth);
            forest.clear();
            // The first cycle touches the memory.
            if cycle > 0 {
                duration += start.elapsed();
            }
            let nodes = nodes as u64;
            assert!(sum == nodes * (nodes - 1) / 2, "what was read was written");
        }
        Sample::of_one_thread(duration, nodes * self.cycles)
    }
}

#[inline(never)]
fn plant_and_fell<F: Forest>(forest: &F, depth: u32) -> u64 {
    let mut next = 0;
    let tree = plant(forest, depth, &mut next);
    let sum = forest.sum(&tree);
    forest.release(tree);
    sum
}

/// Plants the children first, since a node is complete when it comes to the pool.
fn plant<'p, F: Forest>(forest: &'p F, depth: u32, next: &mut u64) -> F::Link<'p> {
    let children = depth.checked_sub(1).map(|depth| [(); 2].map(|()| plant(forest, depth, next)));
    let tag = opaque(*next);
    *next += 1;
    forest.plant(Node { tag, children })
}
