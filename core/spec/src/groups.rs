//! Target groups: the content of `static_configs` and of file_sd's files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::de::from_node;
use crate::error::{Errors, Mistake, Position, excerpt};
use crate::label;
use crate::node::Value;
use crate::yaml;

/// Targets with the labels that they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of targets and labels")]
pub struct Group {
    /// Targets as their module wants them: `host:port`, a URL. Whoever probes them has
    /// the same text.
    #[serde(default, with = "shared")]
    pub targets: Box<[Arc<str>]>,
    /// Labels of all of them. An empty value is a label that is not there; a
    /// name that begins with `__` is Prometheus' and has no effect.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A list of texts that are shared. serde has it too, but only as a feature for all
/// that is compiled with it.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(list: &[Arc<str>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|text| &**text))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Box<[Arc<str>]>, D::Error> {
        let list = Vec::<String>::deserialize(from)?;
        Ok(list.into_iter().map(Arc::from).collect())
    }
}

/// Longest target in bytes.
const MAX_TARGET_BYTES: usize = 8 << 10;

impl Group {
    /// What can be said without a module; paths are relative to the group.
    pub(crate) fn check(&self) -> Vec<Mistake> {
        let mut mistakes = label::check(&self.labels);
        for (index, target) in self.targets.iter().enumerate() {
            let message = if target.trim().is_empty() {
                format!("expected a target, found {target:?}")
            } else if target.len() > MAX_TARGET_BYTES || target.contains(char::is_control) {
                let found = excerpt(target);
                format!(
                    "expected at most {MAX_TARGET_BYTES} bytes without control characters, found {found}"
                )
            } else {
                continue;
            };
            mistakes.push(Mistake::new(format!("targets[{index}]"), message));
        }
        mistakes
    }
}

/// The two formats of file_sd, by the extension of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`, `.JSON`: strict, with nothing of YAML in it.
    Json,
    /// `.yml`, `.yaml` and the same in capitals.
    Yaml,
}

impl Format {
    /// The format of a file, or `None` if file_sd does not read such files.
    pub fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        match extension {
            "json" | "JSON" => Some(Self::Json),
            "yml" | "yaml" | "YML" | "YAML" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Reads a list of groups, as Prometheus' file_sd does: unknown keys and null
/// groups are errors, an empty YAML file is not (it has no targets).
///
/// # Errors
/// Every mistake in the file called `name`, with its place; in JSON without
/// line and column if it is not one of syntax or type.
pub fn parse_groups(name: &str, text: &str, format: Format) -> Result<Vec<Group>, Errors> {
    let groups = match format {
        Format::Json => json(text).map_err(|mistake| vec![mistake]),
        Format::Yaml => from_yaml(text),
    };
    let groups = groups.map_err(|mistakes| Errors::new(name, mistakes))?;
    let mistakes: Vec<Mistake> = (0..)
        .zip(&groups)
        .flat_map(|(index, group)| {
            let outer = format!("[{index}]");
            group
                .check()
                .into_iter()
                .map(move |mistake| mistake.within(&outer))
        })
        .collect();
    if mistakes.is_empty() {
        Ok(groups)
    } else {
        Err(Errors::new(name, place(text, mistakes)))
    }
}

/// Adds places to mistakes that only have a path. Nearly all JSON is YAML,
/// and what is not only goes without a place.
fn place(text: &str, mistakes: Vec<Mistake>) -> Vec<Mistake> {
    match yaml::parse(text).0 {
        Some(root) => mistakes
            .into_iter()
            .map(|mistake| {
                let position = root.locate(&mistake.path);
                mistake.at(position)
            })
            .collect(),
        None => mistakes,
    }
}

fn json(text: &str) -> Result<Vec<Group>, Mistake> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&suffix).unwrap_or(&message);
        let mistake = Mistake::new("", format!("not valid JSON groups: {message}"));
        if line > 0 {
            mistake.at(Position {
                line,
                column: column.max(1),
            })
        } else {
            mistake
        }
    })
}

