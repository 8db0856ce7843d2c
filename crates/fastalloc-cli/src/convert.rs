//! `fastalloc convert`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::process::ExitCode;

use fastalloc_trace::{
    EventKind, Frame, Item, Module, StackId, StringId, Symbol, Symbols, Tables, TraceWriter, WriterOptions,
};

use crate::analysed::unreadable;
use crate::args::Convert;
use crate::failure::Failure;
use crate::recording::{Format, Input};
use crate::symbols::Symbolizer;

/// As small as it gets without taking for ever.
const COMPRESSION: i32 = 19;

pub(crate) fn run(args: &Convert) -> Result<ExitCode, Failure> {
    let input = Input::File(&args.file);
    let recording = input.open(args.quiet)?;
    if recording.format == Format::Dhat {
        let what = format!("cannot convert {input}: it is a summary by DHAT, and has no events");
        return Err(Failure::new(what, "record with heaptrack: `heaptrack --raw -o recording ./program`"));
    }
    let path = args.output.display();
    let failed =
        |error: io::Error| Failure::new(format!("cannot write {path}: {error}"), "give another path to --output");
    let mut options = WriterOptions::default();
    // Events come in the order of their times, unless too many of them would have to wait for earlier ones.
    (options.compression, options.ordered) = (Some(COMPRESSION), false);
    let file = BufWriter::new(File::create(&args.output).map_err(failed)?);
    let writer = TraceWriter::with_options(file, &Default::default(), options).map_err(failed)?;
    let mut converter = Converter {
        writer,
        tables: Tables::default(),
        strings: Vec::new(),
        symbolizer: Symbolizer::default(),
        named: HashSet::new(),
        stacks: HashSet::new(),
        events: args.events,
    };
    let mut written = Ok(());
    let read = recording.for_each_item(|item| {
        written = converter.add(item);
        written.is_ok() && converter.events > 0
    });
    written.map_err(failed)?;
    read.map_err(|error| unreadable(input, &error))?;
    converter.writer.finish().and_then(|mut file| io::Write::flush(&mut file)).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

struct Converter<W> {
    writer: TraceWriter<W>,
    tables: Tables,
    /// The numbers of the recording's strings: names of functions come in between.
    strings: Vec<StringId>,
    symbolizer: Symbolizer,
    named: HashSet<Frame>,
    stacks: HashSet<StackId>,
    /// So many more.
    events: usize,
}

impl<W: io::Write> Converter<W> {
    fn add(&mut self, item: &Item) -> io::Result<()> {
        self.tables.add(item);
        match item {
            Item::String(string) => {
                self.strings.push(self.writer.string(string)?);
                Ok(())
            }
            Item::Module(module) => {
                let path = self.strings.get(module.path.0 as usize).copied().unwrap_or(module.path);
                self.writer.module(&Module { path, ..module.clone() }).map(drop)
            }
            // What it says is looked up, as is what files say.
            Item::Symbols(_) => Ok(()),
            Item::Event(event) => {
                if let EventKind::Allocate { stack, .. } | EventKind::Reallocate { stack, .. } = event.kind {
                    self.name(stack)?;
                }
                self.events -= 1;
                self.writer.event(event)
            }
            other => self.writer.item(other),
        }
    }

    /// Names the functions of a stack that have no names yet.
    fn name(&mut self, stack: StackId) -> io::Result<()> {
        if !self.stacks.insert(stack) {
            return Ok(());
        }
        let frames: Vec<_> = self.tables.frames(stack).zip(self.tables.located_frames(stack)).collect();
        for (frame, located) in frames {
            if !self.named.insert(frame) {
                continue;
            }
            let mut functions = Vec::new();
            for (name, place) in self.symbolizer.named(&self.tables, frame, located) {
                let name = self.writer.string(&name)?;
                let (file, line) = match place.as_deref().map(|place| place.rsplit_once(':').unwrap_or((place, "0"))) {
                    Some((file, line)) => (Some(self.writer.string(file)?), line.parse().unwrap_or(0)),
                    None => (None, 0),
                };
                functions.push(Symbol { name, file, line });
            }
            // Otherwise another machine would look for it in a file of the same name, which may be another version.
            let module = located.module.and_then(|module| self.tables.module(module));
            if let Some(path) =
                module.and_then(|module| self.tables.string(module.path)).filter(|_| functions.is_empty())
            {
                let name = self.writer.string(&format!("{path}+{:#x}", located.address))?;
                functions.push(Symbol { name, file: None, line: 0 });
            }
            if !functions.is_empty() {
                self.writer.symbols(&Symbols { frame, functions })?;
            }
        }
        Ok(())
    }
}
