//! Durations as Go writes them.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in the syntax of Go's `time.ParseDuration`: numbers with a
/// fraction and a unit of `ns`, `us`, `ms`, `s`, `m` or `h`, one after the
/// other (`1m30s`, `1.5h`), perhaps after a `+`. A bare `0` is legal. Negative
/// values are not, but for a [`TimeLimit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// The `timeout` of a module: a [`GoDuration`] that may be below zero, which
/// limits nothing, as 0 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimit {
    length: GoDuration,
    is_negative: bool,
}

/// Units, longest name first where one begins like another.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

impl GoDuration {
    /// Parses a duration.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text.strip_prefix('+').unwrap_or(text))
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .ok_or_else(|| {
                format!("expected a duration such as 5s, 1m30s or 250ms, found {text:?}")
            })
    }
}

impl TimeLimit {
    /// Parses a limit.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let below_zero = text.strip_prefix('-').filter(|rest| !rest.starts_with('+'));
        let length = GoDuration::parse(below_zero.unwrap_or(text));
        // What is said of a mistake has all of the text in it.
        let length = match below_zero {
            Some(_) => length.or_else(|_| GoDuration::parse(text)),
            None => length,
        };
        length.map(|length| Self {
            length,
            is_negative: below_zero.is_some() && !length.0.is_zero(),
        })
    }

    /// The longest time that something may take, if that is limited.
    pub fn limit(self) -> Option<Duration> {
        let limits = !self.is_negative && !self.length.0.is_zero();
        limits.then_some(self.length.0)
    }

    /// Whether it is written as less than 0.
    pub const fn is_negative(self) -> bool {
        self.is_negative
    }
}

impl From<Duration> for TimeLimit {
    fn from(length: Duration) -> Self {
        Self {
            length: GoDuration(length),
            is_negative: false,
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_negative { "-" } else { "" })?;
        self.length.fmt(f)
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        // "ms" before "m": the unit is everything up to the next digit.
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (name, next) = after.split_at(end);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(*unit)?)?;
        let mut scale = *unit;
        for digit in fraction.bytes() {
            scale /= 10;
            total = total.checked_add(u64::from(digit - b'0') * scale)?;
        }
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

impl fmt::Display for GoDuration {
    /// As Go's `Duration.String` prints it: `1m30s`, `250ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let mut whole = nanos / unit;
        if name == "s" {
            let (hours, minutes) = (whole / 3600, whole / 60 % 60);
            if hours > 0 {
                write!(f, "{hours}h")?;
            }
            if hours > 0 || minutes > 0 {
                write!(f, "{minutes}m")?;
            }
            whole %= 60;
        }
        write!(f, "{whole}")?;
        let fraction = nanos % unit;
        if fraction > 0 {
            let width = match unit {
                1_000 => 3,
                1_000_000 => 6,
                _ => 9,
            };
            let digits = format!("{fraction:0width$}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("250ms", 250_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("10us", 10_000),
            ("10\u{b5}s", 10_000),
            ("7ns", 7),
            ("+5s", 5_000_000_000),
        ] {
            assert_eq!(
                GoDuration::parse(text),
                Ok(GoDuration(Duration::from_nanos(nanos))),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "1d",
            "-1s",
            "++1s",
            "+",
            "s",
            ".s",
            "1 s",
            "1s ",
            "5sec",
            "99999999999h",
        ] {
            assert!(GoDuration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_below_zero_is_none() {
        let limit = |text| TimeLimit::parse(text).map(|limit| (limit.limit(), limit.to_string()));
        let seconds = Duration::from_secs;
        assert_eq!(limit("+5s"), Ok((Some(seconds(5)), "5s".into())));
        assert_eq!(limit("-1m30s"), Ok((None, "-1m30s".into())));
        assert_eq!(limit("-0"), Ok((None, "0s".into())));
        assert_eq!(limit("0s"), Ok((None, "0s".into())));
        for text in ["-", "--5s", "-+5s", "+-5s", "-5", ""] {
            let why = limit(text).unwrap_err();
            assert!(why.ends_with(&format!("found {text:?}")), "{why}");
        }
    }

    #[test]
    fn prints_what_go_prints() {
        for (text, printed) in [
            ("90s", "1m30s"),
            ("3600s", "1h0m0s"),
            ("1500ms", "1.5s"),
            ("250ms", "250ms"),
            ("1500ns", "1.5\u{b5}s"),
            ("0", "0s"),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap().to_string(), printed);
        }
    }
}
