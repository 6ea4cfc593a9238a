//! Does with sockets what the engine asks for.
//!
//! Rules: a socket is registered once, for reading and writing, edge-triggered,
//! and never deregistered: closing it does that. A write is tried at once, and
//! only what the kernel does not take is kept for the next event; of the body of
//! a request that is a small piece, the rest waits where it is. An error of
//! a write does not end a connection before what the peer has sent is read.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll};
use probity_engine::tls::TlsParams;
use probity_engine::{Bytes, Closed, Conn, Endpoint, Reason, RunId, Transport};
use probity_tls::{Cache, Layer, Layers};
use socket2::{Domain, Protocol, Type};

use crate::errors;
use crate::limits::{PIECE, PIECES_PER_VISIT, POOLED_BUFFER_BYTES, POOLED_BUFFERS};
use crate::sockets::{Coalescing, Held, Io, Key, Queued, Socket, Sockets, Stage};

/// On Linux a read that yields less than was asked for has emptied the socket,
/// and an edge will tell what comes later (epoll(7), question 9). This saves
/// one system call for each read.
const SHORT_READ_EMPTIES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Something to tell the engine that no event of the kernel will tell.
#[derive(Debug)]
pub(crate) enum Told {
    Opened(Conn),
    Closed(Conn, Closed),
    /// The engine wants us to resolve a name.
    Unresolved,
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
    /// Buffers for [`Socket::unsent`].
    pool: Vec<Vec<u8>>,
    /// For what TLS wants to send.
    pub(crate) scratch: Vec<u8>,
}

