//! Ten thousand runs of guests that break, each in its own way, beside ten thousand
//! native checks in one engine: those have the outcomes that they have alone, and start
//! no more than a turn of guests later. The clock is ours: what a guest does takes the
//! time that its fuel stands for, so that the same happens on every machine. It is a third
//! of all time.

#[path = "guests/guest.rs"]
mod guest;

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{Module, ModuleConfig, TargetParams, wasm};
use probity_engine::config::{Files, NoFiles};
use probity_engine::guest::{Plugin, Refusal, Source};
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Closed, Config, Conn, Engine, GroupId, Input, Instant, Limits, Outcome, Output, Reason, RunId,
    Schedule, Spec, TargetId,
};
use probity_wasm::Host;

use guest::Guest;

/// Native checks, each of which is run once in this time.
const NATIVE: u64 = 10_000;
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Runs of guests that break, and how many of one module: after so many in a row it is
/// left alone.
const HOSTILE: usize = 10_000;
const EACH: usize = wasm::FAULTS_IN_A_ROW as usize;
/// Of them begin at the same moment, and when the next ones do.
const BURST: usize = 500;
const BURSTS_EVERY: Duration = Duration::from_millis(500);
/// A guest that breaks may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(9);
/// What takes its time: a call of the engine; a thousand of fuel, in code that is
/// slower than most; the end of a guest that breaks.
const CALL: Duration = Duration::from_micros(2);
const THOUSAND_FUEL: Duration = Duration::from_nanos(400);
const FAULT: Duration = Duration::from_micros(22);
/// How long what a peer says is under way.
const ROUND_TRIP: Duration = Duration::from_micros(200);
/// Events that a driver takes from the kernel at once.
const EVENTS: usize = 128;
/// How late any check may start, and how much later than alone half of them: the engine
/// looks at what is due once in a millisecond, so that alone too it is half of one.
const MOST_LAG: Duration = Duration::from_millis(5);
const USUAL_DELAY: Duration = Duration::from_micros(500);

/// What guests do with what they are told.
const HOW: &[(&str, Reason)] = &[
    ("(loop $l (br $l)) unreachable", Reason::WasmFuel),
    (
        "(loop $l (memory.fill (i32.const 8192) (i32.const 0) (i32.const 32768)) (br $l))
         unreachable",
        Reason::WasmFuel,
    ),
    (
        "(loop $l (drop (memory.grow (i32.const 0))) (br $l)) unreachable",
        Reason::WasmFuel,
    ),
    (
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
        Reason::WasmMemory,
    ),
    ("unreachable", Reason::WasmPanic),
    ("(call $deeper (i32.const 0))", Reason::WasmStack),
    ("(i32.load (i32.const 0x7fffff00))", Reason::WasmTrap),
    // Megabytes of output, all of them the same page.
    (
        "(loop $l
           (call $action (local.get $i) (i32.const 0) (i32.const 0) (i32.const 65536))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 64))))
         (call $answer (i32.const 64))",
        Reason::WasmProtocol,
    ),
];

/// A file system with those guests in it, by their number.
struct Disk {
    host: Host,
    guests: HashMap<String, Vec<u8>>,
}

impl Disk {
    fn new() -> Self {
        let guests = HOW.iter().enumerate().map(|(at, (how, _))| {
            let guest = Guest {
                fields: "(func $deeper (param i32) (result i32)
                    (i32.add (call $deeper (local.get 0)) (i32.const 1)))"
                    .into(),
                ..Guest::answering(*how)
            };
            (at.to_string(), guest.module())
        });
        let config = probity_wasm::Config {
            instances: 64,
            ..probity_wasm::Config::default()
        };
        Self {
            host: Host::new(&config).unwrap(),
            guests: guests.collect(),
        }
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let found = self.guests.get(path).cloned();
        found.ok_or_else(|| format!("{path}: no such file"))
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.host.load(source)
    }
}

/// What peers do, by the last number of their address.
const REFUSES: u8 = 1;
const IS_SILENT: u8 = 2;
const IS_WRONG: u8 = 3;
const ANSWERS: u8 = 4;

