//! HTTP/2 servers that are right, and those that mean harm or know no better.

use std::time::Duration;

use probity_engine::{Outcome, Phase, Reason};
use probity_simulator::coded::Coding;
use probity_simulator::h2::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PUSH_PROMISE, Server, data,
    frame, goaway, head, reset, settings, window_update,
};
use probity_simulator::{Behaviour, Certificate, Options, Script, Step, Tls, World, http as http1};
use serde_json::json;

use crate::lab::{
    TIMEOUT, address, assert_failure, http, http_with, probe, probe_in, probe_pieces, server,
};

const URL: &str = "https://192.0.2.1:80/";
const OK: &[(&str, &str)] = &[(":status", "200")];

/// Behind TLS with a good certificate.
fn secured(server: Behaviour) -> Behaviour {
    server.secured(Tls::Speaks(Certificate::Good))
}

fn answering(frames: &[Vec<u8>]) -> Behaviour {
    secured(h2::answering(frames))
}

/// Sends `frames` once it was asked, and `flood` for ever.
fn flooding(frames: &[Vec<u8>], flood: Vec<u8>) -> Behaviour {
    let flood = Step::Flood(flood.into(), Duration::from_millis(1));
    let script = Script::new([Step::Send(frames.concat().into()), flood]);
    secured(Server::new(script).serve())
}

#[test]
fn a_good_server_is_a_success_in_this_version() {
    let only = http_with(json!({
        "valid_http_versions": ["HTTP/2.0"],
        "fail_if_body_not_matches_regexp": ["^hello$"],
        "fail_if_header_not_matches": [{"header": "Content-Length", "regexp": "5"}],
    }));
    let record = probe_pieces(&only, URL, &secured(h2::ok("hello")));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    let phases: Vec<Phase> = record.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, Phase::ALL);
    let other = http_with(json!({"valid_http_versions": ["HTTP/1.1"]}));
    let record = probe(&other, URL, secured(h2::ok("hello")));
    assert_failure(
        &record,
        Reason::HttpVersion,
        "version HTTP/2.0, expected HTTP/1.1",
    );
}

