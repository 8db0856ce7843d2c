//! What code is where in memory, as the kernel tells.
//!
//! The loader knows too, but asking it takes its lock, which the program may have while it allocates.

use core::ffi::CStr;

use crate::sys::{self, File, FileId};

const MODULES: usize = 4096;
/// A line of `/proc/self/maps` at most: its numbers, and a path.
const LINE: usize = 4096 + 256;

/// A program or library in memory.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where in the file it starts.
    pub(crate) offset: u64,
    file: FileId,
    has_code: bool,
    was_seen: bool,
}

/// The modules that are known. Zeros are none.
pub(crate) struct Modules {
    count: usize,
    /// Where the last address was.
    last: usize,
    known: [Module; MODULES],
    reader: Lines,
    path: [u8; LINE],
}

struct Lines {
    start: usize,
    end: usize,
    buffer: [u8; 2 * LINE],
}

/// A build id, and the address in memory of address 0 in the file.
pub(crate) struct Identity {
    pub(crate) build_id: [u8; 64],
    pub(crate) build_id_len: usize,
    pub(crate) load_address: usize,
}

impl Modules {
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Whether an address is in a module that is known.
    pub(crate) fn has(&mut self, address: usize) -> bool {
        let known = &self.known[..self.count];
        let is_in = |module: &Module| (module.start..module.end).contains(&address);
        if !known.get(self.last).is_some_and(is_in) {
            match known.iter().position(is_in) {
                Some(index) => self.last = index,
                None => return false,
            }
        }
        true
    }

    /// Looks at what there is now, and tells what is new, with its path. Returns whether something has gone.
    pub(crate) fn update(&mut self, mut tell: impl FnMut(&Module, &CStr)) -> bool {
        let Ok(file) = File::open(c"/proc/self/maps") else { return false };
        self.known[..self.count].iter_mut().for_each(|module| module.was_seen = false);
        let mut current: Option<Module> = None;
        (self.reader.start, self.reader.end) = (0, 0);
        loop {
            let line = self.reader.next(file);
            let mapping = line.and_then(Mapping::parse);
            if line.is_some() && mapping.is_none() {
                // Of no file: between the parts of a module, perhaps.
                continue;
            }
            match (&mut current, &mapping) {
                (Some(module), Some(Mapping { module: next, .. }))
                    if module.file == next.file && next.offset > module.offset && next.start >= module.end =>
                {
                    module.end = next.end;
                    module.has_code |= next.has_code;
                }
                (finished, _) => {
                    if let Some(module) = finished.take().filter(|module| module.has_code) {
                        let is_new = !Self::see(&mut self.known[..self.count], &module);
                        if is_new && self.count < MODULES {
                            self.known[self.count] = module;
                            self.count += 1;
                            if let Ok(path) = CStr::from_bytes_until_nul(&self.path) {
                                tell(&module, path);
                            }
                        }
                    }
                    let Some(mapping) = mapping else { break };
                    current = Some(mapping.module);
                    self.path[..mapping.path.len()].copy_from_slice(mapping.path);
                    self.path[mapping.path.len()] = 0;
                }
            }
        }
        file.close();
        let before = self.count;
        let mut kept = 0;
        for index in 0..before {
            if self.known[index].was_seen {
                self.known[kept] = self.known[index];
                kept += 1;
            }
        }
        self.count = kept;
        kept < before
    }

    fn see(known: &mut [Module], module: &Module) -> bool {
        let is_same = |other: &&mut Module| {
            (other.start, other.end, other.offset, other.file) == (module.start, module.end, module.offset, module.file)
        };
        known.iter_mut().find(is_same).is_some_and(|known| {
            known.was_seen = true;
            true
        })
    }
}

impl Lines {
    /// The next line, without its end.
    fn next(&mut self, file: File) -> Option<&[u8]> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                let start = self.start;
                self.start += length + 1;
                return Some(&self.buffer[start..start + length]);
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match file.read(&mut self.buffer[self.end..]) {
                0 => return None,
                more => self.end += more,
            }
        }
    }
}

