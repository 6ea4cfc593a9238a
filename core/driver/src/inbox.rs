//! What a worker is told from outside: a bounded queue of commands.
//!
//! A worker that has nothing in its inbox pays one atomic read per turn. Many
//! commands that arrive while it is busy cost one wake-up together.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::Waker;
use probity_engine::{Errand, Instant, Reason, RunId, Spec};

use crate::handle::Change;
use crate::limits::{COMMANDS_PER_TURN, INBOX};
use crate::report::Done;
use crate::snapshot::{FleetJob, StatsJob};

/// One order to a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// At most [`COMMANDS_PER_TURN`] of them.
    Apply(Vec<Change>),
    Begin,
    Once {
        spec: Arc<Spec>,
        timeout: Duration,
        trace: bool,
        done: Done,
    },
    /// The number of a single run.
    Cancel(u64),
    Fleet(Arc<FleetJob>),
    Stats(Arc<StatsJob>),
}

impl Command {
    /// Its part of [`COMMANDS_PER_TURN`].
    fn weight(&self) -> usize {
        match self {
            Self::Apply(changes) => changes.len().max(1),
            _ => 1,
        }
    }
}

/// What came of a run's errand.
pub(crate) type Answer = (RunId, Result<Errand, Reason>);

/// Why a command was not accepted; it is given back.
#[derive(Debug)]
pub(crate) enum Refused {
    Full(Command),
    Stopped(Command),
}

#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Notified when there is room, or never will be.
    room: Condvar,
    /// Set while there is something that the worker has not looked at.
    signalled: AtomicBool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<Command>,
    /// What the crew has done; no more than it was given.
    answers: Vec<Answer>,
    /// Set once: no command is accepted any more, and runs have until then.
    stop: Option<Instant>,
}

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one of the driver's.
pub(crate) fn mark_thread() {
    OURS.with(|ours| ours.set(true));
}

/// Whether this is a thread of a driver, which must never wait for another.
pub(crate) fn on_our_thread() -> bool {
    OURS.with(Cell::get)
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            state: Mutex::default(),
            room: Condvar::new(),
            signalled: AtomicBool::new(false),
            waker,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command if there is room.
    pub(crate) fn try_push(&self, command: Command) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.stop.is_some() {
            return Err(Refused::Stopped(command));
        }
        if state.commands.len() >= INBOX {
            return Err(Refused::Full(command));
        }
        state.commands.push_back(command);
        drop(state);
        self.signal();
        Ok(())
    }

    /// Adds a command, and waits for room if there is none. On a thread of the
    /// driver it does not wait but exceeds the bound: the worker that would
    /// make room may be the one that waits.
    pub(crate) fn push(&self, command: Command) -> Result<(), Refused> {
        let full = |state: &mut State| {
            state.stop.is_none() && state.commands.len() >= INBOX && !on_our_thread()
        };
        let mut state = self
            .room
            .wait_while(self.lock(), full)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stop.is_some() {
            return Err(Refused::Stopped(command));
        }
        state.commands.push_back(command);
        drop(state);
        self.signal();
        Ok(())
    }

    /// Adds what came of an errand: in any case, for the runs in flight go on until the end.
    pub(crate) fn answer(&self, run: RunId, answer: Result<Errand, Reason>) {
        self.lock().answers.push((run, answer));
        self.signal();
    }

    /// Moves those to `into`.
    pub(crate) fn take_answers(&self, into: &mut Vec<Answer>) {
        into.append(&mut self.lock().answers);
    }

    /// Accepts no more; runs in flight have until `deadline`, or until the
    /// earlier one that was set before.
    pub(crate) fn stop(&self, deadline: Instant) {
        let mut state = self.lock();
        state.stop = Some(state.stop.map_or(deadline, |earlier| earlier.min(deadline)));
        drop(state);
        self.room.notify_all();
        self.signal();
    }

    /// Whether there is anything to look at. Clears the mark.
    pub(crate) fn is_signalled(&self) -> bool {
        // The plain read keeps the cache line shared while nothing happens.
        self.signalled.load(Ordering::Relaxed) && self.signalled.swap(false, Ordering::AcqRel)
    }

    /// Moves a turn's worth of commands to `into`. Returns whether there are
    /// more.
    pub(crate) fn take(&self, into: &mut Vec<Command>) -> bool {
        let mut state = self.lock();
        let mut weight = 0;
        while weight < COMMANDS_PER_TURN {
            let Some(command) = state.commands.pop_front() else {
                break;
            };
            weight += command.weight();
            into.push(command);
        }
        let more = !state.commands.is_empty();
        drop(state);
        self.room.notify_all();
        more
    }

    /// When the worker has to be done, if it has been told to stop.
    pub(crate) fn stop_at(&self) -> Option<Instant> {
        self.lock().stop
    }

    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            // The eventfd's counter would have to overflow.
            let _ = self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};

    fn inbox() -> (Poll, Inbox) {
        let poll = Poll::new().expect("an epoll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("an eventfd");
        (poll, Inbox::new(waker))
    }

    #[test]
    fn a_full_inbox_refuses_and_a_stopped_one_for_good() {
        let (_poll, inbox) = inbox();
        for _ in 0..INBOX {
            inbox.try_push(Command::Begin).expect("there is room");
        }
        assert!(matches!(
            inbox.try_push(Command::Begin),
            Err(Refused::Full(_))
        ));
        let mut taken = Vec::new();
        assert!(inbox.take(&mut taken));
        assert_eq!(taken.len(), COMMANDS_PER_TURN);
        inbox.try_push(Command::Begin).expect("there is room again");
        inbox.stop(Instant::from_nanos(7));
        inbox.stop(Instant::from_nanos(9));
        assert_eq!(inbox.stop_at(), Some(Instant::from_nanos(7)));
        assert!(matches!(
            inbox.push(Command::Begin),
            Err(Refused::Stopped(_))
        ));
    }

    #[test]
    fn changes_count_by_their_number() {
        let (_poll, inbox) = inbox();
        let id = probity_engine::TargetId(1);
        for _ in 0..3 {
            let changes = (0..200).map(|_| Change::Remove(id)).collect();
            inbox.try_push(Command::Apply(changes)).expect("room");
        }
        let mut taken = Vec::new();
        assert!(inbox.take(&mut taken));
        assert_eq!(taken.len(), 2, "400 changes are enough for one turn");
    }

    #[test]
    fn many_commands_are_one_wake_up() {
        let (_poll, inbox) = inbox();
        assert!(!inbox.is_signalled());
        inbox.try_push(Command::Begin).expect("room");
        inbox.try_push(Command::Begin).expect("room");
        assert!(inbox.is_signalled());
        assert!(!inbox.is_signalled());
    }
}
