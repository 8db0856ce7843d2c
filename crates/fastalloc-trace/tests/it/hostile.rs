//! No input makes a reader panic, or take more memory than its limits allow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::LazyLock;

use fastalloc_trace::format::{self, BlockHeader, encoding, kind, put_bytes, put_uint};
use fastalloc_trace::generate::{Program, SiteProgram};
use fastalloc_trace::{
    Analysis, AnalysisLimits, Configuration, Ending, Error, HeaptrackReader, Item, Limits, Policy, Process, Tables,
    TraceReader, TraceWriter, Verdict, advise, check, render, site_of_frame,
};
use proptest::prelude::*;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.block_len = 64 << 10;
    (limits.strings, limits.modules, limits.stacks, limits.symbols) = (1000, 1000, 1000, 1000);
    limits.string_bytes = 64 << 10;
    limits
}

/// Reads all there is, as an analysis would keep it.
fn read_all(bytes: &[u8]) -> Result<(Tables, Option<Ending>), Error> {
    let mut reader = TraceReader::with_limits(bytes, limits())?;
    let mut tables = Tables::default();
    for item in reader.by_ref() {
        tables.add(&item?);
    }
    Ok((tables, reader.ending()))
}

fn block(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = BlockHeader::new(kind, encoding::RAW, payload, payload.len()).unwrap();
    [&header.to_bytes(), payload].concat()
}

fn trace(blocks: &[Vec<u8>]) -> Vec<u8> {
    [format::header(0).to_vec(), blocks.concat()].concat()
}

/// A usual one.
static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let program = Program { seed: 1, sites: vec![SiteProgram::new(0x1000, 64)] };
    let mut writer = TraceWriter::new(Vec::new(), &Process::default()).unwrap();
    for item in program.items() {
        writer.item(&item).unwrap();
    }
    writer.finish().unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_read_within_limits(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&format::header(0)[..], &bytes].concat();
        prop_assert!(allocated(|| drop(read_all(&bytes))) < 1 << 20);
    }

    /// With a checksum that is right, so that the payload is looked at.
    #[test]
    fn arbitrary_payloads_are_read_within_limits(
        payloads in prop::collection::vec((1..9_u8, prop::collection::vec(any::<u8>(), 0..100)), 1..5),
    ) {
        let blocks: Vec<_> = payloads.iter().map(|(kind, payload)| block(*kind, payload)).collect();
        prop_assert!(allocated(|| drop(read_all(&trace(&blocks)))) < 1 << 20);
    }

    #[test]
    fn a_trace_with_a_changed_byte_is_damaged(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut bytes = SAMPLE.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        // A length that became larger looks like a truncated block. Some bytes of the header mean nothing.
        let is_unused = (12..16).contains(&at) || at == 10 && change == 1;
        match read_all(&bytes) {
            Ok((_, Some(Ending::Complete { .. }))) => prop_assert!(is_unused, "byte {}", at),
            Ok((_, Some(Ending::Truncated { .. }))) | Err(_) => {}
            Ok((_, ending)) => prop_assert!(false, "{:?}", ending),
        }
    }

    #[test]
    fn arbitrary_lines_are_read_within_limits(text in "[-+tmcvxXIR0-9a-f \n]{0,200}", version in 0..4) {
        let text = format!("v 10400 {version}\n{text}");
        let read = || {
            let mut tables = Tables::default();
            for item in HeaptrackReader::with_limits(text.as_bytes(), limits()).unwrap().flatten() {
                tables.add(&item);
            }
        };
        prop_assert!(allocated(read) < 1 << 20);
    }
}

proptest! {
    /// Whatever a valid trace says.
    #[test]
    fn arbitrary_items_are_analysed(items in crate::round_trip::items()) {
        let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
        items.iter().for_each(|item| analysis.add(item));
        let report = analysis.finish();
        let mut policy = Policy::default();
        (policy.objects_min, policy.reuse_min, policy.reallocation_share_max) = (0, 0.0, 1.0);
        for advice in advise(&report, &policy) {
            let (is_pool, text) = (matches!(advice.verdict, Verdict::Pool(_)), render(&advice));
            prop_assert_eq!(is_pool, text.is_some());
        }
        let configuration = Configuration::from_toml("pool = [{ site = '*', capacity = 1 }]").unwrap();
        prop_assert!(check(&configuration, &report).len() <= 1);
    }
}

#[test]
fn claimed_lengths_take_no_memory() {
    let mut limits = limits();
    limits.block_len = u32::MAX as usize;
    let mut header = BlockHeader::new(kind::EVENTS, encoding::RAW, &[], 0).unwrap();
    (header.stored_len, header.payload_len) = (u32::MAX, u32::MAX);
    let bytes = [&format::header(0)[..], &header.to_bytes(), &[0; 100]].concat();
    let read = || {
        let mut reader = TraceReader::with_limits(&bytes[..], limits).unwrap();
        assert!(reader.next().is_none());
        assert_eq!(reader.ending(), Some(Ending::Truncated { offset: 16, present: 116 }));
    };
    assert!(allocated(read) < 1 << 16);
}

