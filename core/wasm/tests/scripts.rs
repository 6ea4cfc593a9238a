//! Scripts that burn all the fuel of their class in every call, beside native checks in
//! one engine: those start as they do alone, and end as they do alone, because no call of
//! the engine runs a script. The clock is ours, and a call of a script takes one of two
//! threads for as long as its fuel stands for.

#[path = "guests/guest.rs"]
mod guest;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{Module, ModuleConfig, TargetParams, wasm};
use probity_engine::config::{Files, NoFiles};
use probity_engine::guest::{Class, Plugin, Refusal, Source};
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Config, Conn, Engine, Errand, GroupId, Input, Instant, Outcome, Output, Reason, RunId,
    Schedule, Spec, TargetId,
};
use probity_wasm::Host;

use guest::Guest;

const NATIVE: u64 = 2_000;
const INTERVAL: Duration = Duration::from_secs(2);
/// Runs of scripts, all of which begin at once, instances that they have, and the time that
/// each has.
const SCRIPTS: usize = 24;
const INSTANCES: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(9);
/// Threads that call scripts, and what takes its time: a call of the engine, and a
/// thousand of fuel in code that is slower than most.
const THREADS: usize = 2;
const CALL: Duration = Duration::from_micros(2);
const THOUSAND_FUEL: Duration = Duration::from_nanos(400);
const ROUND_TRIP: Duration = Duration::from_micros(200);
/// How far apart starts may be, alone and beside: calls of the engine that have to do with
/// scripts, 2 us each, of which there are few.
const SAME: Duration = Duration::from_micros(500);

/// Burns nearly all that an event has, twice, and is content.
const HOG: &str = "
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 5800000))))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $action (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0))
    (call $answer (i32.ge_u (global.get $count) (i32.const 2)))";
/// Burns all of it.
const ENDLESS: &str = "(loop $l (br $l)) unreachable";

struct Disk(Host);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let guest = match path {
            "hog" => Guest::answering(HOG),
            _ => Guest::answering(ENDLESS),
        };
        Ok(guest.module())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        assert_eq!(source.class, Class::Script);
        self.0.load(source)
    }
}

fn spec(module: &Module) -> Arc<Spec> {
    let check = module.target("192.0.2.1:4242", TargetParams::default());
    Arc::new(Spec {
        check: check.unwrap(),
        schedule: Schedule::new(INTERVAL, INTERVAL / 2, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    })
}

fn native() -> Arc<Spec> {
    let config = ModuleConfig {
        prober: "tcp".into(),
        ..ModuleConfig::default()
    };
    spec(&config.compile(&NoFiles).unwrap())
}

fn script(disk: &Disk, path: &str) -> Arc<Spec> {
    let config = ModuleConfig {
        prober: "wasm".into(),
        wasm: Some(wasm::Config {
            path: path.into(),
            class: "script".into(),
            ..wasm::Config::default()
        }),
        ..ModuleConfig::default()
    };
    spec(&config.compile(disk).unwrap())
}

#[derive(Debug)]
enum Event {
    Opened(Conn),
    Says(Conn),
    Back(Errand),
}

#[derive(Default)]
struct Seen {
    /// How late each native check started, and how it ended.
    native: BTreeMap<TargetId, (Duration, Outcome)>,
    scripts: Vec<(RunId, Outcome, Duration)>,
}

struct World<'a> {
    engine: Engine,
    disk: &'a Disk,
    now: Instant,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    events: HashMap<u64, (RunId, Event)>,
    serial: u64,
    /// When each thread is free, and what waits for one.
    threads: [Instant; THREADS],
    errands: VecDeque<(RunId, Errand)>,
    /// Of scripts, which say something.
    runs: Vec<RunId>,
    seen: Seen,
}

