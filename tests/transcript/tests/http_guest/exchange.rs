//! Scripts of one target each, for `prober: http` and for the same check in Wasm.

use probity_engine::check::http;
use probity_spec::{File, WithoutFiles};
use probity_transcript::{Command, Script, Target, What};
use serde_json::{Map, Value, json};

/// Name of the module in both.
const MODULE: &str = "web";
/// How often a target is asked: peers have up to six plans, of which the last goes on
/// for ever.
const RUNS: u64 = 7;
/// From one run to the next: no timeout is longer.
const INTERVAL: u64 = 5_000_000_000;

/// What compiling the expressions of a module takes, once for every run.
const FUEL_PER_EVENT: u64 = 20_000_000;
const FUEL_PER_RUN: u64 = 150_000_000;

/// What `prober: http` has and the check in Wasm has not, as the module that runs it
/// has it.
const OF_THE_HOST: &[&str] = &["preferred_ip_protocol", "ip_protocol_fallback"];

/// One target as both see it. All else is the same.
pub(crate) struct Exchange {
    pub(crate) native: Script,
    pub(crate) guest: Script,
}

/// The targets of a script that the check in Wasm can have, too. Not those of which
/// CEL looks at the answer.
pub(crate) fn of_script(script: &Script) -> Vec<Exchange> {
    let file = File::parse("script", &script.config, &WithoutFiles).expect("a valid file");
    let targets = script.commands.iter().filter_map(|it| match &it.what {
        What::Add { target } | What::Run { target } => Some(target),
        _ => None,
    });
    let exchange = |target: &Target| {
        let config = file.module(&target.module)?.config();
        let section = config.http.clone().unwrap_or_default();
        let is_http = config.prober == "http" && !target.target.starts_with("ftp");
        let looks_with_cel = section.fail_if_body_json_not_matches_cel.is_some();
        (is_http && !looks_with_cel).then(|| Exchange::new(script, target, section))
    };
    targets.filter_map(exchange).collect()
}

impl Exchange {
    fn new(script: &Script, target: &Target, section: http::Config) -> Self {
        let section = http::Config {
            // What takes a second connection, and what is not offered.
            follow_redirects: false,
            enable_http2: false,
            ..section
        };
        let section = serde_json::to_value(section).expect("plain data");
        let (scheme, rest) = target.target.split_once("://").expect("a URL");
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let wasm = wasm(&section, path, &target.hostname, scheme == "https");
        Self {
            native: played(script, target, &json!({"prober": "http", "http": section})),
            guest: played(
                script,
                &Target {
                    target: authority.into(),
                    ..target.clone()
                },
                &json!({"prober": "wasm", "wasm": wasm}),
            ),
        }
    }
}

/// The section `wasm` that does what the section `http` does.
fn wasm(section: &Value, path: &str, hostname: &str, tls: bool) -> Value {
    let fields = section.as_object().expect("a section");
    let own = |name: &str| !OF_THE_HOST.contains(&name) && !NOT_OF_GUESTS.contains(&name);
    let own = fields.iter().filter(|(name, _)| own(name));
    let mut config: Map<String, Value> = own.map(|(name, it)| (name.clone(), it.clone())).collect();
    config.insert("path".into(), path.into());
    if !hostname.is_empty() {
        let headers = config.entry("headers").or_insert_with(|| json!({}));
        headers["Host"] = hostname.into();
    }
    let limits = json!({"fuel_per_event": FUEL_PER_EVENT, "fuel_per_run": FUEL_PER_RUN});
    let mut wasm = json!({"path": "http.wasm", "config": config, "tls": tls, "limits": limits});
    for name in OF_THE_HOST {
        if let Some(value) = fields.get(*name) {
            wasm[*name] = value.clone();
        }
    }
    wasm
}

/// Fields that are written also if they say what is usual, and that the check has not.
const NOT_OF_GUESTS: &[&str] = &["follow_redirects", "enable_http2"];

/// A script in which one target is asked several times, and nothing else happens.
fn played(script: &Script, target: &Target, module: &Value) -> Script {
    let run = |number| Command {
        at: number * INTERVAL,
        what: What::Run {
            target: Target {
                module: MODULE.into(),
                ..target.clone()
            },
        },
    };
    Script {
        config: json!({"modules": {MODULE: module}}).to_string(),
        in_flight: 0,
        starts_per_destination: 0,
        until: RUNS * INTERVAL,
        commands: (0..RUNS).map(run).collect(),
        ..script.clone()
    }
}
