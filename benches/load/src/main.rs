//! Load benchmarks, each figure beside what it is measured against, in turn and
//! interleaved in one run:
//!
//! ```text
//!  farm (a process of its own, on the last core)      <---- checks ----   this process, on the first
//!    HTTP, TCP, TLS, silent, delayed                                       raw | engine | raw | ...
//! ```
//!
//! - *raw* is a non-blocking loop straight on epoll that connects, sends, reads,
//!   closes and does nothing else; for TLS it is rustls on a pipe of memory.
//! - *engine* is the driver with one worker and as many checks in flight.
//!
//! Figures are medians over the rounds; ratios are of neighbours in time. CPU is
//! that of the whole process, user and system, from the kernel's accounts.

mod cpu;
mod engine;
mod farm;
mod fleet;
mod hang;
mod idle;
mod raw;
mod report;
mod tls;
mod truth;
mod wasm;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::report::Report;

/// Measures the driver beside a bare loop, in one run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    farm: Option<Hidden>,
    /// What to measure; all of it unless given. May be repeated.
    #[arg(long, value_enum)]
    only: Vec<Bench>,
    /// Seconds of one round of one side.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Checks in flight at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
    /// Small numbers of targets, to see that it works; figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// The servers: started by the benchmark itself.
    #[command(hide = true)]
    Farm,
}

/// One benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// TCP connections.
    Tcp,
    /// HTTP requests, each on a new connection.
    Http,
    /// TLS 1.3 handshakes, full ones.
    Tls,
    /// Servers that accept and never answer.
    Hang,
    /// Servers that answer after known times.
    Truth,
    /// Targets that are registered, and hardly ever due.
    Idle,
    /// The engine alone, with a world that answers at once.
    Fleet,
    /// The check for Redis in Wasm beside a native one.
    Wasm,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.05 to 60".into()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.farm {
        Some(Hidden::Farm) => farm::serve().map_err(|error| format!("farm: {error}")),
        None => measure(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("probity-load: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), String> {
    let wanted = |bench| args.only.is_empty() || args.only.contains(&bench);
    let plan = Plan {
        round: Duration::from_secs_f64(args.seconds),
        rounds: args.rounds,
        in_flight: args.in_flight,
        quick: args.quick,
    };
    probity_driver::raise_descriptor_limit();
    let farm = farm::Farm::start()?;
    cpu::pin(0);
    let mut report = Report::new();
    if wanted(Bench::Tcp) {
        engine::beside_raw(&plan, "tcp", &farm, &mut report)?;
    }
    if wanted(Bench::Http) {
        engine::beside_raw(&plan, "http", &farm, &mut report)?;
    }
    if wanted(Bench::Tls) {
        tls::measure(&plan, &farm, &mut report)?;
    }
    if wanted(Bench::Truth) {
        truth::measure(&plan, &farm, &mut report)?;
    }
    if wanted(Bench::Hang) {
        hang::measure(&plan, &farm, &mut report)?;
    }
    if wanted(Bench::Idle) {
        idle::measure(&plan, &mut report)?;
    }
    if wanted(Bench::Fleet) {
        fleet::measure(&plan, &mut report)?;
    }
    if wanted(Bench::Wasm) {
        wasm::measure(&plan, &farm, &mut report)?;
    }
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// How long and how much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    round: Duration,
    rounds: u32,
    in_flight: u32,
    quick: bool,
}
