//! `/fleet`: the series of every target, family by family.
//!
//! What the engine knows (rows) and what only the control plane knows (labels,
//! jobs) are both sorted by id and are joined in one walk. The order is that of
//! the ids, so the bytes of a scrape are those of the last one but for the
//! values.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::sync::Arc;

use probity_driver::Row;
use probity_engine::{Last, Outcome, Spec, TargetId};
use probity_spec::Labels;

use super::buckets::Buckets;
pub use super::families::TAKEN;
use super::families::{self, FAMILIES, Origin, Sight};
use super::samples;
use crate::exposition::labels::InvalidLabelName;
use crate::exposition::{Encoder, Kind, LabelSet};

/// What the control plane knows about the targets that it has configured.
#[derive(Clone, Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
    jobs: Vec<JobView>,
}

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in the engine.
    pub id: TargetId,
    /// Position of its job in [`Index::jobs`].
    pub job: usize,
    /// The target as it was written.
    pub target: Arc<str>,
    /// Its labels, with `job` and `instance`, sorted by name, for people.
    pub pairs: Labels,
    /// The same, rendered for series: [`labels`].
    pub labels: LabelSet,
    /// What the engine was told to do with it.
    pub spec: Arc<Spec>,
}

/// A fleet has a hundred thousand of them.
const _: () = assert!(size_of::<Entry>() <= 96);

/// What a job's targets expose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    /// `job_name`.
    pub name: String,
    /// Name of its module.
    pub module: String,
    /// `metrics: minimal`: only success, duration, health, results and the
    /// expiry of certificates.
    pub minimal: bool,
    /// Upper bounds, in seconds and ascending, of per-target classic buckets.
    /// Empty: per-target histograms are native ones, and only in protobuf.
    pub classic_buckets: Box<[f64]>,
}

/// Renders a target's labels so that they stand beside those of any metric.
///
/// # Errors
/// If a name cannot be that of a label.
pub fn labels(pairs: &Labels) -> Result<LabelSet, InvalidLabelName> {
    LabelSet::new(pairs.iter(), &TAKEN)
}

impl Index {
    /// An index of `entries`, in any order. Of several with one id the first
    /// is kept; one of a job that does not exist is left out.
    pub fn new(jobs: Vec<JobView>, mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| entry.job < jobs.len());
        entries.sort_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
        Self { entries, jobs }
    }

    /// The targets, sorted by id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The jobs, in the order of the file.
    pub fn jobs(&self) -> &[JobView] {
        &self.jobs
    }

    /// The job of an entry of this index.
    pub fn job(&self, entry: &Entry) -> &JobView {
        &self.jobs[entry.job]
    }

    /// The target of this id.
    pub fn get(&self, id: TargetId) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id);
        at.ok().and_then(|at| self.entries.get(at))
    }

    /// Entries and rows of the same target. `rows` must be sorted by id. What
    /// only one side has was added or removed a moment ago and is skipped.
    pub fn join<'a>(
        &'a self,
        rows: &'a [Row],
    ) -> impl Iterator<Item = (&'a Entry, &'a Row)> + use<'a> {
        let mut entries = self.entries.iter().peekable();
        rows.iter().filter_map(move |row| {
            loop {
                match entries.peek()?.id.cmp(&row.id) {
                    Ordering::Less => entries.next(),
                    Ordering::Equal => return Some((entries.next()?, row)),
                    Ordering::Greater => return None,
                };
            }
        })
    }
}

/// A target with a result. What is shown of it is looked up for each family: a scrape
/// holds one of these for every target of the fleet.
struct Line<'a> {
    entry: &'a Entry,
    row: &'a Row,
    last: &'a Last,
    origin: Origin,
}

impl<'a> Line<'a> {
    fn labels(&self) -> &'a LabelSet {
        &self.entry.labels
    }

    /// `None` while the last result is `Unknown`: nothing was seen.
    fn sight(&self) -> Option<Sight<'a>> {
        let sight = Sight::last(self.origin, self.last);
        sight.is_made().then_some(sight)
    }
}

/// What a scrape shows.
struct Lines<'a> {
    index: &'a Index,
    all: Vec<Line<'a>>,
}

