//! JSON bodies as CEL sees them.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde_json::Value as Json;

/// Reads a body. Bytes that are not UTF-8 are replaced, as Go does it.
pub(crate) fn parse(body: &[u8]) -> Result<Json, String> {
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(&text).map_err(|error| format!("the body is not JSON: {error}"))
}

/// How many values there are, each list and map counted with what it holds.
pub(crate) fn size(json: &Json) -> u64 {
    match json {
        Json::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Json::Object(fields) => 1 + fields.values().map(size).sum::<u64>(),
        _ => 1,
    }
}

/// Every number is a double, as Go reads JSON.
pub(crate) fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(Arc::new(text)),
        Json::Array(items) => Value::List(Arc::new(items.into_iter().map(value).collect())),
        Json::Object(fields) => {
            let field = |(name, json)| (Key::String(Arc::new(name)), value(json));
            let map: HashMap<Key, Value> = fields.into_iter().map(field).collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}
