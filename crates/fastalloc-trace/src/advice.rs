//! Which pools would fit, and why.

use std::fmt;

use serde::Serialize;

use crate::analysis::{ClassReport, Report, SiteReport};
use crate::tracker::{Usage, share};

/// What it takes to advise a pool.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Fewer objects than that are too few. Default: 1000.
    pub objects_min: u64,
    /// A slot must have been used by so many objects, one after the other, on average. Default: 4.
    pub reuse_min: f64,
    /// A size must have this share of a call site's objects. Default: 0.1.
    pub class_share_min: f64,
    /// All sizes with a pool together must have this share of a call site's objects. Default: 0.5.
    pub sizes_share_min: f64,
    /// No greater share of the objects may begin or end with a reallocation. Default: 0.1.
    pub reallocation_share_max: f64,
    /// The largest peak that the 99.9 % quantile is multiplied with this to reach is reserved at once, by a pool that
    /// never grows; for a larger one a pool grows. Default: 1.25.
    pub steady: f64,
    /// The capacity of pools that never grow, and the largest one of others, is the peak times this: room for what the
    /// trace has not seen. Default: 1.25.
    pub headroom: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            objects_min: 1000,
            reuse_min: 4.0,
            class_share_min: 0.1,
            sizes_share_min: 0.5,
            reallocation_share_max: 0.1,
            steady: 1.25,
            headroom: 1.25,
        }
    }
}

/// What to do about objects of a call site.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// The call site.
    pub site: String,
    /// The size of the objects in bytes; `None` if this is about objects of all sizes.
    pub size: Option<u64>,
    /// The alignment of the objects in bytes; `None` if this is about objects of all alignments.
    pub alignment: Option<u32>,
    /// How many objects there were in the trace.
    pub objects: u64,
    /// What to do.
    pub verdict: Verdict,
}

/// Whether to use a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No, for this reason.
    DoNotPool(Reason),
    /// Yes, this one.
    Pool(Pool),
}

/// Why not to use a pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum Reason {
    /// There is little to gain.
    TooFew {
        /// How many objects there were.
        objects: u64,
        /// How many there must be.
        objects_min: u64,
    },
    /// Slots would seldom be used again: objects live too long, or as long as the program.
    LongLived {
        /// How many objects would have used a slot, on average.
        reuse: f64,
        /// How many there must be.
        reuse_min: f64,
        /// Objects that were alive at the end.
        alive_at_end: u64,
    },
    /// Sizes vary, but a slot has one: typical of buffers. A pool of objects that own such buffers and keep them may
    /// fit (`acquire` and a reset function).
    SizesVary {
        /// The smallest size.
        size_min: u64,
        /// The largest size.
        size_max: u64,
        /// The share of objects with the sizes that are frequent enough.
        frequent: f64,
    },
    /// Objects grow: typical of collections. A pool of objects that own and keep them may fit.
    Reallocated {
        /// The share of objects that a reallocation began or ended.
        share: f64,
        /// The largest that may be.
        share_max: f64,
    },
    /// Objects have no bytes.
    Empty,
    /// The trace has lost count of objects that are alive, so that no capacity would be right.
    Uncounted {
        /// Objects that were not counted.
        untracked: u64,
    },
}

/// A pool that would fit.
///
/// If only a sample is in the trace, counts are multiplied accordingly: they are estimates then.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pool {
    /// Which kind.
    pub kind: PoolKind,
    /// Slots at construction.
    pub capacity: u64,
    /// Slots that it never exceeds, if it grows.
    pub max_capacity: Option<u64>,
    /// Slots that it adds when it is full, if it grows.
    pub growth: Option<u64>,
    /// The alignment of slots in bytes.
    pub alignment: u32,
    /// Bytes of slots at construction: what the pool keeps beside them is not in it.
    pub bytes_reserved: u64,
    /// Bytes of slots at most.
    pub bytes_max: u64,
    /// Slots that would have done for 99 of 100 allocations.
    pub capacity_p99: u64,
    /// Slots that would have done for 999 of 1000 allocations.
    pub capacity_p999: u64,
    /// Slots that would have done for all of them.
    pub capacity_peak: u64,
    /// What else to think of.
    pub remarks: Vec<Remark>,
}

