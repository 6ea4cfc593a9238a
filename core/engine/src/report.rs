//! What a finished run says.

use alloc::string::String;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use crate::fact::{Facts, Labels, Samples};
use crate::id::TargetId;
use crate::outcome::{Outcome, Phase, Phases};
use crate::spec::Spec;
use crate::threshold::Transition;
use crate::time::Instant;
use crate::tls::TlsInfo;

/// The result of one run, lent from the engine until the next call.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Whose run it was; `None` for one that was asked for with `run_once`.
    pub target: Option<TargetId>,
    /// What was checked.
    pub spec: &'a Arc<Spec>,
    /// The verdict on this one run.
    pub outcome: Outcome,
    /// Runs that the report stands for: 1, or as many as came due before the
    /// prober looked again, all of them missed.
    pub runs: u64,
    /// One sentence for a person; empty for a plain success.
    pub detail: &'a str,
    /// The phase in which the run ended.
    pub phase: Phase,
    /// When the run should have started. For one that came due while the
    /// target's last run went on, or that tries it again: when that ended.
    pub due: Instant,
    /// When it did.
    pub started: Instant,
    /// When it ended.
    pub finished: Instant,
    /// How long the target took: from start to end, without the time for which
    /// we held the run back ourselves.
    pub total: Duration,
    /// Phases that were completed.
    pub phases: Phases,
    /// What the check learnt.
    pub facts: &'a Facts,
    /// What it learnt in words.
    pub labels: &'a Labels,
    /// What it learnt in numbers that no table has.
    pub samples: &'a Samples,
    /// The last handshake, complete or not.
    pub tls: Option<&'a Arc<TlsInfo>>,
    /// The last address that the run connected to.
    pub address: Option<SocketAddr>,
    /// The flip that this result caused, if it did.
    pub transition: Option<Transition>,
    /// The steps of the run, if it was traced.
    pub trace: &'a [Step],
}

/// How much a line about a run matters to who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Debug,
    /// What is not in every run: a redirect.
    Info,
    /// A success that is not a plain one.
    Warn,
    /// A failure.
    Error,
}

/// One line of a traced run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Instant,
    /// How much it matters.
    pub level: Level,
    /// What, in a few words.
    pub text: String,
}
