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
//! - *engine* is the driver with one worker and as many targets, which are due so often that
//!   it makes 7 of 10 checks that the bare loop has just made: the core is busy, and no target
//!   is kept from its next run. So fewer are in flight at once than *raw* has, which costs it a
//!   little, because it waits oftener.
//! - *`/probe`* is the program that is built beside this one, and blackbox_exporter
//!   where it is installed, each a process on the first core with one configuration,
//!   asked on as many connections as there are checks in flight. They are kept, and
//!   the clients are on the last core.
//!
//! Figures of what has rounds are medians over them; ratios are of neighbours in time, but for those of
//! engine and blackbox_exporter, which are of medians. CPU is that of the whole process, from
//! the kernel's accounts; how much of it was user space is sampled by ticks. A rate per
//! second of CPU is what one core could do that did nothing else.
//!
//! HTTP checks on connections that are kept are not measured: the engine has none,
//! every run makes a connection of its own and asks the server to close it.

mod alone;
mod client;
mod cpu;
mod engine;
mod exporter;
mod farm;
mod fleet;
mod hang;
mod idle;
mod probe;
mod raw;
mod report;
mod scrape;
mod steady;
mod tls;
mod truth;
mod wasm;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::alone::Alone;
use crate::cpu::Core;
use crate::report::Report;

#[global_allocator]
static ALLOCATOR: steady::Counting = steady::Counting;

/// Measures the driver beside a bare loop, in one run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    hidden: Option<Hidden>,
    /// What to measure, in the order of this list; all of it unless given. May be
    /// repeated.
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
    /// What is measured in a process of its own.
    #[command(hide = true)]
    Alone { what: Alone },
}

/// One benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// TCP connections.
    Tcp,
    /// HTTP requests, each on a new connection.
    Http,
    /// What an HTTP run allocates.
    Steady,
    /// TLS 1.3 handshakes, full ones.
    Tls,
    /// `/probe` of the program and of blackbox_exporter.
    Probe,
    /// Servers that accept and never answer.
    Hang,
    /// Servers that answer after known times.
    Truth,
    /// Targets that are registered, and hardly ever due.
    Idle,
    /// `/fleet` of many targets.
    Scrape,
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
    let result = match args.hidden {
        Some(Hidden::Farm) => farm::serve().map_err(|error| format!("farm: {error}")),
        Some(Hidden::Alone { what }) => alone::measure(what, &args.plan()),
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

impl Args {
    fn plan(&self) -> Plan {
        Plan {
            round: Duration::from_secs_f64(self.seconds),
            rounds: self.rounds,
            in_flight: self.in_flight,
            quick: self.quick,
        }
    }
}

fn measure(args: &Args) -> Result<(), String> {
    let plan = args.plan();
    probity_driver::raise_descriptor_limit();
    let machine = cpu::Machine::now();
    let mut report = Report::new();
    let mut farm = farm::Farm::start()?;
    cpu::pin(Core::First);
    let mut failed = Vec::new();
    let mut engine = probe::Engine::default();
    for bench in Bench::value_variants() {
        if !args.only.is_empty() && !args.only.contains(bench) {
            continue;
        }
        if let Err(why) = run(*bench, &plan, &mut farm, &mut engine, &mut report) {
            let name = bench.to_possible_value();
            let name = name.map_or_else(String::new, |name| name.get_name().to_owned());
            report.note(format!("{name} was not measured: {why}"));
            failed.push(name);
        }
    }
    drop(farm);
    report.quiet(&machine);
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not measured: {}", failed.join(", "))),
    }
}

fn run(
    bench: Bench,
    plan: &Plan,
    farm: &mut farm::Farm,
    engine: &mut probe::Engine,
    report: &mut Report,
) -> Result<(), String> {
    match bench {
        Bench::Tcp => engine.tcp = Some(engine::beside_raw(plan, "tcp", farm, report)?),
        Bench::Http => engine.http = Some(engine::beside_raw(plan, "http", farm, report)?),
        Bench::Steady => steady::measure(report)?,
        Bench::Tls => tls::measure(plan, farm, report)?,
        Bench::Probe => probe::measure(plan, farm, *engine, report)?,
        Bench::Hang => alone::run(Alone::Hang, plan, &farm.places, report)?,
        Bench::Truth => truth::measure(plan, farm, report)?,
        Bench::Idle => idle::measure(plan, farm, report)?,
        Bench::Scrape => scrape::measure(plan, farm, report)?,
        Bench::Fleet => alone::run(Alone::Engine, plan, &farm.places, report)?,
        Bench::Wasm => wasm::measure(plan, farm, report)?,
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
