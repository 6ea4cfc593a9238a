//! Servers that follow a script and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use probity_simulator::h2;
use probity_tests::support::Peer;
use probity_tests::support::peer::Conn;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::certificates::Certificates;
use super::relay;

type Versions = &'static [&'static rustls::SupportedProtocolVersion];

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static TLS12: Versions = &[&rustls::version::TLS12];
static TLS13: Versions = &[&rustls::version::TLS13];

/// Addresses and paths by the names that stand for them.
pub(crate) type Places = BTreeMap<String, String>;

/// Fills in `@name@`.
pub(crate) fn fill(text: &str, places: &Places) -> String {
    String::from_utf8(fill_bytes(text.as_bytes(), places)).expect("text stays text")
}

fn fill_bytes(bytes: &[u8], places: &Places) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == b'@') {
        filled.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.iter().position(|&byte| byte == b'@');
        let name = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        match name.and_then(|name| Some((name.len(), places.get(name)?))) {
            Some((length, place)) => {
                filled.extend_from_slice(place.as_bytes());
                rest = &rest[length + 1..];
            }
            None => filled.push(b'@'),
        }
    }
    filled.extend_from_slice(rest);
    filled
}

/// What a server is.
pub(crate) struct Server {
    /// `@name@` is its address.
    pub(crate) name: &'static str,
    at: IpAddr,
    tls: Option<Tls>,
    script: Script,
    is_narrow: bool,
    is_beside: bool,
    pause: Duration,
}

/// What a server does with a connection.
enum Script {
    /// Reads a request and answers by its target; `*` is any.
    Pages(Vec<(&'static str, Vec<u8>)>),
    /// Does these steps: the n-th connection of a program the n-th, and those after
    /// them the last.
    Steps(Vec<Vec<Step>>),
    /// Is an HTTP proxy that reaches whatever it is asked for on loopback.
    HttpProxy,
    /// Is a SOCKS 5 proxy; with these credentials, if any.
    Socks(Option<(&'static str, &'static str)>),
}

/// One step of a dialogue.
#[derive(Clone)]
pub(crate) enum Step {
    /// Reads up to and with a line feed.
    Line,
    /// Reads so many bytes.
    Read(usize),
    /// Reads the head of a request and its body.
    Request,
    /// Reads how HTTP/2 begins. From now on what is read are frames, and only their
    /// DATA is kept.
    Preface,
    /// Reads frames up to and with one of this type.
    Frame(u8),
    /// Reads frames up to the end of a stream.
    Stream,
    /// Sends.
    Send(Vec<u8>),
    /// Sends the same so many times, with a pause after each.
    Trickle(Vec<u8>, usize, Duration),
    /// Does nothing.
    Pause(Duration),
    /// Becomes TLS.
    StartTls(Tls),
    /// Says nothing until the client goes.
    Silence,
    /// Closes at once, whatever the client still sends.
    Hangup,
}

/// How a server speaks TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    identity: &'static str,
    versions: Versions,
    client_root: Option<&'static str>,
    suite: Option<rustls::CipherSuite>,
    alpn: &'static [&'static str],
}

impl Tls {
    /// TLS 1.2 and 1.3 with the certificate of this name.
    pub(crate) fn with(identity: &'static str) -> Self {
        Self {
            identity,
            versions: rustls::ALL_VERSIONS,
            client_root: None,
            suite: None,
            alpn: &["http/1.1"],
        }
    }

    pub(crate) fn only_tls12(mut self) -> Self {
        self.versions = TLS12;
        self
    }

    pub(crate) fn only_tls13(mut self) -> Self {
        self.versions = TLS13;
        self
    }

    /// Speaks HTTP/2 and nothing else.
    pub(crate) fn only_h2(mut self) -> Self {
        self.alpn = &["h2"];
        self
    }

    /// Insists on a certificate of the client that this root has signed.
    pub(crate) fn clients_of(mut self, root: &'static str) -> Self {
        self.client_root = Some(root);
        self
    }

    /// Knows one cipher suite.
    pub(crate) fn suite(mut self, suite: rustls::CipherSuite) -> Self {
        self.suite = Some(suite);
        self
    }

