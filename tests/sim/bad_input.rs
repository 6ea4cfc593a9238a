//! Every peer that means harm or knows no better, with the verdict on it.

use std::time::Duration;

use probity_engine::{Outcome, Phase, Reason};
use probity_simulator::http::{self, Site, redirect, response};
use probity_simulator::{
    Behaviour, Certificate, Faults, Options, Payload, Rng, Script, Step, Tls, World,
};
use serde_json::json;

use crate::lab::{
    SERVER, TIMEOUT, address, assert_failure, assert_unknown, http, http_with, probe, probe_in,
    probe_pieces, server, tcp, tls,
};

const URL: &str = "http://192.0.2.1:80/";
const HTTPS: &str = "https://192.0.2.1:80/";

fn good() -> Tls {
    Tls::Speaks(Certificate::Good)
}

#[test]
fn a_good_server_is_a_success_with_every_phase() {
    let record = probe(&http(), HTTPS, http::ok().secured(good()));
    assert_eq!(record.outcome, Outcome::Success);
    assert_eq!(record.detail, "");
    let phases: Vec<Phase> = record.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, Phase::ALL);
    let sum: Duration = record.phases.iter().map(|(_, spent)| *spent).sum();
    assert_eq!(sum, record.total, "the phases are the whole run");
    assert!(record.steps > 0, "the run was traced");
}

#[test]
fn a_dead_port_is_refused() {
    for module in [tcp(), tls()] {
        let record = probe(&module, SERVER, Behaviour::Refuse);
        assert_failure(&record, Reason::ConnectRefused, "connection refused");
        assert_eq!(record.phase, Phase::Connect);
    }
    let record = probe(&http(), URL, Behaviour::Refuse);
    assert_failure(&record, Reason::ConnectRefused, SERVER);
}

#[test]
fn no_route_is_unreachable() {
    let record = probe(&http(), URL, Behaviour::Unreachable);
    assert_failure(&record, Reason::ConnectUnreachable, "no route");
}

#[test]
fn a_black_hole_is_a_connect_timeout_at_the_deadline() {
    for module in [tcp(), tls()] {
        let record = probe(&module, SERVER, Behaviour::Blackhole);
        assert_failure(
            &record,
            Reason::ConnectTimeout,
            "connecting to 192.0.2.1:80",
        );
        assert!(record.total >= TIMEOUT && record.total < TIMEOUT + Duration::from_millis(2));
    }
}

#[test]
fn a_silent_server_is_a_timeout_while_it_processes() {
    let record = probe(&http(), URL, Behaviour::silent());
    assert_failure(&record, Reason::TimeoutProcessing, "waiting for an answer");
    let record = probe(&tcp(), SERVER, Behaviour::silent());
    assert_eq!(
        record.outcome,
        Outcome::Success,
        "a port that accepts is enough"
    );
}

#[test]
fn one_byte_at_a_time_is_a_success_if_it_ends_in_time() {
    let quick = http::dripping(Duration::from_millis(2));
    assert_eq!(probe_pieces(&http(), URL, &quick).outcome, Outcome::Success);
    let slow = http::dripping(Duration::from_millis(500));
    let record = probe(&http(), URL, slow);
    assert_failure(&record, Reason::TimeoutTransfer, "timed out after 2.0s");
    assert!(record.total < TIMEOUT + Duration::from_millis(2));
}

#[test]
fn headers_without_end_are_cut_off_at_the_cap() {
    let record = probe_pieces(&http(), URL, &http::endless_headers());
    assert_failure(&record, Reason::HttpHeaderLimit, "");
    let line = Step::Flood("x".repeat(100).into(), Duration::from_micros(10));
    let one_line = Site::new(Script::new([
        Step::Send("HTTP/1.1 200 OK\r\nX: ".into()),
        line,
    ]));
    let record = probe(&http(), URL, one_line.serve());
    assert_failure(&record, Reason::HttpHeaderLimit, "");
    assert!(record.total < TIMEOUT, "not only the deadline ends it");
}

