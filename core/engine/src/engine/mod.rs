//! The engine: schedule, deadlines, look-ups, thresholds, histograms.

pub(crate) mod gate;
mod run;
pub(crate) mod shared;
mod stats;
mod target;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use self::gate::Gate;
use self::run::{Owner, Runs, State};
use self::shared::{Effect, Payload, Shared};
use self::stats::Counters;
pub use self::stats::Stats;
pub use self::target::{Last, TargetView};
use self::target::{Target, Targets, Turn, Watched};
use crate::check::Cx;
use crate::histogram::Exponential;
use crate::id::{RunId, TargetId};
use crate::io::{Closed, Input, Output, ResolveError};
use crate::lifecycle::{self, Lifecycle, Pass, Pod};
use crate::limits::{Limits, STARTS_PER_TURN};
use crate::outcome::{Outcome, Phase, Reason};
use crate::report::Report;
use crate::resolve::{LookupResult, Resolver, ResolverConfig};
use crate::rng::Rng;
use crate::spec::Spec;
use crate::threshold::{Kind, Observation, Threshold, Transition};
use crate::time::Instant;
use crate::wheel::Wheel;

/// A deadline that we look at so much too late says more about us than about
/// the target: what it did meanwhile was never seen.
const STALLED: Duration = Duration::from_millis(250);

/// What an engine is made with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// How names are resolved.
    pub resolver: ResolverConfig,
    /// Seed of all randomness. Secret and different for every engine, unless
    /// a run is to be replayed.
    pub seed: [u8; 32],
}

/// No room: one of the [`Limits`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine is at its limit")
    }
}

impl core::error::Error for Full {}

/// One shard: targets with their schedule and health, and runs in flight. See
/// the [crate's](crate) page for how to drive it.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    /// When [`Engine::begin`] was called.
    epoch: Option<Instant>,
    targets: Targets,
    runs: Runs,
    /// Next run, or end of patience while queued, by target slot.
    due: Wheel,
    /// Deadlines, by run slot.
    deadlines: Wheel,
    /// Slots of targets that are due and found no room, oldest first. May hold
    /// stale entries: [`Turn::Queued`] is what counts.
    queue: VecDeque<u32>,
    queued: u32,
    shared: Shared,
    counters: Counters,
    transitions: VecDeque<(TargetId, Transition)>,
    /// A run whose report was handed out; released by the next call.
    reported: Option<RunId>,
}

impl Engine {
    /// An engine without targets. `now` is the driver's first clock reading.
    pub fn new(config: Config, now: Instant) -> Self {
        let Config {
            limits,
            resolver,
            seed,
        } = config;
        let mut rng = Rng::new(seed);
        Self {
            limits,
            epoch: None,
            targets: Targets::default(),
            runs: Runs::default(),
            due: Wheel::new(now),
            deadlines: Wheel::new(now),
            queue: VecDeque::new(),
            queued: 0,
            shared: Shared {
                effects: VecDeque::new(),
                resolver: Resolver::new(resolver, &limits, rng.u64()),
                gate: Gate::new(&limits, rng.u64()),
                rng,
                wakes: Wheel::new(now),
            },
            counters: Counters::new(),
            transitions: VecDeque::new(),
            reported: None,
        }
    }

    /// Ends start-up: from now on targets are due. Those that were added
    /// before are spread over their period from here, so that a long start-up
    /// does not begin with a backlog. Calling it again changes nothing.
    pub fn begin(&mut self, now: Instant) {
        if self.epoch.is_some() {
            return;
        }
        self.epoch = Some(now);
        for slot in 0..self.targets.slots() {
            self.schedule(slot, now);
        }
    }

