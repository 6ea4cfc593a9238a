//! Runs that fetch an OAuth2 token first, and endpoints that give none.

use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Phase, Reason};
use probity_simulator::checker::TICK;
use probity_simulator::oauth2::{Endpoint, guarded};
use probity_simulator::{Behaviour, Certificate, Tls, http};
use serde_json::json;

use crate::lab::{SERVER, TIMEOUT, assert_failure, assert_success, http_with, phase, probe_among};

const URL: &str = "http://192.0.2.1:80/";
const ISSUER: &str = "198.51.100.9:443";

fn module(scheme: &str) -> Module {
    http_with(json!({"oauth2": {
        "client_id": "me",
        "client_secret": "s3cret",
        "token_url": format!("{scheme}://{ISSUER}/token"),
    }}))
}

#[track_caller]
fn probe(endpoint: Behaviour) -> probity_simulator::Record {
    let peers = [(ISSUER, endpoint), (SERVER, guarded())];
    probe_among(&module("http"), URL, &peers)
}

/// RFC 6749 section 2.3.1: HTTP Basic, which every endpoint must know; Go's
/// `oauth2` tries the body where that gives no token.
#[test]
fn a_token_is_fetched_whatever_way_the_endpoint_knows_its_clients() {
    for endpoint in [Endpoint::Basic, Endpoint::InBody] {
        let record = probe(endpoint.serve());
        assert_success(&record);
        // The token is in no phase.
        let sum: Duration = record.phases.iter().map(|(_, spent)| *spent).sum();
        assert!(sum < record.total, "{record:?}");
    }
    let secured = Endpoint::InBody
        .serve()
        .secured(Tls::Speaks(Certificate::Good));
    let record = probe_among(
        &module("https"),
        URL,
        &[(ISSUER, secured), (SERVER, guarded())],
    );
    assert_success(&record);
    assert_eq!(
        phase(&record, Phase::Tls),
        None,
        "that was not the target's"
    );
}

#[test]
fn without_a_token_the_target_is_not_asked() {
    for (endpoint, reason, words) in [
        (
            Endpoint::Refuses.serve(),
            Reason::Oauth2Refused,
            "answered 401: \"invalid_client\"",
        ),
        (
            Endpoint::Broken.serve(),
            Reason::Oauth2Malformed,
            "that are no token in JSON",
        ),
        (
            http::status("503 Down"),
            Reason::Oauth2Refused,
            "answered 503",
        ),
        (
            Behaviour::Refuse,
            Reason::Oauth2Unreachable,
            "connection refused",
        ),
        (
            http::closing("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
            Reason::Oauth2Malformed,
            "before the end of the answer",
        ),
        (
            http::endless_body(16 * 1024, Duration::from_micros(10)),
            Reason::Oauth2Malformed,
            "1048576 bytes (more are not read)",
        ),
    ] {
        let record = probe(endpoint);
        assert_failure(&record, reason, words);
        // The target was found, and no more.
        assert_eq!(record.phases, [(Phase::Resolve, Duration::ZERO)]);
        assert!(!record.detail.contains("s3cret"));
    }
}

/// It is not bounded by the timeout in blackbox_exporter; here it is.
#[test]
fn an_endpoint_that_hangs_uses_up_the_time_of_the_run_and_no_more() {
    for endpoint in [Endpoint::Hangs.serve(), Behaviour::Blackhole] {
        let record = probe(endpoint);
        assert_failure(&record, Reason::TimeoutOauth2, "waiting for a token");
        assert!(record.total <= TIMEOUT + TICK);
    }
}

/// What is wrong with the target is not the endpoint's fault.
#[test]
fn a_target_that_does_not_take_the_token_is_what_fails() {
    let stranger = http::status("403 Not You");
    let peers = [(ISSUER, Endpoint::Basic.serve()), (SERVER, stranger)];
    let record = probe_among(&module("http"), URL, &peers);
    assert_failure(&record, Reason::HttpStatus, "status 403");
}
