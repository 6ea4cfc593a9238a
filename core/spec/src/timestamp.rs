//! Times without quotes, as yaml.v3 reads them where any value will do, and as
//! Go then writes them in JSON.

use std::fmt::Write as _;

/// The time in the form of RFC 3339, if `text` is one of the four forms that
/// yaml.v3 knows: `2026-1-2`, `2026-1-2 3:4:5.6`, `2026-1-2T3:4:5.6Z` and the last
/// with `t`. What has no zone is in UTC.
pub(crate) fn rfc3339(text: &str) -> Option<String> {
    let mut rest = Rest(text);
    let year: u32 = rest
        .0
        .get(..4)
        .filter(|year| is_digits(year))?
        .parse()
        .ok()?;
    rest.0 = &rest.0[4..];
    let month = rest.after('-')?.number(1..=12)?;
    let day = rest.after('-')?.number(1..=days(year, month))?;
    let mut time = format!("{year:04}-{month:02}-{day:02}T");
    match rest.0.chars().next() {
        None => time.push_str("00:00:00Z"),
        Some('T' | 't') => {
            rest.0 = &rest.0[1..];
            rest.clock(&mut time)?;
            rest.zone(&mut time)?;
        }
        Some(' ') => {
            rest.0 = rest.0.trim_start_matches(' ');
            rest.clock(&mut time)?;
            time.push('Z');
        }
        Some(_) => return None,
    }
    rest.0.is_empty().then_some(time)
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Reads this character.
    fn after(&mut self, mark: char) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(mark)?;
        Some(self)
    }

    /// Reads a number of one digit or two.
    fn number(&mut self, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let two = self.0.get(..2).filter(|two| is_digits(two));
        let digits = two.or_else(|| self.0.get(..1).filter(|one| is_digits(one)))?;
        self.0 = &self.0[digits.len()..];
        digits.parse().ok().filter(|number| range.contains(number))
    }

    /// Reads hour, minute and second, with nine digits after its point at most:
    /// further ones are cut off, and zeros at the end.
    fn clock(&mut self, time: &mut String) -> Option<()> {
        let hour = self.number(0..=23)?;
        let minute = self.after(':')?.number(0..=59)?;
        let second = self.after(':')?.number(0..=59)?;
        // Writing to a String cannot fail.
        let _ = write!(time, "{hour:02}:{minute:02}:{second:02}");
        if let Some(fraction) = self.0.strip_prefix(['.', ',']) {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if length > 0 {
                self.0 = &fraction[length..];
                let fraction = fraction[..length.min(9)].trim_end_matches('0');
                if !fraction.is_empty() {
                    let _ = write!(time, ".{fraction}");
                }
            }
        }
        Some(())
    }

    /// Reads `Z`, or how far local time is ahead of UTC.
    fn zone(&mut self, time: &mut String) -> Option<()> {
        if let Some(rest) = self.0.strip_prefix('Z') {
            self.0 = rest;
            time.push('Z');
            return Some(());
        }
        let sign = self.0.chars().next().filter(|it| matches!(it, '+' | '-'))?;
        let (hours, minutes) = self.0[1..].split_once(':')?;
        let is_two = |text: &str| text.len() == 2 && is_digits(text);
        if !is_two(hours) || !is_two(minutes) || hours > "23" || minutes > "59" {
            return None;
        }
        match (hours, minutes) {
            ("00", "00") => time.push('Z'),
            _ => {
                let _ = write!(time, "{sign}{hours}:{minutes}");
            }
        }
        self.0 = "";
        Some(())
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days of a month of the Gregorian calendar.
const fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them_in_json() {
        for (text, time) in [
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("2026-1-2", "2026-01-02T00:00:00Z"),
            ("2024-2-29", "2024-02-29T00:00:00Z"),
            ("2000-02-29", "2000-02-29T00:00:00Z"),
            ("2026-01-02 3:4:5", "2026-01-02T03:04:05Z"),
            ("2026-01-02   03:04:05.250", "2026-01-02T03:04:05.25Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02t03:04:05.000Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05,1Z", "2026-01-02T03:04:05.1Z"),
            (
                "2026-01-02T03:04:05.1234567899Z",
                "2026-01-02T03:04:05.123456789Z",
            ),
            ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05-07:30", "2026-01-02T03:04:05-07:30"),
        ] {
            assert_eq!(rfc3339(text).as_deref(), Some(time), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-",
            "2026-01",
            "26-01-02",
            "02026-01-02",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-01-02 ",
            "2026-01-02x",
            "2026-01-02 03:04",
            "2026-01-02 24:00:00",
            "2026-01-02 03:04:60",
            "2026-01-02 03:04:05.",
            "2026-01-02 03:04:05Z",
            "2026-01-02 03:04:05 -5",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+1:00",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05+01:00 ",
            "2026-001-02",
            "２026-01-02",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
