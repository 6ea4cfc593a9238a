//! Buckets, bounds and quantiles against their definitions.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn of(durations: impl IntoIterator<Item = u64>) -> Exponential {
    let mut histogram = Exponential::new();
    for nanos in durations {
        histogram.record(ns(nanos));
    }
    histogram
}

/// `factors` multiplied out, as little-endian 32-bit digits.
fn product(factors: impl IntoIterator<Item = u64>) -> Vec<u32> {
    let mut digits = vec![1_u32];
    for factor in factors {
        // In two halves, so that a step fits a u64.
        let (low, high) = (factor & 0xffff_ffff, factor >> 32);
        let mut result = vec![0_u32; digits.len() + 2];
        for (shift, half) in [(0, low), (1, high)] {
            let mut carry = 0;
            for at in 0..digits.len() {
                let sum = u64::from(digits[at]) * half + u64::from(result[at + shift]) + carry;
                result[at + shift] = sum as u32;
                carry = sum >> 32;
            }
            for digit in &mut result[digits.len() + shift..] {
                let sum = u64::from(*digit) + carry;
                *digit = sum as u32;
                carry = sum >> 32;
            }
        }
        while result.last() == Some(&0) {
            result.pop();
        }
        digits = result;
    }
    digits
}

/// Whether `nanos` is at most `2^(index/8)` seconds, in integers:
/// `nanos^8 <= 10^72 * 2^index`.
fn within(nanos: u64, index: i32) -> bool {
    let twos = |n: i32| core::iter::repeat_n(2, n.max(0) as usize);
    let left = product(core::iter::repeat_n(nanos, 8).chain(twos(-index)));
    let right = product(core::iter::repeat_n(1_000_000_000, 8).chain(twos(index)));
    let key = |digits: Vec<u32>| (digits.len(), digits.into_iter().rev().collect::<Vec<_>>());
    key(left) <= key(right)
}

/// The index is a rising step function of the nanoseconds, so right on both
/// sides of every step is right everywhere.
#[test]
fn every_bound_up_to_a_day_is_exact_to_the_nanosecond() {
    let day = 86_400_000_000_000;
    let mut index = -239;
    let mut checked = 0;
    loop {
        // The last nanosecond of this bucket, by bisection.
        let (mut low, mut high) = (0, 2 * day);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if within(middle, index) {
                low = middle;
            } else {
                high = middle;
            }
        }
        if high > day {
            break;
        }
        if low > 0 {
            let of_low = Exponential::index(ns(low)).map(i32::from);
            assert!(
                of_low.is_some_and(|i| i <= index),
                "{low} ns, bucket {index}"
            );
            let of_high = Exponential::index(ns(high)).map(i32::from);
            assert!(
                of_high.is_some_and(|i| i > index),
                "{high} ns, bucket {index}"
            );
            checked += 1;
        }
        index += 1;
    }
    assert!(checked > 350, "{checked}");
}

#[test]
fn upper_bounds_are_inclusive_at_powers_of_two() {
    let index = |nanos| Exponential::index(ns(nanos));
    assert_eq!(index(1_000_000_000), Some(0));
    assert_eq!(index(1_000_000_001), Some(1));
    assert_eq!(index(500_000_000), Some(-8));
    assert_eq!(index(500_000_001), Some(-7));
    assert_eq!(index(2_000_000_000), Some(8));
    assert_eq!(index(1_999_999_999), Some(8));
    assert_eq!(index(1_953_125), Some(-72));
    assert_eq!(index(1_953_126), Some(-71));
    assert_eq!(index(0), None);
    assert_eq!(index(1), Some(-239));
    assert_eq!(Exponential::index(Duration::MAX), Some(512));
}

#[test]
fn upper_bound_is_the_power_it_claims() {
    for index in -1024 * 8..1100 * 8 {
        let expected = (f64::from(index) / 8.0).exp2();
        let bound = Exponential::upper_bound(index);
        if expected.is_normal() {
            assert!((bound / expected - 1.0).abs() < 4e-16, "{index}");
        } else {
            assert!(bound == 0.0 || bound == f64::INFINITY, "{index}");
        }
    }
    assert_eq!(Exponential::upper_bound(i32::MIN), 0.0);
    assert_eq!(Exponential::upper_bound(i32::MAX), f64::INFINITY);
    assert_eq!(Exponential::ZERO_THRESHOLD, (-128_f64).exp2());
}

#[test]
fn zero_has_a_bucket_of_its_own() {
    let histogram = of([0, 0, 1_000_000_000]);
    assert_eq!(histogram.zero_count(), 2);
    assert_eq!(histogram.count(), 3);
    assert_eq!(histogram.sum(), 1.0);
    assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(0, 1)]);
    assert_eq!(histogram.quantile(0.5), Some(0.0));
}

#[test]
fn counts_outlive_32_bits_and_stop_at_48() {
    let mut histogram = of([1_000_000_000]);
    for _ in 0..40 {
        histogram.merge(&histogram.clone());
    }
    assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(0, 1 << 40)]);
    for _ in 0..60 {
        histogram.merge(&histogram.clone());
    }
    assert_eq!(
        histogram.buckets().collect::<Vec<_>>(),
        [(0, (1 << 48) - 1)]
    );
    assert_eq!(histogram.count(), u64::MAX);
    assert_eq!(histogram.quantile(1.0), Some(1.0));
    histogram.record(ns(900_000_000));
    assert_eq!(
        histogram.buckets().next(),
        Some((-1, 1)),
        "the neighbour is intact"
    );
}

