//! HTTP clients for what is measured from outside: a crowd of connections that are
//! kept and never idle, and one for a single answer of any size.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Longest time without any answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer that is complete.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// The body, in the pieces in which it came.
    pieces: Vec<&'a [u8]>,
}

impl<'a> Answer<'a> {
    /// What was received so far, if that is an answer; `None` if it is only the
    /// beginning of one.
    fn read(received: &'a [u8]) -> Result<Option<Self>, String> {
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, body) = (&received[..end], &received[end + 4..]);
        let head = std::str::from_utf8(head).map_err(|_| "a head that is no text")?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3));
        let status = status.and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| format!("expected HTTP/1.1, found {head:?}"))?;
        let field = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields
                .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value.trim()))
        };
        let pieces = if field("transfer-encoding") == Some("chunked") {
            chunks(body)?
        } else {
            let length = field("content-length").and_then(|it| it.parse::<usize>().ok());
            let length = length.ok_or_else(|| format!("an answer of no known length: {head:?}"))?;
            body.get(..length).map(|body| vec![body])
        };
        Ok(pieces.map(|pieces| Self { status, pieces }))
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Its length, without framing.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// This answer, if it says that all is well.
    fn ok(self) -> Result<Self, String> {
        if self.status == 200 {
            return Ok(self);
        }
        let (status, body) = (self.status, self.body());
        let body = String::from_utf8_lossy(&body);
        Err(format!(
            "expected status 200, found {status}: {}",
            body.trim()
        ))
    }
}

/// The data of chunks, up to the empty one that ends them.
fn chunks(mut bytes: &[u8]) -> Result<Option<Vec<&[u8]>>, String> {
    let mut pieces = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let length = std::str::from_utf8(&bytes[..line]).ok();
        let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
        let length = length.ok_or("a chunk without a length")?;
        let Some(piece) = bytes.get(line + 2..line + 2 + length) else {
            return Ok(None);
        };
        let Some(rest) = bytes.get(line + 4 + length..) else {
            return Ok(None);
        };
        if length == 0 {
            return Ok(Some(pieces));
        }
        pieces.push(piece);
        bytes = rest;
    }
}

/// One request on a connection of its own. What comes is read into `buffer`, which
/// may be used again.
pub(crate) fn get<'a>(
    server: SocketAddr,
    path: &str,
    headers: &str,
    buffer: &'a mut Vec<u8>,
) -> Result<Answer<'a>, String> {
    request(server, "GET", path, headers, buffer)
}

/// The same with any method that needs no body.
pub(crate) fn request<'a>(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    buffer: &'a mut Vec<u8>,
) -> Result<Answer<'a>, String> {
    let why = |error: String| format!("{method} http://{server}{path}: {error}");
    let mut exchange = || -> io::Result<()> {
        let mut stream = std::net::TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {server}\r\n{headers}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        buffer.clear();
        stream.read_to_end(buffer).map(|_| ())
    };
    exchange().map_err(|error| why(error.to_string()))?;
    let answer = Answer::read(buffer).map_err(why)?;
    let answer = answer.ok_or_else(|| why("the answer was broken off".into()))?;
    answer.ok().map_err(why)
}

/// How many targets a query of the API selects.
pub(crate) fn targets(server: SocketAddr, query: &str) -> Result<u64, String> {
    let mut buffer = Vec::new();
    let path = format!("/api/v1/targets?limit=0&{query}");
    let answer = get(server, &path, "", &mut buffer)?;
    let value: serde_json::Value =
        serde_json::from_slice(&answer.body()).map_err(|error| error.to_string())?;
    let total = value["data"]["total"].as_u64();
    total.ok_or_else(|| format!("expected a total at {path}, found {value}"))
}

/// Waits until a query selects so many.
pub(crate) fn wait_for(
    server: SocketAddr,
    query: &str,
    targets: u64,
    longest: Duration,
) -> Result<(), String> {
    let latest = Instant::now() + longest;
    loop {
        let found = self::targets(server, query)?;
        if found == targets {
            return Ok(());
        }
        if Instant::now() > latest {
            return Err(format!(
                "expected {targets} targets of {query}, found {found}"
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Connections that each ask again as soon as they were answered.
#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    /// Answers that were complete and right.
    pub(crate) answered: u64,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Crowd {
    /// A connection for each path, which has asked.
    pub(crate) fn connect(
        server: SocketAddr,
        paths: impl Iterator<Item = String>,
    ) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let one = |(slot, path): (usize, String)| -> io::Result<Conn> {
            let stream = std::net::TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let registry = poll.registry();
            registry.register(&mut stream, Token(slot), Interest::READABLE)?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n").into_bytes();
            stream.write_all(&request)?;
            Ok(Conn {
                stream,
                request,
                received: Vec::new(),
            })
        };
        let conns: io::Result<Vec<Conn>> = paths.enumerate().map(one).collect();
        Ok(Self {
            conns: conns.map_err(|error| format!("clients of {server}: {error}"))?,
            poll,
            events: Events::with_capacity(1_024),
            answered: 0,
        })
    }

    /// Asks on until then. Every body must have this in it.
    pub(crate) fn ask(&mut self, until: Instant, expected: &[u8]) -> Result<(), String> {
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            if now.duration_since(last) > PATIENCE {
                return Err(format!("nobody was answered for {PATIENCE:?}"));
            }
            match self.poll.poll(&mut self.events, Some(until - now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(|error| error.to_string())?,
            }
            for event in &self.events {
                let conn = &mut self.conns[event.token().0];
                if conn.answered(expected)? {
                    self.answered += 1;
                    last = now;
                }
            }
        }
    }
}

impl Conn {
    /// Whether an answer was completed; if so it has asked again.
    fn answered(&mut self, expected: &[u8]) -> Result<bool, String> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server has closed a connection that was kept".into()),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        let Some(answer) = Answer::read(&self.received)? else {
            return Ok(false);
        };
        let body = answer.ok()?.body();
        if !body.windows(expected.len()).any(|part| part == expected) {
            let (expected, body) = (
                String::from_utf8_lossy(expected),
                String::from_utf8_lossy(&body),
            );
            return Err(format!(
                "expected {expected:?} in the answer, found {body:?}"
            ));
        }
        self.received.clear();
        // It is the only one on its connection, and there is room for it.
        self.stream
            .write_all(&self.request)
            .map_err(|error| error.to_string())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(received: &[u8]) -> Option<Vec<u8>> {
        let answer = Answer::read(received).expect("HTTP");
        answer.map(|answer| answer.body())
    }

    #[test]
    fn answers_are_complete_when_their_last_byte_has_come() {
        for (whole, expected) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..], &b"hello"[..]),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n",
                b"hello",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        ] {
            for end in 0..whole.len() {
                assert_eq!(body(&whole[..end]), None, "{end}");
            }
            assert_eq!(body(whole), Some(expected.to_vec()));
        }
    }

    #[test]
    fn what_is_no_answer_is_said() {
        for wrong in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ] {
            assert!(Answer::read(wrong).is_err(), "{wrong:?}");
        }
        let refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nno\n";
        let answer = Answer::read(refused).unwrap().unwrap();
        assert_eq!(
            answer.ok().unwrap_err(),
            "expected status 200, found 503: no"
        );
    }
}
