//! What is and is not in the source.

use std::fs;
use std::path::PathBuf;

use crate::workspace::{PACKAGES, rust_files, shown};

/// Packages that promise to have no unsafe code.
const SAFE: &[&str] = &[
    "probity",
    "probity-cel",
    "probity-engine",
    "probity-simulator",
    "probity-spec",
    "probity-tls",
    "probity-transcript",
];

/// What must not be left in a source, in two parts so that this file is clean.
const LEFTOVERS: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("FIX", "ME"),
    ("XX", "X:"),
];

/// Lines above which a file is worth a second look.
const LONG: usize = 800;

/// The package's `lib.rs` and `main.rs`.
fn roots(name: &str) -> Vec<PathBuf> {
    let Some(package) = PACKAGES.get(name) else {
        return Vec::new();
    };
    let source = package.folder.join("src");
    let roots = ["lib.rs", "main.rs"].map(|file| source.join(file));
    roots.into_iter().filter(|path| path.exists()).collect()
}

fn sources() -> Vec<PathBuf> {
    let folders = PACKAGES.values().map(|package| package.folder.join("src"));
    folders.flat_map(|folder| rust_files(&folder)).collect()
}

#[test]
fn what_promises_to_be_safe_forbids_the_rest() {
    let missing: Vec<String> = SAFE
        .iter()
        .flat_map(|name| roots(name))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            !text.contains("#![forbid(unsafe_code)]")
        })
        .map(|path| shown(&path))
        .collect();
    assert!(
        missing.is_empty(),
        "#![forbid(unsafe_code)] is missing in {missing:?}"
    );
}

#[test]
fn the_engine_has_no_std() {
    let roots = roots("probity-engine");
    let text = roots.first().and_then(|path| fs::read_to_string(path).ok());
    assert!(text.is_some_and(|text| text.contains("#![no_std]")));
}

#[test]
fn nothing_is_left_to_do() {
    let sources = sources();
    assert!(
        sources.len() > 20,
        "the sources were found: {}",
        sources.len()
    );
    let mut found = Vec::new();
    for path in sources {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            for (head, tail) in LEFTOVERS {
                if line.contains(&format!("{head}{tail}")) {
                    found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let mut lines = text.lines().filter(|line| !line.starts_with("#!["));
            // A list of attributes may take several lines.
            !lines.any(|line| line.starts_with("//!"))
        })
        .map(|path| shown(path))
        .collect();
    assert!(silent.is_empty(), "without a word about itself: {silent:?}");
}

/// A report, not a rule: a long file may have a reason.
#[test]
fn long_files_are_named() {
    for path in sources() {
        let lines = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count();
        if lines > LONG {
            println!("{}: {lines} lines", shown(&path));
        }
    }
}