impl<'a> Lines<'a> {
    /// Of a job with all metrics, and its targets.
    fn full(&self) -> impl Iterator<Item = (&'a JobView, &Line<'a>)> {
        let jobs = self
            .all
            .iter()
            .map(|line| (self.index.job(line.entry), line));
        jobs.filter(|(job, _)| !job.minimal)
    }
}

/// Writes the series of all targets of `rows` (sorted by id).
///
/// - A target without a result has no series.
/// - While its last result is `Unknown` it has none of the `probe_*` series:
///   the values of an earlier run would look like news. What is counted over
///   time stays.
/// - `probity_target_up` is absent while the health is unknown.
///
/// # Errors
/// Those of the sink.
pub fn write<W: Write>(encoder: &mut Encoder<W>, index: &Index, rows: &[Row]) -> io::Result<()> {
    let mut all = Vec::with_capacity(rows.len());
    all.extend(index.join(rows).filter_map(|(entry, row)| {
        Some(Line {
            entry,
            row,
            last: row.last()?,
            origin: Origin::of(&row.spec),
        })
    }));
    let lines = Lines { index, all };
    write_probes(encoder, &lines)?;
    write_failures(encoder, &lines)?;
    write_histograms(encoder, &lines)?;
    write_results(encoder, &lines)?;
    write_health(encoder, &lines)
}

fn write_probes<W: Write>(encoder: &mut Encoder<W>, lines: &Lines<'_>) -> io::Result<()> {
    let header = |family: &'static families::Family| (family.name, family.help);
    encoder.write_gauges(&FAMILIES, header, &lines.all, |out, family, line| {
        if (family.is_minimal() || !lines.index.job(line.entry).minimal)
            && let Some(sight) = line.sight()
        {
            family.samples(&sight, line.labels(), |extra, value| {
                out.sample(line.labels(), extra, value)
            })?;
        }
        Ok(())
    })?;
    let seen = lines.full().filter(|(_, line)| line.sight().is_some());
    let runs = seen.map(|(job, line)| (line.labels(), &*job.module, &line.last.samples));
    samples::write(encoder, runs)
}

fn write_failures<W: Write>(encoder: &mut Encoder<W>, lines: &Lines<'_>) -> io::Result<()> {
    let (name, help) = (
        "probity_last_failure_info",
        "Why the last probe failed; absent unless it did",
    );
    encoder.write_family(name, help, Kind::Gauge, |out| {
        for (_, line) in lines.full() {
            if let Outcome::Failure(reason) = line.last.outcome {
                out.sample(line.labels(), &[("reason", reason.name())], 1.0)?;
            }
        }
        Ok(())
    })
}

fn write_histograms<W: Write>(encoder: &mut Encoder<W>, lines: &Lines<'_>) -> io::Result<()> {
    let (name, help) = (
        "probity_probe_duration_seconds",
        "How long the target took for each probe that was made",
    );
    encoder.write_histograms(name, help, |out| {
        let mut buckets = Buckets::default();
        for (job, line) in lines.full() {
            if let Some(histogram) = line.row.histogram() {
                let histogram = buckets.load(histogram, &job.classic_buckets);
                out.sample(line.labels(), &[], &histogram)?;
            }
        }
        Ok(())
    })
}

fn write_results<W: Write>(encoder: &mut Encoder<W>, lines: &Lines<'_>) -> io::Result<()> {
    let (name, help) = (
        "probity_results_total",
        "Results of the target's probes; unknown are those that could not be made",
    );
    encoder.write_family(name, help, Kind::Counter, |out| {
        for line in &lines.all {
            for (name, count) in Outcome::NAMES.into_iter().zip(line.row.results()) {
                out.sample(line.labels(), &[("result", name)], count as f64)?;
            }
        }
        Ok(())
    })
}

fn write_health<W: Write>(encoder: &mut Encoder<W>, lines: &Lines<'_>) -> io::Result<()> {
    let (name, help) = (
        "probity_target_up",
        "Whether the target is up by its thresholds; absent while that is unknown",
    );
    encoder.write_family(name, help, Kind::Gauge, |out| {
        for line in &lines.all {
            if let Some(up) = line.row.up {
                out.sample(line.labels(), &[], f64::from(u8::from(up)))?;
            }
        }
        Ok(())
    })
}
