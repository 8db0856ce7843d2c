//! The questions.

use fastalloc_bench::{
    candidate::{
        Visitor, arenas, buffers, counted, ours, shared, tree, visit, visit_growing, visit_in_place, visit_traverse,
    },
    record::{LeftOut, Measure},
    workload::{
        AcrossThreads, Batches, BuildInPlace, BytesPerObject, CloneAndDrop, ColdRefill, Create, CreateAndFill,
        FillAndDrain, Grow, GrowthLatency, Order, PERCENTILES, PassMessages, PlantAndFell, RandomReplacement,
        ReplacementLatency, SharedWarmLoop, SharedWorkload, TraverseAfterChurn, TwoBatches, TwoWarmLoops, WarmLoop,
        Workload, timer,
    },
};

use super::{Entries, Entry, Group, Part, left_out};
use crate::table::quantity;

/// The names of the groups that have targets.
pub(crate) mod name {
    pub(crate) const WARM_LOOP_SMALL: &str = "warm_loop/8B";
    pub(crate) const WARM_LOOP: &str = "warm_loop/64B";
    pub(crate) const FILL_AND_DRAIN: &str = "fill_and_drain/1000";
    pub(crate) const FILL_AND_DRAIN_FIFO: &str = "fill_and_drain/1000_fifo";
    pub(crate) const FILL_AND_DRAIN_SMALL_SHUFFLED: &str = "fill_and_drain/1000_shuffled";
    pub(crate) const FILL_AND_DRAIN_LARGE: &str = "fill_and_drain/100000";
    pub(crate) const FILL_AND_DRAIN_LARGE_FIFO: &str = "fill_and_drain/100000_fifo";
    pub(crate) const FILL_AND_DRAIN_SHUFFLED: &str = "fill_and_drain/100000_shuffled";
    pub(crate) const RANDOM_REPLACEMENT_SMALL: &str = "random_replacement/10000";
    pub(crate) const RANDOM_REPLACEMENT_LARGE: &str = "random_replacement/1000000";
    pub(crate) const COLD_REFILL: &str = "cold_refill";
    pub(crate) const COLD_REFILL_PAIR: &str = "cold_refill/pair";
    pub(crate) const IN_PLACE: &str = "in_place/4KiB";
    pub(crate) const TRAVERSAL: &str = "traversal";
    pub(crate) const TREE: &str = "tree";
    pub(crate) const GROWTH: &str = "growth";
    pub(crate) const CREATION: &str = "creation/1000000";
    pub(crate) const CREATION_FILLED: &str = "creation/10000_filled";
    pub(crate) const BATCH: &str = "batch/64";
    pub(crate) const BUFFERS: &str = "buffers/4KiB";
    pub(crate) const COUNTED: &str = "counted/one_thread";
    pub(crate) const COUNTED_THREADS: &str = "counted/threads";
    pub(crate) const TWO_WARM_LOOPS: &str = "two_threads/warm_loop";
    pub(crate) const TWO_BATCHES: &str = "two_threads/batch_64";
    pub(crate) const ACROSS_THREADS: &str = "across_threads";
    pub(crate) const SHARED_ALONE: &str = "shared_alone";
    pub(crate) const LATENCY: &str = "latency/replacement";
    pub(crate) const LATENCY_LOADED: &str = "latency/replacement_loaded";
    pub(crate) const LATENCY_GROWTH: &str = "latency/growth";
    pub(crate) const BYTES: &str = "bytes/64B";
}

const SLOW: &str = "it looks for a vacant object from the first one on, so that a section would take minutes";
const BOUNDED: &str = "it does not grow";
const ALL_AT_ONCE: &str = "it releases objects only all at once";
const ARENAS: [&str; 2] = ["bumpalo", "typed-arena"];
const GLOBAL: &str = "its pool is a global, which is neither made nor dropped";

/// Returns all groups in the order of the output.
pub(crate) fn all() -> Vec<Group> {
    let mut groups = of_one_thread();
    groups.extend(of_structures());
    groups.extend(of_beginnings());
    groups.extend(of_threads());
    groups.extend(of_latencies());
    groups.push(bytes());
    groups
}