    /// Adds a target, or changes one. A target whose spec is equal to the one
    /// it has is left alone; one that changes keeps its results, histogram and
    /// health (unless the kind of threshold changes), and a run in flight is
    /// reported as `cancelled`.
    ///
    /// # Errors
    /// [`Full`] if [`Limits::targets`] are registered already.
    pub fn upsert(&mut self, id: TargetId, spec: Arc<Spec>, now: Instant) -> Result<(), Full> {
        self.release_reported();
        let slot = match self.targets.find(id) {
            Some(slot) => {
                if self.targets.get(slot).is_some_and(|it| it.spec == spec) {
                    return Ok(());
                }
                self.cancel_run_of(slot, now);
                self.unqueue(slot);
                if let Some(target) = self.targets.get_mut(slot) {
                    if target.spec.threshold.kind() != spec.threshold.kind() {
                        target.threshold = Threshold::new(spec.threshold.kind());
                        target.watched = None;
                    }
                    if target.spec.check.kind() != spec.check.kind() {
                        target.last = None;
                    }
                    target.spec = spec;
                    target.turn = Turn::Scheduled;
                }
                slot
            }
            None if self.targets.len() >= self.limits.targets as usize => return Err(Full),
            None => self.targets.insert(Target {
                id,
                threshold: Threshold::new(spec.threshold.kind()),
                spec,
                added: now,
                turn: Turn::Scheduled,
                next: Instant::MAX,
                attempts: 0,
                watched: None,
                results: [0; 4],
                histogram: Exponential::default(),
                last: None,
            }),
        };
        self.schedule(slot, now);
        self.settle(now);
        Ok(())
    }

    /// Forgets a target. A run in flight is reported as `cancelled`.
    pub fn remove(&mut self, id: TargetId, now: Instant) {
        self.release_reported();
        if let Some(slot) = self.targets.find(id) {
            self.remove_slot(slot, now);
            self.settle(now);
        }
    }

    /// Starts one run outside any schedule. Its steps are kept in the report
    /// if `trace` is set.
    ///
    /// # Errors
    /// [`Full`] if [`Limits::once_in_flight`] such runs are in flight.
    pub fn run_once(
        &mut self,
        spec: Arc<Spec>,
        timeout: Duration,
        trace: bool,
        now: Instant,
    ) -> Result<RunId, Full> {
        self.release_reported();
        if self.runs.in_flight.once >= self.limits.once_in_flight {
            return Err(Full);
        }
        self.runs.in_flight.once += 1;
        let id = self.launch(Owner::Host, spec, timeout, trace, now, now);
        self.settle(now);
        Ok(id)
    }

    /// Tells what is known about the pod and container behind a target; from
    /// then on the rules of [`lifecycle`] decide whether it is probed.
    /// Unknown ids are ignored.
    pub fn observe_pod(&mut self, id: TargetId, pod: Option<Pod>, now: Instant) {
        self.release_reported();
        let Some(target) = self
            .targets
            .find(id)
            .and_then(|slot| self.targets.get_mut(slot))
        else {
            return;
        };
        let watched = target.watched.get_or_insert_with(|| {
            target.threshold = Threshold::UNPUBLISHED;
            alloc::boxed::Box::new(Watched {
                lifecycle: Lifecycle::new(),
                pod: None,
            })
        });
        watched.pod = pod;
        // A readiness check of a container that is not ready runs out of turn.
        let kind = target.spec.threshold.kind();
        let published = watched.lifecycle.published(&target.threshold);
        let trigger = pod
            .and_then(|pod| pod.container)
            .is_some_and(|container| lifecycle::wants_trigger(kind, &container, published));
        if trigger {
            self.trigger(id, now);
        }
    }

    /// Makes a target due now, unless it is in flight or queued, and counts its
    /// period from here. Unknown ids are ignored.
    pub fn trigger(&mut self, id: TargetId, now: Instant) {
        let Some(slot) = self.targets.find(id) else {
            return;
        };
        if self.epoch.is_some()
            && let Some(target) = self.targets.get_mut(slot)
            && target.turn == Turn::Scheduled
        {
            target.next = now;
            self.due.set(slot, now);
        }
    }

