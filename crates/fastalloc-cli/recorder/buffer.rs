//! Events of a thread that wait to be written.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::encode::{BLOCK_HEADER_LEN, EVENT_LEN_MAX, EventEncoder};
use crate::event::{Event, EventKind};
use crate::stack::Walk;
use crate::sys;

/// Bytes of a block of events at most, header included.
const BLOCK: usize = 64 << 10;
/// How often one waits for a thread that may have been stopped in the middle.
const PATIENCE: u32 = 1000;

/// A buffer, which one thread owns at a time, or none. Zeros are a valid one.
pub(crate) struct Buffer {
    /// All buffers are in a list, and stay there.
    next: AtomicPtr<Buffer>,
    /// The thread that has it, or 0. Changes while the trace is locked.
    owner: AtomicU32,
    is_locked: AtomicBool,
    /// No event in it is earlier; 0 if it is empty. Changes while it is locked.
    since: AtomicU64,
    events: UnsafeCell<Events>,
    /// What only the owner uses.
    walk: UnsafeCell<Walk>,
}

// SAFETY: who uses `events` has locked it; who uses `walk` owns it.
unsafe impl Sync for Buffer {}

static BUFFERS: AtomicPtr<Buffer> = AtomicPtr::new(ptr::null_mut());

/// The events of a buffer, as a block whose header is still to be filled in.
pub(crate) struct Events {
    /// Initialized if there are events.
    encoder: MaybeUninit<EventEncoder>,
    count: u64,
    last_time: u64,
    length: usize,
    bytes: [u8; BLOCK],
}

/// All buffers.
pub(crate) fn all() -> impl Iterator<Item = &'static Buffer> {
    let mut next = BUFFERS.load(Ordering::Acquire);
    core::iter::from_fn(move || {
        // SAFETY: buffers are initialized before they come into the list, and never unmapped.
        let buffer = unsafe { next.as_ref() }?;
        next = buffer.next.load(Ordering::Acquire);
        Some(buffer)
    })
}

impl Buffer {
    /// One more, which the thread owns. Call it while the trace is locked.
    pub(crate) fn new(owner: u32) -> Option<&'static Self> {
        let new = sys::map::<Self>()?;
        // SAFETY: zeros are a valid buffer, and it is never unmapped.
        let buffer = unsafe { &*new };
        buffer.owner.store(owner, Ordering::Relaxed);
        buffer.next.store(BUFFERS.load(Ordering::Relaxed), Ordering::Relaxed);
        BUFFERS.store(new, Ordering::Release);
        Some(buffer)
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner.load(Ordering::Relaxed)
    }

    pub(crate) fn set_owner(&self, owner: u32) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// What it is a lower bound for is in the trace, or is not.
    pub(crate) fn since(&self) -> Option<u64> {
        Some(self.since.load(Ordering::Acquire)).filter(|since| *since != 0)
    }

    /// Appends an event that happens now, and returns the time, and whether there is no room for another one.
    ///
    /// Only the owner does that. The time is read while the buffer is locked, so that whoever has found it empty knows
    /// that what comes is later.
    #[inline(never)]
    pub(crate) fn push(&self, start: u64, kind: EventKind) -> (u64, bool) {
        let mut locked = self.lock(u32::MAX);
        let Some(events) = &mut locked else { return (0, false) };
        let time = events.get().push(self.owner(), start, kind);
        if events.get().count == 1 {
            self.since.store(time, Ordering::Release);
        }
        (time, !events.get().has_room())
    }

    /// The stack that has called, as far as the depth.
    ///
    /// # Safety
    ///
    /// The thread owns the buffer, and is not in this function already.
    #[inline(always)]
    pub(crate) unsafe fn stack(&self, depth: usize) -> Option<u32> {
        // SAFETY: only the owner uses it, and this ends before it comes back.
        let walk = unsafe { &mut *self.walk.get() };
        walk.stack(depth)
    }

    /// What is in it, unless another thread has it too long.
    pub(crate) fn lock_patiently(&self) -> Option<LockedEvents<'_>> {
        self.lock(PATIENCE)
    }

    fn lock(&self, patience: u32) -> Option<LockedEvents<'_>> {
        let mut waited = 0;
        while self.is_locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            if waited >= patience {
                return None;
            }
            waited = waited.saturating_add(1);
            if waited % 8 == 0 { sys::yield_now() } else { core::hint::spin_loop() }
        }
        Some(LockedEvents(self))
    }

    /// Makes it empty and unlocked, whoever has locked it.
    ///
    /// # Safety
    ///
    /// No other thread runs.
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: nobody else can use it.
        unsafe { &mut *self.events.get() }.clear();
        // SAFETY: as above.
        unsafe { &mut *self.walk.get() }.forget();
        self.since.store(0, Ordering::Relaxed);
        self.is_locked.store(false, Ordering::Relaxed);
    }
}

/// The events of a buffer that is locked.
pub(crate) struct LockedEvents<'a>(&'a Buffer);

impl LockedEvents<'_> {
    pub(crate) fn get(&mut self) -> &mut Events {
        // SAFETY: it is locked, and who has locked it borrows this mutably.
        unsafe { &mut *self.0.events.get() }
    }

    /// They have been written, or are not wanted.
    pub(crate) fn clear(&mut self) {
        self.get().clear();
        self.0.since.store(0, Ordering::Release);
    }
}

impl Drop for LockedEvents<'_> {
    fn drop(&mut self) {
        self.0.is_locked.store(false, Ordering::Release);
    }
}

impl Events {
    fn push(&mut self, owner: u32, start: u64, kind: EventKind) -> u64 {
        let now = sys::clock(sys::MONOTONIC).saturating_sub(start);
        let time = now.max(self.last_time + 1);
        self.last_time = time;
        if !self.has_room() {
            // It could not be written.
            return time;
        }
        if self.count == 0 {
            self.length = BLOCK_HEADER_LEN;
        }
        let mut end = End(&mut self.bytes, self.length);
        if self.count == 0 {
            self.encoder.write(EventEncoder::new(&mut end, Some(owner), time));
        }
        // SAFETY: it was initialized with the first event.
        let encoder = unsafe { self.encoder.assume_init_mut() };
        encoder.put(&mut end, &Event { time, thread: owner, duration: 0, kind });
        self.length = end.1;
        self.count += 1;
        time
    }

    fn has_room(&self) -> bool {
        self.length + EVENT_LEN_MAX <= BLOCK
    }

    fn clear(&mut self) {
        self.count = 0;
        self.length = 0;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Room for a header, and the payload.
    pub(crate) fn block(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

/// Bytes that are appended to. What has no room is lost: who appends knows how much there is.
pub(crate) struct End<'a>(pub(crate) &'a mut [u8], pub(crate) usize);

impl Extend<u8> for End<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            if let Some(room) = self.0.get_mut(self.1) {
                *room = byte;
                self.1 += 1;
            }
        }
    }
}
