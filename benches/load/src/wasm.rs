//! The check for Redis in Wasm, as it ships, beside `prober: tcp` with the same exchange:
//! what a run takes on top, where that goes, and ten thousand of them in flight.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use probity_engine::RunId;
use probity_engine::check::{Module, ModuleConfig, wasm};
use probity_engine::config::Files;
use probity_engine::guest::{
    Action, Class, Context, Event, Fault, Limits, Plugin, Refusal, Session, Sink, Source,
};
use probity_wasm::Host;

use crate::Plan;
use crate::cpu::{self, AllCores};
use crate::engine::{self, module, run_on, specs_of, stats};
use crate::farm::Farm;
use crate::hang::Ends;
use crate::raw::{self, Exchange};
use crate::report::{Bar, Report, median};

/// Where `wasm-checks/build redis` puts it.
const MODULE: &str = "wasm-checks/dist/redis.wasm";
/// The same exchange, without a guest.
const NATIVE: &str = r#"{"prober": "tcp", "tcp": {
    "query_response": [{"send": "PING"}, {"expect": "^\\+PONG"}]}}"#;
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Runs in flight at once, and how long each of them waits. All begin within half of
/// that: the next one begins when the last one has ended.
const MANY: u32 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Runs over which nothing may grow.
const SOAK: u64 = 100_000;
/// The longest that the soak may take: a core makes some thousands a second.
const SOAK_PATIENCE: Duration = Duration::from_secs(120);

/// A file system with the check in it.
struct Disk {
    host: Host,
    bytes: Vec<u8>,
}

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.bytes.clone())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.host.load(source)
    }
}

impl Disk {
    fn guest(&self) -> Result<Module, String> {
        let config = ModuleConfig {
            prober: "wasm".into(),
            wasm: Some(wasm::Config {
                path: MODULE.into(),
                ..wasm::Config::default()
            }),
            ..ModuleConfig::default()
        };
        config.compile(self).map_err(|error| error.to_string())
    }

    /// The check for a host of one's own, with instances that serve so many runs.
    fn plugin_for(&self, runs_per_instance: u32) -> Result<Arc<dyn Plugin>, String> {
        let source = Source {
            path: MODULE,
            bytes: &self.bytes,
            pin: None,
            class: Class::Native,
            limits: Limits::DEFAULT,
            runs_per_instance,
            sessions_per_instance: 1,
        };
        let loaded = self.host.load(&source);
        loaded.map_err(|why| format!("{MODULE}: {why:?}"))
    }
}

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let path = root.unwrap_or(Path::new(".")).join(MODULE);
    let Ok(bytes) = std::fs::read(&path) else {
        // There is a toolchain for it that not everybody has.
        report.note(format!(
            "wasm: not measured, there is no {MODULE}: `wasm-checks/build redis` makes it"
        ));
        return Ok(());
    };
    let config = probity_wasm::Config {
        instances: MANY,
        ..probity_wasm::Config::default()
    };
    let host = Host::new(&config)?;
    let disk = Disk { host, bytes };
    for workers in [1, 2] {
        beside_native(plan, workers, &disk, farm, report)?;
    }
    parts(plan, &disk, report)?;
    in_flight(plan, &disk, farm, report)?;
    soak(plan, &disk, farm, report)
}

