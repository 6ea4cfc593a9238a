//! What is said over TCP, and when: slow peers, silent ones and those that say
//! something else.

use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Outcome, Phase, Reason};
use probity_simulator::checker::TICK;
use probity_simulator::spec::module;
use probity_simulator::{Behaviour, Certificate, Options, Record, Step, Tls, World};
use serde_json::json;

use crate::lab::{
    SERVER, TIMEOUT, address, assert_failure, assert_success, phase, probe, probe_in, probe_pieces,
    server,
};

/// Expects a greeting and asks to be let go.
fn greeting() -> Module {
    module(json!({"prober": "tcp", "tcp": {"query_response": [
        {"expect": "^220 (.*)$", "send": "QUIT\r", "labels": [{"name": "greeting", "value": "$1"}]},
    ]}}))
}

fn talk(steps: impl IntoIterator<Item = Step>) -> Behaviour {
    Behaviour::talk(steps)
}

fn greeted(steps: impl IntoIterator<Item = Step>) -> Record {
    probe_pieces(&greeting(), SERVER, &talk(steps))
}

#[test]
fn a_peer_may_take_its_time() {
    let byte = Duration::from_millis(20);
    let banner = "220-wait\r\n220 ready\r\n";
    let record = greeted([Step::Drip(banner.into(), byte)]);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    let spent = phase(&record, Phase::Transfer).expect("a transfer");
    assert!(spent >= byte * 18 && spent < byte * 22, "{spent:?}");
    let late = Duration::from_millis(1_500);
    let record = greeted([Step::Pause(late), Step::Send("220 late\r\n".into())]);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    let spent = phase(&record, Phase::Processing).expect("a wait");
    assert!(
        spent >= late && spent < late + Duration::from_millis(50),
        "{spent:?}"
    );
}

#[test]
fn a_peer_that_takes_too_long_is_told_from_one_that_says_nothing() {
    let silent = greeted([]);
    let words = r#"expected a line that matches "^220 (.*)$", heard no line"#;
    assert_failure(&silent, Reason::TimeoutProcessing, words);
    let late = silent
        .total
        .checked_sub(TIMEOUT)
        .expect("the whole timeout");
    assert!(late <= TICK, "{late:?}");
    let late = greeted([
        Step::Pause(TIMEOUT + TICK * 2),
        Step::Send("220 late\r\n".into()),
    ]);
    assert_failure(&late, Reason::TimeoutProcessing, words);
    let slow = greeted([Step::Drip(
        "220 ready when you are\r\n".into(),
        Duration::from_millis(200),
    )]);
    assert_failure(&slow, Reason::TimeoutTransfer, words);
    let unready = greeted([Step::Send("421 later\r\n".into())]);
    let words = r#"heard the line "421 later""#;
    assert_failure(&unready, Reason::TimeoutTransfer, words);
}

#[test]
fn a_peer_that_leaves_has_said_what_it_has_said() {
    let gone = greeted([Step::Close]);
    let words = "the peer closed the connection having sent no line";
    assert_failure(&gone, Reason::ExpectMismatch, words);
    let refused = greeted([Step::Send("554 go away\r\n".into()), Step::Close]);
    let words = r#"having sent the line "554 go away""#;
    assert_failure(&refused, Reason::ExpectMismatch, words);
    let unfinished = greeted([Step::Send("220 ready".into()), Step::Close]);
    assert_eq!(unfinished.outcome, Outcome::Success);
    let reset = greeted([Step::Reset]);
    assert_failure(&reset, Reason::PeerReset, "query_response[0]");
}

#[test]
fn a_peer_cannot_talk_for_ever() {
    let quick = Duration::from_micros(50);
    let line = "x".repeat(1_023);
    let endless = greeted([Step::Flood(line.clone().into(), quick)]);
    assert_failure(&endless, Reason::AnswerLimit, "longer than 65536 bytes");
    let chatty = greeted([Step::Flood(format!("{line}\n").into(), quick)]);
    assert_failure(&chatty, Reason::AnswerLimit, "there was none in more than");
    let garbage: &[u8] = &[0, 0xff, 0xfe, b'\r', 0x80];
    let binary = greeted([Step::Send(garbage.into()), Step::Close]);
    assert_failure(&binary, Reason::ExpectMismatch, r"\xff\xfe\r\x80");
}

/// TestTCPConnectionQueryResponseMatching, from the peer's side: it resets
/// whoever says anything but what was captured from its own banner.
#[test]
fn what_was_heard_is_said_again() {
    let module = module(json!({"prober": "tcp", "tcp": {"query_response": [
        {
            "expect": r"^hello from (\S+) (?P<build>\S+)$",
            "send": "you are ${1}, build ${build}",
            "labels": [{"name": "host", "value": "$1"}],
        },
        {"expect": "^so it is$"},
    ]}}));
    let server = talk([
        Step::Send("hello from".into()),
        Step::Pause(Duration::from_millis(30)),
        Step::Send(" b17 0.9-rc\r\n".into()),
        Step::Expect("you are b17, build 0.9-rc\n".into()),
        Step::Drip("so it is\n".into(), Duration::from_millis(3)),
    ]);
    assert_success(&probe_pieces(&module, SERVER, &server));
    let other = talk([
        Step::Send("hello from b17 1.0\n".into()),
        Step::Expect("you are b17, build 0.9-rc\n".into()),
    ]);
    let record = probe_pieces(&module, SERVER, &other);
    assert_failure(&record, Reason::PeerReset, "query_response[1]");
}