    fn config(&self, certificates: &Certificates) -> ServerConfig {
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(suite) = self.suite {
            provider.cipher_suites.retain(|one| one.suite() == suite);
        }
        let provider = Arc::new(provider);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .expect("versions that are supported");
        let builder = match self.client_root {
            None => builder.with_no_client_auth(),
            Some(root) => {
                let mut roots = RootCertStore::empty();
                let root = certificates.chain(root)[0].clone();
                roots.add(root).expect("a root");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .expect("a verifier");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = any_supported_type(&certificates.key(self.identity)).expect("a key");
        let pair = CertifiedKey::new(certificates.chain(self.identity), key);
        // As it is: a check would refuse what only clients are to judge.
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }
}

/// What one connection has brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What was read, decrypted.
    pub(crate) bytes: Vec<u8>,
    /// What the client said about itself in each handshake.
    pub(crate) hello: Option<Hello>,
    /// Whether this is a request of HTTP.
    pub(crate) is_http: bool,
}

/// What a client says about itself before a handshake.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Vec<String>,
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    peer: Peer,
}

#[derive(Default)]
struct Shared {
    places: OnceLock<Places>,
    /// Which program is being served; what comes late belongs to the earlier.
    epoch: AtomicUsize,
    /// Connections whose script has ended.
    ended: AtomicUsize,
    /// Where our own connections come from, which only follow the others.
    markers: Mutex<BTreeSet<SocketAddr>>,
    seen: Mutex<BTreeMap<(usize, usize), Seen>>,
}

/// What a script that failed has left is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn new(name: &'static str, script: Script) -> Self {
        Self {
            name,
            at: Ipv4Addr::LOCALHOST.into(),
            tls: None,
            script,
            is_narrow: false,
            is_beside: false,
            pause: Duration::ZERO,
        }
    }

    /// Answers requests by their target; `*` is any.
    pub(crate) fn pages(pages: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self::new("server", Script::Pages(pages))
    }

    /// Answers every request in the same way.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::pages(vec![("*", answer.into())])
    }

    /// Does these steps.
    pub(crate) fn steps(steps: Vec<Step>) -> Self {
        Self::turns(vec![steps])
    }

    /// Does these steps, the n-th connection of a program the n-th.
    pub(crate) fn turns(turns: Vec<Vec<Step>>) -> Self {
        Self::new("server", Script::Steps(turns))
    }

    pub(crate) fn http_proxy() -> Self {
        Self::new("proxy", Script::HttpProxy)
    }

    pub(crate) fn socks(credentials: Option<(&'static str, &'static str)>) -> Self {
        Self::new("proxy", Script::Socks(credentials))
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) fn on_ipv6(mut self) -> Self {
        self.at = Ipv6Addr::LOCALHOST.into();
        self
    }

    /// Has the port of the case's first server, at another address: of the names
    /// that lead to both only the address says which is meant.
    pub(crate) fn beside_at(mut self, at: impl Into<IpAddr>) -> Self {
        self.at = at.into();
        self.is_beside = true;
        self
    }

    /// Is behind a network of small segments, towards which the client's kernel
    /// takes some tens of KiB that are not read, and not megabytes.
    pub(crate) fn narrow(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    /// As a proxy, takes that long to answer.
    pub(crate) fn slow(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    pub(crate) fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Has all servers of a case listen.
    pub(crate) fn start_all(servers: &[Self], certificates: &Arc<Certificates>) -> Vec<Running> {
        // That a port is free at one address does not say that it is at another.
        for _ in 0..20 {
            let mut running: Vec<Running> = Vec::new();
            for server in servers {
                let first = running.first().map(|first| first.address.port());
                let port = first.filter(|_| server.is_beside).unwrap_or(0);
                match TcpListener::bind(SocketAddr::new(server.at, port)) {
                    Ok(listener) => running.push(server.start(listener, certificates)),
                    Err(error) => assert!(server.is_beside, "no free port: {error}"),
                }
            }
            if running.len() == servers.len() {
                return running;
            }
        }
        panic!("no port is free at all addresses of a case");
    }

    /// Takes connections.
    fn start(&self, listener: TcpListener, certificates: &Arc<Certificates>) -> Running {
        let shared = Arc::new(Shared::default());
        let (ours, certificates) = (Arc::clone(&shared), Arc::clone(certificates));
        let tls = self.tls.as_ref();
        let tls = tls.map(|tls| Arc::new(tls.config(&certificates)));
        let script = match &self.script {
            Script::Pages(pages) => Script::Pages(pages.clone()),
            Script::Steps(turns) => Script::Steps(turns.clone()),
            Script::HttpProxy => Script::HttpProxy,
            Script::Socks(credentials) => Script::Socks(*credentials),
        };
        let pause = self.pause;
        if self.is_narrow {
            let socket = socket2::SockRef::from(&listener);
            socket.set_tcp_mss(536).expect("an option");
            socket.set_recv_buffer_size(4_096).expect("an option");
        }
        let peer = Peer::on(listener, move |conn| {
            let from = conn.stream.peer_addr().ok();
            if !from.is_some_and(|from| lock(&ours.markers).remove(&from)) {
                let mut line = Line {
                    key: (ours.epoch.load(Ordering::Acquire), conn.index),
                    stream: Stream::Plain(conn),
                    shared: Arc::clone(&ours),
                    certificates: Arc::clone(&certificates),
                    is_framed: false,
                    pause,
                };
                line.note(|_| ());
                // A client that goes in the middle ends the script.
                let _ = line.run(&script, tls.as_ref());
            }
            ours.ended.fetch_add(1, Ordering::AcqRel);
        });
        Running {
            name: self.name,
            address: peer.address,
            shared,
            peer,
        }
    }
}

impl Running {
    /// From now on `@name@` can be filled in.
    pub(crate) fn know(&self, places: &Places) {
        let _ = self.shared.places.set(places.clone());
    }

    /// What has come since the last time, once all connections have ended.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let begun = Instant::now();
        let markers = || lock(&self.shared.markers);
        // Connections are taken in their order: once this one is, all are, also
        // those that were closed at once. Its script waits until it is known.
        let marker = {
            let mut markers = markers();
            let marker = TcpStream::connect(self.address).expect("it listens");
            let from = marker.local_addr().expect("an address");
            markers.insert(from);
            from
        };
        let is_waiting = || {
            let ended = self.shared.ended.load(Ordering::Acquire);
            markers().contains(&marker) || ended < self.peer.connections()
        };
        while is_waiting() && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let epoch = self.shared.epoch.fetch_add(1, Ordering::AcqRel);
        let seen = std::mem::take(&mut *lock(&self.shared.seen)).into_iter();
        seen.filter(|((of, _), _)| *of == epoch)
            .map(|(_, seen)| seen)
            .collect()
    }
}

