//! Bodies that are coded, cut off, damaged, or larger than they look.

use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Phase, Reason};
use probity_simulator::coded::{Coding, answering, chunked, closing};
use serde_json::json;

use crate::lab::{
    TIMEOUT, assert_failure, assert_success, assert_unknown, http_with, probe, probe_pieces,
};

const URL: &str = "http://192.0.2.1:80/";

/// A module that decodes, and insists on what comes out.
fn decoding(coding: Coding) -> Module {
    http_with(json!({
        "compression": coding.name(),
        "fail_if_body_not_matches_regexp": ["^(one text many times[.] )+$"],
    }))
}

fn text(times: usize) -> Vec<u8> {
    b"one text many times. ".repeat(times)
}

/// TestHandlingOfCompressionSetting, however the body is framed and cut.
#[test]
fn a_coded_body_is_decoded() {
    for coding in Coding::ALL {
        let body = coding.code(&text(200));
        let module = decoding(coding);
        assert_success(&probe_pieces(&module, URL, &answering(coding, &body)));
        assert_success(&probe_pieces(&module, URL, &chunked(coding, &body, 7)));
        assert_success(&probe_pieces(&module, URL, &closing(coding, &body)));
        // Unset: it is taken as it is.
        let plain = http_with(json!({"fail_if_body_matches_regexp": ["many times"]}));
        if coding != Coding::Brotli {
            assert_success(&probe(&plain, URL, answering(coding, &body)));
        }
    }
}

/// The engine need not be told by the server what it was told by its user.
#[test]
fn a_body_in_another_coding_fails() {
    for (said, sent) in [
        (Coding::Gzip, Coding::Deflate),
        (Coding::Deflate, Coding::Gzip),
        (Coding::Brotli, Coding::Gzip),
        (Coding::Gzip, Coding::Brotli),
    ] {
        let body = sent.code(&text(20));
        let record = probe_pieces(&decoding(said), URL, &answering(said, &body));
        assert_failure(&record, Reason::BodyEncoding, "");
        assert_eq!(record.phase, Phase::Transfer);
    }
}

#[test]
fn a_body_that_ends_within_its_coding_is_truncated() {
    for coding in Coding::ALL {
        let body = coding.code(&text(200));
        let half = &body[..body.len() / 2];
        let module = decoding(coding);
        for server in [
            answering(coding, half),
            chunked(coding, half, 5),
            closing(coding, half),
        ] {
            let record = probe_pieces(&module, URL, &server);
            assert_failure(&record, Reason::BodyEncoding, "");
        }
        let nothing = probe_pieces(&module, URL, &answering(coding, b""));
        assert_failure(&nothing, Reason::BodyEncoding, "");
    }
}

/// TestMaxResponseLength: what counts is what comes out.
#[test]
fn a_bomb_ends_at_the_limit() {
    for coding in Coding::ALL {
        let bomb = coding.bomb();
        assert!(bomb.len() < 8 << 10, "{coding:?}: {} bytes", bomb.len());
        let limited = http_with(json!({"compression": coding.name(), "body_size_limit": "1MB"}));
        let record = probe_pieces(&limited, URL, &answering(coding, &bomb));
        assert_failure(&record, Reason::BodyLimit, "1048576 bytes");
        assert!(
            record.total < Duration::from_millis(100),
            "{:?}",
            record.total
        );
        let roomy = http_with(json!({"compression": coding.name(), "body_size_limit": "8MB"}));
        assert_success(&probe(&roomy, URL, answering(coding, &bomb)));
        // Nobody set a limit, and sixteen of them in one body.
        let bound = http_with(json!({"compression": coding.name()}));
        if coding == Coding::Gzip {
            let record = probe(&bound, URL, answering(coding, &bomb.repeat(17)));
            assert_unknown(&record, Reason::LocalBound, "67108864 bytes");
            assert!(record.total < TIMEOUT);
        }
    }
}
