//! A depot without a lock: sets of vacant slots, one bit each.
//!
//! A bit says that a slot is vacant, not which one is next, so a thread that was stopped between looking
//! and changing does no harm, however often the slot was taken and released meanwhile: the ABA problem
//! does not arise.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use super::line::Taken;
use super::magazine::Batch;
use super::{Counts, Depot, Head};
use crate::chunk::{Chunks, Geometry, Header};
use crate::config::PoolConfig;
use crate::error::{Error, Result};
use crate::poolable::Poolable;
use crate::raw::Scrub;
use crate::raw::local::{self, Maker};
use crate::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use crate::sync::atomic::{AtomicIsize, AtomicUsize};

/// Memory of a fixed size, and which of its slots are vacant.
#[expect(missing_debug_implementations, reason = "users cannot name it")]
pub struct LockFree<T> {
    /// Do not change any more.
    chunks: Chunks,
    geometry: Geometry,
    capacity: usize,
    maker: Option<Maker<T>>,
    scrub: Scrub,
    /// Vacant slots without an object.
    empty: Slots,
    /// Vacant slots with an object that the pool keeps.
    kept: Slots,
}

impl<T> LockFree<T> {
    fn slot(&self, index: usize) -> NonNull<u8> {
        // SAFETY: indices in the sets are below the capacity, all chunks are open, and were made for values of `T`.
        unsafe { self.chunks.opened_slot::<T>(index) }.cast()
    }

    fn index(&self, slot: NonNull<u8>) -> usize {
        // SAFETY: the slot is one of this pool.
        let header = unsafe { Header::beside(slot, Layout::new::<T>()) };
        header.first_index + self.geometry.position_for(header, slot.addr().get(), Layout::new::<T>())
    }

    fn set(&self, with_object: bool) -> &Slots {
        if with_object { &self.kept } else { &self.empty }
    }
}

// SAFETY: the chunks do not change; a slot belongs to whoever took it out of the sets; functions of a configuration
// are `Sync`.
unsafe impl<T: Poolable> Depot<T> for LockFree<T> {
    const WAITS: bool = false;

    fn create(config: PoolConfig<T>, head: NonNull<Head>) -> Result<Self> {
        let (capacity, scrub) = (config.capacity, config.scrub);
        let geometry = Geometry::new::<T>(config.alignment)?;
        let maker = Maker::new(config.initialization_strategy);
        let mut chunks = Chunks::new(geometry.clone());
        chunks.set_head(head.cast(), Layout::new::<Counts>());
        chunks.add(capacity, true, capacity)?;
        chunks.open_all();
        let empty = Slots::new(capacity)?;
        let kept = Slots::new(if maker.is_some() { capacity } else { 0 })?;
        empty.fill(capacity);
        Ok(Self { chunks, geometry, capacity, maker, scrub, empty, kept })
    }

    fn maker(&self) -> Option<&Maker<T>> {
        self.maker.as_ref()
    }

    fn vacant(&self) -> usize {
        self.empty.len() + self.kept.len()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn bytes(&self) -> usize {
        self.chunks.bytes()
    }

    fn take(&self, batch: &mut Batch, wanted: usize) {
        self.set(self.maker.is_some()).take(wanted, |index| batch.push(self.slot(index)));
    }

    fn take_one(&self, with_object: bool) -> Option<Taken> {
        let take = |with_object| {
            let mut taken = None;
            self.set(with_object).take(1, |index| taken = Some((self.slot(index), with_object)));
            taken
        };
        take(with_object).or_else(|| take(!with_object))
    }

    fn take_all(&self, wanted: usize, taken: &mut Vec<Taken>) -> bool {
        if self.vacant() < wanted {
            return false;
        }
        for with_object in [false, true] {
            let missing = wanted - taken.len();
            self.set(with_object).take(missing, |index| taken.push((self.slot(index), with_object)));
        }
        let enough = taken.len() == wanted;
        if !enough {
            taken.drain(..).for_each(|(slot, has_object)| self.give(&[slot], has_object));
        }
        enough
    }

    fn take_empty(&self) -> Option<NonNull<u8>> {
        let mut taken = None;
        self.empty.take(1, |index| taken = Some(self.slot(index)));
        taken
    }

    fn give(&self, slots: &[NonNull<u8>], with_object: bool) {
        self.set(with_object).put(slots.iter().map(|&slot| self.index(slot)));
    }

    fn renew(&self, _: NonNull<u8>) {}

    fn step(&self) -> usize {
        0
    }

    fn grow(&self, needed: usize, _: usize) -> Result<()> {
        let vacant = self.vacant();
        if vacant >= needed {
            return Ok(());
        }
        Err(Error::PoolExhausted { capacity: self.capacity, allocated: self.capacity - vacant })
    }

    #[cfg(feature = "stats")]
    fn growths(&self) -> u64 {
        0
    }

    fn make_counts(&self, header: &Header) -> Result<()> {
        self.chunks.share(header)
    }
}

impl<T> Drop for LockFree<T> {
    fn drop(&mut self) {
        let mut kept = core::iter::from_fn(|| {
            let mut object = None;
            self.kept.take(1, |index| object = Some(self.slot(index).cast::<T>()));
            object
        });
        // SAFETY: these slots hold objects that the pool kept, and it is gone.
        unsafe { local::destroy(&mut kept, self.scrub) };
    }
}

const BITS: usize = usize::BITS as usize;

/// A set of indices that threads take from and add to at the same time.
struct Slots {
    words: Box<[AtomicUsize]>,
    /// A bit for each word; set if the word is not 0, as far as is known: see `take`.
    summary: Box<[AtomicUsize]>,
    /// Indices in the set. Counted after they were added, and after they were taken: below 0 if others
    /// take them before they are counted.
    len: AtomicIsize,
}

impl Slots {
    fn new(capacity: usize) -> Result<Self> {
        let words = capacity.div_ceil(BITS);
        Ok(Self { words: zeros(words)?, summary: zeros(words.div_ceil(BITS))?, len: AtomicIsize::new(0) })
    }

