//! The `limits` of a module.

use alloc::format;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::guest::{Class, Limits};

/// The `limits` of a module: what is left out is that of its class ([`Class::usual`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigLimits {
    /// See [`Limits::memory`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u32>,
    /// See [`Limits::fuel_per_event`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_event: Option<u64>,
    /// See [`Limits::fuel_per_run`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_run: Option<u64>,
    /// See [`Limits::sent`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u32>,
    /// See [`Limits::received`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u32>,
}

impl ConfigLimits {
    pub(super) fn limits(&self, class: Class) -> Result<Limits, ConfigError> {
        let (least, most) = (Limits::LEAST, class.most());
        let small = |name, given: Option<u32>, usual, least, most| {
            let given = given.map(u64::from);
            let number = within(name, given, u64::from(least), u64::from(most))?;
            Ok(number.map_or(usual, |number| number as u32))
        };
        let usual = class.usual();
        let per_event = within(
            "fuel_per_event",
            self.fuel_per_event,
            least.fuel_per_event,
            most.fuel_per_event,
        )?;
        let per_run = within(
            "fuel_per_run",
            self.fuel_per_run,
            least.fuel_per_run,
            most.fuel_per_run,
        )?;
        Ok(Limits {
            memory: small(
                "memory_bytes",
                self.memory_bytes,
                usual.memory,
                least.memory,
                most.memory,
            )?,
            fuel_per_event: per_event.unwrap_or(usual.fuel_per_event),
            fuel_per_run: per_run.unwrap_or(usual.fuel_per_run),
            sent: small(
                "sent_bytes",
                self.sent_bytes,
                usual.sent,
                least.sent,
                most.sent,
            )?,
            received: small(
                "received_bytes",
                self.received_bytes,
                usual.received,
                least.received,
                most.received,
            )?,
        })
    }
}

fn within(
    name: &str,
    given: Option<u64>,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ConfigError> {
    match given {
        Some(number) if !(least..=most).contains(&number) => {
            let message = format!("expected {least} to {most}, found {number}");
            Err(ConfigError::new(name, message))
        }
        given => Ok(given),
    }
}
