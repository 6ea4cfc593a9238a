//! Proxies: what is written of them, and which one a connection goes through.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigError, Files, NoProxy, Secret, idn};
use crate::check::http::{decode, go_takes_host, is_scheme, is_token, split_host_port};
use crate::tls::TlsOptions;

/// The fields of a section that say which proxies are used, as Prometheus'
/// `ProxyConfig` has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyConfig<'a> {
    pub(crate) url: &'a ProxyUrl,
    pub(crate) no_proxy: &'a str,
    pub(crate) from_environment: bool,
    pub(crate) connect_header: &'a ProxyHeader,
}

/// `proxy_connect_header`: fields of a CONNECT request, which may be secrets.
pub type ProxyHeader = BTreeMap<String, Vec<Secret>>;

impl ProxyConfig<'_> {
    /// Whether there is a proxy for any request.
    pub(crate) fn is_configured(&self) -> bool {
        self.url.is_written() || self.from_environment
    }

    /// Looks for contradictions. Rules, their order and wording are those of
    /// Prometheus' `ProxyConfig.Validate`.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: &str| Err(ConfigError::new(field, message));
        if !self.connect_header.is_empty() && !self.is_configured() {
            return wrong(
                "proxy_connect_header",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        if self.from_environment && self.url.is_written() {
            return wrong(
                "proxy_url",
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if self.from_environment && !self.no_proxy.is_empty() {
            return wrong(
                "no_proxy",
                "if proxy_from_environment is configured, no_proxy must not be configured",
            );
        }
        if !self.url.is_written() && !self.no_proxy.is_empty() {
            return wrong(
                "no_proxy",
                "if no_proxy is configured, proxy_url must also be configured",
            );
        }
        Ok(())
    }

    /// What of the fields of CONNECT is not sent as it was written.
    pub(crate) fn warnings(&self) -> Vec<ConfigError> {
        let odd = self.connect_header.iter().filter_map(|(name, values)| {
            let breaks = |value: &Secret| value.reveal().contains(['\r', '\n']);
            let message = match is_token(name) {
                false => "expected the name of a header: it is not sent",
                true if values.iter().any(breaks) => "a line break in a value is sent as a space",
                true => return None,
            };
            let field = format!("proxy_connect_header.{name}");
            Some(ConfigError::new(&field, message))
        });
        odd.collect()
    }

    /// The proxies, or `None` if every request goes out directly. `options`
    /// are those of the section's own connections.
    pub(crate) fn compile(
        &self,
        options: &TlsOptions,
        files: &dyn Files,
    ) -> Result<Option<Box<Proxies>>, ConfigError> {
        self.validate()?;
        let (http, https, rules) = match &self.url.0 {
            _ if self.from_environment => {
                let no_proxy = variable(files, ["NO_PROXY", "no_proxy"]).unwrap_or_default();
                (
                    from_environment(files, ["HTTP_PROXY", "http_proxy"])?,
                    from_environment(files, ["HTTPS_PROXY", "https_proxy"])?,
                    Some(NoProxy::parse(&no_proxy)),
                )
            }
            Written::Proxy(proxy) => {
                let rules = self.no_proxy.trim();
                let rules = (!rules.is_empty()).then(|| NoProxy::parse(rules));
                (Some(Arc::clone(proxy)), Some(Arc::clone(proxy)), rules)
            }
            Written::Unspoken { why, .. } => {
                return Err(ConfigError::unspoken("proxy_url", &**why));
            }
            Written::Nothing => (None, None, None),
        };
        if http.is_none() && https.is_none() {
            return Ok(None);
        }
        Ok(Some(Box::new(Proxies {
            http,
            https,
            rules,
            header: connect_header(self.connect_header),
            // What is spoken to a proxy is HTTP/1.1, which needs no ALPN.
            tls: Arc::new(TlsOptions {
                alpn: Vec::new(),
                ..options.clone()
            }),
        })))
    }
}

fn variable(files: &dyn Files, names: [&str; 2]) -> Option<String> {
    let value = |name: &&str| files.variable(name).filter(|value| !value.is_empty());
    names.iter().find_map(value)
}

/// A proxy as Go reads it from the environment: `http://` may be left out.
fn from_environment(
    files: &dyn Files,
    names: [&str; 2],
) -> Result<Option<Arc<Proxy>>, ConfigError> {
    let Some(text) = variable(files, names) else {
        return Ok(None);
    };
    let proxy = match text.contains("://") {
        true => Proxy::parse(&text),
        false => Proxy::parse(&format!("http://{text}")),
    };
    let wrong = |error| {
        let message = format!("the environment variable {}: {error}", names[0]);
        // Go passes over it, and nothing in the file is wrong.
        ConfigError::unspoken("proxy_from_environment", message)
    };
    proxy.map(|proxy| Some(Arc::new(proxy))).map_err(wrong)
}

/// Fields as they go into a request, each line complete. As Go writes them:
/// without those whose name is none, and with spaces for line breaks.
fn connect_header(configured: &ProxyHeader) -> Box<str> {
    let mut lines = String::new();
    for (name, values) in configured.iter().filter(|(name, _)| is_token(name)) {
        for value in values {
            let value = value.reveal().replace(['\r', '\n'], " ");
            lines.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
    }
    lines.into()
}

/// The value of `proxy_url`; an empty one is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyUrl(Written);

#[derive(Clone, Default, PartialEq, Eq)]
enum Written {
    #[default]
    Nothing,
    Proxy(Arc<Proxy>),
    /// A URL, but of nothing that could be spoken to: Go finds out when it
    /// connects, so that such a file has to load.
    Unspoken {
        redacted: Box<str>,
        why: Box<str>,
    },
}

impl ProxyUrl {
    /// Reads a URL. One of a scheme that is not spoken is a URL too.
    ///
    /// # Errors
    /// What was expected and what was found, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Written::Nothing));
        }
        match Proxy::parse(text) {
            Ok(proxy) => Ok(Self(Written::Proxy(Arc::new(proxy)))),
            Err(Unusable::Unspoken { redacted, why }) => {
                let (redacted, why) = (redacted.into(), why.into());
                Ok(Self(Written::Unspoken { redacted, why }))
            }
            Err(Unusable::Malformed(why)) => Err(why),
        }
    }

    const fn is_written(&self) -> bool {
        !matches!(self.0, Written::Nothing)
    }

    /// The URL, with `xxxxx` for a password, as Go's `URL.Redacted` has it.
    fn redacted(&self) -> &str {
        match &self.0 {
            Written::Nothing => "",
            Written::Proxy(proxy) => &proxy.redacted,
            Written::Unspoken { redacted, .. } => redacted,
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Written::Proxy(proxy) => write!(f, "ProxyUrl({proxy})"),
            Written::Unspoken { why, .. } => write!(f, "ProxyUrl({why})"),
            Written::Nothing => f.write_str("ProxyUrl()"),
        }
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl Serialize for ProxyUrl {
    /// Without a password.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.redacted())
    }
}

/// How one talks to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// Requests in absolute form, CONNECT for what is secured (RFC 9110
    /// section 9.3.6).
    Http,
    /// The same, over TLS.
    Https,
    /// SOCKS 5 (RFC 1928).
    Socks5,
}

impl ProxyKind {
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 => 1080,
        }
    }
}

