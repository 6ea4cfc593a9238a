//! URLs: those that people write as targets, and those that servers redirect
//! to.
//!
//! Only what a probe needs of RFC 3986: `http` and `https`, no fragment, and
//! every part checked so that it can be written into a request as it is.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

use crate::check::tcp::NO_ZONES;

/// An absolute `http` or `https` URL.
///
/// It is shown without its user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is `https`.
    pub(super) secure: bool,
    /// `user:password`, percent-decoded.
    pub(super) userinfo: Option<Box<[u8]>>,
    /// A name, or an address without brackets. ASCII without anything that
    /// delimits.
    pub(super) host: Box<str>,
    /// The port, if one was written.
    pub(super) explicit_port: Option<u16>,
    /// Path and query as they go into the request line: begins with a slash,
    /// visible ASCII only.
    pub(super) path: Box<str>,
}

/// Why a text is no URL that can be probed: a clause that begins with what is
/// wrong (`the port is not a number from 1 to 65535`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    /// It has another scheme.
    Scheme(String),
    /// It is malformed.
    Malformed(&'static str),
    /// So is its text: it has what no URL may have, in whichever part.
    Text(&'static str),
    /// It is right, and has an address with a zone.
    Zone,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) => write!(f, "the scheme {scheme} is not http or https"),
            Self::Malformed(what) | Self::Text(what) => f.write_str(what),
            Self::Zone => f.write_str(NO_ZONES),
        }
    }
}

impl Url {
    /// Parses a target. As in blackbox_exporter `http://` may be left out.
    pub(super) fn target(text: &str) -> Result<Self, UrlError> {
        match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme.as_bytes()) => {
                Self::absolute(is_secure(scheme.as_bytes())?, rest.as_bytes())
            }
            _ => Self::absolute(false, text.as_bytes()),
        }
    }

    /// Resolves a reference (the value of `Location`) against this URL: RFC
    /// 3986 section 5.2, with the fragment dropped. Two slashes without a host
    /// after them stay on this one, as for Go.
    pub(super) fn join(&self, reference: &[u8]) -> Result<Self, UrlError> {
        let reference = until(reference, b'#');
        if let Some(colon) = end_of_scheme(reference) {
            let secure = is_secure(&reference[..colon])?;
            let Some(rest) = reference[colon + 1..].strip_prefix(b"//") else {
                return Err(UrlError::Malformed("there is no host"));
            };
            return Ok(Self::absolute(secure, rest)?.without_dots());
        }
        let reference = match reference.strip_prefix(b"//") {
            // Nothing is between the slashes and the query: only that is new.
            Some(rest @ ([] | [b'?', ..])) => rest,
            // Three of them begin a path.
            Some([b'/', ..]) | None => reference,
            Some(rest) => return Ok(Self::absolute(self.secure, rest)?.without_dots()),
        };
        let base = self.path.split('?').next().unwrap_or("/");
        let path = match reference.first() {
            None => return Ok(self.clone()),
            Some(b'?') => Some(base.as_bytes().to_vec()),
            Some(b'/') => None,
            Some(_) => {
                // RFC 3986 section 5.2.3: everything up to the last slash.
                let directory = base.rfind('/').map_or("/", |slash| &base[..=slash]);
                Some(directory.as_bytes().to_vec())
            }
        };
        let mut path = path.unwrap_or_default();
        path.extend_from_slice(reference);
        let merged = Self {
            path: encode(&path)?,
            ..self.clone()
        };
        Ok(merged.without_dots())
    }

    /// Parses what follows `://`.
    fn absolute(secure: bool, rest: &[u8]) -> Result<Self, UrlError> {
        let rest = until(rest, b'#');
        let end = rest
            .iter()
            .position(|byte| b"/?".contains(byte))
            .unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (userinfo, host_port) = match authority.iter().rposition(|byte| *byte == b'@') {
            Some(at) => (Some(decode(&authority[..at])), &authority[at + 1..]),
            None => (None, authority),
        };
        let host_port = core::str::from_utf8(host_port)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(UrlError::Malformed(
                "the host is not ASCII (international names are written in their xn-- form)",
            ))?;
        let (host, explicit_port) = match host_port.rsplit_once(':') {
            // As Go reads it, whatever RFC 3986 says of brackets.
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port_number(port)?),
            _ => split_host_port(host_port)?,
        };
        let path = if path.first() == Some(&b'/') {
            encode(path)?
        } else {
            // "http://host?query" asks for the root (RFC 9112 section 3.2.1).
            encode(&[&b"/"[..], path].concat())?
        };
        Ok(Self {
            secure,
            userinfo,
            host: host.into(),
            explicit_port,
            path,
        })
    }

    fn without_dots(mut self) -> Self {
        self.path = remove_dot_segments(&self.path);
        self
    }

    /// The port to connect to.
    pub(super) const fn port(&self) -> u16 {
        match (self.explicit_port, self.secure) {
            (Some(port), _) => port,
            (None, false) => 80,
            (None, true) => 443,
        }
    }

    /// `host` or `host:port` as it was written: the value of a Host header.
    pub(super) fn authority(&self) -> impl fmt::Display + '_ {
        Authority(self)
    }

    /// Whether both name the same host, port and scheme aside.
    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Whether credentials that were meant for `target` may be sent here: to
    /// its host or one below it, and never in the clear if the target is
    /// `https`. Go, and blackbox_exporter with it, minds only the host.
    pub(super) fn may_see_secrets_of(&self, target: &Self) -> bool {
        self.is_within(target) && (self.secure || !target.secure)
    }

    /// Whether this is the same host as `parent` or a name below it (Go's
    /// `isDomainOrSubdomain`).
    fn is_within(&self, parent: &Self) -> bool {
        let (host, parent) = (self.host.as_bytes(), parent.host.as_bytes());
        let Some(split) = host.len().checked_sub(parent.len()) else {
            return false;
        };
        host[split..].eq_ignore_ascii_case(parent)
            && (split == 0 || host[split - 1] == b'.' && !is_address(&self.host))
    }
}

