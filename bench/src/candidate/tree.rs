//! Who is compared where handles are the links of a tree.

use core::{cell::UnsafeCell, ops::Deref, ptr::NonNull};
use std::rc::Rc;

use fastalloc::{FixedPool, GrowingPool, RcHandle, ThreadSafeHandle, ThreadSafePool};
use opool::PoolAllocator;
use slotmap::DefaultKey;

use super::{
    Kind,
    heaps::{self, Boxed, Heap, HeapBox},
};

/// A node of a binary tree.
#[derive(Debug)]
pub struct Node<L> {
    /// Another one for each node.
    pub tag: u64,
    /// Owned by this node.
    pub children: Option<[L; 2]>,
}

impl<L> fastalloc::Poolable for Node<L> {}

/// A pool or a heap whose objects can own each other.
pub trait Forest: Sized {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// How its objects are owned.
    const KIND: Kind;

    /// Owns a node, and with it the tree below.
    type Link<'p>
    where
        Self: 'p;

    /// Makes a pool of at least `capacity` nodes.
    fn with_capacity(capacity: usize) -> Self;

    /// Moves a node into the pool.
    fn plant<'p>(&'p self, node: Node<Self::Link<'p>>) -> Self::Link<'p>;

    /// Reads all nodes of a tree, and returns the sum of their tags.
    fn sum(&self, tree: &Self::Link<'_>) -> u64;

    /// Gives a tree back; does nothing if that of an arena.
    #[inline(always)]
    fn release<'p>(&'p self, tree: Self::Link<'p>) {
        drop(tree);
    }

    /// Releases what [`release`](Self::release) did not.
    #[inline(always)]
    fn clear(&mut self) {}
}

/// Reads a tree whose links are dereferenced like a `Box`.
fn sum<L: Deref<Target = Node<L>>>(link: &L) -> u64 {
    let node = link.deref();
    let below = node.children.as_ref().map_or(0, |[left, right]| sum(left).wrapping_add(sum(right)));
    node.tag.wrapping_add(below)
}

