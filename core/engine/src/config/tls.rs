//! The `tls_config` section.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigError, Files, Given, Secret, is_default};
use crate::tls::{ClientIdentity, TlsOptions, TlsVersion};

/// TLS as people configure it; the names are those of Prometheus' `tls_config`.
/// The fields that end in `_ref` name a secret of a manager, which there is
/// none of: what uses them is never ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM of the certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "is_default")]
    pub ca: String,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub ca_file: String,
    /// A secret with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub ca_ref: String,
    /// PEM of the client's certificate chain.
    #[serde(skip_serializing_if = "is_default")]
    pub cert: String,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub cert_file: String,
    /// A secret with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub cert_ref: String,
    /// PEM of the client's private key.
    #[serde(skip_serializing_if = "is_default")]
    pub key: Secret,
    /// A file with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub key_file: String,
    /// A secret with the same.
    #[serde(skip_serializing_if = "is_default")]
    pub key_ref: String,
    /// Name to verify and to send as SNI, instead of the target's host.
    #[serde(skip_serializing_if = "is_default")]
    pub server_name: String,
    /// Accept any certificate. Shown whatever it is, as by Prometheus.
    pub insecure_skip_verify: bool,
    /// Lowest version to offer. Below TLS 1.2 it says less than it did: that
    /// is the lowest there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<WrittenVersion>,
    /// Highest version to offer, from TLS 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<WrittenVersion>,
}

/// A version of TLS that can be written; not all of them can be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrittenVersion {
    /// TLS 1.0 (RFC 2246), obsolete by RFC 8996.
    Tls10,
    /// TLS 1.1 (RFC 4346), obsolete by RFC 8996.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl WrittenVersion {
    /// By the name that the file has for it.
    const NAMES: [(&str, Self); 4] = [
        ("TLS10", Self::Tls10),
        ("TLS11", Self::Tls11),
        ("TLS12", Self::Tls12),
        ("TLS13", Self::Tls13),
    ];

    fn name(self) -> &'static str {
        let (name, _) = Self::NAMES[self as usize];
        name
    }

    /// The version to speak, if it can be spoken.
    const fn spoken(self) -> Option<TlsVersion> {
        match self {
            Self::Tls10 | Self::Tls11 => None,
            Self::Tls12 => Some(TlsVersion::Tls12),
            Self::Tls13 => Some(TlsVersion::Tls13),
        }
    }
}

impl TlsConfig {
    fn ca(&self) -> Given<'_> {
        Given {
            names: ["ca", "ca_file", "ca_ref"],
            text: &self.ca,
            file: &self.ca_file,
            reference: &self.ca_ref,
        }
    }

    fn cert(&self) -> Given<'_> {
        Given {
            names: ["cert", "cert_file", "cert_ref"],
            text: &self.cert,
            file: &self.cert_file,
            reference: &self.cert_ref,
        }
    }

    fn key(&self) -> Given<'_> {
        Given {
            names: ["key", "key_file", "key_ref"],
            text: self.key.reveal(),
            file: &self.key_file,
            reference: &self.key_ref,
        }
    }

    /// Checks what can be said of the section without its files.
    ///
    /// # Errors
    /// As Prometheus words them where it has the same rule.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: &str| Err(ConfigError::new(field, message));
        if self.ca().is_ambiguous() {
            return wrong(
                "ca",
                "at most one of ca, ca_file & ca_ref must be configured",
            );
        }
        if self.cert().is_ambiguous() {
            let message = "at most one of cert, cert_file & cert_ref must be configured";
            return wrong("cert", message);
        }
        if self.key().is_ambiguous() {
            return wrong("key", "at most one of key and key_file must be configured");
        }
        match (self.cert().is_given(), self.key().is_given()) {
            (true, false) => {
                let message = "exactly one of key or key_file must be configured when a client certificate is configured";
                wrong("cert", message)
            }
            (false, true) => {
                let message = "exactly one of cert or cert_file must be configured when a client key is configured";
                wrong("key", message)
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Whether there is a version that can be spoken, and may be. It is asked
    /// where TLS is: blackbox_exporter finds out at the first handshake.
    fn check_versions(&self) -> Result<(), ConfigError> {
        let wrong = |message: &str| Err(ConfigError::unspoken("max_version", message));
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            let message = "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified";
            return wrong(message);
        }
        match self.max_version {
            Some(max) if max.spoken().is_none() => {
                let name = max.name();
                let message = format!(
                    "expected TLS12 or TLS13, found {name}, which RFC 8996 made obsolete: TLS 1.2 is the lowest version that can be spoken"
                );
                wrong(&message)
            }
            _ => Ok(()),
        }
    }

    /// Reads the files and checks the section.
    ///
    /// # Errors
    /// As Prometheus words them where it has the same rule, each with what
    /// follows from it.
    pub fn options(
        &self,
        alpn: &[&[u8]],
        files: &dyn Files,
    ) -> Result<Arc<TlsOptions>, ConfigError> {
        self.validate()?;
        self.check_versions()?;
        let read = |given: Given<'_>| match given.is_given() {
            true => given.bytes(files).map(Some),
            false => Ok(None),
        };
        let client = match (read(self.cert())?, read(self.key())?) {
            (Some(cert), Some(key)) => Some(ClientIdentity {
                cert: cert.into(),
                key: key.into(),
            }),
            _ => None,
        };
        let options = TlsOptions {
            ca: read(self.ca())?.map(Into::into),
            client,
            skip_verify: self.insecure_skip_verify,
            min_version: self.min_version.and_then(WrittenVersion::spoken),
            max_version: self.max_version.and_then(WrittenVersion::spoken),
            alpn: alpn.iter().map(|protocol| (*protocol).into()).collect(),
        };
        let named: Vec<String> = [
            ("ca_file", &self.ca_file),
            ("cert_file", &self.cert_file),
            ("key_file", &self.key_file),
        ]
        .iter()
        .filter(|(_, file)| !file.is_empty())
        .map(|(field, file)| format!("{field} {file}"))
        .collect();
        match files.check_tls(&options) {
            Ok(warnings) => {
                let named = named.join(", ");
                for warning in warnings {
                    files.warn(match named.is_empty() {
                        true => format!("tls_config: {warning}"),
                        false => format!("tls_config ({named}): {warning}"),
                    });
                }
                Ok(Arc::new(options))
            }
            // Files may still be in the middle of being replaced.
            Err(error) if !named.is_empty() => {
                let message = format!("{error} ({})", named.join(", "));
                Err(ConfigError::unready("", message))
            }
            Err(error) => Err(ConfigError::new("", error)),
        }
    }

    /// What is legal and not what it seems to be.
    pub(crate) fn warnings(&self) -> Vec<ConfigError> {
        let too_low = self.min_version.filter(|min| min.spoken().is_none());
        let warning = |min: WrittenVersion| {
            let name = min.name();
            let message = format!(
                "{name} is obsolete (RFC 8996) and cannot be spoken: TLS 1.2 is the lowest version offered"
            );
            ConfigError::new("min_version", message)
        };
        too_low.map(warning).into_iter().collect()
    }
}

impl Serialize for WrittenVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for WrittenVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, version)| *version).ok_or_else(|| {
            D::Error::custom(format!(
                "unknown TLS version: {text}: expected TLS10, TLS11, TLS12 or TLS13"
            ))
        })
    }
}
