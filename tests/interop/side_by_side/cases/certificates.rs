//! HTTPS, and what is told of certificates.

use rustls::CipherSuite;

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::{answer, module, ok};

const ROOT: &str = "tls_config: {ca_file: '@folder@/root.pem'}";
const SKIP: &str = "tls_config: {insecure_skip_verify: true}";

fn case(name: impl std::fmt::Display, options: &str, host: &str, tls: Tls) -> Case {
    Case::probe(
        format!("certificates::{name}"),
        module(options),
        &format!("https://{host}:@server-port@/"),
    )
    .server(Server::answering(ok("secure")).tls(tls))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = leaves();
    cases.extend(chains());
    cases.extend(names());
    cases.extend(sessions());
    cases.extend(clients());
    cases.extend(settings());
    cases
}

/// Each kind of leaf, verified and not.
fn leaves() -> Vec<Case> {
    let mut cases = Vec::new();
    for identity in [
        "good",
        "expired",
        "future",
        "other-name",
        "ip-only",
        "name-only",
        "no-names",
        "many-names",
        "serial-low",
        "serial-high",
        "serial-one",
        "subject-many",
        "subject-escapes",
        "subject-odd",
        "subject-empty",
        "ed25519",
        "p384",
        "itself",
        "own-authority",
        "any-purpose",
        "any-other-purpose",
        "any-purpose-chain",
        "client-purpose",
        "ca-leaf",
        "ca-leaf-bounded",
        "ca-leaf-chain",
        "policies-leaf",
        "policies-unasked",
        "policies-required",
        "policies-absent",
        "policies-other",
        "policies-mapped",
        "policies-unmapped",
        "critical-unknown",
        "critical-unknown-chain",
        "mail-permitted",
        "mail-one",
        "mail-not-permitted",
        "mail-not-excluded",
        "mail-excluded",
        "mail-unread",
        "mail-and-star",
        "mail-critical",
        "uri-permitted",
        "uri-not-permitted",
        "uri-not-excluded",
        "uri-excluded",
        "uri-address",
        "uri-without-host",
        "uri-unbound",
        "uri-unbound-dns",
        "dns-and-star",
        "directory-optional",
        "directory-excluded",
        "directory-critical",
        "too-many-names",
        "six-between",
        "seven-between",
    ] {
        cases.push(case(
            format!("{identity}_verified"),
            ROOT,
            "127.0.0.1",
            Tls::with(identity),
        ));
        cases.push(case(
            format!("{identity}_skipped"),
            SKIP,
            "127.0.0.1",
            Tls::with(identity),
        ));
    }
    for identity in [
        "rsa",
        "subject-pairs",
        "itself",
        "own-authority",
        "any-purpose",
        "client-purpose",
        "ca-leaf",
    ] {
        let own = format!("tls_config: {{ca_file: '@folder@/{identity}.pem'}}");
        cases.push(case(
            format!("{identity}_as_own_root"),
            &own,
            "localhost",
            Tls::with(identity),
        ));
    }
    cases
}

fn chains() -> Vec<Case> {
    let both = "tls_config: {ca_file: '@folder@/both-roots.pem'}";
    let middle = "tls_config: {ca_file: '@folder@/chained.pem'}";
    let mut cases = Vec::new();
    for identity in ["chained", "unchained", "rooted", "two-roots"] {
        cases.push(case(
            format!("{identity}_verified"),
            ROOT,
            "localhost",
            Tls::with(identity),
        ));
        cases.push(case(
            format!("{identity}_skipped"),
            SKIP,
            "localhost",
            Tls::with(identity),
        ));
        cases.push(case(
            format!("{identity}_of_both"),
            both,
            "localhost",
            Tls::with(identity),
        ));
    }
    cases.push(case(
        "chained_of_middle",
        middle,
        "localhost",
        Tls::with("chained"),
    ));
    cases.push(case(
        "unchained_of_middle",
        middle,
        "localhost",
        Tls::with("unchained"),
    ));
    for identity in ["bound-inside", "bound-outside"] {
        cases.push(case(
            format!("{identity}_verified"),
            "tls_config: {ca_file: '@folder@/bound-root.pem'}",
            "localhost",
            Tls::with(identity),
        ));
    }
    cases.push(case("system_roots", "", "localhost", Tls::with("good")));
    cases.push(case(
        "stranger",
        "tls_config: {ca_file: '@folder@/stranger.pem'}",
        "localhost",
        Tls::with("good"),
    ));
    cases
}

