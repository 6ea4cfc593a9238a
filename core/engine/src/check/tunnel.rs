//! A connection through a proxy, from its first byte to the word that the
//! target is at the other end: HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS
//! 5 (RFC 1928, with RFC 1929 for users).
//!
//! ```text
//! Connect: request -> 2xx head
//! Socks:   Greeting -> [Login] -> Request
//! ```
//! A SOCKS proxy that says more than it was asked is not trusted with the rest. What
//! comes with the head that answers CONNECT, be it what that announces as a body, is
//! dropped, as by Go: servers behind a proxy do not speak first, and bytes that were
//! the target's are missed by its TLS.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;
use core::net::IpAddr;

use super::excerpt::Excerpt;
use super::http::{USER_AGENT, basic_credentials};
use crate::config::{Proxies, Proxy, ProxyKind};
use crate::limits::MAX_PROXY_HEAD_BYTES;
use crate::outcome::Reason;

/// What is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Far<'a> {
    /// A name or a literal, without brackets.
    pub(crate) host: &'a str,
    /// Where that is, unless the proxy is to look it up.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

impl Far<'_> {
    fn address(&self) -> Option<IpAddr> {
        self.address.or_else(|| self.host.parse().ok())
    }
}

impl fmt::Display for Far<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A tunnel that is being dug.
#[derive(Debug)]
pub(crate) struct Tunnel {
    stage: Stage,
    /// What has arrived of the answer that is expected.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for the head of the answer to CONNECT.
    Connect,
    /// Waiting for the choice of how to log in.
    Greeting,
    /// Waiting for the verdict about user and password.
    Login,
    /// Waiting for the answer to the request.
    Request,
}

/// What an answer of the proxy leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More has to arrive.
    Wait,
    /// These bytes are next.
    Send(Vec<u8>),
    /// The target is at the other end.
    Through,
}

/// Why there will be no tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// What the proxy did, as a clause: `answered 403 Forbidden`.
    pub(crate) words: String,
}

fn malformed<T>(words: String) -> Result<T, Refusal> {
    Err(Refusal {
        reason: Reason::ProxyMalformed,
        words,
    })
}

const SOCKS: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;

impl Tunnel {
    /// A tunnel, and what is sent first.
    pub(crate) fn begin(proxies: &Proxies, proxy: &Proxy, far: Far<'_>) -> (Self, Vec<u8>) {
        let (stage, first) = match proxy.kind {
            ProxyKind::Http | ProxyKind::Https => (Stage::Connect, connect(proxies, proxy, far)),
            ProxyKind::Socks5 => {
                let greeting: &[u8] = match proxy.user {
                    None => &[SOCKS, 1, NO_LOGIN],
                    Some(_) => &[SOCKS, 2, NO_LOGIN, PASSWORD],
                };
                (Stage::Greeting, greeting.to_vec())
            }
        };
        let held = Vec::new();
        (Self { stage, held }, first)
    }

    /// Takes what the proxy says.
    pub(crate) fn on_data(
        &mut self,
        proxy: &Proxy,
        far: Far<'_>,
        data: &[u8],
    ) -> Result<Progress, Refusal> {
        self.held.extend_from_slice(data);
        match self.stage {
            Stage::Connect => connected(&self.held),
            Stage::Greeting => match *self.held {
                [version, ..] if version != SOCKS => not_socks(&self.held),
                [_, 0xff] => Err(Refusal {
                    reason: Reason::ProxyAuth,
                    words: match proxy.user {
                        None => "wants a user and password, and none are configured".into(),
                        Some(_) => "accepts no way of logging in that was offered".into(),
                    },
                }),
                [_, NO_LOGIN] => self.ask(Stage::Request, request(far)?),
                [_, PASSWORD] if proxy.user.as_ref().is_some_and(|it| !it.fits_socks()) => {
                    Err(Refusal {
                        reason: Reason::ProxyAuth,
                        words: "wants a user of 1 to 255 bytes and a password of at most 255 \
                                (RFC 1929), and others are configured"
                            .into(),
                    })
                }
                [_, PASSWORD] if proxy.user.is_some() => self.ask(Stage::Login, login(proxy)),
                [_, other] => malformed(alloc::format!("chose way {other} of logging in unasked")),
                [] | [_] => Ok(Progress::Wait),
                _ => unasked(),
            },
            Stage::Login => match *self.held {
                [version, ..] if version != 1 => {
                    malformed(alloc::format!("answered a login of version {version}"))
                }
                [_, 0] => self.ask(Stage::Request, request(far)?),
                [_, status] => Err(Refusal {
                    reason: Reason::ProxyAuth,
                    words: alloc::format!("refused the user and password with status {status}"),
                }),
                [] | [_] => Ok(Progress::Wait),
                _ => unasked(),
            },
            Stage::Request => requested(&self.held),
        }
    }

