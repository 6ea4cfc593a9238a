//! `probity wasm check`: one run of a check, with all that it was told and did.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use probity_driver::{Driver, Once};
use probity_engine::check::ModuleConfig;
use probity_engine::config::{Expression, Files, RsaAlgorithm, Signer};
use probity_engine::guest::{
    Action, Context, Description, Event, Fault, Plugin, Refusal, Session, Sink, Source, Verdict,
};
use probity_engine::threshold::{self, Kind};
use probity_engine::tls::TlsOptions;
use probity_engine::{GroupId, Outcome, Schedule, Spec};

use super::Check;
use crate::cli::waterfall::{self, printable};
use crate::files::Host;

/// Bytes of one message that are shown.
const SHOWN_BYTES: usize = 256;
/// Time for the driver to notice what it is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Exit status: the target failed.
const FAILURE: u8 = 1;
/// Exit status: the target could not be looked at.
const UNKNOWN: u8 = 3;

/// Runs a check once, and prints what happened.
///
/// # Errors
/// Why there was no run, in one sentence.
pub(super) fn main(args: &Check) -> Result<u8, String> {
    let script = Script::default();
    let spec = Arc::new(spec(args, &script)?);
    let config = probity_driver::Config {
        names: args.dns.names()?,
        workers: 1,
        ..probity_driver::Config::default()
    };
    let handle = Driver::start(config).map_err(|error| error.to_string())?;
    let (send, receive) = mpsc::channel();
    let timeout = spec.schedule.timeout();
    let once = Once {
        spec,
        timeout,
        trace: false,
    };
    let gone = "the prober has stopped";
    let asked = handle.run_once(once, move |report| {
        // Nobody waits any more if this was too late.
        let _ = send.send(report);
    });
    asked.map_err(|_| gone)?;
    let report = receive.recv_timeout(timeout.saturating_add(PATIENCE));
    let report = report.map_err(|_| gone)?;
    print!("{}", script.text());
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let now = handle.unix_time(report.finished);
    print!("{}", waterfall::render(&args.target, &report, now, colour));
    handle.shutdown(Duration::ZERO);
    Ok(match report.outcome {
        Outcome::Success | Outcome::Warning(_) => 0,
        Outcome::Failure(_) => FAILURE,
        Outcome::Unknown(_) => UNKNOWN,
    })
}

fn spec(args: &Check, script: &Script) -> Result<Spec, String> {
    let config: serde_json::Value = serde_json::from_str(&args.config)
        .map_err(|error| format!("--config: expected JSON, found {:?}: {error}", args.config))?;
    let path = args.file.display().to_string();
    let module = serde_json::json!({
        "prober": "wasm",
        "wasm": {
            "path": path,
            "class": args.class.name(),
            "config": config,
            "tls": args.tls,
            "tls_config": {"insecure_skip_verify": args.insecure_skip_verify},
        },
    });
    let module: ModuleConfig = serde_json::from_value(module).map_err(|error| error.to_string())?;
    let watched = Watched {
        host: Host::default(),
        script: script.clone(),
    };
    let module = module
        .compile(&watched)
        .map_err(|error| error.to_string())?;
    let check = module.target(&args.target, probity_spec::system_params());
    let check = check.map_err(|error| printable(&error.to_string()).into_owned())?;
    let schedule = Schedule::new(args.timeout, args.timeout, Duration::ZERO);
    Ok(Spec {
        check,
        schedule: schedule.map_err(|_| "--timeout: expected 1ms to 366 days")?,
        threshold: threshold::Config::new(Kind::Plain, 1, 1).map_err(|error| error.to_string())?,
        group: GroupId::default(),
    })
}

/// What was said, line by line: events at their time, what the check did below.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<String>>);

impl Script {
    fn event(&self, now: Duration, event: Event<'_>) {
        let what = match event {
            Event::Connected => "connected".into(),
            Event::Data(data) => format!("< {}", bytes(data)),
            Event::Secured(info) => format!("secured {} {}", info.version, info.cipher),
            Event::Timer(id) => format!("timer {id}"),
            Event::Closed(close) => format!("closed {close:?}").to_lowercase(),
        };
        let millis = now.as_secs_f64() * 1e3;
        self.line(&format!("{millis:9.3} ms  {what}"));
    }

    fn action(&self, action: &Action<'_>) {
        let what = match *action {
            Action::Send(data) => format!("> {}", bytes(data)),
            Action::StartTls => "start-tls".into(),
            Action::SetTimer(id, after) => format!("set-timer {id} {}", after.as_millis()),
            Action::Mark(phase) => format!("mark {}", printable(phase)),
            Action::Sample {
                metric,
                value,
                labels,
            } => {
                let labels = labels.iter().map(|label| format!(" {label:?}"));
                format!(
                    "sample {} {value}{}",
                    printable(metric),
                    labels.collect::<String>()
                )
            }
            Action::Log(line) => format!("log {line:?}"),
            Action::Done(verdict) => match verdict {
                Verdict::Up => "up".into(),
                Verdict::Degraded(finding, why) => {
                    format!("degraded {} {why:?}", finding.reason())
                }
                Verdict::Down(finding, why) => format!("down {} {why:?}", finding.reason()),
                Verdict::Unknown(why) => format!("unknown {why:?}"),
            },
        };
        self.line(&format!("{:14}{what}", ""));
    }

    fn line(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }

    fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

/// Bytes as a string, as far as they are shown.
fn bytes(data: &[u8]) -> String {
    let shown = &data[..data.len().min(SHOWN_BYTES)];
    let rest = match data.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} bytes"),
    };
    format!("\"{}\"{rest}", shown.escape_ascii())
}

/// The files of this machine, of which checks are watched.
struct Watched {
    host: Host,
    script: Script,
}

impl Files for Watched {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.host.read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.host.variable(name)
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        self.host.cel(source)
    }

    fn signer(&self, pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        self.host.signer(pem, algorithm)
    }

    fn check_tls(&self, options: &TlsOptions) -> Result<Vec<String>, String> {
        self.host.check_tls(options)
    }

    fn has_services(&self) -> bool {
        self.host.has_services()
    }

    fn runs_guests(&self) -> bool {
        self.host.runs_guests()
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        let inner = self.host.plugin(source)?;
        Ok(Arc::new(Recorded {
            inner,
            script: self.script.clone(),
        }))
    }
}

/// A check, or a run of it, of which everything is noted.
#[derive(Debug)]
struct Recorded<T> {
    inner: T,
    script: Script,
}

impl Plugin for Recorded<Arc<dyn Plugin>> {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn digest(&self) -> &[u8; 32] {
        self.inner.digest()
    }

    fn validate(&self, config: &str) -> Result<(), String> {
        self.inner.validate(config)
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        Ok(Box::new(Recorded {
            inner: self.inner.open(context)?,
            script: self.script.clone(),
        }))
    }
}

impl Session for Recorded<Box<dyn Session>> {
    fn on_event(
        &mut self,
        now: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        self.script.event(now, event);
        let script = &self.script;
        let mut take = |action: Action<'_>| {
            script.action(&action);
            sink.push(action)
        };
        self.inner.on_event(now, event, &mut Sink::new(&mut take))
    }

    fn take_fuel(&mut self) -> u64 {
        self.inner.take_fuel()
    }

    fn fault(&self) -> Option<Fault> {
        self.inner.fault()
    }
}
