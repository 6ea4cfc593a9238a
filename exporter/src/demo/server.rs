//! The demo's targets: one thread that answers tiny HTTP responses.
//!
//! It shares the cores with the prober that it is probed by, so it is as lean
//! as the engine: one epoll instance, no allocation per request, no list of
//! targets. It listens within 127.0.0.0/8 only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::plan::Places;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbusy\n";
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";

/// Longest request head; a longer one is hung up on.
const HEAD: usize = 2_048;
/// Events of one turn.
const EVENTS: usize = 1_024;
/// How often a flapping target changes its mind.
const FLAP: Duration = Duration::from_secs(10);
/// When to try again after descriptors have run out.
const RETRY: Duration = Duration::from_millis(10);
/// Tries to find a port that is free on all addresses.
const PORTS: usize = 20;

/// Running targets. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    places: Places,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    /// Bound but not listening, so that nobody else takes the port.
    _refusing: socket2::Socket,
}

impl Server {
    /// Listens on all `addresses`, on one port of the system's choice, and
    /// begins to answer. An address that this machine does not have (other
    /// systems than Linux have 127.0.0.1 alone) is done without.
    ///
    /// # Errors
    /// If no port is free on the addresses, or there is no descriptor or
    /// thread left.
    pub(super) fn start(addresses: &[Ipv4Addr]) -> io::Result<Self> {
        let listeners = listen(addresses)?;
        let mut listening = Vec::with_capacity(listeners.len());
        for listener in &listeners {
            if let SocketAddr::V4(address) = listener.local_addr()? {
                listening.push(address);
            }
        }
        let first = *listening.first().ok_or(ErrorKind::AddrNotAvailable)?;
        let (refusing_socket, refusing) = refuse(*first.ip())?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(usize::MAX))?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut targets = Targets {
            listeners,
            conns: Conns::default(),
            due: BinaryHeap::new(),
            stalled: Vec::new(),
            begun: Instant::now(),
        };
        for (token, listener) in targets.listeners.iter_mut().enumerate() {
            let registry = poll.registry();
            registry.register(listener, Token(token), Interest::READABLE)?;
        }
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("demo-targets".into())
            .spawn(move || targets.run(poll, &stopping))?;
        Ok(Self {
            places: Places {
                listening,
                refusing,
            },
            stop,
            waker,
            thread: Some(thread),
            _refusing: refusing_socket,
        })
    }

    /// Where the targets are.
    pub(super) const fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It cannot fail but for a lack of kernel memory; the thread then ends
        // with its next event.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic was already printed by the hook.
            let _ = thread.join();
        }
    }
}

/// One listener for each address, all on one port.
fn listen(addresses: &[Ipv4Addr]) -> io::Result<Vec<TcpListener>> {
    let mut error = io::Error::from(ErrorKind::AddrInUse);
    'ports: for _ in 0..PORTS {
        let mut port = 0;
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            match TcpListener::bind(SocketAddrV4::new(*address, port).into()) {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(why) if why.kind() == ErrorKind::AddrInUse => {
                    error = why;
                    continue 'ports;
                }
                Err(why) if why.kind() == ErrorKind::AddrNotAvailable => {}
                Err(why) => return Err(why),
            }
        }
        if listeners.is_empty() {
            let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
            listeners.push(TcpListener::bind(local.into())?);
        }
        return Ok(listeners);
    }
    Err(error)
}

/// A port that nobody listens on.
fn refuse(address: Ipv4Addr) -> io::Result<(socket2::Socket, SocketAddrV4)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(address, 0).into())?;
    let port = socket
        .local_addr()?
        .as_socket_ipv4()
        .map(|bound| bound.port());
    let port = port.ok_or(ErrorKind::AddrNotAvailable)?;
    Ok((socket, SocketAddrV4::new(address, port)))
}

/// The state of the thread.
#[derive(Debug)]
struct Targets {
    listeners: Vec<TcpListener>,
    conns: Conns,
    /// Answers that are held back: when, and for whom.
    due: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Listeners that still have connections but there was no descriptor.
    stalled: Vec<usize>,
    begun: Instant,
}

