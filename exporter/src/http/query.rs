//! Query strings as Go's `url.ParseQuery` reads them, which is what the other
//! side of every scrape was tested with.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The pairs of a query string, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Pairs that are not well formed, and those with a semicolon, are left
    /// out.
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| {
            if pair.is_empty() || pair.contains(';') {
                return None;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name)?, unescape(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
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

/// Go's `url.QueryUnescape`: `None` if a `%` is not followed by two digits.
/// What is not UTF-8 then is replaced, since our labels and pages have to be.
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
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
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
            ("a=%ff", "a", Some("\u{fffd}")),
            ("a=\u{e9}", "a", Some("\u{e9}")),
            ("", "a", None),
        ] {
            assert_eq!(Params::parse(query).get(name), value, "{query}");
        }
        assert_eq!(Params::parse("a=").given("a"), None);
    }
}
