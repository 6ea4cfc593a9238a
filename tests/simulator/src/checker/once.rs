//! Every run reports exactly once, and says nothing afterwards.

use probity_engine::{Engine, Instant, Output, RunId};

use super::{Checker, Seen};

/// Looks at the reports of runs.
///
/// A run becomes known by its first output. One that opens a connection to a
/// DNS server may be a look-up, which never reports: it is over when its last
/// connection is, and that is for another checker.
#[derive(Debug, Default)]
pub struct OncePerRun {
    /// By slot.
    runs: Vec<Option<(RunId, State)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Nothing but look-ups goes to port 53 in a world.
    LookingUp,
    Reported,
}

impl OncePerRun {
    fn run(&mut self, id: RunId) -> Result<&mut State, String> {
        let slot = id.slot() as usize;
        if slot >= self.runs.len() {
            self.runs.resize(slot + 1, None);
        }
        let place = &mut self.runs[slot];
        match *place {
            Some((known, _)) if known == id => {}
            Some((known, State::Running)) => {
                return Err(format!(
                    "run {id} took the slot of {known}, which has not reported"
                ));
            }
            Some((known, _)) if known.generation() > id.generation() => {
                return Err(format!("run {id} spoke after {known} took its slot"));
            }
            _ => *place = Some((id, State::Running)),
        }
        match place {
            Some((_, state)) => Ok(state),
            None => Err(format!("run {id} has no place")),
        }
    }
}

impl Checker for OncePerRun {
    fn name(&self) -> &'static str {
        "once per run"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Once(id, _) = seen {
            return self.run(*id).map(|_| ());
        }
        let Seen::Output(id, output) = seen else {
            return Ok(());
        };
        let state = self.run(*id)?;
        match (*state, output) {
            (State::Reported, Output::Report(_)) => {
                return Err(format!("run {id} reported a second time"));
            }
            (State::Reported, other) => {
                return Err(format!("run {id} asked for {other:?} after its report"));
            }
            (State::LookingUp, Output::Report(_)) => {
                return Err(format!("run {id} is a look-up and reported"));
            }
            (_, Output::Report(_)) => *state = State::Reported,
            (State::Running, Output::Open(_, endpoint)) if endpoint.to.port() == 53 => {
                *state = State::LookingUp;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: Instant, engine: &Engine) -> Result<(), String> {
        let mut silent = self.runs.iter().flatten();
        if let Some((id, _)) = silent.find(|(_, state)| *state == State::Running) {
            return Err(format!("run {id} never reported"));
        }
        match engine.in_flight() {
            0 => Ok(()),
            left => Err(format!("{left} runs are in flight after the shutdown")),
        }
    }
}
