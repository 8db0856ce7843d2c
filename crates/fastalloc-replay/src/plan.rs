//! What each thread does.

use std::alloc::Layout;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastalloc_trace::{Script, StepKind};
use serde::{Deserialize, Serialize};

use crate::pools::SLOT_MAX;

/// What the threads of a replay do, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) lanes: Vec<Vec<Op>>,
    pub(crate) layouts: Vec<ObjectMemory>,
    pub(crate) pools: Vec<PoolPlan>,
    /// How many places there are, on the heap and in all pools.
    pub(crate) places: u32,
    steps: u64,
    bytes_peak: u64,
}

/// A pool, as it is made for a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolSpec {
    /// Slots at construction, at least 1.
    pub capacity: u64,
    /// Slots that it never exceeds, if it grows.
    pub max_capacity: Option<u64>,
    /// Slots that it adds when it is full. If it is missing and the pool grows, it doubles.
    pub growth: Option<u64>,
    /// The alignment of slots in bytes: a power of two.
    pub alignment: u32,
}

impl PoolSpec {
    /// A pool that does not grow.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { capacity, max_capacity: None, growth: None, alignment: 8 }
    }
}

/// Why there is no plan, or it cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// A script has a pool that nothing is known of.
    NoSuchPool {
        /// Its number.
        pool: u32,
    },
    /// A script has more than 2³⁰ layouts, or 2³² places.
    TooLarge,
    /// A pool cannot be made.
    Pool {
        /// Its number, counted from 0.
        pool: usize,
        /// Why.
        error: fastalloc::Error,
    },
}

/// A pool, and what goes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolPlan {
    pub(crate) spec: PoolSpec,
    /// The largest object.
    pub(crate) size: u64,
    /// Whether more than one thread uses it.
    pub(crate) is_shared: bool,
}

/// The memory of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectMemory {
    size: usize,
    /// 0 if no memory can have such a size and alignment.
    alignment: usize,
    pool: Option<u32>,
}

impl ObjectMemory {
    fn new(size: u64, alignment: u32, pool: Option<u32>) -> Self {
        let size = usize::try_from(size.max(1)).unwrap_or(usize::MAX);
        let is_possible = Layout::from_size_align(size, alignment as usize).is_ok();
        let pool = pool.filter(|_| is_possible && size <= SLOT_MAX);
        Self { size, alignment: if is_possible { alignment as usize } else { 0 }, pool }
    }

    /// What a heap is asked for; `None` if there can be no such memory.
    #[inline]
    pub(crate) fn layout(&self) -> Option<Layout> {
        Layout::from_size_align(self.size, self.alignment).ok()
    }

    #[inline]
    pub(crate) fn pool(&self) -> Option<usize> {
        self.pool.map(|pool| pool as usize)
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// A step of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Op {
    pub(crate) place: u32,
    /// How many steps were recorded before it at the same place.
    pub(crate) turn: u32,
    /// What happens, in the two highest bits, and the layout.
    what: u32,
}

impl Op {
    const LAYOUT: u32 = (1 << 30) - 1;

    fn new(kind: StepKind, place: u32, turn: u32, layout: u32) -> Self {
        let kind = match kind {
            StepKind::Allocate => 0,
            StepKind::Free => 1,
            StepKind::Reallocate => 2,
        };
        Self { place, turn, what: kind << 30 | layout & Self::LAYOUT }
    }

    #[inline]
    pub(crate) fn kind(self) -> StepKind {
        match self.what >> 30 {
            0 => StepKind::Allocate,
            1 => StepKind::Free,
            _ => StepKind::Reallocate,
        }
    }

    #[inline]
    pub(crate) fn layout(self) -> u32 {
        self.what & Self::LAYOUT
    }
}

impl Plan {
    /// More threads than that take turns with others.
    pub const LANES_MAX: usize = 64;

