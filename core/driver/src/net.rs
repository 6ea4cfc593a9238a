//! Does with sockets what the engine asks for.
//!
//! Rules: a socket is registered once, for reading and writing, edge-triggered,
//! and never deregistered: closing it does that. A write is tried at once, and only
//! what the kernel does not take is kept for the next event. The bodies of requests
//! share what a turn may send and go on piece by piece, in turn; the rest waits
//! where it is. An error of a write does not end a connection before what the peer
//! has sent is read.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll};
use probity_engine::tls::TlsParams;
use probity_engine::{Bytes, Closed, Conn, Endpoint, Instant, Reason, RunId, Transport};
use probity_tls::{Cache, Layer, Layers};
use socket2::{Domain, Protocol, Type};

use crate::clock::Clock;
use crate::errors;
use crate::limits::{PIECE, POOLED_BUFFER_BYTES, POOLED_BUFFERS, SENT_PER_TURN};
use crate::sockets::{Coalescing, Held, Io, Key, Queued, Socket, Sockets, Stage};

/// On Linux a read that yields less than was asked for has emptied the socket,
/// and an edge will tell what comes later (epoll(7), question 9). This saves
/// one system call for each read.
const SHORT_READ_EMPTIES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether an event says by itself that a connect has succeeded.
///
/// mio prescribes to ask for `SO_ERROR` and for the peer, because of systems that wake
/// for nothing. Linux does not: what `epoll_wait` reports it has looked up for that
/// report, edge-triggered or not (`ep_send_events`), and `tcp_poll` says that a socket
/// takes bytes only when it is past its handshake, or when it is closed, and then says
/// `EPOLLHUP` as well; an error is `EPOLLERR`. (It also says so before the handshake if
/// that is put off until something is sent, `TCP_FASTOPEN_CONNECT`; nobody asks for that
/// here.) What breaks the connection afterwards has an event of its own, and is met by
/// whoever reads or writes.
pub(crate) fn is_up(event: &Event) -> bool {
    cfg!(target_os = "linux")
        && event.is_writable()
        && !event.is_write_closed()
        && !event.is_error()
}

/// Something to tell the engine that no event of the kernel will tell.
#[derive(Debug)]
pub(crate) enum Told {
    Opened(Conn),
    Flushed(Conn),
    Closed(Conn, Closed),
    /// The engine wants us to resolve a name.
    Unresolved,
}

/// A place in the line of those that may send more. Who stands there waits for us,
/// and not for his peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Since(Instant),
    Until(Instant),
}

/// How far a connect is.
#[derive(Debug)]
pub(crate) enum Connect {
    Pending,
    Done(RunId, Conn),
    Failed(RunId, Conn, Closed),
}

/// What a read yielded.
#[derive(Debug)]
pub(crate) enum Got {
    /// That many bytes; whether there can be more.
    Bytes(usize, bool),
    /// Nothing yet.
    Nothing,
    /// The peer has sent all that it will.
    End,
    /// The connection is over for another reason.
    Over(Closed),
}

/// The sockets of one worker, and what is needed to use them.
#[derive(Debug)]
pub(crate) struct Net {
    poll: Poll,
    pub(crate) sockets: Sockets,
    tls: Cache,
    pub(crate) told: VecDeque<(RunId, Told)>,
    /// Sockets that may have something to read though no event will say so.
    revisit: VecDeque<Key>,
    /// Sockets that may take more of what they have to send, in the order in which
    /// they go on. Those that the kernel has no room for are not in it.
    sending: VecDeque<Key>,
    clock: Arc<Clock>,
    /// Runs that have begun, or ceased, to stand in it, which the engine is to be
    /// told.
    pub(crate) lines: Vec<(RunId, Line)>,
    /// Bytes that may still be sent in this turn.
    allowance: usize,
    /// The piece that is being sent.
    piece: Vec<u8>,
    /// Buffers for [`Socket::unsent`].
    pool: Vec<Vec<u8>>,
    /// For what TLS wants to send.
    pub(crate) scratch: Vec<u8>,
}

