//! Runs that share an instance.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use probity_engine::check::{ModuleConfig, TargetParams, wasm};
use probity_engine::config::Files;
use probity_engine::guest::{Event, FaultKind, Limits, Plugin, Refusal, Source};
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Config, Conn, Engine, GroupId, Input, Instant, Outcome, Output, Reason, RunId, Schedule, Spec,
};
use probity_wasm::Host;

use crate::support::{Guest, Run, host, source};

/// Counts events of its instance, as the number of a timer; breaks or is up if its peer says
/// one or two bytes, is against the rules for three.
const COUNTS: &str = "
    (if (i32.eq (local.get $event) (i32.const 1)) (then
      (if (i32.eq (local.get $p1) (i32.const 1)) (then unreachable))
      (if (i32.eq (local.get $p1) (i32.const 3))
        (then (return (call $answer (i32.const 40)))))
      (call $action (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0))
      (return (call $answer (i32.const 1)))))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $action (i32.const 0) (i32.const 2) (global.get $count) (i32.const 0))
    (call $answer (i32.const 1))";

/// What it does when it lets go of a session.
fn ending(how: &str) -> Guest {
    Guest {
        fields: format!(
            r#"(func (export "probity:check/guest@0.1.0#[dtor]session") (param i32) {how})"#
        ),
        ..Guest::answering(COUNTS)
    }
}

fn load(host: &Host, guest: &Guest, runs: u32, sessions: u32) -> Arc<dyn Plugin> {
    let module = guest.module();
    let source = Source {
        runs_per_instance: runs,
        sessions_per_instance: sessions,
        ..source(&module)
    };
    host.load(&source).unwrap()
}

/// How many events its instance has been told of, this one included.
fn count(run: &mut Run) -> u32 {
    let done = run.on(Event::Connected).unwrap().remove(0);
    let number = done.trim_start_matches("SetTimer(").split(',').next();
    number.and_then(|it| it.parse().ok()).expect("a timer")
}

#[test]
fn so_many_runs_are_in_one_instance_and_no_more() {
    let host = host();
    let plugin = load(&host, &Guest::answering(COUNTS), 100, 3);
    let mut runs: Vec<Run> = (0..7)
        .map(|run| Run::open_as(run, &plugin).unwrap())
        .collect();
    assert_eq!(host.stats().live, 3);
    let counts: Vec<u32> = runs.iter_mut().map(count).collect();
    assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1]);
    // The place of one that is over is taken by the next.
    runs.remove(4);
    runs.push(Run::open_as(7, &plugin).unwrap());
    runs.push(Run::open_as(8, &plugin).unwrap());
    assert_eq!(host.stats().live, 3);
    drop(runs);
    drop(plugin);
    assert_eq!(host.stats().live, 0, "a module that is gone keeps none");
}

#[test]
fn an_instance_serves_no_more_runs_in_all_than_it_may() {
    let host = host();
    let plugin = load(&host, &Guest::answering(COUNTS), 4, 2);
    let mut seen = Vec::new();
    for pair in 0..3 {
        let mut runs = [0, 1].map(|it| Run::open_as(pair * 2 + it, &plugin).unwrap());
        seen.extend(runs.iter_mut().map(count));
        assert_eq!(host.stats().live, 1);
    }
    assert_eq!(seen, [1, 2, 3, 4, 1, 2]);
}

#[test]
fn runs_of_different_threads_are_never_in_one_instance() {
    let host = host();
    let plugin = load(&host, &Guest::answering(COUNTS), 100, 100);
    let mut here = Run::open_as(1, &plugin).unwrap();
    assert_eq!(count(&mut here), 1);
    let elsewhere = thread::scope(|scope| {
        let other = scope.spawn(|| count(&mut Run::open_as(1, &plugin).unwrap()));
        other.join().unwrap()
    });
    assert_eq!(elsewhere, 1);
    assert_eq!(count(&mut here), 2);
    let mut beside = Run::open_as(2, &plugin).unwrap();
    assert_eq!(count(&mut beside), 3);
}

#[test]
fn what_breaks_one_breaks_all_of_its_instance_and_no_other() {
    let host = host();
    let plugin = load(&host, &Guest::answering(COUNTS), 100, 2);
    let mut runs: Vec<Run> = (0..3)
        .map(|run| Run::open_as(run, &plugin).unwrap())
        .collect();
    let fault = runs[0].on(Event::Data(b"x")).unwrap_err();
    assert_eq!((fault.kind, &*fault.detail), (FaultKind::Panic, "panicked"));
    assert_eq!(fault.others, [RunId::from_bits(1)]);
    assert_eq!(host.stats().live, 1, "it is gone at once");
    let told = runs[1].fault().expect("it is told");
    assert_eq!(told.kind, FaultKind::Panic);
    let words = "was in one instance with another run, in which it panicked";
    assert_eq!(told.detail, words);
    assert_eq!(runs[1].on(Event::Connected).unwrap_err(), told);
    assert_eq!(runs[2].fault(), None);
    assert_eq!(count(&mut runs[2]), 1);
    assert_eq!(host.stats().faults, 1, "it is one fault");
    // Whoever comes next has the other instance, and then a new one.
    let next = [4, 5].map(|run| count(&mut Run::open_as(run, &plugin).unwrap()));
    assert_eq!(next, [2, 3]);
    let _full = Run::open_as(6, &plugin).unwrap();
    assert_eq!(count(&mut Run::open_as(7, &plugin).unwrap()), 1);
}

