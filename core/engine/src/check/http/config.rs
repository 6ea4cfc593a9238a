//! The `http` section of a module: as written, and found valid.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};

use super::decode::Coding;
use super::request::{self, Added, Fields};
use super::size::{ByteSize, Largest};
use crate::config::{
    self, Automaton, Bytes, Cel, ConfigError, Files, Pattern, Proxies, ProxyConfig, ProxyHeader,
    ProxyUrl, Secret, TlsConfig, is_default, yes,
};
use crate::io::Families;
use crate::limits::{
    MAX_DECODED_BODY_BYTES, MAX_JSON_BODY_BYTES, MAX_MATCHED_BODY_BYTES, MAX_REQUEST_BODY_BYTES,
};
use crate::tls::TlsOptions;

use super::auth::{Authorization, BasicAuth, Credentials};
use super::oauth2::{OAuth2, TokenSource};

/// The `http` section of a module, with the names of blackbox_exporter.
///
/// Files are read when the configuration is; a host that sees them change
/// compiles the module anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Accepted status codes; none means 200 to 299. Any number can be listed,
    /// also one that no response has.
    #[serde(skip_serializing_if = "is_default")]
    pub valid_status_codes: Vec<i64>,
    /// Accepted versions, `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`; none means any.
    #[serde(skip_serializing_if = "is_default")]
    pub valid_http_versions: Vec<String>,
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Source address of connections.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "config::address"
    )]
    pub source_ip_address: Option<IpAddr>,
    /// The opposite of `follow_redirects`, which it overrides; deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_follow_redirects: Option<bool>,
    /// Whether redirects are followed, at most 10 of them, with the cookies that
    /// they set.
    pub follow_redirects: bool,
    /// Whether `https` servers are offered HTTP/2 (by ALPN), which they may
    /// choose or not.
    pub enable_http2: bool,
    /// HTTP/3 is not spoken by this version: such a module loads, and its runs
    /// are unknown.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_http3: bool,
    /// Fail if the final response came over TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_ssl: bool,
    /// Fail if it did not.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_not_ssl: bool,
    /// The request's method; none means GET.
    #[serde(skip_serializing_if = "is_default")]
    pub method: String,
    /// Fields of the request. `Host` also sets the TLS server name, and is sent
    /// empty if no authority can be what it says; an empty `User-Agent` suppresses
    /// that field. `Content-Length`,
    /// `Transfer-Encoding` and `Trailer` follow from the body and are ignored
    /// here.
    #[serde(
        skip_serializing_if = "is_default",
        serialize_with = "hide_credentials"
    )]
    pub headers: BTreeMap<String, Bytes>,
    /// Further fields, added to each request; of these `secrets` and `files`
    /// are for the host of the target alone.
    #[serde(
        skip_serializing_if = "is_default",
        deserialize_with = "config::null_value_is_empty"
    )]
    pub http_headers: BTreeMap<String, HttpHeader>,
    /// Fail if any of these matches the body.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_matches_regexp: Vec<Pattern>,
    /// Fail if any of these does not match the body.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_not_matches_regexp: Vec<Pattern>,
    /// Fail if this expression in CEL is true of `body`, the JSON of the body;
    /// also if it is neither true nor false, or if the body is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_if_body_json_matches_cel: Option<String>,
    /// Fail if this one is false, and for the same other reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_if_body_json_not_matches_cel: Option<String>,
    /// Fail if any value of the header matches.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_header_matches: Vec<HeaderMatch>,
    /// Fail if no value of the header matches.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_header_not_matches: Vec<HeaderMatch>,
    /// The request's body.
    #[serde(skip_serializing_if = "is_default")]
    pub body: Bytes,
    /// A file with the same. It is sent in chunks, and not a second time: a
    /// redirect that asks for that is a final response.
    #[serde(skip_serializing_if = "is_default")]
    pub body_file: String,
    /// How the response's body is coded: `gzip`, `deflate`, `br` or
    /// `identity`, in any case; none means that it is taken as it is, whatever
    /// its `Content-Encoding`.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: String,
    /// Largest response body, once it is decoded; none means any, or 16 MiB if
    /// it is matched, 2 MiB if CEL looks at it, and 64 MiB if it is decoded.
    #[serde(skip_serializing_if = "is_default")]
    pub body_size_limit: ByteSize,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Credentials of another scheme than `Basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Credentials of the scheme `Bearer`; deprecated.
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token: Secret,
    /// A file with the same; deprecated.
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token_file: String,
    /// Credentials that are fetched before each probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// How `https` connections are secured.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    /// The proxy that requests go through: `http`, `https` or `socks5`.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_url: ProxyUrl,
    /// What does not go through it: names, addresses, networks, `*`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_proxy: String,
    /// Take proxies from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as they
    /// are when the configuration is read.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_from_environment: bool,
    /// Fields of CONNECT requests.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_connect_header: ProxyHeader,
    /// Give a proxy the target's name instead of its address.
    #[serde(skip_serializing_if = "is_default")]
    pub skip_resolve_phase_with_proxy: bool,
}

impl Config {
    fn proxies(&self) -> ProxyConfig<'_> {
        ProxyConfig {
            url: &self.proxy_url,
            no_proxy: &self.no_proxy,
            from_environment: self.proxy_from_environment,
            connect_header: &self.proxy_connect_header,
        }
    }
}

/// Header fields that carry credentials (RFC 9110 section 11, RFC 6265, and
/// the names that are common for keys and tokens).
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(&*name, "authorization" | "proxy-authorization" | "cookie")
        || ["token", "secret", "password", "api-key", "apikey"]
            .iter()
            .any(|part| name.contains(part))
}

/// Shows header fields, but not what gives access.
fn hide_credentials<S: Serializer>(
    headers: &BTreeMap<String, Bytes>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let secret = Bytes::from("<secret>");
    serializer.collect_map(headers.iter().map(|(name, value)| {
        let hidden = is_credential(name) && !value.is_empty();
        (name, if hidden { &secret } else { value })
    }))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            valid_status_codes: Vec::new(),
            valid_http_versions: Vec::new(),
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: yes(),
            source_ip_address: None,
            no_follow_redirects: None,
            follow_redirects: yes(),
            enable_http2: yes(),
            enable_http3: false,
            fail_if_ssl: false,
            fail_if_not_ssl: false,
            method: String::new(),
            headers: BTreeMap::new(),
            http_headers: BTreeMap::new(),
            fail_if_body_matches_regexp: Vec::new(),
            fail_if_body_not_matches_regexp: Vec::new(),
            fail_if_body_json_matches_cel: None,
            fail_if_body_json_not_matches_cel: None,
            fail_if_header_matches: Vec::new(),
            fail_if_header_not_matches: Vec::new(),
            body: Bytes::default(),
            body_file: String::new(),
            compression: String::new(),
            body_size_limit: ByteSize::default(),
            basic_auth: None,
            authorization: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            oauth2: None,
            tls_config: TlsConfig::default(),
            proxy_url: ProxyUrl::default(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: ProxyHeader::new(),
            skip_resolve_phase_with_proxy: false,
        }
    }
}

impl Config {
    /// What is legal and not what it seems to be.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        let tls = self.tls_config.warnings().into_iter();
        let mut warnings: Vec<_> = tls.map(|it| it.within("tls_config")).collect();
        if let Some(oauth2) = &self.oauth2 {
            let found = oauth2.warnings().into_iter();
            warnings.extend(found.map(|it| it.within("oauth2")));
        }
        warnings.extend(self.proxies().warnings());
        for name in request::spelled_twice(&self.headers) {
            let message = "the header is there already in another spelling: one of them is sent";
            warnings.push(ConfigError::new(&format!("headers.{name}"), message));
        }
        for (name, value) in &self.headers {
            let text = core::str::from_utf8(value.as_slice()).unwrap_or_default();
            let is_host = name.eq_ignore_ascii_case("Host") && !text.is_empty();
            if is_host && request::sent_host(text).is_empty() {
                let message = format!(
                    "expected a host with an optional port, found {value:?}: an empty Host is sent"
                );
                warnings.push(ConfigError::new(&format!("headers.{name}"), message));
            }
        }
        if self.no_follow_redirects.is_some() {
            let message = "no_follow_redirects is deprecated: follow_redirects says the opposite";
            warnings.push(ConfigError::new("no_follow_redirects", message));
        }
        for (index, status) in self.valid_status_codes.iter().enumerate() {
            if !(100..1000).contains(status) {
                let field = format!("valid_status_codes[{index}]");
                let message = format!("no response has the status {status}");
                warnings.push(ConfigError::new(&field, message));
            }
        }
        warnings
    }

    /// Each expression, with its field.
    fn patterns(&self) -> impl Iterator<Item = (String, &Pattern)> {
        let bodies = [
            (
                "fail_if_body_matches_regexp",
                &self.fail_if_body_matches_regexp,
            ),
            (
                "fail_if_body_not_matches_regexp",
                &self.fail_if_body_not_matches_regexp,
            ),
        ];
        let headers = [
            ("fail_if_header_matches", &self.fail_if_header_matches),
            (
                "fail_if_header_not_matches",
                &self.fail_if_header_not_matches,
            ),
        ];
        let of_body = bodies.into_iter().flat_map(|(field, list)| {
            let entries = list.iter().enumerate();
            entries.map(move |(index, pattern)| (format!("{field}[{index}]"), pattern))
        });
        let of_headers = headers.into_iter().flat_map(|(field, list)| {
            list.iter().enumerate().filter_map(move |(index, entry)| {
                let pattern = entry.regexp.as_ref()?;
                Some((format!("{field}[{index}].regexp"), pattern))
            })
        });
        of_body.chain(of_headers)
    }

    /// What the section says about who asks.
    pub(super) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            basic_auth: self.basic_auth.as_ref(),
            authorization: self.authorization.as_ref(),
            bearer_token: &self.bearer_token,
            bearer_token_file: &self.bearer_token_file,
            oauth2: self.oauth2.is_some(),
        }
    }
}

/// A header of the response, and what it must or must not look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderMatch {
    /// Name of the header, in any case.
    pub header: String,
    /// Matched against each of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexp: Option<Pattern>,
    /// Whether it may be absent.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_missing: bool,
}

/// The values of one header field in `http_headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpHeader {
    /// Values.
    #[serde(skip_serializing_if = "is_default")]
    pub values: Vec<Bytes>,
    /// Values that are not shown.
    #[serde(skip_serializing_if = "is_default")]
    pub secrets: Vec<Secret>,
    /// Files with a value each; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub files: Vec<String>,
}

