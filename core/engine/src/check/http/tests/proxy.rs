//! Runs through proxies.

use super::world::{Peer, Seen, answers, closes, ok, redirects, run_among, run_with};
use super::*;
use crate::config::ProxyUrl;

const PROXY: &str = "http://u:p@198.51.100.1:3128";

fn turns(turns: impl IntoIterator<Item = Peer>) -> Peer {
    Peer {
        turns: turns.into_iter().collect(),
        ..Peer::default()
    }
}

/// A proxy that connects, and what is behind it.
fn tunnel(behind: Peer) -> Peer {
    turns([answers("HTTP/1.1 200 Connected\r\n\r\n"), behind])
}

fn run_through(proxy: &str, target: &str, peers: &[Peer]) -> Seen {
    run_with(target, peers, |config| {
        config.proxy_url = ProxyUrl::parse(proxy).unwrap();
    })
}

fn run_by_name(proxy: &str, target: &str, peers: &[Peer]) -> Seen {
    run_with(target, peers, |config| {
        config.proxy_url = ProxyUrl::parse(proxy).unwrap();
        config.skip_resolve_phase_with_proxy = true;
    })
}

fn first_line(seen: &Seen, number: usize) -> &str {
    seen.requests[number].lines().next().unwrap()
}

#[test]
fn a_plain_request_goes_to_the_proxy_in_absolute_form() {
    let seen = run_through(PROXY, "http://a.example:81/x?y", &[ok("")]);
    seen.succeeded();
    assert_eq!(seen.addresses, ["198.51.100.1:3128".parse().unwrap()]);
    assert_eq!(first_line(&seen, 0), "GET http://a.example:81/x?y HTTP/1.1");
    assert!(seen.requests[0].contains("\r\nHost: a.example:81\r\n"));
    assert!(seen.requests[0].contains("\r\nProxy-Authorization: Basic dTpw\r\n"));
    assert_eq!(
        seen.looked_up.len(),
        1,
        "the target, though the proxy connects"
    );
    assert_eq!(seen.fact("ip_protocol"), Some(4.0));
    assert_eq!(seen.fact("http_ssl"), Some(0.0));
    assert_eq!(
        seen.phases,
        [
            Phase::Resolve,
            Phase::Connect,
            Phase::Processing,
            Phase::Transfer
        ]
    );
}

#[test]
fn a_secured_target_is_reached_through_a_tunnel() {
    let seen = run_through(PROXY, "https://a.example/", &[tunnel(ok("x"))]);
    seen.succeeded();
    assert_eq!(first_line(&seen, 0), "CONNECT 192.0.2.80:443 HTTP/1.1");
    assert!(seen.requests[0].contains("\r\nProxy-Authorization: Basic dTpw\r\n"));
    assert_eq!(first_line(&seen, 1), "GET / HTTP/1.1");
    assert!(seen.requests[1].contains("\r\nHost: a.example\r\n"));
    assert!(!seen.requests[1].contains("Proxy-Authorization"));
    assert_eq!(seen.names, ["a.example"]);
    assert!(seen.secured);
    assert_eq!(seen.fact("http_ssl"), Some(1.0));
    // The answer of the proxy is no answer of the target's, and is in no phase.
    assert_eq!(seen.fact("http_duration_secondsconnect"), Some(0.001));
    assert_eq!(seen.fact("http_duration_secondstls"), Some(0.001));
}

