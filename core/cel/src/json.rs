//! JSON as Go's `encoding/json` reads it, into one piece of memory.
//!
//! Nothing here is recursive, neither reading nor dropping, so that a body may
//! be nested as deep as Go allows on whatever stack there is.

use std::borrow::Cow;

use probity_engine::config::NoAnswer;
use probity_engine::limits::MAX_JSON_BODY_BYTES;

/// Lists and maps within one another, as in Go (`maxNestingDepth`).
pub(crate) const MAX_DEPTH: usize = 10_000;

/// A value, or where its parts are in the [`Body`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    /// Every number is a double, as Go reads JSON.
    Number(f64),
    Text(Span),
    List(Span),
    /// Keys, which are texts, and values by turns; sorted, and each key once.
    Map(Span),
}

/// A part of the text or of the nodes of a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    at: u32,
    len: u32,
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) root: Node,
    nodes: Vec<Node>,
    text: String,
}

impl Body {
    pub(crate) fn nodes(&self, span: Span) -> &[Node] {
        &self.nodes[span.at as usize..][..span.len as usize]
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        &self.text[span.at as usize..][..span.len as usize]
    }

    /// The text of a key.
    pub(crate) fn key(&self, node: Node) -> &str {
        match node {
            Node::Text(span) => self.text(span),
            _ => "",
        }
    }
}

/// Reads a body. In texts, bytes that are not UTF-8 are replaced, as Go does it.
/// It takes at most about twenty times the size of the body, for as long as it
/// is read.
pub(crate) fn parse(json: &[u8]) -> Result<Body, NoAnswer> {
    if json.len() > MAX_JSON_BODY_BYTES {
        return Err(NoAnswer::Beyond(format!(
            "expected at most {MAX_JSON_BODY_BYTES} bytes of JSON, found {}",
            json.len()
        )));
    }
    let mut reader = Reader {
        json,
        at: 0,
        nodes: Vec::new(),
        text: String::new(),
        pending: Vec::new(),
        open: Vec::new(),
    };
    reader
        .document()
        .map_err(|why| NoAnswer::Failed(format!("the body is not JSON: {why}")))
        .map(|root| Body {
            root,
            nodes: reader.nodes,
            text: reader.text,
        })
}

/// A list or map whose end was not yet seen.
#[derive(Clone, Copy)]
struct Open {
    is_map: bool,
    /// Where its parts begin among those that are pending.
    from: usize,
}

