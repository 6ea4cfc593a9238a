//! Cookies that redirects set, for the requests that follow in the same run
//! (RFC 6265).
//!
//! A jar begins empty with every run, and only hosts of one chain of redirects
//! put anything into it. There is no list of public suffixes: what one host of
//! the chain could plant for another by naming a suffix that they share, it
//! can as well put into the address that it redirects to. A domain without a
//! dot is refused all the same.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::IpAddr;

use super::date;
use super::request::is_token;
use super::response::Head;
use super::url::{Url, is_address};
use crate::limits::MAX_COOKIE_BYTES;

/// The cookies of a run, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, PartialEq)]
struct Cookie {
    name: Box<str>,
    value: Box<str>,
    /// Lower case.
    domain: Box<str>,
    /// Whether hosts below the domain see it too.
    below: bool,
    path: Box<str>,
    secure: bool,
}

impl core::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Cookie {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len()
    }

    fn replaces(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    fn goes_to(&self, url: &Url) -> bool {
        let host = url.host.to_ascii_lowercase();
        let path = url.path.split('?').next().unwrap_or("/");
        (host == *self.domain || self.below && is_below(&host, &self.domain))
            && is_within(path, &self.path)
            && (!self.secure || url.secure || is_loopback(&host))
    }
}

/// What an attribute list says: a cookie to keep, or one to forget.
enum Said {
    Keep(Cookie),
    Forget(Cookie),
}

impl Jar {
    /// Takes the cookies that a response from `url` sets. What exceeds
    /// [`MAX_COOKIE_BYTES`] is left out.
    pub(super) fn take(&mut self, head: &Head<'_, '_>, url: &Url) {
        // The only clock here: a cookie is forgotten if it expires before its
        // own response. Without it, only what expired before any run is.
        let now = head.value("Date").and_then(date::parse);
        for value in head.values("Set-Cookie") {
            let said = core::str::from_utf8(value).ok();
            match said.and_then(|text| read(text, url, now.unwrap_or(WRITTEN))) {
                Some(Said::Forget(cookie)) => self.cookies.retain(|old| !cookie.replaces(old)),
                Some(Said::Keep(cookie)) => self.put(cookie),
                None => {}
            }
        }
    }

    fn put(&mut self, cookie: Cookie) {
        let old = self.cookies.iter_mut().find(|old| cookie.replaces(old));
        let kept = old.as_ref().map_or(0, |old| old.bytes());
        let others = self.bytes() - kept;
        if others + cookie.bytes() > MAX_COOKIE_BYTES {
            return;
        }
        match self.cookies.iter_mut().find(|old| cookie.replaces(old)) {
            Some(old) => *old = cookie,
            None => self.cookies.push(cookie),
        }
    }

    fn bytes(&self) -> usize {
        self.cookies.iter().map(Cookie::bytes).sum()
    }

