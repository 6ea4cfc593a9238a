//! Numbers about groups of targets and about the workers themselves.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use probity_engine::histogram::Exponential;
use probity_engine::resolve::ResolverStats;
use probity_engine::{GroupId, Instant, Outcome, Phase, Report};

/// Significant digits of the HDR histograms: an error of at most 0.1 %.
const DIGITS: u8 = 3;
/// Longer than this counts as this, in microseconds: one day. It bounds the
/// size of a histogram.
const LONGEST_MICROS: u64 = 24 * 60 * 60 * 1_000_000;
/// Shortest time over which a busy ratio is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// Counters, gauges and histograms of all workers together.
#[derive(Clone, Debug)]
pub struct Stats {
    /// What the engines know about themselves, added up.
    pub engine: probity_engine::Stats,
    /// Each worker.
    pub workers: Vec<WorkerStats>,
    /// Each group that had a result, sorted by id.
    pub groups: Vec<(GroupId, GroupStats)>,
    /// Notices that were lost since the start, because nobody took them.
    pub notices_dropped: u64,
    /// Whether all workers have answered. They have not if the driver has
    /// stopped meanwhile.
    pub complete: bool,
}

/// One worker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerStats {
    /// Which, from 0.
    pub worker: usize,
    /// Part of the time that it was not waiting, 0 to 1, over the last window:
    /// at least a second.
    pub busy_ratio: f64,
    /// Rounds of its loop so far.
    pub turns: u64,
    /// Sockets that are open.
    pub connections_open: u32,
}

/// The results of one group. Runs that were asked for with `run_once` count
/// like scheduled ones.
#[derive(Clone, Debug)]
pub struct GroupStats {
    /// Results by [`Outcome::index`].
    pub runs: [u64; 4],
    /// Durations of all results that were not `Unknown`.
    pub total: PhaseStats,
    /// Durations of the phases that those completed, by `Phase as usize`;
    /// `resolve` only where a name server was asked.
    pub phases: [PhaseStats; 5],
}

/// How long something took, twice: with fixed precision to read quantiles
/// from, and exponential to expose.
#[derive(Clone, Debug)]
pub struct PhaseStats {
    /// In microseconds, to three digits; beyond a day counts as a day.
    pub hdr: Histogram<u32>,
    /// In seconds, schema 3.
    pub native: Exponential,
}

impl Default for PhaseStats {
    fn default() -> Self {
        Self {
            hdr: Histogram::new(DIGITS).expect("0 to 5 digits are legal"),
            native: Exponential::new(),
        }
    }
}

impl PhaseStats {
    /// Counts one observation.
    pub fn record(&mut self, spent: Duration) {
        let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        // It grows as needed, and LONGEST_MICROS is not too much to ask.
        let _ = self.hdr.record(micros.min(LONGEST_MICROS));
        self.native.record(spent);
    }

    /// Adds all observations of `other`.
    pub fn merge(&mut self, other: &Self) {
        // It grows as needed.
        let _ = self.hdr.add(&other.hdr);
        self.native.merge(&other.native);
    }
}

impl Default for GroupStats {
    fn default() -> Self {
        Self {
            runs: [0; 4],
            total: PhaseStats::default(),
            phases: std::array::from_fn(|_| PhaseStats::default()),
        }
    }
}

impl GroupStats {
    fn count(&mut self, report: &Report<'_>) {
        self.runs[report.outcome.index()] += report.runs;
        if let Outcome::Unknown(_) = report.outcome {
            return;
        }
        self.total.record(report.total);
        for (phase, spent) in report.phases.iter() {
            // Nothing was asked for an address, or for a name that the cache
            // knew: as many zeros would hide how long it takes to ask.
            if phase == Phase::Resolve && spent.is_zero() {
                continue;
            }
            self.phases[phase as usize].record(spent);
        }
    }

    /// Adds all results of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.runs.iter_mut().zip(other.runs) {
            *mine += theirs;
        }
        self.total.merge(&other.total);
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            mine.merge(theirs);
        }
    }
}

/// The groups of one worker.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_id: BTreeMap<GroupId, GroupStats>,
}

impl Groups {
    /// Books a result.
    pub(crate) fn count(&mut self, report: &Report<'_>) {
        let group = self.by_id.entry(report.spec.group).or_default();
        group.count(report);
    }

    /// Forgets what was counted for a group.
    pub(crate) fn forget(&mut self, group: GroupId) {
        self.by_id.remove(&group);
    }

    /// Copies of the groups from `cursor` on, at most `count`, and where to go
    /// on if there are more.
    pub(crate) fn copy(
        &self,
        cursor: GroupId,
        count: usize,
        into: &mut Vec<(GroupId, GroupStats)>,
    ) -> Option<GroupId> {
        let mut rest = self.by_id.range(cursor..);
        let part = rest.by_ref().take(count);
        into.extend(part.map(|(id, stats)| (*id, stats.clone())));
        rest.next().map(|(id, _)| *id)
    }
}

/// How much of its time a worker does not wait.
#[derive(Debug)]
pub(crate) struct Busy {
    since: Instant,
    waited: Duration,
    last: f64,
}

