//! From rustls' errors to reasons and sentences.

use probity_engine::Reason;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::config::Versions;
use crate::key::Key;
use crate::rejection::Rejection;
use crate::text::{clean, hex};

/// How much of a plain-text answer is quoted, in characters.
const QUOTE: usize = 60;

/// Bytes of the longest handshake message that rustls reads. TLS allows certificates
/// 256 times as many, and Go reads 4 times as many.
const MAX_MESSAGE: usize = 0xffff;

/// What is known about a connection when it fails.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// The server's first bytes, if not one record of them was accepted.
    pub(crate) first_bytes: Option<&'a [u8]>,
    /// Why the certificates were refused, if they were.
    pub(crate) rejection: Option<&'a Rejection>,
    /// The key in the server's certificate.
    pub(crate) key: Option<&'a Key>,
    /// Whether the server has sent no certificates yet.
    pub(crate) is_before_certificates: bool,
    /// The versions that were offered.
    pub(crate) versions: Versions,
}

/// The reason and one sentence for `error`.
pub(crate) fn classify(error: &Error, scene: &Scene<'_>) -> (Reason, String) {
    match error {
        Error::AlertReceived(alert) => from_alert(*alert, scene.versions),
        Error::PeerIncompatible(why) => (
            Reason::TlsIncompatible,
            incompatibility(why, scene.versions),
        ),
        Error::InvalidCertificate(error) => from_certificate(error, scene),
        Error::NoCertificatesPresented => (
            Reason::TlsCertificateInvalid,
            "the server sent no certificate".into(),
        ),
        Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)
            if scene.is_before_certificates && scene.first_bytes.is_none_or(is_hello) =>
        {
            (
                Reason::LocalBound,
                format!(
                    "the server's certificates are more than the {MAX_MESSAGE} bytes that are read here: give it one with fewer names, or fewer of them"
                ),
            )
        }
        Error::InvalidMessage(message) => from_message(message, scene),
        Error::DecryptError => (
            Reason::TlsHandshake,
            "a record from the server could not be decrypted".into(),
        ),
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            (Reason::LocalTls, error.to_string())
        }
        other => (
            Reason::TlsHandshake,
            format!(
                "the server broke the TLS protocol: {}",
                clean(&other.to_string(), 200)
            ),
        ),
    }
}

/// Whether `bytes` can be the beginning of a TLS record: a content type from
/// 20 to 24 and major version 3 (RFC 8446 section 5.1, RFC 6520).
pub(crate) fn may_be_tls(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|kind| (20..=24).contains(kind))
        && bytes.get(1).is_none_or(|major| *major == 3)
}

/// Whether `bytes` begin with a record with a ServerHello of less than 64 KiB
/// (RFC 8446 section 4): what is too large after it are the certificates.
fn is_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 3, _, _, _, 2, 0, ..])
}

/// The sentence for a server that answered something else than TLS.
pub(crate) fn not_tls(bytes: &[u8]) -> String {
    let line = bytes
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let is_text = !line.is_empty()
        && line
            .iter()
            .all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    if is_text {
        let quote = clean(&String::from_utf8_lossy(line), QUOTE);
        format!("the server answered \"{quote}\" in plain text, not in TLS")
    } else {
        let shown = &bytes[..bytes.len().min(16)];
        format!(
            "the server's answer is not a TLS record: it begins with the bytes {}",
            hex(shown)
        )
    }
}

fn from_message(message: &InvalidMessage, scene: &Scene<'_>) -> (Reason, String) {
    match scene.first_bytes {
        Some(bytes) if !may_be_tls(bytes) => (Reason::TlsNotTls, not_tls(bytes)),
        _ => (
            Reason::TlsHandshake,
            format!(
                "the server sent a malformed TLS message: {}",
                clean(&format!("{message:?}"), 200)
            ),
        ),
    }
}

fn from_certificate(error: &CertificateError, scene: &Scene<'_>) -> (Reason, String) {
    if let Some(rejection) = scene.rejection {
        return (rejection.reason, rejection.detail.clone());
    }
    // The certificates were accepted, so it is the handshake's signature.
    if let Some(key) = scene.key
        && let Some(expected) = key.expected()
    {
        let detail = format!("the server's certificate has {key}, and {expected} accepted");
        return (Reason::TlsCertificateInvalid, detail);
    }
    let detail = match (error, scene.key) {
        (CertificateError::BadSignature, Some(key)) => format!(
            "the handshake's signature is not one of the key in the server's certificate, {key}: the server signs with another private key"
        ),
        (other, _) => format!(
            "the handshake's signature cannot be verified: {}",
            clean(&other.to_string(), 200)
        ),
    };
    (Reason::TlsCertificateInvalid, detail)
}

