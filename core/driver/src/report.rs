//! Reports that outlive the engine's next call.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probity_engine::fact::{Facts, Labels, Samples};
use probity_engine::threshold::Transition;
use probity_engine::tls::TlsInfo;
use probity_engine::{Instant, Outcome, Phase, Phases, Reason, Report, Spec, Step, TargetId};

/// An owned copy of a [`Report`]; the fields are described there.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "they are those of the engine's report")]
pub struct OwnedReport {
    pub target: Option<TargetId>,
    pub spec: Arc<Spec>,
    pub outcome: Outcome,
    pub runs: u64,
    pub detail: Box<str>,
    pub phase: Phase,
    pub due: Instant,
    pub started: Instant,
    pub finished: Instant,
    pub total: Duration,
    pub phases: Phases,
    pub facts: Facts,
    pub labels: Labels,
    pub samples: Samples,
    pub tls: Option<Arc<TlsInfo>>,
    pub address: Option<SocketAddr>,
    pub transition: Option<Transition>,
    pub trace: Vec<Step>,
}

impl From<&Report<'_>> for OwnedReport {
    fn from(report: &Report<'_>) -> Self {
        Self {
            target: report.target,
            spec: Arc::clone(report.spec),
            outcome: report.outcome,
            runs: report.runs,
            detail: report.detail.into(),
            phase: report.phase,
            due: report.due,
            started: report.started,
            finished: report.finished,
            total: report.total,
            phases: report.phases,
            facts: *report.facts,
            labels: report.labels.clone(),
            samples: report.samples.clone(),
            tls: report.tls.cloned(),
            address: report.address,
            transition: report.transition,
            trace: report.trace.to_vec(),
        }
    }
}

impl OwnedReport {
    /// The report of a run that never began, for a reason of ours.
    fn unstarted(spec: Arc<Spec>, reason: Reason, now: Instant) -> Self {
        Self {
            target: None,
            spec,
            outcome: Outcome::Unknown(reason),
            runs: 1,
            detail: match reason {
                Reason::Overload => "too many single runs are in flight: ask for fewer at once, or let the process have \
                     more descriptors (ulimit -n)"
                    .into(),
                _ => format!("the run was ended by the prober: {reason}").into(),
            },
            phase: Phase::Resolve,
            due: now,
            started: now,
            finished: now,
            total: Duration::ZERO,
            phases: Phases::default(),
            facts: Facts::default(),
            labels: Labels::default(),
            samples: Samples::default(),
            tls: None,
            address: None,
            transition: None,
            trace: Vec::new(),
        }
    }
}

/// Somebody waits for the report of one run, and is told exactly once: at the
/// latest when this is dropped, wherever that happens.
pub(crate) struct Done {
    callback: Option<Box<dyn FnOnce(OwnedReport) + Send>>,
    spec: Arc<Spec>,
    /// When it was asked for.
    asked: Instant,
    /// Which of the driver's single runs it is.
    number: u64,
    place: Option<Place>,
}

/// A single run that its worker has to do, from the moment it is asked for until it
/// is over.
pub(crate) struct Place {
    loads: Arc<[AtomicUsize]>,
    worker: usize,
}

impl Place {
    pub(crate) fn new(loads: &Arc<[AtomicUsize]>, worker: usize) -> Self {
        loads[worker].fetch_add(1, Ordering::Relaxed);
        Self {
            loads: Arc::clone(loads),
            worker,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.loads[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").finish_non_exhaustive()
    }
}

impl Done {
    pub(crate) fn new(
        spec: Arc<Spec>,
        asked: Instant,
        number: u64,
        callback: Box<dyn FnOnce(OwnedReport) + Send>,
    ) -> Self {
        Self {
            callback: Some(callback),
            spec,
            asked,
            number,
            place: None,
        }
    }

    /// It counts for this worker now.
    pub(crate) fn stand(&mut self, place: Place) {
        self.place = Some(place);
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The run is over.
    pub(crate) fn report(mut self, report: &Report<'_>) {
        self.call(report.into());
    }

    /// There was no room for the run.
    pub(crate) fn refuse(mut self) {
        let spec = Arc::clone(&self.spec);
        self.call(OwnedReport::unstarted(spec, Reason::Overload, self.asked));
    }

    /// Nobody is told: whoever asked was told otherwise.
    pub(crate) fn forget(mut self) {
        self.callback = None;
    }

    fn call(&mut self, report: OwnedReport) {
        self.place = None;
        if let Some(callback) = self.callback.take() {
            guarded(|| callback(report));
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if self.callback.is_some() {
            let spec = Arc::clone(&self.spec);
            self.call(OwnedReport::unstarted(spec, Reason::Shutdown, self.asked));
        }
    }
}

/// Calls code of the host's. If it panics the hook has said so, and the
/// thread that called it lives on.
pub(crate) fn guarded(callback: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(callback));
}
