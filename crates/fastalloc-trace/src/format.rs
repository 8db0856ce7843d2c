#![doc = include_str!("../FORMAT.md")]

use crate::error::{Error, Result};

pub use crate::encode::{
    BLOCK_HEADER_LEN, BlockHeader, EVENT_LEN_MAX, EventEncoder, FLAG_ORDERED, HEADER_LEN, MAGIC, VERSION, encoding,
    header, kind, put_bytes, put_int, put_uint, tag,
};

impl BlockHeader {
    /// The header of a block that stores this; `None` if one of the lengths is 2³² or more.
    #[must_use]
    pub fn new(kind: u8, encoding: u8, stored: &[u8], payload_len: usize) -> Option<Self> {
        let (stored_len, payload_len) = (stored.len().try_into().ok()?, payload_len.try_into().ok()?);
        let mut header = Self { kind, encoding, stored_len, payload_len, checksum: 0 };
        header.checksum = header.checksum_of(stored);
        Some(header)
    }

    /// The checksum that the block must have if it stores this.
    #[must_use]
    pub fn checksum_of(&self, stored: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.to_bytes()[..12]);
        hasher.update(stored);
        hasher.finalize()
    }
}

/// The payload of a block, as far as it was not read yet.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    position: usize,
    /// Where the block starts.
    offset: u64,
}

impl Payload {
    pub(crate) fn new(bytes: Vec<u8>, offset: u64) -> Self {
        Self { bytes, position: 0, offset }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// The memory, for the next block.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.position = 0;
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { offset: self.offset, position: self.position, what }
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.position).ok_or_else(|| self.corrupt("the block ends within an entry"))?;
        self.position += 1;
        Ok(byte)
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.corrupt("a number has more than 64 bits"))
    }

    pub(crate) fn uint32(&mut self, what: &'static str) -> Result<u32> {
        let number = self.uint()?;
        number.try_into().map_err(|_| self.corrupt(what))
    }

    pub(crate) fn int(&mut self) -> Result<u64> {
        let number = self.uint()?;
        Ok(number >> 1 ^ (number & 1).wrapping_neg())
    }

    pub(crate) fn bytes(&mut self) -> Result<&[u8]> {
        let length = self.uint()?;
        let rest = self.bytes.len() - self.position;
        if length > rest as u64 {
            return Err(self.corrupt("a text is longer than its block"));
        }
        let start = self.position;
        self.position += length as usize;
        Ok(&self.bytes[start..self.position])
    }

    /// What is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}