    /// Plans all of a script: objects in pools, and on the heap.
    ///
    /// # Errors
    ///
    /// If the script has a pool that is not among these, or is too large.
    pub fn new(script: &Script, pools: &[PoolSpec]) -> Result<Self, PlanError> {
        Self::of_steps(script, pools, |_| true)
    }

    /// Plans the part of a script that the objects of one pool have.
    ///
    /// # Errors
    ///
    /// If the script has a pool that is not among these, or is too large.
    pub fn of_pool(script: &Script, pools: &[PoolSpec], pool: u32) -> Result<Self, PlanError> {
        Self::of_steps(script, pools, |of| of == Some(pool))
    }

    fn of_steps(
        script: &Script,
        specs: &[PoolSpec],
        is_wanted: impl Fn(Option<u32>) -> bool,
    ) -> Result<Self, PlanError> {
        if script.layouts.len() > Op::LAYOUT as usize {
            return Err(PlanError::TooLarge);
        }
        let layouts: Vec<_> = (script.layouts.iter())
            .map(|layout| ObjectMemory::new(layout.size, layout.alignment, layout.pool))
            .collect();
        let first_places = FirstPlaces::new(script, &is_wanted)?;
        let pool_of = |layout: u32| script.layouts[layout as usize].pool;
        let lane_of = lanes(script, &is_wanted);
        let lane_count = lane_of.iter().copied().max().map_or(0, |lane| lane + 1);

        let mut pools: Vec<_> =
            (specs.iter()).map(|spec| PoolPlan { spec: spec.clone(), size: 1, is_shared: false }).collect();
        let mut lane_of_pool: Vec<Option<usize>> = vec![None; pools.len()];
        let mut plan = Self {
            lanes: vec![Vec::new(); lane_count],
            layouts,
            pools: Vec::new(),
            places: first_places.end,
            steps: 0,
            bytes_peak: 0,
        };
        let mut turns = vec![0_u32; first_places.end as usize];
        let mut bytes = vec![0_u64; first_places.end as usize];
        let mut bytes_alive = 0;
        for step in &script.steps {
            let pool = pool_of(step.layout);
            if !is_wanted(pool) {
                continue;
            }
            let place = first_places.of(pool) + step.place;
            let lane = lane_of[step.thread as usize];
            let turn = &mut turns[place as usize];
            plan.lanes[lane].push(Op::new(step.kind, place, *turn, step.layout));
            *turn = turn.wrapping_add(1);
            plan.steps += 1;

            let memory = &plan.layouts[step.layout as usize];
            let at_place = &mut bytes[place as usize];
            bytes_alive -= *at_place;
            *at_place = if step.kind == StepKind::Free { 0 } else { memory.size.min(crate::lane::TOUCHED_MAX) as u64 };
            bytes_alive += *at_place;
            plan.bytes_peak = plan.bytes_peak.max(bytes_alive);
            if let Some(number) = pool {
                let index = number as usize;
                let pool = pools.get_mut(index).ok_or(PlanError::NoSuchPool { pool: number })?;
                if memory.pool.is_some() {
                    pool.size = pool.size.max(memory.size as u64);
                }
                pool.is_shared |= lane_of_pool[index].is_some_and(|other| other != lane);
                lane_of_pool[index] = Some(lane);
            }
        }
        plan.pools = pools;
        Ok(plan)
    }

    /// How many steps all threads take together.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.lanes.len()
    }

