//! Where the time of a run went, also of one that came to grief.

use std::time::Duration;

use probity_engine::{Outcome, Phase, Phases};

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Which.
    pub phase: Phase,
    /// What it took, as often as it was completed.
    pub completed: Duration,
    /// What it had taken when the run ended in it.
    pub unfinished: Duration,
}

impl Spent {
    /// Both together.
    pub fn all(&self) -> Duration {
        self.completed.saturating_add(self.unfinished)
    }
}

/// The completed phases of a run that ended in `phase`, in order. Unless it
/// was a success `phase` is among them, with what it had taken by then. What the
/// run spent with others than its target (a token endpoint) is in none of them.
pub fn spent(
    phases: &Phases,
    (outcome, phase): (Outcome, Phase),
) -> impl Iterator<Item = Spent> + '_ {
    Phase::ALL.into_iter().filter_map(move |it| {
        let ended_here = it == phase && !outcome.is_success();
        let completed = match phases.get(it) {
            Some(completed) => completed,
            None if ended_here => Duration::ZERO,
            None => return None,
        };
        Some(Spent {
            phase: it,
            completed,
            unfinished: match ended_here {
                true => phases.unfinished(),
                false => Duration::ZERO,
            },
        })
    })
}
