//! Figures, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// There to explain another.
    None,
}

/// One line.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    bar: Bar,
    holds: Option<bool>,
}

/// All lines of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
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
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        bar: Bar,
    ) {
        let holds = match bar {
            Bar::AtMost(most) => Some(value <= most),
            Bar::AtLeast(least) => Some(value >= least),
            Bar::None => None,
        };
        let name = name.into();
        eprintln!("{name}: {} {unit}", number(value));
        self.figures.push(Figure {
            name,
            value,
            unit,
            bar,
            holds,
        });
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures are plain data")
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{}\n\n| figure | value | bar | |\n|---|---|---|---|\n",
            self.machine
        );
        for figure in &self.figures {
            let bar = match figure.bar {
                Bar::AtMost(most) => format!("<= {}", number(most)),
                Bar::AtLeast(least) => format!(">= {}", number(least)),
                Bar::None => String::new(),
            };
            let holds = match figure.holds {
                Some(true) => "holds",
                Some(false) => "**does not hold**",
                None => "",
            };
            let (name, value, unit) = (&figure.name, number(figure.value), figure.unit);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {value} {unit} | {bar} | {holds} |");
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
