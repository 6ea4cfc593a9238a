//! Jobs: targets that are probed by one module on one schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Schedule, threshold};

use crate::discovery::FilePattern;
use crate::duration::JobDuration;
use crate::error::Mistake;
use crate::file::Modules;
use crate::groups::Group;
use crate::services;
use crate::suggest;
use crate::written::{
    Buckets, FileSdConfig, KubeThreshold, MOST_RESULTS, Seconds, Threshold, Written,
};

/// Which series a job's targets have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metrics {
    /// All that the module has.
    #[default]
    Full,
    /// Success, duration, up, results and the expiry of certificates.
    Minimal,
}

/// A valid job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub(crate) name: Arc<str>,
    pub(crate) module_name: String,
    pub(crate) module: Module,
    pub(crate) schedule: Schedule,
    pub(crate) threshold: threshold::Config,
    pub(crate) metrics: Metrics,
    pub(crate) classic_buckets: Option<Box<[f64]>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) files: Vec<FileSource>,
    /// Whether its targets may name ports as this machine does.
    pub(crate) has_services: bool,
}

/// One entry of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// Where its files are.
    pub patterns: Vec<FilePattern>,
    /// How often the files are read again even if nothing was noticed.
    pub refresh_interval: Duration,
}

impl Job {
    /// Time between two runs where a job does not say: that of Prometheus.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
    /// Time for one run where neither the job nor its module says, but never
    /// more than the interval: that of Prometheus.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How often files are read again where a job does not say.
    pub const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(300);
    /// Shortest `refresh_interval`.
    pub const SHORTEST_REFRESH_INTERVAL: Duration = Duration::from_secs(1);
    /// Buckets of `classic_buckets: true`, in seconds: Prometheus' defaults.
    pub const DEFAULT_BUCKETS: &[f64] = &[
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];
    /// Most buckets of a target.
    pub const MAX_BUCKETS: usize = 64;

    /// `job_name`, unique in its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the module.
    pub fn module_name(&self) -> &str {
        &self.module_name
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// When its targets are probed.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// How results turn into health.
    pub fn threshold(&self) -> threshold::Config {
        self.threshold
    }

    /// Which series its targets have.
    pub fn metrics(&self) -> Metrics {
        self.metrics
    }

    /// Upper bounds in seconds of the histogram that every target shows in
    /// the text formats; ascending, without infinity. `None`: no histogram.
    pub fn classic_buckets(&self) -> Option<&[f64]> {
        self.classic_buckets.as_deref()
    }

    /// The targets that stand in the file itself.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Where more targets come from.
    pub fn files(&self) -> &[FileSource] {
        &self.files
    }

    /// Checks what was written. Paths of mistakes are relative to the job.
    pub(crate) fn build(
        written: Written,
        modules: &Modules,
        has_services: bool,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        if written.job_name.is_empty() {
            mistakes.push(Mistake::new("job_name", "expected a name, found \"\""));
        }
        let module = modules.get(&written.module);
        if module.is_none() && !modules.was_refused(&written.module) {
            let names: Vec<&str> = modules.names().collect();
            mistakes.push(Mistake::new(
                "module",
                suggest::unknown("module", &written.module, &names),
            ));
        }
        if let Some(why) = module.and_then(|module| module.unsupported()) {
            let message = format!("the module {:?} cannot be used: {why}", written.module);
            mistakes.push(Mistake::new("module", message));
        }
        let module_timeout = module.and_then(|module| module.timeout());
        let module = module.and_then(|module| module.module());
        let schedule = keep(&mut mistakes, schedule(&written, module_timeout));
        let threshold = keep(&mut mistakes, thresholds(&written));
        let classic_buckets = keep(&mut mistakes, buckets(&written));
        let files = keep(&mut mistakes, sources(&written.file_sd_configs));
        for (index, group) in written.static_configs.iter().enumerate() {
            let mut found = group.check();
            if let Some(module) = module {
                found.extend(unprobeable(group, module, has_services));
            }
            let outer = format!("static_configs[{index}]");
            mistakes.extend(found.into_iter().map(|mistake| mistake.within(&outer)));
        }
        match (module, schedule, threshold, classic_buckets, files) {
            (Some(module), Some(schedule), Some(threshold), Some(classic_buckets), Some(files))
                if mistakes.is_empty() =>
            {
                Ok(Self {
                    name: written.job_name.as_str().into(),
                    module_name: written.module,
                    module: module.clone(),
                    schedule,
                    threshold,
                    metrics: written.metrics,
                    classic_buckets,
                    groups: written.static_configs,
                    files,
                    has_services,
                })
            }
            // Without mistakes of its own the job names a refused module.
            _ => Err(mistakes),
        }
    }
}

fn keep<T>(mistakes: &mut Vec<Mistake>, result: Result<T, Vec<Mistake>>) -> Option<T> {
    result.map_err(|found| mistakes.extend(found)).ok()
}

/// Targets that the module has no use for; paths are relative to the group.
fn unprobeable(group: &Group, module: &Module, has_services: bool) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (index, target) in group.targets.iter().enumerate() {
        // The group has told about these already.
        if target.trim().is_empty() {
            continue;
        }
        if let Err(error) = module.target(target, services::params(has_services)) {
            mistakes.push(Mistake::new(format!("targets[{index}]"), error.to_string()));
        }
    }
    mistakes
}