impl Busy {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            waited: Duration::ZERO,
            last: 0.0,
        }
    }

    /// The worker has waited for `waited` until `now`.
    pub(crate) fn waited(&mut self, waited: Duration, now: Instant) {
        self.waited += waited;
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            let idle = self.waited.as_secs_f64() / elapsed.as_secs_f64();
            self.last = (1.0 - idle).clamp(0.0, 1.0);
            self.since = now;
            self.waited = Duration::ZERO;
        }
    }

    /// Of the last complete window.
    pub(crate) const fn ratio(&self) -> f64 {
        self.last
    }
}

/// What one worker answers.
#[derive(Clone, Debug)]
pub(crate) struct ShardStats {
    pub(crate) engine: probity_engine::Stats,
    pub(crate) worker: WorkerStats,
    pub(crate) groups: Vec<(GroupId, GroupStats)>,
}

impl Stats {
    /// Puts the answers of all workers together.
    pub(crate) fn assemble(parts: Vec<ShardStats>, complete: bool, notices_dropped: u64) -> Self {
        let mut stats = Self {
            engine: nothing(),
            workers: Vec::with_capacity(parts.len()),
            groups: Vec::new(),
            notices_dropped,
            complete,
        };
        let mut groups = HashMap::<GroupId, GroupStats>::new();
        for part in parts {
            add(&mut stats.engine, &part.engine);
            stats.workers.push(part.worker);
            for (id, group) in part.groups {
                match groups.get_mut(&id) {
                    Some(known) => known.merge(&group),
                    None => {
                        groups.insert(id, group);
                    }
                }
            }
        }
        stats.workers.sort_unstable_by_key(|it| it.worker);
        stats.groups.extend(groups);
        stats.groups.sort_unstable_by_key(|(id, _)| *id);
        stats
    }
}

fn nothing() -> probity_engine::Stats {
    probity_engine::Stats {
        runs: [0; 4],
        unknown: [0; probity_engine::Reason::ALL.len()],
        start_lag: Exponential::new(),
        targets: 0,
        overdue: 0,
        in_flight: 0,
        queued: 0,
        resolver: ResolverStats::default(),
    }
}

fn add(sum: &mut probity_engine::Stats, part: &probity_engine::Stats) {
    for (mine, theirs) in sum.runs.iter_mut().zip(part.runs) {
        *mine += theirs;
    }
    for (mine, theirs) in sum.unknown.iter_mut().zip(part.unknown) {
        *mine += theirs;
    }
    sum.start_lag.merge(&part.start_lag);
    sum.targets += part.targets;
    sum.overdue += part.overdue;
    sum.in_flight += part.in_flight;
    sum.queued += part.queued;
    let (mine, theirs) = (&mut sum.resolver, &part.resolver);
    mine.cache_hits += theirs.cache_hits;
    mine.cache_misses += theirs.cache_misses;
    mine.joined += theirs.joined;
    mine.cached_names += theirs.cached_names;
    mine.queries += theirs.queries;
    mine.tcp_fallbacks += theirs.tcp_fallbacks;
    mine.lookups += theirs.lookups;
    mine.lookups_in_flight += theirs.lookups_in_flight;
    mine.lookups_queued += theirs.lookups_queued;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_all_sizes_are_kept() {
        let mut stats = PhaseStats::default();
        for spent in [
            Duration::ZERO,
            Duration::from_micros(1),
            Duration::from_millis(250),
            Duration::from_secs(366 * 24 * 60 * 60),
        ] {
            stats.record(spent);
        }
        assert_eq!(stats.hdr.len(), 4);
        assert_eq!(stats.native.count(), 4);
        assert!(stats.hdr.max() >= LONGEST_MICROS);
        let mut merged = PhaseStats::default();
        merged.merge(&stats);
        merged.merge(&stats);
        assert_eq!(merged.hdr.len(), 8);
        assert_eq!(merged.native.count(), 8);
    }

    #[test]
    fn a_copy_goes_on_where_a_group_was_forgotten() {
        let mut groups = Groups::default();
        for id in [9, 2, 5, 7] {
            groups.by_id.insert(GroupId(id), GroupStats::default());
        }
        let mut copy = Vec::new();
        let next = groups.copy(GroupId(0), 2, &mut copy);
        assert_eq!(next, Some(GroupId(7)));
        groups.forget(GroupId(2));
        groups.forget(GroupId(7));
        assert_eq!(groups.copy(GroupId(7), 2, &mut copy), None);
        let ids: Vec<u32> = copy.iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [2, 5, 9]);
    }

    #[test]
    fn a_worker_that_only_waits_is_not_busy() {
        let mut busy = Busy::new(Instant::ZERO);
        busy.waited(Duration::from_secs(2), Instant::from_nanos(2_000_000_000));
        assert_eq!(busy.ratio(), 0.0);
        busy.waited(Duration::from_secs(1), Instant::from_nanos(6_000_000_000));
        assert!((busy.ratio() - 0.75).abs() < 1e-9);
    }
}
