//! Connections: how many there are, and how long one may keep the process
//! waiting.
//!
//! The prober lives on the same descriptors. Clients have a small share of
//! them, and whoever neither asks nor reads loses his place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::guard::Guard;

/// Longest wait for a request, from the first byte of a connection or the end
/// of the last response to the end of its headers. Longer than the interval at
/// which most Prometheus servers come back on the same connection.
const REQUEST: Duration = Duration::from_secs(90);
/// Longest time in which a client takes nothing of what was sent to it.
const UNREAD: Duration = Duration::from_secs(30);
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Shortest time for which somebody asked for nothing before his place is given to
/// somebody else: a request may be on its way.
const IDLE: Duration = Duration::from_secs(1);
/// Wait for a place before somebody is sent away, and then the next one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How a request in plain HTTP begins.
const HTTP: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];
/// The answer to it where TLS was expected.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Bytes taken of such a request after the answer.
const UNASKED: u64 = 64 * 1024;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 64;
/// Bytes of header fields of one such request.
const FIELDS: u32 = 64 * 1024;
/// Wait after the system had no descriptor for a connection.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Connections at once for a process that may have so many descriptors: a
/// sixteenth. The rest is the driver's.
pub fn connections(descriptors: u64) -> usize {
    usize::try_from((descriptors / 16).clamp(64, 2_048)).unwrap_or(64)
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Doors {
    /// What answers.
    pub router: Router,
    /// Connections at once. When all places are taken, who has asked for nothing
    /// the longest loses his; one more waits for it, further ones in the system's queue.
    pub places: Arc<Semaphore>,
    /// Who has a place and does not need it.
    pub lobby: Arc<Lobby>,
    /// Who speaks TLS, if anybody does.
    pub guard: Option<Arc<Guard>>,
}

/// Answers requests until `stopped`, and then those that have begun.
pub async fn serve(listener: TcpListener, doors: Doors, stopped: watch::Receiver<bool>) {
    serve_within(listener, doors, stopped, REQUEST).await;
}

async fn serve_within(
    listener: TcpListener,
    doors: Doors,
    mut stopped: watch::Receiver<bool>,
    request: Duration,
) {
    let mut open = JoinSet::new();
    let lobby = Arc::clone(&doors.lobby);
    loop {
        // Somebody is there before a place is looked for, so that nobody has to go
        // for nothing.
        let next = async {
            let accepted = listener.accept().await;
            let place = loop {
                let place = Arc::clone(&doors.places).acquire_owned();
                match tokio::time::timeout(LOOK_AGAIN, place).await {
                    Ok(place) => break place,
                    Err(_) => lobby.send_one_away(),
                }
            };
            (place, accepted)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = told(&mut stopped) => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (doors, stopped) = (doors.clone(), stopped.clone());
                let guest = Arc::new(Guest::enter(&lobby));
                open.spawn(async move {
                    tokio::select! {
                        () = answer(stream, doors, stopped, request, &guest) => {}
                        () = guest.is_useless() => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(err = %error, "Cannot accept a connection");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn answer(
    stream: TcpStream,
    doors: Doors,
    stopped: watch::Receiver<bool>,
    request: Duration,
    guest: &Arc<Guest>,
) {
    // What is refused here only makes answers slower, or goes on for longer.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
    let Some(guard) = doors.guard.filter(|guard| guard.is_secured()) else {
        return over_http1(stream, doors.router, stopped, request, guest).await;
    };
    let handshake = async {
        let stream = who_speaks_tls(stream).await?;
        // A file that is wrong serves nobody; the log says what is wrong.
        let config = guard.server().await?;
        TlsAcceptor::from(config).accept(stream).await.ok()
    };
    let Ok(Some(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        over_http2(stream, doors.router, stopped, request, guest).await;
    } else {
        over_http1(stream, doors.router, stopped, request, guest).await;
    }
}

/// Tells a client who speaks plain HTTP that he should not, in the words of
/// Go's server, by the same five bytes as there. Everybody else is the affair
/// of TLS, and his stream is returned untouched.
async fn who_speaks_tls(mut stream: TcpStream) -> Option<TcpStream> {
    let mut first = [0; 1];
    stream.peek(&mut first).await.ok()?;
    // No record of TLS is of a type that is a letter.
    if !first[0].is_ascii_alphabetic() {
        return Some(stream);
    }
    let mut start = [0; 5];
    stream.read_exact(&mut start).await.ok()?;
    if HTTP.contains(&&start) {
        stream.write_all(PLAIN).await.ok()?;
        stream.shutdown().await.ok()?;
        // What is left unread would reset the connection, and the answer with
        // it.
        let mut rest = stream.take(UNASKED);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
    None
}

async fn over_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    request: Duration,
    guest: &Arc<Guest>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(request)
        .serve_connection(TokioIo::new(stream), Arc::clone(guest).served_by(router));
    let mut connection = std::pin::pin!(connection);
    // An error is the client's: it has gone, or does not speak HTTP.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = guest.is_sent_away() => connection.as_mut().graceful_shutdown(),
        () = told(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn over_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    request: Duration,
    guest: &Arc<Guest>,
) {
    let mut busy = guest.under_way.subscribe();
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(FIELDS)
        .keep_alive_interval(UNREAD)
        .keep_alive_timeout(UNREAD)
        .serve_connection(TokioIo::new(stream), Arc::clone(guest).served_by(router));
    let mut connection = std::pin::pin!(connection);
    let idle = async {
        loop {
            let silence = async {
                // An error would mean that the connection is gone.
                let _ = busy.wait_for(|count| *count == 0).await;
                tokio::time::timeout(request, busy.changed()).await
            };
            if silence.await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return,
        () = idle => connection.as_mut().graceful_shutdown(),
        () = guest.is_sent_away() => connection.as_mut().graceful_shutdown(),
        () = told(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    // Whoever does not take what was sent loses it.
    let _ = tokio::time::timeout(UNREAD, connection).await;
}

/// Those who have a place and ask for nothing, by how long.
#[derive(Debug, Default)]
pub struct Lobby {
    /// Since when, and how each is told to go. Numbers grow with time.
    idle: Mutex<BTreeMap<u64, (Instant, watch::Sender<bool>)>>,
    next: AtomicU64,
}

impl Lobby {
    fn idle(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, watch::Sender<bool>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends away who has been idle longest: somebody else wants the place.
    fn send_one_away(&self) {
        let mut idle = self.idle();
        if let Some(first) = idle.first_entry()
            && first.get().0.elapsed() >= IDLE
        {
            first.remove().1.send_replace(true);
        }
    }
}

/// Somebody who has a place.
#[derive(Debug)]
struct Guest {
    lobby: Arc<Lobby>,
    /// Tells that the place is wanted.
    away: watch::Sender<bool>,
    /// The number in the lobby, while it is idle.
    number: Mutex<Option<u64>>,
    /// How many requests are being answered; a change of it is a sign of life.
    under_way: watch::Sender<usize>,
}

impl Guest {
    fn enter(lobby: &Arc<Lobby>) -> Self {
        let guest = Self {
            lobby: Arc::clone(lobby),
            away: watch::Sender::new(false),
            number: Mutex::new(None),
            under_way: watch::Sender::new(0),
        };
        guest.rest();
        guest
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It asks for nothing from now on.
    fn rest(&self) {
        let next = self.lobby.next.fetch_add(1, Ordering::Relaxed);
        *self.number() = Some(next);
        let now = Instant::now();
        self.lobby.idle().insert(next, (now, self.away.clone()));
    }

    /// It is not idle, or not there any more.
    fn rise(&self) {
        if let Some(number) = self.number().take() {
            self.lobby.idle().remove(&number);
        }
    }

    /// The router, with a note of how many requests it answers.
    fn served_by(
        self: Arc<Self>,
        router: Router,
    ) -> impl hyper::service::Service<
        hyper::Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send,
    > + use<> {
        let service = TowerToHyperService::new(router);
        service_fn(move |asked: hyper::Request<Incoming>| {
            let request = Request::begin(&self);
            let answer = service.call(asked);
            async move {
                let _request = request;
                answer.await
            }
        })
    }

    /// Ends when the place is wanted for somebody else.
    async fn is_sent_away(&self) {
        let _ = self.away.subscribe().wait_for(|away| *away).await;
    }

    /// Ends when the place is wanted and nothing was ever asked.
    async fn is_useless(&self) {
        let mut busy = self.under_way.subscribe();
        tokio::select! {
            biased;
            // An error would mean that it is gone.
            _ = busy.changed() => std::future::pending().await,
            () = self.is_sent_away() => {}
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.rise();
    }
}

/// A request that is being answered; over when it is dropped.
struct Request(Arc<Guest>);

impl Request {
    fn begin(guest: &Arc<Guest>) -> Self {
        // Within, so that no other request ends meanwhile.
        guest.under_way.send_modify(|count| {
            guest.rise();
            *count += 1;
        });
        Self(Arc::clone(guest))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| {
            *count -= 1;
            if *count == 0 {
                self.0.rest();
            }
        });
    }
}

/// Waits until the process is told to end, or the one who would tell is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const SOON: Duration = Duration::from_millis(200);
    const NEVER: Duration = Duration::from_secs(3_600);
    /// Only to fail rather than to hang.
    const LIMIT: Duration = Duration::from_secs(20);

    async fn start(places: usize, request: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new()
            .route("/", axum::routing::get(|| async { "here" }))
            .route("/never", axum::routing::get(std::future::pending::<()>));
        let doors = Doors {
            router,
            places: Arc::new(Semaphore::new(places)),
            lobby: Arc::default(),
            guard: None,
        };
        tokio::spawn(serve_within(listener, doors, stopped, request));
        (address, stop)
    }

    /// All that the peer sends until it ends the connection.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(LIMIT, stream.read_to_string(&mut text));
        read.await.expect("it ends").unwrap();
        text
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn who_does_not_ask_is_sent_away() {
        run(async {
            let (address, _stop) = start(10, SOON).await;
            // Silence, half of a request, and silence after a request.
            for (asked, answered) in [
                ("", ""),
                ("GET / HT", ""),
                ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "here"),
            ] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(asked.as_bytes()).await.unwrap();
                assert!(rest(&mut stream).await.contains(answered), "{asked:?}");
            }
        });
    }

    #[test]
    fn connections_beyond_the_bound_wait_for_a_place() {
        run(async {
            let (address, _stop) = start(1, NEVER).await;
            let mut first = TcpStream::connect(address).await.unwrap();
            let slow = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
            first.write_all(slow).await.unwrap();
            // So that it is asked for before the next one comes.
            tokio::time::sleep(SOON).await;
            // Served once the first one's place is free, whenever it was accepted.
            let mut second = TcpStream::connect(address).await.unwrap();
            let asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            second.write_all(asked).await.unwrap();
            let mut byte = [0];
            let early = tokio::time::timeout(SOON, second.read(&mut byte)).await;
            assert!(early.is_err(), "answered without a place");
            drop(first);
            assert!(rest(&mut second).await.contains("here"));
        });
    }

    #[test]
    fn who_asks_for_nothing_gives_his_place_to_who_does() {
        run(async {
            let (address, _stop) = start(2, NEVER).await;
            let asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            // One says nothing, one has had his answer; both are there for long enough
            // when all places have been taken for a while.
            let mut silent = TcpStream::connect(address).await.unwrap();
            let mut idle = TcpStream::connect(address).await.unwrap();
            idle.write_all(asked).await.unwrap();
            let mut byte = [0];
            idle.read_exact(&mut byte).await.unwrap();
            for _ in 0..2 {
                let mut other = TcpStream::connect(address).await.unwrap();
                other.write_all(asked).await.unwrap();
                let answer = tokio::time::timeout(LIMIT, other.read_exact(&mut byte));
                answer.await.expect("there is a place").unwrap();
                // Stays, and asks for nothing more.
                std::mem::forget(other);
            }
            assert_eq!(rest(&mut silent).await, "");
            assert!(rest(&mut idle).await.ends_with("here"));
        });
    }

    #[test]
    fn who_has_just_come_may_ask_though_others_wait() {
        run(async {
            let (address, _stop) = start(1, NEVER).await;
            let asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let mut first = TcpStream::connect(address).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            second.write_all(asked).await.unwrap();
            // Longer than until somebody is looked for who may go.
            tokio::time::sleep(2 * LOOK_AGAIN).await;
            first.write_all(asked).await.unwrap();
            assert!(rest(&mut first).await.contains("here"));
            assert!(rest(&mut second).await.contains("here"));
        });
    }

    #[test]
    fn the_end_closes_connections_that_wait() {
        run(async {
            let (address, stop) = start(10, NEVER).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            stop.send(true).unwrap();
            assert!(rest(&mut stream).await.ends_with("here"));
        });
    }

    #[test]
    fn clients_have_a_small_share_of_the_descriptors() {
        for (descriptors, places) in [(256, 64), (20_000, 1_250), (u64::MAX, 2_048)] {
            assert_eq!(connections(descriptors), places);
        }
    }
}
