//! The demo's lines: what happened in the second that has passed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use probity_driver::{Row, Stats};
use probity_engine::histogram::Exponential;

/// The columns' names, above every twentieth line.
pub(super) const HEADER: &str = "   time  targets   rate/s  in flight      up    down  unknown   p50 ms   p99 ms  lag p99 ms  not made";

/// One second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Since the start.
    time: Duration,
    targets: u64,
    /// Runs per second, without those that could not be made.
    rate: f64,
    in_flight: u32,
    up: usize,
    down: usize,
    /// Targets without a health, most of which have had no result yet.
    unknown: usize,
    /// Milliseconds; `None` if there was no run.
    p50: Option<f64>,
    p99: Option<f64>,
    lag_p99: Option<f64>,
    /// Runs that could not be made: they ended as `Unknown`.
    not_made: u64,
}

/// Counters as of the last line.
#[derive(Debug, Default)]
pub(super) struct Meter {
    time: Duration,
    made: u64,
    not_made: u64,
    total: Counts,
    lag: Counts,
}

/// A histogram by bucket; index `i32::MIN` holds the zeros.
type Counts = BTreeMap<i32, u64>;

impl Meter {
    /// What happened since the last call. `time` is that since the start.
    pub(super) fn line(&mut self, time: Duration, stats: &Stats, rows: &[Row]) -> Line {
        let engine = &stats.engine;
        let mut total = Exponential::new();
        for (_, group) in &stats.groups {
            total.merge(&group.total.native);
        }
        let (total, lag) = (counts(&total), counts(&engine.start_lag));
        let [success, warning, failure, not_made] = engine.runs;
        let made = success + warning + failure;
        let durations = since(&total, &self.total);
        let seconds = time.saturating_sub(self.time).as_secs_f64();
        let up = rows.iter().filter(|row| row.up == Some(true)).count();
        let down = rows.iter().filter(|row| row.up == Some(false)).count();
        let line = Line {
            time,
            targets: engine.targets,
            rate: match seconds > 0.0 {
                true => (made - self.made) as f64 / seconds,
                false => 0.0,
            },
            in_flight: engine.in_flight,
            up,
            down,
            unknown: rows.len() - up - down,
            p50: quantile(&durations, 0.5),
            p99: quantile(&durations, 0.99),
            lag_p99: quantile(&since(&lag, &self.lag), 0.99),
            not_made: not_made - self.not_made,
        };
        *self = Self {
            time,
            made,
            not_made,
            total,
            lag,
        };
        line
    }
}

fn counts(histogram: &Exponential) -> Counts {
    let zeros = (i32::MIN, histogram.zero_count());
    std::iter::once(zeros).chain(histogram.buckets()).collect()
}

fn since(now: &Counts, before: &Counts) -> Counts {
    let old = |index| before.get(index).copied().unwrap_or(0);
    now.iter()
        .map(|(index, count)| (*index, count.saturating_sub(old(index))))
        .collect()
}

/// The upper bound of the bucket of the quantile, in milliseconds: at most
/// 9 % too much, and never too little.
fn quantile(counts: &Counts, q: f64) -> Option<f64> {
    let total: u64 = counts.values().sum();
    if total == 0 {
        return None;
    }
    let rank = (q * total as f64).ceil().max(1.0) as u64;
    let mut below = 0;
    for (index, count) in counts {
        below += count;
        if below >= rank {
            return Some(match *index {
                i32::MIN => 0.0,
                index => Exponential::upper_bound(index) * 1e3,
            });
        }
    }
    None
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs();
        let time = format!("{}:{:02}", seconds / 60, seconds % 60);
        write!(
            f,
            "{time:>7}  {:>7}  {:>7.0}  {:>9}  {:>6}  {:>6}  {:>7}  {:>7}  {:>7}  {:>10}  {:>8}",
            self.targets,
            self.rate,
            self.in_flight,
            self.up,
            self.down,
            self.unknown,
            Millis(self.p50),
            Millis(self.p99),
            Millis(self.lag_p99),
            self.not_made
        )
    }
}

/// Milliseconds in three digits, or `-`.
struct Millis(Option<f64>);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            None => "-".into(),
            Some(value) if value < 9.995 => format!("{value:.2}"),
            Some(value) if value < 99.95 => format!("{value:.1}"),
            Some(value) => format!("{value:.0}"),
        };
        f.pad(&text)
    }
}

/// The whole run, at its end.
pub(super) fn summary(stats: &Stats, time: Duration) -> String {
    let [success, warning, failure, unknown] = stats.engine.runs;
    let made = success + warning + failure;
    let lag = counts(&stats.engine.start_lag);
    let mut total = Exponential::new();
    for (_, group) in &stats.groups {
        total.merge(&group.total.native);
    }
    let total = counts(&total);
    let seconds = time.as_secs_f64();
    format!(
        "{made} probes in {seconds:.1} s, {rate:.0} a second: {success} successful, {failure} failed; {unknown} more could not be made\nduration p50 {p50} ms, p99 {p99} ms; start lag p50 {lag50} ms, p99 {lag99} ms",
        success = success + warning,
        rate = made as f64 / seconds.max(1e-3),
        p50 = Millis(quantile(&total, 0.5)),
        p99 = Millis(quantile(&total, 0.99)),
        lag50 = Millis(quantile(&lag, 0.5)),
        lag99 = Millis(quantile(&lag, 0.99)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_time_since_the_last_line() {
        let mut histogram = Exponential::new();
        for _ in 0..1_000 {
            histogram.record(Duration::from_millis(1));
        }
        let before = counts(&histogram);
        histogram.record(Duration::ZERO);
        for _ in 0..98 {
            histogram.record(Duration::from_millis(100));
        }
        histogram.record(Duration::from_secs(2));
        let now = since(&counts(&histogram), &before);
        assert_eq!(now.values().sum::<u64>(), 100);
        let near = |q, expected: f64| {
            let value = quantile(&now, q).unwrap();
            assert!(
                value >= expected && value <= expected * 1.0906,
                "{q}: {value}"
            );
        };
        assert_eq!(quantile(&now, 0.01), Some(0.0));
        near(0.5, 100.0);
        near(0.99, 100.0);
        near(1.0, 2_000.0);
        assert_eq!(quantile(&since(&before, &before), 0.5), None);
    }

    #[test]
    fn columns_stand_under_their_names() {
        let line = Line {
            time: Duration::from_secs(754),
            targets: 200_000,
            rate: 123_456.7,
            in_flight: 19_000,
            up: 194_000,
            down: 3_000,
            unknown: 3_000,
            p50: Some(0.123),
            p99: Some(12.34),
            lag_p99: None,
            not_made: 12,
        };
        let text = line.to_string();
        assert_eq!(text.len(), HEADER.len());
        let ends = |text: &str| -> Vec<usize> {
            let bytes = text.as_bytes();
            let end =
                |at: &usize| bytes[*at] != b' ' && bytes.get(at + 1).is_none_or(|b| *b == b' ');
            (0..bytes.len()).filter(end).collect()
        };
        let names = ends(HEADER);
        assert!(
            ends(&text).iter().all(|end| names.contains(end)),
            "{HEADER}\n{text}"
        );
    }
}
