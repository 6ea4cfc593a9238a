//! What a target of the swarm is: how it is probed, what is there when it is
//! well, and all that can be wrong with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::Spec;
use probity_engine::check::Module;
use serde_json::{Value, json};

use crate::checker::Culprit;
use crate::peer::coded::{self, Coding};
use crate::peer::h2::{self, END_STREAM, Server};
use crate::peer::http::{self, Site};
use crate::peer::oauth2::{Endpoint, guarded};
use crate::peer::proxy::{Manner, Protocol, Proxy};
use crate::peer::{Behaviour, Certificate, Script, Step, Tls};
use crate::rng::Rng;
use crate::spec::{self, Plan};

/// What stands where.
pub(super) type Servers = Vec<(SocketAddr, Behaviour)>;

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A port that accepts.
    Tcp,
    /// One that speaks TLS.
    Tls,
    /// A dialogue of lines.
    Dialogue,
    /// One that is secured midway.
    StartTls,
    /// HTTP/1.1.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP/2, with a body that is sent as fast as it is allowed.
    Http2,
    /// A body that is coded.
    Coded,
    /// A request that an HTTP proxy passes on, be it over TLS.
    Forwarded,
    /// A tunnel through an HTTP proxy or one that speaks TLS or SOCKS.
    Tunnelled,
    /// A request with a token that has to be fetched.
    Token,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Tcp,
        Self::Tls,
        Self::Dialogue,
        Self::StartTls,
        Self::Http,
        Self::Https,
        Self::Http2,
        Self::Coded,
        Self::Forwarded,
        Self::Tunnelled,
        Self::Token,
    ];

    /// Its place in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A target to be made.
pub(super) struct Home<'a> {
    pub(super) kind: Kind,
    /// Where it is.
    pub(super) at: SocketAddr,
    /// What it is called: the same, or a name and the port.
    pub(super) host: &'a str,
    /// Where whoever stands on the way is, if somebody does.
    pub(super) between: SocketAddr,
}

/// The text of every coded body.
const TEXT: &[u8] = b"the same again and again, ";

/// A target that is well, and its servers.
pub(super) fn healthy(rng: &mut Rng, home: &Home<'_>, plan: &Plan) -> (Arc<Spec>, Servers) {
    let Home {
        kind,
        at,
        host,
        between,
    } = *home;
    let (plain, secured) = (format!("http://{host}/"), format!("https://{host}/"));
    let tcp = |section: Value| spec::module(json!({"prober": "tcp", "tcp": section}));
    let web = |section: Value| spec::module(json!({"prober": "http", "http": section}));
    let there = |module: Module, target: &str, server: Behaviour| {
        (plan.spec(&module, target), vec![(at, server)])
    };
    match kind {
        Kind::Tcp => there(tcp(json!({})), host, Behaviour::silent()),
        Kind::Tls => there(tcp(json!({"tls": true})), host, good(Behaviour::silent())),
        Kind::Dialogue => there(tcp(dialogue()), host, talker(rng)),
        Kind::StartTls => there(tcp(starttls()), host, mail(then_secured(Certificate::Good))),
        Kind::Http => {
            let site = site(rng, &plain);
            there(web(json!({})), &plain, site)
        }
        Kind::Https => {
            let site = site(rng, &secured);
            there(web(json!({})), &secured, good(site))
        }
        Kind::Http2 => {
            let body = "x".repeat(LONG_BODY);
            let module = web(json!({"method": "POST", "body": body}));
            there(module, &secured, good(streams(rng)))
        }
        Kind::Coded => {
            let coding = coding_at(at);
            let server = coded_site(rng, coding);
            there(web(decoding(coding)), &plain, server)
        }
        Kind::Forwarded => {
            let scheme = *rng.pick(&["http", "https"]);
            let module = web(through(rng, scheme, between));
            let proxy = proxy(scheme, Manner::Honest);
            let servers = vec![(at, quick_site(rng)), (between, proxy)];
            (plan.spec(&module, &plain), servers)
        }
        Kind::Tunnelled => {
            let scheme = *rng.pick(&["http", "https", "socks5"]);
            let module = web(through(rng, scheme, between));
            let proxy = proxy(scheme, Manner::Honest);
            let (site, url) = match scheme == "socks5" && rng.chance(500_000) {
                true => (quick_site(rng), plain),
                false => (good(quick_site(rng)), secured),
            };
            (plan.spec(&module, &url), vec![(at, site), (between, proxy)])
        }
        Kind::Token => {
            let scheme = *rng.pick(&["http", "https"]);
            let endpoint = rng.pick(&[Endpoint::Basic, Endpoint::InBody]).serve();
            let endpoint = match scheme {
                "https" => good(endpoint),
                _ => endpoint,
            };
            let module = web(json!({"oauth2": {
                "client_id": "me",
                "client_secret": "s3cret",
                "token_url": format!("{scheme}://{between}/token"),
            }}));
            let servers = vec![(at, guarded()), (between, endpoint)];
            (plan.spec(&module, &plain), servers)
        }
    }
}

