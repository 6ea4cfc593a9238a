//! Bodies that take long to match, through the whole check.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::pattern;
use super::world::{Peer, among_each_other, closes, ok, run_with, spec_with};
use crate::check::http::Config;
use crate::config::Pattern;
use crate::io::Closed;
use crate::outcome::{Outcome, Phase, Reason};

/// An expression that needs another state at nearly every byte of [`text`], in which
/// it is not.
const HEAVY: &str = "[axb][^q]{200}[yc][^q]{200}[^axbyc ]";

fn text(length: u32) -> String {
    let at = |at: u32| at.wrapping_mul(2_654_435_761) >> 24;
    (0..length)
        .map(|it| char::from(b"axbyc"[at(it) as usize % 5]))
        .collect()
}

/// The same with [`HEAVY`] at its end.
fn with_it(length: u32) -> String {
    let text = text(length);
    let b = "b".repeat(200);
    format!("{text}x{b}y{b}!")
}

/// Insists on [`HEAVY`].
fn required(config: &mut Config) {
    config.fail_if_body_not_matches_regexp = pattern(HEAVY);
}

#[test]
fn the_verdict_of_many_turns_is_that_of_one() {
    let body = text(8_000);
    let missing = run_with("192.0.2.7", &[ok(&body)], required);
    missing.failed(
        Reason::BodyMismatch,
        &format!("body does not match {HEAVY:?}"),
    );
    assert!(missing.turns > 30, "{} turns", missing.turns);
    assert_eq!(missing.fact("failed_due_to_regex"), Some(1.0));
    // All of that is the transfer of the answer.
    assert_eq!(missing.phases.last(), Some(&Phase::Transfer));
    let spent = missing.fact("http_duration_secondstransfer").unwrap();
    assert!(spent > 0.03, "{spent} s");
    let there = run_with("192.0.2.7", &[ok(&with_it(8_000))], required);
    there.succeeded();
    assert!(there.turns > 30, "{} turns", there.turns);
    assert_eq!(there.fact("failed_due_to_regex"), Some(0.0));
}

