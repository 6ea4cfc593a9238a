//! A final response: what its head says, reading its body, and the verdict.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::backlog::Backlog;
use super::body::{Framing, Piece};
use super::config::Module;
use super::date;
use super::decode::{Coding, DecodeError, Decoder};
use super::judge::{self, Fault};
use super::matching::Matching;
use super::place::Place;
use super::response::Head;
use super::version::Version;
use super::{BODY_LENGTH, CEL_FAILED, CONTENT_LENGTH, LAST_MODIFIED, SSL, STATUS_CODE, VERSION};
use crate::check::Cx;
use crate::config::NoAnswer;
use crate::io::Closed;
use crate::outcome::{Outcome, Reason};

/// A response of which the body is being read.
#[derive(Debug)]
pub(super) struct Answer {
    framing: Framing,
    /// What the body goes through, if it is coded.
    decoder: Option<Box<Decoder>>,
    /// What waits until the decoder may go on.
    backlog: Option<Box<Backlog>>,
    /// Bytes of the decoded body so far.
    received: u64,
    /// The decoded body so far, if it is to be matched.
    held: Vec<u8>,
    matched: bool,
    /// How far that is, if it waits for the next turn.
    matching: Option<Box<Matching>>,
    /// What is known to be wrong: said when the body has been read.
    fault: Option<Fault>,
    version: Version,
    progress: Progress,
}

/// How far the reading of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// More is expected, or was when the run ended.
    Reading,
    /// As much was read as there is, or as is wanted.
    Read,
}

/// How many bytes of a body are read at most, decoded if it is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Largest {
    /// The module's `body_size_limit`: a larger body is a failure.
    Module(u64),
    /// As much as CEL looks at here.
    Parsed(u64),
    /// As much as is held here to be matched, unless the module says otherwise.
    Matched(u64),
    /// As much as is decoded here, unless the module says otherwise.
    Decoded(u64),
}

impl Largest {
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Module(bytes)
            | Self::Parsed(bytes)
            | Self::Matched(bytes)
            | Self::Decoded(bytes) => bytes,
        }
    }
}

impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        f.write_str("the body is larger than ")?;
        match self {
            Self::Module(_) => write!(f, "{bytes} bytes"),
            Self::Parsed(_) => write!(
                f,
                "the {bytes} bytes that expressions in CEL look at: ask the target for less, \
                 or set a smaller body_size_limit to fail it"
            ),
            Self::Matched(_) => write!(
                f,
                "the {bytes} bytes that are held to be matched: set a larger body_size_limit to \
                 have more matched, or a smaller one to fail it"
            ),
            Self::Decoded(_) => write!(
                f,
                "the {bytes} bytes that are decoded: set a larger body_size_limit to have more \
                 decoded, or a smaller one to fail it"
            ),
        }
    }
}

/// Why no more of a body is read.
enum Stop {
    /// It is larger than that.
    Limit(Largest),
    /// It is not what `compression` says.
    Coding(DecodeError),
}

/// Bytes that a decoder writes before they are counted.
const DECODED_AT_ONCE: usize = 8 * 1024;

impl Answer {
    /// An answer to be read, with what is already known to be wrong. It is
    /// matched only if nothing is.
    pub(super) fn new(
        framing: Framing,
        fault: Option<Fault>,
        version: Version,
        matched: bool,
        coding: Coding,
    ) -> Self {
        Self {
            framing,
            decoder: coding.decoder().map(Box::new),
            backlog: None,
            received: 0,
            held: Vec::new(),
            matched: matched && fault.is_none(),
            matching: None,
            fault,
            version,
            progress: Progress::Reading,
        }
    }

    /// Says where a body is held that is to be matched.
    pub(super) fn hold_in(&mut self, buffer: Vec<u8>) {
        self.held = buffer;
    }

    /// Whether the body has not been read to its end.
    pub(super) fn is_cut_off(&self) -> bool {
        self.progress == Progress::Reading
    }

