//! The answer of `/probe`: the series of one run, and the same for a person.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use probity_driver::OwnedReport;
use probity_engine::{Instant, Level, Outcome};

use super::families::{FAMILIES, Sight};
use super::samples;
use crate::exposition::{Encoder, Format, Kind, LabelSet};
use crate::history::Probed;

/// Writes the series of one run: those of blackbox_exporter, and what the check
/// declares itself, so that its dashboards and alerts see no difference.
///
/// One that was not made has none: a caller says so in another way, by
/// [`not_made`].
///
/// # Errors
/// Those of the sink.
pub fn write<W: Write>(encoder: &mut Encoder<W>, probed: &Probed) -> io::Result<()> {
    let sight = Sight::kept(&probed.report).within(probed.timeout);
    write_sights(encoder, &probed.module, &[(LabelSet::default(), sight)])
}

/// That a run was not made, and why; `None` if it was. Such a run says nothing
/// about its target, whatever is asked of it.
pub fn not_made(outcome: Outcome, detail: &str) -> Option<String> {
    match outcome {
        Outcome::Unknown(reason) => {
            Some(format!("The probe could not be made ({reason}): {detail}"))
        }
        Outcome::Success | Outcome::Warning(_) | Outcome::Failure(_) => None,
    }
}

/// Writes the series of several runs of one module, each with its labels. Those
/// that were not made have none.
///
/// # Errors
/// Those of the sink.
pub fn write_all<W: Write>(
    encoder: &mut Encoder<W>,
    module: &str,
    runs: &[(LabelSet, &OwnedReport)],
) -> io::Result<()> {
    let runs = runs.iter();
    let sights: Vec<_> = runs
        .map(|(labels, report)| (labels.clone(), Sight::of(report)))
        .collect();
    write_sights(encoder, module, &sights)
}

fn write_sights<W: Write>(
    encoder: &mut Encoder<W>,
    module: &str,
    sights: &[(LabelSet, Sight<'_>)],
) -> io::Result<()> {
    for family in FAMILIES.iter() {
        let mut out = encoder.family(family.name, family.help, Kind::Gauge)?;
        for (labels, sight) in sights.iter().filter(|(_, sight)| sight.is_made()) {
            family.samples(sight, labels, |extra, value| {
                out.sample(labels, extra, value)
            })?;
        }
    }
    let runs = sights.iter().filter(|(_, sight)| sight.is_made());
    samples::write(
        encoder,
        runs.map(|(labels, sight)| (labels, module, sight.samples())),
    )
}

/// One line about a run.
#[derive(Debug)]
pub struct Line<'a> {
    /// When.
    pub at: Instant,
    /// How much it matters.
    pub level: Level,
    /// What happened, in a few words.
    pub message: &'a str,
    /// Of the first line: time that the run was given.
    pub timeout_seconds: Option<f64>,
    /// Of the last line: how long it took.
    pub duration_seconds: Option<f64>,
    /// Of the last line, unless all is well: the reason's name.
    pub reason: Option<&'static str>,
    /// Likewise: the phase in which the run ended.
    pub phase: Option<&'static str>,
    /// Likewise: a sentence.
    pub detail: Option<&'a str>,
}

/// All that there is to say about a run, in order.
pub fn lines(probed: &Probed) -> impl Iterator<Item = Line<'_>> {
    let report = &probed.report;
    let line = |at, level, message| Line {
        at,
        level,
        message,
        timeout_seconds: None,
        duration_seconds: None,
        reason: None,
        phase: None,
        detail: None,
    };
    let mut first = line(report.started, Level::Debug, "Beginning probe");
    first.timeout_seconds = Some(probed.timeout.as_secs_f64());
    let (level, message) = match report.outcome {
        Outcome::Success => (Level::Debug, "Probe succeeded"),
        Outcome::Warning(_) => (Level::Warn, "Probe succeeded with a warning"),
        Outcome::Failure(_) => (Level::Error, "Probe failed"),
        Outcome::Unknown(_) => (Level::Error, "Probe could not be made"),
    };
    let mut last = line(report.finished, level, message);
    last.duration_seconds = Some(report.total.as_secs_f64());
    if let Some(reason) = report.outcome.reason() {
        last.reason = Some(reason.name());
        last.phase = Some(report.phase.name());
        last.detail = Some(&report.detail);
    }
    let steps = report.trace.iter();
    let steps = steps.map(move |step| line(step.at, step.level, &step.text));
    std::iter::once(first)
        .chain(steps)
        .chain(std::iter::once(last))
}

/// The answer to `debug=true` and `/logs`: what happened, as far as it is of
/// `level` or above, the series, and the module.
///
/// Lines are logfmt as Go's slog writes it; what a peer sent is quoted.
pub fn debug(probed: &Probed, level: Level, unix_time: impl Fn(Instant) -> f64) -> String {
    let mut text = String::from("Logs for the probe:\n");
    for line in lines(probed).filter(|line| line.level >= level) {
        // Writing to a string cannot fail.
        let _ = write_line(&mut text, probed, &line, unix_time(line.at));
    }
    text.push_str("\n\n\nMetrics that would have been returned:\n");
    match not_made(probed.report.outcome, &probed.report.detail) {
        Some(sentence) => {
            let _ = writeln!(text, "None. {sentence}\n{NO_RUN}");
        }
        None => write_series(&mut text, probed),
    }
    text.push_str("\n\n\nModule configuration:\n");
    text.push_str(&probed.config);
    text
}

/// What it means for Prometheus that no run was made.
const NO_RUN: &str = "No run was made: that is not a failure of the target. Without debug=true the answer has the status 503 and no series, so that Prometheus records up 0.";

fn write_series(text: &mut String, probed: &Probed) {
    let mut encoder = Encoder::new(Format::Text004, Vec::new());
    match write(&mut encoder, probed).and_then(|()| encoder.finish()) {
        Ok(body) => text.push_str(&String::from_utf8_lossy(&body)),
        Err(error) => {
            let _ = writeln!(text, "(cannot be encoded: {error})");
        }
    }
}

fn write_line(text: &mut String, probed: &Probed, line: &Line<'_>, at: f64) -> fmt::Result {
    let (time, message) = (Rfc3339(at), Word(line.message));
    let level = match line.level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let (module, target) = (Word(&probed.module), Word(&probed.target));
    write!(
        text,
        "time={time} level={level} msg={message} module={module} target={target}"
    )?;
    if let Some(seconds) = line.timeout_seconds {
        write!(text, " timeout_seconds={seconds}")?;
    }
    if let Some(seconds) = line.duration_seconds {
        write!(text, " duration_seconds={seconds}")?;
    }
    for (name, value) in [
        ("reason", line.reason),
        ("phase", line.phase),
        ("detail", line.detail),
    ] {
        if let Some(value) = value {
            write!(text, " {name}={}", Word(value))?;
        }
    }
    text.push('\n');
    Ok(())
}

/// A value of logfmt: quoted if it would not be one word otherwise.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// Unix seconds as `2026-07-30T12:34:56.789Z`; a precision says how many digits
/// the fraction has, at most 6.
pub(crate) struct Rfc3339(pub(crate) f64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400_000_000;
        let micros = (self.0 * 1e6).round().clamp(-6e16, 2.5e17) as i64;
        let (day, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
        let (year, month, day) = civil(day);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let digits = f.precision().unwrap_or(3).min(6);
        let fraction = &format!("{micros:06}")[..digits];
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z"
        )
    }
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant,
/// "chrono-compatible low-level date algorithms").
pub(crate) const fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}
