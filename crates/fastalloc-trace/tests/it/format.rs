//! The documented example, made by hand.

use fastalloc_trace::format::{BlockHeader, EVENT_LEN_MAX, EventEncoder, FLAG_ORDERED, encoding, header, kind};
use fastalloc_trace::{
    Ending, Event, EventKind, Frame, Item, Process, Stack, StackId, TraceReader, TraceWriter, WriterOptions,
};

/// The bytes in the example of the document.
fn documented() -> Vec<u8> {
    let document = include_str!("../../FORMAT.md");
    let example = document.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    example.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn process() -> Process {
    let mut process = Process { id: 7, parent: 1, start: 1000, clock_resolution: 1, ..Process::default() };
    process.arguments.push(String::from("a"));
    process
}

fn items() -> Vec<Item> {
    let allocate = EventKind::Allocate { address: 256, size: 64, alignment: 16, stack: StackId(1) };
    vec![
        Item::Process(process()),
        Item::Stack(Stack { parent: StackId::EMPTY, frame: Frame { module: None, address: 4096 } }),
        Item::Event(Event { time: 10, thread: 3, duration: 0, kind: allocate }),
        Item::Event(Event { time: 15, thread: 3, duration: 0, kind: EventKind::Free { address: 256 } }),
    ]
}

/// As code without an allocator would: payloads are literals.
#[test]
fn documented_example_is_what_the_document_says() {
    let blocks: [(u8, &[u8]); 4] = [
        (kind::PROCESS, &[7, 1, 0xE8, 7, 1, 1, 1, 1, b'a']),
        (kind::STACKS, &[1, 0, 0, 0x80, 0x20]),
        (kind::EVENTS, &[4, 10, 4 << 3, 0, 0x80, 4, 64, 1, 1, 5, 0]),
        (kind::END, &[2]),
    ];
    let mut trace = header(FLAG_ORDERED).to_vec();
    for (kind, payload) in blocks {
        trace.extend(BlockHeader::new(kind, encoding::RAW, payload, payload.len()).unwrap().to_bytes());
        trace.extend(payload);
    }
    assert_eq!(trace, documented());
}

#[test]
fn no_event_is_longer_than_promised() {
    let kind = EventKind::Reallocate {
        old_address: 1 << 63,
        address: 0,
        size: u64::MAX,
        alignment: 1 << 31,
        stack: StackId(u32::MAX),
    };
    let event = Event { time: u64::MAX, thread: u32::MAX, duration: u64::MAX, kind };
    let mut payload = Vec::new();
    let mut encoder = EventEncoder::new(&mut payload, None, 0);
    let before = payload.len();
    encoder.put(&mut payload, &event);
    assert_eq!(payload.len() - before, EVENT_LEN_MAX);
}

#[test]
fn documented_example_is_read() {
    let trace = documented();
    let mut reader = TraceReader::new(&trace[..]).unwrap();
    let found: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(found, items());
    assert_eq!(reader.ending(), Some(Ending::Complete { offset: trace.len() as u64 }));
}

#[test]
fn writer_differs_from_the_documented_example_in_blocks_of_several_threads_alone() {
    let mut options = WriterOptions::default();
    options.compression = None;
    let mut writer = TraceWriter::with_options(Vec::new(), &process(), options).unwrap();
    for item in &items()[1..] {
        writer.item(item).unwrap();
    }
    let (written, documented) = (writer.finish().unwrap(), documented());
    // Header, process and stack are the same; then each event has its thread.
    let same = 16 + 25 + 21;
    assert_eq!(written[..same], documented[..same]);
    assert_eq!(written.len(), documented.len() + 2);
}