fn schedule(written: &Written, module_timeout: Option<Duration>) -> Result<Schedule, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut one_of = |own: (&'static str, Option<JobDuration>),
                      kube: (&'static str, Option<Seconds>)| {
        if own.1.is_some() && kube.1.is_some() {
            let message = format!("expected one of {} and {}, found both", own.0, kube.0);
            mistakes.push(Mistake::new(kube.0, message));
        }
        let kube_value = kube
            .1
            .filter(|seconds| seconds.0 > 0)
            .map(|seconds| Duration::from_secs(seconds.0.into()));
        let name = if own.1.is_some() { own.0 } else { kube.0 };
        (name, own.1.map(|duration| duration.0).or(kube_value))
    };
    let (interval_field, interval) = one_of(
        ("interval", written.interval),
        ("periodSeconds", written.period_seconds),
    );
    let (timeout_field, timeout) = one_of(
        ("timeout", written.timeout),
        ("timeoutSeconds", written.timeout_seconds),
    );
    let (delay_field, delay) = one_of(
        ("initial_delay", written.initial_delay),
        ("initialDelaySeconds", written.initial_delay_seconds),
    );
    let period = interval.unwrap_or(Job::DEFAULT_INTERVAL);
    if let Some(timeout) = timeout
        && timeout > period
    {
        let (timeout, period) = (JobDuration(timeout), JobDuration(period));
        let default = if interval.is_none() {
            " (the default)"
        } else {
            ""
        };
        let message = format!("expected at most the interval, {period}{default}, found {timeout}");
        mistakes.push(Mistake::new(timeout_field, message));
    }
    let timeout =
        timeout.unwrap_or_else(|| module_timeout.unwrap_or(Job::DEFAULT_TIMEOUT).min(period));
    match Schedule::new(period, timeout, delay.unwrap_or_default()) {
        Ok(schedule) if mistakes.is_empty() => return Ok(schedule),
        Ok(_) => {}
        Err(error) => {
            let (field, found) = match error.field {
                "interval" => (interval_field, period),
                "timeout" => (timeout_field, timeout),
                _ => (delay_field, delay.unwrap_or_default()),
            };
            let (least, most) = match error.field {
                "initial_delay" => (Duration::ZERO, Schedule::LONGEST),
                _ => (Schedule::SHORTEST, Schedule::LONGEST),
            };
            let message = format!(
                "expected a duration from {} to {}, found {}",
                JobDuration(least),
                JobDuration(most),
                JobDuration(found)
            );
            mistakes.push(Mistake::new(field, message));
        }
    }
    Err(mistakes)
}

