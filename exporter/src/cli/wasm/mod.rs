//! `probity wasm`: for authors of checks.

mod inspect;
mod new;
mod play;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use probity_engine::guest::Class;

use super::args::{Dns, duration};
use crate::guests::{self, Setup};

/// Instances that these commands need at once, and some more.
const INSTANCES: u32 = 8;

/// Work on checks in Wasm.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a new check: a crate with its tests, ready to be built.
    New(New),
    /// Load a check and say what it is: its name, metrics, phases and digest.
    Inspect(Inspect),
    /// Run a check once against a target, and show all that it is told and does.
    ///
    /// Exit status: 0 if it is content, 1 if the target fails, 2 for a mistake on the
    /// command line or a check that cannot be loaded, 3 if the target could not be
    /// looked at.
    Check(Check),
    /// Play a transcript to a check: what a peer says, and what it must answer.
    ///
    /// Exit status: 0 if all cases go as they are written, 1 if any does not, 2 for a
    /// file that cannot be read.
    Test(Test),
}

/// Flags of `probity wasm test`.
#[derive(Clone, Debug, clap::Args)]
pub struct Test {
    /// The check: a component, or a core module that describes its world.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The transcript.
    #[arg(value_name = "TRANSCRIPT")]
    pub transcript: PathBuf,
    /// What kind of code it is: native, or script, which may take more.
    #[arg(long, value_name = "CLASS", default_value = "native", value_parser = class)]
    pub class: Class,
}

/// Flags of `probity wasm inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct Inspect {
    /// The check: a component, or a core module that describes its world.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What kind of code it is: native, or script, which may take more.
    #[arg(long, value_name = "CLASS", default_value = "native", value_parser = class)]
    pub class: Class,
}

/// Flags of `probity wasm check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Check {
    /// The check: a component, or a core module that describes its world.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to check: host:port, or a host if the check has a port of its own.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The check's options.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub config: String,
    /// Secure the connection before the check begins.
    #[arg(long)]
    pub tls: bool,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure_skip_verify: bool,
    /// Longest time that it may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// How addresses are found.
    #[command(flatten)]
    pub dns: Dns,
    /// What kind of code it is: native, or script, which may take more.
    #[arg(long, value_name = "CLASS", default_value = "native", value_parser = class)]
    pub class: Class,
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

/// Reads the name of a class.
fn class(name: &str) -> Result<Class, String> {
    let found = Class::ALL.into_iter().find(|it| it.name() == name);
    found.ok_or_else(|| "expected native or script".into())
}

/// Does it.
pub fn main(command: &Command) -> ExitCode {
    // One run needs little room, and leaves nothing behind.
    guests::set_up(Setup {
        instances: Some(INSTANCES),
        cache: None,
    });
    let done = match command {
        Command::New(args) => new::main(args),
        Command::Inspect(args) => inspect::main(&args.file, args.class),
        Command::Check(args) => run::main(args),
        Command::Test(args) => play::main(args),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(sentence) => {
            eprintln!("probity wasm: {sentence}");
            ExitCode::from(super::MISUSED)
        }
    }
}