struct Authority<'a>(&'a Url);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.0.host;
        match host.contains(':') {
            true => write!(f, "[{host}]")?,
            false => f.write_str(host)?,
        }
        match self.0.explicit_port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Whether `host` is an IP address.
pub(super) fn is_address(host: &str) -> bool {
    host.parse::<core::net::IpAddr>().is_ok()
}

fn until(text: &[u8], end: u8) -> &[u8] {
    text.split(|byte| *byte == end).next().unwrap_or(text)
}

/// Whether a reference is absolute (RFC 3986 section 4.3).
pub(super) fn has_scheme(reference: &[u8]) -> bool {
    end_of_scheme(until(reference, b'#')).is_some()
}

fn end_of_scheme(reference: &[u8]) -> Option<usize> {
    let end = reference.iter().position(|byte| b":/?".contains(byte))?;
    (reference[end] == b':' && is_scheme(&reference[..end])).then_some(end)
}

/// The host that blackbox_exporter looks up before it finds that a target
/// cannot be connected to: the port is no number that ports have, the scheme is
/// another one (and then taken for a host), or there is no host at all. Empty
/// is one that nobody has to be asked for: no name has such characters.
///
/// `None` is a text that Go's `url.Parse` refuses, so that nothing is looked up.
pub(super) fn host_to_look_up(target: &str) -> Option<&str> {
    let rest = match target.split_once("://") {
        Some((scheme, rest)) if is_secure(scheme.as_bytes()).is_ok() => rest,
        _ => target,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host_port, ""),
    };
    let host = match host.strip_prefix('[') {
        // With a zone it is an address all the same.
        Some(inner) => {
            let address = inner.strip_suffix(']')?.split('%').next()?;
            Some(address).filter(|it| is_address(it))?
        }
        None if host.bytes().all(is_host_byte) => host,
        None => host.bytes().all(is_host_byte_of_go).then_some("")?,
    };
    let is_user_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    (user.bytes().all(is_user_byte)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && encode(path.as_bytes()).is_ok())
    .then_some(host)
}

