//! The header that is committed is the one that cbindgen makes of the source.

use std::path::Path;
use std::{env, fs};

use probity_engine::Limits;

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

/// 1234567 as 1,234,567.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups.filter_map(|it| str::from_utf8(it).ok()).collect();
    groups.join(",")
}

/// What zeros mean is said in words, and decided by the engine.
#[test]
fn the_usual_bounds_in_the_header_are_those_of_the_engine() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/probity.h");
    let header = fs::read_to_string(path).expect("it is committed");
    let usual = Limits::default();
    for (what, number) in [
        ("Targets registered at once", usual.targets),
        ("Scheduled runs in flight at once", usual.in_flight),
        ("asked for by themselves", usual.once_in_flight),
        ("Look-ups of names in flight at once", usual.lookups),
        ("Names in the cache", usual.cached_names),
        (
            "at once before that rate applies",
            usual.burst_per_destination,
        ),
    ] {
        let line = format!("{what}; 0: {}.", grouped(number));
        assert!(header.contains(&line), "expected \"{line}\"");
    }
}
