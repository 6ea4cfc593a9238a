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

pub(crate) fn cases() -> Vec<Case> {
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