/// Whether Go's `url.Parse` takes this for host and port, whether or not anything
/// can be there.
pub(crate) fn go_takes_host(host_port: &str) -> bool {
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host_port, ""),
    };
    let is_host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(is_address),
        None => host.bytes().all(is_host_byte_of_go),
    };
    is_host && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// What Go's `url.Parse` lets stand in a host that is no address in brackets.
const fn is_host_byte_of_go(byte: u8) -> bool {
    !byte.is_ascii()
        || is_host_byte(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'<'
                | b'>'
                | b'"'
                | b']'
        )
}

/// RFC 3986 section 3.1.
pub(crate) fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

fn is_secure(scheme: &[u8]) -> Result<bool, UrlError> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Ok(true)
    } else if scheme.eq_ignore_ascii_case(b"http") {
        Ok(false)
    } else {
        let shown = scheme.escape_ascii().to_string();
        Err(UrlError::Scheme(shown))
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; an empty port is none.
pub(crate) fn split_host_port(text: &str) -> Result<(&str, Option<u16>), UrlError> {
    let wrong = |what| Err(UrlError::Malformed(what));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, after)) = rest.split_once(']') else {
                return wrong("the host has no closing bracket");
            };
            if let Some((address, _)) = host.split_once('%')
                && address.parse::<Ipv6Addr>().is_ok()
            {
                return Err(UrlError::Zone);
            }
            if host.parse::<Ipv6Addr>().is_err() {
                return wrong("what is in brackets is not an IPv6 address");
            }
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return wrong("something other than a port follows the IPv6 address"),
            }
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if port.contains(':') {
                return wrong("the host has too many colons (an IPv6 address needs brackets)");
            }
            if host.is_empty() {
                return wrong("there is no host");
            }
            if !host.bytes().all(is_host_byte) {
                return wrong("the host has a character that names do not have");
            }
            (host, port)
        }
    };
    Ok((host, port_number(port)?))
}

fn port_number(port: &str) -> Result<Option<u16>, UrlError> {
    match port.parse() {
        _ if port.is_empty() => Ok(None),
        Ok(number) if number > 0 && !port.starts_with('+') => Ok(Some(number)),
        _ => Err(UrlError::Malformed(
            "the port is not a number from 1 to 65535",
        )),
    }
}

/// What RFC 3986 calls unreserved: names in use, underscores included.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The host of an authority, without brackets; the port may be any.
pub(super) fn host_of(authority: &str) -> &str {
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|it| it.split_once(']'));
    match (bracketed, authority.split_once(':')) {
        (Some((host, _)), _) => host,
        (None, Some((host, port))) if !port.contains(':') => host,
        _ => authority,
    }
}

