//! Messages that are longer than what is read.

use probity_engine::Reason;
use probity_tls::{Layer, TlsOptions};
use rustls::version::{TLS12, TLS13};

use crate::common::{Server, client, handshake, leaf_params, root, trusting};

/// It is not the server's fault that no more is read here.
#[test]
fn certificates_that_are_too_large_are_beyond_a_bound_of_ours() {
    let ca = root();
    let names: Vec<String> = (0..3_500)
        .map(|n| format!("name-{n}.example.test"))
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("example.test");
    for version in [&TLS12, &TLS13] {
        for (count, fits) in [(2_000, true), (names.len(), false)] {
            for skip_verify in [true, false] {
                let names = &names[names.len() - count..];
                let mut server = Server::issued(&leaf_params(names), &ca);
                server.only = Some(version);
                let options = TlsOptions {
                    skip_verify,
                    ..trusting(ca.as_ref())
                };
                let wire = handshake(&options, "example.test", server);
                if fits {
                    assert!(wire.heard.failure.is_none(), "{:?}", wire.heard.failure);
                    continue;
                }
                let failure = wire.heard.failed();
                assert_eq!(failure.reason, Reason::LocalBound);
                assert_eq!(
                    failure.detail,
                    "the server's certificates are more than the 65535 bytes that are read here: give it one with fewer names, or fewer of them"
                );
            }
        }
    }
}

/// Of what is not even a server's first message nobody knows that it is one.
#[test]
fn other_messages_that_are_too_large_are_the_servers_fault() {
    let options = TlsOptions::default();
    for kind in [1, 2, 11] {
        let mut layer = Layer::new(&client(&options), "example.test").expect("a layer");
        let mut out = Vec::new();
        layer.start(&mut out).expect("a hello");
        let mut message = [22, 3, 3, 0, 8, kind, 1, 0, 0, 3, 3, 0, 0];
        let failure = layer.receive(&mut message, &mut out, |_| ());
        let failure = failure.expect_err("too large");
        assert_eq!(failure.reason, Reason::TlsHandshake, "{kind}: {failure:?}");
    }
}