/// A candidate whose links need nothing but to be dropped.
macro_rules! forest {
    (
        $(#[$attribute:meta])*
        $candidate:ident($pool:ty), $link:ident($handle:ty) = $name:expr, $kind:ident;
        $capacity:ident => $new:expr;
        $this:ident, $node:ident => $plant:expr
    ) => {
        $(#[$attribute])*
        pub struct $candidate($pool);

        /// Its handle, which owns a node.
        pub struct $link($handle);

        impl Deref for $link {
            type Target = Node<Self>;

            #[inline(always)]
            fn deref(&self) -> &Node<Self> {
                &self.0
            }
        }

        impl Forest for $candidate {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::$kind;

            type Link<'p> = $link;

            fn with_capacity($capacity: usize) -> Self {
                Self($new)
            }

            #[inline(always)]
            fn plant(&self, $node: Node<$link>) -> $link {
                let $this = &self.0;
                $link($plant)
            }

            #[inline(always)]
            fn sum(&self, tree: &$link) -> u64 {
                sum(tree)
            }
        }
    };
}

forest! {
    /// `FixedPool` in an `Rc`.
    Fixed(Rc<FixedPool<Node<FixedLink>>>), FixedLink(RcHandle<Node<Self>>) = "FixedPool", Ours;
    capacity => Rc::new(FixedPool::new(capacity).expect("memory for the pool"));
    pool, node => pool.allocate_rc(node).expect("a vacant slot")
}

forest! {
    /// `GrowingPool` in an `Rc`.
    Growing(Rc<GrowingPool<Node<GrowingLink>>>), GrowingLink(RcHandle<Node<Self>>) = "GrowingPool", Ours;
    capacity => Rc::new(GrowingPool::new(capacity).expect("memory for the pool"));
    pool, node => pool.allocate_rc(node).expect("a vacant slot")
}

forest! {
    /// `ThreadSafePool`.
    ThreadSafe(ThreadSafePool<Node<ThreadSafeLink>>), ThreadSafeLink(ThreadSafeHandle<Node<Self>>)
        = "ThreadSafePool", Ours;
    capacity => ThreadSafePool::new(capacity).expect("memory for the pool");
    pool, node => pool.allocate(node).expect("a vacant slot")
}

forest! {
    /// `plurality`.
    Plurality(plurality::Pool<Node<PluralityLink>>), PluralityLink(plurality::Box<Node<Self>>)
        = "plurality Box", Handles;
    _capacity => plurality::Pool::new();
    pool, node => pool.alloc_box(node)
}

forest! {
    /// `shared_arena`'s pool for one thread.
    SharedArena(shared_arena::Pool<Node<SharedArenaLink>>), SharedArenaLink(shared_arena::PoolBox<Node<Self>>)
        = "shared_arena Pool", Handles;
    capacity => shared_arena::Pool::with_capacity(capacity);
    pool, node => pool.alloc(node)
}

forest! {
    /// `opool`, local to a thread: its guards count references to the pool.
    Opool(Rc<opool::LocalPool<Nodes, Box<Node<OpoolLink>>>>), OpoolLink(opool::RcLocalGuard<Nodes, Box<Node<Self>>>)
        = "opool Local", Handles;
    capacity => opool::LocalPool::new_prefilled(capacity, Nodes).to_rc();
    pool, node => {
        let mut guard = Rc::clone(pool).get_rc();
        **guard = node;
        guard
    }
}

/// Makes boxes of nodes, and takes the children out of those that come back.
pub struct Nodes;

impl PoolAllocator<Box<Node<OpoolLink>>> for Nodes {
    fn allocate(&self) -> Box<Node<OpoolLink>> {
        Box::new(Node { tag: 0, children: None })
    }

    fn reset(&self, node: &mut Box<Node<OpoolLink>>) {
        node.children = None;
    }
}

/// What `Box` would be, as a link.
pub struct HeapLink<H: Heap>(HeapBox<H, Node<Self>>);

impl<H: Heap> Deref for HeapLink<H> {
    type Target = Node<Self>;

    #[inline(always)]
    fn deref(&self) -> &Node<Self> {
        &self.0
    }
}

impl<H: Heap> Forest for Boxed<H> {
    const NAME: &'static str = H::NAME;
    const KIND: Kind = Kind::Heap;

    type Link<'p>
        = HeapLink<H>
    where
        H: 'p;

    fn with_capacity(_capacity: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn plant(&self, node: Node<HeapLink<H>>) -> HeapLink<H> {
        HeapLink(HeapBox::new(node))
    }

    #[inline(always)]
    fn sum(&self, tree: &HeapLink<H>) -> u64 {
        sum(tree)
    }
}

/// A candidate whose links are keys, which say nothing of the pool.
macro_rules! forest_of_keys {
    ($(#[$attribute:meta])* $candidate:ident($map:ident), $link:ident($key:ty) = $name:literal; $new:expr, $remove:expr) => {
        $(#[$attribute])*
        pub struct $candidate(UnsafeCell<$map<$link>>);

        /// Its key, which owns a node as far as the program is concerned.
        #[derive(Clone, Copy)]
        pub struct $link($key);

        impl Forest for $candidate {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Keys;

            type Link<'p> = $link;

            fn with_capacity(capacity: usize) -> Self {
                Self(UnsafeCell::new($new(capacity)))
            }

            #[inline(always)]
            fn plant(&self, node: Node<$link>) -> $link {
                // SAFETY: the cell is not `Sync`, and no mutable reference outlives its expression.
                let map = unsafe { &mut *self.0.get() };
                $link(map.insert(node))
            }

            fn sum(&self, tree: &$link) -> u64 {
                // SAFETY: as in `plant`, and nothing here changes the map.
                let map = unsafe { &*self.0.get() };
                let node = &map[tree.0];
                let children = node.children.as_ref();
                let below = children.map_or(0, |[left, right]| self.sum(left).wrapping_add(self.sum(right)));
                node.tag.wrapping_add(below)
            }

            fn release(&self, tree: $link) {
                // SAFETY: as in `plant`.
                let map = unsafe { &mut *self.0.get() };
                let node = $remove(map, tree.0);
                if let Some([left, right]) = node.children {
                    self.release(left);
                    self.release(right);
                }
            }
        }
    };
}

type SlabOf<L> = slab::Slab<Node<L>>;
type SlotMapOf<L> = slotmap::SlotMap<DefaultKey, Node<L>>;

forest_of_keys! {
    /// `slab`.
    Slab(SlabOf), SlabLink(usize) = "slab"; slab::Slab::with_capacity, slab::Slab::remove
}

forest_of_keys! {
    /// `slotmap`.
    SlotMap(SlotMapOf), SlotMapLink(DefaultKey) = "slotmap"; slotmap::SlotMap::with_capacity, remove_from_slot_map
}

fn remove_from_slot_map(map: &mut SlotMapOf<SlotMapLink>, key: DefaultKey) -> Node<SlotMapLink> {
    map.remove(key).expect("a key of the map")
}

/// `sharded-slab`, whose keys need no exclusive access.
pub struct ShardedSlab(sharded_slab::Slab<Node<ShardedSlabLink>>);

/// Its key.
pub struct ShardedSlabLink(usize);

impl Forest for ShardedSlab {
    const NAME: &'static str = "sharded-slab";
    const KIND: Kind = Kind::Keys;

    type Link<'p> = ShardedSlabLink;

    fn with_capacity(_capacity: usize) -> Self {
        Self(sharded_slab::Slab::new())
    }

    #[inline(always)]
    fn plant(&self, node: Node<ShardedSlabLink>) -> ShardedSlabLink {
        ShardedSlabLink(self.0.insert(node).expect("a vacant slot"))
    }

    fn sum(&self, tree: &ShardedSlabLink) -> u64 {
        let node = self.0.get(tree.0).expect("a node");
        let children = node.children.as_ref();
        let below = children.map_or(0, |[left, right]| self.sum(left).wrapping_add(self.sum(right)));
        node.tag.wrapping_add(below)
    }

    fn release(&self, tree: ShardedSlabLink) {
        let node = self.0.take(tree.0).expect("a node");
        if let Some([left, right]) = node.children {
            self.release(left);
            self.release(right);
        }
    }
}

/// `bumpalo`.
pub struct Bumpalo(bumpalo::Bump);

/// A reference into the arena.
pub struct BumpLink<'p>(&'p Node<Self>);

impl Deref for BumpLink<'_> {
    type Target = Node<Self>;

    #[inline(always)]
    fn deref(&self) -> &Node<Self> {
        self.0
    }
}

impl Forest for Bumpalo {
    const NAME: &'static str = "bumpalo";
    const KIND: Kind = Kind::Arena;

    type Link<'p> = BumpLink<'p>;

    fn with_capacity(capacity: usize) -> Self {
        Self(bumpalo::Bump::with_capacity(capacity * size_of::<Node<BumpLink<'_>>>()))
    }

    #[inline(always)]
    fn plant<'p>(&'p self, node: Node<BumpLink<'p>>) -> BumpLink<'p> {
        BumpLink(self.0.alloc(node))
    }

    #[inline(always)]
    fn sum(&self, tree: &BumpLink<'_>) -> u64 {
        sum(tree)
    }

    fn clear(&mut self) {
        self.0.reset();
    }
}

/// `typed-arena`.
pub struct TypedArena {
    nodes: typed_arena::Arena<Node<TypedLink>>,
    capacity: usize,
}

/// A reference into the arena, without the lifetime that the arena's own type would need.
pub struct TypedLink(NonNull<Node<Self>>);

impl Deref for TypedLink {
    type Target = Node<Self>;

    #[inline(always)]
    fn deref(&self) -> &Node<Self> {
        // SAFETY: workloads use no link after `clear`, and nodes are never changed.
        unsafe { self.0.as_ref() }
    }
}

impl Forest for TypedArena {
    const NAME: &'static str = "typed-arena";
    const KIND: Kind = Kind::Arena;

    type Link<'p> = TypedLink;

    fn with_capacity(capacity: usize) -> Self {
        Self { nodes: typed_arena::Arena::with_capacity(capacity), capacity }
    }

    #[inline(always)]
    fn plant(&self, node: Node<TypedLink>) -> TypedLink {
        TypedLink(NonNull::from(self.nodes.alloc(node)))
    }

    #[inline(always)]
    fn sum(&self, tree: &TypedLink) -> u64 {
        sum(tree)
    }

    fn clear(&mut self) {
        *self = Self::with_capacity(self.capacity);
    }
}

/// Is shown every candidate by [`visit`].
pub trait Visitor {
    /// Looks at one candidate.
    fn candidate<C: Forest>(&mut self);
}

/// Shows every candidate.
pub fn visit(visitor: &mut impl Visitor) {
    visitor.candidate::<Fixed>();
    visitor.candidate::<Growing>();
    visitor.candidate::<ThreadSafe>();
    visitor.candidate::<Slab>();
    visitor.candidate::<SlotMap>();
    visitor.candidate::<ShardedSlab>();
    visitor.candidate::<Opool>();
    visitor.candidate::<Plurality>();
    visitor.candidate::<SharedArena>();
    visitor.candidate::<Bumpalo>();
    visitor.candidate::<TypedArena>();
    visitor.candidate::<Boxed<heaps::System>>();
    visitor.candidate::<Boxed<heaps::Mimalloc>>();
    visitor.candidate::<Boxed<heaps::Jemalloc>>();
    #[cfg(feature = "snmalloc")]
    visitor.candidate::<Boxed<heaps::Snmalloc>>();
}