/// A connection's bytes, in the clear.
enum Stream {
    Plain(Conn),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    /// While it changes from one to the other.
    Neither,
}

/// A connection in the hands of its script.
struct Line {
    stream: Stream,
    key: (usize, usize),
    shared: Arc<Shared>,
    certificates: Arc<Certificates>,
    /// Whether what is read are frames of HTTP/2.
    is_framed: bool,
    /// See [`Server::slow`].
    pause: Duration,
}

impl Line {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(lock(&self.shared.seen).entry(self.key).or_default());
    }

    fn run(&mut self, script: &Script, tls: Option<&Arc<ServerConfig>>) -> io::Result<()> {
        if let Some(config) = tls {
            self.secure(config)?;
        }
        let places = self.shared.places.get().cloned().unwrap_or_default();
        match script {
            Script::Pages(pages) => {
                let target = self.request()?;
                let page = pages
                    .iter()
                    .find(|(path, _)| *path == target)
                    .or_else(|| pages.iter().find(|(path, _)| *path == "*"));
                let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
                let page = page.map_or(missing, |(_, page)| fill_bytes(page, &places));
                self.send(&page)?;
            }
            Script::Steps(turns) => {
                let turn = self.turn().min(turns.len() - 1);
                for step in &turns[turn] {
                    if matches!(step, Step::Hangup) {
                        return Ok(());
                    }
                    self.step(step, &places)?;
                }
            }
            Script::HttpProxy => {
                self.request()?;
                std::thread::sleep(self.pause);
                let head = self.head_so_far();
                return relay::http(&head, self);
            }
            Script::Socks(credentials) => {
                std::thread::sleep(self.pause);
                return relay::socks(self, *credentials);
            }
        }
        self.end();
        Ok(())
    }

    /// How many connections of the same program came before.
    fn turn(&self) -> usize {
        let (epoch, index) = self.key;
        let seen = lock(&self.shared.seen);
        seen.range((epoch, 0)..(epoch, index)).count()
    }

    fn head_so_far(&self) -> Vec<u8> {
        let mut head = Vec::new();
        self.note(|seen| head = seen.bytes.clone());
        head
    }

    fn step(&mut self, step: &Step, places: &Places) -> io::Result<()> {
        match step {
            Step::Line => while self.byte()? != b'\n' {},
            Step::Read(count) => {
                for _ in 0..*count {
                    self.byte()?;
                }
            }
            Step::Request => {
                self.request()?;
            }
            Step::Preface => {
                self.is_framed = true;
                self.take(PREFACE.len())?;
            }
            Step::Frame(kind) => while self.frame()?.0 != *kind {},
            Step::Stream => loop {
                let (kind, flags) = self.frame()?;
                if matches!(kind, h2::DATA | h2::HEADERS) && flags & h2::END_STREAM != 0 {
                    break;
                }
            },
            Step::Send(bytes) => self.send(&fill_bytes(bytes, places))?,
            Step::Trickle(bytes, count, pause) => {
                for _ in 0..*count {
                    self.send(bytes)?;
                    std::thread::sleep(*pause);
                }
            }
            Step::Pause(time) => std::thread::sleep(*time),
            Step::StartTls(tls) => {
                let config = Arc::new(tls.config(&self.certificates));
                self.secure(&config)?;
            }
            Step::Silence => self.wait_for_close(),
            Step::Hangup => {}
        }
        Ok(())
    }

    /// Reads one request and its body; its target.
    fn request(&mut self) -> io::Result<String> {
        self.note(|seen| seen.is_http = true);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let field = |name: &str| {
            let mut lines = head.lines();
            let line = lines.find(|line| {
                line.split_once(':')
                    .is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
            })?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        if let Some(length) = field("content-length").and_then(|text| text.parse().ok()) {
            for _ in 0..length {
                self.byte()?;
            }
        } else if field("transfer-encoding").is_some() {
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n0\r\n\r\n") && body != b"0\r\n\r\n" {
                body.push(self.byte()?);
            }
        }
        Ok(head
            .split(' ')
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_default())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        if !self.is_framed {
            self.note(|seen| seen.bytes.push(byte[0]));
        }
        Ok(byte[0])
    }

    /// Reads so many bytes and keeps nothing.
    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a frame; its type and flags.
    fn frame(&mut self) -> io::Result<(u8, u8)> {
        let mut header = [0; 9];
        self.read_exact(&mut header)?;
        let [a, b, c, kind, flags, ..] = header;
        let payload = self.take(u32::from_be_bytes([0, a, b, c]) as usize)?;
        if kind == h2::DATA {
            self.note(|seen| seen.bytes.extend(payload));
        }
        Ok((kind, flags))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let Stream::Plain(conn) = std::mem::replace(&mut self.stream, Stream::Neither) else {
            return Err(io::Error::other("it is secured already"));
        };
        let mut stream = conn.stream;
        let mut acceptor = Acceptor::default();
        let accepted = loop {
            if acceptor.read_tls(&mut stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let _ = alert.write(&mut stream);
                    return Err(io::Error::other(error));
                }
            }
        };
        let hello = accepted.client_hello();
        let hello = Hello {
            server_name: hello.server_name().map(str::to_owned),
            alpn: hello
                .alpn()
                .into_iter()
                .flatten()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect(),
        };
        self.note(|seen| seen.hello = Some(hello));
        let mut connection = match accepted.into_connection(Arc::clone(config)) {
            Ok(connection) => connection,
            Err((error, mut alert)) => {
                let _ = alert.write(&mut stream);
                return Err(io::Error::other(error));
            }
        };
        // To the end, so that a script without a step has done so much.
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                let _ = connection.write_tls(&mut stream);
                return Err(error);
            }
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// Says that there is no more, and waits until the client has gone.
    fn end(&mut self) {
        match &mut self.stream {
            Stream::Plain(conn) => {
                let _ = conn.stream.shutdown(std::net::Shutdown::Write);
            }
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                let _ = stream.sock.shutdown(std::net::Shutdown::Write);
            }
            Stream::Neither => {}
        }
        self.wait_for_close();
    }

    fn wait_for_close(&mut self) {
        while self.byte().is_ok() {}
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(conn) => conn.stream.read(into),
            Stream::Tls(stream) => stream.read(into),
            Stream::Neither => Ok(0),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(conn) => conn.stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
            Stream::Neither => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(conn) => conn.stream.flush(),
            Stream::Tls(stream) => stream.flush(),
            Stream::Neither => Ok(()),
        }
    }
}

impl relay::Client for Line {
    fn plain(&self) -> io::Result<TcpStream> {
        match &self.stream {
            Stream::Plain(conn) => conn.stream.try_clone(),
            Stream::Tls(_) | Stream::Neither => Err(io::Error::other("a proxy without TLS")),
        }
    }

    fn record(&self, bytes: &[u8]) {
        self.note(|seen| seen.bytes.extend_from_slice(bytes));
    }
}
