//! A final response: what its head says, reading its body, and the verdict.

use alloc::vec::Vec;
use core::fmt;

use super::body::{Framing, Piece};
use super::date;
use super::judge::{self, Fault};
use super::place::Place;
use super::response::Head;
use super::version::Version;
use super::{BODY_LENGTH, CONTENT_LENGTH, LAST_MODIFIED, REGEX_FAILED, SSL, STATUS_CODE, VERSION};
use crate::check::Cx;
use crate::io::Closed;
use crate::outcome::Reason;

/// A response of which the body is being read.
#[derive(Debug)]
pub(super) struct Answer {
    framing: Framing,
    /// Bytes of the body so far.
    received: u64,
    /// The body so far, if it is to be matched.
    held: Vec<u8>,
    matched: bool,
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

impl Answer {
    /// An answer to be read, with what is already known to be wrong. It is
    /// matched only if nothing is.
    pub(super) fn new(
        framing: Framing,
        fault: Option<Fault>,
        version: Version,
        matched: bool,
    ) -> Self {
        Self {
            framing,
            received: 0,
            held: Vec::new(),
            matched: matched && fault.is_none(),
            fault,
            version,
            progress: Progress::Reading,
        }
    }

    /// Whether the body has not been read to its end.
    pub(super) fn is_cut_off(&self) -> bool {
        self.progress == Progress::Reading
    }

    /// Ends the run: the redirect was refused, its body is not read.
    pub(super) fn refuse(mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        if core::mem::take(&mut self.matched) {
            self.fault = Some(Fault::BodyUnread);
        }
        self.judge(place, cx);
    }

    /// Reads on.
    pub(super) fn on_data(&mut self, place: Place<'_>, mut data: &[u8], cx: &mut Cx<'_>) {
        let limit = place.spec.module.largest_body(self.matched);
        loop {
            match self.framing.next(&mut data) {
                Ok(Piece::Content(content)) => {
                    let room = limit - self.received;
                    let fits = content
                        .len()
                        .min(usize::try_from(room).unwrap_or(usize::MAX));
                    self.received += fits as u64;
                    cx.set(BODY_LENGTH, self.received as f64);
                    if fits < content.len() {
                        self.progress = Progress::Read;
                        let sentence = format_args!("the body is larger than {limit} bytes");
                        return self.unreadable(place, Reason::BodyLimit, sentence, cx);
                    }
                    if self.matched {
                        self.held.extend_from_slice(content);
                    }
                }
                Ok(Piece::More) => return,
                Ok(Piece::End) => return self.judge(place, cx),
                Err(error) => {
                    return self.unreadable(place, error.reason(), format_args!("{error}"), cx);
                }
            }
        }
    }

    /// The stream ended in order (HTTP/2).
    pub(super) fn on_end(&mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        if self.framing.is_complete() {
            return self.judge(place, cx);
        }
        let sentence = format_args!("the stream ended before the end of the body");
        self.unreadable(place, Reason::BodyTruncated, sentence, cx);
    }

    /// The connection ended.
    pub(super) fn on_closed(&mut self, place: Place<'_>, why: &Closed, cx: &mut Cx<'_>) {
        if *why == Closed::End && self.framing.ends_with_connection() {
            return self.judge(place, cx);
        }
        let (reason, words) = broken_off(Reason::BodyTruncated, why, cx);
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
        if self.matched {
            cx.set(REGEX_FAILED, 1.0);
        }
        match self.fault {
            Some(fault) => fault.report(&place.spec.module, cx),
            None => cx.fail(reason, sentence),
        }
    }

    /// Ends the run: all that is wanted of the response is there.
    fn judge(&mut self, place: Place<'_>, cx: &mut Cx<'_>) {
        self.progress = Progress::Read;
        let module = &*place.spec.module;
        let fault = self
            .fault
            .or_else(|| self.matched.then(|| judge::body(module, &self.held))?)
            .or_else(|| judge::transport(module, self.version, place.url().secure));
        cx.end_phase();
        match fault {
            Some(fault) => fault.report(module, cx),
            None => cx.succeed(),
        }
    }
}

/// Notes what the head of the final response says.
pub(super) fn note(head: &Head<'_, '_>, length: i64, secured: bool, cx: &mut Cx<'_>) {
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
    cx: &Cx<'_>,
) -> (Reason, &'a dyn fmt::Display) {
    let reason = match why {
        Closed::End => closed,
        Closed::Tls(failure) => failure.reason,
        Closed::TimedOut => cx.core.phase.timeout(),
        Closed::Unreachable => Reason::ConnectUnreachable,
        Closed::Reset | Closed::Refused | Closed::Other(_) | Closed::Local(_) => Reason::PeerReset,
    };
    (reason, why)
}
