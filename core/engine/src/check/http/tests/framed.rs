//! Bodies and their lengths in HTTP/2.

use super::world::{Peer, Seen, run_with};
use super::*;

/// A frame on the first stream, or the connection.
pub(super) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let header = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    [&header[..], payload].concat()
}

/// A server that begins with its settings and says this once it was asked.
pub(super) fn says(frames: &[Vec<u8>]) -> Peer {
    let said = [frame(4, 0, 0, &[]), frames.concat()].concat();
    let asked = Peer {
        sends: vec![said],
        ..Peer::default()
    };
    Peer {
        is_h2: true,
        // Settings are acknowledged.
        turns: vec![asked, Peer::default()],
        ..Peer::default()
    }
}

/// A head with this status and these values of `content-length`.
fn head(end: bool, status: u16, lengths: &[&str]) -> Vec<u8> {
    let mut block = b"\x08\x03".to_vec();
    block.extend(status.to_string().bytes());
    for length in lengths {
        block.extend([0x0f, 0x0d, length.len() as u8]);
        block.extend(length.bytes());
    }
    frame(1, 4 | u8::from(end), 1, &block)
}

fn probe(method: &str, frames: &[Vec<u8>]) -> Seen {
    run_with("https://192.0.2.7/", &[says(frames)], |config| {
        config.method = method.into();
        config.valid_status_codes = [200, 204, 304].map(Into::into).into();
    })
}

#[test]
fn a_length_is_one_number_or_unknown() {
    for (lengths, told) in [
        (&["5"][..], 5.0),
        (&["05"], 5.0),
        (&["x"], -1.0),
        (&["+5"], -1.0),
        (&["-5"], -1.0),
        (&[""], -1.0),
        (&["5, 5"], -1.0),
        (&["5", "5"], -1.0),
        (&["5", "6"], -1.0),
        (&["9223372036854775808"], -1.0),
        (&[], -1.0),
    ] {
        for status in [200, 204, 304] {
            let body = [head(false, status, lengths), frame(0, 1, 1, b"hello")];
            let seen = probe("GET", &body);
            seen.succeeded();
            assert_eq!(seen.fact("http_content_length"), Some(told), "{lengths:?}");
            assert_eq!(seen.fact("http_uncompressed_body_length"), Some(5.0));
            let seen = probe("HEAD", &[head(true, status, lengths)]);
            seen.succeeded();
            assert_eq!(seen.fact("http_content_length"), Some(told), "{lengths:?}");
            assert_eq!(seen.fact("http_uncompressed_body_length"), Some(0.0));
        }
    }
}

#[test]
fn a_stream_that_ends_with_its_head_has_no_body() {
    for status in [200, 204, 304] {
        for (lengths, told) in [(&[][..], 0.0), (&["0"], 0.0), (&["x"], -1.0)] {
            let seen = probe("GET", &[head(true, status, lengths)]);
            seen.succeeded();
            assert_eq!(seen.fact("http_content_length"), Some(told), "{lengths:?}");
        }
        let seen = probe("GET", &[head(true, status, &["5"])]);
        assert_eq!(seen.fact("http_content_length"), Some(5.0));
        match status {
            200 => seen.failed(
                Reason::BodyTruncated,
                "the stream ended before the end of the body",
            ),
            // RFC 9110 section 8.6: it is that of the body of a 200.
            _ => seen.succeeded(),
        }
    }
}
