//! Names of those that a probe is sent to: by redirects, proxies, and for tokens.

use hickory_proto::op::ResponseCode;

use super::super::case::Case;
use super::super::dns::Say;
use super::super::server::Server;
use super::super::view::View;
use super::names::{BOTH, ONLY_4, ONLY_6, PREFER_4, V4, V6, late, of};
use super::{answer, module, ok};

/// With an address where nobody is before the right one.
const REFUSED_FIRST: Say = Say::Addresses(&["127.0.0.3", "127.0.0.1"]);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = redirected();
    cases.extend(proxies());
    cases.extend(targets());
    cases.extend(tokens());
    cases
}

/// Names that a server sends the probe to.
fn redirected() -> Vec<Case> {
    let with = |name: &str, options: &str, host: &str, say: Say| {
        let place = format!("http://{host}:@other-port@/next");
        let moved = answer(302, &format!("Location: {place}\r\n"), "moved");
        let case = Case::probe(
            format!("names::redirect_{name}"),
            module(options),
            "http://web.@zone@:@server-port@/",
        )
        .request(|request| request.view(View::NamedSlowly))
        .server(Server::answering(moved))
        .server(Server::answering(ok("there")).named("other"));
        case.says("web.@zone@", V4).says("next.@zone@", say)
    };
    let next = "next.@zone@";
    let mut hasty = with("to_silence", "", next, Say::Silence);
    hasty.module = hasty.module.map(|it| it.replace("20s", "500ms"));
    // Whether upstream counts a look-up that the deadline ends is a race of its own.
    let hasty = hasty.request(|request| request.view(View::Named));
    vec![
        with("to_v4", "", next, V4),
        with("to_v4_only_4", ONLY_4, next, V4),
        with("to_both", "", next, BOTH),
        with("to_both_prefer_4", PREFER_4, next, BOTH),
        with("to_v6_refused", "", next, V6),
        with("to_v4_refused_first", "", next, REFUSED_FIRST),
        with("to_not_found", "", next, Say::NotFound),
        with(
            "to_not_found_allowed",
            "valid_status_codes: [302]",
            next,
            Say::NotFound,
        ),
        with("to_failure", "", next, Say::Code(ResponseCode::ServFail)),
        with("late", "", next, late(&V4)),
        with("six_late", "", next, of(&V4, &late(&BOTH))),
        with(
            "six_failure",
            "",
            next,
            of(&V4, &Say::Code(ResponseCode::ServFail)),
        ),
        with("to_searched", "", "@label@", V4).says("@label@.two.search.test", V4),
        with("alias", "", next, Say::alias("real.@zone@")).says("real.@zone@", V4),
        with("to_itself", "", "web.@zone@", V4),
        hasty,
    ]
}

/// A probe through a proxy that has this name in the zone of the case.
fn through(name: &str, options: &str, target: &str, proxy: Server, say: Say) -> Case {
    Case::probe(format!("names::proxy_{name}"), module(options), target)
        .request(|request| request.view(View::NamedSlowly))
        .server(Server::answering(ok("there")))
        .server(proxy)
        .says("web.@zone@", V4)
        .says("proxy.@zone@", say)
}

const HTTP: &str = "proxy_url: 'http://proxy.@zone@:@proxy-port@'";
const SOCKS: &str = "proxy_url: 'socks5://proxy.@zone@:@proxy-port@'";
const SKIP: &str = "skip_resolve_phase_with_proxy: true";

/// Names of proxies.
fn proxies() -> Vec<Case> {
    let with = |name: &str, say: Say| {
        let proxy = Server::http_proxy();
        through(name, HTTP, "http://@server@/", proxy, say)
    };
    vec![
        with("named", V4),
        with("named_both", BOTH),
        with("named_refused_first", REFUSED_FIRST),
        with("not_found", Say::NotFound),
        with("failure", Say::Code(ResponseCode::ServFail)),
        with("late", late(&V4)),
        through(
            "named_only_6",
            &format!("{HTTP}, {ONLY_6}"),
            "http://[::1]:@server-port@/",
            Server::http_proxy(),
            V4,
        ),
    ]
}

/// Names of what is reached through them, or around them.
fn targets() -> Vec<Case> {
    let with = |name: &str, options: &str, host: &str| {
        let target = format!("http://{host}.@zone@:@server-port@/");
        let proxy = match options.starts_with(SOCKS) {
            true => Server::socks(None),
            false => Server::http_proxy(),
        };
        through(name, options, &target, proxy, V4)
    };
    let skip = |options: &str| format!("{options}, {SKIP}");
    let except = |hosts: &str| format!("{HTTP}, no_proxy: '{hosts}'");
    vec![
        with("and_target", HTTP, "web"),
        with("and_target_skip", &skip(HTTP), "web"),
        with("and_target_not_found", HTTP, "gone"),
        with("and_target_not_found_skip", &skip(HTTP), "gone"),
        with("socks", SOCKS, "web"),
        with("socks_skip", &skip(SOCKS), "web"),
        with("excepted", &except("web.@zone@"), "web"),
        with("excepted_skip", &skip(&except(".@zone@")), "web"),
        with(
            "environment_skip",
            &skip("proxy_from_environment: true"),
            "web",
        )
        .variables(&[("HTTP_PROXY", "http://proxy.@zone@:@proxy-port@")]),
    ]
}

/// Names of those who give tokens.
fn tokens() -> Vec<Case> {
    let with = |name: &str, say: Say| {
        let options = "oauth2: {client_id: me, client_secret: secret, \
                       token_url: 'http://token.@zone@:@issuer-port@/token'}";
        let token = answer(
            200,
            "Content-Type: application/json\r\n",
            "{\"access_token\": \"abc\", \"token_type\": \"Bearer\", \"expires_in\": 3600}",
        );
        Case::probe(
            format!("names::token_{name}"),
            module(options),
            "http://web.@zone@:@server-port@/",
        )
        .request(|request| request.view(View::NamedSlowly))
        .server(Server::answering(ok("there")))
        .server(Server::answering(token).named("issuer"))
        .says("web.@zone@", V4)
        .says("token.@zone@", say)
    };
    vec![
        with("of_v4", V4),
        with("of_both", BOTH),
        with("refused_first", REFUSED_FIRST),
        with("not_found", Say::NotFound),
        with("failure", Say::Code(ResponseCode::ServFail)),
        with("late", late(&V4)),
        with("six_failure", of(&V4, &Say::Code(ResponseCode::ServFail))),
    ]
}
