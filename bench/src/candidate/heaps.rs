//! General heaps, each called through its own `GlobalAlloc`, all in one process.

use core::{
    alloc::{GlobalAlloc, Layout},
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref,
    ptr::NonNull,
};
use std::alloc::handle_alloc_error;

use super::{Candidate, InPlace, Kind, Traverse};
use crate::object::Object;

/// A heap that is known by its type alone.
pub trait Heap: Send + Sync {
    /// As it is called in the tables.
    const NAME: &'static str;

    /// The same, where the boxes are sorted by their addresses.
    const SORTED: &'static str;

    /// Its way to be a program's global allocator.
    type Allocator: GlobalAlloc;

    /// The heap.
    const ALLOCATOR: Self::Allocator;
}

/// The C library's.
pub enum System {}

impl Heap for System {
    const NAME: &'static str = "Box glibc";
    const SORTED: &'static str = "Box glibc, sorted";
    type Allocator = std::alloc::System;
    const ALLOCATOR: Self::Allocator = std::alloc::System;
}

/// Microsoft's mimalloc.
pub enum Mimalloc {}

impl Heap for Mimalloc {
    const NAME: &'static str = "Box mimalloc";
    const SORTED: &'static str = "Box mimalloc, sorted";
    type Allocator = mimalloc::MiMalloc;
    const ALLOCATOR: Self::Allocator = mimalloc::MiMalloc;
}

/// jemalloc.
pub enum Jemalloc {}

impl Heap for Jemalloc {
    const NAME: &'static str = "Box jemalloc";
    const SORTED: &'static str = "Box jemalloc, sorted";
    type Allocator = tikv_jemallocator::Jemalloc;
    const ALLOCATOR: Self::Allocator = tikv_jemallocator::Jemalloc;
}

/// Microsoft's snmalloc.
#[cfg(feature = "snmalloc")]
pub enum Snmalloc {}

#[cfg(feature = "snmalloc")]
impl Heap for Snmalloc {
    const NAME: &'static str = "Box snmalloc";
    const SORTED: &'static str = "Box snmalloc, sorted";
    type Allocator = snmalloc_rs::SnMalloc;
    const ALLOCATOR: Self::Allocator = snmalloc_rs::SnMalloc;
}

/// What `Box` would be if the heap `H` were the global allocator.
pub struct HeapBox<H: Heap, T> {
    /// From `H`, initialized, and no other box's.
    object: NonNull<T>,
    heap: PhantomData<H>,
}

// SAFETY: the box owns the object, and all heaps here free on any thread what another one allocated.
unsafe impl<H: Heap, T: Send> Send for HeapBox<H, T> {}

impl<H: Heap, T> HeapBox<H, T> {
    #[inline(always)]
    pub(super) fn new(object: T) -> Self {
        Self::build(|slot| slot.write(object))
    }

    /// Like `Box::new_uninit` and then `assume_init`.
    #[inline(always)]
    pub(super) fn build(build: impl FnOnce(&mut MaybeUninit<T>) -> &mut T) -> Self {
        const { assert!(size_of::<T>() > 0, "a heap gives no memory of 0 bytes") };
        let layout = Layout::new::<T>();
        // SAFETY: the size is not 0.
        let slot = unsafe { H::ALLOCATOR.alloc(layout) };
        let Some(slot) = NonNull::new(slot.cast::<MaybeUninit<T>>()) else { handle_alloc_error(layout) };
        // SAFETY: the memory is fresh from the heap, with the layout of a `T`.
        let slot = unsafe { &mut *slot.as_ptr() };
        Self { object: NonNull::from(build(slot)), heap: PhantomData }
    }
}

impl<H: Heap, T> Deref for HeapBox<H, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the object is initialized until `drop`, and this box is its only owner.
        unsafe { self.object.as_ref() }
    }
}

impl<H: Heap, T> Drop for HeapBox<H, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the object is initialized, and nobody reads it after this.
        unsafe { self.object.drop_in_place() };
        // SAFETY: `new` allocated the memory from this heap with this layout.
        unsafe { H::ALLOCATOR.dealloc(self.object.as_ptr().cast(), Layout::new::<T>()) };
    }
}

/// A heap as a candidate.
pub struct Boxed<H>(PhantomData<H>);

impl<H> Default for Boxed<H> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<const WORDS: usize, H: Heap> Candidate<WORDS> for Boxed<H> {
    const NAME: &'static str = H::NAME;
    const KIND: Kind = Kind::Heap;

    type Handle<'p>
        = HeapBox<H, Object<WORDS>>
    where
        H: 'p;

    fn with_capacity(_capacity: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> HeapBox<H, Object<WORDS>> {
        HeapBox::new(object)
    }

    #[inline(always)]
    fn read(&self, handle: &HeapBox<H, Object<WORDS>>) -> u64 {
        Object::read(handle)
    }
}

impl<const WORDS: usize, H: Heap + 'static> Traverse<WORDS> for Boxed<H> {
    const OWN_WAY: &'static str = H::SORTED;

    fn arrange(handles: &mut [Self::Handle<'_>]) {
        handles.sort_unstable_by_key(|handle| core::ptr::from_ref::<Object<WORDS>>(handle).addr());
    }

    #[inline(always)]
    fn sum(&self, handles: &[Self::Handle<'_>]) -> u64 {
        handles.iter().fold(0, |sum, handle| sum.wrapping_add(self.read(handle)))
    }
}

impl<const WORDS: usize, H: Heap> InPlace<WORDS> for Boxed<H> {
    #[inline(always)]
    fn allocate_in_place(&self, tag: u64) -> HeapBox<H, Object<WORDS>> {
        HeapBox::build(|slot| Object::build(slot, tag))
    }
}