    /// Adds the indices below `end` to an empty set.
    fn fill(&self, end: usize) {
        let fill = |words: &[AtomicUsize], end: usize| {
            for (word, start) in words.iter().zip((0..end).step_by(BITS)) {
                word.store(lowest(end - start), Relaxed);
            }
        };
        fill(&self.words, end);
        fill(&self.summary, end.div_ceil(BITS));
        self.len.store(end as isize, Relaxed);
    }

    fn len(&self) -> usize {
        usize::try_from(self.len.load(SeqCst)).unwrap_or(0)
    }

    /// Takes up to `wanted` indices, lowest first: fewer only if there are not more.
    fn take(&self, wanted: usize, mut each: impl FnMut(usize)) {
        let mut missing = wanted;
        if self.len() == 0 {
            return;
        }
        for (number, summary) in self.summary.iter().enumerate() {
            while missing > 0 {
                let bits = summary.load(Acquire);
                if bits == 0 {
                    break;
                }
                let word = number * BITS + bits.trailing_zeros() as usize;
                if self.take_from(word, &mut missing, &mut each) {
                    continue;
                }
                // The word is 0. Who adds to it sets the word's bit first, then the summary's, so it must be
                // looked at once more.
                let bit = 1 << (word % BITS);
                summary.fetch_and(!bit, SeqCst);
                if self.words[word].load(SeqCst) != 0 {
                    summary.fetch_or(bit, SeqCst);
                }
            }
        }
        if missing == wanted {
            // A thread may have been stopped before it could look once more.
            for word in 0..self.words.len() {
                if missing > 0 {
                    self.take_from(word, &mut missing, &mut each);
                }
            }
        }
    }

    /// Takes indices of a word; `false` if there are none.
    fn take_from(&self, word: usize, missing: &mut usize, each: &mut impl FnMut(usize)) -> bool {
        loop {
            let bits = self.words[word].load(Acquire);
            if bits == 0 {
                return false;
            }
            let wanted = lowest_set(bits, *missing);
            // What another thread took meanwhile is not among those that this one took.
            let mut taken = self.words[word].fetch_and(!wanted, SeqCst) & wanted;
            if taken == 0 {
                continue;
            }
            self.len.fetch_sub(taken.count_ones() as isize, SeqCst);
            *missing -= taken.count_ones() as usize;
            while taken != 0 {
                each(word * BITS + taken.trailing_zeros() as usize);
                taken &= taken - 1;
            }
            return true;
        }
    }

    /// Adds indices, which are cheapest if those of a word follow each other.
    fn put(&self, indices: impl Iterator<Item = usize>) {
        let mut indices = indices.peekable();
        let mut added = 0;
        while let Some(index) = indices.next() {
            let word = index / BITS;
            let mut bits = 1 << (index % BITS);
            while let Some(next) = indices.next_if(|next| next / BITS == word) {
                bits |= 1 << (next % BITS);
            }
            let before = self.words[word].fetch_or(bits, SeqCst);
            debug_assert!(before & bits == 0, "double release of slots {:#x} from {}", before & bits, word * BITS);
            added += bits.count_ones() as isize;
            let (summary, bit) = (&self.summary[word / BITS], 1 << (word % BITS));
            if summary.load(SeqCst) & bit == 0 {
                summary.fetch_or(bit, SeqCst);
            }
        }
        self.len.fetch_add(added, SeqCst);
    }
}

fn zeros(len: usize) -> Result<Box<[AtomicUsize]>> {
    let mut words = Vec::new();
    let out_of_memory = |_| Error::OutOfMemory { bytes: len.saturating_mul(size_of::<usize>()) };
    words.try_reserve_exact(len).map_err(out_of_memory)?;
    words.extend(core::iter::repeat_with(|| AtomicUsize::new(0)).take(len));
    Ok(words.into_boxed_slice())
}

/// The lowest bits, so many of them.
fn lowest(count: usize) -> usize {
    if count >= BITS { usize::MAX } else { (1 << count) - 1 }
}

/// The lowest bits of those that are set, at most so many of them.
fn lowest_set(bits: usize, count: usize) -> usize {
    let mut rest = bits;
    for _ in 0..count {
        rest &= rest.wrapping_sub(1);
    }
    bits & !rest
}