/// The body of requests.
#[derive(PartialEq)]
pub(super) enum Body {
    /// As it stands in the configuration; may be empty.
    Text(Arc<[u8]>),
    /// What a file held when the configuration was read.
    File(Arc<[u8]>),
}

impl Body {
    pub(super) const fn content(&self) -> &Arc<[u8]> {
        match self {
            Self::Text(content) | Self::File(content) => content,
        }
    }
}

/// A valid `http` section. Shown by its method alone: fields and body may be
/// secrets.
#[derive(PartialEq)]
pub struct Module {
    pub(super) statuses: Box<[i64]>,
    pub(super) versions: Box<[String]>,
    pub(super) families: Families,
    pub(super) source: Option<IpAddr>,
    pub(super) follow_redirects: bool,
    pub(super) fail_if_ssl: bool,
    pub(super) fail_if_not_ssl: bool,
    pub(super) method: Box<str>,
    /// The configured Host header.
    pub(super) host: Option<Box<str>>,
    /// The other configured fields.
    pub(super) fields: Fields,
    /// The value of Authorization, unless it is among the fields.
    pub(super) authorization: Option<Secret>,
    /// Those of `http_headers`.
    pub(super) added: Box<[Added]>,
    pub(super) body: Body,
    pub(super) body_forbidden: Box<[Automaton]>,
    pub(super) body_required: Box<[Automaton]>,
    /// What must not be true of the body, and what must.
    pub(super) cel_forbidden: Option<Cel>,
    pub(super) cel_required: Option<Cel>,
    pub(super) header_forbidden: Box<[Matcher]>,
    pub(super) header_required: Box<[Matcher]>,
    /// How the body of the response is coded.
    pub(super) coding: Coding,
    pub(super) body_limit: Option<u64>,
    pub(super) tls: Arc<TlsOptions>,
    /// Where the token comes from that goes with the request.
    pub(super) tokens: Option<TokenSource>,
    pub(super) proxies: Option<Box<Proxies>>,
    /// Whether a proxy is given names.
    pub(super) skip_resolve: bool,
    /// The configured TLS server name.
    pub(super) server_name: Option<Box<str>>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A valid [`HeaderMatch`].
#[derive(Debug, PartialEq)]
pub(super) struct Matcher {
    /// Empty if there is none by that name.
    pub(super) header: Box<str>,
    pub(super) pattern: Pattern,
    pub(super) allow_missing: bool,
}

impl Module {
    pub(super) fn new(config: &Config, files: &dyn Files) -> Result<Self, ConfigError> {
        let mut headers = request::headers(&config.headers)?;
        let alpn: &[&[u8]] = match config.enable_http2 {
            true => &[b"h2", b"http/1.1"],
            // As Go does: a server that speaks only HTTP/2 refuses an offer of
            // HTTP/1.1, but not a handshake without any.
            false => &[],
        };
        let tls = config
            .tls_config
            .options(alpn, files)
            .map_err(|error| error.within("tls_config"))?;
        let authorization = config.credentials().header(files)?;
        let tokens = config.oauth2.as_ref().map(|oauth2| oauth2.compile(files));
        let tokens = tokens.transpose().map_err(|error| error.within("oauth2"));
        let tokens = ConfigError::set_aside(tokens)?;
        let versions = ConfigError::set_aside(versions(config))?;
        let proxies = ConfigError::set_aside(config.proxies().compile(&tls, files))?;
        let patterns = ConfigError::set_aside(Pattern::check(config.patterns()))?;
        Ok(Self {
            statuses: config.valid_status_codes.as_slice().into(),
            families: config::families(&config.preferred_ip_protocol, config.ip_protocol_fallback),
            source: config.source_ip_address,
            follow_redirects: match config.no_follow_redirects {
                Some(not) => !not,
                None => config.follow_redirects,
            },
            fail_if_ssl: config.fail_if_ssl,
            fail_if_not_ssl: config.fail_if_not_ssl,
            method: method(&config.method)?,
            host: headers.host.take(),
            fields: headers.fields,
            authorization,
            added: request::added(&config.http_headers, files)?,
            body: body(config, files)?,
            body_forbidden: automata(&config.fail_if_body_matches_regexp),
            body_required: automata(&config.fail_if_body_not_matches_regexp),
            cel_forbidden: cel(
                "fail_if_body_json_matches_cel",
                config.fail_if_body_json_matches_cel.as_deref(),
                files,
            )?,
            cel_required: cel(
                "fail_if_body_json_not_matches_cel",
                config.fail_if_body_json_not_matches_cel.as_deref(),
                files,
            )?,
            header_forbidden: matchers("fail_if_header_matches", &config.fail_if_header_matches)?,
            header_required: matchers(
                "fail_if_header_not_matches",
                &config.fail_if_header_not_matches,
            )?,
            coding: coding(config)?,
            body_limit: config.body_size_limit.limit(),
            skip_resolve: config.skip_resolve_phase_with_proxy,
            tls,
            server_name: Some(config.tls_config.server_name.as_str())
                .filter(|name| !name.is_empty())
                .map(Into::into),
            // Last, when there are no other mistakes.
            tokens: patterns.and(tokens)?,
            versions: versions?,
            proxies: proxies?,
        })
    }

