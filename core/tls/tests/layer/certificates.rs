//! Which certificates are accepted, why the others are not, and what is
//! reported of both.

use std::sync::Arc;

use probity_engine::Reason;
use probity_tls::{ClientConfig, TlsFailure, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::version::{TLS12, TLS13};

use crate::common::{
    Ca, Clock, END, NOW, Server, Wire, ca_params, der, handshake, key, leaf_params, params, root,
    trusting,
};

/// 2026-01-01.
const SOON: i64 = 1_767_225_600;

fn skipping() -> TlsOptions {
    TlsOptions {
        skip_verify: true,
        ..TlsOptions::default()
    }
}

/// The failure of a handshake, which must be the same in both versions.
fn refused(options: &TlsOptions, name: &str, server: impl Fn() -> Server) -> TlsFailure {
    let [old, new] = [&TLS12, &TLS13].map(|version| {
        let mut server = server();
        server.only = Some(version);
        let wire = handshake(options, name, server);
        assert!(wire.heard.secured.is_empty());
        assert!(
            matches!(wire.server_error, Some(rustls::Error::AlertReceived(_))),
            "the server is told: {:?}",
            wire.server_error
        );
        wire.heard.failed().clone()
    });
    assert_eq!((old.reason, &old.detail), (new.reason, &new.detail));
    let chain = |failure: &TlsFailure| failure.info.as_ref().unwrap().chain.clone();
    assert_eq!(old.info.as_ref().unwrap().version, "TLS 1.2");
    assert_eq!(new.info.as_ref().unwrap().version, "TLS 1.3");
    assert_eq!(
        chain(&new).map(|chain| chain.chain_expiry),
        Some(None),
        "facts are known, but nothing was verified"
    );
    new
}

fn earliest(failure: &TlsFailure) -> i64 {
    let info = failure.info.as_ref().expect("facts");
    info.chain.as_ref().expect("a chain").earliest_expiry
}

fn same_key(pair: &KeyPair) -> KeyPair {
    KeyPair::try_from(pair.serialize_der()).expect("a copy")
}

#[test]
fn an_expired_certificate_keeps_its_dates() {
    let ca = root();
    let leaf = params("old", &["example.test"], (2020, 1, 1), (2025, 6, 12));
    let (leaf, own) = (leaf, key());
    let cert = leaf.signed_by(&own, &ca).unwrap();
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateExpired);
    assert_eq!(
        failure.detail,
        "certificate expired on 2025-06-12 (3 days ago): CN=old"
    );
    assert_eq!(earliest(&failure), NOW as i64 - 3 * 86_400);
}

#[test]
fn a_certificate_of_tomorrow_is_not_yet_valid() {
    let ca = root();
    let leaf = params("new", &["example.test"], (2025, 6, 16), (2030, 1, 1));
    let own = key();
    let cert = leaf.signed_by(&own, &ca).unwrap();
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateNotYetValid);
    assert_eq!(
        failure.detail,
        "certificate is not valid before 2025-06-16 (in 1 day): CN=new"
    );
}

#[test]
fn the_clock_that_was_passed_in_is_the_one_that_counts() {
    let ca = root();
    let own = key();
    let cert = leaf_params(&["example.test"]).signed_by(&own, &ca).unwrap();
    let end = u64::try_from(END).unwrap();
    for (now, accepted) in [(end, true), (end + 1, false)] {
        let config = ClientConfig::new(&trusting(ca.as_ref()), Arc::new(Clock(now))).unwrap();
        let server = Server::new(vec![der(&cert)], &own);
        let mut wire = Wire::new(&config, "example.test", server);
        wire.settle();
        assert_eq!(wire.heard.secured.len() == 1, accepted, "at {now}");
    }
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let ca = root();
    let own = key();
    let cert = leaf_params(&["example.com", "www.example.com"])
        .signed_by(&own, &ca)
        .unwrap();
    let failure = refused(&trusting(ca.as_ref()), "other.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsNameMismatch);
    assert_eq!(
        failure.detail,
        "certificate is for example.com, www.example.com, not for other.test"
    );
    assert_eq!(earliest(&failure), END);
}

#[test]
fn a_common_name_is_no_name() {
    let ca = root();
    let own = key();
    let cert = params("example.test", &[], (2020, 1, 1), (2030, 1, 1))
        .signed_by(&own, &ca)
        .unwrap();
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsNameMismatch);
    assert_eq!(
        failure.detail,
        "certificate has no DNS name or IP address, so it is not for example.test: CN=example.test"
    );
}

