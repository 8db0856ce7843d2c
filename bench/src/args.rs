//! What the command line says.

use clap::Parser;

/// Compares fastalloc's pools with other pools and with heaps, in time.
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
}
