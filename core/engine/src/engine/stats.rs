//! What the engine knows about itself.

use crate::histogram::Exponential;
use crate::outcome::{Outcome, Reason};
use crate::resolve::ResolverStats;

/// Counters and gauges of one engine.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Finished runs by [`Outcome::index`], scheduled or not.
    pub runs: [u64; 4],
    /// Runs that ended as `Unknown`, by reason, in the order of [`Reason::ALL`].
    pub unknown: [u64; Reason::ALL.len()],
    /// How much later than due scheduled runs started.
    pub start_lag: Exponential,
    /// Registered targets.
    pub targets: u64,
    /// Targets of which nothing was learnt for two periods and a timeout:
    /// what is published about them may be out of date. Results that are
    /// [`Outcome::Unknown`] teach nothing.
    pub overdue: u64,
    /// Runs in flight, scheduled or not.
    pub in_flight: u32,
    /// Targets that are due and wait for a slot.
    pub queued: u32,
    /// The name resolver.
    pub resolver: ResolverStats,
}

impl Stats {
    /// Counts runs that whoever drives the engine has refused without it: they are
    /// unknown, for this reason.
    pub fn count_refused(&mut self, reason: Reason, runs: u64) {
        count(
            (&mut self.runs, &mut self.unknown),
            Outcome::Unknown(reason),
            runs,
        );
    }
}

/// By outcome, and those that are unknown by reason.
type ByOutcome<'a> = (&'a mut [u64; 4], &'a mut [u64; Reason::ALL.len()]);

fn count((by_outcome, unknown): ByOutcome<'_>, outcome: Outcome, runs: u64) {
    by_outcome[outcome.index()] += runs;
    if let Outcome::Unknown(reason) = outcome {
        unknown[reason as usize] += runs;
    }
}

/// The counters among them.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) runs: [u64; 4],
    pub(super) unknown: [u64; Reason::ALL.len()],
    pub(super) start_lag: Exponential,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            runs: [0; 4],
            unknown: [0; Reason::ALL.len()],
            start_lag: Exponential::default(),
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome, runs: u64) {
        count((&mut self.runs, &mut self.unknown), outcome, runs);
    }
}
