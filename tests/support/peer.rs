//! Peers that do what a script says, on a thread for each connection.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How long a peer may be stuck in one call on a socket. Longer than any
/// timeout of a probe, so that it never ends a silence too early.
const STUCK: Duration = Duration::from_secs(120);

/// A listening peer. It takes no more connections once it is dropped, and the
/// open ones end at their next step.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    connections: AtomicUsize,
}

/// One connection, in the hands of a script.
pub struct Conn {
    /// The connection.
    pub stream: TcpStream,
    /// How many there were before it.
    pub index: usize,
    shared: Arc<Shared>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// A peer on 127.0.0.1.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn new(script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), script)
    }

    /// A peer at a given address.
    ///
    /// # Panics
    /// If it cannot listen there.
    pub fn at(address: SocketAddr, script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(address).expect("a free port"), script)
    }

    /// A peer that takes connections from a listener.
    ///
    /// # Panics
    /// If that has no address.
    pub fn on(listener: TcpListener, script: impl Fn(Conn) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (script, ours) = (Arc::new(script), Arc::clone(&shared));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that has gone already is none of ours.
                let Ok(stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(STUCK));
                let _ = stream.set_write_timeout(Some(STUCK));
                let _ = stream.set_nodelay(true);
                let conn = Conn {
                    stream,
                    index: ours.connections.fetch_add(1, Ordering::AcqRel),
                    shared: Arc::clone(&ours),
                };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(conn));
            }
        });
        Self { address, shared }
    }

    /// A peer that reads a request and answers it with these bytes.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |mut conn| {
            conn.request();
            conn.send(&answer);
            conn.drain();
        })
    }

    /// A peer that answers every request with this status, after a while.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn status(status: u16, after: Duration) -> Self {
        Self::new(move |mut conn| {
            conn.request();
            std::thread::sleep(after);
            conn.answer(status);
        })
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Conn {
    /// Reads the head of a request, or what there is of it when the client
    /// goes.
    pub fn request(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") && self.stream.read(&mut byte).is_ok_and(|n| n == 1) {
            head.push(byte[0]);
        }
        head
    }

    /// Sends; whether the client still takes it and the peer still lives.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.lives() && self.stream.write_all(bytes).is_ok()
    }

    /// Sends bytes again and again, with a pause between, until nobody takes
    /// them. Bounded, but only beyond what any probe would read.
    pub fn send_without_end(&mut self, bytes: &[u8], pause: Duration) {
        for _ in 0..10_000_000 {
            if !self.send(bytes) {
                return;
            }
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
    }

    /// Answers with a status and a short body.
    pub fn answer(&mut self, status: u16) {
        let text = format!(
            "HTTP/1.1 {status} Scripted\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        );
        self.send(text.as_bytes());
        self.drain();
    }

    /// Says no more and waits until the client closes, so that no reset takes
    /// back what was sent.
    pub fn drain(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self.wait_for_close();
    }

    /// Says nothing and waits until the client closes.
    pub fn wait_for_close(&mut self) {
        let mut bytes = [0; 4096];
        while self.lives() && self.stream.read(&mut bytes).is_ok_and(|n| n > 0) {}
    }

    fn lives(&self) -> bool {
        !self.shared.stopped.load(Ordering::Acquire)
    }
}
