//! Proxies: HTTP CONNECT and requests in absolute form (RFC 9110 section
//! 9.3.6, RFC 9112 section 3.2.2), and SOCKS 5 (RFC 1928, RFC 1929).
//!
//! A proxy leads to the servers of the world that it is asked for, by address
//! or by a name that the world has told it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::http::Request;
use super::{Behaviour, Reaction, Then};

/// How a proxy behaves.
#[derive(Clone, Debug)]
pub struct Proxy {
    protocol: Protocol,
    manner: Manner,
    /// Who may use it, if not everybody: a user and a password.
    user: Option<(String, String)>,
}

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// SOCKS 5.
    Socks5,
}

/// What kind of fellow it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It does what it is asked.
    Honest,
    /// It says no: 403, or "not allowed".
    Refuses,
    /// It connects, and says something of its own in the same breath.
    TalksAhead,
    /// It never answers.
    Hangs,
    /// It answers with something else.
    Babbles,
    /// It closes the connection once it was asked.
    Leaves,
}

impl Manner {
    /// Those of a proxy that is of no use, whatever it is asked for.
    pub(crate) const BAD: [Self; 4] = [Self::Refuses, Self::Hangs, Self::Babbles, Self::Leaves];
}

/// Whether a proxy got through to somebody.
#[derive(Clone, Debug)]
pub(crate) enum Reached {
    There(Behaviour),
    Refused,
    Unreachable,
}

impl Proxy {
    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// An honest proxy for everybody.
    pub const fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            manner: Manner::Honest,
            user: None,
        }
    }

    /// The same with other manners.
    #[must_use]
    pub const fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// The same for one user alone.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// As a server.
    pub fn serve(self) -> Behaviour {
        Behaviour::Proxy(self.into())
    }
}

/// One connection, as the proxy sees it.
#[derive(Debug)]
pub(crate) struct Session {
    proxy: Arc<Proxy>,
    heard: Vec<u8>,
    stage: Stage,
}

/// ```text
/// Http:   Asked ----------------------> Reaching -> (the server behind it)
/// Socks5: Greeted -> [Login] -> Asked -----^
/// ```
#[derive(Debug)]
enum Stage {
    Greeted,
    Login,
    Asked,
    /// With the request to pass on; none for a tunnel.
    Reaching(Vec<u8>),
    Over,
}

const AHEAD: &[u8] = b"and now a word from our sponsor";
const SOCKS: u8 = 5;
const PASSWORD: u8 = 2;

