//! The whole check, driven through an engine against scripted peers.

mod addresses;
mod carried;
mod coded;
mod framed;
mod heavy;
mod oauth2;
mod proxy;
mod redirects;
mod repeated;
mod signing;
mod upload;
mod world;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use self::world::{Peer, answers, closes, failure, ok, redirects, run, run_with};
use super::*;
use crate::check::ModuleConfig;
use crate::config::{NoFiles, Pattern, Secret};
use crate::io::Closed;
use crate::outcome::Outcome;

#[test]
fn a_run_is_small() {
    assert!(size_of::<Http>() <= 128, "{}", size_of::<Http>());
}

#[test]
fn a_plain_get_succeeds_and_says_what_it_saw() {
    let seen = run(
        "http://192.0.2.7:8080/x",
        &[answers(
            "HTTP/1.1 204 No Content\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        )],
    );
    seen.succeeded();
    assert!(seen.requests[0].starts_with("GET /x HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n"));
    assert_eq!(seen.addresses, ["192.0.2.7:8080".parse().unwrap()]);
    let expected = [
        ("dns_lookup_time_seconds", 0.0),
        ("failed_due_to_regex", 0.0),
        ("http_content_length", 0.0),
        ("http_duration_secondsconnect", 0.001),
        ("http_duration_secondsprocessing", 0.002),
        ("http_duration_secondsresolve", 0.0),
        ("http_duration_secondstls", 0.0),
        ("http_duration_secondstransfer", 0.0),
        ("http_last_modified_timestamp_seconds", 784_111_777.0),
        ("http_redirects", 0.0),
        ("http_ssl", 0.0),
        ("http_status_code", 204.0),
        ("http_uncompressed_body_length", 0.0),
        ("http_version", 1.1),
        ("ip_addr_hash", f64::from(1936431214_u32)),
        ("ip_protocol", 4.0),
    ];
    let facts: Vec<(&str, f64)> = seen
        .facts
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert_eq!(facts, expected);
}

#[test]
fn the_facts_are_named_as_in_blackbox_exporter_and_stand_together() {
    let mut names: Vec<&str> = Http::FACTS.iter().map(|fact| fact.name).collect();
    names.dedup();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(names.len(), unique.len());
}

#[test]
fn the_three_ways_to_end_a_body() {
    for (peer, content, length) in [
        (ok("hello"), 5.0, 5.0),
        (
            answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            -1.0,
            3.0,
        ),
        (
            closes("HTTP/1.0 200 OK\r\n\r\nhello!", Closed::End),
            -1.0,
            6.0,
        ),
        (ok(""), 0.0, 0.0),
        (
            answers(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx and more",
            ),
            1.0,
            1.0,
        ),
    ] {
        let seen = run("192.0.2.7", &[peer]);
        seen.succeeded();
        assert_eq!(seen.fact("http_content_length"), Some(content));
        assert_eq!(seen.fact("http_uncompressed_body_length"), Some(length));
        assert_eq!(seen.phases.last(), Some(&Phase::Transfer));
    }
}

#[test]
fn head_has_no_body_however_long_it_claims_to_be() {
    let peer = answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let seen = run_with("192.0.2.7", &[peer], |config| config.method = "HEAD".into());
    seen.succeeded();
    assert_eq!(seen.fact("http_content_length"), Some(5.0));
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(0.0));
}

#[test]
fn a_bad_status_is_reported_after_the_body() {
    let body = "sorry";
    let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n";
    let seen = run("192.0.2.7", &[answers(&format!("{head}{body}"))]);
    seen.failed(Reason::HttpStatus, "status 503, expected 2xx");
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(5.0));
    assert_eq!(seen.fact("failed_due_to_regex"), Some(0.0));
    let cut = run("192.0.2.7", &[closes(head, Closed::End)]);
    cut.failed(Reason::HttpStatus, "status 503, expected 2xx");
}

