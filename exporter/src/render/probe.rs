//! The answer of `/probe`: the series of one run, and the same for a person.

use std::fmt::Write as _;
use std::io::{self, Write};

use probity_driver::{Handle, OwnedReport};
use probity_engine::{Instant, Outcome};

use super::families::{FAMILIES, Sight};
use crate::exposition::{Encoder, Format, Kind, LabelSet};

/// Writes the series of one run: those of blackbox_exporter and no others, so
/// that its dashboards and alerts see no difference.
///
/// For [`Outcome::Unknown`] there is no honest `probe_success`; it reads 0, and
/// a caller that can say it in another way (HTTP status 503, which makes the
/// scrape itself fail) should.
///
/// # Errors
/// Those of the sink.
pub fn write<W: Write>(encoder: &mut Encoder<W>, report: &OwnedReport) -> io::Result<()> {
    write_all(encoder, &[(LabelSet::default(), report)])
}

/// Writes the series of several runs, each with its labels.
///
/// # Errors
/// Those of the sink.
pub fn write_all<W: Write>(
    encoder: &mut Encoder<W>,
    runs: &[(LabelSet, &OwnedReport)],
) -> io::Result<()> {
    for family in FAMILIES.iter() {
        let mut out = encoder.family(family.name, family.help, Kind::Gauge)?;
        for (labels, report) in runs {
            family.samples(&Sight::of(report), |extra, value| {
                out.sample(labels, extra, value)
            })?;
        }
    }
    Ok(())
}

/// The answer to `debug=true`: what happened, the series, and the module.
/// `config` is the module as YAML, with secrets hidden.
///
/// Lines are logfmt as Go's slog writes it; what a peer sent is quoted.
pub fn debug(
    report: &OwnedReport,
    module: &str,
    target: &str,
    config: &str,
    handle: &Handle,
) -> String {
    debug_text(report, module, target, config, |at| handle.unix_time(at))
}

pub(super) fn debug_text(
    report: &OwnedReport,
    module: &str,
    target: &str,
    config: &str,
    unix_time: impl Fn(Instant) -> f64,
) -> String {
    let mut text = String::from("Logs for the probe:\n");
    let mut line = |at: Instant, level: &str, message: &str, more: &str| {
        let time = Rfc3339(unix_time(at));
        let (module, target) = (Word(module), Word(target));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "time={time} level={level} msg={} module={module} target={target}{more}",
            Word(message)
        );
    };
    line(report.started, "INFO", "Beginning probe", "");
    for step in &report.trace {
        line(step.at, "INFO", &step.text, "");
    }
    let seconds = report.total.as_secs_f64();
    let mut more = format!(" duration_seconds={seconds}");
    if let Some(reason) = report.outcome.reason() {
        let _ = write!(
            more,
            " reason={reason} phase={} detail={}",
            report.phase.name(),
            Word(&report.detail)
        );
    }
    let (level, message) = match report.outcome {
        Outcome::Success => ("INFO", "Probe succeeded"),
        Outcome::Warning(_) => ("WARN", "Probe succeeded with a warning"),
        Outcome::Failure(_) => ("ERROR", "Probe failed"),
        Outcome::Unknown(_) => ("ERROR", "Probe could not be made"),
    };
    line(report.finished, level, message, &more);

    text.push_str("\n\n\nMetrics that would have been returned:\n");
    let mut encoder = Encoder::new(Format::Text004, Vec::new());
    let body = write(&mut encoder, report).and_then(|()| encoder.finish());
    match body {
        Ok(body) => text.push_str(&String::from_utf8_lossy(&body)),
        Err(error) => {
            let _ = writeln!(text, "(cannot be encoded: {error})");
        }
    }
    text.push_str("\n\n\nModule configuration:\n");
    text.push_str(config);
    text
}

/// A value of logfmt: quoted if it would not be one word otherwise.
struct Word<'a>(&'a str);

impl std::fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// Unix seconds as `2026-07-30T12:34:56.789Z`.
pub(crate) struct Rfc3339(pub(crate) f64);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = (self.0 * 1e3).clamp(-6e13, 2.5e14) as i64;
        let (day, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil(day);
        let (seconds, millis) = (rest / 1_000, rest % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
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
