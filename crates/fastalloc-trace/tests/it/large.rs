//! A trace of 1 GB, which is never in memory or in a file as a whole; and one that takes much memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastalloc_trace::generate::{Items, Lifetime, Program, SiteProgram};
use fastalloc_trace::{
    Analysis, AnalysisLimits, Event, EventKind, Frame, Item, Policy, Process, Stack, StackId, TraceReader, TraceWriter,
    WriterOptions, advise, site_of_frame,
};

use crate::hostile::allocated;

/// What was written and not yet read.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<VecDeque<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the trace as far as it is read.
struct Source<'a> {
    items: Items<'a>,
    writer: Option<TraceWriter<Pipe>>,
    pipe: Pipe,
    /// How long that took.
    time: Rc<Cell<Duration>>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        while self.pipe.0.borrow().len() < buffer.len() {
            let Some(writer) = &mut self.writer else { break };
            match self.items.next() {
                Some(item) => writer.item(&item)?,
                None => drop(self.writer.take().unwrap().finish()?),
            }
        }
        self.time.set(self.time.get() + start.elapsed());
        self.pipe.0.borrow_mut().read(buffer)
    }
}

/// 2000 sites; some 10 to 2000 objects of each are alive.
fn program(objects: u64) -> Program {
    let site = |number: u64| SiteProgram {
        objects: objects / 2000,
        burst: 1 + number % 7,
        gap_mean: 100_000,
        lifetime: Lifetime::Skewed(1000, 1 << (20 + number % 8)),
        threads: 4,
        freed_elsewhere_permille: 100,
        ..SiteProgram::new(0x1000 * (number + 1), 16 + number % 40 * 8)
    };
    Program { seed: 1, sites: (0..2000).map(site).collect() }
}

/// Payloads are not compressed, so that bytes are events.
#[test]
#[ignore = "takes minutes: cargo test --release --package fastalloc-trace --test it -- --ignored --nocapture"]
fn trace_of_1_gb_is_advised_in_less_than_1_gib() {
    let program = program(58_000_000);
    let pipe = Pipe::default();
    let mut options = WriterOptions::default();
    options.compression = None;
    let writer = TraceWriter::with_options(pipe.clone(), &Process::default(), options).unwrap();
    let time = Rc::<Cell<Duration>>::default();
    let source = Source { items: program.items(), writer: Some(writer), pipe, time: time.clone() };
    let mut result = None;
    let start = Instant::now();
    let memory = allocated(|| {
        let mut reader = TraceReader::new(source).unwrap();
        let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
        for item in reader.by_ref() {
            analysis.add(&item.unwrap());
        }
        let report = analysis.finish();
        result = Some((reader.offset(), report.events, advise(&report, &Policy::default()).len()));
    });
    let (length, events, advices) = result.unwrap();
    let rest = start.elapsed() - time.get();
    println!("{length} bytes, {events} events, {advices} advices, {memory} bytes of memory");
    println!("{:?} to write it, {rest:?} to read and to analyse it", time.get());
    assert!(length >= 1_000_000_000 && memory < 1 << 30);
}

/// As many sites, sizes and objects that are alive as can be remembered, and more; with very different lifetimes.
#[test]
#[ignore = "takes a minute: cargo test --release --package fastalloc-trace --test it -- --ignored --nocapture"]
fn analysis_of_the_worst_trace_takes_less_than_1_gib() {
    let mut untracked = 0;
    let memory = allocated(|| {
        let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
        let sites = 5000;
        for number in 0..sites {
            let frame = Frame { module: None, address: number.into() };
            analysis.add(&Item::Stack(Stack { parent: StackId::EMPTY, frame }));
        }
        let mut add = |time, kind| analysis.add(&Item::Event(Event { time, thread: 1, duration: 0, kind }));
        let allocate = |address: u64, size, stack| EventKind::Allocate { address, size, alignment: 1, stack };
        let addresses = |time: u64| (0..sites).flat_map(move |site| (0..4).map(move |size| (site, size, time)));
        for (lifetime, start) in [(1, 0), (1 << 40, 10)] {
            for (site, size, time) in addresses(start) {
                add(time, allocate(u64::from(site) * 4 + size, size, StackId(site + 1)));
            }
            for (site, size, time) in addresses(start + lifetime) {
                add(time, EventKind::Free { address: u64::from(site) * 4 + size });
            }
        }
        for number in 0..8_000_000_u64 {
            add(1 << 50, allocate(number, number % 4, StackId(number as u32 % sites + 1)));
        }
        untracked = analysis.finish().untracked;
    });
    println!("{memory} bytes of memory, {untracked} objects too many");
    assert!(memory < 1 << 30);
    assert_eq!(untracked, 8_000_000 - (7 << 20));
}
