//! What a check says about TLS, and what it learns from a handshake.
//!
//! The engine does no cryptography. A check asks for a connection to be
//! secured with [`TlsParams`]; whoever carries the bytes (the driver through
//! `probity-tls`, a simulator, a C host with its own library) answers with
//! [`TlsInfo`] or with a [`TlsFailure`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::outcome::Reason;

/// A version of TLS that can be asked for.
///
/// TLS 1.0 and 1.1 are absent: no maintained sans-IO implementation has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// The name as blackbox_exporter prints it: `TLS 1.2`, `TLS 1.3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }
}

/// How to secure connections: plain data, shared by every target of a module.
///
/// PEM is carried as bytes and is parsed by the TLS layer, which reports
/// unusable material before the first probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// PEM certificates to trust *instead of* the system's roots.
    pub ca: Option<Box<[u8]>>,
    /// PEM certificate chain and private key to present to the server.
    pub client: Option<ClientIdentity>,
    /// Accept any certificate. Its dates and names are still reported.
    pub skip_verify: bool,
    /// Lowest version to offer; `None` is TLS 1.2.
    pub min_version: Option<TlsVersion>,
    /// Highest version to offer; `None` is TLS 1.3.
    pub max_version: Option<TlsVersion>,
    /// Protocols to offer by ALPN (RFC 7301), in order of preference.
    pub alpn: Vec<Box<[u8]>>,
}

impl TlsOptions {
    /// Lowest and highest version to offer.
    pub fn versions(&self) -> (TlsVersion, TlsVersion) {
        (
            self.min_version.unwrap_or(TlsVersion::Tls12),
            self.max_version.unwrap_or(TlsVersion::Tls13),
        )
    }
}

/// A client certificate: both halves in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// Certificate chain, leaf first.
    pub cert: Box<[u8]>,
    /// Private key: PKCS#8, PKCS#1 or SEC1.
    pub key: Box<[u8]>,
}

impl core::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ClientIdentity(<secret>)")
    }
}

/// One request to secure a connection.
#[derive(Clone, Copy, Debug)]
pub struct TlsParams<'a> {
    /// Name to verify and, if it is a DNS name, to send as SNI (RFC 6066
    /// section 3: an IP literal is verified but not sent).
    pub server_name: &'a str,
    /// The rest. Compared by pointer: one `Arc` is one TLS configuration.
    pub options: &'a Arc<TlsOptions>,
}

/// What a handshake showed. Seconds are Unix time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLS 1.3`; empty when the handshake ended before a version was agreed.
    pub version: &'static str,
    /// IANA name of the cipher suite; empty when none was agreed.
    pub cipher: &'static str,
    /// ALPN protocol that the server chose.
    pub alpn: Option<Box<[u8]>>,
    /// The certificates that the server sent; `None` when it sent none or the
    /// first does not parse.
    pub chain: Option<Box<ChainInfo>>,
}

/// Facts about the certificates that a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// Smallest NotAfter over all certificates sent.
    pub earliest_expiry: i64,
    /// Largest, over all verified chains (root included), of the smallest
    /// NotAfter in the chain; `None` when nothing was verified.
    pub chain_expiry: Option<i64>,
    /// SHA-256 of the leaf's DER, lower-case hex.
    pub fingerprint_sha256: String,
    /// RFC 2253 style subject, as Go's `pkix.Name.String` prints it.
    pub subject: String,
    /// Issuer, likewise.
    pub issuer: String,
    /// DNS names of the leaf, comma-separated.
    pub subject_alternative: String,
    /// Serial number, lower-case hex of whole bytes.
    pub serial: String,
}

/// Why a connection could not be secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// One of the `tls_*` reasons, or that of a proxy around it; `local_bound` if the
    /// handshake is beyond a bound of the layer's.
    pub reason: Reason,
    /// One sentence for a person: what was expected and what was found.
    pub detail: String,
    /// What was learnt before it failed: an expired certificate still has a date.
    pub info: Option<Arc<TlsInfo>>,
}

impl core::fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl core::error::Error for TlsFailure {}
