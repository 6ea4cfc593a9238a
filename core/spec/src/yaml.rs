//! Text to [`Node`]s: the only file that knows the YAML parser.
//!
//! The tree is built from the events of serde-saphyr's parser rather than by
//! its deserializer, because that one forgets the path of a field, stops at
//! the first mistake of a file, and cannot say where a value stood once it
//! has been read; all three are what a user needs to be told.
//!
//! Hostile input costs a bounded amount: nesting is limited, and so is the
//! size of the document after its aliases have been followed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag, options};

use crate::error::{Mistake, Position, join, segment};
use crate::node::{Entry, Form, Key, Node, Scalar, Value};

/// Longest text that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting, aliases followed.
const MAX_DEPTH: usize = 64;
/// Largest document, aliases followed: a node weighs 1, and 1 more for every
/// 64 bytes of its text.
const MAX_WEIGHT: usize = 2 << 20;

/// Reads the first document of `text`. Without a tree there is at least one
/// mistake; with one there may be some (duplicate keys, unknown tags) that do
/// not keep the rest from being checked.
pub(crate) fn parse(text: &str) -> (Option<Rc<Node<'_>>>, Vec<Mistake>) {
    if text.len() > MAX_BYTES {
        let message = format!("expected at most {MAX_BYTES} bytes, found {}", text.len());
        return (None, vec![Mistake::new("", message)]);
    }
    let mut builder = Builder::default();
    match builder.run(text) {
        Ok(()) => {}
        Err(mistake) => builder.mistakes.push(mistake),
    }
    let root = builder.root.take();
    if root.is_none() && builder.mistakes.is_empty() {
        builder
            .mistakes
            .push(Mistake::new("", "EOF: the file is empty"));
    }
    (root, builder.mistakes)
}

#[derive(Default)]
struct Builder<'a> {
    open: Vec<Open<'a>>,
    anchors: HashMap<usize, Rc<Node<'a>>>,
    mistakes: Vec<Mistake>,
    root: Option<Rc<Node<'a>>>,
    /// Entries copied by merge keys, over the whole document.
    merged: usize,
}

/// A collection whose end has not been seen.
struct Open<'a> {
    position: Position,
    anchor: usize,
    content: Content<'a>,
    depth: usize,
    weight: usize,
}

