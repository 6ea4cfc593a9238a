//! What the library has to say about itself, for the host's log.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::probity_engine::{Instant, Outcome, Reason, Report};

use crate::boundary::{Sized_, lend_text};
use crate::callback::{Context, InCallback};
use crate::types::probity_text;

/// Something does not work until somebody does something about it.
pub const PROBITY_LOG_ERROR: u32 = 1;
/// Something was not done that should have been: a target refused, a run that could
/// not be made, notices lost.
pub const PROBITY_LOG_WARNING: u32 = 2;
/// What a person would like to find later: started, stopped.
#[cfg_attr(
    not(feature = "driver"),
    expect(dead_code, reason = "an engine is no news")
)]
pub const PROBITY_LOG_INFO: u32 = 3;

/// A line for the host's log. It is lent, with all that it points to, for the
/// duration of the callback.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_log {
    /// Bytes of this struct.
    pub size: usize,
    /// `PROBITY_LOG_...`; the smaller, the more urgent.
    pub level: u32,
    /// Zero.
    pub reserved: u32,
    /// The part of the library that says it: `engine`, `tls` or `driver`. Constant.
    pub part: probity_text,
    /// The target that it is about; 0: none.
    pub target: u64,
    /// One sentence, without a line feed at its end and without secrets.
    pub message: probity_text,
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_log {
    const FIRST: usize = size_of::<Self>();
}

/// Called with what the library has to say about itself; results of runs are in
/// reports and notices. It must not wait.
///
/// An engine calls it during the calls of its host, on their thread. A driver calls
/// it on the thread that calls a function, during that call, and on a thread of the
/// library: it may be called by several threads at once. From within it functions
/// with the handle that it is about do nothing and give `PROBITY_RESULT_IN_USE`, if
/// nothing else is wrong; only freeing an engine works, from the end of the call that
/// is under way. Other handles may be used, but no driver rendered or freed.
pub type probity_log_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, log: *const probity_log)>;

/// The host's log, if it has one.
pub(crate) struct Log {
    callback: probity_log_callback,
    context: Context,
    inside: InCallback,
    unknown: Mutex<[Said; Reason::ALL.len()]>,
    #[cfg(feature = "driver")]
    lost: Mutex<Said>,
}

/// How often something was said, so that what happens all the time does not fill a
/// log.
#[derive(Clone, Copy, Default)]
struct Said {
    last: Option<Instant>,
    unsaid: u64,
}

/// Time between two lines about the same.
const PAUSE: Duration = Duration::from_secs(60);

impl Said {
    /// Counts `count`. If it is time to say so: how many there were since the last
    /// time.
    fn count(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.unsaid += count;
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Log {
    pub(crate) fn new(callback: probity_log_callback, context: *mut c_void) -> Self {
        Self {
            callback,
            context: Context(context),
            inside: InCallback::default(),
            unknown: Mutex::new([Said::default(); Reason::ALL.len()]),
            #[cfg(feature = "driver")]
            lost: Mutex::default(),
        }
    }

    /// Whether the calling thread is being told something.
    #[cfg(feature = "driver")]
    pub(crate) fn is_this_thread(&self) -> bool {
        self.inside.is_this_thread()
    }

    /// Tells the host. `message` is only asked for if it listens.
    pub(crate) fn say(
        &self,
        level: u32,
        part: &'static str,
        target: u64,
        message: impl FnOnce() -> String,
    ) {
        let Some(callback) = self.callback else {
            return;
        };
        let message = message();
        let log = probity_log {
            size: size_of::<probity_log>(),
            level,
            reserved: 0,
            part: lend_text(part),
            target,
            message: lend_text(&message),
        };
        // SAFETY: what the host promised when it gave them.
        self.inside
            .call(|| unsafe { callback(self.context.0, &log) });
    }

    /// See [`Log::result`]. A run that could be made is passed over at once.
    #[inline]
    pub(crate) fn report(&self, part: &'static str, report: &Report<'_>) {
        if let outcome @ Outcome::Unknown(_) = report.outcome {
            let target = report.target.map_or(0, |target| target.0);
            let (runs, detail, now) = (report.runs, report.detail, report.finished);
            self.result(part, target, outcome, runs, detail, now);
        }
    }

    /// A result that nobody has to be told of unless the prober could not look, and
    /// was not asked not to. Once a minute for each reason.
    pub(crate) fn result(
        &self,
        part: &'static str,
        target: u64,
        outcome: Outcome,
        runs: u64,
        detail: &str,
        now: Instant,
    ) {
        let Outcome::Unknown(reason) = outcome else {
            return;
        };
        if self.callback.is_none() || matches!(reason, Reason::Shutdown | Reason::Cancelled) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let count = unknown[reason as usize].count(runs, now);
        drop(unknown);
        let Some(count) = count else { return };
        self.say(PROBITY_LOG_WARNING, part, target, || {
            let which = match count {
                1 => "a run".to_owned(),
                count => format!("{count} runs (this is the last)"),
            };
            let colon = if detail.is_empty() { "" } else { ": " };
            format!(
                "{which} could not be made: {}{colon}{detail}",
                reason.name()
            )
        });
    }

    /// Notices that nobody took. Once a minute.
    #[cfg(feature = "driver")]
    pub(crate) fn lost(&self, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let count = lost.count(count, now);
        drop(lost);
        let Some(count) = count else { return };
        self.say(PROBITY_LOG_WARNING, "driver", 0, || {
            format!("{count} notices were lost: nobody took those before them")
        });
    }
}
