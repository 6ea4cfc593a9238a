//! `wasm`: a check that somebody else wrote, for a host that runs it
//! ([`guest`]).
//!
//! ```text
//!          connected (and secured)          a session was opened
//! Dialing ------------------------> Waiting ---------------------> Talking -> its verdict
//! ```
//! The guest begins when the connection is up, so that a target that cannot be
//! reached costs no instance. While there is no room for one the run waits, and what
//! the peer says meanwhile is kept; that time is ours. A script is called elsewhere, where
//! it keeps nobody waiting, and the run goes on with its answer. Every fault of a guest is
//! `Unknown`, and after [`FAULTS_IN_A_ROW`] of them the module is left alone for
//! a while.

mod call;
mod limits;
mod talk;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use self::call::{Begin, Call};
pub use self::limits::ConfigLimits;
use self::talk::Talk;
use super::cx::Cx;
use super::dial::{self, Addresses, Destination, Dial};
use super::tcp::{host_and_port, host_to_look_up};
use super::{Check, Kind, TargetError, TargetParams};
use crate::config::{self, ConfigError, Files, TlsConfig, is_default};
use crate::fact::{Fact, Metric, MetricKind};
use crate::guest::{
    self, Class, Close, Fault, FaultKind, Limits, MAX_SESSIONS, Plugin, Refusal, Source, sentence,
};
use crate::id::Conn;
use crate::io::{Closed, Families, Input};
use crate::outcome::{Outcome, Reason};
use crate::time::{Instant, nanos};
use crate::tls::{TlsOptions, TlsParams};

/// Faults of one module, with no verdict between them, after which it is left
/// alone: for a second, and twice as long each time, up to [`LONGEST_BACKOFF`].
pub const FAULTS_IN_A_ROW: u32 = 5;
/// See [`FAULTS_IN_A_ROW`].
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How often a run that waits for room asks again.
const RETRY: Duration = Duration::from_millis(10);
/// Bytes of the peer that such a run keeps.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// The `wasm` section of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file: a component, or a core module with the description of its world.
    pub path: String,
    /// SHA-256 of the file in hex: nothing else is run.
    #[serde(skip_serializing_if = "is_default")]
    pub sha256: String,
    /// `native` (the default) or `script`.
    #[serde(skip_serializing_if = "is_default")]
    pub class: String,
    /// What the check is told.
    #[serde(skip_serializing_if = "is_default")]
    pub config: Options,
    /// What a run may take.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: ConfigLimits,
    /// Runs that an instance serves in all.
    #[serde(skip_serializing_if = "is_one")]
    pub runs_per_instance: u32,
    /// Runs that it serves at once.
    #[serde(skip_serializing_if = "is_one")]
    pub sessions_per_instance: u32,
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Source address of connections.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "config::address"
    )]
    pub source_ip_address: Option<IpAddr>,
    /// Whether to perform a TLS handshake before the check begins.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: bool,
    /// How, then or when the check asks for it.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: String::new(),
            sha256: String::new(),
            class: String::new(),
            config: Options::default(),
            limits: ConfigLimits::default(),
            runs_per_instance: 1,
            sessions_per_instance: 1,
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            tls: false,
            tls_config: TlsConfig::default(),
        }
    }
}

/// The options of a check: any value, which the check gets as JSON text. Which of
/// them are secret only the check knows, so that texts and numbers are never shown.
#[derive(Clone, PartialEq)]
pub struct Options(Value);

impl Default for Options {
    fn default() -> Self {
        Self(Value::Object(serde_json::Map::new()))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::default(),
            value => Self(value),
        })
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn hidden(value: &Value) -> Value {
            match value {
                Value::Null | Value::Bool(_) => value.clone(),
                Value::Number(_) | Value::String(_) => Value::from("<secret>"),
                Value::Array(items) => items.iter().map(hidden).collect(),
                Value::Object(fields) => {
                    let fields = fields.iter();
                    fields
                        .map(|(name, it)| (name.clone(), hidden(it)))
                        .collect()
                }
            }
        }
        hidden(&self.0).serialize(serializer)
    }
}

