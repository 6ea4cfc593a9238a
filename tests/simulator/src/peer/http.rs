//! HTTP servers, good and bad, as scripts.

use std::time::Duration;

use super::{Script, Step};
use crate::payload::Payload;

/// A server: a script for each path, and one for all others.
#[derive(Clone, Debug)]
pub struct Site {
    paths: Vec<(String, Script)>,
    other: Script,
}

impl Site {
    /// A site that does the same on every path.
    pub const fn new(script: Script) -> Self {
        Self {
            paths: Vec::new(),
            other: script,
        }
    }

    /// The same with a script of its own for `path`.
    #[must_use]
    pub fn path(mut self, path: &str, script: Script) -> Self {
        self.paths.push((path.into(), script));
        self
    }

    pub(crate) fn script(&self, path: &str) -> Script {
        let found = self.paths.iter().find(|(known, _)| known == path);
        found.map_or(&self.other, |(_, script)| script).clone()
    }

    /// As a server.
    pub fn serve(self) -> super::Behaviour {
        super::Behaviour::Http(self.into())
    }
}

/// The path of a request whose head is complete.
pub(crate) fn request_path(head: &[u8]) -> Option<&str> {
    head.windows(4).position(|end| end == b"\r\n\r\n")?;
    let line = head.split(|byte| *byte == b'\r').next()?;
    core::str::from_utf8(line).ok()?.split(' ').nth(1)
}

/// A whole response with a body of `body` and its length.
pub fn response(status: &str, headers: &[&str], body: &str) -> Payload {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into()
}

/// A server that answers every request with this.
pub fn answering(payload: impl Into<Payload>) -> super::Behaviour {
    Site::new(Script::new([Step::Send(payload.into())])).serve()
}

/// A server that answers every request with this and closes.
pub fn closing(payload: impl Into<Payload>) -> super::Behaviour {
    Site::new(Script::new([Step::Send(payload.into()), Step::Close])).serve()
}

/// `200 OK`.
pub fn ok() -> super::Behaviour {
    answering(response("200 OK", &[], "hello"))
}

/// Any other status.
pub fn status(status: &str) -> super::Behaviour {
    answering(response(status, &[], ""))
}

/// `200 OK` after a while.
pub fn slow(by: Duration) -> super::Behaviour {
    let answer = response("200 OK", &[], "at last");
    Site::new(Script::new([Step::Pause(by), Step::Send(answer)])).serve()
}

/// `200 OK`, a byte at a time.
pub fn dripping(every: Duration) -> super::Behaviour {
    let answer = response("200 OK", &[], "slowly");
    Site::new(Script::new([Step::Drip(answer, every)])).serve()
}

/// Header after header.
pub fn endless_headers() -> super::Behaviour {
    let start = "HTTP/1.1 200 OK\r\n".into();
    let more = "X-More: more and more and more and more and more\r\n".repeat(8);
    let flood = Step::Flood(more.into(), Duration::from_millis(1));
    Site::new(Script::new([Step::Send(start), flood])).serve()
}

/// A body without end, in chunks of this size.
pub fn endless_body(chunk: usize, every: Duration) -> super::Behaviour {
    let start = "HTTP/1.1 200 OK\r\n\r\n".into();
    let flood = Step::Flood(vec![b'x'; chunk].into(), every);
    Site::new(Script::new([Step::Send(start), flood])).serve()
}

/// A redirect to `location`.
pub fn redirect(location: &str) -> Script {
    let header = format!("Location: {location}");
    Script::new([Step::Send(response("302 Found", &[&header], ""))])
}
