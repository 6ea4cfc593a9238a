//! What the world tells a run, and what a run asks of the world.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;

use crate::id::Conn;
use crate::outcome::Reason;
use crate::report::Report;
use crate::tls::{TlsFailure, TlsInfo, TlsParams};

/// An event for a run. Bytes are only lent.
///
/// Hosts give `Resolved` (if they resolve names themselves), `Opened`,
/// `Secured`, `Flushed`, `Data` and `Closed`. `Start` and `Woken` come from the engine;
/// a host that sends them is ignored.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The run begins.
    Start,
    /// The answer to [`Output::Resolve`]: at least one address, or why not.
    Resolved(Result<&'a [IpAddr], ResolveError>),
    /// The transport connection is established; for a datagram socket, that
    /// it exists.
    Opened(Conn),
    /// The TLS handshake is complete and the certificate accepted.
    Secured(Conn, &'a Arc<TlsInfo>),
    /// The answer to [`Output::Flush`]: the system has taken all that was to be
    /// sent before.
    Flushed(Conn),
    /// Bytes from the peer (plaintext on a secured connection); one datagram.
    Data(Conn, &'a [u8]),
    /// The connection ended or could not be made. Nothing follows for it.
    /// The host has released what it held for it.
    Closed(Conn, Closed),
    /// The time asked for with `wake_at` has come.
    Woken,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveError {
    /// One of the `dns_*` reasons, or a reason of ours (`no_descriptors`, ...).
    pub reason: Reason,
    /// The DNS server that said so, or the last one that was asked.
    pub server: Option<SocketAddr>,
    /// What that server did instead, if it could not answer.
    pub trouble: Option<ServerTrouble>,
}

/// What a DNS server does that cannot answer. It is shown as the name of the response
/// code (RFC 6895 section 2.3), or in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerTrouble {
    /// It does not understand the question.
    FormErr,
    /// It failed, or those that it asked.
    ServFail,
    /// It does not know such questions.
    NotImp,
    /// It does not answer us.
    Refused,
    /// It says that it is not the server for the name.
    NotAuth,
    /// It gave another code.
    OtherCode,
    /// It only knows other servers, and does not ask them.
    Referral,
    /// It could not be asked: nobody listens there, or there is no way to it.
    Unreachable,
}

impl fmt::Display for ServerTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::NotAuth => "NOTAUTH",
            Self::OtherCode => "a response code that is no answer",
            Self::Referral => "a referral to other servers",
            Self::Unreachable => "it cannot be reached",
        })
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it in order (FIN, close_notify).
    End,
    /// The peer reset it (RST).
    Reset,
    /// Nobody listens (RST to a SYN, ICMP port unreachable).
    Refused,
    /// No route (ICMP host or network unreachable, or our own table).
    Unreachable,
    /// The kernel gave up retransmitting.
    TimedOut,
    /// The TLS layer failed.
    Tls(Box<TlsFailure>),
    /// Another error from the system, in its words.
    Other(Box<str>),
    /// We could not do it: `no_descriptors`, `no_source_port`, `no_memory`,
    /// `local_denied`, `local_tls`. The engine turns this into `Unknown`
    /// itself; a check never sees it.
    Local(Reason),
}

impl From<TlsFailure> for Closed {
    /// What was ours to do is not held against the target.
    fn from(failure: TlsFailure) -> Self {
        match failure.reason {
            Reason::LocalTls => Self::Local(Reason::LocalTls),
            _ => Self::Tls(Box::new(failure)),
        }
    }
}

