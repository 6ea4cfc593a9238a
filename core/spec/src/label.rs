//! Labels that a target's series carry.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Mistake, join, segment};

/// Labels sorted by name, cheap to clone: names and values that targets have
/// in common are shared by them.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// Names that series of targets use beside the target's own labels. A target
/// that had one of them would yield series with the same label twice, for
/// which Prometheus refuses the whole scrape.
pub const TAKEN_LABELS: &[&str] = &[
    "cipher",
    "fingerprint_sha256",
    "issuer",
    "le",
    "phase",
    "quantile",
    "reason",
    "result",
    "serialnumber",
    "subject",
    "subjectalternative",
    "version",
];

/// Longest name and value in bytes. Prometheus has no limit by itself; ours
/// keeps a slip (a whole file as a value) from being copied into every series.
const MAX_BYTES: usize = 1024;

/// Whether a label is for whoever discovers targets (`__meta_*`, `__scheme__`)
/// and not for series: Prometheus drops those before it stores anything. Files
/// that are shared with it carry them, so they are legal and without effect.
fn is_discovery(name: &str) -> bool {
    name.starts_with("__")
}

/// Checks the labels of a group; paths begin with `labels`.
pub(crate) fn check(labels: &BTreeMap<String, String>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (name, value) in labels {
        let checked = check_name(name).and_then(|()| match is_discovery(name) {
            true => Ok(()),
            false => check_value(value),
        });
        if let Err(message) = checked {
            mistakes.push(Mistake::new(join("labels", &segment(name)), message));
        }
    }
    mistakes
}

fn check_name(name: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let valid = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
    if !valid {
        return Err(
            "expected a label name of letters, digits and _, not beginning with a digit".into(),
        );
    }
    if TAKEN_LABELS.contains(&name) {
        return Err("the label is used by the series themselves, choose another name".into());
    }
    if name.len() > MAX_BYTES {
        return Err(format!(
            "expected a label name of at most {MAX_BYTES} bytes, found {}",
            name.len()
        ));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.len() > MAX_BYTES {
        return Err(format!(
            "expected a label value of at most {MAX_BYTES} bytes, found {}",
            value.len()
        ));
    }
    Ok(())
}

/// Labels of a group without those of discovery and without the empty ones,
/// which are labels that a series does not have, and with the job's name unless
/// the group says otherwise.
pub(crate) fn of_group(
    labels: &BTreeMap<String, String>,
    job: &Arc<str>,
) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut shared: BTreeMap<Arc<str>, Arc<str>> = labels
        .iter()
        .filter(|(name, value)| !value.is_empty() && !is_discovery(name))
        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
        .collect();
    shared
        .entry("job".into())
        .or_insert_with(|| Arc::clone(job));
    shared
}

/// Labels of one target of a group: `instance` is the target itself unless
/// the group says otherwise.
pub(crate) fn of_target(
    group: &BTreeMap<Arc<str>, Arc<str>>,
    instance: &Arc<str>,
    target: &Arc<str>,
) -> Labels {
    if group.contains_key(instance) {
        return group
            .iter()
            .map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
            .collect();
    }
    let mut labels: Vec<_> = group
        .iter()
        .map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
        .collect();
    let at = labels.partition_point(|(name, _)| name < instance);
    labels.insert(at, (Arc::clone(instance), Arc::clone(target)));
    labels.into()
}
