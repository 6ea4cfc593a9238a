//! Bytes that no honest server sends. The property: no panic, no endless work,
//! and a layer that has failed stays failed.

use probity_tls::{Layer, TlsOptions};
use proptest::prelude::*;

use crate::common::{Heard, Server, Wire, client, leaf_params, root, trusting};

fn skipping() -> probity_tls::ClientConfig {
    client(&TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    })
}

fn feed(bytes: &[u8], piece: usize) -> Result<(), TestCaseError> {
    let mut layer = Layer::new(&skipping(), "example.test").expect("a layer");
    let mut out = Vec::new();
    layer.start(&mut out).expect("a hello");
    let mut heard = Heard::default();
    heard.feed(&mut layer, bytes, piece, &mut out);
    prop_assert!(heard.secured.is_empty());
    let end = layer.eof();
    prop_assert!(end.is_err());
    prop_assert_eq!(layer.eof(), end);
    Ok(())
}

/// Records with the right header and anything inside.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    (20_u8..=24, 0_u8..=4, body).prop_map(|(kind, minor, body)| {
        let length = (body.len() as u16).to_be_bytes();
        [&[kind, 3, minor, length[0], length[1]], &body[..]].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        piece in 1_usize..600,
    ) {
        feed(&bytes, piece)?;
    }

    #[test]
    fn random_records_never_panic(
        records in proptest::collection::vec(record(), 0..8),
        piece in 1_usize..600,
    ) {
        feed(&records.concat(), piece)?;
    }

    /// A real server's flight with a few bytes changed: reaches deeper than
    /// noise does, the certificates of TLS 1.2 included.
    #[test]
    fn damaged_handshakes_never_panic(
        tls12 in any::<bool>(),
        verify in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        piece in 1_usize..2_000,
    ) {
        let ca = root();
        let mut server = Server::issued(&leaf_params(&["example.test"]), &ca);
        if tls12 {
            server.only = Some(&rustls::version::TLS12);
        }
        let config = if verify { client(&trusting(ca.as_ref())) } else { skipping() };
        let mut wire = Wire::new(&config, "example.test", server);
        let mut rest = &wire.to_server[..];
        wire.server.read_tls(&mut rest).expect("memory");
        wire.server.process_new_packets().expect("an honest client");
        let mut flight = Vec::new();
        while wire.server.wants_write() {
            wire.server.write_tls(&mut flight).expect("memory");
        }
        for (at, value) in damage {
            let at = at.index(flight.len());
            flight[at] = value;
        }
        let mut out = Vec::new();
        wire.heard.feed(&mut wire.layer, &flight, piece, &mut out);
        let failed = wire.heard.failure.is_some();
        prop_assert!(!failed || wire.layer.eof().is_err());
    }
}

/// Certificates that do not parse, or only just.
#[test]
fn unreadable_certificates_are_refused_or_accepted_without_facts() {
    use probity_engine::Reason;
    use rustls::pki_types::CertificateDer;

    let ca = root();
    for junk in [&b""[..], b"\x30", b"\x30\x03\x02\x01\x00", &[0xff; 300]] {
        let make = || {
            let mut server = Server::new(vec![], &crate::common::key());
            server.chain = vec![CertificateDer::from(junk.to_vec())];
            server
        };
        let mut wire = Wire::new(&client(&trusting(ca.as_ref())), "example.test", make());
        wire.settle();
        let failure = wire.heard.failed();
        assert!(
            [Reason::TlsCertificateInvalid, Reason::TlsHandshake].contains(&failure.reason),
            "{failure:?}"
        );
        // Without its key there is no handshake either.
        let mut wire = Wire::new(&skipping(), "example.test", make());
        wire.settle();
        assert!(
            wire.heard
                .failed()
                .info
                .as_ref()
                .is_some_and(|info| info.chain.is_none())
        );
    }
}

/// Many certificates that all claim to have issued each other: the search for
/// a chain must end soon.
#[test]
fn a_maze_of_issuers_ends() {
    use crate::common::{ca_params, der, key};
    use rcgen::CertifiedIssuer;

    let ca = root();
    let make = || CertifiedIssuer::self_signed(ca_params("maze", (2030, 1, 1)), key()).unwrap();
    let maze: Vec<_> = (0..60).map(|_| make()).collect();
    let own = key();
    let leaf = leaf_params(&["example.test"])
        .signed_by(&own, &maze[0])
        .unwrap();
    let mut chain = vec![der(&leaf)];
    chain.extend(maze.iter().map(|ca| der(ca.as_ref())));
    let mut wire = Wire::new(
        &client(&trusting(ca.as_ref())),
        "example.test",
        Server::new(chain, &own),
    );
    wire.settle();
    assert_eq!(
        wire.heard.failed().reason,
        probity_engine::Reason::TlsUnknownIssuer
    );
}
