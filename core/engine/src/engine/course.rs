//! The course of a run: events, timers, verdict, and what its target makes of it.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::Engine;
use super::run::{Owner, Run, State};
use super::shared::Effect;
use super::target::{Again, Last, Turn};
use crate::check::cx::{Party, RunCore, Waiting};
use crate::check::dial::not_tried;
use crate::check::{AnyCheck, Cx};
use crate::errand::Errand;
use crate::id::{RunId, TargetId};
use crate::io::{Closed, Input, ResolveError};
use crate::lifecycle;
use crate::outcome::{Outcome, Phase, Reason};
use crate::report::Report;
use crate::resolve::{Left, Lookup, LookupResult};
use crate::threshold::{Kind, Observation, Transition};
use crate::time::Instant;

/// A deadline that we look at so much too late says more about us than about
/// the target: what it did meanwhile was never seen.
const STALLED: Duration = Duration::from_millis(250);

/// If we held a run back for more than this part of a time that we did not
/// prolong, we cannot say that its target was too slow.
const KEPT_SHARE: u32 = 8;

impl Engine {
    /// Passes an event to whatever the run is, and completes it if that was
    /// its end.
    pub(super) fn deliver(&mut self, id: RunId, input: Input<'_>, now: Instant) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let mut cx = Cx {
            now,
            id,
            core: &mut run.core,
            shared: &mut self.shared,
        };
        match &mut run.state {
            State::Checking { spec, check, .. } => {
                if let Input::Closed(_, Closed::Local(reason)) = input
                    && !check.has_another_way()
                {
                    not_tried(reason, &mut cx);
                } else {
                    check.on(&spec.check, input, &mut cx);
                }
                if cx.is_finished() {
                    self.complete(id, now);
                } else if let Some(Waiting { until, .. }) = run.core.waiting {
                    self.hold(id, until, now);
                }
            }
            State::Resolving(lookup) => {
                if let Some(result) = lookup.on(input, &mut cx) {
                    self.complete_lookup(id, result, now);
                }
            }
            State::Done { .. } | State::Free => {}
        }
    }

    /// A run's connection waits for its destination's rate. The wait is ours:
    /// it [moves the deadline](prolong), unless it takes all that is left of its
    /// time.
    pub(super) fn hold(&mut self, id: RunId, at: Instant, now: Instant) {
        let wait = at - now;
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if self.shared.wakes.deadline(id.slot()) == Some(at) {
            return;
        }
        if wait >= run.core.deadline - now {
            return self.abort(id, Reason::OverloadDestination, now);
        }
        self.shared.wakes.set(id.slot(), at);
        prolong(run, wait);
        self.deadlines.set(id.slot(), run.core.deadline);
    }

    pub(super) fn wake(&mut self, slot: u32, now: Instant) {
        let Some(id) = self.runs.current(slot) else {
            return;
        };
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        // A check may have put off what it wanted to be woken for.
        if let Some(held) = run.core.waiting.take() {
            run.core.end_hold(held.begun, now);
            run.core.open |= 1 << held.conn.0;
            self.shared.push(id, Effect::Open(held.conn, held.endpoint));
        }
        self.deliver(id, Input::Woken, now);
    }

    /// Begins a turn: goes on with what was too much for the last one.
    pub(super) fn work(&mut self, now: Instant) {
        self.shared.work.begin_turn();
        for _ in 0..self.shared.work.waiting.len() {
            if self.shared.work.left == 0 {
                break;
            }
            if let Some(id) = self.shared.work.waiting.pop_front()
                && let Some(run) = self.runs.get_mut(id)
            {
                if let Some(held) = run.core.end_turn_hold(now) {
                    prolong(run, held);
                    self.deadlines.set(id.slot(), run.core.deadline);
                } else if let Some(share) = &mut run.core.share {
                    self.shared.work.go_on(share, now);
                }
                self.deliver(id, Input::Woken, now);
            }
        }
    }

    /// What a run wanted done elsewhere is done, or cannot be. The wait was ours: it
    /// [moves the deadline](prolong).
    pub(super) fn come_back(&mut self, id: RunId, answer: Result<Errand, Reason>, now: Instant) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let Some(wait) = run.core.end_away(now) else {
            return;
        };
        match answer {
            Ok(errand) => {
                if let Some(away) = &mut run.core.away {
                    away.answer = Some(errand);
                }
                prolong(run, wait);
                self.deadlines.set(id.slot(), run.core.deadline);
                self.deliver_in_time(id, Input::Woken, now);
            }
            Err(reason) => {
                let detail = format_args!("the prober could not run its check: {reason}");
                run.core.finish(Outcome::Unknown(reason), detail);
                self.complete(id, now);
            }
        }
    }

    /// Delivers what the world says, unless the prober was stopped for so long that
    /// it says nothing of the target: an answer that has lain in the kernel since
    /// would be taken for a slow one, and a peer that has given up on us for one
    /// that is broken.
    pub(super) fn deliver_in_time(&mut self, id: RunId, input: Input<'_>, now: Instant) {
        if let Some(run) = self.runs.get_mut(id)
            && let State::Checking { .. } = run.state
            && looked_too_late(&mut run.core, now)
        {
            self.complete(id, now);
        } else {
            self.deliver(id, input, now);
        }
    }

    pub(super) fn expire(&mut self, slot: u32, now: Instant) {
        let Some(id) = self.runs.current(slot) else {
            return;
        };
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        run.core.end_keep(now);
        let kept = run.kept();
        let Run { state, core, .. } = run;
        if let State::Checking { spec, check, .. } = state {
            let (spec, shared) = (&spec.check, &mut self.shared);
            let mut cx = Cx {
                now,
                id,
                core,
                shared,
            };
            if !looked_too_late(cx.core, now) {
                check.condemn(spec, &mut cx);
            }
            if !cx.is_finished() && !was_kept_waiting(check, kept, &mut cx) {
                check.on_expiry(spec, &mut cx);
            }
        }
        if run.core.outcome.is_none() {
            time_out(run, now);
        }
        self.complete(id, now);
    }

    /// Ends a run for a reason of ours.
    pub(super) fn abort(&mut self, id: RunId, reason: Reason, now: Instant) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match run.state {
            State::Checking { .. } => {
                let detail = format_args!("the run was ended by the prober: {reason}");
                run.core.finish(Outcome::Unknown(reason), detail);
                self.complete(id, now);
            }
            State::Resolving(_) => {
                let error = LookupResult::failed(ResolveError {
                    reason,
                    server: None,
                    trouble: None,
                });
                self.complete_lookup(id, error, now);
            }
            State::Done { .. } | State::Free => {}
        }
    }

    /// Closes what a run has open and forgets its timers.
    pub(super) fn wind_up(&mut self, id: RunId, now: Instant) {
        self.deadlines.cancel(id.slot());
        self.shared.wakes.cancel(id.slot());
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if let Some(held) = run.core.waiting.take() {
            run.core.end_hold(held.begun, now);
            self.shared.gate.cancel(held.endpoint.to.ip());
        }
        run.core.end_turn_hold(now);
        run.core.end_away(now);
        run.core.away = None;
        run.core.end_keep(now);
        let left = self.shared.resolver.leave(id);
        if let Some(Left::Unbegun(since)) = left {
            run.core.end_hold(since, now);
        }
        for number in 0..run.core.opened {
            let conn = crate::id::Conn(number);
            if run.core.is_open(conn) {
                run.core.forget(conn);
                self.shared.push(id, Effect::Close(conn));
            }
        }
        if let Some(Left::Alone(lookup)) = left {
            self.abort(lookup, Reason::Cancelled, now);
        }
    }

    /// A check has reached its verdict: judge the target and report.
    pub(super) fn complete(&mut self, id: RunId, now: Instant) {
        self.wind_up(id, now);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let State::Checking { owner, spec, check } =
            core::mem::replace(&mut run.state, State::Free)
        else {
            return;
        };
        run.core.cut_phase(now);
        let outcome = run
            .core
            .outcome
            .unwrap_or(Outcome::Unknown(Reason::Internal));
        let observation = observation(spec.threshold.kind(), outcome, check.is_cut_off());
        self.counters.count(outcome, run.core.runs);
        let mut done = (None, None);
        match owner {
            Owner::Host => self.runs.in_flight.once -= 1,
            Owner::Target(slot) => {
                self.runs.in_flight.scheduled -= 1;
                done = self.judge(id, slot, (outcome, observation), now);
            }
        }
        if let Some(run) = self.runs.get_mut(id) {
            run.state = State::Done {
                target: done.0,
                spec,
                finished: now,
                transition: done.1,
            };
            self.shared.push(id, Effect::Report);
        }
        if let Owner::Target(slot) = owner {
            self.after_run(slot, (outcome, observation), now);
        }
    }

    /// Books a result with its target.
    pub(super) fn judge(
        &mut self,
        id: RunId,
        slot: u32,
        (outcome, observation): (Outcome, Observation),
        now: Instant,
    ) -> (Option<TargetId>, Option<Transition>) {
        let (Some(target), Some(run)) = (self.targets.get_mut(slot), self.runs.get(id)) else {
            return (None, None);
        };
        let core = &run.core;
        let total = core.total(now);
        let record = Arc::make_mut(target.record.get_or_insert_default());
        record.results[outcome.index()] += core.runs;
        if !matches!(outcome, Outcome::Unknown(_)) {
            record.histogram.record(total);
            target.seen = now;
        }
        if outcome != Outcome::Unknown(Reason::Cancelled) {
            // A target that is down says the same again and again.
            let said = record.last.take().map(|last| last.detail);
            let detail = match said.filter(|said| **said == *core.detail) {
                Some(said) => said,
                None => core.detail.as_str().into(),
            };
            record.last = Some(Last {
                outcome,
                detail,
                finished: now,
                total,
                phase: core.phase,
                phases: core.phases,
                facts: core.facts,
                labels: core.labels.clone(),
                samples: core.samples.clone(),
                tls: core.tls.clone(),
                address: core.address,
            });
        }
        let transition = target
            .threshold
            .observe(&target.spec.threshold, observation);
        (Some(target.id), transition)
    }

    /// Decides what comes after a run: another attempt, the run that came due
    /// meanwhile, or nothing until the timer.
    pub(super) fn after_run(
        &mut self,
        slot: u32,
        (outcome, observation): (Outcome, Observation),
        now: Instant,
    ) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        let Turn::Running { again, .. } = target.turn else {
            return;
        };
        target.turn = Turn::Scheduled;
        // Our own troubles are not cured by trying harder.
        let ours = matches!(outcome, Outcome::Unknown(_));
        if !ours && lifecycle::retries(observation, target.attempts) && self.epoch.is_some() {
            target.attempts += 1;
            let spec = Arc::clone(&target.spec);
            self.launch_for(slot, spec, now, now);
            if let Some(target) = self.targets.get_mut(slot)
                && let Turn::Running { run, .. } = target.turn
            {
                target.turn = Turn::Running { run, again };
                return;
            }
            // It ended as it began; what came due meanwhile is still to be done.
        }
        if again == Again::Trigger {
            self.rephase(slot, now);
        }
        if again != Again::Nothing && self.epoch.is_some() && self.may_probe(slot, now) {
            self.start_or_queue(slot, now, now);
        }
    }

    pub(super) fn complete_lookup(&mut self, id: RunId, result: LookupResult, now: Instant) {
        self.wind_up(id, now);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let state = core::mem::replace(&mut run.state, State::Free);
        if let State::Resolving(lookup) = state {
            self.runs.in_flight.lookups -= 1;
            self.shared.resolver.complete(lookup, result, now);
        }
        self.shared.push(id, Effect::Release);
    }

    /// Begins a look-up. How long that it waited for room is not the time of the
    /// runs that wait for it.
    fn begin_lookup(&mut self, lookup: Lookup, now: Instant) {
        self.runs.in_flight.lookups += 1;
        let (ask, name) = (lookup.ask(), Arc::clone(lookup.host()));
        let id = self.runs.take(State::Resolving(lookup), now, now);
        for (waiter, since) in self.shared.resolver.begin((ask, &name), id) {
            if since < now
                && let Some(run) = self.runs.get_mut(waiter)
            {
                run.core.end_hold(since, now);
                prolong(run, now - since);
                self.deadlines.set(waiter.slot(), run.core.deadline);
            }
        }
        self.deliver(id, Input::Start, now);
    }

    /// Does what became possible: runs that others have ended, look-ups that were asked
    /// for, runs that waited for their answers, targets that waited for room.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            if let Some(run) = self.shared.roused.pop() {
                self.deliver(run, Input::Woken, now);
            } else if let Some(lookup) = self.shared.resolver.next_lookup() {
                self.begin_lookup(lookup, now);
            } else if let Some((run, answer)) = self.shared.resolver.next_answer() {
                let answer = answer.as_deref().map_err(|error| *error);
                self.deliver_in_time(run, Input::Resolved(answer), now);
            } else if !self.start_queued(now) {
                break;
            }
        }
    }
}

