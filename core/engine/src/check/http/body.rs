//! Where a response body ends: RFC 9112 sections 6.3 and 7.1.

use core::fmt;

use super::response::Head;
use super::version::Version;
use crate::limits::{MAX_CHUNK_LINE_BYTES, MAX_HEAD_BYTES};
use crate::outcome::Reason;

/// How the end of a body is found, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunked),
    /// It ends with the connection.
    UntilClose,
    /// It comes without anything around it, and somebody else says where it
    /// ends: in the frames of HTTP/2. So many bytes are still to come, if that
    /// was announced.
    Framed(Option<u64>),
}

/// Position within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the line with the size of a chunk, of which `line` bytes were read.
    Size { size: u64, line: u16 },
    /// Between the size and what may follow it: an extension or the end.
    Padding { size: u64, line: u16 },
    /// In the extensions of that line, which mean nothing.
    Extension { size: u64, line: u16 },
    /// Before the LF of that line.
    SizeEnd { size: u64 },
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// Before the CR that ends a chunk.
    DataCr,
    /// Before the LF that ends a chunk.
    DataLf,
    /// In the trailer section, of which `bytes` bytes were read; `empty` while
    /// nothing of the current line was.
    Trailer { bytes: u32, empty: bool },
    /// After the last line.
    End,
}

/// The next part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Bytes of its content; never none.
    Content(&'a [u8]),
    /// All that was given is used up, and the end has not come.
    More,
    /// The body is complete.
    End,
}

/// The framing of a body makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// `Content-Length` is no number, or several different ones.
    ContentLength,
    /// `Transfer-Encoding` is not `chunked` alone: nothing else was asked for,
    /// and nobody here could undo it.
    TransferEncoding,
    /// Where a chunk's size should be, there was this byte.
    ChunkSize(u8),
    /// A chunk of more bytes than can be counted.
    ChunkTooLarge,
    /// More than `Content-Length` says.
    TooLong,
    /// A chunk, or the line before it, does not end with CR LF.
    ChunkEnd(u8),
    /// The line before a chunk is longer than any sensible one.
    ChunkLine,
    /// The fields after the last chunk exceed the cap on heads.
    Trailer,
}

impl BodyError {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Trailer => Reason::HttpHeaderLimit,
            _ => Reason::HttpMalformed,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentLength => f.write_str("Content-Length is not one number"),
            Self::TransferEncoding => {
                f.write_str("unsupported Transfer-Encoding: expected chunked and nothing else")
            }
            Self::ChunkSize(byte) => {
                write!(f, "expected the size of a chunk, found {}", Byte(*byte))
            }
            Self::ChunkTooLarge => f.write_str("a chunk is larger than can be counted"),
            Self::TooLong => f.write_str("the body is longer than Content-Length says"),
            Self::ChunkEnd(byte) => write!(f, "expected CR LF at a chunk, found {}", Byte(*byte)),
            Self::ChunkLine => write!(
                f,
                "the line before a chunk is longer than {MAX_CHUNK_LINE_BYTES} bytes"
            ),
            Self::Trailer => write!(f, "the trailer is larger than {MAX_HEAD_BYTES} bytes"),
        }
    }
}

struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", [self.0].escape_ascii())
    }
}

/// What the head says about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Where the body ends.
    pub(super) framing: Framing,
    /// The announced length, as Go's `Response.ContentLength` has it: -1 when
    /// it is not known beforehand. For HEAD, that of a body that never comes.
    pub(super) length: i64,
}

