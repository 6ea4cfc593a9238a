//! Requests that an HTTP/2 server says it did not process.

use alloc::sync::Arc;
use core::time::Duration;

use super::framed::{frame, says};
use super::world::{Opens, Peer, Seen, answers, drive, run_with, spec_with};
use super::*;
use crate::Schedule;
use crate::config::ProxyUrl;
use crate::limits::{Limits, MAX_REPEATS};

const TARGET: &str = "https://192.0.2.7/";
const REFUSED: &str = "the peer reset the stream before it answered: REFUSED_STREAM";

fn refused() -> Vec<u8> {
    frame(3, 0, 1, &[0, 0, 0, 7])
}

fn goaway(last: u8, code: u8) -> Vec<u8> {
    frame(7, 0, 0, &[0, 0, 0, last, 0, 0, 0, code])
}

/// 200, without an end.
fn head() -> Vec<u8> {
    frame(1, 4, 1, &[0x88])
}

/// A redirect to `/x`.
fn redirect() -> Vec<u8> {
    let location = b"\x48\x03302\x0f\x1f\x02/x";
    frame(1, 5, 1, location)
}

fn ok() -> Peer {
    says(&[head(), frame(0, 1, 1, b"hello")])
}

fn post(peers: &[Peer]) -> Seen {
    run_with(TARGET, peers, |config| {
        config.method = "POST".into();
        config.body = "b0dy".into();
    })
}

#[test]
fn it_is_asked_again_on_another_connection() {
    let interim = frame(1, 4, 1, b"\x08\x03103");
    for frames in [
        &[refused()][..],
        &[goaway(0, 0)],
        &[goaway(1, 0), goaway(0, 0)],
        &[interim, refused()],
    ] {
        let seen = post(&[says(frames), ok()]);
        seen.succeeded();
        let address = "192.0.2.7:443".parse().unwrap();
        assert_eq!(seen.addresses, [address, address]);
        assert!(seen.looked_up.is_empty());
        let asked = seen.requests.iter();
        let asked = asked.filter(|sent| sent.starts_with("PRI") && sent.ends_with("b0dy"));
        assert_eq!(asked.count(), 2, "{seen:?}");
        assert_eq!(seen.fact("http_status_code"), Some(200.0));
        assert_eq!(seen.fact("http_redirects"), Some(0.0));
        assert!(seen.secured);
    }
}

/// As in blackbox_exporter: `tls` and `processing` are those of the last
/// connection, and `connect` is all the time before.
#[test]
fn what_was_of_no_use_counts_as_connecting() {
    let seen = post(&[says(&[refused()]), ok()]);
    for (phase, spent) in [
        ("connect", 0.001 + 0.001 + 0.002 + 0.001),
        ("tls", 0.001),
        ("processing", 0.002),
    ] {
        let shown = seen.fact(&format!("http_duration_seconds{phase}")).unwrap();
        assert!((shown - spent).abs() < 1e-9, "{phase}: {shown}");
    }
    assert_eq!(seen.took, seen.total);
}

#[test]
fn every_request_of_a_chain_may_be_asked_again() {
    let peers = [
        says(&[refused()]),
        says(&[redirect()]),
        says(&[goaway(0, 0)]),
        ok(),
    ];
    let seen = run_with(TARGET, &peers, |_| {});
    seen.succeeded();
    assert_eq!(seen.addresses.len(), 4);
    assert_eq!(seen.fact("http_redirects"), Some(1.0));
    let tls = seen.fact("http_duration_secondstls").unwrap();
    assert!((tls - 0.002).abs() < 1e-9, "one for each of two: {tls}");
}

#[test]
fn it_is_asked_again_while_there_is_time() {
    let words = "the peer refused the request: GOAWAY, NO_ERROR";
    for (frames, reason, words) in [
        (refused(), Reason::PeerReset, REFUSED),
        (goaway(0, 0), Reason::PeerClosed, words),
    ] {
        // In one second: at once, and after 50, 100, 200 and 400 ms.
        let seen = post(&[says(&[frames])]);
        seen.failed(reason, words);
        assert_eq!(seen.addresses.len(), 1 + 5);
        assert!(seen.took < Duration::from_secs(1), "{seen:?}");
    }
}

