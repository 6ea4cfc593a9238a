//! How a check describes itself, in few words.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::probity::check::types::{Description, Metric, MetricKind};

impl Description {
    /// A check of this name (`[a-z][a-z0-9-]*`) and version.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            default_port: None,
            metrics: Vec::new(),
            phases: Vec::new(),
            config_schema: String::new(),
        }
    }

    /// The port of targets that are written without one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.default_port = Some(port);
        self
    }

    /// The phases that [`Out::mark`](crate::Out::mark) ends, in order.
    #[must_use]
    pub fn phases(mut self, phases: &[&str]) -> Self {
        self.phases.extend(phases.iter().map(|&phase| phase.into()));
        self
    }

    /// A number that may go up and down.
    #[must_use]
    pub fn gauge(self, name: &str, labels: &[&str], help: &str) -> Self {
        self.metric(MetricKind::Gauge, name, labels, help)
    }

    /// A number that the target counts; its name ends in `_total`.
    #[must_use]
    pub fn counter(self, name: &str, labels: &[&str], help: &str) -> Self {
        self.metric(MetricKind::Counter, name, labels, help)
    }

    /// A JSON Schema of the configuration, for people.
    #[must_use]
    pub fn schema(mut self, json: &str) -> Self {
        self.config_schema = json.into();
        self
    }

    fn metric(mut self, kind: MetricKind, name: &str, labels: &[&str], help: &str) -> Self {
        self.metrics.push(Metric {
            name: name.into(),
            help: help.into(),
            kind,
            labels: labels.iter().map(|&label| label.into()).collect(),
        });
        self
    }
}