/// Applies RFC 9112 section 6.3 to the head of a response to a request with
/// or without the method HEAD.
pub(super) fn announced(head: &Head<'_, '_>, to_head: bool) -> Result<Announced, BodyError> {
    if head.version == Version::Http2 {
        return Ok(framed(head, to_head));
    }
    // An HTTP/1.0 server does not know the field (RFC 9112 section 6.1 calls
    // it faulty); like Go, go by what HTTP/1.0 has.
    let chunked = head.version.has_chunks() && is_chunked(head)?;
    // It has to be a number also where there is no body.
    let said = content_length(head)?;
    let (framing, length) = match head.status {
        // Whatever the new protocol is, it goes on until the peer closes.
        101 if !to_head && switches(head) => (Framing::UntilClose, 0),
        _ if to_head => (Framing::Length(0), said.unwrap_or(-1)),
        100..200 | 204 | 304 => (Framing::Length(0), 0),
        // It overrides Content-Length (RFC 9112 section 6.3, rule 3).
        _ if chunked => (Framing::Chunked(Chunked::START), -1),
        _ => match said {
            Some(length) => (Framing::Length(length.unsigned_abs()), length),
            None => (Framing::UntilClose, -1),
        },
    };
    Ok(Announced { framing, length })
}

/// Whether a 101 says what it switches to, as Go wants it (RFC 9110 section 7.8).
/// One that does not has no body, as any other 1xx.
fn switches(head: &Head<'_, '_>) -> bool {
    let options = head.values("Connection");
    let mut options = options.flat_map(|value| value.split(|byte| *byte == b','));
    head.value("Upgrade").is_some_and(|to| !to.is_empty())
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// RFC 9113 section 8.1.1: the frames say where a body ends, and that must be
/// where `Content-Length` says. One that is no number, or more than one, says
/// nothing, as for Go: nobody goes by it.
fn framed(head: &Head<'_, '_>, to_head: bool) -> Announced {
    let mut values = head.values("Content-Length");
    let length = match (values.next(), values.next()) {
        (None, _) => (head.ended && !to_head).then_some(0),
        (Some(only), None) => number(only),
        (Some(_), Some(_)) => None,
    };
    let framing = match head.status {
        _ if to_head => Framing::Length(0),
        // It may be the length of a body that was not sent.
        204 | 304 if head.ended => Framing::Framed(None),
        _ => Framing::Framed(length.map(i64::unsigned_abs)),
    };
    Announced {
        framing,
        length: length.unwrap_or(-1),
    }
}

/// Whether the body comes in chunks. Like Go, know no other transfer coding,
/// since none was offered in `TE`, and no list of them.
fn is_chunked(head: &Head<'_, '_>) -> Result<bool, BodyError> {
    let mut values = head.values("Transfer-Encoding");
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(BodyError::TransferEncoding),
    }
}

/// The value of `Content-Length`; the same number may be repeated (RFC 9110
/// section 8.6), and an empty one is none, as for Go.
fn content_length(head: &Head<'_, '_>) -> Result<Option<i64>, BodyError> {
    if head.values("Content-Length").all(<[u8]>::is_empty) {
        return Ok(None);
    }
    let mut found = None;
    let values = head
        .values("Content-Length")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    for value in values {
        let number = number(value).ok_or(BodyError::ContentLength)?;
        if found.is_some_and(|found| found != number) {
            return Err(BodyError::ContentLength);
        }
        found = Some(number);
    }
    Ok(found)
}

fn number(value: &[u8]) -> Option<i64> {
    let is_plain = value.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(value).ok().filter(|_| is_plain)?;
    text.parse().ok()
}

impl Framing {
    /// Takes the next piece off the front of `data`.
    pub(super) fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Piece<'a>, BodyError> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take(left, data)),
            Self::UntilClose | Self::Framed(_) if data.is_empty() => Ok(Piece::More),
            Self::Framed(Some(0)) => Err(BodyError::TooLong),
            Self::Framed(Some(left)) => Ok(take(left, data)),
            Self::Framed(None) => Ok(Piece::Content(core::mem::take(data))),
            Self::UntilClose => Ok(Piece::Content(core::mem::take(data))),
            Self::Chunked(chunked) => chunked.next(data),
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub(super) fn ends_with_connection(&self) -> bool {
        *self == Self::UntilClose
    }

    /// Whether all that was announced has come, if anything was.
    pub(super) fn is_complete(&self) -> bool {
        !matches!(self, Self::Framed(Some(1..)))
    }
}

