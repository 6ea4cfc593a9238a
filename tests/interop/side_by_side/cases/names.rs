//! Names: what is asked of DNS servers, which of the addresses is taken, and what is
//! made of servers that fail.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

use super::super::case::{Ask, Case};
use super::super::dns::Say;
use super::super::server::{Server, Step, Tls};
use super::super::view::View;
use super::{module, ok};

pub(super) const V4: Say = Say::Addresses(&["127.0.0.1"]);
pub(super) const V6: Say = Say::Addresses(&["::1"]);
pub(super) const BOTH: Say = Say::Addresses(&["127.0.0.1", "::1"]);
pub(super) const PREFER_4: &str = "preferred_ip_protocol: ip4";
pub(super) const ONLY_4: &str = "preferred_ip_protocol: ip4, ip_protocol_fallback: false";
pub(super) const ONLY_6: &str = "preferred_ip_protocol: ip6, ip_protocol_fallback: false";
/// The same as most have, but each server is asked once: who says nothing is waited
/// for.
const HASTY: &str = "nameserver @dns@\nsearch one.search.test two.search.test\n\
                     options timeout:1 attempts:1\n";
/// Longer than anything that is to be short.
const LATE: Duration = Duration::from_millis(600);

fn boxed(say: &Say) -> Box<Say> {
    Box::new(say.clone())
}

pub(super) fn late(say: &Say) -> Say {
    Say::Late(LATE, boxed(say))
}

/// One thing of A, another of AAAA.
pub(super) fn of(four: &Say, six: &Say) -> Say {
    Say::ByType(boxed(four), boxed(six))
}

/// A server at both families.
fn at_both(case: Case, server: impl Fn() -> Server) -> Case {
    case.server(server())
        .server(server().named("six").beside_at(Ipv6Addr::LOCALHOST))
}

/// A probe of a URL by a name; the page is there at both families.
fn to(name: &str, options: &str, target: &str) -> Case {
    let case = Case::probe(format!("names::{name}"), module(options), target)
        .request(|request| request.view(View::Named));
    at_both(case, || Server::answering(ok("there"))).named()
}

/// The same of the name `web` in the domain of the case, of which the server says
/// this.
fn web(name: &str, options: &str, say: Say) -> Case {
    to(name, options, "http://web.@zone@:@server-port@/").says("web.@zone@", say)
}

fn view(case: Case, view: View) -> Case {
    case.request(|request| request.view(view))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = families();
    cases.extend(several());
    cases.extend(failures());
    cases.extend(one_family_fails());
    cases.extend(truncated());
    cases.extend(aliases());
    cases.extend(searched());
    cases.extend(servers());
    cases.extend(of_the_hosts_file());
    cases.extend(forms());
    cases.extend(searched_otherwise());
    cases.extend(tcp());
    cases.extend(around());
    cases
}

fn families() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, options) in [
        ("by_default", ""),
        ("prefer_4", PREFER_4),
        ("prefer_6", "preferred_ip_protocol: ip6"),
        ("only_4", ONLY_4),
        ("only_6", ONLY_6),
        ("other_word", "preferred_ip_protocol: IP6"),
    ] {
        for (kind, say) in [("v4", V4), ("v6", V6), ("both", BOTH)] {
            cases.push(web(&format!("{kind}_{name}"), options, say));
        }
    }
    cases
}

/// Which of several addresses is taken.
fn several() -> Vec<Case> {
    let four = Say::Addresses(&["127.0.0.1", "127.0.0.2"]);
    // Without a zone no address of a link is reached, and nobody is tried.
    let six_apart = Say::Addresses(&["fe80::1", "::1"]);
    let six_near = Say::Addresses(&["fe80::1", "fe80::2", "fe80::3"]);
    vec![
        web("two_prefer_4", PREFER_4, four.clone()),
        web("two_only_4", ONLY_4, four.clone()),
        web("two_fall_back_to_4", "", four),
        web("many_only_4", ONLY_4, Say::Many(15)),
        web("many_fall_back_to_4", "", Say::Many(15)),
        web("very_many_only_4", ONLY_4, Say::Many(40)),
        web("very_many_fall_back_to_4", "", Say::Many(40)),
        web(
            "refused_first",
            ONLY_4,
            Say::Addresses(&["127.0.0.3", "127.0.0.1"]),
        ),
        web("unreachable_first", "", six_apart),
        web("two_fall_back_to_6", PREFER_4, six_near.clone()),
        web("three_only_6", ONLY_6, six_near),
    ]
}