enum Content<'a> {
    Sequence(Vec<Rc<Node<'a>>>),
    Mapping(Mapping<'a>),
}

#[derive(Default)]
struct Mapping<'a> {
    entries: Vec<Entry<'a>>,
    /// Line of every key so far.
    lines: HashMap<Rc<Cow<'a, str>>, usize>,
    /// The key whose value comes next.
    key: Option<(Key<'a>, Role)>,
    merges: Vec<Rc<Node<'a>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Entry,
    Merge,
    /// A mistake was recorded for it; its value is dropped.
    Invalid,
}

impl<'a> Builder<'a> {
    fn run(&mut self, text: &'a str) -> Result<(), Mistake> {
        let mut options =
            options! { block_nesting_limit: MAX_DEPTH + 1, flow_nesting_limit: MAX_DEPTH + 1 };
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| syntax(&error))?;
            if matches!(event, Event::DocumentEnd) {
                break;
            }
            self.event(event, position(&span))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'a>, position: Position) -> Result<(), Mistake> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let form = self.form(style, tag.as_deref(), position);
                let weight = 1 + text.len() / 64;
                let value = Value::Scalar(Scalar { text, form });
                self.complete(
                    anchor,
                    Node {
                        position,
                        value,
                        depth: 1,
                        weight,
                    },
                )
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.add(position, Rc::clone(node)),
                None => Err(self.mistake(position, "the alias stands inside of what it refers to")),
            },
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", position);
                self.open(position, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", position);
                self.open(position, anchor, Content::Mapping(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        position: Position,
        anchor: usize,
        content: Content<'a>,
    ) -> Result<(), Mistake> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(position));
        }
        self.open.push(Open {
            position,
            anchor,
            content,
            depth: 1,
            weight: 1,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Mistake> {
        let Some(Open {
            position,
            anchor,
            content,
            depth,
            mut weight,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping(mut mapping) => {
                for source in std::mem::take(&mut mapping.merges) {
                    weight += self.merge(&mut mapping, &source, position)?;
                }
                Value::Mapping(mapping.entries)
            }
        };
        self.complete(
            anchor,
            Node {
                position,
                value,
                depth,
                weight,
            },
        )
    }

    /// Adds the entries of `source` that are not there yet; their weight.
    fn merge(
        &mut self,
        mapping: &mut Mapping<'a>,
        source: &Node<'a>,
        position: Position,
    ) -> Result<usize, Mistake> {
        let mut weight = 0;
        for entry in source.entries().unwrap_or_default() {
            self.merged += 1;
            if self.merged > MAX_WEIGHT {
                return Err(self.too_large(position));
            }
            if !mapping.lines.contains_key(&entry.key.text) {
                mapping
                    .lines
                    .insert(Rc::clone(&entry.key.text), entry.key.position.line);
                weight += entry.value.weight;
                mapping.entries.push(entry.clone());
            }
        }
        Ok(weight)
    }

    fn complete(&mut self, anchor: usize, node: Node<'a>) -> Result<(), Mistake> {
        let position = node.position;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(position, node)
    }

    /// Adds a finished node to the collection that is open; `position` is
    /// its own or its alias'.
    fn add(&mut self, position: Position, node: Rc<Node<'a>>) -> Result<(), Mistake> {
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(self.too_deep(position));
        }
        if node.weight > MAX_WEIGHT {
            return Err(self.too_large(position));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.depth = open.depth.max(node.depth + 1);
        open.weight += node.weight;
        if open.weight > MAX_WEIGHT {
            return Err(self.too_large(position));
        }
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping(mapping) => match mapping.key.take() {
                None => self.key(position, &node),
                Some((key, Role::Entry)) => mapping.entries.push(Entry { key, value: node }),
                Some((_, Role::Merge)) => self.merge_source(position, node),
                Some((_, Role::Invalid)) => {}
            },
        }
        Ok(())
    }

    fn key(&mut self, position: Position, node: &Node<'a>) {
        let (text, role, problem) = match &node.value {
            Value::Scalar(scalar) if scalar.form == Form::Plain && scalar.text == "<<" => {
                (scalar.text.clone(), Role::Merge, None)
            }
            Value::Scalar(scalar) => (scalar.text.clone(), Role::Entry, None),
            _ => {
                let problem = format!("expected a text as key, found {}", node.describe());
                (Cow::Borrowed(""), Role::Invalid, Some(problem))
            }
        };
        let path = self.path();
        let Some(Open {
            content: Content::Mapping(mapping),
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        let key = Key {
            text: Rc::new(text),
            position,
        };
        let mut role = role;
        let mut problem = problem;
        if role == Role::Entry {
            if let Some(line) = mapping.lines.get(&key.text) {
                role = Role::Invalid;
                problem = Some(format!(
                    "duplicate key `{}`, first in line {line}",
                    key.text
                ));
            } else {
                mapping.lines.insert(Rc::clone(&key.text), position.line);
            }
        }
        if let Some(problem) = problem {
            self.mistakes.push(Mistake::new(path, problem).at(position));
        }
        mapping.key = Some((key, role));
    }

    fn merge_source(&mut self, position: Position, node: Rc<Node<'a>>) {
        let sources = match &node.value {
            Value::Sequence(items) => items.clone(),
            _ => vec![node],
        };
        if let Some(wrong) = sources.iter().find(|source| source.entries().is_none()) {
            let message = format!("expected a mapping to merge, found {}", wrong.describe());
            let mistake = self.mistake(position, &message);
            self.mistakes.push(mistake);
        } else if let Some(Open {
            content: Content::Mapping(mapping),
            ..
        }) = self.open.last_mut()
        {
            mapping.merges.extend(sources);
        }
    }

    fn form(&mut self, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Form {
        const CORE: &str = "tag:yaml.org,2002:";
        let by_style = if style == ScalarStyle::Plain {
            Form::Plain
        } else {
            Form::Text
        };
        let Some(tag) = tag else { return by_style };
        match tag.suffix_in_namespace(CORE).as_deref() {
            Some("str") => Form::Text,
            Some("binary") => Form::Binary,
            Some("null" | "bool" | "int" | "float") => Form::Plain,
            _ if tag.parts() == ("", "!") || tag.parts() == ("!", "") => Form::Text,
            _ => {
                self.unknown_tag(tag, position);
                by_style
            }
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, kind: &str, position: Position) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(kind)
            && tag.parts() != ("", "!")
            && tag.parts() != ("!", "")
        {
            self.unknown_tag(tag, position);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, position: Position) {
        let message = format!("the tag {} means nothing here", tag.original());
        let mistake = self.mistake(position, &message);
        self.mistakes.push(mistake);
    }

    fn too_deep(&self, position: Position) -> Mistake {
        self.mistake(
            position,
            &format!("expected at most {MAX_DEPTH} levels of nesting"),
        )
    }

    fn too_large(&self, position: Position) -> Mistake {
        let message = "the document is too large once its aliases and merge keys are followed";
        self.mistake(position, message)
    }

    fn mistake(&self, position: Position, message: &str) -> Mistake {
        Mistake::new(self.path(), message).at(position)
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        self.open
            .iter()
            .fold(String::new(), |path, open| match &open.content {
                Content::Sequence(items) => join(&path, &format!("[{}]", items.len())),
                Content::Mapping(Mapping {
                    key: Some((key, _)),
                    ..
                }) => join(&path, &segment(&key.text)),
                Content::Mapping(_) => path,
            })
    }
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn syntax(error: &ScanError) -> Mistake {
    let marker = error.marker();
    let position = Position {
        line: marker.line(),
        column: marker.col() + 1,
    };
    Mistake::new("", format!("not valid YAML: {}", error.kind())).at(position)
}
