//! The byte stream: pieces of any size, both directions, both endings.

use std::io::{Read, Write};

use probity_engine::Reason;
use probity_tls::{Eof, Layer, NotOpen, TlsOptions};
use rustls::version::{TLS12, TLS13};

use crate::common::{Heard, Server, Wire, client, handshake, leaf_params, root, trusting};

/// Does not repeat with the size of a record.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn pairs() -> impl Iterator<Item = (Wire, &'static str)> {
    [(&TLS12, "TLS 1.2"), (&TLS13, "TLS 1.3")]
        .into_iter()
        .map(|(version, name)| {
            let ca = root();
            let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
            server.only = Some(version);
            let config = client(&trusting(ca.as_ref()));
            (Wire::new(&config, "example.test", server), name)
        })
}

fn server_reads(wire: &mut Wire, length: usize) -> Vec<u8> {
    let mut read = vec![0; length];
    wire.server.reader().read_exact(&mut read).expect("data");
    read
}

#[test]
fn a_handshake_and_data_one_byte_at_a_time() {
    for (mut wire, version) in pairs() {
        wire.piece = 1;
        wire.settle();
        assert_eq!(wire.heard.info().version, version);
        wire.server.writer().write_all(b"hello").unwrap();
        wire.server.send_close_notify();
        wire.settle();
        assert_eq!(wire.heard.data, b"hello");
        assert_eq!(wire.heard.closed, 1);
        assert_eq!(wire.heard.failure, None);
    }
}

#[test]
fn large_plaintext_goes_both_ways_whole() {
    const SIZE: usize = 1_000_003;
    for (mut wire, _) in pairs() {
        // No multiple of anything, so that records are cut everywhere.
        wire.piece = 7_919;
        wire.settle();
        let sent = pattern(SIZE);
        wire.server.set_buffer_limit(None);
        wire.server.writer().write_all(&sent).unwrap();
        wire.settle();
        assert!(wire.heard.data == sent, "{} bytes", wire.heard.data.len());

        // The server's end reads as it goes: its plaintext buffer is bounded.
        let mut to_server = Vec::new();
        wire.layer.send(&sent, &mut to_server).unwrap();
        let mut got = Vec::new();
        let mut rest = &to_server[..];
        while !rest.is_empty() {
            wire.server.read_tls(&mut rest).unwrap();
            let waiting = wire.server.process_new_packets().unwrap();
            got.extend(server_reads(&mut wire, waiting.plaintext_bytes_to_read()));
        }
        assert!(got == sent, "{} bytes", got.len());
    }
}

#[test]
fn what_is_sent_is_appended_with_little_overhead() {
    for (mut wire, _) in pairs() {
        wire.settle();
        let mut out = b"before".to_vec();
        wire.layer.send(b"GET /", &mut out).unwrap();
        assert_eq!(&out[..6], b"before");
        assert!(out.len() <= 6 + 5 + 32, "{}", out.len());
        wire.to_server = out.split_off(6);
        wire.settle();
        assert_eq!(server_reads(&mut wire, 5), b"GET /");
    }
}

#[test]
fn sending_works_while_half_a_record_waits() {
    for (mut wire, _) in pairs() {
        wire.settle();
        wire.server.writer().write_all(&pattern(100)).unwrap();
        let mut record = Vec::new();
        wire.server.write_tls(&mut record).unwrap();
        let (first, second) = record.split_at(record.len() / 2);
        let mut out = Vec::new();
        wire.heard.feed(&mut wire.layer, first, 9_999, &mut out);
        assert!(wire.heard.data.is_empty() && out.is_empty());
        assert_eq!(wire.layer.eof(), Ok(Eof::Cut), "if it ended here");
        wire.layer.send(b"ping", &mut wire.to_server).unwrap();
        wire.settle();
        assert_eq!(server_reads(&mut wire, 4), b"ping");
        wire.heard.feed(&mut wire.layer, second, 9_999, &mut out);
        assert_eq!(wire.heard.data, pattern(100));
        assert_eq!(wire.layer.eof(), Ok(Eof::Abrupt));
    }
}

#[test]
fn nothing_can_be_sent_before_the_handshake_or_after_the_end() {
    for (mut wire, _) in pairs() {
        let mut out = Vec::new();
        assert_eq!(wire.layer.send(b"early", &mut out), Err(NotOpen));
        assert!(out.is_empty());
        wire.settle();
        wire.layer.close(&mut out);
        assert!(!out.is_empty());
        let length = out.len();
        assert_eq!(wire.layer.send(b"late", &mut out), Err(NotOpen));
        wire.layer.close(&mut out);
        assert_eq!(out.len(), length, "one close_notify is enough");
    }
}

