//! What happened to targets, for whoever wants to tell people.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_engine::threshold::Transition;
use probity_engine::{Instant, Outcome, Phase, Report, TargetId};

use crate::limits::NOTICES;

/// A result that is not a plain success, or that changed a target's health.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whose.
    pub target: TargetId,
    /// The verdict on the run.
    pub outcome: Outcome,
    /// See [`Report::runs`].
    pub runs: u64,
    /// One sentence; empty for a plain success.
    pub detail: Box<str>,
    /// The phase in which the run ended.
    pub phase: Phase,
    /// When.
    pub at: Instant,
    /// The flip that the result caused, if it did.
    pub transition: Option<Transition>,
}

/// What [`Handle::notices`](crate::Handle::notices) took.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// In order for each target.
    pub list: Vec<Notice>,
    /// How many were lost since the last call, because nobody took those
    /// before them.
    pub dropped: u64,
    /// The driver has stopped: nothing will come after these.
    pub stopped: bool,
}

/// The queue between all workers and one reader.
#[derive(Debug)]
pub(crate) struct Queue {
    list: Mutex<VecDeque<Notice>>,
    arrived: Condvar,
    /// Lost since the last call, and ever.
    dropped: AtomicU64,
    dropped_total: AtomicU64,
    /// Workers that may append.
    workers: AtomicUsize,
}

impl Queue {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            list: Mutex::default(),
            arrived: Condvar::new(),
            dropped: AtomicU64::new(0),
            dropped_total: AtomicU64::new(0),
            workers: AtomicUsize::new(workers),
        }
    }

    fn is_stopped(&self) -> bool {
        self.workers.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a worker has collected in a turn.
    pub(crate) fn append(&self, collected: &mut Vec<Notice>) {
        let mut list = self.lock();
        let room = NOTICES.saturating_sub(list.len());
        let lost = collected.len().saturating_sub(room) as u64;
        list.extend(collected.drain(..).take(room));
        drop(list);
        collected.clear();
        if lost > 0 {
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            self.dropped_total.fetch_add(lost, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }

    /// See [`Handle::notices`](crate::Handle::notices).
    pub(crate) fn take(&self, wait: Duration) -> Notices {
        let idle = |list: &mut VecDeque<Notice>| list.is_empty() && !self.is_stopped();
        let (mut list, _) = self
            .arrived
            .wait_timeout_while(self.lock(), wait, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let stopped = self.is_stopped();
        let taken = std::mem::take(&mut *list);
        drop(list);
        Notices {
            list: taken.into(),
            dropped: self.dropped.swap(0, Ordering::Relaxed),
            stopped,
        }
    }

    /// How many were lost since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_total.load(Ordering::Relaxed)
    }

    /// A worker will append no more.
    pub(crate) fn worker_ended(&self) {
        let list = self.lock();
        self.workers.fetch_sub(1, Ordering::AcqRel);
        drop(list);
        self.arrived.notify_all();
    }
}

/// The notice that a report is worth, if it is.
pub(crate) fn of(report: &Report<'_>) -> Option<Notice> {
    let target = report.target?;
    if report.outcome == Outcome::Success && report.transition.is_none() {
        return None;
    }
    Some(Notice {
        target,
        outcome: report.outcome,
        runs: report.runs,
        detail: report.detail.into(),
        phase: report.phase,
        at: report.finished,
        transition: report.transition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(id: u64) -> Notice {
        Notice {
            target: TargetId(id),
            outcome: Outcome::Success,
            runs: 1,
            detail: "".into(),
            phase: Phase::Connect,
            at: Instant::ZERO,
            transition: None,
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let queue = Queue::new(1);
        let mut collected: Vec<_> = (0..NOTICES as u64 + 5).map(notice).collect();
        queue.append(&mut collected);
        assert!(collected.is_empty());
        let taken = queue.take(Duration::ZERO);
        assert_eq!(taken.list.len(), NOTICES);
        assert_eq!(taken.list[0].target, TargetId(0));
        assert_eq!(taken.dropped, 5);
        assert_eq!(queue.take(Duration::ZERO).dropped, 0);
        assert_eq!(queue.dropped(), 5);
    }

    #[test]
    fn a_reader_is_woken_by_the_end() {
        let queue = Queue::new(1);
        queue.worker_ended();
        assert!(queue.take(Duration::from_secs(3600)).stopped);
    }
}
