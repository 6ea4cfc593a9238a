//! What a section becomes, and what is said about it.

use super::*;
use crate::config::{Cause, NoFiles};

fn module(change: impl FnOnce(&mut Config)) -> Result<Module, ConfigError> {
    let mut config = Config::default();
    change(&mut config);
    Module::new(&config, &NoFiles)
}

#[test]
fn the_defaults_are_those_of_blackbox_exporter() {
    let without = module(|config| config.enable_http2 = false).unwrap();
    assert!(without.tls.alpn.is_empty());
    let module = module(|_| {}).unwrap();
    assert!(module.follow_redirects && module.families.fallback);
    assert_eq!(&*module.method, "GET");
    let offered = [b"h2".as_slice().into(), b"http/1.1".as_slice().into()];
    assert_eq!(module.tls.alpn, offered);
    assert_eq!(module.largest_body(false), None);
    let held = Largest::Matched(MAX_MATCHED_BODY_BYTES as u64);
    assert_eq!(module.largest_body(true), Some(held));
}

#[test]
fn a_limit_of_bodies_is_taken_for_what_is_matched_too() {
    for (text, limit) in [("128B", 128), ("100MiB", 100 << 20)] {
        let limited = ByteSize::parse(text).unwrap();
        let module = module(|config| config.body_size_limit = limited).unwrap();
        let limit = Some(Largest::Module(limit));
        assert_eq!(module.largest_body(true), limit);
        assert_eq!(module.largest_body(false), limit);
    }
}

#[test]
fn the_deprecated_key_overrides_follow_redirects() {
    assert!(
        !module(|config| config.no_follow_redirects = Some(true))
            .unwrap()
            .follow_redirects
    );
    let module = module(|config| {
        config.follow_redirects = false;
        config.no_follow_redirects = Some(false);
    });
    assert!(module.unwrap().follow_redirects);
}

#[test]
fn a_method_is_a_token() {
    for method in ["GET", "PATCH", "M-SEARCH", "get", "CONNECT"] {
        assert!(
            module(|config| config.method = method.into()).is_ok(),
            "{method}"
        );
    }
    for method in ["GET /", "G\r\nX", "G\u{e9}T"] {
        let error = module(|config| config.method = method.into()).unwrap_err();
        assert_eq!(error.field, "method");
    }
}

#[test]
fn an_expression_that_is_too_large_rejects_the_module_and_no_file() {
    let large = || Pattern::new(r"(?i)(\p{L}|\p{N}){1,500}").unwrap();
    let error = module(|config| config.fail_if_body_matches_regexp = alloc::vec![large()]);
    let error = error.unwrap_err();
    assert_eq!(
        (error.cause, &*error.field),
        (Cause::Unspoken, "fail_if_body_matches_regexp[0]")
    );
    let matches = |regexp| HeaderMatch {
        header: "A".into(),
        regexp: Some(regexp),
        allow_missing: false,
    };
    let error = module(|config| {
        config.fail_if_header_not_matches = alloc::vec![matches(large())];
    });
    let error = error.unwrap_err();
    assert_eq!(error.cause, Cause::Unspoken);
    assert_eq!(error.field, "fail_if_header_not_matches[0].regexp");
    // A mistake goes before that.
    let error = module(|config| {
        config.fail_if_body_matches_regexp = alloc::vec![large()];
        config.method = "A B".into();
    });
    assert_eq!(error.unwrap_err().cause, Cause::Mistake);
}

#[test]
fn what_is_sent_otherwise_than_it_was_written_is_warned_of() {
    let config = Config {
        headers: [
            ("Accept".into(), "a".into()),
            ("accept".into(), "b".into()),
            ("host".into(), "foo bar".into()),
        ]
        .into(),
        ..Config::default()
    };
    let warned = config.warnings();
    let fields: Vec<&str> = warned.iter().map(|it| &*it.field).collect();
    assert_eq!(fields, ["headers.accept", "headers.host"]);
    let module = Module::new(&config, &NoFiles).unwrap();
    assert_eq!(module.host.as_deref(), Some(""));
}

#[test]
fn header_matchers_need_a_name_and_an_expression() {
    let error = module(|config| {
        config.fail_if_header_matches = alloc::vec![
            HeaderMatch {
                header: "A".into(),
                regexp: Some(Pattern::new("x").unwrap()),
                allow_missing: false,
            },
            HeaderMatch {
                header: "B".into(),
                regexp: Some(Pattern::new("").unwrap()),
                allow_missing: false,
            },
        ];
    })
    .unwrap_err();
    assert_eq!(error.field, "fail_if_header_matches[1].regexp");
    assert_eq!(error.message, "regexp must be set for HTTP header matchers");
}

#[test]
fn a_hostname_must_not_contradict_the_module_nor_inject() {
    let plain = module(|_| {}).unwrap();
    assert_eq!(
        host_header(&plain, Some("a:1")).unwrap().as_deref(),
        Some("a:1")
    );
    assert_eq!(host_header(&plain, Some("")), Ok(None));
    assert!(host_header(&plain, Some("a\r\nX: y")).is_err());
    let hosted = module(|config| {
        config.headers.insert("host".into(), "b".into());
    })
    .unwrap();
    assert_eq!(
        host_header(&hosted, Some("b")).unwrap().as_deref(),
        Some("b")
    );
    assert_eq!(host_header(&hosted, None).unwrap().as_deref(), Some("b"));
    assert_eq!(
        host_header(&hosted, Some("a")),
        Err("host header defined both in module configuration (b) and with URL-parameter 'hostname' (a)".into())
    );
}
