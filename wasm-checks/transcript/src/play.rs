//! Plays cases to a check.

use std::fmt;
use std::time::Duration;

use crate::written::said;
use crate::{Action, Case, Event, Step, StepKind, Verdict};

/// A `<` that is longer is cut in two at some places only, and comes in pieces
/// instead of bytes: what it is for is its length.
const LONG: usize = 1_024;
const PIECE: usize = 61;

/// A check that cases can be played to, however it is run.
pub trait Subject {
    /// One run of it.
    type Run;

    /// Asks whether it takes a configuration.
    ///
    /// # Errors
    /// The check's own sentence if it does not.
    fn validate(&mut self, config: &str) -> Result<(), String>;

    /// Begins a run.
    ///
    /// # Errors
    /// If the check breaks.
    fn open(&mut self, config: &str, tls: bool) -> Result<Self::Run, String>;

    /// Lets something happen.
    ///
    /// # Errors
    /// If the check breaks, or does what it may not.
    fn on(
        &mut self,
        run: &mut Self::Run,
        now: Duration,
        event: Event<'_>,
    ) -> Result<Vec<Action>, String>;
}

/// A case that did not go as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the file, from 1.
    pub line: usize,
    /// Name of the case.
    pub case: String,
    /// How the bytes were cut.
    pub cut: String,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            case,
            cut,
            message,
        } = self;
        write!(f, "line {line}: {case}, {cut}: {message}")
    }
}

impl std::error::Error for Failure {}

/// How the bytes of a peer arrive.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Small,
    /// In two, at so many bytes; shorter ones stay whole.
    At(usize),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Small => f.write_str("byte by byte"),
            Self::At(at) => write!(f, "cut at {at}"),
        }
    }
}

impl Cut {
    /// Every one that tells something of a case.
    fn all(case: &Case) -> impl Iterator<Item = Self> {
        let lengths = case.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Data(bytes) => Some(bytes.len()),
            _ => None,
        });
        let longest = lengths.max().unwrap_or(0);
        let step = if longest > LONG { longest / 16 } else { 1 };
        let places = (1..longest).step_by(step);
        [Self::Whole, Self::Small]
            .into_iter()
            .chain(places.map(Self::At))
    }

    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Small if bytes.len() > LONG => bytes.chunks(PIECE).collect(),
            Self::Small => bytes.chunks(1).collect(),
            Self::At(at) if at < bytes.len() => vec![&bytes[..at], &bytes[at..]],
            _ => vec![bytes],
        }
    }
}

/// Plays one case in all cuts. Says how many times it was played.
///
/// # Errors
/// The first way in which it does not go as written.
pub fn play<S: Subject>(case: &Case, subject: &mut S) -> Result<usize, Failure> {
    let failure = |cut: String, (line, message)| Failure {
        line,
        case: case.name.clone(),
        cut,
        message,
    };
    let refusal = subject.validate(&case.config).err();
    if let Some((line, expected)) = rejection(&case.steps) {
        let verdict = match refusal {
            Some(found) if found.contains(expected) => return Ok(1),
            Some(found) => format!("expected a refusal with `{expected}` in it, found `{found}`"),
            None => "expected that the configuration is refused, but it is taken".into(),
        };
        return Err(failure("before the run".into(), (line, verdict)));
    }
    if let Some(found) = refusal {
        let message = format!("the configuration is refused: {found}");
        return Err(failure("before the run".into(), (case.line, message)));
    }
    let mut times = 0;
    for cut in Cut::all(case) {
        run(case, subject, cut).map_err(|wrong| failure(cut.to_string(), wrong))?;
        times += 1;
    }
    Ok(times)
}

fn rejection(steps: &[Step]) -> Option<(usize, &str)> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Rejected(text) => Some((step.line, text.as_str())),
        _ => None,
    })
}

/// A line, and what is wrong there.
type Wrong = (usize, String);

