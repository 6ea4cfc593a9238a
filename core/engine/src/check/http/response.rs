//! The head of a response: finding its end, and reading it.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::request::is_token_byte;
use super::version::Version;
use crate::check::excerpt::Excerpt;
use crate::h2;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::outcome::Reason;

/// Room for where the fields of a head stand, on the stack of whoever parses.
pub(super) type Fields = [Span; MAX_HEADERS];

/// The same for a head that has been taken apart already: names and values.
pub(super) type ListedFields<'a> = [(&'a str, &'a [u8]); MAX_HEADERS];

/// Where a field stands: its name up to the colon, its value from there to the
/// end of its last line. Small, because there are many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u16,
    colon: u16,
    end: u16,
}

const _: () = assert!(MAX_HEAD_BYTES <= 1 << 16, "a span has 16 bits");

impl Span {
    /// Bytes up to the colon.
    const fn name_len(self) -> usize {
        self.colon.saturating_sub(self.start) as usize
    }
}

/// A complete head of a response.
#[derive(Debug)]
pub(super) struct Head<'h, 'b> {
    pub(super) version: Version,
    /// 0 to 999, of which HTTP has those from 100 to 599.
    pub(super) status: u16,
    /// Whether it is known that nothing follows it, whatever its fields say:
    /// the stream has ended (HTTP/2).
    pub(super) ended: bool,
    fields: Source<'h, 'b>,
}

/// Fields in one of two forms.
#[derive(Clone, Copy, Debug)]
enum Source<'h, 'b> {
    /// As they were written.
    Written(&'b [u8], &'h [Span]),
    /// Taken apart.
    Listed(&'h [(&'b str, &'b [u8])]),
}

impl<'b> Source<'_, 'b> {
    const fn len(self) -> usize {
        match self {
            Self::Written(_, spans) => spans.len(),
            Self::Listed(fields) => fields.len(),
        }
    }

    /// The value of a field if that is its name; spaces may follow it where it was
    /// written.
    #[inline(always)]
    fn named(self, index: usize, name: &[u8]) -> Option<&'b [u8]> {
        // Nearly all are of another length.
        match self {
            Self::Written(_, spans) if spans[index].name_len() < name.len() => None,
            Self::Listed(fields) if fields[index].0.len() < name.len() => None,
            _ => self.is_named(index, name),
        }
    }

    /// The same for a name that is no shorter.
    #[inline(never)]
    fn is_named(self, index: usize, name: &[u8]) -> Option<&'b [u8]> {
        let (written, value) = match self {
            Self::Written(text, spans) => {
                let Span { start, colon, end } = spans[index];
                let [start, colon, end] = [start, colon, end].map(usize::from);
                (&text[start..colon], &text[colon + 1..end])
            }
            Self::Listed(fields) => {
                let (name, value) = fields[index];
                (name.as_bytes(), value)
            }
        };
        let (same, rest) = written.split_at_checked(name.len())?;
        if !rest.trim_ascii_start().is_empty() {
            return None;
        }
        // Most are written as we write them, which is found at once.
        (same == name || same.eq_ignore_ascii_case(name)).then_some(value)
    }
}

/// The bytes of a complete head: what [`Heads::next`] found.
#[derive(Debug)]
pub(super) struct Raw<'b> {
    version: Version,
    text: &'b [u8],
}

impl<'b> Raw<'b> {
    pub(super) fn new(text: &'b [u8]) -> Result<Self, HeadError<'b>> {
        let version = Version::read(text).ok_or(HeadError::NotHttp(text))?;
        Ok(Self { version, text })
    }

    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }
}

/// Why what arrived is no head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError<'b> {
    /// It does not begin like one. What it begins with.
    NotHttp(&'b [u8]),
    /// It does, but violates the grammar (RFC 9112 sections 4 and 5).
    Malformed(&'static str),
    /// It is larger than [`MAX_HEAD_BYTES`].
    TooLarge,
    /// It has more fields than [`MAX_HEADERS`].
    TooManyFields,
}

impl HeadError<'_> {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::NotHttp(_) | Self::Malformed(_) => Reason::HttpMalformed,
            Self::TooLarge | Self::TooManyFields => Reason::HttpHeaderLimit,
        }
    }
}

