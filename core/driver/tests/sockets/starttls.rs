//! Connections that are secured in the middle of a dialogue.

use std::io::{Read, Write};
use std::net::TcpStream;

use probity_engine::check::Module;
use probity_engine::{Outcome, Phase, Reason};

use crate::support::{module, probe, server, start};
use crate::tls::{Ca, accept};

/// Expects a greeting, asks for TLS, and expects another one behind it.
fn dialogue(ca: &Ca) -> Module {
    let pem = ca.pem();
    module(&format!(
        r#"{{"prober": "tcp", "tcp": {{
            "tls_config": {{"ca": "{pem}"}},
            "query_response": [
                {{"expect": "^220 (.*)$", "send": "STARTTLS ${{1}}\r", "labels": [{{"name": "greeting", "value": "$1"}}]}},
                {{"expect": "^221 ", "starttls": true}},
                {{"send": "EHLO\r"}},
                {{"expect": "^250 (.*)$", "labels": [{{"name": "answer", "value": "$1"}}]}},
                {{"expect_bytes": "\u0001\u0002", "send_bytes": "\u0003"}}
            ]
        }}}}"#
    ))
}

fn read_line(stream: &mut impl Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text")
}

/// Greets, and says that TLS may begin, with `more` in the same segment.
fn greet(stream: &mut TcpStream, more: &[u8]) {
    let _ = stream.write_all(b"220 hello\r\n");
    assert_eq!(read_line(stream), "STARTTLS hello\r\n");
    let _ = stream.write_all(&[b"221 go\r\n", more].concat());
}

#[test]
fn a_connection_is_secured_midway() {
    let (handle, ca) = (start(1), Ca::new());
    let config = ca.config(4095);
    // What was put behind the last word in plaintext is not taken for an
    // answer that came through TLS.
    let address = server(move |mut stream| {
        greet(&mut stream, b"250 injected\r\n\x01\x02");
        let mut stream = accept(&config, stream);
        assert_eq!(read_line(&mut stream), "EHLO\r\n");
        let _ = stream.write_all(b"250-more\r\n250 welcome\r\n\x01\x02");
        let mut last = [0];
        let _ = stream.read(&mut last);
        assert_eq!(last, [3]);
    });
    for _ in 0..5 {
        let report = probe(&handle, &dialogue(&ca), &address.to_string());
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
        let labels: Vec<_> = report.labels.iter().collect();
        assert_eq!(labels, [("greeting", "hello"), ("answer", "welcome")]);
        assert_eq!(report.phases.iter().count(), Phase::ALL.len());
        assert_eq!(report.tls.expect("a handshake").version, "TLS 1.3");
    }
}

#[test]
fn a_peer_that_only_pretends_to_begin_tls_is_found_out() {
    let (handle, ca) = (start(1), Ca::new());
    let address = server(|mut stream| {
        greet(&mut stream, b"");
        let _ = stream.write_all(b"250 welcome\r\n\x01\x02");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let report = probe(&handle, &dialogue(&ca), &address.to_string());
    assert_eq!(report.outcome, Outcome::Failure(Reason::TlsNotTls));
    assert_eq!(report.phase, Phase::Tls);
}

#[test]
fn a_peer_that_leaves_after_its_answer_has_failed_the_handshake() {
    let (handle, ca) = (start(1), Ca::new());
    let address = server(|mut stream| greet(&mut stream, b"250 injected\r\n"));
    let report = probe(&handle, &dialogue(&ca), &address.to_string());
    assert_eq!(report.outcome, Outcome::Failure(Reason::TlsHandshake));
    let labels: Vec<_> = report.labels.iter().collect();
    assert_eq!(labels, [("greeting", "hello")]);
}
