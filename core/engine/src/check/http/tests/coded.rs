//! Compressed bodies, through the whole check.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use alloc::{format, vec};

use miniz_oxide::deflate::compress_to_vec;

use super::super::decode::tests::{BROTLI, member};
use super::super::*;
use super::pattern;
use super::world::{Peer, Seen, run_with};
use crate::outcome::Outcome;

/// A response with this body, as it is.
fn coded(fields: &str, body: &[u8]) -> Peer {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n");
    Peer {
        sends: vec![[head.as_bytes(), body].concat()],
        ..Peer::default()
    }
}

fn text() -> Vec<u8> {
    b"hello world".repeat(10)
}

/// 4 MiB of zeros.
const BROTLI_BOMB: &[u8] = &[
    0x9b, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x07,
];

fn gzip(content: &[u8]) -> Vec<u8> {
    member(content, 0)
}

fn lengths(seen: &Seen) -> (f64, f64) {
    let of = |name| seen.fact(name).unwrap();
    (
        of("http_content_length"),
        of("http_uncompressed_body_length"),
    )
}

/// TestContentLength: nothing is decoded unless it is asked for.
#[test]
fn without_compression_a_body_is_taken_as_it_is() {
    for (coding, body) in [
        ("", text()),
        ("identity", text()),
        ("xxx", text()),
        ("br", BROTLI.to_vec()),
        ("deflate", compress_to_vec(&text(), 6)),
        ("gzip", gzip(&text())),
    ] {
        let field = match coding {
            "" => "".to_string(),
            coding => format!("Content-Encoding: {coding}\r\n"),
        };
        let seen = run_with("192.0.2.7", &[coded(&field, &body)], |_| {});
        seen.succeeded();
        let length = body.len() as f64;
        assert_eq!(lengths(&seen), (length, length), "{coding}");
    }
}

/// TestHandlingOfCompressionSetting.
#[test]
fn with_compression_a_body_is_decoded_whatever_it_says_of_itself() {
    for (compression, body) in [
        ("gzip", gzip(&text())),
        ("GZIP", gzip(&text())),
        ("deflate", compress_to_vec(&text(), 6)),
        ("br", BROTLI.to_vec()),
        ("identity", text()),
    ] {
        for field in ["", "Content-Encoding: gzip\r\n", "Content-Encoding: x\r\n"] {
            let seen = run_with("192.0.2.7", &[coded(field, &body)], |config| {
                config.compression = compression.into();
                config.fail_if_body_not_matches_regexp = pattern("^(hello world){10}$");
            });
            seen.succeeded();
            assert_eq!(lengths(&seen), (body.len() as f64, 110.0), "{compression}");
        }
    }
    for accepted in ["gzip", "br, gzip", "*"] {
        let seen = run_with("192.0.2.7", &[coded("", &gzip(&text()))], |config| {
            config.compression = "gzip".into();
            let field = ("Accept-Encoding".into(), accepted.into());
            config.headers.extend([field]);
        });
        seen.succeeded();
        assert!(seen.requests[0].contains(&format!("\r\nAccept-Encoding: {accepted}\r\n")));
    }
}

#[test]
fn a_body_that_is_not_coded_as_it_should_be_fails_the_probe() {
    for (compression, body, detail) in [
        ("deflate", gzip(&text()), "the body is not valid deflate"),
        (
            "gzip",
            text(),
            "expected a body in gzip, found something else",
        ),
        (
            "gzip",
            Vec::new(),
            "the body ends in the middle of its gzip",
        ),
        ("br", text(), "the body is not valid br"),
    ] {
        let seen = run_with("192.0.2.7", &[coded("", &body)], |config| {
            config.compression = compression.into();
        });
        seen.failed(Reason::BodyEncoding, detail);
        assert_eq!(lengths(&seen), (body.len() as f64, 0.0), "{compression}");
        assert_eq!(seen.fact("failed_due_to_regex"), Some(0.0));
        assert_eq!(seen.fact("http_status_code"), Some(200.0));
    }
    let matched = run_with("192.0.2.7", &[coded("", &text())], |config| {
        config.compression = "gzip".into();
        config.fail_if_body_matches_regexp = pattern("x");
    });
    assert_eq!(matched.fact("failed_due_to_regex"), Some(1.0));
    let unknown = run_with("192.0.2.7", &[coded("", &text())], |config| {
        config.compression = "zstd".into();
    });
    unknown.failed(
        Reason::BodyEncoding,
        "unsupported compression algorithm: expected gzip, deflate, br or identity",
    );
    assert_eq!(lengths(&unknown), (110.0, 110.0));
}

/// TestMaxResponseLength, the compressed half: the limit is on what comes out.
#[test]
fn a_limit_applies_to_the_decoded_body() {
    for (length, ok) in [(127, true), (128, true), (129, false)] {
        let body = gzip(&vec![b'A'; length]);
        let seen = run_with("192.0.2.7", &[coded("", &body)], |config| {
            config.compression = "gzip".into();
            config.body_size_limit = ByteSize::parse("128B").unwrap();
        });
        match ok {
            true => seen.succeeded(),
            false => seen.failed(Reason::BodyLimit, "the body is larger than 128 bytes"),
        }
        let decoded = length.min(128) as f64;
        assert_eq!(lengths(&seen), (body.len() as f64, decoded));
    }
}

#[test]
fn a_bomb_is_defused() {
    let bomb = run_with("192.0.2.7", &[coded("", BROTLI_BOMB)], |config| {
        config.compression = "br".into();
        config.body_size_limit = ByteSize::parse("1MB").unwrap();
    });
    bomb.failed(Reason::BodyLimit, "the body is larger than 1048576 bytes");
    let bodies = gzip(&vec![0; 4 << 20]).repeat(17);
    let seen = run_with("192.0.2.7", &[coded("", &bodies)], |config| {
        config.compression = "gzip".into();
    });
    assert_eq!(seen.outcome, Outcome::Failure(Reason::BodyLimit));
    let limit = crate::limits::MAX_DECODED_BODY_BYTES as f64;
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(limit));
}

#[test]
fn what_is_accepted_must_agree_with_compression() {
    for (name, accepted, compression) in [
        ("Accept-Encoding", "deflate", "gzip"),
        ("accEpt-enCoding", "*;q=0.0", "br"),
    ] {
        let config = Config {
            compression: compression.into(),
            headers: [(name.into(), accepted.into())].into(),
            ..Config::default()
        };
        let error = Module::new(&config, &crate::config::NoFiles).unwrap_err();
        assert_eq!(
            error.message,
            format!("invalid configuration \"{name}: {accepted}\", \"compression: {compression}\"")
        );
    }
}
