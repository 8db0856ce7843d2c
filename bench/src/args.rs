//! What the command line says.

use std::path::PathBuf;

use clap::Parser;

/// Compares fastalloc's pools with other pools and with heaps, in time and in memory.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Take few rounds: enough to see that everything runs, not to compare.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Run only the groups whose names contain this.
    #[arg(long, value_name = "SUBSTRING")]
    pub(crate) only: Option<String>,

    /// Print the names of the groups and their questions, and run none.
    #[arg(long)]
    pub(crate) list: bool,

    /// Where to write record.json, overview.svg and report.html.
    #[arg(long, value_name = "FOLDER", default_value = "target/comparison")]
    pub(crate) out: PathBuf,

    /// Measure the memory of this candidate's objects in this process, and print it as JSON.
    #[arg(long, value_name = "CANDIDATE", hide = true)]
    pub(crate) measure_bytes_of: Option<String>,
}
