//! How a trace is written, byte by byte. Needs neither an allocator nor `std`: the recorder of the program `fastalloc`
//! is compiled from this file too.

use crate::event::{Event, EventKind};

/// What a trace starts with.
pub const MAGIC: [u8; 8] = *b"\x89FAT\r\n\x1A\n";
/// The version that is written, and the newest that can be read.
pub const VERSION: u16 = 1;
/// Length of the header of a trace, in bytes.
pub const HEADER_LEN: usize = 16;
/// Length of the header of a block, in bytes.
pub const BLOCK_HEADER_LEN: usize = 16;
/// Length of an event at most, in bytes: the tag, five numbers of 64 bits, and two of 32.
pub const EVENT_LEN_MAX: usize = 1 + 5 * 10 + 2 * 5;
/// The flag in the header of a trace which says that all events are in the order of their times.
pub const FLAG_ORDERED: u16 = 1;

/// The kinds of blocks.
pub mod kind {
    /// Which process this is a trace of.
    pub const PROCESS: u8 = 1;
    /// Strings.
    pub const STRINGS: u8 = 2;
    /// Modules.
    pub const MODULES: u8 = 3;
    /// Stacks.
    pub const STACKS: u8 = 4;
    /// Symbols.
    pub const SYMBOLS: u8 = 5;
    /// Events.
    pub const EVENTS: u8 = 6;
    /// All events before a time have been told.
    pub const BARRIER: u8 = 7;
    /// The end.
    pub const END: u8 = 8;
    /// The first kind that a reader passes over if it does not know it.
    pub const OPTIONAL: u8 = 128;
    /// What the recorder could not record.
    pub const LOSSES: u8 = 128;
}

/// How the payload of a block is stored.
pub mod encoding {
    /// As it is.
    pub const RAW: u8 = 0;
    /// As one zstd frame.
    pub const ZSTD: u8 = 1;
}

/// What the first byte of an event says.
pub mod tag {
    /// Memory was allocated.
    pub const ALLOCATE: u8 = 0;
    /// Memory was given back.
    pub const FREE: u8 = 1;
    /// Memory was given back and allocated.
    pub const REALLOCATE: u8 = 2;
    /// The bits of the above.
    pub const KIND: u8 = 3;
    /// There is a duration.
    pub const DURATION: u8 = 4;
    /// How far the base-2 logarithm of the alignment is shifted to the left.
    pub const ALIGNMENT_SHIFT: u32 = 3;
}

/// The header of a trace.
#[must_use]
pub fn header(flags: u16) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// The header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// The kind of block.
    pub kind: u8,
    /// How its payload is stored.
    pub encoding: u8,
    /// Length of what is stored, in bytes.
    pub stored_len: u32,
    /// Length of the payload, in bytes.
    pub payload_len: u32,
    /// The checksum.
    pub checksum: u32,
}

impl BlockHeader {
    /// As it is written.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BLOCK_HEADER_LEN] {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        bytes[0] = self.kind;
        bytes[1] = self.encoding;
        bytes[4..8].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[12..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// As it is read. Bytes 2 and 3 are ignored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; BLOCK_HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { kind: bytes[0], encoding: bytes[1], stored_len: word(4), payload_len: word(8), checksum: word(12) }
    }
}

/// Appends a number: at most 10 bytes.
///
/// Like all that appends, it needs no allocator: what is appended to can be a buffer of fixed size.
pub fn put_uint(bytes: &mut impl Extend<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.extend([number as u8 | 0x80]);
        number >>= 7;
    }
    bytes.extend([number as u8]);
}

/// Appends the difference of two numbers.
pub fn put_int(bytes: &mut impl Extend<u8>, difference: u64) {
    let signed = difference as i64;
    put_uint(bytes, (signed << 1 ^ signed >> 63) as u64);
}

/// Appends a text, or other bytes.
pub fn put_bytes(bytes: &mut impl Extend<u8>, content: &[u8]) {
    put_uint(bytes, content.len() as u64);
    bytes.extend(content.iter().copied());
}

/// Makes the payload of one block of events.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::format::{BlockHeader, EVENT_LEN_MAX, EventEncoder, FLAG_ORDERED, encoding, header, kind};
/// use fastalloc_trace::{Event, EventKind, Item, TraceReader};
///
/// let event = Event { time: 10, thread: 7, duration: 0, kind: EventKind::Free { address: 0x100 } };
/// let mut payload = Vec::with_capacity(20 + EVENT_LEN_MAX);
/// let mut encoder = EventEncoder::new(&mut payload, Some(7), event.time);
/// encoder.put(&mut payload, &event);
///
/// let block = BlockHeader::new(kind::EVENTS, encoding::RAW, &payload, payload.len()).unwrap();
/// let trace = [&header(FLAG_ORDERED)[..], &block.to_bytes(), &payload].concat();
/// let items: Vec<Item> = TraceReader::new(&trace[..])?.collect::<Result<_, _>>()?;
/// assert_eq!(items, [Item::Event(event)]);
/// # Ok::<(), fastalloc_trace::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EventEncoder {
    thread: Option<u32>,
    time: u64,
    address: u64,
}

impl EventEncoder {
    /// Begins a payload, with at most 20 bytes: of events of that thread, or of any if it is `None`; none of them is
    /// before the time.
    pub fn new(bytes: &mut impl Extend<u8>, thread: Option<u32>, time: u64) -> Self {
        put_uint(bytes, thread.map_or(0, |thread| u64::from(thread) + 1));
        put_uint(bytes, time);
        Self { thread, time, address: 0 }
    }

    /// Appends an event, with at most [`EVENT_LEN_MAX`] bytes.
    ///
    /// A time before that of the last event becomes that; the thread counts only in blocks of any thread. The alignment
    /// must be a power of two: of others, the lowest bit counts.
    pub fn put(&mut self, bytes: &mut impl Extend<u8>, event: &Event) {
        let (kind, alignment) = match event.kind {
            EventKind::Allocate { alignment, .. } => (tag::ALLOCATE, alignment),
            EventKind::Free { .. } => (tag::FREE, 1),
            EventKind::Reallocate { alignment, .. } => (tag::REALLOCATE, alignment),
        };
        let duration = if event.duration == 0 { 0 } else { tag::DURATION };
        bytes.extend([kind | duration | ((alignment.trailing_zeros() & 31) << tag::ALIGNMENT_SHIFT) as u8]);
        put_uint(bytes, event.time.saturating_sub(self.time));
        self.time = self.time.max(event.time);
        if self.thread.is_none() {
            put_uint(bytes, event.thread.into());
        }
        match event.kind {
            EventKind::Free { address } => self.put_address(bytes, address),
            EventKind::Allocate { address, size, stack, .. } => {
                self.put_address(bytes, address);
                put_uint(bytes, size);
                put_uint(bytes, stack.0.into());
            }
            EventKind::Reallocate { old_address, address, size, stack, .. } => {
                self.put_address(bytes, old_address);
                self.put_address(bytes, address);
                put_uint(bytes, size);
                put_uint(bytes, stack.0.into());
            }
        }
        if event.duration != 0 {
            put_uint(bytes, event.duration);
        }
    }

    fn put_address(&mut self, bytes: &mut impl Extend<u8>, address: u64) {
        put_int(bytes, address.wrapping_sub(self.address));
        self.address = address;
    }
}
