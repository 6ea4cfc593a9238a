//! The client's side of one HTTP/2 exchange (RFC 9113): bytes in, bytes and
//! events out. It knows frames, header lists, data and trailers, and nothing
//! about checks.
//!
//! A connection carries one stream, because a check asks once. Everything else
//! that the protocol has is there: settings, flow control both ways, pings,
//! interim responses, trailers, padding. Priorities and unknown frames are
//! ignored; pushed responses are refused.
//!
//! ```text
//!            final head           END_STREAM
//! Awaiting -------------> Open -------------> Over
//!   |  `-- 1xx               `-- trailers ---^
//!   `--- RST_STREAM, GOAWAY -----------------^
//! ```
//!
//! A client holds what is stated in [`limits`](crate::limits), and of a body
//! nothing: its bytes are lent to the caller as they come. Of the body of a request
//! it says which part may go, and [`DataFrame`] how that is framed: only a small one
//! is copied.

mod error;
mod fields;
mod flow;
mod frame;
mod hpack;
mod reader;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

pub(crate) use self::error::{Error, ErrorCode};
pub(crate) use self::fields::Fields;

use self::error::HeadFault;
use self::flow::{RECEIVE_WINDOW, ReceiveWindow, SendWindow};
use self::frame::{Header, Kind};
use self::reader::{Part, Reader};
use crate::limits::{MAX_H2_CONTROL_FRAMES, MAX_HEAD_BYTES, MAX_OWN_BODY_BYTES};

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The one stream, as the client numbers it.
const STREAM: u32 = 1;

/// Largest payload of a frame that both sides may send without asking. We
/// send no larger ones and ask for none.
const FRAME_BYTES: usize = 16_384;

/// Bytes of a body that a WINDOW_UPDATE has to allow to be of use.
const WORTH_A_FRAME: usize = 512;

/// Identifiers of settings: RFC 9113 section 6.5.2.
mod setting {
    pub(super) const ENABLE_PUSH: u16 = 0x2;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(super) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
}

/// What we announce.
const SETTINGS: [(u16, u32); 3] = [
    (setting::ENABLE_PUSH, 0),
    (setting::INITIAL_WINDOW_SIZE, RECEIVE_WINDOW),
    (setting::MAX_HEADER_LIST_SIZE, MAX_HEAD_BYTES as u32),
];

/// The head of a request, as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestHead(Vec<u8>);

impl RequestHead {
    /// Adds a field; the pseudo-header fields come first. Upper case in `name`
    /// becomes lower case, as HTTP/2 has it.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        hpack::encode(name, value, &mut self.0);
    }

    /// The same in no more memory than it takes: it is kept.
    pub(crate) fn into_kept(mut self) -> Self {
        self.0.shrink_to_fit();
        self
    }
}

/// What a peer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'c, 'd> {
    /// The head of a response: an interim one (1xx), which another follows, or
    /// the final one.
    Head {
        status: u16,
        fields: &'c Fields,
        /// Whether the stream ends with it.
        end: bool,
    },
    /// Bytes of the body; never none.
    Data(&'d [u8]),
    /// The trailers; [`Event::End`] follows.
    Trailers(&'c Fields),
    /// The response is complete.
    End,
    /// The peer gave up the stream (RST_STREAM).
    Reset(ErrorCode),
    /// The peer gives up the connection and has not looked at the request
    /// (GOAWAY).
    Refused(ErrorCode),
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// Its final head has not come.
    Awaiting,
    /// It has.
    Open,
    /// Nothing more is expected, and nothing more is looked at.
    Over,
}

/// One request and its response on a connection.
#[derive(Debug)]
pub(crate) struct Client {
    reader: Reader,
    stream: Stream,
    decoder: hpack::Decoder,
    /// The header list that was read last.
    fields: Fields,
    received: ReceiveWindows,
    connection_window: SendWindow,
    stream_window: SendWindow,
    /// Bytes of the body of the request.
    body: usize,
    /// How much of it the windows have let out.
    sent: usize,
    /// How much of that the caller was told of, or was given.
    told: usize,
    /// Frames without any part of a response.
    control_frames: u32,
    /// Why the peer will close the connection, if it said so.
    leaving: Option<ErrorCode>,
}

/// The first frame of a part of the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DataFrame {
    pub(crate) header: [u8; 9],
    /// Bytes of the part that are in it.
    pub(crate) length: usize,
}

