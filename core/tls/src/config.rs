//! One TLS configuration, checked once and shared by every connection.

use std::fmt;
use std::sync::Arc;

use probity_engine::tls::{ClientIdentity, TlsOptions, TlsVersion};
use rustls::client::{ClientConfig as Rustls, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::certificate::Certificate;
use crate::own::{Unfit, certified};
use crate::pem::{self, Section, found, sections};
use crate::purpose::Purpose;
use crate::roots::{Origin, Roots};
use crate::verifier::{Trust, Verifier};
use crate::{algorithms, kx};

/// What a connection needs to be secured: roots, client certificate, versions.
///
/// Building one parses PEM and loads keys; make it once per [`TlsOptions`] and
/// share it. Cloning copies pointers.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Complete but for the verifier, which every connection has of its own.
    template: Arc<Rustls>,
    provider: Arc<CryptoProvider>,
    trust: Trust,
    versions: Versions,
    warnings: Arc<[String]>,
}

impl ClientConfig {
    /// Checks `options` and prepares connections.
    ///
    /// `clock` says what time it is, in Unix time, whenever a certificate's
    /// dates are looked at; [`DefaultTimeProvider`](crate::DefaultTimeProvider)
    /// asks the system.
    ///
    /// Where no CA is given the system's roots are loaded, once per process.
    /// A system without roots is not an error here: every
    /// verification then fails with `tls_unknown_issuer` and says so.
    ///
    /// # Errors
    /// PEM without any of what it should contain, a key that does not belong to its
    /// certificate, an empty range of versions, or an ALPN protocol whose
    /// length is not 1 to 255 bytes.
    pub fn new(options: &TlsOptions, clock: Arc<dyn TimeProvider>) -> Result<Self, ConfigError> {
        let mut provider = CryptoProvider {
            cipher_suites: CIPHER_SUITES.to_vec(),
            signature_verification_algorithms: algorithms::ACCEPTED,
            ..ring::default_provider()
        };
        provider.kx_groups.push(kx::SECP521R1);
        let provider = Arc::new(provider);
        let versions = Versions::new(options)?;
        let mut warnings = Vec::new();
        let trust = match (&options.ca, options.skip_verify) {
            // Even if nothing will be verified, a broken CA file is a mistake.
            (Some(pem), skip) => {
                let roots = Trust::Roots(Arc::new(configured_roots(
                    Purpose::Server,
                    pem,
                    &mut warnings,
                )?));
                if skip { Trust::Anything } else { roots }
            }
            (None, true) => Trust::Anything,
            (None, false) => Trust::Roots(Roots::system()),
        };
        let verifier = Verifier::new(trust.clone(), provider.signature_verification_algorithms);
        let builder = Rustls::builder_with_details(Arc::clone(&provider), clock)
            .with_protocol_versions(&versions.protocols())
            .map_err(|error| ConfigError::new(Field::Versions, error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut template = match &options.client {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = client_key(identity, &provider, &mut warnings)?;
                builder.with_client_cert_resolver(Arc::new(key))
            }
        };
        // A probe measures a whole handshake, so nothing is ever resumed.
        template.resumption = Resumption::disabled();
        template.alpn_protocols = protocols(&options.alpn)?;
        Ok(Self {
            template: Arc::new(template),
            provider,
            trust,
            versions,
            warnings: warnings.into(),
        })
    }

    /// What is damaged in the options and left out, each as `ca: expected ...,
    /// found ...`; never key material.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The versions that are offered.
    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }

    /// Whether any certificate is accepted.
    pub(crate) fn accepts_anything(&self) -> bool {
        matches!(self.trust, Trust::Anything)
    }

    /// The configuration of one connection, and the verifier in it.
    ///
    /// The copy costs some reference counts and the list of ALPN protocols.
    pub(crate) fn instance(&self, send_name: bool) -> (Arc<Rustls>, Arc<Verifier>) {
        let verifier = Arc::new(Verifier::new(
            self.trust.clone(),
            self.provider.signature_verification_algorithms,
        ));
        let mut config = Rustls::clone(&self.template);
        config.enable_sni = send_name;
        config
            .dangerous()
            .set_certificate_verifier(Arc::clone(&verifier) as _);
        (Arc::new(config), verifier)
    }
}

/// In Go's order, which most servers follow: so the same server shows the same
/// suite here and in blackbox_exporter. AES-128 is also the cheaper one.
const CIPHER_SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Part of [`TlsOptions`] that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// [`TlsOptions::ca`].
    Ca,
    /// [`ClientIdentity::cert`].
    ClientCert,
    /// [`ClientIdentity::key`].
    ClientKey,
    /// [`TlsOptions::min_version`] and [`TlsOptions::max_version`].
    Versions,
    /// [`TlsOptions::alpn`].
    Alpn,
}

