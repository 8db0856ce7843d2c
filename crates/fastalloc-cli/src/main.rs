//! The program `fastalloc`: what it does is in [`args`], and in `fastalloc --help`.

#![forbid(unsafe_code)]

mod advise;
mod args;
mod completions;
mod dhat;
mod failure;
mod man;
mod record;
mod recording;
mod sites;
mod symbols;
mod text;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::failure::Failure;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Advise(args) => advise::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Record(args) => record::run(&args),
    };
    match done {
        Ok(code) => code,
        // Who reads the output has read enough.
        Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Unusable { what, help }) => {
            text::error(&what, &help);
            ExitCode::from(2)
        }
    }
}
