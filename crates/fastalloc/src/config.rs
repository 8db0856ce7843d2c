//! How a pool is set up: its size, its growth, and the objects it keeps.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;

use crate::error::{Error, Result};
#[cfg(feature = "std")]
use crate::leaks::LeakPolicy;
use crate::raw::Scrub;

/// Everything that a pool can be told at construction.
///
/// Made by [`PoolConfig::builder`], which checks all fields at once.
///
/// With the feature `serde`, what is data can be serialized: all but functions. A [`PoolConfigBuilder`] is read from
/// it, to which functions can be added; or at once a configuration that needs none.
///
/// # Examples
///
/// ```
/// use fastalloc::{GrowingPool, GrowthStrategy, PoolConfig};
///
/// let config = PoolConfig::builder()
///     .capacity(1_000)
///     .max_capacity(Some(10_000))
///     .growth_strategy(GrowthStrategy::Linear { amount: 500 })
///     .reset_fn(|| Vec::<u8>::with_capacity(1024), |buffer| buffer.clear())
///     .build()?;
/// let pool = GrowingPool::with_config(config)?;
/// let mut buffer = pool.acquire()?;
/// buffer.extend_from_slice(b"hello");
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub struct PoolConfig<T> {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) capacity: usize,
    pub(crate) max_capacity: Option<usize>,
    pub(crate) growth_strategy: Option<GrowthStrategy>,
    pub(crate) alignment: usize,
    pub(crate) pre_initialize: bool,
    pub(crate) thread_cache: Option<usize>,
    pub(crate) scrub: Scrub,
    /// `None` if leaks are not tracked.
    #[cfg(feature = "std")]
    pub(crate) leak_policy: Option<LeakPolicy>,
    pub(crate) initialization_strategy: InitializationStrategy<T>,
}

impl<T> PoolConfig<T> {
    /// Starts a configuration in which only the capacity has to be set.
    pub fn builder() -> PoolConfigBuilder<T> {
        PoolConfigBuilder::new()
    }

    /// What the pool is called.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Number of slots at construction.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of slots that a growing pool never exceeds; `None` if there is no limit.
    #[must_use]
    pub fn max_capacity(&self) -> Option<usize> {
        self.max_capacity
    }

    /// How a growing pool grows; `None` if the configuration leaves it to the pool.
    #[must_use]
    pub fn growth_strategy(&self) -> Option<&GrowthStrategy> {
        self.growth_strategy.as_ref()
    }

    /// Every slot's address is a multiple of this, in bytes.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// Whether construction makes an object in every slot.
    #[must_use]
    pub fn pre_initialize(&self) -> bool {
        self.pre_initialize
    }

    /// Vacant slots that a thread may keep for itself; `None` if the configuration leaves it to the pool.
    #[must_use]
    pub fn thread_cache(&self) -> Option<usize> {
        self.thread_cache
    }

    /// Whether the memory of objects that are gone is overwritten.
    #[cfg(feature = "zeroize")]
    #[must_use]
    pub fn zeroize(&self) -> bool {
        self.scrub.is_on
    }

    /// Whether the pool remembers who allocated what.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn track_leaks(&self) -> bool {
        self.leak_policy.is_some()
    }

    /// What happens if the pool ends while objects are out; `None` if it does not track leaks.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn leak_policy(&self) -> Option<&LeakPolicy> {
        self.leak_policy.as_ref()
    }

    /// How the pool makes and resets the objects that it keeps.
    #[must_use]
    pub fn initialization_strategy(&self) -> &InitializationStrategy<T> {
        &self.initialization_strategy
    }
}

impl<T> fmt::Debug for PoolConfig<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("PoolConfig");
        fields
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("max_capacity", &self.max_capacity)
            .field("growth_strategy", &self.growth_strategy)
            .field("alignment", &self.alignment)
            .field("pre_initialize", &self.pre_initialize)
            .field("thread_cache", &self.thread_cache)
            .field("initialization_strategy", &self.initialization_strategy);
        #[cfg(feature = "zeroize")]
        fields.field("zeroize", &self.scrub.is_on);
        #[cfg(feature = "std")]
        fields.field("leak_policy", &self.leak_policy);
        fields.finish()
    }
}

/// Collects the fields of a [`PoolConfig`]; [`build`](Self::build) checks them.
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolConfigBuilder<T> {
    name: Option<Cow<'static, str>>,
    capacity: Option<usize>,
    max_capacity: Option<usize>,
    growth_strategy: Option<GrowthStrategy>,
    alignment: Option<usize>,
    pre_initialize: bool,
    thread_cache: Option<usize>,
    scrub: Scrub,
    #[cfg(feature = "std")]
    track_leaks: bool,
    #[cfg(feature = "std")]
    leak_policy: Option<LeakPolicy>,
    initialization_strategy: InitializationStrategy<T>,
}

