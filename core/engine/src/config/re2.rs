//! Go's regular expressions in the words of the `regex` crate.
//!
//! Both are RE2's family, but the same text is not always the same pattern:
//! `\d` is ASCII here and Unicode there, `[a&&b]` is a set of three here and
//! an intersection there, `a**` is a mistake here only. What a user wrote is
//! read as `regexp/syntax` reads it with Go's `Perl` flags, and rendered so
//! that every part stands for itself: flags are resolved, characters are
//! escaped, classes are spelled out.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Go's bound on one repetition, and on what nested ones come to.
const MAX_REPEAT: u32 = 1000;

/// Groups within groups. Go allows 1,000; what compiles the translation
/// recurses, and has to do with the 2 MiB of a thread's stack.
const MAX_DEPTH: usize = 250;

/// A class that no character is in.
const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

/// A pattern that the `regex` crate reads as Go would read its source.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) regex: String,
    /// The names of the groups by index; 0 is the whole match. Unlike in the
    /// `regex` crate, several may have one name.
    pub(super) names: Vec<Option<Box<str>>>,
}

/// Why Go would refuse a pattern.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Where, in bytes from the start of the source.
    at: usize,
    what: String,
}

impl Mistake {
    /// What is wrong, and at which character.
    pub(super) fn describe(&self, source: &str) -> String {
        let before = source.get(..self.at).unwrap_or(source);
        format!("{} at character {}", self.what, before.chars().count() + 1)
    }
}

