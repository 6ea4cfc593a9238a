//! Certificates, and peers that present them.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::peer::Peer;

/// The last year in which a certificate is good, unless it is to be expired.
const GOOD: i32 = 2090;

/// An authority and what it signs.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(name: &str, last_year: i32) -> CertificateParams {
    let mut params =
        CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).expect("valid names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2010, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// What a root says, but for its end.
fn root() -> CertificateParams {
    let mut params = params("scripted root", GOOD);
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Seconds of Unix time that are so far from now.
///
/// # Panics
/// If the clock is before 1970.
pub fn in_future(time: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    (now.expect("a clock that is set") + time).as_secs()
}

impl Authority {
    /// A root of its own.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn new() -> Self {
        Self(CertifiedIssuer::self_signed(root(), key()).expect("a root"))
    }

    /// Another root with the same name and key, which ends at this Unix time.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn renewed_until(&self, end: u64) -> Self {
        let mut params = root();
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        let key = KeyPair::from_pem(&self.0.key().serialize_pem()).expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    /// A certificate for `localhost` alone, which ends at this Unix time.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn localhost_until(&self, end: u64) -> Identity {
        let mut params = params("leaf", GOOD);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        params.subject_alt_names = CertificateParams::new(vec!["localhost".into()])
            .expect("a valid name")
            .subject_alt_names;
        self.sign_params(params)
    }

    /// The root as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1 that ends in 2090.
    pub fn good(&self) -> Identity {
        self.sign(GOOD)
    }

    /// A certificate for 127.0.0.1 that ended with the year 2020.
    pub fn expired(&self) -> Identity {
        self.sign(2021)
    }

    /// A certificate for these names (DNS names and addresses) with its key,
    /// both as PEM.
    ///
    /// # Panics
    /// If these are no names.
    pub fn pem_for(&self, names: &[&str]) -> (String, String) {
        let mut params = params("named", GOOD);
        let names = names.iter().map(|name| (*name).to_owned());
        params.subject_alt_names = CertificateParams::new(names.collect::<Vec<_>>())
            .expect("valid names")
            .subject_alt_names;
        let key = key();
        let leaf = params.signed_by(&key, &self.0).expect("a certificate");
        (leaf.pem(), key.serialize_pem())
    }

    /// A certificate for 127.0.0.1 that ends so long from now.
    ///
    /// # Panics
    /// If the clock is before 1970.
    pub fn ending_in(&self, time: Duration) -> Identity {
        let mut params = params("leaf", GOOD);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(in_future(time));
        self.sign_params(params)
    }

    fn sign(&self, last_year: i32) -> Identity {
        self.sign_params(params("leaf", last_year))
    }

    fn sign_params(&self, params: CertificateParams) -> Identity {
        let key = key();
        let leaf = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            chain: vec![leaf.der().clone()],
            key,
        }
    }
}

impl Identity {
    /// The same, sent together with a root.
    #[must_use]
    pub fn and(mut self, root: &Authority) -> Self {
        self.chain.push(root.0.der().clone());
        self
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// When [`Authority::expired`] ended, in Unix seconds: 2021-01-01.
pub const EXPIRED: f64 = 1_609_459_200.0;

/// A certificate that vouches for itself.
///
/// # Panics
/// If there is no randomness.
pub fn self_signed() -> Identity {
    let key = key();
    let leaf = params("itself", GOOD)
        .self_signed(&key)
        .expect("a certificate");
    Identity {
        chain: vec![leaf.der().clone()],
        key,
    }
}

/// The same with its key, both as PEM.
///
/// # Panics
/// If there is no randomness.
pub fn self_signed_pem() -> (String, String) {
    let key = key();
    let leaf = params("itself", GOOD).self_signed(&key);
    (leaf.expect("a certificate").pem(), key.serialize_pem())
}

/// A peer that completes a handshake, reads a request and answers 200.
///
/// # Panics
/// If it cannot listen.
pub fn peer(identity: Identity) -> Peer {
    peer_of(identity, rustls::DEFAULT_VERSIONS)
}

/// The same with these versions of TLS.
///
/// # Panics
/// If it cannot listen.
pub fn peer_of(identity: Identity, versions: &[&'static rustls::SupportedProtocolVersion]) -> Peer {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a private key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(identity.chain, key)
        })
        .expect("a server's configuration");
    let config = Arc::new(config);
    Peer::new(move |mut conn| {
        let mut server = ServerConnection::new(Arc::clone(&config)).expect("a server");
        let mut bytes = [0; 4096];
        let mut stream = Stream::new(&mut server, &mut conn.stream);
        // A client that refuses the certificate, or that speaks something
        // else, ends it here; the alert has been sent then.
        if stream.read(&mut bytes).is_ok() {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        conn.drain();
    })
}
