//! No report comes later than its deadline plus one tick.

use std::collections::BTreeMap;
use std::time::Duration;

use probity_engine::{Engine, Instant, Output, RunId};

use super::{Checker, Seen, TICK, Terms};

/// Compares the time of a report with when its run started.
///
/// A run that the rate towards its destination held back gets that time on
/// top; [`Report::total`](probity_engine::Report::total) is without it.
#[derive(Debug)]
pub struct Deadlines {
    terms: Terms,
    /// Timeouts of runs outside the schedule.
    once: Vec<(RunId, Duration)>,
    /// Runs that have spoken and not reported, with the time since when.
    running: BTreeMap<RunId, Instant>,
    longest: Duration,
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
            swept: Instant::ZERO,
        }
    }

    fn slack(&self) -> Duration {
        TICK + self.terms.longest_lag
    }

    fn holds_back(&self) -> bool {
        self.terms.limits.starts_per_destination > 0
    }
}

impl Checker for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Upsert(_, spec) => self.longest = self.longest.max(spec.schedule.timeout()),
            Seen::Once(run, timeout) => {
                self.once.push((*run, *timeout));
                self.longest = self.longest.max(*timeout);
            }
            Seen::Output(run, Output::Open(_, endpoint)) if endpoint.to.port() != 53 => {
                self.running.entry(*run).or_insert(now);
            }
            Seen::Output(run, Output::Report(report)) => {
                self.running.remove(run);
                let timeout = match self.once.iter().position(|(known, _)| known == run) {
                    Some(index) => self.once.swap_remove(index).1,
                    None => report.spec.schedule.timeout(),
                };
                let allowed = timeout + self.slack();
                let spent = if self.holds_back() {
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