    fn ask(&mut self, next: Stage, bytes: Vec<u8>) -> Result<Progress, Refusal> {
        self.stage = next;
        self.held.clear();
        Ok(Progress::Send(bytes))
    }
}

fn unasked<T>() -> Result<T, Refusal> {
    malformed("sent more than it was asked for".into())
}

fn not_socks<T>(found: &[u8]) -> Result<T, Refusal> {
    malformed(alloc::format!(
        "answered {}, expected SOCKS version 5",
        Excerpt(found)
    ))
}

/// The value of Proxy-Authorization, if the proxy has a user.
pub(crate) fn proxy_authorization(proxy: &Proxy) -> Option<String> {
    let pair = proxy.basic_pair()?;
    Some(basic_credentials(&pair).reveal().into())
}

/// A CONNECT request.
fn connect(proxies: &Proxies, proxy: &Proxy, far: Far<'_>) -> Vec<u8> {
    let mut head = String::with_capacity(256);
    // Writing to a String cannot fail.
    let _ = write!(head, "CONNECT {far} HTTP/1.1\r\nHost: {far}\r\n");
    let configured = |name: &str| {
        let mut names = proxies
            .header
            .lines()
            .filter_map(|line| line.split(':').next());
        names.any(|it| it.eq_ignore_ascii_case(name))
    };
    if !configured("User-Agent") {
        let _ = write!(head, "User-Agent: {USER_AGENT}\r\n");
    }
    if let Some(value) = proxy_authorization(proxy) {
        let _ = write!(head, "Proxy-Authorization: {value}\r\n");
        // As in Go, the user in the URL goes before a configured field.
        let others = |line: &&str| !is_proxy_authorization(line);
        for line in proxies.header.lines().filter(others) {
            let _ = write!(head, "{line}\r\n");
        }
    } else {
        head.push_str(&proxies.header);
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn is_proxy_authorization(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("Proxy-Authorization")
}

/// Judges what has arrived of the answer to a CONNECT request. What a 2xx head
/// says about a body means nothing (RFC 9110 section 9.3.6).
fn connected(held: &[u8]) -> Result<Progress, Refusal> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let seen = held.len().min(BEGIN.len());
    if held[..seen] != BEGIN[..seen] {
        return malformed(alloc::format!(
            "answered CONNECT with {}, expected an HTTP response",
            Excerpt(held)
        ));
    }
    let mut at = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&held[at..]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if held.len() <= MAX_PROXY_HEAD_BYTES => {
                return Ok(Progress::Wait);
            }
            Ok(httparse::Status::Partial) => {
                return malformed(alloc::format!(
                    "answered CONNECT with a head larger than {MAX_PROXY_HEAD_BYTES} bytes"
                ));
            }
            Err(error) => {
                return malformed(alloc::format!(
                    "answered CONNECT with a malformed head: {error}"
                ));
            }
        };
        at += length;
        let status = response.code.unwrap_or_default();
        return match status {
            // RFC 9110 section 15.2: interim responses may come first.
            100..=199 => continue,
            200..=299 => Ok(Progress::Through),
            _ => Err(Refusal {
                reason: match status {
                    407 => Reason::ProxyAuth,
                    _ => Reason::ProxyRefused,
                },
                words: alloc::format!(
                    "answered CONNECT with {status} {}",
                    Phrase(response.reason.unwrap_or_default())
                ),
            }),
        };
    }
}