#[test]
fn a_peer_has_to_take_what_it_is_sent() {
    let says = |length: usize| {
        let text = "x".repeat(length);
        module(json!({"prober": "tcp", "tcp": {"query_response": [{"send": text}]}}))
    };
    let (short, long) = (says(1_000), says(100_000));
    assert_success(&probe_pieces(&long, SERVER, &talk([])));
    // What the kernel has room for it takes.
    let deaf = talk([Step::Hold]);
    assert_success(&probe_pieces(&short, SERVER, &deaf));
    let words = "query_response[0]: the peer did not take all that it sends";
    let record = probe_pieces(&long, SERVER, &deaf);
    assert_failure(&record, Reason::TimeoutProcessing, words);
}

/// A line may have 64 KiB with its end, as in Go's `bufio.Scanner`.
#[test]
fn a_line_has_a_longest_length() {
    let line = |length: usize| {
        let text = format!("220 {}\n", "x".repeat(length - 5));
        greeted([
            Step::Send(text.into()),
            Step::Expect("QUIT\r\n".into()),
            Step::Close,
        ])
    };
    let most = probity_engine::limits::MAX_LINE_BYTES;
    assert_success(&line(most - 1));
    let record = line(most + 1);
    assert_failure(&record, Reason::AnswerLimit, "longer than 65536 bytes");
}

fn smtp() -> Module {
    module(json!({"prober": "tcp", "tcp": {"query_response": [
        {"expect": "^220 ", "send": "EHLO probe\r"},
        {"expect": "^250.STARTTLS", "send": "STARTTLS\r"},
        {"expect": "^220 ", "starttls": true},
        {"send": "EHLO again\r"},
        {"expect": "^250.AUTH", "send": "QUIT\r"},
    ]}}))
}

/// A mail server that goes this way when it is asked to secure the connection.
fn mail(then: impl IntoIterator<Item = Step>) -> Behaviour {
    let begin = [
        Step::Send("220 mail.example ESMTP\r\n".into()),
        Step::Expect("EHLO probe\r\n".into()),
        Step::Send("250-mail.example\r\n250-SIZE\r\n250 STARTTLS\r\n".into()),
        Step::Expect("STARTTLS\r\n".into()),
    ];
    talk(begin.into_iter().chain(then))
}

fn secured(certificate: Certificate) -> [Step; 6] {
    [
        Step::Send("220 go ahead\r\n".into()),
        Step::Secure(Tls::Speaks(certificate)),
        Step::Expect("EHLO again\r\n".into()),
        Step::Send("250 AUTH PLAIN\r\n".into()),
        Step::Expect("QUIT\r\n".into()),
        Step::Close,
    ]
}

/// TestTCPConnectionQueryResponseStartTLS: what is said next is said inside.
#[test]
fn a_connection_is_secured_midway() {
    let record = probe_pieces(&smtp(), SERVER, &mail(secured(Certificate::Good)));
    assert_success(&record);
    assert!(phase(&record, Phase::Tls).is_some_and(|spent| spent > Duration::ZERO));
    for (certificate, reason) in [
        (Certificate::Expired, Reason::TlsCertificateExpired),
        (Certificate::SelfSigned, Reason::TlsUnknownIssuer),
        (Certificate::OtherName, Reason::TlsNameMismatch),
    ] {
        let record = probe_pieces(&smtp(), SERVER, &mail(secured(certificate)));
        assert_failure(&record, reason, "");
        assert_eq!(record.phase, Phase::Tls);
    }
}

#[test]
fn a_connection_that_cannot_be_secured_midway_fails() {
    let go = || Step::Send("220 go ahead\r\n".into());
    for (then, reason) in [
        (
            vec![Step::Send("454 not now\r\n".into()), Step::Close],
            Reason::ExpectMismatch,
        ),
        (vec![go(), Step::Secure(Tls::Silent)], Reason::TimeoutTls),
        (vec![go(), Step::Secure(Tls::Alert)], Reason::TlsAlert),
        (vec![go(), Step::Secure(Tls::Resets)], Reason::TlsHandshake),
        (vec![go()], Reason::TlsNotTls),
        (vec![go(), Step::Close], Reason::TlsHandshake),
    ] {
        let record = probe_pieces(&smtp(), SERVER, &mail(then));
        assert_failure(&record, reason, "");
    }
    let starttls = module(json!({"prober": "tcp", "tcp": {"query_response": [
        {"expect": "^220 ", "starttls": true},
    ]}}));
    let plain = probe_pieces(&starttls, SERVER, &talk([Step::Send("220 go\r\n".into())]));
    assert_failure(&plain, Reason::TlsNotTls, "");
    assert_eq!(plain.phase, Phase::Tls);
}

#[test]
fn there_is_one_attempt_at_one_address() {
    let hosts = "192.0.2.1 both.example\n2001:db8::1 both.example\n";
    for (section, expected) in [
        (json!({}), "[2001:db8::1]:80"),
        (json!({"preferred_ip_protocol": "ip4"}), SERVER),
        (
            json!({"preferred_ip_protocol": "ip6", "ip_protocol_fallback": false}),
            "[2001:db8::1]:80",
        ),
    ] {
        let mut options = Options::quiet(1);
        options.engine.resolver = probity_engine::resolve::ResolverConfig::default().hosts(hosts);
        let mut world = World::new(options);
        let module = module(json!({"prober": "tcp", "tcp": section}));
        let refused = probe_in(&mut world, &module, "both.example:80");
        assert_failure(&refused, Reason::ConnectUnreachable, "both.example");
        assert_eq!(refused.address, Some(address(expected)));
    }
    let accepted = probe(&crate::lab::tcp(), SERVER, talk([Step::Close]));
    assert_eq!(accepted.outcome, Outcome::Success);
    assert_eq!(accepted.address, Some(server()));
}
