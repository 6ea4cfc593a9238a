//! The `tcp` section of a module, and what it becomes.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{
    self, Bytes, Cause, ConfigError, Files, Pattern, Template, TlsConfig, is_default,
};
use crate::io::Families;
use crate::limits::MAX_LINE_BYTES;
use crate::tls::TlsOptions;

/// The `tcp` section of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
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
    /// What is said on the connection, in order.
    #[serde(
        skip_serializing_if = "is_default",
        deserialize_with = "config::null_is_empty"
    )]
    pub query_response: Vec<QueryResponse>,
    /// Whether to perform a TLS handshake before anything is said.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: bool,
    /// How, then or for a `starttls`.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
}

/// One exchange of a dialogue. What it has is done in this order: `expect` or
/// `expect_bytes`, `send` or `send_bytes`, `starttls`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryResponse {
    /// Lines are read until one matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
    /// These bytes must be next.
    #[serde(skip_serializing_if = "is_default")]
    pub expect_bytes: Bytes,
    /// What is told about the line that matched, as labels of
    /// `probe_expect_info`.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Vec<Label>,
    /// Sent with a line feed at its end. With `expect`, `$1`, `${1}`, `$name`
    /// and `${name}` stand for what its groups captured.
    #[serde(skip_serializing_if = "is_default")]
    pub send: Bytes,
    /// Sent as it is, instead: for protocols that are no lines of text.
    #[serde(skip_serializing_if = "is_default")]
    pub send_bytes: Bytes,
    /// Whether to perform a TLS handshake then.
    #[serde(skip_serializing_if = "is_default")]
    pub starttls: bool,
}

/// A label of `probe_expect_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Label {
    /// Letters, digits and underscores, not beginning with a digit.
    pub name: String,
    /// Expanded like `send`.
    pub value: Bytes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            query_response: Vec::new(),
            tls: false,
            tls_config: TlsConfig::default(),
        }
    }
}

/// A valid `tcp` section.
#[derive(Debug, PartialEq)]
pub struct Module {
    pub(super) families: Families,
    pub(super) source: Option<IpAddr>,
    pub(super) secure: Secure,
    pub(super) server_name: Box<str>,
    pub(super) exchanges: Box<[Exchange]>,
}

/// When a connection is secured, and how.
#[derive(Debug, PartialEq)]
pub(super) enum Secure {
    Never,
    /// Before anything is said.
    AtOnce(Arc<TlsOptions>),
    /// After the one exchange that [asks for it](Exchange::starttls).
    Later(Arc<TlsOptions>),
}

/// One exchange of a valid dialogue.
#[derive(Debug, PartialEq)]
pub(super) struct Exchange {
    pub(super) expected: Option<Expected>,
    pub(super) send: Message,
    pub(super) starttls: bool,
}

/// What the peer has to send.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// Any lines, and then one that matches.
    Line(Pattern, Box<[(Arc<str>, Template)]>),
    Bytes(Box<[u8]>),
}

/// What we send.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Nothing,
    /// Nothing if it expands to nothing, else with a line feed at its end.
    Line(Template),
    Bytes(Box<[u8]>),
}

impl Module {
    pub(super) fn new(config: &Config, files: &dyn Files) -> Result<Self, ConfigError> {
        let options = config
            .tls_config
            .options(&[], files)
            .map_err(|error| error.within("tls_config"));
        let exchanges = &config.query_response;
        let secured = check_dialogue(exchanges, config.tls)?;
        let patterns = exchanges
            .iter()
            .enumerate()
            .filter_map(|(index, exchange)| {
                let pattern = exchange.expect.as_ref()?;
                Some((format!("query_response[{index}].expect"), pattern))
            });
        let patterns = ConfigError::set_aside(Pattern::check(patterns))?;
        let secure = match (options, config.tls, secured) {
            // What is not used need not be ready for it.
            (Err(error), _, false) if error.cause != Cause::Mistake => Secure::Never,
            (Err(error), ..) => return Err(error),
            (Ok(options), true, _) => Secure::AtOnce(options),
            (Ok(options), false, true) => Secure::Later(options),
            (Ok(_), false, false) => Secure::Never,
        };
        patterns?;
        Ok(Self {
            families: config::families(&config.preferred_ip_protocol, config.ip_protocol_fallback),
            source: config.source_ip_address,
            secure,
            server_name: config.tls_config.server_name.as_str().into(),
            exchanges: exchanges.iter().map(QueryResponse::compile).collect(),
        })
    }

