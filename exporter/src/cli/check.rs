//! `probity check`: one run of each target now, and what happened.
//!
//! A line of `--output json` has these fields: `target`, `module`, `outcome`
//! (`success`, `warning`, `failure`, `unknown`), `reason` and `detail` (null
//! and empty for a plain success), `phase` in which the run ended,
//! `duration_seconds`, `phases_seconds` by name (of a run that was no success
//! also `phase`, with what it had taken by then), `address`, `facts` (the
//! numbers of the module's kind by metric name, with labels as in series),
//! `labels` (those of `probe_expect_info` by name), and
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
use probity_engine::config::GoDuration;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Outcome, Schedule, Spec};
use serde::Serialize;

use super::args::{Check, Output};
use super::waterfall::{self, printable};
use crate::control::{self, Source};
use crate::exposition::{Encoder, Format, LabelSet};
use crate::render::families::TAKEN;
use crate::render::spent::spent;
use crate::render::{probe, samples};

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
        names: args.dns.names().map_err(usage)?,
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
    let source = Source::asked(args.config_file.as_deref());
    let loaded = control::load(&source).map_err(|errors| errors.to_string())?;
    let file = loaded.file;
    let module = file.module(&args.module).ok_or_else(|| {
        let known: Vec<&str> = file.modules().map(|(name, _)| name).collect();
        let (name, known) = (&args.module, known.join(", "));
        format!("there is no module {name:?}: expected one of {known}")
    })?;
    let own = module.timeout().unwrap_or(Duration::MAX);
    let timeout = args.timeout.min(own);
    let schedule = Schedule::new(timeout, timeout, Duration::ZERO).map_err(|_| {
        let found = GoDuration(timeout);
        format!("--timeout: expected a duration from 1ms to 366 days, found {found}")
    })?;
    let threshold = threshold::Config::new(Kind::Plain, 1, 1).map_err(|error| error.to_string())?;
    let params = TargetParams {
        hostname: args.hostname.as_deref(),
        ..probity_spec::system_params()
    };
    let usable = module.module().ok_or_else(|| {
        let why = module.rejection().unwrap_or_default();
        format!("the module {:?} cannot be used: {why}", args.module)
    })?;
    let spec = |target: &String| {
        let check = usable.target(target, params);
        let check = check.map_err(|error| {
            let (name, target) = (&args.module, printable(target));
            let error = error.to_string();
            let error = printable(&error).into_owned();
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
            Output::Prometheus => {
                // It has no series to say it with.
                if let Some(sentence) = probe::not_made(report.outcome, &report.detail) {
                    let (target, sentence) = (printable(target), printable(&sentence));
                    eprintln!("probity check: {target}: {sentence}");
                }
                self.done.push(report);
            }
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
        probe::write_all(&mut encoder, &self.args.module, &runs)?;
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
    labels: BTreeMap<&'a str, &'a str>,
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
        let samples = report.samples.as_slice().iter();
        let samples = samples.map(|sample| (samples::series(module, sample), sample.value));
        let ended = (report.outcome, report.phase);
        let phases = spent(&report.phases, ended);
        Self {
            target,
            module,
            outcome: report.outcome.name(),
            reason: report.outcome.reason().map(|reason| reason.name()),
            detail: &report.detail,
            phase: report.phase.name(),
            duration_seconds: report.total.as_secs_f64(),
            phases_seconds: phases
                .map(|spent| (spent.phase.name(), spent.all().as_secs_f64()))
                .collect(),
            address: report.address.map(|address| address.to_string()),
            facts: facts.chain(samples).collect(),
            labels: report.labels.iter().collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use clap::Parser as _;
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpListener};

    /// Answers everybody with `answer` for as long as the test runs.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // Who only connects is gone by now.
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    fn dead_port() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    fn check(args: &[&str]) -> (Result<u8, Stopped>, String) {
        let line = ["probity", "check"].into_iter().chain(args.iter().copied());
        let Some(Command::Check(args)) = Args::try_parse_from(line).unwrap().command else {
            panic!("it is a check");
        };
        let mut out = Vec::new();
        let result = run(&args, &mut out, false);
        (result, String::from_utf8(out).unwrap())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[test]
    fn verdicts_are_in_the_order_of_the_targets() {
        let (up, busy, dead) = (server(OK), server(BUSY), dead_port());
        let targets = [up, busy, dead, up].map(|address| format!("http://{address}/"));
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let (status, text) = check(&targets);
        assert_eq!(status.unwrap(), FAILURE);
        let lines = text.lines().filter(|line| !line.starts_with(' '));
        let verdicts: Vec<&str> = lines.collect();
        assert_eq!(verdicts.len(), 4, "{text}");
        assert!(verdicts[0].starts_with(&format!("OK   {}  status 200 in ", targets[0])));
        assert!(verdicts[1].contains("http status in "), "{text}");
        assert!(
            verdicts[2].contains("connect refused in connect: "),
            "{text}"
        );
        assert!(verdicts[3].starts_with("OK   "), "{text}");
    }

    #[test]
    fn success_is_zero_and_what_cannot_be_looked_at_is_three() {
        let up = server(OK).to_string();
        assert_eq!(check(&["-m", "tcp_connect", &up]).0.unwrap(), 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        let source = "modules: {far: {prober: tcp, tcp: {source_ip_address: 192.0.2.55}}}";
        std::fs::write(&path, source).unwrap();
        let file = format!("--config.file={}", path.display());
        let (status, text) = check(&[&file, "-m", "far", &up]);
        assert_eq!(status.unwrap(), UNKNOWN, "{text}");
        assert!(text.starts_with("???? "), "{text}");
        // A failure outweighs it, whichever comes first.
        let dead = dead_port();
        let far = format!("[::1]:{}", dead.port());
        let (status, _) = check(&["-m", "tcp_connect", &far, &dead.to_string()]);
        assert_eq!(status.unwrap(), FAILURE);
    }

    #[test]
    fn mistakes_are_two_and_say_what_was_expected() {
        for (args, expected) in [
            (
                &["-m", "htpp", "x"][..],
                "no module \"htpp\": expected one of http_2xx, ",
            ),
            (
                &["-m", "tcp_connect", "nowhere"],
                "cannot check nowhere: expected host:port",
            ),
            (
                &["--config.file=/nonexistent", "x"],
                "/nonexistent: cannot read it: no such file",
            ),
            (
                &["--timeout=0s", "x"],
                "--timeout: expected a duration from 1ms to 366 days, found 0s",
            ),
        ] {
            let (result, text) = check(args);
            let stopped = result.unwrap_err();
            assert_eq!((stopped.status, text.as_str()), (USAGE, ""));
            assert!(stopped.sentence.contains(expected), "{}", stopped.sentence);
        }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let (up, dead) = (server(OK), dead_port());
        let targets = [up, dead].map(|address| format!("http://{address}/"));
        let (status, text) = check(&["-o", "json", &targets[0], &targets[1]]);
        assert_eq!(status.unwrap(), FAILURE);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["target"], targets[0].as_str());
        assert_eq!(lines[0]["outcome"], "success");
        assert_eq!(lines[0]["reason"], serde_json::Value::Null);
        assert_eq!(lines[0]["facts"]["probe_http_status_code"], 200.0);
        assert!(lines[0]["phases_seconds"]["connect"].as_f64().unwrap() > 0.0);
        assert_eq!(lines[1]["reason"], "connect_refused");
        assert_eq!(lines[1]["phase"], "connect");
        let phases = lines[1]["phases_seconds"].as_object().unwrap();
        let sum: f64 = phases.values().filter_map(|it| it.as_f64()).sum();
        let total = lines[1]["duration_seconds"].as_f64().unwrap();
        assert!(phases["connect"].as_f64() > Some(0.0), "{phases:?}");
        assert!((sum - total).abs() < 1e-9, "{phases:?} {total}");
        assert_eq!(lines[1]["address"], dead.to_string());
    }

    #[test]
    fn prometheus_has_all_targets_in_one_exposition() {
        let (up, dead) = (server(OK).to_string(), dead_port().to_string());
        let (_, text) = check(&["-m", "tcp_connect", "-o", "prometheus", &up, &dead, &up]);
        assert_eq!(text.matches("# TYPE probe_success gauge").count(), 1);
        assert_eq!(
            text.matches(&format!("probe_success{{target=\"{up}\"}} 1\n"))
                .count(),
            1
        );
        assert!(
            text.contains(&format!("probe_success{{target=\"{dead}\"}} 0\n")),
            "{text}"
        );
    }

    #[test]
    fn more_targets_than_run_at_once_all_get_their_turn() {
        let dead = dead_port().to_string();
        let targets: Vec<&str> = std::iter::repeat_n(dead.as_str(), 3 * IN_FLIGHT + 1).collect();
        let args: Vec<&str> = ["-m", "tcp_connect", "-o", "json"]
            .into_iter()
            .chain(targets)
            .collect();
        let (status, text) = check(&args);
        assert_eq!(status.unwrap(), FAILURE);
        assert_eq!(text.lines().count(), 3 * IN_FLIGHT + 1);
    }
}
