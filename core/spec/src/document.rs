//! Other files that people write, read as strictly as the configuration.

use probity_engine::config::ConfigError;
use serde::de::DeserializeOwned;

use crate::de::from_node;
use crate::error::{Errors, Mistake};
use crate::file::utf8;
use crate::yaml;

/// Reads the YAML `content` of the file that the user calls `name`; `check` says
/// what is wrong with the whole. A file without content is the default.
///
/// # Errors
/// What is no UTF-8, unknown and duplicate keys, values of another type, and what
/// `check` says, each with its line, column and field.
pub fn read_document<T: DeserializeOwned + Default, U>(
    name: &str,
    content: &[u8],
    check: impl FnOnce(T) -> Result<U, ConfigError>,
) -> Result<U, Errors> {
    let text = utf8(name, content)?;
    let is_empty = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
    if text.lines().all(|line| is_empty(line.trim())) {
        return check(T::default()).map_err(|error| Errors::whole(name, error.to_string()));
    }
    let (root, mistakes) = yaml::parse(text);
    let (Some(root), []) = (root, mistakes.as_slice()) else {
        return Err(Errors::new(name, mistakes));
    };
    if root.is_null() {
        return check(T::default()).map_err(|error| Errors::whole(name, error.to_string()));
    }
    from_node::<T>(&root)
        .and_then(|value| {
            check(value).map_err(|ConfigError { field, message, .. }| {
                let position = root.locate(&field);
                Mistake::new(field, message).at(position)
            })
        })
        .map_err(|mistake| Errors::new(name, vec![mistake]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Document = BTreeMap<String, u32>;

    fn read(text: &str) -> Result<u32, String> {
        let check = |document: Document| match document.get("b") {
            Some(7) => Err(ConfigError::new("b", "expected another number")),
            _ => Ok(document.values().sum()),
        };
        read_document("f.yml", text.as_bytes(), check).map_err(|errors| errors.to_string())
    }

    #[test]
    fn mistakes_have_their_place() {
        assert_eq!(read("a: 1\nb: 2\n"), Ok(3));
        for empty in ["", "# nothing\n\n", "---\n", "null\n", "~"] {
            assert_eq!(read(empty), Ok(0), "{empty:?}");
        }
        for (text, place) in [
            ("a: x", "f.yml:1:4: a: "),
            ("a: 1\na: 2\n", "f.yml:2:1: "),
            ("a: 1\nb: 7\n", "f.yml:2:4: b: expected another number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(place), "{text}: {error}");
        }
        let error = read_document("f.yml", b"a: 1\nb: \xff\n", |_: Document| Ok(())).unwrap_err();
        let place = "f.yml:2:4: expected UTF-8, found the byte 0xff";
        assert_eq!(error.to_string(), place);
    }
}
