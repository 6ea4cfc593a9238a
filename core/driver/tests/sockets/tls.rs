//! TLS servers with certificates of our own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use probity_engine::check::Module;
use probity_engine::{Outcome, Phase, Reason};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{OK, module, probe, server, start};

pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// The certificate as it stands in JSON.
    pub(crate) fn pem(&self) -> String {
        self.0.pem().replace('\n', "\\n")
    }

    /// A module of `prober` that trusts this CA.
    fn module(&self, prober: &str) -> Module {
        let pem = self.pem();
        let tls = if prober == "tcp" {
            r#""tls": true,"#
        } else {
            ""
        };
        module(&format!(
            r#"{{"prober": "{prober}", "{prober}": {{{tls} "tls_config": {{"ca": "{pem}"}}}}}}"#
        ))
    }

    /// What a server needs whose certificate is for 127.0.0.1 and expires at the
    /// end of `year`.
    pub(crate) fn config(&self, year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a server's configuration");
        Arc::new(config)
    }

    /// A server that answers HTTP requests, with a certificate for 127.0.0.1
    /// that expires at the end of `year`.
    pub(crate) fn server(&self, year: i32) -> SocketAddr {
        self.answering(year, |stream| {
            let _ = stream.write_all(OK);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        })
    }

    /// The same with an answer of its own.
    pub(crate) fn answering(
        &self,
        year: i32,
        answer: impl Fn(&mut StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
    ) -> SocketAddr {
        let config = self.config(year);
        server(move |stream| {
            let mut stream = accept(&config, stream);
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            if !head.is_empty() {
                answer(&mut stream);
            }
        })
    }
}

/// The server's side of a handshake, which takes place when it is used.
pub(crate) fn accept(
    config: &Arc<ServerConfig>,
    stream: TcpStream,
) -> StreamOwned<ServerConnection, TcpStream> {
    let tls = ServerConnection::new(Arc::clone(config)).expect("a connection");
    StreamOwned::new(tls, stream)
}

#[test]
fn a_handshake_succeeds_and_tells_of_the_certificate() {
    let (handle, ca) = (start(1), Ca::new());
    let target = ca.server(4095).to_string();
    let module = ca.module("tcp");
    for _ in 0..5 {
        let report = probe(&handle, &module, &target);
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
        assert!(report.phases.get(Phase::Tls).is_some());
        let tls = report.tls.expect("a handshake");
        assert_eq!(tls.version, "TLS 1.3");
        let chain = tls.chain.as_ref().expect("certificates");
        assert!(chain.chain_expiry.is_some());
    }
}

#[test]
fn https_is_answered() {
    let (handle, ca) = (start(1), Ca::new());
    let url = format!("https://{}/", ca.server(4095));
    let report = probe(&handle, &ca.module("http"), &url);
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

/// A body that is more than any socket buffer holds, to a server that takes its
/// time.
#[test]
fn a_large_body_is_sent_in_full() {
    const LENGTH: usize = 12 << 20;
    let (handle, ca) = (start(1), Ca::new());
    let target = ca.answering(4095, |stream| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut body = vec![0; LENGTH];
        stream.read_exact(&mut body).expect("the whole body");
        assert!(body.iter().all(|byte| *byte == b'b'));
        let _ = stream.write_all(OK);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    let (pem, body) = (ca.pem(), "b".repeat(LENGTH));
    let module = module(&format!(
        r#"{{"prober": "http", "http": {{"method": "POST", "body": "{body}", "enable_http2": false, "tls_config": {{"ca": "{pem}"}}}}}}"#
    ));
    let report = probe(&handle, &module, &format!("https://{target}/"));
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

/// Without a length and without close_notify the end of the connection is the
/// end of the body, but not in the middle of a record.
#[test]
fn a_body_that_is_cut_off_within_a_record_is_not_whole() {
    let (handle, ca) = (start(1), Ca::new());
    for (cut, whole) in [(0, true), (1, false)] {
        let address = ca.answering(4095, move |stream| {
            let plain = b"HTTP/1.1 200 OK\r\n\r\nall there is";
            for part in plain.chunks(plain.len() - 5) {
                let _ = stream.conn.writer().write_all(part);
                let mut records = Vec::new();
                while stream.conn.wants_write() {
                    let _ = stream.conn.write_tls(&mut records);
                }
                let last = part.len() == 5;
                let len = records.len() - if last { cut } else { 0 };
                let _ = stream.sock.write_all(&records[..len]);
            }
        });
        let report = probe(&handle, &ca.module("http"), &format!("https://{address}/"));
        let expected = match whole {
            true => Outcome::Success,
            false => Outcome::Failure(Reason::PeerReset),
        };
        assert_eq!(report.outcome, expected, "{}", report.detail);
    }
}

#[test]
fn an_expired_certificate_fails_and_still_has_a_date() {
    let (handle, ca) = (start(1), Ca::new());
    let report = probe(&handle, &ca.module("tcp"), &ca.server(2001).to_string());
    let expired = Outcome::Failure(Reason::TlsCertificateExpired);
    assert_eq!(report.outcome, expired, "{}", report.detail);
    let tls = report.tls.expect("what was learnt");
    assert!(tls.chain.as_ref().expect("certificates").earliest_expiry < 1_100_000_000);
}

#[test]
fn another_ca_is_not_trusted() {
    let (handle, ca) = (start(1), Ca::new());
    let report = probe(
        &handle,
        &Ca::new().module("tcp"),
        &ca.server(4095).to_string(),
    );
    let unknown = Outcome::Failure(Reason::TlsUnknownIssuer);
    assert_eq!(report.outcome, unknown, "{}", report.detail);
}

#[test]
fn a_port_without_tls_is_found_out() {
    let (handle, ca) = (start(1), Ca::new());
    let plain = server(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let report = probe(&handle, &ca.module("tcp"), &plain.to_string());
    let failure = Outcome::Failure(Reason::TlsNotTls);
    assert_eq!(report.outcome, failure, "{}", report.detail);
}

#[test]
fn a_server_that_leaves_during_the_handshake_has_failed_it() {
    let (handle, ca) = (start(1), Ca::new());
    let report = probe(&handle, &ca.module("tcp"), &server(drop).to_string());
    let failure = Outcome::Failure(Reason::TlsHandshake);
    assert_eq!(report.outcome, failure, "{}", report.detail);
}

#[test]
fn a_configuration_that_cannot_be_used_is_our_own_fault() {
    let handle = start(1);
    let module =
        module(r#"{"prober": "tcp", "tcp": {"tls": true, "tls_config": {"ca": "nonsense"}}}"#);
    let report = probe(&handle, &module, &Ca::new().server(4095).to_string());
    let unknown = Outcome::Unknown(Reason::LocalTls);
    assert_eq!(report.outcome, unknown, "{}", report.detail);
    let options = report.spec.check.tls().expect("TLS is asked for");
    let mistake = probity_driver::check_tls(options).expect_err("that is not PEM");
    assert!(mistake.starts_with("ca: "), "{mistake}");
}
