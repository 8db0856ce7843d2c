//! `fastalloc record`: runs a program under the recorder.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use fastalloc_trace::{Compressed, Ending, compress, format};
use tempfile::{NamedTempFile, PathPersistError, TempPath};

use crate::args::{Record, RecordOptions};
use crate::failure::{Failure, chain};
use crate::{recording, text};

/// The library that is put between the program and its allocator; empty if there is none for this system.
const LIBRARY: &[u8] = include_bytes!(env!("FASTALLOC_RECORDER"));
/// The function of the C library that finds tables for unwinding without a lock. The compiler's unwinder calls it, or not.
const FIND_OBJECT: &[u8] = b"_dl_find_object\0";
/// The level of zstd.
const LEVEL: i32 = 3;
/// As `env` and `timeout` have it: the program was not found, or could not be run, or this one has failed.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
const FAILED: u8 = 125;

/// A command that has ended, and what was recorded of it.
pub(crate) struct Recorded {
    pub(crate) status: ExitStatus,
    /// That of the command, those of what it became, and those of its children.
    pub(crate) files: Vec<PathBuf>,
}

impl Recorded {
    /// The longest recording: of the program, and not of what has started it in the same process, like `env`.
    pub(crate) fn main_file(&self) -> &Path {
        let length = |path: &&PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        // Of equal ones, the first.
        self.files.iter().rev().max_by_key(length).expect("there is one at least")
    }
}

/// Why there is no recording.
pub(crate) struct Unrecorded {
    pub(crate) failure: Failure,
    status: u8,
}

pub(crate) fn run(args: &Record) -> Result<ExitCode, Failure> {
    let recorded = match record(&args.options, &args.command, args.follow, args.quiet, false) {
        Ok(recorded) => recorded,
        Err(Unrecorded { failure: Failure::Unusable { what, help }, status }) => {
            text::error(&what, &help);
            return Ok(ExitCode::from(status));
        }
        Err(unrecorded) => return Err(unrecorded.failure),
    };
    Ok(ExitCode::from(shell_status(recorded.status)))
}

/// The status of a program as shells have it: 128 and more if a signal has ended it.
pub(crate) fn shell_status(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    match (status.code(), signal) {
        (Some(code), _) => code as u8,
        (None, signal) => 128 + signal.unwrap_or(0) as u8,
    }
}

/// Runs a command, and waits for it. If its output would get in the way of ours, it goes to standard error.
///
/// Each process has a file with its number behind the name, until it has ended well.
pub(crate) fn record(
    options: &RecordOptions,
    command: &[OsString],
    follows: bool,
    is_quiet: bool,
    has_output_of_its_own: bool,
) -> Result<Recorded, Unrecorded> {
    let (program, arguments) = command.split_first().expect("clap demands a command");
    let output = Output::new(options, program)?;
    let library = library()?;
    let is_safe = LIBRARY.windows(FIND_OBJECT.len()).any(|text| text == FIND_OBJECT);
    if follows && !is_safe && !is_quiet {
        text::warning("a child may hang that is forked while another thread loads a library: see `record --help`");
    }
    let mut command = Command::new(program);
    command.args(arguments);
    let (depth, sampling, process) = (options.depth, options.sample.0, std::process::id());
    let mut setting = OsString::from(format!("{depth}:{sampling}:{}:{process}:", u8::from(follows)));
    setting.push(&output.path);
    command.env("FASTALLOC_RECORD", setting);
    command.env("LD_PRELOAD", preload(&library));
    if has_output_of_its_own {
        command.stdout(Stdio::from(io::stderr()));
    }
    // More would get in between what the program prints.
    if !is_quiet && io::stderr().is_terminal() {
        let (program, shown) = (program.to_string_lossy(), output.path.display());
        text::note(&format!("recording {program}: until it ends, {shown}.PID grows"));
    }
    let old: Vec<PathBuf> = output.files().into_iter().map(|file| file.path).collect();
    let mut child = command.spawn().map_err(|error| cannot_run(program, &error))?;
    let status = wait(&mut child).map_err(|error| cannot_run(program, &error))?;
    let mut found = output.files();
    found.retain(|file| !old.contains(&file.path));
    found.sort_by_key(|file| (file.process != child.id(), file.process, file.attempt));
    let is_recorded = found.first().is_some_and(|file| file.process == child.id());
    if !is_recorded {
        let (what, help) = why_nothing(program);
        if found.is_empty() {
            return Err(Unrecorded { failure: Failure::new(what, help), status: FAILED });
        }
        text::warning(&format!("of the program itself, {what}"));
    }
    let finish = |(index, file): (usize, ProcessFile)| {
        if file.process != child.id() && is_alive(file.process) {
            let shown = file.path.display();
            text::warning(&format!("{shown} is still being recorded: it is left as it is, uncompressed"));
            return file.path;
        }
        finish(file.path, (is_recorded && index == 0).then_some(&output), is_quiet)
    };
    Ok(Recorded { status, files: found.into_iter().enumerate().map(finish).collect() })
}