/// The pools of the crate `fastalloc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolKind {
    /// `FixedPool`: one thread, never grows.
    Fixed,
    /// `GrowingPool`: one thread, grows.
    Growing,
    /// `ThreadSafePool`: several threads; grows if it is told how.
    ThreadSafe,
}

/// What to think of before using a pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "remark")]
#[non_exhaustive]
pub enum Remark {
    /// The trace does not tell threads apart: if several threads use the objects, it must be a `ThreadSafePool`.
    ThreadsUnknown,
    /// Several threads allocate, but each frees its own: a `ThreadLocalPool` for each would do, and need no
    /// synchronisation.
    ThreadLocal {
        /// How many threads, but no more than 64.
        threads: u32,
    },
    /// Some objects are freed by another thread than allocated them.
    FreedElsewhere {
        /// The share of freed objects.
        share: f64,
    },
    /// No growth: a `LockFreePool` of the same configuration would do, if no thread may ever wait for another.
    LockFree,
    /// The trace has one of so many allocations: all counts are estimates.
    Sampled {
        /// One of so many.
        sampling: u64,
    },
}

/// What to do about each call site, in the order of the report.
///
/// A site has one advice for each size that is frequent there, or if there is a reason against all, one altogether.
/// Only `size` and `alignment` are compared, not types: what else has the same at the same site shares the pool.
#[must_use]
pub fn advise(report: &Report, policy: &Policy) -> Vec<Advice> {
    report.sites.iter().flat_map(|site| advise_site(report, site, policy)).collect()
}

fn advise_site(report: &Report, site: &SiteReport, policy: &Policy) -> Vec<Advice> {
    let total = &site.total;
    let advice =
        |size, alignment, objects, verdict| Advice { site: site.site.clone(), size, alignment, objects, verdict };
    let refuse = |reason| vec![advice(None, None, total.objects, Verdict::DoNotPool(reason))];
    let sampling = report.process.sampling.max(1);
    let objects = total.objects.saturating_mul(sampling);
    if objects < policy.objects_min {
        return refuse(Reason::TooFew { objects, objects_min: policy.objects_min });
    }
    if report.untracked > 0 {
        return refuse(Reason::Uncounted { untracked: report.untracked });
    }
    let reallocated = total.reallocation_share();
    if reallocated > policy.reallocation_share_max {
        return refuse(Reason::Reallocated { share: reallocated, share_max: policy.reallocation_share_max });
    }
    let is_frequent = |class: &&ClassReport| {
        class.size.is_some() && share(class.usage.objects, total.objects) >= policy.class_share_min
    };
    let frequent: Vec<_> = site.classes.iter().filter(is_frequent).collect();
    let frequent_share = share(frequent.iter().map(|class| class.usage.objects).sum(), total.objects);
    if frequent_share < policy.sizes_share_min || frequent.is_empty() {
        let (size_min, size_max) = (total.size_min, total.size_max);
        return refuse(Reason::SizesVary { size_min, size_max, frequent: frequent_share });
    }
    (frequent.into_iter())
        .map(|class| {
            let verdict = advise_class(report, &class.usage, policy);
            advice(class.size, class.alignment, class.usage.objects, verdict)
        })
        .collect()
}

