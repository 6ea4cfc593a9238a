//! The `tls_server_config` section as a configuration of rustls.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use probity_engine::config::ConfigError;
use probity_spec::words;
use probity_tls::pem::found;
use probity_tls::{Clients, SECP521R1, Unfit, certified};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::written::TlsSection;

/// Largest file with certificates or a key.
const MAX_BYTES: u64 = 4 << 20;

/// TLS as it was asked for.
#[derive(Debug)]
pub(super) struct Tls {
    cert: Pem,
    key: Pem,
    client_ca: Option<Pem>,
    auth: ClientAuth,
    sans: Option<Vec<String>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    prefer_ours: bool,
    http2: bool,
}

/// PEM that a field has or names.
#[derive(Debug)]
struct Pem {
    field: &'static str,
    source: Source,
}

/// Where PEM is.
#[derive(Debug)]
enum Source {
    Here(Vec<u8>),
    File(PathBuf),
}

/// What is asked of a client: Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl ClientAuth {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "" | "NoClientCert" => Self::None,
            "RequestClientCert" => Self::Request,
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAny,
            "VerifyClientCertIfGiven" => Self::VerifyIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerify,
            other => {
                return Err(format!(
                    "invalid ClientAuth: {other}: expected NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
                ));
            }
        })
    }

    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

impl Tls {
    pub(super) fn new(
        section: TlsSection,
        auth: ClientAuth,
        http2: bool,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let pem = |[inline_field, file_field]: [&'static str; 2], inline: &str, file: &str| {
            let (field, source) = match file {
                "" => (inline_field, Source::Here(inline.as_bytes().to_vec())),
                file => (file_field, Source::File(folder.join(file))),
            };
            Pem { field, source }
        };
        let no_ca = section.client_ca.is_empty() && section.client_ca_file.is_empty();
        Ok(Self {
            cert: pem(["cert", "cert_file"], &section.cert, &section.cert_file),
            key: pem(["key", "key_file"], section.key.reveal(), &section.key_file),
            client_ca: (!no_ca).then(|| {
                let fields = ["client_ca", "client_ca_file"];
                pem(fields, &section.client_ca, &section.client_ca_file)
            }),
            versions: versions(&section.min_version, &section.max_version)?,
            suites: suites(&section.cipher_suites)?,
            groups: groups(&section.curve_preferences)?,
            sans: section.client_allowed_sans,
            prefer_ours: section.prefer_server_cipher_suites,
            auth,
            http2,
        })
    }

    /// Files whose change is a change of this.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let pems = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        pems.into_iter()
            .flatten()
            .filter_map(|pem| match &pem.source {
                Source::File(path) => Some(path.as_path()),
                Source::Here(_) => None,
            })
    }

    /// Reads the files and puts it together. What is left out is a warning.
    ///
    /// # Errors
    /// What is wrong with what a field has or names.
    pub(super) fn build(
        &self,
        warnings: &mut Vec<String>,
    ) -> Result<Arc<ServerConfig>, ConfigError> {
        let chain = self.cert.certificates()?;
        let pem = self.key.read()?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            let found = found(&pem, &error);
            self.key
                .wrong(format!("expected a private key in PEM, found {found}"))
        })?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: self.suites.clone(),
            kx_groups: self.groups.clone(),
            ..ring::default_provider()
        });
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| ConfigError::new("cipher_suites", error.to_string()))?;
        let builder = match self.auth {
            ClientAuth::None => builder.with_no_client_auth(),
            _ => builder.with_client_cert_verifier(self.clients(warnings)?),
        };
        let certified = certified(chain, key, &provider).map_err(|unfit| match unfit {
            Unfit::Certificate => self.cert.wrong(unfit.to_string()),
            Unfit::Kind => self.key.wrong(unfit.to_string()),
            Unfit::Other { .. } => self.key.wrong(format!(
                "expected the key of the certificate in {}, found another key",
                self.cert
            )),
        })?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.ignore_client_order = self.prefer_ours;
        config.alpn_protocols = match self.http2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        Ok(Arc::new(config))
    }

    fn clients(&self, warnings: &mut Vec<String>) -> Result<Arc<Clients>, ConfigError> {
        let mut clients = Clients::anybody(self.auth.requires());
        if let Some(names) = self.sans.clone() {
            clients = clients.named(names);
        }
        if let Some(pem) = self.client_ca.as_ref().filter(|_| self.auth.verifies()) {
            let (ca, mut damaged) = (pem.read()?, Vec::new());
            let issued = clients.issued_by(&ca, &mut damaged);
            clients = issued.map_err(|error| pem.wrong(error.message))?;
            // The field has another name here.
            let damaged = damaged.iter().filter_map(|what| what.strip_prefix("ca: "));
            warnings.extend(damaged.map(|what| format!("{pem}: {what}")));
        }
        Ok(Arc::new(clients))
    }
}