/// What makes a look-up fail.
fn failures() -> Vec<Case> {
    let mut cases = vec![
        web("not_found", "", Say::NotFound),
        web("not_found_only_4", ONLY_4, Say::NotFound),
        web("no_data", "", Say::Addresses(&[])),
        web("server_failure", "", Say::Code(ResponseCode::ServFail)),
        web("refused", "", Say::Code(ResponseCode::Refused)),
        web("not_implemented", "", Say::Code(ResponseCode::NotImp)),
        web("format_error", "", Say::Code(ResponseCode::FormErr)),
        web("referral", "", Say::Referral),
        web("silence", ONLY_4, Say::Silence).resolv_conf(HASTY),
        web("garbage", ONLY_4, Say::Garbage).resolv_conf(HASTY),
        web("cut", ONLY_4, Say::Cut(boxed(&V4))),
        web("without_edns", ONLY_4, Say::WithoutEdns(boxed(&V4))),
        web("after_lies", ONLY_4, Say::AfterLies(boxed(&V4))),
        web("shouted", ONLY_4, Say::Shouted(boxed(&V4))),
        web(
            "of_another",
            ONLY_4,
            Say::OfAnother("other.test", &["127.0.0.1"]),
        ),
        view(web("late", "", late(&BOTH)), View::NamedSlowly),
        view(
            web("late_not_found", ONLY_4, late(&Say::NotFound)),
            View::NamedSlowly,
        ),
    ];
    for (name, say) in [
        ("failure", Say::Code(ResponseCode::ServFail)),
        ("refusal", Say::Code(ResponseCode::Refused)),
        ("silence", Say::Silence),
        ("garbage", Say::Garbage),
        ("cut", Say::Cut(boxed(&V4))),
    ] {
        let say = Say::First(Box::new(say), boxed(&V4));
        cases.push(web(&format!("once_{name}"), ONLY_4, say));
    }
    // The deadline of the module ends what the servers do not.
    let mut hasty = web("silence_to_the_end", "", Say::Silence);
    hasty.module = hasty.module.map(|it| it.replace("20s", "500ms"));
    cases.push(hasty);
    cases
}

/// The other family is there.
fn one_family_fails() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, say) in [
        ("not_found", Say::NotFound),
        ("failure", Say::Code(ResponseCode::ServFail)),
        ("refused", Say::Code(ResponseCode::Refused)),
        ("format_error", Say::Code(ResponseCode::FormErr)),
        ("silence", Say::Silence),
        ("garbage", Say::Garbage),
        ("cut", Say::Cut(boxed(&BOTH))),
        ("referral", Say::Referral),
    ] {
        cases.push(web(&format!("six_{name}"), "", of(&V4, &say)));
        // What is waited for is so once.
        if !matches!(say, Say::Silence | Say::Garbage) {
            cases.push(web(&format!("four_{name}"), PREFER_4, of(&say, &V6)));
        }
    }
    cases.push(view(
        web("six_late", PREFER_4, of(&BOTH, &late(&BOTH))),
        View::NamedSlowly,
    ));
    cases.push(view(
        web("four_late", "", of(&late(&BOTH), &BOTH)),
        View::NamedSlowly,
    ));
    cases
}

fn truncated() -> Vec<Case> {
    vec![
        web("truncated", ONLY_4, Say::Truncated(boxed(&V4))),
        web("truncated_both", "", Say::Truncated(boxed(&BOTH))),
        web(
            "truncated_part",
            ONLY_4,
            Say::TruncatedPart(boxed(&Say::Addresses(&["127.0.0.2"])), boxed(&V4)),
        ),
        web(
            "truncated_one",
            PREFER_4,
            of(&BOTH, &Say::Truncated(boxed(&BOTH))),
        ),
        web("truncated_always", ONLY_4, Say::TruncatedAlways(boxed(&V4))),
        web(
            "truncated_not_found",
            ONLY_4,
            Say::Truncated(boxed(&Say::NotFound)),
        ),
        web("truncated_then_hangup", ONLY_4, Say::TruncatedThenHangup),
        web(
            "truncated_then_late",
            ONLY_4,
            Say::Truncated(Box::new(late(&V4))),
        ),
    ]
}

