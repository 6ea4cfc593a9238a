//! What has arrived and was not read yet: one buffer for lines and for exact
//! counts of bytes.

use alloc::vec::Vec;
use core::fmt;

use crate::check::excerpt::Excerpt;
use crate::limits::MAX_LINE_BYTES;

/// Bytes from the peer, in order. It holds at most one line or one expected
/// run of bytes, and what came with its end.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: Vec<u8>,
    /// How much of `held` was read.
    read: usize,
    /// How much of the rest has no end of a line.
    searched: usize,
    /// Whether nothing more will arrive.
    ended: bool,
    /// Bytes that arrived in all.
    received: u64,
    /// The line that was read last, cut.
    last: Vec<u8>,
    lines: u64,
}

/// The next line, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end. The last one of a stream need not have one.
    Whole(&'a [u8]),
    /// Its end has not arrived.
    Partial,
    /// It is longer than [`MAX_LINE_BYTES`].
    TooLong,
    /// The stream has ended, and everything was read.
    Over,
}

impl Inbox {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.held.drain(..self.read);
        self.read = 0;
        self.held.extend_from_slice(bytes);
        self.received += bytes.len() as u64;
    }

    /// Nothing more will arrive.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// The lines that were read, in words.
    pub(super) const fn heard(&self) -> Heard<'_> {
        Heard(self)
    }

    /// What has arrived of something whose end has not.
    pub(super) fn rest(&self) -> &[u8] {
        &self.held[self.read..]
    }

    /// Forgets what was not read: it came before what now begins.
    pub(super) fn discard(&mut self) {
        self.held.clear();
        (self.read, self.searched) = (0, 0);
    }

    /// Reads a line: up to `\n`, without it and without a `\r` before it.
    pub(super) fn line(&mut self) -> Line<'_> {
        let rest = &self.held[self.read..];
        let fresh = rest.get(self.searched..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let (length, next) = match end {
            Some(at) => (self.searched + at, self.searched + at + 1),
            None if self.ended => (rest.len(), rest.len()),
            None => (rest.len(), 0),
        };
        if length >= MAX_LINE_BYTES {
            return Line::TooLong;
        }
        if next == 0 {
            self.searched = length;
            return match self.ended {
                true => Line::Over,
                false => Line::Partial,
            };
        }
        let begin = self.read;
        self.read += next;
        self.searched = 0;
        let line = &self.held[begin..begin + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.lines += 1;
        self.last.clear();
        // One byte more than is shown, so that a cut can be seen.
        let shown = line.len().min(Excerpt::LONGEST + 1);
        self.last.extend_from_slice(&line[..shown]);
        Line::Whole(line)
    }

    /// Reads exactly `count` bytes, once they have arrived.
    pub(super) fn take(&mut self, count: usize) -> Option<&[u8]> {
        let bytes = self.held.get(self.read..self.read + count)?;
        self.read += count;
        self.searched = 0;
        Some(bytes)
    }
}

/// `3 lines, the last "..."`
pub(super) struct Heard<'a>(&'a Inbox);

impl fmt::Display for Heard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = Excerpt(&self.0.last);
        match self.0.lines {
            0 => f.write_str("no line"),
            1 => write!(f, "the line {last}"),
            lines => write!(f, "{lines} lines, the last {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.put(bytes);
        inbox
    }

    #[test]
    fn lines_end_with_a_newline_and_lose_one_carriage_return() {
        let mut inbox = inbox(b"a\r\nb\n\r\r\n\nc\rd");
        for line in [&b"a"[..], b"b", b"\r", b""] {
            assert_eq!(inbox.line(), Line::Whole(line));
        }
        assert_eq!(inbox.line(), Line::Partial);
        inbox.put(b"e\r");
        assert_eq!(inbox.line(), Line::Partial);
        inbox.end();
        assert_eq!(inbox.line(), Line::Whole(b"c\rde"));
        assert_eq!(inbox.line(), Line::Over);
        assert_eq!(inbox.heard().to_string(), r#"5 lines, the last "c\rde""#);
    }

    #[test]
    fn pieces_change_nothing() {
        let text = b"one\r\ntwo\nthree";
        for size in 1..text.len() {
            let (mut inbox, mut lines) = (Inbox::default(), Vec::new());
            for piece in text.chunks(size) {
                inbox.put(piece);
                while let Line::Whole(line) = inbox.line() {
                    lines.push(line.to_vec());
                }
            }
            inbox.end();
            assert_eq!(inbox.line(), Line::Whole(b"three"));
            assert_eq!(lines, [&b"one"[..], b"two"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_and_its_end_are_64_kib_at_most() {
        let mut longest = vec![b'x'; MAX_LINE_BYTES - 1];
        assert_eq!(inbox(&longest).line(), Line::Partial);
        longest.push(b'\n');
        assert!(matches!(inbox(&longest).line(), Line::Whole(line) if line.len() == 65_535));
        let mut longer = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(inbox(&longer).line(), Line::TooLong, "whatever comes");
        longer.push(b'\n');
        assert_eq!(inbox(&longer).line(), Line::TooLong);
        let mut ended = inbox(&longest[..MAX_LINE_BYTES - 1]);
        ended.end();
        assert!(matches!(ended.line(), Line::Whole(_)));
    }

    #[test]
    fn lines_and_bytes_share_what_has_arrived() {
        let mut inbox = inbox(b"line\nabcd");
        assert_eq!(inbox.line(), Line::Whole(b"line"));
        assert_eq!(inbox.line(), Line::Partial);
        assert_eq!(inbox.take(3), Some(&b"abc"[..]));
        assert_eq!(inbox.take(2), None);
        inbox.put(b"ef\ng");
        assert_eq!(inbox.take(2), Some(&b"de"[..]));
        assert_eq!(inbox.line(), Line::Whole(b"f"));
        inbox.discard();
        assert_eq!(inbox.line(), Line::Partial);
        assert_eq!(inbox.received(), 13);
    }
}
