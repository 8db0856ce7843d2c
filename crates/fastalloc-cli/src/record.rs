//! `fastalloc record`: runs a program under the recorder.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastalloc_trace::{Compressed, Ending, compress, format};
use tempfile::TempDir;

use crate::args::{Record, RecordOptions};
use crate::failure::{Failure, chain};
use crate::{recording, text};

/// The library that is put between the program and its allocator; empty if there is none for this system.
const LIBRARY: &[u8] = include_bytes!(env!("FASTALLOC_RECORDER"));
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
pub(crate) fn record(
    options: &RecordOptions,
    command: &[OsString],
    follows: bool,
    is_quiet: bool,
    has_output_of_its_own: bool,
) -> Result<Recorded, Unrecorded> {
    let (program, arguments) = command.split_first().expect("clap demands a command");
    let output = output_path(options, program)?;
    let library = Library::new()?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mut setting = OsString::from(format!("{}:{}:{}:", options.depth, options.sample.0, u8::from(follows)));
    setting.push(&output);
    command.env("FASTALLOC_RECORD", setting);
    command.env("LD_PRELOAD", library.preload());
    if has_output_of_its_own {
        command.stdout(Stdio::from(io::stderr()));
    }
    let status = run_to_its_end(&mut command).map_err(|error| cannot_run(program, &error))?;
    if !output.exists() {
        let (what, help) = why_nothing(program);
        return Err(Unrecorded { failure: Failure::new(what, help), status: FAILED });
    }
    let mut files = vec![output.clone()];
    files.extend(children(&output));
    for file in &files {
        finish(file, *file != output && is_being_written(file), is_quiet);
    }
    Ok(Recorded { status, files })
}

/// A program gets the signals of the keyboard too, and decides itself: until it has ended, this one waits for it.
fn run_to_its_end(command: &mut Command) -> io::Result<ExitStatus> {
    let has_ended = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&has_ended))?;
    }
    let status = command.spawn()?.wait();
    has_ended.store(true, Ordering::Relaxed);
    status
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

/// Where the recording goes: an absolute path, of a file that is not there.
fn output_path(options: &RecordOptions, program: &OsStr) -> Result<PathBuf, Unrecorded> {
    let path = match &options.output {
        Some(path) => path.clone(),
        None => {
            let name = Path::new(program).file_name().unwrap_or(OsStr::new("program"));
            let numbered = |number: u32| {
                let mut name = name.to_os_string();
                name.push(if number == 0 { String::new() } else { format!(".{number}") });
                name.push(".fastalloc");
                PathBuf::from(name)
            };
            (0..).map(numbered).find(|path| !path.exists()).expect("there are as many names as numbers")
        }
    };
    let shown = path.display();
    let help = "give another file: `--output FILE`";
    let cannot_write = |error: io::Error| failed(format!("cannot write {shown}: {error}"), help);
    let path = std::path::absolute(&path).map_err(cannot_write)?;
    if let Ok(mut file) = File::open(&path) {
        let mut start = Vec::new();
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let read = if is_file { Read::take(&mut file, 8).read_to_end(&mut start) } else { Ok(0) };
        if !is_file || read.is_err() || !start.is_empty() && start != format::MAGIC {
            return Err(failed(format!("{shown} is there already, and is no recording"), help));
        }
    }
    // The recorder makes it: an empty file would look like one of another process.
    File::create(&path).and_then(|_| fs::remove_file(&path)).map_err(cannot_write)?;
    Ok(path)
}

/// The recorder as a file, which is gone in the end.
struct Library {
    path: PathBuf,
    _folder: TempDir,
}

impl Library {
    fn new() -> Result<Self, Unrecorded> {
        if LIBRARY.is_empty() {
            let help = "on Linux on x86-64 or AArch64, build it where there is a C compiler; elsewhere, record with \
                        heaptrack or DHAT";
            return Err(failed("this fastalloc was built without its recorder", help));
        }
        let help = "set TMPDIR to a folder that can be written to, and is not mounted with `noexec`";
        let cannot_make = |error: io::Error| failed(format!("cannot make a temporary file: {error}"), help);
        let folder = TempDir::with_prefix("fastalloc-").map_err(cannot_make)?;
        let path = folder.path().join("recorder.so");
        fs::write(&path, LIBRARY).map_err(cannot_make)?;
        // It separates libraries.
        if path.to_string_lossy().contains([':', ' ']) {
            let what = format!("the temporary folder has a name with a space or a colon: {}", folder.path().display());
            return Err(failed(what, "set TMPDIR to another one"));
        }
        // For a program that becomes another user.
        #[cfg(unix)]
        for (path, mode) in [(folder.path(), 0o755), (&path, 0o644)] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot_make)?;
        }
        Ok(Self { path, _folder: folder })
    }

    /// The recorder is the first: it removes itself there.
    fn preload(&self) -> OsString {
        let mut preload = self.path.clone().into_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(":");
            preload.push(others);
        }
        preload
    }
}

/// Recordings of children: the name of the first, and a number behind it.
fn children(output: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (output.parent(), output.file_name()) else { return Vec::new() };
    let is_child = |path: &PathBuf| {
        let other = path.file_name().unwrap_or_default().as_encoded_bytes();
        let suffix = other.strip_prefix(name.as_encoded_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        suffix.is_some_and(|suffix| suffix.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut children: Vec<PathBuf> = entries.filter(is_child).collect();
    children.sort();
    children
}

/// Compresses a recording, and says what it has come to. What goes wrong here leaves it as it is.
fn finish(path: &Path, is_being_written: bool, is_quiet: bool) {
    let shown = path.display();
    if is_being_written {
        text::warning(&format!("{shown} is still being recorded: it is left as it is, uncompressed"));
        return;
    }
    let compressed = match compress_file(path, is_quiet) {
        Ok(compressed) => compressed,
        Err(why) => {
            text::warning(&format!("{shown} is left as it is, uncompressed: {why}"));
            return;
        }
    };
    if is_quiet {
        return;
    }
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let events = compressed.events.map(|events| format!("{events} events, ")).unwrap_or_default();
    text::note(&format!("recorded in {shown}: {events}{}", indicatif::HumanBytes(length)));
    if compressed.events == Some(0) {
        text::warning("the program has allocated nothing that can be seen: it may bring an allocator of its own");
    }
    if !matches!(compressed.ending, Ending::Complete { .. }) {
        text::warning(&format!("the recording {}", compressed.ending));
    }
}

/// Whether the process is still there whose number is behind the name.
fn is_being_written(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let mut numbers = name.rsplit('.').map_while(|part| part.parse::<u32>().ok());
    numbers.any(|number| number > 1 && Path::new(&format!("/proc/{number}/exe")).exists())
}

fn compress_file(path: &Path, is_quiet: bool) -> Result<Compressed, String> {
    let source = File::open(path).map_err(|error| error.to_string())?;
    let length = source.metadata().map(|metadata| metadata.len()).ok();
    let progress = recording::progress(is_quiet || !io::stderr().is_terminal(), length);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut target = tempfile::NamedTempFile::new_in(folder).map_err(|error| error.to_string())?;
    let mut sink = BufWriter::new(target.as_file_mut());
    let source = progress.wrap_read(BufReader::new(source));
    let compressed = compress(source, &mut sink, LEVEL).map_err(|error| chain(&error))?;
    sink.flush().map_err(|error| error.to_string())?;
    drop(sink);
    target.persist(path).map_err(|error| error.to_string())?;
    Ok(compressed)
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
                "see what it says on standard error; if TMPDIR is mounted with `noexec`, set it to another folder",
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
