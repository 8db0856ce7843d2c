//! How long an operation waits for threads that may have been stopped.

#[cfg(not(fastalloc_loom))]
use core::time::Duration;
#[cfg(not(fastalloc_loom))]
use std::time::Instant;

use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::yield_now;

/// So often a thread lets others run before it sleeps.
const YIELDS: usize = 100;

/// Enough for a thread that was interrupted to be its turn again, on a machine with much to do.
#[cfg(not(fastalloc_loom))]
const LONGEST: Duration = Duration::from_millis(200);

#[cfg(not(fastalloc_loom))]
const NAP: Duration = Duration::from_micros(50);

/// The waiting of one operation. Without an end, or until so long has been waited in all that it is not to be expected
/// that the others come back: half as long each time that this was in vain.
pub(super) struct Patience<'core> {
    tries: usize,
    /// How often waiting has been in vain since it last was not; `None` if it is to have no end.
    vain: Option<&'core AtomicUsize>,
    #[cfg(not(fastalloc_loom))]
    end: Option<Instant>,
}

impl<'core> Patience<'core> {
    pub(super) fn new(vain: Option<&'core AtomicUsize>) -> Self {
        #[cfg(not(fastalloc_loom))]
        return Self { tries: 0, vain, end: None };
        #[cfg(fastalloc_loom)]
        return Self { tries: 0, vain };
    }

    /// Waits a moment for another thread; `false` if there is no point in it any more.
    pub(super) fn wait(&mut self) -> bool {
        self.tries += 1;
        if self.tries <= YIELDS {
            yield_now();
            return true;
        }
        #[cfg(fastalloc_loom)]
        {
            yield_now();
            self.vain.is_none() || self.tries <= 10 * YIELDS
        }
        #[cfg(not(fastalloc_loom))]
        {
            let Some(vain) = self.vain else {
                std::thread::sleep(NAP);
                return true;
            };
            let now = Instant::now();
            let end = *self.end.get_or_insert_with(|| now + LONGEST / (1 << vain.load(Relaxed).min(16)));
            if now >= end {
                vain.fetch_add(1, Relaxed);
                return false;
            }
            std::thread::sleep(NAP);
            true
        }
    }

    /// The same, but the first time there is no need to wait.
    pub(super) fn try_again(&mut self) -> bool {
        if self.tries > 0 {
            return self.wait();
        }
        self.tries = 1;
        true
    }

    /// Waits until something has happened. Returns whether it has.
    pub(super) fn wait_until(&mut self, mut happened: impl FnMut() -> bool) -> bool {
        while !happened() {
            if !self.wait() {
                return false;
            }
        }
        true
    }

    /// Nobody has to be waited for: who was stopped is back.
    pub(super) fn was_rewarded(&self) {
        if let Some(vain) = self.vain {
            if vain.load(Relaxed) > 0 {
                vain.store(0, Relaxed);
            }
        }
    }
}

#[cfg(all(test, not(fastalloc_loom)))]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_becomes_less() {
        let vain = AtomicUsize::new(0);
        for times in 1..=20 {
            assert!(!Patience::new(Some(&vain)).wait_until(|| false));
            assert_eq!(vain.load(Relaxed), times);
        }
        // Less than a millisecond by now.
        let mut patience = Patience::new(Some(&vain));
        assert!(patience.wait_until(|| true));
        patience.was_rewarded();
        assert_eq!(vain.load(Relaxed), 0);
    }

    #[test]
    fn patience_without_an_end_waits() {
        let mut count = 0;
        assert!(Patience::new(None).wait_until(|| {
            count += 1;
            count > 3 * YIELDS
        }));
    }
}
