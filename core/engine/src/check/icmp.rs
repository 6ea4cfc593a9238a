//! `icmp`: the section alone; there is no check for it yet.

use alloc::string::String;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Section;
use crate::config::{self, ConfigError, is_default};

/// The `icmp` section of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Source address of packets.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "config::address"
    )]
    pub source_ip_address: Option<IpAddr>,
    /// Bytes of the payload; 0 is blackbox_exporter's text of 28 bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub payload_size: i64,
    /// Whether packets may not be fragmented on their way (IPv4).
    #[serde(skip_serializing_if = "is_default")]
    pub dont_fragment: bool,
    /// Hops that packets may take, from 0 (the system's default) to 255.
    pub ttl: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            payload_size: 0,
            dont_fragment: false,
            ttl: 64,
        }
    }
}

impl Section for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        match self.ttl {
            ..0 => Err(ConfigError::new("ttl", "\"ttl\" cannot be negative")),
            0..=255 => Ok(()),
            256.. => Err(ConfigError::new("ttl", "\"ttl\" cannot exceed 255")),
        }
    }
}
