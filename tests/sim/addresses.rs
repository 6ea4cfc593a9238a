//! Names with several addresses: the target has one of them, everybody else all.

use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::resolve::ResolverConfig;
use probity_engine::{Config, Reason};
use probity_simulator::oauth2::{Endpoint, guarded};
use probity_simulator::proxy::Protocol;
use probity_simulator::spec::Plan;
use probity_simulator::{Answer, Behaviour, Options, Proxy, Record, World, Zone, http};
use serde_json::json;

use crate::lab::{address, assert_failure, assert_success, http as plain, http_with, server};

const DNS: &str = "10.0.0.53:53";
const URL: &str = "http://192.0.2.1/";
const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];
const V4: [&str; 2] = ["198.51.100.1", "198.51.100.2"];

/// Somebody else than the target that a run deals with.
#[derive(Clone, Copy, Debug)]
enum Other {
    Redirect,
    Proxy,
    Token,
}

const OTHERS: [Other; 3] = [Other::Redirect, Other::Proxy, Other::Token];

impl Other {
    fn module(self) -> Module {
        match self {
            Self::Redirect => plain(),
            Self::Proxy => http_with(json!({"proxy_url": "http://other.example:80"})),
            Self::Token => http_with(json!({"oauth2": {
                "client_id": "me",
                "client_secret": "s3cret",
                "token_url": "http://other.example/token",
            }})),
        }
    }

    /// What serves at an address of his that is good.
    fn good(self) -> Behaviour {
        match self {
            Self::Redirect => http::ok(),
            Self::Proxy => Proxy::new(Protocol::Http).serve(),
            Self::Token => Endpoint::Basic.serve(),
        }
    }

    fn target(self) -> Behaviour {
        match self {
            Self::Redirect => Behaviour::Talk(http::redirect("http://other.example/")),
            Self::Proxy => http::ok(),
            Self::Token => guarded(),
        }
    }

    const fn unreached(self) -> Reason {
        match self {
            Self::Redirect => Reason::ConnectRefused,
            Self::Proxy => Reason::ProxyConnect,
            Self::Token => Reason::Oauth2Unreachable,
        }
    }
}

/// Probes `url` with `timeout`; `other.example` has these addresses. `None` is a
/// good one.
fn probe(
    other: Other,
    addresses: &[(&str, Option<Behaviour>)],
    (url, timeout): (&str, Duration),
) -> Record {
    let all = addresses
        .iter()
        .map(|(ip, _)| ip.parse().expect("an address"));
    let zone = Zone::new([("other.example", Answer::Addresses(all.collect(), 60))]);
    let mut world = World::new(Options {
        engine: Config {
            resolver: ResolverConfig::with_servers(&[address(DNS)]),
            ..Config::default()
        },
        ..Options::quiet(1)
    });
    world.serve(address(DNS), zone.serve());
    world.serve(server(), other.target());
    for (ip, behaviour) in addresses {
        let at = (ip.parse::<std::net::IpAddr>().expect("an address"), 80);
        let behaviour = behaviour.clone().unwrap_or_else(|| other.good());
        world.serve(at.into(), behaviour);
    }
    let spec = Plan::default().spec(&other.module(), url);
    let run = world.run_once(spec, timeout).expect("there is room");
    world.run_for(timeout * 2);
    let record = world.reports().iter().find(|record| record.run == run);
    let record = record.expect("the run has reported").clone();
    world.assert_clean();
    assert_eq!(world.connections(), 0, "a connection is left");
    record
}

const BRIEF: (&str, Duration) = (URL, Duration::from_secs(2));

#[test]
fn everybody_else_is_found_at_any_address() {
    let refuses = || Some(Behaviour::Refuse);
    let lost = || Some(Behaviour::Blackhole);
    let none = || Some(Behaviour::Unreachable);
    for other in OTHERS {
        for addresses in [
            vec![(V4[0], refuses()), (V4[1], None)],
            vec![(V6[0], none()), (V6[1], None)],
            vec![(V6[0], refuses()), (V4[0], None)],
            vec![(V6[0], None), (V4[0], refuses())],
            vec![(V6[0], lost()), (V4[0], None)],
            vec![(V6[0], None), (V4[0], lost())],
            vec![(V6[0], lost()), (V4[0], refuses()), (V4[1], None)],
        ] {
            let record = probe(other, &addresses, BRIEF);
            assert_success(&record);
            let waits = matches!(addresses[0], (ip, Some(Behaviour::Blackhole)) if ip == V6[0]);
            let head_start = Duration::from_millis(300);
            assert_eq!(
                record.total >= head_start,
                waits,
                "{other:?}: {addresses:?}"
            );
        }
        let nowhere = [(V6[0], refuses()), (V4[0], refuses()), (V4[1], none())];
        let record = probe(other, &nowhere, BRIEF);
        assert_failure(
            &record,
            other.unreached(),
            "([2001:db8::1]:80): connection refused",
        );
    }
}

/// An address that says nothing has its part of the time, and the next one its own.
#[test]
fn a_silent_address_is_given_up_in_time_for_the_next() {
    let addresses = [(V4[0], Some(Behaviour::Blackhole)), (V4[1], None)];
    for other in OTHERS {
        let record = probe(other, &addresses, (URL, Duration::from_secs(10)));
        assert_success(&record);
        let seconds = record.total.as_secs_f64();
        assert!((4.9..5.1).contains(&seconds), "{other:?}: {seconds}");
        // Two seconds are the least, so that there is none for the other.
        let record = probe(other, &addresses, BRIEF);
        let timeout = match other {
            Other::Redirect => Reason::ConnectTimeout,
            Other::Proxy => Reason::TimeoutProxy,
            Other::Token => Reason::TimeoutOauth2,
        };
        assert_failure(&record, timeout, "");
    }
}

#[test]
fn a_target_has_one_address() {
    let addresses = [(V6[0], Some(Behaviour::Refuse)), (V4[0], None)];
    let url = ("http://other.example/", Duration::from_secs(2));
    let record = probe(Other::Redirect, &addresses, url);
    assert_failure(&record, Reason::ConnectRefused, "([2001:db8::1]:80)");
}
