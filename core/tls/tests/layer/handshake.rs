//! Versions, names, ALPN and client certificates.

use probity_engine::Reason;
use probity_engine::tls::ClientIdentity;
use probity_tls::{Eof, Layer, NotOpen, TlsOptions, TlsVersion};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

use crate::common::{
    END, Server, client, clients_of, handshake, identity, leaf_params, root, signing, trusting,
};

const RSA: &[u8] = include_bytes!("data/version1_rsa_pkcs1.pem");
const P256: &[u8] = include_bytes!("data/p256_sec1.pem");

#[test]
fn a_tls_1_3_handshake_tells_version_cipher_and_chain() {
    let ca = root();
    let server = Server::issued(&leaf_params(&["example.test"]), &ca);
    let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    let info = wire.heard.info();
    assert_eq!(info.version, "TLS 1.3");
    assert_eq!(info.cipher, "TLS_AES_128_GCM_SHA256");
    assert_eq!(info.alpn, None);
    assert_eq!(wire.heard.chain().earliest_expiry, END);
    assert_eq!(wire.server_error, None);
    assert!(!wire.server.is_handshaking());
    assert_eq!(wire.layer.info(), *info);
}

#[test]
fn a_tls_1_2_handshake_tells_version_cipher_and_chain() {
    let ca = root();
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.only = Some(&TLS12);
    let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    let info = wire.heard.info();
    assert_eq!(info.version, "TLS 1.2");
    assert_eq!(info.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(wire.heard.chain().chain_expiry, Some(END));
    assert!(!wire.server.is_handshaking());
}

#[test]
fn no_second_handshake_is_resumed() {
    let ca = root();
    let config = client(&trusting(ca.as_ref()));
    for version in [&TLS12, &TLS13] {
        let key = crate::common::key();
        let leaf = leaf_params(&["example.test"]).signed_by(&key, &ca).unwrap();
        for _ in 0..2 {
            let mut server = Server::new(vec![crate::common::der(&leaf)], &key);
            server.only = Some(version);
            let mut wire = crate::common::Wire::new(&config, "example.test", server);
            wire.settle();
            assert_eq!(
                wire.server.handshake_kind(),
                Some(rustls::HandshakeKind::Full)
            );
        }
    }
}

#[test]
fn a_server_below_the_lowest_version_is_incompatible() {
    let ca = root();
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.only = Some(&TLS12);
    let options = TlsOptions {
        min_version: Some(TlsVersion::Tls13),
        ..trusting(ca.as_ref())
    };
    let wire = handshake(&options, "example.test", server);
    let failure = wire.heard.failed();
    assert_eq!(failure.reason, Reason::TlsIncompatible);
    assert_eq!(
        failure.detail,
        "the server sent the alert protocol_version (70): it does not speak TLS 1.3"
    );
    assert!(wire.heard.secured.is_empty());
}

#[test]
fn a_server_above_the_highest_version_is_incompatible() {
    let ca = root();
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.only = Some(&TLS13);
    let options = TlsOptions {
        max_version: Some(TlsVersion::Tls12),
        ..trusting(ca.as_ref())
    };
    let wire = handshake(&options, "example.test", server);
    assert_eq!(wire.heard.failed().reason, Reason::TlsIncompatible);
    assert!(wire.heard.failed().detail.ends_with("TLS 1.2"));
}

#[test]
fn the_highest_version_is_kept_with_a_server_that_has_both() {
    let ca = root();
    let options = TlsOptions {
        max_version: Some(TlsVersion::Tls12),
        ..trusting(ca.as_ref())
    };
    let server = Server::issued(&leaf_params(&["example.test"]), &ca);
    let wire = handshake(&options, "example.test", server);
    assert_eq!(wire.heard.info().version, "TLS 1.2");
}

#[test]
fn names_are_sent_and_addresses_are_verified_but_not_sent() {
    let ca = root();
    for (name, sent) in [
        ("example.test", Some("example.test")),
        ("example.test.", Some("example.test")),
        ("127.0.0.1", None),
        ("::1", None),
        ("[::1]", None),
    ] {
        let leaf = leaf_params(&["example.test", "127.0.0.1", "::1"]);
        let server = Server::issued(&leaf, &ca);
        let wire = handshake(&trusting(ca.as_ref()), name, server);
        assert_eq!(wire.heard.secured.len(), 1, "{name}: {:?}", wire.heard);
        assert_eq!(wire.server.server_name(), sent, "{name}");
    }
}

#[test]
fn an_address_that_the_certificate_lacks_is_a_mismatch() {
    let ca = root();
    let server = Server::issued(&leaf_params(&["example.test", "127.0.0.1"]), &ca);
    let wire = handshake(&trusting(ca.as_ref()), "127.0.0.2", server);
    assert_eq!(wire.heard.failed().reason, Reason::TlsNameMismatch);
    assert_eq!(
        wire.heard.failed().detail,
        "certificate is for example.test, 127.0.0.1, not for 127.0.0.2"
    );
}

#[test]
fn a_name_that_is_none_is_our_own_mistake_unless_nobody_verifies_it() {
    let ca = root();
    let failure = Layer::new(&client(&trusting(ca.as_ref())), "example.test:443").unwrap_err();
    assert_eq!(failure.reason, Reason::LocalTls);
    assert_eq!(
        failure.detail,
        "expected a DNS name or an IP address as TLS server name, found \"example.test:443\""
    );
    let skip = TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    };
    let server = Server::issued(&leaf_params(&["example.test"]), &ca);
    let wire = handshake(&skip, "/run/app.sock", server);
    assert_eq!(wire.heard.secured.len(), 1);
    assert_eq!(wire.server.server_name(), None);
}

