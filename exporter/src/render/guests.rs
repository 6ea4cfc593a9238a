//! Checks in Wasm on `/metrics`: what each module's check takes, and the room that all
//! of them have.

use std::fmt;

use probity_engine::guest::{FaultKind, Figures, Plugin};
use prometheus_client::metrics::MetricType;

use super::own::Out;
use crate::guests::Room;

/// The checks of the configuration that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Guests {
    /// What they share.
    pub room: Room,
    /// In the order of the modules' names.
    pub modules: Vec<Guest>,
}

/// The check of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    module: String,
    version: String,
    sha256: String,
    figures: Figures,
}

impl Guest {
    /// Reads the figures of now.
    pub fn new(module: &str, plugin: &dyn Plugin) -> Self {
        let digest = plugin.digest().iter();
        Self {
            module: module.into(),
            version: plugin.description().version.clone(),
            sha256: digest.map(|byte| format!("{byte:02x}")).collect(),
            figures: plugin.figures(),
        }
    }
}

impl Guests {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        out.gauge(
            "probity_wasm_instances_max",
            "Instances of checks in Wasm that there is room for, of all modules together, scripts aside",
            f64::from(self.room.most),
        )?;
        out.gauge(
            "probity_wasm_script_instances_max",
            "The same of scripts; 0 if no module has one",
            f64::from(self.room.most_scripts),
        )?;
        out.counter(
            "probity_wasm_instances_refused",
            "How often there was no room for another instance; the run waits and asks again",
            self.room.full,
        )?;
        let modules = || {
            let modules = self.modules.iter();
            modules.map(|it| ([("module", it.module.as_str())], it))
        };
        out.family(
            "probity_wasm_module_info",
            "The check in Wasm that a module runs: its own version, and the digest of its file",
            MetricType::Gauge,
            self.modules.iter().map(|it| {
                let labels = [
                    ("module", it.module.as_str()),
                    ("version", &it.version),
                    ("sha256", &it.sha256),
                ];
                (labels, 1.0)
            }),
        )?;
        out.family(
            "probity_wasm_instances",
            "Instances of the module's check, those that wait for their next run included",
            MetricType::Gauge,
            modules().map(|(labels, it)| (labels, f64::from(it.figures.instances))),
        )?;
        out.family(
            "probity_wasm_fuel",
            "Fuel that the module's check used up since it was loaded, about one for an instruction",
            MetricType::Counter,
            modules().map(|(labels, it)| (labels, it.figures.fuel as f64)),
        )?;
        out.family(
            "probity_wasm_faults",
            "How often the module's check broke since it was loaded, by the reason of the run",
            MetricType::Counter,
            self.modules.iter().flat_map(faults),
        )?;
        out.histograms(
            "probity_wasm_callback_seconds",
            "How long each call of the module's check took",
            modules().map(|(labels, it)| (labels, &it.figures.calls)),
        )
    }
}

/// No room is no fault of the check.
fn faults(guest: &Guest) -> impl Iterator<Item = ([(&str, &str); 2], f64)> {
    let counts = FaultKind::ALL.into_iter().zip(guest.figures.faults);
    let faults = counts.filter(|(kind, _)| *kind != FaultKind::Capacity);
    faults.map(|(kind, count)| {
        let labels = [
            ("module", guest.module.as_str()),
            ("reason", kind.reason().name()),
        ];
        (labels, count as f64)
    })
}
