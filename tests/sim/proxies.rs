//! Proxies that lead to the target, and those that do not.

use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Phase, Reason};
use probity_simulator::checker::TICK;
use probity_simulator::proxy::{Manner, Protocol};
use probity_simulator::{Behaviour, Certificate, Proxy, Record, Tls, h2, http};
use serde_json::json;

use crate::lab::{
    SERVER, TIMEOUT, address, assert_failure, assert_success, http_with, phase, probe_among,
};

const PLAIN: &str = "http://192.0.2.1:80/";
const SECURED: &str = "https://192.0.2.1:80/";
const PROXY: &str = "198.51.100.7:3128";

/// Every kind of proxy, by the scheme of its URL.
const KINDS: [(&str, Protocol); 3] = [
    ("http", Protocol::Http),
    ("https", Protocol::Http),
    ("socks5", Protocol::Socks5),
];

fn module(scheme: &str) -> Module {
    http_with(json!({"proxy_url": format!("{scheme}://{PROXY}")}))
}

fn good() -> Tls {
    Tls::Speaks(Certificate::Good)
}

/// A proxy behind TLS, if that is its scheme.
fn behind(scheme: &str, proxy: Proxy) -> Behaviour {
    match scheme {
        "https" => proxy.serve().secured(good()),
        _ => proxy.serve(),
    }
}

#[track_caller]
fn probe(scheme: &str, url: &str, proxy: Proxy, server: Behaviour) -> Record {
    let peers = [(PROXY, behind(scheme, proxy)), (SERVER, server)];
    probe_among(&module(scheme), url, &peers)
}

fn sum(record: &Record) -> Duration {
    record.phases.iter().map(|(_, spent)| *spent).sum()
}

#[test]
fn every_kind_of_proxy_leads_to_every_kind_of_target() {
    for (scheme, protocol) in KINDS {
        let proxy = || Proxy::new(protocol);
        let plain = probe(scheme, PLAIN, proxy(), http::ok());
        assert_success(&plain);
        assert_eq!(
            phase(&plain, Phase::Tls),
            None,
            "{scheme}: not the target's"
        );
        assert_eq!(sum(&plain), plain.total, "the way there is connecting");
        for server in [http::ok(), h2::ok("two")] {
            let record = probe(scheme, SECURED, proxy(), server.secured(good()));
            assert_success(&record);
            assert_eq!(record.address, Some(address(SERVER)));
            // Every phase is one, and what the proxy was asked is in none.
            assert!(sum(&record) < record.total, "{scheme}: {record:?}");
            let phases = record.phases.iter().map(|(phase, _)| *phase);
            assert!(phases.eq(Phase::ALL), "{scheme}: {record:?}");
        }
    }
}

/// Go gives its proxy a name where blackbox_exporter does not resolve it.
#[test]
fn a_proxy_may_be_told_a_name() {
    for (scheme, protocol) in KINDS {
        let module = http_with(json!({
            "proxy_url": format!("{scheme}://{PROXY}"),
            "skip_resolve_phase_with_proxy": true,
        }));
        for (url, server) in [
            ("http://a.example:80/", http::ok()),
            ("https://a.example:80/", http::ok().secured(good())),
        ] {
            let peers = [
                (PROXY, behind(scheme, Proxy::new(protocol))),
                (SERVER, server),
            ];
            let record = probe_among(&module, url, &peers);
            assert_success(&record);
            assert_eq!(phase(&record, Phase::Resolve), None);
        }
    }
}

#[test]
fn a_proxy_may_want_to_know_who_asks() {
    for (scheme, protocol) in KINDS {
        let proxy = || Proxy::new(protocol).user("me", "pass word");
        let server = || http::ok().secured(good());
        let named = http_with(json!({"proxy_url": format!("{scheme}://me:pass%20word@{PROXY}")}));
        let peers = [(PROXY, behind(scheme, proxy())), (SERVER, server())];
        assert_success(&probe_among(&named, SECURED, &peers));
        let wrong = http_with(json!({"proxy_url": format!("{scheme}://me:password@{PROXY}")}));
        let record = probe_among(&wrong, SECURED, &peers);
        assert_failure(&record, Reason::ProxyAuth, "the proxy ");
        let record = probe(scheme, SECURED, proxy(), server());
        assert_failure(&record, Reason::ProxyAuth, "the proxy ");
    }
}

