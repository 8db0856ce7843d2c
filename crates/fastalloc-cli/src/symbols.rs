//! Which functions are at an address, and so, which call site a stack is of.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use addr2line::{Loader, gimli};
use cpp_demangle::DemangleOptions;
use fastalloc_trace::{Frame, Module, StackId, Tables};
use object::{Object, ObjectSymbol, ReadCache};

use crate::sites::{is_runtime_function, is_runtime_library};

/// Frames of a stack that are looked at: there may be millions in a trace that lies.
const FRAMES_MAX: usize = 256;
/// Frames whose functions are remembered.
const FUNCTIONS_MAX: usize = 1 << 18;
/// Places that are remembered: more than the analysis has call sites.
const PLACES_MAX: usize = 1 << 13;

/// Finds call sites.
///
/// A trace's own symbols come first, then those of the files that its modules have been loaded from, if they are still
/// there and have the same build id, or their debug files in `/usr/lib/debug/.build-id`.
#[derive(Default)]
pub(crate) struct Symbolizer {
    files: HashMap<(String, Vec<u8>), Option<Rc<Symbols>>>,
    functions: HashMap<Frame, Rc<[Function]>>,
    /// Where call sites are in source files: the first place of each.
    places: HashMap<String, String>,
    /// Files with call sites that are offsets, and why.
    missing: BTreeMap<String, String>,
}

/// What is known after the last stack.
pub(crate) struct Symbolized {
    /// Where call sites are: `path:line`.
    pub(crate) places: HashMap<String, String>,
    /// Files with call sites that are offsets, and why.
    pub(crate) missing: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Function {
    name: String,
    place: Option<String>,
}

impl Symbolizer {
    /// The name of the call site of a stack.
    pub(crate) fn site(&mut self, tables: &Tables, stack: StackId) -> String {
        let mut innermost = None;
        for (frame, located) in tables.frames(stack).zip(tables.located_frames(stack)).take(FRAMES_MAX) {
            let module = located.module.and_then(|module| tables.module(module));
            let path = module.and_then(|module| tables.string(module.path));
            let functions = self.functions_at(tables, frame, located);
            let is_runtime = path.is_some_and(is_runtime_library);
            let site = functions.iter().find(|function| !is_runtime && !is_runtime_function(&function.name));
            if let Some(function) = site {
                return self.found(function);
            }
            // Of a function without a name, only the library says what it is for.
            if functions.is_empty() && !is_runtime {
                return self.offset(path, located);
            }
            innermost.get_or_insert((functions, path, located));
        }
        // All of them allocate for others: at the start of a program, for instance.
        match innermost {
            Some((functions, path, located)) => match functions.first() {
                Some(function) => self.found(function),
                None => self.offset(path, located),
            },
            None => String::from("(unknown)"),
        }
    }

    /// The functions of a stack, outermost first, but for those that allocate for others; files and offsets where they
    /// are not known.
    pub(crate) fn functions(&mut self, tables: &Tables, stack: StackId) -> Vec<String> {
        let mut names = Vec::new();
        for (frame, located) in tables.frames(stack).zip(tables.located_frames(stack)).take(FRAMES_MAX) {
            let module = located.module.and_then(|module| tables.module(module));
            let path = module.and_then(|module| tables.string(module.path));
            let is_runtime = path.is_some_and(is_runtime_library);
            let functions = self.functions_at(tables, frame, located);
            // Nobody asks who has allocated for whom before the call site.
            let is_skipped = |name: &str| is_runtime || is_runtime_function(name);
            for function in functions.iter() {
                if !names.is_empty() || !is_skipped(&function.name) {
                    names.push(function.name.clone());
                }
            }
            if functions.is_empty() && (!names.is_empty() || !is_runtime) {
                let file = path.and_then(|path| path.rsplit('/').next()).map(printable);
                names.push(file.unwrap_or_else(|| String::from("(unknown)")));
            }
        }
        names.dedup();
        names.reverse();
        names
    }

    /// The names of the functions at a frame, innermost first, and where in the source they are.
    pub(crate) fn named(&mut self, tables: &Tables, frame: Frame, located: Frame) -> Vec<(String, Option<String>)> {
        let functions = self.functions_at(tables, frame, located);
        functions.iter().map(|function| (function.name.clone(), function.place.clone())).collect()
    }

    pub(crate) fn finish(self) -> Symbolized {
        Symbolized { places: self.places, missing: self.missing }
    }

    fn found(&mut self, function: &Function) -> String {
        if let Some(place) = function.place.as_ref().filter(|_| self.places.len() < PLACES_MAX) {
            self.places.entry(function.name.clone()).or_insert_with(|| place.clone());
        }
        function.name.clone()
    }

    fn offset(&mut self, path: Option<&str>, located: Frame) -> String {
        match path {
            Some(path) => {
                let path = printable(path);
                if !is_runtime_library(&path) {
                    self.missing.entry(path.clone()).or_insert_with(|| String::from("it has no symbols there"));
                }
                format!("{path}+{:#x}", located.address)
            }
            None => format!("{:#x}", located.address),
        }
    }

    /// The functions at a frame, innermost first; empty if they are not known.
    fn functions_at(&mut self, tables: &Tables, frame: Frame, located: Frame) -> Rc<[Function]> {
        if let Some(known) = self.functions.get(&located) {
            return Rc::clone(known);
        }
        let functions = of_trace(tables, frame).or_else(|| of_trace(tables, located)).unwrap_or_else(|| {
            let module = located.module.and_then(|module| tables.module(module));
            let symbols = module.and_then(|module| self.symbols_of(tables, module));
            // It returns behind the call, which may be the end of the function.
            symbols.map_or_else(Vec::new, |symbols| symbols.functions(located.address.wrapping_sub(1)))
        });
        let functions: Rc<[Function]> = functions.into();
        if self.functions.len() < FUNCTIONS_MAX {
            self.functions.insert(located, Rc::clone(&functions));
        }
        functions
    }

