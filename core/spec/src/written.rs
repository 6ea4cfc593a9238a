//! Jobs as they stand in the file, before anything is known to be valid.
//!
//! Durations and thresholds have two names each: ours, beside those of
//! Prometheus, and that of the Kubernetes probe API in whole seconds.

use std::fmt;

use probity_engine::Schedule;
use serde::de::{Error as _, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::duration::JobDuration;
use crate::groups::Group;
use crate::job::Metrics;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping that describes a job")]
pub(crate) struct Written {
    pub(crate) job_name: String,
    pub(crate) module: String,
    #[serde(default)]
    pub(crate) interval: Option<JobDuration>,
    #[serde(default)]
    pub(crate) timeout: Option<JobDuration>,
    #[serde(default)]
    pub(crate) initial_delay: Option<JobDuration>,
    #[serde(default)]
    pub(crate) success_threshold: Option<Threshold>,
    #[serde(default)]
    pub(crate) failure_threshold: Option<Threshold>,
    #[serde(default)]
    pub(crate) static_configs: Vec<Group>,
    #[serde(default)]
    pub(crate) file_sd_configs: Vec<FileSdConfig>,
    #[serde(default)]
    pub(crate) metrics: Metrics,
    #[serde(default)]
    pub(crate) classic_buckets: Buckets,
    #[serde(default, rename = "periodSeconds")]
    pub(crate) period_seconds: Option<Seconds>,
    #[serde(default, rename = "timeoutSeconds")]
    pub(crate) timeout_seconds: Option<Seconds>,
    #[serde(default, rename = "initialDelaySeconds")]
    pub(crate) initial_delay_seconds: Option<Seconds>,
    #[serde(default, rename = "successThreshold")]
    pub(crate) success_threshold_kube: Option<KubeThreshold>,
    #[serde(default, rename = "failureThreshold")]
    pub(crate) failure_threshold_kube: Option<KubeThreshold>,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping of files and refresh_interval"
)]
pub(crate) struct FileSdConfig {
    #[serde(default)]
    pub(crate) files: Vec<String>,
    #[serde(default)]
    pub(crate) refresh_interval: Option<JobDuration>,
}

/// Whole seconds of the Kubernetes probe API, of which 0 stands for the default;
/// at most what a schedule can have.
pub(crate) type Seconds = Integer<0, { Schedule::LONGEST.as_secs() }>;
/// Results in a row, under our own name.
pub(crate) type Threshold = Integer<1, MOST_RESULTS>;
/// The same in the Kubernetes probe API, where 0 stands for the default.
pub(crate) type KubeThreshold = Integer<0, MOST_RESULTS>;

/// Its thresholds are `int32`.
pub(crate) const MOST_RESULTS: u64 = i32::MAX as u64;

/// An integer that a mistake names the range of. `MOST` is within 32 bits.
///
/// `LEAST` is only named: a value below it gets through, and is refused in
/// [`crate::job`] together with all other mistakes of the job, of which a
/// refusal here would be the only one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integer<const LEAST: u64, const MOST: u64>(pub(crate) u32);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Integer<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u32(IntegerVisitor)
    }
}

struct IntegerVisitor<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> Visitor<'_> for IntegerVisitor<LEAST, MOST> {
    type Value = Integer<LEAST, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {LEAST} to {MOST}")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        let out = || E::invalid_value(Unexpected::Unsigned(value), &self);
        if value > MOST {
            return Err(out());
        }
        u32::try_from(value).map(Integer).map_err(|_| out())
    }
}

/// `classic_buckets`: bounds in seconds, or whether to have the usual ones.
#[derive(Debug)]
pub(crate) enum Buckets {
    Default(bool),
    Bounds(Vec<f64>),
}

impl Default for Buckets {
    fn default() -> Self {
        Self::Default(false)
    }
}

impl<'de> Deserialize<'de> for Buckets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BucketsVisitor)
    }
}

struct BucketsVisitor;

impl<'de> Visitor<'de> for BucketsVisitor {
    type Value = Buckets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of seconds, or true")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Buckets, E> {
        Ok(Buckets::Default(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Buckets, A::Error> {
        let mut bounds = Vec::new();
        while let Some(bound) = list.next_element::<f64>()? {
            if bound.is_nan() {
                return Err(A::Error::custom("expected numbers of seconds, found .nan"));
            }
            bounds.push(bound);
        }
        Ok(Buckets::Bounds(bounds))
    }
}
