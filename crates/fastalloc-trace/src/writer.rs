//! How a trace is written.

use std::io::{self, Write};
use std::mem;

use crate::event::{Event, EventKind, StackId};
use crate::format::{self, BlockHeader, EventEncoder, encoding, kind, put_bytes, put_uint};
use crate::item::{Frame, Item, Losses, Module, ModuleId, Process, StringId, Symbols};

/// How a trace is written: [`TraceWriter::with_options`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterOptions {
    /// The level of zstd, or `None` to store payloads as they are. Default: 1.
    pub compression: Option<i32>,
    /// A block is written when its payload has so many bytes. Default: 256 KiB. At most 8 MiB are used.
    pub block_len: usize,
    /// Whether the trace says that all events are in the order of their times. Default: `true`.
    pub ordered: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { compression: Some(1), block_len: 256 << 10, ordered: true }
    }
}

/// Writes a trace.
///
/// Tables are written before the events that use them. What has not made a block yet is in memory until
/// [`flush`](Self::flush) or [`finish`](Self::finish): a writer that is dropped without has lost it.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::{Event, EventKind, Frame, Process, StackId, TraceWriter};
///
/// let mut writer = TraceWriter::new(Vec::new(), &Process { id: 7, ..Process::default() })?;
/// let main = writer.stack(StackId::EMPTY, Frame { module: None, address: 0x5000 })?;
/// let kind = EventKind::Allocate { address: 0x100, size: 64, alignment: 16, stack: main };
/// writer.event(&Event { time: 10, thread: 7, duration: 0, kind })?;
/// let trace = writer.finish()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TraceWriter<W> {
    sink: W,
    options: WriterOptions,
    compressor: Compressor,
    strings: Table,
    modules: Table,
    stacks: Table,
    symbols: Vec<u8>,
    events: EventBlock,
    event_count: u64,
    last_time: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Starts a trace of a process, with the default options.
    ///
    /// # Errors
    ///
    /// If the header cannot be written.
    pub fn new(sink: W, process: &Process) -> io::Result<Self> {
        Self::with_options(sink, process, WriterOptions::default())
    }

    /// Starts a trace of a process.
    ///
    /// # Errors
    ///
    /// If the header cannot be written, or zstd does not accept the level.
    pub fn with_options(sink: W, process: &Process, options: WriterOptions) -> io::Result<Self> {
        let compressor = Compressor::new(options.compression)?;
        let mut writer = Self {
            sink,
            options: WriterOptions { block_len: options.block_len.min(8 << 20), ..options },
            compressor,
            strings: Table::new(0),
            modules: Table::new(0),
            stacks: Table::new(1),
            symbols: Vec::new(),
            events: EventBlock::default(),
            event_count: 0,
            last_time: 0,
        };
        let flags = if writer.options.ordered { format::FLAG_ORDERED } else { 0 };
        writer.sink.write_all(&format::header(flags))?;
        writer.process(process)?;
        Ok(writer)
    }

    /// Says which process this is a trace of, in place of what was said when it was started.
    ///
    /// # Errors
    ///
    /// If the block cannot be written.
    pub fn process(&mut self, process: &Process) -> io::Result<()> {
        let mut payload = Vec::new();
        put_uint(&mut payload, process.id.into());
        put_uint(&mut payload, process.parent.into());
        put_uint(&mut payload, process.start);
        put_uint(&mut payload, process.clock_resolution);
        put_uint(&mut payload, process.sampling);
        put_uint(&mut payload, process.arguments.len() as u64);
        for argument in &process.arguments {
            put_bytes(&mut payload, argument.as_bytes());
        }
        self.block(kind::PROCESS, &payload)
    }

    /// Adds a string. The same string twice has two numbers.
    ///
    /// # Errors
    ///
    /// If a block cannot be written, or there are 2³² strings.
    pub fn string(&mut self, string: &str) -> io::Result<StringId> {
        let id = StringId(self.strings.add(|payload| put_bytes(payload, string.as_bytes()))?);
        self.flush_large_tables()?;
        Ok(id)
    }

    /// Adds a module.
    ///
    /// # Errors
    ///
    /// If a block cannot be written, there are 2³² modules, or the path is not a string of this trace.
    pub fn module(&mut self, module: &Module) -> io::Result<ModuleId> {
        self.check_string(module.path)?;
        // Which module an address in memory is in depends on how many there were before the stack.
        if !self.stacks.payload.is_empty() {
            self.flush_tables()?;
        }
        let id = ModuleId(self.modules.add(|payload| {
            put_uint(payload, module.path.0.into());
            put_bytes(payload, &module.build_id);
            put_uint(payload, module.load_address);
            put_uint(payload, module.start);
            put_uint(payload, module.length);
        })?);
        self.flush_large_tables()?;
        Ok(id)
    }

    /// Adds a stack: a frame, and the stack of its caller.
    ///
    /// # Errors
    ///
    /// If a block cannot be written, there are 2³² stacks, or the caller's stack or the module are not of this trace.
    pub fn stack(&mut self, parent: StackId, frame: Frame) -> io::Result<StackId> {
        self.check_stack(parent)?;
        self.check_frame(frame)?;
        let id = StackId(self.stacks.add(|payload| {
            put_uint(payload, parent.0.into());
            put_frame(payload, frame);
        })?);
        self.flush_large_tables()?;
        Ok(id)
    }

    /// Adds the functions at an address.
    ///
    /// # Errors
    ///
    /// If a block cannot be written, or the strings or the module are not of this trace.
    pub fn symbols(&mut self, symbols: &Symbols) -> io::Result<()> {
        self.check_frame(symbols.frame)?;
        for function in &symbols.functions {
            self.check_string(function.name)?;
            function.file.map_or(Ok(()), |file| self.check_string(file))?;
        }
        put_frame(&mut self.symbols, symbols.frame);
        put_uint(&mut self.symbols, symbols.functions.len() as u64);
        for function in &symbols.functions {
            put_uint(&mut self.symbols, function.name.0.into());
            put_uint(&mut self.symbols, function.file.map_or(0, |file| u64::from(file.0) + 1));
            put_uint(&mut self.symbols, function.line.into());
        }
        self.flush_large_tables()
    }

    /// Adds an event.
    ///
    /// # Errors
    ///
    /// If a block cannot be written, the stack is not of this trace, the alignment is not a power of two, or the time
    /// is before that of the last event in a trace that says its events are in order.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        if let EventKind::Allocate { alignment, stack, .. } | EventKind::Reallocate { alignment, stack, .. } =
            event.kind
        {
            self.check_stack(stack)?;
            if !alignment.is_power_of_two() {
                return Err(invalid("the alignment of an event is not a power of two"));
            }
        }
        if event.time < self.last_time {
            if self.options.ordered {
                return Err(invalid("an event is earlier than the last one; write a trace that is not `ordered`"));
            }
            self.flush()?;
        }
        self.last_time = event.time;
        self.events.add(event);
        self.event_count += 1;
        if self.events.payload.len() >= self.options.block_len { self.flush() } else { Ok(()) }
    }

    /// Says that there will be no event before this time. For traces whose events are not in order.
    ///
    /// # Errors
    ///
    /// If a block cannot be written.
    pub fn barrier(&mut self, time: u64) -> io::Result<()> {
        self.flush()?;
        let mut payload = Vec::new();
        put_uint(&mut payload, time);
        self.block(kind::BARRIER, &payload)
    }

    /// Says what could not be recorded so far.
    ///
    /// # Errors
    ///
    /// If a block cannot be written.
    pub fn losses(&mut self, losses: Losses) -> io::Result<()> {
        self.flush()?;
        let mut payload = Vec::new();
        put_uint(&mut payload, losses.events);
        put_uint(&mut payload, losses.stacks);
        self.block(kind::LOSSES, &payload)
    }

    /// Adds whatever the item is. Strings, modules and stacks are numbered in order.
    ///
    /// # Errors
    ///
    /// Those of the function for that kind of item.
    pub fn item(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Process(process) => self.process(process),
            Item::String(string) => self.string(string).map(drop),
            Item::Module(module) => self.module(module).map(drop),
            Item::Stack(stack) => self.stack(stack.parent, stack.frame).map(drop),
            Item::Symbols(symbols) => self.symbols(symbols),
            Item::Event(event) => self.event(event),
            Item::Barrier(time) => self.barrier(*time),
            Item::Losses(losses) => self.losses(*losses),
        }
    }

    /// Writes all that was added so far, and flushes what it is written to.
    ///
    /// # Errors
    ///
    /// If something cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flush_tables()?;
        let payload = self.events.take();
        if !payload.is_empty() {
            self.block(kind::EVENTS, &payload)?;
        }
        self.events.reuse(payload);
        self.sink.flush()
    }

    /// Writes the rest and the end, and returns what the trace was written to.
    ///
    /// # Errors
    ///
    /// If something cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        let mut payload = Vec::new();
        put_uint(&mut payload, self.event_count);
        self.block(kind::END, &payload)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn flush_large_tables(&mut self) -> io::Result<()> {
        let payloads = [&self.strings.payload, &self.modules.payload, &self.stacks.payload, &self.symbols];
        let is_large = payloads.iter().any(|payload| payload.len() >= self.options.block_len);
        if is_large { self.flush_tables() } else { Ok(()) }
    }

    /// What others refer to first.
    fn flush_tables(&mut self) -> io::Result<()> {
        for (kind, payload) in [
            (kind::STRINGS, self.strings.take()),
            (kind::MODULES, self.modules.take()),
            (kind::STACKS, self.stacks.take()),
            (kind::SYMBOLS, mem::take(&mut self.symbols)),
        ] {
            if !payload.is_empty() {
                self.block(kind, &payload)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let compressed = self.compressor.compress(payload)?;
        let (encoding, stored) = match compressed {
            Some(compressed) => (encoding::ZSTD, compressed),
            None => (encoding::RAW, payload),
        };
        let header = BlockHeader::new(kind, encoding, stored, payload.len())
            .ok_or_else(|| invalid("a single entry has 4 GiB or more"))?;
        self.sink.write_all(&header.to_bytes())?;
        self.sink.write_all(stored)
    }

    fn check_string(&self, id: StringId) -> io::Result<()> {
        if id.0 < self.strings.next { Ok(()) } else { Err(invalid("a string is not of this trace")) }
    }

    fn check_stack(&self, id: StackId) -> io::Result<()> {
        if id.0 < self.stacks.next { Ok(()) } else { Err(invalid("a stack is not of this trace")) }
    }

    fn check_frame(&self, frame: Frame) -> io::Result<()> {
        let is_known = frame.module.is_none_or(|module| module.0 < self.modules.next);
        if is_known { Ok(()) } else { Err(invalid("a module is not of this trace")) }
    }
}

/// A table, as far as it is not written yet.
#[derive(Debug)]
struct Table {
    payload: Vec<u8>,
    next: u32,
}

impl Table {
    fn new(first: u32) -> Self {
        Self { payload: Vec::new(), next: first }
    }

    fn add(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> io::Result<u32> {
        let id = self.next;
        self.next = id.checked_add(1).ok_or_else(|| invalid("a table is full"))?;
        if self.payload.is_empty() {
            put_uint(&mut self.payload, id.into());
        }
        put(&mut self.payload);
        Ok(id)
    }

    fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.payload)
    }
}

