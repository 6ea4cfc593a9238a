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
use super::size::Largest;
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
    /// Bytes of the decoded body so far.
    received: u64,
    /// The decoded body so far, if it is to be matched.
    held: Vec<u8>,
    matched: bool,
    /// What is known to be wrong: said when the body has been read.
    fault: Option<Fault>,
    version: Version,
    progress: Progress,
}

/// How far a body is.
#[derive(Debug)]
enum Progress {
    /// More is expected, or was when the run ended.
    Reading,
    /// The same, and what has come waits until the decoder may go on.
    Decoding(Box<Backlog>),
    /// All of it is there, and waits until it may be matched further.
    Matching(Box<Matching>),
    /// As much was read as there is, or as is wanted.
    Read,
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
            received: 0,
            held: Vec::new(),
            matched: matched && fault.is_none(),
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
        matches!(self.progress, Progress::Reading | Progress::Decoding(_))
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
        if let Progress::Matching(matching) = &self.progress {
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
        matches!(self.progress, Progress::Matching(_))
    }

    /// Whether somebody was looking at the body, should it end here: not if it
    /// did not even begin as `compression` says.
    fn is_looked_at(&self) -> bool {
        self.matched && self.decoder.as_ref().is_none_or(|it| it.has_begun())
    }

    /// What is still to be looked at, if that waits for the next turn.
    pub(super) fn backlog(&mut self) -> Option<&mut Backlog> {
        match &mut self.progress {
            Progress::Decoding(backlog) => Some(backlog),
            _ => None,
        }
    }

    /// See [`Check::behind_with`](crate::check::Check::behind_with).
    pub(super) const fn behind_with(&self) -> Option<&'static str> {
        match self.progress {
            Progress::Decoding(_) => Some("decode the body that had come"),
            Progress::Matching(_) => Some("match the body that had come"),
            Progress::Reading | Progress::Read => None,
        }
    }

    /// See [`Check::waits_for`](crate::check::Check::waits_for).
    pub(super) fn waits_for(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.progress {
            Progress::Decoding(_) => write!(
                f,
                ": decoded {} bytes, and not all that came",
                self.received
            ),
            _ => Ok(()),
        }
    }

    /// Goes on in a new turn with what was begun. Gives what came after it,
    /// unless it is still too much.
    pub(super) fn catch_up(&mut self, place: Place<'_>, cx: &mut Cx<'_>) -> Option<Box<Backlog>> {
        match core::mem::replace(&mut self.progress, Progress::Reading) {
            Progress::Decoding(mut backlog) => match self.take(place, backlog.piece(), cx) {
                Ok(None) => return Some(backlog),
                Ok(Some(left)) => {
                    backlog.keep(left);
                    self.progress = Progress::Decoding(backlog);
                }
                Err(stop) => self.stop(place, &stop, cx),
            },
            Progress::Matching(mut matching) => {
                match matching.go_on(&place.spec.module, &self.held, cx) {
                    Some(judged) => self.conclude(place, judged.err(), cx),
                    None => self.progress = Progress::Matching(matching),
                }
            }
            other => self.progress = other,
        }
        None
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
                        self.progress = Progress::Decoding(Box::new(Backlog::new(begun, data)));
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
        limit: Option<Largest>,
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
    fn keep(
        &mut self,
        content: &[u8],
        limit: Option<Largest>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Stop> {
        let most = limit.map_or(u64::MAX, Largest::bytes);
        let room = usize::try_from(most - self.received).unwrap_or(usize::MAX);
        let fits = content.len().min(room);
        self.received += fits as u64;
        cx.set(BODY_LENGTH, self.received as f64);
        if let Some(limit) = limit
            && fits < content.len()
        {
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
        if self.fault.is_some() || !self.matched {
            return self.conclude(place, self.fault, cx);
        }
        // Most are through at once.
        let mut matching = Matching::new();
        match matching.go_on(&place.spec.module, &self.held, cx) {
            Some(judged) => self.conclude(place, judged.err(), cx),
            None => self.progress = Progress::Matching(Box::new(matching)),
        }
    }

    /// Ends the run, with what the expressions have found in the body.
    fn conclude(&mut self, place: Place<'_>, fault: Option<Fault>, cx: &mut Cx<'_>) {
        self.progress = Progress::Read;
        let body = core::mem::take(&mut self.held);
        self.verdict(place, fault, &body, cx);
        cx.give_buffer(body);
    }

    fn verdict(&self, place: Place<'_>, fault: Option<Fault>, body: &[u8], cx: &mut Cx<'_>) {
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
