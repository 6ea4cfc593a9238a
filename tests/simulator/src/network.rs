//! The network and the servers in it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::tls::{TlsInfo, TlsParams};
use probity_engine::{Closed, Conn, Endpoint, Instant, Reason, RunId, Transport};

use crate::checker::Truth;
use crate::faults::Faults;
use crate::link::{Link, LinkId, Links, State};
use crate::payload::Payload;
use crate::peer::{self, Behaviour, Hello, Reached, Reaction, Then, Tls};
use crate::queue::Queue;
use crate::rng::Rng;

/// What the world learns from the network.
#[derive(Debug)]
pub(crate) enum News {
    /// Something happened that only peers notice.
    Nothing,
    Opened(RunId, Conn),
    Secured(RunId, Conn, Arc<TlsInfo>),
    Flushed(RunId, Conn),
    Data(RunId, Conn, Payload),
    Closed(RunId, Conn, Closed),
}

/// What will happen to a connection.
#[derive(Debug)]
enum Event {
    Opened(LinkId),
    /// The beginning of a handshake reaches the peer.
    Hello(LinkId, Hello),
    Secured(LinkId, Arc<TlsInfo>),
    /// There is room for all that was sent.
    Flushed(LinkId),
    /// The peer learns what came of a connection of its own.
    Reached(LinkId, Reached),
    /// Bytes reach us.
    Data(LinkId, Payload),
    /// The end reaches us.
    Closed(LinkId, Closed),
    /// Bytes reach the peer.
    Sent(LinkId, Payload),
    /// The peer has waited long enough.
    Woken(LinkId),
    /// Late news of a connection that we closed.
    Stale(RunId, Conn, Closed),
}

/// Where the kernel stops to retransmit a SYN (`tcp_syn_retries` 6).
const SYN_RETRIES: u32 = 6;
/// Longest time that a lost piece of a stream is late, or a datagram
/// overtaken.
const LONGEST_STALL: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_millis(300);
/// Time in which a connection is reset that will be.
const RESET_WITHIN: Duration = Duration::from_millis(500);
/// Bytes for which kernels have room though the peer does not read.
const ROOM: usize = 64 * 1024;
/// Shortest wait of a peer, so that time always passes.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) faults: Faults,
    /// How targets really are, for whoever checks verdicts.
    pub(crate) truth: Truth,
    /// Addresses towards which something went wrong that nobody has been told.
    pub(crate) misbehaved: Vec<SocketAddr>,
    peers: BTreeMap<SocketAddr, Behaviour>,
    /// What peers can look up.
    names: BTreeMap<String, IpAddr>,
    links: Links,
    queue: Queue<Event>,
    rng: Rng,
    /// Kept for its capacity.
    reaction: Reaction,
}

impl Network {
    pub(crate) fn new(faults: Faults, rng: Rng) -> Self {
        Self {
            faults,
            truth: Truth::default(),
            misbehaved: Vec::new(),
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            links: Links::default(),
            queue: Queue::new(),
            rng,
            reaction: Reaction::default(),
        }
    }

    pub(crate) fn serve(&mut self, at: SocketAddr, behaviour: Behaviour) {
        self.peers.insert(at, behaviour);
    }

    pub(crate) fn name(&mut self, name: &str, address: IpAddr) {
        self.names.insert(name.into(), address);
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.peers.keys().copied().collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.links.len()
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.queue.next_at()
    }

