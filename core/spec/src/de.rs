//! Nodes to Rust types: a serde deserializer that knows places and paths.
//!
//! Types decide, as in blackbox_exporter's own parser (Go's yaml.v3): whoever
//! asks for a text gets `1` and `true` as they were written, whoever asks for
//! a boolean may be told `yes`, an integer may be written `200.0`, and a null
//! leaves a field at its default.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::rc::Rc;
use std::slice;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer as _};
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::{Mistake, excerpt, segment};
use crate::node::{Entry, Form, Key, Node, Scalar, Value};
use crate::scalar::{boolean, float, go_int, integer, quoted_boolean};
use crate::suggest;
use crate::timestamp;

/// Reads a value of type `T`; paths of mistakes are relative to `node`.
pub(crate) fn from_node<'n, T: Deserialize<'n>>(node: &'n Node<'_>) -> Result<T, Mistake> {
    read(node, PhantomData)
}

fn read<'n, S: DeserializeSeed<'n>>(node: &'n Node<'_>, seed: S) -> Result<S::Value, Mistake> {
    let value = seed.deserialize(NodeReader(node));
    value.map_err(|mistake| mistake.at(node.position))
}

#[derive(Clone, Copy)]
struct NodeReader<'n, 'a>(&'n Node<'a>);

impl<'n> NodeReader<'n, '_> {
    fn expected<T>(&self, expected: &dyn Expected) -> Result<T, Mistake> {
        let wanted = wanted(expected);
        let of_many = wanted.starts_with("a mapping") || wanted.starts_with("a list");
        let found = match &self.0.value {
            // It may be a secret that is to stand one level below.
            Value::Scalar(_) if of_many && !self.0.is_null() => "a single value".to_owned(),
            _ => self.0.describe(),
        };
        Err(Mistake::new("", format!("expected {wanted}, found {found}")).at(self.0.position))
    }

    fn place<T>(&self, result: Result<T, Mistake>) -> Result<T, Mistake> {
        result.map_err(|mistake| mistake.at(self.0.position))
    }

    /// The text of a plain scalar, the only form that can be more than text.
    fn plain(&self) -> Option<&'n str> {
        match &self.0.value {
            Value::Scalar(Scalar {
                text,
                form: Form::Plain,
            }) => Some(text),
            _ => None,
        }
    }

    /// Reads a list. Null, such as a dash that stands alone, is no item of one whose
    /// items are of a type, as for yaml.v3; where anything may stand it is a value.
    fn sequence<V: Visitor<'n>>(
        self,
        items: &'n [Rc<Node<'_>>],
        typed: bool,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let list = List {
            items: items.iter(),
            index: 0,
            typed,
        };
        self.place(visitor.visit_seq(list))
    }

    /// Says of the first key that is none of `fields` that there is no such
    /// key. Every type that is read here denies those, and a misspelt key
    /// explains what else is wrong beside it: something is missing then.
    fn known(entries: &[Entry<'_>], fields: &'static [&'static str]) -> Result<(), Mistake> {
        let is_known = |key: &Key<'_>| fields.contains(&key.text.as_ref().as_ref());
        match entries.iter().find(|entry| !is_known(&entry.key)) {
            None => Ok(()),
            Some(Entry { key, .. }) => {
                Err(Mistake::unknown_field(&key.text, fields).at(key.position))
            }
        }
    }

    /// Reads a mapping; of `fields`, if there are any, those that are null
    /// are passed over.
    fn mapping<V: Visitor<'n>>(
        self,
        entries: &'n [Entry<'_>],
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let mut fields = Fields {
            entries: entries.iter(),
            known: fields,
            current: None,
        };
        let result = visitor.visit_map(&mut fields);
        // What is said after a key was read, but not about its value, is
        // about the key; what is said after the last one, about the whole.
        let position = fields
            .current
            .map_or(self.0.position, |entry| entry.key.position);
        result.map_err(|mistake| mistake.at(position))
    }

    fn binary(&self, text: &str) -> Result<Vec<u8>, Mistake> {
        let text: String = text.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let bytes = bytes.map_err(|error| Mistake::new("", format!("expected base64: {error}")));
        self.place(bytes)
    }
}

