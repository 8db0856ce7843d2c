//! The file that the trace goes to, and what is in it already.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::buffer::{self, Buffer, End, LockedEvents};
use crate::crc::Crc;
use crate::encode::{self, BLOCK_HEADER_LEN, BlockHeader, encoding, kind, put_bytes, put_uint};
use crate::modules::{Module, Modules};
use crate::process::{self, Name, Options};
use crate::stack;
use crate::sync::Lock;
use crate::sys::{self, File, FileId};

/// Bytes of a block that is not of events.
const BLOCK: usize = 64 << 10;
/// How long events wait to be written at most if there are others, in nanoseconds.
const DELAY: u64 = 10_000_000;

/// One lock for all that is written.
pub(crate) static TRACE: Lock<Trace> = Lock::new(Trace::new());

/// Whether the program is ending: every event is written at once, since it may be the last.
static IS_ENDING: AtomicBool = AtomicBool::new(false);
/// When everything was written last.
static LAST_ALL: AtomicU64 = AtomicU64::new(0);
/// Whether modules may have gone.
static HAS_UNLOADED: AtomicBool = AtomicBool::new(false);
/// Events that are not in the trace because there was no memory or no file for them, and those whose stack is not because
/// the table is full.
pub(crate) static LOST_EVENTS: AtomicU64 = AtomicU64::new(0);
pub(crate) static LOST_STACKS: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Trace {
    file: Option<(File, FileId)>,
    name: Name,
    /// Where the next block goes.
    offset: u64,
    events: u64,
    stacks: u32,
    modules: u64,
    memory: Option<&'static mut Memory>,
    /// How many buffers there may be before those of threads that have ended are looked for.
    buffers_max: usize,
}

/// What is too large for a static variable. Zeros are valid.
struct Memory {
    modules: Modules,
    block: [u8; BLOCK],
    command_line: [u8; 32 << 10],
}

impl Trace {
    const fn new() -> Self {
        Self {
            file: None,
            name: Name::new(),
            offset: 0,
            events: 0,
            stacks: 0,
            modules: 0,
            memory: None,
            buffers_max: 16,
        }
    }

    /// Starts a file, under the first of its names that is not there yet.
    pub(crate) fn begin(&mut self, options: &Options) -> bool {
        if self.memory.is_none() {
            // SAFETY: zeros are valid, and nobody else has the memory.
            self.memory = sys::map::<Memory>().map(|memory| unsafe { &mut *memory });
        }
        let Some(memory) = &mut self.memory else { return false };
        memory.modules.clear();
        (self.offset, self.events, self.stacks, self.modules) = (0, 0, 0, 0);
        let mut attempt = 1;
        let file = loop {
            self.name.set(options, attempt);
            match File::create(self.name.get()) {
                Ok(file) => break file.out_of_the_way(),
                Err(sys::EEXIST) if attempt < 10_000 => attempt += 1,
                Err(_) => return false,
            }
        };
        self.file = file.id().map(|id| (file, id));
        self.write(&encode::header(0)) && self.write_process(options)
    }

