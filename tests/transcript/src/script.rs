//! A scripted world, as data that can be written as JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A world. Times are nanoseconds from its beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The engine's: 64 hex digits.
    pub seed: String,
    /// The file with the modules.
    pub config: String,
    /// Scheduled runs in flight at once; 0: as usual.
    pub in_flight: u32,
    /// Connections per second towards one address; 0: no limit.
    pub starts_per_destination: u32,
    /// Connections that may go out at once before that rate applies; not 0.
    pub burst_per_destination: u32,
    /// When it ends.
    pub until: u64,
    /// What the host does of its own accord, in order.
    pub commands: Vec<Command>,
    /// What is answered when a name is asked for: the n-th answer to the n-th
    /// question, the last one to all that follow. Other names are not answered.
    pub names: BTreeMap<String, Vec<Answer>>,
    /// Who is at an address: the n-th plan for the n-th connection, the last one
    /// for all that follow. At other addresses nobody answers.
    pub peers: BTreeMap<SocketAddr, Vec<Plan>>,
}

/// Something that the host does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// When.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a host does. Targets and runs are numbered from 0 in order of the
/// commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum What {
    /// Ends start-up.
    Begin,
    /// Adds a target.
    Add {
        /// Which.
        target: Target,
    },
    /// Forgets a target.
    Remove {
        /// Number of the target.
        number: usize,
    },
    /// Makes a target due.
    Trigger {
        /// Number of the target.
        number: usize,
    },
    /// Runs a check once.
    Run {
        /// Which.
        target: Target,
    },
    /// Ends a run that was asked for.
    Cancel {
        /// Number of the run.
        number: usize,
    },
    /// Schedules no more.
    Drain,
}

/// A target, as the C ABI has it: zeros and empty texts mean "as usual".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Name of the module.
    pub module: String,
    /// What to probe.
    pub target: String,
    /// The Host header, or server name.
    pub hostname: String,
    /// Nanoseconds.
    pub interval: u64,
    /// Nanoseconds.
    pub timeout: u64,
    /// Nanoseconds.
    pub initial_delay: u64,
    /// Successes in a row.
    pub success_threshold: u32,
    /// Failures in a row.
    pub failure_threshold: u32,
    /// `PROBITY_KIND_...`.
    pub kind: u32,
}

/// An answer to a question for a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Nanoseconds after the question.
    pub after: u64,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// If it has none: why, a name of a reason.
    pub reason: String,
}

/// How a peer behaves on one connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What happens when it is dialled.
    pub open: Vec<Event>,
    /// What happens when a handshake is asked for.
    pub secure: Vec<Event>,
    /// What happens when something is sent to it, by how often it was.
    pub send: Vec<Vec<Event>>,
}

/// Something that happens to a connection, whether or not it is still there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds after what it is an answer to.
    pub after: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Happening {
    /// It is established.
    Opened {},
    /// The handshake is complete.
    Secured(Box<Tls>),
    /// Bytes arrive: a character up to U+00FF for each.
    Data(String),
    /// It ends.
    Closed(Box<Ended>),
}

/// What a handshake shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `probity_tls_info`")]
pub struct Tls {
    pub version: String,
    pub cipher: String,
    pub alpn: String,
    pub earliest_expiry: i64,
    pub chain_expiry: i64,
    pub fingerprint_sha256: String,
    pub subject: String,
    pub issuer: String,
    pub subject_alternative: String,
    pub serial: String,
}

/// How a connection ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// One of [`CLOSED`](crate::CLOSED).
    pub why: String,
    /// Name of a reason, for `tls` and `local`.
    pub reason: String,
    /// A sentence, for `tls` and `other`.
    pub detail: String,
    /// What was learnt before, for `tls`.
    pub tls: Option<Tls>,
}

impl Script {
    /// The engine's seed as bytes.
    pub fn seed(&self) -> [u8; 32] {
        let digit = |at: usize| self.seed.get(at..at + 2);
        let byte = |at| digit(at).and_then(|it| u8::from_str_radix(it, 16).ok());
        std::array::from_fn(|index| byte(2 * index).expect("64 hex digits"))
    }
}

/// The bytes that a text of [`Happening::Data`] stands for.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let byte = |it| u8::try_from(u32::from(it)).expect("a character up to U+00FF");
    text.chars().map(byte).collect()
}

/// The text that stands for bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
