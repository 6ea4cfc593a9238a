//! `poll_timeout` moves forward: a driver never spins.

use probity_engine::limits::STARTS_PER_TURN;
use probity_engine::{Engine, Instant};

use super::{Checker, Seen};

/// Counts the calls of `handle_timeout` at one moment.
#[derive(Debug, Default)]
pub struct Progress {
    at: Instant,
    calls: u64,
    /// Targets, all of which may be due at once.
    targets: u64,
}

/// Calls that a moment may take on top of those that start what is due.
const FEW: u64 = 8;

impl Checker for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Turn(next) = seen else {
            return Ok(());
        };
        if now != self.at {
            self.at = now;
            self.calls = 0;
        }
        self.calls += 1;
        let allowed = self.targets / STARTS_PER_TURN as u64 + FEW;
        if self.calls > allowed && next.is_some_and(|next| next <= now) {
            let calls = self.calls;
            return Err(format!("after {calls} calls at {now} it wants another one"));
        }
        Ok(())
    }

    fn settled(&mut self, _: Instant, engine: &Engine) -> Result<(), String> {
        self.targets = engine.target_slots().into();
        Ok(())
    }
}