/// What comes with the answer to CONNECT is dropped, as blackbox_exporter does.
#[test]
fn a_socks_proxy_that_talks_ahead_is_what_fails() {
    for (scheme, protocol) in KINDS {
        let proxy = Proxy::new(protocol).manner(Manner::TalksAhead);
        let record = probe(scheme, SECURED, proxy, http::ok().secured(good()));
        match protocol {
            Protocol::Http => assert_success(&record),
            Protocol::Socks5 => {
                let words = "more than it was asked for";
                assert_failure(&record, Reason::ProxyMalformed, words);
            }
        }
    }
}

/// Only with a tunnel can it be told: the answer of a proxy to a plain request
/// looks as if the target had given it.
#[test]
fn a_proxy_that_does_not_lead_there_is_what_fails() {
    for (scheme, protocol) in KINDS {
        for (manner, reason, words) in [
            (Manner::Refuses, Reason::ProxyRefused, ""),
            (Manner::Babbles, Reason::ProxyMalformed, "answered "),
            (
                Manner::Leaves,
                Reason::ProxyClosed,
                "before it had connected us to",
            ),
            (Manner::Hangs, Reason::TimeoutProxy, "waiting for the proxy"),
        ] {
            let proxy = Proxy::new(protocol).manner(manner);
            let record = probe(scheme, SECURED, proxy, http::ok().secured(good()));
            assert_failure(&record, reason, words);
            assert!(record.total <= TIMEOUT + TICK);
        }
    }
}

#[test]
fn a_proxy_that_is_not_there_is_what_fails() {
    let server = || http::ok().secured(good());
    for (scheme, _) in KINDS {
        for (proxy, reason) in [
            (Behaviour::Refuse, Reason::ProxyConnect),
            (Behaviour::Unreachable, Reason::ProxyConnect),
            (Behaviour::Blackhole, Reason::TimeoutProxy),
        ] {
            let peers = [(PROXY, proxy), (SERVER, server())];
            let record = probe_among(&module(scheme), SECURED, &peers);
            assert_failure(&record, reason, "the proxy ");
        }
    }
    for (tls, reason) in [
        (Tls::Speaks(Certificate::Expired), Reason::ProxyTls),
        (Tls::Speaks(Certificate::OtherName), Reason::ProxyTls),
        (Tls::Alert, Reason::ProxyTls),
        (Tls::Silent, Reason::TimeoutProxy),
    ] {
        let proxy = Proxy::new(Protocol::Http).serve().secured(tls);
        let peers = [(PROXY, proxy), (SERVER, server())];
        let record = probe_among(&module("https"), SECURED, &peers);
        assert_failure(&record, reason, "the proxy ");
    }
    // A proxy that does not speak TLS where it should.
    let peers = [
        (PROXY, Proxy::new(Protocol::Http).serve()),
        (SERVER, server()),
    ];
    let record = probe_among(&module("https"), SECURED, &peers);
    assert_failure(&record, Reason::ProxyTls, "the proxy ");
}

/// Beyond the proxy it is the target that fails, as far as can be seen.
#[test]
fn a_target_behind_a_proxy_fails_for_its_own_reasons() {
    for (scheme, protocol) in KINDS {
        let through = |server: Behaviour| probe(scheme, SECURED, Proxy::new(protocol), server);
        let record = through(http::status("503 No").secured(good()));
        assert_failure(&record, Reason::HttpStatus, "status 503");
        let record = through(http::ok().secured(Tls::Speaks(Certificate::Expired)));
        assert_failure(&record, Reason::TlsCertificateExpired, "");
        let record = through(http::ok());
        assert_failure(&record, Reason::TlsNotTls, "");
        let record = through(Behaviour::silent().secured(good()));
        assert_failure(&record, Reason::TimeoutProcessing, "from 192.0.2.1:80");
        for gone in [Behaviour::Refuse, Behaviour::Unreachable] {
            let record = through(gone);
            assert_failure(&record, Reason::ProxyRefused, "the proxy ");
        }
        let record = through(Behaviour::Blackhole);
        assert_failure(&record, Reason::TimeoutProxy, "waiting for the proxy");
    }
}
