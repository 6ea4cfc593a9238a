//! Files that `--config.check` takes or refuses.

use super::super::case::Case;

/// A file with one module.
fn one(name: &str, module: &str) -> Case {
    whole(name, &format!("modules:\n  m: {module}\n"))
}

fn whole(name: &str, file: &str) -> Case {
    Case::check(format!("config::{name}"), file)
}

fn http(name: &str, options: &str) -> Case {
    one(
        &format!("http_{name}"),
        &format!("{{prober: http, http: {{{options}}}}}"),
    )
}

fn tcp(name: &str, options: &str) -> Case {
    one(
        &format!("tcp_{name}"),
        &format!("{{prober: tcp, tcp: {{{options}}}}}"),
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(scalars());
    cases.extend(modules());
    cases.extend(http_options());
    cases.extend(clients());
    cases.extend(tls());
    cases.extend(encodings());
    cases.extend(tcp_options());
    cases.extend(other_probers());
    cases
}

/// A module of each prober, with what people write there.
const EVERY_PROBER: &str = "\
modules:
  web:
    prober: http
    timeout: 5s
    http: {valid_status_codes: [200, 204], method: POST, headers: {X-From: probe}, body: '{}'}
  login:
    prober: http
    timeout: 5s
    http: {method: GET, basic_auth: {username: who, password: why}, preferred_ip_protocol: ip4}
  bearer:
    prober: http
    http: {authorization: {type: Bearer, credentials: key}, no_follow_redirects: true}
  mail:
    prober: tcp
    tcp:
      query_response:
      - {expect: '^220 (.+) ESMTP'}
      - {send: 'EHLO probe'}
      - {starttls: true}
      tls_config: {insecure_skip_verify: true}
  chat:
    prober: tcp
    timeout: 5s
    tcp: {tls: true, query_response: [{send: 'NICK probe'}, {expect: 'PING :(.*)', send: 'PONG ${1}'}]}
  alive:
    prober: icmp
    timeout: 5s
    icmp: {preferred_ip_protocol: ip4, source_ip_address: 127.0.0.1, ttl: 5}
  name:
    prober: dns
    timeout: 5s
    dns:
      query_name: example.org
      query_type: MX
      valid_rcodes: [NOERROR, NXDOMAIN]
      validate_answer_rrs: {fail_if_not_matches_regexp: ['.*mail.*']}
      validate_additional_rrs: {fail_if_matches_regexp: ['.*evil.*']}
  rpc:
    prober: grpc
    grpc: {tls: true, service: health, metadata: {who: [probe]}}
";

fn files() -> Vec<Case> {
    [
        ("empty", ""),
        ("only_comment", "# nothing\n"),
        ("every_prober_good", EVERY_PROBER),
        ("no_modules", "modules: {}\n"),
        ("null_modules", "modules:\n"),
        ("unknown_top", "modules: {}\nother: 1\n"),
        ("list", "- a\n"),
        ("scalar", "text\n"),
        ("broken", "modules: {a: [}\n"),
        ("tab", "modules:\n\tm: {prober: http}\n"),
        (
            "two_documents",
            "modules: {m: {prober: http}}\n---\nother: 1\n",
        ),
        (
            "module_twice",
            "modules:\n  m: {prober: http}\n  m: {prober: tcp}\n",
        ),
        (
            "anchors",
            "modules:\n  a: &a {prober: http, timeout: 5s}\n  b: *a\n  c: {<<: *a, timeout: 6s}\n",
        ),
        ("unknown_alias", "modules: {m: *none}\n"),
        ("null_module", "modules: {m: }\n"),
        ("list_module", "modules: {m: [1]}\n"),
        ("not_utf8_escape", "modules: {\"\\xff\": {prober: http}}\n"),
        ("number_as_name", "modules: {1: {prober: http}}\n"),
        ("byte_order_mark", "\u{feff}modules: {m: {prober: http}}\n"),
        ("carriage_returns", "modules:\r\n  m: {prober: http}\r\n"),
        ("null", "null\n"),
        ("no_content", "---\n"),
        ("first_of_two_empty", "---\n---\nother: 1\n"),
        ("end_alone", "...\n"),
        ("null_as_name", "modules: {null: {prober: http}}\n"),
        ("empty_name", "modules: {'': {prober: http}}\n"),
        ("list_as_key", "modules: {? [a] : {prober: http}}\n"),
        ("own_tag", "modules: {m: !mine {prober: http}}\n"),
        ("merge_of_scalar", "modules: {m: {<<: 1, prober: http}}\n"),
        (
            "merge_of_list",
            "modules: {a: &a {prober: http}, b: {<<: [*a, *a], timeout: 5s}}\n",
        ),
    ]
    .into_iter()
    .map(|(name, file)| whole(&format!("file_{name}"), file))
    .collect()
}

/// What a scalar is, is for the field to say.
fn scalars() -> Vec<Case> {
    [
        ("int_octal", "valid_status_codes: [0o310, 0310, 0b11001000]"),
        ("int_exponent", "valid_status_codes: [2e2]"),
        ("int_under_score", "valid_status_codes: [2_00]"),
        ("int_negative", "valid_status_codes: [-200]"),
        ("int_too_large", "valid_status_codes: [9223372036854775808]"),
        ("int_infinite", "valid_status_codes: [.inf]"),
        ("int_null", "valid_status_codes: [null, ~]"),
        ("bool_tagged", "follow_redirects: !!str yes"),
        ("bool_tagged_bool", "follow_redirects: !!bool no"),
        ("text_of_date", "body: 2026-01-01"),
        ("text_of_number", "body: 0x10, method: 1.50"),
        ("text_of_bool", "method: no"),
        ("text_of_binary", "headers: {a: !!binary aGk=}"),
        ("text_of_bad_binary", "headers: {a: !!binary '*'}"),
        ("text_tagged_int", "method: !!int 5"),
        ("text_tagged_wrongly", "method: !!int five"),
        ("keys_of_any_kind", "headers: {1: x, true: y, null: z}"),
        ("list_of_numbers", "valid_http_versions: [1.1, null]"),
        ("block_text", "body: \"a\\n\""),
        ("cel_null", "fail_if_body_json_matches_cel: null"),
        ("size_fraction", "body_size_limit: 1.5KiB"),
        ("size_plus", "body_size_limit: +1MB"),
        ("size_number_tag", "body_size_limit: !!str 0"),
        (
            "header_values_null",
            "http_headers: {X: {values: [null, 1]}}",
        ),
        ("secret_number", "basic_auth: {username: 1, password: 0x10}"),
    ]
    .into_iter()
    .map(|(name, options)| http(&format!("yaml_{name}"), options))
    .collect()
}

fn modules() -> Vec<Case> {
    [
        ("prober_unknown", "{prober: nonsense}"),
        ("prober_missing", "{timeout: 5s}"),
        ("prober_in_capitals", "{prober: HTTP}"),
        ("unknown_field", "{prober: http, timeut: 5s}"),
        ("unknown_field_in_unused", "{prober: http, tcp: {nope: 1}}"),
        ("wrong_in_unused", "{prober: http, icmp: {ttl: -1}}"),
        ("field_twice", "{prober: http, timeout: 1s, timeout: 2s}"),
        (
            "all_sections_null",
            "{prober: http, http: , tcp: , icmp: , dns: , grpc: , unix: }",
        ),
        ("timeout_words", "{prober: http, timeout: soon}"),
        ("timeout_number", "{prober: http, timeout: 5}"),
        ("timeout_zero", "{prober: http, timeout: 0}"),
        ("timeout_days", "{prober: http, timeout: 1d}"),
        ("timeout_mixed", "{prober: http, timeout: 1m30s}"),
        ("timeout_fraction", "{prober: http, timeout: 1.5h}"),
        ("timeout_micro", "{prober: http, timeout: 10us}"),
        ("timeout_micro_sign", "{prober: http, timeout: 10µs}"),
        ("timeout_negative", "{prober: http, timeout: -5s}"),
        ("timeout_plus", "{prober: http, timeout: +5s}"),
        ("timeout_dot", "{prober: http, timeout: .5s}"),
        ("timeout_space", "{prober: http, timeout: '5 s'}"),
        ("timeout_empty", "{prober: http, timeout: ''}"),
        ("timeout_too_large", "{prober: http, timeout: 9999999h}"),
        ("timeout_null", "{prober: http, timeout: }"),
        ("timeout_list", "{prober: http, timeout: [5s]}"),
    ]
    .into_iter()
    .map(|(name, module)| one(&format!("module_{name}"), module))
    .collect()
}

fn http_options() -> Vec<Case> {
    [
        ("unknown_field", "nope: 1"),
        ("status_word", "valid_status_codes: [ok]"),
        ("status_scalar", "valid_status_codes: 200"),
        ("status_fraction", "valid_status_codes: [200.0]"),
        ("status_half", "valid_status_codes: [200.5]"),
        ("status_text", "valid_status_codes: ['200']"),
        ("status_octal", "valid_status_codes: [0310, 0x10]"),
        (
            "bool_yes",
            "follow_redirects: yes, fail_if_ssl: on, fail_if_not_ssl: n",
        ),
        ("bool_text", "follow_redirects: 'true'"),
        ("bool_one", "follow_redirects: 1"),
        ("bool_capital", "follow_redirects: TRUE, fail_if_ssl: False"),
        ("bool_odd_capital", "follow_redirects: tRUE"),
        ("number_as_text", "headers: {X: 1, Y: true, Z: null}"),
        ("list_as_text", "headers: {X: [1]}"),
        (
            "null_everywhere",
            "method: , headers: , valid_status_codes: , body_size_limit: ",
        ),
        ("regexp_bad", "fail_if_body_matches_regexp: [':[']"),
        (
            "regexp_not_bad",
            "fail_if_body_not_matches_regexp: ['a', '(']",
        ),
        ("regexp_scalar", "fail_if_body_matches_regexp: abc"),
        ("regexp_quotes", "fail_if_body_matches_regexp: ['\"\\é[']"),
        (
            "header_regexp_bad",
            "fail_if_header_matches: [{header: X, regexp: ':['}]",
        ),
        ("header_no_regexp", "fail_if_header_matches: [{header: X}]"),
        (
            "header_empty_regexp",
            "fail_if_header_not_matches: [{header: X, regexp: ''}]",
        ),
        ("header_no_name", "fail_if_header_matches: [{regexp: a}]"),
        (
            "header_unknown_field",
            "fail_if_header_matches: [{header: X, regexp: a, nope: 1}]",
        ),
        ("header_null", "fail_if_header_matches: [null]"),
        ("cel_bad", "fail_if_body_json_matches_cel: 'foo.bar'"),
        ("cel_syntax", "fail_if_body_json_matches_cel: 'body.'"),
        ("cel_empty", "fail_if_body_json_not_matches_cel: ''"),
        (
            "cel_unknown_function",
            "fail_if_body_json_matches_cel: 'nope(body)'",
        ),
        (
            "cel_wrong_types",
            "fail_if_body_json_matches_cel: '1 + true == 2'",
        ),
        ("cel_not_bool", "fail_if_body_json_matches_cel: '1 + 1'"),
        (
            "cel_good",
            "fail_if_body_json_matches_cel: 'body.foo == \"bar\"'",
        ),
        ("version_3_alone", "valid_http_versions: [HTTP/3.0]"),
        (
            "version_3_and_2",
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/3.0, HTTP/2.0]",
        ),
        (
            "version_3_and_1",
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/1.1, HTTP/3.0]",
        ),
        ("http3_and_http2", "enable_http3: true, enable_http2: true"),
        ("http3_and_default", "enable_http3: true"),
        ("http3_alone", "enable_http3: true, enable_http2: false"),
        (
            "http3_and_version_3",
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/3.0]",
        ),
        (
            "http3_and_version_2",
            "enable_http3: true, valid_http_versions: [HTTP/2.0]",
        ),
        (
            "http3_and_version_1",
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/1.1]",
        ),
        (
            "http3_and_version_1_and_2",
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/1.1, HTTP/2.0]",
        ),
        ("version_odd", "valid_http_versions: [HTTP/9]"),
        ("body_and_file", "body: a, body_file: b"),
        ("body_file_missing", "body_file: /nowhere/at/all"),
        ("limit_bare", "body_size_limit: 1000"),
        ("limit_zero", "body_size_limit: 0"),
        ("limit_small_k", "body_size_limit: 1kB"),
        ("limit_sum", "body_size_limit: 1GiB512MiB"),
        ("limit_fraction", "body_size_limit: 1.5MB"),
        ("limit_negative", "body_size_limit: -1B"),
        ("limit_space", "body_size_limit: '1 MB'"),
        ("limit_word", "body_size_limit: much"),
        ("limit_empty", "body_size_limit: ''"),
        ("limit_exa", "body_size_limit: 7EiB"),
        ("limit_too_large", "body_size_limit: 9EiB"),
        ("limit_unit_only", "body_size_limit: MB"),
        ("limit_k", "body_size_limit: 1K"),
        ("preferred_odd", "preferred_ip_protocol: nonsense"),
        ("source_odd", "source_ip_address: nonsense"),
        (
            "regexp_large",
            "fail_if_body_matches_regexp: ['(?i)(\\p{L}|\\p{N}){1,500}']",
        ),
        (
            "header_regexp_large",
            "fail_if_header_matches: [{header: X, regexp: '(?i)(\\p{L}|\\p{N}){1,500}'}]",
        ),
        (
            "regexp_property_of_perl",
            "fail_if_body_matches_regexp: ['\\p{IsGreek}']",
        ),
        ("proxy_port_too_large", "proxy_url: 'http://a:99999'"),
        ("proxy_port_zero", "proxy_url: 'http://a:0'"),
        ("proxy_international", "proxy_url: 'http://bücher.example'"),
        ("proxy_host_empty", "proxy_url: 'http://'"),
        ("proxy_host_empty_with_user", "proxy_url: 'http://u:p@'"),
        ("proxy_name_and_port", "proxy_url: 'a.example:3128'"),
        ("proxy_host_of_symbols", "proxy_url: 'http://a$b'"),
        ("proxy_user_escape", "proxy_url: 'http://u:p%zz@a'"),
        ("proxy_user_empty", "proxy_url: 'socks5://:p@a'"),
        ("compression_odd", "compression: zstd"),
        ("old_redirects", "no_follow_redirects: true"),
        ("skip_resolve", "skip_resolve_phase_with_proxy: true"),
        ("method_odd", "method: 'a b'"),
    ]
    .into_iter()
    .map(|(name, options)| http(name, options))
    .collect()
}

