//! Proxies: what they are told, and what is measured through them.

use std::time::Duration;

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};
use super::super::view::View;
use super::{answer, module, ok};

const SKIP: &str = "tls_config: {insecure_skip_verify: true}";

fn plain(name: &str, options: &str, target: &str, proxy: Server) -> Case {
    Case::probe(format!("proxies::{name}"), module(options), target)
        .server(Server::answering(ok("there")))
        .server(proxy.named("proxy"))
}

fn secure(name: &str, options: &str, target: &str, proxy: Server) -> Case {
    Case::probe(
        format!("proxies::{name}"),
        module(&format!("{options}, {SKIP}")),
        target,
    )
    .server(Server::answering(ok("secure")).tls(Tls::with("good")))
    .server(proxy.named("proxy"))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = configured();
    cases.push(plain(
        "of_unknown_scheme",
        "proxy_url: 'ftp://@proxy@'",
        "http://@server@/p",
        Server::http_proxy(),
    ));
    cases.push(plain(
        "host_alone",
        "proxy_url: 'localhost:@proxy-port@'",
        "http://@server@/p",
        Server::http_proxy(),
    ));
    cases.extend(of_the_environment());
    cases.extend(slow());
    cases.extend(talkative());
    cases
}

/// Proxies that take some hundred milliseconds to answer: whether that is connect.
fn slow() -> Vec<Case> {
    let pause = Duration::from_millis(400);
    let http = "proxy_url: 'http://@proxy@'";
    let socks = "proxy_url: 'socks5://@proxy@'";
    let (url, secret) = ("http://@server@/p", "https://@server@/p");
    [
        plain("slow_http", http, url, Server::http_proxy().slow(pause)),
        plain("slow_socks", socks, url, Server::socks(None).slow(pause)),
        secure(
            "slow_connect",
            http,
            secret,
            Server::http_proxy().slow(pause),
        ),
        secure(
            "slow_socks_tls",
            socks,
            secret,
            Server::socks(None).slow(pause),
        ),
    ]
    .map(|case| case.request(|request| request.view(View::Slow)))
    .into()
}

