//! The engine driven by hand: one thing at a time. Whole worlds are in the
//! simulator.

mod pods;

use std::format;
use std::string::ToString as _;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use crate::check::{ModuleConfig, TargetError, TargetParams};
use crate::config::NoFiles;
use crate::threshold::{self, Kind};
use crate::{
    Closed, Config, Conn, Engine, Full, GroupId, Input, Instant, Limits, Outcome, Output, Phase,
    Reason, RunId, Schedule, Spec, TargetId,
};

const SECOND: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_nanos(1 << 17);
const ID: TargetId = TargetId(7);

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn spec_of(kind: Kind, prober: &str, target: &str, delay: Duration) -> Arc<Spec> {
    let module = ModuleConfig {
        prober: prober.into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    Arc::new(Spec {
        check: module.target(target, TargetParams::default()).unwrap(),
        schedule: Schedule::new(PERIOD, SECOND, delay).unwrap(),
        threshold: threshold::Config::new(kind, 1, if kind == Kind::Plain { 2 } else { 1 })
            .unwrap(),
        group: GroupId(0),
    })
}

fn tcp() -> Arc<Spec> {
    spec_of(Kind::Plain, "tcp", "192.0.2.1:80", Duration::ZERO)
}

fn engine_with(limits: Limits) -> Engine {
    let config = Config {
        limits,
        ..Config::default()
    };
    Engine::new(config, Instant::ZERO)
}

fn engine() -> Engine {
    engine_with(Limits::default())
}

/// What a drain asked for, with reports as (outcome, detail, total).
#[derive(Debug, Default)]
struct Asked {
    opened: Vec<(RunId, Conn)>,
    closed: Vec<(RunId, Conn)>,
    sent: Vec<(RunId, Conn)>,
    reports: Vec<(Outcome, std::string::String, Duration)>,
}

fn drain(engine: &mut Engine) -> Asked {
    let mut asked = Asked::default();
    while let Some((run, output)) = engine.poll_output() {
        match output {
            Output::Open(conn, _) => asked.opened.push((run, conn)),
            Output::Close(conn) => asked.closed.push((run, conn)),
            Output::Send(conn, _) => asked.sent.push((run, conn)),
            Output::Report(report) => {
                asked
                    .reports
                    .push((report.outcome, report.detail.into(), report.total));
            }
            Output::Resolve(..) | Output::Secure(..) | Output::Flush(_) => {}
        }
    }
    asked
}

/// Goes to the next moment at which something is due and handles it.
fn advance(engine: &mut Engine) -> Instant {
    let now = engine.poll_timeout().expect("something is due");
    engine.handle_timeout(now);
    now
}

/// Goes on until a run reports.
fn reported(engine: &mut Engine) -> (Instant, Asked) {
    for _ in 0..1_000 {
        let now = advance(engine);
        let asked = drain(engine);
        if !asked.reports.is_empty() {
            return (now, asked);
        }
    }
    panic!("nothing reported");
}

/// Lets the target start and returns its run.
fn started(engine: &mut Engine) -> (Instant, RunId, Conn) {
    for _ in 0..1_000 {
        let now = advance(engine);
        let asked = drain(engine);
        if let Some((run, conn)) = asked.opened.first() {
            return (now, *run, *conn);
        }
    }
    panic!("nothing started");
}

#[test]
fn runs_are_due_at_an_offset_and_every_period() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    assert_eq!(engine.poll_timeout(), None, "nothing is due before begin");
    engine.begin(at(3.0));
    let mut starts = Vec::new();
    for _ in 0..4 {
        let (now, run, conn) = started(&mut engine);
        engine.handle_input(run, Input::Opened(conn), now);
        assert_eq!(drain(&mut engine).reports[0].0, Outcome::Success);
        starts.push(now);
    }
    assert!((at(3.0)..at(13.0) + TICK).contains(&starts[0]));
    for pair in starts.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart > PERIOD - TICK && apart < PERIOD + TICK, "{apart:?}");
    }
    let lag = engine.stats(starts[3]).start_lag;
    assert_eq!(lag.count(), 4);
    assert!(lag.sum() <= 4.0 * TICK.as_secs_f64());
}

