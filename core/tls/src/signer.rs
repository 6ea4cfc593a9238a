//! RSA keys that sign assertions, with the cryptography that TLS has too.

use std::fmt;
use std::sync::Arc;

use probity_engine::config::{self, RsaAlgorithm, Stamp};
use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::Signer as Key;
use rustls::time_provider::TimeProvider;

use crate::pem::found;

/// An RSA key and a clock. A signature takes about a millisecond for a key of
/// 2048 bits, and about five for one of 4096.
pub struct RsaSigner {
    key: Box<dyn Key>,
    clock: Arc<dyn TimeProvider>,
    provider: CryptoProvider,
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaSigner")
            .field("scheme", &self.key.scheme())
            .finish_non_exhaustive()
    }
}

impl RsaSigner {
    /// Loads the first private key in `pem` (PKCS #8 or PKCS #1, not encrypted).
    ///
    /// `clock` says what time it is, in Unix time, whenever something is signed;
    /// [`DefaultTimeProvider`](crate::DefaultTimeProvider) asks the system.
    ///
    /// # Errors
    /// That there is none, or that it is no RSA key of 2048 to 4096 bits (RFC
    /// 7518 section 3.3 wants no smaller one).
    pub fn new(
        pem: &[u8],
        algorithm: RsaAlgorithm,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
            let found = found(pem, &error);
            format!("expected a PRIVATE KEY or RSA PRIVATE KEY in PEM, found {found}")
        })?;
        let scheme = match algorithm {
            RsaAlgorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            RsaAlgorithm::Rs384 => SignatureScheme::RSA_PKCS1_SHA384,
            RsaAlgorithm::Rs512 => SignatureScheme::RSA_PKCS1_SHA512,
        };
        let provider = ring::default_provider();
        let key = provider.key_provider.load_private_key(key);
        let key = key.ok().and_then(|key| key.choose_scheme(&[scheme]));
        let key = key.ok_or(
            "expected an RSA key of 2048 to 4096 bits, found one of another kind or size, or a damaged one",
        )?;
        Ok(Self {
            key,
            clock,
            provider,
        })
    }
}

impl config::Signer for RsaSigner {
    fn stamp(&self) -> Result<Stamp, String> {
        let now = self.clock.current_time().ok_or("the time is not known")?;
        let mut random = [0; 16];
        let filled = self.provider.secure_random.fill(&mut random);
        filled.map_err(|_| "the system has no random numbers")?;
        Ok(Stamp {
            unix_seconds: now.as_secs(),
            random,
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.key.sign(message).map_err(|error| error.to_string())
    }
}
