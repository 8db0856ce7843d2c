//! How a trace is read: what is readable of it, within limits.

use std::io::{self, ErrorKind, Read};

use crate::error::{Error, Result};
use crate::event::{Event, EventKind, StackId};
use crate::format::{
    BLOCK_HEADER_LEN, BlockHeader, FLAG_ORDERED, HEADER_LEN, MAGIC, Payload, VERSION, encoding, kind, tag,
};
use crate::item::{Frame, Item, Losses, Module, ModuleId, Process, Stack, StringId, Symbol, Symbols};
use crate::ordered::Ordered;

/// How much a reader accepts, so that no trace makes it, or the tables that are made of it, take more memory.
///
/// A reader itself needs twice `block_len`. With the defaults, [`Tables`](crate::Tables) need at most about 300 MiB,
/// and those of usual traces a few.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in a block, stored and as payload; for text formats, bytes in a line. Default: 16 MiB.
    pub block_len: usize,
    /// Strings. Default: 2²⁰.
    pub strings: u32,
    /// Bytes in all strings and build ids. Default: 64 MiB.
    pub string_bytes: u64,
    /// Modules. Default: 2¹⁶.
    pub modules: u32,
    /// Stacks. Default: 2²².
    pub stacks: u32,
    /// Functions in all symbols, and addresses with symbols. Default: 2²⁰.
    pub symbols: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_len: 16 << 20,
            strings: 1 << 20,
            string_bytes: 64 << 20,
            modules: 1 << 16,
            stacks: 1 << 22,
            symbols: 1 << 20,
        }
    }
}

/// How a trace ended. Offsets are in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "ending")]
pub enum Ending {
    /// With its end: nothing is missing.
    Complete {
        /// Where.
        offset: u64,
    },
    /// After a block, without an end: the recorder was stopped, and may not have written its last events.
    Open {
        /// Where.
        offset: u64,
    },
    /// Within a block, or within a line. Everything before it was read.
    Truncated {
        /// Where the block, or line, starts.
        offset: u64,
        /// How many bytes of it there are.
        present: u64,
    },
}

impl std::fmt::Display for Ending {
    /// What can be said of a trace: that it "is complete", for instance.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Complete { offset } => write!(f, "is complete: {offset} bytes"),
            Self::Open { offset } => {
                write!(f, "ends after {offset} bytes without an end: the recorder was stopped")
            }
            Self::Truncated { offset, present } => {
                write!(f, "is truncated: at offset {offset} starts something of which there are only {present} bytes")
            }
        }
    }
}

/// Reads a trace: an iterator over its items.
///
/// Every item is valid: strings, modules and stacks that it refers to came before it. After an error there are no
/// more items. Reads in blocks: a buffered source is not needed.
///
/// # Examples
///
/// What is readable of a trace that was cut off:
///
/// ```
/// use fastalloc_trace::{Ending, Event, EventKind, Process, TraceReader, TraceWriter};
///
/// let mut writer = TraceWriter::new(Vec::new(), &Process::default())?;
/// writer.event(&Event { time: 1, thread: 1, duration: 0, kind: EventKind::Free { address: 8 } })?;
/// writer.flush()?;
/// writer.event(&Event { time: 2, thread: 1, duration: 0, kind: EventKind::Free { address: 8 } })?;
/// let trace = writer.finish()?;
///
/// let mut reader = TraceReader::new(&trace[..trace.len() - 20])?;
/// let items: Vec<_> = reader.by_ref().collect::<Result<_, _>>()?;
/// assert_eq!(items.len(), 2); // the process, and the first event
/// assert!(matches!(reader.ending(), Some(Ending::Truncated { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceReader<R> {
    source: R,
    limits: Limits,
    offset: u64,
    is_ordered: bool,
    block: Block,
    payload: Payload,
    stored: Vec<u8>,
    counts: Counts,
    event_count: u64,
    last_time: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended(Ending),
    Failed,
}

/// What the payload is of.
#[derive(Debug, Clone, Copy)]
enum Block {
    Process,
    Strings,
    Modules,
    Stacks,
    Symbols,
    Events { thread: Option<u32>, time: u64, address: u64 },
    Barrier,
    Losses,
    None,
}

/// How large the tables are.
#[derive(Debug, Default)]
struct Counts {
    strings: u32,
    string_bytes: u64,
    modules: u32,
    stacks: u32,
    symbols: u32,
}

