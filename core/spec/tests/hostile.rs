//! Input never panics and never costs more than it is worth.

use probity_engine::config::NoFiles;
use probity_spec::{File, Format, parse_groups};
use proptest::prelude::*;

fn parse(text: &str) -> Result<File, String> {
    let _ = parse_groups("g", text, Format::Yaml);
    let _ = parse_groups("g", text, Format::Json);
    File::parse("f", text, &NoFiles).map_err(|errors| errors.to_string())
}

/// Pieces of which interesting documents consist.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "modules:",
            "jobs:",
            "- ",
            "  ",
            "\n",
            "\n  ",
            "\n    ",
            "&a ",
            "*a",
            "<<: ",
            "[",
            "]",
            "{",
            "}",
            ",",
            ": ",
            "a",
            "prober: tcp",
            "prober: http",
            "http:",
            "tcp:",
            "timeout: 5s",
            "job_name: a",
            "module: tcp_connect",
            "static_configs:",
            "targets:",
            "labels:",
            "'",
            "\"",
            "|\n",
            ">-\n",
            "!!binary ",
            "!!str ",
            "!",
            "? ",
            "---\n",
            "...",
            "%YAML 1.2\n",
            "#",
            "~",
            "null",
            "yes",
            "0x",
            "-",
            "1e9",
            ".inf",
            "\t",
            "\u{feff}",
            "\u{85}",
            "classic_buckets:",
            "interval: ",
            "9999999999999999999999y",
            "file_sd_configs:",
            "files:",
            "*.yml",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,4}",
    ]
}

/// JSON in which what YAML does not take as it is, though JSON does, is escaped.
fn escaped(json: &str) -> String {
    let escape = |c: char| match u16::try_from(u32::from(c)) {
        Ok(unit) if !(' '..='~').contains(&c) => format!("\\u{unit:04x}"),
        _ => c.to_string(),
    };
    json.chars().map(escape).collect()
}

/// Texts that YAML is known to take for something else, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "~",
            "null",
            "yes",
            "Off",
            "1",
            "0x1",
            "1e3",
            ".inf",
            "1_000",
            "-",
            "---",
            "- a",
            "a: b",
            "#",
            "a #b",
            " a",
            "a ",
            "\n",
            "a\n",
            "\na\n\n",
            "a\n b\n",
            "|",
            ">",
            "!x",
            "&x",
            "*x",
            "%x",
            "@x",
            "`x",
            "{",
            "[",
            "'",
            "\"",
            "<<",
            "?",
            "=",
            "2001-01-01",
            "12:30:45",
            "\t",
            "\\",
            "\u{0}",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\r",
            "<secret>",
        ])
        .prop_map(str::to_owned),
        "[a-z: #\n\t'\"\\[{&*!|>%@-]{1,100}",
        "\\PC{1,40}",
        any::<String>().prop_filter("a name", |text| !text.is_empty()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn anything_like_a_file_is_parsed_or_refused(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        if let Ok(file) = parse(&text) {
            let rendered = file.render().expect("what was parsed can be rendered");
            let again = File::parse("r", &rendered, &NoFiles);
            prop_assert!(again.is_ok(), "{text}\n{rendered}\n{again:?}");
        }
    }

    /// Whatever texts a configuration is made of, `/config` shows the same.
    #[test]
    fn any_text_survives_rendering(name in text(), value in text(), header in "[ -~\u{e9}]{0,20}") {
        let file = serde_json::json!({
            "modules": {
                &name: {"prober": "http", "http": {"body": &value, "headers": {"X-A": header.trim()}}},
            },
            "jobs": [{
                "job_name": &name,
                "module": &name,
                "static_configs": [{"targets": ["http://a/"], "labels": {"l": &value}}],
            }],
        });
        let file = File::parse("f", &escaped(&file.to_string()), &NoFiles);
        let file = file.map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        let rendered = file.render().expect("what was parsed can be rendered");
        let again = File::parse("r", &rendered, &NoFiles);
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{rendered}")))?;
        prop_assert_eq!(file.jobs(), again.jobs(), "{}", rendered);
    }
}

#[test]
fn bombs_are_refused() {
    // A billion laughs, by aliases and by merge keys.
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut merges = "b0: &b0 {k: v}\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        laughs += &format!(
            "a{level}: &a{level} [{}]\n",
            [alias.as_str(); 10].join(", ")
        );
        merges += &format!(
            "b{level}: &b{level} {{x{level}: {{<<: *b{0}}}, <<: [{1}]}}\n",
            level - 1,
            vec![format!("*b{}", level - 1); 10].join(", ")
        );
    }
    let error = parse(&laughs).unwrap_err();
    assert!(
        error.contains("too large once its aliases and merge keys are followed"),
        "{error}"
    );
    assert!(parse(&merges).is_err());

    // A chain of anchors is as deep as the nesting that it stands for.
    let mut chain = "a0: &a0 []\n".to_owned();
    for level in 1..100_000 {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let error = parse(&chain).unwrap_err();
    assert!(
        error.contains("expected at most 64 levels of nesting"),
        "{error}"
    );

    for deep in ["[", "{a: ", "- ", "? ", "!!str [", "&a [", "{"] {
        assert!(parse(&deep.repeat(100_000)).is_err(), "{deep}");
    }

    // Many merges of one large mapping into one.
    let keys: Vec<String> = (0..2000).map(|key| format!("k{key}: v")).collect();
    let merge = format!(
        "a: &a {{{}}}\nb:\n  <<: [{}]\n",
        keys.join(", "),
        ["*a"; 20_000].join(", ")
    );
    let error = parse(&merge).unwrap_err();
    assert!(error.contains("too large once"), "{error}");

    let error = parse(&"#".repeat((16 << 20) + 1)).unwrap_err();
    assert_eq!(error, "f: expected at most 16777216 bytes, found 16777217");
}
