//! Known defects, to prove that the checkers see them.
//!
//! Each stands between the engine and its world and spoils a little of what
//! passes. A checker that does not notice is worth nothing.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::fact::{Facts, Labels};
use probity_engine::threshold::Transition;
use probity_engine::{
    Conn, Engine, Instant, Outcome, Output, Phase, Phases, Reason, Report, RunId, Spec, TargetId,
};

use crate::prober::Prober;

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The timer is not served for three seconds.
    LostTimer,
    /// One run falls silent: it neither closes nor reports.
    LostRun,
    /// A report comes twice.
    DoubleReport,
    /// One connection is not closed.
    LeakedConnection,
    /// A report comes five seconds later.
    LateReport,
    /// A failure is reported as a success.
    FalseSuccess,
    /// A success is reported as a failure.
    FalseFailure,
    /// A failure of ours is billed to the target.
    WrongBill,
    /// A flip is announced that the results do not justify.
    EarlyFlip,
    /// A flip is not announced.
    SilentFlip,
    /// `poll_timeout` always says now.
    Spin,
    /// Something is sent on a connection after it was closed.
    UseAfterClose,
    /// Something is asked for after the report.
    GhostOutput,
    /// A run claims to have been due a little later.
    OffSchedule,
    /// A run claims to have started before the last one ended.
    TwoAtOnce,
    /// All runs of one target vanish.
    ForgottenTarget,
}

/// An engine with a defect.
#[derive(Debug)]
pub struct Saboteur {
    engine: Engine,
    defect: Defect,
    /// Occasions to let pass: a defect that shows at once proves less.
    patience: u32,
    victim: Option<RunId>,
    forgotten: Option<TargetId>,
    asleep_until: Option<Instant>,
    held: Option<(Instant, RunId, Held)>,
}

/// A report that was kept back.
#[derive(Debug)]
struct Held {
    target: Option<TargetId>,
    spec: Arc<Spec>,
    outcome: Outcome,
    times: [Instant; 3],
    transition: Option<Transition>,
    facts: Facts,
    labels: Labels,
    phase: Phase,
    phases: Phases,
}

impl Saboteur {
    /// Puts a defect in.
    pub const fn new(engine: Engine, defect: Defect) -> Self {
        Self {
            engine,
            defect,
            patience: 20,
            victim: None,
            forgotten: None,
            asleep_until: None,
            held: None,
        }
    }

    /// Whether the time has come, on an occasion to do harm.
    const fn strikes(patience: &mut u32) -> bool {
        if *patience > 0 {
            *patience -= 1;
            return *patience == 0;
        }
        false
    }
}

