//! Header fields: those that are sent, those that are matched, dates.

use super::super::case::Case;
use super::{answer, http, ok, quoted};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = sent();
    cases.extend(matched());
    cases.extend(dates());
    cases
}

fn sent() -> Vec<Case> {
    [
        ("host", "headers: {Host: vhost.test}"),
        ("host_with_port", "headers: {Host: 'vhost.test:8080'}"),
        ("host_small_letters", "headers: {host: vhost.test}"),
        ("host_any_below", "headers: {Host: '*.example.com'}"),
        ("host_port_large", "headers: {Host: 'example.com:99999'}"),
        ("host_port_eight", "headers: {Host: 'example.com:08000'}"),
        ("host_international", "headers: {Host: bücher.example}"),
        ("host_international_port", "headers: {Host: 'bücher:80'}"),
        ("host_path", "headers: {Host: example.com/path}"),
        ("host_words", "headers: {Host: foo bar}"),
        ("host_url", "headers: {Host: 'http://example.com'}"),
        ("host_space_before", "headers: {Host: ' a.test'}"),
        ("host_line_break", "headers: {Host: \"a\\nb\"}"),
        ("host_binary", "headers: {Host: !!binary gIGC}"),
        ("host_in_brackets", "headers: {Host: '[::1]:80'}"),
        ("spelled_twice", "headers: {Accept: a, accept: a}"),
        ("value_binary", "headers: {X: !!binary gIGC}"),
        ("http_headers_binary", "http_headers: {X: {values: [!!binary gIGC]}}"),
        ("user_agent_binary", "headers: {User-Agent: !!binary gIGC}"),
        ("user_agent", "headers: {User-Agent: mine}"),
        ("user_agent_empty", "headers: {User-Agent: ''}"),
        ("several", "headers: {Z-Last: z, A-First: a, Accept-Language: en-US, M: ''}"),
        ("odd_capitals", "headers: {x-ODD-cAse: v}"),
        ("number", "headers: {X-Number: 12, X-Bool: true, X-Float: 1.50}"),
        ("accept", "headers: {Accept: text/html, Accept-Encoding: gzip}"),
        ("connection", "headers: {Connection: keep-alive}"),
        ("content_type", "method: POST, body: 'a=b', headers: {Content-Type: application/x-www-form-urlencoded}"),
        ("content_length", "method: POST, body: 'a=b', headers: {Content-Length: '1'}"),
        ("transfer_encoding", "method: POST, body: 'a=b', headers: {Transfer-Encoding: chunked}"),
        ("expect", "method: POST, body: 'a=b', headers: {Expect: 100-continue}"),
        ("value_with_spaces", "headers: {X: '  a  b  '}"),
        ("value_utf8", "headers: {X: 'ä'}"),
        ("value_newline", "headers: {X: \"a\\nb\"}"),
        ("name_with_space", "headers: {'A B': c}"),
        ("name_empty", "headers: {'': c}"),
        ("authorization", "headers: {Authorization: 'Basic abc'}"),
        ("cookie", "headers: {Cookie: 'a=b; c=d'}"),
        ("http_headers", "http_headers: {X-One: {values: [a, b]}, X-Two: {secrets: [s]}, X-Three: {files: ['@folder@/secret.txt']}}"),
        ("http_headers_beside_headers", "headers: {X-One: first}, http_headers: {X-One: {values: [second]}}"),
        ("http_headers_small_letters", "http_headers: {x-one: {values: [a]}}"),
        ("http_headers_file_missing", "http_headers: {X-One: {files: ['@folder@/none.txt']}}"),
        ("basic_auth", "basic_auth: {username: user, password: 'pass word'}"),
        ("basic_auth_without_password", "basic_auth: {username: user}"),
        ("basic_auth_file", "basic_auth: {username: user, password_file: '@folder@/secret.txt'}"),
        ("basic_auth_user_file", "basic_auth: {username_file: '@folder@/secret.txt', password: p}"),
        ("basic_auth_file_missing", "basic_auth: {username: user, password_file: '@folder@/none.txt'}"),
        ("basic_auth_beside_header", "basic_auth: {username: user, password: p}, headers: {Authorization: mine}"),
        ("bearer_token", "bearer_token: abc"),
        ("bearer_token_file", "bearer_token_file: '@folder@/secret.txt'"),
        ("authorization_block", "authorization: {credentials: abc}"),
        ("authorization_type", "authorization: {type: Token, credentials: abc}"),
        ("authorization_file", "authorization: {type: Token, credentials_file: '@folder@/secret.txt'}"),
        ("authorization_without_credentials", "authorization: {type: Token}"),
    ]
    .into_iter()
    .map(|(name, options)| http(format!("headers::send_{name}"), options, ok("x")))
    .collect()
}