/// As blackbox_exporter has it: a secured target is connected to when the proxy is.
#[test]
fn what_a_proxy_takes_is_in_connect_if_its_target_is_plain() {
    let socks: &[&[u8]] = &[&[5, 0], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]];
    let digs = |behind: Peer| {
        let said = socks.iter().map(|said| Peer {
            sends: vec![said.to_vec()],
            ..Peer::default()
        });
        turns(said.chain([behind]))
    };
    // The look-up of its name, one step, is in no phase; then come a connection and
    // two answers.
    for (target, spent) in [("http://192.0.2.9/", 0.005), ("https://192.0.2.9/", 0.001)] {
        let seen = run_through("socks5://p.example:1080", target, &[digs(ok("x"))]);
        seen.succeeded();
        assert_eq!(
            seen.fact("http_duration_secondsconnect"),
            Some(spent),
            "{target}"
        );
    }
    // So does a handshake with it.
    for (target, peer, spent) in [
        ("http://192.0.2.9/", ok("x"), 0.002),
        ("https://192.0.2.9/", tunnel(ok("x")), 0.001),
    ] {
        let seen = run_through("https://198.51.100.1", target, &[peer]);
        seen.succeeded();
        assert_eq!(
            seen.fact("http_duration_secondsconnect"),
            Some(spent),
            "{target}"
        );
    }
    let silent = run_through(PROXY, "https://192.0.2.9/", &[Peer::default()]);
    assert_eq!(silent.outcome, Outcome::Failure(Reason::TimeoutProxy));
    assert_eq!(silent.phases, [Phase::Resolve], "there is no tunnel");
    let refusing = answers("HTTP/1.1 403 No\r\n\r\n");
    let refused = run_through(PROXY, "https://192.0.2.9/", &[refusing]);
    assert_eq!(refused.phases, [Phase::Resolve]);
    assert_eq!(refused.fact("http_duration_secondsconnect"), Some(0.0));
    let lost = run_among("https://192.0.2.9/", &[], &[Peer::default()], |config| {
        config.proxy_url = ProxyUrl::parse("http://p.example").unwrap()
    });
    assert_eq!(lost.outcome, Outcome::Failure(Reason::TimeoutProxy));
    assert_eq!(lost.phases, [Phase::Resolve]);
}

/// TestSkipResolvePhase: the phase is absent only with a proxy and the option.
#[test]
fn a_proxy_may_look_names_up_itself() {
    let names = |seen: &Seen| {
        let phases = ["resolve", "connect", "processing", "transfer", "tls"];
        phases.map(|phase| {
            seen.fact(&format!("http_duration_seconds{phase}"))
                .is_some()
        })
    };
    let skipped = run_by_name(PROXY, "https://a.example/", &[tunnel(ok(""))]);
    skipped.succeeded();
    assert_eq!(first_line(&skipped, 0), "CONNECT a.example:443 HTTP/1.1");
    assert!(skipped.looked_up.is_empty());
    for fact in ["ip_protocol", "ip_addr_hash", "dns_lookup_time_seconds"] {
        assert_eq!(skipped.fact(fact), None, "{fact}");
    }
    assert_eq!(names(&skipped), [false, true, true, true, true]);
    let plain = run_by_name(PROXY, "a.example", &[ok("")]);
    plain.succeeded();
    assert_eq!(first_line(&plain, 0), "GET http://a.example/ HTTP/1.1");
    assert_eq!(names(&plain), [false, true, true, true, true]);
    let resolved = run_through(PROXY, "https://a.example/", &[tunnel(ok(""))]);
    assert_eq!(names(&resolved), [true; 5]);
    let without = run_with("a.example", &[ok("")], |config| {
        config.skip_resolve_phase_with_proxy = true;
    });
    assert_eq!(names(&without), [true; 5]);
}

#[test]
fn a_socks_proxy_is_asked_for_plain_targets_too() {
    let peer = turns([
        answers("\u{5}\0"),
        answers("\u{5}\0\0\u{1}\0\0\0\0\0\0"),
        ok(""),
    ]);
    let seen = run_by_name("socks5://198.51.100.1", "a.example:81/x", &[peer]);
    seen.succeeded();
    assert_eq!(seen.addresses, ["198.51.100.1:1080".parse().unwrap()]);
    assert_eq!(seen.requests[1], "\u{5}\u{1}\0\u{3}\ta.example\0Q");
    assert_eq!(first_line(&seen, 2), "GET /x HTTP/1.1");
}

#[test]
fn a_proxy_over_tls_is_verified_as_itself() {
    let seen = run_by_name("https://p.example", "https://a.example", &[tunnel(ok(""))]);
    seen.succeeded();
    assert_eq!(seen.names, ["p.example", "a.example"]);
    assert_eq!(seen.looked_up[0].0, "p.example");
    let plain = run_by_name("https://p.example", "http://a.example", &[ok("")]);
    plain.succeeded();
    assert!(!plain.secured, "the handshake was not the target's");
    assert_eq!(plain.fact("http_ssl"), Some(0.0));
    assert_eq!(plain.fact("http_duration_secondstls"), Some(0.0));
}

#[test]
fn exceptions_go_out_directly() {
    for no_proxy in ["a.example", "192.0.2.0/24", "*"] {
        let seen = run_with("http://a.example/", &[ok("")], |config| {
            config.proxy_url = ProxyUrl::parse(PROXY).unwrap();
            config.no_proxy = no_proxy.into();
        });
        seen.succeeded();
        assert_eq!(
            seen.addresses,
            ["192.0.2.80:80".parse().unwrap()],
            "{no_proxy}"
        );
        assert_eq!(first_line(&seen, 0), "GET / HTTP/1.1");
    }
}

