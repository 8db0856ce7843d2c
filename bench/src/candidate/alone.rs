//! Pools that threads could share, in the hands of one thread.

use super::{
    Candidate, Kind,
    shared::{Handle, NamedShared},
};
use crate::object::Object;

/// A pool that threads could share, which none do.
pub struct Alone<S>(S);

impl<const WORDS: usize, S: NamedShared<WORDS>> Candidate<WORDS> for Alone<S> {
    const NAME: &'static str = S::NAME;
    const KIND: Kind = S::KIND;

    type Handle<'p>
        = S::Handle<'p>
    where
        S: 'p;

    fn with_capacity(capacity: usize) -> Self {
        Self(S::with_capacity(capacity))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> S::Handle<'_> {
        self.0.allocate(object)
    }

    #[inline(always)]
    fn read(&self, handle: &S::Handle<'_>) -> u64 {
        handle.read()
    }
}
