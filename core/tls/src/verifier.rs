//! The certificate verifier: webpki's judgement, Go's order of questions, and
//! a record of what was seen whatever the judgement is.
//!
//! rustls tells neither which chains it verified nor, where it refuses a
//! certificate, what was in it. So there is one [`Verifier`] for each
//! connection, which remembers its [`Verdict`].
//!
//! The order is that of Go's `Certificate.Verify`: dates of the leaf, its name,
//! then the chain. An expired self-signed certificate is thus reported as
//! expired, as it is by blackbox_exporter.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use probity_engine::Reason;
use probity_engine::tls::ChainInfo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use webpki::{EndEntityCert, VerifiedPath};

use crate::certificate::{Certificate, Sent};
use crate::constraints;
use crate::key::Key;
use crate::policies;
use crate::purpose::Purpose;
use crate::rejection::{self, Rejection};
use crate::roots::{Root, Roots};
use crate::shown::{OverOriginals, Shown};
use crate::signature;

/// Most certificates, besides the leaf, from which chains are built.
///
/// webpki tries every order of certificates that name each other as issuers
/// before it looks at a signature, and a hostile server can send hundreds; with
/// six the search is at most some two thousand steps. No honest chain is
/// longer: six is also webpki's own limit of depth.
pub(crate) const MAX_INTERMEDIATES: usize = 6;

/// Which certificates to accept.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Any.
    Anything,
    /// Those that lead to one of these.
    Roots(Arc<Roots>),
}

/// What was seen, and why it was refused if it was.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Facts about the certificates; `None` if the leaf does not parse.
    pub(crate) chain: Option<Box<ChainInfo>>,
    /// The key of the leaf.
    pub(crate) key: Option<Key>,
    /// `None` if the certificates were accepted.
    pub(crate) rejection: Option<Rejection>,
}

/// The verifier of one connection.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: OnceLock<Verdict>,
}

impl Verifier {
    pub(crate) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self {
            trust,
            algorithms,
            verdict: OnceLock::new(),
        }
    }

    /// The verdict, once the server has sent certificates.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.get()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let sent = Sent::parse(end_entity, intermediates.iter().map(|der| &**der));
        let judgement = match &self.trust {
            Trust::Anything => Ok(None),
            Trust::Roots(roots) => {
                let case = Case {
                    roots,
                    algorithms: self.algorithms,
                    end_entity,
                    sent: &sent,
                    server_name: Some(server_name),
                    now,
                };
                case.judge().map(Some)
            }
        };
        let (chain_expiry, rejection) = match judgement {
            Ok(expiry) => (expiry, None),
            Err(rejection) => (None, Some(rejection)),
        };
        let answer = match &rejection {
            None => Ok(ServerCertVerified::assertion()),
            Some(rejection) => Err(Error::InvalidCertificate(alert_for(rejection))),
        };
        // A handshake has one certificate message, so this is the first verdict.
        let _ = self.verdict.set(Verdict {
            chain: sent.facts(chain_expiry),
            key: sent.leaf.as_ref().map(Certificate::key),
            rejection,
        });
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(&self.algorithms, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(&self.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The error from which rustls derives the alert that the peer gets.
pub(crate) fn alert_for(rejection: &Rejection) -> CertificateError {
    match rejection.reason {
        Reason::TlsCertificateExpired => CertificateError::Expired,
        Reason::TlsCertificateNotYetValid => CertificateError::NotValidYet,
        Reason::TlsUnknownIssuer => CertificateError::UnknownIssuer,
        Reason::TlsNameMismatch => CertificateError::NotValidForName,
        _ => CertificateError::Other(OtherError(Arc::new(rejection.clone()))),
    }
}

/// The certificates of one server or client before the judge.
pub(crate) struct Case<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) end_entity: &'a CertificateDer<'a>,
    pub(crate) sent: &'a Sent<'a>,
    /// For whom they must be; `None` for a client, whoever it is.
    pub(crate) server_name: Option<&'a ServerName<'a>>,
    pub(crate) now: UnixTime,
}

