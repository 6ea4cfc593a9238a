//! When the kubelet's worker makes its passes.

use core::time::Duration;

use crate::time::{Instant, nanos};

/// A period with a phase, as a kubelet worker keeps it.
///
/// The first pass is made at once and ticks count from there. A pass that
/// takes long does not shift them: of the ticks that go by meanwhile one is
/// remembered, and the next pass then follows without a pause. There are never
/// two passes at once.
///
/// A trigger asks for a pass out of turn and, unlike a long pass, starts the
/// period anew (since Kubernetes 1.32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    next: Instant,
    period: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A pass is being made.
    Busy,
    /// And a tick has gone by since it began.
    BusyTicked,
    /// And a trigger, which makes up for a tick too.
    BusyTriggered,
}

impl Ticker {
    /// The period where none is given.
    pub const DEFAULT_PERIOD: Duration = Duration::from_secs(10);

    /// Begins with a pass at `now`. A period of zero is the default, as in the
    /// Kubernetes API.
    pub fn start(period: Duration, now: Instant) -> Self {
        let period = if period.is_zero() {
            Self::DEFAULT_PERIOD
        } else {
            period
        };
        Self {
            next: now + period,
            period,
            state: State::Busy,
        }
    }

    /// When to call [`Ticker::tick`].
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// Lets time pass; returns whether a pass begins.
    pub fn tick(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let period = nanos(self.period);
        let behind = nanos(now.since(self.next));
        self.next = now + Duration::from_nanos(period - behind % period);
        match self.state {
            State::Idle => {
                self.state = State::Busy;
                true
            }
            State::Busy => {
                self.state = State::BusyTicked;
                false
            }
            State::BusyTicked | State::BusyTriggered => false,
        }
    }

    /// Asks for a pass out of turn; returns whether it begins.
    pub fn trigger(&mut self, now: Instant) -> bool {
        if self.state == State::Idle {
            self.next = now + self.period;
            self.state = State::Busy;
            return true;
        }
        self.state = State::BusyTriggered;
        false
    }

    /// Ends a pass; returns whether the next begins at once.
    pub fn done(&mut self, now: Instant) -> bool {
        match self.state {
            State::Idle => false,
            State::Busy => {
                self.state = State::Idle;
                false
            }
            State::BusyTicked => {
                self.state = State::Busy;
                true
            }
            State::BusyTriggered => {
                self.next = now + self.period;
                self.state = State::Busy;
                true
            }
        }
    }
}
