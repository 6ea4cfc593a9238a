//! Guests that burn nearly all their fuel on every call, beside checks that are well: a
//! worker goes on with those in time. In a process of its own, since it measures: time is
//! what the processor has spent on this thread, which others cannot take from it.

#[path = "guests/guest.rs"]
mod guest;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{CheckSpec, Module, ModuleConfig, TargetParams, wasm};
use probity_engine::config::Files;
use probity_engine::guest::{Plugin, Refusal, Source};
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Config, Conn, Engine, GroupId, Input, Instant, Outcome, Output, RunId, Schedule, Spec, TargetId,
};
use probity_wasm::Host;
use rustix::time::{ClockId, clock_gettime};

use guest::Guest;

/// Checks that are well, and how often each is run.
const WELL: u64 = 200;
const INTERVAL: Duration = Duration::from_millis(200);
/// Runs of the hog that begin at the same moment, and when the next ones do.
const HOGS: usize = 60;
const BURST: Duration = Duration::from_millis(400);
/// How long all this goes on, and how often it is tried: others may still take memory and
/// caches from us.
const ROUND: Duration = Duration::from_millis(1_200);
const ROUNDS: usize = 4;
/// How late checks may start in 99 of 100 cases.
const MOST_LAG: Duration = Duration::from_millis(5);

/// What hogs burn their fuel with, and how much of it that takes.
const DEAR: [(&str, u64); 5] = [
    ("", 0),
    ("(drop (ref.func $answer))", 200),
    ("(elem.drop $elements)", 60),
    ("(call $drop (call $new (i32.const 1)))", 141),
    ("(local.set $x (f64.sqrt (local.get $x)))", 18),
];
/// How often it stands in the loop, what the loop takes besides, and what all of it is to
/// take: nearly all that an event may.
const UNROLLED: u64 = 16;
const LOOP: u64 = 8;
const FUEL: u64 = 1_880_000;

/// What drops a handle of a session, which is none of the guest's code.
const DROP: &str = r#"
    (import "[export]probity:check/guest@0.1.0" "[resource-drop]session"
      (func $drop (param i32)))"#;

/// One that does this for each event, and has its verdict after the third.
fn hog(body: &str, fields: &str) -> Guest {
    Guest {
        imports: DROP,
        fields: format!("(elem $elements func $answer) {fields}"),
        ..Guest::answering(format!(
            "(local $x f64) (local $p i32)
             {body}
             (global.set $count (i32.add (global.get $count) (i32.const 1)))
             (call $action (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0))
             (call $answer (i32.ge_u (global.get $count) (i32.const 3)))"
        ))
    }
}

/// One that burns its fuel with an operator that takes so much.
fn burning((dear, fuel): (&str, u64)) -> Guest {
    let times = FUEL / (LOOP + UNROLLED * fuel);
    let body = dear.repeat(UNROLLED as usize);
    hog(&repeated(&body, times), "")
}

fn repeated(body: &str, times: u64) -> String {
    format!(
        "(local.set $i (i32.const 0))
         (loop $l
           {body}
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const {times}))))"
    )
}

/// One that has each address of its memory from the one before, nowhere near to it.
fn chasing() -> Guest {
    const LINES: u64 = 31_744;
    const ACCESS: u64 = 10;
    let chase = format!(
        "(local.set $p {}(local.get $p){})",
        "(i32.load ".repeat(UNROLLED as usize),
        ")".repeat(UNROLLED as usize)
    );
    let chase = repeated(&chase, FUEL / (LOOP + UNROLLED * ACCESS));
    hog(
        &format!(
            "(if (i32.eqz (global.get $count)) (then
               (drop (memory.grow (i32.const 31)))
               (loop $l
                 (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $p) (i32.const 6)))
                   (i32.add (i32.const 65536) (i32.shl
                     (i32.rem_u
                       (i32.add (i32.mul (local.get $p) (i32.const 9241)) (i32.const 12345))
                       (i32.const {LINES}))
                     (i32.const 6))))
                 (local.set $p (i32.add (local.get $p) (i32.const 1)))
                 (br_if $l (i32.lt_u (local.get $p) (i32.const {LINES})))))
             (else (local.set $p (i32.const 65536)) {chase}))"
        ),
        "",
    )
}

/// One that has many locals moved, for a loop that it leaves at once.
fn moving() -> Guest {
    const LOCALS: usize = 900;
    /// Of a call of it.
    const CALL: u64 = 270;
    let moves: String = (1..LOCALS)
        .map(|local| format!("(local.set {local} (local.get {}))", local + 1))
        .collect();
    let function = format!(
        "(func $moves (param i32) (local{})
           (loop $l
             (br_if 1 (local.get 0))
             {moves}
             (local.set {LOCALS} (i64.extend_i32_u (local.get 0)))
             (br_if $l (i64.ne (local.get 1) (i64.const 77)))))",
        " i64".repeat(LOCALS)
    );
    let call = "(call $moves (i32.const 1))".repeat(UNROLLED as usize);
    hog(&repeated(&call, FUEL / (LOOP + UNROLLED * CALL)), &function)
}

/// One that burns little, and touches all pages that it may have: the kernel makes them.
fn touching() -> Guest {
    hog(
        "(drop (memory.grow (i32.const 31)))
         (local.set $p (i32.const 65536))
         (loop $l
           (i32.store (local.get $p) (i32.const 1))
           (local.set $p (i32.add (local.get $p) (i32.const 4096)))
           (br_if $l (i32.lt_u (local.get $p) (i32.const 2097152))))",
        "",
    )
}

