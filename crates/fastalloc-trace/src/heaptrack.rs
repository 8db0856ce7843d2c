//! Reading what `heaptrack --raw` has recorded.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use crate::error::{Error, Result};
use crate::event::{Event, EventKind, StackId};
use crate::item::{Frame, Item, Module, Process, Stack, StringId};
use crate::reader::{Ending, Limits};

/// The newest version of the format that is known here.
const VERSION: u64 = 3;

/// Reads a raw recording of heaptrack (`heaptrack --raw`), versions 1 to 3 of its format: an iterator over items.
///
/// The source is what is in the recording once it is decompressed: heaptrack writes `.zst` or `.gz`. What it does not
/// record is missing here:
///
/// - threads: all events are of thread 0, so nobody knows what is freed by another one;
/// - exact times: all events in some 10 ms have the same, and the first ones have 0;
/// - alignments: each is taken to be the largest that the size allows, at most 16;
/// - reallocations: they are frees and allocations;
/// - build ids, and how long calls took.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::{HeaptrackReader, Item};
///
/// let recording = "v 10400 3\nX ./program\nt 5000 0\n+ 40 1 7f00\n- 7f00\n";
/// let items = HeaptrackReader::new(recording.as_bytes())?.collect::<Result<Vec<_>, _>>()?;
/// assert!(matches!(items[..], [Item::Process(_), Item::Stack(_), Item::Event(_), Item::Event(_)]));
/// # Ok::<(), fastalloc_trace::Error>(())
/// ```
#[derive(Debug)]
pub struct HeaptrackReader<R> {
    source: R,
    limits: Limits,
    line: Vec<u8>,
    offset: u64,
    /// Where the line starts.
    line_start: u64,
    has_sized_strings: bool,
    time: u64,
    strings: u32,
    string_bytes: u64,
    stacks: u32,
    modules: u32,
    /// The path of the program, which is "x" among the modules.
    program: Option<String>,
    pending: VecDeque<Item>,
    ending: Option<Ending>,
    has_failed: bool,
}

impl<R: BufRead> HeaptrackReader<R> {
    /// Starts to read a recording, with the default limits.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or does not start like a raw recording of a version that is known here.
    pub fn new(source: R) -> Result<Self> {
        Self::with_limits(source, Limits::default())
    }

    /// Starts to read a recording.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or does not start like a raw recording of a version that is known here.
    pub fn with_limits(source: R, limits: Limits) -> Result<Self> {
        let mut reader = Self {
            source,
            limits,
            line: Vec::new(),
            offset: 0,
            line_start: 0,
            has_sized_strings: false,
            time: 0,
            strings: 0,
            string_bytes: 0,
            stacks: 0,
            modules: 0,
            program: None,
            pending: VecDeque::new(),
            ending: None,
            has_failed: false,
        };
        let not_a_trace = Error::NotATrace { expected: "raw recording of heaptrack (decompressed)" };
        if !reader.next_line()? {
            return Err(not_a_trace);
        }
        let line = std::mem::take(&mut reader.line);
        let mut fields = Fields { line: &line, position: 0, offset: 0 };
        if fields.word() != b"v" {
            return Err(not_a_trace);
        }
        fields.hex()?;
        let version = if fields.is_empty() { 1 } else { fields.hex()? };
        if version > VERSION {
            return Err(Error::UnsupportedVersion { version, known: VERSION });
        }
        reader.has_sized_strings = version >= 3;
        Ok(reader)
    }

