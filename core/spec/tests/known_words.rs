//! Files that blackbox_exporter refuses are refused in its words, whatever is
//! added to them: people search for them. The rows are those of its
//! TestLoadBadConfigs and of Prometheus' own for the HTTP client.

use probity_engine::config::NoFiles;
use probity_spec::File;

#[track_caller]
fn refused(module: &str) -> String {
    let text = format!("modules:\n  m: {{{module}}}\n");
    match File::parse("f.yml", &text, &NoFiles) {
        Ok(_) => panic!("{module} is accepted"),
        Err(errors) => errors.to_string(),
    }
}

#[track_caller]
fn check(rows: &[(&str, &str)]) {
    for (module, words) in rows {
        let found = refused(module);
        assert!(
            found.contains(words),
            "{module}\nexpected {words}\nin {found}"
        );
    }
}

#[test]
fn of_modules() {
    check(&[
        ("prober: ftp", "prober 'ftp' is not valid"),
        (
            "prober: dns, dns: {}",
            "query name must be set for DNS module",
        ),
        (
            "prober: dns, dns: {query_name: a.example, query_class: XX}",
            "query class 'XX' is not valid",
        ),
        (
            "prober: dns, dns: {query_name: a.example, query_type: XX}",
            "query type 'XX' is not valid",
        ),
        (
            "prober: icmp, icmp: {ttl: -1}",
            "\"ttl\" cannot be negative",
        ),
        (
            "prober: icmp, icmp: {ttl: 256}",
            "\"ttl\" cannot exceed 255",
        ),
        ("prober: http, http: {bodies: x}", "field bodies not found"),
        (
            "prober: tcp, tcp: {query_response: [{expect: '(', send: a}]}",
            "\"Could not compile regular expression\" regexp=\"(\"",
        ),
        (
            "prober: tcp, tcp: {query_response: [{expect: a, expect_bytes: b}]}",
            "expect and expect_bytes are mutually exclusive",
        ),
        (
            "prober: unix, unix: {query_response: [{expect: '('}]}",
            "\"Could not compile regular expression\" regexp=\"(\"",
        ),
        (
            "prober: websocket, websocket: {query_response: [{expect: '('}]}",
            "\"Could not compile regular expression\" regexp=\"(\"",
        ),
    ]);
}

#[test]
fn of_http() {
    let mixed = "HTTP/3 and HTTP/2.0/1.1 cannot be used together - only HTTP/3.0 is allowed when enable_http3 is true";
    let both = "when enable_http3 is true, enable_http2 must be set to false";
    let rows = [
        (
            "fail_if_header_matches: [{header: A, allow_missing: true}]",
            "regexp must be set for HTTP header matchers",
        ),
        (
            "fail_if_header_not_matches: [{regexp: a}]",
            "header name must be set for HTTP header matchers",
        ),
        (
            "fail_if_header_not_matches: [{header: A, regexp: '['}]",
            "\"Could not compile regular expression\" regexp=\"[\"",
        ),
        (
            "fail_if_body_matches_regexp: [a, '[']",
            "\"Could not compile regular expression\" regexp=\"[\"",
        ),
        (
            "fail_if_body_not_matches_regexp: ['[']",
            "\"Could not compile regular expression\" regexp=\"[\"",
        ),
        (
            "compression: gzip, headers: {Accept-Encoding: br}",
            "invalid configuration \"Accept-Encoding: br\", \"compression: gzip\"",
        ),
        (
            "compression: br, headers: {aCCept-encoding: gzip}",
            "invalid configuration \"aCCept-encoding: gzip\", \"compression: br\"",
        ),
        (
            "compression: br, headers: {Accept-Encoding: '*;q=0'}",
            "invalid configuration \"Accept-Encoding: *;q=0\", \"compression: br\"",
        ),
        (
            "body: a, body_file: b",
            "setting body and body_file both are not allowed",
        ),
        (
            "enable_http3: true, enable_http2: true, valid_http_versions: [HTTP/2.0]",
            mixed,
        ),
        (
            "enable_http3: true, enable_http2: false, valid_http_versions: [HTTP/3.0, HTTP/1.1]",
            mixed,
        ),
        (
            "enable_http3: true, enable_http2: true, valid_http_versions: [HTTP/3.0]",
            both,
        ),
        ("enable_http3: true", both),
        (
            "valid_http_versions: [HTTP/1.1, HTTP/3.0]",
            "HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false",
        ),
    ];
    for (section, words) in rows {
        // Also where the prober is another one.
        for prober in ["http", "tcp"] {
            check(&[(&format!("prober: {prober}, http: {{{section}}}"), words)]);
        }
    }
}

#[test]
fn of_the_http_client() {
    for (section, words) in [
        (
            "bearer_token: a, bearer_token_file: b",
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        (
            "bearer_token: a, basic_auth: {username: b}",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "basic_auth: {username: a, username_file: b}",
            "at most one of basic_auth username, username_file & username_ref must be configured",
        ),
        (
            "basic_auth: {username: a, password: b, password_file: c}",
            "at most one of basic_auth password, password_file & password_ref must be configured",
        ),
        (
            "authorization: {credentials: a}, bearer_token: b",
            "authorization is not compatible with bearer_token & bearer_token_file",
        ),
        (
            "authorization: {credentials: a, credentials_file: b}",
            "at most one of authorization credentials & credentials_file must be configured",
        ),
        (
            "authorization: {type: Basic, credentials: a}",
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        ),
        (
            "authorization: {credentials: a}, basic_auth: {username: b}",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (
            "oauth2: {token_url: 'http://a.example'}",
            "oauth2 client_id must be configured",
        ),
        (
            "oauth2: {client_id: a}",
            "oauth2 token_url must be configured",
        ),
        (
            "oauth2: {client_id: a, token_url: 'http://a.example', client_secret: b, client_secret_file: c}",
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        ),
        (
            "proxy_connect_header: {X: [a]}",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
        (
            "proxy_from_environment: true, proxy_url: 'http://a.example'",
            "if proxy_from_environment is configured, proxy_url must not be configured",
        ),
        (
            "proxy_from_environment: true, no_proxy: a.example",
            "if proxy_from_environment is configured, no_proxy must not be configured",
        ),
        (
            "no_proxy: a.example",
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (
            "http_headers: {authorization: {values: [a]}}",
            "setting header \"Authorization\" is not allowed",
        ),
    ] {
        check(&[(&format!("prober: http, http: {{{section}}}"), words)]);
    }
}

#[test]
fn of_tls() {
    for (section, words) in [
        (
            "ca: a, ca_file: b",
            "at most one of ca, ca_file & ca_ref must be configured",
        ),
        (
            "cert: a, cert_file: b, key: c",
            "at most one of cert, cert_file & cert_ref must be configured",
        ),
        (
            "cert: a, key: b, key_file: c",
            "at most one of key and key_file must be configured",
        ),
        (
            "cert_file: a",
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
        (
            "key_file: a",
            "exactly one of cert or cert_file must be configured when a client key is configured",
        ),
        ("min_version: TLS99", "unknown TLS version: TLS99"),
    ] {
        for prober in ["http", "tcp"] {
            let module = format!("prober: {prober}, {prober}: {{tls_config: {{{section}}}}}");
            check(&[(&module, words)]);
        }
    }
}
