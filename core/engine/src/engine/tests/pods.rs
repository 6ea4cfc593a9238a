//! Pods and their containers: the kubelet's kinds.

use super::*;
use crate::lifecycle::{Container, ContainerState, Origin, Pod, PodPhase};

fn pod(id: u64, started_at: Instant, started: bool) -> Option<Pod> {
    Some(Pod {
        phase: PodPhase::Running,
        deleting: false,
        container: Some(Container {
            id,
            state: ContainerState::Running { started_at },
            started: Some(started),
            origin: Origin::Fresh,
        }),
    })
}

/// Handles what is due up to `until`; the target refuses.
fn refuse_until(engine: &mut Engine, until: Instant) -> usize {
    let mut reports = 0;
    while engine.poll_timeout().is_some_and(|next| next <= until) {
        let now = advance(engine);
        for (run, conn) in drain(engine).opened {
            engine.handle_input(run, Input::Closed(conn, Closed::Refused), now);
            reports += drain(engine).reports.len();
        }
    }
    reports
}

#[test]
fn a_failed_liveness_check_is_on_hold_until_there_is_a_new_container() {
    let mut engine = engine();
    let spec = spec_of(Kind::Liveness, "tcp", "192.0.2.1:80", Duration::ZERO);
    engine.upsert(ID, spec, Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    engine.observe_pod(ID, pod(1, Instant::ZERO, true), Instant::ZERO);
    assert_eq!(refuse_until(&mut engine, at(60.0)), 1);
    assert_eq!(engine.target(ID).unwrap().up, Some(false));
    engine.observe_pod(ID, pod(2, at(60.0), true), at(60.0));
    assert_eq!(refuse_until(&mut engine, at(75.0)), 1);
    let (id, flip) = engine.poll_transition().unwrap();
    assert_eq!(
        (id, flip.to),
        (ID, true),
        "the first container is alive until proven dead"
    );
}

#[test]
fn a_readiness_check_of_an_unready_container_runs_out_of_turn() {
    let mut engine = engine();
    let spec = spec_of(Kind::Readiness, "tcp", "192.0.2.1:80", Duration::ZERO);
    engine.upsert(ID, spec, Instant::ZERO).unwrap();
    engine.begin(Instant::ZERO);
    engine.observe_pod(ID, pod(1, Instant::ZERO, false), Instant::ZERO);
    assert_eq!(
        refuse_until(&mut engine, at(30.0)),
        0,
        "not before it has started"
    );
    engine.observe_pod(ID, pod(1, Instant::ZERO, true), at(30.0));
    assert_eq!(refuse_until(&mut engine, at(30.1)), 1);
}

#[test]
fn an_unreadable_body_is_tried_three_times_and_discarded_by_the_kubelets_kinds() {
    for (kind, runs, up) in [(Kind::Liveness, 3, Some(true)), (Kind::Plain, 1, None)] {
        let mut engine = engine();
        let spec = spec_of(kind, "http", "http://192.0.2.1/", Duration::ZERO);
        engine.upsert(ID, spec, Instant::ZERO).unwrap();
        engine.begin(Instant::ZERO);
        let (now, mut run, mut conn) = started(&mut engine);
        let mut seen = 0;
        loop {
            engine.handle_input(run, Input::Opened(conn), now);
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
            engine.handle_input(run, Input::Data(conn, head), now);
            engine.handle_input(run, Input::Closed(conn, Closed::Reset), now);
            let asked = drain(&mut engine);
            seen += asked.reports.len();
            match asked.opened.first() {
                Some(next) => (run, conn) = *next,
                None => break,
            }
        }
        assert_eq!(
            (seen, engine.target(ID).unwrap().up),
            (runs, up),
            "{kind:?}"
        );
    }
}

/// `kubelet_probes` 2.5: what breaks off before the headers are complete is a
/// failure, what breaks off after them is none, whatever the status.
#[test]
fn only_what_ends_after_the_head_is_discarded_by_the_kubelets_kinds() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
    let error = "HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nshort";
    let nonsense = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    for (text, closes, runs, up) in [
        ("HTTP/1.1 200 OK\r\nContent-Le", true, 1, Some(false)),
        ("HTTP/1.1 200 OK\r\nContent-Le", false, 1, Some(false)),
        (length, true, 3, Some(true)),
        (length, false, 3, Some(true)),
        (error, true, 3, Some(true)),
        (error, false, 3, Some(true)),
        (nonsense, false, 3, Some(true)),
    ] {
        let mut engine = engine();
        let spec = spec_of(Kind::Liveness, "http", "http://192.0.2.1/", Duration::ZERO);
        engine.upsert(ID, spec, Instant::ZERO).unwrap();
        engine.begin(Instant::ZERO);
        let (mut now, mut run, mut conn) = started(&mut engine);
        let mut seen = 0;
        loop {
            engine.handle_input(run, Input::Opened(conn), now);
            engine.handle_input(run, Input::Data(conn, text.as_bytes()), now);
            if closes {
                engine.handle_input(run, Input::Closed(conn, Closed::Reset), now);
            }
            let mut asked = drain(&mut engine);
            if asked.reports.is_empty() {
                (now, asked) = reported(&mut engine);
            }
            seen += asked.reports.len();
            match asked.opened.first() {
                Some(next) => (run, conn) = *next,
                None => break,
            }
        }
        let found = (seen, engine.target(ID).unwrap().up);
        assert_eq!(found, (runs, up), "{text:?}, closed: {closes}");
    }
}
