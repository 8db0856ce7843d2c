//! Taking a slot, or else a place in the line.

use alloc::sync::Arc;
use core::mem;
use core::task::{Context, Poll};

use super::line::{State, Waiter};
use super::{Defer, Depot, Shared, SharedVacancy, wake};
use crate::error::{Error, Result};
use crate::poolable::Poolable;
use crate::raw::Place;
use crate::sync::atomic::Ordering::{AcqRel, SeqCst};

/// A place in the line for a vacant slot. Dropped, it is left, and what was handed out is handed on.
pub(crate) struct Waiting<'core, T: Poolable, D: Depot<T>> {
    core: &'core Shared<T, D>,
    ticket: u64,
    waiter: Arc<Waiter>,
    with_object: bool,
    place: Place,
    /// All magazines were flushed, else the waiter must see to it.
    flushed: bool,
}

impl<T: Poolable, D: Depot<T>> Shared<T, D> {
    /// Takes a slot if there is one and nobody waits for it, else a place in the line.
    pub(crate) fn take_or_wait(
        &self,
        with_object: bool,
        place: Place,
    ) -> Result<Result<SharedVacancy<'_, T, D>, Waiting<'_, T, D>>> {
        let taken = match self.head.pop(with_object) {
            Some(slot) => Ok((slot, with_object)),
            None if with_object && !self.head.keeps => Err(Error::NO_INITIALIZER),
            None => self.take(with_object, place),
        };
        match taken {
            Ok(taken) => Ok(Ok(self.vacancy_of(taken))),
            Err(Error::PoolExhausted { .. } | Error::MaxCapacityExceeded { .. }) => {
                Ok(Err(self.wait(with_object, place)))
            }
            Err(error) => Err(error),
        }
    }

    fn wait(&self, with_object: bool, place: Place) -> Waiting<'_, T, D> {
        let (ticket, waiter) = self.head.line.join(with_object);
        // As long as somebody waits, slots that are released must not disappear in magazines.
        mem::forget(self.head.out_of_use());
        let mut waiting = Waiting { core: self, ticket, waiter, with_object, place, flushed: false };
        waiting.flushed = self.flush_all(&mut self.patience());
        if self.head.closed.load(SeqCst) {
            wake(&mut self.head.line.dismiss().into_iter());
        }
        wake(&mut self.serve().into_iter());
        waiting
    }
}

impl<'core, T: Poolable, D: Depot<T>> Waiting<'core, T, D> {
    /// Returns the slot when it is this one's turn; then not to be called again.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SharedVacancy<'core, T, D>>> {
        if !self.flushed {
            self.flushed = self.core.flush_all(&mut self.core.patience());
            wake(&mut self.core.serve().into_iter());
        }
        match self.waiter.poll(context.waker()) {
            State::Waiting(_) => {
                if !self.flushed {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
            State::Served(taken) => {
                self.core.allocated(1, self.with_object && taken.1);
                self.core.wanted(self.core.track(taken, self.place))?;
                Poll::Ready(Ok(self.core.vacancy_of(taken)))
            }
            State::Closed | State::Done => Poll::Ready(Err(Error::Closed)),
        }
    }
}

impl<T: Poolable, D: Depot<T>> Drop for Waiting<'_, T, D> {
    fn drop(&mut self) {
        let core = self.core;
        // Each step happens even if the one before it unwinds.
        let _direct = Defer(|| {
            core.head.direct.fetch_sub(1, AcqRel);
        });
        // The line's lock is held when it is left, so somebody else may have been sent away.
        let _serve = Defer(|| wake(&mut core.serve().into_iter()));
        core.head.line.leave(self.ticket);
        if let Some(taken) = self.waiter.cancel() {
            drop(core.vacancy_of(taken));
        }
    }
}
