//! What blackbox_exporter's own tests ask of its probers, where it takes real
//! sockets, names, certificates or an environment.

use std::io::Read as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::metrics::Samples;
use probity_tests::support::tls::{self, Authority, in_future};
use probity_tests::support::{LIMIT, Peer, Probity, until};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    let dual_stack = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let mut trials = trials!("probers":
        one_address_is_tried_in_the_family_that_is_wanted,
    );
    trials = trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(!dual_stack))
        .collect();
    trials.extend(trials!("probers":
        proxies_come_from_the_environment,
        a_port_that_accepts_is_enough,
        the_name_that_a_certificate_is_verified_for,
        the_ends_of_a_chain_with_two_roots,
        an_irc_server_greets_or_throws_out,
        what_a_dialogue_found_out_is_in_the_api,
    ));
    trials
}

fn probe(server: &Probity, module: &str, target: &str) -> Samples {
    let target = encode(target);
    server.samples(&format!("/probe?module={module}&target={target}"))
}

#[track_caller]
fn assert_success(samples: &Samples, expected: bool) {
    let found = samples.value("probe_success", &[]);
    assert_eq!(found, Some(f64::from(u8::from(expected))), "{samples:?}");
}

/// A proxy that answers every request itself, and tells what it was asked.
fn proxy(status: u16) -> (Peer, Receiver<String>) {
    let (tx, rx) = channel();
    let peer = Peer::new(move |mut conn| {
        let head = String::from_utf8_lossy(&conn.request()).into_owned();
        let _ = tx.send(head.lines().next().unwrap_or_default().to_owned());
        conn.answer(status);
    });
    (peer, rx)
}

/// TestSkipResolvePhase, for HTTP_PROXY; the rest is how Go reads the
/// environment.
fn proxies_come_from_the_environment() {
    let (plain, asked_plain) = proxy(200);
    let (secured, asked_secured) = proxy(403);
    let direct = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(
        "\
modules:
  by_name: {prober: http, http: {proxy_from_environment: true, skip_resolve_phase_with_proxy: true}}
  resolved: {prober: http, http: {proxy_from_environment: true}}
  without: {prober: http}
",
    );
    folder.write("hosts", "127.0.0.1 direct.example\n192.0.2.1 far.example\n");
    let hosts = format!("--dns.hosts={}", folder.path().join("hosts").display());
    let (http, https) = (plain.address.to_string(), secured.url());
    let server = Probity::serve_in(
        &folder.config(),
        &[&hosts],
        &[
            // Go takes what has no scheme for http.
            ("HTTP_PROXY", &http),
            ("HTTPS_PROXY", &https),
            ("NO_PROXY", "elsewhere.example, direct.example"),
        ],
    );
    let asked = |by: &Receiver<String>| by.recv_timeout(LIMIT).expect("the proxy is asked");

    let skipped = probe(&server, "by_name", "http://far.example/x?y");
    assert_success(&skipped, true);
    assert_eq!(asked(&asked_plain), "GET http://far.example/x?y HTTP/1.1");
    let phase = |samples: &Samples, name| {
        samples
            .value("probe_http_duration_seconds", &[("phase", name)])
            .is_some()
    };
    assert!(!phase(&skipped, "resolve"), "{skipped:?}");
    for name in ["connect", "processing", "transfer", "tls"] {
        assert!(phase(&skipped, name), "{name}: {skipped:?}");
    }
    assert_eq!(skipped.value("probe_ip_protocol", &[]), None);

    let resolved = probe(&server, "resolved", "http://far.example/");
    assert_success(&resolved, true);
    assert_eq!(asked(&asked_plain), "GET http://far.example/ HTTP/1.1");
    assert!(phase(&resolved, "resolve"), "{resolved:?}");
    assert_eq!(resolved.value("probe_ip_protocol", &[]), Some(4.0));

    let tunnelled = probe(&server, "by_name", "https://far.example/");
    assert_success(&tunnelled, false);
    assert_eq!(asked(&asked_secured), "CONNECT far.example:443 HTTP/1.1");

    // Exceptions, and what is on this machine, whatever the variables say.
    for (module, host) in [
        ("resolved", "direct.example".to_owned()),
        ("by_name", "direct.example".to_owned()),
        ("by_name", "127.0.0.1".to_owned()),
        ("without", "127.0.0.1".to_owned()),
    ] {
        let target = format!("http://{host}:{}/", direct.address.port());
        assert_success(&probe(&server, module, &target), true);
    }
    assert_eq!(direct.connections(), 4);
    assert_eq!(plain.connections(), 2);
    assert_eq!(secured.connections(), 1);
    server.stop();
}

/// A port at which somebody accepts in both families, and answers.
fn dual_stack() -> (Peer, Peer) {
    let script = |mut conn: probity_tests::support::peer::Conn| {
        conn.request();
        conn.answer(200);
    };
    until("a port is free in both families", || {
        let four = Peer::new(script);
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, four.address.port()));
        // Somebody may have it.
        drop(std::net::TcpListener::bind(six).ok()?);
        Some((four, Peer::at(six, script)))
    })
}

