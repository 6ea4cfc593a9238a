//! Bodies of requests in HTTP/2, to peers that take much or little at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::*;
use super::world::spec_with;
use crate::h2::DataFrame;
use crate::io::{Bytes, Output};
use crate::outcome::Outcome;
use crate::tls::TlsInfo;
use crate::{Engine, Instant};

const CONN: Conn = Conn(0);

/// A run that posts a body over HTTP/2, up to the end of its head.
struct Upload {
    engine: Engine,
    run: crate::RunId,
    body: Vec<u8>,
}

impl Upload {
    fn begin(length: usize) -> Self {
        let body: Vec<u8> = (0..length)
            .map(|at| b'a' + (at / 1_000 % 26) as u8)
            .collect();
        let text = core::str::from_utf8(&body).unwrap().into();
        let spec = spec_with("https://192.0.2.7/", |config| {
            config.method = "POST".into();
            config.body = text;
        });
        let now = Instant::ZERO;
        let mut engine = Engine::new(crate::Config::default(), now);
        let run = engine.run_once(spec, Duration::from_secs(1), false, now);
        let run = run.unwrap();
        engine.handle_input(run, Input::Opened(CONN), now);
        while engine.poll_output().is_some() {}
        let info = TlsInfo {
            version: "TLS 1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            alpn: Some(protocol::H2.into()),
            chain: None,
        };
        engine.handle_input(run, Input::Secured(CONN, &Arc::new(info)), now);
        Self { engine, run, body }
    }

    fn tell(&mut self, frames: &[u8]) {
        let data = Input::Data(CONN, frames);
        self.engine.handle_input(self.run, data, Instant::ZERO);
    }

    /// What is sent of the body from `from` on, in frames, and how much of it.
    fn sent(&mut self, from: usize, to: usize) {
        let mut part = from..to;
        while !part.is_empty() {
            let frame = DataFrame::first_of(&part, self.body.len());
            let Some((_, Output::Send(CONN, Bytes::Lent(header)))) = self.engine.poll_output()
            else {
                panic!("expected a header");
            };
            assert_eq!(header, frame.header);
            let Some((_, Output::Send(CONN, bytes))) = self.engine.poll_output() else {
                panic!("expected what is in the frame");
            };
            assert!(matches!(bytes, Bytes::Shared { .. }), "it is not copied");
            assert!(frame.length <= 16 * 1024);
            assert_eq!(bytes[..], self.body[part.start..part.start + frame.length]);
            part.start += frame.length;
        }
        assert!(self.engine.poll_output().is_none(), "and no more");
    }

