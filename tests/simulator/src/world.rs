//! A world around an engine: its clock, its driver and its checkers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::limits::STARTS_PER_TURN;
use probity_engine::threshold::Transition;
use probity_engine::{
    Config, Engine, Errand, Full, Input, Instant, Limits, Outcome, Output, Phase, Report,
    ResolveError, RunId, Spec, TargetId,
};

use crate::checker::{self, Checker, Condition, Seen, Terms, Truth, Violation};
use crate::faults::Faults;
use crate::network::{Network, News};
use crate::peer::Behaviour;
use crate::prober::Prober;
use crate::queue::Queue;
use crate::rng::Rng;

/// What a world is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Determines everything.
    pub seed: u64,
    /// The engine's bounds and resolver. Its seed is drawn from the world's.
    pub engine: Config,
    /// The network's and the machine's temper.
    pub faults: Faults,
    /// Whether every report is kept in [`World::reports`].
    pub keep_reports: bool,
}

impl Options {
    /// A quiet world with the engine's default bounds, in which every report
    /// is kept.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            engine: Config::default(),
            faults: Faults::default(),
            keep_reports: true,
        }
    }

    /// The same with other bounds.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.engine.limits = limits;
        self
    }
}

/// A report that was kept.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `Report`")]
pub struct Record {
    pub run: RunId,
    pub target: Option<TargetId>,
    pub outcome: Outcome,
    pub detail: String,
    pub phase: Phase,
    pub due: Instant,
    pub started: Instant,
    pub finished: Instant,
    pub total: Duration,
    pub transition: Option<Transition>,
    pub address: Option<SocketAddr>,
    pub phases: Vec<(Phase, Duration)>,
    pub steps: usize,
}

impl Record {
    fn new(run: RunId, report: &Report<'_>) -> Self {
        Self {
            run,
            target: report.target,
            outcome: report.outcome,
            detail: report.detail.into(),
            phase: report.phase,
            due: report.due,
            started: report.started,
            finished: report.finished,
            total: report.total,
            transition: report.transition,
            address: report.address,
            phases: report.phases.iter().collect(),
            steps: report.trace.len(),
        }
    }
}

/// A world. It plays the driver's part: events are handed to the engine, its
/// timer is served, what it asks for is done.
pub struct World {
    prober: Box<dyn Prober>,
    side: Side,
    /// The driver's own dice: how late it wakes, and how long errands take.
    rng: Rng,
    /// Errands that were done, by when their answers come.
    errands: Queue<(RunId, Errand)>,
    /// How long one takes at most.
    longest_errand: Duration,
    turns: u64,
}

/// Everything but the engine.
struct Side {
    now: Instant,
    seed: u64,
    network: Network,
    checkers: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
    /// Violations, kept or not.
    complaints: usize,
    keep_reports: bool,
    reports: Vec<Record>,
    counts: [u64; 4],
    /// What the host is asked to resolve.
    names: Vec<(RunId, String)>,
    /// A hash of all that the engine ever asked for.
    digest: u64,
}

/// Violations that are kept of each checker; more say nothing new.
const KEPT: usize = 4;

/// Violations after which time stands still.
const ENOUGH: usize = 1_000;