/// Servers with which no check can be content.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) servers: Servers,
    pub(super) culprit: Culprit,
}

/// The same target with something wrong.
pub(super) fn failing(rng: &mut Rng, home: &Home<'_>, healthy: &Servers) -> Failing {
    let mut servers = healthy.clone();
    let culprit = match rng.chance(300_000) {
        true => kill(rng, home.kind, &mut servers),
        false => hurt(rng, home, &mut servers),
    };
    Failing { servers, culprit }
}

/// Nobody is there any more, be it at the target or on the way to it.
fn kill(rng: &mut Rng, kind: Kind, servers: &mut Servers) -> Culprit {
    let dead = [
        Behaviour::Refuse,
        Behaviour::Unreachable,
        Behaviour::Blackhole,
    ];
    let victim = rng.below(servers.len() as u64) as usize;
    servers[victim].1 = rng.pick(&dead).clone();
    match (kind, victim) {
        (Kind::Tunnelled, _) | (Kind::Forwarded, 1) => Culprit::Proxy,
        (Kind::Token, 1) => Culprit::TokenEndpoint,
        _ => Culprit::Target,
    }
}

/// Somebody is there and does the wrong thing.
fn hurt(rng: &mut Rng, home: &Home<'_>, servers: &mut Servers) -> Culprit {
    let (first, rest) = servers.split_at_mut(1);
    let server = &mut first[0].1;
    let between = rest.first_mut().map(|(_, between)| between);
    let secured = matches!(server, Behaviour::Tls(..));
    match (home.kind, between) {
        // There is little that can be wrong with a port that accepts.
        (Kind::Tcp, _) => *server = Behaviour::Refuse,
        (Kind::Tls, _) => *server = insecure(rng),
        (Kind::Dialogue, _) => *server = bad_talker(rng),
        (Kind::StartTls, _) => *server = bad_mail(rng),
        (Kind::Http2, _) if rng.chance(500_000) => *server = good(bad_streams(rng)),
        (Kind::Coded, _) => {
            *server = badly_coded(rng, coding_at(home.at));
        }
        // What such a proxy says looks as if the target had said it.
        (Kind::Forwarded, Some(between)) if rng.chance(500_000) => {
            spoil(between, *rng.pick(&Manner::BAD));
        }
        (Kind::Tunnelled, Some(between)) if rng.chance(500_000) => {
            let mut manners = Manner::BAD.to_vec();
            // What comes with the answer to CONNECT is dropped. The others are as often as
            // all of these.
            if is_socks(between) {
                manners.extend(Manner::BAD.map(|_| Manner::TalksAhead));
            }
            let manner = *rng.pick(&manners);
            spoil(between, manner);
            return match manner {
                Manner::TalksAhead => Culprit::Unclear,
                _ => Culprit::Proxy,
            };
        }
        (Kind::Token, Some(between)) if rng.chance(500_000) => {
            let bad = [Endpoint::Refuses, Endpoint::Hangs, Endpoint::Broken];
            let endpoint = rng.pick(&bad).serve();
            *between = match between {
                Behaviour::Tls(tls, _) => endpoint.secured(tls.clone()),
                _ => endpoint,
            };
            return Culprit::TokenEndpoint;
        }
        _ if secured && rng.chance(500_000) => *server = insecure(rng),
        // Time may be over anywhere in such a chain.
        _ if rng.chance(100_000) => {
            let round = Site::new(http::redirect("/round")).serve();
            *server = if secured { good(round) } else { round };
            return Culprit::Unclear;
        }
        _ if secured => *server = good(bad_site(rng)),
        _ => *server = bad_site(rng),
    }
    Culprit::Target
}