#[test]
fn quantiles_interpolate_geometrically() {
    assert_eq!(Exponential::new().quantile(0.5), None);
    // Four in (1, 2^(1/8)]: the median is half way in the exponent.
    let histogram = of([1_050_000_000; 4]);
    let close = |q: f64, expected: f64| {
        let value = histogram.quantile(q).unwrap_or(f64::NAN);
        assert!((value - expected).abs() < 1e-10, "{q}: {value} {expected}");
    };
    close(0.0, 1.0);
    close(0.5, (1.0_f64 / 16.0).exp2());
    close(1.0, (1.0_f64 / 8.0).exp2());
    assert_eq!(histogram.quantile(-0.1), None);
    assert_eq!(histogram.quantile(1.1), None);
    assert_eq!(histogram.quantile(f64::NAN), None);
}

#[test]
fn classic_buckets_are_never_too_high() {
    let histogram = of([0, 4_000_000, 5_000_000, 90_000_000, 3_000_000_000]);
    let mut out = vec![7, 7, 7];
    let bounds = [0.005, 0.1, 1.0, 2.5, 4.0, f64::INFINITY];
    histogram.cumulative(&bounds, &mut out);
    // 5 ms lies in a bucket that ends at 5.24 ms: it counts from 100 ms on.
    assert_eq!(out, [2, 4, 4, 4, 5, 5]);
    of([1_000_000_000]).cumulative(&[0.99, 1.0], &mut out);
    assert_eq!(out, [0, 1], "a bound is inclusive");
}

#[test]
fn spans_fill_gaps_of_two_and_skip_gaps_of_three() {
    let (mut offsets, mut deltas) = (vec![(9, 9)], vec![9]);
    spans([], &mut offsets, &mut deltas);
    assert!(offsets.is_empty() && deltas.is_empty());
    spans(
        [(-5, 3), (-4, 5), (-1, 5), (3, 1), (4, u64::MAX)],
        &mut offsets,
        &mut deltas,
    );
    assert_eq!(offsets, [(-5, 5), (3, 2)]);
    assert_eq!(deltas, [3, 2, -5, 0, 5, -4, i64::MAX - 1]);
    spans([(2, 1)], &mut offsets, &mut deltas);
    assert_eq!(
        offsets,
        [(2, 1)],
        "a small first index is not a gap to fill"
    );
    assert_eq!(deltas, [1]);
}

#[test]
fn an_idle_histogram_is_small() {
    assert!(size_of::<Exponential>() <= 56);
    assert_eq!(Exponential::new().cells.capacity(), 0);
    assert_eq!(of([1_000_000]).cells.capacity(), 4);
}

/// Nanoseconds of every magnitude.
fn nanos() -> impl Strategy<Value = u64> {
    (0_u32..64).prop_flat_map(|bits| 0..=u64::MAX >> bits)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bucket_is_the_one_that_a_logarithm_finds(nanos in nanos()) {
        if let Some(index) = Exponential::index(ns(nanos)) {
            let seconds = ns(nanos).as_secs_f64();
            let upper = (f64::from(index) / 8.0).exp2();
            let lower = (f64::from(index - 1) / 8.0).exp2();
            // powf and exp2 are themselves off by an ulp or so.
            prop_assert!(seconds <= upper * (1.0 + 1e-15));
            prop_assert!(seconds > lower * (1.0 - 1e-15));
        } else {
            prop_assert_eq!(nanos, 0);
        }
    }

    #[test]
    fn totals_merge_and_order_hold(
        a in proptest::collection::vec(nanos(), 0..60),
        b in proptest::collection::vec(nanos(), 0..60),
    ) {
        let mut merged = of(a.iter().copied());
        merged.merge(&of(b.iter().copied()));
        let whole = of(a.iter().chain(&b).copied());
        prop_assert_eq!(&merged.cells, &whole.cells);
        prop_assert_eq!(merged.count(), (a.len() + b.len()) as u64);
        prop_assert!((merged.sum() - whole.sum()).abs() <= whole.sum() * 1e-12);
        let listed: u64 = merged.buckets().map(|(_, count)| count).sum();
        prop_assert_eq!(listed + merged.zero_count(), merged.count());
        prop_assert!(merged.cells.windows(2).all(|pair| pair[0].index() < pair[1].index()));
    }

    #[test]
    fn spans_and_deltas_give_the_buckets_back(
        buckets in proptest::collection::btree_map(-300_i32..600, 1_u64..1 << 48, 0..40),
    ) {
        let (mut offsets, mut deltas) = (Vec::new(), Vec::new());
        spans(buckets.iter().map(|(i, c)| (*i, *c)), &mut offsets, &mut deltas);
        let mut deltas = deltas.into_iter();
        let (mut index, mut count) = (0, 0);
        let mut read = Vec::new();
        for (at, (offset, length)) in offsets.into_iter().enumerate() {
            prop_assert!(at == 0 || offset > 2);
            index += offset;
            for _ in 0..length {
                count += deltas.next().expect("a delta for each bucket");
                if count > 0 {
                    read.push((index, count as u64));
                }
                index += 1;
            }
        }
        prop_assert_eq!(deltas.next(), None);
        prop_assert_eq!(read, buckets.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_the_true_one(
        mut values in proptest::collection::vec(1..u64::MAX >> 20, 1..80),
        q in 0.0..=1.0,
    ) {
        let histogram = of(values.iter().copied());
        values.sort_unstable();
        let rank = f64::ceil(q * values.len() as f64).max(1.0) as usize;
        let truth = ns(values[rank - 1]).as_secs_f64();
        let read = histogram.quantile(q).expect("there are observations");
        prop_assert!(read <= truth * 1.0906 && read >= truth / 1.0906, "{read} {truth}");
    }
}
