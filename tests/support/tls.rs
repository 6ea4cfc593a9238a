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

impl Authority {
    /// A root of its own.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn new() -> Self {
        let mut params = params("scripted root", GOOD);
        params.subject_alt_names.clear();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("a root"))
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
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut params = params("leaf", GOOD);
        params.not_after = date_time_ymd(1970, 1, 1) + (now.expect("a clock that is set") + time);
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
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a private key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
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