#[test]
fn each_hop_chooses_its_proxy_and_others_are_named_to_it() {
    let peers = [
        redirects(302, "https://b.example/y"),
        tunnel(redirects(302, "http://c.example/")),
        ok(""),
    ];
    let seen = run_with("http://a.example/", &peers, |config| {
        config.proxy_url = ProxyUrl::parse(PROXY).unwrap();
        config.no_proxy = "c.example".into();
    });
    seen.succeeded();
    assert_eq!(first_line(&seen, 0), "GET http://a.example/ HTTP/1.1");
    assert_eq!(first_line(&seen, 1), "CONNECT b.example:443 HTTP/1.1");
    assert_eq!(first_line(&seen, 3), "GET / HTTP/1.1");
    assert_eq!(seen.addresses[2], "192.0.2.80:80".parse().unwrap());
}

#[test]
fn what_goes_wrong_on_the_way_is_the_proxys() {
    let refuses = |text: &str| turns([answers(text)]);
    for (proxy, peer, reason, words) in [
        (
            PROXY,
            refuses("HTTP/1.1 502 Bad Gateway\r\n\r\n"),
            Reason::ProxyRefused,
            "the proxy http://198.51.100.1:3128: answered CONNECT with 502 Bad Gateway",
        ),
        (
            PROXY,
            refuses("HTTP/1.1 407 Who are you\r\n\r\n"),
            Reason::ProxyAuth,
            "the proxy http://198.51.100.1:3128: answered CONNECT with 407 Who are you",
        ),
        (
            PROXY,
            refuses("nonsense"),
            Reason::ProxyMalformed,
            "the proxy http://198.51.100.1:3128: answered CONNECT with \"nonsense\", expected an HTTP response",
        ),
        (
            PROXY,
            closes("HTTP/1.1 2", Closed::End),
            Reason::ProxyClosed,
            "the proxy http://198.51.100.1:3128: closed by the peer before it had connected us to 192.0.2.80:443",
        ),
        (
            "socks5://198.51.100.1",
            refuses("\u{4}\0"),
            Reason::ProxyMalformed,
            "the proxy socks5://198.51.100.1:1080: answered \"\\x04\\x00\", expected SOCKS version 5",
        ),
        (
            "https://198.51.100.1",
            Peer {
                tls_failure: Some(Reason::TlsUnknownIssuer),
                ..Peer::default()
            },
            Reason::ProxyTls,
            "the proxy https://198.51.100.1:443: bad record",
        ),
    ] {
        let seen = run_through(proxy, "https://a.example", &[peer]);
        seen.failed(reason, words);
        assert!(!seen.secured);
        assert_eq!(seen.fact("http_status_code"), Some(0.0));
    }
}

#[test]
fn a_silent_proxy_is_named_when_the_time_is_over() {
    let seen = run_through(PROXY, "https://a.example", &[turns([Peer::default()])]);
    seen.failed(
        Reason::TimeoutProxy,
        "timed out after 1.0s waiting for the proxy at 198.51.100.1:3128",
    );
}

/// What follows in the same batch arrives before anybody was asked to secure
/// the connection.
#[test]
fn a_proxy_must_not_talk_ahead_in_another_piece_either() {
    let peer = Peer {
        sends: [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"ahead"]
            .map(Into::into)
            .into(),
        ..Peer::default()
    };
    run_through(PROXY, "https://a.example", &[turns([peer])]).failed(
        Reason::TlsNotTls,
        "expected a TLS handshake, found \"ahead\" in plain text",
    );
}

/// What the target does wrong is its own fault, proxy or not.
#[test]
fn beyond_the_proxy_it_is_the_target_that_fails() {
    let seen = run_through(PROXY, "https://a.example", &[tunnel(Peer::default())]);
    seen.failed(
        Reason::TimeoutProcessing,
        "timed out after 1.0s waiting for an answer from 192.0.2.80:443",
    );
    let seen = run_by_name(PROXY, "https://a.example", &[tunnel(Peer::default())]);
    seen.failed(
        Reason::TimeoutProcessing,
        "timed out after 1.0s waiting for an answer from the target",
    );
}
