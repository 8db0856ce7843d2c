//! The tables of a trace: what its identifiers mean.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::event::StackId;
use crate::item::{Frame, Item, Module, ModuleId, Process, Stack, StringId, Symbol};

/// The strings, modules, stacks and symbols of a trace, as far as it was read.
///
/// How large they can become is up to the [limits](crate::Limits) of the reader.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::{Frame, Item, Stack, StackId, Tables};
///
/// let mut tables = Tables::default();
/// for address in [10, 20] {
///     let frame = Frame { module: None, address };
///     tables.add(&Item::Stack(Stack { parent: StackId(address as u32 / 10 - 1), frame }));
/// }
/// let addresses: Vec<u64> = tables.frames(StackId(2)).map(|frame| frame.address).collect();
/// assert_eq!(addresses, [20, 10]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tables {
    process: Process,
    strings: Vec<Box<str>>,
    modules: Vec<Module>,
    stacks: Vec<StackEntry>,
    symbols: HashMap<Frame, Box<[Symbol]>, RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct StackEntry {
    stack: Stack,
    /// How many modules there were.
    modules: u32,
}

impl Tables {
    /// Adds what an item says; events and barriers say nothing. *O*(1), without copies of texts already there.
    ///
    /// Readers give out only items whose identifiers are valid. Of others, those that are not known yet mean nothing.
    pub fn add(&mut self, item: &Item) {
        match item {
            Item::Process(process) => self.process = process.clone(),
            Item::String(string) => self.strings.push(string.as_str().into()),
            Item::Module(module) => self.modules.push(module.clone()),
            Item::Stack(stack) => {
                self.stacks.push(StackEntry { stack: *stack, modules: self.modules.len() as u32 });
            }
            Item::Symbols(symbols) => {
                self.symbols.insert(symbols.frame, symbols.functions.as_slice().into());
            }
            Item::Event(_) | Item::Barrier(_) | Item::Losses(_) => {}
        }
    }

    /// The process, or nothing known of it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The string of that number.
    #[must_use]
    pub fn string(&self, id: StringId) -> Option<&str> {
        self.strings.get(id.0 as usize).map(|string| &**string)
    }

    /// The module of that number.
    #[must_use]
    pub fn module(&self, id: ModuleId) -> Option<&Module> {
        self.modules.get(id.0 as usize)
    }

    /// All modules: that at index `i` is [`ModuleId(i)`](ModuleId).
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The stack of that number; `None` for the empty one.
    #[must_use]
    pub fn stack(&self, id: StackId) -> Option<Stack> {
        self.entry(id).map(|entry| entry.stack)
    }

    /// How many stacks there are: the last one is [`StackId`] of this number.
    #[must_use]
    pub fn stack_count(&self) -> u32 {
        self.stacks.len() as u32
    }

    /// The frames of a stack, innermost first.
    pub fn frames(&self, id: StackId) -> impl Iterator<Item = Frame> {
        self.entries(id).map(|entry| entry.stack.frame)
    }

    /// The frames of a stack, innermost first, with the modules that they are in and the addresses in their files,
    /// where the trace has addresses in memory and modules that they could be in. *O*(modules) for each.
    pub fn located_frames(&self, id: StackId) -> impl Iterator<Item = Frame> {
        self.entries(id).map(|entry| self.located(entry))
    }

    /// The functions at a frame, if the trace has them; innermost first, and not empty.
    #[must_use]
    pub fn symbols(&self, frame: Frame) -> Option<&[Symbol]> {
        self.symbols.get(&frame).map(|symbols| &**symbols).filter(|symbols| !symbols.is_empty())
    }

    fn located(&self, entry: StackEntry) -> Frame {
        let frame = entry.stack.frame;
        if frame.module.is_some() {
            return frame;
        }
        let known = &self.modules[..entry.modules as usize];
        let found = known.iter().rposition(|module| frame.address.wrapping_sub(module.start) < module.length);
        found.map_or(frame, |index| Frame {
            module: Some(ModuleId(index as u32)),
            address: frame.address.wrapping_sub(known[index].load_address),
        })
    }

    fn entries(&self, id: StackId) -> impl Iterator<Item = StackEntry> {
        let mut next = id;
        std::iter::from_fn(move || {
            let entry = self.entry(next)?;
            // Readers see to it that callers are smaller. It is what makes this end.
            next = if entry.stack.parent < next { entry.stack.parent } else { StackId::EMPTY };
            Some(entry)
        })
    }

    fn entry(&self, id: StackId) -> Option<StackEntry> {
        self.stacks.get((id.0 as usize).checked_sub(1)?).copied()
    }
}