    /// Lets the next thing happen, if it does by `now`.
    pub(crate) fn happen(&mut self, now: Instant) -> Option<News> {
        let (at, event) = self.queue.pop(now)?;
        let id = match &event {
            Event::Stale(run, conn, why) => {
                return Some(News::Closed(*run, *conn, why.clone()));
            }
            Event::Opened(id)
            | Event::Hello(id, _)
            | Event::Secured(id, _)
            | Event::Flushed(id)
            | Event::Reached(id, _)
            | Event::Data(id, _)
            | Event::Closed(id, _)
            | Event::Sent(id, _)
            | Event::Woken(id) => *id,
        };
        let Some(link) = self.links.get_mut(id) else {
            return Some(News::Nothing);
        };
        let (run, conn) = (link.run, link.conn);
        Some(match event {
            Event::Opened(_) => {
                link.state = State::Open;
                let datagram = link.transport == Transport::Udp;
                self.react(id, peer::Event::Accepted { datagram }, at);
                News::Opened(run, conn)
            }
            Event::Hello(_, hello) => {
                let shaken = link.session.shake(&hello);
                self.answer(id, shaken, at);
                News::Nothing
            }
            Event::Secured(_, info) => {
                link.state = State::Secured;
                self.react(id, peer::Event::Secured, at);
                News::Secured(run, conn, info)
            }
            Event::Reached(_, reached) => {
                self.react(id, peer::Event::Reached(&reached), at);
                News::Nothing
            }
            // What comes in plain text where a handshake is expected.
            Event::Data(..) if link.state == State::Securing => {
                self.links.remove(id);
                News::Closed(run, conn, Tls::not_tls())
            }
            Event::Data(_, data) => News::Data(run, conn, data),
            Event::Closed(_, why) => {
                self.links.remove(id);
                News::Closed(run, conn, why)
            }
            Event::Flushed(_) => News::Flushed(run, conn),
            Event::Sent(_, data) => {
                // Nobody flushes datagrams.
                if link.transport == Transport::Tcp && !link.session.is_deaf() {
                    link.unread -= data.as_slice().len();
                    if link.flushing && link.unread <= ROOM {
                        link.flushing = false;
                        self.queue.plan(at, Event::Flushed(id));
                    }
                }
                self.react(id, peer::Event::Data(data.as_slice()), at);
                News::Nothing
            }
            Event::Woken(_) => {
                self.react(id, peer::Event::Woken, at);
                News::Nothing
            }
            Event::Stale(..) => News::Nothing,
        })
    }

    /// See [`probity_engine::Output::Open`].
    pub(crate) fn open(&mut self, run: RunId, conn: Conn, endpoint: Endpoint, now: Instant) {
        let Endpoint { transport, to, .. } = endpoint;
        let behaviour = self.peers.get(&to).cloned();
        let behaviour = behaviour.unwrap_or(Behaviour::Unreachable);
        let session = behaviour.session();
        let refuses = matches!(behaviour, Behaviour::Refuse);
        let unreachable = matches!(behaviour, Behaviour::Unreachable);
        let lost = matches!(behaviour, Behaviour::Blackhole);
        let id = self.links.insert(Link {
            run,
            conn,
            to,
            transport,
            behaviour,
            session,
            state: State::Opening,
            to_us: now,
            to_peer: now,
            unread: 0,
            flushing: false,
        });
        if self.rng.chance(self.faults.local) {
            const OURS: [Reason; 4] = [
                Reason::NoDescriptors,
                Reason::NoSourcePort,
                Reason::NoMemory,
                Reason::LocalDenied,
            ];
            let reason = *self.rng.pick(&OURS);
            self.queue
                .plan(now, Event::Closed(id, Closed::Local(reason)));
            return;
        }
        if transport == Transport::Udp {
            self.queue.plan(now, Event::Opened(id));
            return;
        }
        let trip = self.way() + self.way();
        if refuses || self.fault(self.faults.refuse, to) {
            self.queue
                .plan(now + trip, Event::Closed(id, Closed::Refused));
        } else if unreachable || self.fault(self.faults.unreachable, to) {
            self.queue
                .plan(now + trip, Event::Closed(id, Closed::Unreachable));
        } else {
            self.synchronise(id, to, lost, trip, now);
        }
    }

    /// The handshake of TCP, with retransmissions.
    fn synchronise(
        &mut self,
        id: LinkId,
        to: SocketAddr,
        lost: bool,
        trip: Duration,
        now: Instant,
    ) {
        let mut waited = Duration::ZERO;
        for attempt in 0..=SYN_RETRIES {
            if !lost && !self.fault(self.faults.syn_loss, to) {
                let open = now + waited + trip;
                self.queue.plan(open, Event::Opened(id));
                if self.fault(self.faults.reset, to) {
                    let at = open + self.rng.duration(RESET_WITHIN);
                    self.queue.plan(at, Event::Closed(id, Closed::Reset));
                }
                return;
            }
            waited += Duration::from_secs(1 << attempt);
        }
        self.queue
            .plan(now + waited, Event::Closed(id, Closed::TimedOut));
    }

