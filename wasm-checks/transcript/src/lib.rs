//! Transcripts of checks: what happens to a check, and what it must answer.
//!
//! The same file is played to a check as Rust (`probity_check::testing`) and to
//! the module that is made of it (`probity wasm test`).
//!
//! ```text
//! # A comment, on a line of its own.
//! case a password is asked for
//! config {"password": "hunter2"}
//! > "*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n"
//! < "+OK\r\n"
//! > "*1\r\n$4\r\nPING\r\n"
//! < "+PONG\r\n"
//! up
//!
//! case another protocol
//! > "*1\r\n$4\r\nPING\r\n"
//! < "HTTP/1.1 400 Bad Request\r\n"
//! down malformed "HTTP/1.1"
//! ```
//!
//! A file is a list of cases. Each begins with `case` and its name; the
//! connection is up from then on. `config` (JSON, in one line; `{}` if there is
//! none) and `tls` (the connection is secured from its beginning) stand before
//! everything else. Then come events and answers:
//!
//! | event | |
//! | --- | --- |
//! | `< BYTES` | the peer sends |
//! | `secured` | the handshake that the check asked for is complete |
//! | `timer N` | the time of a timer has come |
//! | `closed end` | the peer closed in order; also `reset` and `lost` |
//! | `at 1500` | the clock says so from here, in milliseconds since the start |
//!
//! | answer | |
//! | --- | --- |
//! | `> BYTES` | the check sends |
//! | `start-tls` | it asks for TLS |
//! | `mark PHASE` | it ends a phase |
//! | `sample METRIC VALUE "LABEL"...` | it reports a number |
//! | `set-timer N MS` | it sets a timer |
//! | `log "TEXT"` | it says so: the line has this text in it |
//! | `up` | it is done. Also `degraded REASON "TEXT"`, `down REASON "TEXT"`, `unknown "TEXT"`; the text, which may be left out, is a part of its sentence |
//! | `waits` | it is not done, and this is the end of the case |
//! | `rejected "TEXT"` | the configuration is refused, with this text in the sentence |
//!
//! `BYTES` are strings (`\r`, `\n`, `\t`, `\0`, `\\`, `\"`, `\x7f`) and bytes in
//! hex, in any order; what is followed by `*N` is repeated: `10 1f 00 04 "MQTT"`,
//! `"x"*70000`.
//!
//! What a check sends, the request for TLS and the verdict are compared in full.
//! Of marks, samples, timers and lines those that are written must be there, in
//! order; others may be. A case ends with a verdict, `waits` or `rejected`.
//!
//! Messages arrive in any pieces, so that a case is [played](play) several times:
//! each `<` whole, byte by byte, and cut in two at many places. What a check
//! answers must not depend on it. (A check that is done before a `<` is over does
//! not see the rest.)

#![forbid(unsafe_code)]

mod bytes;
mod parse;
mod play;
mod written;

use std::time::Duration;

pub use parse::{ParseError, parse};
pub use play::{Failure, Subject, play};

/// One case of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The configuration, as JSON text.
    pub config: String,
    /// The connection is secured from its beginning.
    pub tls: bool,
    /// What is to happen, in order.
    pub steps: Vec<Step>,
}

/// A line of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// What it says.
    pub kind: StepKind,
}

/// What a line of a case says.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// It is so late.
    At(Duration),
    /// The peer sends.
    Data(Vec<u8>),
    /// The handshake is complete.
    Secured,
    /// A timer has come.
    Timer(u32),
    /// The connection is over.
    Closed(Close),
    /// The check does this.
    Does(Action),
    /// The check has no verdict yet.
    Waits,
    /// The configuration is refused, and the sentence has this in it.
    Rejected(String),
}

/// What happens to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection is up.
    Connected,
    /// The peer sent bytes.
    Data(&'a [u8]),
    /// The handshake that the check asked for is complete.
    Secured,
    /// The time of this timer has come.
    Timer(u32),
    /// The connection is over.
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

/// What a check does. In a transcript, a text is a part of the real one.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Asks for TLS.
    StartTls,
    /// Sets a timer.
    SetTimer(u32, Duration),
    /// Ends a phase.
    Mark(String),
    /// Reports a number.
    Sample {
        /// Name of the metric.
        metric: String,
        /// The number.
        value: f64,
        /// Values of the labels, in order.
        labels: Vec<String>,
    },
    /// Says something to who looks at the run.
    Log(String),
    /// Is done.
    Done(Verdict),
}

/// What a check says about its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Up,
    /// It does its work, but somebody should know.
    Degraded(Reason, String),
    /// It does not.
    Down(Reason, String),
    /// The check could not find out.
    Unknown(String),
}

/// Why a target is down or degraded: the `reason` of the WIT world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the world says what they mean")]
pub enum Reason {
    Unexpected,
    Malformed,
    Denied,
    NotReady,
    ServerError,
    Closed,
    TooMuch,
    TooSlow,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Unexpected,
        Self::Malformed,
        Self::Denied,
        Self::NotReady,
        Self::ServerError,
        Self::Closed,
        Self::TooMuch,
        Self::TooSlow,
    ];

    /// Its name in the world and in transcripts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::NotReady => "not-ready",
            Self::ServerError => "server-error",
            Self::Closed => "closed",
            Self::TooMuch => "too-much",
            Self::TooSlow => "too-slow",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}
