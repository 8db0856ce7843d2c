//! What a replay does: the events of a trace, with numbered places instead of addresses.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;

use crate::event::{Event, EventKind, StackId};
use crate::item::Item;
use crate::tables::Tables;
use crate::what_if::WhatIf;

/// Where objects of a call site, size and alignment are in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Nowhere: they are left out.
    Nobody,
    /// On the heap.
    Heap,
    /// In the pool of that number, counted from 0.
    Pool(u32),
}

/// How many steps a script has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScriptLimits {
    /// Steps altogether, of 16 bytes each. What comes after them is left out. Default: 20 million.
    pub steps: usize,
    /// Steps of each pool's objects. Default: no limit of its own.
    pub steps_per_pool: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { steps: 20_000_000, steps_per_pool: usize::MAX }
    }
}

/// The events of a trace as steps that need no look-up: every object has a place from its beginning to its end.
///
/// Each pool numbers its places from 0, and so does the heap. An object in a pool gets the lowest vacant place. So there
/// are as many places as objects were alive at once; and the objects at places below any `n` are those that a pool of
/// `n` slots would have had room for, if others went elsewhere: see [`what_if`](Self::what_if).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Script {
    /// The steps, in the order of the trace.
    pub steps: Vec<Step>,
    /// What is allocated.
    pub layouts: Vec<ObjectLayout>,
    /// The threads, as the trace numbers them.
    pub threads: Vec<u32>,
    /// How many places are on the heap.
    pub heap_places: u32,
    /// How many places each pool has.
    pub pool_places: Vec<u32>,
    /// Whether steps were left out, because there were too many.
    pub is_cut: bool,
}

/// What happens to the object at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub kind: StepKind,
    /// Which thread does it: an index of [`Script::threads`].
    pub thread: u32,
    /// Where the object is, among those of its pool or of the heap.
    pub place: u32,
    /// What the object is, after the step if it is reallocated: an index of [`Script::layouts`].
    pub layout: u32,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It is allocated at a vacant place.
    Allocate,
    /// It is freed, and its place vacant.
    Free,
    /// Its size or alignment changes, both before and after it is on the heap. If one of them is in a pool, it is an
    /// allocation and a free instead.
    Reallocate,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectLayout {
    /// The size in bytes.
    pub size: u64,
    /// The alignment in bytes.
    pub alignment: u32,
    /// The number of the pool; `None` if it is on the heap.
    pub pool: Option<u32>,
}

/// Makes a script of a trace.
///
/// A function says where the objects of a stack, size and alignment are. It is called once for each of them.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::generate::{Program, SiteProgram};
/// use fastalloc_trace::{Owner, ScriptBuilder, ScriptLimits};
///
/// let program = Program { seed: 1, sites: vec![SiteProgram::new(0x1000, 64)] };
/// let mut builder = ScriptBuilder::new(ScriptLimits::default(), |_tables, _stack, _size, _alignment| Owner::Pool(0));
/// program.items().for_each(|item| builder.add(&item));
/// let script = builder.finish();
/// assert_eq!(script.what_if(0).failures(1), 1000 - script.what_if(0).objects_at(0));
/// ```
pub struct ScriptBuilder<F> {
    limits: ScriptLimits,
    owner_of: F,
    tables: Tables,
    /// By stack, size and alignment: an index of the layouts.
    known: HashMap<(StackId, u64, u32), Option<u32>, RandomState>,
    layout_of: HashMap<ObjectLayout, u32, RandomState>,
    live: HashMap<u64, Live, RandomState>,
    thread_of: HashMap<u32, u32, RandomState>,
    heap: Places,
    pools: Vec<Places>,
    script: Script,
    is_full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    place: u32,
    layout: u32,
}

/// The places of a pool, or of the heap.
#[derive(Debug, Default)]
struct Places {
    vacant: BinaryHeap<Reverse<u32>>,
    count: u32,
    steps: usize,
}

impl Places {
    /// The lowest vacant one.
    fn take(&mut self) -> u32 {
        self.vacant.pop().map_or_else(
            || {
                self.count += 1;
                self.count - 1
            },
            |Reverse(place)| place,
        )
    }
}

impl<F: FnMut(&Tables, StackId, u64, u32) -> Owner> ScriptBuilder<F> {
    /// Starts a script.
    pub fn new(limits: ScriptLimits, owner_of: F) -> Self {
        Self {
            limits,
            owner_of,
            tables: Tables::default(),
            known: HashMap::default(),
            layout_of: HashMap::default(),
            live: HashMap::default(),
            thread_of: HashMap::default(),
            heap: Places::default(),
            pools: Vec::new(),
            script: Script::default(),
            is_full: false,
        }
    }

