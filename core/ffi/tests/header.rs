//! The header that is committed is the one that cbindgen makes of the source.

use std::path::Path;
use std::{env, fs};

/// `PROBITY_WRITE_HEADER=1 cargo test -p probity-ffi --test header` writes it.
#[test]
fn the_header_is_that_of_the_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml");
    let made = cbindgen::Builder::new()
        .with_crate(folder)
        .with_config(config)
        .generate()
        .expect("cbindgen understands the source");
    let mut text = Vec::new();
    made.write(&mut text);
    let text = String::from_utf8(text).expect("a header is text");
    let path = folder.join("include/probity.h");
    if env::var_os("PROBITY_WRITE_HEADER").is_some() {
        fs::write(&path, &text).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let first = committed
        .lines()
        .zip(text.lines())
        .position(|(one, other)| one != other);
    assert!(
        committed == text,
        "include/probity.h is not what cbindgen makes of the source (from line {:?}): \
         run PROBITY_WRITE_HEADER=1 cargo test -p probity-ffi --test header",
        first.map(|line| line + 1)
    );
}
