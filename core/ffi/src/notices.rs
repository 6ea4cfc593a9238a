//! What happened to targets, on its way from the driver to the host.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::probity_driver::{Handle, Notice};

use crate::boundary::{Sized_, lend_text};
use crate::callback::{Context, InCallback};
use crate::log::{Log, PROBITY_LOG_ERROR, PROBITY_LOG_INFO};
use crate::report::{health, outcome_number, phase_number};
use crate::types::probity_text;
use crate::version::reason_number;

/// A result of a scheduled run that is not a plain success, or that has changed
/// a target's health.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_notice {
    /// Bytes of this struct.
    pub size: usize,
    /// Whose.
    pub target: u64,
    /// The verdict on the run, `PROBITY_OUTCOME_...`.
    pub outcome: u32,
    /// Why, see `probity_reason_name`; 0 for a plain success.
    pub reason: u32,
    /// The phase in which the run ended, `PROBITY_PHASE_...`.
    pub phase: u32,
    /// The health that this result has brought about, `PROBITY_HEALTH_...`;
    /// `PROBITY_HEALTH_UNKNOWN` if it has changed nothing.
    pub transition: u32,
    /// Runs that it stands for.
    pub runs: u64,
    /// When the run ended, in nanoseconds of the driver's clock.
    pub at: u64,
    /// One sentence; lent for the duration of the callback, empty where it is
    /// given in a buffer.
    pub detail: probity_text,
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_notice {
    const FIRST: usize = size_of::<Self>();
}

/// Called on a thread of the library, for one notice after another. It may call functions of
/// the library as a report's may, and must not wait.
pub type probity_notice_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, notice: *const probity_notice)>;

impl probity_notice {
    pub(crate) fn of(notice: &Notice) -> Self {
        Self {
            size: size_of::<Self>(),
            target: notice.target.0,
            outcome: outcome_number(notice.outcome),
            reason: notice.outcome.reason().map_or(0, reason_number),
            phase: phase_number(notice.phase),
            transition: health(notice.transition.map(|flip| flip.to)),
            runs: notice.runs,
            at: notice.at.as_nanos(),
            detail: lend_text(&notice.detail),
        }
    }
}

/// Notices for a host that asks for them, and a descriptor that says that there
/// are some.
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Notice>>,
    /// Has one byte in it while there are notices, so that neither end ever
    /// waits.
    readable: PipeReader,
    signal: PipeWriter,
}

/// Notices that wait for the host; the driver keeps as many again, and counts
/// those that it loses.
const WAITING: usize = ::probity_driver::limits::NOTICES;

impl Queue {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (readable, signal) = pipe()?;
        Ok(Self {
            waiting: Mutex::default(),
            readable,
            signal,
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.readable.as_raw_fd()
    }

    /// Whether there was room.
    fn push(&self, notice: Notice) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= WAITING {
            return false;
        }
        waiting.push_back(notice);
        if waiting.len() == 1 {
            // It cannot fail: the pipe is empty, and we hold its other end.
            let _ = (&self.signal).write(&[1]);
        }
        true
    }

    pub(crate) fn pop(&self) -> Option<Notice> {
        let mut waiting = self.lock();
        let notice = waiting.pop_front()?;
        if waiting.is_empty() {
            // As above: there is one byte in it.
            let _ = (&self.readable).read(&mut [0]);
        }
        Some(notice)
    }
}

/// Where notices go.
pub(crate) enum Destination {
    Queue(Arc<Queue>),
    Callback(
        unsafe extern "C" fn(*mut c_void, *const probity_notice),
        Context,
    ),
}

/// Carries notices to the host, and what they say about the library to its log,
/// until the driver has stopped.
pub(crate) struct Forwarder {
    pub(crate) handle: Handle,
    pub(crate) destination: Destination,
    pub(crate) in_callback: Arc<InCallback>,
    /// Counts those that there was no room for.
    pub(crate) lost: Arc<AtomicU64>,
    /// Whether the host has asked the driver to stop.
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) log: Arc<Log>,
}

impl Forwarder {
    pub(crate) fn run(self) {
        loop {
            let taken = self.handle.notices(Duration::from_secs(3600));
            let mut lost = taken.dropped;
            for notice in taken.list {
                self.log(&notice);
                lost += u64::from(!self.deliver(notice));
            }
            self.lost.fetch_add(lost, Ordering::Relaxed);
            self.log.lost(lost, self.handle.now());
            if taken.stopped {
                return self.log_end();
            }
        }
    }

    fn log(&self, notice: &Notice) {
        let (target, outcome, detail) = (notice.target.0, notice.outcome, &notice.detail);
        self.log
            .result("driver", target, outcome, notice.runs, detail, notice.at);
    }

    /// Whether there was room for it.
    fn deliver(&self, notice: Notice) -> bool {
        match &self.destination {
            Destination::Queue(queue) => queue.push(notice),
            Destination::Callback(callback, context) => {
                let told = probity_notice::of(&notice);
                // SAFETY: what the host promised when it gave them.
                self.in_callback
                    .call(|| unsafe { callback(context.0, &told) });
                true
            }
        }
    }

    /// A driver that stops by itself has a defect: see the page of its crate.
    fn log_end(&self) {
        let (level, message) = match self.stopping.load(Ordering::Acquire) {
            true => (PROBITY_LOG_INFO, "stopped"),
            false => (
                PROBITY_LOG_ERROR,
                "a worker has panicked and all have stopped: nothing is probed any more",
            ),
        };
        self.log.say(level, "driver", 0, || message.into());
    }
}