/// One proxy. It is shown without its user and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) user: Option<User>,
    redacted: Box<str>,
}

/// Who we are to a proxy, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: Box<[u8]>,
    pub(crate) password: Box<[u8]>,
}

/// Why a text is no proxy, without the password that it may hold.
#[derive(Debug)]
enum Unusable {
    /// Go does not read it as a URL either.
    Malformed(String),
    /// It is a URL.
    Unspoken { redacted: String, why: String },
}

impl Unusable {
    fn malformed<T>(why: impl Into<String>) -> Result<T, Self> {
        Err(Self::Malformed(why.into()))
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Malformed(why) | Self::Unspoken { why, .. }) = self;
        f.write_str(why)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, Unusable> {
        let expected = "expected the URL of a proxy such as http://proxy.example:3128";
        let Some((scheme, rest)) = text.split_once("://") else {
            let why = format!("{expected}, found no scheme");
            let Some((scheme, _)) = text.split_once(':') else {
                let redacted = text.to_owned();
                return Err(Unusable::Unspoken { redacted, why });
            };
            return match (is_scheme(scheme.as_bytes()), text.contains('@')) {
                // A scheme for Go, and nothing that it could connect to.
                (true, false) => Err(Unusable::Unspoken {
                    redacted: text.to_owned(),
                    why,
                }),
                (true, true) => Err(Unusable::Unspoken {
                    redacted: format!("{scheme}:xxxxx"),
                    why,
                }),
                // As Go says it, unless it may hold a password.
                (false, false) => Unusable::malformed(format!(
                    "parse {text:?}: first path segment in URL cannot contain colon; {expected}"
                )),
                (false, true) => Unusable::malformed(why),
            };
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if rest[authority.len()..].contains('@') {
            return Unusable::malformed(
                "expected a user and a password in which / ? # and @ are escaped (%2F, %3F, %23, %40) before the host of a proxy",
            );
        }
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host_port)) => (Some(user), host_port),
            None => (None, authority),
        };
        if user.is_none() && host_port.starts_with('[') && !host_port.contains(']') {
            return Unusable::malformed(format!("parse {text:?}: missing ']' in host"));
        }
        let why = format!("expected the host and port of a proxy in the URL, found {host_port:?}");
        if !go_takes_host(host_port) {
            return Unusable::malformed(why);
        }
        let shown = match user.map(|user| user.split_once(':').map_or((user, ""), |pair| pair)) {
            None => String::new(),
            Some((name, "")) => format!("{name}@"),
            Some((name, _)) => format!("{name}:xxxxx@"),
        };
        let place = &rest[authority.len() - host_port.len()..];
        let redacted = format!("{scheme}://{shown}{place}");
        let host_port = idn::to_ascii(&host_port.to_lowercase()).into_owned();
        let Ok((host, port)) = split_host_port(&host_port) else {
            return Err(Unusable::Unspoken { redacted, why });
        };
        let kind = match &*scheme.to_ascii_lowercase() {
            "http" => ProxyKind::Http,
            "https" => ProxyKind::Https,
            "socks5" | "socks5h" => ProxyKind::Socks5,
            _ => {
                let why = format!(
                    "expected a proxy of scheme http, https, socks5 or socks5h, found {scheme:?}"
                );
                return Err(Unusable::Unspoken { redacted, why });
            }
        };
        let user = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            User {
                name: decode(name.as_bytes()),
                password: decode(password.as_bytes()),
            }
        });
        Ok(Self {
            kind,
            host: host.into(),
            port: port.unwrap_or_else(|| kind.port()),
            redacted: redacted.into(),
            user,
        })
    }

    /// What an HTTP proxy is told about us: `user:password`.
    pub(crate) fn basic_pair(&self) -> Option<Vec<u8>> {
        let user = self.user.as_ref()?;
        Some([&user.name, &b":"[..], &user.password].concat())
    }
}