/// An answer to a SOCKS request; bound to nowhere.
const fn reply(code: u8) -> [u8; 10] {
    [SOCKS, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

impl Session {
    pub(crate) fn new(proxy: &Arc<Proxy>) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            heard: Vec::new(),
            stage: match proxy.protocol {
                Protocol::Http => Stage::Asked,
                Protocol::Socks5 => Stage::Greeted,
            },
        }
    }

    /// Hears what a client says.
    pub(crate) fn on_data(&mut self, bytes: &[u8], reaction: &mut Reaction) {
        self.heard.extend_from_slice(bytes);
        match self.proxy.manner {
            Manner::Hangs => {}
            Manner::Babbles => self.last_word(b"220 this is a mail server\r\n", reaction),
            Manner::Leaves => self.last_word(b"", reaction),
            Manner::Honest | Manner::Refuses | Manner::TalksAhead => match self.proxy.protocol {
                Protocol::Http => self.on_http(reaction),
                Protocol::Socks5 => self.on_socks(reaction),
            },
        }
    }

    fn last_word(&mut self, words: &[u8], reaction: &mut Reaction) {
        say(words, reaction);
        reaction.then = Then::Close;
        self.stage = Stage::Over;
    }

    fn on_http(&mut self, reaction: &mut Reaction) {
        let Some(request) = Request::parse(&self.heard) else {
            return;
        };
        let known = self.proxy.user.as_ref().is_none_or(|(name, password)| {
            let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
            request.says(&format!("\r\nProxy-Authorization: Basic {pair}\r\n"))
        });
        if !known {
            return self.last_word(b"HTTP/1.1 407 Who Are You\r\n\r\n", reaction);
        }
        if self.proxy.manner == Manner::Refuses {
            return self.last_word(b"HTTP/1.1 403 Not For You\r\n\r\n", reaction);
        }
        let tunnel = request.method == "CONNECT";
        let far = match request.path.strip_prefix("http://") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => request.path,
        };
        let has_port = far.rsplit(']').next().is_some_and(|it| it.contains(':'));
        let port = if has_port { "" } else { ":80" };
        reaction.then = Then::Reach(format!("{far}{port}"));
        let passed_on = match tunnel {
            true => Vec::new(),
            false => request.in_origin_form(far),
        };
        self.stage = Stage::Reaching(passed_on);
    }

    fn on_socks(&mut self, reaction: &mut Reaction) {
        match (&self.stage, &self.heard[..]) {
            (Stage::Greeted, [SOCKS, count, methods @ ..])
                if methods.len() >= usize::from(*count) =>
            {
                let chosen = match &self.proxy.user {
                    None => Some(0),
                    Some(_) => methods.contains(&PASSWORD).then_some(PASSWORD),
                };
                say(&[SOCKS, chosen.unwrap_or(0xff)], reaction);
                self.stage = match chosen {
                    None => Stage::Over,
                    Some(PASSWORD) => Stage::Login,
                    Some(_) => Stage::Asked,
                };
                self.heard.clear();
            }
            (Stage::Login, [1, rest @ ..]) => {
                let Some((name, rest)) = text(rest) else {
                    return;
                };
                let Some((password, _)) = text(rest) else {
                    return;
                };
                let user = self.proxy.user.as_ref();
                let welcome = user.is_some_and(|(known, secret)| {
                    (name, password) == (known.as_bytes(), secret.as_bytes())
                });
                say(&[1, u8::from(!welcome)], reaction);
                self.stage = match welcome {
                    true => Stage::Asked,
                    false => Stage::Over,
                };
                self.heard.clear();
            }
            (Stage::Asked, [SOCKS, 1, 0, kind, rest @ ..]) => {
                let far = match (*kind, rest) {
                    (1, [a, b, c, d, high, low]) => {
                        let port = u16::from_be_bytes([*high, *low]);
                        format!("{a}.{b}.{c}.{d}:{port}")
                    }
                    (3, [length, name @ .., high, low]) if name.len() == usize::from(*length) => {
                        let port = u16::from_be_bytes([*high, *low]);
                        format!("{}:{port}", String::from_utf8_lossy(name))
                    }
                    _ => return self.last_word(&reply(8), reaction),
                };
                if self.proxy.manner == Manner::Refuses {
                    return self.last_word(&reply(2), reaction);
                }
                reaction.then = Then::Reach(far);
                self.stage = Stage::Reaching(Vec::new());
            }
            _ => {}
        }
    }

    /// Learns whether it got through. Returns who is there, and what he is to
    /// be told first.
    pub(crate) fn on_reached(
        &mut self,
        reached: &Reached,
        reaction: &mut Reaction,
    ) -> Option<(Behaviour, Vec<u8>)> {
        let Stage::Reaching(request) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        let behind = match (reached, self.proxy.protocol) {
            (Reached::There(behind), _) => behind.clone(),
            (_, Protocol::Http) => {
                self.last_word(
                    b"HTTP/1.1 502 Nobody There\r\nContent-Length: 0\r\n\r\n",
                    reaction,
                );
                return None;
            }
            (Reached::Refused, Protocol::Socks5) => {
                self.last_word(&reply(5), reaction);
                return None;
            }
            (Reached::Unreachable, Protocol::Socks5) => {
                self.last_word(&reply(4), reaction);
                return None;
            }
        };
        if request.is_empty() {
            let mut words = match self.proxy.protocol {
                Protocol::Http => b"HTTP/1.1 200 Connected\r\n\r\n".to_vec(),
                Protocol::Socks5 => reply(0).to_vec(),
            };
            if self.proxy.manner == Manner::TalksAhead {
                words.extend(AHEAD);
            }
            say(&words, reaction);
        }
        Some((behind, request))
    }
}

/// A text behind its length, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn say(words: &[u8], reaction: &mut Reaction) {
    if !words.is_empty() {
        let words = words.to_vec().into();
        reaction.sends.push((words, Duration::ZERO));
    }
}
