//! What all runs of an engine share: the queue of outputs, the resolver, the
//! generator, the rate of connections, the work of a turn.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use super::gate::Gate;
use crate::errand::Errand;
use crate::id::{Conn, RunId};
use crate::io::{Endpoint, Families, Lease};
use crate::limits::{DECODED_PER_TURN, SIGNATURE_WORK};
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
    Flush(Conn),
    Close(Conn),
    Report,
    /// A name look-up is over and what it asked for has been done: nobody is
    /// told, its slot is free.
    Release,
}

impl Effect {
    /// For how long what the output refers to is lent.
    pub(crate) const fn lease(&self) -> Lease {
        match self {
            Self::Open(..) | Self::Flush(_) | Self::Close(_) => Lease::Nothing,
            // Of its spec, which a run keeps until its report was read.
            Self::Send(_, Payload::Request | Payload::Body) => Lease::UntilReport,
            _ => Lease::UntilNextCall,
        }
    }
}

/// Where the bytes of a `Send` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// The target's request.
    Request,
    /// The body of requests that all targets of the module share.
    Body,
    /// A part of the same in frames of HTTP/2, one by one; whether the header of
    /// the first has been lent.
    Frames(Range<u32>, bool),
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
    /// Runs that are to look at once at what another one did to them.
    pub(crate) roused: Vec<RunId>,
    /// What runs want done elsewhere.
    pub(crate) errands: VecDeque<(RunId, Errand)>,
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

    /// Notes what a run worked on.
    pub(crate) const fn worked(&mut self, bytes: usize, share: &mut Share) {
        self.left = self.left.saturating_sub(bytes);
        share.enter(self.turn);
        share.own = share.own.saturating_add(bytes);
    }

    /// Notes what is done at once. It is not what the run is behind with.
    pub(crate) const fn did(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Notes that something is signed.
    pub(crate) const fn signed(&mut self) {
        self.did(SIGNATURE_WORK);
    }

    /// Holds a run back until a later turn: nothing goes on for it meanwhile.
    pub(crate) fn hold(&mut self, id: RunId, share: &mut Share, now: Instant) {
        share.is_held = true;
        self.queue(id, share, now);
    }

    /// Has a run go on in a later turn, unless it waits for one already.
    pub(crate) fn queue(&mut self, id: RunId, share: &mut Share, now: Instant) {
        if share.queued.is_some() {
            return;
        }
        share.enter(self.turn);
        share.queued = Some(now);
        if self.waiting.is_empty() {
            self.since = now;
        }
        self.waiting.push_back(id);
    }

    /// Notes that its turn has come.
    pub(crate) fn go_on(&self, share: &mut Share, now: Instant) {
        share.book(self.turn, now);
    }

    /// It no longer waits for one.
    pub(crate) fn leave(&mut self, id: RunId, share: &mut Share, now: Instant) {
        if share.queued.is_some() {
            share.book(self.turn, now);
            self.waiting.retain(|it| *it != id);
        }
    }

    /// Whether the end of a run that waits for a turn is our doing; see [`OURS`].
    /// The turn is over.
    pub(crate) fn is_kept_waiting(&self, share: &Share, now: Instant) -> bool {
        let mut share = *share;
        share.book(self.turn.wrapping_add(1), now);
        share.missed.saturating_mul(OURS) > share.had.saturating_add(share.missed)
            || share.waited.saturating_mul(OURS as u32) > share.behind
    }

    /// When the next turn is wanted; [`Instant::MAX`] if none is.
    pub(crate) fn next(&self) -> Instant {
        match self.waiting.is_empty() {
            true => Instant::MAX,
            false => self.since,
        }
    }
}

/// A run that is still behind when its time is over is ours to answer for if
/// we kept from it more than one in so many of the bytes that its turns allow, or
/// of the time for which it was behind: without that it might have been done. With
/// less, its body would have taken seven eighths of that time, or more, on a prober
/// that had nothing else to do; to call that our overload would let every peer with
/// an endless body call it so, since there is something else now and then.
const OURS: u64 = 8;

/// What may pass between two turns of a run without having kept it waiting: twice
/// what [`DECODED_PER_TURN`] is meant to take. The engine has no clock to see how
/// long it took. A prober that is slower than that cannot say of a body that it
/// is too much.
const PROMPT: Duration = Duration::from_millis(2);

