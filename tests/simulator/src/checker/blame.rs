//! Nobody is blamed for what is not his fault, and nobody gets away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use probity_engine::{Closed, Input, Instant, Outcome, Output, Reason, Report, RunId, TargetId};

use super::{Checker, Seen};

/// What is really the case: the world knows.
#[derive(Clone, Debug, Default)]
pub struct Truth(Rc<RefCell<BTreeMap<TargetId, (Condition, Instant)>>>);

/// How a target is, if nothing comes between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A failure needs a fault on the way to one of these.
    Healthy(Vec<SocketAddr>),
    /// There must be no success.
    Failing,
    /// The same; a failure that blames somebody else needs a fault on the way
    /// to one of these.
    FailingBy(Culprit, Vec<SocketAddr>),
    /// It comes and goes.
    Mixed,
}

/// Whose fault a failure is, as far as a prober can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The target itself.
    Target,
    /// The proxy on the way, without which nothing can be said of the target.
    Proxy,
    /// Whoever should have given a token.
    TokenEndpoint,
    /// It depends on how a stream was cut.
    Unclear,
}

impl Culprit {
    /// Whether a failure for this reason is blamed on the right one.
    fn is_named_by(self, reason: Reason) -> bool {
        let name = reason.name();
        let named = match reason {
            Reason::TimeoutProxy => Self::Proxy,
            Reason::TimeoutOauth2 => Self::TokenEndpoint,
            _ if name.starts_with("proxy_") => Self::Proxy,
            _ if name.starts_with("oauth2_") => Self::TokenEndpoint,
            _ => Self::Target,
        };
        self == named || self == Self::Unclear
    }
}

impl Truth {
    /// From `now` on a target is like this.
    pub fn set(&self, id: TargetId, condition: Condition, now: Instant) {
        self.0.borrow_mut().insert(id, (condition, now));
    }

    fn get(&self, id: TargetId) -> Option<(Condition, Instant)> {
        self.0.borrow().get(&id).cloned()
    }
}

/// Compares verdicts with the truth.
#[derive(Debug)]
pub struct Blame {
    truth: Truth,
    /// Runs that were told of a local failure, and of which.
    local: BTreeMap<RunId, Reason>,
    /// When the world last misbehaved towards each address.
    faults: BTreeMap<SocketAddr, Instant>,
    /// When it last misbehaved towards a DNS server.
    dns: Option<Instant>,
}

/// How long after a fault in DNS a result may still follow from it: a look-up
/// may have begun before the run that joined it.
const DNS_MEMORY: Duration = Duration::from_secs(30);

impl Blame {
    pub(super) const fn new(truth: Truth) -> Self {
        Self {
            truth,
            local: BTreeMap::new(),
            faults: BTreeMap::new(),
            dns: None,
        }
    }

    /// Whether the world misbehaved so that a report may say what it likes.
    fn excuses(&self, report: &Report<'_>, addresses: &[SocketAddr]) -> bool {
        let excused = |at: Instant| at >= report.started;
        let mut faults = addresses.iter().filter_map(|to| self.faults.get(to));
        let dns = self.dns.is_some_and(|at| excused(at + DNS_MEMORY));
        dns || faults.any(|at| excused(*at))
    }

    fn judge(&self, id: TargetId, report: &Report<'_>) -> Result<(), String> {
        let outcome = report.outcome;
        let Some((condition, since)) = self.truth.get(id) else {
            return Ok(());
        };
        if report.started < since {
            return Ok(());
        }
        match (condition, outcome) {
            (
                Condition::Failing | Condition::FailingBy(..),
                Outcome::Success | Outcome::Warning(_),
            ) => {
                let (kind, at) = (report.spec.check.kind(), report.address);
                Err(format!(
                    "{id:?} ({kind} at {at:?}) is failing and was reported as {outcome:?}"
                ))
            }
            (Condition::FailingBy(culprit, addresses), Outcome::Failure(reason)) => {
                if culprit.is_named_by(reason) || self.excuses(report, &addresses) {
                    return Ok(());
                }
                let detail = report.detail;
                Err(format!(
                    "{id:?} fails because of {culprit:?} and was reported as {reason} ({detail})"
                ))
            }
            (Condition::Healthy(addresses), Outcome::Failure(_)) => {
                if self.excuses(report, &addresses) {
                    return Ok(());
                }
                let detail = report.detail;
                Err(format!(
                    "{id:?} is healthy and was reported as {outcome:?} ({detail})"
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Blame {
    fn name(&self) -> &'static str {
        "blame"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Fault(to) if to.port() == 53 => self.dns = Some(now),
            Seen::Fault(to) => {
                self.faults.insert(*to, now);
            }
            Seen::Input(run, Input::Closed(_, Closed::Local(reason))) => {
                self.local.insert(*run, *reason);
            }
            Seen::Output(run, Output::Report(report)) => {
                let outcome = report.outcome;
                if let Some(reason) = self.local.remove(run)
                    && outcome != Outcome::Unknown(reason)
                {
                    return Err(format!(
                        "run {run} ended as {outcome:?}, but {reason} is a failure of ours"
                    ));
                }
                if let Some(id) = report.target {
                    return self.judge(id, report);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
