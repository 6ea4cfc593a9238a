//! Why certificates are refused, in words.

use std::fmt;

use probity_engine::Reason;
use rustls::pki_types::ServerName;

use crate::certificate::Certificate;
use crate::purpose::Purpose;
use crate::roots::{Origin, Root};
use crate::text::{clean, date, list, span};
use crate::verifier::{Case, MAX_INTERMEDIATES};

/// How many of a certificate's names a sentence lists.
const NAMES: usize = 5;

/// A judgement against somebody's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// One of the `tls_*` reasons that speak of certificates.
    pub(crate) reason: Reason,
    /// One sentence: what was expected and what was found.
    pub(crate) detail: String,
}

impl Rejection {
    fn new(reason: Reason, detail: String) -> Self {
        Self { reason, detail }
    }

    pub(crate) fn invalid(detail: String) -> Self {
        Self::new(Reason::TlsCertificateInvalid, detail)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Rejection {}

/// Whether `now` is within the dates of `what`; both ends belong to the
/// validity (RFC 5280 section 4.1.2.5).
pub(crate) fn check_dates(
    what: &str,
    not_before: i64,
    not_after: i64,
    now: i64,
    label: impl FnOnce() -> String,
) -> Result<(), Rejection> {
    if now > not_after {
        return Err(Rejection::new(
            Reason::TlsCertificateExpired,
            format!(
                "{what} expired on {} ({} ago): {}",
                date(not_after),
                span(now.abs_diff(not_after)),
                label()
            ),
        ));
    }
    if now < not_before {
        return Err(Rejection::new(
            Reason::TlsCertificateNotYetValid,
            format!(
                "{what} is not valid before {} (in {}): {}",
                date(not_before),
                span(not_before.abs_diff(now)),
                label()
            ),
        ));
    }
    Ok(())
}

/// The leaf does not parse.
pub(crate) fn unreadable(purpose: Purpose, der: &[u8]) -> Rejection {
    let who = purpose.who();
    Rejection::invalid(format!(
        "the {who}'s certificate ({} bytes) is not readable X.509",
        der.len()
    ))
}

/// The leaf parses, but webpki will not look at it.
pub(crate) fn unusable(error: &webpki::Error, leaf: &Certificate<'_>) -> Rejection {
    let what = match error {
        webpki::Error::UnsupportedCertVersion => format!(
            "is of X.509 version {}, and only version 3 can be verified",
            leaf.version()
        ),
        webpki::Error::UnsupportedCriticalExtension => {
            "has a critical extension that is not known".into()
        }
        other => format!("is malformed ({other})"),
    };
    Rejection::invalid(format!("certificate {what}: {}", leaf.label()))
}

/// The leaf is for other names.
pub(crate) fn wrong_name(leaf: &Certificate<'_>, expected: &ServerName<'_>) -> Rejection {
    let names = leaf.names();
    let expected = clean(&expected.to_str(), 255);
    let detail = if names.is_empty() {
        format!(
            "certificate has no DNS name or IP address, so it is not for {expected}: {}",
            leaf.label()
        )
    } else {
        format!(
            "certificate is for {}, not for {expected}",
            list(&names, NAMES)
        )
    };
    Rejection::new(Reason::TlsNameMismatch, detail)
}

/// The leaf is for none of the names that are let in.
pub(crate) fn not_allowed(leaf: &Certificate<'_>) -> Rejection {
    let names = leaf.written_names().map(|name| clean(&name, 255));
    let names = match names.collect::<Vec<_>>() {
        names if names.is_empty() => "no name".into(),
        names => list(&names, NAMES),
    };
    let label = leaf.label();
    Rejection::invalid(format!(
        "certificate is for {names}, and for none that is allowed: {label}"
    ))
}

/// The leaf's extended key usage excludes its purpose.
pub(crate) fn not_for(purpose: Purpose, leaf: &Certificate<'_>) -> Rejection {
    unserving("certificate", purpose, &leaf.label())
}

fn unserving(what: &str, purpose: Purpose, label: &str) -> Rejection {
    let who = purpose.who();
    Rejection::invalid(format!(
        "{what} is not for {who}s (its extended key usage lacks {who}Auth): {label}"
    ))
}

/// What Go asks of a chain and webpki does not: whether each of `between` may
/// sign, and whether `root` may have issued a certificate for `purpose` through
/// that many others, at `now` (`CheckSignatureFrom`, `isValid`,
/// `checkChainForKeyUsage`).
pub(crate) fn check_path(
    purpose: Purpose,
    root: &Root,
    between: &[&Certificate<'_>],
    now: i64,
) -> Result<(), Rejection> {
    if let Some(cert) = between.iter().find(|cert| !cert.is_issuer()) {
        return Err(Rejection::invalid(format!(
            "intermediate certificate may not issue others: {}",
            cert.label()
        )));
    }
    if !root.is_issuer {
        return Err(Rejection::new(
            Reason::TlsUnknownIssuer,
            format!(
                "certificate's issuer is trusted itself, but is not a CA's that may issue others: {}",
                root.label()
            ),
        ));
    }
    check_dates("root", root.not_before, root.not_after, now, || {
        root.label()
    })?;
    if !root.serves {
        return Err(unserving("root", purpose, &root.label()));
    }
    let allowed = root.path_length.map_or(u64::MAX, u64::from);
    if between.len() as u64 > allowed {
        return Err(Rejection::invalid(format!(
            "certificate chain is longer than its root allows ({} certificates between root and leaf, at most {allowed} allowed): {}",
            between.len(),
            root.label()
        )));
    }
    Ok(())
}

/// webpki found no chain.
pub(crate) fn no_chain(
    error: &webpki::Error,
    case: &Case<'_>,
    leaf: &Certificate<'_>,
) -> Rejection {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } | E::CertNotValidYet { .. } => out_of_dates(case, error, leaf),
        // The last: a signature of another kind than the key of who is named as its issuer,
        // which has then not made it, or whose key is not accepted.
        E::UnknownIssuer
        | E::InvalidSignatureForPublicKey
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            unknown_issuer(error, case, leaf)
        }
        E::RequiredEkuNotFoundContext(_) => not_for(case.roots.purpose, leaf),
        other => Rejection::invalid(format!("{}: {}", complaint(other), leaf.label())),
    }
}