    /// Handles one event of a run. Events of runs that are over, of
    /// connections that are not open, and those that only the engine makes are
    /// ignored.
    pub fn handle_input(&mut self, run: RunId, input: Input<'_>, now: Instant) {
        self.release_reported();
        let Some(slot) = self.runs.get_mut(run) else {
            return;
        };
        let conn = match &input {
            Input::Start | Input::Woken => return,
            Input::Resolved(_) if !self.shared.resolver.is_delegated() => return,
            Input::Resolved(_) => None,
            Input::Opened(conn)
            | Input::Secured(conn, _)
            | Input::Data(conn, _)
            | Input::Closed(conn, _) => Some(*conn),
        };
        if conn.is_some_and(|conn| !slot.core.is_open(conn)) {
            return;
        }
        match &input {
            Input::Secured(_, info) => slot.core.tls = Some(Arc::clone(info)),
            Input::Closed(conn, why) => {
                slot.core.forget(*conn);
                if let Closed::Tls(failure) = why {
                    slot.core.tls.clone_from(&failure.info);
                }
            }
            _ => {}
        }
        self.deliver(run, input, now);
        self.settle(now);
    }

    /// Expires what is late, wakes what asked for it and starts what is due.
    ///
    /// At most [`limits::STARTS_PER_TURN`](crate::limits::STARTS_PER_TURN)
    /// runs are started by one call, so that a burst never keeps a driver from
    /// its sockets; if more are due, [`Engine::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.release_reported();
        while let Some(slot) = self.deadlines.expire(now) {
            self.expire(slot, now);
        }
        while let Some(slot) = self.shared.wakes.expire(now) {
            self.wake(slot, now);
        }
        for _ in 0..STARTS_PER_TURN {
            let Some(slot) = self.due.expire(now) else {
                break;
            };
            self.come_due(slot, now);
        }
        self.settle(now);
    }

    /// When [`Engine::handle_timeout`] should be called next; `None` if only
    /// an event can change anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [&self.due, &self.deadlines, &self.shared.wakes]
            .into_iter()
            .filter_map(Wheel::poll_timeout)
            .min()
    }

    /// The next thing that the engine asks of the world, in order.
    pub fn poll_output(&mut self) -> Option<(RunId, Output<'_>)> {
        self.release_reported();
        let (id, effect) = loop {
            let (id, effect) = self.shared.effects.pop_front()?;
            match effect {
                Effect::Release => self.runs.release(id),
                Effect::Report => {
                    self.reported = Some(id);
                    break (id, effect);
                }
                effect => break (id, effect),
            }
        };
        // Effects precede their run's report, and its slot is released after it.
        let run = self.runs.get(id)?;
        let spec = match &run.state {
            State::Checking { spec, .. } | State::Done { spec, .. } => Some(spec),
            State::Resolving(_) | State::Free => None,
        };
        let text = |range: core::ops::Range<u32>| {
            let bytes = run.core.out.get(range.start as usize..range.end as usize);
            core::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
        };
        let output = match effect {
            Effect::Resolve(name, families) => Output::Resolve(text(name), families),
            Effect::Open(conn, endpoint) => Output::Open(conn, endpoint),
            Effect::Secure(conn, name) => {
                let options = spec?.check.tls()?;
                let server_name = text(name);
                Output::Secure(
                    conn,
                    crate::tls::TlsParams {
                        server_name,
                        options,
                    },
                )
            }
            Effect::Send(conn, Payload::Request) => Output::Send(conn, spec?.check.request()),
            Effect::Send(conn, Payload::Out(range)) => {
                let bytes = run.core.out.get(range.start as usize..range.end as usize);
                Output::Send(conn, bytes.unwrap_or_default())
            }
            Effect::Close(conn) => Output::Close(conn),
            Effect::Report | Effect::Release => Output::Report(report(run)?),
        };
        Some((id, output))
    }

    /// The next change of health that was not caused by a result but by what
    /// [`Engine::observe_pod`] told. Changes by results are in their reports.
    pub fn poll_transition(&mut self) -> Option<(TargetId, Transition)> {
        self.transitions.pop_front()
    }

    /// Reports every run in flight as `shutdown` and schedules no more. What
    /// is left to do is in [`Engine::poll_output`].
    pub fn shutdown(&mut self, now: Instant) {
        self.release_reported();
        self.drain();
        let unfinished: Vec<RunId> = self.runs.unfinished().collect();
        for id in unfinished {
            self.abort(id, Reason::Shutdown, now);
        }
        self.shared.resolver.shut_down();
        self.settle(now);
    }

    /// Schedules no more runs; those in flight go on.
    pub fn drain(&mut self) {
        self.epoch = None;
        self.queue.clear();
        self.queued = 0;
        for slot in 0..self.targets.slots() {
            self.due.cancel(slot);
            if let Some(target) = self.targets.get_mut(slot)
                && let Turn::Queued { .. } = target.turn
            {
                target.turn = Turn::Scheduled;
            }
        }
    }

    /// Runs in flight, scheduled or not.
    pub const fn in_flight(&self) -> u32 {
        self.runs.in_flight.scheduled + self.runs.in_flight.once
    }

    /// One target.
    pub fn target(&self, id: TargetId) -> Option<TargetView<'_>> {
        Some(self.targets.get(self.targets.find(id)?)?.view())
    }

    /// The targets in slots `range`, so that a fleet can be read in parts;
    /// [`Engine::target_slots`] is the end. A target keeps its slot while it is
    /// registered.
    pub fn targets_in(
        &self,
        range: core::ops::Range<u32>,
    ) -> impl Iterator<Item = TargetView<'_>> + '_ {
        range.filter_map(|slot| self.targets.get(slot).map(Target::view))
    }

    /// An exclusive upper bound of the slots in use.
    pub fn target_slots(&self) -> u32 {
        self.targets.slots()
    }

    /// Counters and gauges. Looks at every target.
    pub fn stats(&self, now: Instant) -> Stats {
        let overdue = |epoch| {
            let late = self.targets.iter().filter(|it| it.is_overdue(epoch, now));
            late.count() as u64
        };
        Stats {
            runs: self.counters.runs,
            unknown: self.counters.unknown,
            start_lag: self.counters.start_lag.clone(),
            targets: self.targets.len() as u64,
            overdue: self.epoch.map_or(0, overdue),
            in_flight: self.in_flight(),
            queued: self.queued,
            resolver: self.shared.resolver.stats(),
        }
    }

    /// Sets the timer of a scheduled target to its first run after `now`.
    fn schedule(&mut self, slot: u32, now: Instant) {
        let (Some(epoch), Some(target)) = (self.epoch, self.targets.get_mut(slot)) else {
            return;
        };
        let begin = target.added.max(epoch) + target.spec.schedule.initial_delay();
        target.next = target.due_after(epoch, now.max(begin));
        self.due.set(slot, target.next);
    }

    /// The timer of a target went off.
    fn come_due(&mut self, slot: u32, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        match target.turn {
            Turn::Scheduled => {
                let due = target.next;
                self.schedule(slot, now);
                if self.may_probe(slot, now) {
                    self.start_or_queue(slot, due, now);
                }
            }
            Turn::Running { run, .. } => {
                target.turn = Turn::Running { run, again: true };
                self.schedule(slot, now);
            }
            Turn::Queued { due } => {
                let reason = Outcome::Unknown(Reason::Overload);
                self.unqueue(slot);
                self.report_unstarted(slot, reason, due, now);
                self.schedule(slot, now);
            }
        }
    }

    /// Whether the kubelet's rules let the target be probed in this pass.
    fn may_probe(&mut self, slot: u32, now: Instant) -> bool {
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

    fn start_or_queue(&mut self, slot: u32, due: Instant, now: Instant) {
        if self.runs.in_flight.scheduled < self.limits.in_flight {
            self.start(slot, due, now);
        } else if let Some(target) = self.targets.get_mut(slot) {
            target.turn = Turn::Queued { due };
            self.due.set(slot, due + target.spec.schedule.timeout());
            self.queue.push_back(slot);
            self.queued += 1;
        }
    }

    fn start(&mut self, slot: u32, due: Instant, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        target.attempts = 1;
        let spec = Arc::clone(&target.spec);
        self.counters.start_lag.record(now - due);
        self.launch_for(slot, spec, due, now);
    }

    fn launch_for(&mut self, slot: u32, spec: Arc<Spec>, due: Instant, now: Instant) {
        self.runs.in_flight.scheduled += 1;
        let timeout = spec.schedule.timeout();
        self.launch(Owner::Target(slot), spec, timeout, false, due, now);
    }

    fn launch(
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
                again: false,
            };
        }
        if trace && let Some(run) = self.runs.get_mut(id) {
            run.core.trace = Some(Vec::new());
        }
        self.deadlines.set(id.slot(), now + timeout);
        self.deliver(id, Input::Start, now);
        id
    }

    /// Passes an event to whatever the run is, and completes it if that was
    /// its end.
    fn deliver(&mut self, id: RunId, input: Input<'_>, now: Instant) {
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
                if let Input::Closed(_, Closed::Local(reason)) = input {
                    let detail = format_args!("the prober could not connect: {reason}");
                    cx.finish(Outcome::Unknown(reason), detail);
                } else {
                    check.on(&spec.check, input, &mut cx);
                }
                if cx.is_finished() {
                    self.complete(id, now);
                } else if let Some((_, _, at)) = run.core.waiting {
                    self.hold(id, at, now);
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
    /// it moves the deadline, unless it is longer than the whole timeout.
    fn hold(&mut self, id: RunId, at: Instant, now: Instant) {
        let wait = at - now;
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let State::Checking { owner, spec, .. } = &run.state else {
            return;
        };
        if self.shared.wakes.deadline(id.slot()) == Some(at) {
            return;
        }
        let timeout = spec.schedule.timeout();
        let patience = match owner {
            Owner::Target(_) => timeout,
            Owner::Host => timeout.max(Duration::from_secs(1)),
        };
        if wait > patience {
            return self.abort(id, Reason::OverloadDestination, now);
        }
        run.core.held += wait;
        self.shared.wakes.set(id.slot(), at);
        if let Some(deadline) = self.deadlines.deadline(id.slot()) {
            self.deadlines.set(id.slot(), deadline + wait);
        }
    }

    fn wake(&mut self, slot: u32, now: Instant) {
        let Some(id) = self.runs.current(slot) else {
            return;
        };
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        match run.core.waiting.take() {
            Some((conn, endpoint, _)) => {
                run.core.since = Some(now);
                run.core.open |= 1 << conn.0;
                self.shared.push(id, Effect::Open(conn, endpoint));
            }
            None => self.deliver(id, Input::Woken, now),
        }
    }

    fn expire(&mut self, slot: u32, now: Instant) {
        let Some(id) = self.runs.current(slot) else {
            return;
        };
        let late = self
            .deadlines
            .deadline(slot)
            .map_or(Duration::ZERO, |deadline| now - deadline);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if late > STALLED {
            let detail = format_args!("the prober looked {late:?} after the deadline");
            run.core.finish(Outcome::Unknown(Reason::Overload), detail);
        } else {
            let phase = run.core.phase;
            let spent = now - run.core.started - run.core.held;
            let doing = Doing(phase, run.core.address);
            let detail = format_args!("timed out after {spent:.1?} {doing}");
            run.core.finish(Outcome::Failure(phase.timeout()), detail);
        }
        self.complete(id, now);
    }

    /// Ends a run for a reason of ours.
    fn abort(&mut self, id: RunId, reason: Reason, now: Instant) {
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
                });
                self.complete_lookup(id, error, now);
            }
            State::Done { .. } | State::Free => {}
        }
    }

    /// Closes what a run has open and forgets its timers.
    fn wind_up(&mut self, id: RunId) {
        self.deadlines.cancel(id.slot());
        self.shared.wakes.cancel(id.slot());
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if let Some((_, endpoint, _)) = run.core.waiting.take() {
            self.shared.gate.cancel(endpoint.to.ip());
        }
        for number in 0..run.core.opened {
            let conn = crate::id::Conn(number);
            if run.core.is_open(conn) {
                run.core.forget(conn);
                self.shared.push(id, Effect::Close(conn));
            }
        }
    }

    /// A check has reached its verdict: judge the target and report.
    fn complete(&mut self, id: RunId, now: Instant) {
        self.wind_up(id);
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let State::Checking { owner, spec, .. } = core::mem::replace(&mut run.state, State::Free)
        else {
            return;
        };
        let outcome = run
            .core
            .outcome
            .unwrap_or(Outcome::Unknown(Reason::Internal));
        self.counters.count(outcome);
        let mut done = (None, None);
        match owner {
            Owner::Host => self.runs.in_flight.once -= 1,
            Owner::Target(slot) => {
                self.runs.in_flight.scheduled -= 1;
                done = self.judge(id, slot, outcome, now);
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
            self.after_run(slot, outcome, now);
        }
    }

    /// Books a result with its target.
    fn judge(
        &mut self,
        id: RunId,
        slot: u32,
        outcome: Outcome,
        now: Instant,
    ) -> (Option<TargetId>, Option<Transition>) {
        let (Some(target), Some(run)) = (self.targets.get_mut(slot), self.runs.get(id)) else {
            return (None, None);
        };
        let core = &run.core;
        let total = now - core.started - core.held;
        target.results[outcome.index()] += 1;
        if !matches!(outcome, Outcome::Unknown(_)) {
            target.histogram.record(total);
        }
        if outcome != Outcome::Unknown(Reason::Cancelled) {
            target.last = Some(Last {
                outcome,
                detail: core.detail.as_str().into(),
                finished: now,
                total,
                phase: core.phase,
                phases: core.phases,
                facts: core.facts,
                tls: core.tls.clone(),
                address: core.address,
            });
        }
        let kind = target.spec.threshold.kind();
        let observation = observation(kind, outcome, core.phase);
        let transition = target
            .threshold
            .observe(&target.spec.threshold, observation);
        (Some(target.id), transition)
    }

    /// Decides what comes after a run: another attempt, the run that came due
    /// meanwhile, or nothing until the timer.
    fn after_run(&mut self, slot: u32, outcome: Outcome, now: Instant) {
        let Some(target) = self.targets.get_mut(slot) else {
            return;
        };
        let Turn::Running { run, again } = target.turn else {
            return;
        };
        target.turn = Turn::Scheduled;
        let phase = self
            .runs
            .get(run)
            .map_or(Phase::Resolve, |it| it.core.phase);
        let observed = observation(target.spec.threshold.kind(), outcome, phase);
        // Our own troubles are not cured by trying harder.
        let ours = matches!(outcome, Outcome::Unknown(_));
        if !ours && lifecycle::retries(observed, target.attempts) && self.epoch.is_some() {
            target.attempts += 1;
            let spec = Arc::clone(&target.spec);
            self.launch_for(slot, spec, now, now);
            if let Some(target) = self.targets.get_mut(slot)
                && let Turn::Running { run, .. } = target.turn
            {
                target.turn = Turn::Running { run, again };
            }
        } else if again && self.epoch.is_some() && self.may_probe(slot, now) {
            self.start_or_queue(slot, now, now);
        }
    }

    /// Reports a run that never started.
    fn report_unstarted(&mut self, slot: u32, outcome: Outcome, due: Instant, now: Instant) {
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
            again: false,
        };
        self.runs.in_flight.scheduled += 1;
        if let Some(run) = self.runs.get_mut(id) {
            let waited = now - due;
            let detail = format_args!("no free slot for {waited:.1?}: the prober is overloaded");
            run.core.finish(outcome, detail);
        }
        self.complete(id, now);
    }

    fn complete_lookup(&mut self, id: RunId, result: LookupResult, now: Instant) {
        self.wind_up(id);
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

    /// Does what became possible: look-ups that were asked for, runs that
    /// waited for their answers, targets that waited for room.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(lookup) = self.shared.resolver.next_lookup() {
                self.runs.in_flight.lookups += 1;
                let id = self.runs.take(State::Resolving(lookup), now, now);
                self.deliver(id, Input::Start, now);
            } else if let Some((run, answer)) = self.shared.resolver.next_answer() {
                match answer {
                    Ok(address) => self.deliver(run, Input::Resolved(Ok(&[address])), now),
                    Err(error) => self.deliver(run, Input::Resolved(Err(error)), now),
                }
            } else if !self.start_queued(now) {
                break;
            }
        }
    }

    /// Starts the oldest queued target if there is room.
    fn start_queued(&mut self, now: Instant) -> bool {
        if self.runs.in_flight.scheduled >= self.limits.in_flight {
            return false;
        }
        let Some(slot) = self.queue.pop_front() else {
            return false;
        };
        if let Some(target) = self.targets.get_mut(slot)
            && let Turn::Queued { due } = target.turn
        {
            self.unqueue(slot);
            self.schedule(slot, now);
            self.start(slot, due, now);
        }
        true
    }

    fn unqueue(&mut self, slot: u32) {
        if let Some(target) = self.targets.get_mut(slot)
            && let Turn::Queued { .. } = target.turn
        {
            target.turn = Turn::Scheduled;
            self.queued -= 1;
        }
    }

    fn cancel_run_of(&mut self, slot: u32, now: Instant) {
        if let Some(target) = self.targets.get_mut(slot)
            && let Turn::Running { run, .. } = target.turn
        {
            target.turn = Turn::Running { run, again: false };
            self.abort(run, Reason::Cancelled, now);
        }
    }

    fn remove_slot(&mut self, slot: u32, now: Instant) {
        self.cancel_run_of(slot, now);
        self.unqueue(slot);
        self.due.cancel(slot);
        self.targets.remove(slot);
    }

    fn release_reported(&mut self) {
        if let Some(id) = self.reported.take() {
            self.runs.release(id);
        }
    }
}