impl Net {
    pub(crate) fn new(poll: Poll) -> Self {
        Self {
            poll,
            sockets: Sockets::default(),
            tls: Cache::default(),
            told: VecDeque::new(),
            revisit: VecDeque::new(),
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
        !self.told.is_empty() || !self.revisit.is_empty()
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
                revisit: false,
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
    /// and what follows it, is taken when the kernel has room for it.
    pub(crate) fn send(&mut self, run: RunId, conn: Conn, bytes: Bytes<'_>) {
        let Some(key) = self.sockets.find(run, conn) else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let bytes = match bytes {
            Bytes::Shared(bytes) => Held::Shared(Arc::clone(bytes)),
            Bytes::Lent(bytes) if socket.queue.is_empty() => return self.send_now(key, bytes),
            Bytes::Lent(bytes) => Held::Copied(bytes.into()),
        };
        if socket.broken.is_none() {
            socket.queue.push_back(Queued { bytes, sent: 0 });
            self.send_queued(key);
        }
    }

    /// Sends these bytes, and holds what the kernel does not take.
    fn send_now(&mut self, key: Key, bytes: &[u8]) {
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

    /// Goes on with what is queued until the kernel takes no more, or others
    /// should have their turn.
    fn send_queued(&mut self, key: Key) {
        for _ in 0..PIECES_PER_VISIT {
            let Some(socket) = self.sockets.get_mut(key) else {
                return;
            };
            if socket.broken.is_some() {
                socket.queue.clear();
            }
            if !socket.unsent.is_empty() {
                return;
            }
            let Some(mut queued) = socket.queue.pop_front() else {
                return;
            };
            let rest = queued.rest();
            let piece = &rest[..rest.len().min(PIECE)];
            let len = piece.len();
            self.send_now(key, piece);
            queued.sent += len;
            if !queued.rest().is_empty()
                && let Some(socket) = self.sockets.get_mut(key)
            {
                socket.queue.push_front(queued);
            }
        }
        // No event will come for a socket that takes more.
        self.look_again(key);
    }

    /// Carries out [`Output::Close`](probity_engine::Output::Close): a FIN,
    /// after a close_notify if there is room for one. What the kernel has not
    /// taken yet is given up, and so is what the peer has sent unread: then
    /// Linux sends a RST instead.
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

    /// Looks whether a connect has ended, as mio prescribes: `SO_ERROR`, then
    /// whether there is a peer.
    pub(crate) fn connected(&mut self, key: Key) -> Connect {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Connect::Pending;
        };
        let (run, conn) = (socket.run, socket.conn);
        let Io::Stream(stream, stage) = &mut socket.io else {
            return Connect::Pending;
        };
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
    pub(crate) fn flush(&mut self, key: Key) {
        self.flush_unsent(key);
        self.send_queued(key);
    }

    fn flush_unsent(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let Io::Stream(stream, _) = &mut socket.io else {
            return;
        };
        match write_all(stream, &socket.unsent[socket.sent..]) {
            Ok(written) => {
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
                socket.unsent.extend_from_slice(&bytes[written..]);
            }
            Err(error) => {
                socket.broken = Some(broken(&error));
                self.look_again(key);
            }
        }
    }

    /// Reads once from the socket itself. Where nothing can be written any more
    /// and nothing is left to be read, that is the end.
    pub(crate) fn read(&mut self, key: Key, buffer: &mut [u8]) -> Got {
        let Some(socket) = self.sockets.get_mut(key) else {
            return Got::Nothing;
        };
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
            self.revisit.push_back(key);
        }
        // Those that were closed meanwhile must not pile up.
        if self.revisit.len() > 2 * self.sockets.len() {
            let sockets = &mut self.sockets;
            self.revisit.retain(|key| sockets.get_mut(*key).is_some());
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::net::TcpStream as Peer;

    use super::*;

    /// A connection, and its other end.
    fn pair() -> (Net, Key, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let mut net = Net::new(Poll::new().expect("an epoll"));
        let (run, conn) = (RunId::from_bits(0), Conn(0));
        let endpoint = Endpoint {
            transport: Transport::Tcp,
            to: listener.local_addr().expect("its address"),
            from: None,
        };
        net.open(run, conn, endpoint);
        let (peer, _) = listener.accept().expect("a connection");
        let key = net.sockets.find(run, conn).expect("it is open");
        let mut events = Events::with_capacity(8);
        while let Connect::Pending = net.connected(key) {
            net.wait(&mut events, None);
        }
        (net, key, peer)
    }

    /// What reading to the end yields: all bytes, and how it ends.
    fn drain(net: &mut Net, key: Key) -> (Vec<u8>, Got) {
        let (mut all, mut buffer) = (Vec::new(), [0; 64]);
        loop {
            match net.read(key, &mut buffer) {
                Got::Bytes(len, _) => all.extend_from_slice(&buffer[..len]),
                other => return (all, other),
            }
        }
    }

    /// Writes until the kernel says that it is of no use.
    fn write_until_broken(net: &mut Net, key: Key) {
        while net.sockets.get_mut(key).expect("open").broken.is_none() {
            net.write(key, b"more");
            std::thread::yield_now();
        }
        assert_eq!(net.next_revisit(), Some(key), "no event may tell");
    }

    #[test]
    fn a_reset_that_a_write_meets_is_not_taken_for_an_end() {
        let (mut net, key, mut peer) = pair();
        peer.write_all(b"half").expect("sent");
        socket2::SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .expect("a reset instead of a FIN");
        drop(peer);
        write_until_broken(&mut net, key);
        let (_, got) = drain(&mut net, key);
        assert!(matches!(got, Got::Over(Closed::Reset)), "{got:?}");
    }

    #[test]
    fn nothing_that_is_written_waits_for_an_acknowledgement() {
        let nodelay = |net: &mut Net, key| match &net.sockets.get_mut(key).expect("open").io {
            Io::Stream(stream, _) => stream.nodelay().expect("an option"),
            Io::Datagrams(_) => panic!("a stream was opened"),
        };
        let (mut net, key, _peer) = pair();
        net.write(key, b"a request");
        assert!(!nodelay(&mut net, key), "one system call less");
        net.write(key, b"another");
        assert!(nodelay(&mut net, key));
        let (mut net, key, _peer) = pair();
        net.write(key, &[b'x'; 10_000]);
        assert!(nodelay(&mut net, key), "the last segment is short");
    }

    #[test]
    fn closed_sockets_do_not_wait_to_be_looked_at_again() {
        let (mut net, kept, _peer) = pair();
        net.look_again(kept);
        for run in 1..100 {
            let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let (run, conn) = (RunId::from_bits(run), Conn(0));
            let endpoint = Endpoint {
                transport: Transport::Udp,
                to: from.local_addr().expect("its address"),
                from: None,
            };
            net.open(run, conn, endpoint);
            let key = net.sockets.find(run, conn).expect("it is open");
            net.look_again(key);
            net.close(run, conn);
            assert!(net.revisits() <= 4, "{}", net.revisits());
        }
        assert_eq!(net.next_revisit(), Some(kept), "in its turn");
        assert_eq!(net.next_revisit(), None, "and nothing but open ones");
    }

    #[test]
    fn a_body_waits_where_it_is_until_the_kernel_takes_it() {
        let (mut net, key, mut peer) = pair();
        let (run, conn) = (RunId::from_bits(0), Conn(0));
        let body: Arc<[u8]> = (0..24 << 20).map(|at: u32| (at >> 8) as u8).collect();
        net.send(run, conn, Bytes::Lent(b"head"));
        net.send(run, conn, Bytes::Shared(&body));
        net.send(run, conn, Bytes::Lent(b"end"));
        let socket = net.sockets.get_mut(key).expect("open");
        assert!(socket.has_unsent(), "nobody reads");
        assert!(socket.unsent.capacity() <= PIECE);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("all of it");
            all
        });
        let mut events = Events::with_capacity(8);
        while net.sockets.get_mut(key).expect("open").has_unsent() {
            match net.next_revisit() {
                Some(key) => net.flush(key),
                None => {
                    net.wait(&mut events, None);
                    net.flush(key);
                }
            }
            let socket = net.sockets.get_mut(key).expect("open");
            assert!(socket.unsent.capacity() <= PIECE);
        }
        net.close(run, conn);
        let all = reader.join().expect("a reader");
        assert_eq!(all.len(), body.len() + 7);
        assert!(all == [b"head", &body[..], b"end"].concat(), "in order");
        assert_eq!(Arc::strong_count(&body), 1, "given back");
    }

    #[test]
    fn an_end_stays_one_though_more_was_written() {
        let (mut net, key, mut peer) = pair();
        peer.write_all(b"all of it").expect("sent");
        drop(peer);
        write_until_broken(&mut net, key);
        let (bytes, got) = drain(&mut net, key);
        assert_eq!(bytes, b"all of it");
        assert!(matches!(got, Got::End), "{got:?}");
    }
}