    /// The value of `Cookie` for a request, `configured` first, of which what
    /// has been set since is left out (as Go does it).
    pub(super) fn field(&self, url: &Url, configured: Option<&str>) -> Option<String> {
        let is_set = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default().trim();
            self.cookies.iter().any(|cookie| *cookie.name == *name)
        };
        let mut pairs: Vec<String> = match configured {
            Some(text) if text.split(';').any(is_set) => {
                let left = text.split(';').filter(|pair| !is_set(pair));
                left.map(|pair| pair.trim().to_owned()).collect()
            }
            Some(text) => [text.to_owned()].into(),
            None => Vec::new(),
        };
        let mut going: Vec<&Cookie> = self.cookies.iter().filter(|it| it.goes_to(url)).collect();
        // RFC 6265 section 5.4: longer paths first, then older cookies.
        going.sort_by_key(|cookie| Reverse(cookie.path.len()));
        let pair = |cookie: &&Cookie| [&*cookie.name, "=", &*cookie.value].concat();
        pairs.extend(going.iter().map(pair));
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// 2026-01-01, in Unix time: nobody ran this before it was written.
const WRITTEN: i64 = 1_767_225_600;

/// RFC 6265 section 5.2, from the host of `url`.
fn read(text: &str, url: &Url, now: i64) -> Option<Said> {
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let bare = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    let legal = |byte: u8| matches!(byte, 0x20..0x7f) && !b"\";\\".contains(&byte);
    if !is_token(name) || !bare.bytes().all(legal) {
        return None;
    }
    let host = url.host.to_ascii_lowercase();
    let mut cookie = Cookie {
        name: name.into(),
        value: value.into(),
        domain: host.as_str().into(),
        below: false,
        path: default_path(&url.path).into(),
        secure: false,
    };
    let (mut expires, mut max_age) = (None, None);
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("Secure") {
            cookie.secure = true;
        } else if key.eq_ignore_ascii_case("Path") && value.starts_with('/') {
            cookie.path = value.into();
        } else if key.eq_ignore_ascii_case("Domain") && !value.is_empty() {
            (cookie.domain, cookie.below) = domain(value, &host)?;
        } else if key.eq_ignore_ascii_case("Max-Age") {
            max_age = value.parse::<i64>().ok();
        } else if key.eq_ignore_ascii_case("Expires") {
            // Dashes between the parts of a date are an old custom.
            let dashed = value.replace('-', " ");
            expires = date::parse(value.as_bytes()).or_else(|| date::parse(dashed.as_bytes()));
        }
    }
    // It matters little how long a cookie lives: the run is over in seconds.
    let expired = match (max_age, expires) {
        (Some(seconds), _) => seconds <= 0,
        (None, Some(at)) => at <= now,
        (None, None) => false,
    };
    Some(match expired {
        true => Said::Forget(cookie),
        false => Said::Keep(cookie),
    })
}

/// The domain of a cookie that `host` sets for `said`, and whether hosts below
/// it see it; `None` if the host may not.
fn domain(said: &str, host: &str) -> Option<(Box<str>, bool)> {
    let said = said.strip_prefix('.').unwrap_or(said).to_ascii_lowercase();
    if is_address(host) || !said.contains('.') {
        return (said == host).then(|| (host.into(), false));
    }
    let legal = !said.starts_with('.') && !said.ends_with('.');
    (legal && (said == host || is_below(host, &said))).then(|| (said.into(), true))
}

fn is_below(host: &str, domain: &str) -> bool {
    let below = host.strip_suffix(domain);
    below.is_some_and(|rest| rest.ends_with('.')) && !is_address(host)
}

/// Whether what goes to `host` in the clear does not leave the machine: Go and
/// browsers send it `Secure` cookies.
fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// RFC 6265 section 5.1.4: up to the last slash of the path.
fn default_path(path: &str) -> String {
    let path = path.split('?').next().unwrap_or("/");
    match path.rfind('/') {
        None | Some(0) => "/".to_string(),
        Some(end) => path[..end].to_string(),
    }
}

fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || outer.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::http::response::Raw;
    use alloc::format;

    fn url(text: &str) -> Url {
        Url::target(text).unwrap()
    }

    fn jar(from: &str, fields: &[&str]) -> Jar {
        let mut jar = Jar::default();
        add(&mut jar, from, fields);
        jar
    }

    fn add(jar: &mut Jar, from: &str, fields: &[&str]) {
        let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("HTTP/1.1 302 Found\r\n{lines}\r\n");
        let mut fields = Head::fields();
        let raw = Raw::new(text.as_bytes()).unwrap();
        let head = Head::parse(&raw, &mut fields).unwrap();
        jar.take(&head, &url(from));
    }

    #[test]
    fn a_cookie_goes_where_it_was_set_for() {
        for (from, set, to, sent) in [
            ("http://a.test/x/y", "k=v", "http://a.test/x/z", true),
            ("http://a.test/x/y", "k=v", "http://a.test/x", true),
            ("http://a.test/x/y", "k=v", "http://a.test/xy", false),
            ("http://a.test/x/y", "k=v", "http://a.test/", false),
            ("http://a.test/x/y", "k=v; Path=/", "http://a.test/?q", true),
            ("http://a.test/x", "k=v; path=y", "http://a.test/z", true),
            ("http://a.test/", "k=v", "http://b.a.test/", false),
            ("http://a.test/", "k=v", "http://A.TEST:81/", true),
            (
                "http://a.test/",
                "k=v; Domain=a.test",
                "http://b.a.test/",
                true,
            ),
            (
                "http://b.a.test/",
                "k=v; Domain=.A.test",
                "http://c.a.test/",
                true,
            ),
            (
                "http://b.a.test/",
                "k=v; Domain=c.a.test",
                "http://c.a.test/",
                false,
            ),
            (
                "http://a.test/",
                "k=v; Domain=test",
                "http://b.test/",
                false,
            ),
            (
                "http://a.test/",
                "k=v; Domain=ba.test",
                "http://ba.test/",
                false,
            ),
            ("http://192.0.2.7/", "k=v", "http://192.0.2.7:81/", true),
            (
                "http://192.0.2.7/",
                "k=v; Domain=192.0.2.7",
                "http://192.0.2.7/",
                true,
            ),
            (
                "http://192.0.2.7/",
                "k=v; Domain=0.2.7",
                "http://192.0.2.7/",
                false,
            ),
            ("http://a.test/", "k=v; Secure", "http://a.test/", false),
            ("http://a.test/", "k=v; secure", "https://a.test/", true),
            (
                "http://127.0.0.1/",
                "k=v; Secure",
                "http://127.0.0.1:81/",
                true,
            ),
            ("http://[::1]/", "k=v; Secure", "http://[::1]/", true),
            (
                "http://Localhost/",
                "k=v; Secure",
                "http://localhost/",
                true,
            ),
            (
                "http://a.test/",
                "k=v; HttpOnly; SameSite=Strict",
                "http://a.test/",
                true,
            ),
            ("http://a.test/", "k=v; Max-Age=0", "http://a.test/", false),
            ("http://a.test/", "k=v; Max-Age=9", "http://a.test/", true),
            (
                "http://a.test/",
                "k=v; Expires=Thu, 01-Jan-1970 00:00:01 GMT",
                "http://a.test/",
                false,
            ),
            (
                "http://a.test/",
                "k=v; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
                "http://a.test/",
                true,
            ),
            ("http://a.test/", "k=\"v w\"", "http://a.test/", true),
            ("http://a.test/", "k=v\\w", "http://a.test/", false),
            ("http://a.test/", "k k=v", "http://a.test/", false),
            ("http://a.test/", "k", "http://a.test/", false),
            ("http://a.test/", "=v", "http://a.test/", false),
        ] {
            let field = jar(from, &[&format!("Set-Cookie: {set}")]).field(&url(to), None);
            assert_eq!(field.is_some(), sent, "{set} from {from} to {to}");
        }
    }

    #[test]
    fn cookies_are_sorted_replaced_and_forgotten() {
        let from = "http://a.test/x/";
        let mut jar = jar(
            from,
            &[
                "Set-Cookie: a=1; Path=/",
                "Set-Cookie: b=2",
                "Set-Cookie: c=3",
            ],
        );
        let field = |jar: &Jar| jar.field(&url(from), None).unwrap();
        assert_eq!(field(&jar), "b=2; c=3; a=1");
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        let expired = "Set-Cookie: c=; Expires=Sun, 06 Nov 1994 08:49:37 GMT";
        add(&mut jar, from, &[date, expired, "Set-Cookie: b=4"]);
        assert_eq!(field(&jar), "b=4; a=1");
        let configured = Some("x=1; a=9; y=2");
        let sent = jar.field(&url(from), configured).unwrap();
        assert_eq!(sent, "x=1; y=2; b=4; a=1");
        assert_eq!(
            Jar::default().field(&url(from), configured).as_deref(),
            configured
        );
    }

    #[test]
    fn a_jar_is_bounded() {
        let big = format!("Set-Cookie: k={}", "x".repeat(MAX_COOKIE_BYTES));
        let small = "Set-Cookie: s=1";
        let jar = jar("http://a.test/", &[&big, small]);
        assert_eq!(
            jar.field(&url("http://a.test/"), None).as_deref(),
            Some("s=1")
        );
        assert!(!format!("{jar:?}").contains('1'), "values are not shown");
    }
}