fn matched() -> Vec<Case> {
    let mut cases = Vec::new();
    let rows: &[(&str, &str, &str, &str)] = &[
        (
            "same",
            "header: Content-Type, regexp: text/javascript",
            "",
            "Content-Type: text/javascript\r\n",
        ),
        (
            "other",
            "header: Content-Type, regexp: text/javascript",
            "",
            "Content-Type: application/octet-stream\r\n",
        ),
        (
            "small_letters",
            "header: content-type, regexp: text/javascript",
            "",
            "Content-Type: text/javascript\r\n",
        ),
        (
            "sent_in_small_letters",
            "header: Content-Type, regexp: text/javascript",
            "",
            "content-type: text/javascript\r\n",
        ),
        ("any_of_empty", "header: X, regexp: .*", "", "X: \r\n"),
        ("any_of_missing", "header: X, regexp: .*", "", ""),
        (
            "allowed_empty",
            "header: X, regexp: .*",
            "allow_missing: true",
            "X: \r\n",
        ),
        (
            "allowed_missing",
            "header: X, regexp: .*",
            "allow_missing: true",
            "",
        ),
        (
            "first_cookie",
            "header: Set-Cookie, regexp: '.*Domain=\\.a\\.test.*'",
            "",
            "Set-Cookie: a=b; Domain=.a.test\r\nSet-Cookie: c=d\r\n",
        ),
        (
            "second_cookie",
            "header: Set-Cookie, regexp: '.*Domain=\\.a\\.test.*'",
            "",
            "Set-Cookie: c=d\r\nSet-Cookie: a=b; Domain=.a.test\r\n",
        ),
        (
            "no_cookie",
            "header: Set-Cookie, regexp: '.*Domain=\\.a\\.test.*'",
            "",
            "Set-Cookie: c=d; Domain=www.a.test\r\n",
        ),
        ("trimmed", "header: X, regexp: '^a$'", "", "X:   a   \r\n"),
        ("host", "header: Host, regexp: a", "", "Host: a\r\n"),
        ("length", "header: Content-Length, regexp: '^5$'", "", ""),
        (
            "encoding",
            "header: Transfer-Encoding, regexp: chunked",
            "",
            "",
        ),
        (
            "connection",
            "header: Connection, regexp: close",
            "",
            "Connection: close\r\n",
        ),
        (
            "date",
            "header: Date, regexp: 2026",
            "allow_missing: true",
            "",
        ),
    ];
    for (name, what, more, fields) in rows {
        let comma = if more.is_empty() { "" } else { ", " };
        for (how, option) in [
            ("fail_if", "fail_if_header_matches"),
            ("fail_unless", "fail_if_header_not_matches"),
        ] {
            let options = format!("{option}: [{{{what}{comma}{more}}}]");
            cases.push(http(
                format!("headers::{how}_{name}"),
                &options,
                answer(200, fields, "hello"),
            ));
        }
    }
    cases.extend(hidden());
    // Order of judgements.
    cases.push(http(
        "headers::match_after_bad_status",
        "fail_if_header_matches: [{header: X, regexp: a}]",
        answer(500, "X: a\r\n", "hello"),
    ));
    cases.push(http(
        "headers::match_and_body_match",
        "fail_if_header_matches: [{header: X, regexp: a}], fail_if_body_matches_regexp: [hello]",
        answer(200, "X: b\r\n", "hello"),
    ));
    cases
}

