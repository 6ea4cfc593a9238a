//! RESP2: commands out, tokens in.

use probity_check::prelude::*;

/// Bytes of one string or line.
const MAX_STRING_BYTES: usize = 4 * 1024;
/// Values of one answer: ROLE has four for each replica.
const MAX_TOKENS: usize = 1_024;

/// A command: an array of bulk strings.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let words: Vec<&str> = words.into_iter().collect();
    let mut bytes = Vec::new();
    let mut push = |part: &str| bytes.extend_from_slice(part.as_bytes());
    // Each run says this: `format!` would have it touch a page for its table.
    for part in ["*", &words.len().to_string(), "\r\n"] {
        push(part);
    }
    for word in words {
        for part in ["$", &word.len().to_string(), "\r\n", word, "\r\n"] {
            push(part);
        }
    }
    bytes
}

/// A value, or the beginning of an array.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Number(i64),
    Bulk(Vec<u8>),
    Null,
    /// So many values follow.
    Array(usize),
}

impl Token {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Simple(text) => format!("+{}", shown(text)),
            Self::Error(text) => format!("-{}", shown(text)),
            Self::Number(number) => format!(":{number}"),
            Self::Bulk(text) => format!("the string {}", shown(text)),
            Self::Null => "nothing".into(),
            Self::Array(length) => format!("an array of {length}"),
        }
    }
}

/// What arrived, as tokens.
#[derive(Debug)]
pub(crate) struct Resp {
    reader: Reader,
    /// The length of a string whose header was read.
    bulk: Option<usize>,
    /// What is there of an answer with several values, and how many are missing.
    tokens: Vec<Token>,
    missing: usize,
}

impl Resp {
    pub(crate) const fn new() -> Self {
        Self {
            reader: Reader::new(MAX_STRING_BYTES),
            bulk: None,
            tokens: Vec::new(),
            missing: 1,
        }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        self.reader.push(data);
    }

    /// The next token.
    pub(crate) fn token(&mut self) -> Result<Option<Token>, Finding> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                let Some(line) = self.reader.line()? else {
                    return Ok(None);
                };
                let Some((kind, rest)) = line.split_first() else {
                    return Err(malformed("an empty line, which is not RESP"));
                };
                match kind {
                    b'+' => return Ok(Some(Token::Simple(rest.to_vec()))),
                    b'-' => return Ok(Some(Token::Error(rest.to_vec()))),
                    b':' => return number(rest).map(|it| Some(Token::Number(it))),
                    b'*' => {
                        return length_of(rest, MAX_TOKENS)
                            .map(|it| it.map_or(Some(Token::Null), |it| Some(Token::Array(it))));
                    }
                    b'$' => {}
                    _ => return Err(malformed(format!("not RESP: {}", shown(line)))),
                }
                match length_of(rest, MAX_STRING_BYTES - 2)? {
                    Some(length) => *self.bulk.insert(length),
                    None => return Ok(Some(Token::Null)),
                }
            }
        };
        let Some(string) = self.reader.take(length + 2)? else {
            return Ok(None);
        };
        let Some(string) = string.strip_suffix(b"\r\n") else {
            return Err(malformed("a string that is longer than it says"));
        };
        self.bulk = None;
        Ok(Some(Token::Bulk(string.to_vec())))
    }

    /// The next answer with all its values, in the order in which they came.
    pub(crate) fn whole(&mut self) -> Result<Option<Vec<Token>>, Finding> {
        while self.missing > 0 {
            let Some(token) = self.token()? else {
                return Ok(None);
            };
            self.missing -= 1;
            if let Token::Array(length) = token {
                self.missing += length;
            }
            self.tokens.push(token);
            if self.tokens.len() + self.missing > MAX_TOKENS {
                let detail = format!("an answer of more than {MAX_TOKENS} values");
                return Err(Finding {
                    reason: Reason::TooMuch,
                    detail,
                });
            }
        }
        self.missing = 1;
        Ok(Some(core::mem::take(&mut self.tokens)))
    }
}

fn number(digits: &[u8]) -> Result<i64, Finding> {
    let text = core::str::from_utf8(digits).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| malformed(format!("expected a number, found {}", shown(digits))))
}

/// A length; -1 is for nothing.
fn length_of(digits: &[u8], most: usize) -> Result<Option<usize>, Finding> {
    let number = number(digits)?;
    if number == -1 {
        return Ok(None);
    }
    let length = usize::try_from(number);
    let length = length.map_err(|_| malformed(format!("a length of {number}")))?;
    if length > most {
        return Err(TooMuch { limit: most }.into());
    }
    Ok(Some(length))
}
