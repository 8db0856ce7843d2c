//! The program as its users run it.

mod advise;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod recorder;
mod recordings;
mod replay;
mod report;
#[cfg(target_os = "linux")]
mod symbols;
mod usage;

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fastalloc_trace::{Event, EventKind, Frame, Process, StackId, Symbol, Symbols, TraceWriter};
use tempfile::TempDir;

/// What a run of the program has come to.
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fastalloc"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    // Where the recorder may be put.
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    // Where pages may be written.
    command.stdin(Stdio::null()).current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run_command(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    run_command(command().args(args))
}

/// Files that are gone after the test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        path
    }
}

/// A call site in a trace: the functions of its stack, innermost first, and what it allocates.
struct Site {
    functions: &'static [&'static str],
    size: u64,
    objects: u64,
    /// So many are alive at once, and then all of them are freed.
    alive: u64,
}

const SERVE: Site = Site { functions: &["my_app::serve"], size: 64, objects: 2000, alive: 10 };
const SETUP: Site = Site { functions: &["my_app::setup"], size: 100, objects: 5, alive: 5 };

/// A trace with symbols. The function `i` of a stack is in line `i + 1` of `src/main.rs`.
fn trace(sites: &[Site]) -> Vec<u8> {
    let process = Process { id: 7, arguments: vec![String::from("my_app")], ..Process::default() };
    let mut writer = TraceWriter::new(Vec::new(), &process).unwrap();
    let file = writer.string("src/main.rs").unwrap();
    let mut address = 0;
    let mut time = 0;
    for site in sites {
        let mut stack = StackId::EMPTY;
        for (index, function) in site.functions.iter().enumerate().rev() {
            address += 0x100;
            let frame = Frame { module: None, address };
            let name = writer.string(function).unwrap();
            let functions = vec![Symbol { name, file: Some(file), line: index as u32 + 1 }];
            writer.symbols(&Symbols { frame, functions }).unwrap();
            stack = writer.stack(stack, frame).unwrap();
        }
        for round in 0..site.objects / site.alive {
            let addresses = (0..site.alive).map(|number| 0x10_0000 + number * 0x1000);
            for address in addresses.clone() {
                time += 1000;
                let kind = EventKind::Allocate { address, size: site.size, alignment: 8, stack };
                writer.event(&Event { time, thread: 1, duration: 0, kind }).unwrap();
            }
            // What is set up once stays; its addresses are not used again.
            if round > 0 || site.objects > site.alive {
                for address in addresses {
                    time += 1000;
                    writer.event(&Event { time, thread: 1, duration: 0, kind: EventKind::Free { address } }).unwrap();
                }
            }
        }
        // So that a trace has more than one block.
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}
