//! Keys and signatures that ring does not verify: RSA below 2048 bits, P-521,
//! and SHA-512 with the other curves. The certificates in `data` were made by
//! OpenSSL, by way of Python's cryptography.

use std::sync::Arc;

use ecdsa::hazmat::sign_prehashed_rfc6979;
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use probity_engine::Reason;
use probity_tls::TlsOptions;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rcgen::{CertifiedIssuer, PKCS_RSA_SHA256, PublicKeyData};
use rsa::traits::PublicKeyParts;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::common::{Server, Wire, ca_params, der, handshake, leaf_params, signing, trusting};

const ROOTS: &[u8] = include_bytes!("data/ecdsa_roots.pem");
/// Of P-256 with SHA-512, P-384 with SHA-512, P-521 with SHA-256, -384, -512; and
/// the key of all.
const LEAVES: &[u8] = include_bytes!("data/ecdsa_leaves.pem");
/// Leaves on P-256, P-384 and P-521, each followed by its key.
const KEYS: &[u8] = include_bytes!("data/ecdsa_keys.pem");

fn skipping() -> TlsOptions {
    TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    }
}

fn trusting_roots() -> TlsOptions {
    TlsOptions {
        ca: Some(ROOTS.into()),
        ..TlsOptions::default()
    }
}

type Sign = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// Signs with one scheme, whatever else is offered.
#[derive(Clone)]
struct OneScheme {
    scheme: SignatureScheme,
    sign: Arc<Sign>,
}

impl std::fmt::Debug for OneScheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.scheme.fmt(f)
    }
}

