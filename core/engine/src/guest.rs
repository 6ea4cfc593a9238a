//! The seam for checks that are not compiled in: what a host that runs them, in
//! WebAssembly for example, is told and answers, and the rules that such a check
//! is held to.
//!
//! The vocabulary is that of the world `probity:check/plugin`
//! (`wasm-checks/wit/check.wit`). A check of this kind has a connection and
//! nothing else: the engine resolves, connects, secures, keeps the time and
//! judges, as for its own checks. What goes wrong in a guest is a [`Fault`], is
//! reported as `Unknown`, and says nothing of the target.

mod limits;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

pub use self::limits::{Class, Limits};
use crate::fact::{Metric, MetricKind};
use crate::histogram::Exponential;
use crate::id::RunId;
use crate::outcome::{Outcome, Reason};
use crate::tls::TlsInfo;

/// Actions in answer to one event.
pub const MAX_ACTIONS: u32 = 32;
/// Timers of a run that are set at once.
pub const MAX_TIMERS: usize = 8;
/// The time of one at least: a guest that wants none at all would be called in every turn.
pub const SHORTEST_TIMER: Duration = Duration::from_millis(1);
/// Samples of one run.
pub const MAX_SAMPLES: u32 = 16;
/// Bytes of the value of a sample's label.
pub const MAX_LABEL_BYTES: usize = 128;
/// Lines that one run may log; further ones are dropped.
pub const MAX_LOG_LINES: u32 = 8;
/// Bytes of such a line, and of the sentence of a verdict; what is beyond is cut
/// off.
pub const MAX_SENTENCE_BYTES: usize = 256;
/// Bytes of a peer that are handed over at once: a guest that looks at all of
/// them in one call is not kept busy for long.
pub const MAX_PIECE_BYTES: usize = 16 * 1024;
/// Runs that one instance may serve at once: they share its memory.
pub const MAX_SESSIONS: u32 = 256;
/// Metrics of one check.
pub const MAX_METRICS: usize = 16;
/// Phases of one check.
pub const MAX_PHASES: usize = 8;
/// Labels of one metric.
pub const MAX_LABELS: usize = 4;
/// Bytes of a HELP text.
pub const MAX_HELP_BYTES: usize = 256;
/// Bytes of a check's own version: it is a label of metrics.
pub const MAX_VERSION_BYTES: usize = 64;
/// Bytes of the schema of a configuration.
pub const MAX_SCHEMA_BYTES: usize = 32 * 1024;
/// The metric that [`Action::Mark`] fills: a check has none of this name.
pub const PHASE_METRIC: &str = "phase_duration_seconds";

/// Labels that Prometheus or probity gives.
const RESERVED: &[&str] = &[
    "instance", "job", "le", "module", "quantile", "reason", "result",
];
/// Ends of names that mean something else in Prometheus.
const ENDS: &[&str] = &["_bucket", "_count", "_sum", "_created", "_info"];

/// A check that was loaded. One for all workers, which open sessions at once. Of a
/// [script](Class::Script), [`Plugin::open`] and [`Session::on_event`] are called where
/// an [`Errand`](crate::Errand) is done, now by one thread and now by another, and a session is
/// dropped by whoever drives the engine.
pub trait Plugin: fmt::Debug + Send + Sync {
    /// What the check says about itself.
    fn description(&self) -> &Description;

    /// SHA-256 of what it was loaded from.
    fn digest(&self) -> &[u8; 32];

    /// Whether a configuration (JSON text) can be used.
    ///
    /// # Errors
    /// One sentence that names the field, or says how the check broke.
    fn validate(&self, config: &str) -> Result<(), String>;

    /// Begins one run.
    ///
    /// # Errors
    /// The fault of the guest; [`FaultKind::Capacity`] if there is no room now.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault>;

    /// Whether [`Plugin::open`] may find room now. Asked before it is called elsewhere, so
    /// that nobody is kept busy with runs that wait.
    fn has_room(&self) -> bool {
        true
    }

    /// What it has taken since it was loaded; nothing if its host does not count.
    fn figures(&self) -> Figures {
        Figures::default()
    }
}

/// What the runs of one module's check have taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Instances that there are, those that wait for their next run included.
    pub instances: u32,
    /// Fuel that was used up.
    pub fuel: u64,
    /// How often it broke, by the position in [`FaultKind::ALL`].
    pub faults: [u64; FaultKind::ALL.len()],
    /// How long each call of the guest took.
    pub calls: Exponential,
}

