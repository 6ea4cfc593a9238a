//! Query strings as Go's `url.ParseQuery` reads them, which is what the other
//! side of every scrape was tested with.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The pairs of a query string, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    /// The first that could not be read.
    unread: Option<String>,
}

impl Params {
    /// Pairs that are not well formed, and those with a semicolon, are left
    /// out.
    pub(super) fn parse(query: &str) -> Self {
        let mut params = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match read(pair) {
                Some(pair) => params.pairs.push(pair),
                None => {
                    params.unread.get_or_insert_with(|| pair.to_owned());
                }
            }
        }
        params
    }

    /// That nothing was asked but what is `known`, each at most once, and that
    /// all of it could be read: without a filter that is mistyped the answer
    /// would be another one than was asked for.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), String> {
        if let Some(pair) = &self.unread {
            return Err(format!(
                "expected name=value, with ; and % as %3B and %25, found {pair:?}"
            ));
        }
        for (index, (name, _)) in self.pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(format!(
                    "unknown query parameter {name:?}: expected one of {known}"
                ));
            }
            if self.pairs[..index].iter().any(|(before, _)| before == name) {
                return Err(format!("{name}: expected once, found twice"));
            }
        }
        Ok(())
    }

    /// A number that may be given.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let text = self.get(name);
        text.map(str::parse).transpose().map_err(|_| {
            let found = text.unwrap_or_default();
            format!("{name}: expected a number, found {found:?}")
        })
    }

    /// One of some `known` values, by its place among them.
    ///
    /// # Errors
    /// A sentence that lists them.
    pub(super) fn one_of(&self, name: &str, known: &[&str]) -> Result<Option<usize>, String> {
        let Some(found) = self.get(name) else {
            return Ok(None);
        };
        match known.iter().position(|known| *known == found) {
            Some(place) => Ok(Some(place)),
            None => {
                let known = known.join(", ");
                Err(format!("{name}: expected one of {known}, found {found:?}"))
            }
        }
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// The first value of a parameter, unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

fn read(pair: &str) -> Option<(String, String)> {
    if pair.contains(';') {
        return None;
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((unescape(name)?, unescape(value)?))
}

/// Go's `url.QueryUnescape`: `None` if a `%` is not followed by two digits.
/// What is not UTF-8 then stays as it was escaped, since our labels and pages have to
/// be: in the path of a URL, where Go escapes it again, that is the same.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                // Two digits of four bits.
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| escape_what_is_no_text(error.as_bytes())))
}

fn escape_what_is_no_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_go_reads_them() {
        for (query, name, value) in [
            ("a=1&a=2", "a", Some("1")),
            ("a", "a", Some("")),
            ("a=b=c", "a", Some("b=c")),
            ("a=x+y%20z%2B", "a", Some("x y z+")),
            ("%61=1", "a", Some("1")),
            ("a=%zz&a=2", "a", Some("2")),
            ("a=%2", "a", None),
            ("a=1;b=2", "a", None),
            ("b=1;&a=2", "a", Some("2")),
            ("&&a=2", "a", Some("2")),
            ("a=%ff", "a", Some("%FF")),
            ("a=caf%E9%2Fb+%C3%A9", "a", Some("caf%E9/b \u{e9}")),
            ("a=caf%25E9", "a", Some("caf%E9")),
            ("a=\u{e9}", "a", Some("\u{e9}")),
            ("", "a", None),
        ] {
            assert_eq!(Params::parse(query).get(name), value, "{query}");
        }
        assert_eq!(Params::parse("a=").given("a"), None);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let only = |query| Params::parse(query).only(&["job", "page"]);
        for right in ["", "&", "job=", "page=1&job=a"] {
            assert_eq!(only(right), Ok(()), "{right}");
        }
        for (wrong, sentence) in [
            (
                "job=a&jbo=b",
                "unknown query parameter \"jbo\": expected one of job, page",
            ),
            ("job=a&page=1&job=b", "job: expected once, found twice"),
            (
                "job=a;b",
                "expected name=value, with ; and % as %3B and %25, found \"job=a;b\"",
            ),
            (
                "x=%zz",
                "expected name=value, with ; and % as %3B and %25, found \"x=%zz\"",
            ),
        ] {
            assert_eq!(only(wrong), Err(sentence.into()), "{wrong}");
        }
    }

    #[test]
    fn values_are_numbers_or_of_a_list() {
        let params = Params::parse("a=7&b=-7&c=red");
        assert_eq!(params.number::<u32>("a"), Ok(Some(7)));
        assert_eq!(params.number::<u32>("d"), Ok(None));
        let sentence = "b: expected a number, found \"-7\"";
        assert_eq!(params.number::<u32>("b"), Err(sentence.into()));
        assert_eq!(params.one_of("c", &["blue", "red"]), Ok(Some(1)));
        assert_eq!(params.one_of("d", &["blue", "red"]), Ok(None));
        let sentence = "c: expected one of blue, green, found \"red\"";
        assert_eq!(params.one_of("c", &["blue", "green"]), Err(sentence.into()));
    }
}