impl SigningKey for OneScheme {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&self.scheme);
        is_offered.then(|| Box::new(self.clone()) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512 => SignatureAlgorithm::ECDSA,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

impl Signer for OneScheme {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok((self.sign)(message))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// An RSA key, made from its size alone.
#[derive(Clone)]
struct Rsa {
    key: Arc<rsa::PrivateKey>,
    public: Vec<u8>,
}

impl Rsa {
    fn new(bits: usize, seed: u8) -> Self {
        let mut random = ChaCha20Rng::from_seed([seed; 32]);
        let key = rsa::PrivateKey::new_unchecked(&mut random, bits).expect("a key");
        let modulus = key.n_bytes();
        let exponent = key.e_bytes();
        let public = der_pair(&modulus, &exponent);
        Self {
            key: Arc::new(key),
            public,
        }
    }

    fn signing(&self, scheme: SignatureScheme) -> OneScheme {
        let key = Arc::clone(&self.key);
        OneScheme {
            scheme,
            sign: Arc::new(move |message| {
                use SignatureScheme as S;
                let random = &mut ChaCha20Rng::from_seed([9; 32]);
                match scheme {
                    S::RSA_PSS_SHA256 => key.pss_sign_with_rng::<Sha256, _>(random, message),
                    S::RSA_PSS_SHA384 => key.pss_sign_with_rng::<Sha384, _>(random, message),
                    S::RSA_PSS_SHA512 => key.pss_sign_with_rng::<Sha512, _>(random, message),
                    S::RSA_PKCS1_SHA256 => key.pkcs1v15_sign::<Sha256>(message),
                    S::RSA_PKCS1_SHA384 => key.pkcs1v15_sign::<Sha384>(message),
                    S::RSA_PKCS1_SHA512 => key.pkcs1v15_sign::<Sha512>(message),
                    other => panic!("{other:?} is not RSA"),
                }
                .expect("a signature")
            }),
        }
    }
}

/// A sequence of two positive numbers, in DER.
fn der_pair(one: &[u8], two: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| match bytes {
        0..0x80 => vec![bytes as u8],
        0x80..0x100 => vec![0x81, bytes as u8],
        _ => vec![0x82, (bytes >> 8) as u8, bytes as u8],
    };
    let number = |number: &[u8]| {
        // A first bit of one would be a sign.
        let sign: &[u8] = if number[0] < 0x80 { &[] } else { &[0] };
        let padded = [sign, number].concat();
        [&[2][..], &length(padded.len()), &padded].concat()
    };
    let both = [number(one), number(two)].concat();
    [&[0x30][..], &length(both.len()), &both].concat()
}

impl PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl rcgen::SigningKey for Rsa {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok((self.signing(SignatureScheme::RSA_PKCS1_SHA256).sign)(
            message,
        ))
    }
}

/// A root and a leaf with these keys.
fn issued(ca: &Rsa, leaf: &Rsa) -> (CertifiedIssuer<'static, Rsa>, CertificateDer<'static>) {
    let ca = CertifiedIssuer::self_signed(ca_params("small", (2040, 1, 1)), ca.clone());
    let ca = ca.expect("a root");
    let leaf = leaf_params(&["example.test"]).signed_by(leaf, &ca);
    let leaf = der(&leaf.expect("a leaf"));
    (ca, leaf)
}

fn serve(
    options: &TlsOptions,
    version: &'static rustls::SupportedProtocolVersion,
    leaf: &CertificateDer<'static>,
    key: OneScheme,
) -> Wire {
    let server = Server {
        chain: vec![leaf.clone()],
        key: Arc::new(key),
        only: Some(version),
        alpn: Vec::new(),
        clients: None,
    };
    handshake(options, "example.test", server)
}

#[track_caller]
fn accepted(wire: &Wire) {
    assert_eq!(wire.heard.secured.len(), 1, "{:?}", wire.heard.failure);
}

#[test]
fn rsa_of_1024_bits_is_accepted_with_every_scheme_that_fits() {
    use SignatureScheme as S;
    let key = Rsa::new(1024, 1);
    let (ca, leaf) = issued(&Rsa::new(1024, 2), &key);
    for options in [trusting(ca.as_ref()), skipping()] {
        for scheme in [S::RSA_PSS_SHA256, S::RSA_PSS_SHA384] {
            accepted(&serve(&options, &TLS13, &leaf, key.signing(scheme)));
        }
        for scheme in [
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PKCS1_SHA256,
            S::RSA_PKCS1_SHA384,
            S::RSA_PKCS1_SHA512,
        ] {
            accepted(&serve(&options, &TLS12, &leaf, key.signing(scheme)));
        }
    }
}

/// Sizes on both sides of whole bytes, and of where ring begins.
#[test]
fn every_size_from_1024_bits_on_is_accepted() {
    for bits in [1025, 1031, 1032, 1033, 1034, 2040, 2041, 2047, 2048] {
        let key = Rsa::new(bits, 3);
        let (ca, leaf) = issued(&key, &key);
        for scheme in [
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA512,
        ] {
            if bits < 1034 && scheme == SignatureScheme::RSA_PSS_SHA512 {
                continue; // No room for the hash and a salt of its size.
            }
            let wire = serve(&trusting(ca.as_ref()), &TLS13, &leaf, key.signing(scheme));
            assert_eq!(wire.heard.secured.len(), 1, "{bits} {scheme:?}");
        }
    }
}

#[test]
fn rsa_below_1024_bits_is_refused_and_its_size_is_told() {
    for (bits, words) in [(768, "768 bits"), (1023, "1023 bits")] {
        let key = Rsa::new(bits, 4);
        let (ca, leaf) = issued(&key, &Rsa::new(1024, 1));
        let (_, small) = issued(&key, &key);
        for version in [&TLS12, &TLS13] {
            let scheme = SignatureScheme::RSA_PSS_SHA256;
            let wire = serve(&skipping(), version, &small, key.signing(scheme));
            let failure = wire.heard.failed();
            assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
            assert_eq!(
                failure.detail,
                format!(
                    "the server's certificate has an RSA key of {words}, and RSA keys of 1024 to 8192 bits are accepted"
                )
            );
            let wire = serve(
                &trusting(ca.as_ref()),
                version,
                &leaf,
                Rsa::new(1024, 1).signing(scheme),
            );
            let failure = wire.heard.failed();
            assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
            assert_eq!(
                failure.detail,
                format!(
                    "certificate chain does not lead to a trusted root (1 configured CA certificate is trusted): CN=small has an RSA key of {words}, and RSA keys of 1024 to 8192 bits are accepted"
                )
            );
        }
    }
}

#[test]
fn another_small_key_than_that_of_the_certificate_is_refused() {
    let (one, other) = (Rsa::new(1024, 1), Rsa::new(1024, 2));
    let (ca, leaf) = issued(&one, &one);
    for (version, scheme) in [
        (&TLS13, SignatureScheme::RSA_PSS_SHA256),
        (&TLS12, SignatureScheme::RSA_PSS_SHA256),
        (&TLS12, SignatureScheme::RSA_PKCS1_SHA256),
    ] {
        for options in [trusting(ca.as_ref()), skipping()] {
            let wire = serve(&options, version, &leaf, other.signing(scheme));
            assert_eq!(
                wire.heard.failed().detail,
                "the handshake's signature is not one of the key in the server's certificate, an RSA key of 1024 bits: the server signs with another private key"
            );
        }
    }
    // Of the name of the issuer, but not its key.
    let (_, forged) = issued(&other, &one);
    let wire = serve(
        &trusting(ca.as_ref()),
        &TLS13,
        &forged,
        one.signing(SignatureScheme::RSA_PSS_SHA256),
    );
    let failure = wire.heard.failed();
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    assert!(failure.detail.contains("not one of the key"), "{failure:?}");
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    all.expect("certificates")
}

#[test]
fn chains_of_every_curve_and_hash_are_accepted_and_forged_ones_are_not() {
    let leaves = certificates(LEAVES);
    assert_eq!(leaves.len(), 5);
    let server = |leaf: CertificateDer<'static>| {
        let key = PrivateKeyDer::from_pem_slice(LEAVES).expect("a key");
        Server {
            chain: vec![leaf],
            key: signing(key),
            only: None,
            alpn: Vec::new(),
            clients: None,
        }
    };
    for leaf in leaves {
        let options = trusting_roots();
        accepted(&handshake(&options, "example.test", server(leaf.clone())));
        let mut forged = leaf.to_vec();
        *forged.last_mut().expect("a signature") ^= 1;
        let wire = handshake(&options, "example.test", server(forged.into()));
        assert_eq!(wire.heard.failed().reason, Reason::TlsUnknownIssuer);
    }
}

