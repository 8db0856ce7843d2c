//! Reads a trace from standard input, this crate's or that of `heaptrack --raw` (decompressed), and says which pools
//! would fit; without symbols, so that call sites are addresses in files.
//!
//! ```text
//! heaptrack --raw -o recording ./program
//! zstd -dc recording.raw.zst | cargo run --release --package fastalloc-trace --example advise
//! ```

use std::error::Error;
use std::io::{self, BufRead};

use fastalloc_trace::{
    Analysis, AnalysisLimits, HeaptrackReader, Policy, TraceReader, Verdict, advise, format, render, site_of_frame,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = io::stdin().lock();
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
    let ending = if input.fill_buf()?.starts_with(&format::MAGIC) {
        let mut items = TraceReader::new(input)?.in_order(1 << 20);
        for item in items.by_ref() {
            analysis.add(&item?);
        }
        items.get_ref().ending()
    } else {
        let mut items = HeaptrackReader::new(input)?;
        for item in items.by_ref() {
            analysis.add(&item?);
        }
        items.ending()
    };
    if let Some(ending) = ending {
        println!("// The trace {ending}.");
    }
    let report = analysis.finish();
    println!("// {} events, {} call sites\n", report.events, report.sites.len());
    for advice in advise(&report, &Policy::default()) {
        match (&advice.verdict, render(&advice)) {
            (Verdict::DoNotPool(reason), _) => println!("// {}: no pool, {reason}.\n", advice.site),
            (Verdict::Pool(_), code) => println!("{}", code.unwrap_or_default()),
        }
    }
    Ok(())
}