fn spec(module: &Module, peer: u8) -> Arc<Spec> {
    let target = format!("192.0.2.{peer}:4242");
    let check = module.target(&target, TargetParams::default());
    Arc::new(Spec {
        check: check.unwrap(),
        schedule: Schedule::new(INTERVAL, TIMEOUT, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    })
}

/// A native check of each peer, most of which are well.
fn native() -> Vec<Arc<Spec>> {
    let json = r#"{"prober": "tcp", "tcp": {
        "query_response": [{"send": "PING"}, {"expect": "^\\+PONG"}]}}"#;
    let config: ModuleConfig = serde_json::from_str(json).unwrap();
    let module = config.compile(&NoFiles).unwrap();
    let peers = [REFUSES, IS_SILENT, IS_WRONG].into_iter();
    let peers = peers.chain([ANSWERS; 7]);
    peers.map(|peer| spec(&module, peer)).collect()
}

/// Modules of guests that break, and what becomes of their runs.
fn hostile(disk: &Disk) -> Vec<(Arc<Spec>, Reason)> {
    let modules = (0..HOSTILE / EACH).map(|at| {
        let (_, reason) = HOW[at % HOW.len()];
        let config = ModuleConfig {
            prober: "wasm".into(),
            wasm: Some(wasm::Config {
                path: (at % HOW.len()).to_string(),
                ..wasm::Config::default()
            }),
            ..ModuleConfig::default()
        };
        (spec(&config.compile(disk).unwrap(), ANSWERS), reason)
    });
    modules.collect()
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Opened,
    Refused,
    Flushed,
    Says(&'static str),
}

/// When something happens, which of what happens then it is, and what.
type Due = (Instant, u64, RunId, Conn, Event);

/// What came of it all.
#[derive(Debug, Default)]
struct Seen {
    /// The first outcomes of native checks, with their sentences.
    native: BTreeMap<TargetId, (Outcome, String)>,
    /// How late those started.
    lags: Vec<Duration>,
    /// By the number of the run.
    hostile: BTreeMap<usize, Outcome>,
}

/// An engine, and what is under way to it.
struct World<'a> {
    engine: Engine,
    disk: &'a Disk,
    now: Instant,
    /// By time; what comes at one time in its order.
    events: BinaryHeap<Reverse<Due>>,
    serial: u64,
    /// Fuel and faults that have had their time.
    spent: (u64, u64),
    /// The numbers of runs of guests that break.
    hostile: HashMap<RunId, usize>,
    seen: Seen,
}