/// The leaf on one curve, and what signs with its key and `hash`.
macro_rules! on_curve {
    ($index:expr, $curve:ty, $hash:ty, $scheme:expr) => {{
        let leaf = certificates(KEYS)[$index].clone();
        let key = PrivateKeyDer::pem_slice_iter(KEYS).nth($index);
        let Some(Ok(PrivateKeyDer::Sec1(key))) = key else {
            panic!("a key");
        };
        // ECPrivateKey (RFC 5915): version 1, then the number.
        let key = key.secret_sec1_der();
        let at = key.windows(4).position(|bytes| bytes == [2, 1, 1, 4]);
        let at = at.expect("a version") + 4;
        let number = &key[at + 1..][..usize::from(key[at])];
        let key = ecdsa::SigningKey::<$curve>::from_slice(number).expect("a number");
        let sign = move |message: &[u8]| {
            let hash = <$hash>::digest(message);
            let scalar = key.as_nonzero_scalar();
            let (signature, _) = sign_prehashed_rfc6979::<$curve, $hash>(scalar, &hash, &[]);
            signature.to_der().as_bytes().to_vec()
        };
        let sign = OneScheme {
            scheme: $scheme,
            sign: Arc::new(sign),
        };
        (leaf, sign)
    }};
}

#[test]
fn servers_sign_on_p521_and_with_sha512_on_every_curve() {
    use SignatureScheme as S;
    let sha512 = S::ECDSA_NISTP521_SHA512;
    let only_old = [
        on_curve!(0, NistP256, Sha512, sha512),
        on_curve!(1, NistP384, Sha512, sha512),
        on_curve!(2, NistP521, Sha256, S::ECDSA_NISTP256_SHA256),
        on_curve!(2, NistP521, Sha384, S::ECDSA_NISTP384_SHA384),
    ];
    let (leaf, key) = on_curve!(2, NistP521, Sha512, sha512);
    for options in [trusting_roots(), skipping()] {
        for (leaf, key) in &only_old {
            accepted(&serve(&options, &TLS12, leaf, key.clone()));
            // Where a scheme names its curve, it is of that curve.
            let wire = serve(&options, &TLS13, leaf, key.clone());
            assert!(wire.heard.secured.is_empty());
        }
        accepted(&serve(&options, &TLS12, &leaf, key.clone()));
        accepted(&serve(&options, &TLS13, &leaf, key.clone()));
        for version in [&TLS12, &TLS13] {
            let sign = Arc::clone(&key.sign);
            let liar = OneScheme {
                sign: Arc::new(move |message| sign(&[message, b"!"].concat())),
                ..key.clone()
            };
            let wire = serve(&options, version, &leaf, liar);
            assert_eq!(
                wire.heard.failed().detail,
                "the handshake's signature is not one of the key in the server's certificate, an ECDSA key on P-521: the server signs with another private key"
            );
        }
    }
}