/// What comes with a proxy's consent.
fn talkative() -> Vec<Case> {
    [
        ("body", "Content-Length: 5\r\n\r\nhello"),
        ("chunk", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("line", "\r\n\r\n"),
    ]
    .map(|(name, rest)| {
        let consent = format!("HTTP/1.1 200 OK\r\n{rest}");
        // What is behind it, it is itself.
        let steps = vec![
            Step::Request,
            Step::Send(consent.into_bytes()),
            Step::StartTls(Tls::with("good")),
            Step::Request,
            Step::Send(ok("there")),
        ];
        secure(
            &format!("connect_with_{name}"),
            "proxy_url: 'http://@proxy@'",
            "https://@server@/p",
            Server::steps(steps),
        )
    })
    .into()
}

/// What Go reads from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. It never takes
/// a proxy to `localhost` or a loopback address; 0.0.0.0 is none for it, and
/// leads to this machine all the same.
fn of_the_environment() -> Vec<Case> {
    let on = "proxy_from_environment: true";
    let skip = "proxy_from_environment: true, skip_resolve_phase_with_proxy: true";
    let through = ("HTTP_PROXY", "http://@proxy@");
    let secured = ("HTTPS_PROXY", "http://@proxy@");
    let (any, secret) = (
        "http://0.0.0.0:@server-port@/p",
        "https://0.0.0.0:@server-port@/p",
    );
    let proxy = Server::http_proxy;
    let to_any = |name: &str, variable| {
        plain(&format!("environment_{name}"), on, any, proxy()).variables(&[variable])
    };
    let except = |name: &str, hosts| {
        to_any(&format!("except_{name}"), ("NO_PROXY", hosts)).variables(&[through])
    };
    vec![
        to_any("http", through),
        to_any("small_letters", ("http_proxy", "http://@proxy@")),
        to_any("without_scheme", ("HTTP_PROXY", "@proxy@")),
        to_any("login", ("HTTP_PROXY", "http://us%20er:pa%3Ass@@proxy@")),
        to_any("empty", ("HTTP_PROXY", "")),
        to_any("of_https_alone", secured),
        plain("environment_socks", on, any, Server::socks(None))
            .variables(&[("HTTP_PROXY", "socks5://@proxy@")]),
        plain("environment_not_asked", "", any, proxy()).variables(&[through]),
        plain("environment_loopback", on, "http://@server@/p", proxy()).variables(&[through]),
        plain(
            "environment_localhost",
            skip,
            "http://localhost:@server-port@/p",
            proxy(),
        )
        .variables(&[through]),
        plain(
            "environment_name_skip",
            skip,
            "http://target.test:@server-port@/p",
            proxy(),
        )
        .variables(&[through]),
        except("address", "0.0.0.0"),
        except("range", "a.test, 0.0.0.0/8"),
        except("port", "0.0.0.0:@server-port@"),
        except("other_port", "0.0.0.0:1"),
        except("other", "a.test,10.0.0.0/8"),
        except("all", "*"),
        secure("environment_https", on, secret, proxy()).variables(&[secured]),
        secure("environment_https_of_http_alone", on, secret, proxy()).variables(&[through]),
        secure("environment_https_except", on, secret, proxy())
            .variables(&[secured, ("no_proxy", "0.0.0.0")]),
        secure(
            "environment_https_name_skip",
            skip,
            "https://target.test:@server-port@/p",
            proxy(),
        )
        .variables(&[secured]),
    ]
}

fn configured() -> Vec<Case> {
    let http = "proxy_url: 'http://@proxy@'";
    let login = "proxy_url: 'http://us%20er:pa%3Ass@@proxy@'";
    let socks = "proxy_url: 'socks5://@proxy@'";
    let socks_login = "proxy_url: 'socks5://user:pass@@proxy@'";
    let skip = "skip_resolve_phase_with_proxy: true";
    let url = "http://@server@/p?q=r";
    let named = "http://localhost:@server-port@/p";
    let secret = "https://@server@/p";
    let secret_named = "https://localhost:@server-port@/p";
    let foreign = "http://target.test:@server-port@/p";
    let replying = |reply: &[u8]| Server::steps(vec![Step::Request, Step::Send(reply.to_vec())]);
    vec![
        plain("http", http, url, Server::http_proxy()),
        plain("http_named", http, named, Server::http_proxy()),
        plain(
            "http_skip",
            &format!("{http}, {skip}"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_named_skip",
            &format!("{http}, {skip}"),
            named,
            Server::http_proxy(),
        ),
        plain(
            "http_foreign_skip",
            &format!("{http}, {skip}"),
            foreign,
            Server::http_proxy(),
        ),
        plain("http_login", login, url, Server::http_proxy()),
        plain(
            "http_host_field",
            &format!("{http}, headers: {{Host: vhost.test}}"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_post",
            &format!("{http}, method: POST, body: text"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_connect_header",
            &format!("{http}, proxy_connect_header: {{X-Own: [a, b]}}"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_gone",
            "proxy_url: 'http://127.0.0.1:1'",
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_without_port",
            "proxy_url: 'http://127.0.0.2'",
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_refusing",
            http,
            url,
            replying(&answer(407, "Proxy-Authenticate: Basic\r\n", "no")),
        ),
        plain(
            "http_host_field_bad",
            &format!("{http}, headers: {{Host: foo bar}}"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_port_too_large",
            "proxy_url: 'http://127.0.0.1:99999'",
            url,
            Server::http_proxy(),
        ),
        plain(
            "http_international",
            "proxy_url: 'http://bücher.invalid:3128'",
            url,
            Server::http_proxy(),
        ),
        // It answers itself.
        plain(
            "https",
            &format!("proxy_url: 'https://@proxy@', {SKIP}"),
            url,
            Server::answering(ok("there")).tls(Tls::with("good")),
        ),
        plain(
            "https_not_ssl",
            &format!("proxy_url: 'https://@proxy@', fail_if_ssl: true, {SKIP}"),
            url,
            Server::answering(ok("there")).tls(Tls::with("good")),
        ),
        plain("http_garbage", http, url, replying(b"what?\r\n\r\n")),
        plain(
            "http_target_gone",
            http,
            "http://127.0.0.1:1/",
            Server::http_proxy(),
        ),
        plain("skip_without_proxy", skip, url, Server::http_proxy()),
        plain(
            "no_proxy_address",
            &format!("{http}, no_proxy: 127.0.0.1"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_range",
            &format!("{http}, no_proxy: 127.0.0.0/8"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_any",
            &format!("{http}, no_proxy: '*'"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_other",
            &format!("{http}, no_proxy: 'a.test,10.0.0.0/8'"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_port",
            &format!("{http}, no_proxy: '127.0.0.1:@server-port@'"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_other_port",
            &format!("{http}, no_proxy: '127.0.0.1:1'"),
            url,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_name",
            &format!("{http}, no_proxy: localhost"),
            named,
            Server::http_proxy(),
        ),
        plain(
            "no_proxy_name_skip",
            &format!("{http}, {skip}, no_proxy: localhost"),
            named,
            Server::http_proxy(),
        ),
        secure("connect", http, secret, Server::http_proxy()),
        secure("connect_named", http, secret_named, Server::http_proxy()),
        secure(
            "connect_named_skip",
            &format!("{http}, {skip}"),
            secret_named,
            Server::http_proxy(),
        ),
        secure("connect_login", login, secret, Server::http_proxy()),
        secure(
            "connect_header",
            &format!("{http}, proxy_connect_header: {{X-Own: [a, b]}}"),
            secret,
            Server::http_proxy(),
        ),
        secure(
            "connect_header_odd",
            &format!("{http}, proxy_connect_header: {{X-Own: [\"a\\nb\"], 'X Y': [c], '': [d]}}"),
            secret,
            Server::http_proxy(),
        ),
        secure(
            "connect_login_and_header",
            &format!("{login}, proxy_connect_header: {{Proxy-Authorization: [own]}}"),
            secret,
            Server::http_proxy(),
        ),
        secure(
            "connect_host_field",
            &format!("{http}, headers: {{Host: vhost.test}}"),
            secret,
            Server::http_proxy(),
        ),
        secure(
            "connect_refused",
            http,
            secret,
            replying(&answer(403, "", "no")),
        ),
        secure(
            "connect_407",
            http,
            secret,
            replying(&answer(407, "Proxy-Authenticate: Basic\r\n", "no")),
        ),
        secure("connect_garbage", http, secret, replying(b"what?\r\n\r\n")),
        secure(
            "connect_hangup",
            http,
            secret,
            Server::steps(vec![Step::Request, Step::Hangup]),
        ),
        secure(
            "connect_target_gone",
            http,
            "https://127.0.0.1:1/",
            Server::http_proxy(),
        ),
        secure(
            "connect_verified",
            &format!("{http}, {skip}"),
            secret_named,
            Server::http_proxy(),
        )
        .module(&module(&format!(
            "{http}, {skip}, tls_config: {{ca_file: '@folder@/root.pem'}}"
        ))),
        plain("socks", socks, url, Server::socks(None)),
        plain("socks_named", socks, named, Server::socks(None)),
        plain(
            "socks_named_skip",
            &format!("{socks}, {skip}"),
            named,
            Server::socks(None),
        ),
        plain(
            "socks_h_named_skip",
            &format!("proxy_url: 'socks5h://@proxy@', {skip}"),
            named,
            Server::socks(None),
        ),
        plain(
            "socks_login",
            socks_login,
            url,
            Server::socks(Some(("user", "pass"))),
        ),
        plain(
            "socks_login_wrong",
            socks_login,
            url,
            Server::socks(Some(("user", "other"))),
        ),
        plain(
            "socks_user_empty",
            "proxy_url: 'socks5://:pass@@proxy@'",
            url,
            Server::socks(None),
        ),
        plain(
            "socks_user_empty_asked",
            "proxy_url: 'socks5://:pass@@proxy@'",
            url,
            Server::socks(Some(("user", "pass"))),
        ),
        plain(
            "socks_login_not_asked",
            socks_login,
            url,
            Server::socks(None),
        ),
        plain(
            "socks_login_missing",
            socks,
            url,
            Server::socks(Some(("user", "pass"))),
        ),
        plain(
            "socks_target_gone",
            socks,
            "http://127.0.0.1:1/",
            Server::socks(None),
        ),
        plain(
            "socks_is_http",
            socks,
            url,
            Server::steps(vec![
                Step::Read(3),
                Step::Send(answer(400, "", "what?")),
                Step::Hangup,
            ]),
        ),
        secure("socks_tls", socks, secret, Server::socks(None)),
        Case::probe("proxies::redirect", module(http), "http://@server@/")
            .server(Server::pages(vec![
                ("/", answer(302, "Location: /next\r\n", "")),
                ("*", ok("there")),
            ]))
            .server(Server::http_proxy()),
        Case::probe(
            "proxies::redirect_absolute",
            module(http),
            "http://@server@/",
        )
        .server(Server::pages(vec![
            (
                "/",
                answer(302, "Location: http://localhost:@server-port@/next\r\n", ""),
            ),
            ("*", ok("there")),
        ]))
        .server(Server::http_proxy()),
    ]
}
