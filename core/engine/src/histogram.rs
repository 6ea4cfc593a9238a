//! A sparse base-2 exponential histogram of durations, small enough to keep
//! one for each target.
//!
//! The buckets are those of a Prometheus native histogram of schema 3: eight
//! to the octave, bucket `i` covers `(2^((i-1)/8), 2^(i/8)]` seconds, **upper
//! bound inclusive** (OpenTelemetry's scale 3 has the same buckets with
//! indices one lower). Neighbouring bounds differ by 9.05 %, which bounds the
//! error of every quantile that is read back. What is recorded is what is
//! exposed: there is no second conversion, and no second error.
//!
//! A target's latencies fall into 10 to 25 buckets, so only those that were
//! hit are stored, 8 bytes each and sorted. Counts never decrease, as a
//! Prometheus counter must not.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// `2^(k/8)` for `k` in `0..8`, each the nearest `f64`.
const ROOTS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    core::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// Bits of an `f64` below its exponent, and the exponent of 1.0.
const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: i32 = 1023;

/// Longest run of empty buckets that is cheaper to write out than to skip.
const MAX_FILL: i64 = 2;

/// The index of a bucket and how often it was hit, in one word.
///
/// The upper 16 bits are the index (signed), the lower 48 the count, which
/// stops at its maximum: after 2.8e14 observations, or 89 years at 100,000 a
/// second. `Duration` needs indices from -239 to 512.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(i64);

impl Cell {
    const COUNT_BITS: u32 = 48;
    const MAX_COUNT: i64 = (1 << Self::COUNT_BITS) - 1;

    const fn new(index: i16) -> Self {
        Self((index as i64) << Self::COUNT_BITS)
    }

    const fn index(self) -> i16 {
        (self.0 >> Self::COUNT_BITS) as i16
    }

    const fn count(self) -> u64 {
        (self.0 & Self::MAX_COUNT) as u64
    }

    fn add(&mut self, count: u64) {
        let room = Self::MAX_COUNT as u64 - self.count();
        self.0 += count.min(room) as i64;
    }
}

/// How long something took, every time it happened.
///
/// 48 bytes, and 8 more for each bucket that was ever hit.
#[derive(Clone, Default, PartialEq)]
pub struct Exponential {
    /// Sorted by index, no index twice, no count zero.
    cells: Vec<Cell>,
    zeros: u64,
    count: u64,
    sum: f64,
}

const _: () = assert!(size_of::<Exponential>() <= 56);

impl Exponential {
    /// Prometheus' resolution: `2^SCHEMA` buckets to the octave.
    pub const SCHEMA: i32 = 3;

    /// Values up to this, in seconds, belong to the zero bucket: 2^-128, the
    /// default of Prometheus' own libraries. Of durations, that is only zero.
    pub const ZERO_THRESHOLD: f64 = f64::from_bits(((EXPONENT_BIAS - 128) as u64) << MANTISSA_BITS);

    /// A histogram without observations. It does not allocate.
    pub const fn new() -> Self {
        Self {
            cells: Vec::new(),
            zeros: 0,
            count: 0,
            sum: 0.0,
        }
    }

    /// Counts one observation.
    pub fn record(&mut self, duration: Duration) {
        match Self::index(duration) {
            Some(index) => self.add(index, 1),
            None => self.zeros = self.zeros.saturating_add(1),
        }
        self.count = self.count.saturating_add(1);
        self.sum += duration.as_secs_f64();
    }

    /// Number of observations.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the observations, in seconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Number of observations that were exactly zero. They are in
    /// [`Exponential::count`] and in none of [`Exponential::buckets`].
    pub const fn zero_count(&self) -> u64 {
        self.zeros
    }