/// The words after a status code, cut to a sensible length.
struct Phrase<'a>(&'a str);

impl fmt::Display for Phrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.chars().filter(|letter| !letter.is_control());
        shown.take(60).try_for_each(|letter| f.write_char(letter))
    }
}

/// RFC 1929 section 2. Both parts fit.
fn login(proxy: &Proxy) -> Vec<u8> {
    let mut bytes = alloc::vec![1];
    if let Some(user) = &proxy.user {
        for part in [&user.name, &user.password] {
            bytes.push(part.len() as u8);
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// RFC 1928 section 4: CONNECT.
fn request(far: Far<'_>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = alloc::vec![SOCKS, 1, 0];
    match far.address() {
        Some(IpAddr::V4(address)) => {
            bytes.push(1);
            bytes.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            bytes.push(4);
            bytes.extend_from_slice(&address.octets());
        }
        None => {
            let Ok(length) = u8::try_from(far.host.len()) else {
                return Err(Refusal {
                    reason: Reason::ProxyRefused,
                    words: "cannot be given a name of more than 255 bytes".into(),
                });
            };
            bytes.extend_from_slice(&[3, length]);
            bytes.extend_from_slice(far.host.as_bytes());
        }
    }
    bytes.extend_from_slice(&far.port.to_be_bytes());
    Ok(bytes)
}

/// RFC 1928 section 6.
fn requested(held: &[u8]) -> Result<Progress, Refusal> {
    if held.first().is_some_and(|version| *version != SOCKS) {
        return not_socks(held);
    }
    if let Some(reply) = held.get(1).filter(|reply| **reply != 0) {
        return Err(Refusal {
            reason: Reason::ProxyRefused,
            words: alloc::format!("could not connect: {}", Reply(*reply)),
        });
    }
    let bound = match (held.get(3), held.get(4)) {
        (None, _) | (Some(3), None) => return Ok(Progress::Wait),
        (Some(1), _) => 4,
        (Some(4), _) => 16,
        (Some(3), Some(length)) => 1 + usize::from(*length),
        (Some(kind), _) => {
            return malformed(alloc::format!("answered with an address of kind {kind}"));
        }
    };
    match held.len().cmp(&(4 + bound + 2)) {
        core::cmp::Ordering::Less => Ok(Progress::Wait),
        core::cmp::Ordering::Equal => Ok(Progress::Through),
        core::cmp::Ordering::Greater => unasked(),
    }
}

/// A reply code in words.
struct Reply(u8);

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "general failure",
            2 => "its rules do not allow it",
            3 => "network unreachable",
            4 => "host unreachable",
            5 => "connection refused",
            6 => "TTL expired",
            7 => "it does not know the command",
            8 => "it does not know the kind of address",
            other => return write!(f, "reply {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    use crate::config::{NoFiles, ProxyConfig, ProxyHeader, ProxyUrl, Secret};
    use crate::tls::TlsOptions;

    fn proxies(url: &str, header: &[(&str, &str)]) -> Box<Proxies> {
        let header: ProxyHeader = header
            .iter()
            .map(|(name, value)| ((*name).into(), [Secret::new(*value)].into()))
            .collect();
        let config = ProxyConfig {
            url: &ProxyUrl::parse(url).unwrap(),
            no_proxy: "",
            from_environment: false,
            connect_header: &header,
        };
        let proxies = config.compile(&TlsOptions::default(), &NoFiles);
        proxies.unwrap().unwrap()
    }

    const NAMED: Far<'static> = Far {
        host: "a.example",
        address: None,
        port: 443,
    };

    /// Says what the proxy is told, and how it ends.
    fn talk(url: &str, far: Far<'_>, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Refusal>, bool) {
        let proxies = proxies(url, &[]);
        let proxy = proxies.choose(true, far.host, far.port, None).unwrap();
        let (mut tunnel, first) = Tunnel::begin(&proxies, proxy, far);
        let mut said = alloc::vec![first];
        for answer in answers {
            for piece in answer.chunks(1) {
                match tunnel.on_data(proxy, far, piece) {
                    Ok(Progress::Wait) => {}
                    Ok(Progress::Send(bytes)) => said.push(bytes),
                    Ok(Progress::Through) => return (said, None, true),
                    Err(refusal) => return (said, Some(refusal), false),
                }
            }
        }
        (said, None, false)
    }

    #[test]
    fn connect_says_who_we_are_and_what_is_configured() {
        let proxies = proxies(
            "http://u:p@p.example",
            &[
                ("x-team", "sre"),
                ("proxy-authorization", "no"),
                ("user-agent", "me"),
            ],
        );
        let proxy = proxies.choose(true, "a.example", 443, None).unwrap();
        let (_, first) = Tunnel::begin(&proxies, proxy, NAMED);
        assert_eq!(
            String::from_utf8(first).unwrap(),
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\
             Proxy-Authorization: Basic dTpw\r\nuser-agent: me\r\nx-team: sre\r\n\r\n"
        );
        let far = Far {
            address: Some("2001:db8::1".parse().unwrap()),
            ..NAMED
        };
        assert_eq!(far.to_string(), "[2001:db8::1]:443");
    }

    #[test]
    fn answers_to_connect_are_judged() {
        for (answer, reason, words) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", None, ""),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 x\r\n\r\n",
                None,
                "",
            ),
            (
                "HTTP/1.1 403 Not for you\r\n\r\n",
                Some(Reason::ProxyRefused),
                "answered CONNECT with 403 Not for you",
            ),
            (
                "HTTP/1.1 407 Who\r\n\r\n",
                Some(Reason::ProxyAuth),
                "answered CONNECT with 407 Who",
            ),
            (
                "SSH-2.0-x\r\n",
                Some(Reason::ProxyMalformed),
                "answered CONNECT with \"S\", expected an HTTP response",
            ),
            (
                "HTTP/1.1 2xx\r\n\r\n",
                Some(Reason::ProxyMalformed),
                "answered CONNECT with a malformed head: invalid response status",
            ),
        ] {
            let (_, refusal, through) = talk("http://p", NAMED, &[answer.as_bytes()]);
            assert_eq!(through, reason.is_none(), "{answer}");
            assert_eq!(refusal.as_ref().map(|it| it.reason), reason, "{answer}");
            assert_eq!(refusal.map_or(String::new(), |it| it.words), words);
        }
    }

    #[test]
    fn what_comes_with_an_answer_to_connect_is_dropped() {
        let proxies = proxies("http://p", &[]);
        let proxy = proxies.choose(true, "a.example", 443, None).unwrap();
        for (answer, through) in [
            ("200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
            (
                "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                true,
            ),
            ("200 OK\r\n\r\n\r\n", true),
            ("403 No\r\nContent-Length: 5\r\n\r\nhello", false),
        ] {
            let (mut tunnel, _) = Tunnel::begin(&proxies, proxy, NAMED);
            let answer = alloc::format!("HTTP/1.1 {answer}");
            let progress = tunnel.on_data(proxy, NAMED, answer.as_bytes());
            assert_eq!(progress == Ok(Progress::Through), through, "{answer}");
        }
    }

    #[test]
    fn a_proxy_must_not_talk_ahead_nor_for_ever() {
        let socks = proxies("socks5://p", &[]);
        let proxy = socks.choose(true, "a.example", 443, None).unwrap();
        let (mut tunnel, _) = Tunnel::begin(&socks, proxy, NAMED);
        let ahead = tunnel.on_data(proxy, NAMED, &[5, 0, 5]);
        assert_eq!(ahead.unwrap_err().reason, Reason::ProxyMalformed);
        let proxies = proxies("http://p", &[]);
        let proxy = proxies.choose(true, "a.example", 443, None).unwrap();
        let (mut tunnel, _) = Tunnel::begin(&proxies, proxy, NAMED);
        assert_eq!(
            tunnel.on_data(proxy, NAMED, b"HTTP/1.1 200 "),
            Ok(Progress::Wait)
        );
        let mut ended = None;
        for _ in 0..=MAX_PROXY_HEAD_BYTES / 100 {
            match tunnel.on_data(proxy, NAMED, &[b'x'; 100]) {
                Ok(progress) => assert_eq!(progress, Progress::Wait),
                Err(refusal) => ended = Some(refusal.reason),
            }
        }
        assert_eq!(ended, Some(Reason::ProxyMalformed));
    }

    #[test]
    fn socks_without_and_with_a_user() {
        let ok: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (said, refusal, through) = talk("socks5://p", NAMED, &[&[5, 0], ok]);
        assert!(through, "{refusal:?}");
        let named = [&[5, 1, 0, 3, 9][..], b"a.example", &[1, 187]].concat();
        assert_eq!(said, [alloc::vec![5, 1, 0], named]);
        let far = Far {
            address: Some("192.0.2.7".parse().unwrap()),
            ..NAMED
        };
        let by_name: &[u8] = &[5, 0, 0, 3, 1, b'x', 0, 0];
        let (said, _, through) = talk("socks5://u:pw@p", far, &[&[5, 2], &[1, 0], by_name]);
        assert!(through);
        assert_eq!(
            said,
            [
                &[5, 2, 0, 2][..],
                &[1, 1, b'u', 2, b'p', b'w'],
                &[5, 1, 0, 1, 192, 0, 2, 7, 1, 187]
            ]
        );
    }

    #[test]
    fn socks_proxies_may_refuse_or_be_none() {
        for (url, answers, reason, words) in [
            (
                "socks5://p",
                &[&[4, 0][..]][..],
                Reason::ProxyMalformed,
                "expected SOCKS version 5",
            ),
            (
                "socks5://p",
                &[b"HTTP/1.1"],
                Reason::ProxyMalformed,
                "answered \"H\"",
            ),
            (
                "socks5://p",
                &[&[5, 0xff]],
                Reason::ProxyAuth,
                "none are configured",
            ),
            (
                "socks5://u@p",
                &[&[5, 0xff]],
                Reason::ProxyAuth,
                "accepts no way",
            ),
            (
                "socks5://p",
                &[&[5, 2]],
                Reason::ProxyMalformed,
                "chose way 2",
            ),
            (
                "socks5://u@p",
                &[&[5, 2], &[1, 7]],
                Reason::ProxyAuth,
                "with status 7",
            ),
            (
                "socks5://u@p",
                &[&[5, 2], &[5, 0]],
                Reason::ProxyMalformed,
                "login of version 5",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 5]],
                Reason::ProxyRefused,
                "connection refused",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 99]],
                Reason::ProxyRefused,
                "reply 99",
            ),
            (
                "socks5://p",
                &[&[5, 0], &[5, 0, 0, 9]],
                Reason::ProxyMalformed,
                "of kind 9",
            ),
        ] {
            let (_, refusal, through) = talk(url, NAMED, answers);
            let refusal = refusal.unwrap();
            assert!(!through);
            assert_eq!(refusal.reason, reason, "{answers:?}");
            assert!(refusal.words.contains(words), "{}", refusal.words);
        }
    }

    proptest! {
        /// Whatever a proxy says, however it is cut.
        #[test]
        fn no_answer_panics_or_is_held_for_ever(
            socks: bool,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let proxies = proxies(if socks { "socks5://u:p@p" } else { "http://p" }, &[]);
            let proxy = proxies.choose(true, "a.example", 443, None).unwrap();
            let (mut tunnel, _) = Tunnel::begin(&proxies, proxy, NAMED);
            for piece in &pieces {
                if tunnel.on_data(proxy, NAMED, piece).is_err() {
                    break;
                }
                prop_assert!(tunnel.held.len() <= MAX_PROXY_HEAD_BYTES + 40);
            }
        }
    }
}
