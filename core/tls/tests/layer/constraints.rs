//! CAs with name constraints (RFC 5280 section 4.2.1.10) on e-mail addresses, URIs and
//! directory names, which webpki does not judge.

use probity_engine::Reason;
use rcgen::{CertificateParams, CertifiedIssuer, CustomExtension, SanType};
use rustls::version::{TLS12, TLS13};

use crate::common::{
    Ca, END, Server, Wire, ca_params, der, handshake, key, leaf_params, root, trusting,
};

const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

type Base<'a> = (u8, &'a [u8]);

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short one");
    let length = length.to_be_bytes();
    let head = match length {
        [0, low @ 0..=127] => vec![tag, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

fn subtrees(tag: u8, bases: &[Base<'_>]) -> Vec<u8> {
    let bases = bases.iter().map(|(tag, base)| tlv(0x30, &tlv(*tag, base)));
    match bases.collect::<Vec<_>>() {
        none if none.is_empty() => Vec::new(),
        bases => tlv(tag, &bases.concat()),
    }
}

fn constraints(permitted: &[Base<'_>], excluded: &[Base<'_>]) -> CustomExtension {
    let content = [subtrees(0xa0, permitted), subtrees(0xa1, excluded)].concat();
    let value = tlv(0x30, &content);
    CustomExtension::from_oid_content(&[2, 5, 29, 30], value)
}

fn critical(mut extension: CustomExtension) -> CustomExtension {
    extension.set_criticality(true);
    extension
}

fn mail(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().expect("ASCII"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

fn bound(name: &str, extension: &CustomExtension) -> CertificateParams {
    let mut params = ca_params(name, (2035, 1, 1));
    params.custom_extensions = vec![extension.clone()];
    params
}

fn leaf(names: &[SanType]) -> CertificateParams {
    let mut params = leaf_params(&["example.test", "192.0.2.1"]);
    params.subject_alt_names.extend_from_slice(names);
    params
}

fn verified(ca: &Ca, server: Server) -> Wire {
    handshake(&trusting(ca.as_ref()), "example.test", server)
}

/// What becomes of a leaf with `names` below a root, a CA below a root, and a CA above
/// another, each with `extension`.
fn tried(extension: &CustomExtension, names: &[SanType]) -> Vec<Result<(), String>> {
    let mut results = Vec::new();
    let by = |params, ca: &Ca| CertifiedIssuer::signed_by(params, key(), ca).expect("a CA");
    let free = root();
    let itself = CertifiedIssuer::self_signed(bound("bound", extension), key()).expect("a root");
    let near = by(bound("bound", extension), &free);
    let far = by(ca_params("middle", (2035, 1, 1)), &near);
    for (trusted, issuer, sent) in [
        (&itself, &itself, vec![]),
        (&free, &near, vec![&near]),
        (&free, &far, vec![&far, &near]),
    ] {
        for version in [&TLS12, &TLS13] {
            let mut server = Server::issued(&leaf(names), issuer);
            server.chain.extend(sent.iter().map(|ca| der(ca.as_ref())));
            server.only = Some(version);
            let wire = verified(trusted, server);
            results.push(match &wire.heard.failure {
                None => {
                    assert_eq!(wire.heard.chain().chain_expiry, Some(END));
                    Ok(())
                }
                Some(failure) => {
                    assert_eq!(failure.reason, Reason::TlsCertificateInvalid, "{failure:?}");
                    Err(failure.detail.clone())
                }
            });
        }
    }
    results
}

fn accepts(what: &str, extension: &CustomExtension, names: &[SanType]) {
    for extension in [extension.clone(), critical(extension.clone())] {
        for result in tried(&extension, names) {
            assert_eq!(result, Ok(()), "{what}");
        }
    }
}

fn refuses(detail: &str, extension: &CustomExtension, names: &[SanType]) {
    for extension in [extension.clone(), critical(extension.clone())] {
        for result in tried(&extension, names) {
            assert_eq!(result, Err(format!("certificate {detail}: CN=leaf")));
        }
    }
}

#[test]
fn names_that_a_ca_may_issue_are_accepted() {
    let domain: Base<'_> = (MAIL, b"a.test");
    let below: Base<'_> = (MAIL, b".a.test");
    let one: Base<'_> = (MAIL, b"Who@A.test");
    let hosts: Base<'_> = (URI, b"a.test");
    let other: Base<'_> = (URI, b"b.test");
    for (what, permitted, excluded, names) in [
        ("no such name", &[domain, hosts][..], &[][..], vec![]),
        ("a domain", &[domain], &[], vec![mail("who@a.test")]),
        ("one below", &[domain], &[], vec![mail("who@c.A.test")]),
        ("below alone", &[below], &[], vec![mail("who@c.a.test")]),
        ("a mailbox", &[one], &[], vec![mail("Who@a.test")]),
        ("any", &[(MAIL, b"")], &[], vec![mail("who@a.test")]),
        ("either", &[below, domain], &[], vec![mail("x@a.test")]),
        ("a host", &[hosts], &[], vec![uri("spiffe://c.a.test/x")]),
        ("not excluded", &[], &[domain], vec![mail("who@b.test")]),
        (
            "nor the host",
            &[],
            &[other],
            vec![uri("spiffe://a.test/x")],
        ),
        (
            "no name to compare, of a kind that is free",
            &[domain],
            &[],
            vec![uri("urn:a:b"), uri("https://127.0.0.1/")],
        ),
        (
            "DNS names and addresses beside",
            &[
                domain,
                (DNS, b"test"),
                (ADDRESS, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ],
            &[
                (DNS, b"a.test"),
                (ADDRESS, &[192, 0, 2, 2, 255, 255, 255, 254]),
            ],
            vec![mail("who@a.test")],
        ),
    ] {
        accepts(what, &constraints(permitted, excluded), &names);
    }
}

#[test]
fn names_that_a_ca_may_not_issue_are_refused_by_name() {
    let domain: Base<'_> = (MAIL, b"a.test");
    let one: Base<'_> = (MAIL, b"who@a.test");
    let hosts: Base<'_> = (URI, b".a.test");
    let net: Base<'_> = (ADDRESS, &[192, 0, 2, 0, 255, 255, 255, 0]);
    for (detail, permitted, excluded, names) in [
        (
            "has the e-mail address who@b.test, which the name constraints of CN=bound do not permit (they permit a.test)",
            &[domain][..],
            &[][..],
            vec![mail("who@a.test"), mail("who@b.test")],
        ),
        (
            "has the e-mail address Who@a.test, which the name constraints of CN=bound do not permit (they permit who@a.test and 1 more)",
            &[one, (MAIL, b".a.test")],
            &[],
            vec![mail("Who@a.test")],
        ),
        (
            "has the e-mail address who@c.a.test, which the name constraints of CN=bound exclude (a.test)",
            &[(MAIL, b"")],
            &[domain],
            vec![mail("who@c.a.test")],
        ),
        (
            "has the e-mail address who, which is none that can be compared with the name constraints of CN=bound",
            &[(MAIL, b"")],
            &[],
            vec![mail("who")],
        ),
        (
            "has the URI spiffe://a.test/x, which the name constraints of CN=bound do not permit (they permit .a.test)",
            &[hosts],
            &[],
            vec![uri("spiffe://a.test/x")],
        ),
        (
            "has the URI spiffe://c.a.test/x, which the name constraints of CN=bound exclude (.a.test)",
            &[],
            &[hosts],
            vec![uri("spiffe://c.a.test/x")],
        ),
        (
            "has the URI urn:a:b, which is none that can be compared with the name constraints of CN=bound",
            &[],
            &[hosts],
            vec![uri("urn:a:b")],
        ),
        (
            "has the DNS name example.test, which the name constraints of CN=bound do not permit (they permit a.test)",
            &[domain, (DNS, b"a.test")],
            &[],
            vec![],
        ),
        (
            "has the DNS name *.c.test, which the name constraints of CN=bound exclude (b.c.test)",
            &[domain],
            &[(DNS, b"b.c.test")],
            vec![SanType::DnsName("*.c.test".try_into().expect("ASCII"))],
        ),
        (
            "has the IP address 192.0.2.1, which the name constraints of CN=bound exclude (192.0.2.0/24)",
            &[domain],
            &[net],
            vec![],
        ),
        (
            "has the IP address 2001:db8::1, which the name constraints of CN=bound do not permit (they permit 192.0.2.0/24)",
            &[domain, net],
            &[],
            vec![SanType::IpAddress("2001:db8::1".parse().expect("one"))],
        ),
    ] {
        refuses(detail, &constraints(permitted, excluded), &names);
    }
}

/// Go does not know them, so it passes over them where it may.
#[test]
fn other_kinds_refuse_a_chain_if_they_are_critical() {
    let name = tlv(0x30, &[]);
    for base in [(DIRECTORY, &name[..]), (0x88, &[0x2a, 3])] {
        for extension in [
            constraints(&[base], &[]),
            constraints(&[], &[base]),
            constraints(&[(MAIL, b"a.test"), base], &[]),
        ] {
            for result in tried(&extension, &[mail("who@a.test")]) {
                assert_eq!(result, Ok(()));
            }
            for result in tried(&critical(extension.clone()), &[]) {
                let detail = result.expect_err("critical");
                assert_eq!(
                    detail,
                    "certificate has critical name constraints on other names than DNS names, IP addresses, e-mail addresses and URIs, which alone are known: CN=bound"
                );
            }
            // A leaf has nothing below it, but the same is asked of it.
            for (extension, accepted) in [(extension.clone(), true), (critical(extension), false)] {
                let ca = root();
                let mut params = leaf(&[]);
                params.custom_extensions = vec![extension];
                let wire = verified(&ca, Server::issued(&params, &ca));
                assert_eq!(wire.heard.failure.is_none(), accepted, "{:?}", wire.heard);
            }
        }
    }
}

/// A CA is below those above it, with its names and its constraints.
#[test]
fn every_certificate_below_and_every_ca_above_counts() {
    let ca = CertifiedIssuer::self_signed(
        bound("bound", &constraints(&[(MAIL, b"a.test")], &[])),
        key(),
    );
    let ca = ca.expect("a root");
    let mut named = bound("middle", &constraints(&[], &[(URI, b"b.test")]));
    named.subject_alt_names = vec![mail("ca@a.test"), uri("https://b.test/")];
    for (own, names, refused) in [
        ("ca@a.test", vec![], None),
        ("ca@b.test", vec![], Some("ca@b.test")),
        ("ca@a.test", vec![mail("who@b.test")], Some("who@b.test")),
        (
            "ca@a.test",
            vec![uri("https://b.test/x")],
            Some("https://b.test/x"),
        ),
    ] {
        named.subject_alt_names[0] = mail(own);
        let middle = CertifiedIssuer::signed_by(named.clone(), key(), &ca).expect("a CA");
        let mut server = Server::issued(&leaf(&names), &middle);
        server.chain.push(der(middle.as_ref()));
        let wire = verified(&ca, server);
        match refused {
            None => assert!(wire.heard.failure.is_none(), "{:?}", wire.heard),
            Some(name) => {
                let failure = wire.heard.failed();
                assert!(failure.detail.contains(name), "{failure:?}");
            }
        }
    }
}

/// What cannot be read is for webpki to refuse.
#[test]
fn damaged_constraints_are_refused() {
    let twice = constraints(&[(MAIL, b"a.test")], &[]);
    let odd = |value: &[u8]| CustomExtension::from_oid_content(&[2, 5, 29, 30], value.to_vec());
    for extensions in [
        vec![twice.clone(), twice],
        vec![constraints(&[(MAIL, b"@a.test")], &[])],
        vec![odd(&tlv(
            0x30,
            &tlv(0xa0, &tlv(0x31, &tlv(MAIL, b"a.test"))),
        ))],
        vec![odd(&[5, 0])],
    ] {
        let ca = root();
        let mut params = ca_params("bound", (2035, 1, 1));
        params.custom_extensions = extensions;
        let middle = CertifiedIssuer::signed_by(params, key(), &ca).expect("a CA");
        let mut server = Server::issued(&leaf(&[mail("who@a.test")]), &middle);
        server.chain.push(der(middle.as_ref()));
        let wire = verified(&ca, server);
        assert!(wire.heard.failure.is_some(), "{:?}", wire.heard);
    }
}

/// Whoever has a CA with constraints cannot send what webpki is shown of it in its
/// place: nobody has signed that.
#[test]
fn a_copy_without_the_constraints_issues_nothing() {
    let ca = root();
    for extension in [
        constraints(&[(MAIL, b"a.test")], &[]),
        critical(constraints(&[(MAIL, b"a.test")], &[])),
    ] {
        let middle = CertifiedIssuer::signed_by(bound("bound", &extension), key(), &ca);
        let middle = middle.expect("a CA");
        let mut copy = middle.as_ref().der().to_vec();
        let id = [6, 3, 0x55, 0x1d, 0x1e];
        let at = copy.windows(id.len()).position(|window| window == id);
        let at = at.expect("the extension");
        copy[at + 2..at + 5].copy_from_slice(&[0x88, 0x37, 0x1e]);
        if copy[at + 5..at + 8] == [1, 1, 0xff] {
            copy[at + 7] = 0;
        }
        for (names, accepted) in [(mail("who@a.test"), true), (mail("who@b.test"), false)] {
            for copy_first in [true, false] {
                let mut server = Server::issued(&leaf(std::slice::from_ref(&names)), &middle);
                let mut issuers = [copy.clone().into(), der(middle.as_ref())];
                if !copy_first {
                    issuers.reverse();
                }
                server.chain.extend(issuers);
                let wire = verified(&ca, server);
                assert_eq!(wire.heard.failure.is_none(), accepted, "{:?}", wire.heard);
            }
            // Alone it is the CA that it names, with another's signature.
            let mut server = Server::issued(&leaf(&[names]), &middle);
            server.chain.push(copy.clone().into());
            let wire = verified(&ca, server);
            assert_eq!(wire.heard.failed().reason, Reason::TlsUnknownIssuer);
        }
    }
}

#[test]
fn comparisons_are_bounded() {
    let bases: Vec<String> = (0..600).map(|n| format!("{n}.test")).collect();
    let bases: Vec<Base<'_>> = bases.iter().map(|base| (MAIL, base.as_bytes())).collect();
    let ca = bound("bound", &constraints(&[], &bases));
    let ca = CertifiedIssuer::self_signed(ca, key()).expect("a root");
    for (count, accepted) in [(416, true), (417, false)] {
        let names: Vec<SanType> = (0..count).map(|n| mail(&format!("a@{n}.b"))).collect();
        let wire = verified(&ca, Server::issued(&leaf(&names), &ca));
        assert_eq!(wire.heard.failure.is_none(), accepted, "{count}");
        if let Some(failure) = &wire.heard.failure {
            assert_eq!(
                failure.detail,
                "certificate chain is too complex to be verified (more than 250000 comparisons of names with name constraints): CN=leaf"
            );
        }
    }
}
