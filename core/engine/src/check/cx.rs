//! A check's only way to the world.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::time::Duration;

use crate::engine::shared::{Effect, Payload, Share, Shared};
use crate::errand::{Away, Errand, Task};
use crate::fact::{Facts, Labels, Metric, Samples};
use crate::id::{Conn, RunId};
use crate::io::{Endpoint, Families};
use crate::limits::{
    FUEL_PER_BYTE, MAX_DETAIL_BYTES, MAX_OPEN, MAX_OPENED, MAX_STEP_BYTES, MAX_TRACE_STEPS,
    POOLED_ANSWER_BYTES,
};
use crate::outcome::{Outcome, Phase, Phases, Reason};
use crate::report::{Level, Step};
use crate::resolve::Answer;
use crate::rng::Rng;
use crate::time::Instant;
use crate::tls::{TlsInfo, TlsParams};

/// Less time than this is none: a connection alone takes longer.
const LEAST_TIME: Duration = Duration::from_micros(1);

/// With whom a run deals. Phases, facts and what a handshake shows are the
/// target's: they stand still while the run deals with somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Party {
    #[default]
    Target,
    /// The proxy on the way to it.
    Proxy,
    /// Whoever gives out the token for it.
    TokenEndpoint,
}

/// Which answers a run takes for a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// Also one that is remembered.
    #[default]
    Remembered,
    /// Only one that came since it asked: somebody waits for the run, and how long
    /// the look-up takes is part of what he wants to know.
    Fresh,
}

/// What the engine keeps about a run beside the check's own state.
///
/// The buffers survive from one run of the slot to the next.
#[derive(Debug)]
pub(crate) struct RunCore {
    pub(crate) due: Instant,
    pub(crate) started: Instant,
    /// The engine's: no check sees it.
    pub(crate) deadline: Instant,
    /// Time for which we held the run back: never the target's.
    pub(crate) held: Duration,
    /// Since when what it sends waits for others of the host's.
    kept_since: Option<Instant>,
    pub(crate) phase: Phase,
    /// When `phase` was begun; `None` once it is completed.
    pub(crate) since: Option<Instant>,
    pub(crate) phases: Phases,
    pub(crate) party: Party,
    pub(crate) names: Names,
    pub(crate) facts: Facts,
    pub(crate) labels: Labels,
    pub(crate) samples: Samples,
    pub(crate) tls: Option<Arc<TlsInfo>>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) detail: String,
    pub(crate) outcome: Option<Outcome>,
    /// See [`Report::runs`](crate::Report::runs).
    pub(crate) runs: u64,
    /// Bytes that queued outputs refer to.
    pub(crate) out: Vec<u8>,
    /// See [`Cx::take_buffer`].
    spare: Vec<u8>,
    /// A bit for each connection that is open.
    pub(crate) open: u64,
    /// Connections opened so far.
    pub(crate) opened: u8,
    /// A connection that waits for its destination's rate to allow it.
    pub(crate) waiting: Option<Waiting>,
    /// The engine's: how far we kept it from going on. Of runs that decode, or
    /// wait to sign.
    pub(crate) share: Option<Box<Share>>,
    pub(crate) trace: Option<Vec<Step>>,
    /// What it wants done elsewhere.
    pub(crate) away: Option<Box<Away>>,
}

/// A connection that is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) conn: Conn,
    pub(crate) endpoint: Endpoint,
    pub(crate) begun: Instant,
    pub(crate) until: Instant,
}

impl RunCore {
    pub(crate) const fn new() -> Self {
        Self {
            due: Instant::ZERO,
            started: Instant::ZERO,
            deadline: Instant::MAX,
            held: Duration::ZERO,
            kept_since: None,
            phase: Phase::Resolve,
            since: None,
            phases: Phases::new(),
            party: Party::Target,
            names: Names::Remembered,
            facts: Facts::new(),
            labels: Labels::new(),
            samples: Samples::new(),
            tls: None,
            address: None,
            detail: String::new(),
            outcome: None,
            runs: 1,
            out: Vec::new(),
            spare: Vec::new(),
            open: 0,
            opened: 0,
            waiting: None,
            share: None,
            trace: None,
            away: None,
        }
    }