fn clients() -> Vec<Case> {
    let oauth = "client_id: a, client_secret: b, token_url: 'http://127.0.0.1/'";
    let mut cases: Vec<Case> = [
        ("two_bearers", "bearer_token: a, bearer_token_file: b"),
        (
            "basic_and_bearer",
            "basic_auth: {username: a}, bearer_token: b",
        ),
        (
            "basic_and_bearer_file",
            "basic_auth: {username: a}, bearer_token_file: b",
        ),
        (
            "basic_two_names",
            "basic_auth: {username: a, username_file: b}",
        ),
        (
            "basic_name_and_ref",
            "basic_auth: {username: a, username_ref: b}",
        ),
        (
            "basic_two_passwords",
            "basic_auth: {password: a, password_file: b}",
        ),
        (
            "basic_password_ref",
            "basic_auth: {username: a, password_ref: b}",
        ),
        ("basic_empty", "basic_auth: {}"),
        ("basic_null", "basic_auth: "),
        ("basic_unknown_field", "basic_auth: {user: a}"),
        (
            "authorization_and_bearer",
            "authorization: {credentials: a}, bearer_token: b",
        ),
        (
            "authorization_two",
            "authorization: {credentials: a, credentials_file: b}",
        ),
        (
            "authorization_basic",
            "authorization: {type: Basic, credentials: a}",
        ),
        (
            "authorization_basic_spaces",
            "authorization: {type: ' basic ', credentials: a}",
        ),
        (
            "authorization_and_basic_auth",
            "authorization: {credentials: a}, basic_auth: {username: b}",
        ),
        ("authorization_ref", "authorization: {credentials_ref: a}"),
        ("authorization_empty", "authorization: {}"),
        (
            "headers_reserved",
            "http_headers: {Authorization: {values: [a]}}",
        ),
        (
            "headers_reserved_small",
            "http_headers: {user-agent: {values: [a]}}",
        ),
        (
            "headers_reserved_host",
            "http_headers: {host: {values: [a]}}",
        ),
        (
            "headers_accept_encoding",
            "http_headers: {Accept-Encoding: {values: [a]}}",
        ),
        ("headers_list", "http_headers: {X: [a]}"),
        ("headers_unknown_field", "http_headers: {X: {value: a}}"),
        ("headers_null", "http_headers: {X: }"),
        ("proxy", "proxy_url: 'http://127.0.0.1:3128'"),
        ("proxy_bad", "proxy_url: 'http://[::1'"),
        ("proxy_without_scheme", "proxy_url: '127.0.0.1:3128'"),
        ("proxy_host_alone", "proxy_url: 'localhost:3128'"),
        ("proxy_odd_scheme", "proxy_url: 'ftp://127.0.0.1:3128'"),
        ("proxy_socks", "proxy_url: 'socks5://u:p@127.0.0.1:1080'"),
        ("proxy_empty", "proxy_url: ''"),
        (
            "proxy_and_environment",
            "proxy_url: 'http://127.0.0.1:3128', proxy_from_environment: true",
        ),
        (
            "environment_and_no_proxy",
            "proxy_from_environment: true, no_proxy: a",
        ),
        ("no_proxy_alone", "no_proxy: a"),
        ("connect_header_alone", "proxy_connect_header: {X: [a]}"),
        (
            "connect_header",
            "proxy_url: 'http://127.0.0.1:3128', proxy_connect_header: {X: [a]}",
        ),
        (
            "connect_header_scalar",
            "proxy_url: 'http://127.0.0.1:3128', proxy_connect_header: {X: a}",
        ),
        ("bearer_null", "bearer_token: "),
    ]
    .into_iter()
    .map(|(name, options)| http(&format!("client_{name}"), options))
    .collect();
    for (name, fields) in [
        ("good", oauth.to_owned()),
        ("empty", String::new()),
        ("without_id", "client_secret: b, token_url: 'http://127.0.0.1/'".to_owned()),
        ("without_url", "client_id: a, client_secret: b".to_owned()),
        ("without_secret", "client_id: a, token_url: 'http://127.0.0.1/'".to_owned()),
        ("two_secrets", format!("{oauth}, client_secret_file: c")),
        ("grant_unknown", format!("{oauth}, grant_type: nonsense")),
        ("jwt", "client_id: a, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k".to_owned()),
        ("jwt_algorithm", "client_id: a, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k, signature_algorithm: HS256".to_owned()),
        ("jwt_without_key", "client_id: a, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'".to_owned()),
        ("jwt_two_keys", "client_id: a, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k, client_certificate_key_file: f".to_owned()),
        ("jwt_claims_scalar", "client_id: a, token_url: 'http://127.0.0.1/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: f, claims: x".to_owned()),
        ("scopes_scalar", format!("{oauth}, scopes: a")),
        ("unknown_field", format!("{oauth}, nope: 1")),
        ("tls_bad", format!("{oauth}, tls_config: {{cert_file: a}}")),
        ("proxy_both", format!("{oauth}, proxy_url: 'http://127.0.0.1', proxy_from_environment: true")),
        ("url_bad", "client_id: a, client_secret: b, token_url: 'http://[::1'".to_owned()),
    ] {
        cases.push(http(&format!("oauth2_{name}"), &format!("oauth2: {{{fields}}}")));
    }
    cases.push(http(
        "oauth2_and_basic",
        &format!("oauth2: {{{oauth}}}, basic_auth: {{username: a}}"),
    ));
    cases.push(http(
        "oauth2_and_bearer",
        &format!("oauth2: {{{oauth}}}, bearer_token: a"),
    ));
    cases.push(http(
        "oauth2_and_authorization",
        &format!("oauth2: {{{oauth}}}, authorization: {{credentials: a}}"),
    ));
    cases
}