#[test]
fn a_run_is_not_billed_what_the_start_before_it_took() {
    let mut engine = engine();
    for id in 0..2 {
        engine.upsert(TargetId(id), tcp(), Instant::ZERO).unwrap();
    }
    engine.begin(Instant::ZERO);
    let late = at(9.9999);
    engine.handle_deadlines(late);
    assert!(drain(&mut engine).opened.is_empty(), "none of them starts");

    let mut runs = Vec::new();
    let mut now = late;
    while engine.start_due(now) {
        // To open a connection takes so long.
        now += SECOND / 100;
        runs.extend(drain(&mut engine).opened);
    }
    assert_eq!(runs.len(), 2, "one with each call");
    for (run, conn) in runs {
        engine.handle_input(run, Input::Opened(conn), now);
    }
    let totals = drain(&mut engine).reports.into_iter().map(|it| it.2);
    assert_eq!(totals.collect::<Vec<_>>(), [SECOND / 50, SECOND / 100]);
}

#[test]
fn the_first_run_waits_for_the_initial_delay() {
    let mut engine = engine();
    engine.begin(Instant::ZERO);
    let spec = spec_of(Kind::Plain, "tcp", "192.0.2.1:80", Duration::from_secs(95));
    engine.upsert(ID, spec, at(1.0)).unwrap();
    let (now, ..) = started(&mut engine);
    assert!((at(96.0)..at(106.0) + TICK).contains(&now), "{now}");
}

#[test]
fn runs_that_nobody_looked_at_are_counted_and_reported() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let first = engine.target(ID).unwrap().next;
    // The process was stopped for three periods and a bit.
    let now = first + PERIOD * 3 + SECOND;
    engine.handle_timeout(now);
    let asked = drain(&mut engine);
    let (outcome, detail, _) = &asked.reports[0];
    assert_eq!(*outcome, Outcome::Unknown(Reason::Overload));
    assert!(detail.contains("3 runs were missed"), "{detail}");
    assert_eq!(asked.opened.len(), 1, "and the latest one starts");
    assert_eq!(engine.target(ID).unwrap().results, [0, 0, 0, 3]);
    let stats = engine.stats(now);
    assert_eq!(stats.unknown[Reason::Overload as usize], 3);
    assert!(stats.start_lag.sum() < 2.0, "lag is that of the latest run");
}

#[test]
fn a_full_engine_queues_and_gives_up_after_the_timeout() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    // A period of 10 s and a timeout of 1 s: make both due at once.
    for id in [1, 2] {
        engine.upsert(TargetId(id), tcp(), Instant::ZERO).unwrap();
    }
    engine.begin(Instant::ZERO);
    engine.trigger(TargetId(1), at(0.0));
    engine.trigger(TargetId(2), at(0.0));
    engine.handle_timeout(at(0.001));
    assert_eq!(drain(&mut engine).opened.len(), 1);
    assert_eq!(engine.stats(at(0.001)).queued, 1);

    // The first one hangs; both end at their timeouts, each in its own way.
    let mut reports = Vec::new();
    while reports.len() < 2 {
        assert!(advance(&mut engine) < at(1.1));
        let asked = drain(&mut engine);
        reports.extend(asked.reports.into_iter().map(|(outcome, ..)| outcome));
    }
    assert!(reports.contains(&Outcome::Failure(Reason::ConnectTimeout)));
    let second = engine.target(TargetId(2)).unwrap().results;
    let first = engine.target(TargetId(1)).unwrap().results;
    assert_eq!(
        first[Outcome::Unknown(Reason::Overload).index()] + second[3],
        1
    );
    assert_eq!(engine.stats(at(1.1)).queued, 0);
}

#[test]
fn a_free_slot_goes_to_who_waits_and_the_wait_is_not_the_targets() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    for id in [1, 2] {
        engine.upsert(TargetId(id), tcp(), Instant::ZERO).unwrap();
    }
    engine.begin(Instant::ZERO);
    engine.trigger(TargetId(1), at(0.0));
    engine.trigger(TargetId(2), at(0.0));
    engine.handle_timeout(at(0.001));
    let (run, conn) = drain(&mut engine).opened[0];
    engine.handle_input(run, Input::Opened(conn), at(0.5));
    let asked = drain(&mut engine);
    let (run, conn) = asked.opened[0];
    engine.handle_input(run, Input::Opened(conn), at(0.51));
    let (outcome, _, total) = &drain(&mut engine).reports[0];
    assert_eq!(*outcome, Outcome::Success);
    assert_eq!(*total, Duration::from_millis(10));
    assert!(
        engine.stats(at(1.0)).start_lag.sum() > 0.49,
        "lag is recorded"
    );
}

