//! A document as a tree in which every node knows its place.
//!
//! Aliases share the node of their anchor and merge keys are already applied,
//! so what reads the tree ([`crate::de`]) knows neither.

use std::borrow::Cow;
use std::rc::Rc;

use crate::error::{Position, segment};

#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) position: Position,
    pub(crate) value: Value<'a>,
    /// Levels from here to the deepest leaf, aliases followed.
    pub(crate) depth: usize,
    /// What a reader of the whole node has to do, aliases followed.
    pub(crate) weight: usize,
}

#[derive(Debug)]
pub(crate) enum Value<'a> {
    Scalar(Scalar<'a>),
    Sequence(Vec<Rc<Node<'a>>>),
    Mapping(Vec<Entry<'a>>),
}

#[derive(Debug)]
pub(crate) struct Scalar<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) form: Form,
}

/// How a scalar was written, which decides what else than a text it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Without quotes: `1` is a number to whom asks for one.
    Plain,
    /// In quotes, as a block, or tagged `!!str`.
    Text,
    /// Tagged `!!binary`: the text is base64.
    Binary,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) value: Rc<Node<'a>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) text: Rc<Cow<'a, str>>,
    pub(crate) position: Position,
}

impl<'a> Node<'a> {
    /// Whether this is YAML's null: nothing at all, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { text, form: Form::Plain })
            if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is not null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry<'a>]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key` in a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let entry = self
            .entries()?
            .iter()
            .find(|entry| **entry.key.text == *key)?;
        Some(&entry.value)
    }

    /// Where `path` is, or as much of it as exists. Of two keys that could
    /// begin the path, the longer one is meant.
    pub(crate) fn locate(&self, path: &str) -> Position {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let name = segment(&entry.key.text);
                    let rest = path
                        .strip_prefix(&**entry.key.text)
                        .filter(|rest| ends_segment(rest))
                        .or_else(|| path.strip_prefix(&*name).filter(|rest| ends_segment(rest)))?;
                    Some((rest, entry))
                })
                .min_by_key(|(rest, _)| rest.len())
                .map_or(self.position, |(rest, entry)| entry.value.locate(rest)),
            // Null is no item: see `NodeReader::sequence`.
            Value::Sequence(items) => index(path)
                .and_then(|(index, rest)| {
                    let mut items = items.iter().filter(|item| !item.is_null());
                    Some(items.nth(index)?.locate(rest))
                })
                .unwrap_or(self.position),
            Value::Scalar(_) => self.position,
        }
    }

    /// How to name the node in "expected X, found Y".
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Scalar(_) if self.is_null() => "nothing".to_owned(),
            Value::Scalar(scalar) => crate::error::excerpt(&scalar.text),
        }
    }
}

fn ends_segment(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
}

fn index(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}