/// Waits for a program, which gets the signals of the keyboard too, and those that would end this one, and decides itself.
#[cfg(unix)]
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    use std::sync::{Arc, Mutex};

    use rustix::io::retry_on_intr;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    // After the program was started: it inherits what is ignored, and would not if this one did not ignore it.
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGXFSZ])?;
    let process = Pid::from_child(child);
    let has_ended = Arc::new(Mutex::new(false));
    let is_over = Arc::clone(&has_ended);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // As long as this is locked, the number is not another process's.
            let is_over = is_over.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match signal {
                // That a file would be too large is an error then.
                SIGXFSZ => {}
                _ if *is_over => std::process::exit(128 + signal),
                SIGTERM => drop(kill_process(process, Signal::TERM)),
                SIGHUP => drop(kill_process(process, Signal::HUP)),
                // The keyboard's: the program has got it.
                _ => {}
            }
        }
    });
    // What goes wrong here, goes wrong again below.
    let _ = retry_on_intr(|| waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
    *has_ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
    child.wait()
}

#[cfg(not(unix))]
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

fn failed(what: impl Into<String>, help: impl Into<String>) -> Unrecorded {
    Unrecorded { failure: Failure::new(what, help), status: FAILED }
}

fn cannot_run(program: &OsStr, error: &io::Error) -> Unrecorded {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    Unrecorded {
        failure: Failure::new(
            format!("cannot run {}: {error}", program.to_string_lossy()),
            "give a program, in PATH or with its folder, and its arguments: `fastalloc record -- ./program 1 2`",
        ),
        status: if is_missing { NOT_FOUND } else { NOT_RUN },
    }
}

/// Where the recording goes.
struct Output {
    /// Absolute.
    path: PathBuf,
    /// What the name is made of, if another one will do too.
    program: Option<OsString>,
}

/// The file of a process: the name of the output, the number of the process, and how many had this number before.
struct ProcessFile {
    path: PathBuf,
    process: u32,
    attempt: u32,
}

impl Output {
    /// Nothing is there, or a recording, which is left alone as long as there is no other.
    fn new(options: &RecordOptions, program: &OsStr) -> Result<Self, Unrecorded> {
        let name = Path::new(program).file_name().unwrap_or(OsStr::new("program"));
        let given = options.output.clone();
        let path = given.or_else(|| default_names(name).find(|path| path.symlink_metadata().is_err()));
        let path = path.expect("there are as many names as numbers");
        let shown = path.display();
        let help = "give another file: `--output FILE`";
        let cannot_write = |error: io::Error| failed(format!("cannot write {shown}: {error}"), help);
        let path = std::path::absolute(&path).map_err(cannot_write)?;
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() && is_recording(&path) => {}
            Ok(_) => return Err(failed(format!("{shown} is there already, and is no recording"), help)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_write(error)),
        }
        let (Some(folder), Some(file_name)) = (path.parent(), path.file_name()) else {
            return Err(cannot_write(ErrorKind::InvalidInput.into()));
        };
        // As long as the names of files of processes.
        let mut prefix = file_name.to_os_string();
        prefix.push(".");
        tempfile::Builder::new().prefix(&prefix).rand_bytes(10).tempfile_in(folder).map_err(cannot_write)?;
        Ok(Self { path, program: options.output.is_none().then(|| name.to_os_string()) })
    }

    /// Files of processes that are there.
    fn files(&self) -> Vec<ProcessFile> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Vec::new() };
        let parse = |path: PathBuf| {
            let other = path.file_name()?.as_encoded_bytes();
            let suffix = other.strip_prefix(name.as_encoded_bytes())?.strip_prefix(b".")?;
            let mut numbers = std::str::from_utf8(suffix).ok()?.splitn(2, '.').map(str::parse);
            let process = numbers.next()?.ok()?;
            let attempt = numbers.next().unwrap_or(Ok(1)).ok()?;
            Some(ProcessFile { path, process, attempt })
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| parse(entry.path())).collect()
    }

    /// Moves a file here.
    fn put(&self, file: TempPath) -> Result<PathBuf, PathPersistError> {
        let Some(program) = &self.program else { return file.persist(&self.path).map(|()| self.path.clone()) };
        let mut file = file;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let others = default_names(program).map(|name| folder.join(name));
        for path in iter::once(self.path.clone()).chain(others) {
            match file.persist_noclobber(&path) {
                Ok(()) => return Ok(path),
                Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => file = failed.path,
                Err(failed) => return Err(failed),
            }
        }
        unreachable!("there are as many names as numbers")
    }
}

