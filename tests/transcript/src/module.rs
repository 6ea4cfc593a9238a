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
    built(
        "target/wasm/probity.wasm",
        "core/ffi/build-wasm",
        &["core/cel", "core/engine", "core/ffi", "core/spec"],
    )
}

/// `wasm-checks/dist/http.wasm`, if `wasm-checks/build http` has built it of these
/// sources; else as [`wasm_module`].
pub fn http_check() -> Option<PathBuf> {
    built(
        "wasm-checks/dist/http.wasm",
        "wasm-checks/build http",
        &["core/engine", "wasm-checks/http", "wasm-checks/sdk"],
    )
}

/// `wasm-checks/dist/redis.wasm`, if `wasm-checks/build redis` has built it of these
/// sources; else as [`wasm_module`].
pub fn redis_check() -> Option<PathBuf> {
    built(
        "wasm-checks/dist/redis.wasm",
        "wasm-checks/build redis",
        &["wasm-checks/redis", "wasm-checks/sdk"],
    )
}

/// A module, if `how` has built it of what is in `sources`.
fn built(module: &str, how: &str, sources: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = root.expect("tests/transcript");
    let path = root.join(module);
    let built = changed(&path);
    let name = path.file_name().and_then(|name| name.to_str());
    if name.is_some_and(required) {
        assert!(built.is_some(), "{how} is to be run first");
        return Some(path);
    }
    let sources = sources.iter().map(|it| newest(&root.join(it).join("src")));
    if built < sources.max().flatten() {
        eprintln!("no {module} of these sources ({how}): not tested");
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
