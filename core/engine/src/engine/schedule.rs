//! Which target's turn it is, and whether there is room for it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Engine;
use super::run::{Owner, State};
use super::target::{Again, Turn};
use crate::check::cx::Names;
use crate::id::RunId;
use crate::io::Input;
use crate::lifecycle::Pass;
use crate::outcome::{Outcome, Reason};
use crate::spec::Spec;
use crate::time::{Instant, nanos};

impl Engine {
    /// Sets the timer of a scheduled target to its first run after `now`.
    pub(super) fn schedule(&mut self, slot: u32, now: Instant) {
        let (Some(epoch), Some(target)) = (self.epoch, self.targets.get_mut(slot)) else {
            return;
        };
        let begin = target.added.max(epoch) + target.spec.schedule.initial_delay();
        target.next = target.due_after(epoch, now.max(begin));
        self.due.set(slot, target.next);
    }

    /// Counts the target's period from `now`.
    pub(super) fn rephase(&mut self, slot: u32, now: Instant) {
        if let (Some(epoch), Some(target)) = (self.epoch, self.targets.get_mut(slot)) {
            let period = nanos(target.spec.schedule.period());
            target.offset = nanos(now - epoch) % period;
            self.schedule(slot, now);
        }
    }

    /// The timer of a target went off.
    pub(super) fn come_due(&mut self, slot: u32, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        match target.turn {
            Turn::Scheduled => {
                let (due, missed) = target.latest_due(now);
                self.schedule(slot, now);
                if self.may_probe(slot, now) {
                    self.report_missed(slot, missed, due, now);
                    self.start_or_queue(slot, due, now);
                }
            }
            Turn::Running { run, again } => {
                if again == Again::Nothing {
                    let again = Again::Tick;
                    target.turn = Turn::Running { run, again };
                }
                self.schedule(slot, now);
            }
            Turn::Queued { due } => {
                self.unqueue(slot);
                let waited = now - due;
                self.report_unstarted(
                    slot,
                    (Reason::Overload, 1),
                    format_args!("no free slot for {waited:.1?}: the prober is overloaded"),
                    due,
                    now,
                );
                self.rearm(slot);
            }
        }
    }

    /// Whether the kubelet's rules let the target be probed in this pass.
    pub(super) fn may_probe(&mut self, slot: u32, now: Instant) -> bool {
        let Some(target) = self.targets.get_mut(slot) else {
            return false;
        };
        let Some(watched) = &mut target.watched else {
            return !target.threshold.on_hold();
        };
        let (pass, transition) = watched.lifecycle.pass(
            &mut target.threshold,
            &target.spec.threshold,
            target.spec.schedule.initial_delay(),
            watched.pod.as_ref(),
            now,
        );
        if let Some(transition) = transition {
            self.transitions.push_back((target.id, transition));
        }
        if pass == Pass::Exit {
            self.remove_slot(slot, now);
        }
        pass == Pass::Probe
    }

    /// Whether another scheduled run may start. Single runs may have borrowed
    /// slots before there were so many targets.
    fn has_room(&self) -> bool {
        self.runs.in_flight.scheduled < self.limits.in_flight && self.has_slot()
    }

    /// Whether any run may start.
    pub(super) fn has_slot(&self) -> bool {
        let most = { self.limits.in_flight }.saturating_add(self.limits.once_in_flight);
        self.in_flight() < most
    }

    pub(super) fn start_or_queue(&mut self, slot: u32, due: Instant, now: Instant) {
        // Nobody overtakes those who wait: they are started in a moment.
        if self.queue.is_empty() && self.has_room() {
            self.start(slot, due, now);
        } else if let Some(target) = self.targets.get_mut(slot) {
            target.turn = Turn::Queued { due };
            target.waiting = target.waiting.min(due);
            self.queue.insert((target.waiting, slot));
            self.due.set(slot, due + target.spec.schedule.timeout());
        }
    }

    pub(super) fn start(&mut self, slot: u32, due: Instant, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        target.attempts = 1;
        target.waiting = Instant::MAX;
        let spec = Arc::clone(&target.spec);
        self.counters.start_lag.record(now - due);
        self.launch_for(slot, spec, due, now);
    }

    pub(super) fn launch_for(&mut self, slot: u32, spec: Arc<Spec>, due: Instant, now: Instant) {
        self.runs.in_flight.scheduled += 1;
        let timeout = spec.schedule.timeout();
        self.launch(Owner::Target(slot), spec, timeout, false, due, now);
    }