#[test]
fn too_many_interim_responses_end_some_day() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(8);
    let flood = Step::Flood(interim.into(), Duration::from_millis(1));
    let record = probe(&http(), URL, Site::new(Script::new([flood])).serve());
    assert!(matches!(record.outcome, Outcome::Failure(_)), "{record:?}");
    assert!(record.total < TIMEOUT + Duration::from_millis(2));
}

#[test]
fn a_body_without_end_is_cut_off_by_its_limit_or_the_deadline() {
    let flood = http::endless_body(16 * 1024, Duration::from_millis(1));
    let record = probe(&http(), URL, flood.clone());
    assert_failure(&record, Reason::TimeoutTransfer, "reading the answer");
    let limited = http_with(json!({"body_size_limit": "1MB"}));
    let record = probe(&limited, URL, flood.clone());
    assert_failure(&record, Reason::BodyLimit, "larger than");
    assert!(record.total < TIMEOUT);
    // Matching holds a body in memory: there is a limit without asking.
    let matching = http_with(json!({"fail_if_body_not_matches_regexp": ["never"]}));
    let flood = http::endless_body(1024 * 1024, Duration::from_millis(1));
    let record = probe(&matching, URL, flood);
    assert_unknown(&record, Reason::LocalBound, "16777216 bytes");
    assert!(record.total < TIMEOUT, "the cap ends it, not the deadline");
}

#[test]
fn chunked_nonsense_is_malformed() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "zz\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "ffffffffffffffffffff\r\n",
        "\r\n\r\n",
    ] {
        let server = http::answering(format!("{head}{body}"));
        let record = probe_pieces(&http(), URL, &server);
        let outcome = record.outcome;
        let expected = Outcome::Failure(Reason::HttpMalformed);
        assert_eq!(outcome, expected, "{body:?}: {}", record.detail);
    }
    let endless_line = format!("{head}5;{}", "x".repeat(8 * 1024));
    let record = probe_pieces(&http(), URL, &http::answering(endless_line));
    assert_failure(&record, Reason::HttpMalformed, "");
}

#[test]
fn good_chunks_are_read_to_the_end() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    let matching = http_with(json!({"fail_if_body_not_matches_regexp": ["^hello world$"]}));
    let record = probe_pieces(&matching, URL, &http::answering(text));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn lengths_that_lie_are_truncated_or_malformed() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
    let record = probe_pieces(&http(), URL, &http::closing(short));
    assert_failure(&record, Reason::BodyTruncated, "");
    let record = probe(&http(), URL, http::answering(short));
    assert_failure(&record, Reason::TimeoutTransfer, "");
    // Two lengths that differ are how responses are smuggled (RFC 9112 6.3).
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 5x",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello");
        let record = probe_pieces(&http(), URL, &http::answering(text));
        assert_failure(&record, Reason::HttpMalformed, "");
    }
}

#[test]
fn what_follows_the_answer_is_not_looked_at() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Injected\r\n\r\n";
    let record = probe_pieces(&http(), URL, &http::answering(text));
    assert_eq!(record.outcome, Outcome::Success);
}

#[test]
fn injected_headers_are_malformed_or_harmless() {
    for head in [
        "HTTP/1.1 200 OK\r\nX: a\rInjected: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/9.99 200 OK\r\n\r\n",
    ] {
        let record = probe_pieces(&http(), URL, &http::closing(head));
        assert_failure(&record, Reason::HttpMalformed, "");
    }
    // A name that is none is passed over, as by Go.
    let spaced = "HTTP/1.1 200 OK\r\nName with space: x\r\n\r\n";
    let record = probe_pieces(&http(), URL, &http::closing(spaced));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    // A peer cannot add a line to what we show.
    let status = "HTTP/1.1 503 Bad\x1b[31m\r\n\r\n";
    let record = probe(&http(), URL, http::closing(status));
    assert!(matches!(record.outcome, Outcome::Failure(_)));
    assert!(
        !record.detail.contains(['\n', '\r', '\x1b']),
        "{:?}",
        record.detail
    );
}