#[test]
fn a_body_is_not_matched_once_something_is_wrong() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n";
    for peer in [answers(&format!("{head}hello")), closes(head, Closed::End)] {
        let seen = run_with("192.0.2.7", &[peer], |config| {
            config.fail_if_body_matches_regexp = pattern("hello");
        });
        seen.failed(Reason::HttpStatus, "status 404, expected 2xx");
        assert_eq!(seen.fact("failed_due_to_regex"), Some(0.0));
    }
}

#[test]
fn peers_that_do_not_answer() {
    for (peer, reason, detail) in [
        (
            closes("", Closed::End),
            Reason::PeerClosed,
            "closed by the peer before it answered",
        ),
        (
            closes("", Closed::Reset),
            Reason::PeerReset,
            "reset by the peer before it answered",
        ),
        (
            closes("HTTP/1.1 2", Closed::End),
            Reason::PeerClosed,
            "closed by the peer in the middle of the response head",
        ),
        (
            closes("HTTP/1.1 100 Continue\r\n\r\n", Closed::End),
            Reason::PeerClosed,
            "closed by the peer before it answered",
        ),
        (
            closes("", Closed::TimedOut),
            Reason::TimeoutProcessing,
            "the system gave up waiting before it answered",
        ),
        (
            closes("", failure(Reason::TlsAlert)),
            Reason::TlsAlert,
            "bad record before it answered",
        ),
        (
            answers("SSH-2.0-OpenSSH_9.2p1\r\n"),
            Reason::HttpMalformed,
            r#"expected an HTTP response, found "SSH-2.0-OpenSSH_9.2p1\r\n""#,
        ),
        (
            answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            Reason::HttpMalformed,
            "Content-Length is not one number",
        ),
    ] {
        let seen = run("192.0.2.7", &[peer]);
        seen.failed(reason, detail);
        assert_eq!(seen.fact("http_status_code"), Some(0.0));
    }
}

