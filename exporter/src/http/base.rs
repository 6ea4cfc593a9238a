//! Where the pages are, seen from outside: `--web.external-url` and
//! `--web.route-prefix`, by the rules of blackbox_exporter.

use std::fmt;

/// The external URL and the prefix of all paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    external: External,
    /// `/`, or `/some/path/`.
    prefix: String,
}

/// An external URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// As it was given, without slashes at its end; empty if it was not.
    text: String,
    /// Its path, likewise.
    path: String,
}

impl External {
    /// Reads what was typed; nothing is "where the machine is reached by its
    /// name".
    ///
    /// # Errors
    /// If it is no URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let quotes = ['"', '\''];
        if text.starts_with(quotes) || text.ends_with(quotes) {
            return Err("URL must not begin or end with quotes".into());
        }
        let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '{' | '}');
        if let Some(found) = text.chars().find(|c| odd(*c)) {
            return Err(format!(
                "expected a URL, found {found:?} in it: write it as %XX"
            ));
        }
        let text = text.split(['?', '#']).next().unwrap_or_default();
        let text = text.trim_end_matches('/');
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
            None => text,
        };
        let slash = if path.is_empty() || path.starts_with('/') {
            ""
        } else {
            "/"
        };
        Ok(Self {
            text: text.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

/// Reads a prefix that was typed.
///
/// # Errors
/// If no path can begin with it.
pub fn prefix(text: &str) -> Result<String, String> {
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '{' | '}' | '?' | '#');
    match text.chars().find(|c| odd(*c)) {
        Some(found) => Err(format!("expected a path, found {found:?} in it")),
        None => Ok(text.to_owned()),
    }
}

impl Base {
    /// `prefix` is what was typed; without it, it is the path of the URL.
    pub fn new(external: External, prefix: Option<&str>) -> Self {
        let typed = prefix.filter(|prefix| !prefix.is_empty());
        let trimmed = typed.unwrap_or(&external.path).trim_matches('/');
        let prefix = match trimmed {
            "" => "/".to_owned(),
            trimmed => format!("/{trimmed}/"),
        };
        Self { external, prefix }
    }

    /// Whether all is at the root.
    pub fn is_root(&self) -> bool {
        self.prefix == "/"
    }

    /// The prefix, with a slash at its beginning and end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path of a page; `page` begins with a slash.
    pub fn path(&self, page: &str) -> String {
        format!("{}{page}", self.prefix.trim_end_matches('/'))
    }

    /// Where `/` leads if all is somewhere else.
    pub fn external(&self) -> &str {
        if self.external.text.is_empty() {
            &self.prefix
        } else {
            &self.external.text
        }
    }
}

impl Default for Base {
    fn default() -> Self {
        Self::new(External::default(), None)
    }
}

impl fmt::Display for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_quotes_and_no_urls_are_refused() {
        for wrong in [
            "'https://a/b'",
            "'path/in/quotes'",
            "\"http://a",
            "a/b\"",
            "'",
            "http://a b/",
            "http://a/\n",
        ] {
            assert!(External::parse(wrong).is_err(), "{wrong}");
        }
        for right in ["", "http://a.example/b", "https://double--dash.example"] {
            assert_eq!(External::parse(right).unwrap().to_string(), right);
        }
    }

    #[test]
    fn the_prefix_is_that_of_the_url_unless_it_is_given() {
        for (url, typed, prefix, leads) in [
            ("", None, "/", "/"),
            ("", Some(""), "/", "/"),
            ("", Some("/"), "/", "/"),
            ("", Some("x"), "/x/", "/x/"),
            ("", Some("//x/y//"), "/x/y/", "/x/y/"),
            ("http://a.example", None, "/", "http://a.example"),
            ("http://a.example/", None, "/", "http://a.example"),
            (
                "http://a.example/b/c/",
                None,
                "/b/c/",
                "http://a.example/b/c",
            ),
            ("http://a.example/b?c=/d", None, "/b/", "http://a.example/b"),
            ("http://a.example/b", Some("/"), "/", "http://a.example/b"),
            (
                "http://a.example/b",
                Some("/d"),
                "/d/",
                "http://a.example/b",
            ),
            ("only/a/path", None, "/only/a/path/", "only/a/path"),
        ] {
            let base = Base::new(External::parse(url).unwrap(), typed);
            assert_eq!(base.prefix(), prefix, "{url} {typed:?}");
            assert_eq!(base.external(), leads, "{url} {typed:?}");
        }
        let base = Base::new(External::default(), Some("x"));
        assert_eq!(base.path("/probe"), "/x/probe");
        assert_eq!(Base::default().path("/probe"), "/probe");
    }
}
