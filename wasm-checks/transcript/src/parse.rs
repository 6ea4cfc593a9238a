//! Text -> cases.

use std::fmt;
use std::time::Duration;

use crate::bytes::Scanner;
use crate::{Action, Case, Close, Reason, Step, StepKind, Verdict};

/// A transcript that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What was expected there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a transcript.
///
/// # Errors
/// At the first line that is not understood, and if there is no case.
pub fn parse(text: &str) -> Result<Vec<Case>, ParseError> {
    let mut cases = Vec::new();
    let mut open: Option<Case> = None;
    for (number, line) in text.lines().enumerate() {
        let at = |message| ParseError {
            line: number + 1,
            message,
        };
        let mut scanner = Scanner::new(line);
        let word = match scanner.word() {
            None => continue,
            Some(word) if word.starts_with('#') => continue,
            Some(word) => word,
        };
        if word == "case" {
            cases.extend(open.take().map(ended).transpose()?);
            open = Some(begun(scanner.rest(), number + 1).map_err(at)?);
            continue;
        }
        let Some(case) = &mut open else {
            return Err(at(format!("expected `case NAME`, found `{word}`")));
        };
        add(case, word, &mut scanner, number + 1).map_err(at)?;
    }
    cases.extend(open.map(ended).transpose()?);
    if cases.is_empty() {
        return Err(ParseError {
            line: 1,
            message: "there is no `case NAME`".into(),
        });
    }
    Ok(cases)
}

fn begun(name: &str, line: usize) -> Result<Case, String> {
    if name.is_empty() {
        return Err("expected a name after `case`".into());
    }
    Ok(Case {
        name: name.into(),
        line,
        config: "{}".into(),
        tls: false,
        steps: Vec::new(),
    })
}

/// A case that says how it ends.
fn ended(case: Case) -> Result<Case, ParseError> {
    if case.steps.last().is_some_and(|step| is_end(&step.kind)) {
        return Ok(case);
    }
    Err(ParseError {
        line: case.line,
        message: format!(
            "the case `{}` has no end: expected `up`, `degraded`, `down`, `unknown`, `waits` or \
             `rejected` as its last line",
            case.name
        ),
    })
}

const fn is_end(step: &StepKind) -> bool {
    matches!(
        step,
        StepKind::Does(Action::Done(_)) | StepKind::Waits | StepKind::Rejected(_)
    )
}

fn add(case: &mut Case, word: &str, scanner: &mut Scanner<'_>, line: usize) -> Result<(), String> {
    if case.steps.last().is_some_and(|step| is_end(&step.kind)) {
        return Err(format!("`{word}` after the end of the case"));
    }
    match word {
        "config" | "tls" if !case.steps.is_empty() => {
            return Err(format!("`{word}` stands before all that happens"));
        }
        "config" => case.config = scanner.rest().into(),
        "tls" => case.tls = true,
        _ => {
            let kind = step(word, scanner)?;
            case.steps.push(Step { line, kind });
        }
    }
    match scanner.rest() {
        "" => Ok(()),
        more => Err(format!("expected the end of the line, found `{more}`")),
    }
}

fn step(word: &str, scanner: &mut Scanner<'_>) -> Result<StepKind, String> {
    Ok(match word {
        "at" => StepKind::At(milliseconds(scanner)?),
        "<" => StepKind::Data(scanner.bytes()?),
        "secured" => StepKind::Secured,
        "timer" => StepKind::Timer(number(scanner)?),
        "closed" => StepKind::Closed(match scanner.word() {
            Some("end") => Close::End,
            Some("reset") => Close::Reset,
            Some("lost") => Close::Lost,
            _ => return Err("expected `end`, `reset` or `lost`".into()),
        }),
        "waits" => StepKind::Waits,
        "rejected" => StepKind::Rejected(scanner.text()?.unwrap_or_default()),
        _ => StepKind::Does(action(word, scanner)?),
    })
}

fn action(word: &str, scanner: &mut Scanner<'_>) -> Result<Action, String> {
    Ok(match word {
        ">" => Action::Send(scanner.bytes()?),
        "start-tls" => Action::StartTls,
        "set-timer" => Action::SetTimer(number(scanner)?, milliseconds(scanner)?),
        "mark" => Action::Mark(scanner.word().ok_or("expected a phase")?.into()),
        "sample" => {
            let metric = scanner.word().ok_or("expected a metric")?.into();
            let value = scanner.word().and_then(|word| word.parse().ok());
            let mut labels = Vec::new();
            while let Some(label) = scanner.text()? {
                labels.push(label);
            }
            Action::Sample {
                metric,
                value: value.ok_or("expected a number after the metric")?,
                labels,
            }
        }
        "log" => Action::Log(scanner.text()?.ok_or("expected a text")?),
        "up" => Action::Done(Verdict::Up),
        "degraded" => Action::Done(Verdict::Degraded(reason(scanner)?, text(scanner)?)),
        "down" => Action::Done(Verdict::Down(reason(scanner)?, text(scanner)?)),
        "unknown" => Action::Done(Verdict::Unknown(text(scanner)?)),
        _ => return Err(format!("`{word}` is nothing that a line begins with")),
    })
}

fn text(scanner: &mut Scanner<'_>) -> Result<String, String> {
    Ok(scanner.text()?.unwrap_or_default())
}

fn reason(scanner: &mut Scanner<'_>) -> Result<Reason, String> {
    let word = scanner.word().unwrap_or_default();
    Reason::named(word).ok_or_else(|| {
        let names = Reason::ALL.map(Reason::name).join(", ");
        format!("expected one of {names}, found `{word}`")
    })
}

fn number(scanner: &mut Scanner<'_>) -> Result<u32, String> {
    let word = scanner.word().unwrap_or_default();
    let number = word.parse();
    number.map_err(|_| format!("expected a number, found `{word}`"))
}

fn milliseconds(scanner: &mut Scanner<'_>) -> Result<Duration, String> {
    number(scanner).map(|number| Duration::from_millis(number.into()))
}