fn of_one_thread() -> Vec<Group> {
    vec![
        Group::new::<1>(
            name::WARM_LOOP_SMALL,
            "allocate one object of 8 bytes, read it, release it",
            1_000,
            WarmLoop { iterations: 20_000 },
        ),
        Group::new::<8>(
            name::WARM_LOOP,
            "allocate one object of 64 bytes, read it, release it",
            1_000,
            WarmLoop { iterations: 20_000 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN,
            "allocate 1,000 objects, read and release them, the newest first",
            1_000,
            FillAndDrain { alive: 1_000, order: Order::Newest, cycles: 20 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN_FIFO,
            "allocate 1,000 objects, read and release them, the oldest first",
            500,
            FillAndDrain { alive: 1_000, order: Order::Oldest, cycles: 20 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN_SMALL_SHUFFLED,
            "allocate 1,000 objects, read and release them in random order",
            500,
            FillAndDrain { alive: 1_000, order: Order::Shuffled, cycles: 20 },
        ),
        Group::new::<8>(
            name::FILL_AND_DRAIN_LARGE,
            "allocate 100,000 objects, read and release them, the newest first",
            40,
            FillAndDrain { alive: 100_000, order: Order::Newest, cycles: 2 },
        )
        .without(SLOW, &["lockfree-object-pool"]),
        Group::new::<8>(
            name::FILL_AND_DRAIN_LARGE_FIFO,
            "allocate 100,000 objects, read and release them, the oldest first",
            40,
            FillAndDrain { alive: 100_000, order: Order::Oldest, cycles: 2 },
        )
        .without(SLOW, &["lockfree-object-pool"]),
        Group::new::<8>(
            name::FILL_AND_DRAIN_SHUFFLED,
            "allocate 100,000 objects, read and release them in random order",
            40,
            FillAndDrain { alive: 100_000, order: Order::Shuffled, cycles: 2 },
        )
        .without(SLOW, &["lockfree-object-pool"]),
        Group::new::<8>(
            name::RANDOM_REPLACEMENT_SMALL,
            "replace a random one of 10,000 objects by a fresh one",
            200,
            RandomReplacement { alive: 10_000, replacements: 50_000 },
        ),
        Group::new::<8>(
            name::RANDOM_REPLACEMENT_LARGE,
            "replace a random one of 1,000,000 objects by a fresh one",
            10,
            RandomReplacement { alive: 1_000_000, replacements: 300_000 },
        )
        .without(SLOW, &["lockfree-object-pool"]),
        cold_refill(),
        in_place(),
        Group::new::<8>(
            name::BATCH,
            "allocate 64 objects of 64 bytes at once, into a fresh `Vec`; read and release them",
            300,
            Batches { batch: 64, cycles: 300 },
        ),
    ]
}

fn cold_refill() -> Group {
    let question = "allocate 200,000 objects after as many random ones of 900,000 were released";
    let workload = ColdRefill { alive: 900_000, refilled: 200_000 };
    let mut group = Group::new::<8>(name::COLD_REFILL, question, 16, workload).without(SLOW, &["lockfree-object-pool"]);
    let both = format!("{question}: both the releases and the allocations");
    group.parts.push(Part { name: name::COLD_REFILL_PAIR, question: both, columns: vec![String::from("ns")] });
    group
}

fn in_place() -> Group {
    let mut entries = Entries::of(BuildInPlace { iterations: 2_000 });
    visit_in_place::<512>(&mut entries);
    let question = "build an object of 4 KiB where it is to stay, read it, release it";
    Group::of_entries(name::IN_PLACE, question, 500, entries.list).without(ALL_AT_ONCE, &ARENAS).without(
        "it takes objects only as values",
        &[
            "nexus-slab",
            "slab",
            "slotmap",
            "sharded-slab",
            "lockfree-object-pool",
            "object-pool",
            "crossbeam ArrayQueue",
            "heapless box_pool",
            "fastalloc 1.5 Fixed",
        ],
    )
}

/// Of objects that are together, or refer to each other, or own something.
fn of_structures() -> Vec<Group> {
    vec![traversal(), tree(), buffers(), counted(), counted_threads()]
}

fn traversal() -> Group {
    let mut entries = Entries::of(TraverseAfterChurn { alive: 150_000, churns: 8, sweeps: 4 });
    visit::<8>(&mut entries);
    Visitor::<8>::candidate::<ours::GrowingBitmap<8>>(&mut entries);
    visit_traverse::<8>(&mut entries);
    let question = "read 150,000 objects in the order of a list in which a third was replaced eight times: by their \
                    handles or, where the name says so, in the pool's own way or in the order of their addresses";
    Group::of_entries(name::TRAVERSAL, question, 24, entries.list)
        .without(SLOW, &["lockfree-object-pool"])
        .without(ALL_AT_ONCE, &ARENAS)
}

fn tree() -> Group {
    let mut entries = Entries::of(PlantAndFell { depth: 14, cycles: 3 });
    tree::visit(&mut entries);
    let question = "build a binary tree of 32,767 nodes whose links are handles, read it, drop it; for each node";
    Group::of_entries(name::TREE, question, 60, entries.list)
        .without(SLOW, &["lockfree-object-pool"])
        .without(
            "its pool is borrowed while it destroys an object, so that objects cannot own each other",
            &["infinity_pool"],
        )
        .without("an object that comes back keeps its children", &["object-pool"])
        .without("its handles borrow the pool, so that they cannot be in its objects", &["fastalloc 1.5"])
        .without("the pool of a link would have to be known to its destructor", &["crossbeam ArrayQueue"])
        .without("its pools are globals of a type each", &["heapless"])
}

fn buffers() -> Group {
    let mut entries = Entries::of(PassMessages { messages: 10_000 });
    buffers::visit(&mut entries);
    let question = "get a buffer with room for 4 KiB, append 256 bytes, read one, give it back; heaps give fresh ones";
    Group::of_entries(name::BUFFERS, question, 400, entries.list).without(ALL_AT_ONCE, &ARENAS).without(
        "it destroys what is released",
        &["nexus-slab", "slab", "slotmap", "infinity_pool", "plurality", "shared_arena", "fastalloc 1.5 Fixed"],
    )
}

fn counted() -> Group {
    let mut entries = Entries::of(CloneAndDrop { objects: 20_000 });
    counted::visit_one_thread(&mut entries);
    let question =
        "allocate one object of 64 bytes, clone its handle, drop the first, read through the second, drop it";
    not_counted(Group::of_entries(name::COUNTED, question, 400, entries.list))
}

fn counted_threads() -> Group {
    let mut entries = Entries::of(CloneAndDrop { objects: 20_000 });
    counted::visit_threads(&mut entries);
    let question = "the same with handles that any thread may clone and drop";
    not_counted(Group::of_entries(name::COUNTED_THREADS, question, 400, entries.list))
}

fn not_counted(group: Group) -> Group {
    group
        .without(ALL_AT_ONCE, &ARENAS)
        .without("an object of it has one owner", &["nexus-slab", "slab", "slotmap", "sharded-slab", "fastalloc 1.5"])
        .without(
            "it lends objects to one user each",
            &["lockfree-object-pool", "object-pool", "opool", "crossbeam ArrayQueue"],
        )
        .without("`Rc` and `Arc` use the global allocator", &["Box mimalloc", "Box jemalloc", "Box snmalloc"])
}

/// Of pools that are new, and of those that become larger.
fn of_beginnings() -> Vec<Group> {
    let heaps = ["Box glibc", "Box mimalloc", "Box jemalloc", "Box snmalloc"];
    vec![
        growing(
            name::GROWTH,
            "allocate 1,000,000 objects from a pool made for 16",
            12,
            Grow { from: 16, to: 1_000_000 },
        ),
        Group::new::<8>(
            name::CREATION,
            "make a pool of 1,000,000 objects, allocate one and release it, drop the pool",
            20,
            Create { capacity: 1_000_000 },
        )
        .without("it has nothing to make", &heaps)
        .without("it cannot be told the capacity", &["lockfree-object-pool", "plurality Box", "sharded-slab"])
        .without(GLOBAL, &["heapless box_pool"]),
        filled(),
    ]
}

fn filled() -> Group {
    let mut entries = Entries::of(CreateAndFill { objects: 10_000 });
    visit::<8>(&mut entries);
    Visitor::<8>::candidate::<arenas::Bumpalo>(&mut entries);
    Visitor::<8>::candidate::<arenas::TypedArena<8>>(&mut entries);
    let question = "make a pool of 10,000 objects, fill it for the first time, read and release them, drop the pool; \
                    for each object";
    Group::of_entries(name::CREATION_FILLED, question, 200, entries.list).without(GLOBAL, &["heapless box_pool"])
}

/// A group of those that can begin small.
fn growing(
    name: &'static str,
    question: &'static str,
    rounds: usize,
    workload: impl Workload + Copy + 'static,
) -> Group {
    let mut entries = Entries::of(workload);
    visit_growing::<8>(&mut entries);
    Group::of_entries(name, question, rounds, entries.list)
        .without(BOUNDED, &["crossbeam ArrayQueue", "nexus-slab", "heapless box_pool"])
        .without(SLOW, &["lockfree-object-pool"])
}

fn of_threads() -> Vec<Group> {
    vec![
        two_threads(
            name::TWO_WARM_LOOPS,
            "two threads on one pool: each allocates one object of 64 bytes, reads it, releases it",
            TwoWarmLoops { iterations: 5_000 },
        ),
        two_threads(
            name::TWO_BATCHES,
            "two threads on one pool: each allocates 64 objects of 64 bytes, reads and releases them, the newest first",
            TwoBatches { batch: 64, cycles: 80 },
        ),
        across_threads(),
        shared_alone(),
    ]
}

fn two_threads(name: &'static str, question: &'static str, workload: impl SharedWorkload + Copy + 'static) -> Group {
    let mut entries = Entries::of(workload);
    shared::visit::<8>(&mut entries);
    not_shared(Group::of_entries(name, question, 300, entries.list))
}

fn across_threads() -> Group {
    let mut entries = Entries::of(AcrossThreads { objects: 10_000 });
    shared::visit::<8>(&mut entries);
    entries.sender::<8, shared::Plurality<8>>();
    let question = "one thread allocates objects of 64 bytes, another one reads and releases them";
    Group::of_entries(name::ACROSS_THREADS, question, 300, entries.list)
        .without("its objects stay on one thread", &["nexus-slab"])
        .without(ALL_AT_ONCE, &ARENAS)
}

fn shared_alone() -> Group {
    let mut alone = Entries::of(WarmLoop { iterations: 20_000 });
    Visitor::<8>::candidate::<ours::Fixed<8>>(&mut alone);
    let mut entries = Entries { workload: SharedWarmLoop { iterations: 20_000 }, list: alone.list };
    shared::visit::<8>(&mut entries);
    let question = "one thread on a pool that others could use: allocate one object of 64 bytes, read it, release it";
    not_shared(Group::of_entries(name::SHARED_ALONE, question, 500, entries.list))
}

fn not_shared(group: Group) -> Group {
    group
        .without("only one thread can allocate from its pool", &["plurality", "nexus-slab"])
        .without(ALL_AT_ONCE, &ARENAS)
}

fn of_latencies() -> Vec<Group> {
    let replacement = |loaded| ReplacementLatency { alive: 100_000, replacements: 100_000, loaded };
    vec![
        Group::new::<8>(
            name::LATENCY,
            "replace a random one of 100,000 objects by a fresh one: how long does it take, the timer included?",
            20,
            replacement(false),
        )
        .without(SLOW, &["lockfree-object-pool"])
        .of_percentiles(),
        Group::new::<8>(
            name::LATENCY_LOADED,
            "the same while as many threads as there are cores change memory that no cache holds",
            10,
            replacement(true),
        )
        .without(SLOW, &["lockfree-object-pool"])
        .of_percentiles(),
        growing(
            name::LATENCY_GROWTH,
            "allocate 1,000,000 objects from a pool made for 16: how long does each take, the timer included?",
            8,
            GrowthLatency { from: 16, to: 1_000_000 },
        )
        .of_percentiles(),
    ]
}

fn bytes() -> Group {
    let question = "1,000,000 objects of 64 bytes: how many bytes for each, the object included and its handle not?";
    let mut group = Group::new::<8>(name::BYTES, question, 3, BytesPerObject).without(SLOW, &["lockfree-object-pool"]);
    group.measure = Measure::Bytes;
    let columns = ["resident", "resident after release", "reserved", "handle"];
    group.parts[0].columns = columns.map(String::from).to_vec();
    if cfg!(not(target_os = "linux")) {
        group.entries.clear();
        group.notes.push(String::from("Only Linux says how much memory is resident and reserved."));
    }
    group
}

impl Group {
    /// A group of every candidate for one thread that can release an object.
    fn new<const WORDS: usize>(
        name: &'static str,
        question: &'static str,
        rounds: usize,
        workload: impl Workload + Copy + 'static,
    ) -> Self {
        let mut entries = Entries::of(workload);
        visit::<WORDS>(&mut entries);
        Self::of_entries(name, question, rounds, entries.list).without(ALL_AT_ONCE, &ARENAS)
    }

    /// A group of these candidates whose sections find one time.
    fn of_entries(name: &'static str, question: &'static str, rounds: usize, entries: Vec<Entry>) -> Self {
        let part = Part { name, question: question.to_owned(), columns: vec![String::from("ns")] };
        Self {
            name,
            question,
            measure: Measure::Time,
            parts: vec![part],
            left_out: not_built(),
            notes: Vec::new(),
            rounds,
            entries,
        }
    }

    /// Makes it a group whose sections find percentiles.
    fn of_percentiles(mut self) -> Self {
        self.measure = Measure::Latency;
        let columns = PERCENTILES.map(|percentile| match percentile {
            100.0 => String::from("max"),
            percentile => format!("p{percentile}"),
        });
        self.parts[0].columns = columns.to_vec();
        let timer: Vec<String> = timer().into_iter().map(quantity(self.measure)).collect();
        self.notes.push(format!("The timer alone takes {} at these percentiles.", timer.join(", ")));
        self
    }
}

/// Returns the candidates that this program was built without.
fn not_built() -> Vec<LeftOut> {
    if cfg!(feature = "snmalloc") {
        return Vec::new();
    }
    vec![left_out("Box snmalloc", "this program was built without the feature `snmalloc`")]
}
