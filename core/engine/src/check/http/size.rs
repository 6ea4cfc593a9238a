//! Sizes as blackbox_exporter writes them, and what is too large.

use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes in the syntax of Go's `units.Base2Bytes`: numbers with a
/// unit, one after the other (`1MB`, `1.5KiB`, `1GiB512MiB`). Every unit is a
/// power of 1024, `MB` as well as `MiB`. A bare `0` is legal; other bare
/// numbers are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSize(i64);

/// Prefixes of units by power of 1024.
const PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl ByteSize {
    /// Parses a size.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text)
            .map(Self)
            .ok_or_else(|| format!("expected a size such as 512KB or 1MiB, found {text:?}"))
    }

    /// The size as a limit. 0 is none, and so is a negative one, as in
    /// blackbox_exporter.
    pub(super) const fn limit(self) -> Option<u64> {
        if self.0 > 0 {
            Some(self.0 as u64)
        } else {
            None
        }
    }
}

fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match rest {
        "" => return None,
        "0" => return Some(0),
        _ => {}
    }
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.bytes().take_while(|b| is_number(*b)).count());
        let (name, next) = after.split_at(after.bytes().take_while(|b| !is_number(*b)).count());
        let number: f64 = number.parse().ok()?;
        total += number * unit(name)?;
        rest = next;
    }
    let total = sign * total;
    // 2^63 and above do not fit.
    (total.abs() < (1_u64 << 63) as f64).then_some(total as i64)
}

fn unit(name: &str) -> Option<f64> {
    let prefix = name.strip_suffix('B')?;
    let prefix = match prefix.strip_suffix('i') {
        Some("") => return None,
        Some(prefix) => prefix,
        None => prefix,
    };
    let power = PREFIXES.iter().position(|known| *known == prefix)?;
    Some((1_u64 << (10 * power)) as f64)
}

impl fmt::Display for ByteSize {
    /// As Go prints it: `1MiB`, `1GiB512MiB`, `0B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (power, prefix) in PREFIXES.iter().enumerate().rev() {
            let unit = 1_u64 << (10 * power);
            let (count, suffix) = (rest / unit, if power > 0 { "iB" } else { "B" });
            if count > 0 {
                write!(f, "{count}{prefix}{suffix}")?;
            }
            rest %= unit;
        }
        Ok(())
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Size)
    }
}

/// Takes text, and the number 0.
struct Size;

impl Visitor<'_> for Size {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 512KB or 1MiB")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
        ByteSize::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<ByteSize, E> {
        match number {
            0 => Ok(ByteSize(0)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<ByteSize, E> {
        match number {
            0 => Ok(ByteSize(0)),
            _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

/// How many bytes of a body are read at most, decoded if it is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Largest {
    /// The module's `body_size_limit`: a larger body is a failure.
    Module(u64),
    /// As much as CEL looks at here.
    Parsed(u64),
    /// As much as is held here to be matched, unless the module says otherwise.
    Matched(u64),
    /// As much as is decoded here, unless the module says otherwise.
    Decoded(u64),
}

impl Largest {
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Module(bytes)
            | Self::Parsed(bytes)
            | Self::Matched(bytes)
            | Self::Decoded(bytes) => bytes,
        }
    }
}

impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        f.write_str("the body is larger than ")?;
        match self {
            Self::Module(_) => write!(f, "{bytes} bytes"),
            Self::Parsed(_) => write!(
                f,
                "the {bytes} bytes that expressions in CEL look at: ask the target for less, \
                 or set a smaller body_size_limit to fail it"
            ),
            Self::Matched(_) => write!(
                f,
                "the {bytes} bytes that are held to be matched: set a larger body_size_limit to \
                 have more matched, or a smaller one to fail it"
            ),
            Self::Decoded(_) => write!(
                f,
                "the {bytes} bytes that are decoded: set a larger body_size_limit to have more \
                 decoded, or a smaller one to fail it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("0B", 0),
            ("128B", 128),
            ("1KB", 1 << 10),
            ("1KiB", 1 << 10),
            ("1MB", 1 << 20),
            ("1.5KiB", 1_536),
            (".5KB", 512),
            ("1GiB512MiB", (1 << 30) + (512 << 20)),
            ("+1EB", 1 << 60),
            ("-1B", -1),
            ("-0", 0),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "", "-", "1000", "1kB", "1iB", "1K", "B", ".B", "1..5KB", "8EB", "1 KB", "x",
            "1\u{b5}B",
        ] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_as_go_prints_them() {
        for (text, printed) in [
            ("1MB", "1MiB"),
            ("1.5GB", "1GiB512MiB"),
            ("0", "0B"),
            ("129B", "129B"),
        ] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn zero_and_less_are_no_limit() {
        for (text, limit) in [("0", None), ("-1B", None), ("1B", Some(1))] {
            assert_eq!(ByteSize::parse(text).unwrap().limit(), limit);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(bytes in 0..(1_i64 << 52)) {
            let size = ByteSize(bytes);
            prop_assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = ByteSize::parse(&text);
        }
    }
}