fn default_names(program: &OsStr) -> impl Iterator<Item = PathBuf> {
    (0_u32..).map(move |number| {
        let mut name = program.to_os_string();
        name.push(if number == 0 { String::new() } else { format!(".{number}") });
        name.push(".fastalloc");
        PathBuf::from(name)
    })
}

/// Whether a file may be replaced: it is a recording, or empty.
fn is_recording(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(8).read_to_end(&mut start));
    read.is_ok() && (start.is_empty() || start == format::MAGIC)
}

/// The recorder as a file. It stays: what the program has started may still have it when this one has ended.
fn library() -> Result<PathBuf, Unrecorded> {
    if LIBRARY.is_empty() {
        let help = "on Linux on x86-64 or AArch64, build it where there is a C compiler; elsewhere, record with \
                    heaptrack or DHAT";
        return Err(failed("this fastalloc was built without its recorder", help));
    }
    let help = "set XDG_CACHE_HOME to a folder of your own, which is not mounted with `noexec`";
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(cache) = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))) else {
        return Err(failed("there is no home folder, where the recorder would go", help));
    };
    let folder = cache.join("fastalloc");
    let shown = folder.display();
    // Both separate libraries.
    if folder.to_string_lossy().contains([':', ' ']) {
        return Err(failed(format!("the recorder cannot be in a folder with a space or a colon: {shown}"), help));
    }
    let cannot_make = |error: io::Error| failed(format!("cannot write to {shown}: {error}"), help);
    let is_own = make_folder(&folder).map_err(cannot_make)?;
    if !is_own {
        return Err(failed(format!("{shown} belongs to somebody else, or others can write to it"), help));
    }
    let mut hasher = DefaultHasher::new();
    LIBRARY.hash(&mut hasher);
    let path = folder.join(format!("recorder-{:016x}.so", hasher.finish()));
    if fs::read(&path).is_ok_and(|content| content == LIBRARY) {
        return Ok(path);
    }
    let write = || {
        let mut file = NamedTempFile::new_in(&folder)?;
        file.write_all(LIBRARY)?;
        file.persist(&path).map_err(io::Error::from)
    };
    write().map_err(cannot_make)?;
    Ok(path)
}

