//! Events in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::item::Item;

/// Puts the events of a trace in the order of their times; those with the same time stay in the order of the trace.
///
/// Everything else is passed on at once, so that tables still come before the events that use them. Events wait until a
/// [barrier](Item::Barrier), the end, or an error: what came before it is passed on first. If more would wait than is
/// allowed, the earliest is passed on, and [`disordered`](Self::disordered) counts events that were told too late for
/// that.
#[derive(Debug)]
pub struct Ordered<I> {
    items: I,
    waiting: BinaryHeap<Reverse<Waiting>>,
    waiting_max: usize,
    /// Those before it can go.
    release_before: Option<u64>,
    /// All can go, and then comes this.
    end: Option<Option<Error>>,
    sequence: u64,
    last_time: u64,
    disordered: u64,
}

impl<I: Iterator<Item = Result<Item>>> Ordered<I> {
    /// Orders events, with at most so many in memory at once; with 0 they stay as they are.
    pub fn new(items: I, events_max: usize) -> Self {
        let waiting = BinaryHeap::new();
        Self {
            items,
            waiting,
            waiting_max: events_max,
            release_before: None,
            end: None,
            sequence: 0,
            last_time: 0,
            disordered: 0,
        }
    }

    /// What the events come from.
    #[must_use]
    pub fn get_ref(&self) -> &I {
        &self.items
    }

    /// How many events were passed on after a later one.
    #[must_use]
    pub fn disordered(&self) -> u64 {
        self.disordered
    }

    fn release(&mut self) -> Option<Result<Item>> {
        let Reverse(waiting) = self.waiting.pop()?;
        Some(Ok(Item::Event(self.pass(waiting.event))))
    }

    fn pass(&mut self, event: Event) -> Event {
        if event.time < self.last_time {
            self.disordered += 1;
        }
        self.last_time = event.time;
        event
    }
}

impl<I: Iterator<Item = Result<Item>>> Iterator for Ordered<I> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = &mut self.end {
                let error = error.take();
                return match self.release() {
                    Some(item) => {
                        self.end = Some(error);
                        Some(item)
                    }
                    None => error.map(Err),
                };
            }
            if let Some(time) = self.release_before {
                if self.waiting.peek().is_some_and(|Reverse(waiting)| waiting.event.time < time) {
                    return self.release();
                }
                self.release_before = None;
                return Some(Ok(Item::Barrier(time)));
            }
            match self.items.next() {
                Some(Ok(Item::Event(event))) if self.waiting_max == 0 => {
                    return Some(Ok(Item::Event(self.pass(event))));
                }
                Some(Ok(Item::Event(event))) => {
                    self.waiting.push(Reverse(Waiting { sequence: self.sequence, event }));
                    self.sequence += 1;
                    if self.waiting.len() > self.waiting_max {
                        return self.release();
                    }
                }
                Some(Ok(Item::Barrier(time))) => self.release_before = Some(time),
                Some(Ok(item)) => return Some(Ok(item)),
                Some(Err(error)) => self.end = Some(Some(error)),
                None => self.end = Some(None),
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    sequence: u64,
    event: Event,
}

impl Waiting {
    fn key(&self) -> (u64, u64) {
        (self.event.time, self.sequence)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
