//! What a public key is, in words: servers fail for keys that are too small or
//! of a kind that nobody has heard of, and a sentence should say which.

use std::borrow::Cow;
use std::fmt;

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::algorithms::{RSA_MAX, RSA_MIN, rsa_bits};

/// Kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// RSA, with the bits of its modulus unless that is not readable.
    Rsa(Option<usize>),
    /// For ECDSA, with the name of the curve, or else its object identifier.
    Ec(Cow<'static, str>),
    Ed25519,
    /// An object identifier.
    Other(String),
}

impl Key {
    pub(crate) fn of(info: &SubjectPublicKeyInfo<'_>) -> Self {
        let kind = &info.algorithm.algorithm;
        if *kind == OID_PKCS1_RSAENCRYPTION {
            return Self::Rsa(rsa_bits(&info.subject_public_key.data));
        }
        if *kind == OID_SIG_ED25519 {
            return Self::Ed25519;
        }
        if *kind != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Self::Other(kind.to_id_string());
        }
        let parameters = info.algorithm.parameters.as_ref();
        let Some(curve) = parameters.and_then(|curve| curve.as_oid().ok()) else {
            return Self::Ec("no named curve".into());
        };
        let known = [
            (OID_EC_P256, "P-256"),
            (OID_NIST_EC_P384, "P-384"),
            (OID_NIST_EC_P521, "P-521"),
        ];
        let name = known.into_iter().find(|(oid, _)| *oid == curve);
        Self::Ec(match name {
            Some((_, name)) => name.into(),
            None => format!("the curve {}", curve.to_id_string()).into(),
        })
    }

    /// What would be accepted in place of this key; `None` if it is accepted.
    pub(crate) fn expected(&self) -> Option<String> {
        match self {
            Self::Rsa(Some(RSA_MIN..=RSA_MAX)) | Self::Ed25519 => None,
            Self::Rsa(_) => Some(format!("RSA keys of {RSA_MIN} to {RSA_MAX} bits are")),
            Self::Ec(curve) if ["P-256", "P-384", "P-521"].contains(&&**curve) => None,
            Self::Ec(_) => Some("the curves P-256, P-384 and P-521 are".into()),
            Self::Other(_) => Some("keys for RSA, ECDSA and Ed25519 are".into()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(Some(bits)) => write!(f, "an RSA key of {bits} bits"),
            Self::Rsa(None) => f.write_str("an RSA key that is not readable"),
            Self::Ec(curve) => write!(f, "an ECDSA key on {curve}"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Other(oid) => write!(f, "a key of the kind {oid}"),
        }
    }
}
