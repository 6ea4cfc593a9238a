//! HTTP/2, frame by frame: what is usual, what is odd, and what is asked again.

use std::time::Duration;

use probity_simulator::h2::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PUSH_PROMISE, data, frame,
    goaway, head, reset, settings, window_update,
};

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::super::view::View;

const SKIP: &str = "tls_config: {insecure_skip_verify: true}";
const OK: &[(&str, &str)] = &[(":status", "200"), ("content-length", "5")];
const PUSH: u16 = 0x2;
const STREAMS: u16 = 0x3;
const WINDOW: u16 = 0x4;

/// A probe of a server that speaks HTTP/2, the n-th connection with the n-th steps.
fn case(name: &str, options: &str, turns: Vec<Vec<Step>>) -> Case {
    let module = format!("{{prober: http, timeout: 20s, http: {{{options}, {SKIP}}}}}");
    Case::probe(format!("http2::{name}"), module, "https://@server@/")
        .server(Server::turns(turns).tls(Tls::with("good").only_h2()))
}

/// Begins with these frames, and says those once it was asked.
fn greeting(first: Vec<u8>, frames: &[Vec<u8>]) -> Vec<Step> {
    vec![
        Step::Preface,
        Step::Send(first),
        Step::Stream,
        Step::Send(frames.concat()),
    ]
}

/// The same with settings that say nothing.
fn says(frames: &[Vec<u8>]) -> Vec<Step> {
    greeting(settings(&[]), frames)
}

fn hello() -> Vec<u8> {
    data(END_STREAM, b"hello")
}

fn of_status(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    head(0, &[&[(":status", status)], fields].concat())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let any = "valid_status_codes: [200, 204, 304, 599]";
    let matched = format!("{any}, fail_if_body_not_matches_regexp: [hello]");
    for (name, turns) in usual().into_iter().chain(odd()) {
        cases.push(case(name, any, turns.clone()));
        // A body that is looked at is read in another way.
        cases.push(case(&format!("{name}_matched"), &matched, turns));
    }
    for (name, frames) in lengths() {
        cases.push(case(&format!("length_{name}"), any, vec![says(&frames)]));
        let of_head = format!("{any}, method: HEAD");
        let ended = vec![[&frames[0][..4], &[5], &frames[0][5..]].concat()];
        cases.push(case(
            &format!("length_{name}_of_head"),
            &of_head,
            vec![says(&ended)],
        ));
        cases.push(case(
            &format!("length_{name}_alone"),
            any,
            vec![says(&ended)],
        ));
    }
    cases.extend(again());
    cases.extend(windows());
    cases.extend(slow());
    cases.extend(strict());
    cases
}