    /// How the recording ended; `None` as long as there may be more items, and after an error.
    ///
    /// Recordings have no end, so that it is never [`Ending::Complete`].
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// How many bytes were read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            if !self.next_line()? {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.line);
            let parsed = self.parse(&line);
            self.line = line;
            if let Some(item) = parsed? {
                return Ok(Some(item));
            }
        }
    }

    /// Reads a line. Returns `false` at the end.
    fn next_line(&mut self) -> Result<bool> {
        let start = self.offset;
        self.line_start = start;
        self.line.clear();
        let limit = self.limits.block_len as u64;
        let read = self.source.by_ref().take(limit.saturating_add(1)).read_until(b'\n', &mut self.line);
        let length = read.map_err(|source| Error::Io { offset: start, source })? as u64;
        if length > limit {
            let what = "the length of a line";
            return Err(Error::LimitExceeded { offset: start, what, found: length, limit });
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else {
            self.ending = Some(match length {
                0 => Ending::Open { offset: start },
                present => Ending::Truncated { offset: start, present },
            });
            return Ok(false);
        }
        self.offset += length;
        Ok(true)
    }

    fn parse(&mut self, line: &[u8]) -> Result<Option<Item>> {
        let mut fields = Fields { line, position: 0, offset: self.line_start };
        let item = match fields.word() {
            b"+" => {
                let size = fields.hex()?;
                let stack = self.stack_id(&mut fields)?;
                let address = fields.hex()?;
                let alignment = 1 << size.trailing_zeros().min(4);
                self.event(EventKind::Allocate { address, size, alignment, stack })
            }
            b"-" => self.event(EventKind::Free { address: fields.hex()? }),
            b"t" => {
                let frame = Frame { module: None, address: fields.hex()? };
                let parent = self.stack_id(&mut fields)?;
                self.stacks += 1;
                check_limit("the number of stacks", self.stacks.into(), self.limits.stacks.into(), self.line_start)?;
                Item::Stack(Stack { parent, frame })
            }
            b"c" => {
                let nanoseconds = fields.hex()?.checked_mul(1_000_000);
                let time = nanoseconds.ok_or_else(|| fields.corrupt("a time is too large"))?;
                self.time = self.time.max(time);
                return Ok(None);
            }
            b"X" => {
                let text = String::from_utf8_lossy(fields.rest());
                let count = text.split(' ').count() as u64;
                check_limit("the number of arguments", count, self.limits.strings.into(), self.line_start)?;
                let arguments = text.split(' ').map(String::from).collect();
                Item::Process(Process { clock_resolution: 10_000_000, arguments, ..Process::default() })
            }
            b"x" => {
                let path = self.path(&mut fields)?;
                self.program = Some(String::from_utf8_lossy(path).into_owned());
                return Ok(None);
            }
            b"m" => return self.module(&mut fields),
            // Memory pages, resident memory, suppressions, comments, and what later versions may add.
            _ => return Ok(None),
        };
        Ok(Some(item))
    }

    fn module(&mut self, fields: &mut Fields<'_>) -> Result<Option<Item>> {
        let path = self.path(fields)?;
        // The list of modules starts again: the later ones count.
        if path == b"-" {
            return Ok(None);
        }
        let path = match &self.program {
            Some(program) if path == b"x" => program.clone(),
            _ => String::from_utf8_lossy(path).into_owned(),
        };
        let load_address = fields.hex()?;
        let (mut first, mut end) = (u64::MAX, 0);
        while !fields.is_empty() {
            let (start, length) = (fields.hex()?, fields.hex()?);
            first = first.min(start);
            end = end.max(start.saturating_add(length));
        }
        self.modules += 1;
        self.strings += 1;
        self.string_bytes += path.len() as u64;
        check_limit("the number of modules", self.modules.into(), self.limits.modules.into(), self.line_start)?;
        check_limit("the length of all strings", self.string_bytes, self.limits.string_bytes, self.line_start)?;
        self.pending.push_back(Item::Module(Module {
            path: StringId(self.strings - 1),
            build_id: Vec::new(),
            load_address,
            start: load_address.wrapping_add(if end == 0 { 0 } else { first }),
            length: end.saturating_sub(first),
        }));
        Ok(Some(Item::String(path)))
    }

    fn path<'a>(&self, fields: &mut Fields<'a>) -> Result<&'a [u8]> {
        if self.has_sized_strings {
            let length = fields.hex()?;
            fields.sized(length)
        } else {
            Ok(fields.word())
        }
    }

    fn stack_id(&self, fields: &mut Fields<'_>) -> Result<StackId> {
        let number = fields.hex()?;
        if number > u64::from(self.stacks) {
            return Err(fields.corrupt("a stack is used that there is not yet"));
        }
        Ok(StackId(number as u32))
    }

    fn event(&self, kind: EventKind) -> Item {
        Item::Event(Event { time: self.time, thread: 0, duration: 0, kind })
    }
}

impl<R: BufRead> Iterator for HeaptrackReader<R> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed || self.ending.is_some() {
            return None;
        }
        self.next_item().inspect_err(|_| self.has_failed = true).transpose()
    }
}

/// The fields of a line, which spaces separate.
struct Fields<'a> {
    line: &'a [u8],
    position: usize,
    offset: u64,
}

impl<'a> Fields<'a> {
    fn is_empty(&self) -> bool {
        self.line[self.position..].iter().all(|byte| *byte == b' ')
    }

    fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { offset: self.offset, position: self.position, what }
    }

    fn skip_spaces(&mut self) {
        while self.line.get(self.position) == Some(&b' ') {
            self.position += 1;
        }
    }

    fn word(&mut self) -> &'a [u8] {
        self.skip_spaces();
        let rest = &self.line[self.position..];
        let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }

    fn hex(&mut self) -> Result<u64> {
        let word = self.word();
        let text = std::str::from_utf8(word).unwrap_or("");
        // `from_str_radix` takes a sign.
        let digits = if text.starts_with('+') { "" } else { text };
        u64::from_str_radix(digits, 16).map_err(|_| self.corrupt("there should be a hexadecimal number here"))
    }

    fn sized(&mut self, length: u64) -> Result<&'a [u8]> {
        self.position += usize::from(!self.line[self.position..].is_empty());
        let rest = &self.line[self.position..];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let text = rest.get(..length).ok_or_else(|| self.corrupt("a text is longer than its line"))?;
        self.position += length;
        Ok(text)
    }

    fn rest(&mut self) -> &'a [u8] {
        self.skip_spaces();
        let rest = &self.line[self.position..];
        self.position = self.line.len();
        rest
    }
}

fn check_limit(what: &'static str, found: u64, limit: u64, offset: u64) -> Result<()> {
    if found > limit { Err(Error::LimitExceeded { offset, what, found, limit }) } else { Ok(()) }
}