/// A valid `wasm` section.
#[derive(Debug)]
pub struct Module {
    families: Families,
    source: Option<IpAddr>,
    tls: Arc<TlsOptions>,
    /// Whether connections are secured before the check begins.
    at_once: bool,
    server_name: Box<str>,
    plugin: Arc<dyn Plugin>,
    /// JSON text.
    config: Box<str>,
    class: Class,
    limits: Limits,
    runs_per_instance: u32,
    sessions_per_instance: u32,
    phase_metric: Arc<Metric>,
    backoff: Backoff,
}

impl PartialEq for Module {
    /// What is learnt of a module while it runs does not tell it from another.
    fn eq(&self, other: &Self) -> bool {
        self.families == other.families
            && self.source == other.source
            && self.tls == other.tls
            && self.at_once == other.at_once
            && self.server_name == other.server_name
            && self.plugin.digest() == other.plugin.digest()
            && self.config == other.config
            && self.class == other.class
            && self.limits == other.limits
            && self.runs_per_instance == other.runs_per_instance
            && self.sessions_per_instance == other.sessions_per_instance
    }
}

impl Module {
    fn new(config: &Config, files: &dyn Files) -> Result<Self, ConfigError> {
        let class = class(&config.class)?;
        let limits = config.limits.limits(class);
        let limits = limits.map_err(|error| error.within("limits"))?;
        check_sharing(config, class)?;
        if config.path.is_empty() {
            let message = "expected the path of a check, found none";
            return Err(ConfigError::new("path", message));
        }
        let pin = pin(&config.sha256)?;
        let tls = config.tls_config.options(&[], files);
        let tls = tls.map_err(|error| error.within("tls_config"))?;
        let path = config.path.as_str();
        if !files.runs_guests() {
            let message = format!("{path}: checks in Wasm cannot be run here");
            return Err(ConfigError::unsupported("path", message));
        }
        let bytes = files.read(path);
        let bytes = bytes.map_err(|error| ConfigError::new("path", error))?;
        let source = Source {
            path,
            bytes: &bytes,
            pin: pin.as_ref(),
            class,
            limits,
            runs_per_instance: config.runs_per_instance,
            sessions_per_instance: config.sessions_per_instance,
        };
        let plugin = files.plugin(&source).map_err(|why| match why {
            Refusal::Digest(found) => {
                let message = format!("{path} is another file: its digest is {}", Hex(&found));
                ConfigError::new("sha256", message)
            }
            Refusal::Unusable(why) => ConfigError::new("path", format!("{path}: {why}")),
        })?;
        let checked = plugin.description().check();
        checked.map_err(|why| {
            let message = format!("{path}: its description breaks a rule: {why}");
            ConfigError::new("path", message)
        })?;
        let options = config.config.0.to_string();
        let accepted = plugin.validate(&options);
        accepted.map_err(|why| ConfigError::new("config", why))?;
        Ok(Self {
            families: config::families(&config.preferred_ip_protocol, config.ip_protocol_fallback),
            source: config.source_ip_address,
            tls,
            at_once: config.tls,
            server_name: config.tls_config.server_name.as_str().into(),
            plugin,
            config: options.into(),
            class,
            limits,
            runs_per_instance: config.runs_per_instance,
            sessions_per_instance: config.sessions_per_instance,
            phase_metric: Arc::new(Metric {
                name: guest::PHASE_METRIC.into(),
                help: "How long each part of the check took".into(),
                kind: MetricKind::Gauge,
                labels: ["phase".into()].into(),
            }),
            backoff: Backoff::default(),
        })
    }

    /// The check, as its host has loaded it.
    pub fn plugin(&self) -> &Arc<dyn Plugin> {
        &self.plugin
    }

    /// Whether its guest is called elsewhere, and answers later.
    const fn is_script(&self) -> bool {
        matches!(self.class, Class::Script)
    }
}