fn tls() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, fields) in [
        ("empty", ""),
        ("unknown_field", "nope: 1"),
        ("two_cas", "ca: a, ca_file: b"),
        ("ca_and_ref", "ca: a, ca_ref: b"),
        ("ca_not_pem", "ca: a"),
        ("two_certs", "cert: a, cert_file: b, key: c"),
        ("two_keys", "cert: a, key: b, key_file: c"),
        ("cert_alone", "cert_file: a"),
        ("key_alone", "key_file: a"),
        ("key_ref_alone", "key_ref: a"),
        ("cert_ref", "cert_ref: a, key_ref: b"),
        (
            "files_missing",
            "ca_file: /nowhere/a, cert_file: /nowhere/b, key_file: /nowhere/c",
        ),
        ("version_unknown", "min_version: TLS14"),
        ("version_number", "min_version: 1.2"),
        ("version_1_0", "min_version: TLS10"),
        ("version_1_1_at_most", "max_version: TLS11"),
        ("version_ssl", "min_version: SSL30"),
        (
            "version_backwards",
            "min_version: TLS13, max_version: TLS12",
        ),
        ("version_empty", "min_version: ''"),
        ("skip_word", "insecure_skip_verify: maybe"),
    ] {
        cases.push(http(
            &format!("tls_{name}"),
            &format!("tls_config: {{{fields}}}"),
        ));
        cases.push(tcp(
            &format!("tls_{name}"),
            &format!("tls_config: {{{fields}}}"),
        ));
    }
    cases
}