#[test]
fn a_location_cannot_inject_into_the_next_request() {
    let evil = "HTTP/1.1 302 Found\r\nLocation: /a\tb c\r\nContent-Length: 0\r\n\r\n";
    let there = Script::new([Step::Send(response("200 OK", &[], ""))]);
    let site = Site::new(Script::new([Step::Send(evil.into())])).path("/a%09b%20c", there);
    let record = probe(&http(), URL, site.serve());
    // Either it is refused, or what went out was one well-formed line.
    assert!(
        matches!(
            record.outcome,
            Outcome::Success
                | Outcome::Failure(Reason::HttpRedirectInvalid | Reason::HttpMalformed)
        ),
        "{record:?}"
    );
}

#[test]
fn binary_garbage_is_not_http() {
    let mut rng = Rng::new(7);
    for _ in 0..50 {
        let length = rng.between(1, 3_000) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| rng.u64() as u8).collect();
        let record = probe(&http(), URL, http::closing(bytes));
        let expected = matches!(
            record.outcome,
            Outcome::Failure(Reason::HttpMalformed | Reason::PeerClosed)
        );
        assert!(expected, "{record:?}");
    }
    let ssh = Behaviour::Talk(Script::new([Step::Send("SSH-2.0-OpenSSH_9.6\r\n".into())]));
    assert_failure(&probe(&http(), URL, ssh), Reason::HttpMalformed, "");
}

