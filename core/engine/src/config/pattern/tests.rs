//! Patterns as users of blackbox_exporter wrote them, held against what Go
//! makes of them.

use super::*;
use alloc::string::ToString as _;
use std::vec;

fn first(pattern: &str, text: &[u8]) -> Option<Range<usize>> {
    let pattern = Pattern::new(pattern).unwrap_or_else(|error| panic!("{error}"));
    let found = pattern.captures(text);
    assert_eq!(pattern.is_match(text), found.is_some(), "{pattern:?}");
    found.and_then(|found| found.get(0))
}

#[test]
fn means_what_it_means_in_go() {
    // Pattern, text, the leftmost match.
    for (pattern, text, found) in [
        ("", "abc", Some(0..0)),
        ("b+", "abbc", Some(1..3)),
        // Anchors are those of the text, lines only on request.
        ("^b", "a\nb", None),
        ("(?m)^b", "a\nb", Some(2..3)),
        ("a$", "a\n", None),
        ("(?m)a$", "a\n", Some(0..1)),
        (r"(?m)\Ab", "a\nb", None),
        (r"(?m)a\z", "a\n", None),
        ("^*a", "ba", Some(1..2)),
        (".", "\n", None),
        ("(?s).", "\n", Some(0..1)),
        ("a.c", "a\u{e4}c", Some(0..4)),
        ("[^a]", "\n", Some(0..1)),
        // ASCII classes.
        (r"\d", "\u{663}", None),
        (r"\D", "\u{663}", Some(0..2)),
        (r"\w", "\u{e4}", None),
        (r"\W", "\u{e4}", Some(0..2)),
        (r"\s", "\u{b}", None),
        (r"\s", "\u{a0}", None),
        (r"\s+", "a \t\n\u{c}\rb", Some(1..6)),
        (r"\S", "\u{b}", Some(0..1)),
        (r"\bb", "\u{e4}b", Some(2..3)),
        (r"\Bb", "ab", Some(1..2)),
        (r"[\d\s]+", "a1 2b", Some(1..4)),
        (r"[^\d\s]+", "1ab 2", Some(1..3)),
        (r"[^\D]", "a1", Some(1..2)),
        (r"[[:alpha:]]+", "1ab\u{e4}", Some(1..3)),
        (r"[[:^alpha:]]+", "ab\u{e4}", Some(2..4)),
        (r"[[:space:]]", "\u{b}", Some(0..1)),
        (r"[[:punct:]]+", "a!~b", Some(1..3)),
        (r"[[:word:]-]+", "a_-1", Some(0..4)),
        // What only looks like one of the other dialect's operators.
        ("[a&&b]+", "x&b", Some(1..3)),
        ("[+--]+", "+,-.", Some(0..3)),
        ("[--/]+", "-./0", Some(0..3)),
        ("[a~~b]+", "x~b", Some(1..3)),
        ("[[a]+", "[a", Some(0..2)),
        ("[[a]]", "[]", Some(0..2)),
        ("[a[:]+", "[:a", Some(0..3)),
        ("[]a]+", "]a", Some(0..2)),
        ("[^]a]", "]ab", Some(2..3)),
        ("[a-]+", "-a", Some(0..2)),
        ("[-a]+", "-a", Some(0..2)),
        (r"[\-\]]+", "-]", Some(0..2)),
        ("[a b#]+", "b #", Some(0..3)),
        ("(?i)[k]", "\u{212a}", Some(0..3)),
        ("a{", "a{", Some(0..2)),
        ("a{,2}", "a{,2}", Some(0..5)),
        ("a{1", "a{1", Some(0..3)),
        ("a{01}", "a{01}", Some(0..5)),
        ("a{2}", "aaa", Some(0..2)),
        ("a{2,}", "aaa", Some(0..3)),
        ("a{0}b", "ab", Some(1..2)),
        ("a{1,2}?", "aa", Some(0..1)),
        ("}]", "}]", Some(0..2)),
        (r"a\b{start}", "a{start}", Some(0..8)),
        // Escapes.
        (r"\Qa.b*\E+", "a.b**", Some(0..5)),
        (r"\Q(", "a(", Some(1..2)),
        (r"a\Q\E*", "aa", Some(0..2)),
        (r"\101\x42\x{43}", "ABC", Some(0..3)),
        (r"\0", "\0", Some(0..1)),
        (r"\018", "\u{1}8", Some(0..2)),
        (r"\a\f\v", "\u{7}\u{c}\u{b}", Some(0..3)),
        (r"\xe4", "\u{e4}", Some(0..2)),
        (r"\<\>\_\/\#\ ", "<>_/# ", Some(0..6)),
        (r"a\{1}", "a{1}", Some(0..4)),
        (r"\x{d800}", "a", None),
        (r"[\x{d800}-\x{e000}]", "\u{e000}", Some(0..3)),
        // Unicode.
        (r"\pL+", "1\u{e4}a", Some(1..4)),
        (r"\p{Greek}", "\u{3b1}", Some(0..2)),
        (r"\p{^Greek}", "\u{3b1}a", Some(2..3)),
        (r"\P{^Greek}", "a\u{3b1}", Some(1..3)),
        (r"[\p{Lu}\d]+", "aB1", Some(1..3)),
        (r"[^\p{Lu}]", "B1", Some(1..2)),
        (r"\p{Nd}", "\u{663}", Some(0..2)),
        (r"(?i)\p{Lu}", "a", Some(0..1)),
        ("\u{e4}+", "\u{e4}\u{e4}", Some(0..4)),
        // Flags.
        ("(?i)abc", "xABC", Some(1..4)),
        ("(?i)\u{e4}", "\u{c4}", Some(0..2)),
        ("a(?i)b|c", "C", Some(0..1)),
        ("(a(?i)b)c", "aBC", None),
        ("(?i:a)b", "Ab", Some(0..2)),
        ("(?i)a(?-i)b", "AB", None),
        ("(?U)a+", "aa", Some(0..1)),
        ("(?U)a+?", "aa", Some(0..2)),
        ("(?s-i).a", "\na", Some(0..2)),
        ("(?)a", "a", Some(0..1)),
        ("a(?:)b", "ab", Some(0..2)),
        ("a*(?i)*b", "aab", Some(0..3)),
        (r"(?i)\w", "\u{17f}", Some(0..2)),
        // Leftmost, the first alternative that matches.
        ("a|ab", "ab", Some(0..1)),
        ("(|a)b", "ab", Some(0..2)),
        ("|a", "a", Some(0..0)),
        ("(a*)*", "b", Some(0..0)),
        (r"(?m)(?:^$)+", "a\n", Some(2..2)),
        (r"\B", "a\u{e4}a", None),
    ] {
        assert_eq!(
            first(pattern, text.as_bytes()),
            found,
            "{pattern} on {text:?}"
        );
    }
}

