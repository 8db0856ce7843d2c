//! What can be asked of the program.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

const EXIT_STATUS: &str = "\
Exit status:
  0  all is well
  1  a check has failed: see `advise --check`
  2  wrong usage, or input that cannot be read";

/// Finds out which object pools would fit a program
///
/// Reads a recording of what the program has allocated, looks at each call site, and says where a pool of the crate
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
    Completions(Completions),
    Man(Man),
}

const ADVISE_EXAMPLES: &str = "\
Examples:
  Record a program with heaptrack, and ask which pools would fit:
    heaptrack --raw -o recording ./program
    fastalloc advise recording.raw.zst

  Keep what was advised, and later see in CI whether it still fits:
    fastalloc advise recording.raw.zst --toml > pools.toml
    fastalloc advise newer.raw.zst --check pools.toml

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
    /// The recording; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

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

    /// Leaves out all but the first N rows; 0 is all [default: 20, with --json and --toml all]
    #[arg(long, value_name = "N", conflicts_with = "check")]
    pub(crate) top: Option<usize>,

    /// Neither progress nor warnings; with --check only the status
    #[arg(short, long)]
    pub(crate) quiet: bool,
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
    #[arg(value_parser = ["advise", "completions", "man"])]
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
        for name in command.get_subcommands().map(clap::Command::get_name) {
            assert!(Args::command().try_get_matches_from(["fastalloc", "man", name]).is_ok(), "{name}");
        }
    }
}
