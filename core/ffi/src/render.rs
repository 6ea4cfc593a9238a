//! The fleet as Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ::probity_driver::{Fleet, Row};
use ::probity_engine::Outcome;

/// Families by name: HELP, TYPE, samples.
#[derive(Default)]
struct Families(BTreeMap<&'static str, (&'static str, &'static str, String)>);

impl Families {
    fn sample(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &str,
        extra: Option<(&str, &str)>,
        value: f64,
    ) {
        let (_, _, samples) = self.0.entry(name).or_insert((help, kind, String::new()));
        let comma = if labels.is_empty() || extra.is_none() {
            ""
        } else {
            ","
        };
        let extra = extra.map_or(String::new(), |(name, value)| format!("{name}=\"{value}\""));
        // Writing to a string cannot fail.
        let _ = match value {
            f64::INFINITY => writeln!(samples, "{name}{{{labels}{comma}{extra}}} +Inf"),
            f64::NEG_INFINITY => writeln!(samples, "{name}{{{labels}{comma}{extra}}} -Inf"),
            value => writeln!(samples, "{name}{{{labels}{comma}{extra}}} {value}"),
        };
    }

    fn row(&mut self, row: &Row, labels: &str) {
        for (outcome, count) in Outcome::NAMES.into_iter().zip(row.results()) {
            self.sample(
                "probity_results_total",
                "Results of the target's runs",
                "counter",
                labels,
                Some(("result", outcome)),
                count as f64,
            );
        }
        if let Some(up) = row.up {
            let help = "Health of the target after thresholds; absent while it is unknown";
            let up = u8::from(up).into();
            self.sample("probity_target_up", help, "gauge", labels, None, up);
        }
        // What nobody has seen is not shown.
        let Some(last) = row.last() else { return };
        if matches!(last.outcome, Outcome::Unknown(_)) {
            return;
        }
        let success = u8::from(last.outcome.is_success()).into();
        let help = "Displays whether or not the probe was a success";
        self.sample("probe_success", help, "gauge", labels, None, success);
        let help = "Returns how long the probe took to complete in seconds";
        let took = last.total.as_secs_f64();
        self.sample("probe_duration_seconds", help, "gauge", labels, None, took);
        for fact in row.spec.check.facts() {
            if let Some(value) = fact.read(&last.facts, &last.phases) {
                self.sample(fact.name, fact.help, "gauge", labels, fact.label, value);
            }
        }
    }
}

/// Every row, with the labels of its id. One that has none was removed meanwhile.
pub(crate) fn text<'l>(fleet: &Fleet, labels: impl Fn(u64) -> Option<&'l str>) -> String {
    let mut families = Families::default();
    for row in &fleet.rows {
        if let Some(labels) = labels(row.id.0) {
            families.row(row, labels);
        }
    }
    let mut text = String::new();
    for (name, (help, kind, samples)) in &families.0 {
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}"
        );
    }
    text
}
