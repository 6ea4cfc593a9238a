//! The checks as modules: what `probity wasm check` says of a server, beside what the same
//! check says as Rust.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use probity_check::{Finding, Outcome, Reason, Sample};

use crate::server::requires;

/// What one run has come to, in the words of the program.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    verdict: String,
    /// Metric and labels, and the number.
    samples: Vec<(String, f64)>,
}

impl Seen {
    pub(crate) fn verdict(&self) -> &str {
        &self.verdict
    }

    /// What a check has said as Rust.
    pub(crate) fn of(outcome: &Outcome, samples: &[Sample]) -> Self {
        let samples = samples.iter().map(|sample| {
            let labels = sample.labels.iter().map(|label| format!(" {label:?}"));
            let name = format!("{}{}", sample.metric, labels.collect::<String>());
            (name, sample.value)
        });
        Self {
            verdict: verdict(outcome),
            samples: samples.collect(),
        }
    }

    /// Whether this may have been seen between those two: numbers are theirs, or in between,
    /// because servers count time and connections.
    pub(crate) fn is_between(&self, before: &Self, after: &Self) -> bool {
        let each = self.samples.iter().zip(&before.samples);
        let mut each = each.zip(&after.samples);
        [before, after]
            .iter()
            .all(|other| self.verdict == other.verdict && self.samples.len() == other.samples.len())
            && each.all(|((own, before), after)| {
                own.0 == before.0
                    && own.0 == after.0
                    && (before.1.min(after.1)..=before.1.max(after.1)).contains(&own.1)
            })
    }
}

fn verdict(outcome: &Outcome) -> String {
    let found = |Finding { reason, detail }: &Finding| {
        // Where the engine has a reason of its own it is that.
        let reason = match reason {
            Reason::Unexpected => "expect_mismatch",
            Reason::Malformed => "malformed",
            Reason::Denied => "denied",
            Reason::NotReady => "not_ready",
            Reason::ServerError => "server_error",
            Reason::Closed => "peer_closed",
            Reason::TooMuch => "answer_limit",
            Reason::TooSlow => "too_slow",
        };
        format!("{reason} {detail:?}")
    };
    match outcome {
        Outcome::Up => "up".into(),
        Outcome::Degraded(finding) => format!("degraded {}", found(finding)),
        Outcome::Down(finding) => format!("down {}", found(finding)),
        Outcome::Unknown(why) => format!("unknown {why:?}"),
    }
}

/// The modules of this check, as `build` makes them, and the program that runs them. None
/// where one of them was not built.
pub(crate) fn of(check: &str) -> Option<(PathBuf, Vec<PathBuf>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = env::var_os("PROBITY").map(PathBuf::from);
    let program = program.unwrap_or_else(|| here.join("../../target/debug/probity"));
    // The one in C is held to the same.
    let also = (check == "redis").then_some("redis-c");
    let names = [check].into_iter().chain(also);
    let modules = names.map(|name| here.join(format!("../dist/{name}.wasm")));
    let modules: Vec<PathBuf> = modules.collect();
    let missing = modules
        .iter()
        .chain([&program])
        .find(|file| !file.is_file());
    if let Some(missing) = missing {
        let missing = missing.display();
        assert!(!requires("modules"), "{missing} is not built");
        println!("skipped as a module: {missing} is not built");
        return None;
    }
    Some((program, modules))
}

/// One run of a module, with these options on top.
pub(crate) fn run(
    (program, module): (&Path, &Path),
    (cache, port): (&Path, u16),
    config: &str,
    options: &[&str],
) -> Seen {
    let mut command = Command::new(program);
    command.args(["wasm", "check"]).arg(module);
    command.args([&format!("127.0.0.1:{port}"), "--config", config]);
    command.args(options).env_remove("CACHE_DIRECTORY");
    let output = command.env("XDG_CACHE_HOME", cache).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // What the check does stands below what it is told.
    let done = text
        .lines()
        .filter_map(|line| line.strip_prefix("              "));
    let done: Vec<&str> = done.collect();
    let samples = done.iter().filter_map(|line| line.strip_prefix("sample "));
    let samples = samples.map(|sample| {
        let mut words = sample.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (metric, value, labels) = (word(), word(), word());
        let space = if labels.is_empty() { "" } else { " " };
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {text}"));
        (format!("{metric}{space}{labels}"), value)
    });
    let said = done.iter().rev().find(|line| {
        let word = line.split(' ').next().unwrap_or_default();
        ["up", "degraded", "down", "unknown"].contains(&word)
    });
    // The program says the same of the target, as long as the check has said something.
    let status = said.map(|said| match said.split(' ').next() {
        Some("up" | "degraded") => 0,
        Some("down") => 1,
        _ => 3,
    });
    let found = output.status.code();
    assert!(
        status.is_none() || found == status,
        "{found:?}: {text}{errors}"
    );
    let verdict = said.map_or_else(|| format!("none: {text}{errors}"), ToString::to_string);
    Seen {
        verdict,
        samples: samples.collect(),
    }
}