fn good(server: Behaviour) -> Behaviour {
    server.secured(Tls::Speaks(Certificate::Good))
}

fn insecure(rng: &mut Rng) -> Behaviour {
    let ways = [
        Tls::Speaks(Certificate::Expired),
        Tls::Speaks(Certificate::SelfSigned),
        Tls::Speaks(Certificate::OtherName),
        Tls::Silent,
        Tls::Alert,
        Tls::Resets,
    ];
    Behaviour::silent().secured(rng.pick(&ways).clone())
}

fn site(rng: &mut Rng, base: &str) -> Behaviour {
    match rng.below(6) {
        0 => {
            let there = Script::new([Step::Send(http::response("200 OK", &[], "here"))]);
            Site::new(http::redirect(&format!("{base}there")))
                .path("/there", there)
                .serve()
        }
        _ => quick_site(rng),
    }
}

/// One that is content with one request.
fn quick_site(rng: &mut Rng) -> Behaviour {
    match rng.below(5) {
        0 => http::slow(Duration::from_millis(rng.between(1, 100))),
        1 => http::dripping(Duration::from_micros(rng.between(1, 500))),
        2 => http::closing("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        3 => http::answering(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: x\r\n\r\n",
        ),
        _ => http::ok(),
    }
}

fn bad_site(rng: &mut Rng) -> Behaviour {
    let flood = Duration::from_millis(1);
    let sites = [
        http::status("503 Service Unavailable"),
        http::endless_headers(),
        http::endless_body(1_024, flood),
        http::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        http::answering(&b"\x00\x01\x02\xff\xfe\r\n\r\n"[..]),
        http::closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        Behaviour::silent(),
        Behaviour::talk([Step::Close]),
        Behaviour::talk([Step::Reset]),
    ];
    rng.pick(&sites).clone()
}

/// Bytes that an HTTP/2 server lets in before it says how many (RFC 9113
/// section 6.9.2), and those of a body that are more.
const INITIAL_WINDOW: usize = 65_535;
const LONG_BODY: usize = 70_000;

const OK: &[(&str, &str)] = &[(":status", "200")];

/// HTTP/2 servers that let a body in bit by bit, or at once.
fn streams(rng: &mut Rng) -> Behaviour {
    let answer = match rng.below(4) {
        0 => vec![h2::head(0, &[(":status", "103")]), h2::head(END_STREAM, OK)],
        1 => vec![
            h2::head(0, OK),
            h2::data(0, b"all of it"),
            h2::head(END_STREAM, &[("a-trailer", "x")]),
        ],
        2 => vec![
            h2::frame(h2::HEADERS, 0, 1, &h2::block(OK)),
            h2::frame(h2::CONTINUATION, h2::END_HEADERS, 1, &[]),
            h2::frame(h2::PING, 0, 0, b"are you?"),
            h2::data(END_STREAM, b""),
        ],
        _ => vec![
            h2::head(0, OK),
            h2::data(0, b"the last word"),
            h2::goaway(1, 0),
            h2::data(END_STREAM, b"s"),
        ],
    };
    // A body is let in at once, or piece by piece.
    let mut greeting = vec![Step::Send(h2::settings(&[]).into())];
    let mut open = INITIAL_WINDOW;
    while open < LONG_BODY {
        let more = rng.between(500, 5_000) as u32;
        open += more as usize;
        let updates = [0, 1].map(|stream| h2::window_update(stream, more));
        greeting.push(Step::Pause(Duration::from_millis(rng.between(1, 10))));
        greeting.push(Step::Send(updates.concat().into()));
    }
    let answer = Script::new([Step::Send(answer.concat().into())]);
    let server = Server::new(answer);
    server.greeting(Script::new(greeting), open).serve()
}

