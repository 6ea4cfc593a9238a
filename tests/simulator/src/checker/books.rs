//! Counters and histograms are the sum of the reports.

use std::collections::BTreeMap;

use probity_engine::{Engine, Instant, Outcome, Output, Reason, TargetId};

use super::{Checker, Seen};

/// Keeps books of its own.
#[derive(Debug, Default)]
pub struct Books {
    targets: BTreeMap<TargetId, Account>,
    /// All runs, by [`Outcome::index`].
    runs: [u64; 4],
    /// Targets that have reported since the books were last compared.
    dirty: Vec<TargetId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    results: [u64; 4],
    last: Option<Outcome>,
}

impl Books {
    fn compare(&self, id: TargetId, engine: &Engine) -> Result<(), String> {
        let (Some(account), Some(target)) = (self.targets.get(&id), engine.target(id)) else {
            return Ok(());
        };
        let (counted, reported) = (target.results, account.results);
        if counted != reported {
            return Err(format!(
                "{id:?} counts {counted:?}, reports were {reported:?}"
            ));
        }
        let known: u64 = reported[..3].iter().sum();
        let recorded = target.histogram.count();
        if recorded != known {
            return Err(format!(
                "the histogram of {id:?} has {recorded} durations, {known} were reported"
            ));
        }
        let buckets: u64 = target.histogram.buckets().map(|(_, count)| count).sum();
        if buckets + target.histogram.zero_count() != recorded {
            return Err(format!("the buckets of {id:?} do not add up to {recorded}"));
        }
        let last = target.last.map(|last| last.outcome);
        if last != account.last {
            let expected = account.last;
            return Err(format!(
                "the last result of {id:?} is {last:?}, not {expected:?}"
            ));
        }
        Ok(())
    }
}

impl Checker for Books {
    fn name(&self) -> &'static str {
        "books"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Output(_, Output::Report(report)) => {
                let outcome = report.outcome;
                self.runs[outcome.index()] += report.runs;
                let Some(id) = report.target else {
                    return Ok(());
                };
                self.dirty.push(id);
                if let Some(account) = self.targets.get_mut(&id) {
                    account.results[outcome.index()] += report.runs;
                    // A result that was cut off says nothing about the target.
                    if outcome != Outcome::Unknown(Reason::Cancelled) {
                        account.last = Some(outcome);
                    }
                }
            }
            Seen::Upsert(id, _) => {
                self.targets.entry(*id).or_default();
            }
            // Its last report may still come, and belongs to no account.
            Seen::Remove(id) => {
                self.targets.remove(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _: Instant, engine: &Engine) -> Result<(), String> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let compared = dirty.iter().try_for_each(|id| self.compare(*id, engine));
        dirty.clear();
        self.dirty = dirty;
        compared
    }

    fn finish(&mut self, now: Instant, engine: &Engine) -> Result<(), String> {
        let stats = engine.stats(now);
        if stats.runs != self.runs {
            let (counted, reported) = (stats.runs, self.runs);
            return Err(format!(
                "{counted:?} runs were counted, {reported:?} reported"
            ));
        }
        let reasons: u64 = stats.unknown.iter().sum();
        if reasons != self.runs[3] {
            let unknown = self.runs[3];
            return Err(format!("{reasons} reasons for {unknown} unknown results"));
        }
        self.targets
            .keys()
            .try_for_each(|id| self.compare(*id, engine))
    }
}
