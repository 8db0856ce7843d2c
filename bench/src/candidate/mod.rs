//! Who is compared: every way to own an object, behind one trait.

pub mod alone;
pub mod arenas;
pub mod buffers;
pub mod counted;
pub mod handles;
pub mod heaps;
pub mod keys;
pub mod ours;
pub mod shared;
pub mod tree;

use core::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

use self::alone::Alone;
use crate::object::{Object, opaque};

/// A pool or a heap. Every workload is compiled once for each, from the same source.
///
/// What implements this is always inlined, so that the call which a workload makes is the
/// candidate's own: whether that one is inlined is up to the candidate.
pub trait Candidate<const WORDS: usize>: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How its objects are owned.
    const KIND: Kind;

    /// Stands for one object.
    type Handle<'p>
    where
        Self: 'p;

    /// Makes a pool of at least `capacity` objects, all vacant.
    fn with_capacity(capacity: usize) -> Self;

    /// Moves `object` into the pool.
    fn allocate(&self, object: Object<WORDS>) -> Self::Handle<'_>;

    /// Makes an object of each tag; all at once, if the candidate can.
    #[inline(always)]
    fn allocate_batch(&self, tags: Range<usize>) -> Vec<Self::Handle<'_>> {
        tags.map(|tag| self.allocate(Object::new(opaque(tag as u64)))).collect()
    }

    /// Reads the object's tag with [`Object::read`].
    fn read(&self, handle: &Self::Handle<'_>) -> u64;

    /// Gives the object back; does nothing if that of an arena, which is shown by [`visit_growing`] only.
    #[inline(always)]
    fn release<'p>(&'p self, handle: Self::Handle<'p>) {
        drop(handle);
    }
}

/// A candidate that can visit all its objects in the order that they are in its memory.
pub trait Traverse<const WORDS: usize>: Candidate<WORDS> {
    /// As its own way is called in the tables.
    const OWN_WAY: &'static str;

