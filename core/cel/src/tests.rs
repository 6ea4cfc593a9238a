//! Expressions, bodies, and what comes of them.

use super::*;

mod bounds;
mod go;
mod stack;

/// What it says of a body; in words, if it says nothing.
fn holds(source: &str, body: &str) -> Result<bool, String> {
    asked(source, body).map_err(|why| match why {
        NoAnswer::Failed(why) | NoAnswer::Beyond(why) => why,
    })
}

fn asked(source: &str, body: &str) -> Result<bool, NoAnswer> {
    let expression = compile(source).unwrap();
    expression.holds(&*expression.read(body.as_bytes())?)
}

/// Steps that an evaluation takes, if no more are to be had than these.
fn steps(source: &str, body: &str, most: u64) -> Option<u64> {
    let expression = parse(source).unwrap();
    let program = plan::make(&expression).unwrap();
    let body = json::parse(body.as_bytes()).unwrap();
    let mut meter = Meter::new(most);
    match eval::run(&program, &body, &mut meter) {
        Err(Halt::Beyond) => None,
        _ => Some(most - meter.left()),
    }
}

#[test]
fn expressions_say_yes_or_no() {
    for (source, body, expected) in [
        ("body.foo.bar == 'baz'", r#"{"foo":{"bar":"baz"}}"#, true),
        ("body.foo.bar == 'qux'", r#"{"foo":{"bar":"baz"}}"#, false),
        ("body == 'foo'", r#""foo""#, true),
        ("body[2] == 'baz'", r#"["foo","bar","baz"]"#, true),
        ("body", "true", true),
        ("!has(body.foo)", "{}", true),
        (
            "body.foo.bar == '😿😿😿'",
            r#"{"foo":{"bar":"🤠🤠🤠"}}"#,
            false,
        ),
        (
            "body.n == 3 && body.n > 2 && body.n < 3.5",
            r#"{"n":3}"#,
            true,
        ),
        ("body.n + 1.0 == 4.0", r#"{"n":3}"#, true),
        (
            "size(body.list) == 2 && body.list.size() == 2",
            r#"{"list":[1,2]}"#,
            true,
        ),
        (
            "body.list.all(x, x > 0) && body.list.exists(x, x == 2)",
            r#"{"list":[1,2]}"#,
            true,
        ),
        (
            "body.text.matches('^o.$') && body.text.startsWith('o')",
            r#"{"text":"ok"}"#,
            true,
        ),
        ("'a' in body && !('b' in body)", r#"{"a":null}"#, true),
        ("body.a == null", r#"{"a":null}"#, true),
        ("type(body.a) == string", r#"{"a":"x"}"#, true),
        (
            "body.items.filter(i, i.up).map(i, i.name) == ['a']",
            r#"{"items":[{"up":true,"name":"a"},{"up":false,"name":"b"}]}"#,
            true,
        ),
    ] {
        assert_eq!(holds(source, body), Ok(expected), "{source} on {body}");
    }
}

#[test]
fn what_has_no_answer_says_why() {
    for (source, body, words) in [
        (
            "body.foo.bar",
            r#"{"foo":{"bar":"baz"}}"#,
            "expected true or false, found a value of type string",
        ),
        ("body.foo.bar == 'qux'", "{}", "foo"),
        ("body == 'x'", "hello world", "the body is not JSON"),
        ("body == 'x'", "", "the body is not JSON"),
        ("body == 'x'", "🤠", "the body is not JSON"),
        ("body[9] == 1", "[1]", "9"),
        (
            "body.a + 1.0 == 2.0",
            r#"{"a":"x"}"#,
            "no such overload: _+_(string, double)",
        ),
    ] {
        let why = holds(source, body).unwrap_err();
        assert!(why.contains(words), "{source} on {body}: {why}");
    }
}

/// Threads of tests have the 2 MiB of those that compile and evaluate.
#[test]
fn the_depth_of_an_expression_is_bounded() {
    for (first, more, last) in [("1", "+1", " == 3"), ("body", ".a", ""), ("", "!", "true")] {
        let of = |levels| format!("{first}{}{last}", more.repeat(levels));
        let deepest = compile(&of(500)).expect("within the bound");
        let body = deepest.read(b"{}").expect("JSON");
        // Whatever it says, it ends.
        let _ = deepest.holds(&*body);
        let error = compile(&of(8_000)).expect_err("beyond it");
        assert!(error.contains("operators"), "{error}");
    }
    let doubled = format!("[1]{} == []", ".map(x, {x: x})".repeat(60));
    let _ = compile(&doubled);
}

#[test]
fn mistakes_are_found_when_an_expression_is_compiled() {
    for source in [
        "",
        " ",
        "foo.bar",
        "body.",
        "body ==",
        "nosuch(body)",
        "body.all(x, y)",
        ")",
    ] {
        assert!(compile(source).is_err(), "{source:?}");
    }
    assert!(compile(&format!("body == '{}'", "x".repeat(MAX_SOURCE_BYTES))).is_err());
    assert_eq!(compile("body.a").unwrap().source(), "body.a");
}

/// As many of these as there are numbers, as JSON.
fn strings(count: usize) -> String {
    let list: Vec<_> = (0..count).map(|at| format!("\"id{at}\"")).collect();
    format!("[{}]", list.join(","))
}

#[test]
fn patterns_are_literals_and_compiled_once() {
    for (source, expected) in [
        (r"body.ids.all(i, i.matches('^[\\pL\\d_.-]{1,64}$'))", true),
        (r"body.ids.exists(i, matches(i, r'^\d'))", false),
        (
            r"body.ids.all(i, i.matches('^id') && i.matches('\\d$'))",
            true,
        ),
    ] {
        let body = format!(r#"{{"ids":{}}}"#, strings(1_000));
        assert_eq!(holds(source, &body), Ok(expected), "{source}");
        assert_eq!(compile(source).unwrap().unspoken(), None, "{source}");
    }
    for source in [
        "body.ids.exists(p, 'x'.matches(p))",
        "'x'.matches(body.p)",
        "matches('x', body.p)",
        "'x'.matches('a' + 'b')",
    ] {
        let why = holds(source, r#"{"ids":["a"],"p":"x"}"#).unwrap_err();
        assert!(why.contains("has to be a literal here"), "{source}: {why}");
        assert_eq!(compile(source).unwrap().unspoken(), Some(&*why));
    }
    for source in ["'x'.matches()", "matches('x')", "'x'.matches('a', 'b')"] {
        let why = compile(source).unwrap_err();
        assert!(why.contains("a text and a pattern"), "{source}: {why}");
    }
    let why = compile("'x'.matches('(?=a)')").unwrap_err();
    assert!(
        why.contains("Could not compile regular expression"),
        "{why}"
    );
    let why = holds("body.matches('1')", "1").unwrap_err();
    assert_eq!(why, "no such overload: matches(double, string)");
}

/// Expressions as the checker of cel-go takes them.
#[test]
fn types_that_may_go_together() {
    let refused: Vec<String> = [
        "body.x == 1",
        "[1, 'a'] == [1]",
        "[] + [1] == [1]",
        "1 in [1]",
        "'a' in {'a': 1}",
        "body in [1]",
        "1 in body",
        "(true ? 1 : 2) == 1",
        "body && true",
        "!body",
        "-body == 1",
        "5 % 2 == 1",
        "size(body) == 1",
        "'a'.size() == 1",
        "body.size() == 1",
        "[1].size() == 1",
        "'a'.contains('b')",
        "body.a.contains('b')",
        "'a'.startsWith(body.b)",
        "'a'.matches('b')",
        "matches('a', 'b')",
        "int('1') == 1",
        "int(body) == 1",
        "int(1.5) == 1",
        "int(duration('1s')) == 1",
        "string(1) == '1'",
        "string(null) == 'a'",
        "bool('true')",
        "double('1') == 1.0",
        "bytes('a') == b'a'",
        "duration('1s') < duration('2s')",
        "timestamp('2020-01-01T00:00:00Z') + duration('1s') == timestamp(0)",
        "timestamp(0) - timestamp(0) == duration('0s')",
        "timestamp(0).getHours() == 1",
        "timestamp(0).getHours('UTC') == 1",
        "duration('1s').getHours() == 1",
        "type(1) == int",
        "type(body) == type(1)",
        "dyn(1) == 'a'",
        "{'a': 1}.a == 1",
        "{1: 1}.a == 1",
        "[1][0] == 1",
        "{'a': 1}['a'] == 1",
        "body[0] == 1",
        "body['a'] == 1",
        "body[true] == 1",
        "has(body.a)",
        "has({'a': 1}.a)",
        "[1, 2].all(x, x > 0)",
        "[1, 2].map(x, x + 1) == [2, 3]",
        "[1, 2].filter(x, x > 1) == [2]",
        "[1, 2].exists_one(x, x > 1)",
        "{'a': 1}.all(k, k == 'a')",
        "body.all(x, x > 0)",
        "null == null",
        "body == null",
        "[null, 1] == [1]",
        "[] == ['a']",
        "{} == {'a': 1}",
        "'a' + body.b == 'c'",
        "b'a' + b'b' == b'ab'",
        "'a' < 'b'",
        "true < false",
        "null < null",
        "b'a' < b'b'",
        "body < 1",
        "body.a < body.b",
        "1 + 1",
        "body",
        "'text'",
        "1",
        "null",
        "body.a ? true : false",
        "type(1)",
        "int",
        "duration('x') == duration('1s')",
        "body.a == 1 && body.b == 'x'",
        "body.a.b.c > 1.5",
        "body.exists(k, body[k] == 1)",
        "[1,2,3].map(x, x > 1, x * 2) == [4]",
        "[body, 1].all(x, x == 'a')",
        "{'a': 1, 2: 'b'}.a == 1",
        "{'a': 1, 'b': 'x'}.b == 1",
        "body.map(x, x.name).exists(n, n == 1)",
        "body.filter(x, x.a > 1).size() > 0",
        "google.protobuf.Timestamp == type(timestamp(0))",
        "1 / 2 == 0",
    ]
    .iter()
    .filter_map(|source| compile(source).err().map(|why| format!("{source}: {why}")))
    .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Expressions as it refuses them.
#[test]
fn types_that_can_never_go_together() {
    let taken: Vec<&str> = [
        "1 + true == 2",
        "1 == 1.0",
        "1 < 1.0",
        "1u < 2",
        "1 == 'a'",
        "body.x + 1 == 'a'",
        "body.x + 1 == 2.0",
        "[1] + ['a'] == [1]",
        "'a' in [1]",
        "1 in {'a': 1}",
        "true ? 1 : 'a'",
        "true && 1",
        "!1",
        "-1u == 1u",
        "-'a' == 'a'",
        "1 % 2.0 == 1",
        "size(1) == 1",
        "'a'.contains(1)",
        "1.contains('b')",
        "contains('a', 'b')",
        "startsWith('a','b')",
        "matches(1, 'b')",
        "'a'.matches('b', 'c')",
        "int(true) == 1",
        "string([1]) == '1'",
        "bool(1)",
        "double(true) == 1.0",
        "bytes(1) == b'a'",
        "duration(1) == duration('1s')",
        "timestamp(0) + timestamp(0) == timestamp(0)",
        "duration('1s').getMonth() == 1",
        "'a'.getHours() == 1",
        "int == 'a'",
        "1.x == 1",
        "'a'.x == 1",
        "{'a': 1}.a == 'b'",
        "[1].a == 1",
        "[1]['a'] == 1",
        "[1][0] == 'a'",
        "{'a': 1}[1] == 1",
        "1[0] == 1",
        "'abc'[0] == 'a'",
        "has(1.a)",
        "[1, 2].all(x, x)",
        "[1, 2].all(x, x > 'a')",
        "[1, 2].exists(x, x == 'a')",
        "[1, 2].map(x, string(x)) == [2, 3]",
        "1.all(x, true)",
        "'a'.all(x, true)",
        "{'a': 1}.all(k, k == 1)",
        "body.map(x, x + 1) == 'a'",
        "null == 1",
        "null == 'a'",
        "[1] == [1u]",
        "[[1]] == [['a']]",
        "{'a': 1} == {'a': 'b'}",
        "'a' + 1 == 'a1'",
        "[1] < [2]",
        "1 ? true : false",
        "(body.a ? 1 : 2.0) == 1",
        "size('a', 'b') == 1",
        "size() == 1",
        "body.nope() == 1",
        "foo(1)",
        "getHours(timestamp(0)) == 1",
        "1 == 1u",
        "1.0 < 1u",
        "1.0 + 1 == 2.0",
        "dyn(1.0) + 1 == 2.0",
        "'a' == b'a'",
        "optional.none() == 1",
        "[1].exists(x, [x].exists(y, y == 'a'))",
        "[1].map(x, 'a')[0] == 1",
        "string(body.a) == 1",
        "int(body.a) == 1.0",
        "double(body.a) == 1",
        "-1 == -1.0",
        "1 - 'a' == 1",
        "[1] - [1] == []",
        "2 * 2.0 == 4.0",
        "duration('1s') * 2 == duration('2s')",
    ]
    .into_iter()
    .filter(|source| compile(source).is_ok())
    .collect();
    assert!(taken.is_empty(), "{taken:#?}");
    let why = |source| compile(source).unwrap_err();
    assert_eq!(why("1 + true == 2"), "`+` does not apply to (int, bool)");
    assert_eq!(why("1.all(x, true)"), "a value of type int has no items");
    assert_eq!(why("'a'.x == 1"), "a value of type string has no fields");
}
