//! One look-up: asks servers until one knows.
//!
//! A host name has one or more candidates (the search list), each candidate
//! one or two questions (A, AAAA), and each question is put to the servers in
//! turn, for as many rounds as there are attempts (by TCP only, if so configured):
//!
//! ```text
//! start -> UDP -> UDP -> ...        silence, failure, nonsense: the next server
//!           |`-> TCP -> UDP -> ...  truncated: the same server by TCP
//!           `-> result, or the next candidate
//! ```
//!
//! Both questions go out at once from a socket of their own for each attempt,
//! with a port of the system's choice and ids that cannot be guessed (RFC
//! 5452). What does not answer the question is ignored; it neither ends nor
//! prolongs the wait. A family that is known is not asked for again.
//!
//! Which error wins is described in `verdict`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::net::SocketAddr;
use core::time::Duration;

use hickory_proto::rr::Name;

use super::config::Stub;
use super::failure;
use super::verdict::{LookupResult, Trouble, Verdict};
use super::wire::{self, Found, Question, Reply, Stream};
use crate::check::cx::Cx;
use crate::id::Conn;
use crate::io::{
    Closed, Endpoint, Families, Family, Input, ResolveError, ServerTrouble, Transport,
};
use crate::limits::MAX_OPENED;
use crate::outcome::Reason;

/// Shortest time for which it is remembered that something does not exist,
/// also where the server gives no SOA: a fleet may ask for it all the time.
const MIN_NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// Which addresses a name is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    V4,
    V6,
    Both,
}

impl Ask {
    /// Number of values, for arrays.
    pub(super) const COUNT: usize = 3;

    /// What is needed to satisfy `families`.
    pub(super) const fn of(families: Families) -> Self {
        match (families.fallback, families.preferred) {
            (true, _) => Self::Both,
            (false, Family::V4) => Self::V4,
            (false, Family::V6) => Self::V6,
        }
    }

    /// The questions before they are asked.
    const fn parts(self) -> [Part; 2] {
        match self {
            Self::V4 => [Part::Open, Part::Unwanted],
            Self::V6 => [Part::Unwanted, Part::Open],
            Self::Both => [Part::Open, Part::Open],
        }
    }
}

/// The families of [`Lookup::parts`].
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How far one question of a candidate is.
#[derive(Debug)]
enum Part {
    /// Nobody wants to know.
    Unwanted,
    /// To be put to the next server.
    Open,
    /// Put to the current server.
    Asked { id: u16, edns: bool },
    /// To be put to the current server by TCP.
    Truncated,
    /// The current server does not know.
    Failed,
    /// Answered.
    Known(Found),
}

/// The conversation with the current server.
#[derive(Debug)]
struct Exchange {
    conn: Conn,
    framing: Framing,
    /// Whether something came that answers no question of ours.
    strays: bool,
}

#[derive(Debug)]
enum Framing {
    /// UDP: a datagram is a message.
    Datagram,
    /// TCP: messages are framed.
    Stream(Stream),
}

/// The state of one look-up.
#[derive(Debug)]
pub(crate) struct Lookup {
    stub: Arc<Stub>,
    /// In lower case, as it was asked for.
    host: Arc<str>,
    ask: Ask,
    /// Those that have not been tried.
    candidates: vec::IntoIter<Box<str>>,
    /// The candidate that is being tried. Boxed, for the engine has a place
    /// for a look-up in every slot.
    name: Box<Name>,
    /// One for each of [`FAMILIES`].
    parts: [Part; 2],
    /// Servers asked for this candidate, the current one not counted.
    attempt: usize,
    /// The server to begin with.
    first: usize,
    /// `None` before the start, and between two servers.
    exchange: Option<Exchange>,
    /// The most telling trouble with this candidate, and whose it was.
    trouble: Option<(Trouble, SocketAddr)>,
    /// The most telling of the earlier candidates, and who said so.
    verdict: Option<(Verdict, SocketAddr)>,
    /// The lowest negative TTL of the earlier candidates.
    negative_ttl: Duration,
    queries: u32,
    tcp_fallbacks: u32,
}

impl Lookup {
    /// A look-up of `host`, which is in lower case; `None` if that is no
    /// domain name. With `rotate`, `begun` says which server is asked first.
    pub(super) fn new(stub: &Arc<Stub>, host: &str, ask: Ask, begun: usize) -> Option<Self> {
        let candidates = stub.candidates(host);
        if candidates.is_empty() {
            return None;
        }
        Some(Self {
            stub: Arc::clone(stub),
            host: host.into(),
            ask,
            candidates: candidates.into_iter(),
            name: Box::default(),
            parts: ask.parts(),
            attempt: 0,
            first: if stub.rotate { begun } else { 0 },
            exchange: None,
            trouble: None,
            verdict: None,
            negative_ttl: Duration::MAX,
            queries: 0,
            tcp_fallbacks: 0,
        })
    }

    /// In lower case, as it was asked for.
    pub(crate) const fn host(&self) -> &Arc<str> {
        &self.host
    }