impl<R: Read> TraceReader<R> {
    /// Starts to read a trace, with the default limits.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or does not start like a trace of a version that is known here.
    pub fn new(source: R) -> Result<Self> {
        Self::with_limits(source, Limits::default())
    }

    /// Starts to read a trace.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or does not start like a trace of a version that is known here.
    pub fn with_limits(mut source: R, limits: Limits) -> Result<Self> {
        let mut header = [0; HEADER_LEN];
        let length = read_up_to(&mut source, &mut header).map_err(|source| Error::Io { offset: 0, source })?;
        if length < HEADER_LEN || header[..8] != MAGIC {
            return Err(Error::NotATrace { expected: "trace of fastalloc" });
        }
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (version, flags) = (word(8), word(10));
        if version != VERSION || flags & !FLAG_ORDERED != 0 {
            return Err(Error::UnsupportedVersion { version: version.into(), known: VERSION.into() });
        }
        Ok(Self {
            source,
            limits,
            offset: HEADER_LEN as u64,
            is_ordered: flags & FLAG_ORDERED != 0,
            block: Block::None,
            payload: Payload::default(),
            stored: Vec::new(),
            counts: Counts::default(),
            event_count: 0,
            last_time: 0,
            state: State::Reading,
        })
    }

    /// Whether the trace says that all its events are in the order of their times. If one is not, it is corrupt.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// How the trace ended; `None` as long as there may be more items, and after an error.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        if let State::Ended(ending) = self.state { Some(ending) } else { None }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Puts the events in the order of their times, with at most so many in memory at once.
    pub fn in_order(self, events_max: usize) -> Ordered<Self> {
        let events_max = if self.is_ordered { 0 } else { events_max };
        Ordered::new(self, events_max)
    }

    fn next_item(&mut self) -> Result<Option<Item>> {
        while self.payload.is_empty() {
            if !self.next_block()? {
                return Ok(None);
            }
        }
        match self.block {
            Block::Process => self.process().map(Item::Process),
            Block::Strings => self.string().map(Item::String),
            Block::Modules => self.module().map(Item::Module),
            Block::Stacks => self.stack().map(Item::Stack),
            Block::Symbols => self.symbols().map(Item::Symbols),
            Block::Events { thread, time, address } => self.event(thread, time, address).map(Item::Event),
            Block::Barrier => {
                let time = self.payload.uint()?;
                self.expect_end()?;
                Ok(Item::Barrier(time))
            }
            Block::Losses => {
                let losses = Losses { events: self.payload.uint()?, stacks: self.payload.uint()? };
                self.expect_end()?;
                Ok(Item::Losses(losses))
            }
            Block::None => unreachable!("a block that is passed over has no payload"),
        }
        .map(Some)
    }

    /// Reads a block and what its payload starts with. Returns `false` at the end.
    fn next_block(&mut self) -> Result<bool> {
        let start = self.offset;
        let io_error = |source| Error::Io { offset: start, source };
        let corrupt = |what| Err(Error::Corrupt { offset: start, position: 0, what });
        let mut bytes = [0; BLOCK_HEADER_LEN];
        let length = read_up_to(&mut self.source, &mut bytes).map_err(io_error)?;
        if bytes[..length].iter().all(|byte| *byte == 0) {
            // Nothing, or space that was never written.
            return Ok(self.end(Ending::Open { offset: start }));
        }
        if length < BLOCK_HEADER_LEN {
            return Ok(self.end(Ending::Truncated { offset: start, present: length as u64 }));
        }
        let header = BlockHeader::from_bytes(&bytes);
        if bytes[2..4] != [0; 2] {
            return corrupt("a block's header has something where nothing should be");
        }
        for length in [header.stored_len, header.payload_len] {
            self.check_limit("the length of a block", length.into(), self.limits.block_len as u64, start)?;
        }
        // Takes memory for what is there, not for what is claimed.
        self.stored.clear();
        let stored_len = u64::from(header.stored_len);
        let present = self.source.by_ref().take(stored_len).read_to_end(&mut self.stored).map_err(io_error)? as u64;
        if present < stored_len {
            let present = BLOCK_HEADER_LEN as u64 + present;
            return Ok(self.end(Ending::Truncated { offset: start, present }));
        }
        let found = header.checksum_of(&self.stored);
        if found != header.checksum {
            return Err(Error::Checksum { offset: start, expected: header.checksum, found });
        }
        self.offset = start + BLOCK_HEADER_LEN as u64 + stored_len;

        let known = [kind::PROCESS, kind::STRINGS, kind::MODULES, kind::STACKS, kind::SYMBOLS];
        let known = known.contains(&header.kind)
            || [kind::EVENTS, kind::BARRIER, kind::END, kind::LOSSES].contains(&header.kind);
        if !known {
            self.block = Block::None;
            return if header.kind >= kind::OPTIONAL { Ok(true) } else { corrupt("a block is of an unknown kind") };
        }
        let payload_len = header.payload_len as usize;
        let buffer = match header.encoding {
            encoding::RAW if self.stored.len() == payload_len => {
                // The memory of the last payload serves for what is stored next.
                std::mem::replace(&mut self.stored, self.payload.take_buffer())
            }
            encoding::ZSTD => match zstd::bulk::decompress(&self.stored, payload_len) {
                Ok(buffer) if buffer.len() == payload_len => buffer,
                _ => return corrupt("a block cannot be decompressed to the length that it claims"),
            },
            _ => return corrupt("a block is encoded in an unknown way"),
        };
        self.payload = Payload::new(buffer, start);
        self.begin(header.kind)
    }

