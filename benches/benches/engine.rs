//! What the engine costs on top of the kernel: whole runs in a world that
//! answers at once, and the pieces that every run touches.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::histogram::Exponential;
use probity_engine::resolve::ResolverConfig;
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

/// What an answer costs from its bytes to the verdict: the head is parsed, the body
/// counted, the run closed and reported.
fn response(c: &mut Criterion) {
    /// Answers that are waited for at once; what comes before them is not timed.
    const BATCH: u64 = 64;
    let spec = spec("http", "http://192.0.2.1/", Duration::from_secs(60));
    let mut engine = Engine::new(Config::default(), Instant::ZERO);
    let (mut events, mut now) = (Vec::new(), Instant::ZERO);
    c.bench_function("response/http", |b| {
        b.iter_custom(|answers| {
            let mut spent = Duration::ZERO;
            for begun in (0..answers).step_by(BATCH as usize) {
                now += Duration::from_millis(1);
                let waiting: Vec<(RunId, Conn)> = (begun..answers.min(begun + BATCH))
                    .map(|_| asked(&mut engine, &spec, now))
                    .collect();
                let start = std::time::Instant::now();
                let mut reports = 0;
                for (run, conn) in waiting {
                    engine.handle_input(run, Input::Data(conn, black_box(RESPONSE)), now);
                    reports += settle(&mut engine, &mut events, now);
                }
                spent += start.elapsed();
                assert_eq!(u64::from(reports), answers.min(begun + BATCH) - begun);
            }
            spent
        });
    });
}

/// A run that has sent its request.
fn asked(engine: &mut Engine, spec: &Arc<Spec>, now: Instant) -> (RunId, Conn) {
    let run = engine.run_once(Arc::clone(spec), Duration::from_secs(1), false, now);
    let run = run.expect("there is room");
    let Some((_, Output::Open(opened, _))) = engine.poll_output() else {
        panic!("it opens a connection");
    };
    engine.handle_input(run, Input::Opened(opened), now);
    while let Some((_, output)) = engine.poll_output() {
        assert!(matches!(output, Output::Send(..)), "only a request is sent");
    }
    (run, opened)
}

/// A run whose target is a name that nobody remembers: `run/tcp`, with the DNS messages
/// that are written and read for it.
fn look_ups(c: &mut Criterion) {
    let spec = spec("tcp", "a.example:80", Duration::from_secs(60));
    let config = Config {
        resolver: ResolverConfig::with_servers(&["192.0.2.53:53".parse().expect("an address")]),
        ..Config::default()
    };
    let mut engine = Engine::new(config, Instant::ZERO);
    let mut now = Instant::ZERO;
    let mut inputs: Vec<(RunId, Conn, Vec<u8>)> = Vec::new();
    c.bench_function("run/tcp_of_a_name", |b| {
        b.iter(|| {
            now += Duration::from_micros(30);
            let run = engine.run_once(Arc::clone(&spec), Duration::from_secs(1), false, now);
            run.expect("nothing else is in flight");
            let mut is_up = false;
            while !is_up {
                while let Some((run, output)) = engine.poll_output() {
                    match output {
                        Output::Open(conn, _) => inputs.push((run, conn, Vec::new())),
                        Output::Send(conn, query) => {
                            inputs.push((run, conn, dns_answer(&query)));
                        }
                        Output::Report(report) => is_up = report.outcome == Outcome::Success,
                        _ => {}
                    }
                }
                assert!(is_up || !inputs.is_empty(), "it goes on until it is up");
                for (run, conn, answer) in inputs.drain(..) {
                    let input = match &answer[..] {
                        [] => Input::Opened(conn),
                        answer => Input::Data(conn, answer),
                    };
                    engine.handle_input(run, input, now);
                }
            }
        });
    });
}

/// An answer of one address to a question about A, and of none to any other (RFC 1035
/// section 4.1).
fn dns_answer(query: &[u8]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0);
    let question = 12 + name.expect("a name ends") + 5;
    let mut answer = query[..question].to_vec();
    let has_address = query[question - 4..question] == [0, 1, 0, 1];
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, u8::from(has_address), 0, 0, 0, 0]);
    if has_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    answer
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

criterion_group!(benches, runs, response, look_ups, schedule, pieces);
criterion_main!(benches);
