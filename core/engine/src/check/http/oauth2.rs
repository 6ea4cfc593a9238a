//! The `oauth2` section: who asks for a token, where, and how.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::assertion::Assertion;
use super::auth::basic_credentials;
use super::claims::Claim;
use super::request::USER_AGENT;
use super::url::Url;
use crate::check::dial::{Addresses, Destination, Via};
use crate::check::tunnel::proxy_authorization;
use crate::config::{
    ConfigError, Files, Given, Proxies, Proxy, ProxyConfig, ProxyHeader, ProxyUrl, Secret,
    TlsConfig, is_default,
};
use crate::io::Family;
use crate::tls::{TlsOptions, TlsParams};

/// The `oauth2` section, with the names of Prometheus' `OAuth2`.
///
/// A client has a secret (`client_credentials`, RFC 6749 section 4.4) or a key
/// (`jwt-bearer`, RFC 7523). What belongs to the other grant is read and has no
/// effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth2 {
    /// Who asks.
    pub client_id: String,
    /// Its secret.
    #[serde(skip_serializing_if = "is_default")]
    pub client_secret: Secret,
    /// A file with the same; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub client_secret_file: String,
    /// A secret with the same, of a manager that there is none of.
    #[serde(skip_serializing_if = "is_default")]
    pub client_secret_ref: String,
    /// For `jwt-bearer`: the name of the key, which the assertion then says.
    #[serde(skip_serializing_if = "is_default")]
    pub client_certificate_key_id: String,
    /// For `jwt-bearer`: an RSA key of 2048 to 4096 bits in PEM, PKCS #8 or
    /// PKCS #1.
    #[serde(skip_serializing_if = "is_default")]
    pub client_certificate_key: Secret,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub client_certificate_key_file: String,
    /// A secret with the same, of a manager that there is none of.
    #[serde(skip_serializing_if = "is_default")]
    pub client_certificate_key_ref: String,
    /// `client_credentials`, which none means, or
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer`. Any other is taken for the
    /// first, as in Prometheus.
    #[serde(skip_serializing_if = "is_default")]
    pub grant_type: String,
    /// For `jwt-bearer`: `RS256`, which none means, `RS384` or `RS512`.
    #[serde(skip_serializing_if = "is_default")]
    pub signature_algorithm: String,
    /// For `jwt-bearer`: who signs; none means `client_id`.
    #[serde(skip_serializing_if = "is_default")]
    pub iss: String,
    /// For `jwt-bearer`: who is to believe it; none means `token_url`.
    #[serde(skip_serializing_if = "is_default")]
    pub audience: String,
    /// For `jwt-bearer`: what else is claimed, also instead of what would be.
    /// Numbers are finite; where YAML is read, a time without quotes is a text in
    /// the form of RFC 3339.
    #[serde(skip_serializing_if = "is_default")]
    pub claims: BTreeMap<String, Claim>,
    /// What the token is to be good for.
    #[serde(skip_serializing_if = "is_default")]
    pub scopes: Vec<String>,
    /// Where tokens are given out: an `http` or `https` URL.
    pub token_url: String,
    /// More parameters of the request.
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint_params: BTreeMap<String, String>,
    /// How the connection there is secured.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    /// The proxy on the way there; see the fields of the section around.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_url: ProxyUrl,
    /// What does not go through it.
    #[serde(skip_serializing_if = "is_default")]
    pub no_proxy: String,
    /// Take proxies from the environment.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_from_environment: bool,
    /// Fields of CONNECT requests.
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_connect_header: ProxyHeader,
}

const CLIENT_CREDENTIALS: &str = "client_credentials";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The parameter that carries one (RFC 7521 section 4.1).
const ASSERTION: &str = "assertion";

impl OAuth2 {
    fn secret(&self) -> Given<'_> {
        Given {
            names: ["client_secret", "client_secret_file", "client_secret_ref"],
            text: self.client_secret.reveal(),
            file: &self.client_secret_file,
            reference: &self.client_secret_ref,
        }
    }

    fn proxies(&self) -> ProxyConfig<'_> {
        ProxyConfig {
            url: &self.proxy_url,
            no_proxy: &self.no_proxy,
            from_environment: self.proxy_from_environment,
            connect_header: &self.proxy_connect_header,
        }
    }

    /// What is legal and not what it seems to be.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        match &*self.grant_type {
            "" | CLIENT_CREDENTIALS | JWT_BEARER => Vec::new(),
            other => {
                let message = format!(
                    "expected {CLIENT_CREDENTIALS} or {JWT_BEARER}, found {other:?}: {CLIENT_CREDENTIALS} is what is asked with"
                );
                [ConfigError::new("grant_type", message)].into()
            }
        }
    }

    /// Looks for mistakes. Those that Prometheus finds come first, in its
    /// order and words.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: &str| Err(ConfigError::new(field, message));
        if self.client_id.is_empty() {
            return wrong("client_id", "oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return wrong("token_url", "oauth2 token_url must be configured");
        }
        if self.grant_type == JWT_BEARER {
            return Assertion::validate(self);
        }
        if self.secret().is_ambiguous() {
            let message = "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials";
            return wrong("client_secret", message);
        }
        Ok(())
    }

    /// The section, found valid.
    pub(super) fn compile(&self, files: &dyn Files) -> Result<TokenSource, ConfigError> {
        self.validate()?;
        let url = match self.token_url.contains("://") {
            true => Url::target(&self.token_url).map_err(|error| format!("{error}")),
            false => Err("there is no scheme".into()),
        };
        let url = url.map_err(|error| {
            let message = format!("expected an http or https URL: {error}");
            ConfigError::unspoken("token_url", message)
        });
        let tls = self.tls_config.options(&[], files);
        let tls = tls.map_err(|error| error.within("tls_config"))?;
        let proxies = ConfigError::set_aside(self.proxies().compile(&tls, files))?;
        Ok(TokenSource {
            tls,
            server_name: Some(&*self.tls_config.server_name)
                .filter(|name| !name.is_empty())
                .map(Into::into),
            parameters: self.parameters()?,
            grant: match &*self.grant_type {
                JWT_BEARER => Grant::Assertion(Assertion::compile(self, files)?),
                _ => Grant::Credentials {
                    id: self.client_id.as_str().into(),
                    secret: Secret::new(self.secret().text(files)?),
                },
            },
            // Last, when there are no other mistakes.
            url: url?,
            proxies: proxies?,
        })
    }

    /// What is asked for, without who asks.
    fn parameters(&self) -> Result<BTreeMap<Box<str>, Box<str>>, ConfigError> {
        let mut all = BTreeMap::<Box<str>, Box<str>>::new();
        let signed = self.grant_type == JWT_BEARER;
        let grant = match signed {
            true => JWT_BEARER,
            false => CLIENT_CREDENTIALS,
        };
        all.insert("grant_type".into(), grant.into());
        let scope = self.scopes.join(" ");
        // As in Go: a list of nothing is one for the one grant, and none for
        // the other.
        if !scope.is_empty() || !signed && !self.scopes.is_empty() {
            all.insert("scope".into(), scope.into());
        }
        for (name, value) in &self.endpoint_params {
            // As in Go: another grant may be named, nothing else replaced.
            let is_ours = all.contains_key(&**name) || signed && name == ASSERTION;
            if name != "grant_type" && is_ours {
                let field = format!("endpoint_params.{name}");
                let message = format!("oauth2: cannot overwrite parameter {name:?}");
                return Err(ConfigError::new(&field, message));
            }
            all.insert(name.as_str().into(), value.as_str().into());
        }
        Ok(all)
    }
}

/// Where tokens come from.
#[derive(PartialEq)]
pub(super) struct TokenSource {
    pub(super) url: Url,
    pub(super) tls: Arc<TlsOptions>,
    server_name: Option<Box<str>>,
    proxies: Option<Box<Proxies>>,
    parameters: BTreeMap<Box<str>, Box<str>>,
    grant: Grant,
}

/// By what a client is known.
#[derive(PartialEq)]
enum Grant {
    Credentials { id: Box<str>, secret: Secret },
    Assertion(Assertion),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource({})", self.url)
    }
}

/// How a client says who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// In the Authorization field.
    Header,
    /// In the body.
    Parameters,
    /// In what its key has signed (RFC 7521 section 4.1), in the body too.
    Assertion,
}

impl TokenSource {
    pub(super) fn destination(&self) -> Destination<'_> {
        Destination {
            host: &self.url.host,
            port: self.url.port(),
            addresses: Addresses::Every(Family::V6),
            source: None,
            secure: self.url.secure.then_some(TlsParams {
                server_name: self.server_name.as_deref().unwrap_or(&self.url.host),
                options: &self.tls,
            }),
            via: self.proxies.as_deref().map(|proxies| Via {
                proxies,
                by_name: true,
            }),
        }
    }

    /// What is tried first.
    pub(super) fn style(&self) -> Style {
        match self.grant {
            Grant::Credentials { .. } => Style::Header,
            Grant::Assertion(_) => Style::Assertion,
        }
    }

    /// A new assertion, for [`Style::Assertion`]. This takes the time of a
    /// signature, about a millisecond or several.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn sign(&self) -> Result<Secret, String> {
        match &self.grant {
            Grant::Assertion(assertion) => assertion.sign().map(Secret::new),
            Grant::Credentials { .. } => Ok(Secret::default()),
        }
    }

    /// The request, for `proxy` in absolute form, with what was signed for it.
    pub(super) fn request(&self, style: Style, assertion: &str, proxy: Option<&Proxy>) -> Vec<u8> {
        let mut parameters = self.parameters.clone();
        let mut authorization = None;
        match &self.grant {
            Grant::Credentials { id, secret } if style == Style::Header => {
                let mut pair = String::new();
                escape(id, &mut pair);
                pair.push(':');
                escape(secret.reveal(), &mut pair);
                authorization = Some(basic_credentials(pair.as_bytes()));
            }
            Grant::Credentials { id, secret } => {
                parameters.insert("client_id".into(), id.clone());
                let secret = secret.reveal();
                if !secret.is_empty() {
                    parameters.insert("client_secret".into(), secret.into());
                }
            }
            Grant::Assertion(_) => {
                parameters.insert(ASSERTION.into(), assertion.into());
            }
        }
        let mut body = String::new();
        for (name, value) in &parameters {
            parameter(name, value, &mut body);
        }
        let authority = self.url.authority();
        // Writing to a String cannot fail.
        let mut head = String::with_capacity(512);
        head.push_str("POST ");
        if proxy.is_some() {
            let _ = write!(head, "http://{authority}");
        }
        let _ = write!(
            head,
            "{} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nContent-Length: {}\r\n",
            self.url.path,
            body.len()
        );
        if let Some(value) = authorization {
            let _ = write!(head, "Authorization: {}\r\n", value.reveal());
        }
        head.push_str("Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n");
        if let Some(value) = proxy.and_then(proxy_authorization) {
            let _ = write!(head, "Proxy-Authorization: {value}\r\n");
        }
        head.push_str("\r\n");
        head.push_str(&body);
        head.into_bytes()
    }
}

fn parameter(name: &str, value: &str, to: &mut String) {
    if !to.is_empty() {
        to.push('&');
    }
    escape(name, to);
    to.push('=');
    escape(value, to);
}

/// `application/x-www-form-urlencoded`, as Go's `url.QueryEscape` writes it.
fn escape(text: &str, to: &mut String) {
    for byte in text.bytes() {
        let _ = match byte {
            b' ' => to.write_char('+'),
            b'-' | b'_' | b'.' | b'~' => to.write_char(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => to.write_char(char::from(byte)),
            byte => write!(to, "%{byte:02X}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NoFiles;

    fn section() -> OAuth2 {
        OAuth2 {
            client_id: "me & you".into(),
            client_secret: Secret::new("s:3"),
            token_url: "https://id.example/token".into(),
            scopes: ["a".into(), "b c".into()].into(),
            ..OAuth2::default()
        }
    }

    fn text(style: Style, section: &OAuth2) -> String {
        let source = section.compile(&NoFiles).unwrap();
        String::from_utf8(source.request(style, "", None)).unwrap()
    }

    #[test]
    fn who_asks_stands_in_the_header_or_in_the_body() {
        let header = text(Style::Header, &section());
        assert!(
            header.starts_with("POST /token HTTP/1.1\r\nHost: id.example\r\n"),
            "{header}"
        );
        // "me+%26+you:s%3A3"
        assert!(header.contains("\r\nAuthorization: Basic bWUrJTI2K3lvdTpzJTNBMw==\r\n"));
        assert!(header.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b+c"));
        let body = text(Style::Parameters, &section());
        assert!(!body.contains("Authorization"));
        assert!(
            body.ends_with(
                "\r\n\r\nclient_id=me+%26+you&client_secret=s%3A3&grant_type=client_credentials&scope=a+b+c"
            ),
            "{body}"
        );
        let mut other = section();
        other.endpoint_params = [
            ("audience".into(), "x".into()),
            ("grant_type".into(), "other".into()),
        ]
        .into();
        let other = text(Style::Header, &other);
        assert!(
            other.ends_with("audience=x&grant_type=other&scope=a+b+c"),
            "{other}"
        );
    }

    #[test]
    fn an_unknown_grant_is_told_of_and_taken_for_the_usual_one() {
        assert_eq!(section().warnings(), []);
        let mut other = section();
        other.grant_type = "password".into();
        let [warning] = &*other.warnings() else {
            panic!("expected one warning");
        };
        assert_eq!(warning.field, "grant_type");
        assert!(
            warning
                .message
                .ends_with("found \"password\": client_credentials is what is asked with")
        );
        assert_eq!(text(Style::Header, &other), text(Style::Header, &section()));
    }

    #[test]
    fn mistakes_are_named_as_prometheus_names_them() {
        type Change = fn(&mut OAuth2);
        let cases: [(Change, &str, &str); 9] = [
            (
                |it| it.client_id.clear(),
                "client_id",
                "oauth2 client_id must be configured",
            ),
            (
                |it| it.token_url.clear(),
                "token_url",
                "oauth2 token_url must be configured",
            ),
            (
                |it| it.client_secret_file = "x".into(),
                "client_secret",
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
            ),
            (
                |it| {
                    it.grant_type = JWT_BEARER.into();
                    it.signature_algorithm = "ES256".into();
                },
                "signature_algorithm",
                "valid signature algorithms are RS256, RS384 and RS512",
            ),
            (
                |it| {
                    it.grant_type = JWT_BEARER.into();
                    it.client_certificate_key = Secret::new("x");
                    it.client_certificate_key_file = "y".into();
                },
                "client_certificate_key",
                "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
            ),
            (
                |it| {
                    it.grant_type = JWT_BEARER.into();
                    it.endpoint_params = [("assertion".into(), "z".into())].into();
                },
                "endpoint_params.assertion",
                "oauth2: cannot overwrite parameter \"assertion\"",
            ),
            (
                |it| it.grant_type = JWT_BEARER.into(),
                "client_certificate_key",
                "expected client_certificate_key or client_certificate_key_file for the grant jwt-bearer, found neither",
            ),
            (
                |it| it.token_url = "id.example/token".into(),
                "token_url",
                "expected an http or https URL: there is no scheme",
            ),
            (
                |it| it.endpoint_params = [("scope".into(), "z".into())].into(),
                "endpoint_params.scope",
                "oauth2: cannot overwrite parameter \"scope\"",
            ),
        ];
        for (change, field, message) in cases {
            let mut section = section();
            change(&mut section);
            let error = section.compile(&NoFiles).unwrap_err();
            assert_eq!((&*error.field, &*error.message), (field, message));
        }
    }
}
