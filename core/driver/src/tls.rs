//! What a host asks of TLS while it reads a configuration.

use std::sync::Arc;

use probity_engine::config::{RsaAlgorithm, Signer};
use probity_engine::tls::TlsOptions;
use probity_tls::{DefaultTimeProvider, RsaSigner};

/// Makes the TLS configuration that `options` describe, to find mistakes
/// before anything is applied. It is remembered for when it is used. Returns
/// what was damaged in it and left out.
///
/// # Errors
/// What was expected and what was found: `ca: expected ..., found ...`.
pub fn check_tls(options: &TlsOptions) -> Result<Vec<String>, String> {
    probity_tls::check(options)
}

/// Loads a private key in PEM that signs assertions with the time of this
/// machine.
///
/// # Errors
/// What was expected of the key and what was found.
pub fn signer(pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
    let signer = RsaSigner::new(pem, algorithm, Arc::new(DefaultTimeProvider))?;
    Ok(Arc::new(signer))
}
