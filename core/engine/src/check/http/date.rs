//! Dates of HTTP header fields (RFC 9110 section 5.6.7).

use core::ops::RangeInclusive;

/// Reads a date in one of the three legal forms, as seconds of Unix time:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`.
///
/// What Go's `http.ParseTime` lets pass does: several spaces for one, an hour of
/// one digit, a fraction of a second, and in the second form any zone, which is
/// taken for UTC. A year of two digits from 69 is of the last century. The name
/// of the day is read but not compared with the date.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let forms = [imf_fixdate, rfc_850, asctime];
    forms.into_iter().find_map(|form| {
        let mut cursor = Cursor(text);
        let time = form(&mut cursor)?;
        cursor.0.is_empty().then_some(time)
    })
}

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const SHORT_DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &mut Cursor<'_>) -> Option<i64> {
    text.name(&SHORT_DAYS)?;
    text.skip(b",")?;
    text.spaces()?;
    let day = text.digits(2..=2)?;
    text.spaces()?;
    let month = text.month()?;
    text.spaces()?;
    let year = text.digits(4..=4)?;
    text.spaces()?;
    let time = text.time()?;
    text.spaces()?;
    text.skip(b"GMT")?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc_850(text: &mut Cursor<'_>) -> Option<i64> {
    text.name(&DAYS)?;
    text.skip(b",")?;
    text.spaces()?;
    let day = text.digits(2..=2)?;
    text.skip(b"-")?;
    let month = text.month()?;
    text.skip(b"-")?;
    let year = text.digits(2..=2)?;
    let year = if year >= 69 { 1900 + year } else { 2000 + year };
    text.spaces()?;
    let time = text.time()?;
    text.spaces()?;
    text.zone()?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &mut Cursor<'_>) -> Option<i64> {
    text.name(&SHORT_DAYS)?;
    text.spaces()?;
    let month = text.month()?;
    text.spaces()?;
    let day = text.digits(1..=2)?;
    text.spaces()?;
    let time = text.time()?;
    text.spaces()?;
    let year = text.digits(4..=4)?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// What is left of a text that is being read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Exactly this.
    fn skip(&mut self, what: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    /// At least one space.
    fn spaces(&mut self) -> Option<()> {
        self.skip(b" ")?;
        while self.skip(b" ").is_some() {}
        Some(())
    }

    /// The position of one of these, in any case.
    fn name(&mut self, names: &[&str]) -> Option<usize> {
        let is_here = |name: &&str| {
            let here = self.0.get(..name.len());
            here.is_some_and(|here| here.eq_ignore_ascii_case(name.as_bytes()))
        };
        let index = names.iter().position(is_here)?;
        self.0 = &self.0[names[index].len()..];
        Some(index)
    }

    /// 1 to 12.
    fn month(&mut self) -> Option<i64> {
        self.name(&MONTHS).map(|index| index as i64 + 1)
    }

    /// A number of as many digits.
    fn digits(&mut self, length: RangeInclusive<usize>) -> Option<i64> {
        let most = self.0.iter().take(*length.end());
        let count = most.take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = length.contains(&count).then(|| self.0.split_at(count))?;
        self.0 = rest;
        let number = |number, digit: &u8| number * 10 + i64::from(digit - b'0');
        Some(digits.iter().fold(0, number))
    }

    /// Seconds since midnight, without a fraction of one.
    fn time(&mut self) -> Option<i64> {
        let hours = self.digits(1..=2)?;
        self.skip(b":")?;
        let minutes = self.digits(2..=2)?;
        self.skip(b":")?;
        let seconds = self.digits(2..=2)?;
        if let [b'.' | b',', b'0'..=b'9', ..] = self.0 {
            let digits = self.0[1..].iter();
            let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
            self.0 = &self.0[1 + count..];
        }
        (hours < 24 && minutes < 60 && seconds < 60)
            .then_some(hours * 3600 + minutes * 60 + seconds)
    }

    /// The abbreviation of a zone, or an offset in hours. What it stands for, Go
    /// does not know either unless it is the machine's own.
    fn zone(&mut self) -> Option<()> {
        if self.skip(b"ChST").or_else(|| self.skip(b"MeST")).is_some() {
            return Some(());
        }
        if self.skip(b"GMT").is_some() {
            let _ = self.offset();
            return Some(());
        }
        if self.offset().is_some() {
            return Some(());
        }
        let letters = self.0.iter().take(6);
        let count = letters.take_while(|byte| byte.is_ascii_uppercase()).count();
        let (name, rest) = self.0.split_at(count);
        let is_known = match name {
            [_, _, _] | b"WITA" => true,
            [_, _, _, last] | [_, _, _, _, last] => *last == b'T',
            _ => false,
        };
        is_known.then(|| self.0 = rest)
    }

    /// `+1` to `-23`.
    fn offset(&mut self) -> Option<()> {
        let mut rest = Cursor(self.0);
        rest.skip(b"+").or_else(|| rest.skip(b"-"))?;
        let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits.count();
        let hours = rest.digits(count.max(1)..=count.clamp(1, 18))?;
        (hours < 24).then(|| self.0 = rest.0)
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, or `None` if it
/// has no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day at their end, so that the
    // days before a month follow a line: (153 m + 2) / 5.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Tuesday, 31-Dec-68 23:59:59 GMT", 3_124_223_999),
            ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800),
            ("Wed Nov 16 08:49:37 1994", 784_975_777),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_go_lets_pass_does() {
        for text in [
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37.5 GMT",
            "Sun, 06 Nov 1994 08:49:37,123456789 GMT",
            "Sun,  06  Nov 1994   08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sunday, 06-Nov-94 08:49:37 CEST",
            "Sunday, 06-Nov-94 08:49:37 WITA",
            "Sunday, 06-Nov-94 08:49:37 ChST",
            "Sunday, 06-Nov-94 08:49:37 GMT+3",
            "Sunday, 06-Nov-94 08:49:37 -03",
            "sun nov 6 8:49:37.9 1994",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 +8:49:37 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "2026-01-01T00:00:00Z",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37. GMT",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sunday, 06-Nov-94 08:49:37 cet",
            "Sunday, 06-Nov-94 08:49:37 ABCD",
            "Sunday, 06-Nov-94 08:49:37 ABCDEF",
            "Sunday, 06-Nov-94 08:49:37 +24",
            "Sunday, 06-Nov-94 08:49:37 CET x",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[SMa-z]{3}[, ]{1,2}[0-9A-Za-z :-]{0,30}") {
            parse(&bytes);
            parse(text.as_bytes());
        }
    }
}
