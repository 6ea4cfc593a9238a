//! Full handshakes of TLS 1.3: the driver beside rustls on a pipe of memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme,
};

use crate::Plan;
use crate::cpu;
use crate::engine::{interval, run, specs};
use crate::farm::{self, Farm};
use crate::report::{Bar, Report, median};

/// Both accept the certificate without looking where it comes from, and verify
/// the handshake's signature.
const MODULE: &str =
    r#"{"prober":"tcp","tcp":{"tls":true,"tls_config":{"insecure_skip_verify":true}}}"#;

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let (mut alone, mut ours, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut user, mut user_parts) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let bare = memory_pipe(plan.round)?;
        // A connection, and the kernel's part, come on top of a handshake.
        let interval = interval(plan.in_flight, 1e6 / (bare + 100.0));
        let changes = specs(
            MODULE,
            &farm.places.tls,
            plan.in_flight,
            interval,
            Duration::from_secs(5),
        )?;
        let (done, used, _) = run(plan.round, changes)?;
        let engine = used.cpu * 1e6 / done as f64;
        alone.push(bare);
        ours.push(engine);
        parts.push(bare / engine);
        user.push(engine * used.user_part);
        user_parts.push(bare / (engine * used.user_part));
    }
    report.add(
        "tls: CPU per handshake, rustls alone",
        median(alone),
        "us",
        Bar::None,
    );
    report.add(
        "tls: CPU per handshake, engine",
        median(ours),
        "us",
        Bar::None,
    );
    report.add(
        "tls: CPU per handshake, engine, in user space",
        median(user),
        "us",
        Bar::None,
    );
    // What the sockets take is the kernel's, which rustls alone has none of.
    report.add(
        "tls: handshakes per CPU in user space, engine / rustls alone",
        median(user_parts),
        "",
        Bar::None,
    );
    report.add(
        "tls: handshakes per CPU, engine / rustls alone",
        median(parts),
        "",
        Bar::AtLeast(0.85),
    );
    Ok(())
}

/// Microseconds of CPU that the client's half of a handshake takes.
fn memory_pipe(round: Duration) -> Result<f64, String> {
    let client = client_config()?;
    let server = farm::server_config()?;
    let (mut spent, mut done) = (Duration::ZERO, 0u32);
    let end = Instant::now() + round;
    while Instant::now() < end {
        let mut theirs = ServerConnection::new(Arc::clone(&server)).map_err(|e| e.to_string())?;
        let begun = cpu::thread_time();
        let name = "load.test".try_into().map_err(|_| "a name")?;
        let mut ours =
            ClientConnection::new(Arc::clone(&client), name).map_err(|e| e.to_string())?;
        spent += cpu::thread_time() - begun;
        let mut wire = Vec::new();
        while ours.is_handshaking() || theirs.is_handshaking() {
            let begun = cpu::thread_time();
            while ours.wants_write() {
                ours.write_tls(&mut wire).map_err(|e| e.to_string())?;
            }
            spent += cpu::thread_time() - begun;
            feed(&mut wire, |bytes| theirs.read_tls(bytes))?;
            theirs.process_new_packets().map_err(|e| e.to_string())?;
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).map_err(|e| e.to_string())?;
            }
            let begun = cpu::thread_time();
            feed(&mut wire, |bytes| ours.read_tls(bytes))?;
            ours.process_new_packets().map_err(|e| e.to_string())?;
            spent += cpu::thread_time() - begun;
        }
        done += 1;
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(done))
}

fn feed(
    wire: &mut Vec<u8>,
    mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>,
) -> Result<(), String> {
    let mut bytes = &wire[..];
    while !bytes.is_empty() {
        read(&mut bytes).map_err(|error| error.to_string())?;
    }
    wire.clear();
    Ok(())
}

/// What the module above asks for: any certificate, but a right signature, and
/// nothing resumed.
fn client_config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