#[test]
fn a_stray_byte_is_one_replacement_character() {
    for (pattern, text, found) in [
        ("^.$", &b"\xff"[..], Some(0..1)),
        ("^..$", b"\xe2\x82", Some(0..2)),
        ("\u{fffd}{2}", b"a\xff\xfeb", Some(1..3)),
        ("\u{fffd}", "a\u{fffd}".as_bytes(), Some(1..4)),
        ("b", b"\xff\x00b\xff", Some(2..3)),
        ("[^b]b", b"\x80b\x80", Some(0..2)),
        (r"\xff", b"\xff", None),
        (r"\S+$", b"220 \xffhost\xed\xa0\x80", Some(4..12)),
    ] {
        assert_eq!(first(pattern, text), found, "{pattern} on {text:?}");
    }
}

#[test]
fn groups_give_the_peers_own_bytes() {
    let pattern = Pattern::new("^220 (?P<host>\\S+) (x)?(?:E?)(SMTP|POP)(.*)$").unwrap();
    let text = b"220 m\xffx\xe2\x82 ESMTP \xf0z";
    let found = pattern.captures(text).unwrap();
    assert_eq!(found.get(0), Some(0..text.len()));
    assert_eq!(&text[found.get(1).unwrap()], b"m\xffx\xe2\x82");
    assert_eq!(found.name("host"), found.get(1));
    assert_eq!(found.get(2), None);
    assert_eq!(&text[found.get(3).unwrap()], b"SMTP");
    assert_eq!(&text[found.get(4).unwrap()], b" \xf0z");
    assert_eq!(
        (found.get(5), found.name("x"), found.name("")),
        (None, None, None)
    );
}

#[test]
fn several_groups_may_have_one_name() {
    let pattern = Pattern::new("(?P<n>a)|(?<n>b)|(?P<1>c)").unwrap();
    assert_eq!(pattern.captures(b"-b").unwrap().name("n"), Some(1..2));
    assert_eq!(pattern.captures(b"c").unwrap().name("1"), Some(0..1));
}

