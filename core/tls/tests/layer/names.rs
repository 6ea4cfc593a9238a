//! Which names a certificate is for: Go's rules, where webpki's are narrower.

use std::net::Ipv4Addr;

use probity_engine::Reason;
use rcgen::SanType;

use crate::common::{END, Server, der, handshake, key, leaf_params, root, trusting};

/// webpki wants two labels below a star.
#[test]
fn a_star_may_stand_directly_below_one_label() {
    let ca = root();
    let own = key();
    let cert = leaf_params(&["*.local", "*.a.test"])
        .signed_by(&own, &ca)
        .expect("a certificate");
    for (name, accepted) in [
        ("app.local", true),
        ("APP.Local.", true),
        ("b.a.test", true),
        ("local", false),
        ("a.b.local", false),
        ("app.locals", false),
        ("a.test", false),
    ] {
        let server = Server::new(vec![der(&cert)], &own);
        let wire = handshake(&trusting(ca.as_ref()), name, server);
        if accepted {
            assert_eq!(wire.heard.chain().chain_expiry, Some(END), "{name}");
        } else {
            let failure = wire.heard.failed();
            assert_eq!(failure.reason, Reason::TlsNameMismatch, "{name}");
            assert_eq!(
                failure.detail,
                format!("certificate is for *.local, *.a.test, not for {name}")
            );
        }
    }
}

#[test]
fn an_ipv4_address_is_the_same_where_it_is_mapped_into_ipv6() {
    let ca = root();
    let own = key();
    let mapped = Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped();
    let mut leaf = leaf_params(&["192.0.2.1", "2001:db8::1"]);
    leaf.subject_alt_names
        .push(SanType::IpAddress(mapped.into()));
    let cert = leaf.signed_by(&own, &ca).expect("a certificate");
    for (name, accepted) in [
        ("192.0.2.1", true),
        ("[::ffff:192.0.2.1]", true),
        ("::ffff:c000:201", true),
        ("192.0.2.2", true),
        ("::ffff:192.0.2.2", true),
        ("2001:db8::1", true),
        ("::ffff:192.0.2.3", false),
        // The same bytes, but not mapped (RFC 4291 section 2.5.5.1).
        ("::192.0.2.1", false),
    ] {
        let server = Server::new(vec![der(&cert)], &own);
        let wire = handshake(&trusting(ca.as_ref()), name, server);
        assert_eq!(wire.heard.secured.len() == 1, accepted, "{name}");
        if !accepted {
            assert_eq!(wire.heard.failed().reason, Reason::TlsNameMismatch);
        }
    }
}