#[test]
fn deadlines_name_the_phase_and_close_the_connection() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (begun, run, conn) = started(&mut engine);
    let (end, asked) = reported(&mut engine);
    assert!(end - begun >= SECOND && end - begun < SECOND + 2 * TICK);
    assert_eq!(asked.closed, [(run, conn)]);
    let (outcome, detail, _) = &asked.reports[0];
    assert_eq!(*outcome, Outcome::Failure(Reason::ConnectTimeout));
    assert!(detail.ends_with("connecting to 192.0.2.1:80"), "{detail}");
    // What comes late is ignored.
    engine.handle_input(run, Input::Opened(conn), end);
    assert!(drain(&mut engine).reports.is_empty());
}

#[test]
fn a_run_without_time_opens_nothing() {
    let mut engine = engine();
    let none = Duration::ZERO;
    engine.run_once(tcp(), none, false, Instant::ZERO).unwrap();
    assert!(drain(&mut engine).opened.is_empty());
    let (_, asked) = reported(&mut engine);
    let (outcome, detail, _) = &asked.reports[0];
    assert_eq!(*outcome, Outcome::Failure(Reason::ConnectTimeout));
    assert_eq!(detail, "there was no time: the timeout of the run is 0");
}

#[test]
fn a_deadline_seen_much_too_late_is_our_own_failure() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (begun, ..) = started(&mut engine);
    engine.handle_timeout(begun + 3 * SECOND);
    let (outcome, ..) = drain(&mut engine).reports[0];
    assert_eq!(outcome, Outcome::Unknown(Reason::Overload));
    assert_eq!(engine.target(ID).unwrap().histogram.count(), 0);
}

#[test]
fn local_failures_are_unknown_and_change_nothing() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    for reason in [
        Reason::NoDescriptors,
        Reason::NoSourcePort,
        Reason::NoMemory,
    ] {
        let (now, run, conn) = started(&mut engine);
        engine.handle_input(run, Input::Closed(conn, Closed::Local(reason)), now);
        let asked = drain(&mut engine);
        assert_eq!(asked.reports[0].0, Outcome::Unknown(reason));
        assert!(asked.closed.is_empty(), "the host has released it");
    }
    let target = engine.target(ID).unwrap();
    assert_eq!((target.up, target.results), (None, [0, 0, 0, 3]));
}

#[test]
fn health_follows_thresholds() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let mut ups = Vec::new();
    for refused in [false, true, false, true, true, true, false] {
        let (now, run, conn) = started(&mut engine);
        let input = match refused {
            true => Input::Closed(conn, Closed::Refused),
            false => Input::Opened(conn),
        };
        engine.handle_input(run, input, now);
        drain(&mut engine);
        ups.push(engine.target(ID).unwrap().up);
    }
    let (up, down) = (Some(true), Some(false));
    assert_eq!(ups, [up, up, up, up, down, down, up]);
}

#[test]
fn an_equal_spec_changes_nothing_and_another_one_cancels() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (now, run, conn) = started(&mut engine);
    engine.handle_input(run, Input::Opened(conn), now);
    drain(&mut engine);
    let next = engine.target(ID).unwrap().next;

    let (now, run, conn) = started(&mut engine);
    engine.upsert(ID, tcp(), now).unwrap();
    assert!(drain(&mut engine).reports.is_empty());

    let other = spec_of(Kind::Plain, "tcp", "192.0.2.2:80", Duration::ZERO);
    engine.upsert(ID, other, now).unwrap();
    let asked = drain(&mut engine);
    assert_eq!(asked.closed, [(run, conn)]);
    assert_eq!(asked.reports[0].0, Outcome::Unknown(Reason::Cancelled));
    let target = engine.target(ID).unwrap();
    assert_eq!(target.up, Some(true), "health is kept");
    assert_eq!(
        target.last.unwrap().outcome,
        Outcome::Success,
        "so is the result"
    );
    assert_eq!((target.next - next).as_nanos() % PERIOD.as_nanos(), 0);
}

