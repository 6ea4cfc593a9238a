//! How a connection is spoken to: HTTP/1.1, or HTTP/2 where the handshake
//! chose it. Both give heads and pieces of bodies, and say how they end.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::answer::{self, Answer};
use super::place::Place;
use super::response::{Head, Heads};
use super::{Http, Spec, State};
use crate::check::Cx;
use crate::check::dial::Dial;
use crate::h2::{Client, Error, ErrorCode, Event, RequestHead};
use crate::id::Conn;
use crate::io::Closed;
use crate::limits::MAX_REPEATS;
use crate::outcome::{Phase, Reason};
use crate::tls::TlsInfo;

/// A connection on which a request was sent.
#[derive(Debug)]
pub(super) enum Protocol {
    H1(Http1),
    H2(Box<Http2>),
}

/// How far a response in HTTP/1 is.
#[derive(Debug)]
pub(super) enum Http1 {
    /// Waiting for a head, or in the middle of it.
    Head(Heads),
    /// Reading the body.
    Body(Answer),
}

/// An exchange in HTTP/2.
#[derive(Debug)]
pub(super) struct Http2 {
    client: Client,
    /// The final response, once its head is there.
    answer: Option<Answer>,
}

/// The name of HTTP/2 in a handshake (RFC 9113 section 3.2).
pub(super) const H2: &[u8] = b"h2";

/// Whether the handshake chose HTTP/2.
pub(super) fn is_h2(tls: Option<&TlsInfo>) -> bool {
    tls.and_then(|tls| tls.alpn.as_deref()) == Some(H2)
}

impl Default for Http1 {
    fn default() -> Self {
        Self::Head(Heads::default())
    }
}

impl Protocol {
    /// The final response, once its head is there.
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::H1(Http1::Head(_)) => None,
            Self::H1(Http1::Body(answer)) => Some(answer),
            Self::H2(exchange) => exchange.answer.as_ref(),
        }
    }

    /// See [`Protocol::answer`].
    pub(super) fn answer_mut(&mut self) -> Option<&mut Answer> {
        match self {
            Self::H1(Http1::Head(_)) => None,
            Self::H1(Http1::Body(answer)) => Some(answer),
            Self::H2(exchange) => exchange.answer.as_mut(),
        }
    }

    /// The connection ended.
    pub(super) fn on_closed(&mut self, place: Place<'_>, why: Closed, cx: &mut Cx<'_>) {
        if let Some(answer) = self.answer_mut() {
            return match answer.backlog() {
                Some(backlog) => backlog.closed = Some(why),
                None => answer.on_closed(place, &why, cx),
            };
        }
        let (when, leaving) = match self {
            Self::H2(exchange) => ("before it answered", exchange.client.leaving()),
            Self::H1(Http1::Head(heads)) if !heads.is_empty() => {
                ("in the middle of the response head", None)
            }
            Self::H1(_) => ("before it answered", None),
        };
        let (reason, words) = answer::broken_off(Reason::PeerClosed, &why, place, cx);
        let leaving = Leaving(leaving);
        cx.fail(reason, format_args!("{words} {when}{leaving}"));
    }
}

/// ` (GOAWAY: NO_ERROR)`, or nothing.
struct Leaving(Option<ErrorCode>);

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, " (GOAWAY: {code})"),
            None => Ok(()),
        }
    }
}

impl Http2 {
    /// Sends a request; the bytes are appended to `out`.
    pub(super) fn begin(head: &RequestHead, body: &[u8], out: &mut Vec<u8>) -> Self {
        Self {
            client: Client::new(head, body, out),
            answer: None,
        }
    }

    /// Sends what the peer's windows have let out of the body of the request.
    pub(super) fn send_body(&mut self, conn: Conn, cx: &mut Cx<'_>) {
        if let Some(part) = self.client.let_out() {
            cx.send_frames(conn, part);
        }
    }
}

