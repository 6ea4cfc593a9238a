//! `grpc`: the section alone; there is no check for it yet.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Section;
use crate::config::{ConfigError, TlsConfig, is_default};

/// The `grpc` section of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The service whose health is asked for; none means the whole server.
    #[serde(skip_serializing_if = "is_default")]
    pub service: String,
    /// Whether to perform a TLS handshake on the connection.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: bool,
    /// How.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Metadata of the call.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: String::new(),
            tls: false,
            tls_config: TlsConfig::default(),
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            metadata: BTreeMap::new(),
        }
    }
}

impl Section for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let checked = self.tls_config.validate();
        checked.map_err(|error| error.within("tls_config"))
    }
}
