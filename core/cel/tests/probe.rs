//! The http check with expressions, through a whole engine: what
//! blackbox_exporter does with them, and both kinds of expression at once.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::http::{ByteSize, Config as Http};
use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::{Expression, Files, Pattern, Recorded};
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Config, Engine, GroupId, Input, Instant, Outcome, Output, Reason, Schedule, Spec,
};

struct Host;

impl Files for Host {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path}: there are no files"))
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        probity_cel::compile(source)
    }
}

struct Seen {
    outcome: Outcome,
    detail: String,
    by_cel: Option<f64>,
    by_regex: Option<f64>,
    length: Option<f64>,
}

/// Probes a server that answers with this body.
fn probe(body: &str, change: impl FnOnce(&mut Http)) -> Seen {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    run(&answer, change)
}

fn run(answer: &str, change: impl FnOnce(&mut Http)) -> Seen {
    let mut http = Http::default();
    change(&mut http);
    let module = ModuleConfig {
        prober: "http".into(),
        http: Some(http),
        ..ModuleConfig::default()
    };
    let module = module.compile(&Host).unwrap();
    let second = Duration::from_secs(1);
    let spec = Arc::new(Spec {
        check: module.target("192.0.2.7", TargetParams::default()).unwrap(),
        schedule: Schedule::new(second, second, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    });
    let now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), now);
    let id = engine.run_once(spec, second, false, now).unwrap();
    for _ in 0..10 {
        let mut opened = None;
        let mut asked = None;
        while let Some((_, output)) = engine.poll_output() {
            match output {
                Output::Open(conn, _) => opened = Some(conn),
                Output::Send(conn, _) => asked = Some(conn),
                Output::Report(report) => {
                    let fact = |name: &str| {
                        let facts = report.spec.check.facts().iter();
                        let fact = facts.clone().find(|fact| fact.name == name)?;
                        fact.read(report.facts, &report.phases)
                    };
                    return Seen {
                        outcome: report.outcome,
                        detail: report.detail.into(),
                        by_cel: fact("probe_failed_due_to_cel"),
                        by_regex: fact("probe_failed_due_to_regex"),
                        length: fact("probe_http_uncompressed_body_length"),
                    };
                }
                _ => {}
            }
        }
        if let Some(conn) = opened {
            engine.handle_input(id, Input::Opened(conn), now);
        }
        if let Some(conn) = asked {
            engine.handle_input(id, Input::Data(conn, answer.as_bytes()), now);
        }
    }
    panic!("the run does not end");
}

fn judged(seen: &Seen, success: bool, body: &str, case: &str) {
    let outcome = match success {
        true => Outcome::Success,
        false => Outcome::Failure(Reason::JsonMismatch),
    };
    assert_eq!(seen.outcome, outcome, "{case}: {}", seen.detail);
    assert_eq!(seen.by_cel, Some(f64::from(u8::from(!success))), "{case}");
    assert_eq!(seen.by_regex, Some(0.0), "{case}");
    assert_eq!(seen.length, Some(body.len() as f64), "{case}");
}