fn encodings() -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, (compression, accept)) in [
        ("", "gzip"),
        ("gzip", ""),
        ("gzip", "gzip"),
        ("gzip", "gzip;q=1.0"),
        ("gzip", "gzip, compress"),
        ("gzip", "compress, gzip"),
        ("br", "gzip, compress"),
        ("br", "gzip, compress, *"),
        ("br", "gzip, compress, *;q=0.1"),
        ("br", "gzip, compress, br;q=0.0"),
        ("br", "gzip, compress, *;q=0.0"),
        ("br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0"),
        ("br", "*;q=0.0, compress;q=0.5, br;q=0.1, gzip;q=1.0"),
        ("br", " gzip;q=1.0, compress; q=0.5, br;q=0.1, *; q=0.0 "),
        ("gzip", "deflate"),
        ("gzip", "GZIP"),
        ("GZIP", "gzip"),
        ("identity", "gzip"),
        ("deflate", "deflate;q=0.0004"),
        ("deflate", "deflate;q=abc"),
        ("deflate", "deflate;q=0, *"),
        ("deflate", "*, deflate;q=0"),
        ("gzip", "*;q=0.0"),
    ]
    .into_iter()
    .enumerate()
    {
        cases.push(http(
            &format!("encoding_{number}"),
            &format!("compression: '{compression}', headers: {{'Accept-Encoding': '{accept}'}}"),
        ));
    }
    cases.push(http(
        "encoding_odd_capitals",
        "compression: gzip, headers: {'accEpt-enCoding': br}",
    ));
    cases
}

