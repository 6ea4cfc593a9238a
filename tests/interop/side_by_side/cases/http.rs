//! Statuses, versions, methods, targets, addresses.

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::{answer, http, module, ok};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = statuses();
    cases.extend(versions());
    cases.extend(methods());
    cases.extend(targets());
    cases.extend(addresses());
    cases.extend(quic());
    cases.extend(encryption());
    cases.extend(emptied());
    cases
}

/// Items of lists that somebody has emptied: a dash alone.
fn emptied() -> Vec<Case> {
    [
        ("status", "valid_status_codes: [null]"),
        ("status_beside", "valid_status_codes: [~, 404]"),
        ("version", "valid_http_versions: [~]"),
        ("body", "fail_if_body_matches_regexp: [null]"),
        ("body_beside", "fail_if_body_matches_regexp: [null, hello]"),
        ("body_required", "fail_if_body_not_matches_regexp: [null]"),
        ("header", "fail_if_header_matches: [null]"),
        ("header_required", "fail_if_header_not_matches: [~]"),
        ("values", "http_headers: {X: {values: [null, a]}}"),
    ]
    .map(|(name, options)| {
        let name = format!("http::emptied_{name}");
        http(name, options, answer(200, "", "hello"))
    })
    .into()
}

fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (list, statuses) in [
        ("", &[200, 201, 299, 300, 404, 500, 304, 204][..]),
        ("valid_status_codes: [200, 404]", &[404, 200, 201]),
        ("valid_status_codes: [404]", &[404, 200]),
        ("valid_status_codes: []", &[200, 404]),
        ("valid_status_codes: [999, -1]", &[200, 999]),
    ] {
        let kind = match list {
            "" => "unset".to_owned(),
            list => list.replace(|c: char| !c.is_ascii_digit(), ""),
        };
        for &status in statuses {
            let name = format!("http::status_{status}_where_{kind}");
            cases.push(http(name, list, answer(status, "", "hello")));
        }
    }
    cases
}

fn versions() -> Vec<Case> {
    let old = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut cases = Vec::new();
    for (name, list) in [
        ("any", "[]"),
        ("1_1", "[HTTP/1.1]"),
        ("1_0", "[HTTP/1.0]"),
        ("both", "[HTTP/1.0, HTTP/1.1, HTTP/2.0]"),
        ("2_0", "[HTTP/2.0]"),
        ("odd", "[HTTP/2]"),
    ] {
        let options = format!("valid_http_versions: {list}");
        cases.push(http(
            format!("http::version_1_1_where_{name}"),
            &options,
            ok("x"),
        ));
        cases.push(http(
            format!("http::version_1_0_where_{name}"),
            &options,
            *old,
        ));
    }
    cases
}

fn methods() -> Vec<Case> {
    vec![
        http("http::method_post_without_body", "method: POST", ok("x")),
        http(
            "http::method_post",
            "method: POST, body: 'some text'",
            ok("x"),
        ),
        http(
            "http::method_put_of_a_file",
            "method: PUT, body_file: @folder@/body.txt",
            ok("x"),
        ),
        http("http::body_with_get", "body: 'text'", ok("x")),
        http(
            "http::body_file_empty",
            "method: POST, body_file: @folder@/empty.txt",
            ok("x"),
        ),
        http(
            "http::body_file_missing",
            "method: POST, body_file: @folder@/none.txt",
            ok("x"),
        ),
        http("http::method_head", "method: HEAD", answer(200, "", "")),
        http(
            "http::method_head_of_a_long_body",
            "method: HEAD",
            *b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        ),
        http("http::method_small_letters", "method: get", ok("x")),
        http("http::method_own", "method: PURGE", ok("x")),
        http("http::method_with_space", "method: 'A B'", ok("x")),
        http("http::method_options", "method: OPTIONS", ok("x")),
        http("http::method_delete", "method: DELETE", ok("x")),
        http("http::method_connect", "method: CONNECT", ok("x")),
        Case::probe(
            "http::method_connect_without_path",
            module("method: CONNECT"),
            "http://@server@",
        )
        .server(Server::answering(ok("x"))),
        Case::probe(
            "http::method_connect_with_path",
            module("method: CONNECT, body: text"),
            "http://@server@/a?b",
        )
        .server(Server::answering(ok("x"))),
        http(
            "http::body_binary",
            "method: POST, body: !!binary gIGC",
            ok("x"),
        ),
    ]
}

