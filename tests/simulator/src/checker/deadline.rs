//! No report comes later than its deadline plus one tick.

use std::collections::BTreeMap;
use std::time::Duration;

use probity_engine::{Engine, Instant, Output, RunId};

use super::{Checker, Seen, TICK, Terms};

/// Compares the time of a report with when its run started.
///
/// A run of the schedule that was held back, by the rate towards its destination or
/// until its look-up could begin, gets that time on top;
/// [`Report::total`](probity_engine::Report::total) is without it.
#[derive(Debug)]
pub struct Deadlines {
    terms: Terms,
    /// Timeouts of runs outside the schedule.
    once: Vec<(RunId, Duration)>,
    /// Runs that have spoken and not reported, with the time since when.
    running: BTreeMap<RunId, Instant>,
    longest: Duration,
    /// No more than these can be in flight.
    runs: u32,
    /// When those were last looked at.
    swept: Instant,
}

/// How often runs are looked at that have not reported.
const SWEEP: Duration = Duration::from_secs(1);

impl Deadlines {
    pub(super) const fn new(terms: Terms) -> Self {
        Self {
            terms,
            once: Vec::new(),
            running: BTreeMap::new(),
            longest: Duration::ZERO,
            runs: 0,
            swept: Instant::ZERO,
        }
    }

    fn slack(&self) -> Duration {
        TICK + self.terms.longest_lag
    }

    fn holds_back(&self) -> bool {
        let limits = &self.terms.limits;
        limits.starts_per_destination > 0 || limits.lookups < self.runs
    }
}

impl Checker for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Upsert(_, spec) => {
                self.runs += 1;
                self.longest = self.longest.max(spec.schedule.timeout());
            }
            Seen::Once(run, timeout) => {
                self.runs += 1;
                self.once.push((*run, *timeout));
                self.longest = self.longest.max(*timeout);
            }
            Seen::Output(run, Output::Open(_, endpoint)) if endpoint.to.port() != 53 => {
                self.running.entry(*run).or_insert(now);
            }
            Seen::Output(run, Output::Report(report)) => {
                self.running.remove(run);
                let known = self.once.iter().position(|(known, _)| known == run);
                let once = known.map(|index| self.once.swap_remove(index).1);
                let timeout = once.unwrap_or_else(|| report.spec.schedule.timeout());
                let allowed = timeout + self.slack();
                let spent = if once.is_none() && self.holds_back() {
                    report.total
                } else {
                    now - report.started
                };
                if spent > allowed {
                    return Err(format!(
                        "run {run} reported {spent:?} after its start, {timeout:?} are allowed"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, now: Instant, _: &Engine) -> Result<(), String> {
        if now < self.swept + SWEEP {
            return Ok(());
        }
        self.swept = now;
        // Each request of a chain of redirects may be held back for a timeout.
        let most = if self.holds_back() { 12 } else { 1 };
        let allowed = self.longest * most + self.slack();
        let mut running = self.running.iter();
        let Some((run, since)) = running.find(|(_, since)| now - **since > allowed) else {
            return Ok(());
        };
        let (run, spent) = (*run, now - *since);
        self.running.remove(&run);
        Err(format!("run {run} has not reported for {spent:?}"))
    }
}
