//! Redirects: which are followed, how the next request looks, what is dropped
//! on the way, what is judged when one is refused.

use super::super::case::{Case, Request};
use super::super::server::{Server, Tls};
use super::{answer, module, ok};

fn to(status: u16, place: &str) -> Vec<u8> {
    answer(status, &format!("Location: {place}\r\n"), "moved")
}

fn case(name: &str, options: &str, pages: Vec<(&'static str, Vec<u8>)>) -> Case {
    Case::probe(
        format!("redirects::{name}"),
        module(options),
        "http://@server@/",
    )
    .server(Server::pages(pages))
}

/// With a second server, `@other@`.
fn across(name: &str, options: &str, place: &str) -> Case {
    case(name, options, vec![("/", to(302, place))])
        .server(Server::answering(ok("there")).named("other"))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = codes();
    cases.extend(places());
    cases.extend(refused());
    cases.extend(carried());
    cases.extend(cookies());
    cases.extend(secure());
    cases
}

fn codes() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for (name, options) in [
            ("get", ""),
            (
                "post",
                "method: POST, body: 'some text', headers: {Content-Type: text/plain}",
            ),
            ("head", "method: HEAD"),
            ("put_file", "method: PUT, body_file: @folder@/body.txt"),
        ] {
            let pages = vec![("/", to(status, "/next")), ("*", ok("there"))];
            let mut case = case(&format!("{status}_{name}"), options, pages);
            if name == "head" {
                case = Case::probe(
                    format!("redirects::{status}_head"),
                    module(options),
                    "http://@server@/",
                )
                .server(Server::pages(vec![
                    ("/", answer(status, "Location: /next\r\n", "")),
                    ("*", ok("")),
                ]));
            }
            cases.push(case);
        }
    }
    cases.push(case(
        "302_without_place",
        "",
        vec![("/", answer(302, "", "moved"))],
    ));
    cases.push(case(
        "307_without_place",
        "",
        vec![("/", answer(307, "", "moved"))],
    ));
    cases
}

fn places() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, place) in [
        ("relative", "next"),
        ("absolute_path", "/a/next?x=y"),
        ("query_only", "?x=y"),
        ("empty", ""),
        ("fragment", "/next#part"),
        ("fragment_only", "#part"),
        ("same_server", "http://@server@/next"),
        ("scheme_relative", "//@server@/next"),
        ("with_userinfo", "http://user:pass@@server@/next"),
        ("not_encoded", "/a b"),
        ("encoded", "/a%20b%2Fc"),
        ("dots", "/x/../next"),
        ("other_scheme", "ftp://@server@/"),
        ("bad_port", "http://127.0.0.1:99999/"),
        ("bad_escape", "/100%"),
        ("control_byte", "/a\x01b"),
        ("bad_name", "http://a..b/"),
        ("mailto", "mailto:who@a.test"),
        ("three_slashes", "///a/next"),
        ("four_slashes", "////next"),
        ("slashes_alone", "///"),
        ("query_without_host", "//?x"),
        ("port_without_host", "//:80/next"),
        ("user_without_host", "//@/next"),
    ] {
        let pages = vec![("/", to(302, place)), ("*", ok("there"))];
        cases.push(case(&format!("place_{name}"), "", pages));
    }
    cases.push(across("to_another_port", "", "http://@other@/next"));
    cases.push(across(
        "to_a_name",
        "",
        "http://localhost:@other-port@/next",
    ));
    cases.push(across("to_a_refused_port", "", "http://127.0.0.1:1/"));
    cases.push(across(
        "to_a_refused_port_allowed",
        "valid_status_codes: [302]",
        "http://127.0.0.1:1/",
    ));
    cases.push(
        case(
            "to_ipv6",
            "preferred_ip_protocol: ip4, ip_protocol_fallback: false",
            vec![("/", to(302, "http://@other@/next"))],
        )
        .server(Server::answering(ok("there")).named("other").on_ipv6()),
    );
    cases.push(
        case(
            "to_ipv6_and_back",
            "",
            vec![("/", to(302, "http://@other@/next")), ("/back", ok("home"))],
        )
        .server(
            Server::answering(to(302, "http://@server@/back"))
                .named("other")
                .on_ipv6(),
        ),
    );
    cases.push(case(
        "chain_of_two",
        "",
        vec![
            ("/", to(301, "/one")),
            ("/one", to(307, "/two")),
            ("/two", ok("end")),
        ],
    ));
    cases.push(case(
        "status_at_the_end",
        "",
        vec![("/", to(302, "/gone")), ("/gone", answer(410, "", "gone"))],
    ));
    cases.push(case(
        "body_matched_at_the_end",
        "fail_if_body_matches_regexp: [moved]",
        vec![("/", to(302, "/next")), ("/next", ok("there"))],
    ));
    cases.push(case(
        "header_matched_at_the_end",
        "fail_if_header_matches: [{header: Location, regexp: next, allow_missing: true}]",
        vec![("/", to(302, "/next")), ("/next", ok("there"))],
    ));
    cases.push(
        case(
            "target_with_path",
            "",
            vec![("/a/b", to(302, "c")), ("/a/c", ok("there"))],
        )
        .request(|mut request: Request| {
            request.target = Some("http://@server@/a/b".to_owned());
            request
        }),
    );
    cases
}

