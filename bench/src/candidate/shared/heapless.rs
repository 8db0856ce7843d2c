//! `heapless`, whose pools are globals of one type each.

use core::any::Any;
use std::sync::Mutex;

use heapless::pool::boxed::{BoxBlock, BoxPool, BoxPoolImpl};

use super::{Handle, Kind, NamedShared};
use crate::object::Object;

/// `heapless`'s pool of boxes: a stack of free blocks (Treiber, 1986) that is a global.
///
/// What a section gives it stays its own, for the sections after it.
pub struct Heapless<const WORDS: usize>;

/// The global of the objects of one size.
struct Global<const WORDS: usize> {
    pool: BoxPoolImpl<Object<WORDS>>,
    /// How many blocks were given to the pool.
    blocks: Mutex<usize>,
}

impl<const WORDS: usize> Global<WORDS> {
    const fn new() -> Self {
        Self { pool: BoxPoolImpl::new(), blocks: Mutex::new(0) }
    }

    /// Returns the global, by way of `Any` because there are no generic ones.
    #[inline(always)]
    fn get() -> &'static Self {
        static WORD: Global<1> = Global::new();
        static LINE: Global<8> = Global::new();
        static PAGE: Global<512> = Global::new();
        let globals: [&'static dyn Any; 3] = [&WORD, &LINE, &PAGE];
        globals.into_iter().find_map(|global| global.downcast_ref()).expect("objects of 1, 8 or 512 words")
    }
}

/// Names the pool of one size for `heapless`.
struct Singleton<const WORDS: usize>;

impl<const WORDS: usize> BoxPool for Singleton<WORDS> {
    type Data = Object<WORDS>;

    #[inline(always)]
    fn singleton() -> &'static BoxPoolImpl<Object<WORDS>> {
        &Global::get().pool
    }
}

impl<const WORDS: usize> NamedShared<WORDS> for Heapless<WORDS> {
    const NAME: &'static str = "heapless box_pool";
    const KIND: Kind = Kind::Handles;

    type Handle<'p> = HeaplessHandle<WORDS>;

    fn with_capacity(capacity: usize) -> Self {
        let mut blocks = Global::<WORDS>::get().blocks.lock().expect("no panic");
        let missing = capacity.saturating_sub(*blocks);
        let fresh: Vec<BoxBlock<Object<WORDS>>> = (0..missing).map(|_| BoxBlock::new()).collect();
        // Pushed from the last to the first: the first one is on top.
        fresh.leak().iter_mut().rev().for_each(Singleton::manage);
        *blocks += missing;
        Self
    }

    #[inline(always)]
    fn allocate(&self, object: Object<WORDS>) -> HeaplessHandle<WORDS> {
        HeaplessHandle(Singleton::alloc(object).expect("a vacant block"))
    }
}

pub struct HeaplessHandle<const WORDS: usize>(heapless::pool::boxed::Box<Singleton<WORDS>>);

impl<const WORDS: usize> Handle for HeaplessHandle<WORDS> {
    #[inline(always)]
    fn read(&self) -> u64 {
        self.0.read()
    }
}
