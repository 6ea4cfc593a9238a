//! A certificate of one's own, with its key.

use std::fmt;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;

/// Why a certificate and a key cannot be shown. Prints as `expected ..., found ...`,
/// without anything of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The first certificate is not readable, or there is none.
    Certificate,
    /// The key is not one to sign with here.
    Kind,
    /// The key is that of another certificate.
    Other {
        /// How the certificate is called.
        certificate: String,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => {
                f.write_str("expected an X.509 certificate first, found one that is not readable")
            }
            Self::Kind => f.write_str(
                "expected an RSA key of 2048 to 4096 bits, or one for P-256, P-384 or Ed25519, found another kind or a damaged key",
            ),
            Self::Other { certificate } => write!(
                f,
                "expected the key of the certificate {certificate}, found another key"
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// Puts `chain` and the `key` of its first certificate together, whatever the version of
/// that is. rustls has the same check, but cannot read certificates of version 1.
///
/// # Errors
/// What does not fit.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unfit> {
    let leaf = chain.first().and_then(|der| Certificate::parse(der));
    let leaf = leaf.ok_or(Unfit::Certificate)?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| Unfit::Kind)?;
    let public = key.public_key();
    if public.is_some_and(|public| *public != *leaf.public_key()) {
        let certificate = leaf.label();
        return Err(Unfit::Other { certificate });
    }
    Ok(CertifiedKey::new(chain, key))
}
