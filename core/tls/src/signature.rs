//! The signature of a handshake, also by keys of certificates that webpki cannot read.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use webpki::{EndEntityCert, RawPublicKeyEntity};

use crate::certificate::Certificate;

/// Verifies the signature of TLS 1.2.
pub(crate) fn verify_tls12(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if !reads_key_alone(cert) {
        return rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms);
    }
    let spki = key_of(cert)?;
    let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
    let key = RawPublicKeyEntity::try_from(&spki).map_err(|_| bad())?;
    // One TLS 1.2 scheme may stand for several curves.
    algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == dss.scheme)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .find_map(|algorithm| {
            key.verify_signature(*algorithm, message, dss.signature())
                .ok()
        })
        .map(|()| HandshakeSignatureValid::assertion())
        .ok_or_else(bad)
}

/// Verifies the signature of TLS 1.3.
pub(crate) fn verify_tls13(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if !reads_key_alone(cert) {
        return rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms);
    }
    let spki = key_of(cert)?;
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms)
}

/// Whether the key has to be taken out by other means, because webpki cannot read
/// `cert`. It has been accepted all the same: by a user who accepts anything, such
/// as version 1 certificates that old appliances make for themselves, or by way of
/// what webpki was [shown](crate::shown::Shown).
fn reads_key_alone(cert: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(cert).is_err()
}

fn key_of(cert: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    match Certificate::parse(cert) {
        Some(parsed) => Ok(parsed.public_key().to_vec().into()),
        None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
    }
}
