//! What a trace tells: events, and the tables that they refer to.

use crate::event::{Event, StackId};

/// A piece of a trace, in the order in which it is told.
///
/// [`Item::String`], [`Item::Module`] and [`Item::Stack`] make tables: the first string is [`StringId(0)`](StringId),
/// the first module [`ModuleId(0)`](ModuleId), and the first stack [`StackId(1)`](StackId). [`Tables`](crate::Tables)
/// collects them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// Which process this is a trace of.
    Process(Process),
    /// The next string.
    String(String),
    /// The next module.
    Module(Module),
    /// The next stack.
    Stack(Stack),
    /// The functions at an address.
    Symbols(Symbols),
    /// An allocation, or the end of one.
    Event(Event),
    /// All events before this time have been told, in nanoseconds.
    Barrier(u64),
    /// What could not be recorded so far.
    Losses(Losses),
}

/// What a recorder could not record so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Losses {
    /// Events that are not in the trace.
    pub events: u64,
    /// Events in the trace whose stacks are not: theirs are empty.
    pub stacks: u64,
}

/// Which process a trace is of, and how it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Process {
    /// Its number, 0 if unknown.
    pub id: u32,
    /// The number of the process that started it, 0 if unknown.
    pub parent: u32,
    /// When the trace's time was 0, in nanoseconds since 1970; 0 if unknown.
    pub start: u64,
    /// How far apart times are at least that differ, in nanoseconds; 0 if unknown.
    pub clock_resolution: u64,
    /// One allocation of so many is in the trace: 1 if all are. Frees and reallocations of others are not in it.
    pub sampling: u64,
    /// The command line, the program first.
    pub arguments: Vec<String>,
}

impl Default for Process {
    /// Nothing is known, except that all allocations are in the trace.
    fn default() -> Self {
        Self { id: 0, parent: 0, start: 0, clock_resolution: 0, sampling: 1, arguments: Vec::new() }
    }
}

/// The number of a string in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StringId(pub u32);

/// The number of a module in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub u32);

/// A program or a library in the memory of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: StringId,
    /// Tells it from other versions of itself; empty if it has none.
    pub build_id: Vec<u8>,
    /// An address in memory less this is an address in the file.
    pub load_address: u64,
    /// Where in memory it starts.
    pub start: u64,
    /// How many bytes of memory it has from there.
    pub length: u64,
}

/// A frame and who called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stack {
    /// The stack of the caller.
    pub parent: StackId,
    /// The innermost frame.
    pub frame: Frame,
}

/// A place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// What the address is in; `None` if it is an address in memory.
    pub module: Option<ModuleId>,
    /// Where the call returns to.
    pub address: u64,
}

/// The functions at an address: more than one where calls were inlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// The address.
    pub frame: Frame,
    /// The functions, innermost first.
    pub functions: Vec<Symbol>,
}

/// A function, and the place in it that a frame is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The name of the function.
    pub name: StringId,
    /// The path of the source file, if it is known.
    pub file: Option<StringId>,
    /// The line, 0 if unknown.
    pub line: u32,
}
