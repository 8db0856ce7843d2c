//! Traces of allocations: a format for them, what they say about each call site, and which pools of the crate
//! `fastalloc` would fit.
//!
//! Everything here is a function of what is read: from an [`impl Read`](std::io::Read), to an
//! [`impl Write`](std::io::Write); no files, no clocks, no threads. Traces may be truncated or hostile: a reader takes
//! what is readable, says where it ended, and has [limits](Limits) for what it keeps in memory.
//!
//! ```text
//! recorder ─► TraceWriter ─► TraceReader ─┐
//!                         HeaptrackReader ┼─► Item ─► Analysis ─► Report ─► advise ─► Advice ─► render
//!                                generate ┘      │                  └────► check ─► Finding
//!                                                └─► ScriptBuilder ─► Script ─► WhatIf
//! ```
//!
//! # Examples
//!
//! ```
//! use fastalloc_trace::{Analysis, AnalysisLimits, Event, EventKind, Frame, Process, StackId};
//! use fastalloc_trace::{Policy, TraceReader, TraceWriter, Verdict, advise, site_of_frame};
//!
//! let mut writer = TraceWriter::new(Vec::new(), &Process::default())?;
//! let stack = writer.stack(StackId::EMPTY, Frame { module: None, address: 0x1000 })?;
//! for number in 0..1000 {
//!     let kind = EventKind::Allocate { address: 0x100, size: 64, alignment: 8, stack };
//!     writer.event(&Event { time: number * 10, thread: 1, duration: 0, kind })?;
//!     let kind = EventKind::Free { address: 0x100 };
//!     writer.event(&Event { time: number * 10 + 5, thread: 1, duration: 0, kind })?;
//! }
//! let bytes = writer.finish()?;
//!
//! let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
//! for item in TraceReader::new(&bytes[..])?.in_order(1_000_000) {
//!     analysis.add(&item?);
//! }
//! let report = analysis.finish();
//! assert_eq!((report.sites[0].total.objects, report.sites[0].total.alive_peak), (1000, 1));
//! assert!(matches!(advise(&report, &Policy::default())[0].verdict, Verdict::Pool(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod advice;
mod analysis;
mod check;
mod compress;
mod dhat;
mod encode;
mod error;
mod event;
pub mod format;
#[cfg(feature = "generate")]
pub mod generate;
mod heaptrack;
mod item;
mod ordered;
mod reader;
mod render;
mod script;
mod tables;
mod tracker;
mod what_if;
mod writer;

pub use self::advice::{Advice, Policy, Pool, PoolKind, Reason, Remark, Verdict, advise};
pub use self::analysis::{Analysis, AnalysisLimits, ClassReport, Report, SiteReport, site_of_frame};
pub use self::check::{Configuration, ConfigurationError, Finding, PoolEntry, Problem, check};
pub use self::compress::{Compressed, compress};
pub use self::dhat::{DhatPoint, DhatSummary};
pub use self::error::{Error, Result};
pub use self::event::{Event, EventKind, StackId};
pub use self::heaptrack::HeaptrackReader;
pub use self::item::{Frame, Item, Losses, Module, ModuleId, Process, Stack, StringId, Symbol, Symbols};
pub use self::ordered::Ordered;
pub use self::reader::{Ending, Limits, TraceReader};
pub use self::render::render;
pub use self::script::{ObjectLayout, Owner, Script, ScriptBuilder, ScriptLimits, Step, StepKind};
pub use self::tables::Tables;
pub use self::tracker::{Burst, Quantiles, Usage};
pub use self::what_if::{Grown, GrowthStep, WhatIf};
pub use self::writer::{TraceWriter, WriterOptions};
