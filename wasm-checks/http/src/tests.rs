use probity_check::testing::{Run, cut_everywhere, refusal, replay};
use probity_check::{Outcome, Reason};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn transcript() {
    replay::<Http>(include_str!("../transcript.txt"));
}

#[test]
fn any_cut_gives_the_same_verdict() {
    cut_everywhere::<Http>("{}", OK, &Outcome::Up);
}

#[test]
fn what_takes_another_connection_is_no_option() {
    for field in [
        "follow_redirects",
        "oauth2",
        "proxy_url",
        "source_ip_address",
        "tls_config",
        "fail_if_body_json_matches_cel",
        "body_file",
        "metod",
    ] {
        let why = refusal::<Http>(&format!(r#"{{"{field}": null}}"#)).unwrap_or_default();
        let named = format!("unknown field `{field}`, expected ");
        assert!(why.starts_with(&named), "{field}: {why}");
    }
}

#[test]
fn options_are_checked_by_the_engine() {
    for (config, words) in [
        (
            r#"{"path": "a"}"#,
            "path: expected a path that begins with /, found \"a\"",
        ),
        (
            r#"{"path": "/a#b"}"#,
            "path: expected a path without a fragment",
        ),
        (r#"{"method": "G T"}"#, "method: "),
        (
            r#"{"headers": {"a b": "c"}}"#,
            "headers.a b: expected the name of a header",
        ),
        (
            r#"{"fail_if_body_matches_regexp": ["("]}"#,
            "fail_if_body_matches_regexp",
        ),
        (
            r#"{"http_headers": {"A": {"files": ["/etc/passwd"]}}}"#,
            "http_headers.A.files[0]: ",
        ),
        (
            r#"{"basic_auth": {"username": "a", "password_file": "b"}}"#,
            "basic_auth.password_file: ",
        ),
    ] {
        let why = refusal::<Http>(config).unwrap_or_else(|| panic!("{config} is taken"));
        assert!(why.starts_with(words), "{config}: {why}");
    }
}

/// What is sent to a host, as its target is written.
fn sent(host: &str, port: u16, tls: bool) -> String {
    let tls = tls.then(probity_check::testing::tls);
    let mut context = probity_check::testing::context(r#"{"path": "/a?b=c"}"#, tls);
    context.target.host = host.into();
    context.target.port = port;
    let mut run = Run::<Http>::open_in(&context);
    String::from_utf8(run.connected().sent()).expect("a request")
}

#[test]
fn the_target_is_asked_for_as_it_is_written() {
    for (host, port, tls, authority) in [
        ("a.test", 80, false, "a.test"),
        ("a.test", 443, false, "a.test:443"),
        ("a.test", 443, true, "a.test"),
        ("a.test", 80, true, "a.test:80"),
        ("192.0.2.1", 8080, false, "192.0.2.1:8080"),
        ("2001:db8::1", 80, false, "[2001:db8::1]"),
        ("2001:db8::1", 81, false, "[2001:db8::1]:81"),
    ] {
        let found = sent(host, port, tls);
        let expected = format!("GET /a?b=c HTTP/1.1\r\nHost: {authority}\r\n");
        assert!(found.starts_with(&expected), "{host}: {found}");
    }
}

#[test]
fn what_is_too_much_for_one_turn_goes_on_in_the_next() {
    let config = r#"{"fail_if_body_matches_regexp": ["a.*b.*c"]}"#;
    let mut run = Run::<Http>::open(config);
    let body = "ab".repeat(400 << 10);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    run.connected().data(head);
    for piece in body.as_bytes().chunks(16 << 10) {
        run.data(piece);
    }
    let mut turns = 0;
    while run.outcome().is_none() {
        assert!(
            run.timers().iter().any(|(id, _)| *id == MORE),
            "it waits for nothing"
        );
        run.timer(MORE);
        turns += 1;
    }
    assert_eq!(run.outcome(), Some(&Outcome::Up));
    assert!(turns > 1, "{turns}");
}

#[test]
fn a_name_that_no_url_has_is_nothing_to_ask_for() {
    let mut context = probity_check::testing::context("{}", None);
    context.target.host = "a b".into();
    let mut run = Run::<Http>::open_in(&context);
    let Some(Outcome::Unknown(why)) = run.connected().outcome() else {
        panic!("{:?}", run.outcome());
    };
    assert!(why.contains("expected an http or https URL"), "{why}");
}

#[test]
fn metrics_are_those_of_the_engine() {
    let description = Http::describe();
    let names: Vec<&str> = description
        .metrics
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "content_length",
            "uncompressed_body_length",
            "redirects",
            "ssl",
            "status_code",
            "version",
            "failed_due_to_regex",
            "last_modified_timestamp_seconds"
        ]
    );
}

#[test]
fn every_reason_has_its_class() {
    for (why, expected) in [
        (Why::HttpStatus, Reason::Unexpected),
        (Why::BodyMismatch, Reason::Unexpected),
        (Why::HttpMalformed, Reason::Malformed),
        (Why::HttpHeaderLimit, Reason::TooMuch),
        (Why::BodyLimit, Reason::TooMuch),
        (Why::BodyTruncated, Reason::Closed),
    ] {
        assert_eq!(class(why), expected, "{why}");
    }
}
