//! Figures, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::cpu::Machine;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// There to explain another.
    None,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
    bar: Bar,
    holds: Option<bool>,
}

/// All lines of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    machine: String,
    /// What is to be known of the figures, and why some are not there.
    notes: Vec<String>,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model
            .unwrap_or_default()
            .trim_start_matches(['\t', ' ', ':']);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            machine: format!("{cores} cores, {model}, Linux {}", kernel.trim()),
            notes: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// A figure that was measured: one that was not has no line.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        bar: Bar,
    ) {
        let name = name.into();
        if !value.is_finite() {
            self.note(format!("{name}: too little was seen in the time"));
            return;
        }
        let holds = match bar {
            Bar::AtMost(most) => Some(value <= most),
            Bar::AtLeast(least) => Some(value >= least),
            Bar::None => None,
        };
        eprintln!("{name}: {} {unit}", number(value));
        self.figures.push(Figure {
            name,
            value,
            unit: unit.to_owned(),
            bar,
            holds,
        });
    }

    /// What another process of ours has measured, which has said it on standard error.
    ///
    /// # Errors
    /// If that is no report.
    pub(crate) fn take(&mut self, json: &[u8]) -> Result<(), String> {
        let other: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        self.figures.extend(other.figures);
        self.notes.extend(other.notes);
        Ok(())
    }

    pub(crate) fn note(&mut self, sentence: String) {
        eprintln!("{sentence}");
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// How quiet the machine was since then.
    pub(crate) fn quiet(&mut self, since: &Machine) {
        let (others, stolen) = since.others();
        self.note(format!(
            "meanwhile others used {} of a core, and the host kept {} of one to itself",
            number(others),
            number(stolen)
        ));
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures are plain data")
    }

    /// What there is to explain, and after it what must hold.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}\n\n", self.machine);
        // Writing to a string cannot fail.
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text.push_str("\n| figure | value |\n|---|---|\n");
        for figure in self.figures.iter().filter(|figure| figure.holds.is_none()) {
            let (name, value, unit) = (&figure.name, number(figure.value), &figure.unit);
            let _ = writeln!(text, "| {name} | {value} {unit} |");
        }
        text.push_str("\n| must hold | bar | value | |\n|---|---|---|---|\n");
        for figure in &self.figures {
            let (bar, holds) = match (figure.bar, figure.holds) {
                (Bar::AtMost(most), Some(holds)) => (format!("<= {}", number(most)), holds),
                (Bar::AtLeast(least), Some(holds)) => (format!(">= {}", number(least)), holds),
                _ => continue,
            };
            let holds = if holds { "holds" } else { "**does not hold**" };
            let (name, value, unit) = (&figure.name, number(figure.value), &figure.unit);
            let _ = writeln!(text, "| {name} | {bar} | {value} {unit} | {holds} |");
        }
        text
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_has_no_line() {
        let mut report = Report::new();
        report.add("kept", 1.5, "us", Bar::AtMost(2.0));
        report.add("missed", 3.0, "us", Bar::AtMost(2.0));
        report.add("empty", median(Vec::new()), "us", Bar::AtMost(2.0));
        report.add("explains", 7.0, "", Bar::None);
        let table = report.table();
        assert!(
            table.contains("| kept | <= 2.00 | 1.50 us | holds |"),
            "{table}"
        );
        assert!(
            table.contains("| missed | <= 2.00 | 3.00 us | **does not hold** |"),
            "{table}"
        );
        assert!(table.contains("| explains | 7.00  |"), "{table}");
        assert!(!table.contains("| empty"), "{table}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["figures"][1]["holds"], false);
        assert_eq!(json["figures"][1]["bar"]["at_most"], 2.0);
        assert_eq!(json["figures"].as_array().unwrap().len(), 3);
    }
}
