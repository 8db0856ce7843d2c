//! What others have recorded. `data/program.c` says what was, and how.

use fastalloc_trace::{
    Analysis, AnalysisLimits, DhatSummary, Ending, Error, HeaptrackReader, Item, StackId, site_of_frame,
};

const RECORDING: &str = include_str!("../data/heaptrack.raw");

#[test]
fn recording_of_heaptrack_is_analysed() {
    let mut reader = HeaptrackReader::new(RECORDING.as_bytes()).unwrap();
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
    for item in reader.by_ref() {
        analysis.add(&item.unwrap());
    }
    assert_eq!(reader.ending(), Some(Ending::Open { offset: RECORDING.len() as u64 }));
    let tables = analysis.tables();
    assert_eq!(tables.process().arguments, ["./s"]);
    let libc = tables.modules().iter().find(|module| tables.string(module.path).unwrap().ends_with("/libc.so.6"));
    assert_eq!(libc.map(|libc| (libc.start, libc.length)), Some((0x7f73_57d7_c000, 0x1c_f8d0 + 0x1_2680)));

    let report = analysis.finish();
    // `mk` of the program, at 0x1180 in the file.
    let site = &report.sites[0];
    assert_eq!(site.site, "/usr/local/bin/s+0x1180");
    assert_eq!(site.stack, StackId(9));
    let total = &site.total;
    assert_eq!((total.objects, total.bytes, total.alive_peak, total.freed), (24, 24 * 64, 8, 24));
    assert_eq!((site.classes.len(), site.classes[0].size, site.classes[0].alignment), (1, Some(64), Some(16)));
    assert!(!report.has_threads);
}

#[test]
fn truncated_recording_yields_whole_lines() {
    let cut = RECORDING.find("+ 40 9 55bdc9860310").unwrap();
    let mut reader = HeaptrackReader::new(&RECORDING.as_bytes()[..cut + 5]).unwrap();
    let events = reader.by_ref().filter(|item| matches!(item, Ok(Item::Event(_)))).count();
    assert_eq!((events, reader.ending()), (2, Some(Ending::Truncated { offset: cut as u64, present: 5 })));
}

#[test]
fn nonsense_is_told_with_its_place() {
    let read = |text: &str| HeaptrackReader::new(text.as_bytes())?.collect::<Result<Vec<_>, _>>();
    assert!(matches!(read("v 10400 4\n"), Err(Error::UnsupportedVersion { version: 4, known: 3 })));
    assert!(matches!(read("# something else\n"), Err(Error::NotATrace { .. })));
    assert!(matches!(read("v 10400 3\n+ 40 1 5\n"), Err(Error::Corrupt { offset: 10, position: 6, .. })));
    assert!(matches!(read("v 10400 3\n- xyz\n"), Err(Error::Corrupt { offset: 10, position: 5, .. })));
    assert!(matches!(read("v 10400 3\nm ff x 1\n"), Err(Error::Corrupt { offset: 10, .. })));
}

#[test]
fn time_is_in_milliseconds_and_never_goes_back() {
    let text = "v 10400 3\n- 1\nc a\n- 1\nc 14\nc 3\n- 1\n";
    let times = HeaptrackReader::new(text.as_bytes()).unwrap().map(|item| match item {
        Ok(Item::Event(event)) => event.time,
        other => panic!("{other:?}"),
    });
    assert_eq!(times.collect::<Vec<_>>(), [0, 10_000_000, 20_000_000]);
}

#[test]
fn older_recordings_have_paths_without_a_length() {
    let text = "v 10200 2\nm /lib/libc.so 7000 0 100 1000 500\n";
    let items: Vec<_> = HeaptrackReader::new(text.as_bytes()).unwrap().map(Result::unwrap).collect();
    let [Item::String(path), Item::Module(module)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((path.as_str(), module.start, module.length), ("/lib/libc.so", 0x7000, 0x1500));
}

#[test]
fn summary_of_dhat_is_read() {
    let summary = DhatSummary::read(&include_bytes!("../data/dhat.json")[..]).unwrap();
    let point = &summary.points[0];
    assert_eq!((point.objects, point.bytes, point.alive_peak, point.alive_at_end), (24, 1536, Some(8), Some(0)));
    assert_eq!(summary.frames(point).nth(1), Some("0x109180: mk (s.c:3)"));
    assert_eq!(summary.time_unit, "instrs");
    let error = DhatSummary::read(&br#"{"dhatFileVersion": 3}"#[..]).unwrap_err();
    assert!(error.to_string().starts_with("version 3 of DHAT's format, not 2"), "{error}");
}

#[test]
fn program_is_named_by_its_path() {
    for text in ["v 10400 3\nx 7 /bin/my\nm 1 x 7000 0 100\n", "v 10200 2\nx /bin/my\nm x 7000 0 100\n"] {
        let items: Vec<_> = HeaptrackReader::new(text.as_bytes()).unwrap().map(Result::unwrap).collect();
        assert!(matches!(&items[..], [Item::String(path), Item::Module(_)] if path == "/bin/my"), "{items:?}");
    }
}