fn aliases() -> Vec<Case> {
    let mut chain = web("alias_chain", "", Say::alias("n0.@zone@"));
    let mut long = web("alias_chain_long", "", Say::alias("n0.@zone@"));
    const STEPS: [&str; 25] = [
        "n0.@zone@",
        "n1.@zone@",
        "n2.@zone@",
        "n3.@zone@",
        "n4.@zone@",
        "n5.@zone@",
        "n6.@zone@",
        "n7.@zone@",
        "n8.@zone@",
        "n9.@zone@",
        "n10.@zone@",
        "n11.@zone@",
        "n12.@zone@",
        "n13.@zone@",
        "n14.@zone@",
        "n15.@zone@",
        "n16.@zone@",
        "n17.@zone@",
        "n18.@zone@",
        "n19.@zone@",
        "n20.@zone@",
        "n21.@zone@",
        "n22.@zone@",
        "n23.@zone@",
        "n24.@zone@",
    ];
    for two in STEPS.windows(2) {
        long = long.says(two[0], Say::alias(two[1]));
    }
    for two in STEPS[..8].windows(2) {
        chain = chain.says(two[0], Say::alias(two[1]));
    }
    let alias = || Say::alias("real.@zone@");
    vec![
        chain.says(STEPS[7], BOTH),
        long.says(STEPS[24], BOTH),
        web("alias", "", alias()).says("real.@zone@", BOTH),
        web("alias_to_v4", "", alias()).says("real.@zone@", V4),
        web("alias_only_6_to_v4", ONLY_6, alias()).says("real.@zone@", V4),
        web(
            "alias_last",
            ONLY_4,
            Say::AliasLast("real.@zone@".to_owned()),
        )
        .says("real.@zone@", V4),
        web("alias_to_nothing", "", alias()),
        web("alias_to_no_data", "", alias()).says("real.@zone@", Say::Addresses(&[])),
        web("alias_to_itself", "", Say::alias("web.@zone@")),
    ]
}

/// Names that are searched, of one label and of two.
const SHORT: &str = "http://@label@:@server-port@/";
const DOTTED: &str = "http://web.@label@:@server-port@/";

/// The search list: of most programs `one.search.test` and `two.search.test`.
fn searched() -> Vec<Case> {
    vec![
        to("search_first", "", SHORT).says("@label@.one.search.test", V4),
        to("search_second", "", SHORT).says("@label@.two.search.test", V4),
        to("search_itself", "", SHORT).says("@label@", V4),
        to("search_nowhere", "", SHORT),
        to("search_no_data_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", Say::Addresses(&[]))
            .says("@label@.two.search.test", V4),
        to("search_other_family_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", V6)
            .says("@label@.two.search.test", V4),
        to("search_failure_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", Say::Code(ResponseCode::ServFail))
            .says("@label@.two.search.test", V4),
        to("search_refused_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", Say::Code(ResponseCode::Refused))
            .says("@label@.two.search.test", V4),
        to("search_silence_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", Say::Silence)
            .says("@label@.two.search.test", V4)
            .resolv_conf(HASTY),
        to("search_garbage_first", ONLY_4, SHORT)
            .says("@label@.one.search.test", Say::Garbage)
            .says("@label@.two.search.test", V4)
            .resolv_conf(HASTY),
        to("search_with_dot", "", "http://@label@.:@server-port@/")
            .says("@label@.one.search.test", V4),
        to("search_dotted_itself", "", DOTTED)
            .says("web.@label@", V4)
            .says("web.@label@.one.search.test", V6),
        to("search_dotted", "", DOTTED).says("web.@label@.two.search.test", V4),
        to("search_dotted_failure", ONLY_4, DOTTED)
            .says("web.@label@", Say::Code(ResponseCode::ServFail))
            .says("web.@label@.one.search.test", V4),
        to("search_dotted_silence", ONLY_4, DOTTED)
            .says("web.@label@", Say::Silence)
            .says("web.@label@.one.search.test", V4)
            .resolv_conf(HASTY),
    ]
}