fn names() -> Vec<Case> {
    let with =
        |name: &str| format!("tls_config: {{ca_file: '@folder@/root.pem', server_name: {name}}}");
    let mut cases = vec![
        case(
            "address_of_name_only",
            ROOT,
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "name_of_name_only",
            ROOT,
            "localhost",
            Tls::with("name-only"),
        ),
        case("name_of_ip_only", ROOT, "localhost", Tls::with("ip-only")),
        case(
            "name_in_capitals",
            ROOT,
            "LOCALHOST",
            Tls::with("name-only"),
        ),
        case(
            "server_name",
            &with("localhost"),
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "server_name_wrong",
            &with("elsewhere.test"),
            "127.0.0.1",
            Tls::with("good"),
        ),
        case(
            "server_name_address",
            &with("127.0.0.1"),
            "localhost",
            Tls::with("ip-only"),
        ),
        case(
            "server_name_wildcard",
            &with("x.a.test"),
            "127.0.0.1",
            Tls::with("many-names"),
        ),
        case(
            "server_name_wildcard_deep",
            &with("x.y.a.test"),
            "127.0.0.1",
            Tls::with("many-names"),
        ),
        case(
            "host_field",
            &format!("headers: {{Host: localhost}}, {ROOT}"),
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "host_field_with_port",
            &format!("headers: {{Host: 'localhost:99'}}, {ROOT}"),
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "host_field_wrong",
            &format!("headers: {{Host: elsewhere.test}}, {ROOT}"),
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "host_field_and_server_name",
            &format!("headers: {{Host: elsewhere.test}}, {}", with("localhost")),
            "127.0.0.1",
            Tls::with("name-only"),
        ),
        case(
            "host_field_skipped",
            &format!("headers: {{Host: elsewhere.test}}, {SKIP}"),
            "127.0.0.1",
            Tls::with("good"),
        ),
        case(
            "hostname_parameter",
            ROOT,
            "127.0.0.1",
            Tls::with("name-only"),
        )
        .request(|request| request.query("&hostname=localhost")),
        case(
            "hostname_parameter_wrong",
            ROOT,
            "127.0.0.1",
            Tls::with("name-only"),
        )
        .request(|request| request.query("&hostname=elsewhere.test")),
    ];
    for name in ["app.local", "APP.local.", "local", "a.b.local", "x.a.test"] {
        let tls = Tls::with("star-names");
        let case_name = format!("server_name_star_for_{}", name.replace('.', "_"));
        cases.push(case(case_name, &with(name), "127.0.0.1", tls));
    }
    for (name, identity) in [
        ("address_mapped", "ip-only"),
        ("address_mapped_of_name_only", "name-only"),
    ] {
        let tls = Tls::with(identity);
        cases.push(case(name, ROOT, "[::ffff:127.0.0.1]", tls));
    }
    cases
}

