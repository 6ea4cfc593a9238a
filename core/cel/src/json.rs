//! JSON bodies as CEL sees them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::MAX_VALUES;
use crate::cost::of_bytes;

/// A body, and how large it is.
pub(crate) struct Body {
    pub value: Value,
    /// Its values, lists and maps included, and its text, see [`of_bytes`].
    pub size: f64,
}

/// Reads a body. Bytes that are not UTF-8 are replaced, as Go does it.
pub(crate) fn parse(body: &[u8]) -> Result<Body, String> {
    let text = String::from_utf8_lossy(body);
    let refused = |error| format!("the body is not JSON: {error}");
    let mut values = 0;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let read = Reader(&mut values).deserialize(&mut reader);
    let value = match read {
        Err(_) if values > MAX_VALUES => {
            return Err(format!("the body has more than {MAX_VALUES} values"));
        }
        read => read.map_err(refused)?,
    };
    reader.end().map_err(refused)?;
    Ok(Body {
        value,
        size: f64::from(values) + of_bytes(text.len()),
    })
}

/// Reads a value, and counts it. Every number is a double, as Go reads JSON.
struct Reader<'a>(&'a mut u32);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        *self.0 += 1;
        if *self.0 > MAX_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Float(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Float(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(Arc::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(Reader(self.0))? {
            items.push(item);
        }
        Ok(Value::List(Arc::new(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut fields: HashMap<Key, Value> = HashMap::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(Reader(self.0))?;
            fields.insert(Key::String(Arc::new(name)), value);
        }
        Ok(Value::Map(Map {
            map: Arc::new(fields),
        }))
    }
}
