//! The `tls_config` section.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigError, Files, Secret, is_default};
use crate::tls::{ClientIdentity, TlsOptions, TlsVersion};

/// TLS as people configure it; the names are those of Prometheus' `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM of the certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "is_default")]
    pub ca: String,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub ca_file: String,
    /// PEM of the client's certificate chain.
    #[serde(skip_serializing_if = "is_default")]
    pub cert: String,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub cert_file: String,
    /// PEM of the client's private key.
    #[serde(skip_serializing_if = "is_default")]
    pub key: Secret,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub key_file: String,
    /// Name to verify and to send as SNI, instead of the target's host.
    #[serde(skip_serializing_if = "is_default")]
    pub server_name: String,
    /// Accept any certificate.
    #[serde(skip_serializing_if = "is_default")]
    pub insecure_skip_verify: bool,
    /// Lowest version to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// Highest version to offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
}

impl TlsConfig {
    /// Reads the files and checks the section.
    ///
    /// # Errors
    /// As blackbox_exporter words them where it has the same rule.
    pub fn options(
        &self,
        alpn: &[&[u8]],
        files: &dyn Files,
    ) -> Result<Arc<TlsOptions>, ConfigError> {
        let ca = material("ca", &self.ca, &self.ca_file, files)?;
        let cert = material("cert", &self.cert, &self.cert_file, files)?;
        if !self.key.reveal().is_empty() && !self.key_file.is_empty() {
            return Err(ConfigError::new(
                "key_file",
                "at most one of key and key_file must be configured",
            ));
        }
        let key = material("key", self.key.reveal(), &self.key_file, files)?;
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some(ClientIdentity {
                cert: cert.into(),
                key: key.into(),
            }),
            (None, None) => None,
            (Some(_), None) => {
                let message = "exactly one of key or key_file must be configured when a client certificate is configured";
                return Err(ConfigError::new("cert_file", message));
            }
            (None, Some(_)) => {
                let message = "exactly one of cert or cert_file must be configured when a client key is configured";
                return Err(ConfigError::new("key_file", message));
            }
        };
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            return Err(ConfigError::new(
                "max_version",
                "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
            ));
        }
        Ok(Arc::new(TlsOptions {
            ca: ca.map(Into::into),
            client,
            skip_verify: self.insecure_skip_verify,
            min_version: self.min_version,
            max_version: self.max_version,
            alpn: alpn.iter().map(|protocol| (*protocol).into()).collect(),
        }))
    }
}

fn material(
    name: &str,
    inline: &str,
    file: &str,
    files: &dyn Files,
) -> Result<Option<Vec<u8>>, ConfigError> {
    match (inline.is_empty(), file.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(inline.as_bytes().to_vec())),
        (true, false) => files
            .read(file)
            .map(Some)
            .map_err(|error| ConfigError::new(&format!("{name}_file"), error)),
        (false, false) => Err(ConfigError::new(
            &format!("{name}_file"),
            format!("at most one of {name} and {name}_file must be configured"),
        )),
    }
}

impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Tls12 => "TLS12",
            Self::Tls13 => "TLS13",
        })
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(D::Error::custom(format!(
                "{text} is obsolete (RFC 8996) and not supported: expected TLS12 or TLS13"
            ))),
            _ => Err(D::Error::custom(format!(
                "unknown TLS version: {text}: expected TLS12 or TLS13"
            ))),
        }
    }
}
