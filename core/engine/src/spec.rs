//! What to check, how often, and how to judge it.

use core::fmt;
use core::time::Duration;

use crate::check::CheckSpec;
use crate::id::GroupId;
use crate::threshold;

/// Everything about one target that does not change while it is probed.
///
/// Valid by construction: the parts can only be made by functions that check
/// them. Shared as `Arc<Spec>`; replacing it is how a target changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Which check, on what.
    pub check: CheckSpec,
    /// When.
    pub schedule: Schedule,
    /// How results turn into health.
    pub threshold: threshold::Config,
    /// The job that it is counted with.
    pub group: GroupId,
}

/// When a target is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    period: Duration,
    timeout: Duration,
    initial_delay: Duration,
}

impl Schedule {
    /// Shortest period and timeout.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// Longest period, timeout and initial delay: 366 days.
    pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// A schedule with a run every `period`, each of which must end within
    /// `timeout`. Runs that are due less than `initial_delay` after the
    /// target was added are skipped.
    ///
    /// A timeout longer than the period is legal, as it is in the kubelet: the
    /// next run then starts when the one before has ended.
    ///
    /// # Errors
    /// If the period or timeout is outside [`Schedule::SHORTEST`] to
    /// [`Schedule::LONGEST`], or the delay is beyond the latter.
    pub fn new(
        period: Duration,
        timeout: Duration,
        initial_delay: Duration,
    ) -> Result<Self, InvalidSchedule> {
        let range = Self::SHORTEST..=Self::LONGEST;
        let field = if !range.contains(&period) {
            "interval"
        } else if !range.contains(&timeout) {
            "timeout"
        } else if initial_delay > Self::LONGEST {
            "initial_delay"
        } else {
            return Ok(Self {
                period,
                timeout,
                initial_delay,
            });
        };
        Err(InvalidSchedule { field })
    }

    /// Time between two runs.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Time that one run may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Time after registration in which no run starts.
    pub const fn initial_delay(&self) -> Duration {
        self.initial_delay
    }
}

/// A duration of a [`Schedule`] is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSchedule {
    /// `interval`, `timeout` or `initial_delay`.
    pub field: &'static str,
}

impl fmt::Display for InvalidSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be between 1ms and 366 days", self.field)
    }
}

impl core::error::Error for InvalidSchedule {}