/// One run of a check. Dropped when the run is over, however it ends.
pub trait Session: fmt::Debug + Send {
    /// Handles an event, `now` after the start of the run, and passes on what the
    /// check wants done. Never called again after a fault or
    /// [`Action::Done`].
    ///
    /// # Errors
    /// The fault of the guest, or that of an action, as the sink gave it.
    fn on_event(
        &mut self,
        now: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault>;

    /// Fuel that was used since this was last asked, from the opening of the session
    /// on and also if it broke; where a call took more nanoseconds than fuel, those. The
    /// engine takes it for work of its turn: see
    /// [`FUEL_PER_BYTE`](crate::limits::FUEL_PER_BYTE).
    fn take_fuel(&mut self) -> u64;

    /// What has ended this session from outside: the fault of another run that shared
    /// its instance. Such a run is among those of [`Fault::others`].
    fn fault(&self) -> Option<Fault> {
        None
    }
}

/// What a host loads a check from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it was read, for messages.
    pub path: &'a str,
    /// The file.
    pub bytes: &'a [u8],
    /// SHA-256 that the file must have; nothing of it is looked at before.
    pub pin: Option<&'a [u8; 32]>,
    /// What kind of code it is.
    pub class: Class,
    /// What it may take.
    pub limits: Limits,
    /// Runs that an instance serves in all; 1 or more. What a run leaves behind in its
    /// memory the next one can see.
    pub runs_per_instance: u32,
    /// Runs that it serves at once; 1 or more, and no more than it serves in all. Each can
    /// see the others' memory, and what breaks one of them ends them all.
    pub sessions_per_instance: u32,
}

/// Why a check cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file has not the digest that it should have, but this one.
    Digest([u8; 32]),
    /// The file is no check that can be run: what was expected, and what was
    /// found.
    Unusable(String),
}

/// What a check says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its own version; may be empty.
    pub version: String,
    /// Port of targets that are written without one.
    pub default_port: Option<u16>,
    /// Every sample's metric.
    pub metrics: Vec<Arc<Metric>>,
    /// What [`Action::Mark`] may name.
    pub phases: Vec<String>,
    /// JSON Schema of the configuration, for people; may be empty.
    pub config_schema: String,
}

impl Description {
    /// Whether it keeps to the rules.
    ///
    /// # Errors
    /// What was expected, and what was found.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.name, '-', 32) {
            let name = sentence(&self.name);
            return Err(format!(
                "expected a name of at most 32 of a-z, 0-9 and -, found {name:?}"
            ));
        }
        let is_graphic = self.version.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_graphic || self.version.len() > MAX_VERSION_BYTES {
            let version = sentence(&self.version);
            return Err(format!(
                "expected a version of at most {MAX_VERSION_BYTES} visible characters of ASCII, found {version:?}"
            ));
        }
        if self.config_schema.len() > MAX_SCHEMA_BYTES {
            let found = self.config_schema.len();
            return Err(format!(
                "expected a schema of at most {MAX_SCHEMA_BYTES} bytes, found {found}"
            ));
        }
        if self.default_port == Some(0) {
            return Err("expected a default port from 1 to 65535, found 0".into());
        }
        for (what, found, most) in [
            ("metrics", self.metrics.len(), MAX_METRICS),
            ("phases", self.phases.len(), MAX_PHASES),
        ] {
            if found > most {
                return Err(format!("expected at most {most} {what}, found {found}"));
            }
        }
        for (index, metric) in self.metrics.iter().enumerate() {
            check_metric(metric)?;
            let name = &metric.name;
            if self.metrics[..index].iter().any(|it| it.name == *name) {
                return Err(format!("there are two metrics {name}"));
            }
        }
        match self.phases.iter().find(|phase| !is_name(phase, '_', 32)) {
            Some(phase) => Err(format!(
                "expected names of phases of at most 32 of a-z, 0-9 and _, found {:?}",
                sentence(phase)
            )),
            None => Ok(()),
        }
    }
}