#[test]
fn a_certificate_from_nowhere_has_an_unknown_issuer() {
    let (known, stranger) = (
        root(),
        CertifiedIssuer::self_signed(ca_params("stranger", (2040, 1, 1)), key()).unwrap(),
    );
    let own = key();
    let cert = leaf_params(&["example.test"])
        .signed_by(&own, &stranger)
        .unwrap();
    let failure = refused(&trusting(known.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    assert_eq!(
        failure.detail,
        "certificate's issuer CN=stranger is neither trusted (1 configured CA certificate is trusted) nor sent by the server"
    );
    let with_root = refused(&trusting(known.as_ref()), "example.test", || {
        Server::new(vec![der(&cert), der(stranger.as_ref())], &own)
    });
    assert_eq!(with_root.reason, Reason::TlsUnknownIssuer);
    assert!(with_root.detail.contains("sent 2 certificates"));
}

/// The system's roots, whatever they are, did not sign this.
#[test]
fn the_systems_roots_do_not_know_our_ca() {
    let ca = root();
    let own = key();
    let cert = leaf_params(&["example.test"]).signed_by(&own, &ca).unwrap();
    let failure = refused(&TlsOptions::default(), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    assert!(
        failure.detail.contains("system roots"),
        "{}",
        failure.detail
    );
}

/// A CA that was made anew under its old name is a classic.
#[test]
fn a_ca_of_the_same_name_with_another_key_is_an_unknown_issuer() {
    let (old, new) = (root(), root());
    let own = key();
    let cert = leaf_params(&["example.test"])
        .signed_by(&own, &new)
        .unwrap();
    let failure = refused(&trusting(old.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    assert!(failure.detail.contains("key"), "{}", failure.detail);
}

#[test]
fn self_signed_certificates_are_unknown_issuers_and_called_what_they_are() {
    let ca = root();
    for is_ca in [
        IsCa::NoCa,
        IsCa::ExplicitNoCa,
        IsCa::Ca(BasicConstraints::Unconstrained),
    ] {
        let own = key();
        let mut leaf = leaf_params(&["example.test"]);
        leaf.is_ca = is_ca;
        let cert = leaf.self_signed(&own).unwrap();
        let failure = refused(&trusting(ca.as_ref()), "example.test", || {
            Server::new(vec![der(&cert)], &own)
        });
        assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
        assert_eq!(
            failure.detail,
            "certificate is self-signed and not itself trusted (1 configured CA certificate is trusted): CN=leaf"
        );
    }
}

/// The trusted key could not even have made such a signature: to Go that is an unknown
/// authority as any other, and not a certificate with a fault.
#[test]
fn a_trusted_name_with_a_key_of_another_kind_is_an_unknown_issuer() {
    let ca = root();
    let edwards = || KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let own = edwards();
    let mut named_so = leaf_params(&["example.test"]);
    named_so.distinguished_name = ca_params("root", (2040, 1, 1)).distinguished_name;
    let itself = named_so.self_signed(&own).unwrap();
    let other = CertifiedIssuer::self_signed(ca_params("root", (2040, 1, 1)), edwards()).unwrap();
    let issued = leaf_params(&["example.test"]).signed_by(&own, &other);
    for (cert, words) in [
        (itself, "is self-signed and not itself trusted"),
        (issued.unwrap(), "is not one of the key"),
    ] {
        let failure = refused(&trusting(ca.as_ref()), "example.test", || {
            Server::new(vec![der(&cert)], &own)
        });
        assert_eq!(
            failure.reason,
            Reason::TlsUnknownIssuer,
            "{}",
            failure.detail
        );
        assert!(failure.detail.contains(words), "{}", failure.detail);
    }
}

/// As upstream's own tests have it: webpki alone would answer
/// CaUsedAsEndEntity.
#[test]
fn a_self_signed_certificate_in_the_ca_file_is_accepted() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let own = key();
        let mut leaf = leaf_params(&["localhost"]);
        leaf.is_ca = is_ca;
        let cert = leaf.self_signed(&own).unwrap();
        let server = || Server::new(vec![der(&cert)], &own);
        let wire = handshake(&trusting(&cert), "localhost", server());
        assert_eq!(wire.heard.chain().chain_expiry, Some(END));
        let failure = refused(&trusting(&cert), "127.0.0.1", server);
        assert_eq!(failure.reason, Reason::TlsNameMismatch);
    }
}

#[test]
fn an_expired_certificate_in_the_ca_file_is_not_accepted() {
    let own = key();
    let mut leaf = params("old", &["localhost"], (2020, 1, 1), (2025, 1, 1));
    leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = leaf.self_signed(&own).unwrap();
    let failure = refused(&trusting(&cert), "localhost", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateExpired);
}

#[test]
fn a_look_alike_of_the_certificate_in_the_ca_file_is_not_accepted() {
    let (one, two) = (key(), key());
    let mut leaf = leaf_params(&["localhost"]);
    leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trusted = leaf.self_signed(&one).unwrap();
    let other = leaf.self_signed(&two).unwrap();
    let failure = refused(&trusting(&trusted), "localhost", || {
        Server::new(vec![der(&other)], &two)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
}

#[test]
fn a_certificate_for_clients_is_not_for_servers() {
    let ca = root();
    let own = key();
    let mut leaf = leaf_params(&["example.test"]);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let cert = leaf.signed_by(&own, &ca).unwrap();
    // Also where it is itself in the CA file.
    for trusted in [ca.as_ref(), &cert] {
        let failure = refused(&trusting(trusted), "example.test", || {
            Server::new(vec![der(&cert)], &own)
        });
        assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
        assert!(failure.detail.contains("not for servers"), "{failure:?}");
    }
}

/// RFC 5280 section 4.2.1.12: it stands for all purposes.
#[test]
fn a_certificate_for_any_purpose_is_for_servers() {
    use ExtendedKeyUsagePurpose as Purpose;
    let ca = root();
    for purposes in [
        vec![Purpose::Any],
        vec![Purpose::ClientAuth, Purpose::Any],
        vec![Purpose::ClientAuth, Purpose::ServerAuth],
    ] {
        let mut middle = ca_params("middle", (2030, 1, 1));
        middle.extended_key_usages.clone_from(&purposes);
        let middle = CertifiedIssuer::signed_by(middle, key(), &ca).unwrap();
        let mut leaf = leaf_params(&["example.test"]);
        leaf.extended_key_usages = purposes;
        let (leaf, own) = issue(&leaf, &middle);
        for trusted in [ca.as_ref(), middle.as_ref(), &leaf] {
            let chain = vec![der(&leaf), der(middle.as_ref())];
            let server = Server::new(chain, &own);
            let wire = handshake(&trusting(trusted), "example.test", server);
            assert_eq!(wire.heard.chain().chain_expiry, Some(END));
        }
    }
}

/// webpki alone would answer CaUsedAsEndEntity.
#[test]
fn a_server_may_have_the_certificate_of_a_ca_that_another_has_issued() {
    let ca = root();
    let middle = intermediate("middle", (2030, 1, 1), key(), &ca);
    for is_ca in [
        BasicConstraints::Unconstrained,
        BasicConstraints::Constrained(0),
    ] {
        let mut leaf = leaf_params(&["example.test"]);
        leaf.is_ca = IsCa::Ca(is_ca);
        for (issuer, sent) in [(&ca, vec![]), (&middle, vec![der(middle.as_ref())])] {
            let (leaf, own) = issue(&leaf, issuer);
            let server = || Server::new([vec![der(&leaf)], sent.clone()].concat(), &own);
            let wire = handshake(&trusting(ca.as_ref()), "example.test", server());
            assert_eq!(wire.heard.chain().chain_expiry, Some(END));
            let failure = refused(&trusting(ca.as_ref()), "other.test", server);
            assert_eq!(failure.reason, Reason::TlsNameMismatch);
        }
    }
}

/// What is cleared for webpki's sake must be what was signed.
#[test]
fn a_ca_s_certificate_is_verified_as_any_other() {
    let ca = root();
    let stranger = CertifiedIssuer::self_signed(ca_params("root", (2040, 1, 1)), key()).unwrap();
    let mut leaf = leaf_params(&["example.test"]);
    leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (forged, own) = issue(&leaf, &stranger);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&forged)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    assert_eq!(
        failure.detail,
        "certificate chain does not lead to a trusted root (1 configured CA certificate is trusted): a signature is not one of the key of the certificate that is named as its issuer (first issuer: CN=root)"
    );
    // With the flag cleared by the server itself.
    let (cert, own) = issue(&leaf, &ca);
    let mut cleared = cert.der().to_vec();
    let flag = |window: &[u8]| window == [0x30, 3, 1, 1, 0xff];
    let at = cleared.windows(5).position(flag).expect("a flag");
    cleared[at + 4] = 0;
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![cleared.clone().into()], &own)
    });
    assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
    // For a CA too the purposes and the names of its issuer count.
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (cert, own) = issue(&leaf, &ca);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert!(failure.detail.contains("not for servers"), "{failure:?}");
    let mut bound = ca_params("bound", (2040, 1, 1));
    bound.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("inside.test".into())],
        excluded_subtrees: vec![],
    });
    let bound = CertifiedIssuer::self_signed(bound, key()).unwrap();
    leaf.extended_key_usages.clear();
    let (cert, own) = issue(&leaf, &bound);
    let failure = refused(&trusting(bound.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert!(failure.detail.contains("names"), "{failure:?}");
}

#[test]
fn without_verification_anything_is_accepted_and_reported() {
    let own = key();
    let leaf = params("old", &["other.test"], (2020, 1, 1), (2025, 1, 1));
    let cert = leaf.self_signed(&own).unwrap();
    let wire = handshake(
        &skipping(),
        "example.test",
        Server::new(vec![der(&cert)], &own),
    );
    let chain = wire.heard.chain();
    assert_eq!(chain.chain_expiry, None);
    assert_eq!(chain.earliest_expiry, 1_735_689_600);
    assert_eq!(chain.subject_alternative, "other.test");
}

#[test]
fn facts_about_the_leaf_are_exact() {
    let ca = root();
    let own = key();
    let mut leaf = leaf_params(&["a.test", "*.b.test", "192.0.2.1"]);
    leaf.distinguished_name
        .push(DnType::OrganizationName, "Example, Org");
    leaf.serial_number = Some(SerialNumber::from(vec![0x0b, 0xff, 0x00, 0x01]));
    let cert = leaf.signed_by(&own, &ca).unwrap();
    let wire = handshake(
        &trusting(ca.as_ref()),
        "x.b.test",
        Server::new(vec![der(&cert)], &own),
    );
    let chain = wire.heard.chain();
    let hash = digest(&SHA256, cert.der());
    let expected: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(chain.fingerprint_sha256, expected);
    assert_eq!(chain.subject, r"CN=leaf,O=Example\, Org");
    assert_eq!(chain.issuer, "CN=root");
    assert_eq!(chain.subject_alternative, "a.test,*.b.test");
    assert_eq!(chain.serial, "0bff0001");
    assert_eq!(chain.earliest_expiry, END);
    assert_eq!(chain.chain_expiry, Some(END));
}

fn intermediate(name: &str, to: (i32, u8, u8), pair: KeyPair, by: &Ca) -> Ca {
    CertifiedIssuer::signed_by(ca_params(name, to), pair, by).unwrap()
}

fn issue(leaf: &CertificateParams, by: &Ca) -> (rcgen::Certificate, KeyPair) {
    let own = key();
    (leaf.signed_by(&own, by).unwrap(), own)
}

#[test]
fn a_chain_ends_with_its_first_certificate_to_expire() {
    let ca = root();
    let middle = intermediate("middle", (2026, 1, 1), key(), &ca);
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &middle);
    let chain = vec![der(&leaf), der(middle.as_ref())];
    let wire = handshake(
        &trusting(ca.as_ref()),
        "example.test",
        Server::new(chain, &own),
    );
    assert_eq!(wire.heard.chain().earliest_expiry, SOON);
    assert_eq!(wire.heard.chain().chain_expiry, Some(SOON));
}

