//! The driver, with as many checks in flight as the bare loop beside it.

use std::net::SocketAddrV4;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use probity_driver::{Change, Config, Driver, Fleet, FleetQuery, Handle, Row, Stats};
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
    let names = places.iter().map(ToString::to_string);
    let specs = named_of(module, names, interval, timeout)?;
    Ok((0..count)
        .map(|id| upsert(id, &specs[id as usize % specs.len()]))
        .collect())
}

/// So many addresses at which nobody is, each another one.
pub(crate) fn addresses(count: u32) -> Vec<SocketAddrV4> {
    let address = |id: u32| {
        let [_, a, b, c] = id.to_be_bytes();
        SocketAddrV4::new([127, a, b, c].into(), 9)
    };
    (0..count).map(address).collect()
}

pub(crate) fn upsert(id: u32, spec: &Arc<Spec>) -> Change {
    Change::Upsert(TargetId(u64::from(id)), Arc::clone(spec))
}

/// What is checked at each of these.
pub(crate) fn named(
    json: &str,
    names: impl Iterator<Item = String>,
    interval: Duration,
    timeout: Duration,
) -> Result<Vec<Arc<Spec>>, String> {
    named_of(&module(json)?, names, interval, timeout)
}

fn named_of(
    module: &probity_engine::check::Module,
    names: impl Iterator<Item = String>,
    interval: Duration,
    timeout: Duration,
) -> Result<Vec<Arc<Spec>>, String> {
    let schedule = Schedule::new(interval, timeout, Duration::ZERO).map_err(|e| e.to_string())?;
    let threshold = threshold::Config::new(Kind::Plain, 1, 3).map_err(|e| e.to_string())?;
    names
        .map(|name| {
            let check = module.target(&name, TargetParams::default());
            Ok(Arc::new(Spec {
                check: check.map_err(|error| error.to_string())?,
                schedule,
                threshold,
                group: GroupId(0),
            }))
        })
        .collect()
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

/// A copy of all targets, by id.
pub(crate) fn rows(handle: &Handle) -> Result<Vec<Row>, String> {
    let (send, receive) = mpsc::channel();
    let done = move |fleet: Fleet| {
        // As below.
        let _ = send.send(fleet.rows);
    };
    let all = FleetQuery::default();
    handle.fleet(all, done).map_err(|error| error.to_string())?;
    receive.recv().map_err(|error| error.to_string())
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

/// Milliseconds after their time within which this part of the runs has begun.
pub(crate) fn lag(stats: &Stats, part: f64) -> f64 {
    let seconds = stats.engine.start_lag.quantile(part);
    seconds.map_or(f64::NAN, |seconds| seconds * 1e3)
}

/// The parts that are told, by name.
const LAGS: [(&str, f64); 3] = [("median", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

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

/// What a check took, on one side, one value a round.
#[derive(Debug, Default)]
struct Cost {
    total: Vec<f64>,
    user: Vec<f64>,
}

impl Cost {
    fn add(&mut self, done: u64, used: Used) {
        let each = used.cpu * 1e6 / done as f64;
        self.total.push(each);
        self.user.push(each * used.user_part);
    }

    /// Of the last round: the whole of it, and its part in user space.
    fn last(&self) -> (f64, f64) {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        (last(&self.total), last(&self.user))
    }

    /// Says it; checks per second of CPU.
    fn tell(self, kind: &str, side: &str, report: &mut Report) -> f64 {
        let (total, user) = (median(self.total), median(self.user));
        let of = |part| format!("{kind}: CPU per check, {side}{part}");
        report.add(of(""), total, "us", Bar::None);
        report.add(of(", in user space"), user, "us", Bar::None);
        report.add(of(", in the kernel"), total - user, "us", Bar::None);
        let rate = 1e6 / total;
        let name = format!("{kind}: checks per second of CPU, {side}");
        report.add(name, rate, "/s", Bar::None);
        rate
    }
}

/// Plain checks and the bare loop, in turn. Returns how many checks the driver
/// makes in a second of CPU.
pub(crate) fn beside_raw(
    plan: &Plan,
    kind: &'static str,
    farm: &Farm,
    report: &mut Report,
) -> Result<f64, String> {
    let request = b"GET / HTTP/1.1\r\nHost: 127.77.2.1:40000\r\nUser-Agent: Blackbox Exporter/0.28.0\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let (places, exchange) = match kind {
        "tcp" => (&farm.places.silent, Exchange::Connect),
        _ => (&farm.places.http, Exchange::Request(request)),
    };
    let json = format!(r#"{{"prober":"{kind}"}}"#);
    let (mut bare, mut ours) = (Cost::default(), Cost::default());
    let (mut ratios, mut extra_user) = (Vec::new(), Vec::new());
    let mut lags: [Vec<f64>; LAGS.len()] = Default::default();
    for _ in 0..plan.rounds {
        let (done, used) = raw::run(plan.round, plan.in_flight, places, exchange)
            .map_err(|error| error.to_string())?;
        bare.add(done, used);
        let interval = interval(plan.in_flight, done as f64 / used.wall);
        let timeout = Duration::from_secs(5);
        let changes = specs(&json, places, plan.in_flight, interval, timeout)?;
        let (done, used, stats) = run(plan.round, changes)?;
        ours.add(done, used);
        for (lags, (_, part)) in lags.iter_mut().zip(LAGS) {
            lags.push(lag(&stats, part));
        }
        let ((raw, raw_user), (engine, engine_user)) = (bare.last(), ours.last());
        ratios.push(engine / raw);
        extra_user.push(engine_user - raw_user);
    }
    bare.tell(kind, "raw", report);
    let rate = ours.tell(kind, "engine", report);
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
    for (lags, (name, _)) in lags.into_iter().zip(LAGS) {
        let name = format!("{kind}: start lag, {name}");
        report.add(name, median(lags), "ms", Bar::None);
    }
    Ok(rate)
}
