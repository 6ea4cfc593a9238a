//! What `/probe` found lately, for its page and for `/logs`.
//!
//! What a person may want to read of a run is kept of the run's report; it
//! becomes text when somebody asks. One entry is about a kilobyte and what its
//! steps say, at most 256 of 1 KiB, with its labels and certificates; all
//! together, and the texts of their modules, are at most [`MOST_BYTES`],
//! whatever the limit. The module itself, whose body may be large, is not kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use probity_driver::OwnedReport;
use probity_engine::fact::{Facts, Labels, Sample, Samples};
use probity_engine::tls::TlsInfo;
use probity_engine::{Instant, Outcome, Phase, Phases, Step};

use crate::render::families::Origin;

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
    pub report: Kept,
    /// The module as YAML, without its secrets.
    pub config: Arc<str>,
}

/// What is kept of a report: all that pages show, and nothing of the module.
/// The fields are described at [`Report`](probity_engine::Report).
#[derive(Debug)]
#[expect(missing_docs, reason = "they are those of the engine's report")]
pub struct Kept {
    pub origin: Origin,
    pub outcome: Outcome,
    pub detail: Box<str>,
    pub phase: Phase,
    pub started: Instant,
    pub finished: Instant,
    pub total: Duration,
    pub phases: Phases,
    pub facts: Facts,
    pub labels: Labels,
    pub samples: Samples,
    pub tls: Option<Arc<TlsInfo>>,
    pub trace: Vec<Step>,
}

impl From<OwnedReport> for Kept {
    fn from(report: OwnedReport) -> Self {
        Self {
            origin: Origin::of(&report.spec),
            outcome: report.outcome,
            detail: report.detail,
            phase: report.phase,
            started: report.started,
            finished: report.finished,
            total: report.total,
            phases: report.phases,
            facts: report.facts,
            labels: report.labels,
            samples: report.samples,
            tls: report.tls,
            trace: report.trace,
        }
    }
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

    /// What it takes to remember it, about, without the text of its module.
    fn bytes(&self) -> usize {
        let report = &self.report;
        let steps = report.trace.iter();
        let steps: usize = steps.map(|step| size_of_val(step) + step.text.len()).sum();
        let labels = report.labels.iter();
        let labels: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
        let samples = report.samples.as_slice().iter();
        let samples: usize = samples.map(sample_bytes).sum();
        let chain = report.tls.as_ref().and_then(|tls| tls.chain.as_deref());
        let chain = chain.map_or(0, |chain| {
            let texts = [
                &chain.fingerprint_sha256,
                &chain.subject,
                &chain.issuer,
                &chain.subject_alternative,
                &chain.serial,
            ];
            texts.iter().map(|text| text.capacity()).sum()
        });
        let texts = [&*self.module, &*self.target, &*report.detail];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        ENTRY_BYTES + steps + labels + samples + chain + texts
    }
}

/// The metric itself is its module's.
fn sample_bytes(sample: &Sample) -> usize {
    let texts = sample.labels.iter();
    let texts: usize = texts.map(|text| size_of_val(text) + text.len()).sum();
    size_of::<Sample>() + texts
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
    /// How many of these share the text of a module, by its address: after a
    /// reload nobody else may hold it.
    texts: HashMap<usize, usize>,
}

impl History {
    /// Remembers `limit` runs, and as many that were no success.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            next: 0,
            results: VecDeque::new(),
            preserved: VecDeque::new(),
            texts: HashMap::new(),
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
        let config = &record.probed.config;
        let sharers = self.texts.entry(address(config)).or_default();
        if *sharers == 0 {
            self.bytes += config.len();
        }
        *sharers += 1;
        self.results.push_back(Arc::clone(&record));
        if self.results.len() > self.limit
            && let Some(old) = self.results.pop_front()
        {
            if old.probed.report.outcome.is_success() {
                self.forget(&old);
            } else {
                self.preserved.push_back(old);
            }
        }
        while self.preserved.len() > self.limit || self.bytes > MOST_BYTES {
            let oldest = self.preserved.pop_front();
            let Some(oldest) = oldest.or_else(|| self.results.pop_front()) else {
                break;
            };
            self.forget(&oldest);
        }
        record
    }

    /// Takes off what an entry took that is no longer in a list.
    fn forget(&mut self, record: &Record) {
        self.bytes -= record.bytes;
        let config = &record.probed.config;
        if let Some(sharers) = self.texts.get_mut(&address(config)) {
            *sharers -= 1;
            if *sharers == 0 {
                self.texts.remove(&address(config));
                self.bytes -= config.len();
            }
        }
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

/// Tells texts apart that are held.
fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).addr()
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
    fn labels_certificates_and_modules_count_and_a_shared_module_once() {
        let third = MOST_BYTES / 3;
        let mut history = History::new(100);
        for _ in 0..4 {
            let mut told = probed("m", "t", false);
            let mut tls = Arc::unwrap_or_clone(bench::handshake(1, None));
            if let Some(chain) = &mut tls.chain {
                chain.subject_alternative = "a".repeat(third);
            }
            told.report.tls = Some(Arc::new(tls));
            history.add(told);
        }
        assert_eq!(ids(&history), [2, 3], "old ones go for certificates");

        let mut history = History::new(100);
        for _ in 0..4 {
            let mut told = probed("m", "t", true);
            told.config = "c".repeat(third).into();
            history.add(told);
        }
        assert_eq!(ids(&history), [2, 3], "each has a text of its own");
        let shared: Arc<str> = "c".repeat(third).into();
        for _ in 0..50 {
            let mut told = probed("m", "t", true);
            told.config = Arc::clone(&shared);
            history.add(told);
        }
        assert_eq!(
            history.list().count(),
            51,
            "one text, however many share it"
        );
        let bound = third * 2 + 51 * 2 * ENTRY_BYTES;
        assert!((2 * third..bound).contains(&history.bytes));

        let banner = b"SSH-2.0-OpenSSH_9.6\r\n";
        let script = [
            (1_000, bench::Event::Opened),
            (1_000, bench::Event::Data(banner)),
        ];
        let report = bench::run("ssh", "192.0.2.7:22", &script);
        let told = bench::probed(report);
        let labels: usize = told
            .report
            .labels
            .iter()
            .map(|(_, value)| value.len())
            .sum();
        let with = told.bytes();
        let mut bare = told;
        bare.report.labels = Labels::default();
        assert!(labels > 0 && with >= bare.bytes() + labels, "{with}");
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