    /// See [`probity_engine::Output::Secure`].
    pub(crate) fn secure(&mut self, run: RunId, conn: Conn, params: &TlsParams<'_>, now: Instant) {
        let way = self.way();
        let Some((id, link)) = self.find(run, conn) else {
            return;
        };
        link.state = State::Securing;
        let at = link.to_peer.max(now + way);
        link.to_peer = at;
        self.queue.plan(at, Event::Hello(id, Hello::new(params)));
    }

    /// What a peer makes of a handshake, after all that it sent before.
    fn answer(&mut self, id: LinkId, shaken: Option<Result<Arc<TlsInfo>, Closed>>, at: Instant) {
        let way = self.way();
        let (Some(shaken), Some(link)) = (shaken, self.links.get_mut(id)) else {
            return;
        };
        let at = link.to_us.max(at + way);
        link.to_us = at;
        match shaken {
            Ok(info) => self.queue.plan(at, Event::Secured(id, info)),
            Err(why) => self.queue.plan(at, Event::Closed(id, why)),
        }
    }

    /// See [`probity_engine::Output::Send`].
    pub(crate) fn send(&mut self, run: RunId, conn: Conn, bytes: &[u8], now: Instant) {
        let way = self.way();
        let Some((id, link)) = self.find(run, conn) else {
            return;
        };
        let (to, transport) = (link.to, link.transport);
        let data = Payload::from(bytes.to_vec());
        match (transport, &link.behaviour) {
            (Transport::Udp, Behaviour::Refuse) => {
                let at = now + way * 2;
                self.queue.plan(at, Event::Closed(id, Closed::Refused));
            }
            (Transport::Udp, Behaviour::Unreachable) => {
                let at = now + way * 2;
                self.queue.plan(at, Event::Closed(id, Closed::Unreachable));
            }
            (Transport::Udp, _) => {
                if !self.fault(self.faults.datagram_loss, to) {
                    let at = now + way + self.delay(to);
                    self.queue.plan(at, Event::Sent(id, data));
                }
            }
            (Transport::Tcp, _) => {
                let at = link.to_peer.max(now + way);
                link.to_peer = at;
                link.unread += bytes.len();
                self.queue.plan(at, Event::Sent(id, data));
            }
        }
    }

    /// See [`probity_engine::Output::Flush`].
    pub(crate) fn flush(&mut self, run: RunId, conn: Conn, now: Instant) {
        let Some((id, link)) = self.find(run, conn) else {
            return;
        };
        link.flushing = link.unread > ROOM;
        if !link.flushing {
            self.queue.plan(now, Event::Flushed(id));
        }
    }

    /// See [`probity_engine::Output::Close`].
    pub(crate) fn close(&mut self, run: RunId, conn: Conn, now: Instant) {
        let Some((id, _)) = self.find(run, conn) else {
            return;
        };
        self.links.remove(id);
        if self.rng.chance(self.faults.late_news) {
            let at = now + self.rng.duration(LONGEST_DELAY);
            let why = self.rng.pick(&[Closed::End, Closed::Reset]).clone();
            self.queue.plan(at, Event::Stale(run, conn, why));
        }
    }

    /// Tells a peer what happened, and does what it wants.
    fn react(&mut self, id: LinkId, event: peer::Event<'_>, at: Instant) {
        let mut reaction = std::mem::take(&mut self.reaction);
        let Some(link) = self.links.get_mut(id) else {
            self.reaction = reaction;
            return;
        };
        let (to, transport) = (link.to, link.transport);
        let dns = matches!(link.behaviour, Behaviour::Dns(_));
        if matches!(link.behaviour, Behaviour::Blackhole) {
            self.reaction = reaction;
            return;
        }
        link.session.on(event, &mut self.rng, &mut reaction);
        if dns && !reaction.sends.is_empty() && self.fault(self.faults.dns, to) {
            self.spoil(&mut reaction);
        }
        for (payload, after) in reaction.sends.drain(..) {
            match transport {
                Transport::Tcp => self.stream(id, to, payload, at + after),
                Transport::Udp => self.datagram(id, to, payload, at + after),
            }
        }
        match std::mem::take(&mut reaction.then) {
            Then::Wait => {}
            Then::Wake(after) => {
                let at = at + after.max(SHORTEST_WAIT);
                self.queue.plan(at, Event::Woken(id));
            }
            Then::Reach(far) => self.reach(id, &far, at),
            Then::Close => self.end(id, Closed::End, at),
            Then::Reset => self.end(id, Closed::Reset, at),
        }
        self.reaction = reaction;
    }