impl<'n> Deserializer<'n> for NodeReader<'n, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Sequence(items) => self.sequence(items, false, visitor),
            Value::Mapping(entries) => self.mapping(entries, &[], visitor),
            Value::Scalar(_) => {
                let Some(text) = self.plain() else {
                    return self.deserialize_string(visitor);
                };
                self.place(if self.0.is_null() {
                    visitor.visit_unit()
                } else if let "true" | "True" | "TRUE" | "false" | "False" | "FALSE" = text {
                    visitor.visit_bool(text.starts_with(['t', 'T']))
                } else if let Some(time) = timestamp::rfc3339(text) {
                    visitor.visit_string(time)
                } else if let Some(number) = integer(text).filter(is_64_bits) {
                    visit_integer(number, visitor)
                } else if let Some(number) = float(text) {
                    // Also what is too large for an integer.
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(text)
                })
            }
        }
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let value = match &self.0.value {
            Value::Scalar(Scalar { text, form }) => match form {
                Form::Plain => boolean(text),
                Form::Text => quoted_boolean(text),
                Form::Binary => None,
            },
            _ => None,
        };
        match value {
            Some(value) => self.place(visitor.visit_bool(value)),
            None => self.expected(&visitor),
        }
    }

    /// Go's `int`, which only upstream's own fields are: cut from a fraction
    /// without a word, and 0 if it is left out.
    fn deserialize_i64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.0.is_null() {
            return self.place(visitor.visit_i64(0));
        }
        match self.plain().and_then(go_int) {
            Some(number) => self.place(visit_integer(number, visitor)),
            None => self.expected(&visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.plain().and_then(integer) {
            Some(number) => self.place(visit_integer(number, visitor)),
            None => self.expected(&visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.plain().and_then(float) {
            Some(number) => self.place(visitor.visit_f64(number)),
            None => self.expected(&visitor),
        }
    }

    fn deserialize_string<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Scalar(Scalar {
                text,
                form: Form::Binary,
            }) => {
                let bytes = self.binary(text)?;
                self.place(match String::from_utf8(bytes) {
                    Ok(text) => visitor.visit_string(text),
                    Err(error) => visitor.visit_byte_buf(error.into_bytes()),
                })
            }
            // A value left out is an empty text, as in Go.
            Value::Scalar(_) if self.0.is_null() => self.place(visitor.visit_str("")),
            Value::Scalar(scalar) => self.place(visitor.visit_str(&scalar.text)),
            _ => self.expected(&visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Scalar(Scalar {
                text,
                form: Form::Binary,
            }) => {
                let bytes = self.binary(text)?;
                self.place(visitor.visit_byte_buf(bytes))
            }
            Value::Scalar(_) if self.0.is_null() => self.place(visitor.visit_bytes(b"")),
            Value::Scalar(scalar) => self.place(visitor.visit_bytes(scalar.text.as_bytes())),
            _ => self.expected(&visitor),
        }
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.place(if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        })
    }

    fn deserialize_unit<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.0.is_null() {
            self.place(visitor.visit_unit())
        } else {
            self.expected(&visitor)
        }
    }

    fn deserialize_unit_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Sequence(items) => self.sequence(items, true, visitor),
            _ if self.0.is_null() => self.sequence(&[], true, visitor),
            _ => self.expected(&visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'n>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Mapping(entries) => self.mapping(entries, &[], visitor),
            _ if self.0.is_null() => self.mapping(&[], &[], visitor),
            _ => self.expected(&visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.0.value {
            Value::Mapping(entries) => {
                Self::known(entries, fields)?;
                self.mapping(entries, fields, visitor)
            }
            _ => self.expected(&visitor),
        }
    }

    /// Only enums of plain names are read.
    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.0.text() {
            Some(name) => {
                let name: StrDeserializer<'_, Mistake> = name.into_deserializer();
                self.place(visitor.visit_enum(name))
            }
            None => {
                let found = self.0.describe();
                let message = format!("expected one of {}, found {found}", suggest::list(names));
                self.place(Err(Mistake::new("", message)))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { <W: Visitor<'n>> char identifier }

    fn deserialize_i8<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_i16<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_i32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_u8<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_u16<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_u32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_u64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i128(visitor)
    }
    fn deserialize_f32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_f64(visitor)
    }
    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_string(visitor)
    }
    fn deserialize_bytes<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_byte_buf(visitor)
    }
}

struct List<'n, 'a> {
    items: slice::Iter<'n, Rc<Node<'a>>>,
    /// How many there were.
    index: usize,
    typed: bool,
}

impl<'n> SeqAccess<'n> for List<'n, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let typed = self.typed;
        let Some(node) = self.items.find(|node| !(typed && node.is_null())) else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        read(node, seed)
            .map(Some)
            .map_err(|mistake| mistake.within(&format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'n, 'a> {
    entries: slice::Iter<'n, Entry<'a>>,
    known: &'static [&'static str],
    current: Option<&'n Entry<'a>>,
}

impl<'n> MapAccess<'n> for Fields<'n, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let known = self.known;
        let absent = |entry: &&Entry<'_>| {
            entry.value.is_null() && known.contains(&entry.key.text.as_ref().as_ref())
        };
        self.current = self.entries.find(|entry| !absent(entry));
        let Some(Entry {
            key: Key { text, position },
            ..
        }) = self.current
        else {
            return Ok(None);
        };
        let reader: StrDeserializer<'_, Mistake> = Cow::as_ref(text).into_deserializer();
        seed.deserialize(reader)
            .map(Some)
            .map_err(|mistake| mistake.at(*position))
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some(entry) = self.current else {
            return Err(Mistake::custom("a value was asked for before its key"));
        };
        read(&entry.value, seed).map_err(|mistake| mistake.within(&segment(&entry.key.text)))
    }
}

impl de::Error for Mistake {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new("", one_line(&message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "expected {}, found {}",
            wanted(expected),
            shown(found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::custom(suggest::no_field(field, known))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::custom(suggest::unknown("value", variant, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("missing field `{field}`"))
    }
}

/// What serde's visitors call themselves, in a user's words.
fn wanted(expected: &dyn Expected) -> Cow<'static, str> {
    let name = expected.to_string();
    let range = match name.as_str() {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "i32" => "an integer from -2147483648 to 2147483647",
        "u64" | "usize" => "an integer from 0",
        "i64" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "a borrowed string" => "a text",
        _ if name.starts_with("struct ") => "a mapping",
        _ => return Cow::Owned(name),
    };
    Cow::Borrowed(range)
}

/// Some messages draw a marker under what they quote; ours are one line each.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|line| line.contains(|c: char| c != '^'))
        .collect();
    lines.join(" ")
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => excerpt(text),
        Unexpected::Bytes(_) => "bytes that are not UTF-8".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Whether an integer has a type in Go.
fn is_64_bits(number: &i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(number)
}

fn visit_integer<'n, V: Visitor<'n>>(number: i128, visitor: V) -> Result<V::Value, Mistake> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        Err(Mistake::custom(format_args!(
            "expected {}, found {number}",
            wanted(&visitor)
        )))
    }
}
