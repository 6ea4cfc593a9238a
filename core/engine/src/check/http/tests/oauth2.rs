//! Runs that fetch a token first.

use super::world::{Peer, Seen, answers, closes, ok, redirects, run_with};
use super::*;
use crate::config::ProxyUrl;

fn json(status: u16, body: &str) -> Peer {
    answers(&format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn token() -> Peer {
    json(200, r#"{"access_token":"t0k","token_type":"bearer"}"#)
}

fn section() -> OAuth2 {
    OAuth2 {
        client_id: "me".into(),
        client_secret: Secret::new("s3cret"),
        token_url: "https://id.example/token?x".into(),
        ..OAuth2::default()
    }
}

fn run(target: &str, peers: &[Peer]) -> Seen {
    run_with(target, peers, |config| config.oauth2 = Some(section()))
}

#[test]
fn a_token_is_fetched_and_sent() {
    let seen = run("http://a.example/", &[token(), ok("")]);
    seen.succeeded();
    assert_eq!(seen.looked_up.len(), 2);
    assert_eq!(seen.names, ["id.example"]);
    assert!(seen.requests[0].starts_with("POST /token?x HTTP/1.1\r\nHost: id.example\r\n"));
    assert!(seen.requests[0].contains("\r\nAuthorization: Basic bWU6czNjcmV0\r\n"));
    assert!(seen.requests[1].contains("\r\nAuthorization: Bearer t0k\r\n"));
    assert!(!seen.secured, "the handshake was not the target's");
    // As many events as without it: the token is in no phase.
    let phase = |name: &str| seen.fact(&format!("http_duration_seconds{name}")).unwrap();
    assert_eq!(phase("resolve"), 0.001);
    assert_eq!(phase("connect"), 0.001);
    assert_eq!(phase("tls"), 0.0);
    assert_eq!(seen.fact("dns_lookup_time_seconds"), Some(0.001));
}

#[test]
fn a_token_goes_before_other_credentials_and_stays_with_its_host() {
    let peers = [token(), redirects(302, "http://b.example/"), ok("")];
    let seen = run_with("http://u:p@a.example/", &peers, |config| {
        config.oauth2 = Some(section());
        config.headers.insert("authorization".into(), "Mine".into());
    });
    seen.succeeded();
    assert!(seen.requests[1].contains("\r\nAuthorization: Bearer t0k\r\n"));
    assert!(!seen.requests[1].contains("Mine") && !seen.requests[1].contains("Basic"));
    assert!(
        !seen.requests[2].contains("Authorization"),
        "{}",
        seen.requests[2]
    );
}

#[test]
fn who_asks_is_said_another_way_if_the_first_does_not_do() {
    let refused = json(401, r#"{"error":"invalid_client"}"#);
    let seen = run("http://a.example/", &[refused, token(), ok("")]);
    seen.succeeded();
    assert!(!seen.requests[1].contains("Authorization"));
    assert!(
        seen.requests[1]
            .ends_with("\r\n\r\nclient_id=me&client_secret=s3cret&grant_type=client_credentials")
    );
    assert!(seen.requests[2].contains("Bearer t0k"));
}

/// As much of an answer is read as by Go.
#[test]
fn a_token_may_come_with_much_else() {
    let most = crate::limits::MAX_TOKEN_ANSWER_BYTES;
    let answer = |padding: usize| {
        let token = r#"{"access_token":"t0k"}"#;
        json(
            200,
            &format!("{token}{}", " ".repeat(padding - token.len())),
        )
    };
    for length in [70_000, most, most + 1] {
        let seen = run("http://a.example/", &[answer(length), ok("")]);
        seen.succeeded();
        assert!(seen.requests[1].contains("\r\nAuthorization: Bearer t0k\r\n"));
    }
}

#[test]
fn a_run_without_a_token_ends_with_a_reason_of_its_own() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(70_000));
    let huge = json(200, &"x".repeat(crate::limits::MAX_TOKEN_ANSWER_BYTES + 1));
    for (peer, reason, words) in [
        (
            json(400, r#"{"error":"invalid_scope","error_description":"no"}"#),
            Reason::Oauth2Refused,
            "answered 400: \"invalid_scope\" (\"no\")",
        ),
        (
            redirects(302, "http://c.example/"),
            Reason::Oauth2Refused,
            "answered 302",
        ),
        (
            ok("garbage"),
            Reason::Oauth2Malformed,
            "answered 200 with 7 bytes that are no token in JSON",
        ),
        (
            answers("nonsense"),
            Reason::Oauth2Malformed,
            "expected an HTTP response, found \"nonsense\"",
        ),
        (
            answers(&endless),
            Reason::Oauth2Malformed,
            "the response head is larger than 65536 bytes",
        ),
        (
            huge,
            Reason::Oauth2Malformed,
            "answered 200 with 1048576 bytes (more are not read) that are no token in JSON",
        ),
        (
            closes("HTTP/1.1 2", Closed::Reset),
            Reason::Oauth2Malformed,
            "reset by the peer before it had answered",
        ),
        (
            closes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Closed::End),
            Reason::Oauth2Malformed,
            "closed by the peer before the end of the answer",
        ),
        (
            Peer {
                tls_failure: Some(Reason::TlsUnknownIssuer),
                ..Peer::default()
            },
            Reason::Oauth2Unreachable,
            "bad record",
        ),
    ] {
        let seen = run("http://a.example/", &[peer]);
        seen.failed(
            reason,
            &format!("the token endpoint https://id.example/token: {words}"),
        );
        assert!(seen.phases == [Phase::Resolve] && !seen.secured);
        assert_eq!(seen.fact("http_status_code"), Some(0.0));
        assert_eq!(seen.fact("ip_protocol"), Some(4.0));
        assert_eq!(seen.fact("http_duration_secondsconnect"), Some(0.0));
        assert!(!seen.detail.contains("s3cret"));
    }
}

#[test]
fn a_silent_endpoint_uses_up_the_time_of_the_run() {
    let seen = run("http://a.example/", &[Peer::default()]);
    seen.failed(
        Reason::TimeoutOauth2,
        "timed out after 1.0s waiting for a token from 192.0.2.80:443",
    );
}

#[test]
fn the_endpoint_has_a_proxy_of_its_own() {
    let connect = answers("HTTP/1.1 200 OK\r\n\r\n");
    let tunnel = Peer {
        turns: [connect, token()].into(),
        ..Peer::default()
    };
    let through = |peers: &[Peer]| {
        run_with("http://a.example/", peers, |config| {
            config.oauth2 = Some(OAuth2 {
                proxy_url: ProxyUrl::parse("http://198.51.100.1:3128").unwrap(),
                ..section()
            });
        })
    };
    let seen = through(&[tunnel, ok("")]);
    seen.succeeded();
    assert!(seen.requests[0].starts_with("CONNECT id.example:443 "));
    assert_eq!(seen.addresses[1], "192.0.2.80:80".parse().unwrap());
    assert_eq!(seen.phases[0], Phase::Resolve);
    let refused = Peer {
        turns: [answers("HTTP/1.1 403 No\r\n\r\n")].into(),
        ..Peer::default()
    };
    through(&[refused]).failed(
        Reason::Oauth2Unreachable,
        "the token endpoint https://id.example/token: the proxy http://198.51.100.1:3128: answered CONNECT with 403 No",
    );
}

#[test]
fn one_way_to_say_who_asks_is_enough() {
    let compile = |change: fn(&mut Config)| {
        let mut config = Config {
            oauth2: Some(section()),
            ..Config::default()
        };
        change(&mut config);
        Http::module(&config, &NoFiles).unwrap_err().message
    };
    assert_eq!(
        compile(|config| config.bearer_token = Secret::new("t")),
        "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
    );
    assert_eq!(
        compile(|config| config.basic_auth = Some(BasicAuth::default())),
        "at most one of basic_auth, oauth2 & authorization must be configured"
    );
}

fn signed(key: &str, peers: &[Peer]) -> Seen {
    run_with("http://a.example/", peers, |config| {
        config.oauth2 = Some(OAuth2 {
            grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer".into(),
            client_certificate_key: Secret::new(key),
            scopes: ["a".into()].into(),
            ..section()
        });
    })
}

#[test]
fn a_key_signs_for_a_token() {
    let seen = signed("works", &[token(), ok("")]);
    seen.succeeded();
    let (head, body) = seen.requests[0].split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("Authorization"), "{head}");
    // "signed"
    assert!(body.starts_with("assertion=eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."));
    assert!(body.ends_with(
        ".c2lnbmVk&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=a"
    ));
    assert!(!body.contains("client"), "the secret is of the other grant");
    assert!(seen.requests[1].contains("\r\nAuthorization: Bearer t0k\r\n"));
}

#[test]
fn who_signs_asks_once_and_reads_json_alone() {
    let refused = json(401, r#"{"error":"invalid_grant"}"#);
    signed("works", &[refused, token(), ok("")]).failed(
        Reason::Oauth2Refused,
        "the token endpoint https://id.example/token: answered 401: \"invalid_grant\"",
    );
    let form = answers(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\naccess_token=t0k",
    );
    signed("works", &[form]).failed(
        Reason::Oauth2Malformed,
        "the token endpoint https://id.example/token: answered 200 with 16 bytes that are no token in JSON",
    );
}

#[test]
fn a_signature_that_cannot_be_made_is_no_failure_of_the_target() {
    let seen = signed("broken", &[token(), ok("")]);
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::Internal));
    assert!(
        seen.detail
            .ends_with("the assertion could not be signed: out of ink"),
        "{}",
        seen.detail
    );
    assert!(seen.requests.is_empty() && seen.open.is_empty());
}