fn tcp_options() -> Vec<Case> {
    [
        ("unknown_field", "nope: 1"),
        ("entry_unknown_field", "query_response: [{nope: 1}]"),
        ("entry_null", "query_response: [null]"),
        ("entry_scalar", "query_response: [a]"),
        ("regexp_bad", "query_response: [{expect: ':['}]"),
        ("regexp_empty", "query_response: [{expect: ''}]"),
        (
            "expect_both",
            "query_response: [{expect: a, expect_bytes: b}]",
        ),
        ("binary", "query_response: [{send: !!binary AAH/}]"),
        ("binary_bad", "query_response: [{send: !!binary '***'}]"),
        ("starttls_word", "query_response: [{starttls: sure}]"),
        ("labels_scalar", "query_response: [{expect: a, labels: x}]"),
        (
            "labels_unknown_field",
            "query_response: [{expect: a, labels: [{nope: 1}]}]",
        ),
        ("tls_word", "tls: sure"),
        ("preferred", "preferred_ip_protocol: ip9"),
    ]
    .into_iter()
    .map(|(name, options)| tcp(name, options))
    .collect()
}

fn other_probers() -> Vec<Case> {
    [
        ("icmp", "{prober: icmp}"),
        ("icmp_all", "{prober: icmp, icmp: {preferred_ip_protocol: ip4, source_ip_address: 127.0.0.1, payload_size: 10, dont_fragment: true, ttl: 5}}"),
        ("icmp_source_empty", "{prober: icmp, icmp: {source_ip_address: ''}}"),
        ("dns_source_empty", "{prober: dns, dns: {query_name: a.test, source_ip_address: ''}}"),
        ("icmp_ttl_negative", "{prober: icmp, icmp: {ttl: -1}}"),
        ("icmp_ttl_large", "{prober: icmp, icmp: {ttl: 256}}"),
        ("icmp_unknown_field", "{prober: icmp, icmp: {nope: 1}}"),
        ("dns", "{prober: dns, dns: {query_name: a.test}}"),
        ("dns_absent", "{prober: dns}"),
        ("dns_empty", "{prober: dns, dns: {}}"),
        ("dns_class", "{prober: dns, dns: {query_name: a, query_class: X}}"),
        ("dns_class_small", "{prober: dns, dns: {query_name: a, query_class: ch}}"),
        ("dns_type", "{prober: dns, dns: {query_name: a, query_type: X}}"),
        ("dns_type_https", "{prober: dns, dns: {query_name: a, query_type: HTTPS}}"),
        ("dns_type_small", "{prober: dns, dns: {query_name: a, query_type: aaaa}}"),
        ("dns_rcode", "{prober: dns, dns: {query_name: a, valid_rcodes: [NOPE]}}"),
        ("dns_regexp", "{prober: dns, dns: {query_name: a, validate_answer_rrs: {fail_if_matches_regexp: ['[']}}}"),
        ("dns_validator_unknown", "{prober: dns, dns: {query_name: a, validate_answer_rrs: {nope: ['[']}}}"),
        ("dns_transport", "{prober: dns, dns: {query_name: a, transport_protocol: sctp}}"),
        ("grpc", "{prober: grpc, grpc: {service: a, tls: true, metadata: {k: [a]}}}"),
        ("grpc_absent", "{prober: grpc}"),
        ("grpc_metadata_scalar", "{prober: grpc, grpc: {metadata: {k: a}}}"),
        ("unix", "{prober: unix}"),
        ("unix_entries", "{prober: unix, unix: {query_response: [{expect: a}, {send: b}], tls: true}}"),
        ("unix_regexp", "{prober: unix, unix: {query_response: [{expect: ':['}]}}"),
        ("unix_both", "{prober: unix, unix: {query_response: [{expect: a, expect_bytes: b}]}}"),
    ]
    .into_iter()
    .map(|(name, module)| one(&format!("prober_{name}"), module))
    .collect()
}
