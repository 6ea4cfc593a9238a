//! `probity wasm`: for authors of checks.

mod new;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

/// Work on checks in Wasm.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a new check: a crate with its tests, ready to be built.
    New(New),
}

/// Flags of `probity wasm new`.
#[derive(Clone, Debug, clap::Args)]
pub struct New {
    /// Name of the check, and of the directory that is made: `[a-z][a-z0-9-]*`.
    #[arg(value_name = "NAME", value_parser = new::name)]
    pub name: String,
    /// Where the SDK is: wasm-checks/sdk of probity's source. Without it the
    /// crate asks for probity-check as it is published.
    #[arg(long, value_name = "DIRECTORY")]
    pub sdk: Option<PathBuf>,
}

/// Does it.
pub fn main(command: &Command) -> ExitCode {
    let done = match command {
        Command::New(args) => new::main(args),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(sentence) => {
            eprintln!("probity wasm: {sentence}");
            ExitCode::from(super::MISUSED)
        }
    }
}
