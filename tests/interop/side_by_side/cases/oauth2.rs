//! OAuth2: how a token is asked for, and what its absence does.

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::{answer, module, ok};

fn token(body: &str) -> Vec<u8> {
    answer(200, "Content-Type: application/json\r\n", body)
}

const GOOD: &str = r#"{"access_token":"tok","token_type":"Bearer","expires_in":3600}"#;

fn case(name: &str, fields: &str, issuer: Server) -> Case {
    let fields = format!(
        "client_id: 'an id', client_secret: 's&cret', token_url: 'http://@issuer@/token'{fields}"
    );
    Case::probe(
        format!("oauth2::{name}"),
        module(&format!("oauth2: {{{fields}}}")),
        "http://@server@/",
    )
    .server(Server::answering(ok("x")))
    .server(issuer.named("issuer"))
}

/// With a key instead of a secret.
fn signed(name: &str, fields: &str, issuer: Server) -> Case {
    let fields = format!(
        "grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: me, token_url: 'http://@issuer@/token', {fields}"
    );
    case(&format!("jwt_{name}"), "", issuer).module(&module(&format!("oauth2: {{{fields}}}")))
}

const KEY: &str = "client_certificate_key_file: '@folder@/rsa.key'";

fn assertions() -> Vec<Case> {
    let issue = |body: &str| Server::answering(token(body));
    let good = |name, fields: &str| signed(name, &format!("{KEY}{fields}"), issue(GOOD));
    let answered = |name, issuer| signed(name, KEY, issuer);
    vec![
        good("good", ""),
        good("rs384", ", signature_algorithm: RS384"),
        good(
            "rs512",
            ", signature_algorithm: RS512, client_certificate_key_id: 'a key'",
        ),
        good("named", ", iss: issuer, audience: them"),
        good("scopes", ", scopes: [one, two]"),
        good("scope_empty", ", scopes: ['']"),
        good(
            "parameters",
            ", endpoint_params: {scope: x, z: y, grant_type: other}",
        ),
        good(
            "claims",
            ", claims: {a: 1, b: 1.5, c: true, d: null, e: text, f: [1, x], g: {h: {i: 2}}, 1: 2}",
        ),
        good(
            "claims_of_ours",
            ", claims: {iat: 5, exp: 6, sub: other, jti: mine, aud: [x, y]}",
        ),
        good("secret_beside", ", client_secret: x, client_secret_file: y"),
        answered(
            "refused",
            Server::answering(answer(401, "", r#"{"error":"invalid_grant"}"#)),
        ),
        answered(
            "text_of_json",
            Server::answering(answer(200, "Content-Type: text/plain\r\n", GOOD)),
        ),
        answered(
            "form",
            Server::answering(answer(
                200,
                "Content-Type: text/plain\r\n",
                "access_token=tok",
            )),
        ),
        answered("token_missing", issue(r#"{"token_type":"Bearer"}"#)),
        answered(
            "type_mac",
            issue(r#"{"access_token":"tok","token_type":"mac"}"#),
        ),
        answered(
            "expires_word",
            issue(r#"{"access_token":"tok","expires_in":"soon"}"#),
        ),
        answered(
            "expires_text",
            issue(r#"{"access_token":"tok","expires_in":"3600"}"#),
        ),
        answered(
            "error_with_token",
            issue(r#"{"access_token":"tok","error":"invalid_grant"}"#),
        ),
        answered("no_json", issue("<html>")),
        good("parameter_of_ours", ", endpoint_params: {assertion: x}"),
        good(
            "parameter_of_scopes",
            ", scopes: [a], endpoint_params: {scope: x}",
        ),
        good("claims_date", ", claims: {a: 2026-01-02, b: '2026-01-02'}"),
        good("claims_nan", ", claims: {a: .nan}"),
        good("claims_infinite", ", claims: {a: [{b: -.inf}]}"),
        signed(
            "small_key",
            "client_certificate_key_file: '@folder@/rsa-1024.key'",
            issue(GOOD),
        ),
        signed(
            "sections",
            "client_certificate_key_file: '@folder@/rsa-sections.pem'",
            issue(GOOD),
        ),
        signed(
            "key_missing",
            "client_certificate_key_file: '@folder@/none.key'",
            issue(GOOD),
        ),
        signed(
            "key_of_a_curve",
            "client_certificate_key_file: '@folder@/ed25519.key'",
            issue(GOOD),
        ),
        signed(
            "key_no_pem",
            "client_certificate_key_file: '@folder@/not-pem.txt'",
            issue(GOOD),
        ),
        signed(
            "key_by_reference",
            "client_certificate_key_ref: x",
            issue(GOOD),
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = credentials();
    cases.extend(assertions());
    cases
}

fn credentials() -> Vec<Case> {
    let issue = |body: &str| Server::answering(token(body));
    vec![
        case("good", "", issue(GOOD)),
        case("scopes", ", scopes: [one, two]", issue(GOOD)),
        case("parameters", ", endpoint_params: {audience: 'a b', z: y}", issue(GOOD)),
        case("type_missing", "", issue(r#"{"access_token":"tok"}"#)),
        case("type_small", "", issue(r#"{"access_token":"tok","token_type":"bearer"}"#)),
        case("type_mac", "", issue(r#"{"access_token":"tok","token_type":"MAC"}"#)),
        case("type_own", "", issue(r#"{"access_token":"tok","token_type":"Own"}"#)),
        case("expires_text", "", issue(r#"{"access_token":"tok","expires_in":"3600"}"#)),
        case("expires_word", "", issue(r#"{"access_token":"tok","expires_in":"soon"}"#)),
        case("expired_at_once", "", issue(r#"{"access_token":"tok","expires_in":1}"#)),
        case("token_missing", "", issue(r#"{"token_type":"Bearer"}"#)),
        case("names_of_any_case", "", issue(r#"{"Access_Token":"tok","TOKEN_TYPE":"Own"}"#)),
        case("names_twice", "", issue(r#"{"access_token":"a","x":1,"x":2,"access_token":"b"}"#)),
        case("name_twice_once_null", "", issue(r#"{"access_token":"a","access_token":null}"#)),
        case("list", "", issue(r#"["tok"]"#)),
        case("form_twice", "", Server::answering(answer(200, "Content-Type: text/plain\r\n", "access_token=a&access_token=b"))),
        case("long_answer", "", issue(&format!("{{\"x\":\"{}\",\"access_token\":\"tok\"}}", "y".repeat(1_000_000)))),
        case("longest_answer", "", issue(&format!("{GOOD}{}", " ".repeat(1_100_000)))),
        case("too_long_answer", "", issue(&format!("{{\"x\":\"{}\",\"access_token\":\"tok\"}}", "y".repeat(1_100_000)))),
        case("no_json", "", issue("<html>")),
        case("empty", "", issue("")),
        case(
            "form",
            "",
            Server::answering(answer(
                200,
                "Content-Type: application/x-www-form-urlencoded\r\n",
                "access_token=tok&token_type=bearer",
            )),
        ),
        case("text_of_json", "", Server::answering(answer(200, "Content-Type: text/plain\r\n", GOOD))),
        case("refused", "", Server::answering(answer(401, "", r#"{"error":"invalid_client"}"#))),
        case("error_with_200", "", issue(r#"{"error":"invalid_client","error_description":"no"}"#)),
        case("broken", "", Server::answering(answer(500, "", "oops"))),
        case("status_201", "", Server::answering(answer(201, "Content-Type: application/json\r\n", GOOD))),
        case("hangup", "", Server::steps(vec![Step::Hangup])),
        case(
            "redirected",
            "",
            Server::pages(vec![
                ("/token", answer(302, "Location: /other\r\n", "")),
                ("/other", token(GOOD)),
            ]),
        ),
        case("tls", ", tls_config: {insecure_skip_verify: true}", Server::answering(token(GOOD)).tls(Tls::with("good")))
            .module(&module("oauth2: {client_id: a, client_secret: b, token_url: 'https://@issuer@/token', tls_config: {insecure_skip_verify: true}}")),
        case("tls_unverified", "", Server::answering(token(GOOD)).tls(Tls::with("good")))
            .module(&module("oauth2: {client_id: a, client_secret: b, token_url: 'https://@issuer@/token'}")),
        case("secret_file", "", issue(GOOD))
            .module(&module("oauth2: {client_id: a, client_secret_file: '@folder@/secret.txt', token_url: 'http://@issuer@/token'}")),
        case("secret_file_missing", "", issue(GOOD))
            .module(&module("oauth2: {client_id: a, client_secret_file: '@folder@/none.txt', token_url: 'http://@issuer@/token'}")),
        case("secret_missing", "", issue(GOOD))
            .module(&module("oauth2: {client_id: a, token_url: 'http://@issuer@/token'}")),
        case("url_with_query", "", issue(GOOD))
            .module(&module("oauth2: {client_id: a, client_secret: b, token_url: 'http://@issuer@/token?x=y'}")),
        case("issuer_gone", "", issue(GOOD))
            .module(&module("oauth2: {client_id: a, client_secret: b, token_url: 'http://127.0.0.1:1/token'}")),
        case("with_redirect", "", issue(GOOD)).module(
            &module("oauth2: {client_id: a, client_secret: b, token_url: 'http://@issuer@/token'}"),
        ),
    ]
}