/// TestFailIfBodyMatchesRegexp and TestFailIfBodyNotMatchesRegexp.
#[test]
fn bodies_that_must_or_must_not_match() {
    let run = |body: &[u8], forbidden: &[&str], required: &[&str]| {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let peer = Peer {
            sends: vec![[head.as_bytes(), body].concat()],
            ..Peer::default()
        };
        run_with("192.0.2.7", &[peer], |config| {
            config.fail_if_body_matches_regexp = patterns(forbidden);
            config.fail_if_body_not_matches_regexp = patterns(required);
        })
    };
    run(b"xyz", &["a", "b"], &[]).succeeded();
    let seen = run(b"xbx", &["a", "b"], &[]);
    seen.failed(Reason::BodyMismatch, r#"body matches "b""#);
    run(b"a ok", &[], &["a", "ok"]).succeeded();
    let seen = run(b"a \xff", &[], &["a", "ok"]);
    seen.failed(Reason::BodyMismatch, r#"body does not match "ok""#);
}

fn patterns(list: &[&str]) -> Vec<Pattern> {
    list.iter().flat_map(|it| pattern(it)).collect()
}

/// The first in the order of the module that decides, however long each takes.
#[test]
fn expressions_are_asked_in_order() {
    let body = with_it(2_000);
    for (forbidden, required, wrong) in [
        (
            ["z", HEAVY],
            ["z", HEAVY],
            format!("body matches {HEAVY:?}"),
        ),
        (
            ["z", "zz"],
            [HEAVY, "z"],
            "body does not match \"z\"".into(),
        ),
        ([HEAVY, "a"], ["z", "z"], format!("body matches {HEAVY:?}")),
    ] {
        let seen = run_with("192.0.2.7", &[ok(&body)], |config| {
            config.fail_if_body_matches_regexp = patterns(&forbidden);
            config.fail_if_body_not_matches_regexp = patterns(&required);
        });
        seen.failed(Reason::BodyMismatch, &wrong);
    }
    let seen = run_with("192.0.2.7", &[ok(&body)], |config| {
        config.fail_if_body_matches_regexp = pattern("z");
        config.fail_if_body_not_matches_regexp = patterns(&[HEAVY, "^[axbyc]+!$"]);
    });
    seen.succeeded();
}

#[test]
fn what_comes_while_a_body_is_matched_is_not_looked_at() {
    let body = with_it(2_000);
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    let after = Peer {
        sends: vec![
            answer.clone().into_bytes(),
            b"HTTP/1.1 500 Oh\r\n\r\n".to_vec(),
        ],
        closes: Some(Closed::Reset),
        ..Peer::default()
    };
    run_with("192.0.2.7", &[after], required).succeeded();
    let until_close = closes(&format!("HTTP/1.1 200 OK\r\n\r\n{body}"), Closed::End);
    run_with("192.0.2.7", &[until_close], required).succeeded();
}

/// A body is matched at once, unless turns are over when it has come.
#[test]
fn what_takes_no_turn_asks_for_none() {
    let seen = run_with("192.0.2.7", &[ok(&"healthy ".repeat(100))], |config| {
        config.fail_if_body_not_matches_regexp = pattern("^(healthy )+$");
    });
    seen.succeeded();
    assert_eq!(seen.turns, 0);
}

/// See [`among_each_other`], with a turn in each millisecond.
fn side_by_side(runs: &[(u64, Arc<crate::Spec>, &Peer)]) -> Vec<(u64, Outcome, String)> {
    among_each_other(1, runs)
}

const OURS: Outcome = Outcome::Unknown(Reason::Overload);

#[test]
fn nobody_waits_for_anothers_body() {
    let heavy = ok(&with_it(3_000));
    let light = ok("healthy");
    let (required, checked) = (
        spec_with("192.0.2.7", required),
        spec_with("192.0.2.8", |config| {
            config.fail_if_body_not_matches_regexp = pattern("^healthy$");
        }),
    );
    let light: Vec<_> = (0..90)
        .map(|after| (after, checked.clone(), &light))
        .collect();
    let runs = [&[(0, required, &heavy)], &light[..]].concat();
    let seen = side_by_side(&runs);
    let (end, outcome, detail) = &seen[0];
    assert_eq!(*outcome, Outcome::Success, "{detail}");
    assert!(*end > 10, "after {end} turns");
    for (after, (end, outcome, detail)) in (0..).zip(&seen[1..]) {
        assert_eq!((*end, *outcome), (after, Outcome::Success), "{detail}");
    }
}

/// The body is there, and so is the target; it is we who are not through.
#[test]
fn who_is_not_through_in_time_does_not_blame_the_target() {
    let heavy = ok(&text(40_000));
    let required = spec_with("192.0.2.7", required);
    let alone = side_by_side(&[(0, required.clone(), &heavy)]);
    let (_, outcome, detail) = &alone[0];
    assert_eq!(*outcome, Outcome::Unknown(Reason::LocalBound), "{detail}");
    let words = format!(
        " of 40000 bytes of the body had been matched against \
         fail_if_body_not_matches_regexp[0]: set a longer timeout, or a simpler \
         expression than {HEAVY:?}"
    );
    let read = detail.strip_prefix("the time was over when ").unwrap();
    let read = read
        .strip_suffix(&*words)
        .unwrap_or_else(|| panic!("{detail}"));
    let read: u32 = read.parse().unwrap();
    assert!((1_000..39_000).contains(&read), "{read}");
    // Others had half of the turns.
    for (_, outcome, detail) in
        side_by_side(&[(0, required.clone(), &heavy), (0, required, &heavy)])
    {
        assert_eq!(outcome, OURS, "{detail}");
        assert_eq!(
            detail,
            "the prober was too busy to match the body that had come"
        );
    }
    // What is wrong already is said, and nothing matched.
    let body = text(40_000);
    let broken = closes(
        &format!("HTTP/1.1 500 Oh\r\nContent-Length: 40000\r\n\r\n{body}"),
        Closed::End,
    );
    let seen = side_by_side(&[(0, spec_with("192.0.2.7", self::required), &broken)]);
    let (end, outcome, detail) = &seen[0];
    assert_eq!(
        (*end, *outcome),
        (0, Outcome::Failure(Reason::HttpStatus)),
        "{detail}"
    );
}
