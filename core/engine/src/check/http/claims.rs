//! Claims: JSON, as whoever writes YAML writes it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

use crate::config::ConfigError;

/// What is claimed under one name. YAML has numbers that JSON has not: they are
/// a mistake only where an assertion is made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing, truth, a finite number or a text.
    Simple(Value),
    /// The bits of a number that is not finite.
    NotFinite(u64),
    /// A list.
    List(Vec<Self>),
    /// A mapping.
    Map(BTreeMap<String, Self>),
}

impl From<Value> for Claim {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                Self::Map(members.map(|(name, it)| (name, it.into())).collect())
            }
            simple => Self::Simple(simple),
        }
    }
}

impl Claim {
    /// The same in JSON; `field` is where it stands.
    ///
    /// # Errors
    /// Where JSON has no such number.
    pub(super) fn json(&self, field: &str) -> Result<Value, ConfigError> {
        match self {
            Self::Simple(value) => Ok(value.clone()),
            Self::NotFinite(bits) => {
                let found = f64::from_bits(*bits);
                let message = format!("expected a number that JSON has, found {found}");
                Err(ConfigError::unspoken(field, message))
            }
            Self::List(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, it)| it.json(&format!("{field}[{index}]")));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Map(members) => {
                let members = members.iter().map(|(name, it)| {
                    let it = it.json(&format!("{field}.{name}"))?;
                    Ok((name.clone(), it))
                });
                members
                    .collect::<Result<_, ConfigError>>()
                    .map(Value::Object)
            }
        }
    }
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Simple(value) => value.serialize(serializer),
            Self::NotFinite(bits) => serializer.serialize_f64(f64::from_bits(*bits)),
            Self::List(items) => items.serialize(serializer),
            Self::Map(members) => members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Claim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E>(self) -> Result<Claim, E> {
        Ok(Claim::Simple(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Claim, E> {
        Ok(Claim::Simple(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Claim, E> {
        Ok(Claim::Simple(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Claim, E> {
        Ok(Claim::Simple(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Claim, E> {
        // As Go writes it: without a point if there is nothing behind it.
        let whole = value as i64;
        if whole.unsigned_abs() < 1 << 53 && whole as f64 == value {
            return Ok(Claim::Simple(whole.into()));
        }
        Ok(match Number::from_f64(value) {
            Some(number) => Claim::Simple(number.into()),
            None => Claim::NotFinite(value.to_bits()),
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Claim, E> {
        Ok(Claim::Simple(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Claim, E> {
        Ok(Claim::Simple(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Claim, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Claim::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            members.insert(name, value);
        }
        Ok(Claim::Map(members))
    }
}
