//! Documents point at what exists.

use std::fs;
use std::path::Path;

use crate::workspace::root;

/// Documents at the root; those that do not exist yet say nothing wrong.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// The targets of `[text](target)`, without what leads elsewhere.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|link| !link.contains("://") && !link.starts_with(['#', '<']))
        .filter_map(|link| link.split('#').next())
        .filter(|link| !link.is_empty())
}

fn broken(text: &str, folder: &Path) -> Vec<String> {
    let missing = links(text).filter(|link| !folder.join(link).exists());
    missing.map(str::to_owned).collect()
}

#[test]
fn links_lead_to_files() {
    let mut wrong = Vec::new();
    for name in DOCUMENTS {
        let text = fs::read_to_string(root().join(name)).unwrap_or_default();
        for link in broken(&text, root()) {
            wrong.push(format!("{name}: {link}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_link_is_seen() {
    let text = "[a](Cargo.toml), [b](https://example.org/x) and [c](no/such/file.md#part)";
    assert_eq!(broken(text, root()), ["no/such/file.md"]);
}