fn targets() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, target) in [
        ("no_scheme", "@server@"),
        ("no_scheme_with_path", "@server@/a/b?c=d"),
        // What stands before `://` becomes a host, and would be asked for; this
        // one is no name that anybody is asked for.
        ("other_scheme", "a..b://@server@/"),
        ("scheme_in_capitals", "HTTP://@server@/"),
        ("scheme_mixed", "HtTp://@server@/"),
        ("no_path", "http://@server@"),
        ("only_query", "http://@server@?a=b"),
        ("fragment", "http://@server@/p#there"),
        ("userinfo", "http://user:pass%20word@@server@/"),
        ("user_only", "http://user@@server@/"),
        ("path_encoded", "http://@server@/a%20b/%2F/c%C3%A4"),
        ("path_raw", "http://@server@/a b/ä\"<>`{}|^"),
        ("path_bad_escape", "http://@server@/100%"),
        ("query_raw", "http://@server@/?a=b c&d=ä&e=[1]|"),
        ("query_plus", "http://@server@/?a=1+2%2B3"),
        ("dots", "http://@server@/a/../b/./c"),
        ("double_slash", "http://@server@//a//b"),
        ("semicolon", "http://@server@/a;b?c;d"),
        ("control_byte", "http://@server@/a\nb"),
        ("port_with_zero", "http://127.0.0.1:0@server-port@/"),
        ("port_empty", "http://127.0.0.1:/"),
        ("port_too_large", "http://127.0.0.1:70000/"),
        ("port_word", "http://127.0.0.1:http/"),
        ("port_zero", "http://127.0.0.1:0/"),
        ("host_empty", "http:///path"),
        ("host_dots", "http://a..b/"),
        ("bracket_unclosed", "http://[::1/"),
        ("space_before", " http://@server@/"),
        ("just_slash", "/"),
        // Names with characters that no name has are not asked for either.
        ("other_scheme_odd", "ht!tp://x"),
        ("international", "http://m\u{fc}nchen.invalid/"),
        ("international_with_port", "m\u{fc}nchen.invalid:80"),
        ("host_symbols", "http://a$&'()*,;=b/"),
        ("host_bracket", "http://a]/"),
        ("host_space", "http://a b/"),
        ("host_brace", "http://{a}/"),
        ("colons", "127.0.0.1:1:1"),
        ("address_without_brackets", "::1"),
        ("user_alone", "http://a@/"),
        ("localhost", "http://localhost:@server-port@/"),
        ("localhost_in_capitals", "http://LOCALHOST:@server-port@/"),
        ("trailing_dot", "http://localhost.:@server-port@/"),
    ] {
        cases.push(
            Case::probe(format!("http::target_{name}"), module(""), target)
                .server(Server::answering(ok("x"))),
        );
    }
    cases
}

