//! The n-th run of a target is due at `offset + n * period`, and there are
//! never two at once. A trigger starts the period anew.

use std::collections::BTreeMap;
use std::time::Duration;

use probity_engine::threshold::Kind;
use probity_engine::{Engine, Instant, Outcome, Output, Reason, Report, Schedule, TargetId};

use super::{Checker, Seen, TICK, Terms};

/// Learns each target's offset from its first run and holds it to it.
#[derive(Debug)]
pub struct OnSchedule {
    terms: Terms,
    /// When start-up ended; `None` again after a shutdown.
    begun: Option<Instant>,
    targets: BTreeMap<TargetId, Plan>,
    swept: Instant,
}

#[derive(Clone, Debug)]
struct Plan {
    schedule: Schedule,
    /// Whether its check may come to an end.
    holds: bool,
    /// When it was first registered.
    added: Instant,
    /// When the schedule began: registered, changed, or start-up ended.
    since: Instant,
    /// Where in the period it is due; unknown before the first run.
    offset: Option<u64>,
    /// The latest of its runs that was due by the clock.
    due: Option<Instant>,
    /// When its latest run ended.
    finished: Option<Instant>,
    /// The end of a run during which another came due: the next one must have
    /// been due by then.
    owed: Option<Instant>,
    /// When it was made due out of turn.
    triggered: Vec<Instant>,
    /// When that last was, until a run shows how its period counts since.
    rephased: Option<Instant>,
    /// Where in the period it may be due since then: the run that was
    /// triggered looks like another attempt of the one before.
    candidates: Vec<u64>,
}

/// How often is looked for targets that are forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections of one run that have to wait for their destination's rate: those
/// of a chain of redirects.
const HELD_BACK: u32 = 12;

impl OnSchedule {
    pub(super) const fn new(terms: Terms) -> Self {
        Self {
            terms,
            begun: None,
            targets: BTreeMap::new(),
            swept: Instant::ZERO,
        }
    }
}

impl Plan {
    fn report(
        &mut self,
        id: TargetId,
        report: &Report<'_>,
        begun: Instant,
        lag: Duration,
    ) -> Result<(), String> {
        let (due, started) = (report.due, report.started);
        let before = self.finished.replace(report.finished);
        if before.is_some_and(|before| started < before) {
            return Err(format!("two runs of {id:?} at once, at {started}"));
        }
        if started < due {
            return Err(format!(
                "{id:?} started at {started}, before it was due at {due}"
            ));
        }
        if let Outcome::Unknown(Reason::Cancelled) = report.outcome {
            self.owed = None;
            return Ok(());
        }
        if let Some(by) = self.owed.take().filter(|by| due > *by) {
            return Err(format!(
                "{id:?} came due before {by}, while it was busy, and next only for {due}"
            ));
        }
        let period = self.schedule.period().as_nanos() as u64;
        let position = due.as_nanos().saturating_sub(begun.as_nanos()) % period;
        // Another attempt, a tick that came while the last run went on, or a
        // trigger.
        if before == Some(due) || self.triggered.contains(&due) {
            if self.rephased.is_some() {
                self.candidates.push(position);
            }
            return Ok(());
        }
        let expected = self.offset.is_none_or(|offset| offset == position);
        if !expected && !self.candidates.contains(&position) {
            return Err(format!(
                "{id:?} was due at {due}, which is off its schedule"
            ));
        }
        if self.rephased.is_some_and(|at| started > at) {
            self.rephased = None;
            self.candidates.clear();
        }
        self.offset = Some(position);
        let earliest = self.added.max(begun) + self.schedule.initial_delay();
        if due < earliest {
            return Err(format!("{id:?} was due at {due}, within its initial delay"));
        }
        // What it may have missed is what came while it was busy, or waited for
        // room when it was changed.
        let busy_until = before.unwrap_or(earliest).max(earliest).max(self.since) + lag;
        let skipped = due.as_nanos().saturating_sub(period);
        match self.due {
            // Runs that were missed are reported at once, with the one that is due.
            Some(last) if due == last && before == Some(started) => {}
            Some(last) if due <= last => return Err(format!("{id:?} ran twice for {due}")),
            Some(last) if due == last + self.schedule.period() => {}
            _ if skipped > busy_until.as_nanos() => {
                let skipped = Instant::from_nanos(skipped);
                return Err(format!("{id:?} skipped its run at {skipped}"));
            }
            _ => {}
        }
        self.due = Some(due);
        Ok(())
    }

