//! Words for people: dates, ages and bytes that a peer chose.
//!
//! Whatever comes from a peer is escaped and cut before it goes into a
//! sentence: a detail ends up in logs, where a line break would forge a line.

use std::fmt::Write;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `2024-05-01` for Unix time `seconds`, in UTC.
///
/// The civil date is computed as in Howard Hinnant's "chrono-compatible
/// low-level date algorithms" (days are counted from 0000-03-01, so that a
/// leap day is the last of its year).
pub(crate) fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(DAY as i64) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `3 days`, `1 hour`: the largest whole unit.
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = if seconds >= DAY {
        (seconds / DAY, "day")
    } else if seconds >= HOUR {
        (seconds / HOUR, "hour")
    } else if seconds >= MINUTE {
        (seconds / MINUTE, "minute")
    } else {
        (seconds, "second")
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `text` without control characters, at most `limit` characters long.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == limit {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Joins up to `limit` items with `, ` and counts the rest.
pub(crate) fn list(items: &[String], limit: usize) -> String {
    let shown = items.len().min(limit);
    let mut out = items[..shown].join(", ");
    if items.len() > shown {
        let _ = write!(out, " and {} more", items.len() - shown);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_714_521_600, "2024-05-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
            (-62_135_596_800, "0001-01-01"),
        ] {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn spans_use_the_largest_whole_unit() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "1 minute"),
            (7_200, "2 hours"),
            (86_400, "1 day"),
            (259_300, "3 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn a_peer_cannot_forge_a_log_line() {
        assert_eq!(clean("a\nb\u{1b}[0m", 99), "a\\nb\\u{1b}[0m");
        assert_eq!(clean("äöü", 2), "äö…");
    }

    #[test]
    fn long_lists_are_counted() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).into();
        assert_eq!(list(&names, 3), "a, b, c");
        assert_eq!(list(&names, 1), "a and 2 more");
    }
}