fn refused() -> Vec<Case> {
    let one = || vec![("/", to(302, "/next")), ("*", ok("there"))];
    let endless = || vec![("*", to(302, "/"))];
    vec![
        case("not_followed", "follow_redirects: false", one()),
        case("not_followed_old_name", "no_follow_redirects: true", one()),
        case("followed_by_old_name", "no_follow_redirects: false, follow_redirects: false", one()),
        case("not_followed_allowed", "follow_redirects: false, valid_status_codes: [302]", one()),
        case(
            "not_followed_matched",
            "follow_redirects: false, valid_status_codes: [302], fail_if_body_matches_regexp: [nothing]",
            one(),
        ),
        case(
            "not_followed_header",
            "follow_redirects: false, valid_status_codes: [302], fail_if_header_not_matches: [{header: Location, regexp: next}]",
            one(),
        ),
        case(
            "not_followed_compressed",
            "follow_redirects: false, valid_status_codes: [302], compression: gzip",
            one(),
        ),
        case(
            "not_followed_chunked",
            "follow_redirects: false, valid_status_codes: [302]",
            vec![(
                "*",
                b"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
            )],
        ),
        case(
            "not_followed_without_place",
            "follow_redirects: false, valid_status_codes: [302]",
            vec![("*", answer(302, "", "moved"))],
        ),
        case(
            "not_followed_to_nonsense",
            "follow_redirects: false, valid_status_codes: [302]",
            vec![("*", to(302, "/%zz"))],
        ),
        case("endless", "", endless()),
        case("endless_allowed", "valid_status_codes: [302]", endless()),
        case(
            "endless_matched",
            "valid_status_codes: [302], fail_if_body_matches_regexp: [nothing]",
            endless(),
        ),
    ]
}

/// What the next request may or may not have.
const CARRIED: &[(&str, &str)] = &[
    ("host", "headers: {Host: vhost.test}"),
    ("own_field", "headers: {X-Own: a}"),
    ("authorization", "headers: {Authorization: 'Basic abc'}"),
    ("cookie", "headers: {Cookie: 'a=b'}"),
    ("basic_auth", "basic_auth: {username: user, password: p}"),
    ("bearer_token", "bearer_token: abc"),
    (
        "http_headers",
        "http_headers: {X-Own: {values: [a]}, X-Secret: {secrets: [s]}}",
    ),
    ("user_agent", "headers: {User-Agent: mine}"),
    ("accept_encoding", "headers: {Accept-Encoding: gzip}"),
    ("referer", "headers: {Referer: 'http://own.test/'}"),
    ("nothing", ""),
];

/// From one name to others, which a proxy knows: of itself no program finds one
/// but localhost.
fn to_another_name() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, options) in CARRIED {
        let comma = if options.is_empty() { "" } else { ", " };
        let options = format!(
            "{options}{comma}proxy_url: 'http://@proxy@', skip_resolve_phase_with_proxy: true"
        );
        for (kind, place) in [
            ("another_name", "http://two.test:@other-port@/next"),
            ("deeper_name", "http://deep.one.test:@other-port@/next"),
            ("same_name", "http://one.test:@other-port@/next"),
        ] {
            let mut case = across(&format!("{kind}_with_{name}"), &options, place)
                .server(Server::http_proxy());
            case = case.request(|mut request: Request| {
                request.target = Some("http://one.test:@server-port@/".to_owned());
                request
            });
            cases.push(case);
        }
    }
    cases
}

/// What goes along to the next request.
fn carried() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, options) in CARRIED {
        cases.push(case(
            &format!("same_host_with_{name}"),
            options,
            vec![("/", to(302, "/next")), ("*", ok("there"))],
        ));
        cases.push(case(
            &format!("same_address_with_{name}"),
            options,
            vec![("/", to(302, "http://@server@/next")), ("*", ok("there"))],
        ));
        cases.push(across(
            &format!("other_host_with_{name}"),
            options,
            "http://localhost:@other-port@/next",
        ));
        cases.push(
            across(
                &format!("from_a_name_with_{name}"),
                options,
                "http://localhost:@other-port@/next",
            )
            .request(|mut request: Request| {
                request.target = Some("http://localhost:@server-port@/".to_owned());
                request
            }),
        );
    }
    cases.extend(to_another_name());
    cases.push(
        case(
            "target_userinfo",
            "",
            vec![("/", to(302, "/next")), ("*", ok("there"))],
        )
        .request(|mut request: Request| {
            request.target = Some("http://user:pass@@server@/".to_owned());
            request
        }),
    );
    cases
}

