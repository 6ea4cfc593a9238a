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
            left: DECODED_PER_TURN,
            waiting: VecDeque::new(),
            since: Instant::ZERO,
        }
    }

    /// When the next turn is wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.since)
    }
}

impl Shared {
    pub(crate) fn push(&mut self, run: RunId, effect: Effect) {
        self.effects.push_back((run, effect));
    }
}