/// A file system with a hog in it.
struct Disk {
    host: Host,
    hog: Vec<u8>,
}

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.hog.clone())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.host.load(source)
    }
}

fn spec(module: &Module) -> Arc<Spec> {
    let timeout = Duration::from_secs(10);
    let check: CheckSpec = module
        .target("192.0.2.1:4242", TargetParams::default())
        .unwrap();
    Arc::new(Spec {
        check,
        schedule: Schedule::new(INTERVAL, timeout.min(INTERVAL), Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    })
}

/// What happens at once to a connection.
enum Event {
    Opened,
    Data,
}

/// A clock that stands still while another process has the processor.
struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(Self::spent())
    }

    fn elapsed(&self) -> Duration {
        Self::spent() - self.0
    }

    fn spent() -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(spent).expect("it is not negative")
    }
}

/// The lag in 99 of 100 cases, and how many hogs have had their verdict.
fn round(disk: &Disk) -> (Duration, usize) {
    let module = |config: ModuleConfig| config.compile(disk).unwrap();
    let well = spec(&module(ModuleConfig {
        prober: "tcp".into(),
        ..ModuleConfig::default()
    }));
    let hog = spec(&module(ModuleConfig {
        prober: "wasm".into(),
        wasm: Some(wasm::Config {
            path: "hog.wasm".into(),
            ..wasm::Config::default()
        }),
        ..ModuleConfig::default()
    }));
    let begun = Clock::start();
    let now = || Instant::ZERO + begun.elapsed();
    let mut engine = Engine::new(Config::default(), Instant::ZERO);
    for id in 0..WELL {
        engine
            .upsert(TargetId(id), Arc::clone(&well), now())
            .unwrap();
    }
    engine.begin(now());
    let mut events: VecDeque<(RunId, Conn, Event)> = VecDeque::new();
    let (mut next_burst, mut hogs, mut ups) = (Duration::ZERO, 0, 0);
    while begun.elapsed() < ROUND || ups < hogs {
        if begun.elapsed() >= next_burst && begun.elapsed() < ROUND {
            next_burst += BURST;
            for _ in 0..HOGS {
                let timeout = Duration::from_secs(10);
                engine
                    .run_once(Arc::clone(&hog), timeout, false, now())
                    .unwrap();
                hogs += 1;
            }
        }
        for _ in 0..events.len() {
            let Some((run, conn, event)) = events.pop_front() else {
                break;
            };
            match event {
                Event::Opened => engine.handle_input(run, Input::Opened(conn), now()),
                // As the driver does, which does not read for who is behind.
                Event::Data if engine.is_behind(run) => {
                    events.push_back((run, conn, Event::Data));
                    continue;
                }
                Event::Data => engine.handle_input(run, Input::Data(conn, b"x"), now()),
            }
            if let Event::Opened = event {
                events.extend([1, 2, 3].map(|_| (run, conn, Event::Data)));
            }
        }
        if engine.poll_timeout().is_some_and(|at| at <= now()) {
            engine.handle_timeout(now());
        }
        while let Some((run, output)) = engine.poll_output() {
            match output {
                Output::Open(conn, _) => events.push_back((run, conn, Event::Opened)),
                Output::Report(report) if report.target.is_none() => {
                    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
                    ups += 1;
                }
                _ => {}
            }
        }
    }
    let lag = engine.stats(now()).start_lag.quantile(0.99).unwrap();
    (Duration::from_secs_f64(lag), ups)
}

#[test]
fn hogs_do_not_keep_others_waiting() {
    for dear in DEAR {
        others_go_on_beside(dear.0, &burning(dear), 3 * FUEL, MOST_LAG);
    }
    others_go_on_beside("locals that are moved", &moving(), 3 * FUEL, MOST_LAG);
    others_go_on_beside("pages that are touched", &touching(), 0, MOST_LAG);
    // What memory takes differs between machines more than what processors do: here the
    // bound only says that it is nowhere near to the 30 ms that it was.
    others_go_on_beside("misses of the cache", &chasing(), 2 * FUEL, 2 * MOST_LAG);
}

/// `least`: the fuel that each of the hogs burns; `most`: how late others may start.
fn others_go_on_beside(name: &str, hog: &Guest, least: u64, most: Duration) {
    let config = probity_wasm::Config {
        instances: 128,
        ..probity_wasm::Config::default()
    };
    let disk = Disk {
        host: Host::new(&config).unwrap(),
        hog: hog.module(),
    };
    let mut lags = Vec::new();
    let mut hogs = 0;
    for _ in 0..ROUNDS {
        let (lag, ups) = round(&disk);
        assert_eq!(ups % HOGS, 0, "each has its verdict");
        lags.push(lag);
        hogs += ups as u64;
        if lag <= most {
            break;
        }
    }
    let fuel = disk.host.stats().fuel;
    eprintln!("{name}: start lag, p99: {lags:?}; {fuel} of fuel");
    // Or there was nothing to be kept from; not more than estimates may be wrong by.
    let least = hogs * (least - least / 10);
    assert!(fuel >= least, "{name}: {fuel} of {least}");
    let last = lags.last();
    assert!(last.is_some_and(|lag| *lag <= most), "{name}: {lags:?}");
}
