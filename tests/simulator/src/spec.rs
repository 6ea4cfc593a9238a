//! Targets in a few words. These helpers panic on mistakes of the test that
//! calls them.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{Module, ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::threshold::{Config, Kind};
use probity_engine::{GroupId, Schedule, Spec};
use serde_json::Value;

/// A module, as its section of the file would be in JSON.
///
/// # Panics
/// If it is not valid.
#[track_caller]
pub fn module(section: Value) -> Module {
    let config: ModuleConfig = serde_json::from_value(section).expect("the module parses");
    config.compile(&NoFiles).expect("the module is valid")
}

/// When a target is probed, and how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of `Schedule` and `Config`"
)]
pub struct Plan {
    pub period: Duration,
    pub timeout: Duration,
    pub initial_delay: Duration,
    pub kind: Kind,
    pub success: u32,
    pub failure: u32,
}

impl Default for Plan {
    /// Every 10 s for 1 s, up after one success and down after three failures.
    fn default() -> Self {
        Self {
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            initial_delay: Duration::ZERO,
            kind: Kind::Plain,
            success: 1,
            failure: 3,
        }
    }
}

impl Plan {
    /// A target of a module.
    ///
    /// # Panics
    /// If the target or the plan is not valid.
    #[track_caller]
    pub fn spec(&self, module: &Module, target: &str) -> Arc<Spec> {
        let schedule = Schedule::new(self.period, self.timeout, self.initial_delay);
        let params = TargetParams::default();
        Arc::new(Spec {
            check: module.target(target, params).expect("the target is valid"),
            schedule: schedule.expect("the schedule is valid"),
            threshold: Config::new(self.kind, self.success, self.failure)
                .expect("the thresholds are valid"),
            group: GroupId(0),
        })
    }
}
