//! What a histogram looks like to the encoder.

/// One histogram: all values since the series began.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// How many values were observed.
    pub count: u64,
    /// Their sum, in the unit of the metric.
    pub sum: f64,
    /// Classic buckets: ascending upper bounds (inclusive), each with the
    /// number of values in that bucket alone. What no bucket holds, up to
    /// `count`, is in `+Inf`, which need not be listed. `None` leaves the
    /// histogram out of the text formats.
    pub classic: Option<&'a [(f64, u64)]>,
    /// Exponential buckets, which only protobuf carries. One message may hold
    /// both kinds; a server picks the one that it is configured for.
    pub native: Option<Native<'a>>,
}

/// Exponential buckets of a native histogram (Prometheus' specification of
/// native histograms): bucket `i` of schema `n` holds
/// `2^((i-1)/2^n) < value <= 2^(i/2^n)`.
///
/// The counts of all buckets and `zero_count` must add up to the histogram's
/// `count`: a server refuses the scrape when they do not.
#[derive(Clone, Copy, Debug)]
pub struct Native<'a> {
    /// Resolution, -4 to 8: `2^schema` buckets for each power of two.
    pub schema: i32,
    /// Values up to this magnitude are in the zero bucket.
    pub zero_threshold: f64,
    /// Values in the zero bucket.
    pub zero_count: u64,
    /// Buckets of positive values.
    pub positive: Spans<'a>,
    /// Buckets of negative values; by default none.
    pub negative: Spans<'a>,
}

/// Runs of neighbouring buckets, as the wire format has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spans<'a> {
    /// `(offset, length)`: the first offset is the index of the first bucket,
    /// later ones are gaps.
    pub spans: &'a [(i32, u32)],
    /// The count of each bucket less that of the bucket listed before it.
    pub deltas: &'a [i64],
}

/// Builds [`Spans`] from sparse buckets. Reusable, so that a scrape allocates
/// once and not for every target.
#[derive(Clone, Debug, Default)]
pub struct NativeBuckets {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    next_index: i32,
    last_count: i64,
}

/// A gap of at most this many empty buckets is filled with zeros, since a new
/// span costs more bytes. The Go and Rust client libraries do the same.
const GAP_FILLED: i32 = 2;

impl NativeBuckets {
    /// No buckets.
    pub const fn new() -> Self {
        Self {
            spans: Vec::new(),
            deltas: Vec::new(),
            next_index: 0,
            last_count: 0,
        }
    }

    /// Forgets the buckets, keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.next_index = 0;
        self.last_count = 0;
    }

    /// Adds bucket `index` (the one with the upper bound `2^(index/2^schema)`).
    /// Indices must ascend; a bucket that does not is ignored.
    pub fn push(&mut self, index: i32, count: u64) {
        match self.spans.last_mut() {
            Some(_) if index < self.next_index => {
                debug_assert!(false, "bucket {index} after {}", self.next_index);
                return;
            }
            Some((_, length)) if index - self.next_index <= GAP_FILLED => {
                *length += (index - self.next_index) as u32 + 1;
                for _ in self.next_index..index {
                    self.deltas.push(-self.last_count);
                    self.last_count = 0;
                }
            }
            Some(_) => self.spans.push((index - self.next_index, 1)),
            None => self.spans.push((index, 1)),
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.deltas.push(count - self.last_count);
        self.last_count = count;
        self.next_index = index.saturating_add(1);
    }

    /// The buckets so far.
    pub fn spans(&self) -> Spans<'_> {
        Spans {
            spans: &self.spans,
            deltas: &self.deltas,
        }
    }
}

impl Spans<'_> {
    /// How many values the buckets hold.
    pub fn total(&self) -> u64 {
        let mut count = 0i64;
        self.deltas.iter().fold(0u64, |total, delta| {
            count = count.saturating_add(*delta);
            total.saturating_add(u64::try_from(count).unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(buckets: &[(i32, u64)]) -> (Vec<(i32, u32)>, Vec<i64>) {
        let mut native = NativeBuckets::new();
        native.push(7, 7);
        native.clear();
        for &(index, count) in buckets {
            native.push(index, count);
        }
        assert_eq!(
            native.spans().total(),
            buckets.iter().map(|(_, count)| count).sum::<u64>()
        );
        (native.spans, native.deltas)
    }

    #[test]
    fn neighbours_share_a_span_and_counts_become_deltas() {
        assert_eq!(
            spans(&[(-3, 5), (-2, 7), (-1, 1)]),
            (vec![(-3, 3)], vec![5, 2, -6])
        );
    }

    #[test]
    fn a_gap_of_two_is_filled_and_one_of_three_opens_a_span() {
        assert_eq!(
            spans(&[(0, 4), (3, 1), (7, 2)]),
            (vec![(0, 4), (3, 1)], vec![4, -4, 0, 1, 1])
        );
    }

    #[test]
    fn no_buckets_make_no_spans() {
        assert_eq!(spans(&[]), (vec![], vec![]));
    }
}
