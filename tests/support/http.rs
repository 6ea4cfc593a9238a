//! An HTTP/1.1 client of a hundred lines: one request, one connection, the
//! whole answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::LIMIT;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing but in its content coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first value of a header; `name` in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(value)
    }

    /// This answer, if it says that all is well.
    ///
    /// # Panics
    /// If it does not.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// GET without further headers.
///
/// # Panics
/// If there is no answer.
pub fn get(server: SocketAddr, path: &str) -> Answer {
    request(server, "GET", path, &[])
}

/// Any request without a body.
///
/// # Panics
/// If there is no answer that is HTTP.
pub fn request(server: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    try_request(server, method, path, headers)
        .unwrap_or_else(|why| panic!("{method} http://{server}{path}: {why}"))
}

/// As [`request`], for servers that may be gone.
///
/// # Errors
/// If there is no answer that is HTTP.
pub fn try_request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&server, LIMIT).map_err(io)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(io)?;
    exchange(&mut stream, server, method, path, headers)
}

/// As [`try_request`], on a connection that there is.
///
/// # Errors
/// If there is no answer that is HTTP.
pub fn exchange(
    stream: &mut (impl Read + Write),
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).map_err(io)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(io)?;
    parse(&bytes, method == "HEAD")
        .ok_or_else(|| format!("not HTTP: {:?}", String::from_utf8_lossy(&bytes)))
}

fn parse(bytes: &[u8], to_head: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut body = bytes[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status: status.parse().ok()?,
        headers,
        body: Vec::new(),
    };
    if to_head {
        // Its fields tell of a body that must not come.
        body.is_empty().then_some(())?;
    } else if answer.header("transfer-encoding") == Some("chunked") {
        body = dechunk(&body)?;
    } else if let Some(length) = answer.header("content-length") {
        // A body that was broken off is no answer.
        (length.parse() == Ok(body.len())).then_some(())?;
    }
    answer.body = body;
    Some(answer)
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
        bytes = &bytes[line + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..length)?);
        bytes = bytes.get(length + 2..)?;
    }
}

/// A value for the query of a URL.
pub fn encode(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