type Named = (&'static str, Vec<Vec<Step>>);

fn usual() -> Vec<Named> {
    let link = [(":status", "103"), ("link", "</a>")];
    let first = &h2::block(OK)[..10];
    let rest = &h2::block(OK)[10..];
    let prioritised = [&[3, 0, 0, 0, 0, 16][..], &h2::block(OK), &[0; 3]].concat();
    let redirect = [(":status", "302"), ("location", "/x")];
    let turn = |frames: &[Vec<u8>]| vec![says(frames)];
    vec![
        ("plain", turn(&[head(0, OK), hello()])),
        (
            "empty_data_at_the_end",
            turn(&[head(0, OK), data(0, b"hello"), data(END_STREAM, b"")]),
        ),
        ("without_length", turn(&[of_status("200", &[]), hello()])),
        (
            "padded",
            turn(&[
                head(0, OK),
                frame(DATA, END_STREAM | 8, 1, b"\x03hello\0\0\0"),
            ]),
        ),
        (
            "padded_head",
            turn(&[frame(HEADERS, END_HEADERS | 0x28, 1, &prioritised), hello()]),
        ),
        (
            "continuation",
            turn(&[
                frame(HEADERS, 0, 1, first),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, rest),
                hello(),
            ]),
        ),
        (
            "trailers",
            turn(&[
                head(0, OK),
                data(0, b"hello"),
                head(END_STREAM, &[("x-t", "1")]),
            ]),
        ),
        (
            "ping_before",
            turn(&[frame(PING, 0, 0, b"12345678"), head(0, OK), hello()]),
        ),
        (
            "hints_before",
            turn(&[head(0, &link), head(0, &link), head(0, OK), hello()]),
        ),
        (
            "settings_between",
            turn(&[head(0, OK), settings(&[(STREAMS, 1), (WINDOW, 1)]), hello()]),
        ),
        (
            "window_updates",
            turn(&[
                window_update(0, 9),
                window_update(1, 9),
                head(0, OK),
                hello(),
            ]),
        ),
        (
            "priority",
            turn(&[frame(2, 0, 3, &[0, 0, 0, 0, 16]), head(0, OK), hello()]),
        ),
        (
            "unknown_frames",
            turn(&[
                frame(0xbb, 9, 1, b"x"),
                frame(10, 0, 0, b"\0\0h2=\":1\""),
                head(0, OK),
                hello(),
            ]),
        ),
        (
            "reset_after_the_end",
            turn(&[head(0, OK), hello(), reset(0)]),
        ),
        (
            "cancelled_after_the_end",
            turn(&[head(0, OK), hello(), reset(8)]),
        ),
        (
            "goaway_after_the_end",
            turn(&[head(0, OK), hello(), goaway(1, 0)]),
        ),
        ("goaway_before", turn(&[goaway(1, 0), head(0, OK), hello()])),
        (
            "goaway_twice",
            turn(&[goaway(0x7fff_ffff, 0), head(0, OK), goaway(1, 0), hello()]),
        ),
        (
            "goaway_with_error",
            turn(&[goaway(1, 0xb), head(0, OK), hello()]),
        ),
        (
            "redirect",
            vec![
                says(&[head(END_STREAM, &redirect)]),
                says(&[head(0, OK), hello()]),
            ],
        ),
    ]
}

fn odd() -> Vec<Named> {
    let turn = |frames: &[Vec<u8>]| vec![says(frames)];
    let set = |id, value| vec![greeting(settings(&[(id, value)]), &[head(0, OK), hello()])];
    let named = |name: &str| turn(&[head(0, &[&OK[..1], &[(name, "x")]].concat()), hello()]);
    vec![
        ("push_allowed", set(PUSH, 1)),
        ("push_of_two", set(PUSH, 2)),
        ("window_too_large", set(WINDOW, 1 << 31)),
        ("frames_too_small", set(0x5, 1)),
        ("unknown_setting", set(0xff, 1)),
        ("reset_before", turn(&[reset(2)])),
        ("reset_instead_of_body", turn(&[head(0, OK), reset(0)])),
        (
            "refused_in_the_body",
            turn(&[head(0, OK), data(0, b"he"), reset(7)]),
        ),
        (
            "goaway_in_the_body",
            turn(&[head(0, OK), data(0, b"he"), goaway(0, 0)]),
        ),
        ("asked_for_http_1", turn(&[reset(0xd)])),
        ("cut_in_the_body", turn(&[head(0, OK), data(0, b"he")])),
        ("cut_before", turn(&[])),
        (
            "length_too_small",
            turn(&[of_status("200", &[("content-length", "3")]), hello()]),
        ),
        (
            "length_too_large",
            turn(&[of_status("200", &[("content-length", "9")]), hello()]),
        ),
        ("connection_field", named("connection")),
        ("name_in_capitals", named("X-A")),
        ("name_with_space", named("x a")),
        (
            "status_twice",
            turn(&[of_status("200", &[(":status", "200")]), hello()]),
        ),
        ("no_status", turn(&[head(0, &[("x", "y")]), hello()])),
        ("status_599", turn(&[of_status("599", &[]), hello()])),
        (
            "end_of_hints",
            turn(&[head(END_STREAM, &[(":status", "103")])]),
        ),
        (
            "trailers_without_end",
            turn(&[head(0, OK), data(0, b"hello"), head(0, &[("x", "y")])]),
        ),
        (
            "data_before_head",
            turn(&[data(0, b"x"), head(0, OK), hello()]),
        ),
        (
            "data_of_other_stream",
            turn(&[head(0, OK), frame(DATA, 0, 3, b"x"), hello()]),
        ),
        (
            "pushed",
            turn(&[
                frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
                head(0, OK),
                hello(),
            ]),
        ),
        (
            "short_ping",
            turn(&[frame(PING, 0, 0, b"1234"), head(0, OK), hello()]),
        ),
        (
            "update_of_nothing",
            turn(&[window_update(0, 0), head(0, OK), hello()]),
        ),
        (
            "bad_index",
            turn(&[frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0x01]), hello()]),
        ),
        (
            "http_1",
            vec![vec![
                Step::Preface,
                Step::Send(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()),
            ]],
        ),
    ]
}

