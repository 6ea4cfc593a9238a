//! What `/probe` found lately, for its page and for `/logs`.
//!
//! What a person may want to read of a run is kept as the run's report; it
//! becomes text when somebody asks. One entry is about a kilobyte and what its
//! steps say, at most 256 of 1 KiB; all together are at most
//! [`MOST_BYTES`], whatever the limit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use probity_driver::OwnedReport;
use probity_engine::Outcome;

/// Bytes that are remembered, about. The oldest go first, failed or not.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What an entry takes beside its texts: the report with its allocations.
const ENTRY_BYTES: usize = 1_024;

/// One run that was asked for.
#[derive(Debug)]
pub struct Record {
    /// Counts from 0.
    pub id: u64,
    /// The run.
    pub probed: Probed,
    bytes: usize,
}

/// A run, and what it was asked for with.
#[derive(Debug)]
pub struct Probed {
    /// The name of the module.
    pub module: Box<str>,
    /// The target as it was asked for, decoded.
    pub target: Box<str>,
    /// Time that the run was given.
    pub timeout: Duration,
    /// What happened, with its steps.
    pub report: OwnedReport,
    /// The module as YAML, without its secrets.
    pub config: Arc<str>,
}

impl Probed {
    /// What pages call the result.
    pub const fn result(&self) -> &'static str {
        match self.report.outcome {
            Outcome::Success | Outcome::Warning(_) => "Success",
            Outcome::Failure(_) => "Failure",
            Outcome::Unknown(_) => "Unknown",
        }
    }

    /// What it takes to remember it, about.
    fn bytes(&self) -> usize {
        let steps = self.report.trace.iter();
        let steps: usize = steps.map(|step| size_of_val(step) + step.text.len()).sum();
        // Shared by most, and counted with none of those.
        let own = Arc::strong_count(&self.config) == 1;
        let config = if own { self.config.len() } else { 0 };
        let texts = [&*self.module, &*self.target, &*self.report.detail];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        ENTRY_BYTES + steps + config + texts
    }
}

/// The last runs, and of those that fell out the last ones that were no
/// success.
#[derive(Debug)]
pub struct History {
    limit: usize,
    bytes: usize,
    next: u64,
    /// Oldest first, as everywhere here.
    results: VecDeque<Arc<Record>>,
    preserved: VecDeque<Arc<Record>>,
}

impl History {
    /// Remembers `limit` runs, and as many that were no success.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            next: 0,
            results: VecDeque::new(),
            preserved: VecDeque::new(),
        }
    }

    /// Adds a run that has ended.
    pub fn add(&mut self, probed: Probed) -> Arc<Record> {
        let record = Arc::new(Record {
            id: self.next,
            bytes: probed.bytes(),
            probed,
        });
        self.next += 1;
        self.bytes += record.bytes;
        self.results.push_back(Arc::clone(&record));
        if self.results.len() > self.limit
            && let Some(old) = self.results.pop_front()
        {
            if old.probed.report.outcome.is_success() {
                self.bytes -= old.bytes;
            } else {
                self.preserved.push_back(old);
            }
        }
        while self.preserved.len() > self.limit || self.bytes > MOST_BYTES {
            let oldest = self.preserved.pop_front();
            let Some(oldest) = oldest.or_else(|| self.results.pop_front()) else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
        record
    }

    /// All that is remembered, the oldest first.
    fn list(&self) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.preserved.iter().chain(&self.results)
    }

    /// The same, the latest first, for whoever takes longer with it than others
    /// should wait.
    pub fn latest_first(&self) -> Vec<Arc<Record>> {
        self.list().rev().cloned().collect()
    }

    /// A run by its number.
    pub fn by_id(&self, id: u64) -> Option<Arc<Record>> {
        self.list().find(|record| record.id == id).cloned()
    }

    /// The oldest run of a target, and of a module if one is named.
    pub fn by_target(&self, target: &str, module: Option<&str>) -> Option<Arc<Record>> {
        let is_it = |record: &&Arc<Record>| {
            *record.probed.target == *target
                && module.is_none_or(|module| *record.probed.module == *module)
        };
        self.list().find(is_it).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::bench;
    use probity_engine::Reason;

    fn probed(module: &str, target: &str, success: bool) -> Probed {
        let mut probed = bench::probed(bench::tcp(&[]));
        probed.report.outcome = if success {
            Outcome::Success
        } else {
            Outcome::Failure(Reason::ConnectRefused)
        };
        (probed.module, probed.target) = (module.into(), target.into());
        probed
    }

    fn ids(history: &History) -> Vec<u64> {
        history.list().map(|record| record.id).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_failures_longer() {
        let mut history = History::new(3);
        let add = |history: &mut History, results: &[bool]| {
            for success in results {
                history.add(probed("m", "t", *success));
            }
        };
        add(&mut history, &[true; 4]);
        assert_eq!(ids(&history), [1, 2, 3]);
        let mut history = History::new(3);
        add(&mut history, &[true, true, true, false, false, false]);
        assert_eq!(ids(&history), [3, 4, 5]);
        add(&mut history, &[false; 3]);
        assert_eq!(ids(&history), [3, 4, 5, 6, 7, 8]);
        add(&mut history, &[false, false, false, true, true, true]);
        assert_eq!(ids(&history), [9, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn few_that_say_much_are_enough() {
        let mut history = History::new(100_000);
        let target: Box<str> = "t".repeat(MOST_BYTES / 4).into();
        for _ in 0..10 {
            let mut told = probed("m", "t", false);
            told.target = target.clone();
            history.add(told);
        }
        assert_eq!(ids(&history), [7, 8, 9]);
        for _ in 0..100 {
            history.add(probed("m", "t", true));
        }
        assert_eq!(ids(&history)[..4], [7, 8, 9, 10], "small ones take little");
        let kept: usize = history.list().map(|record| record.bytes).sum();
        assert_eq!(kept, history.bytes);
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing() {
        let mut history = History::new(0);
        history.add(probed("m", "t", false));
        history.add(probed("m", "t", true));
        assert_eq!(ids(&history), [0_u64; 0]);
    }

    #[test]
    fn entries_are_found_by_id_and_by_target() {
        let mut history = History::new(3);
        for (module, target) in [("m0", "t0"), ("m1", "t1"), ("m0", "t1")] {
            history.add(probed(module, target, true));
        }
        let id = |found: Option<Arc<Record>>| found.map(|record| record.id);
        assert_eq!(id(history.by_id(0)), Some(0));
        assert_eq!(id(history.by_id(1)), Some(1));
        assert_eq!(id(history.by_id(5)), None);
        assert_eq!(id(history.by_target("t0", None)), Some(0));
        assert_eq!(id(history.by_target("t1", None)), Some(1));
        assert_eq!(id(history.by_target("t1", Some("m0"))), Some(2));
        assert_eq!(id(history.by_target("t1", Some("m5"))), None);
        assert_eq!(id(history.by_target("t2", None)), None);
    }
}
