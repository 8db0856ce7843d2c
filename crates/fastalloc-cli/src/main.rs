//! The program `fastalloc`: what it does is in [`args`], and in `fastalloc --help`.

#![forbid(unsafe_code)]

mod advise;
mod analysed;
mod args;
mod cold;
mod completions;
mod convert;
mod dhat;
mod failure;
mod gain;
mod man;
mod record;
mod recording;
mod replay;
mod report;
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
        Command::Replay(args) => replay::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Cold(args) => cold::run(&args),
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
