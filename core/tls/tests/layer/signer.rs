//! Keys that sign assertions.

use std::sync::Arc;

use probity_engine::config::{RsaAlgorithm, Signer as _, Stamp};
use probity_tls::RsaSigner;
use ring::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::common::{Clock, NOW};

/// A certificate, and then its key: PKCS #1.
const PEM: &[u8] = include_bytes!("data/version1_rsa_pkcs1.pem");

fn load(pem: &[u8], algorithm: RsaAlgorithm) -> Result<RsaSigner, String> {
    RsaSigner::new(pem, algorithm, Arc::new(Clock(NOW)))
}

#[test]
fn a_signature_can_be_verified() {
    let der = PrivatePkcs1KeyDer::from_pem_slice(PEM).unwrap();
    let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
    let public = pair.public_key().as_ref();
    for (algorithm, verification) in [
        (RsaAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        (RsaAlgorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
        (RsaAlgorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    ] {
        let signature = load(PEM, algorithm).unwrap().sign(b"text").unwrap();
        let public = UnparsedPublicKey::new(verification, public);
        public.verify(b"text", &signature).unwrap();
        public.verify(b"test", &signature).unwrap_err();
    }
}

#[test]
fn a_stamp_has_the_time_and_is_another_each_time() {
    let signer = load(PEM, RsaAlgorithm::Rs256).unwrap();
    let first @ Stamp { unix_seconds, .. } = signer.stamp().unwrap();
    assert_eq!(unix_seconds, NOW);
    assert_ne!(signer.stamp().unwrap(), first);
}

#[test]
fn what_is_no_rsa_key_is_said() {
    let error = |pem: &[u8]| load(pem, RsaAlgorithm::Rs256).unwrap_err();
    let expected = "expected a PRIVATE KEY or RSA PRIVATE KEY in PEM, found";
    assert_eq!(error(b""), format!("{expected} nothing"));
    assert_eq!(error(b"k"), format!("{expected} no PEM section in 1 bytes"));
    let curve = crate::common::key().serialize_pem();
    assert_eq!(
        error(curve.as_bytes()),
        "expected an RSA key of 2048 to 4096 bits, found one of another kind or size, or a damaged one"
    );
}