#[test]
fn it_is_asked_again_a_few_times() {
    let minute = Duration::from_secs(60);
    let patient = crate::Spec {
        schedule: Schedule::new(minute, minute, Duration::ZERO).unwrap(),
        ..(*spec_with(TARGET, |_| {})).clone()
    };
    let peers = [says(&[refused()])];
    let seen = drive(Arc::new(patient), &[], &peers, Limits::default());
    seen.failed(Reason::PeerReset, REFUSED);
    assert_eq!(seen.addresses.len(), 1 + usize::from(MAX_REPEATS));
    assert_eq!(seen.took.as_secs(), 11);
}

/// A server that is about to end, and its successor.
#[test]
fn pauses_count_as_connecting() {
    let mut peers = vec![says(&[refused()]); 5];
    peers.push(ok());
    let seen = post(&peers);
    seen.succeeded();
    let shown = seen.fact("http_duration_secondsconnect").unwrap();
    let pauses = 0.050 + 0.100 + 0.200 + 0.400;
    assert!((pauses..pauses + 0.050).contains(&shown), "{shown}");
    assert_eq!(seen.fact("http_duration_secondsprocessing"), Some(0.002));
}

#[test]
fn what_was_answered_or_has_failed_is_not_asked_again() {
    for (frames, reason) in [
        (&[goaway(0, 0xb)][..], Reason::PeerClosed),
        (&[goaway(1, 0xb), goaway(0, 0)], Reason::PeerClosed),
        (&[frame(3, 0, 1, &[0, 0, 0, 2])], Reason::PeerReset),
        (&[head(), refused()], Reason::PeerReset),
        (&[head(), goaway(0, 0)], Reason::BodyTruncated),
    ] {
        let seen = post(&[says(frames), ok()]);
        assert_eq!(seen.outcome, Outcome::Failure(reason), "{seen:?}");
        assert_eq!(seen.addresses.len(), 1);
    }
    // Go cannot read a file a second time.
    let of_file = run_with(TARGET, &[says(&[refused()]), ok()], |config| {
        config.method = "POST".into();
        config.body_file = "body".into();
    });
    of_file.failed(Reason::PeerReset, REFUSED);
}

#[test]
fn the_other_connection_takes_the_same_way() {
    for by_name in [false, true] {
        let tunnel = |behind: Peer| Peer {
            turns: [
                vec![answers("HTTP/1.1 200 Connected\r\n\r\n")],
                behind.turns.clone(),
            ]
            .concat(),
            ..behind
        };
        let peers = [tunnel(says(&[refused()])), tunnel(ok())];
        let seen = run_with("https://a.example/", &peers, |config| {
            config.proxy_url = ProxyUrl::parse("http://198.51.100.1:3128").unwrap();
            config.skip_resolve_phase_with_proxy = by_name;
        });
        seen.succeeded();
        let proxy = "198.51.100.1:3128".parse().unwrap();
        assert_eq!(seen.addresses, [proxy, proxy]);
        let far = if by_name { "a.example" } else { "192.0.2.80" };
        let asked = seen.requests.iter();
        let asked = asked.filter(|sent| sent.starts_with(&format!("CONNECT {far}:443 ")));
        assert_eq!(asked.count(), 2);
        assert_eq!(seen.fact("http_duration_secondsresolve").is_none(), by_name);
    }
}

#[test]
fn the_other_connection_may_fail_or_speak_another_protocol() {
    let down = Peer {
        opens: Opens::Fails(Closed::Refused),
        ..Peer::default()
    };
    let seen = post(&[says(&[refused()]), down]);
    let words = "connect to 192.0.2.7 (192.0.2.7:443): connection refused";
    seen.failed(Reason::ConnectRefused, words);
    assert!(!seen.secured, "nothing is known of the last handshake");
    let seen = post(&[says(&[refused()]), world::ok("x")]);
    seen.succeeded();
    assert_eq!(seen.fact("http_version"), Some(1.1));
}