#[test]
fn a_server_may_choose_http_1() {
    let only = http_with(json!({"valid_http_versions": ["HTTP/1.1"]}));
    let record = probe(&only, URL, secured(http1::ok()));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn one_byte_at_a_time_is_a_success() {
    let length = [(":status", "200"), ("content-length", "2")];
    let frames = [
        head(0, &[(":status", "103"), ("link", "</a>")]),
        frame(HEADERS, 0, 1, &h2::block(&length)),
        frame(CONTINUATION, END_HEADERS, 1, &h2::block(&[("a", "b")])),
        frame(PING, 0, 0, b"12345678"),
        frame(DATA, 0x8, 1, b"\x03ok\0\0\0"),
        frame(0xf7, 0xff, 77, b"an extension"),
        head(END_STREAM, &[("a-trailer", "x")]),
    ];
    let drip = Step::Drip(frames.concat().into(), Duration::from_millis(1));
    let server = secured(Server::new(Script::new([drip])).serve());
    let record = probe_pieces(&http(), URL, &server);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

/// Four MiB come out of a body, which is more than one turn may decode: what
/// comes after it waits, in whatever frames.
#[test]
fn what_a_body_decodes_to_is_spread_over_turns() {
    let coding = Coding::Gzip;
    let decoding = http_with(json!({
        "compression": coding.name(),
        "body_size_limit": "8MB",
        "fail_if_body_not_matches_regexp": ["^\\x00+$"],
    }));
    let bomb = coding.bomb();
    let (first, second) = bomb.split_at(bomb.len() / 2);
    let body = [head(0, OK), data(0, first), data(0, second)];
    let ping = frame(PING, 0, 0, b"12345678");
    let trailer = head(END_STREAM, &[("a-trailer", "x")]);
    for ended in [
        vec![data(END_STREAM, b"")],
        vec![ping.clone(), trailer],
        vec![data(END_STREAM, b""), goaway(1, 0)],
    ] {
        let frames = [&body[..], &ended].concat();
        let record = probe_pieces(&decoding, URL, &answering(&frames));
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
        let script = Script::new([Step::Send(frames.concat().into()), Step::Close]);
        let closing = secured(Server::new(script).serve());
        let record = probe_pieces(&decoding, URL, &closing);
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    }
    for (frames, reason, words) in [
        (vec![reset(2)], Reason::PeerReset, "INTERNAL_ERROR"),
        (
            vec![ping, data(END_STREAM, b"more")],
            Reason::BodyEncoding,
            "",
        ),
    ] {
        let frames = [&body[..], &frames].concat();
        let record = probe_pieces(&decoding, URL, &answering(&frames));
        assert_failure(&record, reason, words);
    }
}

#[test]
fn what_ends_a_body_too_early_or_too_late() {
    let long = &[(":status", "200"), ("content-length", "3")];
    for (frames, reason, words) in [
        (
            vec![head(0, long), data(END_STREAM, b"ab")],
            Reason::BodyTruncated,
            "the stream ended before the end of the body",
        ),
        (
            vec![head(END_STREAM, long)],
            Reason::BodyTruncated,
            "the stream ended before the end of the body",
        ),
        (
            vec![head(0, long), data(END_STREAM, b"abcd")],
            Reason::HttpMalformed,
            "the body is longer than Content-Length says",
        ),
        (
            vec![head(0, long), data(0, b"a"), reset(2)],
            Reason::PeerReset,
            "the peer reset the stream before the end of the body: INTERNAL_ERROR",
        ),
        (
            vec![head(0, long), data(0, b"a"), goaway(0, 0)],
            Reason::BodyTruncated,
            "the peer refused the request: GOAWAY, NO_ERROR",
        ),
        (
            vec![head(0, long), data(0, b"a"), frame(DATA, 0, 3, b"b")],
            Reason::HttpMalformed,
            "a DATA frame cannot be on stream 3",
        ),
    ] {
        let record = probe_pieces(&http(), URL, &answering(&frames));
        assert_failure(&record, reason, words);
        // What was wrong before goes first.
        let status = http_with(json!({"valid_status_codes": [204]}));
        let record = probe(&status, URL, answering(&frames));
        assert_failure(&record, Reason::HttpStatus, "status 200, expected 204");
    }
    let script = Script::new([
        Step::Send([head(0, long), data(0, b"ab")].concat().into()),
        Step::Close,
    ]);
    let record = probe(&http(), URL, secured(Server::new(script).serve()));
    assert_failure(&record, Reason::BodyTruncated, "before the end of the body");
}

#[test]
fn whatever_comes_after_the_end_is_not_looked_at() {
    let frames = [
        head(0, OK),
        data(END_STREAM, b"all"),
        data(0, b"more"),
        frame(0x5, 0, 9, b"and worse"),
    ];
    let record = probe_pieces(&http(), URL, &answering(&frames));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn head_has_no_body() {
    let module = http_with(json!({"method": "HEAD"}));
    let fields = &[(":status", "200"), ("content-length", "5")];
    for flags in [0, END_STREAM] {
        let record = probe(&module, URL, answering(&[head(flags, fields)]));
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    }
}

#[test]
fn servers_that_refuse() {
    for (frames, reason, words) in [
        (
            goaway(0, 0xb),
            Reason::PeerClosed,
            "the peer refused the request: GOAWAY, ENHANCE_YOUR_CALM",
        ),
        (
            reset(0xd),
            Reason::PeerReset,
            "the peer reset the stream before it answered: HTTP_1_1_REQUIRED",
        ),
    ] {
        let record = probe_pieces(&http(), URL, &answering(&[frames]));
        assert_failure(&record, reason, words);
        assert_eq!(record.phase, Phase::Processing);
    }
    let leaves = Script::new([Step::Send(goaway(1, 0).into()), Step::Close]);
    let record = probe(&http(), URL, secured(Server::new(leaves).serve()));
    let words = "closed by the peer before it answered (GOAWAY: NO_ERROR)";
    assert_failure(&record, Reason::PeerClosed, words);
}

#[test]
fn silence_is_a_timeout_while_it_processes() {
    let silent = secured(Server::new(Script::new([])).serve());
    let record = probe(&http(), URL, silent);
    assert_failure(&record, Reason::TimeoutProcessing, "waiting for an answer");
    let endless = flooding(&[head(0, OK)], data(0, &[b'x'; 16_384]));
    let record = probe(&http(), URL, endless.clone());
    assert_failure(&record, Reason::TimeoutTransfer, "reading the answer");
    let limited = http_with(json!({"body_size_limit": "1MB"}));
    let record = probe(&limited, URL, endless);
    assert_failure(&record, Reason::BodyLimit, "larger than");
}

#[test]
fn violations_are_malformed() {
    for (frames, words) in [
        (head(0, &[]), "expected exactly one :status"),
        (head(0, &[(":status", "101")]), ":status from 100 to 999"),
        (
            head(0, &[(":status", "200"), ("Server", "x")]),
            "invalid header name",
        ),
        (
            head(0, &[(":status", "200"), ("a", "b\r\nc: d")]),
            "invalid header value",
        ),
        (
            frame(HEADERS, END_HEADERS, 1, &[0xbe]),
            "no field has the index 62",
        ),
        (
            frame(HEADERS, END_HEADERS, 3, &[0x88]),
            "a HEADERS frame cannot be on stream 3",
        ),
        (
            data(0, b"early"),
            "a DATA frame comes before the response head",
        ),
        (
            frame(CONTINUATION, END_HEADERS, 1, &[0x88]),
            "does not continue a head",
        ),
        (
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
            "a response was pushed",
        ),
        (
            frame(PING, 0, 0, b"short"),
            "a PING frame cannot have 5 bytes",
        ),
        (settings(&[(0x5, 1)]), "setting 0x5 cannot be 1"),
        (window_update(0, 0), "a WINDOW_UPDATE frame adds nothing"),
        (
            window_update(1, 0x7fff_ffff),
            "a window is larger than 2^31 - 1 bytes",
        ),
        (
            frame(0, 0, 1, &[0; 20_000]),
            "a DATA frame of 20000 bytes is larger than agreed",
        ),
    ] {
        let record = probe_pieces(&http(), URL, &answering(&[frames]));
        assert_failure(&record, Reason::HttpMalformed, words);
    }
    let text = Script::new([Step::Send("HTTP/1.1 400 Bad Request\r\n\r\n".into())]);
    let server = Server::new(Script::new([])).greeting(text, 0);
    let record = probe(&http(), URL, secured(server.serve()));
    let words = r#"expected HTTP/2, which was agreed on, found "HTTP/1.1 ""#;
    assert_failure(&record, Reason::HttpMalformed, words);
}

#[test]
fn floods_end_at_a_bound_and_not_at_the_deadline() {
    let open = frame(HEADERS, 0, 1, &[]);
    let nothing = "more than 10000 frames that carry nothing";
    for (begin, flood) in [
        (Vec::new(), settings(&[(0x3, 100)])),
        (Vec::new(), frame(PING, 0, 0, b"12345678")),
        (Vec::new(), window_update(1, 1)),
        (head(0, OK), data(0, b"")),
        (open.clone(), frame(CONTINUATION, 0, 1, &[])),
    ] {
        let record = probe(&http(), URL, flooding(&[begin], flood.repeat(64)));
        assert_failure(&record, Reason::HttpMalformed, nothing);
        assert!(record.total < TIMEOUT);
    }
    let endless = frame(CONTINUATION, 0, 1, &h2::block(&[("a", &"x".repeat(100))]));
    let record = probe(&http(), URL, flooding(&[open], endless.repeat(8)));
    assert_failure(&record, Reason::HttpHeaderLimit, "larger than 65536 bytes");
    assert!(record.total < TIMEOUT);
}

/// A field of almost 4 KiB goes into the table, and is named again and again.
#[test]
fn a_bomb_does_not_go_off() {
    let mut block = b"\x88\x40\x01a\x7f\xc0\x1e".to_vec();
    block.extend([b'x'; 4_031]);
    block.extend([0xbe; 10_000]);
    let record = probe_pieces(
        &http(),
        URL,
        &answering(&[frame(HEADERS, END_HEADERS, 1, &block)]),
    );
    assert_failure(&record, Reason::HttpHeaderLimit, "larger than 65536 bytes");
    let many = [vec![0x88], vec![0x90; 300]].concat();
    let record = probe(
        &http(),
        URL,
        answering(&[frame(HEADERS, END_HEADERS, 1, &many)]),
    );
    assert_failure(&record, Reason::HttpHeaderLimit, "more than 256 fields");
}

#[test]
fn a_body_is_sent_as_fast_as_it_is_allowed() {
    let body = "x".repeat(100_000);
    let module = http_with(json!({"method": "POST", "body": body}));
    let answer = || Script::new([Step::Send([head(END_STREAM, OK)].concat().into())]);
    let stuck = Server::new(answer()).serve();
    let record = probe(&module, URL, secured(stuck));
    assert_failure(&record, Reason::TimeoutProcessing, "waiting for an answer");
    let pause = || Step::Pause(Duration::from_millis(20));
    let greeting = Script::new([
        Step::Send(settings(&[(0x4, 10)]).into()),
        pause(),
        Step::Send(window_update(0, 200_000).into()),
        pause(),
        Step::Send(settings(&[(0x4, 80_000)]).into()),
        pause(),
        Step::Send(window_update(1, 20_000).into()),
    ]);
    let server = Server::new(answer()).greeting(greeting, 100_000).serve();
    let record = probe_pieces(&module, URL, &secured(server));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    // An answer need not wait for the end of a request.
    let early = Script::new([
        Step::Send([settings(&[]), head(END_STREAM, OK)].concat().into()),
        Step::Hold,
    ]);
    let server = Server::new(answer()).greeting(early, 65_535).serve();
    let record = probe(&module, URL, secured(server));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn a_redirect_leads_on_in_whatever_protocol() {
    for (location, to, behaviour) in [
        (
            "https://192.0.2.2/x",
            "192.0.2.2:443",
            secured(h2::ok("there")),
        ),
        ("https://192.0.2.2/x", "192.0.2.2:443", secured(http1::ok())),
        ("http://192.0.2.2/x", "192.0.2.2:80", http1::ok()),
    ] {
        let mut world = World::new(Options::quiet(1));
        let fields = [(":status", "302"), ("location", location)];
        world.serve(server(), answering(&[head(0, &fields), data(0, b"moved")]));
        world.serve(address(to), behaviour);
        let record = probe_in(&mut world, &http(), URL);
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    }
}