/// webpki says that something expired, but not what: look for it.
fn out_of_dates(case: &Case<'_>, error: &webpki::Error, leaf: &Certificate<'_>) -> Rejection {
    let now = i64::try_from(case.now.as_secs()).unwrap_or(i64::MAX);
    case.sent
        .others
        .iter()
        .find_map(|cert| {
            check_dates(
                "intermediate certificate",
                cert.not_before,
                cert.not_after,
                now,
                || cert.label(),
            )
            .err()
        })
        .unwrap_or_else(|| Rejection::invalid(format!("{}: {}", complaint(error), leaf.label())))
}

fn unknown_issuer(error: &webpki::Error, case: &Case<'_>, leaf: &Certificate<'_>) -> Rejection {
    let trusted = match (case.roots.len(), case.roots.origin) {
        (0, _) => "no system roots were found".to_owned(),
        (count, Origin::System) => format!("{count} system roots are trusted"),
        (1, Origin::Configured) => "1 configured CA certificate is trusted".to_owned(),
        (count, Origin::Configured) => format!("{count} configured CA certificates are trusted"),
    };
    let issuer = leaf.issuer_label();
    let sent = case.sent.others.len();
    let who = case.roots.purpose.who();
    let detail = if leaf.is_self_issued() {
        format!(
            "certificate is self-signed and not itself trusted ({trusted}): {}",
            leaf.label()
        )
    } else if !matches!(error, webpki::Error::UnknownIssuer) {
        let why = unaccepted_issuer(case, leaf).unwrap_or_else(|| {
            format!("a signature is not one of the key of the certificate that is named as its issuer (first issuer: {issuer})")
        });
        format!("certificate chain does not lead to a trusted root ({trusted}): {why}")
    } else if sent == 0 {
        format!(
            "certificate's issuer {issuer} is neither trusted ({trusted}) nor sent by the {who}"
        )
    } else {
        let bound = match case.intermediates(leaf).len() {
            MAX_INTERMEDIATES if sent > MAX_INTERMEDIATES => {
                format!("; at most {MAX_INTERMEDIATES} between leaf and root can be verified")
            }
            _ => String::new(),
        };
        format!(
            "certificate chain does not lead to a trusted root ({trusted}): the {who} sent {} certificates, the first issued by {issuer}{bound}",
            sent + 1
        )
    };
    Rejection::new(Reason::TlsUnknownIssuer, detail)
}

/// Words about the first certificate whose key cannot be accepted, among those
/// that are named as issuers on the way from the leaf.
fn unaccepted_issuer(case: &Case<'_>, leaf: &Certificate<'_>) -> Option<String> {
    let sent = case.intermediates(leaf);
    let mut issued = std::iter::once(leaf).chain(sent.iter().copied());
    let root = issued.find_map(|cert| {
        let mut roots = case.roots.named(cert.issuer());
        roots.find_map(|root| unaccepted_key(&root))
    });
    root.or_else(|| sent.into_iter().find_map(unaccepted_key))
}

fn unaccepted_key(cert: &Certificate<'_>) -> Option<String> {
    let key = cert.key();
    let expected = key.expected()?;
    Some(format!(
        "{} has {key}, and {expected} accepted",
        cert.label()
    ))
}

/// The rest of webpki's vocabulary, as far as a path can fail with it.
fn complaint(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let words = match error {
        E::EndEntityUsedAsCa => "certificate was issued by a certificate that is not a CA's",
        E::NameConstraintViolation => "certificate's names are not among those its CA may issue",
        E::PathLenConstraintViolated => "certificate chain is longer than its CA allows",
        E::EmptyEkuExtension => "certificate has an empty extended key usage",
        E::InvalidCertValidity => "certificate ends before it begins",
        E::UnsupportedCriticalExtension => {
            "certificate chain has a critical extension that is not known"
        }
        E::UnsupportedCertVersion => "certificate chain has a certificate that is not version 3",
        E::UnsupportedSignatureAlgorithmContext(_) => {
            "certificate chain is signed with an algorithm that is not accepted (SHA-1 is not)"
        }
        E::SignatureAlgorithmMismatch => "certificate names two different signature algorithms",
        E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            "certificate chain is too complex to be verified"
        }
        other => return format!("certificate chain is not valid ({other})"),
    };
    words.to_owned()
}
