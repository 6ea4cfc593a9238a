//! A server's certificate that says to be a CA's.
//!
//! Go does not ask a leaf whether it is one, and those that appliances and a few
//! lines of shell make often are. webpki refuses such a leaf and has no switch.
//! So webpki is shown a copy that says no, and the signature over the copy is
//! verified over the bytes that were signed. All that webpki asks of a leaf it
//! asks of the copy too; and as that is no CA's, it issues nothing.

use std::ops::Range;

use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
};

use crate::certificate::Certificate;

/// BasicConstraints that begin with TRUE, in DER (RFC 5280 section 4.2.1.9).
const TRUE: [u8; 3] = [1, 1, 0xff];

/// A leaf, and the copy of it for webpki.
pub(crate) struct NoCa<'a> {
    leaf: &'a [u8],
    pub(crate) copy: CertificateDer<'static>,
    /// Where in both are the bytes that are signed.
    signed: Range<usize>,
}

impl<'a> NoCa<'a> {
    /// `None` if the leaf does not say to be a CA's.
    pub(crate) fn of(leaf: &Certificate<'a>) -> Option<Self> {
        // After the tag and the length of the sequence.
        let flag = leaf.basic_constraints()?.get(2..5)?;
        if flag != TRUE {
            return None;
        }
        let mut copy = leaf.der.to_vec();
        copy[leaf.position(flag)].copy_from_slice(&[1, 1, 0]);
        Some(Self {
            leaf: leaf.der,
            copy: copy.into(),
            signed: leaf.position(leaf.signed()),
        })
    }

    /// An algorithm that takes signatures over the leaf for those over the copy.
    pub(crate) fn verified_by<'b>(
        &'b self,
        algorithm: &'b dyn SignatureVerificationAlgorithm,
    ) -> OverLeaf<'b> {
        OverLeaf {
            algorithm,
            copy: &self.copy[self.signed.clone()],
            leaf: &self.leaf[self.signed.clone()],
        }
    }
}

/// See [`NoCa::verified_by`].
#[derive(Debug)]
pub(crate) struct OverLeaf<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    copy: &'a [u8],
    leaf: &'a [u8],
}

impl SignatureVerificationAlgorithm for OverLeaf<'_> {
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
        let message = if message == self.copy {
            self.leaf
        } else {
            message
        };
        self.algorithm.verify_signature(key, message, signature)
    }
}
