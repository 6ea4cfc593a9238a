//! Bodies: patterns, compression, limits.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::super::case::Case;
use super::{answer, http, ok};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = patterns();
    cases.extend(compression());
    cases.extend(limits());
    cases
}

fn patterns() -> Vec<Case> {
    let mut cases = Vec::new();
    let apology = "<html>could not connect to database</html>";
    let page = "<html>Download the latest version here</html>";
    let complete = "<html>Download the latest version here. Copyright 2015</html>";
    for (name, options, body) in [
        (
            "fail_if_found",
            "fail_if_body_matches_regexp: [could not connect to database]",
            apology,
        ),
        (
            "fail_if_absent",
            "fail_if_body_matches_regexp: [could not connect to database]",
            page,
        ),
        (
            "fail_if_second",
            "fail_if_body_matches_regexp: [Fatal, could not connect]",
            apology,
        ),
        (
            "fail_if_none_of_two",
            "fail_if_body_matches_regexp: [Fatal, could not connect]",
            page,
        ),
        (
            "fail_unless_found",
            "fail_if_body_not_matches_regexp: [Download the latest version here]",
            page,
        ),
        (
            "fail_unless_absent",
            "fail_if_body_not_matches_regexp: [Download the latest version here]",
            apology,
        ),
        (
            "fail_unless_one_of_two",
            "fail_if_body_not_matches_regexp: [Download, Copyright 2015]",
            page,
        ),
        (
            "fail_unless_both",
            "fail_if_body_not_matches_regexp: [Download, Copyright 2015]",
            complete,
        ),
        (
            "both_kinds",
            "fail_if_body_matches_regexp: [Fatal], fail_if_body_not_matches_regexp: [Copyright]",
            complete,
        ),
        ("empty_body", "fail_if_body_matches_regexp: ['^$']", ""),
        (
            "empty_body_unless",
            "fail_if_body_not_matches_regexp: ['^$']",
            "",
        ),
        ("empty_pattern", "fail_if_body_matches_regexp: ['']", page),
        ("empty_list", "fail_if_body_matches_regexp: []", page),
    ] {
        cases.push(http(format!("bodies::{name}"), options, ok(body)));
    }
    cases.push(http(
        "bodies::pattern_after_bad_status",
        "fail_if_body_matches_regexp: [x]",
        answer(404, "", "x"),
    ));
    cases
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// `hello world`, stored.
const BROTLI: &[u8] = b"\x0b\x05\x80hello world\x03";

fn compression() -> Vec<Case> {
    let text = "hello world".repeat(10);
    let text = text.as_bytes();
    let coded = |name: &str| match name {
        "gzip" => gzip(text),
        "deflate" => deflate(text),
        "zlib" => zlib(text),
        "br" => BROTLI.to_vec(),
        "two_members" => [gzip(b"hello "), gzip(b"world")].concat(),
        "cut" => {
            let mut body = gzip(text);
            body.truncate(body.len() - 10);
            body
        }
        "bad_sum" => {
            let mut body = gzip(text);
            let at = body.len() - 6;
            body[at] ^= 0xff;
            body
        }
        "and_garbage" => [gzip(text), b"garbage".to_vec()].concat(),
        "empty" => Vec::new(),
        _ => text.to_vec(),
    };
    let mut cases = Vec::new();
    for (name, options, body, encoding) in [
        ("gzip_gzip", "compression: gzip", "gzip", "gzip"),
        ("gzip_in_capitals", "compression: GZIP", "gzip", "gzip"),
        (
            "deflate_deflate",
            "compression: deflate",
            "deflate",
            "deflate",
        ),
        ("deflate_zlib", "compression: deflate", "zlib", "deflate"),
        ("deflate_gzip", "compression: deflate", "gzip", "gzip"),
        ("br_br", "compression: br", "br", "br"),
        ("br_text", "compression: br", "plain", "br"),
        ("identity", "compression: identity", "plain", ""),
        ("identity_gzip", "compression: identity", "gzip", "gzip"),
        ("gzip_without_field", "compression: gzip", "gzip", ""),
        ("gzip_of_text", "compression: gzip", "plain", ""),
        ("gzip_empty", "compression: gzip", "empty", "gzip"),
        (
            "gzip_two_members",
            "compression: gzip",
            "two_members",
            "gzip",
        ),
        ("gzip_cut", "compression: gzip", "cut", "gzip"),
        ("gzip_bad_sum", "compression: gzip", "bad_sum", "gzip"),
        (
            "gzip_and_garbage",
            "compression: gzip",
            "and_garbage",
            "gzip",
        ),
        ("unknown", "compression: zstd", "plain", ""),
        ("none_gzip", "", "gzip", "gzip"),
        ("none_unknown_field", "", "plain", "xxx"),
        (
            "gzip_accept",
            "compression: gzip, headers: {Accept-Encoding: gzip}",
            "gzip",
            "gzip",
        ),
        (
            "gzip_accept_list",
            "compression: gzip, headers: {Accept-Encoding: 'br, gzip'}",
            "gzip",
            "gzip",
        ),
        (
            "gzip_accept_any",
            "compression: gzip, headers: {Accept-Encoding: '*'}",
            "gzip",
            "gzip",
        ),
        (
            "gzip_matched",
            "compression: gzip, fail_if_body_not_matches_regexp: ['^(hello world)+$']",
            "gzip",
            "gzip",
        ),
        (
            "gzip_cut_matched",
            "compression: gzip, fail_if_body_matches_regexp: [nothing]",
            "cut",
            "gzip",
        ),
        (
            "gzip_of_text_matched",
            "compression: gzip, fail_if_body_matches_regexp: [nothing]",
            "plain",
            "",
        ),
        (
            "gzip_of_text_in_cel",
            "compression: gzip, fail_if_body_json_matches_cel: 'true'",
            "plain",
            "",
        ),
        (
            "deflate_gzip_matched",
            "compression: deflate, fail_if_body_matches_regexp: [nothing]",
            "gzip",
            "gzip",
        ),
    ] {
        let field = match encoding {
            "" => String::new(),
            encoding => format!("Content-Encoding: {encoding}\r\n"),
        };
        cases.push(http(
            format!("bodies::compression_{name}"),
            options,
            answer(200, &field, coded(body)),
        ));
    }
    cases.push(http(
        "bodies::compression_longer_than_decoded",
        "compression: gzip",
        answer(
            200,
            "Content-Encoding: gzip\r\n",
            gzip(&vec![b'A'; 65 << 20]),
        ),
    ));
    cases.push(http(
        "bodies::compression_bad_status",
        "compression: gzip",
        answer(500, "", coded("plain")),
    ));
    cases.push(http(
        "bodies::compression_head",
        "compression: gzip, method: HEAD",
        *b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Encoding: gzip\r\n\r\n",
    ));
    cases
}

fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut body = vec![b'A'; 17 << 20];
    body.push(b'B');
    for (name, options) in [
        ("", "fail_if_body_matches_regexp: [x]"),
        (
            "_with_a_limit",
            "body_size_limit: 20MB, fail_if_body_not_matches_regexp: ['B$']",
        ),
    ] {
        cases.push(http(
            format!("bodies::longer_than_matched{name}"),
            options,
            ok(&body),
        ));
    }
    for (length, what) in [
        (127, "short"),
        (128, "exact"),
        (129, "long"),
        (4000, "longer"),
    ] {
        let body = vec![b'A'; length];
        for (name, options) in [
            ("", "body_size_limit: 128B"),
            (
                "_matched",
                "body_size_limit: 128B, fail_if_body_matches_regexp: [x]",
            ),
        ] {
            cases.push(http(
                format!("bodies::limit_{what}{name}"),
                options,
                ok(&body),
            ));
        }
        cases.push(http(
            format!("bodies::limit_{what}_gzip"),
            "body_size_limit: 128B, compression: gzip",
            answer(200, "Content-Encoding: gzip\r\n", gzip(&body)),
        ));
        let chunked = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            format!("{length:x}\r\n").into_bytes(),
            body,
            b"\r\n0\r\n\r\n".to_vec(),
        ]
        .concat();
        cases.push(http(
            format!("bodies::limit_{what}_chunked"),
            "body_size_limit: 128B",
            chunked,
        ));
    }
    cases.push(http(
        "bodies::limit_zero",
        "body_size_limit: 0",
        ok("hello"),
    ));
    cases.push(http(
        "bodies::limit_negative",
        "body_size_limit: -1B",
        ok("hello"),
    ));
    cases.push(http(
        "bodies::limit_kilobyte",
        "body_size_limit: 1KB",
        ok(vec![b'A'; 1024]),
    ));
    cases.push(http(
        "bodies::limit_kilobyte_and_one",
        "body_size_limit: 1KiB",
        ok(vec![b'A'; 1025]),
    ));
    cases.push(http("bodies::large", "", ok(vec![b'A'; 3_000_000])));
    cases.push(http(
        "bodies::large_matched",
        "fail_if_body_not_matches_regexp: ['B$']",
        ok([vec![b'A'; 2_000_000], vec![b'B']].concat()),
    ));
    cases
}
