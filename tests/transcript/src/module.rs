//! The engine for Wasm hosts, as a file.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

/// Whether `PROBITY_REQUIRE_PEERS` insists on something that tests otherwise do
/// without.
pub fn required(what: &str) -> bool {
    let required = env::var("PROBITY_REQUIRE_PEERS").unwrap_or_default();
    required.split_whitespace().any(|it| it == what)
}

/// `target/wasm/probity.wasm`, if `core/ffi/build-wasm` has built it of these
/// sources. If it has not, this says so, or fails where the module is [`required`].
pub fn wasm_module() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = root.expect("tests/transcript");
    let path = root.join("target/wasm/probity.wasm");
    let built = changed(&path);
    if required("probity.wasm") {
        assert!(built.is_some(), "core/ffi/build-wasm is to be run first");
        return Some(path);
    }
    let sources =
        ["cel", "engine", "ffi", "spec"].map(|it| newest(&root.join("core").join(it).join("src")));
    if built < sources.into_iter().max().flatten() {
        eprintln!("no target/wasm/probity.wasm of these sources (core/ffi/build-wasm): not tested");
        return None;
    }
    Some(path)
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}

/// When a file below a folder was changed last.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.map(|entry| match entry.path() {
        path if path.is_dir() => newest(&path),
        path => changed(&path),
    });
    times.max().flatten()
}