impl Http {
    /// HTTP/2: takes events from the client until there are none.
    pub(super) fn on_frames(&mut self, spec: &Spec, conn: Conn, mut data: &[u8], cx: &mut Cx<'_>) {
        let nowhere = State::Dialing(Dial::Idle);
        let mut exchange = match core::mem::replace(&mut self.state, nowhere) {
            State::Asked(_, Protocol::H2(exchange)) => exchange,
            other => {
                self.state = other;
                return;
            }
        };
        let Http2 { client, answer } = &mut *exchange;
        let mut out = Vec::new();
        loop {
            let event = client.receive(&mut data, &mut out);
            // While the run was behind, the connection may have ended.
            if !out.is_empty() && cx.core.is_open(conn) {
                cx.send(conn, &out);
            }
            out.clear();
            let place = Place {
                spec,
                hop: self.hop.as_deref(),
            };
            match (event, &mut *answer) {
                (Ok(None), _) => break,
                (
                    Ok(Some(Event::Head {
                        status,
                        fields,
                        end,
                    })),
                    None,
                ) => {
                    if cx.core.phase == Phase::Processing {
                        cx.begin(Phase::Transfer);
                    }
                    cx.trace(format_args!("received status {status}"));
                    let mut room = Head::listed_fields();
                    let head = Head::listed(status, fields, end, &mut room);
                    if head.is_interim() {
                        continue;
                    }
                    let Some(mut reader) = self.answered(spec, conn, &head, cx) else {
                        return;
                    };
                    let hop = self.hop.as_deref();
                    // There may be no body to wait for.
                    reader.on_data(Place { spec, hop }, &[], cx);
                    *answer = Some(reader);
                }
                (Ok(Some(Event::Data(piece))), Some(answer)) => {
                    answer.on_data(place, piece, cx);
                    if let Some(backlog) = answer.backlog() {
                        backlog.bytes.extend_from_slice(data);
                        break;
                    }
                }
                (Ok(Some(Event::End)), Some(answer)) => answer.on_end(place, cx),
                (
                    Ok(Some(
                        Event::Reset(ErrorCode::REFUSED_STREAM)
                        | Event::Refused(ErrorCode::NO_ERROR),
                    )),
                    None,
                ) if self.may_repeat(place, cx) => return self.repeat(spec, conn, cx),
                (Ok(Some(Event::Reset(code))), answer) => reset(answer, code, place, cx),
                (Ok(Some(Event::Refused(code))), answer) => refused(answer, code, place, cx),
                (Err(error), answer) => violated(answer, error, place, cx),
                // Trailers mean nothing here, and a client keeps the order.
                (Ok(Some(_)), _) => {}
            }
            if cx.is_finished() || answer.as_ref().is_some_and(Answer::is_complete) {
                break;
            }
        }
        if cx.core.is_open(conn) && !cx.is_finished() {
            exchange.send_body(conn, cx);
        }
        self.state = State::Asked(conn, Protocol::H2(exchange));
    }

    /// Whether a request may be sent again that the peer says it has not processed
    /// (RFC 9113 section 8.7), as Go does, and whether there is time for it.
    fn may_repeat(&self, place: Place<'_>, cx: &Cx<'_>) -> bool {
        self.repeats < MAX_REPEATS
            && place.request().can_be_repeated()
            && pause(self.repeats) < cx.time_left()
    }

    /// Asks again on another connection, in a while.
    fn repeat(&mut self, spec: &Spec, conn: Conn, cx: &mut Cx<'_>) {
        cx.note(format_args!(
            "the peer did not process the request, asking again"
        ));
        cx.close(conn);
        let now = cx.now();
        cx.core.end_keep(now);
        let pause = pause(self.repeats);
        self.repeats += 1;
        self.requests -= 1;
        self.state = State::Refused;
        match pause.is_zero() {
            true => self.ask_again(spec, cx),
            false => cx.wake_at(now + pause),
        }
    }

    /// Goes from [`State::Refused`] to where the last connection led.
    pub(super) fn ask_again(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        let hop = self.hop.as_deref();
        cx.connect_again(hop.map_or(Duration::ZERO, |hop| hop.handshakes));
        cx.core.tls = None;
        let mut dial = Dial::Idle;
        dial.again(Place { spec, hop }.destination(), cx);
        self.state = State::Dialing(dial);
    }
}

/// How long a run that has asked again so often waits before it does so once more. Go
/// does not wait; but a server that sheds load, or is about to end, would get
/// thousands of connections of it.
fn pause(repeats: u8) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);
    match repeats {
        0 => Duration::ZERO,
        1..6 => (SHORTEST * (1 << (repeats - 1))).min(LONGEST),
        _ => LONGEST,
    }
}

/// The peer gave up the stream.
fn reset(answer: &Option<Answer>, code: ErrorCode, place: Place<'_>, cx: &mut Cx<'_>) {
    let reason = Reason::PeerReset;
    match answer {
        None => cx.fail(
            reason,
            format_args!("the peer reset the stream before it answered: {code}"),
        ),
        Some(answer) => {
            let sentence =
                format_args!("the peer reset the stream before the end of the body: {code}");
            answer.unreadable(place, reason, sentence, cx);
        }
    }
}

/// The peer gave up the connection without having looked at the request, or
/// says so in the middle of its answer.
fn refused(answer: &Option<Answer>, code: ErrorCode, place: Place<'_>, cx: &mut Cx<'_>) {
    let sentence = format_args!("the peer refused the request: GOAWAY, {code}");
    match answer {
        None => cx.fail(Reason::PeerClosed, sentence),
        Some(answer) => answer.unreadable(place, Reason::BodyTruncated, sentence, cx),
    }
}

/// The peer does not keep to the protocol, or exceeds a bound.
fn violated(answer: &Option<Answer>, error: Error, place: Place<'_>, cx: &mut Cx<'_>) {
    let reason = match error.is_head_limit() {
        true => Reason::HttpHeaderLimit,
        false => Reason::HttpMalformed,
    };
    match answer {
        None => cx.fail(reason, format_args!("{error}")),
        Some(answer) => answer.unreadable(place, reason, format_args!("{error}"), cx),
    }
}