    /// Adds the next item of the trace. *O*(log of the places) on average.
    pub fn add(&mut self, item: &Item) {
        match item {
            Item::Event(event) if self.script.steps.len() < self.limits.steps => self.event(event),
            Item::Event(_) => (self.is_full, self.script.is_cut) = (true, true),
            other => self.tables.add(other),
        }
    }

    /// Whether an event had no room, as all will have that come after it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Ends the script.
    #[must_use]
    pub fn finish(mut self) -> Script {
        self.script.heap_places = self.heap.count;
        self.script.pool_places = self.pools.iter().map(|places| places.count).collect();
        self.script
    }

    fn event(&mut self, event: &Event) {
        let next = self.script.threads.len() as u32;
        let thread = *self.thread_of.entry(event.thread).or_insert_with(|| {
            self.script.threads.push(event.thread);
            next
        });
        match event.kind {
            EventKind::Allocate { address, size, alignment, stack } => {
                let layout = self.layout(stack, size, alignment);
                self.begin(thread, address, layout);
            }
            EventKind::Free { address } => self.end(thread, address),
            EventKind::Reallocate { old_address, address, size, alignment, stack } => {
                let layout = self.layout(stack, size, alignment);
                let on_heap =
                    |layout: u32| self.script.layouts.get(layout as usize).is_some_and(|layout| layout.pool.is_none());
                match (self.live.get(&old_address).copied(), layout) {
                    (Some(old), Some(layout)) if on_heap(old.layout) && on_heap(layout) => {
                        self.live.remove(&old_address);
                        if address != old_address {
                            self.end(thread, address);
                        }
                        self.live.insert(address, Live { layout, ..old });
                        self.step(StepKind::Reallocate, thread, old.place, layout);
                    }
                    _ => {
                        self.end(thread, old_address);
                        self.begin(thread, address, layout);
                    }
                }
            }
        }
    }

    fn begin(&mut self, thread: u32, address: u64, layout: Option<u32>) {
        // What was there before must have been freed, though the trace does not say so.
        self.end(thread, address);
        let Some(layout) = layout else { return };
        let steps_per_pool = self.limits.steps_per_pool;
        let is_pooled = self.script.layouts[layout as usize].pool.is_some();
        let places = self.places(layout);
        if is_pooled && places.steps >= steps_per_pool {
            self.script.is_cut = true;
            return;
        }
        let place = places.take();
        self.live.insert(address, Live { place, layout });
        self.step(StepKind::Allocate, thread, place, layout);
    }

    fn end(&mut self, thread: u32, address: u64) {
        let Some(Live { place, layout }) = self.live.remove(&address) else { return };
        self.places(layout).vacant.push(Reverse(place));
        self.step(StepKind::Free, thread, place, layout);
    }

    fn step(&mut self, kind: StepKind, thread: u32, place: u32, layout: u32) {
        self.places(layout).steps += 1;
        self.script.steps.push(Step { kind, thread, place, layout });
    }

    fn places(&mut self, layout: u32) -> &mut Places {
        let Some(pool) = self.script.layouts[layout as usize].pool else { return &mut self.heap };
        let pool = pool as usize;
        if self.pools.len() <= pool {
            self.pools.resize_with(pool + 1, Places::default);
        }
        &mut self.pools[pool]
    }

    fn layout(&mut self, stack: StackId, size: u64, alignment: u32) -> Option<u32> {
        if let Some(known) = self.known.get(&(stack, size, alignment)) {
            return *known;
        }
        let pool = match (self.owner_of)(&self.tables, stack, size, alignment) {
            Owner::Nobody => None,
            Owner::Heap => Some(None),
            Owner::Pool(pool) => Some(Some(pool)),
        };
        let layout = pool.map(|pool| {
            let next = self.script.layouts.len() as u32;
            let layout = ObjectLayout { size, alignment, pool };
            *self.layout_of.entry(layout).or_insert_with(|| {
                self.script.layouts.push(layout);
                next
            })
        });
        self.known.insert((stack, size, alignment), layout);
        layout
    }
}

impl<F> std::fmt::Debug for ScriptBuilder<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptBuilder").field("steps", &self.script.steps.len()).finish_non_exhaustive()
    }
}

impl Script {
    /// How a pool would have done with other capacities. *O*(steps).
    #[must_use]
    pub fn what_if(&self, pool: u32) -> WhatIf {
        let mut what_if = WhatIf::default();
        for step in self.steps.iter().filter(|step| step.kind == StepKind::Allocate) {
            if self.layouts[step.layout as usize].pool == Some(pool) {
                what_if.add(step.place);
            }
        }
        what_if
    }
}
