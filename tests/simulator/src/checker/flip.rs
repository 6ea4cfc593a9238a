//! Health flips when the configured number of results in a row says so, and
//! only then.

use std::collections::BTreeMap;

use probity_engine::threshold::{Config, Kind, Transition};
use probity_engine::{Engine, Instant, Outcome, Output, Phase, Reason, Report, TargetId};

use super::{Checker, Seen};

/// Keeps a model of every target's health and compares each report with it.
#[derive(Debug, Default)]
pub struct Flips {
    targets: BTreeMap<TargetId, Model>,
    dirty: Vec<TargetId>,
}

/// The kubelet's rules for a target without a container: `reference` to the
/// engine's `threshold` module, written from its table and not from its code.
#[derive(Clone, Copy, Debug)]
struct Model {
    config: Config,
    published: Option<bool>,
    /// The latest unbroken run of equal results.
    streak: Option<(bool, u32)>,
    /// A decision was made that somebody else acts on.
    decided: bool,
}

impl Model {
    const fn new(config: Config) -> Self {
        Self {
            config,
            published: match config.kind() {
                Kind::Plain | Kind::Startup => None,
                Kind::Liveness => Some(true),
                Kind::Readiness => Some(false),
            },
            streak: None,
            decided: false,
        }
    }

    fn observe(&mut self, up: bool) -> Option<Transition> {
        if self.decided {
            return None;
        }
        let run = match self.streak {
            Some((same, run)) if same == up => run + 1,
            _ => 1,
        };
        self.streak = Some((up, run));
        let (enough, decisive) = match (up, self.config.kind()) {
            (true, kind) => (self.config.success(), kind == Kind::Startup),
            (false, Kind::Liveness | Kind::Startup) => (self.config.failure(), true),
            (false, _) => (self.config.failure(), false),
        };
        if run < enough {
            return None;
        }
        self.decided = decisive;
        let from = self.published.replace(up);
        (from != Some(up)).then_some(Transition { from, to: up, run })
    }
}

/// Whether a result says that the target is up; `None` if it says nothing.
fn verdict(kind: Kind, report: &Report<'_>) -> Option<bool> {
    match report.outcome {
        Outcome::Success | Outcome::Warning(_) => Some(true),
        Outcome::Unknown(_) => None,
        // The kubelet discards a body that could not be read.
        Outcome::Failure(_) if kind != Kind::Plain && is_cut_off(report) => None,
        Outcome::Failure(_) => Some(false),
    }
}

/// Whether the head of the final response was read, and its body was not. The
/// worlds have no chains of redirects that end so.
fn is_cut_off(report: &Report<'_>) -> bool {
    let mut facts = report.spec.check.facts().iter();
    let status = facts.find(|fact| fact.name == "probe_http_status_code");
    let status = status.and_then(|fact| fact.read(report.facts, &report.phases));
    let answered = status.is_some_and(|status| status > 0.0);
    answered
        && report.phase == Phase::Transfer
        && report.phases.get(Phase::Transfer).is_none()
        && !matches!(
            report.outcome,
            Outcome::Failure(Reason::BodyLimit | Reason::BodyEncoding)
                | Outcome::Unknown(Reason::LocalBound)
        )
}

impl Checker for Flips {
    fn name(&self) -> &'static str {
        "flips"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Upsert(id, spec) => {
                let config = spec.threshold;
                let fresh = Model::new(config);
                let model = self.targets.entry(*id).or_insert(fresh);
                if model.config.kind() == config.kind() {
                    model.config = config;
                } else {
                    *model = fresh;
                }
            }
            Seen::Remove(id) => {
                self.targets.remove(id);
            }
            Seen::Output(run, Output::Report(report)) => {
                let Some(id) = report.target else {
                    return match report.transition {
                        Some(_) => Err(format!("run {run} belongs to no target and flipped it")),
                        None => Ok(()),
                    };
                };
                let Some(model) = self.targets.get_mut(&id) else {
                    return Ok(());
                };
                self.dirty.push(id);
                let verdict = verdict(model.config.kind(), report);
                let expected = verdict.and_then(|up| model.observe(up));
                if report.transition != expected {
                    let found = report.transition;
                    return Err(format!("{id:?} reported {found:?} instead of {expected:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _: Instant, engine: &Engine) -> Result<(), String> {
        for id in self.dirty.drain(..) {
            let (Some(model), Some(target)) = (self.targets.get(&id), engine.target(id)) else {
                continue;
            };
            let (published, expected) = (target.up, model.published);
            if published != expected {
                return Err(format!(
                    "{id:?} is published {published:?}, not {expected:?}"
                ));
            }
        }
        Ok(())
    }
}
