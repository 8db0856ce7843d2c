//! How pools would have done with other capacities.

/// How a pool would have done, for every capacity, from one pass over its objects.
///
/// Each object took the lowest vacant place. Those below `n` then are taken and given back as if there were no others,
/// so that the objects at them are those that a pool of `n` slots has room for, whatever becomes of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WhatIf {
    /// How many objects were at each place.
    objects: Vec<u64>,
}

/// How a growing pool adds slots when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrowthStep {
    /// So many, at least 1.
    Linear(u64),
    /// As many as it has.
    Double,
}

/// What growth there would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Grown {
    /// How many times the pool would have grown.
    pub steps: u64,
    /// How many slots it would have in the end.
    pub capacity: u64,
}

impl WhatIf {
    /// Counts an object at a place.
    pub(crate) fn add(&mut self, place: u32) {
        let index = place as usize;
        if self.objects.len() <= index {
            self.objects.resize(index + 1, 0);
        }
        self.objects[index] += 1;
    }

    /// How many objects there were.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects.iter().sum()
    }

    /// How many objects were at a place: the share of the work that the slot would do.
    #[must_use]
    pub fn objects_at(&self, place: usize) -> u64 {
        self.objects.get(place).copied().unwrap_or(0)
    }

    /// How many objects were alive at once: with that capacity, no allocation fails.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.objects.len() as u64
    }

    /// How many allocations would have failed in a pool of so many slots that never grows. Who is refused is elsewhere
    /// then, and takes no slot later. *O*(peak).
    #[must_use]
    pub fn failures(&self, capacity: u64) -> u64 {
        self.objects.iter().skip(usize::try_from(capacity).unwrap_or(usize::MAX)).sum()
    }

    /// How a pool of so many slots would have grown that never has more than `capacity_max`. *O*(1), or *O*(log) if it
    /// doubles.
    #[must_use]
    pub fn growth(&self, capacity: u64, step: GrowthStep, capacity_max: u64) -> Grown {
        let needed = self.peak().min(capacity_max);
        if capacity >= needed {
            return Grown { steps: 0, capacity };
        }
        match step {
            GrowthStep::Linear(amount) => {
                let amount = amount.max(1);
                let steps = (needed - capacity).div_ceil(amount);
                let grown = capacity.saturating_add(steps.saturating_mul(amount));
                Grown { steps, capacity: grown.min(capacity_max) }
            }
            GrowthStep::Double => {
                let (mut steps, mut grown) = (0, capacity.max(1));
                while grown < needed {
                    grown = grown.saturating_mul(2).min(capacity_max);
                    steps += 1;
                }
                Grown { steps, capacity: grown }
            }
        }
    }
}