    /// Whether the body is to be matched.
    pub(super) fn is_matched(&self) -> bool {
        self.matched
    }

    /// The time of the run is over: ends it with what is known to be wrong.
    pub(super) fn condemn(&self, place: Place<'_>, cx: &mut Cx<'_>) {
        if let Some(fault) = self.fault {
            fault.report(&place.spec.module, cx);
        }
    }

    /// It is over, and nothing was known to be wrong. If the body is there, it is we
    /// who are not through with it.
    pub(super) fn on_expiry(&self, module: &Module, cx: &mut Cx<'_>) {
        if let Some(matching) = &self.matching {
            beyond(
                format_args!("{}", matching.unfinished(module, &self.held)),
                cx,
            );
        } else if self.is_looked_at() {
            judge::unread(module, cx);
        }
    }

    /// Whether the body has been read to its end, and is being matched: what comes
    /// after that is not looked at.
    pub(super) const fn is_complete(&self) -> bool {
        self.matching.is_some()
    }

    /// Whether somebody was looking at the body, should it end here: not if it
    /// did not even begin as `compression` says.
    fn is_looked_at(&self) -> bool {
        self.matched && self.decoder.as_ref().is_none_or(|it| it.has_begun())
    }

    /// What is still to be looked at, if that waits for the next turn.
    pub(super) fn backlog(&mut self) -> Option<&mut Backlog> {
        self.backlog.as_deref_mut()
    }

