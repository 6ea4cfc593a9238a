//! A module that is asked several times at once: every answer is that of its own
//! run, and each server has been told as often as it was asked.

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::{answer, http, module, ok};

/// Requests at once.
const MANY: usize = 8;

/// Pages that are told apart by their length, their status and a header.
fn pages() -> Server {
    const PATHS: [&str; MANY] = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"];
    let page = |number: usize| {
        let status = [200, 204, 301, 404, 500][number % 5];
        let modified = format!(
            "Last-Modified: Mon, 0{} Jan 2024 00:00:00 GMT\r\n",
            number + 1
        );
        let body = match status {
            204 => String::new(),
            _ => format!("page {number}\n").repeat(1 + 500 * number),
        };
        (PATHS[number], answer(status, &modified, body))
    };
    Server::pages((0..MANY).map(page).collect())
}

fn paged(name: &str, options: &str, scheme: &str) -> Case {
    let target = format!("{scheme}://@server@/@n@");
    Case::probe(format!("parallel::{name}"), module(options), &target).together(MANY)
}

fn dialogue(name: &str, options: &str, server: Server) -> Case {
    let module = format!("{{prober: tcp, timeout: 20s, tcp: {{{options}}}}}");
    Case::probe(format!("parallel::{name}"), module, "@server@")
        .server(server)
        .together(MANY)
}

pub(crate) fn cases() -> Vec<Case> {
    let matching =
        "fail_if_body_not_matches_regexp: ['page [0-4]'], valid_status_codes: [200, 404]";
    let root = "tls_config: {ca_file: '@folder@/root.pem'}";
    let token = r#"{"access_token":"tok","token_type":"Bearer","expires_in":3600}"#;
    let token = answer(200, "Content-Type: application/json\r\n", token);
    let talk = "query_response: [{expect: '^220 (.*)$', labels: [{name: greeting, value: '$1'}]}, {send: \"HELO $1\"}, {expect: '^250'}, {send: QUIT}]";
    let mail = || {
        let say = |text: &str| Step::Send(text.as_bytes().to_vec());
        Server::steps(vec![
            say("220 hello\n"),
            Step::Line,
            say("250 hi\n"),
            Step::Line,
        ])
    };
    let long = format!("query_response: [{{send: '{}'}}]", "x".repeat(100_000));
    vec![
        paged("http", matching, "http").server(pages()),
        paged("https", &format!("{matching}, {root}"), "https")
            .server(pages().tls(Tls::with("good"))),
        http(
            "parallel::body",
            &format!("method: POST, body: '{}'", "x".repeat(50_000)),
            ok("thanks"),
        )
        .together(MANY),
        http(
            "parallel::body_file_and_bearer_file",
            "method: PUT, body_file: '@folder@/body.txt', authorization: {credentials_file: '@folder@/secret.txt'}",
            ok("x"),
        )
        .together(MANY),
        Case::probe(
            "parallel::oauth2",
            module(
                "oauth2: {client_id: a, client_secret: b, token_url: 'http://@issuer@/token'}",
            ),
            "http://@server@/@n@",
        )
        .server(pages())
        .server(Server::answering(token).named("issuer"))
        .together(MANY),
        Case::probe(
            "parallel::http2",
            module(&format!(
                "method: POST, body: text, headers: {{User-Agent: us}}, {root}"
            )),
            "https://@nginx-h2@/echo",
        )
        .together(MANY),
        Case::probe(
            "parallel::redirects_to_https",
            module(root),
            "http://@nginx-http@/secure",
        )
        .together(MANY),
        dialogue("tcp", talk, mail()),
        dialogue(
            "tcp_tls",
            &format!("tls: true, {root}, {talk}"),
            mail().tls(Tls::with("good")),
        ),
        dialogue(
            "tcp_send_long",
            &long,
            Server::steps(vec![Step::Line]).narrow(),
        ),
    ]
}
