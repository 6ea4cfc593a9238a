//! What is said on a connection: exchange by exchange.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::config::{Exchange, Expected, Message};
use super::inbox::{Inbox, Line};
use super::{BYTES_FAILED, REGEX_FAILED};
use crate::check::cx::Cx;
use crate::check::excerpt::Excerpt;
use crate::config::{Captures, Template};
use crate::id::Conn;
use crate::io::Closed;
use crate::limits::{
    MAX_DIALOGUE_BYTES, MAX_INFO_BYTES, MAX_INFO_VALUE_BYTES, MAX_LINE_BYTES, MAX_SENT_BYTES,
};
use crate::outcome::Reason;

/// A dialogue in progress.
#[derive(Debug)]
pub(super) struct Dialogue {
    conn: Conn,
    /// The exchange that is next or under way.
    at: usize,
    inbox: Inbox,
}

/// How a dialogue goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When there is news of the connection.
    Wait,
    /// When the system has taken what was said.
    Flush,
    /// With a TLS handshake.
    Secure,
    /// Everything was said.
    Over,
    /// Not at all: there is a verdict.
    Failed,
}

/// A line that matched, and what was captured of it.
type Matched<'a> = Option<(&'a [u8], &'a Captures)>;

impl Dialogue {
    pub(super) fn new(conn: Conn) -> Self {
        Self {
            conn,
            at: 0,
            inbox: Inbox::default(),
        }
    }

    pub(super) const fn conn(&self) -> Conn {
        self.conn
    }

    /// Bytes have arrived.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.inbox.put(bytes);
    }

    /// The peer has closed the connection in order.
    pub(super) const fn end(&mut self) {
        self.inbox.end();
    }

    /// Whether nothing can be said any more.
    pub(super) const fn has_ended(&self) -> bool {
        self.inbox.has_ended()
    }

    /// The connection is secured from here on. What came before, unencrypted,
    /// anybody on the way may have put there.
    pub(super) fn secured(&mut self) {
        self.inbox.discard();
    }

    /// What was said has been taken: goes on after it.
    pub(super) fn sent(&mut self, exchanges: &[Exchange], cx: &mut Cx<'_>) -> Next {
        let said = exchanges.get(self.at);
        self.at += 1;
        match said.is_some_and(|exchange| exchange.starttls) {
            true => Next::Secure,
            false => self.go_on(exchanges, cx),
        }
    }

    /// Goes on until there is something to wait for.
    pub(super) fn go_on(&mut self, exchanges: &[Exchange], cx: &mut Cx<'_>) -> Next {
        while let Some(exchange) = exchanges.get(self.at) {
            let place = Place(self.at);
            let next = match &exchange.expected {
                None => say(self.conn, self.has_ended(), place, &exchange.send, None, cx),
                Some(Expected::Line(..)) => self.line(place, exchange, cx),
                Some(Expected::Bytes(expected)) => self.bytes(place, expected, exchange, cx),
            };
            if next != Next::Over {
                return next;
            }
            self.at += 1;
            if exchange.starttls {
                return Next::Secure;
            }
        }
        Next::Over
    }

    /// Reads lines until one matches, and answers it.
    fn line(&mut self, place: Place, exchange: &Exchange, cx: &mut Cx<'_>) -> Next {
        let (conn, ended) = (self.conn, self.inbox.has_ended());
        let too_much = self.inbox.received() > MAX_DIALOGUE_BYTES;
        loop {
            let line = match self.inbox.line() {
                Line::Whole(line) => line,
                Line::Partial if !too_much => return Next::Wait,
                Line::Partial => {
                    let detail = format_args!(
                        "{place}: {exchange}, there was none in more than {MAX_DIALOGUE_BYTES} bytes"
                    );
                    return failed(Reason::AnswerLimit, detail, cx);
                }
                Line::TooLong => {
                    let detail = format_args!(
                        "{place}: {exchange}, found one that is longer than {MAX_LINE_BYTES} bytes"
                    );
                    return failed(Reason::AnswerLimit, detail, cx);
                }
                Line::Over => {
                    cx.set(REGEX_FAILED, 1.0);
                    let heard = self.inbox.heard();
                    let detail = format_args!(
                        "{place}: {exchange}, the peer closed the connection having sent {heard}"
                    );
                    return failed(Reason::ExpectMismatch, detail, cx);
                }
            };
            let Some(Expected::Line(pattern, labels)) = &exchange.expected else {
                return Next::Over;
            };
            let Some(captures) = pattern.captures(line) else {
                cx.trace(format_args!("read the line {}", Excerpt(line)));
                continue;
            };
            cx.trace(format_args!("matched the line {}", Excerpt(line)));
            let matched = Some((line, &captures));
            for (name, value) in labels {
                let room = MAX_INFO_BYTES.saturating_sub(cx.core.labels.bytes());
                cx.label(
                    name,
                    label_value(value, matched, room.min(MAX_INFO_VALUE_BYTES)),
                );
            }
            return say(conn, ended, place, &exchange.send, matched, cx);
        }
    }

    /// Reads as many bytes as are expected, and answers them.
    fn bytes(
        &mut self,
        place: Place,
        expected: &[u8],
        exchange: &Exchange,
        cx: &mut Cx<'_>,
    ) -> Next {
        let ended = self.inbox.has_ended();
        let Some(found) = self.inbox.take(expected.len()) else {
            if !ended {
                return Next::Wait;
            }
            let rest = Excerpt(self.inbox.rest());
            let detail =
                format_args!("{place}: {exchange}, the peer closed the connection after {rest}");
            return failed(Reason::PeerClosed, detail, cx);
        };
        if found != expected {
            cx.set(BYTES_FAILED, 1.0);
            let found = Excerpt(found);
            let detail = format_args!("{place}: {exchange}, found {found}");
            return failed(Reason::ExpectMismatch, detail, cx);
        }
        cx.trace(format_args!("read the bytes {}", Excerpt(found)));
        say(self.conn, ended, place, &exchange.send, None, cx)
    }

    /// Ends the run: the connection is over, and not in order.
    pub(super) fn broken_off(&self, why: &Closed, waiting: &dyn fmt::Display, cx: &mut Cx<'_>) {
        let reason = match why {
            Closed::End => Reason::PeerClosed,
            Closed::Tls(failure) => failure.reason,
            Closed::TimedOut => cx.core.phase.timeout(),
            Closed::Unreachable => Reason::ConnectUnreachable,
            Closed::Reset | Closed::Refused | Closed::Other(_) | Closed::Local(_) => {
                Reason::PeerReset
            }
        };
        cx.fail(reason, format_args!("{why}{waiting}"));
    }
}

