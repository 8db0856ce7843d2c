//! What can be asked of the program.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

const EXIT_STATUS: &str = "\
Exit status:
  0  all is well
  1  a check has failed: see `advise --check`
  2  wrong usage, or input that cannot be read
`fastalloc record` ends with the status of the program: see there";

/// Finds out which object pools would fit a program
///
/// Records what the program allocates, or reads a recording, looks at each call site, and says where a pool of the crate
/// fastalloc would be used again and again, of what kind and how large, and where not, and why.
#[derive(Debug, Parser)]
#[command(name = "fastalloc", version, propagate_version = true, after_help = EXIT_STATUS, max_term_width = 120)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Advise(Advise),
    Replay(Replay),
    Convert(Convert),
    /// Takes the steps of a plan once: for `fastalloc replay`
    #[command(hide = true)]
    Cold(Cold),
    Completions(Completions),
    Man(Man),
    Record(Record),
}

const ADVISE_EXAMPLES: &str = "\
Examples:
  Record a program, and ask which pools would fit:
    fastalloc advise -- ./program --its-option

  The same with what heaptrack has recorded:
    heaptrack --raw -o recording ./program
    fastalloc advise recording.raw.zst

  Keep what was advised, and later see in CI whether it still fits:
    fastalloc advise --toml -- ./program > pools.toml
    fastalloc advise --check pools.toml -- ./program

  All that is known of the call sites that have most to gain:
    fastalloc advise recording.raw.zst --json --top 3

Configurations for --check:
  [[pool]]
  site = \"my_app::serve*\"   # `*` stands for any text, `?` for any character
  size = 64                 # bytes; leave it out for objects of all sizes
  capacity = 100
  max_capacity = 400        # leave it out if the pool does not grow

Exit status:
  0  all is well; with --check: nothing in the recording says that a pool does not fit
  1  with --check: a pool does not fit
  2  wrong usage, or input that cannot be read";

/// Says which pools would fit a recorded program
///
/// What a recording is, is found out from its content, compressed by gzip or zstd or not: a trace of fastalloc, a
/// recording of `heaptrack --raw`, or the JSON of DHAT (`valgrind --tool=dhat`, or the crate dhat), which is only
/// summed up.
///
/// A call site is the innermost function that is not of an allocator, nor of the standard libraries of Rust, C and
/// C++. Functions have names if the programs and libraries that were recorded are still where they were, with symbols;
/// else a call site is an offset in one of them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = ADVISE_EXAMPLES)]
pub(crate) struct Advise {
    /// The recording; `-` is standard input. Without one, a small recording that is in the program
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// A program to record instead, and its arguments; what it prints goes to standard error
    #[arg(last = true, id = "program", value_name = "COMMAND", conflicts_with = "file")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) record: RecordOptions,

    /// Compares pools of a configuration with the recording instead
    ///
    /// What does not fit is printed, and the status is 1. What the recording is not certain about is printed too: for
    /// instance, whether the peaks of two call sites that share a pool came at the same time. That alone leaves the
    /// status at 0.
    #[arg(long, value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) check: Option<PathBuf>,

    /// Prints JSON, with all that is known of each call site
    #[arg(long)]
    pub(crate) json: bool,

    /// Prints the advised pools as a configuration for --check
    #[arg(long, conflicts_with_all = ["json", "check"])]
    pub(crate) toml: bool,

    /// Does not replay what is advised, and so says nothing about what a pool would gain
    #[arg(long)]
    pub(crate) no_replay: bool,

    #[command(flatten)]
    pub(crate) page: Page,

    /// Leaves out all but the first N rows; 0 is all [default: 20, with --json and --toml all]
    #[arg(long, value_name = "N", conflicts_with = "check")]
    pub(crate) top: Option<usize>,

    /// Neither progress nor warnings; with --check only the status
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Where the page of plots goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// Writes a page of plots there [default: fastalloc-COMMAND.html, unless something else than a table is printed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,

    /// Writes no page of plots
    #[arg(long, conflicts_with = "html")]
    pub(crate) no_html: bool,
}

impl Advise {
    /// How many rows there may be.
    pub(crate) fn rows_max(&self) -> usize {
        let usual = if self.json || self.toml { 0 } else { 20 };
        match self.top.unwrap_or(usual) {
            0 => usize::MAX,
            rows => rows,
        }
    }
}

/// How a program is recorded.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RecordOptions {
    /// Where the recording goes [default: PROGRAM.fastalloc; with `advise` it is not kept]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "program")]
    pub(crate) output: Option<PathBuf>,

    /// Records so many callers of each allocation at most
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=128),
        requires = "program")]
    pub(crate) depth: u32,

    /// Records one of N objects, chosen at random when it is allocated, until it is freed
    #[arg(long, value_name = "1/N", default_value = "1/1", value_parser = Sample::parse, requires = "program")]
    pub(crate) sample: Sample,
}

/// One of so many objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample(pub(crate) u32);

impl Sample {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("1/").and_then(|number| number.parse().ok()).filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| String::from("write 1/N, with a whole number N: 1/100 is one of 100 objects"))
    }
}

const RECORD_EXAMPLES: &str = "\
Examples:
  Record a program, and ask which pools would fit, and which fit another time:
    fastalloc record -o run.fastalloc -- ./program --its-option
    fastalloc advise run.fastalloc
    fastalloc advise run.fastalloc --check pools.toml

  Record a server for a long time: one of 100 objects, and short stacks
    fastalloc record --sample 1/100 --depth 8 -- ./server

  Record what a script starts, each process in a file of its own: run.PID
    fastalloc record --follow -o run -- ./script.sh