/// With other domains than most programs have.
fn searched_otherwise() -> Vec<Case> {
    let kubernetes = "nameserver @dns@\n\
                      search ns.svc.search.test svc.search.test search.test\n\
                      options ndots:5 timeout:1\n";
    vec![
        to("search_kubernetes", "", DOTTED)
            .says("web.@label@.svc.search.test", V4)
            .resolv_conf(kubernetes),
        to(
            "search_kubernetes_outside",
            "",
            "http://web.@zone@:@server-port@/",
        )
        .says("web.@zone@", V4)
        .resolv_conf(kubernetes),
        to(
            "search_kubernetes_with_dot",
            "",
            "http://web.@zone@.:@server-port@/",
        )
        .says("web.@zone@", V4)
        .resolv_conf(kubernetes),
        to("search_ndots_0", "", SHORT)
            .says("@label@", V4)
            .says("@label@.one.search.test", V6)
            .resolv_conf("nameserver @dns@\nsearch one.search.test\noptions ndots:0\n"),
        to("search_domain", "", SHORT)
            .says("@label@.a.search.test", V4)
            .resolv_conf("nameserver @dns@\nsearch b.search.test\ndomain a.search.test\n"),
        to("search_nothing", "", SHORT)
            .says("@label@", V4)
            .resolv_conf("nameserver @dns@\n"),
        to("search_options_not_numbers", ONLY_4, SHORT)
            .says("@label@", V4)
            .says("@label@.a.search.test", V4)
            .resolv_conf("nameserver @dns@\nsearch a.search.test\noptions ndots:x\n"),
        to("search_root", "", SHORT)
            .says("@label@", V4)
            .resolv_conf("nameserver @dns@\nsearch .\n"),
        to("search_capitals_and_dots", "", SHORT)
            .says("@label@.a.search.test", V4)
            .resolv_conf(
                "; comment\nnameserver @dns@ # comment\nnameserver nonsense\n\
                 \tsearch b..test A.Search.Test.\noptions bogus\n",
            ),
    ]
}

/// Several servers, and how they are asked.
fn servers() -> Vec<Case> {
    let two = "nameserver @dns@\nnameserver @dns2@\noptions timeout:1\n";
    let pair = |name: &str, first: Say, second: Say| {
        web(name, ONLY_4, first)
            .second_says("web.@zone@", second)
            .resolv_conf(two)
    };
    let with = |name: &str, say: Say, text: &'static str| web(name, ONLY_4, say).resolv_conf(text);
    vec![
        pair("second_after_silence", Say::Silence, V4),
        pair(
            "second_after_failure",
            Say::Code(ResponseCode::ServFail),
            V4,
        ),
        pair("second_after_refusal", Say::Code(ResponseCode::Refused), V4),
        pair("second_after_referral", Say::Referral, V4),
        pair("second_after_garbage", Say::Garbage, V4),
        pair("second_after_cut", Say::Cut(boxed(&V4)), V4),
        pair("second_after_not_found", Say::NotFound, V4),
        pair("second_after_no_data", Say::Addresses(&[]), V4),
        pair("second_after_hangup", Say::TruncatedThenHangup, V4),
        pair(
            "second_silent_after_failure",
            Say::Code(ResponseCode::ServFail),
            Say::Silence,
        ),
        with(
            "nobody_first",
            V4,
            "nameserver @nobody@\nnameserver @dns@\noptions timeout:1\n",
        ),
        with(
            "nobody_at_all",
            V4,
            "nameserver @nobody@\noptions timeout:1\n",
        ),
        with(
            "one_attempt",
            Say::First(Box::new(Say::Code(ResponseCode::ServFail)), boxed(&V4)),
            "nameserver @dns@\noptions attempts:1\n",
        ),
        with(
            "three_attempts",
            Say::First(Box::new(Say::Silence), boxed(&V4)),
            "nameserver @dns@\noptions attempts:3 timeout:1\n",
        ),
        with("by_tcp", V4, "nameserver @dns@\noptions use-vc\n"),
        with("by_tcp_otherwise", V4, "nameserver @dns@\noptions tcp\n"),
        web("one_by_one", "", BOTH).resolv_conf("nameserver @dns@\noptions single-request\n"),
        web("one_by_one_reopen", "", BOTH)
            .resolv_conf("nameserver @dns@\noptions single-request-reopen\n"),
        with(
            "trusted",
            V4,
            "nameserver @dns@\noptions trust-ad edns0 no-reload\n",
        ),
    ]
}

