//! Whoever is not the target is connected to at any of its addresses.

use core::time::Duration;

use super::world::{Opens, Peer, Seen, drive, ok, redirects, run_among, spec_with};
use super::*;
use crate::config::ProxyUrl;
use crate::limits::{Limits, MAX_OPENED};

const V6: &str = "2001:db8::1";
const V4: &str = "198.51.100.1";

/// A redirect elsewhere, where the connections to `addresses` go as `peers` say.
fn redirected(addresses: &[&str], peers: &[Peer], change: impl FnOnce(&mut Config)) -> Seen {
    let mut all = vec![redirects(302, "http://other.example/")];
    all.extend(peers.iter().cloned());
    run_among("192.0.2.7", addresses, &all, change)
}

fn fails(why: Closed) -> Peer {
    Peer {
        opens: Opens::Fails(why),
        ..Peer::default()
    }
}

fn silent() -> Peer {
    Peer {
        opens: Opens::Never,
        ..Peer::default()
    }
}

fn tried(seen: &Seen) -> Vec<String> {
    let tried = seen.addresses[1..].iter();
    tried.map(|address| address.ip().to_string()).collect()
}

#[test]
fn the_next_address_is_tried_when_one_refuses() {
    let refused = || fails(Closed::Refused);
    for (addresses, order) in [
        (vec![V4, "198.51.100.2"], vec![V4, "198.51.100.2"]),
        (vec![V6, "2001:db8::2"], vec![V6, "2001:db8::2"]),
        (vec![V4, V6], vec![V6, V4]),
        (vec!["::ffff:198.51.100.1", V6], vec![V6, V4]),
    ] {
        let seen = redirected(&addresses, &[refused(), ok("")], |_| {});
        seen.succeeded();
        assert_eq!(tried(&seen), order);
    }
    // The module's protocol comes first, also where the target's has to be that.
    let ip4 = |config: &mut Config| {
        config.preferred_ip_protocol = "ip4".into();
        config.ip_protocol_fallback = false;
    };
    let seen = redirected(&[V6, V4], &[refused(), ok("")], ip4);
    seen.succeeded();
    assert_eq!(tried(&seen), [V4, V6]);
    let seen = redirected(&[V6], &[ok("")], ip4);
    seen.succeeded();
}

#[test]
fn the_other_family_sets_out_after_a_while() {
    let seen = redirected(&[V4, V6], &[silent(), ok("")], |_| {});
    seen.succeeded();
    assert_eq!(tried(&seen), [V6, V4]);
    assert!(seen.took >= Duration::from_millis(300), "{:?}", seen.took);
    assert!(seen.took < Duration::from_millis(320), "{:?}", seen.took);
    // And at once if the first has none left.
    let peers = [fails(Closed::Unreachable), ok("")];
    let seen = redirected(&[V4, V6], &peers, |_| {});
    seen.succeeded();
    assert!(seen.took < Duration::from_millis(20), "{:?}", seen.took);
}

#[test]
fn the_failure_of_the_first_family_is_told() {
    let peers = [
        fails(Closed::Reset),
        fails(Closed::Refused),
        fails(Closed::Unreachable),
    ];
    let addresses = [V4, V6, "2001:db8::2"];
    let seen = redirected(&addresses, &peers, |_| {});
    seen.failed(
        Reason::ConnectReset,
        "connect to other.example ([2001:db8::1]:80): reset by the peer",
    );
    assert_eq!(tried(&seen), [V6, "2001:db8::2", V4]);
    assert_eq!(seen.fact("ip_protocol"), Some(4.0), "the target's");
    // As long as one may still answer, none of them has failed.
    let peers = [silent(), fails(Closed::Refused)];
    let seen = redirected(&[V4, V6], &peers, |_| {});
    assert_eq!(seen.outcome, Outcome::Failure(Reason::ConnectTimeout));
    assert!(seen.open.is_empty());
}

/// What we cannot do at one address is no reason not to try the next, and no
/// failure of theirs.
#[test]
fn what_we_could_not_do_is_not_held_against_them() {
    let ours = || fails(Closed::Local(Reason::NoSourcePort));
    let seen = redirected(&[V4, V6], &[ours(), ok("")], |_| {});
    seen.succeeded();
    for peers in [
        [ours(), fails(Closed::Refused)],
        [fails(Closed::Refused), ours()],
    ] {
        let seen = redirected(&[V4, V6], &peers, |_| {});
        assert_eq!(seen.outcome, Outcome::Unknown(Reason::NoSourcePort));
        assert!(seen.open.is_empty());
    }
}

