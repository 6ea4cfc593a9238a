//! Label sets, rendered once.
//!
//! A target's labels are on every one of its series and change only with the
//! configuration, so they are sorted, escaped and joined when the target is
//! made, and a scrape copies the bytes. The same bytes at every scrape matter
//! beyond speed: Prometheus caches series by their raw text and skips parsing
//! and hashing for a line whose series text it has seen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The labels of a target in text form, `instance="a:80",job="web"`: sorted by
/// name, values escaped, no braces. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSet {
    text: Arc<str>,
    /// See [`Rendered::wire_bytes`].
    wire_bytes: u32,
}

/// Labels as the encoders take them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rendered<'a> {
    pub(super) text: &'a str,
    /// Bytes that they take in protobuf: known before they are written, because a
    /// family there begins with its length.
    pub(super) wire_bytes: usize,
}

impl<'a> Rendered<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let wire_bytes = super::proto::labels_len(text);
        Self { text, wire_bytes }
    }
}

impl LabelSet {
    /// Renders `labels`.
    ///
    /// - A label with an empty value is left out: to Prometheus it is absent.
    /// - Names that begin with `__` are left out: they are for relabelling.
    /// - `taken` lists the names that the metrics themselves put beside these
    ///   (`phase`, `result`, `le`, ...). A label of that name is renamed to
    ///   `exported_<name>`, as Prometheus does on a conflict, because a series
    ///   with a label twice fails the whole scrape.
    /// - Of several labels with one name the last wins.
    ///
    /// # Errors
    /// A name that does not match `[a-zA-Z_][a-zA-Z0-9_]*`.
    pub fn new<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        taken: &[&str],
    ) -> Result<Self, InvalidLabelName> {
        let mut given = BTreeMap::new();
        for (name, value) in labels {
            if !is_label_name(name) {
                return Err(InvalidLabelName(name.to_owned()));
            }
            if name.starts_with("__") {
                continue;
            }
            given.insert(name, value);
        }
        given.retain(|_, value| !value.is_empty());

        let mut sorted: BTreeMap<String, &str> = BTreeMap::new();
        for (&name, &value) in &given {
            let mut name = name.to_owned();
            let conflict = taken.contains(&name.as_str());
            while conflict && (taken.contains(&name.as_str()) || given.contains_key(name.as_str()))
            {
                name.insert_str(0, "exported_");
            }
            sorted.insert(name, value);
        }
        let mut text = String::new();
        for (name, value) in &sorted {
            push_pair(&mut text, name, value);
        }
        let wire_bytes = Rendered::of(&text).wire_bytes;
        Ok(Self {
            text: text.into(),
            // Labels of 4 GiB are none.
            wire_bytes: u32::try_from(wire_bytes).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn rendered(&self) -> Rendered<'_> {
        Rendered {
            text: &self.text,
            wire_bytes: self.wire_bytes as usize,
        }
    }

    /// What stands beside these labels on one series, sorted by name: where a
    /// name is in both, that of `extra` becomes `exported_<name>`, as
    /// Prometheus does with what it scrapes. It is for names that are not
    /// known when a target is made; for the others see [`LabelSet::new`].
    pub fn beside<'a>(
        &self,
        extra: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Vec<(Cow<'a, str>, &'a str)> {
        let taken = |name: &str| pairs(&self.text).any(|(own, _)| own == name);
        let rename = |(name, value)| {
            let mut free = Cow::Borrowed(name);
            while taken(&free) || (free != name && extra.clone().any(|(other, _)| other == free)) {
                free = format!("exported_{free}").into();
            }
            (free, value)
        };
        let mut renamed: Vec<_> = extra.clone().map(rename).collect();
        renamed.sort_unstable();
        renamed
    }

    /// The rendered labels, without braces.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.text)
    }
}

/// A label name that no text format can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLabelName(pub String);

impl fmt::Display for InvalidLabelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a label name: expected letters, digits and underscores, not beginning with a digit",
            self.0
        )
    }
}

