//! Regular expressions that are valid from the moment they are read.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use regex::{Regex, RegexBuilder};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigError, re2};

/// A compiled regular expression in Go's syntax, unanchored, case-sensitive.
///
/// It matches bytes as Go does: each byte that is not part of valid UTF-8
/// counts as one U+FFFD. For text with such bytes that takes a copy of at most
/// three times its size, for as long as it is matched.
///
/// Matching takes time linear in the input whatever the pattern, and a
/// compiled pattern is at most [`Pattern::MAX_COMPILED_BYTES`] large. One that would
/// be larger is right, and matches nothing: see [`Pattern::is_too_large`].
#[derive(Clone)]
pub struct Pattern {
    /// `None` if it is too large.
    regex: Option<Regex>,
    source: Box<str>,
    names: Arc<[Option<Box<str>>]>,
}

impl Pattern {
    /// Largest size of one compiled pattern.
    pub const MAX_COMPILED_BYTES: usize = 10 << 20;

    /// Groups, repetitions and classes within one another, after translation.
    pub const MAX_NEST: u32 = 1_000;

    /// Compiles a pattern.
    ///
    /// # Errors
    /// blackbox_exporter's sentence with the pattern, then what is wrong with
    /// it and where.
    pub fn new(source: &str) -> Result<Self, String> {
        let refused = |why: &dyn fmt::Display| {
            format!("\"Could not compile regular expression\" regexp=\"{source}\": {why}")
        };
        let translated =
            re2::translate(source).map_err(|mistake| refused(&mistake.describe(source)))?;
        let regex = RegexBuilder::new(&translated.regex)
            .size_limit(Self::MAX_COMPILED_BYTES)
            .nest_limit(Self::MAX_NEST)
            .build();
        let regex = match regex {
            Ok(regex) => Some(regex),
            // Go keeps it smaller, and loads the file.
            Err(regex::Error::CompiledTooBig(_)) => None,
            Err(other) => return Err(refused(&other)),
        };
        Ok(Self {
            regex,
            source: source.into(),
            names: translated.names.into(),
        })
    }

    /// Whether the pattern occurs in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        let regex = self.regex.as_ref();
        regex.is_some_and(|regex| regex.is_match(&decode(text, |_| {})))
    }

    /// Whether it takes more than [`Pattern::MAX_COMPILED_BYTES`].
    pub const fn is_too_large(&self) -> bool {
        self.regex.is_none()
    }

    /// Looks for one in a list that is too large: who would match by it cannot be
    /// run, which is no reason to refuse the rest of a file.
    pub(crate) fn check<'p>(
        patterns: impl IntoIterator<Item = (String, &'p Self)>,
    ) -> Result<(), ConfigError> {
        let mut patterns = patterns.into_iter();
        let Some((field, _)) = patterns.find(|(_, pattern)| pattern.is_too_large()) else {
            return Ok(());
        };
        let message = format!(
            "the expression takes more than {} MiB compiled, which is the most that this version has room for",
            Self::MAX_COMPILED_BYTES >> 20
        );
        Err(ConfigError::unspoken(&field, message))
    }

    /// The leftmost occurrence in `text`, and what the groups matched.
    pub fn captures(&self, text: &[u8]) -> Option<Captures> {
        // Where in the decoded text a byte became three.
        let mut replaced = Vec::new();
        let decoded = decode(text, |at| replaced.push(at));
        let found = self.regex.as_ref()?.captures(&decoded)?;
        let original = |at: usize| at - 2 * replaced.partition_point(|&other| other < at);
        let spans = found
            .iter()
            .map(|group| group.map(|span| original(span.start())..original(span.end())))
            .collect();
        Some(Captures {
            spans,
            names: Arc::clone(&self.names),
        })
    }

    /// The pattern in the syntax of the `regex` crate, for its
    /// [`Automaton`](super::Automaton); `None` if it is too large.
    pub(super) fn translated(&self) -> Option<&str> {
        self.regex.as_ref().map(Regex::as_str)
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The text as Go's `regexp` sees it; `replaced` is told where each U+FFFD
/// stands that was a single byte.
fn decode(text: &[u8], mut replaced: impl FnMut(usize)) -> Cow<'_, str> {
    if let Ok(text) = core::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len() + 64);
    for chunk in text.utf8_chunks() {
        decoded.push_str(chunk.valid());
        for _ in chunk.invalid() {
            replaced(decoded.len());
            decoded.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Cow::Owned(decoded)
}

/// What the groups of a [`Pattern`] matched, as ranges of bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures {
    /// By index; 0 is the whole match.
    spans: Box<[Option<Range<usize>>]>,
    names: Arc<[Option<Box<str>>]>,
}

impl Captures {
    /// The whole match is group 0; `None` for a group that took no part in it
    /// and for an index that no group has.
    pub fn get(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index)?.clone()
    }

    /// The first group of this name that took part in the match.
    pub fn name(&self, name: &str) -> Option<Range<usize>> {
        let named = self.names.iter().zip(&self.spans);
        named
            .filter(|(other, _)| other.as_deref() == Some(name))
            .find_map(|(_, span)| span.clone())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