fn take<'a>(left: &mut u64, data: &mut &'a [u8]) -> Piece<'a> {
    let length = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
    let (content, rest) = data.split_at(length);
    *left -= length as u64;
    *data = rest;
    if content.is_empty() {
        Piece::More
    } else {
        Piece::Content(content)
    }
}

impl Chunked {
    const START: Self = Self::Size { size: 0, line: 0 };

    fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Piece<'a>, BodyError> {
        loop {
            match self {
                Self::End => return Ok(Piece::End),
                Self::Data(0) => *self = Self::DataCr,
                Self::Data(left) => return Ok(take(left, data)),
                _ => {
                    let Some((byte, rest)) = data.split_first() else {
                        return Ok(Piece::More);
                    };
                    *data = rest;
                    *self = self.after(*byte)?;
                }
            }
        }
    }

    /// The position after a byte that is not content.
    fn after(self, byte: u8) -> Result<Self, BodyError> {
        Ok(match self {
            Self::Size { size, line } => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) => Self::Size {
                    size: size.checked_mul(16).ok_or(BodyError::ChunkTooLarge)? + u64::from(digit),
                    line: longer(line)?,
                },
                (None, _) if line == 0 => return Err(BodyError::ChunkSize(byte)),
                (None, b'\r') => Self::SizeEnd { size },
                (None, b';') => Self::Extension {
                    size,
                    line: longer(line)?,
                },
                (None, b' ' | b'\t') => Self::Padding {
                    size,
                    line: longer(line)?,
                },
                (None, _) => return Err(BodyError::ChunkSize(byte)),
            },
            Self::Padding { size, line } => match byte {
                b'\r' => Self::SizeEnd { size },
                b';' => Self::Extension {
                    size,
                    line: longer(line)?,
                },
                b' ' | b'\t' => Self::Padding {
                    size,
                    line: longer(line)?,
                },
                _ => return Err(BodyError::ChunkSize(byte)),
            },
            Self::Extension { size, line } => match byte {
                b'\r' => Self::SizeEnd { size },
                // A lone LF is what smuggled requests are made of.
                b'\n' => return Err(BodyError::ChunkEnd(byte)),
                _ => Self::Extension {
                    size,
                    line: longer(line)?,
                },
            },
            Self::SizeEnd { size } => match (byte, size) {
                (b'\n', 0) => Self::Trailer {
                    bytes: 0,
                    empty: true,
                },
                (b'\n', size) => Self::Data(size),
                _ => return Err(BodyError::ChunkEnd(byte)),
            },
            Self::DataCr if byte == b'\r' => Self::DataLf,
            Self::DataLf if byte == b'\n' => Self::START,
            Self::DataCr | Self::DataLf => return Err(BodyError::ChunkEnd(byte)),
            Self::Trailer { bytes, empty } => match byte {
                b'\n' if empty => Self::End,
                _ if bytes as usize >= MAX_HEAD_BYTES => return Err(BodyError::Trailer),
                b'\n' => Self::Trailer {
                    bytes: bytes + 1,
                    empty: true,
                },
                b'\r' => Self::Trailer {
                    bytes: bytes + 1,
                    empty,
                },
                _ => Self::Trailer {
                    bytes: bytes + 1,
                    empty: false,
                },
            },
            Self::Data(_) | Self::End => self,
        })
    }
}

