//! Connections as such.

use std::io::Read as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use probity_engine::{Outcome, Phase, Reason};

use crate::support::{
    PATIENCE, begin, closed_port, closing_server, module, narrow_server, probe, server, start, tcp,
};

#[test]
fn a_listener_is_a_success_with_its_phases_and_address() {
    let handle = start(1);
    let address = closing_server();
    let report = probe(&handle, &tcp(), &address.to_string());
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert_eq!(report.address, Some(address));
    assert!(report.phases.get(Phase::Connect).is_some());
    assert!(report.started <= report.finished);
    assert!(report.target.is_none());
    assert!((handle.unix_time(report.finished) - unix_now()).abs() < PATIENCE.as_secs_f64());
}

fn unix_now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

#[test]
fn a_closed_port_refuses() {
    let handle = start(1);
    let report = probe(&handle, &tcp(), &closed_port().to_string());
    let refused = Outcome::Failure(Reason::ConnectRefused);
    assert_eq!(report.outcome, refused, "{}", report.detail);
}

#[test]
fn a_peer_that_leaves_at_once_was_there() {
    let handle = start(1);
    let address = server(drop);
    for _ in 0..50 {
        let report = probe(&handle, &tcp(), &address.to_string());
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    }
}

#[test]
fn a_source_address_that_is_not_ours_is_our_own_fault() {
    let handle = start(1);
    // TEST-NET-1 (RFC 5737): nobody's.
    let module = module(r#"{"prober": "tcp", "tcp": {"source_ip_address": "192.0.2.1"}}"#);
    let report = probe(&handle, &module, &closing_server().to_string());
    let unknown = Outcome::Unknown(Reason::NoSourcePort);
    assert_eq!(report.outcome, unknown, "{}", report.detail);
}

#[test]
fn a_source_address_is_used() {
    let handle = start(1);
    let (tx, rx) = mpsc::channel();
    let address = server(move |stream| {
        let peer = stream.peer_addr().expect("a peer");
        tx.send(peer).unwrap_or_default();
    });
    let module = module(r#"{"prober": "tcp", "tcp": {"source_ip_address": "127.0.0.9"}}"#);
    let report = probe(&handle, &module, &address.to_string());
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    let peer = rx.recv_timeout(PATIENCE).expect("a connection");
    assert_eq!(peer.ip().to_string(), "127.0.0.9");
}

/// A dialogue of which the last word is long.
fn wordy(length: usize) -> probity_engine::check::Module {
    let word = "x".repeat(length - 1);
    module(&format!(
        r#"{{"prober": "tcp", "tcp": {{"query_response": [{{"send": "{word}"}}]}}}}"#
    ))
}

#[test]
fn the_last_word_of_a_dialogue_arrives_whole() {
    let (late, length) = (Duration::from_millis(300), 200_000);
    let (tx, rx) = mpsc::channel();
    let address = narrow_server(move |mut stream| {
        thread::sleep(late);
        let mut heard = Vec::new();
        let end = stream.read_to_end(&mut heard);
        tx.send((heard.len(), end.is_ok())).unwrap_or_default();
    });
    let report = probe(&start(1), &wordy(length), &address.to_string());
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert_eq!(rx.recv_timeout(PATIENCE).expect("a reader"), (length, true));
    assert!(report.total >= late, "{:?}", report.total);
}

#[test]
fn who_does_not_take_the_last_word_has_failed() {
    let address = narrow_server(|_stream| thread::sleep(PATIENCE));
    let timeout = Duration::from_millis(300);
    let report = begin(&start(1), &wordy(200_000), &address.to_string(), timeout)
        .recv_timeout(PATIENCE)
        .expect("a report");
    let timed_out = Outcome::Failure(Reason::TimeoutProcessing);
    assert_eq!(report.outcome, timed_out, "{}", report.detail);
    assert!(report.detail.contains("did not take"), "{}", report.detail);
}

#[test]
fn a_full_backlog_times_out_while_connecting() {
    use socket2::{Domain, Socket, Type};
    // A listener that never accepts, and whose queue others have filled.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("a port");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().expect("its address");
    let address = address.as_socket().expect("IPv4");
    let mut fillers = Vec::new();
    for _ in 0..64 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        filler.set_nonblocking(true).expect("non-blocking");
        let _ = filler.connect(&address.into());
        fillers.push(filler);
    }
    let handle = start(1);
    let timeout = Duration::from_millis(300);
    let report = begin(&handle, &tcp(), &address.to_string(), timeout)
        .recv_timeout(PATIENCE)
        .expect("a report");
    let timed_out = Outcome::Failure(Reason::ConnectTimeout);
    assert_eq!(report.outcome, timed_out, "{}", report.detail);
    assert_eq!(report.phase, Phase::Connect);
}

#[test]
fn a_trace_has_steps_only_if_asked_for() {
    let handle = start(1);
    let address = closing_server().to_string();
    let (tx, rx) = mpsc::channel();
    for trace in [true, false] {
        let once = probity_driver::Once {
            spec: crate::support::spec(&tcp(), &address, 1_000, 0),
            timeout: PATIENCE,
            trace,
        };
        let tx = tx.clone();
        handle
            .run_once(once, move |report| tx.send(report).unwrap_or_default())
            .expect("room");
        let report = rx.recv_timeout(PATIENCE).expect("a report");
        assert_eq!(!report.trace.is_empty(), trace);
    }
}