#[test]
fn block_longer_than_the_limit_is_refused_with_its_offset() {
    let bytes = trace(&[block(kind::STRINGS, &[0]), block(kind::STRINGS, &[0; 70_000])]);
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { offset: 33, found: 70_000, limit: 65_536, .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the length of a block would be 70000, but the limit is 65536, in the block or line at offset 33"
    );
}

#[test]
fn decompression_bomb_is_refused() {
    let bomb = zstd_of_zeros(100 << 20);
    for claimed in [100 << 20, 1000] {
        let header = BlockHeader::new(kind::STRINGS, encoding::ZSTD, &bomb, claimed).unwrap();
        let bytes = trace(&[[&header.to_bytes()[..], &bomb].concat()]);
        let mut error = None;
        assert!(allocated(|| error = read_all(&bytes).err()) < 1 << 20);
        assert!(matches!(error, Some(Error::LimitExceeded { .. } | Error::Corrupt { .. })), "{error:?}");
    }
}

fn zstd_of_zeros(length: usize) -> Vec<u8> {
    zstd::bulk::compress(&vec![0; length], 3).unwrap()
}

#[test]
fn tables_end_at_their_limits() {
    let entries = |count: usize| {
        let mut payload = vec![0];
        (0..count).for_each(|_| put_bytes(&mut payload, b"x"));
        block(kind::STRINGS, &payload)
    };
    assert!(read_all(&trace(&[entries(1000)])).is_ok());
    let error = read_all(&trace(&[entries(1001)])).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { what: "the number of strings", .. }), "{error:?}");

    let stacks = |count: usize| block(kind::STACKS, &[&[1][..], &[0, 0, 5].repeat(count)].concat());
    assert!(read_all(&trace(&[stacks(1000)])).is_ok());
    assert!(matches!(read_all(&trace(&[stacks(1001)])), Err(Error::LimitExceeded { .. })));

    let mut symbols = vec![0, 7];
    put_uint(&mut symbols, u64::MAX);
    assert!(matches!(read_all(&trace(&[block(kind::SYMBOLS, &symbols)])), Err(Error::LimitExceeded { .. })));
}

#[test]
fn damage_is_told_with_its_place() {
    let mut bytes = trace(&[block(kind::STRINGS, &[0, 1, b'a']), block(kind::STRINGS, &[1, 1, b'b'])]);
    *bytes.last_mut().unwrap() = b'c';
    assert!(matches!(read_all(&bytes), Err(Error::Checksum { offset: 35, .. })));

    // A caller, a module, a path that is not there yet, a gap in a table, an entry that goes on behind its block, an unknown kind.
    for (kind, payload, at) in [
        (kind::STACKS, &[1, 1, 0, 0][..], 2),
        (kind::STACKS, &[1, 0, 1, 0], 3),
        (kind::MODULES, &[0, 0, 0, 0, 0, 0], 2),
        (kind::STRINGS, &[1, 1, b'a'], 1),
        (kind::STRINGS, &[0, 2, b'a'], 2),
        (kind::EVENTS, &[1, 0, 3, 0, 0], 5),
        (100, &[], 0),
    ] {
        let error = read_all(&trace(&[block(kind, payload)])).unwrap_err();
        assert!(matches!(error, Error::Corrupt { offset: 16, position, .. } if position == at), "{error:?}");
    }
}

#[test]
fn unknown_optional_blocks_are_passed_over() {
    let bytes = trace(&[block(200, &[1, 2, 3]), block(kind::STRINGS, &[0, 1, b'a'])]);
    let items: Vec<Item> = TraceReader::new(&bytes[..]).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(items, [Item::String("a".into())]);
}

#[test]
fn space_that_was_never_written_is_the_end() {
    let mut bytes = trace(&[block(kind::STRINGS, &[0, 1, b'a'])]);
    let length = bytes.len() as u64;
    bytes.extend([0; 4096]);
    assert_eq!(read_all(&bytes).unwrap().1, Some(Ending::Open { offset: length }));
}

#[test]
fn other_files_are_not_traces() {
    for bytes in [&b""[..], b"\x89FAT", b"#!/bin/sh and so on"] {
        assert!(matches!(read_all(bytes), Err(Error::NotATrace { .. })));
    }
    let mut bytes = SAMPLE.clone();
    bytes[8] = 2;
    assert!(matches!(read_all(&bytes), Err(Error::UnsupportedVersion { version: 2, known: 1 })));
}

thread_local! {
    static ALIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that this thread has in use at once meanwhile, in addition to what it had before.
pub(crate) fn allocated(run: impl FnOnce()) -> isize {
    let before = ALIVE.get();
    PEAK.set(before);
    run();
    PEAK.get() - before
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(difference: isize) {
    ALIVE.set(ALIVE.get() + difference);
    PEAK.set(PEAK.get().max(ALIVE.get()));
}

// SAFETY: the methods of `System`, with their contracts, which are those of this trait; and a count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is that of `System`, which all memory is from.
        unsafe { System.dealloc(address, layout) }
    }
}
