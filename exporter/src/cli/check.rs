//! `probity check`: one run of each target now, and what happened.
//!
//! A line of `--output json` has these fields: `target`, `module`, `outcome`
//! (`success`, `warning`, `failure`, `unknown`), `reason` and `detail` (null
//! and empty for a plain success), `phase` in which the run ended,
//! `duration_seconds`, `phases_seconds` by name, `address`, `facts` (the
//! numbers of the module's kind by metric name, with labels as in series), and
//! `tls` (null without a handshake): `version`, `cipher`,
//! `earliest_cert_expiry` and `chain_expiry` in Unix seconds, `subject`,
//! `issuer`, `subject_alternative`, `serial`, `fingerprint_sha256`. Fields are
//! only ever added.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use probity_driver::{Driver, Handle, Once, OwnedReport};
use probity_engine::check::TargetParams;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Outcome, Schedule, Spec};
use serde::Serialize;

use super::args::{Check, Output};
use super::waterfall;
use crate::control::{self, Source};
use crate::exposition::{Encoder, Format, LabelSet};
use crate::render::families::TAKEN;
use crate::render::probe;

/// Exit status: some target failed.
const FAILURE: u8 = 1;
/// Exit status: the command line or the file is wrong.
const USAGE: u8 = 2;
/// Exit status: some target could not be looked at.
const UNKNOWN: u8 = 3;

/// Runs at once: enough to be quick, little enough not to disturb the network
/// that is being looked at.
const IN_FLIGHT: usize = 64;
/// Time for the driver to notice what it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks and prints.
pub fn main(args: &Check) -> ExitCode {
    let stdout = io::stdout();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = stdout.is_terminal() && !no_colour;
    match run(args, &mut stdout.lock(), colour) {
        Ok(status) => ExitCode::from(status),
        Err(Stopped { status, sentence }) => {
            eprintln!("probity check: {sentence}");
            ExitCode::from(status)
        }
    }
}

/// Why there are no results.
#[derive(Debug)]
struct Stopped {
    status: u8,
    sentence: String,
}

fn run(args: &Check, out: &mut impl Write, colour: bool) -> Result<u8, Stopped> {
    let usage = |sentence: String| Stopped {
        status: USAGE,
        sentence,
    };
    let unable = |sentence: String| Stopped {
        status: UNKNOWN,
        sentence,
    };
    let specs = specs(args).map_err(usage)?;
    let config = probity_driver::Config {
        workers: 1,
        ..probity_driver::Config::default()
    };
    let handle = Driver::start(config).map_err(|error| unable(error.to_string()))?;
    let mut printer = Printer {
        args,
        handle: &handle,
        colour,
        out,
        done: Vec::new(),
        worst: 0,
    };
    let result = probe_all(
        &handle,
        &specs,
        args.output == Output::Human,
        |index, report| printer.print(index, report),
    );
    let printed = match result {
        Ok(()) => printer.finish(),
        Err(error) => Err(error),
    };
    let status = printer.worst;
    handle.shutdown(Duration::ZERO);
    match printed {
        Ok(()) => Ok(status),
        // The reader has seen enough, as in `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(status),
        Err(error) => Err(unable(error.to_string())),
    }
}

/// What to run, in the order of the command line.
fn specs(args: &Check) -> Result<Vec<Arc<Spec>>, String> {
    let source = match &args.config_file {
        Some(path) => Source::File(path.clone()),
        None => Source::Defaults,
    };
    let file = control::load(&source).map_err(|errors| errors.to_string())?;
    let module = file.module(&args.module).ok_or_else(|| {
        let known: Vec<&str> = file.modules().map(|(name, _)| name).collect();
        let (name, known) = (&args.module, known.join(", "));
        format!("there is no module {name:?}: expected one of {known}")
    })?;
    let own = module.timeout().unwrap_or(Duration::MAX);
    let timeout = args.timeout.min(own);
    let schedule = Schedule::new(timeout, timeout, Duration::ZERO)
        .map_err(|_| format!("timeout must be between 1ms and 366 days, not {timeout:?}"))?;
    let threshold = threshold::Config::new(Kind::Plain, 1, 1).map_err(|error| error.to_string())?;
    let params = TargetParams {
        hostname: args.hostname.as_deref(),
    };
    let spec = |target: &String| {
        let check = module.module().target(target, params);
        let check = check.map_err(|error| {
            let (name, target) = (&args.module, waterfall::printable(target));
            let error = error.to_string();
            let error = waterfall::printable(&error).into_owned();
            format!("module {name} cannot check {target}: {error}")
        })?;
        Ok(Arc::new(Spec {
            check,
            schedule,
            threshold,
            group: GroupId::default(),
        }))
    };
    args.targets.iter().map(spec).collect()
}