/// Turns in the life of a world, so that one that spins ends.
const MOST_TURNS: u64 = 200_000_000;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.side.now)
            .field("seed", &self.side.seed)
            .field("violations", &self.side.violations)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world around a fresh engine.
    pub fn new(options: Options) -> Self {
        Self::around(options, |engine| Box::new(engine))
    }

    /// A world around a fresh engine with something in between.
    pub fn around(options: Options, wrap: impl FnOnce(Engine) -> Box<dyn Prober>) -> Self {
        let Options {
            seed,
            mut engine,
            faults,
            keep_reports,
        } = options;
        let mut rng = Rng::new(seed);
        engine.seed = rng.seed();
        let terms = Terms {
            limits: engine.limits,
            longest_lag: faults.longest_lag,
        };
        // Not zero, so that nothing is right by accident.
        let now = Instant::from_nanos(1_000_000_000 + rng.below(1_000_000_000));
        let truth = Truth::default();
        Self {
            prober: wrap(Engine::new(engine, now)),
            side: Side {
                now,
                seed,
                network: Network::new(faults, rng.fork()),
                checkers: checker::all(terms, truth.clone()),
                violations: Vec::new(),
                complaints: 0,
                keep_reports,
                reports: Vec::new(),
                counts: [0; 4],
                names: Vec::new(),
                digest: 0xcbf2_9ce4_8422_2325,
            },
            rng: rng.fork(),
            errands: Queue::new(),
            longest_errand: Duration::ZERO,
            turns: 0,
        }
        .knowing(truth)
    }

    /// Checkers and world share the truth.
    fn knowing(mut self, truth: Truth) -> Self {
        self.side.network.truth = truth;
        self
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.side.now
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        self.prober.engine()
    }

    /// Puts a server at an address, instead of the one that is there.
    pub fn serve(&mut self, at: SocketAddr, behaviour: Behaviour) {
        self.side.network.serve(at, behaviour);
    }

    /// Tells the peers where a name leads; the engine asks DNS.
    pub fn name(&mut self, name: &str, address: IpAddr) {
        self.side.network.name(name, address);
    }

    /// Changes the network's and the machine's temper. The driver's greatest
    /// lag stays what the checkers were told.
    pub fn set_faults(&mut self, faults: Faults) {
        self.side.network.faults = faults;
    }

    /// See [`Faults`].
    pub const fn faults(&self) -> Faults {
        self.side.network.faults
    }

    /// Says how long what is done elsewhere takes at most.
    pub const fn errands_take(&mut self, longest: Duration) {
        self.longest_errand = longest;
    }

    /// Tells the checkers how a target is from now on.
    pub fn expect(&mut self, id: TargetId, condition: Condition) {
        self.side.network.truth.set(id, condition, self.side.now);
    }

    /// See [`Engine::upsert`].
    ///
    /// # Errors
    /// As there.
    pub fn upsert(&mut self, id: TargetId, spec: Arc<Spec>) -> Result<(), Full> {
        let now = self.side.now;
        let engine = self.prober.engine_mut();
        let changes = engine.target(id).is_none_or(|known| *known.spec != spec);
        engine.upsert(id, Arc::clone(&spec), now)?;
        if changes {
            self.side.see(&Seen::Upsert(id, &spec));
        }
        self.drain();
        Ok(())
    }

    /// See [`Engine::remove`].
    pub fn remove(&mut self, id: TargetId) {
        self.prober.engine_mut().remove(id, self.side.now);
        self.side.see(&Seen::Remove(id));
        self.drain();
    }

    /// See [`Engine::trigger`].
    pub fn trigger(&mut self, id: TargetId) {
        self.side.see(&Seen::Trigger(id));
        self.prober.engine_mut().trigger(id, self.side.now);
        self.drain();
    }

    /// See [`Engine::run_once`].
    ///
    /// # Errors
    /// As there.
    pub fn run_once(&mut self, spec: Arc<Spec>, timeout: Duration) -> Result<RunId, Full> {
        let engine = self.prober.engine_mut();
        let run = engine.run_once(spec, timeout, true, self.side.now)?;
        self.side.see(&Seen::Once(run, timeout));
        self.drain();
        Ok(run)
    }

    /// See [`Engine::begin`].
    pub fn begin(&mut self) {
        self.side.see(&Seen::Begin);
        self.prober.engine_mut().begin(self.side.now);
        self.drain();
    }

    /// See [`Engine::shutdown`].
    pub fn shutdown(&mut self) {
        self.side.see(&Seen::Shutdown);
        self.prober.engine_mut().shutdown(self.side.now);
        self.drain();
    }

    /// Answers the oldest name that the host was asked to resolve, if it was
    /// asked for one.
    pub fn resolved(&mut self, answer: Result<&[IpAddr], ResolveError>) -> Option<String> {
        if self.side.names.is_empty() {
            return None;
        }
        let (run, name) = self.side.names.remove(0);
        self.tell(run, Input::Resolved(answer));
        self.drain();
        Some(name)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.side.now + time);
    }

    /// Lets time pass until `end`, or until too much is wrong.
    pub fn run_until(&mut self, end: Instant) {
        while self.side.complaints < ENOUGH {
            let next = [
                self.side.network.next_at(),
                self.errands.next_at(),
                self.prober.poll_timeout(),
            ];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.side.now = self.side.now.max(next) + self.lag();
            self.turn();
        }
        self.side.now = self.side.now.max(end);
    }

    /// Lets time pass in which the driver does nothing: the process is stopped,
    /// the machine asleep. The checkers must have been told of a
    /// [`Faults::longest_lag`] that covers it.
    pub fn stall(&mut self, time: Duration) {
        self.side.now += time;
    }

    /// Reports kept so far.
    pub fn reports(&self) -> &[Record] {
        &self.side.reports
    }

    /// Those of one target.
    pub fn reports_of(&self, id: TargetId) -> impl Iterator<Item = &Record> {
        let reports = self.side.reports.iter();
        reports.filter(move |record| record.target == Some(id))
    }

    /// Reports so far by [`Outcome::index`], kept or not.
    pub const fn counts(&self) -> [u64; 4] {
        self.side.counts
    }

    /// What was found wrong so far.
    pub fn violations(&self) -> &[Violation] {
        &self.side.violations
    }

    /// Connections that exist now.
    pub fn connections(&self) -> usize {
        self.side.network.connections()
    }

    /// A hash of all that the engine asked for: equal for equal seeds.
    pub const fn digest(&self) -> u64 {
        self.side.digest
    }

    /// Shuts the engine down and has the checkers look back; returns what was
    /// wrong in the whole life of the world.
    pub fn finish(&mut self) -> &[Violation] {
        self.shutdown();
        let end = self.side.now + Duration::from_secs(1);
        self.run_until(end);
        let engine = self.prober.engine();
        self.side.check(|checker, now| checker.finish(now, engine));
        &self.side.violations
    }

    /// Finishes and insists that nothing was wrong.
    ///
    /// # Panics
    /// If something was, with the seed.
    #[track_caller]
    pub fn assert_clean(&mut self) {
        let seed = self.side.seed;
        let found = self.finish();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "seed {seed}:\n{}", lines.join("\n"));
    }

    fn lag(&mut self) -> Duration {
        let faults = &self.side.network.faults;
        if !self.rng.chance(faults.lag) {
            return Duration::ZERO;
        }
        let lag = self.rng.duration(faults.longest_lag);
        // A slow driver excuses every target that it made wait.
        for to in self.side.network.addresses() {
            self.side.see(&Seen::Fault(to));
        }
        lag
    }

    /// One turn of the driver's loop.
    fn turn(&mut self) {
        self.turns += 1;
        assert!(
            self.turns < MOST_TURNS,
            "the world spins at {}",
            self.side.now
        );
        let now = self.side.now;
        while let Some(news) = self.side.network.happen(now) {
            self.side.faults();
            match news {
                News::Nothing => continue,
                News::Opened(run, conn) => self.tell(run, Input::Opened(conn)),
                News::Secured(run, conn, info) => self.tell(run, Input::Secured(conn, &info)),
                News::Flushed(run, conn) => self.tell(run, Input::Flushed(conn)),
                News::Data(run, conn, data) => self.tell(run, Input::Data(conn, data.as_slice())),
                News::Closed(run, conn, why) => self.tell(run, Input::Closed(conn, why)),
            }
            // Many inputs may come before one drain, or only one.
            if self.rng.chance(500_000) {
                self.drain();
            }
        }
        while let Some((_, (run, errand))) = self.errands.pop(now) {
            let engine = self.prober.engine_mut();
            engine.handle_errand(run, Ok(errand), now);
        }
        if self.prober.poll_timeout().is_some_and(|at| at <= now) {
            if self.rng.chance(500_000) {
                self.prober.handle_timeout(now);
            } else {
                self.start_one_by_one();
            }
            let next = self.prober.poll_timeout();
            self.side.see(&Seen::Turn(next));
        }
        self.drain();
    }

    /// Handles what is due as the driver does, which carries out what one start asks for
    /// before the next.
    fn start_one_by_one(&mut self) {
        let now = self.side.now;
        self.prober.engine_mut().handle_deadlines(now);
        self.drain();
        for _ in 0..STARTS_PER_TURN {
            if !self.prober.engine_mut().start_due(now) {
                break;
            }
            self.drain();
        }
    }

    fn tell(&mut self, run: RunId, input: Input<'_>) {
        self.side.see(&Seen::Input(run, &input));
        self.prober.handle_input(run, input, self.side.now);
    }

    /// Does all that the engine asks for.
    fn drain(&mut self) {
        let side = &mut self.side;
        self.prober
            .drain(side.now, &mut |run, output| side.output(run, &output));
        while let Some((run, mut errand)) = self.prober.engine_mut().poll_errand() {
            errand.run();
            let back = side.now + self.rng.duration(self.longest_errand);
            self.errands.plan(back, (run, errand));
        }
        let engine = self.prober.engine();
        side.check(|checker, now| checker.settled(now, engine));
    }
}

