//! `http`: the HTTP check of the engine behind the interface of checks in Wasm.
//!
//! An engine of its own makes one run of `prober: http`. What that asks for is done
//! with the one connection that the host has made: a name has the address that it
//! goes to, dialling and securing have been done, what is to be sent is sent. Its
//! report becomes the verdict, and its numbers the metrics.
//!
//! What takes a second connection, this check has not: redirects are judged and not
//! followed, there is no proxy, and no token is fetched.

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod config;

use alloc::sync::Arc;
use core::net::IpAddr;
use core::time::Duration;

use probity_check::prelude::*;
use probity_engine::check::{CheckSpec, KINDS, TABLES};
use probity_engine::fact::Fact;
use probity_engine::resolve::ResolverConfig;
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Closed, Conn, Engine, GroupId, Input, Instant, Outcome as Found, Output, Reason as Why, Report,
    RunId, Schedule, Spec, tls,
};

pub use config::Config;

/// The timer for the end of the run: the host has it come when that is there.
const END: u32 = 0;
/// The timer for what was too much for one event.
const MORE: u32 = 1;
/// Timers of the engine come so much too late at most.
const TICK: Duration = Duration::from_millis(2);
/// The only connection.
const CONN: Conn = Conn(0);

/// One run.
#[derive(Debug)]
pub struct Http {
    /// An engine that makes one run, if something can be asked of the target.
    engine: Result<Box<Engine>, String>,
    spec: Option<CheckSpec>,
    run: Option<RunId>,
    address: Option<IpAddr>,
    tls: Option<Arc<tls::TlsInfo>>,
    timeout: Duration,
    /// When it is over.
    end: Duration,
}

/// What the world answers to a question of the engine.
enum Answer {
    Resolved,
    Opened,
    Secured(Arc<tls::TlsInfo>),
    Flushed,
}

impl Check for Http {
    type Config = Config;

    fn describe() -> Description {
        let description = Description::new("http", env!("CARGO_PKG_VERSION")).port(80);
        facts().fold(description, |description, fact| {
            description.gauge(metric(fact), &[], fact.help)
        })
    }

    fn validate(config: &Config) -> Result<(), String> {
        config.module().map(|_| ())
    }

    fn open(config: Config, context: &Context) -> Self {
        let target = &context.target;
        let module = config.module();
        let secured = context.tls.is_some();
        let spec = module.and_then(|it| config.spec(&it, &target.host, target.port, secured));
        let (spec, engine) = match spec {
            Ok(spec) => (Some(spec), Ok(engine(context.seed))),
            Err(why) => (None, Err(why)),
        };
        Self {
            engine,
            spec,
            run: None,
            address: target.address.parse().ok(),
            tls: context.tls.as_ref().map(tls_info),
            timeout: Duration::from_millis(context.timeout_ms.into()),
            end: Duration::ZERO,
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        self.end = out.now() + self.timeout;
        out.set_timer(END, self.timeout);
        let engine = match &mut self.engine {
            Ok(engine) => engine,
            Err(why) => {
                out.unknown(why.as_str());
                return Ok(());
            }
        };
        let Some(check) = self.spec.take() else {
            return Ok(());
        };
        let spec = once(check, self.timeout);
        let run = spec.and_then(|spec| {
            // Its clock stands at the beginning of the run still.
            engine.handle_timeout(at(out.now()));
            let run = engine.run_once(Arc::new(spec), self.timeout, false, at(out.now()));
            run.map_err(|full| full.to_string())
        });
        match run {
            Ok(run) => self.run = Some(run),
            Err(why) => out.unknown(why),
        }
        self.go_on(out)
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.tell(Input::Data(CONN, data), out)
    }

    fn on_timer(&mut self, id: u32, out: &mut Out) -> Step {
        let now = out.now();
        // The engine's own timer for the end is a little coarse.
        let now = if id == END {
            now.max(self.end) + TICK
        } else {
            now
        };
        if let Ok(engine) = &mut self.engine {
            engine.handle_timeout(at(now));
        }
        self.go_on(out)
    }

    fn on_closed(&mut self, close: Close, out: &mut Out) -> Step {
        let why = match close {
            Close::End => Closed::End,
            Close::Reset => Closed::Reset,
            Close::Lost => Closed::Other("the connection was lost".into()),
        };
        self.tell(Input::Closed(CONN, why), out)
    }
}

impl Http {
    /// Tells the run of something.
    fn tell(&mut self, input: Input<'_>, out: &mut Out) -> Step {
        let now = at(out.now());
        if let (Ok(engine), Some(run)) = (&mut self.engine, self.run) {
            // Each event is a turn of its own.
            engine.handle_timeout(now);
            engine.handle_input(run, input, now);
        }
        self.go_on(out)
    }

