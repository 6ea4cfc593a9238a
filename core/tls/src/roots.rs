//! Certificates that are trusted, and when they expire.
//!
//! webpki reduces a root to a name and a key and trusts it without limits. Go
//! looks at its dates and at what it may issue too, and the expiry of a chain
//! includes that of its root, so all of that is kept here. It matters most for
//! a server's certificate that is itself in the CA file: whoever has its key
//! must not become a CA for every other name. Of its name constraints webpki keeps
//! those that it judges as Go does.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::certificate::Certificate;
use crate::purpose::Purpose;

/// A set of trusted certificates.
#[derive(Debug)]
pub(crate) struct Roots {
    /// Where they come from, for sentences.
    pub(crate) origin: Origin,
    /// What they are trusted for.
    pub(crate) purpose: Purpose,
    /// For webpki; in the order of `certificates`.
    anchors: Vec<TrustAnchor<'static>>,
    certificates: Vec<Root>,
}

/// Where roots come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The operating system's store.
    System,
    /// The configuration.
    Configured,
}

/// What webpki does not keep of a root.
#[derive(Debug)]
pub(crate) struct Root {
    der: CertificateDer<'static>,
    /// First second of validity, Unix time.
    pub(crate) not_before: i64,
    /// Last second of validity, Unix time.
    pub(crate) not_after: i64,
    /// Whether it may sign other certificates.
    pub(crate) is_issuer: bool,
    /// Whether certificates for the purpose may be among them.
    pub(crate) serves: bool,
    /// Most certificates between it and a leaf.
    pub(crate) path_length: Option<u32>,
    /// Whether it has name constraints that webpki does not judge.
    has_constraints: bool,
}

impl Root {
    /// How a sentence calls it.
    pub(crate) fn label(&self) -> String {
        Certificate::parse(&self.der).map_or_else(|| "(unreadable)".into(), |root| root.label())
    }

    /// Its certificate, if that has [constraints](Certificate::constraints) of which
    /// webpki is not told.
    pub(crate) fn judge(&self) -> Option<Certificate<'_>> {
        self.has_constraints
            .then(|| Certificate::parse(&self.der))
            .flatten()
    }
}

impl Roots {
    /// Keeps the usable ones of `certificates` and leaves the rest out, as Go does:
    /// bundles contain relics. Of a configured file that is said as a warning.
    pub(crate) fn new(
        origin: Origin,
        purpose: Purpose,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        let mut roots = Self {
            origin,
            purpose,
            anchors: Vec::new(),
            certificates: Vec::new(),
        };
        for der in certificates {
            let Some(parsed) = Certificate::parse(&der) else {
                continue;
            };
            let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) else {
                continue;
            };
            let mut anchor = anchor.to_owned();
            let has_constraints = parsed.constraints().is_some();
            if has_constraints {
                anchor.name_constraints = None;
            }
            roots.anchors.push(anchor);
            roots.certificates.push(Root {
                not_before: parsed.not_before,
                not_after: parsed.not_after,
                is_issuer: parsed.is_issuer(),
                serves: parsed.serves(purpose),
                path_length: parsed.path_length(),
                has_constraints,
                der: der.clone(),
            });
        }
        roots
    }

    /// The operating system's roots, loaded when first needed and then shared
    /// by the whole process; empty if there are none.
    pub(crate) fn system() -> Arc<Self> {
        static SYSTEM: OnceLock<Arc<Roots>> = OnceLock::new();
        let load = || {
            Self::new(
                Origin::System,
                Purpose::Server,
                rustls_native_certs::load_native_certs().certs,
            )
        };
        Arc::clone(SYSTEM.get_or_init(|| Arc::new(load())))
    }

    /// How many roots there are.
    pub(crate) fn len(&self) -> usize {
        self.anchors.len()
    }

    /// The roots as webpki wants them.
    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The root behind `anchor`, which is an element of [`Roots::anchors`].
    ///
    /// Found by address: a root and its reissue differ in dates alone, and
    /// those are what an anchor lacks.
    pub(crate) fn of_anchor(&self, anchor: &TrustAnchor<'_>) -> Option<&Root> {
        let index = self
            .anchors
            .iter()
            .position(|own| std::ptr::eq(own, anchor))?;
        self.certificates.get(index)
    }

    /// Those of this name, which is DER.
    pub(crate) fn named(&self, name: &[u8]) -> impl Iterator<Item = Certificate<'_>> {
        // An anchor's name is without tag and length.
        let both = self.anchors.iter().zip(&self.certificates);
        both.filter(|(anchor, _)| name.ends_with(&anchor.subject))
            .filter_map(|(_, root)| Certificate::parse(&root.der))
            .filter(move |root| root.subject() == name)
    }

    /// Whether exactly this certificate is trusted.
    pub(crate) fn contains(&self, der: &[u8]) -> bool {
        self.certificates.iter().any(|root| *root.der == *der)
    }
}
