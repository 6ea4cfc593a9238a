//! What a world needs of an engine, wherever that is built into. Numbers of the C
//! ABI are names here, so that a transcript can be read.

use std::net::{IpAddr, SocketAddr};

use crate::script::{Ended, Target, Tls};

/// By `PROBITY_OUTCOME_...`.
pub const OUTCOMES: [&str; 4] = ["success", "warning", "failure", "unknown"];
/// By `PROBITY_HEALTH_...`.
pub const HEALTHS: [&str; 3] = ["unknown", "up", "down"];
/// By `PROBITY_PHASE_...`.
pub const PHASES: [&str; 5] = ["resolve", "connect", "tls", "processing", "transfer"];
/// By `PROBITY_TRANSPORT_...`.
pub const TRANSPORTS: [&str; 2] = ["tcp", "udp"];
/// By `PROBITY_FAMILIES_...`.
pub const FAMILIES: [Families; 4] = ["prefer_v6", "prefer_v4", "only_v6", "only_v4"];
/// By `PROBITY_CLOSED_...`.
pub const CLOSED: [&str; 8] = [
    "end",
    "reset",
    "refused",
    "unreachable",
    "timed_out",
    "tls",
    "other",
    "local",
];

/// One of [`FAMILIES`].
pub type Families = &'static str;

/// An engine with the half of the C ABI that has no IO, made for one script. Times
/// are nanoseconds from the beginning of the world.
pub trait Host {
    /// Ends start-up.
    fn begin(&mut self, now: u64);
    /// Adds a target and gives its id, or says what is wrong with it.
    fn add(&mut self, target: &Target, now: u64) -> Result<u64, String>;
    /// Forgets a target; whether there was one.
    fn remove(&mut self, id: u64, now: u64) -> bool;
    /// Makes a target due; whether there was one.
    fn trigger(&mut self, id: u64, now: u64) -> bool;
    /// Runs a check once and gives the run, or says what is wrong with it.
    fn run(&mut self, target: &Target, now: u64) -> Result<u64, String>;
    /// Ends a run.
    fn cancel(&mut self, run: u64, now: u64);
    /// Schedules no more.
    fn drain(&mut self, now: u64);
    /// Ends all runs.
    fn shutdown(&mut self, now: u64);
    /// Expires and starts.
    fn handle_timeout(&mut self, now: u64);
    /// When that is to be called next.
    fn next_timeout(&mut self) -> Option<u64>;
    /// The next thing that is asked on behalf of a run.
    fn output(&mut self) -> Option<(u64, Asked)>;
    /// Tells a run what has happened.
    fn tell(&mut self, run: u64, told: Told<'_>, now: u64);
    /// What is known of a target.
    fn state(&mut self, id: u64) -> Option<State>;
    /// What is known of the engine.
    fn stats(&mut self, now: u64) -> Stats;
}

/// What has happened to a connection, by its number.
#[derive(Debug)]
#[expect(missing_docs, reason = "as the functions of the C ABI")]
pub enum Told<'a> {
    Resolved(&'a [IpAddr]),
    Unresolved(&'a str),
    Opened(u32),
    Secured(u32, &'a Tls),
    Data(u32, &'a [u8]),
    Flushed(u32),
    Closed(u32, &'a Ended),
}

/// What is asked.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_output`")]
pub enum Asked {
    Resolve(String, Families),
    Open {
        conn: u32,
        transport: &'static str,
        to: SocketAddr,
        from: Option<IpAddr>,
    },
    Secure(u32, Secure),
    Send(u32, Vec<u8>),
    Flush(u32),
    Close(u32),
    Report(Box<Reported>),
}

/// How a connection is to be secured.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_tls_request`")]
pub struct Secure {
    pub server_name: String,
    pub alpn: Vec<String>,
    pub skip_verify: bool,
    /// One of [`TLS_VERSIONS`].
    pub min_version: &'static str,
    /// Likewise.
    pub max_version: &'static str,
}

/// Names of versions, as Node has them.
pub const TLS_VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

/// A report.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_report`")]
pub struct Reported {
    pub target: u64,
    pub outcome: &'static str,
    pub reason: String,
    pub detail: String,
    pub phase: &'static str,
    pub transition: &'static str,
    pub runs: u64,
    pub due: u64,
    pub started: u64,
    pub finished: u64,
    pub total: u64,
    pub phases: [Option<u64>; 5],
    pub address: Option<SocketAddr>,
    pub tls: Option<Tls>,
    pub facts: Vec<Fact>,
}

/// A number that was found out.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_fact`")]
pub struct Fact {
    pub name: String,
    pub label: String,
    pub label_value: String,
    pub value: f64,
}

/// What is known of a target.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_target_state`")]
pub struct State {
    pub health: &'static str,
    pub outcome: &'static str,
    pub reason: String,
    pub detail: String,
    pub finished: u64,
    pub total: u64,
    pub next: u64,
    pub results: [u64; 4],
}

/// What is known of an engine.
#[derive(Debug)]
#[expect(missing_docs, reason = "as `probity_engine_stats`")]
pub struct Stats {
    pub runs: [u64; 4],
    pub targets: u64,
    pub overdue: u64,
    pub in_flight: u64,
    pub queued: u64,
    pub start_lag_p99: u64,
}