/// The class by this name; none is [`Class::Native`].
fn class(name: &str) -> Result<Class, ConfigError> {
    let found = Class::ALL.into_iter().find(|class| class.name() == name);
    match found {
        Some(class) => Ok(class),
        None if name.is_empty() => Ok(Class::Native),
        None => {
            let message = format!("expected native or script, found {name:?}");
            Err(ConfigError::new("class", message))
        }
    }
}

/// Looks at how many runs an instance is to serve, in all and at once.
fn check_sharing(config: &Config, class: Class) -> Result<(), ConfigError> {
    let (runs, sessions) = (config.runs_per_instance, config.sessions_per_instance);
    if runs == 0 {
        let message = "expected 1 or more, found 0";
        return Err(ConfigError::new("runs_per_instance", message));
    }
    let message = if class == Class::Script && sessions != 1 {
        // They would wait for each other, on whatever threads they are.
        format!("expected 1 for scripts, found {sessions}")
    } else if !(1..=MAX_SESSIONS).contains(&sessions) {
        format!("expected 1 to {MAX_SESSIONS}, found {sessions}")
    } else if sessions > runs {
        format!(
            "expected no more at once than an instance serves in all (runs_per_instance: {runs}), found {sessions}"
        )
    } else {
        return Ok(());
    };
    Err(ConfigError::new("sessions_per_instance", message))
}

/// Reads 64 digits of hex; none are no digest.
fn pin(text: &str) -> Result<Option<[u8; 32]>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let message = format!("expected the 64 hex digits of a SHA-256 digest, found {text:?}");
        ConfigError::new("sha256", message)
    };
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Some(digest))
}

/// Bytes as hex digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How often a module has broken in a row, and until when it is left alone. Shared
/// by all workers, whose clock is the same.
#[derive(Debug, Default)]
struct Backoff {
    faults: AtomicU32,
    /// Nanoseconds; 0 is never.
    until: AtomicU64,
}

impl Backoff {
    /// How long the module is still left alone, and after how many faults.
    fn rest(&self, now: Instant) -> Option<(Duration, u32)> {
        let until = Instant::from_nanos(self.until.load(Ordering::Relaxed));
        let faults = self.faults.load(Ordering::Relaxed);
        (until > now).then(|| (until - now, faults))
    }

    /// Notes a fault. Those of runs that were under way when the module began to be
    /// left alone make it no longer.
    fn fault(&self, now: Instant) {
        if self.rest(now).is_some() {
            return;
        }
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(beyond) = faults.checked_sub(FAULTS_IN_A_ROW) {
            let wait = Duration::from_secs(1 << beyond.min(6)).min(LONGEST_BACKOFF);
            let until = now.as_nanos().saturating_add(nanos(wait));
            self.until.store(until, Ordering::Relaxed);
        }
    }

    fn verdict(&self) {
        // Most of the time it is 0, and a store would take the line from others.
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }
}

/// One target of a `wasm` module.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    module: Arc<Module>,
    host: Box<str>,
    port: u16,
    /// Name to verify, if it is not the host.
    server_name: Option<Box<str>>,
}

impl Spec {
    fn destination(&self) -> Destination<'_> {
        let module = &*self.module;
        Destination {
            host: &self.host,
            port: self.port,
            addresses: Addresses::One(module.families),
            source: module.source,
            via: None,
            secure: module.at_once.then(|| self.params()),
        }
    }

    fn params(&self) -> TlsParams<'_> {
        TlsParams {
            server_name: self.server_name.as_deref().unwrap_or(&self.host),
            options: &self.module.tls,
        }
    }

    fn name(&self) -> &str {
        &self.module.plugin.description().name
    }
}

/// A run of the `wasm` check.
#[derive(Debug)]
pub(crate) struct Wasm {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Resolving, connecting, securing.
    Dialing(Dial),
    /// There is no room for the guest yet, or others have the turn.
    Waiting(Box<Held>),
    /// The guest is told what happens.
    Talking(Box<Talk>),
}

/// What came while the guest had not begun.
#[derive(Debug)]
struct Held {
    conn: Conn,
    since: Instant,
    data: Vec<u8>,
    closed: Option<Close>,
    /// Whether there was no room for it. Else it waits for a turn.
    full: bool,
    /// Whether it is being made elsewhere.
    is_called: bool,
}