impl DataFrame {
    /// That of this part of a body of `body` bytes.
    pub(crate) fn first_of(part: &Range<usize>, body: usize) -> Self {
        let length = part.len().min(FRAME_BYTES);
        let last = part.start + length == body;
        let flags = if last { frame::END_STREAM } else { 0 };
        Self {
            header: frame::header(Kind::Data, flags, STREAM, length),
            length,
        }
    }
}

/// What we allow the peer to send.
#[derive(Debug)]
struct ReceiveWindows {
    connection: ReceiveWindow,
    stream: ReceiveWindow,
}

/// What came of one part of the input.
enum Step<'d> {
    Head { status: u16, end: bool },
    Data(&'d [u8]),
    Trailers,
    End,
    Reset(ErrorCode),
    Refused(ErrorCode),
}

impl Client {
    /// Opens a connection with one request on it; what is to be sent is
    /// appended to `out`, with a body that is small; of a larger one
    /// [`Client::let_out`] tells. It does not wait for the peer's settings: RFC 9113
    /// section 3.4 says that nobody has to.
    pub(crate) fn new(head: &RequestHead, body: &[u8], out: &mut Vec<u8>) -> Self {
        let mut client = Self {
            reader: Reader::new(),
            stream: Stream::Awaiting,
            decoder: hpack::Decoder::new(),
            fields: Fields::default(),
            received: ReceiveWindows {
                connection: ReceiveWindow::new(),
                stream: ReceiveWindow::new(),
            },
            connection_window: SendWindow::new(),
            stream_window: SendWindow::new(),
            body: body.len(),
            sent: 0,
            told: 0,
            control_frames: 0,
            leaving: None,
        };
        out.extend_from_slice(PREFACE);
        let mut settings = Vec::with_capacity(SETTINGS.len() * 6);
        for (id, value) in SETTINGS {
            settings.extend_from_slice(&id.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(out, Kind::Settings, 0, 0, &settings);
        // The setting is about streams; the connection has a window too.
        flow::write_update(out, 0, RECEIVE_WINDOW - flow::INITIAL_WINDOW);
        client.send_head(&head.0, out);
        client.send_body();
        if body.len() <= MAX_OWN_BODY_BYTES
            && let Some(part) = client.let_out()
        {
            // The first window has room for all of it.
            let DataFrame { header, .. } = DataFrame::first_of(&part, body.len());
            out.extend_from_slice(&header);
            out.extend_from_slice(body);
        }
        client
    }

    fn send_head(&self, block: &[u8], out: &mut Vec<u8>) {
        let mut kind = Kind::Headers;
        let mut flags = match self.body {
            0 => frame::END_STREAM,
            _ => 0,
        };
        let mut fragments = block.chunks(FRAME_BYTES).peekable();
        while let Some(fragment) = fragments.next() {
            if fragments.peek().is_none() {
                flags |= frame::END_HEADERS;
            }
            frame::write(out, kind, flags, STREAM, fragment);
            (kind, flags) = (Kind::Continuation, 0);
        }
    }

    /// Lets out as much of the body as the windows allow.
    fn send_body(&mut self) {
        let room = self.connection_window.room().min(self.stream_window.room());
        let length = room.min(self.body - self.sent);
        self.connection_window.spend(length);
        self.stream_window.spend(length);
        self.sent += length;
    }

    /// The part of the body that is to be sent now, after what was appended to
    /// `out`, in [frames](DataFrame). It is told once.
    pub(crate) fn let_out(&mut self) -> Option<Range<usize>> {
        let part = self.told..self.sent;
        self.told = self.sent;
        (!part.is_empty()).then_some(part)
    }

    /// Why the peer announced that it would close the connection, if it did.
    pub(crate) fn leaving(&self) -> Option<ErrorCode> {
        self.leaving
    }

    /// Takes the next event off the front of `data`; `None` if there is none,
    /// and all of it was used. What has to be sent is appended to `out`.
    ///
    /// # Errors
    /// If the peer violates the protocol; what tells it so is in `out`. The
    /// client is then of no more use.
    pub(crate) fn receive<'c, 'd>(
        &'c mut self,
        data: &mut &'d [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'c, 'd>>, Error> {
        let step = match self.next(data, out) {
            Ok(step) => step,
            Err(error) => {
                self.stream = Stream::Over;
                let code = error.code();
                frame::write(
                    out,
                    Kind::GoAway,
                    0,
                    0,
                    &[[0; 4], code.0.to_be_bytes()].concat(),
                );
                return Err(error);
            }
        };
        Ok(step.map(|step| match step {
            Step::Head { status, end } => Event::Head {
                status,
                end,
                fields: &self.fields,
            },
            Step::Data(piece) => Event::Data(piece),
            Step::Trailers => Event::Trailers(&self.fields),
            Step::End => Event::End,
            Step::Reset(code) => Event::Reset(code),
            Step::Refused(code) => Event::Refused(code),
        }))
    }

    /// The next step that is worth telling.
    fn next<'d>(
        &mut self,
        data: &mut &'d [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Step<'d>>, Error> {
        loop {
            if self.stream == Stream::Over {
                *data = &[];
                return Ok(None);
            }
            let Some(part) = self.reader.next(data)? else {
                return Ok(None);
            };
            let step = match part {
                Part::Begin(header) => {
                    self.begin(header, out)?;
                    None
                }
                Part::Content(piece) => Some(Step::Data(piece)),
                Part::End => {
                    self.stream = Stream::Over;
                    Some(Step::End)
                }
                Part::Payload(header, payload) => {
                    let step = self.control(header, &payload, out);
                    self.reader.give_back(payload);
                    step?
                }
                Part::Block { block, end } => {
                    let step = self.block(&block, end);
                    self.reader.give_back(block);
                    step?
                }
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// Looks at a frame before its payload.
    fn begin(&mut self, header: Header, out: &mut Vec<u8>) -> Result<(), Error> {
        let own = match header.kind {
            Kind::Data | Kind::Headers | Kind::Continuation | Kind::ResetStream => {
                header.stream == STREAM
            }
            Kind::Settings | Kind::Ping | Kind::GoAway => header.stream == 0,
            Kind::WindowUpdate => header.stream <= STREAM,
            Kind::Priority => header.stream > 0,
            Kind::PushPromise => return Err(Error::Pushed),
            Kind::Unknown(_) => true,
        };
        if !own {
            return Err(Error::WrongStream(header.kind, header.stream));
        }
        let carries = match header.kind {
            Kind::Data => header.length > 0,
            Kind::Headers => true,
            _ => false,
        };
        if !carries {
            self.count()?;
        }
        if header.kind == Kind::Data {
            if self.stream == Stream::Awaiting {
                return Err(Error::DataBeforeHead);
            }
            // Its bytes are used as they come, so that they can be made up for
            // at once. Padding counts (section 6.1).
            let windows = &mut self.received;
            windows.connection.take(header.length, 0, out)?;
            windows.stream.take(header.length, STREAM, out)?;
        }
        Ok(())
    }

    /// Counts a frame that brings the response no further.
    fn count(&mut self) -> Result<(), Error> {
        self.control_frames += 1;
        if self.control_frames > MAX_H2_CONTROL_FRAMES {
            Err(Error::Flood)
        } else {
            Ok(())
        }
    }

    /// Handles a frame that is about the connection or the stream.
    fn control<'d>(
        &mut self,
        header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Step<'d>>, Error> {
        let wrong = Err(Error::FrameLength(header.kind, header.length));
        match (header.kind, payload) {
            (Kind::Settings, []) if header.has(frame::ACK) => {}
            (Kind::Settings, _) if header.has(frame::ACK) => return wrong,
            (Kind::Settings, settings) => {
                let (settings, []) = settings.as_chunks::<6>() else {
                    return wrong;
                };
                for [i0, i1, value @ ..] in settings {
                    let id = u16::from_be_bytes([*i0, *i1]);
                    self.set(id, u32::from_be_bytes(*value))?;
                }
                frame::write(out, Kind::Settings, frame::ACK, 0, &[]);
                self.send_body();
            }
            (Kind::Ping, opaque @ [_, _, _, _, _, _, _, _]) => {
                if !header.has(frame::ACK) {
                    frame::write(out, Kind::Ping, frame::ACK, 0, opaque);
                }
            }
            (Kind::GoAway, [l0, l1, l2, l3, c0, c1, c2, c3, ..]) => {
                let last = frame::unsigned31([*l0, *l1, *l2, *l3]);
                let code = ErrorCode(u32::from_be_bytes([*c0, *c1, *c2, *c3]));
                // As for Go, an error that was named before stays the reason.
                let named = self.leaving.filter(|code| *code != ErrorCode::NO_ERROR);
                let code = named.unwrap_or(code);
                if last < STREAM {
                    self.stream = Stream::Over;
                    return Ok(Some(Step::Refused(code)));
                }
                self.leaving = Some(code);
            }
            (Kind::WindowUpdate, [a, b, c, d]) => {
                let window = match header.stream {
                    0 => &mut self.connection_window,
                    _ => &mut self.stream_window,
                };
                window.grow(frame::unsigned31([*a, *b, *c, *d]))?;
                let before = self.sent;
                self.send_body();
                // It was of use. One that allows a byte costs us more than its peer.
                let allowed = self.sent - before;
                if allowed >= WORTH_A_FRAME || allowed > 0 && self.sent == self.body {
                    self.control_frames = self.control_frames.saturating_sub(1);
                }
            }
            (Kind::ResetStream, [a, b, c, d]) => {
                self.stream = Stream::Over;
                let code = ErrorCode(u32::from_be_bytes([*a, *b, *c, *d]));
                return Ok(Some(Step::Reset(code)));
            }
            _ => return wrong,
        }
        Ok(None)
    }

    /// Obeys a setting (section 6.5.2). Unknown ones mean nothing; the size of
    /// the compression table and the number of streams ask nothing of us who
    /// use none and have one.
    fn set(&mut self, id: u16, value: u32) -> Result<(), Error> {
        let allowed = match id {
            // RFC 9113 forbids a server 1; RFC 7540 did not, and some say it.
            setting::ENABLE_PUSH => value <= 1,
            setting::INITIAL_WINDOW_SIZE => return self.stream_window.set_initial(value),
            setting::MAX_FRAME_SIZE => (FRAME_BYTES as u32..1 << 24).contains(&value),
            _ => true,
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::Setting(id, value))
        }
    }

    /// Reads a header block: a head or trailers.
    fn block<'d>(&mut self, block: &[u8], end: bool) -> Result<Option<Step<'d>>, Error> {
        self.decoder
            .decode(block, &mut self.fields)
            .map_err(|error| match error {
                hpack::Error::ListTooLarge => Error::HeadTooLarge,
                hpack::Error::TooManyFields => Error::TooManyFields,
                error => Error::Compression(error),
            })?;
        if self.stream == Stream::Open {
            self.fields.trailers().map_err(Error::Head)?;
            return match end {
                true => Ok(Some(Step::Trailers)),
                false => Err(Error::Head(HeadFault::OpenTrailers)),
            };
        }
        let status = self.fields.head().map_err(Error::Head)?;
        match status {
            ..200 if end => return Err(Error::Head(HeadFault::InterimEnd)),
            // Any number of them may come.
            ..200 => self.count()?,
            _ => self.stream = Stream::Open,
        }
        Ok(Some(Step::Head { status, end }))
    }
}