/// Roots are not sent, but their end is the chain's end.
#[test]
fn the_end_of_the_root_counts_for_the_chain_alone() {
    let ca = CertifiedIssuer::self_signed(ca_params("short", (2026, 1, 1)), key()).unwrap();
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &ca);
    let wire = handshake(
        &trusting(ca.as_ref()),
        "example.test",
        Server::new(vec![der(&leaf)], &own),
    );
    assert_eq!(wire.heard.chain().earliest_expiry, END);
    assert_eq!(wire.heard.chain().chain_expiry, Some(SOON));
}

/// The case that the metric exists for: a cross-signed intermediate is about
/// to expire, but another path lives longer.
#[test]
fn the_longest_lived_of_several_chains_counts() {
    let (one, two) = (
        CertifiedIssuer::self_signed(ca_params("one", (2040, 1, 1)), key()).unwrap(),
        CertifiedIssuer::self_signed(ca_params("two", (2026, 1, 1)), key()).unwrap(),
    );
    let pair = key();
    let short = intermediate("middle", (2026, 1, 1), same_key(&pair), &two);
    let long = intermediate("middle", (2028, 1, 1), same_key(&pair), &one);
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &long);
    let options = TlsOptions {
        ca: Some(
            format!("{}{}", one.as_ref().pem(), two.as_ref().pem())
                .into_bytes()
                .into(),
        ),
        ..TlsOptions::default()
    };
    // The order in which they are sent must not matter.
    for middles in [[&short, &long], [&long, &short]] {
        let mut chain = vec![der(&leaf)];
        chain.extend(middles.map(|ca| der(ca.as_ref())));
        let wire = handshake(&options, "example.test", Server::new(chain, &own));
        assert_eq!(wire.heard.chain().earliest_expiry, SOON);
        assert_eq!(wire.heard.chain().chain_expiry, Some(1_830_297_600));
    }
}

