//! Pools whose objects must be released by hand.

use core::cell::UnsafeCell;

use slotmap::DefaultKey;

use super::{Candidate, Kind, Traverse};
use crate::object::Object;

/// `slab`: a key into a vector.
///
/// Its methods take `&mut self`; here they are reached through a cell without any check, so that
/// it does not pay for being behind a shared reference as the others are.
pub struct Slab<const WORDS: usize>(UnsafeCell<slab::Slab<Object<WORDS>>>);

impl<const WORDS: usize> Candidate<WORDS> for Slab<WORDS> {
    const NAME: &'static str = "slab";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = usize;

    fn with_capacity(capacity: usize) -> Self {
        Self(UnsafeCell::new(slab::Slab::with_capacity(capacity)))
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> usize {
        // SAFETY: the cell is not `Sync`, and no reference into it leaves a method of this trait.
        let slab = unsafe { &mut *self.0.get() };
        slab.insert(object)
    }

    #[inline(always)]
    fn read(&self, handle: &usize) -> u64 {
        // SAFETY: as in `allocate`.
        let slab = unsafe { &*self.0.get() };
        slab[*handle].read()
    }

    #[inline(always)]
    fn release(&self, handle: usize) {
        // SAFETY: as in `allocate`.
        let slab = unsafe { &mut *self.0.get() };
        slab.remove(handle);
    }
}

impl<const WORDS: usize> Traverse<WORDS> for Slab<WORDS> {
    const OWN_WAY: &'static str = "slab iter";

    #[inline(always)]
    fn sum(&self, _handles: &[Self::Handle<'_>]) -> u64 {
        // SAFETY: as in `allocate`.
        let slab = unsafe { &*self.0.get() };
        slab.iter().fold(0, |sum, (_, object)| sum.wrapping_add(object.read()))
    }
}

macro_rules! slot_map {
    ($(#[$attribute:meta])* $candidate:ident($map:ident) = $name:literal, $own_way:literal) => {
        $(#[$attribute])*
        ///
        /// Reached through a cell, as [`Slab`] is.
        pub struct $candidate<const WORDS: usize>(UnsafeCell<slotmap::$map<DefaultKey, Object<WORDS>>>);

        impl<const WORDS: usize> Candidate<WORDS> for $candidate<WORDS> {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Keys;

            type Handle<'p> = DefaultKey;

            fn with_capacity(capacity: usize) -> Self {
                Self(UnsafeCell::new(slotmap::$map::with_capacity(capacity)))
            }

            #[inline(always)]
            fn allocate(&self, object: Object<WORDS>) -> DefaultKey {
                // SAFETY: the cell is not `Sync`, and no reference into it leaves a method of this trait.
                let map = unsafe { &mut *self.0.get() };
                map.insert(object)
            }

            #[inline(always)]
            fn read(&self, handle: &DefaultKey) -> u64 {
                // SAFETY: as in `allocate`.
                let map = unsafe { &*self.0.get() };
                map[*handle].read()
            }

            #[inline(always)]
            fn release(&self, handle: DefaultKey) {
                // SAFETY: as in `allocate`.
                let map = unsafe { &mut *self.0.get() };
                map.remove(handle);
            }
        }

        impl<const WORDS: usize> Traverse<WORDS> for $candidate<WORDS> {
            const OWN_WAY: &'static str = $own_way;

            #[inline(always)]
            fn sum(&self, _handles: &[Self::Handle<'_>]) -> u64 {
                // SAFETY: as in `allocate`.
                let map = unsafe { &*self.0.get() };
                map.values().fold(0, |sum, object| sum.wrapping_add(object.read()))
            }
        }
    };
}

slot_map! {
    /// `slotmap`: a key into a vector, with the version of what it stands for.
    SlotMap(SlotMap) = "slotmap", "slotmap iter"
}

slot_map! {
    /// `slotmap`'s map that moves its objects so that there are no gaps.
    DenseSlotMap(DenseSlotMap) = "slotmap Dense", "slotmap Dense iter"
}

/// `nexus-slab`, bounded: a pointer, from a pool with an unsafe constructor.
pub struct NexusSlab<const WORDS: usize>(nexus_slab::bounded::Slab<Object<WORDS>>);

impl<const WORDS: usize> Candidate<WORDS> for NexusSlab<WORDS> {
    const NAME: &'static str = "nexus-slab";
    const KIND: Kind = Kind::Keys;

    type Handle<'p> = nexus_slab::Slot<Object<WORDS>>;

    fn with_capacity(capacity: usize) -> Self {
        // SAFETY: the workloads release every object, to the pool that it came from, on one
        // thread.
        Self(unsafe { nexus_slab::bounded::Slab::with_capacity(capacity) })
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> nexus_slab::Slot<Object<WORDS>> {
        self.0.alloc(object)
    }

    #[inline(always)]
    fn read(&self, handle: &nexus_slab::Slot<Object<WORDS>>) -> u64 {
        handle.read()
    }

    #[inline(always)]
    fn release(&self, handle: nexus_slab::Slot<Object<WORDS>>) {
        self.0.free(handle);
    }
}