impl Net {
    pub(crate) fn new(poll: Poll, clock: Arc<Clock>) -> Self {
        Self {
            poll,
            clock,
            lines: Vec::new(),
            sockets: Sockets::default(),
            tls: Cache::default(),
            told: VecDeque::new(),
            revisit: VecDeque::new(),
            sending: VecDeque::new(),
            allowance: SENT_PER_TURN,
            piece: Vec::new(),
            pool: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Waits for events, at most for `timeout`.
    pub(crate) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) {
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EBADF, EFAULT, EINVAL: a defect of ours, and no event will ever
            // come again. See the crate's page on panics.
            Err(error) => panic!("cannot wait for events: {error}"),
        }
    }

    /// Whether there is something to do without waiting.
    pub(crate) fn has_work(&self) -> bool {
        !self.told.is_empty() || !self.revisit.is_empty() || !self.sending.is_empty()
    }

    /// Carries out [`Output::Open`](probity_engine::Output::Open).
    pub(crate) fn open(&mut self, run: RunId, conn: Conn, endpoint: Endpoint) {
        let told = match self.try_open(run, conn, endpoint) {
            // The event of the connect comes, even if it has succeeded by now.
            Ok(()) if endpoint.transport == Transport::Tcp => return,
            Ok(()) => Told::Opened(conn),
            Err(closed) => Told::Closed(conn, closed),
        };
        self.told.push_back((run, told));
    }

    fn try_open(&mut self, run: RunId, conn: Conn, endpoint: Endpoint) -> Result<(), Closed> {
        let io = connect(endpoint).map_err(|error| errors::closed(&error))?;
        let key = self
            .sockets
            .insert(Socket {
                run,
                conn,
                io,
                unsent: Vec::new(),
                sent: 0,
                queue: VecDeque::new(),
                broken: None,
                flushing: false,
                revisit: false,
                sending: false,
                coalescing: Coalescing::Harmless,
            })
            .ok_or(Closed::Local(Reason::Internal))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let registered = match self.sockets.get_mut(key).map(|socket| &mut socket.io) {
            Some(Io::Stream(stream, _)) => registry.register(stream, key.into(), both),
            // A datagram that cannot be sent at once is lost, so there is
            // nothing to do when it could be.
            Some(Io::Datagrams(socket)) => {
                registry.register(socket, key.into(), Interest::READABLE)
            }
            None => Ok(()),
        };
        registered.map_err(|error| {
            self.sockets.remove(key);
            errors::closed(&error)
        })
    }

    /// Carries out [`Output::Secure`](probity_engine::Output::Secure).
    pub(crate) fn secure(&mut self, run: RunId, conn: Conn, params: &TlsParams<'_>) {
        let Some(key) = self.sockets.find(run, conn) else {
            return;
        };
        let mut hello = self.take_scratch();
        match self.tls.start(params, &mut hello) {
            Ok(layer) => {
                self.wrap(key, layer, &mut hello);
                self.write_scratch(key, hello);
            }
            Err(failure) => {
                self.release(key);
                self.scratch = hello;
                let told = Told::Closed(conn, failure.into());
                self.told.push_back((run, told));
            }
        }
    }

    /// Puts TLS on a stream, inside what it has already. Nothing else is ever
    /// asked to be secured.
    fn wrap(&mut self, key: Key, layer: Layer, hello: &mut Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        match &mut socket.io {
            Io::Stream(_, Stage::Secured(layers)) => layers.nest(layer, hello),
            Io::Stream(_, stage) => *stage = Stage::Secured(Box::new(Layers::new(layer))),
            Io::Datagrams(_) => {}
        }
    }