/// Runs of both kinds in turn, as many a second of each.
fn beside_native(
    plan: &Plan,
    workers: u32,
    disk: &Disk,
    farm: &Farm,
    report: &mut Report,
) -> Result<(), String> {
    let places = &farm.places.redis;
    let modules = [module(NATIVE)?, disk.guest()?];
    let mut costs = [Vec::new(), Vec::new()];
    let mut more = Vec::new();
    // With two workers there is a core for each, one of them shared with the servers.
    let _all = (workers > 1).then(AllCores::take);
    for _ in 0..plan.rounds {
        let (done, used) = raw::run(
            plan.round / 4,
            plan.in_flight,
            places,
            Exchange::Request(PING),
        )
        .map_err(|error| error.to_string())?;
        // Less than half of what could be made, since a guest takes its part too.
        let most = done as f64 / used.wall * 0.4 * f64::from(workers);
        let interval = engine::interval(plan.in_flight * workers, most);
        let mut each = [0.0; 2];
        for (module, cost) in modules.iter().zip(&mut each) {
            let count = plan.in_flight * workers;
            let timeout = Duration::from_secs(5);
            let changes = specs_of(module, places, count, interval, timeout)?;
            let (done, used, stats) = run_on(workers as usize, plan.round, changes)?;
            // On a machine that is busy with others some come too late; not many may.
            let [up, _, _, unknown] = engine::results(&stats);
            if unknown * 20 > up && !plan.quick {
                return Err(format!(
                    "{unknown} runs are unknown, beside {up}: too busy a machine"
                ));
            }
            *cost = used.cpu * 1e6 / done as f64;
        }
        costs[0].push(each[0]);
        costs[1].push(each[1]);
        more.push(each[1] - each[0]);
    }
    let [native, guest] = costs;
    let mut add = |what: &str, values, bar| {
        let name = format!("wasm: CPU per run, {what}, {workers} workers");
        report.add(name, median(values), "us", bar);
    };
    add("native", native, Bar::None);
    add("in Wasm", guest, Bar::None);
    add("in Wasm on top", more, Bar::AtMost(12.0));
    Ok(())
}

/// CPU time of the parts of a run, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    open: f64,
    calls: f64,
    drop: f64,
}

fn parts(plan: &Plan, disk: &Disk, report: &mut Report) -> Result<(), String> {
    let [fresh, kept] = [disk.plugin_for(1)?, disk.plugin_for(u32::MAX)?];
    let runs = if plan.quick { 200 } else { 20_000 };
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..plan.rounds {
        let (fresh, kept) = (times(&fresh, runs)?, times(&kept, runs)?);
        let parts = [fresh.open - kept.open, kept.open, fresh.calls, fresh.drop];
        all.iter_mut()
            .zip(parts)
            .for_each(|(all, part)| all.push(part));
    }
    let [instantiate, session, calls, drop] = all.map(median);
    let whole = instantiate + session + calls + drop;
    report.add("wasm: guest's part of a run", whole, "us", Bar::None);
    for (what, spent) in [
        ("instantiate", instantiate),
        ("open a session", session),
        ("two calls", calls),
        ("drop", drop),
    ] {
        report.add(format!("wasm: of that, {what}"), spent, "us", Bar::None);
        let share = spent * 100.0 / whole;
        report.add(format!("wasm: share of {what}"), share, "%", Bar::None);
    }
    Ok(())
}

/// One after the other, part by part over a batch of runs, so that the clock is read
/// seldom.
fn times(plugin: &Arc<dyn Plugin>, runs: u32) -> Result<Parts, String> {
    /// Sessions that are open at once: as many as are in flight in a busy driver.
    const BATCH: u32 = 50;
    let context = Context {
        run: RunId::from_bits(0),
        host: "redis.test",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 6379,
        config: "{}",
        timeout: TIMEOUT,
        seed: 7,
        tls: None,
    };
    let mut sum = Parts::default();
    let broke = |fault: Fault| format!("{MODULE} {fault}");
    for _ in 0..runs / BATCH {
        let begun = cpu::thread_time();
        let sessions: Result<Vec<_>, _> = (0..BATCH).map(|_| plugin.open(&context)).collect();
        let mut sessions: Vec<Box<dyn Session>> = sessions.map_err(broke)?;
        let opened = cpu::thread_time();
        for session in &mut sessions {
            for event in [Event::Connected, Event::Data(PONG)] {
                let mut take = |_: Action<'_>| Ok(());
                let sink = &mut Sink::new(&mut take);
                session
                    .on_event(Duration::ZERO, event, sink)
                    .map_err(broke)?;
            }
        }
        let called = cpu::thread_time();
        drop(sessions);
        let dropped = cpu::thread_time();
        sum.open += (opened - begun).as_secs_f64();
        sum.calls += (called - opened).as_secs_f64();
        sum.drop += (dropped - called).as_secs_f64();
    }
    let each = |seconds: f64| seconds * 1e6 / f64::from(runs / BATCH * BATCH);
    Ok(Parts {
        open: each(sum.open),
        calls: each(sum.calls),
        drop: each(sum.drop),
    })
}

