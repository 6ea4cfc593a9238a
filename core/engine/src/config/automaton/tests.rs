//! A search in pieces finds what one at once does.

use alloc::string::String;
use alloc::vec::Vec;
use std::format;

use proptest::prelude::*;

use super::*;

/// What a search finds that has `work` each time, and how often it went on.
fn search(pattern: &str, text: &[u8], work: usize) -> (bool, usize) {
    let pattern = Pattern::new(pattern).unwrap_or_else(|error| panic!("{error}"));
    let automaton = Automaton::new(&pattern);
    let mut search = Search::new(&automaton);
    for turn in 1.. {
        let before = search.read();
        let (found, done) = search.go_on(&automaton, text, work);
        if let Some(found) = found {
            assert_eq!(found, pattern.is_match(text), "{pattern:?} in {text:x?}");
            return (found, turn);
        }
        assert!(done >= work, "there was more to be done");
        assert!(search.read() > before || turn == 1, "it does not go on");
    }
    unreachable!("a search ends")
}

#[test]
fn means_the_same_in_pieces() {
    for (pattern, text, found) in [
        ("", &b""[..], true),
        ("", b"a", true),
        ("^$", b"", true),
        ("^$", b"a", false),
        ("a$", b"ba", true),
        ("a$", b"ab", false),
        (r"\bb\b", "\u{e4}b\u{e4}".as_bytes(), true),
        // Nothing is found within a character.
        (r"\B", "a\u{e4}a".as_bytes(), false),
        (r"\B", "a\u{e4}".as_bytes(), true),
        (r"a\Bz|\B", "a\u{20ac}a".as_bytes(), false),
        // Each byte that is not UTF-8 is one character.
        ("^.{3}$", b"a\xffb", true),
        ("^\u{fffd}{2}a$", b"\xe2\x82a", true),
        ("^\u{fffd}{3}$", b"\xf0\x9f\x92", true),
        (r"^\W+$", b"\x80\xff\xc3", true),
        (r"\B", b"a\xffa", false),
    ] {
        for work in [1, 2, 3, 100, usize::MAX] {
            assert_eq!(
                search(pattern, text, work).0,
                found,
                "{pattern} with {work}"
            );
        }
    }
}

/// Characters and what is none at the edges of what is looked at at once.
#[test]
fn windows_change_nothing() {
    for end in [
        "\u{1f496}".as_bytes(),
        b"\xf0\x9f\x92",
        b"\xe2\x82\xac",
        b"\xff",
    ] {
        for short in 0..5 {
            let mut text = Vec::from([b'x'; WINDOW]);
            text.truncate(WINDOW - short);
            text.extend(end);
            text.extend(b"yz");
            let (found, _) = search("x\u{fffd}+yz$", &text, 1_000);
            assert_eq!(found, core::str::from_utf8(end).is_err());
            search("x[^x]yz$", &text, 1_000);
        }
    }
}

#[test]
fn a_search_may_be_used_again() {
    let pattern = Pattern::new("^a.*b$").unwrap();
    let automaton = Automaton::new(&pattern);
    let mut search = Search::new(&automaton);
    let mut took = |text: &str| {
        search.restart();
        search.go_on(&automaton, text.as_bytes(), 1_000_000)
    };
    let (first, long) = took("axxb");
    let (second, short) = took("axxb");
    assert_eq!((first, second), (Some(true), Some(true)));
    assert!(short < long, "{short} of {long}: states are known by then");
    assert_eq!(took("xaxxb").0, Some(false));
}

/// What a match begins with may lie across what is looked at at once, and across
/// turns.
#[test]
fn literals_are_found_wherever_they_are() {
    for pattern in ["needle", "needle$", "(?:stack|need).{2}", "e+dle"] {
        for before in (WINDOW - 10..WINDOW + 4).chain([0, 1]) {
            for work in [1, 40, WINDOW / PASSED - 1, usize::MAX] {
                let text = |end: &str| ["x".repeat(before).as_bytes(), end.as_bytes()].concat();
                assert!(search(pattern, &text("needle"), work).0, "{before} {work}");
                assert!(!search(pattern, &text("nee\ndle"), work).0);
            }
        }
    }
}

/// Text in which nothing begins is passed over.
#[test]
fn little_work_is_done_where_nothing_begins() {
    let text = "<p>Hello, W\u{f6}rld!</p>\n".repeat(10_000);
    for (pattern, most) in [
        ("fatal", text.len() / 8),
        ("fatal: .{0,40}$", text.len() / 8),
        // What it begins with is everywhere.
        ("l[^o]fatal", 2 * text.len()),
        // And this begins anywhere.
        (r"\w+ fatal", 2 * text.len()),
    ] {
        let automaton = Automaton::new(&Pattern::new(pattern).unwrap());
        let mut search = Search::new(&automaton);
        let (found, work) = search.go_on(&automaton, text.as_bytes(), usize::MAX);
        assert_eq!(found, Some(false));
        assert!(work < most, "{pattern}: {work} for {} bytes", text.len());
    }
}

/// The states that a text needs are what takes time: they are counted.
#[test]
fn work_is_about_what_it_takes() {
    let heavy = "[axb][^q]{200}[yc][^q]{200}[^axbyc ]";
    let text: String = (0_u32..20_000)
        .map(|at| char::from(b"axbyc"[(at.wrapping_mul(2_654_435_761) >> 24) as usize % 5]))
        .collect();
    let (found, turns) = search(heavy, text.as_bytes(), 256 << 10);
    assert!(!found && turns > 100, "{turns} turns");
    let (found, turns) = search("healthy", text.as_bytes(), 256 << 10);
    assert!(!found && turns == 1, "{turns} turns");
}

#[test]
fn what_is_too_large_matches_nothing() {
    let pattern = Pattern::new(&r"\pL{1000}".repeat(100)).unwrap();
    assert!(pattern.is_too_large());
    let automaton = Automaton::new(&pattern);
    let (found, _) = Search::new(&automaton).go_on(&automaton, b"x", 1);
    assert_eq!(found, Some(false));
}

/// Parts of patterns that have something to do with each other.
fn patterns() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(
        &[
            "a", "b", "[ab]", "[^a]", ".", "(?s:.)", "\u{e4}", "\u{fffd}", "\u{20ac}", r"\b",
            r"\B", "^", "$", "(?m:^)", "(?m:$)", r"\w", r"\pL", "", "(?i:k)", r"\d",
        ][..],
    );
    let atom = atom.prop_map(String::from);
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            (
                inner.clone(),
                prop::sample::select(&["*", "+", "?", "*?", "{2}", "{0,3}"][..])
            )
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    })
}

const PIECES: &[&[u8]] = &[
    b"a",
    b"b",
    b"k",
    b"\n",
    b" ",
    b"1",
    "\u{e4}".as_bytes(),
    "\u{20ac}".as_bytes(),
    "\u{1f496}".as_bytes(),
    "\u{212a}".as_bytes(),
    "\u{fffd}".as_bytes(),
    b"\xff",
    b"\x80",
    b"\xe2\x82",
    b"\xf0\x9f",
];

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn finds_what_is_found_at_once(pattern in patterns(), text in texts(), work in 1_usize..200) {
        search(&pattern, &text, work);
    }
}
