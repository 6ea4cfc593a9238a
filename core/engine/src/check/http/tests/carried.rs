//! What requests carry: cookies, Referer, further fields, the body of a file.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::super::config::HttpHeader;
use super::super::*;
use super::world::{FewFiles, Peer, answers, ok, redirects, run, run_with};
use crate::config::Secret;
use crate::limits::{MAX_OWN_BODY_BYTES, MAX_REQUEST_BODY_BYTES};
use crate::outcome::Outcome;

fn sets(cookie: &str, location: &str) -> Peer {
    answers(&format!(
        "HTTP/1.1 302 Found\r\nSet-Cookie: {cookie}\r\nLocation: {location}\r\n\r\n"
    ))
}

/// The value of a field of a request.
fn field<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next()
}

/// TestCookieJar.
#[test]
fn a_cookie_of_a_redirect_is_sent_on() {
    let peers = [
        sets("k=v", "/next"),
        sets("s=t; Secure", "http://b.test/"),
        sets("k=other", "http://a.test/"),
        ok(""),
    ];
    let seen = run("http://a.test/", &peers);
    seen.succeeded();
    let cookies: Vec<_> = seen.requests.iter().map(|it| field(it, "Cookie")).collect();
    assert_eq!(cookies, [None, Some("k=v"), None, Some("k=v")]);
}

#[test]
fn a_configured_cookie_stays_with_its_host_and_gives_way_to_what_is_set() {
    let peers = [sets("a=2", "/x"), redirects(302, "http://b.test/"), ok("")];
    let seen = run_with("http://a.test/", &peers, |config| {
        let cookie = ("Cookie".into(), "a=1; b=1".into());
        config.headers.extend([cookie]);
    });
    let cookies: Vec<_> = seen.requests.iter().map(|it| field(it, "Cookie")).collect();
    assert_eq!(cookies, [Some("a=1; b=1"), Some("b=1; a=2"), None]);
}

#[test]
fn referer_says_where_a_redirect_came_from_and_never_too_much() {
    let peers = [
        redirects(302, "https://a.test/y?q#part"),
        redirects(302, "https://b.test/"),
        redirects(302, "http://c.test/"),
        ok(""),
    ];
    let seen = run("http://u:p@a.test:81/x", &peers);
    let told: Vec<_> = seen
        .requests
        .iter()
        .map(|it| field(it, "Referer"))
        .collect();
    let expected = [
        None,
        Some("http://a.test:81/x"),
        Some("https://a.test/y?q"),
        None,
    ];
    assert_eq!(told, expected);
    let order: Vec<&str> = seen.requests[1]
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    let sorted = [
        "Host",
        "User-Agent",
        "Authorization",
        "Referer",
        "Connection",
    ];
    assert_eq!(order, sorted);
    let configured = run_with(
        "http://a.test/",
        &[redirects(302, "/x"), ok("")],
        |config| {
            config.headers.extend([("Referer".into(), "mine".into())]);
        },
    );
    assert_eq!(field(&configured.requests[1], "Referer"), Some("mine"));
}

#[test]
fn http_headers_are_added_and_their_secrets_stay_with_the_host() {
    let peers = [redirects(302, "http://b.test/"), ok("")];
    let seen = run_with("http://a.test/", &peers, |config| {
        config.headers.extend([("X-Key".into(), "0".into())]);
        let header = HttpHeader {
            values: vec!["1".into(), "2".into()],
            secrets: vec![Secret::new("s3cret")],
            files: Vec::new(),
        };
        config.http_headers.extend([("x-key".into(), header)]);
    });
    let sent = "X-Key: 0\r\nX-Key: 1\r\nX-Key: 2\r\n";
    let first = format!("{sent}X-Key: s3cret\r\n");
    assert!(seen.requests[0].contains(&first), "{}", seen.requests[0]);
    assert!(seen.requests[1].contains(sent) && !seen.requests[1].contains("s3cret"));
}

#[test]
fn no_field_can_frame_the_body_anew() {
    let seen = run_with("http://a.test/", &[ok("")], |config| {
        config.method = "POST".into();
        config.body = "x".into();
        for name in ["transfer-encoding", "Trailer"] {
            let header = HttpHeader {
                values: vec!["chunked".into()],
                ..HttpHeader::default()
            };
            config.http_headers.extend([(name.into(), header)]);
        }
    });
    assert!(
        !seen.requests[0].contains("chunked"),
        "{}",
        seen.requests[0]
    );
    assert_eq!(field(&seen.requests[0], "Content-Length"), Some("1"));
}

fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    Module::new(&config, &FewFiles).unwrap_err().message
}

#[test]
fn contradictions_are_refused_in_the_words_of_blackbox_exporter() {
    for name in ["authorization", "Host", "Keep-Alive", "X-Amz-Date"] {
        let found = refusal(|config| {
            config
                .http_headers
                .extend([(name.into(), HttpHeader::default())]);
        });
        assert!(found.starts_with("setting header \"") && found.ends_with("is not allowed"));
    }
    let both = refusal(|config| {
        config.body = "x".into();
        config.body_file = "y".into();
    });
    assert_eq!(both, "setting body and body_file both are not allowed");
    let http3 = |versions: &[&str], h2: bool, h3: bool| {
        refusal(|config| {
            config.valid_http_versions = versions.iter().map(|it| String::from(*it)).collect();
            config.enable_http2 = h2;
            config.enable_http3 = h3;
        })
    };
    assert!(http3(&["HTTP/3.0"], true, false).ends_with("when enable_http3 is false"));
    assert!(http3(&["HTTP/3.0", "HTTP/2.0"], true, true).contains("cannot be used together"));
    assert!(http3(&[], true, true).ends_with("enable_http2 must be set to false"));
    assert!(http3(&[], false, true).contains("not spoken by this version"));
}

/// TestBody, and what becomes of a file when it would be sent again.
#[test]
fn the_body_of_a_file_is_sent_once_in_chunks() {
    let file = |config: &mut Config| {
        config.method = "POST".into();
        config.body_file = "body".into();
    };
    let seen = run_with("http://a.test/", &[ok("")], file);
    seen.succeeded();
    let request = &seen.requests[0];
    assert!(
        request.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("\r\n\r\n9\r\nTest Body\r\n0\r\n\r\n"),
        "{request}"
    );
    let again = run_with("http://a.test/", &[redirects(307, "/x"), ok("")], file);
    again.failed(Reason::HttpStatus, "status 307, expected 2xx");
    assert_eq!(again.fact("http_redirects"), Some(0.0));
    assert_eq!(again.fact("http_uncompressed_body_length"), Some(5.0));
    let other = run_with("http://a.test/", &[redirects(303, "/x"), ok("")], file);
    assert_eq!(other.outcome, Outcome::Success);
    assert!(other.requests[1].starts_with("GET /x ") && !other.requests[1].contains("chunked"));
}

/// It is not copied for every target.
#[test]
fn a_large_body_is_kept_once_and_sent_after_the_head() {
    for (body, file) in [("y".repeat(10_000), ""), (String::new(), "large")] {
        let config = Config {
            method: "POST".into(),
            body: body.as_str().into(),
            body_file: file.into(),
            ..Config::default()
        };
        let module = Arc::new(Module::new(&config, &FewFiles).unwrap());
        let params = TargetParams::default();
        let spec = Http::target(&module, "http://a.test/", params).unwrap();
        assert!(Http::request(&spec).len() < MAX_OWN_BODY_BYTES);
        let change = |changed: &mut Config| *changed = config.clone();
        let peers = [redirects(307, "/x"), ok("")];
        let seen = run_with("http://a.test/", &peers, change);
        let sent = seen.requests.concat();
        if file.is_empty() {
            seen.succeeded();
            let length = "Content-Length: 10000\r\n";
            assert_eq!(sent.matches(length).count(), 2, "at first, and redirected");
            assert_eq!(sent.matches(&*body).count(), 2);
        } else {
            let expected = format!("\r\n\r\n2710\r\n{}\r\n0\r\n\r\n", "x".repeat(10_000));
            assert!(sent.ends_with(&expected));
        }
    }
}

#[test]
fn what_is_sent_with_every_run_is_bounded() {
    let (most, found) = (MAX_REQUEST_BODY_BYTES, MAX_REQUEST_BODY_BYTES + 1);
    let rule = format!("expected at most {most} bytes, found {found}");
    assert_eq!(
        refusal(|config| config.body = "x".repeat(found).as_str().into()),
        rule
    );
    let file = refusal(|config| config.body_file = "too large".into());
    assert_eq!(file, format!("too large: {rule}"));
}
