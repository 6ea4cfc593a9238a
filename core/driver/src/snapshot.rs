//! Copies of what the workers hold, taken in parts between their turns.
//!
//! A question goes to all workers as one shared [`Job`]. Each adds its parts
//! and lets go of it; when the last one has, whoever asked is answered, on the
//! clerk's thread. Because letting go is what counts, there is an answer also
//! where a worker ends before it has given its part.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use probity_engine::histogram::Exponential;
use probity_engine::{Engine, GroupId, Instant, Last, Record, Spec, TargetId, TargetView};
use std::sync::Arc;

use crate::clerk::Clerk;
use crate::limits::ROWS_PER_TURN;
use crate::stats::ShardStats;

/// Which targets to copy. The default is all of them; conditions add up.
#[derive(Clone, Debug, Default)]
pub struct FleetQuery {
    /// Only those of these groups.
    pub groups: Option<Vec<GroupId>>,
    /// `(page, pages)`: only those whose `id % pages == page`. No page is
    /// everything if `pages` is 0.
    pub page: Option<(u32, u32)>,
    /// Only these; ids that are not registered are left out.
    pub ids: Option<Vec<TargetId>>,
}

/// A copy of the fleet.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Sorted by id. A target that was added or removed meanwhile is there or
    /// not; rows are as of slightly different moments.
    pub rows: Vec<Row>,
    /// Whether all workers have answered. They have not if the driver has
    /// stopped meanwhile.
    pub complete: bool,
}

/// A target's state as of the copy. What its runs have left is shared with the engine
/// until the next one ends, so that a row is small.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: TargetId,
    /// The health after thresholds; `None` while unknown.
    pub up: Option<bool>,
    /// What its runs have left; `None` if nothing was booked yet.
    pub record: Option<Arc<Record>>,
    /// When its next run is due.
    pub next: Instant,
    /// When it was registered.
    pub added: Instant,
    /// What is checked.
    pub spec: Arc<Spec>,
}

/// A copy of 50,000 targets is 2.4 MB.
const _: () = assert!(size_of::<Row>() <= 48);

impl Row {
    /// Results so far by [`Outcome::index`](probity_engine::Outcome::index).
    pub fn results(&self) -> [u64; 4] {
        self.record.as_ref().map_or([0; 4], |record| record.results)
    }

    /// The last result, if there is one.
    pub fn last(&self) -> Option<&Last> {
        self.record.as_ref()?.last.as_ref()
    }

    /// Durations of all results that were not `Unknown`; `None` if nothing was booked
    /// yet.
    pub fn histogram(&self) -> Option<&Exponential> {
        self.record.as_ref().map(|record| &record.histogram)
    }
}

impl From<&TargetView<'_>> for Row {
    fn from(target: &TargetView<'_>) -> Self {
        Self {
            id: target.id,
            up: target.up,
            record: target.record.cloned(),
            next: target.next,
            added: target.added,
            spec: Arc::clone(target.spec),
        }
    }
}

impl FleetQuery {
    fn wants(&self, target: &TargetView<'_>) -> bool {
        let on_page = self.page.is_none_or(|(page, pages)| {
            pages == 0 || target.id.0 % u64::from(pages) == u64::from(page)
        });
        let in_group = |groups: &Vec<GroupId>| groups.contains(&target.spec.group);
        on_page && self.groups.as_ref().is_none_or(in_group)
    }

    /// Copies the part of one turn that begins at `cursor`. Returns where the
    /// next one begins, or `None` after the last.
    pub(crate) fn copy(&self, engine: &Engine, cursor: u32, rows: &mut Vec<Row>) -> Option<u32> {
        let step = ROWS_PER_TURN as u32;
        let end = cursor.saturating_add(step);
        let mut take = |target: TargetView<'_>| {
            if self.wants(&target) {
                rows.push(Row::from(&target));
            }
        };
        let total = match &self.ids {
            Some(ids) => {
                let total = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                let part = &ids[cursor.min(total) as usize..end.min(total) as usize];
                part.iter()
                    .filter_map(|id| engine.target(*id))
                    .for_each(&mut take);
                total
            }
            None => {
                let total = engine.target_slots();
                engine
                    .targets_in(cursor..end.min(total))
                    .for_each(&mut take);
                total
            }
        };
        (end < total).then_some(end)
    }
}

impl Fleet {
    /// Puts the parts of all workers together.
    pub(crate) fn assemble(mut rows: Vec<Row>, complete: bool) -> Self {
        rows.sort_unstable_by_key(|row| row.id);
        // Ids that were asked for twice.
        rows.dedup_by_key(|row| row.id);
        Self { rows, complete }
    }
}

/// A question about the fleet; the answer comes in parts of a turn each.
pub(crate) type FleetJob = Job<FleetQuery, Row>;
/// A question about the workers themselves.
pub(crate) type StatsJob = Job<(), ShardStats>;

type Finish<Part> = Box<dyn FnOnce(Vec<Part>, bool) + Send>;

/// One question to all workers.
pub(crate) struct Job<Query, Part: Send + 'static> {
    pub(crate) query: Query,
    parts: Mutex<Vec<Part>>,
    /// Workers that have not answered yet.
    missing: AtomicUsize,
    finish: Mutex<Option<Finish<Part>>>,
    clerk: Clerk,
}

impl<Query, Part: Send> std::fmt::Debug for Job<Query, Part> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl<Query, Part: Send> Job<Query, Part> {
    /// A question to `workers`; `finish` is called once with all parts and
    /// whether that is all of them.
    pub(crate) fn new(query: Query, workers: usize, clerk: Clerk, finish: Finish<Part>) -> Self {
        Self {
            query,
            parts: Mutex::default(),
            missing: AtomicUsize::new(workers),
            finish: Mutex::new(Some(finish)),
            clerk,
        }
    }

    /// A worker gives some of what it has.
    pub(crate) fn add(&self, more: impl IntoIterator<Item = Part>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.extend(more);
    }

    /// A worker has given all its parts.
    pub(crate) fn answered(&self) {
        self.missing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Nobody is told: whoever asked was told otherwise.
    pub(crate) fn cancel(&self) {
        let mut finish = self.finish.lock().unwrap_or_else(PoisonError::into_inner);
        *finish = None;
    }

    /// Whether an answer is of no use.
    pub(crate) fn is_cancelled(&self) -> bool {
        let finish = self.finish.lock().unwrap_or_else(PoisonError::into_inner);
        finish.is_none()
    }
}

impl<Query, Part: Send + 'static> Drop for Job<Query, Part> {
    fn drop(&mut self) {
        let finish = self
            .finish
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(finish) = finish.take() {
            let parts = self.parts.get_mut().unwrap_or_else(PoisonError::into_inner);
            let parts = std::mem::take(parts);
            let complete = *self.missing.get_mut() == 0;
            self.clerk.run(move || finish(parts, complete));
        }
    }
}