impl Side {
    fn see(&mut self, seen: &Seen<'_>) {
        self.check(|checker, now| checker.see(now, seen));
    }

    /// Asks every checker, and keeps what they complain about.
    fn check(&mut self, mut ask: impl FnMut(&mut dyn Checker, Instant) -> Result<(), String>) {
        let at = self.now;
        for checker in &mut self.checkers {
            let Err(message) = ask(&mut **checker, at) else {
                continue;
            };
            self.complaints += 1;
            let checker = checker.name();
            let known = self.violations.iter().filter(|it| it.checker == checker);
            if known.count() < KEPT {
                self.violations.push(Violation {
                    checker,
                    at,
                    message,
                });
            }
        }
    }

    /// Shows the checkers where the network has misbehaved.
    fn faults(&mut self) {
        while let Some(to) = self.network.misbehaved.pop() {
            self.see(&Seen::Fault(to));
        }
    }

    fn output(&mut self, run: RunId, output: &Output<'_>) {
        self.digest(run, output);
        self.see(&Seen::Output(run, output));
        let now = self.now;
        match output {
            Output::Resolve(name, _) => self.names.push((run, (*name).into())),
            Output::Open(conn, endpoint) => self.network.open(run, *conn, *endpoint, now),
            Output::Secure(conn, params) => self.network.secure(run, *conn, params, now),
            Output::Send(conn, bytes) => self.network.send(run, *conn, bytes, now),
            Output::Flush(conn) => self.network.flush(run, *conn, now),
            Output::Close(conn) => self.network.close(run, *conn, now),
            Output::Report(report) => {
                self.counts[report.outcome.index()] += 1;
                if self.keep_reports {
                    self.reports.push(Record::new(run, report));
                }
            }
        }
        self.faults();
    }

    /// FNV-1a over the numbers that tell outputs apart.
    fn digest(&mut self, run: RunId, output: &Output<'_>) {
        let (kind, value) = match output {
            Output::Resolve(name, _) => (0, name.len() as u64),
            Output::Open(conn, endpoint) => (1, u64::from(endpoint.to.port()) << 8 | conn.0 as u64),
            Output::Secure(conn, _) => (2, conn.0.into()),
            Output::Send(conn, bytes) => (3, (bytes.len() as u64) << 8 | u64::from(conn.0)),
            Output::Close(conn) => (4, conn.0.into()),
            Output::Report(report) => {
                let reason = report.outcome.reason().map_or(0, |it| it as u64 + 1);
                (5, (report.outcome.index() as u64) << 8 | reason)
            }
            Output::Flush(conn) => (6, conn.0.into()),
        };
        for word in [self.now.as_nanos(), run.to_bits(), kind, value] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
