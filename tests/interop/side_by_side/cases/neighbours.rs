//! Real servers: nginx, haproxy, openssl.

use super::super::case::Case;
use super::module;

const ROOT: &str = "tls_config: {ca_file: '@folder@/root.pem'}";
const SKIP: &str = "tls_config: {insecure_skip_verify: true}";
const RSA: &str = "tls_config: {ca_file: '@folder@/rsa.pem'}";

pub(crate) fn cases() -> Vec<Case> {
    let own = "tls_config: {ca_file: '@folder@/root.pem', cert_file: '@folder@/client.pem', key_file: '@folder@/client.key'}";
    let echo = "method: POST, body: text, headers: {X-One: 1, Host: vhost.test}";
    let mut cases = Vec::new();
    for (name, options, target) in [
        ("nginx_plain", "", "http://@nginx-http@/"),
        ("nginx_missing", "", "http://@nginx-http@/nothing"),
        (
            "nginx_gone",
            "valid_status_codes: [410]",
            "http://@nginx-http@/gone",
        ),
        ("nginx_file", "", "http://@nginx-http@/text.txt"),
        (
            "nginx_gzip",
            "compression: gzip, headers: {Accept-Encoding: gzip}",
            "http://@nginx-http@/text.txt",
        ),
        (
            "nginx_gzip_asked_only",
            "headers: {Accept-Encoding: gzip}",
            "http://@nginx-http@/text.txt",
        ),
        ("nginx_https", ROOT, "https://@nginx-https@/"),
        ("nginx_to_https", ROOT, "http://@nginx-http@/secure"),
        ("nginx_plain_to_https_port", "", "http://@nginx-https@/"),
        ("nginx_mutual", own, "https://@nginx-mutual@/"),
        ("nginx_mutual_without", ROOT, "https://@nginx-mutual@/"),
        ("nginx_http2", ROOT, "https://@nginx-h2@/"),
        (
            "nginx_http2_only",
            &format!("valid_http_versions: [HTTP/2.0], {ROOT}"),
            "https://@nginx-h2@/",
        ),
        (
            "nginx_http2_refused",
            &format!("valid_http_versions: [HTTP/1.1], {ROOT}"),
            "https://@nginx-h2@/",
        ),
        (
            "nginx_http2_off",
            &format!("enable_http2: false, {ROOT}"),
            "https://@nginx-h2@/",
        ),
        (
            "nginx_http2_post",
            &format!("{echo}, {SKIP}"),
            "https://@nginx-h2@/echo",
        ),
        (
            "nginx_http2_echo",
            &format!(
                "fail_if_body_not_matches_regexp: ['^1\\|vhost.test\\|Blackbox-Exporter/.*\\|GET\\|\\|\\n$'], headers: {{X-One: 1, Host: vhost.test}}, {SKIP}"
            ),
            "https://@nginx-h2@/echo",
        ),
        ("nginx_http2_redirect", ROOT, "https://@nginx-h2@/moved"),
        ("nginx_http2_redirect_away", ROOT, "https://@nginx-h2@/away"),
        (
            "nginx_http2_not_followed",
            &format!("follow_redirects: false, valid_status_codes: [302], {ROOT}"),
            "https://@nginx-h2@/moved",
        ),
        ("nginx_http2_gone", ROOT, "https://@nginx-h2@/gone"),
        (
            "nginx_http2_head",
            &format!("method: HEAD, {ROOT}"),
            "https://@nginx-h2@/text.txt",
        ),
        (
            "nginx_http2_file",
            &format!("fail_if_body_not_matches_regexp: ['hello'], {ROOT}"),
            "https://@nginx-h2@/text.txt",
        ),
        (
            "nginx_http2_gzip",
            &format!("compression: gzip, headers: {{Accept-Encoding: gzip}}, {ROOT}"),
            "https://@nginx-h2@/text.txt",
        ),
        (
            "nginx_http2_limit",
            &format!("body_size_limit: 10B, {ROOT}"),
            "https://@nginx-h2@/text.txt",
        ),
        ("haproxy_plain", "", "http://@haproxy-http@/"),
        (
            "haproxy_header",
            "fail_if_header_not_matches: [{header: X-Served-By, regexp: '^haproxy$'}]",
            "http://@haproxy-http@/",
        ),
        ("haproxy_http2", SKIP, "https://@haproxy-h2@/"),
        ("haproxy_http2_missing", SKIP, "https://@haproxy-h2@/none"),
        (
            "haproxy_http2_off",
            &format!("enable_http2: false, {SKIP}"),
            "https://@haproxy-h2@/",
        ),
        ("haproxy_tls_1_2", RSA, "https://@haproxy-tls12@/"),
        ("openssl_tls_1_3", RSA, "https://@openssl-tls13@/"),
        ("openssl_aes256", RSA, "https://@openssl-aes256@/"),
        ("openssl_chacha", RSA, "https://@openssl-chacha@/"),
        ("openssl_cbc", RSA, "https://@openssl-cbc@/"),
        ("openssl_rsa_key_exchange", RSA, "https://@openssl-rsakex@/"),
        ("openssl_tls_1_1", RSA, "https://@openssl-tls11@/"),
        (
            "openssl_tls_1_1_allowed",
            "tls_config: {insecure_skip_verify: true, min_version: TLS10}",
            "https://@openssl-tls11@/",
        ),
    ] {
        cases.push(Case::probe(
            format!("neighbours::{name}"),
            module(options),
            target,
        ));
    }
    for (name, target) in [
        ("haproxy_tls_1_2", "@haproxy-tls12@"),
        ("openssl_tls_1_3", "@openssl-tls13@"),
        ("openssl_aes256", "@openssl-aes256@"),
        ("nginx", "@nginx-https@"),
    ] {
        cases.push(Case::probe(
            format!("neighbours::tcp_{name}"),
            format!("{{prober: tcp, timeout: 20s, tcp: {{tls: true, {SKIP}}}}}"),
            target,
        ));
    }
    cases.extend(keys());
    cases.push(Case::probe(
        "neighbours::tcp_http_by_hand",
        "{prober: tcp, timeout: 20s, tcp: {query_response: [{send: \"GET / HTTP/1.0\\r\"}, {send: \"\\r\"}, {expect: '^HTTP/1.1 200'}, {expect: '^plain$'}]}}",
        "@nginx-http@",
    ));
    cases
}

/// Keys and signatures of servers, with each version of TLS, verified and not.
fn keys() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, root) in [
        ("rsa1024", "rsa-1024"),
        ("rsa1024-issued", "rsa-1024"),
        ("rsa768", "rsa-768"),
        ("rsa768-issued", "rsa-768"),
        ("pkcs1", "rsa-1024"),
        ("sha1", "rsa"),
        ("p521", "p521"),
        ("p521-issued", "p521"),
        ("p521-group", "rsa"),
        ("sha512", "subject-pairs"),
    ] {
        for (way, options) in [
            ("verified", format!("ca_file: '@folder@/{root}.pem'")),
            ("skipped", "insecure_skip_verify: true".to_owned()),
        ] {
            for (version, bounds) in [("1_2", "max_version: TLS12"), ("1_3", "min_version: TLS13")]
            {
                cases.push(Case::probe(
                    format!("neighbours::keys_{name}_{way}_{version}"),
                    format!(
                        "{{prober: tcp, timeout: 20s, tcp: {{tls: true, tls_config: {{{options}, {bounds}}}}}}}"
                    ),
                    &format!("@openssl-{name}@"),
                ));
            }
        }
    }
    cases
}