/// Heads with lengths, and a body.
fn lengths() -> Vec<(String, Vec<Vec<u8>>)> {
    let mut lengths = Vec::new();
    for status in ["200", "204", "304"] {
        for (name, values) in [
            ("right", &["5"][..]),
            ("word", &["five"]),
            ("plus", &["+5"]),
            ("empty", &[""]),
            ("list", &["5, 5"]),
            ("twice", &["5", "5"]),
            ("two_values", &["5", "6"]),
            ("missing", &[]),
        ] {
            let fields: Vec<_> = values
                .iter()
                .map(|value| ("content-length", *value))
                .collect();
            let frames = vec![of_status(status, &fields), hello()];
            lengths.push((format!("{name}_{status}"), frames));
        }
    }
    lengths
}

/// What a server says that it has not looked at.
fn again() -> Vec<Case> {
    let answer = || says(&[head(0, OK), hello()]);
    let once = |frames: &[Vec<u8>]| vec![says(frames), answer()];
    let get = "method: GET";
    let post = "method: POST, body: text";
    let file = "method: POST, body_file: '@folder@/body.txt'";
    let hints = head(0, &[(":status", "103")]);
    let patient = |case: Case| {
        let module = format!("{{prober: http, timeout: 300ms, http: {{{SKIP}}}}}");
        case.module(&module)
    };
    vec![
        case("refused_once", get, once(&[reset(7)])),
        case("refused_once_post", post, once(&[reset(7)])),
        case("refused_once_file", file, once(&[reset(7)])),
        case("refused_after_hints", get, once(&[hints, reset(7)])),
        case(
            "refused_thrice",
            get,
            vec![
                says(&[reset(7)]),
                says(&[goaway(0, 0)]),
                says(&[reset(7)]),
                answer(),
            ],
        ),
        case(
            "refused_five_times",
            get,
            [vec![says(&[reset(7)]); 5], vec![answer()]].concat(),
        ),
        case("goaway_once", get, once(&[goaway(0, 0)])),
        case("goaway_once_post", post, once(&[goaway(0, 0)])),
        case("goaway_once_file", file, once(&[goaway(0, 0)])),
        case(
            "goaway_once_twice",
            get,
            once(&[goaway(0x7fff_ffff, 0), goaway(0, 0)]),
        ),
        case("goaway_once_with_error", get, once(&[goaway(0, 2)])),
        case(
            "goaway_once_after_error",
            get,
            once(&[goaway(1, 0xb), goaway(0, 0)]),
        ),
        case("reset_once", get, once(&[reset(2)])),
        case(
            "refused_then_gone",
            get,
            vec![says(&[reset(7)]), vec![Step::Hangup]],
        ),
        patient(case("refused_for_ever", get, vec![says(&[reset(7)])])),
    ]
}