    pub(super) const fn tls(&self) -> Option<&Arc<TlsOptions>> {
        match &self.secure {
            Secure::Never => None,
            Secure::AtOnce(options) | Secure::Later(options) => Some(options),
        }
    }
}

/// Finds mistakes in a dialogue on a connection that is secured from its
/// beginning, or is not: whether it is in the end.
pub(crate) fn check_dialogue(exchanges: &[QueryResponse], tls: bool) -> Result<bool, ConfigError> {
    let mut secured = tls;
    let mut names = BTreeSet::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        let within = |error: ConfigError| error.within(&format!("query_response[{index}]"));
        exchange.check(&mut names).map_err(within)?;
        if exchange.starttls && core::mem::replace(&mut secured, true) {
            let message = match tls {
                true => "tls: true has secured the connection before: expected one of the two",
                false => "an entry before this one has secured the connection",
            };
            return Err(within(ConfigError::new("starttls", message)));
        }
    }
    Ok(secured)
}

impl QueryResponse {
    /// Finds mistakes. `names` are those of the labels so far: all of a module
    /// are on one series.
    fn check<'c>(&'c self, names: &mut BTreeSet<&'c str>) -> Result<(), ConfigError> {
        if self.expect.is_some() && !self.expect_bytes.is_empty() {
            let message = "expect and expect_bytes are mutually exclusive";
            return Err(ConfigError::new("expect_bytes", message));
        }
        if !self.send.is_empty() && !self.send_bytes.is_empty() {
            let message = "send and send_bytes are mutually exclusive";
            return Err(ConfigError::new("send_bytes", message));
        }
        let length = self.expect_bytes.as_slice().len();
        if length > MAX_LINE_BYTES {
            let message = format!("expected at most {MAX_LINE_BYTES} bytes, found {length}");
            return Err(ConfigError::unspoken("expect_bytes", message));
        }
        for (index, label) in self.labels.iter().enumerate() {
            let name = label.name.as_str();
            let message = if !is_label_name(name) {
                format!(
                    "expected letters, digits and underscores, not beginning with a digit or two underscores, found {name:?}"
                )
            } else if !names.insert(name) {
                format!("there is a label {name} already, and all are on one series")
            } else {
                continue;
            };
            return Err(ConfigError::new(&format!("labels[{index}].name"), message));
        }
        Ok(())
    }

    fn compile(&self) -> Exchange {
        let send = self.send.as_slice();
        let expected = match &self.expect {
            Some(pattern) => {
                let label = |label: &Label| {
                    let value = Template::parse(label.value.as_slice());
                    (Arc::from(label.name.as_str()), value)
                };
                let labels = self.labels.iter().map(label).collect();
                Some(Expected::Line(pattern.clone(), labels))
            }
            None if self.expect_bytes.is_empty() => None,
            None => Some(Expected::Bytes(self.expect_bytes.as_slice().into())),
        };
        Exchange {
            send: if !send.is_empty() {
                // Nothing is expanded where nothing can have been captured.
                Message::Line(match expected {
                    Some(Expected::Line(..)) => Template::parse(send),
                    Some(Expected::Bytes(_)) | None => Template::literal(send),
                })
            } else if !self.send_bytes.is_empty() {
                Message::Bytes(self.send_bytes.as_slice().into())
            } else {
                Message::Nothing
            },
            expected,
            starttls: self.starttls,
        }
    }
}

/// Whether Prometheus' text format can carry a label of this name that is not
/// one of its own.
fn is_label_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    !digit_first && !name.starts_with("__") && name.bytes().all(is_word)
}