/// A connection whose request is not answered yet.
#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    /// Tells the users of a slot apart.
    serial: u64,
    /// The part of the request that has come, if it did not come at once.
    head: Vec<u8>,
    /// The request is complete; the answer is held back.
    answered: bool,
}

#[derive(Debug, Default)]
struct Conns {
    slots: Vec<Option<Conn>>,
    free: Vec<usize>,
    serial: u64,
}

impl Targets {
    fn run(&mut self, mut poll: Poll, stop: &AtomicBool) {
        let mut events = Events::with_capacity(EVENTS);
        while !stop.load(Ordering::Acquire) {
            let timeout = self.timeout();
            match poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in &events {
                let Token(token) = event.token();
                if token < self.listeners.len() {
                    self.accept(token, &poll);
                } else if token != usize::MAX {
                    self.read(token - self.listeners.len());
                }
            }
            for listener in std::mem::take(&mut self.stalled) {
                self.accept(listener, &poll);
            }
            self.answer_due();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let due = self.due.peek().map(|Reverse((at, ..))| *at);
        let due = due.map(|at| at.saturating_duration_since(Instant::now()));
        let retry = (!self.stalled.is_empty()).then_some(RETRY);
        [due, retry].into_iter().flatten().min()
    }

    fn accept(&mut self, listener: usize, poll: &Poll) {
        loop {
            match self.listeners[listener].accept() {
                Ok((stream, _)) => {
                    let slot = self.conns.insert(stream);
                    let token = Token(self.listeners.len() + slot);
                    let registered = self.conns.get(slot).is_some_and(|conn| {
                        let registry = poll.registry();
                        let stream = &mut conn.stream;
                        registry.register(stream, token, Interest::READABLE).is_ok()
                    });
                    if !registered {
                        self.conns.remove(slot);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_transient(&error) => {}
                Err(_) => {
                    // Out of descriptors or memory. The event does not come
                    // again, so come back without it.
                    self.stalled.push(listener);
                    return;
                }
            }
        }
    }

    fn read(&mut self, slot: usize) {
        let Some(conn) = self.conns.get(slot) else {
            return;
        };
        let mut buffer = [0; HEAD];
        loop {
            let bytes = match conn.stream.read(&mut buffer) {
                // The peer has gone; a plain TCP probe does no more.
                Ok(0) => break,
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if conn.answered {
                continue;
            }
            if !conn.head.is_empty() || !is_complete(bytes) {
                conn.head.extend_from_slice(bytes);
                if conn.head.len() > HEAD {
                    break;
                }
                if !is_complete(&conn.head) {
                    continue;
                }
            }
            let head = if conn.head.is_empty() {
                bytes
            } else {
                &conn.head
            };
            match reply(head, self.begun.elapsed()) {
                Reply::Now(response) => {
                    // It fits into the empty buffer of a new socket. If the
                    // peer has gone there is nobody to tell.
                    let _ = conn.stream.write(response);
                    break;
                }
                Reply::After(delay) => {
                    conn.answered = true;
                    let at = Instant::now() + delay;
                    self.due.push(Reverse((at, slot, conn.serial)));
                }
            }
        }
        self.conns.remove(slot);
    }

    fn answer_due(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(Reverse((at, slot, serial))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            if let Some(conn) = self.conns.get(slot)
                && conn.serial == serial
            {
                // As above.
                let _ = conn.stream.write(OK);
                self.conns.remove(slot);
            }
        }
    }
}

impl Conns {
    fn insert(&mut self, stream: TcpStream) -> usize {
        self.serial += 1;
        let conn = Some(Conn {
            stream,
            serial: self.serial,
            head: Vec::new(),
            answered: false,
        });
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = conn;
                slot
            }
            None => {
                self.slots.push(conn);
                self.slots.len() - 1
            }
        }
    }

    fn get(&mut self, slot: usize) -> Option<&mut Conn> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Closes a connection.
    fn remove(&mut self, slot: usize) {
        if self.slots.get_mut(slot).and_then(Option::take).is_some() {
            self.free.push(slot);
        }
    }
}

/// An error of a connection that was given up before it was accepted.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

fn is_complete(head: &[u8]) -> bool {
    head.ends_with(b"\r\n\r\n") || head.windows(4).any(|end| end == b"\r\n\r\n")
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Now(&'static [u8]),
    /// [`OK`], later.
    After(Duration),
}

/// `running` is the time since the start.
fn reply(head: &[u8], running: Duration) -> Reply {
    let mut words = head.split(|byte| *byte == b' ');
    let path = words.nth(1).unwrap_or_default();
    let mut parts = path.split(|byte| *byte == b'/').skip(1);
    let number = |part: Option<&[u8]>| {
        let text = std::str::from_utf8(part?).ok()?;
        text.parse::<u32>().ok()
    };
    match parts.next().unwrap_or_default() {
        b"ok" => Reply::Now(OK),
        b"503" => Reply::Now(UNAVAILABLE),
        b"slow" => match number(parts.next()) {
            Some(millis) => Reply::After(Duration::from_millis(millis.min(60_000).into())),
            None => Reply::Now(NOT_FOUND),
        },
        b"flapping" => {
            // Neighbours are in different halves, so that the fleet's total
            // does not jump.
            let half = (running.as_secs() / FLAP.as_secs()) as u32;
            let own = number(parts.next()).unwrap_or(0) / 100;
            match (half.wrapping_add(own)) % 2 {
                0 => Reply::Now(OK),
                _ => Reply::Now(UNAVAILABLE),
            }
        }
        _ => Reply::Now(NOT_FOUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpStream as StdStream};

    fn ask(address: SocketAddrV4, pieces: &[&str]) -> String {
        let mut stream = StdStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn server() -> Server {
        Server::start(&[Ipv4Addr::new(127, 77, 0, 1), Ipv4Addr::new(127, 77, 0, 2)]).unwrap()
    }

    #[test]
    fn targets_do_as_their_path_says() {
        let server = server();
        for address in server.places().listening.clone() {
            let get = |path: &str| {
                ask(
                    address,
                    &[&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")],
                )
            };
            assert_eq!(get("/ok/1").as_bytes(), OK);
            assert_eq!(get("/503/2").as_bytes(), UNAVAILABLE);
            assert_eq!(get("/").as_bytes(), NOT_FOUND);
            let begun = Instant::now();
            assert_eq!(get("/slow/30/3").as_bytes(), OK);
            assert!(begun.elapsed() >= Duration::from_millis(30));
        }
    }

    #[test]
    fn requests_in_pieces_are_put_together() {
        let server = server();
        let address = server.places().listening[0];
        let pieces = ["GET /o", "k/1 HTTP/1.1\r\n", "Host: a\r\n\r", "\n"];
        assert_eq!(ask(address, &pieces).as_bytes(), OK);
    }

    #[test]
    fn endless_heads_are_hung_up_on() {
        let server = server();
        let mut stream = StdStream::connect(server.places().listening[0]).unwrap();
        let junk = [b'x'; 1024];
        let refused = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            stream.write_all(&junk).is_err()
        });
        assert!(refused, "the server reads for ever");
    }

    #[test]
    fn connections_that_only_come_and_go_leave_nothing() {
        let server = server();
        let address = server.places().listening[0];
        for _ in 0..50 {
            let stream = StdStream::connect(address).unwrap();
            // Some servers take a half-open peer for one that waits.
            let _ = stream.shutdown(Shutdown::Both);
        }
        assert_eq!(ask(address, &["GET /ok/1 HTTP/1.1\r\n\r\n"]).as_bytes(), OK);
    }

    #[test]
    fn the_refusing_port_refuses() {
        let server = server();
        let error = StdStream::connect(server.places().refusing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn flapping_targets_alternate_and_not_all_at_once() {
        let at = |number: u32, seconds| {
            let head = format!("GET /flapping/{number} HTTP/1.1\r\n\r\n");
            reply(head.as_bytes(), Duration::from_secs(seconds))
        };
        assert_eq!(at(30, 0), Reply::Now(OK));
        assert_eq!(at(30, 9), Reply::Now(OK));
        assert_eq!(at(30, 10), Reply::Now(UNAVAILABLE));
        assert_eq!(at(30, 20), Reply::Now(OK));
        assert_eq!(at(130, 0), Reply::Now(UNAVAILABLE));
    }
}