/// Makes a folder, unless it is there; whether nobody else can put files there.
#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = path.symlink_metadata()?;
    Ok(metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<bool> {
    fs::create_dir_all(path).map(|()| true)
}

/// The recorder is the first: it removes itself there.
fn preload(library: &Path) -> OsString {
    let mut preload = library.as_os_str().to_os_string();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    preload
}

/// Compresses a recording, moves it to where it belongs, and says what it has come to. What goes wrong here leaves it as it
/// is. Returns where it is then.
fn finish(source: PathBuf, output: Option<&Output>, is_quiet: bool) -> PathBuf {
    let finished = compress_file(&source, is_quiet).and_then(|(compressed, file)| {
        let put = match output {
            Some(output) => output.put(file),
            None => file.persist(&source).map(|()| source.clone()),
        };
        Ok((compressed, put.map_err(|error| error.to_string())?))
    });
    let (compressed, path) = match finished {
        Ok(finished) => finished,
        Err(why) => {
            text::warning(&format!("{} is left as it is, uncompressed: {why}", source.display()));
            return source;
        }
    };
    if path != source {
        // Else it is there twice.
        let _ = fs::remove_file(source);
    }
    if is_quiet {
        return path;
    }
    let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let events = compressed.events.map(|events| format!("{events} events, ")).unwrap_or_default();
    text::note(&format!("recorded in {}: {events}{}", path.display(), indicatif::HumanBytes(length)));
    if compressed.events == Some(0) {
        text::warning("the program has allocated nothing that can be seen: it may bring an allocator of its own");
    }
    if !matches!(compressed.ending, Ending::Complete { .. }) {
        text::warning(&format!("the recording {}", compressed.ending));
    }
    path
}

/// Whether there is a process of this number that has not ended. Anybody may know.
fn is_alive(process: u32) -> bool {
    // After the name of the program, which may have anything in it.
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn compress_file(path: &Path, is_quiet: bool) -> Result<(Compressed, TempPath), String> {
    let source = File::open(path).map_err(|error| error.to_string())?;
    let length = source.metadata().map(|metadata| metadata.len()).ok();
    let progress = recording::progress(is_quiet || !io::stderr().is_terminal(), length);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut target = NamedTempFile::new_in(folder).map_err(|error| error.to_string())?;
    let mut sink = BufWriter::new(target.as_file_mut());
    let source = progress.wrap_read(BufReader::new(source));
    let compressed = compress(source, &mut sink, LEVEL).map_err(|error| chain(&error))?;
    sink.flush().map_err(|error| error.to_string())?;
    drop(sink);
    Ok((compressed, target.into_temp_path()))
}

/// Why a program that has run was not recorded, and what to do.
fn why_nothing(program: &OsStr) -> (String, String) {
    let shown = program.to_string_lossy();
    let path = find(program);
    let metadata = path.as_ref().and_then(|path| path.metadata().ok());
    #[cfg(unix)]
    let is_privileged =
        metadata.is_some_and(|metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o6000 != 0);
    #[cfg(not(unix))]
    let is_privileged = metadata.is_some() && false;
    if is_privileged {
        let what = format!("nothing was recorded: {shown} runs with the rights of another user");
        return (what, String::from("record a copy of it without the set-user-ID and set-group-ID bits"));
    }
    match path.as_deref().and_then(linkage) {
        Some(Linkage::Static) => (
            format!("nothing was recorded: {shown} is statically linked"),
            String::from("link it dynamically; or record it with valgrind (`valgrind --tool=dhat`)"),
        ),
        Some(Linkage::Bits32) => (
            format!("nothing was recorded: {shown} is no program of 64 bits for this processor"),
            String::from("build it for 64 bits; or record it with heaptrack"),
        ),
        Some(Linkage::OtherLibrary) => (
            format!("nothing was recorded: {shown} has another C library than this fastalloc: musl, or glibc"),
            String::from("build fastalloc for the same target: `cargo build --target x86_64-unknown-linux-musl`"),
        ),
        _ => (
            format!("nothing was recorded: {shown} did not load the recorder, or it could not write"),
            String::from(
                "see what it says on standard error; if your home is mounted with `noexec`, set XDG_CACHE_HOME",
            ),
        ),
    }
}

enum Linkage {
    Static,
    Dynamic,
    /// With the loader of another C library.
    OtherLibrary,
    Bits32,
}

fn linkage(path: &Path) -> Option<Linkage> {
    use object::read::elf::ProgramHeader;
    let data = fs::read(path).ok()?;
    match object::File::parse(&*data).ok()? {
        object::File::Elf64(file) => {
            let endian = file.endian();
            let headers = file.elf_program_headers();
            let loader = headers.iter().find_map(|header| header.interpreter(endian, &*data).ok().flatten());
            Some(match loader {
                None => Linkage::Static,
                Some(loader) => {
                    let is_musl = String::from_utf8_lossy(loader).contains("ld-musl");
                    if is_musl == cfg!(target_env = "musl") { Linkage::Dynamic } else { Linkage::OtherLibrary }
                }
            })
        }
        object::File::Elf32(_) => Some(Linkage::Bits32),
        _ => None,
    }
}

/// The file of a program.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}