    fn begin(&mut self, kind: u8) -> Result<bool> {
        self.block = match kind {
            kind::PROCESS => Block::Process,
            kind::STRINGS => self.begin_table(self.counts.strings, Block::Strings)?,
            kind::MODULES => self.begin_table(self.counts.modules, Block::Modules)?,
            kind::STACKS => self.begin_table(self.counts.stacks + 1, Block::Stacks)?,
            kind::SYMBOLS => Block::Symbols,
            kind::EVENTS => {
                let thread = self.payload.uint()?.checked_sub(1);
                let thread = thread.map(u32::try_from).transpose();
                let thread = thread.map_err(|_| self.payload.corrupt("a thread's number has more than 32 bits"))?;
                Block::Events { thread, time: self.payload.uint()?, address: 0 }
            }
            kind::BARRIER => Block::Barrier,
            kind::LOSSES => Block::Losses,
            _ => {
                let events = self.payload.uint()?;
                self.expect_end()?;
                if events != self.event_count {
                    return Err(self.payload.corrupt("the end says that there were more events, or fewer"));
                }
                return Ok(self.end(Ending::Complete { offset: self.offset }));
            }
        };
        Ok(true)
    }

    fn begin_table(&mut self, next: u32, block: Block) -> Result<Block> {
        if self.payload.uint()? != u64::from(next) {
            return Err(self.payload.corrupt("a table does not go on where it ended"));
        }
        Ok(block)
    }

    fn end(&mut self, ending: Ending) -> bool {
        self.state = State::Ended(ending);
        false
    }

    fn process(&mut self) -> Result<Process> {
        let id = self.payload.uint32("a process has a number of more than 32 bits")?;
        let parent = self.payload.uint32("a process has a number of more than 32 bits")?;
        let start = self.payload.uint()?;
        let clock_resolution = self.payload.uint()?;
        let sampling = self.payload.uint()?;
        if sampling == 0 {
            return Err(self.payload.corrupt("none of the allocations is recorded"));
        }
        let count = self.payload.uint()?;
        self.check_limit_here("the number of arguments", count, self.limits.strings.into())?;
        let mut arguments = Vec::new();
        for _ in 0..count {
            arguments.push(self.payload.text()?);
        }
        self.expect_end()?;
        Ok(Process { id, parent, start, clock_resolution, sampling, arguments })
    }

    fn string(&mut self) -> Result<String> {
        let string = self.payload.text()?;
        self.counts.strings += 1;
        self.counts.string_bytes += string.len() as u64;
        self.check_limit_here("the number of strings", self.counts.strings.into(), self.limits.strings.into())?;
        self.check_limit_here("the length of all strings", self.counts.string_bytes, self.limits.string_bytes)?;
        Ok(string)
    }

    fn module(&mut self) -> Result<Module> {
        let path = self.string_id()?;
        let build_id = self.payload.bytes()?.to_vec();
        let (load_address, start, length) = (self.payload.uint()?, self.payload.uint()?, self.payload.uint()?);
        self.counts.modules += 1;
        self.counts.string_bytes += build_id.len() as u64;
        self.check_limit_here("the number of modules", self.counts.modules.into(), self.limits.modules.into())?;
        self.check_limit_here("the length of all strings", self.counts.string_bytes, self.limits.string_bytes)?;
        Ok(Module { path, build_id, load_address, start, length })
    }

