//! Whether configured pools still fit.

use std::fmt;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::advice::{Advice, Pool, Verdict};
use crate::analysis::Report;

/// The pools of a program, as a file says.
///
/// # Examples
///
/// ```
/// let configuration = fastalloc_trace::Configuration::from_toml(
///     r#"
///     [[pool]]
///     site = "my_app::serve*"   # `*` stands for any text, `?` for any character
///     size = 64
///     capacity = 100
///     max_capacity = 400        # leave it out if the pool does not grow
///     "#,
/// )?;
/// assert_eq!(configuration.pool[0].capacity, 100);
/// # Ok::<(), fastalloc_trace::ConfigurationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Configuration {
    /// The pools.
    #[serde(default)]
    pub pool: Vec<PoolEntry>,
}

/// A pool that a program has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolEntry {
    /// The call sites whose objects it is for: a name in which `*` stands for any text and `?` for any character.
    pub site: String,
    /// The size of its objects in bytes; if it is missing, objects of all sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Slots at construction.
    pub capacity: u64,
    /// Slots that it never exceeds; if it is missing, it does not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_capacity: Option<u64>,
}

impl PoolEntry {
    /// A pool that does not grow, for objects of all sizes from call sites that match.
    #[must_use]
    pub fn new(site: impl Into<String>, capacity: u64) -> Self {
        Self { site: site.into(), size: None, capacity, max_capacity: None }
    }

    /// Whether the pool is for objects of that size from that call site.
    #[must_use]
    pub fn is_for(&self, site: &str, size: u64) -> bool {
        self.size.is_none_or(|wanted| wanted == size) && WildMatch::new(&self.site).matches(site)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// It cannot be read, or written.
    #[error("{0}")]
    Toml(String),
    /// A pool has no capacity, or more than it may have.
    #[error("pool {number} ({site}): capacity must be at least 1, and at most max_capacity")]
    Capacity {
        /// Which pool, counted from 1.
        number: usize,
        /// Its call sites.
        site: String,
    },
}

impl Configuration {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has unknown fields or lacks some, with the line; or if a capacity makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, ConfigurationError> {
        let configuration: Self = toml::from_str(text).map_err(|error| ConfigurationError::Toml(error.to_string()))?;
        for (index, pool) in configuration.pool.iter().enumerate() {
            if pool.capacity == 0 || pool.max_capacity.is_some_and(|max| max < pool.capacity) {
                return Err(ConfigurationError::Capacity { number: index + 1, site: pool.site.clone() });
            }
        }
        Ok(configuration)
    }

    /// The pools that were advised, for a start: they fit the trace that led to them.
    #[must_use]
    pub fn from_advice(advice: &[Advice]) -> Self {
        let entry = |advice: &Advice| match &advice.verdict {
            Verdict::Pool(Pool { capacity, max_capacity, .. }) => {
                let (site, size) = (advice.site.clone(), advice.size);
                Some(PoolEntry { site, size, capacity: *capacity, max_capacity: *max_capacity })
            }
            Verdict::DoNotPool(_) => None,
        };
        Self { pool: advice.iter().filter_map(entry).collect() }
    }

    /// What [`from_toml`](Self::from_toml) reads.
    ///
    /// # Errors
    ///
    /// If a capacity is 2⁶³ or more: TOML has no such numbers.
    pub fn to_toml(&self) -> Result<String, ConfigurationError> {
        toml::to_string(self).map_err(|error| ConfigurationError::Toml(error.to_string()))
    }
}

/// Something about a pool that does not fit what a trace says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which pool, counted from 1.
    pub pool: usize,
    /// Its call sites.
    pub site: String,
    /// What does not fit.
    pub problem: Problem,
}

