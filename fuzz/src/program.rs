//! What the input of a fuzzer means: how a pool is set up, and what is done with it.

use arbitrary::{Arbitrary, Unstructured};
use fastalloc::{GrowthStrategy, InitializationStrategy, LeakPolicy, PoolConfig};

use crate::world::{Site, Value, World, is_refused, user_code};

#[derive(Arbitrary, Clone, Debug)]
pub struct Setup {
    #[arbitrary(with = |u: &mut Unstructured<'_>| u.int_in_range(1..=6))]
    pub(crate) capacity: usize,
    pub(crate) growth: Growth,
    pub(crate) life: Life,
    pre_initialize: bool,
    alignment: Alignment,
    pub(crate) tracks_leaks: bool,
    zeroize: bool,
    thread_cache: Option<u8>,
    /// Whether the pool is dropped before those handles that keep its memory.
    pub(crate) pool_ends_first: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Growth {
    Never,
    One,
    Seven,
    ByHalf,
    Custom,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Life {
    Values,
    Recycled,
    Kept,
    Eager,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Alignment {
    Natural,
    Line,
    Page,
    /// So large that a block of memory, the unit of a trim, has few slots.
    Block,
}

/// Growing pools have no more slots than this.
pub(crate) const LIMIT: usize = 30;

impl Setup {
    pub(crate) fn alignment<T>(&self) -> usize {
        let alignment = match self.alignment {
            Alignment::Natural => 1,
            Alignment::Line => 256,
            Alignment::Page => 4 << 10,
            Alignment::Block => 256 << 10,
        };
        alignment.max(align_of::<T>())
    }

    pub(crate) fn config<T: Value>(&self, is_shared: bool) -> PoolConfig<T> {
        let strategy = match self.growth {
            Growth::Never => GrowthStrategy::None,
            Growth::One => GrowthStrategy::Linear { amount: 1 },
            Growth::Seven => GrowthStrategy::Linear { amount: 7 },
            Growth::ByHalf => GrowthStrategy::Exponential { factor: 1.5 },
            Growth::Custom => GrowthStrategy::Custom {
                compute: Box::new(|capacity| {
                    user_code(Site::Growth);
                    capacity / 3 + 1
                }),
            },
        };
        let initializer = || {
            user_code(Site::Initializer);
            T::fresh()
        };
        let reset = |object: &mut T| {
            user_code(Site::Reset);
            !is_refused(object.id())
        };
        let life = match self.life {
            Life::Values => InitializationStrategy::Lazy,
            Life::Recycled => InitializationStrategy::custom(initializer, reset),
            Life::Kept => InitializationStrategy::custom_init_only(initializer),
            Life::Eager => InitializationStrategy::eager(initializer),
        };
        let mut config = PoolConfig::builder()
            .capacity(self.capacity)
            .max_capacity((self.growth != Growth::Never).then_some(LIMIT))
            .growth_strategy(strategy)
            .alignment(self.alignment::<T>())
            .pre_initialize(self.pre_initialize && self.life != Life::Values)
            .zeroize(self.zeroize)
            .track_leaks(self.tracks_leaks)
            .initialization_strategy(life);
        if self.tracks_leaks {
            config = config.leak_policy(LeakPolicy::tell(|out| {
                assert!(World::get().told.replace(out.objects().len()).is_none(), "told twice");
            }));
        }
        if let (true, Some(slots)) = (is_shared, self.thread_cache) {
            config = config.thread_cache(slots.into());
        }
        config.build().unwrap()
    }

    /// How many slots a full pool adds.
    pub(crate) fn growth_step(&self, capacity: usize) -> usize {
        match self.growth {
            Growth::Never => 0,
            Growth::One => 1,
            Growth::Seven => 7,
            Growth::ByHalf => (capacity / 2).max(1),
            Growth::Custom => capacity / 3 + 1,
        }
    }

    /// Whether an object is kept when it is released.
    pub(crate) fn keeps(&self, id: u64) -> bool {
        match self.life {
            Life::Values => false,
            Life::Recycled => !is_refused(id),
            Life::Kept | Life::Eager => true,
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Step {
    pub(crate) operation: Operation,
    pub(crate) trap: Option<Trap>,
    #[arbitrary(with = |u: &mut Unstructured<'_>| u.ratio(1, 4))]
    pub(crate) elsewhere: bool,
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Trap {
    pub(crate) site: Site,
    /// `None`: it panics.
    pub(crate) deed: Option<Operation>,
}

/// A way to allocate one value.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Value,
    Try,
    OrReturn,
    With,
    TryWith,
    InPlace,
    TryInPlace,
    Acquire,
    /// With a timeout of zero, by pools that threads share; by others as without.
    Timeout,
    AcquireTimeout,
}

impl Form {
    pub(crate) fn acquires(self) -> bool {
        matches!(self, Self::Acquire | Self::AcquireTimeout)
    }
}

/// Numbers stand for tenants, weak handles or futures, modulo how many there are.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Operation {
    Allocate(Form),
    AllocateShared,
    /// By a handle without a lifetime.
    AllocateRc(bool),
    /// So many values, and by how many the iterator exaggerates.
    Batch(#[arbitrary(with = |u: &mut Unstructured<'_>| u.int_in_range(0..=9))] usize, Lie),
    /// Allocates or acquires by a future that is polled once.
    Wait(bool),
    Poll(u8),
    DropFuture(u8),
    TryClone(u8),
    Drop(u8),
    /// Drops all owned handles.
    Clear,
    IntoInner(u8),
    Forget(u8),
    Leak(u8),
    Pin(u8),
    Unsize(u8),
    Share(u8),
    Unshare(u8),
    CloneShared(u8),
    DropShared(u8),
    TakeShared(u8),
    Downgrade(u8),
    CloneWeak(u8),
    Upgrade(u8),
    DropWeak(u8),
    Reserve(#[arbitrary(with = |u: &mut Unstructured<'_>| u.int_in_range(0..=20))] usize),
    Trim,
    TrimTo(#[arbitrary(with = |u: &mut Unstructured<'_>| u.int_in_range(0..=20))] usize),
    ResetStatistics,
    Print,
    FlushThread,
    EndThread,
    Close,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Lie {
    None,
    Less,
    More,
    MuchMore,
}

impl Lie {
    pub(crate) fn about(self, len: usize) -> usize {
        match self {
            Self::None => len,
            Self::Less => len.saturating_sub(2),
            Self::More => len + 2,
            Self::MuchMore => len + 1_000,
        }
    }
}