    /// Makes the slot ready for its next run; keeps the buffers if they are
    /// of a usual size.
    #[inline]
    pub(crate) fn reset(&mut self, due: Instant, now: Instant) {
        let detail = core::mem::take(&mut self.detail);
        let out = core::mem::take(&mut self.out);
        let spare = core::mem::take(&mut self.spare);
        *self = Self::new();
        self.due = due;
        self.started = now;
        self.since = Some(now);
        self.phases.begin(Phase::Resolve);
        if detail.capacity() <= MAX_DETAIL_BYTES {
            self.detail = detail;
            self.detail.clear();
        }
        if out.capacity() <= crate::limits::POOLED_BUFFER_BYTES {
            self.out = out;
            self.out.clear();
        }
        self.spare = spare;
    }

    pub(crate) const fn is_open(&self, conn: Conn) -> bool {
        conn.0 < MAX_OPENED && self.open & (1 << conn.0) != 0
    }

    pub(crate) const fn forget(&mut self, conn: Conn) {
        if conn.0 < MAX_OPENED {
            self.open &= !(1 << conn.0);
        }
    }

    /// Books the time for which a connection, or a signature, was held back: it is
    /// ours, and no part of the current phase, if there is one.
    pub(crate) fn end_hold(&mut self, begun: Instant, now: Instant) {
        let held = now - begun;
        self.held += held;
        if let Some(since) = &mut self.since {
            *since += held;
        }
    }

    /// Notes that its peer waits for what we have not sent yet. One that answers
    /// already does not wait.
    pub(crate) fn keep(&mut self, now: Instant) {
        if self.phase == Phase::Processing && self.since.is_some() {
            self.kept_since.get_or_insert(now);
        }
    }

    /// Ends that, if it was so, and books it.
    pub(crate) fn end_keep(&mut self, now: Instant) {
        if let Some(begun) = self.kept_since.take() {
            self.end_hold(begun, now);
        }
    }

    /// Ends that the run is held back until a turn has room for its signature, if
    /// it is. Gives how long it was.
    pub(crate) fn end_turn_hold(&mut self, now: Instant) -> Option<Duration> {
        let begun = self.share.as_ref()?.held_since()?;
        // What it was behind with would count what it does later, and it is made
        // up for.
        self.share = None;
        self.end_hold(begun, now);
        Some(now - begun)
    }

    /// Ends that the run waits for what is done elsewhere, if it does. Gives how long it
    /// was.
    pub(crate) fn end_away(&mut self, now: Instant) -> Option<Duration> {
        let away = self.away.as_ref().filter(|away| away.answer.is_none())?;
        let since = away.since;
        self.end_hold(since, now);
        Some(now - since)
    }

    /// Books what the current phase has taken, in which the run ends.
    pub(crate) fn cut_phase(&mut self, now: Instant) {
        if let Some(since) = self.since {
            self.phases.cut(now - since);
        }
    }

    /// How long the target took, if the run ends at `end`. Readings of one
    /// batch may be out of order, so that the parts can exceed the whole.
    #[inline]
    pub(crate) fn total(&self, end: Instant) -> Duration {
        (end - self.started).saturating_sub(self.held)
    }

    /// Completes the current phase, unless it already is.
    pub(crate) fn end_phase(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.phases.add(self.phase, now - since);
        }
    }

    /// Ends the run. The first verdict counts.
    pub(crate) fn finish(&mut self, outcome: Outcome, detail: fmt::Arguments<'_>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.detail.clear();
            let mut sink = Bounded(&mut self.detail);
            // Bounded never fails; a Display that does has said what it could.
            let _ = sink.write_fmt(detail);
        }
    }
}