fn of_the_hosts_file() -> Vec<Case> {
    // Nothing is asked, and that takes next to no time.
    let hosts = |name: &str, options: &str, target: &str| {
        let case = to(name, options, target).says("any.@zone@", V4);
        view(case, View::Metrics)
    };
    let itself = "http://@zone@:@server-port@/";
    vec![
        hosts("hosts_v4", "", itself),
        hosts("hosts_v6", PREFER_4, itself),
        hosts("hosts_both", "", itself),
        hosts("hosts_several", ONLY_4, itself),
        hosts(
            "hosts_capitals",
            "",
            "http://hosts-CAPITALS.test:@server-port@/",
        ),
        hosts("hosts_alias", "", "http://hosts-alias:@server-port@/"),
        hosts("hosts_before_dns", "", itself).says("hosts-before-dns.test", V6),
        hosts("hosts_without_family", ONLY_6, itself).says("hosts-without-family.test", V6),
        hosts(
            "hosts_with_dot",
            "",
            "http://hosts-with-dot.test.:@server-port@/",
        ),
        hosts("hosts_localhost", "", "http://localhost:@server-port@/"),
        hosts(
            "hosts_localhost_only_4",
            ONLY_4,
            "http://localhost:@server-port@/",
        ),
    ]
}

/// What is a name and what is none.
fn forms() -> Vec<Case> {
    let form = |name: &str, host: &str| {
        to(
            &format!("form_{name}"),
            ONLY_4,
            &format!("http://{host}:@server-port@/"),
        )
        .says("any.@zone@", V4)
    };
    // Nothing is asked, and that takes next to no time.
    let none = |name: &str, host: &str| view(form(name, host), View::Metrics);
    let long = "a".repeat(64);
    let label = "a".repeat(63);
    vec![
        form("capitals", "WEB.@zone@").says("web.@zone@", V4),
        form("underscore", "_web.a_b.@zone@").says("_web.a_b.@zone@", V4),
        form("digits", "1a.2.@zone@").says("1a.2.@zone@", V4),
        form("punycode", "xn--bcher-kva.@zone@").says("xn--bcher-kva.@zone@", V4),
        none("international", "bücher.@zone@"),
        none("two_dots", "a..@zone@"),
        none("leading_dot", ".@zone@"),
        none("leading_hyphen", "-a.@zone@").says("-a.@zone@", V4),
        none("trailing_hyphen", "a-.@zone@").says("a-.@zone@", V4),
        none("label_too_long", &format!("{long}.@zone@")),
        none(
            "name_too_long",
            &format!("{label}.{label}.{label}.{label}.@zone@"),
        ),
        none("onion", "web.@label@.onion").says("web.@label@.onion", V4),
        none("numeric", "127.1"),
        none("number", "2130706433"),
        none("octal", "0127.0.0.1"),
        none("below_localhost", "web.@label@.localhost").says("web.@label@.localhost", V4),
        form("local", "web.@label@.local").says("web.@label@.local", V4),
        form("space", "web%20a.@zone@"),
    ]
}

