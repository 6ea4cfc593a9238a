//! The parts that the configuration of every kind of check is made of.
//!
//! Values are parsed while they are deserialised, so that a mistake is found
//! at its own line and column; what can only be judged with the rest of its
//! section is a [`ConfigError`] with the path of its field.

mod duration;
mod no_proxy;
mod pattern;
mod proxy;
mod re2;
mod secret;
mod tls;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

pub use duration::GoDuration;
pub use pattern::{Captures, Pattern};
pub use proxy::{ProxyHeader, ProxyUrl};
pub use secret::Secret;
pub use tls::TlsConfig;

pub(crate) use no_proxy::NoProxy;
pub(crate) use proxy::{Proxies, Proxy, ProxyConfig, ProxyKind};

use crate::io::{Families, Family};

/// A mistake in a section, with the path of the field: `http.tls_config.ca_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Names joined by dots, positions in lists as `[0]`.
    pub field: String,
    /// What was expected and what was found.
    pub message: String,
}

impl ConfigError {
    /// A mistake in `field`.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_string(),
            message: message.into(),
        }
    }

    /// The same mistake, seen from the section `outer` that holds the field.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let field = match self.field.as_bytes().first() {
            None => outer.to_string(),
            Some(b'[') => format!("{outer}{}", self.field),
            Some(_) => format!("{outer}.{}", self.field),
        };
        Self { field, ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl core::error::Error for ConfigError {}

/// Reads the files that a configuration refers to; the engine itself has no
/// file system.
pub trait Files {
    /// The content of `path`, or why it cannot be read.
    ///
    /// # Errors
    /// One sentence for a person.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// An environment variable, for `proxy_from_environment`; `None` if it is
    /// not set, or there is no environment.
    fn variable(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// No files: for hosts without a file system. Every read is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path}: files cannot be read here"))
    }
}

/// `preferred_ip_protocol` and `ip_protocol_fallback` as blackbox_exporter
/// reads them: unset or `ip6` is IPv6, and any other text is IPv4.
pub(crate) fn families(preferred: &str, fallback: bool) -> Families {
    let preferred = match preferred {
        "" | "ip6" => Family::V6,
        _ => Family::V4,
    };
    Families {
        preferred,
        fallback,
    }
}

/// For `#[serde(default = "yes")]`.
pub(crate) const fn yes() -> bool {
    true
}

/// For `skip_serializing_if` of values that are left at their default.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