impl World<'_> {
    fn at(&mut self, time: Instant, run: RunId, event: Event) {
        self.serial += 1;
        self.due.push(Reverse((time, self.serial)));
        self.events.insert(self.serial, (run, event));
    }

    /// Calls the engine, which calls no script.
    fn call(&mut self, call: impl FnOnce(&mut Engine, Instant)) {
        let before = self.disk.0.stats().fuel;
        call(&mut self.engine, self.now);
        self.now += CALL;
        let mut asked = Vec::new();
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(conn, _) => asked.push((run, conn)),
                Output::Report(report) => match report.target {
                    Some(id) => {
                        let lag = report.started - report.due;
                        let first = self.seen.native.entry(id);
                        first.or_insert((lag, report.outcome));
                    }
                    None => self.seen.scripts.push((run, report.outcome, report.total)),
                },
                _ => {}
            }
        }
        for (run, conn) in asked {
            self.at(self.now + ROUND_TRIP, run, Event::Opened(conn));
            if self.runs.contains(&run) {
                for said in 2..4 {
                    self.at(self.now + ROUND_TRIP * said, run, Event::Says(conn));
                }
            }
        }
        while let Some(errand) = self.engine.poll_errand() {
            self.errands.push_back(errand);
        }
        assert_eq!(
            self.disk.0.stats().fuel,
            before,
            "the engine called a script"
        );
    }

    /// Gives errand to threads that are free.
    fn errand(&mut self) {
        for thread in 0..THREADS {
            if self.threads[thread] > self.now {
                continue;
            }
            let Some((run, mut errand)) = self.errands.pop_front() else {
                return;
            };
            let before = self.disk.0.stats().fuel;
            errand.run();
            let fuel = (self.disk.0.stats().fuel - before).div_ceil(1_000);
            self.threads[thread] = self.now + THOUSAND_FUEL * u32::try_from(fuel).unwrap();
            self.at(self.threads[thread], run, Event::Back(errand));
        }
    }

    fn turn(&mut self) {
        while let Some(Reverse((at, serial))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            match self.events.remove(&serial).unwrap() {
                // As the driver does, which does not read for who is behind.
                (run, Event::Says(conn)) if self.engine.is_behind(run) => {
                    self.at(self.now + ROUND_TRIP, run, Event::Says(conn));
                }
                (run, Event::Says(conn)) => {
                    self.call(|engine, now| engine.handle_input(run, Input::Data(conn, b"x"), now));
                }
                (run, Event::Opened(conn)) => {
                    self.call(|engine, now| engine.handle_input(run, Input::Opened(conn), now));
                }
                (run, Event::Back(errand)) => {
                    self.call(|engine, now| engine.handle_errand(run, Ok(errand), now));
                }
            }
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.call(Engine::handle_timeout);
        }
        self.errand();
    }
}

/// All native checks once, and these scripts meanwhile.
fn run(disk: &Disk, scripts: &[Arc<Spec>]) -> Seen {
    let mut world = World {
        engine: Engine::new(Config::default(), Instant::ZERO),
        disk,
        now: Instant::ZERO,
        due: BinaryHeap::new(),
        events: HashMap::new(),
        serial: 0,
        threads: [Instant::ZERO; THREADS],
        errands: VecDeque::new(),
        runs: Vec::new(),
        seen: Seen::default(),
    };
    let well = native();
    for id in 0..NATIVE {
        let spec = Arc::clone(&well);
        world.engine.upsert(TargetId(id), spec, world.now).unwrap();
    }
    world.engine.begin(world.now);
    let wanted = if scripts.is_empty() { 0 } else { SCRIPTS };
    for spec in scripts.iter().cycle().take(wanted) {
        let spec = Arc::clone(spec);
        let run = world.engine.run_once(spec, PATIENCE, false, world.now);
        world.runs.push(run.unwrap());
    }
    world.call(|_, _| {});
    let latest = world.now + PATIENCE + INTERVAL;
    while (world.seen.native.len() as u64) < NATIVE || world.seen.scripts.len() < wanted {
        assert!(world.now < latest, "it has an end");
        world.turn();
        let event = world.due.peek().map(|it| it.0.0);
        let threads = world
            .threads
            .into_iter()
            .filter(|_| !world.errands.is_empty());
        let next = event
            .into_iter()
            .chain(world.engine.poll_timeout())
            .chain(threads);
        world.now = next.min().unwrap_or(latest).max(world.now);
    }
    world.seen
}

#[test]
fn scripts_that_burn_all_their_fuel_leave_native_checks_as_they_are() {
    let disk = Disk(
        Host::new(&probity_wasm::Config {
            instances: 1,
            scripts: INSTANCES,
            cache: None,
        })
        .unwrap(),
    );
    let alone = run(&disk, &[]);
    assert_eq!(alone.native.len() as u64, NATIVE);
    let hog = script(&disk, "hog");
    let before = disk.0.stats().fuel;
    let beside = run(&disk, &[hog]);
    let fuel = disk.0.stats().fuel - before;
    // Two calls with nearly all that one may have.
    assert!(fuel >= SCRIPTS as u64 * 2 * 40_000_000, "{fuel}");
    for (_, outcome, total) in &beside.scripts {
        assert_eq!(*outcome, Outcome::Success);
        // What the target took, not what the script did: tens of milliseconds a call.
        assert!(*total < Duration::from_millis(5), "{total:?}");
    }
    let breaking = run(&disk, &[script(&disk, "endless")]);
    let known = [Reason::WasmFuel, Reason::WasmBackoff].map(Outcome::Unknown);
    assert!(breaking.scripts.iter().all(|it| known.contains(&it.1)));
    for seen in [&beside, &breaking] {
        let mut most = Duration::ZERO;
        for (id, (lag, outcome)) in &seen.native {
            let (before, expected) = alone.native[id];
            assert_eq!(*outcome, expected);
            most = most.max(lag.abs_diff(before));
        }
        assert!(most <= SAME, "a start was moved by {most:?}");
    }
}
