//! The pools of this repository.

use core::ops::Range;

use fastalloc::{BitmapAllocator, FixedPool, GrowingPool, OwnedHandle, PoolConfig};

use super::{Candidate, InPlace, Kind, Traverse};
use crate::object::{Object, opaque};

macro_rules! candidate {
    ($(#[$attribute:meta])* $candidate:ident($pool:ty) = $name:literal) => {
        $(#[$attribute])*
        pub struct $candidate<const WORDS: usize>($pool);

        impl<const WORDS: usize> Candidate<WORDS> for $candidate<WORDS> {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Ours;

            type Handle<'p> = OwnedHandle<'p, Object<WORDS>>;

            fn with_capacity(capacity: usize) -> Self {
                let config = PoolConfig::builder().capacity(capacity).build().expect("a capacity above 0");
                Self(<$pool>::with_allocator(config, Default::default()).expect("memory for the pool"))
            }

            #[inline(always)]
            fn allocate(&self, object: Object<WORDS>) -> OwnedHandle<'_, Object<WORDS>> {
                self.0.allocate(object).expect("a vacant slot")
            }

            #[inline(always)]
            fn allocate_batch(&self, tags: Range<usize>) -> Vec<Self::Handle<'_>> {
                let objects = tags.map(|tag| Object::new(opaque(tag as u64)));
                self.0.allocate_batch(objects).expect("vacant slots")
            }

            #[inline(always)]
            fn read(&self, handle: &OwnedHandle<'_, Object<WORDS>>) -> u64 {
                handle.read()
            }
        }

        impl<const WORDS: usize> InPlace<WORDS> for $candidate<WORDS> {
            #[inline(always)]
            fn allocate_in_place(&self, tag: u64) -> OwnedHandle<'_, Object<WORDS>> {
                let handle = self.0.allocate_in_place(|slot| Object::build(slot, tag));
                handle.expect("a vacant slot")
            }
        }
    };
}

candidate! {
    /// `FixedPool` with its default allocator, the stack.
    Fixed(FixedPool<Object<WORDS>>) = "FixedPool"
}

candidate! {
    /// `GrowingPool`, made with the capacity that the workload needs.
    Growing(GrowingPool<Object<WORDS>>) = "GrowingPool"
}

candidate! {
    /// `FixedPool` with the bitmap.
    FixedBitmap(FixedPool<Object<WORDS>, BitmapAllocator>) = "FixedPool bitmap"
}

candidate! {
    /// `GrowingPool` with the bitmap.
    GrowingBitmap(GrowingPool<Object<WORDS>, BitmapAllocator>) = "GrowingPool bitmap"
}

macro_rules! sorted {
    ($candidate:ident, $name:literal) => {
        impl<const WORDS: usize> Traverse<WORDS> for $candidate<WORDS> {
            const OWN_WAY: &'static str = $name;

            fn arrange(handles: &mut [Self::Handle<'_>]) {
                handles.sort_unstable_by_key(OwnedHandle::index);
            }

            #[inline(always)]
            fn sum(&self, handles: &[Self::Handle<'_>]) -> u64 {
                handles.iter().fold(0, |sum, handle| sum.wrapping_add(self.read(handle)))
            }
        }
    };
}

sorted!(FixedBitmap, "FixedPool bitmap, sorted");
sorted!(GrowingBitmap, "GrowingPool bitmap, sorted");