impl Prober for Saboteur {
    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.defect == Defect::LostTimer && Self::strikes(&mut self.patience) {
            self.asleep_until = Some(now + Duration::from_secs(3));
        }
        if self.asleep_until.is_none_or(|until| now >= until) {
            self.engine.handle_timeout(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next = self.engine.poll_timeout();
        match (self.asleep_until, self.defect) {
            (Some(until), _) => next.map(|next| next.max(until)),
            (None, Defect::Spin) => next.map(|_| Instant::ZERO),
            _ => next,
        }
    }

    fn drain(&mut self, now: Instant, sink: &mut dyn FnMut(RunId, Output<'_>)) {
        let Self {
            engine,
            defect,
            patience,
            victim,
            forgotten,
            held,
            ..
        } = self;
        if held.as_ref().is_some_and(|(until, ..)| *until <= now)
            && let Some((_, run, report)) = held.take()
        {
            sink(run, Output::Report(report.lend()));
        }
        while let Some((run, output)) = engine.poll_output() {
            let output = match output {
                Output::Report(report) => {
                    let Some(report) = spoil(
                        *defect,
                        patience,
                        (victim, forgotten, held),
                        run,
                        report,
                        now,
                        sink,
                    ) else {
                        continue;
                    };
                    Output::Report(report)
                }
                Output::Open(conn, to) if *defect == Defect::LostRun && to.to.port() != 53 => {
                    if Self::strikes(patience) {
                        *victim = Some(run);
                    }
                    Output::Open(conn, to)
                }
                Output::Close(conn) if *victim == Some(run) => {
                    let _ = conn;
                    continue;
                }
                Output::Close(conn)
                    if *defect == Defect::LeakedConnection && Self::strikes(patience) =>
                {
                    let _ = conn;
                    continue;
                }
                Output::Close(conn)
                    if *defect == Defect::UseAfterClose && Self::strikes(patience) =>
                {
                    sink(run, Output::Close(conn));
                    Output::Send(conn, b"one more thing")
                }
                other => other,
            };
            sink(run, output);
            if *defect == Defect::GhostOutput && *victim == Some(run) {
                *victim = None;
                sink(run, Output::Close(Conn(0)));
            }
        }
    }
}

/// What is remembered between occasions.
type Memory<'a> = (
    &'a mut Option<RunId>,
    &'a mut Option<TargetId>,
    &'a mut Option<(Instant, RunId, Held)>,
);

/// Does what a defect does to reports; `None` keeps one from the world.
fn spoil<'a>(
    defect: Defect,
    patience: &mut u32,
    (victim, forgotten, held): Memory<'_>,
    run: RunId,
    mut report: Report<'a>,
    now: Instant,
    sink: &mut dyn FnMut(RunId, Output<'_>),
) -> Option<Report<'a>> {
    let outcome = report.outcome;
    // Only some reports are an occasion.
    let fits = match defect {
        Defect::FalseSuccess => matches!(outcome, Outcome::Failure(_)),
        Defect::FalseFailure | Defect::TwoAtOnce => outcome.is_success(),
        Defect::WrongBill => matches!(outcome, Outcome::Unknown(Reason::NoDescriptors)),
        Defect::EarlyFlip => report.transition.is_none() && outcome.is_success(),
        Defect::SilentFlip => report.transition.is_some(),
        Defect::LostTimer
        | Defect::LostRun
        | Defect::LeakedConnection
        | Defect::Spin
        | Defect::UseAfterClose => false,
        Defect::DoubleReport
        | Defect::LateReport
        | Defect::GhostOutput
        | Defect::OffSchedule
        | Defect::ForgottenTarget => true,
    };
    // Rare occasions are taken at once.
    if matches!(defect, Defect::WrongBill | Defect::SilentFlip) && fits && *patience > 0 {
        *patience = 1;
    }
    if defect == Defect::LostRun && *victim == Some(run) {
        return None;
    }
    if defect == Defect::ForgottenTarget && forgotten.is_some() && report.target == *forgotten {
        return None;
    }
    if !fits || !Saboteur::strikes(patience) {
        return Some(report);
    }
    match defect {
        Defect::DoubleReport => sink(run, Output::Report(report)),
        Defect::LateReport => {
            *held = Some((now + Duration::from_secs(5), run, Held::new(&report)));
            return None;
        }
        Defect::FalseSuccess => report.outcome = Outcome::Success,
        Defect::FalseFailure => report.outcome = Outcome::Failure(Reason::PeerClosed),
        Defect::WrongBill => report.outcome = Outcome::Failure(Reason::ConnectFailed),
        Defect::EarlyFlip => {
            report.transition = Some(Transition {
                from: Some(true),
                to: false,
                run: 1,
            });
        }
        Defect::SilentFlip => report.transition = None,
        Defect::GhostOutput => *victim = Some(run),
        Defect::OffSchedule => report.due += Duration::from_micros(1),
        Defect::TwoAtOnce => report.started = Instant::ZERO,
        Defect::ForgottenTarget => *forgotten = report.target,
        Defect::LostTimer
        | Defect::LostRun
        | Defect::LeakedConnection
        | Defect::Spin
        | Defect::UseAfterClose => {}
    }
    Some(report)
}

impl Held {
    fn new(report: &Report<'_>) -> Self {
        Self {
            target: report.target,
            spec: Arc::clone(report.spec),
            outcome: report.outcome,
            times: [report.due, report.started, report.finished],
            transition: report.transition,
            facts: *report.facts,
            labels: report.labels.clone(),
            phase: report.phase,
            phases: report.phases,
        }
    }

    fn lend(&self) -> Report<'_> {
        let [due, started, finished] = self.times;
        Report {
            target: self.target,
            spec: &self.spec,
            outcome: self.outcome,
            runs: 1,
            detail: "",
            phase: self.phase,
            due,
            started,
            finished,
            total: finished - started,
            phases: self.phases,
            facts: &self.facts,
            labels: &self.labels,
            tls: None,
            address: None,
            transition: self.transition,
            trace: &[],
        }
    }
}