impl std::error::Error for InvalidLabelName {}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// Appends `name="value"`, with a comma before it if there is something.
pub(super) fn push_pair(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            // To the lexer of Prometheus it is the end of the input.
            '\0' => text.push(char::REPLACEMENT_CHARACTER),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// The names and still escaped values of rendered labels.
///
/// The input is always our own rendering; on anything else iteration ends.
pub(super) fn pairs(mut text: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        let (name, rest) = text.split_once('=')?;
        let rest = rest.strip_prefix('"')?;
        let end = end_of_value(rest)?;
        text = rest[end + 1..].strip_prefix(',').unwrap_or_default();
        Some((name, &rest[..end]))
    })
}

/// Where the quote is that ends an escaped value.
fn end_of_value(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + text[from..].find('"')?;
        let backslashes = text[..end].bytes().rev().take_while(|byte| *byte == b'\\');
        if backslashes.count().is_multiple_of(2) {
            return Some(end);
        }
        // One that is escaped.
        from = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_escaped_and_empty_ones_left_out() {
        let labels = LabelSet::new(
            [
                ("job", "web"),
                ("instance", "https://a.example/?q=\"x\\y\""),
                ("env", ""),
                ("note", "two\nlines ü"),
                ("path", "c:\\"),
                ("quote", "\"="),
                ("__address__", "a:80"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(
            labels.as_str(),
            r#"instance="https://a.example/?q=\"x\\y\"",job="web",note="two\nlines ü",path="c:\\",quote="\"=""#
        );
        assert_eq!(
            pairs(labels.as_str()).collect::<Vec<_>>(),
            [
                ("instance", r#"https://a.example/?q=\"x\\y\""#),
                ("job", "web"),
                ("note", r"two\nlines ü"),
                ("path", r"c:\\"),
                ("quote", r#"\"="#),
            ]
        );
    }

    #[test]
    fn a_label_that_a_metric_uses_is_renamed() {
        let given = [("phase", "a"), ("exported_phase", "b"), ("job", "j")];
        let labels = LabelSet::new(given, &["phase"]).unwrap();
        assert_eq!(
            labels.as_str(),
            r#"exported_exported_phase="a",exported_phase="b",job="j""#
        );
    }

    #[test]
    fn the_last_of_equal_names_wins_even_if_it_is_empty() {
        let labels = LabelSet::new([("a", "1"), ("b", "1"), ("a", "2"), ("b", "")], &[]).unwrap();
        assert_eq!(labels.as_str(), r#"a="2""#);
    }

    #[test]
    fn what_is_only_known_later_gives_way() {
        let own = [("instance", "a:22"), ("exported_os", "x"), ("os", "bsd")];
        let own = LabelSet::new(own, &[]).unwrap();
        let found = [("version", "9"), ("os", "linux"), ("instance", "b")];
        let beside = own.beside(found.into_iter());
        let beside: Vec<(&str, &str)> = beside.iter().map(|(k, v)| (&**k, *v)).collect();
        let expected = [
            ("exported_exported_os", "linux"),
            ("exported_instance", "b"),
            ("version", "9"),
        ];
        assert_eq!(beside, expected);
        let nothing = LabelSet::default();
        assert_eq!(
            nothing.beside([("b", "1"), ("a", "2")].into_iter())[0].0,
            "a"
        );
    }

    #[test]
    fn names_are_checked() {
        for name in ["a", "_", "A9_b", "__x"] {
            assert!(is_label_name(name), "{name}");
        }
        for name in ["", "9a", "a-b", "a:b", "ä", "a b", "a\n"] {
            assert!(!is_label_name(name), "{name}");
            assert_eq!(
                LabelSet::new([(name, "v")], &[]),
                Err(InvalidLabelName(name.to_owned()))
            );
        }
        assert!(is_metric_name("a:b_9"));
        assert!(!is_metric_name("") && !is_metric_name("9") && !is_metric_name("a b"));
    }
}
