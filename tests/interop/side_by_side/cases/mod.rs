//! The cases, by what they are about.

mod bodies;
mod cel;
mod certificates;
mod config;
mod framing;
mod handler;
mod headers;
mod http;
mod http2;
mod named;
mod names;
mod neighbours;
mod oauth2;
mod parallel;
mod proxies;
mod redirects;
mod refusals;
mod regexps;
mod shown;
mod surface;
mod tcp;

pub(crate) use self::refusals::is_refusal;
use super::case::Case;
use super::server::Server;

/// Files beside the certificates, by name.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("body.txt", "Text of a file\n"),
    ("secret.txt", "  a-secret \n"),
    ("empty.txt", ""),
    (
        "args.txt",
        "# flags\n--web.route-prefix=/pre\n--log.level=debug\n",
    ),
    ("not-pem.txt", "this is no certificate\n"),
];

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [
        bodies::cases(),
        certificates::cases(),
        cel::cases(),
        config::cases(),
        framing::cases(),
        handler::cases(),
        headers::cases(),
        http::cases(),
        http2::cases(),
        named::cases(),
        names::cases(),
        neighbours::cases(),
        oauth2::cases(),
        parallel::cases(),
        proxies::cases(),
        redirects::cases(),
        regexps::cases(),
        shown::cases(),
        surface::cases(),
        tcp::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An answer with a body and its length.
fn answer(status: u16, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut answer = format!(
        "HTTP/1.1 {status} Status\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// An answer of 200.
fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer(200, "", body)
}

/// A module of the prober `http` with these options.
fn module(options: &str) -> String {
    format!("{{prober: http, timeout: 20s, http: {{{options}}}}}")
}

/// A probe of a server that answers in one way.
fn http(name: impl Into<String>, options: &str, reply: impl Into<Vec<u8>>) -> Case {
    Case::probe(name, module(options), "http://@server@/").server(Server::answering(reply))
}

/// A text as YAML.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
