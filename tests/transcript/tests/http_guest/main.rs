//! The engine's own HTTP check, compiled to Wasm behind the interface of checks
//! (`wasm-checks/http`), does in scripted worlds what `prober: http` does: it asks for
//! the same things at the same times, byte for byte, and has the same verdict with the
//! same sentence and the same numbers. Its reason is one of the shorter list of the
//! interface, and where that has none it is its host that says that the time or the
//! connection is over.
//!
//! Without the module the test says so and looks at nothing, unless
//! `PROBITY_REQUIRE_PEERS` insists on it, as the gate does.

mod exchange;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_engine::config::Files;
use probity_engine::guest::{Class, Limits, Plugin, Refusal, Source};
use probity_transcript::{Native, Script, http_check, play, scripts};
use probity_wasm::{Config, Host};

use self::report::Report;

/// Exchanges that are compared at least: fewer would say that worlds have changed so
/// that little is.
const LEAST: usize = 1_000;

/// A file system with one check in it.
struct Disk {
    host: Host,
    module: Vec<u8>,
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "http.wasm" => Ok(self.module.clone()),
            other => Err(format!("{other}: no such file")),
        }
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        self.host.load(source)
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    exchanges: usize,
    /// Those in which the guest was told of something in a later turn than the engine.
    late: usize,
    /// Exchanges by the engine's own reason.
    reasons: BTreeMap<String, usize>,
    native: Duration,
    guest: Duration,
}

impl Tally {
    fn transcripts(&mut self, disk: &Disk, native: &Script, guest: &Script) -> [String; 2] {
        let mut world = Native::new(native);
        let begun = Instant::now();
        let native = play(&mut world, native);
        self.native += begun.elapsed();
        let mut world = Native::with_files(guest, disk);
        let begun = Instant::now();
        let guest = play(&mut world, guest);
        self.guest += begun.elapsed();
        [native, guest]
    }

    fn compare(&mut self, native: &str, guest: &str) -> Result<(), String> {
        let (native, guest) = (entries(native), entries(guest));
        let mut native = native.iter();
        for guest in &guest {
            let mut found = native.next().ok_or("that in Wasm goes on")?;
            // A guest that waits for its turn hears all at once of what its peer says in
            // one moment, and when that has closed the connection already.
            let is_late = is_report(guest) && is_close(found);
            if is_late {
                found = native.next().ok_or("that in Wasm goes on")?;
                self.late += 1;
            }
            if !is_report(found) || !is_report(guest) {
                if found != guest {
                    return Err(format!("native {found:?}\nin Wasm {guest:?}"));
                }
                continue;
            }
            let (found, guest) = (Report::of(found), Report::of(guest));
            found.compare(&guest, is_late)?;
            self.runs += 1;
            if guest.is_of_guest() {
                self.exchanges += 1;
                let reason = found.fields["reason"].to_owned();
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
        match native.next() {
            None => Ok(()),
            Some(more) => Err(format!("that of the engine goes on: {more:?}")),
        }
    }
}

fn is_report(entry: &[&str]) -> bool {
    entry[0].contains(" report ")
}

fn is_close(entry: &[&str]) -> bool {
    entry[0].contains(" close ")
}

/// The lines of a transcript, those of a report together.
fn entries(transcript: &str) -> Vec<Vec<&str>> {
    let mut entries: Vec<Vec<&str>> = Vec::new();
    for line in transcript.lines() {
        match entries.last_mut() {
            Some(entry) if line.starts_with("  ") => entry.push(line),
            _ => entries.push(vec![line]),
        }
    }
    entries
}

#[test]
fn the_http_check_in_wasm_gives_the_transcripts_of_the_engine_itself() {
    let Some(path) = http_check() else { return };
    let disk = Disk {
        host: Host::new(&Config {
            instances: 16,
            ..Config::default()
        })
        .expect("guests can be run"),
        module: std::fs::read(path).expect("the module"),
    };
    // A host forgets what nobody uses, and to compile it takes seconds.
    let _kept = disk.host.load(&Source {
        path: "http.wasm",
        bytes: &disk.module,
        pin: None,
        class: Class::Native,
        limits: Limits::DEFAULT,
        runs_per_instance: 1,
        sessions_per_instance: 1,
    });
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    for (seed, script) in scripts().iter().enumerate() {
        for exchange in exchange::of_script(script) {
            let [native, guest] = tally.transcripts(&disk, &exchange.native, &exchange.guest);
            if let Err(why) = tally.compare(&native, &guest) {
                differences.push(format!("seed {seed}: {why}"));
            }
        }
    }
    eprintln!("{tally:?} {:?}", disk.host.stats());
    let count = differences.len();
    assert_eq!(count, 0, "{}", differences.join("\n"));
    assert!(tally.exchanges >= LEAST, "{tally:?}");
    // Who has compiled an expression has used up the turn of many.
    assert!(tally.late * 4 <= tally.exchanges, "{tally:?}");
    // Of each kind there is one, or the class of its reason was not looked at.
    for reason in [
        "",
        "http_status",
        "http_malformed",
        "body_mismatch",
        "header_mismatch",
        "body_limit",
        "body_encoding",
        "body_truncated",
        "peer_closed",
        "peer_reset",
        "timeout_transfer",
    ] {
        assert!(
            tally.reasons.contains_key(reason),
            "no {reason:?}: {tally:?}"
        );
    }
}