impl Kind for Wasm {
    const FACTS: &'static [Fact] = &dial::FACTS;

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

    /// `host:port`, an IPv6 address in brackets; without a port if the check has
    /// one of its own.
    fn target(
        module: &Arc<Module>,
        target: &str,
        params: TargetParams<'_>,
    ) -> Result<Spec, TargetError> {
        let usual = module.plugin.description().default_port;
        let (host, port) = match usual.and_then(|port| Some((bare_host(target)?, port))) {
            Some(found) => found,
            None => host_and_port(target, params)?,
        };
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
        Some(&module.tls)
    }

    fn module_of(spec: &Spec) -> &Arc<Module> {
        &spec.module
    }

    fn request(_: &Spec) -> &[u8] {
        &[]
    }
}

/// The host of a target without a port: a name, or an address with or without
/// brackets.
fn bare_host(target: &str) -> Option<&str> {
    let inner = target.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = inner.unwrap_or(target);
    let is_host = match host.contains(':') {
        true => host.parse::<core::net::Ipv6Addr>().is_ok(),
        false => inner.is_none() && !host.is_empty() && !host.contains(['%', '[', ']']),
    };
    is_host.then_some(host)
}

impl Check for Wasm {
    type Spec = Spec;

    fn new() -> Self {
        Self {
            state: State::Dialing(Dial::Idle),
        }
    }

    fn on(&mut self, spec: &Spec, input: Input<'_>, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Dialing(dial) => {
                if let Input::Start = input {
                    match spec.module.backoff.rest(cx.now()) {
                        Some(rest) => left_alone(spec, rest, cx),
                        None => dial.start(spec.destination(), cx),
                    }
                } else if let Some(conn) = dial.on(spec.destination(), &input, cx) {
                    self.begin(spec, conn, cx);
                }
            }
            State::Waiting(held) => {
                match input {
                    Input::Data(_, data) => held.data.extend_from_slice(data),
                    Input::Closed(_, why) => held.closed = Some(close_of(&why)),
                    _ => {}
                }
                if let Some(call) = cx.take_errand::<Call>() {
                    return self.called(spec, *call, cx);
                }
                if held.data.len() > MAX_HELD_BYTES && held.full {
                    return no_room(spec, cx);
                }
                if held.data.len() > spec.module.limits.received as usize {
                    return too_much(spec, cx);
                }
                if !held.is_called {
                    self.begin_held(spec, cx);
                }
            }
            State::Talking(talk) => match cx.take_errand::<Call>() {
                Some(call) => talk.called(spec, *call, cx),
                None => talk.on(spec, input, cx),
            },
        }
    }

    fn condemn(&self, spec: &Spec, cx: &mut Cx<'_>) {
        if let State::Waiting(held) = &self.state
            && held.full
        {
            no_room(spec, cx);
        }
    }

    fn on_expiry(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        if let State::Talking(talk) = &mut self.state {
            talk.at_the_end(spec, cx);
        }
    }

    fn behind_with(&self) -> Option<&'static str> {
        let is_behind = match &self.state {
            State::Dialing(_) => false,
            State::Waiting(held) => !held.full,
            State::Talking(talk) => talk.is_behind(),
        };
        is_behind.then_some("run its check")
    }

    fn waits_for(&self, spec: &Spec, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Talking(talk) if !talk.is_securing() => {
                write!(f, ": the check {} has no verdict yet", spec.name())
            }
            _ => Ok(()),
        }
    }
}

impl Wasm {
    /// The connection is up.
    fn begin(&mut self, spec: &Spec, conn: Conn, cx: &mut Cx<'_>) {
        let held = Held {
            conn,
            since: cx.now(),
            data: Vec::new(),
            closed: None,
            full: false,
            is_called: false,
        };
        self.state = State::Waiting(Box::new(held));
        self.begin_held(spec, cx);
    }