/// What a run had of the turns after which it had still something to do, and how
/// long it waited for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The last turn in which it could do something, or asked for the next.
    turn: u32,
    /// Bytes that it worked on in that.
    own: usize,
    /// Since when it waits for a turn.
    queued: Option<Instant>,
    /// Whether it does so [held back](Work::hold).
    is_held: bool,
    /// Bytes that it worked on in such turns, that one aside.
    had: u64,
    /// Bytes that it could have worked on if they had been its own.
    missed: u64,
    /// The time from one such turn to the next.
    behind: Duration,
    /// What of it was more than [`PROMPT`].
    waited: Duration,
}

impl Share {
    /// Since when it is held back, if it is.
    pub(crate) fn held_since(&self) -> Option<Instant> {
        self.queued.filter(|_| self.is_held)
    }

    /// It does something in this turn.
    const fn enter(&mut self, turn: u32) {
        if self.turn != turn {
            self.turn = turn;
            self.own = 0;
        }
    }

    /// It waited until now, and until `turn`, which does not count yet.
    fn book(&mut self, turn: u32, now: Instant) {
        let Some(since) = self.queued.take() else {
            return;
        };
        let behind = now - since;
        self.behind = self.behind.saturating_add(behind);
        let waited = behind.saturating_sub(PROMPT);
        self.waited = self.waited.saturating_add(waited);
        let turns = u64::from(turn.wrapping_sub(self.turn));
        let all = turns * DECODED_PER_TURN as u64;
        let had = all.min(self.own.min(DECODED_PER_TURN) as u64);
        self.had = self.had.saturating_add(had);
        self.missed = self.missed.saturating_add(all - had);
    }
}

impl Shared {
    pub(crate) fn push(&mut self, run: RunId, effect: Effect) {
        self.effects.push_back((run, effect));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::cx::RunCore;

    const TURN: u64 = DECODED_PER_TURN as u64;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_run_waits_once_however_often_it_asks() {
        let (mut work, mut share, id) = (Work::new(), Share::default(), RunId::new(0, 0));
        work.queue(id, &mut share, at(0));
        work.queue(id, &mut share, at(1));
        assert_eq!((work.waiting.len(), share.queued), (1, Some(at(0))));
        // Done without a turn, and behind again in the same one.
        work.leave(id, &mut share, at(1));
        assert!(work.waiting.is_empty());
        work.queue(id, &mut share, at(1));
        assert_eq!(work.waiting.len(), 1);
        assert_eq!((share.had, share.missed), (0, 0), "the turn goes on");
    }

    #[test]
    fn what_a_run_is_held_back_for_is_not_what_it_is_behind_with() {
        let (mut work, mut core, id) = (Work::new(), RunCore::new(), RunId::new(0, 0));
        core.reset(at(0), at(0));
        work.signed();
        assert_eq!(work.left, 0, "one takes a turn");
        work.queue(id, core.share.get_or_insert_default(), at(1));
        assert_eq!(core.end_turn_hold(at(2)), None, "it decodes");
        core.share = None;
        work.hold(id, core.share.get_or_insert_default(), at(3));
        assert_eq!(core.end_turn_hold(at(8)), Some(Duration::from_millis(5)));
        assert_eq!(core.share, None);
        assert_eq!(core.total(at(9)), Duration::from_millis(4));
    }

    #[test]
    fn a_turn_counts_with_what_a_run_had_of_it() {
        let (mut work, mut share, id) = (Work::new(), Share::default(), RunId::new(0, 0));
        work.worked(1_000, &mut share);
        work.queue(id, &mut share, at(0));
        assert!(work.is_kept_waiting(&share, at(1)));
        // It is passed over once, and has the turn after that for itself.
        work.begin_turn();
        work.begin_turn();
        work.go_on(&mut share, at(5));
        assert_eq!((share.had, share.missed), (1_000, 2 * TURN - 1_000));
        assert_eq!(share.behind, Duration::from_millis(5));
        assert_eq!(share.waited, Duration::from_millis(3));
        for turn in 5..40 {
            work.worked(DECODED_PER_TURN, &mut share);
            work.queue(id, &mut share, at(turn));
            assert_eq!(
                work.is_kept_waiting(&share, at(turn + 1)),
                turn < 23,
                "{turn}"
            );
            work.begin_turn();
            work.go_on(&mut share, at(turn + 1));
        }
    }
}