fn bad_streams(rng: &mut Rng) -> Behaviour {
    let length = &[(":status", "200"), ("content-length", "9")];
    let answers = [
        vec![h2::goaway(0, 0xb)],
        vec![h2::reset(0x7)],
        vec![h2::head(0, OK), h2::data(0, b"a"), h2::reset(0x2)],
        vec![h2::head(0, length), h2::data(END_STREAM, b"short")],
        vec![h2::head(0, length), h2::data(0, b"stalled")],
        vec![h2::data(END_STREAM, b"no head")],
        vec![h2::head(END_STREAM, &[(":status", "503")])],
        vec![],
    ];
    let answer = Script::new([Step::Send(rng.pick(&answers).concat().into())]);
    // Some never let the rest of a body in.
    let early = Script::new([Step::Send(h2::settings(&[]).into())]);
    match rng.below(3) {
        0 => Server::new(answer).greeting(early, INITIAL_WINDOW).serve(),
        _ => {
            let update = [0, 1].map(|stream| h2::window_update(stream, 10_000));
            let greeting = [h2::settings(&[]), update.concat()].concat();
            let greeting = Script::new([Step::Send(greeting.into())]);
            let window = INITIAL_WINDOW + 10_000;
            Server::new(answer).greeting(greeting, window).serve()
        }
    }
}

fn dialogue() -> Value {
    json!({"query_response": [
        {
            "expect": r"^220 (\S+)",
            "send": "HELO $1\r",
            "labels": [{"name": "host", "value": "$1"}],
        },
        {"expect": "^250 ", "send": "QUIT\r"},
        {"expect": "^221 "},
    ]})
}

fn talker(rng: &mut Rng) -> Behaviour {
    let byte = Duration::from_micros(rng.between(1, 500));
    let banner = match rng.below(3) {
        0 => Step::Send("220 a.example\r\n".into()),
        1 => Step::Send("220-wait for it\r\nnoise\r\n220 a.example ready\r\n".into()),
        _ => Step::Drip("220 a.example\n".into(), byte),
    };
    Behaviour::talk([
        banner,
        Step::Expect("HELO a.example\r\n".into()),
        Step::Pause(Duration::from_millis(rng.between(1, 50))),
        Step::Send("250 hello\r\n".into()),
        Step::Expect("QUIT\r\n".into()),
        // The last line may be one without an end.
        Step::Send("221 bye".into()),
        Step::Close,
    ])
}

fn bad_talker(rng: &mut Rng) -> Behaviour {
    let banner = || Step::Send("220 a.example\r\n".into());
    let helo = || Step::Expect("HELO a.example\r\n".into());
    let millisecond = Duration::from_millis(1);
    let long = "x".repeat(8 * 1024);
    let servers = [
        vec![],
        vec![Step::Close],
        vec![Step::Reset],
        vec![Step::Send("554 no\r\n".into()), Step::Close],
        vec![banner(), helo(), Step::Send("421 later\r\n".into())],
        vec![banner(), helo(), Step::Reset],
        vec![banner(), Step::Close],
        vec![Step::Flood(long.into(), millisecond)],
        vec![Step::Flood("no news\r\n".into(), millisecond)],
        vec![Step::Send(b"\x16\x03\x01\xff\xfe\n"[..].into())],
    ];
    Behaviour::talk(rng.pick(&servers).clone())
}

fn starttls() -> Value {
    json!({"query_response": [
        {"expect": "^220 ", "send": "EHLO me\r"},
        {"expect": "^250 STARTTLS", "send": "STARTTLS\r"},
        {"expect": "^220 ", "starttls": true},
        {"send": "EHLO again\r"},
        {"expect": "^250 AUTH", "send": "QUIT\r"},
    ]})
}

/// A mail server that goes this way when it is asked to secure the connection.
fn mail(then: impl IntoIterator<Item = Step>) -> Behaviour {
    let begin = [
        Step::Send("220 a.example\r\n".into()),
        Step::Expect("EHLO me\r\n".into()),
        Step::Send("250-a.example\r\n250 STARTTLS\r\n".into()),
        Step::Expect("STARTTLS\r\n".into()),
    ];
    Behaviour::talk(begin.into_iter().chain(then))
}