    pub(crate) const fn ask(&self) -> Ask {
        self.ask
    }

    /// Questions sent so far.
    pub(super) const fn queries(&self) -> u32 {
        self.queries
    }

    /// Connections opened because an answer was truncated.
    pub(super) const fn tcp_fallbacks(&self) -> u32 {
        self.tcp_fallbacks
    }

    /// Handles one event. Returns the result when the look-up is over; the
    /// caller then closes what is open.
    pub(crate) fn on(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Option<LookupResult> {
        match input {
            Input::Start => self.next_candidate(cx),
            Input::Opened(conn) if self.is_current(conn) => {
                self.send_all(conn, cx);
                None
            }
            Input::Data(conn, bytes) if self.is_current(conn) => self.receive(bytes, cx),
            Input::Closed(conn, why) if self.is_current(conn) => match why {
                Closed::Local(reason) => Some(LookupResult::failed(failure(reason))),
                _ => self.next_server(Trouble::Unreachable, cx),
            },
            Input::Woken => self.expire(cx),
            // Late news of a connection that was given up.
            _ => None,
        }
    }

    fn is_current(&self, conn: Conn) -> bool {
        self.exchange.as_ref().is_some_and(|it| it.conn == conn)
    }

    fn server(&self) -> SocketAddr {
        let servers = &self.stub.servers;
        servers[self.first.wrapping_add(self.attempt) % servers.len()]
    }

    fn next_candidate(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        let Some(candidate) = self.candidates.next() else {
            return Some(self.conclude());
        };
        let Some(name) = wire::name(&candidate) else {
            return Some(LookupResult::failed(failure(Reason::Internal)));
        };
        *self.name = name;
        self.parts = self.ask.parts();
        self.attempt = 0;
        self.trouble = None;
        self.open(self.stub.transport, cx)
    }

    /// Opens a socket to the current server, if there still is one and the
    /// look-up may open another.
    fn open(&mut self, transport: Transport, cx: &mut Cx<'_>) -> Option<LookupResult> {
        let asked_all = usize::from(self.stub.attempts) * self.stub.servers.len();
        if self.attempt >= asked_all || cx.core.opened >= MAX_OPENED {
            return self.end_candidate(cx);
        }
        let conn = cx.open(Endpoint {
            transport,
            to: self.server(),
            from: None,
        });
        cx.wake_at(cx.now() + self.stub.timeout);
        self.exchange = Some(Exchange {
            conn,
            framing: match transport {
                Transport::Udp => Framing::Datagram,
                Transport::Tcp => Framing::Stream(Stream::default()),
            },
            strays: false,
        });
        None
    }

    fn close(&mut self, cx: &mut Cx<'_>) {
        if let Some(exchange) = self.exchange.take() {
            cx.close(exchange.conn);
        }
    }

    /// Puts every question without an answer to the current server.
    fn send_all(&mut self, conn: Conn, cx: &mut Cx<'_>) {
        for index in 0..self.parts.len() {
            if !matches!(self.parts[index], Part::Unwanted | Part::Known(_)) {
                self.send(index, conn, true, cx);
            }
        }
    }

    fn send(&mut self, index: usize, conn: Conn, edns: bool, cx: &mut Cx<'_>) {
        let mut id = cx.rng().u16();
        let other = &self.parts[1 - index];
        if matches!(other, Part::Asked { id: taken, .. } if *taken == id) {
            id = !id;
        }
        let Some(message) = wire::encode(self.question(index), id, edns) else {
            // No valid name comes here; a server is not to blame for one.
            self.parts[index] = Part::Failed;
            return;
        };
        let in_stream =
            matches!(&self.exchange, Some(it) if matches!(it.framing, Framing::Stream(_)));
        if in_stream {
            cx.send(conn, &wire::framed(&message));
        } else {
            cx.send(conn, &message);
        }
        self.parts[index] = Part::Asked { id, edns };
        self.queries += 1;
    }

    fn question(&self, index: usize) -> Question<'_> {
        Question {
            name: &self.name,
            family: FAMILIES[index],
        }
    }

    fn receive(&mut self, bytes: &[u8], cx: &mut Cx<'_>) -> Option<LookupResult> {
        let exchange = self.exchange.as_mut()?;
        if let Framing::Stream(stream) = &mut exchange.framing {
            let mut stream = core::mem::take(stream);
            stream.feed(bytes, |message| self.judge(message, true, cx));
            if let Some(exchange) = &mut self.exchange {
                exchange.framing = Framing::Stream(stream);
            }
        } else {
            self.judge(bytes, false, cx);
        }
        self.settle(cx)
    }

