//! What webpki is shown of certificates that it would not look at.
//!
//! Go takes two kinds for which webpki has no switch:
//!
//! * A server's certificate that says to be a CA's. Go does not ask a leaf whether
//!   it is one, and those that appliances and a few lines of shell make often are.
//! * Critical extensions about policies, of which webpki knows none. Government
//!   PKIs have them; [`policies`](crate::policies) does what they ask for.
//!
//! So webpki is shown a copy in which the flag is cleared that it stumbles over,
//! and the signature over the copy is verified over the bytes that were signed.
//! All else that webpki asks of a certificate it asks of the copy too. A leaf's
//! copy is no CA's, so it issues nothing.

use std::ops::Range;

use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
};

use crate::certificate::Certificate;

/// TRUE in DER (X.690 section 11.1).
const TRUE: [u8; 3] = [1, 1, 0xff];
const FALSE: [u8; 3] = [1, 1, 0];

/// A certificate, and the copy of it for webpki.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    original: &'a [u8],
    pub(crate) copy: CertificateDer<'static>,
    /// Where in both are the bytes that are signed.
    signed: Range<usize>,
}

impl<'a> Shown<'a> {
    /// Of a server's certificate; `None` if webpki can be shown it as it is.
    pub(crate) fn leaf(leaf: &Certificate<'a>) -> Option<Self> {
        // BasicConstraints begin with it, after the tag and the length of the
        // sequence (RFC 5280 section 4.2.1.9).
        let ca = leaf.basic_constraints().and_then(|value| value.get(2..5));
        Self::without(leaf, ca.into_iter().chain(leaf.critical_policies()))
    }

    /// Of a certificate between leaf and root: as a CA's it stays one.
    pub(crate) fn issuer(issuer: &Certificate<'a>) -> Option<Self> {
        Self::without(issuer, issuer.critical_policies())
    }

    /// Clears those of `flags` that are set, which are parts of `certificate`.
    fn without<'b>(
        certificate: &Certificate<'a>,
        flags: impl Iterator<Item = &'b [u8]>,
    ) -> Option<Self> {
        let mut set = flags.filter(|flag| *flag == TRUE).peekable();
        set.peek()?;
        let mut copy = certificate.der.to_vec();
        for flag in set {
            copy[certificate.position(flag)].copy_from_slice(&FALSE);
        }
        Some(Self {
            original: certificate.der,
            copy: copy.into(),
            signed: certificate.position(certificate.signed()),
        })
    }
}

/// An algorithm that takes signatures over certificates for those over the copies.
#[derive(Debug)]
pub(crate) struct OverOriginals<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    shown: &'a [&'a Shown<'a>],
}

impl<'a> OverOriginals<'a> {
    /// One for each of `algorithms`.
    pub(crate) fn of(
        algorithms: &[&'a dyn SignatureVerificationAlgorithm],
        shown: &'a [&'a Shown<'a>],
    ) -> Vec<Self> {
        let over = |algorithm: &&'a _| Self {
            algorithm: *algorithm,
            shown,
        };
        algorithms.iter().map(over).collect()
    }
}

impl SignatureVerificationAlgorithm for OverOriginals<'_> {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let shown = self.shown.iter();
        let copied = shown
            .filter(|one| one.copy[one.signed.clone()] == *message)
            .map(|one| &one.original[one.signed.clone()])
            .next();
        self.algorithm
            .verify_signature(key, copied.unwrap_or(message), signature)
    }
}
