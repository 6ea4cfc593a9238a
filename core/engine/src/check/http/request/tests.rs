//! How requests look, and what headers may be.

use super::*;
use crate::check::http::config::Config;
use crate::config::NoFiles;

fn module(change: impl FnOnce(&mut Config)) -> Module {
    let mut config = Config::default();
    change(&mut config);
    Module::new(&config, &NoFiles).unwrap()
}

fn render(module: &Module, target: &str) -> String {
    let url = Url::target(target).unwrap();
    String::from_utf8(first(module, &url).render()).unwrap()
}

fn first<'a>(module: &'a Module, url: &'a Url) -> Request<'a> {
    Request {
        module,
        url,
        host: module.host.as_deref(),
        bare: false,
        trusted: true,
        token: None,
        carried: None,
    }
}

#[test]
fn a_plain_request_is_that_of_blackbox_exporter() {
    let expected = format!(
        "GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(render(&module(|_| {}), "a.example:8080/x?y"), expected);
    let v6 = render(&module(|_| {}), "http://[::1]/");
    assert!(v6.contains("\r\nHost: [::1]\r\n"));
}

#[test]
fn fields_are_canonical_sorted_and_complete() {
    let module = module(|config| {
        config.method = "POST".into();
        config.body = "{}".into();
        config.bearer_token = Secret::new("t");
        for (name, value) in [
            ("x-b", "2"),
            ("ACCEPT", " text/plain "),
            ("host", "vhost.example:1"),
            ("user-agent", ""),
            ("content-length", "99"),
            ("Content-type", "application/json"),
        ] {
            config.headers.insert(name.into(), value.into());
        }
    });
    let expected = "POST / HTTP/1.1\r\nHost: vhost.example:1\r\nContent-Length: 2\r\n\
        Accept: text/plain\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n\
        X-B: 2\r\nConnection: close\r\n\r\n{}";
    assert_eq!(render(&module, "a"), expected);
}

#[test]
fn in_http_2_what_is_about_a_connection_is_left_out() {
    let module = module(|config| {
        config.method = "PUT".into();
        config.body = "{}".into();
        for (name, value) in [
            ("Host", "vhost.example"),
            ("Connection", "keep-alive"),
            ("Upgrade", "websocket"),
            ("TE", "trailers"),
            ("Keep-Alive", "x"),
            ("X-Key", "secret"),
        ] {
            config.headers.insert(name.into(), value.into());
        }
    });
    let url = Url::target("https://a.example/x?y").unwrap();
    let request = Request {
        module: &module,
        url: &url,
        host: module.host.as_deref(),
        bare: false,
        trusted: true,
        token: None,
        carried: None,
    };
    let mut expected = RequestHead::default();
    for (name, value) in [
        (":method", "PUT"),
        (":scheme", "https"),
        (":authority", "vhost.example"),
        (":path", "/x?y"),
        ("user-agent", USER_AGENT),
        ("content-length", "2"),
        ("te", "trailers"),
        ("x-key", "secret"),
    ] {
        expected.push(name, value.as_bytes());
    }
    assert_eq!(request.h2_head(), expected);
    assert_eq!(request.body(), b"{}");
}

#[test]
fn a_post_without_body_says_so() {
    let module = module(|config| config.method = "POST".into());
    assert!(render(&module, "a").contains("\r\nContent-Length: 0\r\n"));
}

#[test]
fn credentials_of_the_url_go_before_those_of_the_module() {
    let with_token = module(|config| config.bearer_token = Secret::new("t"));
    assert!(render(&with_token, "http://u:p@a/").contains("\r\nAuthorization: Basic dTpw\r\n"));
    assert!(render(&with_token, "http://u@a/").contains("\r\nAuthorization: Basic dTo=\r\n"));
    let with_header = module(|config| {
        config.headers.insert("Authorization".into(), "X y".into());
    });
    let text = render(&with_header, "http://u:p@a/");
    assert!(text.contains("\r\nAuthorization: X y\r\n") && !text.contains("Basic"));
}

#[test]
fn an_untrusted_host_sees_no_credentials_and_a_bare_request_no_body() {
    let module = module(|config| {
        config.method = "PUT".into();
        config.body = "secret".into();
        config.bearer_token = Secret::new("secret");
        for (name, value) in [("Cookie", "secret"), ("Content-Type", "secret"), ("X", "y")] {
            config.headers.insert(name.into(), value.into());
        }
    });
    let url = Url::target("a").unwrap();
    let request = Request {
        bare: true,
        trusted: false,
        ..first(&module, &url)
    };
    let text = String::from_utf8(request.render()).unwrap();
    assert!(
        text.starts_with("GET / ") && text.contains("\r\nX: y\r\n"),
        "{text}"
    );
    assert!(
        !text.contains("secret") && !text.contains("Content-Length"),
        "{text}"
    );
}

/// TestIsEncodingAcceptable.
#[test]
fn what_is_accepted_decides_whether_a_coding_may_come() {
    for (coding, accepted, may) in [
        ("gzip", "", true),
        ("gzip", "gzip", true),
        ("gzip", "gzip;q=1.0", true),
        ("gzip", "gzip, compress", true),
        ("gzip", "compress, gzip", true),
        ("br", "gzip, compress", false),
        ("br", "gzip, compress, *", true),
        ("br", "gzip, compress, *;q=0.1", true),
        ("br", "gzip, compress, br;q=0.0", false),
        ("br", "gzip, compress, *;q=0.0", false),
        ("br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0", true),
        ("br", "*;q=0.0, compress;q=0.5, br;q=0.1, gzip;q=1.0", true),
        (
            "br",
            " gzip;q=1.0, compress; q=0.5, br;q=0.1, *; q=0.0 ",
            true,
        ),
        ("gzip", "gzip;q=x", false),
        ("gzip", "GZIP", false),
    ] {
        assert_eq!(accepts(accepted, coding), may, "{coding}: {accepted}");
    }
}

#[test]
fn headers_that_inject_are_refused() {
    for (name, value) in [
        ("X\r\nY", "z"),
        ("", "z"),
        ("X Y", "z"),
        ("X:", "z"),
        ("X", "y\r\nZ: 1"),
        ("X", "y\nZ"),
        ("X", "y\0"),
    ] {
        let configured = [(name.into(), value.into())].into();
        assert!(headers(&configured).is_err(), "{name:?}: {value:?}");
    }
}

#[test]
fn of_two_spellings_one_is_sent() {
    let twice = [("x-a".into(), "1".into()), ("X-A".into(), "2".into())].into();
    assert_eq!(spelled_twice(&twice).collect::<Vec<_>>(), ["x-a"]);
    assert_eq!(headers(&twice).unwrap().fields.len(), 1);
}

#[test]
fn a_host_is_sent_as_go_sends_it() {
    for (written, sent) in [
        ("a.example", "a.example"),
        ("*.example.com", "*.example.com"),
        ("example.com:99999", "example.com:99999"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("b\u{fc}cher:80", "xn--bcher-kva:80"),
        ("[::1]:80", "[::1]:80"),
        ("example.com/path", ""),
        ("http://example.com", ""),
        ("foo bar", ""),
        (" a", ""),
        ("a\r\nX: y", ""),
    ] {
        assert_eq!(&*sent_host(written), sent, "{written}");
    }
    let bytes = [("Host".into(), b"\xff"[..].into())].into();
    assert_eq!(headers(&bytes).unwrap_err().field, "headers.Host");
    let module = module(|config| {
        config.headers.insert("Host".into(), "a/b".into());
    });
    assert!(render(&module, "a").starts_with("GET / HTTP/1.1\r\nHost: \r\n"));
}

#[test]
fn bytes_that_are_no_text_are_sent() {
    let module = module(|config| {
        config.method = "POST".into();
        config.body = b"\x80\xff"[..].into();
        config.headers.insert("X".into(), b"\xff"[..].into());
    });
    let url = Url::target("a").unwrap();
    let bytes = first(&module, &url).render();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(b"\r\nX: \xff\r\n") && has(b"\r\nContent-Length: 2\r\n"));
    assert!(bytes.ends_with(b"\r\n\r\n\x80\xff"));
}

#[test]
fn connect_asks_for_the_host_unless_there_is_a_path() {
    let module = module(|config| config.method = "CONNECT".into());
    let text = render(&module, "http://a.example:1");
    assert!(text.starts_with("CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n"));
    assert!(render(&module, "http://a/x").starts_with("CONNECT /x HTTP/1.1\r\n"));
    let url = Url::target("https://a/").unwrap();
    let mut expected = RequestHead::default();
    for (name, value) in [
        (":method", "CONNECT"),
        (":authority", "a"),
        ("user-agent", USER_AGENT),
    ] {
        expected.push(name, value.as_bytes());
    }
    assert_eq!(first(&module, &url).h2_head(), expected);
}