    /// See [`Check::behind_with`](crate::check::Check::behind_with).
    pub(super) const fn behind_with(&self) -> Option<&'static str> {
        if self.backlog.is_some() {
            Some("decode the body that had come")
        } else if self.matching.is_some() {
            Some("match the body that had come")
        } else {
            None
        }
    }

    /// See [`Check::waits_for`](crate::check::Check::waits_for).
    pub(super) fn waits_for(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backlog.is_some() {
            true => write!(
                f,
                ": decoded {} bytes, and not all that came",
                self.received
            ),
            false => Ok(()),
        }
    }

    /// Goes on in a new turn with what was begun. Gives what came after it,
    /// unless it is still too much.
    pub(super) fn catch_up(&mut self, place: Place<'_>, cx: &mut Cx<'_>) -> Option<Box<Backlog>> {
        if self.matching.is_some() {
            self.judge(place, cx);
            return None;
        }
        let mut backlog = self.backlog.take()?;
        match self.take(place, backlog.piece(), cx) {
            Ok(None) => Some(backlog),
            Ok(Some(left)) => {
                backlog.keep(left);
                self.backlog = Some(backlog);
                None
            }
            Err(stop) => {
                self.stop(place, &stop, cx);
                None
            }
        }
    }

    /// Ends the run: the redirect was refused, its body is not read.
    pub(super) fn refuse(mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        if core::mem::take(&mut self.matched) {
            self.fault = Some(Fault::BodyUnread);
        }
        self.judge(place, cx);
    }

    /// Reads on, as far as this turn may.
    pub(super) fn on_data(&mut self, place: Place<'_>, mut data: &[u8], cx: &mut Cx<'_>) {
        loop {
            match self.framing.next(&mut data) {
                Ok(Piece::Content(content)) => match self.take(place, content, cx) {
                    Ok(None) => {}
                    Ok(Some(left)) => {
                        let begun = &content[content.len() - left..];
                        self.backlog = Some(Box::new(Backlog::new(begun, data)));
                        return;
                    }
                    Err(stop) => return self.stop(place, &stop, cx),
                },
                Ok(Piece::More) => return,
                Ok(Piece::End) => return self.ended(place, cx),
                Err(error) => {
                    return self.unreadable(place, error.reason(), format_args!("{error}"), cx);
                }
            }
        }
    }

    /// The stream ended in order (HTTP/2).
    pub(super) fn on_end(&mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        if self.framing.is_complete() {
            return self.ended(place, cx);
        }
        let sentence = format_args!("the stream ended before the end of the body");
        self.unreadable(place, Reason::BodyTruncated, sentence, cx);
    }

    /// Takes a piece of the body as it was sent. If that is too much for this
    /// turn, it asks for the next one and returns how much of the piece is left:
    /// nothing, maybe, since much may come out of its last byte.
    fn take(
        &mut self,
        place: Place<'_>,
        content: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<usize>, Stop> {
        let limit = place.spec.module.largest_body(self.matched);
        match self.decoder.take() {
            None => self.keep(content, limit, cx).map(|()| None),
            Some(mut decoder) => {
                let taken = self.decode(&mut decoder, content, limit, cx);
                self.decoder = Some(decoder);
                taken
            }
        }
    }

    /// See [`Answer::take`].
    fn decode(
        &mut self,
        decoder: &mut Decoder,
        mut content: &[u8],
        limit: Largest,
        cx: &mut Cx<'_>,
    ) -> Result<Option<usize>, Stop> {
        let mut decoded = [0; DECODED_AT_ONCE];
        loop {
            let left = cx.work_left();
            if left == 0 {
                cx.go_on_later();
                return Ok(Some(content.len()));
            }
            let weight = decoder.weight();
            let (mut piece, _) = content.split_at(content.len().min(left.div_ceil(weight)));
            let given = piece.len();
            let length = decoder
                .decode(&mut piece, &mut decoded)
                .map_err(Stop::Coding)?;
            let read = given - piece.len();
            content = &content[read..];
            cx.worked(length + read.saturating_mul(weight));
            match length {
                0 if content.is_empty() => return Ok(None),
                length => self.keep(&decoded[..length], limit, cx)?,
            }
        }
    }

    /// Counts a piece of the decoded body, and keeps it if it is to be matched.
    fn keep(&mut self, content: &[u8], limit: Largest, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let room = usize::try_from(limit.bytes() - self.received).unwrap_or(usize::MAX);
        let fits = content.len().min(room);
        self.received += fits as u64;
        cx.set(BODY_LENGTH, self.received as f64);
        if fits < content.len() {
            return Err(Stop::Limit(limit));
        }
        if self.matched {
            self.held.extend_from_slice(content);
        }
        Ok(())
    }

    /// The body as it was sent is complete.
    fn ended(&mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        match self.decoder.as_ref().map(|decoder| decoder.finish()) {
            None | Some(Ok(())) => self.judge(place, cx),
            Some(Err(error)) => {
                self.stop(place, &Stop::Coding(error), cx);
            }
        }
    }

    /// No more of the body is read.
    fn stop(&mut self, place: Place<'_>, stop: &Stop, cx: &mut Cx<'_>) {
        self.progress = Progress::Read;
        match stop {
            Stop::Limit(limit @ Largest::Module(_)) => {
                self.unreadable(place, Reason::BodyLimit, format_args!("{limit}"), cx);
            }
            Stop::Limit(bound) if self.fault.is_none() => beyond(format_args!("{bound}"), cx),
            Stop::Limit(bound) => {
                self.unreadable(place, Reason::LocalBound, format_args!("{bound}"), cx);
            }
            Stop::Coding(error) => {
                self.unreadable(place, Reason::BodyEncoding, format_args!("{error}"), cx);
            }
        }
    }

    /// The connection ended.
    pub(super) fn on_closed(&mut self, place: Place<'_>, why: &Closed, cx: &mut Cx<'_>) {
        if self.is_complete() {
            return;
        }
        if *why == Closed::End && self.framing.ends_with_connection() {
            return self.ended(place, cx);
        }
        let (reason, words) = broken_off(Reason::BodyTruncated, why, place, cx);
        let sentence = format_args!("{words} before the end of the body");
        self.unreadable(place, reason, sentence, cx);
    }

    /// Ends the run: the body cannot be read to its end. What was wrong
    /// before goes first.
    pub(super) fn unreadable(
        &self,
        place: Place<'_>,
        reason: Reason,
        sentence: fmt::Arguments<'_>,
        cx: &mut Cx<'_>,
    ) {
        if self.is_looked_at() {
            judge::unread(&place.spec.module, cx);
        }
        match self.fault {
            Some(fault) => fault.report(&place.spec.module, cx),
            None => cx.fail(reason, sentence),
        }
    }

    /// All that is wanted of the response is there: ends the run, as soon as the
    /// body is matched.
    fn judge(&mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        self.progress = Progress::Read;
        let fault = match self.fault {
            None if self.matched => match self.match_body(&place.spec.module, cx) {
                Some(judged) => judged.err(),
                None => return,
            },
            fault => fault,
        };
        let held = core::mem::take(&mut self.held);
        self.conclude(place, fault, &held, cx);
        cx.give_buffer(held);
    }

    /// See [`Matching::go_on`].
    fn match_body(&mut self, module: &Module, cx: &mut Cx<'_>) -> Option<Result<(), Fault>> {
        if let Some(matching) = &mut self.matching {
            return matching.go_on(module, &self.held, cx);
        }
        // Most are through at once.
        let mut matching = Matching::new();
        let judged = matching.go_on(module, &self.held, cx);
        if judged.is_none() {
            self.matching = Some(Box::new(matching));
        }
        judged
    }

    /// Ends the run, with what the expressions have found in the body.
    fn conclude(&self, place: Place<'_>, fault: Option<Fault>, body: &[u8], cx: &mut Cx<'_>) {
        let module = &*place.spec.module;
        if fault.is_none()
            && self.matched
            && let Err(why) = judge::json(module, body)
        {
            cx.end_phase();
            return match why {
                NoAnswer::Failed(words) => {
                    cx.set(CEL_FAILED, 1.0);
                    cx.fail(Reason::JsonMismatch, format_args!("{words}"));
                }
                NoAnswer::Beyond(words) => beyond(format_args!("{words}"), cx),
            };
        }
        let fault = fault.or_else(|| judge::transport(module, self.version, place.url().secure));
        cx.end_phase();
        match fault {
            Some(fault) => fault.report(module, cx),
            None => cx.succeed(),
        }
    }
}

