//! What is linked and what tests need may be passed on with what is ours,
//! under Apache-2.0 or MIT.

use std::process::Command;

use crate::workspace::metadata;

/// Licences that ask for no more than their text and the names in it, if that.
const ACCEPTED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Programs of tests that are neither linked nor passed on, with their licence.
/// The MPL speaks of those who pass on its files; what cbindgen writes is made
/// of ours.
const TOOLS: [(&str, &str); 1] = [("cbindgen", "MPL-2.0")];

/// Whether an SPDX expression can be met by what is accepted. Of brackets only
/// one level is known, and that AND joins what they hold.
fn is_accepted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let mut ways = part.trim_matches(['(', ')', ' ']).split(" OR ");
        ways.any(|way| ACCEPTED.contains(&way.trim()))
    })
}

/// The platform that cargo builds for; the packages of others may be missing.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output();
    let text = String::from_utf8(output.expect("rustc runs").stdout);
    let text = text.expect("rustc writes text");
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.expect("rustc knows its host").to_owned()
}

#[test]
fn every_dependency_may_be_passed_on_under_our_licences() {
    let metadata = metadata(&["--locked", "--filter-platform", &host()]);
    let packages = metadata["packages"].as_array().expect("there are packages");
    assert!(packages.len() > 100, "more than the workspace");
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("none");
            let tool = TOOLS.contains(&(package["name"].as_str()?, licence));
            (!tool && !is_accepted(licence)).then(|| format!("{}: {licence}", package["name"]))
        })
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn tools_are_needed_by_tests_alone() {
    let metadata = metadata(&["--locked", "--filter-platform", &host()]);
    let packages = metadata["packages"].as_array().expect("there are packages");
    for (tool, _) in TOOLS {
        let needed: Vec<String> = packages
            .iter()
            .flat_map(|package| {
                let needs = package["dependencies"].as_array().into_iter().flatten();
                let needs = needs.filter(|it| it["name"] == tool);
                needs.map(|it| format!("{} {}", package["name"], it["kind"]))
            })
            .collect();
        assert_eq!(needed, ["\"probity-ffi\" \"dev\""], "{tool}");
    }
}

#[test]
fn licences_that_ask_for_more_are_not_accepted() {
    for (expression, accepted) in [
        ("MIT/Apache-2.0", true),
        ("(GPL-2.0-only OR MIT) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0-or-later", false),
        ("LGPL-2.1-or-later", false),
        ("none", false),
    ] {
        assert_eq!(is_accepted(expression), accepted, "{expression}");
    }
}