    /// Carries out [`Output::Send`](probity_engine::Output::Send). What is shared,
    /// and what follows it, waits for [`Net::send_on`]. The rest does not: TLS or the
    /// end of the connection may come next, and would overtake it.
    pub(crate) fn send(&mut self, run: RunId, conn: Conn, bytes: Bytes<'_>) {
        let Some(key) = self.sockets.find(run, conn) else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let queued = match bytes {
            Bytes::Shared { body, start, end } => Queued {
                bytes: Held::Shared(Arc::clone(body)),
                sent: start,
                end,
            },
            Bytes::Lent(bytes) if socket.queue.is_empty() => return self.send_now(key, bytes),
            Bytes::Lent(bytes) => Queued {
                bytes: Held::Copied(bytes.into()),
                sent: 0,
                end: bytes.len(),
            },
        };
        if socket.broken.is_none() {
            socket.queue.push_back(queued);
            self.goes_on(key);
        }
    }

    /// Sends these bytes, and holds what the kernel does not take.
    fn send_now(&mut self, key: Key, bytes: &[u8]) {
        self.allowance = self.allowance.saturating_sub(bytes.len());
        let mut records = self.take_scratch();
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if let Io::Stream(_, Stage::Secured(layer)) = &mut socket.io {
            // Not open: it has ended in the same batch, and the engine is told
            // of that next.
            layer.send(bytes, &mut records);
        } else {
            self.write(key, bytes);
        }
        self.write_scratch(key, records);
    }

    /// The kernel may have room for what a socket has still to send.
    pub(crate) fn goes_on(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.sending
        {
            socket.sending = true;
            let since = Line::Since(self.clock.now());
            self.lines.push((socket.run, since));
            line_up(&mut self.sending, key, &mut self.sockets);
        }
    }

    /// Goes on with what waits to be sent, one piece of each connection after the
    /// other, until the turn is used up; that ends it. What is left is for the next;
    /// who has no room in the kernel waits for its event.
    pub(crate) fn send_on(&mut self) {
        // Others may have used the turn up: then one goes on nevertheless.
        let mut may_go = true;
        while may_go && let Some(key) = self.sending.pop_front() {
            let Some(socket) = self.sockets.get_mut(key) else {
                continue;
            };
            socket.sending = false;
            let until = Line::Until(self.clock.now());
            self.lines.push((socket.run, until));
            if !socket.unsent.is_empty() {
                self.flush_unsent(key);
            }
            self.send_piece(key);
            self.is_flushed(key);
            may_go = self.allowance > 0;
        }
        self.allowance = SENT_PER_TURN;
    }

    /// Sends a piece of what is queued, if the kernel has taken what came before.
    fn send_piece(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.broken.is_some() {
            socket.queue.clear();
        }
        if socket.queue.is_empty() || !socket.unsent.is_empty() {
            return;
        }
        let mut piece = mem::take(&mut self.piece);
        piece.clear();
        while let Some(queued) = socket.queue.front_mut() {
            let rest = queued.rest();
            let fits = rest.len().min(PIECE - piece.len());
            piece.extend_from_slice(&rest[..fits]);
            if fits < rest.len() {
                queued.sent += fits;
                break;
            }
            socket.queue.pop_front();
        }
        self.send_now(key, &piece);
        self.piece = piece;
        // No event will come for a socket that takes more.
        if let Some(socket) = self.sockets.get_mut(key)
            && socket.unsent.is_empty()
            && !socket.queue.is_empty()
        {
            self.goes_on(key);
        }
    }

    /// Carries out [`Output::Flush`](probity_engine::Output::Flush). Whether the
    /// kernel has taken all of it; if not, the engine is told when it has. Until then
    /// nothing is read, so that the end is told after it.
    pub(crate) fn flush(&mut self, run: RunId, conn: Conn) -> bool {
        let key = self.sockets.find(run, conn);
        let Some(socket) = key.and_then(|key| self.sockets.get_mut(key)) else {
            return false;
        };
        socket.flushing = socket.has_unsent() || socket.broken.is_some();
        !socket.flushing
    }

