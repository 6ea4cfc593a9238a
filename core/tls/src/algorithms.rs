//! The signatures that are accepted: ring's, and what Go accepts beside them.
//!
//! ring verifies RSA from 2048 bits, and ECDSA on P-256 and P-384 with SHA-256
//! and SHA-384. Go goes down to RSA of 1024 bits (`crypto/rsa`, since 1.24),
//! which old appliances still have, and also has the curve P-521 and SHA-512
//! with each curve. What ring lacks is verified by RustCrypto's crates, which
//! get public keys and signatures here and never a secret.
//!
//! In TLS 1.3 a scheme names its curve (RFC 8446 section 4.2.3). In 1.2 it names
//! the hash alone, so each has all curves behind it (RFC 5246 section 7.4.1.4.1).

use std::fmt;

use ecdsa::signature::hazmat::PrehashVerifier;
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use rsa::{BoxedUint, PublicKey as RsaKey};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use webpki::ring as by_ring;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

/// Fewest bits of an RSA key that is accepted, as Go has it.
pub(crate) const RSA_MIN: usize = 1024;
/// Most bits of an RSA key that is accepted, ring's limit and Go's.
pub(crate) const RSA_MAX: usize = 8192;
/// From this many bytes of modulus on it is ring that verifies.
const RSA_RING: usize = 2048 / 8;

/// What a server may sign with. The schemes are told to servers in this order,
/// and many take the first that they can: what ring lacks is last.
pub(crate) static ACCEPTED: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        by_ring::ECDSA_P256_SHA256,
        by_ring::ECDSA_P256_SHA384,
        by_ring::ECDSA_P384_SHA256,
        by_ring::ECDSA_P384_SHA384,
        by_ring::ED25519,
        &RSA_PSS_SHA256,
        &RSA_PSS_SHA384,
        &RSA_PSS_SHA512,
        &RSA_PKCS1_SHA256,
        &RSA_PKCS1_SHA384,
        &RSA_PKCS1_SHA512,
        &RSA_PKCS1_SHA256_ABSENT_PARAMS,
        &RSA_PKCS1_SHA384_ABSENT_PARAMS,
        &RSA_PKCS1_SHA512_ABSENT_PARAMS,
        &ECDSA_P256_SHA512,
        &ECDSA_P384_SHA512,
        &ECDSA_P521_SHA256,
        &ECDSA_P521_SHA384,
        &ECDSA_P521_SHA512,
    ],
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[
                by_ring::ECDSA_P384_SHA384,
                by_ring::ECDSA_P256_SHA384,
                &ECDSA_P521_SHA384,
            ],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[
                by_ring::ECDSA_P256_SHA256,
                by_ring::ECDSA_P384_SHA256,
                &ECDSA_P521_SHA256,
            ],
        ),
        (SignatureScheme::ED25519, &[by_ring::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[&RSA_PSS_SHA512]),
        (SignatureScheme::RSA_PSS_SHA384, &[&RSA_PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA256, &[&RSA_PSS_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&RSA_PKCS1_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&RSA_PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[&RSA_PKCS1_SHA256]),
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            &[&ECDSA_P521_SHA512, &ECDSA_P384_SHA512, &ECDSA_P256_SHA512],
        ),
    ],
};

type Ring = &'static dyn SignatureVerificationAlgorithm;
/// Of key, message and signature.
type Verify<Key, Error> = fn(&Key, &[u8], &[u8]) -> Result<(), Error>;

/// RSA with keys of any accepted size.
struct Rsa {
    /// For keys that ring takes; also says what the algorithm is called.
    ring: Ring,
    /// For smaller keys.
    small: Verify<RsaKey, rsa::Error>,
}

impl Rsa {
    const fn new(ring: Ring, small: Verify<RsaKey, rsa::Error>) -> Self {
        Self { ring, small }
    }
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rsa").field(&self.ring).finish()
    }
}

impl SignatureVerificationAlgorithm for Rsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.ring.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.ring.signature_alg_id()
    }

    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let numbers = rsa_numbers(key).ok_or(InvalidSignature)?;
        if numbers.modulus.len() >= RSA_RING {
            return self.ring.verify_signature(key, message, signature);
        }
        let number = BoxedUint::from_be_slice_vartime;
        let (modulus, exponent) = (number(numbers.modulus), number(numbers.exponent));
        RsaKey::new_with_size_limits(modulus, exponent, RSA_MIN..=RSA_RING * 8)
            .and_then(|key| (self.small)(&key, message, signature))
            .map_err(|_| InvalidSignature)
    }
}

