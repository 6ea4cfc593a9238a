//! What the program says of how it was built: by which compiler.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = version().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=PROBITY_RUSTC={version}");
}

/// Of `rustc 1.95.0 (59807616e 2026-04-14)` the number.
fn version() -> Option<String> {
    let said = Command::new(env::var_os("RUSTC")?)
        .arg("--version")
        .output();
    let said = String::from_utf8(said.ok()?.stdout).ok()?;
    said.split_whitespace().nth(1).map(str::to_owned)
}
