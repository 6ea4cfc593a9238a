//! Redirects: which are followed, how, and what is taken along.

use alloc::vec;
use alloc::vec::Vec;

use super::super::*;
use super::pattern;
use super::world::{self, Peer, answers, closes, ok, redirects, run, run_with};
use crate::config::Secret;
use crate::io::Closed;
use crate::outcome::Outcome;

/// TestRedirectFollowed and what happens to method and body.
#[test]
fn redirects_are_followed_as_every_client_does() {
    for (status, method, second) in [
        (301, "POST", "GET /next "),
        (302, "POST", "GET /next "),
        (303, "PUT", "GET /next "),
        (303, "HEAD", "HEAD /next "),
        (307, "POST", "POST /next "),
        (308, "GET", "GET /next "),
    ] {
        let peers = [redirects(status, "/a/../next"), ok("")];
        let seen = run_with("192.0.2.7/first", &peers, |config| {
            config.method = method.into();
            config.body = "payload".into();
        });
        seen.succeeded();
        assert!(seen.requests[1].starts_with(second), "{}", seen.requests[1]);
        assert_eq!(
            seen.requests[1].ends_with("payload"),
            matches!(status, 307 | 308)
        );
        assert_eq!(seen.fact("http_redirects"), Some(1.0));
        assert_eq!(seen.fact("http_status_code"), Some(200.0));
    }
}

#[test]
fn a_body_that_was_dropped_does_not_come_back() {
    let peers = [redirects(303, "/a"), redirects(307, "/b"), ok("")];
    let seen = run_with("192.0.2.7", &peers, |config| {
        config.method = "POST".into();
        config.body = "payload".into();
    });
    seen.succeeded();
    assert!(seen.requests[2].starts_with("GET /b ") && !seen.requests[2].contains("payload"));
}

/// TestRedirectionLimit.
#[test]
fn the_eleventh_redirect_is_refused_and_judged() {
    let seen = run("192.0.2.7", &[redirects(302, "/again")]);
    seen.failed(
        Reason::HttpRedirectLimit,
        "status 302 after 10 redirects, and no more are followed",
    );
    assert_eq!(seen.requests.len(), 11);
    assert_eq!(seen.fact("http_redirects"), Some(11.0));
    assert_eq!(seen.fact("http_status_code"), Some(302.0));
    assert_eq!(seen.fact("http_content_length"), Some(5.0));
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(0.0));
    let accepted = run_with("192.0.2.7", &[redirects(302, "/again")], |config| {
        config.valid_status_codes = vec![302];
    });
    accepted.succeeded();
    let mut chain = vec![redirects(302, "/again"); 10];
    chain.push(ok(""));
    run("192.0.2.7", &chain).succeeded();
}

/// TestRedirectNotFollowed.
#[test]
fn a_redirect_that_is_not_followed_is_judged_without_its_body() {
    let not_followed = |config: &mut Config| {
        config.follow_redirects = false;
        config.valid_status_codes = vec![302];
    };
    let seen = run_with("192.0.2.7", &[redirects(302, "/next")], not_followed);
    seen.succeeded();
    assert_eq!(seen.fact("http_redirects"), Some(1.0));
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(0.0));
    let matched = run_with("192.0.2.7", &[redirects(302, "/next")], |config| {
        not_followed(config);
        config.fail_if_body_not_matches_regexp = pattern("moved");
    });
    matched.failed(
        Reason::BodyMismatch,
        "the body of a redirect that is not followed is not read",
    );
    assert_eq!(matched.fact("failed_due_to_regex"), Some(1.0));
}

#[test]
fn without_a_location_a_redirect_is_final() {
    for text in [
        "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 302 Found\r\nLocation:\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 300 Choices\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let seen = run("192.0.2.7", &[answers(text)]);
        assert_eq!(seen.outcome, Outcome::Failure(Reason::HttpStatus));
        assert_eq!(seen.fact("http_redirects"), Some(0.0));
        assert_eq!(seen.fact("http_uncompressed_body_length"), Some(2.0));
    }
}

#[test]
fn redirects_to_what_is_not_http_are_refused() {
    for (location, detail) in [
        (
            "ftp://files.example/x",
            r#"redirect to "ftp://files.example/x" is not http or https"#,
        ),
        (
            "mailto:a@b",
            r#"redirect to "mailto:a@b" is not http or https"#,
        ),
        (
            "http://a:99999/",
            r#"redirect to "http://a:99999/" is not a URL: the port is not a number from 1 to 65535"#,
        ),
    ] {
        let seen = run("192.0.2.7", &[redirects(302, location)]);
        seen.failed(Reason::HttpRedirectInvalid, detail);
        assert_eq!(seen.fact("http_status_code"), Some(0.0));
        assert_eq!(seen.fact("http_redirects"), Some(1.0));
    }
}