static RSA_PSS_SHA256: Rsa = Rsa::new(
    by_ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    RsaKey::pss_verify::<Sha256>,
);
static RSA_PSS_SHA384: Rsa = Rsa::new(
    by_ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    RsaKey::pss_verify::<Sha384>,
);
static RSA_PSS_SHA512: Rsa = Rsa::new(
    by_ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    RsaKey::pss_verify::<Sha512>,
);
static RSA_PKCS1_SHA256: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA256,
    RsaKey::pkcs1v15_verify::<Sha256>,
);
static RSA_PKCS1_SHA384: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA384,
    RsaKey::pkcs1v15_verify::<Sha384>,
);
static RSA_PKCS1_SHA512: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA512,
    RsaKey::pkcs1v15_verify::<Sha512>,
);
static RSA_PKCS1_SHA256_ABSENT_PARAMS: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    RsaKey::pkcs1v15_verify::<Sha256>,
);
static RSA_PKCS1_SHA384_ABSENT_PARAMS: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    RsaKey::pkcs1v15_verify::<Sha384>,
);
static RSA_PKCS1_SHA512_ABSENT_PARAMS: Rsa = Rsa::new(
    by_ring::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    RsaKey::pkcs1v15_verify::<Sha512>,
);

/// The numbers of an RSA key, without leading zero bytes.
struct RsaNumbers<'a> {
    modulus: &'a [u8],
    exponent: &'a [u8],
}

/// Reads an RSAPublicKey (RFC 8017 appendix A.1.1); none if there is something
/// else, or a number that is not positive.
fn rsa_numbers(key: &[u8]) -> Option<RsaNumbers<'_>> {
    let (rest, key) = RSAPublicKey::from_der(key).ok()?;
    let positive = |number: &'_ [u8]| number.first().is_some_and(|first| *first < 0x80);
    let fits = rest.is_empty() && positive(key.modulus) && positive(key.exponent);
    fits.then(|| RsaNumbers {
        modulus: significant(key.modulus),
        exponent: significant(key.exponent),
    })
}

/// Bits of the modulus of an RSAPublicKey.
pub(crate) fn rsa_bits(key: &[u8]) -> Option<usize> {
    let modulus = rsa_numbers(key)?.modulus;
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    Some(modulus.len() * 8 - unused as usize)
}

/// Big-endian `bytes` without leading zero bytes: Go's `big.Int.Bytes`.
pub(crate) fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// ECDSA with one curve and one hash, where ring does not have both.
struct Ecdsa {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify<[u8], ecdsa::Error>,
}

impl fmt::Debug for Ecdsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecdsa")
            .field("key", &self.key)
            .field("signature", &self.signature)
            .finish_non_exhaustive()
    }
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }

    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        // Compressed points are accepted neither by ring nor by Go.
        if key.first() != Some(&4) {
            return Err(InvalidSignature);
        }
        (self.verify)(key, message, signature).map_err(|_| InvalidSignature)
    }
}

macro_rules! ecdsa {
    ($curve:ty, $hash:ty) => {
        |key, message, signature| {
            let key = ecdsa::VerifyingKey::<$curve>::from_sec1_bytes(key)?;
            let signature = ecdsa::Signature::<$curve>::from_der(signature)?;
            key.verify_prehash(&<$hash>::digest(message), &signature)
        }
    };
}

static ECDSA_P256_SHA512: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P256,
    signature: alg_id::ECDSA_SHA512,
    verify: ecdsa!(NistP256, Sha512),
};
static ECDSA_P384_SHA512: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P384,
    signature: alg_id::ECDSA_SHA512,
    verify: ecdsa!(NistP384, Sha512),
};
static ECDSA_P521_SHA256: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA256,
    verify: ecdsa!(NistP521, Sha256),
};
static ECDSA_P521_SHA384: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA384,
    verify: ecdsa!(NistP521, Sha384),
};
static ECDSA_P521_SHA512: Ecdsa = Ecdsa {
    key: alg_id::ECDSA_P521,
    signature: alg_id::ECDSA_SHA512,
    verify: ecdsa!(NistP521, Sha512),
};