    /// Opens a session, if there is room and the turn has some left, and tells it what
    /// has come so far.
    fn begin_held(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        let State::Waiting(held) = &mut self.state else {
            return;
        };
        // A host that gives more than that to who is behind has it done at once.
        if cx.work_left() == 0 && held.data.len() <= MAX_HELD_BYTES {
            return cx.go_on_later();
        }
        let module = &*spec.module;
        if module.is_script() && !module.plugin.has_room() {
            return held.wait_for_room(spec, cx);
        }
        let begin = Begin::new(spec, cx);
        if module.is_script() {
            cx.held_since(held.since);
            (held.full, held.is_called) = (false, true);
            return cx.send_out(Call::first(begin, cx.elapsed()));
        }
        let session = match begin.open() {
            Ok(session) => session,
            Err(fault) if fault.kind == FaultKind::Capacity => {
                return held.wait_for_room(spec, cx);
            }
            Err(fault) => {
                // How much it took is not known: it may have been all.
                cx.burnt(module.limits.fuel_per_event);
                return broke(spec, &fault, cx);
            }
        };
        cx.held_since(held.since);
        let mut talk = Box::new(Talk::new(held.conn, session, spec, cx));
        talk.begin(spec, core::mem::take(&mut held.data), held.closed, cx);
        self.state = State::Talking(talk);
    }

    /// A session was opened elsewhere, and told that it is connected; or it was not.
    fn called(&mut self, spec: &Spec, call: Call, cx: &mut Cx<'_>) {
        let State::Waiting(held) = &mut self.state else {
            return;
        };
        held.is_called = false;
        held.since = cx.now();
        match call.not_opened() {
            Some(fault) if fault.kind == FaultKind::Capacity => held.wait_for_room(spec, cx),
            Some(fault) => broke(spec, fault, cx),
            None => {
                let mut talk = Box::new(Talk::called_for(held.conn, spec, cx));
                talk.begun(spec, call, core::mem::take(&mut held.data), held.closed, cx);
                self.state = State::Talking(talk);
            }
        }
    }
}

impl Held {
    fn wait_for_room(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        let name = spec.name();
        cx.note(format_args!("waiting for room for the check {name}"));
        self.full = true;
        cx.wake_at(cx.now() + RETRY);
    }
}

const fn close_of(why: &Closed) -> Close {
    match why {
        Closed::End => Close::End,
        Closed::Reset => Close::Reset,
        _ => Close::Lost,
    }
}

/// Ends the run: the guest has broken.
fn broke(spec: &Spec, fault: &Fault, cx: &mut Cx<'_>) {
    spec.module.backoff.fault(cx.now());
    fault.others.iter().for_each(|other| cx.rouse(*other));
    was_broken(spec, fault, cx);
}

/// Ends the run: the guest has broken, in this run or in another that shared its instance
/// and has counted it.
fn was_broken(spec: &Spec, fault: &Fault, cx: &mut Cx<'_>) {
    let (name, detail) = (spec.name(), sentence(&fault.detail));
    let outcome = Outcome::Unknown(fault.reason());
    cx.finish(outcome, format_args!("the check {name} {detail}"));
}

/// Ends the run: its peer has sent more than the guest may be given, before it could be
/// told of it.
fn too_much(spec: &Spec, cx: &mut Cx<'_>) {
    broke(spec, &guest::received_too_much(spec.module.limits), cx);
}

/// Ends the run: there was no room for the guest.
fn no_room(spec: &Spec, cx: &mut Cx<'_>) {
    let name = spec.name();
    let outcome = Outcome::Unknown(Reason::WasmCapacity);
    let detail = format_args!("there was no room for another instance of the check {name}");
    cx.finish(outcome, detail);
}

/// Ends the run: the guest has broken too often of late.
fn left_alone(spec: &Spec, (rest, faults): (Duration, u32), cx: &mut Cx<'_>) {
    let name = spec.name();
    let outcome = Outcome::Unknown(Reason::WasmBackoff);
    let detail = format_args!(
        "the check {name} broke {faults} times in a row and is tried again in {rest:.1?}"
    );
    cx.finish(outcome, detail);
}