/// A line: `start-end rwxp offset major:minor inode   path`.
struct Mapping<'a> {
    module: Module,
    path: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// `None` if it is not of a file.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut range = fields.next()?.split(|byte| *byte == b'-');
        let (start, end) = (hex(range.next()?)? as usize, hex(range.next()?)? as usize);
        let has_code = fields.next()?.get(2) == Some(&b'x');
        let offset = hex(fields.next()?)?;
        let mut device = fields.next()?.split(|byte| *byte == b':');
        let device = hex(device.next()?)? << 32 | hex(device.next()?)?;
        let inode = fields.next()?.iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0')?))
        })?;
        let path = fields.next()?.trim_ascii_start();
        if !path.starts_with(b"/") || path.len() >= LINE {
            return None;
        }
        let file = FileId { device, inode };
        Some(Self { module: Module { start, end, offset, file, has_code, was_seen: true }, path })
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = (*digit as char).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

impl Module {
    /// What its file says. If that cannot be read, or is another one now, nothing but a guess of the address.
    pub(crate) fn identity(&self, path: &CStr) -> Identity {
        let mut identity = Identity {
            build_id: [0; 64],
            build_id_len: 0,
            load_address: self.start.wrapping_sub(self.offset as usize),
        };
        if let Ok(file) = File::open(path) {
            if file.id().is_some_and(|id| id.inode == self.file.inode) {
                let _ = self.read_identity(file, &mut identity);
            }
            file.close();
        }
        identity
    }

    /// From the program headers: `PT_LOAD` and `PT_NOTE`.
    fn read_identity(&self, file: File, identity: &mut Identity) -> Option<()> {
        const LOAD: u32 = 1;
        const NOTE: u32 = 4;
        let page_mask = !(sys::page_size() as u64 - 1);
        let mut header = [0; 64];
        file.read_at(&mut header, 0).then_some(())?;
        // ELF of 64 bits, the least significant byte first.
        header.starts_with(b"\x7FELF\x02\x01").then_some(())?;
        let (start, count) = (u64_at(&header, 32)?, u16::from_le_bytes([header[56], header[57]]));
        let mut is_located = false;
        for index in 0..u64::from(count.min(64)) {
            let mut entry = [0; 56];
            file.read_at(&mut entry, start.checked_add(index * 56)?).then_some(())?;
            let (offset, address, length) = (u64_at(&entry, 8)?, u64_at(&entry, 16)?, u64_at(&entry, 32)?);
            match u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) {
                LOAD if !is_located && offset & page_mask == self.offset => {
                    identity.load_address = self.start.wrapping_sub((address & page_mask) as usize);
                    is_located = true;
                }
                NOTE if identity.build_id_len == 0 => read_build_id(file, offset, length, identity),
                _ => {}
            }
        }
        Some(())
    }
}

/// Notes are lengths of a name and of what it names, a type, the two, each padded to 4 bytes.
fn read_build_id(file: File, offset: u64, length: u64, identity: &mut Identity) {
    const BUILD_ID: u32 = 3;
    let mut notes = [0; 1024];
    let notes = &mut notes[..length.min(1024) as usize];
    if !file.read_at(notes, offset) {
        return;
    }
    let mut rest = &*notes;
    while let Some((header, content)) = rest.split_at_checked(12) {
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let padded = |length: u32| (length as usize).next_multiple_of(4);
        let (name_len, length) = (padded(word(0)), word(4));
        let Some(value) = content.get(name_len..).and_then(|value| value.get(..length as usize)) else { return };
        if word(8) == BUILD_ID && content.starts_with(b"GNU\0") && value.len() <= identity.build_id.len() {
            identity.build_id[..value.len()].copy_from_slice(value);
            identity.build_id_len = value.len();
            return;
        }
        let Some(next) = content.get(name_len + padded(length)..) else { return };
        rest = next;
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
