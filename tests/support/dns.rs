//! A DNS server on loopback that answers as its script says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

/// What is said about a name.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Its IPv4 address, to be remembered for a minute.
    Address(Ipv4Addr),
    /// The same, over TCP only: over UDP the answer is cut off.
    Truncated(Ipv4Addr),
    /// It does not exist.
    NotFound,
    /// SERVFAIL.
    Failure,
    /// Nothing.
    Silence,
}

/// A running server.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

/// The last two bytes of the next server's address: `resolv.conf` has no
/// ports, so each has a loopback address of its own.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// Header and first question of a message, or of what looks like one.
const HEADER: usize = 12;

impl Dns {
    /// A server that says of each name what `script` does, at port 53 of a
    /// loopback address that is nobody else's. `None` if this process may not
    /// listen there.
    pub fn start(script: impl Fn(&str) -> Answer + Send + Sync + Clone + 'static) -> Option<Self> {
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Processes of one machine differ in the second byte.
        let process = 64 + (std::process::id() % 128) as u8;
        let address = SocketAddr::from(([127, process, high, low], 53));
        let udp = UdpSocket::bind(address).ok()?;
        let tcp = TcpListener::bind(address).ok()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (over_udp, ended) = (script.clone(), Arc::clone(&stopped));
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                if let Some(reply) = reply(&buffer[..length], true, &over_udp) {
                    // Who asked may have gone.
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
        let ended = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut query).is_err() {
                    continue;
                }
                if let Some(reply) = reply(&query, false, &script) {
                    let mut message = (reply.len() as u16).to_be_bytes().to_vec();
                    message.extend(reply);
                    let _ = stream.write_all(&message);
                }
            }
        });
        Some(Self { address, stopped })
    }

    /// The line of a resolv.conf that names it.
    pub fn line(&self) -> String {
        format!("nameserver {}\n", self.address.ip())
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes both threads, so that they see it.
        let _ = std::net::TcpStream::connect(self.address);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
    }
}

/// The answer to a query of one question; `None` is silence.
fn reply(query: &[u8], datagram: bool, script: impl Fn(&str) -> Answer) -> Option<Vec<u8>> {
    let (name, end) = question(query)?;
    let is_a = query.get(end - 4..end - 2)? == [0, 1];
    let (code, truncated, address) = match script(&name) {
        Answer::Silence => return None,
        Answer::NotFound => (3, false, None),
        Answer::Failure => (2, false, None),
        Answer::Truncated(_) if datagram => (0, true, None),
        Answer::Address(address) | Answer::Truncated(address) => (0, false, Some(address)),
    };
    let address = address.filter(|_| is_a);
    let mut reply = query[..2].to_vec();
    // A response, recursion wanted and available (RFC 1035 section 4.1.1).
    reply.push(0x81 | if truncated { 2 } else { 0 });
    reply.push(0x80 | code);
    reply.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    reply.extend(&query[HEADER..end]);
    if let Some(address) = address {
        // The name of the question, A, IN, a minute, four bytes.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// The name in a question, in lower case, and where the question ends.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let end = at + 4;
    query.get(..end)?;
    Some((labels.join("."), end))
}
