//! `fastalloc man`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Args, Man};
use crate::failure::Failure;

pub(crate) fn run(args: &Man) -> Result<ExitCode, Failure> {
    let mut command = Args::command();
    command.build();
    let found = args.command.as_ref().and_then(|name| command.find_subcommand(name)).cloned();
    let page = clap_mangen::Man::new(found.unwrap_or(command));
    let mut roff = Vec::new();
    page.render(&mut roff)?;
    let mut out = io::stdout();
    out.write_all(&roff)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
