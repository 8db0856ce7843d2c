//! What is allocated.

use core::mem::MaybeUninit;

pub use self::black_box::opaque;
pub(crate) use self::black_box::opaque_memory;

/// An object of `WORDS` times 8 bytes, all words of which hold its tag.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Object<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Object<WORDS> {
    /// Returns an object with this tag.
    #[inline(always)]
    pub fn new(tag: u64) -> Self {
        Self([tag; WORDS])
    }

    /// Builds an object where it is to stay.
    #[inline(always)]
    pub fn build(slot: &mut MaybeUninit<Self>, tag: u64) -> &mut Self {
        let words = slot.as_mut_ptr().cast::<u64>();
        for index in 0..WORDS {
            // SAFETY: the object is `WORDS` words, so `index` is inside of it.
            let word = unsafe { words.add(index) };
            // SAFETY: the slot is exclusively borrowed and as aligned as a word.
            unsafe { word.write(tag) };
        }
        // SAFETY: every word has been written.
        unsafe { slot.assume_init_mut() }
    }

    /// Writes a new tag over an object that stays where it is.
    #[inline(always)]
    pub fn rebuild(&mut self, tag: u64) {
        self.0.fill(tag);
    }

    /// Returns the tag, read from memory. Builds with debug assertions look at every word.
    #[inline(always)]
    pub fn read(&self) -> u64 {
        opaque_memory(self);
        let words = &self.0;
        debug_assert!(words.iter().all(|word| *word == words[0]), "a torn object");
        words[0]
    }
}

impl<const WORDS: usize> fastalloc::Poolable for Object<WORDS> {}

impl<const WORDS: usize> published::Poolable for Object<WORDS> {}

/// `core::hint::black_box` stores what it is given and loads it again, four instructions of each
/// iteration. These two cost none.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod black_box {
    use core::arch::asm;

    /// Returns `value`, which the compiler must take for another one.
    #[inline(always)]
    pub fn opaque(mut value: u64) -> u64 {
        // SAFETY: there is no instruction, so the register keeps what it holds.
        unsafe { asm!("/* {} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    /// Makes the compiler write what it has not yet written, to `object` and to all other memory
    /// that is not private to the caller, and forget what it knows of it.
    #[inline(always)]
    pub(crate) fn opaque_memory<T: ?Sized>(object: &T) {
        let object = core::ptr::from_ref(object).cast::<u8>();
        // SAFETY: there is no instruction, so no memory is touched.
        unsafe { asm!("/* {} */", in(reg) object, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod black_box {
    pub use core::hint::black_box as opaque;

    #[inline(always)]
    pub(crate) fn opaque_memory<T: ?Sized>(object: &T) {
        core::hint::black_box(object);
    }
}