fn sessions() -> Vec<Case> {
    let mut cases = vec![
        case("tls_1_2", ROOT, "localhost", Tls::with("good").only_tls12()),
        case("tls_1_3", ROOT, "localhost", Tls::with("good").only_tls13()),
        case(
            "no_http2",
            &format!("enable_http2: false, {ROOT}"),
            "localhost",
            Tls::with("good"),
        ),
    ];
    for (suite, identity) in [
        (CipherSuite::TLS13_AES_128_GCM_SHA256, "good"),
        (CipherSuite::TLS13_AES_256_GCM_SHA384, "good"),
        (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "good"),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "good"),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "good"),
        (
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            "good",
        ),
        (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "rsa"),
        (
            CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            "rsa",
        ),
    ] {
        let tls = Tls::with(identity);
        let tls = match suite.as_str() {
            Some(name) if name.starts_with("TLS13") => tls.only_tls13(),
            _ => tls.only_tls12(),
        };
        let name = suite.as_str().unwrap_or("suite").to_ascii_lowercase();
        cases.push(case(name, SKIP, "localhost", tls.suite(suite)));
    }
    for (name, options, tls) in [
        (
            "min_1_3_to_1_2",
            "min_version: TLS13",
            Tls::with("good").only_tls12(),
        ),
        ("min_1_3", "min_version: TLS13", Tls::with("good")),
        ("max_1_2", "max_version: TLS12", Tls::with("good")),
        (
            "max_1_2_to_1_3",
            "max_version: TLS12",
            Tls::with("good").only_tls13(),
        ),
        ("min_1_0", "min_version: TLS10", Tls::with("good")),
        (
            "min_above_max",
            "min_version: TLS13, max_version: TLS12",
            Tls::with("good"),
        ),
    ] {
        let options = format!("tls_config: {{insecure_skip_verify: true, {options}}}");
        cases.push(case(name, &options, "localhost", tls));
    }
    let bad = || answer(500, "", "no");
    cases.push(
        Case::probe(
            "certificates::bad_status",
            module(ROOT),
            "https://@server@/",
        )
        .server(Server::answering(bad()).tls(Tls::with("good"))),
    );
    cases.push(
        Case::probe("certificates::no_answer", module(ROOT), "https://@server@/")
            .server(Server::steps(vec![Step::Request]).tls(Tls::with("good"))),
    );
    cases
}

fn clients() -> Vec<Case> {
    let asked = || Tls::with("good").clients_of("root");
    let with = |more: &str| format!("tls_config: {{ca_file: '@folder@/root.pem', {more}}}");
    let own = "cert_file: '@folder@/client.pem', key_file: '@folder@/client.key'";
    let foreign = "cert_file: '@folder@/itself.pem', key_file: '@folder@/itself.key'";
    let mixed = "cert_file: '@folder@/client.pem', key_file: '@folder@/itself.key'";
    let missing = "cert_file: '@folder@/none.pem', key_file: '@folder@/client.key'";
    vec![
        case("client_given", &with(own), "localhost", asked()),
        case(
            "client_given_1_2",
            &with(own),
            "localhost",
            asked().only_tls12(),
        ),
        case("client_none", ROOT, "localhost", asked().only_tls12()),
        case("client_none_1_3", ROOT, "localhost", asked().only_tls13()),
        case(
            "client_foreign",
            &with(foreign),
            "localhost",
            asked().only_tls12(),
        ),
        case(
            "client_not_asked",
            &with(own),
            "localhost",
            Tls::with("good"),
        ),
        case("client_key_of_another", &with(mixed), "localhost", asked()),
        case("client_file_missing", &with(missing), "localhost", asked()),
    ]
}

fn settings() -> Vec<Case> {
    vec![
        case(
            "ca_missing",
            "tls_config: {ca_file: '@folder@/none.pem'}",
            "localhost",
            Tls::with("good"),
        ),
        case(
            "ca_no_pem",
            "tls_config: {ca_file: '@folder@/not-pem.txt'}",
            "localhost",
            Tls::with("good"),
        ),
        case(
            "ca_empty",
            "tls_config: {ca_file: '@folder@/empty.txt'}",
            "localhost",
            Tls::with("good"),
        ),
        case(
            "ca_damaged_beside_a_root",
            "tls_config: {ca_file: '@folder@/damaged-roots.pem'}",
            "localhost",
            Tls::with("good"),
        ),
        case(
            "ca_damaged",
            "tls_config: {ca_file: '@folder@/damaged.pem'}",
            "localhost",
            Tls::with("good"),
        ),
        case(
            "ca_ref",
            "tls_config: {ca_ref: x}",
            "localhost",
            Tls::with("good"),
        ),
        Case::probe(
            "certificates::ca_missing_for_plain_http",
            module("tls_config: {ca_file: '@folder@/none.pem'}"),
            "http://@server@/",
        )
        .server(Server::answering(ok("x"))),
        Case::probe(
            "certificates::skip_for_plain_http",
            module(SKIP),
            "http://@server@/",
        )
        .server(Server::answering(ok("x"))),
    ]
}
