//! JSON -> the options of a check.

use alloc::format;
use alloc::string::{String, ToString as _};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads options.
///
/// # Errors
/// One sentence that names the field.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    // Serde would take an array for the fields in their order.
    if json.trim_start().starts_with('[') {
        return Err("expected an object of options, found an array".into());
    }
    serde_json::from_str(json).map_err(|error| explain::<T>(json, &error))
}

/// Names the field that an error is about, if it does not do so itself: the one
/// that gives the same error when it is alone.
fn explain<T: DeserializeOwned>(json: &str, error: &serde_json::Error) -> String {
    let Ok(value) = serde_json::from_str::<Value>(json) else {
        return format!("not JSON: {error}");
    };
    let Value::Object(fields) = value else {
        return "expected an object of options".into();
    };
    let Err(error) = serde_json::from_value::<T>(Value::Object(fields.clone())) else {
        // Only the text can be wrong then: a field that is there twice.
        return error.to_string();
    };
    let message = error.to_string();
    if is_missing::<T>(&fields, &message) {
        return message;
    }
    for (name, value) in fields {
        let alone = Map::from_iter([(name.clone(), value)]);
        let fails = serde_json::from_value::<T>(Value::Object(alone));
        let same = fails.is_err_and(|other| other.to_string() == message);
        if same && !message.contains(&format!("`{name}`")) {
            return format!("{name}: {message}");
        }
    }
    message
}

/// Whether it is one of these fields that is not there, and none within another one: then
/// it would be missed with every field alone.
fn is_missing<T: DeserializeOwned>(fields: &Map<String, Value>, message: &str) -> bool {
    let name = message.strip_prefix("missing field `");
    let Some(name) = name.and_then(|rest| rest.strip_suffix('`')) else {
        return false;
    };
    let mut with_it = fields.clone();
    with_it.insert(name.into(), Value::Null);
    let fails = serde_json::from_value::<T>(Value::Object(with_it));
    !fields.contains_key(name) && fails.is_err_and(|other| other.to_string() != message)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        port: u16,
        name: Option<String>,
    }

    fn error(json: &str) -> String {
        super::parse::<Options>(json).expect_err("it is wrong")
    }

    #[test]
    fn a_field_that_is_missing_is_no_fault_of_another_one() {
        #[derive(Debug, Deserialize)]
        struct Inner {
            #[serde(rename = "depth")]
            _depth: u8,
        }
        #[derive(Debug, Deserialize)]
        struct Required {
            #[serde(rename = "reference")]
            _reference: u8,
            #[serde(rename = "tolerance")]
            _tolerance: u8,
            #[serde(rename = "inner")]
            _inner: Option<Inner>,
        }
        for (json, message) in [
            ("{}", "missing field `reference`"),
            (r#"{"reference": 5}"#, "missing field `tolerance`"),
            (
                r#"{"inner": {}, "reference": 5, "tolerance": 1}"#,
                "inner: missing field `depth`",
            ),
        ] {
            let error = super::parse::<Required>(json).expect_err("it is wrong");
            assert_eq!(error, message, "{json}");
        }
    }

    #[test]
    fn options_are_read() {
        let options = super::parse(r#"{"port": 25, "name": "a"}"#);
        let expected = Options {
            port: 25,
            name: Some("a".into()),
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(super::parse("{}"), Ok(Options::default()));
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(
            error(r#"{"name": "a", "port": "x"}"#),
            "port: invalid type: string \"x\", expected u16"
        );
        assert_eq!(
            error(r#"{"port": 70000}"#),
            "port: invalid value: integer `70000`, expected u16"
        );
        assert_eq!(
            error(r#"{"prot": 25}"#),
            "unknown field `prot`, expected `port` or `name`"
        );
        assert_eq!(error("[]"), "expected an object of options, found an array");
        assert_eq!(error("3"), "expected an object of options");
        assert!(error("{").starts_with("not JSON: "));
        assert!(error(r#"{"port": 1, "port": 2}"#).starts_with("duplicate field `port`"));
    }
}