Exit status: that of the program; 128 and its number if a signal has ended it; or
  125  nothing could be recorded
  126  the program cannot be run
  127  the program was not found";

/// Runs a program, and records what it allocates
///
/// Works with programs for Linux on x86-64 (and AArch64, not tried yet) that are dynamically linked. A library is
/// loaded with the program (by LD_PRELOAD) and sees each call of malloc and the like, of all threads; libraries of C,
/// C++ and Rust call them. What a program that brings an allocator of its own calls is seen as far as it goes from one
/// of its libraries to another. Programs with the rights of another user are not recorded.
///
/// A program that crashes leaves a recording of all but about its last 10 ms; if it calls abort or _exit, of all. While it
/// runs, the recording is in a file with the number of its process behind the name; an older recording is replaced at the
/// end. Nothing is shown meanwhile: the terminal is the program's. Signals are its own, too: SIGTERM and SIGHUP are passed
/// on.
#[derive(Debug, clap::Args)]
#[command(after_long_help = RECORD_EXAMPLES)]
pub(crate) struct Record {
    /// The program, and its arguments
    #[arg(last = true, required = true, id = "program", value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) options: RecordOptions,

    /// Records what the program starts too, each process in a file with its number behind the name
    ///
    /// Without it, only the program itself is recorded, and what it becomes in the same process (exec). Where the C library
    /// and the compiler are older than glibc 2.35 and GCC 12, and with musl, a child can hang that is forked while another
    /// thread loads or unloads a library: fastalloc warns of that if it was built there.
    #[arg(long)]
    pub(crate) follow: bool,

    /// Says nothing but errors and warnings
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  Measure what the advised pools would gain, with the small recording that is in the program:
    fastalloc replay

  The same with a recording, and with pools of a configuration:
    fastalloc replay recording.raw.zst
    fastalloc advise recording.raw.zst --toml > pools.toml
    fastalloc replay recording.raw.zst --config pools.toml

  How many allocations would fail, and how often would pools grow, with other capacities?
    fastalloc replay recording.raw.zst --capacity 100..10000 --site 'my_app::serve*'

Exit status:
  0  all is well
  2  wrong usage, or input that cannot be read";

/// Measures recorded allocations on heaps and on pools
///
/// Runs all events, each recorded thread a thread, on the heap of the C library, on mimalloc, on jemalloc, and with the
/// advised or configured pools for their objects and the heap of the C library for the rest. The candidates take turns,
/// after a round that does not count. Pauses between events are left out; objects are written when they are allocated, a
/// word in each 64 bytes of the first 4 KiB, and read before they are freed.
///
/// Latencies are taken in rounds of their own, the clock included. Memory and cache misses are those of a first round in
/// a process of its own. Recordings of heaptrack do not tell threads apart: all their events are of one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = REPLAY_EXAMPLES)]
pub(crate) struct Replay {
    /// The recording. Without one, a small recording that is in the program
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Takes the pools of a configuration, as `advise --toml` prints it, instead of the advised ones
    ///
    /// A pool with `max_capacity` doubles when it is full.
    #[arg(long, value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,

    /// Leaves out pools for other call sites; `*` stands for any text, `?` for any character
    #[arg(long, value_name = "PATTERN")]
    pub(crate) site: Option<String>,

    /// Tells how pools of these capacities would have done, and measures nothing
    #[arg(long, value_name = "FROM..TO", value_parser = capacities)]
    pub(crate) capacity: Option<(u64, u64)>,

    /// Replays the first N allocations and frees only
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    pub(crate) events: usize,

    /// How long to measure: about so many seconds, and a few rounds at least
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) time: f64,

    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) page: Page,

    /// Neither progress nor warnings
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `100..10000`, or one number.
fn capacities(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim_start_matches('=').parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match (number(from)?, number(to)?) {
        (0, _) => Err(String::from("a pool has at least 1 slot")),
        (from, to) if from > to => Err(format!("{from} is more than {to}")),
        range => Ok(range),
    }
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  fastalloc convert recording.raw.zst --output program.trace
  fastalloc advise program.trace";

/// Writes a recording as a trace of fastalloc that can be read elsewhere
///
/// The names of functions are in it, so that the programs and libraries need not be there.
#[derive(Debug, clap::Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub(crate) struct Convert {
    /// The recording; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Where the trace goes
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// The first N events only
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub(crate) events: usize,

    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Takes the steps of a plan once: for `fastalloc replay`
#[derive(Debug, clap::Args)]
pub(crate) struct Cold {
    /// `system`, `mimalloc`, `jemalloc` or `pools`
    pub(crate) candidate: String,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  fastalloc completions bash > ~/.local/share/bash-completion/completions/fastalloc
  fastalloc completions fish > ~/.config/fish/completions/fastalloc.fish";

/// Prints what makes a shell complete the program's arguments
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct Completions {
    /// Which shell
    pub(crate) shell: Shell,
}

const MAN_EXAMPLES: &str = "\
Examples:
  fastalloc man | man -l -
  fastalloc man advise > fastalloc-advise.1";

/// Prints a manual page, in roff
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct Man {
    /// Of which command, instead of the program
    #[arg(value_parser = ["record", "advise", "replay", "convert", "completions", "man"])]
    pub(crate) command: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_page() {
        let command = Args::command();
        for name in command.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name) {
            assert!(Args::command().try_get_matches_from(["fastalloc", "man", name]).is_ok(), "{name}");
        }
    }
}