impl Field {
    /// As a person knows it: `ca`, `client.cert`, `client.key`, `versions`, `alpn`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::ClientCert => "client.cert",
            Self::ClientKey => "client.key",
            Self::Versions => "versions",
            Self::Alpn => "alpn",
        }
    }
}

/// Why [`TlsOptions`] cannot be used. Prints as `ca: expected ..., found ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which part.
    pub field: Field,
    /// What was expected and what was found, without the field's name. Never
    /// contains key material.
    pub message: String,
}

impl ConfigError {
    fn new(field: Field, message: String) -> Self {
        Self { field, message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.name(), self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A range of versions that is not empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    min: TlsVersion,
    max: TlsVersion,
}

impl Versions {
    fn new(options: &TlsOptions) -> Result<Self, ConfigError> {
        let (min, max) = options.versions();
        if min > max {
            return Err(ConfigError::new(
                Field::Versions,
                format!(
                    "expected a lowest version that is not above the highest, found {} and {}",
                    min.name(),
                    max.name()
                ),
            ));
        }
        Ok(Self { min, max })
    }

    fn protocols(self) -> Vec<&'static SupportedProtocolVersion> {
        [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)]
            .into_iter()
            .filter(|(version, _)| (self.min..=self.max).contains(version))
            .map(|(_, protocol)| protocol)
            .collect()
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.min.name())?;
        if self.min != self.max {
            write!(f, " to {}", self.max.name())?;
        }
        Ok(())
    }
}

/// Those of a PEM file that are trusted for `purpose`.
pub(crate) fn configured_roots(
    purpose: Purpose,
    pem: &[u8],
    warnings: &mut Vec<String>,
) -> Result<Roots, ConfigError> {
    let certificates = certificates(pem, Field::Ca, warnings)?;
    let count = certificates.len();
    let roots = Roots::new(Origin::Configured, purpose, certificates);
    if roots.len() == 0 {
        return Err(ConfigError::new(
            Field::Ca,
            format!("expected a readable X.509 certificate, found none among {count} in PEM"),
        ));
    }
    Ok(roots)
}

/// All certificates of a PEM file. What is damaged is left out with a warning
/// while there is one that is not, as Go leaves it out in silence; other sections
/// are passed over.
fn certificates(
    pem: &[u8],
    field: Field,
    warnings: &mut Vec<String>,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let (mut whole, mut damaged, mut readable) = (Vec::new(), Vec::new(), 0);
    for Section { line, certificate } in pem::certificates(pem) {
        match certificate {
            Ok(der) => {
                if Certificate::parse(&der).is_some() {
                    readable += 1;
                } else {
                    damaged.push((line, "one that is not readable X.509".to_owned()));
                }
                whole.push(der);
            }
            Err(found) => damaged.push((line, found)),
        }
    }
    match damaged.first() {
        _ if whole.is_empty() => {
            let message = match damaged.into_iter().next() {
                Some((_, found)) => format!("expected certificates in PEM, found {found}"),
                None => format!("expected a CERTIFICATE in PEM, found {}", sections(pem)),
            };
            return Err(ConfigError::new(field, message));
        }
        Some((line, found)) if readable > 0 => {
            let more = match damaged.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let used = match readable {
                1 => "the one that is whole is used".to_owned(),
                _ => format!("the {readable} that are whole are used"),
            };
            let message = format!(
                "expected certificates in PEM, found {found} in line {line}{more}: that is left out and {used}; mend or remove it"
            );
            warnings.push(ConfigError::new(field, message).to_string());
        }
        _ => {}
    }
    Ok(whole)
}

fn client_key(
    identity: &ClientIdentity,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<SingleCertAndKey, ConfigError> {
    let chain = certificates(&identity.cert, Field::ClientCert, warnings)?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| {
        ConfigError::new(
            Field::ClientKey,
            format!(
                "expected a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY in PEM, found {}",
                found(&identity.key, &error)
            ),
        )
    })?;
    let certified = certified(chain, key, provider).map_err(|unfit| {
        let field = match unfit {
            Unfit::Certificate => Field::ClientCert,
            Unfit::Kind | Unfit::Other { .. } => Field::ClientKey,
        };
        ConfigError::new(field, unfit.to_string())
    })?;
    Ok(certified.into())
}

fn protocols(alpn: &[Box<[u8]>]) -> Result<Vec<Vec<u8>>, ConfigError> {
    alpn.iter()
        .map(|name| match name.len() {
            1..=255 => Ok(name.to_vec()),
            length => Err(ConfigError::new(
                Field::Alpn,
                format!("expected protocol names of 1 to 255 bytes, found one of {length}"),
            )),
        })
        .collect()
}