/// Moves the deadline of a run that we hold back. Not that of one for which
/// somebody waits, who has a deadline of his own.
fn prolong(run: &mut Run, wait: Duration) {
    if !run.is_waited_for() {
        run.core.deadline += wait;
    }
}

/// Whether nobody looked at a run until so long after its deadline that nothing
/// can be said of its target: then that is its outcome.
fn looked_too_late(core: &mut RunCore, now: Instant) -> bool {
    let late = now - core.deadline;
    if late > STALLED {
        let detail = format_args!("the prober looked {late:?} after the deadline");
        core.finish(Outcome::Unknown(Reason::Overload), detail);
    }
    late > STALLED
}

/// Whether what keeps a run from its end is that we did not sign for it yet, did not
/// begin to look a name up, did not do what is done elsewhere, held it back for much of a time that we did not prolong, or
/// did not decode or match what had come as fast as we do: then that is its outcome. If we did
/// and its body is too much, that is the target's doing, or the user's, as for a
/// body that comes too slowly.
fn was_kept_waiting(check: &AnyCheck, kept: Duration, cx: &mut Cx<'_>) -> bool {
    let time = cx.core.deadline - cx.core.started;
    let left = if cx.is_held() {
        "sign the assertion for its token"
    } else if cx.is_queued() {
        "look the name up"
    } else if cx.is_away() {
        "run its check"
    } else if kept > time / KEPT_SHARE {
        "leave it the time that it was given"
    } else if let Some(work) = check.behind_with()
        && cx.is_kept_waiting()
    {
        work
    } else {
        return false;
    };
    let detail = format_args!("the prober was too busy to {left}");
    cx.finish(Outcome::Unknown(Reason::Overload), detail);
    true
}

