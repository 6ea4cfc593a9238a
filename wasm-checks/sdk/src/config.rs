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
