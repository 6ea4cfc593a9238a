//! From the engine's histograms to what the encoders take.

use probity_engine::histogram::Exponential;

use crate::exposition::{Histogram, Native, NativeBuckets};

/// Upper bounds, in seconds, of the classic buckets of the exporter's own
/// histograms: powers of two from 0.5 ms to 16 s. Each is a bound of the
/// exponential buckets too, so that the classic counts are exact.
pub const BOUNDS: [f64; 16] = [
    0.000_488_281_25,
    0.000_976_562_5,
    0.001_953_125,
    0.003_906_25,
    0.007_812_5,
    0.015_625,
    0.031_25,
    0.062_5,
    0.125,
    0.25,
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
];

/// Memory for one histogram at a time, so that a scrape allocates once and not
/// for every target.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    native: NativeBuckets,
    classic: Vec<(f64, u64)>,
}

impl Buckets {
    /// Both forms of `source`. `bounds` (ascending, seconds) are those of the
    /// classic buckets; none leave the classic form out.
    ///
    /// A duration is in the first classic bucket that holds its whole
    /// exponential bucket: never in one that is too low, and in one too high
    /// only if it is within 9 % of the bound. Counts never decrease.
    pub fn load(&mut self, source: &Exponential, bounds: &[f64]) -> Histogram<'_> {
        self.native.clear();
        self.classic.clear();
        self.classic.extend(bounds.iter().map(|bound| (*bound, 0)));
        if let Some((_, first)) = self.classic.first_mut() {
            *first = source.zero_count();
        }
        let mut at = 0;
        for (index, count) in source.buckets() {
            self.native.push(index, count);
            let upper = Exponential::upper_bound(index);
            while self
                .classic
                .get(at)
                .is_some_and(|(bound, _)| *bound < upper)
            {
                at += 1;
            }
            if let Some((_, total)) = self.classic.get_mut(at) {
                *total += count;
            }
        }
        Histogram {
            count: source.count(),
            sum: source.sum(),
            classic: (!self.classic.is_empty()).then_some(&self.classic),
            native: Some(Native {
                schema: Exponential::SCHEMA,
                zero_threshold: Exponential::ZERO_THRESHOLD,
                zero_count: source.zero_count(),
                positive: self.native.spans(),
                negative: Default::default(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn own_bounds_are_exact() {
        for bound in BOUNDS {
            let mut source = Exponential::new();
            source.record(Duration::from_secs_f64(bound));
            let (index, _) = source.buckets().next().unwrap();
            assert_eq!(Exponential::upper_bound(index), bound);
        }
    }

    #[test]
    fn every_duration_is_in_exactly_one_bucket() {
        let mut source = Exponential::new();
        for millis in [0, 1, 4, 5, 6, 240, 250, 260, 20_000] {
            source.record(Duration::from_millis(millis));
        }
        let mut buckets = Buckets::default();
        let bounds = [0.005, 0.25, 10.0];
        let histogram = buckets.load(&source, &bounds);
        // 5 ms shares its exponential bucket (4.84 to 5.28 ms) with longer ones.
        assert_eq!(
            histogram.classic,
            Some(&[(0.005, 3), (0.25, 4), (10.0, 1)][..])
        );
        assert_eq!(histogram.count, 9);
        let native = histogram.native.unwrap();
        assert_eq!(native.positive.total() + native.zero_count, 9);
    }

    #[test]
    fn without_bounds_there_is_no_classic_form() {
        let mut source = Exponential::new();
        source.record(Duration::from_millis(1));
        let mut buckets = Buckets::default();
        buckets.load(&source, &BOUNDS);
        let histogram = buckets.load(&source, &[]);
        assert_eq!(histogram.classic, None);
        assert_eq!(histogram.native.unwrap().positive.total(), 1);
    }
}
