//! Connections: how many there are, and how long one may keep the process
//! waiting.
//!
//! The prober lives on the same descriptors. Clients have a small share of
//! them, and whoever neither asks nor reads loses his place.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::guard::Guard;
use super::lobby::{Guest, Places, Side};

/// Longest wait for a request, from the first byte of a connection or the end
/// of the last response to the end of its headers. Longer than the interval at
/// which most Prometheus servers come back on the same connection.
const REQUEST: Duration = Duration::from_secs(90);
/// Longest time in which a client takes nothing of what was sent to it.
const UNREAD: Duration = Duration::from_secs(30);
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The same for who stands on the doorstep.
const BRIEF: Duration = Duration::from_secs(5);
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

/// Connections at once for a process that may have so many descriptors, unless its
/// user says otherwise: a quarter. Each may wait for a probe that has another
/// descriptor, and Prometheus keeps those that it does not need just now. The rest is
/// the driver's.
pub fn connections(descriptors: u64) -> usize {
    usize::try_from((descriptors / 4).clamp(64, 8_192)).unwrap_or(64)
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Doors {
    /// What answers.
    pub router: Router,
    /// What answers on the doorstep, where nobody may stay.
    pub doorstep: Router,
    /// Places for clients.
    pub places: Arc<Places>,
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
    loop {
        // Somebody is there before a place is looked for, so that nobody has to go
        // for nothing.
        let next = async {
            let accepted = listener.accept().await;
            (doors.places.find().await, accepted)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = told(&mut stopped) => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (mut doors, stopped) = (doors.clone(), stopped.clone());
                let request = match place.side {
                    Side::Inside => request,
                    Side::Doorstep => {
                        doors.router = doors.doorstep.clone();
                        BRIEF
                    }
                };
                let guest = Arc::new(Guest::enter(&place));
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
    let client = stream.peer_addr().ok();
    let refused = |why: &dyn std::fmt::Display| {
        let client = client.map(tracing::field::display);
        tracing::info!(client, err = %why, "TLS handshake error");
    };
    let handshake = async {
        let stream = who_speaks_tls(stream).await?;
        // A file that is wrong serves nobody; the log says what is wrong.
        let config = guard.server().await?;
        let accepted = TlsAcceptor::from(config).accept(stream).await;
        accepted.inspect_err(|error| refused(error)).ok()
    };
    let stream = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Some(stream)) => stream,
        Ok(None) => return,
        Err(_) => return refused(&format_args!("none within {HANDSHAKE:?}")),
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
            .route("/slow", axum::routing::get(slow))
            .route("/never", axum::routing::get(std::future::pending::<()>));
        let doors = Doors {
            doorstep: Router::new().fallback(|| async { "crowded" }),
            router,
            places: Arc::new(Places::new(places)),
            guard: None,
        };
        tokio::spawn(serve_within(listener, doors, stopped, request));
        (address, stop)
    }

    async fn slow() -> &'static str {
        tokio::time::sleep(3 * SOON).await;
        "slow"
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
    fn who_comes_when_all_places_are_needed_waits_a_little_and_is_told() {
        run(async {
            let (address, _stop) = start(1, NEVER).await;
            let mut first = TcpStream::connect(address).await.unwrap();
            let slow = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
            first.write_all(slow).await.unwrap();
            // So that it is asked for before the next one comes.
            tokio::time::sleep(SOON).await;
            let asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let come = async || {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(asked).await.unwrap();
                stream
            };
            let mut second = come().await;
            let mut byte = [0];
            let early = tokio::time::timeout(SOON, second.read(&mut byte)).await;
            assert!(early.is_err(), "answered without a place");
            // It is told before it has a place, and so is everybody after it.
            for mut stream in [second, come().await, come().await] {
                assert!(rest(&mut stream).await.contains("crowded"));
            }
            drop(first);
            tokio::time::sleep(SOON).await;
            assert!(rest(&mut come().await).await.contains("here"));
        });
    }

    /// A place is free again and again, but more come than are served.
    #[test]
    fn a_crowd_that_grows_is_told() {
        run(async {
            let (address, _stop) = start(1, NEVER).await;
            let mut clients = JoinSet::new();
            for _ in 0..20 {
                clients.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let asked = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                    stream.write_all(asked).await.unwrap();
                    rest(&mut stream).await
                });
                tokio::time::sleep(SOON).await;
            }
            let answers = clients.join_all().await;
            let told = |word| answers.iter().filter(|it| it.ends_with(word)).count();
            let (served, crowded) = (told("slow"), told("crowded"));
            assert!(served > 1 && crowded > 1, "{served} {crowded}");
            assert_eq!(served + crowded, 20);
        });
    }

    #[test]
    fn who_asks_for_nothing_gives_his_place_to_who_does() {
        run(async {
            let (address, _stop) = start(2, NEVER).await;
            let asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            // One says nothing, one has had his answer.
            let mut silent = TcpStream::connect(address).await.unwrap();
            let mut idle = TcpStream::connect(address).await.unwrap();
            idle.write_all(asked).await.unwrap();
            let mut byte = [0];
            idle.read_exact(&mut byte).await.unwrap();
            // For as long as who has just come may take to ask.
            tokio::time::sleep(6 * SOON).await;
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
            tokio::time::sleep(SOON).await;
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
    fn clients_have_a_quarter_of_the_descriptors() {
        for (descriptors, places) in [(200, 64), (1_024, 256), (20_000, 5_000), (u64::MAX, 8_192)] {
            assert_eq!(connections(descriptors), places);
        }
    }
}
