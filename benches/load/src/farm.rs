//! The servers: one process, one thread, one core.
//!
//! Each kind listens on several loopback addresses, so that source ports do not
//! run out. It ends when its standard input does; a line there asks how long the
//! servers slept that sleep for as long as they are asked to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConnection;
use serde::{Deserialize, Serialize};

use crate::cpu::{self, Core};

/// Addresses of each kind: 28,000 source ports towards each.
const ADDRESSES: u8 = 16;

/// Connections that one listener accepts before the others have their turn, and before
/// those that are over are closed: a peer that is faster than this server would otherwise
/// have it do nothing else until it has no descriptor left.
const ACCEPTED_AT_ONCE: usize = 64;

/// The answer to every request.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/// Sleepers that are told apart: one for each target of the largest fleet.
const SLEEPERS: usize = 100_000;

/// How a sleeper slept: the answers that it gave so far, and the microseconds
/// from the last request to its answer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Slept {
    pub(crate) answers: u64,
    pub(crate) last: u64,
}

/// By the number of the sleeper.
type Sleepers = Arc<Mutex<Vec<Slept>>>;

/// Where the servers are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Places {
    /// Accept, and wait for the peer to close.
    pub(crate) silent: Vec<SocketAddrV4>,
    /// Answer HTTP at once.
    pub(crate) http: Vec<SocketAddrV4>,
    /// TLS 1.3, no tickets; wait for the peer to close.
    pub(crate) tls: Vec<SocketAddrV4>,
    /// Answer `GET /NUMBER/MICROSECONDS` after as long, for the sleeper of that number.
    pub(crate) sleepers: Vec<SocketAddrV4>,
    /// Answer as Redis does to PING, whatever is said, and close.
    pub(crate) redis: Vec<SocketAddrV4>,
}

/// The running servers.
#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) places: Places,
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Farm {
    pub(crate) fn start() -> Result<Self, String> {
        let start = || -> io::Result<Self> {
            let mut child = Command::new(std::env::current_exe()?)
                .arg("farm")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut line = String::new();
            let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
            let asks = child.stdin.take().ok_or(ErrorKind::BrokenPipe)?;
            let mut answers = BufReader::new(stdout);
            answers.read_line(&mut line)?;
            let places = serde_json::from_str(&line)?;
            Ok(Self {
                places,
                child,
                asks,
                answers,
            })
        };
        start().map_err(|error| format!("the servers do not start: {error}"))
    }

    /// How the sleepers slept since this was last asked with `forget`.
    pub(crate) fn slept(&mut self, forget: bool) -> Result<Vec<Slept>, String> {
        let mut ask = || -> io::Result<Vec<Slept>> {
            writeln!(self.asks, "{}", if forget { FORGET } else { TELL })?;
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        };
        ask().map_err(|error| format!("the servers do not tell how they slept: {error}"))
    }
}

/// What it is asked on its standard input.
const TELL: &str = "tell";
const FORGET: &str = "forget";

impl Drop for Farm {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Silent,
    Http,
    Tls,
    Sleeper,
    Redis,
}

struct Conn {
    stream: TcpStream,
    kind: Kind,
    serial: u64,
    tls: Option<Box<ServerConnection>>,
}

struct Server {
    poll: Poll,
    listeners: Vec<(TcpListener, Kind)>,
    /// Those at which more may wait than were accepted: epoll tells of each once.
    waited_at: Vec<usize>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    due: BinaryHeap<Reverse<Due>>,
    sleepers: Sleepers,
    tls: Arc<rustls::ServerConfig>,
    serial: u64,
}

/// An answer of a sleeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    slot: usize,
    serial: u64,
    sleeper: usize,
    asked: Instant,
}

/// Serves until standard input ends.
pub(crate) fn serve() -> io::Result<()> {
    probity_driver::raise_descriptor_limit();
    cpu::pin(Core::Last);
    let sleepers = Sleepers::default();
    let mut server = Server {
        poll: Poll::new()?,
        listeners: Vec::new(),
        waited_at: Vec::new(),
        conns: Vec::new(),
        free: Vec::new(),
        due: BinaryHeap::new(),
        sleepers: Arc::clone(&sleepers),
        tls: tls_config().map_err(io::Error::other)?,
        serial: 0,
    };
    let mut many = |kind, base: u8| {
        let one = |last| server.listen(kind, Ipv4Addr::new(127, 77, base, last));
        (1..=ADDRESSES).map(one).collect::<io::Result<Vec<_>>>()
    };
    let silent = many(Kind::Silent, 1)?;
    let http = many(Kind::Http, 2)?;
    let tls = many(Kind::Tls, 3)?;
    let asleep = many(Kind::Sleeper, 4)?;
    let redis = many(Kind::Redis, 5)?;
    let places = Places {
        silent,
        http,
        tls,
        sleepers: asleep,
        redis,
    };
    println!("{}", serde_json::to_string(&places)?);
    io::stdout().flush()?;
    std::thread::spawn(move || {
        cpu::give_way();
        // Whoever started it has ended, or does not listen any more.
        let ended = tell(&sleepers);
        std::process::exit(i32::from(ended.is_err()));
    });
    server.run()
}

/// Answers what is asked on standard input, until that ends.
fn tell(sleepers: &Sleepers) -> io::Result<()> {
    for line in io::stdin().lines() {
        let forget = line? == FORGET;
        let slept = {
            let mut sleepers = sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            match forget {
                true => std::mem::take(&mut *sleepers),
                false => sleepers.clone(),
            }
        };
        println!("{}", serde_json::to_string(&slept)?);
        io::stdout().flush()?;
    }
    Ok(())
}