#[test]
fn what_go_refuses_is_refused_with_the_place() {
    for (pattern, why) in [
        (
            ":[",
            "missing closing ] of the character class at character 2",
        ),
        (
            "[a",
            "missing closing ] of the character class at character 1",
        ),
        (
            "[]",
            "missing closing ] of the character class at character 1",
        ),
        (
            r"[a\]",
            "missing closing ] of the character class at character 1",
        ),
        (
            "[z-a]",
            "invalid character class range \"z-a\": it ends before it begins at character 2",
        ),
        (r"[a-\d]", r#"invalid escape sequence "\\d" at character 4"#),
        (
            "[[:digits:]]",
            "invalid character class range \"[:digits:]\": no such class at character 2",
        ),
        ("\u{e4}(b", "missing closing ) of the group at character 2"),
        ("a)", "unexpected ) at character 2"),
        ("a**", "invalid nested repetition operator"),
        ("a*+", "invalid nested repetition operator"),
        ("a{1}{2}", "invalid nested repetition operator"),
        ("a??+", "invalid nested repetition operator"),
        (
            "*a",
            "missing argument to repetition operator at character 1",
        ),
        (
            "a|*",
            "missing argument to repetition operator at character 3",
        ),
        (
            "(+)",
            "missing argument to repetition operator at character 2",
        ),
        (
            "{1}",
            "missing argument to repetition operator at character 1",
        ),
        (
            "(?i)*",
            "missing argument to repetition operator at character 5",
        ),
        (
            r"\Q\E*",
            "missing argument to repetition operator at character 5",
        ),
        ("a{1001}", "invalid repeat count"),
        ("a{2,1}", "invalid repeat count"),
        ("a{1,99999999999999999999}", "invalid repeat count"),
        ("(a{100}){11}", "invalid repeat count"),
        ("((a{10}|b){10}c){11}", "invalid repeat count"),
        ("(?=a)", r#"unsupported group "(?=""#),
        ("(?!a)", "unsupported group"),
        ("(?<=a)", "invalid name of a group"),
        ("(?P=n)", "unsupported group"),
        ("(?x)a", r#"unsupported group "(?x""#),
        ("(?u)a", "unsupported group"),
        ("(?R)a", "unsupported group"),
        ("(?-)a", "unsupported group"),
        ("(?i-:a)", "unsupported group"),
        ("(?#note)", "unsupported group"),
        ("(?", "unsupported group"),
        ("(?P<a-b>c)", "invalid name of a group"),
        ("(?P<>c)", "invalid name of a group"),
        ("(?P<a", "invalid name of a group"),
        (
            r"a\",
            "trailing backslash at end of expression at character 2",
        ),
        (r"(a)\1", r#"invalid escape sequence "\\1" at character 4"#),
        (r"\8", "invalid escape sequence"),
        (r"\18", "invalid escape sequence"),
        (r"\e", "invalid escape sequence"),
        (r"\Z", "invalid escape sequence"),
        (r"\G", "invalid escape sequence"),
        (r"\C", "invalid escape sequence"),
        (r"\h", "invalid escape sequence"),
        (r"[\b]", "invalid escape sequence"),
        (r"\xg0", "invalid escape sequence"),
        (r"\x{}", "invalid escape sequence"),
        (r"\x{110000}", "invalid escape sequence"),
        (r"\x{fffffffff}", "invalid escape sequence"),
        (r"\u00e4", "invalid escape sequence"),
        ("\\\u{e4}", "invalid escape sequence"),
        (r"\p", "expected a name after"),
        (r"\p{Greek", "missing closing } of"),
        (
            r"\p{Klingon}",
            "expected the name of a Unicode category or script",
        ),
        (
            r"\p{White_Space}",
            "expected the name of a Unicode category or script",
        ),
        (
            r"\p{sc=Greek}",
            "expected the name of a Unicode category or script",
        ),
        (r"\p{}", "expected the name of a Unicode category or script"),
    ] {
        let error = Pattern::new(pattern)
            .map(|found| found.source().to_string())
            .expect_err(pattern);
        let sentence = format!("\"Could not compile regular expression\" regexp=\"{pattern}\": ");
        let found = error
            .strip_prefix(&sentence)
            .unwrap_or_else(|| panic!("{error}"));
        assert!(found.contains(why), "{pattern}: {found}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    // As large as Go lets a person write, within reason.
    for pattern in [
        r"[^\s]{1000}",
        ".{1,1000}x",
        r"(?i)(\w{1,20}\.){1,50}",
        r"\p{Han}{100}",
    ] {
        let fits = Pattern::new(pattern).is_ok_and(|compiled| !compiled.is_too_large());
        assert!(fits, "{pattern}");
    }
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")*".repeat(depth));
    let deepest = nested(250);
    let branching = format!("{}a{}", "(".repeat(250), "|b)*".repeat(250));
    let compiled = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || [deepest, branching].map(|pattern| Pattern::new(&pattern).is_ok()));
    let compiled = compiled.unwrap().join().expect("the usual stack is enough");
    assert!(compiled[0], "{compiled:?}");
    assert!(
        Pattern::new(&nested(251))
            .unwrap_err()
            .contains("nest too deeply")
    );
    let long = vec![r"\pL{1000}"; 100].concat();
    let long = Pattern::new(&long).expect("as Go has it");
    assert!(long.is_too_large() && !long.is_match(b"a"));
}
