//! Traces whose truth is known, for tests of what reads them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::event::{Event, EventKind, StackId};
use crate::item::{Frame, Item, Process, Stack};

/// A program that allocates as it is told. The same program always makes the same trace.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::generate::{Lifetime, Program, SiteProgram};
///
/// let site = SiteProgram { objects: 100, lifetime: Lifetime::Constant(50), ..SiteProgram::new(0x1000, 64) };
/// let program = Program { seed: 1, sites: vec![site] };
/// let truth = &program.truth()[0];
/// assert_eq!((truth.objects, *truth.lifetimes.last().unwrap()), (100, 50));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Another one makes another trace.
    pub seed: u64,
    /// What allocates. Site `i` has the stack [`StackId(i + 1)`](StackId) of one frame without a module.
    pub sites: Vec<SiteProgram>,
}

/// A place in a [`Program`] that allocates.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteProgram {
    /// The address in the code.
    pub address: u64,
    /// The size of objects in bytes.
    pub size: u64,
    /// The alignment of objects in bytes: a power of two.
    pub alignment: u32,
    /// How many objects there are.
    pub objects: u64,
    /// So many of them are allocated at once.
    pub burst: u64,
    /// The time from one burst to the next, in nanoseconds: anything up to twice as much.
    pub gap_mean: u64,
    /// How long objects live.
    pub lifetime: Lifetime,
    /// How many threads allocate, in turn: from 1 on.
    pub threads: u32,
    /// Of 1000 objects, how many are freed by the next thread instead of their own.
    pub freed_elsewhere_permille: u32,
}

/// How long objects live, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// All the same.
    Constant(u64),
    /// Anything from the first to the second: most of them short, if the second is much larger.
    Skewed(u64, u64),
    /// For ever.
    Endless,
}

impl SiteProgram {
    /// 1000 objects of one thread, one by one, that live 1 µs each.
    #[must_use]
    pub fn new(address: u64, size: u64) -> Self {
        Self {
            address,
            size,
            alignment: 8,
            objects: 1000,
            burst: 1,
            gap_mean: 1000,
            lifetime: Lifetime::Constant(1000),
            threads: 1,
            freed_elsewhere_permille: 0,
        }
    }
}

/// What is true of the objects of a site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// Objects that were allocated.
    pub objects: u64,
    /// The most objects that were alive at once.
    pub alive_peak: u64,
    /// How many objects were alive just after each allocation, in ascending order.
    pub alive: Vec<u64>,
    /// How long objects lived that were freed, in ascending order.
    pub lifetimes: Vec<u64>,
    /// Objects that were freed by another thread than allocated them.
    pub freed_elsewhere: u64,
    /// Objects that were never freed.
    pub alive_at_end: u64,
}

impl Program {
    /// The trace, in the order of time, in memory for objects that are alive.
    #[must_use]
    pub fn items(&self) -> Items<'_> {
        let process = Process { id: 1, clock_resolution: 1, ..Process::default() };
        let stacks = self.sites.iter().map(|site| {
            let frame = Frame { module: None, address: site.address };
            Item::Stack(Stack { parent: StackId::EMPTY, frame })
        });
        let tables = [Item::Process(process)].into_iter().chain(stacks).collect();
        let next = (0..self.sites.len()).map(|site| Reverse((0, site))).collect();
        Items {
            program: self,
            random: Random(self.seed),
            tables,
            bursts: next,
            in_burst: None,
            begun: vec![0; self.sites.len()],
            ends: BinaryHeap::new(),
            vacant: BTreeMap::new(),
            next_address: 0x10_0000,
        }
    }

    /// What is true of each site, counted in the simplest way from all events in memory.
    #[must_use]
    pub fn truth(&self) -> Vec<Truth> {
        let mut truths = vec![Truth::default(); self.sites.len()];
        let mut live = BTreeMap::new();
        for item in self.items() {
            let Item::Event(event) = item else { continue };
            match event.kind {
                EventKind::Allocate { address, stack, .. } => {
                    let site = stack.0 as usize - 1;
                    live.insert(address, (event, site));
                    let truth = &mut truths[site];
                    truth.objects += 1;
                    truth.alive_at_end += 1;
                    truth.alive_peak = truth.alive_peak.max(truth.alive_at_end);
                    truth.alive.push(truth.alive_at_end);
                }
                EventKind::Free { address } => {
                    let Some((begin, site)) = live.remove(&address) else { continue };
                    let truth = &mut truths[site];
                    truth.alive_at_end -= 1;
                    truth.lifetimes.push(event.time - begin.time);
                    truth.freed_elsewhere += u64::from(event.thread != begin.thread);
                }
                EventKind::Reallocate { .. } => {}
            }
        }
        for truth in &mut truths {
            truth.alive.sort_unstable();
            truth.lifetimes.sort_unstable();
        }
        truths
    }
}