    /// Notes that the kernel has taken all of it, if it has.
    fn is_flushed(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key)
            && socket.flushing
            && socket.broken.is_none()
            && !socket.has_unsent()
        {
            socket.flushing = false;
            self.told
                .push_back((socket.run, Told::Flushed(socket.conn)));
            // No event will tell again what was not read.
            self.look_again(key);
        }
    }

    /// Carries out [`Output::Close`](probity_engine::Output::Close): a FIN,
    /// after a close_notify if there is room for one. What the kernel has not
    /// taken yet is given up: the time of its run is over, or the peer has answered
    /// without it. So is what the peer has sent unread: then Linux sends a RST
    /// instead.
    pub(crate) fn close(&mut self, run: RunId, conn: Conn) {
        let Some(key) = self.sockets.find(run, conn) else {
            return;
        };
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.has_unsent()
            && socket.broken.is_none()
            && let Io::Stream(stream, Stage::Secured(layer)) = &mut socket.io
        {
            self.scratch.clear();
            layer.close(&mut self.scratch);
            if !self.scratch.is_empty() {
                // Best effort: the peer is told by the FIN as well.
                let _ = stream.write(&self.scratch);
            }
        }
        self.release(key);
    }

    /// Closes a socket of which the engine knows or is about to be told.
    pub(crate) fn release(&mut self, key: Key) {
        if let Some(socket) = self.sockets.remove(key) {
            self.give_back(socket.unsent);
        }
    }

    /// Looks whether a connect has ended: unless the event says so ([`is_up`]) as mio
    /// prescribes, `SO_ERROR`, then whether there is a peer.
    pub(crate) fn connected(&mut self, key: Key, is_up: bool) -> Connect {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Connect::Pending;
        };
        let (run, conn) = (socket.run, socket.conn);
        let Io::Stream(stream, stage) = &mut socket.io else {
            return Connect::Pending;
        };
        if is_up {
            *stage = Stage::Plain;
            return Connect::Done(run, conn);
        }
        let error = match stream.take_error() {
            Ok(None) => match stream.peer_addr() {
                Ok(_) => {
                    *stage = Stage::Plain;
                    return Connect::Done(run, conn);
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => return Connect::Pending,
                Err(error) => error,
            },
            Ok(Some(error)) | Err(error) => error,
        };
        self.release(key);
        Connect::Failed(run, conn, errors::closed(&error))
    }

    /// Goes on with what the kernel did not take before.
    fn flush_unsent(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let Io::Stream(stream, _) = &mut socket.io else {
            return;
        };
        match write_all(stream, &socket.unsent[socket.sent..]) {
            Ok(written) => {
                self.allowance = self.allowance.saturating_sub(written);
                socket.sent += written;
                if socket.sent < socket.unsent.len() {
                    return;
                }
            }
            Err(error) => socket.broken = Some(broken(&error)),
        }
        let broken = socket.broken.is_some();
        socket.sent = 0;
        let buffer = mem::take(&mut socket.unsent);
        self.give_back(buffer);
        if broken {
            self.look_again(key);
        }
    }

    /// Writes to the socket itself, and keeps what it does not take.
    pub(crate) fn write(&mut self, key: Key, bytes: &[u8]) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.broken.is_some() {
            return;
        }
        let result = match &mut socket.io {
            Io::Datagrams(io) => match io.send(bytes) {
                // No room: then the datagram is lost, as it may be anywhere
                // on its way.
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(bytes.len()),
                other => other.map(|_| bytes.len()),
            },
            Io::Stream(..) if !socket.unsent.is_empty() => Ok(0),
            Io::Stream(stream, _) => {
                socket.coalescing.prepare(stream, bytes.len());
                write_all(stream, bytes)
            }
        };
        match result {
            Ok(written) if written == bytes.len() => {}
            Ok(written) => {
                if socket.unsent.capacity() == 0
                    && let Some(buffer) = self.pool.pop()
                {
                    socket.unsent = buffer;
                }
                let rest = &bytes[written..];
                // Not twice as much, as for what grows on: it is all.
                socket.unsent.reserve_exact(rest.len());
                socket.unsent.extend_from_slice(rest);
            }
            Err(error) => {
                socket.broken = Some(broken(&error));
                self.look_again(key);
            }
        }
    }

    /// Reads once from the socket itself, unless it is flushed. Where nothing can be written any more
    /// and nothing is left to be read, that is the end.
    pub(crate) fn read(&mut self, key: Key, buffer: &mut [u8]) -> Got {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Got::Nothing;
        };
        if socket.flushing {
            return match socket.broken.take() {
                None => Got::Nothing,
                // It does not take the rest any more: that is no orderly end.
                Some(Closed::End) => Got::Over(Closed::Reset),
                Some(closed) => Got::Over(closed),
            };
        }
        loop {
            let (result, is_stream) = match &mut socket.io {
                Io::Stream(_, Stage::Connecting) => return Got::Nothing,
                Io::Stream(stream, _) => (stream.read(buffer), true),
                Io::Datagrams(io) => (io.recv(buffer), false),
            };
            return match result {
                // A write that has met a reset has taken the error with it, and
                // what is left looks like an orderly end.
                Ok(0) if is_stream => match socket.broken.take() {
                    None | Some(Closed::End) => Got::End,
                    Some(closed) => Got::Over(closed),
                },
                Ok(len) => {
                    let emptied = is_stream && SHORT_READ_EMPTIES && len < buffer.len();
                    Got::Bytes(len, !emptied)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.broken.take().map_or(Got::Nothing, Got::Over)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Got::Over(errors::closed(&error)),
            };
        }
    }

    /// Has [`Net::next_revisit`] yield this socket.
    pub(crate) fn look_again(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.revisit
        {
            socket.revisit = true;
            line_up(&mut self.revisit, key, &mut self.sockets);
        }
    }

    /// How many sockets there are to look at again.
    pub(crate) fn revisits(&self) -> usize {
        self.revisit.len()
    }

    /// The open one that has waited longest.
    pub(crate) fn next_revisit(&mut self) -> Option<Key> {
        loop {
            let key = self.revisit.pop_front()?;
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.revisit = false;
                return Some(key);
            }
        }
    }

    /// Takes the scratch buffer out, empty, so that it can be filled while the
    /// rest is in use.
    fn take_scratch(&mut self) -> Vec<u8> {
        let mut scratch = mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    /// Sends what is in `scratch` over the socket itself, and puts it back.
    pub(crate) fn write_scratch(&mut self, key: Key, mut scratch: Vec<u8>) {
        if !scratch.is_empty() {
            self.write(key, &scratch);
        }
        // After a large request.
        scratch.clear();
        scratch.shrink_to(POOLED_BUFFER_BYTES);
        self.scratch = scratch;
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        let worth_it = (1..=POOLED_BUFFER_BYTES).contains(&buffer.capacity());
        if worth_it && self.pool.len() < POOLED_BUFFERS {
            buffer.clear();
            self.pool.push(buffer);
        }
    }
}

