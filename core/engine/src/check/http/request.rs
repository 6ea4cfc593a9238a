//! Requests: the header fields that are configured, and how a request looks on
//! the wire (RFC 9112 section 3, in the order in which Go writes it).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::auth::basic_credentials;
use super::config::{Body, HttpHeader, Module};
use super::place::Carried;
use super::url::Url;
use crate::check::tunnel::proxy_authorization;
use crate::config::{Bytes, Cause, ConfigError, Files, Proxy, Secret, idn};
use crate::h2::RequestHead;
use crate::limits::MAX_OWN_BODY_BYTES;

/// Name (in canonical form) and value of configured fields, sorted by name.
pub(super) type Fields = Box<[(Box<str>, Box<[u8]>)]>;

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
#[derive(PartialEq)]
pub(super) struct Added {
    name: Box<str>,
    value: Box<[u8]>,
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
        let mut add = |field: &str, text: &[u8], secret: bool| {
            if !is_field_value(text) {
                let rule = "expected text without line breaks or other control characters";
                return Err(wrong(field, rule.into()));
            }
            fields.push(Added {
                name: name.clone(),
                value: text.into(),
                secret,
            });
            Ok(())
        };
        for (index, value) in header.values.iter().enumerate() {
            add(&format!(".values[{index}]"), value.as_slice(), false)?;
        }
        for (index, value) in header.secrets.iter().enumerate() {
            add(
                &format!(".secrets[{index}]"),
                value.reveal().as_bytes(),
                true,
            )?;
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
            add(&field, content.trim_ascii(), true).map_err(unready)?;
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
/// Of two spellings of one name one is sent, as by blackbox_exporter; see
/// [`spelled_twice`].
pub(super) fn headers(configured: &BTreeMap<String, Bytes>) -> Result<Headers, ConfigError> {
    let mut host = None;
    let mut fields = BTreeMap::<Box<str>, Box<[u8]>>::new();
    for (name, value) in configured {
        let wrong = |message: String| ConfigError::new(&format!("headers.{name}"), message);
        if !is_token(name) {
            return Err(wrong(format!(
                "expected the name of a header, found {name:?}"
            )));
        }
        let (name, value) = (canonical(name), value.as_slice());
        if &*name == "Host" {
            let text = core::str::from_utf8(value)
                .map_err(|_| wrong("expected a host with an optional port, found bytes".into()))?;
            host = (!text.is_empty()).then(|| sent_host(text));
            continue;
        }
        if !is_field_value(value) {
            return Err(wrong(
                "expected text without line breaks or other control characters".into(),
            ));
        }
        if !FRAMING.contains(&&*name) {
            fields.insert(name, value.trim_ascii().into());
        }
    }
    Ok(Headers {
        host,
        fields: fields.into_iter().collect(),
    })
}

/// The names in `configured` that are another spelling of one before them.
pub(super) fn spelled_twice(configured: &BTreeMap<String, Bytes>) -> impl Iterator<Item = &str> {
    let mut seen = BTreeSet::new();
    let names = configured.keys().map(String::as_str);
    names.filter(move |name| !seen.insert(canonical(name)))
}

/// What goes out as `Host` where this is configured, by Go's rules: an
/// international name in ASCII, and an empty field in place of what has a
/// character that no authority has (RFC 3986 section 3.2).
pub(super) fn sent_host(written: &str) -> Box<str> {
    let (host, port) = match written.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (written, None),
    };
    let mut sent = idn::to_ascii(host).into_owned();
    if let Some(port) = port {
        sent.push(':');
        sent.push_str(port);
    }
    let may_stand =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!$%&()*+,-.:;=[]'_~".contains(&byte);
    match sent.bytes().all(may_stand) {
        true => sent.into(),
        false => "".into(),
    }
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// One of its characters.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    const IS_ONE: [bool; 256] = {
        let mut table = [false; 256];
        let mut rest: &[u8] = b"!#$%&'*+-.^_`|~";
        while let [byte, more @ ..] = rest {
            table[*byte as usize] = true;
            rest = more;
        }
        let mut byte = 0;
        while byte < 128 {
            table[byte as usize] |= (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        table
    };
    IS_ONE[byte as usize]
}

/// RFC 9110 section 5.5, without the space around a value.
pub(crate) fn is_field_value(text: impl AsRef<[u8]>) -> bool {
    let is_wrong = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    !text.as_ref().iter().any(is_wrong)
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
        let mut bytes = Vec::with_capacity(256);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| bytes.extend(*part));
        let authority = self.authority();
        put(&[self.method().as_bytes(), b" "]);
        match proxy {
            Some(_) => put(&[b"http://", authority.as_bytes(), self.url.path.as_bytes()]),
            None if self.is_connect() => put(&[authority.as_bytes()]),
            None => put(&[self.url.path.as_bytes()]),
        }
        put(&[b" HTTP/1.1\r\n"]);
        let mut field = |name: &str, value: &[u8]| put(&[name.as_bytes(), b": ", value, b"\r\n"]);
        field("Host", authority.as_bytes());
        self.each_field(&mut field);
        if !self.closes() {
            field("Connection", b"close");
        }
        if let Some(value) = proxy.and_then(proxy_authorization) {
            field("Proxy-Authorization", value.as_bytes());
        }
        put(&[b"\r\n"]);
        let body = self.body();
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
        head.push(":method", self.method().as_bytes());
        // RFC 9113 section 8.5: CONNECT has neither scheme nor path.
        let is_connect = self.method() == "CONNECT";
        if !is_connect {
            let scheme = if self.url.secure { "https" } else { "http" };
            head.push(":scheme", scheme.as_bytes());
        }
        head.push(":authority", self.authority().as_bytes());
        if !is_connect {
            head.push(":path", self.url.path.as_bytes());
        }
        self.each_field(&mut |name, value| {
            let trailers = name == "Te" && value == b"trailers";
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
        !matches!(status, 307 | 308) || self.can_be_repeated()
    }

    /// Whether it can be sent a second time.
    pub(super) fn can_be_repeated(&self) -> bool {
        self.bare || !matches!(self.module.body, Body::File(_))
    }

    /// Gives each field but `Host`, and the `Connection` that is not
    /// configured, in the order in which they are sent.
    fn each_field(&self, field: &mut dyn FnMut(&str, &[u8])) {
        let agent = self.configured("User-Agent");
        let agent = agent.unwrap_or(USER_AGENT.as_bytes());
        if !agent.is_empty() {
            field("User-Agent", agent);
        }
        let length = self.body().len();
        if self.is_chunked() {
            field("Transfer-Encoding", b"chunked");
            return self.sorted_fields(field);
        }
        // Servers expect a length with methods that usually have a body.
        if length > 0 || matches!(self.method(), "POST" | "PUT" | "PATCH") {
            field("Content-Length", length.to_string().as_bytes());
        }
        self.sorted_fields(field);
    }

    /// Whether the host itself is asked for, to dig a tunnel to (RFC 9110 section
    /// 9.3.6). Go does so only where no path was written; `/` counts as none.
    fn is_connect(&self) -> bool {
        self.method() == "CONNECT" && &*self.url.path == "/"
    }

    /// Whether there is a Host to send, as the ways need on which an empty one is
    /// none.
    pub(super) fn has_host(&self) -> bool {
        self.host.is_none_or(|host| !host.is_empty())
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
                .split(|byte| *byte == b',')
                .any(|it| it.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        has("close")
            || has("upgrade") && self.configured("Upgrade").is_some_and(|it| !it.is_empty())
    }

    fn configured(&self, name: &str) -> Option<&[u8]> {
        let fields = &self.module.fields;
        let field = fields.iter().find(|(field, _)| **field == *name);
        field.map(|(_, value)| &**value)
    }

    /// Gives the configured fields and those that follow from the run, sorted.
    fn sorted_fields(&self, field: &mut dyn FnMut(&str, &[u8])) {
        let goes = |name: &str| {
            name != "User-Agent"
                && !(self.token.is_some() && name == "Authorization")
                && (self.trusted || !SENSITIVE.contains(&name))
                && !(self.bare && OF_BODY.contains(&name))
        };
        let configured = self.module.fields.iter();
        let mut fields: Vec<(&str, Cow<'_, [u8]>)> = configured
            .filter(|(name, _)| goes(name) && !(self.carried.is_some() && &**name == "Cookie"))
            .map(|(name, value)| (&**name, Cow::Borrowed(&**value)))
            .collect();
        let added = self.module.added.iter();
        fields.extend(
            added
                .filter(|added| goes(&added.name) && (self.trusted || !added.secret))
                .map(|added| (&*added.name, Cow::Borrowed(&*added.value))),
        );
        let authorization = self.authorization().map(String::into_bytes);
        fields.extend(authorization.map(|it| ("Authorization", it.into())));
        if let Some(carried) = self.carried {
            let own = self.configured("Cookie").filter(|_| self.trusted);
            // No cookie has other bytes (RFC 6265 section 4.1.1).
            let own = own.and_then(|own| core::str::from_utf8(own).ok());
            fields.extend(
                carried
                    .jar
                    .field(self.url, own)
                    .map(|it| ("Cookie", it.into_bytes().into())),
            );
            let referer = carried.referer.as_deref();
            let referer = referer.filter(|_| self.configured("Referer").is_none());
            fields.extend(referer.map(|it| ("Referer", it.as_bytes().into())));
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
mod tests;
