//! How much an evaluation may do, and what it counts.

use super::*;

/// As many of these as there are numbers, as a list in JSON.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    let items: Vec<_> = (0..count).map(item).collect();
    format!("[{}]", items.join(","))
}

/// Bodies of every size that is usual, and of 2 MiB: they are looked at whole.
#[test]
fn large_bodies_have_an_answer() {
    let statuses = |items, allowed| {
        format!(
            r#"{{"items":{},"allowed":{}}}"#,
            list(items, |at| format!(
                r#"{{"name":"item {at}","status":"state-{}"}}"#,
                at % allowed
            )),
            list(allowed, |at| format!("\"state-{at}\""))
        )
    };
    let named = |count| {
        let item = |at| format!(r#"{{"name":"node number {at}","up":true}}"#);
        format!(r#"{{"items":{}}}"#, list(count, item))
    };
    let nodes = |count: usize| {
        let fields: Vec<_> = (0..count)
            .map(|at| format!(r#""node-{at}":{{"status":"ok","zone":"eu-west-1"}}"#))
            .collect();
        format!(r#"{{"nodes":{{{}}}}}"#, fields.join(","))
    };
    let nested = |depth| format!("{}1{}", r#"{"a":["#.repeat(depth), "]}".repeat(depth));
    for (source, body) in [
        (
            "body.items.all(i, body.allowed.exists(a, a == i.status))",
            statuses(20, 20),
        ),
        (
            "body.items.all(i, body.allowed.exists(a, a == i.status))",
            statuses(10_000, 20),
        ),
        (
            "body.items.all(i, i.status in body.allowed)",
            statuses(100, 100),
        ),
        (
            "body.items.all(i, i.status in body.allowed)",
            statuses(20_000, 50),
        ),
        (
            "body.nodes.all(k, body.nodes[k].status == 'ok')",
            nodes(200),
        ),
        (
            "body.nodes.all(k, body.nodes[k].status == 'ok')",
            nodes(30_000),
        ),
        (
            "body.items.all(i, i.name.matches('^node number [0-9]+$'))",
            named(1_000),
        ),
        (
            "body.items.all(i, i.name.matches('^node number [0-9]+$'))",
            named(50_000),
        ),
        ("body.items.map(i, i.name).all(n, n != '')", named(50_000)),
        ("size(body.items.filter(i, i.up)) == 50000", named(50_000)),
        (
            "body.status == 'UP'",
            format!(
                r#"{{"status":"UP","rest":{}}}"#,
                list(500_000, |_| "0".into())
            ),
        ),
        ("body.size() == 1048575", list(1_048_575, |_| "0".into())),
        ("body.a[0].a[0].a[0].size() == 1", nested(200)),
        ("size(body) == 1 && body == body", nested(5_000)),
    ] {
        let length = body.len();
        assert!(length <= 2 << 20, "{source}: {length}");
        assert_eq!(asked(source, &body), Ok(true), "{source} on {length} bytes");
    }
}

#[test]
fn who_takes_too_long_has_no_answer_and_says_what_may_be_done() {
    let numbers = list(20_000, |at| at.to_string());
    let why = asked("body.all(x, body.exists(y, x == y))", &numbers).unwrap_err();
    let NoAnswer::Beyond(why) = why else {
        panic!("a failure: {why:?}");
    };
    assert!(
        why.starts_with("the expression took more than 2000000 steps on this body: "),
        "{why}"
    );
    // Neither of these gets along with it, as they do with an error.
    for source in [
        "body.all(x, body.all(y, y >= 0.0)) || true",
        "body.all(x, body.all(y, y >= 0.0)) && false",
        "[1].exists(z, body.exists(x, body.exists(y, y < 0.0)))",
    ] {
        let why = asked(source, &numbers).unwrap_err();
        assert!(matches!(why, NoAnswer::Beyond(_)), "{source}: {why:?}");
    }
    let why = asked("google.protobuf.Int32Value{value: 1} == 1", "{}").unwrap_err();
    assert!(matches!(why, NoAnswer::Beyond(_)), "{why:?}");
}

/// Whatever takes long is counted while it is done: with twice the work there
/// are about twice the steps, and with too few steps it ends there.
#[test]
fn what_is_done_is_counted() {
    let text = |count: usize| format!("\"{}\"", "ab".repeat(count));
    let texts = |count: usize| list(count, |at| format!("\"text number {at:08}\""));
    let keys = |count: usize| {
        let fields: Vec<_> = (0..count).map(|at| format!("\"{at:08}\":{at}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    type Made<'a> = &'a dyn Fn(usize) -> String;
    let rows: [(&str, Made<'_>, u64); 20] = [
        ("body == body", &texts, 1),
        ("body == body", &keys, 1),
        ("body == body", &text, 16),
        ("body < body", &text, 16),
        ("body != body + 'x'", &text, 16),
        ("body + body == ''", &text, 16),
        ("body + body == []", &texts, 1),
        ("[body, body] == [body]", &texts, 1_000),
        ("body.contains('x')", &text, 4),
        ("body.startsWith(body)", &text, 16),
        ("size(body) == 0", &text, 16),
        ("bytes(body) == b''", &text, 16),
        ("double(body) == 1.0", &text, 16),
        ("body.matches('[^x]c')", &text, 4),
        ("body.matches('(a|b)*a(a|b){30}c')", &text, 1_000),
        ("'x' in body", &texts, 1),
        ("body.all(x, true)", &texts, 1),
        ("body.map(x, x).size() == 0", &texts, 1),
        ("body.map(k, body[k]).size() == 0", &keys, 1),
        ("body.all(x, [x, {'a': x}].size() == 2)", &texts, 1),
    ];
    for (source, made, each) in rows {
        let of = |count| steps(source, &made(count), u64::MAX).expect("enough");
        let (once, twice) = (of(4_096), of(8_192));
        if each < 1_000 {
            assert!(once >= 4_096 / each, "{source}: {once}");
            let ratio = twice as f64 / once as f64;
            assert!((1.8..2.4).contains(&ratio), "{source}: {once}, {twice}");
        }
        assert_eq!(steps(source, &made(4_096), once), Some(once), "{source}");
        assert_eq!(steps(source, &made(4_096), once - 1), None, "{source}");
    }
}

#[test]
fn what_is_made_is_bounded_by_the_steps() {
    // Doubling needs no body.
    let mut doubled = "['0123456789abcdef']".to_owned();
    for _ in 0..40 {
        doubled = format!("[{doubled}.map(x, x + x)[0]]");
    }
    let mut listed = "[[1]]".to_owned();
    for _ in 0..40 {
        listed = format!("[{listed}.map(x, x + x)[0]]");
    }
    for source in [
        format!("{doubled}.size() == 1"),
        format!("{listed}.size() == 1"),
        "body.map(x, body.map(y, [x, y])).size() == 1".to_owned(),
        "body.map(x, body + body).size() == 1".to_owned(),
    ] {
        let why = asked(&source, &list(10_000, |_| "0".into())).unwrap_err();
        assert!(matches!(why, NoAnswer::Beyond(_)), "{source}: {why:?}");
    }
}

/// A pattern pays for each state that is made, also where there are more than
/// there is room for.
#[test]
fn a_pattern_pays_for_its_states() {
    let mut state = 1_u32;
    let random: String = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { 'a' } else { 'b' }
        })
        .collect();
    let random = format!("\"{random}\"");
    let even = format!("\"{}\"", "a".repeat(200_000));
    let source = "body.matches('(a|b)*a(a|b){200}c')";
    let (many, few) = (
        steps(source, &random, u64::MAX).unwrap(),
        steps(source, &even, u64::MAX).unwrap(),
    );
    assert!(many > 20 * few, "{many}, {few}");
    let why = asked(source, &random).unwrap_err();
    assert!(matches!(why, NoAnswer::Beyond(_)), "{why:?}");
    assert_eq!(asked(source, &even), Ok(false));
    // The same each time: no state is left of the time before.
    let again = compile(source).unwrap();
    let body = again.read(random.as_bytes()).unwrap();
    for _ in 0..2 {
        assert!(again.holds(&*body).is_err());
    }
}

/// How long this thread has been on a processor, whoever else wants one.
fn on_cpu() -> std::time::Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = spent.split(' ').next().unwrap().parse().unwrap();
    std::time::Duration::from_nanos(nanoseconds)
}

/// `cargo test --release -p probity-cel -- --ignored --nocapture measured`
#[test]
#[ignore = "a measurement"]
fn measured() {
    let maps = |count| list(count, |_| r#"{"a":1,"b":"c"}"#.into());
    let texts = |count| list(count, |at| format!("\"id{at}\""));
    let zeros = |count| list(count, |_| "0".into());
    let mut state = 1_u32;
    let random: String = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { 'a' } else { 'b' }
        })
        .collect();
    let random = format!("\"{random}\"");
    let keys: Vec<_> = (0..100_000)
        .map(|at: u32| format!("\"{:08x}\":{at}", at.wrapping_mul(2_654_435_761)))
        .collect();
    let keys = format!("{{{}}}", keys.join(","));
    let empty = list(600_000, |_| "[]".into());
    for (source, body) in [
        ("true", zeros(1_048_000)),
        ("true", empty.clone()),
        ("true", maps(130_000)),
        ("true", keys.clone()),
        ("true", random.clone()),
        ("body == body", maps(100_000)),
        ("body == body", keys.clone()),
        ("body == body", empty.clone()),
        ("body == body", random.clone()),
        ("body.all(x, x >= 0)", zeros(1_000_000)),
        ("body.all(x, x.a == 1.0)", maps(100_000)),
        ("body.exists(x, x.c == 1.0)", maps(100_000)),
        ("body.exists(x, x.c.d == 1.0)", maps(100_000)),
        ("body.map(x, x).size() == 1", zeros(1_000_000)),
        (
            "body.map(x, [x, x, x, {'a': x}]).size() == 1",
            zeros(1_000_000),
        ),
        ("body.map(x, string(x)).size() == 1", zeros(1_000_000)),
        (
            "body.map(x, string(x) + 'abc').size() == 1",
            zeros(1_000_000),
        ),
        ("body.map(x, body + body).size() == 1", zeros(10_000)),
        ("body.all(x, body.exists(y, x == y))", texts(20_000)),
        ("body.all(x, x in body)", texts(20_000)),
        ("body.all(k, body[k] >= 0)", keys),
        ("body.exists(x, x.contains('e'))", texts(150_000)),
        (
            "body.contains('aabaabbbababbabbaabaabbaaba')",
            random.clone(),
        ),
        (
            "body.exists(x, x.matches(r'^[\\pL\\d_.-]{1,64}$') == false)",
            texts(150_000),
        ),
        ("body.matches(r'(a|b)*a(a|b){12}c')", random.clone()),
        ("body.matches(r'(a|b)*a(a|b){30}c')", random.clone()),
        (
            "body.matches(r'^[ab]*a(\\pL{1,10}){1,10}c')",
            random.clone(),
        ),
        ("body.matches(r'(a|b)*a(a|b){1000}c')", random),
        (
            "body.all(x, timestamp('2024-01-02T03:04:05Z').getHours('Europe/Berlin') > 0)",
            zeros(100_000),
        ),
        (
            "body.all(x, duration('1h2m3s') > duration('1s'))",
            zeros(100_000),
        ),
        (
            "body.all(x, double('1.7976931348623157e308') > 1.0)",
            zeros(1_000_000),
        ),
    ] {
        let expression = compile(source).unwrap();
        let best = |what: &dyn Fn()| {
            let once = || {
                let begin = on_cpu();
                what();
                on_cpu() - begin
            };
            (0..3).map(|_| once()).min().unwrap()
        };
        let reading = best(&|| drop(std::hint::black_box(expression.read(body.as_bytes()))));
        let read = expression.read(body.as_bytes()).unwrap();
        let evaluation = best(&|| drop(std::hint::black_box(expression.holds(&*read))));
        let steps = steps(source, &body, MAX_STEPS);
        let each = evaluation.as_nanos() as f64 / steps.unwrap_or(MAX_STEPS) as f64;
        println!(
            "reading {:>5.1} ms, evaluation {:>5.1} ms, {each:>5.1} ns for each of {} steps, {} bytes: {source}",
            reading.as_secs_f64() * 1e3,
            evaluation.as_secs_f64() * 1e3,
            steps.map_or("too many".into(), |steps| steps.to_string()),
            body.len()
        );
    }
}
