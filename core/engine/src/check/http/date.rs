//! Dates of HTTP header fields (RFC 9110 section 5.6.7).

/// Reads a date in one of the three legal forms, as seconds of Unix time:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`.
///
/// A year of two digits from 69 is of the last century, as Go reads it. The
/// name of the day is read but not compared with the date.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    match text.split_once(", ") {
        Some((day, rest)) if DAYS.iter().any(|name| name.eq_ignore_ascii_case(day)) => {
            rfc_850(rest)
        }
        Some((day, rest)) if is_short_day(day) => imf_fixdate(rest),
        Some(_) => None,
        None => asctime(text),
    }
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

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn is_short_day(text: &str) -> bool {
    DAYS.iter().any(|name| name[..3].eq_ignore_ascii_case(text))
}

/// `06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &str) -> Option<i64> {
    let mut parts = text.split(' ');
    let day = digits(parts.next()?, 2)?;
    let month = month(parts.next()?)?;
    let year = digits(parts.next()?, 4)?;
    let time = time(parts.next()?)?;
    (parts.next()? == "GMT" && parts.next().is_none()).then_some(())?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// `06-Nov-94 08:49:37 GMT`
fn rfc_850(text: &str) -> Option<i64> {
    let mut parts = text.split(' ');
    let mut date = parts.next()?.split('-');
    let day = digits(date.next()?, 2)?;
    let month = month(date.next()?)?;
    let year = digits(date.next()?, 2)?;
    let year = if year >= 69 { 1900 + year } else { 2000 + year };
    let time = time(parts.next()?)?;
    (date.next().is_none() && parts.next()? == "GMT" && parts.next().is_none()).then_some(())?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<i64> {
    let mut parts = text.split(' ').filter(|part| !part.is_empty());
    is_short_day(parts.next()?).then_some(())?;
    let month = month(parts.next()?)?;
    let day = parts.next()?;
    let day = digits(day, day.len().clamp(1, 2))?;
    let time = time(parts.next()?)?;
    let year = digits(parts.next()?, 4)?;
    parts.next().is_none().then_some(())?;
    Some(days(year, month, day)? * 86_400 + time)
}

/// A number of exactly `length` digits.
fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// 1 to 12.
fn month(text: &str) -> Option<i64> {
    let index = MONTHS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))?;
    Some(index as i64 + 1)
}

/// Seconds since midnight.
fn time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours = digits(parts.next()?, 2)?;
    let minutes = digits(parts.next()?, 2)?;
    let seconds = digits(parts.next()?, 2)?;
    (parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60)
        .then_some(hours * 3600 + minutes * 60 + seconds)
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