    /// Notes whether a run was asked for while this one waited or went on:
    /// one is remembered, as in the kubelet. `lag` is how late a timer may be.
    fn owe(&mut self, report: &Report<'_>, begun: Instant, lag: Duration) {
        let Some(offset) = self
            .offset
            .filter(|_| !self.holds && self.rephased.is_none())
        else {
            return;
        };
        let period = self.schedule.period().as_nanos() as u64;
        let passed = |at: Instant| {
            let since = at.as_nanos().saturating_sub(begun.as_nanos());
            since.checked_sub(offset).map(|since| since / period)
        };
        let seen = report.finished.as_nanos();
        let seen = Instant::from_nanos(seen.saturating_sub(lag.as_nanos() as u64));
        let since = report.due.max(self.since);
        self.owed = (passed(seen) > passed(since)).then_some(report.finished);
    }

    /// Until when there must be something to report, if a run may be held back
    /// `holds` times.
    fn patience(&self, begun: Instant, holds: u32, slack: Duration) -> Instant {
        let begin = self.added.max(begun) + self.schedule.initial_delay();
        let last = self.finished.unwrap_or(begin).max(begin).max(self.since);
        let (period, timeout) = (self.schedule.period(), self.schedule.timeout());
        // Due within a period, may queue for a timeout, be held back for
        // others, and last for one more.
        last + period + timeout * (2 + holds) + slack
    }
}

impl Checker for OnSchedule {
    fn name(&self) -> &'static str {
        "on schedule"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Begin => {
                self.begun.get_or_insert(now);
                for plan in self.targets.values_mut() {
                    plan.since = now;
                }
            }
            Seen::Shutdown => self.begun = None,
            Seen::Upsert(id, spec) => {
                let known = self.targets.get(id);
                let same = known.is_some_and(|it| it.schedule == spec.schedule);
                let plan = Plan {
                    schedule: spec.schedule,
                    holds: matches!(spec.threshold.kind(), Kind::Liveness | Kind::Startup),
                    added: known.map_or(now, |it| it.added),
                    since: now,
                    // A trigger may not have shown its effect.
                    offset: known
                        .filter(|it| same && it.rephased.is_none())
                        .and_then(|it| it.offset),
                    due: None,
                    finished: known.and_then(|it| it.finished),
                    owed: None,
                    triggered: Vec::new(),
                    rephased: None,
                    candidates: Vec::new(),
                };
                self.targets.insert(*id, plan);
            }
            Seen::Remove(id) => {
                self.targets.remove(id);
            }
            Seen::Trigger(id) => {
                if let Some(plan) = self.targets.get_mut(id) {
                    plan.triggered.push(now);
                    plan.rephased = Some(now);
                }
            }
            Seen::Output(_, Output::Report(report)) => {
                let Some((id, plan)) = report
                    .target
                    .and_then(|id| Some((id, self.targets.get_mut(&id)?)))
                else {
                    return Ok(());
                };
                let Some(begun) = self.begun else {
                    return match report.outcome {
                        Outcome::Unknown(Reason::Shutdown) => Ok(()),
                        _ => Err(format!("{id:?} ran while nothing is scheduled")),
                    };
                };
                let lag = TICK + self.terms.longest_lag;
                plan.report(id, report, begun, lag)?;
                plan.owe(report, begun, lag);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, now: Instant, _: &Engine) -> Result<(), String> {
        let Some(begun) = self.begun.filter(|_| now >= self.swept + SWEEP) else {
            return Ok(());
        };
        self.swept = now;
        let slack = (TICK + self.terms.longest_lag) * 4;
        // Each connection of a run may have to wait for its destination.
        let holds = match self.terms.limits.starts_per_destination {
            0 => 0,
            _ => HELD_BACK,
        };
        let mut probed = self.targets.iter().filter(|(_, plan)| !plan.holds);
        match probed.find(|(_, plan)| now > plan.patience(begun, holds, slack)) {
            Some((id, plan)) => {
                let last = plan.finished;
                Err(format!(
                    "{id:?} was forgotten: its last run ended at {last:?}"
                ))
            }
            None => Ok(()),
        }
    }
}