/// Translates a pattern.
pub(super) fn translate(source: &str) -> Result<Translated, Mistake> {
    let mut parser = Parser {
        source,
        at: 0,
        flags: Flags::default(),
        outer: Vec::new(),
        group: Group::default(),
        names: Vec::from([None]),
    };
    parser.run()?;
    Ok(Translated {
        regex: parser.group.finish().text,
        names: parser.names,
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    lines: bool,
    /// `s`
    dot_newline: bool,
    /// `U`
    lazy: bool,
}

/// What a repetition applies to.
#[derive(Debug)]
struct Atom {
    text: String,
    /// Whether an operator may follow as it is.
    closed: bool,
    /// How often its innermost part may be repeated.
    repeats: u32,
}

/// A group whose end has not been seen, or the whole pattern.
#[derive(Debug, Default)]
struct Group {
    open: &'static str,
    /// Where it was opened, and with which flags.
    at: usize,
    flags: Flags,
    /// The alternatives before the current one, each with its bar.
    before: String,
    atoms: Vec<Atom>,
    repeats: u32,
}

impl Group {
    fn next_alternative(&mut self) {
        for atom in self.atoms.drain(..) {
            self.before.push_str(&atom.text);
            self.repeats = self.repeats.max(atom.repeats);
        }
    }

    fn finish(&mut self) -> Atom {
        self.next_alternative();
        let close = if self.open.is_empty() { "" } else { ")" };
        Atom {
            text: format!("{}{}{close}", self.open, self.before),
            closed: true,
            repeats: self.repeats,
        }
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    flags: Flags,
    outer: Vec<Group>,
    group: Group,
    names: Vec<Option<Box<str>>>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Steps over `text` if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn run(&mut self) -> Result<(), Mistake> {
        // Where a repetition began that may not be repeated itself.
        let mut repeated = false;
        while let Some(next) = self.next() {
            let at = self.at - next.len_utf8();
            let is_repetition = match next {
                '*' => self.repeat(at, "*", 1, repeated)?,
                '+' => self.repeat(at, "+", 1, repeated)?,
                '?' => self.repeat(at, "?", 1, repeated)?,
                '{' => self.counted(at, repeated)?,
                _ => {
                    self.item(at, next)?;
                    false
                }
            };
            repeated = is_repetition;
        }
        match self.outer.is_empty() {
            true => Ok(()),
            false => Err(mistake(self.group.at, "missing closing ) of the group")),
        }
    }

    fn item(&mut self, at: usize, next: char) -> Result<(), Mistake> {
        match next {
            '(' if self.take("?") => self.perl_group(at)?,
            '(' => {
                self.names.push(None);
                self.open(at, "(", self.flags)?;
            }
            '|' => {
                self.group.next_alternative();
                self.group.before.push('|');
            }
            ')' => self.close(at)?,
            '^' if self.flags.lines => self.push("(?m:^)"),
            '^' => self.push("(?:^)"),
            '$' if self.flags.lines => self.push("(?m:$)"),
            '$' => self.push("(?:$)"),
            '.' if self.flags.dot_newline => self.push("(?s:.)"),
            '.' => self.push("."),
            '[' => {
                let class = self.class(at)?;
                self.push_folded(&class);
            }
            '\\' => self.backslash(at)?,
            other => self.literal(Some(other)),
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.group.atoms.push(Atom {
            text: text.into(),
            closed: true,
            repeats: 1,
        });
    }

    fn push_folded(&mut self, text: &str) {
        match self.flags.fold {
            true => self.push(&format!("(?i:{text})")),
            false => self.push(text),
        }
    }

    /// One character; `None` is one that no text has (a surrogate).
    fn literal(&mut self, literal: Option<char>) {
        match literal {
            Some(literal) => self.push_folded(&escaped(literal)),
            None => self.push(NOTHING),
        }
    }

    fn open(&mut self, at: usize, open: &'static str, flags: Flags) -> Result<(), Mistake> {
        if self.outer.len() >= MAX_DEPTH {
            return Err(mistake(at, "groups nest too deeply"));
        }
        let group = Group {
            open,
            at,
            flags: self.flags,
            ..Group::default()
        };
        self.outer.push(core::mem::replace(&mut self.group, group));
        self.flags = flags;
        Ok(())
    }

    fn close(&mut self, at: usize) -> Result<(), Mistake> {
        let Some(outer) = self.outer.pop() else {
            return Err(mistake(at, "unexpected )"));
        };
        self.flags = self.group.flags;
        let atom = self.group.finish();
        self.group = outer;
        self.group.atoms.push(atom);
        Ok(())
    }

    /// What follows `(?`: a name, flags, or both an opening and flags.
    fn perl_group(&mut self, at: usize) -> Result<(), Mistake> {
        if self.take("P<") || self.take("<") {
            let rest = self.rest();
            let Some((name, _)) = rest.split_once('>').filter(|(name, _)| is_name(name)) else {
                let what = "invalid name of a group: expected letters, digits or _ and a >";
                return Err(mistake(at, what));
            };
            self.at += name.len() + 1;
            self.names.push(Some(name.into()));
            return self.open(at, "(", self.flags);
        }
        let mut flags = self.flags;
        let mut on = true;
        let mut any = true;
        while let Some(next) = self.next() {
            match next {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_newline = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, any) = (false, false);
                    continue;
                }
                ':' if any => return self.open(at, "(?:", flags),
                ')' if any => {
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            any = true;
        }
        let found = &self.source[at..self.at];
        let what = format!(
            "unsupported group {found:?}: expected (?P<name>...), (?:...) or flags of i, m, s and U"
        );
        Err(Mistake { at, what })
    }

    /// What follows `{`: a count, or else the brace means itself.
    fn counted(&mut self, at: usize, repeated: bool) -> Result<bool, Mistake> {
        let Some((count, length)) = Count::read(self.rest()) else {
            self.literal(Some('{'));
            return Ok(false);
        };
        self.at += length;
        let (operator, times) = match (count.min, count.max) {
            (Some(min), Bound::Same) if min <= MAX_REPEAT => (format!("{{{min}}}"), min),
            (Some(min), Bound::None) if min <= MAX_REPEAT => (format!("{{{min},}}"), min),
            (Some(min), Bound::At(max)) if min <= max && max <= MAX_REPEAT => {
                (format!("{{{min},{max}}}"), max)
            }
            _ => {
                let what = "invalid repeat count: expected {from,to} with to at most 1000";
                return Err(mistake(at, what));
            }
        };
        self.repeat(at, &operator, times.max(1), repeated)
    }

    fn repeat(
        &mut self,
        at: usize,
        operator: &str,
        times: u32,
        repeated: bool,
    ) -> Result<bool, Mistake> {
        let lazy = self.take("?") != self.flags.lazy;
        if repeated {
            let what = "invalid nested repetition operator: use a group to repeat a repetition";
            return Err(mistake(at, what));
        }
        let Some(atom) = self.group.atoms.last_mut() else {
            return Err(mistake(at, "missing argument to repetition operator"));
        };
        atom.repeats = atom.repeats.saturating_mul(times);
        if times >= 2 && atom.repeats > MAX_REPEAT {
            let what = "invalid repeat count: nested repetitions come to more than 1000";
            return Err(mistake(at, what));
        }
        if !atom.closed {
            atom.text = format!("(?:{})", atom.text);
        }
        atom.closed = false;
        atom.text.push_str(operator);
        if lazy {
            atom.text.push('?');
        }
        Ok(true)
    }

    /// What follows a `\` outside a class.
    fn backslash(&mut self, at: usize) -> Result<(), Mistake> {
        match self.peek() {
            Some('A') => self.push(r"(?:\A)"),
            Some('z') => self.push(r"(?:\z)"),
            Some('b') => self.push(r"(?-u:\b)"),
            Some('B') => self.push(r"(?-u:\B)"),
            Some('Q') => {
                self.at += 1;
                let rest = self.rest();
                let (quoted, length) = match rest.split_once(r"\E") {
                    Some((quoted, _)) => (quoted, quoted.len() + 2),
                    None => (rest, rest.len()),
                };
                quoted.chars().for_each(|c| self.literal(Some(c)));
                self.at += length;
                return Ok(());
            }
            _ => {
                match self.class_escape(at)? {
                    Some(class) => self.push_folded(&class),
                    None => {
                        let code = self.escape(at)?;
                        self.literal(char::from_u32(code));
                    }
                }
                return Ok(());
            }
        }
        self.at += 1;
        Ok(())
    }

    /// `\d`, `\pL` and their like, if one follows the `\`.
    fn class_escape(&mut self, at: usize) -> Result<Option<String>, Mistake> {
        let Some(letter) = self.peek() else {
            return Ok(None);
        };
        let set = match letter {
            'd' | 'D' => "0-9",
            's' | 'S' => r"\t\n\x0C\r\x20",
            'w' | 'W' => "0-9A-Za-z_",
            'p' | 'P' => {
                self.at += 1;
                return self.unicode_class(at, letter == 'P').map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 1;
        let not = if letter.is_ascii_uppercase() { "^" } else { "" };
        Ok(Some(format!("[{not}{set}]")))
    }

    /// What follows `\p`: a letter, or a name in braces.
    fn unicode_class(&mut self, at: usize, negated: bool) -> Result<String, Mistake> {
        let wrong = |what: &str| mistake(at, what);
        let name = match self.next() {
            None => return Err(wrong("invalid character class: expected a name after \\p")),
            Some('{') => {
                let Some((name, _)) = self.rest().split_once('}') else {
                    return Err(wrong("invalid character class: missing closing } of \\p{"));
                };
                self.at += name.len() + 1;
                name.to_string()
            }
            Some(letter) => letter.to_string(),
        };
        let (name, inverted) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (&*name, false),
        };
        let not = negated != inverted;
        let Some(class) = unicode_set(name) else {
            let found = &self.source[at..self.at];
            let what = format!(
                "invalid character class {found:?}: expected the name of a Unicode category or script"
            );
            return Err(Mistake { at, what });
        };
        Ok(match not {
            true => format!("[^{class}]"),
            false => format!("[{class}]"),
        })
    }

    /// What follows a `\` that stands for one character: its code.
    fn escape(&mut self, at: usize) -> Result<u32, Mistake> {
        let Some(next) = self.next() else {
            return Err(mistake(at, "trailing backslash at end of expression"));
        };
        let octal = |c: Option<char>| c.and_then(|c| c.to_digit(8));
        let code = match next {
            '0' => self.octal(0),
            '1'..='7' if octal(self.peek()).is_some() => {
                self.octal(next.to_digit(8).unwrap_or_default())
            }
            'x' => match self.hexadecimal() {
                Some(code) => code,
                None => return Err(self.invalid_escape(at)),
            },
            'a' => 0x07,
            'f' => 0x0c,
            'n' => u32::from('\n'),
            'r' => u32::from('\r'),
            't' => u32::from('\t'),
            'v' => 0x0b,
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => u32::from(other),
            _ => return Err(self.invalid_escape(at)),
        };
        Ok(code)
    }

    fn invalid_escape(&self, at: usize) -> Mistake {
        let what = format!("invalid escape sequence {:?}", &self.source[at..self.at]);
        Mistake { at, what }
    }

    /// Up to two more octal digits.
    fn octal(&mut self, mut code: u32) -> u32 {
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.at += 1;
            code = code * 8 + digit;
        }
        code
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next()?;
        if first != '{' {
            let second = self.next()?;
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let mut code = None;
        loop {
            match self.next()? {
                '}' => return code,
                digit => {
                    let next = code.unwrap_or(0) * 16 + digit.to_digit(16)?;
                    code = Some(next).filter(|next| *next <= u32::from(char::MAX));
                    code?;
                }
            }
        }
    }

    /// What follows `[`, up to its `]`.
    fn class(&mut self, at: usize) -> Result<String, Mistake> {
        let mut class = String::from(if self.take("^") { "[^" } else { "[" });
        let mut first = true;
        while first || self.peek() != Some(']') {
            first = false;
            if let Some(named) = self.named_class()? {
                class.push_str(&named);
                continue;
            }
            let item = self.at;
            if self.take("\\") {
                if let Some(escaped) = self.class_escape(item)? {
                    class.push_str(&escaped);
                    continue;
                }
                self.at = item;
            }
            let low = self.class_char(at)?;
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
            let high = match is_range && self.rest().len() >= 2 {
                true => {
                    self.at += 1;
                    self.class_char(at)?
                }
                false => low,
            };
            if high < low {
                let found = &self.source[item..self.at];
                let what =
                    format!("invalid character class range {found:?}: it ends before it begins");
                return Err(Mistake { at: item, what });
            }
            push_range(&mut class, low, high);
        }
        self.at += 1;
        class.push(']');
        Ok(class)
    }

    /// `[:alpha:]` or `[:^alpha:]`, if one comes next.
    fn named_class(&mut self) -> Result<Option<String>, Mistake> {
        let at = self.at;
        let Some((name, _)) = self
            .rest()
            .strip_prefix("[:")
            .and_then(|rest| rest.split_once(":]"))
        else {
            return Ok(None);
        };
        self.at += name.len() + 4;
        let (not, plain) = match name.strip_prefix('^') {
            Some(plain) => ("^", plain),
            None => ("", name),
        };
        let set = match plain {
            "alnum" => "0-9A-Za-z",
            "alpha" => "A-Za-z",
            "ascii" => r"\x00-\x7F",
            "blank" => r"\t\x20",
            "cntrl" => r"\x00-\x1F\x7F",
            "digit" => "0-9",
            "graph" => r"\x21-\x7E",
            "lower" => "a-z",
            "print" => r"\x20-\x7E",
            "punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
            "space" => r"\t\n\x0B\x0C\r\x20",
            "upper" => "A-Z",
            "word" => "0-9A-Za-z_",
            "xdigit" => "0-9A-Fa-f",
            _ => {
                let what = format!("invalid character class range \"[:{name}:]\": no such class");
                return Err(Mistake { at, what });
            }
        };
        Ok(Some(format!("[{not}{set}]")))
    }

    /// One character of the class that began at `class`: its code.
    fn class_char(&mut self, class: usize) -> Result<u32, Mistake> {
        let at = self.at;
        match self.next() {
            None => Err(mistake(class, "missing closing ] of the character class")),
            Some('\\') => self.escape(at),
            Some(other) => Ok(u32::from(other)),
        }
    }
}

/// The upper end of `{from,to}`.
enum Bound {
    /// `{n}`
    Same,
    /// `{n,}`
    None,
    At(u32),
}

/// `{from,to}`; `min` is `None` if a number is out of all proportion.
struct Count {
    min: Option<u32>,
    max: Bound,
}

impl Count {
    /// Reads what follows a `{`, and how long it is with its `}`.
    fn read(text: &str) -> Option<(Self, usize)> {
        let (min, rest) = Self::number(text)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Bound::Same, rest),
            Some(rest) if rest.starts_with('}') => (Bound::None, rest),
            Some(rest) => {
                let (max, rest) = Self::number(rest)?;
                (Bound::At(max), rest)
            }
        };
        let rest = rest.strip_prefix('}')?;
        let count = Self {
            min: (min <= MAX_REPEAT).then_some(min),
            max,
        };
        Some((count, text.len() - rest.len()))
    }

    /// A number without leading zeros, and what follows it.
    fn number(text: &str) -> Option<(u32, &str)> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        if number.is_empty() || (number.len() > 1 && number.starts_with('0')) {
            return None;
        }
        Some((number.parse().unwrap_or(u32::MAX), rest))
    }
}

fn mistake(at: usize, what: &str) -> Mistake {
    let what = what.to_string();
    Mistake { at, what }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    !name.is_empty() && name.bytes().all(legal)
}

fn escaped(literal: char) -> String {
    match literal.is_ascii_alphanumeric() || !literal.is_ascii() {
        true => literal.into(),
        false => format!(r"\x{:02X}", u32::from(literal)),
    }
}

/// Adds the characters from `low` to `high` to a class. Surrogates are codes
/// for Go and nothing that a text can hold.
fn push_range(class: &mut String, low: u32, high: u32) {
    let is_char = |code: &u32| char::from_u32(*code).is_some();
    let low = if is_char(&low) { low } else { 0xe000 };
    let high = if is_char(&high) { high } else { 0xd7ff };
    // Writing to a string does not fail.
    let _ = match low.cmp(&high) {
        core::cmp::Ordering::Less => write!(class, r"\x{{{low:X}}}-\x{{{high:X}}}"),
        core::cmp::Ordering::Equal => write!(class, r"\x{{{low:X}}}"),
        core::cmp::Ordering::Greater => class.write_str(NOTHING),
    };
}

/// A general category or else a script, as the `regex` crate names it.
fn unicode_set(name: &str) -> Option<String> {
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match &*plain {
        "any" | "ascii" | "assigned" => return Some(format!(r"\p{{{plain}}}")),
        "cs" | "surrogate" => return Some(NOTHING.into()),
        _ => {}
    }
    // The table of names is the library's: ask it.
    ["gc", "sc"]
        .into_iter()
        .map(|property| format!(r"\p{{{property}={plain}}}"))
        .find(|class| regex::Regex::new(class).is_ok())
}