/// The number of the sleeper and how long it is to sleep.
fn asked(request: &[u8]) -> Option<(usize, Duration)> {
    let text = std::str::from_utf8(request).ok()?;
    let path = text.strip_prefix("GET /")?.split(' ').next()?;
    let (sleeper, micros) = path.split_once('/')?;
    let sleeper = sleeper.parse().ok().filter(|it| *it < SLEEPERS)?;
    Some((sleeper, Duration::from_micros(micros.parse().ok()?)))
}

/// A certificate of its own; every handshake is a full one.
fn tls_config() -> Result<Arc<rustls::ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(vec!["load.test".into()])
        .map_err(|error| error.to_string())?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let mut config =
        rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(|error| error.to_string())?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(crate) fn server_config() -> Result<Arc<rustls::ServerConfig>, String> {
    tls_config()
}

impl Server {
    fn listen(&mut self, kind: Kind, ip: Ipv4Addr) -> io::Result<SocketAddrV4> {
        let mut listener = TcpListener::bind(SocketAddrV4::new(ip, 0).into())?;
        let SocketAddr::V4(address) = listener.local_addr()? else {
            return Err(ErrorKind::AddrNotAvailable.into());
        };
        let token = Token(usize::MAX - self.listeners.len());
        let registry = self.poll.registry();
        registry.register(&mut listener, token, Interest::READABLE)?;
        self.listeners.push((listener, kind));
        Ok(address)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let next = match self.waited_at.is_empty() {
                true => self.due.peek().map(|Reverse(due)| due.at),
                false => Some(Instant::now()),
            };
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            // epoll counts in milliseconds: the last one is waited for awake, so
            // that answers are sent when they are due.
            let timeout = timeout.map(|left| Duration::from_millis(left.as_millis() as u64));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(token) = event.token();
                match usize::MAX - token {
                    listener if listener < self.listeners.len() => {
                        if !self.waited_at.contains(&listener) {
                            self.waited_at.push(listener);
                        }
                    }
                    _ => self.ready(token, event.is_read_closed(), &mut buffer),
                }
            }
            let mut waited_at = std::mem::take(&mut self.waited_at);
            waited_at.retain(|listener| self.accept(*listener));
            self.waited_at = waited_at;
            self.answer_due();
        }
    }

    /// Whether more may wait there.
    fn accept(&mut self, listener: usize) -> bool {
        let kind = self.listeners[listener].1;
        for _ in 0..ACCEPTED_AT_ONCE {
            let mut stream = match self.listeners[listener].0.accept() {
                Ok((stream, _)) => stream,
                // Without a descriptor, say: there will be one when others are closed.
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            let registry = self.poll.registry();
            let registered = registry.register(&mut stream, Token(slot), Interest::READABLE);
            let tls = match kind {
                Kind::Tls => ServerConnection::new(Arc::clone(&self.tls))
                    .ok()
                    .map(Box::new),
                _ => None,
            };
            if registered.is_err() {
                self.free.push(slot);
                continue;
            }
            self.serial += 1;
            self.conns[slot] = Some(Conn {
                stream,
                kind,
                serial: self.serial,
                tls,
            });
        }
        true
    }

    /// `is_last` says that the peer has closed: nobody tells of that again, although what
    /// it had sent before is read first.
    fn ready(&mut self, slot: usize, is_last: bool, buffer: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let over = match conn.stream.read(buffer) {
            Err(error) => error.kind() != ErrorKind::WouldBlock,
            Ok(0) => true,
            Ok(read) => match (conn.kind, &mut conn.tls) {
                (Kind::Http, _) => {
                    // A request of ours comes in one piece.
                    let _ = conn.stream.write(ANSWER);
                    true
                }
                (Kind::Sleeper, _) => match asked(&buffer[..read]) {
                    Some((sleeper, delay)) => {
                        let asked = Instant::now();
                        self.due.push(Reverse(Due {
                            at: asked + delay,
                            slot,
                            serial: conn.serial,
                            sleeper,
                            asked,
                        }));
                        false
                    }
                    None => true,
                },
                (Kind::Redis, _) => {
                    let _ = conn.stream.write(b"+PONG\r\n");
                    true
                }
                (Kind::Tls, Some(tls)) => !handshake(tls, &mut conn.stream, &buffer[..read]),
                _ => false,
            },
        };
        if over || is_last {
            self.close(slot);
        }
    }

    fn answer_due(&mut self) {
        while let Some(Reverse(due)) = self.due.peek().copied() {
            let now = Instant::now();
            if due.at > now {
                return;
            }
            self.due.pop();
            if let Some(conn) = self.conns.get_mut(due.slot).and_then(Option::as_mut)
                && conn.serial == due.serial
            {
                let _ = conn.stream.write(ANSWER);
                let slept = now.duration_since(due.asked);
                self.keep(due.sleeper, slept);
                self.close(due.slot);
            }
        }
    }

    fn keep(&self, sleeper: usize, slept: Duration) {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if sleepers.len() <= sleeper {
            sleepers.resize_with(sleeper + 1, Slept::default);
        }
        let kept = &mut sleepers[sleeper];
        kept.answers += 1;
        kept.last = slept.as_micros() as u64;
    }

    fn close(&mut self, slot: usize) {
        if self.conns[slot].take().is_some() {
            self.free.push(slot);
        }
    }
}

/// Whether the connection goes on.
fn handshake(tls: &mut ServerConnection, stream: &mut TcpStream, mut read: &[u8]) -> bool {
    while !read.is_empty() {
        if tls.read_tls(&mut read).is_err() || tls.process_new_packets().is_err() {
            return false;
        }
    }
    while tls.wants_write() {
        if tls.write_tls(stream).is_err() {
            return false;
        }
    }
    true
}