impl Case<'_> {
    /// The expiry of the longest-lived verified chain, or why there is none.
    pub(crate) fn judge(&self) -> Result<i64, Rejection> {
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let Some(leaf) = &self.sent.leaf else {
            return Err(rejection::unreadable(self.roots.purpose, self.end_entity));
        };
        rejection::check_dates("certificate", leaf.not_before, leaf.not_after, now, || {
            leaf.label()
        })?;
        let shown = Shown::leaf(leaf);
        let der = shown.as_ref().map_or(self.end_entity, |shown| &shown.copy);
        let end_entity =
            EndEntityCert::try_from(der).map_err(|error| rejection::unusable(&error, leaf))?;
        if let Some(name) = self.server_name {
            // Go takes names that webpki does not.
            end_entity
                .verify_is_valid_for_subject_name(name)
                .ok()
                .or_else(|| leaf.is_for(name).then_some(()))
                .ok_or_else(|| rejection::wrong_name(leaf, name))?;
        }
        if self.roots.contains(leaf.der) {
            // Trusted as it is, even if it is a CA's own certificate, which
            // webpki would not accept from anybody. Go builds no other chain.
            return if leaf.serves(self.roots.purpose) {
                Ok(leaf.not_after)
            } else {
                Err(rejection::not_for(self.roots.purpose, leaf))
            };
        }
        self.search(&end_entity, shown.as_ref(), leaf, now)
    }

    /// Lets webpki walk through every chain and takes the best.
    ///
    /// A chain is refused after it has been noted, so that webpki goes on to
    /// the next; it stops by itself after 100 signatures, as Go does.
    fn search(
        &self,
        end_entity: &EndEntityCert<'_>,
        shown_leaf: Option<&Shown<'_>>,
        leaf: &Certificate<'_>,
        now: i64,
    ) -> Result<i64, Rejection> {
        let issuers = self.intermediates(leaf);
        let shown: Vec<Option<Shown<'_>>> = issuers.iter().map(|it| Shown::issuer(it)).collect();
        let ders = issuers.iter().zip(&shown).map(|(issuer, shown)| {
            let der = shown.as_ref().map_or(issuer.der, |shown| &shown.copy);
            CertificateDer::from(der)
        });
        let intermediates: Vec<CertificateDer<'_>> = ders.collect();
        let shown: Vec<&Shown<'_>> = shown_leaf
            .into_iter()
            .chain(shown.iter().flatten())
            .collect();
        let algorithms = OverOriginals::of(self.algorithms.all, &shown);
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
            algorithms.iter().map(|one| one as _).collect();
        let found = RefCell::new(Found::new());
        let note = |path: &VerifiedPath<'_>| -> Result<(), webpki::Error> {
            let root = self.roots.of_anchor(path.anchor());
            // As they were sent, and not as webpki was shown them.
            let sent = |der: CertificateDer<'_>| {
                let mut both = intermediates.iter().zip(&issuers);
                let found =
                    both.find(|(shown, _)| std::ptr::eq(&raw const ***shown, &raw const *der));
                found.map(|(_, issuer)| *issuer)
            };
            let between = path.intermediate_certificates();
            let between: Option<Vec<_>> = between.map(|cert| sent(cert.der())).collect();
            if let (Some(root), Some(between)) = (root, between) {
                let purpose = self.roots.purpose;
                found.borrow_mut().note(purpose, root, &between, leaf, now);
            }
            Err(webpki::Error::UnknownIssuer)
        };
        let outcome = end_entity.verify_for_usage(
            &algorithms,
            self.roots.anchors(),
            &intermediates,
            self.now,
            self.roots.purpose,
            None,
            Some(&note),
        );
        let error = outcome.err().unwrap_or(webpki::Error::UnknownIssuer);
        let Found { best, refused, .. } = found.into_inner();
        match (best, refused) {
            (Some(expiry), _) => Ok(expiry),
            (None, Some(rejection)) => Err(rejection),
            (None, None) => Err(rejection::no_chain(&error, self, leaf)),
        }
    }

    /// The certificates from which to build chains: those that name each other
    /// as issuers, beginning with the leaf's, nearest first.
    pub(crate) fn intermediates(&self, leaf: &Certificate<'_>) -> Vec<&Certificate<'_>> {
        let mut seen = HashSet::from([leaf.der]);
        let mut wanted = vec![leaf.issuer()];
        let mut chosen = Vec::new();
        let mut next = 0;
        while let Some(&issuer) = wanted.get(next) {
            next += 1;
            for other in &self.sent.others {
                if other.subject() != issuer || chosen.len() == MAX_INTERMEDIATES {
                    continue;
                }
                if seen.insert(other.der) {
                    chosen.push(other);
                    wanted.push(other.issuer());
                }
            }
        }
        chosen
    }
}

/// What the search through the chains has met.
struct Found {
    /// Largest of the chains' smallest NotAfter.
    best: Option<i64>,
    /// Why the first chain was refused that only webpki accepts.
    refused: Option<Rejection>,
    /// How many names may still be compared with constraints.
    comparisons: usize,
}

impl Found {
    fn new() -> Self {
        Self {
            best: None,
            refused: None,
            comparisons: constraints::MAX_COMPARISONS,
        }
    }

    fn note(
        &mut self,
        purpose: Purpose,
        root: &Root,
        between: &[&Certificate<'_>],
        leaf: &Certificate<'_>,
        now: i64,
    ) {
        let allowed = rejection::check_path(purpose, root, between, now)
            .and_then(|()| policies::check(between, leaf))
            .and_then(|()| {
                let left = &mut self.comparisons;
                constraints::check(root.judge().as_ref(), between, leaf, left)
            });
        match allowed {
            Ok(()) => {
                let ends = between.iter().map(|cert| cert.not_after);
                let expiry = ends.fold(leaf.not_after.min(root.not_after), i64::min);
                self.best = Some(self.best.map_or(expiry, |best| best.max(expiry)));
            }
            Err(rejection) => {
                self.refused.get_or_insert(rejection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring;

    use super::*;
    use crate::roots::Origin;

    #[test]
    fn a_system_without_roots_is_told_to_have_none() {
        let params = CertificateParams::new(vec!["example.test".into()]).expect("a name");
        let cert = params
            .self_signed(&KeyPair::generate().expect("a key"))
            .expect("a certificate");
        let verifier = Verifier::new(
            Trust::Roots(Arc::new(Roots::new(Origin::System, Purpose::Server, []))),
            ring::default_provider().signature_verification_algorithms,
        );
        let name = ServerName::try_from("example.test").expect("a name");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_749_945_600));
        let answer = verifier.verify_server_cert(cert.der(), &[], &name, &[], now);
        assert!(answer.is_err());
        let verdict = verifier.verdict().expect("a verdict");
        let rejection = verdict.rejection.as_ref().expect("a rejection");
        assert_eq!(rejection.reason, Reason::TlsUnknownIssuer);
        assert!(
            rejection.detail.contains("no system roots were found"),
            "{rejection}"
        );
        assert!(verdict.chain.is_some());
    }
}
