//! What a recording is, found out from its content.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use fastalloc_trace::{Ending, Error, HeaptrackReader, Item, TraceReader, format};
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use zstd::stream::read::Decoder;

use crate::failure::Failure;
use crate::symbols::printable;

const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// How much is looked at.
const START: u64 = 4096;
const BUFFER: usize = 128 << 10;
/// How many events may wait for earlier ones.
const WAITING_MAX: usize = 1 << 20;

/// The embedded recording: `ci/sample.sh` says of what it is, and makes it again.
const SAMPLE: &[u8] = include_bytes!("../sample/sample.trace");

/// Where a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input<'a> {
    /// In a file, or on standard input if it is `-`.
    File(&'a Path),
    /// In a file that will not be kept, and that nobody needs to know of, with what this program has allocated.
    Program { name: &'a str, file: &'a Path },
    /// In the program itself.
    Sample,
}

impl<'a> Input<'a> {
    /// The file, or else what is in the program.
    pub(crate) fn new(file: Option<&'a Path>) -> Self {
        file.map_or(Self::Sample, Self::File)
    }

    pub(crate) fn open(self, is_quiet: bool) -> Result<Recording, Failure> {
        match self {
            Self::File(path) | Self::Program { file: path, .. } => Recording::open(path, is_quiet),
            Self::Sample => {
                Recording::recognise(Path::new("the sample"), SAMPLE, progress(is_quiet, Some(SAMPLE.len() as u64)))
            }
        }
    }

    /// Whether it can be read more than once.
    pub(crate) fn is_lasting(self) -> bool {
        match self {
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
            Self::Program { .. } | Self::Sample => true,
        }
    }
}

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Program { name, .. } => f.write_str(&printable(name)),
            Self::Sample => f.write_str("the sample"),
        }
    }
}

/// A recording, as it is after decompression.
pub(crate) struct Recording {
    pub(crate) format: Format,
    pub(crate) source: Box<dyn BufRead>,
    /// Whether the compressed data ended too early; known when all has been read.
    pub(crate) is_cut: Rc<Cell<bool>>,
    /// Of reading it.
    pub(crate) progress: ProgressBar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A trace of fastalloc.
    Trace,
    /// What `heaptrack --raw` writes.
    Heaptrack,
    /// The JSON of DHAT.
    Dhat,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trace => "fastalloc",
            Self::Heaptrack => "heaptrack",
            Self::Dhat => "dhat",
        }
    }
}

impl Recording {
    /// Gives all items of it that can be read to `f`, events in the order of their times, as long as it returns `true`.
    ///
    /// Returns how the recording ended, if it came to its end.
    ///
    /// # Panics
    ///
    /// If it is a summary of DHAT, which has no items.
    pub(crate) fn for_each_item(self, mut f: impl FnMut(&Item) -> bool) -> Result<Option<Ending>, Error> {
        let ending = match self.format {
            Format::Trace => {
                let mut items = TraceReader::new(self.source)?.in_order(WAITING_MAX);
                for item in items.by_ref() {
                    if !f(&item?) {
                        break;
                    }
                }
                items.get_ref().ending()
            }
            Format::Heaptrack => {
                let mut items = HeaptrackReader::new(self.source)?;
                for item in items.by_ref() {
                    if !f(&item?) {
                        break;
                    }
                }
                items.ending()
            }
            Format::Dhat => unreachable!("who asks for items has looked at the format"),
        };
        self.progress.finish_and_clear();
        Ok(ending)
    }

    /// Opens a file, or standard input if it is `-`.
    fn open(path: &Path, is_quiet: bool) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Self::recognise(path, io::stdin(), progress(is_quiet, None));
        }
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let metadata = file.metadata().ok().filter(|metadata| metadata.is_file());
        Self::recognise(path, file, progress(is_quiet, metadata.map(|metadata| metadata.len())))
    }

    fn recognise(path: &Path, source: impl Read + 'static, progress: ProgressBar) -> Result<Self, Failure> {
        let source = Box::new(progress.wrap_read(source));
        let failed = |error| unreadable(path, &error);
        let is_cut = Rc::new(Cell::new(false));
        let (start, source) = peek(source).map_err(failed)?;
        let inner: Box<dyn Read> = if start.starts_with(GZIP) {
            Box::new(MultiGzDecoder::new(source))
        } else if start.starts_with(ZSTD) {
            Box::new(Decoder::with_buffer(source).map_err(failed)?)
        } else {
            return Ok(Self { format: format_of(path, &start)?, source, is_cut, progress });
        };
        let lenient = Lenient { inner, is_cut: Rc::clone(&is_cut) };
        let (start, source) = peek(Box::new(lenient)).map_err(failed)?;
        if start.is_empty() && is_cut.get() {
            let what = format!("{} is truncated: nothing of it can be decompressed", path.display());
            return Err(Failure::new(what, "see whether it was copied as a whole, and else record once more"));
        }
        Ok(Self { format: format_of(path, &start)?, source, is_cut, progress })
    }
}

/// A bar on standard error, if that is a terminal; it goes when it is dropped.
pub(crate) fn progress(is_quiet: bool, length: Option<u64>) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let template = match length {
        Some(_) => "{bar:40} {bytes} of {total_bytes}, {eta} to go",
        None => "{spinner} {bytes}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let progress = progress.with_style(style).with_finish(ProgressFinish::AndClear);
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

fn format_of(path: &Path, start: &[u8]) -> Result<Format, Failure> {
    let path = path.display();
    if start.starts_with(&format::MAGIC) {
        return Ok(Format::Trace);
    }
    if start.starts_with(b"v ") {
        // With strings (s), instruction pointers (i) and allocations (a) instead of modules.
        let is_interpreted = start.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"s "));
        if is_interpreted {
            let what = format!("{path} is a recording of heaptrack that has been interpreted: it lacks addresses");
            return Err(Failure::new(what, "record the program once more, with `heaptrack --raw`"));
        }
        return Ok(Format::Heaptrack);
    }
    if start.trim_ascii_start().starts_with(b"{") {
        return Ok(Format::Dhat);
    }
    if start.is_empty() {
        return Err(Failure::new(format!("{path} is empty"), "see whether the recorder has said why"));
    }
    Err(Failure::new(
        format!("{path} is no recording that is known here"),
        "give a trace of fastalloc, a recording of `heaptrack --raw`, or the JSON of DHAT; compressed by gzip or zstd, \
         or not",
    ))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let help = match error.kind() {
        ErrorKind::NotFound => "see whether the path is right: it starts at the current folder",
        ErrorKind::PermissionDenied => "ask who owns it for permission to read it",
        ErrorKind::IsADirectory => "give a file in that folder",
        _ => "see whether it can be read as a whole: `cat FILE > /dev/null`",
    };
    Failure::new(format!("cannot read {}: {error}", path.display()), help)
}

/// The first bytes, and the source as it was before.
fn peek(source: Box<dyn Read>) -> io::Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let mut start = Vec::new();
    source.by_ref().take(START).read_to_end(&mut start)?;
    let whole = Cursor::new(start.clone()).chain(source);
    Ok((start, Box::new(whole)))
}

/// Compressed data that may end anywhere: what can be read of it.
struct Lenient {
    inner: Box<dyn Read>,
    is_cut: Rc<Cell<bool>>,
}

impl Read for Lenient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_cut.get() {
            return Ok(0);
        }
        match self.inner.read(buffer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.is_cut.set(true);
                Ok(0)
            }
            read => read,
        }
    }
}
