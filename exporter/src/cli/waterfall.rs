//! One result for a person: a verdict in one line, then where the time went.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use probity_driver::OwnedReport;
use probity_engine::Outcome;
use probity_engine::tls::TlsInfo;

use crate::render::probe::civil;
use crate::render::spent::spent;

/// Cells of the widest bar. With names and durations a line has 68 columns.
const BAR: usize = 40;

/// Colours of terminals (ECMA-48 SGR).
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const MAGENTA: &str = "\x1b[35m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Renders a result. `now` is Unix seconds; `colour` is for terminals.
pub(super) fn render(target: &str, report: &OwnedReport, now: f64, colour: bool) -> String {
    let paint = |text: &str, code: &str| match colour {
        true => format!("{code}{text}{RESET}"),
        false => text.to_owned(),
    };
    let (word, code) = match report.outcome {
        Outcome::Success => ("OK  ", GREEN),
        Outcome::Warning(_) => ("WARN", YELLOW),
        Outcome::Failure(_) => ("FAIL", RED),
        Outcome::Unknown(_) => ("????", MAGENTA),
    };
    let mut text = paint(word, code);
    // Writing to a string cannot fail.
    let _ = writeln!(text, " {}  {}", printable(target), verdict(report));
    for line in phases(report) {
        let _ = writeln!(text, "     {}", paint(&line, DIM));
    }
    let address = report.address.map(|address| address.to_string());
    let tls = report.tls.as_deref();
    for (name, line) in [
        ("address", address),
        ("matched", matched(report)),
        ("security", tls.and_then(security)),
        ("certificate", tls.and_then(|tls| certificate(tls, now))),
    ] {
        if let Some(line) = line {
            let _ = writeln!(text, "     {name:<11} {line}");
        }
    }
    text
}

/// What happened and in which phase, in one line.
fn verdict(report: &OwnedReport) -> String {
    let took = span(report.total);
    let status = status(report);
    let mut line = match report.outcome.reason() {
        None => return format!("{status}in {took}"),
        Some(reason) if reason == report.phase.timeout() => {
            format!("timeout in {}", report.phase.name())
        }
        Some(reason) => {
            let words = reason.name().replace('_', " ");
            format!("{words} in {}", report.phase.name())
        }
    };
    if !report.detail.is_empty() {
        let _ = write!(line, ": {}", printable(&report.detail));
    }
    let said = report.detail.contains(status.trim_end());
    let status = if said { "" } else { &status };
    let _ = write!(line, " ({status}after {took})");
    line
}

/// What the target answered, by any protocol that has status codes.
fn status(report: &OwnedReport) -> String {
    let facts = report.spec.check.facts().iter();
    facts
        .filter(|fact| fact.name.ends_with("_status_code"))
        .filter_map(|fact| fact.read(&report.facts, &report.phases))
        .filter(|code| *code > 0.0)
        .fold(String::new(), |text, code| format!("{text}status {code} "))
}

/// A line for each completed phase, and one for that in which a run came to
/// grief.
fn phases(report: &OwnedReport) -> Vec<String> {
    let total = report.total.as_secs_f64();
    let share = |time: Duration| match total > 0.0 {
        true => ((time.as_secs_f64() / total * BAR as f64).round() as usize).min(BAR),
        false => 0,
    };
    let ended = (report.outcome, report.phase);
    let mut before = Duration::ZERO;
    let mut lines = Vec::new();
    for spent in spent(&report.phases, ended) {
        let start = share(before).min(BAR - 1);
        let middle = share(before + spent.completed).max(start);
        before += spent.all();
        let end = share(before);
        let bar = match end.saturating_sub(start) {
            0 => "▏".into(),
            _ => "█".repeat(middle - start) + &"░".repeat(end - middle),
        };
        let (name, took) = (spent.phase.name(), span(spent.all()));
        lines.push(format!("{name:<11} {took:>8}  {:start$}{bar}", ""));
    }
    lines
}

/// What a dialogue found out about the target.
fn matched(report: &OwnedReport) -> Option<String> {
    let labels = report.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={}", printable(&format!("{value:?}"))))
        .collect();
    (!labels.is_empty()).then(|| labels.join(", "))
}

