//! `poll_timeout` moves forward: a driver never spins.

use std::collections::BTreeSet;

use probity_engine::limits::STARTS_PER_TURN;
use probity_engine::{Engine, Input, Instant, RunId};

use super::{Checker, Seen};

/// Counts the calls of `handle_timeout` at one moment.
#[derive(Debug, Default)]
pub struct Progress {
    at: Instant,
    calls: u64,
    /// Targets, all of which may be due at once.
    targets: u64,
    /// Runs that were given more than they could do in one turn.
    behind: BTreeSet<RunId>,
    /// Turns at this moment in which there were any.
    working: u64,
}

/// Turns in which runs may be behind at one moment.
const WORKING: u64 = 4_096;

/// Calls that a moment may take on top of those that start what is due.
const FEW: u64 = 8;

impl Checker for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String> {
        if now != self.at {
            self.at = now;
            self.calls = 0;
            self.working = 0;
        }
        let next = match seen {
            Seen::Turn(next) => next,
            Seen::Input(run, Input::Data(..)) => {
                self.behind.insert(*run);
                return Ok(());
            }
            _ => return Ok(()),
        };
        if !self.behind.is_empty() && self.working < WORKING {
            self.working += 1;
            return Ok(());
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
        self.behind.retain(|run| engine.is_behind(*run));
        Ok(())
    }
}
