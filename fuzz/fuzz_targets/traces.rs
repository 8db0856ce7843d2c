//! Arbitrary traces, in each format that is read, up to the advice on them.
#![no_main]

use arbitrary::Arbitrary;
use fastalloc_trace::format::{self, BlockHeader, encoding};
use fastalloc_trace::{
    Analysis, AnalysisLimits, Configuration, DhatSummary, HeaptrackReader, Item, Limits, Policy, Result, TraceReader,
    advise, check, render, site_of_frame,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'bytes> {
    /// Kinds and contents of blocks, which get their lengths and checksums here.
    Blocks(Vec<(u8, &'bytes [u8])>),
    Trace(&'bytes [u8]),
    Heaptrack(&'bytes [u8]),
    Dhat(&'bytes [u8]),
    Configuration(&'bytes str),
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.block_len = 64 << 10;
    (limits.strings, limits.modules, limits.stacks, limits.symbols) = (1000, 1000, 1000, 1000);
    limits.string_bytes = 64 << 10;
    limits
}

/// Analyses what is readable.
fn follow(items: impl Iterator<Item = Result<Item>>) {
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
    items.map_while(Result::ok).for_each(|item| analysis.add(&item));
    let report = analysis.finish();
    let advice = advise(&report, &Policy::default());
    advice.iter().for_each(|advice| drop(render(advice)));
    let configuration = Configuration::from_advice(&advice);
    follow_configuration(&configuration);
    drop(check(&configuration, &report));
}

/// What can be written is read again.
fn follow_configuration(configuration: &Configuration) {
    if let Ok(text) = configuration.to_toml() {
        assert_eq!(Configuration::from_toml(&text).as_ref(), Ok(configuration), "{text}");
    }
}

fn follow_trace(bytes: &[u8]) {
    if let Ok(reader) = TraceReader::with_limits(bytes, limits()) {
        follow(reader.in_order(10_000));
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Blocks(blocks) => {
            let mut bytes = format::header(0).to_vec();
            for (kind, payload) in blocks {
                let Some(header) = BlockHeader::new(kind, encoding::RAW, payload, payload.len()) else { return };
                bytes.extend(header.to_bytes());
                bytes.extend(payload);
            }
            follow_trace(&bytes);
        }
        Input::Trace(bytes) => follow_trace(bytes),
        Input::Heaptrack(bytes) => {
            if let Ok(reader) = HeaptrackReader::with_limits(bytes, limits()) {
                follow(reader);
            }
        }
        Input::Dhat(bytes) => {
            if let Ok(summary) = DhatSummary::read(bytes) {
                for point in &summary.points {
                    summary.frames(point).for_each(|_| ());
                    let _ = (point.mean_size(), point.mean_lifetime());
                }
            }
        }
        Input::Configuration(text) => {
            if let Ok(configuration) = Configuration::from_toml(text) {
                follow_configuration(&configuration);
            }
        }
    }
});
