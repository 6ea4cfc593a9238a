//! CEL expressions over JSON bodies.

use super::super::case::Case;
use super::{answer, http, module, ok, quoted};

const ROWS: &[(&str, &str, &str)] = &[
    ("equal", r#"{"foo":{"bar":"baz"}}"#, "body.foo.bar == 'baz'"),
    (
        "unequal",
        r#"{"foo":{"bar":"baz"}}"#,
        "body.foo.bar == 'qux'",
    ),
    ("no_bool", r#"{"foo":{"bar":"baz"}}"#, "body.foo.bar"),
    ("missing_field", "{}", "body.foo.bar == 'baz'"),
    ("has_not", "{}", "!has(body.foo)"),
    ("no_json", "hello world", "body.foo.bar == 'baz'"),
    ("text", "\"foo\"", "body == 'foo'"),
    ("list", r#"["foo","bar","baz"]"#, "body[2] == 'baz'"),
    ("list_too_short", r#"["foo"]"#, "body[2] == 'baz'"),
    ("bool", "true", "body"),
    ("empty", "", "body == 'foo'"),
    ("null", "null", "body == null"),
    ("emoji", "🤠🤠🤠", "body == '🤠'"),
    (
        "emoji_field",
        r#"{"foo":{"bar":"🤠🤠🤠"}}"#,
        "body.foo.bar == '🤠🤠🤠'",
    ),
    ("number", r#"{"n":3}"#, "body.n == 3"),
    ("number_double", r#"{"n":3}"#, "body.n == 3.0"),
    ("number_above", r#"{"n":3.5}"#, "body.n > 3"),
    (
        "number_large",
        r#"{"n":12345678901234567890}"#,
        "body.n > 1.0",
    ),
    ("arithmetic", r#"{"n":3}"#, "body.n + 1.0 == 4.0"),
    ("arithmetic_mixed", r#"{"n":3}"#, "body.n + 1 == 4"),
    ("int_of_double", r#"{"n":3.7}"#, "int(body.n) == 3"),
    ("size", r#"{"l":[1,2,3]}"#, "size(body.l) == 3"),
    ("size_method", r#"{"l":[1,2,3]}"#, "body.l.size() == 3"),
    (
        "all",
        r#"{"l":[{"s":"up"},{"s":"up"}]}"#,
        "body.l.all(x, x.s == 'up')",
    ),
    (
        "exists",
        r#"{"l":[{"s":"up"},{"s":"down"}]}"#,
        "body.l.exists(x, x.s == 'down')",
    ),
    (
        "exists_one",
        r#"{"l":[1,2,2]}"#,
        "body.l.exists_one(x, x == 2.0)",
    ),
    (
        "filter",
        r#"{"l":[1,2,3]}"#,
        "body.l.filter(x, x > 1.0).size() == 2",
    ),
    (
        "map",
        r#"{"l":[1,2]}"#,
        "body.l.map(x, x * 2.0) == [2.0, 4.0]",
    ),
    ("in_list", r#"{"s":"b"}"#, "body.s in ['a', 'b']"),
    ("in_map", r#"{"m":{"k":1}}"#, "'k' in body.m"),
    ("matches", r#"{"s":"abc"}"#, "body.s.matches('^a.c$')"),
    ("matches_class", r#"{"s":"٣"}"#, "body.s.matches('^\\\\d$')"),
    (
        "starts",
        r#"{"s":"abc"}"#,
        "body.s.startsWith('ab') && body.s.endsWith('bc') && body.s.contains('b')",
    ),
    ("ternary", r#"{"a":true}"#, "body.a ? true : false"),
    ("or_error", r#"{"a":true}"#, "body.a || body.missing.x"),
    ("and_error", r#"{"a":false}"#, "body.a && body.missing.x"),
    ("error_or", r#"{"a":true}"#, "body.missing.x || body.a"),
    ("division", r#"{"n":0}"#, "1 / 0 == 1"),
    (
        "timestamp",
        r#"{"t":"2024-01-02T03:04:05Z"}"#,
        "timestamp(body.t) < timestamp('2025-01-01T00:00:00Z')",
    ),
    ("duration", "{}", "duration('1h') > duration('30m')"),
    ("type", r#"{"n":1}"#, "type(body.n) == double"),
    ("double_of_text", r#"{"s":"1.5"}"#, "double(body.s) == 1.5"),
    ("duplicate_key", r#"{"a":1,"a":2}"#, "body.a == 2.0"),
    ("trailing_text", "{\"a\":1} x", "body.a == 1.0"),
    ("two_values", "{\"a\":1}{\"a\":2}", "body.a == 1.0"),
    ("leading_space", " \n{\"a\":1}\n", "body.a == 1.0"),
    ("index_by_name", r#"{"a-b":1}"#, "body['a-b'] == 1.0"),
];

/// Bodies as large as those of real targets, each with an expression that is
/// true of it: as many looks at them as items, or as pairs of items.
fn large() -> Vec<(&'static str, String, &'static str)> {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        let items: Vec<_> = (0..count).map(item).collect();
        format!("[{}]", items.join(","))
    };
    let statuses = |items, allowed| {
        format!(
            r#"{{"items":{},"allowed":{}}}"#,
            list(items, &|at| format!(
                r#"{{"name":"item {at}","status":"state-{}"}}"#,
                at % allowed
            )),
            list(allowed, &|at| format!("\"state-{at}\""))
        )
    };
    let named = |count| {
        let item = |at| format!(r#"{{"name":"node number {at}","up":true}}"#);
        format!(r#"{{"items":{}}}"#, list(count, &item))
    };
    let nodes = |count| {
        let fields: Vec<_> = (0..count)
            .map(|at| format!(r#""node-{at}":{{"status":"ok","zone":"eu-west-1"}}"#))
            .collect();
        format!(r#"{{"nodes":{{{}}}}}"#, fields.join(","))
    };
    let zeros = |count| {
        format!(
            r#"{{"status":"UP","rest":{}}}"#,
            list(count, &|_| "0".into())
        )
    };
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let exists = "body.items.all(i, body.allowed.exists(a, a == i.status))";
    let is_in = "body.items.all(i, i.status in body.allowed)";
    let lookup = "body.nodes.all(k, body.nodes[k].status == 'ok')";
    let pattern = "body.items.all(i, i.name.matches('^node number [0-9]+$'))";
    vec![
        ("exists_20", statuses(20, 20), exists),
        ("exists_5000", statuses(5_000, 20), exists),
        ("in_100", statuses(100, 100), is_in),
        ("in_5000", statuses(5_000, 100), is_in),
        ("lookup_200", nodes(200), lookup),
        ("lookup_20000", nodes(20_000), lookup),
        ("matches_1000", named(1_000), pattern),
        ("matches_20000", named(20_000), pattern),
        (
            "map_1000",
            named(1_000),
            "body.items.map(i, i.name).all(n, n != '')",
        ),
        (
            "filter_5000",
            named(5_000),
            "size(body.items.filter(i, i.up)) == 5000",
        ),
        ("values_50000", zeros(50_000), "body.status == 'UP'"),
        ("values_1000000", zeros(1_000_000), "body.status == 'UP'"),
        ("nested_200", nested(200), "body[0][0][0].size() == 1"),
        ("nested_10000", nested(10_000), "size(body) == 1"),
        ("nested_10001", nested(10_001), "size(body) == 1"),
        (
            "escaped_name",
            r#"{"in":1,"a-b":2}"#.into(),
            "body.`in` < body.`a-b`",
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, body, expression) in large() {
        let option = format!("fail_if_body_json_not_matches_cel: {}", quoted(expression));
        cases.push(http(format!("cel::large_{name}"), &option, ok(&body)));
    }
    let pairs = format!("[{}0]", "0,".repeat(3_000));
    cases.push(http(
        "cel::too_many_steps",
        "fail_if_body_json_not_matches_cel: 'body.all(x, body.all(y, y == 0.0))'",
        ok(&pairs),
    ));
    let long = format!("\"{}\"", "x".repeat(2 << 20));
    cases.push(http(
        "cel::too_large",
        "fail_if_body_json_not_matches_cel: 'size(body) > 1'",
        ok(&long),
    ));
    for (name, body, expression) in ROWS {
        for (how, option) in [
            ("fail_if", "fail_if_body_json_matches_cel"),
            ("fail_unless", "fail_if_body_json_not_matches_cel"),
        ] {
            let options = format!("{option}: {}", quoted(expression));
            cases.push(http(format!("cel::{how}_{name}"), &options, ok(body)));
        }
    }
    cases.push(http(
        "cel::after_bad_status",
        "fail_if_body_json_matches_cel: 'body.a == 1.0'",
        answer(500, "", "{\"a\":1}"),
    ));
    cases.push(http(
        "cel::both_kinds",
        "fail_if_body_json_matches_cel: 'body.a == 1.0', fail_if_body_json_not_matches_cel: 'body.b == 2.0'",
        ok("{\"a\":2,\"b\":2}"),
    ));
    cases.push(http(
        "cel::beside_a_pattern",
        "fail_if_body_matches_regexp: [nothing], fail_if_body_json_not_matches_cel: 'body.a == 1.0'",
        ok("{\"a\":1}"),
    ));
    cases.push(http(
        "cel::cut_body",
        "fail_if_body_json_not_matches_cel: 'body.a == 1.0'",
        *b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":1}",
    ));
    let sum = format!("body.n == 1.0{}", " && body.n == 1.0".repeat(200));
    cases.push(http(
        "cel::more_operators",
        &format!("fail_if_body_json_matches_cel: {}", quoted(&sum)),
        ok("{\"n\":1}"),
    ));
    cases.push(http(
        "cel::pattern_that_is_none",
        "fail_if_body_json_not_matches_cel: \"body.s.matches('(')\"",
        ok("{\"s\":\"a\"}"),
    ));
    cases.push(Case::probe(
        "cel::no_url",
        module("fail_if_body_json_matches_cel: 'body.a == 1.0'"),
        "http://[::1",
    ));
    cases.push(Case::probe(
        "cel::no_host",
        module("fail_if_body_json_matches_cel: 'body.a == 1.0'"),
        "http:///x",
    ));
    cases
}