#[test]
fn only_addresses_of_the_source_s_family_are_tried() {
    let from = |config: &mut Config| config.source_ip_address = Some("192.0.2.9".parse().unwrap());
    let seen = redirected(&[V6, V4], &[ok("")], from);
    seen.succeeded();
    assert_eq!(tried(&seen), [V4]);
    let seen = redirected(&[V6], &[ok("")], from);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::DnsNoAddress));
}

/// blackbox_exporter chooses one of them.
#[test]
fn the_target_has_one_address() {
    let peers = [fails(Closed::Refused), ok("")];
    let seen = run_among("http://a.example/", &[V6, V4], &peers, |_| {});
    seen.failed(
        Reason::ConnectRefused,
        "connect to a.example ([2001:db8::1]:80): connection refused",
    );
    let peers = [redirects(302, "/next"), fails(Closed::Refused), ok("")];
    let seen = run_among("http://a.example/", &[V6, V4], &peers, |_| {});
    assert_eq!(seen.outcome, Outcome::Failure(Reason::ConnectRefused));
}

/// A chain of redirects is followed to its end, however many addresses there are.
#[test]
fn many_addresses_leave_connections_for_the_rest() {
    let addresses: Vec<String> = (1..=30).map(|n| format!("198.51.100.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(|it| &**it).collect();
    let mut peers = vec![fails(Closed::Refused); 29];
    peers.push(redirects(302, "http://more.example/"));
    peers.extend(vec![fails(Closed::Refused); 29]);
    let seen = redirected(&addresses, &peers, |_| {});
    assert_eq!(seen.outcome, Outcome::Failure(Reason::ConnectRefused));
    assert_eq!(seen.addresses.len(), usize::from(MAX_OPENED) - 16);
}

#[test]
fn proxies_and_token_endpoints_are_such() {
    let refused = || fails(Closed::Refused);
    let proxy =
        |config: &mut Config| config.proxy_url = ProxyUrl::parse("http://p.example:3128").unwrap();
    let seen = run_among("192.0.2.7", &[V4, V6], &[refused(), ok("")], proxy);
    seen.succeeded();
    let peers = [refused(), refused()];
    let seen = run_among("192.0.2.7", &[V4, V6], &peers, proxy);
    seen.failed(
        Reason::ProxyConnect,
        "the proxy http://p.example:3128: connect to p.example ([2001:db8::1]:3128): connection refused",
    );
    let token = |config: &mut Config| {
        config.oauth2 = Some(OAuth2 {
            client_id: "me".into(),
            token_url: "http://id.example/token".into(),
            ..OAuth2::default()
        });
    };
    let body = r#"{"access_token":"t","token_type":"Bearer"}"#;
    let peers = [refused(), ok(body), ok("")];
    let seen = run_among("192.0.2.7", &[V4, V6], &peers, token);
    seen.succeeded();
    let peers = [fails(Closed::Local(Reason::NoMemory)), ok(body), ok("")];
    let seen = run_among("192.0.2.7", &[V4, V6], &peers, token);
    seen.succeeded();
}

/// As in blackbox_exporter.
#[test]
fn a_name_without_an_answer_has_the_series_of_a_look_up() {
    let seen = run_among("http://a.example/", &[], &[], |_| {});
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TimeoutResolve));
    for series in ["dns_lookup_time_seconds", "http_duration_secondsresolve"] {
        let took = seen.fact(series).unwrap_or_default();
        assert!((1.0..1.01).contains(&took), "{series} {took}");
    }
    assert_eq!(seen.fact("ip_protocol"), Some(0.0));
    assert_eq!(seen.fact("ip_addr_hash"), Some(0.0));
    assert_eq!(seen.phases, [], "it is not completed");
    // Where a redirect leads is not the target.
    let seen = run_among(
        "192.0.2.7",
        &[],
        &[redirects(302, "http://b.example/")],
        |_| {},
    );
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TimeoutResolve));
    assert_eq!(seen.fact("ip_protocol"), Some(4.0));
    assert_eq!(seen.fact("http_duration_secondsresolve"), Some(0.0));
}

/// A destination's rate holds for each address, and the wait is nobody's.
#[test]
fn a_race_waits_for_the_rate_of_its_addresses() {
    let limits = Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    };
    // Twice the same address: the second time it is too soon.
    let peers = [
        redirects(302, "http://other.example/"),
        fails(Closed::Refused),
        fails(Closed::Refused),
        ok(""),
    ];
    let spec = spec_with("192.0.2.7", |_| {});
    let seen = drive(spec, &[V4, V4, "198.51.100.3"], &peers, limits);
    seen.succeeded();
    assert!(seen.took >= Duration::from_millis(500), "{:?}", seen.took);
    assert!(seen.total < Duration::from_millis(20), "{:?}", seen.total);
}