fn check_metric(metric: &Metric) -> Result<(), String> {
    let Metric {
        name,
        help,
        kind,
        labels,
    } = metric;
    if !is_name(name, '_', 64) {
        return Err(format!(
            "expected names of metrics of at most 64 of a-z, 0-9 and _, found {:?}",
            sentence(name)
        ));
    }
    if &**name == PHASE_METRIC {
        return Err(format!("the metric {name} is that of marks"));
    }
    if (*kind == MetricKind::Counter) != name.ends_with("_total") {
        return Err(format!(
            "the metric {name}: counters, and only they, end in _total"
        ));
    }
    if let Some(end) = ENDS.iter().find(|end| name.ends_with(**end)) {
        return Err(format!(
            "the metric {name}: {end} at the end means something else"
        ));
    }
    if help.is_empty() || help.len() > MAX_HELP_BYTES {
        return Err(format!(
            "the metric {name}: expected a HELP text of 1 to {MAX_HELP_BYTES} bytes, found {}",
            help.len()
        ));
    }
    if labels.len() > MAX_LABELS {
        return Err(format!(
            "the metric {name}: expected at most {MAX_LABELS} labels, found {}",
            labels.len()
        ));
    }
    for (index, label) in labels.iter().enumerate() {
        if !is_name(label, '_', 32) {
            return Err(format!(
                "the metric {name}: expected labels of at most 32 of a-z, 0-9 and _, found {:?}",
                sentence(label)
            ));
        }
        if RESERVED.contains(&&**label) || labels[..index].contains(label) {
            return Err(format!("the metric {name}: the label {label} is taken"));
        }
    }
    Ok(())
}

fn is_name(name: &str, joint: char, longest: usize) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint;
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(inner)
        && name.len() <= longest
}

/// One run, as a check is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Which one it is, for [`Fault::others`]. A host keeps runs apart that are begun by
    /// different threads: each engine has one, and names of its own.
    pub run: RunId,
    /// The host as the user wrote it.
    pub host: &'a str,
    /// The address of the connection.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// JSON text that [`Plugin::validate`] has accepted.
    pub config: &'a str,
    /// Time that is left to the run.
    pub timeout: Duration,
    /// Drawn for this run.
    pub seed: u64,
    /// The handshake, if the connection was secured at once.
    pub tls: Option<&'a TlsInfo>,
}