/// What a result means for the threshold.
///
/// The kubelet's HTTP prober discards a pass in which the body could not be
/// read after the headers had come (`kubelet_probes` 2.5); its kinds do so
/// here. For plain targets it is a failure like any other.
fn observation(kind: Kind, outcome: Outcome, phase: Phase) -> Observation {
    match outcome {
        Outcome::Success | Outcome::Warning(_) => Observation::Success,
        Outcome::Unknown(_) => Observation::Error,
        Outcome::Failure(Reason::TimeoutTransfer | Reason::BodyTruncated | Reason::PeerReset)
            if kind != Kind::Plain && phase == Phase::Transfer =>
        {
            Observation::Error
        }
        Outcome::Failure(_) => Observation::Failure,
    }
}

/// `connecting to 192.0.2.1:80`
struct Doing(Phase, Option<core::net::SocketAddr>);

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Phase::Resolve => return f.write_str("resolving the name"),
            Phase::Connect => "connecting to",
            Phase::Tls => "in the TLS handshake with",
            Phase::Processing => "waiting for an answer from",
            Phase::Transfer => "reading the answer of",
        })?;
        match self.1 {
            Some(address) => write!(f, " {address}"),
            None => f.write_str(" the target"),
        }
    }
}

fn report(run: &run::Run) -> Option<Report<'_>> {
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
        detail: &core.detail,
        phase: core.phase,
        due: core.due,
        started: core.started,
        finished: *finished,
        total: *finished - core.started - core.held,
        phases: core.phases,
        facts: &core.facts,
        tls: core.tls.as_ref(),
        address: core.address,
        transition: *transition,
        trace: core.trace.as_deref().unwrap_or_default(),
    })
}