fn incompatibility(why: &PeerIncompatible, versions: Versions) -> String {
    use PeerIncompatible as P;
    match why {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired => {
            format!("the server chose a TLS version that was not offered ({versions} was)")
        }
        P::NoCipherSuitesInCommon => "no cipher suite in common with the server".into(),
        P::NoKxGroupsInCommon => "no key exchange group in common with the server".into(),
        P::NoSignatureSchemesInCommon => "no signature scheme in common with the server".into(),
        P::NoCertificateRequestSignatureSchemesInCommon => {
            "the client certificate's key fits none of the signature schemes the server accepts"
                .into()
        }
        other => format!(
            "the server lacks a TLS feature that is needed: {}",
            clean(&format!("{other:?}"), 200)
        ),
    }
}

fn from_alert(alert: AlertDescription, versions: Versions) -> (Reason, String) {
    let code = u8::from(alert);
    let (name, hint) = alert_words(alert);
    let mut detail = format!("the server sent the alert {name} ({code})");
    let reason = match alert {
        AlertDescription::ProtocolVersion => {
            detail.push_str(&format!(": it does not speak {versions}"));
            Reason::TlsIncompatible
        }
        AlertDescription::InsufficientSecurity => Reason::TlsIncompatible,
        _ => Reason::TlsAlert,
    };
    if !hint.is_empty() {
        detail.push_str(": ");
        detail.push_str(hint);
    }
    (reason, detail)
}

/// Name of an alert (RFC 8446 section 6, older ones from RFC 5246 section 7.2)
/// and what it usually means to somebody who probes.
fn alert_words(alert: AlertDescription) -> (&'static str, &'static str) {
    use AlertDescription as A;
    match alert {
        A::CloseNotify => ("close_notify", ""),
        A::UnexpectedMessage => ("unexpected_message", ""),
        A::BadRecordMac => ("bad_record_mac", ""),
        A::RecordOverflow => ("record_overflow", ""),
        A::HandshakeFailure => (
            "handshake_failure",
            "it accepts no offered cipher suite, or wants a client certificate",
        ),
        A::BadCertificate => ("bad_certificate", "it refuses the client certificate"),
        A::UnsupportedCertificate => (
            "unsupported_certificate",
            "it refuses the client certificate",
        ),
        A::CertificateRevoked => (
            "certificate_revoked",
            "it says the client certificate is revoked",
        ),
        A::CertificateExpired => (
            "certificate_expired",
            "it says the client certificate has expired",
        ),
        A::CertificateUnknown => ("certificate_unknown", "it refuses the client certificate"),
        A::IllegalParameter => ("illegal_parameter", ""),
        A::UnknownCA => (
            "unknown_ca",
            "it does not know the issuer of the client certificate",
        ),
        A::AccessDenied => ("access_denied", "it does not admit the client certificate"),
        A::DecodeError => ("decode_error", ""),
        A::DecryptError => ("decrypt_error", ""),
        A::ProtocolVersion => ("protocol_version", ""),
        A::InsufficientSecurity => (
            "insufficient_security",
            "it wants stronger ciphers than were offered",
        ),
        A::InternalError => ("internal_error", "it has a problem of its own"),
        A::InappropriateFallback => ("inappropriate_fallback", ""),
        A::UserCanceled => ("user_canceled", ""),
        A::NoRenegotiation => ("no_renegotiation", ""),
        A::MissingExtension => ("missing_extension", ""),
        A::UnsupportedExtension => ("unsupported_extension", ""),
        A::UnrecognisedName => ("unrecognized_name", "it does not serve the requested name"),
        A::BadCertificateStatusResponse => ("bad_certificate_status_response", ""),
        A::UnknownPSKIdentity => ("unknown_psk_identity", ""),
        A::CertificateRequired => ("certificate_required", "it wants a client certificate"),
        A::NoApplicationProtocol => (
            "no_application_protocol",
            "it speaks none of the offered ALPN protocols",
        ),
        _ => ("unknown", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_answers_are_quoted_and_others_shown_in_hex() {
        for (bytes, expected) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\nServer: x"[..],
                "the server answered \"HTTP/1.1 400 Bad Request\" in plain text, not in TLS",
            ),
            (
                b"SSH-2.0-OpenSSH_9.2\r\n",
                "the server answered \"SSH-2.0-OpenSSH_9.2\" in plain text, not in TLS",
            ),
            (
                b"\x00\x01\xffabc",
                "the server's answer is not a TLS record: it begins with the bytes 0001ff616263",
            ),
            (
                b"\n",
                "the server's answer is not a TLS record: it begins with the bytes 0a",
            ),
        ] {
            assert!(!may_be_tls(bytes));
            assert_eq!(not_tls(bytes), expected);
        }
    }

    #[test]
    fn the_beginning_of_a_record_may_be_tls() {
        for bytes in [&b""[..], b"\x16", b"\x15\x03", b"\x16\x03\x01\x00"] {
            assert!(may_be_tls(bytes));
        }
        assert!(!may_be_tls(b"\x16\x02"));
    }
}