/// Puts a socket at the end of a line of those that wait for their turn.
fn line_up(line: &mut VecDeque<Key>, key: Key, sockets: &mut Sockets) {
    line.push_back(key);
    // Those that were closed meanwhile must not pile up.
    if line.len() > 2 * sockets.len() {
        line.retain(|key| sockets.get_mut(*key).is_some());
    }
}

/// Begins to connect. For datagrams that is all there is to it.
fn connect(endpoint: Endpoint) -> io::Result<Io> {
    let Endpoint {
        transport,
        to,
        from,
    } = endpoint;
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    // Non-blocking and close-on-exec from the start.
    let socket = socket2::Socket::new(Domain::for_address(to), kind.nonblocking(), Some(protocol))?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error)
            if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(match transport {
        Transport::Tcp => Io::Stream(TcpStream::from_std(socket.into()), Stage::Connecting),
        Transport::Udp => Io::Datagrams(UdpSocket::from_std(socket.into())),
    })
}

/// Why nothing can be written any more. `EPIPE` follows an orderly end: a peer
/// that has closed resets what is sent to it afterwards (tcp(7), `tcp_reset` in
/// Linux), and what it had sent before is whole.
fn broken(error: &io::Error) -> Closed {
    match error.kind() {
        ErrorKind::BrokenPipe => Closed::End,
        _ => errors::closed(error),
    }
}

/// Writes until the kernel takes no more. Returns how much it took.
fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