impl Pem {
    /// That what is there is not what it should be.
    fn wrong(&self, why: String) -> ConfigError {
        ConfigError::new(self.field, format!("{self}: {why}"))
    }

    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        let path = match &self.source {
            Source::Here(pem) => return Ok(pem.clone()),
            Source::File(path) => path,
        };
        let unread = |error: std::io::Error| {
            let (path, why) = (path.display(), words(&error));
            ConfigError::new(self.field, format!("cannot read {path}: {why}"))
        };
        let size = fs::metadata(path).map_err(unread)?.len();
        if size > MAX_BYTES {
            return Err(self.wrong(format!("expected at most {MAX_BYTES} bytes, found {size}")));
        }
        fs::read(path).map_err(unread)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let pem = self.read()?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| {
            let found = found(&pem, &error);
            self.wrong(format!("expected certificates in PEM, found {found}"))
        })?;
        if certificates.is_empty() {
            return Err(self.wrong("expected a certificate in PEM, found none".to_owned()));
        }
        Ok(certificates)
    }
}

impl std::fmt::Display for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Source::Here(_) => f.write_str("the PEM in the file"),
            Source::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Go's names. 1.0 and 1.1 (RFC 8996) are floors: what is served begins at 1.2.
fn versions(min: &str, max: &str) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
    let number = |field: &str, name: &str, default: u8| match name {
        "" => Ok(default),
        "TLS10" => Ok(10),
        "TLS11" => Ok(11),
        "TLS12" => Ok(12),
        "TLS13" => Ok(13),
        other => {
            let why = format!("unknown TLS version: {other}: expected TLS12 or TLS13");
            Err(ConfigError::new(field, why))
        }
    };
    let min = number("min_version", min, 12)?;
    let max = number("max_version", max, 13)?;
    let all = [(12, &version::TLS12), (13, &version::TLS13)];
    let within = all.into_iter().filter(|(it, _)| (min..=max).contains(it));
    let versions: Vec<_> = within.map(|(_, version)| version).collect();
    if versions.is_empty() {
        let why = "no version is left: expected TLS12 or TLS13, and not below min_version; older ones are obsolete (RFC 8996) and not served";
        return Err(ConfigError::new("max_version", why));
    }
    Ok(versions)
}

/// Suites that Go has and rustls deliberately has not: without forward secrecy
/// or authenticated encryption.
const WITHOUT: [&str; 14] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
];

/// The suites of TLS 1.2 are those that are listed; as in Go, those of 1.3 are
/// always there.
fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, ConfigError> {
    let all = ring::ALL_CIPHER_SUITES;
    // rustls calls them as RFC 8446 and Go do, but for a prefix in 1.3.
    let name =
        |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
    let is_new = |suite: &&SupportedCipherSuite| suite.tls13().is_some();
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let mut chosen: Vec<_> = all.iter().filter(is_new).copied().collect();
    let mut usable = false;
    for (index, asked) in names.iter().enumerate() {
        match all.iter().find(|suite| name(suite) == *asked) {
            Some(suite) => {
                usable = true;
                if !chosen.contains(suite) {
                    chosen.push(*suite);
                }
            }
            None if WITHOUT.contains(&asked.as_str()) => {}
            None => {
                let field = format!("cipher_suites[{index}]");
                return Err(ConfigError::new(&field, format!("unknown cipher: {asked}")));
            }
        }
    }
    if !usable {
        let why = "none of these is served: expected one with ECDHE and GCM or CHACHA20_POLY1305";
        return Err(ConfigError::new("cipher_suites", why));
    }
    Ok(chosen)
}

fn groups(names: &[String]) -> Result<Vec<&'static dyn SupportedKxGroup>, ConfigError> {
    if names.is_empty() {
        return Ok(ring::ALL_KX_GROUPS.to_vec());
    }
    let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        chosen.push(match name.as_str() {
            "X25519" => ring::kx_group::X25519,
            "CurveP256" => ring::kx_group::SECP256R1,
            "CurveP384" => ring::kx_group::SECP384R1,
            "CurveP521" => SECP521R1,
            other => {
                let field = format!("curve_preferences[{index}]");
                return Err(ConfigError::new(&field, format!("unknown curve: {other}")));
            }
        });
    }
    Ok(chosen)
}
