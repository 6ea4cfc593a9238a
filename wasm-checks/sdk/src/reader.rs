//! Messages from pieces, and a bound on what is held for one.

use alloc::format;
use alloc::vec::Vec;

use crate::bindings::probity::check::types::{Finding, Reason};

/// Puts messages together.
///
/// [`push`](Self::push) what arrives, and then take messages until there are no
/// more. A message that is longer than the bound is an error, however it is cut:
/// between two pushes no more than one unfinished message is held.
///
/// ```
/// use probity_check::Reader;
///
/// let mut reader = Reader::new(64);
/// reader.push(b"220 mail\r\n250-");
/// assert_eq!(reader.line(), Ok(Some(&b"220 mail"[..])));
/// assert_eq!(reader.line(), Ok(None));
/// assert_eq!(reader.held(), b"250-");
/// ```
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    /// Where the next message begins.
    begin: usize,
    /// How much of it was searched for its end.
    searched: usize,
    limit: usize,
}

/// A message is longer than a check is ready to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// Bytes that it may have.
    pub limit: usize,
}

impl From<TooMuch> for Finding {
    fn from(TooMuch { limit }: TooMuch) -> Self {
        Self {
            reason: Reason::TooMuch,
            detail: format!("a message of more than {limit} bytes"),
        }
    }
}

impl Reader {
    /// One that takes messages of at most so many bytes, their ends included.
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            begin: 0,
            searched: 0,
            limit,
        }
    }

    /// Adds what arrived.
    pub fn push(&mut self, data: &[u8]) {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.bytes.extend_from_slice(data);
    }

    /// What was not taken yet.
    pub fn held(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// The next line, without its `\n` or `\r\n`.
    ///
    /// # Errors
    /// If it is too long.
    pub fn line(&mut self) -> Result<Option<&[u8]>, TooMuch> {
        let unseen = &self.held()[self.searched..];
        let end = unseen.iter().position(|byte| *byte == b'\n');
        let total = end.map(|end| self.searched + end + 1);
        self.searched = self.held().len();
        let line = self.take_message(total)?;
        Ok(line.map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        }))
    }

    /// The next so many bytes.
    ///
    /// # Errors
    /// If that is too much.
    pub fn take(&mut self, bytes: usize) -> Result<Option<&[u8]>, TooMuch> {
        self.take_message(Some(bytes))
    }

    /// The next message, with its header: `length` finds out from the header,
    /// which has so many bytes, how long the whole message is. (A length that
    /// does not cover the header is taken as that of the header.)
    ///
    /// # Errors
    /// If it is too long.
    pub fn frame(
        &mut self,
        header: usize,
        length: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Option<&[u8]>, TooMuch> {
        let total = self.held().get(..header).map(length);
        self.take_message(total.map(|total| total.max(header)))
    }

    /// Takes the next message, if its length is known and it is there. A `usize`
    /// has 32 bits in Wasm: a length from a peer is never added to.
    fn take_message(&mut self, total: Option<usize>) -> Result<Option<&[u8]>, TooMuch> {
        let held = self.held().len();
        if total.unwrap_or(held) > self.limit {
            return Err(TooMuch { limit: self.limit });
        }
        let Some(total) = total.filter(|total| *total <= held) else {
            return Ok(None);
        };
        let begin = self.begin;
        self.begin += total;
        self.searched = 0;
        Ok(Some(&self.bytes[begin..self.begin]))
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, TooMuch};

    #[test]
    fn lines_come_in_any_pieces() {
        let text = b"one\r\ntwo\n\r\nthree\r\n";
        for cut in 0..=text.len() {
            let mut reader = Reader::new(7);
            let mut lines = alloc::vec::Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                reader.push(piece);
                while let Some(line) = reader.line().expect("all are short") {
                    lines.push(line.to_vec());
                }
            }
            assert_eq!(lines, [&b"one"[..], b"two", b"", b"three"], "cut at {cut}");
            assert!(reader.held().is_empty());
        }
    }

    #[test]
    fn a_bound_holds_however_a_message_is_cut() {
        let long = Err(TooMuch { limit: 8 });
        let mut reader = Reader::new(8);
        reader.push(b"12345678\n");
        assert_eq!(reader.line(), long);
        let mut reader = Reader::new(8);
        reader.push(b"12345678");
        assert_eq!(reader.line(), Ok(None));
        reader.push(b"\n");
        assert_eq!(reader.line(), long);
        let mut reader = Reader::new(8);
        // Many short ones in one piece are no long one.
        reader.push(b"1234567\n1234567\n");
        assert_eq!(reader.line(), Ok(Some(&b"1234567"[..])));
        assert_eq!(reader.line(), Ok(Some(&b"1234567"[..])));
        assert_eq!(reader.take(9), long);
    }

    #[test]
    fn frames_say_how_long_they_are() {
        let mut reader = Reader::new(16);
        let length = |header: &[u8]| usize::from(header[1]);
        reader.push(&[7]);
        assert_eq!(reader.frame(2, length), Ok(None));
        reader.push(&[4, 1]);
        assert_eq!(reader.frame(2, length), Ok(None));
        reader.push(&[2, 7, 0, 7, 17]);
        assert_eq!(reader.frame(2, length), Ok(Some(&[7, 4, 1, 2][..])));
        assert_eq!(reader.frame(2, length), Ok(Some(&[7, 0][..])));
        assert_eq!(reader.frame(2, length), Err(TooMuch { limit: 16 }));
    }
}