/// The trace of a [`Program`]: [`Program::items`].
#[derive(Debug)]
pub struct Items<'a> {
    program: &'a Program,
    random: Random,
    tables: VecDeque<Item>,
    /// When the next burst of a site begins.
    bursts: BinaryHeap<Reverse<(u64, usize)>>,
    /// Time, site, and how many objects are missing.
    in_burst: Option<(u64, usize, u64)>,
    begun: Vec<u64>,
    /// Time, address, site and thread.
    ends: BinaryHeap<Reverse<(u64, u64, usize, u32)>>,
    /// Addresses that were freed, by size and alignment.
    vacant: BTreeMap<(u64, u32), Vec<u64>>,
    next_address: u64,
}

impl Items<'_> {
    fn begin(&mut self, time: u64, index: usize) -> Item {
        let site = &self.program.sites[index];
        let number = self.begun[index];
        self.begun[index] += 1;
        // The last that was freed comes first, as in most heaps.
        let vacant = self.vacant.get_mut(&(site.size, site.alignment));
        let address = vacant.and_then(Vec::pop).unwrap_or_else(|| {
            let address = self.next_address.next_multiple_of(u64::from(site.alignment).max(16));
            self.next_address = address + site.size.max(1);
            address
        });
        let threads = site.threads.max(1);
        let thread = 1 + (number % u64::from(threads)) as u32;
        let is_elsewhere = self.random.below(1000) < u64::from(site.freed_elsewhere_permille);
        let end_thread = if is_elsewhere { thread % threads.max(2) + 1 } else { thread };
        let lifetime = match site.lifetime {
            Lifetime::Constant(lifetime) => Some(lifetime),
            Lifetime::Skewed(low, high) => {
                let ratio = (high.max(1) as f64 / low.max(1) as f64).powf(self.random.unit());
                Some((low.max(1) as f64 * ratio) as u64)
            }
            Lifetime::Endless => None,
        };
        if let Some(lifetime) = lifetime {
            self.ends.push(Reverse((time + lifetime, address, index, end_thread)));
        }
        let stack = StackId(index as u32 + 1);
        let kind = EventKind::Allocate { address, size: site.size, alignment: site.alignment, stack };
        Item::Event(Event { time, thread, duration: 0, kind })
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.tables.pop_front() {
            return Some(item);
        }
        loop {
            if let Some((time, site, missing)) = self.in_burst.take() {
                if missing > 1 {
                    self.in_burst = Some((time, site, missing - 1));
                }
                return Some(self.begin(time, site));
            }
            let begin = self.bursts.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
            // What ends at the time when something begins has ended.
            if self.ends.peek().is_some_and(|Reverse((time, ..))| *time <= begin) {
                let Reverse((time, address, site, thread)) = self.ends.pop()?;
                let site = &self.program.sites[site];
                self.vacant.entry((site.size, site.alignment)).or_default().push(address);
                return Some(Item::Event(Event { time, thread, duration: 0, kind: EventKind::Free { address } }));
            }
            let Reverse((time, index)) = self.bursts.pop()?;
            let site = &self.program.sites[index];
            let missing = site.objects - self.begun[index];
            let burst = site.burst.max(1).min(missing);
            if burst < missing {
                let gap = self.random.below(2 * site.gap_mean + 1);
                self.bursts.push(Reverse((time + gap, index)));
            }
            self.in_burst = (burst > 0).then_some((time, index, burst));
        }
    }
}

/// `SplitMix64`.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below the limit; not quite uniform, which does not matter.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
