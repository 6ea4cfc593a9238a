//! Chains with critical extensions about policies (RFC 5280 section 6.1), which
//! webpki does not know.

use probity_engine::Reason;
use rcgen::{CertifiedIssuer, CustomExtension};
use rustls::version::{TLS12, TLS13};

use crate::common::{
    Ca, END, Server, Wire, ca_params, der, handshake, key, leaf_params, root, trusting,
};

/// Some policies, as OIDs in DER.
const ANY: &[u8] = &[6, 4, 0x55, 0x1d, 0x20, 0];
const P: &[u8] = &[6, 3, 0x2a, 3, 1];
const Q: &[u8] = &[6, 3, 0x2a, 3, 2];

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).expect("a short one");
    [&[0x30, length], &content[..]].concat()
}

/// An extension of id-ce, critical.
fn extension(id: u64, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, id], content);
    extension.set_criticality(true);
    extension
}

fn policies(own: &[&[u8]]) -> CustomExtension {
    let own: Vec<Vec<u8>> = own.iter().map(|one| sequence(&[one])).collect();
    let own: Vec<&[u8]> = own.iter().map(|one| &one[..]).collect();
    extension(32, sequence(&own))
}

fn mapping(from: &[u8], to: &[u8]) -> CustomExtension {
    extension(33, sequence(&[&sequence(&[from, to])]))
}

fn require_explicit(after: u8) -> CustomExtension {
    extension(36, sequence(&[&[0x80, 1, after]]))
}

fn inhibit_mapping(after: u8) -> CustomExtension {
    extension(36, sequence(&[&[0x81, 1, after]]))
}

/// Both at once.
fn require_explicit_inhibit_mapping() -> CustomExtension {
    extension(36, sequence(&[&[0x80, 1, 0, 0x81, 1, 0]]))
}

fn inhibit_any(after: u8) -> CustomExtension {
    extension(54, vec![2, 1, after])
}

type Extensions = Vec<CustomExtension>;

/// A chain from `ca` by way of a CA for each of `middles`, to a leaf.
fn chain(ca: &Ca, middles: &[Extensions], leaf: &Extensions) -> Server {
    let mut sent = Vec::new();
    let mut issuer: Option<Ca> = None;
    for (index, extensions) in middles.iter().enumerate() {
        let mut params = ca_params(&format!("middle {index}"), (2035, 1, 1));
        params.custom_extensions.clone_from(extensions);
        let made = CertifiedIssuer::signed_by(params, key(), issuer.as_ref().unwrap_or(ca));
        let made = made.expect("an intermediate");
        sent.insert(0, der(made.as_ref()));
        issuer = Some(made);
    }
    let mut params = leaf_params(&["example.test"]);
    params.custom_extensions.clone_from(leaf);
    let mut server = Server::issued(&params, issuer.as_ref().unwrap_or(ca));
    server.chain.extend(sent);
    server
}

