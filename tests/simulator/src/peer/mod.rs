//! Peers: what answers at an address.
//!
//! A [`Behaviour`] is plain data that says how a server behaves; a [`Session`]
//! is one connection to it, a small machine that the world tells what happens
//! ([`Session::on`]) and that says what it does ([`Reaction`]).

mod dns;
pub mod h2;
pub mod http;
mod script;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub use dns::{Answer, Zone};
pub use script::{Script, Step};
pub use tls::{Certificate, Tls};

use crate::payload::Payload;
use crate::rng::Rng;

/// How a server behaves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Nobody listens.
    Refuse,
    /// There is no way to it.
    Unreachable,
    /// Whatever is sent to it disappears.
    Blackhole,
    /// It accepts and follows a script without waiting for anything.
    Talk(Script),
    /// HTTP: it waits for a request and follows the script of its path.
    Http(Arc<http::Site>),
    /// HTTP/2: it follows one script, and another once it was asked.
    Http2(Arc<h2::Server>),
    /// TLS, and what is behind it.
    Tls(Tls, Box<Self>),
    /// A DNS server, over UDP and TCP.
    Dns(Arc<Zone>),
}

impl Behaviour {
    /// A server that accepts and says nothing.
    pub fn silent() -> Self {
        Self::Talk(Script::new([]))
    }

    /// The same behind TLS with a good certificate.
    #[must_use]
    pub fn secured(self, tls: Tls) -> Self {
        Self::Tls(tls, Box::new(self))
    }

    /// What it calls what it speaks, in ALPN.
    pub(crate) const fn protocol(&self) -> &'static [u8] {
        match self {
            Self::Http2(_) => b"h2",
            _ => b"http/1.1",
        }
    }

    /// Its side of a new connection.
    pub(crate) fn session(&self) -> Session {
        match self {
            Self::Refuse | Self::Unreachable | Self::Blackhole => {
                Session(State::Following(script::Player::new(Script::new([]))))
            }
            Self::Talk(script) => Session(State::Following(script::Player::new(script.clone()))),
            Self::Http(site) => Session(State::Reading(Arc::clone(site), Vec::new())),
            Self::Http2(server) => Session(State::Http2(h2::Session::new(server))),
            Self::Tls(_, inner) => Session(State::AwaitingTls((**inner).clone())),
            Self::Dns(zone) => Session(State::Dns(dns::Server::new(Arc::clone(zone)))),
        }
    }
}

/// What a session is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The connection is established.
    Accepted { datagram: bool },
    /// The handshake is done.
    Secured,
    /// Bytes, plaintext on a secured connection; one datagram.
    Data(&'a [u8]),
    /// The time that the session asked for has come.
    Woken,
}

/// What a session does, in order: sends, then waits or ends.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// To send, each with an extra delay.
    pub(crate) sends: Vec<(Payload, Duration)>,
    pub(crate) then: Then,
}

/// What comes after the sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing, until something happens.
    #[default]
    Wait,
    /// [`Event::Woken`] after this time.
    Wake(Duration),
    /// An orderly end.
    Close,
    /// A reset.
    Reset,
}

/// One connection, as its server sees it.
#[derive(Debug)]
pub(crate) struct Session(State);

/// ```text
/// AwaitingTls -> Reading -> Following -> Reading (keep-alive)
///       `-----------------> Following -> Ended
/// ```
#[derive(Debug)]
enum State {
    /// The handshake is not done yet.
    AwaitingTls(Behaviour),
    /// A request is incomplete.
    Reading(Arc<http::Site>, Vec<u8>),
    /// Answering on a path of a site; another request may follow.
    Answering(Arc<http::Site>, script::Player),
    Following(script::Player),
    Http2(h2::Session),
    Dns(dns::Server),
    Ended,
}

/// What a TLS server says to a client that speaks something else: a fatal
/// alert, unexpected_message (RFC 8446 section 6).
const ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a];

impl Session {
    /// Handles one event; what to do is added to `reaction`.
    pub(crate) fn on(&mut self, event: Event<'_>, rng: &mut Rng, reaction: &mut Reaction) {
        match (&mut self.0, event) {
            (State::AwaitingTls(inner), Event::Secured) => {
                *self = inner.session();
                self.on(Event::Accepted { datagram: false }, rng, reaction);
            }
            (State::AwaitingTls(_), Event::Data(_)) => {
                reaction.sends.push((ALERT.into(), Duration::ZERO));
                reaction.then = Then::Close;
                self.0 = State::Ended;
            }
            (State::Reading(site, head), Event::Data(bytes)) => {
                head.extend_from_slice(bytes);
                if let Some(path) = http::request_path(head) {
                    let script = site.script(path);
                    let player = script::Player::new(script);
                    self.0 = State::Answering(Arc::clone(site), player);
                    self.play(reaction);
                }
            }
            (State::Answering(..), Event::Woken)
            | (State::Following(_), Event::Accepted { .. } | Event::Woken) => self.play(reaction),
            (State::Dns(server), event) => server.on(event, rng, reaction),
            (State::Http2(session), event) => {
                session.on(event, reaction);
                if matches!(reaction.then, Then::Close | Then::Reset) {
                    self.0 = State::Ended;
                }
            }
            _ => {}
        }
    }

    fn play(&mut self, reaction: &mut Reaction) {
        let (State::Answering(_, player) | State::Following(player)) = &mut self.0 else {
            return;
        };
        player.play(reaction);
        if matches!(reaction.then, Then::Close | Then::Reset) {
            self.0 = State::Ended;
        } else if player.is_over()
            && let State::Answering(site, _) = &self.0
        {
            self.0 = State::Reading(Arc::clone(site), Vec::new());
        }
    }
}
