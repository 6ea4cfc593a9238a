//! TLS as the engine sees it: a handshake that succeeds with facts, or fails
//! with a reason. No bytes are encrypted; the real layer has its own tests.

use std::sync::Arc;

use probity_engine::tls::{ChainInfo, TlsFailure, TlsInfo, TlsOptions, TlsParams};
use probity_engine::{Closed, Reason};

/// What a client says first.
#[derive(Debug)]
pub(crate) struct Hello {
    server_name: String,
    options: Arc<TlsOptions>,
}

impl Hello {
    pub(crate) fn new(params: &TlsParams<'_>) -> Self {
        Self {
            server_name: params.server_name.into(),
            options: Arc::clone(params.options),
        }
    }
}

/// What a server does with a handshake.
#[derive(Clone, Debug)]
pub enum Tls {
    /// It completes it with this certificate.
    Speaks(Certificate),
    /// It never answers.
    Silent,
    /// It says no: handshake_failure.
    Alert,
    /// It resets the connection.
    Resets,
}

/// What is wrong with a certificate, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    Good,
    /// Its time is over.
    Expired,
    /// Nobody trusts it.
    SelfSigned,
    /// It is for somebody else.
    OtherName,
}

/// Unix time at which certificates end: the expired one 1970-01-02, the others
/// 2100-01-01.
const EXPIRED: i64 = 86_400;
const VALID: i64 = 4_102_444_800;

impl Tls {
    /// How a handshake with a server that speaks `protocol` ends, or `None` if
    /// it never does.
    pub(crate) fn shake(
        &self,
        hello: &Hello,
        protocol: &[u8],
    ) -> Option<Result<Arc<TlsInfo>, Closed>> {
        let certificate = match self {
            Self::Silent => return None,
            Self::Resets => return Some(Err(Closed::Reset)),
            Self::Alert => {
                let detail = "the peer sent the alert handshake_failure";
                return Some(Err(failure(Reason::TlsAlert, detail, None)));
            }
            Self::Speaks(certificate) => *certificate,
        };
        let info = Arc::new(info(certificate, hello, protocol));
        let (reason, detail) = match certificate {
            _ if hello.options.skip_verify => return Some(Ok(info)),
            Certificate::Good => return Some(Ok(info)),
            Certificate::Expired => (
                Reason::TlsCertificateExpired,
                "the certificate expired on 1970-01-02",
            ),
            Certificate::SelfSigned => (
                Reason::TlsUnknownIssuer,
                "the certificate is signed by itself and not trusted",
            ),
            Certificate::OtherName => (
                Reason::TlsNameMismatch,
                "the certificate is for other.example",
            ),
        };
        Some(Err(failure(reason, detail, Some(info))))
    }

    /// How a handshake with a server that does not speak TLS ends.
    pub(crate) fn not_tls() -> Closed {
        failure(
            Reason::TlsNotTls,
            "expected a TLS handshake, found something else",
            None,
        )
    }
}

fn failure(reason: Reason, detail: &str, info: Option<Arc<TlsInfo>>) -> Closed {
    let detail = detail.into();
    Closed::Tls(Box::new(TlsFailure {
        reason,
        detail,
        info,
    }))
}

fn info(certificate: Certificate, hello: &Hello, protocol: &[u8]) -> TlsInfo {
    let end = match certificate {
        Certificate::Expired => EXPIRED,
        _ => VALID,
    };
    let subject = match certificate {
        Certificate::OtherName => "CN=other.example".into(),
        _ => format!("CN={}", hello.server_name),
    };
    TlsInfo {
        version: "TLS 1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        alpn: {
            let mut offered = hello.options.alpn.iter();
            offered.find(|offered| ***offered == *protocol).cloned()
        },
        chain: Some(Box::new(ChainInfo {
            earliest_expiry: end,
            chain_expiry: (certificate == Certificate::Good).then_some(end),
            fingerprint_sha256: "00".repeat(32),
            issuer: subject.clone(),
            subject_alternative: subject.trim_start_matches("CN=").into(),
            subject,
            serial: "01".into(),
        })),
    }
}
