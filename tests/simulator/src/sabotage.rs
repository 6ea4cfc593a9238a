//! Known defects, to prove that the checkers see them.
//!
//! Each stands between the engine and its world and spoils a little of what
//! passes. A checker that does not notice is worth nothing.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::fact::{Facts, Labels, Samples};
use probity_engine::threshold::Transition;
use probity_engine::{
    Bytes, Closed, Conn, Engine, Input, Instant, Outcome, Output, Phase, Phases, Reason, Report,
    RunId, Spec, TargetId,
};

use crate::prober::Prober;

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The timer is not served for three seconds, again and again.
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
    /// What was captured is not said in a dialogue.
    LostWord,
    /// A connection is not secured midway, although that was agreed.
    LostHandshake,
    /// What an HTTP/2 server says is overheard once.
    LostFrame,
    /// A bit of a coded body is flipped.
    FlippedBit,
    /// A proxy is asked for a path, as if it were the target.
    OriginForm,
    /// What a proxy says ahead is overlooked.
    TrustedProxy,
    /// The token of somebody else is shown.
    WrongToken,
    /// A certificate that is not good is good enough.
    BlindTrust,
    /// What was wrong on the way is blamed on the target.
    WrongCulprit,
}

/// Occasions to let pass at first: a defect that shows at once proves less.
const PATIENCE: u32 = 20;

/// An engine with a defect.
#[derive(Debug)]
pub struct Saboteur {
    engine: Engine,
    defect: Defect,
    /// Occasions to let pass.
    patience: u32,
    victim: Option<RunId>,
    /// A connection that is watched: of a mail server that was asked to secure
    /// it, or of HTTP/2.
    watched: Option<(RunId, Conn)>,
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
    samples: Samples,
    phase: Phase,
    phases: Phases,
}

impl Saboteur {
    /// Puts a defect in.
    pub const fn new(engine: Engine, defect: Defect) -> Self {
        Self {
            engine,
            defect,
            patience: PATIENCE,
            victim: None,
            watched: None,
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

    fn handle_input(&mut self, run: RunId, input: Input<'_>, now: Instant) {
        let changed;
        let input = match (self.defect, input) {
            (Defect::LostFrame, Input::Data(conn, _))
                if self.watched == Some((run, conn)) && Self::strikes(&mut self.patience) =>
            {
                return;
            }
            (Defect::FlippedBit, Input::Data(conn, data)) => match coded_body(data) {
                Some(at) if Self::strikes(&mut self.patience) => {
                    changed = flipped(data, at);
                    Input::Data(conn, &changed)
                }
                _ => Input::Data(conn, data),
            },
            // It is rare enough to be done always.
            (Defect::TrustedProxy, Input::Data(conn, data)) => {
                Input::Data(conn, &data[..data.len() - words_ahead(data)])
            }
            (Defect::BlindTrust, Input::Closed(conn, Closed::Tls(failure))) => {
                if let Some(info) = &failure.info {
                    return self
                        .engine
                        .handle_input(run, Input::Secured(conn, info), now);
                }
                Input::Closed(conn, Closed::Tls(failure))
            }
            (_, input) => input,
        };
        self.engine.handle_input(run, input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.defect == Defect::LostTimer && Self::strikes(&mut self.patience) {
            self.asleep_until = Some(now + Duration::from_secs(3));
            self.patience = PATIENCE;
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
            watched,
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
            let changed;
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
                    Output::Send(conn, Bytes::Lent(b"one more thing"))
                }
                Output::Send(conn, bytes) => {
                    watch(*defect, watched, (run, conn), &bytes);
                    match misspelt(*defect, &bytes) {
                        Some(other) if Self::strikes(patience) => {
                            changed = other;
                            Output::Send(conn, Bytes::Lent(&changed))
                        }
                        _ => Output::Send(conn, bytes),
                    }
                }
                Output::Secure(conn, _)
                    if *defect == Defect::LostHandshake
                        && *watched == Some((run, conn))
                        && Self::strikes(patience) =>
                {
                    continue;
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

/// Notes whether what is said makes a connection worth watching. One that is to be
/// secured is, as long as nothing else is said.
fn watch(defect: Defect, watched: &mut Option<(RunId, Conn)>, which: (RunId, Conn), said: &[u8]) {
    let worth = match defect {
        Defect::LostHandshake => said.starts_with(b"STARTTLS"),
        Defect::LostFrame => said.starts_with(b"PRI * HTTP/2.0"),
        _ => false,
    };
    if worth {
        *watched = Some(which);
    } else if defect == Defect::LostHandshake && *watched == Some(which) {
        *watched = None;
    }
}

/// What is said instead, if this is an occasion.
fn misspelt(defect: Defect, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let other = match defect {
        Defect::LostWord if text.starts_with("HELO ") => "HELO \r\n".into(),
        Defect::OriginForm if text.starts_with("GET http://") => {
            let path = text.splitn(4, '/').nth(3)?;
            format!("GET /{path}")
        }
        Defect::WrongToken => {
            let (before, after) = text.split_once("Authorization: Bearer ")?;
            format!("{before}Authorization: Bearer x{after}")
        }
        _ => return None,
    };
    Some(other.into_bytes())
}

/// Where the middle of a coded body is.
fn coded_body(data: &[u8]) -> Option<usize> {
    const FIELD: &[u8] = b"\r\nContent-Encoding: ";
    data.windows(FIELD.len()).position(|part| part == FIELD)?;
    let head = data.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    (data.len() > head + 8).then_some((head + data.len()) / 2)
}

fn flipped(data: &[u8], at: usize) -> Vec<u8> {
    let mut data = data.to_vec();
    data[at] ^= 1;
    data
}

/// How many bytes a SOCKS proxy says too many.
fn words_ahead(data: &[u8]) -> usize {
    match data {
        [5, 0, 0, 1, ..] => data.len().saturating_sub(10),
        _ => 0,
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
    if defect == Defect::WrongCulprit
        && let Outcome::Failure(reason) = outcome
        && reason.name().starts_with("proxy_")
    {
        report.outcome = Outcome::Failure(Reason::ConnectRefused);
    }
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
        | Defect::UseAfterClose
        | Defect::LostWord
        | Defect::LostHandshake
        | Defect::LostFrame
        | Defect::FlippedBit
        | Defect::OriginForm
        | Defect::TrustedProxy
        | Defect::WrongToken
        | Defect::BlindTrust
        | Defect::WrongCulprit => false,
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
        // No occasions to these.
        _ => {}
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
            samples: report.samples.clone(),
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
            samples: &self.samples,
            tls: None,
            address: None,
            transition: self.transition,
            trace: &[],
        }
    }
}
