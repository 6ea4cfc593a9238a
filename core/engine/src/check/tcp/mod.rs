//! `tcp`: a connection can be made, secured if asked for, and what the peer
//! says on it is what was expected.
//!
//! ```text
//!          connected (and secured)             everything was said
//! Dialing ------------------------> Talking ------------------------> success
//!                                 |   ^   |   ^
//!                        starttls v   |   v   | the system has taken it
//!                               Securing Sending
//! ```
//! A dialogue is a list of exchanges: expect a line or bytes, send something,
//! secure the connection, each of them optional. What the peer does once the
//! last one is over is not our business: closing at once is still a success, as
//! in the kubelet. But nothing follows what is sent before the system has taken it,
//! as with blackbox_exporter, whose writes block: no success rests on bytes that
//! never left.
//!
//! Lines, expansion and which series exist when are blackbox_exporter's.
//! Differences, all on purpose:
//! - lines and expected bytes are read from one buffer, so that neither loses
//!   what came with the other, and expected bytes may arrive in pieces;
//! - several entries may have `labels`: all are on one series;
//! - a connection can be secured once: a second handshake is refused when the
//!   configuration is read;
//! - `send_bytes` sends without adding a line feed;
//! - a value of a label is cut at
//!   [`MAX_INFO_VALUE_BYTES`](crate::limits::MAX_INFO_VALUE_BYTES), those of a run
//!   together at [`MAX_INFO_BYTES`](crate::limits::MAX_INFO_BYTES); a dialogue
//!   ends at [`MAX_DIALOGUE_BYTES`](crate::limits::MAX_DIALOGUE_BYTES).

mod config;
mod dialogue;
mod inbox;
mod target;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub(crate) use config::check_dialogue;
pub use config::{Config, Label, Module, QueryResponse};

use self::config::Secure;
use self::dialogue::{Dialogue, Next, Sending, Waiting};
pub(crate) use self::target::{NO_ZONES, host_and_port, host_to_look_up};
use super::cx::Cx;
use super::dial::{self, Addresses, Destination, Dial};
use super::{Check, Kind, TargetError, TargetParams};
use crate::config::{ConfigError, Files};
use crate::fact::Fact;
use crate::io::{Closed, Families, Input};
use crate::outcome::{Outcome, Phase, Reason};
use crate::tls::{TlsOptions, TlsParams};

const REGEX_FAILED: usize = dial::FREE;
const BYTES_FAILED: usize = dial::FREE + 1;

/// One target of a `tcp` module.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    module: Arc<Module>,
    host: Box<str>,
    port: u16,
    /// Name to verify, if it is not the host.
    server_name: Option<Box<str>>,
}

/// A run of the `tcp` check.
#[derive(Debug)]
pub(crate) struct Tcp {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Resolving, connecting, securing.
    Dialing(Dial),
    /// Afterwards.
    Connected(Dialogue, Doing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waiting for what is expected next.
    Talking,
    /// In the handshake that a `starttls` asked for.
    Securing,
    /// Waiting until the system has taken what was said.
    Sending,
}

impl Kind for Tcp {
    const FACTS: &'static [Fact] = &[
        dial::FACTS[0],
        dial::FACTS[1],
        dial::FACTS[2],
        Fact::plain(
            "probe_failed_due_to_regex",
            "Indicates if probe failed due to regex",
            REGEX_FAILED,
        ),
        Fact::plain(
            "probe_failed_due_to_bytes",
            "Indicates if probe failed due to bytes",
            BYTES_FAILED,
        ),
        Fact::labels("probe_expect_info", "Explicit content matched"),
    ];

    type Config = Config;
    type Module = Module;
    type Spec = Spec;

    fn module(config: &Config, files: &dyn Files) -> Result<Module, ConfigError> {
        Module::new(config, files)
    }

    fn warnings(config: &Config) -> Vec<ConfigError> {
        let tls = config.tls_config.warnings().into_iter();
        tls.map(|warning| warning.within("tls_config")).collect()
    }

    /// `host:port`, an IPv6 address in brackets.
    fn target(
        module: &Arc<Module>,
        target: &str,
        params: TargetParams<'_>,
    ) -> Result<Spec, TargetError> {
        let (host, port) = host_and_port(target, params)?;
        let configured = Some(&*module.server_name).filter(|name| !name.is_empty());
        Ok(Spec {
            module: Arc::clone(module),
            host: host.into(),
            port,
            server_name: configured.or(params.hostname).map(Into::into),
        })
    }

    fn lookup<'a>(module: &Module, target: &'a str) -> Option<(&'a str, Families)> {
        Some((host_to_look_up(target)?, module.families))
    }

    fn tls(module: &Module) -> Option<&Arc<TlsOptions>> {
        module.tls()
    }

    fn module_of(spec: &Spec) -> &Arc<Module> {
        &spec.module
    }

    fn request(_: &Spec) -> &[u8] {
        &[]
    }
}

