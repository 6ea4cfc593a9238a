//! Between the types of the world and those of the engine.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use probity_engine::fact::{Metric, MetricKind};
use probity_engine::guest::{
    Action, Close, Context, Description, Event, Fault, Finding, Sink, Verdict,
};
use probity_engine::tls::TlsInfo;

use crate::bindings::probity::check::types as wire;

/// Bytes of why a check cannot be loaded, or its configuration not be used.
const MAX_REFUSAL_BYTES: usize = 1024;

/// Cut off where it becomes long: it may be the guest's own, or name what is in it.
pub(crate) fn refusal(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_REFUSAL_BYTES));
    why
}

pub(crate) fn description(found: wire::Description) -> Description {
    Description {
        name: found.name,
        version: found.version,
        default_port: found.default_port,
        metrics: found.metrics.into_iter().map(metric).collect(),
        phases: found.phases,
        config_schema: found.config_schema,
    }
}

fn metric(found: wire::Metric) -> Arc<Metric> {
    Arc::new(Metric {
        name: found.name.into(),
        help: found.help.into(),
        kind: match found.kind {
            wire::MetricKind::Gauge => MetricKind::Gauge,
            wire::MetricKind::Counter => MetricKind::Counter,
        },
        labels: found.labels.into_iter().map(Into::into).collect(),
    })
}

pub(crate) fn context(context: &Context<'_>) -> wire::Context {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    wire::Context {
        target: wire::Target {
            host: context.host.into(),
            address: context.address.to_string(),
            port: context.port,
        },
        config: context.config.into(),
        timeout_ms: u32::try_from(context.timeout.as_millis()).unwrap_or(u32::MAX),
        unix_ms: unix.map_or(0, millis),
        seed: context.seed,
        tls: context.tls.map(tls),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn tls(info: &TlsInfo) -> wire::TlsInfo {
    wire::TlsInfo {
        version: info.version.into(),
        cipher: info.cipher.into(),
        alpn: info.alpn.as_deref().map(Into::into),
        not_after: info.chain.as_deref().map(|chain| chain.earliest_expiry),
    }
}

pub(crate) fn event(event: Event<'_>) -> wire::Event {
    match event {
        Event::Connected => wire::Event::Connected,
        Event::Data(data) => wire::Event::Data(data.into()),
        Event::Secured(info) => wire::Event::Secured(tls(info)),
        Event::Timer(id) => wire::Event::Timer(id),
        Event::Closed(close) => wire::Event::Closed(match close {
            Close::End => wire::Close::End,
            Close::Reset => wire::Close::Reset,
            Close::Lost => wire::Close::Lost,
        }),
    }
}

/// Passes on what a guest wants done.
///
/// # Errors
/// Those of the sink.
pub(crate) fn push(action: &wire::Action, sink: &mut Sink<'_>) -> Result<(), Fault> {
    sink.push(match action {
        wire::Action::Send(bytes) => Action::Send(bytes),
        wire::Action::StartTls => Action::StartTls,
        wire::Action::SetTimer(timer) => {
            Action::SetTimer(timer.id, Duration::from_millis(timer.after_ms.into()))
        }
        wire::Action::Mark(phase) => Action::Mark(phase),
        wire::Action::Sample(sample) => {
            let labels: Vec<&str> = sample.labels.iter().map(String::as_str).collect();
            return sink.push(Action::Sample {
                metric: &sample.metric,
                value: sample.value,
                labels: &labels,
            });
        }
        wire::Action::Log(line) => Action::Log(line),
        wire::Action::Done(outcome) => Action::Done(match outcome {
            wire::Outcome::Up => Verdict::Up,
            wire::Outcome::Degraded(it) => Verdict::Degraded(finding(it.reason), &it.detail),
            wire::Outcome::Down(it) => Verdict::Down(finding(it.reason), &it.detail),
            wire::Outcome::Unknown(why) => Verdict::Unknown(why),
        }),
    })
}

const fn finding(reason: wire::Reason) -> Finding {
    match reason {
        wire::Reason::Unexpected => Finding::Unexpected,
        wire::Reason::Malformed => Finding::Malformed,
        wire::Reason::Denied => Finding::Denied,
        wire::Reason::NotReady => Finding::NotReady,
        wire::Reason::ServerError => Finding::ServerError,
        wire::Reason::Closed => Finding::Closed,
        wire::Reason::TooMuch => Finding::TooMuch,
        wire::Reason::TooSlow => Finding::TooSlow,
    }
}