/// Fields that Go takes off an answer, or leaves on it.
fn hidden() -> Vec<Case> {
    const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
    let mut cases = Vec::new();
    for (name, field, head, body) in [
        (
            "chunked",
            "Transfer-Encoding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            CHUNKS,
        ),
        (
            "chunked_in_1_0",
            "transfer-encoding",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
            CHUNKS,
        ),
        (
            "length_of_chunked",
            "Content-Length",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
            CHUNKS,
        ),
        (
            "trailer_of_chunked",
            "Trailer",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X",
            CHUNKS,
        ),
        (
            "trailer",
            "Trailer",
            "HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 5",
            "hello",
        ),
        (
            "keep_alive",
            "Connection",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5",
            "hello",
        ),
        (
            "upgrade",
            "Upgrade",
            "HTTP/1.1 200 OK\r\nUpgrade: x\r\nContent-Length: 5",
            "hello",
        ),
        (
            "name_of_words",
            "Foo Bar",
            "HTTP/1.1 200 OK\r\nFoo Bar: x\r\nContent-Length: 5",
            "hello",
        ),
        (
            "folded",
            "X",
            "HTTP/1.1 200 OK\r\nX: a\r\n   b\r\nContent-Length: 5",
            "hello",
        ),
    ] {
        for (how, option) in [
            ("shown_fail_if", "fail_if_header_matches"),
            ("shown_fail_unless", "fail_if_header_not_matches"),
        ] {
            cases.push(http(
                format!("headers::{how}_{name}"),
                &format!("{option}: [{{header: {field}, regexp: '^[^ ]*( b)?$'}}]"),
                format!("{head}\r\n\r\n{body}"),
            ));
        }
    }
    cases
}

fn dates() -> Vec<Case> {
    [
        ("rfc1123", "Mon, 02 Jan 2006 15:04:05 GMT"),
        ("rfc1123_zone", "Mon, 02 Jan 2006 15:04:05 +0100"),
        ("rfc1123_utc", "Mon, 02 Jan 2006 15:04:05 UTC"),
        ("rfc850", "Monday, 02-Jan-06 15:04:05 GMT"),
        ("rfc850_last_century", "Monday, 02-Jan-95 15:04:05 GMT"),
        ("asctime", "Mon Jan  2 15:04:05 2006"),
        ("wrong_weekday", "Tue, 02 Jan 2006 15:04:05 GMT"),
        ("one_digit_day", "Mon, 2 Jan 2006 15:04:05 GMT"),
        ("before_epoch", "Thu, 01 Jan 1960 00:00:00 GMT"),
        ("leap_second", "Sat, 31 Dec 2016 23:59:60 GMT"),
        ("one_digit_hour", "Mon, 02 Jan 2006 8:04:05 GMT"),
        ("one_digit_minute", "Mon, 02 Jan 2006 08:4:05 GMT"),
        ("fraction", "Mon, 02 Jan 2006 15:04:05.5 GMT"),
        ("fraction_comma", "Mon, 02 Jan 2006 15:04:05,25 GMT"),
        ("two_spaces", "Mon,  02 Jan 2006 15:04:05 GMT"),
        ("spaces_everywhere", "Mon,   02   Jan  2006   15:04:05    GMT"),
        ("no_space", "Mon,02 Jan 2006 15:04:05 GMT"),
        ("rfc850_zone", "Monday, 02-Jan-06 15:04:05 CET"),
        ("rfc850_long_zone", "Monday, 02-Jan-06 15:04:05 CEST"),
        ("rfc850_long_no_zone", "Monday, 02-Jan-06 15:04:05 ABCD"),
        ("rfc850_offset", "Monday, 02-Jan-06 15:04:05 -03"),
        ("rfc850_gmt_offset", "Monday, 02-Jan-06 15:04:05 GMT+3"),
        ("rfc1123_small_zone", "Mon, 02 Jan 2006 15:04:05 gmt"),
        ("small_letters", "mon, 02 jan 2006 15:04:05 GMT"),
        ("asctime_fraction", "Mon Jan 2 15:04:05.25 2006"),
        ("no_such_day", "Mon, 30 Feb 2006 15:04:05 GMT"),
        ("iso", "2006-01-02T15:04:05Z"),
        ("words", "yesterday"),
        ("empty", ""),
    ]
    .into_iter()
    .map(|(name, date)| {
        let fields = format!("Last-Modified: {date}\r\n");
        http(format!("headers::last_modified_{name}"), "", answer(200, &fields, "x"))
    })
    .chain([
        http(
            "headers::last_modified_twice",
            "",
            answer(
                200,
                "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nLast-Modified: Tue, 03 Jan 2006 15:04:05 GMT\r\n",
                "x",
            ),
        ),
        http(
            "headers::last_modified_of_failure",
            &format!("fail_if_body_matches_regexp: [{}]", quoted("x")),
            answer(200, "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\n", "x"),
        ),
    ])
    .collect()
}