    fn stack(&mut self) -> Result<Stack> {
        let parent = self.stack_id()?;
        let frame = self.frame()?;
        self.counts.stacks += 1;
        self.check_limit_here("the number of stacks", self.counts.stacks.into(), self.limits.stacks.into())?;
        Ok(Stack { parent, frame })
    }

    fn symbols(&mut self) -> Result<Symbols> {
        let frame = self.frame()?;
        let count = self.payload.uint()?;
        let symbols = u64::from(self.counts.symbols).saturating_add(count).saturating_add(1);
        self.check_limit_here("the number of symbols", symbols, self.limits.symbols.into())?;
        self.counts.symbols = symbols as u32;
        let mut functions = Vec::new();
        for _ in 0..count {
            let name = self.string_id()?;
            let file = match self.payload.uint()? {
                0 => None,
                number => Some(self.checked_string_id(number - 1)?),
            };
            let line = self.payload.uint32("a line has a number of more than 32 bits")?;
            functions.push(Symbol { name, file, line });
        }
        Ok(Symbols { frame, functions })
    }

    fn event(&mut self, block_thread: Option<u32>, time: u64, address: u64) -> Result<Event> {
        let head = self.payload.byte()?;
        let delta = self.payload.uint()?;
        let time = time.checked_add(delta).ok_or_else(|| self.payload.corrupt("a time has more than 64 bits"))?;
        let thread = match block_thread {
            Some(thread) => thread,
            None => self.payload.uint32("a thread's number has more than 32 bits")?,
        };
        let alignment = 1_u32 << (head >> tag::ALIGNMENT_SHIFT);
        let old_address = address.wrapping_add(self.payload.int()?);
        let (kind, address) = match head & tag::KIND {
            tag::ALLOCATE => {
                let size = self.payload.uint()?;
                let stack = self.stack_id()?;
                (EventKind::Allocate { address: old_address, size, alignment, stack }, old_address)
            }
            tag::FREE => (EventKind::Free { address: old_address }, old_address),
            tag::REALLOCATE => {
                let address = old_address.wrapping_add(self.payload.int()?);
                let size = self.payload.uint()?;
                let stack = self.stack_id()?;
                (EventKind::Reallocate { old_address, address, size, alignment, stack }, address)
            }
            _ => return Err(self.payload.corrupt("an event is of an unknown kind")),
        };
        let duration = if head & tag::DURATION == 0 { 0 } else { self.payload.uint()? };
        if self.is_ordered && time < self.last_time {
            return Err(self.payload.corrupt("an event is earlier than the last one in a trace that is in order"));
        }
        self.last_time = time;
        self.event_count += 1;
        self.block = Block::Events { thread: block_thread, time, address };
        Ok(Event { time, thread, duration, kind })
    }

    fn frame(&mut self) -> Result<Frame> {
        let module = match self.payload.uint()? {
            0 => None,
            number if number <= u64::from(self.counts.modules) => Some(ModuleId((number - 1) as u32)),
            _ => return Err(self.payload.corrupt("a module is used that there is not yet")),
        };
        Ok(Frame { module, address: self.payload.uint()? })
    }

    fn stack_id(&mut self) -> Result<StackId> {
        let number = self.payload.uint()?;
        if number > u64::from(self.counts.stacks) {
            return Err(self.payload.corrupt("a stack is used that there is not yet"));
        }
        Ok(StackId(number as u32))
    }

    fn string_id(&mut self) -> Result<StringId> {
        let number = self.payload.uint()?;
        self.checked_string_id(number)
    }

    fn checked_string_id(&self, number: u64) -> Result<StringId> {
        if number >= u64::from(self.counts.strings) {
            return Err(self.payload.corrupt("a string is used that there is not yet"));
        }
        Ok(StringId(number as u32))
    }

    fn expect_end(&self) -> Result<()> {
        if self.payload.is_empty() { Ok(()) } else { Err(self.payload.corrupt("a block goes on after its only entry")) }
    }

    fn check_limit_here(&self, what: &'static str, found: u64, limit: u64) -> Result<()> {
        self.check_limit(what, found, limit, self.payload.offset())
    }

    fn check_limit(&self, what: &'static str, found: u64, limit: u64, offset: u64) -> Result<()> {
        if found > limit { Err(Error::LimitExceeded { offset, what, found, limit }) } else { Ok(()) }
    }
}

impl<R: Read> Iterator for TraceReader<R> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Reading {
            return None;
        }
        self.next_item().inspect_err(|_| self.state = State::Failed).transpose()
    }
}

/// Fills the buffer as far as the source goes.
pub(crate) fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