/// Percent-encodes what must not stand in a request line. In the path these
/// are also the characters that RFC 3986 leaves out; a query goes out as it
/// was written but for spaces and non-ASCII. What Go's `url.Parse` refuses is
/// refused: control characters, and in the path a `%` without two digits.
fn encode(path: &[u8]) -> Result<Box<str>, UrlError> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(path.len());
    let mut query = false;
    for (at, byte) in path.iter().enumerate() {
        query |= *byte == b'?';
        if byte.is_ascii_control() {
            return Err(UrlError::Text("there is a control character"));
        }
        let digits = path.get(at + 1..at + 3);
        let escapes = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if *byte == b'%' && !query && !escapes {
            let what = "the path has a % without two hexadecimal digits (it is written as %25)";
            return Err(UrlError::Text(what));
        }
        let plain = byte.is_ascii_graphic() && (query || !b"\"<>\\^`{|}".contains(byte));
        if plain {
            encoded.push(char::from(*byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Ok(encoded.into())
}

/// Percent-decodes; a `%` without two digits stands for itself.
pub(crate) fn decode(text: &[u8]) -> Box<[u8]> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded.into()
}

/// RFC 3986 section 5.2.4, for a path that begins with a slash; a query is
/// left alone.
fn remove_dot_segments(path_and_query: &str) -> Box<str> {
    let (path, query) = match path_and_query.find('?') {
        Some(at) => path_and_query.split_at(at),
        None => (path_and_query, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut clean = "/".to_owned();
    clean.push_str(&kept.join("/"));
    clean.push_str(query);
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        for (text, shown, port) in [
            ("a.example", "http://a.example/", 80),
            ("a.example:8080/x", "http://a.example:8080/x", 8080),
            ("HTTPS://a.example", "https://a.example/", 443),
            ("HtTp://a.example:80?q", "http://a.example:80/?q", 80),
            ("http://[::1]:81/x", "http://[::1]:81/x", 81),
            ("http://[::1]", "http://[::1]/", 80),
            ("::1:8006", "http://[::1]:8006/", 8006),
            ("http://2001:db8::1:81/x", "http://[2001:db8::1]:81/x", 81),
            ("http://a:/x", "http://a/x", 80),
            (
                "http://a/x y\u{e9}?q=a b#part",
                "http://a/x%20y%C3%A9?q=a%20b",
                80,
            ),
            ("http://a/{x}?{y}", "http://a/%7Bx%7D?{y}", 80),
            ("http://a/%41/../b?%zz%", "http://a/%41/../b?%zz%", 80),
            ("a:1/go?to=http://b", "http://a:1/go?to=http://b", 1),
            ("a/go/http://b", "http://a/go/http://b", 80),
        ] {
            let url = Url::target(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.port()),
                (shown, port),
                "{text}"
            );
        }
    }

    #[test]
    fn user_information_is_decoded_and_never_shown() {
        let url = Url::target("http://us%65r:p@ss%3a@a.example:1/").unwrap();
        assert_eq!(url.userinfo.as_deref(), Some(&b"user:p@ss:"[..]));
        assert_eq!(
            format!("{url:?} {url}"),
            "Url(http://a.example:1/) http://a.example:1/"
        );
    }

    #[test]
    fn a_zone_is_no_mistake() {
        for text in [
            "http://[fe80::1%25eth0]/",
            "[::1%lo]:80",
            "http://[::1%25lo]:80/x",
        ] {
            let error = Url::target(text).expect_err("zones are not spoken");
            assert!(matches!(error, UrlError::Zone), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "http://",
            "http:///x",
            "ftp://a.example",
            "invalid://a",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a:http",
            "http://::1",
            "http://2001:db8::1",
            "::1:0",
            "http://[::1",
            "http://[a]",
            "http://[::1]x",
            "http://[fe80::1%25eth0]/",
            "http://a b/",
            "http://a\r\nX: 1/",
            "http://a%0d/",
            "http://a/a\r\nX: 1",
            "http://a/?\x7f",
            "http://a/100%",
            "http://a/%zz",
            "http://b\u{fc}cher.example",
            "\0",
        ] {
            assert!(Url::target(text).is_err(), "{text}");
        }
        let error = Url::target("ftp://a").unwrap_err();
        assert_eq!(error.to_string(), "the scheme ftp is not http or https");
    }

    #[test]
    fn what_blackbox_exporter_would_look_up_of_no_target() {
        for (target, host) in [
            ("http://a.example:99999/x", Some("a.example")),
            ("http://u:p@a.example:0", Some("a.example")),
            ("[::1]:0", Some("::1")),
            ("ftp://a.example/", Some("ftp")),
            ("http:///x", Some("")),
            ("/", Some("")),
            ("http://a@/", Some("")),
            ("http://u:p@q@:1/", Some("")),
            // No name has these, and nobody is asked for one.
            ("ht!tp://x", Some("")),
            ("http://b\u{fc}cher.example/\u{e4}", Some("")),
            ("\u{e9}:1", Some("")),
            ("http://$&'()*+,;=<>\"]/", Some("")),
            ("127.0.0.1:1:1", Some("")),
            ("::1", Some("")),
            ("http://[fe80::1%25lo]/", Some("fe80::1")),
            ("[fe80::1%lo]:1", Some("fe80::1")),
            ("http://[a]/", None),
            ("http://a[::1]/", None),
            ("http://u p@b\u{fc}cher.example/", None),
            ("http://\u{fc}@a:0/", None),
            ("http://a\\b/", None),
            ("http://{a}/", None),
            ("http://a|b/", None),
            ("http://a%41/", None),
            ("http://a:http", None),
            ("http://a b:0", None),
            ("http://[::1:0", None),
            ("http://a:0/%zz", None),
        ] {
            assert!(Url::target(target).is_err(), "{target}");
            assert_eq!(host_to_look_up(target), host, "{target}");
        }
    }

    /// RFC 3986 sections 5.4.1 and 5.4.2, as far as a base without parameters
    /// and an http scheme go.
    #[test]
    fn references_resolve_as_in_rfc_3986() {
        let base = Url::target("http://a/b/c/d;p?q").unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://h:1/./x", "https://h:1/x"),
            ("HTTP://h?q", "http://h/?q"),
            ("a b", "http://a/b/c/a%20b"),
            ("x/y:z", "http://a/b/c/x/y:z"),
            // Without a host, as Go has it.
            ("//", "http://a/b/c/d;p?q"),
            ("//#s", "http://a/b/c/d;p?q"),
            ("//?y", "http://a/b/c/d;p?y"),
            ("///", "http://a///"),
            ("///g/h", "http://a///g/h"),
            ("////g", "http://a////g"),
            ("///../g", "http://a//g"),
        ] {
            let url = base.join(reference.as_bytes()).unwrap();
            assert_eq!(url.to_string(), expected, "{reference}");
        }
        for reference in [
            "g:h",
            "http:g",
            "ftp://a/",
            "http://",
            "http:///g",
            "//:80/g",
            "//@/g",
            "//a:0/",
            "javascript:x",
        ] {
            assert!(base.join(reference.as_bytes()).is_err(), "{reference}");
        }
    }

    #[test]
    fn a_scheme_relative_reference_keeps_the_scheme() {
        let base = Url::target("https://user@a.example:8443/x").unwrap();
        let other = base.join(b"//b.example/y").unwrap();
        assert_eq!(other.to_string(), "https://b.example/y");
        assert_eq!(other.userinfo, None);
        let same = base.join(b"y").unwrap();
        assert_eq!(same.to_string(), "https://a.example:8443/y");
        assert!(same.userinfo.is_some());
    }

    #[test]
    fn credentials_may_go_to_the_host_and_below() {
        let parent = Url::target("example.com").unwrap();
        for (host, expected) in [
            ("example.com:8080", true),
            ("EXAMPLE.com", true),
            ("a.example.com", true),
            ("badexample.com", false),
            ("com", false),
            ("example.com.evil.org", false),
        ] {
            assert_eq!(
                Url::target(host).unwrap().is_within(&parent),
                expected,
                "{host}"
            );
        }
        let address = Url::target("1.1.1.1").unwrap();
        let numbers = Url::target("0.0.0.1").unwrap();
        assert!(!address.is_within(&numbers));
    }

    proptest! {
        #[test]
        fn no_reference_gets_out_of_the_request_line(reference: Vec<u8>, target: String) {
            let base = Url::target("http://a/b").unwrap();
            for url in [base.join(&reference), Url::target(&target)].into_iter().flatten() {
                prop_assert!(url.path.starts_with('/'));
                prop_assert!(url.path.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(split_host_port(&url.authority().to_string()).is_ok());
            }
        }
    }
}