/// A root and its reissue differ in nothing but dates.
#[test]
fn a_reissued_root_extends_the_chain() {
    let pair = key();
    let make = |to| CertifiedIssuer::self_signed(ca_params("root", to), same_key(&pair)).unwrap();
    let (old, new) = (make((2026, 1, 1)), make((2029, 1, 1)));
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &old);
    for pair in [[&old, &new], [&new, &old]] {
        let pem = pair.map(|ca| ca.as_ref().pem()).concat();
        let options = TlsOptions {
            ca: Some(pem.into_bytes().into()),
            ..TlsOptions::default()
        };
        let wire = handshake(
            &options,
            "example.test",
            Server::new(vec![der(&leaf)], &own),
        );
        assert_eq!(wire.heard.chain().chain_expiry, Some(1_861_920_000));
    }
}

/// webpki does not look at the dates of roots; Go does.
#[test]
fn an_expired_root_ends_every_chain() {
    let ca = CertifiedIssuer::self_signed(ca_params("gone", (2025, 6, 14)), key()).unwrap();
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &ca);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&leaf)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateExpired);
    assert_eq!(
        failure.detail,
        "root expired on 2025-06-14 (1 day ago): CN=gone"
    );
}

#[test]
fn an_expired_intermediate_is_named() {
    let ca = root();
    let middle = intermediate("middle", (2025, 6, 14), key(), &ca);
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &middle);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&leaf), der(middle.as_ref())], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateExpired);
    assert_eq!(
        failure.detail,
        "intermediate certificate expired on 2025-06-14 (1 day ago): CN=middle"
    );
}