    /// Finds the question that a message answers.
    fn judge(&mut self, message: &[u8], in_stream: bool, cx: &mut Cx<'_>) {
        let Some(conn) = self.exchange.as_ref().map(|it| it.conn) else {
            return;
        };
        for index in 0..self.parts.len() {
            let Part::Asked { id, edns } = self.parts[index] else {
                continue;
            };
            self.parts[index] = match wire::decode(message, self.question(index), id, in_stream) {
                Reply::Stray => continue,
                Reply::Known(found) => Part::Known(found),
                Reply::Truncated => Part::Truncated,
                Reply::FormatError if edns => return self.send(index, conn, false, cx),
                Reply::Malformed => self.failed(Trouble::Malformed),
                Reply::FormatError => self.failed(Trouble::Failed(ServerTrouble::FormErr)),
                Reply::Failed(trouble) => self.failed(Trouble::Failed(trouble)),
            };
            return;
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.strays = true;
        }
    }

    /// Notes a trouble with the current server.
    fn failed(&mut self, trouble: Trouble) -> Part {
        if self
            .trouble
            .is_none_or(|(worst, _)| trouble.rank() >= worst.rank())
        {
            self.trouble = Some((trouble, self.server()));
        }
        Part::Failed
    }

    /// Goes on when the current server has answered everything.
    fn settle(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        let any = |wanted: fn(&Part) -> bool| self.parts.iter().any(wanted);
        if any(|part| matches!(part, Part::Open | Part::Asked { .. })) {
            None
        } else if any(|part| matches!(part, Part::Truncated)) {
            self.fall_back(cx)
        } else if any(|part| matches!(part, Part::Failed)) {
            self.leave(cx)
        } else {
            self.end_candidate(cx)
        }
    }

    /// Asks the current server by TCP.
    fn fall_back(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        self.close(cx);
        self.tcp_fallbacks += 1;
        self.open(Transport::Tcp, cx)
    }

    /// Gives the current server up for its `trouble`.
    fn next_server(&mut self, trouble: Trouble, cx: &mut Cx<'_>) -> Option<LookupResult> {
        self.failed(trouble);
        self.leave(cx)
    }

    fn leave(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        self.close(cx);
        self.attempt += 1;
        for part in &mut self.parts {
            if !matches!(part, Part::Unwanted | Part::Known(_)) {
                *part = Part::Open;
            }
        }
        self.open(self.stub.transport, cx)
    }

    /// The current server has had its time: each exchange sets the timer anew.
    fn expire(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        let exchange = self.exchange.as_ref()?;
        let in_stream = matches!(exchange.framing, Framing::Stream(_));
        let strays = exchange.strays;
        let mut parts = self.parts.iter();
        if !in_stream && parts.any(|part| matches!(part, Part::Truncated)) {
            // One of two answers is lost, but the server is there.
            return self.fall_back(cx);
        }
        let trouble = if strays {
            Trouble::Malformed
        } else {
            Trouble::Silent
        };
        self.next_server(trouble, cx)
    }

    /// Judges the candidate by what is known of it.
    fn end_candidate(&mut self, cx: &mut Cx<'_>) -> Option<LookupResult> {
        self.close(cx);
        let mut addresses = Vec::new();
        let mut ttl = self.stub.max_ttl;
        let mut verdict = Verdict::NotFound;
        let mut said_by = self.server();
        for part in &self.parts {
            match part {
                Part::Unwanted => {}
                Part::Known(Found::Addresses(found, lowest)) => {
                    addresses.extend_from_slice(found);
                    ttl = ttl.min(*lowest);
                }
                Part::Known(Found::NxDomain(lowest)) => {
                    self.negative_ttl = self.negative_ttl.min(lowest.unwrap_or_default());
                }
                Part::Known(Found::NoData(lowest)) => {
                    self.negative_ttl = self.negative_ttl.min(lowest.unwrap_or_default());
                    if let Verdict::NotFound = verdict {
                        verdict = Verdict::NoAddress;
                    }
                }
                Part::Open | Part::Asked { .. } | Part::Truncated | Part::Failed => {
                    let (trouble, server) = self.trouble.unwrap_or((Trouble::Silent, said_by));
                    verdict = Verdict::Failed(trouble);
                    said_by = server;
                }
            }
        }
        if !addresses.is_empty() {
            return Some(LookupResult {
                answer: Ok(addresses.into()),
                ttl: Some(ttl),
            });
        }
        if self
            .verdict
            .is_none_or(|(worst, _)| verdict.rank() >= worst.rank())
        {
            self.verdict = Some((verdict, said_by));
        }
        self.next_candidate(cx)
    }

    /// There are no addresses: says why.
    fn conclude(&self) -> LookupResult {
        let Some((verdict, server)) = self.verdict else {
            return LookupResult::failed(failure(Reason::Internal));
        };
        let ttl = self.negative_ttl.max(MIN_NEGATIVE_TTL);
        LookupResult {
            answer: Err(ResolveError {
                reason: verdict.reason(),
                server: Some(server),
                trouble: verdict.of_server(),
            }),
            ttl: match verdict {
                Verdict::Failed(_) => None,
                Verdict::NotFound | Verdict::NoAddress => Some(ttl.min(self.stub.max_ttl)),
            },
        }
    }
}