/// TestTCPConnectionProtocol, and the same for http: there is one attempt at
/// one address.
fn one_address_is_tried_in_the_family_that_is_wanted() {
    let (four, six) = dual_stack();
    let mut modules = "modules:\n".to_owned();
    for prober in ["tcp", "http"] {
        for (name, options) in [
            ("unset", "ip_protocol_fallback: false"),
            (
                "four",
                "preferred_ip_protocol: ip4, ip_protocol_fallback: false",
            ),
            (
                "six",
                "preferred_ip_protocol: ip6, ip_protocol_fallback: false",
            ),
            ("falls_back", "preferred_ip_protocol: ip6"),
            ("falls_back_to_six", "preferred_ip_protocol: ip4"),
        ] {
            modules +=
                &format!("  {prober}_{name}: {{prober: {prober}, {prober}: {{{options}}}}}\n");
        }
    }
    let folder = Folder::with(&modules);
    folder.write(
        "hosts",
        "127.0.0.1 both.example four.example\n::1 both.example six.example\n",
    );
    let hosts = format!("--dns.hosts={}", folder.path().join("hosts").display());
    let server = Probity::serve_with(&folder.config(), &[&hosts]);
    let port = four.address.port();
    for prober in ["tcp", "http"] {
        for (module, host, expected) in [
            ("unset", "both", Some(6.0)),
            ("four", "both", Some(4.0)),
            ("six", "both", Some(6.0)),
            ("falls_back", "both", Some(6.0)),
            ("falls_back_to_six", "both", Some(4.0)),
            ("falls_back", "four", Some(4.0)),
            ("falls_back_to_six", "six", Some(6.0)),
            ("unset", "four", None),
            ("six", "four", None),
            ("four", "six", None),
        ] {
            let module = format!("{prober}_{module}");
            let samples = probe(&server, &module, &format!("{host}.example:{port}"));
            let found = samples.value("probe_ip_protocol", &[]);
            assert_eq!(found, Some(expected.unwrap_or(0.0)), "{module} {host}");
            assert_success(&samples, expected.is_some());
        }
    }
    // Nobody falls back to another address once one was chosen.
    drop(six);
    let target = format!("both.example:{port}");
    let gone = until("nobody listens there any more", || {
        let samples = probe(&server, "tcp_falls_back", &target);
        (samples.value("probe_success", &[]) == Some(0.0)).then_some(samples)
    });
    assert_eq!(gone.value("probe_ip_protocol", &[]), Some(6.0));
    server.stop();
}

/// TestTCPConnection, TestTCPConnectionFails.
fn a_port_that_accepts_is_enough() {
    let folder = Folder::with("modules: {tcp: {prober: tcp}}\n");
    let server = Probity::serve(&folder.config());
    let peer = Peer::new(drop);
    assert_success(&probe(&server, "tcp", &peer.address.to_string()), true);
    for target in [dead().to_string(), ":0".to_owned()] {
        let samples = probe(&server, "tcp", &target);
        assert_success(&samples, false);
        assert_eq!(samples.value("probe_failed_due_to_regex", &[]), None);
    }
    server.stop();
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// TestTCPConnectionWithTLS: the certificate is for `localhost` alone.
fn the_name_that_a_certificate_is_verified_for() {
    let authority = Authority::new();
    let end = in_future(DAY * 30);
    let peer = tls::peer_of(authority.localhost_until(end), &[&rustls::version::TLS12]);
    let folder = Folder::new();
    folder.write("ca.pem", &authority.pem());
    let ca = folder.path().join("ca.pem").display().to_string();
    folder.write(
        "probity.yml",
        &format!(
            "\
modules:
  plain: {{prober: tcp, tcp: {{tls: true, preferred_ip_protocol: ip4, tls_config: {{ca_file: '{ca}'}}}}}}
  named: {{prober: tcp, tcp: {{tls: true, tls_config: {{ca_file: '{ca}', server_name: localhost}}}}}}
  web: {{prober: http, http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: '{ca}'}}}}}}
"
        ),
    );
    let server = Probity::serve(&folder.config());
    let port = peer.address.port();
    let (address, name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let refused = probe(&server, "plain", &address);
    assert_success(&refused, false);
    assert_eq!(refused.all("probe_tls_version_info", &[]).count(), 0);
    // TestHTTPUsesTargetAsTLSServerName is the last one.
    for (module, target) in [
        ("plain", &*name),
        ("named", &*address),
        ("web", &*format!("https://{name}/")),
    ] {
        let samples = probe(&server, module, target);
        assert_success(&samples, true);
        let version = [("version", "TLS 1.2")];
        assert_eq!(samples.value("probe_tls_version_info", &version), Some(1.0));
        let expiry = samples.value("probe_ssl_earliest_cert_expiry", &[]);
        assert_eq!(expiry, Some(end as f64), "{module}");
        let info = [("subjectalternative", "localhost")];
        assert_eq!(samples.value("probe_ssl_last_chain_info", &info), Some(1.0));
    }
    // As the parameter says, unless the module does.
    let hostname = |module: &str, name: &str| {
        let target = encode(&address);
        server.samples(&format!(
            "/probe?module={module}&target={target}&hostname={name}"
        ))
    };
    assert_success(&hostname("plain", "localhost"), true);
    assert_success(&hostname("plain", "other.example"), false);
    assert_success(&hostname("named", "other.example"), true);
    server.stop();
}

