//! What probity holds a check to.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::{Action, Description, Event, Metric, MetricKind, Sample};

const MAX_ACTIONS: usize = 32;
const MAX_TIMERS: usize = 8;
const MAX_SENT_BYTES: usize = 64 * 1024;
const MAX_SAMPLES: usize = 16;
const MAX_METRICS: usize = 16;
const MAX_PHASES: usize = 8;
const MAX_LABELS: usize = 4;
const MAX_LABEL_BYTES: usize = 128;
const MAX_HELP_BYTES: usize = 256;
const MAX_VERSION_BYTES: usize = 64;
const MAX_SCHEMA_BYTES: usize = 32 * 1024;

/// Labels that Prometheus or probity gives.
const RESERVED: &[&str] = &[
    "instance", "job", "le", "module", "quantile", "reason", "result",
];
/// Ends of names that mean something else in Prometheus.
const ENDS: &[&str] = &["_bucket", "_count", "_sum", "_created", "_info"];

/// The state of one run that rules look at.
#[derive(Debug)]
pub(crate) struct Rules {
    description: Description,
    securing: Securing,
    sent: usize,
    samples: usize,
    timers: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Securing {
    Plain,
    Handshake,
    Secured,
}

impl Rules {
    /// Rules of a check that says this about itself.
    pub(crate) fn of(description: Description) -> Result<Self, String> {
        let Description {
            name,
            version,
            metrics,
            phases,
            config_schema,
            ..
        } = &description;
        if !is_name(name, '-', 32) {
            return Err(format!(
                "`{name}` is no name of a check: [a-z][a-z0-9-]*, 32 bytes"
            ));
        }
        let is_graphic = version.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_graphic || version.len() > MAX_VERSION_BYTES {
            return Err(format!(
                "`{version}` is no version: visible ASCII, {MAX_VERSION_BYTES} bytes"
            ));
        }
        if config_schema.len() > MAX_SCHEMA_BYTES {
            return Err(format!("a schema of more than {MAX_SCHEMA_BYTES} bytes"));
        }
        if metrics.len() > MAX_METRICS || phases.len() > MAX_PHASES {
            return Err(format!(
                "more than {MAX_METRICS} metrics or {MAX_PHASES} phases"
            ));
        }
        metrics.iter().try_for_each(metric)?;
        if let Some(phase) = phases.iter().find(|phase| !is_name(phase, '_', 32)) {
            return Err(format!(
                "`{phase}` is no name of a phase: [a-z][a-z0-9_]*, 32 bytes"
            ));
        }
        Ok(Self {
            description,
            securing: Securing::Plain,
            sent: 0,
            samples: 0,
            timers: BTreeSet::new(),
        })
    }

    pub(crate) const fn is_securing(&self) -> bool {
        matches!(self.securing, Securing::Handshake)
    }

    /// Looks at what a check did with one event.
    pub(crate) fn check(&mut self, event: &Event, actions: &[Action]) -> Result<(), String> {
        match event {
            Event::Secured(_) if self.securing != Securing::Handshake => {
                return Err("the test secures what did not ask for it".into());
            }
            Event::Secured(_) => self.securing = Securing::Secured,
            Event::Timer(id) => {
                self.timers.remove(id);
            }
            _ => {}
        }
        if actions.len() > MAX_ACTIONS {
            return Err(format!("more than {MAX_ACTIONS} actions"));
        }
        actions.iter().try_for_each(|action| self.action(action))
    }

    fn action(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Send(_) if self.is_securing() => {
                return Err("bytes to send during a handshake".into());
            }
            Action::Send(bytes) => {
                self.sent += bytes.len();
                if self.sent > MAX_SENT_BYTES {
                    return Err(format!("more than {MAX_SENT_BYTES} bytes to send"));
                }
            }
            Action::StartTls if self.securing != Securing::Plain => {
                return Err("a second handshake".into());
            }
            Action::StartTls => self.securing = Securing::Handshake,
            Action::SetTimer(timer) => {
                self.timers.insert(timer.id);
                if self.timers.len() > MAX_TIMERS {
                    return Err(format!("more than {MAX_TIMERS} timers at once"));
                }
            }
            Action::Mark(phase) if !self.description.phases.contains(phase) => {
                return Err(format!("the phase `{phase}` is not in the description"));
            }
            Action::Sample(sample) => self.sample(sample)?,
            Action::Mark(_) | Action::Log(_) | Action::Done(_) => {}
        }
        Ok(())
    }

    fn sample(&mut self, sample: &Sample) -> Result<(), String> {
        let Sample { metric, labels, .. } = sample;
        let known = self
            .description
            .metrics
            .iter()
            .find(|it| it.name == *metric);
        let Some(known) = known else {
            return Err(format!("the metric `{metric}` is not in the description"));
        };
        if known.labels.len() != labels.len() {
            let expected = known.labels.len();
            return Err(format!(
                "`{metric}` has {expected} labels, found {labels:?}"
            ));
        }
        if labels.iter().any(|label| label.len() > MAX_LABEL_BYTES) {
            return Err(format!(
                "a label of `{metric}` has more than {MAX_LABEL_BYTES} bytes"
            ));
        }
        self.samples += 1;
        if self.samples > MAX_SAMPLES {
            return Err(format!("more than {MAX_SAMPLES} samples"));
        }
        Ok(())
    }
}

fn metric(metric: &Metric) -> Result<(), String> {
    let Metric {
        name,
        help,
        kind,
        labels,
    } = metric;
    if !is_name(name, '_', 64) {
        return Err(format!(
            "`{name}` is no name of a metric: [a-z][a-z0-9_]*, 64 bytes"
        ));
    }
    if (*kind == MetricKind::Counter) != name.ends_with("_total") {
        return Err(format!(
            "`{name}`: counters, and only they, end in `_total`"
        ));
    }
    if let Some(end) = ENDS.iter().find(|end| name.ends_with(**end)) {
        return Err(format!("`{name}`: {end} at the end means something else"));
    }
    if help.is_empty() || help.len() > MAX_HELP_BYTES {
        return Err(format!(
            "`{name}`: expected a HELP text of at most {MAX_HELP_BYTES} bytes"
        ));
    }
    if labels.len() > MAX_LABELS || !labels.iter().all(|label| is_name(label, '_', 32)) {
        return Err(format!(
            "`{name}`: expected at most {MAX_LABELS} labels, [a-z][a-z0-9_]*"
        ));
    }
    if let Some(label) = labels
        .iter()
        .find(|label| RESERVED.contains(&label.as_str()))
    {
        return Err(format!("`{name}`: the label `{label}` is taken"));
    }
    Ok(())
}

fn is_name(name: &str, joint: char, longest: usize) -> bool {
    let inner = |byte: char| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == joint;
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(inner)
        && name.len() <= longest
}