/// Size and alignment of all objects are the same.
fn advise_class(report: &Report, usage: &Usage, policy: &Policy) -> Verdict {
    let sampling = report.process.sampling.max(1);
    let objects = usage.objects.saturating_mul(sampling);
    if objects < policy.objects_min {
        return Verdict::DoNotPool(Reason::TooFew { objects, objects_min: policy.objects_min });
    }
    if usage.size_max == 0 {
        return Verdict::DoNotPool(Reason::Empty);
    }
    if usage.reuse() < policy.reuse_min {
        let (reuse, reuse_min, alive_at_end) = (usage.reuse(), policy.reuse_min, usage.alive_at_end);
        return Verdict::DoNotPool(Reason::LongLived { reuse, reuse_min, alive_at_end });
    }

    let peak = usage.alive_peak.saturating_mul(sampling).max(1);
    let slots = |quantile: u64| {
        // From 100 on they may be too low by 1 %: a capacity had better be too high.
        let quantile = if quantile < 100 { quantile } else { (quantile as f64 * 1.01).ceil() as u64 };
        quantile.saturating_mul(sampling).clamp(1, peak)
    };
    let (p99, p999) = (slots(usage.alive.p99), slots(usage.alive.p999));
    // Also where a float is not exact.
    let limit = ((peak as f64 * policy.headroom.max(1.0)).ceil() as u64).max(peak);
    let grows = peak as f64 > p999 as f64 * policy.steady;
    let is_shared = usage.threads > 1;
    let kind = match (is_shared, grows) {
        (true, _) => PoolKind::ThreadSafe,
        (false, true) => PoolKind::Growing,
        (false, false) => PoolKind::Fixed,
    };
    let capacity = if grows { p99 } else { limit };
    // The peak seldom comes: a few steps lead there, and none of them is much too large.
    let growth = grows.then(|| (limit - capacity).div_ceil(4).max(1));

    let mut remarks = Vec::new();
    if !report.has_threads {
        remarks.push(Remark::ThreadsUnknown);
    }
    if usage.freed_elsewhere > 0 {
        remarks.push(Remark::FreedElsewhere { share: usage.freed_elsewhere_share() });
    } else if is_shared {
        remarks.push(Remark::ThreadLocal { threads: usage.threads });
    }
    if is_shared && !grows {
        remarks.push(Remark::LockFree);
    }
    if sampling > 1 {
        remarks.push(Remark::Sampled { sampling });
    }
    let slot = usage.size_max.checked_next_multiple_of(usage.alignment_max.into()).unwrap_or(u64::MAX);
    Verdict::Pool(Pool {
        kind,
        capacity,
        max_capacity: grows.then_some(limit),
        growth,
        alignment: usage.alignment_max,
        bytes_reserved: slot.saturating_mul(capacity),
        bytes_max: slot.saturating_mul(limit),
        capacity_p99: p99,
        capacity_p999: p999,
        capacity_peak: peak,
        remarks,
    })
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { objects, objects_min } => write!(f, "too few: {objects} objects, not {objects_min}"),
            Self::LongLived { reuse, reuse_min, alive_at_end } => write!(
                f,
                "too long-lived: {reuse:.1} objects would use a slot, not {reuse_min:.1}; {alive_at_end} alive at the end"
            ),
            Self::SizesVary { size_min, size_max, frequent } => write!(
                f,
                "sizes vary from {size_min} to {size_max} bytes; frequent ones have {:.0} % of the objects",
                frequent * 100.0
            ),
            Self::Reallocated { share, .. } => {
                write!(f, "objects grow: {:.0} % of them are reallocated", share * 100.0)
            }
            Self::Empty => f.write_str("objects have no bytes"),
            Self::Uncounted { untracked } => {
                write!(f, "more objects were alive than could be counted: {untracked} were not")
            }
        }
    }
}

impl fmt::Display for PoolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "FixedPool",
            Self::Growing => "GrowingPool",
            Self::ThreadSafe => "ThreadSafePool",
        })
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThreadsUnknown => {
                f.write_str("the trace does not tell threads apart; if several use the objects, take a ThreadSafePool")
            }
            Self::ThreadLocal { threads } => {
                write!(f, "{threads} threads use such objects, but each frees its own; a ThreadLocalPool each would do")
            }
            Self::FreedElsewhere { share } => {
                write!(f, "{:.1} % are freed by another thread than allocated them", share * 100.0)
            }
            Self::LockFree => f.write_str("a LockFreePool would do, if no thread may ever wait for another"),
            Self::Sampled { sampling } => write!(f, "an estimate: one of {sampling} allocations is in the trace"),
        }
    }
}
