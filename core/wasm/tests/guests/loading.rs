//! Files that are no checks, and what is said of them.

use probity_engine::guest::{Refusal, Source};

use crate::support::{Guest, describe, host, refused, source};

#[track_caller]
fn says(found: &str, words: &str) {
    assert!(found.contains(words), "{found}\nexpected {words}");
}

#[test]
fn what_is_no_webassembly_is_refused() {
    says(&refused(b""), "expected WebAssembly");
    says(
        &refused(b"#!/bin/sh\n"),
        "found a file that begins with \"#!/bin/s\"",
    );
    // What wasmtime has compiled is native code, and is an ELF file.
    says(&refused(b"\x7fELF\x02\x01\x01\0"), "expected WebAssembly");
    let module = Guest::default().module();
    for length in [8, 9, module.len() / 2, module.len() - 1] {
        refused(&module[..length]);
    }
}

#[test]
fn random_bytes_are_refused_wherever_they_are() {
    let module = Guest::default().module();
    let host = host();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..200 {
        let mut bytes = module.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        // It may be a check still. That it is looked at is all that counts.
        if let Ok(plugin) = host.load(&source(&bytes)) {
            let _ = plugin.validate("{}");
        }
        let noise: Vec<u8> = (0..64).map(|_| random() as u8).collect();
        let noise = [&module[..8], &noise].concat();
        assert!(host.load(&source(&noise)).is_err());
    }
}

#[test]
fn a_file_of_fifty_megabytes_is_not_looked_at() {
    let mut module = Guest::default().module();
    module.resize(50 << 20, 0);
    assert_eq!(refused(&module), "it has more than 33554432 bytes");
}

#[test]
fn another_file_than_was_pinned_is_not_looked_at() {
    let pinned = Source {
        pin: Some(&[7; 32]),
        ..source(b"")
    };
    let why = host().load(&pinned).unwrap_err();
    // SHA-256 of nothing.
    let Refusal::Digest(found) = why else {
        panic!("{why:?}");
    };
    assert_eq!(found[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    let module = Guest::default().module();
    let plugin = host().load(&source(&module)).unwrap();
    let pinned = Source {
        pin: Some(plugin.digest()),
        ..source(&module)
    };
    host().load(&pinned).unwrap();
}

#[test]
fn another_version_is_refused_with_those_that_are_spoken() {
    for version in ["2.0.0", "0.2.0"] {
        let guest = Guest {
            version,
            ..Guest::default()
        };
        let expected = format!("expected version 0.1 of probity:check/guest, found {version}");
        says(&refused(&guest.module()), &expected);
    }
    let later = Guest {
        version: "0.1.7",
        ..Guest::default()
    };
    host().load(&source(&later.module())).unwrap();
}

#[test]
fn imports_are_refused_by_name() {
    let importing = |import: &str| {
        let text = Guest::default().text();
        let text = text.replacen("(module", &format!("(module {import}"), 1);
        let mut module = wat::parse_str(text).unwrap();
        describe(&mut module, "0.1.0");
        refused(&module)
    };
    says(
        &importing(
            r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        ),
        r#"imports the function "wasi_snapshot_preview1 fd_write": expected a check without imports"#,
    );
    says(
        &importing(r#"(import "env" "memory" (memory 1))"#),
        r#"imports the memory "env memory""#,
    );
    let component = wat::parse_str(
        r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance
             (export "now" (func (result u64))))))"#,
    );
    says(
        &refused(&component.unwrap()),
        r#"imports the function "wasi:clocks/wall-clock@0.2.0 now""#,
    );
}

#[test]
fn exports_that_are_missing_are_named() {
    let empty = wat::parse_str("(module)").unwrap();
    says(&refused(&empty), "exports probity:check/guest");
    let empty = wat::parse_str("(component)").unwrap();
    says(
        &refused(&empty),
        "exports probity:check/guest, found one that does not",
    );
    let without = Guest::default().text().replace("#validate", "#valid");
    let mut without = wat::parse_str(without).unwrap();
    describe(&mut without, "0.1.0");
    says(&refused(&without), "validate");
    // Of the right name, and nothing in it.
    let hollow = r#"(component (instance $i) (export "probity:check/guest@0.1.0" (instance $i)))"#;
    says(
        &refused(&wat::parse_str(hollow).unwrap()),
        "expected the exports of probity:check/guest",
    );
}

#[test]
fn a_guest_that_breaks_before_it_says_what_it_is_is_refused() {
    let starting = |body: &str| Guest {
        fields: format!("(func $begin {body}) (start $begin)"),
        ..Guest::default()
    };
    says(
        &refused(&starting("(loop $l (br $l))").module()),
        "but it used up the fuel of an event when it starts: 2000000",
    );
    says(
        &refused(&starting("unreachable").module()),
        "but it panicked when it starts",
    );
    let describing = |describe| Guest {
        describe,
        ..Guest::default()
    };
    says(
        &refused(&describing("unreachable").module()),
        "but it panicked",
    );
    says(
        &refused(&describing("(i32.const 0x7fffff00)").module()),
        "but it answered what cannot be read",
    );
    let scribbling = Guest {
        fields: r#"(data (i32.const 65530) "0123456789")"#.into(),
        ..Guest::default()
    };
    says(&refused(&scribbling.module()), "but it was stopped");
}

#[test]
fn what_does_not_fit_into_a_slot_is_refused() {
    let large = Guest::default().text().replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 33)",
    );
    let mut large = wat::parse_str(large).unwrap();
    describe(&mut large, "0.1.0");
    says(&refused(&large), "memory");
    let wide = Guest {
        fields: "(table 2000 funcref)".into(),
        ..Guest::default()
    };
    says(&refused(&wide.module()), "table");
}
