//! The engine: schedule, deadlines, look-ups, thresholds, histograms.

mod course;
pub(crate) mod gate;
mod run;
mod schedule;
pub(crate) mod shared;
mod stats;
mod target;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use self::gate::Gate;
use self::run::{Owner, Run, Runs, State};
use self::shared::{Effect, Payload, Shared, Work};
use self::stats::Counters;
pub use self::stats::Stats;
use self::target::{Again, Target, Targets, Turn, Watched, offset};
pub use self::target::{Last, Record, TargetView};
use crate::check::cx::Party;
use crate::errand::Errand;
use crate::h2::DataFrame;
use crate::id::{RunId, TargetId};
use crate::io::{Bytes, Closed, Input, Lease, Output};
use crate::lifecycle::{self, Lifecycle, Pod};
use crate::limits::{Limits, STARTS_PER_TURN};
use crate::outcome::Reason;
use crate::report::Report;
use crate::resolve::{Resolver, ResolverConfig};
use crate::rng::Rng;
use crate::spec::Spec;
use crate::threshold::{Threshold, Transition};
use crate::time::Instant;
use crate::tls::{TlsOptions, TlsParams};
use crate::wheel::Wheel;

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

/// Who [is given](Engine::poll_output_to) what the engine asks.
pub trait Taker<'a>: Sized {
    /// What it makes of that.
    type Taken;

    /// Whether it takes what is lent for so long.
    fn takes(&self, lease: Lease) -> bool;

    /// An output that is no report.
    fn output(self, run: RunId, output: Output<'a>, lease: Lease) -> Self::Taken;

    /// [`Output::Report`], which is [lent until the next call](Lease::UntilNextCall).
    fn report(self, run: RunId, report: Report<'a>) -> Self::Taken;
}

/// Takes everything as it is.
struct Any;

impl<'a> Taker<'a> for Any {
    type Taken = (RunId, Output<'a>);

    fn takes(&self, _: Lease) -> bool {
        true
    }

    fn output(self, run: RunId, output: Output<'a>, _: Lease) -> Self::Taken {
        (run, output)
    }

    fn report(self, run: RunId, report: Report<'a>) -> Self::Taken {
        (run, Output::Report(report))
    }
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
    /// Targets that are due and found no room ([`Turn::Queued`]): since when they
    /// wait ([`Target::waiting`]), and their slots.
    queue: BTreeSet<(Instant, u32)>,
    shared: Shared,
    counters: Counters,
    transitions: VecDeque<(TargetId, Transition)>,
    /// A run whose report was handed out; released by the next call.
    reported: Option<RunId>,
    /// What the last [`Output::Secure`] refers to.
    lent: Option<Arc<TlsOptions>>,
    /// The header of a frame that was lent last.
    lent_header: [u8; 9],
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
            queue: BTreeSet::new(),
            shared: Shared {
                effects: VecDeque::new(),
                resolver: Resolver::new(resolver, &limits, rng.u64()),
                gate: Gate::new(&limits, rng.u64()),
                rng,
                wakes: Wheel::new(now),
                work: Work::new(),
                roused: Vec::new(),
                errands: VecDeque::new(),
            },
            counters: Counters::new(),
            transitions: VecDeque::new(),
            reported: None,
            lent: None,
            lent_header: [0; 9],
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

    /// Whether there are targets and none is due before [`Engine::begin`].
    pub fn awaits_begin(&self) -> bool {
        self.epoch.is_none() && self.targets.len() > 0
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
                if let Some(target) = self.targets.get_mut(slot) {
                    if target.spec.threshold.kind() != spec.threshold.kind() {
                        target.threshold = Threshold::new(spec.threshold.kind());
                        target.watched = None;
                    }
                    if target.spec.check.kind() != spec.check.kind() {
                        target.forget_last();
                    }
                    if target.spec.schedule.period() != spec.schedule.period() {
                        target.offset = offset(id, spec.schedule.period());
                    }
                    target.spec = spec;
                    target.turn = Turn::Scheduled;
                }
                slot
            }
            None if self.targets.len() >= self.limits.targets as usize => return Err(Full),
            None => self.targets.insert(Target {
                seen: now,
                waiting: Instant::MAX,
                id,
                offset: offset(id, spec.schedule.period()),
                threshold: Threshold::new(spec.threshold.kind()),
                spec,
                added: now,
                turn: Turn::Scheduled,
                next: Instant::MAX,
                attempts: 0,
                watched: None,
                record: None,
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
    /// if `trace` is set. It ends within `timeout` of `now`, also if the engine holds
    /// it back; if that was for more than an eighth of the time, and the time is over,
    /// the outcome is `Unknown`. No remembered answer is taken for a name, but what
    /// the run learns is remembered for those of the schedule.
    ///
    /// # Errors
    /// [`Full`] if [`Limits::once_in_flight`] such runs are in flight, and as many
    /// more as [`Limits::in_flight`] exceeds the targets: each of these has one
    /// run at a time, so that what is left nobody else can use.
    pub fn run_once(
        &mut self,
        spec: Arc<Spec>,
        timeout: Duration,
        trace: bool,
        now: Instant,
    ) -> Result<RunId, Full> {
        self.release_reported();
        let targets = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        let idle = self.limits.in_flight.saturating_sub(targets);
        let most = self.limits.once_in_flight.saturating_add(idle);
        if self.runs.in_flight.once >= most || !self.has_slot() {
            return Err(Full);
        }
        self.runs.in_flight.once += 1;
        let id = self.launch(Owner::Host, spec, timeout, trace, now, now);
        self.settle(now);
        Ok(id)
    }

    /// Ends a run that nobody waits for any more; it is reported as
    /// `cancelled`. A run that is over is left alone.
    pub fn cancel(&mut self, run: RunId, now: Instant) {
        self.release_reported();
        self.abort(run, Reason::Cancelled, now);
        self.settle(now);
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

    /// Makes a target due now and counts its period from here; if it is in
    /// flight, when that run is over. Ignored for unknown ids, for a target
    /// that waits for a slot already, and before [`Engine::begin`].
    pub fn trigger(&mut self, id: TargetId, now: Instant) {
        let Some(slot) = self.targets.find(id) else {
            return;
        };
        let (Some(_), Some(target)) = (self.epoch, self.targets.get_mut(slot)) else {
            return;
        };
        match target.turn {
            Turn::Scheduled => {
                self.rephase(slot, now);
                if let Some(target) = self.targets.get_mut(slot) {
                    target.next = now;
                    self.due.set(slot, now);
                }
            }
            Turn::Running { run, .. } => {
                let again = Again::Trigger;
                target.turn = Turn::Running { run, again };
            }
            Turn::Queued { .. } => {}
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
            | Input::Flushed(conn)
            | Input::Data(conn, _)
            | Input::Closed(conn, _) => Some(*conn),
        };
        if conn.is_some_and(|conn| !slot.core.is_open(conn)) {
            return;
        }
        let target = slot.core.party == Party::Target;
        match &input {
            Input::Secured(_, info) if target => slot.core.tls = Some(Arc::clone(info)),
            Input::Closed(conn, why) => {
                slot.core.forget(*conn);
                if let Closed::Tls(failure) = why
                    && target
                    && failure.info.is_some()
                {
                    slot.core.tls.clone_from(&failure.info);
                }
            }
            _ => {}
        }
        self.deliver_in_time(run, input, now);
        self.settle(now);
    }

    /// Resolves names in another way from now on: look-ups that begin ask the servers of
    /// this configuration, and what is remembered is forgotten. Ignored if either is one
    /// that leaves names to the host and the other is not, or if nothing has changed.
    pub fn set_resolver(&mut self, resolver: ResolverConfig) {
        self.shared.resolver.set(resolver);
    }

    /// Tells that what a run has to send waits for others of the host's, and not for
    /// its peer. That time is not its target's: it is in no phase, and if the run is
    /// not over in time with more than an eighth of it gone so, it is `Unknown`. Runs
    /// that are over are ignored.
    pub fn keep(&mut self, run: RunId, now: Instant) {
        if let Some(run) = self.runs.get_mut(run) {
            run.core.keep(now);
        }
    }

    /// Tells that it does not any more.
    pub fn end_keep(&mut self, run: RunId, now: Instant) {
        if let Some(run) = self.runs.get_mut(run) {
            run.core.end_keep(now);
        }
    }

    /// The next thing that a run wants done where it keeps nobody from the sockets: on
    /// another thread, as soon as one is free. [`Engine::handle_errand`] takes the answer,
    /// or that there will be none. Asked after every call that may have changed something,
    /// as [`Engine::poll_output`] is.
    ///
    /// The run waits meanwhile, on our account: in no phase, and with a later deadline if
    /// it is one of the schedule. One whose time is over before it has an answer is
    /// `Unknown`, never a failure.
    pub fn poll_errand(&mut self) -> Option<(RunId, Errand)> {
        self.release_reported();
        loop {
            let (id, errand) = self.shared.errands.pop_front()?;
            if self.runs.get(id).is_some_and(|run| run.core.away.is_some()) {
                return Some((id, errand));
            }
        }
    }

    /// Takes what [was done](Errand::run) for a run, or why it was not: a reason of ours, such as
    /// [`Reason::Overload`] where too much waits already. Of runs that are over it is
    /// dropped.
    pub fn handle_errand(&mut self, run: RunId, answer: Result<Errand, Reason>, now: Instant) {
        self.release_reported();
        self.come_back(run, answer, now);
        self.settle(now);
    }

    /// Whether a run has still to work on what it was given: it goes on with
    /// every call of [`Engine::handle_timeout`], for which
    /// [`Engine::poll_timeout`] asks. A host that reads from sockets leaves
    /// further data of the run where it is meanwhile; see
    /// [`limits::MAX_BACKLOG_BYTES`](crate::limits::MAX_BACKLOG_BYTES).
    pub fn is_behind(&self, run: RunId) -> bool {
        self.runs.get(run).is_some_and(Run::is_behind)
    }

    /// Expires what is late, wakes what asked for it, goes on with what was too
    /// much for one turn and starts what is due.
    ///
    /// At most [`limits::STARTS_PER_TURN`](crate::limits::STARTS_PER_TURN)
    /// runs are started by one call, so that a burst never keeps a driver from
    /// its sockets; if more are due, [`Engine::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.handle_deadlines(now);
        for _ in 0..STARTS_PER_TURN {
            if !self.start_due(now) {
                break;
            }
        }
    }

    /// All of [`Engine::handle_timeout`] but starting what is due.
    ///
    /// For a host that reads its clock before each [`Engine::start_due`], and does what
    /// is asked after it: to open a connection takes time, and runs that have begun
    /// together would be told the time that those before them took as their target's.
    pub fn handle_deadlines(&mut self, now: Instant) {
        self.release_reported();
        while let Some(slot) = self.deadlines.expire(now) {
            self.expire(slot, now);
        }
        while let Some(slot) = self.shared.wakes.expire(now) {
            self.wake(slot, now);
        }
        self.work(now);
        // Before those that come due now, and before waiting is given up.
        while self.start_queued(now) {}
        self.settle(now);
    }

    /// Starts one run that is due, if there is one; or does in its place what its target
    /// has come to, as to report that there was no room for it. `false`: none was due. A host
    /// that has sockets to look at calls it at most
    /// [`STARTS_PER_TURN`](crate::limits::STARTS_PER_TURN) times in a row.
    pub fn start_due(&mut self, now: Instant) -> bool {
        self.release_reported();
        let Some(slot) = self.due.expire(now) else {
            return false;
        };
        self.come_due(slot, now);
        self.settle(now);
        true
    }

    /// When [`Engine::handle_timeout`] should be called next; `None` if only
    /// an event can change anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next_timeout();
        (next != Instant::MAX).then_some(next)
    }

    /// The same, with [`Instant::MAX`] for `None`.
    #[inline(always)]
    pub fn next_timeout(&self) -> Instant {
        let timers = { self.due.next() }.min(self.deadlines.next());
        let next = timers.min(self.shared.wakes.next());
        next.min(self.shared.work.next())
    }

    /// The next thing that the engine asks of the world, in order.
    pub fn poll_output(&mut self) -> Option<(RunId, Output<'_>)> {
        self.poll_output_to(Any)
    }

    /// Whether [`Engine::poll_output`] may have something to give. If not, it has
    /// not.
    pub fn has_output(&self) -> bool {
        !self.shared.effects.is_empty()
    }

    /// Gives the next thing that the engine asks of the world to `taker`, if it takes
    /// what is lent for so long: for a host that takes several before it does what
    /// they ask, or has its own words for them. It stays the next one if not.
    #[inline(always)]
    pub fn poll_output_to<'a, T: Taker<'a>>(&'a mut self, taker: T) -> Option<T::Taken> {
        self.release_reported();
        while let Some((id, Effect::Release)) = self.shared.effects.front() {
            let id = *id;
            self.shared.effects.pop_front();
            self.runs.release(id);
        }
        let lease = self.shared.effects.front()?.1.lease();
        if !taker.takes(lease) {
            return None;
        }
        let (id, effect) = self.shared.effects.pop_front()?;
        // Effects precede their run's report, and its slot is released after it.
        if let Effect::Report = effect {
            self.reported = Some(id);
            return Some(taker.report(id, course::report(self.runs.get(id)?)?));
        }
        let run = self.runs.get(id)?;
        let spec = || match &run.state {
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
            Effect::Secure(conn, name, options) => Output::Secure(
                conn,
                TlsParams {
                    server_name: text(name),
                    options: self.lent.insert(options),
                },
            ),
            Effect::Send(conn, Payload::Request) => {
                Output::Send(conn, Bytes::Lent(spec()?.check.request()))
            }
            Effect::Send(conn, Payload::Body) => {
                let body = spec()?.check.body();
                Output::Send(conn, body.map_or(Bytes::Lent(&[]), Bytes::whole))
            }
            Effect::Send(conn, Payload::Frames(part, headed)) => {
                let body = spec()?.check.body()?;
                let (start, end) = (part.start as usize, part.end as usize);
                let frame = DataFrame::first_of(&(start..end), body.len());
                let rest = part.start + frame.length as u32..part.end;
                let (bytes, next) = if headed {
                    let end = start + frame.length;
                    let next = (!rest.is_empty()).then_some(Payload::Frames(rest, false));
                    (Bytes::Shared { body, start, end }, next)
                } else {
                    self.lent_header = frame.header;
                    let next = Payload::Frames(part, true);
                    (Bytes::Lent(&self.lent_header), Some(next))
                };
                if let Some(next) = next {
                    let next = Effect::Send(conn, next);
                    self.shared.effects.push_front((id, next));
                }
                Output::Send(conn, bytes)
            }
            Effect::Send(conn, Payload::Out(range)) => {
                let bytes = run.core.out.get(range.start as usize..range.end as usize);
                Output::Send(conn, Bytes::Lent(bytes.unwrap_or_default()))
            }
            Effect::Flush(conn) => Output::Flush(conn),
            Effect::Close(conn) => Output::Close(conn),
            Effect::Report | Effect::Release => return None,
        };
        Some(taker.output(id, output, lease))
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
        self.drain(now);
        let unfinished: Vec<RunId> = self.runs.unfinished().collect();
        for id in unfinished {
            self.abort(id, Reason::Shutdown, now);
        }
        self.shared.resolver.shut_down();
        self.settle(now);
    }

    /// Schedules no more runs; those in flight go on, and those that wait for
    /// a slot are reported as `shutdown`.
    pub fn drain(&mut self, now: Instant) {
        self.release_reported();
        self.epoch = None;
        for slot in 0..self.targets.slots() {
            self.due.cancel(slot);
            self.report_queued(slot, Reason::Shutdown, now);
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
            queued: self.queue.len() as u32,
            resolver: self.shared.resolver.stats(),
        }
    }
}
