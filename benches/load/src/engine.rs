//! The driver, with as many checks in flight as the bare loop beside it.

use std::net::SocketAddrV4;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use probity_driver::{Change, Config, Driver, Handle, Stats};
use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Schedule, Spec, TargetId};

use crate::Plan;
use crate::cpu::{Since, Used};
use crate::farm::Farm;
use crate::raw::{self, Exchange};
use crate::report::{Bar, Report, median};

/// A module of this kind with nothing but its defaults, or with this section.
pub(crate) fn module(json: &str) -> Result<probity_engine::check::Module, String> {
    let config: ModuleConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
    config.compile(&NoFiles).map_err(|error| error.to_string())
}

/// So many targets of such a module, spread over the places.
pub(crate) fn specs(
    json: &str,
    places: &[SocketAddrV4],
    count: u32,
    interval: Duration,
    timeout: Duration,
) -> Result<Vec<Change>, String> {
    specs_of(&module(json)?, places, count, interval, timeout)
}

/// The same for a module that there is.
pub(crate) fn specs_of(
    module: &probity_engine::check::Module,
    places: &[SocketAddrV4],
    count: u32,
    interval: Duration,
    timeout: Duration,
) -> Result<Vec<Change>, String> {
    let schedule = Schedule::new(interval, timeout, Duration::ZERO).map_err(|e| e.to_string())?;
    let threshold = threshold::Config::new(Kind::Plain, 1, 3).map_err(|e| e.to_string())?;
    let specs: Result<Vec<Arc<Spec>>, String> = places
        .iter()
        .map(|place| {
            let check = module.target(&place.to_string(), TargetParams::default());
            Ok(Arc::new(Spec {
                check: check.map_err(|error| error.to_string())?,
                schedule,
                threshold,
                group: GroupId(0),
            }))
        })
        .collect();
    let specs = specs?;
    Ok((0..count)
        .map(|id| {
            let spec = &specs[id as usize % specs.len()];
            Change::Upsert(TargetId(u64::from(id)), Arc::clone(spec))
        })
        .collect())
}

/// A driver with one worker.
pub(crate) fn driver(changes: Vec<Change>) -> Result<Handle, String> {
    driver_of(1, changes)
}

/// A driver with so many workers.
pub(crate) fn driver_of(workers: usize, changes: Vec<Change>) -> Result<Handle, String> {
    let config = Config {
        workers,
        ..Config::default()
    };
    let handle = Driver::start(config).map_err(|error| error.to_string())?;
    handle.apply(changes).map_err(|error| error.to_string())?;
    Ok(handle)
}

pub(crate) fn stats(handle: &Handle) -> Result<Stats, String> {
    let (send, receive) = mpsc::channel();
    let done = move |stats| {
        // Nobody waits any more if the benchmark has ended.
        let _ = send.send(stats);
    };
    handle.stats(done).map_err(|error| error.to_string())?;
    receive.recv().map_err(|error| error.to_string())
}

/// Results so far, by outcome.
pub(crate) fn results(stats: &Stats) -> [u64; 4] {
    let groups = stats.groups.iter();
    groups.fold([0; 4], |mut sum, (_, group)| {
        sum.iter_mut()
            .zip(group.runs)
            .for_each(|(sum, runs)| *sum += runs);
        sum
    })
}

/// How often each of so many targets is due, if all of them together are to be
/// 7 of 10 runs that could be made at `most` a second: the worker is busy, and
/// none of its runs has to wait.
pub(crate) fn interval(targets: u32, most: f64) -> Duration {
    let seconds = f64::from(targets) / (most * 0.7).max(1.0);
    Duration::from_secs_f64(seconds).max(Duration::from_millis(1))
}

/// Runs a fleet for a while: how many checks succeeded, and what that took.
pub(crate) fn run(round: Duration, changes: Vec<Change>) -> Result<(u64, Used, Stats), String> {
    run_on(1, round, changes)
}

/// The same with so many workers.
pub(crate) fn run_on(
    workers: usize,
    round: Duration,
    changes: Vec<Change>,
) -> Result<(u64, Used, Stats), String> {
    let handle = driver_of(workers, changes)?;
    handle.begin().map_err(|error| error.to_string())?;
    // The first runs pay for what later ones use again.
    std::thread::sleep(round / 10);
    let before = results(&stats(&handle)?);
    let since = Since::now();
    std::thread::sleep(round);
    let used = since.used();
    let after = stats(&handle)?;
    handle.shutdown(Duration::ZERO);
    let results = results(&after);
    if results[2] > before[2] {
        return Err(format!("runs failed: {results:?}"));
    }
    Ok((results[0] - before[0], used, after))
}

/// Plain checks and the bare loop, in turn.
pub(crate) fn beside_raw(
    plan: &Plan,
    kind: &'static str,
    farm: &Farm,
    report: &mut Report,
) -> Result<(), String> {
    let request = b"GET / HTTP/1.1\r\nHost: 127.77.2.1:40000\r\nUser-Agent: Blackbox Exporter/0.28.0\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let (places, exchange) = match kind {
        "tcp" => (&farm.places.silent, Exchange::Connect),
        _ => (&farm.places.http, Exchange::Request(request)),
    };
    let json = format!(r#"{{"prober":"{kind}"}}"#);
    let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut extra_user = Vec::new();
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (done, used) = raw::run(plan.round, plan.in_flight, places, exchange)
            .map_err(|error| error.to_string())?;
        let raw = used.cpu * 1e6 / done as f64;
        let raw_user = raw * used.user_part;
        rates.0.push(done as f64 / used.cpu);
        let interval = interval(plan.in_flight, done as f64 / used.wall);
        let changes = specs(
            &json,
            places,
            plan.in_flight,
            interval,
            Duration::from_secs(5),
        )?;
        let (done, used, _) = run(plan.round, changes)?;
        let engine = used.cpu * 1e6 / done as f64;
        rates.1.push(done as f64 / used.cpu);
        extra_user.push(engine * used.user_part - raw_user);
        bare.push(raw);
        ours.push(engine);
        ratios.push(engine / raw);
    }
    report.add(
        format!("{kind}: CPU per check, raw"),
        median(bare),
        "us",
        Bar::None,
    );
    report.add(
        format!("{kind}: CPU per check, engine"),
        median(ours),
        "us",
        Bar::None,
    );
    report.add(
        format!("{kind}: CPU per check, engine / raw"),
        median(ratios),
        "",
        Bar::AtMost(1.2),
    );
    let bar = match kind {
        "http" => Bar::AtMost(3.0),
        _ => Bar::None,
    };
    report.add(
        format!("{kind}: user-space CPU per check on top of raw"),
        median(extra_user),
        "us",
        bar,
    );
    report.add(
        format!("{kind}: checks per second of CPU, raw"),
        median(rates.0),
        "/s",
        Bar::None,
    );
    report.add(
        format!("{kind}: checks per second of CPU, engine"),
        median(rates.1),
        "/s",
        Bar::None,
    );
    Ok(())
}
