//! The line of those who wait for a slot: first come, first served.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::task::Waker;

use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize, fence};

/// A vacant slot on its way to its user, and whether it holds an object that the pool kept.
pub(crate) type Taken = (NonNull<u8>, bool);

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Entries in the queue; changes under its lock only.
    waiting: AtomicUsize,
    /// Slots may have become vacant since somebody looked: whoever holds the lock looks again.
    pending: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By their tickets, which ascend.
    entries: BTreeMap<u64, Arc<Waiter>>,
    tickets: u64,
}

/// Somebody in the line.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Wants a slot with an object, if there is one.
    with_object: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting(Option<Waker>),
    /// A slot that nobody else has.
    Served(Taken),
    /// The pool was closed.
    Closed,
    /// The slot was taken, or the waiter does not wait any more.
    Done,
}

// SAFETY: a slot that was handed to the waiter is nobody else's; whether its object may be sent is seen
// to by the pool, which is `Sync` only then.
unsafe impl Send for State {}

impl Waiter {
    /// Stores the waker, unless there is something to tell already.
    pub(super) fn poll(&self, waker: &Waker) -> State {
        let mut new = Some(waker.clone());
        // An old waker is dropped, which is user code, after the lock is free.
        let (state, _old) = self.state.with(|state| match state {
            State::Waiting(old) => (State::Waiting(None), core::mem::replace(old, new.take())),
            _ => (core::mem::replace(state, State::Done), None),
        });
        state
    }

    /// Ends the waiting. Returns the slot that was handed out, but not taken.
    pub(super) fn cancel(&self) -> Option<Taken> {
        match self.state.with(|state| core::mem::replace(state, State::Done)) {
            State::Served(taken) => Some(taken),
            _ => None,
        }
    }

    fn tell(&self, news: State) -> Option<Waker> {
        match self.state.with(|state| core::mem::replace(state, news)) {
            State::Waiting(waker) => waker,
            _ => None,
        }
    }
}

impl Line {
    /// How many are in the line and have not been served.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Joins the end of the line. Returns the ticket by which it is left.
    pub(super) fn join(&self, with_object: bool) -> (u64, Arc<Waiter>) {
        let waiter = Arc::new(Waiter { with_object, state: Mutex::new(State::Waiting(None)) });
        let ticket = self.queue.with(|queue| {
            queue.tickets += 1;
            queue.entries.insert(queue.tickets, Arc::clone(&waiter));
            self.waiting.store(queue.entries.len(), SeqCst);
            queue.tickets
        });
        (ticket, waiter)
    }

    /// Leaves the line, if the ticket is still in it.
    pub(super) fn leave(&self, ticket: u64) {
        self.queue.with(|queue| {
            queue.entries.remove(&ticket);
            self.waiting.store(queue.entries.len(), SeqCst);
        });
    }

    /// Hands out slots as long as there are some and somebody waits. Returns who is to be woken, with no
    /// lock held. To be called after a slot has become vacant, and after the line's lock was held.
    ///
    /// Never waits: if another thread holds the lock, that one hands out the slots.
    pub(super) fn serve(&self, mut take: impl FnMut(bool) -> Option<Taken>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        // Pairs with the one of who joins the line: either this side sees him, or he sees the slot.
        fence(SeqCst);
        if self.waiting.load(Relaxed) == 0 {
            return wakers;
        }
        self.pending.swap(true, SeqCst);
        while self.pending.load(SeqCst) {
            // The lock alone does not keep the order: who does not get it must be seen by the holder, who looks again
            // below, after the lock was free.
            fence(SeqCst);
            let served = self.queue.try_with(|queue| {
                self.pending.swap(false, SeqCst);
                while let Some(first) = queue.entries.first_entry() {
                    let Some(taken) = take(first.get().with_object) else { break };
                    wakers.extend(first.remove().tell(State::Served(taken)));
                }
                self.waiting.store(queue.entries.len(), SeqCst);
            });
            if served.is_none() {
                break;
            }
            fence(SeqCst);
        }
        wakers
    }

    /// Tells all that the pool was closed. Returns who is to be woken.
    pub(super) fn dismiss(&self) -> Vec<Waker> {
        let entries = self.queue.with(|queue| {
            self.waiting.store(0, SeqCst);
            core::mem::take(&mut queue.entries)
        });
        entries.into_values().filter_map(|waiter| waiter.tell(State::Closed)).collect()
    }
}