/// Six are webpki's limit.
#[test]
fn six_certificates_may_be_between_leaf_and_root() {
    let ca = root();
    let mut issuers: Vec<Ca> = Vec::new();
    for count in 1..=7 {
        let by = issuers.last().unwrap_or(&ca);
        issuers.push(intermediate(
            &format!("middle {count}"),
            (2030, 1, 1),
            key(),
            by,
        ));
        let (leaf, own) = issue(&leaf_params(&["example.test"]), &issuers[count - 1]);
        let middles = issuers.iter().rev().map(|ca| der(ca.as_ref()));
        let chain: Vec<_> = std::iter::once(der(&leaf)).chain(middles).collect();
        let server = || Server::new(chain.clone(), &own);
        if count <= 6 {
            let wire = handshake(&trusting(ca.as_ref()), "example.test", server());
            assert_eq!(wire.heard.chain().chain_expiry, Some(END), "{count}");
        } else {
            let failure = refused(&trusting(ca.as_ref()), "example.test", server);
            assert_eq!(failure.reason, Reason::TlsUnknownIssuer);
            assert_eq!(
                failure.detail,
                "certificate chain does not lead to a trusted root (1 configured CA certificate is trusted): the server sent 8 certificates, the first issued by CN=middle 7; at most 6 between leaf and root can be verified"
            );
        }
    }
}

#[test]
fn superfluous_certificates_do_no_harm_but_count_as_sent() {
    let ca = root();
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &ca);
    let stray = params("stray", &["x.test"], (2020, 1, 1), (2021, 1, 1))
        .self_signed(&key())
        .unwrap();
    let junk = rustls::pki_types::CertificateDer::from(vec![1, 2, 3]);
    let chain = vec![der(&leaf), der(&stray), junk, der(ca.as_ref())];
    let wire = handshake(
        &trusting(ca.as_ref()),
        "example.test",
        Server::new(chain, &own),
    );
    assert_eq!(wire.heard.chain().earliest_expiry, 1_609_459_200);
    assert_eq!(wire.heard.chain().chain_expiry, Some(END));
}