impl fmt::Display for HeadError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(found) if found.starts_with(TLS_ALERT) => {
                f.write_str("expected an HTTP response, found a TLS alert: the port expects https")
            }
            Self::NotHttp(found) => {
                write!(f, "expected an HTTP response, found {}", Excerpt(found))
            }
            Self::Malformed(what) => write!(f, "the response head is malformed: {what}"),
            Self::TooLarge => write!(f, "the response head is larger than {MAX_HEAD_BYTES} bytes"),
            Self::TooManyFields => {
                write!(f, "the response head has more than {MAX_HEADERS} fields")
            }
        }
    }
}

/// A TLS record of type alert (RFC 8446 section 5.1).
const TLS_ALERT: &[u8] = &[0x15, 0x03];

impl<'h, 'b> Head<'h, 'b> {
    /// Room for [`Head::parse`].
    pub(super) const fn fields() -> Fields {
        [Span {
            start: 0,
            colon: 0,
            end: 0,
        }; MAX_HEADERS]
    }

    /// Reads a head that is complete. What is not well-formed is taken if Go takes
    /// it: any reason, space before a status or a colon and within a name, folded
    /// lines (RFC 9112 section 5.2). The danger that RFC 9112 sees in these is that of an
    /// intermediary, and here the response ends.
    pub(super) fn parse(raw: &Raw<'b>, fields: &'h mut Fields) -> Result<Self, HeadError<'b>> {
        let text = raw.text;
        let (status, count) = match well_formed(text, fields) {
            Some(read) => read,
            None => as_go_reads(text, fields)?,
        };
        Ok(Self {
            version: raw.version,
            status,
            ended: false,
            fields: Source::Written(text, &fields[..count]),
        })
    }

    /// Room for [`Head::listed`].
    pub(super) const fn listed_fields() -> ListedFields<'b> {
        [("", &[]); MAX_HEADERS]
    }

    /// The head of an HTTP/2 response.
    pub(super) fn listed(
        status: u16,
        list: &'b h2::Fields,
        ended: bool,
        fields: &'h mut ListedFields<'b>,
    ) -> Self {
        let mut length = 0;
        for (field, listed) in fields.iter_mut().zip(list.iter()) {
            *field = listed;
            length += 1;
        }
        Self {
            version: Version::Http2,
            status,
            ended,
            fields: Source::Listed(&fields[..length]),
        }
    }

    /// All values of a field, in order, without the space around them.
    #[inline(always)]
    pub(super) fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let fields = self.fields;
        (0..fields.len())
            .filter_map(move |index| fields.named(index, name.as_bytes()))
            .map(<[u8]>::trim_ascii)
    }

    /// The first value of a field.
    pub(super) fn value(&self, name: &str) -> Option<&'b [u8]> {
        self.values(name).next()
    }

    /// Whether this is an interim response, to be followed by another. 101 is
    /// not: it ends HTTP on the connection (RFC 9110 section 15.2.2).
    pub(super) const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..200)
    }
}

/// Reads a head of HTTP/1.0 or 1.1 with nothing odd in it, as nearly all are: its
/// status, and how many fields it has.
fn well_formed(text: &[u8], fields: &mut Fields) -> Option<(u16, usize)> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, text, &mut room)
        .ok()?;
    if parsed.is_partial() {
        return None;
    }
    let place = |part: &[u8]| (part.as_ptr().addr()).checked_sub(text.as_ptr().addr());
    for (field, header) in fields.iter_mut().zip(response.headers.iter()) {
        let start = place(header.name.as_bytes())?;
        let colon = start + header.name.len();
        let end = match header.value {
            [] => colon + 1,
            value => place(value)? + value.len(),
        };
        *field = Span {
            start: u16::try_from(start).ok()?,
            colon: u16::try_from(colon).ok()?,
            end: u16::try_from(end).ok()?,
        };
    }
    Some((response.code?, response.headers.len()))
}

