//! Dependencies point one way.

use std::collections::BTreeSet;

use crate::workspace::PACKAGES;

/// What of the workspace a package may depend on. A package that is not here
/// may not be there: whoever adds one says where it stands.
const ARROWS: &[(&str, &[&str])] = &[
    ("probity-engine", &[]),
    ("probity-tls", &["probity-engine"]),
    ("probity-cel", &["probity-engine"]),
    ("probity-spec", &["probity-cel", "probity-engine"]),
    ("probity-driver", &["probity-engine", "probity-tls"]),
    ("probity-wasm", &["probity-engine"]),
    (
        "probity-ffi",
        &[
            "probity-driver",
            "probity-engine",
            "probity-spec",
            "probity-tls",
        ],
    ),
    (
        "probity",
        &[
            "probity-driver",
            "probity-engine",
            "probity-spec",
            "probity-tls",
            "probity-wasm",
            // Of the other workspace, for `probity wasm test`.
            "probity-check-transcript",
        ],
    ),
    ("probity-simulator", &["probity-engine"]),
    (
        "probity-transcript",
        &["probity-engine", "probity-simulator", "probity-spec"],
    ),
    // These look from outside, and nobody looks at them.
    ("probity-tests", ANYTHING),
    ("probity-benches", ANYTHING),
    ("probity-cost", ANYTHING),
    ("probity-load", ANYTHING),
];

const ANYTHING: &[&str] = &["*"];

/// Dependencies from outside that only some packages may have, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    // The program has them for the servers that `probity demo` probes, and
    // socket2 also for `TCP_USER_TIMEOUT` of its pages (`http/server.rs`).
    (
        "mio",
        &["probity-driver", "probity"],
        "sockets belong to the driver",
    ),
    (
        "socket2",
        &["probity-driver", "probity"],
        "sockets belong to the driver",
    ),
    (
        "libc",
        &["probity-driver", "probity-ffi"],
        "the system belongs to the driver",
    ),
    (
        "cel",
        &["probity-cel"],
        "the engine knows expressions by a trait",
    ),
    ("tokio", &["probity"], "the data plane is not async"),
    ("axum", &["probity"], "the data plane serves nobody"),
    ("hyper", &["probity"], "the data plane serves nobody"),
    // The program has it for one thing: its own pages (`http/guard`).
    ("rustls", &["probity-tls", "probity"], "TLS is one layer"),
    ("wasmtime", &["probity-wasm"], "guests live in one place"),
];

/// Looking from outside, these may use anything.
const OUTSIDE: &[&str] = &[
    "probity-tests",
    "probity-benches",
    "probity-cost",
    "probity-load",
];

#[test]
fn packages_of_the_workspace_depend_on_each_other_as_drawn() {
    let ours: BTreeSet<&str> = PACKAGES.keys().map(String::as_str).collect();
    assert!(
        ours.contains("probity-engine"),
        "the workspace was read: {ours:?}"
    );
    let mut wrong = Vec::new();
    for (name, package) in PACKAGES.iter() {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            wrong.push(format!(
                "{name} is not in the list of packages: add it to ARROWS"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let dependency = dependency.as_str();
            let known = ours.contains(dependency) || dependency.starts_with("probity");
            if known && *allowed != ANYTHING && !allowed.contains(&dependency) {
                wrong.push(format!("{name} may not depend on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_dependencies_are_reserved() {
    let mut wrong = Vec::new();
    for (name, package) in PACKAGES.iter() {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        for (dependency, owners, why) in RESERVED {
            let has = package.dependencies.iter().any(|it| it == dependency);
            if has && !owners.contains(&name.as_str()) {
                wrong.push(format!("{name} may not depend on {dependency}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