    /// The buckets that were hit, as (index, count), in ascending order.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let pair = |cell: &Cell| (i32::from(cell.index()), cell.count());
        self.cells.iter().map(pair)
    }

    /// Adds all observations of `other`.
    pub fn merge(&mut self, other: &Self) {
        for cell in &other.cells {
            self.add(cell.index(), cell.count());
        }
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
    }

    fn add(&mut self, index: i16, count: u64) {
        let at = match self.cells.binary_search_by_key(&index, |cell| cell.index()) {
            Ok(at) => at,
            Err(at) => {
                if self.cells.len() == self.cells.capacity() {
                    // A new bucket is rare, and soon never; fleets are large.
                    self.cells.reserve_exact(4);
                }
                self.cells.insert(at, Cell::new(index));
                at
            }
        };
        self.cells[at].add(count);
    }

    /// The bucket of `duration`, or `None` for the zero bucket.
    ///
    /// There is no logarithm in `core`, and none is needed: the octave is the
    /// exponent of the value, and its eighth is found by comparing mantissas.
    /// Exact for every whole number of nanoseconds below a day (a test walks
    /// all bounds); beyond, as exact as `f64` seconds are.
    fn index(duration: Duration) -> Option<i16> {
        let bits = duration.as_secs_f64().to_bits();
        if bits == 0 {
            return None;
        }
        // Positive and normal: at least 1e-9 and at most 2^64.
        let octave = (bits >> MANTISSA_BITS) as i32 - EXPONENT_BIAS;
        let mantissa = bits & MANTISSA_MASK;
        let eighth = ROOTS
            .iter()
            .filter(|root| root.to_bits() & MANTISSA_MASK < mantissa)
            .count();
        Some((octave * 8 + eighth as i32) as i16)
    }

    /// The inclusive upper bound of bucket `index`, in seconds: `2^(index/8)`,
    /// zero or infinite where that is out of `f64`'s normal range. The lower
    /// bound is `upper_bound(index - 1)`.
    pub const fn upper_bound(index: i32) -> f64 {
        let exponent = index.div_euclid(8).saturating_add(EXPONENT_BIAS);
        if exponent <= 0 {
            return 0.0;
        }
        if exponent > 2 * EXPONENT_BIAS {
            return f64::INFINITY;
        }
        let mantissa = ROOTS[index.rem_euclid(8) as usize].to_bits() & MANTISSA_MASK;
        f64::from_bits((exponent as u64) << MANTISSA_BITS | mantissa)
    }

    /// The value, in seconds, below which the fraction `q` of observations
    /// lies; `None` if there are none or `q` is not within `0.0..=1.0`.
    ///
    /// Observations are taken to be spread evenly over the logarithm of their
    /// bucket, as PromQL's `histogram_quantile` does for native histograms.
    /// The true quantile lies in the same bucket, so the result is off by less
    /// than 9.05 %.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * self.count as f64;
        let mut below = self.zeros as f64;
        if self.zeros > 0 && rank <= below {
            return Some(0.0);
        }
        for (index, count) in self.buckets() {
            let count = count as f64;
            if rank <= below + count {
                let fraction = (rank - below) / count;
                return Some(Self::upper_bound(index - 1) * root_pow(fraction));
            }
            below += count;
        }
        // Only where counts have stopped at their maximum.
        self.cells
            .last()
            .map(|cell| Self::upper_bound(cell.index().into()))
    }

    /// Writes the cumulative counts of a classic histogram to `out`, one for
    /// each of the ascending upper `bounds` (in seconds). `+Inf` is
    /// [`Exponential::count`].
    ///
    /// Buckets are not split. One that straddles a bound counts from the next
    /// bound on, so that no count is too high and none ever decreases: in
    /// effect each bound is rounded down to a power of 2^(1/8), by less than
    /// 8.3 %.
    pub fn cumulative(&self, bounds: &[f64], out: &mut Vec<u64>) {
        out.clear();
        let mut buckets = self.buckets().peekable();
        let mut total = self.zeros;
        for bound in bounds {
            while let Some((_, count)) =
                buckets.next_if(|(index, _)| Self::upper_bound(*index) <= *bound)
            {
                total = total.saturating_add(count);
            }
            out.push(total);
        }
    }
}

impl fmt::Debug for Exponential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exponential")
            .field("count", &self.count)
            .field("sum", &self.sum)
            .field("zeros", &self.zeros)
            .field("cells", &self.cells)
            .finish()
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.index(), self.count())
    }
}

/// Writes `buckets` as the spans and deltas of Prometheus' protobuf format
/// (`positive_span` as (offset, length), and `positive_delta`), replacing what
/// was in the vectors.
///
/// `buckets` are (index, count) in strictly ascending order. The first offset
/// is the first index, each later one the gap since the span before. Gaps of
/// one or two empty buckets are filled with zeros, which is shorter than
/// another span. Without buckets there are no spans: a positive zero threshold
/// suffices to mark the histogram as native.
pub fn spans(
    buckets: impl IntoIterator<Item = (i32, u64)>,
    spans: &mut Vec<(i32, u32)>,
    deltas: &mut Vec<i64>,
) {
    spans.clear();
    deltas.clear();
    let mut next = 0;
    let mut last = 0;
    for (index, count) in buckets {
        let gap = i64::from(index) - next;
        match spans.last_mut() {
            Some((_, length)) if gap <= MAX_FILL => {
                for _ in 0..gap {
                    deltas.push(-last);
                    last = 0;
                    *length += 1;
                }
                *length += 1;
            }
            // Fits: the first gap is an index, later ones are at most as far
            // apart as two of this histogram's indices.
            _ => spans.push((gap as i32, 1)),
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count - last);
        last = count;
        next = i64::from(index) + 1;
    }
}

const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;

/// `2^(fraction/8)` for a fraction in `0.0..=1.0`, by the series of the
/// exponential function; off by less than 1e-11.
fn root_pow(fraction: f64) -> f64 {
    let x = fraction * (core::f64::consts::LN_2 / 8.0);
    (1..=6)
        .rev()
        .fold(1.0, |sum, n| 1.0 + x / f64::from(n) * sum)
}

#[cfg(test)]
mod tests;