/// What about a pool does not fit what a trace says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "problem")]
#[non_exhaustive]
pub enum Problem {
    /// No call site in the trace has such a name: it was renamed, or not used.
    NoSuchSite,
    /// The call sites have allocated no objects of that size: the type has changed.
    NoSuchSize {
        /// The sizes that they have allocated, the most frequent first; at most 8.
        sizes: Vec<u64>,
    },
    /// More objects were alive at once than the pool can have slots. If it is for several call sites or sizes, their
    /// peaks need not have come at the same time: all that is known then is a range.
    Exceeded {
        /// Slots that it never exceeds.
        limit: u64,
        /// At least so many objects were alive at once.
        at_least: u64,
        /// At most so many objects were alive at once.
        at_most: u64,
    },
    /// The pool has to grow for more than 1 % of the allocations of a call site.
    Grows {
        /// Slots at construction.
        capacity: u64,
        /// Slots that would do for 99 of 100 allocations.
        capacity_p99: u64,
    },
    /// The trace has lost count of objects that are alive, so that nothing can be said.
    Uncounted {
        /// Objects that were not counted.
        untracked: u64,
    },
}

impl Finding {
    /// Whether the pool certainly does not fit. If not, the trace only does not say that it does.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match &self.problem {
            Problem::Exceeded { limit, at_least, .. } => at_least > limit,
            Problem::NoSuchSite | Problem::NoSuchSize { .. } | Problem::Grows { .. } => true,
            Problem::Uncounted { .. } => false,
        }
    }
}

/// Compares configured pools with what a trace says; in the order of the pools. Empty if all fit.
///
/// If only a sample is in the trace, its counts are multiplied accordingly.
#[must_use]
pub fn check(configuration: &Configuration, report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, entry) in configuration.pool.iter().enumerate() {
        let find = |problem| Finding { pool: index + 1, site: entry.site.clone(), problem };
        findings.extend(problems(entry, report).into_iter().map(find));
    }
    findings
}

fn problems(entry: &PoolEntry, report: &Report) -> Vec<Problem> {
    let pattern = WildMatch::new(&entry.site);
    let sites: Vec<_> = report.sites.iter().filter(|site| pattern.matches(&site.site)).collect();
    if sites.is_empty() {
        return vec![Problem::NoSuchSite];
    }
    let usages: Vec<_> = match entry.size {
        None => sites.iter().map(|site| &site.total).collect(),
        Some(size) => (sites.iter().flat_map(|site| &site.classes))
            .filter(|class| class.size == Some(size))
            .map(|class| &class.usage)
            .collect(),
    };
    if usages.is_empty() {
        let mut sizes = Vec::new();
        for class in sites.iter().flat_map(|site| &site.classes) {
            sizes.extend(class.size.filter(|size| sizes.len() < 8 && !sizes.contains(size)));
        }
        return vec![Problem::NoSuchSize { sizes }];
    }
    if report.untracked > 0 {
        return vec![Problem::Uncounted { untracked: report.untracked }];
    }
    let sampling = report.process.sampling.max(1);
    let peaks = usages.iter().map(|usage| usage.alive_peak.saturating_mul(sampling));
    let at_least = peaks.clone().max().unwrap_or(0);
    let at_most = peaks.fold(0, u64::saturating_add);
    let limit = entry.max_capacity.unwrap_or(entry.capacity);
    let mut problems = Vec::new();
    if at_most > limit {
        problems.push(Problem::Exceeded { limit, at_least, at_most });
    }
    let capacity_p99 = usages.iter().map(|usage| usage.alive.p99.saturating_mul(sampling)).max().unwrap_or(0);
    if entry.max_capacity.is_some() && capacity_p99 > entry.capacity {
        problems.push(Problem::Grows { capacity: entry.capacity, capacity_p99 });
    }
    problems
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {} ({}): {}", self.pool, self.site, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchSite => f.write_str("no call site in the trace has such a name"),
            Self::NoSuchSize { sizes } => write!(f, "no objects of that size in the trace, but of {sizes:?} bytes"),
            Self::Exceeded { limit, at_least, at_most } if at_least == at_most => {
                write!(f, "{at_least} objects were alive at once, but it has {limit} slots at most")
            }
            Self::Exceeded { limit, at_least, at_most } => {
                write!(f, "{at_least} to {at_most} objects were alive at once, but it has {limit} slots at most")
            }
            Self::Grows { capacity, capacity_p99 } => {
                write!(f, "capacity is {capacity}, but 99 % of allocations need {capacity_p99}: raise it")
            }
            Self::Uncounted { untracked } => {
                write!(f, "more objects were alive than could be counted: {untracked} were not")
            }
        }
    }
}