struct Reader<'a> {
    json: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    text: String,
    /// Parts of what is open.
    pending: Vec<Node>,
    open: Vec<Open>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, String> {
        loop {
            let Some(mut value) = self.value()? else {
                continue;
            };
            // As long as something ends here, it is the next value.
            loop {
                let Some(open) = self.open.last().copied() else {
                    return match self.peek() {
                        None => Ok(value),
                        Some(_) => Err(self.expected("the end")),
                    };
                };
                self.pending.push(value);
                match (self.peek(), open.is_map) {
                    (Some(b','), false) => self.at += 1,
                    (Some(b','), true) => {
                        self.at += 1;
                        self.field()?;
                    }
                    (Some(b']'), false) | (Some(b'}'), true) => {
                        value = self.close(open);
                        continue;
                    }
                    (_, false) => return Err(self.expected("`,` or `]`")),
                    (_, true) => return Err(self.expected("`,` or `}`")),
                }
                break;
            }
        }
    }

    /// A value, or none if a list or map begins that has parts.
    fn value(&mut self) -> Result<Option<Node>, String> {
        let value = match self.peek() {
            Some(begin @ (b'[' | b'{')) => {
                if self.open.len() == MAX_DEPTH {
                    return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
                }
                self.at += 1;
                let is_map = begin == b'{';
                let open = Open {
                    is_map,
                    from: self.pending.len(),
                };
                self.open.push(open);
                match (self.peek(), is_map) {
                    (Some(b']'), false) | (Some(b'}'), true) => self.close(open),
                    (_, true) => {
                        self.field()?;
                        return Ok(None);
                    }
                    (_, false) => return Ok(None),
                }
            }
            Some(b'"') => Node::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Some(value))
    }

    /// The name of a field, and its colon.
    fn field(&mut self) -> Result<(), String> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("the name of a field"));
        }
        let name = self.string()?;
        self.pending.push(Node::Text(name));
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// What is open ends here.
    fn close(&mut self, open: Open) -> Node {
        self.at += 1;
        self.open.pop();
        let at = self.nodes.len();
        let parts = &self.pending[open.from..];
        match open.is_map {
            false => self.nodes.extend_from_slice(parts),
            true => {
                let text = &self.text;
                let key = |part: &[Node]| match part[0] {
                    Node::Text(span) => &text[span.at as usize..][..span.len as usize],
                    _ => "",
                };
                let fields = parts.chunks_exact(2);
                if fields
                    .clone()
                    .is_sorted_by(|one, other| key(one) < key(other))
                {
                    self.nodes.extend_from_slice(parts);
                } else {
                    let mut fields: Vec<_> = fields.collect();
                    fields.sort_by_key(|field| key(field));
                    for (index, field) in fields.iter().enumerate() {
                        // Of those with one name the last one counts.
                        let next = fields.get(index + 1);
                        if next.is_none_or(|next| key(next) != key(field)) {
                            self.nodes.extend_from_slice(field);
                        }
                    }
                }
            }
        }
        self.pending.truncate(open.from);
        let span = span(at, self.nodes.len());
        match open.is_map {
            true => Node::Map(span),
            false => Node::List(span),
        }
    }

    fn word(&mut self, word: &str, value: Node) -> Result<Node, String> {
        if !self.json[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(&format!("`{word}`")));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Node, String> {
        let begin = self.at;
        self.skip(|byte| byte == b'-', 1);
        match self.json.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.expected("a digit")),
        }
        if self.skip(|byte| byte == b'.', 1) > 0 {
            self.digits()?;
        }
        if self.skip(|byte| matches!(byte, b'e' | b'E'), 1) > 0 {
            self.skip(|byte| matches!(byte, b'+' | b'-'), 1);
            self.digits()?;
        }
        let written = &self.json[begin..self.at];
        // Most are short and whole, and exact without further ado.
        if written.len() <= 15 && written.iter().all(u8::is_ascii_digit) {
            let digits = written.iter();
            let number = digits.fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            return Ok(Node::Number(number as f64));
        }
        let written = str::from_utf8(written).unwrap_or_default();
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Node::Number(number)),
            _ => Err(format!("the number at byte {begin} is too large")),
        }
    }

    fn digits(&mut self) -> Result<(), String> {
        match self.skip(|byte| byte.is_ascii_digit(), usize::MAX) {
            0 => Err(self.expected("a digit")),
            _ => Ok(()),
        }
    }

    /// Passes what is of this kind, and says how many bytes that were.
    fn skip(&mut self, of: impl Fn(u8) -> bool, most: usize) -> usize {
        let rest = self.json[self.at..].iter().take(most);
        let length = rest.take_while(|byte| of(**byte)).count();
        self.at += length;
        length
    }

    fn string(&mut self) -> Result<Span, String> {
        self.at += 1;
        let begin = self.text.len();
        loop {
            let rest = &self.json[self.at..];
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .ok_or_else(|| "a text that ends: the body is cut off".to_owned())?;
            self.text.push_str(&decode(&rest[..end]));
            self.at += end;
            match rest[end] {
                b'"' => {
                    self.at += 1;
                    return Ok(span(begin, self.text.len()));
                }
                b'\\' => {
                    let letter = self.escape()?;
                    self.text.push(letter);
                }
                _ => return Err(self.expected("no control character in a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let letter = self.json.get(self.at + 1).copied();
        if letter != Some(b'u') {
            let stands_for = match letter {
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
                _ => return Err(self.expected("an escape that JSON has")),
            };
            self.at += 2;
            return Ok(stands_for);
        }
        let unit = self
            .unit()
            .ok_or_else(|| self.expected("`\\u` and four hexadecimal digits"))?;
        self.at += 6;
        // Halves of pairs that stand alone are replaced.
        let units = match (unit, self.unit()) {
            (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                self.at += 6;
                [Some(unit), Some(low)]
            }
            _ => [Some(unit), None],
        };
        let decoded = char::decode_utf16(units.into_iter().flatten()).next();
        Ok(decoded
            .and_then(Result::ok)
            .unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The code of `\uXXXX`, if that stands here.
    fn unit(&self) -> Option<u16> {
        let digits = self.json.get(self.at..self.at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | value as u16)
        })
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.json.get(self.at) {
            Some(byte) if *byte > b' ' => return Some(*byte),
            _ => {}
        }
        self.skip(
            |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'),
            usize::MAX,
        );
        self.json.get(self.at).copied()
    }

    fn expected(&self, what: &str) -> String {
        let found = match self.json.get(self.at) {
            None => "its end".into(),
            Some(byte @ 0x21..0x7f) => format!("`{}`", char::from(*byte)),
            Some(byte) => format!("the byte 0x{byte:02x}"),
        };
        format!("expected {what} at byte {}, found {found}", self.at)
    }
}

/// Each byte that is no UTF-8 counts as one U+FFFD.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(bytes.len() + 64);
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        decoded.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(decoded)
}

/// A body is far smaller than what a `u32` counts.
const fn span(from: usize, to: usize) -> Span {
    Span {
        at: from as u32,
        len: (to - from) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a body as it was understood.
    fn shown(body: &Body, node: Node) -> String {
        match node {
            Node::Null => "null".into(),
            Node::Bool(truth) => truth.to_string(),
            Node::Number(number) => number.to_string(),
            Node::Text(span) => format!("{:?}", body.text(span)),
            Node::List(span) => {
                let items = body.nodes(span).iter().map(|item| shown(body, *item));
                format!("[{}]", items.collect::<Vec<_>>().join(","))
            }
            Node::Map(span) => {
                let fields = body
                    .nodes(span)
                    .chunks(2)
                    .map(|field| format!("{:?}:{}", body.key(field[0]), shown(body, field[1])));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn read(json: &[u8]) -> Result<String, String> {
        match parse(json) {
            Ok(body) => Ok(shown(&body, body.root)),
            Err(NoAnswer::Failed(why) | NoAnswer::Beyond(why)) => Err(why),
        }
    }

    #[test]
    fn json_is_read_as_go_reads_it() {
        for (json, understood) in [
            (&b" null\n"[..], "null"),
            (b"[]", "[]"),
            (b"{}", "{}"),
            (b"[ true , false,[ [ ] ] ]", "[true,false,[[]]]"),
            (b"{\"b\":1,\"a\":[2,{}],\"b\":3}", r#"{"a":[2,{}],"b":3}"#),
            (b"{\"a\":1,\"b\":2,\"a\":3,\"a\":4}", r#"{"a":4,"b":2}"#),
            (
                b"[0,-0.5,1e3,1.5E-2,12345678901234567890]",
                "[0,-0.5,1000,0.015,12345678901234567000]",
            ),
            (b"1e-999", "0"),
            (
                br#""\"\\\/\b\f\n\r\t\u00e9\ud83e\udD20""#,
                r#""\"\\/\u{8}\u{c}\n\r\té🤠""#,
            ),
            // Halves of pairs, and what follows them.
            (br#""\ud800x\udc00\ud800\u0041""#, r#""�x��A""#),
            (b"\"a\xffb\xe2\x82\"", r#""a�b��""#),
            (b"{\"\":{\"\":[]}}", r#"{"":{"":[]}}"#),
        ] {
            assert_eq!(
                read(json).as_deref(),
                Ok(understood),
                "{}",
                json.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_no_json_is_said() {
        for (json, words) in [
            (&b""[..], "expected a value at byte 0, found its end"),
            (b"[1", "expected `,` or `]` at byte 2, found its end"),
            (b"[1,]", "expected a value at byte 3, found `]`"),
            (b"[1}", "expected `,` or `]` at byte 2, found `}`"),
            (b"{\"a\" 1}", "expected `:` at byte 5, found `1`"),
            (
                b"{\"a\":1,}",
                "expected the name of a field at byte 7, found `}`",
            ),
            (
                b"{1:1}",
                "expected the name of a field at byte 1, found `1`",
            ),
            (b"{\"a\":}", "expected a value at byte 5, found `}`"),
            (b"1 2", "expected the end at byte 2, found `2`"),
            (b"01", "expected the end at byte 1, found `1`"),
            (b"1.", "expected a digit at byte 2, found its end"),
            (b"-", "expected a digit at byte 1, found its end"),
            (b"1e+", "expected a digit at byte 3, found its end"),
            (b"+1", "expected a value at byte 0, found `+`"),
            (b"1e400", "the number at byte 0 is too large"),
            (b"tru", "expected `true` at byte 0, found `t`"),
            (b"\"a", "the body is cut off"),
            (b"\"\\", "expected an escape that JSON has at byte 1"),
            (b"\"\\x\"", "expected an escape that JSON has at byte 1"),
            (b"\"\\u12g4\"", "four hexadecimal digits at byte 1"),
            (b"\"\\u12", "four hexadecimal digits at byte 1"),
            (
                b"\"a\nb\"",
                "no control character in a text at byte 2, found the byte 0x0a",
            ),
            (
                b"\xef\xbb\xbf1",
                "expected a value at byte 0, found the byte 0xef",
            ),
            (b"'a'", "expected a value at byte 0, found `'`"),
        ] {
            let why = read(json).unwrap_err();
            assert!(why.starts_with("the body is not JSON: "), "{why}");
            assert!(why.contains(words), "{}: {why}", json.escape_ascii());
        }
    }

    #[test]
    fn the_depth_is_that_of_go() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        let why = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(matches!(why, NoAnswer::Failed(why) if why.contains("nested deeper than 10000")));
        let why = parse(&vec![b'['; MAX_JSON_BODY_BYTES]).unwrap_err();
        assert!(matches!(why, NoAnswer::Failed(_)));
    }

    #[test]
    fn a_body_that_is_too_large_is_not_the_targets_failure() {
        let large = vec![b' '; MAX_JSON_BODY_BYTES + 1];
        let why = parse(&large).unwrap_err();
        assert!(matches!(why, NoAnswer::Beyond(why) if why.contains("at most 2097152 bytes")));
    }
}
