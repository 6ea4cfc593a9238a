//! Requests: the header fields that are configured, and how a request looks on
//! the wire (RFC 9112 section 3, in the order in which Go writes it).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::auth::basic_credentials;
use super::config::{Body, HttpHeader, Module};
use super::place::Carried;
use super::url::{Url, is_authority};
use crate::check::tunnel::proxy_authorization;
use crate::config::{Cause, ConfigError, Files, Proxy, Secret};
use crate::h2::RequestHead;
use crate::limits::MAX_OWN_BODY_BYTES;

/// Name (in canonical form) and value of configured fields, sorted by name.
pub(super) type Fields = Box<[(Box<str>, Box<str>)]>;

/// Allow-lists and log filters know the first product; the version is that of
/// the blackbox_exporter whose requests these are.
pub(crate) const USER_AGENT: &str = concat!(
    "Blackbox-Exporter/0.28.0 (probity/",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The configured headers, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Headers {
    pub(super) host: Option<Box<str>>,
    pub(super) fields: Fields,
}

/// A field of `http_headers`.
#[derive(Debug, PartialEq)]
pub(super) struct Added {
    name: Box<str>,
    value: Secret,
    /// Whether only the host of the target may see it.
    secret: bool,
}

/// Refuses names that no field of `http_headers` may have.
pub(crate) fn check_added(configured: &BTreeMap<String, HttpHeader>) -> Result<(), ConfigError> {
    for written in configured.keys() {
        let name = canonical(written);
        let message = if RESERVED.contains(&&*name) {
            format!("setting header {name:?} is not allowed")
        } else if !is_token(written) {
            format!("expected the name of a header, found {written:?}")
        } else {
            continue;
        };
        let field = format!("http_headers.{written}");
        return Err(ConfigError::new(&field, message));
    }
    Ok(())
}

/// The fields that `http_headers` adds to every request, sorted by name.
pub(super) fn added(
    configured: &BTreeMap<String, HttpHeader>,
    files: &dyn Files,
) -> Result<Box<[Added]>, ConfigError> {
    check_added(configured)?;
    let mut fields = Vec::new();
    for (written, header) in configured {
        let wrong = |field: &str, message: String| {
            ConfigError::new(&format!("http_headers.{written}{field}"), message)
        };
        let name = canonical(written);
        if FRAMING.contains(&&*name) {
            continue;
        }
        let mut add = |field: &str, text: &str, secret: bool| {
            if !is_field_value(text) {
                let rule = "expected text without line breaks or other control characters";
                return Err(wrong(field, rule.into()));
            }
            fields.push(Added {
                name: name.clone(),
                value: Secret::new(text),
                secret,
            });
            Ok(())
        };
        for (index, value) in header.values.iter().enumerate() {
            add(&format!(".values[{index}]"), value, false)?;
        }
        for (index, value) in header.secrets.iter().enumerate() {
            add(&format!(".secrets[{index}]"), value.reveal(), true)?;
        }
        for (index, path) in header.files.iter().enumerate() {
            let field = format!(".files[{index}]");
            let content = files.read(path).map_err(|why| ConfigError {
                cause: Cause::Unready,
                ..wrong(&field, why)
            })?;
            // What a file holds may be mended without a change of the
            // configuration.
            let unready = |error| ConfigError {
                cause: Cause::Unready,
                ..error
            };
            let text = core::str::from_utf8(&content).map_err(|_| {
                unready(wrong(&field, format!("{path}: expected text, found bytes")))
            })?;
            add(&field, text.trim(), true).map_err(unready)?;
        }
    }
    fields.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(fields.into())
}

/// Fields that `http_headers` may not have: Prometheus' list.
const RESERVED: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// Fields that follow from the body; a configured one is ignored, as by Go.
const FRAMING: [&str; 3] = ["Content-Length", "Trailer", "Transfer-Encoding"];

/// Fields that describe the body, and go with it.
const OF_BODY: [&str; 4] = [
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Type",
];

/// Fields that only the host of the target may see, and of an `https` target
/// nobody on the way: Go's list.
const SENSITIVE: [&str; 5] = [
    "Authorization",
    "Cookie",
    "Cookie2",
    "Proxy-Authorization",
    "Www-Authenticate",
];

/// Fields about a connection, which HTTP/2 does not have (RFC 9113 section
/// 8.2.2); `TE` may ask for trailers.
const OF_CONNECTION: [&str; 6] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Te",
    "Transfer-Encoding",
    "Upgrade",
];

