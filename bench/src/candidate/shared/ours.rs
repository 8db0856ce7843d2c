//! The pools of this repository that threads share.

use fastalloc::{LockFreePool, ThreadSafePool};

use super::{Handle, Kind, Shared, Smart};
use crate::object::Object;

macro_rules! candidate {
    ($(#[$attribute:meta])* $candidate:ident($pool:ident) = $name:literal) => {
        $(#[$attribute])*
        pub struct $candidate<const WORDS: usize>($pool<Object<WORDS>>);

        impl<const WORDS: usize> Shared<WORDS> for $candidate<WORDS> {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Ours;

            fn with_capacity(capacity: usize) -> Self {
                Self($pool::new(capacity).expect("memory for the pool"))
            }

            #[inline(always)]
            fn allocate(&self, object: Object<WORDS>) -> impl Handle + Send {
                Smart(self.0.allocate(object).expect("a vacant slot"))
            }
        }
    };
}

candidate! {
    /// `ThreadSafePool`, which does not grow.
    ThreadSafe(ThreadSafePool) = "ThreadSafePool"
}

candidate! {
    /// `LockFreePool`.
    LockFree(LockFreePool) = "LockFreePool"
}