    /// What the child of a fork has of its parent's.
    pub(crate) fn abandon(&mut self) {
        if let Some((file, id)) = self.file.take() {
            if file.id() == Some(id) {
                file.close();
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// A buffer for a thread that has none.
    pub(crate) fn buffer(&mut self, thread: u32) -> Option<&'static Buffer> {
        let vacant = || buffer::all().find(|buffer| buffer.owner() == 0);
        let found = vacant().or_else(|| {
            if buffer::all().count() >= self.buffers_max {
                self.reclaim(thread);
            }
            vacant()
        });
        match found {
            Some(buffer) => {
                buffer.set_owner(thread);
                Some(buffer)
            }
            None => Buffer::new(thread),
        }
    }

    /// Takes the buffers of threads that have ended. One that had this number is among them.
    fn reclaim(&mut self, thread: u32) {
        let process = sys::process_id();
        let mut alive = 0;
        for buffer in buffer::all() {
            if buffer.owner() != thread && sys::is_thread_alive(process, buffer.owner()) {
                alive += 1;
            } else if let Some(mut events) = buffer.lock_patiently() {
                self.write_events(&mut events);
                buffer.set_owner(0);
            }
        }
        self.buffers_max = (2 * alive).max(16);
    }

    /// Writes what is in all buffers, and then that everything before has been written.
    fn write_all(&mut self) {
        let mut until = process::now();
        for buffer in buffer::all() {
            match buffer.lock_patiently() {
                Some(mut events) => self.write_events(&mut events),
                None => until = until.min(buffer.since().unwrap_or(0)),
            }
        }
        if until > 0 && self.is_open() {
            self.write_block(kind::BARRIER, |end| put_uint(end, until));
        }
    }

    fn write_events(&mut self, events: &mut LockedEvents<'_>) {
        let count = events.get().count();
        if count == 0 {
            return;
        }
        // Whatever stacks the events have are among the first so many.
        let stacks = stack::count();
        if !self.is_open() && !process::begin_child(self) {
            LOST_EVENTS.fetch_add(count, Ordering::Relaxed);
        } else if self.write_stacks(stacks) {
            let block = events.get().block();
            seal(kind::EVENTS, block);
            if self.write(block) {
                self.events += count;
            }
        }
        events.clear();
    }

    fn write_stacks(&mut self, count: u32) -> bool {
        // Modules come before the stacks that have addresses in them. They are looked at once, however many addresses
        // are in none: such is code that was made at run time.
        let is_unknown = |trace: &mut Self, number| {
            let (_, address) = stack::get(number);
            address != 0 && trace.memory.as_mut().is_some_and(|memory| !memory.modules.has(address))
        };
        let has_unloaded = HAS_UNLOADED.swap(false, Ordering::AcqRel);
        if has_unloaded || (self.stacks + 1..=count).any(|number| is_unknown(self, number)) {
            self.write_modules();
        }
        while self.stacks < count {
            let mut written = self.stacks;
            let is_written = self.write_block(kind::STACKS, |end| {
                put_uint(end, u64::from(written) + 1);
                while written < count && end.1 + 32 < BLOCK {
                    written += 1;
                    let (caller, address) = stack::get(written);
                    put_uint(end, caller.into());
                    put_uint(end, 0);
                    put_uint(end, address as u64);
                }
            });
            if !is_written {
                return false;
            }
            self.stacks = written;
        }
        true
    }

    fn write_modules(&mut self) {
        // It is moved out of `self`, which is needed to write.
        let Some(memory) = self.memory.take() else { return };
        let Memory { modules, block, .. } = &mut *memory;
        let has_gone = modules.update(|module, path| self.write_module(block, module, path));
        if has_gone {
            stack::begin_epoch();
        }
        self.memory = Some(memory);
    }

    fn write_module(&mut self, block: &mut [u8; BLOCK], module: &Module, path: &CStr) {
        let identity = module.identity(path);
        let number = self.modules;
        let strings = make_block(block, kind::STRINGS, |end| {
            put_uint(end, number);
            put_bytes(end, path.to_bytes());
        });
        let is_written = self.write(strings);
        let entry = make_block(block, kind::MODULES, |end| {
            put_uint(end, number);
            put_uint(end, number);
            put_bytes(end, &identity.build_id[..identity.build_id_len]);
            put_uint(end, identity.load_address as u64);
            put_uint(end, module.start as u64);
            put_uint(end, (module.end - module.start) as u64);
        });
        if is_written && self.write(entry) {
            self.modules += 1;
        }
    }

    fn write_process(&mut self, options: &Options) -> bool {
        let Some(memory) = self.memory.take() else { return false };
        let Memory { block, command_line, .. } = &mut *memory;
        let length = File::open(c"/proc/self/cmdline").map_or(0, |file| {
            let length = file.read(command_line);
            file.close();
            length
        });
        let command_line = &command_line[..length];
        let arguments = command_line.strip_suffix(b"\0").unwrap_or(command_line).split(|byte| *byte == 0);
        let bytes = make_block(block, kind::PROCESS, |end| {
            put_uint(end, sys::process_id().into());
            put_uint(end, sys::parent_id().into());
            put_uint(end, options.started);
            put_uint(end, 1);
            put_uint(end, options.sampling);
            put_uint(end, arguments.clone().count() as u64);
            arguments.for_each(|argument| put_bytes(end, argument));
        });
        let is_written = self.write(bytes);
        self.memory = Some(memory);
        is_written
    }

    fn write_losses(&mut self) {
        let lost = [&LOST_EVENTS, &LOST_STACKS].map(|lost| lost.load(Ordering::Relaxed));
        if lost != [0, 0] {
            self.write_block(kind::LOSSES, |end| lost.into_iter().for_each(|lost| put_uint(end, lost)));
        }
    }

    /// Writes the end, for now: the next block will go to its place.
    fn write_end(&mut self) {
        let (before, events) = (self.offset, self.events);
        self.write_losses();
        self.write_block(kind::END, |end| put_uint(end, events));
        self.offset = before;
    }

    fn write_block(&mut self, kind: u8, fill: impl FnOnce(&mut End<'_>)) -> bool {
        let Some(memory) = self.memory.take() else { return false };
        let is_written = self.write(make_block(&mut memory.block, kind, fill));
        self.memory = Some(memory);
        is_written
    }

    /// Writes to the file, which nothing is written to any more once this has failed.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(file) = self.checked_file() else { return false };
        if !file.write_at(bytes, self.offset) {
            self.stop();
            return false;
        }
        self.offset += bytes.len() as u64;
        true
    }

    /// The file, opened once more if the program has closed it, and perhaps has another one under its number.
    fn checked_file(&mut self) -> Option<File> {
        let (file, id) = self.file?;
        if file.id() == Some(id) {
            return Some(file);
        }
        match File::open_to_write(self.name.get()) {
            Ok(file) if file.id() == Some(id) => {
                let file = file.out_of_the_way();
                self.file = Some((file, id));
                Some(file)
            }
            _ => {
                self.stop();
                None
            }
        }
    }

    fn stop(&mut self) {
        self.file = None;
        process::stop();
    }
}

/// Writes what is in a buffer that has no room for more.
pub(crate) fn flush(buffer: &Buffer) {
    if process::is_stranger() {
        return;
    }
    let mut trace = TRACE.lock();
    if let Some(mut events) = buffer.lock_patiently() {
        trace.write_events(&mut events);
    }
    if IS_ENDING.load(Ordering::Relaxed) {
        trace.write_end();
    }
}

/// After an event: writes what must not wait any longer.
pub(crate) fn after_event(buffer: &Buffer, time: u64, is_full: bool) {
    if is_full || IS_ENDING.load(Ordering::Relaxed) {
        flush(buffer);
    }
    let last = LAST_ALL.load(Ordering::Relaxed);
    if time.saturating_sub(last) >= DELAY
        && LAST_ALL.compare_exchange(last, time, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        flush_all();
    }
}

/// Writes what is in all buffers.
pub(crate) fn flush_all() {
    if !process::is_stranger() {
        TRACE.lock().write_all();
    }
}

/// The program ends, but may allocate meanwhile.
pub(crate) fn finish() {
    if !process::is_stranger() {
        let mut trace = TRACE.lock();
        IS_ENDING.store(true, Ordering::Relaxed);
        trace.write_all();
        if trace.is_open() {
            trace.write_end();
        }
    }
}

/// What was lost was the parent's.
pub(crate) fn forget_losses() {
    LOST_EVENTS.store(0, Ordering::Relaxed);
    LOST_STACKS.store(0, Ordering::Relaxed);
}

pub(crate) fn has_unloaded() {
    HAS_UNLOADED.store(true, Ordering::Release);
}

fn make_block(block: &mut [u8], kind: u8, fill: impl FnOnce(&mut End<'_>)) -> &[u8] {
    let mut end = End(block, BLOCK_HEADER_LEN);
    fill(&mut end);
    let length = end.1;
    seal(kind, &mut block[..length]);
    &block[..length]
}

/// Fills in the header of a block.
fn seal(kind: u8, block: &mut [u8]) {
    let (header, payload) = block.split_at_mut(BLOCK_HEADER_LEN);
    let length = payload.len() as u32;
    let mut fields =
        BlockHeader { kind, encoding: encoding::RAW, stored_len: length, payload_len: length, checksum: 0 };
    let mut crc = Crc::new();
    crc.update(&fields.to_bytes()[..12]);
    crc.update(payload);
    fields.checksum = crc.finish();
    header.copy_from_slice(&fields.to_bytes());
}
