//! What is written is read.

use fastalloc_trace::{
    Ending, Error, Event, EventKind, Frame, Item, Losses, Module, ModuleId, Process, Stack, StackId, StringId, Symbol,
    Symbols, TraceReader, TraceWriter, WriterOptions, compress,
};
use proptest::prelude::*;

/// Any trace: seeds of identifiers become valid ones.
pub(crate) fn items() -> impl Strategy<Value = Vec<Item>> {
    let process = (any::<[u32; 2]>(), any::<[u64; 2]>(), 1..u64::MAX, prop::collection::vec(".{0,8}", 0..4)).prop_map(
        |([id, parent], [start, clock_resolution], sampling, arguments)| {
            Item::Process(Process { id, parent, start, clock_resolution, sampling, arguments })
        },
    );
    let frame = || (prop::option::of(any::<u32>()), any::<u64>());
    let frame = move || frame().prop_map(|(module, address)| Frame { module: module.map(ModuleId), address });
    let module = (any::<u32>(), prop::collection::vec(any::<u8>(), 0..20), any::<[u64; 3]>()).prop_map(
        |(path, build_id, [load_address, start, length])| {
            Item::Module(Module { path: StringId(path), build_id, load_address, start, length })
        },
    );
    let function = (any::<u32>(), prop::option::of(any::<u32>()), any::<u32>()).prop_map(|(name, file, line)| Symbol {
        name: StringId(name),
        file: file.map(StringId),
        line,
    });
    let symbols = (frame(), prop::collection::vec(function, 0..4))
        .prop_map(|(frame, functions)| Item::Symbols(Symbols { frame, functions }));
    let layout = (any::<u64>(), 0..32_u32, any::<u32>());
    let kind =
        (any::<[u64; 2]>(), layout, 0..3).prop_map(|([old_address, address], (size, alignment, stack), kind)| {
            let (alignment, stack) = (1 << alignment, StackId(stack));
            match kind {
                0 => EventKind::Allocate { address, size, alignment, stack },
                1 => EventKind::Free { address },
                _ => EventKind::Reallocate { old_address, address, size, alignment, stack },
            }
        });
    let time = prop_oneof![0..1_u64 << 40, any::<u64>()];
    let event = (time, any::<u32>(), prop_oneof![Just(0), any::<u64>()], kind)
        .prop_map(|(time, thread, duration, kind)| Item::Event(Event { time, thread, duration, kind }));
    let item = prop_oneof![
        1 => process,
        3 => ".{0,20}".prop_map(Item::String),
        2 => module,
        3 => (any::<u32>(), frame())
            .prop_map(|(parent, frame)| Item::Stack(Stack { parent: StackId(parent), frame })),
        1 => symbols,
        9 => event,
        1 => any::<u64>().prop_map(Item::Barrier),
        1 => any::<[u64; 2]>().prop_map(|[events, stacks]| Item::Losses(Losses { events, stacks })),
    ];
    prop::collection::vec(item, 0..80).prop_map(with_valid_identifiers)
}

fn with_valid_identifiers(mut items: Vec<Item>) -> Vec<Item> {
    let (mut strings, mut modules, mut stacks) = (0, 0, 0);
    items.retain_mut(|item| {
        let string = |id: &mut StringId| id.0 %= strings;
        let frame = |frame: &mut Frame| {
            frame.module = frame.module.filter(|_| modules > 0).map(|module: ModuleId| ModuleId(module.0 % modules));
        };
        match item {
            Item::Module(_) | Item::Symbols(_) if strings == 0 => return false,
            Item::String(_) => strings += 1,
            Item::Module(module) => {
                string(&mut module.path);
                modules += 1;
            }
            Item::Stack(stack) => {
                stack.parent.0 %= stacks + 1;
                frame(&mut stack.frame);
                stacks += 1;
            }
            Item::Symbols(symbols) => {
                frame(&mut symbols.frame);
                for function in &mut symbols.functions {
                    string(&mut function.name);
                    function.file.iter_mut().for_each(string);
                }
            }
            Item::Event(event) => match &mut event.kind {
                EventKind::Allocate { stack, .. } | EventKind::Reallocate { stack, .. } => stack.0 %= stacks + 1,
                EventKind::Free { .. } => {}
            },
            _ => {}
        }
        true
    });
    items
}

fn write(items: &[Item], options: WriterOptions) -> Vec<u8> {
    let mut writer = TraceWriter::with_options(Vec::new(), &Process::default(), options).unwrap();
    for item in items {
        writer.item(item).unwrap();
    }
    writer.finish().unwrap()
}

fn options(compression: Option<i32>, block_len: usize, ordered: bool) -> WriterOptions {
    let mut options = WriterOptions::default();
    (options.compression, options.block_len, options.ordered) = (compression, block_len, ordered);
    options
}

