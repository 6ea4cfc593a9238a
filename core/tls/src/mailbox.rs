//! E-mail addresses in certificates: a Mailbox of RFC 2821, as Go reads it
//! (`parseRFC2821Mailbox` of crypto/x509).

use crate::constraints::is_domain;

/// A mailbox and where it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mailbox<'a> {
    /// Without quotes.
    pub(crate) local: Vec<u8>,
    pub(crate) domain: &'a str,
}

impl<'a> Mailbox<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (local, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => dot_string(text)?,
        };
        let domain = rest.strip_prefix('@')?;
        is_domain(domain).then_some(Self { local, domain })
    }
}

/// What is before the closing quote, and what is after it.
fn quoted_string(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut local = Vec::new();
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((local, &text[at + 1..])),
            b'\\' => match bytes.next()?.1 {
                byte @ (1..=9 | 11 | 12 | 14..=127) => local.push(byte),
                _ => return None,
            },
            // A space is not in the grammar, but in the examples of RFC 3696.
            1..=8 | 11 | 12 | 14..=127 => local.push(byte),
            _ => return None,
        }
    }
    None
}

/// Atoms with dots between them, and what is after them.
fn dot_string(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut local = Vec::new();
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some(&(at, byte)) = bytes.peek() {
        match byte {
            b'\\' => {
                bytes.next();
                // What is escaped has to be text: the rest begins behind it.
                local.push(bytes.peek()?.1);
                if !bytes.peek()?.1.is_ascii() {
                    return None;
                }
            }
            byte if byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte) => {
                local.push(byte);
            }
            _ => return of_dots(local).map(|local| (local, &text[at..])),
        }
        bytes.next();
    }
    None
}

/// `local`, unless a dot of it has no atom on one of its sides.
fn of_dots(local: Vec<u8>) -> Option<Vec<u8>> {
    let mut atoms = local.split(|byte| *byte == b'.');
    atoms.all(|atom| !atom.is_empty()).then_some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("who@a.test", Some(("who", "a.test"))),
            ("Who.Else+x@A.test", Some(("Who.Else+x", "A.test"))),
            ("\"who else\"@a.test", Some(("who else", "a.test"))),
            ("\"a@b\"@a.test", Some(("a@b", "a.test"))),
            ("\"a\\\"b\"@a.test", Some(("a\"b", "a.test"))),
            ("\"\"@a.test", Some(("", "a.test"))),
            ("a\\@b@a.test", Some(("a@b", "a.test"))),
            ("who@a@b", Some(("who", "a@b"))),
            ("who@", Some(("who", ""))),
            ("", None),
            ("who", None),
            ("@a.test", None),
            (".who@a.test", None),
            ("who.@a.test", None),
            ("who..else@a.test", None),
            ("who else@a.test", None),
            ("\"who@a.test", None),
            ("\"who\"x@a.test", None),
            ("\"who\n\"@a.test", None),
            ("who\\", None),
            ("who@a.test.", None),
            ("who@a..test", None),
            ("who@\u{fc}.test", None),
            ("\u{fc}@a.test", None),
            ("\"\u{fc}\"@a.test", None),
            ("a\\\u{fc}@a.test", None),
        ] {
            let read = Mailbox::parse(text);
            let expected = expected.map(|(local, domain): (&str, _)| Mailbox {
                local: local.into(),
                domain,
            });
            assert_eq!(read, expected, "{text}");
        }
    }
}