    fn sent_lent(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let Some((_, Output::Send(CONN, Bytes::Lent(bytes)))) = self.engine.poll_output() else {
            panic!("expected something small");
        };
        all.extend_from_slice(bytes);
        all
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

/// All that a peer may allow at once.
fn everything() -> Vec<u8> {
    let window = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    let update = (0x7fff_ffff - 65_535_u32).to_be_bytes();
    [frame(4, 0, 0, &window), frame(8, 0, 0, &update)].concat()
}

#[test]
fn a_body_leaves_a_frame_at_a_time_however_much_is_allowed() {
    let length = 4 << 20;
    let mut upload = Upload::begin(length);
    assert!(upload.sent_lent().starts_with(b"PRI * HTTP/2.0"));
    upload.sent(0, 65_535);
    upload.tell(&frame(4, 0, 0, &[]));
    assert_eq!(
        upload.sent_lent(),
        frame(4, 1, 0, &[]),
        "an acknowledgement"
    );
    upload.sent(0, 0);
    upload.tell(
        &[
            frame(8, 0, 1, &[0, 0, 0, 10]),
            frame(8, 0, 0, &[0, 0, 0, 9]),
        ]
        .concat(),
    );
    upload.sent(65_535, 65_544);
    upload.tell(&everything());
    assert_eq!(upload.sent_lent(), frame(4, 1, 0, &[]));
    upload.sent(65_544, length);
    // ":status: 200" of the static table.
    upload.tell(&frame(1, 5, 1, &[0x88]));
    let mut outcome = None;
    while let Some((_, output)) = upload.engine.poll_output() {
        if let Output::Report(report) = output {
            outcome = Some(report.outcome);
        }
    }
    assert_eq!(outcome, Some(Outcome::Success));
}

#[test]
fn a_small_body_goes_with_its_head() {
    let mut upload = Upload::begin(100);
    let sent = upload.sent_lent();
    assert!(sent.ends_with(&upload.body));
    assert_eq!(
        sent[sent.len() - 109..][..9],
        DataFrame::first_of(&(0..100), 100).header
    );
    upload.sent(0, 0);
}

/// What is still to go is dropped when the answer has come.
#[test]
fn nothing_is_sent_after_the_verdict() {
    let mut upload = Upload::begin(4 << 20);
    upload.sent_lent();
    upload.sent(0, 65_535);
    upload.tell(&[frame(4, 0, 0, &[]), frame(1, 5, 1, &[0x88]), everything()].concat());
    upload.sent_lent();
    while let Some((_, output)) = upload.engine.poll_output() {
        assert!(!matches!(output, Output::Send(..)), "{output:?}");
    }
}

/// What a report says: the outcome, and how long the target took, in all and before
/// it answered.
type Said = (Outcome, Duration, Option<Duration>);

/// A run of a second of which the body waits for others of the host's for that part,
/// in milliseconds, and is answered then.
fn kept(part: Range<u64>, answered: Option<u64>) -> Said {
    let at = |millis| Instant::ZERO + Duration::from_millis(millis);
    let spec = spec_with("http://192.0.2.7/", |config| {
        config.method = "POST".into();
        config.body = "x".repeat(1_000).as_str().into();
    });
    let mut engine = Engine::new(crate::Config::default(), at(0));
    let second = Duration::from_secs(1);
    let run = engine.run_once(spec, second, false, at(0)).unwrap();
    engine.handle_input(run, Input::Opened(CONN), at(0));
    engine.keep(run, at(part.start));
    // It is told again though it is known.
    engine.keep(run, at(part.start + 1));
    if part.end < 1_000 {
        engine.end_keep(run, at(part.end));
    }
    if let Some(millis) = answered {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        engine.handle_input(run, Input::Data(CONN, answer), at(millis));
        // Who answers does not wait.
        engine.keep(run, at(millis));
        engine.handle_input(run, Input::Data(CONN, b"ok"), at(millis + 10));
    }
    engine.handle_timeout(at(1_010));
    while let Some((_, output)) = engine.poll_output() {
        if let Output::Report(report) = output {
            let processing = report.phases.get(Phase::Processing);
            return (report.outcome, report.total, processing);
        }
    }
    panic!("the run is over")
}

#[test]
fn what_waits_for_others_of_the_host_is_not_its_targets_time() {
    let millis = Duration::from_millis;
    let (outcome, total, processing) = kept(100..600, Some(700));
    assert_eq!(outcome, Outcome::Success);
    assert_eq!((total, processing), (millis(210), Some(millis(200))));
    // It answers while its request waits.
    let (outcome, total, processing) = kept(100..1_000, Some(700));
    assert_eq!(outcome, Outcome::Success);
    assert_eq!((total, processing), (millis(110), Some(millis(100))));
}

#[test]
fn who_was_kept_waiting_by_the_host_is_not_too_slow() {
    let overload = Outcome::Unknown(Reason::Overload);
    let slow = Outcome::Failure(Reason::TimeoutProcessing);
    assert_eq!(kept(100..300, None).0, overload, "and it was told of it");
    assert_eq!(kept(800..1_000, None).0, overload, "it still waits");
    assert_eq!(kept(900..1_000, None).0, slow, "it hardly did");
    assert_eq!(kept(100..200, None).0, slow);
}