/// The prober `tcp`.
fn tcp() -> Vec<Case> {
    let with = |name: &str, options: &str, target: &str, server: &dyn Fn() -> Server| {
        let case = Case::probe(
            format!("names::tcp_{name}"),
            format!("{{prober: tcp, timeout: 20s, tcp: {{{options}}}}}"),
            target,
        )
        .request(|request| request.view(View::Named));
        at_both(case, server)
    };
    let plain = || Server::steps(vec![Step::Send(b"hello\n".to_vec()), Step::Silence]);
    let secure = || Server::steps(vec![Step::Silence]).tls(Tls::with("good"));
    let web = "web.@zone@:@server-port@";
    let skip = "tls: true, tls_config: {insecure_skip_verify: true}";
    let one = |name: &str, options: &str, say: Say| {
        with(name, options, web, &plain).says("web.@zone@", say)
    };
    vec![
        one("v4", "", V4),
        one("both", "", BOTH),
        one("both_prefer_4", PREFER_4, BOTH),
        one("only_6_of_v4", ONLY_6, V4),
        one("only_4", ONLY_4, BOTH),
        one("not_found", "", Say::NotFound),
        one("failure", "", Say::Code(ResponseCode::ServFail)),
        one("truncated", "", Say::Truncated(boxed(&BOTH))),
        one(
            "two_fall_back_to_4",
            "",
            Say::Addresses(&["127.0.0.1", "127.0.0.2"]),
        ),
        one("expect", "query_response: [{expect: hello}]", BOTH),
        with("searched", "", "@label@:@server-port@", &plain).says("@label@.two.search.test", V4),
        with("dot", "", "web.@zone@.:@server-port@", &plain).says("web.@zone@", V4),
        with("tls", skip, web, &secure).says("web.@zone@", BOTH),
        with("tls_dot", skip, "web.@zone@.:@server-port@", &secure).says("web.@zone@", BOTH),
        with(
            "tls_not_the_name",
            "tls: true, tls_config: {ca_file: '@folder@/root.pem'}",
            web,
            &secure,
        )
        .says("web.@zone@", BOTH),
        with("tls_hostname", skip, web, &secure)
            .says("web.@zone@", BOTH)
            .request(|request| request.query("&hostname=vhost.test")),
    ]
}

/// Names and the rest of a probe.
fn around() -> Vec<Case> {
    let skip = "tls_config: {insecure_skip_verify: true}";
    let https = |name: &str, options: &str, target: &str| {
        let case = Case::probe(format!("names::https_{name}"), module(options), target)
            .request(|request| request.view(View::Named));
        at_both(case, || {
            Server::answering(ok("there")).tls(Tls::with("good"))
        })
        .says("web.@zone@", BOTH)
    };
    let twice = |name: &str, say: Say| {
        let mut case = web(name, ONLY_4, say);
        if let Ask::Requests(requests) = &mut case.ask {
            requests.push(requests[0].clone());
        }
        case
    };
    vec![
        https("skip", skip, "https://web.@zone@:@server-port@/"),
        https(
            "not_the_name",
            "tls_config: {ca_file: '@folder@/root.pem'}",
            "https://web.@zone@:@server-port@/",
        ),
        https(
            "server_name",
            "tls_config: {ca_file: '@folder@/root.pem', server_name: localhost}",
            "https://web.@zone@:@server-port@/",
        ),
        https("dot", skip, "https://web.@zone@.:@server-port@/"),
        https("hostname", skip, "https://web.@zone@:@server-port@/")
            .request(|request| request.query("&hostname=vhost.test")),
        web("hostname", "", BOTH).request(|request| request.query("&hostname=vhost.test")),
        web("hostname_of_another_name", "", BOTH)
            .says("vhost.@zone@", V6)
            .request(|request| request.query("&hostname=vhost.@zone@")),
        web("host_field", "headers: {Host: vhost.test}", V4),
        to(
            "source_address",
            &format!("{ONLY_4}, follow_redirects: true"),
            "http://web.@zone@:@server-port@/a?b#c",
        )
        .says("web.@zone@", V4),
        to("userinfo", "", "http://user:pass@web.@zone@:@server-port@/").says("web.@zone@", V4),
        to("scheme_missing", "", "web.@zone@:@server-port@").says("web.@zone@", V4),
        // What was answered a moment ago is asked for again.
        twice(
            "asked_again",
            Say::First(boxed(&Say::Addresses(&["127.0.0.2"])), boxed(&V4)),
        )
        .server(
            Server::answering(ok("second"))
                .named("second")
                .beside_at(Ipv4Addr::new(127, 0, 0, 2)),
        ),
        twice(
            "asked_again_not_found",
            Say::First(boxed(&Say::NotFound), boxed(&V4)),
        ),
        web("at_once", ONLY_4, late(&V4)).together(5),
    ]
}
