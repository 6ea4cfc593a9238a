//! Durations of jobs.

use std::fmt;
use std::time::Duration;

use probity_engine::config::GoDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration as Prometheus writes it (`1h30m`: whole numbers with the units
/// y, w, d, h, m, s and ms, each at most once and in this order, or `0`) or
/// as Go does (`1.5s`, as in the `timeout` of modules). What both can read
/// means the same to both, so nobody has to know which is meant where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobDuration(pub(crate) Duration);

/// Units in milliseconds; a year is 365 days, as in Prometheus.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl JobDuration {
    fn parse(text: &str) -> Option<Self> {
        let prometheus = || prometheus(text).map(|millis| Self(Duration::from_millis(millis)));
        let go = || GoDuration::parse(text).ok().map(|go| Self(go.0));
        prometheus().or_else(go)
    }
}

fn prometheus(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (count, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (name, next) = after.split_at(end);
        // Taking from the iterator is what enforces the order.
        let (_, unit) = units.find(|(unit, _)| *unit == name)?;
        total = total.checked_add(count.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

impl fmt::Display for JobDuration {
    /// As Prometheus prints it (`1h30m`), or as Go if there are fractions of
    /// a millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if Duration::from_millis(millis) != self.0 {
            return GoDuration(self.0).fmt(f);
        }
        if millis == 0 {
            return f.write_str("0s");
        }
        let mut rest = millis;
        for (name, unit) in UNITS {
            // Years and weeks only where nothing is left over, as upstream.
            if rest >= unit && (!matches!(name, "y" | "w") || rest.is_multiple_of(unit)) {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl Serialize for JobDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let found = crate::error::excerpt(&text);
            D::Error::custom(format_args!(
                "expected a duration such as 15s, 1m30s, 250ms or 1d, found {found}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prometheus_and_go_and_prints_prometheus() {
        for (text, millis, printed) in [
            ("0", 0, "0s"),
            ("15s", 15_000, "15s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1d", 86_400_000, "1d"),
            ("8d", 8 * 86_400_000, "8d"),
            ("2w", 14 * 86_400_000, "2w"),
            ("1y", 365 * 86_400_000, "1y"),
            ("1w1d1h1m1s1ms", 694_861_001, "8d1h1m1s1ms"),
            ("1.5s", 1_500, "1s500ms"),
            ("90s", 90_000, "1m30s"),
        ] {
            let duration = JobDuration::parse(text).unwrap();
            assert_eq!(duration.0, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
            assert_eq!(JobDuration::parse(printed), Some(duration), "{text}");
        }
        assert_eq!(JobDuration::parse("10us").unwrap().to_string(), "10\u{b5}s");
        for text in [
            "",
            "15",
            "s",
            "-1s",
            "1d1w",
            "1d 1h",
            "1.5d",
            "1x",
            "99999999999999999y",
        ] {
            assert_eq!(JobDuration::parse(text), None, "{text}");
        }
    }
}