/// Items of one kind keep their order; tables come before the events that use them.
fn by_kind(items: &[Item]) -> [Vec<&Item>; 6] {
    let of = |is: fn(&Item) -> bool| items.iter().filter(|item| is(item)).collect();
    [
        of(|item| matches!(item, Item::Process(_))),
        of(|item| matches!(item, Item::String(_))),
        of(|item| matches!(item, Item::Module(_))),
        of(|item| matches!(item, Item::Stack(_))),
        of(|item| matches!(item, Item::Symbols(_))),
        of(|item| matches!(item, Item::Event(_) | Item::Barrier(_) | Item::Losses(_))),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        items in items(),
        compression in prop_oneof![Just(None), Just(Some(1)), Just(Some(3))],
        block_len in 0..400_usize,
    ) {
        let trace = write(&items, options(compression, block_len, false));
        let mut reader = TraceReader::new(&trace[..]).unwrap();
        let found: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        let expected: Vec<_> = [Item::Process(Process::default())].into_iter().chain(items).collect();
        prop_assert_eq!(by_kind(&found), by_kind(&expected));
        prop_assert_eq!(reader.ending(), Some(Ending::Complete { offset: trace.len() as u64 }));
    }

    #[test]
    fn truncated_trace_yields_what_came_before_and_says_where_it_ended(items in items(), cut in any::<prop::sample::Index>()) {
        let trace = write(&items, options(Some(1), 100, false));
        let all: Vec<_> = TraceReader::new(&trace[..]).unwrap().collect::<Result<_, _>>().unwrap();
        let length = 16 + cut.index(trace.len() - 16);
        let mut reader = TraceReader::new(&trace[..length]).unwrap();
        let found: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&all[..found.len()], &found[..]);
        match reader.ending() {
            Some(Ending::Open { offset }) => prop_assert_eq!(offset, length as u64),
            Some(Ending::Truncated { offset, present }) => prop_assert_eq!(offset + present, length as u64),
            ending => prop_assert!(false, "{:?}", ending),
        }
    }
}

#[test]
fn compressed_trace_is_shorter_and_the_same() {
    let items: Vec<_> = (0..10_000).map(|n| crate::allocate(n * 100, 0x7000_0000 + n % 50 * 64, 64)).collect();
    let traces = [None, Some(1)].map(|compression| write(&items, options(compression, 1 << 14, true)));
    assert!(traces[1].len() < traces[0].len() / 2);
    for trace in traces {
        let found: Vec<_> = TraceReader::new(&trace[..]).unwrap().skip(1).collect::<Result<_, _>>().unwrap();
        assert!(found == items);
    }
}

#[test]
fn writer_refuses_what_no_reader_would_accept() {
    let mut writer = TraceWriter::new(Vec::new(), &Process::default()).unwrap();
    let frame = Frame { module: None, address: 1 };
    assert!(writer.stack(StackId(1), frame).is_err());
    assert!(writer.stack(StackId::EMPTY, Frame { module: Some(ModuleId(0)), address: 1 }).is_err());
    let module = Module { path: StringId(0), build_id: vec![], load_address: 0, start: 0, length: 0 };
    assert!(writer.module(&module).is_err());
    let kind = EventKind::Allocate { address: 8, size: 8, alignment: 3, stack: StackId::EMPTY };
    assert!(writer.event(&Event { time: 0, thread: 1, duration: 0, kind }).is_err());
    writer.item(&crate::free(9, 1)).unwrap();
    assert!(writer.item(&crate::free(8, 1)).is_err());
    let trace = writer.finish().unwrap();
    assert_eq!(TraceReader::new(&trace[..]).unwrap().map(Result::unwrap).count(), 2);
}

#[test]
fn compressed_trace_has_the_same_items() {
    let process = Process { arguments: vec!["a".repeat(500)], ..Process::default() };
    let mut options = WriterOptions::default();
    options.compression = None;
    let mut writer = TraceWriter::with_options(Vec::new(), &process, options).unwrap();
    for time in 0..1000 {
        writer.event(&Event { time, thread: 1, duration: 0, kind: EventKind::Free { address: 8 * time } }).unwrap();
    }
    writer.losses(Losses { events: 3, stacks: 4 }).unwrap();
    let trace = writer.finish().unwrap();

    let items = |trace: &[u8]| TraceReader::new(trace).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let mut shorter = Vec::new();
    let compressed = compress(&trace[..], &mut shorter, 3).unwrap();
    assert_eq!((compressed.events, shorter.len() < trace.len() / 2), (Some(1000), true));
    assert_eq!(items(&shorter), items(&trace));
    assert!(items(&trace).contains(&Item::Losses(Losses { events: 3, stacks: 4 })));
    // There is nothing to gain the second time.
    let mut again = Vec::new();
    compress(&shorter[..], &mut again, 3).unwrap();
    assert_eq!(again, shorter);

    // Of a truncated one, what is whole.
    let cut = trace.len() - 30;
    let mut rest = Vec::new();
    let ending = compress(&trace[..cut], &mut rest, 3).unwrap().ending;
    assert!(matches!(ending, Ending::Truncated { .. }), "{ending:?}");
    assert_eq!(items(&rest), items(&trace[..cut]));
    // Of a damaged one, nothing.
    let mut damaged = trace;
    damaged[40] ^= 1;
    assert!(matches!(compress(&damaged[..], Vec::new(), 3), Err(Error::Checksum { .. })));
}
