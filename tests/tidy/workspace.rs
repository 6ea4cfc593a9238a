//! The workspace as cargo and the file system know it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) folder: PathBuf,
    /// What it depends on, also optionally; not what only its tests need.
    pub(crate) dependencies: Vec<String>,
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is in a folder of the workspace")
}

/// What cargo knows without asking anybody.
pub(crate) fn metadata(options: &[&str]) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--format-version=1"])
        .args(options)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Every package by name.
pub(crate) static PACKAGES: LazyLock<BTreeMap<String, Package>> = LazyLock::new(|| {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages.iter().map(package).collect()
});

fn package(package: &Value) -> (String, Package) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = package["dependencies"].as_array();
    let dependencies = all
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| text(&dependency["name"]))
        .collect();
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().map(Path::to_path_buf);
    let package_of = Package {
        folder: folder.expect("a manifest is in a folder"),
        dependencies,
    };
    (text(&package["name"]), package_of)
}

/// Every Rust file below `folder`, in order.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A path as people say it: from the root.
pub(crate) fn shown(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}