#[test]
fn a_run_against_the_rules_ends_alone_and_lets_nobody_in_after_it() {
    let host = host();
    let plugin = load(&host, &Guest::answering(COUNTS), 100, 3);
    let mut bad = Run::open_as(0, &plugin).unwrap();
    let mut good = Run::open_as(1, &plugin).unwrap();
    let fault = bad.on(Event::Data(b"xyz")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Protocol, "{fault}");
    assert_eq!(fault.others, []);
    assert_eq!((good.fault(), count(&mut good)), (None, 1));
    let mut next = Run::open_as(2, &plugin).unwrap();
    assert_eq!((count(&mut next), count(&mut good)), (1, 2));
}

#[test]
fn a_guest_is_not_called_when_a_run_ends_but_when_the_next_begins() {
    let host = host();
    let guest = ending("(global.set $count (i32.add (global.get $count) (i32.const 100)))");
    let plugin = load(&host, &guest, 100, 4);
    let mut runs: Vec<Run> = (0..4)
        .map(|run| Run::open_as(run, &plugin).unwrap())
        .collect();
    assert_eq!(count(&mut runs[0]), 1);
    let before = host.stats().fuel;
    runs.truncate(1);
    assert_eq!(host.stats().fuel, before);
    assert_eq!(count(&mut runs[0]), 2);
    // Two of the three that are over, and then the last.
    let _second = Run::open_as(5, &plugin).unwrap();
    assert_eq!(count(&mut runs[0]), 203);
    let _third = Run::open_as(6, &plugin).unwrap();
    assert_eq!(count(&mut runs[0]), 304);
}

#[test]
fn a_guest_that_breaks_as_it_lets_go_harms_whoever_is_in_it_and_nobody_else() {
    let host = host();
    let plugin = load(&host, &ending("unreachable"), 100, 2);
    // Nobody is in it.
    drop(Run::open_as(0, &plugin).unwrap());
    let mut first = Run::open_as(1, &plugin).unwrap();
    assert_eq!(count(&mut first), 1);
    // Somebody is.
    drop(Run::open_as(2, &plugin).unwrap());
    let fault = Run::open_as(3, &plugin).err().expect("it broke");
    assert_eq!(fault.kind, FaultKind::Panic);
    assert_eq!(fault.others, [RunId::from_bits(1)]);
    assert_eq!(first.fault().map(|it| it.kind), Some(FaultKind::Panic));
    drop(first);
    assert_eq!(host.stats().live, 0);
}

#[test]
fn each_run_has_fuel_of_its_own() {
    let spin = "
        (local.set $i (i32.const 1000))
        (loop $l
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br_if $l (local.get $i)))
        (call $answer (i32.const 0))";
    let host = host();
    let limits = Limits {
        fuel_per_run: 60_000,
        ..Limits::DEFAULT
    };
    let module = Guest::answering(spin).module();
    let shared = Source {
        limits,
        runs_per_instance: 9,
        sessions_per_instance: 9,
        ..source(&module)
    };
    let plugin = host.load(&shared).unwrap();
    let mut runs = [0, 1, 2].map(|run| Run::open_as(run, &plugin).unwrap());
    // Each may be told this often; all of them together more often than one may.
    for _ in 0..5 {
        for run in &mut runs {
            run.on(Event::Timer(0)).unwrap();
        }
    }
    let fault = (0..20).find_map(|_| runs[1].on(Event::Timer(0)).err());
    let fault = fault.expect("it has an end");
    assert_eq!(fault.detail, "used up the fuel of a run: 60000");
    assert_eq!(fault.others, [0, 2].map(RunId::from_bits));
}

/// A file system with one check in it.
struct Disk(Host);

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Guest::answering(COUNTS).module())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.0.load(source)
    }
}

/// From the section of a module to what is reported.
#[test]
fn runs_of_an_engine_share_an_instance_and_its_end() {
    let disk = Disk(host());
    let config = ModuleConfig {
        prober: "wasm".into(),
        wasm: Some(wasm::Config {
            path: "toy.wasm".into(),
            runs_per_instance: 1_000,
            sessions_per_instance: 100,
            ..wasm::Config::default()
        }),
        ..ModuleConfig::default()
    };
    let module = config.compile(&disk).unwrap();
    let timeout = Duration::from_secs(5);
    let spec = Arc::new(Spec {
        check: module
            .target("192.0.2.1:4242", TargetParams::default())
            .unwrap(),
        schedule: Schedule::new(timeout, timeout, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    });
    let now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), now);
    let runs: Vec<RunId> = (0..150)
        .map(|_| {
            let run = engine.run_once(Arc::clone(&spec), timeout, false, now);
            let run = run.unwrap();
            engine.handle_input(run, Input::Opened(Conn(0)), now);
            run
        })
        .collect();
    // The turns that they take.
    while engine.poll_timeout().is_some_and(|at| at <= now) {
        engine.handle_timeout(now);
    }
    assert_eq!(disk.0.stats().live, 2, "150 runs are in two instances");
    let mut outcomes = |run: RunId, said: &[u8]| {
        engine.handle_input(run, Input::Data(Conn(0), said), now);
        let mut seen = Vec::new();
        while let Some((_, output)) = engine.poll_output() {
            if let Output::Report(report) = output {
                seen.push(report.outcome);
            }
        }
        seen
    };
    assert_eq!(outcomes(runs[0], b"ok"), [Outcome::Success]);
    let panicked = Outcome::Unknown(Reason::WasmPanic);
    assert_eq!(outcomes(runs[1], b"x"), [panicked; 99]);
    assert_eq!(outcomes(runs[120], b"ok"), [Outcome::Success]);
    assert_eq!(outcomes(runs[121], b"x"), [panicked; 49]);
    assert_eq!(disk.0.stats().live, 0);
}