/// A request to the world. See [`Engine::poll_output`](crate::Engine::poll_output).
///
/// A host may have told of a connection's end before it drains what was asked
/// earlier: `Secure`, `Send`, `Flush` and `Close` of a connection that it has reported
/// as [`Input::Closed`] are to be ignored. But a peer that has ended its direction in
/// order ([`Closed::End`]) may be waiting for what is sent in answer to that: a host
/// that drains what is asked before it closes the connection sends it.
#[derive(Debug)]
pub enum Output<'a> {
    /// Resolve a name and answer with [`Input::Resolved`]. Only when the
    /// engine was configured to leave names to its host.
    Resolve(&'a str, Families),
    /// Open a connection and answer with [`Input::Opened`] or
    /// [`Input::Closed`].
    Open(Conn, Endpoint),
    /// Perform a TLS handshake on an open connection and answer with
    /// [`Input::Secured`] or [`Input::Closed`]; from then on `Send` and
    /// `Data` are plaintext. A connection to a proxy may have been secured
    /// before: this handshake then takes place inside, with whoever is behind
    /// the proxy. There are never more than two layers.
    Secure(Conn, TlsParams<'a>),
    /// Send these bytes, all of them, in order. Errors come as
    /// [`Input::Closed`].
    Send(Conn, Bytes<'a>),
    /// Answer with [`Input::Flushed`] as soon as the system has taken all that was
    /// to be sent on this connection before, and not the host alone; at once if it
    /// has. What the peer says meanwhile may be told before that or after it. A
    /// connection on which it cannot be sent any more has not ended in order: it is
    /// told as [`Closed::Reset`], not as [`Closed::End`].
    Flush(Conn),
    /// Close the connection and release it. Nothing may be told about it
    /// afterwards; what is, is ignored.
    Close(Conn),
    /// The run is over. It is the last output of a run.
    Report(Report<'a>),
}

/// For how long what an [`Output`] refers to is lent. See
/// [`Engine::poll_output_to`](crate::Engine::poll_output_to).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It refers to nothing.
    Nothing,
    /// Until the run's [`Output::Report`] was given and the engine is called again:
    /// further outputs may be taken, and things told, before it is looked at.
    UntilReport,
    /// Until the engine is called again.
    UntilNextCall,
}

/// Bytes to be sent, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes<'a> {
    /// Lent until the engine is called again.
    Lent(&'a [u8]),
    /// Of the body of a request that every run of a module sends, up to
    /// [`MAX_REQUEST_BODY_BYTES`](crate::limits::MAX_REQUEST_BODY_BYTES): a host
    /// whose peer does not take them at once can share them instead of copying.
    Shared {
        /// All of it.
        body: &'a Arc<[u8]>,
        /// Where in it the bytes begin.
        start: usize,
        /// Where they end: the first that is not to be sent.
        end: usize,
    },
}

impl<'a> Bytes<'a> {
    /// All of a body.
    pub fn whole(body: &'a Arc<[u8]>) -> Self {
        let (start, end) = (0, body.len());
        Self::Shared { body, start, end }
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Shared { body, start, end } => body.get(*start..*end).unwrap_or_default(),
        }
    }
}

/// Where to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How.
    pub transport: Transport,
    /// Destination.
    pub to: SocketAddr,
    /// Source address to bind to, with a port of the system's choice.
    pub from: Option<IpAddr>,
}

/// Kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Connected datagrams: only the peer's are delivered.
    Udp,
}

/// Which address families a name may resolve to, as blackbox_exporter's
/// `preferred_ip_protocol` and `ip_protocol_fallback` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Families {
    /// The family to take if there is a choice.
    pub preferred: Family,
    /// Whether the other family will do.
    pub fallback: bool,
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The one that this is not.
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl Families {
    /// Whether addresses of `family` are acceptable at all.
    pub fn accepts(self, family: Family) -> bool {
        self.fallback || self.preferred == family
    }

    /// The address to use: the first of the preferred family, else the last
    /// of the other one if falling back is allowed (blackbox_exporter's
    /// `chooseProtocol`: its loop overwrites the candidate). One that is mapped
    /// into IPv6 is an IPv4 address, as in Go.
    pub fn choose(self, addresses: &[IpAddr]) -> Option<IpAddr> {
        let mut addresses = addresses.iter().map(IpAddr::to_canonical);
        let preferred = addresses
            .clone()
            .find(|address| Family::of(address) == self.preferred);
        match preferred {
            Some(address) => Some(address),
            None if self.fallback => addresses.next_back(),
            None => None,
        }
    }
}

impl Default for Families {
    /// IPv6 preferred, IPv4 accepted: blackbox_exporter's default.
    fn default() -> Self {
        Self {
            preferred: Family::V6,
            fallback: true,
        }
    }
}
