//! Labels that a target's series carry.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Mistake, join, segment};

/// Labels sorted by name, cheap to clone. What the targets of a group have in common is
/// one list for all of them, beside which each has its `instance` alone.
#[derive(Clone, Default)]
pub struct Labels {
    shared: Arc<[(Arc<str>, Arc<str>)]>,
    /// Its value, unless there is none or it is in the list.
    instance: Option<Arc<str>>,
}

const INSTANCE: &str = "instance";

impl Labels {
    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        fn pair((name, value): &(Arc<str>, Arc<str>)) -> (&str, &str) {
            (name, value)
        }
        let at = self.shared.partition_point(|(name, _)| **name < *INSTANCE);
        let (before, after) = self.shared.split_at(at);
        let own = self.instance.as_deref().map(|value| (INSTANCE, value));
        before
            .iter()
            .map(pair)
            .chain(own)
            .chain(after.iter().map(pair))
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.iter().find(|(label, _)| *label == name)?;
        Some(value)
    }

    /// These, of a group, and `instance`, which is the target itself unless the group
    /// says otherwise.
    pub(crate) fn of_target(&self, target: &Arc<str>) -> Self {
        let is_said = self.get(INSTANCE).is_some();
        Self {
            shared: Arc::clone(&self.shared),
            instance: (!is_said).then(|| Arc::clone(target)),
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    /// Of several labels with one name the last is taken.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let sorted: BTreeMap<&str, &str> = pairs.into_iter().collect();
        let pairs = sorted.into_iter();
        Self {
            shared: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            instance: None,
        }
    }
}

/// Where `instance` is kept makes no difference.
impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|pair| pair.hash(state));
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

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
pub(crate) fn of_group(labels: &BTreeMap<String, String>, job: &Arc<str>) -> Labels {
    let mut shared: BTreeMap<Arc<str>, Arc<str>> = labels
        .iter()
        .filter(|(name, value)| !value.is_empty() && !is_discovery(name))
        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
        .collect();
    shared
        .entry("job".into())
        .or_insert_with(|| Arc::clone(job));
    Labels {
        shared: shared.into_iter().collect(),
        instance: None,
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    #[test]
    fn the_instance_stands_in_its_place_wherever_it_is_kept() {
        let of_group = |pairs: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            of_group(&pairs.iter().map(own).collect(), &"j".into())
        };
        let group = of_group(&[("zone", "7"), ("a", "b"), ("empty", ""), ("__x", "y")]);
        let labels = group.of_target(&"t:1".into());
        let pairs = [("a", "b"), ("instance", "t:1"), ("job", "j"), ("zone", "7")];
        assert!(labels.iter().eq(pairs), "{labels:?}");
        let written: Labels = pairs.into_iter().rev().collect();
        assert_eq!(labels, written);
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(&labels), hasher.hash_one(&written));
        assert_ne!(labels, group.of_target(&"t:2".into()));
        assert_ne!(labels, group);
        let said = of_group(&[("instance", "chosen")]).of_target(&"t:1".into());
        assert!(said.iter().eq([("instance", "chosen"), ("job", "j")]));
        assert_eq!((said.get("job"), said.get("zone")), (Some("j"), None));
    }
}
