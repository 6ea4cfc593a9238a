//! Texts with places for what a regular expression has captured.

use alloc::boxed::Box;
use alloc::vec::Vec;

use regex::bytes::Regex;

use super::pattern::Captures;

/// A text in which `$1`, `${1}`, `$name` and `${name}` stand for what a group
/// of a match captured and `$$` for a dollar: the rules of Go's
/// `Regexp.Expand`.
///
/// - A name is the longest run of letters, digits and underscores, so that
///   `$1x` is `${1x}`; braces end it elsewhere.
/// - A group that took no part in the match, or that there is none of, is
///   empty.
/// - A `$` that begins nothing of the above is itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Index(usize),
    Name(Box<[u8]>),
}

impl Template {
    /// A text in which nothing stands for anything else.
    pub(crate) fn literal(text: &[u8]) -> Self {
        let part = (!text.is_empty()).then(|| Part::Literal(text.into()));
        Self {
            parts: part.into_iter().collect(),
        }
    }

    /// Reads a template. None is malformed.
    pub(crate) fn parse(mut text: &[u8]) -> Self {
        let (mut parts, mut literal) = (Vec::new(), Vec::new());
        while let Some(at) = text.iter().position(|byte| *byte == b'$') {
            literal.extend_from_slice(&text[..at]);
            text = &text[at + 1..];
            if let Some(rest) = text.strip_prefix(b"$") {
                literal.push(b'$');
                text = rest;
            } else if let Some((name, rest)) = reference(text) {
                flush(&mut parts, &mut literal);
                parts.push(group(name));
                text = rest;
            } else {
                literal.push(b'$');
            }
        }
        literal.extend_from_slice(text);
        flush(&mut parts, &mut literal);
        Self {
            parts: parts.into(),
        }
    }

    /// The text with what was captured of a line, cut at `limit` bytes. Without
    /// a match every group is empty.
    pub(crate) fn expand(&self, matched: Option<(&[u8], &Captures)>, limit: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            let captured = |span: Option<core::ops::Range<usize>>| {
                let (line, _) = matched?;
                line.get(span?)
            };
            let bytes = match (part, matched) {
                (Part::Literal(bytes), _) => Some(&**bytes),
                (Part::Index(index), Some((_, captures))) => captured(captures.get(*index)),
                (Part::Name(name), Some((_, captures))) => {
                    let name = core::str::from_utf8(name).unwrap_or_default();
                    captured(captures.name(name))
                }
                (Part::Index(_) | Part::Name(_), None) => None,
            };
            let bytes = bytes.unwrap_or_default();
            let fits = bytes.len().min(limit - out.len());
            out.extend_from_slice(&bytes[..fits]);
        }
        out
    }
}

fn flush(parts: &mut Vec<Part>, literal: &mut Vec<u8>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(core::mem::take(literal).into()));
    }
}

/// The name after a `$` and what follows it, if there is one.
fn reference(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (braced, text) = match text.strip_prefix(b"{") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (name, rest) = text.split_at(name_length(text));
    if name.is_empty() {
        return None;
    }
    match braced {
        true => Some((name, rest.strip_prefix(b"}")?)),
        false => Some((name, rest)),
    }
}

/// Length of the letters, digits and underscores that `text` begins with: those
/// of Unicode, as in Go.
fn name_length(text: &[u8]) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text
        .iter()
        .position(|byte| !is_word(byte))
        .unwrap_or(text.len());
    if text.get(length).is_none_or(u8::is_ascii) {
        return length;
    }
    let word = Regex::new(r"\A[\p{L}\p{Nd}_]+");
    let found = word.ok().and_then(|word| word.find(text));
    found.map_or(0, |found| found.end())
}

/// A number without leading zeros is an index, anything else a name.
fn group(name: &[u8]) -> Part {
    let canonical = name == b"0" || !name.starts_with(b"0");
    let digits = name.iter().all(u8::is_ascii_digit);
    let index = core::str::from_utf8(name)
        .ok()
        .filter(|_| canonical && digits);
    match index.and_then(|index| index.parse().ok()) {
        Some(index) => Part::Index(index),
        None => Part::Name(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    fn expand(pattern: &str, line: &[u8], template: &[u8]) -> Vec<u8> {
        let captures = Pattern::new(pattern).unwrap().captures(line).unwrap();
        let template = Template::parse(template);
        template.expand(Some((line, &captures)), 1_000)
    }

    #[test]
    fn groups_are_named_as_in_go() {
        let pattern = r"^(?P<first>\w+) (\w+)(?P<_3>!)?$";
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$0", "red green"),
            ("$1-$2", "red-green"),
            ("${1}st", "redst"),
            ("$1st", ""),
            ("$first ${first}ly $firstly", "red redly "),
            ("$2$1", "greenred"),
            ("[$_3$3]", "[]"),
            ("[$4${17}$nobody]", "[]"),
            ("$01 ${02}", " "),
            ("$99999999999999999999", ""),
            ("$$1 $$$1", "$1 $red"),
            ("$", "$"),
            ("1$", "1$"),
            ("$- ${ ${} ${1 $(1)", "$- ${ ${} ${1 $(1)"),
            ("${1 }$2", "${1 }green"),
            ("{$1}", "{red}"),
            // Letters and digits are those of Unicode.
            ("$1\u{e9}.", "."),
            ("$1\u{661}.", "."),
            ("$1\u{2013}.", "red\u{2013}."),
        ] {
            let found = expand(pattern, b"red green", template.as_bytes());
            assert_eq!(found, expected.as_bytes(), "{template}");
        }
    }

    #[test]
    fn what_was_captured_keeps_its_bytes() {
        let found = expand(r"^a(.*)z$", b"a\xff\xfe\0z", b"<\x80$1>");
        assert_eq!(found, b"<\x80\xff\xfe\0>");
        assert_eq!(expand("(a)", b"a", b"$1\xff"), b"a\xff");
    }

    #[test]
    fn without_a_match_only_the_text_is_left() {
        let template = Template::parse(b"a${1}b");
        assert_eq!(template.expand(None, 9), b"ab");
        assert_eq!(Template::literal(b"a$1").expand(None, 9), b"a$1");
        assert_eq!(Template::parse(b""), Template::literal(b""));
    }

    #[test]
    fn an_expansion_is_cut() {
        let captures = Pattern::new("(.*)").unwrap().captures(b"abcd").unwrap();
        let template = Template::parse(b"$1$1-");
        let matched = Some((&b"abcd"[..], &captures));
        for (limit, expected) in [(0, ""), (4, "abcd"), (7, "abcdabc"), (9, "abcdabcd-")] {
            assert_eq!(template.expand(matched, limit), expected.as_bytes());
        }
    }
}
