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
    refused(quadratic, &list(1_000));
    assert_eq!(holds("body.all(x, x == 0)", &list(20_000)), Ok(true));
    // Parts of parts are no more than the whole.
    let parts = format!("[{}[0]]", "[1,2,3],".repeat(1_000));
    assert_eq!(holds("body.all(x, x.all(y, y >= 0))", &parts), Ok(true));
    refused("body.all(x, x.all(y, x.all(z, z >= 0)))", &parts);
    let why = holds("true", &list(MAX_VALUES as usize)).unwrap_err();
    assert_eq!(why, "the body has more than 50000 values");
}

#[test]
fn a_list_that_is_built_is_not_copied_with_every_item() {
    let list = format!("[{}0]", "0,".repeat(20_000));
    assert_eq!(holds("body.map(x, x).size() == 20001", &list), Ok(true));
}

/// It is not evaluated: it may take too many steps.
#[track_caller]
fn refused(source: &str, body: &str) {
    let why = holds(source, body).unwrap_err();
    assert!(
        why.contains("too large for this expression"),
        "{source}: {why}"
    );
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
    }
    for source in [
        "body.ids.exists(p, 'x'.matches(p))",
        "'x'.matches(body.p)",
        "matches('x', body.p)",
        "'x'.matches('a' + 'b')",
        "'x'.matches(1)",
    ] {
        let why = compile(source).unwrap_err();
        assert!(why.contains("expected a string literal"), "{source}: {why}");
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
    assert!(
        why.contains("expected a string, found a value of type"),
        "{why}"
    );
}

#[test]
fn what_an_operator_may_touch_is_weighed() {
    let both = |count| format!(r#"{{"ids":{0},"known":{0}}}"#, strings(count));
    let within = "body.ids.all(i, i in body.known)";
    assert_eq!(holds(within, &both(100)), Ok(true));
    refused(within, &both(10_000));
    let text = format!(
        r#"{{"ids":{},"text":"{}"}}"#,
        strings(1_000),
        "x".repeat(100_000)
    );
    for source in [
        "body.ids.exists(i, body.text.contains(i))",
        "body.ids.map(i, body.text + i).size() == 0",
        "body.ids.map(i, body).size() == 0",
        "body.ids.map(i, [body.text]).size() == 0",
        "body.ids.exists(i, body == body)",
        "body.ids.exists(i, body.ids[i] == 1)",
        "body.ids.exists(i, body.ids[0.5] == 1)",
        "body.ids.exists(i, size(body.text) == 1)",
        "body.ids.exists(i, body.text < body.text)",
        "body.ids.exists(i, body.text.matches('a'))",
        "body.ids.exists(i, {'a': body}.a == 1)",
        // What a macro makes of another's is as large as both say.
        "body.ids.map(i, body.ids).all(l, l.all(i, i == ''))",
    ] {
        refused(source, &text);
    }
    // What is an item's own is no more, all in all, than the whole.
    assert_eq!(
        holds("body.ids.all(i, i == i && i in ['a', i])", &text),
        Ok(true)
    );
    // Doubling needs no body.
    let mut doubled = "['0123456789abcdef']".to_owned();
    for _ in 0..40 {
        doubled = format!("[{doubled}.map(x, x + x)[0]]");
    }
    refused(&format!("{doubled}.size() == 1"), "0");
    // Many macros, one beside the other.
    let many = vec!["body.ids.all(i, i != '')"; 200].join(" && ");
    refused(&many, &text);
}

/// `cargo test -p probity-cel -- --ignored --nocapture measured`
#[test]
#[ignore = "a measurement"]
fn measured() {
    let longest = |source: &str, body: &dyn Fn(usize) -> String| {
        let (mut low, mut high) = (1, 1_000_000);
        while low + low / 50 + 1 < high {
            let middle = usize::midpoint(low, high);
            let why = holds(source, &body(middle)).err().unwrap_or_default();
            match why.contains("too large for")
                || why.contains("more than")
                || body(middle).len() > 1 << 20
            {
                true => high = middle,
                false => low = middle,
            }
        }
        let body = body(low);
        let best = (0..3)
            .map(|_| {
                let begin = std::time::Instant::now();
                let _ = std::hint::black_box(holds(source, &body));
                begin.elapsed()
            })
            .min();
        println!("{best:?} {low} items, {} bytes: {source}", body.len());
    };
    let list = |count: usize| format!("[{}0]", "0,".repeat(count));
    let maps = |count: usize| {
        format!(
            r#"[{}{{"a":1,"b":"c"}}]"#,
            r#"{"a":1,"b":"c"},"#.repeat(count)
        )
    };
    let texts = |count: usize| strings(count);
    let random = |count: usize| {
        let mut state = 1_u32;
        let text: String = (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 31 == 0 { 'a' } else { 'b' }
            })
            .collect();
        format!("\"{text}\"")
    };
    longest("true", &list);
    longest("true", &maps);
    longest("body == body", &maps);
    longest("body.all(x, true)", &list);
    longest("body.all(x, x.a == 1)", &maps);
    longest("body.all(x, x.a == 1)", &list);
    longest("body.map(x, x).size() == 1", &maps);
    longest("body.all(x, body.all(y, x == y))", &list);
    longest("body.all(x, x in body)", &texts);
    longest("body.map(x, body).size() == 1", &maps);
    longest("body.map(x, [x, x, x, {'a': x}]).size() == 1", &maps);
    longest("body.exists(x, body[0.5] == 1)", &list);
    longest("body.exists(x, body[x + 0.5] == 1)", &list);
    longest("body.exists(x, body < body)", &maps);
    longest("body.exists(x, body - body == 1)", &maps);
    longest(
        "body.exists(x, x.matches(r'^[\\pL\\d_.-]{1,64}$') == false)",
        &texts,
    );
    longest("body.matches(r'(a|b)*a(a|b){30}c')", &random);
    longest("body.matches(r'^[ab]*a(\\pL{1,10}){1,10}c')", &random);
    longest("body.matches(r'(a|b)*a(a|b){1000}c')", &random);
    longest("body.contains('aab')", &random);
}