impl<T> PoolConfigBuilder<T> {
    /// The same as [`PoolConfig::builder`].
    pub fn new() -> Self {
        Self {
            name: None,
            capacity: None,
            max_capacity: None,
            growth_strategy: None,
            alignment: None,
            pre_initialize: false,
            thread_cache: None,
            scrub: Scrub {
                #[cfg(feature = "zeroize")]
                is_on: false,
            },
            #[cfg(feature = "std")]
            track_leaks: false,
            #[cfg(feature = "std")]
            leak_policy: None,
            initialization_strategy: InitializationStrategy::Lazy,
        }
    }

    /// What the pool is called in reports, events and metrics. Default: nothing, they name the type of its objects.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Number of slots at construction. Required, at least 1.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Number of slots that a growing pool never exceeds. Default: no limit.
    ///
    /// A growth step that would pass the limit is cut to end there. Pools that never grow accept only
    /// their capacity.
    pub fn max_capacity(mut self, max_capacity: Option<usize>) -> Self {
        self.max_capacity = max_capacity;
        self
    }

    /// How a growing pool grows. Default: it doubles.
    ///
    /// Pools that never grow accept only [`GrowthStrategy::None`].
    pub fn growth_strategy(mut self, strategy: GrowthStrategy) -> Self {
        self.growth_strategy = Some(strategy);
        self
    }

    /// Every slot's address is a multiple of this, in bytes. Default: the alignment of `T`.
    ///
    /// A power of two, at least the alignment of `T`. Slots are that far apart at least, so 64 gives
    /// each object cache lines of its own; but a pool of objects that are read one after the other is
    /// slower if it is larger than it need be.
    pub fn alignment(mut self, alignment: usize) -> Self {
        self.alignment = Some(alignment);
        self
    }

    /// Whether construction makes an object in every slot. Default: `false`.
    ///
    /// Needs an initializer. Slots that a growing pool adds later are filled as its
    /// [`InitializationStrategy`] says.
    pub fn pre_initialize(mut self, pre_initialize: bool) -> Self {
        self.pre_initialize = pre_initialize;
        self
    }

    /// Vacant slots that a thread may keep for itself, in pools that threads share. Default, and at most: 129.
    ///
    /// A thread finds these without asking anybody; others find them only when there are no more elsewhere. The
    /// fewer slots are vacant and the more threads use the pool, the fewer a thread keeps: when it takes or gives
    /// back several at once, half of its share of the vacant slots becomes its limit. With less than 3 it keeps
    /// none, and each operation uses memory that all threads write to: slow, but then nothing that happens to a
    /// thread keeps a vacant slot from the others. In pools that track leaks, threads keep none anyway. Pools for one thread refuse
    /// a configuration with this field.
    pub fn thread_cache(mut self, slots: usize) -> Self {
        self.thread_cache = Some(slots);
        self
    }

    /// Whether the memory of objects that are gone is overwritten with zeros. Default: `false`.
    ///
    /// When an object is destroyed or moved out, its slot is overwritten before it is vacant, and before its memory is
    /// given back. Objects that are kept for the next `acquire` stay as they are: their reset must see to it. What an
    /// object owns elsewhere, such as the text of a `String`, is not in the pool. Such a pool has no hot slot.
    #[cfg(feature = "zeroize")]
    pub fn zeroize(mut self, zeroize: bool) -> Self {
        self.scrub.is_on = zeroize;
        self
    }

    /// Whether the pool remembers of each object where in the program, when, and by which thread it was allocated, for
    /// [`Pool::outstanding`](crate::Pool::outstanding). Default: `false`, which costs nothing, but for a jump in pools
    /// for one thread that keep objects or overwrite memory.
    ///
    /// Such a pool takes a lock for each operation, has neither a hot slot nor slots that threads keep for themselves,
    /// and needs 40 bytes more for each slot.
    #[cfg(feature = "std")]
    pub fn track_leaks(mut self, track_leaks: bool) -> Self {
        self.track_leaks = track_leaks;
        self
    }

