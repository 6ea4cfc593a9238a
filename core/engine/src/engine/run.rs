//! The slots in which runs happen.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::check::AnyCheck;
use crate::check::cx::RunCore;
use crate::id::RunId;
use crate::resolve::Lookup;
use crate::spec::Spec;
use crate::threshold::Transition;
use crate::time::Instant;

/// Who asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The schedule, for the target in this slot.
    Target(u32),
    /// `run_once`.
    Host,
}

/// What a slot is doing.
///
/// ```text
/// Free -> Checking -> Done -> Free        a check; Done until its report was read
/// Free -> Resolving -> Free               a name look-up, which nobody reports
/// ```
#[derive(Debug)]
pub(super) enum State {
    Free,
    Checking {
        owner: Owner,
        spec: Arc<Spec>,
        check: AnyCheck,
    },
    Resolving(Lookup),
    Done {
        target: Option<crate::TargetId>,
        spec: Arc<Spec>,
        finished: Instant,
        transition: Option<Transition>,
    },
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) generation: u32,
    pub(super) state: State,
    pub(super) core: RunCore,
}

impl Run {
    /// Whether it belongs to no schedule: its host asked for it with a time, which
    /// is not ours to prolong.
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(
            &self.state,
            State::Checking {
                owner: Owner::Host,
                ..
            }
        )
    }

    /// How long we held it back for without moving its deadline.
    pub(super) fn kept(&self) -> Duration {
        let prolonged = match &self.state {
            State::Checking {
                owner: Owner::Target(_),
                spec,
                ..
            } => (self.core.deadline - self.core.started).saturating_sub(spec.schedule.timeout()),
            _ => Duration::ZERO,
        };
        self.core.held.saturating_sub(prolonged)
    }

    /// See [`Engine::is_behind`](crate::Engine::is_behind).
    pub(super) fn is_behind(&self) -> bool {
        matches!(&self.state, State::Checking { check, .. } if check.behind_with().is_some())
    }
}

/// A run in flight takes about 4 KiB: this, two timers (48) and what it holds of an
/// answer. The buffers that a slot keeps may be larger: see
/// [`POOLED_BUFFER_BYTES`](crate::limits::POOLED_BUFFER_BYTES).
const _: () = assert!(size_of::<Run>() <= 800);

/// How many slots are in use, by what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) scheduled: u32,
    pub(super) once: u32,
    pub(super) lookups: u32,
}

/// A slab of runs. Slots are reused, the last one freed first, so that the
/// warmest buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Runs {
    slots: Vec<Run>,
    free: Vec<u32>,
    pub(super) in_flight: InFlight,
}

impl Runs {
    /// Takes a free slot; the caller has checked the caps.
    pub(super) fn take(&mut self, state: State, due: Instant, now: Instant) -> RunId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Run {
                generation: 0,
                state: State::Free,
                core: RunCore::new(),
            });
            (self.slots.len() - 1) as u32
        });
        let run = &mut self.slots[slot as usize];
        run.state = state;
        run.core.reset(due, now);
        RunId::new(slot, run.generation)
    }

    /// Gives a slot back; ids that name its last user become stale.
    pub(super) fn release(&mut self, id: RunId) {
        if let Some(run) = self.get_mut(id) {
            run.generation = run.generation.wrapping_add(1);
            run.state = State::Free;
            run.core.tls = None;
            run.core.labels = crate::fact::Labels::default();
            run.core.samples = crate::fact::Samples::default();
            run.core.trace = None;
            self.free.push(id.slot());
        }
    }

    /// The run that `id` names, unless it is over.
    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.slots
            .get_mut(id.slot() as usize)
            .filter(|run| run.generation == id.generation())
    }

    /// See [`Runs::get_mut`].
    pub(super) fn get(&self, id: RunId) -> Option<&Run> {
        self.slots
            .get(id.slot() as usize)
            .filter(|run| run.generation == id.generation())
    }

    /// The id of whoever uses a slot now.
    pub(super) fn current(&self, slot: u32) -> Option<RunId> {
        let run = self.slots.get(slot as usize)?;
        Some(RunId::new(slot, run.generation))
    }

    /// Ids of all runs that have not finished.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = RunId> + '_ {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, run)| matches!(run.state, State::Checking { .. } | State::Resolving(_)))
            .map(|(slot, run)| RunId::new(slot as u32, run.generation))
    }
}
