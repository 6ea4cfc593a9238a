//! The web configuration file as people write it: that of the Prometheus
//! exporters (exporter-toolkit).

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::{HeaderName, HeaderValue};
use probity_engine::config::{ConfigError, GoDuration, Secret};
use serde::Deserialize;

use super::rate::Rate;
use super::tls::{ClientAuth, Tls};
use super::users::Users;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    tls_server_config: TlsSection,
    http_server_config: HttpSection,
    basic_auth_users: BTreeMap<String, Secret>,
    rate_limit: RateSection,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) cert: String,
    pub(super) key: Secret,
    pub(super) client_ca: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) client_ca_file: String,
    pub(super) client_auth_type: String,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: String,
    pub(super) max_version: String,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curve_preferences: Vec<String>,
    pub(super) prefer_server_cipher_suites: bool,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            cert: String::new(),
            key: Secret::default(),
            client_ca: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            client_ca_file: String::new(),
            client_auth_type: String::new(),
            client_allowed_sans: None,
            min_version: String::new(),
            max_version: String::new(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            prefer_server_cipher_suites: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    http2: bool,
    headers: BTreeMap<String, String>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            http2: true,
            headers: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateSection {
    interval: Option<GoDuration>,
    burst: u32,
}

/// The file, found valid. What its paths lead to has not been read yet.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) tls: Option<Tls>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: Users,
    pub(super) rate: Option<Rate>,
}

impl Written {
    /// Checks all of it. Paths are relative to `folder`.
    pub(super) fn check(self, folder: &Path) -> Result<Config, ConfigError> {
        let tls = tls(
            self.tls_server_config,
            self.http_server_config.http2,
            folder,
        )
        .map_err(|error| error.within("tls_server_config"))?;
        let headers = self.http_server_config.headers.iter();
        let headers = headers.map(|(name, value)| {
            header(name, value).map_err(|why| {
                ConfigError::new(name, why)
                    .within("headers")
                    .within("http_server_config")
            })
        });
        let users = Users::parse(self.basic_auth_users)
            .map_err(|error| error.within("basic_auth_users"))?;
        let RateSection { interval, burst } = self.rate_limit;
        let interval = interval.filter(|interval| !interval.0.is_zero());
        let rate = match interval {
            None => None,
            Some(_) if burst == 0 => {
                let why = "expected a burst of at least 1 beside the interval: without it nobody is let in";
                return Err(ConfigError::new("burst", why).within("rate_limit"));
            }
            Some(interval) => Some(Rate::new(interval.0, burst)),
        };
        Ok(Config {
            tls,
            headers: headers.collect::<Result<_, _>>()?,
            users,
            rate,
        })
    }
}

/// `None` if nothing is said about TLS at all.
fn tls(section: TlsSection, http2: bool, folder: &Path) -> Result<Option<Tls>, ConfigError> {
    let no_key = section.key.reveal().is_empty() && section.key_file.is_empty();
    let no_cert = section.cert.is_empty() && section.cert_file.is_empty();
    let no_ca = section.client_ca.is_empty() && section.client_ca_file.is_empty();
    let auth = ClientAuth::parse(&section.client_auth_type)
        .map_err(|why| ConfigError::new("client_auth_type", why))?;
    if no_key && no_cert && no_ca && section.client_auth_type.is_empty() {
        return Ok(None);
    }
    let refuse = |field: &str, why: &str| Err(ConfigError::new(field, why));
    if no_cert {
        return refuse("cert_file", "missing one of cert or cert_file");
    }
    if no_key {
        return refuse("key_file", "missing one of key or key_file");
    }
    for (name, inline, file) in [
        ("cert", section.cert.as_str(), &section.cert_file),
        ("key", section.key.reveal(), &section.key_file),
        (
            "client_ca",
            section.client_ca.as_str(),
            &section.client_ca_file,
        ),
    ] {
        if !inline.is_empty() && !file.is_empty() {
            let why = format!("cannot specify both {name} and {name}_file");
            return refuse(&format!("{name}_file"), &why);
        }
    }
    if !no_ca && auth == ClientAuth::None {
        let why = "client CA's have been configured without a Client Auth Policy";
        return refuse("client_auth_type", why);
    }
    if no_ca && auth.verifies() {
        let why = "expected client_ca or client_ca_file beside this policy: the system's roots do not vouch for clients";
        return refuse("client_auth_type", why);
    }
    if section.client_allowed_sans.is_some() && auth == ClientAuth::None {
        let why = "expected a client_auth_type beside it: without one anybody is let in, whatever their names";
        return refuse("client_allowed_sans", why);
    }
    Tls::new(section, auth, http2, folder).map(Some)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let allowed: &[&str] = match name {
        "Strict-Transport-Security" | "X-XSS-Protection" | "Content-Security-Policy" => &[],
        "X-Content-Type-Options" => &["nosniff"],
        "X-Frame-Options" => &["deny", "sameorigin"],
        _ => return Err(format!("HTTP header {name:?} can not be configured")),
    };
    let known = allowed.is_empty() || allowed.contains(&value.to_ascii_lowercase().as_str());
    let parsed = HeaderValue::from_str(value).ok().filter(|_| known);
    match (HeaderName::from_bytes(name.as_bytes()), parsed) {
        (Ok(name), Some(value)) => Ok((name, value)),
        _ if allowed.is_empty() => Err(format!("expected a header value, found {value:?}")),
        _ => Err(format!(
            "invalid value for {name}, expected {}, found {value:?}",
            allowed.join(" or ")
        )),
    }
}