fn from_yaml(text: &str) -> Result<Vec<Group>, Vec<Mistake>> {
    let (root, mut mistakes) = yaml::parse(text);
    let Some(root) = root else {
        let blank = text
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#'));
        return if blank { Ok(Vec::new()) } else { Err(mistakes) };
    };
    let mut groups = Vec::new();
    match &root.value {
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                match from_node(item) {
                    Ok(group) => groups.push(group),
                    Err(mistake) => mistakes.push(mistake.within(&format!("[{index}]"))),
                }
            }
        }
        _ if root.is_null() => {}
        _ => {
            let message = format!("expected a list of groups, found {}", root.describe());
            mistakes.push(Mistake::new("", message).at(root.position));
        }
    }
    if mistakes.is_empty() {
        Ok(groups)
    } else {
        Err(mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, format: Format) -> String {
        parse_groups("t", text, format).unwrap_err().to_string()
    }

    #[test]
    fn both_formats_say_the_same() {
        let yaml =
            "- targets: [a:1, 'b:2']\n  labels: {team: core, shard: 7, on: yes}\n- targets:\n";
        let json = r#"[{"targets": ["a:1", "b:2"], "labels": {"team": "core", "shard": "7", "on": "yes"}},
            {"targets": []}]"#;
        let groups = parse_groups("t", yaml, Format::Yaml).unwrap();
        assert_eq!(groups, parse_groups("t", json, Format::Json).unwrap());
        assert!(groups[0].targets.iter().map(|it| &**it).eq(["a:1", "b:2"]));
        assert_eq!(groups[0].labels["shard"], "7");
    }

    #[test]
    fn no_groups_is_fine_and_no_json_is_not() {
        for text in ["", "# nothing\n", "[]", "---\n", "null"] {
            assert_eq!(
                parse_groups("t", text, Format::Yaml),
                Ok(vec![]),
                "{text:?}"
            );
        }
        assert_eq!(parse_groups("t", "[]", Format::Json), Ok(vec![]));
        assert!(parse_groups("t", "", Format::Json).is_err());
        assert!(parse_groups("t", "null", Format::Json).is_err());
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, message) in [
            (
                "- targets: [a]\n  lables: {}\n",
                "t:2:3: [0]: field lables not found, did you mean `labels`?",
            ),
            (
                "- null\n",
                "t:1:3: [0]: expected a mapping of targets and labels, found nothing",
            ),
            (
                "targets: [a]\n",
                "t:1:1: expected a list of groups, found a mapping",
            ),
            (
                "- targets: a\n",
                "t:1:12: [0].targets: expected a list, found a single value",
            ),
            (
                "- labels: {__x: y, 9: z}\n",
                "t:1:23: [0].labels.9: expected a label name of letters, digits and _, not beginning with a digit",
            ),
            (
                "- targets: ['']\n",
                "t:1:13: [0].targets[0]: expected a target, found \"\"",
            ),
            (
                "- targets: [a\n",
                "t:1:12: not valid YAML: unclosed bracket '['",
            ),
        ] {
            assert_eq!(refused(text, Format::Yaml), message, "{text:?}");
        }
        for (text, message) in [
            (
                "[\n {\"targets\": [\"a\"], \"x\": 1}]",
                "t:2:23: not valid JSON groups: unknown field `x`, expected `targets` or `labels`",
            ),
            (
                "[{\"targets\": [1]}]",
                "t:1:15: not valid JSON groups: invalid type: integer `1`, expected a string",
            ),
            (
                "[null]",
                "t:1:5: not valid JSON groups: invalid type: null, expected a mapping of targets and labels",
            ),
            (
                "- targets: [a]",
                "t:1:2: not valid JSON groups: invalid number",
            ),
            (
                "[{\"targets\": [\"\"]}]",
                "t:1:15: [0].targets[0]: expected a target, found \"\"",
            ),
        ] {
            assert_eq!(refused(text, Format::Json), message, "{text:?}");
        }
    }
}
