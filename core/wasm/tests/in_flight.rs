//! Ten thousand guests in flight in a driver, over sockets, each waiting for a peer that
//! says nothing: all of them at once, each ends when its time is over, and round after
//! round takes no more. In a process of its own, since it needs most of its descriptors.

#[path = "guests/guest.rs"]
mod guest;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use probity_driver::{Change, Config, Driver, FleetQuery, Handle, Stats};
use probity_engine::check::{Module, ModuleConfig, TargetParams, wasm};
use probity_engine::config::Files;
use probity_engine::guest::{Plugin, Refusal, Source};
use probity_engine::resolve::ResolverConfig;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Outcome, Reason, Schedule, Spec, TargetId};
use probity_wasm::Host;

use guest::Guest;

const MANY: u32 = 10_000;
/// How long a run goes on, and the time in which all begin: the next run of a target
/// begins when the last one has ended, so that all of them are in flight throughout.
const TIMEOUT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(2);
/// Rounds at least, and at most: a machine that is busy with other things may look at a
/// deadline too late, which is known, counted, and no fault of the guest's.
const ROUNDS: u64 = 3;
const MOST_ROUNDS: u64 = 8;
/// Connections that a listener holds which never accepts one: the kernel completes them.
/// They are there until the end.
const BACKLOG: u64 = 128;
/// What rounds after the first may take of the process.
const SLACK_BYTES: u64 = 16 << 20;
/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// A file system with a guest in it that sends `who` and waits.
struct Disk(Host);

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Guest::default().module())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.0.load(source)
    }
}

/// Peers that say nothing, on many addresses.
fn silent_peers(connections: u64) -> Vec<TcpListener> {
    (0..connections.div_ceil(BACKLOG - 8))
        .map(|at| {
            let address = Ipv4Addr::new(127, 78, (at / 250) as u8, (at % 250) as u8 + 1);
            TcpListener::bind((address, 0)).expect("a listener")
        })
        .collect()
}

fn targets(module: &Module, peers: &[TcpListener], many: u32) -> Vec<Change> {
    let specs: Vec<Arc<Spec>> = peers
        .iter()
        .map(|peer| {
            let address = peer.local_addr().expect("its address").to_string();
            Arc::new(Spec {
                check: module.target(&address, TargetParams::default()).unwrap(),
                schedule: Schedule::new(INTERVAL, TIMEOUT, Duration::ZERO).unwrap(),
                threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
                group: GroupId(0),
            })
        })
        .collect();
    let spec = |id: u32| Arc::clone(&specs[id as usize % specs.len()]);
    (0..many)
        .map(|id| Change::Upsert(TargetId(u64::from(id)), spec(id)))
        .collect()
}

fn stats(handle: &Handle) -> Stats {
    let (tx, rx) = mpsc::channel();
    let asked = handle.stats(move |stats| tx.send(stats).unwrap_or_default());
    asked.expect("nobody else asks");
    rx.recv_timeout(PATIENCE).expect("an answer")
}

/// Waits until it is so, and fails if that takes unreasonably long.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Resident memory and page tables of the process, in bytes.
fn taken() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let number = |name| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>()
    };
    (number("VmRSS:").unwrap() + number("VmPTE:").unwrap()) << 10
}

#[test]
fn ten_thousand_are_in_flight_and_end_when_their_time_is_over() {
    let disk = Disk(Host::new(&probity_wasm::Config::default()).unwrap());
    let config = Config {
        workers: 2,
        names: ResolverConfig::default().into(),
        ..Config::default()
    };
    let handle = Driver::start(config).expect("the driver starts");
    let capacity = handle.capacity();
    // As many as there are descriptors and mappings for, less what the peers have.
    let room = (capacity.in_flight as u64 * 9 / 10).min(u64::from(disk.0.stats().most));
    let many = MANY.min(room as u32);
    let peers = silent_peers(u64::from(many) * (MOST_ROUNDS + 1));
    let module = ModuleConfig {
        prober: "wasm".into(),
        wasm: Some(wasm::Config {
            path: "toy.wasm".into(),
            ..wasm::Config::default()
        }),
        ..ModuleConfig::default()
    };
    let module = module.compile(&disk).unwrap();
    let changes = targets(&module, &peers, many);
    handle.apply(changes).expect("running");
    let ended = |handle: &Handle| stats(handle).engine.runs.iter().sum::<u64>();
    assert_eq!(ended(&handle), 0, "not begun");
    handle.begin().expect("running");

    // Each has its instance before the first of them ends.
    wait_until("all are in flight", || disk.0.stats().live == many);
    let many = u64::from(many);
    wait_until("a round has ended", || ended(&handle) >= many);
    let first = taken();
    let mut late = 0;
    for round in 2.. {
        wait_until("another round", || ended(&handle) >= round * many);
        let seen = stats(&handle).engine;
        let was = std::mem::replace(&mut late, seen.runs[3]);
        // Once at least no deadline of a round was looked at too late.
        if round >= ROUNDS && late == was {
            break;
        }
        assert!(round < MOST_ROUNDS, "too late in every round: {seen:?}");
    }
    let grown = taken().saturating_sub(first);
    assert!(grown < SLACK_BYTES, "{grown} bytes");

    look_at_results(&handle, many);
    let host = disk.0.stats();
    assert_eq!((host.faults, host.full), (0, 0));
    handle.shutdown(Duration::ZERO);
    wait_until("no instance is left", || disk.0.stats().live == 0);
}

/// Nothing else has come of any of them: the peer did not answer in time.
fn look_at_results(handle: &Handle, many: u64) {
    let (tx, rx) = mpsc::channel();
    let asked = handle.fleet(FleetQuery::default(), move |fleet| {
        tx.send(fleet.rows).unwrap_or_default();
    });
    asked.expect("nobody else asks");
    let rows = rx.recv_timeout(PATIENCE).expect("an answer");
    assert_eq!(rows.len() as u64, many);
    let slow = Outcome::Failure(Reason::TimeoutProcessing);
    let late = Outcome::Unknown(Reason::Overload);
    for row in &rows {
        let last = row.last().map(|last| last.outcome);
        assert!(
            last == Some(slow) || last == Some(late),
            "{:?}: {last:?}",
            row.id
        );
        let [up, warned, ..] = row.results();
        assert_eq!(up + warned, 0, "{:?}", row.id);
    }
    let seen = stats(handle);
    let unknown = &seen.engine.unknown;
    let other = unknown.iter().sum::<u64>() - unknown[Reason::Overload as usize];
    assert_eq!(other, 0, "{unknown:?}");
    let total = &seen.groups[0].1.total.hdr;
    let expected = TIMEOUT.as_micros() as u64;
    assert!(total.min() >= expected * 999 / 1_000, "{} us", total.min());
    let runs = seen.engine.runs;
    eprintln!(
        "{many} in flight, {runs:?}, {} to {} us each",
        total.min(),
        total.max()
    );
}
