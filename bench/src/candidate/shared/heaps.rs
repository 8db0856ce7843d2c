//! General heaps: all of them serve every thread.

use super::{Boxed, Handle, Kind, Shared, Smart};
use crate::{
    candidate::heaps::{Heap, HeapBox},
    object::Object,
};

impl<const WORDS: usize, H: Heap> Shared<WORDS> for Boxed<H> {
    const NAME: &'static str = H::NAME;
    const KIND: Kind = Kind::Heap;

    fn with_capacity(_capacity: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send {
        Smart(HeapBox::<H, _>::new(object))
    }
}
