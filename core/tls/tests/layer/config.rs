//! Options that cannot be used, and what is said about them.

use std::sync::Arc;

use probity_engine::tls::ClientIdentity;
use probity_tls::{ClientConfig, ConfigError, Field, TlsOptions, TlsVersion};

use crate::common::{Clock, NOW, Server, handshake, identity, leaf_params, root, trusting};

fn error(options: &TlsOptions) -> ConfigError {
    ClientConfig::new(options, Arc::new(Clock(NOW))).expect_err("unusable options")
}

fn with_ca(pem: &[u8]) -> TlsOptions {
    TlsOptions {
        ca: Some(pem.into()),
        ..TlsOptions::default()
    }
}

#[test]
fn a_ca_file_must_hold_a_certificate() {
    let key = crate::common::key().serialize_pem();
    for (pem, expected) in [
        (&b""[..], "ca: expected a CERTIFICATE in PEM, found nothing"),
        (
            b"hello\n",
            "ca: expected a CERTIFICATE in PEM, found no PEM section in 6 bytes",
        ),
        (
            key.as_bytes(),
            "ca: expected a CERTIFICATE in PEM, found PRIVATE KEY",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "ca: expected a readable X.509 certificate, found none among 1 in PEM",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
            "ca: expected certificates in PEM, found a section whose content is no base64",
        ),
    ] {
        let error = error(&with_ca(pem));
        assert_eq!(error.field, Field::Ca);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_broken_ca_file_is_an_error_even_if_nothing_is_verified() {
    let options = TlsOptions {
        skip_verify: true,
        ..with_ca(b"hello")
    };
    assert_eq!(error(&options).field, Field::Ca);
}

#[test]
fn what_is_damaged_in_a_ca_file_is_left_out_with_a_warning() {
    let ca = root();
    let good = ca.as_ref().pem();
    let relic = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_base64 = "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
    let no_end = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let lines = good.lines().count();
    for (pem, found, used) in [
        (
            format!("{relic}{good}"),
            "one that is not readable X.509 in line 1".to_owned(),
            "the one that is whole is",
        ),
        (
            format!("{no_end}{good}"),
            "a section without an end, or one that is not in lines in line 1".to_owned(),
            "the one that is whole is",
        ),
        (
            format!("{good}{no_base64}{good}{relic}"),
            format!(
                "a section whose content is no base64 in line {} (and 1 more)",
                lines + 1
            ),
            "the 2 that are whole are",
        ),
    ] {
        let options = with_ca(pem.as_bytes());
        let config = ClientConfig::new(&options, Arc::new(Clock(NOW))).expect("a usable file");
        assert_eq!(
            config.warnings(),
            [format!(
                "ca: expected certificates in PEM, found {found}: that is left out and {used} used; mend or remove it"
            )]
        );
        let server = Server::issued(&leaf_params(&["example.test"]), &ca);
        let wire = handshake(&options, "example.test", server);
        assert_eq!(wire.heard.secured.len(), 1);
    }
    let whole = ClientConfig::new(&with_ca(good.as_bytes()), Arc::new(Clock(NOW)));
    assert_eq!(whole.expect("a usable file").warnings(), [""; 0]);
}

/// Go reads it so too.
#[test]
fn what_is_damaged_in_a_client_s_chain_is_left_out_with_a_warning() {
    let ca = root();
    let mut client = identity(&ca);
    let damaged = b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
    client.cert = [&client.cert[..], damaged].concat().into();
    let options = TlsOptions {
        client: Some(client),
        ..trusting(ca.as_ref())
    };
    let config = ClientConfig::new(&options, Arc::new(Clock(NOW))).expect("a usable file");
    let [warning] = config.warnings() else {
        panic!("expected one warning: {:?}", config.warnings());
    };
    assert!(warning.starts_with("client.cert: "), "{warning}");
}

#[test]
fn a_client_key_must_be_a_key_and_belong_to_its_certificate() {
    let ca = root();
    let (one, other) = (identity(&ca), identity(&ca));
    let cases = [
        (
            ClientIdentity {
                cert: one.key.clone(),
                key: one.key.clone(),
            },
            Field::ClientCert,
            "client.cert: expected a CERTIFICATE in PEM, found PRIVATE KEY",
        ),
        (
            ClientIdentity {
                cert: one.cert.clone(),
                key: one.cert.clone(),
            },
            Field::ClientKey,
            "client.key: expected a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY in PEM, found CERTIFICATE",
        ),
        (
            ClientIdentity {
                cert: one.cert.clone(),
                key: Box::from(*b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            },
            Field::ClientKey,
            "client.key: expected a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY in PEM, found ENCRYPTED PRIVATE KEY",
        ),
        (
            ClientIdentity {
                cert: one.cert.clone(),
                key: Box::from(*b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            },
            Field::ClientKey,
            "client.key: expected an RSA key of 2048 to 4096 bits, or one for P-256, P-384 or Ed25519, found another kind or a damaged key",
        ),
        (
            ClientIdentity {
                cert: one.cert.clone(),
                key: other.key,
            },
            Field::ClientKey,
            "client.key: expected the key of the certificate CN=leaf, found another key",
        ),
    ];
    for (client, field, expected) in cases {
        let options = TlsOptions {
            client: Some(client),
            ..trusting(ca.as_ref())
        };
        let error = error(&options);
        assert_eq!(error.field, field);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn versions_must_not_cross() {
    let options = TlsOptions {
        min_version: Some(TlsVersion::Tls13),
        max_version: Some(TlsVersion::Tls12),
        ..TlsOptions::default()
    };
    assert_eq!(
        error(&options).to_string(),
        "versions: expected a lowest version that is not above the highest, found TLS 1.3 and TLS 1.2"
    );
}

#[test]
fn alpn_names_have_a_length_of_one_byte() {
    for length in [0, 256] {
        let options = TlsOptions {
            alpn: vec![vec![b'x'; length].into()],
            ..TlsOptions::default()
        };
        assert_eq!(error(&options).field, Field::Alpn);
    }
}