/// Events that make the next block.
#[derive(Debug, Default)]
struct EventBlock {
    payload: Vec<u8>,
    /// `None` as long as the payload is empty.
    encoder: Option<EventEncoder>,
}

impl EventBlock {
    fn add(&mut self, event: &Event) {
        let payload = &mut self.payload;
        let encoder = self.encoder.get_or_insert_with(|| EventEncoder::new(payload, None, event.time));
        encoder.put(&mut self.payload, event);
    }

    fn take(&mut self) -> Vec<u8> {
        self.encoder = None;
        mem::take(&mut self.payload)
    }

    fn reuse(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.payload = buffer;
    }
}

fn put_frame(payload: &mut Vec<u8>, frame: Frame) {
    put_uint(payload, frame.module.map_or(0, |module| u64::from(module.0) + 1));
    put_uint(payload, frame.address);
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

struct Compressor {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

impl Compressor {
    fn new(level: Option<i32>) -> io::Result<Self> {
        Ok(Self { zstd: level.map(zstd::bulk::Compressor::new).transpose()?, buffer: Vec::new() })
    }

    /// `None` if it would not be shorter.
    fn compress(&mut self, payload: &[u8]) -> io::Result<Option<&[u8]>> {
        let Some(zstd) = &mut self.zstd else { return Ok(None) };
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(payload.len()));
        let length = zstd.compress_to_buffer(payload, &mut self.buffer)?;
        Ok((length < payload.len()).then_some(&self.buffer[..length]))
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("zstd", &self.zstd.is_some()).finish_non_exhaustive()
    }
}