    /// What happens if the pool ends while objects are out. Default: a warning. Only for pools that
    /// [track leaks](Self::track_leaks).
    ///
    /// # Examples
    ///
    /// A test that fails if it leaks:
    ///
    /// ```should_panic
    /// use fastalloc::{FixedPool, LeakPolicy, PoolConfig};
    ///
    /// let config = PoolConfig::builder().capacity(1).track_leaks(true).leak_policy(LeakPolicy::Panic);
    /// let pool = FixedPool::with_config(config.build()?)?;
    /// std::mem::forget(pool.allocate(1)?);
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn leak_policy(mut self, policy: LeakPolicy) -> Self {
        self.leak_policy = Some(policy);
        self
    }

    /// Makes objects when slots come into being: [`InitializationStrategy::Eager`].
    pub fn initializer(self, initializer: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.initialization_strategy(InitializationStrategy::eager(initializer))
    }

    /// Makes objects when they are first acquired, and resets them when they are released:
    /// [`InitializationStrategy::Custom`].
    ///
    /// `reset` returns nothing, or a `bool`: `false` destroys the object instead of keeping it. Both
    /// functions are `Send + Sync`, so that pools can be sent to other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::{FixedPool, PoolConfig};
    ///
    /// let pool = FixedPool::with_config(
    ///     PoolConfig::builder()
    ///         .capacity(8)
    ///         .reset_fn(Vec::<u8>::new, |buffer| {
    ///             buffer.clear();
    ///             buffer.capacity() <= 65_536 // rather a new one than a huge one kept for ever
    ///         })
    ///         .build()?,
    /// )?;
    /// # Ok::<(), fastalloc::Error>(())
    /// ```
    pub fn reset_fn<R: ResetOutcome>(
        self,
        initializer: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Self {
        self.initialization_strategy(InitializationStrategy::custom(initializer, reset))
    }

    /// How the pool makes and resets the objects that it keeps. Default:
    /// [`InitializationStrategy::Lazy`], values only.
    pub fn initialization_strategy(mut self, strategy: InitializationStrategy<T>) -> Self {
        self.initialization_strategy = strategy;
        self
    }

    /// Checks all fields and returns the configuration.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidCapacity`] if the capacity is 0.
    /// - [`Error::InvalidAlignment`] if the alignment is not a power of two or less than `T` needs.
    /// - [`Error::InvalidConfiguration`], naming the field, if the capacity is missing, `max_capacity`
    ///   is below it, an exponential `factor` is not a finite number above 1, `pre_initialize` is
    ///   set without an initializer, the name is empty, or there is a leak policy but leaks are not tracked.
    pub fn build(self) -> Result<PoolConfig<T>> {
        let invalid = |field, message| Err(Error::InvalidConfiguration { field, message });
        if self.name.as_ref().is_some_and(|name| name.is_empty()) {
            return invalid("name", "it is empty; choose one, or leave the field out");
        }
        let Some(capacity) = self.capacity else {
            return invalid("capacity", "it is missing; call .capacity(slots) on the builder");
        };
        if capacity == 0 {
            return Err(Error::InvalidCapacity);
        }
        if self.max_capacity.is_some_and(|max| max < capacity) {
            return invalid("max_capacity", "it is below capacity; raise it, or lower capacity");
        }
        let too_slow = |factor: f64| !factor.is_finite() || factor <= 1.0;
        if matches!(self.growth_strategy, Some(GrowthStrategy::Exponential { factor }) if too_slow(factor)) {
            return invalid("growth_strategy", "factor must be a finite number above 1, such as 2.0");
        }
        let alignment = self.alignment.unwrap_or(align_of::<T>());
        if !alignment.is_power_of_two() || alignment < align_of::<T>() {
            return Err(Error::InvalidAlignment { alignment });
        }
        if self.pre_initialize && self.initialization_strategy.is_lazy() {
            return invalid("pre_initialize", "nothing makes the objects; add .initializer(f) or .reset_fn(f, reset)");
        }
        #[cfg(feature = "std")]
        if self.leak_policy.is_some() && !self.track_leaks {
            return invalid("leak_policy", "the pool does not track leaks; add .track_leaks(true)");
        }
        Ok(PoolConfig {
            name: self.name,
            capacity,
            max_capacity: self.max_capacity,
            growth_strategy: self.growth_strategy,
            alignment,
            pre_initialize: self.pre_initialize,
            thread_cache: self.thread_cache,
            scrub: self.scrub,
            #[cfg(feature = "std")]
            leak_policy: if self.track_leaks { Some(self.leak_policy.unwrap_or_default()) } else { None },
            initialization_strategy: self.initialization_strategy,
        })
    }
}

impl<T> Default for PoolConfigBuilder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PoolConfigBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("PoolConfigBuilder");
        fields
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("max_capacity", &self.max_capacity)
            .field("growth_strategy", &self.growth_strategy)
            .field("alignment", &self.alignment)
            .field("pre_initialize", &self.pre_initialize)
            .field("thread_cache", &self.thread_cache)
            .field("initialization_strategy", &self.initialization_strategy);
        #[cfg(feature = "zeroize")]
        fields.field("zeroize", &self.scrub.is_on);
        #[cfg(feature = "std")]
        fields.field("track_leaks", &self.track_leaks).field("leak_policy", &self.leak_policy);
        fields.finish()
    }
}