fn then_secured(certificate: Certificate) -> Vec<Step> {
    vec![
        Step::Send("220 go\r\n".into()),
        Step::Secure(Tls::Speaks(certificate)),
        Step::Expect("EHLO again\r\n".into()),
        Step::Send("250 AUTH\r\n".into()),
        Step::Expect("QUIT\r\n".into()),
        Step::Close,
    ]
}

fn bad_mail(rng: &mut Rng) -> Behaviour {
    let go = || Step::Send("220 go\r\n".into());
    let then = [
        vec![Step::Send("454 not now\r\n".into())],
        vec![go()],
        vec![go(), Step::Close],
        vec![go(), Step::Reset],
        vec![go(), Step::Secure(Tls::Silent)],
        vec![go(), Step::Secure(Tls::Alert)],
        then_secured(Certificate::Expired),
        then_secured(Certificate::SelfSigned),
        then_secured(Certificate::OtherName),
        vec![
            go(),
            Step::Secure(Tls::Speaks(Certificate::Good)),
            Step::Expect("EHLO again\r\n".into()),
            Step::Close,
        ],
    ];
    mail(rng.pick(&then).clone())
}

fn decoding(coding: Coding) -> Value {
    json!({
        "compression": coding.name(),
        "body_size_limit": "64KB",
        "fail_if_body_not_matches_regexp": ["^(the same again and again, )+$"],
    })
}

/// The coding that the target at this address is probed for.
const fn coding_at(at: SocketAddr) -> Coding {
    Coding::ALL[at.port() as usize % Coding::ALL.len()]
}

fn coded_site(rng: &mut Rng, coding: Coding) -> Behaviour {
    let body = coding.code(&TEXT.repeat(rng.between(1, 50) as usize));
    match rng.below(3) {
        0 => coded::answering(coding, &body),
        1 => coded::chunked(coding, &body, rng.between(1, 40) as usize),
        _ => coded::closing(coding, &body),
    }
}

fn badly_coded(rng: &mut Rng, coding: Coding) -> Behaviour {
    let body = coding.code(&TEXT.repeat(20));
    match rng.below(5) {
        0 => {
            let others: Vec<Coding> = Coding::ALL.into_iter().filter(|it| *it != coding).collect();
            coded::answering(coding, &rng.pick(&others).code(&TEXT.repeat(20)))
        }
        1 => coded::answering(coding, &body[..body.len() / 2]),
        2 => coded::closing(coding, &body[..body.len() / 2]),
        3 => coded::answering(coding, &coding.code(&vec![0; 128 * 1024])),
        _ => coded::answering(coding, &coding.code(b"something else")),
    }
}

fn through(rng: &mut Rng, scheme: &str, proxy: SocketAddr) -> Value {
    json!({
        "proxy_url": format!("{scheme}://me:secret@{proxy}"),
        "skip_resolve_phase_with_proxy": rng.chance(500_000),
    })
}

fn proxy(scheme: &str, manner: Manner) -> Behaviour {
    let protocol = match scheme {
        "socks5" => Protocol::Socks5,
        _ => Protocol::Http,
    };
    let proxy = Proxy::new(protocol).user("me", "secret").manner(manner);
    match scheme {
        "https" => good(proxy.serve()),
        _ => proxy.serve(),
    }
}

/// Gives a proxy other manners.
fn spoil(proxy: &mut Behaviour, manner: Manner) {
    match proxy {
        Behaviour::Tls(_, inner) => spoil(inner, manner),
        Behaviour::Proxy(proxy) => {
            let changed = (**proxy).clone().manner(manner);
            *proxy = changed.into();
        }
        _ => {}
    }
}

fn is_socks(proxy: &Behaviour) -> bool {
    match proxy {
        Behaviour::Tls(_, inner) => is_socks(inner),
        Behaviour::Proxy(proxy) => proxy.protocol() == Protocol::Socks5,
        _ => false,
    }
}
