//! What is counted. Each does its work `times` times in a row.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::histogram::Exponential;
use probity_engine::threshold::{self, Kind, Observation, Threshold};
use probity_engine::{
    Config, Conn, Engine, GroupId, Input, Instant, Outcome, Output, RunId, Schedule, Spec, TargetId,
};

/// A piece, by the name that it has in the baseline.
pub(crate) type Piece = (&'static str, fn(u64));

/// All of them.
pub(crate) const ALL: [Piece; 7] = [
    ("run/http", |times| runs(&[HTTP], times)),
    ("run/tcp", |times| runs(&[TCP], times)),
    ("run/of both in turn", |times| runs(&[HTTP, TCP], times)),
    ("schedule/turn of one in 10,000", schedule),
    ("target/http", targets),
    ("histogram/record", record),
    ("threshold/observe", observe),
];

/// Checks, by prober and target.
const HTTP: (&str, &str) = ("http", "http://192.0.2.1/");
const TCP: (&str, &str) = ("tcp", "192.0.2.1:80");

/// What a server answers. `abi.c` and `wasm.mjs` have the same one.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

fn spec((prober, target): (&str, &str)) -> Arc<Spec> {
    let module = ModuleConfig {
        prober: prober.into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).expect("the defaults are valid");
    let check = module.target(target, TargetParams::default());
    let second = Duration::from_secs(1);
    Arc::new(Spec {
        check: check.expect("the target is valid"),
        schedule: Schedule::new(second, second, Duration::ZERO).expect("a valid schedule"),
        threshold: threshold::Config::new(Kind::Plain, 1, 3).expect("valid thresholds"),
        group: GroupId(0),
    })
}

/// An engine with targets that are all due once a second.
fn engine(specs: impl Iterator<Item = Arc<Spec>>) -> Engine {
    let mut engine = Engine::new(Config::default(), Instant::ZERO);
    for (id, spec) in (0..).zip(specs) {
        let added = engine.upsert(TargetId(id), spec, Instant::ZERO);
        added.expect("below the limit");
    }
    engine.begin(Instant::ZERO);
    engine
}

/// Turns until there were as many reports, in a world that answers at once.
fn turn(engine: &mut Engine, times: u64) {
    let mut events: Vec<(RunId, Conn, bool)> = Vec::new();
    let (mut reports, mut sum) = (0, 0.0);
    while reports < times {
        let now = engine.poll_timeout().expect("targets are always due");
        engine.handle_timeout(now);
        loop {
            while let Some((run, output)) = engine.poll_output() {
                match output {
                    Output::Open(conn, _) => events.push((run, conn, false)),
                    Output::Send(conn, _) => events.push((run, conn, true)),
                    Output::Report(report) => {
                        assert_eq!(report.outcome, Outcome::Success);
                        // A host reads them all, as `abi.c` does.
                        for fact in report.spec.check.facts() {
                            if let Some(value) = fact.read(report.facts, &report.phases) {
                                sum += value;
                            }
                        }
                        reports += 1;
                    }
                    _ => {}
                }
            }
            if events.is_empty() {
                break;
            }
            for (run, conn, sent) in events.drain(..) {
                let input = match sent {
                    false => Input::Opened(conn),
                    true => Input::Data(conn, RESPONSE),
                };
                engine.handle_input(run, input, now);
            }
        }
    }
    black_box(sum);
}

/// A target of each check, again and again.
fn runs(checks: &[(&str, &str)], times: u64) {
    turn(&mut engine(checks.iter().map(|check| spec(*check))), times);
}

/// Many, so that the timing wheel has something to do.
fn schedule(times: u64) {
    let spec = spec(TCP);
    turn(&mut engine((0..10_000).map(|_| Arc::clone(&spec))), times);
}

fn targets(times: u64) {
    let module = ModuleConfig {
        prober: "http".into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).expect("the defaults are valid");
    for _ in 0..times {
        let target = black_box("https://a.example:8443/healthz?x=1");
        let check = module.target(target, TargetParams::default());
        black_box(check.expect("a valid target"));
    }
}

fn record(times: u64) {
    let mut histogram = Exponential::default();
    for turn in 0..times {
        let micros = turn * 7_919 % 100_000;
        histogram.record(black_box(Duration::from_micros(micros)));
    }
    black_box(&histogram);
}

fn observe(times: u64) {
    let config = threshold::Config::new(Kind::Plain, 1, 3).expect("valid thresholds");
    let mut threshold = Threshold::new(Kind::Plain);
    for turn in 0..times {
        let observation = match turn % 7 {
            0..3 => Observation::Failure,
            _ => Observation::Success,
        };
        black_box(threshold.observe(black_box(&config), observation));
    }
}
