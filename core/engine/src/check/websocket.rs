//! `websocket`: the section alone; there is no check for it yet.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Section;
use super::http::{Authorization, BasicAuth, Credentials, HttpHeader, OAuth2, check_added};
use super::tcp::{QueryResponse, check_dialogue};
use crate::config::{
    self, ConfigError, ProxyConfig, ProxyHeader, ProxyUrl, Secret, TlsConfig, is_default,
};

/// The `websocket` section of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the request that opens the connection is made.
    #[serde(skip_serializing_if = "is_default")]
    pub http_config: HttpConfig,
    /// Fields of that request.
    #[serde(
        skip_serializing_if = "is_default",
        deserialize_with = "config::null_value_is_empty"
    )]
    pub headers: BTreeMap<String, HttpHeader>,
    /// What is said then, in order: of each entry `expect` and `send` count.
    #[serde(
        skip_serializing_if = "is_default",
        deserialize_with = "config::null_is_empty"
    )]
    pub query_response: Vec<QueryResponse>,
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
}

/// The `http_config` section: what every HTTP client of Prometheus can be
/// told. Of it credentials and TLS count here; blackbox_exporter accepts the
/// rest and does nothing with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
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
    /// How `wss` connections are secured.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    /// No effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// No effect.
    pub follow_redirects: bool,
    /// No effect.
    pub enable_http2: bool,
    /// No effect.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_url: ProxyUrl,
    /// No effect.
    #[serde(skip_serializing_if = "is_default")]
    pub no_proxy: String,
    /// No effect.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_from_environment: bool,
    /// No effect.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_connect_header: ProxyHeader,
    /// No effect.
    #[serde(
        skip_serializing_if = "is_default",
        deserialize_with = "config::null_value_is_empty"
    )]
    pub http_headers: BTreeMap<String, HttpHeader>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http_config: HttpConfig::default(),
            headers: BTreeMap::new(),
            query_response: Vec::new(),
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            tls_config: TlsConfig::default(),
            oauth2: None,
            follow_redirects: true,
            enable_http2: true,
            proxy_url: ProxyUrl::default(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: ProxyHeader::new(),
            http_headers: BTreeMap::new(),
        }
    }
}

impl HttpConfig {
    /// Looks for contradictions in the order in which Prometheus does.
    fn validate(&self) -> Result<(), ConfigError> {
        let tls = self.tls_config.validate();
        tls.map_err(|error| error.within("tls_config"))?;
        let credentials = Credentials {
            basic_auth: self.basic_auth.as_ref(),
            authorization: self.authorization.as_ref(),
            bearer_token: &self.bearer_token,
            bearer_token_file: &self.bearer_token_file,
            oauth2: self.oauth2.is_some(),
        };
        credentials.validate()?;
        if let Some(oauth2) = &self.oauth2 {
            let checked = oauth2.validate();
            checked.map_err(|error| error.within("oauth2"))?;
        }
        let proxies = ProxyConfig {
            url: &self.proxy_url,
            no_proxy: &self.no_proxy,
            from_environment: self.proxy_from_environment,
            connect_header: &self.proxy_connect_header,
        };
        proxies.validate()?;
        check_added(&self.http_headers)
    }
}

impl Section for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let checked = self.http_config.validate();
        checked.map_err(|error| error.within("http_config"))?;
        check_dialogue(&self.query_response, false).map(|_| ())
    }
}
