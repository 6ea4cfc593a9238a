//! Log lines as Go's slog writes them, so that what reads those of
//! blackbox_exporter reads ours: `time=... level=INFO msg="..." key=value`, or
//! the same as JSON.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use super::args::{Level, Log, LogFormat};
use crate::app::unix_now;
use crate::render::probe::Rfc3339;

/// The target (in the sense of `tracing`) of lines about single probes. They
/// have a level of their own, which may be lower than that of the program.
pub const PROBES: &str = "probes";

/// Sends log lines to standard error from now on. May be called once.
pub fn init(log: &Log) {
    let prober = prober_level(log);
    // What libraries do is nobody's business, but for what goes wrong there.
    let levels = Targets::new()
        .with_default(filter(log.level).min(tracing::Level::INFO))
        .with_target("probity", filter(log.level))
        .with_target(PROBES, filter(prober.unwrap_or(Level::Info)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Slog(log.format));
    let subscriber = tracing_subscriber::registry().with(levels).with(lines);
    // Only a second call can fail, and then the first one's settings stand.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if prober.is_none() {
        let found = log.prober.as_str();
        tracing::warn!(
            err = "expected debug, info, warn or error",
            found,
            "Log level of the prober is not known, it stays at info"
        );
    }
}

/// The level of single probes, if it is one.
pub fn prober_level(log: &Log) -> Option<Level> {
    Level::named(&log.prober)
}

const fn filter(level: Level) -> tracing::Level {
    match level {
        Level::Debug => tracing::Level::DEBUG,
        Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    }
}

struct Slog(LogFormat);

impl<S, N> FormatEvent<S, N> for Slog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = Rfc3339(fields.happened_at.unwrap_or_else(unix_now));
        let level = event.metadata().level();
        match self.0 {
            LogFormat::Logfmt => {
                write!(writer, "time={time:.6} level={level} msg=")?;
                quoted(&mut writer, &fields.message)?;
                for (name, Value { text, .. }) in &fields.rest {
                    write!(writer, " {name}=")?;
                    quoted(&mut writer, text)?;
                }
            }
            LogFormat::Json => {
                write!(
                    writer,
                    "{{\"time\":\"{time:.6}\",\"level\":\"{level}\",\"msg\":"
                )?;
                json(&mut writer, &fields.message)?;
                for (name, Value { text, bare }) in &fields.rest {
                    write!(writer, ",\"{name}\":")?;
                    if *bare {
                        writer.write_str(text)?;
                    } else {
                        json(&mut writer, text)?;
                    }
                }
                writer.write_char('}')?;
            }
        }
        writer.write_char('\n')
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    /// When it happened, in Unix seconds, of what is told later than that.
    happened_at: Option<f64>,
    rest: Vec<(&'static str, Value)>,
}

struct Value {
    text: String,
    /// A number or a truth value, which stands in JSON as it is.
    bare: bool,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned(), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_string(), true);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.to_string(), true);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "happened_at" {
            self.happened_at = Some(value);
            return;
        }
        self.put(field, value.to_string(), value.is_finite());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.to_string(), true);
    }
}

impl Fields {
    fn put(&mut self, field: &Field, text: String, bare: bool) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.rest.push((field.name(), Value { text, bare }));
        }
    }
}

/// A value of logfmt: quoted if it would not be one word otherwise.
fn quoted(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let is_word = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    if !text.is_empty() && text.chars().all(is_word) {
        writer.write_str(text)
    } else {
        write!(writer, "{text:?}")
    }
}

fn json(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    writer.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

/// What is logged, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has everything logged that this thread says in `what`, as logfmt.
#[cfg(test)]
pub(crate) fn logged(sink: &Sink, what: impl FnOnce()) {
    logged_as(LogFormat::Logfmt, sink, what);
}

#[cfg(test)]
fn logged_as(format: LogFormat, sink: &Sink, what: impl FnOnce()) {
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .event_format(Slog(format))
        .finish();
    tracing::subscriber::with_default(subscriber, what);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat) -> String {
        let sink = Sink::default();
        logged_as(format, &sink, || {
            tracing::info!(
                target_ = "http://a b",
                count = 3,
                plain = "word",
                "it \"works\""
            );
        });
        sink.text()
    }

    #[test]
    fn logfmt_quotes_what_is_not_a_word() {
        let line = line(LogFormat::Logfmt);
        let rest = line.split_once(" level=").unwrap().1;
        assert_eq!(
            rest,
            "INFO msg=\"it \\\"works\\\"\" target_=\"http://a b\" count=3 plain=word\n"
        );
    }

    #[test]
    fn json_lines_parse() {
        let value: serde_json::Value = serde_json::from_str(&line(LogFormat::Json)).unwrap();
        assert_eq!(value["msg"], "it \"works\"");
        assert_eq!(value["target_"], "http://a b");
        assert_eq!(value["count"], 3);
    }

    #[test]
    fn what_happened_earlier_has_the_time_of_then() {
        let sink = Sink::default();
        logged(&sink, || tracing::info!(happened_at = 1.5, "then"));
        let then = "time=1970-01-01T00:00:01.500000Z level=INFO msg=then\n";
        assert_eq!(sink.text(), then);
    }
}