    /// The most bytes that are written to at once: about what a replay takes, besides the plan itself.
    #[must_use]
    pub fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }

    /// The plan as bytes, for another process.
    ///
    /// # Panics
    ///
    /// If there is no memory for them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plans have no part that cannot be written to memory")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has made; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let plan: Self = postcard::from_bytes(bytes).ok()?;
        plan.is_valid().then_some(plan)
    }

    /// Whether the steps can be taken: those at a place one after the other, and pools have room for their objects.
    fn is_valid(&self) -> bool {
        let mut turns = vec![0_usize; self.places as usize];
        for op in self.lanes.iter().flatten() {
            let Some(count) = turns.get_mut(op.place as usize) else { return false };
            *count += 1;
        }
        let mut is_taken: Vec<Vec<bool>> = turns.into_iter().map(|count| vec![false; count]).collect();
        let mut lane_of_pool = vec![None; self.pools.len()];
        let is_heap_only: Vec<_> = {
            let mut is_heap_only = vec![true; self.places as usize];
            for op in self.lanes.iter().flatten() {
                let Some(memory) = self.layouts.get(op.layout() as usize) else { return false };
                is_heap_only[op.place as usize] &= memory.pool.is_none();
            }
            is_heap_only
        };
        for (lane, op) in self.lanes.iter().enumerate().flat_map(|(lane, ops)| ops.iter().map(move |op| (lane, op))) {
            let Some(is_taken) = is_taken[op.place as usize].get_mut(op.turn as usize) else { return false };
            let is_first = !std::mem::replace(is_taken, true);
            if !is_first || op.kind() == StepKind::Reallocate && !is_heap_only[op.place as usize] {
                return false;
            }
            if let Some(index) = self.layouts[op.layout() as usize].pool() {
                let Some(pool) = self.pools.get(index) else { return false };
                let is_alone = lane_of_pool[index].is_none_or(|other| other == lane);
                lane_of_pool[index] = Some(lane);
                let has_room = self.layouts[op.layout() as usize].size as u64 <= pool.size;
                if !has_room || pool.size > SLOT_MAX as u64 || !(is_alone || pool.is_shared) {
                    return false;
                }
            }
        }
        true
    }
}

/// Where the places of the heap and of each pool begin among all.
struct FirstPlaces {
    pools: Vec<u32>,
    end: u32,
}

impl FirstPlaces {
    fn new(script: &Script, is_wanted: impl Fn(Option<u32>) -> bool) -> Result<Self, PlanError> {
        let mut end = if is_wanted(None) { script.heap_places } else { 0 };
        let mut pools = Vec::new();
        for (pool, places) in script.pool_places.iter().enumerate() {
            pools.push(end);
            if is_wanted(Some(pool as u32)) {
                end = end.checked_add(*places).ok_or(PlanError::TooLarge)?;
            }
        }
        Ok(Self { pools, end })
    }

    fn of(&self, pool: Option<u32>) -> u32 {
        pool.map_or(0, |pool| self.pools[pool as usize])
    }
}

/// Which thread of the replay is which of the recording: one that began after another one's end takes its part.
fn lanes(script: &Script, is_wanted: impl Fn(Option<u32>) -> bool) -> Vec<usize> {
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; script.threads.len()];
    for (index, step) in script.steps.iter().enumerate() {
        if is_wanted(script.layouts[step.layout as usize].pool) {
            spans[step.thread as usize].get_or_insert((index, index)).1 = index;
        }
    }
    let mut threads: Vec<_> = spans.iter().enumerate().filter_map(|(thread, span)| Some(((*span)?, thread))).collect();
    threads.sort_unstable();
    let mut lane_of = vec![0; script.threads.len()];
    // When a lane is free, and which one.
    let mut lanes: BinaryHeap<Reverse<(usize, usize)>> = BinaryHeap::new();
    for ((first, last), thread) in threads {
        let next = lanes.len();
        let is_free = lanes.peek().is_some_and(|Reverse((end, _))| *end < first);
        let lane = match lanes.peek() {
            Some(Reverse((end, lane))) if is_free || next >= Plan::LANES_MAX => {
                let (end, lane) = (*end, *lane);
                lanes.pop();
                lanes.push(Reverse((last.max(end), lane)));
                lane
            }
            _ => {
                lanes.push(Reverse((last, next)));
                next
            }
        };
        lane_of[thread] = lane;
    }
    lane_of
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchPool { pool } => write!(f, "nothing is known of pool {pool}"),
            Self::TooLarge => f.write_str("the recording is too large: replay a part of it"),
            Self::Pool { pool, error } => write!(f, "pool {} cannot be made: {error}", pool + 1),
        }
    }
}

impl std::error::Error for PlanError {}
