//! What pages show of a configuration: `/config`, and the module on the page of
//! a probe.

use super::super::case::Case;
use super::super::server::Server;
use super::super::view::{Fields, View, see};
use super::ok;
use probity_tests::support::http::try_request;

/// Modules by the name of their case, which is about a kind of file.
const FILES: [(&str, &str); 6] = [
    (
        "plain",
        "
  bare: {prober: http}
  empty: {prober: http, http: {}}
  nothing: {prober: tcp, tcp: }
  maps: {prober: http, http: {headers: {}, valid_status_codes: , tls_config: {}}}
  zero: {prober: tcp, timeout: 0s}
  foreign: {prober: tcp, http: {method: POST}}
",
    ),
    (
        "http",
        "
  full:
    prober: http
    timeout: 1m30s
    http:
      preferred_ip_protocol: ip4
      ip_protocol_fallback: false
      valid_status_codes: [200, 404]
      valid_http_versions: [HTTP/1.1, HTTP/2.0]
      no_follow_redirects: true
      fail_if_ssl: true
      fail_if_not_ssl: true
      method: PUT
      headers: {Accept-Encoding: gzip, Host: a.test, Bool: yes, Number: 12, Empty: ''}
      fail_if_body_matches_regexp: [a, '']
      fail_if_body_not_matches_regexp: ['^b$']
      fail_if_body_json_matches_cel: body.x == 1
      fail_if_body_json_not_matches_cel: body.y == 2
      fail_if_header_matches: [{header: A, regexp: b, allow_missing: true}]
      fail_if_header_not_matches: [{header: C, regexp: d}]
      body: x
      compression: gzip
      body_size_limit: 1536KB
      enable_http2: false
      tls_config: {ca_file: '@folder@/ca.crt', min_version: TLS12, max_version: TLS13, server_name: s}
  followed: {prober: http, http: {no_follow_redirects: false, follow_redirects: false}}
  file: {prober: http, http: {body_file: '@folder@/body.txt'}}
",
    ),
    (
        "credentials",
        "
  bearer: {prober: http, http: {bearer_token: hush, proxy_url: 'http://p:1', no_proxy: 'a,b'}}
  bearer_file: {prober: http, http: {bearer_token_file: '@folder@/secret.txt'}}
  other: {prober: http, http: {authorization: {type: Token, credentials: hush}}}
  file: {prober: http, http: {authorization: {credentials_file: '@folder@/secret.txt'}}}
  nothing: {prober: http, http: {authorization: {}}}
  basic: {prober: http, http: {basic_auth: {username: u, password: hush}}}
  basic_file: {prober: http, http: {basic_auth: {username_file: '@folder@/secret.txt', password_file: '@folder@/secret.txt'}}}
  fields: {prober: http, http: {http_headers: {X-A: {values: [a], secrets: [hush], files: ['@folder@/secret.txt']}}}}
  proxy: {prober: http, http: {proxy_url: 'http://u:hush@p:1', proxy_connect_header: {X: [hush, hush]}, skip_resolve_phase_with_proxy: true}}
  environment: {prober: http, http: {proxy_from_environment: true}}
  token: {prober: http, http: {oauth2: {client_id: a, client_secret: hush, token_url: 'http://t/', scopes: [a, b], endpoint_params: {p: q}, tls_config: {insecure_skip_verify: true}}}}
  token_file: {prober: http, http: {oauth2: {client_id: a, client_secret_file: '@folder@/secret.txt', token_url: 'http://t/', proxy_url: 'http://u:hush@p'}}}
  assertion: {prober: http, http: {oauth2: {client_id: a, token_url: 'http://t/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: '@folder@/rsa.key', client_certificate_key_id: i, signature_algorithm: RS384, iss: s, audience: d, claims: {x: 1, y: [a]}}}}
",
    ),
    (
        "keys",
        "
  full: {prober: http, http: {headers: {Authorization: hush, Cookie: hush, X-Token: hush, Api-Key: hush, X-Other: shown}}}
",
    ),
    (
        "tcp",
        "
  full:
    prober: tcp
    timeout: 1500ms
    tcp:
      source_ip_address: 127.0.0.1
      preferred_ip_protocol: ip6
      tls: true
      tls_config: {ca_file: '@folder@/ca.crt', insecure_skip_verify: true}
      query_response: [{expect: 'a b'}, {expect_bytes: OK}, {send: hi}, {send: two words}, {expect: '^(x)', labels: [{name: l, value: $1}]}]
  off: {prober: tcp, tcp: {ip_protocol_fallback: false}}
",
    ),
    (
        "others",
        "
  dns: {prober: dns, timeout: 5s, dns: {query_name: a.b, query_type: SOA, query_class: CH, transport_protocol: tcp, dns_over_tls: true, recursion_desired: false, valid_rcodes: [NOERROR], validate_answer_rrs: {fail_if_matches_regexp: [a], fail_if_none_matches_regexp: [b]}, source_ip_address: 127.0.0.1, tls_config: {server_name: x}}}
  dns_plain: {prober: dns, dns: {query_name: a.b}}
  icmp: {prober: icmp, icmp: {ttl: 5, payload_size: 10, dont_fragment: true, preferred_ip_protocol: ip4}}
  icmp_zero: {prober: icmp, icmp: {ttl: 0}}
  icmp_absent: {prober: icmp}
  grpc: {prober: grpc, grpc: {service: a, tls: true, metadata: {k: [a]}, tls_config: {server_name: x}}}
  grpc_empty: {prober: grpc, grpc: {}}
  grpc_absent: {prober: grpc}
  unix: {prober: unix, unix: {tls: true, query_response: [{expect: a}]}}
  unix_absent: {prober: unix}
",
    ),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FILES
        .into_iter()
        .map(|(name, modules)| {
            Case::custom(format!("shown::config_{name}"), move |bench| {
                let process = bench.serve(&format!("modules:{modules}"), &[])?;
                let answer = try_request(process.address, "GET", "/config", &[]);
                let mut fields = Fields::new();
                see(&mut fields, "", &answer, &View::Yaml(""));
                Ok(fields)
            })
        })
        .collect();
    // What is no text, no reader of ours takes.
    cases.push(Case::custom("shown::config_bytes", |bench| {
        let module = "{prober: http, http: {body: !!binary gIGC, headers: {X: !!binary /w==}}}";
        let process = bench.serve(&format!("modules: {{bytes: {module}}}\n"), &[])?;
        let answer = try_request(process.address, "GET", "/config", &[]);
        let mut fields = Fields::new();
        let marks = View::Marks(&["body: !!binary gIGC", "X: !!binary /w=="]);
        see(&mut fields, "", &answer, &marks);
        Ok(fields)
    }));
    for (name, module, target, query) in [
        ("bare", "{prober: http}", "http://@server@/", ""),
        (
            "named",
            "{prober: http}",
            "http://@server@/",
            "&hostname=foo.test",
        ),
        (
            "full",
            "{prober: http, timeout: 20s, http: {no_follow_redirects: true, bearer_token: hush, headers: {X: a}, tls_config: {insecure_skip_verify: true}, fail_if_body_matches_regexp: [a]}}",
            "http://@server@/",
            "",
        ),
        (
            "tcp",
            "{prober: tcp, timeout: 20s, tcp: {query_response: [{send: hi}]}}",
            "@server@",
            "",
        ),
        (
            "tcp_named",
            "{prober: tcp, timeout: 20s, tcp: {tls_config: {insecure_skip_verify: true}}}",
            "@server@",
            "&hostname=foo.test",
        ),
    ] {
        let view = View::Yaml("Module configuration:\n");
        cases.push(
            Case::probe(format!("shown::debug_{name}"), module, target)
                .server(Server::answering(ok("x")))
                .request(|request| request.query(&format!("&debug=true{query}")).view(view)),
        );
    }
    cases
}