/// Ends a run of which the time is over.
fn time_out(run: &mut Run, now: Instant) {
    let RunCore { phase, party, .. } = run.core;
    let outcome = Outcome::Failure(match party {
        Party::Target => phase.timeout(),
        Party::Proxy => Reason::TimeoutProxy,
        Party::TokenEndpoint => Reason::TimeoutOauth2,
    });
    if run.core.deadline <= run.core.started {
        let detail = format_args!("there was no time: the timeout of the run is 0");
        return run.core.finish(outcome, detail);
    }
    let spent = run.core.total(now);
    let doing = Doing(party, phase, run.core.address);
    let more = WaitsFor(&run.state);
    let detail = format_args!("timed out after {spent:.1?} {doing}{more}");
    run.core.finish(outcome, detail);
}

/// What a result means for the threshold.
///
/// The kubelet's HTTP prober discards a pass in which the body could not be
/// read after the headers had come, whatever their status (`kubelet_probes`
/// 2.5); its kinds do so here. For plain targets it is a failure like any
/// other.
fn observation(kind: Kind, outcome: Outcome, cut_off: bool) -> Observation {
    match outcome {
        Outcome::Success | Outcome::Warning(_) => Observation::Success,
        Outcome::Unknown(_) => Observation::Error,
        Outcome::Failure(_) if kind != Kind::Plain && cut_off => Observation::Error,
        Outcome::Failure(_) => Observation::Failure,
    }
}