impl User {
    /// Whether RFC 1929 has room for both; a proxy that asks for no login can be
    /// used all the same.
    pub(crate) fn fits_socks(&self) -> bool {
        (1..=255).contains(&self.name.len()) && self.password.len() <= 255
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Https => "https",
            ProxyKind::Socks5 => "socks5",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Which proxy a connection goes through.
#[derive(PartialEq)]
pub(crate) struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    rules: Option<NoProxy>,
    /// Fields of CONNECT requests.
    pub(crate) header: Box<str>,
    /// How connections to a proxy are secured, if its scheme asks for it.
    pub(crate) tls: Arc<TlsOptions>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http)
            .field("https", &self.https)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxy for connections to `host`, secured or not; `address` is where
    /// it is, if that was looked up.
    pub(crate) fn choose(
        &self,
        secured: bool,
        host: &str,
        port: u16,
        address: Option<IpAddr>,
    ) -> Option<&Arc<Proxy>> {
        let proxy = match secured {
            true => self.https.as_ref(),
            false => self.http.as_ref(),
        };
        let rules = self.rules.as_ref();
        proxy.filter(|_| rules.is_none_or(|rules| !rules.matches(host, port, address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cause;
    use crate::config::NoFiles;
    use alloc::string::ToString;

    struct Environment(&'static [(&'static str, &'static str)]);

    impl Files for Environment {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            NoFiles.read(path)
        }

        fn variable(&self, name: &str) -> Option<String> {
            let found = self.0.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    fn shown(proxy: Option<&Arc<Proxy>>) -> String {
        proxy.map_or(String::new(), ToString::to_string)
    }

    #[test]
    fn urls_are_read_and_shown_without_secrets() {
        for (text, expected, redacted) in [
            (
                "http://p.example",
                "http://p.example:80",
                "http://p.example",
            ),
            (
                "HTTPS://p.example/",
                "https://p.example:443",
                "HTTPS://p.example/",
            ),
            (
                "socks5h://u:s3cret@[::1]:1081",
                "socks5://[::1]:1081",
                "socks5h://u:xxxxx@[::1]:1081",
            ),
            (
                "socks5://u@10.0.0.1",
                "socks5://10.0.0.1:1080",
                "socks5://u@10.0.0.1",
            ),
            (
                "http://u:p%40ss@p.example:3128/x",
                "http://p.example:3128",
                "http://u:xxxxx@p.example:3128/x",
            ),
            (
                "http://B\u{dc}cher.example:3128",
                "http://xn--bcher-kva.example:3128",
                "http://B\u{dc}cher.example:3128",
            ),
            (
                "socks5://:s3cret@p.example",
                "socks5://p.example:1080",
                "socks5://:xxxxx@p.example",
            ),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), expected);
            assert_eq!(&*proxy.redacted, redacted);
            assert!(!format!("{proxy:?}").contains("s3cret"));
        }
        let proxy = Proxy::parse("http://u:p%40ss@p.example").unwrap();
        assert_eq!(proxy.basic_pair().unwrap(), b"u:p@ss");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_secrets() {
        for text in [
            "127.0.0.1:3128",
            "1:s3cret@p.example",
            "http://u:s3cret@p.example:port",
            "http://u:s3cret@p example",
            "http://u:12/s3cret@p.example:3128",
            "http://u:s3cret?x@p.example:3128",
        ] {
            let error = ProxyUrl::parse(text).unwrap_err();
            assert!(error.contains("expected "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(!ProxyUrl::parse("").unwrap().is_written());
    }

    #[test]
    fn urls_of_what_is_not_spoken_are_read_and_cannot_be_used() {
        for (url, redacted, expected) in [
            (
                "ftp://u:s3cret@p:21/x",
                "ftp://u:xxxxx@p:21/x",
                "expected a proxy of scheme",
            ),
            ("p.example", "p.example", "found no scheme"),
            ("p.example:3128", "p.example:3128", "found no scheme"),
            ("u:s3cret@p", "u:xxxxx", "found no scheme"),
            ("http://", "http://", "expected the host and port"),
            (
                "http://u:s3cret@p:99999/x",
                "http://u:xxxxx@p:99999/x",
                "expected the host and port",
            ),
            ("http://p:0", "http://p:0", "expected the host and port"),
        ] {
            assert_eq!(ProxyUrl::parse(url).unwrap().redacted(), redacted);
            let error = compile(url, "a.example", false, &NoFiles).unwrap_err();
            assert_eq!((error.cause, &*error.field), (Cause::Unspoken, "proxy_url"));
            assert!(error.message.contains(expected), "{error}");
            assert!(!error.message.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn contradictions_are_named_as_prometheus_names_them() {
        let none = ProxyUrl::default();
        let some = ProxyUrl::parse("http://p.example").unwrap();
        let plain = ProxyHeader::new();
        let header: ProxyHeader = [("X".to_owned(), Vec::new())].into();
        for (url, no_proxy, environment, connect_header, expected) in [
            (
                &none,
                "",
                false,
                &header,
                "if proxy_connect_header is configured, proxy_url or",
            ),
            (
                &some,
                "",
                true,
                &plain,
                "if proxy_from_environment is configured, proxy_url must not",
            ),
            (
                &none,
                "a",
                true,
                &plain,
                "if proxy_from_environment is configured, no_proxy must not",
            ),
            (
                &none,
                "a",
                false,
                &plain,
                "if no_proxy is configured, proxy_url must also",
            ),
        ] {
            let config = ProxyConfig {
                url,
                no_proxy,
                from_environment: environment,
                connect_header,
            };
            let error = config.validate().unwrap_err();
            assert!(error.message.starts_with(expected), "{error}");
        }
    }

    fn compile(
        url: &str,
        no_proxy: &str,
        environment: bool,
        files: &dyn Files,
    ) -> Result<Option<Box<Proxies>>, ConfigError> {
        ProxyConfig {
            url: &ProxyUrl::parse(url).unwrap(),
            no_proxy,
            from_environment: environment,
            connect_header: &ProxyHeader::new(),
        }
        .compile(&TlsOptions::default(), files)
    }

    #[test]
    fn a_configured_proxy_is_for_everything_but_what_is_excepted() {
        let all = compile("http://p:1", "", false, &NoFiles).unwrap().unwrap();
        for (secured, host) in [
            (false, "a.example"),
            (true, "127.0.0.1"),
            (true, "localhost"),
        ] {
            assert_eq!(shown(all.choose(secured, host, 80, None)), "http://p:1");
        }
        let some = compile("http://p:1", "a.example", false, &NoFiles)
            .unwrap()
            .unwrap();
        for host in ["a.example", "127.0.0.1", "localhost"] {
            assert_eq!(shown(some.choose(false, host, 80, None)), "", "{host}");
        }
        assert_eq!(
            shown(some.choose(false, "b.example", 80, None)),
            "http://p:1"
        );
        assert!(compile("", "", false, &NoFiles).unwrap().is_none());
    }

    #[test]
    fn the_environment_is_read_as_go_reads_it() {
        let files = Environment(&[
            ("HTTP_PROXY", "p.example:3128"),
            ("https_proxy", "socks5://s.example"),
            ("NO_PROXY", "a.example, 10.0.0.0/8"),
        ]);
        let proxies = compile("", "", true, &files).unwrap().unwrap();
        let chosen = |secured, host| shown(proxies.choose(secured, host, 80, None));
        assert_eq!(chosen(false, "b.example"), "http://p.example:3128");
        assert_eq!(chosen(true, "b.example"), "socks5://s.example:1080");
        assert_eq!(chosen(true, "10.1.2.3"), "");
        assert_eq!(chosen(false, "127.9.9.9"), "");
        assert!(compile("", "", true, &NoFiles).unwrap().is_none());
        let wrong = Environment(&[("HTTP_PROXY", "ftp://u:s3cret@p")]);
        let error = compile("", "", true, &wrong).unwrap_err();
        assert!(
            error
                .message
                .contains("HTTP_PROXY: expected a proxy of scheme"),
            "{error}"
        );
    }

    #[test]
    fn connect_fields_cannot_inject() {
        let header: ProxyHeader = [
            ("X".to_owned(), [" 1", "y\r\nZ: 1"].map(Secret::new).into()),
            ("X Y".to_owned(), [Secret::new("z")].into()),
            (String::new(), [Secret::new("z")].into()),
        ]
        .into();
        assert_eq!(&*connect_header(&header), "X: 1\r\nX: y  Z: 1\r\n");
        let config = ProxyConfig {
            url: &ProxyUrl::default(),
            no_proxy: "",
            from_environment: true,
            connect_header: &header,
        };
        let warned: Vec<String> = config.warnings().into_iter().map(|it| it.field).collect();
        assert_eq!(
            warned,
            [
                "proxy_connect_header.",
                "proxy_connect_header.X",
                "proxy_connect_header.X Y"
            ]
        );
    }
}