/// Version and cipher.
fn security(tls: &TlsInfo) -> Option<String> {
    let parts = [tls.version, tls.cipher];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The life of the certificates that the server sent.
fn certificate(tls: &TlsInfo, now: f64) -> Option<String> {
    let chain = tls.chain.as_deref()?;
    let (year, month, day) = civil(chain.earliest_expiry.div_euclid(86_400));
    let left = expiry(chain.earliest_expiry as f64 - now);
    Some(format!("{left} ({year:04}-{month:02}-{day:02})"))
}

/// `left` is in seconds, negative in the past.
fn expiry(left: f64) -> String {
    let (value, unit) = match left.abs() {
        seconds if seconds < 3_600.0 => ((seconds / 60.0) as u64, "minute"),
        seconds if seconds < 2.0 * 86_400.0 => ((seconds / 3_600.0) as u64, "hour"),
        seconds => ((seconds / 86_400.0) as u64, "day"),
    };
    let plural = if value == 1 { "" } else { "s" };
    match left >= 0.0 {
        true => format!("expires in {value} {unit}{plural}"),
        false => format!("expired {value} {unit}{plural} ago"),
    }
}

/// A duration in three digits: `12 µs`, `1.23 ms`, `9.99 s`.
pub(super) fn span(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        micros if micros < 999.5 => return format!("{micros:.0} µs"),
        micros if micros < 999_500.0 => (micros / 1e3, "ms"),
        micros => (micros / 1e6, "s"),
    };
    match value {
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// `text` without anything that a terminal would obey: control characters
/// (C0, C1, DEL) and those that reorder or hide text (Unicode TR 36) are
/// escaped.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::bench::{self, Event};
    use probity_engine::{Closed, Reason};

    #[test]
    fn spans_have_three_digits() {
        for (nanos, text) in [
            (0, "0 µs"),
            (12_400, "12 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (1_234_000, "1.23 ms"),
            (45_670_000, "45.7 ms"),
            (234_500_000, "234 ms"),
            (9_990_000_000, "9.99 s"),
            (120_000_000_000, "120 s"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn expiry_reads_as_people_say_it() {
        let day = 86_400.0;
        for (left, text) in [
            (23.4 * day, "expires in 23 days"),
            (-3.5 * day, "expired 3 days ago"),
            (1.5 * day, "expires in 36 hours"),
            (-3_700.0, "expired 1 hour ago"),
            (90.0, "expires in 1 minute"),
            (0.0, "expires in 0 minutes"),
        ] {
            assert_eq!(expiry(left), text);
        }
    }

    #[test]
    fn peers_cannot_speak_to_the_terminal() {
        assert_eq!(printable("plain ü"), "plain ü");
        assert_eq!(
            printable("a\x1b[31mb\r\n\u{9b}\u{202e}"),
            "a\\u{1b}[31mb\\r\\n\\u{9b}\\u{202e}"
        );
    }

    #[test]
    fn a_dead_port_is_one_line_with_its_phase() {
        let report = bench::tcp(&[(1_000, Event::Closed(Closed::Refused))]);
        assert_eq!(report.outcome, Outcome::Failure(Reason::ConnectRefused));
        let text = render("192.0.2.7:80", &report, 0.0, false);
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("FAIL 192.0.2.7:80  connect refused in connect: "),
            "{first}"
        );
        assert!(first.ends_with("(after 1.00 ms)"), "{first}");
        assert!(text.contains("connect      1.00 ms  ░░░░"), "{text}");
        assert!(text.contains("address     192.0.2.7:80"), "{text}");
    }

    #[test]
    fn a_silent_target_is_a_timeout_in_its_phase() {
        let report = bench::tcp(&[]);
        let text = render("192.0.2.7:80", &report, 0.0, false);
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("FAIL 192.0.2.7:80  timeout in connect: "),
            "{first}"
        );
    }

    #[test]
    fn a_status_is_said_once() {
        let answer = Event::Data(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let report = bench::http(&[(1_000, Event::Opened), (1_000, answer)]);
        let text = render("http://192.0.2.7/", &report, 0.0, false);
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("FAIL http://192.0.2.7/  http status in "),
            "{first}"
        );
        assert_eq!(first.matches("503").count(), 1, "{first}");
    }

    #[test]
    fn bars_follow_each_other_and_fit() {
        let report = bench::tls(&[
            (10_000, Event::Opened),
            (
                30_000,
                Event::Secured(bench::handshake(86_400 * 24, Some(0))),
            ),
        ]);
        let text = render("192.0.2.7:443", &report, 86_400.0, false);
        assert!(
            text.starts_with("OK   192.0.2.7:443  in 40.0 ms\n"),
            "{text}"
        );
        let line = |name: &str| {
            let mut lines = text.lines();
            lines
                .find(|line| line.trim_start().starts_with(name))
                .unwrap()
        };
        assert_eq!(line("connect"), "     connect      10.0 ms  ██████████");
        assert_eq!(
            line("tls"),
            format!(
                "     tls          30.0 ms  {}{}",
                " ".repeat(10),
                "█".repeat(30)
            )
        );
        assert_eq!(line("resolve"), "     resolve         0 µs  ▏");
        assert_eq!(
            line("security"),
            "     security    TLS 1.3, TLS_AES_128_GCM_SHA256"
        );
        assert_eq!(
            line("certificate"),
            "     certificate expires in 23 days (1970-01-25)"
        );
        assert!(!text.contains("processing"), "nothing was asked for");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        let coloured = render("192.0.2.7:443", &report, 0.0, true);
        assert!(coloured.starts_with("\x1b[32mOK  \x1b[0m"));
    }
}
