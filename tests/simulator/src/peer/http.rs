//! HTTP servers, good and bad, as scripts.

use std::time::Duration;

use super::{Script, Step};
use crate::payload::Payload;

/// A server: scripts for some requests, and one for all others.
#[derive(Clone, Debug)]
pub struct Site {
    rules: Vec<(Rule, Script)>,
    other: Script,
}

/// Which requests.
#[derive(Clone, Debug)]
enum Rule {
    /// Those for this path.
    Path(String),
    /// Those in which this text stands somewhere.
    Says(String),
}

impl Site {
    /// A site that does the same whatever it is asked.
    pub const fn new(script: Script) -> Self {
        Self {
            rules: Vec::new(),
            other: script,
        }
    }

    /// The same with a script of its own for `path`.
    #[must_use]
    pub fn path(mut self, path: &str, script: Script) -> Self {
        self.rules.push((Rule::Path(path.into()), script));
        self
    }

    /// The same with a script of its own for requests that say `text` in their
    /// head or body. The first rule that fits counts.
    #[must_use]
    pub fn says(mut self, text: &str, script: Script) -> Self {
        self.rules.push((Rule::Says(text.into()), script));
        self
    }

    pub(crate) fn script(&self, request: &Request<'_>) -> Script {
        let mut rules = self.rules.iter();
        let found = rules.find(|(rule, _)| match rule {
            Rule::Path(path) => path == request.path,
            Rule::Says(text) => request.says(text),
        });
        found.map_or(&self.other, |(_, script)| script).clone()
    }

    /// As a server.
    pub fn serve(self) -> super::Behaviour {
        super::Behaviour::Http(self.into())
    }
}

/// A request that is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// All of it.
    text: &'a str,
}

impl<'a> Request<'a> {
    /// Reads one, if all of it is there. What is not text is not a request.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut fields = head.split("\r\n");
        let mut words = fields.next()?.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let length = fields.find_map(|field| {
            let (name, value) = field.split_once(':')?;
            let named = name.eq_ignore_ascii_case("Content-Length");
            named.then(|| value.trim().parse::<usize>().ok())?
        });
        let complete = body.len() >= length.unwrap_or(0);
        complete.then_some(Self { method, path, text })
    }

    /// Whether this stands somewhere in it.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// What a proxy passes on of a request in absolute form.
    pub(crate) fn in_origin_form(&self, authority: &str) -> Vec<u8> {
        let absolute = format!("http://{authority}");
        self.text.replacen(&absolute, "", 1).into_bytes()
    }
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