/// The same of any head that Go takes: see [`Head::parse`].
fn as_go_reads<'b>(text: &[u8], fields: &mut Fields) -> Result<(u16, usize), HeadError<'b>> {
    let mut lines = Lines { text, at: 0 };
    let first = lines.next().unwrap_or_default();
    let status = status(&text[first]);
    let status = status.ok_or(HeadError::Malformed("the status is not three digits"))?;
    let mut count = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let content = &text[line.clone()];
        let colon = content.iter().position(|byte| *byte == b':');
        let malformed = |what| Err(HeadError::Malformed(what));
        let value = match (content.first(), colon) {
            (Some(b' ' | b'\t'), _) if count == 0 => {
                return malformed("the first field continues a line that there is not");
            }
            (Some(b' ' | b'\t'), _) => {
                fields[count - 1].end = line.end as u16;
                content
            }
            (_, None) => return malformed("a line has no colon"),
            (_, Some(colon)) if !is_name(&content[..colon]) => {
                return malformed("the name of a field has a character that no name has");
            }
            (_, Some(colon)) => {
                let field = fields.get_mut(count).ok_or(HeadError::TooManyFields)?;
                *field = Span {
                    start: line.start as u16,
                    colon: (line.start + colon) as u16,
                    end: line.end as u16,
                };
                count += 1;
                &content[colon + 1..]
            }
        };
        if !is_value(value) {
            return malformed("the value of a field has a control character");
        }
    }
    Ok((status, count))
}

/// The lines of a head, without their ends.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let feed = rest.iter().position(|byte| *byte == b'\n');
        let length = feed.unwrap_or(rest.len());
        self.at = start + length + 1;
        let line = &rest[..length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(start..start + line.len())
    }
}

/// The status in the first line, which begins with a version.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.get(8..)?.strip_prefix(b" ")?;
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let code = rest[spaces..].split(|byte| *byte == b' ').next()?;
    let is_code = code.len() == 3 && code.iter().all(u8::is_ascii_digit);
    let number = |number, digit: &u8| number * 10 + u16::from(digit - b'0');
    is_code.then(|| code.iter().fold(0, number))
}

/// A token (RFC 9110 section 5.6.2), or several with spaces between and behind
/// them: nobody asks for such a field, and Go takes it.
fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| *byte == b' ' || is_token_byte(*byte);
    !name.is_empty() && name.iter().all(is_part)
}

/// RFC 9110 section 5.5. Every byte is looked at, so that it can be many at once.
fn is_value(value: &[u8]) -> bool {
    let is_fine = |byte: &u8| (*byte >= b' ') & (*byte != 0x7f) | (*byte == b'\t');
    value.iter().fold(true, |fine, byte| fine & is_fine(byte))
}

/// A value as it should be matched: folded lines are one (RFC 9112 section 5.2).
pub(super) fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let lines = value.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.map(<[u8]>::trim_ascii).collect();
    Cow::Owned(lines.join(&b' '))
}

/// What arrived of a head that is not complete. Empty most of the time, since
/// most heads arrive in one piece.
#[derive(Debug, Default)]
pub(super) struct Heads {
    held: Vec<u8>,
    /// Where the search for the end goes on, so that a head that arrives byte
    /// by byte is searched once.
    searched: usize,
}

impl Heads {
    /// Whether nothing of a response has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Puts what arrived behind what was held. [`Heads::next`] is called with
    /// the result until it finds no more.
    pub(super) fn gather<'a>(&mut self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if self.held.is_empty() {
            return Cow::Borrowed(data);
        }
        let mut held = core::mem::take(&mut self.held);
        held.extend_from_slice(data);
        Cow::Owned(held)
    }

    /// The head at the front of `bytes`, or `None` if it is not complete: the
    /// caller then gives the rest to [`Heads::keep`].
    pub(super) fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Raw<'b>>, HeadError<'b>> {
        if !Version::may_begin(bytes) {
            return Err(HeadError::NotHttp(bytes));
        }
        let end = end_of_head(bytes, self.searched);
        self.searched = 0;
        match end {
            Some(end) if end <= MAX_HEAD_BYTES => Raw::new(&bytes[..end]).map(Some),
            None if bytes.len() <= MAX_HEAD_BYTES => {
                // The last two bytes may begin what ends the head.
                self.searched = bytes.len().saturating_sub(2);
                Ok(None)
            }
            _ => Err(HeadError::TooLarge),
        }
    }

    /// Holds what is left of `bytes` from `from` until more arrives. What was
    /// not held before goes into `buffer`.
    pub(super) fn keep(
        &mut self,
        bytes: Cow<'_, [u8]>,
        from: usize,
        buffer: impl FnOnce() -> Vec<u8>,
    ) {
        self.held = match bytes {
            Cow::Borrowed(bytes) => {
                let mut held = buffer();
                held.extend_from_slice(&bytes[from..]);
                held
            }
            Cow::Owned(mut bytes) => {
                bytes.drain(..from);
                bytes
            }
        };
    }
}