    /// Does what the engine asks for, until it waits or has a report.
    fn go_on(&mut self, out: &mut Out) -> Step {
        let (Ok(engine), Some(run)) = (&mut self.engine, self.run) else {
            return Ok(());
        };
        let now = at(out.now());
        let mut sent = Vec::new();
        let mut answers = Vec::new();
        loop {
            while let Some((_, output)) = engine.poll_output() {
                match output {
                    Output::Resolve(..) => answers.push(Answer::Resolved),
                    Output::Open(CONN, _) => answers.push(Answer::Opened),
                    Output::Open(..) => {
                        out.unknown(
                            "this takes a second connection, which a check in Wasm has not",
                        );
                        return Ok(());
                    }
                    Output::Secure(..) => answers.extend(self.tls.clone().map(Answer::Secured)),
                    Output::Send(_, bytes) => sent.extend_from_slice(&bytes),
                    Output::Flush(_) => answers.push(Answer::Flushed),
                    // The host closes when the run is over.
                    Output::Close(_) => {}
                    Output::Report(report) => {
                        if !sent.is_empty() {
                            out.send(sent);
                        }
                        return told(&report, out);
                    }
                }
            }
            if answers.is_empty() {
                break;
            }
            for answer in answers.drain(..) {
                let input = match &answer {
                    Answer::Resolved => Input::Resolved(Ok(self.address.as_slice())),
                    Answer::Opened => Input::Opened(CONN),
                    Answer::Secured(info) => Input::Secured(CONN, info),
                    Answer::Flushed => Input::Flushed(CONN),
                };
                engine.handle_input(run, input, now);
            }
        }
        if !sent.is_empty() {
            out.send(sent);
        }
        // What is too much for one turn of the engine is for one call, too.
        if engine.poll_timeout().is_some_and(|next| next <= now) {
            out.set_timer(MORE, Duration::ZERO);
        }
        Ok(())
    }
}

fn at(now: Duration) -> Instant {
    Instant::ZERO + now
}

/// The engine of one run.
fn engine(seed: u64) -> Box<Engine> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = probity_engine::Config {
        // The only name that it asks for is the target's, and has an address.
        resolver: ResolverConfig::delegated(),
        seed: bytes,
        ..probity_engine::Config::default()
    };
    Box::new(Engine::new(config, Instant::ZERO))
}

/// A run that is not repeated.
fn once(check: CheckSpec, timeout: Duration) -> Result<Spec, String> {
    let interval = timeout.max(Duration::from_secs(1));
    let schedule = Schedule::new(interval, timeout, Duration::ZERO);
    let threshold = threshold::Config::new(Kind::Plain, 1, 1);
    Ok(Spec {
        check,
        schedule: schedule.map_err(|error| error.to_string())?,
        threshold: threshold.map_err(|error| error.to_string())?,
        group: GroupId(0),
    })
}

/// What of a handshake bears on the answer: the protocol that it chose. The rest is
/// the host's to report.
fn tls_info(info: &TlsInfo) -> Arc<tls::TlsInfo> {
    Arc::new(tls::TlsInfo {
        version: "",
        cipher: "",
        alpn: info.alpn.as_deref().map(Into::into),
        chain: None,
    })
}

/// The numbers of the engine's check that are its own: those of dialling, and the
/// time of each phase, the host has itself.
fn facts() -> impl Iterator<Item = &'static Fact> {
    let kind = KINDS.iter().position(|kind| *kind == "http");
    let facts = kind.map_or(&[][..], |kind| TABLES[kind]);
    facts
        .iter()
        .filter(|fact| fact.label.is_none() && !metric(fact).starts_with("probe_"))
}

/// What a number is called here: without what `probity_check_MODULE_` stands for.
/// Others keep the name that they have: there is no CEL here that could fail.
fn metric(fact: &Fact) -> &'static str {
    let own = match fact.name {
        "probe_failed_due_to_regex" => fact.name.strip_prefix("probe_"),
        name => name.strip_prefix("probe_http_"),
    };
    own.unwrap_or(fact.name)
}

/// Passes on what the engine has found.
fn told(report: &Report<'_>, out: &mut Out) -> Step {
    for fact in facts() {
        if let Some(value) = fact.read(report.facts, &report.phases) {
            out.sample(metric(fact), value, &[]);
        }
    }
    match report.outcome {
        Found::Success => out.up(),
        Found::Warning(why) => out.degraded(class(why), report.detail),
        Found::Failure(why) if is_for_the_host(why, report) => {}
        Found::Failure(why) => out.down(class(why), report.detail),
        Found::Unknown(_) => out.unknown(report.detail),
    }
    Ok(())
}

/// Whether a failure is one that the host sees as well: that the time is over, or the
/// connection. It knows more of it.
fn is_for_the_host(why: Why, report: &Report<'_>) -> bool {
    why == report.phase.timeout() || matches!(why, Why::PeerClosed | Why::PeerReset)
}

/// The class of a reason: there are fewer in the interface.
const fn class(why: Why) -> Reason {
    match why {
        Why::HttpMalformed => Reason::Malformed,
        Why::HttpHeaderLimit | Why::BodyLimit => Reason::TooMuch,
        Why::BodyTruncated => Reason::Closed,
        _ => Reason::Unexpected,
    }
}

probity_check::export!(Http);

#[cfg(test)]
mod tests;