#[test]
fn an_expired_certificate_is_expired_before_it_is_anything_else() {
    let ca = root();
    let own = key();
    let cert = params("old", &["other.test"], (2020, 1, 1), (2025, 1, 1))
        .self_signed(&own)
        .unwrap();
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&cert)], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateExpired);
}

/// Some roots, each of which has issued a server's certificate that it had no
/// right to issue. webpki does not ask that of roots; Go does.
#[test]
fn a_root_that_may_not_issue_has_issued_nothing() {
    let own = leaf_params(&["pinned.test"]);
    let mut not_ca = leaf_params(&["pinned.test"]);
    not_ca.is_ca = IsCa::ExplicitNoCa;
    let mut no_signing = ca_params("crl", (2040, 1, 1));
    no_signing.key_usages = vec![KeyUsagePurpose::CrlSign];
    let mut for_clients = ca_params("clients", (2040, 1, 1));
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (root, reason, words) in [
        (own, Reason::TlsUnknownIssuer, "is not a CA's"),
        (not_ca, Reason::TlsUnknownIssuer, "is not a CA's"),
        (no_signing, Reason::TlsUnknownIssuer, "is not a CA's"),
        (for_clients, Reason::TlsCertificateInvalid, "serverAuth"),
    ] {
        let root = CertifiedIssuer::self_signed(root, key()).unwrap();
        let (leaf, own) = issue(&leaf_params(&["example.test"]), &root);
        let failure = refused(&trusting(root.as_ref()), "example.test", || {
            Server::new(vec![der(&leaf)], &own)
        });
        assert_eq!(failure.reason, reason, "{failure:?}");
        assert!(failure.detail.contains(words), "{failure:?}");
    }
}

#[test]
fn a_root_may_bound_the_length_of_its_chains() {
    for (bound, accepted) in [(0, false), (1, true)] {
        let mut root = ca_params("root", (2040, 1, 1));
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(bound));
        let root = CertifiedIssuer::self_signed(root, key()).unwrap();
        let middle = intermediate("middle", (2030, 1, 1), key(), &root);
        let (leaf, own) = issue(&leaf_params(&["example.test"]), &middle);
        let chain = vec![der(&leaf), der(middle.as_ref())];
        let server = Server::new(chain, &own);
        let wire = handshake(&trusting(root.as_ref()), "example.test", server);
        assert_eq!(wire.heard.secured.len() == 1, accepted, "{:?}", wire.heard);
        if let Some(failure) = wire.heard.failure {
            assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
            assert!(failure.detail.contains("longer"), "{failure:?}");
        }
    }
}

/// Whoever has a certificate for one name must not be able to make others.
#[test]
fn a_servers_certificate_issues_nothing() {
    let ca = root();
    let server = leaf_params(&["honest.test"]);
    let server = CertifiedIssuer::signed_by(server, key(), &ca).unwrap();
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &server);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&leaf), der(server.as_ref())], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
}

#[test]
fn an_intermediate_without_the_right_to_sign_issues_nothing() {
    let ca = root();
    let mut middle = ca_params("middle", (2030, 1, 1));
    middle.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let middle = CertifiedIssuer::signed_by(middle, key(), &ca).unwrap();
    let (leaf, own) = issue(&leaf_params(&["example.test"]), &middle);
    let failure = refused(&trusting(ca.as_ref()), "example.test", || {
        Server::new(vec![der(&leaf), der(middle.as_ref())], &own)
    });
    assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
    assert_eq!(
        failure.detail,
        "intermediate certificate may not issue others: CN=middle"
    );
}

#[test]
fn a_ca_that_is_bound_to_some_names_issues_for_no_others() {
    let mut bound = ca_params("bound", (2040, 1, 1));
    bound.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("inside.test".into())],
        excluded_subtrees: vec![],
    });
    let ca = root();
    let middle = CertifiedIssuer::signed_by(bound.clone(), key(), &ca).unwrap();
    let bound = CertifiedIssuer::self_signed(bound, key()).unwrap();
    for (name, accepted) in [("a.inside.test", true), ("example.test", false)] {
        for (issuer, trusted) in [(&bound, &bound), (&middle, &ca)] {
            let (leaf, own) = issue(&leaf_params(&[name]), issuer);
            let chain = vec![der(&leaf), der(issuer.as_ref())];
            let server = Server::new(chain, &own);
            let wire = handshake(&trusting(trusted.as_ref()), name, server);
            assert_eq!(wire.heard.secured.len() == 1, accepted, "{:?}", wire.heard);
        }
    }
}