/// `connecting to 192.0.2.1:80`
struct Doing(Party, Phase, Option<core::net::SocketAddr>);

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.1 {
            _ if self.0 == Party::Proxy => "waiting for the proxy at",
            _ if self.0 == Party::TokenEndpoint => "waiting for a token from",
            Phase::Resolve => return f.write_str("resolving the name"),
            Phase::Connect => "connecting to",
            Phase::Tls => "in the TLS handshake with",
            Phase::Processing => "waiting for an answer from",
            Phase::Transfer => "reading the answer of",
        };
        f.write_str(doing)?;
        match (self.2, self.0) {
            (Some(address), _) => write!(f, " {address}"),
            (None, Party::Target) => f.write_str(" the target"),
            (None, _) => f.write_str(" an address that is being looked up"),
        }
    }
}

/// See [`Check::waits_for`](crate::check::Check::waits_for).
struct WaitsFor<'a>(&'a State);

impl fmt::Display for WaitsFor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            State::Checking { spec, check, .. } => check.waits_for(&spec.check, f),
            _ => Ok(()),
        }
    }
}

#[inline(always)]
pub(super) fn report(run: &Run) -> Option<Report<'_>> {
    let State::Done {
        target,
        spec,
        finished,
        transition,
    } = &run.state
    else {
        return None;
    };
    let core = &run.core;
    Some(Report {
        target: *target,
        spec,
        outcome: core.outcome.unwrap_or(Outcome::Unknown(Reason::Internal)),
        runs: core.runs,
        detail: &core.detail,
        phase: core.phase,
        due: core.due,
        started: core.started,
        finished: *finished,
        total: core.total(*finished),
        phases: core.phases,
        facts: &core.facts,
        labels: &core.labels,
        samples: &core.samples,
        tls: core.tls.as_ref(),
        address: core.address,
        transition: *transition,
        trace: core.trace.as_deref().unwrap_or_default(),
    })
}
