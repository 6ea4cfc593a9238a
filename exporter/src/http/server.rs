//! Connections: how many there are, and how long one may keep the process
//! waiting.
//!
//! The prober lives on the same descriptors. Clients have a small share of
//! them, and whoever neither asks nor reads loses his place.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Longest wait for a request, from the first byte of a connection or the end
/// of the last response to the end of its headers. Longer than the interval at
/// which most Prometheus servers come back on the same connection.
const REQUEST: Duration = Duration::from_secs(90);
/// Longest time in which a client takes nothing of what was sent to it.
const UNREAD: Duration = Duration::from_secs(30);
/// Wait after the system had no descriptor for a connection.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Connections at once for a process that may have so many descriptors: a
/// sixteenth, which is twice what the driver takes of single probes.
pub fn connections(descriptors: u64) -> usize {
    usize::try_from((descriptors / 16).clamp(64, 2_048)).unwrap_or(64)
}

/// Answers requests until `stopped`, and then those that have begun. While all
/// `places` are taken, further connections wait in the system's queue.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
) {
    serve_within(listener, router, places, stopped, REQUEST).await;
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    places: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
    request: Duration,
) {
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = told(&mut stopped) => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                open.spawn(async move {
                    answer(stream, router, stopped, request).await;
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
    router: Router,
    mut stopped: watch::Receiver<bool>,
    request: Duration,
) {
    // What is refused here only makes answers slower, or goes on for longer.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(request)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // An error is the client's: it has gone, or does not speak HTTP.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = told(&mut stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Waits until the process is told to end, or the one who would tell is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SOON: Duration = Duration::from_millis(200);
    const NEVER: Duration = Duration::from_secs(3_600);
    /// Only to fail rather than to hang.
    const LIMIT: Duration = Duration::from_secs(20);

    async fn start(places: usize, request: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let places = Arc::new(Semaphore::new(places));
        tokio::spawn(serve_within(listener, router, places, stopped, request));
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
            let first = TcpStream::connect(address).await.unwrap();
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
