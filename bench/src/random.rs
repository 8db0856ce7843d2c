//! Random indices, the same for every candidate, at the cost of two multiplications.

/// A linear congruential generator (Knuth's MMIX constants) of which the high bits are used.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns an index below `bound`, which has at most 32 bits.
    #[inline(always)]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * bound as u64) >> 32) as usize
    }

    /// Moves `count` random items to the end, in random order (Fisher and Yates).
    pub(crate) fn shuffle_tail<T>(&mut self, items: &mut [T], count: usize) {
        for end in (items.len() - count..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}