fn try_all(ca: &Ca, cases: Vec<(&str, Vec<Extensions>, Extensions, bool)>) {
    for (what, middles, leaf, accepted) in cases {
        for version in [&TLS12, &TLS13] {
            let mut server = chain(ca, &middles, &leaf);
            server.only = Some(version);
            let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
            if accepted {
                assert!(wire.heard.failure.is_none(), "{what}: {:?}", wire.heard);
                assert_eq!(wire.heard.chain().chain_expiry, Some(END), "{what}");
            } else {
                let failure = wire.heard.failed();
                assert_eq!(failure.reason, Reason::TlsCertificateInvalid, "{what}");
                assert_eq!(
                    failure.detail,
                    "certificate chain has no policy that all of its certificates have, and one of its CAs requires that (RFC 5280 section 6.1): CN=leaf",
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn policies_that_nobody_requires_refuse_nothing() {
    let cases = vec![
        ("a leaf", vec![], vec![policies(&[P])], true),
        (
            "another policy than that of the CA",
            vec![vec![policies(&[P]), inhibit_any(0)]],
            vec![policies(&[Q])],
            true,
        ),
        (
            "mappings forbidden",
            vec![vec![inhibit_mapping(0)], vec![mapping(P, Q)]],
            vec![],
            true,
        ),
        (
            "required further down than the leaf is",
            vec![vec![require_explicit(2)]],
            vec![],
            true,
        ),
    ];
    try_all(&root(), cases);
}

#[test]
fn a_policy_that_is_required_must_be_in_every_certificate() {
    let required = || vec![policies(&[P]), require_explicit(0)];
    let cases = vec![
        ("there", vec![required()], vec![policies(&[Q, P])], true),
        ("absent", vec![required()], vec![], false),
        ("another", vec![required()], vec![policies(&[Q])], false),
        (
            "not in the CA",
            vec![vec![require_explicit(0)]],
            vec![policies(&[P])],
            false,
        ),
        (
            "not in the CA between",
            vec![required(), vec![]],
            vec![policies(&[P])],
            false,
        ),
        (
            "required of the leaf alone, by a CA above",
            vec![vec![policies(&[P]), require_explicit(1)], vec![]],
            vec![policies(&[P])],
            false,
        ),
        (
            "required by the leaf itself",
            vec![],
            vec![require_explicit(0)],
            false,
        ),
        (
            "any in the CA",
            vec![vec![policies(&[ANY]), require_explicit(0)]],
            vec![policies(&[P])],
            true,
        ),
        (
            "any in the leaf",
            vec![required()],
            vec![policies(&[ANY])],
            true,
        ),
        (
            "any in the leaf, where it is none",
            vec![[required(), vec![inhibit_any(0)]].concat()],
            vec![policies(&[ANY])],
            false,
        ),
        (
            "any in the leaf, where it is none further down",
            vec![[required(), vec![inhibit_any(1)]].concat()],
            vec![policies(&[ANY])],
            true,
        ),
    ];
    try_all(&root(), cases);
}

#[test]
fn a_policy_counts_as_that_to_which_it_is_mapped() {
    let required = || vec![policies(&[P]), require_explicit(0)];
    let mapped = || vec![policies(&[P]), mapping(P, Q)];
    let cases = vec![
        (
            "mapped",
            vec![required(), mapped()],
            vec![policies(&[Q])],
            true,
        ),
        (
            "not the policy itself",
            vec![required(), mapped()],
            vec![policies(&[P])],
            false,
        ),
        (
            "of any",
            vec![vec![policies(&[ANY]), require_explicit(0), mapping(P, Q)]],
            vec![policies(&[Q])],
            true,
        ),
        (
            "of none",
            vec![required(), vec![policies(&[P]), mapping(Q, P)]],
            vec![policies(&[Q])],
            false,
        ),
        (
            "forbidden",
            vec![
                vec![policies(&[P]), require_explicit_inhibit_mapping()],
                mapped(),
            ],
            vec![policies(&[Q])],
            false,
        ),
        (
            "to any, which nobody may even where none is required",
            vec![vec![policies(&[P]), mapping(P, ANY)]],
            vec![],
            false,
        ),
        (
            "from any",
            vec![vec![policies(&[P]), mapping(ANY, P)]],
            vec![],
            false,
        ),
    ];
    try_all(&root(), cases);
}

/// What is not known stays a reason to refuse.
#[test]
fn other_critical_extensions_are_refused() {
    let ca = root();
    let own = |content: Vec<u8>| extension(32, content);
    for extensions in [
        vec![extension(99, vec![5, 0])],
        vec![policies(&[P]), extension(99, vec![5, 0])],
        vec![own(vec![5, 0])],
        vec![policies(&[P]), policies(&[Q])],
        vec![inhibit_any(0), extension(36, vec![5, 0])],
        vec![extension(54, vec![2, 1, 0xff])],
    ] {
        for (middles, leaf) in [(vec![], extensions.clone()), (vec![extensions], vec![])] {
            let server = chain(&ca, &middles, &leaf);
            let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
            let failure = wire.heard.failed();
            assert_eq!(failure.reason, Reason::TlsCertificateInvalid);
            assert!(
                failure
                    .detail
                    .contains("critical extension that is not known"),
                "{failure:?}"
            );
        }
    }
}

/// What is cleared for webpki's sake must be what was signed.
#[test]
fn certificates_with_policies_are_verified_as_any_other() {
    let ca = root();
    let critical = [6, 3, 0x55, 0x1d, 0x20, 1, 1, 0xff];
    for altered in [0, 1] {
        let mut server = chain(&ca, &[vec![policies(&[P])]], &vec![policies(&[P])]);
        let mut cleared = server.chain[altered].to_vec();
        let mut windows = cleared.windows(critical.len());
        let at = windows
            .position(|window| window == critical)
            .expect("a flag");
        cleared[at + critical.len() - 1] = 0;
        server.chain[altered] = cleared.into();
        let wire: Wire = handshake(&trusting(ca.as_ref()), "example.test", server);
        assert_eq!(wire.heard.failed().reason, Reason::TlsUnknownIssuer);
    }
    let stranger = CertifiedIssuer::self_signed(ca_params("root", (2040, 1, 1)), key());
    let stranger = stranger.expect("a root");
    let server = chain(&stranger, &[vec![inhibit_any(0)]], &vec![policies(&[P])]);
    let wire = handshake(&trusting(ca.as_ref()), "example.test", server);
    assert_eq!(wire.heard.failed().reason, Reason::TlsUnknownIssuer);
}
