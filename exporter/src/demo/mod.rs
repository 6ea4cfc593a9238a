//! `probity demo`: a fleet of local targets in the same process, probed the
//! way a real one is.
//!
//! The targets are written down as a configuration (`plan`) and go through
//! the same code as a file; only the server that answers (`server`) and the
//! lines on the screen (`screen`) are the demo's own.

mod plan;
mod screen;
mod server;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use probity_driver::FleetQuery;
use tokio::time::MissedTickBehavior;

use self::screen::Meter;
use self::server::Server as Targets;
use crate::app::Probes;
use crate::bridge::Unavailable;
use crate::cli::args::{Demo, Level, Log, LogFormat};
use crate::cli::serve::{self, Listen, Options};
use crate::cli::{FAILED, log};
use crate::control::Source;
use crate::http::base::Base;

/// Descriptors for all but runs and targets: listeners of the API, scrapes,
/// files.
const RESERVE: u64 = 512;
/// Lines between two headers.
const PAGE: usize = 20;

/// Runs until it is told to end.
pub fn main(args: &Demo) -> ExitCode {
    // What targets do is on the screen; the log would drown it.
    log::init(&Log {
        level: Level::Error,
        prober: "error".into(),
        format: LogFormat::Logfmt,
    });
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("probity demo: {sentence}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &Demo) -> Result<(), String> {
    let (targets, options, source) = prepare(args)?;
    let addresses = targets.places().listening.len();
    say(format_args!(
        "{} targets on {addresses} loopback addresses, each probed every {:?}",
        args.targets, args.interval
    ));
    let runtime = serve::runtime().map_err(|error| format!("cannot start: {error}"))?;
    let result = runtime.block_on(watch(args, options, source));
    // Only now: a run in flight shall not see its target leave.
    drop(targets);
    result
}

/// Starts the targets and says how they are to be probed.
fn prepare(args: &Demo) -> Result<(Targets, Options, Source), String> {
    let limit = probity_driver::raise_descriptor_limit();
    let addresses: Vec<Ipv4Addr> = plan::addresses(args.targets).collect();
    let targets =
        Targets::start(&addresses).map_err(|error| format!("cannot start the targets: {error}"))?;
    let places = targets.places();
    let text = plan::text(args.targets, args.interval, places);
    let mut options = Options {
        listen: Listen::At(args.listen.clone()),
        probes: Probes::default(),
        base: Base::default(),
        web_config: None,
        connections: None,
        auto_reload: None,
        engine: args.engine.clone(),
    };
    if options.engine.in_flight == 0 {
        options.engine.in_flight = in_flight(limit, places.listening.len());
    }
    Ok((targets, options, Source::Text("the demo", text)))
}

/// Every run takes two descriptors here: its own and that of its target.
fn in_flight(limit: u64, listeners: usize) -> usize {
    let free = limit.saturating_sub(RESERVE + listeners as u64);
    usize::try_from(free / 2).unwrap_or(usize::MAX).max(1)
}

async fn watch(args: &Demo, options: Options, source: Source) -> Result<(), String> {
    let server = serve::Server::start(options, source)
        .await
        .map_err(|error| error.to_string())?;
    for address in &server.addresses {
        say(format_args!(
            "http://{address}/  (and /metrics, /fleet, /api/v1/targets)"
        ));
    }
    let begun = Instant::now();
    let told = told(args.duration);
    tokio::pin!(told);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to say.
    ticks.tick().await;
    let mut meter = Meter::default();
    let mut lines = 0_usize;
    let outcome = loop {
        tokio::select! {
            outcome = &mut told => break outcome,
            _ = ticks.tick() => {}
        }
        if lines.is_multiple_of(PAGE) {
            say(screen::HEADER);
        }
        lines += 1;
        let bridge = &server.app.bridge;
        let read = async {
            let stats = bridge.stats().await?;
            let fleet = bridge.fleet(FleetQuery::default()).await?;
            Ok::<_, Unavailable>((stats, fleet))
        };
        let listened = match read.await {
            Ok((stats, fleet)) => say(meter.line(begun.elapsed(), &stats, &fleet.rows)),
            Err(unavailable) => say(unavailable),
        };
        if !listened {
            break Ok(());
        }
    };
    if let Ok(stats) = server.app.bridge.stats().await {
        say(screen::summary(&stats, begun.elapsed()));
    }
    server.stop().await;
    outcome
}

/// Prints a line. Returns whether anybody listens still (`| head` does not).
fn say(line: impl Display) -> bool {
    writeln!(io::stdout(), "{line}").is_ok()
}

/// Returns when the demo shall end: after `duration`, or on SIGINT or SIGTERM.
async fn told(duration: Option<Duration>) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = over => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use clap::Parser as _;
    use probity_engine::{Outcome, Reason};

    #[test]
    fn runs_and_their_targets_fit_into_the_descriptors() {
        assert_eq!(in_flight(20_000, 256), 9_616);
        assert_eq!(in_flight(256, 256), 1);
    }

    fn args() -> Demo {
        let line = "probity demo --targets 200 --interval 1s --web.listen-address 127.0.0.1:0 --engine.workers 1";
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Demo(args)) => args,
            _ => panic!("it is a demo"),
        }
    }

    #[test]
    fn every_target_is_seen_as_it_behaves() {
        let (targets, options, source) = prepare(&args()).unwrap();
        serve::runtime().unwrap().block_on(async {
            let server = serve::Server::start(options, source).await.unwrap();
            let mut rows = Vec::new();
            for _ in 0..600 {
                rows = server
                    .app
                    .bridge
                    .fleet(FleetQuery::default())
                    .await
                    .unwrap()
                    .rows;
                if rows.len() == 200 && rows.iter().all(|row| row.last().is_some()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let running = server.app.running();
            let mut seen = 0;
            for (entry, row) in running.index.join(&rows) {
                let last = row.last().expect("all had time for a run");
                let expected = match entry.target.split('/').nth(3) {
                    Some("503") => Outcome::Failure(Reason::HttpStatus),
                    Some("refused") => Outcome::Failure(Reason::ConnectRefused),
                    Some("flapping") => continue,
                    _ => Outcome::Success,
                };
                assert_eq!(last.outcome, expected, "{}: {}", entry.target, last.detail);
                seen += 1;
            }
            assert_eq!(seen, 198, "all but the two that flap");
            server.stop().await;
        });
        drop(targets);
    }
}