/// What happens to a check.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The connection is up: first, and once.
    Connected,
    /// Bytes from the peer: never none, at most [`MAX_PIECE_BYTES`].
    Data(&'a [u8]),
    /// The handshake that it asked for is complete.
    Secured(&'a TlsInfo),
    /// The time of this timer has come.
    Timer(u32),
    /// The connection is over: last.
    Closed(Close),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The peer closed it in order.
    End,
    /// The peer reset it.
    Reset,
    /// It was lost in another way.
    Lost,
}

/// What a check wants done. An empty answer is: wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// Send bytes.
    Send(&'a [u8]),
    /// Secure the connection, once in a run.
    StartTls,
    /// Tell it of [`Event::Timer`] so long from now, or after [`SHORTEST_TIMER`] if that is
    /// longer; a timer that is set is moved.
    SetTimer(u32, Duration),
    /// End the phase that began at the last mark, or at [`Event::Connected`].
    Mark(&'a str),
    /// Report a number.
    Sample {
        /// Name of the metric.
        metric: &'a str,
        /// The number.
        value: f64,
        /// A value for each label of the metric, in order.
        labels: &'a [&'a str],
    },
    /// Say something to who looks at the run.
    Log(&'a str),
    /// The verdict: last.
    Done(Verdict<'a>),
}

/// What a check says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// All is well.
    Up,
    /// It does its work, but somebody should know.
    Degraded(Finding, &'a str),
    /// It does not.
    Down(Finding, &'a str),
    /// The check could not find out, for a reason that is not the target's.
    Unknown(&'a str),
}

impl<'a> Verdict<'a> {
    /// The outcome of the run, and the sentence that explains it.
    pub const fn outcome(self) -> (Outcome, &'a str) {
        match self {
            Self::Up => (Outcome::Success, ""),
            Self::Degraded(finding, why) => (Outcome::Warning(finding.reason()), why),
            Self::Down(finding, why) => (Outcome::Failure(finding.reason()), why),
            Self::Unknown(why) => (Outcome::Unknown(Reason::WasmUndecided), why),
        }
    }
}

/// Why a target is down or degraded: a closed list, the `reason` of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Answered in its protocol, but not what it should.
    Unexpected,
    /// Not its protocol.
    Malformed,
    /// Wants other credentials.
    Denied,
    /// Says that it cannot serve yet, or any more.
    NotReady,
    /// Reports an error of its own.
    ServerError,
    /// Closed the connection before it had answered.
    Closed,
    /// Sent more than the check can hold.
    TooMuch,
    /// Did not answer within a time that the check set.
    TooSlow,
}

impl Finding {
    /// The reason that is reported: where checks that are compiled in have one of
    /// the same meaning, it is that.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unexpected => Reason::ExpectMismatch,
            Self::Malformed => Reason::Malformed,
            Self::Denied => Reason::Denied,
            Self::NotReady => Reason::NotReady,
            Self::ServerError => Reason::ServerError,
            Self::Closed => Reason::PeerClosed,
            Self::TooMuch => Reason::AnswerLimit,
            Self::TooSlow => Reason::TooSlow,
        }
    }
}

/// How a guest broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// One sentence.
    pub detail: String,
    /// Further runs that it has ended, whose [`Session::fault`] says so: they were in the
    /// same instance.
    pub others: Vec<RunId>,
}

/// The ways in which a guest breaks, or cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It used up its fuel.
    Fuel,
    /// It wanted more memory than it may have.
    Memory,
    /// It gave up by itself.
    Panic,
    /// It did what WebAssembly forbids.
    Trap,
    /// Its calls nest too deep.
    Stack,
    /// It asked for what it may not, or answered what is none.
    Protocol,
    /// There is no room for another instance now. Nothing is wrong with the guest.
    Capacity,
    /// No instance of it can be made.
    Load,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Fuel,
        Self::Memory,
        Self::Panic,
        Self::Trap,
        Self::Stack,
        Self::Protocol,
        Self::Capacity,
        Self::Load,
    ];

    /// The reason that a run is reported with.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Fuel => Reason::WasmFuel,
            Self::Memory => Reason::WasmMemory,
            Self::Panic => Reason::WasmPanic,
            Self::Trap => Reason::WasmTrap,
            Self::Stack => Reason::WasmStack,
            Self::Protocol => Reason::WasmProtocol,
            Self::Capacity => Reason::WasmCapacity,
            Self::Load => Reason::WasmLoad,
        }
    }
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            others: Vec::new(),
        }
    }

    /// The reason that a run is reported with.
    pub const fn reason(&self) -> Reason {
        self.kind.reason()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl core::error::Error for Fault {}

/// Takes a guest's actions, one by one, as far as they keep to the rules.
pub struct Sink<'a>(&'a mut dyn FnMut(Action<'_>) -> Result<(), Fault>);

impl<'a> Sink<'a> {
    /// A sink that passes on to `take`, which is to ask [`Rules`] first.
    pub fn new(take: &'a mut dyn FnMut(Action<'_>) -> Result<(), Fault>) -> Self {
        Self(take)
    }

    /// Takes an action.
    ///
    /// # Errors
    /// If it is against the rules: the session is over then, and the fault is to
    /// be handed back as it is.
    pub fn push(&mut self, action: Action<'_>) -> Result<(), Fault> {
        (self.0)(action)
    }
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// The rules that one run of a check is held to, and what it has used up so far.
#[derive(Debug)]
pub struct Rules {
    limits: Limits,
    securing: Securing,
    done: bool,
    sent: u32,
    received: u32,
    actions: u32,
    samples: u32,
    lines: u32,
    /// Those that are set, and when they come.
    timers: Vec<(u32, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Securing {
    Plain,
    Handshake,
    Secured,
}

impl Rules {
    /// The rules of a run that has not begun. `secured`: its connection is, from
    /// the beginning.
    pub const fn new(limits: Limits, secured: bool) -> Self {
        Self {
            limits,
            securing: if secured {
                Securing::Secured
            } else {
                Securing::Plain
            },
            done: false,
            sent: 0,
            received: 0,
            actions: 0,
            samples: 0,
            lines: 0,
            timers: Vec::new(),
        }
    }

    /// Whether it has asked for a handshake that is not complete.
    pub fn is_securing(&self) -> bool {
        self.securing == Securing::Handshake
    }

    /// The timer that comes first, and when.
    pub fn next_timer(&self) -> Option<(u32, Duration)> {
        self.timers.iter().copied().min_by_key(|(_, due)| *due)
    }

    /// How many timers have come by `now`.
    pub fn timers_due(&self, now: Duration) -> usize {
        self.timers.iter().filter(|(_, due)| *due <= now).count()
    }

    /// Notes an event that the check is to be told.
    ///
    /// # Errors
    /// If the peer has sent more than a run may be given.
    pub fn on_event(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        self.actions = 0;
        match event {
            Event::Secured(_) => self.securing = Securing::Secured,
            Event::Timer(id) => self.timers.retain(|(set, _)| set != id),
            Event::Data(data) => {
                self.received = self.received.saturating_add(data.len() as u32);
                if self.received > self.limits.received {
                    return Err(received_too_much(self.limits));
                }
            }
            Event::Connected | Event::Closed(_) => {}
        }
        Ok(())
    }

    /// Looks at what the check wants done, `now` after the start of the run, and
    /// notes it.
    ///
    /// # Errors
    /// If it is against the rules.
    pub fn on_action(
        &mut self,
        action: &Action<'_>,
        description: &Description,
        now: Duration,
    ) -> Result<(), Fault> {
        if self.done {
            return Err(broken("wants something done after its verdict"));
        }
        self.actions += 1;
        if self.actions > MAX_ACTIONS {
            return Err(broken(format!(
                "answered an event with more than {MAX_ACTIONS} actions"
            )));
        }
        match *action {
            Action::Send(bytes) => self.send(bytes.len())?,
            Action::StartTls if self.securing != Securing::Plain => {
                return Err(broken(
                    "wants a connection secured that is or is about to be",
                ));
            }
            Action::StartTls => self.securing = Securing::Handshake,
            Action::SetTimer(id, after) => {
                self.set_timer(id, now.saturating_add(after.max(SHORTEST_TIMER)))?;
            }
            Action::Mark(phase) if !description.phases.iter().any(|it| it == phase) => {
                return Err(broken(format!(
                    "marks the phase {phase:?}, which its description has not"
                )));
            }
            Action::Sample { metric, labels, .. } => self.sample(metric, labels, description)?,
            Action::Log(_) => self.lines = self.lines.saturating_add(1),
            Action::Done(_) => self.done = true,
            Action::Mark(_) => {}
        }
        Ok(())
    }

    /// Whether a line that was just looked at is kept.
    pub const fn keeps_line(&self) -> bool {
        self.lines <= MAX_LOG_LINES
    }

    fn send(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.is_securing() {
            return Err(broken("wants bytes sent during a handshake"));
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sent = self.sent.saturating_add(bytes);
        let most = self.limits.sent;
        if self.sent > most {
            return Err(broken(format!(
                "wants more sent than the {most} bytes of a run"
            )));
        }
        Ok(())
    }

    fn set_timer(&mut self, id: u32, due: Duration) -> Result<(), Fault> {
        match self.timers.iter().position(|(set, _)| *set == id) {
            Some(at) => self.timers[at].1 = due,
            None if self.timers.len() >= MAX_TIMERS => {
                return Err(broken(format!(
                    "wants more than {MAX_TIMERS} timers at once"
                )));
            }
            None => self.timers.push((id, due)),
        }
        Ok(())
    }

    fn sample(
        &mut self,
        metric: &str,
        labels: &[&str],
        description: &Description,
    ) -> Result<(), Fault> {
        let Some(known) = metric_of(description, metric) else {
            return Err(broken(format!(
                "reports the metric {metric:?}, which its description has not"
            )));
        };
        if known.labels.len() != labels.len() {
            let (expected, found) = (known.labels.len(), labels.len());
            return Err(broken(format!(
                "reports {metric} with {found} labels: expected {expected}"
            )));
        }
        if labels.iter().any(|label| label.len() > MAX_LABEL_BYTES) {
            return Err(broken(format!(
                "reports {metric} with a label of more than {MAX_LABEL_BYTES} bytes"
            )));
        }
        self.samples += 1;
        if self.samples > MAX_SAMPLES {
            return Err(broken(format!(
                "reports more than {MAX_SAMPLES} samples in a run"
            )));
        }
        Ok(())
    }
}

/// The peer has sent more than a run may be given.
pub(crate) fn received_too_much(limits: Limits) -> Fault {
    let most = limits.received;
    broken(format!(
        "has no verdict after the {most} bytes of its peer that a run may be given"
    ))
}

pub(crate) fn metric_of<'d>(description: &'d Description, name: &str) -> Option<&'d Arc<Metric>> {
    description.metrics.iter().find(|it| *it.name == *name)
}

/// `text`, cut at [`MAX_SENTENCE_BYTES`].
pub(crate) fn sentence(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_SENTENCE_BYTES)]
}

fn broken(detail: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Protocol, detail)
}
