//! Peers: what answers at an address.
//!
//! A [`Behaviour`] is plain data that says how a server behaves; a [`Session`]
//! is one connection to it, a small machine that the world tells what happens
//! ([`Session::on`]) and that says what it does ([`Reaction`]).

pub mod coded;
mod dns;
pub mod h2;
pub mod http;
pub mod oauth2;
pub mod proxy;
mod script;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use probity_engine::Closed;
use probity_engine::tls::TlsInfo;

pub use dns::{Answer, Zone};
pub use proxy::Proxy;
pub use script::{Script, Step};
pub use tls::{Certificate, Tls};

use crate::payload::Payload;
use crate::rng::Rng;

pub(crate) use proxy::Reached;
pub(crate) use tls::Hello;

/// How a server behaves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Nobody listens.
    Refuse,
    /// There is no way to it.
    Unreachable,
    /// Whatever is sent to it disappears.
    Blackhole,
    /// It accepts and follows a script: a dialogue, or a monologue.
    Talk(Script),
    /// HTTP: it waits for a request and follows the script of its path.
    Http(Arc<http::Site>),
    /// HTTP/2: it follows one script, and another once it was asked.
    Http2(Arc<h2::Server>),
    /// A proxy, which leads to the other servers of the world.
    Proxy(Arc<Proxy>),
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

    /// A server that follows these steps.
    pub fn talk(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::Talk(Script::new(steps))
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
        Session(match self {
            Self::Refuse | Self::Unreachable | Self::Blackhole => State::Ended,
            Self::Talk(script) => State::Following(script::Player::new(script.clone())),
            Self::Http(site) => State::Reading(Arc::clone(site), Vec::new()),
            Self::Http2(server) => State::Http2(h2::Session::new(server)),
            Self::Proxy(proxy) => State::Proxying(proxy::Session::new(proxy)),
            Self::Tls(tls, inner) => State::AwaitingTls(tls.clone(), (**inner).clone()),
            Self::Dns(zone) => State::Dns(dns::Server::new(Arc::clone(zone))),
        })
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
    /// What has come of [`Then::Reach`].
    Reached(&'a Reached),
}

/// What a session does, in order: sends, then waits or ends.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// To send, each with an extra delay.
    pub(crate) sends: Vec<(Payload, Duration)>,
    pub(crate) then: Then,
}

/// What comes after the sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing, until something happens.
    #[default]
    Wait,
    /// [`Event::Woken`] after this time.
    Wake(Duration),
    /// A connection to somebody else, `host:port`, and then [`Event::Reached`].
    Reach(String),
    /// An orderly end.
    Close,
    /// A reset.
    Reset,
}

/// One connection, as its server sees it.
#[derive(Debug)]
pub(crate) struct Session(State);

/// ```text
/// AwaitingTls -> Reading -> Answering -> Reading (keep-alive)
///    |   ^   `-----------> Following -> Ended
///    v   |
/// Proxying -> whatever the server behind it begins with
/// ```
#[derive(Debug)]
enum State {
    /// The handshake is not done yet.
    AwaitingTls(Tls, Behaviour),
    /// A request is incomplete.
    Reading(Arc<http::Site>, Vec<u8>),
    /// Answering on a path of a site; another request may follow.
    Answering(Arc<http::Site>, script::Player),
    Following(script::Player),
    Http2(h2::Session),
    Proxying(proxy::Session),
    Dns(dns::Server),
    Ended,
}

/// What a TLS server says to a client that speaks something else: a fatal
/// alert, unexpected_message (RFC 8446 section 6).
const ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a];

/// Says so, and leaves.
fn alert(reaction: &mut Reaction) {
    reaction.sends.push((ALERT.into(), Duration::ZERO));
    reaction.then = Then::Close;
}

impl Session {
    /// How a handshake that a client begins now ends, or `None` if it never
    /// does.
    pub(crate) fn shake(&self, hello: &Hello) -> Option<Result<Arc<TlsInfo>, Closed>> {
        match &self.0 {
            State::AwaitingTls(tls, inner) => tls.shake(hello, inner.protocol()),
            State::Following(player) if player.is_silent() => None,
            State::Following(player) => match player.awaits() {
                Some(tls) => tls.shake(hello, b""),
                None => Some(Err(Tls::not_tls())),
            },
            State::Ended => None,
            _ => Some(Err(Tls::not_tls())),
        }
    }

    /// Whether it reads nothing of what is sent to it.
    pub(crate) fn is_deaf(&self) -> bool {
        match &self.0 {
            State::Following(player) | State::Answering(_, player) => player.is_deaf(),
            _ => false,
        }
    }

    /// Handles one event; what to do is added to `reaction`.
    pub(crate) fn on(&mut self, event: Event<'_>, rng: &mut Rng, reaction: &mut Reaction) {
        match (&mut self.0, event) {
            (State::AwaitingTls(_, inner), Event::Secured) => {
                *self = inner.session();
                self.on(Event::Accepted { datagram: false }, rng, reaction);
            }
            (State::AwaitingTls(..), Event::Data(_)) => alert(reaction),
            (State::Reading(site, request), Event::Data(bytes)) => {
                request.extend_from_slice(bytes);
                if let Some(request) = http::Request::parse(request) {
                    let mut player = script::Player::new(site.script(&request));
                    player.play(reaction);
                    self.0 = State::Answering(Arc::clone(site), player);
                }
            }
            (State::Answering(_, player), Event::Woken) => player.wake(reaction),
            (State::Following(player), event) => match event {
                Event::Accepted { .. } => player.play(reaction),
                Event::Woken => player.wake(reaction),
                Event::Data(bytes) => player.hear(bytes, reaction),
                Event::Secured => player.secured(reaction),
                Event::Reached(_) => {}
            },
            (State::Dns(server), event) => server.on(event, rng, reaction),
            (State::Http2(session), event) => session.on(event, reaction),
            (State::Proxying(session), Event::Data(bytes)) => session.on_data(bytes, reaction),
            (State::Proxying(session), Event::Reached(reached)) => {
                if let Some((behind, request)) = session.on_reached(reached, reaction) {
                    *self = behind.session();
                    self.on(Event::Accepted { datagram: false }, rng, reaction);
                    if !request.is_empty() {
                        self.on(Event::Data(&request), rng, reaction);
                    }
                    return;
                }
            }
            _ => {}
        }
        if matches!(reaction.then, Then::Close | Then::Reset) {
            self.0 = State::Ended;
        } else if let State::Answering(site, player) = &self.0
            && player.is_over()
        {
            self.0 = State::Reading(Arc::clone(site), Vec::new());
        }
    }
}