/// `: query_response[2]: expected ..., heard 3 lines, the last "..."`.
pub(super) struct Waiting<'a>(pub(super) &'a Dialogue, pub(super) &'a [Exchange]);

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(dialogue, exchanges) = self;
        let Some(exchange) = exchanges.get(dialogue.at) else {
            return Ok(());
        };
        write!(f, ": {}: {exchange}", Place(dialogue.at))?;
        match &exchange.expected {
            Some(Expected::Line(..)) => write!(f, ", heard {}", dialogue.inbox.heard()),
            Some(Expected::Bytes(_)) => write!(f, ", found {}", Excerpt(dialogue.inbox.rest())),
            None => Ok(()),
        }
    }
}

/// `: query_response[2]: the peer did not take what it sends`.
pub(super) struct Sending<'a>(pub(super) &'a Dialogue);

impl fmt::Display for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place(self.0.at);
        write!(f, ": {place}: the peer did not take all that it sends")
    }
}

/// Says what comes after what was expected.
fn say(
    conn: Conn,
    ended: bool,
    place: Place,
    message: &Message,
    matched: Matched<'_>,
    cx: &mut Cx<'_>,
) -> Next {
    let expanded;
    let bytes = match message {
        Message::Nothing => return Next::Over,
        Message::Bytes(bytes) => bytes,
        Message::Line(template) => {
            let mut line = template.expand(matched, MAX_SENT_BYTES + 1);
            if line.is_empty() {
                return Next::Over;
            }
            line.push(b'\n');
            expanded = line;
            &expanded[..]
        }
    };
    if cx.stored() + bytes.len() > MAX_SENT_BYTES {
        let detail = format_args!(
            "{place}: with what was captured more than {MAX_SENT_BYTES} bytes would be sent"
        );
        return failed(Reason::AnswerLimit, detail, cx);
    }
    if ended {
        // It may have closed one direction alone, and be waiting for this. As with
        // blackbox_exporter nobody learns whether it is read: there is nothing to wait for.
        cx.trace(format_args!(
            "sending after the peer's end {}",
            Excerpt(bytes)
        ));
        cx.send(conn, bytes);
        return Next::Over;
    }
    cx.trace(format_args!("sending {}", Excerpt(bytes)));
    cx.send(conn, bytes);
    Next::Flush
}

/// A value of `probe_expect_info`, which has to be UTF-8 and small enough to be
/// kept with every target: `most` bytes.
fn label_value(template: &Template, matched: Matched<'_>, most: usize) -> Box<str> {
    // Four bytes more: a character may be cut.
    let bytes = template.expand(matched, most + 4);
    let mut value = String::from_utf8_lossy(&bytes).into_owned();
    if value.len() > most {
        let fits = |at: &usize| value.is_char_boundary(*at);
        let end = (0..=most).rev().find(fits);
        value.truncate(end.unwrap_or(0));
    }
    value.into()
}

fn failed(reason: Reason, detail: fmt::Arguments<'_>, cx: &mut Cx<'_>) -> Next {
    cx.end_phase();
    cx.fail(reason, detail);
    Next::Failed
}

/// Where in the configuration an exchange is.
#[derive(Clone, Copy)]
struct Place(usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query_response[{}]", self.0)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Some(Expected::Line(pattern, _)) => {
                write!(f, "expected a line that matches {:?}", pattern.source())
            }
            Some(Expected::Bytes(bytes)) => write!(f, "expected the bytes {}", Excerpt(bytes)),
            None => f.write_str("expected nothing"),
        }
    }
}