#[test]
fn a_mutated_answer_never_breaks_a_rule() {
    let mut rng = Rng::new(11);
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n\
                 5\r\nhello\r\n0\r\n\r\n";
    for _ in 0..300 {
        let mut bytes = text.to_vec();
        for _ in 0..rng.between(1, 4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.u64() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        // The verdict may be anything; the checkers of the world decide.
        probe(&http(), URL, http::closing(Payload::from(bytes)));
    }
}

#[test]
fn tls_to_a_plain_port_is_not_tls() {
    for (module, target) in [(tls(), SERVER), (http(), HTTPS)] {
        let record = probe(&module, target, http::ok());
        assert_failure(&record, Reason::TlsNotTls, "");
        assert_eq!(record.phase, Phase::Tls);
    }
    let record = probe(&tls(), SERVER, Behaviour::silent());
    assert_failure(&record, Reason::TimeoutTls, "in the TLS handshake");
}

#[test]
fn plain_http_to_a_tls_port_is_malformed() {
    let record = probe(&http(), URL, http::ok().secured(good()));
    assert_failure(&record, Reason::HttpMalformed, "");
}

#[test]
fn bad_certificates_have_their_own_reasons() {
    for (certificate, reason, words) in [
        (
            Certificate::Expired,
            Reason::TlsCertificateExpired,
            "expired on",
        ),
        (
            Certificate::SelfSigned,
            Reason::TlsUnknownIssuer,
            "signed by itself",
        ),
        (
            Certificate::OtherName,
            Reason::TlsNameMismatch,
            "other.example",
        ),
    ] {
        let server = http::ok().secured(Tls::Speaks(certificate));
        let record = probe(&http(), HTTPS, server.clone());
        assert_failure(&record, reason, words);
        let record = probe(&tls(), SERVER, server.clone());
        assert_failure(&record, reason, words);
        let careless = http_with(json!({"tls_config": {"insecure_skip_verify": true}}));
        let record = probe(&careless, HTTPS, server);
        assert_eq!(record.outcome, Outcome::Success);
    }
}

#[test]
fn handshakes_can_end_in_other_ways() {
    let secured = |tls| http::ok().secured(tls);
    let record = probe(&http(), HTTPS, secured(Tls::Alert));
    assert_failure(&record, Reason::TlsAlert, "handshake_failure");
    let record = probe(&http(), HTTPS, secured(Tls::Resets));
    assert_failure(&record, Reason::TlsHandshake, "reset by the peer");
    let record = probe(&http(), HTTPS, secured(Tls::Silent));
    assert_failure(&record, Reason::TimeoutTls, "");
}

#[test]
fn redirects_are_followed_to_their_end() {
    let there = Script::new([Step::Send(response("200 OK", &[], ""))]);
    let site = Site::new(redirect("/a"))
        .path("/a", redirect("b?c=d"))
        .path("/b?c=d", redirect("http://192.0.2.2:8080/far"));
    let mut world = World::new(Options::quiet(1));
    world.serve(server(), site.serve());
    let far = Site::new(redirect("/nowhere")).path("/far", there);
    world.serve(address("192.0.2.2:8080"), far.serve());
    let record = probe_in(&mut world, &http(), URL);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    assert_eq!(record.address, Some(address("192.0.2.2:8080")));
}

#[test]
fn redirect_loops_end_at_the_limit() {
    let round = Site::new(redirect("/b")).path("/b", redirect("/a")).serve();
    let record = probe(&http(), URL, round);
    assert_failure(&record, Reason::HttpRedirectLimit, "redirect");
    let once = http_with(json!({"follow_redirects": false}));
    let record = probe(&once, URL, Site::new(redirect("/b")).serve());
    assert_failure(&record, Reason::HttpStatus, "302");
}

#[test]
fn redirects_to_garbage_are_invalid_and_to_the_dead_are_refused() {
    for location in [
        "ftp://a.example/",
        "javascript:alert(1)",
        "http://",
        "http://[::1",
    ] {
        let record = probe(&http(), URL, Site::new(redirect(location)).serve());
        assert_failure(&record, Reason::HttpRedirectInvalid, "");
    }
    let mut world = World::new(Options::quiet(1));
    world.serve(
        server(),
        Site::new(redirect("http://192.0.2.9:81/")).serve(),
    );
    world.serve(address("192.0.2.9:81"), Behaviour::Refuse);
    let record = probe_in(&mut world, &http(), URL);
    assert_failure(&record, Reason::ConnectRefused, "192.0.2.9:81");
}

#[test]
fn a_wrong_status_says_which() {
    let record = probe(&http(), URL, http::status("503 Service Unavailable"));
    assert_failure(&record, Reason::HttpStatus, "503");
    let teapot = http_with(json!({"valid_status_codes": [418]}));
    let record = probe(&teapot, URL, http::status("418 I'm a teapot"));
    assert_eq!(record.outcome, Outcome::Success);
}

#[test]
fn servers_that_leave_are_closed_or_reset() {
    let after = |steps: &[Step]| Site::new(Script::new(steps.iter().cloned())).serve();
    let record = probe(&http(), URL, after(&[Step::Close]));
    assert_failure(&record, Reason::PeerClosed, "");
    let record = probe(&http(), URL, after(&[Step::Reset]));
    assert_failure(&record, Reason::PeerReset, "");
    let half = Step::Send("HTTP/1.1 200 OK\r\nContent-Le".into());
    let record = probe(&http(), URL, after(&[half, Step::Close]));
    assert!(
        matches!(
            record.outcome,
            Outcome::Failure(Reason::PeerClosed | Reason::HttpMalformed)
        ),
        "{record:?}"
    );
    let body = Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into());
    let record = probe(&http(), URL, after(&[body, Step::Reset]));
    assert_failure(&record, Reason::PeerReset, "");
    let record = probe(&tcp(), SERVER, Behaviour::Talk(Script::new([Step::Reset])));
    assert_eq!(record.outcome, Outcome::Success, "the connection was made");
}

#[test]
fn interim_responses_are_skipped() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let record = probe_pieces(&http(), URL, &http::answering(text));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn what_we_cannot_do_is_unknown_and_never_a_failure() {
    let faults = Faults {
        local: 1_000_000,
        ..Faults::default()
    };
    for seed in 0..20 {
        let mut world = World::new(Options {
            faults,
            ..Options::quiet(seed)
        });
        world.serve(server(), http::ok());
        let record = probe_in(&mut world, &http(), URL);
        assert!(matches!(record.outcome, Outcome::Unknown(_)), "{record:?}");
    }
}