#[test]
fn alpn_is_offered_and_the_choice_reported() {
    let ca = root();
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let options = TlsOptions {
        alpn: vec![Box::from(*b"http/1.1")],
        ..trusting(ca.as_ref())
    };
    let wire = handshake(&options, "example.test", server);
    assert_eq!(wire.heard.info().alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(wire.server.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn no_common_alpn_protocol_is_an_alert_in_words() {
    let ca = root();
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.alpn = vec![b"h2".to_vec()];
    let options = TlsOptions {
        alpn: vec![Box::from(*b"http/1.1")],
        ..trusting(ca.as_ref())
    };
    let wire = handshake(&options, "example.test", server);
    assert_eq!(wire.heard.failed().reason, Reason::TlsAlert);
    assert_eq!(
        wire.heard.failed().detail,
        "the server sent the alert no_application_protocol (120): it speaks none of the offered ALPN protocols"
    );
}

#[test]
fn a_client_certificate_is_presented_when_asked_for() {
    let (ca, clients) = (root(), root());
    for version in [&TLS12, &TLS13] {
        let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
        server.only = Some(version);
        server.clients = Some(clients_of(clients.as_ref()));
        let options = TlsOptions {
            client: Some(identity(&clients)),
            ..trusting(ca.as_ref())
        };
        let wire = handshake(&options, "example.test", server);
        assert_eq!(wire.heard.info().version, wire.layer.info().version);
        assert_eq!(wire.server_error, None);
        assert_eq!(wire.server.peer_certificates().map(<[_]>::len), Some(1));
    }
}

#[test]
fn a_missing_client_certificate_fails_the_tls_1_2_handshake() {
    let (ca, clients) = (root(), root());
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.only = Some(&TLS12);
    server.clients = Some(clients_of(clients.as_ref()));
    let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    assert!(wire.heard.secured.is_empty());
    let failure = wire.heard.failed();
    assert_eq!(failure.reason, Reason::TlsAlert);
    // The server's certificate was good, and has been seen.
    let info = failure.info.as_ref().expect("facts");
    assert_eq!(info.version, "TLS 1.2");
    assert_eq!(info.chain.as_ref().unwrap().chain_expiry, Some(END));
}

#[test]
fn a_missing_client_certificate_fails_after_the_tls_1_3_handshake() {
    let (ca, clients) = (root(), root());
    let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
    server.only = Some(&TLS13);
    server.clients = Some(clients_of(clients.as_ref()));
    let mut wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    assert_eq!(wire.heard.secured.len(), 1);
    let failure = wire.heard.failed();
    assert_eq!(failure.reason, Reason::TlsAlert);
    assert_eq!(
        failure.detail,
        "the server sent the alert certificate_required (116): it wants a client certificate"
    );
    assert_eq!(failure.info.as_deref(), Some(wire.heard.info()));
    assert_eq!(wire.layer.send(b"x", &mut Vec::new()), Err(NotOpen));
    assert_eq!(wire.layer.eof().as_ref(), Err(failure));
}

/// A client certificate of version 1 with a PKCS#1 key, as `openssl` made them
/// for years, cannot be read by webpki; presenting it needs no webpki.
#[test]
fn old_client_certificates_and_key_formats_are_presented() {
    let ca = root();
    for pem in [RSA, P256] {
        let own = CertificateDer::from_pem_slice(pem).unwrap();
        let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
        server.clients = Some(clients_of(ca.as_ref()));
        server.only = Some(&TLS12);
        let options = TlsOptions {
            client: Some(ClientIdentity {
                cert: pem.into(),
                key: pem.into(),
            }),
            ..trusting(ca.as_ref())
        };
        let wire = handshake(&options, "example.test", server);
        // It was sent, and this server does not like it.
        assert!(!own.is_empty());
        assert!(
            matches!(
                wire.server_error,
                Some(rustls::Error::InvalidCertificate(_))
            ),
            "{:?}",
            wire.server_error
        );
        assert_eq!(wire.heard.failed().reason, Reason::TlsAlert);
    }
}

#[test]
fn a_version_1_server_certificate_is_read_without_verification() {
    let ca = root();
    for version in [&TLS12, &TLS13] {
        let server = || Server {
            chain: vec![CertificateDer::from_pem_slice(RSA).unwrap()],
            key: signing(PrivateKeyDer::from_pem_slice(RSA).unwrap()),
            only: Some(version),
            alpn: Vec::new(),
            clients: None,
        };
        let skip = TlsOptions {
            skip_verify: true,
            ..TlsOptions::default()
        };
        let wire = handshake(&skip, "appliance.test", server());
        let chain = wire.heard.chain();
        assert_eq!(chain.subject, "CN=appliance.test,O=Old Appliance");
        assert_eq!(chain.serial, "0bff01");
        assert_eq!(chain.chain_expiry, None);
        if wire.heard.info().version == "TLS 1.2" {
            assert!(wire.heard.info().cipher.starts_with("TLS_ECDHE_RSA_WITH_"));
        }
        let strict = handshake(&trusting(ca.as_ref()), "appliance.test", server());
        // The fixture is newer than the tests' clock.
        assert_eq!(
            strict.heard.failed().reason,
            Reason::TlsCertificateNotYetValid
        );
    }
}

/// `skip_verify` accepts any certificate, but not a server without its key.
#[test]
fn a_server_without_the_key_of_its_certificate_is_refused_even_unverified() {
    let ca = root();
    for version in [&TLS12, &TLS13] {
        for pem in [None, Some(RSA)] {
            let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
            server.only = Some(version);
            match pem {
                None => server.key = Server::new(vec![], &crate::common::key()).key,
                Some(pem) => {
                    server.chain = vec![CertificateDer::from_pem_slice(pem).unwrap()];
                    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
                    server.key = Server::new(vec![], &other).key;
                }
            }
            let skip = TlsOptions {
                skip_verify: true,
                ..TlsOptions::default()
            };
            let wire = handshake(&skip, "example.test", server);
            let failure = wire.heard.failed();
            assert_eq!(failure.reason, Reason::TlsCertificateInvalid, "{failure:?}");
            assert!(failure.detail.contains("signature"), "{}", failure.detail);
            assert!(failure.info.as_ref().unwrap().chain.is_some());
        }
    }
}

#[test]
fn the_end_of_the_transport_means_different_things_at_different_times() {
    let ca = root();
    let config = client(&trusting(ca.as_ref()));
    let mut silent = Layer::new(&config, "example.test").unwrap();
    let failure = silent.eof().unwrap_err();
    assert_eq!(failure.reason, Reason::TlsHandshake);
    assert_eq!(
        failure.detail,
        "the server closed the connection during the TLS handshake, before it had sent anything"
    );
    let server = Server::issued(&leaf_params(&["example.test"]), &ca);
    let mut wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    assert_eq!(wire.layer.eof(), Ok(Eof::Abrupt));
    wire.server.send_close_notify();
    wire.settle();
    assert_eq!(wire.layer.eof(), Ok(Eof::Clean));
}