    /// Leads a proxy to somebody else, `host:port`. The way there has no faults
    /// but those of who is there.
    fn reach(&mut self, id: LinkId, far: &str, at: Instant) {
        let known = far.parse().ok().or_else(|| {
            let (host, port) = far.rsplit_once(':')?;
            Some(SocketAddr::new(*self.names.get(host)?, port.parse().ok()?))
        });
        let reached = match known.and_then(|known| self.peers.get(&known)) {
            Some(Behaviour::Blackhole) => return,
            Some(Behaviour::Refuse) => Reached::Refused,
            Some(Behaviour::Unreachable) | None => Reached::Unreachable,
            Some(behaviour) => Reached::There(behaviour.clone()),
        };
        let trip = self.way() + self.way();
        self.queue.plan(at + trip, Event::Reached(id, reached));
    }

    /// A DNS server that says something else: nothing, or noise.
    fn spoil(&mut self, reaction: &mut Reaction) {
        if self.rng.chance(500_000) {
            reaction.sends.clear();
            return;
        }
        for (payload, _) in &mut reaction.sends {
            let mut bytes = payload.as_slice().to_vec();
            let at = self.rng.below(bytes.len() as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << self.rng.below(8);
            }
            *payload = bytes.into();
        }
    }

    /// The end of a connection, after all that was sent before.
    fn end(&mut self, id: LinkId, why: Closed, at: Instant) {
        let way = self.way();
        if let Some(link) = self.links.get_mut(id) {
            let at = link.to_us.max(at + way);
            link.to_us = at;
            self.queue.plan(at, Event::Closed(id, why));
        }
    }

    fn stream(&mut self, id: LinkId, to: SocketAddr, mut payload: Payload, at: Instant) {
        while !payload.is_empty() {
            let piece = payload.split_to(self.faults.pieces.next(&mut self.rng));
            let mut way = self.way();
            if self.fault(self.faults.stall, to) {
                way += self.rng.duration(LONGEST_STALL);
            }
            let Some(link) = self.links.get_mut(id) else {
                return;
            };
            let at = link.to_us.max(at + way);
            link.to_us = at;
            self.queue.plan(at, Event::Data(id, piece));
        }
    }

    fn datagram(&mut self, id: LinkId, to: SocketAddr, payload: Payload, at: Instant) {
        if self.fault(self.faults.datagram_loss, to) {
            return;
        }
        if self.rng.chance(self.faults.datagram_twice) {
            let at = at + self.way() + self.rng.duration(LONGEST_DELAY);
            self.queue.plan(at, Event::Data(id, payload.clone()));
        }
        let at = at + self.way() + self.delay(to);
        self.queue.plan(at, Event::Data(id, payload));
    }

    /// What makes a datagram fall behind others.
    fn delay(&mut self, to: SocketAddr) -> Duration {
        if self.fault(self.faults.datagram_late, to) {
            self.rng.duration(LONGEST_DELAY)
        } else {
            Duration::ZERO
        }
    }

    fn way(&mut self) -> Duration {
        self.faults.way(&mut self.rng)
    }

    /// Whether something goes wrong this time. It excuses who is at `to`.
    fn fault(&mut self, often: u32, to: SocketAddr) -> bool {
        let wrong = self.rng.chance(often);
        if wrong {
            self.misbehaved.push(to);
        }
        wrong
    }

    fn find(&mut self, run: RunId, conn: Conn) -> Option<(LinkId, &mut Link)> {
        let id = self.links.find(run, conn)?;
        Some((id, self.links.get_mut(id)?))
    }
}
