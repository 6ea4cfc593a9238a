//! What all runs of an engine share: the queue of outputs, the resolver, the
//! generator, the rate of connections, the work of a turn.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ops::Range;

use super::gate::Gate;
use crate::id::{Conn, RunId};
use crate::io::{Endpoint, Families};
use crate::limits::DECODED_PER_TURN;
use crate::resolve::Resolver;
use crate::rng::Rng;
use crate::time::Instant;
use crate::tls::TlsOptions;
use crate::wheel::Wheel;

/// One output, with its bytes by reference; see [`Output`](crate::Output).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Resolve(Range<u32>, Families),
    Open(Conn, Endpoint),
    Secure(Conn, Range<u32>, Arc<TlsOptions>),
    Send(Conn, Payload),
    Close(Conn),
    Report,
    /// A name look-up is over and what it asked for has been done: nobody is
    /// told, its slot is free.
    Release,
}

/// Where the bytes of a `Send` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The target's request.
    Request,
    /// The body of requests that all targets of the module share.
    Body,
    /// A part of the run's own buffer.
    Out(Range<u32>),
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) effects: VecDeque<(RunId, Effect)>,
    pub(crate) resolver: Resolver,
    pub(crate) rng: Rng,
    pub(crate) gate: Gate,
    /// Extra timers of runs, by slot.
    pub(crate) wakes: Wheel,
    pub(crate) work: Work,
}

/// What runs may do before everybody else has had a turn, and who goes on then.
/// A turn ends with [`Engine::handle_timeout`](crate::Engine::handle_timeout),
/// which is called in every turn in which somebody waits for it.
#[derive(Debug)]
pub(crate) struct Work {
    /// The number of the turn, which may wrap.
    turn: u32,
    /// Bytes that may still be worked on.
    pub(crate) left: usize,
    /// Runs that go on in the next turn, in order. Those that have ended since
    /// are passed over.
    pub(crate) waiting: VecDeque<RunId>,
    /// When the first of them began to wait.
    pub(crate) since: Instant,
}

impl Work {
    pub(crate) const fn new() -> Self {
        Self {
            turn: 1,
            left: DECODED_PER_TURN,
            waiting: VecDeque::new(),
            since: Instant::ZERO,
        }
    }

    /// Begins a turn.
    pub(crate) const fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.left = DECODED_PER_TURN;
    }

    /// Has a run go on in a later turn. `had`: it could do something in this one.
    pub(crate) fn queue(&mut self, id: RunId, had: bool, share: &mut Share, now: Instant) {
        share.since = match had || share.since == self.turn {
            true => self.turn,
            // It wanted this one, too.
            false => self.turn.wrapping_sub(1),
        };
        if self.waiting.is_empty() {
            self.since = now;
        }
        self.waiting.push_back(id);
    }

    /// Notes that it does.
    pub(crate) const fn go_on(&self, share: &mut Share) {
        share.waited = share.waited_until(self.turn);
        share.since = self.turn;
        share.had = share.had.saturating_add(1);
    }

    /// Whether others had so many of the turns of which a run wanted one that
    /// its end is our doing; see [`OTHERS`].
    pub(crate) fn is_crowded_out(&self, share: &Share) -> bool {
        let waited = share.waited_until(self.turn);
        u64::from(waited - share.had.min(waited)) * OTHERS > u64::from(waited)
    }

    /// When the next turn is wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.since)
    }
}

/// A run that is still behind when its time is over is ours to answer for if
/// more than one in so many of its turns went to others: without them it might
/// have been done. With fewer, its body would have taken seven eighths of that
/// time, or more, on a prober that had nothing else to decode; to call that our
/// overload would let every peer with an endless body call it so, since others
/// have something to decode now and then.
const OTHERS: u64 = 8;

/// What a run had of the turns in which it had still something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The last turn that it had, or did not want.
    since: u32,
    /// Turns that it wanted until then.
    waited: u32,
    /// How many of them it had.
    had: u32,
}

impl Share {
    pub(crate) const NONE: Self = Self {
        since: 0,
        waited: 0,
        had: 0,
    };

    /// Turns that it wanted until `turn`, which it wants.
    const fn waited_until(&self, turn: u32) -> u32 {
        self.waited.saturating_add(turn.wrapping_sub(self.since))
    }
}

impl Shared {
    pub(crate) fn push(&mut self, run: RunId, effect: Effect) {
        self.effects.push_back((run, effect));
    }
}