    pub(super) fn launch(
        &mut self,
        owner: Owner,
        spec: Arc<Spec>,
        timeout: Duration,
        trace: bool,
        due: Instant,
        now: Instant,
    ) -> RunId {
        let check = spec.check.start();
        let state = State::Checking { owner, spec, check };
        let id = self.runs.take(state, due, now);
        if let Owner::Target(slot) = owner
            && let Some(target) = self.targets.get_mut(slot)
        {
            target.turn = Turn::Running {
                run: id,
                again: Again::Nothing,
            };
        }
        if let Some(run) = self.runs.get_mut(id) {
            run.core.deadline = now + timeout;
            run.core.names = match owner {
                Owner::Target(_) => Names::Remembered,
                Owner::Host => Names::Fresh,
            };
            run.core.trace = trace.then(Vec::new);
        }
        self.deadlines.set(id.slot(), now + timeout);
        self.deliver(id, Input::Start, now);
        id
    }

    /// Accounts for `missed` runs whose time has passed before anybody looked
    /// (the process was stopped, the machine asleep, the target waited for a
    /// slot): all are counted, and one report, that of the last one, says so.
    /// `due` is the run that comes after them.
    fn report_missed(&mut self, slot: u32, missed: u64, due: Instant, now: Instant) {
        let Some(target) = self.targets.get(slot).filter(|_| missed > 0) else {
            return;
        };
        let last = due.before(target.spec.schedule.period());
        let were = if missed == 1 { "run was" } else { "runs were" };
        let detail = format_args!("{missed} {were} missed: the prober did not look in time");
        self.report_unstarted(slot, (Reason::Overload, missed), detail, last, now);
    }

    /// Reports as many runs as never started, in one.
    fn report_unstarted(
        &mut self,
        slot: u32,
        (reason, runs): (Reason, u64),
        detail: fmt::Arguments<'_>,
        due: Instant,
        now: Instant,
    ) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        let spec = Arc::clone(&target.spec);
        let check = spec.check.start();
        let owner = Owner::Target(slot);
        let id = self
            .runs
            .take(State::Checking { owner, spec, check }, due, now);
        target.turn = Turn::Running {
            run: id,
            again: Again::Nothing,
        };
        self.runs.in_flight.scheduled += 1;
        if let Some(run) = self.runs.get_mut(id) {
            run.core.runs = runs;
            run.core.finish(Outcome::Unknown(reason), detail);
        }
        self.complete(id, now);
    }

    /// Starts the queued target that has waited longest if there is room.
    pub(super) fn start_queued(&mut self, now: Instant) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some((_, slot)) = self.queue.first().copied() else {
            return false;
        };
        let turn = self.targets.get(slot).map(|target| target.turn);
        self.unqueue(slot);
        if let Some(Turn::Queued { due }) = turn {
            self.rearm(slot);
            self.start(slot, due, now);
        }
        true
    }

    /// Sets the timer of a target that has been queued back to its next run,
    /// which may have come due meanwhile: then it is not skipped.
    fn rearm(&mut self, slot: u32) {
        if let (Some(_), Some(target)) = (self.epoch, self.targets.get(slot)) {
            self.due.set(slot, target.next);
        }
    }

    pub(super) fn unqueue(&mut self, slot: u32) {
        if let Some(target) = self.targets.get_mut(slot)
            && let Turn::Queued { .. } = target.turn
        {
            target.turn = Turn::Scheduled;
            self.queue.remove(&(target.waiting, slot));
        }
    }

    /// Reports as cancelled what a target has in flight, or what it waits for.
    pub(super) fn cancel_run_of(&mut self, slot: u32, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        match target.turn {
            Turn::Scheduled => {}
            Turn::Running { run, .. } => {
                let again = Again::Nothing;
                target.turn = Turn::Running { run, again };
                self.abort(run, Reason::Cancelled, now);
            }
            Turn::Queued { .. } => self.report_queued(slot, Reason::Cancelled, now),
        }
    }

    /// Reports the run that a target waits for, if it does, as not to be.
    pub(super) fn report_queued(&mut self, slot: u32, reason: Reason, now: Instant) {
        if let Some(target) = self.targets.get(slot)
            && let Turn::Queued { due } = target.turn
        {
            self.unqueue(slot);
            let detail = format_args!("the run was called off while it waited for a slot");
            self.report_unstarted(slot, (reason, 1), detail, due, now);
        }
    }

    pub(super) fn remove_slot(&mut self, slot: u32, now: Instant) {
        self.cancel_run_of(slot, now);
        self.due.cancel(slot);
        self.targets.remove(slot);
    }

    pub(super) fn release_reported(&mut self) {
        if let Some(id) = self.reported.take() {
            self.runs.release(id);
        }
    }
}