#[test]
fn our_close_notify_reaches_the_server() {
    for (mut wire, _) in pairs() {
        wire.settle();
        wire.layer.close(&mut wire.to_server);
        wire.settle();
        assert_eq!(wire.server_error, None);
        // A clean end reads as zero bytes, not as an error.
        assert_eq!(wire.server.reader().read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(wire.layer.eof(), Ok(Eof::Clean));
    }
}

#[test]
fn after_the_servers_close_notify_we_may_still_send() {
    for (mut wire, _) in pairs() {
        wire.settle();
        wire.server.writer().write_all(b"last").unwrap();
        wire.server.send_close_notify();
        wire.settle();
        assert_eq!(
            (wire.heard.data.as_slice(), wire.heard.closed),
            (&b"last"[..], 1)
        );
        let mut out = Vec::new();
        wire.layer
            .receive(&mut b"garbage after the end".to_vec(), &mut out, |_| {
                panic!("nothing comes after the end")
            })
            .unwrap();
        wire.layer.send(b"answer", &mut wire.to_server).unwrap();
        wire.layer.close(&mut wire.to_server);
        wire.settle();
        assert_eq!(server_reads(&mut wire, 6), b"answer");
    }
}

#[test]
fn key_updates_are_answered() {
    for (mut wire, version) in pairs() {
        wire.settle();
        if version == "TLS 1.3" {
            wire.server.refresh_traffic_keys().unwrap();
        }
        wire.server.writer().write_all(b"new key").unwrap();
        wire.settle();
        assert_eq!(wire.heard.data, b"new key");
        wire.layer.send(b"old or new", &mut wire.to_server).unwrap();
        wire.settle();
        assert_eq!(server_reads(&mut wire, 10), b"old or new");
    }
}

/// A TLS 1.2 server may send data in the same segment as its Finished.
#[test]
fn data_in_the_last_flight_of_the_handshake_comes_after_secured() {
    let (mut wire, _) = pairs().next().unwrap();
    wire.server.writer().write_all(b"banner").unwrap();
    wire.settle();
    assert_eq!(wire.heard.secured.len(), 1);
    assert_eq!(wire.heard.data, b"banner");
}

#[test]
fn a_damaged_record_fails_for_good() {
    for (mut wire, _) in pairs() {
        wire.settle();
        wire.server.writer().write_all(b"data").unwrap();
        let mut record = Vec::new();
        wire.server.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        let mut out = Vec::new();
        wire.heard.feed(&mut wire.layer, &record, 9_999, &mut out);
        assert!(wire.heard.data.is_empty());
        assert!(!out.is_empty(), "an alert for the server");
        let failure = wire.heard.failed();
        assert_eq!(failure.reason, Reason::TlsHandshake);
        let again = wire
            .layer
            .receive(&mut [1, 2, 3], &mut out, |_| panic!("dead"));
        assert_eq!(again.as_ref(), Err(failure));
    }
}

fn plain(answer: &[u8]) -> (Layer, Heard) {
    let config = client(&TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    });
    let mut layer = Layer::new(&config, "example.test").unwrap();
    let mut out = Vec::new();
    layer.start(&mut out).unwrap();
    let mut heard = Heard::default();
    heard.feed(&mut layer, answer, usize::MAX, &mut out);
    (layer, heard)
}

#[test]
fn servers_that_speak_something_else_are_not_tls() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
            "the server answered \"HTTP/1.1 400 Bad Request\" in plain text, not in TLS",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "the server answered \"SSH-2.0-OpenSSH_9.2p1\" in plain text, not in TLS",
        ),
        (
            b"\xde\xad\xbe\xef\x00\x00\x00",
            "the server's answer is not a TLS record: it begins with the bytes deadbeef000000",
        ),
    ] {
        let (_, heard) = plain(answer);
        assert_eq!(heard.failed().reason, Reason::TlsNotTls);
        assert_eq!(heard.failed().detail, expected);
        assert_eq!(heard.failed().info, None);
    }
}

/// The first byte decides; the second can do so only when the server leaves,
/// because the header of a record has five.
#[test]
fn a_few_bytes_of_something_else_are_not_tls_either() {
    let (mut layer, heard) = plain(b"-ER");
    assert_eq!(heard.failed().reason, Reason::TlsNotTls);
    assert!(heard.failed().detail.contains("\"-ER\""));
    assert_eq!(layer.eof().as_ref(), Err(heard.failed()));
    let (mut layer, heard) = plain(&[22, 0]);
    assert_eq!(heard.failure, None);
    let failure = layer.eof().unwrap_err();
    assert_eq!(failure.reason, Reason::TlsNotTls);
    assert!(failure.detail.ends_with("1600"), "{}", failure.detail);
}

#[test]
fn a_handshake_that_ends_in_the_middle_says_how_far_it_came() {
    for (wire, _) in pairs() {
        let mut wire = wire;
        let mut rest = &wire.to_server[..];
        wire.server.read_tls(&mut rest).unwrap();
        wire.server.process_new_packets().unwrap();
        let mut flight = Vec::new();
        wire.server.write_tls(&mut flight).unwrap();
        let mut out = Vec::new();
        wire.heard
            .feed(&mut wire.layer, &flight[..20], 20, &mut out);
        let failure = wire.layer.eof().unwrap_err();
        assert_eq!(failure.reason, Reason::TlsHandshake);
        assert!(failure.detail.ends_with("after it had sent 20 bytes"));
    }
}

#[test]
fn an_alert_instead_of_a_hello_is_named() {
    let (_, heard) = plain(&[21, 3, 3, 0, 2, 2, 40]);
    assert_eq!(heard.failed().reason, Reason::TlsAlert);
    assert!(
        heard.failed().detail.contains("handshake_failure (40)"),
        "{}",
        heard.failed().detail
    );
    // A warning is not the end, but then comes the end.
    let (mut layer, heard) = plain(&[21, 3, 3, 0, 2, 1, 0]);
    assert_eq!(heard.failure, None);
    let failure = layer.eof().unwrap_err();
    assert_eq!(failure.reason, Reason::TlsHandshake);
    assert!(failure.detail.ends_with("after it had sent 7 bytes"));
}

#[test]
fn unverified_connections_carry_data_too() {
    let ca = root();
    let server = Server::issued(&leaf_params(&["example.test"]), &ca);
    let skip = TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    };
    let mut wire = handshake(&skip, "other.test", server);
    wire.layer.send(b"x", &mut wire.to_server).unwrap();
    wire.settle();
    assert_eq!(server_reads(&mut wire, 1), b"x");
}