fn run<S: Subject>(case: &Case, subject: &mut S, cut: Cut) -> Result<(), Wrong> {
    let at = |line: usize| move |message| (line, message);
    let mut run = subject
        .open(&case.config, case.tls)
        .map_err(at(case.line))?;
    let mut now = Duration::ZERO;
    let mut found = subject
        .on(&mut run, now, Event::Connected)
        .map_err(at(case.line))?;
    let mut steps = case.steps.as_slice();
    let mut line = case.line;
    loop {
        let answers = steps
            .iter()
            .take_while(|step| is_answer(&step.kind))
            .count();
        let (expected, rest) = steps.split_at(answers);
        compare(line, expected, &found)?;
        let Some((event, rest)) = rest.split_first() else {
            return Ok(());
        };
        if is_done(&found) {
            return Err((event.line, "the check was done before this".into()));
        }
        (steps, line) = (rest, event.line);
        found.clear();
        let mut happens = |event: Event<'_>| {
            if !is_done(&found) {
                found.extend(subject.on(&mut run, now, event).map_err(at(line))?);
            }
            Ok(())
        };
        match &event.kind {
            StepKind::At(time) => now = *time,
            StepKind::Data(bytes) => {
                for piece in cut.pieces(bytes) {
                    happens(Event::Data(piece))?;
                }
            }
            StepKind::Secured => happens(Event::Secured)?,
            StepKind::Timer(id) => happens(Event::Timer(*id))?,
            StepKind::Closed(close) => happens(Event::Closed(*close))?,
            StepKind::Does(_) | StepKind::Waits | StepKind::Rejected(_) => {}
        }
    }
}

const fn is_answer(step: &StepKind) -> bool {
    matches!(
        step,
        StepKind::Does(_) | StepKind::Waits | StepKind::Rejected(_)
    )
}

fn is_done(actions: &[Action]) -> bool {
    matches!(actions.last(), Some(Action::Done(_)))
}

/// Compares what a check did after one event with what stands there.
fn compare(line: usize, expected: &[Step], found: &[Action]) -> Result<(), Wrong> {
    let mut beside = found.iter();
    let mut wanted: Vec<(usize, Action)> = Vec::new();
    for step in expected {
        let StepKind::Does(action) = &step.kind else {
            continue;
        };
        if is_compared_in_full(action) {
            push(&mut wanted, step.line, action);
        } else if !beside.any(|other| is_as_written(action, other)) {
            let message = format!("expected {}, found {}", said(action), all_said(found));
            return Err((step.line, message));
        }
    }
    let mut real: Vec<(usize, Action)> = Vec::new();
    for action in found.iter().filter(|action| is_compared_in_full(action)) {
        push(&mut real, line, action);
    }
    let mut real = real.iter();
    for (line, wanted) in &wanted {
        match real.next() {
            Some((_, found)) if is_as_written(wanted, found) => {}
            Some((_, found)) => {
                let message = format!("expected {}, found {}", said(wanted), said(found));
                return Err((*line, message));
            }
            None => return Err((*line, format!("expected {}, found nothing", said(wanted)))),
        }
    }
    match real.next() {
        Some((line, found)) => Err((*line, format!("not expected: {}", said(found)))),
        None => Ok(()),
    }
}

const fn is_compared_in_full(action: &Action) -> bool {
    matches!(action, Action::Send(_) | Action::StartTls | Action::Done(_))
}

/// Adds an action; what is sent in a row is one message.
fn push(actions: &mut Vec<(usize, Action)>, line: usize, action: &Action) {
    match (actions.last_mut(), action) {
        (Some((_, Action::Send(all))), Action::Send(more)) => all.extend_from_slice(more),
        _ => actions.push((line, action.clone())),
    }
}

fn is_as_written(wanted: &Action, found: &Action) -> bool {
    match (wanted, found) {
        (Action::Log(part), Action::Log(line)) => line.contains(part.as_str()),
        (Action::Done(wanted), Action::Done(found)) => match (wanted, found) {
            (Verdict::Unknown(part), Verdict::Unknown(text)) => text.contains(part.as_str()),
            (Verdict::Degraded(reason, part), Verdict::Degraded(other, text))
            | (Verdict::Down(reason, part), Verdict::Down(other, text)) => {
                reason == other && text.contains(part.as_str())
            }
            _ => wanted == found,
        },
        _ => wanted == found,
    }
}

fn all_said(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "nothing".into();
    }
    let all: Vec<String> = actions.iter().map(said).collect();
    all.join(", ")
}
