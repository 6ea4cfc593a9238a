//! Bytes as people write them: strings, hex, repetitions.

/// Bytes of one line of a transcript, repetitions written out.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A reader of one line.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    /// What is left of the line.
    pub(crate) fn rest(&mut self) -> &'a str {
        std::mem::take(&mut self.rest).trim()
    }

    /// The next word, if there is one.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// The next string, if there is anything.
    pub(crate) fn string(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some(inner) = self.rest.strip_prefix('"') else {
            return Err(format!(
                "expected a string in quotes, found `{}`",
                self.rest
            ));
        };
        let mut bytes = Vec::new();
        let mut characters = inner.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &inner[at + 1..];
                    return Ok(Some(bytes));
                }
                '\\' => {
                    let escape = characters.next().map(|(_, escape)| escape);
                    bytes.push(match escape {
                        Some('r') => b'\r',
                        Some('n') => b'\n',
                        Some('t') => b'\t',
                        Some('0') => 0,
                        Some('\\') => b'\\',
                        Some('"') => b'"',
                        Some('x') => {
                            let digits = inner.get(at + 2..at + 4).and_then(hex);
                            characters.nth(1);
                            digits.ok_or("expected two hexadecimal digits after `\\x`")?
                        }
                        _ => return Err(r#"there are \r \n \t \0 \\ \" and \x7f"#.into()),
                    });
                }
                other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err("a string that does not end".into())
    }

    /// As [`Scanner::string`], of text.
    pub(crate) fn text(&mut self) -> Result<Option<String>, String> {
        let bytes = self.string()?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| "expected text in UTF-8".into())
    }

    /// All that is left, as bytes.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let piece = if self.rest.starts_with('"') {
                self.string()?.unwrap_or_default()
            } else if self.rest.is_empty() {
                break;
            } else {
                let byte = self.rest.get(..2).and_then(hex).ok_or_else(|| {
                    format!(
                        "expected a string or two hexadecimal digits, found `{}`",
                        self.rest
                    )
                })?;
                self.rest = &self.rest[2..];
                vec![byte]
            };
            let times = self.times()?;
            if piece.len().saturating_mul(times).saturating_add(all.len()) > MAX_BYTES {
                return Err(format!("more than {MAX_BYTES} bytes"));
            }
            all.extend(piece.repeat(times));
        }
        if all.is_empty() {
            return Err("expected bytes".into());
        }
        Ok(all)
    }

    /// The number of a repetition, if one follows.
    fn times(&mut self) -> Result<usize, String> {
        let Some(rest) = self.rest.strip_prefix('*') else {
            return Ok(1);
        };
        let end = rest.find(|digit: char| !digit.is_ascii_digit());
        let (number, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.rest = rest;
        number
            .parse()
            .map_err(|_| "expected a number after `*`".into())
    }
}

fn hex(digits: &str) -> Option<u8> {
    let valid = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
