//! HTTP/2 servers, good and bad, as scripts of frames.
//!
//! A server reads what the client sends frame by frame, and panics at what no
//! client may send: that would be a defect of the engine.

use std::sync::Arc;

use super::script::Player;
use super::{Event, Reaction, Script, Step};

/// Types of frames (RFC 9113 section 6).
pub const DATA: u8 = 0x0;
/// See [`DATA`].
pub const HEADERS: u8 = 0x1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 0x3;
/// See [`DATA`].
pub const SETTINGS: u8 = 0x4;
/// See [`DATA`].
pub const PUSH_PROMISE: u8 = 0x5;
/// See [`DATA`].
pub const PING: u8 = 0x6;
/// See [`DATA`].
pub const GOAWAY: u8 = 0x7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 0x8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 0x9;

/// The flag that ends a stream.
pub const END_STREAM: u8 = 0x1;
/// The flag that ends a header block.
pub const END_HEADERS: u8 = 0x4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    greeting: Script,
    answer: Script,
    /// Bytes of a body that a client may send.
    window: usize,
}

impl Server {
    /// A server that sends its settings, none, and follows this script once it
    /// has a whole request.
    pub fn new(answer: Script) -> Self {
        Self {
            greeting: Script::new([Step::Send(settings(&[]).into())]),
            answer,
            window: 65_535,
        }
    }

    /// The same that begins with another script, which allows a client to send
    /// a body of `window` bytes.
    #[must_use]
    pub fn greeting(mut self, greeting: Script, window: usize) -> Self {
        self.greeting = greeting;
        self.window = window;
        self
    }

    /// As a server, to be secured.
    pub fn serve(self) -> super::Behaviour {
        super::Behaviour::Http2(self.into())
    }
}

/// A server that answers every request with these frames.
pub fn answering(frames: &[Vec<u8>]) -> super::Behaviour {
    Server::new(Script::new([Step::Send(frames.concat().into())])).serve()
}

/// `200 OK` with this body.
pub fn ok(body: &str) -> super::Behaviour {
    let length = body.len().to_string();
    let head = head(0, &[(":status", "200"), ("content-length", &length)]);
    answering(&[head, data(END_STREAM, body.as_bytes())])
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A SETTINGS frame.
pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A header block of literals without Huffman code (RFC 7541 section 6.2.2).
/// Names and values have at most 126 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a long text");
            block.push(text.len() as u8);
            block.extend(text.bytes());
        }
    }
    block
}

/// A HEADERS frame with a complete block, on the client's first stream.
pub fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &block(fields))
}

/// A DATA frame on the client's first stream.
pub fn data(flags: u8, content: &[u8]) -> Vec<u8> {
    frame(DATA, flags, 1, content)
}

/// A GOAWAY frame.
pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

/// A RST_STREAM frame on the client's first stream.
pub fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

/// A WINDOW_UPDATE frame.
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// One connection, as its server sees it.
#[derive(Debug)]
pub(crate) struct Session {
    server: Arc<Server>,
    player: Player,
    request: Request,
}

/// What has come of a request.
#[derive(Debug, Default)]
struct Request {
    bytes: Vec<u8>,
    begun: bool,
    frames: usize,
    content: usize,
    complete: bool,
}

impl Session {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        Self {
            player: Player::new(server.greeting.clone()),
            server: Arc::clone(server),
            request: Request::default(),
        }
    }

    /// Handles one event.
    pub(crate) fn on(&mut self, event: Event<'_>, reaction: &mut Reaction) {
        match event {
            Event::Accepted { .. } => self.player.play(reaction),
            Event::Woken => self.player.wake(reaction),
            Event::Data(bytes) => {
                let asked = self.request.complete;
                self.request.read(bytes, self.server.window);
                if self.request.complete && !asked {
                    self.player = Player::new(self.server.answer.clone());
                    self.player.play(reaction);
                }
            }
            Event::Secured | Event::Reached(_) => {}
        }
    }
}

impl Request {
    fn read(&mut self, bytes: &[u8], window: usize) {
        self.bytes.extend_from_slice(bytes);
        if !self.begun && self.bytes.len() >= PREFACE.len() {
            assert!(self.bytes.starts_with(PREFACE), "no preface");
            self.bytes.drain(..PREFACE.len());
            self.begun = true;
        }
        while self.begun && self.next(window) {}
    }

    /// Reads a frame, if it is complete.
    fn next(&mut self, window: usize) -> bool {
        let [a, b, c, kind, flags, s0, s1, s2, s3, ref payload @ ..] = self.bytes[..] else {
            return false;
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if payload.len() < length {
            return false;
        }
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        assert!(length <= 16_384, "a frame of {length} bytes");
        assert!(
            self.frames > 0 || kind == SETTINGS,
            "SETTINGS are not first"
        );
        self.frames += 1;
        match kind {
            DATA | HEADERS | CONTINUATION => {
                assert_eq!(stream, 1, "a stream of its own");
                assert!(!self.complete, "nothing follows the end");
                self.complete = kind != CONTINUATION && flags & END_STREAM != 0;
                if kind == DATA {
                    self.content += length;
                    assert!(self.content <= window, "{} bytes of body", self.content);
                }
            }
            SETTINGS | PING | GOAWAY => assert_eq!(stream, 0),
            WINDOW_UPDATE => assert!(stream <= 1),
            _ => panic!("an unexpected frame, 0x{kind:x}"),
        }
        self.bytes.drain(..9 + length);
        true
    }
}