/// TestTCPConnectionWithTLSAndVerifiedCertificateChain: two roots of one name
/// and key, one of which the server sends too.
fn the_ends_of_a_chain_with_two_roots() {
    let [one_day, two_days, three_days] = [1, 2, 3].map(|days| in_future(DAY * days));
    let (long, short) = {
        let authority = Authority::new();
        let short = authority.renewed_until(one_day);
        (authority.renewed_until(three_days), short)
    };
    let peer = tls::peer(long.localhost_until(two_days).and(&short));
    let folder = Folder::new();
    folder.write("ca.pem", &format!("{}{}", long.pem(), short.pem()));
    let ca = folder.path().join("ca.pem").display().to_string();
    folder.write(
        "probity.yml",
        &format!(
            "\
modules:
  tcp: {{prober: tcp, tcp: {{tls: true, preferred_ip_protocol: ip4, tls_config: {{ca_file: '{ca}'}}}}}}
  http: {{prober: http, http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: '{ca}'}}}}}}
"
        ),
    );
    let server = Probity::serve(&folder.config());
    let port = peer.address.port();
    for (module, target) in [
        ("tcp", format!("localhost:{port}")),
        ("http", format!("https://localhost:{port}/")),
    ] {
        let samples = probe(&server, module, &target);
        assert_success(&samples, true);
        let value = |name| samples.value(name, &[]);
        // Of what was sent the root ends first; of what was verified the leaf.
        let earliest = value("probe_ssl_earliest_cert_expiry");
        assert_eq!(earliest, Some(one_day as f64), "{module}");
        let last = value("probe_ssl_last_chain_expiry_timestamp_seconds");
        assert_eq!(last, Some(two_days as f64), "{module}");
        assert_eq!(value("probe_ssl_last_chain_info"), Some(1.0), "{module}");
        assert_eq!(value("probe_tls_version_info"), Some(1.0), "{module}");
    }
    server.stop();
}

/// TestTCPConnectionQueryResponseIRC.
fn an_irc_server_greets_or_throws_out() {
    let folder = Folder::with(
        "\
modules:
  irc:
    prober: tcp
    tcp:
      query_response:
        - send: NICK watcher
        - send: USER watcher watcher watcher :watcher
        - expect: '^:[^ ]+ 001'
",
    );
    let server = Probity::serve(&folder.config());
    for (answer, expected) in [
        (
            ":irc.example NOTICE AUTH :who are you\r\n:irc.example 001 watcher :come in\r\n",
            true,
        ),
        ("ERROR :Closing Link: no watchers here\r\n", false),
    ] {
        let peer = Peer::new(move |mut conn| {
            let mut heard = Vec::new();
            let mut byte = [0];
            while heard.iter().filter(|byte| **byte == b'\n').count() < 2
                && conn.stream.read(&mut byte).is_ok_and(|count| count == 1)
            {
                heard.push(byte[0]);
            }
            let asked = "NICK watcher\nUSER watcher watcher watcher :watcher\n";
            if heard == asked.as_bytes() {
                conn.send(answer.as_bytes());
            }
            conn.drain();
        });
        let samples = probe(&server, "irc", &peer.address.to_string());
        assert_success(&samples, expected);
        let failed = f64::from(u8::from(!expected));
        assert_eq!(
            samples.value("probe_failed_due_to_regex", &[]),
            Some(failed)
        );
    }
    server.stop();
}

fn what_a_dialogue_found_out_is_in_the_api() {
    let peer = Peer::new(|mut conn| {
        conn.send(b"SSH-2.0-Sshd_9 \"quoted\" \xff\r\n");
        conn.wait_for_close();
    });
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let folder = Folder::with(&format!(
        "\
modules:
  ssh:
    prober: tcp
    tcp:
      query_response:
        - expect: '^SSH-2.0-([^ ]+) (.*)$'
          labels: [{{name: version, value: '$1'}}, {{name: comments, value: 'said: $2'}}]
jobs:
  - job_name: ssh
    module: ssh
    interval: 300ms
    timeout: 300ms
    static_configs: [{{targets: ['{}', '{}'], labels: {{team: sre}}}}]
",
        peer.address, silent.address
    ));
    let server = Probity::serve(&folder.config());
    let judged = |query: &str| {
        until("a target has been judged", || {
            let targets = server.targets(query);
            targets.first().cloned()
        })
    };
    let up = judged("outcome=success");
    let expected =
        serde_json::json!({"comments": "said: \"quoted\" \u{fffd}", "version": "Sshd_9"});
    assert_eq!(up["last"]["labels"], expected, "{up}");
    // Its own labels are another matter.
    assert_eq!(up["labels"]["team"], "sre", "{up}");
    let silent = silent.address.to_string();
    let down = judged(&format!("reason=timeout_processing&target={silent}"));
    assert_eq!(down["last"].get("labels"), None, "{down}");
    server.stop();
}
