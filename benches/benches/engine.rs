//! What the engine costs on top of the kernel: whole runs in a world that
//! answers at once, and the pieces that every run touches.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::histogram::Exponential;
use probity_engine::threshold::{self, Kind, Observation, Threshold};
use probity_engine::{
    Config, Conn, Engine, GroupId, Input, Instant, Outcome, Output, RunId, Schedule, Spec, TargetId,
};

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

fn spec(prober: &str, target: &str, period: Duration) -> Arc<Spec> {
    let module = ModuleConfig {
        prober: prober.into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).expect("the defaults are valid");
    let check = module.target(target, TargetParams::default());
    let second = Duration::from_secs(1);
    Arc::new(Spec {
        check: check.expect("the target is valid"),
        schedule: Schedule::new(period, second, Duration::ZERO).expect("a valid schedule"),
        threshold: threshold::Config::new(Kind::Plain, 1, 3).expect("valid thresholds"),
        group: GroupId(0),
    })
}

/// Answers everything that is asked until nothing is; returns the reports.
fn settle(engine: &mut Engine, events: &mut Vec<(RunId, Conn, bool)>, now: Instant) -> u32 {
    let mut reports = 0;
    loop {
        while let Some((run, output)) = engine.poll_output() {
            match output {
                Output::Open(conn, _) => events.push((run, conn, false)),
                Output::Send(conn, _) => events.push((run, conn, true)),
                Output::Report(report) => {
                    assert_eq!(report.outcome, Outcome::Success);
                    reports += 1;
                }
                _ => {}
            }
        }
        if events.is_empty() {
            return reports;
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

fn runs(c: &mut Criterion) {
    for (name, target) in [("http", "http://192.0.2.1/"), ("tcp", "192.0.2.1:80")] {
        let spec = spec(name, target, Duration::from_secs(60));
        let mut engine = Engine::new(Config::default(), Instant::ZERO);
        let mut events = Vec::new();
        let mut now = Instant::ZERO;
        c.bench_function(&format!("run/{name}"), |b| {
            b.iter(|| {
                now += Duration::from_micros(30);
                let timeout = Duration::from_secs(1);
                let run = engine.run_once(Arc::clone(&spec), timeout, false, now);
                run.expect("nothing else is in flight");
                assert_eq!(settle(&mut engine, &mut events, now), 1);
            });
        });
    }
}

/// A fleet on its schedule: the cost of one target's turn, timers included.
fn schedule(c: &mut Criterion) {
    const TARGETS: u64 = 100_000;
    let period = Duration::from_secs(10);
    let mut engine = Engine::new(Config::default(), Instant::ZERO);
    let spec = spec("tcp", "192.0.2.1:80", period);
    for id in 0..TARGETS {
        let added = engine.upsert(TargetId(id), Arc::clone(&spec), Instant::ZERO);
        added.expect("below the limit");
    }
    engine.begin(Instant::ZERO);
    let mut events = Vec::new();
    c.bench_function("schedule/turn_of_100000_targets", |b| {
        b.iter_custom(|turns| {
            let start = std::time::Instant::now();
            let mut done = 0;
            while done < turns {
                let now = engine.poll_timeout().expect("targets are always due");
                engine.handle_timeout(now);
                done += u64::from(settle(&mut engine, &mut events, now));
            }
            start.elapsed()
        });
    });
}

fn pieces(c: &mut Criterion) {
    let mut histogram = Exponential::default();
    let mut micros = 0;
    c.bench_function("histogram/record", |b| {
        b.iter(|| {
            micros = (micros + 7_919) % 100_000;
            histogram.record(black_box(Duration::from_micros(micros)));
        });
    });
    let config = threshold::Config::new(Kind::Plain, 1, 3).expect("valid thresholds");
    let mut threshold = Threshold::new(Kind::Plain);
    let mut turn = 0_u32;
    c.bench_function("threshold/observe", |b| {
        b.iter(|| {
            turn = turn.wrapping_add(1);
            let observation = match turn % 7 {
                0..3 => Observation::Failure,
                _ => Observation::Success,
            };
            threshold.observe(black_box(&config), observation)
        });
    });
    c.bench_function("module/http_target", |b| {
        let module = ModuleConfig {
            prober: "http".into(),
            ..ModuleConfig::default()
        };
        let module = module.compile(&NoFiles).expect("the defaults are valid");
        b.iter(|| {
            module.target(
                black_box("https://a.example:8443/healthz?x=1"),
                TargetParams::default(),
            )
        });
    });
}

criterion_group!(benches, runs, schedule, pieces);
criterion_main!(benches);