    fn symbols_of(&mut self, tables: &Tables, module: &Module) -> Option<Rc<Symbols>> {
        let path = tables.string(module.path)?;
        let key = (String::from(path), module.build_id.clone());
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let symbols = match Symbols::open(Path::new(path), &module.build_id) {
            Ok(symbols) => Some(Rc::new(symbols)),
            Err(why) => {
                // Nobody expects to know what is in the runtime.
                if !is_runtime_library(path) {
                    self.missing.insert(printable(path), why);
                }
                None
            }
        };
        self.files.insert(key, symbols.clone());
        symbols
    }
}

/// What the trace itself says.
fn of_trace(tables: &Tables, frame: Frame) -> Option<Vec<Function>> {
    let functions = tables.symbols(frame)?.iter().map(|symbol| Function {
        name: printable(tables.string(symbol.name).unwrap_or("")),
        place: symbol.file.and_then(|file| tables.string(file)).map(|file| place(file, symbol.line)),
    });
    Some(functions.filter(|function| !function.name.is_empty()).collect())
}

/// The symbols of a file.
struct Symbols {
    loader: Loader,
    path: PathBuf,
    /// Those of the file's table, in the order of their addresses; read when they are needed.
    table: OnceCell<Vec<TableEntry>>,
}

#[derive(Debug)]
struct TableEntry {
    address: u64,
    size: u64,
    name: String,
}

impl Symbols {
    /// Opens the file, or its debug file; if it is another one than was loaded, says so.
    fn open(path: &Path, build_id: &[u8]) -> Result<Self, String> {
        // Anything else may have no end, or block.
        if !path.is_absolute() || !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Err(String::from("it is not there any more"));
        }
        let found = with_object(path, |object| object.build_id().ok().flatten().map(<[u8]>::to_vec));
        let found = found.ok_or("it is not a program or library that can be read here")?.unwrap_or_default();
        if !build_id.is_empty() && found != build_id {
            return Err(String::from("it is not the one that was recorded: its build id differs"));
        }
        let path = debug_file(&found).unwrap_or_else(|| path.to_path_buf());
        let loader = Loader::new(&path).map_err(|error| error.to_string())?;
        Ok(Self { loader, path, table: OnceCell::new() })
    }

    fn functions(&self, address: u64) -> Vec<Function> {
        let mut functions = self.inlined(address).unwrap_or_default();
        // Without debug information there is one function at most.
        if functions.is_empty() {
            let name = self.in_table(address).map(|entry| demangled(&entry.name));
            functions.extend(name.map(|name| Function { name, place: None }));
        }
        functions
    }

    /// What the debug information says; `None` if it is not complete.
    fn inlined(&self, address: u64) -> Option<Vec<Function>> {
        let mut functions = Vec::new();
        let mut frames = self.loader.find_frames(address).ok()?;
        while let Some(frame) = frames.next().ok()? {
            let name = match &frame.function {
                Some(function) => demangled(&function.raw_name().ok()?),
                None => demangled(&self.in_table(address)?.name),
            };
            let location = frame.location.as_ref();
            let place = location.and_then(|location| Some(place(location.file?, location.line.unwrap_or(0))));
            functions.push(Function { name, place });
        }
        Some(functions)
    }

    fn in_table(&self, address: u64) -> Option<&TableEntry> {
        let table = self.table.get_or_init(|| with_object(&self.path, table).unwrap_or_default());
        let next = table.partition_point(|entry| entry.address <= address);
        let entry = table.get(next.checked_sub(1)?)?;
        (address - entry.address < entry.size).then_some(entry)
    }
}

fn table<'a>(object: &object::File<'a, &'a ReadCache<File>>) -> Vec<TableEntry> {
    let symbols = object.symbols().chain(object.dynamic_symbols());
    let functions = symbols.filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition());
    let mut table: Vec<_> = functions
        .filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty())?;
            Some(TableEntry { address: symbol.address(), size: symbol.size(), name: name.into() })
        })
        .collect();
    // Of several names, the first one of the alphabet, so that it is always the same.
    table.sort_by(|a, b| (a.address, a.size, &b.name).cmp(&(b.address, b.size, &a.name)));
    table
}

fn with_object<T>(path: &Path, look: impl for<'a> FnOnce(&object::File<'a, &'a ReadCache<File>>) -> T) -> Option<T> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let object = object::File::parse(&cache).ok()?;
    Some(look(&object))
}

/// Where distributions have the debug information of a build.
fn debug_file(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = PathBuf::from(format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug"));
    path.is_file().then_some(path)
}

fn demangled(name: &str) -> String {
    if let Some(name) = addr2line::demangle(name, gimli::DW_LANG_Rust) {
        return printable(&name);
    }
    // What overloads have in common, and without the types that a call site need not tell.
    let options = DemangleOptions::new().no_params().no_return_type();
    // Others may look like a mangled type: `w` is `wchar_t`.
    let symbol = Some(name).filter(|name| name.starts_with("_Z")).and_then(|name| cpp_demangle::Symbol::new(name).ok());
    let name = symbol.and_then(|symbol| symbol.demangle(&options).ok()).unwrap_or_else(|| name.into());
    printable(&name)
}

fn place(file: &str, line: u32) -> String {
    let file = printable(file);
    if line == 0 { file } else { format!("{file}:{line}") }
}

/// A text of a trace or a file may have been made to confuse a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