/// As in the Kubernetes API, 0 stands for the default under the names that
/// come from there; under our own it is a mistake.
fn thresholds(written: &Written) -> Result<threshold::Config, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut one_of = |own: (&str, Option<Threshold>), kube: (&str, Option<KubeThreshold>)| {
        let (ours, theirs) = (own.1.map(|it| it.0), kube.1.map(|it| it.0));
        if ours.is_some() && theirs.is_some() {
            let message = format!("expected one of {} and {}, found both", own.0, kube.0);
            mistakes.push(Mistake::new(kube.0, message));
        }
        if ours == Some(0) {
            let message = format!("expected an integer from 1 to {MOST_RESULTS}, found 0");
            mistakes.push(Mistake::new(own.0, message));
        }
        ours.or(theirs).unwrap_or(0)
    };
    let success = one_of(
        ("success_threshold", written.success_threshold),
        ("successThreshold", written.success_threshold_kube),
    );
    let failure = one_of(
        ("failure_threshold", written.failure_threshold),
        ("failureThreshold", written.failure_threshold_kube),
    );
    match threshold::Config::new(threshold::Kind::Plain, success, failure) {
        Ok(config) if mistakes.is_empty() => return Ok(config),
        Ok(_) => {}
        Err(error) => mistakes.push(Mistake::new("success_threshold", error.to_string())),
    }
    Err(mistakes)
}

fn buckets(written: &Written) -> Result<Option<Box<[f64]>>, Vec<Mistake>> {
    let asked = !matches!(written.classic_buckets, Buckets::Default(false));
    if asked && written.metrics == Metrics::Minimal {
        let message = "expected one of classic_buckets and metrics: minimal, which leaves histograms out, found both: drop classic_buckets for few series, or metrics for histograms";
        return Err(vec![Mistake::new("classic_buckets", message)]);
    }
    let bounds = match &written.classic_buckets {
        Buckets::Default(false) => return Ok(None),
        Buckets::Default(true) => return Ok(Some(Job::DEFAULT_BUCKETS.into())),
        Buckets::Bounds(bounds) => bounds,
    };
    if bounds.is_empty() || bounds.len() > Job::MAX_BUCKETS {
        let message = format!(
            "expected 1 to {} bounds, found {}",
            Job::MAX_BUCKETS,
            bounds.len()
        );
        return Err(vec![Mistake::new("classic_buckets", message)]);
    }
    let mut last = 0.0;
    let mut mistakes = Vec::new();
    for (index, bound) in bounds.iter().enumerate() {
        if !bound.is_finite() || *bound <= last {
            let message = format!("expected a number of seconds above {last}, found {bound}");
            mistakes.push(Mistake::new(format!("classic_buckets[{index}]"), message));
        } else {
            last = *bound;
        }
    }
    if mistakes.is_empty() {
        Ok(Some(bounds.as_slice().into()))
    } else {
        Err(mistakes)
    }
}

fn sources(written: &[FileSdConfig]) -> Result<Vec<FileSource>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut sources = Vec::new();
    for (index, config) in written.iter().enumerate() {
        let outer = format!("file_sd_configs[{index}]");
        let mut patterns = Vec::new();
        if config.files.is_empty() {
            mistakes.push(Mistake::new("files", "expected at least one path").within(&outer));
        }
        for (index, file) in config.files.iter().enumerate() {
            match FilePattern::parse(file) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => {
                    mistakes.push(Mistake::new(format!("files[{index}]"), message).within(&outer));
                }
            }
        }
        let refresh_interval = config
            .refresh_interval
            .map_or(Job::DEFAULT_REFRESH_INTERVAL, |refresh| refresh.0);
        if refresh_interval < Job::SHORTEST_REFRESH_INTERVAL {
            let (least, found) = (
                JobDuration(Job::SHORTEST_REFRESH_INTERVAL),
                JobDuration(refresh_interval),
            );
            let message = format!("expected at least {least}, found {found}");
            mistakes.push(Mistake::new("refresh_interval", message).within(&outer));
        }
        sources.push(FileSource {
            patterns,
            refresh_interval,
        });
    }
    if mistakes.is_empty() {
        Ok(sources)
    } else {
        Err(mistakes)
    }
}

/// Names that occur more than once, each with its second and later places.
pub(crate) fn repeated<'n>(names: impl Iterator<Item = &'n str>) -> Vec<(usize, usize)> {
    let mut seen = BTreeMap::new();
    names
        .enumerate()
        .filter_map(|(index, name)| match seen.get(name) {
            Some(first) => Some((index, *first)),
            None => {
                seen.insert(name, index);
                None
            }
        })
        .collect()
}