/// How many slots a growing pool adds when it is full.
///
/// With the feature `serde`, `"none"`, `{"linear": {"amount": 500}}` and `{"exponential": {"factor": 2.0}}` in JSON; a
/// function cannot be serialized.
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum GrowthStrategy {
    /// None: the pool stays as large as it is.
    None,
    /// Always the same number.
    Linear {
        /// Slots to add.
        amount: usize,
    },
    /// A multiple of what it has.
    Exponential {
        /// New capacity divided by the old one: finite, above 1. At least one slot is added.
        factor: f64,
    },
    /// Whatever a function says.
    #[cfg_attr(feature = "serde", serde(skip))]
    Custom {
        /// Maps the current capacity to the number of slots to add; 0 for none. It may panic and use
        /// the pool that asks.
        compute: Box<dyn Fn(usize) -> usize + Send + Sync>,
    },
}

impl GrowthStrategy {
    /// Number of slots to add to a pool that has `current_capacity`.
    ///
    /// # Examples
    ///
    /// ```
    /// use fastalloc::GrowthStrategy;
    ///
    /// assert_eq!(GrowthStrategy::Exponential { factor: 1.5 }.compute_growth(100), 50);
    /// assert_eq!(GrowthStrategy::Custom { compute: Box::new(|slots| slots / 4) }.compute_growth(100), 25);
    /// ```
    #[must_use]
    pub fn compute_growth(&self, current_capacity: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Linear { amount } => *amount,
            Self::Exponential { factor } => {
                // The conversion back saturates, and maps a NaN to 0.
                let grown = (current_capacity as f64 * factor) as usize;
                grown.saturating_sub(current_capacity).max(1)
            }
            Self::Custom { compute } => compute(current_capacity),
        }
    }

    /// Whether the strategy may add slots at all; a custom one may still answer 0.
    #[must_use]
    pub fn allows_growth(&self) -> bool {
        !matches!(self, Self::None | Self::Linear { amount: 0 })
    }
}

impl fmt::Debug for GrowthStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Linear { amount } => f.debug_struct("Linear").field("amount", amount).finish(),
            Self::Exponential { factor } => f.debug_struct("Exponential").field("factor", factor).finish(),
            Self::Custom { .. } => f.debug_struct("Custom").finish_non_exhaustive(),
        }
    }
}

/// Makes an object for a slot that has none.
pub type Initializer<T> = Box<dyn Fn() -> T + Send + Sync>;

/// Prepares a released object for its next use; `false` destroys it instead.
pub type Reset<T> = Box<dyn Fn(&mut T) -> bool + Send + Sync>;

/// Whether a pool keeps objects between uses, and who makes them.
///
/// With [`Lazy`](Self::Lazy) a pool holds values: a handle that is dropped destroys its value. With
/// an initializer the pool recycles objects: a dropped handle leaves its object in the slot, alive,
/// for the next [`acquire`](crate::Pool::acquire).
#[derive(Default)]
#[non_exhaustive]
pub enum InitializationStrategy<T> {
    /// Values only: the pool makes no objects.
    #[default]
    Lazy,
    /// Makes an object in every slot when the slot comes into being, also by growth.
    Eager {
        /// Makes an object.
        initializer: Initializer<T>,
    },
    /// Makes an object when a slot that has none is acquired.
    Custom {
        /// Makes an object.
        initializer: Initializer<T>,
        /// Prepares a released object for its next use, or refuses it.
        reset: Option<Reset<T>>,
    },
}

impl<T> InitializationStrategy<T> {
    /// [`Eager`](Self::Eager) with this initializer.
    pub fn eager(initializer: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::Eager { initializer: Box::new(initializer) }
    }

    /// [`Custom`](Self::Custom) with this initializer and reset.
    pub fn custom<R: ResetOutcome>(
        initializer: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Custom { initializer: Box::new(initializer), reset: Some(Box::new(move |object| reset(object).keep())) }
    }

    /// [`Custom`](Self::Custom) with this initializer; objects are kept as they were released.
    pub fn custom_init_only(initializer: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::Custom { initializer: Box::new(initializer), reset: None }
    }

