//! Peers that misbehave: each has its outcome and reason, and none holds a run
//! past its deadline. (Names that do not resolve are the simulator's: the real
//! resolver of the machine is not asked here.)

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::peer::Conn;
use probity_tests::support::probity::run;
use probity_tests::support::tls::{self, Authority};
use probity_tests::support::{Peer, Probity};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("bad_input":
        check_names_the_reason_and_ends_by_the_deadline,
        probe_says_0_and_the_server_lives_on,
        a_dripping_answer_is_read_to_its_end,
        requests_cannot_be_injected_into,
        certificates_that_were_refused_still_tell_their_expiry,
    )
}

/// What every run may take.
const TIMEOUT: &str = "2s";
/// When a run must have ended, start of the process and a busy machine
/// included. Peers that go on for ever would fail this if runs did.
const LATE: Duration = Duration::from_secs(30);

/// A peer, and what is to be said of it.
struct Case {
    name: &'static str,
    target: String,
    module: &'static str,
    outcome: &'static str,
    reason: &'static str,
    phase: &'static str,
    _peer: Option<Peer>,
}

fn modules(authority: &Authority) -> String {
    let pem = authority.pem().replace('\n', "\n          ");
    format!(
        "\
modules:
  http: {{prober: http, timeout: {TIMEOUT}}}
  capped: {{prober: http, timeout: {TIMEOUT}, http: {{body_size_limit: 100KB}}}}
  matched: {{prober: http, timeout: {TIMEOUT}, http: {{fail_if_body_not_matches_regexp: [never]}}}}
  tcp: {{prober: tcp, timeout: {TIMEOUT}}}
  tls: {{prober: tcp, timeout: {TIMEOUT}, tcp: {{tls: true}}}}
  trusting:
    prober: http
    timeout: {TIMEOUT}
    http:
      tls_config:
        ca: |
          {pem}
"
    )
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn after_request(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Peer {
    Peer::new(move |mut conn| {
        conn.request();
        script(&mut conn);
    })
}

fn cases(authority: &Authority) -> Vec<Case> {
    let case = |name, module, reason, phase, scheme: &str, peer: Peer| Case {
        name,
        target: format!("{scheme}{}", peer.address),
        module,
        outcome: "failure",
        reason,
        phase,
        _peer: Some(peer),
    };
    let http = |name, reason, phase, peer| case(name, "http", reason, phase, "http://", peer);
    let answer =
        |name, bytes: &[u8]| http(name, "http_malformed", "transfer", Peer::answering(bytes));
    let mut cases = vec![
        http(
            "silence",
            "timeout_processing",
            "processing",
            Peer::new(|mut conn| conn.wait_for_close()),
        ),
        http(
            "hangs up before it answers",
            "peer_closed",
            "processing",
            after_request(|conn| conn.drain()),
        ),
        http(
            "one byte at a time, never done",
            "timeout_transfer",
            "transfer",
            after_request(|conn| {
                conn.send(b"HTTP/1.1 200 OK\r\nX: ");
                conn.send_without_end(b"x", Duration::from_millis(50));
            }),
        ),
        http(
            "endless headers",
            "http_header_limit",
            "transfer",
            after_request(|conn| {
                conn.send(b"HTTP/1.1 200 OK\r\n");
                conn.send_without_end(
                    b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                    Duration::ZERO,
                );
            }),
        ),
        http(
            "one endless header",
            "http_header_limit",
            "transfer",
            after_request(|conn| {
                conn.send(b"HTTP/1.1 200 OK\r\nX: ");
                conn.send_without_end(&[b'a'; 1024], Duration::ZERO);
            }),
        ),
        http(
            "endless body",
            "timeout_transfer",
            "transfer",
            endless_body(),
        ),
        case(
            "endless body with a cap",
            "capped",
            "body_limit",
            "transfer",
            "http://",
            endless_body(),
        ),
        Case {
            outcome: "unknown",
            ..case(
                "endless body to be matched",
                "matched",
                "local_bound",
                "transfer",
                "http://",
                flood(),
            )
        },
        http(
            "body cut short",
            "body_truncated",
            "transfer",
            Peer::answering(*b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"),
        ),
        http(
            "chunks cut short",
            "body_truncated",
            "transfer",
            Peer::answering(*b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        ),
        answer(
            "chunked nonsense",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        ),
        answer(
            "a chunk that is longer than it says",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        ),
        answer(
            "a chunk of absurd length",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        ),
        answer(
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        ),
        answer(
            "a negative length",
            b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        ),
        answer(
            "binary garbage",
            &[
                0, 0xff, 0x80, 7, 0x1b, 0xc0, 0xaf, 0, 0xfe, 0x13, 0x37, 0x90, b'\r', b'\n', b'\r',
                b'\n',
            ],
        ),
        answer("a status that is none", b"HTTP/1.1 2x0 OK\r\n\r\n"),
        answer("another protocol", b"220 mail.example ESMTP\r\n"),
        answer(
            "a header with NUL",
            b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        ),
        answer(
            "a header with a lone CR",
            b"HTTP/1.1 200 OK\r\nX: a\rInjected: b\r\nContent-Length: 2\r\n\r\nok",
        ),
        http(
            "TLS spoken here",
            "http_malformed",
            "transfer",
            tls::peer(authority.good()),
        ),
        case(
            "no TLS spoken here",
            "http",
            "tls_not_tls",
            "tls",
            "https://",
            Peer::new(|mut conn| {
                // As nginx does when it is spoken to in TLS on a plain port.
                let _ = conn.stream.read(&mut [0; 16]);
                conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                conn.drain();
            }),
        ),
        case(
            "no TLS spoken here (tcp)",
            "tls",
            "tls_not_tls",
            "tls",
            "",
            Peer::new(|mut conn| {
                conn.send(b"220 mail.example ESMTP\r\n");
                conn.drain();
            }),
        ),
        case(
            "silence instead of a handshake",
            "tls",
            "timeout_tls",
            "tls",
            "",
            Peer::new(|mut conn| conn.wait_for_close()),
        ),
        case(
            "expired certificate",
            "trusting",
            "tls_certificate_expired",
            "tls",
            "https://",
            tls::peer(authority.expired()),
        ),
        case(
            "self-signed certificate",
            "trusting",
            "tls_unknown_issuer",
            "tls",
            "https://",
            tls::peer(tls::self_signed()),
        ),
        http(
            "redirect loop",
            "http_redirect_limit",
            "transfer",
            redirecting("/again"),
        ),
        http(
            "redirect to a mailbox",
            "http_redirect_invalid",
            "transfer",
            redirecting("mailto:a@b.example"),
        ),
    ];
    for (name, module, scheme) in [("refused", "http", "http://"), ("refused (tcp)", "tcp", "")] {
        cases.push(Case {
            name,
            target: format!("{scheme}{}", dead()),
            module,
            outcome: "failure",
            reason: "connect_refused",
            phase: "connect",
            _peer: None,
        });
    }
    cases
}

fn endless_body() -> Peer {
    after_request(|conn| {
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n");
        conn.send_without_end(&[b'a'; 16 * 1024], Duration::from_millis(1));
    })
}

/// As fast as can be, so that a cap of megabytes is met before the deadline.
fn flood() -> Peer {
    after_request(|conn| {
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n");
        conn.send_without_end(&[b'a'; 256 * 1024], Duration::ZERO);
    })
}

fn redirecting(location: &str) -> Peer {
    Peer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn check_names_the_reason_and_ends_by_the_deadline() {
    let authority = Authority::new();
    let folder = Folder::with(&modules(&authority));
    let config = folder.config();
    let config = config.to_str().expect("text");
    let mut wrong = Vec::new();
    for case in cases(&authority) {
        let args = [
            "check",
            "--config.file",
            config,
            "--output",
            "json",
            "--module",
            case.module,
            "--",
            &case.target,
        ];
        let ended = run(&args);
        let said: serde_json::Value = serde_json::from_str(ended.stdout.trim())
            .unwrap_or_else(|error| panic!("{}: {error}: {ended:?}", case.name));
        let found = (
            said["outcome"].as_str(),
            said["reason"].as_str(),
            said["phase"].as_str(),
            ended.code,
        );
        let expected = (
            Some(case.outcome),
            Some(case.reason),
            Some(case.phase),
            Some(if case.outcome == "unknown" { 3 } else { 1 }),
        );
        if found != expected {
            wrong.push(format!(
                "{}: expected {expected:?}, found {found:?}: {said}",
                case.name
            ));
        }
        if ended.took > LATE {
            wrong.push(format!("{}: took {:?}", case.name, ended.took));
        }
        let seconds = said["duration_seconds"].as_f64();
        if seconds.is_none_or(|seconds| seconds > LATE.as_secs_f64()) {
            wrong.push(format!("{}: duration_seconds {seconds:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn probe_says_0_and_the_server_lives_on() {
    let authority = Authority::new();
    let folder = Folder::with(&modules(&authority));
    let server = Arc::new(Probity::serve(&folder.config()));
    // All at once: the slow ones must not keep the others.
    let threads: Vec<_> = cases(&authority)
        .into_iter()
        .map(|case| {
            let server = Arc::clone(&server);
            std::thread::spawn(move || {
                // All of it, with the peer.
                let case = case;
                let path = format!(
                    "/probe?module={}&target={}",
                    case.module,
                    encode(&case.target)
                );
                let reason = format!("({})", case.reason);
                if case.outcome == "unknown" {
                    let answer = server.get(&path);
                    assert_eq!(answer.status, 503, "{}", case.name);
                    assert!(answer.text().contains(&reason), "{}", answer.text());
                    return;
                }
                let samples = server.samples(&path);
                assert_eq!(
                    samples.value("probe_success", &[]),
                    Some(0.0),
                    "{}",
                    case.name
                );
                let took = samples
                    .value("probe_duration_seconds", &[])
                    .expect("a duration");
                assert!(took < LATE.as_secs_f64(), "{}: {took} s", case.name);
                let debug = server.get(&format!("{path}&debug=true")).ok();
                let reason = format!("reason={}", case.reason);
                assert!(
                    debug.text().contains(&reason),
                    "{}: {}",
                    case.name,
                    debug.text()
                );
            })
        })
        .collect();
    let wrong: Vec<_> = threads
        .into_iter()
        .filter_map(|thread| thread.join().err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} cases went wrong, see above",
        wrong.len()
    );
    let server = Arc::into_inner(server).expect("nobody else");
    assert_eq!(server.get("/-/healthy").status, 200);
    server.stop();
}

fn a_dripping_answer_is_read_to_its_end() {
    let peer = after_request(|conn| {
        for byte in OK {
            conn.send(&[*byte]);
            std::thread::sleep(Duration::from_millis(2));
        }
        conn.wait_for_close();
    });
    let ended = run(&["check", "--output", "json", &peer.url()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// What a user of `/probe` says about a target must not become lines of the
/// request.
fn requests_cannot_be_injected_into() {
    let (send, heard) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let peer = Peer::new(move |mut conn| {
        let request = conn.request();
        let _ = send.lock().map(|send| send.send(request));
        conn.answer(200);
    });
    let folder = Folder::with("modules: {http_2xx: {prober: http, timeout: 5s}}\n");
    let server = Probity::serve(&folder.config());
    let evil = "a\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\n";
    for path in [
        format!("/probe?target={}", encode(&format!("{}{evil}", peer.url()))),
        format!(
            "/probe?target={}",
            encode(&format!("http://{}?{evil}", peer.address))
        ),
        format!(
            "/probe?target={}",
            encode(&format!("http://{evil}@{}/", peer.address))
        ),
        format!(
            "/probe?target={}&hostname={}",
            encode(&peer.url()),
            encode(evil)
        ),
    ] {
        let answer = server.get(&path);
        assert!([200, 400].contains(&answer.status), "{path}: {answer:?}");
    }
    // One that certainly arrives, so that all others have.
    assert_eq!(
        server
            .samples(&format!("/probe?target={}", encode(&peer.url())))
            .value("probe_success", &[]),
        Some(1.0)
    );
    drop(peer);
    let requests: Vec<_> = heard.try_iter().collect();
    assert!(!requests.is_empty());
    for request in requests {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        assert!(
            !text.contains("\nx-evil") && !text.contains("\nget /evil"),
            "{text}"
        );
    }
}

fn certificates_that_were_refused_still_tell_their_expiry() {
    let authority = Authority::new();
    let folder = Folder::with(&modules(&authority));
    let server = Probity::serve(&folder.config());
    let peer = tls::peer(authority.expired());
    let target = encode(&format!("https://{}/", peer.address));
    let samples = server.samples(&format!("/probe?module=trusting&target={target}"));
    assert_eq!(samples.value("probe_success", &[]), Some(0.0));
    assert_eq!(
        samples.value("probe_ssl_earliest_cert_expiry", &[]),
        Some(tls::EXPIRED)
    );

    let good = tls::peer(authority.good());
    let target = encode(&format!("https://{}/", good.address));
    let samples = server.samples(&format!("/probe?module=trusting&target={target}"));
    assert_eq!(samples.value("probe_success", &[]), Some(1.0));
    assert!(
        samples
            .value("probe_ssl_earliest_cert_expiry", &[])
            .is_some_and(|expiry| expiry > tls::EXPIRED)
    );
    assert_eq!(
        samples.value("probe_tls_version_info", &[("version", "TLS 1.3")]),
        Some(1.0)
    );
    assert_eq!(samples.value("probe_http_ssl", &[]), Some(1.0));
}