    /// Prepares the handles for [`sum`](Self::sum), if that uses them.
    #[inline(always)]
    fn arrange(_handles: &mut [Self::Handle<'_>]) {}

    /// Reads all objects, of which these are the handles, and returns the sum of the tags.
    fn sum(&self, handles: &[Self::Handle<'_>]) -> u64;
}

/// A candidate that can build an object in the memory where it is to stay.
pub trait InPlace<const WORDS: usize>: Candidate<WORDS> {
    /// Builds an object with [`Object::build`] or [`Object::rebuild`].
    fn allocate_in_place(&self, tag: u64) -> Self::Handle<'_>;
}

/// Is shown every candidate by [`visit`].
pub trait Visitor<const WORDS: usize> {
    /// Looks at one candidate.
    fn candidate<C: Candidate<WORDS>>(&mut self);
}

/// Shows every candidate.
pub fn visit<const WORDS: usize>(visitor: &mut impl Visitor<WORDS>) {
    visitor.candidate::<ours::Fixed<WORDS>>();
    visitor.candidate::<ours::Growing<WORDS>>();
    visitor.candidate::<ours::FixedBitmap<WORDS>>();
    visitor.candidate::<keys::NexusSlab<WORDS>>();
    visitor.candidate::<keys::Slab<WORDS>>();
    visitor.candidate::<keys::SlotMap<WORDS>>();
    visitor.candidate::<Alone<shared::ShardedSlab<WORDS>>>();
    visitor.candidate::<handles::InfinityPool<WORDS>>();
    visitor.candidate::<handles::Opool<WORDS>>();
    visitor.candidate::<handles::Plurality<WORDS>>();
    visitor.candidate::<handles::SharedArena<WORDS>>();
    visitor.candidate::<Alone<shared::Linear<WORDS>>>();
    visitor.candidate::<Alone<shared::ObjectPool<WORDS>>>();
    visitor.candidate::<Alone<shared::CrossbeamQueue<WORDS>>>();
    visitor.candidate::<Alone<shared::Heapless<WORDS>>>();
    visitor.candidate::<handles::Published<WORDS>>();
    visit_heaps(visitor);
}

/// Shows every candidate that can begin small and grow, arenas among them.
pub fn visit_growing<const WORDS: usize>(visitor: &mut impl Visitor<WORDS>) {
    visitor.candidate::<ours::Growing<WORDS>>();
    visitor.candidate::<keys::Slab<WORDS>>();
    visitor.candidate::<keys::SlotMap<WORDS>>();
    visitor.candidate::<Alone<shared::ShardedSlab<WORDS>>>();
    visitor.candidate::<handles::InfinityPool<WORDS>>();
    visitor.candidate::<handles::Opool<WORDS>>();
    visitor.candidate::<handles::Plurality<WORDS>>();
    visitor.candidate::<handles::SharedArena<WORDS>>();
    visitor.candidate::<Alone<shared::ObjectPool<WORDS>>>();
    visitor.candidate::<handles::PublishedGrowing<WORDS>>();
    visitor.candidate::<arenas::Bumpalo>();
    visitor.candidate::<arenas::TypedArena<WORDS>>();
    visit_heaps(visitor);
}

fn visit_heaps<const WORDS: usize>(visitor: &mut impl Visitor<WORDS>) {
    visitor.candidate::<heaps::Boxed<heaps::System>>();
    visitor.candidate::<heaps::Boxed<heaps::Mimalloc>>();
    visitor.candidate::<heaps::Boxed<heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<heaps::Boxed<heaps::Snmalloc>>();
}

/// Is shown every candidate with a traversal of its own by [`visit_traverse`].
pub trait TraverseVisitor<const WORDS: usize> {
    /// Looks at one candidate.
    fn candidate<C: Traverse<WORDS>>(&mut self);
}

/// Shows every candidate with a traversal of its own.
pub fn visit_traverse<const WORDS: usize>(visitor: &mut impl TraverseVisitor<WORDS>) {
    visitor.candidate::<ours::FixedBitmap<WORDS>>();
    visitor.candidate::<ours::GrowingBitmap<WORDS>>();
    visitor.candidate::<keys::Slab<WORDS>>();
    visitor.candidate::<keys::SlotMap<WORDS>>();
    visitor.candidate::<keys::DenseSlotMap<WORDS>>();
    visitor.candidate::<handles::InfinityPool<WORDS>>();
    visitor.candidate::<heaps::Boxed<heaps::System>>();
    visitor.candidate::<heaps::Boxed<heaps::Mimalloc>>();
    visitor.candidate::<heaps::Boxed<heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<heaps::Boxed<heaps::Snmalloc>>();
}

/// Is shown every candidate that can build in place by [`visit_in_place`].
pub trait InPlaceVisitor<const WORDS: usize> {
    /// Looks at one candidate.
    fn candidate<C: InPlace<WORDS>>(&mut self);
}

/// Shows every candidate that can build in place.
pub fn visit_in_place<const WORDS: usize>(visitor: &mut impl InPlaceVisitor<WORDS>) {
    visitor.candidate::<ours::Fixed<WORDS>>();
    visitor.candidate::<ours::Growing<WORDS>>();
    visitor.candidate::<ours::FixedBitmap<WORDS>>();
    visitor.candidate::<handles::InfinityPool<WORDS>>();
    visitor.candidate::<handles::Opool<WORDS>>();
    visitor.candidate::<handles::Plurality<WORDS>>();
    visitor.candidate::<handles::SharedArena<WORDS>>();
    visitor.candidate::<heaps::Boxed<heaps::System>>();
    visitor.candidate::<heaps::Boxed<heaps::Mimalloc>>();
    visitor.candidate::<heaps::Boxed<heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<heaps::Boxed<heaps::Snmalloc>>();
}

/// How the objects of a candidate are owned.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By the handles of this repository's library.
    Ours,
    /// By the program: a key or a pointer does not release its object when it is dropped.
    Keys,
    /// By a handle that releases the object when it is dropped.
    Handles,
    /// By an arena, which releases them all at once.
    Arena,
    /// By a handle like `Box` that frees memory of a general heap.
    Heap,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Keys => "keys",
            Self::Handles => "handles",
            Self::Arena => "arena",
            Self::Heap => "heap",
        })
    }
}
