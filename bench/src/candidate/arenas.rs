//! Arenas: their objects are released all at once, with the arena.

use super::{Candidate, Kind};
use crate::object::Object;

/// `bumpalo`: a pointer that moves through chunks.
pub struct Bumpalo(bumpalo::Bump);

impl<const WORDS: usize> Candidate<WORDS> for Bumpalo {
    const NAME: &'static str = "bumpalo";
    const KIND: Kind = Kind::Arena;

    type Handle<'p> = &'p Object<WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(bumpalo::Bump::with_capacity(capacity * size_of::<Object<WORDS>>()))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> &Object<WORDS> {
        self.0.alloc(object)
    }

    #[inline(always)]
    fn read(&self, handle: &&Object<WORDS>) -> u64 {
        handle.read()
    }
}

/// `typed-arena`: vectors that are never moved.
pub struct TypedArena<const WORDS: usize>(typed_arena::Arena<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for TypedArena<WORDS> {
    const NAME: &'static str = "typed-arena";
    const KIND: Kind = Kind::Arena;

    type Handle<'p> = &'p Object<WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        Self(typed_arena::Arena::with_capacity(capacity))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> &Object<WORDS> {
        self.0.alloc(object)
    }

    #[inline(always)]
    fn read(&self, handle: &&Object<WORDS>) -> u64 {
        handle.read()
    }
}
