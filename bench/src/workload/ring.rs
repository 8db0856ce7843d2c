//! A way from one thread to another: bounded, without a lock, and all its memory is there at the start.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::together::spin_until;

/// A queue for one sender and one receiver (Lamport, 1983), each of which asks for the other's
/// position only when the one it knows says that the queue is full or empty.
pub(super) struct Ring<T> {
    /// A power of two of them. Those from `head` to `tail` are initialized.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many were received.
    head: OwnLine<AtomicUsize>,
    /// How many were sent.
    tail: OwnLine<AtomicUsize>,
}

/// What one thread writes, on no line of another's: processors fetch lines in pairs.
#[repr(align(128))]
struct OwnLine<T>(T);

// SAFETY: values move from one thread to another. A slot is accessed by the sender before `tail` has passed it
// and by the receiver before `head` has, and there is one of each.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "positions are masked");
        Self {
            slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
            head: OwnLine(AtomicUsize::new(0)),
            tail: OwnLine(AtomicUsize::new(0)),
        }
    }

    /// Returns the only ways to send and to receive.
    pub(super) fn split(&mut self) -> (Sender<'_, T>, Receiver<'_, T>) {
        let (head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        let ring = &*self;
        (Sender { ring, tail, head }, Receiver { ring, head, tail })
    }

    #[inline(always)]
    fn slot(&self, position: usize) -> *mut MaybeUninit<T> {
        self.slots[position & (self.slots.len() - 1)].get()
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        for position in head..tail {
            // SAFETY: the ring is exclusively borrowed.
            let slot = unsafe { &mut *self.slot(position) };
            // SAFETY: the slots from `head` to `tail` are initialized.
            unsafe { slot.assume_init_drop() };
        }
    }
}

pub(super) struct Sender<'r, T> {
    ring: &'r Ring<T>,
    tail: usize,
    /// Not beyond the ring's.
    head: usize,
}

impl<T> Sender<'_, T> {
    /// Sends a value; waits as long as the ring is full.
    #[inline(always)]
    pub(super) fn send(&mut self, value: T) {
        let capacity = self.ring.slots.len();
        if self.tail - self.head == capacity {
            spin_until(|| {
                // Pairs with the store in `receive`: the slot's last value has been read.
                self.head = self.ring.head.0.load(Ordering::Acquire);
                self.tail - self.head < capacity
            });
        }
        let slot = self.ring.slot(self.tail);
        // SAFETY: `head` has passed the slot and `tail` has not, so it is the sender's.
        unsafe { slot.write(MaybeUninit::new(value)) };
        self.tail += 1;
        self.ring.tail.0.store(self.tail, Ordering::Release);
    }
}

pub(super) struct Receiver<'r, T> {
    ring: &'r Ring<T>,
    head: usize,
    /// Not beyond the ring's.
    tail: usize,
}

impl<T> Receiver<'_, T> {
    /// Receives a value; waits as long as the ring is empty.
    #[inline(always)]
    pub(super) fn receive(&mut self) -> T {
        if self.head == self.tail {
            spin_until(|| {
                // Pairs with the store in `send`: the slot's value has been written.
                self.tail = self.ring.tail.0.load(Ordering::Acquire);
                self.head != self.tail
            });
        }
        let slot = self.ring.slot(self.head);
        // SAFETY: `tail` has passed the slot and `head` has not, so it is initialized and the receiver's.
        let value = unsafe { slot.read() };
        self.head += 1;
        self.ring.head.0.store(self.head, Ordering::Release);
        // SAFETY: as above.
        unsafe { value.assume_init() }
    }
}