fn longer(line: u16) -> Result<u16, BodyError> {
    if usize::from(line) < MAX_CHUNK_LINE_BYTES {
        Ok(line + 1)
    } else {
        Err(BodyError::ChunkLine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::http::response::Raw;
    use alloc::vec::Vec;
    use alloc::{format, vec};
    use proptest::prelude::*;

    /// The content, whether the end was seen, and what was left over.
    type Read = Result<(Vec<u8>, bool, usize), BodyError>;

    fn read(mut framing: Framing, parts: &[&[u8]]) -> Read {
        let mut content = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut data = *part;
            loop {
                match framing.next(&mut data)? {
                    Piece::Content(bytes) => content.extend_from_slice(bytes),
                    Piece::More => break,
                    Piece::End => {
                        let rest: usize = parts[index + 1..].iter().map(|part| part.len()).sum();
                        return Ok((content, true, data.len() + rest));
                    }
                }
            }
        }
        Ok((content, false, 0))
    }

    fn chunked(text: &[u8]) -> Read {
        read(Framing::Chunked(Chunked::START), &[text])
    }

    fn announce(head: &str, to_head: bool) -> Result<(Framing, i64), BodyError> {
        let mut fields = Head::fields();
        let raw = Raw::new(head.as_bytes()).unwrap();
        let head = Head::parse(&raw, &mut fields).unwrap();
        announced(&head, to_head).map(|announced| (announced.framing, announced.length))
    }

    #[test]
    fn the_head_says_where_the_body_ends() {
        let start = Framing::Chunked(Chunked::START);
        for (head, expected) in [
            ("200 OK\r\nContent-Length: 5", (Framing::Length(5), 5)),
            (
                "200 OK\r\nContent-Length: 5, 5\r\ncontent-length:5",
                (Framing::Length(5), 5),
            ),
            ("200 OK", (Framing::UntilClose, -1)),
            ("200 OK\r\nTransfer-Encoding: chunked", (start, -1)),
            ("200 OK\r\nTransfer-Encoding:\tChunked ", (start, -1)),
            ("200 OK\r\nContent-Length: ", (Framing::UntilClose, -1)),
            (
                "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
                (start, -1),
            ),
            (
                "204 No Content\r\nContent-Length: 5",
                (Framing::Length(0), 0),
            ),
            (
                "304 Not Modified\r\nContent-Length: 5",
                (Framing::Length(0), 0),
            ),
            ("101 Switching", (Framing::Length(0), 0)),
            ("101 Switching\r\nUpgrade: x", (Framing::Length(0), 0)),
            (
                "101 Switching\r\nConnection: Upgrade",
                (Framing::Length(0), 0),
            ),
            (
                "101 Switching\r\nUpgrade:\r\nConnection: Upgrade",
                (Framing::Length(0), 0),
            ),
            (
                "101 Switching\r\nUpgrade: x\r\nConnection: Upgrade",
                (Framing::UntilClose, 0),
            ),
            (
                "101 Switching\r\nUpgrade: x\r\nConnection: a\r\nConnection: b, upgrade",
                (Framing::UntilClose, 0),
            ),
        ] {
            let head = format!("HTTP/1.1 {head}\r\n\r\n");
            assert_eq!(announce(&head, false), Ok(expected), "{head}");
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(announce(old, false), Ok((Framing::Length(3), 3)));
    }

    #[test]
    fn a_response_to_head_has_a_length_and_no_body() {
        for status in ["200 OK", "204 No Content", "304 Not Modified"] {
            for (fields, length) in [
                ("Content-Length: 5", 5),
                ("Date: x", -1),
                ("Transfer-Encoding: chunked", -1),
                ("Transfer-Encoding: chunked\r\nContent-Length: 7", 7),
            ] {
                let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n");
                let expected = Ok((Framing::Length(0), length));
                assert_eq!(announce(&head, true), expected, "{head}");
            }
        }
    }

    #[test]
    fn no_transfer_coding_but_chunked_is_known() {
        for fields in [
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: ",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            let refused = Err(BodyError::TransferEncoding);
            assert_eq!(announce(&head, false), refused, "{fields}");
            let head = head.replace("1.1", "1.0");
            assert!(announce(&head, false).is_ok(), "{fields}");
        }
    }

    #[test]
    fn a_length_that_is_no_number_or_two_is_refused() {
        for value in [
            "x",
            "-1",
            "+5",
            "5 5",
            "5,6",
            "5,",
            "0x5",
            "9223372036854775808",
        ] {
            for status in ["200 OK", "204 No Content", "304 Not Modified"] {
                for more in ["", "Transfer-Encoding: chunked\r\n"] {
                    let head =
                        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {value}\r\n\r\n");
                    for to_head in [false, true] {
                        let refused = Err(BodyError::ContentLength);
                        assert_eq!(announce(&head, to_head), refused, "{head}");
                    }
                }
            }
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
        assert_eq!(announce(head, false), Err(BodyError::ContentLength));
    }

    #[test]
    fn chunks_are_joined_and_extensions_and_trailers_skipped() {
        for (text, content, left) in [
            ("0\r\n\r\n", "", 0),
            ("3\r\nabc\r\n0\r\n\r\nnext", "abc", 4),
            (
                "A;x=\"y\"\r\n0123456789\r\n1 \r\n!\r\n000\r\nX: y\r\n\r\n",
                "0123456789!",
                0,
            ),
        ] {
            let expected = Ok((content.as_bytes().to_vec(), true, left));
            assert_eq!(chunked(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(chunked(b"5\r\nab"), Ok((b"ab".to_vec(), false, 0)));
        assert_eq!(
            chunked(b"2\r\nab\r\n0\r\nX: y\r\n"),
            Ok((b"ab".to_vec(), false, 0))
        );
    }

    #[test]
    fn chunked_nonsense_is_refused() {
        for (text, error) in [
            (&b"\r\n"[..], BodyError::ChunkSize(b'\r')),
            (b"zz\r\n", BodyError::ChunkSize(b'z')),
            (b"-1\r\n", BodyError::ChunkSize(b'-')),
            (b"5\n", BodyError::ChunkSize(b'\n')),
            (b"5x\r\n", BodyError::ChunkSize(b'x')),
            (b"5 5\r\n", BodyError::ChunkSize(b'5')),
            (b"5;x\n", BodyError::ChunkEnd(b'\n')),
            (b"5\rx", BodyError::ChunkEnd(b'x')),
            (b"1\r\nab", BodyError::ChunkEnd(b'b')),
            (b"1\r\na\n", BodyError::ChunkEnd(b'\n')),
            (b"1\r\na\rx", BodyError::ChunkEnd(b'x')),
            (b"10000000000000000\r\n", BodyError::ChunkTooLarge),
        ] {
            assert_eq!(chunked(text), Err(error), "{:?}", text.escape_ascii());
        }
        assert_eq!(chunked(&vec![b'0'; 5_000]), Err(BodyError::ChunkLine));
        let mut endless = b"0\r\n".to_vec();
        endless.resize(MAX_HEAD_BYTES + 10, b'x');
        assert_eq!(chunked(&endless), Err(BodyError::Trailer));
        assert_eq!(
            chunked(b"FFFFFFFFFFFFFFFF\r\nab"),
            Ok((b"ab".to_vec(), false, 0))
        );
    }

    #[test]
    fn a_length_of_more_than_memory_is_counted_and_not_reserved() {
        let framing = Framing::Length(i64::MAX as u64);
        assert_eq!(read(framing, &[b"ab"]), Ok((b"ab".to_vec(), false, 0)));
    }

    fn framings() -> impl Strategy<Value = Framing> {
        prop_oneof![
            (0..20_u64).prop_map(Framing::Length),
            Just(Framing::Chunked(Chunked::START)),
            Just(Framing::UntilClose),
        ]
    }

    proptest! {
        #[test]
        fn splitting_the_input_changes_nothing(
            framing in framings(),
            text in "([0-3]\r\n|[a-c]{0,3}|\r\n|;x|0\r\n\r\n){0,12}",
            cuts in proptest::collection::vec(0..40_usize, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&bytes[from..cut]);
                from = cut;
            }
            parts.push(&bytes[from..]);
            prop_assert_eq!(read(framing, &parts), read(framing, &[bytes]));
        }

        #[test]
        fn no_bytes_make_it_panic(framing in framings(), bytes: Vec<u8>) {
            let _ = read(framing, &[&bytes]);
        }
    }
}