/// The position after the empty line that ends a head. A lone LF may end a
/// line (RFC 9112 section 2.2).
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(offset) = bytes.get(at..)?.iter().position(|byte| *byte == b'\n') {
        at += offset + 1;
        match bytes.get(at..) {
            Some([b'\n', ..]) => return Some(at + 1),
            Some([b'\r', b'\n', ..]) => return Some(at + 2),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use alloc::{format, vec};
    use proptest::prelude::*;

    /// Status codes of the heads that were read, the reason for which reading
    /// ended, and what followed the last head.
    type Read = (Vec<u16>, Option<Reason>, Vec<u8>);

    /// Reads heads as a run does: up to the first that is not interim.
    fn read(parts: &[&[u8]]) -> Read {
        let mut heads = Heads::default();
        let mut statuses = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let bytes = heads.gather(part);
            let mut at = 0;
            loop {
                let raw = match heads.next(&bytes[at..]) {
                    Ok(Some(raw)) => raw,
                    Ok(None) => break,
                    Err(error) => return (statuses, Some(error.reason()), Vec::new()),
                };
                let mut fields = Head::fields();
                let head = match Head::parse(&raw, &mut fields) {
                    Ok(head) => head,
                    Err(error) => return (statuses, Some(error.reason()), Vec::new()),
                };
                at += raw.len();
                statuses.push(head.status);
                if !head.is_interim() {
                    let mut rest = bytes[at..].to_vec();
                    rest.extend(parts[index + 1..].concat());
                    return (statuses, None, rest);
                }
            }
            heads.keep(bytes, at, Vec::new);
        }
        (statuses, None, Vec::new())
    }

    fn parse(text: &str) -> Result<u16, Reason> {
        let (statuses, reason, _) = read(&[text.as_bytes()]);
        reason.map_or_else(|| Ok(statuses[0]), Err)
    }

    #[test]
    fn heads_in_use_are_read() {
        for (text, status) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200),
            ("HTTP/1.0 404\r\n\r\n", 404),
            ("HTTP/1.1 503 \n\n", 503),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", 200),
            ("HTTP/1.1 999 X\r\nA: b\n\r\nbody", 999),
            ("HTTP/2.0 200 OK\r\n\r\n", 200),
            ("HTTP/0.9 204 OK\r\n\r\n", 204),
            ("HTTP/1.1  200 OK\r\n\r\n", 200),
            ("HTTP/1.1 200 OK\r\r\n\r\n", 200),
            ("HTTP/1.1 200 \0\x1b\x7f\r\nA: b\r\n\r\n", 200),
            ("HTTP/1.1 200 OK\r\nFoo Bar: x\r\n\r\n", 200),
            ("HTTP/1.1 200 OK\r\nA:b\r\n \r\n\tc\r\n\r\n", 200),
            ("HTTP/1.1 099 OK\r\n\r\n", 99),
        ] {
            assert_eq!(parse(text), Ok(status), "{text}");
        }
    }

    #[test]
    fn what_is_no_head_is_malformed() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "H2",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "HTTP/1 200 OK\r\n\r\n",
            "HTTP/1.10 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1\t200 OK\r\n\r\n",
            "HTTP/1.1 200\tOK\r\n\r\n",
            "HTTP/1.1 200\r\r\n\r\n",
            "HTTP/1.1 -20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\t: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n \x7f\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        ] {
            assert_eq!(parse(text), Err(Reason::HttpMalformed), "{text}");
        }
    }

    #[test]
    fn an_error_shows_what_was_found_and_nothing_unprintable() {
        for (bytes, detail) in [
            (
                &b"SSH-2.0-x\r\n"[..],
                r#"expected an HTTP response, found "SSH-2.0-x\r\n""#,
            ),
            (
                b"\x00\xff\"\x1b[31m",
                r#"expected an HTTP response, found "\x00\xff\"\x1b[31m""#,
            ),
            (
                b"\x15\x03\x01\x00\x02\x02\x46",
                "expected an HTTP response, found a TLS alert: the port expects https",
            ),
        ] {
            let mut heads = Heads::default();
            assert_eq!(heads.next(bytes).unwrap_err().to_string(), detail);
        }
        let long = vec![b'x'; 1_000];
        let shown = Heads::default().next(&long).unwrap_err().to_string();
        assert!(
            shown.ends_with("x\u{2026}\"") && shown.len() < 100,
            "{shown}"
        );
    }

    #[test]
    fn values_are_found_whatever_the_case_and_folded_lines_unfolded() {
        let text = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie:  b \r\nX: 1\r\n  2\r\n\r\n";
        let mut fields = Head::fields();
        let raw = Raw::new(text).unwrap();
        let head = Head::parse(&raw, &mut fields).unwrap();
        let cookies: Vec<_> = head.values("SET-COOKIE").collect();
        assert_eq!(cookies, [b"a", b"b"]);
        assert_eq!(&*unfolded(head.value("x").unwrap()), b"1 2");
        assert_eq!(head.value("y"), None);
        let text = b"HTTP/1.1 200 OK\r\nA b: 1\r\nC : 2\r\n\r\n";
        let raw = Raw::new(text).unwrap();
        let mut fields = Head::fields();
        let head = Head::parse(&raw, &mut fields).unwrap();
        assert_eq!(head.value("a b"), Some(&b"1"[..]));
        assert_eq!(head.value("c"), Some(&b"2"[..]));
    }

    #[test]
    fn interim_responses_are_skipped_and_101_is_final() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody";
        assert_eq!(read(&[text]), (vec![100, 103, 200], None, b"body".to_vec()));
        let text = b"HTTP/1.1 101 Switching\r\n\r\nbinary";
        assert_eq!(read(&[text]), (vec![101], None, b"binary".to_vec()));
    }

    #[test]
    fn endless_heads_are_cut_off() {
        let endless = [
            b"HTTP/1.1 200 OK\r\nA: ".to_vec(),
            vec![b'x'; MAX_HEAD_BYTES],
        ]
        .concat();
        assert_eq!(read(&[&endless]).1, Some(Reason::HttpHeaderLimit));
        let complete = [&endless[..], b"\r\n\r\n"].concat();
        assert_eq!(read(&[&complete]).1, Some(Reason::HttpHeaderLimit));
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(parse(&many), Err(Reason::HttpHeaderLimit));
        let just = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS));
        assert_eq!(parse(&just), Ok(200));
    }

    #[test]
    fn a_head_byte_by_byte_is_searched_once() {
        let mut heads = Heads::default();
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for (index, byte) in text.iter().enumerate() {
            let bytes = heads.gather(core::slice::from_ref(byte));
            let found = heads.next(&bytes).unwrap();
            assert_eq!(found.is_some(), index + 1 == text.len());
            assert!(found.is_some() || heads.searched >= index.saturating_sub(1));
            heads.keep(bytes, 0, Vec::new);
        }
    }

    fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(&bytes[from..cut]);
            from = cut;
        }
        parts.push(&bytes[from..]);
        parts
    }

    proptest! {
        #[test]
        fn splitting_the_input_changes_nothing(
            text in "(HTTP/[0-2]\\.[0-3] [1-5][0-9]{2} ?[A-Z]{0,3}\r?\n(([A-C]: ?[a-z]{0,4}( \r\n)?|[:x])\r?\n){0,3}\r?\n){0,3}.{0,4}",
            cuts in proptest::collection::vec(0..200_usize, 0..12),
        ) {
            let bytes = text.as_bytes();
            prop_assert_eq!(read(&split(bytes, &cuts)), read(&[bytes]));
        }

        #[test]
        fn no_bytes_make_it_panic(tail: Vec<u8>, cuts in proptest::collection::vec(0..200_usize, 0..4)) {
            let bytes = [&b"HTTP/1.1 "[..], &tail].concat();
            read(&split(&bytes, &cuts));
            read(&split(&tail, &cuts));
        }
    }
}
