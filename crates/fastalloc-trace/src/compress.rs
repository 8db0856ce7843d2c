//! Traces that were written without compression: recorders do not take the time.

use std::io::{self, Read, Write};

use crate::error::{Error, Result};
use crate::format::{BLOCK_HEADER_LEN, BlockHeader, HEADER_LEN, MAGIC, Payload, encoding, kind};
use crate::reader::{Ending, Limits, read_up_to};

/// What [`compress`] has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compressed {
    /// How the trace ended, with offsets in the source.
    pub ending: Ending,
    /// How many events it has, if it is complete.
    pub events: Option<u64>,
}

/// Copies a trace, with blocks compressed by zstd that are not yet, where that makes them shorter.
///
/// All blocks stay, and stay in order, those of unknown kinds too. What cannot be read of a truncated trace is left out.
/// Needs the memory of a few blocks.
///
/// # Errors
///
/// If the source cannot be read, is no trace, or a block is damaged; if the target cannot be written, or zstd does not
/// accept the level.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::{Ending, Process, TraceWriter, WriterOptions, compress};
///
/// let mut options = WriterOptions::default();
/// options.compression = None;
/// let process = Process { arguments: vec!["a".repeat(1000)], ..Process::default() };
/// let trace = TraceWriter::with_options(Vec::new(), &process, options)?.finish()?;
/// let mut shorter = Vec::new();
/// let compressed = compress(&trace[..], &mut shorter, 3)?;
/// assert_eq!(compressed.events, Some(0));
/// assert!(shorter.len() < 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compress(mut source: impl Read, mut target: impl Write, level: i32) -> Result<Compressed> {
    let failed = |offset| move |source: io::Error| Error::Io { offset, source };
    let mut start = [0; HEADER_LEN];
    let length = read_up_to(&mut source, &mut start).map_err(failed(0))?;
    if length < HEADER_LEN || start[..8] != MAGIC {
        return Err(Error::NotATrace { expected: "trace of fastalloc" });
    }
    target.write_all(&start).map_err(failed(0))?;
    let mut compressor = zstd::bulk::Compressor::new(level).map_err(failed(0))?;
    let mut stored = Vec::new();
    let mut offset = HEADER_LEN as u64;
    let limit = Limits::default().block_len as u64;
    loop {
        let ended = |ending| Ok(Compressed { ending, events: None });
        let mut bytes = [0; BLOCK_HEADER_LEN];
        let length = read_up_to(&mut source, &mut bytes).map_err(failed(offset))?;
        if bytes[..length].iter().all(|byte| *byte == 0) {
            return ended(Ending::Open { offset });
        }
        let header = BlockHeader::from_bytes(&bytes);
        let stored_len = u64::from(header.stored_len);
        if stored_len > limit {
            return Err(Error::LimitExceeded { offset, what: "the length of a block", found: stored_len, limit });
        }
        stored.clear();
        let present = source.by_ref().take(stored_len).read_to_end(&mut stored).map_err(failed(offset))? as u64;
        if length < BLOCK_HEADER_LEN || present < stored_len {
            return ended(Ending::Truncated { offset, present: length as u64 + present });
        }
        let found = header.checksum_of(&stored);
        if found != header.checksum {
            return Err(Error::Checksum { offset, expected: header.checksum, found });
        }
        let shorter = if header.encoding == encoding::RAW {
            Some(compressor.compress(&stored).map_err(failed(offset))?)
        } else {
            None
        };
        let shorter = shorter.filter(|shorter| shorter.len() < stored.len());
        let new_header = |shorter: &Vec<u8>| BlockHeader::new(header.kind, encoding::ZSTD, shorter, stored.len());
        let (header, content) = match shorter.as_ref().and_then(|shorter| Some((new_header(shorter)?, shorter))) {
            Some(compressed) => compressed,
            None => (header, &stored),
        };
        target.write_all(&header.to_bytes()).map_err(failed(offset))?;
        target.write_all(content).map_err(failed(offset))?;
        offset += BLOCK_HEADER_LEN as u64 + stored_len;
        if header.kind == kind::END {
            let events = Payload::new(stored, offset).uint().ok().filter(|_| header.encoding == encoding::RAW);
            return Ok(Compressed { ending: Ending::Complete { offset }, events });
        }
    }
}