#[test]
fn credentials_and_names_stay_with_the_host_they_were_meant_for() {
    let configured = |config: &mut Config| {
        config.bearer_token = Secret::new("t0ken");
        config.headers.insert("Host".into(), "vhost.example".into());
        config.headers.insert("Cookie".into(), "s3ssion".into());
        config.tls_config.server_name = "tls.example".into();
        config.preferred_ip_protocol = "ip4".into();
        config.ip_protocol_fallback = false;
    };
    let peers = [
        redirects(302, "https://a.example:8443/"),
        redirects(302, "https://b.a.example/"),
        redirects(302, "https://evil.example/"),
        redirects(302, "https://a.example/"),
        ok(""),
    ];
    let seen = run_with("https://a.example/", &peers, configured);
    seen.succeeded();
    let secrets: Vec<bool> = seen
        .requests
        .iter()
        .map(|request| request.contains("t0ken"))
        .collect();
    assert_eq!(
        secrets,
        [true, true, true, false, false],
        "dropped, and not taken up again"
    );
    for request in &seen.requests {
        assert_eq!(request.contains("t0ken"), request.contains("s3ssion"));
    }
    let hosts: Vec<&str> = seen
        .requests
        .iter()
        .map(|request| {
            request
                .split("Host: ")
                .nth(1)
                .unwrap()
                .lines()
                .next()
                .unwrap()
        })
        .collect();
    let vhost = "vhost.example";
    assert_eq!(
        hosts,
        [
            vhost,
            "a.example:8443",
            "b.a.example",
            "evil.example",
            "a.example"
        ],
        "an absolute Location names the host"
    );
    let names = [
        "tls.example",
        "a.example",
        "b.a.example",
        "evil.example",
        "a.example",
    ];
    assert_eq!(
        seen.names, names,
        "what TLS is to show goes with the target"
    );
    let fallbacks: Vec<bool> = seen
        .looked_up
        .iter()
        .map(|(_, families)| families.fallback)
        .collect();
    assert_eq!(fallbacks, [false, true, true, true, true]);
}

/// Whether each request carried credentials.
fn trusted(target: &str, locations: &[&str], change: impl FnOnce(&mut Config)) -> Vec<bool> {
    let mut peers: Vec<Peer> = locations.iter().map(|to| redirects(302, to)).collect();
    peers.push(ok(""));
    let seen = run_with(target, &peers, change);
    seen.succeeded();
    let requests = seen.requests.iter();
    requests
        .map(|request| request.contains("Authorization"))
        .collect()
}

#[test]
fn credentials_of_a_secure_target_are_never_sent_in_the_clear() {
    let token = |config: &mut Config| config.bearer_token = Secret::new("t0ken");
    for (target, location, kept) in [
        ("https://a.example/", "http://a.example/", false),
        ("https://a.example/", "http://b.a.example/", false),
        ("https://a.example/", "//a.example/x", true),
        ("http://a.example/", "https://a.example/", true),
        ("http://a.example/", "http://a.example/x", true),
    ] {
        let found = trusted(target, &[location], token);
        assert_eq!(found, [true, kept], "{target} to {location}");
    }
    let found = trusted(
        "https://a.example/",
        &["http://a.example/", "https://a.example/"],
        token,
    );
    assert_eq!(found, [true, false, false], "not taken up again");
}

#[test]
fn credentials_of_the_url_stay_with_its_host_however_a_redirect_is_written() {
    for (location, kept) in [
        ("/x", true),
        ("http://a.example/x", true),
        ("http://A.example:81/x", true),
        ("https://a.example/x", true),
        ("http://b.a.example/x", false),
        ("http://evil.example/x", false),
    ] {
        let found = trusted("http://u:p@a.example/", &[location], |_| {});
        assert_eq!(found, [true, kept], "{location}");
    }
    let found = trusted("https://u:p@a.example/", &["http://a.example/"], |_| {});
    assert_eq!(found, [true, false]);
}

#[test]
fn a_hop_that_fails_leaves_no_status() {
    let peers = [redirects(302, "/next"), closes("", Closed::Reset)];
    let seen = run("192.0.2.7", &peers);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::PeerReset));
    assert_eq!(seen.fact("http_status_code"), Some(0.0));
    assert_eq!(seen.fact("http_redirects"), Some(1.0));
}

/// Processing adds up over hops; only the final response has a transfer.
#[test]
fn the_head_of_a_redirect_is_no_transfer() {
    let head = Peer {
        sends: ["HTTP/1.1 302 Found\r\n", "Location: /next\r\n\r\n"]
            .map(|text| text.as_bytes().to_vec())
            .into(),
        ..Peer::default()
    };
    let seen = run("192.0.2.7", &[head.clone(), ok("")]);
    seen.succeeded();
    let phase = |seen: &world::Seen, name: &str| {
        seen.fact(&format!("http_duration_seconds{name}")).unwrap()
    };
    assert_eq!(phase(&seen, "transfer"), 0.0);
    assert_eq!(phase(&seen, "connect"), 0.002);
    assert_eq!(phase(&seen, "processing"), 0.004);
    let broken = run("192.0.2.7", &[head, closes("", Closed::Reset)]);
    assert_eq!(phase(&broken, "transfer"), 0.0);
    assert!(!broken.phases.contains(&Phase::Transfer));
}