fn cookies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, cookie, next) in [
        ("plain", "a=b", "/next"),
        ("two", "a=b\r\nSet-Cookie: c=d", "/next"),
        ("quoted", "a=\"b c\"", "/next"),
        ("path", "a=b; Path=/deep", "/deep/next"),
        ("other_path", "a=b; Path=/deep", "/next"),
        ("secure", "a=b; Secure", "/next"),
        ("http_only", "a=b; HttpOnly; SameSite=Strict", "/next"),
        ("expired", "a=b; Max-Age=0", "/next"),
        (
            "expires_past",
            "a=b; Expires=Mon, 02 Jan 2006 15:04:05 GMT",
            "/next",
        ),
        ("domain_of_address", "a=b; Domain=127.0.0.1", "/next"),
        ("foreign_domain", "a=b; Domain=a.test", "/next"),
        ("no_value", "a", "/next"),
        ("empty_name", "=b", "/next"),
        ("absolute", "a=b", "http://@server@/next"),
    ] {
        let fields = format!("Location: {next}\r\nSet-Cookie: {cookie}\r\n");
        cases.push(case(
            &format!("cookie_{name}"),
            "",
            vec![("/", answer(302, &fields, "")), ("*", ok("there"))],
        ));
    }
    let sets = |place: &str| {
        answer(
            302,
            &format!("Location: {place}\r\nSet-Cookie: a=b\r\n"),
            "",
        )
    };
    cases.push(
        case(
            "cookie_other_port",
            "",
            vec![("/", sets("http://@other@/next"))],
        )
        .server(Server::answering(ok("there")).named("other")),
    );
    cases.push(
        case(
            "cookie_other_host",
            "",
            vec![("/", sets("http://localhost:@other-port@/next"))],
        )
        .server(Server::answering(ok("there")).named("other")),
    );
    cases.push(case(
        "cookie_beside_own",
        "headers: {Cookie: 'own=1'}",
        vec![("/", sets("/next")), ("*", ok("there"))],
    ));
    cases.push(case(
        "cookie_replaced",
        "",
        vec![
            ("/", sets("/one")),
            (
                "/one",
                answer(302, "Location: /two\r\nSet-Cookie: a=c\r\n", ""),
            ),
            ("*", ok("there")),
        ],
    ));
    cases.push(case(
        "cookie_with_vhost",
        "headers: {Host: vhost.test}",
        vec![("/", sets("/next")), ("*", ok("there"))],
    ));
    cases
}

fn secure() -> Vec<Case> {
    let skip = "tls_config: {insecure_skip_verify: true}";
    let tls = || {
        Server::answering(ok("secure"))
            .named("other")
            .tls(Tls::with("good"))
    };
    let up = |name: &str, options: &str, place: &str| {
        case(name, options, vec![("/", to(301, place))]).server(tls())
    };
    vec![
        up("to_https", skip, "https://@other@/"),
        up("to_https_by_name", skip, "https://localhost:@other-port@/"),
        up("to_https_unverified", "", "https://@other@/"),
        up(
            "to_https_with_root",
            "tls_config: {ca_file: '@folder@/root.pem'}",
            "https://localhost:@other-port@/",
        ),
        // As a public host is trusted: nothing of TLS is configured.
        up(
            "to_https_with_system_root",
            "",
            "https://localhost:@other-port@/",
        )
        .variables(&[("SSL_CERT_FILE", "@folder@/root.pem")]),
        up(
            "to_https_with_server_name",
            "tls_config: {ca_file: '@folder@/root.pem', server_name: elsewhere.test}",
            "https://localhost:@other-port@/",
        ),
        up(
            "to_https_not_followed",
            "follow_redirects: false, valid_status_codes: [301]",
            "https://@other@/",
        ),
        up(
            "to_https_not_ssl",
            &format!("fail_if_not_ssl: true, {skip}"),
            "https://@other@/",
        ),
        up(
            "to_https_basic_auth",
            &format!("basic_auth: {{username: u, password: p}}, {skip}"),
            "https://@other@/",
        ),
        Case::probe("redirects::from_https", module(skip), "https://@server@/")
            .server(Server::answering(to(302, "http://@other@/next")).tls(Tls::with("good")))
            .server(Server::answering(ok("plain")).named("other")),
        Case::probe(
            "redirects::from_https_with_credentials",
            module(&format!(
                "headers: {{Authorization: mine, Cookie: a=b, X-Own: c}}, {skip}"
            )),
            "https://@server@/",
        )
        .server(Server::answering(to(302, "http://@other@/next")).tls(Tls::with("good")))
        .server(Server::answering(ok("plain")).named("other")),
        Case::probe("redirects::within_https", module(skip), "https://@server@/").server(
            Server::pages(vec![("/", to(302, "/next")), ("*", ok("there"))]).tls(Tls::with("good")),
        ),
        Case::probe(
            "redirects::within_https_by_name",
            module("tls_config: {ca_file: '@folder@/root.pem'}"),
            "https://localhost:@server-port@/",
        )
        .server(
            Server::pages(vec![
                ("/", to(302, "https://localhost:@server-port@/next")),
                ("*", ok("there")),
            ])
            .tls(Tls::with("good")),
        ),
    ]
}
