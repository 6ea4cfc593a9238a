//! `probity wasm new`: a crate that is a whole check, to be changed.
//!
//! Its source is the check `hello` of wasm-checks, which is tested there.

use std::fs;
use std::path::{Path, PathBuf};

use super::New;

const SOURCE: &str = include_str!("../../../../wasm-checks/hello/src/lib.rs");
const TRANSCRIPT: &str = include_str!("../../../../wasm-checks/hello/transcript.txt");

/// A small module is quick to load, and a small stack leaves room for the rest
/// in its first page of memory.
const CARGO_CONFIG: &str = "\
[target.wasm32-unknown-unknown]
rustflags = [\"-Clink-arg=-zstack-size=16384\"]
";

const PROFILE: &str = "\
[profile.release]
opt-level = \"s\"
lto = true
codegen-units = 1
panic = \"abort\"
strip = true
";

/// The name of a check.
pub(super) fn name(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let valid = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(inner)
        && !text.ends_with('-')
        && text.len() <= 32;
    match valid {
        true => Ok(text.to_owned()),
        false => Err("expected a letter, then letters, digits and hyphens, at most 32".into()),
    }
}

/// Writes the crate and says what to do with it.
///
/// # Errors
/// What could not be written, in one sentence.
pub(super) fn main(args: &New) -> Result<u8, String> {
    let folder = Path::new(&args.name);
    let sdk = args.sdk.as_deref().map(sdk).transpose()?;
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()));
    }
    for (path, content) in files(&args.name, sdk.as_deref()) {
        let path = folder.join(path);
        write(&path, &content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let name = &args.name;
    let module = name.replace('-', "_");
    println!(
        "{name} is a check that works. To test it and to build it:

    cd {name}
    cargo test
    cargo rustc --release --lib --crate-type cdylib --target wasm32-unknown-unknown

The module is target/wasm32-unknown-unknown/release/{module}.wasm"
    );
    Ok(0)
}

/// The SDK as an absolute path: the crate may be moved.
fn sdk(given: &Path) -> Result<PathBuf, String> {
    let found = fs::canonicalize(given).ok();
    let found = found.filter(|path| path.join("Cargo.toml").is_file());
    found.ok_or_else(|| {
        format!(
            "--sdk: expected the directory wasm-checks/sdk, found {}",
            given.display()
        )
    })
}

fn write(path: &Path, content: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// The files of a new crate, by their paths in it.
fn files(name: &str, sdk: Option<&Path>) -> [(&'static str, String); 5] {
    [
        ("Cargo.toml", manifest(name, sdk)),
        (".cargo/config.toml", CARGO_CONFIG.into()),
        (".gitignore", "/target\n".into()),
        ("src/lib.rs", source(name)),
        ("transcript.txt", TRANSCRIPT.into()),
    ]
}

fn source(name: &str) -> String {
    let source = SOURCE.replace("//! hello:", &format!("//! {name}:"));
    let source = source.replace("new(\"hello\"", &format!("new(\"{name}\""));
    source.replace("Hello", &kind(name))
}

fn manifest(name: &str, sdk: Option<&Path>) -> String {
    let sdk = match sdk {
        // A string of JSON is one of TOML.
        Some(path) => format!("{{ path = {:?} }}", path.display().to_string()),
        None => format!(
            "{:?}",
            concat!(
                env!("CARGO_PKG_VERSION_MAJOR"),
                ".",
                env!("CARGO_PKG_VERSION_MINOR")
            )
        ),
    };
    format!(
        "[package]
name = {name:?}
version = \"0.1.0\"
edition = \"2024\"
publish = false

# No part of a workspace around it.
[workspace]

[lib]
crate-type = [\"cdylib\", \"rlib\"]

[dependencies]
probity-check = {sdk}
serde = {{ version = \"1\", default-features = false, features = [\"alloc\", \"derive\"] }}

{PROFILE}"
    )
}

/// A name as a type: `my-check` is `MyCheck`.
fn kind(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{files, kind, name};

    #[test]
    fn names_are_those_of_checks() {
        for good in ["a", "ntp", "my-check-2"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", "2a", "A", "a_b", "a-", "../a", &"a".repeat(33)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert_eq!(kind("my-check-2"), "MyCheck2");
        assert_eq!(kind("a--b"), "AB");
    }

    #[test]
    fn a_crate_has_its_name_everywhere() {
        let files = files("my-check", Some(Path::new("/a \"b\"/sdk")));
        let of = |path: &str| {
            let found = files.iter().find(|(other, _)| *other == path);
            found
                .map(|(_, content)| content.as_str())
                .unwrap_or_default()
        };
        let manifest = of("Cargo.toml");
        assert!(manifest.contains("name = \"my-check\"\n"), "{manifest}");
        assert!(
            manifest.contains(r#"{ path = "/a \"b\"/sdk" }"#),
            "{manifest}"
        );
        let source = of("src/lib.rs");
        assert!(source.contains("export!(MyCheck)"), "{source}");
        assert!(source.contains("Description::new(\"my-check\""), "{source}");
        assert!(!source.to_lowercase().contains("hello"), "{source}");
    }
}
