//! Expressions, bodies, and what comes of them.

use super::*;

fn holds(source: &str, body: &str) -> Result<bool, String> {
    compile(source).unwrap().holds(body.as_bytes())
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
        ("body.a + 1.0 == 2.0", r#"{"a":"x"}"#, "add"),
    ] {
        let why = holds(source, body).unwrap_err();
        assert!(why.contains(words), "{source} on {body}: {why}");
    }
    let deep = "[".repeat(10_000);
    assert!(holds("body == 1", &deep).unwrap_err().contains("recursion"));
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

#[test]
fn nested_macros_are_bounded_by_the_size_of_the_body() {
    let list = |length: usize| format!("[{}0]", "0,".repeat(length - 1));
    let quadratic = "body.all(x, body.all(y, x == y))";
    assert_eq!(holds(quadratic, &list(100)), Ok(true));
    let why = holds(quadratic, &list(1_000)).unwrap_err();
    assert!(why.contains("nested 2 deep"), "{why}");
    assert_eq!(holds("body.all(x, x == 0)", &list(50_000)), Ok(true));
    assert!(holds("body.all(x, x == 0)", &list(200_000)).is_err());
    // Parts of parts are no more than the whole.
    let parts = format!("[{}[0]]", "[1,2,3],".repeat(1_000));
    assert_eq!(holds("body.all(x, x.all(y, y >= 0))", &parts), Ok(true));
    let twice = "body.all(x, x.all(y, x.all(z, z >= 0)))";
    assert!(holds(twice, &parts).is_err());
}

#[test]
fn a_list_that_is_built_is_not_copied_with_every_item() {
    let list = format!("[{}0]", "0,".repeat(50_000));
    assert_eq!(holds("body.map(x, x).size() == 50001", &list), Ok(true));
}
