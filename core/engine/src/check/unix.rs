//! `unix`: the section alone; there is no check for it yet.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Section;
use super::tcp::{QueryResponse, check_dialogue};
use crate::config::{self, ConfigError, TlsConfig, is_default};

/// The `unix` section of a module: a dialogue over a socket of the file
/// system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
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

impl Section for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let checked = self.tls_config.validate();
        checked.map_err(|error| error.within("tls_config"))?;
        check_dialogue(&self.query_response, self.tls).map(|_| ())
    }
}