#[test]
fn a_removed_target_reports_and_is_gone() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (now, ..) = started(&mut engine);
    engine.remove(ID, now);
    let asked = drain(&mut engine);
    assert_eq!(asked.reports[0].0, Outcome::Unknown(Reason::Cancelled));
    assert_eq!(asked.closed.len(), 1);
    assert!(engine.target(ID).is_none());
    assert_eq!(engine.poll_timeout(), None);
    assert_eq!(engine.in_flight(), 0);
}

#[test]
fn limits_are_held() {
    let limits = Limits {
        targets: 1,
        in_flight: 1,
        once_in_flight: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    engine.upsert(TargetId(1), tcp(), Instant::ZERO).unwrap();
    let second = engine.upsert(TargetId(2), tcp(), Instant::ZERO);
    assert_eq!(second, Err(Full));
    engine.upsert(TargetId(1), tcp(), Instant::ZERO).unwrap();
    let now = Instant::ZERO;
    engine.run_once(tcp(), SECOND, false, now).unwrap();
    assert_eq!(engine.run_once(tcp(), SECOND, false, now), Err(Full));
}

/// What no target can use is there for single runs, and comes back with their end.
#[test]
fn single_runs_use_what_targets_cannot() {
    let limits = Limits {
        in_flight: 3,
        once_in_flight: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    let now = Instant::ZERO;
    let once = |engine: &mut Engine| engine.run_once(tcp(), SECOND, false, now);
    let runs: Vec<_> = (0..4).map(|_| once(&mut engine).unwrap()).collect();
    assert_eq!(once(&mut engine), Err(Full));
    // Targets that come later wait for a slot: there are no more than four.
    for id in 1..=2 {
        engine.upsert(TargetId(id), tcp(), now).unwrap();
    }
    engine.begin(now);
    let late = at(0.9);
    engine.handle_timeout(late);
    drain(&mut engine);
    assert_eq!(engine.in_flight(), 4);
    // Two targets leave one slot to borrow: the next one gets none.
    for run in runs.into_iter().take(2) {
        engine.cancel(run, late);
    }
    drain(&mut engine);
    engine.handle_timeout(late);
    drain(&mut engine);
    assert!(engine.in_flight() <= 4, "{}", engine.in_flight());
    assert_eq!(once(&mut engine), Err(Full));
}

#[test]
fn a_destination_sees_no_more_than_its_rate_and_the_wait_is_ours() {
    let limits = Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    let now = Instant::ZERO;
    for _ in 0..4 {
        engine.run_once(tcp(), SECOND, false, now).unwrap();
    }
    // The third would wait for all of its time, and the fourth for longer.
    let asked = drain(&mut engine);
    assert_eq!(asked.opened.len(), 1);
    let refused = Outcome::Unknown(Reason::OverloadDestination);
    let outcomes: Vec<_> = asked.reports.iter().map(|it| it.0).collect();
    assert_eq!(outcomes, [refused; 2]);
    let (run, conn) = asked.opened[0];
    engine.handle_input(run, Input::Opened(conn), at(0.001));
    drain(&mut engine);

    let (now, run, conn) = started(&mut engine);
    assert!((at(0.5)..at(0.51)).contains(&now), "{now}");
    engine.handle_input(run, Input::Opened(conn), now + SECOND / 10);
    let (outcome, _, total) = drain(&mut engine).reports[0].clone();
    assert_eq!(outcome, Outcome::Success);
    assert!(total <= SECOND / 10 + TICK, "{total:?}");
}

#[test]
fn the_wait_for_a_destination_prolongs_runs_of_a_schedule() {
    let limits = Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    for id in [1, 2].map(TargetId) {
        engine.upsert(id, tcp(), Instant::ZERO).unwrap();
    }
    engine.begin(Instant::ZERO);
    for id in [1, 2].map(TargetId) {
        engine.trigger(id, Instant::ZERO);
    }
    let (first, ..) = started(&mut engine);
    let (begun, ..) = started(&mut engine);
    assert!(begun - first + TICK >= SECOND / 2, "{:?}", begun - first);
    reported(&mut engine);
    let (end, _) = reported(&mut engine);
    assert!(end - begun + TICK >= SECOND, "{:?}", end - begun);
}

/// Whoever asked for a run waits no longer for it than he said.
#[test]
fn the_wait_for_a_destination_prolongs_no_run_that_somebody_waits_for() {
    let limits = Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    for _ in 0..2 {
        engine
            .run_once(tcp(), SECOND, false, Instant::ZERO)
            .unwrap();
    }
    // One at once, the other when the rate allows it.
    assert_eq!(drain(&mut engine).opened.len(), 1);
    started(&mut engine);
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        let (end, asked) = reported(&mut engine);
        assert!(end <= at(1.01), "{end}");
        outcomes.extend(asked.reports.into_iter().map(|it| it.0));
    }
    assert!(outcomes.contains(&Outcome::Failure(Reason::ConnectTimeout)));
    assert!(outcomes.contains(&Outcome::Unknown(Reason::Overload)));
}

/// The wait for somebody on the way to the target is ours too, whatever the
/// run is timing meanwhile.
#[test]
fn a_held_token_endpoint_costs_the_target_nothing() {
    let mut engine = engine_with(Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    });
    let endpoint = "192.0.2.9";
    let http = crate::check::http::Config {
        oauth2: Some(crate::check::http::OAuth2 {
            client_id: "me".into(),
            token_url: format!("http://{endpoint}/token"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let module = ModuleConfig {
        prober: "http".into(),
        http: Some(http),
        ..ModuleConfig::default()
    };
    let spec = Arc::new(Spec {
        check: module
            .compile(&NoFiles)
            .unwrap()
            .target("192.0.2.1", TargetParams::default())
            .unwrap(),
        ..(*tcp()).clone()
    });
    let first = spec_of(Kind::Plain, "tcp", "192.0.2.9:80", Duration::ZERO);
    engine
        .run_once(first, SECOND, false, Instant::ZERO)
        .unwrap();
    let run = engine
        .run_once(spec, SECOND * 5, false, Instant::ZERO)
        .unwrap();
    let mut now = Instant::ZERO;
    let mut opened = Vec::new();
    for _ in 0..100 {
        let mut answers = Vec::new();
        while let Some((from, output)) = engine.poll_output() {
            match output {
                Output::Open(conn, to) if from == run => {
                    opened.push((to.to.ip().to_string(), now));
                    answers.push((conn, None));
                }
                Output::Send(conn, bytes) if from == run => {
                    let body = match bytes.starts_with(b"POST") {
                        true => r#"{"access_token":"t"}"#,
                        false => "",
                    };
                    let length = body.len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    answers.push((conn, Some(head + body)));
                }
                Output::Report(report) if from == run => {
                    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
                    let [(first, held), (second, _)] = &opened[..] else {
                        panic!("{opened:?}");
                    };
                    assert_eq!([&**first, &**second], [endpoint, "192.0.2.1"]);
                    assert!(*held >= at(0.5), "{held}");
                    // Four events, 10 ms apart.
                    assert!(report.total < SECOND / 10, "{:?}", report.total);
                    // Of the fetch nothing is in a phase, held or not.
                    for (phase, spent) in report.phases.iter() {
                        assert!(spent <= SECOND / 100, "{phase:?}: {spent:?}");
                    }
                    return;
                }
                _ => {}
            }
        }
        now += SECOND / 100;
        if answers.is_empty() {
            now = engine.poll_timeout().expect("a deadline").max(now);
            engine.handle_timeout(now);
        }
        for (conn, answer) in answers {
            let input = match &answer {
                None => Input::Opened(conn),
                Some(text) => Input::Data(conn, text.as_bytes()),
            };
            engine.handle_input(run, input, now);
        }
    }
    panic!("no report: {opened:?}");
}

#[test]
fn shutdown_reports_everything() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (now, ..) = started(&mut engine);
    engine.run_once(tcp(), SECOND, false, now).unwrap();
    drain(&mut engine);
    engine.drain(now);
    assert_eq!(engine.in_flight(), 2);
    engine.shutdown(now);
    let asked = drain(&mut engine);
    let outcomes: Vec<_> = asked.reports.iter().map(|report| report.0).collect();
    assert_eq!(outcomes, [Outcome::Unknown(Reason::Shutdown); 2]);
    assert_eq!(asked.closed.len(), 2);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn a_traced_run_tells_its_steps() {
    let mut engine = engine();
    let now = Instant::ZERO;
    let run = engine.run_once(tcp(), SECOND, true, now).unwrap();
    engine.handle_input(run, Input::Opened(Conn(0)), now);
    let mut steps = 0;
    while let Some((_, output)) = engine.poll_output() {
        if let Output::Report(report) = output {
            steps = report.trace.len();
            assert_eq!(report.phase, Phase::Processing);
        }
    }
    assert!(steps >= 2, "{steps}");
}

/// Ticks during a long run: one is remembered, further ones are dropped.
#[test]
fn a_run_that_outlasts_its_period_is_followed_at_once_and_once() {
    let mut engine = engine();
    let module = ModuleConfig {
        prober: "tcp".into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    let spec = Spec {
        check: module
            .target("192.0.2.1:80", TargetParams::default())
            .unwrap(),
        schedule: Schedule::new(SECOND, 10 * SECOND, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    };
    engine.upsert(ID, Arc::new(spec), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (begun, run, conn) = started(&mut engine);
    let end = begun + SECOND * 5 / 2;
    while engine.poll_timeout().is_some_and(|next| next < end) {
        advance(&mut engine);
        assert!(drain(&mut engine).opened.is_empty(), "never two at once");
    }
    engine.handle_input(run, Input::Opened(conn), end);
    let asked = drain(&mut engine);
    assert_eq!((asked.reports.len(), asked.opened.len()), (1, 1));
    let (run, conn) = asked.opened[0];
    engine.handle_input(run, Input::Opened(conn), end);
    assert!(drain(&mut engine).opened.is_empty());
    let (next, ..) = started(&mut engine);
    let phase = (next - begun).as_nanos() % SECOND.as_nanos();
    let off = phase.min(SECOND.as_nanos() - phase);
    assert!(off <= TICK.as_nanos(), "the ticker keeps its phase");
}

#[test]
fn a_trigger_starts_the_period_anew() {
    let mut engine = engine();
    engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    let (begun, run, conn) = started(&mut engine);
    engine.handle_input(run, Input::Opened(conn), begun);
    drain(&mut engine);
    let trigger = begun + SECOND * 4;
    engine.trigger(ID, trigger);
    let (now, run, conn) = started(&mut engine);
    assert!(now - trigger <= 2 * TICK);
    // During a run a trigger is kept, and the period counts from its end.
    engine.trigger(ID, now);
    engine.trigger(ID, now);
    let end = now + SECOND / 2;
    engine.handle_input(run, Input::Opened(conn), end);
    let (run, conn) = drain(&mut engine).opened[0];
    engine.handle_input(run, Input::Opened(conn), end);
    assert!(drain(&mut engine).opened.is_empty());
    let (next, ..) = started(&mut engine);
    let apart = next - end;
    assert!(
        apart + TICK > PERIOD && apart < PERIOD + 2 * TICK,
        "{apart:?}"
    );
}

/// Targets that hold their slot for their whole interval, of which there are more
/// than slots: who had a slot took it again when its run ended, and some were
/// never looked at.
#[test]
fn too_many_targets_take_turns() {
    for (slots, targets) in [(1, 2), (1, 5), (2, 7), (3, 4), (10, 25)] {
        let mut engine = engine_with(Limits {
            in_flight: slots,
            ..Limits::default()
        });
        let mut spec = (*tcp()).clone();
        spec.schedule = Schedule::new(SECOND, SECOND, Duration::ZERO).unwrap();
        let spec = Arc::new(spec);
        for id in 0..targets {
            let id = TargetId(id);
            engine.upsert(id, Arc::clone(&spec), Instant::ZERO).unwrap();
        }
        engine.begin(Instant::ZERO);
        let mut now = Instant::ZERO;
        while now < at(600.0) {
            now = engine.poll_timeout().unwrap().max(now);
            engine.handle_timeout(now);
            while engine.poll_output().is_some() {}
            assert!(engine.queue.len() <= targets as usize);
        }
        let fair = 600 * u64::from(slots) / targets;
        for id in 0..targets {
            let [.., looked, _] = engine.target(TargetId(id)).unwrap().results;
            let near = fair * 9 / 10..=fair * 11 / 10;
            assert!(
                near.contains(&looked),
                "{slots} {targets}: {looked} of {fair}"
            );
        }
    }
}

/// The process was stopped, and goes on long after the deadline.
#[test]
fn what_has_waited_for_a_stopped_prober_says_nothing_of_the_target() {
    let answers: [fn(Conn) -> Input<'static>; 3] = [
        Input::Opened,
        |conn| Input::Closed(conn, Closed::Reset),
        |conn| Input::Closed(conn, Closed::Refused),
    ];
    for answer in answers {
        let mut engine = engine();
        engine.upsert(ID, tcp(), Instant::ZERO).unwrap();
        engine.begin(Instant::ZERO);
        let (begun, run, conn) = started(&mut engine);
        engine.handle_input(run, answer(conn), begun + SECOND * 30);
        let reports = drain(&mut engine).reports;
        let [(outcome, detail, _)] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert_eq!(*outcome, Outcome::Unknown(Reason::Overload));
        assert!(detail.contains("after the deadline"), "{detail}");
        let view = engine.target(ID).unwrap();
        assert_eq!((view.up, view.histogram.count()), (None, 0));
        // A little late is in time: the answer was there before we looked.
        let (begun, run, conn) = started(&mut engine);
        engine.handle_input(run, Input::Opened(conn), begun + SECOND + SECOND / 5);
        assert_eq!(drain(&mut engine).reports[0].0, Outcome::Success);
    }
}

/// A target that waits in vain for longer than its period has a report for
/// every run that came due.
#[test]
fn a_tick_that_passes_in_the_queue_is_not_skipped() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let mut engine = engine_with(limits);
    let module = ModuleConfig {
        prober: "tcp".into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    let spec = |timeout| {
        Arc::new(Spec {
            check: module
                .target("192.0.2.1:80", TargetParams::default())
                .unwrap(),
            schedule: Schedule::new(SECOND, timeout, Duration::ZERO).unwrap(),
            threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
            group: GroupId(0),
        })
    };
    engine.begin(Instant::ZERO);
    // One run hangs and holds the only slot for a minute.
    engine.upsert(ID, spec(60 * SECOND), Instant::ZERO).unwrap();
    let (now, ..) = started(&mut engine);
    let waiting = TargetId(8);
    engine.upsert(waiting, spec(SECOND * 3 / 2), now).unwrap();
    let end = now + SECOND * 30;
    while engine.poll_timeout().is_some_and(|next| next < end) {
        advance(&mut engine);
        drain(&mut engine);
    }
    let [.., unknown] = engine.target(waiting).unwrap().results;
    assert!((27..=30).contains(&unknown), "{unknown}");
}

#[test]
fn a_target_that_cannot_be_probed_fails_before_anything_is_asked_for() {
    for (prober, set) in [("tcp", &[][..]), ("http", &[3, 4, 5, 6, 7, 8, 9])] {
        let mut engine = engine();
        let mut spec = Spec::clone(&spec_of(Kind::Plain, prober, "192.0.2.1:80", PERIOD));
        let module = ModuleConfig {
            prober: prober.into(),
            ..ModuleConfig::default()
        };
        let module = module.compile(&NoFiles).unwrap();
        let why = TargetError::Target("expected something else".into());
        spec.check = module.unusable(&why);
        assert_eq!(spec.check.kind(), prober);
        engine
            .run_once(Arc::new(spec), SECOND, false, Instant::ZERO)
            .unwrap();
        let Some((_, Output::Report(report))) = engine.poll_output() else {
            panic!("nothing else is asked for");
        };
        assert_eq!(report.outcome, Outcome::Failure(Reason::TargetInvalid));
        assert_eq!(report.detail, "expected something else");
        let slots = (0..crate::fact::SLOTS).filter(|slot| report.facts.get(*slot).is_some());
        assert_eq!(slots.collect::<Vec<_>>(), set, "{prober}");
        assert_eq!(report.phases.iter().count(), 0);
    }
}
