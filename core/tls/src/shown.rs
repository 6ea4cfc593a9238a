//! What webpki is shown of certificates that it would not look at.
//!
//! Go takes four kinds for which webpki has no switch:
//!
//! * A server's or client's certificate of version 1, such as `openssl x509 -req` makes
//!   if it is not told otherwise. It has no names, so it serves clients alone.
//! * One that says to be a CA's. Go does not ask a leaf whether
//!   it is one, and those that appliances and a few lines of shell make often are.
//! * Critical extensions about policies, of which webpki knows none. Government
//!   PKIs have them; [`policies`](crate::policies) does what they ask for.
//! * CAs with name constraints on e-mail addresses, URIs or directory names, or on what
//!   is no DNS name, below which webpki accepts nothing;
//!   [`constraints`](crate::constraints) judges them.
//!
//! So webpki is shown a copy in which the flag is cleared that it stumbles over, or
//! the extension has an id that stands for nothing, or the version is 3, and the
//! signature over the copy is verified over the bytes that were signed. A copy is known by its address: who
//! sends one as a certificate of its own has to have it signed as it is.
//! All else that webpki asks of a certificate it asks of the copy too. A leaf's
//! copy is no CA's, so it issues nothing.

use std::ops::Range;

use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
};

use x509_parser::asn1_rs::{Any, Class, FromDer};

use crate::certificate::Certificate;

/// TRUE in DER (X.690 section 11.1).
const TRUE: [u8; 3] = [1, 1, 0xff];
const FALSE: [u8; 3] = [1, 1, 0];
/// The field that says so (RFC 5280 section 4.1.2.1).
const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
/// As long as the id of name constraints: 2.999.30, below an arc for examples.
const NOTHING: [u8; 3] = [0x88, 0x37, 0x1e];

/// A certificate, and the copy of it for webpki.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// The bytes that are signed.
    original: &'a [u8],
    pub(crate) copy: CertificateDer<'static>,
    /// Where in the copy are those that stand for them.
    signed: Range<usize>,
}

impl<'a> Shown<'a> {
    /// Of a server's or client's certificate; `None` if webpki can be shown it as it is.
    pub(crate) fn leaf(leaf: &Certificate<'a>) -> Option<Self> {
        if leaf.version() < 3 && !leaf.has_extensions() {
            return Self::of_version_3(leaf);
        }
        // BasicConstraints begin with it, after the tag and the length of the
        // sequence (RFC 5280 section 4.2.1.9).
        let ca = leaf.basic_constraints().and_then(|value| value.get(2..5));
        Self::without(leaf, None, ca.into_iter().chain(leaf.critical_policies()))
    }

    /// Of a certificate between leaf and root: as a CA's it stays one.
    pub(crate) fn issuer(issuer: &Certificate<'a>) -> Option<Self> {
        let (id, flag) = issuer.constraints_id().map(|[id, flag]| (id, flag)).unzip();
        Self::without(
            issuer,
            id,
            flag.into_iter().chain(issuer.critical_policies()),
        )
    }

    /// Makes `id` one of nothing, and clears those of `flags` that are set; all are
    /// parts of `certificate`.
    fn without<'b>(
        certificate: &Certificate<'a>,
        id: Option<&'b [u8]>,
        flags: impl Iterator<Item = &'b [u8]>,
    ) -> Option<Self> {
        let set = flags.filter(|flag| *flag == TRUE).map(|flag| (flag, FALSE));
        let id = id.into_iter().map(|id| (id, NOTHING));
        let mut changes = id.chain(set).peekable();
        changes.peek()?;
        let mut copy = certificate.der.to_vec();
        for (part, with) in changes {
            copy[certificate.position(part)].copy_from_slice(&with);
        }
        let signed = certificate.position(certificate.signed());
        Some(Self {
            original: &certificate.der[signed.clone()],
            copy: copy.into(),
            signed,
        })
    }

    /// Makes it one of version 3 that happens to have no extensions.
    fn of_version_3(certificate: &Certificate<'a>) -> Option<Self> {
        let signed = certificate.position(certificate.signed());
        let original = &certificate.der[signed.clone()];
        let (_, whole) = Any::from_der(original).ok()?;
        let (after, first) = Any::from_der(whole.data).ok()?;
        let is_version = first.class() == Class::ContextSpecific;
        let fields = if is_version { after } else { whole.data };
        let copied = sequence(&[&VERSION_3, fields])?;
        let copy = sequence(&[&copied, &certificate.der[signed.end..]])?;
        let end = copy.len() - (certificate.der.len() - signed.end);
        Some(Self {
            original,
            copy: copy.into(),
            signed: end - copied.len()..end,
        })
    }
}

/// A SEQUENCE in DER; `None` if it is one that webpki does not read.
fn sequence(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut der = vec![0x30];
    match u16::try_from(length).ok()?.to_be_bytes() {
        [0, short @ ..0x80] => der.push(short),
        [0, byte] => der.extend([0x81, byte]),
        [high, low] => der.extend([0x82, high, low]),
    }
    der.extend(parts.iter().copied().flatten());
    Some(der)
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
        let mut shown = self.shown.iter();
        let original = shown
            .find(|one| std::ptr::eq(&raw const one.copy[one.signed.clone()], message))
            .map(|one| one.original);
        self.algorithm
            .verify_signature(key, original.unwrap_or(message), signature)
    }
}