/// Checks configured headers, so that none can inject anything.
pub(super) fn headers(configured: &BTreeMap<String, String>) -> Result<Headers, ConfigError> {
    let mut host = None;
    let mut fields = BTreeMap::<Box<str>, Box<str>>::new();
    for (name, value) in configured {
        let wrong = |message: String| ConfigError::new(&format!("headers.{name}"), message);
        if !is_token(name) {
            return Err(wrong(format!(
                "expected the name of a header, found {name:?}"
            )));
        }
        if !is_field_value(value) {
            return Err(wrong(
                "expected text without line breaks or other control characters".into(),
            ));
        }
        let (name, value) = (canonical(name), value.trim());
        if &*name == "Host" {
            if !value.is_empty() && !is_authority(value) {
                return Err(wrong(format!(
                    "expected a host with an optional port, found {value:?}"
                )));
            }
            host = Some(value)
                .filter(|value| !value.is_empty())
                .map(Into::into);
        } else if !FRAMING.contains(&&*name) && fields.insert(name, value.into()).is_some() {
            return Err(wrong("the header is given twice, in different case".into()));
        }
    }
    Ok(Headers {
        host,
        fields: fields.into_iter().collect(),
    })
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110 section 5.5, without the space around a value.
pub(crate) fn is_field_value(text: &str) -> bool {
    !text
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Whether a request with this `Accept-Encoding` may be answered in `coding`,
/// by blackbox_exporter's reading of RFC 9110 section 12.5.3: of what is
/// accepted, best first, the first entry that is the coding or `*` decides.
pub(super) fn accepts(accepted: &str, coding: &str) -> bool {
    if accepted.is_empty() {
        return true;
    }
    let entry = |entry: &str| match entry.rsplit_once(';') {
        None => (entry.trim().into(), 1000),
        Some((name, weight)) => {
            let weight = weight.trim_start_matches(['q', '=', ' ']);
            let weight = weight.trim_end().parse().unwrap_or(0.0_f32);
            // Weights have three digits.
            (name.trim().into(), (weight * 1000.0 + 0.5) as i64)
        }
    };
    let mut entries: Vec<(String, i64)> = accepted.split(',').map(entry).collect();
    entries.sort_by_key(|(_, weight)| core::cmp::Reverse(*weight));
    let decides = entries
        .iter()
        .find(|(name, _)| name == coding || name == "*");
    decides.is_some_and(|(_, weight)| *weight > 0)
}

/// A name with upper case at the beginning of each word, as Go writes it.
fn canonical(name: &str) -> Box<str> {
    let mut first = true;
    let letter = |letter: char| {
        let written = match first {
            true => letter.to_ascii_uppercase(),
            false => letter.to_ascii_lowercase(),
        };
        first = letter == '-';
        written
    };
    name.chars().map(letter).collect::<String>().into()
}

/// One request of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) module: &'a Module,
    pub(super) url: &'a Url,
    /// The value of Host, if it is not that of the URL.
    pub(super) host: Option<&'a str>,
    /// Whether the body and what describes it are left out, and with them
    /// every method but HEAD: a redirect asked for a GET.
    pub(super) bare: bool,
    /// Whether the host may see the configured credentials.
    pub(super) trusted: bool,
    /// What was fetched to be the value of Authorization.
    pub(super) token: Option<&'a Secret>,
    /// What a redirect adds.
    pub(super) carried: Option<&'a Carried>,
}

impl Request<'_> {
    /// The bytes on the wire.
    pub(super) fn render(&self) -> Vec<u8> {
        self.render_for(None)
    }

    /// The bytes as `proxy` is given them: with the target in absolute form,
    /// in which the host is that of the Host field (RFC 9112 section 3.2.2).
    pub(super) fn forwarded(&self, proxy: &Proxy) -> Vec<u8> {
        self.render_for(Some(proxy))
    }

    fn render_for(&self, proxy: Option<&Proxy>) -> Vec<u8> {
        // Writing to a String cannot fail.
        let mut head = String::with_capacity(256);
        let _ = write!(head, "{} ", self.method());
        if proxy.is_some() {
            let _ = write!(head, "http://{}", self.authority());
        }
        let _ = write!(head, "{} HTTP/1.1\r\n", self.url.path);
        let mut field = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n");
        };
        field("Host", &self.authority());
        self.each_field(&mut field);
        if !self.closes() {
            field("Connection", "close");
        }
        if let Some(value) = proxy.and_then(proxy_authorization) {
            field("Proxy-Authorization", &value);
        }
        head.push_str("\r\n");
        let body = self.body();
        let mut bytes = head.into_bytes();
        if self.is_chunked() && body.is_empty() {
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else if self.is_chunked() {
            bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        }
        if !self.is_followed_by_body() {
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(self.end());
        }
        bytes
    }

    /// Whether the body goes on its own, after what is rendered here, and then
    /// [`Request::end`].
    pub(super) fn is_followed_by_body(&self) -> bool {
        self.body().len() > MAX_OWN_BODY_BYTES
    }

    /// What follows a body, if there is one.
    pub(super) fn end(&self) -> &'static [u8] {
        match self.is_chunked() && !self.body().is_empty() {
            true => b"\r\n0\r\n\r\n",
            false => b"",
        }
    }

    /// The head of the same request in HTTP/2 (RFC 9113 section 8.3.1).
    pub(super) fn h2_head(&self) -> RequestHead {
        let mut head = RequestHead::default();
        head.push(":method", self.method());
        head.push(":scheme", if self.url.secure { "https" } else { "http" });
        head.push(":authority", &self.authority());
        head.push(":path", &self.url.path);
        self.each_field(&mut |name, value| {
            let trailers = name == "Te" && value == "trailers";
            if trailers || !OF_CONNECTION.contains(&name) {
                head.push(name, value);
            }
        });
        head
    }

    /// The host and port that are asked for.
    fn authority(&self) -> Cow<'_, str> {
        match self.host {
            Some(host) => Cow::Borrowed(host),
            None => Cow::Owned(self.url.authority().to_string()),
        }
    }

    /// What follows the head, without framing.
    pub(super) fn body(&self) -> &[u8] {
        match self.bare {
            true => &[],
            false => self.module.body.content(),
        }
    }

    /// Whether the body is sent in chunks: that of a file, which blackbox_exporter
    /// does not measure. An empty one is left out where no body is expected.
    fn is_chunked(&self) -> bool {
        let usually_bare = matches!(
            self.method(),
            "GET" | "HEAD" | "DELETE" | "OPTIONS" | "PROPFIND" | "SEARCH"
        );
        !self.bare
            && matches!(self.module.body, Body::File(_))
            && !(usually_bare && self.body().is_empty())
    }

    /// Whether a redirect with this status can be followed: Go does not send a
    /// file a second time.
    pub(super) fn can_follow(&self, status: u16) -> bool {
        let again = matches!(status, 307 | 308) && !self.bare;
        !(again && matches!(self.module.body, Body::File(_)))
    }

    /// Gives each field but `Host`, and the `Connection` that is not
    /// configured, in the order in which they are sent.
    fn each_field(&self, field: &mut dyn FnMut(&str, &str)) {
        let agent = self.configured("User-Agent").unwrap_or(USER_AGENT);
        if !agent.is_empty() {
            field("User-Agent", agent);
        }
        let length = self.body().len();
        if self.is_chunked() {
            field("Transfer-Encoding", "chunked");
            return self.sorted_fields(field);
        }
        // Servers expect a length with methods that usually have a body.
        if length > 0 || matches!(self.method(), "POST" | "PUT" | "PATCH") {
            field("Content-Length", &length.to_string());
        }
        self.sorted_fields(field);
    }

    pub(super) fn method(&self) -> &str {
        match self.bare && !self.module.is_head() {
            true => "GET",
            false => &self.module.method,
        }
    }

    /// Whether the configured fields say that the connection is not used again,
    /// or that it is to become another: Go adds to anything else.
    fn closes(&self) -> bool {
        let Some(options) = self.configured("Connection") else {
            return false;
        };
        let has = |token: &str| {
            options
                .split(',')
                .any(|it| it.trim().eq_ignore_ascii_case(token))
        };
        has("close")
            || has("upgrade") && self.configured("Upgrade").is_some_and(|it| !it.is_empty())
    }

    fn configured(&self, name: &str) -> Option<&str> {
        let fields = &self.module.fields;
        let field = fields.iter().find(|(field, _)| **field == *name);
        field.map(|(_, value)| &**value)
    }

    /// Gives the configured fields and those that follow from the run, sorted.
    fn sorted_fields(&self, field: &mut dyn FnMut(&str, &str)) {
        let goes = |name: &str| {
            name != "User-Agent"
                && !(self.token.is_some() && name == "Authorization")
                && (self.trusted || !SENSITIVE.contains(&name))
                && !(self.bare && OF_BODY.contains(&name))
        };
        let configured = self.module.fields.iter();
        let mut fields: Vec<(&str, Cow<'_, str>)> = configured
            .filter(|(name, _)| goes(name) && !(self.carried.is_some() && &**name == "Cookie"))
            .map(|(name, value)| (&**name, Cow::Borrowed(&**value)))
            .collect();
        let added = self.module.added.iter();
        fields.extend(
            added
                .filter(|added| goes(&added.name) && (self.trusted || !added.secret))
                .map(|added| (&*added.name, Cow::Borrowed(added.value.reveal()))),
        );
        fields.extend(self.authorization().map(|it| ("Authorization", it.into())));
        if let Some(carried) = self.carried {
            let own = self.configured("Cookie").filter(|_| self.trusted);
            fields.extend(
                carried
                    .jar
                    .field(self.url, own)
                    .map(|it| ("Cookie", it.into())),
            );
            let referer = carried.referer.as_deref();
            let referer = referer.filter(|_| self.configured("Referer").is_none());
            fields.extend(referer.map(|it| ("Referer", it.into())));
        }
        // Stable: values of one name stay in order.
        fields.sort_by_key(|(name, _)| *name);
        for (name, value) in fields {
            field(name, &value);
        }
    }

    /// What the URL says, else what the module says; a configured header of
    /// that name goes before both, and a token before everything.
    fn authorization(&self) -> Option<String> {
        if let Some(token) = self.token.filter(|_| self.trusted) {
            return Some(token.reveal().into());
        }
        if self.trusted && self.configured("Authorization").is_some() {
            return None;
        }
        match &self.url.userinfo {
            Some(userinfo) => {
                let mut pair = userinfo.to_vec();
                if !pair.contains(&b':') {
                    pair.push(b':');
                }
                Some(basic_credentials(&pair).reveal().into())
            }
            None => {
                let value = self.module.authorization.as_ref();
                value
                    .filter(|_| self.trusted)
                    .map(|value| value.reveal().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::http::config::Config;
    use crate::config::NoFiles;

    fn module(change: impl FnOnce(&mut Config)) -> Module {
        let mut config = Config::default();
        change(&mut config);
        Module::new(&config, &NoFiles).unwrap()
    }

    fn render(module: &Module, target: &str) -> String {
        let url = Url::target(target).unwrap();
        String::from_utf8(first(module, &url).render()).unwrap()
    }

    fn first<'a>(module: &'a Module, url: &'a Url) -> Request<'a> {
        Request {
            module,
            url,
            host: module.host.as_deref(),
            bare: false,
            trusted: true,
            token: None,
            carried: None,
        }
    }

    #[test]
    fn a_plain_request_is_that_of_blackbox_exporter() {
        let expected = format!(
            "GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(render(&module(|_| {}), "a.example:8080/x?y"), expected);
        let v6 = render(&module(|_| {}), "http://[::1]/");
        assert!(v6.contains("\r\nHost: [::1]\r\n"));
    }

    #[test]
    fn fields_are_canonical_sorted_and_complete() {
        let module = module(|config| {
            config.method = "POST".into();
            config.body = "{}".into();
            config.bearer_token = Secret::new("t");
            for (name, value) in [
                ("x-b", "2"),
                ("ACCEPT", " text/plain "),
                ("host", "vhost.example:1"),
                ("user-agent", ""),
                ("content-length", "99"),
                ("Content-type", "application/json"),
            ] {
                config.headers.insert(name.into(), value.into());
            }
        });
        let expected = "POST / HTTP/1.1\r\nHost: vhost.example:1\r\nContent-Length: 2\r\n\
            Accept: text/plain\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n\
            X-B: 2\r\nConnection: close\r\n\r\n{}";
        assert_eq!(render(&module, "a"), expected);
    }

    #[test]
    fn in_http_2_what_is_about_a_connection_is_left_out() {
        let module = module(|config| {
            config.method = "PUT".into();
            config.body = "{}".into();
            for (name, value) in [
                ("Host", "vhost.example"),
                ("Connection", "keep-alive"),
                ("Upgrade", "websocket"),
                ("TE", "trailers"),
                ("Keep-Alive", "x"),
                ("X-Key", "secret"),
            ] {
                config.headers.insert(name.into(), value.into());
            }
        });
        let url = Url::target("https://a.example/x?y").unwrap();
        let request = Request {
            module: &module,
            url: &url,
            host: module.host.as_deref(),
            bare: false,
            trusted: true,
            token: None,
            carried: None,
        };
        let mut expected = RequestHead::default();
        for (name, value) in [
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", "vhost.example"),
            (":path", "/x?y"),
            ("user-agent", USER_AGENT),
            ("content-length", "2"),
            ("te", "trailers"),
            ("x-key", "secret"),
        ] {
            expected.push(name, value);
        }
        assert_eq!(request.h2_head(), expected);
        assert_eq!(request.body(), b"{}");
    }

    #[test]
    fn a_post_without_body_says_so() {
        let module = module(|config| config.method = "POST".into());
        assert!(render(&module, "a").contains("\r\nContent-Length: 0\r\n"));
    }

    #[test]
    fn credentials_of_the_url_go_before_those_of_the_module() {
        let with_token = module(|config| config.bearer_token = Secret::new("t"));
        assert!(render(&with_token, "http://u:p@a/").contains("\r\nAuthorization: Basic dTpw\r\n"));
        assert!(render(&with_token, "http://u@a/").contains("\r\nAuthorization: Basic dTo=\r\n"));
        let with_header = module(|config| {
            config.headers.insert("Authorization".into(), "X y".into());
        });
        let text = render(&with_header, "http://u:p@a/");
        assert!(text.contains("\r\nAuthorization: X y\r\n") && !text.contains("Basic"));
    }

    #[test]
    fn an_untrusted_host_sees_no_credentials_and_a_bare_request_no_body() {
        let module = module(|config| {
            config.method = "PUT".into();
            config.body = "secret".into();
            config.bearer_token = Secret::new("secret");
            for (name, value) in [("Cookie", "secret"), ("Content-Type", "secret"), ("X", "y")] {
                config.headers.insert(name.into(), value.into());
            }
        });
        let url = Url::target("a").unwrap();
        let request = Request {
            bare: true,
            trusted: false,
            ..first(&module, &url)
        };
        let text = String::from_utf8(request.render()).unwrap();
        assert!(
            text.starts_with("GET / ") && text.contains("\r\nX: y\r\n"),
            "{text}"
        );
        assert!(
            !text.contains("secret") && !text.contains("Content-Length"),
            "{text}"
        );
    }

    /// TestIsEncodingAcceptable.
    #[test]
    fn what_is_accepted_decides_whether_a_coding_may_come() {
        for (coding, accepted, may) in [
            ("gzip", "", true),
            ("gzip", "gzip", true),
            ("gzip", "gzip;q=1.0", true),
            ("gzip", "gzip, compress", true),
            ("gzip", "compress, gzip", true),
            ("br", "gzip, compress", false),
            ("br", "gzip, compress, *", true),
            ("br", "gzip, compress, *;q=0.1", true),
            ("br", "gzip, compress, br;q=0.0", false),
            ("br", "gzip, compress, *;q=0.0", false),
            ("br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0", true),
            ("br", "*;q=0.0, compress;q=0.5, br;q=0.1, gzip;q=1.0", true),
            (
                "br",
                " gzip;q=1.0, compress; q=0.5, br;q=0.1, *; q=0.0 ",
                true,
            ),
            ("gzip", "gzip;q=x", false),
            ("gzip", "GZIP", false),
        ] {
            assert_eq!(accepts(accepted, coding), may, "{coding}: {accepted}");
        }
    }

    #[test]
    fn headers_that_inject_are_refused() {
        for (name, value) in [
            ("X\r\nY", "z"),
            ("", "z"),
            ("X Y", "z"),
            ("X:", "z"),
            ("X", "y\r\nZ: 1"),
            ("X", "y\nZ"),
            ("X", "y\0"),
            ("Host", "a b"),
            ("Host", "a/b"),
        ] {
            let configured = [(name.into(), value.into())].into();
            assert!(headers(&configured).is_err(), "{name:?}: {value:?}");
        }
        let twice = [("x-a".into(), "1".into()), ("X-A".into(), "2".into())].into();
        assert!(headers(&twice).is_err());
    }
}
