//! Compressed bodies, through the whole check.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use miniz_oxide::deflate::compress_to_vec;

use super::super::decode::tests::{BROTLI, member};
use super::super::*;
use super::pattern;
use super::world::{self, Peer, Seen, run_with, spec_with};
use crate::io::Closed;
use crate::limits::DECODED_PER_TURN;
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
    // It was not gzip from the beginning: nobody looked.
    assert_eq!(matched.fact("failed_due_to_regex"), Some(0.0));
    let mut cut = gzip(&text());
    cut.truncate(cut.len() - 10);
    let cut = run_with("192.0.2.7", &[coded("", &cut)], |config| {
        config.compression = "gzip".into();
        config.fail_if_body_matches_regexp = pattern("x");
    });
    assert_eq!(cut.fact("failed_due_to_regex"), Some(1.0));
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
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::LocalBound));
    let limit = crate::limits::MAX_DECODED_BODY_BYTES as f64;
    assert_eq!(seen.fact("http_uncompressed_body_length"), Some(limit));
}

/// No body keeps the others from their turn, however much it decodes to.
#[test]
fn what_a_body_decodes_to_is_spread_over_turns() {
    let turns = (4 << 20) / DECODED_PER_TURN;
    let through = |peer: Peer| {
        run_with("192.0.2.7", &[peer], |config| {
            config.compression = "br".into();
            config.fail_if_body_not_matches_regexp = pattern(r"^\x00+$");
        })
    };
    let whole = through(coded("", BROTLI_BOMB));
    // In chunks of a byte, and to the end of the connection, which has come
    // when most is still to be done.
    let mut chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for byte in BROTLI_BOMB {
        chunks.extend([b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    let chunked = through(Peer {
        sends: vec![chunks, b"0\r\n\r\n".to_vec()],
        closes: Some(Closed::Reset),
        ..Peer::default()
    });
    let until_close = through(Peer {
        sends: vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), BROTLI_BOMB.to_vec()],
        closes: Some(Closed::End),
        ..Peer::default()
    });
    for seen in [whole, chunked, until_close] {
        seen.succeeded();
        assert_eq!(lengths(&seen).1, f64::from(4 << 20));
        assert!(seen.turns >= turns - 1, "{} of {turns}", seen.turns);
    }
    let cut = through(Peer {
        closes: Some(Closed::Reset),
        sends: vec![[b"HTTP/1.1 200 OK\r\n\r\n", BROTLI_BOMB].concat()],
        ..Peer::default()
    });
    cut.failed(
        Reason::PeerReset,
        "reset by the peer before the end of the body",
    );
}

/// Verdicts of runs of one module, see [`world::among_each_other`].
fn among_each_other(step: usize, runs: &[(u64, &Peer)]) -> Vec<(Outcome, String)> {
    let spec = spec_with("192.0.2.7", |config| config.compression = "gzip".into());
    let runs = runs
        .iter()
        .map(|(after, peer)| (*after, Arc::clone(&spec), *peer));
    let ended = world::among_each_other(step, &runs.collect::<Vec<_>>());
    ended
        .into_iter()
        .map(|(_, outcome, detail)| (outcome, detail))
        .collect()
}

/// More than comes out in a hundred turns.
fn endless() -> Vec<u8> {
    gzip(&vec![0; 4 << 20]).repeat(8)
}

const TIMED_OUT: Outcome = Outcome::Failure(Reason::TimeoutTransfer);
const OURS: Outcome = Outcome::Unknown(Reason::Overload);

/// Of what does not come to its end in time, whoever had the turns is the cause.
#[test]
fn a_body_that_is_too_much_fails_unless_others_had_its_turns() {
    let endless = coded("", &endless());
    let alone = among_each_other(1, &[(0, &endless)]);
    assert_eq!(alone[0].0, TIMED_OUT, "{alone:?}");
    let words = "timed out after 101.0ms reading the answer of 192.0.2.7:80: decoded ";
    assert!(alone[0].1.starts_with(words), "{alone:?}");
    // What others have now and then is no excuse.
    let small = coded("", &gzip(&vec![0; 100 << 10]));
    let few: Vec<_> = (1..10).map(|turn| (turn * 10, &small)).collect();
    let busy = among_each_other(1, &[&[(0, &endless)], &few[..]].concat());
    assert_eq!(busy[0].0, TIMED_OUT, "{busy:?}");
    for (outcome, detail) in &busy[1..] {
        assert_eq!(*outcome, Outcome::Success, "{detail}");
    }
    // Half of the turns, or none.
    let both = among_each_other(1, &[(0, &endless), (0, &endless)]);
    for (outcome, detail) in &both {
        assert_eq!(*outcome, OURS, "{detail}");
        assert_eq!(
            detail,
            "the prober was too busy to decode the body that had come"
        );
    }
    let late = among_each_other(1, &[(0, &endless), (99, &small)]);
    assert_eq!((late[0].0, late[1].0), (TIMED_OUT, OURS), "{late:?}");
}

/// It has something of every turn, and others have nearly all.
#[test]
fn a_sliver_of_each_turn_is_no_turn() {
    let endless = coded("", &endless());
    let small = coded("", &gzip(&vec![0; 240 << 10]));
    let many: Vec<_> = (0..90).map(|turn| (turn, &small)).collect();
    let seen = among_each_other(1, &[&[(0, &endless)], &many[..]].concat());
    assert_eq!(seen[0].0, OURS, "{seen:?}");
    for (outcome, detail) in &seen[1..] {
        assert_eq!(*outcome, Outcome::Success, "{detail}");
    }
}

/// It has every turn, and turns are rare: the prober has something else to do.
#[test]
fn a_body_that_waits_for_a_slow_prober_does_not_fail() {
    let endless = coded("", &endless());
    for (step, outcome) in [(1, TIMED_OUT), (2, TIMED_OUT), (4, OURS), (50, OURS)] {
        let alone = among_each_other(step, &[(0, &endless)]);
        assert_eq!(alone[0].0, outcome, "a turn in {step} ms: {alone:?}");
    }
}

/// Nothing that would have followed could have made it better.
#[test]
fn what_is_known_to_be_wrong_is_said_though_the_prober_is_busy() {
    let endless = coded("", &endless());
    let head = b"HTTP/1.1 500 Oh\r\n\r\n";
    let condemned = Peer {
        sends: vec![[&head[..], &self::endless()].concat()],
        ..Peer::default()
    };
    let slow = Peer {
        sends: vec![head.to_vec()],
        ..Peer::default()
    };
    let runs = [(0, &condemned), (0, &endless), (0, &slow)];
    let seen = among_each_other(1, &runs);
    let status = Outcome::Failure(Reason::HttpStatus);
    let outcomes: Vec<_> = seen.iter().map(|it| it.0).collect();
    assert_eq!(outcomes, [status, OURS, status], "{seen:?}");
    assert_eq!(seen[0].1, seen[2].1);
    assert!(seen[0].1.contains("500"), "{seen:?}");
}

/// A host that does not ask whether a run is behind.
#[test]
fn a_backlog_does_not_grow_without_bound() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let mut sends = vec![head, gzip(&vec![0; 4 << 20])];
    let more = gzip(&[]);
    let many = MAX_BACKLOG_BYTES / more.len();
    sends.extend(vec![more.repeat(many / 8); 10]);
    let seen = run_with(
        "192.0.2.7",
        &[Peer {
            sends,
            closes: Some(Closed::End),
            ..Peer::default()
        }],
        |config| config.compression = "gzip".into(),
    );
    seen.succeeded();
    assert!(seen.turns < 16, "{} turns", seen.turns);
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