/// TestFailIfBodyMatchesCEL.
#[test]
fn a_body_that_must_not_match() {
    let nested = r#"{"foo":{"bar":"baz"}}"#;
    for (body, source, success) in [
        (nested, "body.foo.bar == 'baz'", false),
        (nested, "body.foo.bar == 'qux'", true),
        (nested, "body.foo.bar", false),
        ("{}", "body.foo.bar == 'qux'", false),
        ("hello world", "body.foo.bar == 'baz'", false),
        (r#""foo""#, "body == 'foo'", false),
        (r#"["foo","bar","baz"]"#, "body[2] == 'baz'", false),
        ("true", "body", false),
        ("", "body.foo == 'a'", false),
        ("🤠🤠🤠", "body.foo == 'a'", false),
        (
            r#"{"foo":{"bar":"🤠🤠🤠"}}"#,
            "body.foo.bar == '😿😿😿'",
            true,
        ),
    ] {
        let seen = probe(body, |http| {
            http.fail_if_body_json_matches_cel = Some(source.into());
        });
        judged(&seen, success, body, source);
    }
}

/// TestFailIfBodyNotMatchesCEL.
#[test]
fn a_body_that_must_match() {
    let nested = r#"{"foo":{"bar":"baz"}}"#;
    for (body, source, success) in [
        (nested, "body.foo.bar == 'baz'", true),
        (nested, "body.foo.bar == 'qux'", false),
        (nested, "body.foo.bar", false),
        ("{}", "body.foo.bar == 'qux'", false),
        ("{}", "!has(body.foo)", true),
        ("hello world", "body.foo.bar == 'baz'", false),
        (r#""foo""#, "body == 'foo'", true),
        (r#"["foo","bar","baz"]"#, "body[2] == 'baz'", true),
        ("true", "body", true),
        ("", "body.foo == 'a'", false),
        ("🤠🤠🤠", "body.foo == 'a'", false),
        (
            r#"{"foo":{"bar":"😿😿😿"}}"#,
            "body.foo.bar == '😿😿😿'",
            true,
        ),
    ] {
        let seen = probe(body, |http| {
            http.fail_if_body_json_not_matches_cel = Some(source.into());
        });
        judged(&seen, success, body, source);
    }
}

#[test]
fn both_kinds_of_expression_see_the_same_body() {
    let both = |http: &mut Http| {
        http.fail_if_body_not_matches_regexp = vec![Pattern::new("ok").unwrap()];
        http.fail_if_body_json_not_matches_cel = Some("body.n == 1".into());
    };
    let seen = probe(r#"{"s":"ok","n":1}"#, both);
    assert_eq!(seen.outcome, Outcome::Success, "{}", seen.detail);
    let seen = probe(r#"{"s":"ok","n":2}"#, both);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::JsonMismatch));
    assert_eq!(seen.detail, r#"body does not match "body.n == 1""#);
    assert_eq!((seen.by_regex, seen.by_cel), (Some(0.0), Some(1.0)));
    let seen = probe(r#"{"s":"no","n":1}"#, both);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::BodyMismatch));
    assert_eq!((seen.by_regex, seen.by_cel), (Some(1.0), Some(0.0)));
}

#[test]
fn the_series_exists_only_where_an_expression_does() {
    assert_eq!(probe("{}", |_| {}).by_cel, None);
    let status = run("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", |http| {
        http.fail_if_body_json_matches_cel = Some("body.a".into());
    });
    assert_eq!(status.outcome, Outcome::Failure(Reason::HttpStatus));
    assert_eq!(status.by_cel, Some(0.0));
    let refused = run("HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n", |http| {
        http.follow_redirects = false;
        http.valid_status_codes = vec![302];
        http.fail_if_body_json_matches_cel = Some("body.a".into());
    });
    assert_eq!(refused.outcome, Outcome::Failure(Reason::BodyMismatch));
    assert_eq!((refused.by_regex, refused.by_cel), (Some(0.0), Some(1.0)));
}

#[test]
fn a_body_that_is_too_large_for_json_is_not_held() {
    let body = format!("\"{}\"", "x".repeat(2 << 20));
    let seen = probe(&body, |http| {
        http.fail_if_body_json_matches_cel = Some("body == ''".into());
    });
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::LocalBound));
    assert!(seen.detail.contains("2097152 bytes"), "{}", seen.detail);
    // Nothing is unknown where the module says how large a body may be.
    let seen = probe(&body, |http| {
        http.fail_if_body_json_matches_cel = Some("body == ''".into());
        http.body_size_limit = ByteSize::parse("1MB").unwrap();
    });
    assert_eq!(seen.outcome, Outcome::Failure(Reason::BodyLimit));
    assert_eq!(seen.by_cel, Some(1.0));
}

/// A bound of ours is not the target's failure.
#[test]
fn what_takes_too_long_to_judge_is_unknown() {
    let body = format!("[{}0]", "0,".repeat(20_000));
    for source in ["body.all(x, x in body && body.all(y, y == 0.0))"] {
        for forbidden in [true, false] {
            let seen = probe(&body, |http| match forbidden {
                true => http.fail_if_body_json_matches_cel = Some(source.into()),
                false => http.fail_if_body_json_not_matches_cel = Some(source.into()),
            });
            assert_eq!(seen.outcome, Outcome::Unknown(Reason::LocalBound));
            assert!(
                seen.detail.contains("steps on this body"),
                "{}",
                seen.detail
            );
        }
    }
}

/// TestNewCELProgram, and hosts that have no CEL.
#[test]
fn a_mistake_is_found_with_the_module() {
    for source in ["foo.bar", ""] {
        let module = ModuleConfig {
            prober: "http".into(),
            http: Some(Http {
                fail_if_body_json_matches_cel: Some(source.into()),
                ..Http::default()
            }),
            ..ModuleConfig::default()
        };
        let error = module.compile(&Host).unwrap_err();
        assert_eq!(error.field, "http.fail_if_body_json_matches_cel");
        let begin = format!("\"Could not compile CEL program\" expression={source:?}");
        assert!(error.message.starts_with(&begin), "{error}");
        let error = module
            .compile(&probity_engine::config::NoFiles)
            .unwrap_err();
        assert!(
            error.message.ends_with("cannot be evaluated here"),
            "{error}"
        );
    }
}

/// The file loads, as it does upstream, and whoever loads it is told.
#[test]
fn what_cannot_be_evaluated_is_said_when_it_is_loaded() {
    for (cel, expected) in [
        ("body.a.matches('^x')", None),
        (
            "body.a.matches(body.b)",
            Some("has to be a literal here: patterns are compiled"),
        ),
        (
            "google.protobuf.Int32Value{value: 1} == 1",
            Some("google.protobuf.Int32Value cannot be made here"),
        ),
    ] {
        let files = Recorded::new(&Host);
        let module = ModuleConfig {
            prober: "http".into(),
            http: Some(Http {
                fail_if_body_json_matches_cel: Some(cel.into()),
                ..Http::default()
            }),
            ..ModuleConfig::default()
        };
        module.compile(&files).unwrap();
        let warnings = files.warnings();
        assert_eq!(
            warnings.len(),
            usize::from(expected.is_some()),
            "{warnings:?}"
        );
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(
                warning.starts_with("fail_if_body_json_matches_cel: "),
                "{warning}"
            );
            assert!(warning.contains(expected), "{warning}");
        }
    }
}