#[test]
fn a_silent_peer_runs_into_the_deadline_of_its_phase() {
    let silent = run("192.0.2.7", &[Peer::default()]);
    assert_eq!(silent.outcome, Outcome::Failure(Reason::TimeoutProcessing));
    let slow = run(
        "192.0.2.7",
        &[answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")],
    );
    assert_eq!(slow.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert_eq!(slow.fact("http_status_code"), Some(200.0));
    assert_eq!(slow.fact("http_uncompressed_body_length"), Some(2.0));
    assert_eq!(slow.fact("failed_due_to_regex"), Some(0.0));
    let transfer = |seen: &world::Seen| seen.fact("http_duration_secondstransfer").unwrap();
    assert!(transfer(&slow) > 0.5, "{}", transfer(&slow));
    assert!(!slow.phases.contains(&Phase::Transfer));
    // What is no answer yet has no transfer.
    let beginning = run("192.0.2.7", &[answers("HTTP/1.1 200 OK\r\nContent-")]);
    assert_eq!(beginning.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert_eq!(transfer(&beginning), 0.0);
    let unread = run_with(
        "192.0.2.7",
        &[answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")],
        |config| config.fail_if_body_matches_regexp = pattern("x"),
    );
    assert_eq!(unread.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert_eq!(unread.fact("failed_due_to_regex"), Some(1.0));
}

#[test]
fn a_body_that_breaks_off_keeps_what_is_known() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe";
    let until_close = "HTTP/1.1 200 OK\r\n\r\nhe";
    for (text, why, reason, detail) in [
        (
            length,
            Closed::End,
            Reason::BodyTruncated,
            "closed by the peer before the end of the body",
        ),
        (
            chunked,
            Closed::End,
            Reason::BodyTruncated,
            "closed by the peer before the end of the body",
        ),
        (
            length,
            Closed::Reset,
            Reason::PeerReset,
            "reset by the peer before the end of the body",
        ),
        (
            until_close,
            Closed::Reset,
            Reason::PeerReset,
            "reset by the peer before the end of the body",
        ),
        (
            until_close,
            failure(Reason::TlsHandshake),
            Reason::TlsHandshake,
            "bad record before the end of the body",
        ),
    ] {
        let seen = run("192.0.2.7", &[closes(text, why)]);
        seen.failed(reason, detail);
        assert_eq!(seen.fact("http_status_code"), Some(200.0));
        assert_eq!(seen.fact("http_uncompressed_body_length"), Some(2.0));
        assert!(!seen.phases.contains(&Phase::Transfer));
    }
    let nonsense = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello";
    run("192.0.2.7", &[answers(nonsense)]).failed(
        Reason::HttpMalformed,
        "expected the size of a chunk, found \"h\"",
    );
}

/// TestMaxResponseLength of blackbox_exporter.
#[test]
fn a_body_may_be_as_large_as_the_limit() {
    for (length, framed) in [(127, true), (128, true), (129, true), (129, false)] {
        let body = "A".repeat(length);
        let peer = match framed {
            true => ok(&body),
            false => answers(&format!("HTTP/1.1 200 OK\r\n\r\n{body}")),
        };
        let seen = run_with("192.0.2.7", &[peer], |config| {
            config.body_size_limit = ByteSize::parse("128B").unwrap();
        });
        if length <= 128 {
            seen.succeeded();
        } else {
            seen.failed(Reason::BodyLimit, "the body is larger than 128 bytes");
            let announced = if framed { 129.0 } else { -1.0 };
            assert_eq!(seen.fact("http_content_length"), Some(announced));
        }
        let read = seen.fact("http_uncompressed_body_length").unwrap();
        assert_eq!(read, length.min(128) as f64);
    }
}

fn pattern(text: &str) -> Vec<Pattern> {
    vec![Pattern::new(text).unwrap()]
}

#[test]
fn a_body_is_matched_across_its_pieces() {
    let peer = Peer {
        sends: [
            "HTTP/1.1 200 OK\r\nTransfer-Enc",
            "oding: chunked\r\n\r\n2\r\nal",
            "\r\n6\r\nl is w\r\n3\r\nell\r\n0\r\n\r\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        ..Peer::default()
    };
    let seen = run_with("192.0.2.7", core::slice::from_ref(&peer), |config| {
        config.fail_if_body_not_matches_regexp = pattern("^all is well$");
    });
    seen.succeeded();
    let seen = run_with("192.0.2.7", &[peer], |config| {
        config.fail_if_body_matches_regexp = pattern("is w");
    });
    seen.failed(Reason::BodyMismatch, "body matches \"is w\"");
    assert_eq!(seen.fact("failed_due_to_regex"), Some(1.0));
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(11.0));
}

#[test]
fn the_order_of_judgement_is_status_header_body_version_tls() {
    let all = |config: &mut Config| {
        config.fail_if_header_not_matches = vec![HeaderMatch {
            header: "X".into(),
            regexp: Some(Pattern::new("1").unwrap()),
            allow_missing: false,
        }];
        config.fail_if_body_not_matches_regexp = pattern("1");
        config.valid_http_versions = vec!["HTTP/1.1".into()];
        config.fail_if_not_ssl = true;
    };
    for (peer, reason, regex) in [
        ("HTTP/1.0 500\r\n\r\n", Reason::HttpStatus, 0.0),
        ("HTTP/1.0 200\r\n\r\n", Reason::HeaderMismatch, 1.0),
        ("HTTP/1.0 200\r\nX: 1\r\n\r\n", Reason::BodyMismatch, 1.0),
        ("HTTP/1.0 200\r\nX: 1\r\n\r\n1", Reason::HttpVersion, 0.0),
        ("HTTP/1.1 200\r\nX: 1\r\n\r\n1", Reason::HttpSsl, 0.0),
    ] {
        let seen = run_with("192.0.2.7", &[closes(peer, Closed::End)], all);
        assert_eq!(seen.outcome, Outcome::Failure(reason), "{seen:?}");
        assert_eq!(seen.fact("failed_due_to_regex"), Some(regex));
    }
}

/// TestFailIfNotSSLLogMsg: who has not answered is not asked for TLS.
#[test]
fn only_an_answer_can_lack_tls() {
    let run = |peer: Peer| {
        run_with("192.0.2.7", &[peer], |config| {
            config.fail_if_not_ssl = true;
        })
    };
    run(ok("")).failed(
        Reason::HttpSsl,
        "the final response came over plain HTTP, expected TLS",
    );
    run(closes("", Closed::End))
        .failed(Reason::PeerClosed, "closed by the peer before it answered");
}

#[test]
fn https_is_secured_with_the_name_that_was_configured() {
    let seen = run("https://192.0.2.7/", &[ok("")]);
    seen.succeeded();
    assert_eq!((seen.addresses[0].port(), seen.secured), (443, true));
    assert_eq!(seen.fact("http_ssl"), Some(1.0));
    assert_eq!(seen.names, ["192.0.2.7"]);
    let host = run_with("https://192.0.2.7/", &[ok("")], |config| {
        config
            .headers
            .insert("Host".into(), "vhost.example:8443".into());
    });
    assert_eq!(host.names, ["vhost.example"]);
    assert!(host.requests[0].contains("\r\nHost: vhost.example:8443\r\n"));
    let name = run_with("https://192.0.2.7/", &[ok("")], |config| {
        config.headers.insert("Host".into(), "vhost.example".into());
        config.tls_config.server_name = "tls.example".into();
    });
    assert_eq!(name.names, ["tls.example"]);
    let refused = run(
        "https://192.0.2.7/",
        &[Peer {
            tls_failure: Some(Reason::TlsNotTls),
            ..Peer::default()
        }],
    );
    refused.failed(Reason::TlsNotTls, "bad record");
}

#[test]
fn tls_facts_are_those_of_the_final_response() {
    let down = run(
        "https://192.0.2.7/",
        &[redirects(302, "http://192.0.2.8/"), ok("")],
    );
    down.succeeded();
    assert!(!down.secured);
    assert_eq!(down.fact("http_ssl"), Some(0.0));
    let up = run(
        "http://192.0.2.7/",
        &[redirects(302, "https://192.0.2.8/"), ok("")],
    );
    up.succeeded();
    assert!(up.secured);
    assert_eq!(up.fact("http_ssl"), Some(1.0));
}

#[test]
fn a_handshake_is_remembered_if_its_connection_fails_later() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
    let peers = [closes(cut, failure(Reason::TlsAlert))];
    let seen = run("https://192.0.2.7/", &peers);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TlsAlert));
    assert!(seen.secured, "its certificate still has a date");
}

#[test]
fn a_target_is_refused_before_it_is_probed() {
    let module = ModuleConfig {
        prober: "http".into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    let error = module
        .target("ftp://a", TargetParams::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected an http or https URL, found \"ftp://a\": the scheme ftp is not http or https"
    );
    let params = TargetParams {
        hostname: Some("a\r\nb"),
        ..TargetParams::default()
    };
    assert!(matches!(
        module.target("a", params),
        Err(TargetError::Params(_))
    ));
    assert!(
        module.attempt("http://[::1", params).is_err(),
        "a mistake of who asks comes before the target's"
    );
}

/// What `/probe` does with a target that is none (TestHTTPParsingScheme and
/// the first row of what a failed probe returns).
#[test]
fn a_malformed_target_fails_with_the_series_of_every_run() {
    for (target, looked_up) in [
        ("invalid://a", Some("invalid")),
        ("http://a:99999", Some("a")),
        ("http://a b", None),
        ("http://[::1", None),
    ] {
        let seen = run(target, &[ok("")]);
        let names: Vec<&str> = seen.looked_up.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, looked_up.as_slice(), "{target}");
        assert_eq!(seen.outcome, Outcome::Failure(Reason::TargetInvalid));
        assert!(
            seen.detail
                .starts_with("expected an http or https URL, found")
        );
        assert!(seen.addresses.is_empty());
        let mut names: Vec<&str> = seen.facts.keys().map(|name| &**name).collect();
        if looked_up.is_some() {
            assert_eq!(seen.fact("ip_protocol"), Some(4.0));
            assert_eq!(seen.fact("http_duration_secondsconnect"), Some(0.0));
            names.retain(|name| !name.starts_with("ip_") && !name.contains("_seconds"));
        }
        let always = [
            "failed_due_to_regex",
            "http_content_length",
            "http_redirects",
            "http_ssl",
            "http_status_code",
            "http_uncompressed_body_length",
            "http_version",
        ];
        assert_eq!(names, always, "{target}");
    }
    for target in ["http://a", "HTTP://a", "HtTp://a", "a"] {
        run(target, &[ok("")]).succeeded();
    }
}

#[test]
fn what_is_shown_of_a_target_holds_no_secret() {
    let module = ModuleConfig {
        prober: "http".into(),
        http: Some(Config {
            bearer_token: Secret::new("t0ken"),
            headers: [("Cookie".into(), "s3ssion".into())].into(),
            body: "b0dy".into(),
            ..Config::default()
        }),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    let target = module
        .target("http://u:p4ss@a/", TargetParams::default())
        .unwrap();
    let shown = format!("{target:?} {module:?}");
    for secret in ["t0ken", "s3ssion", "b0dy", "p4ss", "dTpw"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// What a person or a metric would notice of a run.
fn verdict(sends: Vec<Vec<u8>>) -> (Outcome, Vec<(String, f64)>) {
    let peer = Peer {
        sends,
        closes: Some(Closed::End),
        tls_failure: None,
        ..Peer::default()
    };
    let seen = run_with("192.0.2.7", &[peer, ok("")], |config| {
        config.fail_if_body_matches_regexp = pattern("cab");
    });
    assert!(seen.open.is_empty());
    let facts = seen.facts.into_iter();
    // How long it took does depend on the pieces.
    let facts = facts.filter(|(name, _)| !name.contains("seconds"));
    (seen.outcome, facts.collect())
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_bytes_arrive(
        interim in "(HTTP/1.1 103 Hints\r\nA: b\r\n\r\n)?",
        status in prop_oneof![Just(200), Just(204), Just(302), Just(404)],
        framing in "(Content-Length: [0-9]\r\n|Transfer-Encoding: chunked\r\n|Location: /x\r\n){0,2}",
        body in "(2\r\nab\r\n|cab|[0-3]\r\n|0\r\n\r\n){0,4}",
        cuts in proptest::collection::vec(0..120_usize, 0..8),
    ) {
        let bytes = format!("{interim}HTTP/1.1 {status} X\r\n{framing}\r\n{body}").into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut rest = &bytes[..];
        let mut pieces = Vec::new();
        for (index, cut) in cuts.iter().enumerate() {
            let from = index.checked_sub(1).map_or(0, |before| cuts[before]);
            let (piece, after) = rest.split_at(cut - from);
            pieces.push(piece.to_vec());
            rest = after;
        }
        pieces.push(rest.to_vec());
        prop_assert_eq!(verdict(pieces), verdict(vec![bytes]));
    }

    #[test]
    fn no_bytes_of_a_peer_make_it_panic(pieces: Vec<Vec<u8>>, head: bool) {
        let begin = if head { &b"HTTP/1.1 200 OK\r\n"[..] } else { b"" };
        let mut sends = vec![begin.to_vec()];
        sends.extend(pieces);
        verdict(sends);
    }
}