    /// Whether the pool holds values only.
    #[must_use]
    pub fn is_lazy(&self) -> bool {
        matches!(self, Self::Lazy)
    }

    /// Whether objects are made as soon as their slots come into being.
    #[must_use]
    pub fn is_eager(&self) -> bool {
        matches!(self, Self::Eager { .. })
    }
}

impl<T> fmt::Debug for InitializationStrategy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lazy => f.write_str("Lazy"),
            Self::Eager { .. } => f.debug_struct("Eager").finish_non_exhaustive(),
            Self::Custom { reset, .. } => {
                f.debug_struct("Custom").field("resets", &reset.is_some()).finish_non_exhaustive()
            }
        }
    }
}

/// What a reset function may return: `()`, the object is kept, or a `bool`, `false` destroys it.
pub trait ResetOutcome: sealed::Sealed {
    /// Whether the pool keeps the object.
    fn keep(self) -> bool;
}

impl ResetOutcome for () {
    fn keep(self) -> bool {
        true
    }
}

impl ResetOutcome for bool {
    fn keep(self) -> bool {
        self
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for () {}
    impl Sealed for bool {}
}

/// Configurations as read.
#[cfg(feature = "serde")]
mod data {
    use alloc::borrow::Cow;
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{GrowthStrategy, PoolConfig, PoolConfigBuilder};
    #[cfg(feature = "std")]
    use crate::leaks::LeakPolicy;
    use crate::raw::Scrub;

    #[derive(Serialize)]
    struct Written<'config> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'config str>,
        capacity: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_capacity: Option<usize>,
        alignment: usize,
        pre_initialize: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_cache: Option<usize>,
        #[cfg(feature = "zeroize")]
        #[serde(skip_serializing_if = "is_false")]
        zeroize: bool,
        #[cfg(feature = "std")]
        #[serde(skip_serializing_if = "is_false")]
        track_leaks: bool,
        #[cfg(feature = "std")]
        #[serde(skip_serializing_if = "Option::is_none")]
        leak_policy: Option<&'config LeakPolicy>,
        // The last one: a table, after which formats such as TOML have no room for plain values.
        #[serde(skip_serializing_if = "Option::is_none")]
        growth_strategy: Option<&'config GrowthStrategy>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename = "PoolConfig")]
    struct Read {
        name: Option<String>,
        capacity: usize,
        max_capacity: Option<usize>,
        alignment: Option<usize>,
        #[serde(default)]
        pre_initialize: bool,
        thread_cache: Option<usize>,
        #[cfg(feature = "zeroize")]
        #[serde(default)]
        zeroize: bool,
        #[cfg(feature = "std")]
        #[serde(default)]
        track_leaks: bool,
        #[cfg(feature = "std")]
        leak_policy: Option<LeakPolicy>,
        growth_strategy: Option<GrowthStrategy>,
    }

    #[cfg(any(feature = "zeroize", feature = "std"))]
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    fn is_false(flag: &bool) -> bool {
        !flag
    }

    impl<T> Serialize for PoolConfig<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            Written {
                name: self.name(),
                capacity: self.capacity,
                max_capacity: self.max_capacity,
                alignment: self.alignment,
                pre_initialize: self.pre_initialize,
                thread_cache: self.thread_cache,
                #[cfg(feature = "zeroize")]
                zeroize: self.zeroize(),
                #[cfg(feature = "std")]
                track_leaks: self.track_leaks(),
                #[cfg(feature = "std")]
                leak_policy: self.leak_policy(),
                growth_strategy: self.growth_strategy(),
            }
            .serialize(serializer)
        }
    }

    impl<'de, T> Deserialize<'de> for PoolConfigBuilder<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let read = Read::deserialize(deserializer)?;
            Ok(Self {
                name: read.name.map(Cow::Owned),
                capacity: Some(read.capacity),
                max_capacity: read.max_capacity,
                growth_strategy: read.growth_strategy,
                alignment: read.alignment,
                pre_initialize: read.pre_initialize,
                thread_cache: read.thread_cache,
                scrub: Scrub {
                    #[cfg(feature = "zeroize")]
                    is_on: read.zeroize,
                },
                #[cfg(feature = "std")]
                track_leaks: read.track_leaks,
                #[cfg(feature = "std")]
                leak_policy: read.leak_policy,
                ..Self::new()
            })
        }
    }

    impl<'de, T> Deserialize<'de> for PoolConfig<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            PoolConfigBuilder::deserialize(deserializer)?.build().map_err(serde::de::Error::custom)
        }
    }
}