/// Runs all, a few at a time, and hands over the reports in order.
fn probe_all(
    handle: &Handle,
    specs: &[Arc<Spec>],
    trace: bool,
    mut print: impl FnMut(usize, OwnedReport) -> io::Result<()>,
) -> io::Result<()> {
    let gone = || io::Error::other("the prober has stopped");
    let (send, receive) = mpsc::channel();
    let mut waiting: BTreeMap<usize, OwnedReport> = BTreeMap::new();
    let (mut started, mut printed) = (0, 0);
    let mut in_flight = 0;
    while printed < specs.len() {
        while in_flight < IN_FLIGHT
            && let Some(spec) = specs.get(started)
        {
            let send = send.clone();
            let once = Once {
                spec: Arc::clone(spec),
                timeout: spec.schedule.timeout(),
                trace,
            };
            let index = started;
            handle
                .run_once(once, move |report| {
                    // Nobody waits any more if printing has failed.
                    let _ = send.send((index, report));
                })
                .map_err(|_| gone())?;
            started += 1;
            in_flight += 1;
        }
        let longest = specs.iter().map(|spec| spec.schedule.timeout()).max();
        let longest = longest.unwrap_or_default().saturating_add(PATIENCE);
        let (index, report) = receive.recv_timeout(longest).map_err(|_| gone())?;
        in_flight -= 1;
        waiting.insert(index, report);
        while let Some(report) = waiting.remove(&printed) {
            print(printed, report)?;
            printed += 1;
        }
    }
    Ok(())
}

/// Prints results in the order of the command line.
struct Printer<'a, W> {
    args: &'a Check,
    handle: &'a Handle,
    colour: bool,
    out: &'a mut W,
    /// For the form that needs all of them at once.
    done: Vec<OwnedReport>,
    /// The exit status so far.
    worst: u8,
}

impl<W: Write> Printer<'_, W> {
    fn print(&mut self, index: usize, report: OwnedReport) -> io::Result<()> {
        self.worst = match (report.outcome, self.worst) {
            (Outcome::Failure(_), _) | (_, FAILURE) => FAILURE,
            (Outcome::Unknown(_), _) => UNKNOWN,
            (Outcome::Success | Outcome::Warning(_), worst) => worst,
        };
        let target = &self.args.targets[index];
        match self.args.output {
            Output::Human => {
                let now = self.handle.unix_time(report.finished);
                let text = waterfall::render(target, &report, now, self.colour);
                self.out.write_all(text.as_bytes())?;
            }
            Output::Json => {
                let line = Line::new(target, &self.args.module, &report);
                serde_json::to_writer(&mut *self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
            Output::Prometheus => self.done.push(report),
        }
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.args.output != Output::Prometheus {
            return Ok(());
        }
        let mut runs = BTreeMap::new();
        for (target, report) in self.args.targets.iter().zip(&self.done) {
            let labels = LabelSet::new([("target", target.as_str())], &TAKEN);
            // The same target twice would be the same series twice.
            runs.insert(target, (labels.unwrap_or_default(), report));
        }
        let runs: Vec<_> = runs.into_values().collect();
        let mut encoder = Encoder::new(Format::Text004, &mut *self.out);
        probe::write_all(&mut encoder, &runs)?;
        encoder.finish()?.flush()
    }
}

/// One result as JSON; see the module's documentation.
#[derive(Serialize)]
struct Line<'a> {
    target: &'a str,
    module: &'a str,
    outcome: &'static str,
    reason: Option<&'static str>,
    detail: &'a str,
    phase: &'static str,
    duration_seconds: f64,
    phases_seconds: BTreeMap<&'static str, f64>,
    address: Option<String>,
    facts: BTreeMap<String, f64>,
    tls: Option<Tls<'a>>,
}

#[derive(Serialize)]
struct Tls<'a> {
    version: &'a str,
    cipher: &'a str,
    earliest_cert_expiry: Option<i64>,
    chain_expiry: Option<i64>,
    subject: Option<&'a str>,
    issuer: Option<&'a str>,
    subject_alternative: Option<&'a str>,
    serial: Option<&'a str>,
    fingerprint_sha256: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(target: &'a str, module: &'a str, report: &'a OwnedReport) -> Self {
        let facts = report.spec.check.facts().iter().filter_map(|fact| {
            let value = fact.read(&report.facts, &report.phases)?;
            let name = match fact.label {
                Some((label, text)) => format!("{}{{{label}=\"{text}\"}}", fact.name),
                None => fact.name.to_owned(),
            };
            Some((name, value))
        });
        let phases = report.phases.iter();
        Self {
            target,
            module,
            outcome: report.outcome.name(),
            reason: report.outcome.reason().map(|reason| reason.name()),
            detail: &report.detail,
            phase: report.phase.name(),
            duration_seconds: report.total.as_secs_f64(),
            phases_seconds: phases
                .map(|(phase, spent)| (phase.name(), spent.as_secs_f64()))
                .collect(),
            address: report.address.map(|address| address.to_string()),
            facts: facts.collect(),
            tls: report.tls.as_deref().map(|info| {
                let chain = info.chain.as_deref();
                Tls {
                    version: info.version,
                    cipher: info.cipher,
                    earliest_cert_expiry: chain.map(|chain| chain.earliest_expiry),
                    chain_expiry: chain.and_then(|chain| chain.chain_expiry),
                    subject: chain.map(|chain| &*chain.subject),
                    issuer: chain.map(|chain| &*chain.issuer),
                    subject_alternative: chain.map(|chain| &*chain.subject_alternative),
                    serial: chain.map(|chain| &*chain.serial),
                    fingerprint_sha256: chain.map(|chain| &*chain.fingerprint_sha256),
                }
            }),
        }
    }
}