/// Peers that say nothing: how many wait at once, when they end, what each takes.
fn in_flight(plan: &Plan, disk: &Disk, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let (targets, timeout) = match plan.quick {
        true => (200, TIMEOUT / 10),
        false => (MANY, TIMEOUT),
    };
    let module = disk.guest()?;
    let changes = specs_of(&module, &farm.places.silent, targets, timeout / 2, timeout)?;
    let all = AllCores::take();
    let handle = engine::driver_of(2, changes)?;
    stats(&handle)?;
    let before = cpu::resident() + cpu::page_tables();
    handle.begin().map_err(|error| error.to_string())?;
    let (mut most, mut taken) = (0, 0);
    // Two rounds, and the end of the second.
    let end = Instant::now() + timeout * 5 / 2;
    while Instant::now() < end {
        sleep(Duration::from_millis(100));
        most = most.max(disk.host.stats().live);
        taken = taken.max(cpu::resident() + cpu::page_tables());
    }
    let stats = stats(&handle)?;
    let ends = Ends::of(&handle, timeout)?;
    handle.shutdown(Duration::ZERO);
    drop(all);
    let Some((_, group)) = stats.groups.first() else {
        return Err("nothing has ended".into());
    };
    let each = taken.saturating_sub(before) as f64 / f64::from(most.max(1));
    report.add("wasm: in flight at once", f64::from(most), "", Bar::None);
    let ended = group.runs[2] as f64;
    report.add("wasm: ended by their deadline", ended, "", Bar::None);
    let unknown = group.runs[3] as f64;
    report.add(
        "wasm: runs that we could not make",
        unknown,
        "",
        Bar::AtMost(0.0),
    );
    report.add(
        "wasm: deadline error, p99",
        ends.late(0.99),
        "ms",
        Bar::AtMost(5.0),
    );
    let most_late = ends.late(1.0);
    report.add("wasm: deadline error, most", most_late, "ms", Bar::None);
    // The instance, its page tables, and what the engine and the driver have of a run.
    report.add(
        "wasm: bytes of a run in flight, all in",
        each,
        "B",
        Bar::None,
    );
    Ok(())
}

/// Run after run in a driver: what the process has more of after them.
fn soak(plan: &Plan, disk: &Disk, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let wanted = if plan.quick { 1_000 } else { SOAK };
    let interval = Duration::from_millis(100);
    let timeout = Duration::from_secs(5);
    let module = disk.guest()?;
    let changes = specs_of(&module, &farm.places.redis, 512, interval, timeout)?;
    let handle = engine::driver(changes)?;
    handle.begin().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut warm = None;
    let made = loop {
        sleep(Duration::from_millis(100));
        let made = engine::results(&stats(&handle)?);
        let done: u64 = made.iter().sum();
        // The first tenth pays for what later ones use again.
        if warm.is_none() && done >= wanted / 10 {
            warm = Some(cpu::resident() + cpu::page_tables());
        }
        if done >= wanted + wanted / 10 || begun.elapsed() > SOAK_PATIENCE {
            break made;
        }
    };
    let grown = (cpu::resident() + cpu::page_tables()).saturating_sub(warm.unwrap_or_default());
    handle.shutdown(Duration::ZERO);
    let runs: u64 = made.iter().sum();
    report.add(
        "wasm: runs of the soak",
        runs as f64,
        "",
        Bar::AtLeast(wanted as f64),
    );
    report.add(
        "wasm: bytes that they have left",
        grown as f64,
        "B",
        Bar::AtMost(4e6),
    );
    Ok(())
}
