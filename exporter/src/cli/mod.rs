//! The command line.

pub mod args;
pub mod check;
pub mod log;
pub mod serve;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Parses the arguments and runs the command they name. Never panics on what
/// a user typed.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match args.command.unwrap_or(Command::Serve(args.serve)) {
        Command::Serve(args) => serve::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Demo(args) => crate::demo::main(&args),
    }
}

/// Exit status of a command that could not do its work.
pub(crate) const FAILED: u8 = 1;