/// Ends the run: what is to be judged is beyond a bound of ours, which is not the
/// target's fault.
fn beyond(sentence: fmt::Arguments<'_>, cx: &mut Cx<'_>) {
    cx.finish(Outcome::Unknown(Reason::LocalBound), sentence);
}

/// Notes what the head of the final response says, and that its transfer counts
/// from now on, however it ends.
pub(super) fn note(head: &Head<'_, '_>, length: i64, secured: bool, cx: &mut Cx<'_>) {
    cx.count_partial();
    cx.set(STATUS_CODE, f64::from(head.status));
    cx.set(VERSION, head.version.number());
    cx.set(CONTENT_LENGTH, length as f64);
    cx.set(SSL, if secured { 1.0 } else { 0.0 });
    if let Some(date) = head.value("Last-Modified").and_then(date::parse) {
        cx.set(LAST_MODIFIED, date as f64);
    }
}

/// What it means that the connection ended too early, in a word and in words.
/// `closed` is the reason if the peer closed it in order.
pub(super) fn broken_off<'a>(
    closed: Reason,
    why: &'a Closed,
    place: Place<'_>,
    cx: &Cx<'_>,
) -> (Reason, &'a dyn fmt::Display) {
    let reason = match why {
        Closed::End => closed,
        Closed::Tls(_) if place.is_secured_by_proxy_alone() => Reason::ProxyTls,
        Closed::Tls(failure) => failure.reason,
        Closed::TimedOut => cx.core.phase.timeout(),
        Closed::Unreachable => Reason::ConnectUnreachable,
        Closed::Reset | Closed::Refused | Closed::Other(_) | Closed::Local(_) => Reason::PeerReset,
    };
    (reason, why)
}