impl<'a> World<'a> {
    fn new(disk: &'a Disk) -> Self {
        let limits = Limits {
            once_in_flight: HOSTILE as u32,
            ..Limits::default()
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        let stats = disk.host.stats();
        Self {
            engine: Engine::new(config, Instant::ZERO),
            disk,
            now: Instant::ZERO,
            events: BinaryHeap::new(),
            serial: 0,
            spent: (stats.fuel, stats.faults),
            hostile: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// The engine has been called: lets the time pass that this has taken, and does what
    /// it asks for.
    fn called(&mut self) {
        let stats = self.disk.host.stats();
        let fuel = u32::try_from((stats.fuel - self.spent.0).div_ceil(1_000)).unwrap();
        let faults = u32::try_from(stats.faults - self.spent.1).unwrap();
        self.spent = (stats.fuel, stats.faults);
        self.now += CALL + THOUSAND_FUEL * fuel + FAULT * faults;
        let soon = self.now + ROUND_TRIP;
        while let Some((run, output)) = self.engine.poll_output() {
            let mut happens = |at, conn, event| {
                self.serial += 1;
                self.events
                    .push(Reverse((at, self.serial, run, conn, event)));
            };
            match output {
                Output::Open(conn, endpoint) => match peer(endpoint.to.ip()) {
                    REFUSES => happens(soon, conn, Event::Refused),
                    IS_SILENT => happens(soon, conn, Event::Opened),
                    IS_WRONG => {
                        happens(soon, conn, Event::Opened);
                        happens(soon + ROUND_TRIP, conn, Event::Says("-ERR not you\r\n"));
                    }
                    _ => {
                        happens(soon, conn, Event::Opened);
                        happens(soon + ROUND_TRIP, conn, Event::Says("+PONG\r\n"));
                    }
                },
                Output::Flush(conn) => happens(self.now, conn, Event::Flushed),
                Output::Report(report) => match (report.target, self.hostile.remove(&run)) {
                    (Some(id), _) => {
                        if let Entry::Vacant(first) = self.seen.native.entry(id) {
                            first.insert((report.outcome, report.detail.to_owned()));
                            self.seen.lags.push(report.started - report.due);
                        }
                    }
                    (None, number) => {
                        self.seen.hostile.insert(number.unwrap(), report.outcome);
                    }
                },
                _ => {}
            }
        }
    }

    /// One turn of a driver: what has happened, and then timers.
    fn turn(&mut self) {
        for _ in 0..EVENTS {
            let due = self.events.peek().is_some_and(|it| it.0.0 <= self.now);
            let Some(Reverse((_, _, run, conn, event))) = due.then(|| self.events.pop()).flatten()
            else {
                break;
            };
            let input = match event {
                Event::Opened => Input::Opened(conn),
                Event::Refused => Input::Closed(conn, Closed::Refused),
                Event::Flushed => Input::Flushed(conn),
                Event::Says(text) => Input::Data(conn, text.as_bytes()),
            };
            self.engine.handle_input(run, input, self.now);
            self.called();
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
            self.called();
        }
    }

    /// When there is something to do next.
    fn next(&self) -> Option<Instant> {
        let event = self.events.peek().map(|it| it.0.0);
        event.into_iter().chain(self.engine.poll_timeout()).min()
    }
}

fn peer(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

/// All native checks once, and these guests meanwhile.
fn run(disk: &Disk, hostile: &[(Arc<Spec>, Reason)]) -> Seen {
    let mut world = World::new(disk);
    let specs = native();
    for id in 0..NATIVE {
        let spec = Arc::clone(&specs[id as usize % specs.len()]);
        world.engine.upsert(TargetId(id), spec, world.now).unwrap();
    }
    world.engine.begin(world.now);
    world.called();
    let begun = world.now;
    let latest = begun + INTERVAL + PATIENCE;
    // Runs of one module as far from each other as there are modules.
    let mut runs = (0..EACH).flat_map(|_| hostile).enumerate().peekable();
    let mut burst = begun + BURSTS_EVERY / 2;
    let is_due =
        |world: &World<'_>| (world.seen.native.len() as u64) < NATIVE || !world.hostile.is_empty();
    while runs.peek().is_some() || is_due(&world) {
        assert!(world.now < latest, "it has an end");
        if world.now >= burst && runs.peek().is_some() {
            burst += BURSTS_EVERY;
            for (number, (spec, _)) in runs.by_ref().take(BURST) {
                let spec = Arc::clone(spec);
                let run = world.engine.run_once(spec, PATIENCE, false, world.now);
                world.hostile.insert(run.unwrap(), number);
                world.called();
            }
        }
        world.turn();
        let mut next = world.next().unwrap_or(latest);
        if runs.peek().is_some() {
            next = next.min(burst);
        }
        world.now = world.now.max(next);
    }
    world.seen
}

/// The lag in so many of a hundred cases.
fn lag(seen: &mut Seen, percent: usize) -> Duration {
    seen.lags.sort();
    seen.lags[(seen.lags.len() - 1) * percent / 100]
}

#[test]
fn guests_that_break_leave_native_checks_as_they_are() {
    let disk = Disk::new();
    let hostile = hostile(&disk);
    let mut alone = run(&disk, &[]);
    let fuel = disk.host.stats().fuel;
    let mut beside = run(&disk, &hostile);
    let fuel = disk.host.stats().fuel - fuel;

    // Each of them did its worst, and is known by it.
    assert_eq!(beside.hostile.len(), HOSTILE);
    for (number, outcome) in &beside.hostile {
        let (_, reason) = hostile[number % hostile.len()];
        assert_eq!(*outcome, Outcome::Unknown(reason), "run {number}");
    }
    let burners = HOW.iter().filter(|it| it.1 == Reason::WasmFuel).count();
    let least = (HOSTILE * burners / HOW.len()) as u64 * 2_000_000;
    assert!(fuel >= least, "{fuel} of fuel");
    assert_eq!(disk.host.stats().live, 0);

    // And nobody else has noticed.
    assert_eq!(alone.native.len() as u64, NATIVE);
    assert!(alone.native == beside.native, "outcomes differ");
    let outcomes = alone.native.values();
    let well = outcomes.filter(|it| it.0 == Outcome::Success).count() as u64;
    assert!(well >= NATIVE * 7 / 10, "{well} are well");
    let lags = [50, 99, 100].map(|it| (lag(&mut alone, it), lag(&mut beside, it)));
    eprintln!("start lag, p50, p99 and most, alone and beside: {lags:?}");
    assert!(lags[0].1 <= lags[0].0 + USUAL_DELAY, "{lags:?}");
    assert!(lags[2].1 <= MOST_LAG, "{lags:?}");
}
