//! The command line.

pub mod args;
pub mod check;
pub mod log;
pub mod serve;
pub mod wasm;
mod waterfall;
mod words;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Parses the arguments and runs the command they name. Never panics on what
/// a user typed.
pub fn main() -> ExitCode {
    let line = match words::expanded(std::env::args_os()) {
        Ok(line) => line,
        Err(why) => {
            eprintln!("error: {why}");
            return misused();
        }
    };
    // Flags of help that blackbox_exporter has beside this one.
    let line = line.into_iter().map(|word| match word.to_str() {
        Some("--help-long" | "--help-man") => "--help".into(),
        _ => word,
    });
    let args = match Args::try_parse_from(line) {
        Ok(args) => args,
        Err(error) => {
            // Nobody is left to tell if this cannot be written.
            let _ = error.print();
            return match error.use_stderr() {
                false => ExitCode::SUCCESS,
                true => misused(),
            };
        }
    };
    match args.command.unwrap_or(Command::Serve(args.serve)) {
        Command::Serve(args) => serve::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Demo(args) => crate::demo::main(&args),
        Command::Wasm(command) => wasm::main(&command),
    }
}

/// How a mistake on the command line ends.
fn misused() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(command) if MISUSABLE.iter().any(|it| command == *it) => ExitCode::from(MISUSED),
        _ => ExitCode::from(FAILED),
    }
}

/// The commands for which a mistake on the command line is [`MISUSED`].
const MISUSABLE: &[&str] = &["check", "demo", "wasm"];

/// Exit status of these for a mistake on the command line.
/// Serving has [`FAILED`] for that too, as blackbox_exporter has.
const MISUSED: u8 = 2;

/// Exit status of a command that could not do its work.
pub(crate) const FAILED: u8 = 1;