impl Spec {
    fn destination(&self) -> Destination<'_> {
        Destination {
            host: &self.host,
            port: self.port,
            addresses: Addresses::One(self.module.families),
            source: self.module.source,
            via: None,
            secure: match &self.module.secure {
                Secure::AtOnce(options) => Some(self.params(options)),
                Secure::Never | Secure::Later(_) => None,
            },
        }
    }

    fn params<'a>(&'a self, options: &'a Arc<TlsOptions>) -> TlsParams<'a> {
        TlsParams {
            server_name: self.server_name.as_deref().unwrap_or(&self.host),
            options,
        }
    }
}

impl Check for Tcp {
    type Spec = Spec;

    fn new() -> Self {
        Self {
            state: State::Dialing(Dial::Idle),
        }
    }

    fn on(&mut self, spec: &Spec, input: Input<'_>, cx: &mut Cx<'_>) {
        let (dialogue, doing) = match &mut self.state {
            State::Connected(dialogue, doing) => (dialogue, *doing),
            State::Dialing(dial) => {
                if let Input::Start = input {
                    dial.start(spec.destination(), cx);
                } else if let Some(conn) = dial.on(spec.destination(), &input, cx) {
                    cx.set(REGEX_FAILED, 0.0);
                    cx.set(BYTES_FAILED, 0.0);
                    self.state = State::Connected(Dialogue::new(conn), Doing::Talking);
                    self.go_on(spec, cx);
                }
                return;
            }
        };
        match (doing, input) {
            (Doing::Talking | Doing::Sending, Input::Data(_, data)) => {
                if cx.core.phase == Phase::Processing && !data.is_empty() {
                    cx.begin(Phase::Transfer);
                }
                dialogue.put(data);
                if doing == Doing::Sending {
                    return;
                }
            }
            (Doing::Sending, Input::Flushed(_)) => {}
            // While it sends, this was told before it was asked to: what cannot be
            // sent any more is no end.
            (Doing::Talking | Doing::Sending, Input::Closed(_, Closed::End)) => dialogue.end(),
            (Doing::Talking, Input::Closed(_, why)) => {
                let waiting = Waiting(dialogue, &spec.module.exchanges);
                return dialogue.broken_off(&why, &waiting, cx);
            }
            (Doing::Sending, Input::Closed(_, why)) => {
                return dialogue.broken_off(&why, &Sending(dialogue), cx);
            }
            (Doing::Securing, Input::Secured(_, info)) => {
                cx.trace(format_args!(
                    "secured with {} {}",
                    info.version, info.cipher
                ));
                cx.begin(Phase::Processing);
                dialogue.secured();
            }
            (Doing::Securing, Input::Closed(_, why)) => return dial::not_secured(&why, cx),
            // What comes unencrypted while the connection is being secured is
            // nobody's.
            _ => return,
        }
        self.go_on(spec, cx);
    }

    fn waits_for(&self, spec: &Spec, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Connected(dialogue, Doing::Talking) => {
                write!(f, "{}", Waiting(dialogue, &spec.module.exchanges))
            }
            State::Connected(dialogue, Doing::Sending) => write!(f, "{}", Sending(dialogue)),
            State::Connected(_, Doing::Securing) | State::Dialing(_) => Ok(()),
        }
    }
}

impl Tcp {
    /// Says and hears what can be, until there is something to wait for.
    fn go_on(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        let State::Connected(dialogue, doing) = &mut self.state else {
            return;
        };
        let module = &*spec.module;
        let next = match core::mem::replace(doing, Doing::Talking) {
            Doing::Sending => dialogue.sent(&module.exchanges, cx),
            Doing::Talking | Doing::Securing => dialogue.go_on(&module.exchanges, cx),
        };
        match (next, module.tls()) {
            (Next::Wait | Next::Failed, _) => {}
            (Next::Flush, _) => {
                cx.flush(dialogue.conn());
                *doing = Doing::Sending;
            }
            (Next::Secure, Some(_)) if dialogue.has_ended() => {
                dial::not_secured(&Closed::End, cx);
            }
            (Next::Secure, Some(options)) => {
                let params = spec.params(options);
                cx.begin(Phase::Tls);
                cx.trace(format_args!("starting TLS with {}", params.server_name));
                cx.secure(dialogue.conn(), params);
                *doing = Doing::Securing;
            }
            (Next::Over, _) if module.exchanges.is_empty() => {
                cx.finish(Outcome::Success, format_args!(""));
            }
            (Next::Over, _) => cx.succeed(),
            // A module with starttls has options.
            (Next::Secure, None) => cx.finish(
                Outcome::Unknown(Reason::Internal),
                format_args!("nothing says how to secure the connection"),
            ),
        }
    }
}