/// Cuts what is written at [`MAX_DETAIL_BYTES`].
struct Bounded<'a>(&'a mut String);

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text
            .len()
            .min(MAX_DETAIL_BYTES - self.0.len().min(MAX_DETAIL_BYTES));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&text[..end]);
        Ok(())
    }
}

/// The answer to [`Cx::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It is an address.
    Literal(IpAddr),
    /// Known already: the hosts file, the cache.
    Known(Answer),
    /// [`Input::Resolved`](crate::Input::Resolved) will follow.
    Pending,
}

/// Lent to a check with every event: each method asks for one thing.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) id: RunId,
    pub(crate) core: &'a mut RunCore,
    pub(crate) shared: &'a mut Shared,
}

impl Cx<'_> {
    /// The clock reading that belongs to the event.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Unguessable numbers, reproducible from the engine's seed.
    pub(crate) const fn rng(&mut self) -> &mut Rng {
        &mut self.shared.rng
    }

    /// Asks for the addresses of `host`, which may be a literal.
    pub(crate) fn resolve(&mut self, host: &str, families: Families) -> Resolution {
        let Shared { resolver, .. } = &mut *self.shared;
        if resolver.is_delegated() && !crate::resolve::is_literal(host) {
            let name = self.store(host.as_bytes());
            self.shared.push(self.id, Effect::Resolve(name, families));
            return Resolution::Pending;
        }
        resolver.resolve(host, families, self.core.names, self.id, self.now)
    }

    /// Opens a connection; `Opened` or `Closed` will follow.
    ///
    /// Towards a target the cap on starts per second applies: the connection
    /// may then be asked for later, and the wait is not counted as the
    /// target's. A run that opens too many ends as `internal`; one that has no
    /// time left opens nothing, and hears of nothing before its deadline.
    pub(crate) fn open(&mut self, endpoint: Endpoint) -> Conn {
        let conn = Conn(self.core.opened);
        if self.number(endpoint) {
            self.core.open |= 1 << conn.0;
            self.shared.push(self.id, Effect::Open(conn, endpoint));
        }
        conn
    }

    /// Like [`Cx::open`], within the rate that its destination may see.
    pub(crate) fn open_target(&mut self, endpoint: Endpoint) -> Conn {
        if self.is_late() || self.core.opened >= MAX_OPENED {
            return self.open(endpoint);
        }
        let at = self.shared.gate.admit(endpoint.to.ip(), self.now);
        if at <= self.now {
            return self.open(endpoint);
        }
        let conn = Conn(self.core.opened);
        if self.number(endpoint) {
            self.core.waiting = Some(Waiting {
                conn,
                endpoint,
                begun: self.now,
                until: at,
            });
        }
        conn
    }

    /// Whether the run has no time left: its deadline, once it is looked at,
    /// ends it.
    fn is_late(&self) -> bool {
        self.core.deadline - self.now < LEAST_TIME
    }

    /// Uses up the next connection number. Whether there is one, and time to
    /// open the connection.
    fn number(&mut self, endpoint: Endpoint) -> bool {
        let open = self.core.open.count_ones() as usize;
        if self.core.opened >= MAX_OPENED || open >= MAX_OPEN {
            let outcome = Outcome::Unknown(Reason::Internal);
            let detail = format_args!("the check opened too many connections");
            self.core.finish(outcome, detail);
            return false;
        }
        self.core.opened += 1;
        self.core.address = Some(endpoint.to);
        !self.is_late()
    }

    /// Asks for a TLS handshake on an open connection; `Secured` or `Closed`
    /// will follow. One run may secure each connection differently.
    pub(crate) fn secure(&mut self, conn: Conn, params: TlsParams<'_>) {
        let name = self.store(params.server_name.as_bytes());
        let options = Arc::clone(params.options);
        self.shared
            .push(self.id, Effect::Secure(conn, name, options));
    }

    /// Sends the bytes that were rendered with the target.
    pub(crate) fn send_request(&mut self, conn: Conn) {
        self.shared
            .push(self.id, Effect::Send(conn, Payload::Request));
    }

    /// Sends the bytes that all targets of the module share.
    pub(crate) fn send_body(&mut self, conn: Conn) {
        self.shared.push(self.id, Effect::Send(conn, Payload::Body));
    }

    /// Sends a part of the same in frames of HTTP/2.
    pub(crate) fn send_frames(&mut self, conn: Conn, part: Range<usize>) {
        let part = part.start as u32..part.end as u32;
        let frames = Payload::Frames(part, false);
        self.shared.push(self.id, Effect::Send(conn, frames));
    }

    /// Sends bytes of this run.
    pub(crate) fn send(&mut self, conn: Conn, bytes: &[u8]) {
        let range = self.store(bytes);
        self.shared
            .push(self.id, Effect::Send(conn, Payload::Out(range)));
    }

    /// Asks whether the system has taken all that was sent; `Flushed` or `Closed`
    /// will follow.
    pub(crate) fn flush(&mut self, conn: Conn) {
        self.shared.push(self.id, Effect::Flush(conn));
    }

    /// Closes a connection, or gives up one that is held back. Nothing more is heard
    /// of it.
    pub(crate) fn close(&mut self, conn: Conn) {
        if let Some(held) = self.core.waiting.take_if(|held| held.conn == conn) {
            self.core.end_hold(held.begun, self.now);
            self.shared.gate.cancel(held.endpoint.to.ip());
        }
        if self.core.is_open(conn) {
            self.core.forget(conn);
            self.shared.push(self.id, Effect::Close(conn));
        }
    }

    /// Asks for `Woken` at `at`, instead of at any earlier wish of this run.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        self.shared.wakes.set(self.id.slot(), at);
    }

    /// Has another run be `Woken` as soon as this event is done with. One that is over
    /// is not.
    pub(crate) fn rouse(&mut self, run: RunId) {
        self.shared.roused.push(run);
    }

    /// Asks for no `Woken` any more.
    pub(crate) fn no_wake(&mut self) {
        self.shared.wakes.cancel(self.id.slot());
    }

    /// Bytes that may still be worked on in this turn.
    pub(crate) const fn work_left(&self) -> usize {
        self.shared.work.left
    }

    /// Notes that this run did so with so many.
    pub(crate) fn worked(&mut self, bytes: usize) {
        let share = self.core.share.get_or_insert_default();
        self.shared.work.worked(bytes, share);
    }

    /// Notes that it did so at once, and was not behind with it.
    pub(crate) const fn did(&mut self, bytes: usize) {
        self.shared.work.did(bytes);
    }

    /// Notes that its guest has burnt so much fuel.
    pub(crate) fn burnt(&mut self, fuel: u64) {
        let bytes = usize::try_from(fuel / FUEL_PER_BYTE).unwrap_or(usize::MAX);
        // That of who was behind counts as its own.
        match &mut self.core.share {
            Some(share) => self.shared.work.worked(bytes, share),
            None => self.shared.work.did(bytes),
        }
    }

    /// Lets the run work on as much as there is for the length of `f`, so that it
    /// need not wait for its turn.
    pub(crate) fn without_bound(&mut self, f: impl FnOnce(&mut Self)) {
        let share = self.core.share.get_or_insert_default();
        self.shared.work.leave(self.id, share, self.now);
        let left = core::mem::replace(&mut self.shared.work.left, usize::MAX);
        f(self);
        self.shared.work.left = left;
    }

    /// Asks for `Woken` in the next turn that has something left.
    pub(crate) fn go_on_later(&mut self) {
        let share = self.core.share.get_or_insert_default();
        self.shared.work.queue(self.id, share, self.now);
    }

    /// Whether something may be signed in this turn. If not, the run is held back
    /// until `Woken`, which comes in a turn in which it may; that wait is ours.
    pub(crate) fn may_sign(&mut self) -> bool {
        let may = self.work_left() > 0;
        if may {
            self.shared.work.signed();
        } else {
            let share = self.core.share.get_or_insert_default();
            self.shared.work.hold(self.id, share, self.now);
        }
        may
    }

    /// Whether it is held back so.
    pub(crate) fn is_held(&self) -> bool {
        let share = self.core.share.as_deref();
        share.is_some_and(|share| share.held_since().is_some())
    }

    /// Has something done elsewhere: `Woken` comes when it is, and
    /// [`Cx::take_errand`] then has what came of it. The run waits for that on our account.
    /// One thing at a time.
    pub(crate) fn send_out(&mut self, task: impl Task) {
        debug_assert!(self.core.away.is_none(), "one thing at a time");
        self.core.away = Some(Box::new(Away {
            since: self.now,
            answer: None,
        }));
        self.shared.errands.push_back((self.id, Errand::new(task)));
    }

    /// What came of that, once it is known.
    pub(crate) fn take_errand<T: Task>(&mut self) -> Option<Box<T>> {
        Away::take(&mut self.core.away)
    }

    /// Whether it still waits for that.
    pub(crate) fn is_away(&self) -> bool {
        let away = self.core.away.as_deref();
        away.is_some_and(|away| away.answer.is_none())
    }

    /// Whether it waits for a look-up that we have not begun yet.
    pub(crate) fn is_queued(&self) -> bool {
        self.shared.resolver.is_queued(self.id)
    }

    /// Whether that it waits for a turn is our doing.
    pub(crate) fn is_kept_waiting(&self) -> bool {
        let share = self.core.share.as_deref();
        share.is_some_and(|share| self.shared.work.is_kept_waiting(share, self.now))
    }

    /// Completes the current phase and begins another.
    pub(crate) fn begin(&mut self, phase: Phase) {
        if self.core.party != Party::Target {
            return;
        }
        self.core.end_keep(self.now);
        self.core.end_phase(self.now);
        self.core.phase = phase;
        self.core.since = Some(self.now);
        self.core.phases.begin(phase);
    }

    /// Completes the current phase: a verdict follows that is not about time.
    pub(crate) fn end_phase(&mut self) {
        if self.core.party == Party::Target {
            self.core.end_phase(self.now);
        }
    }

    /// Leaves the current phase out: it does not take place.
    pub(crate) fn skip_phase(&mut self) {
        if self.core.party == Party::Target {
            self.core.since = None;
            self.core.phases.skip(self.core.phase);
        }
    }

    /// Has the time of the current phase, the last one, count in the facts also
    /// if the run is cut off in it.
    pub(crate) const fn count_partial(&mut self) {
        if matches!(self.core.party, Party::Target) {
            self.core.phases.count_partial(self.core.phase);
        }
    }

    /// Ends the current phase without counting the time since it began.
    pub(crate) const fn abandon_phase(&mut self) {
        self.core.since = None;
    }

    /// Takes an abandoned phase up again.
    pub(crate) const fn resume_phase(&mut self) {
        self.core.since = Some(self.now);
    }

    /// Ends the current phase, because another connection is needed: what the last
    /// one took counts as `connect`, but for handshakes of the time `before`. So
    /// blackbox_exporter shows it, of which the `tls` and `processing` are those of the
    /// last connection.
    pub(crate) fn connect_again(&mut self, before: Duration) {
        self.core.end_keep(self.now);
        let since = self.core.since.take();
        let spent = since.map_or(Duration::ZERO, |since| self.now - since);
        let phases = &mut self.core.phases;
        phases.count_as_connect(Phase::Tls, before, spent);
    }

    /// Sets a number of the kind's table.
    pub(crate) fn set(&mut self, slot: usize, value: f64) {
        if self.core.party == Party::Target {
            self.core.facts.set(slot, value);
        }
    }

    /// Says whose fault a failure was that has just been found: gives it
    /// another reason, and puts who it was before its sentence. `Unknown` stays
    /// ours.
    pub(crate) fn attribute(
        &mut self,
        reason: impl FnOnce(Reason) -> Reason,
        who: &dyn fmt::Display,
    ) {
        if let Some(Outcome::Failure(found)) = self.core.outcome {
            self.core.outcome = None;
            let said = core::mem::take(&mut self.core.detail);
            self.fail(reason(found), format_args!("{who}: {said}"));
        }
    }

    /// Notes something in words, under a name that was not used before.
    pub(crate) fn label(&mut self, name: &Arc<str>, value: Box<str>) {
        self.core.labels.add(name, value);
    }

    /// Sets a series that a check declares itself.
    pub(crate) fn sample(&mut self, metric: &Arc<Metric>, labels: &[&str], value: f64) {
        self.core.samples.set(metric, labels, value);
    }

    /// The same, but adds to what was there before.
    pub(crate) fn add_sample(&mut self, metric: &Arc<Metric>, labels: &[&str], value: f64) {
        self.core.samples.add(metric, labels, value);
    }

    /// The time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.core.started
    }

    /// Time that is left to the run.
    pub(crate) fn time_left(&self) -> Duration {
        self.core.deadline - self.now
    }

    /// Books the time since `begun` as ours: the run waited for room.
    pub(crate) fn held_since(&mut self, begun: Instant) {
        self.core.end_hold(begun, self.now);
    }

    /// Ends the run. The engine closes what is open and reports.
    pub(crate) fn finish(&mut self, outcome: Outcome, detail: fmt::Arguments<'_>) {
        self.core.finish(outcome, detail);
    }

    /// Ends the run as successful, with the current phase completed.
    pub(crate) fn succeed(&mut self) {
        self.end_phase();
        self.finish(Outcome::Success, format_args!(""));
    }

    /// Ends the run as the target's fault.
    pub(crate) fn fail(&mut self, reason: Reason, detail: fmt::Arguments<'_>) {
        self.finish(Outcome::Failure(reason), detail);
    }

    /// Whether a verdict was given.
    pub(crate) const fn is_finished(&self) -> bool {
        self.core.outcome.is_some()
    }

    /// Notes a step of a traced run; costs nothing otherwise.
    pub(crate) fn trace(&mut self, text: fmt::Arguments<'_>) {
        self.step(Level::Debug, text);
    }

    /// As [`Cx::trace`], for what is not in every run and explains the result.
    pub(crate) fn note(&mut self, text: fmt::Arguments<'_>) {
        self.step(Level::Info, text);
    }

    fn step(&mut self, level: Level, text: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.core.trace
            && trace.len() < MAX_TRACE_STEPS
        {
            let mut text = alloc::fmt::format(text);
            text.truncate(text.floor_char_boundary(MAX_STEP_BYTES));
            let at = self.now;
            trace.push(Step { at, level, text });
        }
    }

    /// An empty buffer to hold for a while what the peer said. There is one
    /// that survives from one run of the slot to the next, if it is
    /// [given back](Self::give_buffer).
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.core.spare)
    }

    /// Gives a buffer back that is not needed any more. A large one is not
    /// kept.
    pub(crate) fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        let kept = self.core.spare.capacity() + 1..=POOLED_ANSWER_BYTES;
        if kept.contains(&buffer.capacity()) {
            buffer.clear();
            self.core.spare = buffer;
        }
    }

    /// Bytes that this run has stored to be sent.
    pub(crate) fn stored(&self) -> usize {
        self.core.out.len()
    }

    fn store(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.core.out.len() as u32;
        self.core.out.extend_from_slice(bytes);
        start..self.core.out.len() as u32
    }
}
