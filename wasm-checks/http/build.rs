//! The engine keeps more on its stack than the 16 KiB that other checks are given.

/// Bytes of the stack of the module.
const STACK: u32 = 128 << 10;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        // The last one counts, and this comes after what `build` says of all checks.
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
    }
}