/// Bodies of requests that are let in bit by bit.
fn windows() -> Vec<Case> {
    let large = format!("method: POST, body: '{}'", "x".repeat(100_000));
    let answer = Step::Send([head(0, OK), hello()].concat());
    let pause = Step::Pause(Duration::from_millis(50));
    let steps = |first: Vec<u8>, more: Vec<Vec<u8>>| {
        let mut steps = vec![Step::Preface, Step::Send(first), Step::Frame(HEADERS)];
        for more in more {
            steps.extend([pause.clone(), Step::Send(more)]);
        }
        steps.extend([Step::Stream, answer.clone()]);
        vec![steps]
    };
    let both = |increment| [window_update(0, increment), window_update(1, increment)].concat();
    vec![
        case(
            "body_after_updates",
            &large,
            steps(settings(&[(WINDOW, 0)]), vec![both(100_000)]),
        ),
        case(
            "body_after_settings",
            &large,
            steps(
                settings(&[(WINDOW, 5)]),
                vec![[settings(&[(WINDOW, 200_000)]), window_update(0, 100_000)].concat()],
            ),
        ),
        case(
            "body_in_three_parts",
            &large,
            steps(settings(&[]), vec![both(20_000), both(20_000)]),
        ),
    ]
}

/// Answers of which a part takes some hundred milliseconds.
fn slow() -> Vec<Case> {
    let pause = || Step::Pause(Duration::from_millis(400));
    let send = |frames: &[Vec<u8>]| Step::Send(frames.concat());
    let asked = || vec![Step::Preface, Step::Send(settings(&[])), Step::Stream];
    let turn = |steps: Vec<Step>| [asked(), steps].concat();
    let hints = head(0, &[(":status", "103")]);
    let slow = |name: &str, turns| {
        case(name, "method: GET", turns).request(|request| request.view(View::Slow))
    };
    let refused = || turn(vec![pause(), send(&[reset(7)])]);
    vec![
        slow(
            "slow_head",
            vec![turn(vec![pause(), send(&[head(0, OK), hello()])])],
        ),
        slow(
            "slow_body",
            vec![turn(vec![send(&[head(0, OK)]), pause(), send(&[hello()])])],
        ),
        slow(
            "slow_after_hints",
            vec![turn(vec![
                send(&[hints]),
                pause(),
                send(&[head(0, OK), hello()]),
            ])],
        ),
        slow(
            "slow_trailers",
            vec![turn(vec![
                send(&[head(0, OK), data(0, b"hello")]),
                pause(),
                send(&[head(END_STREAM, &[("x", "y")])]),
            ])],
        ),
        slow(
            "slow_refusal",
            vec![refused(), says(&[head(0, OK), hello()])],
        ),
    ]
}

/// What one of the two programs lets pass.
fn strict() -> Vec<Case> {
    let bare = |steps: Vec<Step>| vec![[vec![Step::Preface], steps].concat()];
    let answer = || Step::Send([head(0, OK), hello()].concat());
    let turn = |frames: &[Vec<u8>]| vec![says(frames)];
    let any = "method: GET";
    let empty = data(0, b"").repeat(20_000);
    vec![
        case(
            "value_with_space",
            "fail_if_header_not_matches: [{header: X-A, regexp: '^b$'}]",
            turn(&[of_status("200", &[("x-a", " b ")]), hello()]),
        ),
        case(
            "strict_no_settings",
            any,
            bare(vec![Step::Stream, answer()]),
        ),
        case(
            "strict_status_101",
            any,
            turn(&[of_status("101", &[]), head(0, OK), hello()]),
        ),
        case(
            "strict_status_four_digits",
            any,
            turn(&[of_status("0200", &[]), hello()]),
        ),
        case(
            "strict_other_stream",
            any,
            turn(&[
                frame(HEADERS, END_HEADERS | END_STREAM, 3, &h2::block(OK)),
                head(0, OK),
                hello(),
            ]),
        ),
        case(
            "strict_large_frame",
            any,
            turn(&[of_status("200", &[]), data(END_STREAM, &[b'x'; 16_385])]),
        ),
        case(
            "strict_empty_data",
            any,
            turn(&[of_status("200", &[]), empty, hello()]),
        ),
    ]
}