    /// Whether the body is looked at.
    pub(super) fn matches_body(&self) -> bool {
        self.matches_text() || self.matches_json()
    }

    /// Whether regular expressions look at it.
    pub(super) fn matches_text(&self) -> bool {
        !self.body_forbidden.is_empty() || !self.body_required.is_empty()
    }

    /// Whether CEL expressions do.
    pub(super) const fn matches_json(&self) -> bool {
        self.cel_forbidden.is_some() || self.cel_required.is_some()
    }

    /// How much of a body is read at most, and who says so; `None`: all of it. Who asks
    /// for more than the defaults gets it; not for a parser.
    pub(super) fn largest_body(&self, matched: bool) -> Option<Largest> {
        let parsed = matched && self.matches_json();
        let parsed = parsed.then_some(Largest::Parsed(MAX_JSON_BODY_BYTES as u64));
        let held = Largest::Matched(MAX_MATCHED_BODY_BYTES as u64);
        let decoded = Largest::Decoded(MAX_DECODED_BODY_BYTES);
        let others = match self.body_limit {
            Some(limit) => [Some(Largest::Module(limit)), None],
            None => [
                matched.then_some(held),
                self.coding.decodes().then_some(decoded),
            ],
        };
        // Of two that are the same, the module's.
        let all = others.into_iter().chain([parsed]).flatten();
        all.min_by_key(|it| it.bytes())
    }

