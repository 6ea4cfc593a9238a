//! Certificates, servers, and the wire between them and a layer.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::tls::ClientIdentity;
use probity_tls::{
    ClientConfig, Event, Layer, TimeProvider, TlsFailure, TlsInfo, TlsOptions, UnixTime,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

/// 2025-06-15 00:00:00 UTC: what time it is in every test.
pub(crate) const NOW: u64 = 1_749_945_600;
/// 2030-01-01, the default end of every certificate made here.
pub(crate) const END: i64 = 1_893_456_000;
/// Most steps that any exchange may take.
const STEPS: usize = 64;

/// A calendar day, for certificates.
pub(crate) type Day = (i32, u8, u8);

#[derive(Debug)]
pub(crate) struct Clock(pub(crate) u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

pub(crate) fn client(options: &TlsOptions) -> ClientConfig {
    ClientConfig::new(options, Arc::new(Clock(NOW))).expect("usable options")
}

/// Options that trust `ca` alone.
pub(crate) fn trusting(ca: &Certificate) -> TlsOptions {
    TlsOptions {
        ca: Some(ca.pem().into_bytes().into()),
        ..TlsOptions::default()
    }
}

pub(crate) fn params(common_name: &str, names: &[&str], from: Day, to: Day) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params
}

pub(crate) fn leaf_params(names: &[&str]) -> CertificateParams {
    params("leaf", names, (2020, 1, 1), (2030, 1, 1))
}

pub(crate) fn ca_params(common_name: &str, to: Day) -> CertificateParams {
    let mut params = params(common_name, &[], (2020, 1, 1), to);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// A root that ends in 2040.
pub(crate) fn root() -> Ca {
    CertifiedIssuer::self_signed(ca_params("root", (2040, 1, 1)), key()).expect("a root")
}

pub(crate) fn der(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.der().clone()
}

/// What a server presents and insists on.
pub(crate) struct Server {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<dyn SigningKey>,
    /// The one version it speaks; `None` is all.
    pub(crate) only: Option<&'static SupportedProtocolVersion>,
    pub(crate) alpn: Vec<Vec<u8>>,
    /// Who judges clients, if they are asked for a certificate.
    pub(crate) clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Server {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self {
            chain,
            key: signing(PrivateKeyDer::try_from(key.serialize_der()).expect("a private key")),
            only: None,
            alpn: Vec::new(),
            clients: None,
        }
    }

    /// A server whose certificate `params` was issued by `ca`.
    pub(crate) fn issued(params: &CertificateParams, ca: &Ca) -> Self {
        let key = key();
        let leaf = params.signed_by(&key, ca).expect("a certificate");
        Self::new(vec![der(&leaf)], &key)
    }

    pub(crate) fn start(self) -> ServerConnection {
        let provider = Arc::new(ring::default_provider());
        let versions = self
            .only
            .map_or(rustls::ALL_VERSIONS.to_vec(), |only| vec![only]);
        let builder =
            ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Clock(NOW)))
                .with_protocol_versions(&versions)
                .expect("versions");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients),
        };
        let pair = CertifiedKey::new(self.chain, self.key);
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = self.alpn;
        ServerConnection::new(Arc::new(config)).expect("a server")
    }
}

/// A key as ring signs with it.
pub(crate) fn signing(key: PrivateKeyDer<'_>) -> Arc<dyn SigningKey> {
    ring::sign::any_supported_type(&key).expect("a signing key")
}

/// rustls' own judge, for clients of `ca`.
pub(crate) fn clients_of(ca: &Certificate) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(der(ca)).expect("a CA");
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .expect("a verifier")
}

/// A key pair and certificate for the client, issued by `ca`.
pub(crate) fn identity(ca: &Ca) -> ClientIdentity {
    let key = key();
    let cert = leaf_params(&["client"]).signed_by(&key, ca).expect("cert");
    ClientIdentity {
        cert: cert.pem().into_bytes().into(),
        key: key.serialize_pem().into_bytes().into(),
    }
}

/// All that a layer has said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) secured: Vec<Arc<TlsInfo>>,
    pub(crate) data: Vec<u8>,
    pub(crate) closed: usize,
    pub(crate) failure: Option<TlsFailure>,
}

impl Heard {
    /// Feeds `bytes` in pieces of `piece`, until the layer fails.
    pub(crate) fn feed(
        &mut self,
        layer: &mut Layer,
        bytes: &[u8],
        piece: usize,
        out: &mut Vec<u8>,
    ) {
        for part in bytes.chunks(piece) {
            if self.failure.is_some() {
                return;
            }
            let Self {
                secured,
                data,
                closed,
                ..
            } = self;
            let result = layer.receive(&mut part.to_vec(), out, |event| match event {
                Event::Secured(info) => {
                    assert!(data.is_empty() && *closed == 0, "secured comes first");
                    secured.push(info);
                }
                Event::Data(bytes) => {
                    assert!(!secured.is_empty() && !bytes.is_empty());
                    data.extend_from_slice(bytes);
                }
                Event::PeerClosed => *closed += 1,
            });
            self.failure = result.err();
        }
    }

    pub(crate) fn info(&self) -> &TlsInfo {
        assert_eq!(self.secured.len(), 1, "secured once: {self:?}");
        &self.secured[0]
    }

    pub(crate) fn chain(&self) -> &probity_tls::ChainInfo {
        self.info().chain.as_deref().expect("a chain")
    }

    pub(crate) fn failed(&self) -> &TlsFailure {
        self.failure.as_ref().expect("a failure")
    }
}

/// Two ends of a wire.
pub(crate) struct Wire {
    pub(crate) layer: Layer,
    pub(crate) server: ServerConnection,
    pub(crate) heard: Heard,
    /// What the server complained of.
    pub(crate) server_error: Option<rustls::Error>,
    /// Bytes on their way to the server.
    pub(crate) to_server: Vec<u8>,
    /// Size of the pieces in which the layer gets its bytes.
    pub(crate) piece: usize,
}

impl Wire {
    pub(crate) fn new(config: &ClientConfig, name: &str, server: Server) -> Self {
        let mut layer = Layer::new(config, name).expect("a layer");
        let mut to_server = Vec::new();
        layer.start(&mut to_server).expect("a hello");
        assert!(!to_server.is_empty());
        Self {
            layer,
            server: server.start(),
            heard: Heard::default(),
            server_error: None,
            to_server,
            piece: usize::MAX,
        }
    }

    /// Carries bytes until nobody has any.
    pub(crate) fn settle(&mut self) -> &mut Self {
        for _ in 0..STEPS {
            let to_server = std::mem::take(&mut self.to_server);
            let mut rest = &to_server[..];
            while !rest.is_empty() && self.server_error.is_none() {
                self.server.read_tls(&mut rest).expect("memory");
                self.server_error = self.server.process_new_packets().err();
            }
            let mut to_client = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut to_client).expect("memory");
            }
            if to_server.is_empty() && to_client.is_empty() {
                return self;
            }
            self.heard
                .feed(&mut self.layer, &to_client, self.piece, &mut self.to_server);
        }
        panic!("no end after {STEPS} steps");
    }
}

/// One whole handshake.
pub(crate) fn handshake(options: &TlsOptions, name: &str, server: Server) -> Wire {
    let mut wire = Wire::new(&client(options), name, server);
    wire.settle();
    wire
}
