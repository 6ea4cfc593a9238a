//! Answers that are odd, broken, slow or none.

use std::time::Duration;

use super::super::case::Case;
use super::super::server::{Server, Step};
use super::super::view::View;
use super::{http, module, ok};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, reply) in REPLIES {
        cases.push(http(format!("framing::{name}"), "", *reply));
        // A body that is looked at is read in another way.
        let options = "fail_if_body_not_matches_regexp: ['hello']";
        cases.push(http(format!("framing::{name}_matched"), options, *reply));
    }
    cases.extend(bodiless());
    cases.extend(slow());
    cases.extend(slow_bodies());
    cases
}

const REPLIES: &[(&str, &[u8])] = &[
    ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (
        "chunked_with_extension_and_trailer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ),
    (
        "chunked_trailer_of_nonsense",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    ),
    ("chunked_cut", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello"),
    ("chunked_without_end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ("chunked_bad_size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"),
    (
        "chunked_and_length",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("chunked_in_1_0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("other_encoding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    ("until_close", b"HTTP/1.1 200 OK\r\n\r\nhello"),
    ("empty_until_close", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("shorter_than_said", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
    ("longer_than_said", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"),
    ("length_twice", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("length_list_two_spellings", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\nhello"),
    ("length_two_values", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("length_negative", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello"),
    ("length_plus", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("length_word", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
    ("length_empty", b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello"),
    ("no_reason", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"),
    ("line_feeds_only", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ("folded_field", b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_without_colon", b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_with_space_before_colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_without_name", b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_not_utf8", b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_two_digits", b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_four_digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_word", b"HTTP/1.1 two OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version_1_2", b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version_2_0", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version_0_9", b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("version_without_minor", b"HTTP/1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("two_spaces_before_status", b"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("tab_before_status", b"HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_below_100", b"HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_negative", b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_line_two_returns", b"HTTP/1.1 200 OK\r\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_and_two_returns", b"HTTP/1.1 200\r\r\nContent-Length: 5\r\n\r\nhello"),
    ("reason_of_controls", b"HTTP/1.1 200 \0\x1b\x7f\x01\xff\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_of_two_words", b"HTTP/1.1 200 OK\r\nFoo Bar: x\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_with_tab_before_colon", b"HTTP/1.1 200 OK\r\nX\t: a\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_with_control", b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_with_two_returns", b"HTTP/1.1 200 OK\r\nX: a\r\r\nContent-Length: 5\r\n\r\nhello"),
    ("field_name_not_ascii", b"HTTP/1.1 200 OK\r\nX\xe4: a\r\nContent-Length: 5\r\n\r\nhello"),
    ("folded_first", b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 5\r\n\r\nhello"),
    ("folded_with_nothing", b"HTTP/1.1 200 OK\r\nX: a\r\n \r\nContent-Length: 5\r\n\r\nhello"),
    ("length_folded", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello"),
    ("length_list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"),
    ("length_space_before_colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
    ("icy", b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("garbage", b"\x00\x01\x02\x03 what is this\r\n\r\n"),
    ("ssh_banner", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("empty", b""),
    ("cut_in_head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("hints_first", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("continue_first", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("switching", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello"),
    ("status_199", b"HTTP/1.1 199 Odd\r\nContent-Length: 5\r\n\r\nhello"),
    ("no_content_with_body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
    ("status_600", b"HTTP/1.1 600 Odd\r\nContent-Length: 5\r\n\r\nhello"),
    ("line_before", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
];

/// Answers that have no body, whatever their length says.
fn bodiless() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in ["200", "204", "304"] {
        for (name, fields) in [
            ("length", "Content-Length: 1234\r\n"),
            ("word", "Content-Length: five\r\n"),
            ("no_length", ""),
            ("chunks", "Transfer-Encoding: chunked\r\n"),
            (
                "both",
                "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n",
            ),
        ] {
            for method in ["GET", "HEAD"] {
                if (status, method) == ("200", "GET") {
                    continue;
                }
                let options = format!("method: {method}, valid_status_codes: [{status}]");
                let reply = format!("HTTP/1.1 {status} Status\r\n{fields}\r\n");
                let method = method.to_lowercase();
                let name = format!("framing::bodiless_{status}_{name}_{method}");
                cases.push(http(name, &options, reply));
            }
        }
    }
    cases
}

/// Answers of which a part takes some hundred milliseconds: whether it is in
/// the transfer, however that ends.
fn slow_bodies() -> Vec<Case> {
    let pause = Step::Pause(Duration::from_millis(400));
    let case = |name: &str, options: &str, head: &str, first: &[u8], rest: &[u8]| {
        let head = format!("HTTP/1.1 {head}\r\n\r\n").into_bytes();
        let steps = vec![
            Step::Request,
            Step::Send([&head, first].concat()),
            pause.clone(),
            Step::Send(rest.into()),
        ];
        Case::probe(
            format!("framing::slow_{name}"),
            module(options),
            "http://@server@/",
        )
        .server(Server::steps(steps))
        .request(|request| request.view(View::Slow))
    };
    let of_ten = "200 OK\r\nContent-Length: 10";
    let chunked = "200 OK\r\nTransfer-Encoding: chunked";
    let gzip = "200 OK\r\nContent-Encoding: gzip";
    let limit = "body_size_limit: 7B";
    let matched = "fail_if_body_matches_regexp: [x]";
    let late = |name: &str, options: &str, text: &[u8], then: Step| {
        let module = format!("{{prober: http, timeout: 700ms, http: {{{options}}}}}");
        let steps = vec![Step::Request, Step::Send(text.into()), then];
        Case::probe(format!("framing::late_{name}"), module, "http://@server@/")
            .server(Server::steps(steps))
            .request(|request| request.view(View::Slow))
    };
    vec![
        case("body", "", of_ten, b"hello", b"hello"),
        case("body_matched", matched, of_ten, b"hello", b"hello"),
        case(
            "body_of_bad_status",
            "",
            "500 No\r\nContent-Length: 10",
            b"hello",
            b"hello",
        ),
        case("body_cut", "", of_ten, b"hello", b"h"),
        case("body_cut_matched", matched, of_ten, b"hello", b"h"),
        case("body_limited", limit, of_ten, b"hello", b"hello"),
        case("chunks", "", chunked, b"5\r\nhello\r\n", b"0\r\n\r\n"),
        case("chunks_broken", "", chunked, b"5\r\nhello\r\n", b"xyz\r\n"),
        case("chunks_cut", "", chunked, b"5\r\nhello\r\n", b"5\r\nhe"),
        case(
            "gzip_broken",
            "compression: gzip",
            gzip,
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff",
            b"this is no block of it",
        ),
        case(
            "redirect_not_followed",
            "follow_redirects: false",
            "302 Found\r\nLocation: /x\r\nContent-Length: 10",
            b"hello",
            b"hello",
        ),
        late(
            "body",
            "",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            Step::Silence,
        ),
        late(
            "body_matched",
            matched,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            Step::Silence,
        ),
        late(
            "body_of_bad_status",
            "",
            b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n",
            Step::Silence,
        ),
        late("head", "", b"HTTP/1.1 200 OK\r\nContent-", Step::Silence),
        late(
            "head_of_interim",
            "",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
            Step::Silence,
        ),
    ]
}

fn slow() -> Vec<Case> {
    let short = |options: &str| format!("{{prober: http, timeout: 700ms, http: {{{options}}}}}");
    let case = |name: &str, options: &str, steps: Vec<Step>| {
        Case::probe(
            format!("framing::{name}"),
            short(options),
            "http://@server@/",
        )
        .server(Server::steps(steps))
    };
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    vec![
        case("silence", "", vec![Step::Silence]),
        case(
            "silence_after_request",
            "",
            vec![Step::Request, Step::Silence],
        ),
        case(
            "silence_after_head",
            "",
            vec![Step::Request, Step::Send(head.clone()), Step::Silence],
        ),
        case(
            "silence_after_head_matched",
            "fail_if_body_matches_regexp: [x]",
            vec![Step::Request, Step::Send(head), Step::Silence],
        ),
        case(
            "silence_after_chunk",
            "",
            vec![Step::Request, Step::Send(chunk), Step::Silence],
        ),
        case(
            "silence_after_bad_status",
            "",
            vec![
                Step::Request,
                Step::Send(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n".to_vec()),
                Step::Silence,
            ],
        ),
        case(
            "body_in_pieces",
            "fail_if_body_not_matches_regexp: ['^helloh.*hello$']",
            vec![
                Step::Request,
                Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
                Step::Trickle(b"hello".to_vec(), 5, Duration::from_millis(20)),
            ],
        ),
        case(
            "answer_after_the_first_line",
            "",
            vec![Step::Line, Step::Send(ok("early")), Step::Request],
        ),
        case("hangup", "", vec![Step::Hangup]),
        case(
            "switching_to_nothing",
            "valid_status_codes: [101]",
            vec![
                Step::Request,
                Step::Send(b"HTTP/1.1 101 Odd\r\nConnection: Upgrade\r\n\r\nhello".to_vec()),
                Step::Silence,
            ],
        ),
        case(
            "switching_and_silence",
            "valid_status_codes: [101]",
            vec![
                Step::Request,
                Step::Send(
                    b"HTTP/1.1 101 Odd\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n".to_vec(),
                ),
                Step::Pause(Duration::from_millis(1_500)),
            ],
        ),
        Case::probe("framing::long_head", module(""), "http://@server@/").server(
            Server::answering(
                [
                    b"HTTP/1.1 200 OK\r\n".to_vec(),
                    format!("X: {}\r\n", "a".repeat(1000))
                        .repeat(60)
                        .into_bytes(),
                    b"Content-Length: 0\r\n\r\n".to_vec(),
                ]
                .concat(),
            ),
        ),
        Case::probe("framing::longer_head", module(""), "http://@server@/").server(
            Server::answering(
                [
                    b"HTTP/1.1 200 OK\r\n".to_vec(),
                    format!("X: {}\r\n", "a".repeat(1000))
                        .repeat(80)
                        .into_bytes(),
                    b"Content-Length: 0\r\n\r\n".to_vec(),
                ]
                .concat(),
            ),
        ),
        Case::probe("framing::many_fields", module(""), "http://@server@/").server(
            Server::answering(
                [
                    b"HTTP/1.1 200 OK\r\n".to_vec(),
                    "X: a\r\n".repeat(300).into_bytes(),
                    b"Content-Length: 0\r\n\r\n".to_vec(),
                ]
                .concat(),
            ),
        ),
    ]
}