    pub(super) fn is_head(&self) -> bool {
        &*self.method == "HEAD"
    }
}

fn automata(patterns: &[Pattern]) -> Box<[Automaton]> {
    patterns.iter().map(Automaton::new).collect()
}

fn method(text: &str) -> Result<Box<str>, ConfigError> {
    let wrong = |what: &str| {
        Err(ConfigError::new(
            "method",
            format!("{what}, found {text:?}"),
        ))
    };
    match text {
        "" => Ok("GET".into()),
        method if request::is_token(method) => Ok(method.into()),
        _ => wrong("expected a method such as GET or POST"),
    }
}

fn cel(field: &str, source: Option<&str>, files: &dyn Files) -> Result<Option<Cel>, ConfigError> {
    let Some(source) = source else {
        return Ok(None);
    };
    match files.cel(source) {
        Ok(expression) => {
            if let Some(why) = expression.unspoken() {
                files.warn(format!(
                    "{field}: {why}: a probe that comes to it is unknown"
                ));
            }
            Ok(Some(Cel(expression)))
        }
        Err(why) => Err(ConfigError::new(
            field,
            format!("\"Could not compile CEL program\" expression={source:?}: {why}"),
        )),
    }
}

fn body(config: &Config, files: &dyn Files) -> Result<Body, ConfigError> {
    let (text, path) = (&config.body, &config.body_file);
    let wrong = |why: String| ConfigError::new("body_file", why);
    let bounded = |length: usize| match length {
        0..=MAX_REQUEST_BODY_BYTES => Ok(()),
        _ => Err(format!(
            "expected at most {MAX_REQUEST_BODY_BYTES} bytes, found {length}"
        )),
    };
    match (text.is_empty(), path.is_empty()) {
        (_, true) => {
            bounded(text.as_slice().len()).map_err(|why| ConfigError::new("body", why))?;
            Ok(Body::Text(text.as_slice().into()))
        }
        (false, false) => Err(wrong(
            "setting body and body_file both are not allowed".into(),
        )),
        (true, false) => {
            let content = files.read(path);
            let content = content.and_then(|content| {
                bounded(content.len()).map_err(|why| format!("{path}: {why}"))?;
                Ok(content)
            });
            let content = content.map_err(|why| ConfigError::unready("body_file", why))?;
            Ok(Body::File(content.into()))
        }
    }
}

/// What `compression` says, as long as the request does not rule it out.
fn coding(config: &Config) -> Result<Coding, ConfigError> {
    let compression = &*config.compression;
    if compression.is_empty() {
        return Ok(Coding::Identity);
    }
    let headers = config.headers.iter();
    let mut accepting = headers
        .filter(|(name, _)| name.eq_ignore_ascii_case("Accept-Encoding"))
        .map(|(name, accepted)| (name, String::from_utf8_lossy(accepted.as_slice())));
    match accepting.find(|(_, accepted)| !request::accepts(accepted, compression)) {
        Some((name, accepted)) => Err(ConfigError::new(
            "compression",
            format!("invalid configuration \"{name}: {accepted}\", \"compression: {compression}\""),
        )),
        None => Ok(Coding::named(compression)),
    }
}

/// What is wrong with HTTP/3 is said first in the words of blackbox_exporter.
fn versions(config: &Config) -> Result<Box<[String]>, ConfigError> {
    let listed = |versions: &[&str]| {
        let mut valid = config.valid_http_versions.iter();
        valid.any(|version| versions.contains(&version.as_str()))
    };
    let wrong = |field: &str, message: &str| Err(ConfigError::new(field, message));
    if !config.enable_http3 {
        return match listed(&["HTTP/3.0"]) {
            true => wrong(
                "valid_http_versions",
                "HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false",
            ),
            false => Ok(config.valid_http_versions.as_slice().into()),
        };
    }
    if listed(&["HTTP/2.0", "HTTP/1.1"]) {
        return wrong(
            "valid_http_versions",
            "HTTP/3 and HTTP/2.0/1.1 cannot be used together - only HTTP/3.0 is allowed when enable_http3 is true",
        );
    }
    if config.enable_http2 {
        return wrong(
            "enable_http2",
            "when enable_http3 is true, enable_http2 must be set to false",
        );
    }
    let message = "HTTP/3 is not spoken by this version: expected false";
    Err(ConfigError::unspoken("enable_http3", message))
}

fn matchers(field: &str, configs: &[HeaderMatch]) -> Result<Box<[Matcher]>, ConfigError> {
    let matcher = |(index, config): (usize, &HeaderMatch)| {
        let wrong = |name: &str, message: &str| {
            Err(ConfigError::new(
                &format!("{field}[{index}].{name}"),
                message.to_owned(),
            ))
        };
        if config.header.is_empty() {
            return wrong("header", "header name must be set for HTTP header matchers");
        }
        match &config.regexp {
            Some(pattern) if !pattern.source().is_empty() => Ok(Matcher {
                header: config.header.as_str().into(),
                pattern: pattern.clone(),
                allow_missing: config.allow_missing,
            }),
            _ => wrong("regexp", "regexp must be set for HTTP header matchers"),
        }
    };
    configs.iter().enumerate().map(matcher).collect()
}

/// The Host header that applies to a target: the module's or, as long as they
/// do not contradict, the request's.
pub(super) fn host_header(
    module: &Module,
    hostname: Option<&str>,
) -> Result<Option<Box<str>>, String> {
    let Some(asked) = hostname.filter(|name| !name.is_empty()) else {
        return Ok(module.host.clone());
    };
    match &module.host {
        Some(configured) if **configured != *asked => Err(format!(
            "host header defined both in module configuration ({configured}) and with URL-parameter 'hostname' ({asked})"
        )),
        _ => match request::sent_host(asked) {
            sent if sent.is_empty() => Err(format!(
                "expected a hostname with an optional port, found {asked:?}"
            )),
            sent => Ok(Some(sent)),
        },
    }
}

#[cfg(test)]
mod tests;