fn addresses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, options) in [
        ("default", ""),
        ("ip4", "preferred_ip_protocol: ip4"),
        ("ip6", "preferred_ip_protocol: ip6"),
        (
            "ip4_only",
            "preferred_ip_protocol: ip4, ip_protocol_fallback: false",
        ),
        (
            "ip6_only",
            "preferred_ip_protocol: ip6, ip_protocol_fallback: false",
        ),
        ("no_fallback", "ip_protocol_fallback: false"),
        (
            "odd_preference",
            "preferred_ip_protocol: ipv6, ip_protocol_fallback: false",
        ),
    ] {
        for (host, target) in [
            ("ipv4", "http://@server@/"),
            ("mapped", "http://[::ffff:127.0.0.1]:@server-port@/"),
        ] {
            cases.push(
                Case::probe(format!("http::{name}_of_{host}"), module(options), target)
                    .server(Server::answering(ok("x"))),
            );
        }
        cases.push(
            Case::probe(
                format!("http::{name}_of_ipv6"),
                module(options),
                "http://@server@/",
            )
            .server(Server::answering(ok("x")).on_ipv6()),
        );
        cases.push(Case::probe(
            format!("http::{name}_of_bad_name"),
            module(options),
            "http://a..b/",
        ));
    }
    cases.push(
        Case::probe(
            "http::source_address",
            module("source_ip_address: 127.0.0.5"),
            "http://@server@/",
        )
        .server(Server::answering(ok("x"))),
    );
    cases.push(
        Case::probe(
            "http::target_without_brackets",
            module(""),
            "http://::1:@server-port@/",
        )
        .server(Server::answering(ok("x")).on_ipv6()),
    );
    cases.push(Case::probe(
        "http::target_without_brackets_nor_port",
        module(""),
        "http://2001:db8::1/",
    ));
    cases.push(
        Case::probe(
            "http::source_address_bad",
            module("source_ip_address: nowhere"),
            "http://@server@/",
        )
        .server(Server::answering(ok("x"))),
    );
    cases
}

/// HTTP/3: to nobody, as it is judged before anybody is asked.
fn quic() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, options, target) in [
        ("any_version", "", "https://@server@/"),
        (
            "version_3",
            ", valid_http_versions: [HTTP/3.0]",
            "https://@server@/",
        ),
        ("mixed_case", "", "HtTp://@server@/"),
    ] {
        let module = format!(
            "{{prober: http, timeout: 1s, http: {{enable_http3: true, enable_http2: false{options}, tls_config: {{insecure_skip_verify: true}}}}}}"
        );
        cases.push(
            Case::probe(format!("http::http3_{name}"), module, target)
                .server(Server::answering(ok("x"))),
        );
    }
    cases
}

fn encryption() -> Vec<Case> {
    let skip = "tls_config: {insecure_skip_verify: true}";
    let mut cases = Vec::new();
    for (name, options) in [
        ("not_ssl", "fail_if_not_ssl: true"),
        ("ssl", "fail_if_ssl: true"),
        ("both", "fail_if_ssl: true, fail_if_not_ssl: true"),
    ] {
        cases.push(http(
            format!("http::fail_if_{name}_plain"),
            options,
            ok("x"),
        ));
        cases.push(http(
            format!("http::fail_if_{name}_bad_status"),
            options,
            answer(500, "", "x"),
        ));
        cases.push(
            Case::probe(
                format!("http::fail_if_{name}_over_tls"),
                module(&format!("{options}, {skip}")),
                "https://@server@/",
            )
            .server(Server::answering(ok("x")).tls(Tls::with("good"))),
        );
        cases.push(
            Case::probe(
                format!("http::fail_if_{name}_without_answer"),
                module(options),
                "http://@server@/",
            )
            .server(Server::steps(vec![Step::Request, Step::Hangup])),
        );
    }
    cases.push(
        Case::probe(
            "http::target_scheme_https",
            module(skip),
            "HtTpS://@server@/",
        )
        .server(Server::answering(ok("x")).tls(Tls::with("good"))),
    );
    cases.push(
        Case::probe("http::http_to_a_tls_port", module(skip), "http://@server@/")
            .server(Server::answering(ok("x")).tls(Tls::with("good"))),
    );
    cases.push(
        Case::probe(
            "http::https_to_a_plain_port",
            module(skip),
            "https://@server@/",
        )
        .server(Server::steps(vec![
            Step::Read(5),
            Step::Send(answer(400, "", "what?")),
            Step::Hangup,
        ])),
    );
    cases
}
